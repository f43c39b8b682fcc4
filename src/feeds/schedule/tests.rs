//! Every row of the table of answers, and what holds for any sequence of them.

use proptest::prelude::*;

use super::*;
use crate::model::UpdatePeriod;

/// Sun, 22 Nov 2026 20:37:12 GMT.
const NOW: Timestamp = Timestamp::from_seconds(1_795_379_832);

fn limits() -> Limits {
    Limits::default()
}

const NEVER: Option<String> = None;

fn new() -> Schedule {
    Schedule::new(NOW)
}

fn status(status: u16) -> Answered {
    Answered { status, ..Answered::default() }
}

fn fetched(answer: Answered) -> Outcome {
    Outcome::Fetched { answer, pace: Pace::default(), dates: Vec::new() }
}

fn unchanged(answer: Answered) -> Outcome {
    Outcome::Unchanged { answer, newest: None }
}

fn refused(code: u16, retry_after: Option<Duration>) -> Outcome {
    Outcome::Refused { answer: Answered { retry_after, ..status(code) } }
}

fn failed() -> Outcome {
    Outcome::Failed { why: "no connection: refused".into() }
}

fn moved(to: &str) -> Answered {
    let to = FeedUrl::parse(to).expect("an address");
    Answered { moved: Some(Move { to, upgrade: false }), redirected: true, ..status(200) }
}

/// The schedule after these outcomes, each asked when due, without jitter.
fn after(mut schedule: Schedule, outcomes: &[Outcome]) -> Schedule {
    for outcome in outcomes {
        let now = schedule.next_poll;
        schedule = next(&schedule, outcome, &limits(), now, 0.0).schedule;
    }
    schedule
}

/// How long after `outcome` the feed is asked again, without jitter.
fn delay(schedule: &Schedule, outcome: &Outcome) -> Duration {
    let now = schedule.next_poll;
    next(schedule, outcome, &limits(), now, 0.0).schedule.next_poll.since(now)
}

#[test]
fn a_success_waits_for_the_longest_of_what_is_asked() {
    let dates = |hours: u64| (0..10).map(|n| NOW.minus(HOUR * (n * hours) as u32)).collect::<Vec<_>>();
    let pace = |ttl_minutes, seconds: Option<u32>| Pace {
        ttl_minutes,
        update_period: seconds.map(|seconds| UpdatePeriod { seconds }),
        ..Pace::default()
    };
    let fresh = |seconds| Answered { freshness: Some(Duration::from_secs(seconds)), ..status(200) };
    for (name, answer, pace, dates, expected) in [
        ("nothing known", status(200), Pace::default(), vec![], HOUR),
        ("an entry an hour", status(200), Pace::default(), dates(1), 30 * MINUTE),
        ("an entry in 36 hours", status(200), Pace::default(), dates(36), 3 * HOUR),
        ("an entry in 24 days", status(200), Pace::default(), dates(24 * 24), 12 * HOUR),
        ("an entry in a quarter", status(200), Pace::default(), dates(24 * 100), DAY),
        ("all entries at once", status(200), Pace::default(), vec![NOW; 10], HOUR),
        ("fresh for long", fresh(7200), Pace::default(), dates(1), 2 * HOUR),
        ("fresh for ever", fresh(u64::from(u32::MAX)), Pace::default(), dates(1), DAY),
        ("fresh for no time", fresh(0), Pace::default(), dates(36), 3 * HOUR),
        ("ttl", status(200), pace(Some(300), None), dates(1), 5 * HOUR),
        ("a nonsensical ttl", status(200), pace(Some(u32::MAX), None), dates(1), DAY),
        ("an update period", status(200), pace(None, Some(6 * 3600)), dates(1), 6 * HOUR),
        ("all of them", fresh(60), pace(Some(1), Some(1)), dates(36), 3 * HOUR),
        (
            "silent for 24 days",
            status(200),
            Pace::default(),
            dates(1).iter().map(|at| at.minus(DAY * 24)).collect(),
            12 * HOUR,
        ),
        ("asked to wait", Answered { retry_after: Some(5 * HOUR), ..status(200) }, Pace::default(), dates(1), 5 * HOUR),
        (
            "asked to wait for ever",
            Answered { retry_after: Some(DAY * 99), ..status(200) },
            Pace::default(),
            vec![],
            WEEK,
        ),
    ] {
        let outcome = Outcome::Fetched { answer, pace, dates };
        let next = next(&new(), &outcome, &limits(), NOW, 0.0).schedule;
        assert_eq!(next.next_poll.since(NOW), expected, "{name}");
        assert_eq!((next.state, next.failures, next.last_success), (FeedState::Ok, 0, Some(NOW)), "{name}");
    }
}

#[test]
fn jitter_adds_a_tenth_at_most() {
    for (jitter, expected) in [(0.0, 3600), (0.5, 3780), (0.999_999_9, 3959)] {
        let next = next(&new(), &fetched(status(200)), &limits(), NOW, jitter).schedule;
        assert_eq!((next.next_poll.since(NOW).as_secs(), next.interval), (expected, HOUR));
    }
}

#[test]
fn what_a_document_asks_for_holds_for_the_304s_after_it() {
    let pace = Pace { ttl_minutes: Some(240), ..Pace::default() };
    let dates = vec![NOW, NOW.minus(DAY)];
    let schedule = after(new(), &[Outcome::Fetched { answer: status(200), pace: pace.clone(), dates }]);
    assert_eq!((&schedule.pace, schedule.rhythm), (&pace, Some(DAY)));
    assert_eq!(delay(&schedule, &unchanged(status(304))), 4 * HOUR);
    let short = Answered { freshness: Some(9 * HOUR), ..status(304) };
    assert_eq!(delay(&schedule, &unchanged(short)), 9 * HOUR, "freshness comes from the headers of this answer");
    let silent = Outcome::Unchanged { answer: status(304), newest: Some(NOW.minus(DAY * 24)) };
    assert_eq!(delay(&schedule, &silent).as_secs() / 3600, 12, "a silent feed is asked less");
}

#[test]
fn skipped_hours_and_days_are_skipped() {
    // Sunday, 20:37. Due an hour later, in the hour from 21.
    let due = |skip_hours: u32, skip_days: u8| {
        let pace = Pace { skip_hours, skip_days, ..Pace::default() };
        let outcome = Outcome::Fetched { answer: status(200), pace, dates: Vec::new() };
        next(&new(), &outcome, &limits(), NOW, 0.0).schedule.next_poll.to_rfc3339()
    };
    let (sunday, monday) = (1 << 6, 1);
    assert_eq!(due(1 << 20, 0), "2026-11-22T21:37:12Z", "the hour of asking itself does not matter");
    assert_eq!(due(1 << 21, 0), "2026-11-22T22:00:00Z");
    assert_eq!(due(0b111 << 21, 0), "2026-11-23T00:00:00Z");
    assert_eq!(due(0, sunday), "2026-11-23T00:00:00Z");
    assert_eq!(due(1, sunday | monday), "2026-11-24T01:00:00Z");
    assert_eq!(due(0xff_ffff, 0), "2026-11-22T21:37:12Z", "nobody skips every hour");
    assert_eq!(due(0, 0x7f), "2026-11-22T21:37:12Z");
    assert_eq!(due(0xff00_0000, 0x80), "2026-11-22T21:37:12Z", "hours and days that there are not");
}

#[test]
fn failures_back_off_to_a_day_and_after_a_month_to_a_week() {
    let mut schedule = after(new(), &[fetched(status(200))]);
    for hours in [1, 2, 4, 8, 12, 12, 12] {
        assert_eq!(delay(&schedule, &failed()), HOUR * hours, "half of b without jitter, and b at most a day");
        schedule = after(schedule, &[failed()]);
        assert_eq!(schedule.state, FeedState::Backoff);
    }
    assert_eq!(schedule.failures, 7);
    let since = schedule.failing_since.expect("it fails");
    while schedule.next_poll.since(since) < LONG_FAILING {
        schedule = after(schedule, &[refused(500, None)]);
    }
    assert_eq!(delay(&schedule, &failed()), WEEK / 2);
    let ok = after(schedule, &[unchanged(status(304))]);
    assert_eq!((ok.state, ok.failures, ok.failing_since, ok.last_error), (FeedState::Ok, 0, None, None));
}

#[test]
fn a_failure_waits_at_random_between_half_and_all_of_its_time() {
    let schedule = after(new(), &[fetched(status(200)), failed(), failed()]);
    let wait = |jitter| {
        next(&schedule, &failed(), &limits(), NOW, jitter).schedule.next_poll.since(NOW).as_secs_f64() / 3600.0
    };
    assert!((wait(0.0) - 4.0).abs() < 0.01 && (wait(0.5) - 6.0).abs() < 0.01 && (wait(0.999_99) - 8.0).abs() < 0.01);
}

#[test]
fn each_answer_has_its_row() {
    let ok = after(new(), &[fetched(status(200))]);
    let h = HOUR;
    for (name, outcome, state, wait, failures) in [
        ("401", refused(401, None), FeedState::Held, 4 * h, 1),
        ("403", refused(403, None), FeedState::Held, 4 * h, 1),
        ("403 with Retry-After", refused(403, Some(9 * h)), FeedState::Held, 9 * h, 1),
        ("404", refused(404, None), FeedState::Backoff, h, 1),
        ("410", refused(410, None), FeedState::Backoff, 24 * h, 1),
        ("418", refused(418, None), FeedState::Backoff, h, 1),
        ("429", refused(429, None), FeedState::Held, 4 * h, 0),
        ("429, 2 h", refused(429, Some(2 * h)), FeedState::Held, 2 * h, 0),
        ("429, 1 s", refused(429, Some(Duration::from_secs(1))), FeedState::Held, h, 0),
        ("429, a year", refused(429, Some(DAY * 365)), FeedState::Held, WEEK, 0),
        ("500", refused(500, None), FeedState::Backoff, h, 1),
        ("500 with Retry-After", refused(500, Some(3 * h)), FeedState::Backoff, 3 * h, 1),
        ("503", refused(503, None), FeedState::Backoff, h, 1),
        ("503 with Retry-After", refused(503, Some(3 * h)), FeedState::Held, 3 * h, 0),
        ("204", refused(204, None), FeedState::Backoff, h, 1),
        ("no answer", failed(), FeedState::Backoff, h, 1),
        ("no feed", unusable(false), FeedState::Backoff, h, 1),
    ] {
        let next = after(ok.clone(), std::slice::from_ref(&outcome));
        assert_eq!((next.state, delay(&ok, &outcome), next.failures), (state, wait, failures), "{name}");
        assert!(next.last_error.is_some() && next.last_success == ok.last_success, "{name}");
    }
}

fn unusable(parser_fault: bool) -> Outcome {
    Outcome::Unusable { answer: status(200), why: "no feed in it".into(), parser_fault }
}

#[test]
fn a_refusal_that_lasts_is_asked_daily() {
    let mut schedule = after(new(), &[fetched(status(200)), refused(401, None)]);
    for hours in [4, 8, 12, 12, 12] {
        assert_eq!(delay(&schedule, &refused(403, None)), HOUR * hours);
        schedule = after(schedule, &[refused(403, None)]);
    }
}

#[test]
fn a_404_is_asked_daily_whatever_the_longest_backoff_and_weekly_after_a_month() {
    let wait = |schedule: &Schedule, max_backoff, now: Timestamp| {
        let limits = Limits { max_backoff, ..limits() };
        next(schedule, &refused(404, None), &limits, now, 1.0).schedule.next_poll.since(now)
    };
    let mut schedule = after(new(), &[fetched(status(200))]);
    for hours in [2, 4, 8, 16, 24, 24] {
        assert_eq!(wait(&schedule, WEEK * 4, schedule.next_poll), HOUR * hours);
        assert_eq!(wait(&schedule, HOUR, schedule.next_poll), HOUR * hours);
        schedule = after(schedule, &[refused(404, None)]);
    }
    let since = schedule.failing_since.expect("it fails");
    schedule.failures = 30;
    assert_eq!(wait(&schedule, DAY, since.plus(LONG_FAILING)), WEEK);
    assert_eq!(wait(&schedule, DAY, since.plus(LONG_FAILING).minus(MINUTE)), DAY);
}

#[test]
fn a_redirect_that_is_not_permanent_changes_nothing() {
    let via = fetched(Answered { redirected: true, ..status(200) });
    let first = after(new(), &[fetched(moved("https://new.example/feed"))]);
    assert!(first.pending_move.is_some());
    let second = next(&first, &via, &limits(), first.next_poll, 0.0);
    assert_eq!((second.adopted, second.schedule.pending_move), (None, None), "nor does it confirm a permanent one");
}

#[test]
fn a_410_is_confirmed_after_a_day() {
    let once = after(new(), &[fetched(status(200)), refused(410, None)]);
    let early = next(&once, &refused(410, None), &limits(), once.next_poll.minus(20 * HOUR), 0.0).schedule;
    assert_eq!((early.state, early.next_poll), (FeedState::Backoff, once.next_poll), "a hint confirms nothing");
    let twice = after(early, &[refused(410, None)]);
    assert_eq!((twice.state, twice.next_poll), (FeedState::Gone, Timestamp::MAX));
    assert_eq!(due_at(&twice, &limits(), NOW), Timestamp::MAX);
    let back = after(once, &[fetched(status(200))]);
    assert_eq!((back.state, back.failures), (FeedState::Ok, 0));
}

#[test]
fn three_parser_faults_are_quarantine() {
    let two = after(new(), &[unusable(true), unusable(true)]);
    assert_eq!(two.state, FeedState::Backoff);
    let three = after(two.clone(), &[unusable(true)]);
    assert_eq!((three.state, delay(&two, &unusable(true))), (FeedState::Quarantined, DAY));
    assert_eq!(after(three.clone(), &[unusable(true)]).state, FeedState::Quarantined);
    let healed = after(three, &[fetched(status(200))]);
    assert_eq!((healed.state, healed.parser_faults), (FeedState::Ok, 0));
    assert_eq!(after(two, &[unusable(false), unusable(true)]).state, FeedState::Backoff, "only in a row");
}

#[test]
fn our_own_network_costs_nobody_a_failure() {
    let failing = after(new(), &[fetched(status(200)), failed(), failed()]);
    let now = failing.next_poll;
    let offline = |jitter| next(&failing, &Outcome::Offline, &limits(), now, jitter).schedule;
    let unharmed = Schedule { next_poll: now.plus(MINUTE), ..failing.clone() };
    assert_eq!(offline(0.0), unharmed);
    let (half, late) = (offline(0.5).next_poll.since(now), offline(0.999).next_poll.since(now));
    assert!(half > 8 * MINUTE && late > 15 * MINUTE && late < 17 * MINUTE, "spread out: {half:?} {late:?}");
}

#[test]
fn a_permanent_redirect_is_adopted_after_three_successes() {
    let adopted = |outcomes: &[Outcome]| {
        let mut schedule = new();
        outcomes
            .iter()
            .map(|outcome| {
                let next = next(&schedule, outcome, &limits(), schedule.next_poll, 0.0);
                schedule = next.schedule;
                next.adopted.map(|url| url.to_string())
            })
            .collect::<Vec<_>>()
    };
    let there = Some("https://new.example/feed".to_owned());
    let (via, other) = (fetched(moved("https://new.example/feed")), fetched(moved("https://other.example/")));
    let via_304 = unchanged(Answered { status: 304, ..moved("https://new.example/feed") });
    assert_eq!(adopted(&[via.clone(), via_304.clone(), via.clone()]), [None, None, there.clone()]);
    assert_eq!(adopted(&[via.clone(), other, via.clone(), via.clone()]), [NEVER; 4]);
    assert_eq!(adopted(&[via.clone(), via.clone(), fetched(status(200)), via.clone()]), [NEVER; 4]);
    assert_eq!(adopted(&[via.clone(), via.clone(), failed(), via.clone(), via.clone(), via.clone()])[5], there);
    assert_eq!(adopted(&[via.clone(), via.clone(), failed(), via.clone(), via.clone()]), [NEVER; 5]);
    assert_eq!(adopted(&[via.clone(), refused(404, None)]), [None, there.clone()], "the old address is gone");
    assert_eq!(adopted(&[via.clone(), failed(), refused(410, None)]), [None, None, there.clone()]);
    let behind = Outcome::Refused { answer: Answered { status: 404, ..moved("https://new.example/feed") } };
    assert_eq!(adopted(&[via.clone(), behind]), [None, None], "the new address is gone");
    assert_eq!(adopted(&[refused(404, None), refused(404, None)]), [None, None]);
    // A page for logging in is no feed, however permanently it is redirected to.
    let portal =
        Outcome::Unusable { answer: moved("https://portal.example/"), why: "no feed".into(), parser_fault: false };
    assert_eq!(adopted(&[portal.clone(), portal.clone(), portal]), [NEVER; 3]);

    let to = FeedUrl::parse("https://old.example/feed").expect("an address");
    let upgrade = Answered { moved: Some(Move { to, upgrade: true }), redirected: true, ..status(200) };
    assert_eq!(adopted(&[fetched(upgrade)]), [Some("https://old.example/feed".to_owned())], "at once");
}

#[test]
fn a_due_time_from_a_clock_gone_wrong_is_brought_back() {
    let far = after(Schedule::new(NOW.plus(DAY * 3650)), &[fetched(status(200))]);
    assert_eq!(due_at(&far, &limits(), NOW), NOW.plus(HOUR));
    let hours = after(Schedule::new(NOW.plus(10 * HOUR)), &[fetched(status(200))]);
    assert_eq!(due_at(&hours, &limits(), NOW), NOW.plus(HOUR), "an hour's wait, though set ten hours from now");
    let near = after(new(), &[fetched(status(200))]);
    assert_eq!(due_at(&near, &limits(), NOW), near.next_poll);
}

#[test]
fn hosts_are_spared_when_they_say_so() {
    let pause = |code, retry_after| host_pause(&Answered { retry_after, ..status(code) });
    assert_eq!(pause(429, None), Some(HOLD));
    assert_eq!(pause(429, Some(MINUTE)), Some(MINUTE));
    assert_eq!(pause(503, Some(MINUTE)), Some(MINUTE));
    assert_eq!((pause(503, None), pause(500, Some(MINUTE)), pause(200, Some(MINUTE))), (None, None, None));
}

#[test]
fn a_spared_host_is_remembered_by_its_feeds() {
    let ok = after(new(), &[fetched(status(200))]);
    let spared = |outcome: Outcome| {
        let schedule = next(&ok, &outcome, &limits(), NOW, 0.0).schedule;
        host_spared_until(&schedule).map(|until| until.since(NOW))
    };
    assert_eq!(spared(refused(429, Some(90 * MINUTE))), Some(HOUR));
    assert_eq!(spared(refused(503, Some(5 * HOUR))), Some(HOUR));
    assert_eq!((spared(refused(503, None)), spared(refused(403, None)), spared(failed())), (None, None, None));
}

#[test]
fn what_became_due_in_a_pause_goes_on_in_its_old_beat() {
    let schedule = |waits: Duration, due: Timestamp| Schedule {
        state: FeedState::Ok,
        interval: waits,
        next_poll: due,
        last_attempt: Some(due.minus(waits)),
        ..new()
    };
    let asked = |waits, due, pause: Duration, jitter| {
        after_pause(&schedule(waits, due), &limits(), NOW.minus(pause), NOW, jitter).since(NOW)
    };
    // Half an hour into an hour's pause.
    let due = NOW.minus(HOUR / 2);
    assert_eq!(asked(HOUR, due, HOUR, 0.5), 30 * MINUTE, "in its old beat");
    assert_eq!(asked(HOUR, NOW.minus(HOUR * 7 / 2), HOUR * 8, 0.5), 30 * MINUTE, "however often it was missed");
    assert_eq!(asked(DAY, NOW.minus(MINUTE), MINUTE * 2, 0.5), 10 * MINUTE, "soon after a short pause");
    assert_eq!(asked(DAY, due, HOUR, 0.5), 2 * HOUR, "and in a few hours after any");
    assert_eq!(asked(DAY, due, DAY * 10, 0.5), MAX_RECOVERY.mul_f64(0.95));
    assert_eq!(asked(HOUR, NOW.plus(MINUTE), HOUR, 0.5), MINUTE, "what is not due stays where it is");
    assert_eq!(
        after_pause(&new(), &limits(), NOW.minus(HOUR), NOW, 0.9),
        NOW,
        "nobody waits to be asked for the first time"
    );
}

fn any_duration() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(Duration::ZERO), Just(Duration::MAX), (0..100_000_000u64).prop_map(Duration::from_secs)]
}

fn any_answer() -> impl Strategy<Value = Answered> {
    let moved = prop_oneof![
        3 => Just(None),
        1 => ("[ab]", any::<bool>()).prop_map(|(host, upgrade)| {
            FeedUrl::parse(&format!("http://{host}.example/")).ok().map(|to| Move { to, upgrade })
        }),
    ];
    let code = prop_oneof![prop::sample::select(vec![200, 304, 401, 403, 404, 410, 429, 500, 503]), 100..600u16];
    (code, prop::option::of(any_duration()), prop::option::of(any_duration()), moved, any::<bool>()).prop_map(
        |(status, freshness, retry_after, moved, redirected)| Answered {
            status,
            freshness,
            retry_after,
            moved,
            redirected,
        },
    )
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    let time = || any::<i64>().prop_map(Timestamp::from_millis);
    let pace = (any::<Option<u32>>(), any::<Option<u32>>(), any::<u32>(), any::<u8>()).prop_map(
        |(ttl_minutes, seconds, skip_hours, skip_days)| Pace {
            ttl_minutes,
            update_period: seconds.map(|seconds| UpdatePeriod { seconds }),
            skip_hours,
            skip_days,
        },
    );
    prop_oneof![
        (any_answer(), pace, prop::collection::vec(time(), 0..30)).prop_map(|(answer, pace, dates)| Outcome::Fetched {
            answer,
            pace,
            dates
        }),
        (any_answer(), prop::option::of(time())).prop_map(|(answer, newest)| Outcome::Unchanged { answer, newest }),
        (any_answer(), any::<bool>()).prop_map(|(answer, parser_fault)| Outcome::Unusable {
            answer,
            why: String::new(),
            parser_fault
        }),
        any_answer().prop_map(|answer| Outcome::Refused { answer }),
        Just(failed()),
        Just(Outcome::Offline),
    ]
}

proptest! {
    /// Whatever comes, in whatever order, while the clock jumps about: the next poll is neither too soon nor too late.
    #[test]
    fn bounds_hold_for_any_sequence(
        steps in prop::collection::vec((any_outcome(), -40_000_000_000i64..40_000_000_000, 0.0..1.0f64), 1..40),
        min_s in 1..100_000u64,
        more_s in 0..1_000_000u64,
        backoff_s in 1..2_000_000u64,
    ) {
        let limits = Limits {
            min_interval: Duration::from_secs(min_s),
            max_interval: Duration::from_secs(min_s + more_s),
            max_backoff: Duration::from_secs(backoff_s),
        };
        let mut schedule = new();
        let mut now = NOW;
        for (outcome, jump_ms, jitter) in steps {
            now = Timestamp::from_millis(now.millis().saturating_add(jump_ms).clamp(0, 200_000_000_000_000));
            let before = schedule.clone();
            let Next { schedule: after, adopted } = next(&before, &outcome, &limits, now, jitter);
            let wait = after.next_poll.since(now);
            if after.state == FeedState::Gone && outcome != Outcome::Offline {
                let gone = matches!(&outcome, Outcome::Refused { answer } if answer.status == 410);
                prop_assert!(gone);
            } else if outcome == Outcome::Offline {
                prop_assert!(wait >= MINUTE.min(limits.min_interval));
                prop_assert_eq!(&Schedule { next_poll: before.next_poll, ..after.clone() }, &before);
            } else {
                prop_assert!(wait + Duration::from_secs(1) >= limits.min_interval.min(limits.max_backoff), "{:?}", wait);
                let longest = limits.max_interval.max(limits.max_backoff).max(WEEK).mul_f64(1.1);
                let skipped = if after.state == FeedState::Ok { skipped_at_most() } else { Duration::ZERO };
                prop_assert!(wait <= longest + skipped + HOUR, "{:?}", wait);
                prop_assert!(due_at(&after, &limits, now) == after.next_poll, "what a rule set is not brought back");
            }
            prop_assert!(after.failures == 0 || after.failing_since.is_some());
            prop_assert!(adopted.is_none() || after.pending_move.is_none());
            schedule = after;
        }
    }

    /// However long the pause was and whenever the feed became due in it: it is asked within its own waiting time and
    /// within hours, and not in hours that it skips.
    #[test]
    fn a_pause_ends_in_bounds(
        waits_s in 900..700_000u64,
        late_s in 1..1_000_000u64,
        pause_s in 1..1_000_000u64,
        jitter in 0.0..1.0f64,
    ) {
        let [waits, late, pause] = [waits_s, late_s, pause_s].map(Duration::from_secs);
        let asked = |due: Timestamp, pace: Pace| {
            let schedule =
                Schedule { next_poll: due, interval: waits, last_attempt: Some(due.minus(waits)), pace, ..new() };
            after_pause(&schedule, &limits(), NOW.minus(pause), NOW, jitter)
        };
        let due = NOW.minus(late);
        let at = asked(due, Pace::default());
        let longest = waits.min(MAX_RECOVERY).min(pause.max(late) * RECOVERY_STRETCH);
        prop_assert!(at >= NOW && at.since(NOW) <= longest);
        let open = asked(due, Pace { skip_hours: 0xff_f000, ..Pace::default() });
        prop_assert!(open.seconds().rem_euclid(86_400) < 12 * 3600);
    }

    /// Quarantine is entered at the third parser fault in a row, at whatever else happens before, asked daily, and
    /// left by a good answer alone.
    #[test]
    fn quarantine_is_entered_and_left(outcomes in prop::collection::vec(any_outcome(), 0..12), faults in 0..6u32) {
        let mut schedule = new();
        let mut now = NOW;
        for outcome in outcomes.iter().cloned().chain((0..faults).map(|_| unusable(true))) {
            now = now.plus(HOUR);
            let before = schedule.clone();
            schedule = next(&before, &outcome, &limits(), now, 0.5).schedule;
            match &outcome {
                Outcome::Unusable { answer, parser_fault: true, .. } => {
                    prop_assert_eq!(schedule.parser_faults, before.parser_faults + 1);
                    prop_assert_eq!(schedule.state == FeedState::Quarantined, before.parser_faults >= 2);
                    if before.parser_faults >= 2 && answer.retry_after.is_none() {
                        prop_assert!(schedule.next_poll.since(now) >= DAY && schedule.next_poll.since(now) <= DAY.mul_f64(1.1));
                    }
                }
                Outcome::Fetched { .. } => prop_assert_eq!((schedule.state, schedule.parser_faults), (FeedState::Ok, 0)),
                _ => {}
            }
        }
        let healed = next(&schedule, &fetched(status(200)), &limits(), now.plus(DAY), 0.5).schedule;
        prop_assert_eq!((healed.state, healed.parser_faults, healed.failures), (FeedState::Ok, 0, 0));
    }

    /// A feed that answers well is never asked sooner than its shortest and never later than its longest interval.
    #[test]
    fn a_good_feed_keeps_to_its_interval(days in prop::collection::vec(0..1000u32, 0..30), jitter in 0.0..1.0f64) {
        let dates = days.iter().map(|days| NOW.minus(DAY * *days)).collect();
        let outcome = Outcome::Fetched { answer: status(200), pace: Pace::default(), dates };
        let wait = next(&new(), &outcome, &limits(), NOW, jitter).schedule.next_poll.since(NOW);
        prop_assert!(wait >= limits().min_interval && wait <= limits().max_interval.mul_f64(1.1));
    }
}
