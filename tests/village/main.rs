//! The example `village`: a handful of made-up sites on loopback that post now and then. No network is needed.
//!
//! `cargo run --release --example village` prints what to open. It leaves nothing behind when it is stopped with Ctrl-C.

#[path = "mod.rs"]
#[allow(dead_code, reason = "the integration tests use the rest")]
mod village;

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use listend::config::Config;
use listend::daemon::{self, Signals};
use listend::http::Listener;
use tokio::net::TcpListener;
use village::Village;
use village::origin::now;

/// A village of small sites on this machine, and listend listening to it.
#[derive(Parser)]
struct Arguments {
    /// What happens follows from this number
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Pause between two posts
    #[arg(long, default_value = "8s", value_parser = humantime::parse_duration)]
    every: Duration,
    /// Port for listend; 0 takes a free one
    #[arg(long, default_value_t = 8470)]
    port: u16,
}

/// Shorter pauses would be no village.
const MIN_PAUSE: Duration = Duration::from_millis(100);

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_max_level(tracing::Level::INFO)
        .init();
    let home = tempfile::tempdir()?;
    let village = Village::settle(arguments.seed, now())?;
    tokio::runtime::Runtime::new()?.block_on(live(village, home.path(), &arguments))
}

/// Writes lists and configuration for the village into a directory.
fn furnish(village: &Village, home: &Path, address: SocketAddr) -> anyhow::Result<Config> {
    std::fs::create_dir(home.join("lists"))?;
    village.write_lists(&home.join("lists"))?;
    let mut allowed = String::new();
    for address in village.addresses() {
        let _ = write!(allowed, "\"{address}\", ");
    }
    // Polls far more often than one may outside, and reaches nothing but the village.
    let text = format!(
        "[server]\nlisten = \"{address}\"\n\n[fetch]\nmin_interval = \"3s\"\nmax_interval = \"5s\"\n\
         per_host_gap = \"0s\"\nallow_addresses = [{allowed}]\n"
    );
    let file = home.join("listend.toml");
    std::fs::write(&file, text)?;
    Ok(Config::load(Some(&file), home)?)
}

/// Listens to the village, where somebody posts now and then, until Ctrl-C.
async fn live(mut village: Village, home: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port));
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("{address} cannot be used; choose another with -- --port PORT"))?;
    let address = listener.local_addr()?;
    let config = furnish(&village, home, address)?;
    let guide = guide(&village, &config, address);
    let store = daemon::open_store(&config).await?;
    let signals = Signals::default();
    #[expect(clippy::print_stdout, reason = "the example talks to whoever started it")]
    let on_ready = move || println!("{guide}");
    let listening = daemon::run(config, store, Listener::Tcp(listener), signals.clone(), on_ready, || {});
    tokio::pin!(listening);
    let mut beat = tokio::time::interval(arguments.every.max(MIN_PAUSE));
    loop {
        tokio::select! {
            ended = &mut listening => return ended,
            _ = beat.tick() => {
                let (who, post) = village.step(now());
                tracing::info!(who, title = post.title, "somebody posted");
            }
            stopped = tokio::signal::ctrl_c(), if !signals.shutdown.is_cancelled() => {
                stopped?;
                signals.shutdown.cancel();
            }
        }
    }
}

/// What to open, and what to try.
fn guide(village: &Village, config: &Config, address: SocketAddr) -> String {
    let mut guide = String::from("\nThe village is awake:\n\n");
    for site in village.sites() {
        let _ = writeln!(guide, "  {:26}{}", site.name(), site.home());
    }
    let _ = write!(
        guide,
        "\nlistend listens to it:\n\n  {:26}http://{address}/\n  {:26}http://{address}/listen.atom\n  {:26}{}\n\n\
         Ctrl-C ends it and leaves nothing behind.\n",
        "open",
        "subscribe",
        "edit the lists in",
        config.lists.display(),
    );
    guide
}
