//! What it costs to store what polls bring, and to read it again.
//!
//! Entries are made up, of the usual kind and size: 1.2 KB of HTML, and a summary that is its first paragraph. The
//! database lies where temporary files do; on a disk that syncs slowly, compare processor time.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros make an undocumented main; a bench may fail loudly"
)]

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use listend::feeds::clean;
use listend::model::{
    Change, Entry, EntryKey, Feed, FeedId, FeedUrl, Hash64, Known, Link, Markup, Person, Said, Timestamp,
};
use listend::store::{FeedUpdate, Store, TakeOver};

const FEEDS: usize = 2000;
const ENTRIES_EACH: u32 = 20;
const CACHE_BYTES: usize = 16 << 20;
/// Prose has a few words often and many seldom.
const WORDS: &str = "the of and to in that is was for with as on be at by this had not are but from or have they which \
    one you were all her there would their when who will more if out so up said what its about than into them can only \
    other time new some could these two may first then any like now over such our even most made after also well many \
    before must years back through much where way down should because long each morning garden letter bicycle river \
    release network archive photograph recipe mountain winter library measurement weblog podcast aggregator Zürich \
    naïve café русский neighbour Saturday workshop repaired quietly bridge radio mended thanks lantern harbour orchard \
    cellar walnut thimble quarry sparrow candle pavement tramway barrel ferry chimney saddle meadow kettle attic";

/// Chance that is the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }

    fn sentence(&mut self, words: &[&str], out: &mut String) {
        let count = 6 + self.below(16);
        for _ in 0..count {
            let most = words.len() as u64;
            let place = self.below(most).min(self.below(most));
            let _ = write!(out, "{} ", words[place as usize]);
        }
        out.push_str(". ");
    }
}

fn entry(words: &[&str], feed: FeedId, seq: u32) -> Entry {
    let mut chance = Chance((u64::from(feed.0) << 32 | u64::from(seq)).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut html = String::new();
    let mut summary = None;
    while html.len() < 1100 {
        html.push_str("<p>");
        (0..=chance.below(3)).for_each(|_| chance.sentence(words, &mut html));
        if chance.below(2) == 0 {
            let (page, mark) = (chance.below(1000), chance.below(1 << 30));
            let _ = write!(html, "<a href=\"https://site{page}.example/post/{mark:x}?ref=feed&amp;x=1\">here</a>.");
        }
        html.push_str("</p>\n");
        summary.get_or_insert_with(|| html.clone());
    }
    let mut title = String::new();
    chance.sentence(words, &mut title);
    let listed_at = Timestamp::from_millis(1_700_000_000_000 + i64::from(seq) * 3_600_000);
    let base = format!("https://feed{}.example/", feed.0).parse().unwrap();
    Entry {
        key: EntryKey { listed_at, feed, seq },
        first_seen: listed_at,
        guid: format!("https://feed{}.example/posts/{seq}", feed.0),
        link: Some(format!("https://feed{}.example/posts/{seq}", feed.0)),
        title,
        authors: vec![Person { name: "Ann Example".into(), uri: None, email: None }],
        published: Some(listed_at),
        updated: None,
        summary: summary.map(|html| clean::html(&Markup::Html(html), Some(&base))),
        content: Some(clean::html(&Markup::Html(html), Some(&base))),
        categories: Vec::new(),
        enclosures: Vec::new(),
        comments: None,
        language: Some("en".into()),
        origin: None,
    }
}

/// What a poll brings that finds new entries.
fn update(words: &[&str], feed: &Feed, seqs: std::ops::Range<u32>) -> FeedUpdate {
    let mut changes = Vec::new();
    let mut said = Vec::new();
    for seq in seqs {
        let entry = entry(words, feed.id, seq);
        let EntryKey { listed_at, .. } = entry.key;
        let guid = Hash64((u64::from(feed.id.0) << 32 | u64::from(seq)).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let page = entry.link.as_deref().and_then(Link::to);
        said.push(Said { key: entry.key, links: page.into_iter().collect(), mention: None });
        let link = page.map(|link| Hash64(link.page));
        let now = Known {
            seq,
            listed_at,
            first_seen: listed_at,
            guid,
            link,
            fingerprint: guid,
            carried_on: 0,
            purged: false,
        };
        changes.push(Change { was: None, now, entry: Some(entry) });
    }
    FeedUpdate { feed: feed.clone(), changes, said, events: Vec::new() }
}

/// A database with feeds and nothing else.
fn empty() -> (tempfile::TempDir, Store, Vec<Feed>) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), CACHE_BYTES).unwrap();
    let urls = (0..FEEDS).map(|n| FeedUrl::parse(&format!("https://feed{n}.example/")).unwrap()).collect();
    let feeds = store.take_over(&TakeOver { urls, ..TakeOver::default() }, Timestamp::default()).unwrap();
    (directory, store, feeds)
}

/// Commits of a first poll, thirty feeds each, feeds in no order of their numbers.
fn storing(criterion: &mut Criterion) {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let (_directory, store, feeds) = empty();
    let mut group = criterion.benchmark_group("a commit");
    group.sample_size(20);
    group.throughput(Throughput::Elements(30));
    let mut polled = 0;
    group.bench_function("30 feeds with 20 new entries", |bencher| {
        bencher.iter_batched(
            || {
                let places = polled..polled + 30;
                polled += 30;
                // 1,009 and the number of feeds have no divisor in common: each feed comes once in a round.
                let new = places.map(|n| {
                    let from = (n / FEEDS) as u32 * ENTRIES_EACH;
                    update(&words, &feeds[n * 1009 % FEEDS], from..from + ENTRIES_EACH)
                });
                new.collect::<Vec<_>>()
            },
            |mut updates| store.commit(black_box(&mut updates)).unwrap(),
            BatchSize::PerIteration,
        );
    });
    group.throughput(Throughput::Elements(60));
    let mut polled = 0;
    group.bench_function("60 feeds without news", |bencher| {
        bencher.iter_batched(
            || {
                polled += 60;
                (polled - 60..polled).map(|n| update(&words, &feeds[n * 1009 % FEEDS], 0..0)).collect::<Vec<_>>()
            },
            |mut updates| store.commit(black_box(&mut updates)).unwrap(),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// Reading from 40,000 entries.
fn reading(criterion: &mut Criterion) {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let (directory, store, feeds) = empty();
    for feeds in feeds.chunks(50) {
        let mut updates: Vec<_> = feeds.iter().map(|feed| update(&words, feed, 0..ENTRIES_EACH)).collect();
        store.commit(&mut updates).unwrap();
    }
    let mut group = criterion.benchmark_group("reading");
    group.sample_size(30);
    let snapshot = store.snapshot().unwrap();
    let newest: Vec<EntryKey> = feeds
        .iter()
        .step_by(FEEDS / 100)
        .flat_map(|feed| snapshot.heads(feed.id, None, 1).unwrap())
        .map(|head| head.key)
        .collect();
    group.bench_function("the newest heads of 100 feeds, 20 each", |bencher| {
        bencher.iter(|| {
            feeds
                .iter()
                .step_by(FEEDS / 100)
                .map(|feed| snapshot.heads(feed.id, None, 20).unwrap().len())
                .sum::<usize>()
        });
    });
    group.bench_function("100 entries of 100 feeds", |bencher| {
        bencher.iter(|| snapshot.entries_of(black_box(&newest)).unwrap());
    });
    group.bench_function("what is known of a feed", |bencher| {
        bencher.iter(|| store.known(black_box(feeds[FEEDS / 2].id)).unwrap());
    });
    drop((snapshot, store));
    group.bench_function("opening, and all feeds", |bencher| {
        bencher.iter(|| Store::open(directory.path(), CACHE_BYTES).unwrap().feeds().unwrap());
    });
    group.finish();
}

criterion_group!(benches, storing, reading);
criterion_main!(benches);
