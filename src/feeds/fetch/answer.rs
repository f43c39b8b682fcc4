//! What came back: the last hop's answer and the way to it, and what both say about the asked address.

use std::time::Duration;

use bytes::Bytes;
use url::Url;

use crate::feeds::schedule::{Answered, Move};
use crate::model::{FeedUrl, Validators};

/// What came back: the last hop's answer, and the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The address asked.
    pub asked: FeedUrl,
    /// The address that answered, after all redirects.
    pub url: FeedUrl,
    /// The redirects followed.
    pub hops: Vec<Hop>,
    /// The HTTP status.
    pub status: u16,
    /// What makes the next request conditional: of a 200 its own, of a 304 the old ones refreshed, else none.
    pub validators: Validators,
    /// For how long the answer is fresh (RFC 9111, section 4.2): `max-age` less `Age`, else `Expires` less `Date`.
    pub freshness: Option<Duration>,
    /// How long to wait before asking again (RFC 9110, section 10.2.3); a date is counted from the answer's own `Date`.
    pub retry_after: Option<Duration>,
    /// The `Content-Type`, as sent.
    pub content_type: Option<String>,
    /// WebSub hubs named in `Link` headers, absolute.
    pub hubs: Vec<String>,
    /// The address that a `Link` header with `rel="self"` gives, absolute.
    pub self_link: Option<String>,
    /// The decoded body of a 200 or 203; of every other status empty.
    pub body: Bytes,
    /// Whether the transport ended before the body did.
    pub cut_off: bool,
}

/// A redirect that was followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Its status: 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Where it led.
    pub to: FeedUrl,
}

impl Answer {
    /// Where the asked address has moved for good: as far as permanent redirects led before any other one.
    pub fn moved(&self) -> Option<Move> {
        let to = self.hops.iter().take_while(|hop| matches!(hop.status, 301 | 308)).last()?.to.clone();
        let upgrade = self.asked.url().scheme() == "http"
            && to.url().scheme() == "https"
            && self.asked.host() == to.host()
            && self.asked.url().port().is_none()
            && to.url().port().is_none()
            && self.asked.url()[url::Position::BeforePath..] == to.url()[url::Position::BeforePath..];
        Some(Move { to, upgrade })
    }

    /// Against which address relative ones in the body are resolved: the one that answered, without its credentials,
    /// which would go into every link otherwise.
    pub fn base(&self) -> Url {
        let mut base = self.url.url().clone();
        // Both fail only for URLs that cannot carry credentials.
        let _ = base.set_username("");
        let _ = base.set_password(None);
        base
    }

    /// What the schedule has to know of it.
    pub fn answered(&self) -> Answered {
        Answered {
            status: self.status,
            freshness: self.freshness,
            retry_after: self.retry_after,
            moved: self.moved(),
            redirected: !self.hops.is_empty(),
        }
    }
}
