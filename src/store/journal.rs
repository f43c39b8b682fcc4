//! States of feeds that wait to be stored, in two small files beside the database.
//!
//! Most answers bring nothing but the time at which a feed is asked next. A commit for one of them writes a dozen pages and
//! waits for the disk; a line at the end of a file costs a hundredth of that, and outlives a kill of the process as well.
//! So states gather here, and the next commit takes them along, whatever it is for. Nothing waits for the disk: a power
//! cut may take the last lines with it, and then those feeds are asked a little sooner, on the condition that there is
//! something new.
//!
//! Two files, so that one can be emptied while the other takes new lines. A line: the length of what follows the checksum,
//! u32 little-endian; CRC-32 of that; the feed's number, u32 little-endian; a value of `states`. The first line that is
//! torn or broken ends its file. Which lines are older than what the database holds is for their readers to see.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use flate2::Crc;

use crate::model::{Feed, FeedId};
use crate::store::records::{asked_at, encode_state};

/// The names of the two files in the state directory.
pub(super) const FILE_NAMES: [&str; 2] = ["listend.states.0", "listend.states.1"];
/// Beyond so many, states have to wait for a commit.
const MAX_WAITING: usize = 4096;
/// Bytes before a line's feed: length and checksum.
const HEAD_BYTES: usize = 8;

/// The state of a feed, ready to be stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FeedState {
    pub(super) feed: FeedId,
    /// A value of `states`.
    pub(super) bytes: Vec<u8>,
}

/// What became of a state that was to be noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It is noted, and nothing else waited.
    First,
    /// It is noted beside others.
    Also,
    /// Too many wait for a commit. It is not noted.
    NoRoom,
}

/// The two files, and what they hold that is not stored yet.
#[derive(Debug)]
pub(super) struct Journal {
    paths: [PathBuf; 2],
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    waiting: Vec<FeedState>,
    files: [Option<File>; 2],
    /// Bytes of each file that hold lines.
    ends: [u64; 2],
    /// Which file takes new lines.
    current: usize,
}

/// States that a commit takes along.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) states: Vec<FeedState>,
    /// The file that holds nothing else.
    file: Option<usize>,
}

impl Journal {
    /// Opens both files, which need not exist; everything in them waits.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let paths = FILE_NAMES.map(|name| directory.join(name));
        let mut lines = Lines::default();
        for (n, path) in paths.iter().enumerate() {
            match std::fs::read(path) {
                Ok(bytes) => {
                    let (states, end) = read(&bytes);
                    lines.waiting.extend(states);
                    // New lines go where the first unreadable one begins.
                    lines.ends[n] = end as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        // Of two states of one feed, which may lie in different files, the later one has the last word.
        lines.waiting.sort_by_key(|state| asked_at(&state.bytes).ok().flatten());
        Ok(Self { paths, lines: Mutex::new(lines) })
    }

    /// A journal without files, for stores that have no directory.
    #[cfg(test)]
    pub(super) fn nowhere() -> Self {
        Self { paths: [PathBuf::new(), PathBuf::new()], lines: Mutex::default() }
    }

    /// Keeps of what waits only what `is_news` says; everything where it fails.
    pub(super) fn retain<E>(&self, is_news: impl Fn(&FeedState) -> Result<bool, E>) -> Result<(), E> {
        let mut lines = self.lock();
        let news: Vec<bool> = lines.waiting.iter().map(is_news).collect::<Result<_, E>>()?;
        let mut news = news.into_iter();
        lines.waiting.retain(|_| news.next().unwrap_or(true));
        Ok(())
    }

    /// Notes the state of a feed. After an error it is not noted.
    pub(super) fn note(&self, feed: &Feed) -> io::Result<Noted> {
        let state = FeedState { feed: feed.id, bytes: encode_state(feed) };
        let line = line(&state);
        let mut lines = self.lock();
        if lines.waiting.len() >= MAX_WAITING {
            return Ok(Noted::NoRoom);
        }
        let Lines { waiting, files, ends, current } = &mut *lines;
        let (file, end) = (&mut files[*current], &mut ends[*current]);
        let file = match file {
            Some(file) => file,
            None => file.insert(
                OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.paths[*current])?,
            ),
        };
        // What a failure leaves half written is written over by the next line.
        file.write_all_at(&line, *end)?;
        *end += line.len() as u64;
        waiting.push(state);
        Ok(if waiting.len() == 1 { Noted::First } else { Noted::Also })
    }

    /// Whether anything waits.
    pub(super) fn is_waiting(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// Everything that waits, for a commit; [`Journal::stored`] or [`Journal::put_back`] says what became of it.
    pub(super) fn take(&self) -> Taken {
        let mut lines = self.lock();
        let states = std::mem::take(&mut lines.waiting);
        let (full, other) = (lines.current, 1 - lines.current);
        if lines.ends[other] > 0 {
            // From a commit that failed, or from before the start; that file is stored as a whole now.
            return Taken { states, file: Some(other) };
        }
        lines.current = other;
        Taken { states, file: (lines.ends[full] > 0).then_some(full) }
    }

    /// What was taken is stored.
    pub(super) fn stored(&self, taken: &Taken) {
        let Some(n) = taken.file else { return };
        let mut lines = self.lock();
        // Where it cannot be emptied, its lines stay: they are old, and every reader sees that.
        let emptied = match &lines.files[n] {
            Some(file) => file.set_len(0),
            None => std::fs::remove_file(&self.paths[n]),
        };
        if emptied.is_ok() {
            lines.ends[n] = 0;
        }
    }

    /// What was taken could not be stored, and waits on.
    pub(super) fn put_back(&self, taken: Taken) {
        self.lock().waiting.splice(0..0, taken.states);
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn line(state: &FeedState) -> Vec<u8> {
    let mut line = Vec::with_capacity(HEAD_BYTES + 4 + state.bytes.len());
    line.extend_from_slice(&[0; HEAD_BYTES]);
    line.extend_from_slice(&state.feed.0.to_le_bytes());
    line.extend_from_slice(&state.bytes);
    let (length, sum) = ((line.len() - HEAD_BYTES) as u32, checksum(&line[HEAD_BYTES..]));
    line[..4].copy_from_slice(&length.to_le_bytes());
    line[4..HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
    line
}

/// The lines of a file up to the first that is torn or broken, and where that begins.
fn read(file: &[u8]) -> (Vec<FeedState>, usize) {
    let (mut states, mut bytes) = (Vec::new(), file);
    while let Some((length, rest)) = bytes.split_first_chunk()
        && let Some((sum, rest)) = rest.split_first_chunk()
        && let Some((said, rest)) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)
        && checksum(said) == u32::from_le_bytes(*sum)
        && let Some((feed, state)) = said.split_first_chunk()
    {
        states.push(FeedState { feed: FeedId(u32::from_le_bytes(*feed)), bytes: state.to_vec() });
        bytes = rest;
    }
    (states, file.len() - bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FeedUrl, Timestamp};

    fn feed(number: u32) -> Feed {
        let url = FeedUrl::parse("https://ann.example/feed").expect("it is an address");
        Feed::new(FeedId(number), url, Timestamp::from_seconds(i64::from(number)))
    }

    fn journal(directory: &Path) -> Journal {
        Journal::open(directory).expect("it opens")
    }

    fn feeds(states: &[FeedState]) -> Vec<u32> {
        states.iter().map(|state| state.feed.0).collect()
    }

    #[test]
    fn what_is_not_stored_is_there_after_a_kill() {
        let directory = tempfile::tempdir().expect("there is room");
        let first = journal(directory.path());
        assert_eq!(first.note(&feed(1)).expect("there is room"), Noted::First);
        assert_eq!(first.note(&feed(2)).expect("there is room"), Noted::Also);
        let taken = first.take();
        assert_eq!(feeds(&taken.states), [1, 2]);
        assert_eq!(first.note(&feed(3)).expect("there is room"), Noted::First);
        assert_eq!(feeds(&journal(directory.path()).take().states), [1, 2, 3], "killed in the commit");
        first.stored(&taken);
        assert_eq!(feeds(&journal(directory.path()).take().states), [3], "killed after it");

        let failed = first.take();
        first.note(&feed(4)).expect("there is room");
        first.put_back(failed);
        let mut after = feeds(&journal(directory.path()).take().states);
        after.sort_unstable();
        assert_eq!(after, [3, 4], "no file is lost by a failed commit");
        let taken = first.take();
        assert_eq!(feeds(&taken.states), [3, 4]);
        first.note(&feed(5)).expect("there is room");
        first.stored(&taken);
        let after = journal(directory.path());
        assert!(feeds(&after.take().states).contains(&5), "lines behind the commit stay");

        // Until everything is stored that any of the files holds.
        for _ in 0..2 {
            let taken = first.take();
            first.stored(&taken);
        }
        assert!(!first.is_waiting() && !journal(directory.path()).is_waiting());
    }

    #[test]
    fn a_torn_or_broken_line_ends_its_file_and_nothing_else() {
        let states = [7, 8].map(|number| FeedState { feed: FeedId(number), bytes: encode_state(&feed(number)) });
        let whole: Vec<u8> = states.iter().flat_map(line).collect();
        assert_eq!(read(&whole), (states.to_vec(), whole.len()));
        let first = line(&states[0]).len();
        for cut in 0..whole.len() {
            let kept = usize::from(cut >= first);
            assert_eq!(read(&whole[..cut]), (states[..kept].to_vec(), kept * first), "cut at {cut}");
        }
        for at in first..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 0x55;
            assert_eq!(read(&broken), (states[..1].to_vec(), first), "broken at {at}");
        }
        assert_eq!(read(&[0; 4096]), (Vec::new(), 0), "as a power cut may leave it");
    }

    #[test]
    fn there_is_room_for_so_many() {
        let directory = tempfile::tempdir().expect("there is room");
        let journal = journal(directory.path());
        for n in 0..MAX_WAITING as u32 {
            assert_ne!(journal.note(&feed(n)).expect("there is room"), Noted::NoRoom);
        }
        assert_eq!(journal.note(&feed(0)).expect("there is room"), Noted::NoRoom);
        let taken = journal.take();
        journal.stored(&taken);
        assert_eq!(journal.note(&feed(0)).expect("there is room"), Noted::First);
    }
}
