//! Forms, which only hubs are sent: under the same guard and limits as everything that is asked for.

use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;

use super::hops::target;
use super::{Client, Failure, MAX_HOPS, Shared, headers};
use crate::model::{FeedUrl, Timestamp};

/// What a server said to a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The HTTP status.
    pub status: u16,
    /// How long to wait before asking again.
    pub retry_after: Option<Duration>,
}

impl Client {
    /// Sends a form (already encoded) to `url`, under the same guard and limits as [`Client::get`], and returns once the
    /// answer's headers are there. Only redirects that keep the method are followed (307, 308; WebSub, section 5.1.2);
    /// the status of any other is what it answered.
    pub async fn post(&self, url: &FeedUrl, form: &str, now: Timestamp) -> Result<Posted, Failure> {
        let limit = self.shared.settings.timeout;
        let whole = self.shared.post(url, form, now);
        tokio::time::timeout(limit, whole).await.unwrap_or(Err(Failure::Timeout { part: "complete answer", limit }))
    }
}

impl Shared {
    async fn post(&self, asked: &FeedUrl, form: &str, now: Timestamp) -> Result<Posted, Failure> {
        let form = Bytes::copy_from_slice(form.as_bytes());
        let mut met = vec![asked.clone()];
        loop {
            let Some(url) = met.last() else { return Err(Failure::RedirectLoop("nowhere".into())) };
            let response = self.send_form(url, form.clone()).await?;
            if !matches!(response.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
                let retry_after = headers::retry_after(response.headers(), now);
                return Ok(Posted { status: response.status().as_u16(), retry_after });
            }
            let to = target(url, response.headers())?;
            if met.contains(&to) || met.len() > MAX_HOPS {
                return Err(Failure::RedirectLoop(format!("{to} after {} hops", met.len())));
            }
            met.push(to);
        }
    }
}
