//! What came of the last times that a feed was asked, in few bytes: every feed has this in memory.

use super::Timestamp;

/// The last fetches of a feed, oldest first, at most [`Recent::MAX`]. Takes 8 bytes for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recent(Box<[Packed]>);

/// A fetch, as it is kept in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packed {
    /// Seconds since the Unix epoch.
    at: u32,
    /// 0 where there was none.
    status: u16,
    /// What came, above [`MAX_NEW`]'s bits.
    came: u16,
}

/// One fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// When the answer was there, or was given up; whole seconds.
    pub at: Timestamp,
    /// The status of the answer; `None` where none came.
    pub status: Option<u16>,
    /// What came.
    pub came: Came,
    /// How many new entries it brought, at most 8,191.
    pub new: u16,
}

/// What came of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Came {
    /// A document, read; it may have brought nothing new.
    Read,
    /// Word that nothing has changed: a 304, or the same bytes again.
    Unchanged,
    /// A status that is none of success.
    Refused,
    /// A document that could not be read.
    Unreadable,
    /// No answer.
    Failed,
}

impl Came {
    /// All of them, in the order in which they are stored.
    pub const ALL: [Self; 5] = [Self::Read, Self::Unchanged, Self::Refused, Self::Unreadable, Self::Failed];

    /// The word that status says.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
            Self::Failed => "failed",
        }
    }

    /// Whether the feed did what it should.
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Read | Self::Unchanged)
    }
}

/// The most new entries that a fetch is remembered with.
const MAX_NEW: u16 = (1 << NEW_BITS) - 1;
const NEW_BITS: u16 = 13;

impl Recent {
    /// At most so many fetches are remembered.
    pub const MAX: usize = 24;

    /// Takes fetches, oldest first; the last [`Recent::MAX`] are kept.
    pub fn of(fetches: impl IntoIterator<Item = Fetch>) -> Self {
        let packed: Vec<Packed> = fetches.into_iter().map(Packed::of).collect();
        Self(packed[packed.len().saturating_sub(Self::MAX)..].into())
    }

    /// The same with one more; the oldest makes room.
    #[must_use]
    pub fn with(&self, fetch: Fetch) -> Self {
        let kept = &self.0[(self.0.len() + 1).saturating_sub(Self::MAX)..];
        Self(kept.iter().copied().chain([Packed::of(fetch)]).collect())
    }

    /// The fetches, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Fetch> + ExactSizeIterator {
        self.0.iter().map(|packed| packed.fetch())
    }

    /// Whether the feed was never asked, as far as this remembers.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Packed {
    fn of(fetch: Fetch) -> Self {
        let came = match fetch.came {
            Came::Read => 0,
            Came::Unchanged => 1,
            Came::Refused => 2,
            Came::Unreadable => 3,
            Came::Failed => 4,
        };
        Self {
            at: u32::try_from(fetch.at.seconds().max(0)).unwrap_or(u32::MAX),
            status: fetch.status.unwrap_or(0),
            came: came << NEW_BITS | fetch.new.min(MAX_NEW),
        }
    }

    fn fetch(self) -> Fetch {
        Fetch {
            at: Timestamp::from_seconds(i64::from(self.at)),
            status: (self.status != 0).then_some(self.status),
            came: *Came::ALL.get(usize::from(self.came >> NEW_BITS)).unwrap_or(&Came::Failed),
            new: self.came & MAX_NEW,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_fetches_come_back_as_they_were_and_take_no_room() {
        let mut recent = Recent::default();
        let mut all = Vec::new();
        for n in 0..40_u16 {
            let came = Came::ALL[usize::from(n) % 5];
            let status = (came != Came::Failed).then_some(200 + n);
            let fetch = Fetch { at: Timestamp::from_seconds(1_795_379_832 + i64::from(n)), status, came, new: n };
            recent = recent.with(fetch);
            all.push(fetch);
            assert_eq!(recent.iter().collect::<Vec<_>>(), all[all.len().saturating_sub(Recent::MAX)..]);
        }
        assert_eq!(Recent::of(all), recent);
        assert!(size_of::<Recent>() + size_of_val(&*recent.0) <= 250);
        let many = Fetch { at: Timestamp::MIN, status: None, came: Came::Read, new: u16::MAX };
        let kept = Recent::of([many]).iter().next();
        assert_eq!(kept, Some(Fetch { at: Timestamp::from_seconds(0), new: MAX_NEW, ..many }));
    }
}
