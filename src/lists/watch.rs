//! Notices that a list may have been saved, however the editor did it.
//!
//! Watches the directories through which the lists are reached, never the files: a watch on a file dies at the first
//! save by rename. The way to a list may lead through symbolic links, each of which can be swapped, and the lists
//! directory may itself be replaced; so every directory on the way is watched for the one name that matters there.
//! Knows nothing of what the lists say; whether anything really changed is for the caller to find out.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// How long after the last event the lists are read: editors save in several steps.
pub const PAUSE: Duration = Duration::from_millis(100);
/// How long after the first event they are read all the same, where something goes on writing.
pub const MAX_PAUSE: Duration = Duration::from_millis(500);
/// How often the lists are read without any event: events get lost, on network drives most of all.
pub const REREAD: Duration = Duration::from_mins(1);
/// How often the lists are read while the system refuses to watch.
pub const REREAD_UNWATCHED: Duration = Duration::from_secs(1);
/// How often the watches are set anew at once because the way changed meanwhile.
const MAX_ARMINGS: usize = 5;
/// The most symbolic links followed on the way to one file, as Linux has it.
const MAX_LINKS: usize = 40;

/// Says when to read the lists again.
#[derive(Debug)]
pub struct Watcher {
    dir: PathBuf,
    /// Dropping it ends its watches.
    armed: Result<RecommendedWatcher, String>,
    heard: mpsc::Receiver<()>,
    hear: mpsc::Sender<()>,
    /// When the present pause ends, and when it ends at the latest.
    due: Option<(Instant, Instant)>,
    /// When the lists are read without any event.
    reread: Instant,
}

impl Watcher {
    /// Watches a lists directory, whether it exists yet or not. What changes after this returns is noticed, so read the
    /// lists after it. Where the system refuses to watch, [`Watcher::fault`] says so and the lists are read every
    /// [`REREAD_UNWATCHED`] instead. Must be called within a tokio runtime; does a few file system calls.
    pub fn start(dir: &Path) -> Self {
        let (hear, heard) = mpsc::channel(1);
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let armed = arm(&dir, &hear);
        let reread = moment() + interval(&armed);
        Self { dir, armed, heard, hear, due: None, reread }
    }

    /// Why the system refuses to watch, if it does.
    pub fn fault(&self) -> Option<&str> {
        self.armed.as_ref().err().map(String::as_str)
    }

    /// Waits until the lists should be read again: [`PAUSE`] after something last happened to them, or [`MAX_PAUSE`] after
    /// it first did; at the latest [`REREAD`] after the last time. May be dropped while it waits; nothing is lost.
    pub async fn changed(&mut self) {
        if self.due.is_none() && timeout_at(self.reread, self.heard.recv()).await.is_ok() {
            let now = moment();
            self.due = Some((now + PAUSE, now + MAX_PAUSE));
        }
        while let Some((quiet, latest)) = self.due {
            if timeout_at(quiet.min(latest), self.heard.recv()).await.is_err() {
                break;
            }
            self.due = Some((moment() + PAUSE, latest));
        }
        // What is armed anew sees the directories as they are now, and the caller reads after that: a change between
        // the two is at worst noticed twice.
        while self.heard.try_recv().is_ok() {}
        let (dir, hear) = (self.dir.clone(), self.hear.clone());
        match tokio::task::spawn_blocking(move || arm(&dir, &hear)).await {
            Ok(Err(fault)) if self.armed.is_ok() => tracing::debug!(fault, "the old watches on the lists stay"),
            Ok(armed) => self.armed = armed,
            Err(fault) => self.armed = Err(fault.to_string()),
        }
        self.due = None;
        self.reread = moment() + interval(&self.armed);
    }
}

/// The pauses between an editor's steps are measured where they happen; nothing that is kept depends on them.
fn moment() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a pause needs a steady clock, and no instant leaves this file")]
    Instant::now()
}

fn interval(armed: &Result<RecommendedWatcher, String>) -> Duration {
    if armed.is_ok() { REREAD } else { REREAD_UNWATCHED }
}

/// Watches every directory on the way to the lists as it is now. A whole new set of watches each time is cheap, cannot
/// leak, and needs no book of which directory is still the one that it was.
fn arm(dir: &Path, hear: &mpsc::Sender<()>) -> Result<RecommendedWatcher, String> {
    let mut watched = ways(dir);
    for _ in 0..MAX_ARMINGS {
        let armed = arm_once(&watched, hear)?;
        // Nothing tells of a link that was swapped before its directory was watched, so look again.
        let now = ways(dir);
        if now == watched {
            return Ok(armed);
        }
        watched = now;
    }
    arm_once(&watched, hear)
}

fn arm_once(watched: &Watched, hear: &mpsc::Sender<()>) -> Result<RecommendedWatcher, String> {
    let (concern, hear) = (watched.clone(), hear.clone());
    let handler = move |event: notify::Result<Event>| {
        if event.map_or(true, |event| concern.is_about(&event)) {
            let _ = hear.try_send(()); // full: the receiver has yet to hear of an earlier one
        }
    };
    let mut armed = notify::recommended_watcher(handler).map_err(|fault| fault.to_string())?;
    for directory in watched.names.keys() {
        match armed.watch(directory, RecursiveMode::NonRecursive) {
            Ok(()) => {}
            // One that is gone meanwhile shows when the way is walked again. One above that we may not read can be
            // replaced unseen until the next reading; the lists' own and the system's limit are another matter.
            Err(fault)
                if matches!(fault.kind, notify::ErrorKind::MaxFilesWatch)
                    || (watched.lists.as_ref() == Some(directory) && directory.is_dir()) =>
            {
                return Err(fault.to_string());
            }
            Err(fault) => tracing::debug!(directory = %directory.display(), %fault, "not watched"),
        }
    }
    Ok(armed)
}

/// What is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Watched {
    /// The directories, and in each the names that matter.
    names: HashMap<PathBuf, HashSet<OsString>>,
    /// The lists directory itself, with all symbolic links resolved.
    lists: Option<PathBuf>,
}

impl Watched {
    fn is_about(&self, event: &Event) -> bool {
        if matches!(event.kind, EventKind::Access(_)) {
            return false; // our own reading is one of these
        }
        event.need_rescan() || event.paths.iter().any(|path| self.concerns_path(path))
    }

    fn concerns_path(&self, path: &Path) -> bool {
        if self.names.contains_key(path) {
            return true; // moved, removed, or with other rights
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return true };
        let is_list = self.lists.as_deref() == Some(parent) && path.extension() == Some(OsStr::new("opml"));
        is_list || self.names.get(parent).is_some_and(|names| names.contains(name))
    }
}

/// All directories on the way to a lists directory and its lists.
fn ways(dir: &Path) -> Watched {
    let mut watched = Watched::default();
    let Some(lists) = way(dir, &mut watched.names) else { return watched };
    let Ok(entries) = fs::read_dir(&lists) else { return watched };
    watched.names.entry(lists.clone()).or_default();
    for entry in entries.flatten() {
        let path = entry.path();
        let is_link = entry.file_type().is_ok_and(|found| found.is_symlink());
        if is_link && path.extension() == Some(OsStr::new("opml")) {
            way(&path, &mut watched.names);
        }
    }
    watched.lists = Some(lists);
    watched
}

/// Walks an absolute path as the system would, and notes each directory on it with the name looked up there. Gives the
/// path without links; `None` where it leads nowhere, with everything noted up to there.
fn way(path: &Path, names: &mut HashMap<PathBuf, HashSet<OsString>>) -> Option<PathBuf> {
    let mut ahead: Vec<OsString> = Vec::new();
    let push = |ahead: &mut Vec<OsString>, path: &Path| {
        ahead.extend(path.components().rev().map(|component| component.as_os_str().to_owned()));
    };
    push(&mut ahead, path);
    let mut here = PathBuf::new();
    let mut links = 0;
    while let Some(next) = ahead.pop() {
        match Path::new(&next).components().next() {
            Some(Component::Normal(name)) => {
                names.entry(here.clone()).or_default().insert(name.to_owned());
                let found = here.join(name);
                if fs::symlink_metadata(&found).ok()?.is_symlink() {
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    push(&mut ahead, &fs::read_link(&found).ok()?);
                } else {
                    here = found;
                }
            }
            Some(Component::ParentDir) => {
                here.pop();
            }
            Some(root @ (Component::RootDir | Component::Prefix(_))) => {
                here.push(root);
            }
            Some(Component::CurDir) | None => {}
        }
    }
    Some(here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn every_directory_on_the_way_is_known() {
        use std::os::unix::fs::symlink;
        let temporary = tempfile::tempdir().expect("a directory");
        let root = fs::canonicalize(temporary.path()).expect("it exists");
        fs::create_dir_all(root.join("real/..v1")).expect("a directory");
        fs::create_dir_all(root.join("elsewhere")).expect("a directory");
        fs::write(root.join("elsewhere/x.opml"), "").expect("a file");
        symlink("real", root.join("lists")).expect("a link");
        symlink("..v1", root.join("real/..data")).expect("a link");
        symlink("..data/a.opml", root.join("real/a.opml")).expect("a link");
        symlink(root.join("elsewhere/x.opml"), root.join("real/b.opml")).expect("a link");
        symlink("loop.opml", root.join("real/loop.opml")).expect("a link");
        let watched = ways(&root.join("lists"));
        let concerns = |path: &str| watched.concerns_path(&root.join(path));
        for path in
            ["lists", "real", "real/..data", "real/..v1", "real/..v1/a.opml", "real/new.opml", "elsewhere/x.opml"]
        {
            assert!(concerns(path), "{path}");
        }
        for path in ["other", "real/notes.txt", "real/.a.opml.swp", "elsewhere/y.opml", "real/..v1/c.opml"] {
            assert!(!concerns(path), "{path}");
        }
        assert_eq!(watched.lists, Some(root.join("real")));
        assert!(ways(&root.join("none/at/all")).concerns_path(&root.join("none")));
    }

    #[test]
    fn reading_is_no_change() {
        let watched =
            Watched { names: HashMap::from([(PathBuf::from("/l"), HashSet::new())]), lists: Some("/l".into()) };
        let event = |kind| Event::new(kind).add_path(PathBuf::from("/l/a.opml"));
        assert!(!watched.is_about(&event(EventKind::Access(notify::event::AccessKind::Any))));
        assert!(watched.is_about(&event(EventKind::Modify(notify::event::ModifyKind::Any))));
        assert!(watched.is_about(&Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan)));
    }
}
