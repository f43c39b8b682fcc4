//! What other aggregators took for the same work, measured once.
//!
//! On 2026-11-22, on two cores of an Intel Xeon at 2.5 GHz, with Debian's packages or the newest release of each: 1,000
//! feeds of the same make as this farm's (70 % RSS 2.0, 25 % Atom, 5 % JSON Feed; 15 to 25 entries, 34 KB, gzip, `ETag`),
//! 20,000 entries, over HTTP on loopback. Counted is the processor time, user and system, of the program and of all that
//! it starts, its database included; medians of several runs. They are shown and never measured again by this bench.

/// A program, and what it took in milliseconds of processor time a feed.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// The first poll: all entries are new, and are stored where the program stores any.
    pub(crate) cold_ms: f64,
    /// A poll where no feed has changed and every answer could be 304.
    pub(crate) unchanged_ms: f64,
}

const fn peer(name: &'static str, cold_ms: f64, unchanged_ms: f64) -> Peer {
    Peer { name, cold_ms, unchanged_ms }
}

/// The day on which they were measured.
pub(crate) const MEASURED_ON: &str = "2026-11-22";

/// All that were measured.
pub(crate) const PEERS: [Peer; 10] = [
    peer("rss-funnel (stores nothing)", 1.0, 1.0),
    peer("fastfeedparser + SQLite (no cleaning)", 4.4, 1.5),
    peer("yarr", 15.4, 0.57),
    peer("newsboat 2.21", 15.9, 13.0),
    peer("feedparser + SQLite", 29.0, 1.8),
    peer("reader 3.26", 33.0, 2.9),
    peer("sfeed 1.7", 38.0, 30.0),
    peer("FreshRSS + SQLite", 41.0, 8.0),
    peer("rss2email", 66.0, 2.7),
    peer("Miniflux + PostgreSQL", 88.0, 11.0),
];
