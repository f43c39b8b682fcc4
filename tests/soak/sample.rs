//! What a process takes, seen from outside.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::process::memory_mib;

/// What was seen at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Since the start.
    pub(crate) seconds: f64,
    /// Requests that the origin has answered.
    pub(crate) polls: u64,
    /// Entries stored for the first time.
    pub(crate) stored: u64,
    /// Memory, `VmRSS`.
    pub(crate) resident_mib: f64,
    /// Memory that is no file's, `RssAnon`.
    pub(crate) anonymous_mib: f64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
    /// Bytes on the disk in the state directory.
    pub(crate) database_bytes: u64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, polls, stored, resident_mib, anonymous_mib, descriptors, threads, database_bytes } = self;
        write!(
            f,
            "{seconds:>6.0} s: {polls} polls, {stored} entries, {resident_mib:.1} MiB resident, {anonymous_mib:.1} MiB of \
             nobody's file, {descriptors} descriptors, {threads} threads, {:.1} MiB of database",
            *database_bytes as f64 / f64::from(1 << 20)
        )
    }
}

/// Looks at a process and its state directory. Reads `/proc`, so Linux only.
pub(crate) fn look(process: &str, state: &Path) -> anyhow::Result<Sample> {
    let mut database_bytes = 0;
    for file in std::fs::read_dir(state)? {
        // One that was there for a moment may be gone. `st_blocks` counts 512 bytes each (stat(3type)).
        database_bytes += file?.metadata().map_or(0, |found| found.blocks() * 512);
    }
    Ok(Sample {
        resident_mib: memory_mib(process, "VmRSS")?,
        anonymous_mib: memory_mib(process, "RssAnon")?,
        descriptors: std::fs::read_dir(format!("/proc/{process}/fd"))?.count() as u64,
        threads: std::fs::read_dir(format!("/proc/{process}/task"))?.count() as u64,
        database_bytes,
        ..Sample::default()
    })
}
