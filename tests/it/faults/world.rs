//! A system that goes wrong as a test says: a small library, compiled here and preloaded into the daemon alone.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{Daemon, Home};

/// What the library is told, each a number at its place in the file that both read.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// Seconds that the clock is ahead.
    Clock,
    /// Seconds that have passed unseen.
    Steady,
    /// What calls to the disk fail with (errno(3)); 0 for none.
    Error,
    /// Each so many-th of these calls fails.
    Every,
    /// 1: no name can be resolved.
    Names,
    /// 1: watching directories is refused; 2: it is granted, and nothing is told.
    Watches,
    /// Calls to the disk since it began to fail.
    Calls,
    /// Calls that failed.
    Failed,
}

/// ENOSPC, EROFS and EIO, as Linux numbers them everywhere.
pub(super) const DISK_ERRORS: [(&str, i64); 3] = [("full", 28), ("read-only", 30), ("failing", 5)];

/// The world around one daemon.
pub(super) struct World {
    directory: TempDir,
    told: File,
}

impl World {
    /// A world in which all is well; `None`, and a line that says so, where there is no C compiler or no Linux.
    pub(super) fn begin() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faults/world.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(directory.path().join("world.so")).arg(source).arg("-ldl");
        match compiler.output() {
            Ok(made) if made.status.success() => {}
            Ok(made) => {
                eprintln!("SKIPPED: world.c cannot be compiled here: {}", String::from_utf8_lossy(&made.stderr));
                return None;
            }
            Err(error) => {
                eprintln!("SKIPPED: there is no C compiler: {error}");
                return None;
            }
        }
        fs::write(directory.path().join("world"), [0; 64]).unwrap();
        let told = File::options().read(true).write(true).open(directory.path().join("world")).unwrap();
        Some(Self { directory, told })
    }

    /// Lets it be so from now on.
    pub(super) fn set(&self, part: Part, value: i64) {
        self.told.write_all_at(&value.to_ne_bytes(), part as u64 * 8).unwrap();
    }

    /// What stands there now.
    pub(super) fn read(&self, part: Part) -> i64 {
        let mut bytes = [0; 8];
        self.told.read_exact_at(&mut bytes, part as u64 * 8).unwrap();
        i64::from_ne_bytes(bytes)
    }

    /// From now on, each so many-th call to the disk fails with this error.
    pub(super) fn break_disk(&self, error: i64, every: i64) {
        self.set(Part::Calls, 0);
        self.set(Part::Failed, 0);
        self.set(Part::Every, every);
        self.set(Part::Error, error);
    }

    /// The disk is well again; how many calls have failed.
    pub(super) fn mend_disk(&self) -> i64 {
        self.set(Part::Error, 0);
        self.read(Part::Failed)
    }

    /// Starts a daemon in it, and waits until that is ready.
    pub(super) fn start(&self, home: &Home) -> Daemon {
        let (library, told) = (self.directory.path().join("world.so"), self.directory.path().join("world"));
        home.start_with(&[("LD_PRELOAD", library.as_os_str()), ("LISTEND_TEST_WORLD", told.as_os_str())])
    }

    /// Runs the program in it with these arguments, until it ends.
    pub(super) fn run(&self, home: &Home, arguments: &[&str]) -> std::process::Output {
        let variables: [(&str, &OsStr); 2] = [
            ("LD_PRELOAD", &self.directory.path().join("world.so").into_os_string()),
            ("LISTEND_TEST_WORLD", &self.directory.path().join("world").into_os_string()),
        ];
        home.command().args(arguments).envs(variables).output().unwrap()
    }
}
