//! What programs count: Prometheus text (the OpenMetrics exposition format) at `/metrics`.

mod process;

use std::path::Path;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use self::process::Process;
use crate::listen::live::Live;
use crate::model::{FeedState, Timestamp};

/// How a fetch, a push or a look at a Webmention's source ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// Of a fetch `ok`, `unchanged`, `not_modified`, or the word of a failure; of the others as
    /// [`Metrics::pushed`] and [`Metrics::mentioned`] have it.
    pub outcome: String,
}

/// A state that feeds are in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StateLabels {
    /// The state's word.
    pub state: &'static str,
}

/// What was asked for, and what was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// `listen`, `list` (a list, folder or voice in it), `voice`, `health`, a relation's path without its slash, `voices`,
    /// `answered`, `page`, `status`, `websub`, `webmention`, `other`.
    pub view: &'static str,
    /// The format's ending, or `other`.
    pub format: &'static str,
    /// The status of the answer.
    pub status: u16,
}

/// How most fetches end; further words come as they are needed.
const FETCHES: [&str; 4] = ["ok", "unchanged", "not_modified", "offline"];
/// What becomes of pushes.
const PUSHES: [&str; 5] = ["taken", "hint", "forged", "unreadable", "unwanted"];
/// What becomes of looks at Webmentions' sources.
const WEBMENTIONS: [&str; 6] = ["verified", "updated", "forgotten", "refused", "put_off", "failed"];

/// Counters by outcome that begin at 0: whoever watches sees their first step, too.
fn by_outcome(outcomes: &[&str]) -> Family<OutcomeLabels, Counter> {
    let family = Family::<OutcomeLabels, Counter>::default();
    for outcome in outcomes {
        drop(family.get_or_create(&OutcomeLabels { outcome: (*outcome).to_owned() }));
    }
    family
}

/// All metrics of the daemon.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Fetches, by how they ended.
    pub fetches: Family<OutcomeLabels, Counter>,
    /// Pushes from hubs, by what became of them.
    pub pushes: Family<OutcomeLabels, Counter>,
    /// Webmentions, by what became of them.
    pub webmentions: Family<OutcomeLabels, Counter>,
    /// How long fetches took, from the first byte sent to the last received.
    pub fetch_seconds: Histogram,
    /// Entries stored for the first time.
    pub entries: Counter,
    feeds: Family<StateLabels, Gauge>,
    feeds_due: Gauge,
    lists: Gauge,
    lists_unreadable: Gauge,
    /// Requests answered.
    pub requests: Family<RequestLabels, Counter>,
    /// Connections that are open.
    pub connections: Gauge,
    /// How long commits took.
    pub commit_seconds: Histogram,
    /// Commits that failed and were, or will be, tried again.
    pub commit_failures: Counter,
    store_bytes: Gauge,
    /// When the newest backup was made, in seconds since the Unix epoch; 0 where there is none.
    pub backup: Gauge,
    /// From publication upstream to listing here.
    pub freshness_seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("listend");
        let fetches = by_outcome(&FETCHES);
        registry.register("fetches", "Fetches, by how they ended", fetches.clone());
        let pushes = by_outcome(&PUSHES);
        registry.register("pushes", "Pushes from hubs, by what became of them", pushes.clone());
        let webmentions = by_outcome(&WEBMENTIONS);
        registry.register("webmentions", "Webmentions, by what became of them", webmentions.clone());
        let fetch_seconds = Histogram::new(exponential_buckets(0.01, 2.0, 13));
        registry.register("fetch_seconds", "How long fetches took", fetch_seconds.clone());
        let entries = Counter::default();
        registry.register("entries", "Entries stored for the first time", entries.clone());
        let feeds = Family::default();
        registry.register("feeds", "Feeds, by state", feeds.clone());
        let feeds_due = Gauge::default();
        registry.register("feeds_due", "Feeds that should have been asked by now", feeds_due.clone());
        let lists = Gauge::default();
        registry.register("lists", "Lists", lists.clone());
        let lists_unreadable = Gauge::default();
        let help = "Lists that cannot be read; their last good content counts";
        registry.register("lists_unreadable", help, lists_unreadable.clone());
        let requests = Family::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        let connections = Gauge::default();
        registry.register("http_connections", "Connections that are open", connections.clone());
        let commit_seconds = Histogram::new(exponential_buckets(0.0005, 2.0, 14));
        registry.register("store_commit_seconds", "How long commits took", commit_seconds.clone());
        let commit_failures = Counter::default();
        let help = "Commits that the disk refused; each is tried again";
        registry.register("store_commit_failures", help, commit_failures.clone());
        let store_bytes = Gauge::default();
        registry.register("store_bytes", "Size of the database's file", store_bytes.clone());
        let backup = Gauge::default();
        let help = "When the newest backup was made, since the Unix epoch; 0 where there is none";
        registry.register("backup_timestamp_seconds", help, backup.clone());
        let freshness_seconds = Histogram::new(exponential_buckets(1.0, 4.0, 11));
        registry.register("freshness_seconds", "From publication upstream to listing here", freshness_seconds.clone());
        registry.register_collector(Box::new(Process));
        Self {
            registry,
            fetches,
            pushes,
            webmentions,
            fetch_seconds,
            entries,
            feeds,
            feeds_due,
            lists,
            lists_unreadable,
            requests,
            connections,
            commit_seconds,
            commit_failures,
            store_bytes,
            backup,
            freshness_seconds,
        }
    }
}

impl Metrics {
    /// Counts one fetch.
    pub fn fetched(&self, outcome: &str, took: Duration) {
        self.fetches.get_or_create(&OutcomeLabels { outcome: outcome.to_owned() }).inc();
        self.fetch_seconds.observe(took.as_secs_f64());
    }

    /// Counts one push, by one of the words of `PUSHES`.
    pub fn pushed(&self, outcome: &str) {
        self.pushes.get_or_create(&OutcomeLabels { outcome: outcome.to_owned() }).inc();
    }

    /// Counts one look at a Webmention's source, by one of the words of `WEBMENTIONS`.
    pub fn mentioned(&self, outcome: &str) {
        self.webmentions.get_or_create(&OutcomeLabels { outcome: outcome.to_owned() }).inc();
    }

    /// Looks up what is not counted as it happens: the feeds that stand in lists, the lists, and the database's `file`.
    pub fn look(&self, live: &Live, file: &Path, now: Timestamp) {
        self.look_at_feeds(live, now);
        let bound = live.bound();
        let lists = &bound.roster.lists;
        self.lists.set(lists.len() as i64);
        self.lists_unreadable.set(lists.iter().filter(|list| list.fault.is_some()).count() as i64);
        if let Ok(file) = std::fs::metadata(file) {
            self.store_bytes.set(file.len() as i64);
        }
    }

    fn look_at_feeds(&self, live: &Live, now: Timestamp) {
        use FeedState::{Backoff, Gone, Held, New, Ok, Quarantined};
        let mut states = [New, Ok, Backoff, Held, Gone, Quarantined].map(|state| (state, 0));
        let mut due = 0;
        live.for_each_listed(|feed| {
            due += i64::from(feed.schedule.next_poll <= now);
            if let Some((_, count)) = states.iter_mut().find(|(state, _)| *state == feed.schedule.state) {
                *count += 1;
            }
        });
        for (state, count) in states {
            self.feeds.get_or_create(&StateLabels { state: state.as_str() }).set(count);
        }
        self.feeds_due.set(due);
    }

    /// All metrics as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail; a collector that fails leaves what was written before it.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
