//! Who posts seldom, so that nobody drowns them out; and who spoke again after a long time.
//!
//! Whether a voice is quiet follows from the rhythm of its feeds as it is now. What is said of an entry follows from the
//! entries before it, and so stays as it is.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::listen::page::Page;
use crate::listen::people::QuietVoice;
use crate::listen::view;
use crate::lists::roster::VoiceIndex;
use crate::model::{EntryKey, FeedId, Hash64, Trouble};
use crate::store::{Head, Snapshot, StoreError};

use super::who::{Desk, saying};

const DAY: Duration = Duration::from_hours(24);
/// Who posts no more often than this is quiet.
const QUIET_RHYTHM: Duration = Duration::from_hours(14 * 24);
/// So is a feed with no more entries than this.
const FEW_ENTRIES: u32 = 2;
/// The pause before an entry is remarkable from this on…
const LONG_PAUSE: Duration = Duration::from_hours(30 * 24);
/// …and from so many times the pauses before it.
const LONG_PAUSES: u32 = 2;
/// So many pauses make a rhythm.
const PAUSES: usize = 8;

/// What can be said of the pauses around an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// The first post in so many days.
    First(u64),
    /// One of those that come about every so many days.
    About(u64),
    /// There is nothing before it.
    Unknown,
}

impl Pause {
    pub(super) fn words(self) -> String {
        match self {
            Self::First(days) => format!("First post in {days} days"),
            Self::About(0 | 1) => "Posts about every day".to_owned(),
            Self::About(days) => format!("Posts about every {days} days"),
            Self::Unknown => "Has said little so far".to_owned(),
        }
    }
}

/// A voice that posts seldom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quiet {
    pub(super) voice: VoiceIndex,
    pub(super) newest: EntryKey,
    pub(super) pause: Pause,
    pub(super) is_silent: bool,
}

/// What is kept of the newest entry of quiet voices.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    revision: u64,
    voices: HashMap<VoiceIndex, (u64, Option<(EntryKey, Pause)>)>,
}

impl Pauses {
    /// All quiet voices that have said anything: those who came back, those who fell silent, then the others; the last to
    /// speak first.
    pub(super) fn all(&mut self, desk: &Desk<'_>) -> Result<Vec<Quiet>, StoreError> {
        if self.revision != desk.voices.revision {
            self.voices.clear();
            self.revision = desk.voices.revision;
        }
        let known = &mut self.voices;
        let (mut quiet, mut sought) = (Vec::new(), Vec::new());
        let of = |voice, is_silent, newest: Option<(EntryKey, Pause)>| {
            newest.map(|(newest, pause)| Quiet { voice, newest, pause, is_silent })
        };
        for (voice, is_silent) in quiet_voices(desk) {
            let feeds = shown(desk, voice);
            let changed = desk.live().changed(desk.voices.feeds(voice)).max(desk.live().changed(&feeds));
            match known.get(&voice) {
                Some((known, newest)) if *known == changed => quiet.extend(of(voice, is_silent, *newest)),
                _ => sought.push((voice, is_silent, feeds, changed)),
            }
        }
        if !sought.is_empty() {
            // Taken after the numbers of the changes: what is kept under them is never older than they are.
            let snapshot = desk.scene.store.snapshot()?;
            for (voice, is_silent, feeds, changed) in sought {
                let newest = newest(&snapshot, &feeds)?;
                known.insert(voice, (changed, newest));
                quiet.extend(of(voice, is_silent, newest));
            }
        }
        quiet.sort_by_key(|quiet| {
            let rank = match (quiet.pause, quiet.is_silent) {
                (_, true) => 1,
                (Pause::First(_), false) => 0,
                _ => 2,
            };
            (rank, std::cmp::Reverse(quiet.newest))
        });
        Ok(quiet)
    }
}

/// The voices that are quiet, and whether they have fallen silent.
pub(super) fn quiet_voices(desk: &Desk<'_>) -> Vec<(VoiceIndex, bool)> {
    let all = desk.voices.heard().filter_map(|voice| {
        let (mut has_said, mut is_silent) = (false, true);
        for feed in desk.voices.feeds(voice).iter().filter_map(|feed| desk.live().feed(*feed)) {
            let silent = feed.trouble == Some(Trouble::Silent);
            let seldom = feed.schedule.rhythm.is_some_and(|rhythm| rhythm >= QUIET_RHYTHM);
            if !silent && !seldom && feed.entries > FEW_ENTRIES {
                return None;
            }
            has_said |= feed.entries > 0;
            // A feed that has never said anything does not fall silent, and breaks no silence.
            is_silent &= silent || feed.entries == 0;
        }
        has_said.then_some((voice, is_silent))
    });
    all.collect()
}

/// The feeds of a voice that have entries.
fn shown(desk: &Desk<'_>, voice: VoiceIndex) -> Vec<FeedId> {
    desk.live().newest(desk.voices.feeds(voice)).into_iter().map(|(feed, _)| feed).collect()
}

/// The newest entry of a voice, and what can be said of it.
fn newest(snapshot: &Snapshot, feeds: &[FeedId]) -> Result<Option<(EntryKey, Pause)>, StoreError> {
    let heads = heads(snapshot, feeds, None)?;
    Ok(heads.first().map(|newest| (newest.key, pause(&heads))))
}

/// The newest entries of some feeds behind a place, enough to tell a rhythm.
fn heads(snapshot: &Snapshot, feeds: &[FeedId], before: Option<EntryKey>) -> Result<Vec<Head>, StoreError> {
    let mut heads = Vec::new();
    for feed in feeds {
        heads.extend(snapshot.heads(*feed, before, PAUSES + 2)?);
    }
    heads.sort_unstable_by_key(|head| std::cmp::Reverse(head.key));
    Ok(heads)
}

/// What can be said of the first of some entries by those behind it. The same article in two feeds is one entry.
fn pause(heads: &[Head]) -> Pause {
    let mut seen: HashSet<Hash64> = HashSet::new();
    let distinct = heads.iter().filter(|head| head.link.is_none_or(|link| seen.insert(link)));
    let places: Vec<EntryKey> = distinct.map(|head| head.key).take(PAUSES + 2).collect();
    let mean = |places: &[EntryKey]| {
        let (newest, oldest) = (places.first()?, places.last()?);
        let pauses = u32::try_from(places.len().saturating_sub(1)).ok().filter(|pauses| *pauses > 0)?;
        Some(newest.listed_at.since(oldest.listed_at) / pauses)
    };
    let [newest, before, ..] = places.as_slice() else { return Pause::Unknown };
    let pause = newest.listed_at.since(before.listed_at);
    let rhythm = mean(&places[1..]);
    if pause >= LONG_PAUSE && rhythm.is_none_or(|rhythm| pause >= rhythm.saturating_mul(LONG_PAUSES)) {
        return Pause::First(pause.as_secs() / DAY.as_secs());
    }
    let about = mean(&places[..places.len().min(PAUSES + 1)]);
    about.map_or(Pause::Unknown, |about| Pause::About((about.as_secs() + DAY.as_secs() / 2) / DAY.as_secs()))
}

/// Puts to each entry of a page what can be said of the pauses before it.
pub(super) fn explain(desk: &Desk<'_>, page: &mut Page) -> Result<(), StoreError> {
    for listed in &mut page.entries {
        let key = listed.entry.key;
        let Some(voice) = desk.bound().voices.get(&key.feed).copied() else { continue };
        let behind = EntryKey { seq: key.seq.saturating_add(1), ..key };
        let heads = heads(desk.snapshot(), &shown(desk, voice), Some(behind))?;
        listed.reason = Some(pause(&heads).words());
    }
    Ok(())
}

/// The view of what quiet voices say.
pub(super) fn view(desk: &Desk<'_>, head: crate::listen::page::ViewHead) -> view::View {
    let feeds = quiet_voices(desk).into_iter().flat_map(|(voice, _)| desk.voices.feeds(voice)).copied();
    view::View { head, feeds: feeds.collect() }
}

/// A quiet voice as its page shows it.
pub(super) fn shown_as(desk: &Desk<'_>, quiet: &Quiet) -> Result<Option<QuietVoice>, StoreError> {
    let Some(entry) = desk.snapshot().entry(quiet.newest)? else { return Ok(None) };
    let mark = if quiet.is_silent { "Fell silent".to_owned() } else { quiet.pause.words() };
    Ok(Some(QuietVoice {
        person: desk.person(quiet.voice),
        newest: saying(&entry, String::new()),
        mark,
        is_silent: quiet.is_silent,
    }))
}
