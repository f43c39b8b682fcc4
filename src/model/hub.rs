//! What is agreed with a WebSub hub about one feed.

use super::{FeedId, FeedUrl, Timestamp};

/// What a hub was asked to push, and how that stands; everything here is stored. `feeds::websub` makes the next state
/// from this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubSubscription {
    /// The feed that pushes are for.
    pub feed: FeedId,
    /// The hub.
    pub hub: FeedUrl,
    /// The address under which the hub knows the feed.
    pub topic: String,
    /// Where the hub answers and pushes: an address of ours that nobody can guess.
    pub callback: String,
    /// What pushes are signed with.
    pub secret: String,
    /// How it stands.
    pub stage: HubStage,
    /// When the last request was sent; the hub may verify it for some time.
    pub asked_at: Option<Timestamp>,
    /// Until when the hub pushes; `None` where it has never said so, or no longer does.
    pub lease_ends: Option<Timestamp>,
    /// When the next step is due, whatever it is in this stage.
    pub next_step: Timestamp,
    /// Requests in a row that came to nothing.
    pub failures: u32,
}

impl HubSubscription {
    /// The last part of the callback's path, by which it is found.
    pub fn token(&self) -> &str {
        self.callback.rsplit('/').next().unwrap_or_default()
    }
}

/// How an agreement with a hub stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HubStage {
    /// To be asked for when the next step is due.
    Wanted,
    /// Asked for; the hub has not verified it yet.
    Asked,
    /// Verified; to be renewed when the next step is due.
    Verified,
    /// The hub does not want to.
    Denied,
    /// To be ended when the next step is due.
    Leaving,
    /// The hub was asked to end it; forgotten when the next step is due.
    Left,
}
