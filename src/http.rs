//! Requests and answers: routes, access, conditional requests, kept pages.
//!
//! Answers are made from the present ([`crate::listen::live`]) and a view of the store. Knows nothing of fetching or of
//! the schedule.

pub mod access;
mod answer;
mod answered;
pub mod conditional;
mod form;
mod kept;
pub mod metrics;
mod overview;
mod pages;
pub mod query;
mod routes;
mod stall;
pub mod status;
mod topics;
pub mod webmention;
pub mod websub;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
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
use metrics::Metrics;
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
/// Connections held at once; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;
/// Time for a request's head, and for the next one on a connection that was kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest request head.
const MAX_HEADER_BYTES: usize = 16 << 10;
/// How long a client may take none of the bytes that wait for it.
const WRITE_STALL: Duration = Duration::from_secs(30);
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

    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers go out in one write; waiting for more would only delay their end.
                let _ = stream.set_nodelay(true);
                Ok(Box::new(stream))
            }
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How often the server says that it is alive.
const BEAT: Duration = Duration::from_secs(5);

/// Serves until `shutdown`, then lets open connections finish for at most 15 s. Calls `beat` every few seconds while it
/// can accept.
pub async fn serve(listener: Listener, app: Arc<App>, shutdown: CancellationToken, beat: impl Fn()) {
    let mut beats = tokio::time::interval(BEAT);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            _ = beats.tick() => {
                beat();
                continue;
            }
            accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (listener.accept().await, place)
            } => accepted,
        };
        let stream = match accepted.0 {
            Ok(stream) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: connections that end will free some.
                warn!(%error, "a connection could not be accepted; trying again in 100 ms");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let app = Arc::clone(&app);
        let service = service_fn(move |request| routes::answer(&app, request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(Stalling::new(stream, WRITE_STALL)), service);
        let watched = graceful.watch(connection);
        let place = accepted.1;
        connections.spawn(async move {
            if let Err(error) = watched.await {
                debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    let drained = async {
        graceful.shutdown().await;
        connections.wait().await;
    };
    if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
        warn!("some connections did not end in time and are cut off");
    }
}
