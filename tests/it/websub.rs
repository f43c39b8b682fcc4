//! Hubs, from both ends: the daemon as their subscriber and as their publisher, against a hub on loopback that does what
//! a test says.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use listend::model::Timestamp;
use ring::hmac;
use url::Url;

use crate::harness::{Answer, Daemon, Home, PATIENCE, fetch, opml, outline, until, until_within};
use crate::origin::{NOW, Origin, Reply, answer, feed_url};

/// A hub: notes what it is asked, answers, and verifies as hubs do.
struct Hub {
    address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    asked: Arc<Mutex<Vec<Form>>>,
    verified: Arc<Mutex<Vec<Answer>>>,
}

/// What a hub does with a request.
#[derive(Clone)]
struct Manner {
    status: u16,
    /// Whether it denies what it is asked for.
    denies: bool,
    lease_seconds: u64,
}

/// A form, as it was posted, and when.
#[derive(Clone)]
struct Form {
    fields: HashMap<String, String>,
    at: Instant,
}

impl Form {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map(String::as_str).unwrap_or_default()
    }
}

impl Hub {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hub = Self {
            address: listener.local_addr().unwrap(),
            manner: Arc::new(Mutex::new(Manner { status: 202, denies: false, lease_seconds: 864_000 })),
            asked: Arc::default(),
            verified: Arc::default(),
        };
        let (manner, asked, verified) = (hub.manner.clone(), hub.asked.clone(), hub.verified.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (manner, asked, verified) = (manner.clone(), asked.clone(), verified.clone());
                std::thread::spawn(move || {
                    let Some(form) = read_form(&stream) else { return };
                    let manner = manner.lock().unwrap().clone();
                    asked.lock().unwrap().push(form.clone());
                    let head =
                        format!("HTTP/1.1 {} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", manner.status);
                    (&stream).write_all(head.as_bytes()).unwrap();
                    drop(stream);
                    if manner.status < 300 && form.field("hub.mode") != "publish" {
                        verified.lock().unwrap().extend(verify(&form, &manner));
                    }
                });
            }
        });
        hub
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    fn behave(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.manner.lock().unwrap());
    }

    /// What it was asked for so far, of this mode.
    fn asked(&self, mode: &str) -> Vec<Form> {
        self.asked.lock().unwrap().iter().filter(|form| form.field("hub.mode") == mode).cloned().collect()
    }

    /// Waits for the first subscription, verified.
    fn subscribed(&self) -> Form {
        let form = until("a subscription", || self.asked("subscribe").first().cloned());
        until("its verification", || (!self.verified.lock().unwrap().is_empty()).then_some(()));
        form
    }
}

fn read_form(mut stream: &TcpStream) -> Option<Form> {
    let (mut head, mut byte) = (Vec::new(), [0; 1]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("post ") && head.contains("content-type: application/x-www-form-urlencoded"), "{head}");
    let length = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Form { fields: url::form_urlencoded::parse(&body).into_owned().collect(), at: Instant::now() })
}

/// Verifies a request as a hub does; what the callback said.
fn verify(form: &Form, manner: &Manner) -> Option<Answer> {
    let mode = if manner.denies { "denied" } else { form.field("hub.mode") };
    let lease = manner.lease_seconds.to_string();
    let mut fields = vec![("hub.mode", mode), ("hub.topic", form.field("hub.topic"))];
    if manner.denies {
        fields.push(("hub.reason", "not today"));
    } else {
        fields.extend([("hub.challenge", "ch4llenge"), ("hub.lease_seconds", &lease)]);
    }
    question(form.field("hub.callback"), &fields)
}

fn question(callback: &str, fields: &[(&str, &str)]) -> Option<Answer> {
    let mut url = Url::parse(callback).unwrap();
    url.query_pairs_mut().extend_pairs(fields);
    fetch(url.as_str(), &[]).ok()
}

/// Pushes a document to a callback; the status of the answer.
fn push(form: &Form, signature: Option<&str>, body: &str) -> u16 {
    let callback = Url::parse(form.field("hub.callback")).unwrap();
    request("POST", &callback, signature, body)
}

fn request(method: &str, url: &Url, signature: Option<&str>, body: &str) -> u16 {
    let host = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let mut stream = TcpStream::connect(&host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let signature = signature.map(|value| format!("X-Hub-Signature: {value}\r\n")).unwrap_or_default();
    let head = format!(
        "{method} {} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/atom+xml\r\n{signature}Content-Length: {}\r\n\
         Connection: close\r\n\r\n",
        url.path(),
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // It may refuse the rest without reading it.
    let _ = stream.write_all(body.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// The header of a body that is signed with a subscription's secret.
fn signed(form: &Form, method: &str, body: &str) -> String {
    let algorithm = match method {
        "sha1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        "sha512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    let key = hmac::Key::new(algorithm, form.field("hub.secret").as_bytes());
    let tag = hmac::sign(&key, body.as_bytes());
    tag.as_ref().iter().fold(format!("{method}="), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Entries `1` to `count` of a feed, a minute apart.
fn document(hub: &str, topic: &str, count: usize) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let start = Timestamp::from_seconds(now.as_secs() as i64 - 3600);
    let mut entries = String::new();
    for number in 1..=count {
        let at = start.plus(Duration::from_mins(number as u64)).to_rfc3339();
        let _ = write!(
            entries,
            "<entry><id>urn:e:{number}</id><title>Entry {number}</title><updated>{at}</updated>\
             <link href=\"/posts/{number}\"/></entry>"
        );
    }
    let links = format!("<link rel=\"self\" href=\"{topic}\"/><link rel=\"hub\" href=\"{hub}\"/>");
    format!(
        "<feed xmlns=\"http://www.w3.org/2005/Atom\"><id>urn:f</id><title>Mina</title>{links}\
         <updated>2026-11-01T00:00:00Z</updated>{entries}</feed>"
    )
}

/// Left to itself, the feed is polled every hour.
const PACE: &str = "Cache-Control: max-age=3600\r\n";

/// A feed that names a hub, and a daemon that can be reached, both on loopback.
struct Stage {
    hub: Hub,
    origin: Origin,
    body: Arc<Mutex<String>>,
    home: Home,
}

impl Stage {
    fn set() -> Self {
        Self::set_with("", "max_interval = \"24h\"\n", &[])
    }

    /// With more keys of `[server]`, more keys of `[fetch]`, and further permitted addresses.
    fn set_with(server: &str, fetch: &str, allowed: &[SocketAddr]) -> Self {
        let hub = Hub::open();
        let body = Arc::new(Mutex::new(String::new()));
        let served = Arc::clone(&body);
        let origin = Origin::serve(move |request| {
            let body = served.lock().unwrap().clone();
            let tag = format!("\"{}\"", body.len());
            if request.header("if-none-match") == Some(tag.clone().into_bytes()) {
                return answer(304, PACE, "");
            }
            answer(200, &format!("{PACE}Content-Type: application/atom+xml\r\nETag: {tag}\r\n"), body)
        });
        *body.lock().unwrap() = document(&hub.url(), &origin.url("/feed"), 2);
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let home = Home::new();
        let allowed: Vec<String> =
            [hub.address, origin.address, free].iter().chain(allowed).map(|address| format!("\"{address}\"")).collect();
        let toml = format!(
            "lists = \"lists\"\nstate = \"state\"\n[server]\nlisten = \"{free}\"\nbase_url = \"http://{free}/\"\n{server}\n\
             [fetch]\nper_host = 16\nper_host_gap = \"0s\"\nmin_interval = \"1s\"\nallow_addresses = [{}]\n{fetch}",
            allowed.join(", ")
        );
        fs::write(home.configuration(), toml).unwrap();
        home.write_list("followers", &opml(&outline("Mina", &origin.url("/feed"))));
        Self { hub, origin, body, home }
    }

    /// The feed as it is with so many entries.
    fn with_entries(&self, count: usize) -> String {
        document(&self.hub.url(), &self.origin.url("/feed"), count)
    }
}

fn titles(daemon: &Daemon) -> Vec<String> {
    daemon.items("/listen.json").iter().map(|item| item["title"].as_str().unwrap().to_owned()).collect()
}

fn wait_for(daemon: &Daemon, title: &str) -> Duration {
    until_within(PATIENCE, title, || titles(daemon).iter().any(|listed| listed == title).then_some(())).1
}

#[test]
fn a_push_is_in_the_merged_feed_within_a_second() {
    let stage = Stage::set();
    let daemon = stage.home.start();
    let form = stage.hub.subscribed();
    assert_eq!(form.field("hub.topic"), stage.origin.url("/feed"));
    assert!(form.field("hub.secret").len() >= 32 && form.field("hub.secret").len() < 200);
    assert!(form.field("hub.callback").rsplit('/').next().unwrap().len() >= 32);
    {
        let verified = stage.hub.verified.lock().unwrap();
        assert_eq!((verified[0].status, verified[0].text().as_str()), (200, "ch4llenge"));
        assert_eq!(verified[0].header("content-type"), "application/octet-stream");
        assert_eq!(verified[0].header("x-content-type-options"), "nosniff");
    }
    let mut took = Vec::new();
    for count in 3..23 {
        let body = stage.with_entries(count);
        let method = if count % 2 == 0 { "sha256" } else { "sha512" };
        let start = Instant::now();
        assert_eq!(push(&form, Some(&signed(&form, method, &body)), &body), 202);
        wait_for(&daemon, &format!("Entry {count}"));
        took.push(start.elapsed());
    }
    took.sort();
    let (median, most) = (took[took.len() / 2], took[took.len() - 1]);
    println!("push to merged feed, {} pushes: median {median:?}, most {most:?}", took.len());
    assert!(median < Duration::from_secs(1), "{took:?}");
    // The feed itself was asked once, and the next poll is conditional on what that answer said; it finds nothing twice.
    assert_eq!(stage.origin.requests().len(), 1);
    let before = stage.with_entries(2).len();
    *stage.body.lock().unwrap() = stage.with_entries(22);
    let body = "hint";
    push(&form, Some(&signed(&form, "sha1", body)), body);
    until("a poll", || stage.origin.requests().get(1).cloned());
    let sent = stage.origin.requests()[1].header("if-none-match");
    assert_eq!(sent, Some(format!("\"{before}\"").into_bytes()));
    until("its end", || (daemon.status()["feeds"][0]["entries"] == 22).then_some(()));
    assert_eq!(titles(&daemon).len(), 22);
    assert!(daemon.get("/metrics").text().contains("listend_pushes_total{outcome=\"taken\"} 20"));
}

#[test]
fn what_a_hub_leaves_out_of_a_push_has_not_left_the_feed() {
    let stage = Stage::set();
    let daemon = stage.home.start();
    let form = stage.hub.subscribed();
    let body = stage.with_entries(3);
    let first = body.find("<entry>").unwrap();
    let last = body.rfind("<entry>").unwrap();
    let body = format!("{}{}", &body[..first], &body[last..]);
    assert_eq!(push(&form, Some(&signed(&form, "sha256", &body)), &body), 202);
    wait_for(&daemon, "Entry 3");
    assert_eq!(titles(&daemon).len(), 3);
}

#[test]
fn forged_pushes_are_refused_and_reported_once() {
    let stage = Stage::set();
    let daemon = stage.home.start();
    let form = stage.hub.subscribed();
    let body = stage.with_entries(9);
    let other = signed(&form, "sha256", "something else");
    for forged in [None, Some(other.as_str()), Some("sha256=00"), Some("md5=00"), Some("nonsense")] {
        for _ in 0..3 {
            assert_eq!(push(&form, forged, &body), 202, "the sender learns nothing");
        }
    }
    let callback = form.field("hub.callback");
    let unknown = Form { fields: HashMap::from([("hub.callback".to_owned(), format!("{callback}x"))]), at: form.at };
    assert_eq!(push(&unknown, Some(&other), &body), 410);
    let good = stage.with_entries(3);
    assert_eq!(push(&form, Some(&signed(&form, "sha256", &good)), &good), 202);
    wait_for(&daemon, "Entry 3");
    until("all of them judged", || {
        daemon.get("/metrics").text().contains("listend_pushes_total{outcome=\"forged\"} 15").then_some(())
    });
    assert_eq!(titles(&daemon).len(), 3);
    assert_eq!(daemon.log().matches("a push was refused").count(), 1, "{}", daemon.log());
}

#[test]
fn pushes_are_bounded() {
    let stage = Stage::set_with("", "max_interval = \"24h\"\nmax_body = \"64KiB\"\n", &[]);
    let daemon = stage.home.start();
    let form = stage.hub.subscribed();
    let large = "x".repeat(1 << 20);
    assert_eq!(push(&form, Some(&signed(&form, "sha256", &large)), &large), 413);
    let callback = Url::parse(form.field("hub.callback")).unwrap();
    for method in ["PUT", "DELETE", "PATCH"] {
        assert_eq!(request(method, &callback, None, ""), 405, "{method}");
    }
    let listen = Url::parse(&daemon.url("/listen.atom")).unwrap();
    assert_eq!(request("POST", &listen, None, ""), 405, "only hubs may post");
}

#[test]
fn questions_about_what_was_not_asked_are_not_answered() {
    let stage = Stage::set_with("tokens = [\"key\"]", "max_interval = \"24h\"\n", &[]);
    let _daemon = stage.home.start();
    let form = stage.hub.subscribed();
    assert_eq!(stage.hub.verified.lock().unwrap()[0].status, 200, "hubs need no token");
    let (callback, topic) = (form.field("hub.callback"), form.field("hub.topic"));
    let challenge = ("hub.challenge", "c");
    let elsewhere = format!("{callback}x");
    for (callback, fields) in [
        (callback, &[("hub.mode", "subscribe"), ("hub.topic", "http://bank.example/"), challenge][..]),
        (callback, &[("hub.mode", "unsubscribe"), ("hub.topic", topic), challenge]),
        (callback, &[("hub.mode", "dance"), ("hub.topic", topic), challenge]),
        (callback, &[("hub.mode", "subscribe"), ("hub.topic", topic)]),
        (callback, &[("hub.mode", "subscribe"), ("hub.topic", topic), ("hub.challenge", "<p>\u{1}")]),
        (callback, &[]),
        (&elsewhere, &[("hub.mode", "subscribe"), ("hub.topic", topic), challenge]),
    ] {
        assert_eq!(question(callback, fields).unwrap().status, 404, "{fields:?}");
    }
}

#[test]
fn a_sha1_push_is_a_hint_to_poll_once_a_minute() {
    let stage = Stage::set();
    let daemon = stage.home.start();
    let form = stage.hub.subscribed();
    *stage.body.lock().unwrap() = stage.with_entries(3);
    // What it carries counts for nothing.
    let lie = stage.with_entries(7);
    for _ in 0..5 {
        assert_eq!(push(&form, Some(&signed(&form, "sha1", &lie)), &lie), 202);
    }
    wait_for(&daemon, "Entry 3");
    let body = stage.with_entries(4);
    push(&form, Some(&signed(&form, "sha256", &body)), &body);
    wait_for(&daemon, "Entry 4");
    assert_eq!((stage.origin.requests().len(), titles(&daemon).len()), (2, 4));
    // A feed that is pushed is polled four times more seldom, until the hub will not push it any more.
    let wait = || {
        let next = Timestamp::parse_rfc3339(daemon.status()["feeds"][0]["next_poll"].as_str().unwrap()).unwrap();
        let asked = Timestamp::parse_rfc3339(daemon.status()["feeds"][0]["last_success"].as_str().unwrap()).unwrap();
        next.since(asked).as_secs() / 60
    };
    assert!((239..265).contains(&wait()), "{} minutes", wait());
    let denial = [("hub.mode", "denied"), ("hub.topic", form.field("hub.topic")), ("hub.reason", "no")];
    assert_eq!(question(form.field("hub.callback"), &denial).unwrap().status, 200);
    until("the usual pace", || (55..67).contains(&wait()).then_some(()));
    assert_eq!(stage.hub.asked("subscribe").len(), 1);
}

#[test]
fn leases_are_renewed_before_they_end() {
    let stage = Stage::set();
    stage.hub.behave(|manner| manner.lease_seconds = 8);
    let daemon = stage.home.start();
    let asked = until("a renewal", || Some(stage.hub.asked("subscribe")).filter(|asked| asked.len() >= 2));
    for pair in asked.windows(2) {
        let pause = pair[1].at - pair[0].at;
        println!("renewed after {pause:?} of 8 s");
        assert!((5..8).contains(&pause.as_secs()), "{pause:?}");
        assert_eq!(pair[0].fields, pair[1].fields, "the hub knows it again");
    }
    let body = stage.with_entries(3);
    assert_eq!(push(&asked[0], Some(&signed(&asked[0], "sha256", &body)), &body), 202);
    wait_for(&daemon, "Entry 3");
    // A hub that says yes no more: the lease runs out, and the feed is polled as before.
    stage.hub.behave(|manner| manner.status = 500);
    until("the end of the lease", || daemon.log().contains("a lease has ended").then_some(()));
}

#[test]
fn denial_and_failure_fall_back_to_polling() {
    for (status, denies) in [(202, true), (404, false), (503, false)] {
        let stage = Stage::set_with("", "max_interval = \"1s\"\n", &[]);
        stage.hub.behave(|manner| (manner.status, manner.denies) = (status, denies));
        let daemon = stage.home.start();
        until("a request", || stage.hub.asked("subscribe").first().cloned());
        *stage.body.lock().unwrap() = stage.with_entries(3);
        wait_for(&daemon, "Entry 3");
        let said = if denies { "a hub denies" } else { "a hub cannot be had" };
        until("a line of the log", || daemon.log().contains(said).then_some(()));
        // Each hub is asked ever more rarely: 1 s, 2 s, 4 s …
        assert!(stage.hub.asked("subscribe").len() < 5, "{status}");
    }
}

#[test]
fn a_hub_behind_the_guard_is_not_dialled() {
    let canary = Origin::canary();
    let stage = Stage::set();
    for (at, hub) in
        [canary.url("/"), format!("http://[::ffff:127.0.0.1]:{}/", canary.address.port())].iter().enumerate()
    {
        *stage.body.lock().unwrap() = document(hub, &stage.origin.url(&format!("/{at}")), 2);
        stage.home.write_list("followers", &opml(&outline("Mina", &stage.origin.url(&format!("/{at}")))));
        let daemon = stage.home.start();
        until("a refusal", || (daemon.log().matches("blocked_address").count() > at).then_some(()));
        daemon.stop();
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn forms_follow_redirects_that_keep_the_method() {
    let origin = Origin::serve(|request| {
        let (status, to) = match request.path.as_str() {
            "/307" => (307, "/308"),
            "/308" => (308, "/hub"),
            "/302" => (302, "/hub"),
            "/loop" => (307, "/loop?again"),
            "/loop?again" => (307, "/loop"),
            "/busy" => (503, "/"),
            _ => (202, "/"),
        };
        let kind = request.header("content-type").unwrap_or_default();
        assert_eq!(kind, b"application/x-www-form-urlencoded");
        // Closed each time: this origin does not read the form.
        let head = format!(
            "HTTP/1.1 {status} X\r\nLocation: {to}\r\nRetry-After: 7\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        Reply::Close(head.into_bytes())
    });
    let client = origin.client();
    for (path, status, hops) in [("/307", 202, 3), ("/302", 302, 1), ("/busy", 503, 1)] {
        let before = origin.requests().len();
        let posted = client.post(&feed_url(&origin.url(path)), "a=b", NOW).await.unwrap();
        let asked = origin.requests().len() - before;
        assert_eq!((posted.status, posted.retry_after, asked), (status, Some(Duration::from_secs(7)), hops), "{path}");
    }
    let endless = client.post(&feed_url(&origin.url("/loop")), "a=b", NOW).await.unwrap_err();
    assert_eq!(endless.kind(), "redirect");
}

#[test]
fn an_agreement_outlasts_a_restart() {
    let stage = Stage::set();
    let daemon = stage.home.start();
    let form = stage.hub.subscribed();
    until("the agreement", || daemon.log().contains("a hub pushes this feed").then_some(()));
    daemon.stop();
    for round in 3..6 {
        let daemon = stage.home.start();
        let body = stage.with_entries(round);
        assert_eq!(push(&form, Some(&signed(&form, "sha256", &body)), &body), 202);
        wait_for(&daemon, &format!("Entry {round}"));
        daemon.kill();
    }
    assert_eq!((stage.hub.asked("subscribe").len(), stage.origin.requests().len()), (1, 1));
}

#[test]
fn a_feed_that_leaves_or_changes_its_hub_is_unsubscribed() {
    let other = Hub::open();
    let stage = Stage::set_with("", "max_interval = \"1s\"\n", &[other.address]);
    let daemon = stage.home.start();
    let form = stage.hub.subscribed();
    *stage.body.lock().unwrap() = document(&other.url(), &stage.origin.url("/feed"), 3);
    let second = other.subscribed();
    let goodbye = until("a farewell to the first", || stage.hub.asked("unsubscribe").first().cloned());
    assert_eq!(goodbye.field("hub.callback"), form.field("hub.callback"));
    until("its verification", || (stage.hub.verified.lock().unwrap().len() == 2).then_some(()));
    assert_eq!(stage.hub.verified.lock().unwrap()[1].status, 200);
    let body = stage.with_entries(4);
    until("the end", || (push(&form, Some(&signed(&form, "sha256", &body)), &body) == 410).then_some(()));

    assert_ne!(second.field("hub.callback"), form.field("hub.callback"));
    assert_ne!(second.field("hub.secret"), form.field("hub.secret"));
    stage.home.write_list("followers", &opml(""));
    until("a farewell to the second", || other.asked("unsubscribe").first().cloned());
    drop(daemon);
}

#[test]
fn nobody_is_asked_for_what_cannot_be() {
    let stage = Stage::set();
    // A feed that speaks for another host, and one that does not.
    let (hub, origin) = (stage.hub.url(), &stage.origin);
    let foreign = origin.url("/foreign").replace("127.0.0.1", "localhost");
    let lies = document(&hub, &foreign, 2);
    let liar = Origin::serve(move |_| answer(200, "", lies.clone()));
    let text = fs::read_to_string(stage.home.configuration()).unwrap();
    let allowed = format!("allow_addresses = [\"{}\", ", liar.address);
    fs::write(stage.home.configuration(), text.replace("allow_addresses = [", &allowed)).unwrap();
    stage.home.write_list("desired", &opml(&outline("Liar", &liar.url("/feed"))));
    let daemon = stage.home.start();
    until("both", || (titles(&daemon).len() == 4).then_some(()));
    stage.hub.subscribed();
    assert_eq!(stage.hub.asked("subscribe").len(), 1);
    daemon.stop();

    // And nobody at all where no hub can reach us.
    let stage = Stage::set();
    let text = fs::read_to_string(stage.home.configuration()).unwrap();
    let base = text.lines().find(|line| line.starts_with("base_url")).unwrap();
    fs::write(stage.home.configuration(), text.replace(base, "base_url = \"http://localhost:80/\"")).unwrap();
    let daemon = stage.home.launch();
    until("a word about it", || daemon.log().contains("hubs cannot reach server.base_url").then_some(()));
    until("the feed", || (stage.origin.requests().len() == 1).then_some(()));
    assert!(stage.hub.asked("subscribe").is_empty());
}

#[test]
fn our_own_hub_is_told_of_changes() {
    let own = Hub::open();
    let stage = Stage::set_with(&format!("hub = \"{}\"", own.url()), "max_interval = \"1s\"\n", &[own.address]);
    stage.hub.behave(|manner| manner.status = 404);
    let daemon = stage.home.start();
    until("the feed", || (titles(&daemon).len() == 2).then_some(()));
    for ending in ["atom", "rss", "json"] {
        let feed = daemon.get(&format!("/listen.{ending}"));
        let this = daemon.url(&format!("/listen.{ending}"));
        assert_eq!(feed.header("link"), format!("<{}>; rel=\"hub\", <{this}>; rel=\"self\"", own.url()));
        assert!(feed.text().contains(&own.url()) && feed.text().contains(&this), "{}", feed.text());
    }
    assert_eq!(daemon.get("/listen.html").header("link"), "");
    let start = Instant::now();
    *stage.body.lock().unwrap() = stage.with_entries(3);
    wait_for(&daemon, "Entry 3");
    let pinged = |path: &str| {
        let url = daemon.url(path);
        own.asked("publish").into_iter().filter(|form| form.field("hub.url") == url).collect::<Vec<_>>()
    };
    // Those that always are, and one that was asked for.
    for path in ["/listen.atom", "/followers.atom", "/listen.json"] {
        let ping = until(path, || pinged(path).first().cloned());
        assert_eq!(ping.field("hub.topic"), ping.field("hub.url"));
    }
    println!("all pings after {:?}", start.elapsed());
    *stage.body.lock().unwrap() = stage.with_entries(4);
    wait_for(&daemon, "Entry 4");
    assert!(pinged("/listen.atom").len() <= 2 && pinged("/followers.rss").is_empty());
}
