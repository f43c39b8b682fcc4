//! The health view: what happened to the feeds and lists themselves, as a stream of events.
//!
//! Owns the page of events, as [`super::merge`] owns the page of entries. [`news`] makes the events. Knows neither clock
//! nor formats.

pub mod news;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::live::{Bound, Live};
use super::merge::says_all;
use super::page::{Listed, Page, Query, Source};
use super::view::{self, View};
use crate::lists::opml::Outline;
use crate::model::{Category, Entry, FeedId, FeedUrl, HealthEvent, HealthKind};
use crate::store::{Store, StoreError};

/// Events read at once.
const EVENTS_AT_ONCE: usize = 200;

/// One page of the health view: the newest events that the query asks for. `address` makes the absolute address of a
/// path here; each event links to its voice's.
pub fn page(
    store: &Store,
    live: &Live,
    bound: &Bound,
    view: &View,
    query: &Query,
    address: impl Fn(&str) -> String,
) -> Result<Page, StoreError> {
    let mut told = Told { live, bound, address, known: HashMap::new() };
    let mut voices: HashMap<String, usize> = HashMap::new();
    let mut entries: Vec<Listed> = Vec::new();
    let (mut next, mut before) = (None, query.before);
    'reading: loop {
        let events = store.health(before, EVENTS_AT_ONCE)?;
        let Some(last) = events.last() else { break };
        before = Some(last.key);
        for event in events {
            if query.since.is_some_and(|since| event.key.listed_at < since) {
                break 'reading;
            }
            let Some(source) = told.source(&event) else { continue };
            let entry = told.entry(event, &source);
            if !says_all(&entry, &query.words) {
                continue;
            }
            let of_voice = voices.entry(source.voice_path.clone()).or_default();
            if query.per_voice.is_some_and(|most| *of_voice >= most) {
                continue;
            }
            if entries.len() == query.limit {
                next = entries.last().map(|last| last.entry.key);
                break 'reading;
            }
            *of_voice += 1;
            entries.push(Listed { entry, source, reason: None });
        }
    }
    let updated = entries.iter().map(|listed| listed.entry.last_change()).max().unwrap_or_default();
    Ok(Page { head: view.head.clone(), query: query.clone(), entries, next, updated, troubled: 0 })
}

/// The outlines of the feeds that events tell of, as the lists have them, those with the newest events first.
pub fn outlines(store: &Store, live: &Live, bound: &Bound) -> Result<Vec<Outline>, StoreError> {
    let mut seen: HashSet<FeedId> = HashSet::new();
    let mut outlines = Vec::new();
    let mut before = None;
    loop {
        let events = store.health(before, EVENTS_AT_ONCE)?;
        let Some(last) = events.last() else { return Ok(outlines) };
        before = Some(last.key);
        for event in events.into_iter().filter(|event| event.list.is_none()) {
            if !seen.insert(event.key.feed) {
                continue;
            }
            let Some(feed) = live.feed(event.key.feed) else { continue };
            let subscription = bound.subscriptions_of(&feed).next();
            outlines.extend(subscription.map(|(_, found)| outline(&found.title, &feed.url, found.home.as_deref())));
        }
    }
}

/// The lists of which the last that was told is that they cannot be read.
pub fn unreadable_lists(store: &Store) -> Result<BTreeSet<String>, StoreError> {
    let mut last: BTreeMap<String, HealthKind> = BTreeMap::new();
    let mut before = None;
    loop {
        let events = store.health(before, EVENTS_AT_ONCE)?;
        let Some(oldest) = events.last() else { break };
        before = Some(oldest.key);
        for event in events {
            if let Some(list) = event.list {
                last.entry(list).or_insert(event.kind);
            }
        }
    }
    let unreadable = last.into_iter().filter(|(_, kind)| *kind == HealthKind::ListUnreadable);
    Ok(unreadable.map(|(list, _)| list).collect())
}

/// Credentials are cut where outlines are written.
fn outline(title: &str, url: &FeedUrl, home: Option<&str>) -> Outline {
    let url = url.to_string();
    let attributes = [("type", "rss"), ("text", title), ("xmlUrl", &url)].into_iter();
    let home = home.map(|home| ("htmlUrl", home));
    Outline { attributes: attributes.chain(home).collect(), children: Vec::new(), line: 1 }
}

/// Events on their way onto a page.
struct Told<'a, A> {
    live: &'a Live,
    bound: &'a Bound,
    address: A,
    known: HashMap<FeedId, Option<Arc<Source>>>,
}

impl<A: Fn(&str) -> String> Told<'_, A> {
    /// To whom it happened; `None` where that stands in no list any more.
    fn source(&mut self, event: &HealthEvent) -> Option<Arc<Source>> {
        if let Some(name) = &event.list {
            let list = self.bound.roster.lists.iter().find(|list| list.name == *name)?;
            let url = (self.address)(&list.path);
            let source = Source {
                id: url.clone(),
                title: list.title.clone(),
                url,
                home: None,
                former_urls: Vec::new(),
                voice: list.title.clone(),
                voice_path: list.path.clone(),
                circles: Vec::new(),
            };
            return Some(Arc::new(source));
        }
        let feed = event.key.feed;
        if !self.bound.listed().contains(feed) {
            return None;
        }
        self.known.entry(feed).or_insert_with(|| view::source_of(self.live, self.bound, feed)).clone()
    }

    fn entry(&self, event: HealthEvent, source: &Source) -> Entry {
        let kind = Category { term: event.kind.as_str().to_owned(), ..Category::default() };
        Entry {
            key: event.key,
            first_seen: event.key.listed_at,
            // An id of this daemon's own is made from the key.
            guid: String::new(),
            link: (!source.voice_path.is_empty()).then(|| (self.address)(&source.voice_path)),
            title: event.title,
            authors: Vec::new(),
            published: Some(event.key.listed_at),
            updated: None,
            summary: None,
            content: Some(event.text),
            categories: vec![kind],
            enclosures: Vec::new(),
            comments: None,
            language: Some("en".to_owned()),
            origin: None,
        }
    }
}
