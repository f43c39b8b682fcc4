//! The configuration: one TOML file, read once and checked once, with errors that name key, value and line.
//!
//! Knows what each value may be, and not what anybody does with it.

mod raw;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use crate::model::Role;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it was read from; `None` where there is none and all values are defaults.
    pub file: Option<PathBuf>,
    /// Directory of the `*.opml` lists.
    pub lists: PathBuf,
    /// Directory of the database.
    pub state: PathBuf,
    /// How it is reached, and by whom.
    pub server: Server,
    /// How it behaves as a guest.
    pub fetch: Fetch,
    /// Roles of lists whose name doesn't say them.
    pub roles: BTreeMap<String, Role>,
    /// Who you are.
    pub mine: Mine,
    /// What merged feeds contain beside entries.
    pub listen: Listen,
    /// Whether hubs are asked for pushes. Default: true.
    pub websub: bool,
    /// Whether Webmentions are received. Default: false.
    pub webmention: bool,
    /// Where the nightly export goes; `None` for none.
    pub backup: Option<PathBuf>,
    /// How long entries stay.
    pub retention: Retention,
    /// The database's cache in bytes. Default: 16 MiB.
    pub cache_bytes: usize,
    /// What is accepted but unwise, a line each.
    pub warnings: Vec<String>,
}

/// `[server]`
#[derive(Clone, Debug)]
pub struct Server {
    /// Where to listen. Default: `127.0.0.1:8470`.
    pub listen: ListenAddress,
    /// Where the daemon is reached from outside; ends in a slash. Default: `http://` and the listen address.
    pub base_url: Url,
    /// Whether somebody has set it, or it follows from the listen address.
    pub is_base_url_set: bool,
    /// Who may read, those in systemd's credential `tokens` among them; empty: everybody who reaches the address.
    pub tokens: Vec<String>,
    /// Whether others may reach lists, folders and voices without a token. Default: false.
    pub public: bool,
    /// The WebSub hub that merged feeds name.
    pub hub: Option<Url>,
}

impl Server {
    /// Lets links lead to the address that was really bound: one that systemd handed over, or a port that the system
    /// chose. A base URL that somebody has set keeps all but a port of 0.
    pub fn set_bound(&mut self, address: SocketAddr) {
        // Both fail only for URLs without a host, and this one has an address already.
        if !self.is_base_url_set {
            let _ = self.base_url.set_ip_host(address.ip());
        }
        if !self.is_base_url_set || self.base_url.port() == Some(0) {
            let _ = self.base_url.set_port(Some(address.port()));
        }
    }
}

/// A TCP address or the path of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// `127.0.0.1:8470`
    Tcp(SocketAddr),
    /// `unix:/run/listend/http.sock`
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether only this machine can reach the address.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `[fetch]`
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Requests under way at once, over all hosts. Default: 64.
    pub concurrency: usize,
    /// Requests under way at once, per host and port. Default: 2.
    pub per_host: usize,
    /// Pause between the starts of two requests to one host. Default: 1 s.
    pub per_host_gap: Duration,
    /// The shortest pause between two polls of a feed. Default: 15 min.
    pub min_interval: Duration,
    /// The longest pause after a success. Default: 24 h.
    pub max_interval: Duration,
    /// The longest pause after a failure. Default: 24 h.
    pub max_backoff: Duration,
    /// Time for a whole answer. Default: 30 s.
    pub timeout: Duration,
    /// The largest decoded body, in bytes. Default: 5 MiB.
    pub max_body_bytes: usize,
    /// Put into the `User-Agent`, so that publishers can reach you.
    pub contact: Option<Url>,
    /// Exact exceptions to the address guard.
    pub allow_addresses: Vec<SocketAddr>,
}

/// `[mine]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mine {
    /// URL prefixes that are you.
    pub sites: Vec<Url>,
    /// How people call you.
    pub names: Vec<String>,
}

/// `[listen]`
#[derive(Clone, Debug)]
pub struct Listen {
    /// Whether entries end with a link to record contact. Default: on where only you read (tokens, or a local address
    /// and no hub).
    pub contact_links: bool,
}

/// `[retention]`
#[derive(Clone, Debug)]
pub struct Retention {
    /// The most entries kept of one feed. Default: 1000.
    pub entries_per_feed: u32,
    /// How long an entry is kept. Default: 400 days.
    pub age: Duration,
}

/// Why there is no configuration: one line, for the person who edits the file.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub(crate) String);

impl Config {
    /// Reads and checks a configuration file, or the first that exists of `config/listend.toml` below `working` and
    /// `/etc/listend/listend.toml`; without any, all defaults with `working` as the place of lists and state.
    pub fn load(file: Option<&Path>, working: &Path) -> Result<Self, ConfigError> {
        let candidates = [working.join("config/listend.toml"), PathBuf::from("/etc/listend/listend.toml")];
        let chosen = file.map(Path::to_path_buf).or_else(|| candidates.into_iter().find(|path| path.is_file()));
        let Some(path) = chosen else {
            return Self::parse("", None, working);
        };
        let text = std::fs::read_to_string(&path).map_err(|error| {
            ConfigError(format!("{}: cannot be read: {error}; name another with --config FILE", path.display()))
        })?;
        let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self::parse(&text, Some(&path), beside)
    }

    /// Checks the text of a configuration; relative directories are taken from `beside`.
    pub fn parse(text: &str, file: Option<&Path>, beside: &Path) -> Result<Self, ConfigError> {
        raw::check(text, file, beside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Config, String> {
        Config::parse(text, Some(Path::new("listend.toml")), Path::new("/etc/listend"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_said_means_the_documented_defaults() {
        let config = check("").expect("an empty file is a configuration");
        assert_eq!(config.lists, Path::new("/etc/listend/lists"));
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:8470");
        assert_eq!(config.server.base_url.as_str(), "http://127.0.0.1:8470/");
        assert_eq!(config.fetch.concurrency, 64);
        assert_eq!(config.fetch.min_interval, Duration::from_mins(15));
        assert_eq!(config.fetch.max_body_bytes, 5 << 20);
        assert_eq!(config.retention.age, Duration::from_hours(400 * 24));
        assert!(config.listen.contact_links && config.websub && !config.webmention);
    }

    #[test]
    fn errors_name_the_key_the_value_what_is_allowed_and_the_line() {
        for (text, message) in [
            ("[fetch]\n\ntimeout = \"0s\"", "fetch.timeout: `0s` must be at least 1s (listend.toml:3)"),
            (
                "[fetch]\ntimeout = \"soon\"",
                "fetch.timeout: `soon` is no duration; write 30s, 15m, 24h or 400d (listend.toml:2)",
            ),
            ("[fetch]\nconcurrency = 0", "fetch.concurrency: `0` must be 1 to 4096 (listend.toml:2)"),
            (
                "[fetch]\nmax_body = \"5 parsecs\"",
                "fetch.max_body: `5 parsecs` is no size; write 512KiB or 5MiB (listend.toml:2)",
            ),
            (
                "[fetch]\nspeed = 3",
                "unknown field `speed`, expected one of `concurrency`, `per_host`, `per_host_gap`, `min_interval`, `max_interval`, `max_backoff`, `timeout`, `max_body`, `contact`, `allow_addresses` (listend.toml:2)",
            ),
            (
                "[server]\nlisten = \"localhost\"",
                "server.listen: `localhost` is no address; write 127.0.0.1:8470 or unix:/run/listend/http.sock (listend.toml:2)",
            ),
            (
                "[server]\nbase_url = \"ftp://x/\"",
                "server.base_url: `ftp://x/` is no http or https URL (listend.toml:2)",
            ),
            (
                "[server]\nlisten = \"0.0.0.0:80\"",
                "server.listen: `0.0.0.0:80` can be reached by others; set server.tokens, or server.public = true to let them read lists (listend.toml:2)",
            ),
            ("[server]\ntokens = [\"\"]", "server.tokens: `` must not be empty (listend.toml:2)"),
            (
                "[roles]\nold-friends = \"folower\"",
                "roles.old-friends: `folower` must be followers, desired, mine, inbox or circle (listend.toml:2)",
            ),
            (
                "[fetch]\nallow_addresses = [\"127.0.0.1\"]",
                "fetch.allow_addresses: `127.0.0.1` is no address with a port, as 127.0.0.1:9000 (listend.toml:2)",
            ),
            (
                "[fetch]\nmin_interval = \"2h\"\nmax_interval = \"1h\"",
                "fetch.max_interval: `1h` must not be below fetch.min_interval (listend.toml:3)",
            ),
            (
                "[server]\nhub = \"https://hub.example/\"\ntokens = [\"t\"]",
                "server.hub: `https://hub.example/` cannot stand beside server.tokens: a hub could not read the feeds (listend.toml:2)",
            ),
            ("[retention]\nage = 4", "invalid type: integer `4`, expected a string (listend.toml:2)"),
        ] {
            assert_eq!(check(text).map_or_else(|error| error, |_| String::new()), message, "{text}");
        }
        let broken = check("[fetch\n").map(|_| ()).expect_err("it is no TOML");
        assert!(broken.ends_with("(listend.toml:1)") && !broken.contains('\n'), "{broken}");
    }

    #[test]
    fn unwise_values_are_accepted_with_a_warning() {
        let config = check("[fetch]\nmin_interval = \"1s\"").expect("it is allowed");
        assert_eq!(
            config.warnings,
            ["fetch.min_interval: `1s` asks publishers more often than every 5 minutes (listend.toml:2)"]
        );
    }

    #[test]
    fn contact_links_are_on_where_only_you_read() {
        for (text, on) in [
            ("", true),
            ("[server]\nlisten = \"0.0.0.0:80\"\npublic = true", false),
            ("[server]\nlisten = \"0.0.0.0:80\"\ntokens = [\"secret\"]", true),
            ("[server]\nhub = \"https://hub.example/\"", false),
            ("[listen]\ncontact_links = false", false),
        ] {
            assert_eq!(check(text).expect("it is a configuration").listen.contact_links, on, "{text}");
        }
    }
}
