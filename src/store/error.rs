//! What can go wrong with the database, and what can be done about it. Each error is one line that names the file.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::FeedId;

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the database open.
    #[error(
        "{}: another listend is using this database: stop it first, or give this one a `state` directory of its own",
        file.display()
    )]
    InUse {
        /// The database.
        file: PathBuf,
    },
    /// The file is no database of this program, or no longer one. It is left as it is.
    #[error(
        "{}: the database is damaged and was left untouched ({reason}): move it aside and restore a backup with `listend import`",
        file.display()
    )]
    Damaged {
        /// The database.
        file: PathBuf,
        /// What was found, in one line.
        reason: String,
    },
    /// A later version of this program wrote it.
    #[error(
        "{}: the database has format {found} and this listend knows formats up to {known}: install the newer listend again",
        file.display()
    )]
    NewerFormat {
        /// The database.
        file: PathBuf,
        /// The format of the file.
        found: u64,
        /// The newest format known here.
        known: u64,
    },
    /// The directory or the file cannot be made, read or written.
    #[error("{}: cannot open the database: {source}: check the path, its permissions and the space left", file.display())]
    Io {
        /// The file or directory.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why the store could not do what was asked. Nothing of a failed write is half done; where the disk failed in the
/// last step it may yet turn out to be done as a whole, which is why a failed commit may simply be repeated.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk did not take or give it. Space, permissions and disks come back: try again later.
    #[error("{}: the database cannot be read or written now: {source}: free some space or check the disk", file.display())]
    Io {
        /// The database.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database had to be opened anew after a failure, and that failed too.
    #[error(transparent)]
    Reopen(#[from] OpenError),
    /// What is stored makes no sense.
    #[error("{}: the database is damaged ({reason}): stop listend, move the file aside and restore a backup with `listend import`", file.display())]
    Damaged {
        /// The database.
        file: PathBuf,
        /// What was found, in one line.
        reason: String,
    },
    /// A commit gives the number of a known entry of this feed to another one: it was made from an older state of the
    /// feed than the stored one. Nothing of the commit was stored; read the feed again.
    #[error("feed {} has moved on since this change was made", feed.0)]
    Conflict {
        /// The feed.
        feed: FeedId,
    },
    /// Compaction has to wait until no snapshot is in use. Try again later.
    #[error("{}: the database is being read: compaction has to wait", file.display())]
    Busy {
        /// The database.
        file: PathBuf,
    },
}

impl StoreError {
    /// Whether the same call may succeed later, when the disk is well again.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Io { .. } | Self::Busy { .. } | Self::Reopen(OpenError::Io { .. } | OpenError::InUse { .. })
        )
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        let reason = error.to_string();
        match error {
            StoreError::Io { file, source } => Self::Io { file, source },
            StoreError::Reopen(error) => error,
            StoreError::Damaged { file, reason } => Self::Damaged { file, reason },
            StoreError::Busy { file } => Self::Damaged { file, reason },
            StoreError::Conflict { .. } => Self::Damaged { file: PathBuf::new(), reason },
        }
    }
}

/// What goes wrong inside this room, before the file's name is put to it.
#[derive(Debug)]
pub(super) enum Fault {
    /// The engine refused.
    Engine(Box<redb::Error>),
    /// A record cannot be read.
    Unreadable(String),
    /// The engine panicked: it met something impossible.
    Panicked(String),
    /// See [`StoreError::Conflict`].
    Conflict(FeedId),
}

impl Fault {
    /// Whether the database has to be opened anew before it is written again.
    pub(super) fn breaks(&self) -> bool {
        match self {
            Self::Conflict(_) | Self::Unreadable(_) => false,
            // A snapshot of before the database was opened anew says nothing of the one that is open now.
            Self::Engine(error) => !is_busy(error) && !matches!(**error, redb::Error::DatabaseClosed),
            Self::Panicked(_) => true,
        }
    }

    /// The error with the name of the file.
    pub(super) fn at(self, file: &Path) -> StoreError {
        let file = file.to_owned();
        match self {
            Self::Conflict(feed) => StoreError::Conflict { feed },
            Self::Unreadable(reason) | Self::Panicked(reason) => StoreError::Damaged { file, reason },
            Self::Engine(error) if is_busy(&error) => StoreError::Busy { file },
            Self::Engine(error) => match *error {
                redb::Error::Io(source) if source.kind() != io::ErrorKind::InvalidData => {
                    StoreError::Io { file, source }
                }
                // Another thread met the I/O error first, or is about to open the database anew.
                error @ (redb::Error::PreviousIo | redb::Error::DatabaseClosed | redb::Error::LockPoisoned(_)) => {
                    StoreError::Io { file, source: io::Error::other(error.to_string()) }
                }
                redb::Error::Backend(error) => StoreError::Io { file, source: io::Error::other(error) },
                error => StoreError::Damaged { file, reason: one_line(&error.to_string()) },
            },
        }
    }
}

fn is_busy(error: &redb::Error) -> bool {
    matches!(error, redb::Error::TransactionInProgress)
}

macro_rules! faults_of_the_engine {
    ($($error:ty),+) => {
        $(impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Self::Engine(Box::new(error.into()))
            }
        })+
    };
}

faults_of_the_engine!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::CompactionError,
    redb::DatabaseError
);

/// A message as one line of bearable length.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().take(40).collect::<Vec<_>>().join(" ")
}
