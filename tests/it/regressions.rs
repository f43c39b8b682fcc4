//! Faults that were found once, each under the name of its cause.

use std::fs;

use crate::harness::{Home, opml, outline, until};
use crate::village::origin::{Origin, Reply};

fn rss(title: &str, items: &str) -> Reply {
    let head = format!("<rss version=\"2.0\"><channel><title>{title}</title>");
    Reply::ok("application/rss+xml", format!("{head}{items}</channel></rss>")).without_validators()
}

fn item(guid: &str, link: &str, text: &str) -> String {
    format!("<item><guid isPermaLink=\"false\">{guid}</guid><title>{text}</title><link>{link}</link></item>")
}

fn titles(items: &[serde_json::Value]) -> Vec<&str> {
    let mut titles: Vec<&str> = items.iter().map(|item| item["title"].as_str().unwrap()).collect();
    titles.sort_unstable();
    titles
}

/// A comment feed links to one post again and again, with another fragment each time.
#[test]
fn a_fragment_tells_the_comments_on_one_post_apart() {
    let origin = Origin::start().unwrap();
    let post = "https://blog.example/post";
    origin.serve("/blog", rss("Blog", &item("p", post, "The post")));
    origin.serve("/comments", rss("Comments", &item("c1", &format!("{post}#comment-1"), "First")));
    let home = Home::new().allowing(&[origin.address()]);
    home.write_list(
        "followers",
        &opml(&(outline("Blog", &origin.url("/blog")) + &outline("Comments", &origin.url("/comments")))),
    );
    let daemon = home.start();
    until("post and comment are there", || (daemon.items("/listen.json").len() == 2).then_some(()));
    origin.serve("/comments", rss("Comments", &item("c2", &format!("{post}#comment-2"), "Second")));
    until("the second comment is there", || (daemon.items("/listen.json").len() == 3).then_some(()));
    assert_eq!(titles(&daemon.items("/listen.json")), ["First", "Second", "The post"]);
}

/// A renamed voice has another address; the old one is what people have subscribed to.
#[test]
fn the_old_address_of_a_renamed_voice_leads_to_the_new_one() {
    let origin = Origin::start().unwrap();
    origin.serve("/feed", rss("Feed", &item("1", "https://kiln.example/1", "Warm again")));
    let home = Home::new().allowing(&[origin.address()]);
    home.write_list("followers", &opml(&outline("Kiln Lane", &origin.url("/feed"))));
    let daemon = home.start();
    until("the entry is there", || (daemon.items("/voices/kiln-lane.json").len() == 1).then_some(()));
    home.write_list("followers", &opml(&outline("Kiln Street", &origin.url("/feed"))));
    until("the new name is there", || (daemon.get("/voices/kiln-street.json").status == 200).then_some(()));
    for old in ["/voices/kiln-lane.atom?limit=3", "/followers/kiln-lane.atom?limit=3"] {
        let answer = daemon.get(old);
        assert_eq!(answer.status, 308, "{old}");
        assert!(
            answer.header("location").ends_with("/voices/kiln-street.atom?limit=3"),
            "{}",
            answer.header("location")
        );
    }
}

/// Of two copies of an article the better one is shown, unless the search is for what only the other says.
#[test]
fn a_copy_that_a_search_leaves_out_hides_nothing() {
    let origin = Origin::start().unwrap();
    let article = origin.url("/article");
    origin.serve("/home", rss("Home", &item("h", &article, "A short note")));
    origin.serve("/planet", rss("Planet", &item("p", &article, "A short note, and a zebra")));
    let home = Home::new().allowing(&[origin.address()]);
    home.write_list(
        "followers",
        &opml(&(outline("Home", &origin.url("/home")) + &outline("Planet", &origin.url("/planet")))),
    );
    let daemon = home.start();
    until("both feeds were read", || {
        let status = daemon.status();
        status["feeds"].as_array().unwrap().iter().all(|feed| feed["entries"] == 1).then_some(())
    });
    assert_eq!(daemon.items("/listen.json").len(), 1);
    assert_eq!(titles(&daemon.items("/listen.json?q=zebra")), ["A short note, and a zebra"]);
}

/// The address that was bound at the start stays bound, whatever a new configuration says about it.
#[test]
fn a_reload_opens_no_reachable_daemon() {
    let home = Home::new();
    home.write_list("followers", &opml(""));
    let guarded = fs::read_to_string(home.configuration()).unwrap().replace(
        "listen = \"127.0.0.1:0\"",
        "listen = \"0.0.0.0:0\"\ntokens = [\"secret\"]\nbase_url = \"http://127.0.0.1:0/\"",
    );
    fs::write(home.configuration(), &guarded).unwrap();
    let daemon = home.start();
    assert_eq!(daemon.get("/status.json").status, 401);
    fs::write(home.configuration(), guarded.replace("0.0.0.0:0", "127.0.0.1:0").replace("tokens = [\"secret\"]\n", ""))
        .unwrap();
    daemon.signal("HUP");
    until("the reload was refused", || daemon.log().contains("would let everybody read").then_some(()));
    assert_eq!(daemon.get("/status.json").status, 401);
    assert_eq!(daemon.get("/status.json?token=secret").status, 200);
}

/// The first visit may fail; that, too, is an answer that the front page waits for.
#[test]
fn a_failed_first_visit_ends_the_first_round() {
    let origin = Origin::start().unwrap();
    origin.serve("/feed", Reply::status(500));
    let home = Home::new().allowing(&[origin.address()]);
    home.write_list("followers", &opml(&outline("Broken", &origin.url("/feed"))));
    let daemon = home.start();
    let before = daemon.get("/").text();
    until("the feed was asked", || (daemon.status()["feeds"][0]["last_status"] == 500).then_some(()));
    let after = daemon.get("/").text();
    assert!(!after.contains("first round"), "before: {before}\nafter: {after}");
}

/// A stranger's page may have its own name lead to this machine: the browser takes us for its server.
#[test]
fn a_name_that_a_stranger_leads_here_reads_nothing() {
    let home = Home::new();
    home.write_list("followers", &opml(""));
    let daemon = home.start();
    for path in ["/", "/voices", "/listen.atom", "/status.json", "/metrics"] {
        assert_eq!(daemon.get_with(path, &[("host", "evil.example:8470")]).status, 421, "{path}");
        assert_eq!(daemon.get_with(path, &[("host", "localhost")]).status, 200, "{path}");
    }
    assert_eq!(daemon.get_with("/livez", &[("host", "evil.example")]).status, 200);
}
