//! Whom to answer today: five people, those to whom thanks are owed before those whose words wait, never by volume.

use std::collections::HashSet;
use std::time::Duration;

use crate::listen::people::{Cause, Conversation, Debt, Newcomer};
use crate::lists::roster::VoiceIndex;
use crate::model::ListEventKind;
use crate::store::StoreError;

use super::conversations;
use super::gathered::Gathered;
use super::ledger::Ledger;
use super::neglected::{self, Waiting};
use super::newcomers;
use super::quiet::{Pause, Quiet};
use super::thanks::{self, Creditor};
use super::who::{Desk, saying};

/// Who spoke again after a long time is welcomed back for so long.
const RETURNED_LATELY: Duration = Duration::from_hours(7 * 24);
/// So many people are answered in a day.
const PEOPLE: usize = 5;
/// So many newcomers are shown.
const NEWCOMERS: usize = 8;
/// So many conversations are.
const CONVERSATIONS: usize = 5;

/// At most [`PEOPLE`] people, each once; and how many more are owed thanks, how many more are neglected.
pub(super) fn answer(
    desk: &Desk<'_>,
    ledger: &Ledger,
    waiting: &[Waiting],
    quiet: &[Quiet],
) -> Result<(Vec<Debt>, (usize, usize)), StoreError> {
    let mut debts: Vec<Debt> = Vec::new();
    let mut named: HashSet<VoiceIndex> = HashSet::new();
    let creditors = thanks::creditors(desk, ledger);
    let mut more_thanks = creditors.len();
    for creditor in creditors {
        if debts.len() == PEOPLE {
            break;
        }
        more_thanks -= 1;
        if let Some(debt) = thanks::debt(desk, creditor)? {
            if let Creditor::Voice(voice, _) = creditor {
                named.insert(voice);
            }
            debts.push(debt);
        }
    }
    let mut more_waiting = waiting.iter().filter(|waiting| !named.contains(&waiting.voice)).count();
    for waiting in waiting {
        if debts.len() == PEOPLE || !named.insert(waiting.voice) {
            continue;
        }
        more_waiting -= 1;
        debts.extend(neglected::debt(desk, ledger, waiting)?);
    }
    for quiet in quiet {
        let Pause::First(_) = quiet.pause else { continue };
        let is_lately = desk.scene.now.since(quiet.newest.listed_at) <= RETURNED_LATELY;
        let is_answered = ledger.contact(quiet.voice).is_some_and(|contact| contact >= quiet.newest.listed_at);
        if debts.len() == PEOPLE || is_answered || !is_lately || !named.insert(quiet.voice) {
            continue;
        }
        debts.extend(returned(desk, ledger, quiet)?);
    }
    Ok((debts, (more_thanks, more_waiting)))
}

/// That a voice spoke again, as something to be answered.
fn returned(desk: &Desk<'_>, ledger: &Ledger, quiet: &Quiet) -> Result<Option<Debt>, StoreError> {
    let Some(entry) = desk.snapshot().entry(quiet.newest)? else { return Ok(None) };
    Ok(Some(Debt {
        person: desk.person(quiet.voice),
        cause: Cause::Returned,
        reason: quiet.pause.words(),
        since: quiet.newest.listed_at,
        sayings: vec![saying(&entry, String::new())],
        count: 1,
        last_contact: ledger.contact(quiet.voice),
        done: Some(quiet.newest),
    }))
}

/// The newest newcomers.
pub(super) fn newcomers(desk: &Desk<'_>) -> Result<Vec<Newcomer>, StoreError> {
    let changes = newcomers::gather(desk, desk.scene.now.minus(newcomers::SPAN))?;
    let came = changes.iter().filter(|change| change.event.kind != ListEventKind::Left && change.voice.is_some());
    let came: Vec<_> = came.take(NEWCOMERS).collect();
    if came.is_empty() {
        return Ok(Vec::new());
    }
    let told = newcomers::told(desk)?;
    Ok(came.into_iter().map(|change| newcomers::read(desk, change, &told)).collect())
}

/// The latest conversations.
pub(super) fn conversations(desk: &Desk<'_>, gathered: &Gathered) -> Result<Vec<Conversation>, StoreError> {
    let mut read = Vec::new();
    for talk in &gathered.talks {
        if read.len() == CONVERSATIONS {
            break;
        }
        read.extend(conversations::read(desk, talk)?);
    }
    Ok(read)
}
