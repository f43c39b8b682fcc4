//! What is sent: bodies, the headers that every answer has, refusals in the spirit of the format that was asked for.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::App;
use super::access::Reader;
use super::filed::Filed;
use super::pages::site;
use super::query::Format;
use super::status::StatusBody;
use crate::listen::view;
use crate::publish::html;

/// A whole answer in memory, or the status that is written as it is read.
pub(super) enum Answer {
    Whole(Full<Bytes>),
    /// The bytes of a file.
    Filed(Full<Bytes>, Arc<Filed>),
    Status(Box<StatusBody>),
}

impl Answer {
    /// The file that has the bytes, too.
    pub(super) fn filed(&self) -> Option<&Arc<Filed>> {
        match self {
            Self::Filed(_, filed) => Some(filed),
            Self::Whole(_) | Self::Status(_) => None,
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) | Self::Filed(body, _) => Pin::new(body).poll_frame(cx),
            Self::Status(body) => Pin::new(body.as_mut()).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) | Self::Filed(body, _) => body.is_end_stream(),
            Self::Status(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) | Self::Filed(body, _) => body.size_hint(),
            Self::Status(body) => body.size_hint(),
        }
    }
}

/// Pages load their style sheet from here and nothing else from anywhere; feeds are no pages at all. Nobody is told from
/// where a link was followed.
pub(super) fn guard(fields: &mut HeaderMap) {
    let policy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    fields.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// A page for people tells our own pages, and no others, where a link was followed or a form was sent from. Without that
/// a browser names the origin of a form `null` (Fetch, "append a request `Origin` header"), and our forms could not be
/// told from those of others.
pub(super) fn guard_page(fields: &mut HeaderMap) {
    guard(fields);
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
}

/// Sets a header; a value that is none leaves it out.
pub(super) fn set(fields: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        fields.insert(name, value);
    }
}

/// An answer in plain words, which nobody keeps.
pub(super) fn text(status: StatusCode, body: String) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Full::new(body.into())));
    *response.status_mut() = status;
    set(response.headers_mut(), header::CONTENT_TYPE, "text/plain; charset=utf-8");
    set(response.headers_mut(), header::CACHE_CONTROL, "no-store");
    guard(response.headers_mut());
    response
}

/// A page for people, which nobody keeps.
pub(super) fn page(status: StatusCode, body: String) -> Response<Answer> {
    let mut response = text(status, body);
    set(response.headers_mut(), header::CONTENT_TYPE, Format::Html.media_type());
    guard_page(response.headers_mut());
    response
}

/// A 4xx or 5xx in the spirit of the format that was asked for.
pub(super) fn refusal(
    app: &App,
    reader: Reader,
    status: StatusCode,
    format: Format,
    message: &str,
) -> Response<Answer> {
    match format {
        Format::Html => {
            let site = site(app, &app.live.bound(), reader);
            let title = status.canonical_reason().unwrap_or("Not possible");
            let ways: Vec<_> =
                [("Everyone".to_owned(), view::LISTEN.to_owned())].into_iter().chain(site.lists.clone()).collect();
            page(status, html::message(&site, title, &[message], &ways))
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

/// A 405; `allow` names the methods that are answered (RFC 9110, section 15.5.6).
pub(super) fn not_that_way(allow: &'static str) -> Response<Answer> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("Only {allow} are answered here.\n"));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// The rest of a body that was not read is not waited for.
pub(super) fn closing(mut response: Response<Answer>) -> Response<Answer> {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Whether the connection ends with this answer.
pub(super) fn is_closing(response: &Response<Answer>) -> bool {
    response.headers().contains_key(header::CONNECTION)
}
