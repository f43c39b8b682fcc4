//! What happens to feeds themselves: each thing told once, in every format, with no secret, over restarts; and the
//! status page beside it.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use listend::model::{Feed, FeedState, Trouble};
use listend::store::{FeedUpdate, Store};
use serde_json::Value;

use crate::harness::{Daemon, Home, opml, outline, python, until};
use crate::village::origin::{Origin, Reply, now};

const DAY: Duration = Duration::from_hours(24);

fn rss(title: &str, items: &str) -> Reply {
    let head = format!("<rss version=\"2.0\"><channel><title>{title}</title><link>https://{title}.example/</link>");
    Reply::ok("application/rss+xml", format!("{head}{items}</channel></rss>")).without_validators()
}

/// An item of so many days ago.
fn item(id: &str, days: u64) -> String {
    let date = now().minus(DAY * days as u32).to_rfc822();
    format!("<item><guid isPermaLink=\"false\">{id}</guid><title>{id}</title><pubDate>{date}</pubDate></item>")
}

/// A page without the daemon's own address: the next start gets another port.
fn page(daemon: &Daemon, path: &str) -> String {
    let answer = daemon.get(path);
    assert_eq!(answer.status, 200, "{path}");
    answer.text().replace(daemon.url("").trim_end_matches('/'), "")
}

/// The titles of what was told, newest first.
fn told(daemon: &Daemon) -> Vec<String> {
    daemon.items("/health.json?limit=500").iter().map(|item| item["title"].as_str().unwrap().to_owned()).collect()
}

/// Changes the stored feeds of a daemon that does not run, by the last segment of their addresses.
fn change(home: &Home, change: impl Fn(&str, Feed) -> Option<Feed>) {
    let store = Store::open(&home.path("state"), 1 << 20).unwrap();
    let changed = store.feeds().unwrap().into_iter().filter_map(|feed| {
        let name = feed.url.as_str().rsplit('/').next().unwrap().to_owned();
        let mut feed = change(&name, feed)?;
        feed.schedule.next_poll = now();
        Some(FeedUpdate { feed, changes: vec![], said: Vec::new(), events: vec![] })
    });
    store.commit(&mut changed.collect::<Vec<_>>()).unwrap();
}

/// As if it had failed for so long, and was last asked an hour after it began to.
fn failing_for(feed: Feed, long: Duration, state: FeedState) -> Feed {
    let mut feed = feed;
    let since = now().minus(long);
    feed.schedule.state = state;
    feed.schedule.failing_since = Some(since);
    feed.schedule.last_attempt = Some(since.plus(Duration::from_hours(1)));
    // Asked again within seconds.
    feed.schedule.failures = 0;
    feed
}

/// Feeds with these names on an origin, all of them well and read once; the second has a password.
fn settled(origin: &Origin, names: &[&str]) -> Home {
    let home = Home::new().allowing(&[origin.address()]);
    let mut outlines = String::new();
    for (at, name) in names.iter().enumerate() {
        // One a day until three days ago; one fell silent two months ago, which is no news when we come.
        let last = if *name == "stage" { 60 } else { 3 };
        let items: String = (last..last + 6).map(|days| item(&format!("{name}-{days}"), days)).collect();
        origin.serve(&format!("/{name}"), rss(name, &items));
        let url = origin.url(&format!("/{name}"));
        let url = if at == 1 { url.replace("http://", "http://ann:s3cret@") } else { url };
        outlines.push_str(&outline(&name.to_uppercase(), &url));
    }
    home.write_list("followers", &opml(&outlines));
    let daemon = home.start();
    until("all feeds were read", || {
        let status = daemon.status();
        let feeds = status["feeds"].as_array().unwrap();
        (feeds.len() == names.len() && feeds.iter().all(|feed| feed["state"] == "ok")).then_some(())
    });
    assert!(told(&daemon).is_empty(), "nothing has happened");
    assert!(daemon.get("/health.html").text().contains("Nothing to report."));
    daemon.stop();
    home
}

/// Breaks some, mends some, moves one, and starts the daemon again.
fn eventful(origin: &Origin) -> (Home, Daemon) {
    let home = settled(origin, &["kiln", "night", "cafe", "quay", "bench", "stage", "harbour", "well"]);
    origin.serve("/kiln", Reply::redirect(301, &origin.url("/kiln-2")));
    origin.serve("/kiln-2", rss("kiln", &item("kiln-3", 3)));
    origin.serve("/night", Reply::status(404));
    origin.serve("/bench", Reply::status(410));
    change(&home, |name, mut feed| {
        match name {
            "night" => return Some(failing_for(feed, DAY * 8, FeedState::Backoff)),
            "cafe" | "quay" => {
                let (state, trouble) = match name {
                    "cafe" => (FeedState::Backoff, Trouble::BrokenForADay),
                    _ => (FeedState::Quarantined, Trouble::Quarantined),
                };
                feed = failing_for(feed, DAY * 3, state);
                feed.trouble = Some(trouble);
            }
            "bench" => {
                feed.schedule.last_status = Some(410);
                feed.schedule.state = FeedState::Backoff;
                feed.schedule.failing_since = Some(now().minus(DAY));
                feed.schedule.last_attempt = Some(now().minus(DAY));
            }
            // As if it had been heard last when it had just spoken.
            "stage" => {
                feed.schedule.last_success = feed.newest.map(|newest| newest.plus(DAY));
                feed.trouble = None;
            }
            _ => return None,
        }
        Some(feed)
    });
    let daemon = home.start();
    (home, daemon)
}

const EXPECTED: [&str; 6] = [
    "BENCH is gone",
    "CAFE is back",
    "KILN has moved",
    "NIGHT has not been heard for 8 days",
    "QUAY is back",
    "STAGE has fallen silent",
];

fn all_told(daemon: &Daemon) -> Vec<String> {
    until("everything is told", || {
        let mut told = told(daemon);
        told.sort();
        (told.len() >= EXPECTED.len()).then_some(told)
    })
}

#[test]
fn what_happens_to_feeds_is_told_once_in_every_format() {
    let origin = Origin::start().unwrap();
    let (home, daemon) = eventful(&origin);
    assert_eq!(all_told(&daemon), EXPECTED);

    let items = daemon.items("/health.json");
    let of = |title: &str| items.iter().find(|item| item["title"].as_str().unwrap().starts_with(title)).unwrap();
    let night = of("NIGHT")["content_html"].as_str().unwrap();
    assert!(night.contains("the server has no such page (HTTP 404)") && night.contains("In A list."), "{night}");
    assert!(night.contains("href=\"https://night.example/\""), "{night}");
    assert_eq!(of("NIGHT")["url"], daemon.url("/voices/night"));
    assert!(of("KILN")["content_html"].as_str().unwrap().contains(&origin.url("/kiln-2")));
    assert_eq!(of("CAFE")["tags"][0], "back");

    let dates = items.iter().map(|item| item["date_published"].as_str().unwrap());
    assert!(dates.is_sorted_by(|a, b| a >= b), "newest first");
    assert_eq!(daemon.items("/health.json?q=kiln+moved").len(), 1);
    assert_eq!(daemon.items("/health.json?limit=2"), items[..2]);
    let next = daemon.get("/health.json?limit=2").json()["next_url"].as_str().unwrap().to_owned();
    let next = next.strip_prefix(&daemon.url("")).unwrap().to_owned();
    assert_eq!(daemon.items(&next), items[2..4]);
    assert!(daemon.items("/health.json?since=2099-01-01T00:00:00Z").is_empty());

    let (formats, directory) = (["atom", "rss", "json", "html", "opml"], home.path("told"));
    fs::create_dir(&directory).unwrap();
    let first: BTreeMap<&str, String> =
        formats.into_iter().map(|ending| (ending, page(&daemon, &format!("/health.{ending}")))).collect();
    for (ending, text) in &first {
        assert!(!text.contains("s3cret"), "{ending}");
        let file = directory.join(format!("health.{ending}"));
        fs::write(&file, daemon.get(&format!("/health.{ending}")).body).unwrap();
        let Some(mut python) = python() else { continue };
        let kind = if *ending == "html" { "page" } else { ending };
        let checked = python.arg("tests/validate.py").arg(kind).arg(file).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
    let concerned = &first["opml"];
    assert_eq!((concerned.matches("<outline").count(), concerned.contains("/well")), (6, false), "{concerned}");
    assert!(first["html"].contains("<a class=\"voice\" href=\"/voices/night\">"));

    // Two feeds are broken now, and pages say so; the one that is well does not.
    assert!(daemon.get("/").text().contains("<a href=\"/health.html\">2 feeds need a look</a>"));
    // The voice's own page begins with what is known of it; the river alone stands behind a parameter.
    let river = daemon.get("/voices/night.html?since=2001-01-01T00:00:00Z");
    assert!(river.text().contains(">1 feed needs a look</a>"));
    assert!(!daemon.get("/voices/well.html").text().contains("a look</a>"));

    daemon.stop();
    let daemon = home.start();
    until("everybody was asked again", || {
        let status = daemon.status();
        let feeds = status["feeds"].as_array().unwrap().clone();
        let asked_twice = |feed: &Value| feed["state"] == "gone" || feed["recent"].as_array().unwrap().len() > 2;
        feeds.iter().all(asked_twice).then_some(())
    });
    for (ending, text) in &first {
        assert_eq!(page(&daemon, &format!("/health.{ending}")), *text, "a restart doubles nothing and changes no word");
    }

    // What is over is told too, and the page is made anew for it.
    origin.serve("/night", rss("night", &item("night-3", 3)));
    until("it is back", || told(&daemon).contains(&"NIGHT is back".to_owned()).then_some(()));
    until("the front page knows", || daemon.get("/").text().contains(">1 feed needs a look</a>").then_some(()));
}

#[test]
fn a_list_that_cannot_be_read_is_told_once_and_when_it_can_again() {
    let home = Home::new();
    let good = opml("<outline text=\"Kiln\"/>\n");
    home.write_list("desired", &good);
    let daemon = home.start();
    home.write_list("desired", &good[..good.len() - 20]);
    until("the fault is told", || (told(&daemon) == ["The list A list cannot be read"]).then_some(()));
    let event = daemon.items("/health.json").remove(0);
    assert_eq!(event["url"], daemon.url("/desired"));
    assert!(event["content_html"].as_str().unwrap().contains("What desired.opml said last stays in force"), "{event}");
    let status = daemon.status();
    assert!(status["lists"][0]["fault"].is_string() && status["lists"][0]["warnings"].is_array(), "{status}");
    assert!(daemon.get("/status").text().contains("Lists that need a look"));
    daemon.stop();

    let daemon = home.start();
    assert_eq!(told(&daemon), ["The list A list cannot be read"], "a restart doubles nothing");
    home.write_list("desired", &good);
    let both = ["The list A list can be read again", "The list A list cannot be read"];
    until("the end of it is told", || (told(&daemon) == both).then_some(()));
    daemon.stop();
    assert_eq!(told(&home.start()), both);
}

#[test]
fn the_status_page_shows_each_feed_once_and_can_be_narrowed() {
    let origin = Origin::start().unwrap();
    let home = settled(&origin, &["kiln", "night", "cafe"]);
    let mut many = outline("Kiln again", &origin.url("/kiln"));
    for n in 0..230 {
        many.push_str(&outline(&format!("Nobody {n}"), &format!("http://127.0.0.1:9/{n}")));
    }
    home.write_list("many", &opml(&many));
    origin.serve("/night", Reply::status(500));
    let daemon = home.start();
    until("all of them were asked", || {
        let status = daemon.status();
        let feeds = status["feeds"].as_array().unwrap();
        let is_asked = |feed: &Value| feed["state"] == "backoff" || feed["last_success"].is_string();
        let night = feeds.iter().find(|feed| feed["url"].as_str().unwrap().ends_with("/night")).unwrap();
        (feeds.len() == 233 && feeds.iter().all(is_asked) && night["state"] == "backoff").then_some(())
    });
    let rows = |path: &str| daemon.get(path).text().matches("<th scope=\"row\">").count();
    assert_eq!(rows("/status"), 200);
    assert_eq!(rows("/status?page=2"), 33);
    assert_eq!(rows("/status?page=99"), 33, "the last page is the last");
    assert_eq!(rows("/status?state=ok"), 2);
    assert_eq!(rows("/status?list=followers"), 3);
    assert_eq!(rows("/status?list=followers&state=backoff"), 1);
    assert_eq!(rows("/status?state=gone"), 0);
    for bad in ["state=well", "list=nowhere", "page=0", "page=x", "colour=red"] {
        let answer = daemon.get(&format!("/status?{bad}"));
        assert_eq!(answer.status, 400, "{bad}");
        assert!(answer.text().contains(bad.split('=').next().unwrap()), "{}", answer.text());
    }
    let page = daemon.get("/status?list=followers").text();
    assert!(page.contains("the server has a fault (HTTP 500)") && page.contains("<svg class=\"plot\" role=\"img\""));
    assert!(!page.contains("s3cret") && !daemon.get("/status.json").text().contains("s3cret"));
    let first = page.find("NIGHT").or(page.find("/night")).unwrap();
    assert!(first < page.find("/kiln").unwrap(), "trouble comes first");

    let status = daemon.status();
    let night = status["feeds"].as_array().unwrap().iter().find(|feed| feed["last_status"] == 500).unwrap();
    let recent = night["recent"].as_array().unwrap();
    assert_eq!((recent[0]["status"].as_u64(), recent[0]["new"].as_u64()), (Some(200), Some(6)), "{night}");
    assert_eq!(recent[0]["outcome"], "read");
    let last = recent.last().unwrap();
    assert_eq!((last["outcome"].as_str(), last["status"].as_u64()), (Some("refused"), Some(500)));
    assert!(last["at"].as_str().unwrap() > recent[0]["at"].as_str().unwrap());
    if let Some(mut python) = python() {
        let file = home.path("status.html");
        fs::write(&file, daemon.get("/status").body).unwrap();
        let checked = python.args(["tests/validate.py", "page"]).arg(file).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
}

#[test]
fn health_is_for_the_keeper() {
    for (server, openly, with_token) in [("tokens = [\"t\"]", 401, 200), ("tokens = [\"t\"]\npublic = true", 401, 200)]
    {
        let home = Home::new();
        let toml = fs::read_to_string(home.configuration()).unwrap();
        fs::write(home.configuration(), toml.replace("[server]\n", &format!("[server]\n{server}\n"))).unwrap();
        let daemon = home.start();
        for path in ["/health", "/health.atom", "/health.opml", "/status"] {
            assert_eq!(daemon.get(path).status, openly, "{path}");
            assert_eq!(daemon.get(&format!("{path}?token=t")).status, with_token, "{path}");
        }
    }
}
