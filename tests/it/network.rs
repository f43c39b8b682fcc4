//! The daemon and the network around it: our own being down, redirects to other hosts, connections, and a start after a
//! long rest.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use listend::model::{Feed, FeedState, FeedUrl, Schedule};
use listend::store::{FeedUpdate, Store, TakeOver};

use crate::harness::{Daemon, Home, opml, outline, until, until_within};
use crate::origin::{Origin, Reply, Request, answer, redirect};
use crate::village::origin::now;

/// A feed with one entry, over a connection that ends with it.
fn feed(request: &Request) -> Reply {
    let body = format!(
        "<rss version=\"2.0\"><channel><title>{0}</title><link>http://site.example/</link>\
         <item><guid>{0}</guid><title>One</title></item></channel></rss>",
        request.path
    );
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    Reply::Close([head.as_bytes(), body.as_bytes()].concat())
}

/// Hosts of their own: each another loopback address, all with the port that the first one got.
fn hosts(count: u8) -> Vec<SocketAddr> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    (0..count).map(|host| SocketAddr::from((Ipv4Addr::new(127, 0, 9, host + 1), port))).collect()
}

fn open(address: SocketAddr) -> Origin {
    // Its connections of before may not have ended for the system yet.
    let listener = until("the address is free", || TcpListener::bind(address).ok());
    Origin::serve_on(listener, feed)
}

/// Each feed's failures, by its state.
fn failures(daemon: &Daemon) -> BTreeMap<String, u64> {
    let status = daemon.status();
    let feeds = status["feeds"].as_array().unwrap().iter();
    feeds.map(|feed| (feed["url"].as_str().unwrap().to_owned(), feed["failures"].as_u64().unwrap())).collect()
}

fn all_ok(daemon: &Daemon, count: usize) -> Option<()> {
    let status = daemon.status();
    let feeds = status["feeds"].as_array().unwrap();
    (feeds.len() == count && feeds.iter().all(|feed| feed["state"] == "ok")).then_some(())
}

fn outlines(urls: impl Iterator<Item = String>) -> String {
    opml(&urls.map(|url| outline("A feed", &url)).collect::<String>())
}

fn at_most_per_host(home: &Home, most: usize) {
    let toml = std::fs::read_to_string(home.configuration()).unwrap();
    std::fs::write(home.configuration(), toml.replace("per_host = 16", &format!("per_host = {most}"))).unwrap();
}

#[test]
fn our_own_network_being_down_costs_no_feed_a_failure() {
    let hosts = hosts(8);
    let mut origins: Vec<Origin> = hosts.iter().map(|host| open(*host)).collect();
    let home = Home::new().allowing(&hosts);
    home.write_list("followers", &outlines(origins.iter().map(|origin| origin.url("/feed"))));
    let daemon = home.start();
    until("all were read", || all_ok(&daemon, 8));

    origins.clear();
    until("it is noticed", || daemon.log().contains("our own network is down").then_some(()));
    // A probe in a while, and no more: each is one line, since nothing else is asked.
    let asked = |daemon: &Daemon| {
        let metrics = daemon.get("/metrics").text();
        let line = metrics.lines().find(|line| line.contains("outcome=\"offline\"")).map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or_default()
    };
    let before = asked(&daemon);
    let ((), took) =
        until_within(Duration::from_mins(1), "three probes", || (asked(&daemon) >= before + 3.0).then_some(()));
    assert!(took > Duration::from_millis(1500), "three probes within {took:?}");
    assert_eq!(failures(&daemon).values().sum::<u64>(), 0);
    assert_eq!(all_ok(&daemon, 8), Some(()), "and none of them shows as broken");

    origins.extend(hosts.iter().map(|host| open(*host)));
    until("it is noticed", || daemon.log().contains("our own network is back").then_some(()));
    until("all are asked again", || origins.iter().all(|origin| origin.requests().len() >= 2).then_some(()));
    assert_eq!(failures(&daemon).values().sum::<u64>(), 0);
    let log = daemon.log();
    assert_eq!((log.matches("network is down").count(), log.matches("network is back").count()), (1, 1));

    // One host alone is another matter.
    origins.pop();
    until("it is that host's fault", || (failures(&daemon).values().sum::<u64>() > 0).then_some(()));
    assert_eq!(daemon.log().matches("network is down").count(), 1);
    daemon.stop();
}

#[test]
fn a_redirect_keeps_to_the_pace_of_the_host_that_it_leads_to() {
    let hosts = hosts(9);
    let target = hosts[8];
    let (at_once, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let watched = (at_once.clone(), most.clone());
    let serving = Origin::serve_on(TcpListener::bind(target).unwrap(), move |request| {
        let (at_once, most) = &watched;
        most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(30));
        at_once.fetch_sub(1, Ordering::SeqCst);
        feed(request)
    });
    let to = format!("http://{target}");
    let origins: Vec<Origin> = hosts[..8]
        .iter()
        .map(|host| {
            let to = to.clone();
            let at = *host;
            Origin::serve_on(TcpListener::bind(*host).unwrap(), move |request| {
                redirect(302, &format!("{to}/{}{}", at.ip(), request.path))
            })
        })
        .collect();
    let home = Home::new().allowing(&hosts);
    at_most_per_host(&home, 1);
    home.write_list("followers", &outlines(origins.iter().map(|origin| origin.url("/feed"))));
    let daemon = home.start();
    until("all were read", || all_ok(&daemon, 8));
    until("and more than once", || (serving.requests().len() > 16).then_some(()));
    assert_eq!(most.load(Ordering::SeqCst), 1, "requests at once to the host that all redirects lead to");
    assert_eq!(failures(&daemon).values().sum::<u64>(), 0, "waiting for a turn is no failure");
    daemon.stop();
}

#[test]
fn the_feeds_of_a_host_share_its_connections() {
    let origin = Origin::serve(|request| {
        let Reply::Close(bytes) = feed(request) else { return answer(500, "", "") };
        let text = String::from_utf8(bytes).unwrap();
        Reply::Send(text.replace("Connection: close\r\n", "").into_bytes())
    });
    let home = Home::new().allowing(&[origin.address]);
    at_most_per_host(&home, 2);
    home.write_list("followers", &outlines((0..30).map(|feed| origin.url(&format!("/{feed}")))));
    let daemon = home.start();
    until("all were read", || all_ok(&daemon, 30));
    until("and more than once", || (origin.requests().len() > 90).then_some(()));
    assert!(origin.connections() <= 4, "{} connections for {} requests", origin.connections(), origin.requests().len());
    daemon.stop();
}

#[test]
fn after_a_long_rest_the_overdue_come_one_after_the_other() {
    let origin = Origin::serve(feed);
    let home = Home::new().allowing(&[origin.address]);
    let urls: Vec<String> = (0..100).map(|feed| origin.url(&format!("/{feed}"))).collect();
    home.write_list("followers", &outlines(urls.iter().cloned()));
    // As a daemon left it that ended five minutes ago: each feed asked every five minutes, at its own moment of them.
    let interval = Duration::from_mins(5);
    let end = now().minus(interval);
    let store = Store::open(&home.path("state"), 4 << 20).unwrap();
    let parsed = urls.iter().map(|url| FeedUrl::parse(url).unwrap()).collect();
    let feeds = store.take_over(&TakeOver { urls: parsed, ..TakeOver::default() }, end).unwrap();
    let mut updates: Vec<FeedUpdate> = feeds
        .into_iter()
        .zip(0u32..)
        .map(|(feed, place)| {
            let due = end.plus(interval / 100 * place);
            let schedule = Schedule {
                state: FeedState::Ok,
                next_poll: due,
                interval,
                last_attempt: Some(due.minus(interval)),
                last_success: Some(due.minus(interval)),
                ..feed.schedule.clone()
            };
            FeedUpdate { feed: Feed { schedule, ..feed }, changes: Vec::new(), said: Vec::new(), events: Vec::new() }
        })
        .collect();
    store.commit(&mut updates).unwrap();
    drop(store);

    let daemon = home.start();
    until("it says so", || daemon.log().contains("feeds=100").then_some(()));
    // Another one is due every three seconds, and those that were asked come again every second.
    until("the first are asked", || (origin.requests().len() >= 3).then_some(()));
    let paths: std::collections::BTreeSet<_> = origin.requests().into_iter().map(|request| request.path).collect();
    assert!(paths.len() < 15, "{} feeds at once", paths.len());
    daemon.stop();
}
