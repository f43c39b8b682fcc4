//! Politeness per host: who may be asked now, so that no host is asked too often and none that is slow or dead keeps
//! the others waiting.
//!
//! Owns the queue of feeds that wait for their time and the slots of requests under way. Pure: time is an argument and
//! nothing is sent from here. Knows neither URLs nor what came of a request, but that a host asked to be spared.

pub mod outage;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{FeedId, FeedState, Timestamp};

/// No host is spared for longer at its own request; the feed that was told so may wait longer.
pub const MAX_HOST_PAUSE: Duration = Duration::from_hours(1);
/// The gap between two requests to one host grows no further.
pub const MAX_GAP: Duration = Duration::from_mins(10);
/// After so long without being asked to slow down, a host's gap is halved.
const GOOD_SPELL: Duration = Duration::from_hours(1);
/// A request that took so long hinders others.
const SLOW: Duration = Duration::from_secs(5);
/// A clock that was set back by more than this makes remembered instants worthless.
pub const CLOCK_TOLERANCE: Duration = Duration::from_mins(1);

/// How many requests may be under way, and how close together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Politeness {
    /// Requests at once, to whomever.
    pub concurrency: usize,
    /// Requests at once to one host.
    pub per_host: usize,
    /// Least time between the starts of two requests to one host.
    pub gap: Duration,
}

/// What is to be expected of a feed. Each kind has its share of the slots, so that those which hang until a timeout
/// never take all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// It answered last time, and soon. May use every slot.
    Proven,
    /// It was never asked. May use three slots of four.
    New,
    /// It failed last time, or was very slow. May use one slot of four, and all of a host's but one.
    Troubled,
}

impl Standing {
    const ALL: [Self; 3] = [Self::Proven, Self::New, Self::Troubled];

    /// What to expect of a feed in this state whose last request took so long, as far as that is known.
    pub fn of(state: FeedState, took: Option<Duration>) -> Self {
        match state {
            FeedState::New => Self::New,
            FeedState::Ok | FeedState::Held if took.is_none_or(|took| took < SLOW) => Self::Proven,
            _ => Self::Troubled,
        }
    }

    /// How many of `concurrency` slots feeds of this standing may hold; at least one.
    fn slots(self, concurrency: usize) -> usize {
        match self {
            Self::Proven => concurrency,
            Self::New => concurrency - concurrency / 4,
            Self::Troubled => concurrency / 4,
        }
        .max(1)
    }
}

/// The queue of feeds that wait for their time, and the requests under way.
///
/// Every call takes O(log n) in the number of feeds. A host is forgotten when nothing of it is left to remember. Most hosts
/// have one feed, so what waits stands in one set for all of them: with sets of each host's own the queue took 1,050 bytes
/// a feed instead of 540.
#[derive(Debug)]
pub struct Queue {
    politeness: Politeness,
    feeds: HashMap<FeedId, Place>,
    hosts: HashMap<Arc<str>, Host>,
    /// What waits.
    waiting: BTreeSet<InLine>,
    /// For each standing the hosts that have such a feed waiting and a slot free, by their next start.
    startable: BTreeMap<Standing, BTreeSet<(Start, Arc<str>)>>,
    /// Hosts with nothing waiting or under way, by the instant from which there is nothing to remember of them.
    idle: BTreeSet<(Timestamp, Arc<str>)>,
    under_way: BTreeMap<Standing, usize>,
    /// The latest instant seen.
    latest: Timestamp,
}

/// Whether a request that was sent on to a host may go there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Now.
    Granted,
    /// Not before this instant; without one, not before another request to the host has ended.
    Wait {
        /// When to ask again.
        until: Option<Timestamp>,
    },
    /// The host asked to be spared.
    Spared {
        /// Until then.
        until: Timestamp,
    },
}

#[derive(Debug)]
enum Place {
    Waiting(Waiting),
    UnderWay {
        host: Arc<str>,
        standing: Standing,
        /// Where it is put when this request has ended, if that is known already.
        then: Option<Box<Waiting>>,
    },
}

#[derive(Clone, Debug)]
struct Waiting {
    host: Arc<str>,
    due: Timestamp,
    standing: Standing,
}

/// A waiting feed's place among all: by host, standing, then due time.
type InLine = (Arc<str>, Standing, Timestamp, FeedId);

#[derive(Debug)]
struct Host {
    under_way: u32,
    /// How many of these are of feeds in trouble.
    troubled: u32,
    /// When its last request was started.
    last_start: Option<Timestamp>,
    /// It asked to be spared until then.
    spared_until: Option<Timestamp>,
    gap: Duration,
    /// Since when it has behaved, or the gap was last halved.
    good_since: Timestamp,
    /// Under which keys it stands among the startable of each standing, and among the idle.
    startable: [Option<Start>; Standing::ALL.len()],
    idle: Option<Timestamp>,
}

/// When a host may be asked next. Of several that could be, who is due longest goes first: where a host has more feeds than
/// it may be asked for, each of them still gets its turn, whatever its standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Start {
    at: Timestamp,
    due: Timestamp,
}

impl Queue {
    /// An empty queue.
    pub fn new(politeness: Politeness) -> Self {
        Self {
            politeness: Politeness {
                concurrency: politeness.concurrency.max(1),
                per_host: politeness.per_host.max(1),
                ..politeness
            },
            feeds: HashMap::new(),
            hosts: HashMap::new(),
            waiting: BTreeSet::new(),
            startable: Standing::ALL.map(|standing| (standing, BTreeSet::new())).into(),
            idle: BTreeSet::new(),
            under_way: Standing::ALL.map(|standing| (standing, 0)).into(),
            latest: Timestamp::MIN,
        }
    }

    /// Whether half of the requests that may be under way at once are.
    pub fn is_busy(&self) -> bool {
        2 * self.under_way() >= self.politeness.concurrency
    }

    /// Takes other bounds from now on, as after a reload of the configuration. What is under way goes on.
    pub fn set_politeness(&mut self, politeness: Politeness) {
        let fresh = Self::new(politeness).politeness;
        let base = std::mem::replace(&mut self.politeness, fresh).gap;
        let names: Vec<_> = self.hosts.keys().cloned().collect();
        for name in names {
            self.change(&name, |host| {
                if host.gap == base {
                    host.gap = fresh.gap;
                }
                host.gap = host.gap.max(fresh.gap);
            });
        }
    }

    /// Puts a feed into the queue, or to another place in it. A feed that is being asked right now is put there when
    /// that has ended.
    pub fn insert(&mut self, feed: FeedId, host: &str, due: Timestamp, standing: Standing) {
        let name = self.hosts.get_key_value(host).map_or_else(|| Arc::from(host), |(name, _)| name.clone());
        let waiting = Waiting { host: name, due, standing };
        if let Some(Place::UnderWay { then, .. }) = self.feeds.get_mut(&feed) {
            *then = Some(Box::new(waiting));
            return;
        }
        self.remove(feed);
        self.enqueue(feed, waiting);
    }

    /// Takes a feed out of the queue. One that is being asked right now keeps its slot until that has ended.
    pub fn remove(&mut self, feed: FeedId) {
        match self.feeds.get_mut(&feed) {
            Some(Place::UnderWay { then, .. }) => *then = None,
            Some(Place::Waiting(waiting)) => {
                let waiting = waiting.clone();
                self.feeds.remove(&feed);
                self.waiting.remove(&waiting.in_line(feed));
                self.change(&waiting.host, |_| {});
            }
            None => {}
        }
    }

    /// The next feed that may be asked at `now`; it is under way from then on, until [`Queue::finished`].
    pub fn next(&mut self, now: Timestamp) -> Option<FeedId> {
        self.look_at_clock(now);
        self.forget_idle(now);
        let (start, name, standing) = self.first_startable()?;
        if start.at > now {
            return None;
        }
        let first = first_waiting(&self.waiting, &name, standing)?.clone();
        self.waiting.remove(&first);
        let (.., feed) = first;
        self.change(&name, |host| {
            host.under_way += 1;
            host.troubled += u32::from(standing == Standing::Troubled);
            host.last_start = Some(now);
        });
        *self.under_way.entry(standing).or_default() += 1;
        self.feeds.insert(feed, Place::UnderWay { host: name, standing, then: None });
        Some(feed)
    }

    /// The instant at which [`Queue::next`] has something, unless something ends or changes before. `None` where only
    /// that can help.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.first_startable().map(|(start, ..)| start.at)
    }

    /// The request for this feed has ended. The feed leaves the queue, unless it was inserted meanwhile.
    pub fn finished(&mut self, feed: FeedId, now: Timestamp) {
        self.look_at_clock(now);
        let Some(Place::UnderWay { host, standing, then }) = self.feeds.remove(&feed) else { return };
        if let Some(count) = self.under_way.get_mut(&standing) {
            *count = count.saturating_sub(1);
        }
        self.change(&host, |host| {
            host.under_way = host.under_way.saturating_sub(1);
            host.troubled = host.troubled.saturating_sub(u32::from(standing == Standing::Troubled));
        });
        if let Some(waiting) = then {
            self.enqueue(feed, *waiting);
        }
    }

    /// A request that is under way elsewhere was sent on to this host, and asks for its turn: it is under way here from
    /// then on, until [`Queue::left`]. It takes no slot of its own.
    pub fn enter(&mut self, host: &str, now: Timestamp) -> Turn {
        self.look_at_clock(now);
        let name = self.hosts.get_key_value(host).map_or_else(|| Arc::from(host), |(name, _)| name.clone());
        let per_host = self.politeness.per_host;
        let mut turn = Turn::Granted;
        self.change(&name, |host| {
            let free_from = host.free_from();
            if let Some(until) = host.spared_until.filter(|until| *until > now) {
                turn = Turn::Spared { until };
            } else if host.under_way as usize >= per_host {
                turn = Turn::Wait { until: None };
            } else if free_from > now {
                turn = Turn::Wait { until: Some(free_from) };
            } else {
                host.under_way += 1;
                host.last_start = Some(now);
            }
        });
        turn
    }

    /// The request that was granted a turn on this host has ended there.
    pub fn left(&mut self, host: &str, now: Timestamp) {
        self.look_at_clock(now);
        if let Some((name, _)) = self.hosts.get_key_value(host) {
            let name = name.clone();
            self.change(&name, |host| host.under_way = host.under_way.saturating_sub(1));
        }
    }

    /// The host asked to be spared (429, or 503 with `Retry-After`): no feed of it is started for `pause`, an hour at
    /// most, and the gap between its requests doubles, until it halves again after each good hour.
    pub fn slow_down(&mut self, host: &str, pause: Duration, now: Timestamp) {
        self.look_at_clock(now);
        let name = self.hosts.get_key_value(host).map_or_else(|| Arc::from(host), |(name, _)| name.clone());
        let until = now.plus(pause.min(MAX_HOST_PAUSE));
        let (base, most) = (self.politeness.gap, MAX_GAP.max(self.politeness.gap));
        self.change(&name, |host| {
            // Requests that were under way together and are refused together say it once.
            let said_already = host.spared_until.is_some_and(|spared| now < spared);
            host.spared_until = Some(host.spared_until.map_or(until, |spared| spared.max(until)));
            host.ease(base, now);
            if !said_already {
                host.gap = (host.gap.max(Duration::from_millis(500)) * 2).min(most);
            }
            host.good_since = until;
        });
    }

    /// How many feeds wait.
    pub fn waiting(&self) -> usize {
        self.feeds.len() - self.under_way()
    }

    /// How many requests are under way.
    pub fn under_way(&self) -> usize {
        self.under_way.values().sum()
    }

    /// How many hosts are remembered.
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    fn enqueue(&mut self, feed: FeedId, waiting: Waiting) {
        self.waiting.insert(waiting.in_line(feed));
        self.change(&waiting.host, |_| {});
        self.feeds.insert(feed, Place::Waiting(waiting));
    }

    /// The host whose next start comes first, among those whose standing has a slot left.
    fn first_startable(&self) -> Option<(Start, Arc<str>, Standing)> {
        if self.under_way() >= self.politeness.concurrency {
            return None;
        }
        let with_slot = self.startable.iter().filter(|(standing, _)| {
            self.under_way.get(standing).copied().unwrap_or(0) < standing.slots(self.politeness.concurrency)
        });
        // Of equals the better standing goes first.
        with_slot
            .filter_map(|(standing, hosts)| hosts.first().map(|(start, name)| (start, standing, name)))
            .min_by_key(|(start, standing, _)| (*start, *standing))
            .map(|(start, standing, name)| (*start, name.clone(), *standing))
    }

    /// Changes one host, and lists it anew where it belongs after that.
    fn change(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Host)) {
        let (base, latest) = (self.politeness.gap, self.latest);
        let host = self.hosts.entry(name.clone()).or_insert_with(|| Host::new(base, latest));
        for (hosts, listed) in self.startable.values_mut().zip(&mut host.startable) {
            if let Some(start) = listed.take() {
                hosts.remove(&(start, name.clone()));
            }
        }
        if let Some(at) = host.idle.take() {
            self.idle.remove(&(at, name.clone()));
        }
        host.ease(base, latest);
        change(host);
        let free_from = host.free_from();
        let per_host = self.politeness.per_host;
        let mut waits = false;
        if (host.under_way as usize) < per_host {
            for ((&standing, hosts), listed) in self.startable.iter_mut().zip(&mut host.startable) {
                let Some(&(.., due, _)) = first_waiting(&self.waiting, name, standing) else { continue };
                waits = true;
                if standing == Standing::Troubled && host.troubled as usize >= troubled_at_once(per_host) {
                    continue;
                }
                let start = Start { at: due.max(free_from), due };
                *listed = Some(start);
                hosts.insert((start, name.clone()));
            }
        }
        if !waits && host.under_way == 0 {
            let at = host.forgotten_at(base);
            host.idle = Some(at);
            self.idle.insert((at, name.clone()));
        }
    }

    fn forget_idle(&mut self, now: Timestamp) {
        while self.idle.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, name)) = self.idle.pop_first() {
                self.hosts.remove(&name);
            }
        }
    }

    /// Remembers the time; if the clock was set back, brings every host's remembered instants back with it, since a
    /// pause that ends in a wrong future would silence its host for as long. To be called before [`Queue::wake_at`] is
    /// believed, where nothing else was asked for a while.
    pub fn look_at_clock(&mut self, now: Timestamp) {
        if now.plus(CLOCK_TOLERANCE) >= self.latest {
            self.latest = self.latest.max(now);
            return;
        }
        self.latest = now;
        let names: Vec<_> = self.hosts.keys().cloned().collect();
        for name in names {
            self.change(&name, |host| {
                host.last_start = host.last_start.map(|at| at.min(now));
                host.spared_until = host.spared_until.map(|at| at.min(now.plus(MAX_HOST_PAUSE)));
                host.good_since = host.good_since.min(now.plus(MAX_HOST_PAUSE));
            });
        }
    }
}

/// How many feeds in trouble one host may be asked for at once. Where two may hang until a timeout on a host of two slots,
/// all that are well there would wait behind them.
fn troubled_at_once(per_host: usize) -> usize {
    per_host.saturating_sub(1).max(1)
}

/// The feed of a host and a standing that is due longest, of all that wait.
fn first_waiting<'a>(waiting: &'a BTreeSet<InLine>, host: &Arc<str>, standing: Standing) -> Option<&'a InLine> {
    let first = waiting.range((Arc::clone(host), standing, Timestamp::MIN, FeedId(0))..).next();
    first.filter(|(found, of, ..)| found == host && *of == standing)
}

impl Waiting {
    fn in_line(&self, feed: FeedId) -> InLine {
        (Arc::clone(&self.host), self.standing, self.due, feed)
    }
}

impl Host {
    fn new(gap: Duration, now: Timestamp) -> Self {
        Self {
            under_way: 0,
            troubled: 0,
            last_start: None,
            spared_until: None,
            gap,
            good_since: now,
            startable: [None; Standing::ALL.len()],
            idle: None,
        }
    }

    /// From when on a request may be started.
    fn free_from(&self) -> Timestamp {
        let after_gap = self.last_start.map_or(Timestamp::MIN, |start| start.plus(self.gap));
        self.spared_until.map_or(after_gap, |spared| spared.max(after_gap))
    }

    /// Halves the gap for each good hour that has passed, down to `base`.
    fn ease(&mut self, base: Duration, now: Timestamp) {
        while self.gap > base && now.since(self.good_since) >= GOOD_SPELL {
            self.gap = (self.gap / 2).max(base);
            self.good_since = self.good_since.plus(GOOD_SPELL);
        }
    }

    /// From when on a new host would be treated no differently.
    fn forgotten_at(&self, base: Duration) -> Timestamp {
        let mut gap = self.gap;
        let mut eased_at = self.good_since;
        while gap > base {
            gap = (gap / 2).max(base);
            eased_at = eased_at.plus(GOOD_SPELL);
        }
        if self.gap > base { eased_at.max(self.free_from()) } else { self.free_from() }
    }
}

#[cfg(test)]
mod tests;
