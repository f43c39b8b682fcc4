//! What a visit changed in a feed's health, and the words in which that is told. Pure: everything follows from the feed
//! before and after, and from the time.
//!
//! A trouble is told when it begins and when it gets worse, not at each failure; and when it is over. What was so before
//! anybody listened is no news: a feed that had fallen silent years ago is told only when it speaks again.

use std::fmt::Write as _;
use std::time::Duration;

use crate::feeds::clean;
use crate::listen::live::Bound;
use crate::listen::page::Source;
use crate::listen::view;
use crate::lists::roster::List;
use crate::model::{
    CleanHtml, EntryKey, Feed, FeedState, HealthEvent, HealthKind, Markup, Timestamp, Trouble, redact_text,
};

const DAY: Duration = Duration::from_hours(24);
/// How long a feed has to fail to be told of, and to be told of again.
const BROKEN_AFTER: [(Duration, Trouble); 3] = [
    (Duration::from_hours(30 * 24), Trouble::BrokenForAMonth),
    (Duration::from_hours(7 * 24), Trouble::BrokenForAWeek),
    (DAY, Trouble::BrokenForADay),
];
/// A feed is silent after so many times its rhythm…
const SILENT_RHYTHMS: u32 = 5;
/// …and not before this.
const SILENT_AT_LEAST: Duration = Duration::from_hours(30 * 24);

/// How a feed came to its address in this visit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Address {
    /// It has it still.
    #[default]
    Kept,
    /// Its server sent us on for good.
    Moved,
    /// A page stood there, which named the feed.
    Found,
}

/// Something that happened to a feed in a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It has got into a trouble, or into a worse one.
    Got(Trouble),
    /// It is out of this trouble.
    OutOf(Trouble),
    /// It has another address.
    At(Address),
}

/// The trouble that a feed is known to be in after a visit, and what happened in it.
///
/// `after` is the feed after the visit, its newest entry included; its `trouble` is not looked at.
pub fn after_visit(before: &Feed, after: &Feed, address: Address, now: Timestamp) -> (Option<Trouble>, Vec<Happening>) {
    let mut happened = Vec::new();
    // Moving back to where the list says that it is asks nothing of anybody.
    if address != Address::Kept && after.moved_to.is_some() && after.moved_to != before.moved_to {
        happened.push(Happening::At(address));
    }
    let known = before.trouble;
    let is_well = after.schedule.state == FeedState::Ok;
    let now_known = match (known, trouble(after, now)) {
        (Some(Trouble::Silent), None) if is_well => {
            // It may have spoken between two visits, through a hub; or its rhythm alone is seen otherwise now.
            if !silent_by(before.schedule.rhythm, after.newest, now) {
                happened.push(Happening::OutOf(Trouble::Silent));
            }
            None
        }
        (Some(known), found @ (None | Some(Trouble::Silent))) if is_well && known.is_broken() => {
            happened.push(Happening::OutOf(known));
            found
        }
        (None, Some(Trouble::Silent)) => {
            let last_heard = before.schedule.last_success;
            if last_heard.is_some_and(|heard| !is_silent(before, heard)) {
                happened.push(Happening::Got(Trouble::Silent));
            }
            Some(Trouble::Silent)
        }
        (known, Some(found)) if known.is_none_or(|known| found > known) => {
            happened.push(Happening::Got(found));
            Some(found)
        }
        (known, _) => known,
    };
    (now_known, happened)
}

/// The trouble that a feed is in, by its schedule.
fn trouble(feed: &Feed, now: Timestamp) -> Option<Trouble> {
    let broken = broken_since(feed).and_then(|since| {
        let broken_for = now.since(since);
        BROKEN_AFTER.into_iter().find(|(after, _)| broken_for >= *after).map(|(_, trouble)| trouble)
    });
    match feed.schedule.state {
        FeedState::New => None,
        FeedState::Ok => is_silent(feed, now).then_some(Trouble::Silent),
        FeedState::Backoff | FeedState::Held => broken,
        FeedState::Quarantined => broken.max(Some(Trouble::Quarantined)),
        FeedState::Gone => Some(Trouble::Gone),
    }
}

/// Since when nothing good comes. Being told to wait counts no failure, yet nothing is heard either.
fn broken_since(feed: &Feed) -> Option<Timestamp> {
    let schedule = &feed.schedule;
    schedule.failing_since.or_else(|| schedule.last_success.filter(|_| schedule.state == FeedState::Held))
}

fn is_silent(feed: &Feed, at: Timestamp) -> bool {
    silent_by(feed.schedule.rhythm, feed.newest, at)
}

/// Whether somebody of this rhythm, who spoke last at `newest`, counts as silent at an instant.
pub(in crate::listen) fn silent_by(rhythm: Option<Duration>, newest: Option<Timestamp>, at: Timestamp) -> bool {
    let (Some(rhythm), Some(newest)) = (rhythm, newest) else { return false };
    at.since(newest) > SILENT_AT_LEAST.max(rhythm.saturating_mul(SILENT_RHYTHMS))
}

/// The events of a visit, in their order, for whom the roster says it is.
pub fn events(before: &Feed, after: &Feed, happened: &[Happening], bound: &Bound, now: Timestamp) -> Vec<HealthEvent> {
    if happened.is_empty() {
        return Vec::new();
    }
    let source = view::source(bound, after);
    let lists = bound.subscriptions_of(after).map(|(list, _)| list);
    let mut lists: Vec<&str> = lists.map(|list: &List| list.title.as_str()).collect();
    lists.dedup();
    let seqs = HealthEvent::FIRST_SEQ..;
    let told = seqs.zip(happened).map(|(seq, happening)| {
        let (kind, title, words) = words(before, after, *happening, &source, now);
        HealthEvent {
            key: EntryKey { listed_at: now, feed: after.id, seq },
            kind,
            list: None,
            title: redact_text(&title).into_owned(),
            text: text(&words, &about(after, &source, &lists)),
        }
    });
    told.collect()
}

/// A list that cannot be read, or that can be read again (no `fault`).
pub fn list_event(name: &str, title: &str, fault: Option<&str>, now: Timestamp, seq: u32) -> HealthEvent {
    let (kind, title, words) = match fault {
        Some(fault) => (
            HealthKind::ListUnreadable,
            format!("The list {title} cannot be read"),
            vec![
                format!("{}.", upper(fault.trim_end_matches('.'))),
                format!("What {name}.opml said last stays in force until it is mended: nobody is forgotten."),
            ],
        ),
        None => (
            HealthKind::ListReadable,
            format!("The list {title} can be read again"),
            vec![format!("What {name}.opml says is in force.")],
        ),
    };
    HealthEvent {
        key: EntryKey { listed_at: now, feed: HealthEvent::NO_FEED, seq: HealthEvent::FIRST_SEQ + seq },
        kind,
        list: Some(name.to_owned()),
        title: redact_text(&title).into_owned(),
        text: text(&words, ""),
    }
}

/// The kind of a happening, its headline, and its sentences.
fn words(
    before: &Feed,
    after: &Feed,
    happening: Happening,
    source: &Source,
    now: Timestamp,
) -> (HealthKind, String, Vec<String>) {
    let who = if source.voice.is_empty() { &source.title } else { &source.voice };
    let schedule = &after.schedule;
    let reason = schedule.last_error.as_deref().unwrap_or("no reason was given");
    match happening {
        Happening::Got(Trouble::Silent) => {
            let rhythm = days(schedule.rhythm.unwrap_or_default());
            let words = vec![
                format!("Its feed is in order, but the newest entry is from {}.", date(after.newest, now)),
                format!("Before that it had something to say {}.", every(rhythm)),
                "Perhaps they write elsewhere now, or would be glad to hear that somebody misses them.".to_owned(),
            ];
            (HealthKind::Silent, format!("{who} has fallen silent"), words)
        }
        Happening::Got(Trouble::Gone) => {
            let words = vec![
                format!("{}, and said so again a day later.", upper(reason)),
                "It is asked no more; its entries stay.".to_owned(),
                "If you find where they write now, put that address into your list; else take them out of it."
                    .to_owned(),
            ];
            (HealthKind::Gone, format!("{who} is gone"), words)
        }
        Happening::Got(Trouble::Quarantined) => {
            let words = vec![
                format!("Three times in a row the feed could not be read: {reason}."),
                "It is asked once a day until it can be read again.".to_owned(),
                "Its owner may not know: a line to them helps.".to_owned(),
            ];
            (HealthKind::Quarantined, format!("{who} sends what cannot be read"), words)
        }
        Happening::Got(_) => {
            let since = broken_since(after).unwrap_or(now);
            let broken_for = match days(now.since(since)) {
                1 => "a day".to_owned(),
                days => format!("{days} days"),
            };
            let words = vec![
                format!("Nothing has come since {}: {reason}.", date(Some(since), now)),
                "It is asked again by itself, ever more rarely.".to_owned(),
                advice(after).to_owned(),
            ];
            (HealthKind::Broken, format!("{who} has not been heard for {broken_for}"), words)
        }
        Happening::OutOf(Trouble::Silent) => {
            let silence = now.since(before.newest.unwrap_or(now));
            let silence =
                if silence > SILENT_AT_LEAST { format!("{} days of", days(silence)) } else { "a long".to_owned() };
            let words = vec![format!("There is something new, after {silence} silence. Say hello?")];
            (HealthKind::Back, format!("{who} speaks again"), words)
        }
        Happening::OutOf(_) => {
            let mut words = vec!["Its feed can be read again.".to_owned()];
            if let Some(since) = broken_since(before) {
                words.push(format!("Nothing had come since {}.", date(Some(since), now)));
            }
            (HealthKind::Back, format!("{who} is back"), words)
        }
        Happening::At(Address::Found) => {
            let words = vec![
                format!(
                    "The address in your list is a page. Its page names its feed at {}, which is asked from now on.",
                    after.address()
                ),
                "Your list is left alone: put the feed's address there when you like.".to_owned(),
            ];
            (HealthKind::Found, format!("The feed of {who} was found"), words)
        }
        Happening::At(_) if is_upgrade(before, after) => {
            let words = vec![
                "Its feed is to be had over https now, and is asked there.".to_owned(),
                "Nothing else has changed: put https into your list when you like.".to_owned(),
            ];
            (HealthKind::Moved, format!("{who} has moved to https"), words)
        }
        Happening::At(_) => {
            let words = vec![
                format!("Its feed is at {} now, and is asked there.", after.address()),
                "Its history stays, and your list is left alone: put the new address there when you like.".to_owned(),
            ];
            (HealthKind::Moved, format!("{who} has moved"), words)
        }
    }
}

/// Whether nothing in the address has changed but http to https.
fn is_upgrade(before: &Feed, after: &Feed) -> bool {
    let (old, new) = (before.address().as_str(), after.address().as_str());
    old.strip_prefix("http:").is_some_and(|old| new.strip_prefix("https:") == Some(old))
}

/// What the keeper of the list can do about a feed that fails.
fn advice(feed: &Feed) -> &'static str {
    match feed.schedule.last_status {
        Some(401) => "It wants a password: ask its owner for one, and put it into the address in your list.",
        Some(403) => {
            "It does not let us in. Its owner can, and sees who asks where fetch.contact names a page of yours."
        }
        Some(404 | 410) => {
            "It may have moved without a word: look for its feed on its home page, and put that into your list."
        }
        Some(429) => {
            "It is asked too often for its taste, perhaps by others on this network too. It will be asked later."
        }
        Some(200..=299) => {
            "What stands there is no feed: look for the feed on its home page, and put that into your list."
        }
        Some(_) => "Its owner may not know: a line to them helps.",
        None => {
            "If its home page is out of reach too, the site may be down or closed. Otherwise, check the address in your list."
        }
    }
}

/// Whose feed it is, as the last paragraph.
fn about(feed: &Feed, source: &Source, lists: &[&str]) -> String {
    let mut html = String::new();
    let address = feed.url.to_string();
    push(&mut html, "Feed: <a href=\"", &address, "\">");
    push(&mut html, "", &source.title, "</a>");
    push(&mut html, ", <code>", &address, "</code>.");
    if let Some(home) = &source.home {
        push(&mut html, " Home: <a href=\"", home, "\">");
        push(&mut html, "", home, "</a>.");
    }
    if !lists.is_empty() {
        push(&mut html, " In ", &lists.join(", "), ".");
    }
    html
}

/// Pushes a text between two pieces of HTML, without credentials and escaped.
fn push(html: &mut String, open: &str, text: &str, close: &str) {
    html.push_str(open);
    for c in redact_text(text).chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            c => html.push(c),
        }
    }
    html.push_str(close);
}

fn text(words: &[String], about: &str) -> CleanHtml {
    let mut html = String::new();
    push(&mut html, "<p>", &words.join(" "), "</p>");
    if !about.is_empty() {
        // Writing to a string never fails.
        let _ = write!(html, "<p>{about}</p>");
    }
    clean::html(&Markup::Html(html), None)
}

fn upper(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn days(length: Duration) -> u64 {
    length.as_secs() / DAY.as_secs()
}

fn every(days: u64) -> String {
    match days {
        0 | 1 => "every day".to_owned(),
        days => format!("every {days} days"),
    }
}

fn date(time: Option<Timestamp>, now: Timestamp) -> String {
    time.unwrap_or(now).utc().format("%-d %B %Y").to_string()
}

#[cfg(test)]
mod tests;
