//! The rolodex: a row for each voice, with its rhythm, the links both ways, what is owed, and its troubles.

use maud::{Markup, html};

use crate::listen::people::{Card, Order, Rolodex};
use crate::model::{Timestamp, Trouble};
use crate::publish::Site;

use super::charts;
use super::layout::{Layout, VOICES, count, local, pages};
use super::love;
use super::people::{circles, face_of, linked_name, short_date};

/// The page as HTML.
pub fn rolodex(rolodex: &Rolodex, site: &Site) -> String {
    let main = html! {
        div.rolodex {
            header.intro {
                h1 { "Voices" }
                p.about { (about(rolodex)) }
            }
            section.love aria-labelledby="love" {
                h2 #love { "Link love" }
                (love::whole(&rolodex.love))
            }
            @if rolodex.rows.is_empty() {
                div.nothing {
                    p { strong { "No voice is listed yet." } }
                    p { "Everybody in your lists gets a row here as soon as a list is saved. " a href=(local(site, "/")) { "How to begin" } }
                }
            } @else {
                (table(rolodex, site))
                (pages((rolodex.page, rolodex.pages), |page| place(site, rolodex.order, page)))
            }
        }
    };
    Layout { site, title: "Voices", here: VOICES, view: None }.document(&main)
}

fn about(rolodex: &Rolodex) -> String {
    let voices = count(rolodex.voices, "voice", "voices");
    let sorted = match rolodex.order {
        Order::Waiting => "those who have waited longest for a word from you first",
        Order::Heard => "those who spoke last first",
        Order::Links => "those whom most links bind to you first",
        Order::Name => "by name",
    };
    if rolodex.voices == 0 { "Everybody you listen to.".to_owned() } else { format!("{voices}, {sorted}.") }
}

fn table(rolodex: &Rolodex, site: &Site) -> Markup {
    html! {
        table.voices {
            caption.hidden { "Voices, " (about(rolodex)) }
            thead {
                tr {
                    (sorted(rolodex, site, Order::Name, "Voice"))
                    (sorted(rolodex, site, Order::Heard, "Last heard"))
                    th scope="col" { "Half a year" }
                    (sorted(rolodex, site, Order::Links, "Links"))
                    (sorted(rolodex, site, Order::Waiting, "Waiting"))
                    th scope="col" { "Owed" }
                }
            }
            tbody { @for card in &rolodex.rows { (row(card, site, rolodex.today)) } }
        }
    }
}

/// The head of a column that the table can be sorted by.
fn sorted(rolodex: &Rolodex, site: &Site, order: Order, text: &str) -> Markup {
    let is_here = rolodex.order == order;
    // Who has waited longest has waited since the earliest instant.
    let direction = if matches!(order, Order::Name | Order::Waiting) { "ascending" } else { "descending" };
    html! {
        th scope="col" aria-sort=[is_here.then_some(direction)] {
            a href=(place(site, order, 1)) { span.hidden { "Sort by " } (text) }
        }
    }
}

fn place(site: &Site, order: Order, page: usize) -> String {
    let sort = (order != Order::default()).then(|| format!("sort={}", order.as_str()));
    let page = (page > 1).then(|| format!("page={page}"));
    let asked: Vec<String> = sort.into_iter().chain(page).collect();
    let path = local(site, VOICES);
    if asked.is_empty() { path } else { format!("{path}?{}", asked.join("&")) }
}

fn row(card: &Card, site: &Site, today: Timestamp) -> Markup {
    html! {
        tr {
            th scope="row" {
                div.small-person {
                    (face_of(&card.person))
                    div {
                        (linked_name(&card.person, site))
                        (circles(&card.person, site))
                        (trouble(card.trouble))
                    }
                }
            }
            (cell("Last heard", card.heard.map(short_date), "never"))
            td.rhythm { (charts::weeks(&card.weeks, 1)) }
            (cell("Links", links(card), "none"))
            (cell("Waiting", card.waiting.map(|since| waits(since, today)), "no"))
            (cell("Owed", (card.owed > 0).then(|| html! { strong { (card.owed) } }), "nothing"))
        }
    }
}

/// A cell with its column's name for where the head is not shown; `none` is said where there is nothing.
fn cell(label: &str, content: Option<Markup>, none: &str) -> Markup {
    html! {
        @if let Some(content) = content { td data-label=(label) { (content) } }
        @else { td.none data-label=(label) { (none) } }
    }
}

fn links(card: &Card) -> Option<Markup> {
    let is_linked = card.from_them + card.to_them > 0;
    is_linked.then(|| html! { span { (card.from_them) " from them," } " " span { (card.to_them) " to them" } })
}

fn waits(since: Timestamp, today: Timestamp) -> Markup {
    let days = today.days().saturating_sub(since.days());
    html! { span { "since " (short_date(since)) } @if days > 1 { " " span.soft { (days) " days" } } }
}

/// What is wrong with the feeds of a voice; nothing where all is well.
pub(super) fn trouble(trouble: Option<Trouble>) -> Markup {
    let words = match trouble {
        None => return html! {},
        Some(Trouble::Silent) => "silent for far longer than usual",
        Some(Trouble::BrokenForADay) => "not heard for a day",
        Some(Trouble::Quarantined) => "its feed can’t be read",
        Some(Trouble::BrokenForAWeek) => "not heard for a week",
        Some(Trouble::BrokenForAMonth) => "not heard for a month",
        Some(Trouble::Gone) => "its feed is gone",
    };
    let class = if trouble.is_some_and(Trouble::is_broken) { "trouble" } else { "new" };
    html! { p.ailing { span class={ "state " (class) } { (words) } } }
}
