//! Remote reading lists: pulled in, followed, kept when they fail, and never a way to anything local.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Daemon, Home, opml, outline, until};
use crate::origin::{Origin, Reply, Request, answer};

/// What an origin answers, to be changed while it runs.
#[derive(Clone, Default)]
struct Site(Arc<Mutex<Vec<(String, u16, String)>>>);

impl Site {
    fn set(&self, path: &str, status: u16, body: &str) {
        let mut pages = self.0.lock().unwrap();
        pages.retain(|(known, ..)| known != path);
        pages.push((path.to_owned(), status, body.to_owned()));
    }

    fn answer(&self, request: &Request) -> Reply {
        let pages = self.0.lock().unwrap();
        let Some((_, status, body)) = pages.iter().find(|(path, ..)| *path == request.path) else {
            return answer(404, "", "");
        };
        let etag = format!("\"{}\"", body.len());
        if *status == 200 && request.header("If-None-Match").as_deref() == Some(etag.as_bytes()) {
            return answer(304, &format!("ETag: {etag}\r\n"), "");
        }
        answer(*status, &format!("ETag: {etag}\r\n"), body)
    }
}

fn start() -> (Site, Origin) {
    let site = Site::default();
    let served = site.clone();
    let origin = Origin::serve(move |request| served.answer(request));
    for name in ["ann", "bob", "cid"] {
        let feed = format!(
            "<rss version='2.0'><channel><title>{name}</title><item><guid>{name}</guid><title>{name} speaks</title></item></channel></rss>"
        );
        site.set(&format!("/{name}"), 200, &feed);
    }
    (site, origin)
}

fn include(url: &str) -> String {
    format!("<outline type=\"include\" text=\"Blogroll\" url=\"{url}\"/>\n")
}

fn heard(daemon: &Daemon, path: &str) -> Vec<String> {
    let answer = daemon.get(path);
    if answer.status != 200 {
        return Vec::new();
    }
    let mut titles: Vec<String> = answer.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["title"].as_str().unwrap_or_default().to_owned())
        .collect();
    titles.sort();
    titles
}

fn fault(daemon: &Daemon) -> Option<String> {
    daemon.status()["lists"].as_array().unwrap().iter().find_map(|list| list["fault"].as_str().map(str::to_owned))
}

fn asked(origin: &Origin, path: &str) -> usize {
    origin.requests().iter().filter(|request| request.path == path).count()
}

#[test]
fn a_remote_list_is_a_folder_and_its_edits_take_effect() {
    let (site, origin) = start();
    site.set(
        "/roll.opml",
        200,
        &opml(&(outline("Ann", "/ignored") + &outline("Bob", &origin.url("/bob"))))
            .replace("/ignored", &origin.url("/ann")),
    );
    let home = Home::new().allowing(&[origin.address]);
    home.write_list("followers", &opml(&include(&origin.url("/roll.opml"))));
    let before = std::fs::read(home.list("followers")).unwrap();
    let daemon = home.start();
    until("both are heard", || (heard(&daemon, "/followers/blogroll.json").len() == 2).then_some(()));
    assert_eq!(heard(&daemon, "/followers/blogroll/ann.json"), ["ann speaks"]);
    assert_eq!(daemon.status()["lists"][0]["feeds"], 2);
    let exported = daemon.get("/followers.opml").text();
    assert!(exported.contains("/ann") && !exported.contains("roll.opml"), "{exported}");
    until("it is asked with conditions", || {
        let requests = origin.requests();
        let mut polls = requests.iter().filter(|request| request.path == "/roll.opml");
        polls.any(|request| request.header("If-None-Match").is_some()).then_some(())
    });

    site.set("/roll.opml", 200, &opml(&outline("Cid", &origin.url("/cid"))));
    until("the edit takes effect", || (heard(&daemon, "/followers.json") == ["cid speaks"]).then_some(()));
    assert_eq!(std::fs::read(home.list("followers")).unwrap(), before, "the local list is left alone");
    daemon.stop();
}

#[test]
fn a_failing_remote_list_keeps_its_last_good_copy() {
    let (site, origin) = start();
    let good = opml(&outline("Ann", &origin.url("/ann")));
    site.set("/roll.opml", 200, &good);
    let home = Home::new().allowing(&[origin.address]).with("max_backoff = \"1s\"");
    home.write_list("desired", &opml(&include(&origin.url("/roll.opml"))));
    let daemon = home.start();
    until("ann is heard", || (heard(&daemon, "/desired.json").len() == 1).then_some(()));
    assert_eq!(fault(&daemon), None);
    for (status, body) in [(404, ""), (200, ""), (200, &good[..good.len() / 2]), (200, "<!doctype html><p>parked")] {
        site.set("/roll.opml", status, body);
        until("the fault is shown", || fault(&daemon).filter(|fault| fault.contains("roll.opml")));
        assert_eq!(heard(&daemon, "/desired.json"), ["ann speaks"], "{status} {body}");
        site.set("/roll.opml", 200, &good);
        until("it is well again", || fault(&daemon).is_none().then_some(()));
    }
    assert!(daemon.get("/status.html").status != 500);
    daemon.stop();
}

#[test]
fn a_restart_keeps_the_copy_and_asks_nothing() {
    let (site, origin) = start();
    site.set("/roll.opml", 200, &opml(&outline("Ann", &origin.url("/ann"))));
    let home = Home::new().allowing(&[origin.address]).with("contact = \"https://me.example/\"");
    let toml = std::fs::read_to_string(home.configuration()).unwrap();
    let hourly =
        toml.replace("min_interval = \"1s\"\nmax_interval = \"1s\"", "min_interval = \"1h\"\nmax_interval = \"1h\"");
    assert_ne!(toml, hourly);
    std::fs::write(home.configuration(), hourly).unwrap();
    home.write_list("desired", &opml(&include(&origin.url("/roll.opml"))));
    let daemon = home.start();
    until("ann is heard", || (heard(&daemon, "/desired.json").len() == 1).then_some(()));
    daemon.stop();
    let before = origin.requests().len();
    for _ in 0..3 {
        let daemon = home.start();
        assert_eq!(heard(&daemon, "/desired.json"), ["ann speaks"]);
        daemon.stop();
    }
    assert_eq!(origin.requests().len(), before);
}

#[test]
fn nested_lists_relative_addresses_and_cycles() {
    let (site, origin) = start();
    site.set(
        "/x/a.opml",
        200,
        &opml("<outline type='include' text='B' url='b.opml'/><outline type='link' text='C' url='../c.opml'/>\n"),
    );
    site.set("/x/b.opml", 200, &opml(&(outline("Ann", &origin.url("/ann")) + &include("/x/a.opml"))));
    site.set("/c.opml", 200, &opml(&outline("Bob", &origin.url("/bob"))));
    let home = Home::new().allowing(&[origin.address]);
    home.write_list("desired", &opml(&include(&origin.url("/x/a.opml"))));
    let daemon = home.start();
    until("both are heard", || (heard(&daemon, "/desired.json").len() == 2).then_some(()));
    assert_eq!(heard(&daemon, "/desired/blogroll/b/ann.json"), ["ann speaks"]);
    assert_eq!(heard(&daemon, "/desired/blogroll/c/bob.json"), ["bob speaks"]);
    until("the cycle is said", || daemon.log().contains("includes itself").then_some(()));
    daemon.stop();
}

#[test]
fn a_remote_list_leads_to_nothing_local() {
    let (site, origin) = start();
    let canary = Origin::canary();
    let secret = opml(&outline("Secret", &origin.url("/cid")));
    let home = Home::new().allowing(&[origin.address]);
    std::fs::write(home.path("secret.opml"), secret).unwrap();
    let file = format!("file://{}", home.path("secret.opml").display());
    let blocked = format!("http://127.0.0.1:{}/list.opml", canary.address.port());
    site.set("/roll.opml", 200, &opml(&(include(&file) + &include(&blocked) + &outline("Ann", &origin.url("/ann")))));
    home.write_list(
        "desired",
        &opml(&(include(&origin.url("/roll.opml")) + &include("secret.opml") + &include(&file))),
    );
    let daemon = home.start();
    until("ann is heard", || (heard(&daemon, "/desired.json") == ["ann speaks"]).then_some(()));
    let said: String =
        until("the refused one is a fault", || fault(&daemon).filter(|fault| fault.contains("list.opml")));
    println!("{said}");
    until("the others are warnings", || {
        (daemon.log().matches("needs an http or https address").count() >= 3).then_some(())
    });
    assert_eq!(canary.connections(), 0);
    assert_eq!(asked(&origin, "/cid"), 0);
    let feeds: Vec<Value> = daemon.status()["feeds"].as_array().unwrap().clone();
    assert_eq!(feeds.len(), 1);
    daemon.stop();
}

#[test]
fn remote_lists_and_found_feeds_keep_to_the_gap_of_their_hosts() {
    const GAP: Duration = Duration::from_millis(60);
    // Feeds and lists on one host, and pages elsewhere that lead there.
    let starts: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let (noted, under_way, most) = (starts.clone(), AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let busy = Origin::serve(move |request| {
        noted.lock().unwrap().push(Instant::now());
        seen.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(GAP / 2);
        under_way.fetch_sub(1, Ordering::SeqCst);
        if request.path.contains(".opml") {
            return answer(200, "", opml(""));
        }
        let item = "<item><guid>1</guid><title>Hello</title></item>";
        answer(200, "", format!("<rss version='2.0'><channel><title>{}</title>{item}</channel></rss>", request.path))
    });
    let to = busy.url("");
    let pages = Origin::serve(move |request| {
        let link = format!("<link rel=alternate type=application/rss+xml href='{to}/found{}'>", request.path);
        answer(200, "Content-Type: text/html\r\n", format!("<!doctype html><html><head>{link}</head></html>"))
    });
    let home = Home::new().allowing(&[busy.address, pages.address]);
    let toml = std::fs::read_to_string(home.configuration()).unwrap();
    let polite =
        toml.replace("per_host = 16", "per_host = 1").replace("per_host_gap = \"0s\"", "per_host_gap = \"60ms\"");
    assert_ne!(toml, polite);
    std::fs::write(home.configuration(), polite).unwrap();
    let mut outlines = String::new();
    for n in 0..4 {
        outlines += &include(&busy.url(&format!("/{n}.opml")));
        outlines += &outline("A feed", &busy.url(&format!("/{n}")));
        outlines += &outline("A page", &pages.url(&format!("/{n}")));
    }
    home.write_list("desired", &opml(&outlines));
    let daemon = home.start();
    until("each was asked", || {
        let asked = |path: String| asked(&busy, &path) > 0;
        (0..4)
            .all(|n| asked(format!("/{n}.opml")) && asked(format!("/{n}")) && asked(format!("/found/{n}")))
            .then_some(())
    });
    let status = daemon.status();
    daemon.stop();
    assert!(status["feeds"].as_array().unwrap().iter().all(|feed| feed["failures"] == 0), "{status}");
    let starts = starts.lock().unwrap();
    let least = starts.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();
    println!("{} requests to one host, never closer than {least:?}", starts.len());
    // The threads of the origin may note one a little late and the next one at once.
    assert!(least > GAP * 3 / 4, "{least:?}");
    assert_eq!(most.load(Ordering::SeqCst), 1, "never two at once");
}

#[test]
fn a_remote_list_that_asks_to_be_spared_speaks_for_its_host() {
    let origin = Origin::serve(|request| match request.path.as_str() {
        "/roll.opml" => answer(429, "Retry-After: 600\r\n", ""),
        _ => answer(200, "", "<rss version='2.0'><channel><title>A</title><item><guid>1</guid></item></channel></rss>"),
    });
    let home = Home::new().allowing(&[origin.address]);
    home.write_list("desired", &opml(&(include(&origin.url("/roll.opml")) + &outline("A", &origin.url("/feed")))));
    let daemon = home.start();
    until("the list was asked", || daemon.log().contains("HTTP 429").then_some(()));
    let before = asked(&origin, "/feed");
    // Two polls are due in this time.
    std::thread::sleep(Duration::from_millis(2500));
    assert!(asked(&origin, "/feed") <= before + 1, "the feed waits with its host");
    assert_eq!(asked(&origin, "/roll.opml"), 1);
    daemon.stop();
}
