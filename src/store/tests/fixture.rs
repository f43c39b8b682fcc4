//! A database of format 1, as the last program that wrote this format left it: it must read back for ever.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::*;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-v1.redb.gz")
}

/// Everything that format 1 can hold; what the store says of it afterwards.
pub(super) fn fill(store: &Store) -> Contents {
    let feeds = store.add_feeds(&[url("a"), url("b"), url("gone"), url("c?d=é")], at(0)).expect("it adds");
    let changes =
        (0..30).map(|seq| change(FeedId(0), seq, at(i64::from(seq) * 7 - 100), "Wörter & <b>more</b>")).collect();
    let gone = Feed { left_at: Some(at(-10)), ..feeds[2].clone() };
    let mut bare = change(FeedId(1), 0, Timestamp::MIN, "");
    bare.now.link = None;
    bare.entry = Some(Entry {
        key: EntryKey { feed: FeedId(1), listed_at: Timestamp::MIN, seq: 0 },
        first_seen: bare.now.first_seen,
        guid: "x".into(),
        link: None,
        title: String::new(),
        authors: vec![],
        published: None,
        updated: None,
        summary: None,
        content: None,
        categories: vec![],
        enclosures: vec![],
        comments: None,
        language: None,
        origin: None,
    });
    store
        .commit(&mut [
            FeedUpdate { feed: talkative(feeds[0].clone()), changes, said: Vec::new(), events: vec![] },
            FeedUpdate { feed: feeds[1].clone(), changes: vec![bare], said: Vec::new(), events: vec![] },
            FeedUpdate {
                feed: gone,
                changes: vec![change(FeedId(2), 0, at(0), "bye")],
                said: Vec::new(),
                events: vec![],
            },
        ])
        .expect("it commits");
    let kinds = [ListEventKind::Joined, ListEventKind::Left, ListEventKind::BecameFollower];
    let happened = kinds.into_iter().map(|kind| event(3, kind, "ann")).collect();
    store.save_list("desired", Some(b"<opml/>"), &ListNews { happened, cancelled: vec![] }).expect("it saves");
    store.save_list("followers", Some(&b"<opml><body/></opml>".repeat(50)), &ListNews::default()).expect("it saves");
    store.remember_paths(&[("/désired/ann".into(), url("a")), ("/x".into(), url("gone"))]).expect("it remembers");
    let retention = Retention { entries_per_feed: 22, ..Retention::default() };
    sweep_all(store, at(0).plus(Retention::LEFT_FEEDS_KEPT).minus(Duration::from_secs(10)), &retention)
        .expect("it sweeps");
    contents(store).expect("it reads")
}

/// The database of the fixture, in a directory of its own.
pub(super) fn old() -> (tempfile::TempDir, Store) {
    let mut bytes = Vec::new();
    let packed = std::fs::File::open(fixture()).expect("the fixture is there");
    GzDecoder::new(packed).read_to_end(&mut bytes).expect("the fixture is gzip");
    let home = tempfile::tempdir().expect("there is room");
    std::fs::write(home.path().join("listend.redb"), bytes).expect("there is room");
    let store = Store::open(home.path(), 1 << 20).expect("the old file opens");
    (home, store)
}

#[test]
fn format_1_reads_back_for_ever() {
    let directory = tempfile::tempdir().expect("there is room");
    let sample = directory.path().join("sample");
    let store = Store::open(&sample, 1 << 20).expect("it opens");
    let expected = fill(&store);
    let (_home, store) = old();
    assert_eq!(contents(&store).expect("the old file reads"), expected);

    // The numbers of feeds go on where they were: 2 is never used again.
    assert_eq!(expected.feeds.iter().map(|feed| feed.id.0).collect::<Vec<_>>(), [0, 1, 3]);
    assert_eq!(store.add_feeds(&[url("gone")], at(9)).expect("it adds")[0].id, FeedId(4));
    assert_eq!(expected.known[&FeedId(0)].iter().filter(|known| known.purged).count(), 8);
}
