//! An item as a document says it, and an entry as it is kept.

use std::fmt;
use std::str::FromStr;

use url::Url;

use super::{FeedId, Timestamp};

/// Somebody who wrote something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Person {
    /// The name; may be empty where only an address is known.
    pub name: String,
    /// A page about the person.
    pub uri: Option<String>,
    /// An e-mail address.
    pub email: Option<String>,
}

/// A category or tag (RFC 4287, section 4.2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Category {
    /// The tag itself.
    pub term: String,
    /// The scheme or RSS `domain` that it belongs to.
    pub scheme: Option<String>,
    /// A spelling for people.
    pub label: Option<String>,
}

/// A file that belongs to an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Enclosure {
    /// Its absolute address.
    pub url: String,
    /// Its media type, where the feed says one.
    pub mime: Option<String>,
    /// Its size in bytes, where the feed says one.
    pub bytes: Option<u64>,
}

/// Where an entry was first published, when the feed itself republishes it (Atom and RSS `source`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The original feed's id or address.
    pub id: Option<String>,
    /// The original feed's title.
    pub title: Option<String>,
    /// The original site.
    pub link: Option<String>,
}

/// A text construct as the document gives it, before cleaning. Never shown to anybody in this form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Markup {
    /// Plain text: `<` is a less-than sign.
    Text(String),
    /// HTML, possibly hostile, with relative addresses.
    Html(String),
}

impl Markup {
    /// The characters of the construct, whatever they mean.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text(text) | Self::Html(text) => text,
        }
    }
}

/// One item of a document, as the document says it: addresses absolute, titles plain text, HTML not yet cleaned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Item {
    /// Atom `id`, RSS `guid`, RDF `about`, JSON `id`: byte for byte, without surrounding space.
    pub guid: Option<String>,
    /// The page that the item stands for: absolute where the document allows to tell.
    pub link: Option<String>,
    /// The title as plain text: markup gone, entities resolved, white space folded.
    pub title: Option<String>,
    /// Who wrote it, in the document's order.
    pub authors: Vec<Person>,
    /// When it was published, as the document says.
    pub published: Option<Timestamp>,
    /// When it was last changed, as the document says.
    pub updated: Option<Timestamp>,
    /// A short form.
    pub summary: Option<Markup>,
    /// The long form.
    pub content: Option<Markup>,
    /// Against which address relative ones in `summary` and `content` are resolved (`xml:base`, else the final URL).
    pub base: Option<Url>,
    /// Tags, in the document's order, each once.
    pub categories: Vec<Category>,
    /// Files, in the document's order.
    pub enclosures: Vec<Enclosure>,
    /// The page for comments.
    pub comments: Option<String>,
    /// The language of the item (BCP 47), where it differs from the document's.
    pub language: Option<String>,
    /// Where the document took it from.
    pub origin: Option<Origin>,
}

/// HTML that is safe to show: it came out of `feeds::clean`, or out of the store where that was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CleanHtml(String);

impl CleanHtml {
    /// Takes what the cleaner made, or what the store kept of it. Only those two may call this.
    pub(crate) fn from_cleaner(html: String) -> Self {
        Self(html)
    }

    /// The HTML.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The place of an entry in all streams, and its name: it never changes as long as the entry is kept.
///
/// Ordered as streams are: by time, then feed, then number. Prints as 32 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryKey {
    /// The place in the stream.
    pub listed_at: Timestamp,
    /// The feed.
    pub feed: FeedId,
    /// The number within the feed, in order of first sight.
    pub seq: u32,
}

impl fmt::Display for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:08x}{:08x}", self.listed_at.millis(), self.feed.0, self.seq)
    }
}

/// The text names no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the 32 hex digits of an entry")]
pub struct NoEntryKey;

impl FromStr for EntryKey {
    type Err = NoEntryKey;

    fn from_str(text: &str) -> Result<Self, NoEntryKey> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NoEntryKey);
        }
        let digits = |range| u64::from_str_radix(&text[range], 16).map_err(|_| NoEntryKey);
        Ok(Self {
            listed_at: Timestamp::from_millis(digits(0..16)?.cast_signed()),
            feed: FeedId(digits(16..24)? as u32),
            seq: digits(24..32)? as u32,
        })
    }
}

/// An entry as it is kept and republished: cleaned, with its place in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place and name.
    pub key: EntryKey,
    /// When the daemon first saw it.
    pub first_seen: Timestamp,
    /// The feed's own id for it; where it gave none, one made from link, or title and date.
    pub guid: String,
    /// The page that it stands for.
    pub link: Option<String>,
    /// The title as plain text; may be empty.
    pub title: String,
    /// Who wrote it.
    pub authors: Vec<Person>,
    /// When it was published; never in the future of its first sight.
    pub published: Option<Timestamp>,
    /// When it was last changed; never in the future of its first sight.
    pub updated: Option<Timestamp>,
    /// A short form.
    pub summary: Option<CleanHtml>,
    /// The long form.
    pub content: Option<CleanHtml>,
    /// Tags.
    pub categories: Vec<Category>,
    /// Files.
    pub enclosures: Vec<Enclosure>,
    /// The page for comments.
    pub comments: Option<String>,
    /// The language (BCP 47).
    pub language: Option<String>,
    /// Where the feed took it from.
    pub origin: Option<Origin>,
}

impl Entry {
    /// Atom's `updated`: the entry's, else published, else first seen.
    pub fn last_change(&self) -> Timestamp {
        self.updated.or(self.published).unwrap_or(self.first_seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_key_survives_its_text_form_and_sorts_like_it() {
        let key = |millis, feed, seq| EntryKey { listed_at: Timestamp::from_millis(millis), feed: FeedId(feed), seq };
        let keys = [key(0, 0, 1), key(0, 1, 0), key(1_795_379_832_123, 7, 9), key(1_795_379_832_124, 0, 0)];
        for pair in keys.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].to_string() < pair[1].to_string());
        }
        for k in keys {
            assert_eq!(k.to_string().parse(), Ok(k));
        }
        assert_eq!("zz".parse::<EntryKey>(), Err(NoEntryKey));
    }
}
