//! One request, from a conditional GET through its redirects to a bounded body.
//!
//! Owns the daemon's only HTTP client: what it sends, whom it may dial (by `address`), how far it follows, how long it
//! waits and how much it takes. Knows nothing of schedules, of hosts' queues, or of what the body means.

mod answer;
mod body;
mod budget;
mod connect;
mod failure;
mod headers;
mod hops;
mod post;
mod request;
mod sessions;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use hyper::header::HeaderValue;

use self::budget::{Budget, MAX_BODIES_BYTES};
use self::connect::Http;
use super::address::{Guard, Lookup};
use crate::model::{FeedUrl, Timestamp, Validators};

pub use self::answer::{Answer, Hop};
pub use self::body::unpacked;
pub use self::failure::Failure;
pub use self::post::Posted;

/// What to send as `Accept` when a feed is wanted; a home page will do, since a feed can be found from it.
pub const ACCEPT_FEED: &str = "application/atom+xml, application/rss+xml, application/feed+json, \
     application/rdf+xml;q=0.9, application/xml;q=0.8, text/xml;q=0.8, application/json;q=0.7, text/html;q=0.4, */*;q=0.1";

/// Most redirects followed for one request.
pub const MAX_HOPS: usize = 5;
/// Most bytes of response headers, names and values together.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;

/// How the client behaves. The defaults are those of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For everything from the first hop to the end of the body.
    pub timeout: Duration,
    /// For resolving the name, connecting and TLS, at each hop.
    pub connect_timeout: Duration,
    /// Until the response's headers are there, counted from the start of each hop.
    pub first_byte_timeout: Duration,
    /// Most bytes of a body, decoded.
    pub max_body_bytes: usize,
    /// A URL about whoever runs this daemon, put into the `User-Agent`.
    pub contact: Option<String>,
    /// Which addresses may be dialled.
    pub guard: Guard,
    /// Where names are looked up.
    pub lookup: Lookup,
    /// Certificates (DER) to trust instead of the system's; for origins on loopback.
    pub roots: Option<Vec<Vec<u8>>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(10),
            max_body_bytes: 5 * 1024 * 1024,
            contact: None,
            guard: Guard::default(),
            lookup: Lookup::System,
            roots: None,
        }
    }
}

/// Held while a request that was given its turn is under way.
pub type Pass = Box<dyn Send>;

/// Asked with a host's name and port before a redirect is followed to another host than the first: resolves when the
/// request may go, or to `None` where it may not soon.
pub type Turns = dyn Fn(String) -> Pin<Box<dyn Future<Output = Option<Pass>> + Send>> + Send + Sync;

/// The daemon's HTTP client. Cheap to clone; all clones share connections and TLS sessions.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    user_agent: HeaderValue,
    http: Http,
    bodies: Budget,
}

impl Client {
    /// Makes the client. Fails where the system has no root certificates, or the contact fits into no header.
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        let user_agent = match &settings.contact {
            Some(contact) => format!("listend/{} (+{contact})", env!("CARGO_PKG_VERSION")),
            None => concat!("listend/", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let user_agent = user_agent.parse().context("fetch.contact: not usable in a User-Agent header")?;
        let http = connect::http(&settings)?;
        let bodies = Budget::new(MAX_BODIES_BYTES);
        let shared = Shared { settings, user_agent, http, bodies };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Asks for `url`, following its redirects. `validators` go only to the very address that they came from.
    ///
    /// `now` serves answers that give dates but not their own `Date`.
    pub async fn get(
        &self,
        url: &FeedUrl,
        validators: &Validators,
        accept: &'static str,
        now: Timestamp,
    ) -> Result<Answer, Failure> {
        let always = |_| -> Pin<Box<dyn Future<Output = Option<Pass>> + Send>> {
            Box::pin(std::future::ready(Some(Box::new(()) as Pass)))
        };
        self.get_in_turn(url, validators, accept, now, &always).await
    }

    /// Like [`Client::get`], but asks `turns` before a redirect is followed to another host. Waiting there counts into
    /// the time for the whole answer.
    pub async fn get_in_turn(
        &self,
        url: &FeedUrl,
        validators: &Validators,
        accept: &'static str,
        now: Timestamp,
        turns: &Turns,
    ) -> Result<Answer, Failure> {
        let limit = self.shared.settings.timeout;
        let whole = self.shared.follow(url, validators, accept, now, turns);
        tokio::time::timeout(limit, whole).await.unwrap_or(Err(Failure::Timeout { part: "complete answer", limit }))
    }
}
