//! The commands, one file each. Every one takes the checked configuration and ends in success or one [`Fault`].

pub(crate) mod add;
pub(crate) mod check;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod manual;
pub(crate) mod preview;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod terminal;

use std::path::Path;

use listend::config::Config;
use listend::daemon;
use listend::store::OpenError;

use crate::{Fault, exit};

/// Loads the configuration, named or found.
pub(crate) fn load(file: Option<&Path>) -> Result<Config, Fault> {
    Config::load(file, Path::new(".")).map_err(|error| Fault::new(exit::CONFIGURATION, error))
}

/// A runtime for commands that wait for sockets.
///
/// What takes long runs on threads of its own; the workers only wait and pass on. One for two processors is enough for
/// that, and saves the tenth of a poll that workers spend on waking each other. `TOKIO_WORKER_THREADS` sets another number.
fn runtime() -> Result<tokio::runtime::Runtime, Fault> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        builder.worker_threads(processors.div_ceil(2));
    }
    let built = builder.enable_all().build();
    built.map_err(|error| Fault::new(exit::FAILURE, format!("the runtime cannot be started: {error}")))
}

/// What ends a command whose database cannot be opened.
fn open_fault(config: &Config, error: OpenError) -> Fault {
    if matches!(error, OpenError::Damaged { .. }) { damaged(config, &error) } else { Fault::new(exit::FAILURE, error) }
}

/// What ends a command whose database is damaged: what there is to restore is named with it.
fn damaged(config: &Config, error: &dyn std::fmt::Display) -> Fault {
    let newest = config.backup.as_deref().and_then(|directory| daemon::newest_backup(directory, daemon::now()));
    let newest = newest.map_or(String::new(), |file| format!("; the newest backup is {}", file.display()));
    Fault::new(exit::DAMAGED, format!("{error}{newest}"))
}
