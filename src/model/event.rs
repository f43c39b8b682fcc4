//! What a list is to its keeper, and what happened to the people in it.

use super::{FeedUrl, Timestamp};

/// What a list is to you.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// They follow you.
    Followers,
    /// You would want them to follow you.
    Desired,
    /// Your own feeds.
    Mine,
    /// What reaches you elsewhere as feeds: comment feeds, replies, alerts.
    Inbox,
    /// Any other circle of people.
    Circle,
}

impl Role {
    /// The role that a list's name says, or a configured one: `followers`, `desired`, `mine`, `inbox`; else a circle.
    pub fn of_name(name: &str) -> Self {
        match name {
            "followers" => Self::Followers,
            "desired" => Self::Desired,
            "mine" => Self::Mine,
            "inbox" => Self::Inbox,
            _ => Self::Circle,
        }
    }

    /// The role's word, as configuration and status spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Followers => "followers",
            Self::Desired => "desired",
            Self::Mine => "mine",
            Self::Inbox => "inbox",
            Self::Circle => "circle",
        }
    }

    /// Whether the list's people belong into `/listen`: neither yourself nor your letter box.
    pub const fn is_listened_to(self) -> bool {
        !matches!(self, Self::Mine | Self::Inbox)
    }
}

/// A change of a list that is worth remembering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListEvent {
    /// When the change was read.
    pub at: Timestamp,
    /// What happened.
    pub kind: ListEventKind,
    /// The list's name (its file's stem).
    pub list: String,
    /// The voice's title at that time.
    pub voice: String,
    /// The voice's feeds at that time; they tell which voice is meant after a rename.
    pub feeds: Vec<FeedUrl>,
}

/// What happened to a voice in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListEventKind {
    /// It stands in the list and did not before.
    Joined,
    /// It stood in the list and no longer does.
    Left,
    /// It is new among the followers, and is or within the last 30 days was among the desired.
    BecameFollower,
}
