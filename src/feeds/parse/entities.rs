//! Character and entity references: what stands between `&` and `;`, in feeds and in HTML alike.
//!
//! Never expands anything recursively: a document's own entities are plain text, so that no document can multiply
//! itself. Does not know where the text comes from.

use std::borrow::Cow;

use html5ever::data::NAMED_ENTITIES;
use memchr::memchr;

/// Longest name of an entity, in bytes; the longest of HTML has 31.
const MAX_NAME_BYTES: usize = 40;
/// How much of a document type declaration is read, in bytes.
const MAX_DTD_BYTES: usize = 64 << 10;
/// Most entities of its own that a document may declare.
const MAX_OWN: usize = 64;
/// Longest text of an own entity, in bytes.
const MAX_OWN_TEXT_BYTES: usize = 1024;
/// All that own entities may add to one document, in bytes.
const MAX_OWN_ADDED_BYTES: usize = 1 << 20;

/// The entities that a document declares for itself in its DTD.
#[derive(Debug, Default)]
pub(in crate::feeds) struct OwnEntities {
    declared: Vec<(String, String)>,
    added_bytes: std::cell::Cell<usize>,
}

impl OwnEntities {
    /// Reads the general entities with a literal value out of a document type declaration; external and parameter
    /// entities are left out, since nothing is fetched on a document's behalf.
    pub(super) fn declare(&mut self, doctype: &str) {
        // Every search below ends within a bound: a declaration that never ends must not be searched to the end of the
        // document, and then the next one again.
        let mut rest = &doctype[..doctype.floor_char_boundary(MAX_DTD_BYTES)];
        while self.declared.len() < MAX_OWN {
            let Some(at) = rest.find("<!ENTITY") else { return };
            rest = &rest[at + "<!ENTITY".len()..];
            let declaration = rest.trim_start();
            let near = &declaration[..declaration.floor_char_boundary(MAX_NAME_BYTES + 1)];
            let Some((name, _)) = near.split_once(|c: char| c.is_ascii_whitespace()) else { continue };
            let value = declaration[name.len()..].trim_start();
            let Some(quote @ ('"' | '\'')) = value.chars().next() else { continue };
            let value = &value[1..value.floor_char_boundary(MAX_OWN_TEXT_BYTES + 2)];
            let Some((value, _)) = value.split_once(quote) else { continue };
            let text = decode(value, &Self::default()).into_owned();
            self.declared.push((name.to_owned(), text));
        }
    }

    fn value(&self, name: &str) -> Option<&str> {
        let (_, text) = self.declared.iter().find(|(own, _)| own == name)?;
        let added = self.added_bytes.get() + text.len();
        self.added_bytes.set(added);
        (added <= MAX_OWN_ADDED_BYTES).then_some(text)
    }
}

/// Appends what the reference `&name;` stands for; an unknown one stays as it is written.
pub(in crate::feeds) fn push_reference(name: &str, own: &OwnEntities, out: &mut String) {
    if let Some(number) = name.strip_prefix('#') {
        if let Some(c) = numbered(number) {
            out.push(c);
            return;
        }
    } else if name.len() <= MAX_NAME_BYTES {
        if let Some(text) = predefined(name).or_else(|| own.value(name)) {
            out.push_str(text);
            return;
        }
        if let Some((first, second)) = of_html(name) {
            out.push(first);
            out.extend(second);
            return;
        }
    }
    out.push('&');
    out.push_str(name);
    out.push(';');
}

/// The one or two characters that HTML's named reference stands for (HTML, section 13.5). By the table that browsers'
/// parsers are tested with: that of `quick-xml` 0.42 drops the last digit of every letter of Greek.
fn of_html(name: &str) -> Option<(char, Option<char>)> {
    let mut key = [0; MAX_NAME_BYTES + 1];
    key.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
    *key.get_mut(name.len())? = b';';
    // The table also holds the beginnings of names, which stand for nothing.
    let (first, second) = *NAMED_ENTITIES.get(std::str::from_utf8(key.get(..=name.len())?).ok()?)?;
    let first = char::from_u32(first).filter(|c| *c != '\0')?;
    Some((first, char::from_u32(second).filter(|c| *c != '\0')))
}

fn predefined(name: &str) -> Option<&'static str> {
    Some(match name {
        "lt" => "<",
        "gt" => ">",
        "amp" => "&",
        "quot" => "\"",
        "apos" => "'",
        "nbsp" => "\u{a0}",
        _ => return None,
    })
}

/// A numeric reference, with the range that Windows-1252 fills read as that (as HTML, section 13.2.5.80, does).
fn numbered(number: &str) -> Option<char> {
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    match code {
        0x80..=0x9f => Some(windows_1252(code as u8)),
        0 => Some('\u{fffd}'),
        _ => Some(char::from_u32(code).unwrap_or('\u{fffd}')),
    }
}

/// The character that a byte is in Windows-1252.
pub(super) fn windows_1252(byte: u8) -> char {
    let text =
        encoding_rs::WINDOWS_1252.decode_without_bom_handling_and_without_replacement(std::slice::from_ref(&byte));
    text.and_then(|text| text.chars().next()).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// A text with its references resolved; a bare `&` and unknown references stay as they are.
pub(in crate::feeds) fn decode<'a>(text: &'a str, own: &OwnEntities) -> Cow<'a, str> {
    if memchr(b'&', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    decode_into(text, own, &mut out);
    Cow::Owned(out)
}

/// As [`decode`], appending to `out`.
pub(in crate::feeds) fn decode_into(text: &str, own: &OwnEntities, out: &mut String) {
    let mut rest = text;
    while let Some(at) = memchr(b'&', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match reference_end(rest) {
            Some(end) => {
                push_reference(&rest[..end], own, out);
                rest = &rest[end + 1..];
            }
            None => out.push('&'),
        }
    }
    out.push_str(rest);
}

/// Where the `;` stands that ends a reference whose name starts `text`, if it looks like one.
fn reference_end(text: &str) -> Option<usize> {
    let end = text.bytes().take(MAX_NAME_BYTES + 1).position(|b| !b.is_ascii_alphanumeric() && b != b'#')?;
    (end > 0 && text.as_bytes().get(end) == Some(&b';')).then_some(end)
}

/// Whether a reference that HTML knows stands in the text.
pub(in crate::feeds) fn has_reference(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = memchr(b'&', rest.as_bytes()) {
        rest = &rest[at + 1..];
        if let Some(end) = reference_end(rest)
            && (rest.starts_with('#') || of_html(&rest[..end]).is_some())
        {
            return true;
        }
    }
    false
}

/// Appends text as HTML that shows exactly it.
pub(in crate::feeds) fn push_escaped(text: &str, out: &mut String) {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let reference = match byte {
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'&' => "&amp;",
            _ => continue,
        };
        out.push_str(&text[from..at]);
        out.push_str(reference);
        from = at + 1;
    }
    out.push_str(&text[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_and_strangers_left_alone() {
        for (written, meant) in [
            ("AT&T & you", "AT&T & you"),
            ("a &amp; b &lt;c&gt; &#8217;&#x2019; &hellip;", "a & b <c> ’’ …"),
            ("&#146;&#x80;&#0;&#xD800;", "’€\u{fffd}\u{fffd}"),
            ("&unknown; &nbsp;&; &#; &#xzz;", "&unknown; \u{a0}&; &#; &#xzz;"),
            ("&amp;amp;", "&amp;"),
            ("&alpha;&Omega; &fnof; &OElig; &euro; &NotEqualTilde; &alph;", "αΩ ƒ Œ € \u{2242}\u{338} &alph;"),
        ] {
            assert_eq!(decode(written, &OwnEntities::default()), meant, "{written}");
        }
    }

    #[test]
    fn own_entities_are_plain_text() {
        let mut own = OwnEntities::default();
        own.declare(r#"rss [<!ENTITY who "Ann &amp; Bob"> <!ENTITY lol "&who;&who;"> <!ENTITY % p "x"> <!ENTITY f SYSTEM "file:///etc/passwd">]"#);
        assert_eq!(decode("&who; &lol; &f;", &own), "Ann & Bob &who;&who; &f;");
    }
}
