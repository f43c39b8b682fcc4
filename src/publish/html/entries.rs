//! Entries on a page for people: grouped by day, who said it first.

use chrono::{Datelike, Timelike};
use maud::{Markup, PreEscaped, html};

use crate::listen::page::Listed;
use crate::model::{CleanHtml, Enclosure, Timestamp};
use crate::publish::{Site, fragment, said, uri};

use super::layout::{answering, local};

/// Texts up to this many characters are shown whole, with their links.
const SHORT_CHARS: usize = 420;
/// Characters of the excerpt of a longer text.
const EXCERPT_CHARS: usize = 300;
/// The longest text that can be unfolded on the page, in bytes of HTML; longer ones are read where they stand.
const MAX_UNFOLDED_BYTES: usize = 48 * 1024;
/// All that can be unfolded on one page, in bytes of HTML, so that 500 long entries don't make a page of 25 MB.
const MAX_PAGE_UNFOLDED_BYTES: usize = 512 * 1024;
/// Tints for the faces of voices; `style.css` has one rule each.
const TINTS: u32 = 8;
/// Authors named beside the voice.
const MAX_AUTHORS: usize = 3;

/// The level of the headings of days; entries stand one below.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Level {
    /// `h2` for days, `h3` for entries.
    Second,
    /// `h3` for days, `h4` for entries.
    Third,
}

/// The entries, newest first, under the day on which they were listed.
pub(super) fn by_day(entries: &[Listed], site: &Site, level: Level) -> Markup {
    let mut left = MAX_PAGE_UNFOLDED_BYTES;
    let days = entries.chunk_by(|a, b| a.entry.key.listed_at.days() == b.entry.key.listed_at.days());
    html! {
        @for day in days {
            @if let Some(first) = day.first() {
                section.day {
                    (day_heading(first.entry.key.listed_at, level))
                    div.entries { @for listed in day { (entry(listed, site, level, &mut left)) } }
                }
            }
        }
    }
}

fn day_heading(day: Timestamp, level: Level) -> Markup {
    let date = day.utc();
    let text = html! {
        time datetime=(date.format("%Y-%m-%d")) {
            span.weekday { (date.format("%A")) } " " span.date { (date.format("%-d %B %Y")) }
        }
    };
    match level {
        Level::Second => html! { h2 { (text) } },
        Level::Third => html! { h3 { (text) } },
    }
}

fn entry(listed: &Listed, site: &Site, level: Level, left: &mut usize) -> Markup {
    let entry = &listed.entry;
    let voice = said::voice(listed);
    let link = entry.link.as_deref().and_then(uri::web_link);
    let title = said::title(entry);
    let untitled = title.is_none().then_some("untitled");
    let heading = match title {
        Some(title) => linked(link.as_deref(), &html! { (title) }),
        None => linked(link.as_deref(), &html! { "A note by " (voice) }),
    };
    html! {
        article.entry lang=[entry.language.as_deref().and_then(uri::language)] {
            (face(&voice, &listed.source.voice_path))
            (who(listed, site))
            @match level {
                Level::Second => h3 class=[untitled] dir="auto" { (heading) },
                Level::Third => h4 class=[untitled] dir="auto" { (heading) },
            }
            @if let Some(reason) = &listed.reason { p.reason dir="auto" { (reason) } }
            (words(listed, left))
            (ways_on(listed, site))
        }
    }
}

fn linked(link: Option<&str>, text: &Markup) -> Markup {
    match link {
        Some(link) => html! { a href=(link) rel="noreferrer" { (text) } },
        None => text.clone(),
    }
}

/// The first letter of a voice in a colour of its own: a face to find it by.
pub(super) fn face(voice: &str, path: &str) -> Markup {
    let tint =
        path.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) % TINTS;
    let letter: String =
        voice.chars().find(|c| c.is_alphanumeric()).map_or_else(|| "·".to_owned(), |c| c.to_uppercase().collect());
    html! { span class={ "face tint-" (tint) } aria-hidden="true" { (letter) } }
}

/// Who said it, in which circles, and when.
fn who(listed: &Listed, site: &Site) -> Markup {
    let source = &listed.source;
    let voice = said::voice(listed);
    let feed = Some(said::source_title(listed)).filter(|feed| feed.trim() != voice.trim());
    let authors: Vec<&str> = listed.entry.authors.iter().map(|person| person.name.trim()).collect();
    let authors = authors.into_iter().filter(|name| !name.is_empty() && *name != voice.trim());
    let authors: Vec<&str> = authors.take(MAX_AUTHORS).collect();
    html! {
        p.who {
            @if source.voice_path.is_empty() { span.voice { bdi { (voice) } } }
            @else { a.voice href=(local(site, &source.voice_path)) { bdi { (voice) } } }
            span.where {
                @if !authors.is_empty() { span { "by " bdi { (authors.join(", ")) } } " " }
                @if let Some(feed) = feed { span { "in " bdi { (feed) } } " " }
                @for (title, path) in &source.circles { a href=(local(site, path)) { bdi { (title) } } " " }
            }
            (when(listed))
        }
    }
}

/// The time of an entry: of the day under whose heading it stands, or the whole date where it is from another.
fn when(listed: &Listed) -> Markup {
    let time = listed.entry.published.unwrap_or_else(|| listed.entry.last_change());
    let utc = time.utc();
    let text = if time.days() == listed.entry.key.listed_at.days() {
        format!("{:02}:{:02}", utc.hour(), utc.minute())
    } else {
        format!("{} {} {}", utc.day(), utc.format("%b"), utc.format("%Y"))
    };
    html! { time datetime=(time.to_rfc3339()) { (text) } }
}

/// What it says: whole where that is short, else the beginning, and the rest folded away.
fn words(listed: &Listed, left: &mut usize) -> Markup {
    let html_of = |html: &Option<CleanHtml>| html.as_ref().map(CleanHtml::as_str).unwrap_or_default().to_owned();
    let summary = html_of(&listed.entry.summary);
    let content = html_of(&listed.entry.content);
    let long = if content.trim().is_empty() { &summary } else { &content };
    let text = fragment::text(long, SHORT_CHARS + 1);
    let is_short = text.chars().nth(SHORT_CHARS).is_none();
    if is_short && long.len() <= MAX_UNFOLDED_BYTES {
        return html! { div.said dir="auto" { (PreEscaped(fragment::for_page(long))) } };
    }
    let begins = Some(fragment::text(&summary, EXCERPT_CHARS * 2)).filter(|text| !text.is_empty());
    let excerpt = fragment::shortened(&begins.unwrap_or(text), EXCERPT_CHARS);
    let unfolded = (long.len() <= MAX_UNFOLDED_BYTES.min(*left)).then(|| fragment::for_page(long));
    if let Some(unfolded) = &unfolded {
        *left = left.saturating_sub(unfolded.len());
    }
    html! {
        p.said dir="auto" { (excerpt) }
        @if let Some(unfolded) = unfolded {
            details {
                summary { "Read it here" }
                div.said.whole dir="auto" { (PreEscaped(unfolded)) }
            }
        }
    }
}

/// Files, comments, and the way to note an answer.
fn ways_on(listed: &Listed, site: &Site) -> Markup {
    let entry = &listed.entry;
    let files = entry.enclosures.iter().filter_map(|file| Some((uri::web_link(&file.url)?, file_name(file))));
    let files: Vec<_> = files.collect();
    let comments = entry.comments.as_deref().and_then(uri::web_link);
    html! {
        @if site.contact_links || comments.is_some() || !files.is_empty() {
            ul.ways {
                @for (href, name) in files { li { a href=(href) rel="noreferrer" { (name) } } }
                @if let Some(href) = comments { li { a href=(href) rel="noreferrer" { "Comments" } } }
                @if site.contact_links {
                    li { a href=(answering(site, entry.key)) { "Answered?" } }
                }
            }
        }
    }
}

/// `Audio, 12.4 MB`.
fn file_name(file: &Enclosure) -> String {
    let kind = match file.mime.as_deref().and_then(|mime| mime.split('/').next()) {
        Some("audio") => "Audio",
        Some("video") => "Video",
        Some("image") => "Image",
        _ => "File",
    };
    match file.bytes {
        Some(bytes @ 1_000_000..) => format!("{kind}, {}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
        Some(bytes @ 1000..) => format!("{kind}, {} kB", bytes / 1000),
        _ => kind.to_owned(),
    }
}
