//! Who is the same voice: outlines that share a feed are one, across all lists.
//!
//! Knows outlines only as what [`super::build`] made of them.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::lists::slug::tell_apart;
use crate::model::FeedUrl;

use super::build::Unit;
use super::index::{Grouped, Index};
use super::{ListIndex, PlaceIndex, Roster, Voice, VoiceIndex};

/// Joins units into voices and completes the roster.
pub(super) fn gather(mut roster: Roster, units: &[Unit]) -> Roster {
    let number_of = number_feeds(&mut roster);
    let mut unit_of_place: Vec<Option<usize>> = vec![None; roster.places.len()];
    for (index, unit) in units.iter().enumerate() {
        unit_of_place[unit.place] = Some(index);
    }
    // The units that hold each feed, in order, each once.
    let mut holders: Grouped<usize> = Grouped::with_capacity(roster.feeds.len(), units.len());
    for subscriptions in roster.subscriptions_of.iter() {
        let places = subscriptions.iter().map(|&(list, at)| roster.lists[list].subscriptions[at].place);
        holders.add(places.filter_map(|place| unit_of_place[place]));
    }
    // The numbers of each unit's feeds in document order, each once.
    let mut feeds_of: Grouped<usize> = Grouped::with_capacity(units.len(), units.len());
    for unit in units {
        let numbers = &number_of[unit.list][roster.places[unit.place].subscriptions.clone()];
        feeds_of.add(each_once(numbers.iter().copied()));
    }

    let mut groups = Groups::new(units.len());
    let mut is_shared = vec![false; holders.len()];
    for (feed, holders) in holders.iter().enumerate() {
        let mut persons: BTreeMap<String, usize> = BTreeMap::new();
        is_shared[feed] = is_shared_by_persons(&roster, units, holders);
        for &holder in holders {
            if is_shared[feed] {
                // It counts to each of these people and tells nothing about who they are, unless by name.
                if units[holder].is_person {
                    let first = *persons.entry(folded(&roster, &units[holder])).or_insert(holder);
                    groups.join(first, holder);
                }
            } else {
                groups.join(holders[0], holder);
            }
        }
    }

    // A single outline of a feed that several people share stands for all of them and is no voice of its own.
    let is_guest = |unit: usize| !units[unit].is_person && feeds_of.get(unit).iter().all(|&feed| is_shared[feed]);
    let mut members: Vec<Vec<usize>> = Vec::new();
    let mut voice_of_group: Vec<Option<VoiceIndex>> = vec![None; units.len()];
    let mut unit_voice: Vec<Option<VoiceIndex>> = vec![None; units.len()];
    for unit in (0..units.len()).filter(|&unit| !is_guest(unit)) {
        let voice = *voice_of_group[groups.of(unit)].get_or_insert_with(|| {
            members.push(Vec::new());
            members.len() - 1
        });
        members[voice].push(unit);
        unit_voice[unit] = Some(voice);
    }

    let mut voices_of: Grouped<VoiceIndex> = Grouped::with_capacity(holders.len(), members.len());
    let mut these: Vec<VoiceIndex> = Vec::new();
    for holders in holders.iter() {
        these.clear();
        these.extend(holders.iter().filter_map(|&unit| unit_voice[unit]));
        these.sort_unstable();
        voices_of.add(these.iter().copied());
    }

    let mut slugs = Vec::with_capacity(members.len());
    for members in &members {
        let (voice, slug) = describe(&roster, units, members, &feeds_of);
        roster.voices.push(voice);
        slugs.push(slug);
    }
    for unit in (0..units.len()).filter(|&unit| is_guest(unit)) {
        for &voice in feeds_of.get(unit).iter().flat_map(|&feed| voices_of.get(feed)) {
            stand(&mut roster.voices[voice], units[unit].place, units[unit].list);
        }
    }
    address(&mut roster.voices, &slugs);
    for (unit, voice) in units.iter().zip(&unit_voice) {
        roster.places[unit.place].voice = *voice;
    }
    for (feed, subscriptions) in roster.subscriptions_of.iter().enumerate() {
        for &(list, at) in subscriptions {
            let subscription = &mut roster.lists[list].subscriptions[at];
            let own = unit_of_place[subscription.place].and_then(|unit| unit_voice[unit]);
            subscription.voices = own.map_or_else(|| voices_of.get(feed).to_vec(), |voice| vec![voice]);
        }
    }
    roster.voices_of = voices_of;
    index(&mut roster);
    roster
}

/// Gives each feed a number: its place among the addresses. Answers the number of each subscription of each list.
fn number_feeds(roster: &mut Roster) -> Vec<Vec<usize>> {
    let mut all: Vec<(u128, &FeedUrl, (ListIndex, usize))> = Vec::new();
    for (number, list) in roster.lists.iter().enumerate() {
        let found = list.subscriptions.iter().enumerate();
        all.extend(found.map(|(at, found)| (beginning(&found.feed), &found.feed, (number, at))));
    }
    all.sort_unstable();
    let mut number_of: Vec<Vec<usize>> = roster.lists.iter().map(|list| vec![0; list.subscriptions.len()]).collect();
    let mut feeds: Vec<FeedUrl> = Vec::with_capacity(all.len());
    let mut subscriptions_of: Grouped<(ListIndex, usize)> = Grouped::with_capacity(all.len(), all.len());
    for (_, feed, subscription) in all {
        if feeds.last() != Some(feed) {
            feeds.push(feed.clone());
            subscriptions_of.begin();
        }
        number_of[subscription.0][subscription.1] = feeds.len() - 1;
        subscriptions_of.push(subscription);
    }
    feeds.shrink_to_fit();
    (roster.feeds, roster.subscriptions_of) = (feeds, subscriptions_of);
    number_of
}

/// What addresses mostly differ in, as a number in whose order they stand: the 16 bytes behind `http`. Comparing those
/// first, without a look at the text, sorts 100,000 addresses in a third of the time.
fn beginning(feed: &FeedUrl) -> u128 {
    let mut bytes = [0; 16];
    let text = feed.as_str().as_bytes().get("http".len()..).unwrap_or_default();
    let length = text.len().min(bytes.len());
    bytes[..length].copy_from_slice(&text[..length]);
    u128::from_be_bytes(bytes)
}

/// The same values in the same order, each once.
fn each_once<T: Clone + Eq + std::hash::Hash>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut once: Vec<T> = values.collect();
    if once.len() > 1 {
        let mut seen = HashSet::new();
        once.retain(|value| seen.insert(value.clone()));
    }
    once
}

/// Whether different people of one list hold a feed.
fn is_shared_by_persons(roster: &Roster, units: &[Unit], holders: &[usize]) -> bool {
    let persons: Vec<&Unit> = holders.iter().map(|&unit| &units[unit]).filter(|unit| unit.is_person).collect();
    if persons.len() < 2 {
        return false;
    }
    let mut name_in_list: HashMap<ListIndex, String> = HashMap::new();
    persons.into_iter().any(|unit| {
        let name = folded(roster, unit);
        *name_in_list.entry(unit.list).or_insert_with(|| name.clone()) != name
    })
}

/// A unit's title in the spelling in which two titles of one person are equal.
fn folded(roster: &Roster, unit: &Unit) -> String {
    roster.places[unit.place].title.to_lowercase()
}

/// A voice without its address, and the slug of its name.
fn describe(roster: &Roster, units: &[Unit], members: &[usize], feeds_of: &Grouped<usize>) -> (Voice, String) {
    // The outline that names the voice: a person's folder knows best; beyond that the choice must not depend on which
    // list holds what, or the voice's address would change with a move.
    let main = members.iter().copied().min_by(|&a, &b| {
        let rank = |unit: usize| {
            let title = &roster.places[units[unit].place].title;
            (!units[unit].is_person, title, feeds_of.get(unit).first().copied())
        };
        rank(a).cmp(&rank(b))
    });
    let main = main.expect("a voice has at least one outline");
    let main_first = || std::iter::once(main).chain(members.iter().copied().filter(|&unit| unit != main));
    let feeds = each_once(main_first().flat_map(|unit| feeds_of.get(unit).iter().copied()));
    let homes = each_once(main_first().flat_map(|unit| {
        let subscriptions = roster.subscriptions(&roster.places[units[unit].place]).iter();
        units[unit].home.iter().chain(subscriptions.filter_map(|subscription| subscription.home.as_ref()))
    }));
    let mut voice = Voice {
        slug: String::new(),
        path: String::new(),
        title: roster.places[units[main].place].title.clone(),
        homes: homes.into_iter().cloned().collect(),
        feeds: feeds.into_iter().map(|feed| roster.feeds[feed].clone()).collect(),
        places: Vec::new(),
        lists: Vec::new(),
    };
    for &unit in members {
        stand(&mut voice, units[unit].place, units[unit].list);
    }
    (voice, units[main].slug.clone())
}

fn stand(voice: &mut Voice, place: PlaceIndex, list: ListIndex) {
    if let Err(at) = voice.places.binary_search(&place) {
        voice.places.insert(at, place);
    }
    if let Err(at) = voice.lists.binary_search(&list) {
        voice.lists.insert(at, list);
    }
}

fn address(voices: &mut [Voice], slugs: &[String]) {
    let segments = tell_apart(slugs, |index, round| {
        let mut feeds: Vec<String> = voices[index].feeds.iter().map(ToString::to_string).collect();
        if round == 0 {
            feeds.truncate(1);
        }
        feeds.join("\n")
    });
    for (voice, segment) in voices.iter_mut().zip(segments) {
        voice.path = format!("/voices/{segment}");
        voice.slug = segment.into_owned();
    }
}

fn index(roster: &mut Roster) {
    roster.by_address = Index::of(roster.feeds.iter().map(FeedUrl::as_str));
    roster.by_path = Index::of(roster.places.iter().map(|place| place.path.as_str()));
    roster.by_slug = Index::of(roster.voices.iter().map(|voice| voice.slug.as_str()));
}

/// Disjoint sets.
struct Groups(Vec<usize>);

impl Groups {
    fn new(len: usize) -> Self {
        Self((0..len).collect())
    }

    /// The group that a member is in: its smallest member.
    fn of(&mut self, mut member: usize) -> usize {
        while self.0[member] != member {
            self.0[member] = self.0[self.0[member]];
            member = self.0[member];
        }
        member
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.of(a), self.of(b));
        self.0[a.max(b)] = a.min(b);
    }
}
