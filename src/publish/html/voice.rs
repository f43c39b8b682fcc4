//! A voice's own page: who they are to you, what is owed, the links both ways, and then all that they say.

use maud::{Markup, html};

use crate::listen::page::Page;
use crate::listen::people::{Cause, Dossier, FeedOf, Saying};
use crate::model::{EntryKey, Role};
use crate::publish::Site;

use super::charts;
use super::entries::Level;
use super::layout::{Layout, View, count};
use super::people::{circles, date, face_of, history, home, name, record, sayings, short_date, since};
use super::river::{stream, tools};
use super::rolodex::trouble;
use super::status::{address, words};

/// The page as HTML; `river` is the page of the voice's own view.
pub fn voice(dossier: &Dossier, river: &Page, site: &Site) -> String {
    let view = View { title: &river.head.title, path: &river.head.path, query: &river.query };
    let person = &dossier.card.person;
    // Whoever pages on through the river has seen the rest.
    let is_somebody = person.roles.iter().any(|role| role.is_listened_to()) && !person.roles.contains(&Role::Mine);
    let is_first = river.query.before.is_none();
    let main = html! {
        div.voice-page {
            header.intro {
                div.portrait { (face_of(person)) h1 { bdi { (name(person)) } } }
                (circles(person, site))
                @if !river.head.about.trim().is_empty() { p.about dir="auto" { (river.head.about) } }
                p.facts { (facts(dossier)) }
                (trouble(dossier.card.trouble))
            }
            @if is_first {
                div.dossier {
                    // Nobody owes himself anything, or a letter box.
                    div { (year(dossier)) @if is_somebody { (owed(dossier, river, site)) } }
                    div { (links(dossier)) (past(dossier)) (feeds(&dossier.feeds)) }
                }
            }
            section.river.below aria-labelledby="river" {
                h2 #river { "What they say" }
                (tools(river, site, view))
                (stream(river, site, Level::Third))
            }
        }
    };
    Layout { site, title: &name(person), here: &river.head.path, view: Some(view) }.document(&main)
}

fn facts(dossier: &Dossier) -> Markup {
    let card = &dossier.card;
    html! {
        @if let Some(home) = home(&card.person) { a href=(home) rel="noreferrer" { "Visit them" } " " }
        @if let Some(at) = card.heard { span { "Last heard " (date(at)) } " " } @else { span { "Not heard yet" } " " }
        @if let Some(waiting) = card.waiting { (since(Cause::Neglected, waiting, dossier.today)) }
    }
}

fn year(dossier: &Dossier) -> Markup {
    html! {
        section.year aria-labelledby="year" {
            h2 #year { "Their year" }
            figure {
                (charts::weeks(&dossier.card.weeks, 3))
                p.axis aria-hidden="true" { span { "a year ago" } " " span { "this week" } }
                figcaption.hidden { "Entries a week" }
            }
        }
    }
}

/// What is owed, and the way to say that it is done.
fn owed(dossier: &Dossier, river: &Page, site: &Site) -> Markup {
    let newest: Option<EntryKey> = dossier
        .owed
        .first()
        .or(dossier.from_them.first())
        .map(|saying| saying.key)
        .or(river.entries.first().map(|listed| listed.entry.key));
    html! {
        section.owed aria-labelledby="owed" {
            h2 #owed { @if dossier.owed.is_empty() { "In touch" } @else { "What you owe them" } }
            @if dossier.owed.is_empty() { p.about { (in_touch(dossier)) } } @else { (sayings(&dossier.owed)) }
            @if let Some(key) = newest.filter(|_| site.is_keeper) { (record(site, key, "note")) }
        }
    }
}

fn in_touch(dossier: &Dossier) -> &'static str {
    match (dossier.card.heard, dossier.card.waiting) {
        (None, _) => "Nothing was heard of them yet.",
        (_, Some(_)) => "You owe them no thanks, but they have spoken since your last word.",
        _ => "You owe them nothing.",
    }
}

/// The links both ways.
fn links(dossier: &Dossier) -> Markup {
    let card = &dossier.card;
    html! {
        section.both-ways aria-labelledby="links" {
            h2 #links { "Links both ways" }
            (one_way("From them to you", card.from_them, &dossier.from_them))
            (one_way("From you to them", card.to_them, &dossier.to_them))
        }
    }
}

fn one_way(title: &str, number: usize, said: &[Saying]) -> Markup {
    html! {
        h3 { (title) " " span.n { (number) } }
        @if said.is_empty() { p.about { "None yet." } } @else { (sayings(said)) }
    }
}

fn past(dossier: &Dossier) -> Markup {
    html! {
        @if !dossier.history.is_empty() {
            section aria-labelledby="history" {
                h2 #history { "Between you" }
                (history(&dossier.history))
            }
        }
    }
}

fn feeds(feeds: &[FeedOf]) -> Markup {
    html! {
        @if !feeds.is_empty() {
            section aria-labelledby="feeds" {
                h2 #feeds { (if feeds.len() == 1 { "Their feed" } else { "Their feeds" }) }
                ul.plain.of-feeds { @for feed in feeds { (one_feed(feed)) } }
            }
        }
    }
}

fn one_feed(feed: &FeedOf) -> Markup {
    let (class, word) = words(feed.state);
    html! {
        li {
            p dir="auto" { (feed.title) }
            p { (address(&feed.url)) }
            p.facts {
                span class={ "state " (class) } { (word) } " "
                span { (count(feed.entries as usize, "entry", "entries")) } " "
                @if let Some(at) = feed.newest { span { "newest " (short_date(at)) } }
            }
            (trouble(feed.trouble))
        }
    }
}
