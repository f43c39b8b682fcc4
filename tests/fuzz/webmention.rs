//! Sources of Webmentions: whatever they are and come as, what is kept of them is short and harmless, and no markup hides
//! a link that stands before it.
//!
//! The first byte of an input chooses the media type.

#![no_main]

use libfuzzer_sys::fuzz_target;
use listend::feeds::clean;
use listend::feeds::webmention::{Reading, read};
use url::Url;

const MEDIA_TYPES: [Option<&str>; 5] =
    [Some("text/html; charset=utf-8"), Some("application/json"), Some("text/plain"), None, Some("text/html")];

const TARGET: &str = "https://me.example/post";

// The bounds of `feeds::webmention`, spelled again so that nobody loosens them unseen.
const MAX_TITLE_CHARS: usize = 200;
const MAX_NAME_CHARS: usize = 100;
const MAX_EXCERPT_CHARS: usize = 500;
const MAX_ADDRESS_BYTES: usize = 2048;

fuzz_target!(|input: &[u8]| {
    let [media_type, body @ ..] = input else { return };
    let media_type = MEDIA_TYPES[usize::from(*media_type) % MEDIA_TYPES.len()];
    let base = Url::parse("https://ann.example/notes/1").expect("a good address");
    let found = read(body, media_type, &base, TARGET);
    assert_eq!(found, read(body, media_type, &base, TARGET), "the same bytes say the same");
    if let Some(reading) = found.expect("each of these types is read") {
        check(&reading);
    }
    let body = format!("<a href={TARGET}>x</a>{}", String::from_utf8_lossy(body));
    let linked = read(body.as_bytes(), MEDIA_TYPES[0], &base, TARGET).expect("HTML is read");
    check(&linked.expect("the link stands before everything else"));
});

fn check(reading: &Reading) {
    let (title, name) = (&reading.title, &reading.author.name);
    assert!(title.chars().count() <= MAX_TITLE_CHARS && !title.contains(char::is_control), "{title:?}");
    assert!(name.chars().count() <= MAX_NAME_CHARS && !name.contains(char::is_control), "{name:?}");
    if let Some(page) = &reading.author.uri {
        let page = Url::parse(page).expect("it is absolute");
        assert!(matches!(page.scheme(), "http" | "https") && page.as_str().len() <= MAX_ADDRESS_BYTES, "{page}");
    }
    let excerpt = reading.excerpt.as_str();
    assert!(clean::text(excerpt, usize::MAX).chars().count() <= MAX_EXCERPT_CHARS, "{excerpt:?}");
    // The cleaner has a target of its own; here it only has to have been asked.
    assert!(!["<script", "<style", "<iframe", "<form"].iter().any(|tag| excerpt.contains(tag)), "{excerpt:?}");
}
