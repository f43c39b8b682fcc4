//! The store through its front door, on real files.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use listend::model::{Change, Entry, EntryKey, Feed, FeedId, FeedUrl, Hash64, Known, Timestamp};
use listend::store::{FeedUpdate, OpenError, Retention, Store, StoreError, Swept, TakeOver};

const CACHE_BYTES: usize = 4 << 20;

fn url(path: &str) -> FeedUrl {
    FeedUrl::parse(&format!("https://example.org/{path}")).expect("it is an address")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_790_000_000 + seconds)
}

fn days(days: u64) -> Duration {
    Duration::from_hours(24 * days)
}

fn post(feed: &Feed, seq: u32, listed_at: Timestamp) -> Change {
    let now = Known {
        seq,
        listed_at,
        first_seen: listed_at,
        guid: Hash64(u64::from(seq)),
        link: Some(Hash64(1000 + u64::from(seq))),
        fingerprint: Hash64(0),
        carried_on: listed_at.days() as i32,
        purged: false,
    };
    let entry = Entry {
        key: EntryKey { listed_at, feed: feed.id, seq },
        first_seen: listed_at,
        guid: seq.to_string(),
        link: Some(format!("https://example.org/{seq}")),
        title: format!("Post {seq}"),
        authors: vec![],
        published: Some(listed_at),
        updated: None,
        summary: None,
        content: None,
        categories: vec![],
        enclosures: vec![],
        comments: None,
        language: None,
        origin: None,
    };
    Change { was: None, now, entry: Some(entry) }
}

fn open(directory: &Path) -> Store {
    Store::open(directory, CACHE_BYTES).expect("it opens")
}

fn add_feeds(store: &Store, urls: &[FeedUrl], now: Timestamp) -> Result<Vec<Feed>, StoreError> {
    store.take_over(&TakeOver { urls: urls.to_vec(), ..TakeOver::default() }, now)
}

/// Goes through all feeds; what all steps did together.
fn sweep_all(store: &Store, now: Timestamp, retention: &Retention) -> Result<Swept, StoreError> {
    let mut all = Swept::default();
    loop {
        let step = store.sweep(now, retention, all.next)?;
        all.entries += step.entries;
        all.identities += step.identities;
        all.counts
            .retain(|old| !step.feeds.contains(&old.feed) && step.counts.iter().all(|count| count.feed != old.feed));
        all.feeds.extend(step.feeds);
        all.counts.extend(step.counts);
        all.next = step.next;
        if all.next.is_none() {
            return Ok(all);
        }
    }
}

/// Opening must fail; the message, which must be one line that names the file.
fn refused(directory: &Path) -> OpenError {
    let error = Store::open(directory, CACHE_BYTES).expect_err("it must not open");
    let message = error.to_string();
    assert!(message.contains("listend.redb") && message.lines().count() == 1, "{message}");
    error
}

#[test]
fn the_state_is_for_its_owner_only() {
    let directory = tempfile::tempdir().expect("there is room");
    let state = directory.path().join("deep/state");
    drop(open(&state));
    let mode = |path: &Path| path.metadata().expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join("listend.redb")), 0o600);
    let names: Vec<_> =
        state.read_dir().expect("it is there").map(|file| file.expect("it is there").file_name()).collect();
    assert_eq!(names, ["listend.redb"]);
}

#[test]
fn a_second_daemon_is_told_that_the_database_is_in_use() {
    let directory = tempfile::tempdir().expect("there is room");
    let first = open(directory.path());
    assert!(matches!(refused(directory.path()), OpenError::InUse { .. }));
    add_feeds(&first, &[url("a")], at(0)).expect("the first is not disturbed");
    drop(first);
    assert_eq!(open(directory.path()).feeds().expect("it reads").len(), 1);
}

#[test]
fn a_first_start_that_was_killed_is_no_damage() {
    let directory = tempfile::tempdir().expect("there is room");
    std::fs::write(directory.path().join("listend.redb.new"), [0; 5000]).expect("there is room");
    drop(open(directory.path()));
    assert!(!directory.path().join("listend.redb.new").exists());
}

#[test]
fn a_state_that_cannot_be_made_says_so() {
    let directory = tempfile::tempdir().expect("there is room");
    std::fs::create_dir(directory.path().join("listend.redb")).expect("there is room");
    assert!(matches!(refused(directory.path()), OpenError::Io { .. }));
    let file = directory.path().join("file");
    std::fs::write(&file, "x").expect("there is room");
    let error = Store::open(&file, CACHE_BYTES).expect_err("a file is no directory");
    assert!(matches!(error, OpenError::Io { .. }) && error.to_string().contains("file"), "{error}");
}

#[test]
fn damage_is_reported_and_nothing_is_deleted() {
    let directory = tempfile::tempdir().expect("there is room");
    let file = directory.path().join("listend.redb");
    let store = open(directory.path());
    let feed = add_feeds(&store, &[url("a")], at(0)).expect("it adds").remove(0);
    let changes = (0..300).map(|seq| post(&feed, seq, at(i64::from(seq)))).collect();
    store.commit(&mut [FeedUpdate { feed, changes, said: Vec::new(), events: vec![] }]).expect("it commits");
    drop(store);
    let whole = std::fs::read(&file).expect("it is there");

    for junk in [b"not a database at all".to_vec(), vec![0; 100_000], whole[..whole.len() / 3].to_vec()] {
        std::fs::write(&file, &junk).expect("there is room");
        assert!(matches!(refused(directory.path()), OpenError::Damaged { .. }));
        assert_eq!(std::fs::read(&file).expect("it is there").len(), junk.len(), "it was left as it is");
    }
    // A database of somebody else's, and one of the future.
    std::fs::remove_file(&file).expect("it is there");
    let meta: redb::TableDefinition<&str, u64> = redb::TableDefinition::new("meta");
    for format in [None, Some(0), Some(3)] {
        let database = redb::Database::create(&file).expect("there is room");
        let transaction = database.begin_write().expect("it writes");
        {
            let mut table = transaction.open_table(meta).expect("it writes");
            format.map(|format| table.insert("format", format).map(drop)).transpose().expect("it writes");
        }
        transaction.commit().expect("it writes");
        drop(database);
        match (refused(directory.path()), format) {
            (OpenError::NewerFormat { found: 3, known: 2, .. }, Some(3))
            | (OpenError::Damaged { .. }, None | Some(0)) => {}
            (error, format) => panic!("{format:?}: {error}"),
        }
        assert!(file.exists());
    }
    // Bytes flipped anywhere are either noticed or do no harm; nothing panics, hangs or aborts.
    let mut noticed = 0;
    for seed in 0..150 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut bytes = whole.clone();
        for _ in 0..chance.usize(1..6) {
            let at = if chance.bool() { chance.usize(0..512) } else { chance.usize(0..bytes.len()) };
            bytes[at] ^= chance.u8(1..);
        }
        std::fs::write(&file, &bytes).expect("there is room");
        match Store::open(directory.path(), CACHE_BYTES) {
            Err(OpenError::Damaged { .. } | OpenError::NewerFormat { .. }) => noticed += 1,
            Err(error) => panic!("seed {seed}: {error}"),
            Ok(store) => {
                if let Err(error) = read_and_write(&store) {
                    assert!(
                        matches!(error, StoreError::Damaged { .. } | StoreError::Reopen(_) | StoreError::Io { .. }),
                        "{error}"
                    );
                    noticed += 1;
                }
            }
        }
    }
    assert!(noticed > 20, "the flips hit nothing: {noticed}");
}

fn read_and_write(store: &Store) -> Result<(), StoreError> {
    let feeds = store.feeds()?;
    let snapshot = store.snapshot()?;
    snapshot.all_entries(None, usize::MAX)?;
    for feed in &feeds {
        store.known(feed.id)?;
    }
    sweep_all(store, at(0).plus(days(500)), &Retention::default())?;
    add_feeds(store, &[url("b")], at(0)).map(drop)
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let directory = tempfile::tempdir().expect("there is room");
    let store = open(directory.path());
    let feed = add_feeds(&store, &[url("a")], at(0)).expect("it adds").remove(0);
    let mut first = [FeedUpdate { changes: vec![post(&feed, 0, at(1))], feed, said: Vec::new(), events: vec![] }];
    store.commit(&mut first).expect("it commits");
    let snapshot = store.snapshot().expect("it reads");
    let feed = first[0].feed.clone();
    assert_eq!((feed.entries, feed.newest, feed.next_seq), (1, Some(at(1)), 1));
    let changes = vec![post(&feed, 1, at(2))];
    store.commit(&mut [FeedUpdate { feed, changes, said: Vec::new(), events: vec![] }]).expect("it commits");
    assert_eq!(snapshot.entries(FeedId(0), None, 9).expect("it reads").len(), 1);
    assert_eq!(store.snapshot().expect("it reads").entries(FeedId(0), None, 9).expect("it reads").len(), 2);
    assert!(matches!(store.compact(), Err(error @ StoreError::Busy { .. }) if error.may_pass()));
    drop(snapshot);
    store.compact().expect("nobody reads");
}

#[test]
fn a_commit_made_from_an_older_state_is_refused_as_a_whole() {
    let directory = tempfile::tempdir().expect("there is room");
    let store = open(directory.path());
    let feeds = add_feeds(&store, &[url("a"), url("b")], at(0)).expect("it adds");
    let update = |n: usize, change| FeedUpdate {
        feed: feeds[n].clone(),
        changes: vec![change],
        said: Vec::new(),
        events: vec![],
    };
    store.commit(&mut [update(0, post(&feeds[0], 0, at(1)))]).expect("it commits");
    let mut other = post(&feeds[0], 0, at(1));
    other.now.guid = Hash64(77);
    let error = store.commit(&mut [update(1, post(&feeds[1], 0, at(1))), update(0, other)]).expect_err("it clashes");
    assert!(matches!(error, StoreError::Conflict { feed: FeedId(0) }) && !error.may_pass());
    assert!(store.known(FeedId(1)).expect("it reads").is_empty());
    store.commit(&mut [update(1, post(&feeds[1], 0, at(1)))]).expect("the next commit is none the worse");
}

#[test]
fn what_was_purged_stays_so_until_its_document_has_long_dropped_it() {
    let directory = tempfile::tempdir().expect("there is room");
    let store = open(directory.path());
    let feed = add_feeds(&store, &[url("a")], at(0)).expect("it adds").remove(0);
    // Thirty old posts; a document two days later has only the last 25 of them.
    let mut changes: Vec<_> = (0..30).map(|seq| post(&feed, seq, at(i64::from(seq)))).collect();
    for change in &mut changes[5..] {
        change.now.carried_on += 2;
    }
    let stale = changes[0].clone();
    store
        .commit(&mut [FeedUpdate { feed: feed.clone(), changes, said: Vec::new(), events: vec![] }])
        .expect("it commits");

    let old = at(0).plus(days(401));
    let young = Retention { age: days(2000), ..Retention::default() };
    assert_eq!(sweep_all(&store, old, &young).expect("it sweeps").entries, 0);
    let swept = sweep_all(&store, at(0).plus(days(60)), &Retention { age: days(30), ..young }).expect("it sweeps");
    assert_eq!((swept.entries, swept.identities), (10, 0), "the newest 20 stay whatever their age");
    assert_eq!(swept.counts.len(), 1);
    assert_eq!((swept.counts[0].entries, swept.counts[0].newest), (20, Some(at(29))));
    let purged = |store: &Store| store.known(feed.id).expect("it reads").iter().filter(|known| known.purged).count();
    assert_eq!(purged(&store), 10);

    // A poll that was under way meanwhile does not bring a text back.
    let late = Change { was: Some(stale.now), ..stale };
    store
        .commit(&mut [FeedUpdate { feed: feed.clone(), changes: vec![late.clone()], said: Vec::new(), events: vec![] }])
        .expect("it commits");
    assert_eq!(purged(&store), 10);
    assert_eq!(store.snapshot().expect("it reads").entries(feed.id, None, 99).expect("it reads").len(), 20);

    // 92 days after the two documents the dropped five are remembered, a day later not; the others ever.
    assert_eq!(sweep_all(&store, at(0).plus(days(92)), &Retention::default()).expect("it sweeps").identities, 0);
    assert_eq!(sweep_all(&store, at(0).plus(days(93)), &Retention::default()).expect("it sweeps").identities, 5);
    assert_eq!(sweep_all(&store, at(0).plus(days(4000)), &Retention::default()).expect("it sweeps").identities, 0);
    assert_eq!(purged(&store), 5);

    // What was forgotten while a poll was under way does not come back as new either.
    store
        .commit(&mut [FeedUpdate { feed: feed.clone(), changes: vec![late], said: Vec::new(), events: vec![] }])
        .expect("it commits");
    assert_eq!(purged(&store), 6);
    assert_eq!(store.snapshot().expect("it reads").entries(feed.id, None, 99).expect("it reads").len(), 20);
}

#[test]
fn a_feed_that_left_goes_after_thirty_days_and_many_transactions() {
    let directory = tempfile::tempdir().expect("there is room");
    let store = open(directory.path());
    let mut feeds = add_feeds(&store, &[url("a"), url("b")], at(0)).expect("it adds");
    let changes = (0..5000).map(|seq| post(&feeds[0], seq, at(i64::from(seq)))).collect();
    feeds[0].left_at = Some(at(0));
    store
        .commit(&mut [FeedUpdate { feed: feeds[0].clone(), changes, said: Vec::new(), events: vec![] }])
        .expect("it commits");
    let paths = vec![("/old".into(), url("a")), ("/other".into(), url("b"))];
    store.take_over(&TakeOver { paths, ..TakeOver::default() }, at(0)).expect("it remembers");
    let keep = Retention { entries_per_feed: 10_000, age: days(400) };
    assert!(sweep_all(&store, at(-1).plus(days(30)), &keep).expect("it sweeps").feeds.is_empty());
    assert_eq!(sweep_all(&store, at(0).plus(days(30)), &keep).expect("it sweeps").feeds, [FeedId(0)]);
    assert_eq!(store.feeds().expect("it reads").len(), 1);
    assert!(store.known(FeedId(0)).expect("it reads").is_empty());
    let snapshot = store.snapshot().expect("it reads");
    assert!(snapshot.all_entries(None, 9).expect("it reads").is_empty());
    assert!(snapshot.same_link(Hash64(1000)).expect("it reads").is_empty());
    assert_eq!(store.paths().expect("it reads"), [("/other".to_owned(), url("b"))]);

    // A fetch of it that was under way leaves nothing behind; coming back, it is a new feed.
    let changes = vec![post(&feeds[0], 0, at(9))];
    store
        .commit(&mut [FeedUpdate { feed: feeds[0].clone(), changes, said: Vec::new(), events: vec![] }])
        .expect("it commits");
    assert!(store.feed(FeedId(0)).expect("it reads").is_none());
    assert!(store.known(FeedId(0)).expect("it reads").is_empty());
    assert_eq!(add_feeds(&store, &[url("a")], at(9)).expect("it adds")[0].id, FeedId(2));
}

#[test]
fn a_feed_that_came_back_is_not_taken_for_one_that_left_long_ago() {
    let directory = tempfile::tempdir().expect("there is room");
    let store = open(directory.path());
    let feed = add_feeds(&store, &[url("a")], at(0)).expect("it adds").remove(0);
    let changes = vec![post(&feed, 0, at(0))];
    store
        .commit(&mut [FeedUpdate {
            feed: Feed { left_at: Some(at(0)), ..feed },
            changes,
            said: Vec::new(),
            events: vec![],
        }])
        .expect("it commits");
    let later = at(0).plus(days(300));
    let back = add_feeds(&store, &[url("a")], later).expect("it comes back").remove(0);
    assert_eq!((back.id, back.left_at, back.entries), (FeedId(0), None, 1));
    assert!(sweep_all(&store, later, &Retention::default()).expect("it sweeps").feeds.is_empty());
    assert_eq!(store.feeds().expect("it reads"), [back]);
}

#[test]
fn taking_over_what_is_stored_already_writes_nothing() {
    let directory = tempfile::tempdir().expect("there is room");
    let store = open(directory.path());
    let new =
        TakeOver { paths: vec![("/old".into(), url("a"))], urls: vec![url("a"), url("b")], ..TakeOver::default() };
    let feeds = store.take_over(&new, at(0)).expect("it adds");
    let written = || std::fs::read(directory.path().join("listend.redb")).expect("it is there");
    let before = written();
    assert_eq!(store.take_over(&new, at(9)).expect("it reads"), feeds);
    assert!(written() == before);
    // Everything else that is new is seen.
    let moved = TakeOver { paths: vec![("/old".into(), url("b"))], ..new };
    store.take_over(&moved, at(9)).expect("it remembers");
    assert_eq!(store.paths().expect("it reads"), moved.paths);
}

#[test]
fn a_sweep_goes_step_by_step_and_each_step_says_all_that_it_did() {
    let directory = tempfile::tempdir().expect("there is room");
    let store = open(directory.path());
    let mut feeds = add_feeds(&store, &[url("a"), url("b")], at(0)).expect("it adds");
    let updates = feeds.iter().map(|feed| {
        let changes = (0..3000).map(|seq| post(feed, seq, at(i64::from(seq)))).collect();
        FeedUpdate { feed: feed.clone(), changes, said: Vec::new(), events: vec![] }
    });
    store.commit(&mut updates.collect::<Vec<_>>()).expect("it commits");
    let keep = Retention { entries_per_feed: 50, age: days(400) };
    let (mut from, mut steps) = (None, 0);
    loop {
        let step = store.sweep(at(0), &keep, from).expect("it sweeps");
        assert!(step.entries <= 2000, "a step is bounded");
        for count in &step.counts {
            let feed = &mut feeds[count.feed.0 as usize];
            (feed.entries, feed.newest) = (count.entries, count.newest);
        }
        let stored = store.feeds().expect("it reads");
        assert!(stored.iter().zip(&feeds).all(|(stored, told)| {
            (stored.entries, stored.newest) == (told.entries, told.newest) || told.entries == 0
        }));
        steps += 1;
        from = step.next;
        if from.is_none() {
            break;
        }
    }
    assert!((3..10).contains(&steps), "{steps}");
    assert!(feeds.iter().all(|feed| feed.entries == 50));
}
