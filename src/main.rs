//! The command line: raw arguments become a command, a command becomes an exit code.

mod commands;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Listens to the people around you: watches OPML lists, fetches their feeds, republishes them merged.
#[derive(Debug, Parser)]
#[command(name = "listend", version, propagate_version = true)]
struct Arguments {
    /// The configuration; without it config/listend.toml here, then /etc/listend/listend.toml, then defaults
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon (the default)
    Run,
    /// Check configuration and lists: every fault with file and line; exit code 1 if there is any
    Check,
    /// Add a feed to a list: its address, or that of a page that has one
    Add {
        /// The feed, or its home page
        url: String,
        /// The list: a file's name without .opml; it is made if there is none
        #[arg(long, default_value = "desired", value_name = "NAME")]
        list: String,
        /// The folder within the list; it is made if there is none
        #[arg(long, value_name = "NAME")]
        folder: Option<String>,
    },
    /// Show what would be read from feeds: URLs or files, home pages too
    Preview {
        /// What to read
        #[arg(required = true, value_name = "URL|FILE")]
        sources: Vec<String>,
        /// One line of JSON for each
        #[arg(long)]
        json: bool,
    },
}

/// Exit codes (the last two after sysexits.h): failure, usage, damaged data, bad configuration.
mod exit {
    pub(crate) const FAILURE: u8 = 1;
    pub(crate) const USAGE: u8 = 2;
    pub(crate) const DAMAGED: u8 = 65;
    pub(crate) const CONFIGURATION: u8 = 78;
}

/// What ends the program early: one line for the person at the terminal, and an exit code.
#[derive(Debug)]
struct Fault {
    code: u8,
    message: String,
}

impl Fault {
    fn new(code: u8, message: impl std::fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }
}

impl From<anyhow::Error> for Fault {
    fn from(error: anyhow::Error) -> Self {
        Self::new(exit::FAILURE, format!("{error:#}"))
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(help) => {
            // Help and version are errors to clap, and successes to whoever asked for them.
            let _ = help.print();
            return if help.use_stderr() { ExitCode::from(exit::USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let outcome = commands::load(arguments.config.as_deref()).and_then(|config| {
        match arguments.command.unwrap_or(Command::Run) {
            Command::Run => commands::run::run(config),
            Command::Check => commands::check::check(&config),
            Command::Add { url, list, folder } => commands::add::add(&config, &url, &list, folder.as_deref()),
            Command::Preview { sources, json } => commands::preview::preview(&config, &sources, json),
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            if !fault.message.is_empty() {
                eprintln!("listend: {}", fault.message);
            }
            ExitCode::from(fault.code)
        }
    }
}
