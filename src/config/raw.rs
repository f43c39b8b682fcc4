//! The file as it is written, and its way to a checked [`Config`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::{Config, ConfigError, Fetch, Listen, ListenAddress, Mine, Retention, Server, value};

type Text = Option<Spanned<String>>;
type Texts = Option<Spanned<Vec<Spanned<String>>>>;
type Count = Option<Spanned<i64>>;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawConfig {
    lists: Option<PathBuf>,
    state: Option<PathBuf>,
    server: RawServer,
    fetch: RawFetch,
    roles: BTreeMap<String, Spanned<String>>,
    mine: RawMine,
    listen: RawListen,
    websub: RawSwitch,
    webmention: RawSwitch,
    backup: RawBackup,
    retention: RawRetention,
    store: RawStore,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawServer {
    listen: Text,
    base_url: Text,
    tokens: Texts,
    public: bool,
    hub: Text,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawFetch {
    concurrency: Count,
    per_host: Count,
    per_host_gap: Text,
    min_interval: Text,
    max_interval: Text,
    max_backoff: Text,
    timeout: Text,
    max_body: Text,
    contact: Text,
    allow_addresses: Texts,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawMine {
    sites: Texts,
    names: Texts,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawListen {
    contact_links: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSwitch {
    enabled: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawBackup {
    directory: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRetention {
    entries_per_feed: Count,
    age: Text,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawStore {
    cache: Text,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// Polling more often than this is accepted with a warning.
const POLITE_INTERVAL: Duration = Duration::from_mins(5);

pub(super) fn check(text: &str, file: Option<&Path>, beside: &Path) -> Result<Config, ConfigError> {
    let source = Source { text, file };
    let raw: RawConfig = toml::from_str(text).map_err(|error| {
        // A parser's message may have several lines; the first says what is wrong.
        let message = error.message().lines().next().unwrap_or("not TOML").to_owned();
        source.fault_at(error.span().map_or(0, |span| span.start), &message)
    })?;
    let mut warnings = Vec::new();
    let server = source.server(&raw.server, &mut warnings)?;
    let fetch = source.fetch(&raw.fetch, &mut warnings)?;
    let mut roles = BTreeMap::new();
    for (name, role) in raw.roles {
        let checked = source.read(&format!("roles.{name}"), &role, value::role)?;
        roles.insert(name, checked);
    }
    let mine = Mine {
        sites: source.each("mine.sites", raw.mine.sites.as_ref(), value::web_url)?,
        names: source.each("mine.names", raw.mine.names.as_ref(), not_empty)?,
    };
    let backup = raw.backup.directory.filter(|path| !path.as_os_str().is_empty()).map(|path| beside.join(path));
    let age = source.duration("retention.age", raw.retention.age.as_ref(), 400 * DAY, DAY)?;
    let cache_bytes = match &raw.store.cache {
        Some(text) => source.read("store.cache", text, value::bytes)?,
        None => 16 << 20,
    };
    if let Some(text) = raw.store.cache.as_ref().filter(|_| !(1 << 20..=64 << 30).contains(&cache_bytes)) {
        return Err(source.fault("store.cache", text, "must be 1MiB to 64GiB"));
    }
    // A hub passes on what only the keeper should read.
    let is_own = !server.tokens.is_empty() || server.listen.is_local() && server.hub.is_none();
    let contact_links = raw.listen.contact_links.unwrap_or(is_own);
    Ok(Config {
        file: file.map(Path::to_path_buf),
        lists: beside.join(raw.lists.unwrap_or_else(|| "lists".into())),
        state: match raw.state {
            Some(state) => beside.join(state),
            None => state_directory().unwrap_or_else(|| beside.join("state")),
        },
        fetch,
        roles,
        mine,
        listen: Listen { contact_links },
        websub: raw.websub.enabled.unwrap_or(true),
        webmention: raw.webmention.enabled.unwrap_or(false),
        backup,
        retention: Retention {
            entries_per_feed: source.count(
                "retention.entries_per_feed",
                raw.retention.entries_per_feed.as_ref(),
                1000,
                20,
                1_000_000,
            )? as u32,
            age,
        },
        cache_bytes,
        server,
        warnings,
    })
}

/// systemd names the directory that it made for us; of several the first is ours.
fn state_directory() -> Option<PathBuf> {
    let value = std::env::var_os("STATE_DIRECTORY")?;
    let first = value.to_string_lossy().split(':').next().unwrap_or_default().to_owned();
    (!first.is_empty()).then(|| first.into())
}

/// The tokens in the credential of that name, one a line, which systemd lays into a directory of the service's own
/// (`LoadCredential=` in systemd.exec(5)); none where there is no such file.
fn credential_tokens() -> Result<Vec<String>, ConfigError> {
    let Some(directory) = std::env::var_os("CREDENTIALS_DIRECTORY") else { return Ok(Vec::new()) };
    let file = Path::new(&directory).join("tokens");
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(ConfigError(format!("{}: the tokens cannot be read: {error}", file.display()))),
    }
}

fn not_empty(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// The file's text and name: what a fault is reported against.
struct Source<'a> {
    text: &'a str,
    file: Option<&'a Path>,
}

impl Source<'_> {
    fn place(&self, offset: usize) -> String {
        let line = 1 + self.text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count();
        format!("({}:{line})", self.file.map_or_else(|| "configuration".into(), |file| file.display().to_string()))
    }

    fn fault_at(&self, offset: usize, message: &str) -> ConfigError {
        ConfigError(format!("{message} {}", self.place(offset)))
    }

    fn fault<V: std::fmt::Display>(&self, key: &str, value: &Spanned<V>, problem: &str) -> ConfigError {
        self.fault_at(value.span().start, &format!("{key}: `{}` {problem}", value.get_ref()))
    }

    fn read<T>(
        &self,
        key: &str,
        text: &Spanned<String>,
        reader: fn(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        reader(text.get_ref()).map_err(|problem| self.fault(key, text, &problem))
    }

    fn each<T>(
        &self,
        key: &str,
        texts: Option<&Spanned<Vec<Spanned<String>>>>,
        reader: fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, ConfigError> {
        texts.iter().flat_map(|texts| texts.get_ref()).map(|text| self.read(key, text, reader)).collect()
    }

    fn duration(
        &self,
        key: &str,
        text: Option<&Spanned<String>>,
        default: Duration,
        least: Duration,
    ) -> Result<Duration, ConfigError> {
        let Some(text) = text else { return Ok(default) };
        let duration = self.read(key, text, value::duration)?;
        if duration < least {
            return Err(self.fault(key, text, &format!("must be at least {}", humantime::format_duration(least))));
        }
        if duration > 3650 * DAY {
            return Err(self.fault(key, text, "must be at most ten years"));
        }
        Ok(duration)
    }

    fn count(
        &self,
        key: &str,
        number: Option<&Spanned<i64>>,
        default: i64,
        least: i64,
        most: i64,
    ) -> Result<usize, ConfigError> {
        let Some(number) = number else { return Ok(default as usize) };
        if (least..=most).contains(number.get_ref()) {
            return Ok(*number.get_ref() as usize);
        }
        Err(self.fault(key, number, &format!("must be {least} to {most}")))
    }

    /// An empty text is how the example file says "not set".
    fn optional_url(&self, key: &str, text: Option<&Spanned<String>>) -> Result<Option<Url>, ConfigError> {
        text.filter(|text| !text.get_ref().is_empty()).map(|text| self.read(key, text, value::web_url)).transpose()
    }

    fn server(&self, raw: &RawServer, warnings: &mut Vec<String>) -> Result<Server, ConfigError> {
        let listen = match &raw.listen {
            Some(text) => self.read("server.listen", text, value::listen_address)?,
            None => ListenAddress::Tcp(([127, 0, 0, 1], 8470).into()),
        };
        let mut tokens = self.each("server.tokens", raw.tokens.as_ref(), not_empty)?;
        tokens.extend(credential_tokens()?);
        if let Some(text) = raw.listen.as_ref().filter(|_| !listen.is_local() && tokens.is_empty() && !raw.public) {
            let problem = "can be reached by others; set server.tokens, or server.public = true to let them read lists";
            return Err(self.fault("server.listen", text, problem));
        }
        let hub = self.optional_url("server.hub", raw.hub.as_ref())?;
        if let Some(text) = raw.hub.as_ref().filter(|_| hub.is_some() && !tokens.is_empty()) {
            let problem = "cannot stand beside server.tokens: a hub could not read the feeds";
            return Err(self.fault("server.hub", text, problem));
        }
        let mut base_url = match &raw.base_url {
            Some(text) => self.read("server.base_url", text, value::web_url)?,
            None => default_base_url(&listen),
        };
        base_url.set_query(None);
        base_url.set_fragment(None);
        if !base_url.path().ends_with('/') {
            base_url.set_path(&format!("{}/", base_url.path()));
        }
        if let Some(text) =
            raw.base_url.as_ref().filter(|_| !base_url.username().is_empty() || base_url.password().is_some())
        {
            let shown = self.place(text.span().start);
            return Err(ConfigError(format!(
                "server.base_url: it must not hold credentials; use server.tokens {shown}"
            )));
        }
        let is_anywhere = matches!(listen, ListenAddress::Tcp(address) if address.ip().is_unspecified());
        if let Some(text) = raw.listen.as_ref().filter(|_| is_anywhere && raw.base_url.is_none()) {
            let problem = "is no address that a link can lead to; set server.base_url";
            warnings.push(self.fault("server.listen", text, problem).to_string());
        }
        Ok(Server { listen, base_url, is_base_url_set: raw.base_url.is_some(), tokens, public: raw.public, hub })
    }

    fn fetch(&self, raw: &RawFetch, warnings: &mut Vec<String>) -> Result<Fetch, ConfigError> {
        let min_interval = self.duration("fetch.min_interval", raw.min_interval.as_ref(), 15 * MINUTE, SECOND)?;
        let max_interval =
            self.duration("fetch.max_interval", raw.max_interval.as_ref(), (24 * HOUR).max(min_interval), SECOND)?;
        if let Some(text) = raw.max_interval.as_ref().filter(|_| max_interval < min_interval) {
            return Err(self.fault("fetch.max_interval", text, "must not be below fetch.min_interval"));
        }
        if let Some(text) = raw.min_interval.as_ref().filter(|_| min_interval < POLITE_INTERVAL) {
            let problem = "asks publishers more often than every 5 minutes";
            warnings.push(self.fault("fetch.min_interval", text, problem).to_string());
        }
        let max_body_bytes = match &raw.max_body {
            Some(text) => self.read("fetch.max_body", text, value::bytes)?,
            None => 5 << 20,
        };
        if let Some(text) = raw.max_body.as_ref().filter(|_| !(1 << 10..=256 << 20).contains(&max_body_bytes)) {
            return Err(self.fault("fetch.max_body", text, "must be 1KiB to 256MiB"));
        }
        Ok(Fetch {
            concurrency: self.count("fetch.concurrency", raw.concurrency.as_ref(), 64, 1, 4096)?,
            per_host: self.count("fetch.per_host", raw.per_host.as_ref(), 2, 1, 4096)?,
            per_host_gap: self.duration("fetch.per_host_gap", raw.per_host_gap.as_ref(), SECOND, Duration::ZERO)?,
            min_interval,
            max_interval,
            max_backoff: self.duration("fetch.max_backoff", raw.max_backoff.as_ref(), 24 * HOUR, SECOND)?,
            timeout: self.duration("fetch.timeout", raw.timeout.as_ref(), 30 * SECOND, SECOND)?,
            max_body_bytes,
            contact: self.optional_url("fetch.contact", raw.contact.as_ref())?,
            allow_addresses: self.each("fetch.allow_addresses", raw.allow_addresses.as_ref(), value::socket_address)?,
        })
    }
}

/// Links need some host; a Unix socket has none, so they are made for the machine that it stands on.
fn default_base_url(listen: &ListenAddress) -> Url {
    let text = match listen {
        ListenAddress::Tcp(address) => format!("http://{address}/"),
        ListenAddress::Unix(_) => "http://localhost/".to_owned(),
    };
    Url::parse(&text).expect("a socket address makes a URL")
}
