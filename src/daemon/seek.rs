//! From a page to the feed that belongs to it: asks what the page names, then the usual places, until one is a feed.
//!
//! The daemon, `preview` and `add` all look this way. Owns how many requests that may cost and how far apart they are;
//! what the page says is [`discover`]'s business, and what is remembered of it the caller's.

use std::future::ready;
use std::pin::Pin;
use std::time::Duration;

use url::Url;

use super::{blocking, now};
use crate::feeds::fetch::{ACCEPT_FEED, Answer, Client, Failure, Pass, Turns};
use crate::feeds::parse;
use crate::feeds::{decode, discover};
use crate::model::{Document, FeedUrl, Validators};

/// Most addresses of a page's own naming that are asked in one look.
const MAX_NAMED: usize = 4;
/// Most usual places that are asked in one look.
const MAX_GUESSES: usize = 10;

/// An HTML page that stands where a feed was looked for.
#[derive(Debug)]
pub struct Page {
    /// Its bytes, as they were answered.
    pub body: Vec<u8>,
    /// Its media type, as it was answered.
    pub content_type: Option<String>,
    /// Its address, after all redirects. A file is asked for what it names, and has no usual places.
    pub url: Url,
}

/// A page's feed.
#[derive(Debug)]
pub struct Found {
    /// The address that the page names, or the usual place.
    pub url: FeedUrl,
    /// Whether the page names it; otherwise it was found at a usual place.
    pub is_named: bool,
    /// What it answered.
    pub answer: Answer,
    /// What it says.
    pub document: Document,
}

/// A host that may have the feed may not be asked now, and nobody else has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoTurn;

/// Looks for the feed of a page: at most four requests, and with `may_guess` ten more, one after
/// the other and `gap` apart, so that the page's host never sees more than one of them at a time.
///
/// Usual places are given up at the first that does not answer at all, or asks to be spared.
pub async fn seek(client: &Client, page: Page, may_guess: bool, gap: Duration) -> Option<Found> {
    let nobody_else_asks = |_| -> Pin<Box<dyn Future<Output = Option<Pass>> + Send>> { Box::pin(ready(Some(free()))) };
    seek_in_turn(client, page, may_guess, gap, &nobody_else_asks).await.ok().flatten()
}

/// What a host needs no turn for.
pub(super) fn free() -> Pass {
    Box::new(())
}

/// Like [`seek`], but asks `turns` before each request, also for the page's own host. `None` where there is no feed.
pub(super) async fn seek_in_turn(
    client: &Client,
    page: Page,
    may_guess: bool,
    gap: Duration,
    turns: &Turns,
) -> Result<Option<Found>, NoTurn> {
    let Page { body, content_type, url: page } = page;
    let at = page.clone();
    let named = blocking(move || discover::feeds_in(&decode::decode(&body, content_type.as_deref()), &at)).await;
    let named = named.into_iter().map(|candidate| (candidate.url, true)).take(MAX_NAMED);
    let has_places = may_guess && matches!(page.scheme(), "http" | "https");
    let places = if has_places { discover::well_known(&page) } else { Vec::new() };
    let mut asked = vec![page];
    let mut is_complete = true;
    for (url, is_named) in named.chain(places.into_iter().take(MAX_GUESSES).map(|url| (url, false))) {
        if asked.contains(&url) {
            continue;
        }
        asked.push(url.clone());
        let Ok(url) = FeedUrl::try_from(url) else { continue };
        tokio::time::sleep(gap).await;
        let answered = match turns(url.host_and_port()).await {
            // Held until the answer is here.
            Some(_pass) => client.get_in_turn(&url, &Validators::default(), ACCEPT_FEED, now(), turns).await,
            None => Err(Failure::NoTurn(url.host_and_port())),
        };
        is_complete &= !matches!(answered, Err(Failure::NoTurn(_)));
        match answered {
            Ok(answer) if matches!(answer.status, 200 | 203) => {
                let (body, content_type, base) = (answer.body.clone(), answer.content_type.clone(), answer.base());
                if let Ok(document) = blocking(move || parse::parse(&body, content_type.as_deref(), &base)).await {
                    return Ok(Some(Found { url, is_named, answer, document }));
                }
            }
            Ok(answer) if !is_named && matches!(answer.status, 429 | 503) => break,
            Err(_) if !is_named => break,
            _ => {}
        }
    }
    if is_complete { Ok(None) } else { Err(NoTurn) }
}
