//! The example `greedy`: what two thousand clients who take everything and give nothing cost fifty ordinary ones.
//!
//! `cargo build --release --bin listend && (ulimit -n 8192; cargo run --release --example greedy)` runs the built daemon
//! over an origin of its own on loopback. Ordinary clients ask for pages at a fixed pace, first alone, then beside greedy
//! ones who hold on to their connections in every way ([`clients::Greed`]) and come back when they are let go. It prints how
//! long the ordinary ones waited, what the daemon held meanwhile, and how long until all of that was free again, and ends
//! with 1 where any of it is more than it may be. It takes about two minutes.

mod clients;
#[path = "../bench/process.rs"]
#[allow(dead_code, reason = "the example bench uses the rest")]
mod process;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use listend::model::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use clients::{Counts, Greedy, Waited};
use process::{Running, ask, memory_mib, moment, now, wait_until};

/// Ordinary clients among greedy ones.
#[derive(Parser)]
struct Arguments {
    /// Feeds behind the pages
    #[arg(long, default_value_t = 200)]
    feeds: usize,
    /// Clients who hold on to their connections
    #[arg(long, default_value_t = 2000)]
    greedy: usize,
    /// Clients who ask, read and go
    #[arg(long, default_value_t = 50)]
    ordinary: usize,
    /// For how long is measured, each time
    #[arg(long, default_value = "40s", value_parser = humantime::parse_duration)]
    during: Duration,
    /// The daemon; by default the one that was built beside this example
    #[arg(long)]
    daemon: Option<PathBuf>,
}

/// Entries of each feed.
const ENTRIES: usize = 20;
/// Longest time until every feed has been read, and until everything is free again.
const PATIENCE: Duration = Duration::from_mins(2);
/// Descriptors that this program needs beside its clients'.
const OTHER_DESCRIPTORS: usize = 200;
const MAX_P99: Duration = Duration::from_millis(100);
/// How long memory may take to be given back once the descriptors are closed.
const SETTLING: Duration = Duration::from_secs(3);
/// So much more memory than before may stay with the allocator for the next crowd.
const MAX_KEPT_MIB: f64 = 10.0;
/// After the next one it may be so much more, and no trend.
const MAX_GROWTH_MIB: f64 = 5.0;

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let wanted = arguments.greedy + arguments.ordinary + OTHER_DESCRIPTORS;
    ensure!(
        descriptors_allowed()? >= wanted,
        "this needs {wanted} open files, and may have {}: ulimit -n {wanted}",
        descriptors_allowed()?
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(&arguments))
}

#[expect(clippy::print_stdout, reason = "the example is for its table")]
async fn measure(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut serving = JoinSet::new();
    let origin = serve_feeds(&mut serving).await?;
    let home = tempfile::tempdir()?;
    furnish(home.path(), origin, arguments.feeds)?;
    let mut daemon = start(arguments, home.path())?;
    let url = daemon.line()?;
    let address =
        url.strip_prefix("listend is ready: http://").and_then(|rest| rest.trim_end_matches('/').parse().ok());
    let address: SocketAddr = address.with_context(|| format!("the daemon said {url:?}"))?;
    wait_for_entries(address, arguments.feeds)?;

    // What the greedy will ask for is made and kept before, so that the difference is theirs alone.
    ask(address, &format!("GET {}", clients::LARGE_PAGE), "")?;
    let alone = clients::ordinary(address, arguments.ordinary, arguments.during).await;
    let before = Held::by(&daemon)?;

    // What the allocator keeps after the first crowd it must use again for the second; what grows is lost.
    let first = crowd(arguments, &daemon, address, before).await?;
    let second = crowd(arguments, &daemon, address, first.after).await?;
    daemon.stop()?;

    println!("{} feeds, {} ordinary clients who ask twice a second:", arguments.feeds, arguments.ordinary);
    println!("{:<28} {:>8} {:>9} {:>9} {:>9} {:>7}", "", "answers", "median", "99 %", "longest", "failed");
    for (name, waited) in [("alone", &alone), ("beside the greedy", &first.waited), ("and once more", &second.waited)] {
        println!(
            "{name:<28} {:>8} {:>6.1} ms {:>6.1} ms {:>6.1} ms {:>7}",
            waited.answers(),
            millis(waited.at(0.5)),
            millis(waited.at(0.99)),
            millis(waited.at(1.0)),
            waited.failed
        );
    }
    println!("\n{:<28} {:>8} {:>10} {:>10} {:>10}", "the daemon", "memory", "open files", "greedy in", "let go");
    println!("{:<28} {:>4.0} MiB {:>10}", "before", before.memory_mib, before.descriptors);
    for (name, crowd) in [("the first", &first), ("the second", &second)] {
        let (most, after, counts) = (crowd.most, crowd.after, &crowd.counts);
        println!(
            "{:<28} {:>4.0} MiB {:>10} {:>10} {:>10}",
            format!("with {name} crowd, at most"),
            most.memory_mib,
            most.descriptors,
            counts.came,
            counts.let_go
        );
        println!(
            "{:<28} {:>4.0} MiB {:>10}   files free after {:.1} s",
            "after it",
            after.memory_mib,
            after.descriptors,
            crowd.until_free.as_secs_f64()
        );
    }
    let is_quick = |crowd: &Crowd| crowd.waited.at(0.99) < MAX_P99 && crowd.waited.failed == 0;
    let is_free = second.after.descriptors <= before.descriptors
        && first.after.memory_mib < before.memory_mib + MAX_KEPT_MIB
        && second.after.memory_mib < first.after.memory_mib + MAX_GROWTH_MIB;
    let is_good = is_quick(&first) && is_quick(&second) && is_free;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What one crowd of greedy clients cost.
struct Crowd {
    waited: Waited,
    counts: Counts,
    most: Held,
    after: Held,
    /// From their leaving until all of their descriptors were closed.
    until_free: Duration,
}

/// Has the greedy come beside the ordinary, and leave all at once.
async fn crowd(arguments: &Arguments, daemon: &Running, address: SocketAddr, before: Held) -> anyhow::Result<Crowd> {
    let greedy = Greedy::start(address, arguments.greedy);
    let watching = watch(daemon, arguments.during);
    let (waited, most) = tokio::join!(clients::ordinary(address, arguments.ordinary, arguments.during), watching);
    let counts = greedy.counts();
    greedy.leave().await;
    let left = moment();
    while Held::by(daemon)?.descriptors > before.descriptors && left.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let until_free = left.elapsed();
    tokio::time::sleep(SETTLING).await;
    Ok(Crowd { waited, counts, most: most?, after: Held::by(daemon)?, until_free })
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    memory_mib: f64,
    descriptors: usize,
}

impl Held {
    fn by(daemon: &Running) -> anyhow::Result<Self> {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", daemon.id()))?.count();
        Ok(Self { memory_mib: memory_mib(&daemon.id(), "VmRSS")?, descriptors })
    }
}

/// The most that the daemon held at a time.
async fn watch(daemon: &Running, during: Duration) -> anyhow::Result<Held> {
    let (started, mut most) = (moment(), Held::by(daemon)?);
    while started.elapsed() < during {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let held = Held::by(daemon)?;
        most.memory_mib = most.memory_mib.max(held.memory_mib);
        most.descriptors = most.descriptors.max(held.descriptors);
    }
    Ok(most)
}

/// How many files this process may have open.
fn descriptors_allowed() -> anyhow::Result<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()).context("the system does not tell")?;
    Ok(soft.parse().unwrap_or(usize::MAX))
}

/// Answers every path with a feed of that path's own.
async fn serve_feeds(serving: &mut JoinSet<()>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let now = now();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut head = [0; 4096];
                // A request of the daemon's fits into one read.
                let read = stream.read(&mut head).await.unwrap_or(0);
                let path = String::from_utf8_lossy(&head[..read]).split(' ').nth(1).unwrap_or_default().to_owned();
                let body = feed(&path, now);
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/rss+xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                // Whoever has gone asks again.
                let _ = stream.write_all(answer.as_bytes()).await;
            });
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(address)
}

fn feed(path: &str, now: Timestamp) -> String {
    let text = "A bowl that was cracked in the kiln and holds all the same. ".repeat(40);
    let mut items = String::new();
    for number in 0..ENTRIES {
        let date = now.minus(Duration::from_hours(number as u64 + 1)).to_rfc822();
        let _ = write!(
            items,
            "<item><guid>{path}/{number}</guid><link>http://kiln.example{path}/{number}</link><title>Bowl {number}</title>\
             <pubDate>{date}</pubDate><description>{text}</description></item>"
        );
    }
    format!("<rss version=\"2.0\"><channel><title>Kiln {path}</title>{items}</channel></rss>")
}

/// Writes the list and the configuration; nothing is polled while it is measured.
fn furnish(home: &Path, origin: SocketAddr, feeds: usize) -> anyhow::Result<()> {
    let mut outlines = String::new();
    for number in 0..feeds {
        let _ =
            writeln!(outlines, "<outline type=\"rss\" text=\"Kiln {number}\" xmlUrl=\"http://{origin}/{number}\"/>");
    }
    std::fs::create_dir(home.join("lists"))?;
    let opml = format!("<opml version=\"2.0\"><head><title>All</title></head><body>\n{outlines}</body></opml>\n");
    std::fs::write(home.join("lists/followers.opml"), opml)?;
    let toml = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n\n[fetch]\nper_host = 16\nper_host_gap = \"0s\"\nmin_interval = \"24h\"\n\
         allow_addresses = [\"{origin}\"]\n"
    );
    std::fs::write(home.join("listend.toml"), toml)?;
    Ok(())
}

fn start(arguments: &Arguments, home: &Path) -> anyhow::Result<Running> {
    let beside = || -> Option<PathBuf> { Some(std::env::current_exe().ok()?.parent()?.parent()?.join("listend")) };
    let program = arguments.daemon.clone().or_else(beside).context("where the daemon is cannot be told: --daemon")?;
    // It runs in a directory of its own.
    let program = std::path::absolute(program)?;
    let mut command = Command::new(program);
    command.arg("--config").arg(home.join("listend.toml")).current_dir(home).env_remove("STATE_DIRECTORY");
    command.stderr(std::fs::File::create(home.join("log"))?);
    Running::start(&mut command)
}

fn wait_for_entries(address: SocketAddr, feeds: usize) -> anyhow::Result<()> {
    let expected = format!("listend_entries_total {}\n", feeds * ENTRIES);
    wait_until("every feed was read", PATIENCE, Duration::from_millis(100), || {
        Ok(ask(address, "GET /metrics", "")?.has(&expected))
    })?;
    Ok(())
}
