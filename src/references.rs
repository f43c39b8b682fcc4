//! Character and entity references: what stands between `&` and `;`, in feeds, lists and HTML alike.
//!
//! Nothing here recurses: a declaration sees only those before it, and what a document's own entities add is bounded, so
//! that no document can multiply itself. Does not know where the text comes from.

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
pub(crate) struct OwnEntities {
    declared: Vec<(String, String)>,
    added_bytes: std::cell::Cell<usize>,
}

impl OwnEntities {
    /// Reads a document type declaration. Only general entities with a text of their own count: nothing is fetched on a
    /// document's behalf. The first declaration of a name holds (XML 1.0, section 4.2).
    pub(crate) fn declare(&mut self, doctype: &str) {
        // Every search below ends within a bound: a declaration that never ends must not be searched to the end of the
        // document, and then the next one again.
        let mut rest = &doctype[..doctype.floor_char_boundary(MAX_DTD_BYTES)];
        while self.declared.len() < MAX_OWN {
            let Some(at) = memchr(b'<', rest.as_bytes()) else { return };
            rest = &rest[at + 1..];
            if let Some(comment) = rest.strip_prefix("!--") {
                rest = comment.split_once("-->").map_or("", |(_, after)| after);
            } else if let Some((name, value)) = rest.strip_prefix("!ENTITY").and_then(declaration)
                && self.declared.iter().all(|(known, _)| known != name)
            {
                let text = decode(value, self).into_owned();
                if text.len() <= MAX_OWN_TEXT_BYTES {
                    self.declared.push((name.to_owned(), text));
                }
            }
        }
    }

    fn value(&self, name: &str) -> Option<&str> {
        let (_, text) = self.declared.iter().find(|(own, _)| own == name)?;
        let added = self.added_bytes.get() + text.len();
        self.added_bytes.set(added);
        (added <= MAX_OWN_ADDED_BYTES).then_some(text)
    }
}

/// The name and the text of a declaration; `None` for one without a text of its own.
fn declaration(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let near = &text[..text.floor_char_boundary(MAX_NAME_BYTES + 1)];
    let (name, _) = near.split_once(|c: char| c.is_ascii_whitespace())?;
    let value = text[name.len()..].trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let value = &value[1..value.floor_char_boundary(MAX_OWN_TEXT_BYTES + 2)];
    Some((name, value.split_once(quote)?.0))
}

/// Appends what the reference `&name;` stands for; an unknown one stays as it is written.
pub(crate) fn push_reference(name: &str, own: &OwnEntities, out: &mut String) {
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
pub(crate) fn of_html(name: &str) -> Option<(char, Option<char>)> {
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
pub(crate) fn windows_1252(byte: u8) -> char {
    let text =
        encoding_rs::WINDOWS_1252.decode_without_bom_handling_and_without_replacement(std::slice::from_ref(&byte));
    text.and_then(|text| text.chars().next()).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// A text with its references resolved; a bare `&` and unknown references stay as they are.
pub(crate) fn decode<'a>(text: &'a str, own: &OwnEntities) -> Cow<'a, str> {
    if memchr(b'&', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    decode_into(text, own, &mut out);
    Cow::Owned(out)
}

/// As [`decode`], appending to `out`.
pub(crate) fn decode_into(text: &str, own: &OwnEntities, out: &mut String) {
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
    // Names of a document's own may hold more than letters (XML 1.0, section 2.3).
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'#' | b'-' | b'_' | b'.' | 0x80..);
    let end = text.bytes().take(MAX_NAME_BYTES + 1).position(|b| !is_name(b))?;
    (end > 0 && text.as_bytes().get(end) == Some(&b';')).then_some(end)
}

/// Whether a reference that HTML knows stands in the text.
pub(crate) fn has_reference(text: &str) -> bool {
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
pub(crate) fn push_escaped(text: &str, out: &mut String) {
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

    fn check(doctype: &str, raw: &str, expected: &str) {
        let mut own = OwnEntities::default();
        own.declare(doctype);
        assert_eq!(decode(raw, &own), expected, "{doctype} {raw}");
    }

    #[test]
    fn a_document_may_declare_entities_of_its_own() {
        check(
            r#"rss [<!ENTITY who "Ann &amp; Bob"><!ENTITY two-of_them "&who;, &who;">]"#,
            "&two-of_them;",
            "Ann & Bob, Ann & Bob",
        );
        check("<!ENTITY a 'x'><!ENTITY b \"&a;&amp;&#x79;\">", "&a; &b; &c; &eacute;", "x x&y &c; é");
        check("<!ENTITY a 'x'><!ENTITY a 'y'> <!-- <!ENTITY b 'z'> -->", "&a;&b;", "x&b;");
        check("<!ENTITY amp 'x'><!ENTITY a SYSTEM 'file:///etc/passwd'><!ENTITY % p 'x'>", "&amp;&a;&p;", "&&a;&p;");
        check("<!ENTITY a '&a;'><!ENTITY b '&c;'><!ENTITY c '&b;'>", "&a;&b;&c;", "&a;&c;&c;");
        check("<!ENTITY", "&a;", "&a;");
        check("<!ENTITY a 'x", "&a;", "&a;");
    }

    #[test]
    fn own_entities_cannot_explode() {
        let laugh = |level: usize| format!("<!ENTITY l{level} '{}'>", format!("&l{};", level - 1).repeat(10));
        let mut own = OwnEntities::default();
        own.declare(&format!("<!ENTITY l0 'ha'>{}", (1..20).map(laugh).collect::<Vec<_>>().concat()));
        assert!(decode(&"&l2;".repeat(1 << 16), &own).len() <= MAX_OWN_ADDED_BYTES + 4 * (1 << 16));
        assert_eq!(decode("&l19;&l2;", &own), "&l19;&l2;", "too long for one, and nothing is left");
        let mut own = OwnEntities::default();
        let many: Vec<_> = (0..MAX_OWN + 10).map(|number| format!("<!ENTITY e{number} 'x'>")).collect();
        own.declare(&many.concat());
        assert_eq!(own.declared.len(), MAX_OWN);
    }
}
