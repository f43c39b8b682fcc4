//! The village through its views: who is where, in which format, and what a polite client gets.

use std::collections::BTreeSet;
use std::io::Read;
use std::time::Duration;

use crate::harness::{Daemon, Home, until};
use crate::village::Village;
use crate::village::origin::now;

fn listening() -> (Village, Home, Daemon) {
    let village = Village::settle(5, now()).unwrap();
    let home = Home::new().allowing(&village.addresses());
    village.write_lists(&home.path("lists")).unwrap();
    let daemon = home.start();
    until("all sites were read", || {
        let status = daemon.status();
        let feeds = status["feeds"].as_array().unwrap();
        (feeds.len() == village.sites().count() && feeds.iter().all(|feed| feed["state"] == "ok")).then_some(())
    });
    (village, home, daemon)
}

fn links(daemon: &Daemon, path: &str) -> BTreeSet<String> {
    daemon.items(path).iter().map(|item| item["url"].as_str().unwrap().to_owned()).collect()
}

fn pages(village: &Village, slugs: &[&str]) -> BTreeSet<String> {
    let sites = slugs.iter().map(|slug| village.site(slug));
    sites.flat_map(|site| site.posts().into_iter().map(|post| site.page(&post.id))).collect()
}

#[test]
fn each_view_holds_who_belongs_there() {
    let (village, _home, daemon) = listening();
    for (path, slugs) in [
        ("/mine.json", &["porch"][..]),
        ("/followers.json", &["kiln", "shed", "stage", "beginner", "harbour", "quay", "mina", "mina-songs"]),
        ("/followers/oakland-makers.json", &["kiln", "shed"]),
        ("/desired/oakland-makers.json", &["kiln", "press"]),
        ("/desired/oakland-makers/kiln-lane.json", &["kiln"]),
        ("/voices/kiln-lane.json", &["kiln"]),
        ("/followers/mina-aldaba.json", &["mina", "mina-songs"]),
        ("/voices/mina-aldaba.json", &["mina", "mina-songs"]),
    ] {
        assert_eq!(links(&daemon, path), pages(&village, slugs), "{path}");
    }
    let everyone = links(&daemon, "/listen.json?limit=500");
    assert!(everyone.is_disjoint(&pages(&village, &["porch"])), "your own words are no listening");
    assert!(everyone.is_superset(&pages(&village, &["tidewater", "cafe", "bicycle", "benches"])));
}

#[test]
fn parameters_choose_and_pages_follow_one_another() {
    let (village, _home, daemon) = listening();
    let all = daemon.items("/listen.json?limit=500");
    assert_eq!(daemon.items("/listen.json?limit=3"), all[..3]);

    let mut walked = Vec::new();
    let mut path = "/listen.json?limit=7".to_owned();
    loop {
        let page = daemon.get(&path).json();
        walked.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next_url"].as_str() else { break };
        let next = url::Url::parse(next).unwrap();
        path = format!("{}?{}", next.path(), next.query().unwrap());
    }
    assert_eq!(walked, all, "pages of seven make the whole");

    // `MICROPHONE` is said by two, in words of their own.
    let found = links(&daemon, "/listen.json?q=MICROPHONE");
    assert!(!found.is_empty() && found.is_subset(&pages(&village, &["stage", "tidewater"])), "{found:?}");
    assert_eq!(
        links(&daemon, "/listen.json?q=microphone+fridge"),
        found.intersection(&pages(&village, &["stage"])).cloned().collect()
    );

    let voices = daemon.items("/listen.json?per_voice=1&limit=500").len();
    assert_eq!(voices, 12, "one entry of each voice: the two feeds of a person count as one");

    let since = now().minus(Duration::from_hours(24 * 7)).to_rfc3339();
    let recent = daemon.items(&format!("/listen.json?limit=500&since={since}"));
    let expected = all.iter().filter(|item| item["date_published"].as_str().unwrap() >= since.as_str()).count();
    assert!(expected > 0 && expected < all.len());
    assert_eq!(recent.len(), expected);

    for bad in ["limit=0", "limit=501", "limit=x", "since=yesterday", "per_voice=0", "before=%00", "colour=green"] {
        let answer = daemon.get(&format!("/listen.atom?{bad}"));
        assert_eq!(answer.status, 400, "{bad}");
        assert!(answer.text().contains(bad.split('=').next().unwrap()), "{}", answer.text());
    }
    let nowhere = daemon.get("/nowhere.atom");
    assert_eq!(nowhere.status, 404);
    assert!(nowhere.text().contains("/followers"), "{}", nowhere.text());
}

#[test]
fn each_format_says_what_it_is_and_is_told_once() {
    let (_village, _home, daemon) = listening();
    for (ending, media_type) in [
        ("atom", "application/atom+xml"),
        ("rss", "application/rss+xml"),
        ("json", "application/feed+json"),
        ("html", "text/html"),
        ("opml", "text/x-opml"),
    ] {
        let path = format!("/followers.{ending}");
        let first = daemon.get(&path);
        assert_eq!(first.status, 200);
        assert!(first.header("content-type").starts_with(media_type), "{path}: {}", first.header("content-type"));
        assert!(first.header("etag").starts_with('"'), "{path}: a strong validator");
        assert!(!first.header("last-modified").is_empty() && !first.header("cache-control").is_empty());
        assert_eq!(daemon.get(&path).body, first.body, "{path}: the same bytes");

        let again = daemon.get_with(&path, &[("if-none-match", first.header("etag"))]);
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        let again = daemon.get_with(&path, &[("if-modified-since", first.header("last-modified"))]);
        assert_eq!(again.status, 304, "{path}");

        let packed = daemon.get_with(&path, &[("accept-encoding", "gzip")]);
        assert_eq!(packed.header("content-encoding"), "gzip", "{path}");
        assert_ne!(packed.header("etag"), first.header("etag"), "{path}: one validator per coding");
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, first.body, "{path}");
    }
    assert!(daemon.get("/listen").header("content-type").starts_with("application/atom+xml"));
    let browser =
        daemon.get_with("/listen", &[("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")]);
    assert!(browser.header("content-type").starts_with("text/html"));
    assert!(browser.text().contains("application/atom+xml"), "the page names its feed");
}

#[test]
fn a_restart_asks_nobody_again() {
    let village = Village::settle(6, now()).unwrap();
    let home = Home::new().allowing(&village.addresses()).with("timeout = \"20s\"");
    let toml = std::fs::read_to_string(home.configuration()).unwrap();
    std::fs::write(home.configuration(), toml.replace("_interval = \"1s\"", "_interval = \"1h\"")).unwrap();
    village.write_lists(&home.path("lists")).unwrap();
    let sites = village.sites().count();
    let asked = || village.sites().map(|site| site.requests().len()).sum::<usize>();
    let read = |daemon: &Daemon| {
        let status = daemon.status();
        let feeds = status["feeds"].as_array().unwrap();
        (feeds.len() == sites && feeds.iter().all(|feed| feed["state"] == "ok")).then_some(())
    };
    for _ in 0..10 {
        let daemon = home.start();
        until("all sites were read", || read(&daemon));
        daemon.stop();
    }
    assert_eq!(asked(), sites, "ten starts, one request for each feed");
}
