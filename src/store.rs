//! The database: feeds, entries, identities, events. The only room that knows redb.
//!
//! One file, `listend.redb` in the state directory; `store/tables.rs` describes what stands in it. Everything comes
//! and goes in batches of the words of [`model`](crate::model), so that another engine could stand behind the same
//! methods. Each writing method is one durable transaction: when it returns `Ok`, a kill or a power
//! cut loses nothing of it; when it fails, nothing of it is half stored, and the same call may be repeated.
//!
//! After an I/O error (a full disk) reads go on from a database opened anew, also while the disk takes no writes, and
//! each later write first tries to open it for writing again; nobody outside needs to do anything but repeat the write.
//!
//! All methods block on the disk: call them on a thread that may. Knows neither lists nor the network, and no clock.

mod aside;
mod blocks;
mod commit;
mod contacts;
mod copies;
mod engine;
mod error;
mod export;
mod health;
mod identities;
mod import;
mod join;
mod journal;
mod kept;
mod lines;
mod notices;
mod packing;
mod records;
mod rows;
mod said;
mod snapshot;
mod sweep;
mod tables;
mod takeover;
#[cfg(test)]
mod tests;
mod text;
mod webmentions;
mod websub;

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable};

pub use commit::FeedUpdate;
pub use copies::RemoteCopy;
pub use error::{OpenError, StoreError};
pub use export::{ExportError, Moved};
pub use import::ImportError;
pub use join::{Join, Kinship};
pub use journal::Noted;
pub use kept::ListNews;
pub use snapshot::{Head, Snapshot};
pub use sweep::{FeedCount, Retention, Swept};
pub use takeover::TakeOver;

use crate::model::{
    Contact, EntryKey, Feed, FeedId, FeedUrl, Hash64, HealthEvent, HubSubscription, Known, ListEvent, Notice,
    NoticeKind, Said, Timestamp, Webmention,
};
use engine::Engine;
use error::Fault;
use journal::Journal;
use records::asked_at;
use tables::{COUNTS, FEEDS, SOURCES, STATES, WEBMENTIONS, if_made};

/// The open database. Shared by reference: all methods take `&self`, from any thread.
pub struct Store {
    engine: Arc<Engine>,
    journal: Journal,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database in `directory`; makes the directory (for its owner only) and the database where they are
    /// missing. Pages of the file are kept in memory up to `cache_bytes`.
    ///
    /// A database that was left by a kill opens as quickly as any other. One that is damaged is reported and left as
    /// it is.
    pub fn open(directory: &Path, cache_bytes: usize) -> Result<Self, OpenError> {
        let engine = Arc::new(Engine::open(directory, cache_bytes)?);
        let journal = Journal::open(directory)
            .map_err(|source| OpenError::Io { file: directory.join("listend.states.*"), source })?;
        let store = Self { engine, journal };
        match store.take_up_notes() {
            // They wait on; a full disk is no reason not to serve.
            Err(error) if !error.may_pass() => Err(error.into()),
            _ => Ok(store),
        }
    }

    /// Stores what was noted and not stored before the last run ended.
    fn take_up_notes(&self) -> Result<(), StoreError> {
        if !self.journal.is_waiting() {
            return Ok(());
        }
        self.engine.read(|transaction| {
            let states = transaction.open_table(STATES)?;
            self.journal.retain(|noted| {
                let Some(stored) = states.get(noted.feed.0)? else { return Ok(false) };
                // A line that cannot be read was written by another version; it says nothing that will not be asked again.
                let Ok(asked) = asked_at(&noted.bytes) else { return Ok(false) };
                Ok::<_, Fault>(asked > asked_at(stored.value())?)
            })
        })?;
        self.commit(&mut [])
    }

    /// All feeds, in order of their numbers.
    pub fn feeds(&self) -> Result<Vec<Feed>, StoreError> {
        self.engine.read(|transaction| {
            let tables = FeedTables::of(&transaction)?;
            let mut feeds = Vec::new();
            for row in tables.feeds.iter()? {
                let (id, record) = row?;
                feeds.push(tables.feed(FeedId(id.value()), record.value())?);
            }
            Ok(feeds)
        })
    }

    /// One feed; `None` where there is none of this number any more.
    pub fn feed(&self, id: FeedId) -> Result<Option<Feed>, StoreError> {
        self.engine.read(|transaction| {
            let tables = FeedTables::of(&transaction)?;
            let record = tables.feeds.get(id.0)?;
            record.map(|record| tables.feed(id, record.value())).transpose()
        })
    }

    /// Takes over lists that were read anew, in one transaction, or in none where everything is stored already. Returns
    /// the feeds of `new.urls`, in their order: new ones have the next number and are due at `now`; those that are
    /// stored are as they were, except that they stand in a list again, by an address at which they do. Several addresses
    /// may be one feed's. Numbers are never used twice.
    pub fn take_over(&self, new: &TakeOver, now: Timestamp) -> Result<Vec<Feed>, StoreError> {
        if let Some(feeds) = self.engine.read(|transaction| new.is_known(&transaction))? {
            return Ok(feeds);
        }
        let ids = self.engine.write(|transaction| new.apply(transaction, now))?;
        self.engine.read(|transaction| {
            let tables = FeedTables::of(&transaction)?;
            ids.iter().map(|id| tables.one(*id)).collect()
        })
    }

    /// What came of polls: entries, identities, validators and schedules of many feeds, in one transaction. On success
    /// `entries`, `newest` and `next_seq` of each update's feed are what is stored now.
    ///
    /// A feed that was removed meanwhile is left out. What retention purged meanwhile stays purged. Repeating a commit
    /// that failed stores everything once, also where the failed one had reached the disk; so after a failure repeat
    /// it, or read the [`feed`](Self::feed) and what is [`known`](Self::known) again before the next change.
    ///
    /// States that were [noted](Self::note_state) go along; `updates` may be empty where they are all there is.
    pub fn commit(&self, updates: &mut [FeedUpdate]) -> Result<(), StoreError> {
        let encoded = commit::encode_all(updates);
        let noted = self.journal.take();
        let committed = self.engine.write(|transaction| {
            commit::apply_states(transaction, &noted.states)?;
            commit::apply_all(transaction, updates, &encoded)
        });
        let counts = match committed {
            Ok(counts) => counts,
            Err(error) => {
                self.journal.put_back(noted);
                return Err(error);
            }
        };
        self.journal.stored(&noted);
        for (update, count) in updates.iter_mut().zip(counts) {
            if let Some(count) = count {
                update.feed.entries = count.entries;
                update.feed.newest = count.newest();
                update.feed.next_seq = count.next_seq;
            }
        }
        Ok(())
    }

    /// Notes the state of a feed (its schedule, validators and how it fared) where nothing else of it has changed: it is
    /// stored with the next [`commit`](Self::commit), and outlives a kill before that, but not a power cut. Until then
    /// other methods see the feed as it was. It must have been asked later than the stored one: by that it is known to be
    /// news after a kill.
    pub fn note_state(&self, feed: &Feed) -> Result<Noted, StoreError> {
        self.journal.note(feed).map_err(|source| self.engine.io_error(source))
    }

    /// Whether states that were noted wait for a commit.
    pub fn has_noted(&self) -> bool {
        self.journal.is_waiting()
    }

    /// Makes one feed of two that turned out to be one; what is stored of it afterwards. `None` where nothing
    /// was joined: one of the two is not stored any more, as when the same call had succeeded before, or the winner has as
    /// many aliases as a feed may have.
    pub fn join(&self, join: &Join, now: Timestamp) -> Result<Option<Feed>, StoreError> {
        self.engine.write(|transaction| join.apply(transaction, now))
    }

    /// Everything that a feed's entries are recognised by, in order of their numbers, purged ones included.
    pub fn known(&self, feed: FeedId) -> Result<Vec<Known>, StoreError> {
        self.engine.read(|transaction| identities::Stored::of(&transaction)?.all(feed))
    }

    /// Of each of these feeds, when the first of its entries that are remembered was first seen, in their order.
    pub fn first_seen(&self, feeds: &[FeedId]) -> Result<Vec<Option<Timestamp>>, StoreError> {
        self.engine.read(|transaction| {
            let identities = identities::Stored::of(&transaction)?;
            let first_seen = |feed| Ok(identities.first(feed, 1)?.first().map(|known| known.first_seen));
            feeds.iter().copied().map(first_seen).collect()
        })
    }

    /// A view of all entries as they are now.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Snapshot::take(&self.engine)
    }

    /// The last good content of each list, by name.
    pub fn lists(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.engine.read(|transaction| kept::all(&transaction))
    }

    /// What happened in the lists at or after an instant, oldest first; events of one instant as they were given.
    pub fn events(&self, since: Timestamp) -> Result<Vec<ListEvent>, StoreError> {
        self.engine.read(|transaction| kept::events(&transaction, since))
    }

    /// The last good copies of remote lists, in the order of addresses.
    pub fn copies(&self) -> Result<Vec<RemoteCopy>, StoreError> {
        self.engine.read(|transaction| copies::all(&transaction))
    }

    /// Keeps copies of remote lists, each in place of the one before, and forgets others.
    pub fn keep_copies(&self, kept: &[RemoteCopy], forgotten: &[FeedUrl]) -> Result<(), StoreError> {
        self.engine.write(|transaction| copies::keep(transaction, kept, forgotten))
    }

    /// All remembered paths, in the order of their bytes.
    pub fn paths(&self) -> Result<Vec<(String, FeedUrl)>, StoreError> {
        self.engine.read(|transaction| kept::paths(&transaction))
    }

    /// Keeps what happened to lists themselves; what happens to feeds comes with [`commit`](Self::commit). Noting the
    /// same event again changes nothing. Events of 400 days are kept, at most 5,000.
    pub fn note(&self, events: &[HealthEvent]) -> Result<(), StoreError> {
        self.engine.write(|transaction| health::add(transaction, events))
    }

    /// What happened to feeds and lists themselves: at most `max` events behind `before`, newest first.
    pub fn health(&self, before: Option<EntryKey>, max: usize) -> Result<Vec<HealthEvent>, StoreError> {
        self.engine.read(|transaction| health::latest(&transaction, before, max))
    }

    /// Keeps contact that was recorded by hand. Keeping the same again changes nothing.
    pub fn keep_contact(&self, contact: &Contact) -> Result<(), StoreError> {
        self.engine.write(|transaction| contacts::add(transaction, contact))
    }

    /// All recorded contacts, oldest first.
    pub fn contacts(&self) -> Result<Vec<Contact>, StoreError> {
        self.engine.read(|transaction| contacts::all(&transaction))
    }

    /// Keeps notices. One whose kind and mark were told before changes nothing.
    pub fn tell(&self, notices: &[Notice]) -> Result<(), StoreError> {
        self.engine.write(|transaction| notices::add(transaction, notices))
    }

    /// Which of some marks were told, in their order.
    pub fn are_told(&self, marks: &[(NoticeKind, Hash64)]) -> Result<Vec<bool>, StoreError> {
        self.engine.read(|transaction| notices::are_told(&transaction, marks))
    }

    /// Notices of some kinds: at most `max` of each behind `before`, all together newest first.
    pub fn notices(
        &self,
        kinds: &[NoticeKind],
        before: Option<EntryKey>,
        max: usize,
    ) -> Result<Vec<Notice>, StoreError> {
        self.engine.read(|transaction| notices::latest(&transaction, kinds, before, max))
    }

    /// Keeps a verified Webmention in place of what its source said of its target before; the first one's key stays.
    pub fn keep_webmention(&self, webmention: &Webmention) -> Result<(), StoreError> {
        self.engine.write(|transaction| webmentions::keep(transaction, webmention))
    }

    /// Forgets what a source said of a target; whether there was anything.
    pub fn forget_webmention(&self, source: &str, target: &str) -> Result<bool, StoreError> {
        self.engine.write(|transaction| webmentions::forget(transaction, source, target))
    }

    /// The Webmention of a source about a target.
    pub fn webmention(&self, source: &str, target: &str) -> Result<Option<Webmention>, StoreError> {
        self.engine.read(|transaction| {
            let Some(sources) = if_made(&transaction, SOURCES)? else { return Ok(None) };
            let Some(key) = webmentions::key_of(&sources, source, target)? else { return Ok(None) };
            if_made(&transaction, WEBMENTIONS)?.map_or(Ok(None), |table| webmentions::get(&table, key))
        })
    }

    /// Keeps anew what entries that are stored say of others, up to `heard_to` in the order of
    /// [`Snapshot::all_entries`]; entries that are no longer stored are left out. `None` as `heard_to`: that was all,
    /// and the next walk begins from the first. `heard_as` says by what it was heard (see [`Store::heard`]).
    pub fn hear(&self, said: &[Said], heard_as: Hash64, heard_to: Option<EntryKey>) -> Result<(), StoreError> {
        self.engine.write(|transaction| {
            commit::Streams::open(transaction)?.keep_said(said)?;
            said::keep_walk(transaction, heard_as, heard_to)
        })
    }

    /// By what the stored entries were last heard as a whole: the caller's hash of your sites, names and inboxes. With
    /// it, where a walk that was begun goes on; `None` in its place where it is complete.
    pub fn heard(&self) -> Result<Option<(Hash64, Option<EntryKey>)>, StoreError> {
        self.engine.read(|transaction| said::walk(&transaction))
    }

    /// Everything that is agreed with WebSub hubs, in no order that means anything.
    pub fn hub_subscriptions(&self) -> Result<Vec<HubSubscription>, StoreError> {
        self.engine.read(|transaction| websub::all(&transaction))
    }

    /// Keeps what changed in the agreements with hubs, each under the token of its callback; `None` forgets one.
    pub fn keep_hub_subscriptions(&self, changed: &[(String, Option<HubSubscription>)]) -> Result<(), StoreError> {
        self.engine.write(|transaction| websub::keep(transaction, changed))
    }

    /// One step of applying retention: entries beyond number or age go, but never the newest 20 of a feed; purged
    /// identities are forgotten 90 days after the feed's document last carried them; feeds that left all lists go with
    /// everything that they have 30 days after [`Feed::left_at`]. Begins at `from`, or at the first feed; to go through
    /// all of them, repeat with [`Swept::next`] until that is `None`.
    ///
    /// A step takes some milliseconds and at most one transaction; what it returns is all that it did.
    pub fn sweep(&self, now: Timestamp, retention: &Retention, from: Option<FeedId>) -> Result<Swept, StoreError> {
        sweep::sweep(&self.engine, now, retention, from)
    }

    /// Writes everything that cannot be fetched again to `out`, a line of JSON for each thing, as it was after the last
    /// commit; writers go on meanwhile. The same state gives the same bytes. Addresses come without credentials.
    pub fn export(&self, out: &mut dyn Write) -> Result<Moved, ExportError> {
        export::export(&self.engine, out)
    }

    /// Makes the database of a state directory, which must be empty or missing, from what [`export`](Self::export) wrote.
    /// Either everything is imported or nothing: it is made under another name and moved into its place.
    pub fn import(directory: &Path, cache_bytes: usize, input: impl BufRead) -> Result<Moved, ImportError> {
        import::import(directory, cache_bytes, input)
    }

    /// The database's file in a state directory.
    pub fn file(directory: &Path) -> PathBuf {
        directory.join(engine::FILE_NAME)
    }

    /// Gives the free space inside the file back to the file system; whether there was any. Reads and writes wait
    /// meanwhile, and it waits for no snapshot: with one in use it answers [`StoreError::Busy`].
    pub fn compact(&self) -> Result<bool, StoreError> {
        self.engine.compact()
    }
}

/// The three tables that make a feed, of one transaction.
struct FeedTables {
    feeds: ReadOnlyTable<u32, &'static [u8]>,
    states: ReadOnlyTable<u32, &'static [u8]>,
    counts: ReadOnlyTable<u32, &'static [u8]>,
}

impl FeedTables {
    fn of(transaction: &ReadTransaction) -> Result<Self, Fault> {
        Ok(Self {
            feeds: transaction.open_table(FEEDS)?,
            states: transaction.open_table(STATES)?,
            counts: transaction.open_table(COUNTS)?,
        })
    }

    /// A feed that there must be.
    fn one(&self, id: FeedId) -> Result<Feed, Fault> {
        let record = self.feeds.get(id.0)?;
        let record = record.ok_or_else(|| Fault::Unreadable(format!("feed {} has no record", id.0)))?;
        self.feed(id, record.value())
    }

    /// The feed of this number and record.
    fn feed(&self, id: FeedId, record: &[u8]) -> Result<Feed, Fault> {
        let missing = |what| Fault::Unreadable(format!("feed {} has no {what}", id.0));
        let state = self.states.get(id.0)?.ok_or_else(|| missing("state"))?;
        let count = self.counts.get(id.0)?.ok_or_else(|| missing("count"))?;
        records::feed(id, record, state.value(), count.value())
    }
}
