//! Ways in which people and programs misspell a list: in each of them the feed is found.

use listend::lists::opml::{self, Outline};

fn feeds(outlines: &[Outline]) -> Vec<&str> {
    let mut found = Vec::new();
    for outline in outlines {
        found.extend(outline.attribute("xmlUrl"));
        found.extend(feeds(&outline.children));
    }
    found
}

fn check(bytes: &[u8], expected: &[&str]) {
    let list = opml::parse(bytes).unwrap_or_else(|fault| panic!("{fault}: {}", bytes.escape_ascii()));
    assert_eq!(feeds(&list.outlines), expected, "{}", bytes.escape_ascii());
}

fn body(outlines: &str) -> String {
    format!("<opml version='2.0'><body>{outlines}</body></opml>")
}

#[test]
fn entities_of_the_documents_own_stand_for_their_text() {
    let outlines = body("<outline xmlUrl='&site;/feed?a=1&amp;b=2'/><outline xmlUrl='&more;'/>");
    for subset in [
        "<!ENTITY site 'http://a.example'><!ENTITY more \"&site;/more\">",
        "<!-- it's ]> no end --><!ENTITY x ']>'>\n<!ENTITY site 'http://a.example'>\n<!ENTITY more 'http://a.example/more'>\n",
    ] {
        let text = format!("<?xml version='1.0'?>\n<!DOCTYPE opml [{subset}]>\n{outlines}");
        check(text.as_bytes(), &["http://a.example/feed?a=1&b=2", "http://a.example/more"]);
    }
    // Where the quotes of a document type go wrong, the list behind it is still read.
    let text = format!("<!DOCTYPE opml [ <!ELEMENT it's (none)> ]>{}", body("<outline xmlUrl='http://a.example/'/>"));
    check(text.as_bytes(), &["http://a.example/"]);
}

#[test]
fn an_empty_attribute_does_not_hide_its_double() {
    check(body("<outline xmlUrl='' text='x' xmlUrl='http://a.example/'/>").as_bytes(), &["http://a.example/"]);
}

#[test]
fn quotes_and_spaces_of_word_processors_are_read() {
    let text = body("<outline\u{A0}type=“rss”\u{A0}xmlUrl=“http://a.example/”\u{A0}/>");
    check(text.as_bytes(), &["http://a.example/"]);
}

#[test]
fn outlines_in_comments_and_character_data_do_not_count() {
    let outline = "<outline xmlUrl='http://b.example/'/>";
    let text = body(&format!("<!-- {outline} --><![CDATA[{outline}]]><outline xmlUrl='http://a.example/'/>"));
    check(text.as_bytes(), &["http://a.example/"]);
}

#[test]
fn wide_encodings_are_read_with_and_without_marks() {
    let text = format!("<?xml version='1.0'?>{}", body("<outline xmlUrl='http://a.example/é'/>"));
    let expected = ["http://a.example/é"];
    for mark in ["", "\u{FEFF}", "\n"] {
        let text = format!("{mark}{text}");
        let wide = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        check(&wide(u16::to_le_bytes), &expected);
        check(&wide(u16::to_be_bytes), &expected);
    }
    for mark in ["", "\u{FEFF}"] {
        let text = format!("{mark}{text}");
        let wide = |order: fn(u32) -> [u8; 4]| text.chars().flat_map(|c| order(c.into())).collect::<Vec<u8>>();
        check(&wide(u32::to_le_bytes), &expected);
        check(&wide(u32::to_be_bytes), &expected);
    }
}

#[test]
fn control_characters_in_an_address_are_left_out() {
    let text = body("<outline xmlUrl='http://a.exa\u{7F}mple\u{85}/\u{0}'/>");
    check(text.as_bytes(), &["http://a.example/"]);
}
