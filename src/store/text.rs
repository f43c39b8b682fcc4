//! The values of `entries`: an entry's text, packed.
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | version, 1 |
//! | 1 | 1 where a link hash follows, else 0 |
//! | 8 | first seen, i64 big-endian |
//! | 8 | link hash, u64 big-endian, where there is one |
//! | rest | the text record in postcard, as a block of `packing` |
//!
//! The head in front of the text is all that a merge of streams needs, so that it unpacks only what it shows.

use serde::{Deserialize, Serialize};

use super::error::Fault;
use super::packing::{Packer, Unpacker};
use crate::model::{Category, CleanHtml, Enclosure, Entry, EntryKey, Hash64, Origin, Person, Timestamp};

const VERSION: u8 = 1;

/// Everything of an entry that its key and its head do not say.
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

/// What a merge needs to know of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TextHead {
    pub(super) first_seen: Timestamp,
    pub(super) link: Option<Hash64>,
}

/// The value to store for an entry; `link` is the hash of its comparable link.
pub(super) fn pack(packer: &mut Packer, entry: &Entry, link: Option<Hash64>) -> Vec<u8> {
    let plain = postcard::to_extend(&record_of(entry), Vec::with_capacity(2048))
        .expect("a record holds only lengths that are known, and memory grows");
    let mut value = Vec::with_capacity(24 + plain.len());
    value.push(VERSION);
    value.push(u8::from(link.is_some()));
    value.extend_from_slice(&entry.first_seen.millis().to_be_bytes());
    if let Some(link) = link {
        value.extend_from_slice(&link.0.to_be_bytes());
    }
    packer.pack(&plain, &mut value);
    value
}

/// The entry of this key out of its stored value.
pub(super) fn unpack(unpacker: &mut Unpacker, key: EntryKey, value: &[u8]) -> Result<Entry, Fault> {
    let (head, block) = split(value).ok_or_else(|| unreadable(key, "it is cut off or of an unknown version"))?;
    let plain = unpacker.unpack(block).map_err(|why| unreadable(key, &why))?;
    let record = postcard::from_bytes(plain).map_err(|error| unreadable(key, &error.to_string()))?;
    Ok(entry_of(key, head.first_seen, record))
}

/// Only the head of a stored value.
pub(super) fn head(key: EntryKey, value: &[u8]) -> Result<TextHead, Fault> {
    let (head, _) = split(value).ok_or_else(|| unreadable(key, "it is cut off or of an unknown version"))?;
    Ok(head)
}

/// Head and block.
fn split(value: &[u8]) -> Option<(TextHead, &[u8])> {
    let (&[version, has_link], rest) = value.split_first_chunk()?;
    let (first_seen, mut rest) = rest.split_first_chunk()?;
    let mut link = None;
    if has_link != 0 {
        let (hash, after) = rest.split_first_chunk()?;
        link = Some(Hash64(u64::from_be_bytes(*hash)));
        rest = after;
    }
    let first_seen = Timestamp::from_millis(i64::from_be_bytes(*first_seen));
    (version == VERSION).then_some((TextHead { first_seen, link }, rest))
}

fn unreadable(key: EntryKey, why: &str) -> Fault {
    Fault::Unreadable(format!("entry {key} cannot be read: {why}"))
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
