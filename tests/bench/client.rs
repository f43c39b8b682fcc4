//! The yardstick: a client as one writes it in an afternoon, which asks every feed, 64 at once, and keeps nothing but the
//! `ETag`. With `--parse` it reads the documents with feed-rs. No daemon that asks politely, compares, cleans and stores
//! can be cheaper for long; the question is by how much it is dearer.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, ensure};
use reqwest::StatusCode;
use reqwest::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::farm::Farm;
use super::process::{cpu_seconds, memory_mib};

/// Requests at once.
const AT_ONCE: usize = 64;
/// Requests that send back an `ETag`, at least: the kernel counts in hundredths of a second.
const CONDITIONAL_REQUESTS: u32 = 8000;
/// Passes over all feeds that send them back, at most.
const MAX_PASSES: u32 = 20;

/// What it took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Passes {
    /// Microseconds of processor time a feed for the first pass: all are whole.
    pub(crate) cold_us: f64,
    /// The same for a pass where all are 304.
    pub(crate) unchanged_us: f64,
    /// Memory at most, in MiB.
    pub(crate) peak_mib: f64,
    /// Entries read; 0 where nothing was read.
    pub(crate) entries: usize,
}

struct Client {
    http: reqwest::Client,
    urls: Vec<String>,
    etags: Vec<Mutex<Option<HeaderValue>>>,
    parses: bool,
}

/// Asks all feeds some times, and says what it took. Trusts the certificate in `root` where the farm has TLS.
pub(crate) async fn ask_all(farm: &Farm, root: &Path, parses: bool) -> anyhow::Result<Passes> {
    // reqwest was built without a choice of its own; there is none before this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    #[expect(clippy::disallowed_methods, reason = "it is the yardstick, and asks nobody but the farm")]
    let mut builder = reqwest::Client::builder().no_proxy();
    if farm.tls {
        let root = reqwest::Certificate::from_pem(&std::fs::read(root)?)?;
        builder = builder.tls_certs_only([root]);
    }
    let urls: Vec<String> = (0..farm.feeds).map(|feed| farm.url(feed)).collect();
    let etags = urls.iter().map(|_| Mutex::default()).collect();
    let client = Arc::new(Client { http: builder.build()?, urls, etags, parses });
    let feeds = f64::from(farm.feeds);
    let (cold, entries) = pass(&client, StatusCode::OK).await?;
    let passes = CONDITIONAL_REQUESTS.div_ceil(farm.feeds).min(MAX_PASSES);
    let mut unchanged = 0.0;
    for _ in 0..passes {
        unchanged += pass(&client, StatusCode::NOT_MODIFIED).await?.0;
    }
    Ok(Passes {
        cold_us: cold / feeds * 1e6,
        unchanged_us: unchanged / f64::from(passes) / feeds * 1e6,
        peak_mib: memory_mib("self", "VmHWM")?,
        entries,
    })
}

/// Asks every feed once; all must give this status. Returns seconds of processor time, and how many entries were read.
async fn pass(client: &Arc<Client>, expected: StatusCode) -> anyhow::Result<(f64, usize)> {
    let before = cpu_seconds("self")?;
    let next = Arc::new(AtomicUsize::new(0));
    let mut askers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (client, next) = (Arc::clone(client), Arc::clone(&next));
        askers.spawn(async move {
            let mut entries = 0;
            loop {
                let feed = next.fetch_add(1, Relaxed);
                let Some(url) = client.urls.get(feed) else { return anyhow::Ok(entries) };
                entries += client.ask(feed, url, expected).await.with_context(|| url.clone())?;
            }
        });
    }
    let mut entries = 0;
    while let Some(asked) = askers.join_next().await {
        entries += asked??;
    }
    Ok((cpu_seconds("self")? - before, entries))
}

impl Client {
    async fn ask(&self, feed: usize, url: &str, expected: StatusCode) -> anyhow::Result<usize> {
        let etag = || self.etags[feed].lock().unwrap_or_else(PoisonError::into_inner);
        let mut request = self.http.get(url);
        let seen = etag().clone();
        if let Some(seen) = seen {
            request = request.header(IF_NONE_MATCH, seen);
        }
        let response = request.send().await?;
        let status = response.status();
        ensure!(status == expected, "{status} and not {expected}");
        if let Some(fresh) = response.headers().get(ETAG) {
            *etag() = Some(fresh.clone());
        }
        let body = response.bytes().await?;
        if !self.parses || body.is_empty() {
            return Ok(0);
        }
        Ok(feed_rs::parser::parse(&body[..])?.entries.len())
    }
}
