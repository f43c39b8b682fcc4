//! What was told of what came true between the keeper and the voices: each mark once, bounded by age and number.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;

use redb::{ReadTransaction, ReadableTable, Table, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::error::Fault;
use super::records::{decode, encode};
use super::tables::{NOTICES, TOLD, health_bytes, health_key, if_made};
use crate::model::{CleanHtml, EntryKey, FeedId, Hash64, Notice, NoticeKind, Timestamp};

/// How long notices are kept, and what was told is not told again.
const NOTICES_KEPT: Duration = Duration::from_hours(400 * 24);
/// At most so many notices of one kind are kept.
const MAX_NOTICES: usize = 5_000;

/// A key of `notices`.
type NoticeBytes = [u8; 17];

/// A value of `notices`.
#[derive(Serialize, Deserialize)]
struct NoticeRecord<'a> {
    mark: u64,
    title: &'a str,
    /// Cleaned HTML.
    text: &'a str,
    link: Option<&'a str>,
    about: Vec<u32>,
}

fn number_of(kind: NoticeKind) -> u8 {
    NoticeKind::ALL.iter().position(|other| *other == kind).unwrap_or_default() as u8
}

fn notice_bytes(kind: u8, key: EntryKey) -> NoticeBytes {
    let mut bytes = [kind; 17];
    bytes[1..].copy_from_slice(&health_bytes(key));
    bytes
}

fn notice_key(bytes: &NoticeBytes) -> EntryKey {
    let mut key = [0; 16];
    key.copy_from_slice(&bytes[1..]);
    health_key(&key)
}

/// The first and the last key of a kind.
fn bounds(kind: u8) -> (NoticeBytes, NoticeBytes) {
    let (mut first, mut last) = ([0; 17], [0xFF; 17]);
    (first[0], last[0]) = (kind, kind);
    (first, last)
}

fn value(notice: &Notice) -> Vec<u8> {
    encode(&NoticeRecord {
        mark: notice.mark.0,
        title: &notice.title,
        text: notice.text.as_str(),
        link: notice.link.as_deref(),
        about: notice.about.iter().map(|feed| feed.0).collect(),
    })
}

fn kind_of(number: u8) -> Result<NoticeKind, Fault> {
    let kind = NoticeKind::ALL.get(usize::from(number)).copied();
    kind.ok_or_else(|| Fault::Unreadable(format!("a notice has the unknown kind {number}")))
}

/// Reads a row of `notices`.
pub(super) fn read(key: &NoticeBytes, value: &[u8]) -> Result<Notice, Fault> {
    let record: NoticeRecord<'_> = decode(value, "notice")?;
    Ok(Notice {
        key: notice_key(key),
        kind: kind_of(key[0])?,
        mark: Hash64(record.mark),
        title: record.title.to_owned(),
        text: CleanHtml::from_cleaner(record.text.to_owned()),
        link: record.link.map(str::to_owned),
        about: record.about.into_iter().map(FeedId).collect(),
    })
}

/// Reads a row of `told`.
pub(super) fn read_told((kind, mark): (u8, u64), at: i64) -> Result<(NoticeKind, Hash64, Timestamp), Fault> {
    Ok((kind_of(kind)?, Hash64(mark), Timestamp::from_millis(at)))
}

/// Stores a notice as it is, with no regard to marks; whether its place was free.
pub(super) fn store(transaction: &WriteTransaction, notice: &Notice) -> Result<bool, Fault> {
    let mut table = transaction.open_table(NOTICES)?;
    let key = notice_bytes(number_of(notice.kind), notice.key);
    Ok(table.insert(&key, value(notice).as_slice())?.is_none())
}

/// Stores that something was told; whether that was not known.
pub(super) fn store_told(
    transaction: &WriteTransaction,
    kind: NoticeKind,
    mark: Hash64,
    at: Timestamp,
) -> Result<bool, Fault> {
    Ok(transaction.open_table(TOLD)?.insert((number_of(kind), mark.0), at.millis())?.is_none())
}

/// Adds notices whose marks were not told before.
pub(super) fn add(transaction: &WriteTransaction, notices: &[Notice]) -> Result<(), Fault> {
    let mut table = transaction.open_table(NOTICES)?;
    let mut told = transaction.open_table(TOLD)?;
    for notice in notices {
        let kind = number_of(notice.kind);
        if told.get((kind, notice.mark.0))?.is_some() {
            continue;
        }
        told.insert((kind, notice.mark.0), notice.key.listed_at.millis())?;
        table.insert(&notice_bytes(kind, notice.key), value(notice).as_slice())?;
    }
    for kind in notices.iter().map(|notice| number_of(notice.kind)).collect::<BTreeSet<_>>() {
        let newest = notices.iter().map(|notice| notice.key.listed_at).max().unwrap_or_default();
        drop_old(&mut table, &mut told, kind, newest.minus(NOTICES_KEPT))?;
    }
    Ok(())
}

/// Lets go what of a kind is too old, or too much. What was told long ago may come true again; what merely had to make
/// room is not told again.
fn drop_old(
    table: &mut Table<'_, &'static NoticeBytes, &'static [u8]>,
    told: &mut Table<'_, (u8, u64), i64>,
    kind: u8,
    too_old: Timestamp,
) -> Result<(), Fault> {
    let (first, last) = bounds(kind);
    let too_many = table.range::<&NoticeBytes>(&first..=&last)?.count().saturating_sub(MAX_NOTICES);
    let mut going = Vec::new();
    for (n, row) in table.range::<&NoticeBytes>(&first..=&last)?.enumerate() {
        let (key, _) = row?;
        if n >= too_many && notice_key(key.value()).listed_at >= too_old {
            break;
        }
        going.push(*key.value());
    }
    for key in going {
        table.remove(&key)?;
    }
    told.retain_in((kind, 0)..=(kind, u64::MAX), |_, at| at >= too_old.millis())?;
    Ok(())
}

/// Which of some marks were told.
pub(super) fn are_told(transaction: &ReadTransaction, marks: &[(NoticeKind, Hash64)]) -> Result<Vec<bool>, Fault> {
    let Some(told) = if_made(transaction, TOLD)? else { return Ok(vec![false; marks.len()]) };
    let is_told = |(kind, mark): &(NoticeKind, Hash64)| Ok(told.get((number_of(*kind), mark.0))?.is_some());
    marks.iter().map(is_told).collect()
}

/// At most `max` notices of each kind behind `before`, all together newest first.
pub(super) fn latest(
    transaction: &ReadTransaction,
    kinds: &[NoticeKind],
    before: Option<EntryKey>,
    max: usize,
) -> Result<Vec<Notice>, Fault> {
    let Some(table) = if_made(transaction, NOTICES)? else { return Ok(Vec::new()) };
    let mut notices = Vec::new();
    for &kind in kinds {
        let number = number_of(kind);
        let (first, last) = bounds(number);
        let end = before.map(|key| notice_bytes(number, key));
        let end = end.as_ref().map_or(Bound::Included(&last), Bound::Excluded);
        for row in table.range::<&NoticeBytes>((Bound::Included(&first), end))?.rev().take(max) {
            let (key, value) = row?;
            notices.push(read(key.value(), value.value())?);
        }
    }
    notices.sort_unstable_by_key(|notice| std::cmp::Reverse(notice.key));
    Ok(notices)
}

/// Two feeds have become one: what was told of the one was told of the other. Keys stay, since readers know them.
pub(super) fn follow(transaction: &WriteTransaction, loser: FeedId, winner: FeedId) -> Result<(), Fault> {
    let mut table = transaction.open_table(NOTICES)?;
    let mut moved = Vec::new();
    for row in table.iter()? {
        let (key, value) = row?;
        let mut record: NoticeRecord<'_> = decode(value.value(), "notice")?;
        if record.about.contains(&loser.0) {
            record.about.iter_mut().filter(|feed| **feed == loser.0).for_each(|feed| *feed = winner.0);
            moved.push((*key.value(), encode(&record)));
        }
    }
    for (key, value) in moved {
        table.insert(&key, value.as_slice())?;
    }
    Ok(())
}
