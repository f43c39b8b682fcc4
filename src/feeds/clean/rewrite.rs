//! Rewriting before cleaning: frames to links, late images shown, trackers away, XHTML's short tags spelt out.
//!
//! Works on tags one by one and judges nothing: whatever comes out of here is still hostile and goes through the cleaner.

use std::borrow::Cow;

use super::pieces::{Piece, Pieces};
use crate::feeds::parse::attributes::{Attributes, MAX_ATTRIBUTES};
use crate::references::push_escaped;

/// What became of HTML.
pub(super) enum Rewritten<'a> {
    /// HTML to go on with.
    Html {
        /// The HTML.
        html: Cow<'a, str>,
        /// How many tags it has that may open an element: start tags, and end tags that parsers open one for.
        tags: usize,
    },
    /// A tag has more attributes than anybody means.
    Pathological,
}

/// Where pictures only count readers: a host with those below it, the beginning of the path, and what follows in it.
const TRACKERS: [(&str, &str, &str); 11] = [
    ("pixel.wp.com", "", ""),
    ("stats.wordpress.com", "", ""),
    ("pixel.quantserve.com", "", ""),
    ("feeds.feedburner.com", "/~r/", "/~4/"),
    ("feeds.wordpress.com", "/1.0/", ""),
    ("feedsportal.com", "", "/mf.gif"),
    ("b.scorecardresearch.com", "", ""),
    ("google-analytics.com", "", ""),
    ("ads.pheedo.com", "", ""),
    ("tracking.feedpress.it", "", ""),
    ("medium.com", "/_/stat", ""),
];

/// Where pages keep the address of an image until a script shows it.
const LATE_SOURCES: [&str; 4] = ["data-src", "data-original", "data-lazy-src", "data-orig-src"];

/// Rewrites HTML; borrows where nothing had to change.
pub(super) fn rewrite(html: &str) -> Rewritten<'_> {
    let mut out: Option<String> = None;
    let mut done = 0;
    let mut at = 0;
    let mut tags = 0;
    let mut after_break = false;
    let mut seen = Seen::default();
    for piece in Pieces::new(html) {
        let (raw, replacement) = match piece {
            Piece::Text(raw) => {
                // White space that `</br>` may follow.
                after_break = after_break && raw.trim().is_empty();
                (raw, None)
            }
            Piece::Hidden(raw) => (raw, Some(Cow::Borrowed(""))),
            Piece::Open { name, rest, raw } => {
                tags += 1;
                if has_too_many_attributes(rest) {
                    return Rewritten::Pathological;
                }
                after_break = name.eq_ignore_ascii_case("br");
                (raw, open(name, rest, &mut seen))
            }
            Piece::Close { name, raw } => {
                // Parsers of HTML make an element of `</p>` where none is open, and read `</br>` as another line break.
                tags += usize::from(["p", "br"].iter().any(|own| name.eq_ignore_ascii_case(own)));
                let twice = after_break && name.eq_ignore_ascii_case("br");
                after_break = false;
                seen.in_noscript &= !name.eq_ignore_ascii_case("noscript");
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
    Rewritten::Html { html, tags }
}

/// Whether a tag may have more than [`MAX_ATTRIBUTES`]: the cleaner compares each with all before it.
fn has_too_many_attributes(rest: &str) -> bool {
    rest.len() > 2 * MAX_ATTRIBUTES && Attributes::new(rest).count() >= MAX_ATTRIBUTES
}

/// What was seen so far, as far as it bears on what follows.
#[derive(Default)]
struct Seen<'a> {
    /// Whether a `noscript` is open.
    in_noscript: bool,
    /// The address of the last image.
    image: Option<&'a str>,
    /// The last address that became a link.
    linked: Option<&'a str>,
}

/// What stands for a start tag, where it is not itself.
fn open<'a>(name: &str, rest: &'a str, seen: &mut Seen<'a>) -> Option<Cow<'static, str>> {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    // Parsers of HTML take the one for the other (HTML, section 13.2.6.4.7).
    if is("img") || is("image") {
        return image(rest, seen);
    }
    if is("noscript") {
        // Nothing here runs scripts, so what is meant for readers without them is meant for ours.
        seen.in_noscript = true;
        return Some(Cow::Borrowed(""));
    }
    let frames = ["iframe", "embed", "object", "param"];
    if frames.iter().any(|frame| is(frame)) {
        let attributes = Attributes::new(rest);
        let value = |name: &str| attributes.value(name).filter(|value| !value.trim().is_empty());
        let source = match name.len() {
            6 if is("object") => value("data"),
            5 if is("param") => value("value")
                .filter(|_| value("name").is_some_and(|n| ["movie", "src"].iter().any(|m| n.eq_ignore_ascii_case(m)))),
            _ => value("src").or_else(|| value("data-src")),
        };
        // The same film stands in an object, in its parameters and in what is embedded into it.
        let source = source.filter(|source| seen.linked != Some(source));
        seen.linked = source.or(seen.linked);
        return Some(source.map_or(Cow::Borrowed(""), |source| link(source, value("title")).into()));
    }
    if rest.ends_with('/') && is_never_empty(name) {
        let rest = rest.trim_end_matches('/');
        return Some(format!("<{name}{rest}></{name}>").into());
    }
    None
}

/// What stands for an image where no `noscript` is; `rest` is what follows its name in the tag.
pub(super) fn image_alone(rest: &str) -> Option<Cow<'static, str>> {
    image(rest, &mut Seen::default())
}

/// What stands for an image: nothing for one that only counts readers or shows nothing, and one that waits for a script
/// gets its address.
fn image<'a>(rest: &'a str, seen: &mut Seen<'a>) -> Option<Cow<'static, str>> {
    let attributes = Attributes::new(rest);
    let value = |name: &str| attributes.value(name).map(str::trim).filter(|value| !value.is_empty());
    let source = value("src");
    if source.is_none_or(is_placeholder) || is_tiny(&attributes) {
        let late = LATE_SOURCES.into_iter().find_map(value).filter(|late| !is_placeholder(late));
        let late_set = value("data-srcset").or_else(|| value("data-lazy-srcset"));
        if late.is_some() || late_set.is_some() {
            seen.image = late;
            // Of attributes with the same name the first counts.
            let quoted = |value: &str| value.replace(['"', '<', '>'], "");
            let source = late.map(|late| format!(" src=\"{}\"", quoted(late))).unwrap_or_default();
            let set = late_set.map(|set| format!(" srcset=\"{}\"", quoted(set))).unwrap_or_default();
            return Some(format!("<img{source}{set} {}>", rest.trim_end_matches('/')).into());
        }
    }
    let repeated = seen.in_noscript && source.is_some() && source == seen.image;
    let shows_nothing =
        source.is_none_or(|source| source.starts_with("data:")) && value("srcset").is_none() && value("alt").is_none();
    if repeated || shows_nothing || is_tiny(&attributes) || source.is_some_and(is_tracker) {
        return Some(Cow::Borrowed(""));
    }
    seen.image = source;
    None
}

/// Whether an address is one of those that pages show until a script knows better.
fn is_placeholder(source: &str) -> bool {
    let path = source.split(['?', '#']).next().unwrap_or(source);
    let file = path.rsplit('/').next().unwrap_or(path);
    source.starts_with("data:")
        || ["blank.gif", "spacer.gif", "pixel.gif", "transparent.gif", "1x1.gif"].contains(&file)
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

/// A link in the place of a frame; `source` and `title` are raw attribute values, which go on to be cleaned.
fn link(source: &str, title: Option<&str>) -> String {
    let source = source.trim().replace(['"', '<', '>'], "");
    let address = if source.starts_with("//") { format!("https:{source}") } else { source };
    let scheme = address.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| !scheme.contains(['/', '?', '#']));
    if address.is_empty() || scheme.is_some_and(|scheme| !["http", "https"].contains(&scheme)) {
        return String::new();
    }
    let address = film_page(&address).unwrap_or(address);
    let mut link = format!("<a href=\"{address}\">");
    if let Some(title) = title {
        link.push_str(&title.replace('<', "&lt;"));
    } else {
        let shown = address.split_once("://").map_or(address.as_str(), |(_, rest)| rest);
        // The number of a film stands behind the question mark.
        let shown = if shown.contains("/watch?v=") { shown } else { shown.split(['?', '#']).next().unwrap_or(shown) };
        push_escaped(shown, &mut link);
    }
    link.push_str("</a>");
    link
}

/// The page that shows the film of a player.
fn film_page(player: &str) -> Option<String> {
    let (_, rest) = player.split_once("://")?;
    let (host, path) = rest.split_once('/')?;
    let number = |prefix: &str| {
        let number = path.strip_prefix(prefix)?.split(['?', '#', '/', '&']).next()?;
        let plain = number.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        (plain && !number.is_empty() && number != "videoseries").then_some(number)
    };
    match host.trim_start_matches("www.") {
        "youtube.com" | "youtube-nocookie.com" => {
            number("embed/").or_else(|| number("v/")).map(|film| format!("https://www.youtube.com/watch?v={film}"))
        }
        "player.vimeo.com" => number("video/").map(|film| format!("https://vimeo.com/{film}")),
        _ => None,
    }
}

fn is_tracker(source: &str) -> bool {
    let rest = source.split_once("//").map_or("", |(_, rest)| rest);
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    TRACKERS.iter().any(|(tracker, start, part)| {
        let below = host.strip_suffix(tracker).is_some_and(|sub| sub.is_empty() || sub.ends_with('.'));
        below && path.starts_with(start) && path.contains(part)
    })
}

/// Whether an image is not meant to be seen.
fn is_tiny(attributes: &Attributes<'_>) -> bool {
    let tiny =
        |name: &str| attributes.value(name).is_some_and(|size| matches!(size.trim().trim_end_matches("px"), "0" | "1"));
    if tiny("width") && tiny("height") {
        return true;
    }
    attributes.value("style").is_some_and(|style| {
        let style: String = style.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
        style.contains("display:none") || style.contains("visibility:hidden") || is_tiny_style(&style)
    })
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
