//! The present state of a relationship view: who is owed thanks, who waits, who is quiet, who talks, who came.

use maud::{Markup, html};

use crate::listen::page::Query;
use crate::listen::people::{Bridge, Conversation, Debt, Newcomer, Person, Present, QuietVoice, Saying, State};
use crate::model::Timestamp;
use crate::publish::{Site, uri};

use super::layout::{Layout, View, answering, count, local_page, pages, subscribe};
use super::people::{
    Detail, circles, date, debt, done_already, excerpt, face_of, home, linked_name, name, saying, seen, short_date,
    voices,
};

/// What is shown of a debt where its page has room.
const DETAIL: Detail = Detail { sayings: 5, excerpt: 220 };
/// Characters of the beginning of what was said elsewhere.
const EXCERPT_CHARS: usize = 220;
/// Voices shown below a site.
const MAX_LINKING: usize = 6;

/// The page as HTML.
pub fn present(present: &Present, site: &Site) -> String {
    let query = Query::default();
    let head = &present.head;
    let view = View { title: &head.title, path: &head.path, query: &query };
    let words = Words::of(&present.state);
    let is_empty = len(&present.state) == 0;
    let main = html! {
        div.present {
            header.intro {
                h1 dir="auto" { (head.title) }
                @if !head.about.trim().is_empty() { p.about dir="auto" { (head.about) } }
                @if present.count > 0 { p.size { (words.count(present.count)) } }
            }
            div.tools {
                div.subscribe { p #subscribe { "Subscribe" } (subscribe(site, view)) }
                p.fair { (words.feed) }
            }
            div.stream {
                @if is_empty && present.page.0 <= 1 { (nothing(&words, site)) } @else { (items(present, site)) }
                (pages(present.page, |page| local_page(site, &head.path, page)))
            }
        }
    };
    Layout { site, title: &head.title, here: &head.path, view: Some(view) }.document(&main)
}

/// What is said of a view as a whole.
struct Words {
    /// One, and several of what it holds.
    one: &'static str,
    many: &'static str,
    /// What its feed tells.
    feed: &'static str,
    /// What an empty page says, and what will stand there.
    nobody: &'static str,
    later: &'static str,
}

impl Words {
    fn of(state: &State) -> Self {
        match state {
            State::Thanks(_) => Self {
                one: "person is owed thanks",
                many: "people are owed thanks",
                feed: "The feed tells each thing to be thankful for once, as it comes.",
                nobody: "Nobody is owed thanks.",
                later: "Whoever links to your sites, says your name, answers you or becomes a follower stands here until you \
                        have answered: by a post that links to them, or by saying that it is done. Your sites are those \
                        in mine.opml and in [mine] of the configuration.",
            },
            State::Neglected(_) => Self {
                one: "person waits for a word from you",
                many: "people wait for a word from you",
                feed: "The feed tells of somebody once, 30 days after words that nobody answered.",
                nobody: "Nobody waits.",
                later: "Whoever speaks after your last word to them stands here, the longest wait first, until you link to \
                        them or say that you have answered.",
            },
            State::Quiet(_) => Self {
                one: "quiet voice",
                many: "quiet voices",
                feed: "The feed tells when one of them speaks again, or falls silent.",
                nobody: "No voice is known to be quiet yet.",
                later: "Those who post seldom stand here as soon as enough was heard of them to know their rhythm.",
            },
            State::Conversations(_) => Self {
                one: "conversation",
                many: "conversations",
                feed: "The feed tells of a conversation once, when its second voice joins in.",
                nobody: "No conversation at present.",
                later: "When two of your voices link to the same page within days, or to each other, you read it here.",
            },
            State::Newcomers(_) => Self {
                one: "coming or going",
                many: "comings and goings",
                feed: "The feed tells of each once.",
                nobody: "Nobody has come or gone yet.",
                later: "Your lists as they were first read are where this begins. Whoever is added, becomes a follower or \
                        leaves after that is told here.",
            },
            State::Bridges(_) => Self {
                one: "site",
                many: "sites",
                feed: "The feed tells of a site once, when a third voice links to it. OPML has them all, to try out.",
                nobody: "No bridge yet.",
                later: "When three of your voices link to a site that stands in none of your lists, it is shown here: \
                        somebody whom you may want to hear, too.",
            },
        }
    }

    fn count(&self, n: usize) -> String {
        count(n, self.one, self.many)
    }
}

fn len(state: &State) -> usize {
    match state {
        State::Thanks(debts) | State::Neglected(debts) => debts.len(),
        State::Quiet(voices) => voices.len(),
        State::Conversations(conversations) => conversations.len(),
        State::Newcomers(newcomers) => newcomers.len(),
        State::Bridges(bridges) => bridges.len(),
    }
}

fn nothing(words: &Words, site: &Site) -> Markup {
    html! {
        div.nothing {
            p { strong { (words.nobody) } }
            p { (words.later) }
            p { a href=(local_page(site, "/", 1)) { "Back to today" } }
        }
    }
}

fn items(present: &Present, site: &Site) -> Markup {
    let today = present.today;
    match &present.state {
        State::Thanks(debts) | State::Neglected(debts) => self::debts(debts, site, today),
        State::Quiet(voices) => html! { ul.people { @for one in voices { (quiet(one, site)) } } },
        State::Conversations(all) => html! { ul.people.talks { @for one in all { (conversation(one, site)) } } },
        State::Newcomers(all) => html! { ul.people { @for one in all { (newcomer(one, site)) } } },
        State::Bridges(all) => html! { ul.people.talks { @for one in all { (bridge(one, site)) } } },
    }
}

fn debts(debts: &[Debt], site: &Site, today: Timestamp) -> Markup {
    html! { ul.people { @for one in debts { (debt(one, site, today, DETAIL)) } } }
}

fn quiet(quiet: &QuietVoice, site: &Site) -> Markup {
    let key = quiet.newest.key;
    html! {
        li class=(if quiet.is_silent { "person is-silent" } else { "person is-quiet" }) {
            (face_of(&quiet.person))
            @if let Some(mark) = seen(&quiet.mark) { p.cause dir="auto" { (mark) } }
            h2 { (linked_name(&quiet.person, site)) }
            (circles(&quiet.person, site))
            ul.sayings { li { (saying(&quiet.newest)) (excerpt(&quiet.newest, EXCERPT_CHARS)) } }
            p.do {
                a.done href=(answering(site, key)) { "Answered?" span.hidden { " " bdi { (name(&quiet.person)) } } }
            }
        }
    }
}

fn conversation(conversation: &Conversation, site: &Site) -> Markup {
    let speakers = conversation.turns.len();
    html! {
        li.talk {
            p.cause { (voices(speakers)) ", last heard " (short_date(conversation.last)) }
            h2 { (heading(&conversation.title, &conversation.link)) }
            @if let Some(host) = &conversation.host { p.where { span { "A page of " (linked_name(host, site)) } } }
            ol.turns { @for (person, said) in &conversation.turns { (turn(person, said, site)) } }
        }
    }
}

/// Who said what.
fn turn(person: &Person, said: &Saying, site: &Site) -> Markup {
    html! {
        li.small-person {
            (face_of(person))
            div {
                (linked_name(person, site)) " " (saying(said))
                (excerpt(said, EXCERPT_CHARS))
            }
        }
    }
}

fn heading(title: &str, link: &str) -> Markup {
    let title = seen(title).unwrap_or("A page".into());
    html! {
        @if let Some(link) = uri::page_link(link) { a href=(link) rel="noreferrer" { bdi { (title) } } }
        @else { bdi { (title) } }
    }
}

fn newcomer(newcomer: &Newcomer, site: &Site) -> Markup {
    let person = &newcomer.person;
    html! {
        li.person.is-newcomer {
            (face_of(person))
            p.cause { (date(newcomer.at)) }
            h2 { (linked_name(person, site)) }
            (circles(person, site))
            @if let Some(reason) = seen(&newcomer.reason) { p.because dir="auto" { (reason) } }
            p.do {
                @if let Some(home) = home(person) {
                    a.button.soft href=(home) rel="noreferrer" { "Visit" span.hidden { ": " bdi { (name(person)) } } }
                }
                @if let Some(done) = newcomer.done { (done_already(site, done, &name(person), "Greeted already")) }
            }
        }
    }
}

fn bridge(bridge: &Bridge, site: &Site) -> Markup {
    let more = bridge.voices.saturating_sub(bridge.by.len().min(MAX_LINKING));
    html! {
        li.talk {
            p.cause { (voices(bridge.voices)) (if bridge.voices == 1 { " links" } else { " link" }) " there, last on " (short_date(bridge.last)) }
            h2 { (heading(&bridge.site, &bridge.link)) }
            ul.turns {
                @for (person, said) in bridge.by.iter().take(MAX_LINKING) { (turn(person, said, site)) }
                @if more > 0 { li.rest { "and " (voices(more)) " more" } }
            }
            @if let Some(command) = adding(&bridge.link) {
                details {
                    summary { "Listen to them, too" span.hidden { ": " bdi { (bridge.site) } } }
                    p.command { code { (command) } }
                }
            }
        }
    }
}

/// The command that adds a site to a list; `None` where a shell might read the address as more than an address.
fn adding(link: &str) -> Option<String> {
    let link = uri::page_link(link)?;
    let is_plain = link.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/%".contains(&byte));
    is_plain.then(|| format!("listend add {link} --list desired"))
}

#[cfg(test)]
mod tests {
    use super::adding;

    #[test]
    fn no_command_is_more_than_it_seems() {
        assert_eq!(adding("https://a.example/~b").as_deref(), Some("listend add https://a.example/~b --list desired"));
        for link in ["https://a.example/$(x)", "https://a.example/;x", "https://a.example/?a&b", "javascript:x", ""] {
            assert_eq!(adding(link), None, "{link}");
        }
    }
}
