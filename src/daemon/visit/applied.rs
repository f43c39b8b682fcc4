//! What an answer makes of a feed: its next state, the changes of its entries, and what is told of it.
//!
//! Asks nobody and commits nothing: time and chance are arguments, and of the store it only reads what a document is
//! compared with.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};

use super::heard::Heard;
use crate::feeds::clean::Cleaner;
use crate::feeds::identity::{Reconciled, reconcile};
use crate::feeds::schedule::{self, Answered, Limits, Outcome};
use crate::http::App;
use crate::listen::health::news::{self, Address};
use crate::listen::live::Bound;
use crate::model::{
    Came, Change, Document, Feed, FeedState, FeedUrl, Fetch, HealthEvent, IdentityRule, Timestamp, Validators,
};
use crate::store::StoreError;

/// What an answer brought for the store, beside the schedule.
pub(super) struct Taken {
    pub(super) outcome: Outcome,
    pub(super) validators: Option<Validators>,
    pub(super) document: Option<Read>,
    /// The feed of the page that was answered: it is asked there from now on.
    pub(super) found: Option<FeedUrl>,
    /// Whether the transport ended before the body did.
    pub(super) is_cut: bool,
}

/// A document that could be read.
pub(super) struct Read {
    pub(super) document: Document,
    /// How large it was.
    pub(super) bytes: usize,
    pub(super) body_hash: Option<[u8; 32]>,
}

impl Taken {
    pub(super) fn only(outcome: Outcome) -> Self {
        Self { outcome, validators: None, document: None, found: None, is_cut: false }
    }

    pub(super) fn unchanged(answer: Answered, newest: Option<Timestamp>, validators: Validators) -> Self {
        Self { validators: Some(validators), ..Self::only(Outcome::Unchanged { answer, newest }) }
    }
}

/// A feed after a visit, and what is to be stored of it.
pub(super) struct Applied {
    pub(super) feed: Feed,
    pub(super) changes: Vec<Change>,
    pub(super) heard: Heard,
    pub(super) events: Vec<HealthEvent>,
    pub(super) added: u32,
    pub(super) shows: bool,
}

impl Applied {
    /// Whether the feed was asked in vain and is well, so that nothing is to be stored but its state. A state that is no
    /// later than the one before is none: noted states are told apart by when the feed was asked.
    pub(super) fn is_quiet(&self, before: &Feed) -> bool {
        let Self { feed, changes, heard, events, added: _, shows } = self;
        let brings_nothing = changes.is_empty() && heard.said.is_empty() && events.is_empty() && !shows;
        brings_nothing
            && feed.schedule.state == FeedState::Ok
            && before.schedule.state == FeedState::Ok
            && feed.identity == before.identity
            && feed.schedule.last_attempt > before.schedule.last_attempt
    }
}

/// What a document changes in a feed's entries.
pub(super) struct Merged {
    pub(super) changes: Vec<Change>,
    pub(super) heard: Heard,
    pub(super) added: u32,
    pub(super) identity: IdentityRule,
    pub(super) dates: Vec<Timestamp>,
}

/// Compares a document of so many bytes with what is stored. Only new and changed entries are cleaned and heard.
pub(super) fn merge(
    app: &App,
    bound: &Bound,
    old: &Feed,
    document: &Document,
    bytes: usize,
    now: Timestamp,
) -> Result<Merged, StoreError> {
    let cleaner = Cleaner::new(bytes);
    let known = app.store.known(old.id)?;
    let mut reconciled: Reconciled = reconcile(old, &known, document, now);
    let changes = reconciled.changes(old.id, document, now, |markup, base| cleaner.html(markup, base));
    let dates = std::mem::take(&mut reconciled.dates);
    let heard = Heard::of(app, bound, old, &changes)?;
    Ok(Merged { changes, heard, added: reconciled.added, identity: reconciled.identity, dates })
}

/// What beside the answer decides about a feed's next state.
pub(super) struct Circumstances {
    /// Who stands behind the feed.
    pub(super) bound: Arc<Bound>,
    pub(super) limits: Limits,
    /// Whether a hub pushes the feed's entries.
    pub(super) is_pushed: bool,
    /// A number in [0, 1).
    pub(super) jitter: f64,
    pub(super) now: Timestamp,
}

/// The feed's next state.
pub(super) fn apply(app: &App, old: &Feed, taken: Taken, under: &Circumstances) -> Result<Applied, StoreError> {
    let &Circumstances { ref bound, ref limits, is_pushed, jitter, now } = under;
    let Taken { mut outcome, validators, document, found, is_cut } = taken;
    let mut feed = old.clone();
    let (mut changes, mut heard) = (Vec::new(), Heard::default());
    let mut added = 0;
    let mut address = Address::Kept;
    if let Some(Read { document, bytes, body_hash }) = document {
        let mut reached = old.clone();
        if let Outcome::Fetched { answer: Answered { moved: Some(moved), .. }, .. } = &outcome {
            reached.moved_to = Some(moved.to.clone());
        }
        let merged = merge(app, bound, &reached, &document, bytes, now)?;
        if let Outcome::Fetched { dates, .. } = &mut outcome {
            *dates = merged.dates;
        }
        (changes, heard) = (merged.changes, merged.heard);
        (added, feed.identity) = (merged.added, merged.identity);
        feed.about = document.about;
        feed.body_hash = body_hash;
    }
    if let Some(validators) = validators {
        feed.validators = validators;
    }
    let next = schedule::next(&old.schedule, &outcome, limits, now, jitter);
    feed.schedule = next.schedule;
    if is_pushed && matches!(outcome, Outcome::Fetched { .. } | Outcome::Unchanged { .. }) {
        feed.schedule.next_poll = schedule::due_while_pushed(&feed.schedule, limits, now, jitter);
    }
    if is_cut {
        // The rest of it is missing until the next answer.
        feed.schedule.next_poll = feed.schedule.next_poll.min(now.plus(limits.min_interval));
        feed.schedule.last_error = Some("the answer broke off; its complete entries are kept".to_owned());
    }
    let is_found = found.is_some() && next.adopted.is_none();
    if let Some(adopted) = next.adopted.or(found) {
        feed.moved_to = (adopted != feed.url).then_some(adopted);
        address = if is_found { Address::Found } else { Address::Moved };
    } else if feed.moved_to.is_some() && is_gone_for_good(&outcome) {
        // The page, or the old address, may know where it is now.
        feed.moved_to = None;
    }
    if let Some(fetch) = remembered(&outcome, added, now) {
        feed.recent = old.recent.with(fetch);
    }
    // The store counts by itself; what happened is told from the feed as it will be.
    let listed = changes.iter().filter(|change| change.entry.is_some()).map(|change| change.now.listed_at);
    feed.newest = listed.max().max(old.newest);
    let (trouble, happened) = news::after_visit(old, &feed, address, now);
    feed.trouble = trouble;
    let events = news::events(old, &feed, &happened, bound, now);
    let is_first = old.schedule.state == FeedState::New;
    let shows = is_first
        || changes.iter().any(|change| change.entry.is_some())
        || feed.about != old.about
        || feed.moved_to != old.moved_to
        || feed.trouble != old.trouble
        || !events.is_empty();
    Ok(Applied { feed, changes, heard, events, added, shows })
}

/// A fetch as it is remembered; none where our own network was at fault.
fn remembered(outcome: &Outcome, added: u32, now: Timestamp) -> Option<Fetch> {
    let (came, status) = match outcome {
        Outcome::Fetched { answer, .. } => (Came::Read, Some(answer.status)),
        Outcome::Unchanged { answer, .. } => (Came::Unchanged, Some(answer.status)),
        Outcome::Unusable { answer, .. } => (Came::Unreadable, Some(answer.status)),
        Outcome::Refused { answer } => (Came::Refused, Some(answer.status)),
        Outcome::Failed { .. } => (Came::Failed, None),
        Outcome::Offline => return None,
    };
    Some(Fetch { at: now, status, came, new: u16::try_from(added).unwrap_or(u16::MAX) })
}

/// Whether the very address that was asked said that there is nothing (any more).
fn is_gone_for_good(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { answer } if matches!(answer.status, 404 | 410) && !answer.redirected)
}

/// One line for what changed in a feed's state, a quiet one for every other visit.
pub(super) fn report(old: &Feed, new: &Feed, added: u32, is_found: bool) {
    let schedule = &new.schedule;
    let next = schedule.next_poll;
    let status = schedule.last_status;
    let is_failing = matches!(schedule.state, FeedState::Backoff | FeedState::Held | FeedState::Quarantined);
    if new.moved_to != old.moved_to && new.moved_to.is_none() {
        info!(feed.url = %new.url, "what was found is gone; the address in the list is asked again");
    } else if new.moved_to != old.moved_to && !is_found {
        info!(feed.url = %new.url, to = %new.address(), "feed moved; the list is left alone");
    }
    if schedule.state == FeedState::Gone {
        warn!(feed.url = %new.url, status, "feed is gone; it is asked no more until its outline is edited");
    } else if is_failing && (schedule.state != old.schedule.state || schedule.last_error != old.schedule.last_error) {
        let reason = schedule.last_error.as_deref().unwrap_or("no reason given");
        warn!(feed.url = %new.url, status, reason, "feed failed; next try at {next}");
    } else if schedule.state == FeedState::Ok && old.schedule.failures > 0 {
        info!(feed.url = %new.url, status, added, "feed is back; next poll at {next}");
    } else {
        debug!(feed.url = %new.url, status, added, "feed asked; next poll at {next}");
    }
}

/// How long new entries took from publication to here. A first document brings old ones and says nothing.
pub(super) fn fresh(old: &Feed, changes: &[Change]) -> Vec<Duration> {
    if old.schedule.last_success.is_none() {
        return Vec::new();
    }
    let new = changes.iter().filter(|change| change.was.is_none()).filter_map(|change| change.entry.as_ref());
    new.filter_map(|entry| Some(entry.first_seen.since(entry.published?))).collect()
}
