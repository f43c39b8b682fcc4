//! The database as a thing that can break: opening it, containing what goes wrong inside redb, opening it anew.
//!
//! redb stops writing and reading for good after the first I/O error, also when the disk is well again. So the engine
//! notes the failure and opens the database anew: before the next read, aside (`aside.rs`: nothing is written to the
//! disk, so this works on a full one too), and before the next write, once the disk takes a probe. A damaged file can
//! make redb panic; every call into it is contained here, and comes out as an error that names the file.
//!
//! Knows nothing of what the tables hold.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase, StorageBackend, WriteTransaction};

use super::aside::{Aside, ReadOnly};
use super::error::{Fault, OpenError, StoreError, one_line};
use super::tables::{FORMAT, META, META_FORMAT, OLDEST_FORMAT, create_all};

/// The database's name in the state directory.
pub(super) const FILE_NAME: &str = "listend.redb";

/// Free space asked for before a database that failed is opened anew.
const PROBE_BYTES: usize = 1 << 20;

/// Time between two attempts to open a database that failed for reading: each forgets what was read into memory.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How a database is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// To be read and written.
    Whole,
    /// To be read, with nothing written to its storage.
    Aside,
}

/// Opens the database where it lies; called again after each failure.
type Opener = Box<dyn Fn(Mode) -> Result<Database, OpenError> + Send + Sync>;

/// An open database.
struct Opened {
    database: Database,
    mode: Mode,
}

/// A database that is opened anew when it fails.
pub(super) struct Engine {
    file: PathBuf,
    opener: Opener,
    /// Whether the disk takes writes; asked before an open database is given up for a new one.
    probe: Box<dyn Fn() -> io::Result<()> + Send + Sync>,
    /// `None` only while, and after, opening it anew has failed.
    database: RwLock<Option<Opened>>,
    /// Whether it failed since it was opened.
    broken: AtomicBool,
    /// When it was last opened for reading because it had failed.
    read_anew: Mutex<Option<Instant>>,
}

impl Engine {
    /// Opens the database of a state directory, making both where they are missing.
    pub(super) fn open(directory: &Path, cache_bytes: usize) -> Result<Self, OpenError> {
        let file = directory.join(FILE_NAME);
        let io_at = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { file: path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io_at(directory))?;
        create_if_missing(directory, &file, cache_bytes)?;

        let probe_file = directory.join(format!("{FILE_NAME}.probe"));
        let path = file.clone();
        Self::with(
            file,
            Box::new(move |mode| {
                let open = |writes| OpenOptions::new().read(true).write(writes).open(&path);
                match open(true) {
                    Ok(open) => open_in(mode, &path, cache_bytes, backend(open, &path)?),
                    // A disk that has become read-only opens nothing for writing.
                    Err(error) if mode == Mode::Aside && error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                        open_in(mode, &path, cache_bytes, ReadOnly(open(false).map_err(io_at(&path))?))
                    }
                    Err(error) => Err(io_at(&path)(error)),
                }
            }),
            Box::new(move || probe(&probe_file)),
        )
    }

    /// Opens a database through `opener`, which brings its own storage.
    pub(super) fn with(
        file: PathBuf,
        opener: Opener,
        probe: Box<dyn Fn() -> io::Result<()> + Send + Sync>,
    ) -> Result<Self, OpenError> {
        let opened = Opened { database: opener(Mode::Whole)?, mode: Mode::Whole };
        Ok(Self {
            file,
            opener,
            probe,
            database: RwLock::new(Some(opened)),
            broken: AtomicBool::new(false),
            read_anew: Mutex::new(None),
        })
    }

    /// Runs `work` in one durable transaction: all of it or nothing is stored.
    pub(super) fn write<T>(&self, work: impl FnOnce(&WriteTransaction) -> Result<T, Fault>) -> Result<T, StoreError> {
        self.renew()?;
        self.inside(|database| {
            let mut transaction = database.begin_write()?;
            // Opening after a kill takes milliseconds then, whatever the size of the file.
            transaction.set_quick_repair(true);
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        })
    }

    /// Runs `work` on the state after the last commit; once more, from its beginning, where the database had to be
    /// opened anew because of a failed write.
    pub(super) fn read<T>(&self, work: impl Fn(ReadTransaction) -> Result<T, Fault>) -> Result<T, StoreError> {
        self.make_readable()?;
        let read = || self.inside(|database| work(database.begin_read()?));
        match read() {
            Err(StoreError::Io { .. }) if self.make_readable()? => read(),
            result => result,
        }
    }

    /// Runs `work`, which reads from a transaction begun earlier.
    pub(super) fn contained<T>(&self, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, StoreError> {
        contained(work).map_err(|fault| self.noted(fault))
    }

    /// Gives free pages back to the file system; whether any were found.
    pub(super) fn compact(&self) -> Result<bool, StoreError> {
        self.renew()?;
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let Some(opened) = slot.as_mut() else { return Ok(false) };
        contained(|| Ok(opened.database.compact()?)).map_err(|fault| self.noted(fault))
    }

    fn inside<T>(&self, work: impl FnOnce(&Database) -> Result<T, Fault>) -> Result<T, StoreError> {
        let slot = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(opened) = slot.as_ref() else {
            let source = io::Error::other("it could not be opened again after a failure");
            return Err(StoreError::Io { file: self.file.clone(), source });
        };
        contained(|| work(&opened.database)).map_err(|fault| self.noted(fault))
    }

    /// What the system said of a file that belongs to the database.
    pub(super) fn io_error(&self, source: io::Error) -> StoreError {
        StoreError::Io { file: self.file.clone(), source }
    }

    fn noted(&self, fault: Fault) -> StoreError {
        if fault.breaks() {
            self.broken.store(true, Ordering::Release);
        }
        fault.at(&self.file)
    }

    /// Whether the database that is open, if any, is good for `mode`.
    fn serves(&self, slot: Option<&Opened>, mode: Mode) -> bool {
        !self.broken.load(Ordering::Acquire)
            && slot.is_some_and(|opened| opened.mode == Mode::Whole || mode == Mode::Aside)
    }

    fn is_good_for(&self, mode: Mode) -> bool {
        self.serves(self.database.read().unwrap_or_else(PoisonError::into_inner).as_ref(), mode)
    }

    /// Opens the database anew, for writing, if it has failed since it was opened so.
    fn renew(&self) -> Result<(), StoreError> {
        if self.is_good_for(Mode::Whole) {
            return Ok(());
        }
        // As long as the disk takes nothing, what is open for reading stays.
        (self.probe)().map_err(|source| StoreError::Io { file: self.file.clone(), source })?;
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if self.serves(slot.as_ref(), Mode::Whole) {
            return Ok(()); // Another thread was faster.
        }
        self.reopen(&mut slot, Mode::Whole).inspect_err(|_| {
            // Readers should not wait for the disk's recovery; that they may have to is said already.
            let _ = self.reopen(&mut slot, Mode::Aside);
        })
    }

    /// Opens the database anew, for reading, if it has failed since it was opened; not too often. Whether it did.
    fn make_readable(&self) -> Result<bool, StoreError> {
        if self.is_good_for(Mode::Aside) {
            return Ok(false);
        }
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if self.serves(slot.as_ref(), Mode::Aside) {
            return Ok(true); // Another thread was faster.
        }
        #[expect(clippy::disallowed_methods, reason = "a pause between attempts; nothing stored depends on it")]
        let now = Instant::now();
        let mut read_anew = self.read_anew.lock().unwrap_or_else(PoisonError::into_inner);
        if read_anew.is_some_and(|last| now.duration_since(last) < READ_AGAIN_AFTER) {
            return Ok(false); // What is in memory can be read still.
        }
        *read_anew = Some(now);
        self.reopen(&mut slot, Mode::Aside)?;
        Ok(true)
    }

    fn reopen(&self, slot: &mut Option<Opened>, mode: Mode) -> Result<(), StoreError> {
        if let Some(old) = slot.take() {
            // It holds the lock of the file. That closing it fails too says nothing new.
            let _ = contained(|| Ok(old.database.close()?));
        }
        *slot = Some(Opened { database: (self.opener)(mode)?, mode });
        self.broken.store(false, Ordering::Release);
        Ok(())
    }
}

impl Drop for Engine {
    /// What a contained panic left behind can make redb panic once more when it closes the file: contained like the rest.
    fn drop(&mut self) {
        let opened = self.database.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let _ = contained(|| {
            drop(opened);
            Ok(())
        });
    }
}

/// Opens the database of a storage in one of the two ways.
pub(super) fn open_in(
    mode: Mode,
    file: &Path,
    cache_bytes: usize,
    backend: impl StorageBackend,
) -> Result<Database, OpenError> {
    match mode {
        Mode::Whole => open_database(file, cache_bytes, backend),
        Mode::Aside => {
            let aside = Aside::over(backend).map_err(|source| OpenError::Io { file: file.to_owned(), source })?;
            open_database(file, cache_bytes, aside)
        }
    }
}

/// Opens the database of a storage and checks its format; an empty storage becomes an empty database.
fn open_database(file: &Path, cache_bytes: usize, backend: impl StorageBackend) -> Result<Database, OpenError> {
    let opened =
        catch_unwind(AssertUnwindSafe(|| Builder::new().set_cache_size(cache_bytes).create_with_backend(backend)));
    let damaged = |reason: &str| OpenError::Damaged { file: file.to_owned(), reason: one_line(reason) };
    let database = match opened {
        Ok(Ok(database)) => database,
        Ok(Err(DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch)) => {
            return Err(OpenError::InUse { file: file.to_owned() });
        }
        Ok(Err(error)) => return Err(open_error(file, Fault::from(error))),
        Err(panic) => return Err(damaged(&panic_text(panic.as_ref()))),
    };
    let format = contained(|| format_of(&database)).map_err(|fault| open_error(file, fault))?;
    match format {
        FORMAT => Ok(database),
        newer if newer > FORMAT => Err(OpenError::NewerFormat { file: file.to_owned(), found: newer, known: FORMAT }),
        other => Err(damaged(&format!("it has the impossible format {other}"))),
    }
}

/// The format of a database; an empty one, or one of an older format, is given the newest.
fn format_of(database: &Database) -> Result<u64, Fault> {
    let transaction = database.begin_read()?;
    if transaction.list_tables()?.next().is_some() {
        let meta = transaction.open_table(META)?;
        let format = meta.get(META_FORMAT)?.map(|format| format.value());
        match format.ok_or_else(|| Fault::Unreadable("it does not say its format".to_owned()))? {
            OLDEST_FORMAT..FORMAT => {}
            format => return Ok(format),
        }
    }
    drop(transaction);
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    create_all(&transaction)?;
    transaction.open_table(META)?.insert(META_FORMAT, FORMAT)?;
    transaction.commit()?;
    Ok(FORMAT)
}

/// Makes an empty database under another name and moves it into place when it is whole: a kill during the first start
/// leaves nothing that looks like a damaged database.
fn create_if_missing(directory: &Path, file: &Path, cache_bytes: usize) -> Result<(), OpenError> {
    let io = |source| OpenError::Io { file: file.to_owned(), source };
    if file.try_exists().map_err(io)? {
        return Ok(());
    }
    // Two daemons may be started at once. Where the file system knows no locks, they are on their own.
    let directory_lock = File::open(directory).map_err(io)?;
    let _ = directory_lock.lock();
    if file.try_exists().map_err(io)? {
        return Ok(());
    }
    let fresh = directory.join(format!("{FILE_NAME}.new"));
    let open =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&fresh).map_err(io)?;
    let database = open_database(file, cache_bytes, backend(open, file)?)?;
    database.close().map_err(|error| open_error(file, Fault::from(error)))?;
    std::fs::rename(&fresh, file).map_err(io)?;
    // The new name must survive a power cut, or what is committed next would not.
    directory_lock.sync_all().map_err(io)
}

fn backend(open: File, path: &Path) -> Result<FileBackend, OpenError> {
    FileBackend::new(open).map_err(|error| open_error(path, Fault::from(error)))
}

/// Whether the disk takes [`PROBE_BYTES`] more.
fn probe(file: &Path) -> io::Result<()> {
    let written =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file).and_then(|mut open| {
            open.write_all(&vec![0xA5; PROBE_BYTES])?;
            open.sync_all()
        });
    let removed = std::fs::remove_file(file);
    written.and(removed)
}

fn open_error(file: &Path, fault: Fault) -> OpenError {
    fault.at(file).into()
}

/// Runs `work`; a panic in it becomes an error.
fn contained<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    // What a panic may leave half changed is redb's: a transaction, which is dropped, and locks, which are poisoned
    // and make every later write fail until the database is opened anew.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Fault::Panicked(one_line(&panic_text(panic.as_ref())))))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the database engine gave up: {}", text.unwrap_or("no reason given"))
}
