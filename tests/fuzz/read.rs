//! Documents: whatever bytes come, under whatever media type, `decode` and `parse` keep the bounds that they promise.
//!
//! The first byte of an input chooses the media type, the second the address.

#![no_main]

use libfuzzer_sys::fuzz_target;
use listend::feeds::decode::{MAX_INFLATED_BYTES, decode, encoding_name};
use listend::feeds::parse::{MAX_ITEMS, NotAFeed, parse};
use listend::model::{Document, Item, Timestamp};
use url::Url;

const MEDIA_TYPES: [Option<&str>; 8] = [
    None,
    Some("application/rss+xml"),
    Some("text/xml; charset=utf-8"),
    Some("text/xml; charset=iso-8859-1"),
    Some("application/xml; charset=\"utf-16\""),
    Some("text/html; charset=koi8-r"),
    Some("application/feed+json"),
    Some("text/plain; charset=shift_jis; charset="),
];

const ADDRESSES: [&str; 4] = [
    "https://example.org/blog/feed.xml",
    "http://example.org",
    "https://ann:secret@example.org:8080/a/?b=c&d",
    "http://[2001:db8::1]/",
];

// The bounds of `feeds::parse` and its `draft`, spelled again so that nobody loosens them unseen.
const MAX_ABOUT_BYTES: usize = 1024;
const MAX_FIELD_BYTES: usize = 4096;
const MAX_ADDRESS_BYTES: usize = 8192;
const MAX_PERSON_BYTES: usize = 256;
const MAX_LANGUAGE_BYTES: usize = 35;
const MAX_PER_ITEM: usize = 64;

fuzz_target!(|input: &[u8]| {
    let [media_type, address, body @ ..] = input else { return };
    let media_type = MEDIA_TYPES[usize::from(*media_type) % MEDIA_TYPES.len()];
    let url = Url::parse(ADDRESSES[usize::from(*address) % ADDRESSES.len()]).expect("a good address");

    let text = decode(body, media_type);
    let inflated = body.len().max(MAX_INFLATED_BYTES as usize);
    assert!(text.len() <= 3 * inflated, "a byte becomes three at most");
    assert!(!encoding_name(body, media_type).is_empty());

    let read = parse(body, media_type, &url);
    assert!(!matches!(read, Err(NotAFeed::ParserFault(_))), "{read:?}");
    assert_eq!(read, parse(body, media_type, &url), "the same bytes give the same document");
    if let Ok(document) = read {
        check(&document);
    }
});

fn check(document: &Document) {
    let about = &document.about;
    short(about.id.as_deref(), MAX_ABOUT_BYTES);
    short(about.title.as_deref(), MAX_ABOUT_BYTES);
    short(about.language.as_deref(), MAX_LANGUAGE_BYTES);
    [&about.home, &about.self_link].into_iter().flatten().chain(&about.hubs).for_each(|address| absolute(address));
    document.updated.into_iter().for_each(printable);
    assert!(document.pace.skip_hours < 1 << 24 && document.pace.skip_days < 1 << 7, "{:?}", document.pace);
    assert!(document.items.len() <= MAX_ITEMS);
    document.items.iter().for_each(check_item);
}

fn check_item(item: &Item) {
    short(item.guid.as_deref(), MAX_FIELD_BYTES);
    short(item.title.as_deref(), MAX_FIELD_BYTES);
    short(item.language.as_deref(), MAX_LANGUAGE_BYTES);
    assert!(!item.title.as_deref().is_some_and(|title| title.contains(['\n', '\r', '\0'])), "a title is one line");
    item.link.iter().chain(&item.comments).for_each(|address| absolute(address));
    [item.published, item.updated].into_iter().flatten().for_each(printable);
    assert!(item.authors.len() <= MAX_PER_ITEM);
    for person in &item.authors {
        short(Some(&person.name), MAX_PERSON_BYTES);
        short(person.email.as_deref(), MAX_PERSON_BYTES);
        short(person.uri.as_deref(), 2 * MAX_PERSON_BYTES);
    }
    assert!(item.categories.len() <= MAX_PER_ITEM);
    for category in &item.categories {
        assert!(!category.term.is_empty());
        short(Some(&category.term), MAX_FIELD_BYTES);
    }
    assert!(item.enclosures.len() <= MAX_PER_ITEM);
    item.enclosures.iter().for_each(|enclosure| absolute(&enclosure.url));
}

fn short(text: Option<&str>, most: usize) {
    assert!(text.is_none_or(|text| text.len() <= most), "longer than {most}: {text:?}");
}

/// Fails unless the address has a scheme, and one that readers may follow.
fn absolute(address: &str) {
    short(Some(address), MAX_ADDRESS_BYTES);
    let (scheme, _) = address.split_once(':').unwrap_or_else(|| panic!("{address:?} is relative"));
    let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    assert!(named, "{address:?} is relative");
    let scheme = scheme.to_ascii_lowercase();
    assert!(!["javascript", "vbscript", "data", "file"].contains(&scheme.as_str()), "{address:?}");
}

fn printable(at: Timestamp) {
    assert!((Timestamp::MIN..=Timestamp::MAX).contains(&at));
    assert!(matches!(at.to_rfc3339().len(), 20 | 24), "{}", at.to_rfc3339());
}
