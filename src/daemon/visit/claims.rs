//! Who makes a feed's next state: one at a time. A visit and a push that both began with the same state could not both
//! be kept.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::model::FeedId;

/// The feeds whose next state is being made.
#[derive(Default)]
pub(super) struct Claims {
    claimed: Mutex<HashSet<FeedId>>,
    released: Notify,
}

/// A feed that nobody else may change, until this is dropped.
pub(super) struct Claim<'a> {
    claims: &'a Claims,
    feed: FeedId,
}

impl Claims {
    /// Waits until nobody else makes the feed's next state, and keeps others from it while the claim is held.
    pub(super) async fn claim(&self, feed: FeedId) -> Claim<'_> {
        loop {
            // Made before the look, so that a claim that ends in between is noticed.
            let released = self.released.notified();
            if self.claimed.lock().unwrap_or_else(PoisonError::into_inner).insert(feed) {
                return Claim { claims: self, feed };
            }
            released.await;
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.claims.claimed.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.feed);
        self.claims.released.notify_waiters();
    }
}
