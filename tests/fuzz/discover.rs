//! Home pages: whatever a page is, its feeds are few, each named once, and on the web.

#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use listend::feeds::discover;
use url::Url;

/// The bound of `feeds::discover`, spelled again so that nobody loosens it unseen.
const MAX_CANDIDATES: usize = 32;

fuzz_target!(|input: &[u8]| {
    let html = String::from_utf8_lossy(input);
    let base = Url::parse("https://example.org/blog/").expect("a good address");
    let found = discover::feeds_in(&html, &base);
    assert!(found.len() <= MAX_CANDIDATES);
    assert!(found.is_sorted_by_key(|candidate| candidate.evidence), "the likeliest stand first");
    let each: HashSet<&str> = found.iter().map(|candidate| candidate.url.as_str()).collect();
    assert_eq!(each.len(), found.len(), "each stands there once");
    for candidate in &found {
        assert!(matches!(candidate.url.scheme(), "http" | "https") && candidate.url.fragment().is_none());
        assert!(candidate.title.as_deref().is_none_or(|title| !title.is_empty()));
    }
});
