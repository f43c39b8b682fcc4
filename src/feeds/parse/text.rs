//! Text constructs: what their characters mean, given what the document says and what people do all the same.
//!
//! Titles become plain text here; longer texts become [`Markup`], to be cleaned elsewhere.

use crate::feeds::clean::pieces::{Piece, Pieces};
use crate::feeds::clean::text::{fold, is_known_element, plain};
use crate::model::Markup;
use crate::references::{self, has_reference};

/// How the characters of a text construct are to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Construct {
    /// RSS, which does not say: HTML where it looks like it.
    Guess,
    /// Plain text.
    Plain,
    /// HTML.
    Html,
    /// HTML that stands in the document as elements.
    Inline,
    /// The same inside of a `div` that is not part of it (RFC 4287, section 3.1.1.3).
    Xhtml,
    /// Base64 of one of the others (Atom 0.3, or an Atom media type that is no text).
    Base64,
}

impl Construct {
    /// Whether the text stands in the document as elements.
    pub(super) fn is_inline(self) -> bool {
        matches!(self, Self::Inline | Self::Xhtml)
    }

    /// What Atom's `type` and Atom 0.3's `mode` say (RFC 4287, sections 3.1.1 and 4.1.3.3).
    pub(super) fn of_atom(kind: Option<&str>, mode: Option<&str>) -> Self {
        let kind = kind.unwrap_or("text").trim().to_ascii_lowercase();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let html = matches!(kind, "html" | "text/html");
        match mode.map(|mode| mode.trim().to_ascii_lowercase()).as_deref() {
            Some("base64") => Self::Base64,
            Some("escaped") if html || kind.contains("xhtml") => Self::Html,
            Some("escaped") => Self::Guess,
            Some("xml") if html => Self::Inline,
            _ if html => Self::Html,
            _ if kind == "xhtml" => Self::Xhtml,
            _ if kind.ends_with("/xml") || kind.ends_with("+xml") => Self::Inline,
            _ if matches!(kind, "text" | "text/plain" | "plain" | "") || kind.starts_with("text/") => Self::Plain,
            // A media type that is no text; anything else is a slip.
            _ if kind.contains('/') => Self::Base64,
            _ => Self::Guess,
        }
    }
}

/// A title as plain text: markup gone, references resolved, white space folded.
pub(super) fn plain_title(raw: &str, construct: Construct) -> String {
    let html = match construct {
        Construct::Plain => false,
        Construct::Html | Construct::Inline | Construct::Xhtml => true,
        Construct::Guess | Construct::Base64 => looks_like_html(raw),
    };
    if !html || !raw.contains(['<', '&']) {
        return fold(raw);
    }
    plain(raw, usize::MAX, true)
}

/// Whether a text of unknown kind was meant as HTML: it has a reference, or an element that is closed or never needs to
/// be. A lone `<div>` in a title is being talked about.
fn looks_like_html(raw: &str) -> bool {
    if !raw.contains(['<', '&']) {
        return false;
    }
    has_reference(raw)
        || Pieces::new(raw).any(|piece| match piece {
            Piece::Close { name, .. } => is_known_element(name),
            Piece::Open { name, .. } => ["br", "img", "hr", "wbr"].iter().any(|void| name.eq_ignore_ascii_case(void)),
            _ => false,
        })
}

/// A longer text as what it is.
pub(super) fn markup(raw: String, construct: Construct) -> Markup {
    let text = trimmed(raw);
    match construct {
        Construct::Plain => Markup::Text(text),
        Construct::Html | Construct::Inline | Construct::Xhtml => Markup::Html(text),
        Construct::Base64 => match base64(&text) {
            Some(decoded) => markup(decoded, Construct::Guess),
            None => Markup::Text(String::new()),
        },
        Construct::Guess => {
            let tagged = memchr::memchr_iter(b'<', text.as_bytes()).any(|at| {
                let after = text.as_bytes().get(at + 1..).unwrap_or_default();
                matches!(after, [b'a'..=b'z' | b'A'..=b'Z' | b'/', ..] | [b'!', b'-', b'-', ..])
            });
            if tagged || has_reference(&text) { Markup::Html(text) } else { Markup::Text(text) }
        }
    }
}

/// The text without space around it, in place.
fn trimmed(mut text: String) -> String {
    text.truncate(text.trim_end().len());
    let leading = text.len() - text.trim_start().len();
    text.drain(..leading);
    text
}

/// Base64 (RFC 4648, section 4) with white space, of UTF-8 text; `None` for anything else.
fn base64(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes().filter(|b| !b.is_ascii_whitespace()) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => break,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Drops the control characters that XML 1.0, section 2.2, forbids, and reads those of U+0080 to U+009F as the bytes of
/// Windows-1252 that they once were.
pub(super) fn drop_controls(text: &mut String) {
    let forbidden = |c: char| c < ' ' && !matches!(c, '\t' | '\n' | '\r') || matches!(c, '\u{fffe}' | '\u{ffff}');
    let suspect = |byte: &u8| matches!(*byte, 0..=8 | 11 | 12 | 14..=31);
    // Without an early exit inside of a chunk the processor looks at many bytes at a time.
    let chunk_suspect = |chunk: &[u8]| chunk.iter().fold(false, |found, byte| found | suspect(byte));
    if text.as_bytes().chunks(128).any(chunk_suspect) || memchr::memmem::find(text.as_bytes(), b"\xef\xbf").is_some() {
        text.retain(|c| !forbidden(c));
    }
    let misread = |c: char| ('\u{80}'..='\u{9f}').contains(&c);
    // In UTF-8 these are the ones that begin with C2 and go on below A0.
    let is_misread = |at: usize| text.as_bytes().get(at + 1).is_some_and(|byte| *byte < 0xa0);
    if memchr::memchr_iter(0xc2, text.as_bytes()).any(is_misread) {
        *text = text.chars().map(|c| if misread(c) { references::windows_1252(c as u8) } else { c }).collect();
    }
}

/// The text as HTML that shows it.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    references::push_escaped(text, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_lose_their_markup_and_keep_their_meaning() {
        for (raw, construct, plain) in [
            ("  Two\n  words ", Construct::Guess, "Two words"),
            ("AT&amp;T &lt;3", Construct::Guess, "AT&T <3"),
            ("<b>Bold</b> move", Construct::Guess, "Bold move"),
            ("How to use <div>", Construct::Guess, "How to use <div>"),
            ("Vec<T> &amp; friends", Construct::Guess, "Vec<T> & friends"),
            ("1 < 2", Construct::Guess, "1 < 2"),
            ("<b>literally</b>", Construct::Plain, "<b>literally</b>"),
            ("a<br>b", Construct::Html, "a b"),
            ("x<script>alert(1)</script>y", Construct::Html, "xy"),
        ] {
            assert_eq!(plain_title(raw, construct), plain, "{raw}");
        }
    }

    #[test]
    fn atom_types() {
        for (kind, mode, construct) in [
            (None, None, Construct::Plain),
            (Some("TEXT"), None, Construct::Plain),
            (Some("html"), None, Construct::Html),
            (Some("xhtml"), None, Construct::Xhtml),
            (Some("image/svg+xml"), None, Construct::Inline),
            (Some("image/png"), None, Construct::Base64),
            (Some("application/xhtml+xml"), Some("escaped"), Construct::Html),
            (Some("text/html"), Some("base64"), Construct::Base64),
            (Some("odd"), None, Construct::Guess),
        ] {
            assert_eq!(Construct::of_atom(kind, mode), construct, "{kind:?} {mode:?}");
        }
    }

    #[test]
    fn base64_of_text() {
        assert_eq!(
            markup("RXhhbXBsZSA8Yj5BdG9t\nPC9iPg==".into(), Construct::Base64),
            Markup::Html("Example <b>Atom</b>".into())
        );
        assert_eq!(markup("%%".into(), Construct::Base64), Markup::Text(String::new()));
    }
}
