//! What is kept of a source's words: titles and names on one line, and the beginning of what it says, made safe.

use url::Url;

use crate::feeds::clean;
use crate::model::{CleanHtml, Markup};

/// Longest title, in characters.
pub(super) const MAX_TITLE_CHARS: usize = 200;
/// Longest name, in characters.
pub(super) const MAX_NAME_CHARS: usize = 100;
/// Longest excerpt, in characters of text…
const MAX_EXCERPT_CHARS: usize = 500;
/// …and in bytes of HTML; with more markup than that, only its text is kept.
const MAX_EXCERPT_BYTES: usize = 4 << 10;
/// How much of a text is looked at for its excerpt, in bytes.
const MAX_LOOKED_AT_BYTES: usize = 64 << 10;

/// The beginning of a text, as it is kept: with its markup where it is short, else its words.
pub(super) fn excerpt(markup: &Markup, base: &Url) -> CleanHtml {
    let markup = match markup {
        Markup::Text(text) => Markup::Text(beginning(text).to_owned()),
        Markup::Html(html) => Markup::Html(whole_tags(beginning(html)).to_owned()),
    };
    let clean = clean::html(&markup, Some(base));
    if clean.as_str().len() <= MAX_EXCERPT_BYTES {
        // A word that does not fit takes its space with it, so one more would not show that there is more.
        let text = clean::text(clean.as_str(), MAX_EXCERPT_CHARS + 2);
        if text.chars().count() <= MAX_EXCERPT_CHARS {
            return clean;
        }
    }
    clean::html(&Markup::Text(clean::summary(&clean, MAX_EXCERPT_CHARS)), None)
}

/// HTML's text on one line, for titles and names.
pub(super) fn line(html: &str, max_chars: usize) -> String {
    let html = beginning(html);
    // Where there are no words, images speak by their descriptions.
    let text = clean::text(html, max_chars);
    if text.is_empty() { clean::text::plain(html, max_chars, true) } else { text }
}

/// Plain text on one line.
pub(super) fn plain_line(text: &str, max_chars: usize) -> String {
    let text = clean::text::fold(beginning(text));
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => text[..end].trim_end().to_owned(),
        None => text,
    }
}

fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_LOOKED_AT_BYTES)]
}

/// HTML without a tag that was cut off at its end.
fn whole_tags(html: &str) -> &str {
    match html.rfind('<') {
        Some(start) if !html[start..].contains('>') => &html[..start],
        _ => html,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_safe() {
        let base = Url::parse("https://ann.example/notes/1").expect("an address");
        let check = |markup: Markup, expected: &str| assert_eq!(excerpt(&markup, &base).as_str(), expected);
        let html = |html: &str| Markup::Html(html.to_owned());
        check(
            html(" <p>Fine <a href='/x'>words</a><script>no()</script>"),
            "<p>Fine <a href=\"https://ann.example/x\" rel=\"noopener noreferrer\">words</a></p>",
        );
        check(Markup::Text("1 < 2".to_owned()), "1 &lt; 2");
        let long = excerpt(&html(&format!("<p>{}</p>", "word <b>by</b> word ".repeat(5000))), &base);
        assert!(long.as_str().starts_with("word by word") && long.as_str().ends_with('…'), "{}", long.as_str());
        assert!((450..=MAX_EXCERPT_CHARS).contains(&long.as_str().chars().count()));
        let full = "x".repeat(MAX_EXCERPT_CHARS);
        check(html(&full), &full);
        assert!(excerpt(&html(&format!("{full} and more")), &base).as_str().chars().count() <= MAX_EXCERPT_CHARS);
        let pictures = excerpt(&html(&format!("Look <img src=a.png alt=a>{}", "<img src=b.png>".repeat(900))), &base);
        assert_eq!(pictures.as_str(), "Look");
        assert_eq!(line("<b>Ann</b>\n <i>A</i>", 99), "Ann A");
        assert_eq!(line("<img alt='Ann &amp; Bo' src=x>", 99), "Ann & Bo");
        assert_eq!(plain_line(" 1 <\n2  ", 99), "1 < 2");
        assert_eq!(plain_line("one two", 4), "one");
    }
}
