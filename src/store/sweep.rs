//! Retention: what goes, and when. In bounded steps, so that polls are stored in between.
//!
//! # When an identity is forgotten
//!
//! What was purged must be recognised as long as the feed may bring it again: until 90 days after its document last
//! carried it. The day in `Known::carried_on` is that of a *parsed* document; answers 304 and bodies that are the same
//! as the last one are not parsed, yet carry everything that the last parsed one did. So:
//!
//! - what the feed's last parsed document carried (its day is the feed's latest) is still being carried, and never
//!   forgotten as long as the feed itself is kept;
//! - anything else left the feed's document on the next day on which one was parsed, at the latest; the nearest later
//!   day among the feed's identities is that day or a later one. 90 days after it, the identity goes.
//!
//! Both err on the side of remembering, and both are bounded by what the documents of 90 days held; a feed that brings
//! new entries by the thousand with each poll is cut to [`MAX_PURGED_PER_FEED`] identities, those carried last.

use std::collections::HashSet;
use std::time::Duration;

use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::commit::Streams;
use super::engine::Engine;
use super::error::{Fault, StoreError};
use super::identities;
use super::records::{CountRecord, FeedRecord, decode, encode};
use super::tables::{COUNTS, ENTRIES, FEEDS, PATHS, STATES, URLS};
use super::tables::{EntryBytes, entry_key, stream_bounds};
use crate::model::{FeedId, Known, Timestamp};

/// How long entries are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// At most so many entries of each feed.
    pub entries_per_feed: u32,
    /// Entries listed longer ago than this go.
    pub age: Duration,
}

impl Default for Retention {
    /// 1,000 entries of each feed, 400 days.
    fn default() -> Self {
        Self { entries_per_feed: 1000, age: Duration::from_hours(400 * 24) }
    }
}

impl Retention {
    /// The newest entries of each feed always stay.
    pub const ALWAYS_KEPT: u32 = 20;
    /// How long a purged entry is remembered after the feed's document last carried it, in days.
    pub const REMEMBERED_DAYS: i32 = 90;
    /// How long a feed is kept that stands in no list any more.
    pub const LEFT_FEEDS_KEPT: Duration = Duration::from_hours(30 * 24);
}

/// At most so many purged entries of one feed are remembered.
const MAX_PURGED_PER_FEED: usize = 50_000;

/// Rows that one step removes at most: some milliseconds, or some tens where each leaves a block half empty.
const ROWS_PER_STEP: usize = 1_000;
/// Feeds that one step looks at, at most.
const FEEDS_PER_STEP: usize = 1_000;
/// Feeds that one step sweeps, at most: what is looked at and not reached is looked at again.
const DUE_PER_STEP: usize = 64;

/// What one step of a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Entries whose text was removed, without those of removed feeds.
    pub entries: u64,
    /// Identities that were forgotten, without those of removed feeds.
    pub identities: u64,
    /// Feeds that were removed with everything that they had. Their numbers are not used again.
    pub feeds: Vec<FeedId>,
    /// What the changed feeds count to now.
    pub counts: Vec<FeedCount>,
    /// Where the next step goes on; `None` once all feeds were gone through.
    pub next: Option<FeedId>,
}

/// What a feed's stored entries count to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedCount {
    /// The feed.
    pub feed: FeedId,
    /// How many of its entries are stored.
    pub entries: u32,
    /// The place of its newest stored entry.
    pub newest: Option<Timestamp>,
}

/// One step, in at most one transaction.
pub(super) fn sweep(
    engine: &Engine,
    now: Timestamp,
    retention: &Retention,
    from: Option<FeedId>,
) -> Result<Swept, StoreError> {
    let start = from.map_or(0, |feed| feed.0);
    // A look without the write lock: most feeds have nothing to sweep.
    let (due, next) = engine.read(|transaction| look(&transaction, start, now, retention))?;
    let mut swept = Swept { next, ..Swept::default() };
    if due.is_empty() {
        return Ok(swept);
    }
    let outcomes = engine.write(|transaction| sweep_some(transaction, &due, now, retention))?;
    if let Some((feed, _)) = outcomes.last().filter(|(_, outcome)| outcome.more) {
        swept.next = Some(*feed);
    }
    for (feed, outcome) in outcomes {
        swept.entries += outcome.purged as u64;
        swept.identities += outcome.forgotten as u64;
        if outcome.removed {
            swept.feeds.push(feed);
        } else if outcome.count != outcome.before {
            let (entries, newest) = (outcome.count.entries, outcome.count.newest());
            swept.counts.push(FeedCount { feed, entries, newest });
        }
    }
    Ok(swept)
}

/// Which feeds have something to sweep, of at most [`FEEDS_PER_STEP`] from a number on; where to go on.
fn look(
    transaction: &ReadTransaction,
    start: u32,
    now: Timestamp,
    retention: &Retention,
) -> Result<(Vec<FeedId>, Option<FeedId>), Fault> {
    let feeds = transaction.open_table(FEEDS)?;
    let counts = transaction.open_table(COUNTS)?;
    let entries = transaction.open_table(ENTRIES)?;
    let identities = identities::Stored::of(transaction)?;
    let mut due = Vec::new();
    for (looked, row) in feeds.range(start..)?.enumerate() {
        let (id, record) = row?;
        let feed = FeedId(id.value());
        if looked == FEEDS_PER_STEP || due.len() == DUE_PER_STEP {
            return Ok((due, Some(feed)));
        }
        let count = count_of(&counts, feed)?;
        let (first, last) = stream_bounds(feed);
        let oldest = entries.range::<&EntryBytes>(&first..=&last)?.next().transpose()?;
        let oldest = oldest.map(|(place, _)| entry_key(place.value()).listed_at);
        if is_gone(&FeedRecord::read(record.value())?, now)
            || excess(&count, oldest, now, retention)
            || count.purged > 0 && !forgettable(&identities.all(feed)?, now).is_empty()
        {
            due.push(feed);
        }
    }
    Ok((due, None))
}

/// What was done to one feed in one step.
#[derive(Default)]
struct Outcome {
    purged: usize,
    forgotten: usize,
    /// The feed is gone.
    removed: bool,
    /// There is more to do.
    more: bool,
    before: CountRecord,
    count: CountRecord,
}

/// Sweeps feeds until a step's share of rows is done; what was done to each. Only the last may need more.
fn sweep_some(
    transaction: &WriteTransaction,
    due: &[FeedId],
    now: Timestamp,
    retention: &Retention,
) -> Result<Vec<(FeedId, Outcome)>, Fault> {
    let mut feeds = transaction.open_table(FEEDS)?;
    let mut counts = transaction.open_table(COUNTS)?;
    let mut streams = Streams::open(transaction)?;
    let mut outcomes = Vec::new();
    let mut removed = HashSet::new();
    let mut room = ROWS_PER_STEP;
    for &feed in due {
        let record = feeds.get(feed.0)?.map(|record| {
            let record = FeedRecord::read(record.value())?;
            let addresses = || record.addresses().map(str::to_owned).collect::<Vec<_>>();
            Ok::<_, Fault>(is_gone(&record, now).then(addresses))
        });
        let Some(gone) = record.transpose()? else {
            outcomes.push((feed, Outcome { removed: true, ..Outcome::default() }));
            continue;
        };
        let before = count_of(&counts, feed)?;
        let mut outcome = Outcome { before, count: before, ..Outcome::default() };
        if let Some(addresses) = gone {
            let rows = streams.remove_some(feed, room, &mut outcome.count)?;
            room -= rows;
            outcome.more = room == 0;
            outcome.removed = !outcome.more;
            if outcome.removed {
                // The feed's own records go last, so that a sweep that was cut short finds it again.
                counts.remove(feed.0)?;
                feeds.remove(feed.0)?;
                transaction.open_table(STATES)?.remove(feed.0)?;
                let mut by_url = transaction.open_table(URLS)?;
                for url in addresses {
                    // An address may be another feed's by now.
                    if by_url.get(url.as_str())?.is_some_and(|id| id.value() == feed.0) {
                        by_url.remove(url.as_str())?;
                        removed.insert(url);
                    }
                }
            }
        } else {
            outcome.purged = streams.purge(feed, now, retention, room, &mut outcome.count)?;
            room -= outcome.purged;
            outcome.forgotten = streams.forget(feed, now, room, &mut outcome.count)?;
            room -= outcome.forgotten;
            outcome.more = room == 0;
        }
        if !outcome.removed && outcome.count != before {
            counts.insert(feed.0, encode(&outcome.count).as_slice())?;
        }
        outcomes.push((feed, outcome));
        if room == 0 {
            break;
        }
    }
    if !removed.is_empty() {
        transaction.open_table(PATHS)?.retain(|_, leads_to| !removed.contains(leads_to))?;
    }
    Ok(outcomes)
}

pub(super) fn count_of(counts: &impl ReadableTable<u32, &'static [u8]>, feed: FeedId) -> Result<CountRecord, Fault> {
    counts.get(feed.0)?.map_or(Ok(CountRecord::default()), |count| decode(count.value(), "count of a feed"))
}

fn is_gone(record: &FeedRecord<'_>, now: Timestamp) -> bool {
    record.left_at().is_some_and(|left| now >= left.plus(Retention::LEFT_FEEDS_KEPT))
}

/// Whether a feed has entries that retention takes.
fn excess(count: &CountRecord, oldest: Option<Timestamp>, now: Timestamp, retention: &Retention) -> bool {
    count.entries > Retention::ALWAYS_KEPT
        && (count.entries > retention.entries_per_feed
            || oldest.is_some_and(|oldest| oldest < now.minus(retention.age)))
}

/// The numbers of purged identities, of all that a feed has, that have not been carried for long, those carried longest ago
/// first.
fn forgettable(identities: &[Known], now: Timestamp) -> Vec<u32> {
    let mut days: Vec<i32> = identities.iter().map(|known| known.carried_on).collect();
    let is_purged = |known: &&Known| known.purged;
    let mut purged: Vec<_> = identities.iter().filter(is_purged).map(|known| (known.carried_on, known.seq)).collect();
    days.sort_unstable();
    days.dedup();
    purged.sort_unstable();
    let too_many = purged.len().saturating_sub(MAX_PURGED_PER_FEED);
    let today = i32::try_from(now.days()).unwrap_or(i32::MAX);
    let gone_long_ago = |&(carried_on, _): &(i32, u32)| {
        let left_by = days.get(days.partition_point(|&day| day <= carried_on));
        left_by.is_some_and(|&day| day.saturating_add(Retention::REMEMBERED_DAYS) < today)
    };
    // They stand in the order in which they were carried: no later one goes where an earlier one stays.
    let forgotten = purged.iter().take_while(|known| gone_long_ago(known)).count().max(too_many);
    purged.truncate(forgotten);
    purged.into_iter().map(|(_, seq)| seq).collect()
}

impl Streams<'_> {
    /// Removes the text of the oldest entries that retention takes; how many.
    fn purge(
        &mut self,
        feed: FeedId,
        now: Timestamp,
        retention: &Retention,
        room: usize,
        count: &mut CountRecord,
    ) -> Result<usize, Fault> {
        let may_go = count.entries.saturating_sub(Retention::ALWAYS_KEPT) as usize;
        let too_many = count.entries.saturating_sub(retention.entries_per_feed) as usize;
        let too_old = now.minus(retention.age);
        let (first, last) = stream_bounds(feed);
        let mut going = Vec::new();
        for row in self.entries.range::<&EntryBytes>(&first..=&last)?.take(may_go.min(room)) {
            let key = entry_key(row?.0.value());
            if going.len() >= too_many && key.listed_at >= too_old {
                break;
            }
            going.push(key);
        }
        self.remove(&going)?;
        self.identities.change(feed, going.iter().map(|key| key.seq), |held| {
            for key in &going {
                let Some(known) = held.get(key.seq) else { continue };
                held.put(Known { purged: true, ..known });
                count.purged = count.purged.saturating_add(u32::from(!known.purged));
            }
            Ok(())
        })?;
        count.entries = count.entries.saturating_sub(going.len() as u32);
        if !going.is_empty() {
            let newest = self.entries.range::<&EntryBytes>(&first..=&last)?.next_back().transpose()?;
            count.newest = newest.map(|(place, _)| entry_key(place.value()).listed_at.millis());
        }
        Ok(going.len())
    }

    /// Forgets what is [`forgettable`]; how many identities.
    fn forget(&mut self, feed: FeedId, now: Timestamp, room: usize, count: &mut CountRecord) -> Result<usize, Fault> {
        if count.purged == 0 {
            return Ok(0);
        }
        let mut seqs = forgettable(&self.identities.all(feed)?, now);
        seqs.truncate(room);
        self.forget_identities(feed, &seqs)?;
        count.purged = count.purged.saturating_sub(seqs.len() as u32);
        Ok(seqs.len())
    }

    /// Removes at most `room` rows of everything that a feed has; fewer once nothing is left.
    pub(super) fn remove_some(&mut self, feed: FeedId, room: usize, count: &mut CountRecord) -> Result<usize, Fault> {
        let (first, last) = stream_bounds(feed);
        let mut going = Vec::new();
        for row in self.entries.range::<&EntryBytes>(&first..=&last)?.take(room) {
            going.push(entry_key(row?.0.value()));
        }
        self.remove(&going)?;
        let room = room - going.len();
        let mut seqs: Vec<u32> = self.identities.first(feed, room)?.iter().map(|known| known.seq).collect();
        seqs.truncate(room);
        self.forget_identities(feed, &seqs)?;
        // The text goes oldest first, so what is left has the newest entry to the end.
        count.entries = count.entries.saturating_sub(going.len() as u32);
        if count.entries == 0 {
            count.newest = None;
        }
        Ok(going.len() + seqs.len())
    }

    fn forget_identities(&mut self, feed: FeedId, seqs: &[u32]) -> Result<(), Fault> {
        self.identities.change(feed, seqs.iter().copied(), |held| {
            for &seq in seqs {
                held.remove(seq);
            }
            Ok(())
        })
    }
}
