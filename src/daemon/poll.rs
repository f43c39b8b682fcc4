//! The due queue in motion: starts visits when they are due, follows the roster, and puts feeds back in their place.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{RwLock, mpsc};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::moves::Moves;
use super::pulse::Pulse;
use super::visit::{Note, Pause, Visit, Visitor};
use super::writer::Commits;
use super::{moment, now, pulse};
use crate::config::Config;
use crate::feeds::host::{Politeness, Queue, Standing};
use crate::feeds::schedule;
use crate::http::App;
use crate::model::{Feed, FeedId, FeedState, Timestamp};
use crate::store::FeedUpdate;

/// Held for reading by every visit while it commits and shows a feed, for writing by who changes stored feeds otherwise.
pub(super) type Gate = Arc<RwLock<()>>;

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
}

/// Orders that wait for the poller.
const MAX_ORDERS: usize = 16;

/// How long visits may take to end after the daemon was asked to stop.
const ENDING_TIMEOUT: Duration = Duration::from_secs(8);
/// Small corrections of the clock are no reason to look at every feed.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(1);
/// A feed whose visit could not be stored has its old due time still; it is asked again after this.
const UNKEPT_PAUSE: Duration = Duration::from_mins(1);

/// The poller's task.
#[derive(Debug)]
pub(super) struct Poller {
    app: Arc<App>,
    visitor: Arc<Visitor>,
    queue: Queue,
    followed: HashSet<FeedId>,
    /// The latest time that the clock has shown.
    latest: Timestamp,
    running: JoinSet<Finished>,
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
        let visitor =
            Visitor::new(config, Arc::clone(&moves), commits.clone(), Gate::clone(&gate), notes, stop.clone())?;
        let poller = Self {
            app,
            visitor: Arc::new(visitor),
            queue: Queue::new(politeness(config)),
            followed: HashSet::new(),
            latest: Timestamp::MIN,
            running: JoinSet::new(),
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
            while let Some(feed) = self.queue.next(now()) {
                let visitor = Arc::clone(&self.visitor);
                let task = self.running.spawn(async move { Finished::Visit(feed, visitor.visit(feed).await) });
                self.visiting.insert(task.id(), feed);
            }
            // Never longer than a heart beat, and thereby also soon after the clock was set or the machine slept.
            let idle = self.queue.wake_at().map_or(pulse::BEAT, |at| at.since(now()).min(pulse::BEAT));
            tokio::select! {
                () = self.stop.cancelled() => break,
                order = self.orders.recv() => match order {
                    Some(Order::Follow(edited)) => self.follow(&edited),
                    Some(Order::Configure(config)) => self.configure(&config),
                    Some(Order::Hint(feed)) => self.hasten(feed),
                    Some(Order::Due(feed)) => self.enqueue(feed, Timestamp::MIN, None),
                    None => break,
                },
                Some(finished) = self.running.join_next_with_id() => self.take(finished),
                // Asking the queue more often than the clock ticks would only spin.
                () = tokio::time::sleep(idle.max(Duration::from_millis(1))) => {}
            }
        }
        let ending = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(ENDING_TIMEOUT, ending).await.is_err() {
            warn!("some visits did not end in time; what they brought is asked for again");
        }
    }

    /// After the clock was set back, due times that were made under the wrong one lie too far ahead: every feed gets its
    /// place anew.
    fn look_at_clock(&mut self) {
        let now = now();
        if self.latest.since(now) > CLOCK_TOLERANCE {
            info!("the clock was set back; due times are looked at again");
            for feed in self.followed.clone() {
                self.enqueue(feed, Timestamp::MIN, None);
            }
            self.latest = now;
        }
        self.latest = self.latest.max(now);
    }

    fn take(&mut self, finished: Result<(Id, Finished), JoinError>) {
        let now = now();
        match finished {
            Ok((task, Finished::Visit(feed, Visit { is_kept, pause, took, joined }))) => {
                self.visiting.remove(&task);
                if let Some(Pause { host, length }) = pause {
                    self.queue.slow_down(&host, length, now);
                }
                self.queue.finished(feed, now);
                self.enqueue(feed, if is_kept { now } else { now.plus(UNKEPT_PAUSE) }, took);
                self.follow_joined(&joined);
            }
            Ok((_, Finished::Marking(joined))) => self.follow_joined(&joined),
            // Visits contain the faults of what they read; this one is ours.
            Err(fault) => {
                error!(%fault, "a visit broke off");
                if let Some(feed) = self.visiting.remove(&fault.id()) {
                    self.queue.finished(feed, now);
                    self.enqueue(feed, now.plus(UNKEPT_PAUSE), None);
                }
            }
        }
    }

    /// Puts a feed that is followed to its place in the queue: at its due time, and not before `earliest`.
    fn enqueue(&mut self, id: FeedId, earliest: Timestamp, took: Option<Duration>) {
        if !self.followed.contains(&id) {
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

    /// An outline that was put back or edited is somebody's wish to try a gone feed once more.
    fn ask_again_if_gone(&mut self, id: FeedId) {
        if let Some(feed) = self.app.live.feed(id).filter(|feed| feed.schedule.state == FeedState::Gone) {
            self.queue.insert(id, &feed.address().host_and_port(), now(), Standing::Troubled);
        }
    }

    /// Who waits because something failed, or was told to wait, goes on waiting.
    fn hasten(&mut self, id: FeedId) {
        let feed = self.app.live.feed(id).filter(|feed| feed.schedule.state == FeedState::Ok);
        if let Some(feed) = feed.filter(|_| self.followed.contains(&id)) {
            self.queue.insert(id, &feed.address().host_and_port(), now(), Standing::Proven);
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

/// Feeds looked at between two looks at the lock that protects them.
const FEEDS_AT_ONCE: usize = 1000;

/// Notes with each feed whether it stands in a list: since when not, from which its history has 30 days.
async fn mark(app: Arc<App>, commits: Commits, gate: Gate) {
    let _no_visits = gate.write().await;
    let followed: HashSet<FeedId> = app.live.bound().ids.values().copied().collect();
    let mut updates = Vec::new();
    let mut after = None;
    loop {
        let feeds = app.live.feeds_after(after, FEEDS_AT_ONCE);
        let Some(last) = feeds.last() else { break };
        after = Some(last.id);
        for feed in &feeds {
            let left_at = if followed.contains(&feed.id) { None } else { feed.left_at.or(Some(now())) };
            if feed.left_at != left_at {
                updates.push(FeedUpdate {
                    feed: Feed { left_at, ..Feed::clone(feed) },
                    changes: Vec::new(),
                    events: vec![],
                });
            }
        }
    }
    if !updates.is_empty()
        && let Ok(marked) = commits.write(updates).await
    {
        app.live.update(marked.into_iter().map(|feed| (feed, false)));
    }
}
