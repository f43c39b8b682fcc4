//! The attributes of a tag as people write them: quoted, unquoted, without a value, with space around `=`, twice.
//!
//! Works on the text between a tag's name and its `>`, of feeds and HTML alike; resolves no references.

/// Most attributes read of one tag.
pub(in crate::feeds) const MAX_ATTRIBUTES: usize = 256;

/// The attributes of one tag, names and raw values as written, at most [`MAX_ATTRIBUTES`].
#[derive(Clone, Debug)]
pub(in crate::feeds) struct Attributes<'a> {
    rest: &'a str,
    left: usize,
}

impl<'a> Attributes<'a> {
    /// Reads what follows the name inside a tag.
    pub(in crate::feeds) fn new(after_name: &'a str) -> Self {
        Self { rest: after_name, left: MAX_ATTRIBUTES }
    }

    /// The raw value of the first attribute with that name, in any letter case.
    pub(in crate::feeds) fn value(&self, name: &str) -> Option<&'a str> {
        self.clone().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        self.left = self.left.checked_sub(1)?;
        let rest = self.rest.trim_start_matches(|c: char| is_space(c) || matches!(c, '/' | '"' | '\'' | '='));
        let name_end = rest.find(|c: char| is_space(c) || matches!(c, '=' | '/')).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(name_end);
        if name.is_empty() {
            return None;
        }
        let after = rest.trim_start_matches(is_space);
        let Some(value) = after.strip_prefix('=') else {
            self.rest = rest;
            return Some((name, ""));
        };
        let value = value.trim_start_matches(is_space);
        let (value, rest) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let value = &value[1..];
                value.split_once(quote).unwrap_or((value, ""))
            }
            _ => value.split_at(value.find(is_space).unwrap_or(value.len())),
        };
        self.rest = rest;
        Some((name, value))
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}')
}

/// The name that a tag starts with, and the rest of it.
pub(in crate::feeds) fn split_name(tag: &str) -> (&str, &str) {
    tag.split_at(tag.find(|c: char| is_space(c) || c == '/').unwrap_or(tag.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_people_write_them() {
        let check = |tag: &str, expected: &[(&str, &str)]| {
            let (_, rest) = split_name(tag);
            assert_eq!(Attributes::new(rest).collect::<Vec<_>>(), expected, "{tag}");
        };
        check("a", &[]);
        check("link rel=\"self\" href='x'/", &[("rel", "self"), ("href", "x")]);
        check(
            "link rel = self\n href=http://a/b/ checked",
            &[("rel", "self"), ("href", "http://a/b/"), ("checked", "")],
        );
        check("a b=\"1\"c=\"2\"", &[("b", "1"), ("c", "2")]);
        check("a b=\"never closed", &[("b", "never closed")]);
        check("a = \" '", &[]);
        assert_eq!(Attributes::new(" A=\"1\" a=\"2\"").value("a"), Some("1"));
        assert_eq!(Attributes::new(&" a=1".repeat(1000)).count(), MAX_ATTRIBUTES);
    }
}
