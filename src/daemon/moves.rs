//! Feeds that turn out to be one: looks for them, and has the store join them.
//!
//! Two ways lead there.
//!
//! *Twins*: two feeds that stand in lists are fetched from one address, because one redirects to the other for good, or
//! both to a third. The feed whose own address that is wins; where it is nobody's, the one that was followed first. So
//! nobody gets hold of another's feed by redirecting to it: he makes an alias of his own outline, no more. What he said
//! before becomes the winner's history only where both are of one host, or the lists have them as one voice. That the same
//! address answers over http and https is no proof, and neither are equal ids: twins of that kind become one when one of
//! them redirects. An address that once was an alias stays one as long as the feed is kept; whoever edits it in the
//! outline has another subscription.
//!
//! *An edited outline*: the first entries from the new address tell whether it is the feed that the outline named
//! before. One id in common, and the old feed wins, with its number, its entries and their places. Until that is known,
//! views show the old feed's entries in the place of the new one's; however long the first answer takes, the old one is
//! not asked meanwhile, and its history goes after the usual 30 days.
//!
//! Knows what makes feeds one; what becomes of their entries is the store's business.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{info, warn};

use super::writer::Commits;
use super::{Gate, blocking, now};
use crate::http::App;
use crate::listen::live::Live;
use crate::model::{Feed, FeedId, FeedUrl, Hash64};
use crate::store::{FeedUpdate, Join, Kinship, Store, StoreError};

/// Looks for feeds that are one.
#[derive(Debug)]
pub(super) struct Moves {
    app: Arc<App>,
    commits: Commits,
    gate: Gate,
    seen: Mutex<Seen>,
}

/// What the last look saw, and visits since: it tells when another look is worth its time, which grows with all feeds.
#[derive(Debug, Default)]
struct Seen {
    /// Feeds that would win over a twin, and wait for their own first answer.
    waiting: HashSet<FeedId>,
    /// Adopted addresses, each with a feed that is fetched from there.
    adopted: HashMap<FeedUrl, FeedId>,
}

/// What a look found.
#[derive(Debug, Default)]
struct Found {
    twins: Vec<Join>,
    edited: Vec<Join>,
    seen: Seen,
}

impl Moves {
    pub(super) fn new(app: Arc<App>, commits: Commits, gate: Gate) -> Self {
        Self { app, commits, gate, seen: Mutex::default() }
    }

    pub(super) fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Looks where a visit to a feed, given as it was before, may have made feeds one. Returns the feeds that others
    /// were joined to.
    pub(super) async fn look_after(&self, old: &Feed) -> Vec<FeedId> {
        let Some(feed) = self.app.live.feed(old.id) else { return Vec::new() };
        let has_come_to_another = feed.moved_to != old.moved_to && self.is_shared(&feed, old);
        let is_decided = feed.predecessor.is_some() && feed.next_seq > 0;
        let was_awaited = old.schedule.last_success.is_none()
            && feed.schedule.last_success.is_some()
            && self.seen().waiting.contains(&feed.id);
        if has_come_to_another || is_decided || was_awaited { self.look().await } else { Vec::new() }
    }

    /// Whether another feed is known at the address that a feed has just adopted.
    fn is_shared(&self, feed: &Feed, old: &Feed) -> bool {
        let mut seen = self.seen();
        if let Some(left) = old.moved_to.as_ref().filter(|left| seen.adopted.get(*left) == Some(&feed.id)) {
            seen.adopted.remove(left);
        }
        let Some(address) = &feed.moved_to else { return false };
        let is_named = self.app.live.bound().ids.get(address).is_some_and(|id| *id != feed.id);
        is_named || *seen.adopted.entry(address.clone()).or_insert(feed.id) != feed.id
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at all feeds, and joins those that are one. Returns the feeds that others were joined to.
    pub(super) async fn look(&self) -> Vec<FeedId> {
        let find = || {
            let live = Arc::clone(&self.app.live);
            blocking(move || find(&live))
        };
        let found = find().await;
        *self.seen() = found.seen;
        if found.twins.is_empty() && found.edited.is_empty() {
            return Vec::new();
        }
        let _no_visits = self.gate.alone().await;
        // Something else may have come first.
        let found = find().await;
        let mut joined = Vec::new();
        for join in found.twins {
            joined.extend(self.join(join).await);
        }
        for join in found.edited {
            match self.is_continuation(join).await {
                Ok(true) => joined.extend(self.join(join).await),
                Ok(false) => self.keep_apart(join.loser).await,
                Err(fault) => warn!(%fault, "what an edited outline named before cannot be read; trying again later"),
            }
        }
        joined
    }

    /// Whether the feed that an outline names now has an entry of the one that it named before.
    async fn is_continuation(&self, join: Join) -> Result<bool, StoreError> {
        if is_listed(&self.app.live, join.winner) {
            return Ok(false); // It is back, and stands for itself.
        }
        let store = Arc::clone(&self.app.store);
        blocking(move || has_common_entry(&store, join)).await
    }

    /// The winner, where something was joined.
    async fn join(&self, join: Join) -> Option<FeedId> {
        let live = &self.app.live;
        let loser = live.feed(join.loser)?;
        let store = Arc::clone(&self.app.store);
        let joined = blocking(move || Ok::<_, StoreError>((store.join(&join, now())?, store.paths()?)));
        let (winner, old_paths) = match joined.await {
            Ok((Some(winner), old_paths)) => (winner, old_paths),
            Ok((None, _)) => return None,
            Err(fault) => {
                warn!(feed.url = %loser.url, %fault, "two feeds that are one could not be joined; trying again later");
                return None;
            }
        };
        match join.kinship {
            Kinship::Twins => {
                info!(feed.url = %loser.url, same_as = %winner.url, "two outlines name one feed; it is fetched once");
            }
            Kinship::Edited => {
                info!(feed.url = %winner.url, "the feed of an edited outline is the same; its history goes on");
            }
        }
        live.update([(winner, true)]);
        live.bind_instead(join.loser, join.winner, old_paths.into_iter().collect());
        live.forget(&[join.loser]);
        Some(join.winner)
    }

    /// The outline names another feed now: that one stands for itself, and the old one has left.
    async fn keep_apart(&self, feed: FeedId) {
        let Some(feed) = self.app.live.feed(feed) else { return };
        info!(feed.url = %feed.url, "the feed of an edited outline has no entry of the one before; it is another one");
        let feed = Feed { predecessor: None, ..Feed::clone(&feed) };
        if let Ok(kept) = self
            .commits
            .write(vec![FeedUpdate { feed, changes: Vec::new(), said: Vec::new(), events: Vec::new() }])
            .await
        {
            self.app.live.update(kept.into_iter().map(|feed| (feed, true)));
        }
    }
}

/// Which of the feeds that stand in lists may be one.
fn find(live: &Live) -> Found {
    let mut found = Found::default();
    let bound = live.bound();
    let mut adopted: HashMap<FeedUrl, Vec<Arc<Feed>>> = HashMap::new();
    live.for_each_listed(|feed| {
        adopted.extend(feed.moved_to.clone().map(|address| (address, Vec::new())));
        if let Some(winner) = feed.predecessor.filter(|_| feed.next_seq > 0) {
            found.edited.push(Join { winner, loser: feed.id, kinship: Kinship::Edited, is_vouched: true });
        }
    });
    if adopted.is_empty() {
        return found;
    }
    live.for_each_listed(|feed| {
        if let Some(twins) = adopted.get_mut(feed.address()) {
            twins.push(Arc::clone(feed));
        }
    });
    let fetched_there = adopted.iter().filter_map(|(address, twins)| Some((address.clone(), twins.first()?.id)));
    found.seen.adopted = fetched_there.collect();
    for (address, twins) in adopted.iter().filter(|(_, twins)| twins.len() > 1) {
        let Some(winner) = twins.iter().find(|feed| feed.url == *address).or(twins.first()) else { continue };
        if winner.schedule.last_success.is_none() {
            // What it says itself comes first.
            found.seen.waiting.insert(winner.id);
            continue;
        }
        let losers = twins.iter().filter(|loser| {
            let has_room = winner.aliases.len() + loser.addresses().count() <= Feed::MAX_ALIASES;
            loser.id != winner.id && loser.predecessor.is_none() && has_room
        });
        found.twins.extend(losers.map(|loser| {
            let voice = |feed: &Feed| bound.voices.get(&feed.id);
            let is_one_voice = voice(loser).is_some_and(|loser| voice(winner) == Some(loser));
            let is_vouched = loser.url.host() == winner.url.host() || is_one_voice;
            Join { winner: winner.id, loser: loser.id, kinship: Kinship::Twins, is_vouched }
        }));
    }
    found
}

fn is_listed(live: &Live, feed: FeedId) -> bool {
    live.bound().ids.values().any(|id| *id == feed)
}

fn has_common_entry(store: &Store, join: Join) -> Result<bool, StoreError> {
    let before: HashSet<Hash64> = store.known(join.winner)?.iter().map(|known| known.guid).collect();
    Ok(store.known(join.loser)?.iter().any(|known| before.contains(&known.guid)))
}
