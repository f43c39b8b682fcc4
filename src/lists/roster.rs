//! The roster: all lists in one picture. Who is listened to (voices), where they stand (places), and by which feeds
//! (subscriptions).
//!
//! Built anew from the lists whenever one of them changes, by a pure function; equal lists make equal rosters. Knows
//! nothing of what the feeds hold, nor when they are fetched.

use std::ops::Range;

use crate::model::{FeedUrl, Role};

use super::opml::{Opml, Outline, Warning};

mod build;
mod index;
mod voices;

use index::{Grouped, Index};

/// Paths of views and services, which no list may take. A list whose slug is one of these becomes `list-…`.
pub const RESERVED: [&str; 20] = [
    "answered",
    "bridges",
    "conversations",
    "health",
    "listen",
    "livez",
    "mentions",
    "metrics",
    "mutual",
    "neglected",
    "newcomers",
    "quiet",
    "readyz",
    "static",
    "status",
    "style",
    "thanks",
    "voices",
    "webmention",
    "websub",
];

/// Where a list stands in [`Roster::lists`].
pub type ListIndex = usize;
/// Where a voice stands in [`Roster::voices`].
pub type VoiceIndex = usize;
/// Where a place stands in [`Roster::places`].
pub type PlaceIndex = usize;

/// A list on its way into the roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListInput {
    /// Its name.
    pub name: String,
    /// What it is to you.
    pub role: Role,
    /// What it says; with a fault, what it said last.
    pub opml: Opml,
    /// Why its file cannot be read at present.
    pub fault: Option<String>,
}

/// All lists in one picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// The lists, in the order of their names.
    pub lists: Vec<List>,
    /// The voices, in the order in which the lists first name them.
    pub voices: Vec<Voice>,
    /// Lists, folders and voices as views with a path, list by list, in document order; each after the one above it.
    pub places: Vec<Place>,
    /// Every feed once, in the order of addresses.
    feeds: Vec<FeedUrl>,
    /// For each feed, its subscriptions in the order of lists and documents.
    subscriptions_of: Grouped<(ListIndex, usize)>,
    /// For each feed, the voices that it counts to, ascending.
    voices_of: Grouped<VoiceIndex>,
    /// Where feeds, places and voices stand, by address, path and slug.
    by_address: Index,
    by_path: Index,
    by_slug: Index,
}

/// One list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Its name: its file's stem.
    pub name: String,
    /// The path of its view, as `/followers`.
    pub path: String,
    /// Its title for people: what its head says, else its name.
    pub title: String,
    /// What it is to you.
    pub role: Role,
    /// Why its file cannot be read at present; what follows is then its last good content.
    pub fault: Option<String>,
    /// What is wrong in it, in the order of lines.
    pub warnings: Vec<Warning>,
    /// Its outlines, as they are.
    pub outlines: Vec<Outline>,
    /// Its subscriptions in document order: that of any outline and all below it stand together.
    pub subscriptions: Vec<Subscription>,
}

/// A feed outline in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The feed.
    pub feed: FeedUrl,
    /// What the outline calls it, else its address without scheme and credentials.
    pub title: String,
    /// The home page that the outline names; an http(s) address without credentials.
    pub home: Option<String>,
    /// The voices that it counts to; more than one only where people of one list share the feed.
    pub voices: Vec<VoiceIndex>,
    /// The place of the voice that it stands for or stands in. The folders around it are [`Roster::above`] that.
    pub place: PlaceIndex,
    /// The outline's line in the file.
    pub line: usize,
}

/// A person or organisation that is listened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voice {
    /// Its segment below `/voices`. It depends on nothing but the voice, so it survives moves between lists.
    pub slug: String,
    /// The path of its own view, as `/voices/ann`.
    pub path: String,
    /// What its outline calls it.
    pub title: String,
    /// Home pages that its outlines name; http(s) addresses without credentials.
    pub homes: Vec<String>,
    /// Its feeds, each once.
    pub feeds: Vec<FeedUrl>,
    /// Where it stands.
    pub places: Vec<PlaceIndex>,
    /// The lists that it stands in, ascending.
    pub lists: Vec<ListIndex>,
}

/// A view with a path in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its path, as `/followers/oakland-makers/ann`.
    pub path: String,
    /// Its title for people.
    pub title: String,
    /// What it is.
    pub kind: PlaceKind,
    /// The list that it is in, or is.
    pub list: ListIndex,
    /// The folder or list that it stands in; `None` for a list.
    pub parent: Option<PlaceIndex>,
    /// Its subscriptions, as a range of the list's.
    pub subscriptions: Range<usize>,
    /// Whose place it is. `None` for lists and folders, and for a single feed that several people share.
    pub voice: Option<VoiceIndex>,
    /// Its outline, as the way from the list's outlines downward by position; empty for a list.
    pub outline: Vec<u32>,
}

/// What a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceKind {
    /// A whole list.
    List,
    /// A folder.
    Folder,
    /// A person or organisation.
    Voice,
}

impl Roster {
    /// The place at a path, as `/followers/oakland-makers`: with a slash in front, none behind, no ending.
    pub fn place(&self, path: &str) -> Option<&Place> {
        self.places.get(self.place_at(path)?)
    }

    /// Where the place at a path stands in [`Roster::places`].
    pub fn place_at(&self, path: &str) -> Option<PlaceIndex> {
        self.by_path.find(path, |place| &self.places[place].path)
    }

    /// The voice with a slug.
    pub fn voice(&self, slug: &str) -> Option<VoiceIndex> {
        self.by_slug.find(slug, |voice| &self.voices[voice].slug)
    }

    /// What stands above a place, outermost first, as title and path: its list and folders.
    pub fn above(&self, place: &Place) -> Vec<(String, String)> {
        let mut above = Vec::new();
        let mut next = place.parent;
        while let Some(parent) = next.and_then(|parent| self.places.get(parent)) {
            above.push((parent.title.clone(), parent.path.clone()));
            next = parent.parent;
        }
        above.reverse();
        above
    }

    /// The lists and folders that a voice stands in, as title and path, each once, outermost first within each place.
    pub fn circles(&self, voice: &Voice) -> Vec<(String, String)> {
        let mut circles: Vec<(String, String)> = Vec::new();
        for place in voice.places.iter().filter_map(|&place| self.places.get(place)) {
            for circle in self.above(place) {
                if !circles.contains(&circle) {
                    circles.push(circle);
                }
            }
        }
        circles
    }

    /// The outlines of a place for re-export: all of a list, else the one outline. Attributes may hold credentials.
    pub fn outlines_of(&self, place: &Place) -> &[Outline] {
        let mut level = self.lists.get(place.list).map_or(&[][..], |list| &list.outlines);
        for (depth, &position) in place.outline.iter().enumerate() {
            let Some(outline) = level.get(position as usize) else { return &[] };
            if depth + 1 == place.outline.len() {
                return std::slice::from_ref(outline);
            }
            level = &outline.children;
        }
        level
    }

    /// The subscriptions of a place, in document order.
    pub fn subscriptions(&self, place: &Place) -> &[Subscription] {
        let all = self.lists.get(place.list).map_or(&[][..], |list| &list.subscriptions);
        all.get(place.subscriptions.clone()).unwrap_or_default()
    }

    /// Every feed of every list, each once, in the order of addresses.
    pub fn feeds(&self) -> impl ExactSizeIterator<Item = &FeedUrl> {
        self.feeds.iter()
    }

    /// The same feeds, each with the voices that it counts to, ascending.
    pub fn feeds_with_voices(&self) -> impl Iterator<Item = (&FeedUrl, &[VoiceIndex])> {
        self.feeds.iter().zip(self.voices_of.iter())
    }

    /// The voices that a feed counts to, ascending; none for a feed in no list.
    pub fn voices_of(&self, feed: &FeedUrl) -> &[VoiceIndex] {
        self.number(feed).map_or(&[], |number| self.voices_of.get(number))
    }

    /// The subscriptions of a feed with the lists they are in, in the order of lists and documents.
    pub fn subscriptions_of(&self, feed: &FeedUrl) -> impl Iterator<Item = (&List, &Subscription)> {
        let found = self.number(feed).map_or(&[][..], |number| self.subscriptions_of.get(number));
        self.subscriptions_at(found)
    }

    fn subscriptions_at(&self, found: &[(ListIndex, usize)]) -> impl Iterator<Item = (&List, &Subscription)> {
        found.iter().filter_map(|&(list, subscription)| {
            let list = self.lists.get(list)?;
            Some((list, list.subscriptions.get(subscription)?))
        })
    }

    /// Whether a voice stands in a list of a role.
    pub fn has_role(&self, voice: &Voice, role: Role) -> bool {
        voice.lists.iter().filter_map(|&list| self.lists.get(list)).any(|list| list.role == role)
    }

    fn number(&self, feed: &FeedUrl) -> Option<usize> {
        self.by_address.find(feed.as_str(), |number| self.feeds[number].as_str())
    }
}
