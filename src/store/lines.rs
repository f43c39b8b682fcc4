//! The lines of an export: one kind of line for each thing that is kept, with names and words that people can read.
//!
//! These types belong to the export's format as `records` belong to the file's. Their names follow those of `model`;
//! where one changes there, its line says `#[serde(rename)]`, and an export of version 1 that lies beside the tests says
//! when that was forgotten. Times are RFC 3339 with milliseconds where there are any, lengths of time are written as in
//! the configuration, hashes are hex digits, and what is missing is left out. Addresses come without the credentials in
//! them.
//!
//! Every older version is read: a field that a later one adds is optional here or has a default.

mod entry;
mod feed;
mod kept;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) use entry::EntryLine;
pub(super) use feed::{FeedLine, IdentityLine, RemoteListLine};
pub(super) use kept::{
    ContactLine, ContentLine, FeedEventLine, ListEventLine, NoticeLine, PathLine, ToldLine, WebmentionLine,
};

use super::records::stored_url;
use crate::model::{CleanHtml, FeedUrl, Timestamp, redact_text};

/// One line. An export is a [`Line::Head`], then each feed with its identities and entries behind it, then all else, and
/// a [`Line::End`].
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Line {
    Head(HeadLine),
    Feed(Box<FeedLine>),
    Identity(IdentityLine),
    Entry(Box<EntryLine>),
    List(ContentLine),
    RemoteList(Box<RemoteListLine>),
    ListEvent(ListEventLine),
    Path(PathLine),
    FeedEvent(FeedEventLine),
    Contact(ContactLine),
    Notice(NoticeLine),
    Told(ToldLine),
    Webmention(WebmentionLine),
    End(EndLine),
}

/// What an export begins with.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadLine {
    /// The version of the export's format: [`VERSION`].
    pub(super) listend_export: u32,
    /// The number of the next new feed: numbers are never used twice.
    pub(super) next_feed: u64,
}

/// The version of the lines that are written, and the newest that is read; all before it are read, too.
pub(super) const VERSION: u32 = 1;

/// What an export ends with: without it, something was cut off.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndLine {
    /// How many lines stand before it.
    pub(super) lines: u64,
}

/// An enum of the model, as words.
macro_rules! words {
    ($name:ident = $model:ident { $($variant:ident),+ $(,)? }) => {
        #[derive(Clone, Copy, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub(in crate::store) enum $name { $($variant),+ }

        impl From<$model> for $name {
            fn from(value: $model) -> Self {
                match value { $($model::$variant => Self::$variant),+ }
            }
        }

        impl From<$name> for $model {
            fn from(word: $name) -> Self {
                match word { $($name::$variant => Self::$variant),+ }
            }
        }
    };
}
use words;

/// An instant as text.
#[derive(Clone, Copy)]
pub(super) struct Time(pub(super) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339())
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = Timestamp::parse_rfc3339(&text);
        time.map(Self).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no time as in RFC 3339")))
    }
}

/// A length of time, as in the configuration; exact.
#[derive(Clone, Copy)]
pub(super) struct Length(pub(super) Duration);

impl Serialize for Length {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(self.0))
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let length = humantime::parse_duration(&text);
        length.map(Self).map_err(|_| serde::de::Error::custom(format!("`{text}` is no length of time")))
    }
}

/// A hash of 64 bits as hex digits.
#[derive(Clone, Copy)]
pub(super) struct Hex(pub(super) u64);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = u64::from_str_radix(&text, 16).ok().filter(|_| text.len() == 16);
        number.map(Self).ok_or_else(|| serde::de::Error::custom(format!("`{text}` are no 16 hex digits")))
    }
}

/// The address of a feed, without credentials.
pub(super) struct Address(pub(super) FeedUrl);

impl Address {
    fn of(url: &FeedUrl) -> Self {
        Self(url.clone())
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Printed, an address shows no credentials.
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let url =
            stored_url(&text).map_err(|_| serde::de::Error::custom(format!("`{text}` is no address of a feed")))?;
        Ok(Self(url))
    }
}

/// Bytes that are nearly always text: in base64 where they are not.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Bytes {
    Text(String),
    Base64(String),
}

impl Bytes {
    fn of(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Base64(STANDARD.encode(error.as_bytes())), Self::Text)
    }

    /// A document, without the credentials of the addresses in it. `None` where they are not found: in UTF-16, and where
    /// references stand for what addresses consist of.
    fn without_credentials(document: Vec<u8>) -> Option<Self> {
        // Without a mark at its beginning, UTF-16 of plain letters is also good UTF-8.
        if document.contains(&0) {
            return None;
        }
        match String::from_utf8(document) {
            Ok(text) if hides_addresses(&text) => None,
            Ok(text) => Some(Self::Text(redact_text(&text).into_owned())),
            Err(error) => {
                // A charset of one byte each, or one that has ASCII in it: what is cut is ASCII.
                let text: String = error.as_bytes().iter().map(|byte| char::from(*byte)).collect();
                if hides_addresses(&text) {
                    return None;
                }
                let bytes = redact_text(&text).chars().map(|c| c as u8).collect::<Vec<u8>>();
                Some(Self::Base64(STANDARD.encode(bytes)))
            }
        }
    }

    fn bytes(self) -> Result<Vec<u8>, String> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Base64(text) => STANDARD.decode(text).map_err(|error| format!("the base64 is broken: {error}")),
        }
    }
}

/// Whether a document has references in place of `@`, `:` or `/`, or entities of its own that may stand for anything.
fn hides_addresses(document: &str) -> bool {
    let is_part_of_one = |reference: &str| {
        let code = match reference.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => reference.parse(),
        };
        code.is_ok_and(|code| [u32::from('@'), u32::from(':'), u32::from('/')].contains(&code))
    };
    let numbers = document.split("&#").skip(1).filter_map(|rest| rest.split_once(';'));
    ["&commat;", "&colon;", "&sol;", "<!ENTITY"].iter().any(|name| document.contains(name))
        || numbers.into_iter().any(|(reference, _)| is_part_of_one(reference))
}

fn times(time: Option<Timestamp>) -> Option<Time> {
    time.map(Time)
}

fn time_of(time: Option<Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}

fn clean(html: String) -> CleanHtml {
    CleanHtml::from_cleaner(html)
}
