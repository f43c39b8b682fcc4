//! The endpoint that others tell of their links to us (W3C Recommendation of 12 January 2017,
//! <https://www.w3.org/TR/webmention/>, section 3.2; the sections named here are its own).
//!
//! Owns which claims are let in, and how many: those about our own sites, so many from one domain and from all together,
//! each once while it waits. What is true of them is found out later, by the daemon (section 3.2 has it asynchronous).
//! No token is asked for here: whoever links to us has none.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::header;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::mpsc;

use super::answer::{Answer, not_that_way, text};
use super::arriving::Arriving;
use super::{App, form};
use crate::feeds::webmention::{BadClaim, Claim};
use crate::listen::sites::Owner;
use crate::model::{Timestamp, comparable_link};

/// The path of the endpoint.
pub const ENDPOINT: &str = "/webmention";

/// The largest form, in bytes.
const MAX_FORM_BYTES: usize = 16 << 10;
/// Claims that wait for the daemon.
const MAX_WAITING: usize = 64;
/// When to come again where too many wait.
const BUSY_PAUSE: Duration = Duration::from_mins(1);
/// Claims that are let in within a [`SPAN`]: about sources of one [`domain`]…
const MAX_PER_DOMAIN: usize = 30;
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
        if let Some(pause) = inside.rates.pause(domain(claim.url().host()), now) {
            return Dropped::TooMany(pause);
        }
        // The daemon takes as many as it can remember.
        let Ok(place) = self.calls.try_reserve() else { return Dropped::TooMany(BUSY_PAUSE) };
        inside.rates.count(domain(claim.url().host()), now);
        inside.waiting.insert(claim.clone());
        place.send(Call { claim, received: now });
        Dropped::Waits
    }
}

/// What a host is counted under: its last two labels, since whoever has a domain has any number of hosts in it. An address
/// is counted by itself.
fn domain(host: &str) -> &str {
    if host.parse::<std::net::Ipv4Addr>().is_ok() || host.starts_with('[') {
        return host;
    }
    let mut dots = host.trim_end_matches('.').rmatch_indices('.').map(|(at, _)| at);
    dots.nth(1).map_or(host, |at| &host[at + 1..])
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
        let of_host = (own.clone().count() >= MAX_PER_DOMAIN).then(|| own.clone().next().map(|(at, _)| end(*at)));
        let of_all = (self.0.len() >= MAX_OF_ALL).then(|| self.0.front().map(|(at, _)| end(*at)));
        of_host.flatten().max(of_all.flatten())
    }

    fn count(&mut self, host: &str, now: Timestamp) {
        self.0.push_back((now, host.to_owned()));
    }
}

/// Answers whoever tells of a link.
pub(super) async fn answer(app: &Arc<App>, request: &mut Request<Arriving>) -> Response<Answer> {
    if request.method() != Method::POST {
        return not_that_way("POST");
    }
    let fields = match form::read(request, MAX_FORM_BYTES).await {
        Ok(fields) => fields,
        Err((status, why)) => return text(status, format!("{why}\n")),
    };
    let refused = |why: &str| text(StatusCode::BAD_REQUEST, format!("{why}.\n"));
    let claim = match claim(&fields) {
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

/// What a form claims (section 3.1.3); of fields that stand there twice the first counts.
fn claim(fields: &[(String, String)]) -> Result<Claim, BadClaim> {
    let field = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value);
    Claim::parse(field("source"), field("target"))
}

/// Whether the target is a page of the keeper's (section 3.2.1); `None` where that could not be found out.
async fn is_about_us(app: &Arc<App>, claim: &Claim) -> Option<bool> {
    let Some(target) = comparable_link(claim.target()) else { return Some(false) };
    let app = Arc::clone(app);
    let owner = tokio::task::spawn_blocking(move || {
        // What is yours is told without the voices, and so without working out anything.
        let sites = app.relations.keeper_sites(&app.live, &app.live.bound(), &app.config.load().mine);
        sites.owner(&target)
    });
    owner.await.ok().map(|owner| owner == Some(Owner::Mine))
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
        for second in 0..MAX_PER_DOMAIN as u64 {
            assert_eq!(rates.pause("a", at(second)), None);
            rates.count("a", at(second));
        }
        assert_eq!(rates.pause("a", at(60)), Some(Duration::from_mins(59)));
        assert_eq!(rates.pause("b", at(60)), None);
        assert_eq!(rates.pause("a", at(3600)), None, "the first one is an hour ago");
        rates.count("a", at(3600));
        assert_eq!(rates.pause("a", at(3600)), Some(Duration::from_secs(1)));
        for host in 0..MAX_OF_ALL - MAX_PER_DOMAIN {
            rates.count(&host.to_string(), at(3600));
        }
        assert_eq!(rates.pause("new", at(3600)), Some(Duration::from_secs(1)));
        assert_eq!(rates.0.len(), MAX_OF_ALL);
        assert_eq!(rates.pause("a", at(0)), None, "the clock was set back");
    }

    #[test]
    fn hosts_are_counted_by_their_domain() {
        for (host, counted) in [
            ("a.b.evil.example", "evil.example"),
            ("evil.example", "evil.example"),
            ("localhost", "localhost"),
            ("10.1.2.3", "10.1.2.3"),
            ("[2001:db8::1.2.3.4]", "[2001:db8::1.2.3.4]"),
        ] {
            assert_eq!(domain(host), counted);
        }
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
