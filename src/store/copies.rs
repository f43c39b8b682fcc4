//! The last good copies of remote lists, and when each is asked again.
//!
//! A value of `copies` is a version byte, the state as postcard, and the document as a block of `packing` inside it.

use redb::{ReadTransaction, ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::error::Fault;
use super::packing::{Packer, Unpacker};
use super::records::{decode, encode, number_of, state_of, stored_url};
use super::tables::{COPIES, if_made};
use crate::model::{FeedUrl, Schedule, Timestamp, Validators};

/// A remote list as it was last had.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteCopy {
    /// Its address.
    pub url: FeedUrl,
    /// When it is asked next, and what came of asking.
    pub schedule: Schedule,
    /// What makes the next request conditional.
    pub validators: Validators,
    /// Its last good content; `None` before the first.
    pub content: Option<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct CopyRecord<'a> {
    /// 0: new; 1: ok; 2: failing; 3: told to wait; 4: gone.
    state: u8,
    next_poll: i64,
    interval: std::time::Duration,
    last_attempt: Option<i64>,
    last_success: Option<i64>,
    last_status: Option<u16>,
    last_error: Option<&'a str>,
    failures: u32,
    failing_since: Option<i64>,
    etag: Option<&'a [u8]>,
    last_modified: Option<&'a [u8]>,
    validators_from: Option<&'a str>,
    content: Option<&'a [u8]>,
}

/// Keeps copies, and forgets those that no list names any more.
pub(super) fn keep(transaction: &WriteTransaction, copies: &[RemoteCopy], forgotten: &[FeedUrl]) -> Result<(), Fault> {
    let mut table = transaction.open_table(COPIES)?;
    for url in forgotten {
        table.remove(url.as_str())?;
    }
    for RemoteCopy { url, schedule, validators, content } in copies {
        let packed = content.as_ref().map(|content| {
            let mut packed = Vec::new();
            Packer::new().pack(content, &mut packed);
            packed
        });
        let record = CopyRecord {
            state: number_of(schedule.state),
            next_poll: schedule.next_poll.millis(),
            interval: schedule.interval,
            last_attempt: schedule.last_attempt.map(Timestamp::millis),
            last_success: schedule.last_success.map(Timestamp::millis),
            last_status: schedule.last_status,
            last_error: schedule.last_error.as_deref(),
            failures: schedule.failures,
            failing_since: schedule.failing_since.map(Timestamp::millis),
            etag: validators.etag.as_deref(),
            last_modified: validators.last_modified.as_deref(),
            validators_from: validators.from.as_ref().map(FeedUrl::as_str),
            content: packed.as_deref(),
        };
        table.insert(url.as_str(), encode(&record).as_slice())?;
    }
    Ok(())
}

/// All copies, in the order of addresses.
pub(super) fn all(transaction: &ReadTransaction) -> Result<Vec<RemoteCopy>, Fault> {
    let mut copies = Vec::new();
    let mut unpacker = Unpacker::new();
    let Some(table) = if_made(transaction, COPIES)? else { return Ok(copies) };
    for row in table.iter()? {
        let (url, value) = row?;
        let url = stored_url(url.value())?;
        let record: CopyRecord<'_> = decode(value.value(), "copy of a remote list")?;
        let content = record.content.map(|block| unpacker.unpack(block).map(<[u8]>::to_vec)).transpose();
        let content = content.map_err(|why| Fault::Unreadable(format!("the copy of {url} cannot be read: {why}")))?;
        let next_poll = Timestamp::from_millis(record.next_poll);
        copies.push(RemoteCopy {
            schedule: Schedule {
                state: state_of(record.state)?,
                interval: record.interval,
                last_attempt: record.last_attempt.map(Timestamp::from_millis),
                last_success: record.last_success.map(Timestamp::from_millis),
                last_status: record.last_status,
                last_error: record.last_error.map(str::to_owned),
                failures: record.failures,
                failing_since: record.failing_since.map(Timestamp::from_millis),
                ..Schedule::new(next_poll)
            },
            validators: Validators {
                etag: record.etag.map(<[u8]>::to_vec),
                last_modified: record.last_modified.map(<[u8]>::to_vec),
                from: record.validators_from.and_then(|url| stored_url(url).ok()),
            },
            content,
            url,
        });
    }
    Ok(copies)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FeedState;
    use crate::store::Store;

    #[test]
    fn copies_come_back_as_they_were_and_go_when_they_are_forgotten() {
        let home = tempfile::tempdir().expect("there is room");
        let store = Store::open(home.path(), 1 << 20).expect("it is new");
        assert_eq!(store.copies().expect("it reads"), [], "a file from before there were any has no table for them");
        let states = [FeedState::New, FeedState::Ok, FeedState::Backoff, FeedState::Held, FeedState::Gone];
        let copy = |(n, state): (u32, FeedState)| RemoteCopy {
            url: FeedUrl::parse(&format!("https://ann.example/{n}.opml")).expect("it is one"),
            schedule: Schedule {
                state,
                last_status: Some(503),
                last_error: Some("it is busy".to_owned()),
                failures: n,
                ..Schedule::new(Timestamp::from_seconds(1_795_379_832))
            },
            validators: Validators { etag: Some(b"\"x\"".to_vec()), ..Validators::default() },
            content: (n % 2 == 0).then(|| b"<opml/>".repeat(100)),
        };
        let copies: Vec<RemoteCopy> = (0..).zip(states).map(copy).collect();
        store.keep_copies(&copies, &[]).expect("it is stored");
        assert_eq!(store.copies().expect("it reads"), copies);
        store.keep_copies(&[], &[copies[0].url.clone()]).expect("it is stored");
        assert_eq!(store.copies().expect("it reads"), copies[1..]);
    }
}
