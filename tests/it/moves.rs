//! History follows the feed: through edited addresses, permanent redirects, and outlines that turn out to be one feed.

use std::fmt::Write as _;
use std::time::Duration;

use listend::model::Timestamp;
use listend::store::{FeedUpdate, Store};
use serde_json::Value;

use crate::harness::{Daemon, Home, PATIENCE, opml, outline, until, until_within};
use crate::origin::{Origin, Reply, answer, redirect};
use crate::village::origin as village;

const DAY: i64 = 86_400;

/// An RSS document of posts, given as guid, link, title and age in days.
fn rss(title: &str, posts: &[(&str, &str, &str, i64)]) -> String {
    let mut items = String::new();
    for (guid, link, title, age) in posts {
        let at = village::now().minus(Duration::from_secs((age * DAY).unsigned_abs())).to_rfc3339();
        let _ = write!(
            items,
            "<item><guid isPermaLink=\"false\">{guid}</guid><link>{link}</link><title>{title}</title>\
             <dc:date xmlns:dc=\"http://purl.org/dc/elements/1.1/\">{}</dc:date></item>",
            &at[..10]
        );
    }
    format!("<rss version=\"2.0\"><channel><title>{title}</title>{items}</channel></rss>")
}

fn feed(title: &str, posts: &[(&str, &str, &str, i64)]) -> village::Reply {
    village::Reply::ok("application/rss+xml", rss(title, posts))
}

const ANN: [(&str, &str, &str, i64); 3] = [
    ("tag:ann.example,2026:3", "https://ann.example/3", "Third", 1),
    ("17", "https://ann.example/2", "Second", 2),
    ("tag:ann.example,2026:1", "https://ann.example/1", "First", 3),
];

fn titles(daemon: &Daemon, path: &str) -> Vec<String> {
    daemon.items(path).iter().map(|item| item["title"].as_str().unwrap().to_owned()).collect()
}

/// Ids and titles in their order, as a reader sees them.
fn entries(daemon: &Daemon, path: &str) -> Vec<(String, String)> {
    let text = |item: &Value, key: &str| item[key].as_str().unwrap().to_owned();
    daemon.items(path).iter().map(|item| (text(item, "id"), text(item, "title"))).collect()
}

fn until_titles(daemon: &Daemon, path: &str, expected: &[&str]) {
    until(&format!("{path} says {expected:?}"), || (titles(daemon, path) == expected).then_some(()));
}

/// What the status says of an address; nothing where it does not stand there.
fn row<'a>(status: &'a Value, url: &str) -> &'a Value {
    let mut found = status["feeds"].as_array().unwrap().iter().filter(|row| row["url"] == url);
    let row = found.next().unwrap_or(&Value::Null);
    assert!(found.next().is_none(), "{url} has two rows");
    row
}

/// Waits while the origin is asked so many times more for a path.
fn rounds(origin: &village::Origin, path: &str, more: usize) {
    let before = origin.requests(path).len();
    until(&format!("{more} more requests for {path}"), || (origin.requests(path).len() >= before + more).then_some(()));
}

#[test]
fn an_edited_address_takes_the_history_along() {
    let origin = village::Origin::start().unwrap();
    origin.serve("/old", feed("Ann", &ANN));
    let home = Home::new().allowing(&[origin.address()]);
    home.write_list("followers", &opml(&outline("Ann", &origin.url("/old"))));
    let daemon = home.start();
    until_titles(&daemon, "/listen.json", &["Third", "Second", "First"]);
    let before = entries(&daemon, "/listen.json");

    // The new address carries two of the three, one of them rewritten, and one that is new.
    let mut posts = vec![("tag:ann.example,2026:4", "https://ann.example/4", "Fourth", 0)];
    posts.extend(&ANN[..2]);
    posts[1].2 = "Third, rewritten";
    origin.serve("/new", feed("Ann", &posts));
    home.write_list("followers", &opml(&outline("Ann", &origin.url("/new"))));
    until("the new address is adopted", || {
        let seen = entries(&daemon, "/listen.json");
        // At no time is anything gone or doubled, or does it have another name.
        let known: Vec<_> = seen.iter().filter(|(_, title)| title != "Fourth").collect();
        assert_eq!(
            known.iter().map(|(id, _)| id).collect::<Vec<_>>(),
            before.iter().map(|(id, _)| id).collect::<Vec<_>>()
        );
        (seen.len() == 4).then_some(())
    });
    rounds(&origin, "/new", 2);
    assert_eq!(titles(&daemon, "/followers/ann.json")[0], "Fourth");
    let status = daemon.status();
    assert_eq!(status["feeds"].as_array().unwrap().len(), 1);
    assert_eq!(row(&status, &origin.url("/new"))["entries"], 4);
    assert_eq!(row(&status, &origin.url("/new"))["moved_to"], Value::Null);
    let asked = origin.requests("/old").len();

    // The rewritten text comes with the next document that says anything new.
    posts.remove(0);
    posts.insert(0, ("tag:ann.example,2026:5", "https://ann.example/5", "Fifth", 0));
    origin.serve("/new", feed("Ann", &posts));
    until("the fifth is there", || (daemon.items("/listen.json").len() == 5).then_some(()));
    assert!(titles(&daemon, "/listen.json").contains(&"Third, rewritten".to_owned()));
    let now = entries(&daemon, "/listen.json");
    daemon.stop();
    let store = Store::open(&home.path("state"), 1 << 20).unwrap();
    assert_eq!(store.events(Timestamp::MIN).unwrap(), [], "nobody has come or gone");
    drop(store);
    let daemon = home.start();
    assert_eq!(entries(&daemon, "/listen.json"), now);
    rounds(&origin, "/new", 1);
    assert_eq!(origin.requests("/old").len(), asked, "the old address is asked no more");
}

#[test]
fn what_was_edited_survives_a_restart_and_a_new_address_that_fails() {
    let origin = village::Origin::start().unwrap();
    origin.serve("/old", feed("Ann", &ANN));
    let home = Home::new().allowing(&[origin.address()]);
    home.write_list("followers", &opml(&outline("Ann", &origin.url("/old"))));
    let daemon = home.start();
    until_titles(&daemon, "/listen.json", &["Third", "Second", "First"]);
    let before = entries(&daemon, "/listen.json");

    // A slip of the pen first, then the address that is meant, which has its troubles.
    origin.serve("/new", village::Reply::status(500));
    for (path, name) in [("/nwe", "the slip"), ("/new", "the address")] {
        home.write_list("followers", &opml(&outline("Ann", &origin.url(path))));
        until(name, || (!origin.requests(path).is_empty()).then_some(()));
        until_titles(&daemon, "/followers/ann.json", &["Third", "Second", "First"]);
    }
    daemon.kill();
    let daemon = home.start();
    assert_eq!(entries(&daemon, "/listen.json"), before, "until more is known the old entries stand");
    assert_eq!(daemon.items("/listen.json")[0]["_listend"]["voice"]["title"], "Ann", "and are hers");
    origin.serve("/new", feed("Ann", &ANN));
    until("the old feed goes on", || {
        let status = daemon.status();
        let row = row(&status, &origin.url("/new"));
        (row["state"] == "ok" && row["entries"] == 3).then_some(())
    });
    assert_eq!(entries(&daemon, "/listen.json"), before);
}

#[test]
fn an_edit_to_another_feed_is_a_new_subscription() {
    let origin = village::Origin::start().unwrap();
    origin.serve("/old", feed("Ann", &ANN));
    origin.serve("/other", feed("Bob", &[("b", "https://bob.example/1", "Bob says", 1)]));
    let home = Home::new().allowing(&[origin.address()]);
    home.write_list("followers", &opml(&outline("Ann", &origin.url("/old"))));
    let daemon = home.start();
    until_titles(&daemon, "/listen.json", &["Third", "Second", "First"]);
    let before = entries(&daemon, "/listen.json");
    home.write_list("followers", &opml(&outline("Ann", &origin.url("/other"))));
    until_titles(&daemon, "/listen.json", &["Bob says"]);
    assert_eq!(row(&daemon.status(), &origin.url("/other"))["entries"], 1);
    // Put back, the old feed is there with its history.
    home.write_list("followers", &opml(&outline("Ann", &origin.url("/old"))));
    until_titles(&daemon, "/listen.json", &["Third", "Second", "First"]);
    assert_eq!(entries(&daemon, "/listen.json"), before);
}

#[test]
fn an_address_edited_in_one_list_after_the_other_is_one_edit() {
    let origin = village::Origin::start().unwrap();
    origin.serve("/old", feed("Ann", &ANN));
    origin.serve("/new", feed("Ann", &ANN));
    let home = Home::new().allowing(&[origin.address()]);
    for list in ["desired", "followers"] {
        home.write_list(list, &opml(&outline("Ann", &origin.url("/old"))));
    }
    let daemon = home.start();
    until_titles(&daemon, "/listen.json", &["Third", "Second", "First"]);
    home.write_list("desired", &opml(&outline("Ann", &origin.url("/new"))));
    until("both are asked", || (row(&daemon.status(), &origin.url("/new"))["entries"] == 3).then_some(()));
    home.write_list("followers", &opml(&outline("Ann", &origin.url("/new"))));
    until("the old feed has gone on", || daemon.log().contains("its history goes on").then_some(()));
    for view in ["/listen.json", "/desired.json", "/followers.json"] {
        until_titles(&daemon, view, &["Third", "Second", "First"]);
    }
    assert_eq!(daemon.status()["feeds"].as_array().unwrap().len(), 1);
}

#[test]
fn two_outlines_of_one_feed_are_fetched_once() {
    let origin = village::Origin::start().unwrap();
    origin.serve("/old", feed("Ann", &ANN));
    origin.serve("/new", feed("Ann", &ANN[..2]));
    let home = Home::new().allowing(&[origin.address()]);
    let (old, new) = (origin.url("/old"), origin.url("/new"));
    home.write_list("desired", &opml(&outline("Ann of old", &old)));
    home.write_list("followers", &opml(&outline("Ann", &new)));
    let daemon = home.start();
    until_titles(&daemon, "/desired.json", &["Third", "Second", "First"]);
    until_titles(&daemon, "/followers.json", &["Third", "Second"]);
    origin.serve("/old", village::Reply::redirect(301, &new));
    until("the two are one", || daemon.log().contains("two outlines name one feed").then_some(()));

    let everywhere = |daemon: &Daemon| {
        let views = [
            "/listen",
            "/desired",
            "/followers",
            "/desired/ann-of-old",
            "/followers/ann",
            "/voices/ann",
            "/voices/ann-of-old",
        ];
        for view in views {
            assert_eq!(titles(daemon, &format!("{view}.json")), ["Third", "Second", "First"], "{view}");
        }
        assert!(daemon.get("/desired.opml").text().contains(&old));
        assert!(daemon.get("/followers.opml").text().contains(&new));
        let status = daemon.status();
        assert_eq!(status["feeds"].as_array().unwrap().len(), 2, "a row for each address in the lists");
        let (alias, own) = (row(&status, &old), row(&status, &new));
        assert_eq!((&alias["lists"][0], &alias["moved_to"]), (&Value::from("desired"), &Value::from(new.as_str())));
        assert_eq!((&own["lists"][0], &own["moved_to"]), (&Value::from("followers"), &Value::Null));
        for list in status["lists"].as_array().unwrap() {
            assert_eq!((&list["feeds"], &list["entries"]), (&Value::from(1), &Value::from(3)));
        }
    };
    everywhere(&daemon);
    let (asked, asked_new) = (origin.requests("/old").len(), origin.requests("/new").len());
    rounds(&origin, "/new", 3);
    assert_eq!(origin.requests("/old").len(), asked, "an alias is not asked");
    // Once a round, which is a second; twice would be every half.
    let times: Vec<_> = origin.requests("/new")[asked_new..].iter().map(|request| request.at).collect();
    let (gaps, all) = (times.len() as u32 - 1, times[times.len() - 1].since(times[0]));
    assert!(all > Duration::from_millis(700) * gaps, "{gaps} pauses in {all:?}");
    let before = entries(&daemon, "/listen.json");
    daemon.stop();
    let daemon = home.start();
    assert_eq!(entries(&daemon, "/listen.json"), before);
    everywhere(&daemon);

    // With its own outline gone, the feed goes by the other one.
    home.write_list("followers", &opml(""));
    until("the outline is gone", || (titles(&daemon, "/followers.json").is_empty()).then_some(()));
    assert_eq!(titles(&daemon, "/voices/ann-of-old.json"), ["Third", "Second", "First"]);
    assert_eq!(row(&daemon.status(), &old)["moved_to"], new.as_str());
    rounds(&origin, "/new", 2);
    assert_eq!(origin.requests("/old").len(), asked);

    // Edited to what it is by now, its own outline being gone, it goes on without another word.
    home.write_list("desired", &opml(&outline("Ann of old", &new)));
    until("the list says the same as the feed", || {
        let status = daemon.status();
        (status["feeds"][0]["url"] == new.as_str()).then_some(())
    });
    assert_eq!(entries(&daemon, "/listen.json"), before);
    assert_eq!(row(&daemon.status(), &new)["moved_to"], Value::Null);
}

#[test]
fn an_alias_that_is_edited_is_another_subscription() {
    let origin = village::Origin::start().unwrap();
    origin.serve("/new", feed("Ann", &ANN[..1]));
    origin.serve("/old", village::Reply::redirect(308, &origin.url("/new")));
    origin.serve("/third", feed("Bob", &[("b", "https://bob.example/1", "Bob says", 1)]));
    let home = Home::new().allowing(&[origin.address()]);
    let lists = |other: &str| opml(&(outline("Other", &origin.url(other)) + &outline("Ann", &origin.url("/new"))));
    home.write_list("followers", &lists("/old"));
    let daemon = home.start();
    until("the two are one", || daemon.log().contains("two outlines name one feed").then_some(()));
    until_titles(&daemon, "/followers/other.json", &["Third"]);
    home.write_list("followers", &lists("/third"));
    until_titles(&daemon, "/followers/other.json", &["Bob says"]);
    until_titles(&daemon, "/followers/ann.json", &["Third"]);
    assert_eq!(row(&daemon.status(), &origin.url("/third"))["entries"], 1);
}

#[test]
fn nobody_takes_over_a_feed_by_redirecting_to_it() {
    let origin = village::Origin::start().unwrap();
    let posts = [("tag:bob.example,2026:1", "https://bob.example/1", "Bob says one", 2)];
    origin.serve("/bob", feed("Bob", &posts));
    // Mallory has said what Bob has not said yet, and says what he did say otherwise.
    origin.serve(
        "/mallory",
        feed(
            "Mallory",
            &[
                ("tag:bob.example,2026:2", "https://bob.example/2", "Mallory puts words in his mouth", 300),
                ("tag:bob.example,2026:1", "https://bob.example/1", "Mallory twists his words", 301),
            ],
        ),
    );
    let home = Home::new().allowing(&[origin.address()]);
    let lists = outline("Mallory", &origin.url("/mallory")) + &outline("Bob", &origin.url("/bob"));
    home.write_list("followers", &opml(&lists));
    let daemon = home.start();
    until("both are heard", || (daemon.items("/followers/mallory.json").len() == 2).then_some(()));
    until_titles(&daemon, "/followers/bob.json", &["Bob says one"]);
    origin.serve("/mallory", village::Reply::redirect(308, &origin.url("/bob")));
    until("the two are one", || daemon.log().contains("two outlines name one feed").then_some(()));
    until_titles(&daemon, "/followers/bob.json", &["Bob says one", "Mallory puts words in his mouth"]);
    // What Bob says now is new, and stands where new things stand.
    origin.serve(
        "/bob",
        feed("Bob", &[("tag:bob.example,2026:2", "https://bob.example/2", "Bob says two", 0), posts[0]]),
    );
    until("it is heard", || {
        (titles(&daemon, "/followers/bob.json").first().is_some_and(|title| title == "Bob says two")).then_some(())
    });
    assert_eq!(titles(&daemon, "/followers/bob.json")[1], "Bob says one");
}

#[test]
fn two_that_moved_to_a_third_place_are_one() {
    let origin = village::Origin::start().unwrap();
    let home = Home::new().allowing(&[origin.address()]);
    for path in ["/a", "/b"] {
        origin.serve(path, feed("Ann", &ANN));
    }
    home.write_list("followers", &opml(&(outline("A", &origin.url("/a")) + &outline("B", &origin.url("/b")))));
    let daemon = home.start();
    until("both are heard", || (daemon.items("/followers/b.json").len() == 3).then_some(()));
    origin.serve("/c", feed("Ann", &ANN));
    for path in ["/a", "/b"] {
        origin.serve(path, village::Reply::redirect(301, &origin.url("/c")));
    }
    until("the two are one", || daemon.log().contains("two outlines name one feed").then_some(()));
    for view in ["/listen.json", "/followers/a.json", "/followers/b.json"] {
        assert_eq!(titles(&daemon, view), ["Third", "Second", "First"]);
    }
    for path in ["/a", "/b"] {
        assert_eq!(row(&daemon.status(), &origin.url(path))["moved_to"], origin.url("/c").as_str());
    }
}

/// The old site's ids are its links, and the new site has them all on its own host.
#[test]
fn links_as_ids_are_known_again_on_the_new_host() {
    fn site(origin: &str) -> String {
        let [one, two] = [1, 2].map(|n| format!("http://{origin}/{n}"));
        rss("Ann", &[(&two, &two, "Two", 1), (&one, &one, "One", 2)])
    }
    let new = Origin::serve(|request| {
        let host = String::from_utf8(request.header("host").unwrap()).unwrap();
        answer(200, "Content-Type: application/rss+xml\r\n", site(&host))
    });
    let target = std::sync::Arc::new(std::sync::Mutex::new(None::<String>));
    let moved = target.clone();
    let old = Origin::serve(move |request| -> Reply {
        if let Some(to) = &*moved.lock().unwrap() {
            return redirect(301, to);
        }
        let host = String::from_utf8(request.header("host").unwrap()).unwrap();
        answer(200, "Content-Type: application/rss+xml\r\n", site(&host))
    });
    let home = Home::new().allowing(&[old.address, new.address]);
    home.write_list("followers", &opml(&outline("Ann", &old.url("/feed"))));
    let daemon = home.start();
    until_titles(&daemon, "/listen.json", &["Two", "One"]);
    let before = entries(&daemon, "/listen.json");
    *target.lock().unwrap() = Some(new.url("/feed"));
    until("the move is adopted", || {
        assert_eq!(entries(&daemon, "/listen.json"), before, "neither doubled nor renamed");
        (daemon.status()["feeds"][0]["moved_to"] == new.url("/feed").as_str()).then_some(())
    });
    let asked = new.requests().len();
    until("it is asked there", || (new.requests().len() > asked + 2).then_some(()));
    assert_eq!(entries(&daemon, "/listen.json"), before);
    let links = daemon.items("/listen.json");
    assert!(
        links.iter().all(|item| item["url"].as_str().unwrap().starts_with(&new.url("/"))),
        "links lead to the new site"
    );
}

#[test]
fn a_feed_that_is_gone_is_asked_once_when_its_outline_is_edited() {
    let origin = village::Origin::start().unwrap();
    origin.serve("/feed", village::Reply::status(410));
    let home = Home::new().allowing(&[origin.address()]);
    home.write_list("followers", &opml(&outline("Ann", &origin.url("/feed"))));
    let daemon = home.start();
    let asked = || origin.requests("/feed").len();
    until("it was asked", || (asked() == 1).then_some(()));
    daemon.stop();
    // A day later it is confirmed; the database is the only clock that a test can set.
    a_day_passes(&home);
    let daemon = home.start();
    let gone = || (daemon.status()["feeds"][0]["state"] == "gone").then_some(());
    until("it is gone", gone);
    let before = asked();
    // Another outline is nothing to it.
    let ann = |text: &str| outline(text, &origin.url("/feed"));
    home.write_list("followers", &opml(&(ann("Ann") + &outline("Bob", &origin.url("/bob")))));
    until("the other one is asked", || (!origin.requests("/bob").is_empty()).then_some(()));
    assert_eq!(asked(), before);
    home.write_list("followers", &opml(&(ann("Ann Kiln") + &outline("Bob", &origin.url("/bob")))));
    let ((), waited) = until_within(PATIENCE, "it is asked again", || (asked() == before + 1).then_some(()));
    eprintln!("asked again after {waited:?}");
}

/// Puts the last attempts of all feeds a day back, and makes them due just now: what is long overdue is spread out.
fn a_day_passes(home: &Home) {
    let store = Store::open(&home.path("state"), 1 << 20).unwrap();
    // With the longest jitter on top.
    let day = Duration::from_hours(27);
    let mut updates = Vec::new();
    for mut feed in store.feeds().unwrap() {
        feed.schedule.last_attempt = feed.schedule.last_attempt.map(|at| at.minus(day));
        feed.schedule.next_poll = feed.schedule.next_poll.minus(day).max(listend::daemon::now());
        updates.push(FeedUpdate { feed, changes: Vec::new(), said: Vec::new(), events: Vec::new() });
    }
    store.commit(&mut updates).unwrap();
}
