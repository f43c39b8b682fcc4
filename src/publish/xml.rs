//! Writing XML: escaped text, never a character that XML 1.0 forbids, every element closed.
//!
//! Knows no format. quick-xml's writer is not used because it passes control characters and raw line ends in
//! attributes, which a reader would refuse or fold.

use std::borrow::Cow;

/// Whether a character may stand in our output: XML 1.0, section 2.2, without the C1 controls that validators warn of.
fn is_sayable(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => true,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => false,
        _ => true,
    }
}

/// Bytes of UTF-8 that begin a character which is perhaps not sayable. Nearly all text has none of them, and rendering
/// is mostly looking for them.
const DOUBTFUL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = !matches!(byte as u8, b'\t' | b'\n' | b'\r');
        byte += 1;
    }
    table[0x7f] = true;
    table[0xc2] = true; // U+0080 to U+00BF
    table[0xef] = true; // U+F000 to U+FFFF
    table
};

/// Bytes that begin a character which is perhaps not written as it is: in text, and in attributes.
const SPECIAL_IN_TEXT: [bool; 256] = special(b"<>&\r");
const SPECIAL_IN_ATTRIBUTES: [bool; 256] = special(b"<>&\"\r\n\t");

const fn special(marks: &[u8]) -> [bool; 256] {
    let mut table = DOUBTFUL;
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
}

/// The text without the characters that XML forbids. All formats leave them out, so that they say the same.
pub(super) fn sayable(text: &str) -> Cow<'_, str> {
    let is_doubtful = text.bytes().any(|byte| DOUBTFUL[usize::from(byte)]);
    if is_doubtful && !text.chars().all(is_sayable) {
        Cow::Owned(text.chars().filter(|&c| is_sayable(c)).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Writes text so that it stands for itself, in XML as in HTML. Line ends and tabs that a parser would fold (XML 1.0,
/// sections 2.11 and 3.3.3) go in as references.
pub(super) fn escape_into(out: &mut String, text: &str, in_attribute: bool) {
    let bytes = text.as_bytes();
    let special = if in_attribute { &SPECIAL_IN_ATTRIBUTES } else { &SPECIAL_IN_TEXT };
    let mut written = 0;
    let mut at = 0;
    while let Some(step) = bytes[at..].iter().position(|&byte| special[usize::from(byte)]) {
        at += step;
        let Some(c) = text[at..].chars().next() else { break };
        let instead = match c {
            '<' => Some("&lt;"),
            '>' => Some("&gt;"),
            '&' => Some("&amp;"),
            '\r' => Some("&#13;"),
            '"' => Some("&quot;"),
            '\n' => Some("&#10;"),
            '\t' => Some("&#9;"),
            _ => (!is_sayable(c)).then_some(""),
        };
        if let Some(instead) = instead {
            out.push_str(&text[written..at]);
            out.push_str(instead);
            written = at + c.len_utf8();
        }
        at += c.len_utf8();
    }
    out.push_str(&text[written..]);
}

/// Whether a text is an XML name with at most one colon (Namespaces in XML 1.0, section 4).
pub(super) fn is_qualified_name(name: &str) -> bool {
    let mut parts = name.split(':');
    let (Some(first), second, None) = (parts.next(), parts.next(), parts.next()) else { return false };
    is_plain_name(first) && second.is_none_or(is_plain_name)
}

fn is_plain_name(name: &str) -> bool {
    let starts = |c: char| {
        matches!(c, 'A'..='Z' | 'a'..='z' | '_' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
            | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}'
            | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
            | '\u{10000}'..='\u{effff}')
    };
    let goes_on = |c: char| {
        starts(c) || matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
    };
    name.chars().next().is_some_and(starts) && name.chars().skip(1).all(goes_on)
}

/// A document being written.
pub(super) struct Xml {
    out: String,
    open: Vec<&'static str>,
}

impl Xml {
    /// A document with its declaration.
    pub(super) fn new() -> Self {
        Self { out: "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n".to_owned(), open: Vec::new() }
    }

    /// Starts an element; attributes without a value are left out. Ends with [`Xml::close`].
    pub(super) fn open(&mut self, name: &'static str, attributes: &[(&str, Option<&str>)]) {
        self.start(name, attributes.iter().filter_map(|(key, value)| Some((*key, (*value)?))));
        self.out.push_str(">\n");
        self.open.push(name);
    }

    /// Ends the innermost open element.
    pub(super) fn close(&mut self) {
        if let Some(name) = self.open.pop() {
            self.indent();
            self.out.push_str("</");
            self.out.push_str(name);
            self.out.push_str(">\n");
        }
    }

    /// An element that holds text.
    pub(super) fn text(&mut self, name: &'static str, attributes: &[(&str, Option<&str>)], text: &str) {
        self.start(name, attributes.iter().filter_map(|(key, value)| Some((*key, (*value)?))));
        self.out.push('>');
        escape_into(&mut self.out, text, false);
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push_str(">\n");
    }

    /// An element that holds nothing.
    pub(super) fn empty(&mut self, name: &'static str, attributes: &[(&str, Option<&str>)]) {
        self.empty_from(name, attributes.iter().filter_map(|(key, value)| Some((*key, (*value)?))));
    }

    /// An element that holds nothing, its attributes made on the way.
    pub(super) fn empty_from<'a>(&mut self, name: &str, attributes: impl Iterator<Item = (&'a str, &'a str)>) {
        self.start(name, attributes);
        self.out.push_str("/>\n");
    }

    /// Starts an element, its attributes made on the way.
    pub(super) fn open_from<'a>(&mut self, name: &'static str, attributes: impl Iterator<Item = (&'a str, &'a str)>) {
        self.start(name, attributes);
        self.out.push_str(">\n");
        self.open.push(name);
    }

    /// The document; whatever is still open is closed.
    pub(super) fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.out
    }

    fn start<'a>(&mut self, name: &str, attributes: impl Iterator<Item = (&'a str, &'a str)>) {
        self.indent();
        self.out.push('<');
        self.out.push_str(name);
        for (key, value) in attributes {
            self.out.push(' ');
            self.out.push_str(key);
            self.out.push_str("=\"");
            escape_into(&mut self.out, value, true);
            self.out.push('"');
        }
    }

    /// Two spaces a level, at most eight levels: a deep tree must not cost the square of its depth.
    fn indent(&mut self) {
        for _ in 0..self.open.len().min(8) {
            self.out.push_str("  ");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_forbids_is_left_out_and_the_rest_is_escaped() {
        let mut xml = Xml::new();
        xml.text("a", &[("b", Some("1\n\"<\u{1}")), ("c", None)], "x\0 ]]> & \r\n \u{fffe}\u{85}𝄞");
        let out = xml.finish();
        assert!(out.ends_with("<a b=\"1&#10;&quot;&lt;\">x ]]&gt; &amp; &#13;\n 𝄞</a>\n"), "{out}");
    }

    #[test]
    fn names_are_told_from_other_texts() {
        for name in ["xmlUrl", "a:b", "_x", "ünder", "a-1.2"] {
            assert!(is_qualified_name(name), "{name}");
        }
        for other in ["", "1a", "a b", "a:", ":a", "a:b:c", "a=b", "-a", "a\""] {
            assert!(!is_qualified_name(other), "{other}");
        }
    }
}
