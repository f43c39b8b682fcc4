//! What programs count: Prometheus text (the OpenMetrics exposition format) at `/metrics`.

use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::listen::live::Live;
use crate::model::FeedState;

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
    /// Feeds, by state.
    pub feeds: Family<StateLabels, Gauge>,
    /// Requests answered.
    pub requests: Family<RequestLabels, Counter>,
    /// How long commits took.
    pub commit_seconds: Histogram,
    /// From publication upstream to listing here.
    pub freshness_seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("listend");
        let fetches = Family::default();
        registry.register("fetches", "Fetches, by how they ended", fetches.clone());
        let pushes = Family::default();
        registry.register("pushes", "Pushes from hubs, by what became of them", pushes.clone());
        let webmentions = Family::default();
        registry.register("webmentions", "Webmentions, by what became of them", webmentions.clone());
        let fetch_seconds = Histogram::new(exponential_buckets(0.01, 2.0, 13));
        registry.register("fetch_seconds", "How long fetches took", fetch_seconds.clone());
        let entries = Counter::default();
        registry.register("entries", "Entries stored for the first time", entries.clone());
        let feeds = Family::default();
        registry.register("feeds", "Feeds, by state", feeds.clone());
        let requests = Family::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        let commit_seconds = Histogram::new(exponential_buckets(0.0005, 2.0, 14));
        registry.register("store_commit_seconds", "How long commits took", commit_seconds.clone());
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
            requests,
            commit_seconds,
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

    /// Counts one push: `taken`, `hint`, `forged`, `unreadable` or `unwanted`.
    pub fn pushed(&self, outcome: &str) {
        self.pushes.get_or_create(&OutcomeLabels { outcome: outcome.to_owned() }).inc();
    }

    /// Counts one look at a Webmention's source: `verified`, `updated`, `forgotten`, `refused`, `put_off` or `failed`.
    pub fn mentioned(&self, outcome: &str) {
        self.webmentions.get_or_create(&OutcomeLabels { outcome: outcome.to_owned() }).inc();
    }

    /// Counts the feeds that stand in lists, by state.
    pub fn set_feeds(&self, live: &Live) {
        use FeedState::{Backoff, Gone, Held, New, Ok, Quarantined};
        let mut states = [New, Ok, Backoff, Held, Gone, Quarantined].map(|state| (state, 0));
        live.for_each_listed(|feed| {
            if let Some((_, count)) = states.iter_mut().find(|(state, _)| *state == feed.schedule.state) {
                *count += 1;
            }
        });
        for (state, count) in states {
            self.feeds.get_or_create(&StateLabels { state: state.as_str() }).set(count);
        }
    }

    /// All metrics as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail; a collector that fails leaves what was written before it.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// The usual figures of the process, read from `/proc` where there is one.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        for (name, help, value) in process_figures() {
            let gauge = ConstGauge::new(value);
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}

fn process_figures() -> Vec<(&'static str, &'static str, f64)> {
    let mut figures = Vec::new();
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let kib = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        if let Some(resident) = kib("VmRSS:") {
            figures.push(("process_resident_memory_bytes", "Resident memory", resident * 1024.0));
        }
        if let Some(threads) = kib("Threads:") {
            figures.push(("process_threads", "Threads", threads));
        }
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        figures.push(("process_open_fds", "Open files and sockets", files.count() as f64));
    }
    figures
}
