//! Who came, who became a follower, who left: what the lists remember of 90 days.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::listen::live::Bound;
use crate::listen::people::{Newcomer, Person};
use crate::lists::diff::AWAY_BRIEFLY;
use crate::lists::roster::VoiceIndex;
use crate::model::{EntryKey, Hash64, ListEvent, ListEventKind, NoticeKind, Role, Timestamp};
use crate::store::StoreError;

use super::who::Desk;

/// How far newcomers are looked back for.
pub(super) const SPAN: Duration = Duration::from_hours(90 * 24);
/// Notices that are looked through for those of newcomers.
const MAX_NOTICES: usize = 5000;

/// Somebody's coming or going.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) event: ListEvent,
    /// The voice, where it stands in a list that is listened to.
    pub(super) voice: Option<VoiceIndex>,
}

/// All of them since an instant, the latest first. Lists of your own and letter boxes have no newcomers.
pub(super) fn gather(desk: &Desk<'_>, since: Timestamp) -> Result<Vec<Change>, StoreError> {
    let roster = &desk.bound().roster;
    let mut events = desk.scene.store.events(since)?;
    events.retain(|event| {
        let list = roster.lists.iter().find(|list| list.name == event.list);
        let role = list.map_or_else(|| Role::of_name(&event.list), |list| list.role);
        role.is_listened_to() && event.at <= desk.scene.now
    });
    events.reverse();
    let change = |event: ListEvent| {
        let mut voices = event.feeds.iter().flat_map(|feed| roster.voices_of(feed)).copied();
        Change { voice: voices.find(|voice| desk.voices.is_heard(*voice)), event }
    };
    Ok(events.into_iter().map(change).collect())
}

/// Which changes made somebody a follower who was none: not who joined a second list of followers, or moved from one to
/// another within a day. As voice and event, oldest first; `events` are all that are remembered, in that order.
pub(super) fn new_followers<'a>(bound: &Bound, events: &'a [ListEvent]) -> Vec<(VoiceIndex, &'a ListEvent)> {
    let roster = &bound.roster;
    let followers: HashSet<&str> =
        roster.lists.iter().filter(|list| list.role == Role::Followers).map(|list| list.name.as_str()).collect();
    let mut of_voice: BTreeMap<VoiceIndex, Vec<&ListEvent>> = BTreeMap::new();
    for event in events.iter().filter(|event| followers.contains(event.list.as_str())) {
        if let Some(voice) = event.feeds.iter().find_map(|feed| roster.voices_of(feed).first()) {
            of_voice.entry(*voice).or_default().push(event);
        }
    }
    let mut new = Vec::new();
    for (voice, events) in of_voice {
        let stands = |list: &&usize| roster.lists.get(**list).is_some_and(|list| list.role == Role::Followers);
        let known = roster.voices.get(voice).map_or(&[][..], |voice| &voice.lists);
        let mut lists: HashSet<&str> =
            known.iter().filter(stands).map(|list| roster.lists[*list].name.as_str()).collect();
        // As it was before the first of them.
        for event in events.iter().rev() {
            match event.kind {
                ListEventKind::Left => drop(lists.insert(&event.list)),
                ListEventKind::Joined | ListEventKind::BecameFollower => drop(lists.remove(event.list.as_str())),
            }
        }
        let mut left: Option<Timestamp> = None;
        for event in events {
            if event.kind == ListEventKind::Left {
                lists.remove(event.list.as_str());
                left = Some(event.at);
            } else {
                let has_moved = left.is_some_and(|left| event.at.since(left) < AWAY_BRIEFLY);
                if lists.is_empty() && !has_moved {
                    new.push((voice, event));
                }
                lists.insert(&event.list);
            }
        }
    }
    new.sort_by_key(|(voice, event)| (event.at, *voice));
    new
}

/// The notices of newcomers by their marks.
pub(super) fn told(desk: &Desk<'_>) -> Result<HashMap<Hash64, EntryKey>, StoreError> {
    let notices = desk.scene.store.notices(&[NoticeKind::Newcomer, NoticeKind::Follower], None, MAX_NOTICES)?;
    Ok(notices.into_iter().map(|notice| (notice.mark, notice.key)).collect())
}

/// A change as pages show it.
pub(super) fn read(desk: &Desk<'_>, change: &Change, told: &HashMap<Hash64, EntryKey>) -> Newcomer {
    let person = match change.voice {
        Some(voice) => desk.person(voice),
        None => Person { name: change.event.voice.clone(), ..Person::default() },
    };
    let done = change.voice.and_then(|_| told.get(&mark(&change.event)).copied());
    Newcomer { person, reason: reason(desk, &change.event), at: change.event.at, done }
}

/// What happened, as `joined Desired`.
pub(super) fn reason(desk: &Desk<'_>, event: &ListEvent) -> String {
    let list = desk.bound().roster.lists.iter().find(|list| list.name == event.list);
    let list = list.map_or(event.list.as_str(), |list| list.title.as_str());
    match event.kind {
        ListEventKind::Joined => format!("joined {list}"),
        ListEventKind::Left => format!("left {list}"),
        ListEventKind::BecameFollower => "became a follower".to_owned(),
    }
}

/// What tells changes apart once they were told.
pub(super) fn mark(event: &ListEvent) -> Hash64 {
    let mut hash = Sha256::new();
    hash.update(format!("{:?} {} {}", event.kind, event.at.millis(), event.list));
    for feed in &event.feeds {
        hash.update([0]);
        hash.update(feed.as_str());
    }
    first_bits(hash)
}

/// The first 64 bits of a hash.
pub(super) fn first_bits(hash: Sha256) -> Hash64 {
    let mut bits = [0; 8];
    bits.copy_from_slice(&hash.finalize()[..8]);
    Hash64(u64::from_be_bytes(bits))
}
