//! A page as Atom 1.0 (RFC 4287), paged after RFC 5005.
//!
//! Knows only how Atom says things; what is said is decided in `said`.

use crate::listen::page::{Listed, Page};

use super::said::{self, Author};
use super::xml::Xml;
use super::{Site, address, uri};

/// The media type of what [`render`] makes.
pub const MEDIA_TYPE: &str = "application/atom+xml; charset=utf-8";

/// The page as an Atom feed document.
pub fn render(page: &Page, site: &Site) -> String {
    let mut xml = Xml::new();
    xml.open(
        "feed",
        &[("xmlns", Some("http://www.w3.org/2005/Atom")), ("xmlns:dc", Some("http://purl.org/dc/elements/1.1/"))],
    );
    xml.text("id", &[], &said::feed_id(page, site));
    xml.text("title", &[("type", Some("text"))], &page.head.title);
    if !page.head.about.trim().is_empty() {
        xml.text("subtitle", &[("type", Some("text"))], &page.head.about);
    }
    xml.text("updated", &[], &said::printable(page.updated).to_rfc3339());
    let places = said::places(page, site, "atom");
    let mut link = |rel, href: Option<&str>, kind| {
        if href.is_some() {
            xml.empty("link", &[("rel", Some(rel)), ("type", kind), ("href", href)]);
        }
    };
    link("self", Some(&places.this), Some("application/atom+xml"));
    link("alternate", Some(&places.page), Some("text/html"));
    link("first", places.first.as_deref(), Some("application/atom+xml"));
    link("next", places.next.as_deref(), Some("application/atom+xml"));
    link("hub", places.hub.as_deref(), None);
    xml.text("generator", &[("version", Some(said::VERSION))], said::GENERATOR);
    for (listed, id) in page.entries.iter().zip(said::ids(page, site)) {
        entry(&mut xml, listed, &id, site);
    }
    xml.finish()
}

fn entry(xml: &mut Xml, listed: &Listed, id: &str, site: &Site) {
    let entry = &listed.entry;
    let title = said::title(entry).unwrap_or_default();
    xml.open("entry", &[("xml:lang", entry.language.as_deref().and_then(uri::language))]);
    xml.text("id", &[], id);
    xml.text("title", &[("type", Some("text"))], &title);
    xml.text("updated", &[], &said::printable(entry.last_change()).to_rfc3339());
    if let Some(published) = entry.published {
        xml.text("published", &[], &said::printable(published).to_rfc3339());
    }
    for author in said::authors(listed) {
        person(xml, &author);
    }
    let alternate = entry.link.as_deref().and_then(uri::link);
    if let Some(href) = &alternate {
        xml.empty("link", &[("rel", Some("alternate")), ("href", Some(href))]);
    }
    if let Some(href) = entry.comments.as_deref().and_then(uri::link) {
        xml.empty("link", &[("rel", Some("replies")), ("type", Some("text/html")), ("href", Some(&href))]);
    }
    for enclosure in &entry.enclosures {
        let Some(href) = uri::link(&enclosure.url) else { continue };
        let length = enclosure.bytes.map(|bytes| bytes.to_string());
        xml.empty(
            "link",
            &[
                ("rel", Some("enclosure")),
                ("type", enclosure.mime.as_deref().and_then(uri::media_type)),
                ("length", length.as_deref()),
                ("href", Some(&href)),
            ],
        );
    }
    if let Some(origin) = &entry.origin {
        let place = [origin.link.as_deref(), origin.id.as_deref()];
        if let Some(href) = place.into_iter().flatten().find_map(uri::link) {
            let title = origin.title.as_deref().filter(|title| !title.trim().is_empty());
            xml.empty("link", &[("rel", Some("via")), ("title", title), ("href", Some(&href))]);
        }
    }
    for (category, term) in said::categories(entry) {
        xml.empty(
            "category",
            &[
                ("term", Some(&term)),
                ("scheme", category.scheme.as_deref().and_then(uri::link).as_deref()),
                ("label", category.label.as_deref()),
            ],
        );
    }
    if let Some(original) = said::original_id(listed, id) {
        xml.text("dc:identifier", &[], &original);
    }
    let body = said::body(listed, site);
    if let Some(summary) = &body.summary {
        xml.text("summary", &[("type", Some("html"))], summary);
    }
    // An entry needs content where it has no page of its own (RFC 4287, section 4.1.2).
    match (&body.content, &body.summary) {
        (Some(content), _) => xml.text("content", &[("type", Some("html"))], content),
        (None, Some(summary)) if alternate.is_none() => xml.text("content", &[("type", Some("html"))], summary),
        (None, None) if alternate.is_none() => xml.text("content", &[("type", Some("text"))], &title),
        _ => {}
    }
    // Last, because simple readers take the first title and link that they meet.
    source(xml, listed, site);
    xml.close();
}

/// Who said it (RFC 4287, section 4.2.11). Its author is the voice, its categories are the circles that the voice stands
/// in. Its `updated` is the entry's: the feed changed then at the latest, and what it did since concerns other entries.
fn source(xml: &mut Xml, listed: &Listed, site: &Site) {
    let source = &listed.source;
    let query = &crate::listen::page::Query::default();
    xml.open("source", &[]);
    let id = [&source.id, &source.url].into_iter().find(|id| uri::is_worldwide_id(id));
    if let Some(id) = id {
        xml.text("id", &[], id);
    }
    xml.text("title", &[("type", Some("text"))], &said::source_title(listed));
    xml.text("updated", &[], &said::printable(listed.entry.last_change()).to_rfc3339());
    let voice = (!source.voice_path.is_empty()).then(|| address(site, &source.voice_path, "", query).into());
    person(xml, &Author { name: said::voice(listed), uri: voice, email: None });
    if let Some(href) = uri::link(&source.url) {
        xml.empty("link", &[("rel", Some("self")), ("href", Some(&href))]);
    }
    if let Some(href) = source.home.as_deref().and_then(uri::link) {
        xml.empty("link", &[("rel", Some("alternate")), ("href", Some(&href))]);
    }
    for (title, path) in &source.circles {
        xml.empty(
            "category",
            &[
                ("term", Some(path.trim_start_matches('/'))),
                ("scheme", Some(site.base_url.as_str())),
                ("label", Some(title)),
            ],
        );
    }
    xml.close();
}

fn person(xml: &mut Xml, author: &Author<'_>) {
    xml.open("author", &[]);
    xml.text("name", &[], &author.name);
    if let Some(uri) = &author.uri {
        xml.text("uri", &[], uri);
    }
    if let Some(email) = author.email {
        xml.text("email", &[], email);
    }
    xml.close();
}
