//! The address guard: whatever the spelling and whatever the way there, not one connection is made.
//!
//! A canary listens on the loopback addresses that the spellings mean; it must never be reached.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use listend::daemon::{Page, seek};
use listend::feeds::address::{Guard, Lookup, reach};
use listend::feeds::fetch::{Client, Settings};
use listend::model::FeedUrl;
use url::Url;

use crate::harness::{Home, opml, until};
use crate::origin::{NOW, Origin, Reply, answer, client, feed_url, get, redirect, settings};

/// Addresses as a URL can spell them: each must be refused as it stands.
pub(crate) const FORBIDDEN_HOSTS: [&str; 79] = [
    // This computer, in all the spellings that a URL parser folds into one.
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7F.1",
    "0x7f.0x0.0x0.0x1",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "127.0.0.1.",
    "127.000.000.001",
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "１２７.０.０.１",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "ann:secret@127.0.0.1",
    "127.255.255.254",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    // An IPv4 address inside an IPv6 one: mapped, compatible, translated, NAT64, 6to4, Teredo (server and client).
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:10.0.0.1]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b::10.0.0.1]",
    "[64:ff9b:1::1]",
    "[64:ff9b:1:7f00:0:100::]",
    "[2002:7f00:1::]",
    "[2002:a00:1::1]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:7f00:1::]",
    "[2001:0:5db8:d822:0:0:80ff:fffe]",
    "[2001:0:5db8:d822:0:0:f5ff:fffe]",
    // No address, private networks, the local link with the clouds' metadata.
    "0.0.0.0",
    "0",
    "0.1.2.3",
    "[::]",
    "10.0.0.1",
    "0xa.1",
    "012.0.0.1",
    "167772161",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.1",
    "0xc0a80001",
    "100.64.0.1",
    "100.127.255.255",
    "169.254.169.254",
    "2852039166",
    "0xA9FEA9FE",
    "[fc00::1]",
    "[fd12:3456:789a::1]",
    "[fe80::1]",
    "[fec0::1]",
    // Set aside, or for many.
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[ff02::1]",
    "[2001:db8::1]",
    "[2001:10::1]",
    "[100::1]",
    "[3fff::1]",
];

/// Canaries on the loopback addresses of the tables, all on one port.
struct Canaries {
    port: u16,
    origins: Vec<Origin>,
}

impl Canaries {
    fn listen() -> Self {
        let first = Origin::canary();
        let port = first.address.port();
        let more = ["127.255.255.254", "[::1]"];
        // Not every machine that runs the tests has IPv6 on loopback.
        let more = more.iter().filter_map(|host| TcpListener::bind(format!("{host}:{port}")).ok());
        let mut origins: Vec<_> = more.map(|listener| Origin::serve_on(listener, |_| answer(200, "", ""))).collect();
        origins.push(first);
        Self { port, origins }
    }

    fn connections(&self) -> usize {
        self.origins.iter().map(Origin::connections).sum()
    }
}

/// What the spelling means; what does not even parse can be asked for by nobody.
fn url_of(host: &str, port: u16) -> Option<FeedUrl> {
    FeedUrl::parse(&format!("http://{host}:{port}/feed")).ok()
}

async fn assert_blocked(client: &Client, url: &str, what: &str) {
    let failure = get(client, url).await.expect_err(what);
    assert_eq!(failure.kind(), "blocked_address", "{what}: {failure}");
    assert!(failure.to_string().starts_with("blocked_address: "), "{failure}");
    assert!(!failure.may_be_our_network());
}

#[tokio::test]
async fn forbidden_literals_are_never_dialled() {
    let canaries = Canaries::listen();
    let client = client(settings([]));
    for host in FORBIDDEN_HOSTS {
        let url = url_of(host, canaries.port).unwrap_or_else(|| panic!("{host} is a spelling that parses"));
        assert_blocked(&client, url.as_str(), host).await;
        assert_blocked(&client, &url.as_str().replace("http://", "https://"), host).await;
    }
    assert_eq!(canaries.connections(), 0);
}

#[tokio::test]
async fn redirects_to_forbidden_literals_are_never_followed() {
    let canaries = Canaries::listen();
    let port = canaries.port;
    let origin = Origin::serve(move |request| {
        let (status, index) = request.path[1..].split_once('/').expect("a status and a number");
        let host = FORBIDDEN_HOSTS[index.parse::<usize>().expect("a number")];
        // Bytes beyond ASCII are sent as they are, as servers do.
        redirect(status.parse().expect("a status"), &format!("http://{host}:{port}/feed"))
    });
    let client = origin.client();
    for (index, host) in FORBIDDEN_HOSTS.iter().enumerate() {
        let status = [301, 302, 303, 307, 308][index % 5];
        assert_blocked(&client, &origin.url(&format!("/{status}/{index}")), host).await;
    }
    assert_eq!((canaries.connections(), origin.requests().len()), (0, FORBIDDEN_HOSTS.len()));
}

#[tokio::test]
async fn names_with_forbidden_answers_are_never_dialled() {
    let canaries = Canaries::listen();
    // Each forbidden address behind a name: alone, and before and behind a good one. The good one is an exception: were
    // the guard broken, it would still be nobody else's address that is dialled.
    let good: IpAddr = Ipv4Addr::new(127, 9, 9, 9).into();
    let mut answers: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for (index, host) in FORBIDDEN_HOSTS.iter().enumerate() {
        let url = url_of(host, canaries.port).expect("a spelling that parses");
        let address: IpAddr = url.host().trim_matches(['[', ']']).parse().expect("an address");
        answers.insert(format!("alone{index}.test"), vec![address]);
        answers.insert(format!("first{index}.test"), vec![address, good]);
        answers.insert(format!("last{index}.test"), vec![good, address]);
    }
    let names: Vec<String> = answers.keys().cloned().collect();
    let lookup = Lookup::Answers(Arc::new(move |name| Ok(answers.get(name).cloned().unwrap_or_default())));
    let other = SocketAddr::new(good, canaries.port);
    let origin = Origin::serve(|request| redirect(302, &request.path[1..]));
    let client = client(Settings { lookup, ..settings([other, origin.address]) });
    for name in &names {
        let url = format!("http://{name}:{}/feed", canaries.port);
        assert_blocked(&client, &url, name).await;
        assert_blocked(&client, &origin.url(&format!("/{url}")), name).await;
    }
    assert_eq!((canaries.connections(), names.len()), (0, 3 * FORBIDDEN_HOSTS.len()));
}

#[tokio::test]
async fn hubs_behind_forbidden_addresses_are_told_nothing() {
    let canaries = Canaries::listen();
    let port = canaries.port;
    // Closed each time: this origin does not read the form.
    let origin = Origin::serve(move |request| {
        let (status, to) = request.path[1..].split_once('/').expect("a status and a target");
        Reply::Close(
            format!("HTTP/1.1 {status} X\r\nLocation: {to}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                .into_bytes(),
        )
    });
    let mut answers: HashMap<String, Vec<IpAddr>> = HashMap::new();
    let mut targets = Vec::new();
    for (index, host) in FORBIDDEN_HOSTS.iter().enumerate() {
        let url = url_of(host, port).expect("a spelling that parses");
        let address: IpAddr = url.host().trim_matches(['[', ']']).parse().expect("an address");
        answers.insert(format!("hub{index}.test"), vec![address]);
        let name = format!("http://hub{index}.test:{port}/");
        let status = [307, 308][index % 2];
        let redirects = [url.to_string(), name.clone()].map(|to| origin.url(&format!("/{status}/{to}")));
        targets.extend([url.as_str().to_owned(), name]);
        targets.extend(redirects);
    }
    let lookup = Lookup::Answers(Arc::new(move |name| Ok(answers.get(name).cloned().unwrap_or_default())));
    let client = client(Settings { lookup, ..settings([origin.address]) });
    for target in &targets {
        let hub = FeedUrl::parse(target).expect("an address");
        let failure = client.post(&hub, "hub.mode=subscribe", NOW).await.expect_err(target);
        assert_eq!(failure.kind(), "blocked_address", "{target}: {failure}");
    }
    assert_eq!((canaries.connections(), targets.len()), (0, 4 * FORBIDDEN_HOSTS.len()));
}

/// A page that names these addresses as its feeds.
fn page(url: &str, named: &[String]) -> Page {
    let links = named.iter().map(|url| format!("<link rel=alternate type=application/rss+xml href='{url}'>"));
    let body = format!("<!doctype html><html><head>{}</head></html>", links.collect::<String>()).into_bytes();
    Page { body, content_type: Some("text/html".to_owned()), url: Url::parse(url).expect("a URL") }
}

#[tokio::test]
async fn pages_lead_to_nothing_forbidden() {
    let canaries = Canaries::listen();
    let port = canaries.port;
    // On the canaries' port, as a name that changes its mind keeps its port. Closed each time, so that it is looked up.
    let origin = Origin::serve_on(TcpListener::bind(("127.9.9.9", port)).expect("a free port"), |request| {
        let to = request.path.split_once("to=").map_or("/", |(_, to)| to);
        Reply::Close(
            format!("HTTP/1.1 302 X\r\nLocation: {to}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").into_bytes(),
        )
    });
    let mut answers: HashMap<String, IpAddr> = HashMap::new();
    let mut pages = Vec::new();
    for (index, host) in FORBIDDEN_HOSTS.iter().enumerate() {
        let url = url_of(host, port).expect("a spelling that parses");
        let address: IpAddr = url.host().trim_matches(['[', ']']).parse().expect("an address");
        answers.extend(["name", "mind"].map(|name| (format!("{name}{index}.test"), address)));
        let name = format!("http://name{index}.test:{port}/feed");
        let redirects = [url.as_str(), &name].map(|to| origin.url(&format!("/?to={to}")));
        pages.push((index, [[url.as_str().to_owned(), name].as_slice(), &redirects].concat()));
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, good) = (asked.clone(), origin.address.ip());
    // The second kind of name is good when it is looked up first: when its page is asked for.
    let met = Mutex::new(HashSet::new());
    let lookup = Lookup::Answers(Arc::new(move |name| {
        count.fetch_add(1, Ordering::SeqCst);
        let is_first = met.lock().expect("no lookup panicked").insert(name.to_owned());
        let is_good = is_first && name.starts_with("mind");
        Ok(if is_good { vec![good] } else { answers.get(name).copied().into_iter().collect() })
    }));
    let client = client(Settings { lookup, ..settings([origin.address]) });
    for (index, named) in &pages {
        let found = seek(&client, page(&origin.url("/"), named), false, Duration::ZERO).await;
        assert!(found.is_none(), "{named:?}");
        // Its usual places are at a name that is somebody else now.
        let there = format!("http://mind{index}.test:{port}/?to={}", named[0]);
        assert_blocked(&client, &there, &there).await;
        let found = seek(&client, page(&format!("http://mind{index}.test:{port}/"), &[]), true, Duration::ZERO).await;
        assert!(found.is_none(), "{there}");
    }
    // Of each page: two redirects, and the one before its name changed its mind. Of the name: two spellings, one lookup
    // each, and of the other one the two of the page and its first usual place.
    let count = FORBIDDEN_HOSTS.len();
    assert_eq!((canaries.connections(), origin.requests().len()), (0, 3 * count));
    assert_eq!(asked.load(Ordering::SeqCst), 4 * count);
    // The canaries would have seen it.
    let reckless = crate::origin::client(settings([SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port), origin.address]));
    let found = seek(&reckless, page(&origin.url("/"), &pages[0].1), false, Duration::ZERO).await;
    assert!(found.is_none() && canaries.connections() > 0);
}

#[test]
fn lists_lead_to_nothing_forbidden() {
    let canaries = Canaries::listen();
    let origin = Origin::serve(|request| redirect(302, request.path.split_once("to=").map_or("/", |(_, to)| to)));
    let url = |index: usize| format!("http://{}:{}/{index}", FORBIDDEN_HOSTS[index], canaries.port);
    let literals: Vec<String> = (0..FORBIDDEN_HOSTS.len()).map(url).collect();
    let redirects = literals.iter().map(|url| origin.url(&format!("/?to={}", feed_url(url)))).collect();
    for urls in [literals, redirects] {
        let home = Home::new().allowing(&[origin.address]);
        let outlines = urls.iter().map(|url| {
            let url = url.replace('&', "&amp;");
            format!("<outline type='include' text='I' url='{url}'/><outline text='P' htmlUrl='{url}'/>\n")
        });
        home.write_list("desired", &opml(&outlines.collect::<String>()));
        let daemon = home.start();
        for refusal in ["a remote list cannot be read", "feed failed"] {
            until("each is refused", || {
                let log = daemon.log();
                let refused = log.lines().filter(|line| line.contains(refusal) && line.contains("blocked_address"));
                (refused.count() >= FORBIDDEN_HOSTS.len()).then_some(())
            });
        }
        daemon.stop();
    }
    assert_eq!(canaries.connections(), 0);
}

#[tokio::test]
async fn the_systems_own_names_for_this_computer_are_refused() {
    let canaries = Canaries::listen();
    let client = client(settings([]));
    for name in ["localhost", "LOCALHOST", "localhost."] {
        let url = format!("http://{name}:{}/", canaries.port);
        let failure = get(&client, &url).await.expect_err(name);
        // A machine may not know the name with a dot.
        assert!(["blocked_address", "dns"].contains(&failure.kind()), "{name}: {failure}");
    }
    assert_eq!(canaries.connections(), 0);
}

/// Free on two addresses of loopback at once.
fn same_port_twice() -> (TcpListener, TcpListener) {
    let found = (0..100).find_map(|_| {
        let one = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = one.local_addr().expect("a bound listener").port();
        Some((one, TcpListener::bind(("127.0.0.2", port)).ok()?))
    });
    found.expect("some port is free on both")
}

#[tokio::test]
async fn an_exception_is_one_address_with_one_port() {
    let (one, two) = same_port_twice();
    let allowed = Origin::serve_on(one, |_| answer(200, "", "welcome"));
    let canary = Origin::serve_on(two, |_| answer(200, "", "reached"));
    let elsewhere = Origin::canary();
    let lookup = Lookup::Answers(Arc::new(|name| {
        Ok(match name {
            "one.test" => vec![[127, 0, 0, 1].into()],
            "two.test" => vec![[127, 0, 0, 2].into()],
            "both.test" => vec![[127, 0, 0, 1].into(), [127, 0, 0, 2].into()],
            _ => Vec::new(),
        })
    }));
    // The second exception must not lend its address to the first one's port, nor its port to the first's address.
    let second = SocketAddr::new([127, 0, 0, 2].into(), elsewhere.address.port());
    let client = client(Settings { lookup, ..settings([allowed.address, second]) });
    let port = allowed.address.port();
    for url in [
        allowed.url("/"),
        format!("http://2130706433:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://one.test:{port}/"),
        format!("http://ONE.test:{port}/"),
    ] {
        assert_eq!(get(&client, &url).await.expect(&url).body, "welcome", "{url}");
    }
    for url in [
        canary.url("/"),
        elsewhere.url("/"),
        format!("http://127.0.0.3:{port}/"),
        format!("http://[::1]:{port}/"),
        "http://127.0.0.1/".to_owned(),
        format!("http://two.test:{port}/"),
        format!("http://both.test:{port}/"),
        format!("http://one.test:{}/", elsewhere.address.port()),
        "http://one.test/".to_owned(),
    ] {
        assert_blocked(&client, &url, &url).await;
    }
    assert_eq!((canary.connections(), elsewhere.connections()), (0, 0));
    let nobody = get(&client, "http://nobody.test/").await.expect_err("it has no address");
    assert!(nobody.kind() == "dns" && nobody.may_be_our_network(), "{nobody}");
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_not_followed() {
    let (one, two) = same_port_twice();
    let allowed = Origin::serve_on(one, |_| Reply::Close(b"HTTP/1.1 200 OK\r\n\r\nwelcome".to_vec()));
    let canary = Origin::serve_on(two, |_| answer(200, "", "reached"));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    // The good address when it is looked at first, the forbidden one ever after.
    let lookup = Lookup::Answers(Arc::new(move |_| {
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        Ok(vec![[127, 0, 0, if first { 1 } else { 2 }].into()])
    }));
    let client = client(Settings { lookup, ..settings([allowed.address]) });
    let url = format!("http://rebinding.test:{}/", allowed.address.port());
    assert_eq!(get(&client, &url).await.expect("the first answer is good").body, "welcome");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "what was checked is what was dialled");
    for _ in 0..3 {
        assert_blocked(&client, &url, "rebound").await;
    }
    assert_eq!((canary.connections(), allowed.connections()), (0, 1));
}

#[test]
fn what_is_routable_passes() {
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.0.3.0",
        "192.88.98.255",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "203.0.114.0",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
        "2001:0:808:808::f7f7:f7f7",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2606:4700:4700::1111",
        "2a00:1450:4001::200e",
        "2001:db7:ffff::1",
        "2001:db9::1",
        "3ffe:ffff::1",
    ] {
        assert_eq!(reach(address.parse().expect("an address")), None, "{address}");
    }
}

#[test]
fn edges_of_what_is_not_routable() {
    for address in [
        "0.255.255.255",
        "10.0.0.0",
        "100.64.0.0",
        "127.255.255.255",
        "169.254.0.0",
        "169.254.255.255",
        "172.16.0.0",
        "192.0.0.255",
        "192.0.2.255",
        "192.88.99.255",
        "198.51.100.255",
        "203.0.113.255",
        "224.0.0.0",
        "239.255.255.255",
        "255.255.255.254",
        "::2",
        "fbff::1",
        "fdff:ffff::1",
        "febf::1",
        "feff::1",
        "ffff::1",
        "2001:2::1",
        "2001:20::1",
        "2001:1ff::1",
        "2001:db8:ffff::1",
        "3fff:fff::1",
        "100::",
        "4000::1",
        "5f00::1",
        "1fff::1",
        "::ffff:0:8.8.8.8",
        "::8.8.8.8",
    ] {
        assert!(reach(address.parse().expect("an address")).is_some(), "{address}");
    }
}

#[test]
fn other_schemes_are_refused() {
    let guard = Guard::default();
    for url in ["file:///etc/passwd", "ftp://example.org/", "gopher://example.org/", "data:,x", "unix:/run/x"] {
        assert!(guard.permits_literal(&Url::parse(url).expect("a URL")).is_err(), "{url}");
    }
    assert_eq!(guard.permits_literal(&Url::parse("https://example.org/").expect("a URL")), Ok(()));
}
