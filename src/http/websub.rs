//! The callback that hubs talk to: questions whether a subscription is meant, denials, and pushes (WebSub, sections 5.2,
//! 5.3 and 7).
//!
//! Owns the doors, one for each agreement with a hub, and what may come in through them; what is made of it is the
//! daemon's business. No token is asked for here: each address is a secret between us and one hub.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::App;
use super::answer::{Answer, closing, not_that_way, text};
use super::arriving::Arriving;
use super::query::pairs;

/// Pushes that are read, or wait to be taken in, at once. Each may be as large as a feed.
const MAX_PUSHES: usize = 16;
/// How long a push waits for its turn before the hub is asked to come again.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);
/// When a hub that found no turn should come again, in seconds.
const COME_AGAIN: &str = "10";
/// Calls that wait for the daemon.
const MAX_CALLS: usize = 64;

/// What a hub says at one of our doors.
#[derive(Debug)]
pub enum Call {
    /// It asks whether something is meant.
    Intent(Intent),
    /// It denies a subscription.
    Denied {
        /// The door.
        token: String,
        /// The topic that it speaks of.
        topic: String,
        /// Its reason.
        reason: String,
    },
    /// It pushes a document.
    Push(Push),
}

/// A hub's question whether we have asked for something. Whoever answers no, or not at all, gets no subscription.
#[derive(Debug)]
pub struct Intent {
    /// The door.
    pub token: String,
    /// `subscribe` or `unsubscribe`.
    pub mode: String,
    /// The topic that it is about.
    pub topic: String,
    /// What the hub wants to hear back.
    pub challenge: String,
    /// For how long the hub grants it, in seconds.
    pub lease_seconds: Option<u64>,
    /// Where the answer goes.
    pub answer: oneshot::Sender<bool>,
}

/// A document as it was pushed.
#[derive(Debug)]
pub struct Push {
    /// The door.
    pub token: String,
    /// `X-Hub-Signature`.
    pub signature: Option<String>,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// The body, as it was sent.
    pub body: Bytes,
    /// Held until the push has been taken in, so that no more are let in than there is room for.
    pub place: OwnedSemaphorePermit,
}

/// The doors that stand open, and where calls go.
#[derive(Debug)]
pub struct Doors {
    open: RwLock<HashSet<String>>,
    calls: mpsc::Sender<Call>,
    places: Arc<Semaphore>,
}

impl Doors {
    /// No door yet, and where the calls will arrive.
    pub fn new() -> (Self, mpsc::Receiver<Call>) {
        let (calls, received) = mpsc::channel(MAX_CALLS);
        (Self { open: RwLock::default(), calls, places: Arc::new(Semaphore::new(MAX_PUSHES)) }, received)
    }

    /// Opens the door with this token.
    pub fn open(&self, token: &str) {
        self.open.write().unwrap_or_else(PoisonError::into_inner).insert(token.to_owned());
    }

    /// Closes it for good.
    pub fn close(&self, token: &str) {
        self.open.write().unwrap_or_else(PoisonError::into_inner).remove(token);
    }

    fn is_open(&self, token: &str) -> bool {
        self.open.read().unwrap_or_else(PoisonError::into_inner).contains(token)
    }
}

/// Answers a hub.
pub(super) async fn answer(app: &App, token: &str, request: &mut Request<Arriving>) -> Response<Answer> {
    let is_open = app.doors.is_open(token);
    match *request.method() {
        Method::POST if !is_open => gone(),
        Method::POST => push(app, token, request).await,
        Method::GET if is_open => intent(app, token, request.uri().query().unwrap_or_default()).await,
        Method::GET | Method::HEAD => nothing(),
        _ => not_that_way("GET, HEAD, POST"),
    }
}

/// A hub that still pushes here may forget us (section 7).
fn gone() -> Response<Answer> {
    text(StatusCode::GONE, "There is no such subscription any more.\n".to_owned())
}

fn nothing() -> Response<Answer> {
    text(StatusCode::NOT_FOUND, "Nothing of the kind was asked for.\n".to_owned())
}

/// The answer to a question or a denial.
async fn intent(app: &App, token: &str, query: &str) -> Response<Answer> {
    let parameter = |wanted: &str| pairs(query).find(|(name, _)| name == wanted).map(|(_, value)| value);
    let (Some(mode), Some(topic)) = (parameter("hub.mode"), parameter("hub.topic")) else { return nothing() };
    let token = token.to_owned();
    if mode == "denied" {
        let reason = parameter("hub.reason").unwrap_or_default();
        let _ = app.doors.calls.send(Call::Denied { token, topic, reason }).await;
        return text(StatusCode::OK, "Noted.\n".to_owned());
    }
    let Some(challenge) = parameter("hub.challenge") else { return nothing() };
    let lease_seconds = parameter("hub.lease_seconds").and_then(|seconds| seconds.trim().parse().ok());
    let (answer, answered) = oneshot::channel();
    let call = Call::Intent(Intent { token, mode, topic, challenge: challenge.clone(), lease_seconds, answer });
    if app.doors.calls.send(call).await.is_err() || !answered.await.unwrap_or(false) {
        return nothing();
    }
    // Of a type that no browser shows, since the words are somebody else's (section 8); the rest of the headers say so too.
    let mut response = text(StatusCode::OK, challenge);
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Takes what is pushed, and says so at once: what becomes of it is not the hub's business (sections 7 and 7.1).
async fn push(app: &App, token: &str, request: &mut Request<Arriving>) -> Response<Answer> {
    let (max_bytes, limit) = {
        let config = app.config.load();
        (config.fetch.max_body_bytes, config.fetch.timeout)
    };
    let too_large = || text(StatusCode::PAYLOAD_TOO_LARGE, "That is larger than any feed here.\n".to_owned());
    if request.body().size_hint().lower() > max_bytes as u64 {
        return too_large();
    }
    let turn = tokio::time::timeout(TURN_TIMEOUT, Arc::clone(&app.doors.places).acquire_owned());
    let Ok(Ok(place)) = turn.await else { return busy() };
    let value = |headers: &HeaderMap, name: &str| {
        headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let signature = value(request.headers(), "x-hub-signature");
    let content_type = value(request.headers(), "content-type");
    let reading = tokio::time::timeout(limit, Limited::new(request.body_mut(), max_bytes).collect());
    let body = match reading.await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(fault)) if fault.is::<LengthLimitError>() => return too_large(),
        Ok(Err(_)) => return text(StatusCode::BAD_REQUEST, "The body broke off.\n".to_owned()),
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "That took too long.\n".to_owned()),
    };
    let push = Push { token: token.to_owned(), signature, content_type, body, place };
    if app.doors.calls.send(Call::Push(push)).await.is_err() {
        return busy();
    }
    let mut response = Response::new(Answer::Whole(Full::default()));
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

fn busy() -> Response<Answer> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "Too much at once; come again.\n".to_owned());
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(COME_AGAIN));
    closing(response)
}
