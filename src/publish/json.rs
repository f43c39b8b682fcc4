//! A page as JSON Feed 1.1, with who said what in the extension `_listend`.
//!
//! Knows only how JSON Feed says things; what is said is decided in `said`.

use std::borrow::Cow;

use serde::Serialize;

use crate::listen::page::{Listed, Page, Query};

use super::xml::sayable;
use super::{Site, address, said, uri};

/// The media type of what [`render`] makes.
pub const MEDIA_TYPE: &str = "application/feed+json; charset=utf-8";

/// Characters of a summary, which is plain text in JSON Feed.
const SUMMARY_CHARS: usize = 2_000;

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "JSON Feed's own names")]
struct Feed<'a> {
    version: &'static str,
    title: Cow<'a, str>,
    home_page_url: &'a str,
    feed_url: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hubs: Vec<Hub<'a>>,
    items: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Hub<'a> {
    r#type: &'static str,
    url: &'a str,
}

#[derive(Serialize)]
struct Item<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    title: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_html: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    date_published: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    date_modified: Option<String>,
    authors: Vec<Author<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<Attachment<'a>>,
    _listend: Said<'a>,
}

#[derive(Serialize)]
struct Author<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Attachment<'a> {
    url: Cow<'a, str>,
    mime_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_in_bytes: Option<u64>,
}

/// The extension: who said it, where the voice stands, and what JSON Feed has no words for.
#[derive(Serialize)]
struct Said<'a> {
    source: Source<'a>,
    voice: Place<'a>,
    circles: Vec<Place<'a>>,
    listed_at: String,
    guid: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comments: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Origin<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_url: Option<String>,
}

#[derive(Serialize)]
struct Source<'a> {
    id: Cow<'a, str>,
    title: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    home: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Place<'a> {
    title: Cow<'a, str>,
    path: &'a str,
    url: String,
}

#[derive(Serialize)]
struct Origin<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Cow<'a, str>>,
}

/// The page as a JSON Feed document.
pub fn render(page: &Page, site: &Site) -> String {
    let places = said::places(page, site, "json");
    let hubs = places.hub.as_deref().map(|url| Hub { r#type: "WebSub", url });
    let items = page.entries.iter().zip(said::ids(page, site)).map(|(listed, id)| item(listed, id, site));
    let feed = Feed {
        version: "https://jsonfeed.org/version/1.1",
        title: sayable(&page.head.title),
        home_page_url: &places.page,
        feed_url: &places.this,
        description: sayable(page.head.about.trim()),
        next_url: places.next.as_deref(),
        hubs: hubs.into_iter().collect(),
        items: items.collect(),
    };
    serde_json::to_string_pretty(&feed).expect("every field is a text, a number or a list of such")
}

fn item<'a>(listed: &'a Listed, id: String, site: &Site) -> Item<'a> {
    let entry = &listed.entry;
    let body = said::body(listed, site);
    // An item needs one content or the other; a summary alone is all the content there is.
    let html = body.content.or(body.summary).map(|html| match html {
        Cow::Borrowed(html) => sayable(html),
        Cow::Owned(html) => Cow::Owned(sayable(&html).into_owned()),
    });
    let authors = said::authors(listed).into_iter().map(|author| Author { name: author.name, url: author.uri });
    let tags = said::categories(entry).map(|(_, term)| term);
    let attachments = entry.enclosures.iter().filter_map(|enclosure| {
        Some(Attachment {
            url: uri::link(&enclosure.url)?,
            mime_type: enclosure.mime.as_deref().and_then(uri::media_type).unwrap_or("application/octet-stream"),
            size_in_bytes: enclosure.bytes,
        })
    });
    Item {
        id,
        url: entry.link.as_deref().and_then(uri::link),
        title: said::title(entry).unwrap_or_default(),
        content_text: html.is_none().then(|| said::title(entry).unwrap_or_default()),
        content_html: html,
        summary: said::words(entry.summary.as_ref(), SUMMARY_CHARS),
        date_published: said::published(listed).to_rfc3339(),
        date_modified: entry.updated.map(|time| said::printable(time).to_rfc3339()),
        authors: authors.collect(),
        tags: tags.collect(),
        language: entry.language.as_deref().and_then(uri::language),
        attachments: attachments.collect(),
        _listend: extension(listed, site),
    }
}

fn extension<'a>(listed: &'a Listed, site: &Site) -> Said<'a> {
    let entry = &listed.entry;
    let source = &listed.source;
    let place =
        |title: Cow<'a, str>, path: &'a str| Place { title, path, url: address(site, path, "", &Query::default()) };
    let said = |text: &'a Option<String>| text.as_deref().map(sayable).filter(|text| !text.trim().is_empty());
    let origin = entry.origin.as_ref().map(|origin| Origin {
        id: origin.id.as_deref().map(said::without_credentials),
        title: said(&origin.title),
        url: origin.link.as_deref().and_then(uri::link),
    });
    Said {
        source: Source {
            id: said::without_credentials(&source.id),
            title: said::source_title(listed),
            url: uri::link(&source.url),
            home: source.home.as_deref().and_then(uri::link),
        },
        voice: place(said::voice(listed), &source.voice_path),
        circles: source.circles.iter().map(|(title, path)| place(sayable(title), path)).collect(),
        listed_at: said::printable(entry.key.listed_at).to_rfc3339(),
        guid: said::without_credentials(&entry.guid),
        comments: entry.comments.as_deref().and_then(uri::link),
        origin,
        reason: said(&listed.reason),
        answered_url: site.contact_links.then(|| said::answered(site, entry.key)),
    }
}
