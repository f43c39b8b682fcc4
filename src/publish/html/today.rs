//! What the keeper opens each morning: whom to answer, who came, who talks with whom, and how much love went out.

use maud::{Markup, html};

use crate::listen::people::{Conversation, Newcomer, Today};
use crate::listen::relations::Relation;
use crate::publish::{Site, uri};

use super::front::{Front, Hearing, all_broken};
use super::layout::{VOICES, count, local};
use super::love;
use super::people::{Detail, date, debt, face_of, linked_name, name, seen, short_date};

/// What a card on the front page shows of somebody's words; the voice's own page has the rest.
const DETAIL: Detail = Detail { sayings: 2, excerpt: 140 };
/// Voices named below a conversation.
const MAX_SPEAKERS: usize = 4;

/// The page's heading and the people to answer.
pub(super) fn answers(front: &Front<'_>, today: &Today, site: &Site) -> Markup {
    html! {
        header.greeting {
            p.date { (today.today.utc().format("%A")) ", " (date(today.today)) }
            h1 { (headline(front, today)) }
            (words(front, today, site))
        }
        @if !today.answer.is_empty() {
            ul class={ "people cards of-" (today.answer.len()) } aria-label="Whom to answer" {
                @for one in &today.answer { (debt(one, site, today.today, DETAIL)) }
            }
            (more(today, site))
        }
    }
}

fn headline(front: &Front<'_>, today: &Today) -> &'static str {
    match (today.answer.len(), front.hearing) {
        (0, Hearing::Nobody) => "Hear the people around you",
        (0, _) if today.has_heard => "All answered",
        (0, Hearing::FirstRound { .. }) => "Listening for the first time",
        (0, Hearing::Everybody) if all_broken(front) => "Nobody can be heard",
        (0, Hearing::Everybody) => "Nobody has said anything yet",
        (1, _) => "One person to answer today",
        (2, _) => "Two people to answer today",
        (3, _) => "Three people to answer today",
        (4, _) => "Four people to answer today",
        _ => "Five people to answer today",
    }
}

fn words(front: &Front<'_>, today: &Today, site: &Site) -> Markup {
    html! {
        @match (today.answer.len(), front.hearing) {
            (0, Hearing::Nobody) => p.about {
                "listend listens to everyone in your lists, and tells you each morning whom to thank, whom to answer "
                "and whom you have neglected."
            },
            (0, _) if today.has_heard => {
                p.about { "Nobody waits for a word from you. Thank you for listening: it shows." }
                p.about {
                    "Whoever speaks next will wait under " (way(site, Relation::Neglected)) ". Until then, listen to the "
                    a href=(local(site, Relation::Quiet.path())) { "quiet voices" }
                    ", or meet somebody new over one of the " a href=(local(site, Relation::Bridges.path())) { "bridges" } "."
                }
            }
            (0, Hearing::FirstRound { .. }) => p.about { "As soon as somebody has spoken, you find here whom to answer." },
            (0, Hearing::Everybody) if all_broken(front) => {}
            (0, Hearing::Everybody) => p.about {
                "All feeds were asked and none had an entry. " a href=(local(site, "/status")) { "See how they answered" } "."
            },
            _ => p.about { "Thanks owed first, then those who have waited longest." },
        }
    }
}

fn way(site: &Site, relation: Relation) -> Markup {
    html! { a href=(local(site, relation.path())) { (relation.title()) } }
}

/// Who waits beside those shown.
fn more(today: &Today, site: &Site) -> Markup {
    let (thanks, neglected) = today.more;
    let thanked = count(thanks, "more is owed thanks", "more are owed thanks");
    let waited = count(neglected, "more waits for a word", "more wait for a word");
    html! {
        @if thanks + neglected > 0 {
            p.more {
                @if thanks > 0 { a href=(local(site, Relation::Thanks.path())) { (thanked) } }
                @if thanks > 0 && neglected > 0 { ", " }
                @if neglected > 0 { a href=(local(site, Relation::Neglected.path())) { (waited) } }
            }
        }
    }
}

/// What stands beside the river.
pub(super) fn beside(today: &Today, site: &Site) -> Markup {
    html! {
        div.aside {
            @if !today.newcomers.is_empty() {
                section aria-labelledby="newcomers" {
                    h2 #newcomers { (way(site, Relation::Newcomers)) }
                    ul.plain { @for one in &today.newcomers { (newcomer(one, site)) } }
                }
            }
            @if !today.conversations.is_empty() {
                section aria-labelledby="conversations" {
                    h2 #conversations { (way(site, Relation::Conversations)) }
                    ul.plain { @for one in &today.conversations { (conversation(one, site)) } }
                }
            }
            section.love aria-labelledby="love" {
                h2 #love { a href=(local(site, VOICES)) { "Link love" } }
                (love::brief(today.love.as_ref()))
            }
        }
    }
}

fn newcomer(newcomer: &Newcomer, site: &Site) -> Markup {
    html! {
        li.small-person {
            (face_of(&newcomer.person))
            div {
                (linked_name(&newcomer.person, site)) " "
                @if let Some(reason) = seen(&newcomer.reason) { span dir="auto" { (reason) } " " }
                span.when { (short_date(newcomer.at)) }
            }
        }
    }
}

fn conversation(conversation: &Conversation, site: &Site) -> Markup {
    let more = conversation.turns.len().saturating_sub(MAX_SPEAKERS);
    let title = seen(&conversation.title).unwrap_or("A page".into());
    html! {
        li {
            @match uri::page_link(&conversation.link) {
                Some(link) => a.title href=(link) rel="noreferrer" { bdi { (title) } },
                None => span.title { bdi { (title) } },
            }
            p.where {
                @for (person, _) in conversation.turns.iter().take(MAX_SPEAKERS) {
                    @match &person.path {
                        Some(path) => a href=(local(site, path)) { bdi { (name(person)) } },
                        None => bdi { (name(person)) },
                    }
                    " "
                }
                @if more > 0 { a href=(local(site, Relation::Conversations.path())) { "and " (more) " more" } }
            }
        }
    }
}
