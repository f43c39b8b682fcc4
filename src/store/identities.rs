//! The table `identities`: what the entries of a feed are recognised by, [`PER_ROW`] of them in a row.
//!
//! A value is a version byte and the identities of the row, by their numbers, in postcard, each with its numbers and
//! instants as differences from the one before: about 34 bytes an identity, where a row for each took 102 bytes of the file.
//! Rows for each are in `known`, in files that are older; a row there moves here when it, or one of its neighbours, changes.

use std::collections::{BTreeMap, BTreeSet};

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, Table, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::error::Fault;
use super::records::known_of;
use super::tables::{IDENTITIES, KNOWN, known_bytes, known_seq};
use crate::model::{FeedId, Hash64, Known, Timestamp};

/// Numbers from one multiple of this to the next share a row.
const PER_ROW: u32 = 32;
const VERSION: u8 = 1;

/// An identity, told by its differences from the one before it in the row, or from nothing.
#[derive(Serialize, Deserialize)]
struct Record {
    seq: u32,
    listed_at: i64,
    first_seen: i64,
    carried_on: i32,
    purged: bool,
    guid: [u8; 8],
    link: Option<[u8; 8]>,
    fingerprint: [u8; 8],
}

/// What differences are taken from.
#[derive(Clone, Copy, Default)]
struct Before {
    seq: u32,
    listed_at: i64,
    first_seen: i64,
    carried_on: i32,
}

impl Before {
    fn of(known: &Known) -> Self {
        let Known { seq, carried_on, .. } = *known;
        Self { seq, listed_at: known.listed_at.millis(), first_seen: known.first_seen.millis(), carried_on }
    }

    fn record(self, known: &Known) -> Record {
        let now = Self::of(known);
        Record {
            seq: now.seq.wrapping_sub(self.seq),
            listed_at: now.listed_at.wrapping_sub(self.listed_at),
            first_seen: now.first_seen.wrapping_sub(self.first_seen),
            carried_on: now.carried_on.wrapping_sub(self.carried_on),
            purged: known.purged,
            guid: known.guid.0.to_be_bytes(),
            link: known.link.map(|link| link.0.to_be_bytes()),
            fingerprint: known.fingerprint.0.to_be_bytes(),
        }
    }

    fn known(self, record: &Record) -> Known {
        Known {
            seq: self.seq.wrapping_add(record.seq),
            listed_at: Timestamp::from_millis(self.listed_at.wrapping_add(record.listed_at)),
            first_seen: Timestamp::from_millis(self.first_seen.wrapping_add(record.first_seen)),
            carried_on: self.carried_on.wrapping_add(record.carried_on),
            purged: record.purged,
            guid: Hash64(u64::from_be_bytes(record.guid)),
            link: record.link.map(|link| Hash64(u64::from_be_bytes(link))),
            fingerprint: Hash64(u64::from_be_bytes(record.fingerprint)),
        }
    }
}

fn value<'k>(identities: impl Iterator<Item = &'k Known>) -> Vec<u8> {
    let mut value = vec![VERSION];
    let mut before = Before::default();
    for known in identities {
        value = postcard::to_extend(&before.record(known), value).expect("a record is short, and memory grows");
        before = Before::of(known);
    }
    value
}

/// Calls `take` with the identities of a row, by their numbers.
fn read(feed: FeedId, value: &[u8], mut take: impl FnMut(Known)) -> Result<(), Fault> {
    let unreadable = || Fault::Unreadable(format!("identities of feed {} cannot be read", feed.0));
    let Some((&VERSION, mut rest)) = value.split_first() else { return Err(unreadable()) };
    let mut before = Before::default();
    while !rest.is_empty() {
        let (record, after) = postcard::take_from_bytes(rest).map_err(|_| unreadable())?;
        let known = before.known(&record);
        before = Before::of(&known);
        rest = after;
        take(known);
    }
    Ok(())
}

/// Both tables.
pub(super) struct Identities<R, O> {
    rows: R,
    older: O,
}

/// Both while they are written to.
pub(super) type Written<'t> =
    Identities<Table<'t, &'static [u8; 8], &'static [u8]>, Table<'t, &'static [u8; 8], &'static [u8; 46]>>;
/// Both as they were at one instant.
pub(super) type Stored =
    Identities<ReadOnlyTable<&'static [u8; 8], &'static [u8]>, ReadOnlyTable<&'static [u8; 8], &'static [u8; 46]>>;

impl Stored {
    /// The tables of a transaction.
    pub(super) fn of(transaction: &ReadTransaction) -> Result<Self, Fault> {
        Ok(Self { rows: transaction.open_table(IDENTITIES)?, older: transaction.open_table(KNOWN)? })
    }
}

/// Identities of a feed that are being changed.
#[derive(Default)]
pub(super) struct Held {
    known: BTreeMap<u32, Known>,
    changed: BTreeSet<u32>,
}

impl Held {
    /// What an entry is recognised by.
    pub(super) fn get(&self, seq: u32) -> Option<Known> {
        self.known.get(&seq).copied()
    }

    /// Puts an identity under its number; what was there before.
    pub(super) fn put(&mut self, known: Known) -> Option<Known> {
        let before = self.known.insert(known.seq, known);
        if before != Some(known) {
            self.changed.insert(known.seq / PER_ROW);
        }
        before
    }

    /// Forgets an identity.
    pub(super) fn remove(&mut self, seq: u32) {
        if self.known.remove(&seq).is_some() {
            self.changed.insert(seq / PER_ROW);
        }
    }
}

impl<R, O> Identities<R, O>
where
    R: ReadableTable<&'static [u8; 8], &'static [u8]>,
    O: ReadableTable<&'static [u8; 8], &'static [u8; 46]>,
{
    /// All of a feed, by their numbers.
    pub(super) fn all(&self, feed: FeedId) -> Result<Vec<Known>, Fault> {
        self.first(feed, usize::MAX)
    }

    /// The first ones of a feed, by their numbers: at least `most` if it has so many.
    pub(super) fn first(&self, feed: FeedId, most: usize) -> Result<Vec<Known>, Fault> {
        let (first, last) = (known_bytes(feed, 0), known_bytes(feed, u32::MAX));
        let mut all = Vec::new();
        for row in self.rows.range::<&[u8; 8]>(&first..=&last)? {
            if all.len() >= most {
                break;
            }
            read(feed, row?.1.value(), |known| all.push(known))?;
        }
        let in_rows = all.len();
        if !self.older.is_empty()? {
            for row in self.older.range::<&[u8; 8]>(&first..=&last)?.take(most) {
                let (key, value) = row?;
                all.push(known_of(known_seq(*key.value()), value.value())?);
            }
        }
        if in_rows < all.len() {
            all.sort_unstable_by_key(|known| known.seq);
        }
        Ok(all)
    }

    /// One, by its number.
    pub(super) fn one(&self, feed: FeedId, seq: u32) -> Result<Option<Known>, Fault> {
        let mut held = Held::default();
        self.hold(feed, seq / PER_ROW, &mut held)?;
        Ok(held.get(seq))
    }

    /// Reads what shares a row.
    fn hold(&self, feed: FeedId, number: u32, held: &mut Held) -> Result<(), Fault> {
        if let Some(row) = self.rows.get(&known_bytes(feed, number))? {
            read(feed, row.value(), |known| {
                held.known.insert(known.seq, known);
            })?;
        }
        if !self.older.is_empty()? {
            let (first, last) = bounds(feed, number);
            for row in self.older.range::<&[u8; 8]>(&first..=&last)? {
                let (key, value) = row?;
                let known = known_of(known_seq(*key.value()), value.value())?;
                held.known.insert(known.seq, known);
            }
        }
        Ok(())
    }
}

impl<'t> Written<'t> {
    /// The tables of a transaction.
    pub(super) fn of(transaction: &'t WriteTransaction) -> Result<Self, Fault> {
        Ok(Self { rows: transaction.open_table(IDENTITIES)?, older: transaction.open_table(KNOWN)? })
    }

    /// Has `work` look at and change identities of a feed: those of these numbers, and no others, are there for it.
    pub(super) fn change<T>(
        &mut self,
        feed: FeedId,
        seqs: impl Iterator<Item = u32>,
        work: impl FnOnce(&mut Held) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let numbers: BTreeSet<u32> = seqs.map(|seq| seq / PER_ROW).collect();
        let mut held = Held::default();
        for number in numbers {
            self.hold(feed, number, &mut held)?;
        }
        let done = work(&mut held)?;
        let has_older = !self.older.is_empty()?;
        for number in held.changed {
            let (first, last) = (number * PER_ROW, number * PER_ROW + (PER_ROW - 1));
            let mut left = held.known.range(first..=last).map(|(_, known)| known).peekable();
            let key = known_bytes(feed, number);
            if left.peek().is_some() {
                self.rows.insert(&key, value(left).as_slice())?;
            } else {
                self.rows.remove(&key)?;
            }
            if has_older {
                let (first, last) = bounds(feed, number);
                self.older.retain_in::<&[u8; 8], _>(&first..=&last, |_, _| false)?;
            }
        }
        Ok(done)
    }
}

/// The first and the last key in `known` of what shares a row.
fn bounds(feed: FeedId, number: u32) -> ([u8; 8], [u8; 8]) {
    (known_bytes(feed, number * PER_ROW), known_bytes(feed, number * PER_ROW + (PER_ROW - 1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known() -> impl Strategy<Value = Known> {
        let times = (any::<i64>(), any::<i64>(), any::<i32>());
        (any::<u32>(), times, any::<bool>(), any::<u64>(), any::<Option<u64>>(), any::<u64>()).prop_map(
            |(seq, (listed_at, first_seen, carried_on), purged, guid, link, fingerprint)| Known {
                seq,
                listed_at: Timestamp::from_millis(listed_at),
                first_seen: Timestamp::from_millis(first_seen),
                guid: Hash64(guid),
                link: link.map(Hash64),
                fingerprint: Hash64(fingerprint),
                carried_on,
                purged,
            },
        )
    }

    proptest! {
        #[test]
        fn rows_come_back(identities in prop::collection::vec(known(), 0..40)) {
            let mut back = Vec::new();
            read(FeedId(1), &value(identities.iter()), |known| back.push(known)).expect("it reads");
            prop_assert_eq!(back, identities);
        }

        #[test]
        fn damage_is_an_error_or_another_identity(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(FeedId(1), &bytes, drop);
        }
    }

    #[test]
    fn an_identity_of_the_usual_kind_takes_few_bytes() {
        let identities: Vec<Known> = (0..32)
            .map(|seq| Known {
                seq: 64 + seq,
                listed_at: Timestamp::from_millis(1_790_000_000_000 + i64::from(seq) * 86_400_123),
                first_seen: Timestamp::from_millis(1_795_000_000_000),
                guid: Hash64(u64::MAX - u64::from(seq)),
                link: Some(Hash64(u64::MAX / 3)),
                fingerprint: Hash64(u64::from(seq)),
                carried_on: 20_000,
                purged: false,
            })
            .collect();
        assert!(value(identities.iter()).len() <= 32 * 35 + 16);
    }
}
