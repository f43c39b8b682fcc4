//! Whether the parts of the daemon are alive: each says so now and then, and systemd's watchdog is fed only while all do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How often each part says that it is alive, at least.
pub(crate) const BEAT: Duration = Duration::from_secs(5);
/// A part that was silent for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(25);

/// A part of the daemon that must be alive.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// Starts visits.
    Scheduler,
    /// Commits what they bring.
    Writer,
    /// Accepts connections.
    Server,
}

/// The last beat of each part, in milliseconds since the start. On the steady clock: setting the time makes nobody stuck.
#[derive(Debug)]
pub(crate) struct Pulse {
    start: Instant,
    beats: [AtomicU64; 3],
}

impl Pulse {
    /// Everything is alive at the start.
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, beats: Default::default() }
    }

    /// The part is alive.
    pub(crate) fn beat(&self, part: Part, now: Instant) {
        self.beats[part as usize].store(self.millis(now), Ordering::Relaxed);
    }

    /// Whether every part was heard of lately.
    pub(crate) fn is_alive(&self, now: Instant) -> bool {
        let is_fresh = |beat: &AtomicU64| {
            Duration::from_millis(self.millis(now).saturating_sub(beat.load(Ordering::Relaxed))) < STUCK_AFTER
        };
        self.beats.iter().all(is_fresh)
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_silent_part_is_enough() {
        let start = super::super::moment();
        let after = |seconds| start + Duration::from_secs(seconds);
        let pulse = Pulse::new(start);
        assert!(pulse.is_alive(after(20)));
        for part in [Part::Scheduler, Part::Server] {
            pulse.beat(part, after(40));
        }
        assert!(!pulse.is_alive(after(40)));
        pulse.beat(Part::Writer, after(40));
        assert!(pulse.is_alive(after(40)));
    }
}
