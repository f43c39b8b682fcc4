//! What pages for people say about the whole: the circles, how far listening has come, how the feeds fare.

use std::collections::HashSet;

use crate::listen::live::{Bound, Live};
use crate::listen::view::{self, View};
use crate::lists::roster::{List, Place, PlaceKind, Subscription};
use crate::model::{FeedState, Schedule, Timestamp};
use crate::publish::html::{Circle, FeedRow, Folder, Hearing, Status};

/// The lists with the folders directly in them.
pub(super) fn circles(bound: &Bound) -> Vec<Circle> {
    let roster = &bound.roster;
    let voices_in = |subscriptions: &[Subscription]| {
        subscriptions.iter().flat_map(|subscription| &subscription.voices).collect::<HashSet<_>>().len()
    };
    let folder = |place: &Place| Folder {
        title: place.title.clone(),
        path: place.path.clone(),
        voices: voices_in(roster.subscriptions(place)),
    };
    let circle = |(index, list): (usize, &List)| {
        let is_direct = |place: &&Place| {
            let parent = place.parent.and_then(|parent| roster.places.get(parent));
            place.kind == PlaceKind::Folder
                && place.list == index
                && parent.is_some_and(|parent| parent.kind == PlaceKind::List)
        };
        let feeds: HashSet<_> = list.subscriptions.iter().map(|subscription| &subscription.feed).collect();
        Circle {
            title: list.title.clone(),
            path: list.path.clone(),
            role: list.role,
            voices: voices_in(&list.subscriptions),
            feeds: feeds.len(),
            folders: roster.places.iter().filter(is_direct).map(folder).collect(),
        }
    };
    roster.lists.iter().enumerate().map(circle).collect()
}

/// How far listening to the feeds of a view has come.
pub(super) fn hearing(live: &Live, view: &View) -> Hearing {
    let asked =
        view.feeds.iter().filter(|id| live.feed(**id).is_some_and(|feed| feed.schedule.state != FeedState::New));
    match (view.feeds.len(), asked.count()) {
        (0, _) => Hearing::Nobody,
        (feeds, asked) if asked < feeds => Hearing::FirstRound { asked, feeds },
        _ => Hearing::Everybody,
    }
}

/// How the feeds fare.
pub(super) fn status(live: &Live) -> Status {
    let bound = live.bound();
    let mut feeds = Vec::new();
    live.for_each_listed(|feed| {
        let source = view::source(&bound, feed);
        feeds.push(FeedRow {
            title: source.title,
            url: feed.url.to_string(),
            voice_path: Some(source.voice_path).filter(|path| !path.is_empty()),
            state: feed.schedule.state,
            last_answer: last_answer(&feed.schedule),
            last_success: feed.schedule.last_success,
            next_poll: Some(feed.schedule.next_poll).filter(|at| *at < Timestamp::MAX),
            entries: feed.entries,
        });
    });
    let lists = bound.roster.lists.iter();
    let faults = lists.filter_map(|list| list.fault.as_ref().map(|fault| format!("The list {}: {fault}", list.name)));
    Status { faults: faults.collect(), feeds }
}

fn last_answer(schedule: &Schedule) -> String {
    match (&schedule.last_error, schedule.last_status) {
        (Some(error), _) => error.clone(),
        (None, Some(status)) => status.to_string(),
        (None, None) => "not asked yet".to_owned(),
    }
}

/// Names what could have been asked for instead of `path`.
pub(super) fn what_there_is(bound: &Bound, path: &str) -> String {
    let lists: Vec<&str> = bound.roster.lists.iter().map(|list| list.path.as_str()).take(20).collect();
    let lists = if lists.is_empty() { "no list yet".to_owned() } else { lists.join(", ") };
    format!(
        "There is nothing at {path}. There are /listen, {lists}, the folders and voices below them, and /voices/ with a \
         voice's name; each as .atom, .rss, .json, .html and .opml."
    )
}
