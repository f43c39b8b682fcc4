//! Requests and answers: routes, access, conditional requests, kept pages.
//!
//! Answers are made from the present ([`crate::listen::live`]) and a view of the store. Knows nothing of fetching or of
//! the schedule.

pub mod access;
mod answer;
mod answered;
mod arriving;
pub mod conditional;
mod filed;
mod form;
mod kept;
pub mod metrics;
mod overview;
mod pages;
mod places;
pub mod query;
mod routes;
mod stall;
pub mod status;
mod topics;
pub mod webmention;
pub mod websub;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::config::Config;
use crate::listen::live::Live;
use crate::listen::relations::Relations;
use crate::model::Timestamp;
use crate::store::Store;
use filed::{Source, Spout, Stream};
use metrics::Metrics;
use places::{LEAVING, Places, Seat};
use stall::Stalling;

/// Everything that answers are made from.
#[derive(Debug)]
pub struct App {
    /// The present.
    pub live: Arc<Live>,
    /// The entries.
    pub store: Arc<Store>,
    /// The configuration in force.
    pub config: ArcSwap<Config>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is between you and the voices.
    pub relations: Relations,
    clock: fn() -> Timestamp,
    started_at: Timestamp,
    is_ready: AtomicBool,
    /// Where hubs come to.
    pub doors: websub::Doors,
    /// Where others tell of their links.
    pub letterbox: webmention::Letterbox,
    asked: topics::Asked,
    pages: kept::Pages,
    // Held while contact is noted down.
    noting: Mutex<()>,
    // Rendering is the processor's work: more at once than it has cores helps nobody.
    rendering: Semaphore,
}

/// Pages rendered at once.
const MAX_RENDERINGS: usize = 4;
/// Connections held at once. When nearly all places are taken, the longest idle leave for whoever comes next; while none is
/// idle, who comes waits to be accepted.
const MAX_CONNECTIONS: usize = 1024;
/// Of these, connections of one client from another machine: enough for a proxy there, and three quarters stay for others.
const MAX_CONNECTIONS_PER_PEER: usize = 256;
/// Time for a request's head, and for the next one on a connection that was kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest request head.
const MAX_HEADER_BYTES: usize = 16 << 10;
/// How long a client may take none of the bytes that wait for it.
const WRITE_STALL: Duration = Duration::from_secs(30);
/// How long a kept connection may still bring a request after the daemon was asked to stop. Whoever is busy asks again
/// within that time and is told to go on elsewhere; closed at once, the connection would be reset under a request that is
/// already on its way.
const LINGER: Duration = Duration::from_secs(1);
/// How long connections may take to finish after the daemon was asked to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);

impl App {
    /// Puts together what answers are made from. `clock` tells the time.
    pub fn new(
        live: Arc<Live>,
        store: Arc<Store>,
        config: Config,
        metrics: Arc<Metrics>,
        doors: websub::Doors,
        letterbox: webmention::Letterbox,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self {
            live,
            store,
            config: ArcSwap::from_pointee(config),
            metrics,
            relations: Relations::default(),
            started_at: clock(),
            clock,
            is_ready: AtomicBool::new(false),
            doors,
            letterbox,
            asked: topics::Asked::default(),
            pages: kept::Pages::default(),
            noting: Mutex::default(),
            rendering: Semaphore::new(MAX_RENDERINGS),
        }
    }

    /// Says that the lists are read and the store is open: `/readyz` answers 200 from now on.
    pub fn set_ready(&self) {
        self.is_ready.store(true, Ordering::Release);
    }

    /// Whether the lists are read and the store is open.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// Puts a new configuration in force; pages rendered with the old one go.
    pub fn set_config(&self, config: Config) {
        self.config.store(Arc::new(config));
        self.pages.clear();
    }
}

/// A socket that clients connect to.
#[derive(Debug)]
pub enum Listener {
    /// A TCP socket.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl Listener {
    /// The TCP address that it is bound to; `None` for a Unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// The next connection, and from where it comes; a Unix socket's come from this machine.
    async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Answers go out in one write; waiting for more would only delay their end.
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), Some(peer.ip())))
            }
            Self::Unix(listener) => Ok((Stream::Unix(listener.accept().await?.0), None)),
        }
    }
}

/// How often the server says that it is alive.
const BEAT: Duration = Duration::from_secs(5);

/// Serves until `shutdown`, then lets open connections finish for at most 15 s; each answer says then that its connection
/// ends. Calls `beat` every few seconds while its loop turns, also while all places are taken.
pub async fn serve(listener: Listener, app: Arc<App>, shutdown: CancellationToken, beat: impl Fn()) {
    let mut beats = tokio::time::interval(BEAT);
    let places = Arc::new(Places::new(MAX_CONNECTIONS, MAX_CONNECTIONS_PER_PEER));
    let connections = TaskTracker::new();
    loop {
        let (accepted, place) = tokio::select! {
            () = shutdown.cancelled() => break,
            _ = beats.tick() => {
                beat();
                continue;
            }
            accepted = async {
                let place = places.place().await;
                (listener.accept().await, place)
            } => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: connections that end will free some.
                warn!(%error, "a connection could not be accepted; trying again in 100 ms");
                places.make_room();
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(seat) = place.and_then(|place| places.seat(peer, place)) else {
            debug!(?peer, "a connection was refused: its client keeps as many busy as one may have");
            continue;
        };
        connections.spawn(attend(stream, Arc::clone(&app), seat, shutdown.clone()));
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, connections.wait()).await.is_err() {
        warn!("some connections did not end in time and are cut off");
    }
}

/// Counts a connection for as long as it is open.
struct Counted<'a>(&'a Gauge);

impl<'a> Counted<'a> {
    fn new(connections: &'a Gauge) -> Self {
        connections.inc();
        Self(connections)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Answers the requests of one connection, until it ends, its place is wanted for another, or the daemon stops.
async fn attend(stream: Stream, app: Arc<App>, seat: Seat, shutdown: CancellationToken) {
    let _counted = Counted::new(&app.metrics.connections);
    let was_asked = AtomicBool::new(false);
    let (seat, source) = (Arc::new(seat), Arc::<Source>::default());
    let service = service_fn(|request| {
        was_asked.store(true, Ordering::Relaxed);
        seat.begin();
        let answering = routes::answer(&app, request, &seat);
        async {
            let mut answer = answering.await;
            if let Ok(answer) = &answer {
                source.set(answer.body().filed());
            }
            if let Ok(answer) = &mut answer
                && shutdown.is_cancelled()
            {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            seat.rest();
            answer
        }
    });
    let stream = Spout::new(stream, Arc::clone(&source));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(Stalling::new(stream, Arc::clone(&seat), WRITE_STALL)), service);
    tokio::pin!(connection);
    let is_unwanted = tokio::select! {
        ended = connection.as_mut() => return log_end(ended),
        () = async {
            shutdown.cancelled().await;
            tokio::time::sleep(LINGER).await;
        } => false,
        () = seat.leave.cancelled() => true,
    };
    if is_unwanted && (!was_asked.load(Ordering::Relaxed) || seat.is_stalled()) {
        // Nothing was asked in all that time, or nothing is taken of what was: it cannot be waited for.
        return;
    }
    connection.as_mut().graceful_shutdown();
    if !is_unwanted {
        return log_end(connection.await);
    }
    loop {
        match tokio::time::timeout(LEAVING, connection.as_mut()).await {
            Ok(ended) => return log_end(ended),
            // A request that came at the last moment is still answered.
            Err(_) if seat.is_busy() => {}
            Err(_) => return debug!("a connection whose place is wanted was cut off"),
        }
    }
}

fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
}
