//! People and what they said, as all pages for people show them: name, circles, words, and since when they wait.

use std::borrow::Cow;

use maud::{Markup, html};

use crate::listen::people::{Cause, Debt, Past, PastKind, Person, Saying};
use crate::model::{ContactKind, EntryKey, NoticeKind, Timestamp};
use crate::publish::xml::sayable;
use crate::publish::{Site, fragment, uri};

use super::entries::face;
use super::layout::{answering, count, local};

/// Circles named beside somebody; the voice's own page has all.
const MAX_CIRCLES: usize = 4;

/// The name; never empty.
pub(super) fn name(person: &Person) -> Cow<'_, str> {
    seen(&person.name).unwrap_or(Cow::Borrowed("Somebody"))
}

/// A text without what cannot be shown, where anything is left of it.
pub(super) fn seen(text: &str) -> Option<Cow<'_, str>> {
    Some(sayable(text.trim())).filter(|text| !text.trim().is_empty())
}

/// The name, linked to the voice's page, or else to the home page of somebody from outside.
pub(super) fn linked_name(person: &Person, site: &Site) -> Markup {
    let name = name(person);
    match (&person.path, home(person)) {
        (Some(path), _) => html! { a.voice href=(local(site, path)) { bdi { (name) } } },
        (None, Some(home)) => html! { a.voice href=(home) rel="noreferrer" { bdi { (name) } } },
        (None, None) => html! { span.voice { bdi { (name) } } },
    }
}

/// The home page, where a browser can open it.
pub(super) fn home(person: &Person) -> Option<Cow<'_, str>> {
    person.home.as_deref().and_then(uri::page_link)
}

/// The first letter of the name in a colour of its own.
pub(super) fn face_of(person: &Person) -> Markup {
    let name = name(person);
    face(&name, person.path.as_deref().unwrap_or(&name))
}

/// The circles that somebody stands in; nothing for somebody from outside.
pub(super) fn circles(person: &Person, site: &Site) -> Markup {
    let more = person.circles.len().saturating_sub(MAX_CIRCLES);
    html! {
        @if !person.circles.is_empty() {
            p.where {
                @for (title, path) in person.circles.iter().take(MAX_CIRCLES) {
                    a href=(local(site, path)) { bdi { (title) } } " "
                }
                @if more > 0 { span { "and " (more) " more" } }
            }
        }
    }
}

/// What was said, linked to its page.
pub(super) fn title(saying: &Saying) -> Markup {
    let title = seen(&saying.title).unwrap_or(Cow::Borrowed("A note"));
    html! {
        @if let Some(link) = saying.link.as_deref().and_then(uri::page_link) {
            a.title href=(link) rel="noreferrer" { bdi { (title) } }
        } @else { span.title { bdi { (title) } } }
    }
}

/// What was said, and when.
pub(super) fn saying(saying: &Saying) -> Markup {
    html! { (title(saying)) " " span.when { (short_date(saying.at)) } }
}

/// The beginning of what was said, unless the title is that already.
pub(super) fn excerpt(saying: &Saying, max_chars: usize) -> Markup {
    let excerpt = fragment::shortened(&sayable(saying.excerpt.trim()), max_chars);
    let title = saying.title.trim().trim_end_matches('…');
    let is_new = !excerpt.trim().is_empty() && (title.is_empty() || !excerpt.starts_with(title));
    html! { @if is_new { p.excerpt dir="auto" { (excerpt) } } }
}

/// Things said, each with why it stands here.
pub(super) fn sayings(said: &[Saying]) -> Markup {
    html! {
        ul.sayings {
            @for one in said {
                li {
                    (saying(one))
                    @if let Some(reason) = seen(&one.reason) { p.why dir="auto" { (reason) } }
                }
            }
        }
    }
}

/// How much of a debt is shown.
#[derive(Clone, Copy)]
pub(super) struct Detail {
    /// At most so many things that were said.
    pub(super) sayings: usize,
    /// Characters of the beginning of the newest of them.
    pub(super) excerpt: usize,
}

/// Somebody to answer: who, why, what they said, and the way to answer.
pub(super) fn debt(debt: &Debt, site: &Site, today: Timestamp, detail: Detail) -> Markup {
    let shown = &debt.sayings[..debt.sayings.len().min(detail.sayings)];
    let more = debt.count.saturating_sub(shown.len());
    let name = name(&debt.person);
    let (class, cause, act) = words(debt.cause);
    html! {
        li class={ "person is-" (class) } {
            (face_of(&debt.person))
            p.cause { (cause) }
            h2 { (linked_name(&debt.person, site)) }
            (circles(&debt.person, site))
            @if let Some(reason) = seen(&debt.reason) { p.because dir="auto" { (reason) } }
            @if !shown.is_empty() {
                ul.sayings {
                    @for (at, one) in shown.iter().enumerate() {
                        li {
                            (saying(one))
                            @if let Some(why) = seen(&one.reason).filter(|why| *why != debt.reason.trim()) {
                                p.why dir="auto" { (why) }
                            }
                            @if at == 0 { (excerpt(one, detail.excerpt)) }
                        }
                    }
                    @if more > 0 { li.rest { (rest(debt, more, site)) } }
                }
            }
            p.since { (since(debt.cause, debt.since, today)) (contact(debt)) }
            p.do {
                @if let Some(target) = target(debt) {
                    a.button href=(target) rel="noreferrer" { (act) span.hidden { ": " bdi { (name) } } }
                }
                @if let Some(done) = debt.done.filter(|_| site.is_keeper) { (done_already(site, done, &name, "Done already")) }
            }
        }
    }
}

/// Where somebody is answered: at what they said last, or else at home.
fn target(debt: &Debt) -> Option<Cow<'_, str>> {
    let said = debt.sayings.iter().find_map(|saying| saying.link.as_deref().and_then(uri::page_link));
    said.or_else(|| home(&debt.person))
}

fn rest(debt: &Debt, more: usize, site: &Site) -> Markup {
    // Counted up to a hundred only.
    let number = if debt.count >= 100 { "and many more".to_owned() } else { format!("and {more} more") };
    html! {
        @if let Some(path) = &debt.person.path { a href=(local(site, path)) { (number) } } @else { (number) }
    }
}

fn contact(debt: &Debt) -> Markup {
    html! {
        @match debt.last_contact {
            Some(at) => span { "your last word: " (date(at)) },
            None if debt.cause == Cause::Neglected => span { "no word from you yet" },
            None => {}
        }
    }
}

/// A quiet link that says that it is done.
pub(super) fn done_already(site: &Site, done: EntryKey, name: &str, text: &str) -> Markup {
    html! { a.done href=(answering(site, done)) { (text) span.hidden { ": " bdi { (name) } } } }
}

/// `Waiting since 3 April 2026, 234 days`. Who waits has spoken since your last word; the rest is owed.
pub(super) fn since(cause: Cause, since: Timestamp, today: Timestamp) -> Markup {
    let word = if cause == Cause::Neglected { "Waiting" } else { "Owed" };
    let days = today.days().saturating_sub(since.days());
    html! { span { (word) " since " (date(since)) @if days > 1 { ", " (days) " days" } } " " }
}

/// A cause as a class of the style sheet, in words, and what there is to do.
fn words(cause: Cause) -> (&'static str, &'static str, &'static str) {
    match cause {
        Cause::Mention => ("mention", "Spoke of you", "Say thanks"),
        Cause::Reply => ("reply", "Answered you", "Answer"),
        Cause::Follower => ("follower", "New follower", "Say hello"),
        Cause::Neglected => ("neglected", "Waits for a word", "Read and comment"),
        Cause::Returned => ("returned", "Back again", "Welcome back"),
    }
}

/// What has happened between you and a voice.
pub(super) fn history(history: &[Past]) -> Markup {
    html! {
        ol.history {
            @for past in history {
                li {
                    (short_date(past.at)) " "
                    span { (event(past)) }
                }
            }
        }
    }
}

/// What happened: a notice says it in its own words, of contact there may be a note.
fn event(past: &Past) -> Markup {
    let what = what(past.kind);
    let Some(text) = seen(&past.text) else { return html! { (what) } };
    let text = html! { bdi { (text) } };
    let linked = match past.link.as_deref().and_then(uri::page_link) {
        Some(link) => html! { a.title href=(link) rel="noreferrer" { (text) } },
        None => text,
    };
    match past.kind {
        PastKind::Notice(_) => linked,
        PastKind::Contact(_) | PastKind::Post => html! { (what) ": " (linked) },
    }
}

fn what(kind: PastKind) -> &'static str {
    match kind {
        PastKind::Contact(ContactKind::Thanked) => "You thanked",
        PastKind::Contact(ContactKind::Commented) => "You commented",
        PastKind::Contact(ContactKind::Shared) => "You shared",
        PastKind::Post => "You linked to them",
        PastKind::Notice(NoticeKind::FirstHeard) => "First heard",
        PastKind::Notice(NoticeKind::FellSilent) => "Fell silent",
        PastKind::Notice(NoticeKind::CameBack) => "Came back",
        PastKind::Notice(NoticeKind::Neglected) => "Waited a month",
        PastKind::Notice(NoticeKind::Conversation) => "In conversation",
        PastKind::Notice(NoticeKind::Bridge) => "Built a bridge",
        PastKind::Notice(NoticeKind::Newcomer) => "In your lists",
        PastKind::Notice(NoticeKind::Follower) => "Began to follow you",
    }
}

/// A form to record contact: a note, and a button for each kind. `note_id` is the id of its field on the page.
pub(super) fn record(site: &Site, key: EntryKey, note_id: &str) -> Markup {
    html! {
        form.record method="post" action=(answering(site, key)) {
            label for=(note_id) { "A note for yourself, if you like" }
            input type="text" id=(note_id) name="note" maxlength="2000" autocomplete="off" dir="auto";
            div.kinds role="group" aria-label="What you did" {
                @for kind in ContactKind::ALL {
                    button type="submit" name="kind" value=(kind.as_str()) { (did(kind)) }
                }
            }
        }
    }
}

/// What was done, as a button says it.
pub(super) fn did(kind: ContactKind) -> &'static str {
    match kind {
        ContactKind::Thanked => "Thanked",
        ContactKind::Commented => "Commented",
        ContactKind::Shared => "Shared",
    }
}

/// `3 April 2026`.
pub(super) fn date(time: Timestamp) -> Markup {
    html! { time datetime=(time) { (time.utc().format("%-d %B %Y")) } }
}

/// `3 Apr 2026`.
pub(super) fn short_date(time: Timestamp) -> Markup {
    html! { time datetime=(time) { (time.utc().format("%-d %b %Y")) } }
}

/// `2 voices`, and so on, for a list that may go on.
pub(super) fn voices(n: usize) -> String {
    count(n, "voice", "voices")
}
