//! The example `isolation`: what four hundred broken feeds cost sixteen hundred healthy ones.
//!
//! `cargo build --release --bin listend && cargo run --release --example isolation` runs the built daemon twice over an
//! origin of its own on loopback, without the broken feeds and with them, for some minutes, and prints how long posts of
//! the healthy feeds took to be listed. It ends with 1 where the broken ones cost more than they may.

mod origin;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use listend::model::Timestamp;
use listend::store::Store;
use origin::{Origin, now};

/// Healthy feeds among broken ones.
#[derive(Parser)]
struct Arguments {
    /// Feeds that work
    #[arg(long, default_value_t = 1600)]
    healthy: usize,
    /// Feeds that are broken in every way
    #[arg(long, default_value_t = 400)]
    broken: usize,
    /// For how long is measured, each time
    #[arg(long, default_value = "90s", value_parser = humantime::parse_duration)]
    during: Duration,
    /// The daemon; by default the one that was built beside this example
    #[arg(long)]
    daemon: Option<PathBuf>,
}

/// How often each feed is asked. Far more often than outside, so that two runs take minutes and not days.
const INTERVAL: Duration = Duration::from_secs(20);
/// A poll is late when it comes so long after the interval and its jitter.
const LATE: Duration = Duration::from_secs(1);
/// Longest time until every healthy feed has been read.
const PATIENCE: Duration = Duration::from_mins(5);
const MAX_RATIO: f64 = 1.05;
const MAX_MEMORY_KIB: u64 = 200 * 1024;

/// What one run showed.
struct Run {
    delays: Vec<Duration>,
    /// Healthy feeds that were once asked too late.
    late: usize,
    memory_kib: u64,
    /// Until every healthy feed had been read for the first time.
    start: Duration,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(compare(&arguments))
}

#[expect(clippy::print_stdout, reason = "the example is for its table")]
async fn compare(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let alone = measure(arguments, 0).await?;
    let among = measure(arguments, arguments.broken).await?;
    println!("{} healthy feeds, asked every {INTERVAL:?}; publication to listing:", arguments.healthy);
    println!(
        "{:<18} {:>7} {:>9} {:>9} {:>11} {:>12} {:>10}",
        "", "posts", "median", "99 %", "late feeds", "peak memory", "all read"
    );
    for (name, run) in [("alone", &alone), ("among the broken", &among)] {
        println!(
            "{name:<18} {:>7} {:>8.2}s {:>8.2}s {:>11} {:>8} MiB {:>9.1}s",
            run.delays.len(),
            run.at(0.5),
            run.at(0.99),
            run.late,
            run.memory_kib / 1024,
            run.start.as_secs_f64()
        );
    }
    let ratio = among.at(0.99) / alone.at(0.99);
    println!(
        "ratio of the 99 % delays: {ratio:.3} (at most {MAX_RATIO}); of the medians: {:.3}",
        among.at(0.5) / alone.at(0.5)
    );
    let is_good = ratio <= MAX_RATIO && among.memory_kib < MAX_MEMORY_KIB;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Run {
    /// The delay that this share of posts stayed below, in seconds.
    fn at(&self, share: f64) -> f64 {
        let place = ((self.delays.len() as f64 * share) as usize).min(self.delays.len().saturating_sub(1));
        self.delays.get(place).map_or(f64::NAN, Duration::as_secs_f64)
    }
}

/// One run of the daemon, in a home of its own.
async fn measure(arguments: &Arguments, broken: usize) -> anyhow::Result<Run> {
    let origin = Origin::start(arguments.healthy).await?;
    let home = tempfile::tempdir()?;
    furnish(home.path(), &origin, broken)?;
    let started = now();
    let mut daemon = start(arguments, home.path())?;
    let run = watch(arguments, &origin, &mut daemon, started).await;
    // Asked to stop, it stores what is under way.
    let pid = daemon.id();
    Command::new("sh").args(["-c", &format!("kill -s TERM {pid}")]).status()?;
    daemon.wait()?;
    let (mut run, from) = run?;
    run.delays = delays(home.path(), from)?;
    Ok(run)
}

/// Waits until every healthy feed has been read twice, then measures.
async fn watch(
    arguments: &Arguments,
    origin: &Arc<Origin>,
    daemon: &mut Child,
    started: Timestamp,
) -> anyhow::Result<(Run, Timestamp)> {
    let all_asked = |times: u64| origin.healthy.iter().all(|seen| seen.requests.load(Ordering::Relaxed) >= times);
    let mut start = None;
    while !all_asked(2) {
        if start.is_none() && all_asked(1) {
            start = Some(now().since(started));
        }
        if now().since(started) > PATIENCE {
            bail!("after {PATIENCE:?} some healthy feeds were still not read");
        }
        if let Some(status) = daemon.try_wait()? {
            bail!("the daemon ended by itself: {status}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for seen in &origin.healthy {
        seen.longest_pause_millis.store(0, Ordering::Relaxed);
    }
    let from = now();
    tokio::time::sleep(arguments.during).await;
    let too_long = (INTERVAL.mul_f64(1.1) + LATE).as_millis() as i64;
    let late =
        origin.healthy.iter().filter(|seen| seen.longest_pause_millis.load(Ordering::Relaxed) > too_long).count();
    let memory_kib = peak_memory_kib(daemon.id())?;
    Ok((Run { delays: Vec::new(), late, memory_kib, start: start.unwrap_or_default() }, from))
}

/// Writes the list and the configuration.
fn furnish(home: &Path, origin: &Origin, broken: usize) -> anyhow::Result<()> {
    let (mut outlines, mut allowed) = (String::new(), String::new());
    let healthy = (0..origin.healthy.len()).map(|number| origin.healthy_url(number));
    for (address, url) in healthy.chain((0..broken).map(|number| origin.broken_url(number))) {
        let _ = writeln!(outlines, "<outline type=\"rss\" text=\"A feed\" xmlUrl=\"{url}\"/>");
        let _ = write!(allowed, "\"{address}\", ");
    }
    std::fs::create_dir(home.join("lists"))?;
    let opml = format!("<opml version=\"2.0\"><head><title>All</title></head><body>\n{outlines}</body></opml>\n");
    std::fs::write(home.join("lists/followers.opml"), opml)?;
    let interval = INTERVAL.as_secs();
    // The broken are asked nearly as often as the healthy, which is the worst that they can do.
    let toml = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n\n[fetch]\nmin_interval = \"{interval}s\"\nmax_interval = \"{interval}s\"\n\
         max_backoff = \"{}s\"\nallow_addresses = [{allowed}]\n",
        2 * interval
    );
    std::fs::write(home.join("listend.toml"), toml)?;
    Ok(())
}

fn start(arguments: &Arguments, home: &Path) -> anyhow::Result<Child> {
    let beside = || -> Option<PathBuf> { Some(std::env::current_exe().ok()?.parent()?.parent()?.join("listend")) };
    let program = arguments.daemon.clone().or_else(beside).context("where the daemon is cannot be told: --daemon")?;
    // It runs in a directory of its own.
    let program = std::path::absolute(program)?;
    let mut command = Command::new(&program);
    command.arg("--config").arg(home.join("listend.toml")).current_dir(home).env_remove("STATE_DIRECTORY");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(home.join("log"))?);
    command.spawn().with_context(|| format!("{} cannot be started; build it first: cargo build", program.display()))
}

fn peak_memory_kib(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the system does not tell")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// How long each post since `from` took, in order.
fn delays(home: &Path, from: Timestamp) -> anyhow::Result<Vec<Duration>> {
    let store = Store::open(&home.join("state"), 16 << 20)?;
    let snapshot = store.snapshot()?;
    let (mut delays, mut after) = (Vec::new(), None);
    loop {
        let entries = snapshot.all_entries(after, 1000)?;
        let Some(last) = entries.last() else { break };
        after = Some(last.key);
        for entry in &entries {
            let published = entry.guid.parse().map(Timestamp::from_millis);
            if let Ok(published) = published
                && published >= from
            {
                delays.push(entry.first_seen.since(published));
            }
        }
    }
    delays.sort_unstable();
    Ok(delays)
}
