//! Retention in motion: when it is applied, in steps between which visits have their turn.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Gate, blocking, moment, now};
use crate::http::App;
use crate::model::{Feed, Timestamp};
use crate::store::Retention;

/// How often what retention takes is looked for.
const INTERVAL: Duration = Duration::from_hours(1);
/// A clock that gets ahead of the steady one by more than this is not believed at once: what a wrong one has retention take
/// cannot be had again.
const LEAP: Duration = Duration::from_hours(24);
/// For so long it is not believed. A machine that slept for days has its entries for a day longer.
const DOUBTED_FOR: Duration = Duration::from_hours(24);

/// Takes what retention says is over: at the start, every hour, and whenever the configuration was read again. The lists
/// have been taken over by then: what came back is no longer marked as having left.
pub(super) async fn run(app: Arc<App>, visits: Gate, reconfigured: Arc<Notify>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut reckoning = Reckoning::from(last_attempt(&app).unwrap_or_else(now), moment());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
            // Whoever makes room by a smaller retention does not wait an hour for it.
            () = reconfigured.notified() => {}
        }
        let retention = app.config.load().retention.clone();
        let retention = Retention { entries_per_feed: retention.entries_per_feed, age: retention.age };
        let time = reckoning.time(now(), moment());
        if reckoning.doubted_since.is_some() {
            warn!(believed = %time, "the clock has leapt ahead; retention goes by the time before for a day");
        }
        let (mut entries, mut feeds) = (0, 0);
        let mut from = None;
        loop {
            // What a fetch is about to commit was compared with what is stored; nothing may go in between. Between two
            // steps, those who wait for the gate get their turn.
            let no_visits = tokio::select! {
                biased; // Asked to stop, no further step is begun.
                () = stop.cancelled() => return,
                guard = visits.alone() => guard,
            };
            let (store, retention) = (Arc::clone(&app.store), retention);
            let swept = match blocking(move || store.sweep(time, &retention, from)).await {
                Ok(swept) => swept,
                Err(error) => {
                    warn!(%error, "retention could not be applied; next try in an hour");
                    break;
                }
            };
            entries += swept.entries;
            feeds += swept.feeds.len();
            app.live.forget(&swept.feeds);
            let counted = swept.counts.into_iter().filter_map(|count| {
                let feed = app.live.feed(count.feed)?;
                Some((Feed { entries: count.entries, newest: count.newest, ..Feed::clone(&feed) }, true))
            });
            let counted: Vec<_> = counted.collect();
            app.live.update(counted);
            drop(no_visits);
            from = swept.next;
            if from.is_none() {
                break;
            }
        }
        if entries > 0 || feeds > 0 {
            info!(entries, feeds, "retention took what is over");
        }
    }
}

/// When a feed was last asked: the latest instant that is known to have been.
fn last_attempt(app: &App) -> Option<Timestamp> {
    let mut last = None;
    app.live.for_each_listed(|feed| last = last.max(feed.schedule.last_attempt));
    last
}

/// The time that retention goes by: the clock's, unless that has leapt ahead.
struct Reckoning {
    believed: Timestamp,
    /// When that was.
    at: Instant,
    doubted_since: Option<Instant>,
}

impl Reckoning {
    fn from(believed: Timestamp, at: Instant) -> Self {
        Self { believed, at, doubted_since: None }
    }

    /// The time to go by, while the clock says `now`. One that was set back takes nothing, and is believed at once.
    fn time(&mut self, now: Timestamp, moment: Instant) -> Timestamp {
        let reckoned = self.believed.plus(moment.saturating_duration_since(self.at));
        if now > reckoned.plus(LEAP) {
            let since = *self.doubted_since.get_or_insert(moment);
            if moment.saturating_duration_since(since) < DOUBTED_FOR {
                return reckoned;
            }
        }
        *self = Self::from(now, moment);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const YEAR: Duration = Duration::from_hours(365 * 24);

    #[test]
    fn a_clock_that_leaps_ahead_is_believed_a_day_later() {
        let (start, begun) = (now(), moment());
        let mut reckoning = Reckoning::from(start, begun);
        let mut at = |hours: u32, ahead: Duration| {
            let passed = HOUR * hours;
            let time = reckoning.time(start.plus(passed).plus(ahead), begun + passed);
            time.since(start.plus(passed))
        };
        assert_eq!(at(1, Duration::ZERO), Duration::ZERO);
        assert_eq!(at(2, HOUR * 23), HOUR * 23, "summer time, or a night asleep");
        assert_eq!(at(3, Duration::ZERO), Duration::ZERO, "set back");
        assert_eq!((at(4, YEAR), at(5, YEAR), at(27, YEAR)), (Duration::ZERO, Duration::ZERO, Duration::ZERO));
        assert_eq!((at(28, YEAR), at(29, YEAR)), (YEAR, YEAR), "it has said so for a day");
        assert_eq!(at(30, Duration::ZERO), Duration::ZERO, "set right");
        assert_eq!(
            (at(31, YEAR), at(32, Duration::ZERO), at(33, YEAR), at(56, YEAR)),
            (Duration::ZERO, Duration::ZERO, Duration::ZERO, Duration::ZERO)
        );
    }
}
