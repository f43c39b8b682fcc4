//! Lines of entries.

use serde::{Deserialize, Serialize};

use super::{Time, clean, time_of, times};
use crate::model::{Category, Enclosure, Entry, EntryKey, FeedId, Origin, Person};

/// A struct of the model whose fields are written as they are.
macro_rules! mirror {
    ($name:ident = $model:ident { $($field:ident: $type:ty),+ $(,)? } and { $($option:ident: $inner:ty),+ $(,)? }) => {
        #[derive(Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(in crate::store) struct $name {
            $($field: $type,)*
            $(#[serde(skip_serializing_if = "Option::is_none")] $option: Option<$inner>,)+
        }

        impl From<$model> for $name {
            fn from(value: $model) -> Self {
                Self { $($field: value.$field,)* $($option: value.$option,)+ }
            }
        }

        impl From<$name> for $model {
            fn from(line: $name) -> Self {
                Self { $($field: line.$field,)* $($option: line.$option,)+ }
            }
        }
    };
}

mirror!(PersonLine = Person { name: String } and { uri: String, email: String });
mirror!(CategoryLine = Category { term: String } and { scheme: String, label: String });
mirror!(EnclosureLine = Enclosure { url: String } and { mime: String, bytes: u64 });

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::store) struct OriginLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

/// An entry.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::store) struct EntryLine {
    pub(in crate::store) feed: u32,
    number: u32,
    listed_at: Time,
    first_seen: Time,
    guid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    title: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    authors: Vec<PersonLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    categories: Vec<CategoryLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    enclosures: Vec<EnclosureLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comments: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<OriginLine>,
}

impl EntryLine {
    pub(in crate::store) fn of(entry: Entry) -> Self {
        Self {
            feed: entry.key.feed.0,
            number: entry.key.seq,
            listed_at: Time(entry.key.listed_at),
            first_seen: Time(entry.first_seen),
            guid: entry.guid,
            link: entry.link,
            title: entry.title,
            authors: entry.authors.into_iter().map(Into::into).collect(),
            published: times(entry.published),
            updated: times(entry.updated),
            summary: entry.summary.map(|html| html.as_str().to_owned()),
            content: entry.content.map(|html| html.as_str().to_owned()),
            categories: entry.categories.into_iter().map(Into::into).collect(),
            enclosures: entry.enclosures.into_iter().map(Into::into).collect(),
            comments: entry.comments,
            language: entry.language,
            origin: entry.origin.map(|Origin { id, title, link }| OriginLine { id, title, link }),
        }
    }

    pub(in crate::store) fn entry(self) -> Entry {
        Entry {
            key: EntryKey { listed_at: self.listed_at.0, feed: FeedId(self.feed), seq: self.number },
            first_seen: self.first_seen.0,
            guid: self.guid,
            link: self.link,
            title: self.title,
            authors: self.authors.into_iter().map(Into::into).collect(),
            published: time_of(self.published),
            updated: time_of(self.updated),
            summary: self.summary.map(clean),
            content: self.content.map(clean),
            categories: self.categories.into_iter().map(Into::into).collect(),
            enclosures: self.enclosures.into_iter().map(Into::into).collect(),
            comments: self.comments,
            language: self.language,
            origin: self.origin.map(|OriginLine { id, title, link }| Origin { id, title, link }),
        }
    }
}
