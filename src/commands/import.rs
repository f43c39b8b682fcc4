//! `listend import`: an export becomes the database, where there is none or an empty one.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use listend::config::Config;
use listend::store::{ImportError, Store};

use super::open_fault;
use crate::{Fault, exit};

/// What a packed file begins with (RFC 1952, section 2.3.1).
const GZIP: [u8; 2] = [0x1F, 0x8B];

/// Reads an export from a file, or from standard input; packed or not.
pub(crate) fn import(config: &Config, file: Option<&Path>) -> Result<(), Fault> {
    let unreadable = |error: io::Error| {
        let name = file.map_or("standard input".into(), |file| file.display().to_string());
        Fault::new(exit::FAILURE, format!("{name}: {error}"))
    };
    let mut input: Box<dyn BufRead> = match file {
        Some(file) => Box::new(BufReader::new(File::open(file).map_err(unreadable)?)),
        None => Box::new(io::stdin().lock()),
    };
    if input.fill_buf().map_err(unreadable)?.starts_with(&GZIP) {
        input = Box::new(BufReader::new(MultiGzDecoder::new(input)));
    }
    let moved = Store::import(&config.state, config.cache_bytes, input).map_err(|error| match error {
        ImportError::Open(error) => open_fault(config, error),
        error => Fault::new(exit::FAILURE, error),
    })?;
    eprintln!("imported {} feeds and {} entries", moved.feeds, moved.entries);
    Ok(())
}
