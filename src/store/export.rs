//! Everything that cannot be fetched again, as lines of JSON.
//!
//! Feeds come with what is known of them, in the order of their numbers; one behind the other follow their identities
//! and their entries. What the daemon works out anew is left out: links and mentions of entries, and what is agreed with
//! hubs. The same state gives the same bytes. Read by `import`; the lines themselves are described in `lines`.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

use redb::{ReadTransaction, ReadableTable};

use super::FeedTables;
use super::blocks::Reader;
use super::contacts;
use super::copies;
use super::engine::Engine;
use super::error::{Fault, StoreError};
use super::health;
use super::identities;
use super::kept;
use super::lines::{
    Address, ContactLine, ContentLine, EndLine, EntryLine, FeedEventLine, FeedLine, HeadLine, Hex, IdentityLine, Line,
    ListEventLine, NoticeLine, PathLine, RemoteListLine, Time, ToldLine, VERSION, WebmentionLine,
};
use super::notices;
use super::records::{EventRecord, decode};
use super::tables::{
    CONTACTS, ENTRIES, EVENTS, EntryBytes, META, META_NEXT_FEED, NOTICES, TEXTS, TOLD, URLS, WEBMENTIONS, entry_key,
    event_key, health_key, if_made, stream_bounds,
};
use super::webmentions;
use crate::model::{FeedId, FeedUrl};

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The database could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was to take the lines did not.
    #[error("the export cannot be written: {0}")]
    Output(io::Error),
}

/// How much an export or an import was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Feeds.
    pub feeds: u64,
    /// Entries with their text.
    pub entries: u64,
    /// All lines, the first and the last one included.
    pub lines: u64,
    /// Contents of lists that were left out of an export, since credentials cannot be cut out of them: those in UTF-16, and
    /// with references in place of letters of addresses. The lists' own files have them.
    pub lists_left_out: u64,
}

/// Writes the state after the last commit. Writers go on meanwhile.
pub(super) fn export(engine: &Arc<Engine>, out: &mut dyn Write) -> Result<Moved, ExportError> {
    // Only beginning it needs the database for itself.
    let transaction = engine.read(Ok)?;
    let written = engine.contained(|| match Lines::new(out).all(&transaction) {
        Ok(moved) => Ok(Ok(moved)),
        Err(Stop::Output(error)) => Ok(Err(error)),
        Err(Stop::Fault(fault)) => Err(fault),
    });
    written?.map_err(ExportError::Output)
}

/// Why writing stopped.
enum Stop {
    Fault(Fault),
    Output(io::Error),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<redb::StorageError> for Stop {
    fn from(error: redb::StorageError) -> Self {
        Self::Fault(error.into())
    }
}

impl From<redb::TableError> for Stop {
    fn from(error: redb::TableError) -> Self {
        Self::Fault(error.into())
    }
}

/// What takes the lines.
struct Lines<'w> {
    out: &'w mut dyn Write,
    moved: Moved,
    /// The line under way.
    line: Vec<u8>,
}

impl<'w> Lines<'w> {
    fn new(out: &'w mut dyn Write) -> Self {
        Self { out, moved: Moved::default(), line: Vec::new() }
    }

    fn put(&mut self, line: &Line) -> Result<(), Stop> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line).map_err(|error| Stop::Output(error.into()))?;
        self.line.push(b'\n');
        self.moved.lines += 1;
        self.out.write_all(&self.line).map_err(Stop::Output)
    }

    fn all(mut self, transaction: &ReadTransaction) -> Result<Moved, Stop> {
        let next_feed = transaction.open_table(META)?.get(META_NEXT_FEED)?.map_or(0, |next| next.value());
        self.put(&Line::Head(HeadLine { listend_export: VERSION, next_feed }))?;
        self.feeds(transaction)?;
        self.lists(transaction)?;
        self.relations(transaction)?;
        let end = EndLine { lines: self.moved.lines };
        self.put(&Line::End(end))?;
        self.out.flush().map_err(Stop::Output)?;
        Ok(self.moved)
    }

    fn feeds(&mut self, transaction: &ReadTransaction) -> Result<(), Stop> {
        let tables = FeedTables::of(transaction)?;
        let by_url = transaction.open_table(URLS)?;
        let identities = identities::Stored::of(transaction)?;
        let (entries, texts) = (transaction.open_table(ENTRIES)?, transaction.open_table(TEXTS)?);
        // Without their credentials, addresses of two feeds may be the same: the first one has it.
        let mut shown: HashMap<String, FeedId> = HashMap::new();
        let mut reader = Reader::new();
        for row in tables.feeds.iter()? {
            let (id, record) = row?;
            let id = FeedId(id.value());
            let feed = tables.feed(id, record.value())?;
            let mut not_by: Vec<&FeedUrl> = Vec::new();
            for url in feed.addresses() {
                let mut is_its = by_url.get(url.as_str())?.is_some_and(|named| named.value() == id.0);
                let open = url.to_string();
                if open != url.as_str() {
                    is_its &= by_url.get(open.as_str())?.is_none_or(|named| named.value() == id.0);
                    is_its &= *shown.entry(open).or_insert(id) == id;
                }
                if !is_its {
                    not_by.push(url);
                }
            }
            let line = FeedLine::of(feed.clone(), &not_by);
            self.moved.feeds += 1;
            self.put(&Line::Feed(Box::new(line)))?;

            for known in identities.all(id)? {
                self.put(&Line::Identity(IdentityLine::of(id, &known)))?;
            }
            let (first, last) = stream_bounds(id);
            for row in entries.range::<&EntryBytes>(&first..=&last)? {
                let (place, value) = row?;
                let entry = reader.entry(&texts, entry_key(place.value()), value.value())?;
                self.moved.entries += 1;
                self.put(&Line::Entry(Box::new(EntryLine::of(entry))))?;
            }
        }
        Ok(())
    }

    fn lists(&mut self, transaction: &ReadTransaction) -> Result<(), Stop> {
        for (name, content) in kept::all(transaction)? {
            match ContentLine::of(name, content) {
                Some(line) => self.put(&Line::List(line))?,
                None => self.moved.lists_left_out += 1,
            }
        }
        for copy in copies::all(transaction)? {
            let (line, is_left_out) = RemoteListLine::of(copy);
            self.moved.lists_left_out += u64::from(is_left_out);
            self.put(&Line::RemoteList(Box::new(line)))?;
        }
        for row in transaction.open_table(EVENTS)?.iter()? {
            let (key, value) = row?;
            let (at, number) = event_key(key.value());
            let event = decode::<EventRecord>(value.value(), "event")?.event(at)?;
            self.put(&Line::ListEvent(ListEventLine::of(event, number)))?;
        }
        for (path, feed) in kept::paths(transaction)? {
            self.put(&Line::Path(PathLine { path, feed: Address(feed) }))?;
        }
        Ok(())
    }

    fn relations(&mut self, transaction: &ReadTransaction) -> Result<(), Stop> {
        // Newest first: so they are taken in again without making room for each other.
        let mut before = None;
        loop {
            let events = health::latest(transaction, before, 500)?;
            let Some(last) = events.last() else { break };
            before = Some(last.key);
            for event in events {
                self.put(&Line::FeedEvent(FeedEventLine::of(event)))?;
            }
        }
        if let Some(table) = if_made(transaction, CONTACTS)? {
            for row in table.iter()? {
                let (key, value) = row?;
                let contacts::Row { number, contact, feed } = contacts::Row::read(key.value(), value.value())?;
                self.put(&Line::Contact(ContactLine::of(contact, number, feed)))?;
            }
        }
        if let Some(table) = if_made(transaction, NOTICES)? {
            for row in table.iter()? {
                let (key, value) = row?;
                let notice = notices::read(key.value(), value.value())?;
                self.put(&Line::Notice(NoticeLine::of(notice)))?;
            }
        }
        if let Some(table) = if_made(transaction, TOLD)? {
            for row in table.iter()? {
                let (key, at) = row?;
                let (kind, mark, at) = notices::read_told(key.value(), at.value())?;
                self.put(&Line::Told(ToldLine { what: kind.into(), mark: Hex(mark.0), at: Time(at) }))?;
            }
        }
        if let Some(table) = if_made(transaction, WEBMENTIONS)? {
            for row in table.iter()? {
                let (key, _) = row?;
                if let Some(webmention) = webmentions::get(&table, health_key(key.value()))? {
                    self.put(&Line::Webmention(WebmentionLine::of(webmention)))?;
                }
            }
        }
        Ok(())
    }
}
