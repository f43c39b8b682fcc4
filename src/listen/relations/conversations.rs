//! Who talks with whom: entries of several voices that link to one page, or to each other.
//!
//! The words on a page are the entries that link to it and, where it is a voice's entry, that entry itself, as long as no
//! two that follow each other lie more than [`TALK_GAP`] apart. It is talked about where at least two voices have words
//! on it; you may take part, and do not count. An entry that answers a page and is answered itself makes one
//! conversation of the two. One that merely links to two pages stands in both of them: else a single collection of links
//! would make one conversation of everything; for the same reason, answers to collections stand for themselves.
//!
//! Pages of yours come to be talked about as any other, when two voices link to them; what one voice says of you is a
//! mention. Bare home pages of those who stand in no list are bridges, and no conversations.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::feeds::identity;
use crate::listen::people::{Conversation, Person, Saying};
use crate::listen::sites::Owner;
use crate::lists::roster::VoiceIndex;
use crate::model::{Entry, EntryKey, Hash64, Link, Timestamp, comparable_link, redact_text};
use crate::store::StoreError;

use super::who::{Desk, saying};
use super::window::{Heard, Spoken, TALK_GAP, TALK_SPAN, Text, Window};

/// An entry that links to more pages than this is a collection.
const MAX_ANSWERED_PAGES: u16 = 8;
/// Most voices that are shown of one conversation: those who spoke first.
const MAX_TURNS: usize = 50;
/// The least voices that make a conversation.
const LEAST_VOICES: usize = 2;

/// A conversation, in hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Talk {
    /// The pages that it is about, the main one first.
    pub(super) pages: Vec<u64>,
    /// Whose the main page is.
    owner: Option<Owner>,
    /// What each voice said first; whoever wrote the main page before all others, then by time.
    pub(super) turns: Vec<Turn>,
    /// When the second voice spoke.
    pub(super) began: Timestamp,
    /// When the last words were said.
    pub(super) last: Timestamp,
}

/// Words of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) key: EntryKey,
    pub(super) voice: VoiceIndex,
    /// The page that they are about.
    page: u64,
    /// Whether they are that page themselves.
    is_page: bool,
    /// Whether they are yours.
    is_mine: bool,
}

/// All conversations of the window, those with the latest words first.
pub(super) fn gather(window: &mut Window, now: Timestamp) -> Vec<Talk> {
    let Window { heard, talk, own, .. } = window;
    talk.sort_unstable_by_key(|spoken| (spoken.page, spoken.entry));
    own.sort_unstable();
    let mut rounds = Vec::new();
    let mut roots = own.as_slice();
    for links in talk.chunk_by(|a, b| a.page == b.page) {
        let page = links[0].page;
        roots = &roots[roots.partition_point(|own| own.page < page)..];
        // A page is a voice's entry where it lies under a site of that voice. The first entry with it is taken.
        let root = roots.first().filter(|own| own.page == page && links[0].voice().is_some()).map(|own| own.key);
        rounds_of(heard, links, root, &mut rounds);
    }
    let mut talks = join(heard, rounds);
    let oldest = now.minus(TALK_SPAN);
    talks.retain(|talk| talk.last >= oldest);
    talks.sort_unstable_by(|a, b| (b.last, &a.pages).cmp(&(a.last, &b.pages)));
    talks
}

/// The entries that stand for the page at an address.
fn entries_at(desk: &Desk<'_>, address: &str) -> Result<Vec<EntryKey>, StoreError> {
    let page = address.split('#').next().unwrap_or_default();
    let found = desk.snapshot().same_link(identity::link_hash(page))?;
    Ok(found.into_iter().map(|(key, _)| key).collect())
}

/// Words on one page.
struct Round {
    page: u64,
    owner: u32,
    /// The entry that the page is, where that is among the words.
    root: Option<EntryKey>,
    /// By time.
    words: Vec<(Turn, Option<u32>)>,
}

impl Round {
    fn voices(&self) -> usize {
        count_voices(self.words.iter().map(|(turn, _)| turn))
    }
}

/// How many voices speak in some turns, without yourself.
fn count_voices<'a>(turns: impl Iterator<Item = &'a Turn>) -> usize {
    turns.filter(|turn| !turn.is_mine).map(|turn| turn.voice).collect::<HashSet<_>>().len()
}

/// The rounds of words on a page, from all links to it.
fn rounds_of(heard: &[Heard], links: &[Spoken], root: Option<EntryKey>, rounds: &mut Vec<Round>) {
    let (page, owner) = (links[0].page, links[0].owner);
    if links.len() < LEAST_VOICES && root.is_none() {
        return;
    }
    let mut words: Vec<(Turn, Option<u32>)> = Vec::with_capacity(links.len() + 1);
    for link in links {
        let by = &heard[link.entry as usize];
        let turn = Turn { key: by.key, voice: by.voice as usize, page, is_page: false, is_mine: by.is_mine };
        words.push((turn, Some(link.entry)));
    }
    if let (Some(key), Some(voice)) = (root, links[0].voice()) {
        words.push((Turn { key, voice, page, is_page: true, is_mine: false }, None));
    }
    words.sort_unstable_by_key(|(turn, _)| turn.key);
    let is_near =
        |a: &(Turn, Option<u32>), b: &(Turn, Option<u32>)| b.0.key.listed_at.since(a.0.key.listed_at) <= TALK_GAP;
    for words in words.chunk_by(is_near) {
        let root = root.filter(|_| words.iter().any(|(turn, _)| turn.is_page));
        let round = Round { page, owner, root, words: words.to_vec() };
        if round.voices() >= LEAST_VOICES {
            rounds.push(round);
        }
    }
}

/// Joins the rounds whose entries answer each other.
fn join(heard: &[Heard], rounds: Vec<Round>) -> Vec<Talk> {
    let mut round_on: HashMap<EntryKey, usize> = HashMap::new();
    let mut groups = Groups((0..rounds.len()).collect());
    for (n, round) in rounds.iter().enumerate() {
        if let Some(root) = round.root {
            // Two addresses may be one entry's.
            groups.join(*round_on.entry(root).or_insert(n), n);
        }
    }
    let mut is_answer = vec![false; rounds.len()];
    for (n, round) in rounds.iter().enumerate() {
        for (turn, entry) in &round.words {
            let is_collection = entry.is_some_and(|entry| heard[entry as usize].pages > MAX_ANSWERED_PAGES);
            if let Some(&answered) = round_on.get(&turn.key).filter(|_| !turn.is_page && !is_collection) {
                is_answer[answered] = true;
                groups.join(n, answered);
            }
        }
    }
    let mut members: BTreeMap<usize, Vec<(bool, Round)>> = BTreeMap::new();
    for (n, round) in rounds.into_iter().enumerate() {
        members.entry(groups.of(n)).or_default().push((is_answer[n], round));
    }
    // Two pages that the same entries link to are one matter.
    let mut by_words: HashMap<Vec<EntryKey>, usize> = HashMap::new();
    let mut talks: Vec<Talk> = Vec::new();
    for talk in members.into_values().filter_map(talk) {
        let mut words: Vec<EntryKey> = talk.turns.iter().map(|turn| turn.key).collect();
        words.sort_unstable();
        let of_words = *by_words.entry(words).or_insert(talks.len());
        match talks.get_mut(of_words) {
            Some(same) if talk.pages[0] < same.pages[0] => {
                let pages = std::mem::replace(same, talk).pages;
                same.pages.extend(pages);
            }
            Some(same) => same.pages.extend(talk.pages),
            None => talks.push(talk),
        }
    }
    talks
}

/// One conversation, of rounds that belong together.
fn talk(mut rounds: Vec<(bool, Round)>) -> Option<Talk> {
    // First what is no answer itself, and what most have words on.
    rounds.sort_by_cached_key(|(is_answer, round)| {
        (*is_answer, std::cmp::Reverse(round.voices()), round.words.first().map(|(turn, _)| turn.key), round.page)
    });
    let main = &rounds.first()?.1;
    let (owner, root) = (main.owner, main.words.iter().map(|(turn, _)| *turn).find(|turn| turn.is_page));
    let owner = match owner {
        Spoken::OUTSIDE => None,
        Spoken::MINE => Some(Owner::Mine),
        voice => Some(Owner::Voice(voice as usize)),
    };
    let mut all: Vec<Turn> = rounds.iter().flat_map(|(_, round)| &round.words).map(|(turn, _)| *turn).collect();
    all.sort_by_key(|turn| (turn.key, !turn.is_page));
    let mut pages: Vec<u64> = rounds.iter().map(|(_, round)| round.page).collect();
    let mut seen = HashSet::new();
    pages.retain(|page| seen.insert(*page));

    let last = all.last()?.key.listed_at;
    let mut spoke = HashSet::new();
    let counted = all.iter().filter(|turn| !turn.is_mine && spoke.insert(turn.voice));
    let began = counted.map(|turn| turn.key.listed_at).nth(LEAST_VOICES - 1)?;
    let mut spoke: HashSet<VoiceIndex> = root.iter().map(|turn| turn.voice).collect();
    let others = all.iter().copied().filter(|turn| spoke.insert(turn.voice));
    let turns = root.into_iter().chain(others).collect();
    Some(Talk { pages, owner, turns, began, last })
}

/// Which rounds are one, as in any forest of sets.
struct Groups(Vec<usize>);

impl Groups {
    fn of(&mut self, mut n: usize) -> usize {
        while self.0[n] != n {
            self.0[n] = self.0[self.0[n]];
            n = self.0[n];
        }
        n
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.of(a), self.of(b));
        self.0[a.max(b)] = a.min(b);
    }
}

/// A conversation as pages show it; `None` where its texts do not say what the hashes did, or are no longer kept.
pub(super) fn read(desk: &Desk<'_>, talk: &Talk) -> Result<Option<Conversation>, StoreError> {
    let mut read: Vec<(&Turn, Entry, String, String)> = Vec::new();
    for turn in talk.turns.iter().take(MAX_TURNS) {
        let Some(text) = Text::read(desk, turn.key)? else { continue };
        let (comparable, written) = if turn.is_page {
            let Some(link) = text.entry.link.clone() else { continue };
            let Some(comparable) = comparable_link(&link) else { continue };
            if Link::of(&comparable).page != turn.page {
                continue;
            }
            (comparable, link)
        } else {
            let Some(address) = text.page(turn.page) else { continue };
            (address.comparable.clone(), address.written.clone())
        };
        read.push((turn, text.entry, comparable, written));
    }
    let addresses = addresses(&read);
    read.retain(|(turn, _, comparable, _)| addresses.get(&turn.page) == Some(comparable));
    if count_voices(read.iter().map(|(turn, ..)| *turn)) < LEAST_VOICES {
        return Ok(None);
    }
    let main = read.iter().find(|(turn, ..)| turn.page == talk.pages[0]);
    let Some((turn, entry, comparable, written)) = main else { return Ok(None) };
    if desk.sites.owner(comparable) != talk.owner {
        return Ok(None);
    }
    let own = if talk.owner == Some(Owner::Mine) { own_post(desk, written)? } else { None };
    let root = own.as_ref().or_else(|| turn.is_page.then_some(entry));
    let title = root.map_or_else(|| without_scheme(written), |entry| saying(entry, String::new()).title);
    let host = match talk.owner {
        Some(Owner::Voice(voice)) => Some(desk.person(voice)),
        _ => None,
    };
    let link = redact_text(written).into_owned();
    let turns: Vec<(Person, Saying)> =
        read.iter().map(|(turn, entry, ..)| (desk.person(turn.voice), saying(entry, String::new()))).collect();
    Ok(Some(Conversation { title, link, host, turns, last: talk.last }))
}

/// The address behind each page: what the page says of itself, else what most who link to it say; hashes may collide.
fn addresses(read: &[(&Turn, Entry, String, String)]) -> HashMap<u64, String> {
    let mut said: BTreeMap<(u64, &str), usize> = BTreeMap::new();
    for (turn, _, comparable, _) in read {
        *said.entry((turn.page, comparable)).or_default() += if turn.is_page { read.len() } else { 1 };
    }
    let mut best: HashMap<u64, (usize, &str)> = HashMap::new();
    for ((page, comparable), count) in said {
        let most = best.entry(page).or_insert((count, comparable));
        if count > most.0 {
            *most = (count, comparable);
        }
    }
    best.into_iter().map(|(page, (_, comparable))| (page, comparable.to_owned())).collect()
}

/// A post of yours that stands at an address.
fn own_post(desk: &Desk<'_>, address: &str) -> Result<Option<Entry>, StoreError> {
    let own = entries_at(desk, address)?.into_iter().find(|key| desk.voices.mine.contains(&key.feed));
    own.map_or(Ok(None), |key| desk.snapshot().entry(key))
}

/// An address as people say it.
fn without_scheme(address: &str) -> String {
    let shown = redact_text(address);
    let rest = shown.split_once("://").map_or(shown.as_ref(), |(_, rest)| rest);
    rest.strip_prefix("www.").unwrap_or(rest).trim_end_matches('/').to_owned()
}

/// What tells conversations apart once they were told: a page that they are about.
pub(super) fn marks(talk: &Talk) -> Vec<Hash64> {
    talk.pages.iter().map(|page| Hash64(*page)).collect()
}
