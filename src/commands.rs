//! The commands, one file each. Every one takes the checked configuration and ends in success or one [`Fault`].

pub(crate) mod add;
pub(crate) mod check;
pub(crate) mod preview;
pub(crate) mod run;

use std::path::Path;

use listend::config::Config;

use crate::{Fault, exit};

/// Loads the configuration, named or found.
pub(crate) fn load(file: Option<&Path>) -> Result<Config, Fault> {
    Config::load(file, Path::new(".")).map_err(|error| Fault::new(exit::CONFIGURATION, error))
}

/// A runtime for commands that wait for sockets.
fn runtime() -> Result<tokio::runtime::Runtime, Fault> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| Fault::new(exit::FAILURE, format!("the runtime cannot be started: {error}")))
}
