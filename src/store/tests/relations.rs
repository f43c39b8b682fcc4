//! What stands between the keeper and the voices: contacts, notices, Webmentions, and what becomes of them when feeds go,
//! come back and are joined.

use super::*;
use crate::model::{ContactKind, WebmentionKind};

fn store() -> (tempfile::TempDir, Store) {
    let home = tempfile::tempdir().expect("there is room");
    let store = Store::open(home.path(), 1 << 20).expect("it opens");
    (home, store)
}

pub(super) fn contact(feed: FeedId, seconds: i64, kind: ContactKind) -> Contact {
    let about = EntryKey { listed_at: at(seconds - 5), feed, seq: 3 };
    let by = Link::to("https://ann.example/about").filter(|_| kind == ContactKind::Shared);
    Contact { at: at(seconds), kind, note: "By mail, “warmly”".into(), about, by, title: "Kiln".into() }
}

pub(super) fn notice(kind: NoticeKind, seconds: i64, mark: u64) -> Notice {
    Notice {
        key: EntryKey { listed_at: at(seconds), feed: FeedId(1), seq: Notice::FIRST_SEQ + mark as u32 },
        kind,
        mark: Hash64(mark),
        title: format!("Told {mark}"),
        text: html("<p>They <b>met</b>.</p>"),
        link: mark.is_multiple_of(2).then(|| "https://example.org/x".to_owned()),
        about: vec![FeedId(1), FeedId(0)],
    }
}

pub(super) fn webmention(n: u32, title: &str) -> Webmention {
    Webmention {
        key: EntryKey { listed_at: at(i64::from(n)), feed: Webmention::FEED, seq: n },
        source: format!("https://far.example/{n}"),
        target: "https://me.example/post".into(),
        kind: WebmentionKind::Reply,
        author: Person { name: "Far".into(), uri: Some("https://far.example/".into()), email: None },
        title: title.into(),
        excerpt: html("<p>Thanks!</p>"),
        published: Some(at(-7)),
        verified: at(i64::from(n) + 1),
    }
}

#[test]
fn contacts_come_back_in_their_order_also_those_of_one_instant() {
    let (_home, store) = store();
    assert_eq!(store.contacts().expect("it reads"), []);
    let contacts: Vec<Contact> = ContactKind::ALL.iter().map(|kind| contact(FeedId(0), 9, *kind)).collect();
    for contact in &contacts {
        store.keep_contact(contact).expect("it keeps");
    }
    let earlier = contact(FeedId(7), 1, ContactKind::Thanked);
    store.keep_contact(&earlier).expect("it keeps");
    assert_eq!(store.contacts().expect("it reads"), [&[earlier][..], &contacts].concat());
}

#[test]
fn contact_survives_its_feed_and_finds_it_when_it_comes_back() {
    let (_home, store) = store();
    let feeds = store.add_feeds(&[url("a"), url("b")], at(0)).expect("it adds");
    store.keep_contact(&contact(feeds[1].id, 5, ContactKind::Thanked)).expect("it keeps");
    let gone = Feed { left_at: Some(at(10)), ..feeds[1].clone() };
    store.commit(&mut [FeedUpdate { feed: gone, changes: vec![], said: vec![], events: vec![] }]).expect("it commits");
    let swept = sweep_all(&store, at(10).plus(Retention::LEFT_FEEDS_KEPT), &Retention::default()).expect("it sweeps");
    assert_eq!(swept.feeds, [feeds[1].id]);
    assert_eq!(store.contacts().expect("it reads")[0].about.feed, feeds[1].id, "nobody has its address");
    let back = store.add_feeds(&[url("b")], at(99)).expect("it adds").remove(0);
    assert_ne!(back.id, feeds[1].id);
    assert_eq!(store.contacts().expect("it reads")[0].about.feed, back.id);
}

#[test]
fn what_was_between_you_and_a_feed_follows_it_into_the_one_that_it_is_joined_with() {
    let (_home, store) = store();
    let feeds = store.add_feeds(&[url("a"), url("b")], at(0)).expect("it adds");
    let (winner, loser) = (feeds[0].id, feeds[1].id);
    let changes: Vec<Change> = (0..3).map(|seq| change(loser, seq, at(i64::from(seq)), "words")).collect();
    let heard: Vec<Said> =
        changes.iter().map(|change| said(change.entry.as_ref().expect("it has a text").key, 3, 0)).collect();
    let update = FeedUpdate { feed: feeds[1].clone(), changes, said: heard.clone(), events: vec![] };
    store.commit(&mut [update]).expect("it commits");
    store.keep_contact(&contact(loser, 5, ContactKind::Shared)).expect("it keeps");
    store.tell(&[notice(NoticeKind::Neglected, 1, 1)]).expect("it tells");
    let join = Join { winner, loser, kinship: Kinship::Edited, is_vouched: true };
    store.join(&join, at(50)).expect("it joins").expect("both are there");
    let joined = contents(&store).expect("it reads");
    let texts: Vec<_> = joined.said.iter().map(|(key, said)| (key.feed, said.clone())).collect();
    let expected: Vec<_> = heard.iter().map(|said| (winner, (said.links.clone(), said.mention))).collect();
    assert_eq!(texts, expected);
    assert_eq!(store.contacts().expect("it reads")[0].about.feed, winner);
    let told = store.notices(&[NoticeKind::Neglected], None, 9).expect("it reads");
    assert_eq!((told[0].key.feed, told[0].about.as_slice()), (FeedId(1), &[winner, winner][..]), "its name stays");
}

#[test]
fn a_mark_is_told_once_and_kinds_are_streams_of_their_own() {
    let (_home, store) = store();
    assert_eq!(store.notices(&NoticeKind::ALL, None, 9).expect("it reads"), []);
    let bridge = |n: i64| notice(NoticeKind::Bridge, n, n as u64);
    let quiet = notice(NoticeKind::FellSilent, 2, 1);
    store.tell(&[bridge(1), bridge(2), bridge(3), quiet.clone()]).expect("it tells");
    let again = Notice { key: EntryKey { listed_at: at(100), ..bridge(1).key }, title: "Again".into(), ..bridge(1) };
    store.tell(&[again]).expect("it tells");
    let told = |kinds: &[NoticeKind], before, max| store.notices(kinds, before, max).expect("it reads");
    assert_eq!(told(&[NoticeKind::Bridge], None, 9), [bridge(3), bridge(2), bridge(1)]);
    assert_eq!(told(&[NoticeKind::Bridge], Some(bridge(3).key), 1), [bridge(2)]);
    assert_eq!(told(&[NoticeKind::Bridge, NoticeKind::FellSilent], Some(bridge(3).key), 1), [bridge(2), quiet]);
}

#[test]
fn of_one_kind_at_most_five_thousand_and_none_older_than_400_days_are_kept() {
    let (_home, store) = store();
    let many: Vec<Notice> = (0..5_003).map(|n| notice(NoticeKind::Newcomer, n, n as u64)).collect();
    store.tell(&many).expect("it tells");
    let told = store.notices(&[NoticeKind::Newcomer], None, usize::MAX).expect("it reads");
    assert_eq!((told.len(), told.last().map(|notice| notice.mark)), (5_000, Some(Hash64(3))));
    let late = notice(NoticeKind::Newcomer, 401 * 86_400, 9_999);
    store.tell(std::slice::from_ref(&late)).expect("it tells");
    assert_eq!(store.notices(&[NoticeKind::Newcomer], None, usize::MAX).expect("it reads"), [late]);
    store.tell(&[notice(NoticeKind::Newcomer, 402 * 86_400, 7)]).expect("it tells");
    assert_eq!(store.notices(&[NoticeKind::Newcomer], None, usize::MAX).expect("it reads").len(), 2, "long forgotten");
}

#[test]
fn a_webmention_is_one_for_its_source_and_target() {
    let (_home, store) = store();
    let first = webmention(1, "First");
    assert_eq!(store.webmention(&first.source, &first.target).expect("it reads"), None);
    store.keep_webmention(&first).expect("it keeps");
    store.keep_webmention(&webmention(2, "Other")).expect("it keeps");
    let newer = Webmention { source: first.source.clone(), ..webmention(3, "Edited") };
    store.keep_webmention(&newer).expect("it keeps");
    let expected = Webmention { key: first.key, ..newer };
    assert_eq!(store.webmention(&first.source, &first.target).expect("it reads"), Some(expected.clone()));
    let snapshot = store.snapshot().expect("it reads");
    assert_eq!(snapshot.webmention(first.key).expect("it reads"), Some(expected));
    let mentions = snapshot.mentions(None, 9).expect("it reads");
    let mention = Mention { way: Way::Web, by: Link::to("https://far.example/") };
    assert_eq!(mentions, [(webmention(2, "").key, mention), (first.key, mention)]);
    let author = Person { uri: Some("https://ann.example/".into()), ..first.author.clone() };
    let claimed = Webmention { source: "https://evil.example/9".into(), author, ..webmention(9, "I am Ann") };
    store.keep_webmention(&claimed).expect("it keeps");
    let by = store.snapshot().expect("it reads").mention(claimed.key).expect("it reads").and_then(|mention| mention.by);
    assert_eq!(by, Link::to("https://evil.example/9"), "nobody is who a page of another host says");
    assert!(store.forget_webmention(&first.source, &first.target).expect("it forgets"));
    assert!(!store.forget_webmention(&first.source, &first.target).expect("it forgets"));
    assert_eq!(store.snapshot().expect("it reads").mentions(None, 9).expect("it reads").len(), 2);
}

#[test]
fn stored_entries_are_heard_step_by_step_also_over_a_restart() {
    let (home, store) = store();
    let feed = store.add_feeds(&[url("a")], at(0)).expect("it adds").remove(0);
    let changes: Vec<Change> = (0..4).map(|seq| change(feed.id, seq, at(i64::from(seq)), "words")).collect();
    store.commit(&mut [FeedUpdate { feed: feed.clone(), changes, said: vec![], events: vec![] }]).expect("it commits");
    assert_eq!(store.heard().expect("it reads"), None);
    let key = |seq: u32| EntryKey { listed_at: at(i64::from(seq)), feed: feed.id, seq };
    let unknown = EntryKey { listed_at: at(77), feed: feed.id, seq: 77 };
    store
        .hear(&[said(key(0), 2, 9), said(key(1), 0, 1), said(unknown, 4, 0)], Hash64(5), Some(key(1)))
        .expect("it hears");
    drop(store);
    let store = Store::open(home.path(), 1 << 20).expect("it opens");
    assert_eq!(store.heard().expect("it reads"), Some((Hash64(5), Some(key(1)))));
    store.hear(&[said(key(0), 0, 9)], Hash64(5), None).expect("it hears");
    assert_eq!(store.heard().expect("it reads"), Some((Hash64(5), None)));
    let said: Vec<EntryKey> = contents(&store).expect("it reads").said.into_keys().collect();
    assert_eq!(said, [key(1)]);
    let snapshot = store.snapshot().expect("it reads");
    assert_eq!(snapshot.first_since(feed.id, at(2)).expect("it reads"), Some(key(2)));
    assert_eq!(snapshot.first_since(feed.id, at(4)).expect("it reads"), None);
}
