//! Whatever call to the disk fails, and whenever the power goes: nothing acknowledged is lost, nothing is doubled.

use super::disk::{CACHE_BYTES, Disk, Trouble};
use super::relations::{contact, notice, webmention};
use super::*;
use crate::model::ContactKind;

/// One call that may be repeated.
type Step = fn(&Store) -> Result<(), StoreError>;

/// A day in the life of a store.
const STEPS: [Step; 20] = [
    |store| store.add_feeds(&[url("a"), url("b"), url("c")], at(0)).map(drop),
    |store| post(store, &[0, 1], 0..12, 10),
    |store| store.save_list("desired", Some(&b"<opml>".repeat(400)), &news(5)),
    |store| {
        // An edit, and a schedule alone.
        let feeds = store.feeds()?;
        let edited = edit(FeedId(0), change(FeedId(0), 3, at(13), "words").now, "other words");
        store.commit(&mut [
            FeedUpdate { feed: feeds[0].clone(), changes: vec![edited], said: Vec::new(), events: vec![] },
            FeedUpdate { feed: talkative(feeds[2].clone()), changes: vec![], said: Vec::new(), events: vec![] },
        ])
    },
    |store| store.remember_paths(&[("/old/ann".into(), url("a")), ("/old/cid".into(), url("c"))]),
    |store| post(store, &[1], 12..30, 5000),
    |store| sweep_all(store, at(100).plus(Retention::LEFT_FEEDS_KEPT), &RETENTION).map(drop),
    |store| store.save_list("desired", None, &ListNews { happened: vec![], cancelled: news(5).happened }),
    |store| {
        // Everything at once.
        let new = TakeOver {
            contents: vec![("a".into(), Some(b"<opml/>".to_vec())), ("b".into(), None)],
            news: news(6),
            paths: vec![("/old/dan".into(), url("d"))],
            urls: vec![url("d"), url("a")],
            edits: vec![],
        };
        store.take_over(&new, at(6000)).map(drop)
    },
    |store| post(store, &[3], 0..5, 6000),
    |store| {
        // An outline was edited.
        let (urls, edits) = (vec![url("d"), url("e")], vec![(url("a"), url("e"))]);
        store.take_over(&TakeOver { urls, edits, ..TakeOver::default() }, at(6100)).map(drop)
    },
    |store| post(store, &[4], 10..15, 6200),
    |store| store.keep_contact(&contact(FeedId(4), 6200, ContactKind::Shared)),
    |store| store.tell(&[notice(NoticeKind::Newcomer, 6200, 1), notice(NoticeKind::Bridge, 6201, 2)]),
    |store| store.keep_webmention(&webmention(1, "First")),
    |store| store.hear(&[said(entry_key(4, 11, 6211), 2, 1)], Hash64(7), None),
    |store| join(store, 0, 4, Kinship::Edited),
    |store| post(store, &[3], 40..43, 6300),
    |store| {
        let mut feed = store.feed(FeedId(1))?.expect("the feed was added");
        feed.schedule.last_success = Some(at(9000));
        store.commit(&mut [FeedUpdate { feed, changes: vec![], said: Vec::new(), events: vec![] }])
    },
    |store| join(store, 1, 3, Kinship::Twins),
];

const RETENTION: Retention = Retention { entries_per_feed: 22, age: Duration::from_hours(400 * 24) };

fn news(seconds: i64) -> ListNews {
    let happened = vec![event(seconds, ListEventKind::Joined, "a"), event(seconds, ListEventKind::Left, "b")];
    ListNews { happened, cancelled: vec![] }
}

fn post(store: &Store, feeds: &[u32], seqs: std::ops::Range<u32>, seconds: i64) -> Result<(), StoreError> {
    let mut updates = Vec::new();
    for &id in feeds {
        let feed = store.feed(FeedId(id))?.expect("the feed was added");
        let changes = seqs.clone().map(|seq| change(feed.id, seq, at(seconds + i64::from(seq)), "words")).collect();
        let said =
            seqs.clone().map(|seq| said(entry_key(id, seq, seconds + i64::from(seq)), seq % 4, seq as usize % 7));
        updates.push(FeedUpdate { feed, changes, said: said.collect(), events: vec![] });
    }
    store.commit(&mut updates)
}

fn entry_key(feed: u32, seq: u32, seconds: i64) -> EntryKey {
    EntryKey { listed_at: at(seconds), feed: FeedId(feed), seq }
}

fn join(store: &Store, winner: u32, loser: u32, kinship: Kinship) -> Result<(), StoreError> {
    store.join(&Join { winner: FeedId(winner), loser: FeedId(loser), kinship, is_vouched: true }, at(9999)).map(drop)
}

/// All steps, on a store that is well.
pub(super) fn live_a_day(store: &Store) {
    for step in STEPS {
        step(store).expect("a healthy disk writes");
    }
}

/// What a healthy store holds before the first step and after each one.
fn expected() -> Vec<Contents> {
    let store = Disk::default().store().expect("a healthy disk opens");
    let mut all = vec![contents(&store).expect("a healthy disk reads")];
    for step in STEPS {
        step(&store).expect("a healthy disk writes");
        all.push(contents(&store).expect("a healthy disk reads"));
    }
    all
}

fn calls_of_a_day() -> u64 {
    let disk = Disk::default();
    let store = disk.store().expect("a healthy disk opens");
    live_a_day(&store);
    drop(store);
    disk.calls()
}

#[test]
fn the_day_does_what_its_steps_say() {
    let expected = expected();
    let last = &expected[10];
    assert_eq!(last.feeds.iter().map(|feed| feed.id.0).collect::<Vec<_>>(), [0, 1, 3], "feed 2 left 30 days ago");
    assert_eq!(last.feeds.iter().map(|feed| feed.entries).collect::<Vec<_>>(), [12, 22, 5]);
    assert_eq!(last.known[&FeedId(1)].iter().filter(|known| known.purged).count(), 8);
    assert_eq!(last.paths, [("/old/ann".to_owned(), url("a")), ("/old/dan".to_owned(), url("d"))]);
    assert_eq!((last.lists.len(), last.lists[0].0.as_str()), (1, "a"));
    assert_eq!(last.events, news(6).happened);
    assert!(expected[8].lists.is_empty() && expected[8].events.is_empty());
    assert_eq!(expected[3].events, news(5).happened);
    // Feed 0 goes on at another address, and feed 3 is feed 1: two of its entries were there already.
    let last = expected.last().expect("there are steps");
    assert_eq!(last.feeds.iter().map(|feed| (feed.id.0, feed.entries)).collect::<Vec<_>>(), [(0, 15), (1, 25)]);
    assert_eq!((&last.feeds[0].url, &last.feeds[1].aliases), (&url("e"), &vec![url("d")]));
    assert_eq!(last.paths, [("/old/ann".to_owned(), url("e")), ("/old/dan".to_owned(), url("d"))]);
    assert_eq!(last.contacts, [contact(FeedId(0), 6200, ContactKind::Shared)], "it follows its feed");
    assert_eq!((last.notices.len(), last.webmentions.len(), last.said.len() > 20), (2, 1, true));
}

#[test]
fn every_call_fails_once() {
    let expected = expected();
    let calls = calls_of_a_day();
    // Each call fails; half done and done but failing, a third of them each.
    let plans = [(Trouble::FailsOnce, 1), (Trouble::HalfDoneOnce, 3), (Trouble::DoneButFails, 3)];
    for (trouble, every) in plans {
        for n in (1..=calls).step_by(every) {
            let disk = Disk::default();
            disk.plan(n, trouble);
            let store = match disk.store() {
                Ok(store) => store,
                Err(OpenError::Io { .. }) => match disk.store() {
                    Ok(store) => store,
                    // A file begun and never finished: on a real disk it bears another name until it is whole.
                    Err(OpenError::Damaged { .. }) => continue,
                    Err(error) => panic!("call {n}, {trouble:?}: {error}"),
                },
                Err(error) => panic!("call {n}, {trouble:?}: {error}"),
            };
            for (done, step) in STEPS.iter().enumerate() {
                let before = disk.calls();
                let mut result = step(&store);
                for _ in 0..2 {
                    match result {
                        Ok(()) => break,
                        Err(error) => {
                            assert!(error.may_pass(), "call {n}, {trouble:?}, step {done}: {error}");
                            result = step(&store);
                        }
                    }
                }
                result.unwrap_or_else(|error| panic!("call {n}, {trouble:?}, step {done}: {error}"));
                if !(before..=disk.calls()).contains(&n) {
                    continue; // It failed before or fails later.
                }
                // The failure may be waiting for a read, which passes too.
                let found = contents(&store).or_else(|_| contents(&store)).expect("reads come back");
                assert!(found == expected[done + 1], "call {n}, {trouble:?}, step {done}");
            }
            drop(store);
            disk.unplan();
            let store = disk.store().expect("it opens again");
            assert!(contents(&store).expect("it reads") == expected[STEPS.len()], "call {n}, {trouble:?}, reopened");
        }
    }
}

/// 350 days with a cut, nearly half of them with another while coming back, or as many as the environment's
/// `LISTEND_POWER_CUTS` says.
#[test]
fn the_power_goes_at_any_call_and_again_while_coming_back() {
    let expected = expected();
    let calls = calls_of_a_day();
    let cuts: u64 = std::env::var("LISTEND_POWER_CUTS").ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(350);
    let mut again = 0;
    for seed in 0..cuts {
        let mut chance = fastrand::Rng::with_seed(seed);
        let disk = Disk::default();
        let mut store = Some(disk.store().expect("a healthy disk opens"));
        disk.plan(chance.u64(1..=calls), Trouble::PowerCut);
        let mut done = 0;
        while done < STEPS.len() {
            let open = match store.take() {
                Some(open) => open,
                None => match disk.store() {
                    Ok(open) => open,
                    Err(OpenError::Io { .. }) if disk.is_dark() => {
                        disk.power_up(&mut chance);
                        continue;
                    }
                    Err(error) => panic!("seed {seed}, after {done} steps: {error}"),
                },
            };
            if STEPS[done](&open).is_ok() {
                done += 1;
            }
            if !disk.is_dark() {
                store = Some(open);
                continue;
            }
            drop(open);
            disk.power_up(&mut chance);
            if chance.bool() {
                // The power goes again while the database is being opened, and the last time it does not.
                disk.plan(chance.u64(1..30), Trouble::PowerCut);
                if let Ok(open) = disk.store() {
                    drop(open);
                }
                if disk.is_dark() {
                    again += 1;
                    disk.power_up(&mut chance);
                }
                disk.unplan();
            }
            let open = disk.store().unwrap_or_else(|error| panic!("seed {seed}, after {done} steps: {error}"));
            let found = contents(&open).unwrap_or_else(|error| panic!("seed {seed}, after {done} steps: {error}"));
            let next = expected.get(done + 1).is_some_and(|next| found == *next);
            // A sweep is several transactions, of which some may be done.
            let is_sweep = done == 6;
            assert!(found == expected[done] || next || is_sweep, "seed {seed}, after {done} steps");
            store = Some(open);
        }
        drop(store);
        // The power may also go while the database is being closed.
        if disk.is_dark() {
            disk.power_up(&mut chance);
        }
        disk.unplan();
        let store = disk.store().expect("it opens again");
        assert!(contents(&store).expect("it reads") == expected[STEPS.len()], "seed {seed}, at the end");
    }
    eprintln!("{cuts} days with a cut, {again} more cuts while coming back: nothing lost, nothing doubled");
    assert!(again > cuts / 10);
}

#[test]
fn on_a_full_disk_everything_can_still_be_read() {
    // Whether or not the probe sees that the disk is full.
    for probe_sees in [true, false] {
        let disk = Disk::default();
        let probed = disk.clone();
        let store = disk.store_probed(move || {
            if probe_sees && probed.is_full() { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        });
        let store = store.expect("a healthy disk opens");
        let feed = store.add_feeds(&[url("a")], at(0)).expect("it adds").remove(0);
        let mut chance = fastrand::Rng::with_seed(1);
        let mut words = || std::iter::repeat_with(|| chance.alphanumeric()).take(2000).collect::<String>();
        let mut post = |seqs: std::ops::Range<u32>| {
            let changes = seqs.map(|seq| change(feed.id, seq, at(i64::from(seq)), &words())).collect();
            [FeedUpdate { feed: feed.clone(), changes, said: Vec::new(), events: vec![] }]
        };
        store.commit(&mut post(0..1500)).expect("it commits");
        assert!(disk.size() > 2 * CACHE_BYTES, "{} bytes do not all fit into memory", disk.size());
        let expected = contents(&store).expect("it reads");

        disk.fill_up(true);
        for attempt in 0..2 {
            let error = store.commit(&mut post(1500..2200)).expect_err("the disk is full");
            assert!(error.may_pass(), "{error}");
            let found = contents(&store).unwrap_or_else(|error| panic!("attempt {attempt}: {error}"));
            assert!(found == expected, "attempt {attempt}");
        }
        disk.fill_up(false);
        let mut last = post(1500..1501);
        store.commit(&mut last).expect("there is room again");
        assert_eq!(contents(&store).expect("it reads").entries.len(), 1501);
        drop(store);
        let found = contents(&disk.store().expect("it opens again")).expect("it reads");
        assert_eq!(found.entries.len(), 1501);
    }
}
