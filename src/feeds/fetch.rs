//! One request, from a conditional GET through its redirects to a bounded body.
//!
//! Owns the daemon's only HTTP client: what it sends, whom it may dial (by `address`), how far it follows, how long it
//! waits and how much it takes. Knows nothing of schedules, of hosts' queues, or of what the body means.

mod headers;
mod post;

use std::collections::HashMap;
use std::error::Error;
use std::io::Read;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LOCATION, USER_AGENT};
use reqwest::{RequestBuilder, Response, StatusCode, redirect};
use url::{Host, Url};

use super::address::{Blocked, Guard, GuardedNames, Lookup};
use super::schedule::{Answered, Move};
use crate::model::{FeedUrl, Timestamp, Validators};
pub use post::Posted;

/// What to send as `Accept` when a feed is wanted; a home page will do, since a feed can be found from it.
pub const ACCEPT_FEED: &str = "application/atom+xml, application/rss+xml, application/feed+json, \
     application/rdf+xml;q=0.9, application/xml;q=0.8, text/xml;q=0.8, application/json;q=0.7, text/html;q=0.4, */*;q=0.1";

/// Most redirects followed for one request.
pub const MAX_HOPS: usize = 5;
/// Most bytes of response headers, names and values together.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Longest target of a redirect.
const MAX_LOCATION_BYTES: usize = 8192;
/// Idle connections kept for each host: as many as a host is asked at once.
const MAX_IDLE_PER_HOST: usize = 2;
/// How long an idle connection is kept: long enough for the host's next feed in the queue, shorter than the five
/// seconds after which many servers close it themselves, perhaps just when the next request is on its way.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// How often a body that is still gzip after the client's decoding is unpacked again.
const MAX_LEFTOVER_ENCODINGS: usize = 2;

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

/// What came back: the last hop's answer, and the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The address asked.
    pub asked: FeedUrl,
    /// The address that answered, after all redirects.
    pub url: FeedUrl,
    /// The redirects followed.
    pub hops: Vec<Hop>,
    /// The HTTP status.
    pub status: u16,
    /// What makes the next request conditional: of a 200 its own, of a 304 the old ones refreshed, else none.
    pub validators: Validators,
    /// For how long the answer is fresh (RFC 9111, section 4.2): `max-age` less `Age`, else `Expires` less `Date`.
    pub freshness: Option<Duration>,
    /// How long to wait before asking again (RFC 9110, section 10.2.3); a date is counted from the answer's own `Date`.
    pub retry_after: Option<Duration>,
    /// The `Content-Type`, as sent.
    pub content_type: Option<String>,
    /// WebSub hubs named in `Link` headers, absolute.
    pub hubs: Vec<String>,
    /// The address that a `Link` header with `rel="self"` gives, absolute.
    pub self_link: Option<String>,
    /// The decoded body of a 200 or 203; of every other status empty.
    pub body: Bytes,
    /// Whether the transport ended before the body did.
    pub cut_off: bool,
}

/// A redirect that was followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Its status: 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Where it led.
    pub to: FeedUrl,
}

impl Answer {
    /// Where the asked address has moved for good: as far as permanent redirects led before any other one.
    pub fn moved(&self) -> Option<Move> {
        let to = self.hops.iter().take_while(|hop| matches!(hop.status, 301 | 308)).last()?.to.clone();
        let upgrade = self.asked.url().scheme() == "http"
            && to.url().scheme() == "https"
            && self.asked.host() == to.host()
            && self.asked.url().port().is_none()
            && to.url().port().is_none()
            && self.asked.url()[url::Position::BeforePath..] == to.url()[url::Position::BeforePath..];
        Some(Move { to, upgrade })
    }

    /// Against which address relative ones in the body are resolved: the one that answered, without its credentials,
    /// which would go into every link otherwise.
    pub fn base(&self) -> Url {
        let mut base = self.url.url().clone();
        // Both fail only for URLs that cannot carry credentials.
        let _ = base.set_username("");
        let _ = base.set_password(None);
        base
    }

    /// What the schedule has to know of it.
    pub fn answered(&self) -> Answered {
        Answered {
            status: self.status,
            freshness: self.freshness,
            retry_after: self.retry_after,
            moved: self.moved(),
            redirected: !self.hops.is_empty(),
        }
    }
}

/// Why there is no answer. Each prints in plain words and without credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The guard refused an address, at whatever hop; nothing was sent there.
    #[error("{0}")]
    Blocked(#[from] Blocked),
    /// The name could not be resolved.
    #[error("the name cannot be resolved: {0}")]
    Dns(String),
    /// No connection: refused, unreachable, or not within the connect timeout.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// No secure connection.
    #[error("no secure connection: {0}")]
    Tls(String),
    /// The answer, or its beginning, took too long.
    #[error("no {part} within {limit:?}")]
    Timeout {
        /// What was waited for.
        part: &'static str,
        /// For how long.
        limit: Duration,
    },
    /// More came than is taken.
    #[error("the {part} is larger than {max_bytes} bytes")]
    TooLarge {
        /// What was too large.
        part: &'static str,
        /// What is taken.
        max_bytes: usize,
    },
    /// More redirects than are followed, or one back to an address of the same chain.
    #[error("redirects lead nowhere: {0}")]
    RedirectLoop(String),
    /// A redirect without a usable target.
    #[error("a redirect cannot be followed: {0}")]
    BadRedirect(String),
    /// A redirect led to where nobody could be reached; whoever redirected was.
    #[error("redirected to {host}: {failure}")]
    Astray {
        /// The host that the redirect named.
        host: String,
        /// What happened there.
        failure: Box<Failure>,
    },
    /// A redirect led to a host that may not be asked now; nothing was sent there.
    #[error("redirected to {0}, which has too many requests waiting or asked to be spared")]
    NoTurn(String),
    /// The connection broke, or what came over it was no HTTP.
    #[error("the answer cannot be read: {0}")]
    Transport(String),
}

impl Failure {
    /// A fixed word for each kind, for metrics and tables.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Blocked(_) => "blocked_address",
            Self::Dns(_) => "dns",
            Self::Unreachable(_) => "unreachable",
            Self::Tls(_) => "tls",
            Self::Timeout { .. } => "timeout",
            Self::TooLarge { .. } => "too_large",
            Self::RedirectLoop(_) | Self::BadRedirect(_) => "redirect",
            Self::Astray { failure, .. } => failure.kind(),
            Self::NoTurn(_) => "no_turn",
            Self::Transport(_) => "transport",
        }
    }

    /// Whether the fault may be our own network's: no name, no route, no connection.
    pub const fn may_be_our_network(&self) -> bool {
        matches!(self, Self::Dns(_) | Self::Unreachable(_))
    }

    /// Whether somebody was reached: there was a connection. What the guard refused says nothing, nor does silence.
    pub const fn was_somebody_reached(&self) -> bool {
        !matches!(self, Self::Dns(_) | Self::Unreachable(_) | Self::Blocked(_) | Self::Timeout { .. })
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
    names: GuardedNames,
    /// Serves every URL but those that the next field serves.
    http: reqwest::Client,
    /// By port: names whose URL has the port of an exception. A resolver is not told the port, so what may be an
    /// exception must be decided before; in an installation without exceptions this stays empty.
    excepted: Mutex<HashMap<u16, reqwest::Client>>,
}

impl Client {
    /// Makes the client. Fails where the system has no root certificates, or the contact fits into no header.
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        // An error says that a provider is installed already, by an earlier client of this process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let user_agent = match &settings.contact {
            Some(contact) => format!("listend/{} (+{contact})", env!("CARGO_PKG_VERSION")),
            None => concat!("listend/", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let user_agent = user_agent.parse().context("fetch.contact: not usable in a User-Agent header")?;
        let names = GuardedNames::without_exceptions(settings.lookup.clone());
        let http = http_client(&settings, names.clone())?;
        let shared = Shared { settings, user_agent, names, http, excepted: Mutex::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Asks for `url`, following its redirects. `validators` go only to the very address that they came from.
    ///
    /// `now` serves answers that give dates but not their own `Date`.
    pub async fn get(
        &self,
        url: &FeedUrl,
        validators: &Validators,
        accept: &str,
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
        accept: &str,
        now: Timestamp,
        turns: &Turns,
    ) -> Result<Answer, Failure> {
        let limit = self.shared.settings.timeout;
        let whole = self.shared.follow(url, validators, accept, now, turns);
        tokio::time::timeout(limit, whole).await.unwrap_or(Err(Failure::Timeout { part: "complete answer", limit }))
    }
}

impl Shared {
    async fn follow(
        &self,
        asked: &FeedUrl,
        validators: &Validators,
        accept: &str,
        now: Timestamp,
        turns: &Turns,
    ) -> Result<Answer, Failure> {
        let mut url = asked.clone();
        let mut hops: Vec<Hop> = Vec::new();
        // Lives as long as the request that it lets pass, the body included.
        let mut _pass: Option<Pass> = None;
        loop {
            let conditions = conditions_for(&url, validators);
            let response = match self.ask(&url, &conditions, accept).await {
                // A server may close a connection after its redirect without saying so, and the request that follows
                // it at once falls into that gap (RFC 9112, section 9.3.1).
                Err(Failure::Transport(_)) if from_same_host(&hops, asked) => {
                    self.ask(&url, &conditions, accept).await?
                }
                Err(failure) if failure.may_be_our_network() && !hops.is_empty() => {
                    return Err(Failure::Astray { host: url.host_and_port(), failure: Box::new(failure) });
                }
                answered => answered?,
            };
            let status = response.status();
            if !is_redirect(status) {
                if status == StatusCode::NOT_MODIFIED && conditions.is_empty() {
                    return Err(Failure::Transport("304 in answer to a request without conditions".into()));
                }
                return self.answer(asked.clone(), url, hops, response, validators, now).await;
            }
            let to = target(&url, response.headers())?;
            if to == *asked || hops.iter().any(|hop| hop.to == to) {
                return Err(Failure::RedirectLoop(format!("{to} for the second time")));
            }
            if hops.len() == MAX_HOPS {
                return Err(Failure::RedirectLoop(format!("more than {MAX_HOPS}")));
            }
            hops.push(Hop { status: status.as_u16(), to: to.clone() });
            if to.host_and_port() != url.host_and_port() {
                // What the guard refuses needs no turn.
                self.settings.guard.permits_literal(to.url())?;
                drop(response);
                _pass = None;
                let host = to.host_and_port();
                // On the first host this request has its place already.
                if host != asked.host_and_port() {
                    _pass = Some(turns(host.clone()).await.ok_or(Failure::NoTurn(host))?);
                }
            }
            url = to;
        }
    }

    /// One hop: checked, sent, and answered up to the end of the headers.
    async fn ask(&self, url: &FeedUrl, conditions: &HeaderMap, accept: &str) -> Result<Response, Failure> {
        self.settings.guard.permits_literal(url.url())?;
        let request = self
            .http_for(url.url())?
            .get(url.url().clone())
            .header(USER_AGENT, &self.user_agent)
            .header(ACCEPT, accept)
            .headers(conditions.clone());
        self.sent(request).await
    }

    /// The answer to a request, up to the end of the headers.
    async fn sent(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let limit = self.settings.first_byte_timeout;
        let response = match tokio::time::timeout(limit, request.send()).await {
            Ok(sent) => sent.map_err(|error| self.failure(&error))?,
            Err(_) => return Err(Failure::Timeout { part: "response headers", limit }),
        };
        let header_bytes: usize =
            response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if header_bytes > MAX_HEADER_BYTES {
            return Err(Failure::TooLarge { part: "header", max_bytes: MAX_HEADER_BYTES });
        }
        Ok(response)
    }

    fn http_for(&self, url: &Url) -> Result<reqwest::Client, Failure> {
        let port = url.port_or_known_default().unwrap_or(0);
        let guard = &self.settings.guard;
        if !matches!(url.host(), Some(Host::Domain(_))) || !guard.has_exception_for(port) {
            return Ok(self.http.clone());
        }
        let mut excepted = self.excepted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(http) = excepted.get(&port) {
            return Ok(http.clone());
        }
        let names = self.names.with_exceptions(guard.clone(), port);
        let http = http_client(&self.settings, names).map_err(|error| Failure::Transport(format!("{error:#}")))?;
        excepted.insert(port, http.clone());
        Ok(http)
    }

    async fn answer(
        &self,
        asked: FeedUrl,
        url: FeedUrl,
        hops: Vec<Hop>,
        response: Response,
        validators: &Validators,
        now: Timestamp,
    ) -> Result<Answer, Failure> {
        let status = response.status();
        let headers = response.headers();
        let links = headers::links(headers, url.url());
        let mut answer = Answer {
            asked,
            hops,
            status: status.as_u16(),
            validators: Validators::default(),
            freshness: headers::freshness(headers, now),
            retry_after: headers::retry_after(headers, now),
            content_type: headers::text(headers, &reqwest::header::CONTENT_TYPE),
            hubs: links.hubs,
            self_link: links.self_link,
            body: Bytes::new(),
            cut_off: false,
            url,
        };
        match status {
            StatusCode::NOT_MODIFIED => {
                answer.validators = headers::validators(headers, &answer.url).refreshing(validators);
            }
            StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION => {
                let fresh = headers::validators(headers, &answer.url);
                (answer.body, answer.cut_off) = self.body(response).await?;
                if !answer.cut_off {
                    answer.validators = fresh;
                }
            }
            // What else came is for people to read; its body stays where it is.
            _ => {}
        }
        Ok(answer)
    }

    /// The decoded body, and whether it was cut off.
    async fn body(&self, mut response: Response) -> Result<(Bytes, bool), Failure> {
        let max_bytes = self.settings.max_body_bytes;
        let too_large = Failure::TooLarge { part: "body", max_bytes };
        if response.content_length().is_some_and(|announced| announced > max_bytes as u64) {
            return Err(too_large);
        }
        let mut body = Vec::new();
        let cut_off = loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > max_bytes => return Err(too_large),
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break false,
                Err(error) if body.is_empty() => return Err(self.failure(&error)),
                Err(_) => break true,
            }
        };
        unpack_leftovers(body, cut_off, max_bytes).map(|(body, cut_off)| (body.into(), cut_off)).ok_or(too_large)
    }

    /// What a fault of the client means, in the words of [`Failure`].
    fn failure(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &(dyn Error + 'static) = error;
        loop {
            if let Some(blocked) = cause.downcast_ref::<Blocked>() {
                return Failure::Blocked(blocked.clone());
            }
            if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
                return Failure::Tls(tls.to_string());
            }
            // An I/O error names as its source the source of what it wraps, and so leaves out the wrapped one itself.
            let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            match wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| cause.source()) {
                Some(deeper) => cause = deeper,
                None => break,
            }
        }
        // The innermost cause alone: those around it repeat the URL, and with it credentials.
        let why: String = cause.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
        if error.is_dns() {
            Failure::Dns(why)
        } else if error.is_connect() && error.is_timeout() {
            Failure::Unreachable(format!("none within {:?}", self.settings.connect_timeout))
        } else if error.is_connect() {
            Failure::Unreachable(why)
        } else {
            Failure::Transport(why)
        }
    }
}

fn http_client(settings: &Settings, names: GuardedNames) -> anyhow::Result<reqwest::Client> {
    #[expect(clippy::disallowed_methods, reason = "this is the one HTTP client, behind the guard")]
    let mut builder = reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .referer(false)
        // A proxy would resolve names itself, behind the guard's back.
        .no_proxy()
        .dns_resolver(names)
        .connect_timeout(settings.connect_timeout)
        .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .http1_ignore_invalid_headers_in_responses(true)
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http2_max_header_list_size(MAX_HEADER_BYTES as u32);
    if let Some(roots) = &settings.roots {
        let roots: Result<Vec<_>, _> = roots.iter().map(|der| reqwest::Certificate::from_der(der)).collect();
        builder = builder.tls_certs_only(roots.context("a root certificate cannot be read")?);
    }
    builder
        .build()
        .context("the HTTP client cannot be made; are the system's root certificates (ca-certificates) installed?")
}

/// The conditional headers for a hop: those that came from this very address, byte for byte.
fn conditions_for(url: &FeedUrl, validators: &Validators) -> HeaderMap {
    let mut conditions = HeaderMap::new();
    if validators.from.as_ref() == Some(url) {
        for (name, value) in [(IF_NONE_MATCH, &validators.etag), (IF_MODIFIED_SINCE, &validators.last_modified)] {
            // Bytes that no header may carry did not come from one, and are left out.
            if let Some(value) = value.as_ref().and_then(|bytes| HeaderValue::from_bytes(bytes).ok()) {
                conditions.insert(name, value);
            }
        }
    }
    conditions
}

/// Whether the last redirect stayed on its host, so that the request after it went over the same connection.
fn from_same_host(hops: &[Hop], asked: &FeedUrl) -> bool {
    let [.., last] = hops else { return false };
    let before = hops.len().checked_sub(2).and_then(|index| hops.get(index)).map_or(asked, |hop| &hop.to);
    before.host_and_port() == last.to.host_and_port()
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads. Credentials of ours go with it only to the same host, never from https to http; credentials
/// that the redirect itself gives are dropped.
fn target(from: &FeedUrl, headers: &HeaderMap) -> Result<FeedUrl, Failure> {
    let location = headers.get(LOCATION).ok_or_else(|| Failure::BadRedirect("it names no target".into()))?;
    if location.len() > MAX_LOCATION_BYTES {
        return Err(Failure::BadRedirect("its target is too long".into()));
    }
    let text = String::from_utf8_lossy(location.as_bytes());
    let mut to =
        from.url().join(text.trim()).map_err(|error| Failure::BadRedirect(format!("its target is no URL: {error}")))?;
    let keeps_credentials = to.host() == from.url().host()
        && match (from.url().scheme(), to.scheme()) {
            ("http", "https") => from.url().port().is_none() && to.port().is_none(),
            (old, new) => old == new && to.port_or_known_default() == from.url().port_or_known_default(),
        };
    let (user, password) = if keeps_credentials { (from.url().username(), from.url().password()) } else { ("", None) };
    // Both fail only for URLs that carry no credentials, and those are refused in the next line.
    let _ = to.set_username(user);
    let _ = to.set_password(password);
    FeedUrl::try_from(to).map_err(|_| Failure::Blocked(Blocked::Scheme(scheme_of(&text))))
}

fn scheme_of(text: &str) -> String {
    text.split(':').next().unwrap_or_default().chars().take(20).collect()
}

/// A body that somebody sent us, unpacked where it is gzip; `None` where that is larger than `max_bytes`, or broken.
pub fn unpacked(body: Bytes, max_bytes: usize) -> Option<Bytes> {
    if !body.starts_with(&[0x1f, 0x8b, 0x08]) {
        return Some(body);
    }
    let (body, is_cut) = unpack_leftovers(body.into(), false, max_bytes)?;
    (!is_cut).then(|| body.into())
}

/// Unpacks what is still gzip: sent twice packed, as `x-gzip`, or as a file without any `Content-Encoding`.
/// `None` where that is larger than `max_bytes`.
fn unpack_leftovers(mut body: Vec<u8>, mut cut_off: bool, max_bytes: usize) -> Option<(Vec<u8>, bool)> {
    for _ in 0..MAX_LEFTOVER_ENCODINGS {
        if !body.starts_with(&[0x1f, 0x8b, 0x08]) {
            break;
        }
        let mut unpacked = Vec::new();
        let mut reader = flate2::read::MultiGzDecoder::new(body.as_slice()).take(max_bytes as u64 + 1);
        // Whatever came out before the fault is kept, as with any other cut-off body.
        cut_off |= reader.read_to_end(&mut unpacked).is_err();
        if unpacked.len() > max_bytes {
            return None;
        }
        body = unpacked;
    }
    Some((body, cut_off))
}
