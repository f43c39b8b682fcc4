//! A view as a river of news: everything it holds, newest first, with the ways to subscribe, search and go on.

use maud::{Markup, html};

use crate::listen::page::{Page, Query};
use crate::listen::view::HEALTH;
use crate::publish::Site;

use super::entries::{Level, by_day};
use super::layout::{Layout, View, local, local_with, look, subscribe};

/// How many entries of one voice the page has that lets everybody be heard.
const FAIR_PER_VOICE: usize = 2;
/// How the paths of single voices begin, who drown out nobody there.
const VOICE: &str = "/voices/";

/// The page as HTML.
pub fn river(page: &Page, site: &Site) -> String {
    let view = View { title: &page.head.title, path: &page.head.path, query: &page.query };
    let main = html! {
        div.river {
            header.intro {
                (above(page, site))
                h1 dir="auto" { (page.head.title) }
                @if !page.head.about.trim().is_empty() { p.about dir="auto" { (page.head.about) } }
                @if page.head.path == HEALTH { p.look { a href=(local(site, "/status")) { "How each feed answers now" } } }
                @else { (look(site, page.troubled)) }
            }
            (tools(page, site, view))
            (stream(page, site, Level::Second))
        }
    };
    Layout { site, title: &page.head.title, here: &page.head.path, view: Some(view) }.document(&main)
}

/// What stands beside a river: the ways to subscribe, to search, and to hear everybody alike.
pub(super) fn tools(page: &Page, site: &Site, view: View<'_>) -> Markup {
    html! {
        div.tools {
            div.subscribe { p #subscribe { "Subscribe" } (subscribe(site, view)) }
            (search(page, site))
            @if !page.head.path.starts_with(VOICE) { (fairness(page, site)) }
        }
    }
}

/// What was said, and the ways on.
pub(super) fn stream(page: &Page, site: &Site, level: Level) -> Markup {
    html! {
        div.stream {
            (asked(page, site))
            @if page.entries.is_empty() { (nothing(page)) }
            (by_day(&page.entries, site, level))
            (neighbours(page, site))
        }
    }
}

/// The way up to the circles that hold the view.
fn above(page: &Page, site: &Site) -> Markup {
    html! {
        @if !page.head.above.is_empty() {
            nav.above aria-label="Above this view" {
                ol { @for (title, path) in &page.head.above { li { a href=(local(site, path)) dir="auto" { (title) } } } }
            }
        }
    }
}

/// A search inside the view. What else was asked stays asked.
fn search(page: &Page, site: &Site) -> Markup {
    let query = &page.query;
    html! {
        form.search role="search" method="get" action=(local(site, &page.head.path)) {
            label for="q" { "Search" }
            div.field {
                input #q type="search" name="q" value=(query.words.join(" ")) placeholder="Words" maxlength="200";
                button type="submit" { "Find" }
            }
            @if query.limit != Query::DEFAULT_LIMIT { input type="hidden" name="limit" value=(query.limit); }
            @if let Some(n) = query.per_voice { input type="hidden" name="per_voice" value=(n); }
            @if let Some(since) = query.since { input type="hidden" name="since" value=(since); }
        }
    }
}

/// The switch that keeps the loud from drowning the quiet.
fn fairness(page: &Page, site: &Site) -> Markup {
    let to = |per_voice| Query { per_voice, before: None, ..page.query.clone() };
    html! {
        p.fair {
            @if let Some(n) = page.query.per_voice {
                "At most " (n) " of each voice. "
                a href=(local_with(site, &page.head.path, "", &to(None))) { "Show everything" }
            } @else {
                a href=(local_with(site, &page.head.path, "", &to(Some(FAIR_PER_VOICE)))) { "At most " (FAIR_PER_VOICE) " of each voice" }
            }
        }
    }
}

/// What the page is narrowed to, and the way back.
fn asked(page: &Page, site: &Site) -> Markup {
    let query = &page.query;
    let wide = Query { words: Vec::new(), since: None, before: None, ..query.clone() };
    html! {
        @if !query.words.is_empty() || query.since.is_some() {
            p.asked role="status" {
                "Only entries"
                @if !query.words.is_empty() { " with " strong dir="auto" { (query.words.join(" ")) } }
                @if let Some(since) = query.since { " since " time datetime=(since) { (since.utc().format("%-d %B %Y, %H:%M")) } }
                ". "
                a href=(local_with(site, &page.head.path, "", &wide)) { "Show all" }
            }
        }
    }
}

/// Why the page is empty, and what to do.
fn nothing(page: &Page) -> Markup {
    let query = &page.query;
    html! {
        div.nothing {
            @if page.next.is_some() {
                p { strong { "Nothing among the entries looked at so far." } }
                p { "There are older ones: go on below." }
            } @else if !query.words.is_empty() {
                p { strong { "Nobody said that." } }
                p { "Each entry must hold all of the words. Fewer words, or the beginning of one, find more." }
            } @else if query.since.is_some() || query.before.is_some() {
                p { strong { "Nothing there." } }
            } @else if page.head.path == HEALTH {
                p { strong { "Nothing to report." } }
                p { "What happens to a feed is told here when it has failed for a day, and when it moves, is gone, falls silent or comes back. You can subscribe already." }
            } @else {
                p { strong { "Nothing has been said here yet." } }
                p { "New entries appear as soon as the feeds of this view have some. You can subscribe already." }
            }
        }
    }
}

fn neighbours(page: &Page, site: &Site) -> Markup {
    let to = |before| local_with(site, &page.head.path, "", &Query { before, ..page.query.clone() });
    html! {
        @if page.next.is_some() || page.query.before.is_some() {
            nav.pages aria-label="Pages" {
                @if page.query.before.is_some() { a rel="first" href=(to(None)) { "Newest" } }
                @if page.next.is_some() { a.older rel="next" href=(to(page.next)) { "Older" } }
            }
        } @else if !page.entries.is_empty() {
            p.end { "That is all there is." }
        }
    }
}
