//! What the new and changed entries of a feed say of others, for the commit that stores them.

use crate::http::App;
use crate::listen::live::Bound;
use crate::listen::said::{Channel, Hearing, Names, said_by_feed};
use crate::model::{Change, Entry, Feed, Said};
use crate::store::StoreError;

/// What was heard.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) said: Vec<Said>,
    /// Whether it bears on what is between you and the voices.
    pub(super) concerns_you: bool,
}

impl Heard {
    /// What the entries among a feed's changes say.
    pub(super) fn of(app: &App, bound: &Bound, feed: &Feed, changes: &[Change]) -> Result<Self, StoreError> {
        let mut entries: Vec<&Entry> = changes.iter().filter_map(|change| change.entry.as_ref()).collect();
        if entries.is_empty() {
            return Ok(Self::default());
        }
        entries.sort_unstable_by_key(|entry| entry.key);
        let mine = &app.config.load().mine;
        let (sites, names) = (app.relations.keeper_sites(&app.live, bound, mine), Names::of(mine));
        let channel = Channel::of(bound, feed);
        let snapshot = app.store.snapshot()?;
        let said = said_by_feed(&snapshot, feed.id, &entries, &Hearing { sites: &sites, names: &names, channel })?;
        // Beyond the entries themselves stand only those that speak of you no longer.
        let mut concerns_you =
            channel == Channel::Mine || said.len() > entries.len() || said.iter().any(|said| said.mention.is_some());
        let mut edited =
            changes.iter().filter(|change| change.was.is_some()).filter_map(|change| change.entry.as_ref());
        while let Some(entry) = edited.next().filter(|_| !concerns_you) {
            concerns_you = snapshot.mention(entry.key)?.is_some();
        }
        Ok(Self { said, concerns_you })
    }
}
