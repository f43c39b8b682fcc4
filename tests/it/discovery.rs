//! A page where a feed should be: its feed is found, asked from then on, and looked for again when it is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::harness::{Daemon, Home, opml, outline, until};
use crate::origin::{Origin, Reply, answer};

const FEED: &str =
    "<rss version='2.0'><channel><title>Found</title><item><guid>1</guid><title>Hello</title></item></channel></rss>";

fn page(head: &str) -> Reply {
    answer(
        200,
        "Content-Type: text/html\r\n",
        format!("<!doctype html><html><head>{head}</head><body>A page</body></html>"),
    )
}

fn feed() -> Reply {
    answer(200, "Content-Type: application/rss+xml\r\n", FEED)
}

fn named(path: &str) -> String {
    format!("<link rel=alternate type=application/rss+xml href='{path}'>")
}

fn only_feed(daemon: &Daemon) -> Value {
    daemon.status()["feeds"][0].clone()
}

fn paths(origin: &Origin) -> Vec<String> {
    origin.requests().into_iter().map(|request| request.path).collect()
}

#[test]
fn a_home_page_leads_to_the_feed_that_it_names() {
    for list in [
        |page: &str| outline("Ann", page),
        |page: &str| format!("<outline text='Ann' htmlUrl='{page}'/>\n"),
        |page: &str| format!("<outline type='rss' text='Ann' xmlUrl='' htmlUrl='{page}'/>\n"),
    ] {
        let origin = Origin::serve(|request| match request.path.as_str() {
            "/" => page(&named("/real")),
            "/real" => feed(),
            _ => answer(404, "", ""),
        });
        let home = Home::new().allowing(&[origin.address]);
        home.write_list("desired", &opml(&list(&origin.url("/"))));
        let before = std::fs::read(home.list("desired")).unwrap();
        let daemon = home.start();
        until("its entry is shown", || (daemon.items("/desired.json").len() == 1).then_some(()));
        until("the feed itself is asked", || {
            (paths(&origin).iter().filter(|path| *path == "/real").count() > 2).then_some(())
        });
        let status = only_feed(&daemon);
        assert_eq!(status["url"], origin.url("/"));
        assert_eq!(status["moved_to"], origin.url("/real"));
        assert_eq!(status["state"], "ok");
        assert_eq!(paths(&origin).iter().filter(|path| *path == "/").count(), 1, "the page is not asked again");
        assert!(daemon.log().contains("the page names its feed"), "{}", daemon.log());
        assert_eq!(std::fs::read(home.list("desired")).unwrap(), before, "the list is left alone");
        daemon.stop();
    }
}

#[test]
fn a_usual_place_is_found_last() {
    let origin = Origin::serve(|request| match request.path.as_str() {
        "/blog" => page(""),
        "/atom.xml" => feed(),
        _ => answer(404, "", ""),
    });
    let home = Home::new().allowing(&[origin.address]);
    home.write_list("desired", &opml(&outline("Ann", &origin.url("/blog"))));
    let daemon = home.start();
    until("its entry is shown", || (daemon.items("/desired.json").len() == 1).then_some(()));
    assert_eq!(only_feed(&daemon)["moved_to"], origin.url("/atom.xml"));
    assert_eq!(paths(&origin)[0], "/blog");
    daemon.stop();
    // The same way is looked by whoever tries it out first.
    let shown = home.run(&["preview", "--json", &origin.url("/blog")]);
    assert!(shown.status.success() && String::from_utf8_lossy(&shown.stdout).contains("Hello"), "{shown:?}");
}

#[test]
fn a_page_without_a_feed_fails_without_a_burst_at_each_poll() {
    let origin = Origin::serve(|request| match request.path.as_str() {
        "/" => page(&named("/broken")),
        _ => answer(404, "", ""),
    });
    let home = Home::new().allowing(&[origin.address]).with("max_backoff = \"1s\"");
    home.write_list("desired", &opml(&outline("Ann", &origin.url("/"))));
    let daemon = home.start();
    until("it was asked four times", || (paths(&origin).iter().filter(|path| *path == "/").count() >= 4).then_some(()));
    let status = only_feed(&daemon);
    assert_eq!(status["state"], "backoff");
    assert!(status["last_error"].as_str().unwrap().contains("HTML page"), "{status}");
    daemon.stop();
    let paths = paths(&origin);
    let polls = paths.iter().filter(|path| *path == "/").count();
    let looks = paths.iter().filter(|path| *path == "/broken").count();
    let guesses = paths.len() - polls - looks;
    println!("{polls} polls of a page without a feed: {looks} looks at what it names, {guesses} at usual places");
    assert!(looks <= polls && guesses == 7, "{paths:?}");
}

#[test]
fn a_found_feed_that_is_gone_is_looked_for_again() {
    let phase = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&phase);
    let origin = Origin::serve(move |request| match (request.path.as_str(), seen.load(Ordering::SeqCst)) {
        ("/", 0) => page(&named("/old")),
        ("/", _) => page(&named("/new")),
        ("/old", 0) | ("/new", 1) => feed(),
        _ => answer(404, "", ""),
    });
    let home = Home::new().allowing(&[origin.address]).with("max_backoff = \"1s\"");
    home.write_list("desired", &opml(&outline("Ann", &origin.url("/"))));
    let daemon = home.start();
    until("it was found", || (only_feed(&daemon)["moved_to"] == origin.url("/old")).then_some(()));
    phase.store(1, Ordering::SeqCst);
    until("it was found again", || (only_feed(&daemon)["moved_to"] == origin.url("/new")).then_some(()));
    until("it is well", || (only_feed(&daemon)["state"] == "ok").then_some(()));
    assert_eq!(daemon.items("/desired.json").len(), 1, "its history has stayed");
    daemon.stop();
}

#[test]
fn bookmarks_and_folders_are_no_feeds() {
    let origin = Origin::canary();
    let home = Home::new().allowing(&[origin.address]);
    let page = origin.url("/");
    home.write_list(
        "desired",
        &opml(&format!(
            "<outline type='link' text='a' url='{page}'/><outline text='b' url='{page}' htmlUrl='{page}'/>\n\
             <outline type='link' text='c' htmlUrl='{page}'/><outline text='d' htmlUrl='{page}'><outline text='e'/></outline>\n"
        )),
    );
    let daemon = home.start();
    assert_eq!(daemon.status()["feeds"].as_array().unwrap().len(), 0);
    assert_eq!(origin.connections(), 0);
    daemon.stop();
}
