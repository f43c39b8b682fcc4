//! When a feed is asked next: one pure function from its state and what came of asking to its next state.
//!
//! Owns the whole table of answers and the waiting times that follow from them. Time and chance are arguments. Knows
//! nothing of connections, hosts' queues or the store.

use std::time::Duration;

use super::host::MAX_HOST_PAUSE;
use crate::model::{FeedState, FeedUrl, Pace, PendingMove, Schedule, Timestamp};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const WEEK: Duration = Duration::from_hours(7 * 24);

/// How many times more seldom a feed is asked while its hub pushes.
const PUSHED_SHARE: u32 = 4;
/// The rhythm of a feed of which none is known.
const UNKNOWN_RHYTHM: Duration = Duration::from_hours(4);
/// How many of the newest entries tell the rhythm.
const RHYTHM_ENTRIES: usize = 20;
/// The share of a poll's delay that chance adds at most, so that feeds met together part ways.
const JITTER_SHARE: f64 = 0.1;
/// How long after the first 410 it is asked for confirmation, and how much earlier an answer counts as one.
const GONE_CONFIRMED_AFTER: Duration = DAY;
const GONE_TOLERANCE: Duration = HOUR;
/// How long a 401, 403, or a 429 without `Retry-After`, is left alone.
const HOLD: Duration = Duration::from_hours(4);
/// After so long without a success, failing feeds are asked weekly.
const LONG_FAILING: Duration = Duration::from_hours(30 * 24);
/// Bounds of what `Retry-After` may ask for.
const RETRY_AFTER_BOUNDS: (Duration, Duration) = (MINUTE, WEEK);
/// How many successes in a row through a permanent redirect make it the feed's address.
const SUCCESSES_TO_MOVE: u8 = 3;
/// How many parser faults in a row put a feed into quarantine.
const FAULTS_TO_QUARANTINE: u32 = 3;
/// How far ahead an hour is looked for that `skipHours` and `skipDays` leave open.
const MAX_SKIPPED_HOURS: u32 = 8 * 24;

/// What became due in a pause is asked over so many times as long as the pause was, at most.
const RECOVERY_STRETCH: u32 = 10;
/// And over no longer than this.
const MAX_RECOVERY: Duration = Duration::from_hours(4);

/// The configured bounds of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// No feed is asked more often.
    pub min_interval: Duration,
    /// No healthy feed is asked more seldom, but for jitter, skipped hours and `Retry-After`.
    pub max_interval: Duration,
    /// No failing feed waits longer, until it has failed for 30 days.
    pub max_backoff: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { min_interval: 15 * MINUTE, max_interval: DAY, max_backoff: DAY }
    }
}

/// What came of asking a feed.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A 200 with a document that could be read.
    Fetched {
        /// The answer's headers.
        answer: Answered,
        /// What the document says about its pace.
        pace: Pace,
        /// The dates of its entries, in any order.
        dates: Vec<Timestamp>,
    },
    /// A 304, or a 200 with the same body as the last.
    Unchanged {
        /// The answer's headers.
        answer: Answered,
        /// The date of the feed's newest entry, as far as known.
        newest: Option<Timestamp>,
    },
    /// A 200 with a document that could not be read.
    Unusable {
        /// The answer's headers.
        answer: Answered,
        /// Why, in plain words.
        why: String,
        /// Whether the parser broke on it or a bound was exceeded, rather than it being no feed.
        parser_fault: bool,
    },
    /// Any other status.
    Refused {
        /// The answer's headers.
        answer: Answered,
    },
    /// No answer at all.
    Failed {
        /// Why, in plain words, without credentials.
        why: String,
    },
    /// No answer, and the fault is our own network's: nothing is counted against the feed.
    Offline,
}

/// What the headers of an answer say that matters to the schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// For how long the answer is fresh.
    pub freshness: Option<Duration>,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The permanent redirect that led here.
    pub moved: Option<Move>,
    /// Whether any redirect led here: then the status says nothing about the address asked.
    pub redirected: bool,
}

/// A permanent redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Where it leads.
    pub to: FeedUrl,
    /// Whether nothing changes but http to https.
    pub upgrade: bool,
}

/// What follows from an outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Next {
    /// The feed's schedule from now on.
    pub schedule: Schedule,
    /// The address that the feed is fetched from, from now on, where it has just been adopted.
    pub adopted: Option<FeedUrl>,
}

/// The feed's next schedule. `jitter` is any number in [0, 1), drawn anew for each call.
pub fn next(old: &Schedule, outcome: &Outcome, limits: &Limits, now: Timestamp, jitter: f64) -> Next {
    let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 };
    let step = Step { old, limits, now, jitter };
    match outcome {
        Outcome::Fetched { answer, pace, dates } => {
            let rhythm = rhythm_of(dates, now).or(old.rhythm);
            let newest = dates.iter().copied().filter(|&date| date <= now).max();
            let schedule = Schedule { rhythm, pace: pace.clone(), parser_faults: 0, ..old.clone() };
            step.succeeded(schedule, answer, newest)
        }
        Outcome::Unchanged { answer, newest } => step.succeeded(old.clone(), answer, *newest),
        Outcome::Unusable { answer, why, parser_fault } => {
            let schedule = Schedule { last_status: Some(answer.status), ..step.failed(why.clone()) };
            step.unusable(schedule, answer, *parser_fault).into()
        }
        Outcome::Refused { answer } => step.refused(answer),
        Outcome::Failed { why } => {
            let schedule = Schedule { last_status: None, ..step.failed(why.clone()) };
            let delay = step.backoff(&schedule, step.failing_cap(&schedule, limits.max_backoff));
            step.waiting(schedule, FeedState::Backoff, delay, None).into()
        }
        Outcome::Offline => step.offline().into(),
    }
}

/// For how long the answer asks to spare its whole host, if it does (429, or 503 with `Retry-After`); the queue of
/// hosts bounds it.
pub fn host_pause(answer: &Answered) -> Option<Duration> {
    match answer.status {
        429 => Some(answer.retry_after.unwrap_or(HOLD)),
        503 => answer.retry_after,
        _ => None,
    }
}

/// Until when a feed's last answer asked to spare its whole host, as far as its schedule still tells: what
/// [`host_pause`] said may have been forgotten with the queue, when the daemon was restarted.
pub fn host_spared_until(schedule: &Schedule) -> Option<Timestamp> {
    let was_told = schedule.state == FeedState::Held && matches!(schedule.last_status, Some(429 | 503));
    let asked = schedule.last_attempt.filter(|_| was_told)?;
    Some(schedule.next_poll.min(asked.plus(MAX_HOST_PAUSE)))
}

/// When a stored schedule is due, seen from `now`. A schedule made in the future, or due so late that no rule could have
/// said so, comes from a clock that went wrong: it is brought back, with the wait that was meant.
pub fn due_at(schedule: &Schedule, limits: &Limits, now: Timestamp) -> Timestamp {
    if schedule.state == FeedState::Gone {
        return schedule.next_poll;
    }
    let longest = WEEK.max(limits.max_interval).max(limits.max_backoff).mul_f64(1.0 + JITTER_SHARE) + skipped_at_most();
    match schedule.last_attempt {
        Some(asked) if asked > now => schedule.next_poll.min(now.plus(schedule.next_poll.since(asked).min(longest))),
        _ if schedule.next_poll > now.plus(longest) => now.plus(schedule.interval.min(longest)),
        _ => schedule.next_poll,
    }
}

/// When a feed is due whose hub pushes what is new: after four times its interval, `max_interval` at most, and
/// never sooner than its schedule says. For a schedule that a success at `now` has just led to.
pub fn due_while_pushed(schedule: &Schedule, limits: &Limits, now: Timestamp, jitter: f64) -> Timestamp {
    let delay = (schedule.interval * PUSHED_SHARE).min(limits.max_interval).mul_f64(1.0 + JITTER_SHARE * jitter);
    out_of_skipped(now.plus(delay), &schedule.pace, jitter).max(schedule.next_poll)
}

/// When such a feed is due once its hub pushes no more: as if it never had.
pub fn due_without_push(schedule: &Schedule) -> Timestamp {
    let usual = schedule.last_success.map(|at| out_of_skipped(at.plus(schedule.interval), &schedule.pace, 0.0));
    usual.map_or(schedule.next_poll, |usual| usual.min(schedule.next_poll))
}

/// When a feed is asked that became due in a pause: while our network was down, the machine slept or the daemon did not
/// run. `since` is the beginning of the pause, or of what is known of it.
///
/// All of them at once would be a stampede. Each goes on in its old beat, as if it had left out the turns that it missed,
/// so that no more requests are sent than at any other time. Only where that would take long for what was missed are they
/// drawn closer, in the order in which they became due: nobody waits for more than four hours.
pub fn after_pause(schedule: &Schedule, limits: &Limits, since: Timestamp, now: Timestamp, jitter: f64) -> Timestamp {
    let due = due_at(schedule, limits, now);
    if due >= now {
        return due;
    }
    let waited = schedule.last_attempt.map_or(Duration::ZERO, |asked| due.since(asked)).max(schedule.interval);
    let pause = now.since(since.min(due));
    let order = due.since(since).as_secs_f64() / pause.min(waited).as_secs_f64().max(1.0);
    let place = (1.0 - JITTER_SHARE) * order.min(1.0) + JITTER_SHARE * jitter.clamp(0.0, 1.0);
    let drawn_closer = pause.saturating_mul(RECOVERY_STRETCH).min(MAX_RECOVERY).mul_f64(place);
    let missed_seconds = now.since(due).as_secs().checked_rem(waited.as_secs()).unwrap_or(0);
    let in_old_beat = waited.saturating_sub(Duration::from_secs(missed_seconds));
    out_of_skipped(now.plus(in_old_beat.min(drawn_closer)), &schedule.pace, jitter)
}

fn skipped_at_most() -> Duration {
    HOUR * (MAX_SKIPPED_HOURS + 1)
}

impl From<Schedule> for Next {
    fn from(schedule: Schedule) -> Self {
        Self { schedule, adopted: None }
    }
}

/// One application of the table.
struct Step<'a> {
    old: &'a Schedule,
    limits: &'a Limits,
    now: Timestamp,
    jitter: f64,
}

impl Step<'_> {
    fn succeeded(&self, schedule: Schedule, answer: &Answered, newest: Option<Timestamp>) -> Next {
        let interval = self.interval(&schedule, answer.freshness, newest);
        let (pending_move, adopted) = self.moving(answer.moved.as_ref());
        let mut delay = interval + interval.mul_f64(JITTER_SHARE * self.jitter);
        if let Some(asked) = answer.retry_after {
            delay = delay.max(bounded(asked));
        }
        let next_poll = out_of_skipped(self.now.plus(delay), &schedule.pace, self.jitter);
        let schedule = Schedule {
            state: FeedState::Ok,
            next_poll,
            interval,
            last_attempt: Some(self.now),
            last_success: Some(self.now),
            last_status: Some(answer.status),
            last_error: None,
            failures: 0,
            failing_since: None,
            pending_move,
            ..schedule
        };
        Next { schedule, adopted }
    }

    /// How long to wait after a success, without jitter.
    fn interval(&self, schedule: &Schedule, freshness: Option<Duration>, newest: Option<Timestamp>) -> Duration {
        let rhythm = schedule.rhythm.unwrap_or(UNKNOWN_RHYTHM);
        let silence = newest.map_or(Duration::ZERO, |newest| self.now.since(newest));
        let adaptive = adaptive(rhythm.max(silence), self.limits.min_interval);
        let pace = &schedule.pace;
        let ttl = Duration::from_secs(60 * u64::from(pace.ttl_minutes.unwrap_or(0)));
        let period = Duration::from_secs(u64::from(pace.update_period.map_or(0, |period| period.seconds)));
        self.clamped(adaptive.max(freshness.unwrap_or_default()).max(ttl).max(period))
    }

    fn clamped(&self, interval: Duration) -> Duration {
        interval.min(self.limits.max_interval).max(self.limits.min_interval)
    }

    /// What becomes of a permanent redirect after a success through it, or of the one remembered after a success
    /// without it.
    fn moving(&self, moved: Option<&Move>) -> (Option<PendingMove>, Option<FeedUrl>) {
        let Some(moved) = moved else { return (None, None) };
        let before = self.old.pending_move.as_ref().filter(|pending| pending.target == moved.to);
        let successes = before.map_or(0, |pending| pending.successes).saturating_add(1);
        if moved.upgrade || successes >= SUCCESSES_TO_MOVE {
            (None, Some(moved.to.clone()))
        } else {
            (Some(PendingMove { target: moved.to.clone(), successes }), None)
        }
    }

    /// The schedule with one more failure; state and due time still to be set.
    fn failed(&self, why: String) -> Schedule {
        // Successes through a redirect count only in a row; its target stays known, should the old address go.
        let pending_move = self.old.pending_move.clone().map(|pending| PendingMove { successes: 0, ..pending });
        Schedule {
            last_attempt: Some(self.now),
            last_error: Some(why),
            failures: self.old.failures.saturating_add(1),
            failing_since: Some(self.old.failing_since.map_or(self.now, |since| since.min(self.now))),
            pending_move,
            ..self.old.clone()
        }
    }

    fn unusable(&self, mut schedule: Schedule, answer: &Answered, parser_fault: bool) -> Schedule {
        schedule.parser_faults = if parser_fault { schedule.parser_faults.saturating_add(1) } else { 0 };
        if schedule.parser_faults >= FAULTS_TO_QUARANTINE {
            return self.waiting(schedule, FeedState::Quarantined, self.jittered(DAY), answer.retry_after);
        }
        let delay = self.backoff(&schedule, self.failing_cap(&schedule, self.limits.max_backoff));
        self.waiting(schedule, FeedState::Backoff, delay, answer.retry_after)
    }

    fn refused(&self, answer: &Answered) -> Next {
        let status = answer.status;
        match status {
            429 => self.told_to_wait(answer, answer.retry_after.unwrap_or(HOLD)).into(),
            503 if answer.retry_after.is_some() => self.told_to_wait(answer, Duration::ZERO).into(),
            404 | 410 if !answer.redirected && self.old.pending_move.is_some() => self.moved_away(answer),
            _ => self.refused_for(answer).into(),
        }
    }

    /// 429, or 503 with `Retry-After`: the feed waits, and nothing is counted against it.
    fn told_to_wait(&self, answer: &Answered, at_least: Duration) -> Schedule {
        let schedule = Schedule {
            last_attempt: Some(self.now),
            last_status: Some(answer.status),
            last_error: Some(reason(answer.status)),
            ..self.old.clone()
        };
        let own = self.jittered(self.clamped(self.old.interval)).max(self.jittered(bounded(at_least)));
        self.waiting(schedule, FeedState::Held, own, answer.retry_after)
    }

    /// The old address is gone, and where it had moved to is known.
    fn moved_away(&self, answer: &Answered) -> Next {
        let schedule = Schedule {
            last_attempt: Some(self.now),
            last_status: Some(answer.status),
            last_error: Some(format!("{}; asked at its new address from now on", reason(answer.status))),
            pending_move: None,
            ..self.old.clone()
        };
        let adopted = self.old.pending_move.as_ref().map(|pending| pending.target.clone());
        let delay = self.jittered(self.limits.min_interval);
        Next { schedule: self.waiting(schedule, FeedState::Backoff, delay, answer.retry_after), adopted }
    }

    fn refused_for(&self, answer: &Answered) -> Schedule {
        let schedule = Schedule { last_status: Some(answer.status), ..self.failed(reason(answer.status)) };
        let (state, delay) = match answer.status {
            401 | 403 => {
                let again = matches!(self.old.last_status, Some(401 | 403)) && self.old.state == FeedState::Held;
                let delay =
                    if again { self.spread(doubled(HOLD, self.old.failures, DAY)) } else { self.jittered(HOLD) };
                (FeedState::Held, delay.max(HOLD))
            }
            404 => (FeedState::Backoff, self.backoff(&schedule, self.failing_cap(&schedule, DAY))),
            410 if self.old.last_status == Some(410) => {
                let waited = self.old.last_attempt.map_or(Duration::ZERO, |at| self.now.since(at));
                if waited + GONE_TOLERANCE >= GONE_CONFIRMED_AFTER {
                    return Schedule { state: FeedState::Gone, next_poll: Timestamp::MAX, ..schedule };
                }
                // Asked before its time, on someone's hint: the day still runs from the first 410.
                let rest = GONE_CONFIRMED_AFTER.saturating_sub(waited).max(self.limits.min_interval);
                let first = self.old.last_attempt.map(|at| at.min(self.now));
                let held = Schedule { last_attempt: first, ..schedule };
                return self.waiting(held, FeedState::Backoff, rest, answer.retry_after);
            }
            410 => (FeedState::Backoff, self.jittered(GONE_CONFIRMED_AFTER)),
            _ => (FeedState::Backoff, self.backoff(&schedule, self.failing_cap(&schedule, self.limits.max_backoff))),
        };
        self.waiting(schedule, state, delay, answer.retry_after)
    }

    /// Nothing is known but that nobody can be reached: as before, a little later and spread out.
    fn offline(&self) -> Schedule {
        let later = self.now.plus(MINUTE.min(self.limits.min_interval) + self.limits.min_interval.mul_f64(self.jitter));
        Schedule { next_poll: later.max(due_at(self.old, self.limits, self.now)), ..self.old.clone() }
    }

    /// The longest wait of a feed that fails.
    fn failing_cap(&self, schedule: &Schedule, usual: Duration) -> Duration {
        let failing = schedule.failing_since.map_or(Duration::ZERO, |since| self.now.since(since));
        if failing >= LONG_FAILING { usual.max(WEEK) } else { usual }
    }

    /// max(interval, random(b/2 … b)) with b = interval · 2ⁿ, at most `cap`, after the n-th failure.
    fn backoff(&self, schedule: &Schedule, cap: Duration) -> Duration {
        let interval = self.clamped(schedule.interval);
        interval.max(self.spread(doubled(interval, schedule.failures, cap)))
    }

    fn spread(&self, b: Duration) -> Duration {
        b.mul_f64(0.5 + 0.5 * self.jitter)
    }

    fn jittered(&self, delay: Duration) -> Duration {
        delay.mul_f64(1.0 + JITTER_SHARE * self.jitter)
    }

    /// The schedule in `state`, due after the longer of `own` and what the server asked for.
    fn waiting(&self, schedule: Schedule, state: FeedState, own: Duration, retry_after: Option<Duration>) -> Schedule {
        let own = own.max(self.limits.min_interval);
        let delay = retry_after.map_or(own, |asked| own.max(bounded(asked)));
        Schedule { state, next_poll: self.now.plus(delay), ..schedule }
    }
}

/// The geometric mean of a feed's rhythm and the least interval. Of all ways to spend so many requests on feeds of
/// different rhythm, the square root finds their entries soonest: those who post often need few more requests than those
/// who post seldom, who otherwise would be heard last.
fn adaptive(rhythm: Duration, min_interval: Duration) -> Duration {
    let millis = (rhythm.as_millis() as f64 * min_interval.as_millis() as f64).sqrt();
    Duration::from_millis(millis.round() as u64)
}

/// `first` · 2ⁿ, at most `cap`.
fn doubled(first: Duration, n: u32, cap: Duration) -> Duration {
    first.saturating_mul(1u32.checked_shl(n).unwrap_or(u32::MAX)).min(cap)
}

fn bounded(retry_after: Duration) -> Duration {
    retry_after.clamp(RETRY_AFTER_BOUNDS.0, RETRY_AFTER_BOUNDS.1)
}

/// The mean pause between a feed's newest entries; `None` where fewer than two have different dates.
fn rhythm_of(dates: &[Timestamp], now: Timestamp) -> Option<Duration> {
    let mut dates: Vec<_> = dates.iter().copied().filter(|&date| date <= now).collect();
    dates.sort_unstable_by(|a, b| b.cmp(a));
    dates.truncate(RHYTHM_ENTRIES);
    let span = dates.first()?.since(*dates.last()?);
    let pauses = u32::try_from(dates.len().saturating_sub(1)).ok().filter(|&pauses| pauses > 0)?;
    Some(span / pauses).filter(|rhythm| !rhythm.is_zero())
}

/// The first instant from `due` on that lies in no skipped hour or day (GMT). A feed that skips everything is not
/// believed.
fn out_of_skipped(due: Timestamp, pace: &Pace, jitter: f64) -> Timestamp {
    const HOUR_SECONDS: i64 = 3600;
    if pace.skip_hours == 0 && pace.skip_days == 0 {
        return due;
    }
    let first = due.seconds().div_euclid(HOUR_SECONDS);
    let open = (first..=first + i64::from(MAX_SKIPPED_HOURS)).find(|hour| {
        // The first of January 1970 was a Thursday: three days after a Monday.
        let (hour_of_day, weekday) = (hour.rem_euclid(24), (hour.div_euclid(24) + 3).rem_euclid(7));
        pace.skip_hours >> hour_of_day & 1 == 0 && pace.skip_days >> weekday & 1 == 0
    });
    match open {
        // Everyone who skips the same hours comes back in the same one: each at its own minute of it.
        Some(hour) if hour > first => Timestamp::from_seconds(hour * HOUR_SECONDS).plus(HOUR.mul_f64(jitter * 0.99)),
        _ => due,
    }
}

/// A status in plain words.
fn reason(status: u16) -> String {
    let words = match status {
        401 => "asks for a password",
        403 => "refuses us",
        404 => "has no such page",
        410 => "says that the feed is gone for good",
        429 => "says that we ask too often",
        503 => "is overloaded or under repair",
        500..=599 => "has a fault",
        _ => "does not give the feed",
    };
    format!("the server {words} (HTTP {status})")
}

#[cfg(test)]
mod tests;
