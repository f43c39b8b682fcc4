//! Taking over lists that were read anew: what they say, what happened in them, and the feeds in them, all at once.

use std::collections::{BTreeMap, HashMap, HashSet};

use redb::{AccessGuard, ReadTransaction, ReadableTable, Table, WriteTransaction};

use super::FeedTables;
use super::error::Fault;
use super::kept::{self, ListNews};
use super::records::{CountRecord, FeedRecord, encode, encode_state};
use super::sweep::count_of;
use super::tables::{COUNTS, FEEDS, META, META_NEXT_FEED, PATHS, STATES, URLS};
use crate::model::{Feed, FeedId, FeedUrl, Timestamp};

/// What lists that were read anew bring about.
#[derive(Clone, Debug, Default)]
pub struct TakeOver {
    /// Lists whose last good content is another now, by name; `None` forgets a list whose file is gone.
    pub contents: Vec<(String, Option<Vec<u8>>)>,
    /// What happened in the lists.
    pub news: ListNews,
    /// Paths that voices had, each with the address of a feed of that voice, so that they can lead to wherever it is
    /// now. They go with the feed.
    pub paths: Vec<(String, FeedUrl)>,
    /// The feeds that stand in the lists now.
    pub urls: Vec<FeedUrl>,
    /// Outlines whose address was edited: the one before, and the one that stands in its place now. The feed of the
    /// first becomes the [`predecessor`](Feed::predecessor) of the second's; one that had moved there by itself takes
    /// the address at once. Nothing comes of it where another outline names the first feed still.
    pub edits: Vec<(FeedUrl, FeedUrl)>,
}

impl TakeOver {
    /// The feeds, if everything is stored already.
    pub(super) fn is_known(&self, transaction: &ReadTransaction) -> Result<Option<Vec<Feed>>, Fault> {
        let news = &self.news;
        if !(self.contents.is_empty() && news.happened.is_empty() && news.cancelled.is_empty() && self.edits.is_empty())
        {
            return Ok(None);
        }
        let paths = transaction.open_table(PATHS)?;
        for (path, feed) in &self.paths {
            if paths.get(path.as_str())?.is_none_or(|known| known.value() != feed.as_str()) {
                return Ok(None);
            }
        }
        let by_url = transaction.open_table(URLS)?;
        let tables = FeedTables::of(transaction)?;
        let mut feeds = Vec::with_capacity(self.urls.len());
        for url in &self.urls {
            let Some(id) = by_url.get(url.as_str())? else { return Ok(None) };
            let feed = tables.one(FeedId(id.value()))?;
            if feed.left_at.is_some() {
                return Ok(None);
            }
            feeds.push(feed);
        }
        // One that goes by an address which stands no longer needs another name.
        let urls: HashSet<&FeedUrl> = self.urls.iter().collect();
        if feeds.iter().any(|feed| !feed.aliases.is_empty() && !urls.contains(&feed.url)) {
            return Ok(None);
        }
        Ok(Some(feeds))
    }

    /// Stores everything; the feeds' numbers.
    pub(super) fn apply(&self, transaction: &WriteTransaction, now: Timestamp) -> Result<Vec<FeedId>, Fault> {
        kept::save(transaction, &self.contents, &self.news)?;
        kept::remember_paths(transaction, &self.paths)?;
        add_feeds(transaction, &self.urls, &self.edits, now)
    }
}

fn add_feeds(
    transaction: &WriteTransaction,
    urls: &[FeedUrl],
    edits: &[(FeedUrl, FeedUrl)],
    now: Timestamp,
) -> Result<Vec<FeedId>, Fault> {
    let mut meta = transaction.open_table(META)?;
    let mut by_url = transaction.open_table(URLS)?;
    let mut feeds = transaction.open_table(FEEDS)?;
    let mut states = transaction.open_table(STATES)?;
    let mut counts = transaction.open_table(COUNTS)?;
    let predecessors = {
        let mut edited = Edited { transaction, by_url: &mut by_url, feeds: &mut feeds, counts: &counts };
        edited.predecessors(urls, edits)?
    };
    let first = meta.get(META_NEXT_FEED)?.map_or(0, |next| next.value());
    let mut next = first;
    let mut ids = Vec::with_capacity(urls.len());
    let mut with_aliases: BTreeMap<u32, Vec<&FeedUrl>> = BTreeMap::new();
    for url in urls {
        let stored = by_url.get(url.as_str())?.map(|id| id.value());
        let predecessor = predecessors.get(url).copied().filter(|id| Some(*id) != stored);
        if let Some(id) = stored {
            let standing = {
                let record = record_of(&feeds, id)?;
                let record = FeedRecord::read(record.value())?;
                if !record.aliases().is_empty() {
                    with_aliases.entry(id).or_default().push(url);
                }
                record.standing(predecessor)
            };
            // Back again: the next sweep must not take it for one that left long ago.
            if let Some(standing) = standing {
                feeds.insert(id, standing.as_slice())?;
            }
            ids.push(FeedId(id));
            continue;
        }
        let id = u32::try_from(next).map_err(|_| Fault::Unreadable("the numbers of feeds are used up".into()))?;
        next += 1;
        let feed = Feed { predecessor: predecessor.map(FeedId), ..Feed::new(FeedId(id), url.clone(), now) };
        by_url.insert(url.as_str(), id)?;
        feeds.insert(id, FeedRecord::of(&feed).bytes().as_slice())?;
        states.insert(id, encode_state(&feed).as_slice())?;
        counts.insert(id, encode(&CountRecord::default()).as_slice())?;
        ids.push(feed.id);
    }
    for (id, standing) in with_aliases {
        let renamed = {
            let record = record_of(&feeds, id)?;
            name_by_outline(FeedRecord::read(record.value())?, &standing)
        };
        if let Some(renamed) = renamed {
            feeds.insert(id, renamed.as_slice())?;
        }
    }
    if next != first {
        meta.insert(META_NEXT_FEED, next)?;
    }
    Ok(ids)
}

/// A feed goes by an address at which it stands in a list: where that of its own outline is gone, by its first alias
/// that stands. It is fetched from where it was, and keeps all of its addresses.
fn name_by_outline(record: FeedRecord<'_>, standing: &[&FeedUrl]) -> Option<Vec<u8>> {
    let first = standing.first().map(|url| url.as_str())?;
    if standing.iter().any(|url| url.as_str() == record.url()) {
        return None;
    }
    let aliases = record.addresses().filter(|url| *url != first).collect();
    Some(record.named(first, aliases))
}

fn record_of(feeds: &impl ReadableTable<u32, &'static [u8]>, id: u32) -> Result<AccessGuard<'_, &'static [u8]>, Fault> {
    feeds.get(id)?.ok_or_else(|| Fault::Unreadable(format!("feed {id} has no record")))
}

/// What becomes of feeds whose outlines were edited to another address.
struct Edited<'a, 'b> {
    transaction: &'a WriteTransaction,
    by_url: &'a mut Table<'b, &'static str, u32>,
    feeds: &'a mut Table<'b, u32, &'static [u8]>,
    counts: &'a Table<'b, u32, &'static [u8]>,
}

impl Edited<'_, '_> {
    /// For each address that an outline was edited to, the feed that it named before. A feed that had moved there by
    /// itself takes it at once, and is not among them.
    fn predecessors<'u>(
        &mut self,
        urls: &[FeedUrl],
        edits: &'u [(FeedUrl, FeedUrl)],
    ) -> Result<HashMap<&'u FeedUrl, u32>, Fault> {
        let mut found = HashMap::new();
        if edits.is_empty() {
            return Ok(found);
        }
        let mut standing = HashSet::new();
        for url in urls {
            standing.extend(self.by_url.get(url.as_str())?.map(|id| id.value()));
        }
        for (from, to) in edits {
            let Some(named) = self.by_url.get(from.as_str())?.map(|id| id.value()) else { continue };
            let before = self.earliest(named)?;
            if standing.contains(&before) {
                continue; // Another outline names it still; nothing of it moves.
            }
            if self.by_url.get(to.as_str())?.is_none() && self.had_moved(before, to)? {
                self.rename(before, to)?;
                standing.insert(before);
            } else {
                found.insert(to, before);
            }
        }
        Ok(found)
    }

    /// The feed itself, or, where it never had an entry and was only the last in a row of edits, the one before.
    fn earliest(&self, id: u32) -> Result<u32, Fault> {
        let count = count_of(self.counts, FeedId(id))?;
        if count.next_seq > 0 {
            return Ok(id);
        }
        let record = record_of(self.feeds, id)?;
        Ok(FeedRecord::read(record.value())?.predecessor().unwrap_or(id))
    }

    fn had_moved(&self, id: u32, to: &FeedUrl) -> Result<bool, Fault> {
        let Some(record) = self.feeds.get(id)? else { return Ok(false) };
        Ok(FeedRecord::read(record.value())?.moved_to() == Some(to.as_str()))
    }

    /// The list says now what the feed had said before.
    fn rename(&mut self, id: u32, to: &FeedUrl) -> Result<(), Fault> {
        let (renamed, former) = {
            let record = record_of(self.feeds, id)?;
            let record = FeedRecord::read(record.value())?;
            let former: Vec<String> = record.addresses().map(str::to_owned).collect();
            let aliases = record.addresses().filter(|url| *url != to.as_str()).collect();
            (record.named(to.as_str(), aliases), former)
        };
        self.feeds.insert(id, renamed.as_slice())?;
        for url in &former {
            if self.by_url.get(url.as_str())?.is_some_and(|bound| bound.value() == id) {
                self.by_url.remove(url.as_str())?;
            }
        }
        self.by_url.insert(to.as_str(), id)?;
        kept::lead_paths_to(self.transaction, &former, to.as_str())
    }
}
