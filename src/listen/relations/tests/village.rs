//! A village to try relations on: lists, what was said, what was done about it.

use std::collections::HashMap;
use std::sync::Arc;

use url::Url;

use crate::config::Mine;
use crate::feeds::clean;
use crate::feeds::identity::link_hash;
use crate::listen::live::{Bound, Live};
use crate::listen::relations::{Relations, Scene};
use crate::listen::said::{Channel, Hearing, Names, said_by_feed};
use crate::lists::opml;
use crate::lists::roster::{ListInput, Roster};
use crate::model::{
    Change, Contact, ContactKind, Entry, EntryKey, Feed, FeedId, FeedUrl, Hash64, Known, Link, ListEvent,
    ListEventKind, Markup, Notice, NoticeKind, Person, Role, Timestamp, Trouble, Webmention, WebmentionKind,
};
use crate::store::{FeedUpdate, ListNews, Store, TakeOver};

/// When all feeds were fetched first; what is older was there already.
pub(super) const FIRST_FETCH: &str = "2026-09-01";
/// Now.
pub(super) const NOW: &str = "2026-11-22";

/// Noon of a day.
pub(super) fn day(date: &str) -> Timestamp {
    Timestamp::parse_rfc3339(&format!("{date}T12:00:00Z")).expect("it is a day")
}

/// Everything that relations are made from.
pub(super) struct Village {
    pub(super) store: Store,
    pub(super) live: Live,
    pub(super) relations: Relations,
    mine: Mine,
    _directory: tempfile::TempDir,
}

/// Feeds of the village stand at `http://NAME.example/feed`.
pub(super) fn feed_url(name: &str) -> FeedUrl {
    FeedUrl::parse(&format!("http://{name}.example/feed")).expect("it is an address")
}

impl Village {
    /// A village with these lists: names, and outlines as OPML has them.
    pub(super) fn with(lists: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("there is room");
        let store = Store::open(directory.path(), 1 << 20).expect("it opens");
        let mine =
            Mine { sites: vec![Url::parse("http://me.example/").expect("an address")], names: vec!["Mira".into()] };
        let village =
            Self { store, live: Live::default(), relations: Relations::default(), mine, _directory: directory };
        village.list(lists, Vec::new());
        village
    }

    /// Puts other lists in place of those that there are, and remembers what happened in them.
    pub(super) fn list(&self, lists: &[(&str, &str)], happened: Vec<ListEvent>) {
        let input = |(name, outlines): &(&str, &str)| {
            let text = format!("<opml version=\"2.0\"><head/><body>{outlines}</body></opml>");
            let opml = opml::parse(text.as_bytes()).expect("it is OPML");
            ListInput { name: (*name).to_owned(), role: Role::of_name(name), opml, fault: None }
        };
        let roster = Roster::build(lists.iter().map(input).collect());
        let urls: Vec<FeedUrl> = roster.feeds().cloned().collect();
        let news = ListNews { happened, cancelled: Vec::new() };
        let new = TakeOver { urls: urls.clone(), news, ..TakeOver::default() };
        let feeds = self.store.take_over(&new, day(FIRST_FETCH)).expect("it is stored");
        let ids: HashMap<FeedUrl, FeedId> = urls.into_iter().zip(feeds.iter().map(|feed| feed.id)).collect();
        let unknown = feeds.into_iter().filter(|feed| self.live.feed(feed.id).is_none());
        self.live.update(unknown.map(|feed| (feed, true)).collect::<Vec<_>>());
        self.live.set_roster(Arc::new(roster), ids, HashMap::new());
    }

    pub(super) fn feed(&self, name: &str) -> Feed {
        let id = self.live.bound().ids[&feed_url(name)];
        Feed::clone(&self.live.feed(id).expect("it stands in a list"))
    }

    /// Changes a feed's state.
    pub(super) fn change(&self, name: &str, change: impl FnOnce(&mut Feed)) {
        let mut feed = self.feed(name);
        change(&mut feed);
        let mut update = [FeedUpdate { feed, changes: Vec::new(), said: Vec::new(), events: Vec::new() }];
        self.store.commit(&mut update).expect("it is stored");
        let [update] = update;
        self.live.update([(update.feed, true)]);
    }

    /// A feed says something: day, title, HTML; `{link}` of the entry is made from the title.
    pub(super) fn says(&self, name: &str, date: &str, title: &str, html: &str) -> EntryKey {
        let slug = title.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        self.carries(name, date, title, &format!("http://{name}.example/{slug}"), html, Person::default())
    }

    /// The same with a link and an author of its own.
    pub(super) fn carries(
        &self,
        name: &str,
        date: &str,
        title: &str,
        link: &str,
        html: &str,
        author: Person,
    ) -> EntryKey {
        self.takes_in(name, (date, day(date).max(day(FIRST_FETCH))), title, link, html, author)
    }

    /// An entry that is seen on a later day than it stands at.
    pub(super) fn seen_later(&self, name: &str, date: &str, seen: &str, title: &str) {
        self.takes_in(name, (date, day(seen)), title, "http://late.example/", "", Person::default());
    }

    fn takes_in(
        &self,
        name: &str,
        (date, first_seen): (&str, Timestamp),
        title: &str,
        link: &str,
        html: &str,
        author: Person,
    ) -> EntryKey {
        let feed = self.feed(name);
        let key = EntryKey { listed_at: day(date), feed: feed.id, seq: feed.next_seq };
        let entry = Entry {
            key,
            first_seen,
            guid: format!("{name} {}", key.seq),
            link: Some(link.to_owned()),
            title: title.to_owned(),
            authors: if author == Person::default() { Vec::new() } else { vec![author] },
            published: Some(key.listed_at),
            updated: None,
            summary: None,
            content: Some(clean::html(&Markup::Html(html.to_owned()), None)),
            categories: Vec::new(),
            enclosures: Vec::new(),
            comments: None,
            language: None,
            origin: None,
        };
        let bound = self.live.bound();
        let (sites, names) = (self.relations.sites(&self.live, &bound, &self.mine), Names::of(&self.mine));
        let hearing = Hearing { sites: &sites, names: &names, channel: Channel::of(&bound, &feed) };
        let snapshot = self.store.snapshot().expect("it is open");
        let said = said_by_feed(&snapshot, feed.id, &[&entry], &hearing).expect("it can be read");
        let now = Known {
            seq: key.seq,
            listed_at: key.listed_at,
            first_seen: entry.first_seen,
            guid: Hash64(u64::from(key.seq)),
            link: Some(link_hash(link)),
            fingerprint: Hash64(0),
            carried_on: 0,
            purged: false,
        };
        let changes = vec![Change { was: None, now, entry: Some(entry) }];
        let mut update = [FeedUpdate { feed, changes, said, events: Vec::new() }];
        self.store.commit(&mut update).expect("it is stored");
        let [update] = update;
        self.live.update([(update.feed, true)]);
        self.live.facts_changed();
        key
    }

    /// A page mentions one of yours.
    pub(super) fn webmention(&self, date: &str, kind: WebmentionKind, source: &str, target: &str, author: Person) {
        let seq = day(date).days() as u32;
        let webmention = Webmention {
            key: EntryKey { listed_at: day(date), feed: Webmention::FEED, seq },
            source: source.to_owned(),
            target: target.to_owned(),
            kind,
            author,
            title: String::new(),
            excerpt: clean::html(&Markup::Html("<p>Well said.</p>".to_owned()), None),
            published: Some(day(date)),
            verified: day(date),
        };
        self.store.keep_webmention(&webmention).expect("it is stored");
        self.live.facts_changed();
    }

    /// Contact is recorded.
    pub(super) fn contact(&self, date: &str, kind: ContactKind, about: EntryKey, by: Option<&str>, note: &str) {
        let contact = Contact {
            at: day(date),
            kind,
            note: note.to_owned(),
            about,
            by: by.and_then(Link::to),
            title: "As it was".to_owned(),
        };
        self.store.keep_contact(&contact).expect("it is stored");
        self.live.facts_changed();
    }

    /// Something is told of a voice by one of its feeds.
    pub(super) fn tell(&self, date: &str, kind: NoticeKind, name: &str, title: &str) -> EntryKey {
        let feed = self.feed(name).id;
        let key = EntryKey { listed_at: day(date), feed, seq: Notice::FIRST_SEQ };
        let text = clean::html(&Markup::Text(title.to_owned()), None);
        let mark = Hash64(u64::from(feed.0));
        let notice = Notice { key, kind, mark, title: title.to_owned(), text, link: None, about: vec![feed] };
        self.store.tell(&[notice]).expect("it is stored");
        self.live.facts_changed();
        key
    }

    /// Asks something of the relations, as they are at [`NOW`].
    pub(super) fn ask<T>(&self, question: impl FnOnce(&Relations, &Scene<'_>) -> T) -> T {
        self.ask_at(NOW, question)
    }

    /// The same at noon of a day.
    pub(super) fn ask_at<T>(&self, date: &str, question: impl FnOnce(&Relations, &Scene<'_>) -> T) -> T {
        let (snapshot, bound) = (self.store.snapshot().expect("it is open"), self.live.bound());
        let scene = Scene {
            store: &self.store,
            snapshot: &snapshot,
            live: &self.live,
            bound: &bound,
            mine: &self.mine,
            now: day(date),
        };
        question(&self.relations, &scene)
    }

    pub(super) fn bound(&self) -> Arc<Bound> {
        self.live.bound()
    }
}

/// Somebody who joined a list, became a follower or left.
pub(super) fn event(date: &str, kind: ListEventKind, list: &str, name: &str) -> ListEvent {
    ListEvent { at: day(date), kind, list: list.to_owned(), voice: name.to_owned(), feeds: vec![feed_url(name)] }
}

/// An author with a page.
pub(super) fn author(name: &str, uri: &str) -> Person {
    Person { name: name.to_owned(), uri: (!uri.is_empty()).then(|| uri.to_owned()), email: None }
}

/// A feed that posts every so many days, and one that has fallen silent.
pub(super) fn rhythm(days: u64) -> impl FnOnce(&mut Feed) {
    move |feed| feed.schedule.rhythm = Some(std::time::Duration::from_hours(24 * days))
}

pub(super) fn silent(feed: &mut Feed) {
    feed.trouble = Some(Trouble::Silent);
}
