//! What the month leaves on the disk: the sites' documents are read, compared, stored and taken by retention by the code
//! that does it every day, in a database of its own; only the sockets are missing.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use listend::feeds::clean::Cleaner;
use listend::feeds::identity::reconcile;
use listend::feeds::parse;
use listend::model::{Change, Feed, FeedId, FeedState, FeedUrl, Schedule, Timestamp};
use listend::store::{FeedUpdate, Noted, Retention, Store, TakeOver};
use tempfile::TempDir;

use super::sites::{DAY, HOUR, SECOND, Site};
use super::{START, index};

/// Little enough to be reached within the month, by number and by age.
pub(crate) const RETENTION: Retention = Retention { entries_per_feed: 50, age: Duration::from_hours(7 * 24) };
/// Memory for pages of the database.
const CACHE_BYTES: usize = 16 << 20;
/// Updates that share a commit.
const MAX_BATCH: usize = 64;
/// A commit waits for no more after this.
const GATHERING: Duration = SECOND;

/// What there was at the end of a day.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Day {
    /// Entries stored for the first time so far.
    pub(crate) stored: u64,
    /// Entries that retention took so far.
    pub(crate) taken: u64,
    /// Identities of taken entries that are remembered so far.
    pub(crate) remembered: u64,
    /// Feeds that have more entries than retention lets them have.
    pub(crate) beyond: usize,
    /// Bytes of the database on the disk.
    pub(crate) database_bytes: u64,
    /// Memory that is no file's, in MiB, without the month's own book of requests; 0 where the system does not tell.
    pub(crate) memory_mib: f64,
    /// Open files.
    pub(crate) descriptors: usize,
}

/// The database, and what waits for a commit.
pub(crate) struct Keeping {
    directory: TempDir,
    store: Store,
    /// As they are stored, or will be with the next commit.
    feeds: Vec<Feed>,
    batch: Vec<FeedUpdate>,
    /// When the first update of the batch came.
    batch_since: Timestamp,
    swept: Timestamp,
    so_far: Day,
    /// Every day that has ended.
    pub(crate) days: Vec<Day>,
}

impl Keeping {
    /// A database with these sites' feeds, none of which was asked yet.
    pub(crate) fn begin(sites: &[Site]) -> Self {
        let directory = tempfile::tempdir().expect("there is room");
        let store = Store::open(directory.path(), CACHE_BYTES).expect("it opens");
        let url = |(place, site): (usize, &Site)| {
            FeedUrl::parse(&format!("https://{}/{place}", site.host)).expect("it is an address")
        };
        let urls = sites.iter().enumerate().map(url).collect();
        let feeds = store.take_over(&TakeOver { urls, ..TakeOver::default() }, START).expect("it stores");
        assert!(
            feeds.iter().enumerate().all(|(place, feed)| feed.id.0 as usize == place),
            "they are numbered in order"
        );
        let (so_far, days) = (Day::default(), Vec::new());
        Self { directory, store, feeds, batch: Vec::new(), batch_since: START, swept: START, so_far, days }
    }

    /// A feed was asked, and nothing came of it but its next state.
    pub(crate) fn note(&mut self, id: FeedId, schedule: &Schedule, now: Timestamp) {
        let place = index(id);
        let was = self.feeds[place].schedule.clone();
        self.feeds[place].schedule = schedule.clone();
        let is_quiet =
            (was.state, schedule.state) == (FeedState::Ok, FeedState::Ok) && schedule.last_attempt > was.last_attempt;
        let noted = is_quiet.then(|| self.store.note_state(&self.feeds[place]).expect("it notes"));
        if matches!(noted, None | Some(Noted::NoRoom)) {
            self.gather(place, Vec::new(), now);
        }
    }

    /// A feed's document was had; its last posts are these, the newest last.
    pub(crate) fn read(&mut self, id: FeedId, site: &Site, upto: usize, schedule: &Schedule, now: Timestamp) {
        let place = index(id);
        if self.batch.iter().any(|update| update.feed.id == id) {
            self.commit();
        }
        let url = self.feeds[place].url.clone();
        let body = document(url.as_str(), site, upto);
        let document = parse::parse(body.as_bytes(), Some("application/rss+xml"), url.url()).expect("it is a feed");
        let known = self.store.known(id).expect("it reads");
        let reconciled = reconcile(&self.feeds[place], &known, &document, now);
        let cleaner = Cleaner::new(body.len());
        let changes = reconciled.changes(id, &document, now, |markup, base| cleaner.html(markup, base));
        self.so_far.stored += u64::from(reconciled.added);
        self.feeds[place].identity = reconciled.identity;
        self.feeds[place].schedule = schedule.clone();
        self.gather(place, changes, now);
    }

    /// What time brings by itself: commits that have waited, retention every hour, and the day's account. `book_bytes` is
    /// the memory of the month's own book.
    pub(crate) fn look(&mut self, now: Timestamp, book_bytes: usize) {
        if now >= self.batch_since.plus(GATHERING) {
            self.commit();
        }
        if now >= self.swept.plus(HOUR) {
            self.sweep(now);
        }
        if now >= START.plus(DAY * (self.days.len() as u32 + 1)) {
            self.end_day(book_bytes);
        }
    }

    /// The daemon ends and is started again: nothing may be missing or double.
    pub(crate) fn restart(&mut self) {
        self.commit();
        let empty = tempfile::tempdir().expect("there is room");
        // The old one has to let go of the file before it can be opened again.
        self.store = Store::open(empty.path(), CACHE_BYTES).expect("it opens");
        self.store = Store::open(self.directory.path(), CACHE_BYTES).expect("it opens");
        let stored = self.store.feeds().expect("it reads");
        let told = |feeds: &[Feed]| -> Vec<_> {
            feeds.iter().map(|feed| (feed.id, feed.entries, feed.newest, feed.schedule.next_poll)).collect()
        };
        assert_eq!(told(&stored), told(&self.feeds), "it does not know after a restart what it knew before");
        self.feeds = stored;
    }

    fn gather(&mut self, place: usize, changes: Vec<Change>, now: Timestamp) {
        let feed = self.feeds[place].clone();
        if self.batch.iter().any(|update| update.feed.id == feed.id) {
            self.commit();
        }
        if self.batch.is_empty() {
            self.batch_since = now;
        }
        self.batch.push(FeedUpdate { feed, changes, said: Vec::new(), events: Vec::new() });
        if self.batch.len() >= MAX_BATCH {
            self.commit();
        }
    }

    fn commit(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let mut batch = std::mem::take(&mut self.batch);
        self.store.commit(&mut batch).expect("it commits");
        for FeedUpdate { feed, .. } in batch {
            let place = index(feed.id);
            let schedule = self.feeds[place].schedule.clone();
            self.feeds[place] = Feed { schedule, ..feed };
        }
    }

    fn sweep(&mut self, now: Timestamp) {
        self.commit();
        self.swept = now;
        let mut from = None;
        loop {
            let swept = self.store.sweep(now, &RETENTION, from).expect("it sweeps");
            self.so_far.taken += swept.entries;
            self.so_far.remembered = (self.so_far.remembered + swept.entries).saturating_sub(swept.identities);
            for count in swept.counts {
                let place = index(count.feed);
                (self.feeds[place].entries, self.feeds[place].newest) = (count.entries, count.newest);
            }
            from = swept.next;
            if from.is_none() {
                break;
            }
        }
        self.so_far.beyond = self.feeds.iter().filter(|feed| feed.entries > RETENTION.entries_per_feed).count();
    }

    fn end_day(&mut self, book_bytes: usize) {
        self.commit();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = anonymous.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        let kept = self.feeds.iter().map(|feed| u64::from(feed.entries)).sum::<u64>();
        assert_eq!(kept, self.so_far.stored - self.so_far.taken, "what was stored and not taken is there");
        self.days.push(Day {
            database_bytes: bytes_below(self.directory.path()),
            memory_mib: kib.map_or(0.0, |kib| (kib - book_bytes as f64 / 1024.0) / 1024.0),
            descriptors: std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
            ..self.so_far
        });
    }
}

/// What the files in a directory take on the disk: `st_blocks` counts 512 bytes each (stat(3type)).
fn bytes_below(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).expect("it is there").flatten();
    files.filter_map(|file| file.metadata().ok()).map(|found| found.blocks() * 512).sum()
}

/// A site's document with its last fifteen posts before the `upto`-th, newest first.
fn document(url: &str, site: &Site, upto: usize) -> String {
    let mut out = format!("<rss version=\"2.0\"><channel><title>{}</title><link>{url}/</link>\n", site.host);
    for post in (upto.saturating_sub(15)..upto).rev() {
        let at = site.posts[post];
        let mut chance = Rng::with_seed(at.millis().cast_unsigned());
        // Writing into a String never fails.
        let _ = write!(
            out,
            "<item><guid>{url}/{post}</guid><link>{url}/{post}</link><title>Word {post}</title><pubDate>{}</pubDate>\
             <description>&lt;p&gt;",
            at.to_rfc822()
        );
        for word in 0..chance.u8(40..120) {
            let letters = chance.usize(2..9);
            out.extend((0..letters).map(|_| chance.lowercase()));
            out.push_str(if word % 12 == 11 { ". " } else { " " });
        }
        out.push_str("&lt;/p&gt;</description></item>\n");
    }
    out.push_str("</channel></rss>\n");
    out
}
