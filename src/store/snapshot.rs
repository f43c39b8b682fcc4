//! A consistent view of everything stored, for as long as it is held.

use std::ops::Bound;
use std::sync::Arc;

use redb::ReadOnlyTable;

use super::blocks::Reader;
use super::engine::Engine;
use super::error::{Fault, StoreError};
use super::rows::Row;
use super::said;
use super::tables::{ENTRIES, EntryBytes, HealthBytes, LINKS, LinkBytes, MENTIONS, SAID, TEXTS, WEBMENTIONS};
use super::tables::{
    entry_bytes, entry_key, health_bytes, if_made, link_bytes, link_entry, place_bytes, stream_bounds,
};
use super::webmentions;
use crate::model::Entry;
use crate::model::{EntryKey, FeedId, Hash64, Link, Mention, Timestamp, Webmention};

/// At most so many feeds are named for one link: a link that more of them share is no article.
const MAX_FEEDS_OF_A_LINK: usize = 256;

/// Everything as it was when this was taken, whatever is written meanwhile.
///
/// Taking one costs microseconds. Pages of the file that it still needs cannot be reused, so it should live for a
/// request or a batch, not for hours. When the database had to be opened anew after a failure, older snapshots answer
/// with [`StoreError::Io`]: take another.
pub struct Snapshot {
    engine: Arc<Engine>,
    entries: ReadOnlyTable<&'static EntryBytes, &'static [u8]>,
    texts: ReadOnlyTable<u32, &'static [u8]>,
    links: ReadOnlyTable<&'static LinkBytes, i64>,
    // Made when they are first written to.
    said: Option<ReadOnlyTable<&'static EntryBytes, &'static [u8]>>,
    mentions: Option<ReadOnlyTable<&'static HealthBytes, &'static [u8]>>,
    webmentions: Option<ReadOnlyTable<&'static HealthBytes, &'static [u8]>>,
}

/// What a merge of streams needs to know of an entry before it shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The entry.
    pub key: EntryKey,
    /// When the daemon first saw it.
    pub first_seen: Timestamp,
    /// The hash of its comparable link, for [`Snapshot::same_link`].
    pub link: Option<Hash64>,
}

impl Snapshot {
    pub(super) fn take(engine: &Arc<Engine>) -> Result<Self, StoreError> {
        engine.read(|transaction| {
            Ok(Self {
                engine: Arc::clone(engine),
                entries: transaction.open_table(ENTRIES)?,
                texts: transaction.open_table(TEXTS)?,
                links: transaction.open_table(LINKS)?,
                said: if_made(&transaction, SAID)?,
                mentions: if_made(&transaction, MENTIONS)?,
                webmentions: if_made(&transaction, WEBMENTIONS)?,
            })
        })
    }

    /// At most `max` entries of a feed, newest first, all of them behind `before` in the order of streams.
    ///
    /// To merge many streams, ask for few [`heads`](Self::heads) at a time and for the text of what is shown.
    pub fn entries(&self, feed: FeedId, before: Option<EntryKey>, max: usize) -> Result<Vec<Entry>, StoreError> {
        let mut reader = Reader::new();
        self.stream(feed, before, max, |key, value| reader.entry(&self.texts, key, value))
    }

    /// The same entries as [`entries`](Self::entries), without their text: nothing is unpacked.
    pub fn heads(&self, feed: FeedId, before: Option<EntryKey>, max: usize) -> Result<Vec<Head>, StoreError> {
        self.stream(feed, before, max, |key, value| {
            let row = Row::read(key, value)?;
            Ok(Head { key, first_seen: row.first_seen, link: row.link })
        })
    }

    fn stream<T>(
        &self,
        feed: FeedId,
        before: Option<EntryKey>,
        max: usize,
        mut read: impl FnMut(EntryKey, &[u8]) -> Result<T, Fault>,
    ) -> Result<Vec<T>, StoreError> {
        let (first, last) = stream_bounds(feed);
        let end = match before {
            None => Bound::Included(last),
            Some(before) => Bound::Excluded(match feed.cmp(&before.feed) {
                // At the same instant, smaller feeds come before `before` and larger ones after it.
                std::cmp::Ordering::Less => place_bytes(feed.0, before.listed_at, u32::MAX),
                std::cmp::Ordering::Equal => entry_bytes(before),
                std::cmp::Ordering::Greater => place_bytes(feed.0, before.listed_at, 0),
            }),
        };
        self.engine.contained(|| {
            let range = (Bound::Included(&first), end.as_ref());
            let mut found = Vec::with_capacity(max.min(512));
            for row in self.entries.range::<&EntryBytes>(range)?.rev().take(max) {
                let (place, value) = row?;
                found.push(read(entry_key(place.value()), value.value())?);
            }
            Ok(found)
        })
    }

    /// An entry by its name; `None` where it is not, or no longer, stored.
    pub fn entry(&self, key: EntryKey) -> Result<Option<Entry>, StoreError> {
        self.engine.contained(|| {
            let value = self.entries.get(&entry_bytes(key))?;
            value.map(|value| Reader::new().entry(&self.texts, key, value.value())).transpose()
        })
    }

    /// Entries by their names, in the order asked for; what is not, or no longer, stored is left out.
    pub fn entries_of(&self, keys: &[EntryKey]) -> Result<Vec<Entry>, StoreError> {
        let mut reader = Reader::new();
        self.engine.contained(|| {
            let mut rows = Vec::with_capacity(keys.len());
            for (at, &key) in keys.iter().enumerate() {
                if let Some(value) = self.entries.get(&entry_bytes(key))? {
                    rows.push((Row::read(key, value.value())?.place(), at, value));
                }
            }
            // Each block is unpacked once.
            rows.sort_unstable_by_key(|(place, at, _)| (*place, *at));
            let mut found = vec![None; keys.len()];
            for (_, at, value) in rows {
                found[at] = Some(reader.entry(&self.texts, keys[at], value.value())?);
            }
            Ok(found.into_iter().flatten().collect())
        })
    }

    /// Which feeds have an entry with this comparable link: of each feed the one that stands first in its stream, and
    /// when that was first seen. By feed, at most 256.
    pub fn same_link(&self, link: Hash64) -> Result<Vec<(EntryKey, Timestamp)>, StoreError> {
        self.engine.contained(|| {
            let last = link_bytes(link, &[0xFF; 16]);
            let mut from = link_bytes(link, &[0; 16]);
            let mut found: Vec<(EntryKey, Timestamp)> = Vec::new();
            'seek: loop {
                for row in self.links.range::<&LinkBytes>(&from..=&last)? {
                    let (place, first_seen) = row?;
                    let key = link_entry(place.value());
                    if found.last().is_some_and(|(seen, _)| seen.feed == key.feed) {
                        // A feed may have any number of entries with one link: go on at the next feed.
                        let Some(next) = key.feed.0.checked_add(1) else { break 'seek };
                        from = link_bytes(link, &place_bytes(next, Timestamp::MIN, 0));
                        continue 'seek;
                    }
                    if found.len() == MAX_FEEDS_OF_A_LINK {
                        break 'seek;
                    }
                    found.push((key, Timestamp::from_millis(first_seen.value())));
                }
                break;
            }
            Ok(found)
        })
    }

    /// Calls `look` with what each entry of a feed links to, newest first, from those that stand at `until` or before in
    /// the stream down to those at `since`; entries without links are left out. `look` says whether to go on.
    pub fn links(
        &self,
        feed: FeedId,
        since: Timestamp,
        until: Timestamp,
        mut look: impl FnMut(EntryKey, &[Link]) -> bool,
    ) -> Result<(), StoreError> {
        self.engine.contained(|| {
            let (first, last) = (place_bytes(feed.0, since, 0), place_bytes(feed.0, until, u32::MAX));
            let (mut reader, mut links) = (Reader::new(), Vec::new());
            for row in self.entries.range::<&EntryBytes>(&first..=&last)?.rev() {
                let (place, value) = row?;
                let key = entry_key(place.value());
                let row = Row::read(key, value.value())?;
                said::links_of(&mut reader, &self.texts, self.said.as_ref(), key, &row, &mut links)?;
                if !links.is_empty() && !look(key, &links) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// What speaks of you: at most `max` behind `before`, newest first.
    pub fn mentions(&self, before: Option<EntryKey>, max: usize) -> Result<Vec<(EntryKey, Mention)>, StoreError> {
        let Some(mentions) = &self.mentions else { return Ok(Vec::new()) };
        self.engine.contained(|| said::latest(mentions, before, max))
    }

    /// Whether, and how, an entry or a Webmention speaks of you.
    pub fn mention(&self, key: EntryKey) -> Result<Option<Mention>, StoreError> {
        let Some(mentions) = &self.mentions else { return Ok(None) };
        self.engine.contained(|| {
            let value = mentions.get(&health_bytes(key))?;
            value.map(|value| said::mention_of(key, value.value())).transpose()
        })
    }

    /// The Webmention of a key.
    pub fn webmention(&self, key: EntryKey) -> Result<Option<Webmention>, StoreError> {
        let Some(table) = &self.webmentions else { return Ok(None) };
        self.engine.contained(|| webmentions::get(table, key))
    }

    /// A feed's first entry that stands at or after an instant in the stream.
    pub fn first_since(&self, feed: FeedId, since: Timestamp) -> Result<Option<EntryKey>, StoreError> {
        self.engine.contained(|| {
            let (_, last) = stream_bounds(feed);
            let first = place_bytes(feed.0, since, 0);
            let found = self.entries.range::<&EntryBytes>(&first..=&last)?.next().transpose()?;
            Ok(found.map(|(place, _)| entry_key(place.value())))
        })
    }

    /// At most `max` entries behind `after`, feed by feed and oldest first: everything, for an export. Begin with
    /// `None` and go on with the last key until nothing comes.
    pub fn all_entries(&self, after: Option<EntryKey>, max: usize) -> Result<Vec<Entry>, StoreError> {
        let mut reader = Reader::new();
        self.engine.contained(|| {
            let start = after.map(entry_bytes);
            let start = start.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut found = Vec::with_capacity(max.min(512));
            for row in self.entries.range::<&EntryBytes>((start, Bound::Unbounded))?.take(max) {
                let (place, value) = row?;
                found.push(reader.entry(&self.texts, entry_key(place.value()), value.value())?);
            }
            Ok(found)
        })
    }
}
