//! A source in HTML: whether one of its links leads to the target, and what it says around it.
//!
//! One pass over the page's pieces, without a tree: what strangers nest and repeat cannot grow, and time is linear. Elements
//! are closed as HTML closes them in the usual cases (end tags that may be left out, formatting that overlaps); where a
//! page is stranger than that, a text may end too early or too late, and a link is found all the same.

use memchr::memmem;
use url::Url;

use super::Reading;
use super::excerpt::{MAX_NAME_CHARS, MAX_TITLE_CHARS, excerpt, line, plain_line};
use super::items::{
    self, Author, Item, ItemKind, Property, Value, is_page, item_kind, properties, value_in_attributes,
};
use super::target::Target;
use crate::feeds::clean::pieces::{Piece, Pieces};
use crate::feeds::clean::text::is_known_element;
use crate::feeds::parse::attributes::Attributes;
use crate::model::{Markup, Person, WebmentionKind};
use crate::references::{OwnEntities, decode};

/// A page that says who its author is says so in one of the first few places, or not at all.
const MAX_NAMES_TRIED: usize = 4;
/// Most elements open at a time; deeper ones are looked at and not remembered.
const MAX_DEPTH: usize = 256;
/// Most items of one page; what further ones say counts for those that they stand in.
const MAX_ITEMS: usize = 1000;
/// Longest base of relative addresses, in bytes: each link is joined with it.
const MAX_BASE_BYTES: usize = 2048;

/// What a page says where it links to the target; `None` where it does not.
pub(super) fn read(html: &str, base: &Url, target: &Target) -> Option<Reading> {
    let mut walk = Walk::new(html, base, target);
    walk.run();
    walk.reading()
}

/// An element that is open.
struct Open<'a> {
    name: &'a str,
    /// Where its inside begins.
    inside: usize,
    /// The item that it is.
    item: Option<usize>,
    /// The item that its properties belong to.
    owner: Option<usize>,
    properties: Vec<Property>,
    link: Option<Url>,
    /// Whether it names the page's author.
    is_author: bool,
}

/// Where the target was found.
struct Hit {
    kind: Option<WebmentionKind>,
    /// The entry around it.
    entry: Option<usize>,
    /// Where the paragraph around it begins and, when it is over, ends.
    start: usize,
    end: Option<usize>,
}

struct Walk<'a> {
    html: &'a str,
    base: Url,
    is_based: bool,
    target: &'a Target,
    open: Vec<Open<'a>>,
    /// Elements open beyond those that are remembered.
    deeper: usize,
    items: Vec<Item<'a>>,
    hit: Option<Hit>,
    /// Where the last tag of a block ended.
    block_end: usize,
    title: Option<&'a str>,
    /// The author that the page itself names.
    author: Person,
    /// In how many places a name was looked for that the page gives its author.
    names_tried: usize,
}

impl<'a> Walk<'a> {
    fn new(html: &'a str, base: &Url, target: &'a Target) -> Self {
        Self {
            html,
            base: base.clone(),
            is_based: false,
            target,
            open: Vec::new(),
            deeper: 0,
            items: Vec::new(),
            hit: None,
            block_end: 0,
            title: None,
            author: Person::default(),
            names_tried: 0,
        }
    }

    fn run(&mut self) {
        let html = self.html;
        let mut at = 0;
        let mut pieces = Pieces::new(html);
        while let Some(piece) = pieces.next() {
            match piece {
                Piece::Text(raw) | Piece::Hidden(raw) => at += raw.len(),
                Piece::Open { name, rest, raw } => {
                    let start = at;
                    at += raw.len();
                    self.open(name, rest, start, at);
                    if let Some(known) = RAW_TEXTS.into_iter().find(|known| name.eq_ignore_ascii_case(known)) {
                        // No tags in there, whatever it looks like.
                        let inside = &html[at..];
                        let text = &inside[..raw_text_len(inside, known)];
                        if known == "title" {
                            self.title.get_or_insert(text);
                        }
                        at += text.len();
                        pieces = Pieces::new(&html[at..]);
                    }
                }
                Piece::Close { name, raw } => {
                    self.close(name, at, at + raw.len());
                    at += raw.len();
                }
            }
        }
        self.close_down_to(0, html.len());
    }

    fn open(&mut self, name: &'a str, rest: &'a str, start: usize, end: usize) {
        let attributes = Attributes::new(rest);
        let value = |wanted: &str| attributes.value(wanted).map(|raw| decode(raw, &OwnEntities::default()));
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("base") {
            self.rebase(value("href").as_deref());
            return;
        }
        if is("meta") {
            if value("name").is_some_and(|name| name.trim().eq_ignore_ascii_case("author"))
                && self.author.name.is_empty()
            {
                self.author.name = plain_line(&value("content").unwrap_or_default(), MAX_NAME_CHARS);
            }
            return;
        }
        if is_block(name) {
            while self.open.last().is_some_and(|open| ends_before(open.name, name)) {
                self.close_down_to(self.open.len() - 1, start);
            }
            self.part(start, end);
        }
        let classes = value("class").unwrap_or_default();
        let properties = properties(&classes);
        let address = match name.len() {
            1 | 4 if is("a") || is("area") => value("href"),
            4 if is("link") && !properties.is_empty() => value("href"),
            4 if is("data") && !properties.is_empty() => value("value"),
            _ if SHOWN.iter().any(|shown| is(shown)) => value("src"),
            6 if is("object") => value("data"),
            _ => None,
        };
        let is_author = (is("a") || is("link"))
            && value("rel")
                .is_some_and(|rel| rel.split_ascii_whitespace().any(|rel| rel.eq_ignore_ascii_case("author")));
        let address = if is_author { address.or_else(|| value("href")) } else { address };
        let leads_there = address.as_deref().is_some_and(|address| self.target.is_at(address, Some(&self.base)));
        let owner = self.open.last().and_then(|open| open.item.or(open.owner));
        let kind = item_kind(&classes).filter(|_| self.items.len() < MAX_ITEMS);
        // Only where somebody asks for it: most pages have many links.
        let is_asked = is_author || !properties.is_empty() || kind.is_some() || self.wants_link(owner);
        let link = address.filter(|_| is_asked && !is("img")).and_then(|address| self.base.join(address.trim()).ok());
        let link = link.filter(is_page);
        if is_author && let Some(link) = &link {
            self.author.uri.get_or_insert_with(|| link.as_str().to_owned());
        }
        if let (Some(link), Some(owner)) = (&link, owner) {
            self.items[owner].first_link.get_or_insert_with(|| link.as_str().to_owned());
        }
        let item = kind.map(|kind| {
            let mut item = Item::new(kind, owner);
            item.first_link = link.as_ref().map(|link| link.as_str().to_owned());
            item.implied_name = value_in_attributes(Property::Name, name, &attributes);
            self.items.push(item);
            self.items.len() - 1
        });
        let mut left = Vec::new();
        for property in properties.iter().copied() {
            let Some(owner) = owner.and_then(|owner| self.items.get_mut(owner)) else { break };
            match (property, item) {
                (Property::Author, Some(card)) => {
                    owner.author.get_or_insert(Author::Card(card));
                }
                _ => match value_in_attributes(property, name, &attributes) {
                    Some(value) => owner.take(property, value, link.as_ref()),
                    None => left.push(property),
                },
            }
        }
        if leads_there {
            self.hit(&properties, item);
        }
        // What says what the link is counts for all that stands in the element.
        left.extend(properties.into_iter().filter(|property| matches!(property, Property::Linked(_))));
        if is_void(name) || rest.ends_with('/') && !is_known_element(name) {
            return;
        }
        if self.open.len() == MAX_DEPTH {
            self.deeper += 1;
            return;
        }
        self.open.push(Open { name, inside: end, item, owner, properties: left, link, is_author });
    }

    /// Whether an item has no link yet and may be somebody's card.
    fn wants_link(&self, item: Option<usize>) -> bool {
        item.and_then(|item| self.items.get(item))
            .is_some_and(|item| item.kind == ItemKind::Card && item.first_link.is_none())
    }

    /// The first base that is one counts (HTML, section 4.2.3).
    fn rebase(&mut self, href: Option<&str>) {
        let Some(href) = href.filter(|href| !self.is_based && href.len() <= MAX_BASE_BYTES) else { return };
        if let Ok(base) = self.base.join(href.trim()) {
            (self.base, self.is_based) = (base, true);
        }
    }

    /// Notes that the target was found, in an element with these properties that may be an item.
    fn hit(&mut self, own: &[Property], own_item: Option<usize>) {
        let mut kind = linked(own);
        let mut entry = own_item.filter(|item| self.items[*item].kind == ItemKind::Entry && kind.is_none());
        for open in self.open.iter().rev() {
            if entry.is_some() {
                break;
            }
            let says = linked(&open.properties);
            // An entry that is what another answers speaks through that one.
            entry = open.item.filter(|item| self.items[*item].kind == ItemKind::Entry && says.is_none());
            kind = kind.or(says);
        }
        // A link that says what it is counts before one that does not.
        if self.hit.as_ref().is_none_or(|hit| hit.kind.is_none() && kind.is_some()) {
            self.hit = Some(Hit { kind, entry, start: self.block_end, end: None });
        }
    }

    /// A block begins or ends between these places.
    fn part(&mut self, start: usize, end: usize) {
        if let Some(hit) = &mut self.hit {
            hit.end.get_or_insert(start);
        }
        self.block_end = end;
    }

    fn close(&mut self, name: &str, start: usize, end: usize) {
        if is_block(name) {
            self.part(start, end);
        }
        if self.deeper > 0 {
            self.deeper -= 1;
            return;
        }
        // What follows the end of a page is still its body's (HTML, section 13.2.6.4.7).
        if name.eq_ignore_ascii_case("body") || name.eq_ignore_ascii_case("html") {
            return;
        }
        let Some(at) = self.open.iter().rposition(|open| open.name.eq_ignore_ascii_case(name)) else { return };
        if is_formatting(name) && self.open[at + 1..].iter().any(|open| !is_formatting(open.name)) {
            // It overlaps with what goes on.
            let closed = self.open.remove(at);
            self.finish(closed, start);
        } else {
            self.close_down_to(at, start);
        }
    }

    fn close_down_to(&mut self, depth: usize, end: usize) {
        while self.open.len() > depth {
            let Some(closed) = self.open.pop() else { return };
            self.finish(closed, end);
        }
    }

    /// What stands in an element is known now.
    fn finish(&mut self, closed: Open<'a>, end: usize) {
        let inside = Value::Html(&self.html[closed.inside..end.max(closed.inside)]);
        if let Some(item) = closed.item.and_then(|item| self.items.get_mut(item)) {
            item.implied_name.get_or_insert_with(|| inside.clone());
        }
        if closed.is_author && self.author.name.is_empty() && self.names_tried < MAX_NAMES_TRIED {
            self.names_tried += 1;
            self.author.name = inside.line(MAX_NAME_CHARS);
        }
        let Some(owner) = closed.owner.and_then(|owner| self.items.get_mut(owner)) else { return };
        // A note whose text is called its name has no title.
        let is_note = closed.properties.contains(&Property::Content);
        for property in closed.properties {
            let value = if is_note && property == Property::Name { Value::Text(String::new()) } else { inside.clone() };
            owner.take(property, value, closed.link.as_ref());
        }
    }

    fn reading(self) -> Option<Reading> {
        let hit = self.hit?;
        let first = || self.items.iter().position(|item| item.kind == ItemKind::Entry);
        let entry = hit.entry.or_else(first).and_then(|entry| self.items.get(entry));
        let mut reading = entry.map(|entry| items::reading(&self.items, entry, &self.base)).unwrap_or_default();
        reading.kind = hit.kind;
        if reading.title.is_empty() && entry.is_none_or(|entry| entry.name.is_none()) {
            reading.title = self.title.map(|title| line(title, MAX_TITLE_CHARS)).unwrap_or_default();
        }
        if reading.excerpt.is_empty() {
            let paragraph = &self.html[hit.start..hit.end.unwrap_or(self.html.len())];
            reading.excerpt = excerpt(&Markup::Html(paragraph.to_owned()), &self.base);
        }
        if reading.author == Person::default() {
            reading.author = self.author;
        }
        Some(reading)
    }
}

/// What a link with these properties is.
fn linked(properties: &[Property]) -> Option<WebmentionKind> {
    properties.iter().find_map(|property| match property {
        Property::Linked(kind) => Some(*kind),
        _ => None,
    })
}

/// Elements that show what their `src` leads to.
const SHOWN: [&str; 6] = ["img", "video", "audio", "source", "iframe", "embed"];

/// Elements whose inside is text to browsers, or shown to nobody; scripts and style sheets the pieces know themselves.
const RAW_TEXTS: [&str; 8] = ["title", "textarea", "template", "iframe", "xmp", "noembed", "noframes", "plaintext"];

/// How long the inside of such an element is.
fn raw_text_len(inside: &str, name: &str) -> usize {
    let bytes = inside.as_bytes();
    let end = memmem::find_iter(bytes, b"</").find(|at| {
        let after = bytes.get(at + 2..at + 2 + name.len());
        after.is_some_and(|after| after.eq_ignore_ascii_case(name.as_bytes()))
    });
    end.unwrap_or(inside.len())
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    name.len() <= 10 && names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Elements that never have an inside (HTML, section 13.1.2).
fn is_void(name: &str) -> bool {
    is_one_of(
        name,
        &["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"],
    )
}

/// Elements that begin a paragraph of their own.
fn is_block(name: &str) -> bool {
    is_one_of(
        name,
        &[
            "address",
            "article",
            "aside",
            "blockquote",
            "body",
            "caption",
            "center",
            "dd",
            "details",
            "dialog",
            "dir",
            "div",
            "dl",
            "dt",
            "fieldset",
            "figcaption",
            "figure",
            "footer",
            "form",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "head",
            "header",
            "hgroup",
            "hr",
            "html",
            "li",
            "main",
            "menu",
            "nav",
            "ol",
            "p",
            "pre",
            "section",
            "summary",
            "table",
            "tbody",
            "td",
            "tfoot",
            "th",
            "thead",
            "tr",
            "ul",
        ],
    )
}

/// Elements that may overlap with others.
fn is_formatting(name: &str) -> bool {
    is_one_of(name, &["a", "b", "big", "code", "em", "font", "i", "s", "small", "strike", "strong", "tt", "u"])
}

/// Whether an open element ends where a block begins, as end tags that may be left out do (HTML, section 13.1.2.4).
fn ends_before(open: &str, block: &str) -> bool {
    let is = |names: &[&str]| is_one_of(block, names);
    match open.to_ascii_lowercase().as_str() {
        "p" => true,
        "li" => is(&["li"]),
        "dt" | "dd" => is(&["dt", "dd"]),
        "td" | "th" => is(&["td", "th", "tr", "tbody", "tfoot"]),
        "tr" => is(&["tr", "tbody", "tfoot"]),
        "thead" | "tbody" => is(&["tbody", "tfoot"]),
        _ => false,
    }
}
