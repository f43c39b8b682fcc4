//! The one writer: gathers finished fetches into group commits, and waits out a disk that cannot be written.
//!
//! What brings something is written soon, and whoever brought it waits until it is durable. Most answers bring nothing:
//! only the feed's state changes, by when it is asked next. Nobody waits for those; they go with the next commit, or after
//! a moment in one of their own. A commit costs some hundred microseconds of a processor however much is in it, and a
//! state in it two.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::pulse::{self, Pulse};
use super::{blocking, moment};
use crate::http::metrics::Metrics;
use crate::model::Feed;
use crate::store::{FeedUpdate, StateUpdate, Store};

/// From so many updates on, a commit waits for no more.
const MAX_BATCH: usize = 256;
/// How long the first finished fetch of a commit waits for others: a commit costs the disk the same for one or a hundred.
const GATHERING: Duration = Duration::from_millis(15);
/// How long states wait for a commit. A kill loses no more than this: these feeds are asked again after it, on the
/// condition that there is something new.
const GATHERING_STATES: Duration = Duration::from_millis(250);
/// From so many states on, whoever brings another waits for a commit.
const MAX_STATES: usize = 4096;
/// Pause before a failed commit is tried again. Meanwhile nothing is acknowledged, so fetching comes to rest by itself.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// Where finished fetches are handed in.
#[derive(Clone, Debug)]
pub(super) struct Commits {
    pending: mpsc::Sender<Pending>,
    states: Arc<States>,
}

#[derive(Debug)]
struct Pending {
    updates: Vec<FeedUpdate>,
    done: oneshot::Sender<Vec<Feed>>,
}

/// States that wait for a commit.
#[derive(Debug)]
struct States {
    waiting: Mutex<Vec<StateUpdate>>,
    /// How many were handed in and are not durable yet.
    open: AtomicUsize,
    /// Room for more of them; none while the disk is at fault.
    room: Semaphore,
    /// Told of the first of a commit.
    came: Notify,
}

/// The updates were refused, or the daemon is stopping and could not write them.
#[derive(Debug)]
pub(super) struct NotWritten;

impl Commits {
    /// Returns once the updates are durable, with the feeds as they are stored now.
    pub(super) async fn write(&self, updates: Vec<FeedUpdate>) -> Result<Vec<Feed>, NotWritten> {
        let (done, written) = oneshot::channel();
        self.pending.send(Pending { updates, done }).await.map_err(|_| NotWritten)?;
        written.await.map_err(|_| NotWritten)
    }

    /// Has a feed's state written soon, when there is room for it; only while the disk is at fault that takes long.
    pub(super) async fn write_soon(&self, state: StateUpdate) -> Result<(), NotWritten> {
        self.states.room.acquire().await.map_err(|_| NotWritten)?.forget();
        self.states.open.fetch_add(1, Ordering::AcqRel);
        let mut waiting = self.states.lock();
        waiting.push(state);
        if waiting.len() == 1 {
            self.states.came.notify_one();
        }
        Ok(())
    }

    /// Returns once every state that was handed in before is durable, or never will be.
    pub(super) async fn settle(&self) {
        if self.states.open.load(Ordering::Acquire) > 0 {
            // A commit takes all states along, also one of nothing.
            let _ = self.write(Vec::new()).await;
        }
    }
}

impl States {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<StateUpdate>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer's task.
#[derive(Debug)]
pub(super) struct Writer {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    pulse: Arc<Pulse>,
    pending: mpsc::Receiver<Pending>,
    states: Arc<States>,
    stop: CancellationToken,
}

pub(super) fn new(
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    pulse: Arc<Pulse>,
    stop: CancellationToken,
) -> (Commits, Writer) {
    let (sender, pending) = mpsc::channel(MAX_BATCH);
    let states = Arc::new(States {
        waiting: Mutex::default(),
        open: AtomicUsize::new(0),
        room: Semaphore::new(MAX_STATES),
        came: Notify::new(),
    });
    let commits = Commits { pending: sender, states: Arc::clone(&states) };
    (commits, Writer { store, metrics, pulse, pending, states, stop })
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.states.room.close();
    }
}

/// What goes into one commit.
struct Batch {
    parts: Vec<Pending>,
    /// Whether nobody is left who could hand in more.
    is_last: bool,
}

impl Writer {
    /// Writes until everybody who hands in is gone.
    pub(super) async fn run(mut self) {
        loop {
            let Batch { parts, is_last } = self.gather().await;
            if !self.write(parts).await || is_last {
                return;
            }
        }
    }

    /// Waits for something to write, and then a moment for more.
    async fn gather(&mut self) -> Batch {
        let mut batch = Batch { parts: Vec::new(), is_last: false };
        let mut updates = 0;
        let mut until: Option<Instant> = None;
        while updates < MAX_BATCH {
            self.beat();
            let now = moment();
            let wakes_at = until.unwrap_or(now + pulse::BEAT);
            tokio::select! {
                handed_in = self.pending.recv() => match handed_in {
                    Some(pending) => {
                        // Whoever waits for all that was handed in before brings nothing, and waits for nothing more.
                        let wait = if pending.updates.is_empty() { Duration::ZERO } else { GATHERING };
                        until = Some(until.map_or(now + wait, |until| until.min(now + wait)));
                        updates += pending.updates.len();
                        batch.parts.push(pending);
                    }
                    None => return Batch { is_last: true, ..batch },
                },
                () = self.states.came.notified() => until = until.or(Some(now + GATHERING_STATES)),
                () = tokio::time::sleep_until(wakes_at) => if until.is_some() { break },
            }
        }
        batch
    }

    /// Commits everything gathered at once, with all states that wait. Where the store refuses that for what is in it,
    /// each part is committed on its own, so that one bad part costs nobody else anything. Returns whether to go on.
    async fn write(&self, gathered: Vec<Pending>) -> bool {
        let states = std::mem::take(&mut *self.states.lock());
        let count = states.len();
        let go_on = self.write_with(gathered, states).await;
        self.states.open.fetch_sub(count, Ordering::AcqRel);
        self.states.room.add_permits(count);
        go_on
    }

    async fn write_with(&self, gathered: Vec<Pending>, states: Vec<StateUpdate>) -> bool {
        let mut updates = Vec::new();
        let mut parts = Vec::with_capacity(gathered.len());
        for pending in gathered {
            parts.push((pending.updates.len(), pending.done));
            updates.extend(pending.updates);
        }
        let is_alone = parts.len() == 1 && states.is_empty();
        let Work { updates, states, ended } = self.commit(updates, states).await;
        if matches!(ended, Ended::Refused) && !is_alone {
            self.commit(Vec::new(), states).await;
        }
        let mut updates = updates.into_iter();
        for (count, done) in parts {
            let part: Vec<FeedUpdate> = updates.by_ref().take(count).collect();
            let (part, ended) = match ended {
                Ended::Refused if !is_alone => {
                    let Work { updates, ended, .. } = self.commit(part, Vec::new()).await;
                    (updates, ended)
                }
                _ => (part, ended),
            };
            match ended {
                // Nobody waits any more for a fetch that was given up.
                Ended::Written => drop(done.send(part.into_iter().map(|update| update.feed).collect())),
                Ended::Refused => {}
                Ended::Stopped => return false,
            }
        }
        !matches!(ended, Ended::Stopped)
    }

    fn beat(&self) {
        self.pulse.beat(pulse::Part::Writer, moment());
    }

    /// Commits, again and again while the disk is at fault.
    async fn commit(&self, mut updates: Vec<FeedUpdate>, mut states: Vec<StateUpdate>) -> Work {
        if updates.is_empty() && states.is_empty() {
            return Work { updates, states, ended: Ended::Written };
        }
        let mut closed_room = None;
        let ended = loop {
            self.beat();
            let started = moment();
            let store = Arc::clone(&self.store);
            let committed;
            (updates, states, committed) = blocking(move || {
                let committed = store.commit_with(&mut updates, &states);
                (updates, states, committed)
            })
            .await;
            match committed {
                Ok(()) => {
                    self.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
                    if closed_room.is_some() {
                        info!("the database can be written again; fetching goes on");
                    }
                    break Ended::Written;
                }
                Err(fault) if fault.may_pass() => {
                    if closed_room.is_none() {
                        error!(error = %fault, "the database cannot be written; fetching waits, serving goes on, next try in {RETRY_PAUSE:?}");
                    }
                    // Nobody hands in more; what is given back meanwhile is taken at the next try.
                    let room = self.states.room.forget_permits(MAX_STATES);
                    closed_room = Some(closed_room.unwrap_or(0) + room);
                }
                Err(fault) => {
                    error!(error = %fault, updates = updates.len(), states = states.len(), "a commit was refused");
                    break Ended::Refused;
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => break Ended::Stopped,
                () = tokio::time::sleep(RETRY_PAUSE) => {}
            }
        };
        self.states.room.add_permits(closed_room.unwrap_or(0));
        Work { updates, states, ended }
    }
}

/// What was to be committed, and what became of it.
struct Work {
    updates: Vec<FeedUpdate>,
    states: Vec<StateUpdate>,
    ended: Ended,
}

/// What became of a commit.
#[derive(Clone, Copy)]
enum Ended {
    /// It is durable; each update's feed is as it is stored now.
    Written,
    /// Trying again cannot help.
    Refused,
    /// The daemon stops, and the disk is still at fault.
    Stopped,
}
