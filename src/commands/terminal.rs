//! What others wrote, on its way to a terminal.

use std::fmt::{self, Write as _};

/// A text of one line in which a terminal finds nothing to obey: control characters, of both kinds, and those that turn
/// the direction of what follows (Unicode Standard Annex 9, section 2) become U+FFFD. Titles, addresses of redirects and
/// words of error messages come from publishers.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| f.write_char(if is_obeyed(c) { char::REPLACEMENT_CHARACTER } else { c }))
    }
}

fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_told_nothing() {
        for (text, shown) in [
            ("Zoë’s töpfe, מילים", "Zoë’s töpfe, מילים"),
            ("red \x1b[31m, title \x1b]0;gone\x07", "red \u{FFFD}[31m, title \u{FFFD}]0;gone\u{FFFD}"),
            ("one\r\ntwo\u{9b}2J", "one\u{FFFD}\u{FFFD}two\u{FFFD}2J"),
            ("a\u{202E}gpj.exe\u{2069}", "a\u{FFFD}gpj.exe\u{FFFD}"),
        ] {
            assert_eq!(Shown(text).to_string(), shown);
        }
    }
}
