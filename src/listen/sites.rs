//! Whose page a link leads to.
//!
//! A site is a prefix of addresses in comparable form, up to a slash; the longest that a link lies under decides. What
//! the keeper wrote comes first (`[mine] sites`, then the home pages of outlines); what a feed says of its own home
//! counts only where no outline names that prefix. A prefix that two voices share counts for neither.

use crate::config::Mine;
use crate::lists::roster::VoiceIndex;
use crate::model::Link;

use super::live::{Bound, Live};

/// Whose a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// Yours.
    Mine,
    /// A voice's.
    Voice(VoiceIndex),
}

/// All sites of yours and of the voices.
#[derive(Debug, Default)]
pub struct Sites {}

impl Sites {
    /// The sites as roster, feeds and configuration have them now.
    pub fn of(live: &Live, bound: &Bound, mine: &Mine) -> Self {
        let _ = (live, bound, mine);
        Self {}
    }

    /// Whose the page at an address in comparable form is.
    pub fn owner(&self, comparable: &str) -> Option<Owner> {
        let _ = comparable;
        None
    }

    /// The same by a link's hashes: never wrong where it answers `None`; somebody else's page is taken for a site once in
    /// millions of links, so whoever shows it looks into the text before.
    pub fn owner_of(&self, link: &Link) -> Option<Owner> {
        let _ = link;
        None
    }
}
