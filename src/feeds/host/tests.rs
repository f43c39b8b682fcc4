//! The queue of hosts against tables and a model of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp::from_seconds(1_795_379_832);

fn queue(concurrency: usize, per_host: usize, gap: Duration) -> Queue {
    Queue::new(Politeness { concurrency, per_host, gap })
}

fn seconds(count: u64) -> Timestamp {
    START.plus(Duration::from_secs(count))
}

fn started(queue: &mut Queue, now: Timestamp) -> Vec<u32> {
    std::iter::from_fn(|| queue.next(now)).map(|feed| feed.0).collect()
}

#[test]
fn feeds_start_when_due_with_a_gap_per_host() {
    let mut queue = queue(10, 2, Duration::from_secs(1));
    for feed in 0..3 {
        queue.insert(FeedId(feed), "a:80", START, Standing::Proven);
    }
    queue.insert(FeedId(3), "b:80", seconds(5), Standing::Proven);
    assert_eq!(queue.wake_at(), Some(START));
    assert_eq!(started(&mut queue, START), [0]);
    assert_eq!(queue.wake_at(), Some(seconds(1)));
    assert_eq!(started(&mut queue, seconds(1)), [1]);
    // Two are under way: the third waits for one of them, not for a time.
    assert_eq!((started(&mut queue, seconds(4)), queue.wake_at()), (vec![], Some(seconds(5))));
    queue.finished(FeedId(0), seconds(4));
    assert_eq!(started(&mut queue, seconds(4)), [2]);
    assert_eq!(started(&mut queue, seconds(5)), [3]);
    assert_eq!((queue.waiting(), queue.under_way(), queue.wake_at()), (0, 3, None));
}

#[test]
fn a_feed_inserted_while_it_is_asked_waits_for_the_end() {
    let mut queue = queue(10, 2, Duration::ZERO);
    queue.insert(FeedId(1), "a:80", START, Standing::New);
    assert_eq!(started(&mut queue, START), [1]);
    queue.insert(FeedId(1), "b:80", START, Standing::New);
    assert_eq!(started(&mut queue, START), Vec::<u32>::new());
    queue.finished(FeedId(1), START);
    assert_eq!(started(&mut queue, START), [1]);
    queue.insert(FeedId(1), "b:80", START, Standing::New);
    queue.remove(FeedId(1));
    queue.finished(FeedId(1), START);
    queue.finished(FeedId(1), START);
    assert_eq!((started(&mut queue, START), queue.waiting(), queue.under_way()), (vec![], 0, 0));
}

#[test]
fn a_host_that_asks_is_spared_and_its_gap_grows_and_shrinks() {
    let mut queue = queue(10, 2, Duration::from_secs(1));
    let gap = |queue: &mut Queue, from: u64| {
        for feed in [1, 2] {
            queue.insert(FeedId(feed), "a:80", START, Standing::Proven);
        }
        assert_eq!(started(&mut *queue, seconds(from)).len(), 1);
        let wake = queue.wake_at().expect("the other waits");
        for feed in [1, 2] {
            queue.finished(FeedId(feed), seconds(from));
            queue.remove(FeedId(feed));
        }
        wake.since(seconds(from)).as_secs()
    };
    assert_eq!(gap(&mut queue, 0), 1);
    queue.slow_down("a:80", Duration::from_hours(100), seconds(10));
    queue.slow_down("a:80", Duration::from_hours(100), seconds(11));
    queue.insert(FeedId(1), "a:80", START, Standing::Proven);
    queue.insert(FeedId(2), "b:80", START, Standing::Proven);
    assert_eq!(started(&mut queue, seconds(12)), [2], "another host is not concerned");
    queue.finished(FeedId(2), seconds(12));
    assert_eq!(queue.wake_at(), Some(seconds(3611)), "an hour at most, from the last time it asked");
    let after = 3611;
    assert_eq!(gap(&mut queue, after), 2, "doubled once, though two were refused at once");
    queue.slow_down("a:80", Duration::from_mins(1), seconds(after + 10));
    assert_eq!(gap(&mut queue, after + 70), 4);
    assert_eq!(gap(&mut queue, after + 70 + 3600), 2, "a good hour later");
    assert_eq!(gap(&mut queue, after + 70 + 2 * 3600), 1);
    assert_eq!(gap(&mut queue, after + 70 + 9 * 3600), 1);
}

#[test]
fn troubled_feeds_leave_slots_to_the_healthy() {
    let mut queue = queue(8, 2, Duration::from_secs(1));
    for feed in 0..10_000 {
        queue.insert(FeedId(feed), &format!("dead{feed}:80"), START, Standing::Troubled);
    }
    assert_eq!(started(&mut queue, START).len(), 2, "a quarter of the slots");
    for feed in 10_000..20_000 {
        queue.insert(FeedId(feed), &format!("new{feed}:80"), START, Standing::New);
    }
    assert_eq!(started(&mut queue, START).len(), 6, "all slots taken");
    let stuck: Vec<_> =
        (0..20_000).map(FeedId).filter(|feed| matches!(queue.feeds[feed], Place::UnderWay { .. })).collect();
    for feed in &stuck[..4] {
        queue.finished(*feed, START);
    }
    queue.insert(FeedId(50_000), "healthy:80", START, Standing::Proven);
    assert!(started(&mut queue, START).contains(&50_000));
}

#[test]
fn feeds_in_trouble_leave_a_slot_to_the_healthy_of_their_host() {
    for (per_host, at_once) in [(1, vec![0]), (2, vec![0]), (3, vec![0, 1])] {
        let mut queue = queue(100, per_host, Duration::ZERO);
        for feed in 0..3 {
            queue.insert(FeedId(feed), "a:80", START, Standing::Troubled);
        }
        assert_eq!(started(&mut queue, START), at_once, "{per_host}");
        queue.insert(FeedId(9), "a:80", seconds(1), Standing::Proven);
        let well = if per_host == 1 { vec![] } else { vec![9] };
        assert_eq!(started(&mut queue, seconds(1)), well, "{per_host}");
        // They wait for one of their kind.
        for feed in &well {
            queue.finished(FeedId(*feed), seconds(2));
        }
        assert_eq!(started(&mut queue, seconds(2)), Vec::<u32>::new(), "{per_host}");
        queue.finished(FeedId(0), seconds(2));
        assert_eq!(started(&mut queue, seconds(2)), [at_once.len() as u32], "{per_host}");
    }
}

#[test]
fn what_is_expected_of_a_feed_follows_from_its_last_answer() {
    let of = |state, seconds: Option<u64>| Standing::of(state, seconds.map(Duration::from_secs));
    assert_eq!((of(FeedState::New, None), of(FeedState::Ok, None)), (Standing::New, Standing::Proven));
    assert_eq!((of(FeedState::Ok, Some(1)), of(FeedState::Ok, Some(9))), (Standing::Proven, Standing::Troubled));
    assert_eq!((of(FeedState::Held, Some(1)), of(FeedState::Backoff, Some(1))), (Standing::Proven, Standing::Troubled));
}

#[test]
fn hosts_are_forgotten() {
    let mut queue = queue(10, 2, Duration::from_secs(1));
    for feed in 0..1000 {
        queue.insert(FeedId(feed), &format!("host{feed}:80"), START, Standing::Proven);
    }
    queue.slow_down("host7:80", Duration::from_secs(10), START);
    for feed in 0..1000 {
        queue.remove(FeedId(feed));
    }
    assert_eq!(queue.next(START), None);
    assert_eq!(queue.hosts(), 1, "only of the slow one something is left to remember");
    assert_eq!(queue.next(seconds(3700)), None);
    assert_eq!((queue.hosts(), queue.wake_at()), (0, None));
    assert!(queue.idle.is_empty() && queue.startable.values().all(BTreeSet::is_empty));
}

#[test]
fn a_clock_set_back_silences_nobody() {
    let mut queue = queue(10, 1, Duration::from_secs(1));
    let wrong = START.plus(Duration::from_hours(24 * 3650));
    queue.insert(FeedId(1), "a:80", wrong, Standing::Proven);
    queue.insert(FeedId(2), "a:80", wrong, Standing::Proven);
    queue.insert(FeedId(3), "b:80", wrong, Standing::Proven);
    queue.insert(FeedId(4), "b:80", wrong, Standing::Proven);
    assert_eq!(started(&mut queue, wrong), [1, 3]);
    queue.slow_down("b:80", Duration::from_secs(10), wrong);
    queue.finished(FeedId(1), START);
    queue.finished(FeedId(3), START);
    // Due times are the schedule's: the caller brings them back.
    queue.insert(FeedId(2), "a:80", START, Standing::Proven);
    queue.insert(FeedId(4), "b:80", START, Standing::Proven);
    assert_eq!(started(&mut queue, seconds(2)), [2]);
    assert_eq!(started(&mut queue, seconds(3600 + 1)), [4]);
}

#[test]
fn many_feeds_of_many_hosts_all_get_their_turn() {
    let mut queue = queue(64, 2, Duration::from_secs(1));
    for feed in 0..20_000 {
        queue.insert(FeedId(feed), &format!("host{}.example:443", feed % 6_000), START, Standing::Proven);
    }
    let (mut now, mut served) = (START, 0);
    while served < 5_000 {
        let mut batch = started(&mut queue, now);
        served += batch.len();
        while let Some(feed) = batch.pop() {
            queue.finished(FeedId(feed), now);
            queue.insert(
                FeedId(feed),
                &format!("host{}.example:443", feed % 6_000),
                now.plus(Duration::from_hours(1)),
                Standing::Proven,
            );
        }
        now = now.plus(Duration::from_millis(10));
    }
    assert_eq!(queue.waiting(), 20_000);
}

#[test]
fn on_a_host_with_too_many_feeds_each_gets_its_turn() {
    let mut queue = queue(64, 2, Duration::from_secs(1));
    for feed in 0..10 {
        queue.insert(FeedId(feed), "host:80", seconds(0), Standing::Proven);
    }
    for (feed, standing) in [(10, Standing::New), (11, Standing::Troubled)] {
        queue.insert(FeedId(feed), "host:80", seconds(1), standing);
    }
    // Ten that are due again after five seconds are twice as many as can be asked.
    let mut asked = Vec::new();
    for second in 0..24 {
        for feed in started(&mut queue, seconds(second)) {
            asked.push(feed);
            queue.finished(FeedId(feed), seconds(second));
            queue.insert(FeedId(feed), "host:80", seconds(second + 5), Standing::Proven);
        }
    }
    let each: Vec<u32> = (0..10).chain([10, 11]).collect();
    assert_eq!(asked[..12], each);
    let mut again = asked[12..].to_vec();
    again.sort_unstable();
    assert_eq!(again, each);
}

/// What may happen to a queue.
#[derive(Clone, Debug)]
enum Step {
    Insert { feed: u32, host: u8, in_ms: u64, standing: Standing },
    Remove(u32),
    Finish(usize),
    SlowDown { host: u8, seconds: u64 },
    Pass(u64),
    SetBack(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let standing = prop::sample::select(Standing::ALL.to_vec());
    prop_oneof![
        6 => (0..40u32, 0..5u8, 0..20_000u64, standing)
            .prop_map(|(feed, host, in_ms, standing)| Step::Insert { feed, host, in_ms, standing }),
        1 => (0..40u32).prop_map(Step::Remove),
        6 => any::<usize>().prop_map(Step::Finish),
        1 => (0..5u8, 0..10_000u64).prop_map(|(host, seconds)| Step::SlowDown { host, seconds }),
        6 => (0..3_000u64).prop_map(Step::Pass),
        1 => (0..100_000u64).prop_map(Step::SetBack),
    ]
}

proptest! {
    /// Against a plain record of what was asked for: never two of one feed at once, never more at once than the
    /// bounds, never closer than the gap, never before due, never while the host is spared.
    #[test]
    fn no_rule_is_ever_broken(
        steps in prop::collection::vec(step(), 1..200),
        concurrency in 1..12usize,
        per_host in 1..4usize,
        gap_ms in prop::sample::select(vec![0, 1, 1000, 5000u64]),
    ) {
        let gap = Duration::from_millis(gap_ms);
        let mut queue = queue(concurrency, per_host, gap);
        let mut now = START;
        let mut wanted: HashMap<u32, (u8, Timestamp, Standing)> = HashMap::new();
        let mut under_way: BTreeMap<u32, (u8, Standing)> = BTreeMap::new();
        let mut last_start: HashMap<u8, Timestamp> = HashMap::new();
        let mut spared: HashMap<u8, Timestamp> = HashMap::new();
        for step in steps {
            match step {
                Step::Insert { feed, host, in_ms, standing } => {
                    let due = now.plus(Duration::from_millis(in_ms));
                    queue.insert(FeedId(feed), &format!("host{host}:80"), due, standing);
                    wanted.insert(feed, (host, due, standing));
                }
                Step::Remove(feed) => {
                    queue.remove(FeedId(feed));
                    wanted.remove(&feed);
                }
                Step::Finish(which) => {
                    if let Some(feed) = under_way.keys().nth(which % under_way.len().max(1)).copied() {
                        under_way.remove(&feed);
                        queue.finished(FeedId(feed), now);
                    }
                }
                Step::SlowDown { host, seconds } => {
                    let pause = Duration::from_secs(seconds);
                    queue.slow_down(&format!("host{host}:80"), pause, now);
                    let until = now.plus(pause.min(MAX_HOST_PAUSE));
                    let spared = spared.entry(host).or_insert(until);
                    *spared = until.max(*spared);
                }
                Step::Pass(ms) => now = now.plus(Duration::from_millis(ms)),
                Step::SetBack(ms) => {
                    now = now.minus(Duration::from_millis(ms));
                    // The rules speak of a clock that runs on; after this one everything starts anew.
                    last_start.clear();
                    spared.clear();
                }
            }
            while let Some(FeedId(feed)) = queue.next(now) {
                let (host, due, standing) = wanted.remove(&feed).expect("nobody asked for it");
                prop_assert!(due <= now, "before due");
                prop_assert!(under_way.insert(feed, (host, standing)).is_none(), "twice at once");
                prop_assert!(under_way.values().filter(|(other, _)| *other == host).count() <= per_host);
                prop_assert!(under_way.len() <= concurrency);
                let alike = under_way.values().filter(|(_, other)| *other == standing).count();
                prop_assert!(alike <= standing.slots(concurrency));
                prop_assert!(last_start.insert(host, now).is_none_or(|last| now.since(last) >= gap), "too close");
                prop_assert!(spared.get(&host).is_none_or(|until| *until <= now), "spared");
            }
            let waiting = wanted.keys().filter(|feed| !under_way.contains_key(feed)).count();
            prop_assert_eq!((queue.waiting(), queue.under_way()), (waiting, under_way.len()));
            if let Some(wake) = queue.wake_at() {
                prop_assert!(wake > now, "it would have started");
            }
        }
    }

    /// As long as requests end, every feed gets its turn within the time that the rules themselves take.
    #[test]
    fn nobody_starves(
        feeds in prop::collection::vec((0..6u8, 0..10_000u64, prop::sample::select(Standing::ALL.to_vec())), 1..60),
        concurrency in 1..8usize,
        per_host in 1..3usize,
        takes_ms in 1..3_000u64,
    ) {
        let mut queue = queue(concurrency, per_host, Duration::from_secs(1));
        for (feed, (host, in_ms, standing)) in feeds.iter().enumerate() {
            let due = START.plus(Duration::from_millis(*in_ms));
            queue.insert(FeedId(feed as u32), &format!("host{host}"), due, *standing);
        }
        let (mut now, mut ends, mut served) = (START, BTreeSet::new(), HashSet::new());
        while served.len() < feeds.len() {
            while let Some(feed) = queue.next(now) {
                prop_assert!(served.insert(feed));
                ends.insert((now.plus(Duration::from_millis(takes_ms)), feed));
            }
            let end = ends.first().map(|(at, _)| *at);
            now = queue.wake_at().into_iter().chain(end).min().expect("something is left to wait for");
            while let Some(&(at, feed)) = ends.first().filter(|(at, _)| *at <= now) {
                ends.remove(&(at, feed));
                queue.finished(feed, now);
            }
            let longest = Duration::from_millis(10_000 + (1000 + takes_ms) * feeds.len() as u64);
            prop_assert!(now <= START.plus(longest), "{:?} of {} served", served.len(), feeds.len());
        }
    }
}
