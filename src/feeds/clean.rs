//! HTML from strangers, made safe to show.
//!
//! `ammonia` judges what is safe. Before it stands a rewriting that keeps meaning it would drop (frames become links) and
//! drops what it would keep (trackers), and a meter that turns markup made to explode into plain text. All of it takes
//! 1.2 times as long as `ammonia` alone (1.17 for entries of 1 KB, 1.20 for 5 KB, by `benches/reading.rs`). Most texts need
//! none of it: `plain` writes in one pass what would come out. Nothing here knows where the HTML came from or where it
//! goes.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use ammonia::{Builder, UrlRelative};
use url::Url;

use self::meter::Budget;
use self::rewrite::Rewritten;
use crate::model::{CleanHtml, Markup};
use crate::references::push_escaped;

mod meter;
pub(in crate::feeds) mod pieces;
mod plain;
mod rewrite;
pub(in crate::feeds) mod text;

/// Longest text construct that is cleaned as HTML, in bytes; a longer one is shown as text, cut there.
pub const MAX_HTML_BYTES: usize = 2 << 20;

/// How much work the texts of a document may make per byte of it…
const MAX_DOCUMENT_WORK: usize = 4;
/// …and beside that. One byte of text is one unit; an element is as much as 64.
const FREE_DOCUMENT_WORK: usize = 1 << 20;
/// How much work texts may make in the worst possible case, all together, without being measured.
const MAX_UNSEEN_WORK: usize = 16 << 20;
/// How many bytes the base may add to the addresses of one text, were each of its tags a relative link.
const MAX_ADDRESS_GROWTH_BYTES: usize = 8 << 20;

/// Texts over so many bytes never pass the meter unseen with much growth.
const SMALL_BYTES: usize = 64 << 10;
/// Longest list of candidates for one image, in bytes, beside its last; and for all of one text.
const MAX_SRCSET_BYTES: usize = 8 << 10;
const MAX_CANDIDATES_BYTES: usize = 1 << 20;

/// Makes the texts of one document safe within a budget, so that a thousand texts that each grow a little do not grow
/// into gigabytes together. To be made anew for each document.
#[derive(Debug)]
pub struct Cleaner {
    budget: Budget,
}

impl Cleaner {
    /// A cleaner for the texts of a document of so many bytes.
    pub fn new(document_bytes: usize) -> Self {
        let work = document_bytes.saturating_mul(MAX_DOCUMENT_WORK).saturating_add(FREE_DOCUMENT_WORK);
        Self { budget: Budget::new(work, MAX_UNSEEN_WORK) }
    }

    /// Makes a text construct safe: only elements that show something, `http`, `https` and `mailto` addresses, absolute
    /// against `base` (relative ones go where there is none). Frames become links, pictures of one pixel go.
    ///
    /// Plain text becomes HTML that shows it, with its paragraphs and line breaks. Markup that is pathological (deeper
    /// than 256, growing beyond four times itself and 2 KiB, with 60,000 elements, or more than 256 attributes in a tag) is
    /// shown as its text, and so is all markup once the budget of the document is spent.
    pub fn html(&self, markup: &Markup, base: Option<&Url>) -> CleanHtml {
        let html = match markup {
            Markup::Text(text) => paragraphs(cut(text)),
            Markup::Html(html) if html.len() > MAX_HTML_BYTES => paragraphs(&text(cut(html), usize::MAX)),
            Markup::Html(html) if !html.contains(['<', '&']) => escaped(html),
            Markup::Html(html) => self.cleaned(html, base).unwrap_or_else(|| paragraphs(&text(html, usize::MAX))),
        };
        CleanHtml::from_cleaner(trimmed(html))
    }

    /// Clean HTML: the short way where it is plain, else by the tree. `None` where that is too large or too dear.
    fn cleaned(&self, html: &str, base: Option<&Url>) -> Option<String> {
        if self.budget.is_spent() {
            return None;
        }
        match plain::clean(html, base, meter::most_bytes(html.len())) {
            // Charged as a text that the meter need not look at.
            Some(plain) if self.budget.spend(meter::work(html.len(), plain.tags)) => {
                self.budget.spend(plain.html.len().saturating_sub(html.len()));
                Some(plain.html)
            }
            Some(_) => None,
            None => self.tree(html, base),
        }
    }

    /// What the cleaner makes of the tree; `None` where that is too large or too dear.
    fn tree(&self, html: &str, base: Option<&Url>) -> Option<String> {
        let Rewritten::Html { html: rewritten, tags } = rewrite::rewrite(html) else { return None };
        if !meter::is_tame(&rewritten, tags, &self.budget) {
            return None;
        }
        let base = base.filter(|base| tags.saturating_mul(base.as_str().len()) <= MAX_ADDRESS_GROWTH_BYTES);
        let address_growth = base.map_or(0, |base| tags.saturating_mul(base.as_str().len()));
        let clean = sanitise(&rewritten, base);
        // The meter knows nothing of addresses and references. What turns out too large has been made all the same.
        self.budget.spend(clean.len().saturating_sub(html.len()));
        // Small texts pass the meter unseen; each link gets 26 bytes of its own.
        let most = meter::most_bytes(rewritten.len()).saturating_add(tags.saturating_mul(26) + address_growth);
        (clean.len() <= most || rewritten.len() > SMALL_BYTES).then_some(clean)
    }
}

/// Makes a text construct safe that stands alone; in and out as with [`Cleaner::html`].
pub fn html(markup: &Markup, base: Option<&Url>) -> CleanHtml {
    Cleaner::new(markup.as_str().len()).html(markup, base)
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
    drop_controls(&mut out);
    out
}

/// Drops what no page shows and no feed may hold (XML 1.0, section 2.2).
fn drop_controls(text: &mut String) {
    if has_controls(text) {
        text.retain(|c| !c.is_control() || matches!(c, '\n' | '\t'));
    }
}

/// Whether there may be something to drop.
fn has_controls(text: &str) -> bool {
    // Without an early exit inside of a chunk the processor looks at many bytes at a time.
    let is_control = |byte: u8| byte < b' ' && !matches!(byte, b'\n' | b'\t') || byte == 0x7f;
    let chunk_has = |chunk: &[u8]| chunk.iter().fold(false, |found, byte| found | is_control(*byte));
    // U+0080 to U+009F.
    let follows = |at: usize| text.as_bytes().get(at + 1).is_some_and(|byte| *byte < 0xa0);
    text.as_bytes().chunks(128).any(chunk_has) || memchr::memchr_iter(0xc2, text.as_bytes()).any(follows)
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
/// which are the reader's own. In the order of the alphabet.
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

/// Attributes that hold an address or belong to one, by element.
const ADDRESSES: [(&str, &[&str]); 9] = [
    ("a", &["href"]),
    ("audio", &["src"]),
    ("blockquote", &["cite"]),
    ("del", &["cite"]),
    ("img", &["sizes", "src", "srcset"]),
    ("ins", &["cite"]),
    ("q", &["cite"]),
    ("source", &["media", "sizes", "src", "srcset"]),
    ("video", &["poster", "src"]),
];

/// Schemes of addresses that may stay.
const SCHEMES: [&str; 3] = ["http", "https", "mailto"];

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
        .url_schemes(SCHEMES.into_iter().collect())
        .link_rel(Some("noopener noreferrer"))
        .attribute_filter(other_address)
        .strip_comments(true);
    builder
}

thread_local! {
    /// A builder is dear to make and holds the base of relative addresses, so each thread keeps one.
    static BUILDER: RefCell<Builder<'static>> = RefCell::new(builder());
    /// The base for addresses that `ammonia` does not know as such.
    static BASE: RefCell<Option<Url>> = const { RefCell::new(None) };
    /// What the candidates for images of one text may still take, in bytes: each may be a comma made into a whole address.
    static CANDIDATES_LEFT: Cell<usize> = const { Cell::new(0) };
}

fn sanitise(html: &str, base: Option<&Url>) -> String {
    BASE.set(base.cloned());
    CANDIDATES_LEFT.set(MAX_CANDIDATES_BYTES);
    BUILDER.with_borrow_mut(|builder| {
        builder.url_relative(match base {
            Some(base) => UrlRelative::RewriteWithBase(base.clone()),
            None => UrlRelative::Deny,
        });
        let mut clean = builder.clean(html).to_string();
        drop_controls(&mut clean);
        clean
    })
}

/// HTML without space around it, in place, and without a byte order mark before it: whoever reads it takes that for none
/// of the text (HTML, section 13.2.3.5).
fn trimmed(mut html: String) -> String {
    html.truncate(html.trim_end().len());
    let leading = html.len() - html.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}').len();
    html.drain(..leading);
    html
}

/// Judges the addresses that `ammonia` takes for plain values: absolute ones with a scheme that may be shown stay.
fn other_address<'a>(_: &str, attribute: &str, value: &'a str) -> Option<Cow<'a, str>> {
    match attribute {
        "cite" => BASE.with_borrow(|base| absolute(value, base.as_ref())).map(|url| Cow::Owned(url.into())),
        "srcset" => {
            let candidates = BASE.with_borrow(|base| candidates(value, base.as_ref()));
            let left = CANDIDATES_LEFT.get().checked_sub(candidates.len());
            CANDIDATES_LEFT.set(left.unwrap_or(0));
            Some(candidates).filter(|all| !all.is_empty() && left.is_some()).map(Cow::Owned)
        }
        _ => Some(Cow::Borrowed(value)),
    }
}

fn absolute(address: &str, base: Option<&Url>) -> Option<Url> {
    let url = Url::options().base_url(base).parse(address).ok()?;
    matches!(url.scheme(), "http" | "https").then_some(url)
}

/// The images that a `srcset` offers (HTML, section 4.8.4.2.1), with absolute addresses.
fn candidates(srcset: &str, base: Option<&Url>) -> String {
    let mut out = String::new();
    let mut rest = srcset;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
        if rest.is_empty() || out.len() > MAX_SRCSET_BYTES {
            return out;
        }
        let (address, after) = rest.split_at(rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len()));
        // Only a comma at the end of an address ends it: others are part of it.
        let ended = address.trim_end_matches(',');
        let (descriptor, after) =
            if ended.len() < address.len() { ("", after) } else { after.split_once(',').unwrap_or((after, "")) };
        rest = after;
        let descriptor = descriptor.trim();
        if let Some(url) = absolute(ended, base)
            && descriptor.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'w' | b'h' | b'x' | b' '))
        {
            if !out.is_empty() {
                out.push_str(", ");
            }
            // A comma at either end would be taken for one between addresses.
            out.push_str(&url.as_str().replace(',', "%2C"));
            if !descriptor.is_empty() {
                out.push(' ');
                out.push_str(descriptor);
            }
        }
    }
}
