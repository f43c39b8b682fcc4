//! Merging the streams of many feeds into one page.
//!
//! Each feed's entries lie in the store newest first, and the place of its newest one is known in memory. The feeds come
//! out of there from the top, a few more than the page has entries, and further ones only where that was not enough; a
//! heap over their places opens those whose newest entry can still make the page. So a page costs the same whatever the
//! number of feeds, but for one far down: it has to look into every feed that has said something since.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use super::live::{Bound, FeedSet, Live};
use super::page::{Listed, Page, Query, Source};
use super::view::{self, View};
use crate::feeds::clean;
use crate::lists::roster::VoiceIndex;
use crate::model::{Entry, EntryKey, Feed, FeedId, Timestamp, comparable_link};
use crate::store::{Head, Snapshot, StoreError};

/// A search looks at this many entries and then offers the next page instead of looking on.
pub const MAX_SCANNED_ENTRIES: usize = 20_000;
/// Most text on one page; further entries come with the next one.
pub(super) const MAX_PAGE_BYTES: usize = 16 << 20;
/// Entries whose texts are read at once.
const ENTRIES_AT_ONCE: usize = 16;
/// Entries read at once from a stream on its first opening: most feeds give a page one or two.
const FIRST_READ_ENTRIES: usize = 2;
/// Four times as many each time after that, up to this.
const MOST_READ_ENTRIES: usize = 32;

/// One page of a view: the newest entries that the query asks for, each article once.
pub fn page(snapshot: &Snapshot, live: &Live, bound: &Bound, view: &View, query: &Query) -> Result<Page, StoreError> {
    let mut streams = Streams::new(snapshot, live, &view.feeds, query);
    let mut choice = Choice { snapshot, live, bound, view, query, voices: HashMap::new(), chosen: Vec::new() };
    let mut scanned = 0;
    let mut last = None;
    let mut next = None;
    while let Some(head) = streams.next()? {
        if query.since.is_some_and(|since| head.key.listed_at < since) {
            break;
        }
        if choice.chosen.len() == query.limit || scanned == MAX_SCANNED_ENTRIES {
            next = last;
            break;
        }
        scanned += 1;
        last = Some(head.key);
        choice.offer(&head)?;
    }
    let (entries, is_cut) = read(snapshot, &choice.chosen)?;
    if let Some(last) = entries.last().filter(|_| is_cut) {
        next = Some(last.key);
    }
    let entries = listed(live, bound, entries);
    let updated = entries.iter().map(|listed| listed.entry.last_change()).max().unwrap_or_default();
    Ok(Page { head: view.head.clone(), query: query.clone(), entries, next, updated, troubled: 0 })
}

/// Reads entries as long as a page has room for their texts, and says whether it has not for all of them.
fn read(snapshot: &Snapshot, keys: &[EntryKey]) -> Result<(Vec<Entry>, bool), StoreError> {
    let (mut entries, mut room) = (Vec::new(), MAX_PAGE_BYTES);
    for some in keys.chunks(ENTRIES_AT_ONCE) {
        for entry in snapshot.entries_of(some)? {
            let texts = [&entry.summary, &entry.content].into_iter().flatten();
            let bytes = entry.title.len() + texts.map(|html| html.as_str().len()).sum::<usize>();
            if bytes > room && !entries.is_empty() {
                return Ok((entries, true));
            }
            room = room.saturating_sub(bytes);
            entries.push(entry);
        }
    }
    Ok((entries, false))
}

/// Puts to each entry who said it.
fn listed(live: &Live, bound: &Bound, entries: Vec<Entry>) -> Vec<Listed> {
    let mut sources: HashMap<FeedId, Option<Arc<Source>>> = HashMap::new();
    let with_source = |entry: Entry| {
        let source = sources.entry(entry.key.feed).or_insert_with(|| view::source_of(live, bound, entry.key.feed));
        source.clone().map(|source| Listed { entry, source, reason: None })
    };
    entries.into_iter().filter_map(with_source).collect()
}

/// Which entries come onto the page.
struct Choice<'a> {
    snapshot: &'a Snapshot,
    live: &'a Live,
    bound: &'a Bound,
    view: &'a View,
    query: &'a Query,
    voices: HashMap<VoiceIndex, usize>,
    chosen: Vec<EntryKey>,
}

impl Choice<'_> {
    fn offer(&mut self, head: &Head) -> Result<(), StoreError> {
        if !self.says_what_is_sought(head.key)? || !self.is_best_of_its_article(head)? {
            return Ok(());
        }
        if let (Some(most), Some(voice)) = (self.query.per_voice, self.bound.voices.get(&head.key.feed)) {
            let count = self.voices.entry(*voice).or_default();
            if *count == most {
                return Ok(());
            }
            *count += 1;
        }
        self.chosen.push(head.key);
        Ok(())
    }

    fn says_what_is_sought(&self, key: EntryKey) -> Result<bool, StoreError> {
        if self.query.words.is_empty() {
            return Ok(true);
        }
        Ok(self.snapshot.entry(key)?.is_some_and(|entry| says_all(&entry, &self.query.words)))
    }

    fn is_best_of_its_article(&self, head: &Head) -> Result<bool, StoreError> {
        is_best_of_its_article(self.snapshot, self.live, self.bound, head, |copy| {
            // A copy that the query leaves out stands in nobody's way.
            let is_asked_for = self.query.since.is_none_or(|since| copy.listed_at >= since);
            Ok(self.view.feeds.contains(copy.feed) && is_asked_for && self.says_what_is_sought(copy)?)
        })
    }
}

/// Several feeds of a view may carry one article. The one on the article's own host shows it, else the one where it was
/// seen first; this decides the same way on every page. `stands` says whether a copy of another feed stands in the view.
pub(super) fn is_best_of_its_article(
    snapshot: &Snapshot,
    live: &Live,
    bound: &Bound,
    head: &Head,
    mut stands: impl FnMut(EntryKey) -> Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    let Some(link) = head.link else { return Ok(true) };
    let mut rivals = Vec::new();
    for copy in snapshot.same_link(link)? {
        if copy.0.feed != head.key.feed && stands(copy.0)? {
            rivals.push(copy);
        }
    }
    if rivals.is_empty() {
        return Ok(true);
    }
    let entry = snapshot.entry(head.key)?;
    let article = entry.and_then(|entry| comparable_link(entry.link.as_deref()?)).unwrap_or_default();
    let rank = |key: EntryKey, first_seen: Timestamp| {
        let is_home = live.feed(key.feed).is_some_and(|feed| lives_at(bound, &feed, host_of(&article)));
        (!is_home, first_seen, key)
    };
    let own = rank(head.key, head.first_seen);
    Ok(rivals.into_iter().all(|(key, first_seen)| own < rank(key, first_seen)))
}

/// Whether a feed is at home on a host: by its own address, or by the home page that the list's keeper gave it. What the
/// feed says of itself counts for nothing here.
fn lives_at(bound: &Bound, feed: &Feed, host: &str) -> bool {
    let homes = bound.subscriptions_of(feed).filter_map(|(_, subscription)| subscription.home.as_deref());
    let mut links = homes.chain([feed.address().as_str()]).filter_map(comparable_link);
    links.any(|link| host_of(&link) == host)
}

/// The host of a link in comparable form.
fn host_of(comparable: &str) -> &str {
    comparable.split(['/', '?']).next().unwrap_or_default()
}

pub(super) fn says_all(entry: &Entry, words: &[String]) -> bool {
    if words.is_empty() {
        return true;
    }
    let mut said = entry.title.to_lowercase();
    for html in [&entry.summary, &entry.content].into_iter().flatten() {
        said.push('\n');
        said.push_str(&clean::text(html.as_str(), usize::MAX).to_lowercase());
    }
    words.iter().all(|word| said.contains(word.as_str()))
}

/// The merged stream, newest first.
struct Streams<'a> {
    snapshot: &'a Snapshot,
    live: &'a Live,
    feeds: &'a FeedSet,
    before: Option<EntryKey>,
    heap: BinaryHeap<Stream>,
    /// The feeds that are, or were, in the heap.
    taken: HashSet<FeedId>,
    /// Where feeds that were not taken yet stand below.
    rest_below: Option<EntryKey>,
    /// How many feeds to have at once.
    most: usize,
}

/// One feed's stream: where its next entry lies at the latest, and what was already read of it.
struct Stream {
    next: EntryKey,
    feed: FeedId,
    /// Newest last, so that the next one is popped.
    read: Vec<Head>,
    /// Everything from here on upwards was read.
    read_to: Option<EntryKey>,
    /// How many entries to read at once.
    step: usize,
}

impl Ord for Stream {
    fn cmp(&self, other: &Self) -> Ordering {
        self.next.cmp(&other.next)
    }
}

impl PartialOrd for Stream {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Stream {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Stream {}

impl<'a> Streams<'a> {
    fn new(snapshot: &'a Snapshot, live: &'a Live, feeds: &'a FeedSet, query: &Query) -> Self {
        // The entries of a page, and the one that says that there are more, come from so many feeds at most. Some more
        // are at hand for articles that several carry.
        let most = query.limit + query.limit / 4 + 1;
        let (heap, taken) = (BinaryHeap::new(), HashSet::new());
        let mut streams = Self { snapshot, live, feeds, before: query.before, heap, taken, rest_below: None, most };
        streams.take_feeds();
        streams
    }

    /// Takes feeds from the top that were not taken yet. Begins at the top each time: what has spoken meanwhile stands
    /// there now, and nothing is passed over.
    fn take_feeds(&mut self) {
        let found = self.live.newest_of(self.feeds, self.before.map(|before| before.listed_at), self.most);
        self.most *= 8;
        for (feed, listed_at) in found.feeds {
            if self.taken.insert(feed) {
                let newest = EntryKey { listed_at, feed, seq: u32::MAX };
                let next = self.before.map_or(newest, |before| before.min(newest));
                let (read, step) = (Vec::new(), FIRST_READ_ENTRIES);
                self.heap.push(Stream { next, feed, read, read_to: self.before, step });
            }
        }
        self.rest_below = found.rest_below.map(|(listed_at, feed)| EntryKey { listed_at, feed, seq: 0 });
    }

    fn next(&mut self) -> Result<Option<Head>, StoreError> {
        loop {
            // What was not taken may stand above what is left.
            while self.rest_below.is_some_and(|rest| self.heap.peek().is_none_or(|top| top.next < rest)) {
                self.take_feeds();
            }
            let Some(mut stream) = self.heap.pop() else { return Ok(None) };
            if let Some(head) = stream.read.pop() {
                // With nothing left in hand, the stream goes back under a bound; it is read on only when that comes up.
                stream.next = stream.read.last().map_or(head.key, |after| after.key);
                self.heap.push(stream);
                return Ok(Some(head));
            }
            stream.read = self.snapshot.heads(stream.feed, stream.read_to, stream.step)?;
            stream.read.reverse();
            stream.step = MOST_READ_ENTRIES.min(stream.step * 4);
            if let (Some(newest), Some(oldest)) = (stream.read.last(), stream.read.first()) {
                stream.next = newest.key;
                stream.read_to = Some(oldest.key);
                self.heap.push(stream);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::opml;
    use crate::lists::roster::{ListInput, Roster};
    use crate::model::{Change, Hash64, Known, Link, Role};
    use crate::store::{FeedUpdate, Store, TakeOver};

    /// An entry that was listed at so many seconds.
    fn entry(feed: FeedId, seq: u32, at: i64, link: String) -> Entry {
        let listed_at = Timestamp::from_seconds(at);
        Entry {
            key: EntryKey { listed_at, feed, seq },
            first_seen: listed_at,
            guid: format!("{}#{seq}", feed.0),
            link: Some(link),
            title: format!("{} says {seq}", feed.0),
            authors: Vec::new(),
            published: None,
            updated: None,
            summary: None,
            content: None,
            categories: Vec::new(),
            enclosures: Vec::new(),
            comments: None,
            language: None,
            origin: None,
        }
    }

    fn change(entry: Entry) -> Change {
        let EntryKey { listed_at, seq, .. } = entry.key;
        let link = entry.link.as_deref().and_then(Link::to).map(|link| Hash64(link.page));
        let (guid, carried_on) = (Hash64(u64::from(seq)), 0);
        let now =
            Known { seq, listed_at, first_seen: listed_at, guid, link, fingerprint: guid, carried_on, purged: false };
        Change { was: None, now, entry: Some(entry) }
    }

    /// Forty feeds: the newest entries of thirty are one article, which every page shows as one entry; far more feeds than
    /// a small page takes at once have to be looked into to fill it.
    #[test]
    fn pages_of_any_size_follow_one_another_through_all_feeds() {
        let home = tempfile::tempdir().expect("there is room");
        let store = Store::open(home.path(), 1 << 20).expect("it is new");
        let outlines: Vec<String> =
            (10..50).map(|n| format!("<outline text='{n}' xmlUrl='https://{n}.example/'/>")).collect();
        let opml = opml::parse(format!("<opml>{}</opml>", outlines.concat()).as_bytes()).expect("it is OPML");
        let list = ListInput { name: "all".to_owned(), role: Role::Followers, opml, fault: None };
        let roster = Arc::new(Roster::build(vec![list]));
        let urls: Vec<_> = roster.feeds().cloned().collect();
        let new = TakeOver { urls: urls.clone(), ..TakeOver::default() };
        let feeds = store.take_over(&new, Timestamp::default()).expect("the disk is there");
        let mut updates: Vec<FeedUpdate> = feeds
            .into_iter()
            .enumerate()
            .map(|(n, feed)| {
                let own = |seq: u32| format!("https://elsewhere.example/{n}/{seq}");
                let shared = if n < 30 { "https://elsewhere.example/shared".to_owned() } else { own(1) };
                let at = n as i64;
                let entries = [entry(feed.id, 0, at, own(0)), entry(feed.id, 1, 1000 - at, shared)];
                FeedUpdate { changes: entries.map(change).into(), feed, said: Vec::new(), events: Vec::new() }
            })
            .collect();
        store.commit(&mut updates).expect("the disk is there");
        let live = Live::default();
        let ids = urls.into_iter().zip(updates.iter().map(|update| update.feed.id)).collect();
        live.update(updates.into_iter().map(|update| (update.feed, true)));
        live.set_roster(roster, ids, HashMap::new());
        let (snapshot, bound) = (store.snapshot().expect("the disk is there"), live.bound());
        let Some(view::Found::View(view)) = view::find(&bound, "/all") else { panic!("there is such a list") };
        let pages = |limit| {
            let mut places = Vec::new();
            let mut query = Query { limit, ..Query::default() };
            loop {
                let page = page(&snapshot, &live, &bound, &view, &query).expect("the disk is there");
                assert!(page.entries.len() <= limit);
                places.extend(page.entries.iter().map(|listed| listed.entry.key.listed_at.seconds()));
                let Some(next) = page.next else { return places };
                query.before = Some(next);
            }
        };
        // The copy that was seen first stands for the article.
        let expected: Vec<i64> = (961..=971).rev().chain((0..40).rev()).collect();
        for limit in [1, 3, 40, 500] {
            assert_eq!(pages(limit), expected, "{limit}");
        }
    }
}
