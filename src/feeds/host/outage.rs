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
/// So long they have to stay the only ones heard of: a dead host refuses at once, while the answers of the living are
/// still on their way.
const CONFIRMED_AFTER: Duration = Duration::from_secs(3);
/// A failure is the host's own if nothing is heard for so long. Of a feed that was never asked somebody wants to know;
/// one that worked would not be asked again before its least interval anyway, and where few feeds are asked it takes
/// that long until five of them have failed.
const OPEN_FOR: (Duration, Duration) = (Duration::from_mins(1), Duration::from_mins(15));
/// While the network is suspected to be down, one request is let out in this time, in search of somebody who answers.
const SEARCH_EVERY: Duration = Duration::from_millis(250);
/// While the network is down, one request is let out in this time, or sooner where feeds are asked more often than that.
const PROBE_EVERY: Duration = Duration::from_mins(1);

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The host's: it counts against the feed.
    Theirs,
    /// Our own network's: it counts against nobody.
    Ours,
}

/// A host out of reach, on which there is no verdict yet.
#[derive(Debug)]
struct Open {
    since: Timestamp,
    until: Timestamp,
    /// Whose requests failed for it: as few as its gap allows.
    feeds: Vec<FeedId>,
}

/// What is known of our own network.
#[derive(Debug)]
pub struct Network {
    /// The pause between two probes while the network is down.
    probe_every: Duration,
    /// For how long a failure of a feed that worked stays open.
    open_for: Duration,
    /// By host. From [`HOSTS_TO_BE_DOWN`] hosts on, only what was under way and a few more come in.
    open: BTreeMap<String, Open>,
    down_since: Option<Timestamp>,
    /// When a request was last let out while the network was suspected or held to be down.
    last_probe: Option<Timestamp>,
}

impl Network {
    /// A network that is held to be there. No feed is asked more often than `min_interval`.
    pub fn new(min_interval: Duration) -> Self {
        let probe_every = PROBE_EVERY.min(min_interval);
        let open_for = min_interval.clamp(OPEN_FOR.0, OPEN_FOR.1);
        Self { probe_every, open_for, open: BTreeMap::new(), down_since: None, last_probe: None }
    }

    /// Since when the network is held to be down, if it is: from the first of the failures that say so.
    pub fn down_since(&self) -> Option<Timestamp> {
        self.down_since
    }

    /// Whether a request may be sent: always, but while the network is down only one a minute, and few while that is
    /// being found out.
    pub fn may_ask(&mut self, now: Timestamp) -> bool {
        let Some(pause) = self.pause() else { return true };
        // After a clock that was set back the last probe may lie ahead.
        let waited = self.last_probe.is_none_or(|at| at > now || now.since(at) >= pause);
        if waited {
            self.last_probe = Some(now);
        }
        waited
    }

    /// When [`Network::may_ask`] says yes again; `None` where it always does.
    pub fn next_probe(&self) -> Option<Timestamp> {
        self.pause().and_then(|pause| Some(self.last_probe?.plus(pause)))
    }

    /// When [`Network::overdue`] has a verdict; `None` while nothing is open.
    pub fn verdict_at(&self) -> Option<Timestamp> {
        let alone = self.open.values().map(|open| open.until).min();
        self.suspected_since().map(|since| since.plus(CONFIRMED_AFTER)).or(alone)
    }

    /// Somebody answered, or broke off halfway: the network is there, and whoever was out of reach meanwhile was so on
    /// their own account. Returns their feeds, each with the verdict.
    pub fn reached(&mut self) -> Vec<(FeedId, Fault)> {
        (self.down_since, self.last_probe) = (None, None);
        self.decide(Fault::Theirs)
    }

    /// A host was out of reach: no name, no route, no connection. Returns the feeds on whose failures there is a
    /// verdict now; those of which there is none yet come later, from this or another call.
    pub fn unreached(&mut self, feed: FeedId, host: &str, standing: Standing, now: Timestamp) -> Vec<(FeedId, Fault)> {
        if self.down_since.is_some() {
            return vec![(feed, Fault::Ours)];
        }
        if standing == Standing::Troubled {
            return vec![(feed, Fault::Theirs)];
        }
        let decided = self.overdue(now);
        if self.down_since.is_some() {
            return decided.into_iter().chain([(feed, Fault::Ours)]).collect();
        }
        let until = now.plus(if standing == Standing::New { OPEN_FOR.0 } else { self.open_for });
        let open = self.open.entry(host.to_owned());
        open.or_insert_with(|| Open { since: now, until, feeds: Vec::new() }).feeds.push(feed);
        if self.open.len() == HOSTS_TO_BE_DOWN {
            self.last_probe = Some(now);
        }
        decided
    }

    /// The verdicts that time alone has brought: on failures that have stayed alone for too long to be anything but
    /// their hosts', or on all of them where nobody was heard of for long enough. To be called at
    /// [`Network::verdict_at`], or now and then.
    pub fn overdue(&mut self, now: Timestamp) -> Vec<(FeedId, Fault)> {
        if let Some(since) = self.suspected_since() {
            if now.since(since) < CONFIRMED_AFTER && now >= since {
                return Vec::new();
            }
            (self.down_since, self.last_probe) = (Some(since.min(now)), Some(now));
            return self.decide(Fault::Ours);
        }
        let mut decided = Vec::new();
        self.open.retain(|_, open| {
            let stays = now >= open.since && now < open.until;
            if !stays {
                decided.extend(open.feeds.drain(..).map(|feed| (feed, Fault::Theirs)));
            }
            stays
        });
        decided
    }

    /// Since when enough hosts are out of reach to suspect our own network, if they are: from the one that made them
    /// enough.
    fn suspected_since(&self) -> Option<Timestamp> {
        let mut since: Vec<_> = self.open.values().map(|open| open.since).collect();
        since.sort_unstable();
        since.get(HOSTS_TO_BE_DOWN - 1).copied()
    }

    /// The pause between two requests as things stand.
    fn pause(&self) -> Option<Duration> {
        if self.down_since.is_some() {
            return Some(self.probe_every);
        }
        (self.open.len() >= HOSTS_TO_BE_DOWN).then_some(SEARCH_EVERY)
    }

    fn decide(&mut self, fault: Fault) -> Vec<(FeedId, Fault)> {
        let open = std::mem::take(&mut self.open);
        open.into_values().flat_map(|open| open.feeds).map(|feed| (feed, fault)).collect()
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
        let mut network = Network::new(Duration::from_mins(15));
        for feed in 0..4 {
            assert_eq!(unreached(&mut network, feed, 0), []);
        }
        assert!(network.may_ask(at(0)) && network.may_ask(at(0)));
        assert_eq!(unreached(&mut network, 4, 1), [], "the living may still be on their way");
        assert!(!network.may_ask(at(1)) && network.may_ask(at(2)) && network.down_since().is_none());
        assert_eq!((network.overdue(at(3)), unreached(&mut network, 5, 3)), (vec![], vec![]));
        let decided: Vec<_> = network.overdue(at(4)).into_iter().map(|(feed, fault)| (feed.0, fault)).collect();
        assert_eq!(decided, (0..6).map(|feed| (feed, Fault::Ours)).collect::<Vec<_>>());
        assert_eq!(network.down_since(), Some(at(1)));
        assert_eq!(unreached(&mut network, 9, 5), [(9, Fault::Ours)], "also what was under way");

        assert_eq!((network.next_probe(), network.verdict_at()), (Some(at(64)), None));
        assert_eq!([5, 63, 64, 65, 124].map(|s| network.may_ask(at(s))), [false, false, true, false, true]);
        assert_eq!(network.reached(), []);
        assert!(network.down_since().is_none() && network.may_ask(at(124)) && network.next_probe().is_none());
    }

    #[test]
    fn one_answer_disproves_it() {
        let mut network = Network::new(Duration::from_mins(15));
        for feed in 0..4 {
            assert_eq!(unreached(&mut network, feed, 0), []);
        }
        assert_eq!(network.reached().len(), 4);
        for feed in 4..20 {
            assert_eq!(unreached(&mut network, feed, 1), []);
        }
        assert_eq!((network.next_probe(), network.verdict_at()), (Some(at(1).plus(SEARCH_EVERY)), Some(at(4))));
        assert!(network.reached().iter().all(|(_, fault)| *fault == Fault::Theirs));
        assert!(network.down_since().is_none() && network.overdue(at(100)).is_empty());
    }

    #[test]
    fn a_host_counts_once_and_the_long_dead_do_not_count() {
        let mut network = Network::new(Duration::from_mins(15));
        for feed in 0..10 {
            assert_eq!(network.unreached(FeedId(feed), "one:80", Standing::Proven, START), []);
        }
        for feed in 10..20 {
            let decided = network.unreached(FeedId(feed), &format!("{feed}:80"), Standing::Troubled, START);
            assert_eq!(decided, [(FeedId(feed), Fault::Theirs)]);
        }
        assert!(network.down_since().is_none());
        assert_eq!(network.verdict_at(), Some(START.plus(OPEN_FOR.1)));
        assert_eq!(network.reached().len(), 10);
    }

    #[test]
    fn a_failure_that_stays_alone_is_the_hosts() {
        let mut network = Network::new(Duration::from_mins(15));
        for feed in 0..4 {
            assert_eq!(unreached(&mut network, feed, u64::from(feed) * 60), []);
        }
        let new = network.unreached(FeedId(9), "host0:80", Standing::New, at(181));
        assert_eq!((new, network.verdict_at()), (vec![], Some(at(900))));
        assert_eq!(unreached(&mut network, 4, 961), [(0, Fault::Theirs), (9, Fault::Theirs), (1, Fault::Theirs)]);
        assert_eq!(network.overdue(at(1019)), []);
        assert_eq!(network.overdue(at(1020)), [(FeedId(2), Fault::Theirs)]);
        assert_eq!(network.overdue(at(0)).len(), 2, "a clock that was set back leaves nobody waiting");

        assert_eq!(network.unreached(FeedId(9), "new:80", Standing::New, at(0)), []);
        assert_eq!(network.verdict_at(), Some(at(60)), "of a new feed somebody wants to know");
    }
}
