//! From a request to its answer: which path leads where, by which methods, and for whom.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::App;
use super::access::{Openness, Reader, is_misdirected};
use super::answer::{self, Answer, guard, is_closing, not_that_way, refusal, set, text};
use super::answered::{self, ANSWERED};
use super::arriving::{self, Arriving};
use super::metrics::RequestLabels;
use super::overview;
use super::pages::{self, FRONT, VOICES, is_keepers, site};
use super::places::Seat;
use super::query::{Format, decode_path, split_ending};
use super::status::StatusBody;
use super::{webmention, websub};
use crate::config::Server;
use crate::feeds::websub::CALLBACKS;
use crate::listen::relations::Relation;
use crate::listen::view;
use crate::publish::html;
use crate::store::Store;

/// What is served under a path.
enum Route<'a> {
    Live,
    Ready,
    Status,
    StatusPage,
    Metrics,
    Style,
    Front,
    /// All voices on one page.
    Rolodex,
    /// What can be answered, by its name.
    Answered {
        name: &'a str,
    },
    /// A stream, a relation, or a voice's own page.
    View {
        path: &'a str,
        format: Option<Format>,
    },
}

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Self {
        match path {
            "/livez" => Self::Live,
            "/readyz" => Self::Ready,
            "/status.json" => Self::Status,
            "/status" | "/status.html" => Self::StatusPage,
            "/metrics" => Self::Metrics,
            FRONT => Self::Front,
            path if path == html::style_path() => Self::Style,
            path => match (path.strip_prefix(ANSWERED), split_ending(path)) {
                (Some(name), _) => Self::Answered { name },
                (None, (VOICES, None | Some(Format::Html))) => Self::Rolodex,
                (None, (path, format)) => Self::View { path, format },
            },
        }
    }

    /// The methods that are answered, as `Allow` names them.
    fn methods(&self) -> &'static str {
        match self {
            Self::Answered { .. } => "GET, HEAD, POST",
            _ => "GET, HEAD",
        }
    }

    fn openness(&self) -> Openness {
        match self {
            Self::Live | Self::Ready | Self::Style => Openness::Always,
            Self::Status | Self::StatusPage | Self::Metrics | Self::Rolodex | Self::Answered { .. } => Openness::Never,
            Self::View { path, .. } if is_keepers(path) => Openness::Never,
            Self::Front | Self::View { .. } => Openness::WhenPublic,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Status | Self::StatusPage => "status",
            Self::Front => "page",
            Self::Rolodex => "voices",
            Self::Answered { .. } => "answered",
            Self::View { path: view::LISTEN, .. } => "listen",
            Self::View { path: view::HEALTH, .. } => "health",
            Self::View { path, .. } if path.starts_with("/voices/") => "voice",
            Self::View { path, .. } => {
                Relation::at(path).map_or("list", |relation| relation.path().trim_start_matches('/'))
            }
            Self::Live | Self::Ready | Self::Metrics | Self::Style => "other",
        }
    }
}

/// An answer, or the way to it.
pub(super) enum Answering {
    /// It was at hand.
    Now(Option<Response<Answer>>),
    /// It has to be made. In a box, because what making it may take is kilobytes that hyper would move about for each
    /// request.
    Later(Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>),
}

impl Future for Answering {
    type Output = Result<Response<Answer>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Now(response) => response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response))),
            Self::Later(making) => making.as_mut().poll(cx),
        }
    }
}

/// Answers one request.
pub(super) fn answer(app: &Arc<App>, request: Request<Incoming>, seat: &Arc<Seat>) -> Answering {
    if let Some(response) = kept(app, &request) {
        return Answering::Now(Some(response));
    }
    let request = request.map(|body| Arriving::new(body, Arc::clone(seat)));
    Answering::Later(Box::pin(make(Arc::clone(app), request)))
}

/// The answer, where it is a page that is kept: most requests are for one that has not changed, and are answered at once.
/// Leaves everything else to [`make`], which decides the same.
fn kept(app: &App, request: &Request<Incoming>) -> Option<Response<Answer>> {
    if request.method() != Method::GET {
        return None;
    }
    let (config, headers) = (app.config.load(), request.headers());
    let query = request.uri().query().unwrap_or_default();
    let path = decode_path(request.uri().path());
    let route = Route::of(below(&config.server, &path));
    let (path, format) = match route {
        Route::Front => (FRONT, Format::Html),
        Route::Rolodex => (VOICES, Format::Html),
        Route::View { path, format } => (path, format.unwrap_or_else(|| accepted(headers))),
        _ => return None,
    };
    let reader = admit(&config.server, headers, query, route.openness()).ok()?;
    let (response, page) = pages::kept(app, headers, path, format, query, reader)?;
    let status = response.status();
    let counter = page.counter(status, || {
        let labels = RequestLabels { view: route.label(), format: format.ending(), status: status.as_u16() };
        app.metrics.requests.get_or_create_owned(&labels)
    });
    counter.inc();
    Some(response)
}

/// Makes the answer to a request.
async fn make(app: Arc<App>, mut request: Request<Arriving>) -> Result<Response<Answer>, Infallible> {
    let path = decode_path(request.uri().path()).into_owned();
    let config = app.config.load();
    let path = below(&config.server, &path);
    let is_head = request.method() == Method::HEAD;
    // A callback's address is all that a hub needs to know.
    let (mut response, view, format) = if let Some(token) = path.strip_prefix(CALLBACKS) {
        (websub::answer(&app, token, &mut request).await, "websub", None)
    } else if path == webmention::ENDPOINT && config.webmention {
        (webmention::answer(&app, &mut request).await, "webmention", None)
    } else {
        let route = Route::of(path);
        let view = route.label();
        let (response, format) = dispatch(&app, &mut request, route).await;
        (response, view, format)
    };
    if !is_closing(&response) {
        arriving::throw_away(&mut request, config.fetch.max_body_bytes).await;
    }
    if is_head {
        let length = response.body().size_hint().exact();
        *response.body_mut() = Answer::Whole(Full::default());
        if let Some(length) = length.filter(|_| response.status() != StatusCode::NOT_MODIFIED) {
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        }
    }
    let labels =
        RequestLabels { view, format: format.map_or("other", Format::ending), status: response.status().as_u16() };
    app.metrics.requests.get_or_create(&labels).inc();
    Ok(response)
}

/// The path without the prefix of the base address: behind a proxy that keeps it, paths arrive with it.
fn below<'a>(server: &Server, path: &'a str) -> &'a str {
    let prefix = decode_path(server.base_url.path());
    path.strip_prefix(prefix.trim_end_matches('/')).filter(|rest| rest.starts_with('/')).unwrap_or(path)
}

fn accepted(headers: &HeaderMap) -> Format {
    Format::accepted(headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()))
}

/// Why a request is not answered.
enum Refused {
    /// It came by a name that leads here and is not ours.
    Misdirected,
    /// It shows no token.
    Unknown,
}

/// Who sends a request, where what is so open is answered to them.
fn admit(server: &Server, headers: &HeaderMap, query: &str, openness: Openness) -> Result<Reader, Refused> {
    if openness != Openness::Always && is_misdirected(server, headers) {
        return Err(Refused::Misdirected);
    }
    let reader = Reader::of(server, headers, query);
    if reader.may_read(server, openness) { Ok(reader) } else { Err(Refused::Unknown) }
}

fn refused(why: &Refused) -> Response<Answer> {
    match why {
        Refused::Misdirected => {
            let message = "Nobody is known here by that name; server.base_url says which one is.\n";
            text(StatusCode::MISDIRECTED_REQUEST, message.to_owned())
        }
        Refused::Unknown => {
            let message = "A token is needed: as Basic password, as Bearer, or as ?token=.\n";
            let mut response = text(StatusCode::UNAUTHORIZED, message.to_owned());
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"listend\""));
            response
        }
    }
}

async fn dispatch(
    app: &Arc<App>,
    request: &mut Request<Arriving>,
    route: Route<'_>,
) -> (Response<Answer>, Option<Format>) {
    let headers = request.headers();
    let query = request.uri().query().unwrap_or_default();
    if !route.methods().split(", ").any(|method| method == request.method()) {
        return (not_that_way(route.methods()), None);
    }
    let reader = match admit(&app.config.load().server, headers, query, route.openness()) {
        Ok(reader) => reader,
        Err(why) => return (refused(&why), None),
    };
    match route {
        Route::Live => (text(StatusCode::OK, "alive\n".to_owned()), None),
        Route::Ready if app.is_ready() => (text(StatusCode::OK, "ready\n".to_owned()), None),
        Route::Ready => (text(StatusCode::SERVICE_UNAVAILABLE, "starting\n".to_owned()), None),
        Route::Status => {
            let app = Arc::clone(app);
            let body = move || StatusBody::new(Arc::clone(&app.live), app.started_at, app.is_ready());
            let Ok(body) = tokio::task::spawn_blocking(body).await else {
                return (text(StatusCode::INTERNAL_SERVER_ERROR, "The status could not be read.\n".to_owned()), None);
            };
            let mut response = Response::new(Answer::Status(Box::new(body)));
            guard(response.headers_mut());
            set(response.headers_mut(), header::CONTENT_TYPE, "application/json");
            set(response.headers_mut(), header::CACHE_CONTROL, "no-store");
            (response, Some(Format::Json))
        }
        Route::StatusPage => (status_page(app, query).await, Some(Format::Html)),
        Route::Metrics => {
            let app = Arc::clone(app);
            let figures = move || {
                app.metrics.look(&app.live, &Store::file(&app.config.load().state), (app.clock)());
                app.metrics.text()
            };
            let Ok(figures) = tokio::task::spawn_blocking(figures).await else {
                return (text(StatusCode::INTERNAL_SERVER_ERROR, "The figures could not be read.\n".to_owned()), None);
            };
            let mut response = text(StatusCode::OK, figures);
            set(
                response.headers_mut(),
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            );
            (response, None)
        }
        Route::Style => {
            let mut response = text(StatusCode::OK, html::STYLE.to_owned());
            set(response.headers_mut(), header::CONTENT_TYPE, "text/css; charset=utf-8");
            // The path names the content.
            set(response.headers_mut(), header::CACHE_CONTROL, "public, max-age=31536000, immutable");
            (response, None)
        }
        Route::Answered { name } => (answered::answer(app, name, request).await, Some(Format::Html)),
        Route::Front => (pages::answer(app, headers, FRONT, Format::Html, query, reader).await, Some(Format::Html)),
        Route::Rolodex => (pages::answer(app, headers, VOICES, Format::Html, query, reader).await, Some(Format::Html)),
        Route::View { path, format } => {
            let format = format.unwrap_or_else(|| accepted(headers));
            (pages::answer(app, headers, path, format, query, reader).await, Some(format))
        }
    }
}

/// The status page: made anew each time, since it tells of every poll.
async fn status_page(app: &Arc<App>, query: &str) -> Response<Answer> {
    let asked = match overview::parse(query) {
        Ok(asked) => asked,
        Err(fault) => return refusal(app, Reader::Keeper, StatusCode::BAD_REQUEST, Format::Html, &fault.to_string()),
    };
    let app = Arc::clone(app);
    let page = tokio::task::spawn_blocking(move || {
        let bound = app.live.bound();
        overview::status(&app.live, &bound, asked)
            .map(|status| html::status(&status, &site(&app, &bound, Reader::Keeper)))
    });
    match page.await {
        Ok(Ok(page)) => answer::page(StatusCode::OK, page),
        Ok(Err(fault)) => text(StatusCode::BAD_REQUEST, format!("{fault}\n")),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "This page could not be made.\n".to_owned()),
    }
}
