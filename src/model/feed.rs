//! A feed between two polls, and a document as one poll brings it.

use std::fmt;
use std::time::Duration;

use super::{Entry, FeedUrl, Item, Recent, Timestamp, Trouble};

/// A feed's internal number: it survives a change of URL and is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeedId(pub u32);

/// The first 64 bits of a cryptographic hash: enough to tell the entries of one feed apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash64(pub u64);

/// What is known of a feed between two polls; everything here is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Feed {
    /// Its number.
    pub id: FeedId,
    /// Its address as the outline has it.
    pub url: FeedUrl,
    /// The address adopted after permanent redirects, or found by autodiscovery; this is what is fetched.
    pub moved_to: Option<FeedUrl>,
    /// Further addresses at which outlines name it, or did. An address that an outline no longer names may be another
    /// feed's by now.
    pub aliases: Vec<FeedUrl>,
    /// The feed that its outline named before its address was edited, until this one's first entries tell whether it is
    /// the same.
    pub predecessor: Option<FeedId>,
    /// What the document says of itself.
    pub about: About,
    /// What makes the next request conditional.
    pub validators: Validators,
    /// BLAKE3 of the last parsed body (decoded) and of the parser's version.
    pub body_hash: Option<[u8; 32]>,
    /// How its entries are told apart.
    pub identity: IdentityRule,
    /// When it is asked next, and what came of asking.
    pub schedule: Schedule,
    /// What came of the last times that it was asked.
    pub recent: Recent,
    /// The worst trouble that it has been in since it was last well; told when it began, unless it began before we came.
    pub trouble: Option<Trouble>,
    /// How many entries are stored.
    pub entries: u32,
    /// The place of its newest stored entry.
    pub newest: Option<Timestamp>,
    /// The number that its next new entry gets.
    pub next_seq: u32,
    /// Since when it stands in no list; its history goes 30 days later.
    pub left_at: Option<Timestamp>,
}

impl Feed {
    /// At most so many further addresses of one feed are kept.
    pub const MAX_ALIASES: usize = 256;

    /// A feed that was never asked; due at once.
    pub fn new(id: FeedId, url: FeedUrl, now: Timestamp) -> Self {
        Self {
            id,
            url,
            moved_to: None,
            aliases: Vec::new(),
            predecessor: None,
            about: About::default(),
            validators: Validators::default(),
            body_hash: None,
            identity: IdentityRule::Guid,
            schedule: Schedule::new(now),
            recent: Recent::default(),
            trouble: None,
            entries: 0,
            newest: None,
            next_seq: 0,
            left_at: None,
        }
    }

    /// The address that is fetched: the adopted one, else the outline's.
    pub fn address(&self) -> &FeedUrl {
        self.moved_to.as_ref().unwrap_or(&self.url)
    }

    /// Adds to the aliases what is not among its addresses, up to [`Self::MAX_ALIASES`].
    pub fn remember<'a>(&mut self, addresses: impl Iterator<Item = &'a FeedUrl>) {
        for url in addresses {
            if self.aliases.len() < Self::MAX_ALIASES && self.addresses().all(|known| known != url) {
                self.aliases.push(url.clone());
            }
        }
    }

    /// The addresses at which outlines may name it, its own first.
    pub fn addresses(&self) -> impl Iterator<Item = &FeedUrl> {
        std::iter::once(&self.url).chain(&self.aliases)
    }
}

/// What a document says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Atom `id` or JSON `feed_url`.
    pub id: Option<String>,
    /// The title as plain text.
    pub title: Option<String>,
    /// The home page, absolute.
    pub home: Option<String>,
    /// The language (BCP 47).
    pub language: Option<String>,
    /// The address that the document gives itself (`rel="self"`).
    pub self_link: Option<String>,
    /// WebSub hubs that it names.
    pub hubs: Vec<String>,
}

/// Response headers of the last 200 (refreshed by a 304), byte for byte, sent back with the next request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`, for `If-None-Match`.
    pub etag: Option<Vec<u8>>,
    /// `Last-Modified`, for `If-Modified-Since`.
    pub last_modified: Option<Vec<u8>>,
    /// The address whose answer carried them, after all redirects: they mean nothing to any other, and go nowhere else.
    pub from: Option<FeedUrl>,
}

impl Validators {
    /// Those of a 304 on top of those of the 200 that it confirms: what it leaves out stays (RFC 9110, section 15.4.5).
    #[must_use]
    pub fn refreshing(self, old: &Self) -> Self {
        Self {
            etag: self.etag.or_else(|| old.etag.clone()),
            last_modified: self.last_modified.or_else(|| old.last_modified.clone()),
            from: self.from.or_else(|| old.from.clone()),
        }
    }
}

/// How a feed's entries are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityRule {
    /// By guid; without one by link, else by title and date.
    Guid,
    /// By link, for good: the feed has used one guid for several links in one document.
    Link,
}

/// The state of a feed's fetching, as `/status.json` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FeedState {
    /// Never asked.
    New,
    /// The last answer was good.
    Ok,
    /// Failing; asked ever more rarely.
    Backoff,
    /// Told to wait: 401, 403, 429, 503 with `Retry-After`.
    Held,
    /// 410, confirmed; asked no more.
    Gone,
    /// Three parser faults in a row; asked daily.
    Quarantined,
}

impl FeedState {
    /// All states.
    pub const ALL: [Self; 6] = [Self::New, Self::Ok, Self::Backoff, Self::Held, Self::Gone, Self::Quarantined];

    /// The state's word, as status and metrics spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Ok => "ok",
            Self::Backoff => "backoff",
            Self::Held => "held",
            Self::Gone => "gone",
            Self::Quarantined => "quarantined",
        }
    }
}

/// When a feed is asked next, and what came of asking. `feeds::schedule` makes the next one from this one.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The state.
    pub state: FeedState,
    /// Not before this instant; the feed is due from it on.
    pub next_poll: Timestamp,
    /// The pause that the last answer led to, without jitter.
    pub interval: Duration,
    /// When the last request was sent.
    pub last_attempt: Option<Timestamp>,
    /// When the last good answer (200 that parsed, or 304) came.
    pub last_success: Option<Timestamp>,
    /// The status of the last answer; `None` where none came.
    pub last_status: Option<u16>,
    /// Why the last attempt failed, in plain words, without credentials; `None` after a success.
    pub last_error: Option<String>,
    /// Failures in a row.
    pub failures: u32,
    /// Since when it fails.
    pub failing_since: Option<Timestamp>,
    /// Parser faults (panics, exceeded bounds) in a row.
    pub parser_faults: u32,
    /// A permanent redirect that waits for its third success.
    pub pending_move: Option<PendingMove>,
    /// Mean pause between its entries, smoothed; `None` before two dated entries were seen.
    pub rhythm: Option<Duration>,
    /// What the last parsed document asked for; it also holds for the 304s after it.
    pub pace: Pace,
}

impl Schedule {
    /// The schedule of a feed that was never asked: due at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self {
            state: FeedState::New,
            next_poll: now,
            interval: Duration::ZERO,
            last_attempt: None,
            last_success: None,
            last_status: None,
            last_error: None,
            failures: 0,
            failing_since: None,
            parser_faults: 0,
            pending_move: None,
            rhythm: None,
            pace: Pace::default(),
        }
    }
}

/// A permanent redirect seen, and how often in a row it led to a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingMove {
    /// Where it leads.
    pub target: FeedUrl,
    /// Consecutive successes there.
    pub successes: u8,
}

/// How often a document asks to be fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// RSS `ttl`, in minutes.
    pub ttl_minutes: Option<u32>,
    /// `sy:updatePeriod` divided by `sy:updateFrequency`.
    pub update_period: Option<UpdatePeriod>,
    /// RSS `skipHours`, hours of the day in GMT (0–23) as bits.
    pub skip_hours: u32,
    /// RSS `skipDays`, Monday as bit 0.
    pub skip_days: u8,
}

/// How often a document is updated, in seconds (RSS 1.0 syndication module).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdatePeriod {
    /// Seconds between two updates.
    pub seconds: u32,
}

/// The language that a document is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// RSS 0.90 to 0.94 and 2.0.
    Rss,
    /// RSS 0.90, 1.0 and 1.1 in RDF.
    Rdf,
    /// Atom 0.3 and 1.0.
    Atom,
    /// JSON Feed 1.0 and 1.1.
    Json,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rss => "rss",
            Self::Rdf => "rdf",
            Self::Atom => "atom",
            Self::Json => "json",
        })
    }
}

/// A parsed document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its language.
    pub format: Format,
    /// What it says of itself.
    pub about: About,
    /// When it says that it was last changed or built.
    pub updated: Option<Timestamp>,
    /// How often it asks to be fetched.
    pub pace: Pace,
    /// Its items, in its own order.
    pub items: Vec<Item>,
    /// Whether its end was seen: a document cut off in transport is not complete.
    pub complete: bool,
}

/// What is remembered of one entry of a feed to recognise it again, also after its text was purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The entry's number within the feed.
    pub seq: u32,
    /// Its place in the stream.
    pub listed_at: Timestamp,
    /// When the daemon first saw it.
    pub first_seen: Timestamp,
    /// Of its guid, or of what stands for one.
    pub guid: Hash64,
    /// Of its link in comparable form.
    pub link: Option<Hash64>,
    /// Of everything that its item said, before cleaning.
    pub fingerprint: Hash64,
    /// The day (since the Unix epoch) when a parsed document last carried it. Equal to the largest of its feed, it is
    /// carried still: unchanged documents are not parsed, and no day is written for them.
    pub carried_on: i32,
    /// Whether retention took its text.
    pub purged: bool,
}

/// One entry's part in a commit: what is remembered of it, and its text where that is new or changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What was remembered before; `None` for a new entry.
    pub was: Option<Known>,
    /// What is remembered from now on; number and place equal those of `was`.
    pub now: Known,
    /// The text to store at that place; `None` leaves the stored one alone.
    pub entry: Option<Entry>,
}
