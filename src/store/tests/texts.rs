//! Where texts lie: in blocks that fill pages, and that go when what they hold has gone.

use redb::{ReadableTable, ReadableTableMetadata, TableHandle};

use super::*;
use crate::store::tables::{KNOWN, SAID, TEXTS};

fn store() -> (tempfile::TempDir, Store) {
    let home = tempfile::tempdir().expect("there is room");
    let store = Store::open(home.path(), 1 << 20).expect("it opens");
    (home, store)
}

/// So many words, each time others.
fn prose(chance: &mut fastrand::Rng, words: usize) -> String {
    (0..words).map(|_| format!("{:x}", chance.u32(..))).collect::<Vec<_>>().join(" ")
}

/// A new entry that says something once.
fn post(feed: FeedId, seq: u32, chance: &mut fastrand::Rng) -> Change {
    let mut new = change(feed, seq, at(i64::from(seq) * 3600), &prose(chance, 60));
    new.entry = new.entry.map(|entry| Entry { content: None, ..entry });
    new
}

/// The lengths of all blocks.
fn blocks(store: &Store) -> Vec<usize> {
    let read = store.engine.read(|transaction| {
        let mut lengths = Vec::new();
        for row in transaction.open_table(TEXTS)?.iter()? {
            lengths.push(row?.1.value().len());
        }
        Ok(lengths)
    });
    read.expect("it reads")
}

/// Feeds with so many entries each, in commits of ten feeds.
fn filled(store: &Store, feeds: u32, entries: u32) -> Vec<Feed> {
    let mut chance = fastrand::Rng::with_seed(7);
    let urls: Vec<FeedUrl> = (0..feeds).map(|n| url(&format!("feed{n}"))).collect();
    let feeds = store.add_feeds(&urls, at(0)).expect("it adds");
    for some in feeds.chunks(10) {
        let mut updates: Vec<FeedUpdate> = some
            .iter()
            .map(|feed| {
                let changes = (0..entries).map(|seq| post(feed.id, seq, &mut chance)).collect();
                FeedUpdate { feed: feed.clone(), changes, said: Vec::new(), events: Vec::new() }
            })
            .collect();
        store.commit(&mut updates).expect("it commits");
    }
    store.feeds().expect("it reads")
}

#[test]
fn blocks_fill_pages_whether_texts_come_together_or_one_by_one() {
    let (_home, store) = store();
    filled(&store, 40, 20);
    let mut chance = fastrand::Rng::with_seed(8);
    for feed in store.feeds().expect("it reads") {
        let new = post(feed.id, 20, &mut chance);
        let update = FeedUpdate { feed, changes: vec![new], said: Vec::new(), events: Vec::new() };
        store.commit(&mut [update]).expect("it commits");
    }
    let lengths = blocks(&store);
    assert!(lengths.len() > 20, "{} blocks", lengths.len());
    assert!(lengths.iter().all(|length| *length <= 8180), "{lengths:?}");
    let mean = lengths.iter().sum::<usize>() / lengths.len();
    assert!(mean > 8180 * 5 / 6, "{mean} bytes");
    // A block has its pages for itself.
    let pages = store.engine.read(|transaction| Ok(transaction.open_table(TEXTS)?.stats()?.leaf_pages()));
    assert!(pages.expect("it reads") <= lengths.len() as u64);
    contents(&store).expect("it reads");
}

#[test]
fn long_texts_have_blocks_of_their_own() {
    let (_home, store) = store();
    let feed = store.add_feeds(&[url("long")], at(0)).expect("it adds").remove(0);
    let mut chance = fastrand::Rng::with_seed(9);
    let new = |(seq, words)| change(feed.id, seq, at(i64::from(seq)), &prose(&mut chance, words));
    // One that packs to next to nothing must not be unpacked for its neighbours.
    let mut changes: Vec<Change> = (0..6).zip([9, 40_000, 9, 1_000, 9, 9]).map(new).collect();
    changes.push(change(feed.id, 6, at(6), &"over and over ".repeat(100_000)));
    changes.push(change(feed.id, 7, at(7), "short"));
    let update = FeedUpdate { feed, changes, said: Vec::new(), events: Vec::new() };
    store.commit(&mut [update]).expect("it commits");
    assert_eq!(contents(&store).expect("it reads").entries.len(), 8);
    assert!(blocks(&store).len() >= 5, "{:?}", blocks(&store));
}

#[test]
fn what_goes_takes_its_room_along() {
    let (_home, store) = store();
    let feeds = filled(&store, 30, 60);
    let whole = blocks(&store).len();
    // Two thirds of each feed's entries go: of each block about as many, in different ones of its feeds.
    let retention = Retention { entries_per_feed: 20, ..Retention::default() };
    sweep_all(&store, at(61 * 3600), &retention).expect("it sweeps");
    let left = blocks(&store).len();
    assert!(left <= whole / 3 * 2, "{left} of {whole} blocks");
    let kept = contents(&store).expect("it reads");
    assert_eq!(kept.entries.len(), 30 * 20);

    // Every other entry of all feeds is edited, over and over.
    let mut chance = fastrand::Rng::with_seed(10);
    for _ in 0..6 {
        for feed in store.feeds().expect("it reads") {
            let known = store.known(feed.id).expect("it reads");
            let odd = known.into_iter().filter(|known| !known.purged && known.seq % 2 == 1);
            let changes = odd.map(|was| edit(feed.id, was, &prose(&mut chance, 60))).collect();
            let update = FeedUpdate { feed, changes, said: Vec::new(), events: Vec::new() };
            store.commit(&mut [update]).expect("it commits");
        }
    }
    let edited = blocks(&store).len();
    assert!(edited <= 2 * left + 1, "{edited} blocks after {left}");
    assert_eq!(contents(&store).expect("it reads").entries.len(), 30 * 20);

    // Feeds that go leave nothing behind.
    for feed in feeds {
        let feed = Feed { left_at: Some(at(0)), ..feed };
        let update = FeedUpdate { feed, changes: Vec::new(), said: Vec::new(), events: Vec::new() };
        store.commit(&mut [update]).expect("it commits");
    }
    sweep_all(&store, at(0).plus(Retention::LEFT_FEEDS_KEPT), &retention).expect("it sweeps");
    assert_eq!(contents(&store).expect("it reads"), Contents::default());
    let rows = store.engine.read(|transaction| {
        let mut rows = Vec::new();
        for table in transaction.list_tables()? {
            let name = table.name().to_owned();
            rows.push((name, transaction.open_untyped_table(table)?.len()?));
        }
        Ok(rows)
    });
    let mut rows = rows.expect("it reads");
    rows.retain(|(name, count)| *count > 0 && name != "meta");
    assert_eq!(rows, []);
}

/// What a file of format 1 holds stays as it is until it changes; from then on it is as if it had been written today.
#[test]
fn a_file_of_format_1_lives_on() {
    let (_home, new) = store();
    fixture::fill(&new);
    let (_old_home, old) = fixture::old();
    let rows = |store: &Store| {
        let read = store.engine.read(|transaction| {
            let (known, said) = (transaction.open_table(KNOWN)?, transaction.open_table(SAID));
            Ok((known.len()?, said.map_or(Ok(0), |said| said.len())?))
        });
        read.expect("it reads")
    };
    assert!(rows(&old).0 > 20 && rows(&new).0 == 0);
    let say = |store: &Store, feed: FeedId| {
        let known = store.known(feed).expect("it reads");
        let of = |known: &Known| EntryKey { feed, listed_at: known.listed_at, seq: known.seq };
        let said: Vec<Said> =
            known.iter().map(|known| said(of(known), known.seq % 4, known.seq as usize % 5)).collect();
        store.hear(&said, Hash64(1), None).expect("it hears");
    };
    let edit_some = |store: &Store, some: u32| {
        let feed = store.feed(FeedId(0)).expect("it reads").expect("it is there");
        let known = store.known(feed.id).expect("it reads");
        let live = known.into_iter().filter(|known| !known.purged && known.seq % some == 0);
        let mut changes: Vec<Change> = live.map(|was| edit(feed.id, was, "other words")).collect();
        // Under another guid it keeps the one that it was first published with.
        changes.iter_mut().take(1).for_each(|change| change.now.guid = Hash64(99));
        let coming = change(feed.id, feed.next_seq, at(1000 + i64::from(feed.next_seq)), "new words");
        changes.push(coming);
        let update = FeedUpdate { feed, changes, said: Vec::new(), events: Vec::new() };
        store.commit(&mut [update]).expect("it commits");
    };
    let few = Retention { entries_per_feed: 21, ..Retention::default() };
    let join = Join { winner: FeedId(1), loser: FeedId(0), kinship: Kinship::Edited, is_vouched: true };
    let steps: [&dyn Fn(&Store); 6] = [
        &|store| say(store, FeedId(0)),
        &|store| edit_some(store, 5),
        &|store| drop(sweep_all(store, at(2000), &few).expect("it sweeps")),
        &|store| edit_some(store, 1),
        &|store| drop(store.join(&join, at(2000)).expect("it joins")),
        &|store| say(store, FeedId(1)),
    ];
    for (n, step) in steps.iter().enumerate() {
        step(&old);
        step(&new);
        let [old, new] = [&old, &new].map(|store| contents(store).expect("it reads"));
        assert_eq!(old, new, "after step {n}");
    }
    assert_eq!(rows(&old).1, 0, "what links to others stands in rows by now");
}
