//! What a group of finished polls changes, in one transaction.

use redb::{ReadableTable, Table, WriteTransaction};

use super::error::Fault;
use super::health;
use super::journal::FeedState;
use super::packing::{Packer, Unpacker};
use super::records::{CountRecord, FeedRecord, decode, encode, encode_state, known_of, known_value};
use super::tables::{COUNTS, ENTRIES, EntryBytes, FEEDS, HealthBytes, KNOWN, LINKS, LinkBytes, MENTIONS, SAID, STATES};
use super::tables::{entry_bytes, entry_key, known_bytes, link_bytes, place_bytes};
use super::text;
use crate::model::{Change, Entry, EntryKey, Feed, FeedId, Hash64, HealthEvent, Known, Said, Timestamp};

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
    /// One for each change that brings a text.
    texts: Vec<Option<Vec<u8>>>,
}

/// Encodes updates, in their order.
pub(super) fn encode_all(updates: &[FeedUpdate]) -> Vec<Encoded> {
    let mut packer = None;
    updates
        .iter()
        .map(|FeedUpdate { feed, changes, .. }| Encoded {
            feed: FeedRecord::of(feed).bytes(),
            state: encode_state(feed),
            texts: changes
                .iter()
                .map(|change| {
                    let entry = change.entry.as_ref()?;
                    Some(text::pack(packer.get_or_insert_with(Packer::new), entry, change.now.link))
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
            let changes: Vec<_> = update.changes.iter().zip(&bytes.texts).collect();
            for (change, text) in filling_pages(&changes, |(change, _)| (change.now.listed_at, change.now.seq)) {
                streams.apply(id, change, text.as_deref(), &mut count)?;
            }
            let said: Vec<_> = update.said.iter().collect();
            streams.keep_said(filling_pages(&said, |said| (said.key.listed_at, said.key.seq)))?;
        }
        if count != before {
            counts.insert(id.0, encode(&count).as_slice())?;
        }
        health::add(transaction, &update.events)?;
        counted.push(Some(count));
    }
    Ok(counted)
}

/// The rows of one feed in an order that leaves the pages of the file well filled: as they stand in the stream, each
/// third one after all others.
///
/// A page that is full is split in halves. Newest first, as documents have them, each split leaves a half empty page
/// behind for good: 45 % of the pages' room was used, and 2,050 bytes of file for an entry of 900. In the order of the
/// stream, with a third of the rows later, into the room that is left, it is 62 %.
fn filling_pages<T: Copy>(rows: &[T], place: impl Fn(&T) -> (Timestamp, u32)) -> impl Iterator<Item = T> {
    let mut rows = rows.to_vec();
    rows.sort_unstable_by_key(|row| place(row));
    let early = (0..rows.len()).filter(|n| n % 3 != 2);
    let late = (2..rows.len()).step_by(3);
    let order: Vec<usize> = early.chain(late).collect();
    order.into_iter().map(move |n| rows[n])
}

/// The tables that hold entries and what is known of them.
pub(super) struct Streams<'a> {
    pub(super) entries: Table<'a, &'static EntryBytes, &'static [u8]>,
    pub(super) known: Table<'a, &'static [u8; 8], &'static [u8; 46]>,
    pub(super) links: Table<'a, &'static LinkBytes, i64>,
    pub(super) said: Table<'a, &'static EntryBytes, &'static [u8]>,
    pub(super) mentions: Table<'a, &'static HealthBytes, &'static [u8]>,
}

impl<'a> Streams<'a> {
    /// The tables of a transaction.
    pub(super) fn open(transaction: &'a WriteTransaction) -> Result<Self, Fault> {
        Ok(Self {
            entries: transaction.open_table(ENTRIES)?,
            known: transaction.open_table(KNOWN)?,
            links: transaction.open_table(LINKS)?,
            said: transaction.open_table(SAID)?,
            mentions: transaction.open_table(MENTIONS)?,
        })
    }

    /// Removes an entry's text, and what it says; what it is recognised by stays.
    pub(super) fn remove_text(&mut self, key: EntryKey, link: Option<Hash64>) -> Result<(), Fault> {
        let place = entry_bytes(key);
        self.entries.remove(&place)?;
        if let Some(link) = link {
            self.links.remove(&link_bytes(link, &place))?;
        }
        self.forget_said(key)
    }

    /// Stores one change of a feed. Applying it a second time changes nothing.
    fn apply(
        &mut self,
        feed: FeedId,
        change: &Change,
        text: Option<&[u8]>,
        count: &mut CountRecord,
    ) -> Result<(), Fault> {
        let seq = change.now.seq;
        let row = known_bytes(feed, seq);
        // New entries are most of all: for them, one call stores the identity and tells whether there was one.
        let stored = if change.was.is_none() {
            self.known.insert(&row, &known_value(&change.now))?.map(|old| known_of(seq, old.value())).transpose()?
        } else {
            self.known.get(&row)?.map(|old| known_of(seq, old.value())).transpose()?
        };
        let mut now = change.now;
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
        if stored != Some(now) && (change.was.is_some() || now != change.now) {
            self.known.insert(&row, &known_value(&now))?;
        }
        count.next_seq = count.next_seq.max(seq.saturating_add(1));
        count.purged += u32::from(now.purged && !stored.is_some_and(|stored| stored.purged));

        let place = place_bytes(feed.0, now.listed_at, seq);
        if now.purged {
            return Ok(());
        }
        let old_link = stored.and_then(|stored: Known| stored.link);
        if old_link != now.link {
            if let Some(old) = old_link {
                self.links.remove(&link_bytes(old, &place))?;
            }
            if let Some(link) = now.link {
                self.links.insert(&link_bytes(link, &place), now.first_seen.millis())?;
            }
        }
        let renamed = match (stored, text) {
            (Some(stored), Some(text)) if stored.guid != now.guid => self.under_first_guid(&place, text)?,
            _ => None,
        };
        if let Some(text) = renamed.as_deref().or(text)
            && self.entries.insert(&place, text)?.is_none()
        {
            count.entries += 1;
            count.newest = count.newest.max(Some(now.listed_at.millis()));
        }
        Ok(())
    }

    /// The new text of an entry under the guid that it was first published with: to its readers, a site that gives all
    /// its entries new guids must not make all of them new. `None` where nothing is stored at its place.
    fn under_first_guid(&self, place: &EntryBytes, text: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let Some(before) = self.entries.get(place)? else { return Ok(None) };
        let (key, mut unpacker) = (entry_key(place), Unpacker::new());
        let guid = text::unpack(&mut unpacker, key, before.value())?.guid;
        let after = Entry { guid, ..text::unpack(&mut unpacker, key, text)? };
        Ok(Some(text::pack(&mut Packer::new(), &after, text::head(key, text)?.link)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_filled_in_the_order_of_the_stream_and_by_each_row_once() {
        for (rows, order) in [
            (&[][..], &[][..]),
            (&[4], &[4]),
            (&[5, 1, 3], &[1, 3, 5]),
            (&[8, 7, 6, 5, 4, 3, 2, 1], &[1, 2, 4, 5, 7, 8, 3, 6]),
        ] {
            let filled: Vec<u32> = filling_pages(rows, |row| (Timestamp::default(), *row)).collect();
            assert_eq!(filled, order);
        }
    }
}
