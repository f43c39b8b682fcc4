//! The endpoint that others tell of their links to us (W3C Recommendation of 12 January 2017,
//! <https://www.w3.org/TR/webmention/>, section 3.2; the sections named here are its own).
//!
//! Owns which claims are let in, and how many: those about our own sites, so many from one host and from all together,
//! each once while it waits. What is true of them is found out later, by the daemon (section 3.2 has it asynchronous).
//! No token is asked for here: whoever links to us has none.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::mpsc;

use super::App;
use super::answer::{Answer, text};
use crate::feeds::webmention::{BadClaim, Claim};
use crate::listen::sites::Owner;
use crate::model::{Timestamp, comparable_link};

/// The path of the endpoint.
pub const ENDPOINT: &str = "/webmention";

/// The largest form, in bytes.
const MAX_FORM_BYTES: usize = 16 << 10;
/// Time for a form to arrive.
const FORM_TIMEOUT: Duration = Duration::from_secs(10);
/// Claims that wait for the daemon.
const MAX_WAITING: usize = 64;
/// When to come again where too many wait.
const BUSY_PAUSE: Duration = Duration::from_mins(1);
/// Claims that are let in within a [`SPAN`]: about sources on one host…
const MAX_PER_HOST: usize = 30;
/// …and altogether.
const MAX_OF_ALL: usize = 300;
/// The time that those are counted over.
const SPAN: Duration = Duration::from_hours(1);

/// A claim that was let in.
#[derive(Debug)]
pub struct Call {
    /// What is claimed.
    pub claim: Claim,
    /// When it was received.
    pub received: Timestamp,
}

/// What claims are dropped into.
#[derive(Debug)]
pub struct Letterbox {
    calls: mpsc::Sender<Call>,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    /// Claims whose sources have not been asked yet.
    waiting: HashSet<Claim>,
    rates: Rates,
}

/// What becomes of a claim at the letterbox.
#[derive(Debug, PartialEq, Eq)]
enum Dropped {
    /// It waits; perhaps it did already.
    Waits,
    /// There are too many; after this long there may be room.
    TooMany(Duration),
}

impl Letterbox {
    /// An empty one, and where the claims will arrive.
    pub fn new() -> (Self, mpsc::Receiver<Call>) {
        let (calls, received) = mpsc::channel(MAX_WAITING);
        (Self { calls, inside: Mutex::default() }, received)
    }

    /// Says that the source of a claim is asked now: whoever claims the same from now on may know of something newer.
    pub fn taken(&self, claim: &Claim) {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).waiting.remove(claim);
    }

    fn drop_in(&self, claim: Claim, now: Timestamp) -> Dropped {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.waiting.contains(&claim) {
            return Dropped::Waits;
        }
        if let Some(pause) = inside.rates.pause(claim.url().host(), now) {
            return Dropped::TooMany(pause);
        }
        // The daemon takes as many as it can remember.
        let Ok(place) = self.calls.try_reserve() else { return Dropped::TooMany(BUSY_PAUSE) };
        inside.rates.count(claim.url().host(), now);
        inside.waiting.insert(claim.clone());
        place.send(Call { claim, received: now });
        Dropped::Waits
    }
}

/// How many claims were let in lately, and from where. Pure: time is an argument.
#[derive(Debug, Default)]
struct Rates(VecDeque<(Timestamp, String)>);

impl Rates {
    /// How long a host has to wait; `None` where it need not.
    fn pause(&mut self, host: &str, now: Timestamp) -> Option<Duration> {
        // What lies in the future was counted before the clock was set back.
        self.0.retain(|(at, _)| *at <= now && now.since(*at) < SPAN);
        let own = self.0.iter().filter(|(_, from)| from == host);
        let end = |at: Timestamp| at.plus(SPAN).since(now);
        let of_host = (own.clone().count() >= MAX_PER_HOST).then(|| own.clone().next().map(|(at, _)| end(*at)));
        let of_all = (self.0.len() >= MAX_OF_ALL).then(|| self.0.front().map(|(at, _)| end(*at)));
        of_host.flatten().max(of_all.flatten())
    }

    fn count(&mut self, host: &str, now: Timestamp) {
        self.0.push_back((now, host.to_owned()));
    }
}

/// Answers whoever tells of a link.
pub(super) async fn answer(app: &Arc<App>, request: Request<Incoming>) -> Response<Answer> {
    if request.method() != Method::POST {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Webmentions are sent here by POST.\n".to_owned());
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    if !is_form(request.headers()) {
        let message = "Webmentions come as application/x-www-form-urlencoded.\n".to_owned();
        return closing(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let form = match form(request).await {
        Ok(form) => form,
        Err(refusal) => return closing(*refusal),
    };
    let refused = |why: &str| text(StatusCode::BAD_REQUEST, format!("{why}.\n"));
    let claim = match claim(&form) {
        Ok(claim) => claim,
        Err(fault) => return refused(&fault.to_string()),
    };
    match is_about_us(app, &claim).await {
        Some(true) => {}
        Some(false) => return refused("target is no page of a site that Webmentions are received for here"),
        None => return text(StatusCode::INTERNAL_SERVER_ERROR, "This could not be looked at.\n".to_owned()),
    }
    match app.letterbox.drop_in(claim, (app.clock)()) {
        Dropped::Waits => text(StatusCode::ACCEPTED, "Thank you. The source will be looked at soon.\n".to_owned()),
        Dropped::TooMany(pause) => {
            let mut response = text(StatusCode::TOO_MANY_REQUESTS, "Too many at once; come again later.\n".to_owned());
            response.headers_mut().insert(header::RETRY_AFTER, pause.as_secs().max(1).into());
            response
        }
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The form, or what is answered instead.
async fn form(request: Request<Incoming>) -> Result<Vec<u8>, Box<Response<Answer>>> {
    let refusal = |status, message: &str| Err(Box::new(text(status, format!("{message}\n"))));
    let too_large = || refusal(StatusCode::PAYLOAD_TOO_LARGE, "A form with two addresses is not that large.");
    if request.body().size_hint().lower() > MAX_FORM_BYTES as u64 {
        return too_large();
    }
    let reading = Limited::new(request.into_body(), MAX_FORM_BYTES).collect();
    match tokio::time::timeout(FORM_TIMEOUT, reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(fault)) if fault.is::<LengthLimitError>() => too_large(),
        Ok(Err(_)) => refusal(StatusCode::BAD_REQUEST, "The form broke off."),
        Err(_) => refusal(StatusCode::REQUEST_TIMEOUT, "That took too long."),
    }
}

/// What a form claims (section 3.1.3); of fields that stand there twice the first counts.
fn claim(form: &[u8]) -> Result<Claim, BadClaim> {
    let field = |wanted: &str| {
        let mut fields = url::form_urlencoded::parse(form);
        fields.find(|(name, _)| name == wanted).map(|(_, value)| value).unwrap_or_default()
    };
    Claim::parse(&field("source"), &field("target"))
}

/// Whether the target is a page of the keeper's (section 3.2.1); `None` where that could not be found out.
async fn is_about_us(app: &Arc<App>, claim: &Claim) -> Option<bool> {
    let Some(target) = comparable_link(claim.target()) else { return Some(false) };
    let app = Arc::clone(app);
    let owner = tokio::task::spawn_blocking(move || {
        let sites = app.relations.sites(&app.live, &app.live.bound(), &app.config.load().mine);
        sites.owner(&target)
    });
    owner.await.ok().map(|owner| owner == Some(Owner::Mine))
}

/// The rest of a body that was not read is not waited for.
fn closing(mut response: Response<Answer>) -> Response<Answer> {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_379_832);

    fn about(host: usize, page: usize) -> Claim {
        let source = format!("https://host{host}.example/{page}");
        Claim::parse(&source, "https://me.example/").expect("a claim")
    }

    #[test]
    fn so_many_are_let_in_within_an_hour() {
        let mut rates = Rates::default();
        let at = |seconds: u64| NOW.plus(Duration::from_secs(seconds));
        for second in 0..MAX_PER_HOST as u64 {
            assert_eq!(rates.pause("a", at(second)), None);
            rates.count("a", at(second));
        }
        assert_eq!(rates.pause("a", at(60)), Some(Duration::from_mins(59)));
        assert_eq!(rates.pause("b", at(60)), None);
        assert_eq!(rates.pause("a", at(3600)), None, "the first one is an hour ago");
        rates.count("a", at(3600));
        assert_eq!(rates.pause("a", at(3600)), Some(Duration::from_secs(1)));
        for host in 0..MAX_OF_ALL - MAX_PER_HOST {
            rates.count(&host.to_string(), at(3600));
        }
        assert_eq!(rates.pause("new", at(3600)), Some(Duration::from_secs(1)));
        assert_eq!(rates.0.len(), MAX_OF_ALL);
        assert_eq!(rates.pause("a", at(0)), None, "the clock was set back");
    }

    #[test]
    fn a_claim_waits_once() {
        let (letterbox, mut calls) = Letterbox::new();
        for _ in 0..500 {
            assert_eq!(letterbox.drop_in(about(1, 1), NOW), Dropped::Waits);
        }
        let call = calls.try_recv().expect("it has arrived");
        assert_eq!((call.claim, call.received), (about(1, 1), NOW));
        assert!(calls.try_recv().is_err());
        letterbox.taken(&about(1, 1));
        assert_eq!(letterbox.drop_in(about(1, 1), NOW), Dropped::Waits);
        assert!(calls.try_recv().is_ok());
    }

    #[test]
    fn a_full_letterbox_counts_nothing() {
        let (letterbox, mut calls) = Letterbox::new();
        for page in 0..MAX_WAITING {
            assert_eq!(letterbox.drop_in(about(page, page), NOW), Dropped::Waits);
        }
        assert_eq!(letterbox.drop_in(about(0, 99), NOW), Dropped::TooMany(BUSY_PAUSE));
        let _ = calls.try_recv();
        assert_eq!(letterbox.drop_in(about(0, 99), NOW), Dropped::Waits);
        assert_eq!(letterbox.inside.lock().expect("nobody panicked").rates.0.len(), MAX_WAITING + 1);
    }
}
