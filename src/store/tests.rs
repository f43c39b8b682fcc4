//! Tests that need what is not visible from outside: a storage that fails on purpose, and texts that never went
//! through the cleaner. Everything else is in `tests/it/store.rs`.

mod disk;
mod export;
mod faults;
mod fixture;
mod join;
mod model;
mod noted;
mod relations;
mod texts;

use std::collections::BTreeMap;
use std::time::Duration;

use super::{FeedUpdate, Join, Kinship, ListNews, OpenError, Retention, Store, StoreError, Swept, TakeOver};
use crate::model::{
    About, Category, Change, CleanHtml, Contact, Enclosure, Entry, EntryKey, Feed, FeedId, FeedState, FeedUrl, Hash64,
    IdentityRule, Known, Link, ListEvent, ListEventKind, Mention, Notice, NoticeKind, Origin, Pace, PendingMove,
    Person, Said, Schedule, Timestamp, UpdatePeriod, Validators, Way, Webmention,
};

/// Everything that a store says when asked for everything.
#[derive(Clone, Debug, Default, PartialEq)]
struct Contents {
    feeds: Vec<Feed>,
    known: BTreeMap<FeedId, Vec<Known>>,
    entries: Vec<Entry>,
    said: BTreeMap<EntryKey, (Vec<Link>, Option<Mention>)>,
    lists: Vec<(String, Vec<u8>)>,
    events: Vec<ListEvent>,
    paths: Vec<(String, FeedUrl)>,
    contacts: Vec<Contact>,
    notices: Vec<Notice>,
    webmentions: Vec<Webmention>,
}

/// Reads everything, and holds the ways of reading against each other.
fn contents(store: &Store) -> Result<Contents, StoreError> {
    let feeds = store.feeds()?;
    let snapshot = store.snapshot()?;
    let mut known = BTreeMap::new();
    let mut entries = Vec::new();
    for feed in &feeds {
        assert_eq!(store.feed(feed.id)?.as_ref(), Some(feed));
        let mut stream = snapshot.entries(feed.id, None, usize::MAX)?;
        assert_eq!(stream.len(), feed.entries as usize, "entries of {feed:?}");
        assert_eq!(stream.first().map(|entry| entry.key.listed_at), feed.newest);
        stream.reverse();
        for entry in &stream {
            assert_eq!(snapshot.entry(entry.key)?.as_ref(), Some(entry));
        }
        let identities = store.known(feed.id)?;
        assert!(identities.iter().all(|known| known.seq < feed.next_seq));
        let with_text = identities.iter().filter(|known| !known.purged).map(|known| known.seq);
        let mut seqs: Vec<u32> = stream.iter().map(|entry| entry.key.seq).collect();
        seqs.sort_unstable();
        assert_eq!(with_text.collect::<Vec<_>>(), seqs, "identities and texts of feed {:?}", feed.id);
        for known in identities.iter().filter(|known| !known.purged) {
            if let Some(link) = known.link {
                let feeds = snapshot.same_link(link)?;
                assert_eq!(feeds.iter().filter(|(key, _)| key.feed == feed.id).count(), 1, "link of {known:?}");
            }
        }
        known.insert(feed.id, identities);
        entries.extend(stream);
    }
    assert_eq!(snapshot.all_entries(None, usize::MAX)?, entries);
    let mut said: BTreeMap<EntryKey, (Vec<Link>, Option<Mention>)> = BTreeMap::new();
    for feed in &feeds {
        snapshot.links(feed.id, Timestamp::MIN, Timestamp::MAX, |key, links| {
            said.entry(key).or_default().0 = links.to_vec();
            true
        })?;
    }
    for (key, mention) in snapshot.mentions(None, usize::MAX)? {
        assert_eq!(snapshot.mention(key)?, Some(mention));
        said.entry(key).or_default().1 = Some(mention);
    }
    let (lists, events, paths) = (store.lists()?, store.events(Timestamp::MIN)?, store.paths()?);
    let (contacts, notices) = (store.contacts()?, store.notices(&NoticeKind::ALL, None, usize::MAX)?);
    let web = said.iter().filter(|(_, (_, mention))| mention.is_some_and(|mention| mention.way == Way::Web));
    let webmentions =
        web.map(|(key, _)| snapshot.webmention(*key)).filter_map(Result::transpose).collect::<Result<_, _>>()?;
    Ok(Contents { feeds, known, entries, said, lists, events, paths, contacts, notices, webmentions })
}

/// The parts of a take-over, one at a time.
impl Store {
    fn add_feeds(&self, urls: &[FeedUrl], now: Timestamp) -> Result<Vec<Feed>, StoreError> {
        self.take_over(&TakeOver { urls: urls.to_vec(), ..TakeOver::default() }, now)
    }

    fn save_list(&self, name: &str, content: Option<&[u8]>, news: &ListNews) -> Result<(), StoreError> {
        let contents = vec![(name.to_owned(), content.map(<[u8]>::to_vec))];
        self.take_over(&TakeOver { contents, news: news.clone(), ..TakeOver::default() }, at(0)).map(drop)
    }

    fn remember_paths(&self, paths: &[(String, FeedUrl)]) -> Result<(), StoreError> {
        self.take_over(&TakeOver { paths: paths.to_vec(), ..TakeOver::default() }, at(0)).map(drop)
    }
}

/// Goes through all feeds; what all steps did together.
fn sweep_all(store: &Store, now: Timestamp, retention: &Retention) -> Result<Swept, StoreError> {
    let mut all = Swept::default();
    loop {
        let step = store.sweep(now, retention, all.next)?;
        all.entries += step.entries;
        all.identities += step.identities;
        all.counts
            .retain(|old| !step.feeds.contains(&old.feed) && step.counts.iter().all(|count| count.feed != old.feed));
        all.feeds.extend(step.feeds);
        all.counts.extend(step.counts);
        all.next = step.next;
        if all.next.is_none() {
            return Ok(all);
        }
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_790_000_000 + seconds)
}

fn url(path: &str) -> FeedUrl {
    FeedUrl::parse(&format!("https://example.org/{path}")).expect("it is an address")
}

fn html(text: &str) -> CleanHtml {
    CleanHtml::from_cleaner(text.to_owned())
}

/// A new entry of a feed, with everything that an entry can have.
fn change(feed: FeedId, seq: u32, listed_at: Timestamp, words: &str) -> Change {
    let now = Known {
        seq,
        listed_at,
        first_seen: listed_at.plus(Duration::from_mins(1)),
        guid: Hash64(u64::from(seq) << 32 | u64::from(feed.0)),
        link: Some(Hash64(u64::from(seq))),
        fingerprint: Hash64(words.len() as u64),
        carried_on: listed_at.days() as i32,
        purged: false,
    };
    Change { was: None, now, entry: Some(entry(feed, &now, words)) }
}

fn entry(feed: FeedId, known: &Known, words: &str) -> Entry {
    let seq = known.seq;
    Entry {
        key: EntryKey { listed_at: known.listed_at, feed, seq },
        first_seen: known.first_seen,
        guid: format!("tag:example.org,2026:{}/{seq}", feed.0),
        link: known.link.map(|_| format!("https://example.org/{}/{seq}", feed.0)),
        title: format!("Post {seq}"),
        authors: vec![Person { name: "Ann".into(), uri: Some("https://ann.example/".into()), email: None }],
        published: Some(known.listed_at),
        updated: None,
        summary: Some(html(words)),
        content: Some(html(&format!("<p>{words}</p>").repeat(1 + seq as usize % 5))),
        categories: vec![Category { term: "söme".into(), scheme: None, label: Some("Some".into()) }],
        enclosures: vec![Enclosure { url: "https://example.org/a.ogg".into(), mime: None, bytes: Some(1 << 40) }],
        comments: Some("https://example.org/c".into()),
        language: Some("de".into()),
        origin: Some(Origin { id: None, title: Some("Elsewhere".into()), link: None }),
    }
}

/// The same entry with other words.
fn edit(feed: FeedId, was: Known, words: &str) -> Change {
    let now = Known { fingerprint: Hash64(words.len() as u64 + 1), carried_on: was.carried_on + 1, ..was };
    Change { was: Some(was), now, entry: Some(entry(feed, &now, words)) }
}

/// What an entry says of others: so many links, and a mention where `way` is one.
fn said(key: EntryKey, links: u32, way: usize) -> Said {
    let link = |n: u32| Link::to(&format!("https://{n}.example/{}/{n}?{n}", n % 3)).expect("an address");
    let by = Link::to("https://ann.example/").filter(|_| links.is_multiple_of(2));
    Said { key, links: (0..links).map(link).collect(), mention: Way::ALL.get(way).map(|way| Mention { way: *way, by }) }
}

/// A feed of which every field says something.
fn talkative(feed: Feed) -> Feed {
    Feed {
        moved_to: Some(url("moved")),
        about: About {
            id: Some("urn:feed".into()),
            title: Some("Ann’s notes".into()),
            home: Some("https://example.org/".into()),
            language: Some("en".into()),
            self_link: Some("https://example.org/self".into()),
            hubs: vec!["https://hub.example/".into()],
        },
        validators: Validators {
            etag: Some(b"W/\"\xFF\"".to_vec()),
            last_modified: Some(b"yesterday".to_vec()),
            from: Some(url("from")),
        },
        body_hash: Some([7; 32]),
        identity: IdentityRule::Link,
        schedule: Schedule {
            state: FeedState::Held,
            next_poll: at(900),
            interval: Duration::new(901, 5),
            last_attempt: Some(at(1)),
            last_success: Some(at(2)),
            last_status: Some(429),
            last_error: Some("too many requests".into()),
            failures: 3,
            failing_since: Some(at(-5)),
            parser_faults: 1,
            pending_move: Some(PendingMove { target: url("target"), successes: 2 }),
            rhythm: Some(Duration::from_millis(1)),
            pace: Pace {
                ttl_minutes: Some(60),
                update_period: Some(UpdatePeriod { seconds: 86_400 }),
                skip_hours: 0x00FF_FFFF,
                skip_days: 0x7F,
            },
        },
        left_at: Some(at(100)),
        ..feed
    }
}

fn event(seconds: i64, kind: ListEventKind, voice: &str) -> ListEvent {
    ListEvent { at: at(seconds), kind, list: "desired".into(), voice: voice.into(), feeds: vec![url(voice)] }
}
