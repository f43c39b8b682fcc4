//! Contact that was recorded by hand: it outlives the entries that it answers, and the feeds that they came by.

use std::collections::HashMap;

use redb::{ReadTransaction, ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::error::Fault;
use super::records::{FeedRecord, decode, encode, stored_url};
use super::tables::{CONTACTS, FEEDS, URLS, event_bytes, event_key, health_bytes, health_key, if_made};
use crate::model::{Contact, ContactKind, EntryKey, FeedId, FeedUrl, Link};

/// A value of `contacts`.
#[derive(Serialize, Deserialize)]
struct ContactRecord<'a> {
    /// In the order of `ContactKind::ALL`.
    kind: u8,
    note: &'a str,
    /// As a key of `health`.
    about: [u8; 16],
    by: Option<LinkRecord>,
    title: &'a str,
    /// The address of the feed that the answered entry came by, where there is one: with it the contact is found again
    /// when the feed has left all lists, and comes back under another number.
    feed: Option<&'a str>,
}

/// A link.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct LinkRecord {
    page: u64,
    prefixes: [u32; Link::MAX_PREFIXES],
    depth: u8,
}

impl LinkRecord {
    fn of(link: &Link) -> Self {
        let mut prefixes = [0; Link::MAX_PREFIXES];
        prefixes[..link.prefixes().len()].copy_from_slice(link.prefixes());
        Self { page: link.page, prefixes, depth: link.prefixes().len() as u8 }
    }

    fn link(self) -> Link {
        Link::from_parts(self.page, &self.prefixes[..usize::from(self.depth).min(self.prefixes.len())])
    }
}

/// The value of a contact; `feed` is the address of the feed that it is about.
fn value(contact: &Contact, feed: Option<&str>) -> Vec<u8> {
    let kind = ContactKind::ALL.iter().position(|kind| *kind == contact.kind).unwrap_or_default();
    encode(&ContactRecord {
        kind: kind as u8,
        note: &contact.note,
        about: health_bytes(contact.about),
        by: contact.by.as_ref().map(LinkRecord::of),
        title: &contact.title,
        feed,
    })
}

/// A contact as it is stored.
pub(super) struct Row {
    /// Its number among those of its instant.
    pub(super) number: u32,
    pub(super) contact: Contact,
    /// The address of the feed that it is about.
    pub(super) feed: Option<FeedUrl>,
}

impl Row {
    /// Reads a row of `contacts`.
    pub(super) fn read(key: &[u8; 12], value: &[u8]) -> Result<Self, Fault> {
        let record: ContactRecord<'_> = decode(value, "record of a contact")?;
        let kind = ContactKind::ALL.get(usize::from(record.kind)).copied();
        let (at, number) = event_key(key);
        let contact = Contact {
            at,
            kind: kind.ok_or_else(|| Fault::Unreadable(format!("a contact has the unknown kind {}", record.kind)))?,
            note: record.note.to_owned(),
            about: health_key(&record.about),
            by: record.by.map(LinkRecord::link),
            title: record.title.to_owned(),
        };
        Ok(Self { number, contact, feed: record.feed.map(stored_url).transpose()? })
    }

    /// Stores it as it is; whether its place was free.
    pub(super) fn store(&self, transaction: &WriteTransaction) -> Result<bool, Fault> {
        let mut table = transaction.open_table(CONTACTS)?;
        let value = value(&self.contact, self.feed.as_ref().map(FeedUrl::as_str));
        Ok(table.insert(&event_bytes(self.contact.at, self.number), value.as_slice())?.is_none())
    }
}

/// Adds a contact behind those of its instant. Adding it a second time changes nothing.
pub(super) fn add(transaction: &WriteTransaction, contact: &Contact) -> Result<(), Fault> {
    let feed = match transaction.open_table(FEEDS)?.get(contact.about.feed.0)? {
        Some(record) => Some(FeedRecord::read(record.value())?.url().to_owned()),
        None => None,
    };
    let mut table = transaction.open_table(CONTACTS)?;
    let record = value(contact, feed.as_deref());
    let mut n = 0;
    for row in table.range::<&[u8; 12]>(&event_bytes(contact.at, 0)..=&event_bytes(contact.at, u32::MAX))? {
        let (key, value) = row?;
        // Repeated after a failure in its last step.
        if value.value() == record {
            return Ok(());
        }
        n = event_key(key.value()).1.saturating_add(1);
    }
    table.insert(&event_bytes(contact.at, n), record.as_slice())?;
    Ok(())
}

/// All contacts, oldest first. What was about a feed that is no longer stored is about the one that has its address now.
pub(super) fn all(transaction: &ReadTransaction) -> Result<Vec<Contact>, Fault> {
    let Some(table) = if_made(transaction, CONTACTS)? else { return Ok(Vec::new()) };
    let (feeds, urls) = (transaction.open_table(FEEDS)?, transaction.open_table(URLS)?);
    let mut now: HashMap<FeedId, FeedId> = HashMap::new();
    let mut contacts = Vec::new();
    for row in table.iter()? {
        let (key, value) = row?;
        let Row { mut contact, feed, .. } = Row::read(key.value(), value.value())?;
        if let Some(url) = feed {
            let was = contact.about.feed;
            contact.about.feed = match now.get(&was) {
                Some(feed) => *feed,
                None if feeds.get(was.0)?.is_some() => was,
                None => urls.get(url.as_str())?.map_or(was, |id| FeedId(id.value())),
            };
            now.insert(was, contact.about.feed);
        }
        contacts.push(contact);
    }
    Ok(contacts)
}

/// Two feeds have become one: contact with the one was contact with the other.
pub(super) fn follow(transaction: &WriteTransaction, loser: FeedId, winner: FeedId) -> Result<(), Fault> {
    let mut table = transaction.open_table(CONTACTS)?;
    let mut moved = Vec::new();
    for row in table.iter()? {
        let (key, value) = row?;
        let record: ContactRecord<'_> = decode(value.value(), "record of a contact")?;
        let about = health_key(&record.about);
        if about.feed == loser {
            let about = health_bytes(EntryKey { feed: winner, ..about });
            moved.push((*key.value(), encode(&ContactRecord { about, ..record })));
        }
    }
    for (key, value) in moved {
        table.insert(&key, value.as_slice())?;
    }
    Ok(())
}
