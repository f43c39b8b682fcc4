//! A form as it is sent: read whole, within bounds of bytes and time.

use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Request, StatusCode};

use super::arriving::Arriving;

/// The only media type that forms come in here (WHATWG URL, `application/x-www-form-urlencoded`).
const FORM: &str = "application/x-www-form-urlencoded";
/// How long a form may take to arrive.
const FORM_TIMEOUT: Duration = Duration::from_secs(10);

/// The fields of a form in their order, names and values decoded. A fault is the status to answer with, and why; the
/// body may then not have been read to its end.
pub(super) async fn read(
    request: &mut Request<Arriving>,
    max_bytes: usize,
) -> Result<Vec<(String, String)>, (StatusCode, String)> {
    if !is_form(request.headers()) {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("This takes a form as {FORM}.")));
    }
    let too_large = || (StatusCode::PAYLOAD_TOO_LARGE, format!("A form has at most {} KiB here.", max_bytes >> 10));
    if request.body().size_hint().lower() > max_bytes as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(FORM_TIMEOUT, Limited::new(request.body_mut(), max_bytes).collect()).await {
        Ok(Ok(body)) => Ok(url::form_urlencoded::parse(&body.to_bytes()).into_owned().collect()),
        Ok(Err(fault)) if fault.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "The form broke off.".to_owned())),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "The form took too long to arrive.".to_owned())),
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(FORM)
}
