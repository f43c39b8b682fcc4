//! The one writer: gathers finished fetches into group commits, and waits out a disk that cannot be written.
//!
//! What brings something is written soon, and whoever brought it waits until it is durable. Most answers bring nothing:
//! only the time changes at which the feed is asked next. Those states are noted, which a kill does not undo, and go with
//! the next commit, or after a while in one of their own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::pulse::{self, Pulse};
use super::{blocking, moment};
use crate::http::metrics::Metrics;
use crate::model::Feed;
use crate::store::{FeedUpdate, Noted, Store};

/// From so many updates on, a commit waits for no more.
const MAX_BATCH: usize = 256;
/// How long the first finished fetch of a commit waits for others: a commit costs the disk the same for one or a hundred.
const GATHERING: Duration = Duration::from_millis(15);
/// A commit of few updates begins so long after the last one at the earliest. One costs about a millisecond of processor
/// time however little is in it; a feed that changes alone after a while is committed at once all the same.
const BETWEEN_SMALL: Duration = Duration::from_millis(200);
/// So many updates are no longer few: somebody else waits for their visits to end.
const FEW: usize = 16;
/// How long noted states wait for a commit: so many of them share it that it costs each next to nothing.
const GATHERING_STATES: Duration = Duration::from_secs(10);
/// Pause before a failed commit is tried again. Meanwhile nothing is acknowledged, so fetching comes to rest by itself.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// Where finished fetches are handed in.
#[derive(Clone, Debug)]
pub(super) struct Commits {
    store: Arc<Store>,
    pending: mpsc::Sender<Pending>,
    /// Told of the first state that is noted for a commit.
    noted: Arc<Notify>,
}

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
        self.pending.send(Pending { updates, done }).await.map_err(|_| NotWritten)?;
        written.await.map_err(|_| NotWritten)
    }

    /// Keeps the state of a feed of which nothing else has changed. Returns at once, but where it cannot be noted: then it
    /// waits like everything else, which brings fetching to rest while the disk is at fault. Noting is one write into the
    /// page cache, which takes less time than to hand it to another thread.
    pub(super) async fn write_soon(&self, feed: &Feed) -> Result<(), NotWritten> {
        match self.store.note_state(feed) {
            Ok(Noted::First) => self.noted.notify_one(),
            Ok(Noted::Also) => {}
            // The writer finds out what is wrong with the disk, and says so.
            Ok(Noted::NoRoom) | Err(_) => {
                let feed = feed.clone();
                let update = FeedUpdate { feed, changes: Vec::new(), said: Vec::new(), events: Vec::new() };
                self.write(vec![update]).await?;
            }
        }
        Ok(())
    }

    /// Returns once every state that was noted before is stored, or cannot be.
    pub(super) async fn settle(&self) {
        if self.store.has_noted() {
            // A commit takes all of them along, also one of nothing.
            let _ = self.write(Vec::new()).await;
        }
    }
}

/// The writer's task.
#[derive(Debug)]
pub(super) struct Writer {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    pulse: Arc<Pulse>,
    pending: mpsc::Receiver<Pending>,
    noted: Arc<Notify>,
    /// When the last commit ended.
    last: Option<Instant>,
    stop: CancellationToken,
}

pub(super) fn new(
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    pulse: Arc<Pulse>,
    stop: CancellationToken,
) -> (Commits, Writer) {
    let (sender, pending) = mpsc::channel(MAX_BATCH);
    let noted = Arc::new(Notify::new());
    let commits = Commits { store: Arc::clone(&store), pending: sender, noted: Arc::clone(&noted) };
    (commits, Writer { store, metrics, pulse, pending, noted, last: None, stop })
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
            let brings_something = !parts.is_empty() || self.store.has_noted();
            if !self.write(parts).await || is_last {
                return;
            }
            if brings_something {
                self.last = Some(moment());
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
                        updates += pending.updates.len();
                        let latest = match self.last.map(|last| last + BETWEEN_SMALL) {
                            // Whoever waits for all that was handed in before brings nothing, and waits for nothing more.
                            _ if pending.updates.is_empty() => now,
                            Some(next) if updates < FEW => next.max(now + GATHERING),
                            _ => now + GATHERING,
                        };
                        until = Some(until.map_or(latest, |until| until.min(latest)));
                        batch.parts.push(pending);
                    }
                    None => return Batch { is_last: true, ..batch },
                },
                () = self.noted.notified() => until = until.or(Some(now + GATHERING_STATES)),
                () = tokio::time::sleep_until(wakes_at) => if until.is_some() { break },
            }
        }
        batch
    }

    /// Commits everything gathered at once, with all states that are noted. Where the store refuses that for what is in
    /// it, each part is committed on its own, so that one bad part costs nobody else anything. Returns whether to go on.
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
                // States that were to go along are still noted, and nobody else may come for long.
                Ended::Refused => self.noted.notify_one(),
                Ended::Stopped => return false,
            }
        }
        !matches!(ended, Ended::Stopped)
    }

    fn beat(&self) {
        self.pulse.beat(pulse::Part::Writer, moment());
    }

    /// Commits, again and again while the disk is at fault.
    async fn commit(&self, mut updates: Vec<FeedUpdate>) -> (Vec<FeedUpdate>, Ended) {
        if updates.is_empty() && !self.store.has_noted() {
            return (updates, Ended::Written);
        }
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
                    self.metrics.commit_failures.inc();
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
