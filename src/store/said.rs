//! What entries say of others: where each links to, and which of them speak of the keeper.
//!
//! The links of an entry stand beside its text one after the other, each as its number of prefixes (u8), the hash of its page
//! (u64) and those of its prefixes (u32 each), all big-endian; a mention is its way (u8) and, where somebody else wrote it,
//! such a link, with a version byte in front. The links of an entry whose row has its text are in the table `said`, with a
//! version byte likewise.

use std::ops::Bound;

use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::blocks::{Reader, Record};
use super::commit::Streams;
use super::error::Fault;
use super::rows::{Row, Text};
use super::tables::{EntryBytes, HEARD, HealthBytes, entry_bytes, entry_key, health_bytes, health_key, if_made};
use crate::model::{EntryKey, Hash64, Link, Mention, Said, Way};

const VERSION: u8 = 1;
/// The row of `heard` that tells how far the walk over stored entries has come.
const WALK: &str = "walk";

impl Streams<'_> {
    /// Keeps what entries say of others; what is not, or no longer, stored is left out.
    pub(super) fn keep_said(&mut self, said: &[Said]) -> Result<(), Fault> {
        let (mut reader, mut moving) = (Reader::new(), Vec::new());
        for said in said {
            let (place, links) = (entry_bytes(said.key), links_bytes(&said.links));
            let Some(value) = self.entries.get(&place)?.map(|value| value.value().to_vec()) else { continue };
            match Row::read(said.key, &value)?.text {
                Text::In(text) => {
                    if reader.links(self.texts.table(), said.key, text)? != links {
                        if self.texts.put_links(text, &links)? {
                            reader.forget();
                        } else {
                            let record = reader.record(self.texts.table(), said.key, text)?;
                            moving.push((Record { links, ..record }, said.key));
                        }
                    }
                }
                Text::Here(_) if links.is_empty() => remove(&mut self.said, &place)?,
                Text::Here(_) => {
                    self.said.insert(&place, [&[VERSION], links.as_slice()].concat().as_slice())?;
                }
            }
            let key = health_bytes(said.key);
            match said.mention {
                Some(mention) => {
                    self.mentions.insert(&key, mention_value(mention).as_slice())?;
                }
                None => remove(&mut self.mentions, &key)?,
            }
        }
        let moved = self.relocate(&moving)?;
        self.release(&moved)
    }

    /// The links of an entry as they are stored.
    pub(super) fn links_in(&self, reader: &mut Reader, key: EntryKey, row: &Row<'_>) -> Result<Vec<u8>, Fault> {
        let mut links = Vec::new();
        links_of(reader, self.texts.table(), Some(&self.said), key, row, &mut links)?;
        Ok(links_bytes(&links))
    }

    /// Forgets what an entry said of others, whose text goes.
    pub(super) fn forget_said(&mut self, key: EntryKey) -> Result<(), Fault> {
        remove(&mut self.said, &entry_bytes(key))?;
        remove(&mut self.mentions, &health_bytes(key))
    }

    /// What one entry is in speaking of the keeper becomes what another is, which has the same text.
    pub(super) fn move_mention(&mut self, from: EntryKey, to: EntryKey) -> Result<(), Fault> {
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

/// Links as they are stored.
pub(super) fn links_bytes(links: &[Link]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(links.len() * 25);
    for link in links {
        link_into(&mut bytes, link);
    }
    bytes
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

/// Reads the links of an entry into `links`, in place of what is there: out of `texts`, or out of `said` if the row has the
/// text.
pub(super) fn links_of(
    reader: &mut Reader,
    texts: &impl ReadableTable<u32, &'static [u8]>,
    said: Option<&impl ReadableTable<&'static EntryBytes, &'static [u8]>>,
    key: EntryKey,
    row: &Row<'_>,
    links: &mut Vec<Link>,
) -> Result<(), Fault> {
    links.clear();
    if let Text::In(place) = row.text {
        return read_links(key, reader.links(texts, key, place)?, links);
    }
    let Some(said) = said else { return Ok(()) };
    match said.get(&entry_bytes(key))?.as_ref().map(|value| value.value().split_first()) {
        None => Ok(()),
        Some(Some((&VERSION, bytes))) => read_links(key, bytes, links),
        Some(_) => Err(unreadable_links(key)),
    }
}

fn read_links(key: EntryKey, mut bytes: &[u8], links: &mut Vec<Link>) -> Result<(), Fault> {
    while !bytes.is_empty() {
        let (link, after) = split_link(bytes).ok_or_else(|| unreadable_links(key))?;
        links.push(link);
        bytes = after;
    }
    Ok(())
}

fn unreadable_links(key: EntryKey) -> Fault {
    Fault::Unreadable(format!("the links of entry {key} cannot be read"))
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
