//! The text of HTML: what a person would read aloud, for titles, summaries and searching.
//!
//! Linear in its input and without a tree, so that it may be used on anything. Its result is text, never HTML.

use super::pieces::{Piece, Pieces};
use crate::feeds::parse::attributes::Attributes;
use crate::references::{OwnEntities, decode};

/// Elements that stand on lines of their own: words on both sides of them are two words.
const BLOCKS: [&str; 38] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "br",
    "caption",
    "center",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "figcaption",
    "figure",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "li",
    "main",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "summary",
    "table",
    "td",
    "th",
    "tr",
    "ul",
    "option",
];

/// Elements inside of a line, and those that show nothing.
const INLINES: [&str; 62] = [
    "a", "abbr", "acronym", "area", "audio", "b", "base", "bdi", "bdo", "big", "blink", "button", "canvas", "cite",
    "code", "col", "colgroup", "data", "del", "dfn", "em", "embed", "font", "form", "head", "html", "i", "iframe",
    "img", "input", "ins", "kbd", "label", "link", "map", "mark", "meta", "meter", "noscript", "object", "param", "q",
    "rp", "rt", "ruby", "s", "samp", "script", "small", "source", "span", "strike", "strong", "style", "sub", "sup",
    "tbody", "textarea", "tt", "u", "var", "wbr",
];

/// Longest name of a known element, in bytes.
const MAX_NAME_BYTES: usize = 10;

fn is_one_of(name: &str, names: &[&str]) -> bool {
    name.len() <= MAX_NAME_BYTES && names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether HTML knows an element of that name.
pub(in crate::feeds) fn is_known_element(name: &str) -> bool {
    is_one_of(name, &INLINES)
        || is_one_of(name, &BLOCKS)
        || is_one_of(
            name,
            &[
                "thead", "tfoot", "svg", "math", "video", "time", "picture", "nobr", "rb", "rtc", "legend", "fieldset",
                "title", "applet", "frame", "frameset",
            ],
        )
}

/// Text with white space folded, at most so many characters.
struct Folded {
    out: String,
    space: bool,
    chars_left: usize,
}

impl Folded {
    fn push(&mut self, text: &str) {
        for c in text.chars() {
            if c.is_whitespace() || c.is_control() {
                self.space = true;
                continue;
            }
            // What turns the direction of writing would turn everything that follows the text, too.
            if matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
                continue;
            }
            let needed = 1 + usize::from(self.space && !self.out.is_empty());
            if needed > self.chars_left {
                self.chars_left = 0;
                return;
            }
            if needed == 2 {
                self.out.push(' ');
            }
            self.space = false;
            self.out.push(c);
            self.chars_left -= needed;
        }
    }
}

/// The text of HTML with white space folded, at most so many characters. With `keep_strangers`, tags that HTML does not
/// know are text, as in `Vec<T>`, and images speak by their descriptions.
pub(in crate::feeds) fn plain(html: &str, max_chars: usize, keep_strangers: bool) -> String {
    let mut folded =
        Folded { out: String::with_capacity(html.len().min(max_chars)), space: false, chars_left: max_chars };
    let own = OwnEntities::default();
    for piece in Pieces::new(html) {
        match piece {
            Piece::Text(text) => folded.push(&decode(text, &own)),
            Piece::Open { name, rest, .. } if keep_strangers && name.eq_ignore_ascii_case("img") => {
                folded.push(&decode(Attributes::new(rest).value("alt").unwrap_or_default(), &own));
            }
            Piece::Open { name, raw, .. } | Piece::Close { name, raw } => {
                if is_one_of(name, &BLOCKS) {
                    folded.space = true;
                } else if keep_strangers && !is_known_element(name) {
                    folded.push(&decode(raw, &own));
                }
            }
            Piece::Hidden(_) => {}
        }
        if folded.chars_left == 0 {
            break;
        }
    }
    folded.out
}

/// Text with white space folded and control characters gone.
pub(in crate::feeds) fn fold(text: &str) -> String {
    let mut folded = Folded { out: String::with_capacity(text.len()), space: false, chars_left: usize::MAX };
    folded.push(text);
    folded.out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_reads_as_a_person_would() {
        for (html, expected) in [
            ("<p>One</p><p>two<b>three</b></p>", "One twothree"),
            ("a&nbsp;b &amp;lt; c", "a b &lt; c"),
            ("x<style>p{}</style>y<!-- z -->", "xy"),
            ("unclosed <b", "unclosed <b"),
        ] {
            assert_eq!(plain(html, usize::MAX, false), expected, "{html}");
        }
        assert_eq!(plain("<p>one two three", 7, false), "one two");
        assert_eq!(plain("if a<b> c</b>", 99, true), "if a c");
        assert_eq!(plain("<img src=x alt='A &amp; B'> in Vec<T>", 99, true), "A & B in Vec<T>");
        assert_eq!(plain("a\u{202e}b\u{a0}c", 99, true), "ab c");
    }
}
