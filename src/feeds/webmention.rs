//! Webmentions as their receiver has them, as far as it can be decided without sending anything (W3C Recommendation of
//! 12 January 2017, <https://www.w3.org/TR/webmention/>; the sections named here are its own).
//!
//! Owns which claims are worth a look, whether a source really links to what it is said to, what it says there, and when
//! it is asked again. Time and chance are arguments. Knows nothing of connections, of who may send how much, or of the
//! store.
//!
//! Where the specification leaves a choice:
//!
//! - A link is the target where it stands there as it was sent, or where a browser would go to the same page (section
//!   3.2.2 has the target matched exactly): relative links are resolved, letter case of the host and a default port do
//!   not count. Fragments count on neither side, since they name a place on the same page.
//! - In HTML what a reader can follow or see counts: `a`, `area`, and the `src` of what is shown. A `link` in the head
//!   leads no reader anywhere, so it counts only where it has a microformats property. In JSON a whole string counts,
//!   in plain text an address that ends where the target does.
//! - A source is forgotten when it answers 410, or 200 without the link (section 3.2.4). A 404 and every other status
//!   verify nothing and leave what was verified before.
//! - An address with a user name in it is refused: nobody's password is to be sent to us, nor by us.
//! - The target is not fetched: that it stands under a site of ours is enough.

use std::time::Duration;

use url::Url;

use super::fetch::{Answer, Failure};
use crate::model::{
    CleanHtml, EntryKey, FeedUrl, Person, Timestamp, Webmention, WebmentionKind, comparable_link, redact_text,
};

mod excerpt;
mod items;
mod json;
mod page;
mod target;
#[cfg(test)]
mod tests;
mod text;

use target::Target;

/// What a source may come as.
pub const ACCEPT_SOURCE: &str =
    "text/html, application/xhtml+xml;q=0.9, application/json;q=0.8, text/plain;q=0.7, */*;q=0.1";
/// Longest address of a source or a target, in bytes.
pub const MAX_ADDRESS_BYTES: usize = 2048;
/// Most of a source that is fetched, in bytes.
pub const MAX_SOURCE_BYTES: usize = 1 << 20;
/// Most of a source that is read, in bytes of text: what is fetched may unfold.
const MAX_TEXT_BYTES: usize = 4 << 20;
/// How often a source is asked before its claim is dropped.
const MAX_TRIES: u32 = 3;
/// How long a claim may wait for its source, from its receipt on.
pub const PATIENCE: Duration = Duration::from_hours(1);
/// The longest pause before the second try; the one after it is twice as long.
const MAX_FIRST_PAUSE: Duration = Duration::from_mins(15);
/// By how much pauses vary.
const JITTER_SHARE: f64 = 0.1;

/// What a sender claims: that one page links to another. Nothing of it is known to be true.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    source: String,
    target: String,
    url: FeedUrl,
}

/// Why a claim is none; prints in plain words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadClaim(String);

impl Claim {
    /// Reads what was sent as `source` and `target` (section 3.2.1): two http(s) addresses of at most
    /// [`MAX_ADDRESS_BYTES`] each, which are not those of one page.
    pub fn parse(source: &str, target: &str) -> Result<Self, BadClaim> {
        let url = address("source", source)?;
        address("target", target)?;
        let (source, target) = (source.trim().to_owned(), target.trim().to_owned());
        if comparable_link(&source) == comparable_link(&target) {
            return Err(BadClaim("source and target are the same page".to_owned()));
        }
        Ok(Self { source, target, url })
    }

    /// The page that is said to link, as it was sent.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The page that it is said to link to, as it was sent.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Where the source is asked for.
    pub fn url(&self) -> &FeedUrl {
        &self.url
    }
}

fn address(name: &str, sent: &str) -> Result<FeedUrl, BadClaim> {
    let bad = |why: String| Err(BadClaim(format!("{name} {why}")));
    let sent = sent.trim();
    if sent.is_empty() {
        return bad("is missing".to_owned());
    }
    if sent.len() > MAX_ADDRESS_BYTES {
        return bad(format!("is longer than {MAX_ADDRESS_BYTES} bytes"));
    }
    let url = Url::parse(sent).ok().filter(|_| !sent.contains(char::is_control));
    let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) else {
        return bad("is not an absolute http or https URL".to_owned());
    };
    if !url.username().is_empty() || url.password().is_some() {
        return bad("has a user name or a password in it".to_owned());
    }
    FeedUrl::try_from(url).or_else(|fault| bad(fault.to_string()))
}

/// What a source says where it links to the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What it calls its link; `None` where it does not say.
    pub kind: Option<WebmentionKind>,
    /// Who wrote it, as far as it says.
    pub author: Person,
    /// Its title as plain text; may be empty.
    pub title: String,
    /// The beginning of what it says, or what stands around the link.
    pub excerpt: CleanHtml,
    /// When it was published, as it says.
    pub published: Option<Timestamp>,
}

impl Reading {
    /// The Webmention that a claim has turned out to be.
    pub fn into_webmention(self, claim: &Claim, key: EntryKey, verified: Timestamp) -> Webmention {
        Webmention {
            key,
            source: claim.source.clone(),
            target: claim.target.clone(),
            kind: self.kind.unwrap_or(WebmentionKind::Mention),
            author: self.author,
            title: self.title,
            excerpt: self.excerpt,
            published: self.published.map(|published| published.min(key.listed_at)),
            verified,
        }
    }
}

/// What a claim turned out to be when its source was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// True.
    Verified(Box<Reading>),
    /// Not true, or no longer: what was verified before is to be forgotten.
    Gone(&'static str),
    /// Not verified, and it will not be. What was verified before stays.
    Refused(String),
    /// Not verified this time.
    Later {
        /// What was in the way.
        why: String,
        /// How long the source asked to be left alone.
        retry_after: Option<Duration>,
    },
}

/// What the answer of its source makes of a claim. Reads the body, so it belongs on a thread that may take its time.
pub fn judge(claim: &Claim, asked: &Result<Answer, Failure>) -> Verdict {
    let answer = match asked {
        Ok(answer) => answer,
        Err(failure) if is_passing(failure) => {
            return Verdict::Later { why: failure.to_string(), retry_after: None };
        }
        Err(failure) => return Verdict::Refused(failure.to_string()),
    };
    match answer.status {
        200 | 203 => {}
        410 => return Verdict::Gone("the source is gone"),
        status @ (408 | 425 | 429 | 500..=599) => {
            return Verdict::Later { why: format!("it answers HTTP {status}"), retry_after: answer.retry_after };
        }
        status => return Verdict::Refused(format!("it answers HTTP {status}")),
    }
    if comparable_link(answer.url.as_str()) == comparable_link(&claim.target) {
        return Verdict::Refused("the source leads to the target itself".to_owned());
    }
    match read(&answer.body, answer.content_type.as_deref(), &answer.base(), &claim.target) {
        Ok(Some(reading)) => Verdict::Verified(Box::new(reading)),
        // The link may stand in what is missing.
        Ok(None) if answer.cut_off => Verdict::Later { why: "the answer broke off".to_owned(), retry_after: None },
        Ok(None) => Verdict::Gone("the source does not link to the target"),
        Err(Unreadable(kind)) => {
            // Somebody else's words, on a line of ours.
            let kind: String = redact_text(&kind).chars().filter(|c| !c.is_control()).take(80).collect();
            Verdict::Refused(format!("it comes as {kind}, which is not read"))
        }
    }
}

/// Whether asking again may help.
fn is_passing(failure: &Failure) -> bool {
    !matches!(
        failure,
        Failure::Blocked(_) | Failure::TooLarge { .. } | Failure::RedirectLoop(_) | Failure::BadRedirect(_)
    )
}

/// How long to wait before the next try, after so many that failed and so long since the claim came; `None` where it is
/// dropped. Never later than [`PATIENCE`] after the receipt.
///
/// `shortest` is the shortest pause between two polls of a feed, `jitter` in [0, 1).
pub fn next_try(
    tries: u32,
    waited: Duration,
    retry_after: Option<Duration>,
    shortest: Duration,
    jitter: f64,
) -> Option<Duration> {
    if tries >= MAX_TRIES {
        return None;
    }
    let pause = shortest.min(MAX_FIRST_PAUSE) * 2_u32.pow(tries.saturating_sub(1));
    let pause = pause.mul_f64(1.0 + JITTER_SHARE * jitter).max(retry_after.unwrap_or_default());
    (waited.saturating_add(pause) <= PATIENCE).then_some(pause)
}

/// A document is of a kind that nobody here can read; its media type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not read")]
pub struct Unreadable(pub String);

/// What a document says where it links to `target`; `None` where it does not.
///
/// `body` and `content_type` as they came, `base` the address that answered. Takes time in proportion to the body,
/// whatever stands in it.
pub fn read(body: &[u8], content_type: Option<&str>, base: &Url, target: &str) -> Result<Option<Reading>, Unreadable> {
    let Some(target) = Target::of(target) else { return Ok(None) };
    let text = super::decode::decode(body, content_type);
    let text = &text[..text.floor_char_boundary(MAX_TEXT_BYTES)];
    Ok(match Kind::of(content_type, text)? {
        Kind::Html => page::read(text, base, &target),
        Kind::Json => json::read(text, base, &target),
        Kind::Text => text::read(text, base, &target),
    })
}

/// How a document is read (section 3.2.2).
enum Kind {
    Html,
    Json,
    Text,
}

impl Kind {
    fn of(content_type: Option<&str>, text: &str) -> Result<Self, Unreadable> {
        let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let media_type = media_type.to_ascii_lowercase();
        match media_type.as_str() {
            "text/html" | "application/xhtml+xml" => Ok(Self::Html),
            "application/json" | "text/json" => Ok(Self::Json),
            kind if kind.ends_with("+json") => Ok(Self::Json),
            "text/plain" | "text/markdown" => Ok(Self::Text),
            // Nobody said what it is.
            "" | "application/octet-stream" | "*/*" => Ok(match text.trim_start().as_bytes().first() {
                Some(b'<') => Self::Html,
                Some(b'{' | b'[') => Self::Json,
                _ => Self::Text,
            }),
            _ => Err(Unreadable(media_type)),
        }
    }
}
