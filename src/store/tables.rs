//! The on-disk format, version 2: which tables there are, and how their keys are made.
//!
//! One redb file. Numbers inside keys are big-endian and instants have their sign bit flipped, so that bytes sort as
//! numbers do. Values are described in `records`, `rows`, `blocks`, `identities`, `said`, `kept`, `copies`, `websub`, `health` and `packing`; each begins
//! with a version byte of its own, except those of fixed width.
//!
//! | table | key | value | what |
//! | --- | --- | --- | --- |
//! | `meta` | name | u64 | `format`: the version of all this; `next_feed`: the number of the next new feed |
//! | `feeds` | feed u32 | feed record | what seldom changes: addresses, what the document says of itself |
//! | `states` | feed u32 | state record | what changes with each poll: schedule, validators, hash of the body |
//! | `counts` | feed u32 | count record | how many entries are stored, the newest one, the next number |
//! | `urls` | address as in an outline | feed u32 | finds a feed by its address, or by one of its aliases |
//! | `entries` | feed u32, listed at i64, number u32 | row of `rows` | one stream after the other, each in its order |
//! | `texts` | number u32 | block of `blocks` | the texts of entries, and where they link to |
//! | `identities` | feed u32, number u32 / 32 | row of `identities` | what entries are recognised by, also after their text is gone |
//! | `known` | feed u32, number u32 | 46 bytes | the same in files of version 1, until it changes |
//! | `links` | link hash u64, feed u32, listed at i64, number u32 | first seen i64 | entries by the page they stand for |
//! | `lists` | name | list record | the last good content of each list |
//! | `events` | at i64, number u32 | event record | what happened in the lists |
//! | `health` | at i64, feed u32, number u32 | health record | what happened to feeds and lists themselves |
//! | `paths` | path | address | paths that voices once had, and a feed of that voice |
//! | `hubs` | token of the callback | hub record | what is agreed with WebSub hubs |
//! | `copies` | address | copy record | the last good copies of remote lists |
//! | `said` | as in `entries` | links of `said` | where an entry links to whose row has its text |
//! | `mentions` | listed at i64, feed u32, number u32 | mention of `said` | entries and Webmentions that speak of the keeper |
//! | `heard` | name | 8 or 24 bytes | `walk`: by what stored entries were last heard, and up to where |
//! | `contacts` | at i64, number u32 | contact record | contact recorded by hand |
//! | `notices` | kind u8, at i64, feed u32, number u32 | notice record | what was told |
//! | `told` | kind u8, mark u64 | at i64 | what must not be told again |
//! | `webmentions` | received at i64, feed u32, number u32 | Webmention record | verified Webmentions |
//! | `sources` | 16 bytes of a SHA-256 of source and target | key of `webmentions` | finds a Webmention |
//!
//! `health` and what stands below it, but for `paths`, is made when it is first written to: files that are older lack it.
//! A purged entry has no row in `entries`, `links`, `said` and `mentions` any more, and keeps its identity.
//! New tables may be added under the same version; a change of what stands in one raises it. A file of version 1 becomes
//! one of version 2 when it is opened: what stands in it may stay as it is, and what is written is written anew.

use redb::TableDefinition;

use super::error::Fault;
use crate::model::{EntryKey, FeedId, Hash64, Timestamp};

/// The version of the format that this program writes, and the newest that it reads.
pub(super) const FORMAT: u64 = 2;
/// The oldest that it reads.
pub(super) const OLDEST_FORMAT: u64 = 1;

pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
pub(super) const FEEDS: TableDefinition<u32, &[u8]> = TableDefinition::new("feeds");
pub(super) const STATES: TableDefinition<u32, &[u8]> = TableDefinition::new("states");
pub(super) const COUNTS: TableDefinition<u32, &[u8]> = TableDefinition::new("counts");
pub(super) const URLS: TableDefinition<&str, u32> = TableDefinition::new("urls");
pub(super) const ENTRIES: TableDefinition<&EntryBytes, &[u8]> = TableDefinition::new("entries");
pub(super) const TEXTS: TableDefinition<u32, &[u8]> = TableDefinition::new("texts");
pub(super) const IDENTITIES: TableDefinition<&[u8; 8], &[u8]> = TableDefinition::new("identities");
pub(super) const KNOWN: TableDefinition<&[u8; 8], &[u8; 46]> = TableDefinition::new("known");
pub(super) const LINKS: TableDefinition<&LinkBytes, i64> = TableDefinition::new("links");
pub(super) const LISTS: TableDefinition<&str, &[u8]> = TableDefinition::new("lists");
pub(super) const EVENTS: TableDefinition<&[u8; 12], &[u8]> = TableDefinition::new("events");
pub(super) const HEALTH: TableDefinition<&HealthBytes, &[u8]> = TableDefinition::new("health");
pub(super) const PATHS: TableDefinition<&str, &str> = TableDefinition::new("paths");
pub(super) const HUBS: TableDefinition<&str, &[u8]> = TableDefinition::new("hubs");
pub(super) const COPIES: TableDefinition<&str, &[u8]> = TableDefinition::new("copies");

pub(super) const SAID: TableDefinition<&EntryBytes, &[u8]> = TableDefinition::new("said");
pub(super) const MENTIONS: TableDefinition<&HealthBytes, &[u8]> = TableDefinition::new("mentions");
pub(super) const HEARD: TableDefinition<&str, &[u8]> = TableDefinition::new("heard");
pub(super) const CONTACTS: TableDefinition<&[u8; 12], &[u8]> = TableDefinition::new("contacts");
pub(super) const NOTICES: TableDefinition<&[u8; 17], &[u8]> = TableDefinition::new("notices");
pub(super) const TOLD: TableDefinition<(u8, u64), i64> = TableDefinition::new("told");
pub(super) const WEBMENTIONS: TableDefinition<&HealthBytes, &[u8]> = TableDefinition::new("webmentions");
pub(super) const SOURCES: TableDefinition<&[u8; 16], &HealthBytes> = TableDefinition::new("sources");

/// The name of the format's version in `meta`.
pub(super) const META_FORMAT: &str = "format";
/// The name of the next feed's number in `meta`.
pub(super) const META_NEXT_FEED: &str = "next_feed";

/// Makes the tables that all files have, so that their readers never meet a missing one.
pub(super) fn create_all(transaction: &redb::WriteTransaction) -> Result<(), Fault> {
    transaction.open_table(META)?;
    transaction.open_table(FEEDS)?;
    transaction.open_table(STATES)?;
    transaction.open_table(COUNTS)?;
    transaction.open_table(URLS)?;
    transaction.open_table(ENTRIES)?;
    transaction.open_table(TEXTS)?;
    transaction.open_table(IDENTITIES)?;
    transaction.open_table(KNOWN)?;
    transaction.open_table(LINKS)?;
    transaction.open_table(LISTS)?;
    transaction.open_table(EVENTS)?;
    transaction.open_table(PATHS)?;
    Ok(())
}

/// A table that is made when it is first written to; `None` before.
pub(super) fn if_made<K: redb::Key, V: redb::Value>(
    transaction: &redb::ReadTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<Option<redb::ReadOnlyTable<K, V>>, Fault> {
    match transaction.open_table(table) {
        Ok(table) => Ok(Some(table)),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A key of `entries`.
pub(super) type EntryBytes = [u8; 16];
/// A key of `links`.
pub(super) type LinkBytes = [u8; 24];

/// A key of `health`.
pub(super) type HealthBytes = [u8; 16];

/// The bytes that sort as instants do.
fn time_bytes(time: Timestamp) -> [u8; 8] {
    (time.millis().cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

fn time_of(bytes: &[u8]) -> Timestamp {
    Timestamp::from_millis((u64_of(bytes) ^ (1 << 63)).cast_signed())
}

/// The first four bytes as a number; callers hand in parts of keys, which have them.
fn u32_of(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn u64_of(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// The key of an entry in `entries`.
pub(super) fn entry_bytes(key: EntryKey) -> EntryBytes {
    place_bytes(key.feed.0, key.listed_at, key.seq)
}

/// A place in `entries`, whether or not there is an entry.
pub(super) fn place_bytes(feed: u32, listed_at: Timestamp, seq: u32) -> EntryBytes {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&feed.to_be_bytes());
    bytes[4..12].copy_from_slice(&time_bytes(listed_at));
    bytes[12..].copy_from_slice(&seq.to_be_bytes());
    bytes
}

/// The entry that a key of `entries` stands for.
pub(super) fn entry_key(bytes: &EntryBytes) -> EntryKey {
    EntryKey { feed: FeedId(u32_of(bytes)), listed_at: time_of(&bytes[4..]), seq: u32_of(&bytes[12..]) }
}

/// The first and the last place that a feed's entries can have.
pub(super) fn stream_bounds(feed: FeedId) -> (EntryBytes, EntryBytes) {
    (place_bytes(feed.0, Timestamp::MIN, 0), place_bytes(feed.0, Timestamp::MAX, u32::MAX))
}

/// The key of a row in `known`; with the number of a row, of one in `identities`.
pub(super) fn known_bytes(feed: FeedId, seq: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&feed.0.to_be_bytes());
    bytes[4..].copy_from_slice(&seq.to_be_bytes());
    bytes
}

/// The number within the feed that such a key stands for.
pub(super) fn known_seq(bytes: [u8; 8]) -> u32 {
    u32_of(&bytes[4..])
}

/// The key of an entry in `links`.
pub(super) fn link_bytes(link: Hash64, place: &EntryBytes) -> LinkBytes {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&link.0.to_be_bytes());
    bytes[8..].copy_from_slice(place);
    bytes
}

/// The entry that a key of `links` stands for.
pub(super) fn link_entry(bytes: &LinkBytes) -> EntryKey {
    let mut place = [0; 16];
    place.copy_from_slice(&bytes[8..]);
    entry_key(&place)
}

/// The key of an event: the `n`-th of its instant.
pub(super) fn event_bytes(at: Timestamp, n: u32) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&time_bytes(at));
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    bytes
}

/// When an event happened, and its number among those of that instant.
pub(super) fn event_key(bytes: &[u8; 12]) -> (Timestamp, u32) {
    (time_of(bytes), u32_of(&bytes[8..]))
}

/// The key of what happened to a feed or list: sorts as [`EntryKey`] does.
pub(super) fn health_bytes(key: EntryKey) -> HealthBytes {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&time_bytes(key.listed_at));
    bytes[8..12].copy_from_slice(&key.feed.0.to_be_bytes());
    bytes[12..].copy_from_slice(&key.seq.to_be_bytes());
    bytes
}

/// The event that a key of `health` stands for.
pub(super) fn health_key(bytes: &HealthBytes) -> EntryKey {
    EntryKey { listed_at: time_of(bytes), feed: FeedId(u32_of(&bytes[8..])), seq: u32_of(&bytes[12..]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_streams_do_and_come_back() {
        let times = [Timestamp::MIN, Timestamp::from_millis(-1), Timestamp::from_millis(0), Timestamp::MAX];
        let mut keys = Vec::new();
        for feed in [0, 1, 256, u32::MAX] {
            for listed_at in times {
                for seq in [0, 1, 255, 256, u32::MAX] {
                    keys.push(EntryKey { listed_at, feed: FeedId(feed), seq });
                }
            }
        }
        for pair in keys.windows(2) {
            assert!(entry_bytes(pair[0]) < entry_bytes(pair[1]), "{pair:?}");
            assert_eq!(pair[0] < pair[1], health_bytes(pair[0]) < health_bytes(pair[1]), "{pair:?}");
        }
        for key in keys {
            let place = entry_bytes(key);
            let (first, last) = stream_bounds(key.feed);
            assert!(first <= place && place <= last);
            assert_eq!(entry_key(&place), key);
            assert_eq!(health_key(&health_bytes(key)), key);
            assert_eq!(link_entry(&link_bytes(Hash64(7), &place)), key);
            assert_eq!(known_seq(known_bytes(key.feed, key.seq)), key.seq);
            assert_eq!(event_key(&event_bytes(key.listed_at, key.seq)), (key.listed_at, key.seq));
        }
    }
}
