//! What a request asks of a view: its path, its ending, its parameters.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::kept::Ask;
use crate::listen::page::Query;
use crate::listen::people::Order;
use crate::listen::relations::Relation;
use crate::model::Timestamp;
use crate::publish::{atom, html, json, opml, rss};

/// The format of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// Atom 1.0.
    Atom,
    /// RSS 2.0.
    Rss,
    /// JSON Feed 1.1.
    Json,
    /// A page for people.
    Html,
    /// The subscriptions behind the view.
    Opml,
}

impl Format {
    /// All formats, with their endings.
    pub const ALL: [Self; 5] = [Self::Atom, Self::Rss, Self::Json, Self::Html, Self::Opml];

    /// The ending without its dot.
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Atom => "atom",
            Self::Rss => "rss",
            Self::Json => "json",
            Self::Html => "html",
            Self::Opml => "opml",
        }
    }

    /// The media type that answers carry.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Atom => atom::MEDIA_TYPE,
            Self::Rss => rss::MEDIA_TYPE,
            Self::Json => json::MEDIA_TYPE,
            Self::Html => html::MEDIA_TYPE,
            Self::Opml => opml::MEDIA_TYPE,
        }
    }

    /// The format that an `Accept` header asks for (RFC 9110, section 12.5.1): the one with the highest weight; of
    /// several, a browser's `text/html` gets the page and all else Atom. Without a header, Atom.
    pub fn accepted(accept: Option<&str>) -> Self {
        let mut best = (0, Self::Atom);
        for range in accept.unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "text/html" | "application/xhtml+xml" => Self::Html,
                "application/atom+xml" | "application/xml" | "text/xml" | "*/*" | "application/*" => Self::Atom,
                "application/rss+xml" => Self::Rss,
                "application/feed+json" | "application/json" => Self::Json,
                "text/x-opml" | "text/x-opml+xml" | "application/x-opml+xml" => Self::Opml,
                _ => continue,
            };
            let quality = parts.find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")));
            let weight = quality.map_or(1000, thousandths);
            // What is named first wins a tie, as browsers and readers list their favourite first.
            if weight > best.0 {
                best = (weight, format);
            }
        }
        best.1
    }
}

/// A weight as an integer: `0.8` is 800. What is no number counts as 1.
pub(super) fn thousandths(text: &str) -> u32 {
    text.trim().parse::<f32>().ok().filter(|q| (0.0..=1.0).contains(q)).map_or(1000, |q| (q * 1000.0) as u32)
}

/// Splits `/followers/oakland.atom` into the view's path and the format of its ending, if it has one.
pub fn split_ending(path: &str) -> (&str, Option<Format>) {
    let ending = path.rsplit_once('.').and_then(|(rest, ending)| {
        let format = Format::ALL.into_iter().find(|format| format.ending() == ending)?;
        (!rest.is_empty() && !rest.ends_with('/')).then_some((rest, format))
    });
    let (path, format) = ending.map_or((path, None), |(rest, format)| (rest, Some(format)));
    (if path.len() > 1 { path.trim_end_matches('/') } else { path }, format)
}

/// A parameter that cannot be followed, in words for the person who typed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadParameter(pub(super) String);

/// The longest search that is looked at, in characters.
const MAX_SEARCH_CHARS: usize = 500;
/// The most words of a search.
const MAX_SEARCH_WORDS: usize = 16;

/// Reads a query string. `token` is for the access check and skipped here; anything else unknown is an error.
pub fn parse(query: &str) -> Result<Query, BadParameter> {
    let mut read = Query::default();
    for (name, value) in pairs(query) {
        if !add(&mut read, &name, &value)? {
            return Err(no_such(&name, "limit, since, q, per_voice and before"));
        }
    }
    Ok(read)
}

/// Reads what is asked of a relation that has a present state: one of its pages. Whoever gives `q`, `since` or `before` asks for the stream.
pub(super) fn parse_state(relation: Relation, query: &str) -> Result<Ask, BadParameter> {
    let (mut read, mut page) = (Query::default(), None);
    for (name, value) in pairs(query) {
        if name == "page" {
            page = Some(page_number(&value)?);
        } else if !add(&mut read, &name, &value)? {
            return Err(no_such(&name, "page, limit, since, q, per_voice and before"));
        }
    }
    let is_stream = read.since.is_some() || !read.words.is_empty() || read.before.is_some();
    match page {
        Some(page) if is_stream => Err(BadParameter(format!(
            "page={page}: what q, since and before choose has no numbered pages; leave out either"
        ))),
        _ if is_stream => Ok(Ask::Stream(read)),
        page => Ok(Ask::State { relation, page: page.unwrap_or(1) }),
    }
}

/// Reads what is asked of the rolodex: its order, and one of its pages.
pub(super) fn parse_rolodex(query: &str) -> Result<Ask, BadParameter> {
    let (mut order, mut page) = (Order::default(), 1);
    for (name, value) in pairs(query) {
        match name.as_str() {
            "sort" => {
                let orders = Order::ALL.map(Order::as_str).join(", ");
                let known = Order::ALL.into_iter().find(|order| order.as_str() == value);
                order = known.ok_or_else(|| BadParameter(format!("sort={value}: sort is one of {orders}")))?;
            }
            "page" => page = page_number(&value)?,
            "token" => {}
            _ => return Err(no_such(&name, "sort and page")),
        }
    }
    Ok(Ask::Rolodex { order, page })
}

/// Which of numbered pages is asked for, from 1 on.
pub(super) fn page_number(value: &str) -> Result<usize, BadParameter> {
    let page = value.parse().ok().filter(|page| *page > 0);
    page.ok_or_else(|| BadParameter(format!("page={value}: page is a number from 1 on")))
}

/// What is said of a parameter that nobody knows.
pub(super) fn no_such(name: &str, there_are: &str) -> BadParameter {
    BadParameter(format!("{name}: no such parameter; there are {there_are}"))
}

/// Adds a parameter of streams; whether it is one.
fn add(read: &mut Query, name: &str, value: &str) -> Result<bool, BadParameter> {
    let fault = |allowed: &str| BadParameter(format!("{name}={value}: {allowed}"));
    let count = || {
        let n = value.parse::<usize>().ok().filter(|n| (1..=Query::MAX_LIMIT).contains(n));
        n.ok_or_else(|| fault(&format!("{name} is a number from 1 to {}", Query::MAX_LIMIT)))
    };
    match name {
        "limit" => read.limit = count()?,
        "per_voice" => read.per_voice = Some(count()?),
        "since" => {
            // A bare `+` of an offset arrives as a space.
            let since = Timestamp::parse_rfc3339(&value.replace(' ', "+"));
            read.since = Some(since.ok_or_else(|| fault("since is a time as 2026-11-22T00:00:00Z (RFC 3339)"))?);
        }
        "before" => {
            read.before = Some(value.parse().map_err(|_| {
                fault("before is taken from the next link of a page; leave it out to start at the newest entry")
            })?);
        }
        "q" => {
            if value.chars().count() > MAX_SEARCH_CHARS {
                return Err(BadParameter(format!("q: a search has at most {MAX_SEARCH_CHARS} characters")));
            }
            read.words = value.split_whitespace().map(str::to_lowercase).collect();
            if read.words.len() > MAX_SEARCH_WORDS {
                return Err(BadParameter(format!("q: a search has at most {MAX_SEARCH_WORDS} words")));
            }
        }
        "token" => {}
        _ => return Ok(false),
    }
    Ok(true)
}

/// The names and values of a query string, decoded (WHATWG URL, `application/x-www-form-urlencoded`).
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    url::form_urlencoded::parse(query.as_bytes()).map(|(name, value)| (name.into_owned(), value.into_owned()))
}

/// A path with its percent escapes resolved; views have none, but some clients escape needlessly.
pub(super) fn decode_path(path: &str) -> Cow<'_, str> {
    percent_decode_str(path).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EntryKey, FeedId};

    #[test]
    fn accept_decides_where_there_is_no_ending() {
        for (accept, format) in [
            (None, Format::Atom),
            (Some("*/*"), Format::Atom),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"), Format::Html),
            (Some("application/rss+xml, application/atom+xml;q=0.8, text/html;q=0.1"), Format::Rss),
            (Some("application/feed+json"), Format::Json),
            (Some("application/json;q=0.5, application/atom+xml;q=0.6"), Format::Atom),
            (Some("text/x-opml"), Format::Opml),
            (Some("image/png"), Format::Atom),
            (Some("text/html;q=0"), Format::Atom),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept:?}");
        }
    }

    #[test]
    fn endings_are_split_from_paths() {
        for (path, view, format) in [
            ("/listen.atom", "/listen", Some(Format::Atom)),
            ("/followers/oakland.html", "/followers/oakland", Some(Format::Html)),
            ("/followers/", "/followers", None),
            ("/followers/node.js", "/followers/node.js", None),
            ("/", "/", None),
            ("/.atom", "/.atom", None),
        ] {
            assert_eq!(split_ending(path), (view, format), "{path}");
        }
    }

    #[test]
    fn parameters_are_read_or_refused_with_what_is_possible() {
        let query =
            parse("limit=5&per_voice=2&q=Open+Evening&since=2026-11-22T00:00:00%2B01:00&token=x").expect("it is fine");
        assert_eq!((query.limit, query.per_voice, query.words.len()), (5, Some(2), 2));
        assert_eq!(query.since, Timestamp::parse_rfc3339("2026-11-21T23:00:00Z"));
        let key = EntryKey { listed_at: Timestamp::from_seconds(7), feed: FeedId(3), seq: 1 };
        assert_eq!(parse(&format!("before={key}")).map(|query| query.before), Ok(Some(key)));
        for bad in ["limit=0", "limit=501", "limit=x", "per_voice=0", "since=yesterday", "before=1", "colour=red"] {
            let name = bad.split('=').next().unwrap_or_default();
            assert!(parse(bad).is_err_and(|fault| fault.to_string().starts_with(name)), "{bad}");
        }
    }
    #[test]
    fn states_have_pages_and_streams_have_not() {
        let relation = Relation::Quiet;
        for (query, asked) in [
            ("", Ok(Ask::State { relation, page: 1 })),
            ("page=3&limit=5&token=x", Ok(Ask::State { relation, page: 3 })),
            ("q=+", Ok(Ask::State { relation, page: 1 })),
            ("q=soup", Ok(Ask::Stream(Query { words: vec!["soup".to_owned()], ..Query::default() }))),
            ("page=0", Err("page=0: page is a number from 1 on")),
            ("page=2&q=soup", Err("page=2: what q, since and before choose has no numbered pages; leave out either")),
            ("sort=name", Err("sort: no such parameter; there are page, limit, since, q, per_voice and before")),
            ("limit=0", Err("limit=0: limit is a number from 1 to 500")),
        ] {
            let read = parse_state(relation, query).map_err(|fault| fault.to_string());
            assert_eq!(read, asked.map_err(str::to_owned), "{query}");
        }
        for (query, asked) in [
            ("", Ok(Ask::Rolodex { order: Order::Waiting, page: 1 })),
            ("sort=links&page=2&token=x", Ok(Ask::Rolodex { order: Order::Links, page: 2 })),
            ("sort=loudest", Err("sort=loudest: sort is one of waiting, heard, links, name")),
            ("page=-1", Err("page=-1: page is a number from 1 on")),
            ("limit=5", Err("limit: no such parameter; there are sort and page")),
        ] {
            let read = parse_rolodex(query).map_err(|fault| fault.to_string());
            assert_eq!(read, asked.map_err(str::to_owned), "{query}");
        }
    }
}
