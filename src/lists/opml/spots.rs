//! Where the outlines of a list lie in its bytes, for whoever adds one and leaves the rest as it is.
//!
//! Reads with the same scanner as [`super::parse`], and knows as little of what outlines mean.

use super::charset;
use super::markup::{Scanner, Token};

/// The text of a list, and where its elements are.
#[derive(Debug)]
pub(in crate::lists) struct Spots {
    /// The text, without a byte order mark.
    pub(in crate::lists) text: String,
    /// The outlines and the body, in document order.
    pub(in crate::lists) elements: Vec<Element>,
    /// Where the end tag of the root starts, in the text.
    pub(in crate::lists) root_end: Option<usize>,
}

/// The body, or an outline.
#[derive(Debug)]
pub(in crate::lists) struct Element {
    /// Whether it is the body.
    pub(in crate::lists) is_body: bool,
    /// Its attributes, values with entities resolved.
    pub(in crate::lists) attributes: Vec<(String, String)>,
    /// Where its start tag starts and ends, in bytes of the text.
    pub(in crate::lists) start: std::ops::Range<usize>,
    /// Where its end tag starts and ends; of an empty element's tag `None`.
    pub(in crate::lists) end: Option<std::ops::Range<usize>>,
    /// The element that it stands in.
    pub(in crate::lists) parent: Option<usize>,
}

impl Element {
    /// The value of an attribute, as [`super::Outline::attribute`] gives it.
    pub(in crate::lists) fn attribute(&self, name: &str) -> Option<&str> {
        let named = self.attributes.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim()).find(|value| !value.is_empty())
    }
}

/// Finds the elements; `None` where tags do not match, so that nothing can be said of what stands in what.
pub(in crate::lists) fn spots(bytes: &[u8]) -> Option<Spots> {
    let (text, _) = charset::to_text(bytes);
    let mut elements: Vec<Element> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut root_end = None;
    let mut scanner = Scanner::new(&text);
    while let Some(token) = scanner.next() {
        let (start, after) = (scanner.start(), scanner.position());
        match token {
            Token::Start(tag) => {
                let is_body = tag.name.eq_ignore_ascii_case("body");
                if !is_body && !tag.name.eq_ignore_ascii_case("outline") {
                    continue;
                }
                if tag.broken_off {
                    return None;
                }
                let attributes = tag.attributes.iter().map(|(name, value)| ((*name).to_owned(), value.to_string()));
                let element = Element {
                    is_body,
                    attributes: attributes.collect(),
                    start: start..after,
                    end: None,
                    parent: open.last().copied(),
                };
                if !tag.empty {
                    open.push(elements.len());
                }
                elements.push(element);
            }
            Token::End(name) => {
                if name.eq_ignore_ascii_case("opml") {
                    root_end = Some(start);
                }
                let is_body = name.eq_ignore_ascii_case("body");
                if is_body || name.eq_ignore_ascii_case("outline") {
                    let ended = elements.get_mut(open.pop()?)?;
                    if ended.is_body != is_body {
                        return None;
                    }
                    ended.end = Some(start..after);
                }
            }
            Token::Cut(_) => return None,
            Token::Text(_) | Token::Verbatim(_) => {}
        }
    }
    open.is_empty().then_some(Spots { text, elements, root_end })
}

/// What `text` is in the encoding of a list, with character references for what that encoding lacks.
pub(in crate::lists) fn encoded(bytes: &[u8], text: &str) -> Vec<u8> {
    charset::encode(bytes, text)
}

/// Where in the bytes of a list a place of its text lies; `None` where that cannot be said for sure.
pub(in crate::lists) fn place(bytes: &[u8], text: &str, at: usize) -> Option<usize> {
    charset::place(bytes, text.get(..at)?)
}
