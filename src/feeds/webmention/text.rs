//! A source in plain text: whether the target stands in it as an address.

use url::Url;

use super::Reading;
use super::excerpt::{MAX_TITLE_CHARS, excerpt, plain_line};
use super::target::Target;
use crate::model::Markup;

/// By how much a spelling in a text may be longer than the target, in bytes.
const MAX_SURPLUS_BYTES: usize = 64;

/// What a text says where it names the target; `None` where it does not.
pub(super) fn read(text: &str, base: &Url, target: &Target) -> Option<Reading> {
    if !names(text, target) {
        return None;
    }
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let words = excerpt(&Markup::Text(text.to_owned()), base);
    Some(Reading { title: plain_line(first, MAX_TITLE_CHARS), excerpt: words, ..Reading::default() })
}

/// Whether the target is among the addresses in a text. One that is only the beginning of another, or a part of it as
/// archives write them, is none.
fn names(text: &str, target: &Target) -> bool {
    let longest = target.len() + MAX_SURPLUS_BYTES;
    let is_part_of_address = |c: char| c.is_alphanumeric() || "/=%&?-._~".contains(c);
    text.match_indices("://").any(|(colon, _)| {
        let Some(start) = ["https", "http"].iter().find_map(|scheme| {
            let start = colon.checked_sub(scheme.len())?;
            text.as_bytes()[start..colon].eq_ignore_ascii_case(scheme.as_bytes()).then_some(start)
        }) else {
            return false;
        };
        if text[..start].ends_with(is_part_of_address) {
            return false;
        }
        let rest = &text[start..text.floor_char_boundary(start + longest)];
        let end = rest.find(|c: char| c.is_whitespace() || c.is_control() || "<>\"`".contains(c));
        let address = &rest[..end.unwrap_or(rest.len())];
        // People put addresses into sentences and brackets.
        let unpunctuated = address.trim_end_matches(|c: char| ".,;:!?'*_…".contains(c));
        let unbracketed = address.split([')', ']', '}', '|']).next().unwrap_or_default();
        let is_shorter = |spelling: &&str| spelling.len() < address.len();
        let others = [unpunctuated, unbracketed].into_iter().filter(is_shorter);
        std::iter::once(address).chain(others).any(|spelling| target.is_at(spelling, None))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_a_text_ends_where_the_target_does() {
        let check = |text: &str, is_named: bool| {
            let target = Target::of("https://me.example/post").expect("an address");
            assert_eq!(names(text, &target), is_named, "{text}");
        };
        for text in [
            "https://me.example/post",
            "See HTTPS://ME.example/post.",
            "(https://me.example/post), and more",
            "[it](https://me.example/post#end)",
            "<https://me.example/post>",
            "[https://me.example/post]: x",
            "«https://me.example/post» https://me.example/post",
            "https://me.example/post…",
        ] {
            check(text, true);
        }
        for text in [
            "",
            "https://me.example/posts",
            "https://me.example/post/2",
            "http://me.example/post",
            "https://archive.example/https://me.example/post",
            "https://other.example/?u=https://me.example/post",
            "me.example/post",
            "://me.example/post",
            "ü://x https://",
        ] {
            check(text, false);
        }
        let long = format!("https://me.example/post{}", "x".repeat(4000));
        check(&long, false);
    }
}
