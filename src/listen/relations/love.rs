//! Your own posts: whom they link to, and how many of them point at others at all.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{Datelike, Months, NaiveDate};

use crate::listen::people::LinkLove;
use crate::listen::said::{self, Furniture};
use crate::listen::sites::Owner;
use crate::lists::roster::VoiceIndex;
use crate::model::{EntryKey, FeedId, Hash64, Link, Timestamp};
use crate::store::{Snapshot, StoreError};

use super::who::Desk;

/// Link love is counted over so long.
const COUNTED: Duration = Duration::from_hours(90 * 24);
/// So many calendar months are told apart, this one included.
const MONTHS: u32 = 12;
/// Heads of posts read at once.
const POSTS_AT_ONCE: usize = 512;

/// A post of yours, as it is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Post {
    pub(super) at: Timestamp,
    /// Whether it links to anything that is not yours.
    pub(super) points: bool,
}

/// A post of yours, as it is read.
pub(super) struct OwnPost {
    pub(super) key: EntryKey,
    pub(super) points: bool,
    /// How many links lead to sites of which voices.
    pub(super) links: Vec<(VoiceIndex, usize)>,
}

/// All your posts that are kept, each article once, newest first.
pub(super) fn own_posts(desk: &Desk<'_>) -> Result<Vec<OwnPost>, StoreError> {
    let mut posts: BTreeMap<EntryKey, OwnPost> = BTreeMap::new();
    let mut articles: HashMap<Hash64, EntryKey> = HashMap::new();
    for &feed in &desk.voices.mine {
        // The same article in another feed of yours is the same post; its links may be told by one of them alone.
        let mut own: HashMap<EntryKey, EntryKey> = HashMap::new();
        let mut before = None;
        loop {
            let heads = desk.snapshot().heads(feed, before, POSTS_AT_ONCE)?;
            before = heads.last().map(|head| head.key);
            for head in &heads {
                let post = head.link.map_or(head.key, |article| *articles.entry(article).or_insert(head.key));
                posts.entry(post).or_insert_with(|| OwnPost { key: post, points: false, links: Vec::new() });
                own.insert(head.key, post);
            }
            if heads.len() < POSTS_AT_ONCE {
                break;
            }
        }
        let furniture = furniture(desk.snapshot(), feed)?;
        desk.snapshot().links(feed, Timestamp::MIN, Timestamp::MAX, |key, links| {
            let Some(post) = own.get(&key).and_then(|post| posts.get_mut(post)) else { return true };
            let mut to: Vec<(VoiceIndex, usize)> = Vec::new();
            for link in links.iter().filter(|link| !furniture.holds(link.page)) {
                let owner = desk.sites.owner_of(link);
                post.points |= owner != Some(Owner::Mine);
                let Some(Owner::Voice(voice)) = owner else { continue };
                match to.iter_mut().find(|(known, _)| *known == voice) {
                    Some((_, links)) => *links += 1,
                    None => to.push((voice, 1)),
                }
            }
            if post.links.len() < to.len() {
                post.links = to;
            }
            true
        })?;
    }
    Ok(posts.into_values().rev().collect())
}

/// The pages that a feed links to by habit (see [`said::furniture`]).
fn furniture(snapshot: &Snapshot, feed: FeedId) -> Result<Furniture, StoreError> {
    let newest = snapshot.heads(feed, None, said::RECENT)?;
    let Some(oldest) = newest.last().map(|head| head.key) else { return Ok(Furniture::default()) };
    let mut rows: HashMap<EntryKey, Vec<Link>> = newest.iter().map(|head| (head.key, Vec::new())).collect();
    snapshot.links(feed, oldest.listed_at, Timestamp::MAX, |key, links| {
        if let Some(row) = rows.get_mut(&key) {
            row.extend_from_slice(links);
        }
        true
    })?;
    Ok(said::furniture(rows.values().map(Vec::as_slice)))
}

/// The share of your posts that point at others.
pub(super) fn link_love(posts: &[Post], now: Timestamp) -> LinkLove {
    let since = now.minus(COUNTED);
    let counted = posts.iter().filter(|post| post.at >= since && post.at <= now);
    let (mut all, mut pointing) = (0, 0);
    for post in counted {
        all += 1;
        pointing += usize::from(post.points);
    }
    let this_month = month(now);
    let months = (0..MONTHS).rev().filter_map(|back| this_month.checked_sub_months(Months::new(back)));
    let mut months: Vec<(NaiveDate, usize, usize)> = months.map(|first| (first, 0, 0)).collect();
    for post in posts {
        let first = month(post.at);
        if let Some((_, posts, pointing)) = months.iter_mut().find(|(known, ..)| *known == first) {
            *posts += 1;
            *pointing += usize::from(post.points);
        }
    }
    let instant = |first: NaiveDate| first.and_time(chrono::NaiveTime::MIN).and_utc().into();
    let months = months.into_iter().map(|(first, posts, pointing)| (instant(first), posts, pointing)).collect();
    LinkLove { posts: all, pointing, months }
}

/// The first day of an instant's month.
fn month(at: Timestamp) -> NaiveDate {
    let date = at.utc().date_naive();
    date.with_day(1).unwrap_or(date)
}
