//! Where the feeds of the farm live, and the lists and documents that name them. Everybody who takes part is told the
//! same few numbers, and works out the rest.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;

/// The farm as all processes know it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Farm {
    /// Feeds that are listened to; there is one more, which is added to a list later
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) feeds: u32,
    /// Hosts that they live on, each a loopback address of its own
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) hosts: u32,
    /// Serve over HTTPS, with certificates made at the start
    #[arg(long)]
    pub(crate) tls: bool,
    /// End the connection after each answer: in the world, where a feed is asked hourly, none is kept for that long
    #[arg(long)]
    pub(crate) close: bool,
    /// Port of all hosts; the origin chooses it
    #[arg(long, hide = true, default_value_t = 0)]
    pub(crate) port: u16,
}

/// Feeds in one list.
const FEEDS_A_LIST: u32 = 25_000;
/// Feeds in one folder.
const FEEDS_A_FOLDER: u32 = 50;

impl Farm {
    /// The address of the host with this number: 127.0.0.1, 127.0.0.2, … 127.0.0.250, 127.0.1.1, …
    pub(crate) fn host(&self, host: u32) -> SocketAddr {
        let address = Ipv4Addr::new(127, 0, (host / 250) as u8, (host % 250) as u8 + 1);
        SocketAddr::from((address, self.port))
    }

    /// The root of the host that a feed lives on, without a slash at its end.
    pub(crate) fn site(&self, feed: u32) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.host(feed % self.hosts))
    }

    /// The address of a feed.
    pub(crate) fn url(&self, feed: u32) -> String {
        format!("{}/{feed}/feed", self.site(feed))
    }

    /// The feed that a path leads to.
    pub(crate) fn feed_at(&self, path: &str) -> Option<u32> {
        let feed = path.strip_prefix('/')?.strip_suffix("/feed")?.parse().ok()?;
        (feed <= self.feeds).then_some(feed)
    }

    /// The number of the feed that stands in no list at first.
    pub(crate) fn latecomer(&self) -> u32 {
        self.feeds
    }

    /// The lists of all feeds, each with a name for its file.
    pub(crate) fn lists(&self) -> Vec<(String, String)> {
        let starts = (0..self.feeds).step_by(FEEDS_A_LIST as usize);
        let lists = starts.enumerate().map(|(number, from)| {
            let to = (from + FEEDS_A_LIST).min(self.feeds);
            (format!("circle-{}", number + 1), self.list(from, to))
        });
        lists.collect()
    }

    /// A list of the feeds from one number up to another.
    pub(crate) fn list(&self, from: u32, to: u32) -> String {
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<opml version=\"2.0\">\n<body>\n");
        // Writing into a String never fails.
        for start in (from..to).step_by(FEEDS_A_FOLDER as usize) {
            let _ = writeln!(text, "<outline text=\"Street {}\">", start / FEEDS_A_FOLDER + 1);
            for feed in start..(start + FEEDS_A_FOLDER).min(to) {
                let (site, url) = (self.site(feed), self.url(feed));
                let _ = writeln!(
                    text,
                    "<outline type=\"rss\" text=\"Voice {feed}\" htmlUrl=\"{site}/{feed}/\" xmlUrl=\"{url}\"/>"
                );
            }
            text.push_str("</outline>\n");
        }
        text.push_str("</body>\n</opml>\n");
        text
    }
}
