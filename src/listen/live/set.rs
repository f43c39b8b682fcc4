//! The feeds of a view, as a set that is worked out once for a roster and shared by all who ask for it.

use std::ops::Deref;
use std::sync::Arc;

use crate::model::FeedId;

/// Some feeds, each once, in the order of their numbers. Copies share the numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedSet(Arc<[FeedId]>);

impl FeedSet {
    /// Whether a feed is among them.
    pub fn contains(&self, feed: FeedId) -> bool {
        self.0.binary_search(&feed).is_ok()
    }
}

impl Deref for FeedSet {
    type Target = [FeedId];

    fn deref(&self) -> &[FeedId] {
        &self.0
    }
}

impl FromIterator<FeedId> for FeedSet {
    fn from_iter<I: IntoIterator<Item = FeedId>>(feeds: I) -> Self {
        let mut feeds: Vec<FeedId> = feeds.into_iter().collect();
        feeds.sort_unstable();
        feeds.dedup();
        Self(feeds.into())
    }
}
