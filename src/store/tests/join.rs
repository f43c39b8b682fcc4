//! Two feeds become one: nothing is lost, nothing is doubled, and nobody's entries are taken over.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// What an entry is known by: its guid, its link, where it stands, the day of its last document.
type Sketch = (u8, Option<u8>, i32, u8);

fn entries(ids: std::ops::Range<u8>) -> impl Strategy<Value = Vec<Sketch>> {
    let entry = (ids, prop::option::of(0..30_u8), 0..500_000_i32, 0..4_u8);
    prop::collection::vec(entry, 0..25).prop_map(|mut sketches| {
        let mut seen = BTreeSet::new();
        sketches.retain(|(guid, ..)| seen.insert(*guid));
        sketches
    })
}

/// Stores a feed with these entries.
fn fill(store: &Store, feed: &Feed, sketches: &[Sketch], last_success: Option<i64>) {
    let changes = sketches.iter().zip(0..).map(|((guid, link, seconds, day), seq)| {
        let mut change = change(feed.id, seq, at(i64::from(*seconds)), "words");
        change.now.guid = Hash64(u64::from(*guid));
        change.now.link = link.map(|link| Hash64(u64::from(link)));
        change.now.carried_on = i32::from(*day);
        if let Some(entry) = &mut change.entry {
            entry.title = format!("{} says {guid}", feed.id.0);
        }
        change
    });
    let mut feed = feed.clone();
    feed.schedule.last_success = last_success.map(at);
    feed.schedule.state = last_success.map_or(FeedState::New, |_| FeedState::Ok);
    feed.schedule.next_poll = at(3_000_000);
    store
        .commit(&mut [FeedUpdate { feed, changes: changes.collect(), said: Vec::new(), events: vec![] }])
        .expect("it commits");
}

/// Of each stored entry its title and place.
fn said(contents: &Contents, feed: FeedId) -> BTreeSet<(String, Timestamp, Timestamp)> {
    let of_feed = contents.entries.iter().filter(|entry| entry.key.feed == feed);
    of_feed.map(|entry| (entry.title.clone(), entry.key.listed_at, entry.first_seen)).collect()
}

fn two_feeds(ours: &[Sketch], theirs: &[Sketch], last_success: Option<i64>) -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().expect("there is room");
    let store = Store::open(directory.path(), 1 << 20).expect("it opens");
    let feeds = store.add_feeds(&[url("a"), url("b")], at(0)).expect("it adds");
    fill(&store, &feeds[0], ours, last_success);
    fill(&store, &feeds[1], theirs, Some(1_000_000));
    (directory, store)
}

fn join(kinship: Kinship) -> Join {
    Join { winner: FeedId(0), loser: FeedId(1), kinship, is_vouched: true }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_doubled(
        ours in entries(0..40),
        theirs in entries(20..60),
        last_success in prop::option::of(0..600_000_i64),
        is_edit in any::<bool>(),
    ) {
        let (_directory, store) = two_feeds(&ours, &theirs, last_success);
        let before = contents(&store).expect("it reads");
        let kinship = if is_edit { Kinship::Edited } else { Kinship::Twins };
        let joined = store.join(&join(kinship), at(2_000_000)).expect("it joins").expect("both are there");
        let after = contents(&store).expect("it reads");

        prop_assert_eq!(after.feeds.iter().map(|feed| feed.id).collect::<Vec<_>>(), [FeedId(0)]);
        prop_assert_eq!(&after.feeds[0], &joined);
        // What the winner had stays where it was, as it was.
        let (winner, loser) = (&before.known[&FeedId(0)], &before.known[&FeedId(1)]);
        prop_assert!(said(&after, FeedId(0)).is_superset(&said(&before, FeedId(0))));
        for known in winner {
            let now = after.known[&FeedId(0)][known.seq as usize];
            prop_assert_eq!(Known { carried_on: known.carried_on, ..now }, *known);
            prop_assert!(now.carried_on >= known.carried_on);
        }
        // Of the loser's, what the winner has not comes over once, unless the winner will read it itself.
        let one_with = |all: &[Known], link: Option<Hash64>| {
            link.is_some() && all.iter().filter(|known| known.link == link).count() == 1
        };
        let is_known = |known: &Known| {
            winner.iter().any(|ours| ours.guid == known.guid)
                || one_with(winner, known.link) && one_with(loser, known.link)
        };
        let latest = loser.iter().map(|known| known.carried_on).max();
        let is_left = |known: &Known| {
            !is_edit && Some(known.carried_on) == latest && last_success.is_none_or(|last| known.first_seen > at(last))
        };
        let coming: Vec<&Known> = loser.iter().filter(|known| !is_known(known) && !is_left(known)).collect();
        let history: Vec<Known> = after.known[&FeedId(0)][winner.len()..].to_vec();
        prop_assert_eq!(after.entries.len(), winner.len() + coming.len());
        let places = |known: &mut dyn Iterator<Item = (Timestamp, Timestamp)>| {
            let mut places: Vec<_> = known.collect();
            places.sort_unstable();
            places
        };
        prop_assert_eq!(
            places(&mut history.iter().map(|known| (known.listed_at, known.first_seen))),
            places(&mut coming.iter().map(|known| (known.listed_at, known.first_seen)))
        );
        for known in &history {
            let keeps_id = loser.iter().any(|theirs| theirs.guid == known.guid);
            prop_assert_eq!(keeps_id, is_edit, "no document of the winner's may match what only the loser had");
            prop_assert!(is_edit || known.link.is_none());
        }
        let is_behind = loser.iter().any(|known| !is_known(known) && is_left(known));
        prop_assert_eq!(joined.schedule.next_poll <= at(2_000_000), !is_edit && is_behind);
        if is_edit {
            prop_assert_eq!((&joined.url, &joined.aliases), (&url("b"), &vec![url("a")]));
        } else {
            prop_assert_eq!((&joined.url, &joined.aliases), (&url("a"), &vec![url("b")]));
        }
        // Once more is none.
        prop_assert_eq!(store.join(&join(kinship), at(0)).expect("it reads"), None);
        prop_assert!(contents(&store).expect("it reads") == after);
    }
}

#[test]
fn addresses_lead_to_the_feed_that_is_left() {
    let (_directory, store) = two_feeds(&[(1, None, 1, 0)], &[(2, None, 2, 0)], Some(1_000_000));
    store.remember_paths(&[("/b".into(), url("b"))]).expect("it remembers");
    store.join(&join(Kinship::Twins), at(9)).expect("it joins");
    let ids = |urls: &[&str]| {
        let urls: Vec<FeedUrl> = urls.iter().map(|path| url(path)).collect();
        let bound = store.add_feeds(&urls, at(10)).expect("it binds");
        bound.iter().map(|feed| (feed.id.0, feed.url.clone(), feed.address().clone())).collect::<Vec<_>>()
    };
    assert_eq!(ids(&["a", "b"]), [(0, url("a"), url("a")), (0, url("a"), url("a"))]);
    // With its own outline gone it goes by the other's, and is asked where it was.
    assert_eq!(ids(&["b"]), [(0, url("b"), url("a"))]);
    assert_eq!(ids(&["b", "c"]), [(0, url("b"), url("a")), (2, url("c"), url("c"))]);
    assert_eq!(ids(&["a", "b"])[0], (0, url("b"), url("a")), "both names stand: nothing needs to change");

    // Gone for thirty days, it takes all of its addresses with it.
    let feed = store.feed(FeedId(0)).expect("it reads").expect("it is there");
    store
        .commit(&mut [FeedUpdate {
            feed: Feed { left_at: Some(at(0)), ..feed },
            changes: vec![],
            said: Vec::new(),
            events: vec![],
        }])
        .expect("it commits");
    let later = at(0).plus(Retention::LEFT_FEEDS_KEPT);
    sweep_all(&store, later, &Retention::default()).expect("it sweeps");
    assert!(store.paths().expect("it reads").is_empty());
    assert_eq!(ids(&["a", "b"]).iter().map(|(id, ..)| *id).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn an_edited_outline_finds_what_it_named_before() {
    let (_directory, store) = two_feeds(&[(1, None, 1, 0)], &[], Some(5));
    let edit = |from: &str, to: &str, others: &[&str]| {
        let urls = [to].iter().chain(others).map(|path| url(path)).collect();
        let new = TakeOver { urls, edits: vec![(url(from), url(to))], ..TakeOver::default() };
        let feed = store.take_over(&new, at(10)).expect("it binds").remove(0);
        (feed.id.0, feed.predecessor)
    };
    assert_eq!(edit("a", "c", &["a"]), (2, None), "another outline names it still");
    assert_eq!(edit("a", "d", &[]), (3, Some(FeedId(0))));
    assert_eq!(edit("d", "e", &[]), (4, Some(FeedId(0))), "nothing was ever read from the address in between");
    assert_eq!(edit("nowhere", "f", &[]), (5, None));
    // It had moved there by itself.
    let feed = store.feed(FeedId(0)).expect("it reads").expect("it is there");
    let moved = Feed { moved_to: Some(url("new")), left_at: Some(at(11)), ..feed };
    store
        .commit(&mut [FeedUpdate { feed: moved, changes: vec![], said: Vec::new(), events: vec![] }])
        .expect("it commits");
    assert_eq!(edit("a", "new", &[]), (0, None));
    let feed = store.feed(FeedId(0)).expect("it reads").expect("it is there");
    assert_eq!((feed.url, feed.moved_to, feed.left_at), (url("new"), None, None));
    assert_eq!(store.add_feeds(&[url("a")], at(12)).expect("it adds")[0].id, FeedId(6), "the old address is anybody's");
}

#[test]
fn a_loser_with_too_much_for_one_step_goes_with_the_next_sweep() {
    let (_directory, store) = two_feeds(&[], &[], Some(1_000_000));
    let feed = store.feed(FeedId(1)).expect("it reads").expect("it is there");
    let changes = (0..20_000).map(|seq| {
        let mut change = change(feed.id, seq, at(i64::from(seq)), "words");
        change.now.link = None;
        change
    });
    store
        .commit(&mut [FeedUpdate { feed: feed.clone(), changes: changes.collect(), said: Vec::new(), events: vec![] }])
        .expect("it commits");
    let joined = store.join(&join(Kinship::Twins), at(9)).expect("it joins").expect("both are there");
    assert_eq!((joined.entries, joined.newest), (10_000, Some(at(19_999))));
    assert!(store.feed(FeedId(1)).expect("it reads").is_some_and(|rest| rest.left_at.is_some()));
    let keep = Retention { entries_per_feed: 20_000, ..Retention::default() };
    assert_eq!(sweep_all(&store, at(9), &keep).expect("it sweeps").feeds, [FeedId(1)]);
    let after = contents(&store).expect("it reads");
    assert_eq!((after.feeds.len(), after.entries.len()), (1, 10_000));
    let bound = store.add_feeds(&[url("a"), url("b")], at(10)).expect("it binds");
    assert_eq!(bound.iter().map(|feed| feed.id.0).collect::<Vec<_>>(), [0, 0]);
}

#[test]
fn a_redirect_puts_no_words_into_anothers_mouth() {
    let (_directory, store) = two_feeds(&[(1, Some(1), 10, 1)], &[(7, Some(7), 20, 0), (8, None, 30, 1)], Some(40));
    let before = contents(&store).expect("it reads");
    let join = Join { is_vouched: false, ..join(Kinship::Twins) };
    let joined = store.join(&join, at(50)).expect("it joins").expect("both are there");
    let after = contents(&store).expect("it reads");
    assert_eq!(said(&after, FeedId(0)), said(&before, FeedId(0)));
    assert_eq!((joined.entries, after.entries.len(), joined.aliases.len()), (1, 1, 1));
}
