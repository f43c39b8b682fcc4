//! Cleaned HTML, read once from front to back: its text, and a form for pages that load nothing.
//!
//! Builds no tree and keeps no more than the open elements, so that time and memory stay proportional to the input. Does
//! not clean: what arrives went through `feeds::clean`. Yet what goes out is made of known elements and attributes only,
//! each escaped here, so that a page stays whole whatever the store holds.

use std::borrow::Cow;

use super::uri;
use super::xml::{escape_into, sayable};

/// A piece of HTML.
enum Token<'a> {
    /// Characters, entities unresolved.
    Text(&'a str),
    /// A start tag: its name as written and the rest of the tag.
    Open(&'a str, &'a str),
    /// An end tag.
    Close(&'a str),
}

struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            if self.0.is_empty() {
                return None;
            }
            let Some(inner) = self.0.strip_prefix('<') else {
                let end = self.0.find('<').unwrap_or(self.0.len());
                return Some(Token::Text(self.cut(end)));
            };
            if let Some(comment) = inner.strip_prefix("!--") {
                self.0 = comment.split_once("-->").map_or("", |(_, rest)| rest);
                continue;
            }
            let end = tag_end(inner);
            let tag = &inner[..end];
            self.0 = inner.get(end + 1..).unwrap_or("");
            let (closes, tag) = tag.strip_prefix('/').map_or((false, tag), |tag| (true, tag));
            let name_end = tag.find(|c: char| c.is_ascii_whitespace() || c == '/').unwrap_or(tag.len());
            let (name, rest) = tag.split_at(name_end);
            if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                continue; // a declaration, or a stray sign
            }
            return Some(if closes { Token::Close(name) } else { Token::Open(name, rest) });
        }
    }
}

impl<'a> Tokens<'a> {
    fn cut(&mut self, at: usize) -> &'a str {
        let (head, rest) = self.0.split_at(at);
        self.0 = rest;
        head
    }
}

/// Where the `>` stands that ends a tag; quoted values may hold some.
fn tag_end(tag: &str) -> usize {
    let mut quote = None;
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return at,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    tag.len()
}

/// The attributes of a tag as name and raw value, in their order.
fn attributes(mut rest: &str) -> impl Iterator<Item = (&str, &str)> {
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() {
            return None;
        }
        let name_end = rest
            .char_indices()
            .skip(1) // a name is never empty, so that each round moves on
            .find(|&(_, c)| c.is_ascii_whitespace() || c == '=' || c == '/')
            .map_or(rest.len(), |(at, _)| at);
        let (name, after) = rest.split_at(name_end);
        let after = after.trim_start();
        let Some(value) = after.strip_prefix('=') else {
            rest = after;
            return Some((name, ""));
        };
        let value = value.trim_start();
        let quoted = value.strip_prefix('"').map(|v| (v, '"')).or_else(|| value.strip_prefix('\'').map(|v| (v, '\'')));
        let (value, after) = match quoted {
            Some((value, quote)) => value.split_once(quote).unwrap_or((value, "")),
            None => value.split_at(value.find(|c: char| c.is_ascii_whitespace()).unwrap_or(value.len())),
        };
        rest = after;
        Some((name, value))
    })
}

fn attribute<'a>(rest: &'a str, wanted: &str) -> Option<&'a str> {
    attributes(rest).find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
}

/// Resolves the entities that a serialiser writes, and numeric ones; others stay as they are.
fn unescape_into(out: &mut String, raw: &str) {
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        // No entity that is resolved here is longer than this.
        let name = after.bytes().take(10).position(|b| b == b';').map(|end| &after[..end]);
        let resolved = name.and_then(|name| match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            "nbsp" => Some('\u{a0}'),
            _ => {
                let digits = name.strip_prefix('#')?;
                let code = match digits.strip_prefix(['x', 'X']) {
                    Some(hex) => u32::from_str_radix(hex, 16),
                    None => digits.parse(),
                };
                code.ok().and_then(char::from_u32)
            }
        });
        if let (Some(c), Some(name)) = (resolved, name) {
            out.push(c);
            rest = &after[name.len() + 1..];
        } else {
            out.push('&');
            rest = after;
        }
    }
    out.push_str(rest);
}

fn unescaped(raw: &str) -> Cow<'_, str> {
    if !raw.contains('&') {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    unescape_into(&mut out, raw);
    Cow::Owned(out)
}

/// Elements that stand inside a line: text goes on without a space where they begin and end.
const INLINE: [&str; 34] = [
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins",
    "kbd", "mark", "q", "rp", "rt", "ruby", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time",
    "tt", "u", "wbr",
];

/// The words of a piece of HTML, white space folded to single spaces; at most about `max_chars` characters are read.
pub(super) fn text(html: &str, max_chars: usize) -> String {
    let mut out = String::new();
    let mut chars = 0;
    let mut space = false;
    let mut resolved = String::new();
    for token in Tokens(html) {
        match token {
            Token::Text(raw) => {
                resolved.clear();
                unescape_into(&mut resolved, raw);
                for c in sayable(&resolved).chars() {
                    if c.is_whitespace() {
                        space = true;
                        continue;
                    }
                    if space && !out.is_empty() {
                        out.push(' ');
                        chars += 1;
                    }
                    space = false;
                    out.push(c);
                    chars += 1;
                    if chars >= max_chars {
                        return out;
                    }
                }
            }
            Token::Open(name, _) | Token::Close(name) => {
                space |= !INLINE.iter().any(|known| name.eq_ignore_ascii_case(known));
            }
        }
    }
    out
}

/// The first `max_chars` characters of a text, cut between words, with an ellipsis where something is missing.
pub(super) fn shortened(text: &str, max_chars: usize) -> String {
    let Some((limit, _)) = text.char_indices().nth(max_chars) else { return text.to_owned() };
    let head = &text[..limit];
    // A cut between words unless the last word is longer than a third of it all, as where no spaces are written.
    let at = head.rfind(char::is_whitespace).filter(|at| *at * 3 > limit * 2).unwrap_or(limit);
    format!("{}…", head[..at].trim_end_matches(|c: char| c.is_whitespace() || ",;:–—-".contains(c)))
}

/// Elements that stay on a page as they are, with the attributes that are known.
const KNOWN: [&str; 50] = [
    "a",
    "abbr",
    "b",
    "bdi",
    "bdo",
    "blockquote",
    "caption",
    "cite",
    "code",
    "dd",
    "del",
    "details",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "i",
    "ins",
    "kbd",
    "li",
    "mark",
    "ol",
    "p",
    "pre",
    "q",
    "rp",
    "rt",
    "ruby",
    "s",
    "samp",
    "small",
    "span",
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
    "u",
    "ul",
    "var",
];

/// The element that is written for one of the input: itself, or one that does not disturb the page's own headings and
/// landmarks, or none, and then only its text stays.
fn written_as(name: &str) -> Option<&'static str> {
    match name {
        "acronym" => Some("abbr"),
        "strike" => Some("s"),
        "tt" => Some("code"),
        "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => Some("p"),
        "address" | "article" | "aside" | "center" | "footer" | "header" | "hgroup" | "main" | "nav" | "section" => {
            Some("div")
        }
        _ => KNOWN.iter().find(|known| **known == name).copied(),
    }
}

/// Deepest nesting kept on a page; deeper elements are unwrapped. Browsers stop at 512 of their own.
const MAX_DEPTH: usize = 96;

/// The HTML for a page for people: images and media become links, headings become paragraphs, only known elements and
/// attributes remain, everything opened is closed. Loads nothing, runs nothing.
pub(super) fn for_page(html: &str) -> String {
    let mut page = ForPage { out: String::with_capacity(html.len()), open: Vec::new(), pending: Vec::new() };
    for token in Tokens(html) {
        match token {
            Token::Text(raw) => escape_into(&mut page.out, &unescaped(raw), false),
            Token::Open(name, rest) => page.start(&name.to_ascii_lowercase(), rest),
            Token::Close(name) => page.end(&name.to_ascii_lowercase()),
        }
    }
    while let Some((_, written)) = page.open.pop() {
        page.write_end(written);
    }
    page.out
}

struct ForPage {
    out: String,
    /// The open elements: the name that the input will close, and what was written for it (nothing if unwrapped).
    open: Vec<(String, Option<&'static str>)>,
    /// Links to images inside a link, to be written after it: links don't nest.
    pending: Vec<String>,
}

impl ForPage {
    fn start(&mut self, name: &str, rest: &str) {
        match name {
            "img" => return self.file(rest, "Image"),
            "source" | "track" | "embed" | "input" | "link" | "meta" | "base" | "col" | "param" | "area" => return,
            "br" | "wbr" => {
                self.out.push('<');
                self.out.push_str(name);
                return self.out.push('>');
            }
            "hr" => return self.out.push_str("<hr>"),
            "video" => self.file(rest, "Video"),
            "audio" => self.file(rest, "Audio"),
            _ => {}
        }
        let is_lost = self.open.len() >= MAX_DEPTH || (name == "a" && self.in_link());
        let written = written_as(name).filter(|_| !is_lost);
        if let Some(written) = written {
            if written == "table" {
                self.out.push_str(r#"<div class="wide" role="group" aria-label="Table" tabindex="0">"#);
            }
            self.out.push('<');
            self.out.push_str(written);
            if written == "p" && name != "p" {
                self.out.push_str(r#" class="heading""#);
            }
            self.write_attributes(written, rest);
            self.out.push('>');
        }
        if self.open.len() < MAX_OPEN {
            self.open.push((name.to_owned(), written));
        }
    }

    /// Closes an element, and whatever the input left open inside it. An end without a start is dropped.
    fn end(&mut self, name: &str) {
        let Some(at) = self.open.iter().rposition(|(open, _)| open == name) else { return };
        for (_, written) in self.open.split_off(at).into_iter().rev() {
            self.write_end(written);
        }
    }

    fn write_end(&mut self, written: Option<&'static str>) {
        let Some(written) = written else { return };
        self.out.push_str("</");
        self.out.push_str(written);
        self.out.push('>');
        match written {
            "table" => self.out.push_str("</div>"),
            "a" => {
                for link in std::mem::take(&mut self.pending) {
                    self.out.push(' ');
                    self.out.push_str(&link);
                }
            }
            _ => {}
        }
    }

    fn in_link(&self) -> bool {
        self.open.iter().any(|(_, written)| *written == Some("a"))
    }

    /// A link in the place of an image, video or sound, called by its description.
    fn file(&mut self, rest: &str, kind: &str) {
        let source = attribute(rest, "src").map(unescaped);
        let Some(address) = source.as_deref().and_then(uri::web_link) else { return };
        let said = ["alt", "title"].into_iter().filter_map(|name| attribute(rest, name)).map(unescaped);
        let description = said.map(|text| text.trim().to_owned()).find(|text| !text.is_empty());
        let mut link = String::from(r#"<a class="file" rel="noreferrer" href=""#);
        escape_into(&mut link, &address, true);
        link.push_str("\">");
        link.push_str(kind);
        if let Some(description) = description {
            link.push_str(": ");
            escape_into(&mut link, &shortened(&description, 120), false);
        }
        link.push_str("</a>");
        if self.in_link() {
            self.pending.push(link);
            self.out.push_str(kind);
        } else {
            self.out.push_str(&link);
        }
    }

    fn write_attributes(&mut self, element: &str, rest: &str) {
        let mut seen: Vec<&'static str> = Vec::new();
        for (name, raw) in attributes(rest) {
            let Some(name) = ATTRIBUTES.iter().find(|known| known.eq_ignore_ascii_case(name)).copied() else {
                continue;
            };
            let belongs = match name {
                "lang" | "dir" | "title" => true,
                "href" => element == "a",
                "cite" => matches!(element, "blockquote" | "q" | "ins" | "del"),
                "datetime" => matches!(element, "time" | "ins" | "del"),
                "colspan" | "rowspan" => matches!(element, "td" | "th"),
                _ => element == "ol",
            };
            if !belongs || seen.contains(&name) {
                continue;
            }
            let value = unescaped(raw);
            let value = match name {
                "href" | "cite" => match uri::web_link(&value) {
                    Some(uri) => uri.into_owned(),
                    None => continue,
                },
                "lang" => match uri::language(&value) {
                    Some(tag) => tag.to_owned(),
                    None => continue,
                },
                "dir" if !matches!(&*value, "ltr" | "rtl" | "auto") => continue,
                // A table of a million columns is nothing that anybody wrote.
                "colspan" | "rowspan" if !value.parse::<u16>().is_ok_and(|n| (1..=100).contains(&n)) => continue,
                "start" if value.parse::<i32>().is_err() => continue,
                "reversed" => String::new(),
                _ => value.into_owned(),
            };
            seen.push(name);
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape_into(&mut self.out, &value, true);
            self.out.push('"');
        }
        if seen.contains(&"href") {
            self.out.push_str(r#" rel="noreferrer""#);
        }
    }
}

/// Most open elements remembered; deeper ones are unwrapped anyway.
const MAX_OPEN: usize = 512;

const ATTRIBUTES: [&str; 10] =
    ["lang", "dir", "title", "href", "cite", "datetime", "colspan", "rowspan", "start", "reversed"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_fragment() {
        for (html, words) in [
            ("<p>One <b>t</b>wo</p><p>three&nbsp;&amp; four</p>", "One two three & four"),
            ("a<br>b<wbr>c", "a bc"),
            ("x <img alt=\"a > b\" src=\"y\"> z", "x z"),
            ("<!-- <p>no</p> -->yes", "yes"),
            ("1 &lt; 2 &#x1D11E; &bogus; & &#0;", "1 < 2 𝄞 &bogus; &"),
            ("cut <a href=\"", "cut"),
            ("2 < 3", "2"),
            ("", ""),
        ] {
            assert_eq!(text(html, 1000), words, "{html}");
        }
        assert_eq!(text("<p>abcdef</p>", 3), "abc");
    }

    #[test]
    fn texts_are_shortened_between_words() {
        assert_eq!(shortened("one two three", 20), "one two three");
        assert_eq!(shortened("one two, three", 9), "one two…");
        assert_eq!(shortened("ooooooooooooooone two", 10), "oooooooooo…");
        assert_eq!(shortened("ひらがなひらがな", 4), "ひらがな…");
    }

    #[test]
    fn pages_load_nothing_and_stay_whole() {
        for (html, page) in [
            (
                r#"<p>See <img src="https://example.org/a.png" alt="a &quot;b&quot;" width="9"></p>"#,
                r#"<p>See <a class="file" rel="noreferrer" href="https://example.org/a.png">Image: a "b"</a></p>"#,
            ),
            (
                r#"<a href="https://example.org/"><img src="https://example.org/a.png"></a>!"#,
                r#"<a href="https://example.org/" rel="noreferrer">Image</a> <a class="file" rel="noreferrer" href="https://example.org/a.png">Image</a>!"#,
            ),
            (r#"<img src="data:image/png;base64,xx"><img src="/a.png">"#, ""),
            ("<h2 id=main class=x>T</h2><nav>n</nav>", r#"<p class="heading">T</p><div>n</div>"#),
            ("</div></article><p>open <b>bold", "<p>open <b>bold</b></p>"),
            ("<b><i>x</b>y</i>", "<b><i>x</i></b>y"),
            (r#"<p onclick="x()" style="y" dir="rtl" lang="ar">z</p>"#, r#"<p dir="rtl" lang="ar">z</p>"#),
            (r#"<a href="javascript:x()">y</a>"#, "<a>y</a>"),
            (r#"<iframe src="https://example.org/">x</iframe>"#, "x"),
            (
                "<table><tr><td colspan=2>x</td></tr></table>",
                r#"<div class="wide" role="group" aria-label="Table" tabindex="0"><table><tr><td colspan="2">x</td></tr></table></div>"#,
            ),
        ] {
            assert_eq!(for_page(html), page, "{html}");
        }
    }

    #[test]
    fn deep_and_broken_markup_costs_no_more_than_its_length() {
        let deep = "<div>".repeat(100_000);
        assert!(for_page(&deep).len() <= MAX_DEPTH * "<div></div>".len());
        for hostile in ["<a ".repeat(50_000), "<".repeat(100_000), "&".repeat(100_000), "<a href=".repeat(50_000)] {
            for_page(&hostile);
            text(&hostile, usize::MAX);
        }
    }
}
