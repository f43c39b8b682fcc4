//! Whose words wait: who has spoken since you last had contact.
//!
//! Who never had contact with you waits since listend first heard them: what was there at the first fetch of a feed is
//! older than that, wherever it stands in the stream. The first words that wait are kept for every voice and looked up
//! anew only where its feeds or the contact have changed, so that ten thousand voices cost nothing most of the time.

use std::collections::{HashMap, HashSet};

use crate::listen::people::{Cause, Debt};
use crate::lists::roster::VoiceIndex;
use crate::model::{EntryKey, FeedId, Hash64, Timestamp};
use crate::store::{Head, Snapshot, Store, StoreError};

use super::ledger::Ledger;
use super::who::{Desk, saying};

/// Words that wait are counted up to this.
const MAX_COUNTED: usize = 100;
/// So many of them are shown.
const MAX_SAYINGS: usize = 5;
/// Entries that stand at the very instant of a first fetch; there are hardly ever any.
const AT_ONE_INSTANT: usize = 50;

/// A voice whose words wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) voice: VoiceIndex,
    /// The first of its words that were not answered; its place says since when they wait.
    pub(super) first: EntryKey,
}

/// What is kept of who waits.
#[derive(Debug, Default)]
pub(super) struct Waits {
    revision: u64,
    voices: HashMap<VoiceIndex, Wait>,
    /// When the first entry of a feed was first seen. It never changes.
    first_seen: HashMap<FeedId, Timestamp>,
}

#[derive(Debug)]
struct Wait {
    contact: Option<Timestamp>,
    changed: u64,
    first: Option<EntryKey>,
}

/// A voice whose first words that wait are to be looked up.
struct Sought {
    voice: VoiceIndex,
    contact: Option<Timestamp>,
    changed: u64,
    feeds: Vec<FeedId>,
}

impl Waits {
    /// Everybody whose words wait, the longest wait first.
    pub(super) fn all(&mut self, desk: &Desk<'_>, ledger: &Ledger) -> Result<Vec<Waiting>, StoreError> {
        if self.revision != desk.voices.revision {
            self.voices.clear();
            self.revision = desk.voices.revision;
        }
        let mut waiting = Vec::new();
        let mut sought = Vec::new();
        for voice in desk.voices.heard() {
            let contact = ledger.contact(voice);
            let newest = desk.live().newest(desk.voices.feeds(voice));
            if newest.iter().all(|(_, newest)| contact.is_some_and(|contact| *newest <= contact)) {
                continue;
            }
            let feeds: Vec<FeedId> = newest.into_iter().map(|(feed, _)| feed).collect();
            let changed = desk.live().changed(desk.voices.feeds(voice)).max(desk.live().changed(&feeds));
            match self.voices.get(&voice) {
                Some(known) if known.contact == contact && known.changed == changed => {
                    waiting.extend(known.first.map(|first| Waiting { voice, first }));
                }
                _ => sought.push(Sought { voice, contact, changed, feeds }),
            }
        }
        if !sought.is_empty() {
            // Taken after the numbers of the changes: what is kept under them is never older than they are.
            let snapshot = desk.scene.store.snapshot()?;
            self.know_first_seen(desk.scene.store, &sought)?;
            for Sought { voice, contact, changed, feeds } in sought {
                let first = self.first(&snapshot, contact, &feeds)?;
                self.voices.insert(voice, Wait { contact, changed, first });
                waiting.extend(first.map(|first| Waiting { voice, first }));
            }
        }
        waiting.sort_unstable_by_key(|waiting| waiting.first);
        Ok(waiting)
    }

    fn first(
        &self,
        snapshot: &Snapshot,
        contact: Option<Timestamp>,
        feeds: &[FeedId],
    ) -> Result<Option<EntryKey>, StoreError> {
        let mut first: Option<EntryKey> = None;
        for &feed in feeds {
            let of_feed = match (contact, self.first_seen.get(&feed)) {
                (Some(contact), _) => snapshot.first_since(feed, after(contact))?,
                (None, Some(first_seen)) => first_since_heard(snapshot, feed, *first_seen)?,
                (None, None) => None,
            };
            first = [first, of_feed].into_iter().flatten().min();
        }
        Ok(first)
    }

    fn know_first_seen(&mut self, store: &Store, sought: &[Sought]) -> Result<(), StoreError> {
        let feeds = sought.iter().filter(|sought| sought.contact.is_none()).flat_map(|sought| &sought.feeds);
        let unknown: Vec<FeedId> = feeds.copied().filter(|feed| !self.first_seen.contains_key(feed)).collect();
        let first_seen = store.first_seen(&unknown)?;
        self.first_seen.extend(unknown.into_iter().zip(first_seen).filter_map(|(feed, at)| Some((feed, at?))));
        Ok(())
    }
}

/// The first instant behind another.
fn after(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.millis().saturating_add(1))
}

/// A feed's first entry since it was first heard, those that were there already left out.
fn first_since_heard(snapshot: &Snapshot, feed: FeedId, first_seen: Timestamp) -> Result<Option<EntryKey>, StoreError> {
    let first = snapshot.first_since(feed, first_seen)?;
    if first.is_none_or(|first| first.listed_at > first_seen) {
        return Ok(first);
    }
    // At that very instant stand entries of that fetch that claim to be from the future, and late ones from after it.
    let behind = EntryKey { listed_at: after(first_seen), feed, seq: 0 };
    let heads = snapshot.heads(feed, Some(behind), AT_ONE_INSTANT)?;
    let late = |head: &&Head| head.key.listed_at == first_seen && head.first_seen > first_seen;
    match heads.iter().rev().find(late) {
        Some(head) => Ok(Some(head.key)),
        None => snapshot.first_since(feed, after(first_seen)),
    }
}

/// A voice's words that wait, as something to be answered.
pub(super) fn debt(desk: &Desk<'_>, ledger: &Ledger, waiting: &Waiting) -> Result<Option<Debt>, StoreError> {
    let last_contact = ledger.contact(waiting.voice);
    let newest = desk.live().newest(desk.voices.feeds(waiting.voice));
    let feeds: Vec<FeedId> = newest.into_iter().map(|(feed, _)| feed).collect();
    let mut heads: Vec<Head> = Vec::new();
    for (&feed, first_seen) in feeds.iter().zip(desk.scene.store.first_seen(&feeds)?) {
        let waits = |head: &Head| match (last_contact, first_seen) {
            (Some(contact), _) => head.key.listed_at > contact,
            (None, Some(first_seen)) => head.key.listed_at >= first_seen && head.first_seen > first_seen,
            (None, None) => false,
        };
        heads.extend(desk.snapshot().heads(feed, None, MAX_COUNTED)?.into_iter().filter(waits));
    }
    heads.sort_unstable_by_key(|head| std::cmp::Reverse(head.key));
    let mut seen: HashSet<Hash64> = HashSet::new();
    // The same article in two of its feeds is said once.
    heads.retain(|head| head.link.is_none_or(|link| seen.insert(link)));
    let count = heads.len().min(MAX_COUNTED);
    let keys: Vec<EntryKey> = heads.iter().map(|head| head.key).take(MAX_SAYINGS).collect();
    let sayings = desk.snapshot().entries_of(&keys)?;
    let sayings: Vec<_> = sayings.iter().map(|entry| saying(entry, String::new())).collect();
    let Some(newest) = sayings.first() else { return Ok(None) };
    let times = match count {
        1 => "once".to_owned(),
        MAX_COUNTED => format!("{MAX_COUNTED} times or more"),
        count => format!("{count} times"),
    };
    let reason = match last_contact {
        Some(_) => format!("Has spoken {times} since your last contact"),
        None => format!("Has spoken {times}, and was never answered"),
    };
    Ok(Some(Debt {
        person: desk.person(waiting.voice),
        cause: Cause::Neglected,
        reason,
        since: waiting.first.listed_at,
        count,
        last_contact,
        done: Some(newest.key),
        sayings,
    }))
}
