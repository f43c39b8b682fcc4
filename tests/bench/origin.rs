//! The publishers: a process of its own that serves every feed of the farm, and counts what it is asked.
//!
//! Feeds have `ETag`, `Last-Modified` and gzip, compressed once and kept. A further port, on plain HTTP, is for whoever
//! measures: `GET /counts`, `POST /advance?share=0.05`, `POST /post?feed=7`, `POST /reset`.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use fastrand::Rng;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
    VARY,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use listend::model::Timestamp;
use rustls::HandshakeKind;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::document;
use super::farm::Farm;
use super::process::now;

/// What the origin says on standard output once it serves.
#[derive(Serialize, Deserialize)]
pub(crate) struct Open {
    /// The port of all hosts.
    pub(crate) port: u16,
    /// The port of 127.0.0.1 for whoever measures.
    pub(crate) control: u16,
}

/// What was asked and answered since the start or the last reset.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Requests for feeds.
    pub(crate) requests: u64,
    /// Those answered with a document.
    pub(crate) whole: u64,
    /// Those answered 304.
    pub(crate) unchanged: u64,
    /// Bytes of the documents, before compression.
    pub(crate) plain_bytes: u64,
    /// Bytes of the bodies as sent.
    pub(crate) sent_bytes: u64,
    /// Connections accepted.
    pub(crate) connections: u64,
    /// Full TLS handshakes.
    pub(crate) handshakes: u64,
    /// TLS sessions resumed.
    pub(crate) resumed: u64,
    /// When the feed that posted last was first served with what it posted, in milliseconds since 1970; 0 before.
    pub(crate) served_at: i64,
}

#[derive(Default)]
struct Counters {
    whole: AtomicU64,
    unchanged: AtomicU64,
    plain_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    connections: AtomicU64,
    handshakes: AtomicU64,
    resumed: AtomicU64,
}

impl Counters {
    fn all(&self) -> [&AtomicU64; 7] {
        let Self { whole, unchanged, plain_bytes, sent_bytes, connections, handshakes, resumed } = self;
        [whole, unchanged, plain_bytes, sent_bytes, connections, handshakes, resumed]
    }
}

struct Origin {
    farm: Farm,
    /// The time that the first entries of all feeds lie before.
    epoch: Timestamp,
    shelves: Vec<Mutex<Shelf>>,
    counters: Counters,
    /// The feed that posted last.
    poster: AtomicU64,
    served_at: AtomicI64,
}

/// A feed: what it has posted since the start, and its document where that was asked for since.
#[derive(Default)]
struct Shelf {
    posted: Vec<Timestamp>,
    made: Option<Made>,
}

#[derive(Clone)]
struct Made {
    gzip: Bytes,
    plain_bytes: u64,
}

/// Tries to find a port that is free on every host.
const MAX_TRIES: usize = 20;

/// Serves until it is ended. Writes the certificate of its authority into `root` where it serves over TLS.
pub(crate) async fn serve(mut farm: Farm, root: &Path) -> anyhow::Result<Infallible> {
    let listeners = bind(&mut farm).await?;
    let control = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let open = Open { port: farm.port, control: control.local_addr()?.port() };
    let acceptors = if farm.tls { super::tls::acceptors(&farm, root)? } else { Vec::new() };
    let shelves = (0..=farm.feeds).map(|_| Mutex::default()).collect();
    let origin = Arc::new(Origin {
        epoch: now().minus(Duration::from_mins(10)),
        shelves,
        counters: Counters::default(),
        poster: AtomicU64::new(u64::MAX),
        served_at: AtomicI64::new(0),
        farm,
    });
    origin.write_all();
    let mut tasks = JoinSet::new();
    for (host, listener) in listeners.into_iter().enumerate() {
        tasks.spawn(accept(listener, acceptors.get(host).cloned(), Arc::clone(&origin), Origin::answer));
    }
    tasks.spawn(accept(control, None, origin, Origin::obey));
    {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", serde_json::to_string(&open)?)?;
        out.flush()?;
    }
    match tasks.join_next().await {
        Some(Err(fault)) => Err(fault).context("a host has fallen over"),
        _ => bail!("a host has closed"),
    }
}

/// A listener for each host, all on the same port.
async fn bind(farm: &mut Farm) -> anyhow::Result<Vec<TcpListener>> {
    let mut last = None;
    for _ in 0..MAX_TRIES {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        farm.port = first.local_addr()?.port();
        let mut listeners = vec![first];
        for host in 1..farm.hosts {
            match TcpListener::bind(farm.host(host)).await {
                Ok(listener) => listeners.push(listener),
                Err(error) => {
                    last = Some(error);
                    break;
                }
            }
        }
        if listeners.len() == farm.hosts as usize {
            return Ok(listeners);
        }
    }
    let error = last.context("no listener failed")?;
    Err(error).with_context(|| format!("no port is free on {} loopback addresses (see `ulimit -n`)", farm.hosts))
}

type Answer = Response<Full<Bytes>>;

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    origin: Arc<Origin>,
    answer: fn(&Origin, &Request<Incoming>) -> Answer,
) {
    let is_host = listener.local_addr().is_ok_and(|address| address.port() == origin.farm.port);
    let connections = TaskTracker::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: connections that end will free some.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (tls, origin) = (tls.clone(), Arc::clone(&origin));
        connections.spawn(async move {
            let _ = stream.set_nodelay(true);
            origin.counters.connections.fetch_add(u64::from(is_host), Relaxed);
            let Some(tls) = tls else { return converse(stream, &origin, answer).await };
            let Ok(stream) = tls.accept(stream).await else { return };
            let counters = &origin.counters;
            let is_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
            if is_resumed { &counters.resumed } else { &counters.handshakes }.fetch_add(1, Relaxed);
            converse(stream, &origin, answer).await;
        });
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    origin: &Origin,
    answer: fn(&Origin, &Request<Incoming>) -> Answer,
) {
    let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(origin, &request))));
    // Whoever goes away early is nobody's fault here.
    let _ = http1::Builder::new().keep_alive(!origin.farm.close).serve_connection(TokioIo::new(stream), service).await;
}

impl Origin {
    /// Writes every document once, so that nobody who is measured waits for it.
    fn write_all(&self) {
        let feeds: Vec<u32> = (0..=self.farm.feeds).collect();
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        std::thread::scope(|scope| {
            for some in feeds.chunks(feeds.len().div_ceil(threads)) {
                scope.spawn(move || {
                    for feed in some {
                        self.on_shelf(*feed, |shelf| self.make(*feed, shelf));
                    }
                });
            }
        });
    }

    fn on_shelf<T>(&self, feed: u32, work: impl FnOnce(&mut Shelf) -> T) -> T {
        work(&mut self.shelves[feed as usize].lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn make(&self, feed: u32, shelf: &mut Shelf) -> Made {
        let make = || {
            let plain = document::document(&self.farm, feed, self.epoch, &shelf.posted);
            let mut gzip = GzEncoder::new(Vec::with_capacity(plain.len() / 3), Compression::new(6));
            gzip.write_all(plain.as_bytes()).and_then(|()| gzip.finish()).map(|gzip| Made {
                // Without the room that was left: a hundred thousand of these are kept.
                gzip: gzip.into_boxed_slice().into(),
                plain_bytes: plain.len() as u64,
            })
        };
        shelf.made.get_or_insert_with(|| make().expect("writing into memory does not fail")).clone()
    }

    /// Answers whoever asks a feed.
    fn answer(&self, request: &Request<Incoming>) -> Answer {
        let field = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
        let Some(feed) = self.farm.feed_at(request.uri().path()) else {
            return plain(StatusCode::NOT_FOUND, "There is no such feed.\n");
        };
        let (count, modified) = self.on_shelf(feed, |shelf| {
            let count = shelf.posted.len() as u32;
            let newest = document::entries_in(feed) + count - 1;
            (count, document::published(feed, newest, self.epoch, &shelf.posted))
        });
        // Weak, as servers make it that compress: the same for both encodings (RFC 9110, section 8.8.1).
        let etag = format!("W/\"{feed}-{count}\"");
        let modified = modified.to_http_date();
        let is_same = match (field(IF_NONE_MATCH), field(IF_MODIFIED_SINCE)) {
            (Some(seen), _) => seen.split(',').any(|seen| seen.trim() == etag),
            (None, Some(since)) => since == modified,
            (None, None) => false,
        };
        let head =
            Response::builder().header(ETAG, etag).header(LAST_MODIFIED, modified).header(VARY, "Accept-Encoding");
        let (head, body) = if is_same {
            self.counters.unchanged.fetch_add(1, Relaxed);
            (head.status(StatusCode::NOT_MODIFIED), Bytes::new())
        } else {
            let made = self.on_shelf(feed, |shelf| self.make(feed, shelf));
            let head = head.header(CONTENT_TYPE, document::media_type(feed));
            let takes_gzip = field(ACCEPT_ENCODING).is_some_and(|takes| takes.contains("gzip"));
            self.counters.whole.fetch_add(1, Relaxed);
            self.counters.plain_bytes.fetch_add(made.plain_bytes, Relaxed);
            if takes_gzip { (head.header(CONTENT_ENCODING, "gzip"), made.gzip) } else { (head, unpacked(&made.gzip)) }
        };
        self.counters.sent_bytes.fetch_add(body.len() as u64, Relaxed);
        if !is_same && u64::from(feed) == self.poster.load(Relaxed) {
            let _ = self.served_at.compare_exchange(0, now().millis(), Relaxed, Relaxed);
        }
        head.body(Full::new(body)).expect("all fields are printable")
    }

    /// Answers whoever measures.
    fn obey(&self, request: &Request<Incoming>) -> Answer {
        let parameter = request.uri().query().and_then(|query| query.split_once('=')).map_or("", |(_, value)| value);
        let done = match (request.method(), request.uri().path()) {
            (&Method::GET, "/counts") => serde_json::to_string(&self.counts()).ok(),
            (&Method::POST, "/advance") => parameter.parse().ok().map(|share| self.advance(share).to_string()),
            (&Method::POST, "/post") => {
                let feed = parameter.parse().ok().filter(|feed| *feed <= self.farm.feeds);
                feed.map(|feed| self.post_noticed(feed))
            }
            (&Method::POST, "/reset") => Some(self.reset()),
            _ => None,
        };
        match done {
            Some(text) => plain(StatusCode::OK, text),
            None => plain(StatusCode::BAD_REQUEST, "That is not understood.\n"),
        }
    }

    fn counts(&self) -> Counts {
        let [whole, unchanged, plain_bytes, sent_bytes, connections, handshakes, resumed] =
            self.counters.all().map(|counter| counter.load(Relaxed));
        let served_at = self.served_at.load(Relaxed);
        let requests = whole + unchanged;
        Counts { requests, whole, unchanged, plain_bytes, sent_bytes, connections, handshakes, resumed, served_at }
    }

    /// A share of the feeds posts, each once; returns how many.
    fn advance(&self, share: f64) -> usize {
        let mut feeds: Vec<u32> = (0..self.farm.feeds).collect();
        Rng::with_seed(u64::from(self.farm.feeds)).shuffle(&mut feeds);
        feeds.truncate((feeds.len() as f64 * share.clamp(0.0, 1.0)).round() as usize);
        for feed in &feeds {
            self.post(*feed);
        }
        feeds.len()
    }

    fn post(&self, feed: u32) -> u32 {
        self.on_shelf(feed, |shelf| {
            shelf.posted.push(now());
            shelf.made = None;
            self.make(feed, shelf);
            document::entries_in(feed) + shelf.posted.len() as u32 - 1
        })
    }

    /// One feed posts, and it is noted when that is first served; returns the path of the new entry's page.
    fn post_noticed(&self, feed: u32) -> String {
        self.poster.store(u64::from(feed), Relaxed);
        let entry = self.post(feed);
        self.served_at.store(0, Relaxed);
        document::page(feed, entry)
    }

    /// All is as at the start; returns how many entries there are in all feeds that are listened to.
    fn reset(&self) -> String {
        for counter in self.counters.all() {
            counter.store(0, Relaxed);
        }
        for feed in 0..=self.farm.feeds {
            self.on_shelf(feed, |shelf| {
                if !shelf.posted.is_empty() {
                    *shelf = Shelf::default();
                    self.make(feed, shelf);
                }
            });
        }
        (0..self.farm.feeds).map(|feed| u64::from(document::entries_in(feed))).sum::<u64>().to_string()
    }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}

fn unpacked(gzip: &Bytes) -> Bytes {
    let mut plain = Vec::new();
    GzDecoder::new(&gzip[..]).read_to_end(&mut plain).expect("it was packed here");
    plain.into()
}
