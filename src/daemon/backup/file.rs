//! Backups as files: how they are named, written so that what bears the name is whole, and which of them are kept.
//!
//! Knows nothing of when.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use chrono::{DateTime, Days, Local, NaiveDate};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::model::Timestamp;
use crate::store::{ExportError, Moved, Store};

/// So many backups are kept, the newest.
const KEPT: usize = 7;
/// What a file bears that is being written.
const PART: &str = ".part";

/// The name of a day's backup: names sort as days do.
pub(super) fn name(day: &DateTime<Local>) -> String {
    day.format("listend-%Y-%m-%d.ndjson.gz").to_string()
}

/// The day whose backup bears this name.
fn day_of(file: &Path) -> Option<NaiveDate> {
    let day = file.file_name()?.to_str()?.strip_prefix("listend-")?.strip_suffix(".ndjson.gz")?;
    NaiveDate::parse_from_str(day, "%Y-%m-%d").ok()
}

/// What bears the name of a backup, oldest first. One of a day that has not come yet, made when the clock was wrong, counts
/// as older than all others.
pub(super) fn backups(directory: &Path, today: NaiveDate) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if let Some(day) = day_of(&path) {
            // Time zones apart, today may be tomorrow.
            let has_come = today.checked_add_days(Days::new(1)).is_none_or(|tomorrow| day <= tomorrow);
            found.push((has_come, day, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, _, path)| path).collect())
}

/// The newest backup in a directory; `now` says which day it is.
pub fn newest_backup(directory: &Path, now: Timestamp) -> Option<PathBuf> {
    backups(directory, day_at(now)).ok()?.pop()
}

/// The day that it is here.
pub(super) fn day_at(now: Timestamp) -> NaiveDate {
    now.utc().with_timezone(&Local).date_naive()
}

/// When a file was last written.
pub(super) fn written_at(file: &Path) -> Option<Timestamp> {
    let since_epoch = fs::metadata(file).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).ok()?))
}

/// Removes all but the newest few, and what was left half done by whoever was killed at it.
pub(super) fn tidy(directory: &Path, today: NaiveDate) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let whole = path.file_name().and_then(|name| name.to_str()?.strip_prefix('.')?.strip_suffix(PART));
        if whole.is_some_and(|whole| day_of(Path::new(whole)).is_some()) {
            fs::remove_file(&path)?;
        }
    }
    let found = backups(directory, today)?;
    found[..found.len().saturating_sub(KEPT)].iter().try_for_each(fs::remove_file)
}

/// Writes everything of a store that cannot be fetched again to a file, which takes the place of what bears its name
/// when it is whole; packed where the name ends in `.gz`. What is no file (a device, a pipe) is written to as it is.
pub fn export_to(store: &Store, file: &Path) -> Result<Moved, ExportError> {
    write(store, file, |out| Box::new(out))
}

/// The same, by way of what `through` makes of the file.
pub(super) fn write(
    store: &Store,
    file: &Path,
    through: impl FnOnce(File) -> Box<dyn Write>,
) -> Result<Moved, ExportError> {
    let failed = ExportError::Output;
    // Where a link leads, not the link, is replaced.
    let file = &fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    if fs::metadata(file).is_ok_and(|there| !there.is_file()) {
        let open = OpenOptions::new().write(true).open(file).map_err(failed)?;
        return pour(store, file, through(open));
    }
    let name = file.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let part = file.with_file_name(format!(".{}{PART}", name.to_string_lossy()));
    let written = (|| {
        let open =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part).map_err(failed)?;
        let synced = open.try_clone().map_err(failed)?;
        let moved = pour(store, file, through(open))?;
        synced.sync_all().map_err(failed)?;
        fs::rename(&part, file).map_err(failed)?;
        let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
        Ok(moved)
    })();
    if written.is_err() {
        // Half a backup is none.
        let _ = fs::remove_file(&part);
    }
    written
}

/// Writes an export into what was opened for the file of this name.
fn pour(store: &Store, file: &Path, out: Box<dyn Write>) -> Result<Moved, ExportError> {
    let failed = ExportError::Output;
    let mut out = BufWriter::new(out);
    let moved = if file.extension().is_some_and(|extension| extension == "gz") {
        let mut packed = GzEncoder::new(&mut out, Compression::default());
        let moved = store.export(&mut packed)?;
        packed.finish().map_err(failed)?;
        moved
    } else {
        store.export(&mut out)?
    };
    out.flush().map_err(failed)?;
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_stays_a_link_and_a_device_a_device() {
        let home = tempfile::tempdir().expect("there is room");
        let store = Store::open(&home.path().join("state"), 1 << 20).expect("it opens");
        let (real, link) = (home.path().join("real"), home.path().join("link"));
        fs::write(&real, "before").expect("there is room");
        std::os::unix::fs::symlink(&real, &link).expect("there is room");
        export_to(&store, &link).expect("it exports");
        assert!(link.is_symlink() && fs::read_to_string(&real).expect("it reads").starts_with("{\"kind\":\"head\""));
        let device = Path::new("/dev/null");
        export_to(&store, device).expect("it exports");
        assert!(!device.is_file() && !Path::new("/dev/.null.part").exists());
    }
}
