//! What the voices linked to lately: one pass over the links of 90 days, from which conversations and bridges are made.
//!
//! Owns the pass, and what it leaves out: furniture of a feed, and links of a voice to its own site. Holds nothing but
//! numbers and hashes; whoever shows something of it looks into the texts ([`Text`]) before.

use std::collections::HashSet;
use std::time::Duration;

use crate::feeds::links::{Linked, links};
use crate::listen::said;
use crate::listen::sites::Owner;
use crate::lists::roster::VoiceIndex;
use crate::model::{Entry, EntryKey, FeedId, Link, Timestamp};
use crate::store::StoreError;

use super::bridges;
use super::who::Desk;

/// How far bridges are looked back for.
pub(super) const BRIDGES_SPAN: Duration = Duration::from_hours(90 * 24);
/// How long after its last words a conversation is one of the present.
pub(super) const TALK_SPAN: Duration = Duration::from_hours(30 * 24);
/// What links join lies at most so far apart.
pub(super) const TALK_GAP: Duration = Duration::from_hours(7 * 24);

/// What was heard in [`BRIDGES_SPAN`].
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The entries that link to somebody, voice by voice.
    pub(super) heard: Vec<Heard>,
    /// Links of the last [`TALK_SPAN`] and a [`TALK_GAP`] before, to pages that may be talked about; in no order.
    pub(super) talk: Vec<Spoken>,
    /// The pages that entries of the same time are themselves, in no order.
    pub(super) own: Vec<Own>,
    /// Links to what is nobody's site, by voices that are listened to; in the order of entries.
    pub(super) outward: Vec<Outward>,
}

/// An entry that links to somebody.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    pub(super) key: EntryKey,
    /// Whose it is.
    pub(super) voice: u32,
    /// How many pages it links to that may be talked about.
    pub(super) pages: u16,
    /// Whether it is yours.
    pub(super) is_mine: bool,
}

/// A link to a page that may be talked about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spoken {
    pub(super) page: u64,
    /// Whose page it is: a voice's number, or one of those below.
    pub(super) owner: u32,
    /// Where the entry stands in [`Window::heard`].
    pub(super) entry: u32,
}

impl Spoken {
    /// As an owner: somebody who stands in no list.
    pub(super) const OUTSIDE: u32 = u32::MAX;
    /// As an owner: yourself.
    pub(super) const MINE: u32 = u32::MAX - 1;

    /// The voice whose page it is, where it is one's.
    pub(super) fn voice(&self) -> Option<VoiceIndex> {
        (self.owner < Self::MINE).then_some(self.owner as usize)
    }
}

/// The page that an entry is itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Own {
    pub(super) page: u64,
    pub(super) key: EntryKey,
}

/// A link to what is nobody's site.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outward {
    /// The host.
    pub(super) host: u32,
    /// The host and the first segment of the path; the host alone where there is none.
    pub(super) first: u32,
    /// The same with the second segment.
    pub(super) second: u32,
    /// Where the entry stands in [`Window::heard`].
    pub(super) entry: u32,
    /// Whose it is.
    pub(super) voice: u32,
}

/// Makes the pass.
pub(super) fn scan(desk: &Desk<'_>) -> Result<Window, StoreError> {
    let now = desk.scene.now;
    let (since, talk_since) = (now.minus(BRIDGES_SPAN), now.minus(TALK_SPAN + TALK_GAP));
    let mut window = Window::default();
    let (mut rows, mut pages): (Vec<(EntryKey, usize)>, Vec<Link>) = (Vec::new(), Vec::new());
    for Speaker { voice, feed, is_mine } in speakers(desk, since) {
        rows.clear();
        pages.clear();
        desk.snapshot().links(feed, Timestamp::MIN, now, |key, links| {
            // What is furniture is told by the newest entries, however old they are.
            if key.listed_at < since && rows.len() >= said::RECENT {
                return false;
            }
            pages.extend_from_slice(links);
            rows.push((key, pages.len()));
            true
        })?;
        let furniture = said::furniture(rows.iter().take(said::RECENT).scan(0, |from, &(_, to)| {
            let linked = &pages[*from..to];
            *from = to;
            Some(linked)
        }));
        let mut from = 0;
        for &(key, to) in &rows {
            let linked = &pages[from..to];
            from = to;
            if key.listed_at < since {
                break;
            }
            let entry = window.heard.len() as u32;
            let mut heard = Heard { key, voice: voice as u32, pages: 0, is_mine };
            let mut leads_on = false;
            for (n, link) in linked.iter().enumerate().filter(|(_, link)| !furniture.holds(link.page)) {
                let owner = desk.sites.owner_of(link);
                let is_own = match owner {
                    Some(Owner::Mine) => is_mine,
                    Some(Owner::Voice(of)) => of == voice,
                    None => false,
                };
                if is_own {
                    // The first link of all is to the page that the entry stands for.
                    if n == 0 && !is_mine && key.listed_at >= talk_since {
                        window.own.push(Own { page: link.page, key });
                    }
                    continue;
                }
                if owner.is_none() && !is_mine {
                    window.outward.extend(Outward::of(link, entry, heard.voice));
                    leads_on = true;
                }
                if key.listed_at >= talk_since && !(owner.is_none() && bridges::is_home(link)) {
                    let owner = match owner {
                        Some(Owner::Voice(of)) => of as u32,
                        Some(Owner::Mine) => Spoken::MINE,
                        None => Spoken::OUTSIDE,
                    };
                    window.talk.push(Spoken { page: link.page, owner, entry });
                    heard.pages += 1;
                }
            }
            if leads_on || heard.pages > 0 {
                window.heard.push(heard);
            }
        }
    }
    Ok(window)
}

impl Outward {
    fn of(link: &Link, entry: u32, voice: u32) -> Option<Self> {
        let prefixes = link.prefixes();
        let host = *prefixes.first()?;
        let first = prefixes.get(1).copied().unwrap_or(host);
        Some(Self { host, first, second: prefixes.get(2).copied().unwrap_or(first), entry, voice })
    }
}

/// A feed that is listened to, or is yours.
struct Speaker {
    voice: VoiceIndex,
    feed: FeedId,
    is_mine: bool,
}

/// The feeds that have said something since, voice by voice.
fn speakers(desk: &Desk<'_>, since: Timestamp) -> Vec<Speaker> {
    let mine: HashSet<FeedId> = desk.voices.mine.iter().copied().collect();
    let mut feeds: Vec<FeedId> = desk.bound().ids.values().copied().collect();
    feeds.sort_unstable();
    feeds.dedup();
    let speaking = desk.live().newest(&feeds).into_iter().filter(|(_, newest)| *newest >= since);
    let speaker = |(feed, _)| {
        let voice = *desk.bound().voices.get(&feed)?;
        let is_mine = mine.contains(&feed);
        (is_mine || desk.voices.is_heard(voice)).then_some(Speaker { voice, feed, is_mine })
    };
    let mut speakers: Vec<Speaker> = speaking.filter_map(speaker).collect();
    speakers.sort_unstable_by_key(|speaker| (speaker.voice, speaker.feed));
    speakers
}

/// An entry with what it links to.
pub(super) struct Text {
    pub(super) entry: Entry,
    links: Vec<Address>,
}

/// An address that an entry links to.
pub(super) struct Address {
    link: Link,
    /// In comparable form.
    pub(super) comparable: String,
    /// As it stands there.
    pub(super) written: String,
}

impl Text {
    /// Reads an entry; `None` where it is not stored any more.
    pub(super) fn read(desk: &Desk<'_>, key: EntryKey) -> Result<Option<Self>, StoreError> {
        Ok(desk.snapshot().entry(key)?.map(|entry| {
            let address = |Linked { link, comparable, address }| Address { link, comparable, written: address.into() };
            Self { links: links(&entry).into_iter().map(address).collect(), entry }
        }))
    }

    /// The address behind the hash of a page.
    pub(super) fn page(&self, page: u64) -> Option<&Address> {
        self.links.iter().find(|address| address.link.page == page)
    }

    /// The addresses below the site of a hash, each with the site in comparable form.
    pub(super) fn below(&self, site: u32) -> impl Iterator<Item = (&str, &Address)> {
        self.links.iter().filter_map(move |address| {
            let depth = address.link.prefixes().iter().position(|hash| *hash == site)?;
            Some((prefix_of(&address.comparable, depth), address))
        })
    }
}

/// The host of an address in comparable form, and so many segments of its path.
pub(super) fn prefix_of(comparable: &str, segments: usize) -> &str {
    let path = comparable.split('?').next().unwrap_or_default();
    path.match_indices('/').nth(segments).map_or(path, |(end, _)| &path[..end])
}
