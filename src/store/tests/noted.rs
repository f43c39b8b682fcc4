//! States that are noted and not committed yet: what they outlive, and what they never undo.

use super::{at, url};
use crate::model::{Feed, Schedule};
use crate::store::{FeedUpdate, Noted, Store};

fn asked(feed: &Feed, second: i64) -> Feed {
    let schedule = Schedule { last_attempt: Some(at(second)), next_poll: at(second + 3600), ..feed.schedule.clone() };
    Feed { schedule, ..feed.clone() }
}

fn update(feed: &Feed) -> FeedUpdate {
    FeedUpdate { feed: feed.clone(), changes: Vec::new(), said: Vec::new(), events: Vec::new() }
}

#[test]
fn they_outlive_a_kill_and_go_with_the_next_commit() {
    let directory = tempfile::tempdir().expect("there is room");
    let open = || Store::open(directory.path(), 1 << 20).expect("it opens");
    let store = open();
    let feeds = store.add_feeds(&[url("a"), url("b"), url("c")], at(0)).expect("they are stored");
    let [a, b, c] = [asked(&feeds[0], 10), asked(&feeds[1], 20), asked(&feeds[2], 30)];
    assert_eq!(store.note_state(&a).expect("there is room"), Noted::First);
    assert_eq!(store.note_state(&b).expect("there is room"), Noted::Also);
    drop(store);

    let store = open();
    assert_eq!(store.feeds().expect("it can be read"), [a.clone(), b.clone(), feeds[2].clone()]);
    assert!(!store.has_noted());
    let later = asked(&a, 40);
    store.note_state(&later).expect("there is room");
    store.commit(&mut [update(&c)]).expect("it is stored");
    assert_eq!(store.feeds().expect("it can be read"), [later, b, c], "the commit took it along");
    assert!(!store.has_noted());
}

#[test]
fn they_undo_nothing_that_was_stored_after_them() {
    let directory = tempfile::tempdir().expect("there is room");
    let open = || Store::open(directory.path(), 1 << 20).expect("it opens");
    let store = open();
    let feed = store.add_feeds(&[url("a")], at(0)).expect("it is stored").remove(0);
    let (noted, stored) = (asked(&feed, 10), asked(&feed, 20));
    store.note_state(&noted).expect("there is room");
    let files = [0, 1].map(|n| directory.path().join(format!("listend.states.{n}")));
    let lines: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap_or_default()).collect();
    store.commit(&mut [update(&stored)]).expect("it is stored");
    drop(store);
    // As if the machine had stopped before the file was emptied.
    for (file, lines) in files.iter().zip(&lines) {
        std::fs::write(file, lines).expect("there is room");
    }
    assert_eq!(open().feeds().expect("it can be read"), [stored]);

    // And of a feed that is no more.
    std::fs::write(&files[0], []).expect("there is room");
    let other = open();
    let gone = Feed { id: crate::model::FeedId(99), ..noted };
    other.note_state(&gone).expect("there is room");
    other.commit(&mut []).expect("it is stored");
    assert_eq!(other.feeds().expect("it can be read").len(), 1);
}

/// Nothing waits for the disk when a state is noted, so a power cut may take any sector of the files with it.
#[test]
fn what_a_power_cut_leaves_of_them_is_never_an_error_and_undoes_nothing() {
    let directory = tempfile::tempdir().expect("there is room");
    let open = || Store::open(directory.path(), 1 << 20).expect("it opens");
    let files = [0, 1].map(|n| directory.path().join(format!("listend.states.{n}")));
    let mut acknowledged = open().add_feeds(&[url("a"), url("b"), url("c")], at(0)).expect("they are stored");
    let mut arrived = 0;
    for seed in 0..150 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let store = open();
        let mut noted = Vec::new();
        for n in 0..chance.i64(1..40) {
            let which = chance.usize(0..acknowledged.len());
            let state = asked(&acknowledged[which], seed as i64 * 100 + n + 1);
            store.note_state(&state).expect("there is room");
            noted.push(state);
            if chance.u8(0..20) == 0 {
                // What is committed has reached the disk, with all that was noted before.
                store.commit(&mut []).expect("it commits");
                acknowledged = store.feeds().expect("it reads");
            }
        }
        drop(store);
        for file in &files {
            let mut bytes = std::fs::read(file).unwrap_or_default();
            for sector in bytes.chunks_mut(512) {
                match chance.u8(0..8) {
                    0 => sector.fill(0),
                    1 => sector.iter_mut().for_each(|byte| *byte = chance.u8(..)),
                    _ => {}
                }
            }
            bytes.truncate(chance.usize(0..=bytes.len() * 2).min(bytes.len()));
            std::fs::write(file, bytes).expect("there is room");
        }
        let found = open().feeds().expect("it can be read");
        for (found, acknowledged) in found.iter().zip(&acknowledged) {
            assert!(found == acknowledged || noted.contains(found), "seed {seed}: {found:?}");
            assert!(found.schedule.last_attempt >= acknowledged.schedule.last_attempt, "seed {seed}");
            arrived += usize::from(found != acknowledged);
        }
        acknowledged = found;
    }
    assert!(arrived > 20, "{arrived} states came through");
}
