//! One hop: a request made, sent, and answered up to the end of the headers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, USER_AGENT,
};
use hyper::{Method, Request, Response, Uri};
use percent_encoding::percent_decode_str;
use url::Url;

use super::failure::is_unprocessed;
use super::{Failure, MAX_HEADER_BYTES, Shared};
use crate::model::{FeedUrl, Validators, redact};

/// What `body` can decode.
const ACCEPTED_ENCODINGS: HeaderValue = HeaderValue::from_static("gzip, br, deflate");
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

impl Shared {
    /// Asks for `url`. `validators` make the request conditional.
    pub(super) async fn ask(
        &self,
        url: &FeedUrl,
        validators: Option<&Validators>,
        accept: &'static str,
    ) -> Result<Response<Incoming>, Failure> {
        let mut headers = self.headers_for(url.url())?;
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(ACCEPT_ENCODING, ACCEPTED_ENCODINGS);
        if let Some(validators) = validators {
            for (name, value) in conditions(validators) {
                headers.insert(name, value);
            }
        }
        self.sent(Method::GET, url.url(), headers, Bytes::new()).await
    }

    /// Sends a form to `url`.
    pub(super) async fn send_form(&self, url: &FeedUrl, form: Bytes) -> Result<Response<Incoming>, Failure> {
        let mut headers = self.headers_for(url.url())?;
        headers.insert(CONTENT_TYPE, FORM);
        self.sent(Method::POST, url.url(), headers, form).await
    }

    /// What every request says, if the guard lets it go to `url` at all.
    fn headers_for(&self, url: &Url) -> Result<HeaderMap, Failure> {
        self.settings.guard.permits_literal(url)?;
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(USER_AGENT, self.user_agent.clone());
        if let Some(credentials) = credentials(url) {
            headers.insert(AUTHORIZATION, credentials);
        }
        Ok(headers)
    }

    /// The answer to a request, up to the end of the headers.
    async fn sent(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let unusable = |error: &dyn std::fmt::Display| Failure::Transport(format!("no address for HTTP: {error}"));
        let uri: Uri = if has_credentials(url) { redact(url).try_into() } else { url.as_str().try_into() }
            .map_err(|error: hyper::http::uri::InvalidUri| unusable(&error))?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let limit = self.settings.first_byte_timeout;
        let response = match tokio::time::timeout(limit, self.processed(request)).await {
            Ok(sent) => sent?,
            Err(_) => return Err(Failure::Timeout { part: "response headers", limit }),
        };
        let header_bytes: usize =
            response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if header_bytes > MAX_HEADER_BYTES {
            return Err(Failure::TooLarge { part: "header", max_bytes: MAX_HEADER_BYTES });
        }
        Ok(response)
    }

    /// The answer to a request that is sent a second time where the server says that it has not looked at the first.
    async fn processed(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        // Only HTTP/2 can say so, and only over TLS do we speak it: plain requests need no copy.
        let again = (request.uri().scheme_str() == Some("https")).then(|| request.clone());
        let answered = match (self.http.request(request).await, again) {
            (Err(error), Some(again)) if is_unprocessed(&error) => self.http.request(again).await,
            (answered, _) => answered,
        };
        answered.map_err(|error| Failure::of_request(&error))
    }
}

/// The conditional headers that these validators make, byte for byte. Bytes that no header may carry did not come from
/// one, and are left out.
fn conditions(validators: &Validators) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let etag = validators.etag.as_deref().map(|bytes| (IF_NONE_MATCH, bytes));
    let last_modified = validators.last_modified.as_deref().map(|bytes| (IF_MODIFIED_SINCE, bytes));
    let sent = etag.into_iter().chain(last_modified);
    sent.filter_map(|(name, bytes)| Some((name, HeaderValue::from_bytes(bytes).ok()?)))
}

/// Whether a request with these validators is conditional.
pub(super) fn is_conditional(validators: &Validators) -> bool {
    conditions(validators).next().is_some()
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// The URL's user name and password as `Authorization` (RFC 7617).
fn credentials(url: &Url) -> Option<HeaderValue> {
    if !has_credentials(url) {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}
