//! Where contact is recorded: what was said, a button for each kind of answer, and what has been between you before.

use maud::{Markup, html};

use crate::listen::people::Saying;
use crate::listen::relations::{Answerable, Relation};
use crate::model::{ContactKind, EntryKey};
use crate::publish::Site;

use super::layout::{Layout, local};
use super::people::{circles, date, excerpt, face_of, history, home, linked_name, name, record, seen, title};

/// Characters of the beginning of what was said.
const EXCERPT_CHARS: usize = 240;

/// The page as HTML. `key` names what is answered; `recorded` is the answer that was just recorded, if one was.
pub fn answered(answerable: &Answerable, key: EntryKey, recorded: Option<ContactKind>, site: &Site) -> String {
    let person = &answerable.person;
    let name = name(person);
    let main = html! {
        div.answered {
            @if let Some(kind) = recorded {
                div.noted role="status" {
                    h1 { (done(kind)) " " bdi { (name) } }
                    p.about { "It is noted, and settles what you owed them until now." }
                }
            } @else {
                header { h1 { "Answered " bdi { (name) } "?" } }
            }
            div.small-person {
                (face_of(person))
                div {
                    p { (linked_name(person, site)) }
                    (circles(person, site))
                    @if let Some(saying) = &answerable.saying { (said(saying)) }
                    @else if let Some(home) = home(person) { p { a href=(home) rel="noreferrer" { "Visit them" } } }
                }
            }
            section aria-labelledby="record" {
                h2 #record { @if recorded.is_some() { "Did you do more?" } @else { "What did you do?" } }
                (record(site, key, "note"))
            }
            @if !answerable.history.is_empty() {
                section aria-labelledby="history" {
                    h2 #history { "Between you so far" }
                    (history(&answerable.history))
                }
            }
            nav.onwards aria-label="From here" {
                a.button.soft[recorded.is_none()] href=(local(site, "/")) { "Back to today" }
                " " a href=(local(site, Relation::Thanks.path())) { (Relation::Thanks.title()) }
                " " a href=(local(site, Relation::Neglected.path())) { (Relation::Neglected.title()) }
            }
        }
    };
    let title = format!("Answered {name}");
    Layout { site, title: &title, here: "", view: None }.document(&main)
}

fn done(kind: ContactKind) -> &'static str {
    match kind {
        ContactKind::Thanked => "You thanked",
        ContactKind::Commented => "You answered",
        ContactKind::Shared => "You shared",
    }
}

fn said(saying: &Saying) -> Markup {
    html! {
        blockquote.quoted {
            p { (title(saying)) " " span.when { (date(saying.at)) } }
            (excerpt(saying, EXCERPT_CHARS))
            @if let Some(reason) = seen(&saying.reason) { p.why dir="auto" { (reason) } }
        }
    }
}
