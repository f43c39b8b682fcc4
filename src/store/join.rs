//! Two feeds that turned out to be one: whose number, entries and schedule stay, and what becomes of the other's.
//!
//! # What can be claimed, and what cannot
//!
//! What was recognised in one feed must not be taken for what another one says: somebody could copy the ids of a feed,
//! the coming ones too, and then redirect to it. So of two twins the winner's entries stay as they are. Those that only
//! the loser has move over where somebody else than the loser vouches for it ([`Join::is_vouched`]), with their places
//! and texts, as history: under an identity that no document can match; else they go, for a redirect puts no words into
//! another's mouth. What the shared document carries, and the winner has not read yet, is not moved: the winner is due at once, and
//! reads it itself. An edited outline is another matter: the keeper of the list says that the feed is the same, and the
//! entries go on being recognised by the ids that they have.

use std::collections::HashMap;

use redb::{ReadableTable, WriteTransaction};

use super::blocks::{Reader, Record};
use super::commit::Streams;
use super::contacts;
use super::error::Fault;
use super::kept;
use super::notices;
use super::records::{self, CountRecord, FeedRecord, StateRecord, encode};
use super::rows::{self, Row};
use super::sweep::count_of;
use super::tables::{COUNTS, FEEDS, STATES, URLS};
use super::tables::{entry_bytes, link_bytes};
use super::text;
use crate::model::{EntryKey, Feed, FeedId, FeedState, Hash64, Known, Timestamp, Validators};

/// At most so many entries move over, the newest: retention leaves a feed far fewer unless it is told otherwise.
const MAX_MOVED_ENTRIES: usize = 10_000;
/// Entries that move at once: their texts are in memory meanwhile.
const MOVED_AT_ONCE: usize = 256;
/// Rows of the loser that go at once; the next sweep takes what is left.
const ROWS_AT_ONCE: usize = 30_000;
/// Since when the rest of a loser stands in no list: for so long that the next sweep takes it.
const LONG_AGO: Timestamp = Timestamp::from_millis(0);

/// Two feeds that are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join {
    /// Whose number and entries stay.
    pub winner: FeedId,
    /// The feed that goes.
    pub loser: FeedId,
    /// How they came to be one.
    pub kinship: Kinship,
    /// Whether something beside a redirect says that what the loser said was said by the winner: the keeper of the
    /// lists, or that both are of one host.
    pub is_vouched: bool,
}

/// How two feeds came to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinship {
    /// Both stand in lists and are fetched from one address. The loser's addresses become the winner's aliases.
    Twins,
    /// The winner's outline was edited to name the loser. The winner takes over its address, and with it its schedule,
    /// its validators and what the document says of itself; the winner's former addresses are forgotten.
    Edited,
}

impl Join {
    pub(super) fn apply(&self, transaction: &WriteTransaction, now: Timestamp) -> Result<Option<Feed>, Fault> {
        let mut feeds = transaction.open_table(FEEDS)?;
        let mut states = transaction.open_table(STATES)?;
        let mut counts = transaction.open_table(COUNTS)?;
        let mut by_url = transaction.open_table(URLS)?;
        let stored = |id: FeedId| -> Result<Option<Feed>, Fault> {
            let (Some(feed), Some(state), Some(count)) = (feeds.get(id.0)?, states.get(id.0)?, counts.get(id.0)?)
            else {
                return Ok(None);
            };
            records::feed(id, feed.value(), state.value(), count.value()).map(Some)
        };
        let (Some(mut winner), Some(loser)) = (stored(self.winner)?, stored(self.loser)?) else { return Ok(None) };
        let has_room = winner.aliases.len() + loser.addresses().count() <= Feed::MAX_ALIASES;
        if self.winner == self.loser || self.kinship == Kinship::Twins && !has_room {
            return Ok(None);
        }
        let mut streams = Streams::open(transaction)?;
        let mut count = count_of(&counts, winner.id)?;
        let last_success = winner.schedule.last_success;
        let is_behind = streams.move_entries(self, last_success, &mut count)?;

        let former: Vec<String> = winner.addresses().map(|url| url.as_str().to_owned()).collect();
        match self.kinship {
            Kinship::Twins => {
                winner.remember(loser.addresses());
                // The address answers, as the loser knows by now.
                if winner.schedule.state != FeedState::Ok && loser.schedule.last_success > last_success {
                    winner.schedule = loser.schedule.clone();
                }
                if is_behind {
                    if winner.schedule.state == FeedState::Ok {
                        winner.schedule.next_poll = winner.schedule.next_poll.min(now);
                    }
                    winner.validators = Validators::default();
                    winner.body_hash = None;
                }
            }
            Kinship::Edited => {
                for url in &former {
                    if by_url.get(url.as_str())?.is_some_and(|id| id.value() == winner.id.0) {
                        by_url.remove(url.as_str())?;
                    }
                }
                kept::lead_paths_to(transaction, &former, loser.url.as_str())?;
                let before = winner;
                winner = Feed {
                    id: before.id,
                    identity: before.identity,
                    left_at: None,
                    predecessor: None,
                    ..loser.clone()
                };
                winner.remember(before.addresses());
            }
        }
        for url in loser.addresses() {
            by_url.insert(url.as_str(), winner.id.0)?;
        }
        feeds.insert(winner.id.0, FeedRecord::of(&winner).bytes().as_slice())?;
        states.insert(winner.id.0, encode(&StateRecord::of(&winner)).as_slice())?;
        counts.insert(winner.id.0, encode(&count).as_slice())?;

        contacts::follow(transaction, loser.id, winner.id)?;
        notices::follow(transaction, loser.id, winner.id)?;
        let mut rest = count_of(&counts, loser.id)?;
        if streams.remove_some(loser.id, ROWS_AT_ONCE, &mut rest)? < ROWS_AT_ONCE {
            feeds.remove(loser.id.0)?;
            states.remove(loser.id.0)?;
            counts.remove(loser.id.0)?;
        } else {
            let leaving = Feed { left_at: Some(LONG_AGO), ..loser };
            feeds.insert(leaving.id.0, FeedRecord::of(&leaving).bytes().as_slice())?;
            counts.insert(leaving.id.0, encode(&rest).as_slice())?;
        }
        Ok(Some(Feed { entries: count.entries, newest: count.newest(), next_seq: count.next_seq, ..winner }))
    }
}

/// What a feed's entries are recognised by, arranged for comparing.
struct Recognised {
    all: Vec<Known>,
    guids: HashMap<Hash64, u32>,
    links: HashMap<Hash64, usize>,
    /// The last day on which a parsed document carried anything.
    latest: Option<i32>,
}

impl Recognised {
    fn of(streams: &Streams<'_>, feed: FeedId) -> Result<Self, Fault> {
        let all = streams.identities.all(feed)?;
        let mut links = HashMap::new();
        for link in all.iter().filter_map(|known| known.link) {
            *links.entry(link).or_default() += 1;
        }
        let guids = all.iter().map(|known| (known.guid, known.seq)).collect();
        let latest = all.iter().map(|known| known.carried_on).max();
        Ok(Self { all, guids, links, latest })
    }

    /// Whether one entry here, and no other, has this link.
    fn has_one_with(&self, link: Option<Hash64>) -> bool {
        link.and_then(|link| self.links.get(&link)) == Some(&1)
    }
}

impl Streams<'_> {
    /// Moves what only the loser has to the winner. Returns whether something was left for the winner to read itself.
    fn move_entries(
        &mut self,
        join: &Join,
        last_success: Option<Timestamp>,
        count: &mut CountRecord,
    ) -> Result<bool, Fault> {
        let (ours, theirs) = (Recognised::of(self, join.winner)?, Recognised::of(self, join.loser)?);
        let mut is_behind = false;
        let mut carried: HashMap<u32, i32> = HashMap::new();
        let mut moving = Vec::new();
        for known in &theirs.all {
            if let Some(same) = ours.guids.get(&known.guid) {
                carried.insert(*same, known.carried_on);
                continue;
            }
            // The rule by which an entry is recognised under another guid, on both sides.
            if known.purged || ours.has_one_with(known.link) && theirs.has_one_with(known.link) {
                continue;
            }
            let is_in_document = Some(known.carried_on) == theirs.latest;
            if join.kinship == Kinship::Twins && is_in_document && Some(known.first_seen) > last_success {
                is_behind = true;
                continue;
            }
            if join.is_vouched {
                moving.push(*known);
            }
        }
        if join.kinship == Kinship::Edited {
            self.identities.change(join.winner, carried.keys().copied(), |held| {
                for (&seq, &day) in &carried {
                    if let Some(known) = held.get(seq) {
                        held.put(Known { carried_on: known.carried_on.max(day), ..known });
                    }
                }
                Ok(())
            })?;
        }
        moving.sort_unstable_by_key(|known| (known.listed_at, known.seq));
        let too_many = moving.len().saturating_sub(MAX_MOVED_ENTRIES);
        let moving: Vec<(Known, Known)> = moving
            .drain(too_many..)
            .map(|known| match join.kinship {
                Kinship::Twins => (known, as_history(&known, ours.latest)),
                Kinship::Edited => (known, known),
            })
            .collect();
        for some in moving.chunks(MOVED_AT_ONCE) {
            self.move_some(join, some, count)?;
        }
        Ok(is_behind)
    }

    /// Moves entries, told by their identities as they were and as they are going to be but for the number.
    fn move_some(&mut self, join: &Join, some: &[(Known, Known)], count: &mut CountRecord) -> Result<(), Fault> {
        let mut reader = Reader::new();
        let (mut moved, mut records) = (Vec::new(), Vec::new());
        for (was, now) in some {
            let from = EntryKey { listed_at: was.listed_at, feed: join.loser, seq: was.seq };
            let Some(value) = self.entries.get(&entry_bytes(from))?.map(|value| value.value().to_vec()) else {
                continue;
            };
            // Four thousand million entries: what comes after that is not taken.
            let Some(following) = count.next_seq.checked_add(1) else { break };
            let to = EntryKey { feed: join.winner, seq: count.next_seq, ..from };
            count.next_seq = following;
            let entry = reader.entry(self.texts.table(), from, &value)?;
            let links = self.links_in(&mut reader, from, &Row::read(from, &value)?)?;
            records.push(Record { text: text::record(to, &entry).into(), links });
            moved.push((from, to, value, Known { seq: to.seq, ..*now }));
        }
        let texts = self.texts.add(&records.iter().collect::<Vec<_>>())?;
        for ((from, to, value, known), text) in moved.iter().zip(texts) {
            let (row, place) = (Row::read(*from, value)?, entry_bytes(*to));
            self.entries.insert(&place, rows::value(row.first_seen, row.link, text).as_slice())?;
            if let Some(link) = row.link {
                self.links.insert(&link_bytes(link, &place), known.first_seen.millis())?;
            }
            self.move_mention(*from, *to)?;
            count.entries += 1;
            count.newest = count.newest.max(Some(to.listed_at.millis()));
        }
        self.identities.change(join.winner, moved.iter().map(|(.., known)| known.seq), |held| {
            for (.., known) in &moved {
                held.put(*known);
            }
            Ok(())
        })
    }
}

/// The same entry as something that was once said: no document can be recognised in it, and none carries it, so that it
/// counts as gone from the winner's, whose last document was read on the day `latest`.
fn as_history(known: &Known, latest: Option<i32>) -> Known {
    // Whoever wants an id to match this must find a text for a hash.
    let guid = Hash64(known.guid.0.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23) ^ 0x5DEE_CE66_D1CE_4E5B);
    let gone_by = latest.map_or(known.carried_on, |latest| latest.saturating_sub(1));
    Known { guid, link: None, carried_on: known.carried_on.min(gone_by), ..*known }
}
