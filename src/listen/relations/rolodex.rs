//! The rolodex: everybody on a card, and a voice's own page.

use std::collections::HashSet;

use crate::listen::people::{Card, Dossier, FeedOf, Order, Rolodex, Saying};
use crate::listen::view;
use crate::lists::roster::{Voice, VoiceIndex};
use crate::model::{EntryKey, FeedId, Hash64, Mention, Timestamp};
use crate::store::{Snapshot, StoreError};

use super::history;
use super::ledger::{Account, Ledger};
use super::love::link_love;
use super::mentions;
use super::neglected::Waiting;
use super::who::{Desk, saying};

/// Weeks on a card in the rolodex, half a year.
const WEEKS: usize = 26;
/// Weeks on a voice's own page, a year.
const WEEKS_OF_A_YEAR: usize = 53;
const MAX_SAYINGS: usize = 20;
const MAX_HISTORY: usize = 50;
/// Heads read at once.
const HEADS_AT_ONCE: usize = 128;

/// One page of the rolodex, from 1 on; a page beyond the last is the last. `waiting` is everybody whose words wait, the
/// longest wait first.
pub(super) fn page(
    desk: &Desk<'_>,
    ledger: &Ledger,
    waiting: &[Waiting],
    order: Order,
    page: usize,
) -> Result<Rolodex, StoreError> {
    let mut waits: Vec<Option<Timestamp>> = vec![None; desk.voices.count()];
    for waiting in waiting {
        if let Some(wait) = waits.get_mut(waiting.voice) {
            *wait = Some(waiting.first.listed_at);
        }
    }
    let wait_of = |voice: VoiceIndex| waits.get(voice).copied().flatten();
    let mut voices: Vec<(VoiceIndex, Option<Timestamp>)> =
        desk.voices.heard().map(|voice| (voice, desk.newest(voice))).collect();
    let names = &desk.bound().roster.voices;
    let name = |voice: VoiceIndex| names.get(voice).map_or("", |known: &Voice| known.title.as_str());
    let links = |voice: VoiceIndex| ledger.account(voice).map_or(0, |account| account.from_them + account.to_them);
    match order {
        // Those who do not wait come behind those who do.
        Order::Waiting => voices.sort_by_key(|(voice, heard)| {
            (wait_of(*voice).unwrap_or(Timestamp::MAX), std::cmp::Reverse(*heard), *voice)
        }),
        Order::Heard => voices.sort_by_key(|(voice, heard)| (std::cmp::Reverse(*heard), *voice)),
        Order::Links => {
            voices.sort_by_key(|(voice, heard)| (std::cmp::Reverse(links(*voice)), std::cmp::Reverse(*heard), *voice));
        }
        Order::Name => voices.sort_by_cached_key(|(voice, _)| (name(*voice).to_lowercase(), *voice)),
    }
    let (page, pages, shown) = cut(&voices, page, Rolodex::ROWS);
    let mut rows = Vec::with_capacity(shown.len());
    for (voice, _) in shown {
        rows.push(card(desk, ledger, *voice, wait_of(*voice), WEEKS)?);
    }
    let (voices, today) = (voices.len(), desk.scene.now);
    Ok(Rolodex { rows, order, page, pages, voices, love: link_love(&ledger.posts, today), today })
}

/// A page of something, from 1 on: which one it is, how many there are (at least 1), and what stands on it.
pub(super) fn cut<T>(all: &[T], page: usize, items: usize) -> (usize, usize, &[T]) {
    let pages = all.len().div_ceil(items).max(1);
    let page = page.clamp(1, pages);
    let from = (page - 1) * items;
    (page, pages, &all[from..all.len().min(from + items)])
}

fn card(
    desk: &Desk<'_>,
    ledger: &Ledger,
    voice: VoiceIndex,
    waiting: Option<Timestamp>,
    weeks: usize,
) -> Result<Card, StoreError> {
    let account = ledger.account(voice);
    let feeds = desk.voices.feeds(voice).iter().filter_map(|feed| desk.live().feed(*feed));
    let shown: Vec<FeedId> = desk.live().newest(desk.voices.feeds(voice)).into_iter().map(|(feed, _)| feed).collect();
    Ok(Card {
        person: desk.person(voice),
        heard: desk.newest(voice),
        weeks: weekly(desk.snapshot(), &shown, desk.scene.now, weeks)?,
        from_them: account.map_or(0, |account| account.from_them),
        to_them: account.map_or(0, |account| account.to_them),
        owed: account.map_or(0, Account::count),
        waiting,
        trouble: feeds.filter_map(|feed| feed.trouble).max(),
    })
}

/// Entries a week of some feeds together, oldest first; the last is the week that `now` is in. Weeks begin on Mondays.
fn weekly(snapshot: &Snapshot, feeds: &[FeedId], now: Timestamp, weeks: usize) -> Result<Vec<u32>, StoreError> {
    // 1 January 1970 was a Thursday.
    let week = |at: Timestamp| (at.days() + 3).div_euclid(7);
    let first = week(now) + 1 - weeks as i64;
    let mut counts = vec![0; weeks];
    let mut seen: HashSet<Hash64> = HashSet::new();
    for &feed in feeds {
        let mut before: Option<EntryKey> = None;
        loop {
            let heads = snapshot.heads(feed, before, HEADS_AT_ONCE)?;
            before = heads.last().map(|head| head.key);
            let lately = heads.iter().take_while(|head| week(head.key.listed_at) >= first);
            let mut count = 0;
            for head in lately {
                count += 1;
                // The same article in another of its feeds is the same article.
                let is_copy = feeds.len() > 1 && head.link.is_some_and(|link| !seen.insert(link));
                let slot = usize::try_from(week(head.key.listed_at) - first).ok().and_then(|at| counts.get_mut(at));
                if let Some(slot) = slot.filter(|_| !is_copy) {
                    *slot += 1;
                }
            }
            if count < HEADS_AT_ONCE {
                break;
            }
        }
    }
    Ok(counts)
}

/// A voice's own page; `None` where there is none at this index.
pub(super) fn dossier(
    desk: &Desk<'_>,
    ledger: &Ledger,
    waiting: Option<Timestamp>,
    voice: VoiceIndex,
) -> Result<Option<Dossier>, StoreError> {
    if voice >= desk.voices.count() {
        return Ok(None);
    }
    let account = ledger.account(voice);
    let read = |rows: &[(EntryKey, Mention)]| -> Result<Vec<Saying>, StoreError> {
        let mut sayings = Vec::new();
        for (key, mention) in rows {
            if sayings.len() == MAX_SAYINGS {
                break;
            }
            sayings.extend(mentions::read(desk, *key, mention)?.map(|spoken| spoken.saying()));
        }
        Ok(sayings)
    };
    let posts = desk.snapshot().entries_of(account.map_or(&[][..], |account| &account.posts))?;
    let feed_of = |feed: std::sync::Arc<crate::model::Feed>| FeedOf {
        title: view::title(desk.bound(), &feed).to_owned(),
        url: feed.address().to_string(),
        state: feed.schedule.state,
        trouble: feed.trouble,
        entries: feed.entries,
        newest: feed.newest,
    };
    let feeds = desk.voices.feeds(voice).iter().filter_map(|feed| desk.live().feed(*feed));
    Ok(Some(Dossier {
        card: card(desk, ledger, voice, waiting, WEEKS_OF_A_YEAR)?,
        owed: read(account.map_or(&[][..], |account| &account.owed))?,
        from_them: read(account.map_or(&[][..], |account| &account.links))?,
        to_them: posts.iter().map(|post| saying(post, String::new())).collect(),
        history: history::of_voice(desk, account, voice, MAX_HISTORY)?,
        feeds: feeds.map(feed_of).collect(),
        today: desk.scene.now,
    }))
}
