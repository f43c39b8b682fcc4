//! JSON Feed 1.0 and 1.1: repaired as far as real feeds need it, mapped by `feed-rs`, completed from the same values.
//!
//! `feed-rs` wants every field to have the type of the specification, and loses images, authors without names, and which
//! address is the item's own. So what it gets is made clean first, and what it loses is laid over its result.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use url::Url;

use super::draft::{Draft, Length, push_once};
use super::text::{Construct, drop_controls, plain_title};
use super::{MAX_ITEMS, NotAFeed, absolute, date};
use crate::model::{About, Category, Document, Enclosure, Format, Markup, Pace, Person, Timestamp};

/// Most values in one document; a value takes 32 bytes of memory, so this is 13 MB.
const MAX_VALUES: usize = 400_000;
/// Most objects in one document; the smallest takes some 650 bytes of memory, so this is 26 MB.
const MAX_OBJECTS: usize = 30_000;

/// What can be known of a JSON text without building anything.
#[derive(Debug, Default)]
struct Shape {
    objects: usize,
    values: usize,
    /// Where the last complete object ends that stands in an array of the root object.
    last_item_end: usize,
}

impl Shape {
    fn of(text: &str) -> Self {
        let mut shape = Self::default();
        let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
        for (at, byte) in text.bytes().enumerate() {
            if in_string {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => in_string = true,
                b'{' | b'[' => {
                    depth += 1;
                    shape.values += 1;
                    shape.objects += usize::from(byte == b'{');
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    if depth == 2 && byte == b'}' {
                        shape.last_item_end = at + 1;
                    }
                }
                b',' => shape.values += 1,
                _ => {}
            }
        }
        shape
    }
}

/// Reads a document whose text starts with `{`.
pub(super) fn read(text: &str, url: &Url) -> Result<Document, NotAFeed> {
    let shape = Shape::of(text);
    if shape.objects > MAX_OBJECTS || shape.values > MAX_VALUES {
        return Err(NotAFeed::Unreadable(format!(
            "its JSON has {} objects and {} values; {MAX_OBJECTS} and {MAX_VALUES} are allowed",
            shape.objects, shape.values
        )));
    }
    let (mut root, complete) = match first_value(text) {
        Ok(root) => (root, true),
        Err(fault) => {
            // Cut off: what stands before the cut may be complete items.
            let kept = text.get(..shape.last_item_end).filter(|kept| !kept.is_empty());
            let closed = kept.and_then(|kept| serde_json::from_str(&format!("{kept}]}}")).ok());
            (closed.ok_or_else(|| NotAFeed::Unreadable(format!("its JSON is broken: {fault}")))?, false)
        }
    };
    let Some(feed) = root.as_object_mut() else { return Err(NotAFeed::Unreadable("it is JSON, but no object".into())) };
    let named = feed.get("version").and_then(Value::as_str).is_some_and(|version| version.contains("jsonfeed.org"));
    let items = match feed.remove("items") {
        Some(Value::Array(items)) => items,
        _ if named && complete => Vec::new(),
        _ => return Err(NotAFeed::Unreadable("its JSON has no `items`: no JSON Feed".into())),
    };
    let items: Vec<Map<String, Value>> =
        items.into_iter().filter_map(|item| if let Value::Object(item) = item { Some(item) } else { None }).collect();
    if items.is_empty() && !(named && complete) {
        return Err(NotAFeed::NoEntries);
    }
    map(feed, items, url, complete)
}

/// The first value of the text; what follows it is ignored.
fn first_value(text: &str) -> Result<Value, serde_json::Error> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter();
    values.next().unwrap_or_else(|| serde_json::from_str(text))
}

fn map(
    feed: &Map<String, Value>,
    mut items: Vec<Map<String, Value>>,
    url: &Url,
    complete: bool,
) -> Result<Document, NotAFeed> {
    items.truncate(MAX_ITEMS);
    let clean = json!({
        "version": "https://jsonfeed.org/version/1.1",
        "title": text_of(feed, "title").unwrap_or_default(),
        "items": items.iter().map(clean_item).collect::<Vec<_>>(),
    });
    let clean = serde_json::to_vec(&clean).map_err(|fault| NotAFeed::Unreadable(fault.to_string()))?;
    // A parser that failed once may fail again on anything: each document gets its own.
    let parser = feed_rs::parser::Builder::new()
        .timestamp_parser(|text| date::read(text).map(|time: Timestamp| -> DateTime<Utc> { time.utc() }))
        .sanitize_content(false)
        .id_generator(|_, _, _| String::new())
        .build();
    let parsed = parser.parse(clean.as_slice()).map_err(|fault| NotAFeed::Unreadable(fault.to_string()))?;
    let language = text_of(feed, "language");
    let authors = authors_of(feed, url);
    let mapped = parsed.entries.into_iter().zip(&items);
    let items = mapped.map(|(entry, item)| complete_item(entry, item, url, language.as_deref(), &authors)).collect();
    let mut hubs = Vec::new();
    for hub in feed.get("hubs").and_then(Value::as_array).into_iter().flatten() {
        if let Some(hub) = hub.get("url").and_then(Value::as_str).and_then(|hub| absolute(hub, url)) {
            push_once(&mut hubs, hub);
        }
    }
    let feed_url = text_of(feed, "feed_url").and_then(|own| absolute(&own, url));
    let about = About {
        id: feed_url.clone(),
        title: text_of(feed, "title").map(|title| plain_title(&title, Construct::Plain)).filter(|t| !t.is_empty()),
        home: text_of(feed, "home_page_url").and_then(|home| absolute(&home, url)),
        language,
        self_link: feed_url,
        hubs,
    };
    Ok(Document { format: Format::Json, about, updated: None, pace: Pace::default(), items, complete })
}

/// A value as text, whatever type it has; blank is nothing.
fn text_of(object: &Map<String, Value>, key: &str) -> Option<String> {
    let mut text = match object.get(key)? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    drop_controls(&mut text);
    (!text.trim().is_empty()).then_some(text)
}

/// What `feed-rs` is to map of an item, with the types that it wants.
fn clean_item(item: &Map<String, Value>) -> Value {
    let mut clean = Map::new();
    for key in ["id", "title", "content_html", "content_text", "summary", "date_published", "date_modified"] {
        if let Some(text) = text_of(item, key) {
            clean.insert(key.into(), text.into());
        }
    }
    let tags = match item.get("tags") {
        Some(Value::Array(tags)) => tags.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(tags)) => tags.split(',').map(|tag| tag.trim().to_owned()).collect(),
        _ => Vec::new(),
    };
    clean.insert("tags".into(), tags.into());
    Value::Object(clean)
}

/// An item as `feed-rs` mapped it, with what it lost.
fn complete_item(
    entry: feed_rs::model::Entry,
    item: &Map<String, Value>,
    url: &Url,
    language: Option<&str>,
    authors: &[Person],
) -> crate::model::Item {
    let mut draft = Draft::default();
    let id = text_of(item, "id").map(|id| id.trim().to_owned());
    for (rank, key) in ["url", "external_url"].into_iter().enumerate() {
        if let Some(link) = text_of(item, key).and_then(|link| absolute(&link, url)) {
            draft.link.offer(rank as u8, link);
        }
    }
    if let Some(id) = id {
        if id.starts_with("http://") || id.starts_with("https://") {
            draft.link.offer(5, id.clone());
        }
        draft.guid.offer(0, id);
    }
    if let Some(title) = entry.title {
        let title = plain_title(&title.content, Construct::Guess);
        if !title.is_empty() {
            draft.title.offer(0, title);
        }
    }
    if let Some(time) = entry.published {
        draft.published.offer(0, time.into());
    }
    if let Some(time) = entry.updated {
        draft.updated.offer(0, time.into());
    }
    if let Some(text) = text_of(item, "content_html") {
        draft.add_text(Length::Long, 0, Markup::Html(text), url, None);
    }
    if let Some(text) = entry.content.and_then(|content| content.body) {
        draft.add_text(Length::Long, 1, Markup::Text(text), url, None);
    }
    if let Some(text) = text_of(item, "summary") {
        draft.add_text(Length::Short, 0, Markup::Text(text), url, None);
    }
    for image in ["image", "banner_image"] {
        // A picture that the text does not show already.
        if let Some(image) = text_of(item, image).and_then(|image| absolute(&image, url)) {
            let shown = text_of(item, "content_html").is_some_and(|html| html.contains(&image));
            if !shown {
                draft.add_enclosure(Enclosure { url: image, mime: Some("image/*".into()), bytes: None });
            }
        }
    }
    for attachment in item.get("attachments").and_then(Value::as_array).into_iter().flatten() {
        let Some(attachment) = attachment.as_object() else { continue };
        let Some(address) = text_of(attachment, "url").and_then(|address| absolute(&address, url)) else { continue };
        let bytes = text_of(attachment, "size_in_bytes").and_then(|bytes| bytes.parse().ok());
        draft.add_enclosure(Enclosure { url: address, mime: text_of(attachment, "mime_type"), bytes });
    }
    for category in entry.categories {
        let term = plain_title(&category.term, Construct::Plain);
        draft.add_category(Category { term, ..Category::default() });
    }
    draft.authors = authors_of(item, url);
    draft.language = text_of(item, "language");
    draft.finish(language, authors)
}

/// `authors` of version 1.1 and `author` of 1.0, as objects or as plain names.
fn authors_of(object: &Map<String, Value>, url: &Url) -> Vec<Person> {
    let mut authors = Vec::new();
    let many = object.get("authors").and_then(Value::as_array).into_iter().flatten();
    for author in many.chain(object.get("author")) {
        let person = match author {
            Value::String(name) => Person { name: plain_title(name, Construct::Plain), ..Person::default() },
            Value::Object(author) => Person {
                name: text_of(author, "name").map(|name| plain_title(&name, Construct::Plain)).unwrap_or_default(),
                uri: text_of(author, "url").and_then(|address| absolute(&address, url)),
                email: None,
            },
            _ => continue,
        };
        if person != Person::default() {
            push_once(&mut authors, person);
        }
    }
    authors
}
