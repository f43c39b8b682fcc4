//! The present: the roster bound to feed numbers, every feed's state, and a count of what changed.
//!
//! The daemon writes here; answers are made from it. Nothing here waits: readers take a snapshot or one short lock.

mod set;
mod slots;

use std::collections::HashMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use arc_swap::ArcSwap;

use crate::lists::roster::{List, PlaceIndex, PlaceKind, Roster, Subscription, VoiceIndex};
use crate::model::{Feed, FeedId, FeedUrl, Timestamp};

pub use set::FeedSet;
pub use slots::Newest;
use slots::Slots;

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
    pub(super) sets: Sets,
}

/// Sets of feeds that a roster makes, each worked out when it is first asked for: of 100,000 feeds that takes 20 ms.
#[derive(Debug, Default)]
pub(super) struct Sets {
    listed: OnceLock<FeedSet>,
    everyone: OnceLock<FeedSet>,
    places: RwLock<HashMap<PlaceIndex, FeedSet>>,
}

impl Bound {
    /// The subscriptions of a feed with the lists they are in, by all of its addresses, its own first.
    pub fn subscriptions_of<'a>(&'a self, feed: &'a Feed) -> impl Iterator<Item = (&'a List, &'a Subscription)> {
        // A former address may be another feed's by now; that of a feed that has left is nobody's.
        let own = feed.addresses().filter(|url| self.ids.get(*url).is_none_or(|id| *id == feed.id));
        own.flat_map(|url| self.roster.subscriptions_of(url))
    }

    /// The feeds that stand in lists.
    pub fn listed(&self) -> &FeedSet {
        self.sets.listed.get_or_init(|| self.ids.values().copied().collect())
    }

    /// The feeds of all lists that are listened to.
    pub fn everyone(&self) -> &FeedSet {
        self.sets.everyone.get_or_init(|| {
            let lists = self.roster.lists.iter().filter(|list| list.role.is_listened_to());
            self.numbers(lists.flat_map(|list| &list.subscriptions).map(|subscription| &subscription.feed))
        })
    }

    /// The feeds of a list, a folder, or a voice in a list. Those of lists and folders are kept.
    pub fn feeds_at(&self, place: PlaceIndex) -> FeedSet {
        let Some(found) = self.roster.places.get(place) else { return FeedSet::default() };
        let feeds = || self.numbers(self.roster.subscriptions(found).iter().map(|subscription| &subscription.feed));
        if found.kind == PlaceKind::Voice {
            return feeds();
        }
        if let Some(kept) = self.sets.places.read().unwrap_or_else(PoisonError::into_inner).get(&place) {
            return kept.clone();
        }
        let feeds = feeds();
        self.sets.places.write().unwrap_or_else(PoisonError::into_inner).insert(place, feeds.clone());
        feeds
    }

    /// The feeds of a list.
    pub fn feeds_in(&self, list: &List) -> FeedSet {
        self.roster.place_at(&list.path).map_or_else(FeedSet::default, |place| self.feeds_at(place))
    }

    /// The numbers of some feeds.
    pub fn numbers<'a>(&self, feeds: impl Iterator<Item = &'a FeedUrl>) -> FeedSet {
        feeds.filter_map(|url| self.ids.get(url).copied()).collect()
    }
}

/// The present.
#[derive(Debug, Default)]
pub struct Live {
    bound: ArcSwap<Bound>,
    feeds: RwLock<Slots>,
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
        let mut voices: HashMap<FeedId, VoiceIndex> = HashMap::with_capacity(ids.len());
        for (url, of_feed) in roster.feeds_with_voices() {
            if let (Some(&id), Some(&voice)) = (ids.get(url), of_feed.first()) {
                first_of(&mut voices, id, voice);
            }
        }
        // Under the lock of the feeds, so that numbers are given out one by one; and the number is published last, so
        // that whoever reads it finds everything that it counts.
        let mut slots = self.feeds.write().unwrap_or_else(PoisonError::into_inner);
        if self.bound.load().ids.is_empty() {
            slots.share_addresses(&ids);
        }
        let lent = slots.replaced.iter().filter_map(|(feed, before)| Some((*before, *voices.get(feed)?)));
        for (before, voice) in lent.collect::<Vec<_>>() {
            first_of(&mut voices, before, voice);
        }
        let revision = self.revision() + 1;
        let old = self.bound.swap(Arc::new(Bound { roster, ids, voices, old_paths, revision, sets: Sets::default() }));
        self.revision.store(revision, Ordering::Release);
        drop(slots);
        // Taking a large roster apart takes milliseconds: nobody waits for that.
        drop(old);
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
        for (feed, shows) in feeds {
            let known = slots.by_id.get(&feed.id);
            has_moved |= known.and_then(|known| known.feed.about.home.as_deref()) != feed.about.home.as_deref();
            let changed = match known {
                Some(known) if !shows => known.changed,
                _ => {
                    last = next;
                    next
                }
            };
            slots.put(feed, changed);
        }
        if has_moved {
            self.homes.fetch_add(1, Ordering::AcqRel);
        }
        self.revision.store(last, Ordering::Release);
    }

    /// Drops feeds whose history is gone.
    pub fn forget(&self, feeds: &[FeedId]) {
        let mut slots = self.feeds.write().unwrap_or_else(PoisonError::into_inner);
        for feed in feeds {
            if slots.remove(*feed).is_some_and(|slot| slot.feed.about.home.is_some()) {
                self.homes.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    /// A feed's state.
    pub fn feed(&self, id: FeedId) -> Option<Arc<Feed>> {
        self.slots().by_id.get(&id).map(|slot| Arc::clone(&slot.feed))
    }

    /// At most `most` feeds with numbers above `after`, in their order.
    pub fn feeds_after(&self, after: Option<FeedId>, most: usize) -> Vec<Arc<Feed>> {
        let range = (after.map_or(Unbounded, Excluded), Unbounded);
        self.slots().by_id.range(range).take(most).map(|(_, slot)| Arc::clone(&slot.feed)).collect()
    }

    /// Of each of these feeds that has entries, the place of the newest. As long as nobody knows whether a feed is the one
    /// that its outline named before, that one stands in its place.
    pub fn newest(&self, feeds: &[FeedId]) -> Vec<(FeedId, Timestamp)> {
        let slots = self.slots();
        let mut stands_in = false;
        let shown = feeds.iter().map(|id| {
            let predecessor = slots.replaced.get(id);
            stands_in |= predecessor.is_some();
            predecessor.unwrap_or(id)
        });
        let newest = shown.filter_map(|id| Some((*id, slots.by_id.get(id)?.feed.newest?)));
        let mut newest: Vec<(FeedId, Timestamp)> = newest.collect();
        if stands_in {
            newest.sort_unstable();
            newest.dedup();
        }
        newest
    }

    /// The same for a set of any size, from the top: the feeds whose newest stands at `from` or after it, and the `most`
    /// that stand next below. Takes time in proportion to what is found, or to the set where that is smaller.
    pub fn newest_of(&self, set: &FeedSet, from: Option<Timestamp>, most: usize) -> Newest {
        self.slots().newest_of(set, from, most)
    }

    /// The revision at which any of these feeds last changed what views show of it.
    pub fn changed(&self, feeds: &[FeedId]) -> u64 {
        let slots = self.slots();
        feeds.iter().filter_map(|id| slots.by_id.get(id)).map(|slot| slot.changed).max().unwrap_or(0)
    }

    /// The same for a set of any size, where that was after `since`. Takes time in proportion to what has changed since, or
    /// to the set where that is smaller.
    pub fn changed_since(&self, set: &FeedSet, since: u64) -> Option<u64> {
        self.slots().changed_since(set, since)
    }

    /// How many of these feeds are broken: nothing has been heard of them for a day or longer.
    pub fn broken_among(&self, set: &FeedSet) -> usize {
        self.slots().broken_among(set)
    }

    /// How many of these feeds were never asked.
    pub fn unasked_among(&self, set: &FeedSet) -> usize {
        self.slots().unasked_among(set)
    }

    /// How many entries are stored of these feeds.
    pub fn entries_of(&self, set: &FeedSet) -> u64 {
        let of_some = |some: &[FeedId]| {
            let slots = self.slots();
            let entries = some.iter().filter_map(|id| slots.by_id.get(id)).map(|slot| u64::from(slot.feed.entries));
            entries.sum::<u64>()
        };
        set.chunks(FEEDS_AT_ONCE).map(of_some).sum()
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
        let bound = self.bound();
        let listed = bound.listed();
        self.for_each(|feed| {
            if listed.contains(feed.id) {
                look(feed);
            }
        });
    }

    fn slots(&self) -> RwLockReadGuard<'_, Slots> {
        self.feeds.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of the voices that a feed counts to, the first in the roster is the one that it is shown as.
fn first_of(voices: &mut HashMap<FeedId, VoiceIndex>, feed: FeedId, voice: VoiceIndex) {
    let first = voices.entry(feed).or_insert(voice);
    *first = voice.min(*first);
}
