//! Who may change stored feeds when: visits side by side, everybody else alone.

use std::sync::Arc;

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

#[cfg(test)]
use tokio_util::sync::CancellationToken;

use super::writer::Commits;

/// What every visit passes while it commits and shows a feed, and who changes stored feeds otherwise (takes over lists,
/// marks, joins, sweeps or hears) has for himself alone.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    lock: Arc<RwLock<()>>,
    commits: Commits,
}

impl Gate {
    pub(super) fn new(commits: Commits) -> Self {
        Self { lock: Arc::default(), commits }
    }

    /// A gate where nobody visits.
    #[cfg(test)]
    pub(super) fn of_nobody(store: Arc<crate::store::Store>) -> Self {
        let pulse = super::pulse::Pulse::new(super::moment());
        let (commits, _) = super::writer::new(store, Arc::default(), Arc::new(pulse), CancellationToken::new());
        Self::new(commits)
    }

    /// For a visit: as long as this is held, nobody changes stored feeds otherwise.
    pub(super) async fn visiting(&self) -> RwLockReadGuard<'_, ()> {
        self.lock.read().await
    }

    /// For who changes stored feeds otherwise: as long as this is held, no visit commits. What visits have left to be
    /// written is stored by then, so that every feed is stored as it is shown.
    pub(super) async fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        let alone = self.lock.write().await;
        self.commits.settle().await;
        alone
    }
}
