//! Which entry an item is, by tables and properties.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::{About, Category, Enclosure, FeedUrl, Format, Origin, Pace, Person};

/// Sun, 22 Nov 2026 20:37:12 GMT.
const START: Timestamp = Timestamp::from_seconds(1_795_379_832);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

fn document(items: Vec<Item>) -> Document {
    Document {
        format: Format::Rss,
        about: About::default(),
        updated: None,
        pace: Pace::default(),
        items,
        complete: true,
    }
}

fn item(guid: &str, link: &str, title: &str) -> Item {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Item { guid: some(guid), link: some(link), title: some(title), ..Item::default() }
}

fn dated(item: Item, published: Timestamp) -> Item {
    Item { published: Some(published), ..item }
}

/// A feed and its stored entries, as far as the store would keep them.
struct Kept {
    feed: Feed,
    known: BTreeMap<u32, Known>,
    entries: BTreeMap<u32, Entry>,
    now: Timestamp,
}

impl Kept {
    fn new() -> Self {
        let url = FeedUrl::parse("http://example.org/feed").expect("an address");
        let feed = Feed::new(FeedId(7), url, START);
        Self { feed, known: BTreeMap::new(), entries: BTreeMap::new(), now: START }
    }

    /// Takes a document in, as a fetch at `now` would, and tells what was new and what was rewritten.
    fn read(&mut self, document: &Document) -> (usize, usize) {
        let known: Vec<Known> = self.known.values().copied().collect();
        let reconciled = reconcile(&self.feed, &known, document, self.now);
        let changes = reconciled
            .changes(self.feed.id, document, self.now, |text, _| CleanHtml::from_cleaner(text.as_str().to_owned()));
        let (mut added, mut rewritten) = (0, 0);
        for change in changes {
            let seq = change.now.seq;
            assert_eq!(change.was, self.known.get(&seq).copied(), "what was remembered is what is replaced");
            if let Some(was) = change.was {
                let same = |known: &Known| (known.seq, known.listed_at, known.first_seen, known.purged);
                assert_eq!(same(&was), same(&change.now), "place and number are for good");
                assert!(change.entry.is_none() || !was.purged, "purged entries stay purged");
            }
            if let Some(entry) = change.entry {
                assert_eq!((entry.key.seq, entry.key.listed_at), (seq, change.now.listed_at));
                self.entries.insert(seq, entry);
                if change.was.is_some() { rewritten += 1 } else { added += 1 }
            }
            self.known.insert(seq, change.now);
        }
        assert_eq!(added, reconciled.added as usize);
        self.feed.identity = reconciled.identity;
        self.feed.next_seq = reconciled.next_seq;
        self.feed.newest = reconciled.newest;
        self.feed.schedule.last_success = Some(self.now);
        (added, rewritten)
    }

    /// Takes a document in an hour after the last.
    fn read_later(&mut self, document: &Document) -> (usize, usize) {
        self.now = self.now.plus(HOUR);
        self.read(document)
    }

    /// The titles as the stream shows them, newest first.
    fn titles(&self) -> Vec<&str> {
        let mut entries: Vec<_> = self.entries.values().collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.key));
        entries.iter().map(|entry| entry.title.as_str()).collect()
    }

    fn entry(&self, title: &str) -> &Entry {
        self.entries.values().find(|entry| entry.title == title).expect("it is there")
    }
}

#[test]
fn the_same_document_changes_nothing() {
    let mut kept = Kept::new();
    let document = document(vec![
        item("a", "http://example.org/a", "A"),
        item("", "http://example.org/b", "B"),
        dated(item("", "", "C"), START.minus(DAY)),
        Item { summary: Some(Markup::Text("no title, no date, no link".into())), ..Item::default() },
    ]);
    assert_eq!(kept.read(&document), (4, 0));
    for _ in 0..3 {
        kept.now = kept.now.plus(Duration::from_mins(10));
        let known: Vec<Known> = kept.known.values().copied().collect();
        assert_eq!(reconcile(&kept.feed, &known, &document, kept.now).planned, []);
    }
    kept.now = kept.now.plus(DAY);
    assert_eq!(kept.read(&document), (0, 0));
    let tomorrow = kept.now.days() as i32;
    assert!(kept.known.values().all(|known| known.carried_on == tomorrow));
}

#[test]
fn an_edit_updates_in_place() {
    let mut kept = Kept::new();
    let post =
        |title: &str, updated| Item { updated, ..dated(item("a", "http://example.org/a", title), START.minus(DAY)) };
    kept.read(&document(vec![item("b", "http://example.org/b", "B"), post("Draft", None)]));
    let before = kept.entry("Draft").clone();
    let edited_at = START.plus(Duration::from_mins(30));
    assert_eq!(kept.read_later(&document(vec![post("Final", Some(edited_at))])), (0, 1));
    let after = kept.entry("Final");
    assert_eq!((after.key, after.first_seen, after.updated), (before.key, START, Some(edited_at)));
    assert_eq!(kept.entries.len(), 2);
}

/// Checks that entries go on as they are when their feed, and all links and guids in it, move.
fn check_moved(from: (&str, &str), to: (&str, &str), is_known: bool) {
    let mut kept = Kept::new();
    let posts = |site: &str| {
        let post = |n: i32| {
            let link = format!("{site}/{n}");
            dated(item(&link, &link, &format!("Post {n}")), START.minus(DAY * n.unsigned_abs()))
        };
        document((1..30).map(post).collect())
    };
    kept.feed.url = FeedUrl::parse(from.0).expect("an address");
    kept.read(&posts(from.1));
    let before: Vec<EntryKey> = kept.entries.values().map(|entry| entry.key).collect();
    kept.feed.moved_to = Some(FeedUrl::parse(to.0).expect("an address"));
    let expected = if is_known { (0, 29) } else { (29, 0) };
    assert_eq!(kept.read_later(&posts(to.1)), expected, "{from:?} → {to:?}");
    assert_eq!(kept.read_later(&posts(to.1)), (0, 0), "from then on they are known by their new guids");
    if is_known {
        assert_eq!(kept.entries.values().map(|entry| entry.key).collect::<Vec<_>>(), before);
    }
}

#[test]
fn links_that_move_with_their_feed_are_known_again() {
    let old = ("http://old.example/feed", "http://old.example/blog");
    for (to, is_known) in [
        (("https://old.example/feed", "https://old.example/blog"), true),
        (("https://new.example/feed", "https://new.example/blog"), true),
        (("https://www.new.example:8443/feed", "https://new.example:8443/blog"), true),
        (("https://new.example/feed", "https://new.example/posts"), false),
        // Nobody says that this is where the site has moved.
        (("https://new.example/feed", "https://third.example/blog"), false),
        (("https://new.example/feed", "https://new.example.org/blog"), false),
    ] {
        check_moved(old, to, is_known);
    }
}

#[test]
fn a_link_to_the_new_site_is_no_link_to_the_old_one_where_both_are_carried() {
    let mut kept = Kept::new();
    kept.feed.url = FeedUrl::parse("http://old.example/feed").expect("an address");
    kept.feed.moved_to = Some(FeedUrl::parse("http://new.example/feed").expect("an address"));
    let old = item("1", "http://old.example/1", "Old");
    kept.read(&document(vec![old.clone()]));
    assert_eq!(kept.read_later(&document(vec![item("2", "http://new.example/1", "New"), old])), (1, 0));
}

#[test]
fn everything_an_item_says_counts_as_an_edit() {
    let base = dated(item("a", "http://example.org/a", "A"), START.minus(DAY));
    let text = |text: &str| Some(Markup::Html(text.into()));
    let edits: Vec<Item> = vec![
        Item { link: Some("http://example.org/a2".into()), ..base.clone() },
        Item { title: None, ..base.clone() },
        Item { title: Some(String::new()), ..base.clone() },
        Item { published: None, ..base.clone() },
        Item { updated: base.published, ..base.clone() },
        Item { summary: text("x"), ..base.clone() },
        Item { content: text("x"), ..base.clone() },
        Item { content: Some(Markup::Text("x".into())), ..base.clone() },
        Item { authors: vec![Person::default()], ..base.clone() },
        Item { authors: vec![Person { name: "Ann".into(), ..Person::default() }], ..base.clone() },
        Item { authors: vec![Person { email: Some("Ann".into()), ..Person::default() }], ..base.clone() },
        Item { categories: vec![Category { term: "x".into(), ..Category::default() }], ..base.clone() },
        Item { categories: vec![Category { label: Some("x".into()), ..Category::default() }], ..base.clone() },
        Item { enclosures: vec![Enclosure { url: "x".into(), ..Enclosure::default() }], ..base.clone() },
        Item { enclosures: vec![Enclosure { bytes: Some(0), ..Enclosure::default() }], ..base.clone() },
        Item { comments: Some("x".into()), ..base.clone() },
        Item { language: Some("x".into()), ..base.clone() },
        Item { origin: Some(Origin::default()), ..base.clone() },
        Item { origin: Some(Origin { title: Some("x".into()), ..Origin::default() }), ..base.clone() },
    ];
    let fingerprint = |item: &Item| fingerprint(item, &mut Vec::new());
    let mut seen = HashSet::from([fingerprint(&base)]);
    for edit in edits {
        assert!(seen.insert(fingerprint(&edit)), "{edit:?}");
    }
    let elsewhere = Item { base: Url::parse("http://mirror.example/").ok(), ..base.clone() };
    assert_eq!(fingerprint(&elsewhere), fingerprint(&base), "where it was found is nothing that it says");
}

#[test]
fn fingerprints_of_an_earlier_kind_rewrite_texts_in_place_once() {
    let mut kept = Kept::new();
    let text = Item { summary: Some(Markup::Text("neither guid nor link nor title".into())), ..Item::default() };
    let items = vec![item("a", "http://example.org/a", "A"), item("", "http://example.org/b", "B"), text];
    kept.read(&document(items.clone()));
    let before = kept.known.clone();
    // Until version 3 of the parser, fingerprints were SHA-256.
    for (known, item) in kept.known.values_mut().zip(items.iter().rev()) {
        let mut words = Vec::new();
        says(item, &mut words);
        known.fingerprint = first_bits(&Sha256::digest(words));
    }
    assert_eq!(kept.read_later(&document(items.clone())), (0, 3), "known entries, at the same places");
    let places = |known: &BTreeMap<u32, Known>| -> Vec<_> {
        known.values().map(|known| (known.seq, known.listed_at, known.first_seen, known.guid, known.link)).collect()
    };
    assert_eq!(places(&kept.known), places(&before));
    assert_eq!(kept.read_later(&document(items)), (0, 0), "and that was all");
}

#[test]
fn identities_are_what_they_were_when_they_were_stored() {
    let text = Item { summary: Some(Markup::Text("x".into())), ..Item::default() };
    for (item, rule, guid) in [
        (item("a", "http://www.example.org/b/#c", "T"), IdentityRule::Guid, "guid a"),
        (item("a", "http://www.example.org/b/#c", "T"), IdentityRule::Link, "link example.org/b#c"),
        (item("", "", "T"), IdentityRule::Guid, "title None T"),
        (text, IdentityRule::Guid, "text 63f4bd17ee77e1ec"),
    ] {
        assert_eq!(identity_text(&item, own_link(&item).as_deref(), rule), guid);
    }
    assert_eq!(link_hash("http://www.example.org/b/#c"), Hash64(0x4531_74e3_d3b0_edb8));
}

#[test]
fn without_a_guid_the_link_decides_and_without_a_link_title_and_date() {
    let mut kept = Kept::new();
    let (yesterday, today) = (START.minus(DAY), START.minus(HOUR));
    let first = vec![
        item("", "http://example.org/a", "A"),
        dated(item("", "", "Daily"), yesterday),
        dated(item("", "", "Daily"), today),
        item("", "http://example.org/changes#1", "Change 1"),
        item("", "http://example.org/changes#2", "Change 2"),
    ];
    assert_eq!(kept.read(&document(first)), (5, 0), "none is taken for another");
    let second = vec![
        item("", "https://www.example.org/a/?utm_source=feed", "A, edited"),
        dated(Item { summary: Some(Markup::Text("new".into())), ..item("", "", "Daily") }, today),
        item("", "http://example.org/changes#2", "Change 2, edited"),
    ];
    assert_eq!(kept.read_later(&document(second)), (0, 3), "another spelling is the same page");
}

#[test]
fn what_is_republished_has_an_id_of_its_own_for_each_entry() {
    let mut kept = Kept::new();
    let items = vec![
        item("http://example.org/a", "http://example.org/b", "A"),
        item("", "http://example.org/a", "B"),
        item("", "", "C"),
        dated(item("", "", "C"), START.minus(DAY)),
        Item::default(),
    ];
    kept.read(&document(items));
    let guids: HashSet<_> = kept.entries.values().map(|entry| entry.guid.as_str()).collect();
    assert_eq!(guids.len(), 5);
    assert_eq!(kept.entry("A").guid, "http://example.org/a", "the feed's own where it has one");
    let made = &kept.entry("B").guid;
    assert!(made.starts_with("urn:uuid:") && made.len() == 45 && &made[23..24] == "8", "{made}");
}

#[test]
fn one_guid_for_several_links_means_identity_by_link_for_good() {
    let mut kept = Kept::new();
    let post = |n: u32| item("always-the-same", &format!("http://example.org/{n}"), &format!("{n}"));
    assert_eq!(kept.read(&document(vec![post(1)])), (1, 0));
    assert_eq!(kept.feed.identity, IdentityRule::Guid);
    // One entry at a time would look like edits; two in one document show what it is.
    assert_eq!(kept.read_later(&document(vec![post(2), post(1)])), (1, 0), "the old one is known by its link");
    assert_eq!(kept.feed.identity, IdentityRule::Link);
    assert_eq!(kept.read_later(&document(vec![post(3)])), (1, 0), "for good");
    assert_eq!(kept.read_later(&document(vec![post(3), post(2), post(1)])), (0, 0));
    assert_eq!(kept.titles(), ["3", "2", "1"]);
    let guids: HashSet<_> = kept.entries.values().map(|entry| entry.guid.as_str()).collect();
    assert_eq!(guids.len(), 3);
}

#[test]
fn one_guid_twice_with_one_link_is_one_entry() {
    let mut kept = Kept::new();
    let twice = vec![
        item("a", "http://example.org/a?utm_source=x", "First wins"),
        item("a", "https://example.org/a", "Second"),
        item("a", "", "Third"),
    ];
    assert_eq!(kept.read(&document(twice)), (1, 0));
    assert_eq!((kept.titles(), kept.feed.identity), (vec!["First wins"], IdentityRule::Guid));
}

#[test]
fn a_site_that_changes_all_its_guids_brings_nothing_new() {
    let mut kept = Kept::new();
    let posts = |prefix: &str| {
        document((0..20).map(|n| item(&format!("{prefix}{n}"), &format!("http://example.org/{n}"), "post")).collect())
    };
    assert_eq!(kept.read(&posts("old-")), (20, 0));
    let keys: Vec<_> = kept.entries.values().map(|entry| entry.key).collect();
    assert_eq!(kept.read_later(&posts("new-")), (0, 20));
    assert_eq!(kept.entries.values().map(|entry| entry.key).collect::<Vec<_>>(), keys);
    assert_eq!(kept.read_later(&posts("new-")), (0, 0), "known by the new guids from then on");
}

#[test]
fn a_shared_link_makes_no_two_entries_one() {
    let mut kept = Kept::new();
    let home = "http://example.org/";
    assert_eq!(kept.read(&document(vec![item("1", home, "1"), item("2", home, "2")])), (2, 0));
    // Both stored ones have the link: which of them would it be?
    assert_eq!(kept.read_later(&document(vec![item("3", home, "3")])), (1, 0));
    // The one stored with a link is carried itself.
    let mut kept = Kept::new();
    kept.read(&document(vec![item("1", home, "1")]));
    assert_eq!(kept.read_later(&document(vec![item("2", home, "2"), item("1", home, "1")])), (1, 0));
    assert_eq!(kept.entries.len(), 2);
}

#[test]
fn a_cut_off_document_says_nothing_about_what_it_lacks() {
    let mut kept = Kept::new();
    kept.read(&document(vec![item("2", "http://example.org/x", "2"), item("1", "http://example.org/x1", "1")]));
    kept.now = kept.now.plus(DAY * 3);
    let carried_on = kept.known[&0].carried_on;
    let cut = Document { complete: false, ..document(vec![item("3", "http://example.org/x", "3")]) };
    assert_eq!(kept.read(&cut), (1, 0), "its lost part may carry the one with that link");
    assert_eq!(kept.known[&0].carried_on, carried_on);
}

#[test]
fn what_was_purged_never_returns() {
    let mut kept = Kept::new();
    let posts = |guid: &str, title: &str| document(vec![item(guid, "http://example.org/a", title)]);
    kept.read(&posts("a", "A"));
    kept.known.values_mut().for_each(|known| known.purged = true);
    kept.entries.clear();
    kept.now = kept.now.plus(DAY * 30);
    for document in [posts("a", "A"), posts("a", "A, edited"), posts("a-new-guid", "A")] {
        assert_eq!(kept.read_later(&document), (0, 0));
    }
    assert_eq!(kept.known[&0].carried_on, kept.now.days() as i32, "remembered as long as it is carried");
}

#[test]
fn what_dropped_out_was_carried_until_the_last_success() {
    let mut kept = Kept::new();
    kept.read(&document(vec![item("old", "", "old")]));
    // A hundred days of unchanged answers, which nobody parses.
    kept.now = kept.now.plus(DAY * 100);
    kept.feed.schedule.last_success = Some(kept.now);
    kept.now = kept.now.plus(DAY);
    assert_eq!(kept.read(&document(vec![item("new", "", "new")])), (1, 0));
    let carried_on = |kept: &Kept, seq| i64::from(kept.known[&seq].carried_on) - START.days();
    assert_eq!((carried_on(&kept, 0), carried_on(&kept, 1)), (100, 101));
    kept.now = kept.now.plus(DAY * 10);
    assert_eq!(kept.read(&document(vec![item("new", "", "new")])), (0, 0));
    assert_eq!((carried_on(&kept, 0), carried_on(&kept, 1)), (100, 111), "from then on its days are counted");
}

#[test]
fn a_first_fetch_puts_nothing_on_top() {
    let mut kept = Kept::new();
    let mut items: Vec<Item> =
        (0..500).map(|n| dated(item(&format!("{n}"), "", &format!("{n}")), START.minus(DAY * (n + 3)))).collect();
    items.push(item("undated", "", "undated"));
    items.push(item("undated too", "", "undated too"));
    items.push(dated(item("future", "", "future"), START.plus(DAY)));
    let document = Document { updated: Some(START.minus(DAY)), ..document(items) };
    assert_eq!(kept.read(&document), (503, 0));
    let listed = |title| kept.entry(title).key.listed_at;
    assert_eq!(listed("0"), START.minus(DAY * 3));
    assert_eq!((listed("undated"), listed("undated too")), (START.minus(DAY * 2), START.minus(DAY * 3)));
    assert_eq!(listed("future"), START);
    assert_eq!(kept.entry("future").published, Some(START), "its first sight");
    assert_eq!(kept.feed.newest, Some(START));

    let mut kept = Kept::new();
    let undated = (0..3).map(|n| item(&format!("{n}"), "", &format!("{n}"))).collect();
    kept.read(&self::document(undated));
    assert_eq!(kept.titles(), ["0", "1", "2"], "in the document's order");
    assert!(kept.entries.values().all(|entry| entry.key.listed_at <= START.minus(DAY)));
}

#[test]
fn later_entries_stand_between_the_last_success_and_now() {
    let mut kept = Kept::new();
    kept.read(&document(vec![item("a", "", "a")]));
    let (last, now) = (START, START.plus(HOUR));
    let between = START.plus(Duration::from_mins(20));
    kept.read_later(&document(vec![
        dated(item("future", "", "future"), now.plus(DAY)),
        item("undated 1", "", "undated 1"),
        item("undated 2", "", "undated 2"),
        dated(item("on time", "", "on time"), between),
        dated(item("late", "", "late"), last.minus(DAY)),
    ]));
    let listed = |title| kept.entry(title).key.listed_at;
    assert_eq!([listed("future"), listed("undated 1"), listed("on time"), listed("late")], [now, now, between, last]);
    assert_eq!(kept.titles()[..5], ["future", "undated 1", "undated 2", "on time", "late"], "the document's order");
    assert_eq!(kept.entry("late").published, Some(last.minus(DAY)), "shown as the feed says");
}

#[test]
fn an_archive_issued_anew_stays_below() {
    let old = |n: u32| dated(item(&format!("old {n}"), "", &format!("old {n}")), START.minus(DAY * n));
    for (count, place) in [(10, START), (11, START.minus(DAY))] {
        let mut kept = Kept::new();
        kept.read(&document(vec![item("a", "", "a")]));
        let fresh = dated(item("fresh", "", "fresh"), START.plus(Duration::from_mins(1)));
        let items = std::iter::once(fresh).chain((1..=count).map(old)).collect();
        kept.read_later(&document(items));
        assert_eq!(kept.entry("old 1").key.listed_at, place, "{count}");
        assert_eq!(kept.entry("fresh").key.listed_at, START.plus(Duration::from_mins(1)));
    }
}

#[test]
fn numbers_that_run_out_are_not_used_twice() {
    let mut kept = Kept::new();
    kept.feed.next_seq = u32::MAX - 1;
    assert_eq!(kept.read(&document(vec![item("a", "", "a"), item("b", "", "b")])), (1, 0));
}

#[test]
fn empty_texts_are_none() {
    let mut kept = Kept::new();
    let empty = Item {
        summary: Some(Markup::Html(String::new())),
        content: Some(Markup::Text("x".into())),
        ..item("a", "", "a")
    };
    kept.read(&document(vec![empty]));
    assert_eq!((&kept.entry("a").summary, kept.entry("a").content.is_some()), (&None, true));
}

fn any_item() -> impl Strategy<Value = Item> {
    let text = |texts: &'static [&'static str]| prop::option::of(prop::sample::select(texts).prop_map(str::to_owned));
    let time = || {
        prop::option::of(prop_oneof![
            any::<i64>().prop_map(Timestamp::from_millis),
            (0..100i64).prop_map(|h| START.minus(DAY * 2).plus(HOUR * h as u32))
        ])
    };
    let guids = text(&["1", "2", "3", "4", "http://example.org/1"]);
    let links = text(&[
        "http://example.org/1",
        "https://www.example.org/1/",
        "http://example.org/2",
        "http://example.org/2#x",
        "mailto:x",
    ]);
    (guids, links, text(&["a", "b"]), time(), time()).prop_map(|(guid, link, title, published, updated)| Item {
        guid,
        link,
        title,
        published,
        updated,
        ..Item::default()
    })
}

proptest! {
    /// Whatever documents come, whenever: numbers and places are for good, ids are unique, a document seen again
    /// changes nothing, and nothing is listed in the future.
    #[test]
    fn nothing_is_doubled_or_moved(
        documents in prop::collection::vec((prop::collection::vec(any_item(), 0..12), any::<bool>(), -90_000i64..900_000), 1..8),
    ) {
        let mut kept = Kept::new();
        for (items, complete, passed_s) in documents {
            kept.now = Timestamp::from_millis(kept.now.millis() + 1000 * passed_s);
            let document = Document { complete, ..document(items) };
            let (added, _) = kept.read(&document);
            prop_assert!(added <= document.items.len());
            prop_assert_eq!(kept.read(&document).0, 0, "the same document again");
            prop_assert_eq!(kept.read(&document), (0, 0), "and again");
            let guids: HashSet<_> = kept.known.values().map(|known| known.guid).collect();
            prop_assert_eq!(guids.len(), kept.known.len(), "one entry for each identity");
            for (seq, known) in &kept.known {
                let entry = &kept.entries[seq];
                prop_assert_eq!((entry.key.listed_at, entry.first_seen), (known.listed_at, known.first_seen));
                prop_assert!(known.listed_at <= known.first_seen && known.listed_at >= Timestamp::from_millis(0));
            }
        }
    }
}
