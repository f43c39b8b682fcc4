//! What listend takes for the same feeds: started over an empty directory, watched from outside, asked as readers ask.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use listend::model::Timestamp;
use serde::Serialize;

use super::farm::Farm;
use super::origin::Counts;
use super::process::{self, Running, ask, cpu_seconds, memory_mib, moment, wait_until};

/// What it took. Times of the processor are in microseconds a feed.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Listened {
    /// The first poll of every feed: whole documents, each entry new, cleaned and stored.
    pub(crate) cold_us: f64,
    /// From the start until all of that is stored, in seconds.
    pub(crate) cold_seconds: f64,
    /// Polls of feeds that have not changed.
    pub(crate) unchanged_us: f64,
    /// Polls where one feed in twenty has a new entry.
    pub(crate) changed_us: f64,
    /// New connections for each poll of a feed that has not changed.
    pub(crate) connections: f64,
    /// The share of those whose TLS session was resumed; 0 without TLS.
    pub(crate) resumed: f64,
    /// Memory at most while all entries are new, in MiB.
    pub(crate) peak_mib: f64,
    /// Memory after all of this, in MiB.
    pub(crate) resident_mib: f64,
    /// Entries stored in the first poll.
    pub(crate) entries: f64,
    /// Bytes of the documents of the first poll, before compression.
    pub(crate) document_bytes: f64,
    /// Bytes of the database on the disk at the end.
    pub(crate) store_bytes: f64,
    /// Until the newest hundred of all entries are rendered as Atom, in milliseconds, connection included.
    pub(crate) rendered_ms: f64,
    /// The same again, while nothing has changed.
    pub(crate) kept_ms: f64,
    /// From a list being saved until its view is there, in milliseconds.
    pub(crate) list_ms: f64,
    /// From a list with a new feed being saved until the entries of that feed stand in the merged feed.
    pub(crate) new_feed_ms: f64,
    /// From a publisher's answer with a new entry until that stands in the merged feed of everybody.
    pub(crate) merged_ms: f64,
    /// From the start of the process over the full database until `/readyz` says 200.
    pub(crate) ready_ms: f64,
}

/// Everything that has to be there.
pub(crate) struct Setting<'a> {
    pub(crate) farm: &'a Farm,
    /// Where the origin is told what to do.
    pub(crate) control: SocketAddr,
    /// The program.
    pub(crate) binary: &'a Path,
    /// A directory for configuration, lists and database.
    pub(crate) home: PathBuf,
    /// The certificate of the origin's authority.
    pub(crate) root: &'a Path,
    /// Between two polls of a feed.
    pub(crate) interval: Duration,
}

/// A running daemon, and where it is asked.
pub(crate) struct Daemon {
    pub(crate) process: Running,
    pub(crate) address: SocketAddr,
}

const PAUSE: Duration = Duration::from_millis(100);
/// Between two questions to the daemon while it is measured; they are its work, too.
const LONG_PAUSE: Duration = Duration::from_millis(300);
/// Where something is to be timed, it is looked for so often.
const SHORT_PAUSE: Duration = Duration::from_millis(2);
/// What happens without a poll happens within this.
const PATIENCE: Duration = Duration::from_mins(2);
/// Polls while nothing changes, at least: the kernel counts in hundredths of a second, and few feeds make few of them.
const UNCHANGED_POLLS: u64 = 4000;
/// Polls of each feed while nothing changes, at most.
const MAX_ROUNDS: u64 = 10;
/// How often a kept page is asked for; the median counts.
const KEPT_ROUNDS: usize = 15;
/// The share of the feeds that post.
const CHANGED: f64 = 0.05;

impl Setting<'_> {
    /// Writes lists and configuration.
    pub(crate) fn furnish(&self) -> anyhow::Result<()> {
        std::fs::create_dir_all(self.home.join("lists"))?;
        for (name, list) in self.farm.lists() {
            std::fs::write(self.list(&name), list)?;
        }
        self.configure(self.interval)
    }

    /// Writes the configuration with this interval between polls.
    pub(crate) fn configure(&self, interval: Duration) -> anyhow::Result<()> {
        let mut allowed = String::new();
        for host in 0..self.farm.hosts {
            write!(allowed, "\"{}\", ", self.farm.host(host))?;
        }
        let interval = interval.as_secs().max(1);
        // Polls far more often than one may outside, and reaches nothing but the farm.
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n\n[fetch]\nconcurrency = 64\nper_host = 64\nper_host_gap = \"0s\"\n\
             min_interval = \"{interval}s\"\nmax_interval = \"{interval}s\"\nallow_addresses = [{allowed}]\n"
        );
        Ok(std::fs::write(self.home.join("listend.toml"), text)?)
    }

    fn list(&self, name: &str) -> PathBuf {
        self.home.join("lists").join(format!("{name}.opml"))
    }

    /// Starts the daemon and waits until it says where it listens. With one worker thread, where `alone`.
    pub(crate) fn start(&self, alone: bool) -> anyhow::Result<Daemon> {
        let mut command = Command::new(self.binary);
        command.arg("run").arg("--config").arg(self.home.join("listend.toml")).current_dir(&self.home);
        command.env_remove("STATE_DIRECTORY").env_remove("NOTIFY_SOCKET");
        if self.farm.tls {
            command.env("SSL_CERT_FILE", self.root);
        }
        if alone {
            command.env("TOKIO_WORKER_THREADS", "1");
        }
        // What goes wrong is worth a line; what happens is not.
        command.env("LISTEND_LOG", "error");
        let mut process = Running::start(&mut command)?;
        let line = process.line()?;
        let address = line.strip_prefix("listend is ready: http://").map(|at| at.trim_end_matches('/'));
        let address = address.and_then(|at| at.parse().ok());
        Ok(Daemon { process, address: address.with_context(|| format!("listend said `{line}`"))? })
    }

    /// What the origin was asked so far.
    pub(crate) fn counts(&self) -> anyhow::Result<Counts> {
        Ok(serde_json::from_slice(&self.tell("GET /counts")?)?)
    }

    /// Tells the origin something.
    pub(crate) fn tell(&self, request: &str) -> anyhow::Result<Vec<u8>> {
        let answer = ask(self.control, request, "")?;
        ensure!(answer.status == 200, "the origin answered {} to {request}", answer.status);
        Ok(answer.body)
    }

    /// Longest time that polls of all feeds may take.
    fn long(&self) -> Duration {
        PATIENCE + self.interval * 20 + Duration::from_millis(50) * self.farm.feeds
    }
}

impl Daemon {
    fn has(&self, path: &str, words: &str) -> anyhow::Result<bool> {
        let answer = ask(self.address, &format!("GET {path}"), "")?;
        Ok(answer.status == 200 && answer.has(words))
    }

    /// How long the merged feed of everybody takes, in milliseconds.
    fn merged(&self) -> anyhow::Result<f64> {
        let started = moment();
        let answer = ask(self.address, "GET /listen.atom", "")?;
        ensure!(answer.status == 200, "/listen.atom: {}", answer.status);
        Ok(millis(started.elapsed()))
    }

    fn cpu_seconds(&self) -> anyhow::Result<f64> {
        cpu_seconds(&self.process.id())
    }
}

/// Measures everything once, from an empty database on.
pub(crate) fn listen(setting: &Setting) -> anyhow::Result<Listened> {
    let feeds = f64::from(setting.farm.feeds);
    let expected: f64 = String::from_utf8(setting.tell("POST /reset")?)?.parse()?;
    setting.furnish()?;

    let started = moment();
    let daemon = setting.start(false)?;
    let stored = || -> anyhow::Result<f64> {
        let metrics = String::from_utf8(ask(daemon.address, "GET /metrics", "")?.body)?;
        let line = metrics.lines().find_map(|line| line.strip_prefix("listend_entries_total "));
        Ok(line.and_then(|count| count.parse().ok()).unwrap_or_default())
    };
    wait_until("every entry is stored", setting.long(), LONG_PAUSE, || Ok(stored()? >= expected))?;
    let (cold_seconds, cold_us) = (started.elapsed().as_secs_f64(), daemon.cpu_seconds()? / feeds * 1e6);
    let peak_mib = memory_mib(&daemon.process.id(), "VmHWM")?;
    let document_bytes = setting.counts()?.plain_bytes as f64;

    let rounds = UNCHANGED_POLLS.div_ceil(u64::from(setting.farm.feeds)).min(MAX_ROUNDS);
    let (unchanged_us, during) = polls(setting, &daemon, rounds)?;
    let connections = during.connections as f64 / during.requests as f64;
    let resumed = during.resumed as f64 / (during.connections as f64).max(1.0);
    setting.tell(&format!("POST /advance?share={CHANGED}"))?;
    let (changed_us, _) = polls(setting, &daemon, 1)?;

    let rendered_ms = daemon.merged()?;
    let kept = (0..KEPT_ROUNDS).map(|_| daemon.merged()).collect::<anyhow::Result<Vec<f64>>>()?;
    let merged_ms = posted(setting, &daemon)?;
    let (list_ms, new_feed_ms) = edited(setting, &daemon)?;

    let resident_mib = memory_mib(&daemon.process.id(), "VmRSS")?;
    daemon.process.stop()?;
    let store_bytes = bytes_below(&setting.home.join("state"))?;
    let started = moment();
    let daemon = setting.start(false)?;
    wait_until(
        "/readyz says 200",
        PATIENCE,
        SHORT_PAUSE,
        || Ok(ask(daemon.address, "GET /readyz", "")?.status == 200),
    )?;
    let ready_ms = millis(started.elapsed());
    daemon.process.stop()?;
    Ok(Listened {
        cold_us,
        cold_seconds,
        unchanged_us,
        changed_us,
        connections,
        resumed,
        peak_mib,
        resident_mib,
        entries: expected,
        document_bytes,
        store_bytes,
        rendered_ms,
        kept_ms: median(kept),
        list_ms,
        new_feed_ms,
        merged_ms,
        ready_ms,
    })
}

/// Microseconds of processor time for a poll, while each feed is polled so many times on average; and what the origin
/// was asked in that time.
fn polls(setting: &Setting, daemon: &Daemon, rounds: u64) -> anyhow::Result<(f64, Counts)> {
    let (before, cpu) = (setting.counts()?, daemon.cpu_seconds()?);
    let enough = before.requests + rounds * u64::from(setting.farm.feeds);
    wait_until("the feeds are polled again", setting.long(), PAUSE, || Ok(setting.counts()?.requests >= enough))?;
    let (cpu, after) = (daemon.cpu_seconds()? - cpu, setting.counts()?);
    let during = Counts {
        requests: after.requests - before.requests,
        connections: after.connections - before.connections,
        resumed: after.resumed - before.resumed,
        ..after
    };
    Ok((cpu / during.requests as f64 * 1e6, during))
}

/// Milliseconds from a publisher's answer with a new entry until that stands in the merged feed of everybody.
fn posted(setting: &Setting, daemon: &Daemon) -> anyhow::Result<f64> {
    let page = String::from_utf8(setting.tell("POST /post?feed=0")?)?;
    wait_until("the feed that posts is asked", setting.long(), SHORT_PAUSE, || Ok(setting.counts()?.served_at > 0))?;
    wait_until("the new entry is shown", PATIENCE, SHORT_PAUSE, || daemon.has("/listen.atom?limit=20", &page))?;
    let shown_at = process::now();
    Ok(millis(shown_at.since(Timestamp::from_millis(setting.counts()?.served_at))))
}

/// Milliseconds from a list being saved until its view is there, and until the entries of its feed are.
fn edited(setting: &Setting, daemon: &Daemon) -> anyhow::Result<(f64, f64)> {
    let latecomer = setting.farm.latecomer();
    let saved = moment();
    std::fs::write(setting.list("late"), setting.farm.list(latecomer, latecomer + 1))?;
    let voice = format!("Voice {latecomer}");
    wait_until("a new list is shown", PATIENCE, SHORT_PAUSE, || daemon.has("/late.opml", &voice))?;
    let list_ms = millis(saved.elapsed());
    let page = format!("/{latecomer}/posts/");
    wait_until("a new feed is shown", PATIENCE, SHORT_PAUSE, || daemon.has("/late.atom", &page))?;
    Ok((list_ms, millis(saved.elapsed())))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The middle of some numbers; 0 where there is none.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

/// What the files in a directory take on the disk.
fn bytes_below(directory: &Path) -> anyhow::Result<f64> {
    let mut bytes = 0;
    for file in std::fs::read_dir(directory)? {
        // `st_blocks` counts 512 bytes each, whatever the file system's own blocks are (stat(3type)).
        bytes += file?.metadata()?.blocks() * 512;
    }
    Ok(bytes as f64)
}
