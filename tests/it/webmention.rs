//! Webmentions from outside, through the front door: a form goes in, the source on loopback is asked, and what it says
//! of us is kept, changed or forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use listend::feeds::webmention::read;
use listend::model::{Timestamp, Webmention, WebmentionKind};
use listend::store::Store;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::effort;
use crate::harness::{Answer, Daemon, Home, until};
use crate::origin::{Origin, Reply, Request, answer};

/// A page of ours.
const MINE: &str = "https://me.example/post";
/// A link to it.
const LINK: &str = "<a class=u-in-reply-to href=https://me.example/post>it</a>";

const SITES: &str = "[mine]\nsites = [\"https://me.example/\"]\n[webmention]\nenabled = true\n";

/// Tells the endpoint of a link.
fn send(daemon: &Daemon, source: &str, target: &str) -> Answer {
    let form = Serializer::new(String::new()).append_pair("source", source).append_pair("target", target).finish();
    daemon.send("POST", "/webmention", &[FORM], &form)
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// The mentions as JSON Feed: what each links to, and what it says.
fn mentions(daemon: &Daemon) -> Vec<(String, String)> {
    let text = |item: &Value, name: &str| item[name].as_str().unwrap_or_default().to_owned();
    daemon.items("/mentions.json").iter().map(|item| (text(item, "url"), text(item, "content_html"))).collect()
}

/// How many looks at sources ended so.
fn count(daemon: &Daemon, outcome: &str) -> usize {
    let start = format!("listend_webmentions_total{{outcome=\"{outcome}\"}} ");
    let metrics = daemon.get("/metrics").text();
    metrics.lines().find_map(|line| line.strip_prefix(&start)).map_or(0, |count| count.parse().unwrap())
}

/// Waits until so many looks at sources have ended so.
fn wait_for(daemon: &Daemon, outcome: &str, most: usize) {
    until(outcome, || (count(daemon, outcome) >= most).then_some(()));
    assert_eq!(count(daemon, outcome), most, "{outcome}");
}

/// Pages that can be changed while they are served.
#[derive(Clone, Default)]
struct Pages(Arc<Mutex<HashMap<String, Page>>>);

/// What is answered: status, headers, body.
type Page = (u16, String, String);

impl Pages {
    fn put(&self, path: &str, status: u16, kind: &str, body: &str) {
        let headers = format!("Content-Type: {kind}\r\n");
        self.0.lock().unwrap().insert(path.to_owned(), (status, headers, body.to_owned()));
    }

    fn html(&self, path: &str, body: &str) {
        self.put(path, 200, "text/html; charset=utf-8", body);
    }

    fn move_to(&self, path: &str, to: &str) {
        let headers = format!("Location: {to}\r\n");
        self.0.lock().unwrap().insert(path.to_owned(), (302, headers, String::new()));
    }

    fn serve(&self) -> Origin {
        let pages = self.clone();
        Origin::serve(move |request: &Request| -> Reply {
            match pages.0.lock().unwrap().get(&request.path) {
                Some((status, headers, body)) => answer(*status, headers, body),
                None => answer(404, "", ""),
            }
        })
    }
}

/// Somebody else's site, and a daemon that receives Webmentions.
fn stage() -> (Pages, Origin, Home) {
    let pages = Pages::default();
    let origin = pages.serve();
    let home = Home::new().allowing(&[origin.address]).with(SITES);
    (pages, origin, home)
}

/// What is kept of a source, once the daemon has ended.
fn kept(home: &Home, source: &str) -> Option<Webmention> {
    Store::open(&home.path("state"), 1 << 20).unwrap().webmention(source, MINE).unwrap()
}

#[test]
fn a_reply_is_verified_read_and_kept() {
    let (pages, origin, home) = stage();
    pages.html(
        "/reply",
        &format!(
            "<article class=h-entry><a class='p-author h-card' href=/ann>Ann</a><h1 class=p-name>A reply</h1>{LINK}
             <time class=dt-published datetime=2026-11-01T10:00:00Z></time>
             <p class=e-content>Well <script>no()</script><b>said</b>.</p></article>"
        ),
    );
    let daemon = home.start();
    let source = origin.url("/reply");
    let sent = send(&daemon, &source, MINE);
    assert_eq!((sent.status, sent.header("content-type")), (202, "text/plain; charset=utf-8"), "{}", sent.text());
    wait_for(&daemon, "verified", 1);
    let asked = &origin.requests()[0];
    assert!(asked.header("accept").unwrap().starts_with(b"text/html"));
    assert!(asked.header("user-agent").unwrap().starts_with(b"listend/"));
    assert!(daemon.log().contains("a Webmention was verified"), "{}", daemon.log());
    let shown = mentions(&daemon);
    assert!(shown.len() == 1 && shown[0].0 == source && shown[0].1.contains("Well <b>said</b>."), "{shown:?}");
    assert_eq!(send(&daemon, &origin.url("/nobody"), MINE).status, 202);
    wait_for(&daemon, "refused", 1);
    assert_eq!(mentions(&daemon), shown);
    daemon.stop();
    let kept = kept(&home, &source).expect("it is kept");
    assert_eq!((kept.source.as_str(), kept.target.as_str(), kept.kind), (&*source, MINE, WebmentionKind::Reply));
    assert_eq!((kept.author.name.as_str(), kept.author.uri), ("Ann", Some(origin.url("/ann"))));
    assert_eq!((kept.title.as_str(), kept.excerpt.as_str()), ("A reply", "Well <b>said</b>."));
    assert_eq!(kept.published.map(Timestamp::to_rfc3339), Some("2026-11-01T10:00:00Z".to_owned()));
    assert_eq!((kept.key.feed, kept.key.seq), (Webmention::FEED, 0));
    assert!(kept.verified >= kept.key.listed_at);
}

#[test]
fn what_is_no_claim_about_us_is_refused() {
    let (_pages, origin, home) = stage();
    let daemon = home.start();
    let source = origin.url("/x");
    for (source, target) in [
        ("", MINE),
        (source.as_str(), ""),
        ("/x", MINE),
        ("mailto:ann@ann.example", MINE),
        ("javascript:x()", MINE),
        (MINE, MINE),
        ("http://www.me.example/post/?utm_source=y#z", MINE),
        (&source, "https://you.example/post"),
        (&source, "https://me.example.evil.example/"),
        (&source, "post"),
        (&format!("https://ann.example/{}", "x".repeat(2048)), MINE),
        ("http://ann:secret@ann.example/", MINE),
    ] {
        let sent = send(&daemon, source, target);
        assert_eq!(sent.status, 400, "{source} {target}: {}", sent.text());
    }
    let post = |kind: (&str, &str), body: &str| daemon.send("POST", "/webmention", &[kind], body).status;
    assert_eq!((post(FORM, ""), post(FORM, "%%%&&&==\u{0}")), (400, 400));
    assert_eq!((post(("content-type", "application/json"), "{}"), post(("x-nothing", ""), "source=x")), (415, 415));
    assert_eq!(post(FORM, &"x".repeat(17 << 10)), 413);
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let sent = daemon.send(method, "/webmention", &[FORM], "");
        assert_eq!((sent.status, sent.header("allow")), (405, "POST"), "{method}");
    }
    assert!(origin.requests().is_empty(), "nobody was asked");
    assert!(daemon.get("/metrics").text().contains("view=\"webmention\",format=\"other\",status=\"405\""));
}

#[test]
fn the_endpoint_needs_no_token_and_exists_only_when_it_is_wanted() {
    let (pages, origin, _) = stage();
    pages.html("/x", LINK);
    let without = Home::new().with("[mine]\nsites = [\"https://me.example/\"]\n");
    let daemon = without.start();
    assert_eq!(daemon.get("/webmention").status, 404);
    let nothing = daemon.send("POST", "/nothing", &[FORM], "");
    assert_eq!(send(&daemon, &origin.url("/x"), MINE).status, nothing.status);
    daemon.stop();
    let toml = format!(
        "lists = \"lists\"\nstate = \"state\"\n[server]\nlisten = \"127.0.0.1:0\"\ntokens = [\"key\"]\n[fetch]\n\
         allow_addresses = [\"{}\"]\n{SITES}",
        origin.address
    );
    std::fs::write(without.configuration(), toml).unwrap();
    let daemon = without.start();
    assert_eq!(daemon.get("/listen.atom").status, 401);
    assert_eq!(send(&daemon, &origin.url("/x"), MINE).status, 202);
    until("it is verified", || daemon.log().contains("a Webmention was verified").then_some(()));
}

#[test]
fn sources_come_in_three_formats() {
    let (pages, origin, home) = stage();
    pages.html("/html", &format!("<title>A page</title><p>See {LINK}"));
    pages.put("/json", 200, "application/json", &format!("{{\"name\":\"A note\",\"in-reply-to\":[\"{MINE}\"]}}"));
    pages.put("/text", 200, "text/plain", &format!("A text\nabout {MINE}."));
    pages.put("/atom", 200, "application/atom+xml", &format!("<feed><link href=\"{MINE}\"/></feed>"));
    pages.html("/comment", &format!("<!-- {LINK} --> {MINE} <script>'{LINK}'</script>"));
    pages.put("/json2", 200, "application/json", &format!("[\"see {MINE}\"]"));
    pages.put("/text2", 200, "text/plain", &format!("about {MINE}s"));
    pages.put("/found", 204, "text/html", "");
    let daemon = home.start();
    for path in ["/html", "/json", "/text", "/atom", "/comment", "/json2", "/text2", "/found", "/nothing"] {
        assert_eq!(send(&daemon, &origin.url(path), MINE).status, 202);
    }
    wait_for(&daemon, "refused", 6);
    wait_for(&daemon, "verified", 3);
    daemon.stop();
    let title = |path: &str| kept(&home, &origin.url(path)).map(|kept| kept.title);
    assert_eq!(title("/html").as_deref(), Some("A page"));
    assert_eq!(title("/json").as_deref(), Some("A note"));
    assert_eq!(title("/text").as_deref(), Some("A text"));
    assert_eq!(title("/comment"), None);
}

#[test]
fn a_source_that_is_sent_again_is_read_again() {
    let (pages, origin, home) = stage();
    let source = origin.url("/x");
    let daemon = home.start();
    pages.html("/x", &format!("<title>First</title>{LINK}"));
    send(&daemon, &source, MINE);
    wait_for(&daemon, "verified", 1);
    pages.html("/x", &format!("<title>Second</title>{LINK}"));
    send(&daemon, &source, MINE);
    wait_for(&daemon, "updated", 1);
    assert_eq!(mentions(&daemon).len(), 1);
    // What is no answer changes nothing of what was verified.
    pages.put("/x", 404, "text/html", "");
    send(&daemon, &source, MINE);
    wait_for(&daemon, "refused", 1);
    daemon.stop();
    assert_eq!(kept(&home, &source).expect("it is kept").title, "Second");

    let daemon = home.start();
    pages.html("/x", "<title>Third</title>");
    send(&daemon, &source, MINE);
    wait_for(&daemon, "forgotten", 1);
    assert_eq!(mentions(&daemon), []);
    pages.html("/x", &format!("<title>Fourth</title>{LINK}"));
    send(&daemon, &source, MINE);
    wait_for(&daemon, "verified", 1);
    pages.put("/x", 410, "text/html", "");
    send(&daemon, &source, MINE);
    wait_for(&daemon, "forgotten", 2);
    send(&daemon, &source, MINE);
    wait_for(&daemon, "refused", 1);
    daemon.stop();
    assert_eq!(kept(&home, &source), None);
}

#[test]
fn sources_may_redirect_and_not_to_us() {
    let target = Origin::serve(|_| answer(200, "Content-Type: text/html\r\n", "<a href=/post>myself</a>"));
    let (pages, origin, home) = stage();
    let home = home.allowing(&[target.address]);
    pages.move_to("/old", "/new/");
    pages.html("/new/", "<base href=https://me.example/><a class=u-url href=post>x</a>");
    for n in 0..7 {
        pages.move_to(&format!("/{n}"), &format!("/{}", n + 1));
    }
    pages.move_to("/loop", "/loop");
    let daemon = home.start();
    for path in ["/old", "/0", "/loop"] {
        assert_eq!(send(&daemon, &origin.url(path), MINE).status, 202);
    }
    wait_for(&daemon, "verified", 1);
    wait_for(&daemon, "refused", 2);
    assert_eq!(origin.requests().len(), 2 + 6 + 1);
    daemon.stop();
    assert_eq!(kept(&home, &origin.url("/old")).map(|kept| kept.source), Some(origin.url("/old")), "as it was sent");

    // A page of ours that links to itself, in the name of another.
    let sites = format!("[mine]\nsites = [\"{}\"]\n[webmention]\nenabled = true\n", target.url("/"));
    let home = Home::new().allowing(&[origin.address, target.address]).with(&sites);
    pages.move_to("/trick", &target.url("/post"));
    let daemon = home.start();
    assert_eq!(send(&daemon, &origin.url("/trick"), &target.url("/post")).status, 202);
    wait_for(&daemon, "refused", 1);
    assert_eq!(target.requests().len(), 1);
}

#[test]
fn nothing_private_is_dialled() {
    let canary = Origin::canary();
    let (pages, origin, home) = stage();
    pages.move_to("/trick", &canary.url("/"));
    let daemon = home.start();
    let port = canary.address.port();
    let sources = [
        canary.url("/"),
        format!("http://localhost:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://2130706433:{port}/"),
        origin.url("/trick"),
        "http://169.254.169.254/latest/".to_owned(),
        "http://10.0.0.1/".to_owned(),
    ];
    for source in &sources {
        assert_eq!(send(&daemon, source, MINE).status, 202);
    }
    wait_for(&daemon, "refused", sources.len());
    assert_eq!(canary.connections(), 0);
}

#[test]
fn a_source_that_fails_is_asked_three_times() {
    let (pages, origin, home) = stage();
    pages.put("/x", 503, "text/html", "");
    pages.put("/y", 500, "text/html", "");
    let daemon = home.start();
    send(&daemon, &origin.url("/x"), MINE);
    wait_for(&daemon, "put_off", 1);
    pages.html("/x", LINK);
    wait_for(&daemon, "verified", 1);
    send(&daemon, &origin.url("/y"), MINE);
    wait_for(&daemon, "failed", 1);
    let asked = |path: &str| origin.requests().iter().filter(|request| request.path == path).count();
    assert_eq!((asked("/x"), asked("/y")), (2, 3));
}

#[test]
fn a_flood_is_turned_away() {
    let (pages, origin, home) = stage();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let slow = {
        let gate = Arc::clone(&gate);
        Origin::serve(move |_| {
            drop(gate.lock().unwrap());
            answer(200, "Content-Type: text/html\r\n", LINK)
        })
    };
    pages.html("/x", LINK);
    let home = home.allowing(&[slow.address]);
    let daemon = home.start();
    // The same again and again: one is looked at, and one waits.
    send(&daemon, &slow.url("/x"), MINE);
    until("a question", || (slow.requests().len() == 1).then_some(()));
    for _ in 0..100 {
        assert_eq!(send(&daemon, &slow.url("/x"), MINE).status, 202);
    }
    drop(closed);
    wait_for(&daemon, "updated", 1);
    assert_eq!((slow.requests().len(), count(&daemon, "verified")), (2, 1));
    // Both are on one host, so 28 more of other pages are let in.
    let mut statuses = Vec::new();
    for page in 0..32 {
        statuses.push(send(&daemon, &origin.url(&format!("/{page}")), MINE));
    }
    let let_in = statuses.iter().filter(|sent| sent.status == 202).count();
    assert_eq!(let_in, 28);
    let refused = statuses.last().unwrap();
    let pause: u64 = refused.header("retry-after").parse().unwrap();
    assert!(refused.status == 429 && (3500..=3600).contains(&pause), "{pause}");
}

#[test]
fn hostile_sources_take_time_in_proportion() {
    let link = "<a class=u-like-of href=https://me.example/post>x</a>";
    let base = Url::parse("https://ann.example/notes/1").unwrap();
    let most = 512 << 10;
    let fill = |unit: &str| unit.repeat(most / unit.len());
    let numbered = |unit: &str| {
        (0..most / (unit.len() + 5)).fold(String::new(), |all, n| all + &unit.replace('#', &n.to_string()))
    };
    for (name, html) in [
        ("nested tags", fill("<div>")),
        ("formatting", numbered("<i title=#><p>")),
        ("closing tags", fill("<b>").split_at(768).0.to_owned() + &fill("</x>")),
        ("items", fill("<p class='h-entry h-card p-author'>")),
        ("nested items", fill("<div class='h-entry u-in-reply-to'>")),
        ("properties", fill("<b class='p-name p-author e-content u-url'>")),
        ("links", fill("<a href=x>")),
        ("links to the target", fill(link)),
        ("attributes of one tag", format!("<p {}>", numbered("a# "))),
        ("attributes of many tags", fill(&format!("<p {}>", "a ".repeat(300)))),
        ("classes", format!("<p class='{}'>", fill("p-name h-x "))),
        ("raw texts", fill("<title></title>")),
        ("open raw texts", fill("<title></titl")),
        ("a long base", format!("<base href=/{}>{}", "x".repeat(2000), fill("<a href=x>"))),
        ("a list without ends", fill("<li><p>")),
        ("quotes", fill("<a b=\"'>")),
        ("references", format!("<a href='{}'>", fill("&amp"))),
        ("less-than signs", fill("<")),
    ] {
        let source = format!("{link}{html}{link}");
        effort::check(name, source.len(), || {
            let linked = read(source.as_bytes(), Some("text/html"), &base, MINE).unwrap();
            assert!(linked.is_some_and(|reading| reading.kind == Some(WebmentionKind::Like)), "{name}");
        });
    }
    for (name, kind, text) in [
        ("addresses", "text/plain", fill("(http://")),
        ("objects", "application/json", format!("[{}0]", fill("{\"a\":0},"))),
        ("strings", "application/json", format!("[{}0]", fill("\"http://\","))),
    ] {
        effort::check(name, text.len(), || assert_eq!(read(text.as_bytes(), Some(kind), &base, MINE), Ok(None)));
    }
}
