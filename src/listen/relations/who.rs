//! Who is who: whose words an entry holds, and how pages name people and what they said.

use std::collections::HashSet;
use std::sync::Arc;

use crate::feeds::clean;
use crate::listen::live::{Bound, Live};
use crate::listen::page::Source;
use crate::listen::people::{Person, Saying};
use crate::listen::sites::{Owner, Sites};
use crate::listen::view;
use crate::lists::opml::Outline;
use crate::lists::roster::VoiceIndex;
use crate::model::{Entry, EntryKey, FeedId, FeedUrl, Link, Mention, Role, Timestamp, Way, Webmention};
use crate::store::{Head, Snapshot, StoreError};

use super::Scene;

/// A title that is made of the beginning of a text has at most so many characters.
const TITLE_CHARS: usize = 80;
/// The beginning of what was said, in characters.
const EXCERPT_CHARS: usize = 200;

/// What relations ask of the voices of a roster, looked up once for each roster.
#[derive(Debug, Default)]
pub(super) struct Voices {
    /// The value of [`Bound::revision`] that these are of.
    pub(super) revision: u64,
    all: Vec<Standing>,
    /// Your own feeds, each once.
    pub(super) mine: Vec<FeedId>,
}

#[derive(Debug)]
struct Standing {
    feeds: Box<[FeedId]>,
    is_heard: bool,
}

impl Voices {
    pub(super) fn of(bound: &Bound) -> Self {
        let roster = &bound.roster;
        let standing = |voice: &crate::lists::roster::Voice| {
            let roles = voice.lists.iter().filter_map(|&list| roster.lists.get(list)).map(|list| list.role);
            let (mut is_listened_to, mut is_mine) = (false, false);
            for role in roles {
                is_listened_to |= role.is_listened_to();
                is_mine |= role == Role::Mine;
            }
            Standing { feeds: numbers(bound, &voice.feeds).into(), is_heard: is_listened_to && !is_mine }
        };
        let own = roster.voices.iter().filter(|voice| roster.has_role(voice, Role::Mine));
        let mine = numbers(bound, own.flat_map(|voice| &voice.feeds));
        Self { revision: bound.revision, all: roster.voices.iter().map(standing).collect(), mine }
    }

    /// How many voices there are, those that are not listened to included.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// The feeds of a voice, each once.
    pub(super) fn feeds(&self, voice: VoiceIndex) -> &[FeedId] {
        self.all.get(voice).map_or(&[], |standing| &standing.feeds)
    }

    /// Whether a voice is listened to, and is not yourself.
    pub(super) fn is_heard(&self, voice: VoiceIndex) -> bool {
        self.all.get(voice).is_some_and(|standing| standing.is_heard)
    }

    /// The voices that are listened to.
    pub(super) fn heard(&self) -> impl Iterator<Item = VoiceIndex> {
        self.all.iter().enumerate().filter(|(_, standing)| standing.is_heard).map(|(voice, _)| voice)
    }
}

fn numbers<'a>(bound: &Bound, feeds: impl IntoIterator<Item = &'a FeedUrl>) -> Vec<FeedId> {
    let mut seen = HashSet::new();
    feeds.into_iter().filter_map(|url| bound.ids.get(url).copied()).filter(|id| seen.insert(*id)).collect()
}

/// Whose words something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// A voice that is listened to.
    Voice(VoiceIndex),
    /// Somebody who stands in no list, by the hash of a page about them where that is known.
    Outside(Option<u64>),
}

/// What is at hand when an answer is made.
#[derive(Clone)]
pub(super) struct Desk<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) sites: Arc<Sites>,
    pub(super) voices: Arc<Voices>,
}

impl Desk<'_> {
    pub(super) fn snapshot(&self) -> &Snapshot {
        self.scene.snapshot
    }

    pub(super) fn bound(&self) -> &Bound {
        self.scene.bound
    }

    pub(super) fn live(&self) -> &Live {
        self.scene.live
    }

    /// The head of an entry; `None` where it is no longer kept.
    pub(super) fn head(&self, key: EntryKey) -> Result<Option<Head>, StoreError> {
        let behind = EntryKey { seq: key.seq.saturating_add(1), ..key };
        Ok(self.snapshot().heads(key.feed, Some(behind), 1)?.pop().filter(|head| head.key == key))
    }

    /// The voice that a feed is shown as, where it is listened to.
    pub(super) fn voice_of(&self, feed: FeedId) -> Option<VoiceIndex> {
        self.bound().voices.get(&feed).copied().filter(|voice| self.voices.is_heard(*voice))
    }

    /// Who wrote what speaks of you; `None` where that is yourself, or came by a feed that stands in no list.
    ///
    /// What came by an inbox feed or as a Webmention is its author's, who is a voice where the author's page lies under a
    /// site of a voice, and else somebody from outside.
    pub(super) fn who(&self, key: EntryKey, mention: &Mention) -> Option<Who> {
        match mention.way {
            Way::Link | Way::Name => self.voice_of(key.feed).map(Who::Voice),
            Way::Inbox if !self.bound().voices.contains_key(&key.feed) => None,
            Way::Inbox | Way::Web => self.author(mention.by.as_ref()),
        }
    }

    /// Whom a page is about; `None` for yourself.
    pub(super) fn author(&self, by: Option<&Link>) -> Option<Who> {
        match by.and_then(|by| self.sites.owner_of(by)) {
            Some(Owner::Mine) => None,
            Some(Owner::Voice(voice)) if self.voices.is_heard(voice) => Some(Who::Voice(voice)),
            _ => Some(Who::Outside(by.map(|by| by.page))),
        }
    }

    /// A voice as pages name it.
    pub(super) fn person(&self, voice: VoiceIndex) -> Person {
        let bound = self.bound();
        let Some(known) = bound.roster.voices.get(voice) else { return Person::default() };
        let mut roles: Vec<Role> = Vec::new();
        for list in known.lists.iter().filter_map(|&list| bound.roster.lists.get(list)) {
            if !roles.contains(&list.role) {
                roles.push(list.role);
            }
        }
        let own_home = || {
            let mut feeds = self.voices.feeds(voice).iter().filter_map(|feed| self.live().feed(*feed));
            feeds.find_map(|feed| feed.about.home.clone())
        };
        Person {
            name: known.title.clone(),
            path: Some(known.path.clone()),
            circles: bound.roster.circles(known),
            roles,
            home: known.homes.first().cloned().or_else(own_home),
        }
    }

    /// Whoever wrote an entry, by what the entry says of its author; else by the feed that it came by.
    pub(super) fn outsider(&self, entry: &Entry) -> Person {
        let author = entry.authors.first();
        let home = author.and_then(|author| author.uri.clone());
        let named = author.map(|author| author.name.clone()).filter(|name| !name.is_empty());
        let name = named.or_else(|| host(home.as_deref()?)).or_else(|| match entry.key.feed {
            Webmention::FEED => host(entry.link.as_deref()?),
            feed => self.live().feed(feed).map(|feed| view::title(self.bound(), &feed).to_owned()),
        });
        Person { name: name.unwrap_or_default(), home, ..Person::default() }
    }

    /// The same, of anybody.
    pub(super) fn name(&self, who: Who, entry: &Entry) -> Person {
        match who {
            Who::Voice(voice) => self.person(voice),
            Who::Outside(_) => self.outsider(entry),
        }
    }

    /// Who says what speaks of you, as an entry on a page has it. Where that is not whose feed it came by, the feed's
    /// own titles stay.
    pub(super) fn source(&self, who: Who, entry: &Entry) -> Option<Source> {
        let mut source = if entry.key.feed == Webmention::FEED {
            let link = entry.link.clone().unwrap_or_default();
            let title = host(&link).unwrap_or_default();
            Source { id: link.clone(), title, url: link, ..Source::default() }
        } else {
            view::source(self.bound(), &*self.live().feed(entry.key.feed)?)
        };
        match who {
            Who::Voice(voice) => {
                let known = self.bound().roster.voices.get(voice)?;
                source.voice.clone_from(&known.title);
                source.voice_path.clone_from(&known.path);
                source.circles = self.bound().roster.circles(known);
            }
            // An inbox feed is a place of its own, where what came by it can be looked up.
            Who::Outside(_) if entry.key.feed != Webmention::FEED => {}
            Who::Outside(_) => source.voice = self.outsider(entry).name,
        }
        Some(source)
    }

    /// An entry; a Webmention is made up as one.
    pub(super) fn entry(&self, key: EntryKey) -> Result<Option<Entry>, StoreError> {
        if key.feed == Webmention::FEED {
            return Ok(self.snapshot().webmention(key)?.map(|webmention| entry_of(&webmention)));
        }
        self.snapshot().entry(key)
    }

    /// The newest entry of a voice, and where it stands.
    pub(super) fn newest(&self, voice: VoiceIndex) -> Option<Timestamp> {
        self.live().newest(self.voices.feeds(voice)).into_iter().map(|(_, at)| at).max()
    }

    /// The outlines of voices, each with all of its feeds, as its lists have them.
    pub(super) fn outlines(&self, voices: impl IntoIterator<Item = VoiceIndex>) -> Vec<Outline> {
        let roster = &self.bound().roster;
        let mut outlines = Vec::new();
        for voice in voices.into_iter().filter_map(|voice| roster.voices.get(voice)) {
            let mut named: HashSet<&FeedUrl> = HashSet::new();
            // The same feeds in another list are the same person.
            for place in voice.places.iter().filter_map(|&place| roster.places.get(place)) {
                let feeds: Vec<&FeedUrl> = roster.subscriptions(place).iter().map(|known| &known.feed).collect();
                if feeds.iter().any(|feed| !named.contains(*feed)) {
                    outlines.extend_from_slice(roster.outlines_of(place));
                    named.extend(feeds);
                }
            }
        }
        outlines
    }
}

/// What was said, as pages show it.
pub(super) fn saying(entry: &Entry, reason: String) -> Saying {
    let text = entry.content.as_ref().or(entry.summary.as_ref());
    let begins = |chars| text.map(|html| clean::summary(html, chars)).filter(|text| !text.is_empty());
    let title = Some(entry.title.clone()).filter(|title| !title.is_empty()).or_else(|| begins(TITLE_CHARS));
    let title = title.or_else(|| entry.link.clone()).unwrap_or_else(|| "Without a title".to_owned());
    let excerpt = begins(EXCERPT_CHARS).filter(|text| *text != title).unwrap_or_default();
    Saying { key: entry.key, title, link: entry.link.clone(), at: entry.key.listed_at, excerpt, reason }
}

/// A Webmention in the form of an entry: what its source says of itself.
pub(super) fn entry_of(webmention: &Webmention) -> Entry {
    let author = &webmention.author;
    let is_named = !author.name.is_empty() || author.uri.is_some();
    Entry {
        key: webmention.key,
        first_seen: webmention.key.listed_at,
        // An id of this daemon's own is made from the key.
        guid: String::new(),
        link: Some(webmention.source.clone()),
        title: webmention.title.clone(),
        authors: if is_named { vec![author.clone()] } else { Vec::new() },
        published: webmention.published,
        updated: None,
        summary: None,
        content: (!webmention.excerpt.is_empty()).then(|| webmention.excerpt.clone()),
        categories: Vec::new(),
        enclosures: Vec::new(),
        comments: None,
        language: None,
        origin: None,
    }
}

/// The host of an address without `www.`.
fn host(address: &str) -> Option<String> {
    let comparable = crate::model::comparable_link(address)?;
    comparable.split(['/', '?']).next().map(str::to_owned)
}
