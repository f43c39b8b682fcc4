//! Lines of what is kept of lists, and of what is between the keeper and the voices.

use serde::{Deserialize, Serialize};

use super::entry::PersonLine;
use super::{Address, Bytes, Hex, Time, clean, time_of, times, words};
use crate::model::{
    Contact, ContactKind, EntryKey, FeedId, FeedUrl, Hash64, HealthEvent, HealthKind, Link, ListEvent, ListEventKind,
    Notice, NoticeKind, Webmention, WebmentionKind,
};

words!(ListEventWord = ListEventKind { Joined, Left, BecameFollower });
words!(HealthWord = HealthKind { Broken, Quarantined, Gone, Moved, Found, Silent, Back, ListUnreadable, ListReadable });
words!(ContactWord = ContactKind { Thanked, Commented, Shared });
words!(
    NoticeWord = NoticeKind { FirstHeard, FellSilent, CameBack, Neglected, Conversation, Bridge, Newcomer, Follower }
);
words!(WebmentionWord = WebmentionKind { Reply, Like, Repost, Mention });

/// The last good content of a list.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::store) struct ContentLine {
    name: String,
    content: Bytes,
}

impl ContentLine {
    /// `None` where credentials cannot be cut out.
    pub(in crate::store) fn of(name: String, content: Vec<u8>) -> Option<Self> {
        Some(Self { name, content: Bytes::without_credentials(content)? })
    }

    pub(in crate::store) fn content(self) -> Result<(String, Vec<u8>), String> {
        Ok((self.name, self.content.bytes()?))
    }
}

/// What happened in a list.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::store) struct ListEventLine {
    at: Time,
    /// Its number among those of its instant.
    pub(in crate::store) number: u32,
    what: ListEventWord,
    list: String,
    voice: String,
    feeds: Vec<Address>,
}

impl ListEventLine {
    pub(in crate::store) fn of(event: ListEvent, number: u32) -> Self {
        Self {
            at: Time(event.at),
            number,
            what: event.kind.into(),
            list: event.list,
            voice: event.voice,
            feeds: event.feeds.into_iter().map(Address).collect(),
        }
    }

    pub(in crate::store) fn event(self) -> ListEvent {
        ListEvent {
            at: self.at.0,
            kind: self.what.into(),
            list: self.list,
            voice: self.voice,
            feeds: self.feeds.into_iter().map(|url| url.0).collect(),
        }
    }
}

/// A path that a voice had.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::store) struct PathLine {
    pub(in crate::store) path: String,
    pub(in crate::store) feed: Address,
}

/// A key of something.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::store) struct KeyLine {
    feed: u32,
    listed_at: Time,
    number: u32,
}

impl From<EntryKey> for KeyLine {
    fn from(key: EntryKey) -> Self {
        Self { feed: key.feed.0, listed_at: Time(key.listed_at), number: key.seq }
    }
}

impl From<KeyLine> for EntryKey {
    fn from(key: KeyLine) -> Self {
        Self { feed: FeedId(key.feed), listed_at: key.listed_at.0, seq: key.number }
    }
}

/// What happened to a feed, or to a list itself.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::store) struct FeedEventLine {
    key: KeyLine,
    what: HealthWord,
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<String>,
    title: String,
    text: String,
}

impl FeedEventLine {
    pub(in crate::store) fn of(event: HealthEvent) -> Self {
        let text = event.text.as_str().to_owned();
        Self { key: event.key.into(), what: event.kind.into(), list: event.list, title: event.title, text }
    }

    pub(in crate::store) fn event(self) -> HealthEvent {
        HealthEvent {
            key: self.key.into(),
            kind: self.what.into(),
            list: self.list,
            title: self.title,
            text: clean(self.text),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkLine {
    page: Hex,
    prefixes: Vec<u32>,
}

/// Contact that was recorded by hand.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::store) struct ContactLine {
    at: Time,
    /// Its number among those of its instant.
    pub(in crate::store) number: u32,
    what: ContactWord,
    note: String,
    about: KeyLine,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<LinkLine>,
    title: String,
    /// The address of the feed that it was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::store) feed: Option<Address>,
}

impl ContactLine {
    pub(in crate::store) fn of(contact: Contact, number: u32, feed: Option<FeedUrl>) -> Self {
        let by = contact.by.map(|link| LinkLine { page: Hex(link.page), prefixes: link.prefixes().to_vec() });
        Self {
            at: Time(contact.at),
            number,
            what: contact.kind.into(),
            note: contact.note,
            about: contact.about.into(),
            by,
            title: contact.title,
            feed: feed.map(Address),
        }
    }

    pub(in crate::store) fn contact(self) -> Contact {
        Contact {
            at: self.at.0,
            kind: self.what.into(),
            note: self.note,
            about: self.about.into(),
            by: self.by.map(|link| Link::from_parts(link.page.0, &link.prefixes)),
            title: self.title,
        }
    }
}

/// What was told of what came true.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::store) struct NoticeLine {
    key: KeyLine,
    what: NoticeWord,
    mark: Hex,
    title: String,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    about: Vec<u32>,
}

impl NoticeLine {
    pub(in crate::store) fn of(notice: Notice) -> Self {
        Self {
            key: notice.key.into(),
            what: notice.kind.into(),
            mark: Hex(notice.mark.0),
            title: notice.title,
            text: notice.text.as_str().to_owned(),
            link: notice.link,
            about: notice.about.into_iter().map(|feed| feed.0).collect(),
        }
    }

    pub(in crate::store) fn notice(self) -> Notice {
        Notice {
            key: self.key.into(),
            kind: self.what.into(),
            mark: Hash64(self.mark.0),
            title: self.title,
            text: clean(self.text),
            link: self.link,
            about: self.about.into_iter().map(FeedId).collect(),
        }
    }
}

/// What must not be told again.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::store) struct ToldLine {
    pub(in crate::store) what: NoticeWord,
    pub(in crate::store) mark: Hex,
    pub(in crate::store) at: Time,
}

/// A verified Webmention.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::store) struct WebmentionLine {
    key: KeyLine,
    source: String,
    target: String,
    what: WebmentionWord,
    author: PersonLine,
    title: String,
    excerpt: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<Time>,
    verified: Time,
}

impl WebmentionLine {
    pub(in crate::store) fn of(webmention: Webmention) -> Self {
        Self {
            key: webmention.key.into(),
            source: webmention.source,
            target: webmention.target,
            what: webmention.kind.into(),
            author: webmention.author.into(),
            title: webmention.title,
            excerpt: webmention.excerpt.as_str().to_owned(),
            published: times(webmention.published),
            verified: Time(webmention.verified),
        }
    }

    pub(in crate::store) fn webmention(self) -> Webmention {
        Webmention {
            key: self.key.into(),
            source: self.source,
            target: self.target,
            kind: self.what.into(),
            author: self.author.into(),
            title: self.title,
            excerpt: clean(self.excerpt),
            published: time_of(self.published),
            verified: self.verified.0,
        }
    }
}
