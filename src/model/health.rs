//! What happens to the feeds themselves: troubles they are in, and events to be told once.

use super::{CleanHtml, EntryKey, FeedId};

/// A trouble that a feed is in, from the lightest to the worst. A feed is told about when its trouble gets worse, and
/// when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trouble {
    /// It answers, and has said nothing for far longer than it used to.
    Silent,
    /// Nothing good came for a day.
    BrokenForADay,
    /// Its documents break the parser.
    Quarantined,
    /// Nothing good came for seven days.
    BrokenForAWeek,
    /// Nothing good came for thirty days.
    BrokenForAMonth,
    /// Its server has said twice that it is gone for good.
    Gone,
}

impl Trouble {
    /// All of them, from the lightest to the worst, which is also the order in which they are stored.
    pub const ALL: [Self; 6] =
        [Self::Silent, Self::BrokenForADay, Self::Quarantined, Self::BrokenForAWeek, Self::BrokenForAMonth, Self::Gone];

    /// Whether nothing of the feed is heard, though it may well go on speaking: somebody should have a look.
    pub fn is_broken(self) -> bool {
        self > Self::Silent
    }
}

/// Something that happened to a feed or a list, told once: its key, and so its time, and its words never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthEvent {
    /// When, to which feed ([`HealthEvent::NO_FEED`] for a list), and a number from [`HealthEvent::FIRST_SEQ`] on.
    pub key: EntryKey,
    /// What happened.
    pub kind: HealthKind,
    /// The name of the list that it happened to; `None` for a feed.
    pub list: Option<String>,
    /// The headline, plain text.
    pub title: String,
    /// What happened, why, and what can be done.
    pub text: CleanHtml,
}

impl HealthEvent {
    /// Numbers of events begin here, so that no key of an event is ever that of an entry.
    pub const FIRST_SEQ: u32 = 1 << 31;
    /// Stands for the feed in the keys of what happens to lists; no feed gets this number.
    pub const NO_FEED: FeedId = FeedId(u32::MAX);
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HealthKind {
    /// A feed has failed for a day, a week or a month.
    Broken,
    /// A feed's documents break the parser.
    Quarantined,
    /// A feed is gone for good.
    Gone,
    /// A feed has moved.
    Moved,
    /// The address in the list is a page, which names its feed.
    Found,
    /// A feed has been silent far beyond its rhythm.
    Silent,
    /// A trouble is over.
    Back,
    /// A list cannot be read.
    ListUnreadable,
    /// A list can be read again.
    ListReadable,
}

impl HealthKind {
    /// All of them, in the order in which they are stored.
    pub const ALL: [Self; 9] = [
        Self::Broken,
        Self::Quarantined,
        Self::Gone,
        Self::Moved,
        Self::Found,
        Self::Silent,
        Self::Back,
        Self::ListUnreadable,
        Self::ListReadable,
    ];

    /// One word for it, as a category.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Quarantined => "quarantined",
            Self::Gone => "gone",
            Self::Moved => "moved",
            Self::Found => "found",
            Self::Silent => "silent",
            Self::Back => "back",
            Self::ListUnreadable => "list unreadable",
            Self::ListReadable => "list readable",
        }
    }
}
