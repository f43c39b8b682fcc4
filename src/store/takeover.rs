//! Taking over lists that were read anew: what they say, what happened in them, and the feeds in them, all at once.

use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::FeedTables;
use super::error::Fault;
use super::kept::{self, ListNews};
use super::records::{CountRecord, FeedRecord, decode, encode, encode_state};
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
}

impl TakeOver {
    /// The feeds, if everything is stored already.
    pub(super) fn is_known(&self, transaction: &ReadTransaction) -> Result<Option<Vec<Feed>>, Fault> {
        if !self.contents.is_empty() || !self.news.happened.is_empty() || !self.news.cancelled.is_empty() {
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
        Ok(Some(feeds))
    }

    /// Stores everything; the feeds' numbers.
    pub(super) fn apply(&self, transaction: &WriteTransaction, now: Timestamp) -> Result<Vec<FeedId>, Fault> {
        kept::save(transaction, &self.contents, &self.news)?;
        kept::remember_paths(transaction, &self.paths)?;
        add_feeds(transaction, &self.urls, now)
    }
}

fn add_feeds(transaction: &WriteTransaction, urls: &[FeedUrl], now: Timestamp) -> Result<Vec<FeedId>, Fault> {
    let mut meta = transaction.open_table(META)?;
    let mut by_url = transaction.open_table(URLS)?;
    let mut feeds = transaction.open_table(FEEDS)?;
    let mut states = transaction.open_table(STATES)?;
    let mut counts = transaction.open_table(COUNTS)?;
    let first = meta.get(META_NEXT_FEED)?.map_or(0, |next| next.value());
    let mut next = first;
    let mut ids = Vec::with_capacity(urls.len());
    for url in urls {
        let stored = by_url.get(url.as_str())?.map(|id| id.value());
        if let Some(id) = stored {
            let returned = match feeds.get(id)? {
                Some(record) => decode::<FeedRecord>(record.value(), "record of a feed")?.returned(),
                None => return Err(Fault::Unreadable(format!("feed {id} has no record"))),
            };
            // Back again: the next sweep must not take it for one that left long ago.
            if let Some(returned) = returned {
                feeds.insert(id, returned.as_slice())?;
            }
            ids.push(FeedId(id));
            continue;
        }
        let id = u32::try_from(next).map_err(|_| Fault::Unreadable("the numbers of feeds are used up".into()))?;
        next += 1;
        let feed = Feed::new(FeedId(id), url.clone(), now);
        by_url.insert(url.as_str(), id)?;
        feeds.insert(id, encode(&FeedRecord::of(&feed)).as_slice())?;
        states.insert(id, encode_state(&feed).as_slice())?;
        counts.insert(id, encode(&CountRecord::default()).as_slice())?;
        ids.push(feed.id);
    }
    if next != first {
        meta.insert(META_NEXT_FEED, next)?;
    }
    Ok(ids)
}
