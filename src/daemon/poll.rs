//! The due queue in motion: starts visits when they are due, follows the roster, and puts feeds back in their place.
//!
//! Also waits out what is nobody else's fault: our own network being down, and times when nothing could be asked.

mod detours;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::moves::Moves;
use super::pulse::Pulse;
use super::visit::{Note, Pause, Reach, Unreached, Visit, Visitor};
use super::writer::Commits;
use super::{Gate, chance, moment, now, pulse};
use crate::config::Config;
use crate::feeds::host::outage::{Fault, Network};
use crate::feeds::host::{CLOCK_TOLERANCE, Politeness, Queue, Standing};
use crate::feeds::schedule;
use crate::http::App;
use crate::model::{Feed, FeedId, FeedState, Timestamp};
use crate::store::FeedUpdate;
use detours::Detours;

/// What the poller is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Other feeds stand in the lists now; of these the outlines were edited.
    Follow(Vec<FeedId>),
    /// Another configuration is in force.
    Configure(Box<Config>),
    /// This feed has something new, as somebody says who knows: it is asked as soon as its host may be, if it is well.
    Hint(FeedId),
    /// This feed has another due time.
    Due(FeedId),
    /// A host asked somebody else to be spared.
    Spare(Pause),
}

/// Orders that wait for the poller.
const MAX_ORDERS: usize = 16;

/// Feeds that become due within this time are asked together: what wakes up and goes to sleep between two requests costs
/// more than a request. At 125 feeds a second an unchanged feed takes 82 µs of CPU with 50 ms here and 10 ms below, and
/// 60 µs as it is.
const TOGETHER: Duration = Duration::from_millis(200);
/// Visits that end within this time are taken in together, for the same reason. What they brought is there before: this
/// is about when their feeds and hosts come next.
const ENDING_TOGETHER: Duration = Duration::from_millis(40);

/// How long visits may take to end after the daemon was asked to stop.
const ENDING_TIMEOUT: Duration = Duration::from_secs(8);
/// A feed whose visit could not be stored has its old due time still; it is asked again after this.
const UNKEPT_PAUSE: Duration = Duration::from_mins(1);
/// From a pause of this length on, what became due in it is spread out.
const PAUSE_TO_SPREAD: Duration = Duration::from_mins(3);

/// The poller's task.
pub(super) struct Poller {
    app: Arc<App>,
    visitor: Arc<Visitor>,
    queue: Queue,
    followed: HashSet<FeedId>,
    network: Network,
    /// Feeds whose host was out of reach, until that is stored as whosever fault it was. They are not in the queue.
    unreached: HashMap<FeedId, Unreached>,
    detours: Detours,
    /// Whether somebody knows of something new: then nobody waits for others to become due.
    is_hastened: bool,
    /// The latest time that the clock has shown, and the steady clock at the last look at both.
    latest: Timestamp,
    looked_at: Instant,
    running: JoinSet<Finished>,
    /// The steady clock when visits that had ended were last taken in.
    taken_at: Instant,
    // So that a visit that breaks off leaves its feed in the queue.
    visiting: HashMap<Id, FeedId>,
    commits: Commits,
    gate: Gate,
    moves: Arc<Moves>,
    pulse: Arc<Pulse>,
    orders: mpsc::Receiver<Order>,
    stop: CancellationToken,
}

/// What a task of the poller's has finished.
#[derive(Debug)]
enum Finished {
    Visit(FeedId, Visit),
    Conclusion(FeedId, Visit),
    /// Feeds are marked that left or came back; to these others were joined.
    Marking(Vec<FeedId>),
}

impl Poller {
    pub(super) fn new(
        config: &Config,
        app: Arc<App>,
        commits: Commits,
        gate: Gate,
        pulse: Arc<Pulse>,
        notes: mpsc::Sender<Note>,
        stop: CancellationToken,
    ) -> anyhow::Result<(Self, mpsc::Sender<Order>)> {
        let (sender, orders) = mpsc::channel(MAX_ORDERS);
        let moves = Arc::new(Moves::new(Arc::clone(&app), commits.clone(), Gate::clone(&gate)));
        let detours = Detours::new();
        let (turns, of_visitor) = (detours.turns(), Gate::clone(&gate));
        let visitor =
            Visitor::new(config, Arc::clone(&moves), commits.clone(), of_visitor, notes, turns, stop.clone())?;
        let poller = Self {
            app,
            visitor: Arc::new(visitor),
            queue: Queue::new(politeness(config)),
            followed: HashSet::new(),
            network: Network::new(config.fetch.min_interval),
            unreached: HashMap::new(),
            detours,
            is_hastened: false,
            latest: Timestamp::MIN,
            looked_at: moment(),
            running: JoinSet::new(),
            taken_at: moment(),
            visiting: HashMap::new(),
            commits,
            gate,
            moves,
            pulse,
            orders,
            stop,
        };
        Ok((poller, sender))
    }

    /// Who visits feeds.
    pub(super) fn visitor(&self) -> Arc<Visitor> {
        Arc::clone(&self.visitor)
    }

    /// Polls until told to stop; then waits for what is under way to be written.
    pub(super) async fn run(mut self) {
        loop {
            self.pulse.beat(pulse::Part::Scheduler, moment());
            self.look_at_clock();
            let verdicts = self.network.overdue(now());
            self.judge(verdicts);
            self.detours.settle(&mut self.queue, now());
            self.start_due();
            // Never longer than a heart beat, and thereby also soon after the clock was set or the machine slept.
            let idle = self.wake_at().map_or(pulse::BEAT, |at| at.since(now()).min(pulse::BEAT));
            let rest = if self.is_waited_for() { Duration::ZERO } else { ENDING_TOGETHER };
            let take_at = self.taken_at + rest;
            let ended = async {
                tokio::time::sleep_until(take_at).await;
                self.running.join_next_with_id().await
            };
            tokio::select! {
                () = self.stop.cancelled() => break,
                order = self.orders.recv() => match order {
                    Some(Order::Follow(edited)) => self.follow(&edited),
                    Some(Order::Configure(config)) => self.configure(&config),
                    Some(Order::Hint(feed)) => self.hasten(feed),
                    Some(Order::Spare(Pause { host, length })) => self.queue.slow_down(&host, length, now()),
                    Some(Order::Due(feed)) => self.enqueue(feed, Timestamp::MIN, None),
                    None => break,
                },
                Some(finished) = ended => self.take_all(finished),
                Some(detour) = self.detours.hear() => self.detours.take(detour, &mut self.queue, now()),
                // Asking the queue more often than the clock ticks would only spin.
                () = tokio::time::sleep(idle.max(Duration::from_millis(1))) => {}
            }
        }
        // Nothing more will show whose fault these were, so they are nobody's.
        let concluding: HashSet<FeedId> = self.visiting.values().copied().collect();
        let undecided = self.unreached.keys().filter(|feed| !concluding.contains(feed));
        let undecided = undecided.map(|feed| (*feed, Fault::Ours)).collect();
        self.conclude(undecided);
        let ending = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(ENDING_TIMEOUT, ending).await.is_err() {
            warn!("some visits did not end in time; what they brought is asked for again");
        }
    }

    /// Starts what is due, as far as hosts and network allow, once some of it has been due for a moment.
    fn start_due(&mut self) {
        if !self.is_hastened && self.queue.wake_at().is_some_and(|at| now() < at.plus(TOGETHER)) {
            return;
        }
        self.is_hastened = false;
        while self.queue.wake_at().is_some_and(|at| at <= now()) && self.network.may_ask(now()) {
            let Some(feed) = self.queue.next(now()) else { return };
            let visitor = Arc::clone(&self.visitor);
            // Boxed, as it is some kilobytes large and would be moved several times on its way to the runtime.
            let visit = Box::pin(async move { Finished::Visit(feed, visitor.visit(feed).await) });
            let task = self.running.spawn(visit);
            self.visiting.insert(task.id(), feed);
        }
    }

    /// When there is something to do, unless something ends or changes before.
    fn wake_at(&self) -> Option<Timestamp> {
        // What is due waits for the network.
        let queue = self.queue.wake_at().map(|due| due.plus(TOGETHER));
        let queue = queue.map(|due| self.network.next_probe().map_or(due, |probe| probe.max(due)));
        [queue, self.network.verdict_at(), self.detours.wake_at()].into_iter().flatten().min()
    }

    /// After the clock was set back, due times that were made under the wrong one lie too far ahead: every feed gets its
    /// place anew. After the machine slept, or the clock was set forward, much is due at once: it is spread out.
    fn look_at_clock(&mut self) {
        let (now, moment) = (now(), moment());
        let passed = moment.saturating_duration_since(std::mem::replace(&mut self.looked_at, moment));
        if self.latest.since(now) > CLOCK_TOLERANCE {
            info!("the clock was set back; due times are looked at again");
            self.queue.look_at_clock(now);
            for feed in self.followed.clone() {
                self.enqueue(feed, Timestamp::MIN, None);
            }
            self.latest = now;
        }
        let slept = now.since(self.latest).saturating_sub(passed);
        if slept > PAUSE_TO_SPREAD && self.latest > Timestamp::MIN {
            info!("the machine slept for {} s, or its clock was set forward", slept.as_secs());
            self.spread_out(Some(self.latest));
        }
        self.latest = self.latest.max(now);
    }

    /// After a pause since `since`, or since the first feed became due: what became due in it goes on at the usual rate
    /// instead of all at once.
    fn spread_out(&mut self, since: Option<Timestamp>) {
        let (now, limits) = (now(), self.visitor.limits());
        let overdue = |id: &FeedId| {
            let feed = self.app.live.feed(*id).filter(|feed| feed.schedule.state != FeedState::Gone)?;
            let due = schedule::due_at(&feed.schedule, &limits, now);
            (due < now && !self.unreached.contains_key(id)).then_some((due, feed))
        };
        let overdue: Vec<_> = self.followed.iter().filter_map(overdue).collect();
        let Some(since) = since.or_else(|| {
            // Who was never asked waits for nothing.
            let asked = overdue.iter().filter(|(_, feed)| feed.schedule.last_attempt.is_some());
            asked.map(|(due, _)| *due).min()
        }) else {
            return;
        };
        if now.since(since) < PAUSE_TO_SPREAD {
            return;
        }
        let last = overdue.iter().map(|(_, feed)| {
            let due = schedule::after_pause(&feed.schedule, &limits, since, now, chance());
            let standing = Standing::of(feed.schedule.state, None);
            self.queue.insert(feed.id, &feed.address().host_and_port(), due, standing);
            due
        });
        if let Some(last) = last.max() {
            info!(feeds = overdue.len(), "feeds are overdue; they are asked in their order until {last}");
        }
    }

    /// What a visit says about our own network.
    fn witness(&mut self, id: FeedId, reach: Reach, standing: Standing, host: &str) {
        let verdicts = match reach {
            Reach::Unknown => return,
            Reach::Reached => {
                let down_since = self.network.down_since();
                let verdicts = self.network.reached();
                if let Some(since) = down_since {
                    info!("our own network is back; it was down since {since}");
                    self.spread_out(Some(since));
                }
                verdicts
            }
            Reach::Unreached(unreached) => {
                self.unreached.insert(id, unreached);
                self.network.unreached(id, host, standing, now())
            }
        };
        self.judge(verdicts);
    }

    /// Takes verdicts on whose fault it was that a host could not be reached.
    fn judge(&mut self, verdicts: Vec<(FeedId, Fault)>) {
        if verdicts.len() > 1 && self.network.down_since().is_some() {
            warn!(
                "nobody can be reached: our own network is down; no feed is blamed, and one request a minute finds out when it is back"
            );
        }
        self.conclude(verdicts);
    }

    /// Has it stored what came of visits that reached nobody.
    fn conclude(&mut self, verdicts: Vec<(FeedId, Fault)>) {
        for (feed, fault) in verdicts {
            let Some(unreached) = self.unreached.get(&feed).cloned() else { continue };
            let visitor = Arc::clone(&self.visitor);
            let task = self
                .running
                .spawn(async move { Finished::Conclusion(feed, visitor.conclude(feed, unreached, fault).await) });
            self.visiting.insert(task.id(), feed);
        }
    }

    /// Whether something that is due may wait for a visit to end.
    fn is_waited_for(&self) -> bool {
        self.is_hastened || self.queue.is_busy()
    }

    /// Takes in what has finished, beginning with this.
    fn take_all(&mut self, finished: Result<(Id, Finished), JoinError>) {
        let mut next = Some(finished);
        while let Some(finished) = next {
            self.take(finished);
            next = self.running.try_join_next_with_id();
        }
        self.taken_at = moment();
    }

    fn take(&mut self, finished: Result<(Id, Finished), JoinError>) {
        let now = now();
        match finished {
            Ok((task, Finished::Visit(feed, visit))) => {
                self.visiting.remove(&task);
                self.queue.finished(feed, now);
                self.visited(feed, visit);
            }
            Ok((task, Finished::Conclusion(feed, visit))) => {
                self.visiting.remove(&task);
                self.unreached.remove(&feed);
                self.enqueue(feed, if visit.is_kept { now } else { now.plus(UNKEPT_PAUSE) }, visit.took);
            }
            Ok((_, Finished::Marking(joined))) => self.follow_joined(&joined),
            // Visits contain the faults of what they read; this one is ours.
            Err(fault) => {
                error!(%fault, "a visit broke off");
                if let Some(feed) = self.visiting.remove(&fault.id()) {
                    if self.unreached.remove(&feed).is_none() {
                        self.queue.finished(feed, now);
                    }
                    self.enqueue(feed, now.plus(UNKEPT_PAUSE), None);
                }
            }
        }
    }

    fn visited(&mut self, id: FeedId, visit: Visit) {
        let now = now();
        let Visit { is_kept, pause, took, joined, reach, had_no_turn } = visit;
        if let Some(Pause { host, length }) = pause {
            self.queue.slow_down(&host, length, now);
        }
        if let Some(feed) = self.app.live.feed(id) {
            let standing = Standing::of(feed.schedule.state, None);
            self.witness(id, reach, standing, &feed.address().host_and_port());
        }
        let earliest = if is_kept {
            now
        } else if had_no_turn {
            // Others who were sent there come again too, each at their own time.
            now.plus(self.visitor.limits().min_interval.mul_f64(1.0 + chance()))
        } else {
            now.plus(UNKEPT_PAUSE)
        };
        self.enqueue(id, earliest, took);
        self.follow_joined(&joined);
    }

    /// Puts a feed that is followed to its place in the queue: at its due time, and not before `earliest`.
    fn enqueue(&mut self, id: FeedId, earliest: Timestamp, took: Option<Duration>) {
        if !self.followed.contains(&id) || self.unreached.contains_key(&id) {
            return;
        }
        let Some(feed) = self.app.live.feed(id) else { return };
        if feed.schedule.state == FeedState::Gone {
            return;
        }
        let due = schedule::due_at(&feed.schedule, &self.visitor.limits(), now()).max(earliest);
        let standing = Standing::of(feed.schedule.state, took);
        self.queue.insert(id, &feed.address().host_and_port(), due, standing);
    }

    /// Follows the feeds that stand in the lists now, and no others.
    fn follow(&mut self, edited: &[FeedId]) {
        let feeds: HashSet<FeedId> = self.app.live.bound().ids.values().copied().collect();
        let left: Vec<FeedId> = self.followed.difference(&feeds).copied().collect();
        let came: Vec<FeedId> = feeds.difference(&self.followed).copied().collect();
        let is_start = self.followed.is_empty();
        self.followed = feeds;
        for feed in left {
            self.queue.remove(feed);
        }
        for feed in came {
            self.enqueue(feed, Timestamp::MIN, None);
            if !is_start {
                self.ask_again_if_gone(feed);
            }
        }
        for feed in edited {
            self.ask_again_if_gone(*feed);
        }
        if is_start {
            self.remember_spared_hosts();
            self.spread_out(None);
        }
        let marking = mark(Arc::clone(&self.app), self.commits.clone(), Gate::clone(&self.gate));
        let moves = Arc::clone(&self.moves);
        self.running.spawn(async move {
            marking.await;
            Finished::Marking(moves.look().await)
        });
    }

    /// After feeds were joined, others stand in the lists, and those that are left may be due at another time.
    fn follow_joined(&mut self, joined: &[FeedId]) {
        if joined.is_empty() {
            return;
        }
        self.follow(&[]);
        for feed in joined {
            self.enqueue(*feed, Timestamp::MIN, None);
        }
    }

    /// Hosts that asked to be spared before the daemon was restarted.
    fn remember_spared_hosts(&mut self) {
        let now = now();
        for feed in self.followed.iter().filter_map(|id| self.app.live.feed(*id)) {
            if let Some(until) = schedule::host_spared_until(&feed.schedule).filter(|until| *until > now) {
                self.queue.slow_down(&feed.address().host_and_port(), until.since(now), now);
            }
        }
    }

    /// An outline that was put back or edited is somebody's wish to try a gone feed once more.
    fn ask_again_if_gone(&mut self, id: FeedId) {
        if let Some(feed) = self.app.live.feed(id).filter(|feed| feed.schedule.state == FeedState::Gone) {
            self.queue.insert(id, &feed.address().host_and_port(), now(), Standing::Troubled);
        }
    }

    /// Who waits because something failed, or was told to wait, goes on waiting.
    fn hasten(&mut self, id: FeedId) {
        let feed = self.app.live.feed(id).filter(|feed| feed.schedule.state == FeedState::Ok);
        if let Some(feed) = feed.filter(|_| self.followed.contains(&id) && !self.unreached.contains_key(&id)) {
            self.queue.insert(id, &feed.address().host_and_port(), now(), Standing::Proven);
            self.is_hastened = true;
        }
    }

    fn configure(&mut self, config: &Config) {
        self.queue.set_politeness(politeness(config));
        if let Err(fault) = self.visitor.configure(config) {
            error!(%fault, "the new fetch settings cannot be used; the old ones stay in force");
        }
    }
}

pub(super) fn politeness(config: &Config) -> Politeness {
    let fetch = &config.fetch;
    Politeness { concurrency: fetch.concurrency, per_host: fetch.per_host, gap: fetch.per_host_gap }
}

/// Notes with each feed whether it stands in a list: since when not, from which its history has 30 days.
async fn mark(app: Arc<App>, commits: Commits, gate: Gate) {
    let _no_visits = gate.alone().await;
    let followed: HashSet<FeedId> = app.live.bound().ids.values().copied().collect();
    let mut updates = Vec::new();
    app.live.for_each(|feed| {
        let left_at = if followed.contains(&feed.id) { None } else { feed.left_at.or(Some(now())) };
        if feed.left_at != left_at {
            let feed = Feed { left_at, ..Feed::clone(feed) };
            updates.push(FeedUpdate { feed, changes: Vec::new(), said: Vec::new(), events: Vec::new() });
        }
    });
    if !updates.is_empty()
        && let Ok(marked) = commits.write(updates).await
    {
        app.live.update(marked.into_iter().map(|feed| (feed, false)));
    }
}
