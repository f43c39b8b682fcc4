//! The record of an entry's text, in postcard: the entry's key, and everything that its row does not say.

use serde::{Deserialize, Serialize};

use super::error::Fault;
use super::rows::unreadable;
use crate::model::{Category, CleanHtml, Enclosure, Entry, EntryKey, FeedId, Origin, Person, Timestamp};

/// Everything of an entry that its key and its row do not say.
#[derive(Serialize, Deserialize)]
struct TextRecord<'a> {
    guid: &'a str,
    link: Option<&'a str>,
    title: &'a str,
    #[serde(borrow)]
    authors: Vec<PersonRecord<'a>>,
    published: Option<i64>,
    updated: Option<i64>,
    summary: Option<&'a str>,
    content: Option<&'a str>,
    #[serde(borrow)]
    categories: Vec<CategoryRecord<'a>>,
    #[serde(borrow)]
    enclosures: Vec<EnclosureRecord<'a>>,
    comments: Option<&'a str>,
    language: Option<&'a str>,
    #[serde(borrow)]
    origin: Option<OriginRecord<'a>>,
}

#[derive(Serialize, Deserialize)]
struct PersonRecord<'a> {
    name: &'a str,
    uri: Option<&'a str>,
    email: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct CategoryRecord<'a> {
    term: &'a str,
    scheme: Option<&'a str>,
    label: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct EnclosureRecord<'a> {
    url: &'a str,
    mime: Option<&'a str>,
    bytes: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct OriginRecord<'a> {
    id: Option<&'a str>,
    title: Option<&'a str>,
    link: Option<&'a str>,
}

/// Whose text it is.
#[derive(Serialize, Deserialize)]
struct KeyRecord {
    feed: u32,
    listed_at: i64,
    seq: u32,
}

impl KeyRecord {
    fn of(key: EntryKey) -> Self {
        Self { feed: key.feed.0, listed_at: key.listed_at.millis(), seq: key.seq }
    }

    fn key(&self) -> EntryKey {
        EntryKey { feed: FeedId(self.feed), listed_at: Timestamp::from_millis(self.listed_at), seq: self.seq }
    }
}

/// The record of an entry's text, which is stored under this key.
pub(super) fn record(key: EntryKey, entry: &Entry) -> Vec<u8> {
    postcard::to_extend(&(KeyRecord::of(key), record_of(entry)), Vec::with_capacity(2048))
        .expect("a record holds only lengths that are known, and memory grows")
}

/// The entry of this key out of the record with which `bytes` begin.
pub(super) fn entry(key: EntryKey, first_seen: Timestamp, bytes: &[u8]) -> Result<Entry, Fault> {
    let (whose, text): (KeyRecord, &[u8]) =
        postcard::take_from_bytes(bytes).map_err(|error| unreadable(key, &error.to_string()))?;
    if whose.key() != key {
        return Err(unreadable(key, "another's text is in its place"));
    }
    entry_of_text(key, first_seen, text)
}

/// The same out of a record of version 1, which says nothing of its key.
pub(super) fn entry_of_text(key: EntryKey, first_seen: Timestamp, text: &[u8]) -> Result<Entry, Fault> {
    let text = postcard::from_bytes(text).map_err(|error| unreadable(key, &error.to_string()))?;
    Ok(entry_of(key, first_seen, text))
}

/// Whose text a record is.
pub(super) fn key(record: &[u8]) -> Option<EntryKey> {
    Some(postcard::take_from_bytes::<KeyRecord>(record).ok()?.0.key())
}

fn record_of(entry: &Entry) -> TextRecord<'_> {
    TextRecord {
        guid: &entry.guid,
        link: entry.link.as_deref(),
        title: &entry.title,
        authors: entry
            .authors
            .iter()
            .map(|Person { name, uri, email }| PersonRecord { name, uri: uri.as_deref(), email: email.as_deref() })
            .collect(),
        published: entry.published.map(Timestamp::millis),
        updated: entry.updated.map(Timestamp::millis),
        summary: entry.summary.as_ref().map(CleanHtml::as_str),
        content: entry.content.as_ref().map(CleanHtml::as_str),
        categories: entry
            .categories
            .iter()
            .map(|Category { term, scheme, label }| CategoryRecord {
                term,
                scheme: scheme.as_deref(),
                label: label.as_deref(),
            })
            .collect(),
        enclosures: entry
            .enclosures
            .iter()
            .map(|Enclosure { url, mime, bytes }| EnclosureRecord { url, mime: mime.as_deref(), bytes: *bytes })
            .collect(),
        comments: entry.comments.as_deref(),
        language: entry.language.as_deref(),
        origin: entry.origin.as_ref().map(|Origin { id, title, link }| OriginRecord {
            id: id.as_deref(),
            title: title.as_deref(),
            link: link.as_deref(),
        }),
    }
}

fn entry_of(key: EntryKey, first_seen: Timestamp, record: TextRecord<'_>) -> Entry {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let html = |text: Option<&str>| text.map(|html| CleanHtml::from_cleaner(html.to_owned()));
    Entry {
        key,
        first_seen,
        guid: record.guid.to_owned(),
        link: owned(record.link),
        title: record.title.to_owned(),
        authors: record
            .authors
            .into_iter()
            .map(|person| Person { name: person.name.to_owned(), uri: owned(person.uri), email: owned(person.email) })
            .collect(),
        published: record.published.map(Timestamp::from_millis),
        updated: record.updated.map(Timestamp::from_millis),
        summary: html(record.summary),
        content: html(record.content),
        categories: record
            .categories
            .into_iter()
            .map(|category| Category {
                term: category.term.to_owned(),
                scheme: owned(category.scheme),
                label: owned(category.label),
            })
            .collect(),
        enclosures: record
            .enclosures
            .into_iter()
            .map(|file| Enclosure { url: file.url.to_owned(), mime: owned(file.mime), bytes: file.bytes })
            .collect(),
        comments: owned(record.comments),
        language: owned(record.language),
        origin: record.origin.map(|origin| Origin {
            id: owned(origin.id),
            title: owned(origin.title),
            link: owned(origin.link),
        }),
    }
}
