//! The example `bench`: what a feed costs listend, beside a bare client on the same feeds, measured on your machine.
//!
//! `cargo build --release --bin listend && cargo run --release --example bench` starts a farm of synthetic feeds on
//! loopback, asks all of them with a bare client that stores nothing, and then lets the built daemon listen to them; each
//! is a process of its own, whose processor time is read from outside. It prints a table with ratios after some minutes.
//! `--plot FILE` draws it beside other aggregators, `--serve` compares kept pages with nginx, and
//! `--feeds 100000 --tls --close` shows what one core can poll in an hour. Linux only; nothing leaves the machine.

mod client;
mod document;
mod farm;
mod listening;
mod origin;
mod peers;
mod plot;
mod process;
mod report;
mod serving;
mod tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};

use client::Passes;
use farm::Farm;
use listening::Setting;
use origin::Open;
use process::Running;
use report::{Report, Round};

/// What a feed costs listend, beside a bare client.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    farm: Farm,
    /// Seconds between two polls of a feed; by default 10, and more where the feeds are more than 2,500
    #[arg(long)]
    interval: Option<u64>,
    /// Times that everything is measured; medians count
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Compares kept pages with nginx, where `wrk` and `nginx` are installed
    #[arg(long)]
    serve: bool,
    /// Draws the processor time a feed, beside that of other aggregators, into this file (SVG)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Prints JSON, every round by itself, and no table
    #[arg(long)]
    json: bool,
    /// The daemon; by default the one that was built beside this example
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// The processes that are measured against each other; the bench starts itself as each of them.
#[derive(Subcommand)]
enum Part {
    /// Serves the farm
    #[command(hide = true)]
    Origin {
        #[command(flatten)]
        farm: Farm,
        /// Where the certificate of its authority is put
        #[arg(long)]
        root: PathBuf,
    },
    /// Asks all feeds and stores nothing
    #[command(hide = true)]
    Client {
        #[command(flatten)]
        farm: Farm,
        /// The certificate to trust
        #[arg(long)]
        root: PathBuf,
        /// Reads what it gets
        #[arg(long)]
        parse: bool,
    },
}

/// Polls a second that the interval is chosen for: far below what a core can do, so that no poll waits for another.
const POLLS_A_SECOND: u64 = 250;
const MIN_INTERVAL_SECONDS: u64 = 10;

#[expect(clippy::print_stdout, reason = "the example is for its table")]
fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match &arguments.part {
        None => {
            let report = measure(&arguments)?;
            if let Some(file) = &arguments.plot {
                std::fs::write(file, plot::svg(&report.measured()))?;
            }
            let text = if arguments.json { serde_json::to_string_pretty(&report)? } else { report.markdown() };
            println!("{text}");
        }
        Some(Part::Origin { farm, root }) => {
            runtime()?.block_on(origin::serve(farm.clone(), root))?;
        }
        Some(Part::Client { farm, root, parse }) => {
            let passes = runtime()?.block_on(client::ask_all(farm, root, *parse))?;
            println!("{}", serde_json::to_string(&passes)?);
        }
    }
    Ok(())
}

fn measure(arguments: &Arguments) -> anyhow::Result<Report> {
    let beside = || -> Option<PathBuf> { Some(std::env::current_exe().ok()?.parent()?.parent()?.join("listend")) };
    let binary = arguments.binary.clone().or_else(beside).context("where the daemon is cannot be told: --binary")?;
    let binary = std::path::absolute(binary)?;
    ensure!(binary.is_file(), "{} is missing: cargo build --release --bin listend", binary.display());
    let feeds = u64::from(arguments.farm.feeds);
    let interval = arguments.interval.unwrap_or_else(|| (feeds / POLLS_A_SECOND).max(MIN_INTERVAL_SECONDS)).max(1);
    let home = tempfile::tempdir()?;
    let root = home.path().join("root.pem");

    let mut farm = arguments.farm.clone();
    farm.hosts = farm.hosts.min(farm.feeds);
    eprintln!("writing {feeds} feeds");
    let mut origin = start("origin", &farm, &root, &[])?;
    let open: Open = serde_json::from_str(&origin.line()?)?;
    farm.port = open.port;
    let control = SocketAddr::from((Ipv4Addr::LOCALHOST, open.control));

    let mut report = Report::new(&farm, interval);
    for number in 1..=arguments.rounds {
        let ask = |options: &[&str]| -> anyhow::Result<Passes> {
            let mut client = start("client", &farm, &root, options)?;
            Ok(serde_json::from_str(&client.line().context("the bare client could not ask all feeds")?)?)
        };
        eprintln!("round {number} of {}: the bare client", arguments.rounds);
        let (client, parser) = (ask(&[])?, ask(&["--parse"])?);
        eprintln!("round {number} of {}: listend", arguments.rounds);
        let setting = Setting {
            farm: &farm,
            control,
            binary: &binary,
            home: home.path().join(format!("listend-{number}")),
            root: &root,
            interval: Duration::from_secs(interval),
        };
        report.rounds.push(Round { client, parser, listend: listening::listen(&setting)? });
        if arguments.serve && number == arguments.rounds {
            let missing = serving::missing();
            if missing.is_empty() {
                eprintln!("serving kept pages");
                report.served = Some(serving::serve(&setting)?);
            } else {
                eprintln!("SKIPPED: serving beside nginx, for want of {} on PATH", missing.join(" and "));
            }
        }
        std::fs::remove_dir_all(&setting.home)?;
    }
    origin.stop()?;
    Ok(report)
}

/// Starts this program as one of its parts.
fn start(part: &str, farm: &Farm, root: &Path, options: &[&str]) -> anyhow::Result<Running> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(part).arg("--root").arg(root);
    for (name, number) in [("--feeds", farm.feeds), ("--hosts", farm.hosts), ("--port", u32::from(farm.port))] {
        command.arg(name).arg(number.to_string());
    }
    for (name, is_set) in [("--tls", farm.tls), ("--close", farm.close)] {
        command.args(is_set.then_some(name));
    }
    Running::start(command.args(options))
}
