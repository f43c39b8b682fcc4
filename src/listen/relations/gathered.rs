//! Conversations and bridges, worked out together in one pass and kept for a while.
//!
//! They rest on what thousands of feeds said, which changes at every moment; so what was worked out a moment ago is good
//! enough for a page, as long as the roster is the same. Whoever works it out anew in the background ([`Kept::freshen`])
//! spares all requests the wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::listen::sites::Sites;
use crate::model::Timestamp;
use crate::store::StoreError;

use super::bridges::{self, Ground, Site};
use super::conversations::{self, Talk};
use super::who::Desk;
use super::window;

/// How old a gathering may be when entries have come since; it is freshened about once a minute.
const MAX_AGE: Duration = Duration::from_mins(2);
/// How old it may be when nothing has changed: time alone lets things go.
const MAX_IDLE_AGE: Duration = Duration::from_hours(1);
/// So many texts are read in one gathering to learn what is a site.
const MAX_TEXTS: usize = 1000;

/// What was gathered.
#[derive(Debug)]
pub(super) struct Gathered {
    /// The latest first.
    pub(super) talks: Vec<Talk>,
    /// Those with most voices first; behind the first [`bridges::MAX_BRIDGES`], only those that are news.
    pub(super) sites: Vec<Site>,
    by: Arc<Sites>,
    roster: u64,
    revision: u64,
    at: Timestamp,
}

impl Gathered {
    /// The bridges that are shown.
    pub(super) fn bridges(&self) -> &[Site] {
        &self.sites[..self.sites.len().min(bridges::MAX_BRIDGES)]
    }

    fn is_of(&self, desk: &Desk<'_>) -> bool {
        self.roster == desk.bound().revision && Arc::ptr_eq(&self.by, &desk.sites)
    }

    fn is_good(&self, desk: &Desk<'_>) -> bool {
        let now = desk.scene.now;
        let max_age = if self.revision == desk.live().revision() { MAX_IDLE_AGE } else { MAX_AGE };
        self.is_of(desk) && self.at <= now && now.since(self.at) <= max_age
    }
}

/// What was gathered last.
#[derive(Debug, Default)]
pub(super) struct Kept {
    gathered: Mutex<Option<Arc<Gathered>>>,
    // Held while it is worked out: whoever needs the same waits for it, and nobody else does.
    ground: Mutex<Ground>,
}

impl Kept {
    /// What was gathered, at most about a minute ago.
    pub(super) fn get(&self, desk: &Desk<'_>) -> Result<Arc<Gathered>, StoreError> {
        let kept = || lock(&self.gathered).clone().filter(|gathered| gathered.is_good(desk));
        if let Some(gathered) = kept() {
            return Ok(gathered);
        }
        let mut ground = lock(&self.ground);
        kept().map_or_else(|| self.gather(desk, &mut ground), Ok)
    }

    /// Gathers anew, where anything has changed; whether anything of it is otherwise than before.
    pub(super) fn freshen(&self, desk: &Desk<'_>) -> Result<bool, StoreError> {
        let mut ground = lock(&self.ground);
        let before = lock(&self.gathered).clone();
        if before.as_ref().is_some_and(|before| before.revision == desk.live().revision() && before.is_good(desk)) {
            return Ok(false);
        }
        let after = self.gather(desk, &mut ground)?;
        Ok(before.is_none_or(|before| before.talks != after.talks || before.sites != after.sites))
    }

    fn gather(&self, desk: &Desk<'_>, ground: &mut Ground) -> Result<Arc<Gathered>, StoreError> {
        // Read before the links are: what changes meanwhile makes it old, and not wrong.
        let (roster, revision, at) = (desk.bound().revision, desk.live().revision(), desk.scene.now);
        let mut window = window::scan(desk)?;
        let talks = conversations::gather(&mut window, at);
        let sites = bridges::gather(desk, &mut window, ground, MAX_TEXTS)?;
        let by = Arc::clone(&desk.sites);
        let gathered = Arc::new(Gathered { talks, sites, by, roster, revision, at });
        *lock(&self.gathered) = Some(Arc::clone(&gathered));
        Ok(gathered)
    }
}

fn lock<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
