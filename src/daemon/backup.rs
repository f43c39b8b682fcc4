//! The nightly export: once a day everything that cannot be fetched again goes into a file of its own.
//!
//! The work is done in one thread with pauses, from a state that stands still while others write on. How the files are
//! named and written is `file`'s business.

mod file;

pub use file::{export_to, newest_backup};

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use chrono::{Local, Timelike};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::file::{backups, day_at, name, tidy, write, written_at};
use super::{blocking, moment, now};
use crate::http::App;
use crate::model::Timestamp;
use crate::store::{ExportError, Moved, Store};

/// Local hours in which a backup is made.
const NIGHT: std::ops::Range<u32> = 2..5;
/// At night, where the last one is older than the night is long: so there is one a night.
const NIGHTLY_AFTER: Duration = Duration::from_hours(3);
/// At any hour, for machines that sleep at night.
const AFTER: Duration = Duration::from_hours(24);
/// How long after the start it is first looked whether one is due, and how long after each look.
const FIRST_LOOK: Duration = Duration::from_secs(5);
const LOOK_INTERVAL: Duration = Duration::from_mins(5);
/// The pause after a failure.
const RETRY_PAUSE: Duration = Duration::from_hours(1);
/// After so many bytes, the thread rests as long as it worked for them.
const STRETCH_BYTES: usize = 1 << 20;

/// Makes a backup whenever one is due and the configuration names a directory for it.
pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut pause = FIRST_LOOK;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = LOOK_INTERVAL;
        let Some(directory) = app.config.load().backup.clone() else {
            app.metrics.backup.set(0);
            continue;
        };
        let (store, stop) = (Arc::clone(&app.store), stop.clone());
        let shown = directory.clone();
        match blocking(move || back_up_if_due(&store, &directory, now(), stop)).await {
            Ok(Looked { newest, made, untidy }) => {
                app.metrics.backup.set(newest.map_or(0, Timestamp::seconds));
                if let Some((file, Moved { feeds, entries, lists_left_out, .. })) = made {
                    info!(file = %file.display(), feeds, entries, lists_left_out, "backed up");
                }
                if let Some(error) = untidy {
                    warn!(directory = %shown.display(), %error, "old backups could not be removed");
                }
            }
            Err(Failure::Stopped) => return,
            Err(Failure::Failed(error)) => {
                warn!(directory = %shown.display(), %error, "the backup failed; next try in an hour");
                pause = RETRY_PAUSE;
            }
        }
    }
}

/// What a look at the directory found and did.
struct Looked {
    /// When the newest backup was written.
    newest: Option<Timestamp>,
    made: Option<(PathBuf, Moved)>,
    /// Why old ones are still there.
    untidy: Option<io::Error>,
}

/// Why there is no backup.
enum Failure {
    Stopped,
    Failed(ExportError),
}

fn back_up_if_due(store: &Store, directory: &Path, now: Timestamp, stop: CancellationToken) -> Result<Looked, Failure> {
    let failed = |error| Failure::Failed(ExportError::Output(error));
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let local = now.utc().with_timezone(&Local);
    let newest = backups(directory, day_at(now))
        .map_err(failed)?
        .iter()
        .filter_map(|file| written_at(file))
        .filter(|at| *at <= now.plus(AFTER))
        .max();
    if !is_due(newest, now, local.hour()) {
        return Ok(Looked { newest, made: None, untidy: None });
    }
    let file = directory.join(name(&local));
    let is_stopped = stop.clone();
    let moved = write(store, &file, |out| Box::new(Gentle { out, stop, bytes: 0, since: moment() }))
        .map_err(|error| if is_stopped.is_cancelled() { Failure::Stopped } else { Failure::Failed(error) })?;
    let untidy = tidy(directory, day_at(now)).err();
    Ok(Looked { newest: written_at(&file), made: Some((file, moved)), untidy })
}

/// Whether the next backup should be made, by when the last one was and which hour it is where we are.
fn is_due(last: Option<Timestamp>, now: Timestamp, hour: u32) -> bool {
    last.is_none_or(|last| now.since(last) >= if NIGHT.contains(&hour) { NIGHTLY_AFTER } else { AFTER })
}

/// Takes bytes to a file at half the speed that there is, and none once it is time to stop.
struct Gentle {
    out: File,
    stop: CancellationToken,
    /// Since the last rest.
    bytes: usize,
    since: Instant,
}

impl Write for Gentle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stop.is_cancelled() {
            return Err(io::Error::other("it is time to stop"));
        }
        let written = self.out.write(bytes)?;
        self.bytes += written;
        if self.bytes >= STRETCH_BYTES {
            thread::sleep(moment().saturating_duration_since(self.since));
            (self.bytes, self.since) = (0, moment());
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn there_is_one_a_night_and_after_a_day_at_the_latest() {
        let now = Timestamp::from_seconds(1_795_379_832);
        let ago = |hours: u64| Some(now.minus(Duration::from_hours(hours)));
        for (last, hour, due) in [
            (None, 14, true),
            (ago(0), 2, false),
            (ago(2), 4, false),
            (ago(3), 2, true),
            (ago(23), 2, true),
            (ago(23), 1, false),
            (ago(23), 5, false),
            (ago(24), 14, true),
            (Some(now.plus(Duration::from_hours(1))), 3, false),
        ] {
            assert_eq!(is_due(last, now, hour), due, "{last:?} at {hour}");
        }
    }

    #[test]
    fn seven_are_kept_and_nothing_else_is_touched() {
        let home = tempfile::tempdir().expect("there is room");
        let store = Store::open(&home.path().join("state"), 1 << 20).expect("it opens");
        let directory = home.path().join("backups");
        fs::create_dir(&directory).expect("there is room");
        let others = ["listend-notes.ndjson.gz", "listend-2026-11-01.ndjson", "a.txt"];
        let days: Vec<String> = (1..=9).map(|day| format!("listend-2026-10-0{day}.ndjson.gz")).collect();
        let gone = ["listend-2999-01-01.ndjson.gz", ".listend-2026-09-30.ndjson.gz.part"];
        for name in others.iter().chain(&gone).copied().chain(days.iter().map(String::as_str)) {
            fs::write(directory.join(name), "x").expect("there is room");
        }
        // All of them were written just now; tomorrow, one is due.
        let tomorrow = now().plus(Duration::from_hours(25));
        let back_up = |at| {
            let looked = back_up_if_due(&store, &directory, at, CancellationToken::new()).ok().expect("it reads");
            assert!(looked.untidy.is_none());
            looked.made
        };
        assert_eq!(back_up(now().minus(Duration::from_hours(1))), None);
        let (made, _) = back_up(tomorrow).expect("it is due");
        assert_eq!(newest_backup(&directory, tomorrow), Some(made.clone()));
        let kept: Vec<PathBuf> = days[3..].iter().map(|name| directory.join(name)).chain([made]).collect();
        assert_eq!(backups(&directory, day_at(tomorrow)).expect("it reads"), kept);
        assert!(others.iter().all(|name| directory.join(name).exists()));
        assert_eq!(fs::read_dir(&directory).expect("it reads").count(), 10, "and nothing half done");
        let stopped = CancellationToken::new();
        stopped.cancel();
        let later = tomorrow.plus(Duration::from_hours(72));
        assert!(matches!(back_up_if_due(&store, &directory, later, stopped), Err(Failure::Stopped)));
        assert_eq!(fs::read_dir(&directory).expect("it reads").count(), 10);
    }
}
