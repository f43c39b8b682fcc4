//! Hosts with hubs: one request at a time, a pause between two, and a longer one for whoever fails.
//!
//! Pure: time and chance are arguments.

use std::collections::HashMap;
use std::time::Duration;

use crate::feeds::schedule::Limits;
use crate::feeds::websub;
use crate::model::Timestamp;

/// A host that was asked nothing for so long is a new one.
const MAX_MEMORY: Duration = Duration::from_hours(48);

/// The hosts that are remembered, by name and port.
#[derive(Default)]
pub(super) struct Hosts(HashMap<String, Host>);

struct Host {
    is_asked: bool,
    last_start: Timestamp,
    spared_until: Option<Timestamp>,
    failures: u32,
}

impl Hosts {
    /// Whether the host may be asked now, with at least `gap` between the starts of two requests.
    pub(super) fn is_free(&self, name: &str, gap: Duration, now: Timestamp) -> bool {
        let Some(host) = self.0.get(name) else { return true };
        let is_rested = host.last_start.plus(gap) <= now || host.last_start > now;
        !host.is_asked && is_rested && host.spared_until.is_none_or(|until| until <= now)
    }

    /// A request is on its way.
    pub(super) fn started(&mut self, name: &str, now: Timestamp) {
        let fresh = || Host { is_asked: false, last_start: now, spared_until: None, failures: 0 };
        let host = self.0.entry(name.to_owned()).or_insert_with(fresh);
        (host.is_asked, host.last_start) = (true, now);
    }

    /// The request was answered, whatever the answer was.
    pub(super) fn answered(&mut self, name: &str) {
        if let Some(host) = self.0.get_mut(name) {
            host.is_asked = false;
        }
    }

    /// The host is well.
    pub(super) fn succeeded(&mut self, name: &str) {
        if let Some(host) = self.0.get_mut(name) {
            (host.failures, host.spared_until) = (0, None);
        }
    }

    /// The host is not well, or asked to be spared for so long: none of its hubs is asked for a while.
    pub(super) fn failed(
        &mut self,
        name: &str,
        retry_after: Option<Duration>,
        limits: &Limits,
        now: Timestamp,
        jitter: f64,
    ) {
        let Some(host) = self.0.get_mut(name) else { return };
        host.failures = host.failures.saturating_add(1);
        let pause = websub::backoff(host.failures, limits, jitter).max(retry_after.unwrap_or_default());
        host.spared_until = Some(now.plus(pause.min(limits.max_backoff)));
    }

    /// Forgets hosts that need no longer be remembered.
    pub(super) fn forget_old(&mut self, now: Timestamp) {
        self.0.retain(|_, host| host.is_asked || now.since(host.last_start) < MAX_MEMORY);
    }

    /// Brings pauses back that end in a future that was none.
    pub(super) fn clock_was_set_back(&mut self, now: Timestamp) {
        for host in self.0.values_mut() {
            host.spared_until = host.spared_until.map(|until| until.min(now.plus(MAX_MEMORY)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_asked_one_thing_at_a_time_and_spared_while_it_fails() {
        let (gap, limits) = (Duration::from_secs(1), Limits::default());
        let now = Timestamp::from_seconds(1_795_379_832);
        let mut hosts = Hosts::default();
        assert!(hosts.is_free("hub", gap, now));
        hosts.started("hub", now);
        assert!(!hosts.is_free("hub", gap, now.plus(gap)) && hosts.is_free("other", gap, now));
        hosts.answered("hub");
        assert!(!hosts.is_free("hub", gap, now) && hosts.is_free("hub", gap, now.plus(gap)));
        let mut waits = Vec::new();
        for _ in 0..12 {
            hosts.failed("hub", None, &limits, now, 1.0);
            waits.push((1..=1440).find(|minutes| hosts.is_free("hub", gap, now.plus(Duration::from_mins(*minutes)))));
        }
        assert_eq!(waits[..3], [Some(30), Some(60), Some(120)]);
        assert_eq!(waits[11], Some(24 * 60));
        hosts.succeeded("hub");
        assert!(hosts.is_free("hub", gap, now.plus(gap)));
        hosts.failed("hub", Some(Duration::from_hours(2)), &limits, now, 0.0);
        assert!(!hosts.is_free("hub", gap, now.plus(Duration::from_mins(119))));
        hosts.forget_old(now.plus(Duration::from_hours(72)));
        assert!(hosts.0.is_empty());
    }
}
