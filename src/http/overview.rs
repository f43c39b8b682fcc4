//! What pages for people say about the whole: the circles, how far listening has come, how the feeds fare.

use std::collections::{BTreeMap, HashSet};

use crate::listen::live::{Bound, Live};
use crate::listen::relations::Relation;
use crate::listen::view::{self, View};
use crate::lists::roster::{List, Place, PlaceKind, Subscription};
use crate::model::{Feed, FeedState, Schedule, Timestamp, Trouble};
use crate::publish::html::{Asked, Circle, FeedRow, Folder, Hearing, ListRow, Status};

use super::access::Reader;
use super::query::{BadParameter, no_such, page_number, pairs};

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
    let feeds = view.feeds.len();
    match (feeds, feeds - live.unasked_among(&view.feeds)) {
        (0, _) => Hearing::Nobody,
        (feeds, asked) if asked < feeds => Hearing::FirstRound { asked, feeds },
        _ => Hearing::Everybody,
    }
}

/// Reads what is asked of the status page.
pub(super) fn parse(query: &str) -> Result<Asked, BadParameter> {
    let mut asked = Asked::default();
    for (name, value) in pairs(query) {
        match name.as_str() {
            "state" => {
                let state = FeedState::ALL.into_iter().find(|state| state.as_str() == value);
                let states = FeedState::ALL.map(FeedState::as_str).join(", ");
                let unknown = || BadParameter(format!("state={value}: state is one of {states}"));
                asked.state = Some(state.ok_or_else(unknown)?);
            }
            "list" => asked.list = Some(value),
            "page" => asked.page = page_number(&value)?,
            "token" => {}
            _ => return Err(no_such(&name, "state, list and page")),
        }
    }
    Ok(asked)
}

/// How the feeds fare: one page of them, those in trouble first.
pub(super) fn status(live: &Live, bound: &Bound, asked: Asked) -> Result<Status, BadParameter> {
    let roster = &bound.roster;
    let list = match &asked.list {
        Some(name) => Some(
            roster
                .lists
                .iter()
                .position(|list| list.name == *name)
                .ok_or_else(|| BadParameter(format!("list={name}: there is no such list")))?,
        ),
        None => None,
    };
    let stands_in =
        |feed: &Feed, index: usize| bound.subscriptions_of(feed).any(|(list, _)| list.name == roster.lists[index].name);
    let mut states = BTreeMap::new();
    let mut matching = Vec::new();
    live.for_each_listed(|feed| {
        if list.is_some_and(|list| !stands_in(feed, list)) {
            return;
        }
        let state = feed.schedule.state;
        *states.entry(state).or_default() += 1;
        if asked.state.is_none_or(|wanted| wanted == state) {
            matching.push((urgency(feed), view::title(bound, feed).to_lowercase(), feed.id));
        }
    });
    matching.sort_unstable();
    let pages = matching.len().div_ceil(Status::ROWS).max(1);
    let asked = Asked { page: asked.page.min(pages), ..asked };
    let shown = matching.iter().skip((asked.page - 1) * Status::ROWS).take(Status::ROWS);
    let feeds = shown.filter_map(|(_, _, id)| live.feed(*id)).map(|feed| row(bound, &feed)).collect();
    let lists = roster.lists.iter().map(|list| ListRow {
        name: list.name.clone(),
        title: list.title.clone(),
        path: list.path.clone(),
        fault: list.fault.clone(),
        warnings: list.warnings.iter().map(|warning| (warning.line, warning.reason.clone())).collect(),
    });
    Ok(Status { lists: lists.collect(), states, asked, matching: matching.len(), feeds })
}

fn row(bound: &Bound, feed: &Feed) -> FeedRow {
    let source = view::source(bound, feed);
    let schedule = &feed.schedule;
    let mut lists = Vec::new();
    for (list, _) in bound.subscriptions_of(feed) {
        let list = (list.title.clone(), list.path.clone());
        if !lists.contains(&list) {
            lists.push(list);
        }
    }
    FeedRow {
        title: source.title,
        url: feed.url.to_string(),
        moved_to: feed.moved_to.as_ref().map(ToString::to_string),
        voice_path: Some(source.voice_path).filter(|path| !path.is_empty()),
        lists,
        state: schedule.state,
        is_silent: feed.trouble == Some(Trouble::Silent),
        failing_since: schedule.failing_since,
        last_attempt: schedule.last_attempt,
        last_answer: last_answer(schedule),
        last_success: schedule.last_success,
        next_poll: Some(schedule.next_poll).filter(|at| *at < Timestamp::MAX),
        newest: feed.newest,
        entries: feed.entries,
        recent: feed.recent.clone(),
    }
}

/// Those that need a look first come first.
fn urgency(feed: &Feed) -> u8 {
    match feed.schedule.state {
        FeedState::Quarantined => 0,
        FeedState::Gone => 1,
        FeedState::Backoff => 2,
        FeedState::Held => 3,
        FeedState::New => 4,
        FeedState::Ok if feed.trouble.is_some() => 5,
        FeedState::Ok => 6,
    }
}

/// The last answer in words.
fn last_answer(schedule: &Schedule) -> String {
    match (&schedule.last_error, schedule.last_status) {
        (Some(error), _) => error.clone(),
        (None, Some(304)) => "nothing new (304)".to_owned(),
        (None, Some(status)) => format!("the feed ({status})"),
        (None, None) => "not asked yet".to_owned(),
    }
}

/// Names what this reader could have asked for instead of `path`.
pub(super) fn what_there_is(bound: &Bound, path: &str, reader: Reader) -> String {
    let lists: Vec<&str> = bound.roster.lists.iter().map(|list| list.path.as_str()).take(20).collect();
    let lists = if lists.is_empty() { "no list yet".to_owned() } else { lists.join(", ") };
    let everybodys = format!(
        "There is nothing at {path}. There are /listen, {lists}, the folders and voices below them, and /voices/ with a \
         voice's name"
    );
    if reader == Reader::Guest {
        return format!("{everybodys}; each as .atom, .rss, .json, .html and .opml.");
    }
    let relations = Relation::ALL.map(Relation::path).join(", ");
    format!(
        "{everybodys}, {relations} and /health; each as .atom, .rss, .json, .html and .opml. /voices has all voices on one \
         page, and /status tells how the feeds answer."
    )
}
