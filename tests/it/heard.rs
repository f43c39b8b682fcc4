//! What entries say of others, from the feed on the wire to what the store keeps of it.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use listend::model::{EntryKey, Link, Mention, Timestamp, Way};
use listend::store::{Snapshot, Store};

use crate::harness::{Daemon, Home, opml, outline, until};
use crate::origin::{Origin, Reply, answer};

/// Feeds by path, as they are at the moment.
#[derive(Clone, Default)]
struct Feeds(Arc<Mutex<Vec<(&'static str, String)>>>);

impl Feeds {
    fn serve(&self) -> Origin {
        let feeds = self.clone();
        Origin::serve(move |request| -> Reply {
            let feeds = feeds.0.lock().unwrap();
            match feeds.iter().find(|(path, _)| request.path == *path) {
                Some((_, feed)) => answer(200, "Content-Type: application/rss+xml\r\n", feed),
                None => answer(404, "", ""),
            }
        })
    }

    /// Puts a feed at a path: its items by number, with their text, the newest first.
    fn put(&self, path: &'static str, items: &[(u32, String)]) {
        let mut text = "<rss version=\"2.0\"><channel><title>A feed</title>".to_owned();
        for (number, html) in items.iter().rev() {
            let html = html.replace('&', "&amp;").replace('<', "&lt;");
            let _ = write!(
                text,
                "<item><title>Entry {number}</title><guid isPermaLink=\"false\">{number}</guid>\
                 <author>bo@example.org (Bo)</author><description>{html}</description>\
                 <pubDate>Mon, 02 Nov 2026 10:{number:02}:00 GMT</pubDate></item>"
            );
        }
        text.push_str("</channel></rss>");
        let mut feeds = self.0.lock().unwrap();
        feeds.retain(|(known, _)| *known != path);
        feeds.push((path, text));
    }
}

fn to(address: &str) -> String {
    format!("<p>See <a href=\"{address}\">this page</a>.</p>")
}

/// Whether the stream of everyone holds so many entries, and this text.
fn shows(daemon: &Daemon, count: usize, text: &str) -> Option<()> {
    let items = daemon.items("/listen.json");
    (items.len() == count && items.iter().any(|item| item.to_string().contains(text))).then_some(())
}

/// What is stored, once the daemon is no more.
struct Stored(Snapshot);

impl Stored {
    /// Ends the daemon as a power cut does: whatever is kept was kept in one commit with what was shown.
    fn after(daemon: Daemon, home: &Home) -> Self {
        daemon.kill();
        Self(Store::open(&home.path("state"), 1 << 20).unwrap().snapshot().unwrap())
    }

    /// The titles of the entries that speak of you, in the order of their titles, and how.
    fn mentions(&self) -> Vec<(String, Mention)> {
        let mentions = self.0.mentions(None, 100).unwrap();
        let mut titled: Vec<(String, Mention)> =
            mentions.into_iter().map(|(key, mention)| (self.0.entry(key).unwrap().unwrap().title, mention)).collect();
        titled.sort_by(|a, b| a.0.cmp(&b.0));
        titled
    }

    /// The titles of the entries, and where each links to.
    fn links(&self) -> Vec<(String, Vec<Link>)> {
        let entries = self.0.all_entries(None, 100).unwrap();
        let links_of = |of: EntryKey| {
            let mut links = Vec::new();
            let look = |key: EntryKey, row: &[Link]| {
                if key == of {
                    links = row.to_vec();
                }
                true
            };
            self.0.links(of.feed, Timestamp::MIN, Timestamp::MAX, look).unwrap();
            links
        };
        entries.into_iter().map(|entry| (entry.title, links_of(entry.key))).collect()
    }
}

fn links(addresses: &[&str]) -> Vec<Link> {
    addresses.iter().map(|address| Link::to(address).unwrap()).collect()
}

#[test]
fn what_entries_say_is_stored_and_edited_with_them() {
    let feeds = Feeds::default();
    let origin = feeds.serve();
    let both = format!("{}{}", to("http://other.example/a"), to("https://me.example/post?utm_source=feed"));
    feeds.put("/ann", &[(1, both), (2, "<p>Nothing.</p>".to_owned()), (3, "As Ann <b>Example</b> says.".to_owned())]);
    feeds.put("/inbox", &[(4, "<p>Hello.</p>".to_owned())]);
    feeds.put("/mine", &[(5, to("https://me.example/post"))]);
    let home = Home::new().allowing(&[origin.address]);
    let home = home.with("[mine]\nsites = [\"https://me.example/\"]\nnames = [\"Ann Example\"]");
    for (list, path) in [("followers", "/ann"), ("inbox", "/inbox"), ("mine", "/mine")] {
        home.write_list(list, &opml(&outline(list, &origin.url(path))));
    }
    let daemon = home.start();
    until("the first entries", || shows(&daemon, 3, "Entry 1"));
    until("the inbox", || (daemon.items("/inbox.json").len() == 1).then_some(()));
    until("your own", || (daemon.items("/mine.json").len() == 1).then_some(()));
    let stored = Stored::after(daemon, &home);
    let way = |way| Mention { way, by: None };
    let expected = [("Entry 1", Way::Link), ("Entry 3", Way::Name), ("Entry 4", Way::Inbox)];
    assert_eq!(stored.mentions(), expected.map(|(title, how)| (title.to_owned(), way(how))));
    let links_of = |stored: &Stored, title: &str| {
        let found = stored.links().into_iter().find(|(of, _)| of == title);
        found.unwrap().1
    };
    assert_eq!(links_of(&stored, "Entry 1"), links(&["http://other.example/a", "http://me.example/post"]));
    assert_eq!(links_of(&stored, "Entry 2"), []);
    assert_eq!(links_of(&stored, "Entry 5"), links(&["http://me.example/post"]));
    drop(stored);

    let edited = format!("{} Edited.", to("http://other.example/b"));
    feeds.put("/ann", &[(1, edited), (2, to("http://me.example")), (3, "As Annabel Example says.".to_owned())]);
    let daemon = home.start();
    until("the edited entries", || shows(&daemon, 3, "Edited."));
    let stored = Stored::after(daemon, &home);
    let expected = [("Entry 2", Way::Link), ("Entry 4", Way::Inbox)];
    assert_eq!(stored.mentions(), expected.map(|(title, how)| (title.to_owned(), way(how))));
    assert_eq!(links_of(&stored, "Entry 1"), links(&["http://other.example/b"]));
    assert_eq!(links_of(&stored, "Entry 2"), links(&["http://me.example/"]));
}

#[test]
fn a_site_that_becomes_yours_is_heard_in_what_was_said_before() {
    let feeds = Feeds::default();
    let origin = feeds.serve();
    feeds.put("/ann", &[(1, to("http://me.example/post")), (2, to("http://other.example/"))]);
    feeds.put("/mine", &[(3, to("http://me.example/"))]);
    let home = Home::new().allowing(&[origin.address]);
    home.write_list("followers", &opml(&outline("Ann", &origin.url("/ann"))));
    let daemon = home.start();
    until("the first entries", || shows(&daemon, 2, "Entry 1"));
    let heard = |daemon: &Daemon, mentions: usize| {
        let log = daemon.log();
        let last = log.lines().rev().find(|line| line.contains("all stored entries are heard"));
        last.is_some_and(|line| line.contains(&format!("mentions={mentions}"))).then_some(())
    };
    let mine = format!(
        "<outline type=\"rss\" text=\"Me\" xmlUrl=\"{}\" htmlUrl=\"http://me.example/\"/>\n",
        origin.url("/mine")
    );
    home.write_list("mine", &opml(&mine));
    until("old entries to be heard anew", || heard(&daemon, 1));
    let stored = Stored::after(daemon, &home);
    assert_eq!(stored.mentions(), [("Entry 1".to_owned(), Mention { way: Way::Link, by: None })]);
    drop(stored);

    // What is yours no longer is forgotten.
    let daemon = home.start();
    until("your own post", || (daemon.items("/mine.json").len() == 1).then_some(()));
    home.write_list("mine", &opml(""));
    until("old entries to be heard anew", || heard(&daemon, 0));
    let stored = Stored::after(daemon, &home);
    assert_eq!(stored.mentions(), []);
    assert_eq!(stored.links().len(), 3);
}

#[test]
fn furniture_counts_for_nothing_and_is_taken_back() {
    let feeds = Feeds::default();
    let origin = feeds.serve();
    let footer = to("https://me.example/");
    let mut items: Vec<(u32, String)> = (1..=3).map(|number| (number, footer.clone())).collect();
    items[1].1.push_str(&to("https://me.example/post"));
    feeds.put("/ann", &items);
    let home = Home::new().allowing(&[origin.address]).with("[mine]\nsites = [\"https://me.example/\"]");
    home.write_list("followers", &opml(&outline("Ann", &origin.url("/ann"))));
    let daemon = home.start();
    until("the first entries", || shows(&daemon, 3, "Entry 3"));
    let stored = Stored::after(daemon, &home);
    assert_eq!(stored.mentions().len(), 3);
    drop(stored);

    items.push((4, footer));
    feeds.put("/ann", &items);
    let daemon = home.start();
    until("the fourth entry", || shows(&daemon, 4, "Entry 4"));
    let stored = Stored::after(daemon, &home);
    assert_eq!(stored.mentions(), [("Entry 2".to_owned(), Mention { way: Way::Link, by: None })]);
    assert!(stored.links().iter().all(|(_, links)| links.contains(&Link::to("https://me.example").unwrap())));
}
