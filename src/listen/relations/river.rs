//! Rivers of what speaks of you and of what was told: one page, newest first, each with its reason.
//!
//! As [`crate::listen::merge`] makes pages of entries by feeds, this makes pages of mentions and notices by time.

use std::collections::HashMap;
use std::sync::Arc;

use crate::listen::merge::{MAX_PAGE_BYTES, MAX_SCANNED_ENTRIES, says_all};
use crate::listen::page::{Listed, Page, Query, Source, ViewHead};
use crate::listen::view;
use crate::model::{Category, Entry, EntryKey, FeedId, Mention, Notice, NoticeKind, Role};
use crate::store::StoreError;

use super::mentions;
use super::who::{Desk, Who};

/// Rows read at once.
const ROWS_AT_ONCE: usize = 200;

/// What a river is made of.
pub(super) struct Springs<'a> {
    /// Whether what speaks of you is in it.
    pub(super) mentions: bool,
    /// Which notices are in it.
    pub(super) notices: &'a [NoticeKind],
    /// Whether it takes of newcomers only those who became followers, and are.
    pub(super) followers_only: bool,
}

enum Row {
    Mention(EntryKey, Mention),
    Notice(Notice),
}

impl Row {
    fn key(&self) -> EntryKey {
        match self {
            Self::Mention(key, _) => *key,
            Self::Notice(notice) => notice.key,
        }
    }
}

/// One page of a river. `address` makes the absolute address of a path here.
pub(super) fn page(
    desk: &Desk<'_>,
    head: ViewHead,
    springs: &Springs<'_>,
    query: &Query,
    address: &dyn Fn(&str) -> String,
) -> Result<Page, StoreError> {
    let mut voices: HashMap<Who, usize> = HashMap::new();
    let mut entries: Vec<Listed> = Vec::new();
    let (mut next, mut before, mut scanned, mut room) = (None, query.before, 0, MAX_PAGE_BYTES);
    'reading: loop {
        let rows = rows(desk, springs, before)?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            if query.since.is_some_and(|since| row.key().listed_at < since) {
                break 'reading;
            }
            if scanned == MAX_SCANNED_ENTRIES {
                next = before;
                break 'reading;
            }
            scanned += 1;
            let after = before.replace(row.key());
            let Some((listed, who)) = listed(desk, row, &head, springs, query, address)? else { continue };
            if !says_all(&listed.entry, &query.words) {
                continue;
            }
            let of_voice = who.map(|who| voices.entry(who).or_default());
            if of_voice.as_deref().is_some_and(|count| query.per_voice.is_some_and(|most| *count >= most)) {
                continue;
            }
            let bytes = size(&listed.entry);
            if entries.len() == query.limit || bytes > room && !entries.is_empty() {
                next = after;
                break 'reading;
            }
            room = room.saturating_sub(bytes);
            if let Some(count) = of_voice {
                *count += 1;
            }
            entries.push(listed);
        }
    }
    let updated = entries.iter().map(|listed| listed.entry.last_change()).max().unwrap_or_default();
    Ok(Page { head, query: query.clone(), entries, next, updated, troubled: 0 })
}

fn size(entry: &Entry) -> usize {
    let texts = [&entry.summary, &entry.content].into_iter().flatten();
    entry.title.len() + texts.map(|html| html.as_str().len()).sum::<usize>()
}

/// The next rows behind a place, newest first, without gaps.
fn rows(desk: &Desk<'_>, springs: &Springs<'_>, before: Option<EntryKey>) -> Result<Vec<Row>, StoreError> {
    let mut rows = Vec::new();
    // Where a spring has more than was read of it, everything behind what was read has to wait.
    let mut read_to: Option<EntryKey> = None;
    if springs.mentions {
        let mentions = desk.snapshot().mentions(before, ROWS_AT_ONCE)?;
        if mentions.len() == ROWS_AT_ONCE {
            read_to = mentions.last().map(|(key, _)| *key);
        }
        rows.extend(mentions.into_iter().map(|(key, mention)| Row::Mention(key, mention)));
    }
    for kind in springs.notices {
        let notices = desk.scene.store.notices(&[*kind], before, ROWS_AT_ONCE)?;
        if notices.len() == ROWS_AT_ONCE {
            read_to = read_to.max(notices.last().map(|notice| notice.key));
        }
        rows.extend(notices.into_iter().map(Row::Notice));
    }
    rows.retain(|row| read_to.is_none_or(|read_to| row.key() >= read_to));
    rows.sort_by_key(|row| std::cmp::Reverse(row.key()));
    Ok(rows)
}

fn listed(
    desk: &Desk<'_>,
    row: Row,
    head: &ViewHead,
    springs: &Springs<'_>,
    query: &Query,
    address: &dyn Fn(&str) -> String,
) -> Result<Option<(Listed, Option<Who>)>, StoreError> {
    match row {
        Row::Mention(key, mention) => {
            // A copy that the query leaves out stands in nobody's way.
            let stands = |copy: &Entry| {
                query.since.is_none_or(|since| copy.key.listed_at >= since) && says_all(copy, &query.words)
            };
            let found = mentions::listed(desk, key, &mention, stands)?;
            Ok(found.map(|(listed, who)| {
                // Those of whom nothing is known but their words are not one and the same.
                (listed, Some(who).filter(|who| *who != Who::Outside(None)))
            }))
        }
        Row::Notice(notice) if springs.followers_only && !is_of_follower(desk, &notice) => Ok(None),
        Row::Notice(notice) => Ok(told(desk, notice, head, address)),
    }
}

/// Whether a notice says that somebody began to follow you, who does so still.
fn is_of_follower(desk: &Desk<'_>, notice: &Notice) -> bool {
    let roster = &desk.bound().roster;
    let voice = voice_of(desk, notice).and_then(|voice| roster.voices.get(voice));
    notice.kind == NoticeKind::Follower && voice.is_some_and(|voice| roster.has_role(voice, Role::Followers))
}

fn voice_of(desk: &Desk<'_>, notice: &Notice) -> Option<crate::lists::roster::VoiceIndex> {
    notice.about.iter().chain([&notice.key.feed]).find_map(|feed| desk.bound().voices.get(feed)).copied()
}

/// A notice as an entry on a page. What is told of one who stands in no list any more is shown only where that is what
/// is told, or where it is about others too.
pub(super) fn told(
    desk: &Desk<'_>,
    notice: Notice,
    head: &ViewHead,
    address: &dyn Fn(&str) -> String,
) -> Option<(Listed, Option<Who>)> {
    let is_about_many = notice.key.feed == Notice::NOBODY;
    let voice = if is_about_many { None } else { voice_of(desk, &notice) };
    let is_of_newcomer = matches!(notice.kind, NoticeKind::Newcomer | NoticeKind::Follower);
    if voice.is_none() && !is_about_many && !is_of_newcomer {
        return None;
    }
    let feed = voice.map_or(notice.key.feed, |voice| shown_by(desk, voice, &notice));
    let source = view::source_of(desk.live(), desk.bound(), feed).unwrap_or_else(|| of_view(head, address));
    let listed = Listed { entry: entry_of(notice), source, reason: None };
    Some((listed, voice.map(Who::Voice)))
}

/// The feed that a voice is named by: that of the notice, unless it is another's by now.
fn shown_by(desk: &Desk<'_>, voice: usize, notice: &Notice) -> FeedId {
    let feeds = desk.voices.feeds(voice);
    let is_own = feeds.contains(&notice.key.feed);
    if is_own { notice.key.feed } else { feeds.first().copied().unwrap_or(notice.key.feed) }
}

/// Who says what is about several voices: the view itself.
fn of_view(head: &ViewHead, address: &dyn Fn(&str) -> String) -> Arc<Source> {
    let url = address(&head.path);
    Arc::new(Source {
        id: url.clone(),
        title: head.title.clone(),
        url,
        voice: head.title.clone(),
        voice_path: head.path.clone(),
        ..Source::default()
    })
}

fn entry_of(notice: Notice) -> Entry {
    Entry {
        key: notice.key,
        first_seen: notice.key.listed_at,
        // An id of this daemon's own is made from the key.
        guid: String::new(),
        link: notice.link,
        title: notice.title,
        authors: Vec::new(),
        published: Some(notice.key.listed_at),
        updated: None,
        summary: None,
        content: Some(notice.text),
        categories: vec![Category { term: word(notice.kind).to_owned(), ..Category::default() }],
        enclosures: Vec::new(),
        comments: None,
        language: Some("en".to_owned()),
        origin: None,
    }
}

/// One word or two for what came true, as a category.
fn word(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::FirstHeard => "first heard",
        NoticeKind::FellSilent => "fell silent",
        NoticeKind::CameBack => "came back",
        NoticeKind::Neglected => "neglected",
        NoticeKind::Conversation => "conversation",
        NoticeKind::Bridge => "bridge",
        NoticeKind::Newcomer => "newcomer",
        NoticeKind::Follower => "follower",
    }
}

/// Merges notices into a page of entries that stands by itself already.
pub(super) fn pour(entries: Page, notices: Page) -> Page {
    let limit = entries.query.limit;
    // Behind the place where one of them goes on, the other has to wait.
    let read_to = entries.next.max(notices.next);
    let mut all = entries.entries;
    all.extend(notices.entries);
    all.retain(|listed| read_to.is_none_or(|read_to| listed.entry.key >= read_to));
    all.sort_by_key(|listed| std::cmp::Reverse(listed.entry.key));
    let mut next = read_to;
    if let Some(most) = entries.query.per_voice {
        let mut voices: HashMap<String, usize> = HashMap::new();
        all.retain(|listed| {
            let count = voices.entry(listed.source.voice_path.clone()).or_default();
            *count += 1;
            *count <= most
        });
    }
    if all.len() > limit {
        all.truncate(limit);
        next = all.last().map(|last| last.entry.key);
    }
    let updated = all.iter().map(|listed| listed.entry.last_change()).max().unwrap_or_default();
    Page { entries: all, next, updated, ..entries }
}
