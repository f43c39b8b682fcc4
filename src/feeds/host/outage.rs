//! Telling a fault of our own network from the faults of hosts, so that no feed pays for ours.
//!
//! Owns the failures on which the verdict is still open, and whether the network is held to be down. Pure. Only those
//! who were expected to answer are witnesses: a host that was dead yesterday proves nothing today.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Standing;
use crate::model::{FeedId, Timestamp};

/// So many hosts have to be out of reach, and nobody within it, before it is our own network.
const HOSTS_TO_BE_DOWN: usize = 5;
/// A failure that stays alone for so long is the host's own.
const OPEN_FOR: Duration = Duration::from_mins(1);
/// While the network is down, one request is let out in this time.
const PROBE_EVERY: Duration = Duration::from_mins(1);

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The host's: it counts against the feed.
    Theirs,
    /// Our own network's: it counts against nobody.
    Ours,
}

/// What is known of our own network.
#[derive(Debug, Default)]
pub struct Network {
    /// By host: since when it is out of reach, and whose requests failed for it. Fewer hosts than
    /// [`HOSTS_TO_BE_DOWN`], each with the few requests that its gap allows in [`OPEN_FOR`].
    open: BTreeMap<String, (Timestamp, Vec<FeedId>)>,
    down: bool,
    last_probe: Option<Timestamp>,
}

impl Network {
    /// Whether the network is held to be down.
    pub fn is_down(&self) -> bool {
        self.down
    }

    /// Whether a request may be sent: always, but while the network is down only one a minute.
    pub fn may_ask(&mut self, now: Timestamp) -> bool {
        if !self.down {
            return true;
        }
        // After a clock that was set back the last probe may lie ahead.
        let waited = self.last_probe.is_none_or(|at| at > now || now.since(at) >= PROBE_EVERY);
        if waited {
            self.last_probe = Some(now);
        }
        waited
    }

    /// When [`Network::may_ask`] says yes again; `None` where it does already.
    pub fn next_probe(&self) -> Option<Timestamp> {
        self.last_probe.filter(|_| self.down).map(|at| at.plus(PROBE_EVERY))
    }

    /// Somebody answered, with whatever status, or broke off halfway: the network is there, and whoever was out of
    /// reach meanwhile was so on their own account. Returns their feeds, each with the verdict.
    pub fn reached(&mut self) -> Vec<(FeedId, Fault)> {
        (self.down, self.last_probe) = (false, None);
        self.decide(Fault::Theirs)
    }

    /// A host was out of reach: no name, no route, no connection. Returns the feeds on whose failures there is a
    /// verdict now; those of which there is none yet come later, from this or another call.
    pub fn unreached(&mut self, feed: FeedId, host: &str, standing: Standing, now: Timestamp) -> Vec<(FeedId, Fault)> {
        if self.down {
            return vec![(feed, Fault::Ours)];
        }
        if standing == Standing::Troubled {
            return vec![(feed, Fault::Theirs)];
        }
        let mut decided = self.overdue(now);
        self.open.entry(host.to_owned()).or_insert_with(|| (now, Vec::new())).1.push(feed);
        if self.open.len() >= HOSTS_TO_BE_DOWN {
            (self.down, self.last_probe) = (true, Some(now));
            decided.extend(self.decide(Fault::Ours));
        }
        decided
    }

    /// The feeds whose failures have stayed alone for too long to be anything but their hosts'. To be called now and
    /// then.
    pub fn overdue(&mut self, now: Timestamp) -> Vec<(FeedId, Fault)> {
        let mut decided = Vec::new();
        self.open.retain(|_, (since, feeds)| {
            let open = now >= *since && now.since(*since) < OPEN_FOR;
            if !open {
                decided.extend(feeds.drain(..).map(|feed| (feed, Fault::Theirs)));
            }
            open
        });
        decided
    }

    fn decide(&mut self, fault: Fault) -> Vec<(FeedId, Fault)> {
        let open = std::mem::take(&mut self.open);
        open.into_values().flat_map(|(_, feeds)| feeds).map(|feed| (feed, fault)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_795_379_832);

    fn at(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    fn unreached(network: &mut Network, feed: u32, seconds: u64) -> Vec<(u32, Fault)> {
        let decided = network.unreached(FeedId(feed), &format!("host{feed}:80"), Standing::Proven, at(seconds));
        decided.into_iter().map(|(feed, fault)| (feed.0, fault)).collect()
    }

    #[test]
    fn five_hosts_and_no_answer_mean_that_it_is_us() {
        let mut network = Network::default();
        for feed in 0..4 {
            assert_eq!(unreached(&mut network, feed, 0), []);
        }
        assert!(!network.is_down() && network.may_ask(at(0)));
        assert_eq!(unreached(&mut network, 4, 1), (0..5).map(|feed| (feed, Fault::Ours)).collect::<Vec<_>>());
        assert!(network.is_down());
        assert_eq!(unreached(&mut network, 9, 2), [(9, Fault::Ours)], "also what was under way");

        assert_eq!(network.next_probe(), Some(at(61)));
        assert_eq!([2, 60, 61, 62, 121].map(|s| network.may_ask(at(s))), [false, false, true, false, true]);
        assert_eq!(network.reached(), []);
        assert!(!network.is_down() && network.may_ask(at(121)) && network.next_probe().is_none());
    }

    #[test]
    fn one_answer_disproves_it() {
        let mut network = Network::default();
        for feed in 0..4 {
            assert_eq!(unreached(&mut network, feed, 0), []);
        }
        assert_eq!(network.reached().len(), 4);
        assert_eq!(unreached(&mut network, 4, 1), []);
        assert!(!network.is_down());
    }

    #[test]
    fn a_host_counts_once_and_the_long_dead_do_not_count() {
        let mut network = Network::default();
        for feed in 0..10 {
            assert_eq!(network.unreached(FeedId(feed), "one:80", Standing::Proven, START), []);
        }
        for feed in 10..20 {
            let decided = network.unreached(FeedId(feed), &format!("{feed}:80"), Standing::Troubled, START);
            assert_eq!(decided, [(FeedId(feed), Fault::Theirs)]);
        }
        assert!(!network.is_down());
        assert_eq!(network.reached().len(), 10);
    }

    #[test]
    fn a_failure_that_stays_alone_is_the_hosts() {
        let mut network = Network::default();
        for feed in 0..4 {
            assert_eq!(unreached(&mut network, feed, u64::from(feed) * 15), []);
        }
        assert_eq!(unreached(&mut network, 4, 80), [(0, Fault::Theirs), (1, Fault::Theirs)]);
        assert_eq!(network.overdue(at(89)), []);
        assert_eq!(network.overdue(at(90)), [(FeedId(2), Fault::Theirs)]);
        assert_eq!(network.overdue(at(0)).len(), 2, "a clock that was set back leaves nobody waiting");
    }
}
