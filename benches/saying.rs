//! What it costs to hear what entries say of others: finding their links, and keeping those beside the entries.
//!
//! Entries are made up, of the usual size: two to three kilobytes of HTML with five links.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros make an undocumented main; a bench may fail loudly"
)]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use listend::config::Mine;
use listend::feeds::clean;
use listend::feeds::links::links;
use listend::listen::live::{Bound, Live};
use listend::listen::said::{Channel, Furniture, Hearing, Names, said};
use listend::listen::sites::Sites;
use listend::lists::opml;
use listend::lists::roster::{ListInput, Roster};
use listend::model::{Change, Entry, EntryKey, Feed, FeedId, FeedUrl, Hash64, Known, Link, Markup, Role, Timestamp};
use listend::store::{FeedUpdate, Store, TakeOver};

const FEEDS: usize = 50;
const ENTRIES: usize = 1000;
const VOICES: usize = 10_000;
const WORDS: [&str; 24] = [
    "the",
    "bench",
    "square",
    "garden",
    "letter",
    "neighbour",
    "listens",
    "Saturday",
    "workshop",
    "wrote",
    "about",
    "a",
    "repaired",
    "bicycle",
    "and",
    "to",
    "of",
    "quietly",
    "river",
    "bridge",
    "old",
    "radio",
    "mended",
    "thanks",
];

/// An entry of some 2.5 KB with five links, like no other.
fn entry(feed: FeedId, seq: u32) -> Entry {
    let mut state = (u64::from(feed.0) << 32 | u64::from(seq)).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut html = String::new();
    for paragraph in 0..5 {
        html.push_str("<p>");
        for _ in 0..70 {
            let _ = write!(html, "{} ", WORDS[(next() % 24) as usize]);
        }
        let _ = write!(
            html,
            "<a href=\"https://site{}.example/{paragraph}/{}?x=1&amp;y=2\">here</a>.</p>",
            next() % 9000,
            next()
        );
    }
    let base = "https://ann.example/".parse().unwrap();
    let listed_at = Timestamp::from_millis(1_700_000_000_000 + i64::from(seq) * 60_000);
    Entry {
        key: EntryKey { listed_at, feed, seq },
        first_seen: listed_at,
        guid: format!("https://feed{}.example/{seq}", feed.0),
        link: Some(format!("https://feed{}.example/posts/{seq}", feed.0)),
        title: format!("Entry {seq}"),
        authors: Vec::new(),
        published: Some(listed_at),
        updated: None,
        summary: None,
        content: Some(clean::html(&Markup::Html(html), Some(&base))),
        categories: Vec::new(),
        enclosures: Vec::new(),
        comments: None,
        language: None,
        origin: None,
    }
}

fn change(entry: Entry) -> Change {
    let EntryKey { listed_at, seq, .. } = entry.key;
    let guid = Hash64(u64::from(seq).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let link = entry.link.as_deref().and_then(Link::to).map(|link| Hash64(link.page));
    let now =
        Known { seq, listed_at, first_seen: listed_at, guid, link, fingerprint: guid, carried_on: 0, purged: false };
    Change { was: None, now, entry: Some(entry) }
}

/// Ten thousand voices, each with a site, half of them by the word of their feeds.
fn crowd() -> (Live, Mine) {
    let outlines: Vec<String> = (0..VOICES)
        .map(|n| {
            let home = if n % 2 == 0 { format!(" htmlUrl=\"https://site{n}.example/\"") } else { String::new() };
            format!("<outline text=\"Voice {n}\" xmlUrl=\"https://site{n}.example/feed\"{home}/>")
        })
        .collect();
    let outlines = outlines.concat();
    let text = format!("<opml version=\"2.0\"><body>{outlines}</body></opml>");
    let opml = opml::parse(text.as_bytes()).unwrap();
    let roster = Roster::build(vec![ListInput { name: "desired".into(), role: Role::Desired, opml, fault: None }]);
    let ids: HashMap<FeedUrl, FeedId> =
        roster.feeds().enumerate().map(|(number, url)| (url.clone(), FeedId(number as u32))).collect();
    let live = Live::default();
    live.update(ids.iter().map(|(url, id)| {
        let mut feed = Feed::new(*id, url.clone(), Timestamp::default());
        feed.about.home = Some(format!("https://{}/", url.host()));
        (feed, true)
    }));
    live.set_roster(Arc::new(roster), ids, HashMap::new());
    (live, Mine { sites: vec!["https://me.example/".parse().unwrap()], names: Vec::new() })
}

fn sites(criterion: &mut Criterion) {
    let (live, mine) = crowd();
    let bound = live.bound();
    let mut group = criterion.benchmark_group("10,000 voices");
    group.sample_size(10);
    group.bench_function("making their sites", |bencher| bencher.iter(|| Sites::of(&live, &bound, &mine)));
    let sites = Sites::of(&live, &bound, &mine);
    let pages: Vec<Link> = (0..1_200_000u32).map(|n| Link::of(&format!("site{}.example/{n}", n % 20_000))).collect();
    group.bench_function("whose 1.2 million links are", |bencher| {
        bencher.iter(|| pages.iter().filter(|link| sites.owner_of(link).is_some()).count());
    });
    group.finish();
}

fn hearing(criterion: &mut Criterion) {
    let entries: Vec<Entry> = (0..200).map(|seq| entry(FeedId(1), seq)).collect();
    let (live, mine) = (Live::default(), crowd().1);
    let sites = Sites::of(&live, &Bound::default(), &mine);
    let mut group = criterion.benchmark_group("hearing 200 entries");
    group.throughput(Throughput::Elements(entries.len() as u64));
    group.bench_function("links", |bencher| {
        bencher.iter(|| entries.iter().map(|entry| links(black_box(entry)).len()).sum::<usize>());
    });
    let none = Furniture::default();
    for (what, called) in [("said", &[][..]), ("said, with two names", &["Ann Example", "listend"][..])] {
        let named = Mine { sites: Vec::new(), names: called.iter().map(|name| (*name).to_owned()).collect() };
        let names = Names::of(&named);
        let hearing = Hearing { sites: &sites, names: &names, channel: Channel::Voice };
        group.bench_function(what, |bencher| {
            bencher.iter(|| {
                entries.iter().filter(|entry| said(black_box(entry), &hearing, &none).mention.is_some()).count()
            });
        });
    }
    group.finish();
}

/// A store with feeds, and how many entries each has.
struct Growing {
    store: Arc<Store>,
    _directory: tempfile::TempDir,
    feeds: Vec<Feed>,
    next_seq: u32,
}

impl Growing {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(directory.path(), 16 << 20).unwrap());
        let urls = (0..FEEDS).map(|n| FeedUrl::parse(&format!("https://feed{n}.example/")).unwrap()).collect();
        let feeds = store.take_over(&TakeOver { urls, ..TakeOver::default() }, Timestamp::default()).unwrap();
        Self { store, _directory: directory, feeds, next_seq: 0 }
    }

    fn updates(&mut self) -> Vec<FeedUpdate> {
        let from = self.next_seq;
        let each = (ENTRIES / FEEDS) as u32;
        self.next_seq += each;
        let updates = self.feeds.iter().map(|feed| {
            let changes = (from..from + each).map(|seq| change(entry(feed.id, seq))).collect();
            FeedUpdate { feed: feed.clone(), changes, said: Vec::new(), events: Vec::new() }
        });
        updates.collect()
    }
}

fn storing(criterion: &mut Criterion) {
    let sites = Sites::default();
    let names = Names::default();
    let none = Furniture::default();
    let hearing = Hearing { sites: &sites, names: &names, channel: Channel::Voice };
    let mut group = criterion.benchmark_group("storing 1000 entries");
    group.sample_size(30);
    group.throughput(Throughput::Elements(ENTRIES as u64));
    for (what, hears) in [("without what they say", false), ("heard and stored with it", true)] {
        let mut growing = Growing::new();
        let store = Arc::clone(&growing.store);
        group.bench_function(what, |bencher| {
            bencher.iter_batched(
                || growing.updates(),
                |mut updates| {
                    for update in updates.iter_mut().filter(|_| hears) {
                        let entries = update.changes.iter().filter_map(|change| change.entry.as_ref());
                        update.said = entries.map(|entry| said(entry, &hearing, &none)).collect();
                    }
                    store.commit(&mut updates).unwrap();
                    updates
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, sites, hearing, storing);
criterion_main!(benches);
