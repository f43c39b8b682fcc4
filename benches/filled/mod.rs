//! A store full of made-up entries, with the lists that they came by: what pages are made from in several benches.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use fastrand::Rng;
use listend::feeds::clean;
use listend::listen::live::Live;
use listend::listen::view::{self, Found, View};
use listend::lists::opml;
use listend::lists::roster::{ListInput, Roster};
use listend::model::{Change, Entry, EntryKey, Feed, FeedUrl, Hash64, Known, Markup, Role, Timestamp};
use listend::store::{FeedUpdate, Store, TakeOver};
use tempfile::TempDir;

/// Feeds, each with some entries of 1.5 KB.
pub struct Filled {
    pub store: Arc<Store>,
    pub live: Arc<Live>,
    _directory: TempDir,
}

/// Feeds in one folder.
pub const FEEDS_A_FOLDER: u32 = 50;
/// Feeds committed at once.
const FEEDS_AT_ONCE: usize = 250;
/// Sun, 22 Nov 2026 20:00:00 GMT.
const NOW: Timestamp = Timestamp::from_seconds(1_795_377_600);

impl Filled {
    /// Makes so many feeds, with so many entries each.
    pub fn new(feeds: u32, entries: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(directory.path(), 16 << 20).unwrap());
        let roster = roster(feeds);
        let urls = roster.feeds().cloned().collect();
        let stored = store.take_over(&TakeOver { urls, ..TakeOver::default() }, NOW).unwrap();
        let ids: HashMap<FeedUrl, _> = stored.iter().map(|feed| (feed.url.clone(), feed.id)).collect();
        let mut chance = Rng::with_seed(7);
        for some in stored.chunks(FEEDS_AT_ONCE) {
            let mut updates: Vec<_> = some.iter().map(|feed| update(feed, entries, &mut chance)).collect();
            store.commit(&mut updates).unwrap();
        }
        let live = Arc::new(Live::default());
        live.update(store.feeds().unwrap().into_iter().map(|feed| (feed, true)));
        live.set_roster(Arc::new(roster), ids, HashMap::new());
        Self { store, live, _directory: directory }
    }

    /// The view at a path.
    pub fn view(&self, path: &str) -> View {
        match view::find(&self.live.bound(), path) {
            Some(Found::View(view)) => view,
            other => panic!("{path} is no view but {other:?}"),
        }
    }
}

/// One list of all feeds, in folders.
fn roster(feeds: u32) -> Roster {
    let mut text = String::from("<opml version=\"2.0\"><body>");
    for start in (0..feeds).step_by(FEEDS_A_FOLDER as usize) {
        write!(text, "<outline text=\"Street {start}\">").unwrap();
        for n in start..(start + FEEDS_A_FOLDER).min(feeds) {
            let xml = format!("https://site{n}.example/feed");
            write!(text, "<outline text=\"Voice {n}\" xmlUrl=\"{xml}\" htmlUrl=\"https://site{n}.example/\"/>")
                .unwrap();
        }
        text.push_str("</outline>");
    }
    text.push_str("</body></opml>");
    let opml = opml::parse(text.as_bytes()).unwrap();
    Roster::build(vec![ListInput { name: "desired".into(), role: Role::Desired, opml, fault: None }])
}

fn update(feed: &Feed, entries: u32, chance: &mut Rng) -> FeedUpdate {
    let changes = (0..entries).map(|seq| change(feed, seq, chance)).collect();
    FeedUpdate { feed: feed.clone(), changes, said: Vec::new(), events: Vec::new() }
}

fn change(feed: &Feed, seq: u32, chance: &mut Rng) -> Change {
    let listed_at = NOW.minus(std::time::Duration::from_secs(chance.u64(0..30 * 86_400)));
    let home = feed.url.url().join("/").unwrap();
    let link = format!("{home}posts/{seq}/");
    let mut html = String::new();
    for paragraph in 0..4 {
        html.push_str("<p>");
        for _ in 0..50 {
            let word = ["listening", "garden", "the", "of", "a", "bridge", "mended", "quietly"][chance.usize(0..8)];
            html.push_str(word);
            html.push(' ');
        }
        write!(html, "<a href=\"/posts/{paragraph}/\">here</a>, &amp; <em>there</em>.</p>").unwrap();
    }
    let entry = Entry {
        key: EntryKey { listed_at, feed: feed.id, seq },
        first_seen: listed_at,
        guid: link.clone(),
        link: Some(link),
        title: format!("Entry {seq} of feed {}", feed.id.0),
        authors: Vec::new(),
        published: Some(listed_at),
        updated: None,
        summary: None,
        content: Some(clean::html(&Markup::Html(html), Some(&home))),
        categories: Vec::new(),
        enclosures: Vec::new(),
        comments: None,
        language: None,
        origin: None,
    };
    let hash = Hash64((u64::from(feed.id.0) << 32 | u64::from(seq)).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let (guid, link) = (hash, Some(hash));
    let now =
        Known { seq, listed_at, first_seen: listed_at, guid, link, fingerprint: hash, carried_on: 0, purged: false };
    Change { was: None, now, entry: Some(entry) }
}
