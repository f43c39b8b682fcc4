//! A village over a year, as far as the daemon has no clock of its own: lists are read from files, documents are read,
//! compared, cleaned and committed by the code that does it every day, pages are asked for over HTTP. Only the sockets
//! to publishers are missing, and time is what the script says.

mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::applied::{Applied, Circumstances, Read, Taken, apply};
use crate::config::Config;
use crate::daemon::includes::Handle;
use crate::daemon::reload::Lists;
use crate::daemon::{Gate, blocking};
use crate::feeds::clean;
use crate::feeds::parse;
use crate::feeds::schedule::{Answered, Limits, Outcome};
use crate::http::webmention::Letterbox;
use crate::http::websub::Doors;
use crate::http::{self, App, Listener};
use crate::listen::live::Live;
use crate::listen::relations::Scene;
use crate::model::{EntryKey, Feed, FeedUrl, Timestamp};
use crate::store::{FeedUpdate, Store};

/// How often a feed that says nothing is asked.
const ROUND: i64 = 4;
/// Entries in a document.
const ITEMS: usize = 15;

/// The simulated present, in milliseconds since the Unix epoch.
static PRESENT: AtomicI64 = AtomicI64::new(0);

fn present() -> Timestamp {
    Timestamp::from_millis(PRESENT.load(Ordering::Relaxed))
}

/// Lets it be this time.
fn set(now: Timestamp) {
    PRESENT.store(now.millis(), Ordering::Relaxed);
}

/// The first instant of a day of the year; day 0 is the 1st of January 2026.
fn day(n: i64) -> Timestamp {
    Timestamp::from_seconds(1_767_225_600 + n * 86_400)
}

/// One post.
struct Post {
    title: String,
    at: Timestamp,
    html: String,
    author: Option<String>,
}

/// The village.
struct World {
    home: TempDir,
    app: Arc<App>,
    lists: Lists,
    address: SocketAddr,
    posts: BTreeMap<&'static str, Vec<Post>>,
    /// Who has posted since its feed was last asked.
    unheard: BTreeSet<&'static str>,
    today: i64,
    /// Ends with the village.
    _server: JoinSet<()>,
}

impl World {
    async fn new() -> Self {
        let home = tempfile::tempdir().expect("there is room");
        std::fs::create_dir(home.path().join("lists")).expect("there is room");
        set(day(0));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
        let address = listener.local_addr().expect("it is bound");
        let toml = "[server]\nbase_url = \"http://listend.example/\"\n[mine]\nnames = [\"Max Bench\"]\n";
        let config = Config::parse(toml, None, home.path()).expect("it is a configuration");
        let store = Arc::new(Store::open(&home.path().join("state"), 16 << 20).expect("it opens"));
        let live = Arc::new(Live::default());
        let (doors, _calls) = Doors::new();
        let (letterbox, _claims) = Letterbox::new();
        let (store_, live_) = (Arc::clone(&store), Arc::clone(&live));
        let app = App::new(live_, store_, config.clone(), Arc::default(), doors, letterbox, present);
        app.set_ready();
        let app = Arc::new(app);
        let (_, remotes) = watch::channel(Arc::default());
        let (wanted, _) = watch::channel(BTreeSet::new());
        let gate = Gate::of_nobody(Arc::clone(&store));
        let lists = Lists::open(&config, live, store, gate, Handle { remotes, wanted }).await;
        let mut server = JoinSet::new();
        server.spawn(http::serve(Listener::Tcp(listener), Arc::clone(&app), CancellationToken::new(), || ()));
        let (posts, unheard) = (BTreeMap::new(), BTreeSet::new());
        Self { home, app, lists: lists.expect("it opens"), address, posts, unheard, today: 0, _server: server }
    }

    /// Lets days pass: each morning the feeds of those who have posted are asked, and some of the others; each evening
    /// listend looks at what has come true.
    fn until(&mut self, n: i64) {
        while self.today < n {
            self.ask_feeds();
            set(day(self.today).plus(20 * HOUR));
            self.look_around();
            self.today += 1;
            set(day(self.today).plus(8 * HOUR));
        }
    }

    /// Writes a list of people, each with a feed and a home page; the folder stands before a colon.
    async fn list(&mut self, name: &str, people: &str) {
        let mut outlines = String::new();
        for who in people.split_whitespace() {
            let title = title(who);
            let home = format!("https://{who}.example/");
            let _ = write!(outlines, "<outline text=\"{title}\" xmlUrl=\"{home}feed\" htmlUrl=\"{home}\"/>");
        }
        let opml =
            format!("<opml version=\"2.0\"><head><title>{}</title></head><body>{outlines}</body></opml>", title(name));
        std::fs::write(self.home.path().join("lists").join(format!("{name}.opml")), opml).expect("there is room");
        self.lists.reload(present()).await.expect("the disk is there");
    }

    /// Somebody posts today.
    fn post(&mut self, who: &'static str, title: &str, html: &str) {
        self.post_by(who, title, html, None);
    }

    /// The same, with an author's address.
    fn post_by(&mut self, who: &'static str, title: &str, html: &str, author: Option<&str>) {
        let post =
            Post { title: title.to_owned(), at: present(), html: html.to_owned(), author: author.map(str::to_owned) };
        self.posts.entry(who).or_default().push(post);
        self.unheard.insert(who);
    }

    fn ask_feeds(&mut self) {
        let mut feeds = Vec::new();
        self.app.live.for_each_listed(|feed| feeds.push(Arc::clone(feed)));
        for feed in feeds {
            let host = feed.url.host().to_owned();
            let who = host.trim_end_matches(".example");
            let is_due = (self.today + i64::from(feed.id.0)) % ROUND == 0 || feed.schedule.last_success.is_none();
            if self.unheard.remove(who) || is_due {
                set(day(self.today).plus(9 * HOUR));
                self.visit(&feed, who);
            }
        }
    }

    /// Asks a feed.
    fn visit(&self, feed: &Arc<Feed>, who: &str) {
        let body = self.document(who);
        let url = Url::parse(feed.url.as_str()).expect("it is an address");
        let document = parse::parse(body.as_bytes(), Some("application/atom+xml"), &url).expect("it is a feed");
        let answer = Answered { status: 200, ..Answered::default() };
        let taken = Taken {
            outcome: Outcome::Fetched { answer, pace: document.pace.clone(), dates: Vec::new() },
            validators: None,
            document: Some(Read { document, bytes: body.len(), body_hash: None }),
            found: None,
            is_cut: false,
        };
        let app = &self.app;
        let bound = app.live.bound();
        let under = Circumstances { bound, limits: Limits::default(), is_pushed: false, jitter: 0.0, now: present() };
        let Applied { feed, changes, heard, events, shows, .. } =
            apply(app, feed, taken, &under).expect("the disk is there");
        let concerns_you = heard.concerns_you;
        let mut updates = vec![FeedUpdate { feed, changes, said: heard.said, events }];
        app.store.commit(&mut updates).expect("the disk is there");
        app.live.update(updates.into_iter().map(|update| (update.feed, shows)));
        if concerns_you {
            app.live.facts_changed();
        }
    }

    /// What somebody's feed says today.
    fn document(&self, who: &str) -> String {
        let home = format!("https://{who}.example/");
        let mut out = format!(
            "<feed xmlns=\"http://www.w3.org/2005/Atom\"><id>{home}</id><title>{}</title><link href=\"{home}\"/>\
             <updated>{}</updated>",
            title(who),
            present().to_rfc3339()
        );
        for post in self.posts.get(who).into_iter().flatten().rev().take(ITEMS) {
            let link = address(who, &post.title);
            let mut html = String::new();
            for c in post.html.chars() {
                match c {
                    '<' => html.push_str("&lt;"),
                    '&' => html.push_str("&amp;"),
                    c => html.push(c),
                }
            }
            let author = post
                .author
                .as_ref()
                .map(|uri| format!("<author><name>{0}</name><uri>{uri}</uri></author>", name_of(uri)));
            let _ = write!(
                out,
                "<entry><id>{link}</id><link href=\"{link}\"/><title>{}</title><updated>{1}</updated>\
                 <published>{1}</published>{2}<content type=\"html\">{html}</content></entry>",
                post.title,
                post.at.to_rfc3339(),
                author.unwrap_or_default()
            );
        }
        out + "</feed>"
    }

    /// What the daemon does now and then: tells what has come true.
    fn look_around(&self) {
        let app = &self.app;
        let (config, bound) = (app.config.load(), app.live.bound());
        let snapshot = app.store.snapshot().expect("the disk is there");
        let scene = Scene {
            store: &app.store,
            snapshot: &snapshot,
            live: &app.live,
            bound: &bound,
            mine: &config.mine,
            now: present(),
        };
        let address = |path: &str| format!("http://listend.example{path}");
        let notices = app.relations.notices(&scene, &address).expect("the disk is there");
        if !notices.is_empty() {
            app.store.tell(&notices).expect("the disk is there");
            app.live.facts_changed();
        }
    }

    /// Records contact from inside a reader.
    async fn answered(&self, who: &str, title: &str, kind: &str) {
        let key = self.key(who, title);
        let body = format!("kind={kind}&note=By+mail");
        let head = format!("POST /answered/{key} HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n");
        let answer = self.ask(head, body).await;
        assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    }

    /// The name of an entry.
    fn key(&self, who: &str, title: &str) -> EntryKey {
        let url = FeedUrl::parse(&format!("https://{who}.example/feed")).expect("it is an address");
        let feed = self.app.live.bound().ids[&url];
        let snapshot = self.app.store.snapshot().expect("the disk is there");
        let entries = snapshot.entries(feed, None, usize::MAX).expect("the disk is there");
        entries.iter().find(|entry| entry.title == title).unwrap_or_else(|| panic!("{who} never said {title}")).key
    }

    async fn get(&self, path: &str) -> String {
        let answer = self.ask(format!("GET {path} HTTP/1.1\r\n"), String::new()).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("it is an answer");
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        body.to_owned()
    }

    async fn ask(&self, head: String, body: String) -> String {
        let address = self.address;
        let asking = blocking(move || {
            #[expect(clippy::disallowed_methods, reason = "a reader of the village asks the daemon")]
            let mut stream = TcpStream::connect(address)?;
            let length = body.len();
            write!(stream, "{head}Host: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
        });
        asking.await.expect("the server answers")
    }

    /// A view as a stream, a line an entry: the day, who, what, why.
    async fn stream(&self, view: &str) -> String {
        let feed: Value = serde_json::from_str(&self.get(&format!("{view}.json?limit=500")).await).expect("it is JSON");
        let mut out = String::new();
        for item in feed["items"].as_array().expect("it has items") {
            let at = item["date_published"].as_str().unwrap_or_default().get(..10).unwrap_or_default();
            let voice = item["authors"][0]["name"].as_str().unwrap_or_default();
            let html = item["content_html"].as_str().unwrap_or_default();
            let reason =
                html.strip_prefix("<p><em>").and_then(|rest| rest.split_once("</em>")).map(|(reason, _)| reason);
            let reason = reason.map(|reason| format!(" — {}", clean::text(reason, 500))).unwrap_or_default();
            let _ = writeln!(out, "{at} {voice}: {}{reason}", item["title"].as_str().unwrap_or_default());
        }
        out
    }

    /// What stands on a page for people, a line a block.
    async fn page(&self, path: &str) -> String {
        let html = self.get(path).await;
        let main =
            html.split_once("<main").and_then(|(_, rest)| rest.split_once("</main>")).expect("it has a main part").0;
        let main = main.split_once('>').map_or(main, |(_, rest)| rest);
        let mut lines = Vec::new();
        let blocks = [
            "</p>",
            "</h1>",
            "</h2>",
            "</h3>",
            "</h4>",
            "</li>",
            "</tr>",
            "</th>",
            "</td>",
            "</dt>",
            "</dd>",
            "</header>",
            "</svg>",
            "</label>",
            "</button>",
        ];
        let mut marked = main.to_owned();
        for block in blocks {
            marked = marked.replace(block, &format!("{block}\u{1}"));
        }
        for block in marked.split('\u{1}') {
            let text = clean::text(block, 2000);
            if !text.trim().is_empty() {
                lines.push(text.trim().to_owned());
            }
        }
        lines.join("\n")
    }
}

/// The page of a post.
fn address(who: &str, title: &str) -> String {
    let slug: String = title.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    format!("https://{who}.example/{slug}")
}

/// `ann` → `Ann`.
fn title(who: &str) -> String {
    who.char_indices().map(|(at, c)| if at == 0 { c.to_ascii_uppercase() } else { c }).collect()
}

/// `https://jo.example/about` → `Jo`.
fn name_of(uri: &str) -> String {
    title(uri.trim_start_matches("https://").split('.').next().unwrap_or_default())
}

const HOUR: Duration = Duration::from_hours(1);
