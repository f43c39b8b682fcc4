//! What holds for any bytes whatever: nothing panics, nothing unsafe comes out, nothing complete is lost by a cut.

use listend::feeds::parse::{NotAFeed, parse};
use listend::feeds::{clean, decode, discover};
use listend::model::{Document, Markup};
use proptest::prelude::*;
use url::Url;

fn read(body: &[u8]) -> Result<Document, NotAFeed> {
    let url = Url::parse("https://example.org/feed").unwrap();
    let read = parse(body, None, &url);
    assert!(!matches!(read, Err(NotAFeed::ParserFault(_))), "{read:?}");
    read
}

const SEEDS: [&str; 3] = [
    "<?xml version='1.0' encoding='utf-8'?><!DOCTYPE rss [<!ENTITY x 'y'>]><rss version='2.0' xmlns:dc='http://purl.org/dc/elements/1.1/'><channel><title>t &amp; u</title>\
     <item><title><![CDATA[A <b>b</b>]]></title><link>http://a.example/1?a=1&amp;b=2</link><guid isPermaLink=\"false\">1</guid><description>&lt;p&gt;é ü &#8217;&lt;/p&gt;</description><dc:date>2004-01-01T10:00:00Z</dc:date></item>\
     <item><title>B</title><author>ann@example.org (Ann)</author><pubDate>Thu, 01 Jan 2004 19:48:21 GMT</pubDate></item></channel></rss>",
    "<feed xmlns='http://www.w3.org/2005/Atom' xml:base='http://a.example/'><title type='html'>&lt;i&gt;t</title><entry><id>1</id><link href='x'/><content type='xhtml'><div xmlns='http://www.w3.org/1999/xhtml'><p>a<br/>b</p></div></content>\
     <updated>2004-01-01T10:00:00Z</updated></entry><entry><id>2</id><summary>s</summary></entry></feed>",
    r#"{"version":"https://jsonfeed.org/version/1.1","title":"t","items":[{"id":"1","content_html":"<p>x</p>","date_published":"2004-01-01T10:00:00Z"},{"id":"2","authors":[{"name":"Ann"}]}]}"#,
];

/// A seed with pieces of it cut, doubled, moved or replaced.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (0..4u8, any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<[u8; 3]>());
    (0..SEEDS.len(), prop::collection::vec(edit, 1..12)).prop_map(|(seed, edits)| {
        let mut bytes = SEEDS[seed].as_bytes().to_vec();
        for (kind, at, length, noise) in edits {
            if bytes.is_empty() {
                break;
            }
            let from = at.index(bytes.len());
            let to = (from + length.index(40)).min(bytes.len());
            match kind {
                0 => drop(bytes.drain(from..to)),
                1 => bytes = [&bytes[..to], &bytes[from..]].concat(),
                2 => bytes[from] = noise[0],
                _ => bytes = [&bytes[..from], &noise, &bytes[from..]].concat(),
            }
        }
        bytes
    })
}

/// HTML of tags, attributes and addresses that people attack with.
fn hostile_html() -> impl Strategy<Value = String> {
    let pieces = [
        "<",
        ">",
        "\"",
        "'",
        "/",
        "=",
        " ",
        "&",
        ";",
        "<script>",
        "</script>",
        "<style>",
        "<svg",
        "<math>",
        "<p ",
        "<a ",
        "<img ",
        "<iframe ",
        "<table>",
        "<td>",
        "<b>",
        "</b>",
        "<select>",
        "<template>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "onclick",
        "onerror=x",
        "href=",
        "src=",
        "style=",
        "javascript:",
        "data:text/html,",
        "java\tscript:",
        "&#106;",
        "x",
        "http://a.example/",
        "//b.example",
        "srcdoc=",
        "xlink:href=",
        "formaction=",
        "<noscript>",
        "<textarea>",
        "\u{0}",
        "é",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..60).prop_map(|pieces| pieces.concat())
}

/// Fails unless HTML holds nothing but harmless elements, attributes and addresses. Looks at what the cleaner wrote, which
/// is regular: every `<` starts a tag, every attribute value is quoted.
fn assert_safe(html: &str) {
    for tag in html.split('<').skip(1) {
        let tag = tag.split_once('>').unwrap_or_else(|| panic!("open tag in {html:?}")).0;
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
        let forbidden =
            ["script", "style", "iframe", "object", "embed", "form", "input", "svg", "math", "link", "meta", "base"];
        assert!(!forbidden.contains(&name), "<{tag}> in {html:?}");
        for (at, attribute) in tag.split('"').enumerate() {
            if at % 2 == 0 {
                let attribute = attribute.trim().trim_end_matches('=');
                assert!(
                    !attribute.to_ascii_lowercase().starts_with("on") && attribute != "style",
                    "{attribute} in {html:?}"
                );
            }
        }
        for address in ["href=\"", "src=\"", "cite=\"", "poster=\""] {
            if let Some((_, value)) = tag.split_once(address) {
                let safe = ["http://", "https://", "mailto:"].iter().any(|scheme| value.starts_with(scheme));
                assert!(safe, "{value} in {html:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_end_in_items_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
        decode::decode(&bytes, Some("text/xml; charset=utf-16"));
    }

    #[test]
    fn mutated_feeds_end_in_items_or_an_error(bytes in mutated()) {
        if let Ok(document) = read(&bytes) {
            for item in &document.items {
                for text in [&item.summary, &item.content].into_iter().flatten() {
                    assert_safe(clean::html(text, item.base.as_ref()).as_str());
                }
            }
        }
    }

    #[test]
    fn a_cut_loses_no_complete_item(seed in 0..SEEDS.len(), at in any::<prop::sample::Index>()) {
        let whole = read(SEEDS[seed].as_bytes()).unwrap();
        let mut end = at.index(SEEDS[seed].len());
        while !SEEDS[seed].is_char_boundary(end) {
            end -= 1;
        }
        let cut = &SEEDS[seed][..end];
        let complete = cut.matches("</item>").count() + cut.matches("</entry>").count();
        let document = read(cut.as_bytes());
        prop_assert!(document.is_ok() || complete == 0);
        if let Ok(document) = document {
            prop_assert!(document.items.len() >= complete);
            // Where only the last `>` is missing nothing is.
            prop_assert!(!document.complete || end + 1 == SEEDS[seed].len());
            prop_assert_eq!(&document.items[..complete], &whole.items[..complete]);
        }
    }

    #[test]
    fn whatever_is_cleaned_is_safe_and_stays_so(html in hostile_html(), based in any::<bool>()) {
        let base = Url::parse("https://example.org/").unwrap();
        let base = based.then_some(&base);
        let once = clean::html(&Markup::Html(html), base);
        assert_safe(once.as_str());
        let twice = clean::html(&Markup::Html(once.as_str().to_owned()), base);
        assert_safe(twice.as_str());
        prop_assert_eq!(clean::text(once.as_str(), 1000), clean::text(twice.as_str(), 1000));
    }

    #[test]
    fn text_and_discovery_take_anything(html in hostile_html(), most in 0usize..50) {
        let base = Url::parse("https://example.org/").unwrap();
        prop_assert!(clean::text(&html, most).chars().count() <= most);
        for candidate in discover::feeds_in(&html, &base) {
            prop_assert!(matches!(candidate.url.scheme(), "http" | "https"));
        }
    }
}
