//! Entities: what stands between `&` and `;`, in text and in attributes: the predefined ones, numbers, HTML's names, and
//! those that a document declares itself.
//!
//! Nothing here recurses: a declaration sees only those before it, and what a document's own entities add is bounded.

use std::borrow::Cow;
use std::cell::Cell;

use quick_xml::escape::resolve_html5_entity;

/// The longest entity name or number that is looked up, in bytes.
const MAX_ENTITY_BYTES: usize = 40;
/// The most entities that a document declares for itself.
const MAX_OWN: usize = 64;
/// The longest text that one of them stands for, in bytes.
const MAX_OWN_TEXT_BYTES: usize = 1024;
/// The most that they add to a document in all, in bytes; further references to them stay as they are.
const MAX_ADDED_BYTES: usize = 1 << 20;

/// The entities that can be used in a document.
#[derive(Debug, Default)]
pub(super) struct Entities {
    own: Vec<(String, String)>,
    added_bytes: Cell<usize>,
}

impl Entities {
    /// Those of a document with such declarations in its document type. Only general entities with a text of their own
    /// count; others would have to be fetched. The first declaration of a name holds (XML 1.0, section 4.2).
    pub(super) fn declared_in(subset: &str) -> Self {
        let mut entities = Self::default();
        let mut rest = subset;
        while let Some(start) = rest.find('<') {
            rest = &rest[start + 1..];
            if let Some(comment) = rest.strip_prefix("!--") {
                rest = comment.split_once("-->").map_or("", |(_, after)| after);
            } else if let Some((name, value, after)) = rest.strip_prefix("!ENTITY").and_then(declaration) {
                let value = entities.resolve(value);
                let fits = value.len() <= MAX_OWN_TEXT_BYTES && entities.own.len() < MAX_OWN;
                if fits && entities.own.iter().all(|(known, _)| known != name) {
                    entities.own.push((name.to_owned(), value));
                }
                rest = after;
            }
        }
        entities
    }

    /// The value of an attribute: entities resolved, line ends and tabs as spaces (XML 1.0, section 3.3.3), and nothing
    /// in it that XML cannot say.
    pub(super) fn value_of<'a>(&self, raw: &'a str) -> Cow<'a, str> {
        let plain = |byte: u8| (b' '..0xEF).contains(&byte) && !matches!(byte, b'&' | 0x7F | 0xC2);
        if raw.bytes().all(plain) {
            return Cow::Borrowed(raw);
        }
        let spaced: String = raw.chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c }).collect();
        Cow::Owned(self.resolve(&spaced))
    }

    /// Text with its entities resolved. What is no entity stays as it is, since a bare `&` is the commonest mistake in
    /// hand-made lists. Characters that XML cannot or should not say are left out (XML 1.0, section 2.2).
    pub(super) fn resolve(&self, raw: &str) -> String {
        let mut text = String::with_capacity(raw.len());
        let mut rest = raw;
        while let Some(start) = rest.find('&') {
            text.push_str(&rest[..start]);
            rest = &rest[start + 1..];
            let name = rest.bytes().take(MAX_ENTITY_BYTES).position(|byte| byte == b';').map(|end| &rest[..end]);
            match name.and_then(|name| Some((name, self.entity(name)?))) {
                Some((name, resolved)) => {
                    text.push_str(&resolved);
                    rest = &rest[name.len() + 1..];
                }
                None => text.push('&'),
            }
        }
        text.push_str(rest);
        text.retain(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{A0}'..='\u{FFFD}' | '\u{10000}'..));
        text
    }

    /// What an entity stands for; `None` for what is none.
    fn entity(&self, name: &str) -> Option<Cow<'_, str>> {
        let Some(number) = name.strip_prefix('#') else {
            let own = self.own.iter().find(|(known, _)| known == name).map(|(_, text)| text);
            return match own.filter(|_| !matches!(name, "amp" | "lt" | "gt" | "quot" | "apos")) {
                Some(text) => self.has_room_for(text).then_some(Cow::Borrowed(text.as_str())),
                None => resolve_html5_entity(name).map(Cow::Borrowed),
            };
        };
        let (digits, radix) = match number.strip_prefix(['x', 'X']) {
            Some(digits) => (digits, 16),
            None => (number, 10),
        };
        let code = digits.chars().all(|c| c.is_digit(radix)).then(|| u32::from_str_radix(digits, radix).ok())??;
        char::from_u32(code).map(|c| Cow::Owned(c.to_string()))
    }

    fn has_room_for(&self, text: &str) -> bool {
        let added = self.added_bytes.get().saturating_add(text.len());
        self.added_bytes.set(added.min(MAX_ADDED_BYTES + 1));
        added <= MAX_ADDED_BYTES
    }
}

/// The name and text of a declaration, and what follows them; `None` for one without a text of its own.
fn declaration(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.trim_start().split_once(|c: char| c.is_ascii_whitespace())?;
    let rest = rest.trim_start();
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let (value, after) = rest[1..].split_once(quote)?;
    Some((name, value, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(subset: &str, raw: &str, expected: &str) {
        assert_eq!(Entities::declared_in(subset).resolve(raw), expected, "{subset} {raw}");
    }

    #[test]
    fn a_document_may_declare_entities_of_its_own() {
        check("<!ENTITY a 'x'><!ENTITY b \"&a;&amp;&#x79;\">", "&a; &b; &c; &eacute;", "x x&y &c; é");
        check("<!ENTITY a 'x'><!ENTITY a 'y'> <!-- <!ENTITY b 'z'> -->", "&a;&b;", "x&b;");
        check("<!ENTITY amp 'x'><!ENTITY eacute 'x'>", "&amp;&eacute;", "&x");
        check("<!ENTITY a SYSTEM 'file:///etc/passwd'><!ENTITY % p 'x'>", "&a;&p;", "&a;&p;");
        check("<!ENTITY a '&a;'><!ENTITY b '&c;'><!ENTITY c '&b;'>", "&a;&b;&c;", "&a;&c;&c;");
        check("<!ENTITY", "&a;", "&a;");
        check("<!ENTITY a 'x", "&a;", "&a;");
    }

    #[test]
    fn control_characters_are_left_out() {
        let entities = Entities::default();
        assert_eq!(entities.value_of("http://a.exa\u{7f}mp\u{85}le/\u{0}"), "http://a.example/");
        assert_eq!(entities.value_of("\u{A0}é\t"), "\u{A0}é ");
    }

    #[test]
    fn entities_cannot_explode() {
        let mut laughs = vec!["<!ENTITY l0 'ha'>".to_owned()];
        for level in 1..20 {
            let text = ["&l", &(level - 1).to_string(), ";"].concat().repeat(10);
            laughs.push(["<!ENTITY l", &level.to_string(), " '", &text, "'>"].concat());
        }
        let laughs = laughs.concat();
        let entities = Entities::declared_in(&laughs);
        assert!(entities.resolve(&"&l2;".repeat(1 << 16)).len() <= MAX_ADDED_BYTES + 4 * (1 << 16));
        assert_eq!(entities.resolve("&l19;&l2;"), "&l19;&l2;");
        let many: Vec<String> = (0..MAX_OWN + 10).map(|number| format!("<!ENTITY e{number} 'x'>")).collect();
        assert_eq!(Entities::declared_in(&many.concat()).own.len(), MAX_OWN);
    }
}
