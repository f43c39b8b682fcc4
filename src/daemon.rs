//! The clock, the due queue and every task: this is where the rooms are put together.
//!
//! Owns when things happen. How they happen is the rooms' business; formats it does not know at all.

mod backup;
mod gate;
mod hear;
mod includes;
mod moves;
mod notices;
mod ping;
mod poll;
mod progress;
mod pulse;
mod reload;
mod seek;
mod sweep;
mod visit;
mod webmention;
mod websub;
mod writer;

pub use backup::{export_to, newest_backup};
pub use seek::{Found, Page, seek};
pub use visit::fetch_settings;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::http::metrics::Metrics;
use crate::http::webmention::Letterbox;
use crate::http::websub::Doors;
use crate::http::{self, App, Listener};
use crate::listen::live::Live;
use crate::lists::watch::Watcher;
use crate::model::Timestamp;
use crate::store::{OpenError, Store};
use gate::Gate;
use poll::{Order, Poller};
use pulse::Pulse;
use reload::Lists;
use webmention::Reception;
use websub::Hubs;

/// The time, for everything that happens here.
pub fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the daemon is the one place that asks the clock")]
    let now = SystemTime::now();
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// A point on the steady clock, for measuring how long something took.
fn moment() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the daemon is the one place that asks the clock")]
    Instant::now()
}

/// A number in [0, 1).
fn chance() -> f64 {
    #[expect(clippy::disallowed_methods, reason = "the daemon is the one place that draws")]
    fastrand::f64()
}

/// What the world outside tells a running daemon.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    /// Stop: finish what is under way, within 15 s.
    pub shutdown: CancellationToken,
    /// Read the configuration again; keep the old one when the new one is bad.
    pub reload: Arc<Notify>,
}

/// Visits that wait to be looked at for the hubs that the feeds name.
const MAX_NOTES: usize = 1024;
/// How long tasks may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// What has come true between the keeper and the voices is first looked for so long after the start: it goes over
/// everything said lately, and by then also thousands of feeds that were due have been asked.
const FIRST_NOTICES: Duration = Duration::from_mins(2);
/// Afterwards not more often than this…
const NOTICES_PAUSE: Duration = Duration::from_mins(1);
/// …and so that the pauses are so many times as long as the work.
const NOTICES_WORK_SHARE: u32 = 50;

/// Opens the database that the configuration names.
pub async fn open_store(config: &Config) -> Result<Arc<Store>, OpenError> {
    let (state, cache_bytes) = (config.state.clone(), config.cache_bytes);
    let opening = tokio::task::spawn_blocking(move || Store::open(&state, cache_bytes));
    Ok(Arc::new(opening.await.expect("opening returns its errors")?))
}

/// Runs until `signals.shutdown`: watches the lists, fetches, stores, serves on `listener`. Calls `on_ready` once lists
/// are read and the listener is served, and `on_alive` every few seconds while scheduler, writer and server are alive.
pub async fn run(
    config: Config,
    store: Arc<Store>,
    listener: Listener,
    signals: Signals,
    on_ready: impl FnOnce(),
    on_alive: impl Fn(),
) -> anyhow::Result<()> {
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let live = Arc::new(Live::default());
    let stored = {
        let store = Arc::clone(&store);
        blocking(move || store.feeds()).await.context("the feeds could not be read from the database")?
    };
    live.update(stored.into_iter().map(|feed| (feed, true)));
    let metrics = Arc::new(Metrics::default());
    let (doors, calls) = Doors::new();
    let (letterbox, claims) = Letterbox::new();
    let app =
        App::new(Arc::clone(&live), Arc::clone(&store), config.clone(), Arc::clone(&metrics), doors, letterbox, now);
    let app = Arc::new(app);

    let stop = signals.shutdown.child_token();
    let pulse = Arc::new(Pulse::new(moment()));
    let (commits, writing) = writer::new(Arc::clone(&store), Arc::clone(&metrics), Arc::clone(&pulse), stop.clone());
    let is_reachable = listener.local_addr().is_some_and(|address| !address.ip().is_loopback());
    let visits = Gate::new(commits.clone());
    let (notes, noted) = mpsc::channel(MAX_NOTES);
    let (poller, orders) =
        Poller::new(&config, Arc::clone(&app), commits, Gate::clone(&visits), Arc::clone(&pulse), notes, stop.clone())?;
    let (includes, remote) =
        includes::open(Arc::clone(&app), poller.visitor().turns(), orders.clone(), stop.clone()).await?;
    let mut remotes = remote.remotes.clone();
    let mut lists = Lists::open(&config, Arc::clone(&live), Arc::clone(&store), Gate::clone(&visits), remote).await?;
    // What is saved after this is noticed, so the lists are read after it.
    let mut watcher = Watcher::start(&config.lists);
    if let Some(fault) = watcher.fault() {
        warn!(fault, "the lists directory cannot be watched; it is read every second instead");
    }
    let followed = lists.reload(now()).await?;
    hear::begin(&app).await.context("what was heard could not be read")?;

    let beat_of_server = {
        let pulse = Arc::clone(&pulse);
        move || pulse.beat(pulse::Part::Server, moment())
    };
    let feed_watchdog = async {
        let mut beats = tokio::time::interval(pulse::BEAT);
        loop {
            beats.tick().await;
            if pulse.is_alive(moment()) {
                on_alive();
            }
        }
    };
    tokio::pin!(feed_watchdog);
    let mut tasks = JoinSet::new();
    tasks.spawn(named("writer", writing.run()));
    let visitor = poller.visitor();
    let hubs = Hubs::open(Arc::clone(&app), Arc::clone(&visitor), orders.clone(), calls, noted, stop.clone());
    tasks.spawn(named("hubs", hubs.await.context("what was agreed with hubs could not be read")?.run()));
    let reception = Reception::new(Arc::clone(&app), visitor.turns(), orders.clone(), claims, stop.clone());
    tasks.spawn(named("reception of Webmentions", reception.run()));
    tasks.spawn(named("pings", ping::run(Arc::clone(&app), visitor, stop.clone())));
    tasks.spawn(named("poller", poller.run()));
    tasks.spawn(named("asker of remote lists", includes.run()));
    tasks.spawn(named("hearer", hear::run(Arc::clone(&app), Gate::clone(&visits), stop.clone())));
    tasks.spawn(named("teller of progress", progress::run(Arc::clone(&app), stop.clone())));
    let reconfigured = Arc::new(Notify::new());
    tasks.spawn(named("sweeper", sweep::run(Arc::clone(&app), visits, Arc::clone(&reconfigured), stop.clone())));
    tasks.spawn(named("maker of backups", backup::run(Arc::clone(&app), stop.clone())));
    let pauses = notices::Pauses { first: FIRST_NOTICES, least: NOTICES_PAUSE, work_share: NOTICES_WORK_SHARE };
    tasks.spawn(named("teller of notices", notices::run(Arc::clone(&app), pauses, stop.clone())));
    tasks.spawn(named("server", http::serve(listener, Arc::clone(&app), stop.clone(), beat_of_server)));
    if let Some(feeds) = followed {
        orders.send(Order::Follow(feeds)).await.ok();
    }
    app.set_ready();
    info!(version = env!("CARGO_PKG_VERSION"), url = %app.config.load().server.base_url, "listening");
    on_ready();

    let outcome = loop {
        tokio::select! {
            biased; // Asked to stop, the tasks end too: that is no fault.
            () = stop.cancelled() => break Ok(()),
            Some(ended) = tasks.join_next() => break Err(unexpected(ended)),
            () = watcher.changed() => {}
            Ok(()) = remotes.changed() => {}
            () = &mut feed_watchdog => {}
            () = signals.reload.notified() => {
                let Some(new) = reread(&app.config.load(), is_reachable).await else { continue };
                if new.lists != app.config.load().lists {
                    watcher = Watcher::start(&new.lists);
                }
                lists.configure(&new);
                orders.send(Order::Configure(Box::new(new.clone()))).await.ok();
                app.set_config(new);
                reconfigured.notify_one();
            }
        }
        match lists.reload(now()).await {
            Ok(Some(feeds)) => {
                orders.send(Order::Follow(feeds)).await.ok();
            }
            Ok(None) => {}
            Err(error) => {
                warn!(%error, "the lists could not be taken over; trying again at the next change or in 60 s");
            }
        }
    };
    info!("stopping");
    stop.cancel();
    // The writer ends when nobody is left who could hand in something.
    drop((orders, lists));
    let ending = async {
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                error!(%error, "a task ended badly while stopping");
            }
        }
    };
    if tokio::time::timeout(STOP_TIMEOUT, ending).await.is_err() {
        warn!("some tasks did not end in time and are cut off; what was acknowledged is stored");
    }
    outcome
}

/// Runs a task, and says its name when it is over.
async fn named(name: &'static str, task: impl Future<Output = ()>) -> &'static str {
    task.await;
    name
}

/// Tasks end only when they are told to; anything else is a fault that a restart mends.
fn unexpected(ended: Result<&'static str, tokio::task::JoinError>) -> anyhow::Error {
    match ended {
        Ok(name) => anyhow::anyhow!("the {name} ended without being asked to"),
        Err(error) => anyhow::anyhow!("a task ended badly: {error}"),
    }
}

/// Reads the configuration again; a bad one is reported and the one in force stays.
async fn reread(old: &Config, is_reachable: bool) -> Option<Config> {
    let file = old.file.clone();
    // Without a file so far, one may have been written since.
    let read = blocking(move || Config::load(file.as_deref(), Path::new("."))).await;
    let mut new = match read {
        Ok(new) => new,
        Err(error) => {
            error!(%error, "the new configuration is bad; the old one stays in force");
            return None;
        }
    };
    // What was bound at the start stays bound, so it is what the rule is held against.
    if is_reachable && new.server.tokens.is_empty() && !new.server.public {
        error!(
            "the new configuration would let everybody read who reaches the address: set server.tokens or server.public; the old one stays in force"
        );
        return None;
    }
    if new.state != old.state || new.server.listen != old.server.listen {
        warn!("a change of state or server.listen takes effect at the next start");
        new.state.clone_from(&old.state);
        new.server.listen = old.server.listen.clone();
    }
    if !new.server.is_base_url_set || new.server.base_url.port() == Some(0) {
        new.server.base_url = old.server.base_url.clone();
    }
    for warning in &new.warnings {
        warn!("{warning}");
    }
    info!("the configuration was read again");
    Some(new)
}

/// Runs what waits for a disk or a processor away from the tasks that wait for sockets.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(fault) => std::panic::resume_unwind(fault.into_panic()),
    }
}
