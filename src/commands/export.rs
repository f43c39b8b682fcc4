//! `listend export`: everything that cannot be fetched again, as lines of JSON.

use std::io::{self, BufWriter};
use std::path::Path;

use listend::config::Config;
use listend::daemon;
use listend::store::{ExportError, OpenError, Store, StoreError};

use super::{damaged, open_fault};
use crate::{Fault, exit};

/// Writes the export to a file, or to standard output.
pub(crate) fn export(config: &Config, output: Option<&Path>) -> Result<(), Fault> {
    let file = Store::file(&config.state);
    if !file.exists() {
        return Err(Fault::new(exit::FAILURE, format!("{}: there is no database to export", file.display())));
    }
    quiet_the_database();
    let store = Store::open(&config.state, config.cache_bytes).map_err(|error| match error {
        OpenError::InUse { file } => Fault::new(
            exit::FAILURE,
            format!(
                "{}: a running listend is using this database: stop it first, or set [backup] directory and it makes \
                 an export there every night",
                file.display()
            ),
        ),
        error => open_fault(config, error),
    })?;
    let exported = match output {
        Some(file) => daemon::export_to(&store, file),
        None => store.export(&mut BufWriter::new(io::stdout().lock())),
    };
    let moved = exported.map_err(|error| match error {
        ExportError::Store(StoreError::Damaged { .. }) => damaged(config, &error),
        error => Fault::new(exit::FAILURE, error),
    })?;
    eprintln!("exported {} feeds and {} entries", moved.feeds, moved.entries);
    if moved.lists_left_out > 0 {
        eprintln!(
            "left out the contents of {} lists, of which credentials cannot be cut out; keep their files",
            moved.lists_left_out
        );
    }
    Ok(())
}

/// A damaged file can make the database panic. The store contains that and returns it as an error, which is said once.
fn quiet_the_database() {
    let otherwise = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|place| place.file().contains("redb")) {
            otherwise(panic);
        }
    }));
}
