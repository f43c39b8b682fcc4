//! The words in which it is told. Names who and what, with links to their pages and to the voice's page here.

use maud::{Markup, html};

use crate::feeds::clean;
use crate::listen::people::{Person, Saying};
use crate::lists::roster::VoiceIndex;
use crate::model::{CleanHtml, EntryKey, FeedId, ListEventKind, Markup as Text, Timestamp, redact_text};
use crate::store::StoreError;

use super::What;
use crate::listen::relations::bridges;
use crate::listen::relations::conversations;
use crate::listen::relations::newcomers::{self, Change};
use crate::listen::relations::who::{Desk, saying};

/// What a notice says.
pub(super) struct Words {
    pub(super) title: String,
    pub(super) text: CleanHtml,
    pub(super) link: Option<String>,
    /// The feed that it is about, where that is one voice's.
    pub(super) feed: Option<FeedId>,
    pub(super) about: Vec<FeedId>,
}

/// Whatever makes the absolute address of a path here.
type Address<'a> = &'a dyn Fn(&str) -> String;

/// The words for something; `None` where its texts are no longer kept, or do not say it.
pub(super) fn of(desk: &Desk<'_>, what: &What<'_>, address: Address<'_>) -> Result<Option<Words>, StoreError> {
    match *what {
        What::Newcomer(change) => Ok(Some(newcomer(desk, change, address))),
        What::FirstHeard(voice, key) => about_entry(desk, voice, key, address, |name, _| {
            (format!("{name} is heard for the first time"), " is heard here for the first time.".to_owned())
        }),
        What::FellSilent(voice, key) => about_entry(desk, voice, key, address, |name, last| {
            let words = format!(" has said nothing since {}. Perhaps they would be glad to be missed.", date(last.at));
            (format!("{name} fell silent"), words)
        }),
        What::CameBack { voice, entry, before } => about_entry(desk, voice, entry, address, |name, first| {
            let pause = days(first.at, before);
            let words = format!(" had said nothing since {}.", date(before));
            (format!("{name} spoke again after {pause} days"), words)
        }),
        What::Neglected(voice, key) => about_entry(desk, voice, key, address, |name, first| {
            let words = format!(" has spoken since {}, and heard nothing from you.", date(first.at));
            (format!("{name} has waited {} days for an answer", days(desk.scene.now, first.at)), words)
        }),
        What::Conversation(talk) => {
            let Some(found) = conversations::read(desk, talk)? else { return Ok(None) };
            let names: Vec<&str> = found.turns.iter().map(|(person, _)| person.name.as_str()).collect();
            let title = format!("{} talk about {}", listing(&names), found.title);
            let about = talk.turns.iter().map(|turn| turn.key.feed).collect();
            let text = html! {
                p { "About " (link(&found.link, &found.title)) "." }
                (sayings(&found.turns, address))
            };
            Ok(Some(words(&title, text, Some(found.link), None, about)))
        }
        What::Bridge(site) => {
            let Some(found) = bridges::read(desk, site)? else { return Ok(None) };
            let title = format!("{} of your voices link to {}", found.voices, found.site);
            let about = found.by.iter().map(|(_, saying)| saying.key.feed).collect();
            let text = html! {
                p { (link(&found.link, &found.site)) " stands in none of your lists." }
                (sayings(&found.by, address))
            };
            Ok(Some(words(&title, text, Some(found.link), None, about)))
        }
    }
}

fn newcomer(desk: &Desk<'_>, change: &Change, address: Address<'_>) -> Words {
    let event = &change.event;
    let person = match change.voice {
        Some(voice) => desk.person(voice),
        None => Person { name: event.voice.clone(), ..Person::default() },
    };
    let reason = newcomers::reason(desk, event);
    let feed = change.voice.and_then(|voice| desk.voices.feeds(voice).first().copied());
    let feed = feed.or_else(|| event.feeds.iter().find_map(|url| desk.bound().ids.get(url).copied()));
    let text = html! {
        p { (named(&person, address)) " " (reason) " on " (date(event.at)) "." }
        @if event.kind != ListEventKind::Left {
            @if let Some(home) = &person.home {
                p { "Home: " (link(home, home)) "." }
            }
        }
    };
    let page = person.path.as_deref().map(address);
    words(&format!("{} {reason}", person.name), text, page, feed, feed.into_iter().collect())
}

/// Words about one entry of a voice: `say` makes the headline and, behind the name, a sentence.
fn about_entry(
    desk: &Desk<'_>,
    voice: VoiceIndex,
    key: EntryKey,
    address: Address<'_>,
    say: impl FnOnce(&str, &Saying) -> (String, String),
) -> Result<Option<Words>, StoreError> {
    let Some(entry) = desk.snapshot().entry(key)? else { return Ok(None) };
    let (person, said) = (desk.person(voice), saying(&entry, String::new()));
    let (title, sentence) = say(&person.name, &said);
    let text = html! {
        p { (named(&person, address)) (sentence) }
        p { (titled(&said)) ", " (date(said.at)) "." }
        @if !said.excerpt.is_empty() && said.excerpt != said.title {
            blockquote { p { (said.excerpt) } }
        }
    };
    Ok(Some(words(&title, text, said.link.clone(), Some(key.feed), vec![key.feed])))
}

fn words(title: &str, text: Markup, link: Option<String>, feed: Option<FeedId>, mut about: Vec<FeedId>) -> Words {
    about.sort_unstable();
    about.dedup();
    Words {
        title: redact_text(title).into_owned(),
        text: clean::html(&Text::Html(text.into_string()), None),
        link: link.map(|link| redact_text(&link).into_owned()),
        feed,
        about,
    }
}

/// Who said what, each in a line.
fn sayings(said: &[(Person, Saying)], address: Address<'_>) -> Markup {
    html! {
        ul {
            @for (person, saying) in said {
                li { (named(person, address)) ": " (titled(saying)) }
            }
        }
    }
}

fn named(person: &Person, address: Address<'_>) -> Markup {
    person.path.as_deref().map_or_else(|| html! { (person.name) }, |path| link(&address(path), &person.name))
}

fn titled(saying: &Saying) -> Markup {
    saying.link.as_deref().map_or_else(|| html! { (redact_text(&saying.title)) }, |page| link(page, &saying.title))
}

fn link(address: &str, text: &str) -> Markup {
    html! { a href=(redact_text(address)) { (redact_text(text)) } }
}

/// Names in a row, at most three of them.
fn listing(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first, second] => format!("{first} and {second}"),
        [first, second, third] => format!("{first}, {second} and {third}"),
        [first, second, rest @ ..] => format!("{first}, {second} and {} others", rest.len()),
    }
}

fn date(at: Timestamp) -> String {
    at.utc().format("%-d %B %Y").to_string()
}

fn days(now: Timestamp, since: Timestamp) -> u64 {
    now.since(since).as_secs() / 86_400
}
