//! Rendered pages, kept until something in their view changes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use prometheus_client::metrics::counter::Counter;

use super::access::Reader;
use super::conditional::Representation;
use super::filed::{Filed, Files};
use super::query::Format;
use crate::listen::live::{FeedSet, Live};
use crate::listen::page::Query;
use crate::listen::people::Order;
use crate::listen::relations::Relation;
use crate::model::Timestamp;

/// What a page is asked for by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) path: String,
    pub(super) format: Format,
    pub(super) ask: Ask,
    /// For whom it is made: where both may read, the keeper sees more.
    pub(super) reader: Reader,
}

/// What is asked of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ask {
    /// A page of a stream.
    Stream(Query),
    /// The present state of a relation: this page, from 1 on.
    State { relation: Relation, page: usize },
    /// The rolodex: this page, from 1 on, in this order.
    Rolodex { order: Order, page: usize },
}

/// A rendered page and what it was rendered from.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) representation: Representation,
    pub(super) manner: Manner,
    ground: Ground,
    roster: u64,
    configuration: u64,
    rendered: u64,
    /// The revision up to which the page is known to be unchanged.
    checked: AtomicU64,
    /// When it was last served, in the order of servings.
    served: AtomicU64,
    /// What counts the answers with it and those that say "not modified", found once.
    counters: [OnceLock<Counter>; 2],
    /// How often its packed bytes were sent, and the file that they are in since then.
    sendings: AtomicU32,
    filed: OnceLock<Option<Arc<Filed>>>,
}

/// How a page is sent: what is said of it beside its representation.
#[derive(Debug)]
pub(super) struct Manner {
    pub(super) vary: HeaderValue,
    pub(super) cache_control: HeaderValue,
    /// The hub that distributes a feed, and the feed's own address (WebSub, section 4).
    pub(super) link: Option<HeaderValue>,
}

/// A page that was sent so often is put into a file.
const OFTEN: u32 = 16;

impl Kept {
    /// A page on this ground, as the present stood when it was rendered.
    pub(super) fn new(representation: Representation, manner: Manner, ground: Ground, stand: Stand) -> Self {
        let Stand { roster, configuration, rendered } = stand;
        let (checked, served, counters) = (AtomicU64::new(rendered), AtomicU64::new(0), <[OnceLock<_>; 2]>::default());
        let (sendings, filed) = (AtomicU32::new(0), OnceLock::new());
        Self {
            representation,
            manner,
            ground,
            roster,
            configuration,
            rendered,
            checked,
            served,
            counters,
            sendings,
            filed,
        }
    }

    /// What counts answers of this status that come from this page; `find` finds it the first time.
    pub(super) fn counter(&self, status: StatusCode, find: impl FnOnce() -> Counter) -> &Counter {
        self.counters[usize::from(status == StatusCode::NOT_MODIFIED)].get_or_init(find)
    }

    /// The file with these bytes, which are the page's in gzip, once they were asked for often.
    pub(super) fn filed(&self, packed: &Bytes, files: &Files) -> Option<&Arc<Filed>> {
        if self.sendings.fetch_add(1, Ordering::Relaxed) < OFTEN {
            return None;
        }
        self.filed.get_or_init(|| files.file(packed).map(Arc::new)).as_ref()
    }

    /// Bytes held in memory.
    fn weight(&self) -> usize {
        size_of::<Self>() + self.representation.weight()
    }

    /// Whether rendering anew would make the same bytes.
    fn is_current(&self, live: &Live, configuration: u64, now: Timestamp) -> bool {
        if self.configuration != configuration || self.ground.day.is_some_and(|day| day != now.days()) {
            return false;
        }
        let (revision, checked) = (live.revision(), self.checked.load(Ordering::Acquire));
        if checked == revision {
            return true;
        }
        let current = match &self.ground.feeds {
            Feeds::These(feeds) => self.roster == live.bound().revision && live.changed_since(feeds, checked).is_none(),
            Feeds::All => self.rendered == revision,
        };
        if current {
            self.checked.store(revision, Ordering::Release);
        }
        current
    }
}

/// What has to stay as it is for a page to stay as it is, beside roster and configuration.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) feeds: Feeds,
    /// The day (UTC, counted from the Unix epoch) that the page counts from, where it does.
    pub(super) day: Option<i64>,
}

/// Which changes make a page another one.
#[derive(Debug)]
pub(super) enum Feeds {
    /// Those of these feeds.
    These(FeedSet),
    /// Any: it rests on what is between you and the voices, and so on everything that anybody says or does.
    All,
}

/// The present that a page was rendered from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stand {
    /// The roster's revision.
    pub(super) roster: u64,
    /// How often the configuration had changed.
    pub(super) configuration: u64,
    /// The revision of the present, read before anything else was.
    pub(super) rendered: u64,
}

/// All pages kept.
#[derive(Debug, Default)]
pub(super) struct Pages {
    shelf: Mutex<Shelf>,
    servings: AtomicU64,
    configuration: AtomicU64,
    pub(super) files: Files,
}

#[derive(Debug, Default)]
struct Shelf {
    pages: HashMap<Key, Arc<Kept>>,
    bytes: usize,
}

/// The most pages kept.
const MAX_KEPT_PAGES: usize = 2000;
/// The most bytes of pages kept; what was served longest ago goes first.
const MAX_KEPT_BYTES: usize = 24 << 20;

impl Pages {
    /// The page, if it is kept and current.
    pub(super) fn current(&self, key: &Key, live: &Live, now: Timestamp) -> Option<Arc<Kept>> {
        let kept = self.any(key)?;
        if !kept.is_current(live, self.configuration(), now) {
            return None;
        }
        kept.served.store(self.servings.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(kept)
    }

    /// The page as it was last rendered, current or not.
    pub(super) fn any(&self, key: &Key) -> Option<Arc<Kept>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner).pages.get(key).cloned()
    }

    /// Keeps a page, in place of an older one; not one that would leave no room for others.
    pub(super) fn keep(&self, key: Key, kept: Arc<Kept>) {
        if kept.weight() > MAX_KEPT_BYTES / 4 {
            return;
        }
        kept.served.store(self.servings.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.bytes += kept.weight();
        if let Some(old) = shelf.pages.insert(key, kept) {
            shelf.bytes -= old.weight();
        }
        while (shelf.bytes > MAX_KEPT_BYTES || shelf.pages.len() > MAX_KEPT_PAGES) && shelf.pages.len() > 1 {
            let oldest = shelf.pages.iter().min_by_key(|(_, kept)| kept.served.load(Ordering::Relaxed));
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { break };
            if let Some(old) = shelf.pages.remove(&key) {
                shelf.bytes -= old.weight();
            }
        }
    }

    /// How often the configuration has changed.
    pub(super) fn configuration(&self) -> u64 {
        self.configuration.load(Ordering::Acquire)
    }

    /// Drops all pages, and those under way too: the configuration that they are rendered with has changed.
    pub(super) fn clear(&self) {
        self.configuration.fetch_add(1, Ordering::AcqRel);
        *self.shelf.lock().unwrap_or_else(PoisonError::into_inner) = Shelf::default();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_page_holds_as_long_as_its_ground() {
        let noon = Timestamp::from_seconds(1_795_348_800);
        let (evening, tomorrow) = (noon.plus(Duration::from_hours(11)), noon.plus(Duration::from_hours(12)));
        let live = Live::default();
        let stand = Stand { roster: live.bound().revision, configuration: 0, rendered: live.revision() };
        let kept = |feeds, day| {
            let representation = Representation::new("text/plain", "A page".to_owned(), noon, None);
            let plain = HeaderValue::from_static("");
            let manner = Manner { vary: plain.clone(), cache_control: plain, link: None };
            Kept::new(representation, manner, Ground { feeds, day }, stand)
        };
        let river = kept(Feeds::These(FeedSet::default()), None);
        let events = kept(Feeds::All, None);
        let today = kept(Feeds::All, Some(noon.days()));
        for (page, at, holds) in
            [(&river, tomorrow, true), (&events, tomorrow, true), (&today, evening, true), (&today, tomorrow, false)]
        {
            assert_eq!(page.is_current(&live, 0, at), holds, "{page:?} {at}");
        }
        live.facts_changed();
        assert!(river.is_current(&live, 0, noon), "a river has nothing to do with what is between you and the voices");
        assert!(!events.is_current(&live, 0, noon) && !today.is_current(&live, 0, noon));
        assert!(!river.is_current(&live, 1, noon), "the configuration has changed");
    }
}
