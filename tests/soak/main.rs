//! The example `soak`: does anything grow for ever? Memory, descriptors, threads and database of the daemon while feeds are
//! polled as fast as they go.
//!
//! `cargo build --release --bin listend && cargo run --release --example soak -- --feeds 5000 --minutes 30` runs the built
//! daemon over an origin of its own on loopback. A share of the polls brings a new entry, for which an old one drops out
//! of the document; retention keeps the least that may be configured and is applied every five minutes, by reloading, where a
//! month would have it hourly; readers ask for pages all the time. Prints a line a minute and at the end what grew how
//! fast in the second half of the time; ends with 1 where that is more than it may. Linux only.

mod growth;
mod origin;
#[path = "../bench/process.rs"]
mod process;
mod sample;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use growth::{Growth, growth};
use listend::store::Store;
use origin::Origin;
use process::{Running, ask, cpu_seconds, moment, wait_until};
use sample::Sample;

/// What grows while feeds are polled as fast as they go.
#[derive(Parser)]
struct Arguments {
    /// Feeds
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(20..=100_000))]
    feeds: u64,
    /// For how long
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    minutes: u64,
    /// The share of polls that bring a new entry
    #[arg(long, default_value_t = 0.1)]
    changing: f64,
    /// The daemon; by default the one that was built beside this example
    #[arg(long)]
    daemon: Option<PathBuf>,
}

/// Between two looks at the daemon.
const EVERY: Duration = Duration::from_secs(10);
/// Between two reloads, each of which has retention applied.
const RELOAD_EVERY: Duration = Duration::from_mins(5);
/// Readers that ask one page after the other.
const READERS: u64 = 2;
/// A reader's pause between two pages.
const READING: Duration = Duration::from_millis(200);
/// Longest time until every feed has been read once.
const PATIENCE: Duration = Duration::from_mins(10);
/// The least that may be configured.
const ENTRIES_PER_FEED: u64 = 20;
/// Memory may grow by so much an hour, in MiB, as far as can be told from noise.
const MAX_MIB_AN_HOUR: f64 = 1.0;
/// Bytes that an entry takes, as the operator's page has it.
const ENTRY_BYTES: f64 = 1536.0;
/// Bytes that is remembered of an entry which was purged, for 90 days, so that it does not come twice.
const IDENTITY_BYTES: f64 = 128.0;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let (origin, _hosts) = Origin::start(arguments.feeds, arguments.changing).await?;
    // Watching and reading wait for answers, and the origin must not wait for them.
    tokio::task::spawn_blocking(move || soak(&arguments, &origin)).await?
}

fn soak(arguments: &Arguments, origin: &Arc<Origin>) -> anyhow::Result<ExitCode> {
    let beside = || -> Option<PathBuf> { Some(std::env::current_exe().ok()?.parent()?.parent()?.join("listend")) };
    let daemon = arguments.daemon.clone().or_else(beside).context("where the daemon is cannot be told: --daemon")?;
    let daemon = std::path::absolute(daemon)?;
    ensure!(daemon.is_file(), "{} is missing: cargo build --release --bin listend", daemon.display());
    let home = tempfile::tempdir()?;
    furnish(home.path(), origin, arguments.feeds)?;

    let mut command = Command::new(&daemon);
    command.arg("run").arg("--config").arg(home.path().join("listend.toml")).current_dir(home.path());
    command.env_remove("STATE_DIRECTORY").env_remove("NOTIFY_SOCKET").env("LISTEND_LOG", "error");
    let mut running = Running::start(&mut command)?;
    let line = running.line()?;
    let address = line.strip_prefix("listend is ready: http://").map(|at| at.trim_end_matches('/'));
    let address: SocketAddr =
        address.and_then(|at| at.parse().ok()).with_context(|| format!("listend said `{line}`"))?;
    let first = wait_until("every feed was asked", PATIENCE, Duration::from_millis(200), || {
        Ok(origin.requests.load(Relaxed) >= arguments.feeds)
    })?;
    say(&format!("{} feeds were asked once after {:.1} s", arguments.feeds, first.as_secs_f64()));

    let is_over = AtomicBool::new(false);
    let pages = AtomicU64::new(0);
    let samples = std::thread::scope(|scope| {
        for reader in 0..READERS {
            let (is_over, pages) = (&is_over, &pages);
            scope.spawn(move || read_along(address, reader, is_over, pages));
        }
        let samples = watch(arguments, origin, &running, address, home.path());
        is_over.store(true, Relaxed);
        samples
    })?;
    let cpu = cpu_seconds(&running.id())?;
    let stopped = running.stop()?;
    say(&format!(
        "{} pages read, {cpu:.0} s of processor time, stopped within {:.1} s",
        pages.load(Relaxed),
        stopped.as_secs_f64()
    ));
    report(arguments, origin, &samples, home.path())
}

/// Writes the list and the configuration: everything as fast as it goes.
fn furnish(home: &Path, origin: &Origin, feeds: u64) -> anyhow::Result<()> {
    let (mut outlines, mut allowed) = (String::new(), String::new());
    for feed in 0..feeds {
        writeln!(outlines, "<outline type=\"rss\" text=\"Voice {feed}\" xmlUrl=\"{}\"/>", origin.url(feed))?;
    }
    for host in origin.hosts() {
        write!(allowed, "\"{host}\", ")?;
    }
    std::fs::create_dir(home.join("lists"))?;
    let opml = format!("<opml version=\"2.0\"><head><title>All</title></head><body>\n{outlines}</body></opml>\n");
    std::fs::write(home.join("lists/followers.opml"), opml)?;
    let toml = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n\n[fetch]\nconcurrency = 64\nper_host = 64\nper_host_gap = \"0s\"\n\
         min_interval = \"1s\"\nmax_interval = \"1s\"\nallow_addresses = [{allowed}]\n\n\
         [retention]\nentries_per_feed = {ENTRIES_PER_FEED}\n"
    );
    Ok(std::fs::write(home.join("listend.toml"), toml)?)
}

/// Looks at the daemon from outside until the time is over.
fn watch(
    arguments: &Arguments,
    origin: &Origin,
    running: &Running,
    address: SocketAddr,
    home: &Path,
) -> anyhow::Result<Vec<Sample>> {
    let (started, end) = (moment(), Duration::from_mins(arguments.minutes));
    let mut samples: Vec<Sample> = Vec::new();
    let mut reloaded = started;
    while started.elapsed() < end {
        std::thread::sleep(EVERY.min(end.saturating_sub(started.elapsed())));
        if reloaded.elapsed() >= RELOAD_EVERY {
            Command::new("sh").args(["-c", &format!("kill -s HUP {}", running.id())]).status()?;
            reloaded = moment();
        }
        let sample = look(origin, running, address, home, started)?;
        if samples.len().is_multiple_of(6) {
            say(&sample.to_string());
        }
        samples.push(sample);
    }
    Ok(samples)
}

fn look(
    origin: &Origin,
    running: &Running,
    address: SocketAddr,
    home: &Path,
    started: Instant,
) -> anyhow::Result<Sample> {
    let metrics = String::from_utf8(ask(address, "GET /metrics", "")?.body)?;
    let stored = metrics.lines().find_map(|line| line.strip_prefix("listend_entries_total "));
    sample::look(&running.id(), &home.join("state")).map(|seen| Sample {
        seconds: started.elapsed().as_secs_f64(),
        polls: origin.requests.load(Relaxed),
        stored: stored.and_then(|stored| stored.parse().ok()).unwrap_or_default(),
        ..seen
    })
}

/// Asks for one page after the other, some of them again with what makes the request conditional.
fn read_along(address: SocketAddr, reader: u64, is_over: &AtomicBool, pages: &AtomicU64) {
    let paths =
        ["/listen.atom", "/followers.json?limit=50", "/listen.rss?limit=500", "/", "/followers.opml", "/status"];
    let mut etag = String::new();
    for turn in reader.. {
        if is_over.load(Relaxed) {
            return;
        }
        let path = paths[(turn / 2 % paths.len() as u64) as usize];
        let condition =
            if turn % 2 == 1 && !etag.is_empty() { format!("If-None-Match: {etag}\r\n") } else { String::new() };
        match ask(address, &format!("GET {path}"), &condition) {
            Ok(answer) if answer.status == 304 || answer.status == 200 => {
                answer.field("etag").unwrap_or_default().clone_into(&mut etag);
                let is_whole = !path.starts_with("/listen.atom") || answer.status == 304 || answer.has("</feed>");
                pages.fetch_add(u64::from(is_whole), Relaxed);
            }
            Ok(answer) => say(&format!("{path}: {}", answer.status)),
            Err(error) => say(&format!("{path}: {error}")),
        }
        std::thread::sleep(READING);
    }
}

/// Prints what grew, and says whether it may.
fn report(arguments: &Arguments, origin: &Origin, samples: &[Sample], home: &Path) -> anyhow::Result<ExitCode> {
    let last = samples.last().context("nothing was seen in that time")?;
    let half = &samples[samples.len() / 2..];
    let store = Store::open(&home.join("state"), 16 << 20)?;
    let kept: u64 = store.feeds()?.iter().map(|feed| u64::from(feed.entries)).sum();
    say(&format!(
        "{} polls, {:.0} a second; {} of them brought a document; {} entries said, {} stored, {kept} kept, {} dropped",
        last.polls,
        last.polls as f64 / last.seconds,
        origin.whole.load(Relaxed),
        origin.said(),
        last.stored,
        last.stored.saturating_sub(kept)
    ));
    let hourly = |figure: fn(&Sample) -> f64| -> Growth {
        growth(half.iter().map(move |sample| (sample.seconds / 3600.0, figure(sample))))
    };
    let memory = hourly(|sample| sample.resident_mib);
    say(&format!("in the second half of {} minutes, an hour: resident memory {memory} MiB", arguments.minutes));
    say(&format!("  memory that is nobody's file {} MiB", hourly(|sample| sample.anonymous_mib)));
    let descriptors = hourly(|sample| sample.descriptors as f64);
    let most = |samples: &[Sample], of: fn(&Sample) -> u64| samples.iter().map(of).max().unwrap_or_default();
    say(&format!(
        "  descriptors {descriptors}; {} at first, {} at last, {} at most; threads {} at most",
        samples[0].descriptors,
        last.descriptors,
        most(samples, |sample| sample.descriptors),
        most(samples, |sample| sample.threads)
    ));
    // What came between two sweeps is there beside what they leave.
    let stored: Vec<u64> = std::iter::once(0).chain(samples.iter().map(|sample| sample.stored)).collect();
    let looks = (RELOAD_EVERY.as_secs() / EVERY.as_secs() + 1).min(stored.len() as u64);
    let between = stored.windows(looks as usize).map(|some| some[some.len() - 1] - some[0]).max().unwrap_or_default();
    let entries = arguments.feeds * ENTRIES_PER_FEED + between;
    let bound = entries as f64 * ENTRY_BYTES + last.stored as f64 * IDENTITY_BYTES;
    let database = most(samples, |sample| sample.database_bytes);
    say(&format!(
        "  database {} MiB; at most {:.1} MiB, of the {:.1} MiB that {entries} entries and {} identities may take",
        hourly(|sample| sample.database_bytes as f64 / f64::from(1 << 20)),
        database as f64 / f64::from(1 << 20),
        bound / f64::from(1 << 20),
        last.stored
    ));
    let quarters = half.split_at(half.len() / 2);
    let is_flat = most(quarters.1, |sample| sample.descriptors) <= most(quarters.0, |sample| sample.descriptors) + 16;
    // Twice the error of the slope is what 95 of 100 runs of a daemon that does not grow stay below.
    let is_good = memory.slope - 2.0 * memory.error < MAX_MIB_AN_HOUR
        && is_flat
        && database as f64 <= bound
        && kept <= arguments.feeds * ENTRIES_PER_FEED + between;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::print_stdout, reason = "the example is for its figures")]
fn say(line: &str) {
    println!("{line}");
}
