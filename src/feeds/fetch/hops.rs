//! From the asked address through its redirects to the answer: whom each hop may ask, and with what.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use hyper::{Response, StatusCode};

use super::request::is_conditional;
use super::{Answer, Failure, Hop, MAX_HOPS, Pass, Shared, Turns, headers};
use crate::feeds::address::Blocked;
use crate::model::{FeedUrl, Timestamp, Validators};

/// Longest target of a redirect.
const MAX_LOCATION_BYTES: usize = 8192;

impl Shared {
    /// The answer to a request for `asked`, wherever its redirects lead.
    pub(super) async fn follow(
        &self,
        asked: &FeedUrl,
        validators: &Validators,
        accept: &'static str,
        now: Timestamp,
        turns: &Turns,
    ) -> Result<Answer, Failure> {
        let mut url = asked.clone();
        let mut hops: Vec<Hop> = Vec::new();
        // Lives as long as the request that it lets pass, the body included.
        let mut _pass: Option<Pass> = None;
        loop {
            // They mean something only to the very address that they came from.
            let conditions = Some(validators).filter(|validators| validators.from.as_ref() == Some(&url));
            let response = match self.ask(&url, conditions, accept).await {
                // A server may close a connection after its redirect without saying so, and the request that follows
                // it at once falls into that gap (RFC 9112, section 9.3.1).
                Err(Failure::Transport(_)) if from_same_host(&hops, asked) => {
                    self.ask(&url, conditions, accept).await?
                }
                Err(failure) if failure.may_be_our_network() && !hops.is_empty() => {
                    return Err(Failure::Astray { host: url.host_and_port(), failure: Box::new(failure) });
                }
                answered => answered?,
            };
            let status = response.status();
            if !is_redirect(status) {
                if status == StatusCode::NOT_MODIFIED && !conditions.is_some_and(is_conditional) {
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

    async fn answer(
        &self,
        asked: FeedUrl,
        url: FeedUrl,
        hops: Vec<Hop>,
        response: Response<Incoming>,
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
            content_type: headers::text(headers, &CONTENT_TYPE).map(Cow::into_owned),
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
pub(super) fn target(from: &FeedUrl, headers: &HeaderMap) -> Result<FeedUrl, Failure> {
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
