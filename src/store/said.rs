//! What entries say of others: where each links to, and which of them speak of the keeper.
//!
//! The links of an entry stand one after the other, each as its number of prefixes (u8), the hash of its page (u64) and
//! those of its prefixes (u32 each), all big-endian; a mention is its way (u8) and, where somebody else wrote it, such a
//! link. Both have a version byte in front.

use std::ops::Bound;

use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::commit::Streams;
use super::error::Fault;
use super::tables::{EntryBytes, HEARD, HealthBytes, entry_bytes, entry_key, health_bytes, health_key, if_made};
use crate::model::{EntryKey, Hash64, Link, Mention, Said, Way};

const VERSION: u8 = 1;
/// The row of `heard` that tells how far the walk over stored entries has come.
const WALK: &str = "walk";

impl Streams<'_> {
    /// Keeps what entries say of others; what is not, or no longer, stored is left out.
    pub(super) fn keep_said<'s>(&mut self, said: impl IntoIterator<Item = &'s Said>) -> Result<(), Fault> {
        for said in said {
            let place = entry_bytes(said.key);
            if self.entries.get(&place)?.is_none() {
                continue;
            }
            if said.links.is_empty() {
                remove(&mut self.said, &place)?;
            } else {
                self.said.insert(&place, links_value(&said.links).as_slice())?;
            }
            let key = health_bytes(said.key);
            match said.mention {
                Some(mention) => {
                    self.mentions.insert(&key, mention_value(mention).as_slice())?;
                }
                None => remove(&mut self.mentions, &key)?,
            }
        }
        Ok(())
    }

    /// Forgets what an entry said of others, whose text goes.
    pub(super) fn forget_said(&mut self, key: EntryKey) -> Result<(), Fault> {
        remove(&mut self.said, &entry_bytes(key))?;
        remove(&mut self.mentions, &health_bytes(key))
    }

    /// What one entry said of others becomes what another says, which has the same text.
    pub(super) fn move_said(&mut self, from: EntryKey, to: EntryKey) -> Result<(), Fault> {
        let links = self.said.get(&entry_bytes(from))?.map(|value| value.value().to_vec());
        if let Some(links) = links {
            self.said.insert(&entry_bytes(to), links.as_slice())?;
        }
        let mention = self.mentions.get(&health_bytes(from))?.map(|value| value.value().to_vec());
        if let Some(mention) = mention {
            self.mentions.insert(&health_bytes(to), mention.as_slice())?;
        }
        Ok(())
    }
}

/// Removes a row; a table that has none is not written to.
fn remove<const N: usize>(
    table: &mut redb::Table<'_, &'static [u8; N], &'static [u8]>,
    key: &[u8; N],
) -> Result<(), Fault> {
    if table.get(key)?.is_some() {
        table.remove(key)?;
    }
    Ok(())
}

fn links_value(links: &[Link]) -> Vec<u8> {
    let mut value = Vec::with_capacity(1 + links.len() * 25);
    value.push(VERSION);
    for link in links {
        link_into(&mut value, link);
    }
    value
}

fn link_into(value: &mut Vec<u8>, link: &Link) {
    value.push(link.prefixes().len() as u8);
    value.extend_from_slice(&link.page.to_be_bytes());
    link.prefixes().iter().for_each(|prefix| value.extend_from_slice(&prefix.to_be_bytes()));
}

/// The first link of some bytes, and what follows it.
fn split_link(bytes: &[u8]) -> Option<(Link, &[u8])> {
    let (depth, rest) = bytes.split_first()?;
    let (page, rest) = rest.split_first_chunk()?;
    let (hashes, rest) = rest.split_at_checked(usize::from(*depth) * 4)?;
    let mut prefixes = [0; Link::MAX_PREFIXES];
    for (prefix, hash) in prefixes.iter_mut().zip(hashes.as_chunks().0) {
        *prefix = u32::from_be_bytes(*hash);
    }
    Some((Link::from_parts(u64::from_be_bytes(*page), &prefixes[..usize::from(*depth).min(prefixes.len())]), rest))
}

/// Reads the links of an entry into `links`, in place of what is there.
pub(super) fn links_of(key: EntryKey, value: &[u8], links: &mut Vec<Link>) -> Result<(), Fault> {
    links.clear();
    let unreadable = || Fault::Unreadable(format!("the links of entry {key} cannot be read"));
    let Some((&VERSION, mut rest)) = value.split_first() else { return Err(unreadable()) };
    while !rest.is_empty() {
        let (link, after) = split_link(rest).ok_or_else(unreadable)?;
        links.push(link);
        rest = after;
    }
    Ok(())
}

/// The value of a mention.
pub(super) fn mention_value(mention: Mention) -> Vec<u8> {
    let way = Way::ALL.iter().position(|way| *way == mention.way).unwrap_or_default();
    let mut value = vec![VERSION, way as u8];
    if let Some(by) = &mention.by {
        link_into(&mut value, by);
    }
    value
}

/// The mention of a value.
pub(super) fn mention_of(key: EntryKey, value: &[u8]) -> Result<Mention, Fault> {
    let unreadable = || Fault::Unreadable(format!("the mention {key} cannot be read"));
    let Some((&[VERSION, way], by)) = value.split_first_chunk() else { return Err(unreadable()) };
    let way = *Way::ALL.get(usize::from(way)).ok_or_else(unreadable)?;
    let by = if by.is_empty() { None } else { Some(split_link(by).ok_or_else(unreadable)?.0) };
    Ok(Mention { way, by })
}

/// At most `max` mentions of a table behind `before`, newest first.
pub(super) fn latest(
    mentions: &impl ReadableTable<&'static HealthBytes, &'static [u8]>,
    before: Option<EntryKey>,
    max: usize,
) -> Result<Vec<(EntryKey, Mention)>, Fault> {
    let end = before.map(health_bytes);
    let end = end.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut found = Vec::with_capacity(max.min(1024));
    for row in mentions.range::<&HealthBytes>((Bound::Unbounded, end))?.rev().take(max) {
        let (key, value) = row?;
        let key = health_key(key.value());
        found.push((key, mention_of(key, value.value())?));
    }
    Ok(found)
}

/// By what stored entries were last heard, and up to where; without a place, all of them.
pub(super) fn walk(transaction: &ReadTransaction) -> Result<Option<(Hash64, Option<EntryKey>)>, Fault> {
    let Some(table) = if_made(transaction, HEARD)? else { return Ok(None) };
    let Some(row) = table.get(WALK)? else { return Ok(None) };
    let unreadable = || Fault::Unreadable("how far entries were heard cannot be read".to_owned());
    let (heard_as, place) = row.value().split_first_chunk().ok_or_else(unreadable)?;
    let place = match place {
        [] => None,
        place => Some(entry_key(<&EntryBytes>::try_from(place).map_err(|_| unreadable())?)),
    };
    Ok(Some((Hash64(u64::from_be_bytes(*heard_as)), place)))
}

/// Keeps how far the walk has come.
pub(super) fn keep_walk(
    transaction: &WriteTransaction,
    heard_as: Hash64,
    heard_to: Option<EntryKey>,
) -> Result<(), Fault> {
    let mut row = heard_as.0.to_be_bytes().to_vec();
    row.extend(heard_to.iter().flat_map(|key| entry_bytes(*key)));
    transaction.open_table(HEARD)?.insert(WALK, row.as_slice())?;
    Ok(())
}
