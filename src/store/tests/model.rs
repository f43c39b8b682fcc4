//! The store against a model of it in a few maps: whatever is asked of both, they hold the same.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::disk::Disk;
use super::*;

/// What may be asked of a store. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Ask {
    Add(Vec<u8>),
    /// For some feeds: new entries with their places, and which known ones to edit, to carry on, to give another link.
    Commit(Vec<(u8, Vec<i32>, Vec<u8>)>),
    /// The last commit once more, as after a failure in its last step.
    CommitAgain,
    Leave(u8, bool),
    Sweep(u8),
    /// Days go by.
    Later(u8),
    Reopen,
    Compact,
    List(u8, u8, bool),
    Path(u8, u8),
}

fn ask() -> impl Strategy<Value = Ask> {
    let poll =
        (any::<u8>(), prop::collection::vec(-500_000..500_000_i32, 0..30), prop::collection::vec(any::<u8>(), 0..5));
    prop_oneof![
        2 => prop::collection::vec(0..6_u8, 1..4).prop_map(Ask::Add),
        8 => prop::collection::vec(poll, 1..4).prop_map(Ask::Commit),
        1 => Just(Ask::CommitAgain),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(feed, left)| Ask::Leave(feed, left)),
        3 => (0..60_u8).prop_map(Ask::Sweep),
        2 => (0..100_u8).prop_map(Ask::Later),
        1 => Just(Ask::Reopen),
        1 => Just(Ask::Compact),
        1 => (0..3_u8, 0..4_u8, any::<bool>()).prop_map(|(list, voice, kept)| Ask::List(list, voice, kept)),
        1 => (0..5_u8, 0..6_u8).prop_map(|(path, feed)| Ask::Path(path, feed)),
    ]
}

/// The model: what [`Contents`] says, and what is needed to go on.
#[derive(Default)]
struct Model {
    now: i64,
    next_feed: u32,
    feeds: BTreeMap<FeedId, Feed>,
    known: BTreeMap<FeedId, BTreeMap<u32, Known>>,
    entries: BTreeMap<(FeedId, Timestamp, u32), Entry>,
    said: BTreeMap<EntryKey, Said>,
    lists: BTreeMap<String, Vec<u8>>,
    events: Vec<ListEvent>,
    paths: BTreeMap<String, FeedUrl>,
    last: Vec<FeedUpdate>,
}

impl Model {
    fn contents(&self) -> Contents {
        Contents {
            feeds: self.feeds.values().cloned().collect(),
            known: self.known.iter().map(|(id, known)| (*id, known.values().copied().collect())).collect(),
            entries: self.entries.values().cloned().collect(),
            said: self.said.values().map(|said| (said.key, (said.links.clone(), said.mention))).collect(),
            lists: self.lists.clone().into_iter().collect(),
            events: self.events.clone(),
            paths: self.paths.clone().into_iter().collect(),
            ..Contents::default()
        }
    }

    fn now(&self) -> Timestamp {
        at(self.now)
    }

    fn recount(&mut self, id: FeedId) {
        let mut places = self.entries.keys().filter(|(feed, ..)| *feed == id).map(|(_, listed_at, _)| *listed_at);
        let feed = self.feeds.get_mut(&id).expect("only feeds that there are are counted");
        feed.newest = places.next_back();
        feed.entries = places.count() as u32 + u32::from(feed.newest.is_some());
    }

    fn add(&mut self, paths: &[u8]) -> Vec<Feed> {
        let mut added = Vec::new();
        for path in paths {
            let url = url(&path.to_string());
            if let Some(feed) = self.feeds.values_mut().find(|feed| feed.url == url) {
                feed.left_at = None;
                added.push(feed.clone());
                continue;
            }
            let feed = Feed::new(FeedId(self.next_feed), url, self.now());
            self.next_feed += 1;
            self.known.insert(feed.id, BTreeMap::new());
            self.feeds.insert(feed.id, feed.clone());
            added.push(feed);
        }
        added
    }

    /// The updates that a daemon would make of these polls, applied.
    fn polls(&mut self, polls: &[(u8, Vec<i32>, Vec<u8>)]) -> Vec<FeedUpdate> {
        let ids: Vec<FeedId> = self.feeds.keys().copied().collect();
        let mut seen = BTreeSet::new();
        let mut updates = Vec::new();
        for (which, new, old) in polls {
            let Some(&id) = ids.get(usize::from(*which) % ids.len().max(1)) else { continue };
            if !seen.insert(id) {
                continue;
            }
            let mut feed = self.feeds[&id].clone();
            let identities: Vec<Known> = self.known[&id].values().copied().collect();
            let mut changes = Vec::new();
            let mut touched = BTreeSet::new();
            for n in old {
                let Some(&was) = identities.get(usize::from(*n) % identities.len().max(1)) else { continue };
                if !touched.insert(was.seq) {
                    continue;
                }
                let mut change = edit(id, was, &"edited ".repeat(usize::from(*n)));
                change.now.carried_on = self.now().days() as i32;
                match n % 3 {
                    0 if !was.purged => change.now.link = (n % 2 == 0).then_some(Hash64(u64::from(*n))),
                    1 => (change.entry, change.now.fingerprint) = (None, was.fingerprint),
                    _ => {}
                }
                if was.purged {
                    change.entry = None;
                }
                changes.push(change);
            }
            for (n, seconds) in (feed.next_seq..).zip(new) {
                let listed_at = at(self.now + i64::from(*seconds));
                let mut new = change(id, n, listed_at, &"words ".repeat(seconds.unsigned_abs() as usize % 90));
                new.now.carried_on = self.now().days() as i32;
                new.now.link = new.now.link.filter(|_| n % 4 != 0);
                changes.push(new);
            }
            feed.schedule.next_poll = self.now();
            feed.about.title = feed.about.title.or((new.len() > 3).then(|| "Now with a title".to_owned()));
            feed.next_seq += new.len() as u32;
            for change in &changes {
                self.known.entry(id).or_default().insert(change.now.seq, change.now);
                if let Some(entry) = &change.entry {
                    self.entries.insert((id, change.now.listed_at, change.now.seq), entry.clone());
                }
            }
            self.feeds.insert(id, feed);
            self.recount(id);
            // The store counts by itself: what comes in does not matter.
            let feed = Feed { entries: 99, newest: None, ..self.feeds[&id].clone() };
            let said = self.hear(id, &changes);
            updates.push(FeedUpdate { feed, changes, said, events: vec![] });
        }
        self.last.clone_from(&updates);
        updates
    }

    /// What new and changed entries say of others. Of one that is not stored nothing is kept.
    fn hear(&mut self, feed: FeedId, changes: &[Change]) -> Vec<Said> {
        let mut heard = Vec::new();
        for (change, n) in changes.iter().zip(0..) {
            let key = EntryKey { feed, listed_at: change.now.listed_at, seq: change.now.seq };
            let said = said(key, (n * 7 + key.seq) % 5, (n + key.seq) as usize % 6);
            heard.push(said.clone());
            self.said.remove(&key);
            let says_something = !said.links.is_empty() || said.mention.is_some();
            if says_something && self.entries.contains_key(&(feed, key.listed_at, key.seq)) {
                self.said.insert(key, said);
            }
        }
        heard
    }

    fn sweep(&mut self, retention: &Retention) {
        let now = self.now();
        for id in self.feeds.keys().copied().collect::<Vec<_>>() {
            if self.feeds[&id].left_at.is_some_and(|left| left.plus(Retention::LEFT_FEEDS_KEPT) <= now) {
                let gone = self.feeds.remove(&id).expect("it is there");
                self.known.remove(&id);
                self.entries.retain(|(feed, ..), _| *feed != id);
                self.said.retain(|key, _| key.feed != id);
                self.paths.retain(|_, feed| *feed != gone.url);
                continue;
            }
            let stream: Vec<_> = self.entries.keys().filter(|(feed, ..)| *feed == id).rev().copied().collect();
            for (n, place) in stream.iter().enumerate() {
                let too_many = n >= retention.entries_per_feed as usize;
                let too_old = place.1 < now.minus(retention.age);
                if n >= 20 && (too_many || too_old) {
                    self.entries.remove(place);
                    self.known.get_mut(&id).expect("it is there").get_mut(&place.2).expect("it is known").purged = true;
                }
            }
            self.recount(id);
            let entries = &self.entries;
            self.said.retain(|key, _| entries.contains_key(&(key.feed, key.listed_at, key.seq)));
            let known = self.known.get_mut(&id).expect("it is there");
            let days: BTreeSet<i32> = known.values().map(|known| known.carried_on).collect();
            known.retain(|_, known| {
                let left_by = days.range(known.carried_on + 1..).next();
                !known.purged || left_by.is_none_or(|day| day + 90 >= now.days() as i32)
            });
        }
    }
}

fn news(model: &Model, list: u8, voice: u8) -> ListNews {
    let event = event(model.now, ListEventKind::BecameFollower, &voice.to_string());
    let happened = vec![ListEvent { list: list.to_string(), ..event }];
    // Every second time, what happened last cancels out.
    let cancelled = model.events.last().filter(|_| voice.is_multiple_of(2)).cloned().into_iter().collect();
    ListNews { happened, cancelled }
}

fn run(asked: &[Ask]) {
    let disk = Disk::default();
    let mut store = disk.store().expect("a healthy disk opens");
    let mut model = Model::default();
    for ask in asked {
        match ask {
            Ask::Add(paths) => {
                let urls: Vec<FeedUrl> = paths.iter().map(|path| url(&path.to_string())).collect();
                assert_eq!(store.add_feeds(&urls, model.now()).expect("it adds"), model.add(paths));
                model.last.clear();
            }
            Ask::Commit(polls) => {
                let mut updates = model.polls(polls);
                store.commit(&mut updates).expect("it commits");
                for update in updates {
                    assert_eq!(update.feed, model.feeds[&update.feed.id], "counted by the store");
                }
            }
            Ask::CommitAgain => store.commit(&mut model.last.clone()).expect("it commits"),
            Ask::Leave(which, left) => {
                let ids: Vec<FeedId> = model.feeds.keys().copied().collect();
                let Some(id) = ids.get(usize::from(*which) % ids.len().max(1)) else { continue };
                let left_at = left.then(|| model.now());
                let feed = model.feeds.get_mut(id).expect("it is there");
                feed.left_at = left_at;
                store
                    .commit(&mut [FeedUpdate { feed: feed.clone(), changes: vec![], said: Vec::new(), events: vec![] }])
                    .expect("it commits");
                model.last.clear();
            }
            Ask::Sweep(entries_per_feed) => {
                let age = Duration::from_hours(24);
                let retention = Retention { entries_per_feed: u32::from(*entries_per_feed), age };
                let before = model.contents();
                model.sweep(&retention);
                let swept = sweep_all(&store, model.now(), &retention).expect("it sweeps");
                assert_eq!(before.feeds.len() - swept.feeds.len(), model.feeds.len());
                for count in swept.counts {
                    let feed = &model.feeds[&count.feed];
                    assert_eq!((count.entries, count.newest), (feed.entries, feed.newest));
                }
                model.last.clear();
            }
            Ask::Later(days) => model.now += i64::from(*days) * 86_400,
            Ask::Reopen => {
                drop(store);
                store = disk.store().expect("it opens again");
            }
            Ask::Compact => drop(store.compact().expect("it compacts")),
            Ask::List(list, voice, kept) => {
                let news = news(&model, *list, *voice);
                let (name, content) = (list.to_string(), vec![*voice; 1000]);
                if *kept {
                    store.save_list(&name, Some(&content), &news).expect("it saves");
                    model.lists.insert(name, content);
                } else {
                    store.save_list(&name, None, &news).expect("it forgets");
                    model.lists.remove(&name);
                }
                model.events.retain(|event| !news.cancelled.contains(event));
                if !model.events.contains(&news.happened[0]) {
                    model.events.extend(news.happened);
                }
            }
            Ask::Path(path, feed) => {
                let moved = (path.to_string(), url(&feed.to_string()));
                store.remember_paths(std::slice::from_ref(&moved)).expect("it remembers");
                model.paths.insert(moved.0, moved.1);
            }
        }
        assert_eq!(contents(&store).expect("it reads"), model.contents(), "after {ask:?}");
    }
    pages(&store, &model);
}

/// Pages of streams, heads and links, against the model.
fn pages(store: &Store, model: &Model) {
    let snapshot = store.snapshot().expect("it reads");
    let befores = model.entries.values().map(|entry| entry.key).step_by(7).collect::<Vec<_>>();
    for &id in model.feeds.keys() {
        for &before in &befores {
            let mut expected: Vec<_> = model.entries.values().filter(|e| e.key.feed == id && e.key < before).collect();
            expected.reverse();
            expected.truncate(5);
            let page = snapshot.entries(id, Some(before), 5).expect("it reads");
            assert!(page.iter().eq(expected), "{id:?} before {before}");
            let heads = snapshot.heads(id, Some(before), 5).expect("it reads");
            assert!(
                heads.iter().map(|head| (head.key, head.first_seen)).eq(page.iter().map(|e| (e.key, e.first_seen)))
            );
        }
    }
    for hash in 0..8 {
        let mut expected: BTreeMap<FeedId, EntryKey> = BTreeMap::new();
        for ((feed, listed_at, seq), entry) in &model.entries {
            if model.known[feed][seq].link == Some(Hash64(hash)) {
                assert_eq!(entry.key.listed_at, *listed_at);
                expected.entry(*feed).or_insert(entry.key);
            }
        }
        let found = snapshot.same_link(Hash64(hash)).expect("it reads");
        assert!(found.iter().map(|(key, _)| key).eq(expected.values()), "link {hash}");
    }
    let keys: Vec<EntryKey> = model.entries.values().map(|entry| entry.key).collect();
    assert!(snapshot.entries_of(&keys).expect("it reads").iter().eq(model.entries.values()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_asked_store_and_model_agree(asked in prop::collection::vec(ask(), 1..40)) {
        run(&asked);
    }
}
