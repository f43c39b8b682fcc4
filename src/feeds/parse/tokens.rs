//! The pieces of a document, in order, whatever state it is in: a layer over `quick-xml` that never gives up.
//!
//! `quick-xml` finds the pieces; where one of them cannot be what it looks like (a bare `<`, a tag that swallows the
//! next one, a comment without an end), this starts it again just behind the fault. Knows nothing of feeds.

use memchr::memchr;
use quick_xml::Reader;
use quick_xml::events::Event;

/// How much may be read again after faults: so many times the document, plus [`FREE_RESCAN_BYTES`].
const MAX_RESCAN_FACTOR: usize = 8;
/// What a small document may read again.
const FREE_RESCAN_BYTES: usize = 1 << 20;

/// One piece of a document, as it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A start tag, from its name on, without `<`, `>` and a closing `/`.
    Start {
        /// The tag's inside.
        tag: &'a str,
        /// Whether it closes itself.
        empty: bool,
    },
    /// An end tag's name.
    End(&'a str),
    /// Text without references.
    Text(&'a str),
    /// The inside of a CDATA section.
    Cdata(&'a str),
    /// The name of a reference, without `&` and `;`.
    Reference(&'a str),
    /// A document type declaration.
    Doctype(&'a str),
    /// The end of the document.
    Done,
}

/// Reads a document piece by piece.
pub(super) struct Tokens<'a> {
    text: &'a str,
    reader: Reader<&'a [u8]>,
    /// Where `reader` started.
    base: usize,
    /// Where the next piece starts.
    at: usize,
    /// Bytes that may still be read again.
    rescan_left: usize,
    /// Whether the document ends inside of a piece.
    cut: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut tokens = Self {
            text,
            reader: Reader::from_str(""),
            base: 0,
            at: 0,
            rescan_left: text.len().saturating_mul(MAX_RESCAN_FACTOR).saturating_add(FREE_RESCAN_BYTES),
            cut: false,
        };
        tokens.restart(0);
        tokens
    }

    /// Whether the document ended inside of a tag, a comment or a CDATA section.
    pub(super) fn was_cut(&self) -> bool {
        self.cut
    }

    fn restart(&mut self, at: usize) {
        let mut rest = self.text.get(at..).unwrap_or_default();
        // The reader would swallow a byte order mark without counting it.
        while let Some(after) = rest.strip_prefix('\u{feff}') {
            rest = after;
        }
        self.at = self.text.len() - rest.len();
        self.base = self.at;
        self.reader = Reader::from_str(rest);
        let config = self.reader.config_mut();
        config.allow_dangling_amp = true;
        config.allow_unmatched_ends = true;
        config.check_end_names = false;
    }

    /// Starts again at `at` after `read` bytes were read for nothing; `false` when too many were.
    fn resume(&mut self, at: usize, read: usize) -> bool {
        let Some(left) = self.rescan_left.checked_sub(read) else {
            self.cut = true;
            self.restart(self.text.len());
            return false;
        };
        self.rescan_left = left;
        self.restart(at);
        true
    }

    pub(super) fn next(&mut self) -> Token<'a> {
        let text = self.text;
        loop {
            let from = self.at;
            let event = self.reader.read_event();
            let to = (self.base + self.reader.buffer_position() as usize).min(text.len());
            let raw = text.get(from..to).unwrap_or_default();
            self.at = to;
            match event {
                Ok(Event::Text(_)) => {
                    if !raw.is_empty() {
                        return Token::Text(raw);
                    }
                }
                Ok(Event::GeneralRef(_)) => {
                    return Token::Reference(raw.strip_prefix('&').and_then(|r| r.strip_suffix(';')).unwrap_or(raw));
                }
                Ok(Event::CData(_)) => {
                    let inside = raw.strip_prefix("<![CDATA[").and_then(|r| r.strip_suffix("]]>"));
                    return Token::Cdata(inside.unwrap_or_default());
                }
                Ok(Event::End(_)) => {
                    let name = raw.strip_prefix("</").and_then(|r| r.strip_suffix('>')).unwrap_or_default();
                    if let Some(next_tag) = memchr(b'<', name.as_bytes()) {
                        // `</title<link>`: the end tag ends where the next tag starts.
                        self.resume(from + 2 + next_tag, raw.len());
                        return Token::End(end_name(&name[..next_tag]));
                    }
                    return Token::End(end_name(name));
                }
                Ok(Event::Start(_) | Event::Empty(_)) => {
                    let Some(inside) = raw.strip_prefix('<').filter(|inside| starts_name(inside)) else {
                        self.resume(from + 1, raw.len());
                        return Token::Text(text.get(from..=from).unwrap_or_default());
                    };
                    let inside = inside.strip_suffix('>').unwrap_or(inside);
                    let inside = match tag_end(inside) {
                        Some(end) => {
                            let skipped = usize::from(inside.as_bytes().get(end) == Some(&b'>'));
                            self.resume(from + 1 + end + skipped, raw.len());
                            &inside[..end]
                        }
                        None => inside,
                    };
                    return start(inside);
                }
                Ok(Event::DocType(_)) => return Token::Doctype(raw),
                Ok(Event::Eof) => return Token::Done,
                Ok(Event::Comment(_) | Event::PI(_) | Event::Decl(_)) => {}
                Err(_) => {
                    // The piece that starts at `from` has no end.
                    let rest = text.get(from..).unwrap_or_default();
                    let marker = ["<![CDATA[", "<!--", "<?", "<!"].into_iter().find(|marker| rest.starts_with(marker));
                    let plain_end = memchr(b'>', rest.as_bytes());
                    match (marker, plain_end) {
                        // Cut off in the middle of a piece: nothing complete follows.
                        (_, None) => {
                            self.restart(text.len());
                            // Of a last end tag only the `>` may be missing.
                            if let Some(name) = rest.strip_prefix("</") {
                                return Token::End(end_name(name));
                            }
                            self.cut = true;
                            return Token::Done;
                        }
                        (Some(marker @ ("<![CDATA[" | "<!--")), _) => {
                            self.cut = true;
                            self.resume(from + marker.len(), rest.len());
                        }
                        (Some(_), Some(end)) => {
                            self.resume(from + end + 1, rest.len());
                        }
                        // A tag with a quote that is never closed.
                        (None, Some(end)) => {
                            self.resume(from + end + 1, rest.len());
                            match rest.get(1..end) {
                                Some(inside) if starts_name(inside) => return start(inside),
                                _ => {
                                    self.resume(from + 1, 0);
                                    return Token::Text(text.get(from..=from).unwrap_or_default());
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn start(inside: &str) -> Token<'_> {
    match inside.strip_suffix('/') {
        Some(tag) => Token::Start { tag, empty: true },
        None => Token::Start { tag: inside, empty: false },
    }
}

fn end_name(name: &str) -> &str {
    name.trim_matches(|c: char| c.is_ascii_whitespace())
}

fn starts_name(inside: &str) -> bool {
    inside.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b >= 0x80)
}

/// Where a tag must have ended, if it swallowed something of what follows it: a `<` stands in it, and not between
/// properly closed quotes.
fn tag_end(inside: &str) -> Option<usize> {
    let bytes = inside.as_bytes();
    memchr(b'<', bytes)?;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'<' => return Some(at),
            b'=' => {
                let value = at + 1 + bytes[at + 1..].iter().take_while(|b| b.is_ascii_whitespace()).count();
                if let Some(quote @ (b'"' | b'\'')) = bytes.get(value).copied() {
                    let end = value + 1 + memchr(quote, &bytes[value + 1..])?;
                    match bytes.get(end + 1) {
                        None | Some(b'/' | b' ' | b'\t' | b'\r' | b'\n') => at = end,
                        // The quote was closed by one that opens another value.
                        Some(_) => return memchr::memchr2(b'<', b'>', bytes),
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(document: &str, expected: &[Token]) {
        let mut tokens = Tokens::new(document);
        let mut found = Vec::new();
        loop {
            match tokens.next() {
                Token::Done => break,
                token => found.push(token),
            }
        }
        assert_eq!(found, expected, "{document}");
    }

    fn open(tag: &str) -> Token<'_> {
        Token::Start { tag, empty: false }
    }

    #[test]
    fn well_formed_pieces() {
        check(
            "\u{feff}<?xml version='1.0'?><!-- c --><a b='1'>x&amp;y<c/><![CDATA[<z>]]></a>",
            &[
                open("a b='1'"),
                Token::Text("x"),
                Token::Reference("amp"),
                Token::Text("y"),
                Token::Start { tag: "c", empty: true },
                Token::Cdata("<z>"),
                Token::End("a"),
            ],
        );
    }

    #[test]
    fn faults_cost_no_more_than_themselves() {
        check(
            "<a>1 < 2 & 3</a>",
            &[open("a"), Token::Text("1 "), Token::Text("<"), Token::Text(" 2 "), Token::Text("& 3"), Token::End("a")],
        );
        check("<a b=\"1\" <c>", &[open("a b=\"1\" "), open("c")]);
        check("<a b=\"x><c d=\"y\">t", &[open("a b=\"x"), open("c d=\"y\""), Token::Text("t")]);
        check("<a b=\"1 < 2\" c='>'>", &[open("a b=\"1 < 2\" c='>'")]);
        check("</a<b>", &[Token::End("a"), open("b")]);
        check("<a>x<!-- never closed <b>", &[open("a"), Token::Text("x"), Token::Text(" never closed "), open("b")]);
        check("<a>x<b", &[open("a"), Token::Text("x")]);
        check("<!ODD><a>", &[open("a")]);
        check("<a>x</a", &[open("a"), Token::Text("x"), Token::End("a")]);
    }

    #[test]
    fn hopeless_documents_end_soon() {
        for unit in ["<", "< ", "<a b=\"", "<!--", "<![CDATA[", "</", "<?", "&", "<a <", "\u{feff}<"] {
            let document = unit.repeat(400_000 / unit.len());
            let mut tokens = Tokens::new(&document);
            let mut count = 0;
            while tokens.next() != Token::Done {
                count += 1;
            }
            assert!(count <= 800_000, "{unit}: {count}");
        }
    }
}
