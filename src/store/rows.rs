//! The values of `entries`: what a merge of streams needs to know of an entry, and where its text and links lie.
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | version, 2 |
//! | 1 | 1 where a link hash follows, else 0 |
//! | 8 | first seen, i64 big-endian |
//! | 8 | link hash, u64 big-endian, where there is one |
//! | 4 | the number of the block in `texts`, u32 big-endian |
//! | 2 | which of the block's records it is, u16 big-endian |
//!
//! In version 1 the text itself stands behind the link hash, as a block of `packing`, and the links in a row of `said`.

use super::blocks::TextPlace;
use super::error::Fault;
use crate::model::{EntryKey, Hash64, Timestamp};

const WITH_TEXT: u8 = 1;
const VERSION: u8 = 2;

/// A stored entry without its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// When the daemon first saw it.
    pub(super) first_seen: Timestamp,
    /// The hash of its comparable link.
    pub(super) link: Option<Hash64>,
    pub(super) text: Text<'a>,
}

/// Where an entry's text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text<'a> {
    /// Here, packed; the links are in `said`.
    Here(&'a [u8]),
    /// In a block, with the links.
    In(TextPlace),
}

impl<'a> Row<'a> {
    /// Reads a value.
    pub(super) fn read(key: EntryKey, value: &'a [u8]) -> Result<Self, Fault> {
        Self::split(value).ok_or_else(|| unreadable(key, "it is cut off or of an unknown version"))
    }

    fn split(value: &'a [u8]) -> Option<Self> {
        let (&[version, has_link], rest) = value.split_first_chunk()?;
        let (first_seen, mut rest) = rest.split_first_chunk()?;
        let first_seen = Timestamp::from_millis(i64::from_be_bytes(*first_seen));
        let mut link = None;
        if has_link != 0 {
            let (hash, after) = rest.split_first_chunk()?;
            link = Some(Hash64(u64::from_be_bytes(*hash)));
            rest = after;
        }
        let text = match version {
            WITH_TEXT => Text::Here(rest),
            VERSION => {
                let (block, index) = rest.split_first_chunk()?;
                let index = u16::from_be_bytes(index.try_into().ok()?);
                Text::In(TextPlace { block: u32::from_be_bytes(*block), index })
            }
            _ => return None,
        };
        Some(Self { first_seen, link, text })
    }

    /// Where the text is in `texts`, if it is there.
    pub(super) fn place(&self) -> Option<TextPlace> {
        match self.text {
            Text::Here(_) => None,
            Text::In(place) => Some(place),
        }
    }
}

/// The value of an entry whose text is in a block.
pub(super) fn value(first_seen: Timestamp, link: Option<Hash64>, place: TextPlace) -> Vec<u8> {
    let mut value = Vec::with_capacity(24);
    value.push(VERSION);
    value.push(u8::from(link.is_some()));
    value.extend_from_slice(&first_seen.millis().to_be_bytes());
    if let Some(link) = link {
        value.extend_from_slice(&link.0.to_be_bytes());
    }
    value.extend_from_slice(&place.block.to_be_bytes());
    value.extend_from_slice(&place.index.to_be_bytes());
    value
}

/// The error of an entry that cannot be read.
pub(super) fn unreadable(key: EntryKey, why: &str) -> Fault {
    Fault::Unreadable(format!("entry {key} cannot be read: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FeedId;

    #[test]
    fn rows_come_back_and_what_is_cut_off_does_not() {
        let key = EntryKey { listed_at: Timestamp::MIN, feed: FeedId(1), seq: 2 };
        let (first_seen, place) = (Timestamp::from_millis(-5), TextPlace { block: 7, index: 60_000 });
        for link in [None, Some(Hash64(9))] {
            let value = value(first_seen, link, place);
            assert_eq!(Row::read(key, &value).expect("it reads"), Row { first_seen, link, text: Text::In(place) });
            for cut in 0..value.len() {
                assert!(Row::read(key, &value[..cut]).is_err());
            }
            let unknown = [&[VERSION + 1], &value[1..]].concat();
            assert!(Row::read(key, &unknown).is_err());
        }
    }
}
