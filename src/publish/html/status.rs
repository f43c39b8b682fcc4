//! How the feeds answer: those in trouble first, page by page, with the lists they stand in.

use std::collections::BTreeMap;

use maud::{Markup, html};
use url::form_urlencoded;

use crate::listen::page::Query;
use crate::model::{FeedState, Recent, Timestamp};
use crate::publish::{Site, uri};

use super::layout::{self, Layout, View, count, local, subscribe};
use super::plot::{legend, plot};

/// Warnings shown of each list; `listend check` has all.
const MAX_WARNINGS: usize = 50;

/// What stands on the status page.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The lists, in their order.
    pub lists: Vec<ListRow>,
    /// How many feeds are in each state, of the list that is asked for.
    pub states: BTreeMap<FeedState, usize>,
    /// What is asked for.
    pub asked: Asked,
    /// How many feeds match what is asked for.
    pub matching: usize,
    /// Those of them that stand on this page, in their order; at most [`Status::ROWS`].
    pub feeds: Vec<FeedRow>,
}

impl Status {
    /// Feeds on a page.
    pub const ROWS: usize = 200;
}

/// What is asked of the status page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Only feeds in this state.
    pub state: Option<FeedState>,
    /// Only feeds of the list of this name.
    pub list: Option<String>,
    /// Which page of them, from 1.
    pub page: usize,
}

impl Default for Asked {
    fn default() -> Self {
        Self { state: None, list: None, page: 1 }
    }
}

/// A list on the status page.
#[derive(Clone, Debug)]
pub struct ListRow {
    /// Its name: its file's stem.
    pub name: String,
    /// Its title.
    pub title: String,
    /// The path of its view.
    pub path: String,
    /// Why its file cannot be read at present.
    pub fault: Option<String>,
    /// What is wrong in it, each with its line.
    pub warnings: Vec<(usize, String)>,
}

/// A feed on the status page. No field holds credentials.
#[derive(Clone, Debug)]
pub struct FeedRow {
    /// Its title, else its outline's.
    pub title: String,
    /// Its address as in the list.
    pub url: String,
    /// The address that is asked instead.
    pub moved_to: Option<String>,
    /// The path of the view of its voice.
    pub voice_path: Option<String>,
    /// The lists that it stands in, as title and path.
    pub lists: Vec<(String, String)>,
    /// The state of its fetching.
    pub state: FeedState,
    /// Whether it answers and has said nothing for far longer than it used to.
    pub is_silent: bool,
    /// Since when it fails.
    pub failing_since: Option<Timestamp>,
    /// When it was last asked.
    pub last_attempt: Option<Timestamp>,
    /// The last answer in words.
    pub last_answer: String,
    /// When it last answered well.
    pub last_success: Option<Timestamp>,
    /// When it is asked next; `None` if never.
    pub next_poll: Option<Timestamp>,
    /// The place of its newest entry.
    pub newest: Option<Timestamp>,
    /// How many of its entries are kept.
    pub entries: u32,
    /// The last fetches.
    pub recent: Recent,
}

/// The status page as HTML.
pub fn status(status: &Status, site: &Site) -> String {
    let query = Query::default();
    let health = View { title: "Health of the feeds", path: "/health", query: &query };
    let all: usize = status.states.values().sum();
    let is_narrowed = status.asked.state.is_some() || status.asked.list.is_some();
    let main = html! {
        div.fares {
            header.intro {
                h1 { "Status of the feeds" }
                p.about { (summary(status, all)) }
                (progress(status, all))
            }
            @if all > 0 || is_narrowed {
                div.told {
                    p {
                        a href=(local(site, "/health.html")) { "Health of the feeds" }
                        " tells once who broke, moved, fell silent or came back. Subscribe and know:"
                    }
                    (subscribe(site, health))
                }
            }
            @if all == 0 && !is_narrowed {
                div.nothing {
                    p { strong { "Nobody is listened to." } }
                    p { "Put an OPML file into the lists directory, and its feeds are asked at once. " a href=(local(site, "/")) { "How to begin" } }
                }
            }
            (lists(status, site))
            @if all > 0 || is_narrowed {
                (filters(status, site, all))
                @if status.feeds.is_empty() {
                    div.nothing { p { strong { "No feed is in that state." } } p { a href=(local(site, "/status")) { "Show all feeds" } } }
                } @else {
                    (legend())
                    (table(&status.feeds, site))
                    (neighbours(status, site))
                }
            }
        }
    };
    Layout { site, title: "Status", here: "/status", view: None }.document(&main)
}

/// How it stands, in a sentence.
fn summary(status: &Status, all: usize) -> String {
    let of = |state| status.states.get(&state).copied().unwrap_or_default();
    let (well, new) = (of(FeedState::Ok), of(FeedState::New));
    match (all, well) {
        (0, _) if status.lists.is_empty() => "There is no list yet, so there is nobody to ask.".to_owned(),
        (0, _) => "No list names a feed yet.".to_owned(),
        _ if new == all => "No feed was asked yet: the first round begins.".to_owned(),
        _ if new * 2 > all => format!("The first round is under way: {} of {all} feeds were asked.", all - new),
        (1, 1) => "The one feed there is answers.".to_owned(),
        _ if well == all => format!("All {all} feeds answer."),
        (_, 0) => format!(
            "None of {} can be heard. Where that comes all at once, look at your own network first.",
            count(all, "feed", "feeds")
        ),
        _ if new > 0 => format!(
            "{well} of {all} feeds answer, and {} not asked yet; those in trouble come first.",
            count(new, "was", "were")
        ),
        _ => format!("{well} of {all} feeds answer; the others come first."),
    }
}

fn progress(status: &Status, all: usize) -> Markup {
    let new = status.states.get(&FeedState::New).copied().unwrap_or_default();
    html! {
        @if new > 0 {
            div.progress role="status" {
                (count(new, "feed waits", "feeds wait")) " for the first fetch. Reload in a moment."
                progress max=(all) value=(all - new) aria-label="Feeds asked for the first time" {}
            }
        }
    }
}

/// What is wrong with lists; nothing where all is well.
fn lists(status: &Status, site: &Site) -> Markup {
    let ailing = status.lists.iter().filter(|list| list.fault.is_some() || !list.warnings.is_empty());
    let ailing: Vec<&ListRow> = ailing.collect();
    html! {
        @if !ailing.is_empty() {
            section.faults aria-labelledby="lists" {
                h2 #lists { "Lists that need a look" }
                ul.plain {
                    @for list in ailing {
                        li {
                            p {
                                a href=(local(site, &list.path)) dir="auto" { (list.title) }
                                " " span.file-name { (list.name) ".opml" }
                            }
                            @if let Some(fault) = &list.fault {
                                p.fault { strong { "Cannot be read: " } (fault) ". What it said last stays in force." }
                            }
                            @if !list.warnings.is_empty() { (warnings(&list.warnings)) }
                        }
                    }
                }
            }
        }
    }
}

fn warnings(warnings: &[(usize, String)]) -> Markup {
    html! {
        details {
            summary { (count(warnings.len(), "warning", "warnings")) }
            ul.warnings {
                @for (line, reason) in warnings.iter().take(MAX_WARNINGS) { li { "Line " (line) ": " (reason) } }
                @if warnings.len() > MAX_WARNINGS { li { "And more: " code { "listend check" } " says all." } }
            }
        }
    }
}

/// The ways to see only feeds in one state, or of one list.
fn filters(status: &Status, site: &Site, all: usize) -> Markup {
    let asked = &status.asked;
    let state = |state| Asked { state, page: 1, ..asked.clone() };
    let list = |name: Option<&str>| Asked { list: name.map(str::to_owned), page: 1, ..asked.clone() };
    let mut states: Vec<FeedState> = FeedState::ALL.to_vec();
    states.sort_by_key(|state| urgency(*state));
    html! {
        nav.filters aria-label="Which feeds" {
            ul {
                (way(site, &state(None), asked, "All", Some(all)))
                @for one in states {
                    @let number = status.states.get(&one).copied().unwrap_or_default();
                    @if number > 0 || asked.state == Some(one) { (way(site, &state(Some(one)), asked, &upper(words(one).1), Some(number))) }
                }
            }
            @if status.lists.len() > 1 {
                ul {
                    (way(site, &list(None), asked, "All lists", None))
                    @for one in &status.lists { (way(site, &list(Some(&one.name)), asked, &one.title, None)) }
                }
            }
        }
    }
}

fn way(site: &Site, to: &Asked, here: &Asked, text: &str, number: Option<usize>) -> Markup {
    let is_here = to.state == here.state && to.list == here.list;
    html! {
        li {
            a href=(place(site, to)) aria-current=[is_here.then_some("true")] {
                bdi { (text) } @if let Some(number) = number { " " span.n { (number) } }
            }
        }
    }
}

fn table(rows: &[FeedRow], site: &Site) -> Markup {
    html! {
        table.status {
            caption.hidden { "Feeds, those in trouble first" }
            thead {
                tr {
                    th scope="col" { "Feed" }
                    th scope="col" { "State" }
                    th scope="col" { "Last fetches" }
                    th scope="col" { "Last answer" }
                    th scope="col" { "Heard" }
                    th scope="col" { "Next poll" }
                    th.n scope="col" { "Entries" }
                }
            }
            tbody { @for row in rows { (feed_row(row, site)) } }
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
                (address(&row.url))
                @if let Some(moved_to) = &row.moved_to { span.moved { "asked at " (address(moved_to)) } }
                span.in { @for (title, path) in &row.lists { a href=(local(site, path)) { bdi { (title) } } " " } }
            }
            td.how {
                span class={ "state " (class) } { (word) }
                @if let Some(since) = row.failing_since { " " span.since { "since " (day(since)) } }
                @if let Some(newest) = row.newest.filter(|_| row.is_silent) { " " span.since { "silent since " (day(newest)) } }
            }
            td.fetches { @if row.recent.is_empty() { span.none { "none yet" } } @else { (plot(&row.recent)) } }
            td data-label="Last answer" {
                span { (row.last_answer) }
                @if row.last_attempt.is_some() { " " span.since { (instant(row.last_attempt, "")) } }
            }
            td data-label="Heard" { (instant(row.last_success, "never")) }
            td data-label="Next poll" { (instant(row.next_poll, "not again")) }
            td.n data-label="Entries" { (row.entries) }
        }
    }
}

/// The address of a feed, linked where a browser can open it.
pub(super) fn address(url: &str) -> Markup {
    html! {
        @if let Some(href) = uri::web_link(url) { a.url href=(href) rel="noreferrer" { (url) } }
        @else { span.url { (url) } }
    }
}

fn neighbours(status: &Status, site: &Site) -> Markup {
    let asked = &status.asked;
    let pages = status.matching.div_ceil(Status::ROWS);
    layout::pages((asked.page, pages), |page| place(site, &Asked { page, ..asked.clone() }))
}

/// The path of the status page with what is asked of it.
fn place(site: &Site, asked: &Asked) -> String {
    let mut parameters = form_urlencoded::Serializer::new(String::new());
    if let Some(state) = asked.state {
        parameters.append_pair("state", state.as_str());
    }
    if let Some(list) = &asked.list {
        parameters.append_pair("list", list);
    }
    if asked.page > 1 {
        parameters.append_pair("page", &asked.page.to_string());
    }
    let parameters = parameters.finish();
    let path = local(site, "/status");
    if parameters.is_empty() { path } else { format!("{path}?{parameters}") }
}

fn instant(time: Option<Timestamp>, none: &str) -> Markup {
    html! {
        @if let Some(time) = time {
            // Broken between date and time, if anywhere.
            time datetime=(time) { span { (time.utc().format("%-d %b %Y,")) } " " span { (time.utc().format("%H:%M")) } }
        } @else { (none) }
    }
}

/// The day alone, where the cell is narrow; the attribute has the rest.
fn day(time: Timestamp) -> Markup {
    html! { time datetime=(time) { span { (time.utc().format("%-d %b %Y")) } } }
}

fn upper(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
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

/// A state as a class of the style sheet, and in words.
pub(super) fn words(state: FeedState) -> (&'static str, &'static str) {
    match state {
        FeedState::New => ("new", "not asked yet"),
        FeedState::Ok => ("ok", "ok"),
        FeedState::Backoff => ("trouble", "failing"),
        FeedState::Held => ("held", "told to wait"),
        FeedState::Gone => ("trouble", "gone"),
        FeedState::Quarantined => ("trouble", "unreadable"),
    }
}
