//! A small site: posts, a home page that names its feed, and the feed in one of three formats.
//!
//! Writes its bytes on its own and shares nothing with the code that it tests, but the way to print a time.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use listend::model::Timestamp;

use super::origin::{Origin, Reply, Request};

/// The format of a site's feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// RSS 2.0 with `content:encoded` and `dc:creator`.
    Rss,
    /// Atom 1.0.
    Atom,
    /// JSON Feed 1.1.
    Json,
}

/// Something that somebody said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Post {
    /// Its id within the site.
    pub(crate) id: String,
    /// Its title, plain text.
    pub(crate) title: String,
    /// Its text, HTML.
    pub(crate) html: String,
    /// When it was said.
    pub(crate) published: Timestamp,
    /// When it was last changed.
    pub(crate) updated: Timestamp,
}

impl Post {
    /// A post that was never changed.
    pub(crate) fn new(id: &str, title: &str, html: &str, published: Timestamp) -> Self {
        Self { id: id.to_owned(), title: title.to_owned(), html: html.to_owned(), published, updated: published }
    }
}

/// A site below a path of an [`Origin`]; several can share one.
pub(crate) struct Site {
    origin: Arc<Origin>,
    prefix: String,
    name: String,
    about: String,
    format: Format,
    posts: Mutex<Vec<Post>>,
    is_restless: AtomicBool,
}

impl Site {
    /// Opens a site without posts below `prefix`: empty, or as `/kiln`.
    pub(crate) fn open(origin: &Arc<Origin>, prefix: &str, name: &str, about: &str, format: Format) -> Self {
        let site = Self {
            origin: origin.clone(),
            prefix: prefix.to_owned(),
            name: name.to_owned(),
            about: about.to_owned(),
            format,
            posts: Mutex::default(),
            is_restless: AtomicBool::new(false),
        };
        site.refresh();
        site
    }

    /// From now on the feed's bytes differ at each request, and nothing tells in advance: no `ETag`, no `Last-Modified`.
    pub(crate) fn make_restless(&self) {
        self.is_restless.store(true, Ordering::Relaxed);
        self.refresh();
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The URL of its home page.
    pub(crate) fn home(&self) -> String {
        self.origin.url(&format!("{}/", self.prefix))
    }

    /// The URL of its feed.
    pub(crate) fn feed(&self) -> String {
        self.origin.url(&self.feed_path())
    }

    /// The URL of one post's page.
    pub(crate) fn page(&self, id: &str) -> String {
        self.origin.url(&format!("{}/{id}", self.prefix))
    }

    /// The id that the feed gives one of its posts.
    pub(crate) fn guid(&self, id: &str) -> String {
        let name: String = self.name.chars().filter(char::is_ascii_alphanumeric).collect();
        format!("tag:village.example,2026:{}{}/{id}", name.to_lowercase(), self.prefix)
    }

    /// The server that it stands on.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The path of its feed.
    pub(crate) fn feed_path(&self) -> String {
        let file = match self.format {
            Format::Rss => "rss.xml",
            Format::Atom => "atom.xml",
            Format::Json => "feed.json",
        };
        format!("{}/{file}", self.prefix)
    }

    /// Its posts, in the order in which they were published.
    pub(crate) fn posts(&self) -> Vec<Post> {
        self.locked().clone()
    }

    /// The requests for its feed so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.origin.requests(&self.feed_path())
    }

    /// Says something.
    pub(crate) fn publish(&self, post: Post) {
        self.locked().push(post);
        self.refresh();
    }

    /// Changes what was said.
    pub(crate) fn edit(&self, id: &str, change: impl FnOnce(&mut Post)) {
        let mut posts = self.locked();
        let post = posts.iter_mut().find(|post| post.id == id);
        change(post.unwrap_or_else(|| panic!("{} has no post {id}", self.name)));
        drop(posts);
        self.refresh();
    }

    /// Takes something back.
    pub(crate) fn remove(&self, id: &str) {
        self.locked().retain(|post| post.id != id);
        self.origin.forget(&format!("{}/{id}", self.prefix));
        self.refresh();
    }

    /// Answers for the feed with a bare status, until something is published, edited or removed.
    pub(crate) fn set_status(&self, status: u16) {
        self.origin.serve(&self.feed_path(), Reply::status(status));
    }

    /// Answers for the feed with anything, until something is published, edited or removed.
    pub(crate) fn set_reply(&self, reply: Reply) {
        self.origin.serve(&self.feed_path(), reply);
    }

    /// The feed as it is with these posts.
    pub(crate) fn reply(&self, mut posts: Vec<Post>) -> Reply {
        posts.sort_by_key(|post| std::cmp::Reverse(post.published));
        let changed = posts.iter().map(|post| post.updated).max().unwrap_or_default();
        match self.format {
            Format::Rss => Reply::ok("application/rss+xml", self.rss(&posts)),
            Format::Atom => Reply::ok("application/atom+xml", self.atom(&posts, changed)),
            Format::Json => Reply::ok("application/feed+json", self.json(&posts)),
        }
        .modified(changed)
    }

    /// Puts home page, post pages and feed up as they are now.
    fn refresh(&self) {
        let reply = self.reply(self.posts());
        if self.is_restless.load(Ordering::Relaxed) {
            let asked = AtomicUsize::new(0);
            let reply = reply.without_validators();
            self.origin
                .serve_with(&self.feed_path(), move |_| reply.clone().padded(asked.fetch_add(1, Ordering::Relaxed)));
        } else {
            self.origin.serve(&self.feed_path(), reply);
        }
        self.origin.serve(&format!("{}/", self.prefix), Reply::ok("text/html; charset=utf-8", self.home_page()));
        for post in self.posts() {
            let page = format!(
                "<!doctype html><title>{title} · {name}</title><p><a href=\"{home}\">{name}</a></p><h1>{title}</h1>{html}\n",
                title = escape(&post.title),
                name = escape(&self.name),
                home = self.home(),
                html = post.html,
            );
            self.origin.serve(&format!("{}/{}", self.prefix, post.id), Reply::ok("text/html; charset=utf-8", page));
        }
    }

    fn home_page(&self) -> String {
        let mut html = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}</title>\
             <link rel=\"alternate\" type=\"{mime}\" title=\"{name}\" href=\"{feed}\"></head>\
             <body><h1>{name}</h1><p>{about}</p><ul>",
            name = escape(&self.name),
            mime = match self.format {
                Format::Rss => "application/rss+xml",
                Format::Atom => "application/atom+xml",
                Format::Json => "application/feed+json",
            },
            feed = self.feed(),
            about = escape(&self.about),
        );
        for post in self.posts().iter().rev() {
            let _ = write!(html, "<li><a href=\"{}\">{}</a>", self.page(&post.id), escape(&post.title));
        }
        html.push_str("</ul></body></html>\n");
        html
    }

    fn rss(&self, posts: &[Post]) -> String {
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<rss version=\"2.0\" \
             xmlns:content=\"http://purl.org/rss/1.0/modules/content/\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\">\n\
             <channel><title>{}</title><link>{}</link><description>{}</description>\n",
            escape(&self.name),
            self.home(),
            escape(&self.about),
        );
        for post in posts {
            let _ = writeln!(
                xml,
                "<item><title>{}</title><link>{}</link><guid isPermaLink=\"false\">{}</guid><pubDate>{}</pubDate>\
                 <dc:creator>{}</dc:creator><content:encoded>{}</content:encoded></item>",
                escape(&post.title),
                self.page(&post.id),
                self.guid(&post.id),
                post.published.to_rfc822(),
                escape(&self.name),
                escape(&post.html),
            );
        }
        xml.push_str("</channel></rss>\n");
        xml
    }

    fn atom(&self, posts: &[Post], changed: Timestamp) -> String {
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\"><title>{name}</title>\
             <subtitle>{about}</subtitle><id>{home}</id><updated>{changed}</updated><link href=\"{home}\"/>\
             <link rel=\"self\" href=\"{feed}\"/><author><name>{name}</name></author>\n",
            name = escape(&self.name),
            about = escape(&self.about),
            home = self.home(),
            feed = self.feed(),
        );
        for post in posts {
            let _ = writeln!(
                xml,
                "<entry><title>{}</title><id>{}</id><link href=\"{}\"/><published>{}</published><updated>{}</updated>\
                 <content type=\"html\">{}</content></entry>",
                escape(&post.title),
                self.guid(&post.id),
                self.page(&post.id),
                post.published,
                post.updated,
                escape(&post.html),
            );
        }
        xml.push_str("</feed>\n");
        xml
    }

    fn json(&self, posts: &[Post]) -> String {
        let items: Vec<_> = posts
            .iter()
            .map(|post| {
                serde_json::json!({
                    "id": self.guid(&post.id),
                    "url": self.page(&post.id),
                    "title": post.title,
                    "content_html": post.html,
                    "date_published": post.published.to_rfc3339(),
                    "date_modified": post.updated.to_rfc3339(),
                })
            })
            .collect();
        let feed = serde_json::json!({
            "version": "https://jsonfeed.org/version/1.1",
            "title": self.name,
            "description": self.about,
            "home_page_url": self.home(),
            "feed_url": self.feed(),
            "authors": [{ "name": self.name }],
            "items": items,
        });
        format!("{feed:#}\n")
    }

    /// A test that failed in the middle of a change must not take the site with it.
    fn locked(&self) -> MutexGuard<'_, Vec<Post>> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Text as it stands in XML and HTML, also inside attributes.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
