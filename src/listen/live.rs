//! The present: the roster bound to feed numbers, every feed's state, and a count of what changed.
//!
//! The daemon writes here; answers are made from it. Nothing here waits: readers take a snapshot or one short lock.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;

use crate::lists::roster::{List, Roster, Subscription, VoiceIndex};
use crate::model::{Feed, FeedId, FeedUrl, Timestamp, Trouble};

/// Feeds looked at between two looks at the lock that protects them.
const FEEDS_AT_ONCE: usize = 1000;

/// The roster with the numbers of its feeds.
#[derive(Debug, Default)]
pub struct Bound {
    /// Lists, folders, voices, subscriptions.
    pub roster: Arc<Roster>,
    /// The number of each feed that stands in a list. Several addresses may turn out to be one feed.
    pub ids: HashMap<FeedUrl, FeedId>,
    /// The voice that a feed is shown as: the first that it counts to.
    pub voices: HashMap<FeedId, VoiceIndex>,
    /// Paths that voices had before, and the feed that tells which voice it was.
    pub old_paths: HashMap<String, FeedUrl>,
    /// The value of [`Live::revision`] from which on this roster stands.
    pub revision: u64,
}

impl Bound {
    /// The subscriptions of a feed with the lists they are in, by all of its addresses, its own first.
    pub fn subscriptions_of<'a>(&'a self, feed: &'a Feed) -> impl Iterator<Item = (&'a List, &'a Subscription)> {
        // A former address may be another feed's by now; that of a feed that has left is nobody's.
        let own = feed.addresses().filter(|url| self.ids.get(*url).is_none_or(|id| *id == feed.id));
        own.flat_map(|url| self.roster.subscriptions_of(url))
    }
}

/// One feed's state, and when it last changed what views show of it.
#[derive(Debug)]
struct Slot {
    feed: Arc<Feed>,
    changed: u64,
}

/// The present.
#[derive(Debug, Default)]
pub struct Live {
    bound: ArcSwap<Bound>,
    // Sorted by number, so that status answers come in a fixed order and can be streamed in pieces.
    feeds: RwLock<BTreeMap<FeedId, Slot>>,
    // Few, so that pages find out at little cost which of theirs are among them.
    broken: RwLock<HashSet<FeedId>>,
    revision: AtomicU64,
    facts: AtomicU64,
    homes: AtomicU64,
}

impl Live {
    /// The roster as it stands.
    pub fn bound(&self) -> Arc<Bound> {
        self.bound.load_full()
    }

    /// Counts every change of what views show; equal numbers mean equal bytes.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Counts every change of what is between you and the voices: mentions, contacts, Webmentions, notices, your posts.
    pub fn facts(&self) -> u64 {
        self.facts.load(Ordering::Acquire)
    }

    /// Says that something between you and the voices has changed, once it is stored.
    pub fn facts_changed(&self) {
        // Under the lock under which revisions are given out.
        let _slots = self.feeds.write().unwrap_or_else(PoisonError::into_inner);
        self.facts.fetch_add(1, Ordering::AcqRel);
        self.revision.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts every change of what a feed says of its home page.
    pub fn homes(&self) -> u64 {
        self.homes.load(Ordering::Acquire)
    }

    /// Puts a new roster in place of the old one.
    pub fn set_roster(&self, roster: Arc<Roster>, ids: HashMap<FeedUrl, FeedId>, old_paths: HashMap<String, FeedUrl>) {
        // Under the lock of the feeds, so that numbers are given out one by one; and the number is published last, so
        // that whoever reads it finds everything that it counts.
        let slots = self.feeds.write().unwrap_or_else(PoisonError::into_inner);
        let mut voices: HashMap<FeedId, VoiceIndex> = HashMap::with_capacity(ids.len());
        for (url, id) in &ids {
            let predecessor = slots.get(id).and_then(|slot| slot.feed.predecessor);
            for id in predecessor.into_iter().chain([*id]) {
                if let Some(&voice) = roster.voices_of(url).first() {
                    let first = voices.entry(id).or_insert(voice);
                    *first = voice.min(*first);
                }
            }
        }
        let revision = self.revision() + 1;
        self.bound.store(Arc::new(Bound { roster, ids, voices, old_paths, revision }));
        self.revision.store(revision, Ordering::Release);
    }

    /// Two feeds have become one: every outline of the one is bound to the other.
    pub fn bind_instead(&self, loser: FeedId, winner: FeedId, old_paths: HashMap<String, FeedUrl>) {
        let bound = self.bound();
        let mut ids = bound.ids.clone();
        ids.values_mut().filter(|id| **id == loser).for_each(|id| *id = winner);
        self.set_roster(Arc::clone(&bound.roster), ids, old_paths);
    }

    /// Puts the new state of feeds in place; the flag says whether views show the feed otherwise than before.
    pub fn update(&self, feeds: impl IntoIterator<Item = (Feed, bool)>) {
        let mut slots = self.feeds.write().unwrap_or_else(PoisonError::into_inner);
        let next = self.revision() + 1;
        let mut last = self.revision();
        let mut has_moved = false;
        let mut broken = self.broken.write().unwrap_or_else(PoisonError::into_inner);
        for (feed, shows) in feeds {
            if feed.trouble.is_some_and(Trouble::is_broken) {
                broken.insert(feed.id);
            } else {
                broken.remove(&feed.id);
            }
            let changed = match slots.get(&feed.id) {
                Some(slot) if !shows => slot.changed,
                _ => {
                    last = next;
                    next
                }
            };
            let (id, feed) = (feed.id, Arc::new(feed));
            let old = slots.insert(id, Slot { feed: Arc::clone(&feed), changed });
            let old_home = old.as_ref().and_then(|slot| slot.feed.about.home.as_deref());
            has_moved |= old_home != feed.about.home.as_deref();
        }
        if has_moved {
            self.homes.fetch_add(1, Ordering::AcqRel);
        }
        self.revision.store(last, Ordering::Release);
    }

    /// Drops feeds whose history is gone.
    pub fn forget(&self, feeds: &[FeedId]) {
        let mut slots = self.feeds.write().unwrap_or_else(PoisonError::into_inner);
        let mut broken = self.broken.write().unwrap_or_else(PoisonError::into_inner);
        for feed in feeds {
            let gone = slots.remove(feed);
            broken.remove(feed);
            if gone.is_some_and(|slot| slot.feed.about.home.is_some()) {
                self.homes.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    /// A feed's state.
    pub fn feed(&self, id: FeedId) -> Option<Arc<Feed>> {
        self.feeds.read().unwrap_or_else(PoisonError::into_inner).get(&id).map(|slot| Arc::clone(&slot.feed))
    }

    /// At most `most` feeds with numbers above `after`, in their order.
    pub fn feeds_after(&self, after: Option<FeedId>, most: usize) -> Vec<Arc<Feed>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let slots = self.feeds.read().unwrap_or_else(PoisonError::into_inner);
        let range = (after.map_or(Unbounded, Excluded), Unbounded);
        slots.range(range).take(most).map(|(_, slot)| Arc::clone(&slot.feed)).collect()
    }

    /// Of each of these feeds that has entries, the place of the newest. As long as nobody knows whether a feed is the one
    /// that its outline named before, that one stands in its place.
    pub fn newest(&self, feeds: &[FeedId]) -> Vec<(FeedId, Timestamp)> {
        let slots = self.feeds.read().unwrap_or_else(PoisonError::into_inner);
        let mut stands_in = false;
        let shown = feeds.iter().map(|id| {
            let predecessor = slots.get(id).and_then(|slot| slot.feed.predecessor);
            stands_in |= predecessor.is_some();
            predecessor.unwrap_or(*id)
        });
        let newest = shown.filter_map(|id| Some((id, slots.get(&id)?.feed.newest?)));
        let mut newest: Vec<(FeedId, Timestamp)> = newest.collect();
        if stands_in {
            newest.sort_unstable();
            newest.dedup();
        }
        newest
    }

    /// The revision at which any of these feeds last changed what views show of it.
    pub fn changed(&self, feeds: &[FeedId]) -> u64 {
        let slots = self.feeds.read().unwrap_or_else(PoisonError::into_inner);
        feeds.iter().filter_map(|id| slots.get(id)).map(|slot| slot.changed).max().unwrap_or(0)
    }

    /// How many of these feeds are broken: nothing has been heard of them for a day or longer.
    pub fn broken_among(&self, feeds: &[FeedId]) -> usize {
        let broken = self.broken.read().unwrap_or_else(PoisonError::into_inner);
        if broken.is_empty() { 0 } else { feeds.iter().filter(|id| broken.contains(id)).count() }
    }

    /// Calls `look` with every feed, in the order of their numbers. No lock is held meanwhile.
    pub fn for_each(&self, mut look: impl FnMut(&Arc<Feed>)) {
        let mut after = None;
        loop {
            let feeds = self.feeds_after(after, FEEDS_AT_ONCE);
            let Some(last) = feeds.last() else { return };
            after = Some(last.id);
            feeds.iter().for_each(&mut look);
        }
    }

    /// Calls `look` with every feed that stands in a list, in the order of their numbers.
    pub fn for_each_listed(&self, mut look: impl FnMut(&Arc<Feed>)) {
        let listed: HashSet<FeedId> = self.bound().ids.values().copied().collect();
        self.for_each(|feed| {
            if listed.contains(&feed.id) {
                look(feed);
            }
        });
    }
}
