//! The short way through the cleaner, for the plain HTML that most entries consist of.
//!
//! Reads well-nested HTML in one pass and writes what the tree of `html5ever`, cleaned by `ammonia`, would be written as,
//! or gives up at the first thing that it does not understand completely; the tree is made then as ever. It takes an
//! eighth of the tree's time. It can only write elements and attributes that it knows by name, addresses that were
//! judged as `ammonia` judges them, and escaped text; that these are the very bytes of the long way is held by a property
//! over near-HTML and over every entry of the corpus (tests).

use std::borrow::Cow;

use memchr::{memchr, memchr3, memmem};
use url::Url;

use super::{ADDRESSES, ATTRIBUTES, MAX_CANDIDATES_BYTES, SCHEMES, absolute, candidates, has_controls, rewrite};
use crate::model::PlainUrl;
use crate::references::of_html;

/// Longest text read here, in bytes; what the meter would say of larger ones is not sure without it.
const MAX_BYTES: usize = 256 << 10;
/// Most start tags: below it no well-nested text exceeds what the meter allows one of its length.
const MAX_TAGS: usize = 4000;
/// Most elements open at a time, far from what the meter allows.
const MAX_OPEN: usize = 48;
/// Most attributes of a tag, and most of those kept.
const MAX_ATTRIBUTES: usize = 24;
const MAX_KEPT: usize = 12;
/// Most ampersands that stand for themselves: the meter counts each as a fault.
const MAX_BARE_AMPERSANDS: usize = 64;
/// Longest name of a reference, in bytes.
const MAX_REFERENCE_BYTES: usize = 40;

/// How the parsers of HTML treat an element (HTML, section 13.2.6.4.7), as far as that is well-nested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It closes an open paragraph, and its end closes what may lack an end tag.
    Block,
    /// A block whose first line break is no part of it.
    Preformatted,
    /// A block that no other of its kind may stand directly in.
    Heading,
    Paragraph,
    /// A block with items.
    List,
    Item,
    /// A block with terms and what they mean.
    Definitions,
    Definition,
    /// Opened anew in other blocks where its own end does not come first; never within itself here.
    Formatting,
    /// Nothing special.
    Inline,
    /// Never has an end tag.
    Void,
    /// The same, and closes an open paragraph.
    Rule,
    /// Never has an end tag, and stands in a film, a sound or a picture.
    Source,
    Media,
    Table,
    /// Part of a table that holds rows.
    Rows,
    Row,
    Cell,
    Caption,
}

impl Kind {
    /// Whether it may be left without an end tag.
    fn is_implied(self) -> bool {
        matches!(self, Self::Paragraph | Self::Item | Self::Definition)
    }

    /// Whether a start tag closes an open paragraph.
    fn closes_paragraph(self) -> bool {
        matches!(
            self,
            Self::Block
                | Self::Preformatted
                | Self::Heading
                | Self::Paragraph
                | Self::List
                | Self::Item
                | Self::Definitions
                | Self::Definition
                | Self::Rule
                | Self::Table
        )
    }

    /// Whether its end tag closes an open element of that kind in it, too.
    fn ends_with(self, inner: Self) -> bool {
        match self {
            Self::Paragraph => false,
            Self::Table => inner == Self::Rows,
            _ => (self.closes_paragraph() || self == Self::Cell) && inner.is_implied(),
        }
    }

    fn is_void(self) -> bool {
        matches!(self, Self::Void | Self::Rule | Self::Source)
    }

    /// Whether only parts of a table may stand in it, and white space.
    fn is_frame_of_table(self) -> bool {
        matches!(self, Self::Table | Self::Rows | Self::Row)
    }
}

/// An element that may be read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Element {
    name: &'static str,
    kind: Kind,
}

/// The element of that name, if nothing about it needs the tree.
fn element(name: &[u8]) -> Option<Element> {
    macro_rules! known {
        ($($kind:ident: $($name:literal)+;)+) => {
            match name {
                $($(name if name == $name.as_bytes() => Element { name: $name, kind: Kind::$kind },)+)+
                _ => return None,
            }
        };
    }
    Some(known! {
        Paragraph: "p";
        Formatting: "a" "b" "big" "code" "em" "font" "i" "s" "small" "strike" "strong" "tt" "u";
        Void: "br" "img" "wbr";
        Item: "li";
        List: "ul" "ol";
        Block: "address" "article" "aside" "blockquote" "center" "details" "div" "figcaption" "figure" "footer"
            "header" "main" "nav" "section" "summary";
        Heading: "h1" "h2" "h3" "h4" "h5" "h6";
        Inline: "abbr" "acronym" "bdi" "bdo" "cite" "data" "del" "dfn" "ins" "kbd" "mark" "q" "samp" "span" "sub"
            "sup" "time" "var";
        Preformatted: "pre";
        Rule: "hr";
        Table: "table";
        Rows: "tbody" "tfoot" "thead";
        Row: "tr";
        Cell: "td" "th";
        Caption: "caption";
        Definitions: "dl";
        Definition: "dd" "dt";
        Media: "audio" "picture" "video";
        Source: "source";
    })
}

/// What plain HTML became.
pub(super) struct Plain {
    /// The clean HTML.
    pub(super) html: String,
    /// How many start tags it had.
    pub(super) tags: usize,
}

/// Cleans HTML if it is plain and does not grow beyond so many bytes; `None` where the tree has to be made.
pub(super) fn clean(html: &str, base: Option<&Url>, most_bytes: usize) -> Option<Plain> {
    if html.len() > MAX_BYTES {
        return None;
    }
    let html = of_unix(html)?;
    if has_controls(&html) {
        return None;
    }
    let mut plain = Reader {
        rest: &html,
        out: String::with_capacity(html.len() + html.len() / 8),
        open: Vec::with_capacity(16),
        in_paragraph: false,
        after_pre: false,
        tags: 0,
        bare_ampersands: 0,
        candidates_bytes: 0,
        base,
        most_bytes,
    };
    plain.run()?;
    Some(Plain { html: plain.out, tags: plain.tags })
}

/// HTML with line ends as parsers of HTML read them (HTML, section 13.2.3.5); `None` where one may come together only
/// when something between is dropped.
fn of_unix(html: &str) -> Option<Cow<'_, str>> {
    if memchr(b'\r', html.as_bytes()).is_none() {
        return Some(Cow::Borrowed(html));
    }
    let stands_apart = !html.contains("\r<");
    stands_apart.then(|| Cow::Owned(html.replace("\r\n", "\n").replace('\r', "\n")))
}

struct Reader<'a> {
    rest: &'a str,
    out: String,
    open: Vec<Element>,
    /// Whether a paragraph is open: never two, since one closes the other.
    in_paragraph: bool,
    /// Whether nothing came yet after the start tag of preformatted text.
    after_pre: bool,
    tags: usize,
    bare_ampersands: usize,
    candidates_bytes: usize,
    base: Option<&'a Url>,
    most_bytes: usize,
}

impl<'a> Reader<'a> {
    fn run(&mut self) -> Option<()> {
        loop {
            let end = memchr(b'<', self.rest.as_bytes()).unwrap_or(self.rest.len());
            let (text, rest) = self.rest.split_at(end);
            self.rest = rest;
            self.text(text)?;
            match rest.as_bytes() {
                [] => break,
                [_, b'a'..=b'z', ..] => self.start_tag()?,
                [_, b'/', ..] => self.end_tag()?,
                [_, b'!', b'-', b'-', after @ ..] => {
                    let end = memmem::find(after, b"-->")?;
                    self.rest = &rest[end + "<!---->".len()..];
                }
                _ => return None,
            }
            if self.out.len() > self.most_bytes {
                return None;
            }
        }
        while !self.open.is_empty() {
            self.close();
        }
        Some(())
    }

    fn top(&self) -> Option<Kind> {
        self.open.last().map(|element| element.kind)
    }

    fn text(&mut self, text: &str) -> Option<()> {
        let Some(first) = text.chars().next() else { return Some(()) };
        // The one is dropped behind `<pre>`, the other at the beginning.
        if self.after_pre && first == '\n' || self.out.is_empty() && first == '\u{feff}' {
            return None;
        }
        if self.top().is_some_and(Kind::is_frame_of_table) && !text.bytes().all(|b| matches!(b, b' ' | b'\n' | b'\t')) {
            return None;
        }
        self.after_pre = false;
        self.write(text, false)
    }

    fn start_tag(&mut self) -> Option<()> {
        let tag = &self.rest[1..];
        let name_end = tag.bytes().position(|b| !b.is_ascii_lowercase() && !b.is_ascii_digit())?;
        let element = element(&tag.as_bytes()[..name_end])?;
        self.tags += 1;
        if self.tags > MAX_TAGS || self.open.len() >= MAX_OPEN {
            return None;
        }
        self.make_way(element)?;
        let start = self.out.len();
        self.out.push('<');
        self.out.push_str(element.name);
        let mut rest = &tag[name_end..];
        let mut kept = Kept::default();
        for count in 0.. {
            let next = rest.trim_start_matches([' ', '\n', '\t']);
            match next.as_bytes() {
                [b'>', ..] => {
                    rest = next;
                    break;
                }
                [b'/', b'>', ..] if element.kind.is_void() => {
                    rest = &next[1..];
                    break;
                }
                [b'a'..=b'z', ..] if next.len() < rest.len() && count < MAX_ATTRIBUTES => {
                    let (name, value, after) = attribute(next)?;
                    self.attribute(element.name, name, value, &mut kept)?;
                    rest = after;
                }
                _ => return None,
            }
        }
        self.rest = &rest[1..];
        if element.name == "img" {
            match rewrite::image_alone(&tag[name_end..tag.len() - rest.len()]) {
                None => {}
                Some(instead) if instead.is_empty() => {
                    self.out.truncate(start);
                    return Some(());
                }
                Some(_) => return None,
            }
        }
        if element.name == "a" {
            self.out.push_str(" rel=\"noopener noreferrer\"");
        }
        self.out.push('>');
        self.after_pre = element.kind == Kind::Preformatted;
        self.in_paragraph |= element.kind == Kind::Paragraph;
        if !element.kind.is_void() {
            self.open.push(element);
        }
        Some(())
    }

    /// Closes what an element closes by its start tag; `None` where it would stand elsewhere than here, or change what is
    /// open in another way.
    fn make_way(&mut self, element: Element) -> Option<()> {
        let kind = element.kind;
        match (kind, self.top()) {
            // Rows end where others begin, and get what holds them.
            (Kind::Rows | Kind::Caption, Some(Kind::Rows)) => self.close(),
            (Kind::Row, Some(Kind::Table)) => {
                self.out.push_str("<tbody>");
                self.open.push(Element { name: "tbody", kind: Kind::Rows });
            }
            _ => {}
        }
        let fits = match kind {
            Kind::Rows | Kind::Caption => self.top() == Some(Kind::Table),
            Kind::Row => self.top() == Some(Kind::Rows),
            Kind::Cell => self.top() == Some(Kind::Row),
            Kind::Source => self.top() == Some(Kind::Media),
            _ => !self.top().is_some_and(Kind::is_frame_of_table),
        };
        if !fits {
            return None;
        }
        if kind.closes_paragraph() && self.in_paragraph {
            if self.top() != Some(Kind::Paragraph) {
                return None;
            }
            self.close();
        }
        let (sibling, parent) = match kind {
            Kind::Item => (Kind::Item, Kind::List),
            Kind::Definition => (Kind::Definition, Kind::Definitions),
            Kind::Heading if self.top() == Some(Kind::Heading) => return None,
            Kind::Formatting if self.open.contains(&element) => return None,
            _ => return Some(()),
        };
        if self.top() == Some(sibling) {
            self.close();
        }
        (self.top() == Some(parent)).then_some(())
    }

    fn end_tag(&mut self) -> Option<()> {
        let tag = &self.rest[2..];
        let end = memchr(b'>', tag.as_bytes())?;
        let element = element(&tag.as_bytes()[..end])?;
        self.rest = &tag[end + 1..];
        loop {
            let top = *self.open.last()?;
            if top != element && !element.kind.ends_with(top.kind) {
                return None;
            }
            self.close();
            if top == element {
                return Some(());
            }
        }
    }

    /// Closes the innermost element.
    fn close(&mut self) {
        let Some(element) = self.open.pop() else { return };
        self.in_paragraph &= element.kind != Kind::Paragraph;
        self.after_pre = false;
        self.out.push_str("</");
        self.out.push_str(element.name);
        self.out.push('>');
    }

    /// Writes an attribute if it may stay; `value` as it stands in the tag.
    fn attribute(&mut self, element: &str, name: &'a str, value: &'a str, kept: &mut Kept<'a>) -> Option<()> {
        let is_of_element = ADDRESSES.iter().any(|(own, names)| *own == element && names.contains(&name));
        if !is_of_element && ATTRIBUTES.binary_search(&name).is_err() {
            return Some(());
        }
        kept.add(name)?;
        match name {
            "href" | "src" | "poster" => return self.address(name, value),
            "cite" => {
                let url = absolute(&self.decoded(value)?, self.base)?;
                self.write_attribute(name, url.as_str());
            }
            "srcset" => {
                let candidates = candidates(&self.decoded(value)?, self.base);
                self.candidates_bytes += candidates.len();
                if candidates.is_empty() || self.candidates_bytes > MAX_CANDIDATES_BYTES {
                    return None;
                }
                self.write_attribute(name, &candidates);
            }
            _ => self.write_value(name, value)?,
        }
        Some(())
    }

    /// Writes an address if it may stay: an absolute one as it is, a relative one joined with the base.
    fn address(&mut self, name: &str, value: &'a str) -> Option<()> {
        // Whatever follows the host, as references or not, can be read.
        if PlainUrl::split(value).is_some() {
            return self.write_value(name, value);
        }
        let address = self.decoded(value)?;
        match Url::parse(&address) {
            Ok(url) if SCHEMES.contains(&url.scheme()) => self.write_attribute(name, &address),
            Err(url::ParseError::RelativeUrlWithoutBase) => {
                if let Some(base) = self.base {
                    // One that cannot be joined makes `ammonia` change the order of the others.
                    self.write_attribute(name, base.join(&address).ok()?.as_str());
                }
            }
            Ok(_) | Err(_) => {}
        }
        Some(())
    }

    fn begin_attribute(&mut self, name: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
    }

    /// Writes an attribute with its value as it stands in the tag, references and all.
    fn write_value(&mut self, name: &str, value: &str) -> Option<()> {
        self.begin_attribute(name);
        self.write(value, true)?;
        self.out.push('"');
        Some(())
    }

    /// Writes an attribute of a value without references.
    fn write_attribute(&mut self, name: &str, value: &str) {
        self.begin_attribute(name);
        for c in value.chars() {
            self.write_char(c, true);
        }
        self.out.push('"');
    }

    /// Writes text or a value with references as a serialiser would write what they mean.
    fn write(&mut self, raw: &str, is_value: bool) -> Option<()> {
        let mut rest = raw;
        loop {
            let special = if is_value {
                rest.bytes().position(|b| matches!(b, b'&' | b'<' | b'>' | b'"' | 0xc2))
            } else {
                memchr3(b'&', b'>', 0xc2, rest.as_bytes())
            };
            let Some(at) = special else { break };
            self.out.push_str(&rest[..at]);
            rest = &rest[at..];
            if rest.starts_with('&') {
                let (first, second, len) = self.reference(rest, is_value)?;
                for c in [Some(first), second].into_iter().flatten() {
                    self.write_char(c, is_value);
                }
                rest = &rest[len..];
            } else if let Some(c) = rest.chars().next() {
                self.write_char(c, is_value);
                rest = &rest[c.len_utf8()..];
            }
        }
        self.out.push_str(rest);
        Some(())
    }

    fn write_char(&mut self, c: char, is_value: bool) {
        match c {
            '&' => self.out.push_str("&amp;"),
            '<' => self.out.push_str("&lt;"),
            '>' => self.out.push_str("&gt;"),
            '"' if is_value => self.out.push_str("&quot;"),
            '\u{a0}' => self.out.push_str("&nbsp;"),
            c => self.out.push(c),
        }
    }

    /// What a value means.
    fn decoded(&mut self, raw: &'a str) -> Option<Cow<'a, str>> {
        let Some(at) = memchr(b'&', raw.as_bytes()) else { return Some(Cow::Borrowed(raw)) };
        let (mut out, mut rest) = (raw[..at].to_owned(), &raw[at..]);
        while !rest.is_empty() {
            let (first, second, len) = self.reference(rest, true)?;
            out.push(first);
            out.extend(second);
            rest = &rest[len..];
            let end = memchr(b'&', rest.as_bytes()).unwrap_or(rest.len());
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
        Some(Cow::Owned(out))
    }

    /// The characters that the `&` at the beginning stands for together with what follows, and how long that is in bytes;
    /// `None` where that would take the rules for what lacks its semicolon (HTML, section 13.2.5.72 and the following).
    fn reference(&mut self, text: &str, is_value: bool) -> Option<(char, Option<char>, usize)> {
        let after = &text[1..];
        let end = after.bytes().take(MAX_REFERENCE_BYTES).position(|b| !b.is_ascii_alphanumeric() && b != b'#')?;
        let name = &after[..end];
        match after.as_bytes()[end] {
            b';' if end > 0 => {
                let (first, second) = match name.strip_prefix('#') {
                    Some(number) => (numbered(number)?, None),
                    None => of_html(name)?,
                };
                Some((first, second, end + 2))
            }
            // Nothing that is named ends before a letter, a digit or `=` in a value.
            b'=' if is_value && !name.contains('#') => self.bare_ampersand(),
            b' ' | b'\n' | b'\t' if end == 0 => self.bare_ampersand(),
            _ => None,
        }
    }

    fn bare_ampersand(&mut self) -> Option<(char, Option<char>, usize)> {
        self.bare_ampersands += 1;
        (self.bare_ampersands <= MAX_BARE_AMPERSANDS).then_some(('&', None, 1))
    }
}

/// The names of the attributes of one tag that may stay.
#[derive(Default)]
struct Kept<'a> {
    names: [&'a str; MAX_KEPT],
    count: usize,
}

impl<'a> Kept<'a> {
    /// Adds one; `None` if it is there already, or one too many.
    fn add(&mut self, name: &'a str) -> Option<()> {
        if self.names[..self.count].contains(&name) {
            return None;
        }
        *self.names.get_mut(self.count)? = name;
        self.count += 1;
        Some(())
    }
}

/// The attribute that a text starts with, its name and raw value, and what follows it.
fn attribute(text: &str) -> Option<(&str, &str, &str)> {
    let is_of_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b':');
    let (name, rest) = text.split_at(text.bytes().position(|b| !is_of_name(b))?);
    match rest.as_bytes() {
        [b'=', quote @ (b'"' | b'\''), value @ ..] => {
            let end = memchr(*quote, value)?;
            Some((name, &rest[2..2 + end], &rest[3 + end..]))
        }
        [b'=', value @ ..] => {
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'%');
            let end = 1 + value.iter().position(|b| !is_plain(*b)).filter(|end| *end > 0)?;
            // Whatever does not end it here is part of it.
            matches!(rest.as_bytes()[end], b' ' | b'\n' | b'\t' | b'>').then(|| (name, &rest[1..end], &rest[end..]))
        }
        [b' ' | b'\n' | b'\t' | b'>' | b'/', ..] => Some((name, "", rest)),
        _ => None,
    }
}

/// The character of a number between `&#` and `;`, if that is one that stands for itself.
fn numbered(number: &str) -> Option<char> {
    let (digits, radix) = match number.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    // No sign, which reading a number would allow.
    let is_number = digits.len() <= 8 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let code = is_number.then(|| u32::from_str_radix(digits, radix).ok()).flatten()?;
    (matches!(code, 0x20..=0x7e | 0xa0..)).then(|| char::from_u32(code)).flatten()
}

#[cfg(test)]
mod tests;
