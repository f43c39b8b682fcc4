//! What has come true between you and the voices, in words: each told once.
//!
//! Pure: what is told follows from the scene, and from what was told before. Only what came true lately is news
//! ([`LATELY`]), so that neither a new installation nor a new version tells of years. What comes true while the daemon
//! does not run is told when it runs again within that time.

mod words;

use std::collections::HashSet;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::listen::health::news;
use crate::lists::diff::AWAY_BRIEFLY;
use crate::lists::roster::VoiceIndex;
use crate::model::{EntryKey, FeedId, Hash64, ListEventKind, Notice, NoticeKind, Timestamp, Trouble};
use crate::store::{Head, StoreError};

use super::bridges::{self, LATELY, Site};
use super::conversations::{self, Talk};
use super::gathered::Gathered;
use super::newcomers::{self, Change, first_bits};
use super::who::Desk;
use words::Words;

/// Most notices of one call; the others come with the next.
const MAX_NOTICES: usize = 200;
/// How long words wait for an answer until it is told.
const NEGLECTED_AFTER: Duration = Duration::from_hours(30 * 24);
/// So many entries of each feed tell how often a voice posted before a pause.
const ENTRIES_OF_A_RHYTHM: usize = 10;
/// The least pause after which somebody comes back…
const PAUSE_AT_LEAST: Duration = Duration::from_hours(60 * 24);
/// …and so many times the rhythm.
const PAUSE_RHYTHMS: u32 = 4;
/// How long ago a silence may have begun to be told: it is noticed by the next fetch, which may be late.
const SILENT_LATELY: Duration = Duration::from_hours(30 * 24);

/// Something that has come true, and may have been told before.
struct True<'a> {
    kind: NoticeKind,
    /// It was told where one of these was; the first one is kept.
    marks: Vec<Hash64>,
    since: Timestamp,
    what: What<'a>,
}

/// What has come true.
enum What<'a> {
    Newcomer(&'a Change),
    FirstHeard(VoiceIndex, EntryKey),
    FellSilent(VoiceIndex, EntryKey),
    CameBack { voice: VoiceIndex, entry: EntryKey, before: Timestamp },
    Neglected(VoiceIndex, EntryKey),
    Conversation(&'a Talk),
    Bridge(&'a Site),
}

/// What has come true and was not told yet, what did so first first. `waiting` are the voices whose words wait, with the
/// first of those words and the last contact; `address` makes the absolute address of a path here.
pub(super) fn notices(
    desk: &Desk<'_>,
    gathered: &Gathered,
    waiting: impl Iterator<Item = (VoiceIndex, EntryKey, Option<Timestamp>)>,
    address: &dyn Fn(&str) -> String,
) -> Result<Vec<Notice>, StoreError> {
    let now = desk.scene.now;
    let lately = now.minus(LATELY);
    let changes = newcomers::gather(desk, lately)?;
    let events = desk.scene.store.events(Timestamp::MIN)?;
    let followers: HashSet<Hash64> =
        newcomers::new_followers(desk.bound(), &events).iter().map(|(_, event)| newcomers::mark(event)).collect();
    let mut all: Vec<True<'_>> = changes.iter().filter_map(|change| newcomer(change, &followers, now)).collect();
    first_heard(desk, &changes, &mut all)?;
    for voice in desk.voices.heard() {
        all.extend(fell_silent(desk, voice)?);
        all.extend(came_back(desk, voice, lately)?);
    }
    let neglected = waiting.filter(|(_, first, _)| now.since(first.listed_at) >= NEGLECTED_AFTER);
    all.extend(neglected.map(|(voice, first, contact)| True {
        kind: NoticeKind::Neglected,
        marks: vec![mark_of_wait(desk, voice, contact)],
        since: first.listed_at.plus(NEGLECTED_AFTER),
        what: What::Neglected(voice, first),
    }));
    all.extend(gathered.talks.iter().filter(|talk| talk.began >= lately).map(|talk| True {
        kind: NoticeKind::Conversation,
        marks: conversations::marks(talk),
        since: talk.began,
        what: What::Conversation(talk),
    }));
    all.extend(gathered.sites.iter().filter(|site| site.third >= lately).map(|site| True {
        kind: NoticeKind::Bridge,
        marks: vec![bridges::mark(site)],
        since: site.third,
        what: What::Bridge(site),
    }));
    let mut news = untold(desk, all)?;
    // Who has waited for a month may wait for what is new.
    let waits = |one: &True<'_>| one.kind == NoticeKind::Neglected;
    news.sort_by_key(|one| (waits(one), one.since, std::cmp::Reverse(one.kind), one.marks.first().copied()));
    let mut notices: Vec<Notice> = Vec::new();
    for one in news {
        if notices.len() == MAX_NOTICES {
            break;
        }
        let (Some(mark), Some(words)) = (one.marks.first(), words::of(desk, &one.what, address)?) else { continue };
        let seq = Notice::FIRST_SEQ + notices.len() as u32;
        let key = EntryKey { listed_at: now, feed: words.feed.unwrap_or(Notice::NOBODY), seq };
        let Words { title, text, link, about, .. } = words;
        notices.push(Notice { key, kind: one.kind, mark: *mark, title, text, link, about });
    }
    Ok(notices)
}

/// What was not told before.
fn untold<'a>(desk: &Desk<'_>, mut all: Vec<True<'a>>) -> Result<Vec<True<'a>>, StoreError> {
    let marks: Vec<_> = all.iter().flat_map(|one| one.marks.iter().map(|mark| (one.kind, *mark))).collect();
    // A change of the lists may look otherwise once its list or its voice is gone; it is the same change.
    let others: Vec<_> = marks.iter().map(|(kind, mark)| (other_kind(*kind), *mark)).collect();
    let (told, told_otherwise) = (desk.scene.store.are_told(&marks)?, desk.scene.store.are_told(&others)?);
    let mut told = told.into_iter().zip(told_otherwise).map(|(told, otherwise)| told || otherwise);
    all.retain(|one| told.by_ref().take(one.marks.len()).filter(|is_told| *is_told).count() == 0);
    // Two conversations about one page, weeks apart, are told as one.
    let mut seen = HashSet::new();
    all.retain(|one| one.marks.iter().all(|mark| seen.insert((one.kind, *mark))));
    Ok(all)
}

/// As what else the same may have been told.
fn other_kind(kind: NoticeKind) -> NoticeKind {
    match kind {
        NoticeKind::Newcomer => NoticeKind::Follower,
        NoticeKind::Follower => NoticeKind::Newcomer,
        kind => kind,
    }
}

/// A departure is told when it lasts.
fn newcomer<'a>(change: &'a Change, followers: &HashSet<Hash64>, now: Timestamp) -> Option<True<'a>> {
    let event = &change.event;
    let is_brief = event.kind == ListEventKind::Left && now.since(event.at) < AWAY_BRIEFLY;
    let mark = newcomers::mark(event);
    (!is_brief).then(|| True {
        kind: if followers.contains(&mark) { NoticeKind::Follower } else { NoticeKind::Newcomer },
        marks: vec![mark],
        since: event.at,
        what: What::Newcomer(change),
    })
}

/// Those who came and have been heard since, and never before.
fn first_heard(desk: &Desk<'_>, changes: &[Change], all: &mut Vec<True<'_>>) -> Result<(), StoreError> {
    let mut seen = HashSet::new();
    for change in changes.iter().filter(|change| change.event.kind != ListEventKind::Left) {
        let Some(voice) = change.voice.filter(|voice| seen.insert(*voice)) else { continue };
        let feeds = desk.voices.feeds(voice);
        let mut firsts = Vec::new();
        for feed in feeds {
            let Some(first) = desk.snapshot().first_since(*feed, Timestamp::MIN)? else { continue };
            firsts.extend(desk.head(first)?.map(|head| head.first_seen));
        }
        let Some(since) = firsts.iter().min().filter(|first| **first >= change.event.at) else { continue };
        let Some(newest) = newest(desk, feeds)? else { continue };
        let marks = feeds.iter().map(|feed| mark_of_text(&format!("feed {}", feed.0))).collect();
        let what = What::FirstHeard(voice, newest.key);
        all.push(True { kind: NoticeKind::FirstHeard, marks, since: *since, what });
    }
    Ok(())
}

/// A voice all of whose feeds have fallen silent, and not before anybody listened.
fn fell_silent<'a>(desk: &Desk<'_>, voice: VoiceIndex) -> Result<Option<True<'a>>, StoreError> {
    let feeds = desk.voices.feeds(voice).iter().filter_map(|feed| desk.live().feed(*feed));
    let mut last = None;
    for feed in feeds.filter(|feed| feed.entries > 0) {
        if feed.trouble != Some(Trouble::Silent) {
            return Ok(None);
        }
        last = last.max(Some((feed.newest, feed.id)));
    }
    let Some((_, feed)) = last else { return Ok(None) };
    let (Some(feed), Some(newest)) = (desk.live().feed(feed), newest(desk, &[feed])?) else { return Ok(None) };
    let is_silent = |at| news::silent_by(feed.schedule.rhythm, Some(newest.key.listed_at), at);
    let is_news = !is_silent(newest.first_seen) && !is_silent(desk.scene.now.minus(SILENT_LATELY));
    Ok(is_news.then(|| True {
        kind: NoticeKind::FellSilent,
        marks: vec![mark_of(newest.key)],
        since: newest.key.listed_at,
        what: What::FellSilent(voice, newest.key),
    }))
}

/// A voice that spoke lately after a long pause. Its first words of that time are the only ones that could.
fn came_back<'a>(desk: &Desk<'_>, voice: VoiceIndex, since: Timestamp) -> Result<Option<True<'a>>, StoreError> {
    let feeds = desk.voices.feeds(voice);
    let mut first: Option<EntryKey> = None;
    for (feed, newest) in desk.live().newest(feeds) {
        if newest >= since {
            let found = desk.snapshot().first_since(feed, since)?;
            first = first.into_iter().chain(found).min();
        }
    }
    let Some(entry) = first.filter(|entry| entry.listed_at <= desk.scene.now) else { return Ok(None) };
    let said_before = |most| -> Result<Vec<EntryKey>, StoreError> {
        let mut said = Vec::new();
        for feed in feeds {
            said.extend(desk.snapshot().heads(*feed, Some(entry), most)?.iter().map(|head| head.key));
        }
        Ok(said)
    };
    // For most voices the words before these tell already that there was no pause.
    let Some(last) = said_before(1)?.into_iter().max() else { return Ok(None) };
    if entry.listed_at.since(last.listed_at) < PAUSE_AT_LEAST {
        return Ok(None);
    }
    // As it posted before: the feed's own rhythm knows of the pause already.
    let times = said_before(ENTRIES_OF_A_RHYTHM)?;
    let oldest = times.iter().min().unwrap_or(&last);
    let pauses = u32::try_from(times.len().saturating_sub(1)).unwrap_or(u32::MAX).max(1);
    let (oldest, before) = (oldest.listed_at, last.listed_at);
    let rhythm = before.since(oldest) / pauses;
    let least = PAUSE_AT_LEAST.max(rhythm.saturating_mul(PAUSE_RHYTHMS));
    let what = What::CameBack { voice, entry, before };
    let came_back = entry.listed_at.since(before) >= least;
    Ok(came_back.then(|| True {
        kind: NoticeKind::CameBack,
        // By what it said last before: what it said first after may turn out to be another entry.
        marks: vec![mark_of(last)],
        since: entry.listed_at,
        what,
    }))
}

/// One wait of a voice: since the last contact, whatever of its words are still kept.
fn mark_of_wait(desk: &Desk<'_>, voice: VoiceIndex, contact: Option<Timestamp>) -> Hash64 {
    let feed = desk.voices.feeds(voice).first().map_or(u32::MAX, |feed| feed.0);
    mark_of_text(&format!("wait {feed} {:?}", contact.map(Timestamp::millis)))
}

/// The newest entry of some feeds.
fn newest(desk: &Desk<'_>, feeds: &[FeedId]) -> Result<Option<Head>, StoreError> {
    let mut newest: Option<Head> = None;
    for feed in feeds {
        let head = desk.snapshot().heads(*feed, None, 1)?.pop();
        newest = newest.into_iter().chain(head).max_by_key(|head| head.key);
    }
    Ok(newest)
}

fn mark_of(key: EntryKey) -> Hash64 {
    mark_of_text(&key.to_string())
}

fn mark_of_text(text: &str) -> Hash64 {
    first_bits(Sha256::new_with_prefix(text))
}
