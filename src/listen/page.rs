//! What a reader is shown: one page of a view, complete, with nothing left to look up. `publish` turns it into bytes.

use std::sync::Arc;

use crate::model::{Entry, EntryKey, Timestamp};

/// One page of a view.
#[derive(Clone, Debug)]
pub struct Page {
    /// What the view is called.
    pub head: ViewHead,
    /// What was asked for.
    pub query: Query,
    /// The entries, newest first.
    pub entries: Vec<Listed>,
    /// Where the next page starts, where there is one.
    pub next: Option<EntryKey>,
    /// When anything on the page last changed; the epoch for an empty page.
    pub updated: Timestamp,
    /// How many feeds of the view are broken, where whoever reads the page may know.
    pub troubled: usize,
}

/// A view's name and place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewHead {
    /// Its path, as `/followers/oakland-makers`: no ending, no query.
    pub path: String,
    /// Its title for people.
    pub title: String,
    /// One sentence about what it holds.
    pub about: String,
    /// The views above it, outermost first, as title and path.
    pub above: Vec<(String, String)>,
}

/// An entry on a page, with who said it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The entry.
    pub entry: Entry,
    /// Who said it.
    pub source: Arc<Source>,
    /// Why it is here, in a sentence, where the view has reasons.
    pub reason: Option<String>,
}

/// Who said an entry: feed, voice and circles. No field holds credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The feed's own id where it has one (Atom), else its address.
    pub id: String,
    /// The feed's title; where it has none, its outline's.
    pub title: String,
    /// The feed's address as it is fetched.
    pub url: String,
    /// Its other addresses: where it was fetched before, or other outlines name it.
    pub former_urls: Vec<String>,
    /// The feed's home page.
    pub home: Option<String>,
    /// The voice's title.
    pub voice: String,
    /// The path of the voice's own view.
    pub voice_path: String,
    /// The lists and folders it stands in, as title and path, outermost first.
    pub circles: Vec<(String, String)>,
}

/// What a reader asks of a view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    /// At most so many entries, 1 to [`Query::MAX_LIMIT`].
    pub limit: usize,
    /// Only entries listed at or after this instant.
    pub since: Option<Timestamp>,
    /// Only entries whose title or text holds all of these, case-folded.
    pub words: Vec<String>,
    /// At most so many entries of one voice on the page.
    pub per_voice: Option<usize>,
    /// Only entries after this one in the stream (older): the start of a further page.
    pub before: Option<EntryKey>,
}

impl Query {
    /// Entries on a page unless asked otherwise.
    pub const DEFAULT_LIMIT: usize = 100;
    /// The most entries on one page.
    pub const MAX_LIMIT: usize = 500;
}

impl Default for Query {
    fn default() -> Self {
        Self { limit: Self::DEFAULT_LIMIT, since: None, words: Vec::new(), per_voice: None, before: None }
    }
}
