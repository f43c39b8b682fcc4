//! Faults of the system around the running daemon: its disk, its clock, its names, its word of changed files. Each test
//! says how often the fault struck and how long it took until all was well again; nothing may be lost or doubled.
//!
//! Elsewhere: every single call to the disk failing, and the power going at any of them (`store::tests::faults`); a disk
//! that is really full (`answered`); kills at any instant (`crash`); damaged databases (`backup`, `command_line`); a second
//! daemon (`command_line`); our network being down (`network`); every way of saving a list (`lists::watch`).

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::harness::{Daemon, Home, PATIENCE, opml, outline, until, until_within};
use crate::origin::{Origin, Reply};
use crate::two_hundred::all_items;
use world::{DISK_ERRORS, Part, World};

const FEEDS: usize = 8;
/// Entries of a feed's first document, which are more than retention always keeps.
const WINDOW: u32 = 30;
const DAY: i64 = 86_400;

/// Feeds that say something new whenever they are asked.
struct Talkers {
    origins: Vec<Origin>,
    said: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Talkers {
    /// On one host.
    fn settle() -> Self {
        Self::settle_on(vec![TcpListener::bind("127.0.0.1:0").unwrap()])
    }

    fn settle_on(hosts: Vec<TcpListener>) -> Self {
        let said: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
        let serve = |host| {
            let said = Arc::clone(&said);
            Origin::serve_on(host, move |request| {
                let mut said = said.lock().unwrap();
                let upto = said.entry(request.path.clone()).or_insert(WINDOW - 1);
                *upto += 1;
                document(&request.path, *upto)
            })
        };
        Self { origins: hosts.into_iter().map(serve).collect(), said: Arc::clone(&said) }
    }

    fn home(&self) -> Home {
        let addresses: Vec<SocketAddr> = self.origins.iter().map(|origin| origin.address).collect();
        let home = Home::new().allowing(&addresses);
        let urls = (0..FEEDS).map(|feed| self.origins[feed % self.origins.len()].url(&format!("/t{feed}")));
        home.write_list("followers", &opml(&urls.map(|url| outline("A talker", &url)).collect::<String>()));
        home
    }

    /// How often all were asked.
    fn asked(&self) -> usize {
        self.origins.iter().map(|origin| origin.requests().len()).sum()
    }

    /// The links of everything that was said.
    fn links(&self) -> BTreeSet<String> {
        let said = self.said.lock().unwrap();
        said.iter().flat_map(|(path, upto)| (0..*upto).map(move |entry| link(path, entry))).collect()
    }

    /// Waits until each was asked so many times more, on average.
    fn wait_until_asked(&self, times: usize) -> Duration {
        let enough = self.asked() + times * FEEDS;
        until_within(PATIENCE, "all are asked again", || (self.asked() >= enough).then_some(())).1
    }

    /// Everything said so far is shown, once; how much that is.
    fn check_nothing_is_lost(&self, daemon: &Daemon) -> usize {
        let said = self.links();
        until("all that was said is shown", || {
            let mut shown = BTreeSet::new();
            for item in all_items(daemon, "/listen") {
                let link = item["url"].as_str().unwrap().to_owned();
                assert!(!shown.contains(&link), "{link} is there twice");
                shown.insert(link);
            }
            said.is_subset(&shown).then_some(())
        });
        said.len()
    }
}

fn link(path: &str, entry: u32) -> String {
    format!("http://site.example{path}/{entry}")
}

/// The last entries before this one, those of many earlier answers among them, over a connection that ends with it.
fn document(path: &str, upto: u32) -> Reply {
    let mut body = format!("<rss version=\"2.0\"><channel><title>{path}</title><link>http://site.example/</link>");
    for entry in (upto.saturating_sub(2 * WINDOW)..upto).rev() {
        let link = link(path, entry);
        write!(body, "<item><guid>{link}</guid><link>{link}</link><title>Word {entry}</title></item>").unwrap();
    }
    body.push_str("</channel></rss>");
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    Reply::Close([head.as_bytes(), body.as_bytes()].concat())
}

fn wait_for_log(daemon: &Daemon, words: &str, times: usize) -> Duration {
    until_within(PATIENCE, words, || (daemon.log().matches(words).count() >= times).then_some(())).1
}

fn entries(daemon: &Daemon) -> Vec<u64> {
    let status = daemon.status();
    status["feeds"].as_array().unwrap().iter().map(|feed| feed["entries"].as_u64().unwrap()).collect()
}

fn failures(daemon: &Daemon) -> u64 {
    let status = daemon.status();
    status["feeds"].as_array().unwrap().iter().map(|feed| feed["failures"].as_u64().unwrap()).sum()
}

/// The disk takes nothing for a while, twice; meanwhile everything can be read, and afterwards nothing is missing.
fn the_disk_takes_nothing(which: usize) {
    let Some(world) = World::begin() else { return };
    let (name, error) = DISK_ERRORS[which];
    let talkers = Talkers::settle();
    let home = talkers.home();
    let daemon = world.start(&home);
    talkers.wait_until_asked(1);
    for time in 1..=2 {
        talkers.check_nothing_is_lost(&daemon);
        world.break_disk(error, 1);
        let noticed = wait_for_log(&daemon, "the database cannot be written", time);
        // Pages that nobody has asked for yet, so that the database itself is read.
        for limit in 1..=20 {
            let items = daemon.items(&format!("/listen.json?limit={}", 20 * time + limit));
            assert_eq!(items.len(), 20 * time + limit, "the disk is {name}");
            assert_eq!(daemon.get("/readyz").status, 200);
        }
        let failed = world.mend_disk();
        let well = wait_for_log(&daemon, "the database can be written again", time);
        let asked = talkers.wait_until_asked(1);
        let kept = talkers.check_nothing_is_lost(&daemon);
        eprintln!(
            "the disk was {name}: noticed after {noticed:?}, {failed} calls failed, written again {well:?} after it was well, \
             all asked {asked:?} later; {kept} entries said, none lost"
        );
        assert!(failed > 0);
    }
    assert_eq!(failures(&daemon), 0, "no feed is blamed");
    daemon.stop();
}

#[test]
fn a_full_disk_stops_nothing_but_fetching() {
    the_disk_takes_nothing(0);
}

#[test]
fn a_disk_that_became_read_only_stops_nothing_but_fetching() {
    the_disk_takes_nothing(1);
}

#[test]
fn a_disk_that_fails_to_write_stops_nothing_but_fetching() {
    the_disk_takes_nothing(2);
}

#[test]
fn a_disk_that_fails_now_and_then_loses_nothing() {
    let Some(world) = World::begin() else { return };
    let talkers = Talkers::settle();
    let home = talkers.home();
    let daemon = world.start(&home);
    talkers.wait_until_asked(1);
    let (_, error) = DISK_ERRORS[2];
    world.break_disk(error, 7);
    until("calls have failed, again and again", || (world.read(Part::Failed) >= 5).then_some(()));
    let (calls, failed) = (world.read(Part::Calls), world.mend_disk());
    // A feed whose answer could not be compared with what is stored is asked again a minute later.
    world.set(Part::Steady, 61);
    let asked = talkers.wait_until_asked(2);
    let kept = talkers.check_nothing_is_lost(&daemon);
    eprintln!(
        "{failed} of {calls} calls to the disk failed; all asked twice {asked:?} after the minute that follows; {kept} entries, none lost"
    );
    daemon.stop();

    let daemon = world.start(&home);
    talkers.check_nothing_is_lost(&daemon);
    daemon.stop();
}

#[test]
fn a_read_only_disk_at_the_start_is_named_and_harms_nothing() {
    let Some(world) = World::begin() else { return };
    let talkers = Talkers::settle();
    let home = talkers.home();
    let daemon = world.start(&home);
    talkers.wait_until_asked(1);
    daemon.stop();
    let (_, error) = DISK_ERRORS[1];
    world.break_disk(error, 1);
    let output = world.run(&home, &["run"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&home.path("state").display().to_string()) && said.contains("Read-only"), "{said}");
    world.mend_disk();
    let started = Instant::now();
    let daemon = world.start(&home);
    let kept = talkers.check_nothing_is_lost(&daemon);
    eprintln!("a start on a read-only disk ends with 1; afterwards {kept} entries within {:?}", started.elapsed());
    daemon.stop();
}

#[test]
fn a_clock_a_year_ahead_takes_nothing() {
    let Some(world) = World::begin() else { return };
    let talkers = Talkers::settle();
    // What bears no date counts as said a day apart.
    let home = talkers.home().with("\n[retention]\nage = \"60d\"\n");
    let daemon = world.start(&home);
    talkers.wait_until_asked(1);
    talkers.check_nothing_is_lost(&daemon);

    // While it runs, with retention applied under the wrong clock.
    world.set(Part::Clock, 365 * DAY);
    wait_for_log(&daemon, "its clock was set forward", 1);
    let ahead = talkers.wait_until_asked(2);
    daemon.signal("HUP");
    wait_for_log(&daemon, "the clock has leapt ahead", 1);
    world.set(Part::Clock, 0);
    wait_for_log(&daemon, "the clock was set back", 1);
    let back = talkers.wait_until_asked(2);
    let kept = talkers.check_nothing_is_lost(&daemon);
    assert_eq!(failures(&daemon), 0);
    daemon.stop();

    // From the start on.
    world.set(Part::Clock, 800 * DAY);
    let daemon = world.start(&home);
    wait_for_log(&daemon, "the clock has leapt ahead", 2);
    talkers.wait_until_asked(1);
    world.set(Part::Clock, 0);
    wait_for_log(&daemon, "the clock was set back", 2);
    talkers.wait_until_asked(1);
    talkers.check_nothing_is_lost(&daemon);
    assert!(!daemon.log().contains("retention took"), "retention believed a wrong clock");
    eprintln!(
        "the clock a year ahead: all asked twice within {ahead:?}, and within {back:?} after it was set back; {kept} entries, none lost"
    );
    daemon.stop();
}

#[test]
fn a_clock_set_back_by_a_day_silences_nobody() {
    let Some(world) = World::begin() else { return };
    let talkers = Talkers::settle();
    let home = talkers.home();
    let daemon = world.start(&home);
    talkers.wait_until_asked(1);
    for (time, days) in [(1, -1), (2, -2), (3, -400)] {
        world.set(Part::Clock, days * DAY);
        wait_for_log(&daemon, "the clock was set back", time);
        let asked = talkers.wait_until_asked(2);
        let kept = talkers.check_nothing_is_lost(&daemon);
        eprintln!("the clock set back to day {days}: all asked twice within {asked:?}; {kept} entries, none lost");
    }
    world.set(Part::Clock, 0);
    let asked = talkers.wait_until_asked(2);
    eprintln!("and set right: all asked twice within {asked:?}");
    assert_eq!(failures(&daemon), 0);
    let soon = chrono::Utc::now() + Duration::from_hours(1);
    for feed in daemon.status()["feeds"].as_array().unwrap() {
        let next: chrono::DateTime<chrono::Utc> = feed["next_poll"].as_str().unwrap().parse().unwrap();
        assert!(next < soon, "{feed}");
    }
    daemon.stop();
}

#[test]
fn names_that_cannot_be_resolved_for_a_while_cost_no_feed_a_failure() {
    let Some(world) = World::begin() else { return };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let host = |number: usize| Ipv4Addr::new(127, 0, 9, number as u8 + 1);
    let hosts = (0..FEEDS).map(|number| TcpListener::bind((host(number), port)).unwrap()).collect();
    let talkers = Talkers::settle_on(hosts);
    let home = talkers.home();
    let list = fs::read_to_string(home.list("followers")).unwrap();
    let named = (0..FEEDS).fold(list, |list, number| {
        list.replace(&format!("http://{}:", host(number)), &format!("http://n{}.test:", number + 1))
    });
    home.write_list("followers", &named);
    let daemon = world.start(&home);
    talkers.wait_until_asked(2);
    for time in 1..=2 {
        world.set(Part::Names, 1);
        let noticed = wait_for_log(&daemon, "our own network is down", time);
        assert_eq!(failures(&daemon), 0);
        world.set(Part::Names, 0);
        let back = wait_for_log(&daemon, "our own network is back", time);
        let asked = talkers.wait_until_asked(2);
        assert_eq!(failures(&daemon), 0);
        let kept = talkers.check_nothing_is_lost(&daemon);
        eprintln!(
            "no name for {FEEDS} hosts: noticed after {noticed:?}, back after {back:?}, all asked twice {asked:?} later; {kept} entries, none lost"
        );
    }
    daemon.stop();
}

fn has_feed(daemon: &Daemon, url: &str) -> bool {
    // A minute that passes for the daemon alone also ends a connection that is kept, perhaps under this request.
    let Ok(status) = daemon.try_get("/status.json", &[]) else { return false };
    status.json()["feeds"].as_array().unwrap().iter().any(|feed| feed["url"] == url)
}

#[test]
fn a_change_of_which_nothing_tells_is_found_within_a_minute() {
    let Some(world) = World::begin() else { return };
    world.set(Part::Watches, 2);
    let talkers = Talkers::settle();
    let home = talkers.home();
    let daemon = world.start(&home);
    talkers.wait_until_asked(1);
    let late = talkers.origins[0].url("/late");
    for (time, url) in [(1, late), (2, talkers.origins[0].url("/later"))] {
        let saved = Instant::now();
        home.write_list("late", &opml(&outline("Late", &url)));
        std::thread::sleep(Duration::from_millis(800));
        let is_early = has_feed(&daemon, &url);
        assert!(!is_early || saved.elapsed() > Duration::from_secs(50), "it was told of the change");
        // A minute passes, for the daemon alone.
        world.set(Part::Steady, 61 * time);
        let ((), found) = until_within(PATIENCE, "it is found", || has_feed(&daemon, &url).then_some(()));
        eprintln!("a list saved unseen: found {found:?} after the minute");
    }
    daemon.stop();
}

#[test]
fn where_watching_is_refused_lists_are_read_every_second() {
    let Some(world) = World::begin() else { return };
    world.set(Part::Watches, 1);
    let talkers = Talkers::settle();
    let home = talkers.home();
    let daemon = world.start(&home);
    wait_for_log(&daemon, "it is read every second instead", 1);
    let url = talkers.origins[0].url("/late");
    home.write_list("late", &opml(&outline("Late", &url)));
    let ((), found) = until_within(PATIENCE, "it is found", || has_feed(&daemon, &url).then_some(()));
    eprintln!("watching was refused: a saved list was found after {found:?}");
    daemon.stop();
}

#[test]
fn a_smaller_retention_makes_room_as_soon_as_it_is_read() {
    let talkers = Talkers::settle();
    let home = talkers.home();
    let daemon = home.start();
    talkers.wait_until_asked(1);
    talkers.check_nothing_is_lost(&daemon);
    assert!(entries(&daemon).iter().all(|entries| *entries >= u64::from(WINDOW)));
    let home = home.with("max_body = \"1MiB\"\n\n[retention]\nentries_per_feed = 20\n");
    daemon.signal("HUP");
    wait_for_log(&daemon, "retention took what is over", 1);
    assert!(home.path("state").is_dir());
    assert!(entries(&daemon).iter().sum::<u64>() < u64::from(WINDOW) * FEEDS as u64, "it took");
    daemon.stop();
}
