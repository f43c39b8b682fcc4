//! Every feed's state, and the orders in which answers look for feeds.
//!
//! A view of few feeds among many looks at its own; a view of many among many walks an order from its top until it has
//! what it needs. Nobody knows beforehand which is less, so each walk gives up as soon as it has passed as many feeds of
//! others as the view has of its own, and looks at those instead: it costs at most twice the less.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::FeedSet;
use crate::model::{Feed, FeedId, FeedState, FeedUrl, Timestamp, Trouble};

/// One feed's state, and when it last changed what views show of it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) feed: Arc<Feed>,
    pub(super) changed: u64,
}

/// The feeds with entries at the top of a set's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Newest {
    /// Feeds, each with the place of its newest entry, in no order that means anything.
    pub feeds: Vec<(FeedId, Timestamp)>,
    /// The lowest of these places, with its feed, where there are feeds below it that are left out.
    pub rest_below: Option<(Timestamp, FeedId)>,
}

/// All feeds.
#[derive(Debug, Default)]
pub(super) struct Slots {
    // Sorted by number, so that status answers come in a fixed order and can be streamed in pieces.
    pub(super) by_id: BTreeMap<FeedId, Slot>,
    by_newest: BTreeSet<(Timestamp, FeedId)>,
    by_change: BTreeSet<(u64, FeedId)>,
    /// The feeds in whose place another stands: the one that the outline named before.
    pub(super) replaced: BTreeMap<FeedId, FeedId>,
    // Few, mostly, so that pages find out at little cost which of theirs are among them.
    broken: BTreeSet<FeedId>,
    unasked: BTreeSet<FeedId>,
}

impl Slots {
    /// Puts a feed's new state in place; the old one.
    pub(super) fn put(&mut self, feed: Feed, changed: u64) -> Option<Slot> {
        let id = feed.id;
        mark(&mut self.broken, id, feed.trouble.is_some_and(Trouble::is_broken));
        mark(&mut self.unasked, id, feed.schedule.state == FeedState::New);
        match feed.predecessor {
            Some(predecessor) => self.replaced.insert(id, predecessor),
            None => self.replaced.remove(&id),
        };
        let newest = feed.newest;
        let old = self.by_id.insert(id, Slot { feed: Arc::new(feed), changed });
        let (old_newest, old_changed) = old.as_ref().map_or((None, None), |old| (old.feed.newest, Some(old.changed)));
        if old_newest != newest {
            old_newest.map(|at| self.by_newest.remove(&(at, id)));
            newest.map(|at| self.by_newest.insert((at, id)));
        }
        if old_changed != Some(changed) {
            old_changed.map(|changed| self.by_change.remove(&(changed, id)));
            self.by_change.insert((changed, id));
        }
        old
    }

    /// Drops a feed.
    pub(super) fn remove(&mut self, id: FeedId) -> Option<Slot> {
        let old = self.by_id.remove(&id)?;
        self.broken.remove(&id);
        self.unasked.remove(&id);
        self.replaced.remove(&id);
        old.feed.newest.map(|at| self.by_newest.remove(&(at, id)));
        self.by_change.remove(&(old.changed, id));
        Some(old)
    }

    /// Lets feeds share their addresses with the lists. Those that were read from the disk have copies of their own, and
    /// each state of a feed is made from the one before.
    pub(super) fn share_addresses(&mut self, known: &HashMap<FeedUrl, FeedId>) {
        for slot in self.by_id.values_mut() {
            let Some(feed) = Arc::get_mut(&mut slot.feed) else { continue };
            if let Some((url, _)) = known.get_key_value(&feed.url) {
                feed.url.share(url);
            }
            let address = feed.address().clone();
            if let Some(from) = &mut feed.validators.from {
                from.share(&address);
            }
        }
    }

    /// Of a set's feeds that have entries those whose newest stands at `from` or after it, and the `most` that stand next
    /// below. As long as nobody knows whether a feed is the one that its outline named before, that one stands in its
    /// place.
    pub(super) fn newest_of(&self, set: &FeedSet, from: Option<Timestamp>, most: usize) -> Newest {
        let replaced = self.replaced.iter().filter(|(feed, _)| set.contains(**feed));
        let (absent, instead): (HashSet<FeedId>, HashSet<FeedId>) =
            replaced.map(|(feed, before)| (*feed, *before)).unzip();
        let is_shown = |id: FeedId| instead.contains(&id) || set.contains(id) && !absent.contains(&id);
        let mut feeds: Vec<(FeedId, Timestamp)> = Vec::new();
        let (mut below, mut passed) = (0, 0);
        for &(at, id) in self.by_newest.iter().rev() {
            if !is_shown(id) {
                passed += 1;
                if passed > set.len() {
                    let own = set.iter().copied().filter(|id| !absent.contains(id) && !instead.contains(id));
                    let newest = |id: FeedId| Some((id, self.by_id.get(&id)?.feed.newest?));
                    let feeds = own.chain(instead.iter().copied()).filter_map(newest).collect();
                    return Newest { feeds, rest_below: None };
                }
                continue;
            }
            let is_below = from.is_none_or(|from| at < from);
            if is_below && below == most {
                let rest_below = feeds.last().map(|&(id, at)| (at, id));
                return Newest { feeds, rest_below };
            }
            below += usize::from(is_below);
            feeds.push((id, at));
        }
        Newest { feeds, rest_below: None }
    }

    /// The last revision at which any feed of a set changed, where that is after `since`.
    pub(super) fn changed_since(&self, set: &FeedSet, since: u64) -> Option<u64> {
        let later = self.by_change.iter().rev().take_while(|(changed, _)| *changed > since);
        for (passed, &(changed, id)) in later.enumerate() {
            if set.contains(id) {
                return Some(changed);
            }
            if passed == set.len() {
                let own = set.iter().filter_map(|id| self.by_id.get(id)).map(|slot| slot.changed);
                return own.max().filter(|changed| *changed > since);
            }
        }
        None
    }

    /// How many feeds of a set are broken.
    pub(super) fn broken_among(&self, set: &FeedSet) -> usize {
        common(&self.broken, set)
    }

    /// How many feeds of a set were never asked.
    pub(super) fn unasked_among(&self, set: &FeedSet) -> usize {
        common(&self.unasked, set)
    }
}

fn mark(marked: &mut BTreeSet<FeedId>, id: FeedId, is_marked: bool) {
    if is_marked {
        marked.insert(id);
    } else {
        marked.remove(&id);
    }
}

/// How many feeds are in both; looks at the fewer.
fn common(marked: &BTreeSet<FeedId>, set: &FeedSet) -> usize {
    if marked.len() < set.len() {
        marked.iter().filter(|id| set.contains(**id)).count()
    } else {
        set.iter().filter(|id| marked.contains(id)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A feed whose newest entry was listed at `newest` seconds.
    fn feed(id: u32, newest: Option<i64>) -> Feed {
        let url = FeedUrl::parse(&format!("https://{id}.example/")).expect("it is an address");
        Feed { newest: newest.map(Timestamp::from_seconds), ..Feed::new(FeedId(id), url, Timestamp::default()) }
    }

    fn set(ids: impl IntoIterator<Item = u32>) -> FeedSet {
        ids.into_iter().map(FeedId).collect()
    }

    /// Feed `n` of 100 has spoken at `n` seconds, but for every tenth.
    fn hundred() -> Slots {
        let mut slots = Slots::default();
        for id in 0..100 {
            slots.put(feed(id, (id % 10 > 0).then_some(i64::from(id))), u64::from(id));
        }
        slots
    }

    /// The numbers found from the newest down, and whether there are more.
    fn newest(slots: &Slots, set: &FeedSet, from: Option<i64>, most: usize) -> (Vec<u32>, bool) {
        let mut found = slots.newest_of(set, from.map(Timestamp::from_seconds), most);
        found.feeds.sort_by_key(|(id, at)| std::cmp::Reverse((*at, *id)));
        let lowest = found.feeds.last().map(|(id, at)| (*at, *id));
        assert!(found.rest_below.is_none_or(|rest| Some(rest) == lowest));
        (found.feeds.iter().map(|(id, _)| id.0).collect(), found.rest_below.is_some())
    }

    #[test]
    fn the_newest_come_first_whichever_way_they_are_found() {
        let mut slots = hundred();
        let all = set(0..100);
        assert_eq!(newest(&slots, &all, None, 3), (vec![99, 98, 97], true));
        assert_eq!(newest(&slots, &all, Some(95), 2), (vec![99, 98, 97, 96, 95, 94, 93], true));
        assert!(!newest(&slots, &all, None, 90).1, "ten have said nothing");
        // Few among many: their own are looked at, and all of them are found.
        assert_eq!(newest(&slots, &set([1, 2, 3, 10]), None, 1), (vec![3, 2, 1], false));
        slots.put(feed(2, Some(200)), 100);
        assert_eq!(newest(&slots, &all, None, 2), (vec![2, 99], true));
        slots.remove(FeedId(2));
        assert_eq!(newest(&slots, &all, None, 1), (vec![99], true));
        assert_eq!(newest(&slots, &set([2]), None, 1), (vec![], false));
    }

    #[test]
    fn a_predecessor_stands_in_the_place_of_its_successor() {
        let mut slots = hundred();
        slots.put(Feed { predecessor: Some(FeedId(5)), ..feed(98, Some(98)) }, 100);
        for most in [1, 100] {
            assert_eq!(newest(&slots, &set([98]), None, most), (vec![5], false));
        }
        assert_eq!(newest(&slots, &set([5, 98]), None, 5), (vec![5], false), "each once");
        assert_eq!(newest(&slots, &set(90..100), None, 2), (vec![99, 97], true));
        assert_eq!(newest(&slots, &set(90..100), None, 9), (vec![99, 97, 96, 95, 94, 93, 92, 91, 5], false));
        slots.put(feed(98, Some(98)), 101);
        assert_eq!(newest(&slots, &set([98]), None, 1), (vec![98], false));
    }

    #[test]
    fn changes_are_those_of_the_set() {
        let mut slots = hundred();
        for (ids, since, changed) in [
            (set(0..100), 98, Some(99)),
            (set(0..100), 99, None),
            (set([3]), 2, Some(3)),
            (set([3]), 3, None),
            (set(0..50), 20, Some(49)),
            (set([]), 0, None),
        ] {
            assert_eq!(slots.changed_since(&ids, since), changed, "{ids:?} {since}");
        }
        slots.put(feed(3, None), 3);
        assert_eq!(slots.changed_since(&set([3]), 3), None, "what views show has not changed");
        slots.put(feed(3, None), 100);
        assert_eq!(slots.changed_since(&set([3, 4]), 3), Some(100));
    }

    #[test]
    fn what_is_broken_and_what_was_never_asked_is_counted() {
        let mut slots = hundred();
        assert_eq!((slots.broken_among(&set(0..100)), slots.unasked_among(&set(90..110))), (0, 10));
        let mut broken = feed(7, None);
        broken.schedule.state = FeedState::Backoff;
        broken.trouble = Some(Trouble::BrokenForADay);
        slots.put(broken, 100);
        assert_eq!((slots.broken_among(&set(0..10)), slots.unasked_among(&set(0..10))), (1, 9));
        assert_eq!((slots.broken_among(&set([8])), slots.unasked_among(&set([7]))), (0, 0));
        slots.remove(FeedId(7));
        assert_eq!(slots.broken_among(&set(0..10)), 0);
    }
}
