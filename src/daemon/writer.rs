//! The one writer: gathers finished fetches into group commits, and waits out a disk that cannot be written.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::pulse::{self, Pulse};
use super::{blocking, moment};
use crate::http::metrics::Metrics;
use crate::model::Feed;
use crate::store::{FeedUpdate, Store};

/// From so many updates on, a commit waits for no more.
const MAX_BATCH: usize = 256;
/// How long the first finished fetch of a commit waits for others: a commit costs the disk the same for one or a hundred.
const GATHERING: Duration = Duration::from_millis(15);
/// Pause before a failed commit is tried again. Meanwhile nothing is acknowledged, so fetching comes to rest by itself.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// Where finished fetches are handed in.
#[derive(Clone, Debug)]
pub(super) struct Commits(mpsc::Sender<Pending>);

#[derive(Debug)]
struct Pending {
    updates: Vec<FeedUpdate>,
    done: oneshot::Sender<Vec<Feed>>,
}

/// The updates were refused, or the daemon is stopping and could not write them.
#[derive(Debug)]
pub(super) struct NotWritten;

impl Commits {
    /// Returns once the updates are durable, with the feeds as they are stored now.
    pub(super) async fn write(&self, updates: Vec<FeedUpdate>) -> Result<Vec<Feed>, NotWritten> {
        let (done, written) = oneshot::channel();
        self.0.send(Pending { updates, done }).await.map_err(|_| NotWritten)?;
        written.await.map_err(|_| NotWritten)
    }
}

/// The writer's task.
#[derive(Debug)]
pub(super) struct Writer {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    pulse: Arc<Pulse>,
    pending: mpsc::Receiver<Pending>,
    stop: CancellationToken,
}

pub(super) fn new(
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    pulse: Arc<Pulse>,
    stop: CancellationToken,
) -> (Commits, Writer) {
    let (sender, pending) = mpsc::channel(MAX_BATCH);
    (Commits(sender), Writer { store, metrics, pulse, pending, stop })
}

impl Writer {
    /// Writes until everybody who hands in is gone.
    pub(super) async fn run(mut self) {
        loop {
            self.beat();
            let first = match tokio::time::timeout(pulse::BEAT, self.pending.recv()).await {
                Ok(Some(first)) => first,
                Ok(None) => return,
                Err(_) => continue,
            };
            let mut gathered = vec![first];
            let mut updates = gathered[0].updates.len();
            let until = moment() + GATHERING;
            while updates < MAX_BATCH {
                let Ok(Some(pending)) = tokio::time::timeout_at(until, self.pending.recv()).await else { break };
                updates += pending.updates.len();
                gathered.push(pending);
            }
            if !self.write(gathered).await {
                return;
            }
        }
    }

    /// Commits everything gathered at once. Where the store refuses that for what is in it, each part is committed on
    /// its own, so that one bad part costs nobody else anything. Returns whether to go on.
    async fn write(&self, gathered: Vec<Pending>) -> bool {
        let mut updates = Vec::new();
        let mut parts = Vec::with_capacity(gathered.len());
        for pending in gathered {
            parts.push((pending.updates.len(), pending.done));
            updates.extend(pending.updates);
        }
        let is_alone = parts.len() == 1;
        let (updates, ended) = self.commit(updates).await;
        let mut updates = updates.into_iter();
        for (count, done) in parts {
            let part: Vec<FeedUpdate> = updates.by_ref().take(count).collect();
            let (part, ended) = match ended {
                Ended::Refused if !is_alone => self.commit(part).await,
                _ => (part, ended),
            };
            match ended {
                // Nobody waits any more for a fetch that was given up.
                Ended::Written => drop(done.send(part.into_iter().map(|update| update.feed).collect())),
                Ended::Refused => {}
                Ended::Stopped => return false,
            }
        }
        true
    }

    fn beat(&self) {
        self.pulse.beat(pulse::Part::Writer, moment());
    }

    /// Commits, again and again while the disk is at fault.
    async fn commit(&self, mut updates: Vec<FeedUpdate>) -> (Vec<FeedUpdate>, Ended) {
        let mut has_failed = false;
        loop {
            self.beat();
            let started = moment();
            let store = Arc::clone(&self.store);
            let committed;
            (updates, committed) = blocking(move || {
                let committed = store.commit(&mut updates);
                (updates, committed)
            })
            .await;
            match committed {
                Ok(()) => {
                    self.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
                    if has_failed {
                        info!("the database can be written again; fetching goes on");
                    }
                    return (updates, Ended::Written);
                }
                Err(fault) if fault.may_pass() => {
                    if !has_failed {
                        error!(error = %fault, "the database cannot be written; fetching waits, serving goes on, next try in {RETRY_PAUSE:?}");
                    }
                    has_failed = true;
                }
                Err(fault) => {
                    error!(error = %fault, updates = updates.len(), "a commit was refused");
                    return (updates, Ended::Refused);
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return (updates, Ended::Stopped),
                () = tokio::time::sleep(RETRY_PAUSE) => {}
            }
        }
    }
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
