//! The example `crowd`: how quickly the views answer where ten thousand voices have said a million things.
//!
//! `cargo build --release --bin listend && cargo run --release --example crowd` fills a database with voices who link to
//! each other, to the keeper and to the world, starts the built daemon over it once for each view, and prints how long
//! the first page takes three seconds after a start, when another page of the view is made, after contact was recorded,
//! and when it was kept. It takes some ten minutes and 3 GB of disk. It ends with 1
//! where a page takes longer than it may.

mod people;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;

/// A crowd, and who answers for it.
#[derive(Parser)]
struct Arguments {
    /// Voices, each with a feed
    #[arg(long, default_value_t = 10_000)]
    voices: u32,
    /// Entries of each
    #[arg(long, default_value_t = 100)]
    entries: u32,
    /// Links in each entry
    #[arg(long, default_value_t = 5)]
    links: u32,
    /// Where the crowd is kept between runs; by default nowhere
    #[arg(long)]
    home: Option<PathBuf>,
    /// The daemon; by default the one that was built beside this example
    #[arg(long)]
    daemon: Option<PathBuf>,
}

/// The views, each by the address of its first page.
const VIEWS: [&str; 20] = [
    "/",
    "/listen.atom",
    "/mutual.atom",
    "/mutual.html",
    "/mentions.atom",
    "/mentions.html",
    "/thanks.atom",
    "/thanks.html",
    "/neglected.atom",
    "/neglected.html",
    "/quiet.atom",
    "/quiet.html",
    "/conversations.atom",
    "/conversations.html",
    "/newcomers.atom",
    "/newcomers.html",
    "/bridges.atom",
    "/bridges.html",
    "/voices",
    "/voices/voice-7.html",
];
/// After a start, so long until the first question: as somebody needs who turns to the browser.
const SETTLING: Duration = Duration::from_secs(3);
/// Times that a page is made anew; the median counts.
const ROUNDS: usize = 9;
const MAX_COLD: Duration = Duration::from_millis(250);
const MAX_WARM: Duration = Duration::from_millis(50);
/// Longest time until a daemon is ready, and until it has heard what old entries say.
const PATIENCE: Duration = Duration::from_mins(10);

#[expect(clippy::print_stdout, reason = "the example is for its table")]
fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let temporary = tempfile::tempdir()?;
    let home = arguments.home.clone().unwrap_or_else(|| temporary.path().to_owned());
    if !home.join("state").exists() {
        let cost = people::cost_of_links(&arguments)?;
        println!(
            "storing entries: {:?} without what they say of others, {:?} with it ({:+.1} %)",
            cost.0, cost.1, cost.2
        );
        let started = moment();
        people::fill(&home, &arguments)?;
        println!("{} voices stored in {:.0?}", arguments.voices, started.elapsed());
        Daemon::start(&arguments, &home)?.wait_for("all stored entries are heard")?;
    }
    let file = std::fs::metadata(home.join("state/listend.redb"))?.len();
    println!("database: {} MiB", file >> 20);
    println!(
        "{:<22} {:>10} {:>10} {:>13} {:>10} {:>9}",
        "first page of", "cold", "anew", "after contact", "kept", "bytes"
    );
    let mut is_good = true;
    for view in VIEWS {
        let daemon = Daemon::start(&arguments, &home)?;
        std::thread::sleep(SETTLING);
        let (cold, bytes) = daemon.get(view)?;
        let mut anew = Vec::new();
        let mut after_contact = Vec::new();
        for round in 0..ROUNDS {
            if let Some(other) = another_page(view, round) {
                anew.push(daemon.get(&other)?.0);
            }
            // Contact has everything between you and the voices worked out anew, which costs more than a new entry.
            daemon.note_contact(view, round)?;
            after_contact.push(daemon.get(view)?.0);
        }
        let (anew, after_contact) = (median(anew), median(after_contact));
        let kept = daemon.get(view)?.0;
        let warm = if anew.is_zero() { after_contact } else { anew };
        let is_slow = cold > MAX_COLD || warm > MAX_WARM;
        is_good &= !is_slow;
        let mark = if is_slow { "  too slow" } else { "" };
        println!("{view:<22} {cold:>10.1?} {anew:>10.1?} {after_contact:>13.1?} {kept:>10.1?} {bytes:>9}{mark}");
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A page of the same kind that was not asked for before; none of the front page.
fn another_page(view: &str, round: usize) -> Option<String> {
    let has_pages = ["/thanks", "/neglected", "/quiet", "/conversations", "/newcomers", "/bridges", "/voices"];
    match view {
        "/" => None,
        "/voices/voice-7.html" => Some(format!("/voices/voice-{}.html", 8 + round)),
        view if has_pages.contains(&view.trim_end_matches(".html")) => Some(format!("{view}?page={}", 2 + round)),
        view => Some(format!("{view}?limit={}", 99 - round)),
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// A point on the steady clock.
fn moment() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a measurement asks the clock")]
    Instant::now()
}

/// A running daemon; it is asked to stop when this goes.
struct Daemon {
    child: Child,
    log: PathBuf,
    address: String,
}

impl Daemon {
    /// Starts one over a home, and waits until it is ready.
    fn start(arguments: &Arguments, home: &Path) -> anyhow::Result<Self> {
        let beside = || -> Option<PathBuf> { Some(std::env::current_exe().ok()?.parent()?.parent()?.join("listend")) };
        let program =
            arguments.daemon.clone().or_else(beside).context("where the daemon is cannot be told: --daemon")?;
        let program = std::path::absolute(program)?;
        let log = home.join("log");
        let mut command = Command::new(&program);
        command.arg("--config").arg(home.join("listend.toml")).current_dir(home).env_remove("STATE_DIRECTORY");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log)?);
        let child = command.spawn().with_context(|| format!("{} cannot be started", program.display()))?;
        let mut daemon = Self { child, log, address: String::new() };
        let line = daemon.wait_for("listening")?;
        let at = line.find("url=").context("the daemon does not say where it listens")?;
        let url = line[at + 4..].split_whitespace().next().unwrap_or_default();
        url.trim_start_matches("http://").trim_end_matches('/').clone_into(&mut daemon.address);
        Ok(daemon)
    }

    /// The first line of the log with these words, once it is there.
    fn wait_for(&mut self, words: &str) -> anyhow::Result<String> {
        let started = moment();
        while started.elapsed() < PATIENCE {
            let log = BufReader::new(std::fs::File::open(&self.log)?);
            if let Some(line) = log.lines().map_while(Result::ok).find(|line| line.contains(words)) {
                return Ok(line);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the daemon ended by itself: {status}; see {}", self.log.display());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        bail!("the daemon did not say `{words}` within {PATIENCE:?}")
    }

    /// How long a page takes, connection included, and how large it is.
    fn get(&self, path: &str) -> anyhow::Result<(Duration, usize)> {
        let started = moment();
        let answer = self.ask(&format!("GET {path} HTTP/1.1\r\n"), "")?;
        let took = started.elapsed();
        ensure!(
            answer.starts_with(b"HTTP/1.1 200 "),
            "{path}: {}",
            String::from_utf8_lossy(&answer[..200.min(answer.len())])
        );
        Ok((took, answer.len()))
    }

    /// Records contact with somebody.
    fn note_contact(&self, view: &str, round: usize) -> anyhow::Result<()> {
        let key = people::an_entry();
        let head = format!("POST /answered/{key} HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n");
        let answer = self.ask(&head, &format!("kind=thanked&note={}+{view}+{round}", self.child.id()))?;
        ensure!(answer.starts_with(b"HTTP/1.1 303 "), "{}", String::from_utf8_lossy(&answer[..200.min(answer.len())]));
        Ok(())
    }

    fn ask(&self, head: &str, body: &str) -> anyhow::Result<Vec<u8>> {
        #[expect(clippy::disallowed_methods, reason = "a reader asks the daemon")]
        let mut stream = TcpStream::connect(&self.address)?;
        let length = body.len();
        let request =
            format!("{head}Host: {}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}", self.address);
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("sh").args(["-c", &format!("kill -s TERM {}", self.child.id())]).status();
        let _ = self.child.wait();
    }
}
