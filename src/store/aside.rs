//! A storage on which nothing is ever written: what is written stays in memory and is forgotten.
//!
//! Opening a database writes its header, and may repair it. On a disk that takes nothing this lets the database be
//! opened all the same, for reading. Knows nothing of databases.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::{BackendError, StorageBackend};

const PAGE: usize = 4096;
/// At most so much is held in memory, in pages: opening and closing take a few.
const MAX_PAGES: usize = (16 << 20) / PAGE;

/// What was written instead of to the storage below.
#[derive(Debug)]
struct Above {
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
    /// How long the whole seems to be.
    length: u64,
    /// How much of the storage below still counts: what was cut off does not come back.
    below: u64,
}

/// Reads a storage, and keeps what is written to it to itself.
#[derive(Debug)]
pub(super) struct Aside<B> {
    below: B,
    above: RwLock<Above>,
}

impl<B: StorageBackend> Aside<B> {
    pub(super) fn over(below: B) -> io::Result<Self> {
        let length = below.len()?;
        Ok(Self { below, above: RwLock::new(Above { pages: BTreeMap::new(), length, below: length }) })
    }

    fn above(&self) -> RwLockReadGuard<'_, Above> {
        self.above.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn above_mut(&self) -> RwLockWriteGuard<'_, Above> {
        self.above.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads as if nothing had been written; zeros behind the end.
    fn read_below(&self, above: &Above, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = above.below.saturating_sub(offset).min(out.len() as u64) as usize;
        let (out, behind) = out.split_at_mut(there);
        behind.fill(0);
        if out.is_empty() { Ok(()) } else { self.below.read(offset, out) }
    }
}

/// A file of which nothing but its bytes is wanted: redb's own storage locks it, which takes the right to write.
#[derive(Debug)]
pub(super) struct ReadOnly(pub(super) File);

impl StorageBackend for ReadOnly {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// The pages that a range touches: each page's number, where in it the part begins, and the part of the range.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset.checked_add(done as u64)?;
        let inside = (at % PAGE as u64) as usize;
        let part = done..length.min(done + PAGE - inside);
        done = part.end;
        (!part.is_empty()).then_some((at / PAGE as u64, inside, part))
    })
}

impl<B: StorageBackend> StorageBackend for Aside<B> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.above().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let above = self.above();
        let end = offset.checked_add(out.len() as u64).filter(|end| *end <= above.length);
        let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        self.read_below(&above, offset, out)?;
        // Most reads meet no page of this map.
        if above.pages.range(offset / PAGE as u64..end.div_ceil(PAGE as u64)).next().is_some() {
            for (page, inside, part) in parts(offset, out.len()) {
                if let Some(bytes) = above.pages.get(&page) {
                    let length = part.len();
                    out[part].copy_from_slice(&bytes[inside..inside + length]);
                }
            }
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut above = self.above_mut();
        let kept = length / PAGE as u64;
        drop(above.pages.split_off(&(kept + 1)));
        if let Some(last) = above.pages.get_mut(&kept) {
            last[(length % PAGE as u64) as usize..].fill(0);
        }
        above.below = above.below.min(length);
        above.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut above = self.above_mut();
        for (page, inside, part) in parts(offset, bytes.len()) {
            if !above.pages.contains_key(&page) {
                if above.pages.len() >= MAX_PAGES {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                let mut whole = Box::new([0; PAGE]);
                self.read_below(&above, page * PAGE as u64, whole.as_mut_slice())?;
                above.pages.insert(page, whole);
            }
            let Some(whole) = above.pages.get_mut(&page) else { continue };
            whole[inside..inside + part.len()].copy_from_slice(&bytes[part]);
        }
        above.length = above.length.max(offset.saturating_add(bytes.len() as u64));
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.below.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.below.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.below.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.below.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.below.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.below.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.below.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    #[test]
    fn it_reads_as_if_it_had_written_and_the_storage_stays_as_it_was() {
        let mut chance = fastrand::Rng::with_seed(7);
        let below = InMemoryBackend::new();
        let mut expected: Vec<u8> = std::iter::repeat_with(|| chance.u8(..)).take(5 * PAGE + 100).collect();
        below.set_len(expected.len() as u64).expect("memory takes it");
        below.write(0, &expected).expect("memory takes it");
        let before = expected.clone();
        let aside = Aside::over(below).expect("memory takes it");
        for round in 0..300 {
            if round % 10 == 9 {
                expected.resize(chance.usize(1..9 * PAGE), 0);
                aside.set_len(expected.len() as u64).expect("memory takes it");
            } else {
                let offset = chance.usize(0..expected.len());
                let bytes: Vec<u8> = vec![chance.u8(..); chance.usize(0..=expected.len() - offset)];
                expected[offset..offset + bytes.len()].copy_from_slice(&bytes);
                aside.write(offset as u64, &bytes).expect("memory takes it");
            }
            let offset = chance.usize(0..expected.len());
            let mut seen = vec![1; expected.len() - offset];
            aside.read(offset as u64, &mut seen).expect("memory takes it");
            assert!(seen == expected[offset..], "round {round}");
        }
        assert!(aside.read(expected.len() as u64, &mut [0]).is_err());
        let mut after = vec![0; before.len()];
        aside.below.read(0, &mut after).expect("memory takes it");
        assert!(after == before);
    }
}
