//! Rewriting before cleaning: frames to links, trackers away, XHTML's short tags spelt out.
//!
//! Works on tags one by one and judges nothing: whatever comes out of here is still hostile and goes through the cleaner.

use std::borrow::Cow;

use super::pieces::{Piece, Pieces};
use crate::feeds::parse::attributes::{Attributes, MAX_ATTRIBUTES};
use crate::feeds::parse::entities::push_escaped;

/// What became of HTML.
pub(super) enum Rewritten<'a> {
    /// HTML to go on with.
    Html {
        /// The HTML.
        html: Cow<'a, str>,
        /// How many start tags it has, at most.
        start_tags: usize,
    },
    /// A tag has more attributes than anybody means.
    Pathological,
}

/// Hosts whose pictures only count readers, and the parts of addresses by which others do.
const TRACKERS: [&str; 12] = [
    "pixel.wp.com",
    "stats.wordpress.com",
    "pixel.quantserve.com",
    "feeds.feedburner.com/~r/",
    "feeds.wordpress.com/1.0/",
    "feedsportal.com",
    "b.scorecardresearch.com",
    "google-analytics.com",
    "doubleclick.net",
    "ads.pheedo.com",
    "tracking.feedpress",
    "medium.com/_/stat",
];

/// Rewrites HTML; borrows where nothing had to change.
pub(super) fn rewrite(html: &str) -> Rewritten<'_> {
    let mut out: Option<String> = None;
    let mut done = 0;
    let mut at = 0;
    let mut start_tags = 0;
    let mut after_break = false;
    for piece in Pieces::new(html) {
        let (raw, replacement) = match piece {
            Piece::Text(raw) => {
                // White space that `</br>` may follow.
                after_break = after_break && raw.trim().is_empty();
                (raw, None)
            }
            Piece::Hidden(raw) => (raw, Some(Cow::Borrowed(""))),
            Piece::Open { name, rest, raw } => {
                start_tags += 1;
                if has_too_many_attributes(rest) {
                    return Rewritten::Pathological;
                }
                after_break = name.eq_ignore_ascii_case("br");
                (raw, open(name, rest))
            }
            Piece::Close { name, raw } => {
                // Parsers of HTML read `</br>` as another line break.
                let twice = after_break && name.eq_ignore_ascii_case("br");
                after_break = false;
                let gone = twice || name.eq_ignore_ascii_case("noscript");
                (raw, gone.then_some(Cow::Borrowed("")))
            }
        };
        if let Some(replacement) = replacement {
            let out = out.get_or_insert_with(|| String::with_capacity(html.len()));
            out.push_str(&html[done..at]);
            out.push_str(&replacement);
            done = at + raw.len();
        }
        at += raw.len();
    }
    let html = match out {
        Some(mut out) => {
            out.push_str(&html[done..]);
            Cow::Owned(out)
        }
        None => Cow::Borrowed(html),
    };
    Rewritten::Html { html, start_tags }
}

/// Whether a tag may have more than [`MAX_ATTRIBUTES`]: the cleaner compares each with all before it.
fn has_too_many_attributes(rest: &str) -> bool {
    rest.len() > 2 * MAX_ATTRIBUTES && Attributes::new(rest).count() >= MAX_ATTRIBUTES
}

/// What stands for a start tag, where it is not itself.
fn open(name: &str, rest: &str) -> Option<Cow<'static, str>> {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    if is("img") {
        return is_tracker(&Attributes::new(rest)).then_some(Cow::Borrowed(""));
    }
    if is("noscript") {
        // Nothing here runs scripts, so what is meant for readers without them is meant for ours.
        return Some(Cow::Borrowed(""));
    }
    if is("iframe") {
        let attributes = Attributes::new(rest);
        let source = attributes.value("src").or_else(|| attributes.value("data-src"));
        return Some(source.map_or(Cow::Borrowed(""), |source| link(source).into()));
    }
    if rest.ends_with('/') && is_never_empty(name) {
        let rest = rest.trim_end_matches('/');
        return Some(format!("<{name}{rest}></{name}>").into());
    }
    None
}

/// Elements that HTML never closes by a slash, though XHTML may.
fn is_never_empty(name: &str) -> bool {
    const NAMES: [&str; 27] = [
        "a",
        "abbr",
        "b",
        "blockquote",
        "cite",
        "code",
        "div",
        "em",
        "font",
        "h1",
        "h2",
        "h3",
        "h4",
        "i",
        "li",
        "ol",
        "p",
        "pre",
        "q",
        "script",
        "small",
        "span",
        "strong",
        "style",
        "td",
        "u",
        "ul",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// A link in the place of a frame; `source` is a raw attribute value, which goes on to be cleaned.
fn link(source: &str) -> String {
    let source = source.trim().replace(['"', '<', '>'], "");
    if source.is_empty() || source.starts_with("about:") {
        return String::new();
    }
    let address = if source.starts_with("//") { format!("https:{source}") } else { source };
    let shown = address.split_once("://").map_or(address.as_str(), |(_, rest)| rest);
    let shown = shown.split(['?', '#']).next().unwrap_or(shown);
    let mut link = format!("<a href=\"{address}\">");
    push_escaped(shown, &mut link);
    link.push_str("</a>");
    link
}

fn is_tracker(attributes: &Attributes<'_>) -> bool {
    let tiny =
        |name: &str| attributes.value(name).is_some_and(|size| matches!(size.trim().trim_end_matches("px"), "0" | "1"));
    if tiny("width") && tiny("height") {
        return true;
    }
    let hidden = attributes.value("style").is_some_and(|style| {
        let style: String = style.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
        style.contains("display:none") || style.contains("visibility:hidden") || is_tiny_style(&style)
    });
    let source = attributes.value("src").unwrap_or_default();
    hidden || TRACKERS.iter().any(|tracker| source.contains(tracker))
}

fn is_tiny_style(style: &str) -> bool {
    let tiny = |name: &str| {
        style.split(';').any(|rule| {
            let value = rule.strip_prefix(name).and_then(|rest| rest.strip_prefix(':'));
            matches!(value, Some("0" | "0px" | "1px"))
        })
    };
    tiny("width") && tiny("height")
}
