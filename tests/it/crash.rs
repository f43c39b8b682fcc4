//! The daemon is killed again and again while it fetches and stores: nothing that it showed or acknowledged is lost,
//! nothing is doubled, nobody is asked before the time.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use listend::model::Timestamp;
use serde_json::Value;

use crate::harness::{Daemon, Home, opml, outline, send_signal, until};
use crate::two_hundred::all_items;
use crate::village::origin::{Origin, now};
use crate::village::site::{Format, Post, Site};

const FEEDS: usize = 40;
/// A feed's document carries its last so many posts, so that one lost commit is no lost entry.
const WINDOW: usize = 20;
/// Kills unless `LISTEND_KILLS` says otherwise, as `tests/run` does.
const KILLS: usize = 60;
/// Clocks are read in milliseconds on both sides.
const ROUNDING: Duration = Duration::from_millis(2);

/// A site that says something new whenever it is asked.
struct Talker {
    site: Arc<Site>,
    posts: Arc<Mutex<Vec<Post>>>,
}

impl Talker {
    fn settle(origin: &Arc<Origin>, index: usize) -> Self {
        let format = [Format::Rss, Format::Atom, Format::Json][index % 3];
        let site = Arc::new(Site::open(origin, &format!("/t{index}"), &format!("Talker {index}"), "Talks", format));
        let posts = Arc::new(Mutex::new(Vec::<Post>::new()));
        let (speaking, said) = (site.clone(), posts.clone());
        origin.serve_with(&site.feed_path(), move |request| {
            let mut said = said.lock().unwrap();
            let number = said.len();
            said.push(Post::new(&format!("p{number}"), &format!("Word {number}"), "<p>And on.</p>", request.at));
            let window = said[said.len().saturating_sub(WINDOW)..].to_vec();
            // The validator tells which documents the daemon acknowledges to have stored.
            speaking.reply(window).without_validators().header("etag", &format!("\"{number}\""))
        });
        Self { site, posts }
    }

    /// The pages of all posts of which the daemon has acknowledged that it has them.
    fn acknowledged(&self) -> Vec<String> {
        let requests = self.site.requests();
        let validators = requests.iter().filter_map(|request| request.header("if-none-match"));
        let last = validators.filter_map(|etag| etag.trim_matches('"').parse::<usize>().ok()).max();
        (0..last.map_or(0, |last| last + 1)).map(|number| self.site.page(&format!("p{number}"))).collect()
    }
}

/// What the daemon has shown to somebody.
#[derive(Default)]
struct Shown {
    /// Entries, by link.
    entries: BTreeMap<String, Value>,
    /// For each feed: when it was said, and before when it will not be asked.
    promises: HashMap<String, Vec<(Timestamp, Timestamp)>>,
}

impl Shown {
    /// Looks at the daemon until it answers no more.
    fn watch(&mut self, daemon: &Daemon) {
        while let Ok(answer) = daemon.try_get("/listen.json?limit=500", &[]) {
            for item in answer.json()["items"].as_array().unwrap() {
                self.entries.insert(item["url"].as_str().unwrap().to_owned(), item["id"].clone());
            }
            let Ok(status) = daemon.try_get("/status.json", &[]) else { return };
            // Not before it was said: what was asked meanwhile may be what it speaks of.
            let said_at = now();
            for feed in status.json()["feeds"].as_array().unwrap() {
                let Some(next) = feed["next_poll"].as_str().and_then(Timestamp::parse_rfc3339) else { continue };
                self.promises.entry(feed["url"].as_str().unwrap().to_owned()).or_default().push((said_at, next));
            }
        }
    }
}

fn kills() -> usize {
    std::env::var("LISTEND_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS)
}

#[test]
fn killed_at_any_instant_it_loses_and_doubles_nothing() {
    let origin = Arc::new(Origin::start().unwrap());
    let talkers: Vec<Talker> = (0..FEEDS).map(|index| Talker::settle(&origin, index)).collect();
    let home = Home::new().allowing(&[origin.address()]);
    home.write_list(
        "followers",
        &opml(&talkers.iter().map(|t| outline(t.site.name(), &t.site.feed())).collect::<String>()),
    );

    let seed = u64::from(std::process::id());
    eprintln!("instants follow from seed {seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut shown = Shown::default();
    let mut slowest = Duration::ZERO;
    for kill in 0..kills() {
        if kill % 5 == 4 {
            // Some are killed before they are ready.
            let early = home.launch();
            thread::sleep(Duration::from_millis(chance.u64(0..120)));
            early.kill();
        }
        let start = Instant::now();
        let daemon = home.start();
        slowest = slowest.max(start.elapsed());
        let (pid, after) = (daemon.pid(), Duration::from_millis(chance.u64(0..500)));
        let killer = thread::spawn(move || {
            thread::sleep(after);
            send_signal(pid, "KILL")
        });
        shown.watch(&daemon);
        assert!(killer.join().unwrap(), "the daemon was alive until it was killed");
    }

    // Let it live on in peace: every talker is heard once more.
    let asked: Vec<usize> = talkers.iter().map(|talker| talker.site.requests().len()).collect();
    let daemon = home.start();
    until("every feed was asked twice more", || {
        let mut feeds = talkers.iter().zip(&asked);
        feeds.all(|(talker, asked)| talker.site.requests().len() >= asked + 2).then_some(())
    });
    let acknowledged: Vec<String> = talkers.iter().flat_map(Talker::acknowledged).collect();
    let kept = until("all acknowledged entries are shown", || {
        let mut kept = BTreeMap::new();
        for item in all_items(&daemon, "/listen") {
            let link = item["url"].as_str().unwrap().to_owned();
            let before = kept.insert(link.clone(), item["id"].clone());
            // A page ends where it ended, even if new entries come in at the top meanwhile.
            assert!(before.is_none(), "{link} is there twice");
        }
        acknowledged.iter().all(|link| kept.contains_key(link)).then_some(kept)
    });
    for (link, id) in &shown.entries {
        assert_eq!(kept.get(link), Some(id), "{link} was shown once and has changed or gone");
    }

    let mut kept_promises = 0;
    for talker in &talkers {
        let requests = talker.site.requests();
        for (said_at, not_before) in shown.promises.get(&talker.site.feed()).into_iter().flatten() {
            let Some(next) = requests.iter().find(|request| request.at > *said_at) else { continue };
            assert!(
                next.at.plus(ROUNDING) >= *not_before,
                "{} was asked at {}, and at {said_at} the status said: not before {not_before}",
                talker.site.name(),
                next.at
            );
            kept_promises += 1;
        }
    }
    let said: usize = talkers.iter().map(|talker| talker.posts.lock().unwrap().len()).sum();
    eprintln!(
        "{} kills, {said} posts said, {} acknowledged, {} shown before a kill, {kept_promises} due times kept; slowest start {slowest:?}",
        kills(),
        acknowledged.len(),
        shown.entries.len(),
    );
    assert!(shown.entries.len() > FEEDS && kept_promises > FEEDS, "the daemon was never seen at work");
}
