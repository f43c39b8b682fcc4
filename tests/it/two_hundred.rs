//! Two hundred feeds in two lists: every entry kept once, however often the feeds are asked.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Daemon, Home, opml, outline, until};
use crate::village::origin::{Origin, now};
use crate::village::site::{Format, Post, Site};
use listend::model::Timestamp;

const FEEDS: usize = 200;

/// Sites on one origin: formats in turn, 3 to 15 posts, no two at the same second. Every fourth has other bytes at each
/// request and no validators.
fn crowd(origin: &Arc<Origin>) -> Vec<Site> {
    let newest = Timestamp::from_seconds(now().seconds()).minus(Duration::from_hours(24));
    let sites = (0..FEEDS).map(|index| {
        let format = [Format::Rss, Format::Atom, Format::Json][index % 3];
        let site = Site::open(origin, &format!("/s{index}"), &format!("Site {index}"), "One of many", format);
        for post in 0..3 + index % 13 {
            let at = newest.minus(Duration::from_secs((post * FEEDS + index) as u64 * 61));
            site.publish(Post::new(&format!("p{post}"), &format!("Post {post} of {index}"), "<p>Words.</p>", at));
        }
        if index % 4 == 3 {
            site.make_restless();
        }
        site
    });
    sites.collect()
}

/// Outlines of sites in folders of thirty; the second half of each folder lies one folder deeper.
fn folders(sites: &[Site]) -> String {
    let mut outlines = String::new();
    for (number, sites) in sites.chunks(30).enumerate() {
        let _ = writeln!(outlines, "<outline text=\"Folder {number}\">");
        for (place, site) in sites.iter().enumerate() {
            if place == 15 {
                outlines.push_str("<outline text=\"Deeper\">\n");
            }
            outlines.push_str(&outline(site.name(), &site.feed()));
        }
        outlines.push_str(if sites.len() > 15 { "</outline></outline>\n" } else { "</outline>\n" });
    }
    opml(&outlines)
}

/// Every post of these sites as title and link, newest first.
fn said(sites: &[Site]) -> Vec<(String, String)> {
    let mut posts: Vec<_> =
        sites.iter().flat_map(|site| site.posts().into_iter().map(move |post| (post, site))).collect();
    posts.sort_by_key(|(post, _)| std::cmp::Reverse(post.published));
    posts.into_iter().map(|(post, site)| (post.title.clone(), site.page(&post.id))).collect()
}

fn title_and_link(item: &Value) -> (String, String) {
    (item["title"].as_str().unwrap_or_default().to_owned(), item["url"].as_str().unwrap_or_default().to_owned())
}

/// All items of a view, page after page.
pub(crate) fn all_items(daemon: &Daemon, view: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut path = format!("{view}.json?limit=500");
    loop {
        let page = daemon.get(&path).json();
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next_url"].as_str() else { return items };
        let next = url::Url::parse(next).unwrap();
        path = format!("{}?{}", next.path(), next.query().unwrap_or_default());
    }
}

/// The sum of what the status page says is stored, once every feed was read.
fn stored(daemon: &Daemon) -> Option<u64> {
    let status = daemon.status();
    let feeds = status["feeds"].as_array().unwrap();
    let all_read = feeds.len() == FEEDS && feeds.iter().all(|feed| feed["state"] == "ok");
    all_read.then(|| feeds.iter().filter_map(|feed| feed["entries"].as_u64()).sum())
}

#[test]
fn two_hundred_feeds_are_kept_once_and_followed() {
    let origin = Arc::new(Origin::start().unwrap());
    let sites = crowd(&origin);
    let home = Home::new().allowing(&[origin.address()]);
    home.write_list("followers", &folders(&sites[..120]));
    home.write_list("desired", &folders(&sites[80..]));
    let daemon = home.start();

    // Everything is there, once, in the order of time.
    let expected = said(&sites);
    assert_eq!(until("all feeds were read", || stored(&daemon)), expected.len() as u64);
    let status = daemon.status();
    for list in status["lists"].as_array().unwrap() {
        assert_eq!(
            (&list["feeds"], &list["voices"], &list["fault"]),
            (&120.into(), &120.into(), &Value::Null),
            "{list}"
        );
    }
    let newest: Vec<_> = daemon.items("/listen.json").iter().map(title_and_link).collect();
    assert_eq!(newest, expected[..100]);
    assert_eq!(daemon.get("/listen.atom").text().matches("<entry").count(), 100);
    assert_eq!(daemon.get("/listen.rss?limit=500").text().matches("<item").count(), 500);
    let followers: Vec<_> = all_items(&daemon, "/followers").iter().map(title_and_link).collect();
    assert_eq!(followers, said(&sites[..120]));
    let everything: Vec<_> = all_items(&daemon, "/listen").iter().map(title_and_link).collect();
    assert_eq!(everything, expected);

    // Five polls later nothing is doubled, and who said that nothing is new was believed.
    until("every feed was asked five times more", || {
        let counts = origin.counts();
        sites.iter().all(|site| counts.get(&site.feed_path()).is_some_and(|count| *count >= 6)).then_some(())
    });
    assert_eq!(stored(&daemon), Some(expected.len() as u64));
    let again: Vec<_> = all_items(&daemon, "/listen").iter().map(title_and_link).collect();
    assert_eq!(again, expected);
    for (index, site) in sites.iter().enumerate() {
        let statuses: BTreeSet<u16> = site.requests().iter().skip(1).map(|request| request.status).collect();
        assert_eq!(statuses, BTreeSet::from([if index % 4 == 3 { 200 } else { 304 }]), "site {index}");
    }

    // What somebody says is heard at the next poll.
    for site in [&sites[6], &sites[7], &sites[100]] {
        let at = Timestamp::from_seconds(now().seconds());
        let asked = site.requests().len();
        site.publish(Post::new("new", "Something new", "<p>Listen.</p>", at));
        until("the new entry is in the merged feed", || {
            daemon.items("/listen.json").iter().any(|item| item["url"] == site.page("new")).then_some(())
        });
        // One poll may have been under way while the post was put up.
        let polls = site.requests().len() - asked;
        assert!(polls <= 3, "{} was asked {polls} times before its entry was seen", site.name());
    }
    assert_eq!(stored(&daemon), Some(expected.len() as u64 + 3));

    // What somebody changes is changed where it stands.
    for site in [&sites[3], &sites[4], &sites[5]] {
        let place = |items: &[Value]| items.iter().position(|item| item["url"] == site.page("p0")).unwrap();
        let before = daemon.items("/listen.json");
        let position = place(&before);
        site.edit("p0", |post| {
            post.title = "Said better".to_owned();
            post.updated = now();
        });
        let after = until("the edit is in the merged feed", || {
            let items = daemon.items("/listen.json");
            (items[place(&items)]["title"] == "Said better").then_some(items)
        });
        assert_eq!(place(&after), position);
        assert_eq!(after[position]["id"], before[position]["id"]);
        assert_eq!(after.len(), before.len());
    }
    assert_eq!(stored(&daemon), Some(expected.len() as u64 + 3));

    // What somebody takes back stays heard.
    sites[9].remove("p0");
    let asked = sites[9].requests().len();
    until("the feed was asked again", || (sites[9].requests().len() >= asked + 2).then_some(()));
    assert_eq!(stored(&daemon), Some(expected.len() as u64 + 3));
}
