//! The table `texts`: texts of entries and where they link to, side by side in blocks that fill two pages of the file.
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | version, 1 |
//! | 2 | how many entries have their text in it, u16 big-endian |
//! | 2 | how many records are in it, u16 big-endian |
//! | 4 each | of each record: where it begins in the plain bytes, and how many bytes its links take, u16 big-endian |
//! | each | the links of each record, as `said` has them: hashes, which do not pack |
//! | rest | records of `text` one after the other, together a block of `packing` |
//!
//! Texts repeat each other: alone, those of 1,339 bytes of the bench take 595, in blocks 427, and no more time. A block of
//! its size has its pages for itself and leaves little of them empty, where rows in the order in which polls come leave a
//! third or a half.
//!
//! Texts come in the order of commits, those of a feed together, and behind what the last block has room for: what arrived
//! together is read together. As they go at different times, a block of which half has gone is given up, and what is left of
//! it moves to the end; a record therefore says whose text it is. So texts take at most twice what those that are stored need.

use std::borrow::Cow;
use std::collections::BTreeMap;

use redb::{ReadableTable, Table};

use super::error::Fault;
use super::packing::{Packer, Unpacker};
use super::rows::{Row, Text, unreadable};
use super::text;
use crate::model::{Entry, EntryKey};

const VERSION: u8 = 1;

/// What stands in front of all records of a block, and in front for each.
const HEAD_BYTES: usize = 5;
const RECORD_BYTES: usize = 4;
/// The longest value of a 4-byte key that two pages of redb's take.
const BLOCK_BYTES: usize = 2 * 4096 - 12;
/// More than that is unpacked for one entry only where it is that entry's own.
const MAX_PLAIN_BYTES: usize = 48 << 10;
/// What is expected to be longer does not go into the block: a forecast that is wrong costs a second packing.
const AIM_BYTES: f32 = 0.97 * BLOCK_BYTES as f32;
/// How much shorter packing makes texts, before any was packed.
const USUAL_RATIO: f32 = 0.36;

/// Where an entry's text and links lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TextPlace {
    /// The number of its block.
    pub(super) block: u32,
    /// Which of the block's records it is.
    pub(super) index: u16,
}

/// What a block has of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// The record of `text`.
    pub(super) text: Cow<'a, [u8]>,
    /// Where the entry links to, as `said` has it.
    pub(super) links: Vec<u8>,
}

impl Record<'_> {
    /// How much of a block it takes, where packing makes texts so much shorter.
    fn expected_bytes(&self, ratio: f32) -> f32 {
        (RECORD_BYTES + self.links.len()) as f32 + ratio * self.text.len() as f32
    }
}

/// `texts` while it is written to.
pub(super) struct Blocks<'t> {
    table: Table<'t, u32, &'static [u8]>,
    /// Made when it is first needed.
    packer: Option<Packer>,
    unpacker: Unpacker,
    /// What was packed last leads to expect.
    ratio: f32,
}

/// A block taken apart, or one that is going to be.
#[derive(Default)]
struct Open {
    users: u16,
    /// Where each record begins in `plain`, and its links in `links`.
    begins: Vec<(usize, usize)>,
    links: Vec<u8>,
    plain: Vec<u8>,
}

impl Open {
    fn push(&mut self, record: &Record<'_>) {
        self.users += 1;
        self.begins.push((self.plain.len(), self.links.len()));
        self.links.extend_from_slice(&record.links);
        self.plain.extend_from_slice(&record.text);
    }

    /// Takes back what was pushed last.
    fn pop(&mut self) {
        if let Some((plain, links)) = self.begins.pop() {
            self.users -= 1;
            self.plain.truncate(plain);
            self.links.truncate(links);
        }
    }

    /// How long it takes, where packing makes texts so much shorter.
    fn expected_bytes(&self, ratio: f32) -> f32 {
        (HEAD_BYTES + RECORD_BYTES * self.begins.len() + self.links.len()) as f32 + ratio * self.plain.len() as f32
    }

    fn has_room_for(&self, ratio: f32, record: &Record<'_>) -> bool {
        self.expected_bytes(ratio) + record.expected_bytes(ratio) <= AIM_BYTES
            && self.plain.len() + record.text.len() <= MAX_PLAIN_BYTES
    }
}

impl<'t> Blocks<'t> {
    pub(super) fn of(table: Table<'t, u32, &'static [u8]>) -> Self {
        Self { table, packer: None, unpacker: Unpacker::new(), ratio: USUAL_RATIO }
    }

    /// Stores records; where, in their order. Those that are read together are best given together.
    pub(super) fn add(&mut self, records: &[&Record<'_>]) -> Result<Vec<TextPlace>, Fault> {
        let mut places = Vec::with_capacity(records.len());
        let Some(first) = records.first() else { return Ok(places) };
        let (mut number, mut open) = self.last_with_room(first)?;
        let mut rest = records;
        while !rest.is_empty() {
            // An open block may turn out to be full, an empty one takes at least one.
            let before = open.begins.len();
            let least = usize::from(before == 0);
            let mut count = 0;
            while let Some(record) = rest.get(count).filter(|next| count < least || open.has_room_for(self.ratio, next))
            {
                open.push(record);
                count += 1;
            }
            let value = loop {
                let value = self.value(&open);
                if value.len() <= BLOCK_BYTES || count <= least {
                    break value;
                }
                // One less, and what is still too much by what was learned now.
                loop {
                    open.pop();
                    count -= 1;
                    if count <= least || open.expected_bytes(self.ratio) <= BLOCK_BYTES as f32 {
                        break;
                    }
                }
            };
            if count > 0 {
                self.table.insert(number, value.as_slice())?;
                places.extend((before..before + count).map(|index| TextPlace { block: number, index: index as u16 }));
            }
            rest = &rest[count..];
            number = number.checked_add(1).ok_or_else(|| damaged(number))?;
            open = Open::default();
        }
        Ok(places)
    }

    /// Entries have their texts here no longer. Returns the blocks of which half has gone.
    pub(super) fn release(&mut self, places: &[TextPlace]) -> Result<Vec<u32>, Fault> {
        let mut gone: BTreeMap<u32, u16> = BTreeMap::new();
        for place in places {
            *gone.entry(place.block).or_default() += 1;
        }
        let mut sparse = Vec::new();
        for (number, gone) in gone {
            let Some(mut value) = self.table.get(number)?.map(|value| value.value().to_vec()) else { continue };
            let block = Block::read(number, &value)?;
            let (users, records) = (block.users.saturating_sub(gone), block.directory.len());
            if users == 0 {
                self.table.remove(number)?;
                continue;
            }
            value[1..3].copy_from_slice(&users.to_be_bytes());
            self.table.insert(number, value.as_slice())?;
            if usize::from(users) <= records / 2 {
                sparse.push(number);
            }
        }
        // The last one takes what comes next.
        let last = self.table.last()?.map(|(number, _)| number.value());
        sparse.retain(|number| Some(*number) != last);
        Ok(sparse)
    }

    /// All records that ever came into a block: whose, where they lie, and themselves.
    pub(super) fn records(&mut self, number: u32) -> Result<Vec<(EntryKey, TextPlace, Record<'static>)>, Fault> {
        let Some(open) = self.open(number)? else { return Ok(Vec::new()) };
        let ends = open.begins.iter().skip(1).copied().chain([(open.plain.len(), open.links.len())]);
        let mut records = Vec::with_capacity(open.begins.len());
        for (index, (begin, end)) in open.begins.iter().zip(ends).enumerate() {
            let text = &open.plain[begin.0..end.0];
            let links = open.links[begin.1..end.1].to_vec();
            let place = TextPlace { block: number, index: index as u16 };
            let key = text::key(text).ok_or_else(|| damaged(number))?;
            records.push((key, place, Record { text: Cow::Owned(text.to_vec()), links }));
        }
        Ok(records)
    }

    /// Puts others in place of the links of an entry; whether there is room for them.
    pub(super) fn put_links(&mut self, place: TextPlace, links: &[u8]) -> Result<bool, Fault> {
        let TextPlace { block: number, index } = place;
        let value = {
            let value = self.table.get(number)?.ok_or_else(|| damaged(number))?;
            let block = Block::read(number, value.value())?;
            let (_, before) = block.record(number, index)?;
            if value.value().len() - before.len() + links.len() > BLOCK_BYTES.max(value.value().len()) {
                return Ok(false);
            }
            block.with_links(index, links)
        };
        self.table.insert(number, value.as_slice())?;
        Ok(true)
    }

    /// Reads what is in the table.
    pub(super) fn table(&self) -> &Table<'t, u32, &'static [u8]> {
        &self.table
    }

    /// A block taken apart; `None` where there is none of this number.
    fn open(&mut self, number: u32) -> Result<Option<Open>, Fault> {
        let Some(value) = self.table.get(number)? else { return Ok(None) };
        let block = Block::read(number, value.value())?;
        let plain = self.unpacker.unpack(block.packed).map_err(|_| damaged(number))?.to_vec();
        let mut open = Open { users: block.users, plain, ..Open::default() };
        for (begin, links) in block.records() {
            open.begins.push((begin, open.links.len()));
            open.links.extend_from_slice(links);
        }
        let is_whole = open.begins.last().is_none_or(|last| last.0 <= open.plain.len()) && open.begins.is_sorted();
        if is_whole { Ok(Some(open)) } else { Err(damaged(number)) }
    }

    /// The last block, opened, if this record is likely to find room in it; else the next one.
    fn last_with_room(&mut self, record: &Record<'_>) -> Result<(u32, Open), Fault> {
        let Some((number, length)) = self.table.last()?.map(|(number, value)| (number.value(), value.value().len()))
        else {
            return Ok((0, Open::default()));
        };
        if length as f32 + record.expected_bytes(self.ratio) <= AIM_BYTES
            && let Some(open) = self.open(number)?
        {
            self.learn(length - HEAD_BYTES - RECORD_BYTES * open.begins.len() - open.links.len(), open.plain.len());
            if open.has_room_for(self.ratio, record) {
                return Ok((number, open));
            }
        }
        Ok((number.checked_add(1).ok_or_else(|| damaged(number))?, Open::default()))
    }

    /// How much shorter packing made what was packed last is what is expected of the next.
    fn learn(&mut self, packed: usize, plain: usize) {
        if plain >= BLOCK_BYTES / 2 {
            self.ratio = (packed as f32 / plain as f32).clamp(0.02, 1.0);
        }
    }

    /// The value of a block.
    fn value(&mut self, open: &Open) -> Vec<u8> {
        let end_of = |index: usize| open.begins.get(index + 1).map_or(open.links.len(), |begins| begins.1);
        let directory = open.begins.iter().enumerate();
        let mut value = head(open.users, directory.map(|(index, (plain, links))| (*plain, end_of(index) - links)));
        value.extend_from_slice(&open.links);
        let before = value.len();
        self.packer.get_or_insert_with(Packer::new).pack(&open.plain, &mut value);
        self.learn(value.len() - before, open.plain.len());
        value
    }
}

/// The value of a block up to its links: of each record, where it begins in the plain bytes and how long its links are.
fn head(users: u16, directory: impl ExactSizeIterator<Item = (usize, usize)>) -> Vec<u8> {
    let mut value = Vec::with_capacity(BLOCK_BYTES);
    value.push(VERSION);
    value.extend_from_slice(&users.to_be_bytes());
    value.extend_from_slice(&(directory.len() as u16).to_be_bytes());
    for (plain, links) in directory {
        value.extend_from_slice(&(plain as u16).to_be_bytes());
        value.extend_from_slice(&(links as u16).to_be_bytes());
    }
    value
}

/// A block as it is stored.
struct Block<'a> {
    users: u16,
    /// Of each record, where it begins in the plain bytes and how many bytes its links take.
    directory: &'a [[u8; 4]],
    links: &'a [u8],
    packed: &'a [u8],
}

impl<'a> Block<'a> {
    fn read(number: u32, value: &'a [u8]) -> Result<Self, Fault> {
        Self::split(value).ok_or_else(|| damaged(number))
    }

    fn split(value: &'a [u8]) -> Option<Self> {
        let (&[version, a, b, c, d], rest) = value.split_first_chunk()?;
        let (directory, rest) = rest.split_at_checked(RECORD_BYTES * usize::from(u16::from_be_bytes([c, d])))?;
        let directory: &[[u8; 4]] = directory.as_chunks().0;
        let links = directory.iter().map(|&[_, _, a, b]: &[u8; 4]| usize::from(u16::from_be_bytes([a, b]))).sum();
        let (links, packed) = rest.split_at_checked(links)?;
        (version == VERSION).then_some(Self { users: u16::from_be_bytes([a, b]), directory, links, packed })
    }

    /// Of each record, where it begins in the plain bytes, and its links.
    fn records(&self) -> impl Iterator<Item = (usize, &'a [u8])> {
        let mut links = self.links;
        self.directory.iter().map(move |&[a, b, c, d]| {
            let (its, rest) = links.split_at_checked(usize::from(u16::from_be_bytes([c, d]))).unwrap_or_default();
            links = rest;
            (usize::from(u16::from_be_bytes([a, b])), its)
        })
    }

    /// One of them.
    fn record(&self, number: u32, index: u16) -> Result<(usize, &'a [u8]), Fault> {
        self.records().nth(usize::from(index)).ok_or_else(|| damaged(number))
    }

    /// The same with other links of one record.
    fn with_links(&self, index: u16, links: &[u8]) -> Vec<u8> {
        let mut all: Vec<_> = self.records().collect();
        if let Some(record) = all.get_mut(usize::from(index)) {
            record.1 = links;
        }
        let mut value = head(self.users, all.iter().map(|(plain, links)| (*plain, links.len())));
        for (_, links) in all {
            value.extend_from_slice(links);
        }
        value.extend_from_slice(self.packed);
        value
    }
}

/// Reads the texts and links of entries, one after the other, and keeps the block that it looked at last.
pub(super) struct Reader {
    unpacker: Unpacker,
    /// The number of the block, and its value.
    current: Option<(u32, Vec<u8>)>,
    /// The plain bytes of that block, once they were needed.
    plain: Option<Vec<u8>>,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { unpacker: Unpacker::new(), current: None, plain: None }
    }

    /// Forgets the block, which has changed.
    pub(super) fn forget(&mut self) {
        self.current = None;
        self.plain = None;
    }

    /// The entry of this key out of its row, and its text out of `texts`.
    pub(super) fn entry(
        &mut self,
        texts: &impl ReadableTable<u32, &'static [u8]>,
        key: EntryKey,
        value: &[u8],
    ) -> Result<Entry, Fault> {
        let row = Row::read(key, value)?;
        match row.text {
            Text::Here(packed) => {
                let text = self.unpacker.unpack(packed).map_err(|why| unreadable(key, &why))?;
                text::entry_of_text(key, row.first_seen, text)
            }
            Text::In(place) => {
                self.go_to(texts, key, place)?;
                let Some((number, value)) = &self.current else { return Err(damaged(place.block)) };
                let (begin, _) = Block::read(*number, value)?.record(*number, place.index)?;
                let plain = self.plain(key)?;
                text::entry(key, row.first_seen, plain.get(begin..).unwrap_or_default())
            }
        }
    }

    /// The links of an entry whose text is in a block, as they are stored.
    pub(super) fn links(
        &mut self,
        texts: &impl ReadableTable<u32, &'static [u8]>,
        key: EntryKey,
        place: TextPlace,
    ) -> Result<&[u8], Fault> {
        self.go_to(texts, key, place)?;
        let Some((number, value)) = &self.current else { return Err(damaged(place.block)) };
        Ok(Block::read(*number, value)?.record(*number, place.index)?.1)
    }

    /// What a block has of an entry.
    pub(super) fn record(
        &mut self,
        texts: &impl ReadableTable<u32, &'static [u8]>,
        key: EntryKey,
        place: TextPlace,
    ) -> Result<Record<'static>, Fault> {
        self.go_to(texts, key, place)?;
        let Some((number, value)) = &self.current else { return Err(damaged(place.block)) };
        let block = Block::read(*number, value)?;
        let (begin, links) = block.record(*number, place.index)?;
        let (links, end) = (links.to_vec(), block.records().nth(usize::from(place.index) + 1).map(|(begin, _)| begin));
        let plain = self.plain(key)?;
        let text = plain.get(begin..end.unwrap_or(plain.len())).ok_or_else(|| damaged(place.block))?;
        Ok(Record { text: Cow::Owned(text.to_vec()), links })
    }

    /// The plain bytes of the block that is looked at.
    fn plain(&mut self, key: EntryKey) -> Result<&[u8], Fault> {
        let Some((number, value)) = &self.current else { return Ok(&[]) };
        if self.plain.is_none() {
            let packed = Block::read(*number, value)?.packed;
            let plain = self.unpacker.unpack(packed).map_err(|why| unreadable(key, &why))?;
            self.plain = Some(plain.to_vec());
        }
        Ok(self.plain.as_deref().unwrap_or_default())
    }

    fn go_to(
        &mut self,
        texts: &impl ReadableTable<u32, &'static [u8]>,
        key: EntryKey,
        place: TextPlace,
    ) -> Result<(), Fault> {
        if self.current.as_ref().is_none_or(|(number, _)| *number != place.block) {
            let value = texts.get(place.block)?.ok_or_else(|| unreadable(key, "its text is missing"))?;
            let mut kept = self.current.take().map_or_else(Vec::new, |(_, kept)| kept);
            kept.clear();
            kept.extend_from_slice(value.value());
            self.current = Some((place.block, kept));
            self.plain = None;
        }
        Ok(())
    }
}

fn damaged(block: u32) -> Fault {
    Fault::Unreadable(format!("block {block} of texts cannot be read"))
}
