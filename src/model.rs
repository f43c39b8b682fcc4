//! The words that all rooms share, as types: times, addresses, entries, feeds, and what becomes of lists.
//!
//! Owns no behaviour beyond what keeps a value valid. Knows nothing of files, sockets, the database or the clock.

mod entry;
mod event;
mod feed;
mod health;
mod hub;
mod link;
mod recent;
mod relation;
mod time;
mod url;

pub use entry::{Category, CleanHtml, Enclosure, Entry, EntryKey, Item, Markup, Origin, Person};
pub use event::{ListEvent, ListEventKind, Role};
pub use feed::{
    About, Change, Document, Feed, FeedId, FeedState, Format, Hash64, IdentityRule, Known, Pace, PendingMove, Schedule,
    UpdatePeriod, Validators,
};
pub use health::{HealthEvent, HealthKind, Trouble};
pub use hub::{HubStage, HubSubscription};
pub use link::{Link, prefix_hash};
pub use recent::{Came, Fetch, Recent};
pub use relation::{Contact, ContactKind, Mention, Notice, NoticeKind, Said, Way, Webmention, WebmentionKind};
pub use time::Timestamp;
pub(crate) use url::PlainUrl;
pub use url::{FeedUrl, UrlFault, comparable_link, redact, redact_text};
