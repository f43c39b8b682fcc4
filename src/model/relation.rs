//! What people say of each other, what is done about it, and what is told of that.

use super::{CleanHtml, EntryKey, FeedId, Hash64, Link, Person, Timestamp};

/// What an entry says of others: where it links to, and whether it speaks of you.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The entry.
    pub key: EntryKey,
    /// Where its text links to, in its order, each page once, at most [`Said::MAX_LINKS`].
    pub links: Vec<Link>,
    /// That it speaks of you, where it does.
    pub mention: Option<Mention>,
}

impl Said {
    /// At most so many links of one entry are kept, the first ones.
    pub const MAX_LINKS: usize = 64;
}

/// That something speaks of you.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mention {
    /// How.
    pub way: Way,
    /// Who wrote it, where that is not who publishes it: the author's page, of what came by an inbox feed or as a
    /// Webmention.
    pub by: Option<Link>,
}

/// How something speaks of you.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// It links to one of your sites.
    Link,
    /// It says one of your names.
    Name,
    /// It came by a feed of role `inbox`.
    Inbox,
    /// It came as a Webmention; its key is that of a [`Webmention`].
    Web,
}

impl Way {
    /// All of them, in the order in which they are stored.
    pub const ALL: [Self; 4] = [Self::Link, Self::Name, Self::Inbox, Self::Web];
}

/// A verified Webmention from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webmention {
    /// When it was first received, [`Webmention::FEED`], and a number.
    pub key: EntryKey,
    /// The page that mentions, as it was sent.
    pub source: String,
    /// The page of yours that it mentions, as it was sent.
    pub target: String,
    /// What the source calls its mention.
    pub kind: WebmentionKind,
    /// Who wrote it, as far as the source says.
    pub author: Person,
    /// The source's title as plain text; may be empty.
    pub title: String,
    /// The beginning of what it says.
    pub excerpt: CleanHtml,
    /// When it was published, as the source says; never in the future of its receipt.
    pub published: Option<Timestamp>,
    /// When it was last verified.
    pub verified: Timestamp,
}

impl Webmention {
    /// Stands for the feed in the keys of Webmentions; no feed gets this number.
    pub const FEED: FeedId = FeedId(u32::MAX - 1);
}

/// What a Webmention is, by the microformats of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WebmentionKind {
    /// `u-in-reply-to`
    Reply,
    /// `u-like-of`
    Like,
    /// `u-repost-of`
    Repost,
    /// Any other link.
    Mention,
}

impl WebmentionKind {
    /// All of them, in the order in which they are stored.
    pub const ALL: [Self; 4] = [Self::Reply, Self::Like, Self::Repost, Self::Mention];
}

/// Contact with a voice, recorded by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// When it was recorded.
    pub at: Timestamp,
    /// What was done.
    pub kind: ContactKind,
    /// A note of the keeper's; may be empty.
    pub note: String,
    /// What was answered: an entry, a Webmention, or a notice of the voice; it may be gone by now.
    pub about: EntryKey,
    /// Who wrote that, where it is not whose feed it came by (see [`Mention::by`]).
    pub by: Option<Link>,
    /// The title of what was answered, as it was then.
    pub title: String,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ContactKind {
    /// Thanked.
    Thanked,
    /// Commented, or answered otherwise.
    Commented,
    /// Shared, or linked to.
    Shared,
}

impl ContactKind {
    /// All of them, in the order in which they are stored and shown.
    pub const ALL: [Self; 3] = [Self::Thanked, Self::Commented, Self::Shared];

    /// The word in forms and exports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Thanked => "thanked",
            Self::Commented => "commented",
            Self::Shared => "shared",
        }
    }
}

/// Something that came true between you and the voices, told once: its key, and so its time, and its words never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When it was told, a feed of the voice that it is about ([`Notice::NOBODY`] where it is about several), and a
    /// number from [`Notice::FIRST_SEQ`] on.
    pub key: EntryKey,
    /// What came true.
    pub kind: NoticeKind,
    /// What makes it the same: it is told once for each mark.
    pub mark: Hash64,
    /// The headline, plain text.
    pub title: String,
    /// What there is to say; its links are absolute.
    pub text: CleanHtml,
    /// Where it leads.
    pub link: Option<String>,
    /// The voices that it is about, each by one of its feeds.
    pub about: Vec<FeedId>,
}

impl Notice {
    /// Numbers of notices begin here, so that no key of a notice is ever that of an entry or of a
    /// [`HealthEvent`](super::HealthEvent).
    pub const FIRST_SEQ: u32 = 3 << 30;
    /// Stands for the feed where a notice is about several voices; no feed gets this number.
    pub const NOBODY: FeedId = FeedId(u32::MAX - 2);
}

/// What came true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NoticeKind {
    /// A voice was heard for the first time.
    FirstHeard,
    /// A voice fell silent, far beyond its rhythm.
    FellSilent,
    /// A voice that had fallen silent spoke again.
    CameBack,
    /// A voice's words have waited for an answer for 30 days.
    Neglected,
    /// Several voices link to one page, or to each other.
    Conversation,
    /// Several voices link to a site that stands in no list.
    Bridge,
    /// A voice joined a list or left, without beginning to follow you.
    Newcomer,
    /// A voice began to follow you.
    Follower,
}

impl NoticeKind {
    /// All of them, in the order in which they are stored.
    pub const ALL: [Self; 8] = [
        Self::FirstHeard,
        Self::FellSilent,
        Self::CameBack,
        Self::Neglected,
        Self::Conversation,
        Self::Bridge,
        Self::Newcomer,
        Self::Follower,
    ];
}
