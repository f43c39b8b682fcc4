//! The front page: what this is, the circles to subscribe to, and what everybody said.

use maud::{Markup, html};

use crate::listen::page::{Page, Query};
use crate::listen::people::Today;
use crate::model::Role;
use crate::publish::Site;

use super::entries::{Level, by_day};
use super::layout::{Layout, View, count, local, local_with, look, subscribe};
use super::today;

/// Folders named on a circle's card; its own page leads to all.
const MAX_FOLDERS: usize = 12;
/// Entries of the river on the front page; `/listen` has the rest.
const MAX_ENTRIES: usize = 30;
/// The same where it stands below the people to answer.
const MAX_ENTRIES_TODAY: usize = 12;

/// What stands on the front page.
#[derive(Clone, Debug)]
pub struct Front<'a> {
    /// The first page of `/listen`.
    pub river: &'a Page,
    /// The lists, in the order in which they are to be shown.
    pub circles: &'a [Circle],
    /// How far listening has come.
    pub hearing: Hearing,
    /// What the day asks of the keeper; `None` for a public reader.
    pub today: Option<&'a Today>,
}

/// A list, as the front page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circle {
    /// Its title.
    pub title: String,
    /// Its path.
    pub path: String,
    /// What it is to its keeper.
    pub role: Role,
    /// How many voices it has.
    pub voices: usize,
    /// How many feeds they have.
    pub feeds: usize,
    /// The folders directly in it.
    pub folders: Vec<Folder>,
}

/// A folder of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Its title.
    pub title: String,
    /// Its path.
    pub path: String,
    /// How many voices it has, those in its folders included.
    pub voices: usize,
}

/// How far listening has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// No list names a feed yet.
    Nobody,
    /// Feeds are asked for the first time.
    FirstRound {
        /// How many have answered, well or badly.
        asked: usize,
        /// How many there are.
        feeds: usize,
    },
    /// Every feed was asked at least once.
    Everybody,
}

/// The front page as HTML.
pub fn front(front: &Front<'_>, site: &Site) -> String {
    let query = Query::default();
    let view = View { title: &front.river.head.title, path: &front.river.head.path, query: &query };
    let is_begun = front.hearing != Hearing::Nobody || !front.circles.is_empty();
    let main = html! {
        @if let Some(today) = front.today {
            div.today {
                (alarm(front, site))
                (today::answers(front, today, site))
                (progress(front.hearing))
                @if !all_broken(front) { (look(site, front.river.troubled)) }
                @if is_begun {
                    div.beside {
                        (today::beside(today, site))
                        (river(front, site, view, MAX_ENTRIES_TODAY))
                    }
                    (circles(front, site, view))
                } @else { (first_steps()) }
            }
        } @else {
            header.greeting {
                h1 { "Hear the people around you" }
                p.about {
                    "listend listens to everyone in your lists and passes on what they say, so that you can thank them, "
                    "answer them and link to them. Read along here, or subscribe in the reader you already use."
                }
                (progress(front.hearing))
                (look(site, front.river.troubled))
            }
            @if is_begun { (circles(front, site, view)) } @else { (first_steps()) }
            (river(front, site, view, MAX_ENTRIES))
        }
    };
    Layout { site, title: if front.today.is_some() { "Today" } else { "listend" }, here: "/", view: Some(view) }
        .document(&main)
}

/// Whether no feed of anybody can be heard.
pub(super) fn all_broken(front: &Front<'_>) -> bool {
    let feeds: usize =
        front.circles.iter().filter(|circle| circle.role.is_listened_to()).map(|circle| circle.feeds).sum();
    front.river.troubled > 0 && front.river.troubled >= feeds
}

/// Said before anything else, since nothing else is news then.
fn alarm(front: &Front<'_>, site: &Site) -> Markup {
    html! {
        @if all_broken(front) {
            p.alarm role="status" {
                strong { "None of the feeds answers." }
                " Where that comes all at once, look at your own network first. "
                a href=(local(site, "/status")) { "See how they answer" }
            }
        }
    }
}

/// The circles, and how to subscribe to each.
fn circles(front: &Front<'_>, site: &Site, view: View<'_>) -> Markup {
    html! {
        section.circles aria-labelledby="circles" {
            h2 #circles { "Your circles" }
            ul.cards {
                li.card.everyone {
                    p.role { "All of them together" }
                    h3 { a href=(local(site, view.path)) { "Everyone" } }
                    p.size { (everyone(front.circles)) }
                    (subscribe(site, view))
                }
                @for circle in front.circles { (card(circle, site, view.query)) }
            }
        }
    }
}

/// The newest entries, at most `limit`.
fn river(front: &Front<'_>, site: &Site, view: View<'_>, limit: usize) -> Markup {
    let shown = &front.river.entries[..front.river.entries.len().min(limit)];
    let has_more = front.river.next.is_some() || shown.len() < front.river.entries.len();
    html! {
        @if !shown.is_empty() {
            section.river.below aria-labelledby="river" {
                header.intro {
                    h2 #river { "What they said" }
                    p.about { "Everyone you listen to, newest first." }
                }
                div.stream {
                    (by_day(shown, site, Level::Third))
                    @if has_more {
                        nav.pages aria-label="Pages" { a.older href=(local_with(site, view.path, "", view.query)) { "The whole river" } }
                    }
                }
            }
        } @else if front.hearing == Hearing::Everybody && front.today.is_none() {
            div.nothing {
                p { strong { "Nobody has said anything yet." } }
                p { "All feeds were asked and none had an entry. " a href=(local(site, "/status")) { "See how they answered." } }
            }
        }
    }
}

fn progress(hearing: Hearing) -> Markup {
    match hearing {
        Hearing::FirstRound { asked, feeds } => html! {
            p.progress role="status" {
                strong { "The first round is under way." }
                " " (asked) " of " (count(feeds, "feed has", "feeds have")) " answered. Reload in a moment."
                progress max=(feeds) value=(asked.min(feeds)) aria-label="Feeds asked for the first time" {}
            }
        },
        Hearing::Nobody | Hearing::Everybody => html! {},
    }
}

fn first_steps() -> Markup {
    html! {
        section.nothing aria-labelledby="first-steps" {
            h2 #first-steps { "Nobody is listed yet" }
            p { "Put OPML files into the lists directory; each is a circle of people, and is read as soon as it is saved:" }
            dl {
                dt { code { "followers.opml" } } dd { "the people who follow you" }
                dt { code { "desired.opml" } } dd { "the people you would want to follow you" }
                dt { code { "mine.opml" } } dd { "your own feeds" }
            }
            p { "Any feed reader can export such a file." }
        }
    }
}

fn everyone(circles: &[Circle]) -> String {
    let listened: Vec<_> = circles.iter().filter(|circle| circle.role.is_listened_to()).collect();
    format!("{} as one stream", count(listened.len(), "list", "lists"))
}

fn card(circle: &Circle, site: &Site, query: &Query) -> Markup {
    let view = View { title: &circle.title, path: &circle.path, query };
    let more = circle.folders.len().saturating_sub(MAX_FOLDERS);
    html! {
        li class={ "card is-" (circle.role.as_str()) } {
            p.role { (meaning(circle.role)) }
            h3 dir="auto" { a href=(local(site, &circle.path)) { (circle.title) } }
            p.size { (count(circle.voices, "voice", "voices")) " · " (count(circle.feeds, "feed", "feeds")) }
            @if !circle.folders.is_empty() {
                ul.folders aria-label={ "Folders of " (circle.title) } {
                    @for folder in circle.folders.iter().take(MAX_FOLDERS) {
                        li { a href=(local(site, &folder.path)) { bdi { (folder.title) } } " " span.n { (folder.voices) } }
                    }
                    @if more > 0 { li { a href=(local(site, &circle.path)) { "and " (more) " more" } } }
                }
            }
            (subscribe(site, view))
        }
    }
}

fn meaning(role: Role) -> &'static str {
    match role {
        Role::Followers => "They follow you",
        Role::Desired => "You wish they did",
        Role::Mine => "What you say",
        Role::Inbox => "What reaches you",
        Role::Circle => "A circle",
    }
}
