//! Conversations and bridges, worked out together in one pass and kept for a while.
//!
//! They rest on what thousands of feeds said, which changes at every moment; so what was worked out a moment ago is good
//! enough for a page, as long as the roster is the same. Whoever works it out anew in the background ([`Kept::freshen`])
//! spares all requests the wait.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::model::Timestamp;
use crate::store::StoreError;

use super::bridges::{self, Ground, Site};
use super::conversations::{self, Talk};
use super::who::Desk;
use super::{lock, window, with_fresh_snapshot};

/// How old a gathering may be when entries have come since; it is freshened about once a minute.
const MAX_AGE: Duration = Duration::from_mins(2);
/// How old it may be when nothing has changed: time alone lets things go.
const MAX_IDLE_AGE: Duration = Duration::from_hours(1);
/// So many texts are read in one gathering to learn what is a site.
const MAX_TEXTS: usize = 500;

/// What was gathered.
#[derive(Debug)]
pub(super) struct Gathered {
    /// The latest first.
    pub(super) talks: Vec<Talk>,
    /// Those with most voices first; behind the first [`bridges::MAX_BRIDGES`], only those that are news.
    pub(super) sites: Vec<Site>,
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
        // Sites may be others: what is shown is looked up in the texts.
        self.roster == desk.bound().revision
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
    /// What was gathered when it was last asked whether anything is new.
    told: Mutex<Option<Arc<Gathered>>>,
}

impl Kept {
    /// What was gathered, at most [`MAX_AGE`] ago where anything has changed since.
    pub(super) fn get(&self, desk: &Desk<'_>) -> Result<Arc<Gathered>, StoreError> {
        let kept = || lock(&self.gathered).clone().filter(|gathered| gathered.is_good(desk));
        if let Some(gathered) = kept() {
            return Ok(gathered);
        }
        let mut ground = lock(&self.ground);
        kept().map_or_else(|| self.gather(desk, &mut ground), Ok)
    }

    /// Gathers anew, where anything has changed; whether it is otherwise than when this was last asked.
    pub(super) fn freshen(&self, desk: &Desk<'_>) -> Result<bool, StoreError> {
        let mut ground = lock(&self.ground);
        let before = lock(&self.gathered).clone();
        let is_good = |kept: &Arc<Gathered>| kept.revision == desk.live().revision() && kept.is_good(desk);
        let after = match before.filter(is_good) {
            Some(good) => good,
            None => self.gather(desk, &mut ground)?,
        };
        let mut told = lock(&self.told);
        let is_new = told.as_ref().is_none_or(|told| told.talks != after.talks || told.sites != after.sites);
        *told = Some(after);
        Ok(is_new)
    }

    fn gather(&self, desk: &Desk<'_>, ground: &mut Ground) -> Result<Arc<Gathered>, StoreError> {
        // Read before the snapshot is taken: what changes meanwhile makes it old, and not wrong.
        let (roster, revision, at) = (desk.bound().revision, desk.live().revision(), desk.scene.now);
        let (talks, sites) = with_fresh_snapshot(desk, |desk| {
            let mut window = window::scan(desk)?;
            let talks = conversations::gather(&mut window, at);
            Ok((talks, bridges::gather(desk, &mut window, ground, MAX_TEXTS)?))
        })?;
        let gathered = Arc::new(Gathered { talks, sites, roster, revision, at });
        *lock(&self.gathered) = Some(Arc::clone(&gathered));
        Ok(gathered)
    }
}
