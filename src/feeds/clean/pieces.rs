//! The pieces of HTML as it comes, in linear time and without a tree: text, tags, and what is never shown.
//!
//! Enough to take text out, to look at tags and to rewrite them. Not enough to judge what is safe: only the cleaner may.

use memchr::{memchr, memchr3, memmem};

use crate::feeds::parse::attributes::split_name;

/// One piece of HTML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::feeds) enum Piece<'a> {
    /// Text, with references.
    Text(&'a str),
    /// A start tag.
    Open {
        /// Its name as written.
        name: &'a str,
        /// What follows the name, without `>`.
        rest: &'a str,
        /// The tag as it stands there.
        raw: &'a str,
    },
    /// An end tag.
    Close {
        /// Its name as written.
        name: &'a str,
        /// The tag as it stands there.
        raw: &'a str,
    },
    /// A comment, a declaration, or the inside of a script or a style sheet.
    Hidden(&'a str),
}

/// Takes HTML apart.
pub(in crate::feeds) struct Pieces<'a> {
    rest: &'a str,
    /// No `>` follows: every `<` is text.
    no_more_ends: bool,
    /// A quote was never closed: quotes count no more.
    quotes_broken: bool,
    /// The element whose inside is not HTML, just opened.
    raw_text: Option<&'static str>,
}

impl<'a> Pieces<'a> {
    pub(in crate::feeds) fn new(html: &'a str) -> Self {
        Self { rest: html, no_more_ends: false, quotes_broken: false, raw_text: None }
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// The length of the tag that starts here, with its `>`; `None` if it never ends.
    fn tag_len(&mut self) -> Option<usize> {
        let bytes = self.rest.as_bytes();
        if !self.quotes_broken {
            let mut at = 1;
            loop {
                at += memchr3(b'>', b'"', b'\'', bytes.get(at..)?)?;
                let quote = bytes[at];
                at += 1;
                if quote == b'>' {
                    return Some(at);
                }
                // A quote only counts where a value starts.
                if bytes[..at - 1].trim_ascii_end().ends_with(b"=") {
                    let Some(len) = memchr(quote, &bytes[at..]) else {
                        self.quotes_broken = true;
                        break;
                    };
                    at += len + 1;
                }
            }
        }
        memchr(b'>', bytes).map(|at| at + 1)
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        if let Some(name) = self.raw_text.take() {
            let end = find_close(self.rest, name).unwrap_or(self.rest.len());
            if end > 0 {
                return Some(Piece::Hidden(self.take(end)));
            }
        }
        let bytes = self.rest.as_bytes();
        let mut from = 0;
        let start = loop {
            match memchr(b'<', &bytes[from..]).map(|at| from + at) {
                Some(at) if starts_tag(bytes.get(at + 1).copied()) && !self.no_more_ends => break at,
                Some(at) => from = at + 1,
                None => break bytes.len(),
            }
        };
        if start > 0 {
            return Some(Piece::Text(self.take(start)));
        }
        if let Some(after) = self.rest.strip_prefix("<!--") {
            let len = memmem::find(after.as_bytes(), b"-->").map_or(self.rest.len(), |at| at + "<!---->".len());
            return Some(Piece::Hidden(self.take(len)));
        }
        let Some(len) = self.tag_len() else {
            self.no_more_ends = true;
            return self.next();
        };
        let raw = self.take(len);
        let inside = raw.strip_suffix('>').unwrap_or(raw);
        if let Some(name) = inside.strip_prefix("</") {
            return Some(Piece::Close { name: split_name(name).0, raw });
        }
        if inside.starts_with("<!") || inside.starts_with("<?") {
            return Some(Piece::Hidden(raw));
        }
        let (name, rest) = split_name(inside.strip_prefix('<').unwrap_or(inside));
        self.raw_text = ["script", "style"].into_iter().find(|raw| name.eq_ignore_ascii_case(raw));
        if rest.ends_with('/') {
            self.raw_text = None;
        }
        Some(Piece::Open { name, rest, raw })
    }
}

fn starts_tag(next: Option<u8>) -> bool {
    next.is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'/' | b'!' | b'?'))
}

/// Where the end tag of that name starts, in any letter case.
fn find_close(html: &str, name: &str) -> Option<usize> {
    memmem::find_iter(html.as_bytes(), b"</").find(|at| {
        let after = html.as_bytes().get(at + 2..at + 2 + name.len());
        after.is_some_and(|after| after.eq_ignore_ascii_case(name.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_falls_into_its_pieces() {
        let pieces: Vec<_> = Pieces::new("a < b<p class='>'>x<!-- <b> --></P><script>1<2</script><br/>").collect();
        assert_eq!(
            pieces,
            [
                Piece::Text("a < b"),
                Piece::Open { name: "p", rest: " class='>'", raw: "<p class='>'>" },
                Piece::Text("x"),
                Piece::Hidden("<!-- <b> -->"),
                Piece::Close { name: "P", raw: "</P>" },
                Piece::Open { name: "script", rest: "", raw: "<script>" },
                Piece::Hidden("1<2"),
                Piece::Close { name: "script", raw: "</script>" },
                Piece::Open { name: "br", rest: "/", raw: "<br/>" },
            ]
        );
    }

    #[test]
    fn nothing_is_lost_and_time_is_linear() {
        for unit in ["<", "<a ", "<a b=\"", "<!--", "<script>", "</", "<a>'\"", "&<p"] {
            let html = unit.repeat(200_000);
            let bytes: usize = Pieces::new(&html)
                .map(|piece| match piece {
                    Piece::Text(raw) | Piece::Hidden(raw) | Piece::Open { raw, .. } | Piece::Close { raw, .. } => {
                        raw.len()
                    }
                })
                .sum();
            assert_eq!(bytes, html.len(), "{unit}");
        }
    }
}
