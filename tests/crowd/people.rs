//! Who is in the crowd, and what they say: made by numbers, the same in every run.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use fastrand::Rng;
use listend::daemon::now;
use listend::feeds::clean;
use listend::model::{
    Change, Entry, EntryKey, Feed, FeedId, FeedState, FeedUrl, Hash64, Known, Link, Markup, Mention, Said, Timestamp,
    Way, comparable_link,
};
use listend::store::{FeedUpdate, Store, TakeOver};
use sha2::{Digest, Sha256};

use super::{Arguments, moment};

/// Over so long their entries are spread.
const PAST: Duration = Duration::from_hours(360 * 24);
/// Feeds that are stored at once.
const FEEDS_AT_ONCE: usize = 32;
/// Entries that the cost of links is measured with.
const MEASURED_FEEDS: u32 = 200;
const SEED: u64 = 7;

/// An entry that anybody may answer: the newest of the first feed.
pub(crate) fn an_entry() -> EntryKey {
    // Nobody looks whether it is stored: a voice's name is enough to record contact with it.
    EntryKey { listed_at: Timestamp::from_seconds(1), feed: FeedId(1), seq: 1 }
}

/// Writes lists and configuration, and fills the database.
pub(crate) fn fill(home: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    std::fs::create_dir_all(home.join("lists"))?;
    let voices = arguments.voices;
    let outline = |n: u32| {
        format!("<outline text=\"Voice {n}\" xmlUrl=\"{}\" htmlUrl=\"https://v{n}.example/\"/>\n", feed_url(n))
    };
    let list = |title: &str, voices: &mut dyn Iterator<Item = u32>| {
        let outlines: String = voices.map(outline).collect();
        format!("<opml version=\"2.0\"><head><title>{title}</title></head><body>\n{outlines}</body></opml>\n")
    };
    let write = |name: &str, text: String| std::fs::write(home.join("lists").join(name), text);
    write("followers.opml", list("Followers", &mut (1..voices * 55 / 100)))?;
    write("desired.opml", list("Desired", &mut (voices * 45 / 100..voices)))?;
    let mine = format!("<outline text=\"Me\" xmlUrl=\"{}\" htmlUrl=\"https://me.example/\"/>", feed_url(0));
    write("mine.opml", format!("<opml version=\"2.0\"><head><title>Mine</title></head><body>{mine}</body></opml>\n"))?;
    std::fs::write(home.join("listend.toml"), "[server]\nlisten = \"127.0.0.1:0\"\n[websub]\nenabled = false\n")?;
    let store = Store::open(&home.join("state"), 256 << 20)?;
    store_all(&store, arguments, voices, true).map(drop)
}

/// What it takes to store entries without what they say of others and with it, in two databases by turns; in percent.
pub(crate) fn cost_of_links(arguments: &Arguments) -> anyhow::Result<(Duration, Duration, f64)> {
    let mut took = [Duration::MAX; 2];
    for _ in 0..3 {
        for (with, took) in [false, true].into_iter().zip(&mut took) {
            let home = tempfile::tempdir()?;
            let store = Store::open(home.path(), 64 << 20)?;
            *took = store_all(&store, arguments, MEASURED_FEEDS, with)?.min(*took);
        }
    }
    let share = took[1].as_secs_f64() / took[0].as_secs_f64() - 1.0;
    Ok((took[0], took[1], share * 100.0))
}

/// Stores what the first voices said; how long the commits took.
fn store_all(store: &Store, arguments: &Arguments, voices: u32, with_links: bool) -> anyhow::Result<Duration> {
    let now = now();
    let urls: Vec<FeedUrl> =
        (0..voices).map(|n| FeedUrl::parse(&feed_url(n)).context("an address")).collect::<Result<_, _>>()?;
    let feeds = store.take_over(&TakeOver { urls, ..TakeOver::default() }, now)?;
    let (mut chance, mut took) = (Rng::with_seed(SEED), Duration::ZERO);
    for (feeds, first) in feeds.chunks(FEEDS_AT_ONCE).zip((0..).step_by(FEEDS_AT_ONCE)) {
        let updates =
            feeds.iter().zip(first..).map(|(feed, n)| said_by(feed, n, arguments, now, &mut chance, with_links));
        let mut updates: Vec<FeedUpdate> = updates.collect();
        let started = moment();
        store.commit(&mut updates)?;
        took += started.elapsed();
    }
    Ok(took)
}

fn feed_url(n: u32) -> String {
    format!("https://v{n}.example/feed")
}

/// A feed after its last poll, with everything that it said.
fn said_by(
    feed: &Feed,
    n: u32,
    arguments: &Arguments,
    now: Timestamp,
    chance: &mut Rng,
    with_links: bool,
) -> FeedUpdate {
    let mut feed = feed.clone();
    feed.about.title = Some(format!("Voice {n}"));
    feed.about.home = Some(format!("https://v{n}.example/"));
    // From one post a week to one in a quarter; the next poll is far off.
    let entries = if n == 0 { 200 } else { arguments.entries / 4 + chance.u32(0..arguments.entries * 3 / 2) };
    feed.schedule.state = FeedState::Ok;
    feed.schedule.last_success = Some(now);
    feed.schedule.last_attempt = Some(now);
    feed.schedule.rhythm = Some(PAST / entries.max(1));
    feed.schedule.next_poll = now.plus(Duration::from_hours(20 + u64::from(n % 100)));
    let (mut changes, mut said) = (Vec::new(), Vec::new());
    for seq in 0..entries {
        let listed_at = now.minus(PAST.mul_f64(1.0 - (f64::from(seq) + chance.f64()) / f64::from(entries.max(1))));
        let links: Vec<String> = (0..arguments.links).map(|_| link(n, arguments.voices, chance)).collect();
        let change = post(feed.id, n, seq, listed_at, &links);
        if with_links {
            said.push(heard(EntryKey { feed: feed.id, listed_at, seq }, n, &links));
        }
        changes.push(change);
    }
    FeedUpdate { feed, changes, said, events: Vec::new() }
}

/// Where voices link to: seldom to the keeper, now and then to each other, mostly to the world.
fn link(by: u32, voices: u32, chance: &mut Rng) -> String {
    let post = chance.u32(0..50);
    match chance.u32(0..1000) {
        0..10 if by != 0 => format!("https://me.example/posts/{post}"),
        0..100 => format!("https://v{}.example/posts/{post}", 1 + chance.u32(0..voices.max(2) - 1)),
        // A few sites that everybody links to, and a long tail.
        _ => {
            let site = (chance.f64().powi(4) * 200_000.0) as u32;
            format!("https://site{site}.example/{}/{post}", chance.u32(0..40))
        }
    }
}

/// What an entry says of others, as it is heard.
fn heard(key: EntryKey, by: u32, links: &[String]) -> Said {
    let speaks_of_me = by != 0 && links.iter().any(|link| link.starts_with("https://me.example/"));
    let own = format!("https://v{by}.example/posts/{}", key.seq);
    let mut found: Vec<Link> = Vec::new();
    for link in std::iter::once(&own).chain(links).filter_map(|link| Link::to(link)) {
        if !found.contains(&link) {
            found.push(link);
        }
    }
    Said { key, links: found, mention: speaks_of_me.then_some(Mention { way: Way::Link, by: None }) }
}

/// By which an article is found, whoever carries it: the first bits of a SHA-256 of its link in comparable form.
fn article(link: &str) -> Hash64 {
    let digest = Sha256::digest(comparable_link(link).unwrap_or_default());
    Hash64(digest.iter().take(8).fold(0, |bits, &byte| bits << 8 | u64::from(byte)))
}

fn post(feed: FeedId, by: u32, seq: u32, listed_at: Timestamp, links: &[String]) -> Change {
    let mut html = String::new();
    for (n, link) in links.iter().enumerate() {
        let _ = writeln!(
            html,
            "<p>On the {n}. bench of the square I thought of what <a href=\"{link}\">they wrote the other day</a> about \
             chairs, tables and the people around them, and of how much longer a talk lasts where one can sit down. \
             There was soup, and somebody had brought a lathe; number {seq} of many.</p>"
        );
    }
    let link = format!("https://v{by}.example/posts/{seq}");
    let number = u64::from(by) << 32 | u64::from(seq);
    let now = Known {
        seq,
        listed_at,
        first_seen: listed_at,
        guid: Hash64(number.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        link: Some(article(&link)),
        fingerprint: Hash64(number),
        carried_on: listed_at.days() as i32,
        purged: false,
    };
    let entry = Entry {
        key: EntryKey { listed_at, feed, seq },
        first_seen: listed_at,
        guid: link.clone(),
        link: Some(link),
        title: format!("Voice {by} on bench {seq}"),
        authors: Vec::new(),
        published: Some(listed_at),
        updated: None,
        summary: None,
        content: Some(clean::html(&Markup::Html(html), None)),
        categories: Vec::new(),
        enclosures: Vec::new(),
        comments: None,
        language: None,
        origin: None,
    };
    Change { was: None, now, entry: Some(entry) }
}
