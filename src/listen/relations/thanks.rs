//! What is owed: everybody who spoke of you, answered you or began to follow you, and had no contact since.

use crate::listen::people::{Cause, Debt, Person, Saying};
use crate::lists::roster::VoiceIndex;
use crate::model::{EntryKey, Mention, Notice, Timestamp};
use crate::store::StoreError;

use super::ledger::{Account, Ledger, Outsider};
use super::mentions;
use super::who::{Desk, Who};

/// So much of what was said is shown.
const MAX_SAYINGS: usize = 5;

/// Somebody to whom thanks are owed.
#[derive(Clone, Copy)]
pub(super) enum Creditor<'a> {
    Voice(VoiceIndex, &'a Account),
    Outside(&'a Outsider),
}

/// Everybody to whom thanks are owed, the newest debt first.
pub(super) fn creditors<'a>(desk: &Desk<'_>, ledger: &'a Ledger) -> Vec<Creditor<'a>> {
    let voices = ledger.accounts().filter(|(voice, _)| desk.voices.is_heard(*voice));
    let voices = voices.filter_map(|(voice, account)| Some((account.newest_owed()?, Creditor::Voice(voice, account))));
    let outside = ledger.outside.iter().filter_map(|outsider| {
        let newest = outsider.owed.first().map(|(key, _)| key.listed_at)?;
        Some((newest, Creditor::Outside(outsider)))
    });
    let mut all: Vec<(Timestamp, Creditor<'a>)> = voices.chain(outside).collect();
    all.sort_by_key(|(newest, creditor)| (std::cmp::Reverse(*newest), creditor.order()));
    all.into_iter().map(|(_, creditor)| creditor).collect()
}

impl Creditor<'_> {
    /// The voice that it is, where it is one.
    pub(super) fn voice(&self) -> Option<VoiceIndex> {
        match self {
            Self::Voice(voice, _) => Some(*voice),
            Self::Outside(_) => None,
        }
    }

    /// So that those of one instant come in the same order each time.
    fn order(&self) -> (VoiceIndex, Option<EntryKey>) {
        match self {
            Self::Voice(voice, _) => (*voice, None),
            Self::Outside(outsider) => (VoiceIndex::MAX, outsider.owed.first().map(|(key, _)| *key)),
        }
    }

    fn owed(&self) -> &[(EntryKey, Mention)] {
        match self {
            Self::Voice(_, account) => &account.owed,
            Self::Outside(outsider) => &outsider.owed,
        }
    }
}

/// What is owed to somebody; `None` where what was said is gone, or does not speak of you after all.
pub(super) fn debt(desk: &Desk<'_>, creditor: Creditor<'_>) -> Result<Option<Debt>, StoreError> {
    let mut sayings: Vec<Saying> = Vec::new();
    let mut answer: Option<String> = None;
    let mut outsider: Option<Person> = None;
    let mut untrue = 0;
    for (key, mention) in creditor.owed() {
        if sayings.len() == MAX_SAYINGS {
            break;
        }
        let Some(spoken) = mentions::read(desk, *key, mention)? else {
            untrue += 1;
            continue;
        };
        if matches!(spoken.who, Who::Outside(_)) && outsider.is_none() {
            outsider = Some(desk.outsider(&spoken.entry));
        }
        if spoken.is_reply && answer.is_none() {
            answer = Some(spoken.reason.clone());
        }
        sayings.push(spoken.saying());
    }
    let (account, voice) = match creditor {
        Creditor::Voice(voice, account) => (Some(account), Some(voice)),
        Creditor::Outside(_) => (None, None),
    };
    let follower = account.and_then(|account| account.follower.as_ref());
    let said = creditor.owed().len() - untrue;
    let oldest_said = (said > 0).then(|| creditor.owed().last().map(|(key, _)| key.listed_at)).flatten();
    // An answer weighs more than a mention, and that more than following.
    let (cause, reason) = match (answer, sayings.first(), follower) {
        (Some(reason), ..) => (Cause::Reply, reason),
        (None, Some(newest), _) => (Cause::Mention, newest.reason.clone()),
        (None, None, Some(following)) => (Cause::Follower, following.reason.clone()),
        (None, None, None) => return Ok(None),
    };
    let since = [oldest_said, follower.map(|following| following.at)].into_iter().flatten().min();
    let greeting = || Some(greeting(desk, voice?, follower?.at));
    let person = match voice {
        Some(voice) => desk.person(voice),
        None => outsider.unwrap_or_default(),
    };
    Ok(Some(Debt {
        person,
        cause,
        reason,
        since: since.unwrap_or_default(),
        count: account.map_or(said, |account| account.count().saturating_sub(untrue)),
        last_contact: account.and_then(|account| account.contact),
        done: sayings.first().map(|newest| newest.key).or_else(greeting),
        sayings,
    }))
}

/// A name for the greeting of a new follower: any key with a feed of the voice stands for the voice.
fn greeting(desk: &Desk<'_>, voice: VoiceIndex, at: Timestamp) -> EntryKey {
    let feed = desk.voices.feeds(voice).first().copied().unwrap_or(Notice::NOBODY);
    EntryKey { listed_at: at, feed, seq: Notice::FIRST_SEQ }
}
