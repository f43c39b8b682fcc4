//! A page as RSS 2.0, after the RSS Advisory Board's specification and profile.
//!
//! Knows only how RSS says things; what is said is decided in `said`.

use crate::listen::page::{Listed, Page};

use super::said;
use super::xml::{self, Xml};
use super::{Site, uri};

/// The media type of what [`render`] makes.
pub const MEDIA_TYPE: &str = "application/rss+xml; charset=utf-8";

/// Characters of the description that stands for a title and a summary where an entry has neither.
const DESCRIPTION_CHARS: usize = 280;

/// The page as an RSS document.
pub fn render(page: &Page, site: &Site) -> String {
    let mut xml = Xml::new();
    xml.open(
        "rss",
        &[
            ("version", Some("2.0")),
            ("xmlns:atom", Some("http://www.w3.org/2005/Atom")),
            ("xmlns:content", Some("http://purl.org/rss/1.0/modules/content/")),
            ("xmlns:dc", Some("http://purl.org/dc/elements/1.1/")),
        ],
    );
    xml.open("channel", &[]);
    let places = said::places(page, site, "rss");
    let title = &page.head.title;
    xml.text("title", &[], title);
    xml.text("link", &[], &places.page);
    xml.text("description", &[], if page.head.about.trim().is_empty() { title } else { &page.head.about });
    xml.text("lastBuildDate", &[], &said::printable(page.updated).to_rfc822());
    xml.text("generator", &[], &format!("{} {}", said::GENERATOR, said::VERSION));
    let mut link = |rel, href: Option<&str>, kind| {
        if href.is_some() {
            xml.empty("atom:link", &[("rel", Some(rel)), ("type", kind), ("href", href)]);
        }
    };
    link("self", Some(&places.this), Some("application/rss+xml"));
    link("first", places.first.as_deref(), Some("application/rss+xml"));
    link("next", places.next.as_deref(), Some("application/rss+xml"));
    link("hub", places.hub.as_deref(), None);
    for (listed, id) in page.entries.iter().zip(said::ids(page, site)) {
        item(&mut xml, listed, &id, site);
    }
    xml.finish()
}

fn item(xml: &mut Xml, listed: &Listed, id: &str, site: &Site) {
    let entry = &listed.entry;
    let title = said::title(entry);
    let link = entry.link.as_deref().and_then(uri::link);
    xml.open("item", &[]);
    if let Some(title) = &title {
        xml.text("title", &[], title);
    }
    if let Some(link) = &link {
        xml.text("link", &[], link);
    }
    // A guid is the page's address only where it says so; readers that follow it must not end elsewhere.
    let is_link = link.as_deref() == Some(id);
    xml.text("guid", &[("isPermaLink", Some(if is_link { "true" } else { "false" }))], id);
    xml.text("pubDate", &[], &said::published(listed).to_rfc822());
    if let Some(updated) = entry.updated {
        xml.text("atom:updated", &[], &said::printable(updated).to_rfc3339());
    }
    for author in said::authors(listed) {
        xml.text("dc:creator", &[], &author.name);
    }
    for (category, term) in said::categories(entry) {
        xml.text("category", &[("domain", category.scheme.as_deref())], &term);
    }
    if let Some(comments) = entry.comments.as_deref().and_then(uri::link) {
        xml.text("comments", &[], &comments);
    }
    enclosures(xml, listed);
    if let Some(language) = entry.language.as_deref().and_then(uri::language) {
        xml.text("dc:language", &[], language);
    }
    if let Some(original) = said::original_id(listed, id) {
        xml.text("dc:identifier", &[], &original);
    }
    let body = said::body(listed, site);
    match &body.summary {
        Some(summary) => xml.text("description", &[], summary),
        // An item needs a title or a description.
        None if title.is_none() => {
            let words = said::words(entry.content.as_ref(), DESCRIPTION_CHARS).unwrap_or_default();
            let mut escaped = String::new();
            xml::escape_into(&mut escaped, &words, false);
            xml.text("description", &[], &escaped);
        }
        None => {}
    }
    if let Some(content) = &body.content {
        xml.text("content:encoded", &[], content);
    }
    if let Some(url) = uri::link(&listed.source.url) {
        xml.text("source", &[("url", Some(&url))], &said::source_title(listed));
    }
    xml.close();
}

/// RSS takes one enclosure an item, with length and type; further ones are Atom links.
fn enclosures(xml: &mut Xml, listed: &Listed) {
    let mut is_first = true;
    for enclosure in &listed.entry.enclosures {
        let Some(url) = uri::link(&enclosure.url) else { continue };
        let mime = enclosure.mime.as_deref().and_then(uri::media_type);
        let length = enclosure.bytes.map(|bytes| bytes.to_string());
        if std::mem::take(&mut is_first) {
            xml.empty(
                "enclosure",
                &[
                    ("url", Some(&url)),
                    // The profile asks for 0 where the size is not known.
                    ("length", length.as_deref().or(Some("0"))),
                    ("type", mime.or(Some("application/octet-stream"))),
                ],
            );
        } else {
            xml.empty(
                "atom:link",
                &[("rel", Some("enclosure")), ("type", mime), ("length", length.as_deref()), ("href", Some(&url))],
            );
        }
    }
}
