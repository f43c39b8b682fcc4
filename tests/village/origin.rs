//! One HTTP server on loopback that answers as it is told and writes down who asked for what, and when.
//!
//! Knows nothing of feeds. It runs on a thread of its own, so that tests with and without a runtime can use it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use hyper::service::service_fn;
use hyper::{HeaderMap, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use listend::model::Timestamp;
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The time by the machine's clock: the outside world has one.
#[expect(clippy::disallowed_methods, reason = "the outside world goes by the machine's clock")]
pub(crate) fn now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

/// An answer as the origin is told to give it.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    mime: String,
    body: Bytes,
    headers: Vec<(String, String)>,
    validators: bool,
    modified: Option<Timestamp>,
    delay: Duration,
    cut_after: Option<usize>,
}

impl Reply {
    /// 200 with a body, an `ETag`, and 304 for whoever sends that back.
    pub(crate) fn ok(mime: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status: 200,
            mime: mime.to_owned(),
            body: body.into(),
            headers: Vec::new(),
            validators: true,
            modified: None,
            delay: Duration::ZERO,
            cut_after: None,
        }
    }

    /// A bare status with a line of text.
    pub(crate) fn status(status: u16) -> Self {
        Self { status, validators: false, ..Self::ok("text/plain; charset=utf-8", format!("{status}\n")) }
    }

    /// A redirect.
    pub(crate) fn redirect(status: u16, to: &str) -> Self {
        Self::status(status).header("location", to)
    }

    /// With one more header.
    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With `Last-Modified` too.
    #[must_use]
    pub(crate) fn modified(mut self, at: Timestamp) -> Self {
        self.modified = Some(at);
        self
    }

    /// Never 304: no `ETag`, no `Last-Modified`.
    #[must_use]
    pub(crate) fn without_validators(mut self) -> Self {
        self.validators = false;
        self
    }

    /// With so many empty lines behind the body, which mean nothing in XML and JSON.
    #[must_use]
    pub(crate) fn padded(mut self, lines: usize) -> Self {
        self.body = [&self.body[..], &vec![b'\n'; lines]].concat().into();
        self
    }

    /// Only after a while.
    #[must_use]
    pub(crate) fn delayed(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Promises the whole body and breaks off after so many bytes.
    #[must_use]
    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.cut_after = Some(bytes);
        self
    }
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// When its head was read.
    pub(crate) at: Timestamp,
    /// `GET` and the like.
    pub(crate) method: String,
    /// The path, with its query.
    pub(crate) path: String,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// The status that it was answered with; 0 while the origin makes up its mind.
    pub(crate) status: u16,
}

impl Request {
    /// A header as text; `None` where it is missing or no text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

type Page = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

#[derive(Default)]
struct Shared {
    pages: Mutex<HashMap<String, Page>>,
    requests: Mutex<Vec<Request>>,
}

/// The server. It stops when it is dropped.
pub(crate) struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Origin {
    /// Starts on a free port of 127.0.0.1.
    pub(crate) fn start() -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (shared, stop) = (Arc::new(Shared::default()), CancellationToken::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (serving, stopped) = (shared.clone(), stop.clone());
        let thread = std::thread::Builder::new().name(format!("origin {}", address.port())).spawn(move || {
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("the listener is a non-blocking socket");
                stopped.run_until_cancelled(accept(listener, serving)).await;
            });
        })?;
        Ok(Self { address, shared, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers a path so from now on.
    pub(crate) fn serve(&self, path: &str, reply: Reply) {
        self.serve_with(path, move |_| reply.clone());
    }

    /// Answers a path from now on as the function says for each request.
    pub(crate) fn serve_with(&self, path: &str, page: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        locked(&self.shared.pages).insert(path.to_owned(), Arc::new(page));
    }

    /// Answers a path with 404 from now on.
    pub(crate) fn forget(&self, path: &str) {
        locked(&self.shared.pages).remove(path);
    }

    /// The requests for a path so far, in order.
    pub(crate) fn requests(&self, path: &str) -> Vec<Request> {
        locked(&self.shared.requests).iter().filter(|request| request.path == path).cloned().collect()
    }

    /// How many requests came for each path so far.
    pub(crate) fn counts(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for request in locked(&self.shared.requests).iter() {
            *counts.entry(request.path.clone()).or_default() += 1;
        }
        counts
    }

    /// All requests so far, in order.
    pub(crate) fn all_requests(&self) -> Vec<Request> {
        locked(&self.shared.requests).clone()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic on that thread was already printed; a second one while dropping would abort the test run.
            let _ = thread.join();
        }
    }
}

/// A test that failed while it held a lock must not take the server with it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                connections.spawn(converse(stream, shared.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer(&request, &shared).await) }
    });
    // A client that goes away in the middle is no fault of the village.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(asked: &hyper::Request<Incoming>, shared: &Shared) -> Response<Payload> {
    let path = asked.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let mut request = Request {
        at: now(),
        method: asked.method().to_string(),
        path: path.clone(),
        headers: asked.headers().clone(),
        status: 0,
    };
    let page = locked(&shared.pages).get(&path).cloned();
    let reply = page.map_or_else(|| Reply::status(404), |page| page(&request));
    let response = respond(&request, &reply);
    request.status = response.status().as_u16();
    locked(&shared.requests).push(request);
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    response
}

/// A conditional answer (RFC 9110, section 13.2.2): `If-None-Match` alone decides where it is sent.
fn respond(request: &Request, reply: &Reply) -> Response<Payload> {
    let mut response = Response::new(Payload { body: Some(reply.body.clone()), cut: false });
    *response.status_mut() = StatusCode::from_u16(reply.status).expect("tests ask for statuses that exist");
    let headers = response.headers_mut();
    for (name, value) in [("content-type", &reply.mime)].into_iter().chain(reply.headers.iter().map(|(n, v)| (&**n, v)))
    {
        let name = hyper::header::HeaderName::from_bytes(name.as_bytes()).expect("tests name headers that exist");
        headers.append(name, value.parse().expect("tests give header values that can be sent"));
    }
    if reply.validators {
        let etag = etag(&reply.body);
        let date = reply.modified.map(Timestamp::to_http_date);
        let unchanged = match request.header(IF_NONE_MATCH.as_str()) {
            Some(known) => known == etag,
            None => date.is_some() && request.header(IF_MODIFIED_SINCE.as_str()) == date.as_deref(),
        };
        headers.insert(ETAG, etag.parse().expect("hex digits in quotes can be sent"));
        if let Some(date) = date {
            headers.insert(LAST_MODIFIED, date.parse().expect("a date can be sent"));
        }
        if unchanged {
            headers.remove(CONTENT_TYPE);
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = Payload { body: None, cut: false };
            return response;
        }
    }
    if let Some(bytes) = reply.cut_after {
        headers.insert(CONTENT_LENGTH, reply.body.len().into());
        *response.body_mut() = Payload { body: Some(reply.body.slice(..bytes.min(reply.body.len()))), cut: true };
    }
    response
}

/// A strong validator: the same bytes have the same one.
fn etag(body: &[u8]) -> String {
    let mut etag = String::from("\"");
    for byte in Sha256::digest(body).iter().take(8) {
        let _ = write!(etag, "{byte:02x}");
    }
    etag + "\""
}

/// A body in one piece, or the first piece of one that never ends.
struct Payload {
    body: Option<Bytes>,
    cut: bool,
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(match self.body.take() {
            Some(bytes) => Some(Ok(Frame::data(bytes))),
            None if self.cut => Some(Err(io::ErrorKind::ConnectionAborted.into())),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none() && !self.cut
    }

    fn size_hint(&self) -> SizeHint {
        if self.cut {
            return SizeHint::default();
        }
        SizeHint::with_exact(self.body.as_ref().map_or(0, |body| body.len() as u64))
    }
}
