//! HTML from strangers: what the cleaner lets through is harmless and short enough, and says the same when cleaned again.
//!
//! The first byte of an input says whether it is HTML or text and whether relative addresses have a base.

#![no_main]

use libfuzzer_sys::fuzz_target;
use listend::feeds::clean;
use listend::model::Markup;
use url::Url;

/// What HTML may grow by: four times by repairs of its nesting, and `<a href>` by its base and `rel`.
const MAX_GROWTH: usize = 64;

fuzz_target!(|input: &[u8]| {
    let [choice, html @ ..] = input else { return };
    let html = String::from_utf8_lossy(html);
    let base = Url::parse("https://example.org/a/").expect("a good address");
    let base = (choice & 1 == 0).then_some(&base);
    let markup = if choice & 2 == 0 { Markup::Html(html.to_string()) } else { Markup::Text(html.to_string()) };

    let once = clean::html(&markup, base);
    harmless(once.as_str());
    assert!(once.as_str().len() <= MAX_GROWTH * html.len() + 64, "{} bytes from {}", once.as_str().len(), html.len());

    let twice = clean::html(&Markup::Html(once.as_str().to_owned()), base);
    harmless(twice.as_str());
    // The tree may differ: what the cleaner drops may have closed what it keeps.
    assert_eq!(words(once.as_str()), words(twice.as_str()), "cleaned again, it says the same");

    for most in [0, 1, 40, 10_000] {
        let text = clean::text(&html, most);
        assert!(text.chars().count() <= most && !text.contains(['\n', '\0']), "{text:?}");
        let summary = clean::summary(&once, most);
        assert!(summary.chars().count() <= most.max(1), "{summary:?}");
    }
});

/// What HTML says, without the white space that elements bring.
fn words(html: &str) -> String {
    clean::text(html, usize::MAX).split_whitespace().collect()
}

/// Fails on any element, attribute or scheme that could do something. Trusts only that the cleaner's output is regular:
/// each `<` starts a tag, and each value stands in double quotes.
fn harmless(html: &str) {
    const ELEMENTS: [&str; 22] = [
        "applet", "base", "body", "button", "embed", "form", "frame", "frameset", "head", "html", "iframe", "input",
        "link", "math", "meta", "object", "script", "style", "svg", "template", "textarea", "title",
    ];
    for tag in html.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap_or_else(|| panic!("a tag is open in {html:?}"));
        let name = tag.trim_start_matches('/').split(' ').next().unwrap_or_default();
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "<{tag}> in {html:?}");
        assert!(!name.is_empty() && !ELEMENTS.contains(&name), "<{tag}> in {html:?}");
        let mut parts = tag[name.len()..].split('"');
        while let Some(attribute) = parts.next() {
            let attribute = attribute.trim().trim_end_matches('=');
            let Some(value) = parts.next() else { break };
            let does_something = attribute.starts_with("on")
                || ["action", "background", "class", "formaction", "id", "name", "srcdoc", "style", "target"]
                    .contains(&attribute);
            assert!(!does_something, "{attribute} in {html:?}");
            if attribute == "srcset" {
                let goes = |one: &str| ["http://", "https://"].iter().any(|scheme| one.starts_with(scheme));
                assert!(value.split(", ").all(goes), "srcset={value} in {html:?}");
            }
            if ["cite", "href", "poster", "src"].contains(&attribute) || attribute.ends_with(":href") {
                let scheme = value.split(':').next().unwrap_or_default().to_ascii_lowercase();
                let goes = value.contains(':') && ["http", "https", "mailto"].contains(&scheme.as_str());
                assert!(goes, "{attribute}={value} in {html:?}");
            }
        }
    }
}
