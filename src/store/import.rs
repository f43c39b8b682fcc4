//! Reads an export into a database of its own, and puts that in its place when it is whole.
//!
//! Nothing that is wrong is passed over: the first line that cannot be read, or says what cannot be, ends the import
//! with its number, and nothing of it is left. What is read is believed as the database itself is: entries were cleaned
//! before they were exported.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, BufRead, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};

use super::blocks::Record;
use super::commit::Streams;
use super::contacts;
use super::copies;
use super::engine::{Engine, FILE_NAME};
use super::error::{Fault, OpenError, StoreError};
use super::export::Moved;
use super::health;
use super::journal::FILE_NAMES as JOURNAL_NAMES;
use super::kept::{self, ListNews};
use super::lines::{FeedLine, HeadLine, Line, VERSION};
use super::notices;
use super::records::{CountRecord, EventRecord, FeedRecord, encode, encode_state};
use super::rows;
use super::tables::{
    CONTACTS, COPIES, COUNTS, EVENTS, FEEDS, HEALTH, LISTS, META, META_NEXT_FEED, NOTICES, PATHS, STATES, URLS,
    WEBMENTIONS, entry_bytes, event_bytes, health_bytes, if_made, link_bytes,
};
use super::text;
use super::webmentions;
use crate::model::{Entry, FeedId, FeedUrl, Hash64, Known};

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// There is something in the database.
    #[error(
        "{}: the database is not empty; an import goes into an empty one only: stop listend and move the file aside first",
        file.display()
    )]
    NotEmpty {
        /// The database.
        file: PathBuf,
    },
    /// Another import is at work.
    #[error("{}: another import is at work there", directory.display())]
    AtWork {
        /// The directory of the database.
        directory: PathBuf,
    },
    /// A line is not what an export has there.
    #[error("line {number}: {reason}; nothing was imported")]
    Line {
        /// Its number, from 1.
        number: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The export could not be read.
    #[error("line {number}: the export cannot be read: {source}; nothing was imported")]
    Input {
        /// The line under way.
        number: u64,
        /// What the system said.
        source: io::Error,
    },
    /// A database could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new database could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory could not be changed.
    #[error("{}: {source}; nothing was imported", file.display())]
    Io {
        /// The file or directory.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A line is at most so long: texts and lists are far shorter.
const MAX_LINE_BYTES: u64 = 256 << 20;
/// So many lines, or bytes of lines, share a transaction.
const LINES_OF_A_BATCH: usize = 2_000;
const BYTES_OF_A_BATCH: u64 = 8 << 20;
/// So many entries of a feed are stored together.
const STORED_TOGETHER: usize = 64;
/// Where the new database is made, below the state directory.
const WORKSHOP: &str = "listend.import";

/// Reads `input` into the database of `directory`, which must be empty or missing.
pub(super) fn import(directory: &Path, cache_bytes: usize, input: impl BufRead) -> Result<Moved, ImportError> {
    let io_at = |file: &Path| {
        let file = file.to_owned();
        move |source| ImportError::Io { file, source }
    };
    let target = directory.join(FILE_NAME);
    let is_there = target.try_exists().map_err(io_at(&target))?;
    // As long as it is open, no daemon uses it.
    let empty = if is_there { Some(open_empty(directory, &target, cache_bytes)?) } else { None };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io_at(directory))?;
    // Where the file system knows no locks, whoever starts two imports at once is on their own.
    let lock = File::open(directory).map_err(io_at(directory))?;
    if let Err(TryLockError::WouldBlock) = lock.try_lock() {
        return Err(ImportError::AtWork { directory: directory.to_owned() });
    }
    let workshop = Workshop::open(directory.join(WORKSHOP)).map_err(io_at(directory))?;
    let engine = Engine::open(&workshop.0, cache_bytes)?;
    let moved = read_all(&engine, input)?;
    drop(engine);

    // What waits there is of feeds that had these numbers before.
    for name in JOURNAL_NAMES {
        let file = directory.join(name);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_at(&file)(error)),
            _ => {}
        }
    }
    let made = workshop.0.join(FILE_NAME);
    if empty.is_some() {
        std::fs::rename(&made, &target).map_err(io_at(&target))?;
    } else {
        // A link takes the place of nothing that may have come meanwhile. Not every file system has links.
        match std::fs::hard_link(&made, &target) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => std::fs::rename(&made, &target),
            linked => linked,
        }
        .map_err(io_at(&target))?;
    }
    lock.sync_all().map_err(io_at(directory))?;
    Ok(moved)
}

/// The database that is there, open, if nothing is in it.
fn open_empty(directory: &Path, file: &Path, cache_bytes: usize) -> Result<Engine, ImportError> {
    let engine = Engine::open(directory, cache_bytes)?;
    let is_empty = engine.read(|transaction| {
        let (feeds, lists) = (transaction.open_table(FEEDS)?, transaction.open_table(LISTS)?);
        let has_none = feeds.is_empty()? && lists.is_empty()? && transaction.open_table(EVENTS)?.is_empty()?;
        let has_no_contact = if_made(&transaction, CONTACTS)?.map_or(Ok(true), |table| table.is_empty())?;
        let has_no_notice = if_made(&transaction, NOTICES)?.map_or(Ok(true), |table| table.is_empty())?;
        let has_no_webmention = if_made(&transaction, WEBMENTIONS)?.map_or(Ok(true), |table| table.is_empty())?;
        Ok(has_none && has_no_contact && has_no_notice && has_no_webmention)
    })?;
    if is_empty { Ok(engine) } else { Err(ImportError::NotEmpty { file: file.to_owned() }) }
}

/// The directory in which the new database is made; it goes when the import is over.
struct Workshop(PathBuf);

impl Workshop {
    fn open(directory: PathBuf) -> io::Result<Self> {
        let workshop = Self(directory);
        // What an import left that was killed.
        workshop.clear()?;
        Ok(workshop)
    }

    fn clear(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // The next import clears it otherwise.
        let _ = self.clear();
    }
}

/// A line and its number.
type Numbered = (u64, Line);
/// Why a line cannot be taken in, with its number.
type Refused = (u64, String);

fn read_all(engine: &Engine, mut input: impl BufRead) -> Result<Moved, ImportError> {
    let mut reading = Reading::default();
    let (mut batch, mut bytes, mut number) = (Vec::new(), 0, 0);
    let mut text = Vec::new();
    loop {
        text.clear();
        number += 1;
        let refuse = |reason: &str| ImportError::Line { number, reason: reason.to_owned() };
        let mut limited = Read::take(&mut input, MAX_LINE_BYTES + 1);
        let length = limited.read_until(b'\n', &mut text).map_err(|source| ImportError::Input { number, source })?;
        if length == 0 {
            break;
        }
        if text.pop() != Some(b'\n') {
            let is_long = length as u64 > MAX_LINE_BYTES;
            return Err(refuse(if is_long { "it is too long" } else { "it is cut off" }));
        }
        let line = serde_json::from_slice(&text).map_err(|error| refuse(&why(&error)))?;
        batch.push((number, line));
        bytes += length as u64;
        if batch.len() >= LINES_OF_A_BATCH || bytes >= BYTES_OF_A_BATCH {
            take_in(engine, &mut reading, &mut batch)?;
            bytes = 0;
        }
    }
    take_in(engine, &mut reading, &mut batch)?;
    if !reading.has_ended {
        return Err(ImportError::Line { number, reason: "the export is cut off here".to_owned() });
    }
    Ok(reading.moved)
}

/// What is wrong with a line of JSON; lines are counted by ourselves.
fn why(error: &serde_json::Error) -> String {
    let reason = error.to_string();
    let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason);
    if error.is_data() { reason.to_owned() } else { format!("no JSON: {reason}") }
}

fn take_in(engine: &Engine, reading: &mut Reading, batch: &mut Vec<Numbered>) -> Result<(), ImportError> {
    let lines = std::mem::take(batch);
    // A refused line ends the import; what was taken in before goes with the whole file.
    let refused = engine.write(|transaction| {
        let mut taking = Taking { transaction, streams: None, waiting: Vec::new(), reading };
        for (number, line) in lines {
            match taking.line(line) {
                Ok(()) => {}
                Err(Stop::Refused(reason)) => return Ok(Some((number, reason))),
                Err(Stop::Fault(fault)) => return Err(fault),
            }
        }
        taking.store_waiting()?;
        Ok(None::<Refused>)
    })?;
    refused.map_or(Ok(()), |(number, reason)| Err(ImportError::Line { number, reason }))
}

/// How far the import has come.
#[derive(Default)]
struct Reading {
    moved: Moved,
    next_feed: u64,
    /// The feed whose identities and entries are being read, and what they count to.
    feed: Option<(FeedId, CountRecord)>,
    has_ended: bool,
}

enum Stop {
    Refused(String),
    Fault(Fault),
}

impl<E: Into<Fault>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

fn refused(reason: impl Into<String>) -> Stop {
    Stop::Refused(reason.into())
}

/// One transaction of an import.
struct Taking<'a, 'r> {
    transaction: &'a WriteTransaction,
    /// Open while identities and entries come: no table can be opened twice.
    streams: Option<Streams<'a>>,
    /// Entries that are stored together, and the hashes of their links.
    waiting: Vec<(Entry, Option<Hash64>)>,
    reading: &'r mut Reading,
}

impl<'a> Taking<'a, '_> {
    fn line(&mut self, line: Line) -> Result<(), Stop> {
        let before = self.reading.moved.lines;
        self.reading.moved.lines += 1;
        if self.reading.has_ended {
            return Err(refused("something follows the end of the export"));
        }
        match (&line, before) {
            (Line::Head(_), 0) | (_, 1..) => {}
            _ => return Err(refused("an export of listend begins otherwise")),
        }
        if !matches!(line, Line::Identity(_) | Line::Entry(_)) {
            self.store_waiting()?;
            self.streams = None;
            self.end_feed()?;
        }
        let transaction = self.transaction;
        let is_new = match line {
            Line::Head(head) => return self.head(&head, before),
            Line::Feed(feed) => return self.feed(*feed),
            Line::Identity(identity) => return self.identity(FeedId(identity.feed), &identity.known()),
            Line::Entry(entry) => return self.entry(entry.entry()),
            Line::List(list) => {
                let (name, content) = list.content().map_err(refused)?;
                let is_new = transaction.open_table(LISTS)?.get(name.as_str())?.is_none();
                kept::save(transaction, &[(name, Some(content))], &ListNews::default())?;
                is_new
            }
            Line::RemoteList(list) => {
                let is_new = transaction.open_table(COPIES)?.get(list.url().as_str())?.is_none();
                copies::keep(transaction, &[list.copy().map_err(refused)?], &[])?;
                is_new
            }
            Line::ListEvent(line) => {
                let number = line.number;
                let event = line.event();
                let bytes = encode(&EventRecord::of(&event));
                let mut table = transaction.open_table(EVENTS)?;
                table.insert(&event_bytes(event.at, number), bytes.as_slice())?.is_none()
            }
            Line::Path(line) => {
                let is_new = transaction.open_table(PATHS)?.get(line.path.as_str())?.is_none();
                kept::remember_paths(transaction, &[(line.path, line.feed.0)])?;
                is_new
            }
            Line::FeedEvent(line) => {
                let event = line.event();
                let is_new = transaction.open_table(HEALTH)?.get(&health_bytes(event.key))?.is_none();
                health::add(transaction, &[event])?;
                is_new
            }
            Line::Contact(mut line) => {
                let (number, feed) = (line.number, line.feed.take().map(|feed| feed.0));
                contacts::Row { number, contact: line.contact(), feed }.store(transaction)?
            }
            Line::Notice(line) => notices::store(transaction, &line.notice())?,
            Line::Told(line) => notices::store_told(transaction, line.what.into(), Hash64(line.mark.0), line.at.0)?,
            Line::Webmention(line) => {
                let webmention = line.webmention();
                let is_new = transaction.open_table(WEBMENTIONS)?.get(&health_bytes(webmention.key))?.is_none();
                webmentions::keep(transaction, &webmention)?;
                is_new
            }
            Line::End(end) => {
                if end.lines != before {
                    return Err(refused(format!("{} lines were exported and {before} have come", end.lines)));
                }
                self.reading.has_ended = true;
                true
            }
        };
        if is_new { Ok(()) } else { Err(refused("the same came before")) }
    }

    fn head(&mut self, head: &HeadLine, before: u64) -> Result<(), Stop> {
        if before > 0 {
            return Err(refused("an export begins in the middle of another"));
        }
        match head.listend_export {
            1..=VERSION => {}
            newer if newer > VERSION => {
                return Err(refused(format!(
                    "the export has version {newer} and this listend knows versions up to {VERSION}: install the newer listend"
                )));
            }
            none => return Err(refused(format!("there is no version {none} of exports"))),
        }
        if head.next_feed > u64::from(u32::MAX) {
            return Err(refused("next_feed is beyond all numbers of feeds"));
        }
        self.reading.next_feed = head.next_feed;
        self.transaction.open_table(META)?.insert(META_NEXT_FEED, head.next_feed)?;
        Ok(())
    }

    fn feed(&mut self, mut line: FeedLine) -> Result<(), Stop> {
        let not_by: Vec<FeedUrl> = std::mem::take(&mut line.not_by).into_iter().map(|url| url.0).collect();
        let feed = line.feed().map_err(refused)?;
        let id = feed.id;
        if u64::from(id.0) >= self.reading.next_feed {
            return Err(refused(format!("feed {} is not below next_feed", id.0)));
        }
        if self.transaction.open_table(FEEDS)?.insert(id.0, FeedRecord::of(&feed).bytes().as_slice())?.is_some() {
            return Err(refused(format!("feed {} came before", id.0)));
        }
        self.transaction.open_table(STATES)?.insert(id.0, encode_state(&feed).as_slice())?;
        let mut by_url = self.transaction.open_table(URLS)?;
        for url in feed.addresses().filter(|url| !not_by.contains(url)) {
            if let Some(other) =
                by_url.insert(url.as_str(), id.0)?.map(|other| other.value()).filter(|other| *other != id.0)
            {
                return Err(refused(format!("{url} is the address of feed {other} too")));
            }
        }
        self.reading.moved.feeds += 1;
        self.reading.feed = Some((id, CountRecord { next_seq: feed.next_seq, ..CountRecord::default() }));
        Ok(())
    }

    /// The feed of which everything has come is counted.
    fn end_feed(&mut self) -> Result<(), Stop> {
        if let Some((feed, count)) = self.reading.feed.take() {
            self.transaction.open_table(COUNTS)?.insert(feed.0, encode(&count).as_slice())?;
        }
        Ok(())
    }

    /// The tables of the feed that lines are about, and its count.
    fn of(&mut self, feed: FeedId) -> Result<(&mut Streams<'a>, &mut CountRecord), Stop> {
        let Some((_, count)) = self.reading.feed.as_mut().filter(|(current, _)| *current == feed) else {
            return Err(refused(format!("it is about feed {}, which is not the one above", feed.0)));
        };
        if self.streams.is_none() {
            self.streams = Some(Streams::open(self.transaction)?);
        }
        let streams = self.streams.as_mut().ok_or_else(|| refused("the tables are closed"))?;
        Ok((streams, count))
    }

    fn identity(&mut self, feed: FeedId, known: &Known) -> Result<(), Stop> {
        let (streams, count) = self.of(feed)?;
        if known.seq >= count.next_seq {
            return Err(refused(format!("number {} is not below the feed's next_number", known.seq)));
        }
        if streams.identities.change(feed, std::iter::once(known.seq), |held| Ok(held.put(*known)))?.is_some() {
            return Err(refused(format!("number {} came before", known.seq)));
        }
        count.purged += u32::from(known.purged);
        Ok(())
    }

    fn entry(&mut self, entry: Entry) -> Result<(), Stop> {
        let key = entry.key;
        let is_waiting = self.waiting.iter().any(|(waiting, _)| waiting.key == key);
        let (streams, count) = self.of(key.feed)?;
        let known = streams.identities.one(key.feed, key.seq)?;
        let Some(known) = known else { return Err(refused(format!("no identity of number {} came before", key.seq))) };
        if known.purged || known.listed_at != key.listed_at {
            return Err(refused(format!("the identity of number {} says otherwise", key.seq)));
        }
        let place = entry_bytes(key);
        if is_waiting || streams.entries.get(&place)?.is_some() {
            return Err(refused(format!("entry {key} came before")));
        }
        if let Some(link) = known.link {
            streams.links.insert(&link_bytes(link, &place), known.first_seen.millis())?;
        }
        count.entries += 1;
        count.newest = count.newest.max(Some(key.listed_at.millis()));
        self.reading.moved.entries += 1;
        self.waiting.push((entry, known.link));
        if self.waiting.len() == STORED_TOGETHER { Ok(self.store_waiting()?) } else { Ok(()) }
    }

    /// Stores the entries that wait, which are of one feed.
    fn store_waiting(&mut self) -> Result<(), Fault> {
        let Some(streams) = &mut self.streams else { return Ok(()) };
        let waiting = std::mem::take(&mut self.waiting);
        // Where they link to is heard anew.
        let record = |entry: &Entry| Record { text: text::record(entry.key, entry).into(), links: Vec::new() };
        let records: Vec<Record<'_>> = waiting.iter().map(|(entry, _)| record(entry)).collect();
        let places = streams.texts.add(&records.iter().collect::<Vec<_>>())?;
        for ((entry, link), text) in waiting.iter().zip(places) {
            let row = rows::value(entry.first_seen, *link, text);
            streams.entries.insert(&entry_bytes(entry.key), row.as_slice())?;
        }
        Ok(())
    }
}
