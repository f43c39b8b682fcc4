//! What a name in `/answered` stands for: an entry, a Webmention, or whatever was told of a voice.

use crate::model::{EntryKey, Link, Way};
use crate::store::StoreError;

use super::Answerable;
use super::history;
use super::ledger::Ledger;
use super::mentions;
use super::who::{Desk, Who, saying};

/// So much of what has happened is shown.
const MAX_HISTORY: usize = 20;

/// Finds whom a name stands for; `None` where that is nobody's.
///
/// A key whose feed is a voice's stands for that voice whether or not there is such an entry: notices have such keys,
/// and entries go while people stay.
pub(super) fn find(desk: &Desk<'_>, ledger: &Ledger, key: EntryKey) -> Result<Option<Answerable>, StoreError> {
    let entry = desk.entry(key)?;
    let mention = desk.snapshot().mention(key)?;
    let by: Option<Link> = mention.filter(|mention| matches!(mention.way, Way::Inbox | Way::Web)).and_then(|it| it.by);
    let who = match &mention {
        Some(mention) if matches!(mention.way, Way::Inbox | Way::Web) => desk.who(key, mention),
        // Nobody is in touch with himself, or with a letter box.
        _ => desk.voice_of(key.feed).map(Who::Voice),
    };
    let Some(who) = who else { return Ok(None) };
    let spoken = match &mention {
        Some(mention) => mentions::read(desk, key, mention)?,
        None => None,
    };
    let person = match (who, &entry) {
        (who, Some(entry)) => desk.name(who, entry),
        (Who::Voice(voice), None) => desk.person(voice),
        (Who::Outside(_), None) => return Ok(None),
    };
    let history = match who {
        Who::Voice(voice) => history::of_voice(desk, ledger.account(voice), voice, MAX_HISTORY)?,
        Who::Outside(_) => history::of_outsider(desk, key, by.as_ref(), MAX_HISTORY)?,
    };
    let reason = spoken.map(|spoken| spoken.reason).unwrap_or_default();
    let saying = entry.map(|entry| saying(&entry, reason));
    Ok(Some(Answerable { person, saying, by, history }))
}
