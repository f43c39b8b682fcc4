//! What is kept of the lists: their last good content, what happened in them, and the paths that voices once had.

use std::collections::{HashMap, hash_map};

use redb::{ReadTransaction, ReadableTable, Table, WriteTransaction};

use super::error::Fault;
use super::packing::{Packer, Unpacker};
use super::records::{EventRecord, decode, encode, stored_url};
use super::tables::{EVENTS, LISTS, PATHS, event_bytes, event_key};
use crate::model::{FeedUrl, ListEvent, Timestamp};

/// The version of a list record: this byte, then the file's bytes as a block of `packing`.
const LIST_VERSION: u8 = 1;

/// What reading a list anew brought about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListNews {
    /// Events to remember from now on.
    pub happened: Vec<ListEvent>,
    /// Events to forget because they cancelled out (left and back within a day): each as it was remembered.
    pub cancelled: Vec<ListEvent>,
}

/// Keeps contents of lists (`None` forgets one), together with what happened in them.
pub(super) fn save(
    transaction: &WriteTransaction,
    contents: &[(String, Option<Vec<u8>>)],
    news: &ListNews,
) -> Result<(), Fault> {
    let mut lists = transaction.open_table(LISTS)?;
    for (name, content) in contents {
        match content {
            Some(content) => {
                let mut value = vec![LIST_VERSION];
                Packer::new().pack(content, &mut value);
                lists.insert(name.as_str(), value.as_slice())?;
            }
            None => {
                lists.remove(name.as_str())?;
            }
        }
    }
    let mut events = transaction.open_table(EVENTS)?;
    let mut instants = HashMap::new();
    for event in &news.cancelled {
        if let Some(n) = instant(&mut instants, &events, event.at)?.numbers.remove(&encode(&EventRecord::of(event))) {
            events.remove(&event_bytes(event.at, n))?;
        }
    }
    for event in &news.happened {
        let bytes = encode(&EventRecord::of(event));
        let instant = instant(&mut instants, &events, event.at)?;
        // A save that is repeated after a failure in its last step must double nothing.
        if !instant.numbers.contains_key(&bytes) {
            events.insert(&event_bytes(event.at, instant.next), bytes.as_slice())?;
            instant.numbers.insert(bytes, instant.next);
            instant.next = instant.next.saturating_add(1);
        }
    }
    Ok(())
}

type EventTable<'a> = Table<'a, &'static [u8; 12], &'static [u8]>;

/// The events of one instant, by their records: one save may bring thousands.
struct Instant {
    numbers: HashMap<Vec<u8>, u32>,
    next: u32,
}

/// The events of an instant, read once.
fn instant<'a>(
    instants: &'a mut HashMap<Timestamp, Instant>,
    events: &EventTable<'_>,
    at: Timestamp,
) -> Result<&'a mut Instant, Fault> {
    match instants.entry(at) {
        hash_map::Entry::Occupied(read) => Ok(read.into_mut()),
        hash_map::Entry::Vacant(unread) => {
            let mut instant = Instant { numbers: HashMap::new(), next: 0 };
            for row in events.range::<&[u8; 12]>(&event_bytes(at, 0)..=&event_bytes(at, u32::MAX))? {
                let (key, value) = row?;
                let (_, n) = event_key(key.value());
                instant.numbers.insert(value.value().to_vec(), n);
                instant.next = n.saturating_add(1);
            }
            Ok(unread.insert(instant))
        }
    }
}

/// The last good content of each list, by name.
pub(super) fn all(transaction: &ReadTransaction) -> Result<Vec<(String, Vec<u8>)>, Fault> {
    let mut lists = Vec::new();
    let mut unpacker = Unpacker::new();
    for row in transaction.open_table(LISTS)?.iter()? {
        let (name, content) = row?;
        let unreadable =
            |why: &str| Fault::Unreadable(format!("the content of the list `{}` cannot be read: {why}", name.value()));
        let Some((&LIST_VERSION, block)) = content.value().split_first() else {
            return Err(unreadable("its version is unknown"));
        };
        let content = unpacker.unpack(block).map_err(|why| unreadable(&why))?;
        lists.push((name.value().to_owned(), content.to_vec()));
    }
    Ok(lists)
}

/// What happened at or after an instant, oldest first.
pub(super) fn events(transaction: &ReadTransaction, since: Timestamp) -> Result<Vec<ListEvent>, Fault> {
    let mut events = Vec::new();
    for row in transaction.open_table(EVENTS)?.range::<&[u8; 12]>(&event_bytes(since, 0)..)? {
        let (key, value) = row?;
        events.push(decode::<EventRecord>(value.value(), "event")?.event(event_key(key.value()).0)?);
    }
    Ok(events)
}

/// Remembers paths and the feeds of the voices they led to; a path known already leads to the new one.
pub(super) fn remember_paths(transaction: &WriteTransaction, moved: &[(String, FeedUrl)]) -> Result<(), Fault> {
    let mut paths = transaction.open_table(PATHS)?;
    for (path, feed) in moved {
        paths.insert(path.as_str(), feed.as_str())?;
    }
    Ok(())
}

/// Leads every path that led to one of these addresses to another one.
pub(super) fn lead_paths_to(transaction: &WriteTransaction, former: &[String], to: &str) -> Result<(), Fault> {
    let mut paths = transaction.open_table(PATHS)?;
    let mut moving = Vec::new();
    for row in paths.iter()? {
        let (path, leads_to) = row?;
        if former.iter().any(|url| url == leads_to.value()) {
            moving.push(path.value().to_owned());
        }
    }
    for path in moving {
        paths.insert(path.as_str(), to)?;
    }
    Ok(())
}

/// All remembered paths.
pub(super) fn paths(transaction: &ReadTransaction) -> Result<Vec<(String, FeedUrl)>, Fault> {
    let mut paths = Vec::new();
    for row in transaction.open_table(PATHS)?.iter()? {
        let (path, feed) = row?;
        paths.push((path.value().to_owned(), stored_url(feed.value())?));
    }
    Ok(paths)
}
