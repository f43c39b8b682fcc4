//! HTML from strangers, made safe to show.
//!
//! `ammonia` judges what is safe. Before it stands a rewriting that keeps meaning it would drop (frames become links) and
//! drops what it would keep (trackers), and a meter that turns markup made to explode into plain text. Nothing here knows
//! where the HTML came from or where it goes.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use ammonia::{Builder, UrlRelative};
use url::Url;

use self::rewrite::Rewritten;
use super::parse::entities::push_escaped;
use crate::model::{CleanHtml, Markup};

mod meter;
pub(in crate::feeds) mod pieces;
mod rewrite;
pub(in crate::feeds) mod text;

/// Longest text construct that is cleaned as HTML, in bytes; a longer one is shown as text, cut there.
pub const MAX_HTML_BYTES: usize = 2 << 20;

/// Makes a text construct safe: only elements that show something, `http`, `https` and `mailto` addresses, absolute
/// against `base` (relative ones go where there is none). Frames become links, pictures of one pixel go.
///
/// Plain text becomes HTML that shows it, with its paragraphs and line breaks. Markup that is pathological (deeper than
/// 256, growing beyond four times itself, with 60,000 elements, or more than 256 attributes in a tag) is shown as its text.
pub fn html(markup: &Markup, base: Option<&Url>) -> CleanHtml {
    let html = match markup {
        Markup::Text(text) => paragraphs(cut(text)),
        Markup::Html(html) if html.len() > MAX_HTML_BYTES => paragraphs(&text(cut(html), usize::MAX)),
        Markup::Html(html) if !html.contains(['<', '&']) => escaped(html.trim()),
        Markup::Html(html) => match rewrite::rewrite(html) {
            Rewritten::Html { html, start_tags } if meter::is_tame(&html, start_tags) => sanitise(&html, base),
            _ => paragraphs(&text(html, usize::MAX)),
        },
    };
    CleanHtml::from_cleaner(html)
}

/// Cleans the texts of one document within a budget, so that a thousand texts that each grow a little do not grow into
/// gigabytes together.
#[derive(Debug)]
pub struct Cleaner {
    room: Cell<usize>,
}

/// What the cleaned texts of a document may take in all, per byte of the document…
const MAX_DOCUMENT_GROWTH: usize = 4;
/// …and beside that.
const FREE_DOCUMENT_BYTES: usize = 1 << 20;

impl Cleaner {
    /// A cleaner for the texts of a document of so many bytes.
    pub fn new(document_bytes: usize) -> Self {
        Self { room: Cell::new(document_bytes.saturating_mul(MAX_DOCUMENT_GROWTH).saturating_add(FREE_DOCUMENT_BYTES)) }
    }

    /// The same as [`html`], as long as there is room; from then on texts are shown as their text.
    pub fn html(&self, markup: &Markup, base: Option<&Url>) -> CleanHtml {
        if let Some(left) = Some(self.room.get()).filter(|room| *room > 0) {
            let cleaned = html(markup, base);
            self.room.set(left.saturating_sub(cleaned.as_str().len()));
            return cleaned;
        }
        html(&Markup::Text(text(markup.as_str(), MAX_HTML_BYTES)), base)
    }
}

/// The text of HTML, on one line, at most so many characters: for titles and for searching.
pub fn text(html: &str, max_chars: usize) -> String {
    text::plain(html, max_chars, false)
}

/// A summary for an entry that has none: the beginning of its content as text, cut behind a word.
pub fn summary(content: &CleanHtml, max_chars: usize) -> String {
    let text = text(content.as_str(), max_chars.saturating_add(1));
    if text.chars().count() <= max_chars {
        return text;
    }
    let mut cut: String = text.chars().take(max_chars.saturating_sub(1)).collect();
    // Languages without spaces are cut between characters.
    if let Some(space) = cut.rfind(' ').filter(|space| *space > cut.len() / 2) {
        cut.truncate(space);
    }
    cut.truncate(cut.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':' | '-' | '–')).len());
    cut.push('…');
    cut
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_HTML_BYTES)]
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    push_escaped(text, &mut out);
    out.retain(|c| !c.is_control() || matches!(c, '\n' | '\t'));
    out
}

/// Plain text as HTML: blank lines part paragraphs, single line ends break lines, one paragraph stands as it is.
fn paragraphs(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut paragraphs: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        let line = escaped(line.trim());
        if line.is_empty() {
            open = false;
        } else if let Some(last) = paragraphs.last_mut().filter(|_| open) {
            last.push_str("<br>");
            last.push_str(&line);
        } else {
            paragraphs.push(line);
            open = true;
        }
    }
    match paragraphs.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        many => format!("<p>{}</p>", many.join("</p><p>")),
    }
}

/// Elements that may stay: those that show something and load nothing but pictures, sound and film.
const ELEMENTS: [&str; 91] = [
    "a",
    "abbr",
    "acronym",
    "address",
    "article",
    "aside",
    "audio",
    "b",
    "bdi",
    "bdo",
    "big",
    "blockquote",
    "br",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "data",
    "dd",
    "del",
    "details",
    "dfn",
    "dir",
    "div",
    "dl",
    "dt",
    "em",
    "fieldset",
    "figcaption",
    "figure",
    "font",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hgroup",
    "hr",
    "i",
    "img",
    "ins",
    "kbd",
    "legend",
    "li",
    "main",
    "mark",
    "menu",
    "meter",
    "nav",
    "ol",
    "output",
    "p",
    "picture",
    "pre",
    "progress",
    "q",
    "rb",
    "rp",
    "rt",
    "rtc",
    "ruby",
    "s",
    "samp",
    "section",
    "small",
    "source",
    "span",
    "strike",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "time",
    "tr",
    "tt",
    "u",
    "ul",
    "var",
    "video",
    "wbr",
];

/// Attributes that may stay on any element: they hold no address, name nothing, and change neither colours nor fonts,
/// which are the reader's own.
const ATTRIBUTES: [&str; 48] = [
    "abbr",
    "align",
    "alt",
    "axis",
    "border",
    "cellpadding",
    "cellspacing",
    "char",
    "charoff",
    "clear",
    "colspan",
    "compact",
    "controls",
    "datetime",
    "dir",
    "frame",
    "headers",
    "height",
    "high",
    "hreflang",
    "hspace",
    "ismap",
    "label",
    "lang",
    "loop",
    "low",
    "max",
    "min",
    "noshade",
    "nowrap",
    "open",
    "optimum",
    "reversed",
    "rowspan",
    "rules",
    "scope",
    "shape",
    "size",
    "span",
    "start",
    "summary",
    "title",
    "type",
    "valign",
    "value",
    "vspace",
    "width",
    "xml:lang",
];

/// Attributes that hold an address, by element.
const ADDRESSES: [(&str, &[&str]); 9] = [
    ("a", &["href"]),
    ("audio", &["src"]),
    ("blockquote", &["cite"]),
    ("del", &["cite"]),
    ("img", &["src"]),
    ("ins", &["cite"]),
    ("q", &["cite"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Elements that go with everything in them.
const GONE_WITH_CONTENT: [&str; 11] =
    ["script", "style", "svg", "math", "template", "title", "textarea", "select", "applet", "noembed", "xmp"];

fn builder() -> Builder<'static> {
    let mut builder = Builder::empty();
    let attributes: HashMap<_, HashSet<_>> =
        ADDRESSES.iter().map(|(element, names)| (*element, names.iter().copied().collect())).collect();
    builder
        .tags(ELEMENTS.into_iter().collect())
        .clean_content_tags(GONE_WITH_CONTENT.into_iter().collect())
        .tag_attributes(attributes)
        .generic_attributes(ATTRIBUTES.into_iter().collect())
        .url_schemes(["http", "https", "mailto"].into_iter().collect())
        .link_rel(Some("noopener noreferrer"))
        .strip_comments(true);
    builder
}

thread_local! {
    /// A builder is dear to make and holds the base of relative addresses, so each thread keeps one.
    static BUILDER: RefCell<Builder<'static>> = RefCell::new(builder());
}

fn sanitise(html: &str, base: Option<&Url>) -> String {
    BUILDER.with_borrow_mut(|builder| {
        builder.url_relative(match base {
            Some(base) => UrlRelative::RewriteWithBase(base.clone()),
            None => UrlRelative::Deny,
        });
        let mut clean = builder.clean(html).to_string();
        let trimmed = clean.trim_end().len();
        clean.truncate(trimmed);
        let leading = clean.len() - clean.trim_start().len();
        clean.drain(..leading);
        clean
    })
}
