//! What a group of finished polls changes, in one transaction.

use std::borrow::Cow;
use std::collections::HashMap;

use redb::{ReadableTable, Table, WriteTransaction};

use super::blocks::{Blocks, Reader, Record, TextPlace};
use super::error::Fault;
use super::health;
use super::identities::{self, Held};
use super::journal::FeedState;
use super::records::{CountRecord, FeedRecord, decode, encode, encode_state};
use super::rows::{self, Row};
use super::said::links_bytes;
use super::tables::{COUNTS, ENTRIES, EntryBytes, FEEDS, HealthBytes, LINKS, LinkBytes, MENTIONS, SAID, STATES, TEXTS};
use super::tables::{entry_bytes, link_bytes};
use super::text;
use crate::model::{Change, Entry, EntryKey, Feed, FeedId, Hash64, HealthEvent, Known, Said};

/// What one finished poll brings: the feed as it is from now on, and what became of its entries.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedUpdate {
    /// The feed after the poll: its schedule, validators and description. The store counts by itself: `entries`,
    /// `newest` and `next_seq` go out, not in.
    pub feed: Feed,
    /// New and changed entries; empty when nothing but the schedule changed.
    pub changes: Vec<Change>,
    /// What the new and changed entries, and others of the feed, say of others: each in place of what was kept.
    pub said: Vec<Said>,
    /// What happened to the feed itself.
    pub events: Vec<HealthEvent>,
}

/// Stores states of feeds, each in place of what was stored, and leaves out feeds that are not stored (any more).
pub(super) fn apply_states(transaction: &WriteTransaction, updates: &[FeedState]) -> Result<(), Fault> {
    if updates.is_empty() {
        return Ok(());
    }
    let mut states = transaction.open_table(STATES)?;
    for FeedState { feed, bytes } in updates {
        // Every feed has a state from its first day on, so that one call tells whether it is stored.
        if states.insert(feed.0, bytes.as_slice())?.is_none() {
            states.remove(feed.0)?;
        }
    }
    Ok(())
}

/// The bytes of an update, made before the transaction begins so that it is short.
pub(super) struct Encoded {
    feed: Vec<u8>,
    state: Vec<u8>,
    /// The record of each change that brings a text.
    texts: Vec<Option<Vec<u8>>>,
}

/// Encodes updates, in their order.
pub(super) fn encode_all(updates: &[FeedUpdate]) -> Vec<Encoded> {
    updates
        .iter()
        .map(|FeedUpdate { feed, changes, .. }| Encoded {
            feed: FeedRecord::of(feed).bytes(),
            state: encode_state(feed),
            texts: changes
                .iter()
                .map(|Change { now, entry, .. }| {
                    let key = EntryKey { feed: feed.id, listed_at: now.listed_at, seq: now.seq };
                    entry.as_ref().map(|entry| text::record(key, entry))
                })
                .collect(),
        })
        .collect()
}

/// Stores updates; what they count to now, in their order. `None` for a feed that is not stored (any more): nothing
/// of its update is kept.
pub(super) fn apply_all(
    transaction: &WriteTransaction,
    updates: &[FeedUpdate],
    encoded: &[Encoded],
) -> Result<Vec<Option<CountRecord>>, Fault> {
    let mut feeds = transaction.open_table(FEEDS)?;
    let mut states = transaction.open_table(STATES)?;
    let mut counts = transaction.open_table(COUNTS)?;
    // Most commits of a quiet hour bring schedules only.
    let bring_news = updates.iter().any(|update| !update.changes.is_empty() || !update.said.is_empty());
    let mut streams = bring_news.then(|| Streams::open(transaction)).transpose()?;
    let mut counted = Vec::with_capacity(updates.len());
    let mut coming = Vec::new();
    for (update, bytes) in updates.iter().zip(encoded) {
        let id = update.feed.id;
        let Some(same) = feeds.get(id.0)?.map(|stored| stored.value() == bytes.feed) else {
            counted.push(None);
            continue;
        };
        if !same {
            feeds.insert(id.0, bytes.feed.as_slice())?;
        }
        states.insert(id.0, bytes.state.as_slice())?;
        let before = match counts.get(id.0)? {
            Some(stored) => decode(stored.value(), "count of a feed")?,
            None => CountRecord::default(),
        };
        let mut count = before;
        if let Some(streams) = &mut streams {
            streams.recognise(update, &bytes.texts, &mut count, &mut coming)?;
        }
        health::add(transaction, &update.events)?;
        counted.push(Some((before, count)));
    }
    if let Some(streams) = &mut streams {
        let new = streams.store(coming)?;
        for (update, counted) in updates.iter().zip(&mut counted) {
            let Some((before, count)) = counted else { continue };
            let id = update.feed.id;
            let new = new.get(&id).copied().unwrap_or_default();
            count.entries += new.entries;
            count.newest = count.newest.max(new.newest);
            if count != before {
                counts.insert(id.0, encode(count).as_slice())?;
            }
            streams.keep_said(&update.said)?;
        }
    }
    Ok(counted.into_iter().map(|counted| counted.map(|(_, count)| count)).collect())
}

/// The tables that hold entries and what is known of them.
pub(super) struct Streams<'a> {
    pub(super) entries: Table<'a, &'static EntryBytes, &'static [u8]>,
    pub(super) texts: Blocks<'a>,
    pub(super) identities: identities::Written<'a>,
    pub(super) links: Table<'a, &'static LinkBytes, i64>,
    pub(super) said: Table<'a, &'static EntryBytes, &'static [u8]>,
    pub(super) mentions: Table<'a, &'static HealthBytes, &'static [u8]>,
}

/// An entry whose text is going to be stored.
struct Coming<'u> {
    entry: &'u Entry,
    key: EntryKey,
    link: Option<Hash64>,
    record: Record<'u>,
}

/// What is new of a feed.
#[derive(Clone, Copy, Default)]
struct New {
    entries: u32,
    /// The place of the newest, in milliseconds.
    newest: Option<i64>,
}

impl<'a> Streams<'a> {
    /// The tables of a transaction.
    pub(super) fn open(transaction: &'a WriteTransaction) -> Result<Self, Fault> {
        Ok(Self {
            entries: transaction.open_table(ENTRIES)?,
            texts: Blocks::of(transaction.open_table(TEXTS)?),
            identities: identities::Written::of(transaction)?,
            links: transaction.open_table(LINKS)?,
            said: transaction.open_table(SAID)?,
            mentions: transaction.open_table(MENTIONS)?,
        })
    }

    /// Removes entries that are stored, with their texts and what they say; what they are recognised by stays.
    pub(super) fn remove(&mut self, keys: &[EntryKey]) -> Result<(), Fault> {
        let mut texts = Vec::with_capacity(keys.len());
        for &key in keys {
            let place = entry_bytes(key);
            let link = {
                let Some(value) = self.entries.remove(&place)? else { continue };
                let row = Row::read(key, value.value())?;
                texts.extend(row.place());
                row.link
            };
            if let Some(link) = link {
                self.links.remove(&link_bytes(link, &place))?;
            }
            self.forget_said(key)?;
        }
        self.release(&texts)
    }

    /// Gives up texts, and blocks of which little is left.
    pub(super) fn release(&mut self, texts: &[TextPlace]) -> Result<(), Fault> {
        if texts.is_empty() {
            return Ok(());
        }
        let sparse = self.texts.release(texts)?;
        let mut left = Vec::new();
        for block in sparse {
            for (key, place, record) in self.texts.records(block)? {
                let value = self.entries.get(&entry_bytes(key))?.map(|value| value.value().to_vec());
                let Some(value) = value else { continue };
                if Row::read(key, &value)?.place() == Some(place) {
                    left.push((record, key));
                }
            }
        }
        let moved = self.relocate(&left)?;
        // All of them are gone from their blocks, and the blocks with them.
        self.texts.release(&moved).map(drop)
    }

    /// Puts texts of stored entries to the end; where they were.
    pub(super) fn relocate(&mut self, moving: &[(Record<'_>, EntryKey)]) -> Result<Vec<TextPlace>, Fault> {
        let records: Vec<&Record<'_>> = moving.iter().map(|(record, _)| record).collect();
        let places = self.texts.add(&records)?;
        let mut before = Vec::with_capacity(moving.len());
        for ((_, key), place) in moving.iter().zip(places) {
            let bytes = entry_bytes(*key);
            let Some(value) = self.entries.get(&bytes)?.map(|value| value.value().to_vec()) else { continue };
            let row = Row::read(*key, &value)?;
            before.extend(row.place());
            self.entries.insert(&bytes, rows::value(row.first_seen, row.link, place).as_slice())?;
        }
        Ok(before)
    }

    /// Stores by what the changed entries of a feed are recognised, and says what is coming of them. Doing it a second time
    /// changes nothing.
    fn recognise<'u>(
        &mut self,
        update: &'u FeedUpdate,
        records: &'u [Option<Vec<u8>>],
        count: &mut CountRecord,
        coming: &mut Vec<Coming<'u>>,
    ) -> Result<(), Fault> {
        let FeedUpdate { feed: Feed { id: feed, .. }, changes, said, .. } = update;
        let feed = *feed;
        let seqs = changes.iter().map(|change| change.now.seq);
        let recognised: Vec<_> = self.identities.change(feed, seqs, |held| {
            changes.iter().map(|change| identify(feed, change, held, count)).collect::<Result<_, _>>()
        })?;
        let said: HashMap<EntryKey, &Said> = said.iter().map(|said| (said.key, said)).collect();
        for ((change, record), (now, stored)) in changes.iter().zip(records).zip(recognised) {
            if now.purged {
                continue;
            }
            let key = EntryKey { feed, listed_at: now.listed_at, seq: now.seq };
            self.keep_link(key, stored.and_then(|stored| stored.link), &now)?;
            let (Some(entry), Some(record)) = (&change.entry, record) else { continue };
            let record = Record { text: Cow::Borrowed(record), links: Vec::new() };
            let mut new = Coming { entry, key, link: now.link, record };
            if let Some(stored) = stored {
                self.look_at_stored(&mut new, stored.guid != now.guid)?;
            }
            if let Some(said) = said.get(&key) {
                new.record.links = links_bytes(&said.links);
            }
            coming.push(new);
        }
        Ok(())
    }

    /// Stores what is coming; how much of it is new, by feed.
    fn store(&mut self, mut coming: Vec<Coming<'_>>) -> Result<HashMap<FeedId, New>, Fault> {
        coming.sort_by_key(|coming| entry_bytes(coming.key));
        let records: Vec<&Record<'_>> = coming.iter().map(|coming| &coming.record).collect();
        let places = self.texts.add(&records)?;
        let mut all: HashMap<FeedId, New> = HashMap::new();
        let mut before = Vec::new();
        for (Coming { entry, key, link, .. }, place) in coming.iter().zip(places) {
            let row = rows::value(entry.first_seen, *link, place);
            if let Some(old) = self.entries.insert(&entry_bytes(*key), row.as_slice())? {
                before.extend(Row::read(*key, old.value())?.place());
            } else {
                let new = all.entry(key.feed).or_default();
                new.entries += 1;
                new.newest = new.newest.max(Some(key.listed_at.millis()));
            }
        }
        self.release(&before)?;
        Ok(all)
    }

    /// Keeps entries findable by the page they stand for.
    fn keep_link(&mut self, key: EntryKey, before: Option<Hash64>, now: &Known) -> Result<(), Fault> {
        if before == now.link {
            return Ok(());
        }
        let place = entry_bytes(key);
        if let Some(before) = before {
            self.links.remove(&link_bytes(before, &place))?;
        }
        if let Some(link) = now.link {
            self.links.insert(&link_bytes(link, &place), now.first_seen.millis())?;
        }
        Ok(())
    }

    /// Takes over what stays of an entry that is stored and now changes: its links, until others come, and, if it comes
    /// under another guid, the one that it was first published with: to its readers, a site that gives all its entries new
    /// guids must not make all of them new.
    fn look_at_stored(&self, new: &mut Coming<'_>, is_renamed: bool) -> Result<(), Fault> {
        let place = entry_bytes(new.key);
        let Some(value) = self.entries.get(&place)? else { return Ok(()) };
        let (row, mut reader) = (Row::read(new.key, value.value())?, Reader::new());
        new.record.links = self.links_in(&mut reader, new.key, &row)?;
        if is_renamed {
            let guid = reader.entry(self.texts.table(), new.key, value.value())?.guid;
            new.record.text = Cow::Owned(text::record(new.key, &Entry { guid, ..new.entry.clone() }));
        }
        Ok(())
    }
}

/// Stores the identity of a changed entry: as it is from now on, and as it was stored.
fn identify(
    feed: FeedId,
    change: &Change,
    held: &mut Held,
    count: &mut CountRecord,
) -> Result<(Known, Option<Known>), Fault> {
    let mut now = change.now;
    let stored = held.get(now.seq);
    match stored {
        Some(stored) => {
            let other_entry = change.was.is_none() && stored.guid != now.guid;
            if other_entry || stored.listed_at != now.listed_at {
                return Err(Fault::Conflict(feed));
            }
            // Retention may have come between reading the feed and this commit; it has the last word.
            now.purged |= stored.purged;
        }
        // Retention has forgotten it in between: what is old does not become new.
        None => now.purged |= change.was.is_some(),
    }
    held.put(now);
    count.next_seq = count.next_seq.max(now.seq.saturating_add(1));
    count.purged += u32::from(now.purged && !stored.is_some_and(|stored| stored.purged));
    Ok((now, stored))
}
