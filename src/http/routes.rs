//! From a request to its answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tracing::{error, warn};

use super::App;
use super::access::{Openness, is_allowed};
use super::conditional::Representation;
use super::kept::{Kept, Key, Stand};
use super::metrics::RequestLabels;
use super::overview;
use super::query::{self, Format, decode_path, split_ending};
use super::status::StatusBody;
use super::topics;
use super::websub;
use crate::feeds::websub::CALLBACKS;
use crate::listen::live::Bound;
use crate::listen::page::{Page, Query};
use crate::listen::view::{self, Found, View};
use crate::listen::{health, merge};
use crate::publish::html::{self, Front};
use crate::publish::{Site, address, atom, json, opml, rss};
use crate::store::StoreError;

/// A whole answer in memory, or the status that is written as it is read.
pub(super) enum Answer {
    Whole(Full<Bytes>),
    Status(Box<StatusBody>),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Status(body) => Pin::new(body.as_mut()).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Status(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Status(body) => body.size_hint(),
        }
    }
}

/// What is served under a path.
enum Route {
    Live,
    Ready,
    Status,
    StatusPage,
    Metrics,
    Style,
    Front,
    View { path: String, format: Option<Format> },
}

impl Route {
    fn of(path: &str) -> Self {
        match path {
            "/livez" => Self::Live,
            "/readyz" => Self::Ready,
            "/status.json" => Self::Status,
            "/status" | "/status.html" => Self::StatusPage,
            "/metrics" => Self::Metrics,
            "/" => Self::Front,
            path if path == html::style_path() => Self::Style,
            path => {
                let (path, format) = split_ending(path);
                Self::View { path: path.to_owned(), format }
            }
        }
    }

    fn openness(&self) -> Openness {
        match self {
            Self::Live | Self::Ready | Self::Style => Openness::Always,
            Self::Status | Self::StatusPage | Self::Metrics => Openness::Never,
            Self::View { path, .. } if path == view::HEALTH => Openness::Never,
            Self::Front | Self::View { .. } => Openness::WhenPublic,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Status | Self::StatusPage => "status",
            Self::Front => "page",
            Self::View { path, .. } if path == view::LISTEN => "listen",
            Self::View { path, .. } if path == view::HEALTH => "health",
            Self::View { path, .. } if path.starts_with("/voices/") => "voice",
            Self::View { .. } => "list",
            Self::Live | Self::Ready | Self::Metrics | Self::Style => "other",
        }
    }
}

/// Answers one request.
pub(super) async fn answer(app: Arc<App>, request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    let path = decode_path(request.uri().path());
    let config = app.config.load();
    // Behind a proxy that keeps a prefix, paths arrive with it.
    let prefix = config.server.base_url.path().trim_end_matches('/');
    let path = path.strip_prefix(prefix).filter(|rest| rest.starts_with('/')).unwrap_or(&path);
    let is_head = request.method() == Method::HEAD;
    // A callback's address is all that a hub needs to know.
    let (mut response, view, format) = if let Some(token) = path.strip_prefix(CALLBACKS).map(str::to_owned) {
        (websub::answer(&app, &token, request).await, "websub", None)
    } else {
        let route = Route::of(path);
        let view = route.label();
        let (response, format) = dispatch(&app, &request, route).await;
        (response, view, format)
    };
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

async fn dispatch(app: &Arc<App>, request: &Request<Incoming>, route: Route) -> (Response<Answer>, Option<Format>) {
    let headers = request.headers();
    let query = request.uri().query().unwrap_or_default();
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.\n".to_owned());
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return (response, None);
    }
    if !is_allowed(&app.config.load().server, route.openness(), headers, query) {
        let mut response = text(
            StatusCode::UNAUTHORIZED,
            "A token is needed: as Basic password, as Bearer, or as ?token=.\n".to_owned(),
        );
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"listend\""));
        return (response, None);
    }
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
            set(response.headers_mut(), header::CONTENT_TYPE, "application/json");
            set(response.headers_mut(), header::CACHE_CONTROL, "no-store");
            (response, Some(Format::Json))
        }
        Route::StatusPage => (status_page(app, query).await, Some(Format::Html)),
        Route::Metrics => {
            let app = Arc::clone(app);
            let figures = move || {
                app.metrics.set_feeds(&app.live);
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
        Route::Front => (page(app, headers, "/", Format::Html, query).await, Some(Format::Html)),
        Route::View { path, format } => {
            let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
            let format = format.unwrap_or_else(|| Format::accepted(accept));
            (page(app, headers, &path, format, query).await, Some(format))
        }
    }
}

/// The status page: made anew each time, since it tells of every poll.
async fn status_page(app: &Arc<App>, query: &str) -> Response<Answer> {
    let asked = match overview::parse(query) {
        Ok(asked) => asked,
        Err(fault) => return refusal(app, StatusCode::BAD_REQUEST, Format::Html, &fault.to_string()),
    };
    let app = Arc::clone(app);
    let page = tokio::task::spawn_blocking(move || {
        let bound = app.live.bound();
        overview::status(&app.live, &bound, asked).map(|status| html::status(&status, &site(&app, &bound)))
    });
    match page.await {
        Ok(Ok(page)) => {
            let mut response = text(StatusCode::OK, page);
            set(response.headers_mut(), header::CONTENT_TYPE, Format::Html.media_type());
            response
        }
        Ok(Err(fault)) => text(StatusCode::BAD_REQUEST, format!("{fault}\n")),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "This page could not be made.\n".to_owned()),
    }
}

/// Answers with a page; a feed says which hub distributes it, and under which address (WebSub, section 4).
async fn page(app: &Arc<App>, headers: &HeaderMap, path: &str, format: Format, query_text: &str) -> Response<Answer> {
    let query = match query::parse(query_text) {
        Ok(query) => query,
        Err(fault) => return refusal(app, StatusCode::BAD_REQUEST, format, &fault.to_string()),
    };
    // The subscriptions behind a view are the same whatever is asked of its entries.
    let query = if format == Format::Opml { Query::default() } else { query };
    let key = Key { path: path.to_owned(), format, query };
    let mut response = kept_or_new(app, headers, &key, query_text).await;
    let is_page = matches!(response.status(), StatusCode::OK | StatusCode::NOT_MODIFIED);
    if is_page && topics::is_topic(&key) {
        let site = site(app, &app.live.bound());
        if let Some(hub) = &site.hub {
            let own = address(&site, &key.path, key.format.ending(), &key.query);
            set(response.headers_mut(), header::LINK, &format!("<{hub}>; rel=\"hub\", <{own}>; rel=\"self\""));
            app.asked.note(&key, (app.clock)());
        }
    }
    response
}

/// A kept page where nothing has changed since, else a new one.
async fn kept_or_new(app: &Arc<App>, headers: &HeaderMap, key: &Key, query_text: &str) -> Response<Answer> {
    let (path, format) = (key.path.as_str(), key.format);
    if let Some(kept) = app.pages.current(key, &app.live) {
        return serve(app, headers, &kept.representation);
    }
    let Ok(_permit) = app.rendering.acquire().await else {
        return refusal(app, StatusCode::SERVICE_UNAVAILABLE, format, "listend is stopping.");
    };
    // Somebody else may have rendered it while we waited.
    if let Some(kept) = app.pages.current(key, &app.live) {
        return serve(app, headers, &kept.representation);
    }
    let rendering = {
        let app = Arc::clone(app);
        let key = key.clone();
        tokio::task::spawn_blocking(move || render(&app, key))
    };
    match rendering.await {
        Ok(Ok(Rendered::Page(kept))) => serve(app, headers, &kept.representation),
        Ok(Ok(Rendered::Moved(path))) => moved(app, &path, format, query_text),
        Ok(Ok(Rendered::Nothing)) => {
            let bound = app.live.bound();
            refusal(app, StatusCode::NOT_FOUND, format, &overview::what_there_is(&bound, path))
        }
        Ok(Err(fault)) => {
            warn!(error = %fault, path, "a page could not be read from the store");
            // What was said before is better than nothing.
            if let Some(kept) = app.pages.any(key) {
                return serve(app, headers, &kept.representation);
            }
            refusal(app, StatusCode::SERVICE_UNAVAILABLE, format, "The database cannot be read just now; try again.")
        }
        Err(fault) => {
            error!(error = %fault, path, "rendering a page failed");
            refusal(app, StatusCode::INTERNAL_SERVER_ERROR, format, "This page could not be made; the log says why.")
        }
    }
}

enum Rendered {
    Page(Arc<Kept>),
    Moved(String),
    Nothing,
}

/// Renders a page and keeps it.
fn render(app: &App, key: Key) -> Result<Rendered, StoreError> {
    // Taken before anything is read: what changes meanwhile makes the page stale, never wrong for long.
    let (configuration, rendered) = (app.pages.configuration(), app.live.revision());
    let bound = app.live.bound();
    let stand = Stand { roster: bound.revision, configuration, rendered };
    let is_front = key.path == "/";
    let view = match view::find(&bound, if is_front { view::LISTEN } else { &key.path }) {
        Some(Found::View(view)) => view,
        Some(Found::Moved(path)) => return Ok(Rendered::Moved(path)),
        None => return Ok(Rendered::Nothing),
    };
    let mut site = site(app, &bound);
    let is_health = view.head.path == view::HEALTH;
    // There is nobody to answer where a server speaks.
    site.contact_links &= !is_health;
    let body = if key.format == Format::Opml {
        let outlines = if is_health {
            health::outlines(&app.store, &app.live, &bound)?
        } else {
            view::outlines(&bound, &view.head.path)
        };
        opml::render(&view.head.title, &outlines)
    } else {
        let mut page = if is_health {
            health_page(app, &bound, &view, &key, &site)?
        } else {
            merge::page(&app.store.snapshot()?, &app.live, &bound, &view, &key.query)?
        };
        // What only the keeper may read in full is not hinted at to everybody.
        if !app.config.load().server.public {
            page.troubled = app.live.broken_among(&view.feeds);
        }
        match key.format {
            Format::Atom => atom::render(&page, &site),
            Format::Rss => rss::render(&page, &site),
            Format::Json => json::render(&page, &site),
            Format::Html | Format::Opml if is_front => {
                let (circles, hearing) = (overview::circles(&bound), overview::hearing(&app.live, &view));
                html::front(&Front { river: &page, circles: &circles, hearing, today: None }, &site)
            }
            Format::Html | Format::Opml => html::river(&page, &site),
        }
    };
    let previous = app.pages.any(&key);
    let previous = previous.as_ref().map(|kept| &kept.representation);
    let representation = Representation::new(key.format.media_type(), body, (app.clock)(), previous);
    let kept = Arc::new(Kept::new(representation, view.feeds, stand));
    app.pages.keep(key, Arc::clone(&kept));
    Ok(Rendered::Page(kept))
}

/// A page of events; on a page for people the way to the voice is a path of ours, and not an address.
fn health_page(app: &App, bound: &Bound, view: &View, key: &Key, site: &Site) -> Result<Page, StoreError> {
    let address = |path: &str| address(site, path, "", &Query::default());
    let mut page = health::page(&app.store, &app.live, bound, view, &key.query, address)?;
    if key.format == Format::Html {
        page.entries.iter_mut().for_each(|listed| listed.entry.link = None);
    }
    Ok(page)
}

/// What all pages share, as the configuration and the roster have it now.
pub(super) fn site(app: &App, bound: &Bound) -> Site {
    let config = app.config.load();
    Site {
        base_url: config.server.base_url.clone(),
        hub: config.server.hub.as_ref().map(ToString::to_string),
        // Nothing records contact yet, so nothing links to where it would be recorded.
        contact_links: false,
        is_keeper: false,
        lists: bound.roster.lists.iter().map(|list| (list.title.clone(), list.path.clone())).collect(),
    }
}

fn serve(app: &App, headers: &HeaderMap, page: &Representation) -> Response<Answer> {
    let is_known = page.is_known_to(headers);
    let (bytes, coding, etag) = page.coded(headers);
    let mut response = Response::new(Answer::Whole(if is_known { Full::default() } else { Full::new(bytes.clone()) }));
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let fields = response.headers_mut();
    set(fields, header::ETAG, etag);
    set(fields, header::LAST_MODIFIED, &page.last_modified.to_http_date());
    set(fields, header::VARY, "Accept, Accept-Encoding");
    // Asked again each time: a 304 costs next to nothing, and an edited list shows at once.
    let is_private = !app.config.load().server.tokens.is_empty();
    set(fields, header::CACHE_CONTROL, if is_private { "private, no-cache" } else { "public, no-cache" });
    if !is_known {
        set(fields, header::CONTENT_TYPE, page.media_type);
        if let Some(coding) = coding {
            set(fields, header::CONTENT_ENCODING, coding);
        }
    }
    guard(fields);
    response
}

/// Pages load their style sheet from here and nothing else from anywhere; feeds are no pages at all.
fn guard(fields: &mut HeaderMap) {
    let policy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    set(fields, header::CONTENT_SECURITY_POLICY, policy);
    set(fields, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(fields, header::REFERRER_POLICY, "no-referrer");
}

fn set(fields: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        fields.insert(name, value);
    }
}

pub(super) fn text(status: StatusCode, body: String) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Full::new(body.into())));
    *response.status_mut() = status;
    set(response.headers_mut(), header::CONTENT_TYPE, "text/plain; charset=utf-8");
    set(response.headers_mut(), header::CACHE_CONTROL, "no-store");
    guard(response.headers_mut());
    response
}

/// A 4xx or 5xx in the spirit of the format that was asked for.
fn refusal(app: &App, status: StatusCode, format: Format, message: &str) -> Response<Answer> {
    match format {
        Format::Html => {
            let site = site(app, &app.live.bound());
            let title = status.canonical_reason().unwrap_or("Not possible");
            let ways: Vec<_> =
                [("Everyone".to_owned(), view::LISTEN.to_owned())].into_iter().chain(site.lists.clone()).collect();
            let mut response = text(status, html::message(&site, title, &[message], &ways));
            set(response.headers_mut(), header::CONTENT_TYPE, Format::Html.media_type());
            response
        }
        Format::Json => {
            let body = serde_json::json!({ "error": message, "status": status.as_u16() });
            let mut response = text(status, format!("{body}\n"));
            set(response.headers_mut(), header::CONTENT_TYPE, "application/json");
            response
        }
        Format::Atom | Format::Rss | Format::Opml => text(status, format!("{message}\n")),
    }
}

/// A voice that stood here before has an address of its own, which stays (RFC 9110, section 15.4.9).
fn moved(app: &App, path: &str, format: Format, query: &str) -> Response<Answer> {
    let base = app.config.load().server.base_url.clone();
    let target = format!("{}{}.{}", base.as_str().trim_end_matches('/'), path, format.ending());
    let target = if query.is_empty() { target } else { format!("{target}?{query}") };
    let mut response = text(StatusCode::PERMANENT_REDIRECT, format!("This voice is at {target}\n"));
    set(response.headers_mut(), header::LOCATION, &target);
    response
}
