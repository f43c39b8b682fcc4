//! The command line: raw arguments become a command, a command becomes an exit code.

mod commands;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use commands::terminal::Shown;

/// glibc's own grew for as long as feeds were polled: 5,000 as fast as they go took it from 83 to 139 MiB in six minutes and
/// to 200 in seventeen (`tests/soak`). With this one there were 105 to 155 after ten minutes and after thirty.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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
    /// Check configuration and lists: every fault with file and line; exit code 1 for one in a list, 78 for one in the configuration
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
    /// Write everything that cannot be fetched again, a line of JSON for each thing; the daemon must not be running
    Export {
        /// The file to write, packed where it ends in .gz; without it, standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Make the database from an export; there must be none, or an empty one
    Import {
        /// The export, packed or not; without it, standard input
        file: Option<PathBuf>,
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
    /// Ask the running daemon how it is: lists, feeds, what is in trouble
    Status {
        /// What `/status.json` says, as it says it
        #[arg(long)]
        json: bool,
    },
    /// Write the man page and the completions of shells into a directory, for packages
    #[command(hide = true)]
    Manual {
        /// The directory; it is made if there is none
        #[arg(value_name = "DIRECTORY")]
        directory: PathBuf,
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
    if let Some(Command::Manual { directory }) = &arguments.command {
        // Needs no configuration: whoever builds a package has none.
        return ended(commands::manual::write(&Arguments::command(), directory));
    }
    let outcome = commands::load(arguments.config.as_deref()).and_then(|config| {
        match arguments.command.unwrap_or(Command::Run) {
            Command::Run => commands::run::run(config),
            Command::Check => commands::check::check(&config),
            Command::Add { url, list, folder } => commands::add::add(&config, &url, &list, folder.as_deref()),
            Command::Export { output } => commands::export::export(&config, output.as_deref()),
            Command::Import { file } => commands::import::import(&config, file.as_deref()),
            Command::Preview { sources, json } => commands::preview::preview(&config, &sources, json),
            Command::Status { json } => commands::status::status(&config, json),
            Command::Manual { .. } => Ok(()), // answered above
        }
    });
    ended(outcome)
}

fn ended(outcome: Result<(), Fault>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            if !fault.message.is_empty() {
                eprintln!("listend: {}", Shown(&fault.message));
            }
            ExitCode::from(fault.code)
        }
    }
}
