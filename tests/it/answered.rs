//! What was answered, noted down from inside a reader: the page and its form, what it refuses, and what it changes.

use std::process::{Command, Stdio};
use std::time::Duration;

use listend::model::{Contact, ContactKind};
use listend::store::Store;

use crate::harness::{Answer, Daemon, Home, opml, outline, until};
use crate::origin::{Origin, answer};
use crate::village::origin::now;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// A neighbour whose one entry waits for an answer.
struct Scene {
    _origin: Origin,
    home: Home,
    daemon: Option<Daemon>,
    /// The path of the entry's page.
    path: String,
}

impl Scene {
    fn new(server: &str) -> Self {
        Self::with(server, Home::start)
    }

    fn with(server: &str, start: impl Fn(&Home) -> Daemon) -> Self {
        let date = now().minus(Duration::from_hours(2)).to_rfc822();
        let origin = Origin::serve(move |_| {
            let item = format!(
                "<item><guid>1</guid><link>http://kiln.example/1</link><title>A cracked bowl</title><pubDate>{date}</pubDate>\
                 <description>It holds.</description></item>"
            );
            let xml = format!("<rss version=\"2.0\"><channel><title>Kiln Lane</title>{item}</channel></rss>");
            answer(200, "Content-Type: application/rss+xml\r\n", xml)
        });
        let home = Home::new().allowing(&[origin.address]).serving(server);
        home.write_list("followers", &opml(&outline("Kiln Lane", &origin.url("/rss"))));
        let daemon = start(&home);
        let text = until("it was read", || {
            let text = daemon.get("/followers.atom?token=t").text();
            text.contains("/answered/").then_some(text)
        });
        let name: String = text.split("/answered/").nth(1).unwrap().chars().take(32).collect();
        Self { _origin: origin, home, path: format!("/answered/{name}"), daemon: Some(daemon) }
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    fn page(&self) -> String {
        self.daemon().get(&self.path).text()
    }

    /// Sends the form as a program does, with further headers.
    fn post(&self, headers: &[(&str, &str)], body: &str) -> Answer {
        self.daemon().send("POST", &self.path, &[&[FORM], headers].concat(), body)
    }

    /// Stops the daemon and reads what it has noted down.
    fn noted(&mut self) -> Vec<Contact> {
        if let Some(daemon) = self.daemon.take() {
            daemon.stop();
        }
        Store::open(&self.home.path("state"), 1 << 20).unwrap().contacts().unwrap()
    }
}

#[test]
fn looking_shows_the_entry_and_changes_nothing() {
    let mut scene = Scene::new("");
    let page = scene.daemon().get(&scene.path);
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
    assert_eq!((page.header("referrer-policy"), page.header("cache-control")), ("same-origin", "no-store"));
    assert!(page.header("content-security-policy").contains("form-action 'self'"));
    let text = page.text();
    assert!(text.contains("A cracked bowl") && text.contains("Kiln Lane"), "{text}");
    assert!(text.contains("method=\"post\"") && text.contains(&format!("action=\"{}\"", scene.path)), "{text}");
    for kind in ContactKind::ALL.map(ContactKind::as_str) {
        assert!(text.contains(&format!("value=\"{kind}\"")), "{kind}: {text}");
    }
    assert!(!text.contains("no-referrer"), "a browser would hide from where the form comes");

    let head = scene.daemon().send("HEAD", &scene.path, &[], "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), text.len().to_string());
    let other = scene.daemon().send("PUT", &scene.path, &[FORM], "kind=thanked");
    assert_eq!((other.status, other.header("allow")), (405, "GET, HEAD, POST"));
    for (path, status, words) in [
        (format!("/answered/{}", "0".repeat(32)), 200, "Kiln Lane"),
        (format!("/answered/{}{}", "0".repeat(16), "f".repeat(16)), 404, "nothing of this name"),
        ("/answered/".to_owned(), 400, "32 hex digits"),
        ("/answered/one".to_owned(), 400, "32 hex digits"),
        (format!("{}.atom", scene.path), 400, "32 hex digits"),
        (format!("{}?kind=thanked", scene.path), 400, "kind: no such parameter"),
    ] {
        let answer = scene.daemon().get(&path);
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.text().contains(words), "{path}: {}", answer.text());
    }
    assert_eq!(scene.noted(), []);
}

#[test]
fn what_was_done_is_noted_and_shown() {
    let mut scene = Scene::new("");
    let voice = "/voices/kiln-lane.html";
    let before = scene.daemon().get(voice);
    let done = scene.post(&[], "kind=thanked&note=By+mail%0D%0Aand+%07phone");
    assert_eq!((done.status, done.header("location")), (303, scene.path.as_str()), "{}", done.text());
    let page = scene.page();
    assert!(page.contains("By mail"), "{page}");
    let after = scene.daemon().get_with(voice, &[("if-none-match", before.header("etag"))]);
    assert_eq!(after.status, 200, "what was kept is made anew");
    assert!(after.text().contains("By mail"), "{}", after.text());
    let metrics = scene.daemon().get("/metrics").text();
    assert!(metrics.contains("view=\"answered\",format=\"html\",status=\"303\""));
    let noted = scene.noted();
    assert_eq!(noted.len(), 1);
    let contact = &noted[0];
    assert_eq!((contact.kind, contact.note.as_str()), (ContactKind::Thanked, "By mail\nand phone"));
    assert_eq!((contact.title.as_str(), contact.by), ("A cracked bowl", None));
    assert_eq!(format!("/answered/{}", contact.about), scene.path);
    assert!(now().since(contact.at) < Duration::from_mins(5));
}

#[test]
fn two_clicks_are_one_answer() {
    let mut scene = Scene::new("");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(scene.post(&[], "kind=thanked&note=hello").status, 303));
        }
    });
    for body in ["kind=shared&note=hello", "kind=thanked&note=again", "kind=thanked", "kind=thanked&note=+hello+"] {
        assert_eq!(scene.post(&[], body).status, 303, "{body}");
    }
    let noted: Vec<_> = scene.noted().into_iter().map(|contact| (contact.kind, contact.note)).collect();
    let expected = [
        (ContactKind::Thanked, "hello"),
        (ContactKind::Shared, "hello"),
        (ContactKind::Thanked, "again"),
        (ContactKind::Thanked, ""),
    ];
    assert_eq!(noted, expected.map(|(kind, note)| (kind, note.to_owned())));
}

#[test]
fn forms_from_elsewhere_are_refused() {
    let mut scene = Scene::new("");
    let own = scene.daemon().url("").trim_end_matches('/').to_owned();
    let own = url::Url::parse(&own).unwrap();
    let port = own.port().unwrap();
    let (here, there) = (format!("http://{}:{port}", own.host_str().unwrap()), format!("http://localhost:{port}"));
    let (here, there, local) = (here.as_str(), there.as_str(), format!("localhost:{port}"));
    for (headers, status) in [
        (&[][..], 303),
        (&[("sec-fetch-site", "same-origin")][..], 303),
        (&[("sec-fetch-site", "none")][..], 303),
        (&[("sec-fetch-site", "same-origin"), ("origin", "null")][..], 303),
        (&[("sec-fetch-site", "same-site")][..], 403),
        (&[("sec-fetch-site", "cross-site")][..], 403),
        (&[("sec-fetch-site", "cross-site"), ("origin", here)][..], 403),
        (&[("origin", here)][..], 303),
        (&[("origin", there), ("host", local.as_str())][..], 303),
        (&[("origin", "https://evil.example")][..], 403),
        (&[("origin", there)][..], 403),
        (&[("origin", "null")][..], 403),
    ] {
        let answer = scene.post(headers, "kind=thanked");
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text());
        if status == 403 {
            assert!(answer.text().contains("nothing was noted down"), "{}", answer.text());
        }
    }
    assert_eq!(scene.noted().len(), 1);
}

#[test]
fn forms_that_are_none_are_refused_with_what_is_possible() {
    let mut scene = Scene::new("");
    let note = |note: &str| format!("kind=shared&note={note}");
    // What takes most bytes: each of these characters is sent as twelve.
    let full = note(&"%F0%9F%8D%B2".repeat(2000));
    for (kind, body, status, words) in [
        (FORM.1, "", 400, "thanked, commented, shared"),
        (FORM.1, "kind=hugged", 400, "thanked, commented, shared"),
        (FORM.1, "note=x", 400, "thanked, commented, shared"),
        (FORM.1, "kind=shared&who=me", 400, "there are kind and note"),
        (FORM.1, &note(&"x".repeat(2001)), 400, "2000 characters"),
        (FORM.1, &note(&"x".repeat(40_000)), 413, "24 KiB"),
        ("application/json", "{\"kind\":\"shared\"}", 415, "application/x-www-form-urlencoded"),
        ("", "kind=shared", 415, "application/x-www-form-urlencoded"),
        ("Application/X-WWW-Form-URLencoded; charset=utf-8", &full, 303, ""),
    ] {
        let answer = scene.daemon().send("POST", &scene.path, &[("content-type", kind)], body);
        assert_eq!(answer.status, status, "{kind} {words}: {}", answer.text());
        assert!(answer.text().contains(words), "{}", answer.text());
    }
    let browser = [FORM, ("accept", "text/html")];
    let refused = scene.daemon().send("POST", &scene.path, &browser, "kind=hugged");
    assert!(refused.status == 400 && refused.header("content-type").starts_with("text/html"));
    let nobody = format!("/answered/{}{}", "0".repeat(16), "f".repeat(16));
    assert_eq!(scene.daemon().send("POST", &nobody, &[FORM], "kind=shared").status, 404);
    let noted = scene.noted();
    assert_eq!(noted.len(), 1);
    assert_eq!(noted[0].note, "🍲".repeat(2000));
}

#[test]
fn only_the_keeper_notes_down() {
    for server in ["tokens = [\"t\"]", "tokens = [\"t\"]\npublic = true"] {
        // The links in feeds are the keeper's, too.
        let mut scene = Scene::new(server);
        for (headers, status) in [
            (&[][..], 401),
            (&[("authorization", "Bearer wrong")][..], 401),
            (&[("authorization", "Basic YW5uOnQ=")][..], 303),
            (&[("authorization", "Bearer t")][..], 303),
        ] {
            let page = scene.daemon().get_with(&scene.path, headers).status;
            assert_eq!(page, if status == 401 { 401 } else { 200 }, "{server} {headers:?}");
            assert_eq!(scene.post(headers, "kind=thanked").status, status, "{server} {headers:?}");
        }
        let with_token = format!("{}?token=t", scene.path);
        let page = scene.daemon().get(&with_token);
        assert!(page.status == 200 && !page.text().contains("token=t"));
        let posted = scene.daemon().send("POST", &with_token, &[FORM], "kind=thanked");
        assert_eq!((posted.status, posted.header("location")), (303, with_token.as_str()));
        assert_eq!(scene.noted().len(), 1);
    }
}

#[test]
fn behind_a_proxy_the_way_back_has_its_prefix() {
    let scene = Scene::new("base_url = \"http://127.0.0.1:0/listen/\"");
    let own = url::Url::parse(&scene.daemon().url("")).unwrap();
    assert!(own.path().starts_with("/listen"), "{own}");
    let page = scene.page();
    assert!(page.contains(&format!("action=\"/listen{}\"", scene.path)), "{page}");
    let origin = own.origin().ascii_serialization();
    // The proxy says its own name, and not that by which the browser knows it.
    let headers = [("origin", origin.as_str()), ("host", "listend.internal")];
    let done = scene.post(&headers, "kind=commented");
    assert_eq!((done.status, done.header("location")), (303, format!("/listen{}", scene.path).as_str()));
    assert_eq!(scene.daemon().get(&scene.path).status, 200);
}

#[test]
fn a_full_disk_notes_nothing_down_and_says_so() {
    let is_there = Command::new("prlimit").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !is_there {
        eprintln!("SKIPPED: there is no prlimit");
        return;
    }
    let mut scene = Scene::with("", Home::start_outliving_limits);
    let limit = |bytes: &str| {
        let pid = scene.daemon().pid().to_string();
        let limited = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:unlimited")]).status();
        assert!(limited.unwrap().success());
    };
    limit("0");
    let refused = scene.post(&[], "kind=thanked&note=first");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("nothing was noted down"), "{}", refused.text());
    assert!(!scene.page().contains("first"), "reading goes on, and there is nothing to read");
    limit("unlimited");
    until("the disk is well again", || (scene.post(&[], "kind=thanked&note=second").status == 303).then_some(()));
    let noted: Vec<String> = scene.noted().into_iter().map(|contact| contact.note).collect();
    assert_eq!(noted, ["second"]);
}
