//! `/status.json`: lists and feeds as they stand, for programs. The feeds are written in pieces, so that an answer about
//! 100,000 of them never stands in memory as a whole.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use serde::Serialize;

use crate::listen::live::{Bound, Live};
use crate::lists::opml::Warning;
use crate::model::{Feed, FeedId, FeedUrl, Fetch, Schedule, Timestamp};

#[derive(Serialize)]
struct ListStatus<'a> {
    name: &'a str,
    role: &'static str,
    voices: usize,
    feeds: usize,
    entries: u64,
    fault: Option<&'a str>,
    warnings: Vec<ListWarning<'a>>,
}

#[derive(Serialize)]
struct ListWarning<'a> {
    line: usize,
    reason: &'a str,
}

#[derive(Serialize)]
struct FeedStatus<'a> {
    url: String,
    title: Option<&'a str>,
    lists: Vec<&'a str>,
    state: &'static str,
    last_status: Option<u16>,
    last_success: Option<String>,
    last_error: Option<&'a str>,
    failures: u32,
    next_poll: Option<String>,
    interval_s: u64,
    entries: u32,
    moved_to: Option<String>,
    recent: Vec<RecentFetch>,
}

/// One of the last fetches; they stand oldest first.
#[derive(Serialize)]
struct RecentFetch {
    at: String,
    status: Option<u16>,
    /// `read`, `unchanged`, `refused`, `unreadable` or `failed`, as [`Came`](crate::model::Came) spells them.
    outcome: &'static str,
    new: u16,
}

/// Feeds written at once.
const FEEDS_PER_PIECE: usize = 200;
/// Warnings named of each list; `listend check` has all.
const MAX_WARNINGS: usize = 100;

/// The body of the answer.
#[derive(Debug)]
pub struct StatusBody {
    live: Arc<Live>,
    bound: Arc<Bound>,
    ready: VecDeque<Bytes>,
    after: Option<FeedId>,
    is_first: bool,
    is_done: bool,
}

impl StatusBody {
    /// Starts the answer: version, times and lists; the feeds follow as they are read.
    pub fn new(live: Arc<Live>, started_at: Timestamp, is_ready: bool) -> Self {
        let bound = live.bound();
        let mut lists = Vec::new();
        for list in &bound.roster.lists {
            let voices: HashSet<_> = list.subscriptions.iter().flat_map(|subscription| &subscription.voices).collect();
            let feeds = bound.feeds_in(list);
            lists.push(ListStatus {
                name: &list.name,
                role: list.role.as_str(),
                voices: voices.len(),
                feeds: feeds.len(),
                entries: live.entries_of(&feeds),
                fault: list.fault.as_deref(),
                warnings: list.warnings.iter().take(MAX_WARNINGS).map(warning).collect(),
            });
        }
        let head = format!(
            r#"{{"version":{},"started_at":"{started_at}","ready":{is_ready},"lists":{},"feeds":["#,
            json(env!("CARGO_PKG_VERSION")),
            json(&lists)
        );
        let ready = VecDeque::from([Bytes::from(head)]);
        Self { live, bound, ready, after: None, is_first: true, is_done: false }
    }

    fn piece(&mut self) -> String {
        let feeds = self.live.feeds_after(self.after, FEEDS_PER_PIECE);
        let mut piece = String::with_capacity(feeds.len() * 2000);
        for feed in &feeds {
            // Feeds that left all lists are kept for a while, and are not shown.
            if !self.bound.listed().contains(feed.id) {
                continue;
            }
            for status in rows(&self.bound, feed) {
                if !std::mem::take(&mut self.is_first) {
                    piece.push(',');
                }
                piece.push_str(&json(&status));
            }
        }
        if let Some(last) = feeds.last() {
            self.after = Some(last.id);
        } else {
            self.is_done = true;
            piece.push_str("]}\n");
        }
        piece
    }
}

/// A row for each address at which outlines name the feed, each with the lists that it stands in.
fn rows<'a>(bound: &'a Bound, feed: &'a Feed) -> Vec<FeedStatus<'a>> {
    let lists_of = |url: &'a FeedUrl| {
        let mut lists: Vec<&str> = bound.roster.subscriptions_of(url).map(|(list, _)| list.name.as_str()).collect();
        lists.dedup();
        lists
    };
    if feed.aliases.is_empty() {
        return vec![feed_status(feed, lists_of(&feed.url))];
    }
    let row = |url: &'a FeedUrl| {
        let moved_to = (url != feed.address()).then(|| feed.address().to_string());
        FeedStatus { url: url.to_string(), moved_to, ..feed_status(feed, lists_of(url)) }
    };
    feed.addresses().filter(|url| bound.ids.get(*url) == Some(&feed.id)).map(row).collect()
}

fn feed_status<'a>(feed: &'a Feed, lists: Vec<&'a str>) -> FeedStatus<'a> {
    let schedule = &feed.schedule;
    FeedStatus {
        url: feed.url.to_string(),
        title: feed.about.title.as_deref(),
        lists,
        state: schedule.state.as_str(),
        last_status: schedule.last_status,
        last_success: schedule.last_success.map(Timestamp::to_rfc3339),
        last_error: schedule.last_error.as_deref(),
        failures: schedule.failures,
        next_poll: (schedule.next_poll < Timestamp::MAX).then(|| schedule.next_poll.to_rfc3339()),
        interval_s: interval(schedule).as_secs(),
        entries: feed.entries,
        moved_to: feed.moved_to.as_ref().map(ToString::to_string),
        recent: feed.recent.iter().map(recent_fetch).collect(),
    }
}

fn recent_fetch(fetch: Fetch) -> RecentFetch {
    let Fetch { at, status, came, new } = fetch;
    RecentFetch { at: at.to_rfc3339(), status, outcome: came.as_str(), new }
}

fn warning(warning: &Warning) -> ListWarning<'_> {
    ListWarning { line: warning.line, reason: &warning.reason }
}

/// The pause between two polls: the last good answer's, else what lies between the last attempt and the next.
fn interval(schedule: &Schedule) -> Duration {
    if schedule.last_success.is_some() || schedule.next_poll == Timestamp::MAX {
        return schedule.interval;
    }
    schedule.last_attempt.map_or(Duration::ZERO, |last| schedule.next_poll.since(last))
}

fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("these types have string keys and no failing serialiser")
}

impl http_body::Body for StatusBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if self.is_done {
                return Poll::Ready(None);
            }
            let piece = self.piece();
            if !piece.is_empty() {
                self.ready.push_back(piece.into());
            }
        }
    }
}
