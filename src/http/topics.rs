//! What a publisher tells its hub of: feeds that somebody has asked for lately, and when they last changed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::header::HeaderMap;

use super::App;
use super::access::Reader;
use super::kept::{Ask, Key};
use super::pages::site;
use super::query::Format;
use crate::listen::page::Query;
use crate::listen::relations::Relation;
use crate::listen::view::{self, Found};
use crate::model::Timestamp;
use crate::publish::address;

/// A feed that nobody has asked for in so long has no subscribers: hubs ask when they are told of a change.
const LATELY: Duration = Duration::from_hours(7 * 24);
/// Most feeds remembered; what was asked for longest ago is forgotten first.
const MAX_TOPICS: usize = 2000;
/// Most feeds with parameters among them, counted by themselves: anybody may think of new ones, and they must not push
/// others out.
const MAX_SEARCHES: usize = 100;

/// A feed of ours that hubs may have subscribers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its own address (`rel="self"`).
    pub url: String,
    /// The revision of the present at which it last changed.
    pub changed: u64,
}

/// The feeds that were asked for, and when.
#[derive(Debug, Default)]
pub(super) struct Asked(Mutex<HashMap<Key, Timestamp>>);

/// What is asked of a feed in its own right, which a hub can distribute: of no page for people, of no older page of a feed,
/// and of nothing that is between the keeper and the voices, which is nobody else's business.
pub(super) fn topic(key: &Key) -> Option<&Query> {
    let is_feed = matches!(key.format, Format::Atom | Format::Rss | Format::Json);
    match &key.ask {
        Ask::Stream(query) if is_feed && query.before.is_none() && Relation::at(&key.path).is_none() => Some(query),
        _ => None,
    }
}

/// Whether a feed has parameters: a standing search, mostly.
fn is_search(key: &Key) -> bool {
    key.ask != Ask::Stream(Query::default())
}

impl Asked {
    /// Notes that a page was asked for.
    pub(super) fn note(&self, key: &Key, now: Timestamp) {
        if topic(key).is_none() {
            return;
        }
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = asked.get_mut(key) {
            *at = now;
            return;
        }
        let most = if is_search(key) { MAX_SEARCHES } else { MAX_TOPICS };
        let same = asked.iter().filter(|(other, _)| is_search(other) == is_search(key));
        if same.clone().count() >= most
            && let Some(oldest) = same.min_by_key(|(_, at)| **at).map(|(key, _)| key.clone())
        {
            asked.remove(&oldest);
        }
        asked.insert(key.clone(), now);
    }

    fn lately(&self, now: Timestamp) -> Vec<Key> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|_, at| now.since(*at) < LATELY);
        asked.keys().cloned().collect()
    }
}

impl App {
    /// The feeds that hubs may have subscribers for: `/listen` and the lists as Atom, and whatever was asked for lately;
    /// those with parameters last.
    pub fn topics(&self, now: Timestamp) -> Vec<Topic> {
        let bound = self.live.bound();
        // Where a hub is named there are no tokens, so everybody reads the same.
        let reader = Reader::of(&self.config.load().server, &HeaderMap::new(), "");
        let site = site(self, &bound, reader);
        let ask = || Ask::Stream(Query::default());
        let always = |path: &str| Key { path: path.to_owned(), format: Format::Atom, ask: ask(), reader };
        let mut keys = self.asked.lately(now);
        keys.extend(bound.roster.lists.iter().map(|list| always(&list.path)).chain([always(view::LISTEN)]));
        let mut topics: Vec<Topic> = keys
            .into_iter()
            .filter_map(|key| {
                let query = topic(&key)?;
                let Some(Found::View(view)) = view::find(&bound, &key.path) else { return None };
                let changed = self.live.changed_since(&view.feeds, bound.revision).unwrap_or(bound.revision);
                Some(Topic { url: address(&site, &view.head.path, key.format.ending(), query), changed })
            })
            .collect();
        topics.sort_by(|a, b| (a.url.contains('?'), &a.url).cmp(&(b.url.contains('?'), &b.url)));
        topics.dedup();
        topics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_push_nobody_out_but_each_other() {
        let (asked, now) = (Asked::default(), Timestamp::from_seconds(1_795_379_832));
        let key = |word: Option<usize>| Key {
            path: "/friends".to_owned(),
            format: Format::Rss,
            ask: Ask::Stream(Query { words: word.map(|n| n.to_string()).into_iter().collect(), ..Query::default() }),
            reader: Reader::Keeper,
        };
        asked.note(&key(None), now);
        for n in 0..3 * MAX_SEARCHES {
            asked.note(&key(Some(n)), now.plus(Duration::from_secs(n as u64)));
        }
        let lately = asked.lately(now.plus(Duration::from_hours(1)));
        assert_eq!(lately.len(), MAX_SEARCHES + 1);
        assert!(lately.contains(&key(None)) && lately.contains(&key(Some(3 * MAX_SEARCHES - 1))));
        assert!(!lately.contains(&key(Some(0))));
    }
}
