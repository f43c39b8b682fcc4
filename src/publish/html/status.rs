//! How the feeds answer: those in trouble first.

use maud::{Markup, html};

use crate::model::{FeedState, Timestamp};
use crate::publish::{Site, uri};

use super::layout::{Layout, count, local};

/// Rows on the page; `/status.json` has all.
const MAX_ROWS: usize = 1000;

/// What stands on the status page.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// What is wrong with lists and store, a sentence each.
    pub faults: Vec<String>,
    /// The feeds, in any order.
    pub feeds: Vec<FeedRow>,
}

/// A feed on the status page. No field holds credentials.
#[derive(Clone, Debug)]
pub struct FeedRow {
    /// Its title, else its outline's.
    pub title: String,
    /// Its address.
    pub url: String,
    /// The path of the view of its voice.
    pub voice_path: Option<String>,
    /// The state of its fetching.
    pub state: FeedState,
    /// The last answer in words: `200`, `304`, `404`, `no answer within 10 s`.
    pub last_answer: String,
    /// When it last answered well.
    pub last_success: Option<Timestamp>,
    /// When it is asked next; `None` if never.
    pub next_poll: Option<Timestamp>,
    /// How many of its entries are kept.
    pub entries: u32,
}

/// The status page as HTML.
pub fn status(status: &Status, site: &Site) -> String {
    let mut rows: Vec<&FeedRow> = status.feeds.iter().collect();
    rows.sort_by(|a, b| {
        let key = |row: &FeedRow| (urgency(row.state), row.title.to_lowercase());
        key(a).cmp(&key(b)).then_with(|| a.url.cmp(&b.url))
    });
    let well = rows.iter().filter(|row| row.state == FeedState::Ok).count();
    let main = html! {
        header.intro {
            h1 { "Status of the feeds" }
            p.about {
                @if rows.is_empty() { "No list names a feed yet." }
                @else if well == rows.len() { "All " (count(well, "feed answers", "feeds answer")) "." }
                @else { (well) " of " (count(rows.len(), "feed answers", "feeds answer")) "; the others come first." }
            }
        }
        @if !status.faults.is_empty() {
            section.faults aria-labelledby="faults" {
                h2 #faults { "Faults" }
                ul.plain { @for fault in &status.faults { li { (fault) } } }
            }
        }
        @if !rows.is_empty() { (table(&rows, site)) }
        @if rows.len() > MAX_ROWS {
            p.end { "And " (rows.len() - MAX_ROWS) " more, all in " a href=(local(site, "/status.json")) { "status.json" } "." }
        }
    };
    Layout { site, title: "Status", here: "/status", view: None }.document(&main)
}

fn table(rows: &[&FeedRow], site: &Site) -> Markup {
    html! {
        table.status {
            caption.hidden { "Feeds, those in trouble first" }
            thead {
                tr {
                    th scope="col" { "Feed" }
                    th scope="col" { "State" }
                    th scope="col" { "Last answer" }
                    th scope="col" { "Heard" }
                    th scope="col" { "Next poll" }
                    th.n scope="col" { "Entries" }
                }
            }
            tbody { @for row in rows.iter().take(MAX_ROWS) { (feed_row(row, site)) } }
        }
    }
}

fn feed_row(row: &FeedRow, site: &Site) -> Markup {
    let (class, word) = words(row.state);
    html! {
        tr {
            th scope="row" {
                @match &row.voice_path {
                    Some(path) => a href=(local(site, path)) dir="auto" { (row.title) },
                    None => span dir="auto" { (row.title) },
                }
                @match uri::web_link(&row.url) {
                    Some(href) => a.url href=(href) rel="noreferrer" { (row.url) },
                    None => span.url { (row.url) },
                }
            }
            td { span class={ "state " (class) } { (word) } }
            td data-label="Last answer" { (row.last_answer) }
            td data-label="Heard" { (instant(row.last_success, "never")) }
            td data-label="Next poll" { (instant(row.next_poll, "not again")) }
            td.n data-label="Entries" { (row.entries) }
        }
    }
}

fn instant(time: Option<Timestamp>, none: &str) -> Markup {
    html! {
        @if let Some(time) = time { time datetime=(time) { (time.utc().format("%-d %b %Y, %H:%M")) } } @else { (none) }
    }
}

fn urgency(state: FeedState) -> u8 {
    match state {
        FeedState::Quarantined => 0,
        FeedState::Gone => 1,
        FeedState::Backoff => 2,
        FeedState::Held => 3,
        FeedState::New => 4,
        FeedState::Ok => 5,
    }
}

fn words(state: FeedState) -> (&'static str, &'static str) {
    match state {
        FeedState::New => ("new", "not asked yet"),
        FeedState::Ok => ("ok", "ok"),
        FeedState::Backoff => ("trouble", "failing"),
        FeedState::Held => ("held", "told to wait"),
        FeedState::Gone => ("trouble", "gone"),
        FeedState::Quarantined => ("trouble", "unreadable"),
    }
}
