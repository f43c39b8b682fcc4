//! The publishers of the soak: many hosts on loopback, whose feeds say something new at a share of the requests, so that
//! older entries drop out of their documents for good.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use fastrand::Rng;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use listend::model::Timestamp;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::process::now;

/// Entries in a document.
pub(crate) const WINDOW: u64 = 15;
/// Feeds on one host.
const FEEDS_A_HOST: u64 = 20;
/// Tries to find a port that is free on every host.
const MAX_TRIES: usize = 20;

/// All feeds.
pub(crate) struct Origin {
    port: u16,
    /// Of each feed, how many entries it has said.
    said: Vec<AtomicU64>,
    /// The share of requests at which a feed says something new.
    changing: f64,
    /// When the first entries were said.
    epoch: Timestamp,
    /// Requests answered.
    pub(crate) requests: AtomicU64,
    /// Requests of those answered with a document.
    pub(crate) whole: AtomicU64,
}

impl Origin {
    /// Serves as long as the tasks are kept, one for each host.
    pub(crate) async fn start(feeds: u64, changing: f64) -> anyhow::Result<(Arc<Self>, JoinSet<()>)> {
        let (port, listeners) = bind(feeds.div_ceil(FEEDS_A_HOST)).await?;
        let origin = Arc::new(Self {
            port,
            said: (0..feeds).map(|_| AtomicU64::new(WINDOW)).collect(),
            changing,
            epoch: now(),
            requests: AtomicU64::new(0),
            whole: AtomicU64::new(0),
        });
        let mut hosts = JoinSet::new();
        for listener in listeners {
            hosts.spawn(accept(listener, Arc::clone(&origin)));
        }
        Ok((origin, hosts))
    }

    /// Every host.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = SocketAddr> {
        let hosts = (self.said.len() as u64).div_ceil(FEEDS_A_HOST);
        (0..hosts).map(|number| host(number, self.port))
    }

    /// The address of a feed.
    pub(crate) fn url(&self, feed: u64) -> String {
        format!("http://{}/{feed}", host(feed / FEEDS_A_HOST, self.port))
    }

    /// Entries said so far, those of the first documents included.
    pub(crate) fn said(&self) -> u64 {
        self.said.iter().map(|said| said.load(Relaxed)).sum()
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        self.requests.fetch_add(1, Relaxed);
        let feed = request.uri().path().trim_start_matches('/').parse::<u64>().ok();
        let Some((feed, said)) = feed.and_then(|feed| Some((feed, self.said.get(feed as usize)?))) else {
            let mut nothing = Response::new(Full::default());
            *nothing.status_mut() = StatusCode::NOT_FOUND;
            return nothing;
        };
        #[expect(clippy::disallowed_methods, reason = "the world outside is not to be foreseen")]
        let is_new = fastrand::f64() < self.changing;
        let said = said.fetch_add(u64::from(is_new), Relaxed) + u64::from(is_new);
        let etag = format!("\"{said}\"");
        let seen = request.headers().get(IF_NONE_MATCH).and_then(|seen| seen.to_str().ok());
        let head = Response::builder().header(ETAG, &etag);
        let (head, body) = if seen == Some(etag.as_str()) {
            (head.status(StatusCode::NOT_MODIFIED), String::new())
        } else {
            self.whole.fetch_add(1, Relaxed);
            (head.header(CONTENT_TYPE, "application/rss+xml"), self.document(feed, said))
        };
        head.body(Full::new(body.into())).expect("all fields are printable")
    }

    /// The last [`WINDOW`] of so many entries of a feed.
    fn document(&self, feed: u64, said: u64) -> String {
        let url = self.url(feed);
        let mut out = format!(
            "<?xml version=\"1.0\"?><rss version=\"2.0\"><channel><title>Voice {feed}</title><link>{url}/</link>\n"
        );
        for entry in (said - WINDOW..said).rev() {
            let mut chance = Rng::with_seed(feed << 32 | entry);
            let at = self.epoch.plus(Duration::from_secs(entry)).to_rfc822();
            // Writing into a String never fails.
            let _ = write!(
                out,
                "<item><guid>{url}/{entry}</guid><link>{url}/{entry}</link><title>Word {entry}</title>\
                 <pubDate>{at}</pubDate><description>&lt;p&gt;"
            );
            for word in 0..chance.u8(40..120) {
                let letters = chance.usize(2..9);
                out.extend((0..letters).map(|_| chance.lowercase()));
                out.push_str(if word % 12 == 11 { ". " } else { " " });
            }
            let neighbour = self.url(chance.u64(0..self.said.len() as u64));
            let _ = write!(out, "&lt;a href=\"{neighbour}/{}\"&gt;more&lt;/a&gt;&lt;/p&gt;", chance.u64(0..WINDOW));
            out.push_str("</description></item>\n");
        }
        out.push_str("</channel></rss>\n");
        out
    }
}

/// 127.0.0.1, 127.0.0.2, … 127.0.0.250, 127.0.1.1, …
fn host(number: u64, port: u16) -> SocketAddr {
    (Ipv4Addr::new(127, 0, (number / 250) as u8, (number % 250) as u8 + 1), port).into()
}

/// A listener for each host, all on the same port.
async fn bind(hosts: u64) -> anyhow::Result<(u16, Vec<TcpListener>)> {
    let mut last = None;
    for _ in 0..MAX_TRIES {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = first.local_addr()?.port();
        let mut listeners = vec![first];
        for number in 1..hosts {
            match TcpListener::bind(host(number, port)).await {
                Ok(listener) => listeners.push(listener),
                Err(error) => {
                    last = Some(error);
                    break;
                }
            }
        }
        if listeners.len() as u64 == hosts {
            return Ok((port, listeners));
        }
    }
    let error = last.context("no listener failed")?;
    Err(error).with_context(|| format!("no port is free on {hosts} loopback addresses (see `ulimit -n`)"))
}

async fn accept(listener: TcpListener, origin: Arc<Origin>) {
    let connections = TaskTracker::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: connections that end will free some.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let origin = Arc::clone(&origin);
        connections.spawn(async move {
            let _ = stream.set_nodelay(true);
            let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(origin.answer(&request))));
            // Whoever goes away early is nobody's fault here.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
