//! From text to tags: a scanner that no markup can stop, because people edit lists by hand.
//!
//! It goes forward only, in one pass whose time is linear in the text, and says what is wrong with each tag. Knows
//! nothing of what the tags mean, but for the names at which it finds its way back after a broken one.

use std::borrow::Cow;

use crate::references::{self, OwnEntities};

/// The most attributes that one tag keeps.
pub(super) const MAX_ATTRIBUTES: usize = 64;
/// The longest internal subset of a document type that is read for entities, in bytes.
const MAX_SUBSET_BYTES: usize = 64 * 1024;

/// Quotes that word processors make of straight ones.
const TYPOGRAPHIC_QUOTES: [char; 8] = ['“', '”', '„', '‟', '‘', '’', '«', '»'];

/// What stands next in the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A start tag, or an empty element's.
    Start(Tag<'a>),
    /// An end tag: its local name.
    End(&'a str),
    /// Characters, with entities not yet resolved.
    Text(&'a str),
    /// Characters that stand for themselves.
    Verbatim(&'a str),
    /// The text ends inside of something: what that is.
    Cut(&'static str),
}

/// A start tag.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    /// Its name without a prefix.
    pub(super) name: &'a str,
    /// Its attributes in order, names with their prefixes, values with entities resolved; no name twice.
    pub(super) attributes: Vec<(&'a str, Cow<'a, str>)>,
    /// Whether it closes itself.
    pub(super) empty: bool,
    /// Whether another tag began before it ended.
    pub(super) broken_off: bool,
    /// What is wrong with it, the first such thing.
    pub(super) fault: Option<Cow<'static, str>>,
}

/// A place in a text, going forward.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Where the token that was read last starts, in bytes.
    start: usize,
    /// The entities of the first document type with an internal subset; `None` before it.
    own: Option<OwnEntities>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, start: 0, own: None }
    }

    /// Text with its references resolved. What is none stays as it is, since a bare `&` is the commonest mistake in
    /// hand-made lists. Characters that XML cannot or should not say are left out (XML 1.0, section 2.2).
    pub(super) fn resolve(&self, raw: &str) -> String {
        let mut text = String::with_capacity(raw.len());
        match &self.own {
            Some(own) => references::decode_into(raw, own, &mut text),
            None => references::decode_into(raw, &OwnEntities::default(), &mut text),
        }
        text.retain(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{A0}'..='\u{FFFD}' | '\u{10000}'..));
        text
    }

    /// The value of an attribute: resolved, line ends and tabs as spaces (XML 1.0, section 3.3.3).
    fn value_of(&self, raw: &'a str) -> Cow<'a, str> {
        let plain = |byte: u8| (b' '..0xEF).contains(&byte) && !matches!(byte, b'&' | 0x7F | 0xC2);
        if raw.bytes().all(plain) {
            return Cow::Borrowed(raw);
        }
        let spaced: String = raw.chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c }).collect();
        Cow::Owned(self.resolve(&spaced))
    }

    /// Where the next token starts, in bytes.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Where the last token started, in bytes: behind what was passed over before it.
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// The next token; `None` at the end of the text. Comments, instructions and document types are passed over.
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        loop {
            self.start = self.at;
            let rest = self.rest();
            let second = rest.as_bytes().get(1).copied();
            if rest.is_empty() {
                return None;
            } else if !rest.starts_with('<') {
                return Some(Token::Text(self.take_until_markup()));
            } else if rest.starts_with("<!--") {
                if !self.skip_past(4, "-->") {
                    return Some(Token::Cut("a comment"));
                }
            } else if rest.starts_with("<![CDATA[") {
                let start = self.at + 9;
                if !self.skip_past(9, "]]>") {
                    return Some(Token::Cut("a CDATA section"));
                }
                return Some(Token::Verbatim(&self.text[start..self.at - 3]));
            } else if second == Some(b'!') {
                if !self.skip_declaration() {
                    return Some(Token::Cut("a declaration"));
                }
            } else if second == Some(b'?') {
                if !self.skip_past(2, "?>") {
                    return Some(Token::Cut("an instruction"));
                }
            } else if second == Some(b'/') {
                return Some(self.end_tag());
            } else if second.is_some_and(starts_name) {
                return Some(self.start_tag());
            } else {
                return Some(Token::Text(self.take_until_markup())); // a `<` that stands for itself
            }
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Everything up to the next `<`, at least one character.
    fn take_until_markup(&mut self) -> &'a str {
        let rest = self.rest();
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let end = rest[first..].find('<').map_or(rest.len(), |found| first + found);
        self.at += end;
        &rest[..end]
    }

    /// Moves past `end`, looking for it `from` bytes on; to the end of the text, and false, where it is missing.
    fn skip_past(&mut self, from: usize, end: &str) -> bool {
        let found = self.rest().get(from..).and_then(|rest| rest.find(end));
        self.at = found.map_or(self.text.len(), |found| self.at + from + found + end.len());
        found.is_some()
    }

    /// Moves past `<!DOCTYPE …>`, an internal subset in brackets included, of which the first is read for entities.
    fn skip_declaration(&mut self) -> bool {
        let rest = self.rest();
        let Some(end) = rest.find('>') else {
            self.at = self.text.len();
            return false;
        };
        let Some(subset) = rest[..end].find('[') else { return self.skip_past(end, ">") };
        if self.own.is_none() {
            let text = &rest[subset + 1..];
            let length = subset_length(&text[..text.floor_char_boundary(MAX_SUBSET_BYTES)]);
            self.own.insert(OwnEntities::default()).declare(&text[..length.unwrap_or_default()]);
            if let Some(length) = length {
                return self.skip_past(subset + 1 + length, ">");
            }
        }
        self.skip_past(0, "]") && self.skip_past(0, ">")
    }

    fn end_tag(&mut self) -> Token<'a> {
        self.at += 2;
        let name = self.name();
        // An end tag that another tag breaks off ends there.
        while let Some(byte) = self.byte() {
            match byte {
                b'>' => {
                    self.at += 1;
                    return Token::End(local(name));
                }
                b'<' => return Token::End(local(name)),
                _ => self.at += 1,
            }
        }
        Token::Cut("an end tag")
    }

    fn start_tag(&mut self) -> Token<'a> {
        self.at += 1;
        let mut tag = Tag { name: local(self.name()), attributes: Vec::with_capacity(8), ..Tag::default() };
        loop {
            self.skip_space();
            match self.byte() {
                None => return Token::Cut("a tag"),
                Some(b'>') => {
                    self.at += 1;
                    return Token::Start(tag);
                }
                Some(b'<') => {
                    tag.note("the tag breaks off where the next one starts");
                    tag.broken_off = true;
                    return Token::Start(tag);
                }
                Some(b'/') => {
                    self.at += 1;
                    tag.empty = self.byte() == Some(b'>');
                    if !tag.empty {
                        tag.note("a `/` stands between the attributes");
                    }
                }
                Some(b'"' | b'\'' | b'=') => {
                    tag.note("a quote or `=` stands where an attribute should");
                    self.at += 1;
                }
                Some(_) => self.attribute(&mut tag),
            }
        }
    }

    fn attribute(&mut self, tag: &mut Tag<'a>) {
        let mut name = self.name();
        self.skip_space();
        if self.byte() != Some(b'=') {
            tag.note(format!("{} has no value", called(name)));
            tag.keep(name, Cow::Borrowed(""));
            return;
        }
        loop {
            self.at += 1;
            self.skip_space();
            let value = if let Some(quote @ (b'"' | b'\'')) = self.byte() {
                self.at += 1;
                let start = self.at;
                let Some(value) = self.quoted(quote) else {
                    tag.note(format!("the value of {} has no closing quote", called(name)));
                    tag.keep(name, self.value_of(self.text[start..self.at].trim_end_matches(['/', '>'])));
                    return;
                };
                value
            } else {
                tag.note(format!("the value of {} is not in quotes", called(name)));
                self.unquoted().trim_matches(TYPOGRAPHIC_QUOTES)
            };
            // `text="Ann xmlUrl="https://…"`: the quote that closes is the one that should open the next value.
            let glued = self.space_bytes() == 0 && self.byte().is_some_and(|byte| !b"/>?<".contains(&byte));
            if let Some((value, next)) = glued.then(|| forgotten_quote(value)).flatten() {
                tag.note(format!("the value of {} has no closing quote", called(name)));
                tag.keep(name, self.value_of(value));
                name = next;
                self.at -= 2; // back on the quote, less the step over the `=` that the loop makes
                continue;
            }
            if glued {
                tag.note(format!("the value of {} holds a quote", called(name)));
            }
            tag.keep(name, self.value_of(value));
            return;
        }
    }

    /// The value up to its closing quote, which is passed; `None` where a tag that we know begins before it, or the
    /// text ends.
    fn quoted(&mut self, quote: u8) -> Option<&'a str> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if byte == quote {
                let value = &self.text[start..self.at];
                self.at += 1;
                return Some(value);
            }
            if byte == b'<' && starts_known_tag(&bytes[self.at..]) {
                return None;
            }
            self.at += 1;
        }
        None
    }

    fn unquoted(&mut self) -> &'a str {
        let start = self.at;
        while let Some(byte) = self.byte() {
            let next = self.text.as_bytes().get(self.at + 1).copied();
            let ends = self.space_bytes() > 0 || b"><".contains(&byte) || (byte == b'/' && next == Some(b'>'));
            if ends {
                break;
            }
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    /// A name, as far as it goes; never empty unless the next byte ends names.
    fn name(&mut self) -> &'a str {
        let start = self.at;
        while self.space_bytes() == 0 && self.byte().is_some_and(|byte| !b"=/<>\"'".contains(&byte)) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    fn skip_space(&mut self) {
        while self.space_bytes() > 0 {
            self.at += self.space_bytes();
        }
    }

    /// How many bytes of white space stand here. What was pasted from a page has spaces that do not break.
    fn space_bytes(&self) -> usize {
        match self.text.as_bytes().get(self.at..).unwrap_or_default() {
            [byte, ..] if byte.is_ascii_whitespace() => 1,
            [0xC2, 0xA0, ..] => 2,
            _ => 0,
        }
    }
}

impl<'a> Tag<'a> {
    fn note(&mut self, fault: impl Into<Cow<'static, str>>) {
        self.fault.get_or_insert_with(|| fault.into());
    }

    fn keep(&mut self, name: &'a str, value: Cow<'a, str>) {
        if !is_xml_name(name) {
            self.note("something between the attributes is none");
        } else if let Some(known) = self.attributes.iter_mut().find(|(known, _)| *known == name) {
            if known.1.trim().is_empty() {
                known.1 = value;
            }
            self.note(format!("{} stands there twice", called(name)));
        } else if self.attributes.len() >= MAX_ATTRIBUTES {
            self.note(format!("more than {MAX_ATTRIBUTES} attributes"));
        } else {
            self.attributes.push((name, value));
        }
    }
}

/// How far an internal subset goes, up to its closing bracket, in bytes: brackets in comments and quotes don't close it.
fn subset_length(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        at += rest.find(['<', '"', '\'', ']'])?;
        let rest = &text[at..];
        let end = match rest.as_bytes().first()? {
            b']' => return Some(at),
            b'<' if rest.starts_with("<!--") => rest.find("-->")?,
            b'<' => 0,
            quote => 1 + rest[1..].find(char::from(*quote))?,
        };
        at += end + 1;
    }
}

/// The value before, and the name of the attribute whose quote was taken for the closing one.
fn forgotten_quote(value: &str) -> Option<(&str, &str)> {
    let before = value.trim_end().strip_suffix('=')?.trim_end();
    let (value, name) = before.rsplit_once(|c: char| c.is_ascii_whitespace())?;
    is_xml_name(name).then(|| (value.trim_end(), name))
}

/// Whether a byte can begin the name of a tag. Every byte beyond ASCII can: which letters may is not ours to police.
fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':') || !byte.is_ascii()
}

/// The tags that tell us, inside of an attribute's value, that its closing quote was forgotten.
fn starts_known_tag(bytes: &[u8]) -> bool {
    let name = bytes.strip_prefix(b"</").or_else(|| bytes.strip_prefix(b"<")).unwrap_or_default();
    ["outline", "body", "opml", "head"].iter().any(|known| {
        name.get(..known.len()).is_some_and(|name| name.eq_ignore_ascii_case(known.as_bytes()))
            && name.get(known.len()).is_none_or(|next| next.is_ascii_whitespace() || b"/>".contains(next))
    })
}

/// Whether a text is the name of an attribute (XML 1.0, section 2.3; Namespaces in XML, section 4), so that it can be
/// written again.
fn is_xml_name(name: &str) -> bool {
    let part = |part: &str| part.starts_with(starts_xml_name) && part.chars().all(continues_xml_name);
    match name.split_once(':') {
        Some((prefix, local)) => part(prefix) && part(local),
        None => part(name),
    }
}

fn starts_xml_name(c: char) -> bool {
    matches!(c, 'A'..='Z' | '_' | 'a'..='z' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
        | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}'
        | '\u{10000}'..='\u{EFFFF}')
}

fn continues_xml_name(c: char) -> bool {
    starts_xml_name(c)
        || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// An attribute in a warning: by its name only where that is one, since anything else may be a piece of an address with
/// a password in it.
fn called(name: &str) -> String {
    if is_xml_name(name) { format!("the attribute `{}`", shown(name)) } else { "an attribute".to_owned() }
}

/// A bit of outside text that is short enough to stand in a warning.
pub(super) fn shown(text: &str) -> String {
    const MAX_SHOWN_CHARS: usize = 60;
    let mut shown: String = text.trim().chars().take(MAX_SHOWN_CHARS).flat_map(char::escape_debug).collect();
    if text.trim().chars().nth(MAX_SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads one tag and lays it out as `name a=b c=d /`, with its fault.
    fn check(text: &str, expected: &str, fault: bool) {
        let mut scanner = Scanner::new(text);
        let Some(Token::Start(tag)) = scanner.next() else { panic!("{text}: no tag") };
        let mut found = tag.name.to_owned();
        for (name, value) in &tag.attributes {
            found.push_str(&[" ", name, "=", value].concat());
        }
        found.push_str(if tag.empty { " /" } else { "" });
        assert_eq!(found, expected, "{text}");
        assert_eq!(tag.fault.is_some(), fault, "{text}: {:?}", tag.fault);
    }

    #[test]
    fn tags_are_read_however_they_are_written() {
        check("<outline/>", "outline /", false);
        check("<opml:outline a='1' b = \"2\"\n c=\"it's\">", "outline a=1 b=2 c=it's", false);
        check("<outline a='AT&T &amp; &eacute;&#233;&#xe9; &nosuch; &'/>", "outline a=AT&T & ééé &nosuch; & /", false);
        check("<outline a='1 < 2 > 1 <b>x</b>'/>", "outline a=1 < 2 > 1 <b>x</b> /", false);
        check("<outline a='x\ny&#10;z\t'/>", "outline a=x y\nz  /", false);
        check("<outline a='x\u{0}\u{8}&#1;&#xFFFE;y'/>", "outline a=xy /", false);
        check("<outline a=1 b=x/>", "outline a=1 b=x /", true);
        check("<outline checked a='1'/>", "outline checked= a=1 /", true);
        check("<outline a='1' a='2' A='3'/>", "outline a=1 A=3 /", true);
        check("<outline a='' a='2'/>", "outline a=2 /", true);
        check("<outline\u{A0}a='1'\u{A0}b='2'\u{A0}/>", "outline a=1 b=2 /", false);
        check("<outline a=“1” b=«2»/>", "outline a=1 b=2 /", true);
        check("<outline 1x='1' b:c:d='2' e='3'/>", "outline e=3 /", true);
        check("<outline a='1'b='2'/>", "outline a=1 b=2 /", true);
        check("<outline text=\"say \"hi\" now\" a='1'/>", "outline text=say  hi= now= a=1 /", true);
    }

    #[test]
    fn a_broken_tag_ends_where_the_next_one_starts() {
        check("<outline a=\"Ann xmlUrl=\"http://x/\" b='1'/>", "outline a=Ann xmlUrl=http://x/ b=1 /", true);
        for text in ["<outline a=\"Ann/>\n<outline b=\"2\"/>", "<outline a='1'\n<outline b='2'/>"] {
            let mut scanner = Scanner::new(text);
            let Some(Token::Start(first)) = scanner.next() else { panic!("{text}: no tag") };
            assert!(first.broken_off && first.fault.is_some(), "{text}: {first:?}");
            let Some(Token::Start(second)) = scanner.next() else { panic!("{text}: no second tag") };
            assert_eq!(second.attributes, [("b", Cow::Borrowed("2"))], "{text}");
        }
    }

    #[test]
    fn other_markup_is_passed_over() {
        let mut scanner = Scanner::new(
            "<?xml version='1.0'?><!DOCTYPE opml [<!ENTITY a \"]>\">]><!-- <a> -->x < y &amp;<![CDATA[<b>&amp;]]></C:d ><",
        );
        let mut tokens = Vec::new();
        while let Some(token) = scanner.next() {
            tokens.push(token);
        }
        assert!(tokens.contains(&Token::Verbatim("<b>&amp;")), "{tokens:?}");
        assert!(tokens.contains(&Token::End("d")), "{tokens:?}");
        for (text, what) in
            [("<!-- x", "a comment"), ("<a b='", "a tag"), ("<![CDATA[", "a CDATA section"), ("</a", "an end tag")]
        {
            assert_eq!(Scanner::new(text).next(), Some(Token::Cut(what)), "{text}");
        }
    }
}
