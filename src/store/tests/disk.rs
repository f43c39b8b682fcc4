//! A disk in memory that fails, loses and tears what it was told not to keep yet.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

use crate::store::engine::{Engine, open_in};
use crate::store::journal::Journal;
use crate::store::{OpenError, Store};

/// What happens at the call on which a disk goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The call fails and does nothing; the next ones are well again.
    FailsOnce,
    /// The call does half of what it should and fails; the next ones are well again.
    HalfDoneOnce,
    /// The call does everything, and fails nevertheless.
    DoneButFails,
    /// The power goes: this call and all later ones fail, until [`Disk::power_up`].
    PowerCut,
}

#[derive(Debug)]
enum Pending {
    Write(u64, Vec<u8>),
    SetLength(u64),
}

#[derive(Debug, Default)]
struct State {
    /// What a power cut leaves for certain.
    durable: Vec<u8>,
    /// What reads see.
    seen: Vec<u8>,
    /// What was done since the last sync.
    pending: Vec<Pending>,
    calls: u64,
    trouble: Option<(u64, Trouble)>,
    dark: bool,
    /// Whether everything but reading fails.
    full: bool,
}

/// The memory of the stores opened on a disk.
pub(super) const CACHE_BYTES: usize = 1 << 20;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// Storage that outlives the databases opened on it.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

impl Disk {
    /// Opens a store on this disk.
    pub(super) fn store(&self) -> Result<Store, OpenError> {
        self.store_probed(|| Ok(()))
    }

    /// Opens a store on this disk that asks `probe` whether the disk takes writes again.
    pub(super) fn store_probed(
        &self,
        probe: impl Fn() -> io::Result<()> + Send + Sync + 'static,
    ) -> Result<Store, OpenError> {
        let disk = self.clone();
        let file = PathBuf::from("memory");
        let opener = Box::new(move |mode| open_in(mode, &PathBuf::from("memory"), CACHE_BYTES, disk.clone()));
        Ok(Store { engine: Arc::new(Engine::with(file, opener, Box::new(probe))?), journal: Journal::nowhere() })
    }

    /// From now on everything but reading fails, or nothing does.
    pub(super) fn fill_up(&self, full: bool) {
        self.state().full = full;
    }

    /// Whether everything but reading fails.
    pub(super) fn is_full(&self) -> bool {
        self.state().full
    }

    /// How much is on it, in bytes.
    pub(super) fn size(&self) -> usize {
        self.state().seen.len()
    }

    /// The calls made so far.
    pub(super) fn calls(&self) -> u64 {
        self.state().calls
    }

    /// From now on, the `n`-th further call goes wrong.
    pub(super) fn plan(&self, n: u64, trouble: Trouble) {
        let mut state = self.state();
        state.trouble = Some((state.calls + n, trouble));
    }

    /// Forgets a planned trouble.
    pub(super) fn unplan(&self) {
        self.state().trouble = None;
    }

    /// Whether the power is gone.
    pub(super) fn is_dark(&self) -> bool {
        self.state().dark
    }

    /// The power comes back: of what was not synced, some calls are lost, of some only some sectors arrived, as `chance`
    /// has it. As any of them may be missing, they may seem to have arrived in any order; but where two wrote to one place
    /// and both arrived, the later one counts, as it does where a system keeps writes in its memory first.
    pub(super) fn power_up(&self, chance: &mut fastrand::Rng) {
        let mut state = self.state();
        let pending = std::mem::take(&mut state.pending);
        let mut image = std::mem::take(&mut state.durable);
        // Sometimes nearly everything arrives, sometimes nearly nothing.
        let kept = chance.u8(0..=100);
        for call in pending {
            if chance.u8(0..100) >= kept {
                continue;
            }
            match call {
                Pending::SetLength(length) => image.resize(length as usize, 0),
                Pending::Write(offset, bytes) if chance.u8(0..4) == 0 => {
                    // Torn: each sector for itself arrived or did not.
                    for (n, sector) in bytes.chunks(SECTOR).enumerate().filter(|_| chance.bool()) {
                        put(&mut image, offset + (n * SECTOR) as u64, sector);
                    }
                }
                Pending::Write(offset, bytes) => put(&mut image, offset, &bytes),
            }
        }
        state.seen.clone_from(&image);
        state.durable = image;
        state.trouble = None;
        state.dark = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the disk")
    }

    /// Counts a call; the trouble that it meets.
    fn call(&self) -> (MutexGuard<'_, State>, Option<Trouble>) {
        let mut state = self.state();
        state.calls += 1;
        let met = state.trouble.filter(|(call, _)| *call == state.calls).map(|(_, trouble)| trouble);
        state.dark |= met == Some(Trouble::PowerCut);
        let met = if state.dark { Some(Trouble::PowerCut) } else { met };
        (state, met)
    }
}

impl Disk {
    /// Counts a call that a full disk refuses.
    fn change(&self) -> (MutexGuard<'_, State>, Option<Trouble>) {
        let (state, met) = self.call();
        let met = met.or(state.full.then_some(Trouble::FailsOnce));
        (state, met)
    }
}

fn put(image: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let offset = offset as usize;
    if image.len() < offset + bytes.len() {
        image.resize(offset + bytes.len(), 0);
    }
    image[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn failed() -> io::Error {
    io::Error::other("the disk failed as planned")
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        match self.call() {
            (state, None) => Ok(state.seen.len() as u64),
            _ => Err(failed()),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self.call() {
            (state, None) => {
                let offset = offset as usize;
                let bytes = state.seen.get(offset..offset + out.len());
                out.copy_from_slice(bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
                Ok(())
            }
            _ => Err(failed()),
        }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let (mut state, trouble) = self.change();
        if matches!(trouble, None | Some(Trouble::DoneButFails)) {
            state.seen.resize(length as usize, 0);
            state.pending.push(Pending::SetLength(length));
        }
        trouble.map_or(Ok(()), |_| Err(failed()))
    }

    fn sync_data(&self) -> io::Result<()> {
        let (mut state, trouble) = self.change();
        if matches!(trouble, None | Some(Trouble::DoneButFails)) {
            let state = &mut *state;
            for call in state.pending.drain(..) {
                match call {
                    Pending::SetLength(length) => state.durable.resize(length as usize, 0),
                    Pending::Write(offset, bytes) => put(&mut state.durable, offset, &bytes),
                }
            }
        }
        trouble.map_or(Ok(()), |_| Err(failed()))
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (mut state, trouble) = self.change();
        let written = match trouble {
            None | Some(Trouble::DoneButFails) => bytes,
            Some(Trouble::HalfDoneOnce) => &bytes[..bytes.len() / 2],
            // A write under way when the power goes is one that was not synced.
            Some(Trouble::PowerCut) if !state.pending.is_empty() => bytes,
            Some(_) => &[],
        };
        put(&mut state.seen, offset, written);
        state.pending.push(Pending::Write(offset, written.to_vec()));
        trouble.map_or(Ok(()), |_| Err(failed()))
    }
}
