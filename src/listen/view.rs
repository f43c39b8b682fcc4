//! Which feeds stand behind a path, and what the view is called.

use std::sync::Arc;

use super::live::{Bound, FeedSet, Live};
use super::page::{Source, ViewHead};
use crate::lists::opml::Outline;
use crate::lists::roster::{PlaceIndex, PlaceKind};
use crate::model::{Feed, FeedId};

/// A stream of entries with a path.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name and place.
    pub head: ViewHead,
    /// The feeds that it merges.
    pub feeds: FeedSet,
}

/// What a path leads to.
#[derive(Clone, Debug)]
pub enum Found {
    /// A view.
    View(View),
    /// A voice that stood here before; its own address.
    Moved(String),
}

/// The path of the view of everyone.
pub const LISTEN: &str = "/listen";
/// The path of the view of what happens to the feeds themselves: [`super::health`] makes its pages.
pub const HEALTH: &str = "/health";

/// Finds the view at a path: `/listen`, `/health`, a list, a folder, a voice in a list, or a voice's own address.
pub fn find(bound: &Bound, path: &str) -> Option<Found> {
    let roster = &bound.roster;
    if path == LISTEN {
        return Some(Found::View(everyone(bound)));
    }
    if path == HEALTH {
        return Some(Found::View(health(bound)));
    }
    if let Some(voice) = path.strip_prefix("/voices/").and_then(|slug| roster.voice(slug)) {
        let voice = &roster.voices[voice];
        let about = format!("Everything that {} says.", voice.title);
        let head = ViewHead { path: voice.path.clone(), title: voice.title.clone(), about, above: Vec::new() };
        return Some(Found::View(View { head, feeds: bound.numbers(voice.feeds.iter()) }));
    }
    if let Some(place) = roster.place_at(path) {
        return Some(Found::View(at_place(bound, place)));
    }
    let feed = bound.old_paths.get(path)?;
    let voice = roster.voices_of(feed).first()?;
    Some(Found::Moved(roster.voices[*voice].path.clone()))
}

fn everyone(bound: &Bound) -> View {
    let head = ViewHead {
        path: LISTEN.to_owned(),
        title: "Everyone".to_owned(),
        about: "Everyone you listen to, newest first.".to_owned(),
        above: Vec::new(),
    };
    View { head, feeds: bound.everyone().clone() }
}

fn health(bound: &Bound) -> View {
    let head = ViewHead {
        path: HEALTH.to_owned(),
        title: "Health of the feeds".to_owned(),
        about: "Who broke, moved, fell silent or came back: each told once, with what you can do.".to_owned(),
        above: Vec::new(),
    };
    View { head, feeds: bound.listed().clone() }
}

fn at_place(bound: &Bound, index: PlaceIndex) -> View {
    let place = &bound.roster.places[index];
    let about = match place.kind {
        PlaceKind::List => format!("Everything that the people in {} say.", place.title),
        PlaceKind::Folder => format!("Everything that is said in {}.", place.title),
        PlaceKind::Voice => format!("Everything that {} says.", place.title),
    };
    let head =
        ViewHead { path: place.path.clone(), title: place.title.clone(), about, above: bound.roster.above(place) };
    View { head, feeds: bound.feeds_at(index) }
}

/// The outlines behind a view: what its `.opml` holds.
pub fn outlines(bound: &Bound, path: &str) -> Vec<Outline> {
    let roster = &bound.roster;
    if path == LISTEN {
        let lists = roster.lists.iter().filter(|list| list.role.is_listened_to());
        return lists
            .map(|list| Outline {
                attributes: [("text", &list.title)].into_iter().collect(),
                children: list.outlines.clone(),
                line: 1,
            })
            .collect();
    }
    let own = path.strip_prefix("/voices/").and_then(|slug| roster.voice(slug));
    let place = match own {
        Some(voice) => roster.voices[voice].places.first().and_then(|place| roster.places.get(*place)),
        None => roster.place(path),
    };
    place.map(|place| roster.outlines_of(place).to_vec()).unwrap_or_default()
}

/// What a feed is called: by itself, else by its outline, else by its host.
pub fn title<'a>(bound: &'a Bound, feed: &'a Feed) -> &'a str {
    let own = feed.about.title.as_deref().filter(|title| !title.is_empty());
    let named = || {
        let subscription = bound.subscriptions_of(feed).next().map(|(_, subscription)| subscription);
        subscription.map(|subscription| subscription.title.as_str()).filter(|title| !title.is_empty())
    };
    own.or_else(named).unwrap_or_else(|| feed.url.host())
}

/// Who says what a feed carries.
pub fn source(bound: &Bound, feed: &Feed) -> Source {
    let url = feed.address().to_string();
    let voice = bound.voices.get(&feed.id).map(|voice| &bound.roster.voices[*voice]);
    let subscription = bound.subscriptions_of(feed).next().map(|(_, subscription)| subscription);
    Source {
        id: feed.about.id.clone().unwrap_or_else(|| url.clone()),
        title: title(bound, feed).to_owned(),
        home: feed.about.home.clone().or_else(|| subscription.and_then(|subscription| subscription.home.clone())),
        url,
        former_urls: feed.addresses().filter(|url| *url != feed.address()).map(ToString::to_string).collect(),
        voice: voice.map(|voice| voice.title.clone()).unwrap_or_default(),
        voice_path: voice.map(|voice| voice.path.clone()).unwrap_or_default(),
        circles: voice.map(|voice| bound.roster.circles(voice)).unwrap_or_default(),
    }
}

/// The same, for a feed's number; nothing for a feed that is gone.
pub fn source_of(live: &Live, bound: &Bound, feed: FeedId) -> Option<Arc<Source>> {
    live.feed(feed).map(|feed| Arc::new(source(bound, &feed)))
}
