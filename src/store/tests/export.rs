//! What is exported comes back, to the byte; what is no whole export changes nothing.

use std::path::Path;

use super::relations::{contact, notice, webmention};
use super::{faults, fixture, *};
use crate::model::{Came, ContactKind, Fetch, HealthEvent, HealthKind, Recent, Trouble};
use crate::store::{ImportError, RemoteCopy};

fn export(store: &Store) -> String {
    let mut bytes = Vec::new();
    let moved = store.export(&mut bytes).expect("it exports");
    let text = String::from_utf8(bytes).expect("JSON is UTF-8");
    assert_eq!(moved.lines, text.lines().count() as u64);
    text
}

fn import(directory: &Path, text: &str) -> Result<Store, ImportError> {
    Store::import(directory, 1 << 20, text.as_bytes())?;
    assert!(!directory.join("listend.import").exists(), "nothing is left of the work");
    Ok(Store::open(directory, 1 << 20).expect("what was imported opens"))
}

/// So many events of a feed, and something of everything else, beside what a day or a fixture has.
fn enrich(store: &Store, events: i64) {
    let feeds = store.feeds().expect("it reads");
    let mut feed = talkative(feeds[0].clone());
    feed.left_at = None;
    feed.trouble = Some(Trouble::BrokenForAWeek);
    feed.recent = Recent::of((0..24).map(|n| Fetch {
        at: at(n * 60),
        status: (n % 3 > 0).then_some(200),
        came: Came::ALL[n as usize % 5],
        new: n as u16,
    }));
    feed.remember([url("alias"), url("b")].iter());
    let key = |feed, seconds| EntryKey { listed_at: at(seconds), feed, seq: HealthEvent::FIRST_SEQ + 1 };
    let happened = |feed, seconds| HealthEvent {
        key: key(feed, seconds),
        kind: HealthKind::ALL[seconds as usize % 9],
        list: (feed == HealthEvent::NO_FEED).then(|| "desired".to_owned()),
        title: "It moved \u{2028} “there”".into(),
        text: html("<p>It <b>moved</b>.</p>"),
    };
    let events = (0..events).map(|n| happened(feed.id, n)).collect();
    store.commit(&mut [FeedUpdate { feed, changes: vec![], said: vec![], events }]).expect("it commits");
    store.note(&[happened(HealthEvent::NO_FEED, 9)]).expect("it notes");
    for n in [1, 1, 2] {
        store.keep_contact(&contact(feeds[0].id, n, ContactKind::ALL[n as usize])).expect("it keeps");
    }
    store.keep_contact(&contact(feeds[0].id, 1, ContactKind::Thanked)).expect("it keeps");
    let old = notice(NoticeKind::Neglected, -900 * 86_400, 5);
    store.tell(&[old]).expect("it tells");
    store.tell(&[notice(NoticeKind::Bridge, 9, 77), notice(NoticeKind::Newcomer, 9, 78)]).expect("it tells");
    for n in [3, 4] {
        store.keep_webmention(&webmention(n, "Far")).expect("it keeps");
    }
    let copy = RemoteCopy {
        url: url("remote.opml"),
        schedule: talkative(feeds[0].clone()).schedule,
        validators: Validators { etag: Some(b"\"x\"".to_vec()), ..Validators::default() },
        content: Some(b"<opml>\xE9</opml>".repeat(9)),
    };
    let copy = RemoteCopy { schedule: Schedule { pending_move: None, ..Schedule::new(at(0)) }, ..copy };
    store.keep_copies(&[copy], &[]).expect("it keeps");
    store.save_list("latin", Some(b"<opml>\xE9</opml>"), &ListNews::default()).expect("it saves");
}

#[test]
fn everything_comes_back_to_the_byte() {
    for fill in [faults::live_a_day as fn(&Store), |store| drop(fixture::fill(store))] {
        let home = tempfile::tempdir().expect("there is room");
        let store = Store::open(&home.path().join("first"), 1 << 20).expect("it opens");
        fill(&store);
        enrich(&store, 700);
        let first = export(&store);
        assert_eq!(export(&store), first, "the same state gives the same bytes");
        for kind in [
            "feed",
            "identity",
            "entry",
            "list",
            "remote_list",
            "list_event",
            "path",
            "feed_event",
            "contact",
            "notice",
            "told",
            "webmention",
            "end",
        ] {
            assert!(first.contains(&format!("\n{{\"kind\":\"{kind}\",")), "{kind}");
        }
        let copy = import(&home.path().join("second"), &first).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(export(&copy), first);
        // Links and mentions are heard anew; all else is what it was.
        let (mut before, after) = (contents(&store).expect("it reads"), contents(&copy).expect("it reads"));
        before.said.retain(|key, _| key.feed == Webmention::FEED);
        assert_eq!(after.said.len(), before.webmentions.len());
        assert_eq!(after, before);
        assert_eq!(copy.heard().expect("it reads"), None, "entries are to be heard anew");
        assert_eq!(copy.copies().expect("it reads"), store.copies().expect("it reads"));
        assert_eq!(copy.health(None, 999).expect("it reads"), store.health(None, 999).expect("it reads"));
        // Numbers go on, and life does.
        let new = [url("quite new")];
        let (one, other) = (store.add_feeds(&new, at(0)).expect("it adds"), copy.add_feeds(&new, at(0)));
        assert_eq!(other.expect("it adds"), one);
    }
}

#[test]
fn an_empty_store_is_exported_and_imported_into_an_empty_one() {
    let home = tempfile::tempdir().expect("there is room");
    let open = || Store::open(home.path(), 1 << 20).expect("it opens");
    let first = export(&open());
    assert_eq!(first.lines().count(), 2);
    // Notes of another database wait there, about feeds that it does not have.
    let other = tempfile::tempdir().expect("there is room");
    let strange = Store::open(other.path(), 1 << 20).expect("it opens");
    let feed = strange.add_feeds(&[url("a")], at(0)).expect("it adds").remove(0);
    strange.note_state(&feed).expect("there is room");
    for name in ["listend.states.0", "listend.states.1"] {
        let _ = std::fs::copy(other.path().join(name), home.path().join(name));
    }
    let filled = export(&strange);
    drop(import(home.path(), &filled).expect("the database there is empty"));
    assert_eq!(export(&open()), filled);
    for text in [&first, &filled] {
        let error = import(home.path(), text).expect_err("something is there").to_string();
        assert!(error.contains("listend.redb: the database is not empty"), "{error}");
    }
    assert_eq!(export(&open()), filled, "it stays");
}

#[test]
fn a_database_in_use_is_left_alone() {
    let home = tempfile::tempdir().expect("there is room");
    let store = Store::open(home.path(), 1 << 20).expect("it opens");
    let error = import(home.path(), &export(&store)).expect_err("it is in use").to_string();
    assert!(error.contains("another listend is using this database"), "{error}");
}

#[test]
fn credentials_stay_at_home() {
    let home = tempfile::tempdir().expect("there is room");
    let store = Store::open(&home.path().join("first"), 1 << 20).expect("it opens");
    let secret = |path: &str| FeedUrl::parse(&format!("https://ann:hunter2@example.org/{path}")).expect("an address");
    let urls = vec![secret("a"), url("b"), secret("b"), secret("c")];
    let other = FeedUrl::parse("https://bob:hunter2@example.org/a").expect("an address");
    let urls = [urls, vec![other]].concat();
    let list = b"<opml><outline xmlUrl=\"https://ann:hunter2@example.org/a\"/>\xE9</opml>";
    let joined = ListEvent { feeds: vec![secret("a")], ..event(1, ListEventKind::Joined, "ann") };
    let feeds = store
        .take_over(
            &TakeOver {
                contents: vec![
                    ("latin".into(), Some(list.to_vec())),
                    ("utf8".into(), Some(list[..list.len() - 8].to_vec())),
                    ("wide".into(), Some(b"\xFF\xFEh\0u\0n\0t\0".to_vec())),
                    (
                        "hidden".into(),
                        Some(b"<opml><outline xmlUrl=\"https://ann:hunter2&#064;a.example/\"/></opml>".to_vec()),
                    ),
                    ("unmarked".into(), Some(list[..list.len() - 8].iter().flat_map(|byte| [*byte, 0]).collect())),
                ],
                news: ListNews { happened: vec![joined], cancelled: vec![] },
                paths: vec![("/ann".into(), secret("a"))],
                urls,
                edits: vec![],
            },
            at(0),
        )
        .expect("it takes over");
    let moved = Feed { moved_to: Some(secret("moved")), ..feeds[0].clone() };
    let moved = Feed { validators: Validators { from: Some(secret("moved")), ..Validators::default() }, ..moved };
    let changes = vec![change(moved.id, 0, at(5), "words")];
    store.commit(&mut [FeedUpdate { feed: moved, changes, said: vec![], events: vec![] }]).expect("it commits");
    store.keep_contact(&contact(feeds[0].id, 5, ContactKind::Shared)).expect("it keeps");
    let remote = RemoteCopy {
        url: url("wide.opml"),
        schedule: Schedule::new(at(0)),
        validators: Validators { etag: Some(b"\"x\"".to_vec()), ..Validators::default() },
        content: Some(b"<\0o\0p\0m\0l\0/\0>\0".to_vec()),
    };
    store.keep_copies(&[remote], &[]).expect("it keeps");
    let first = export(&store);
    assert!(!first.replace("\\u0000", "").contains("hunter2"), "{first}");
    let moved = store.export(&mut std::io::sink()).expect("it exports");
    assert_eq!(moved.lists_left_out, 4, "in these nothing can be cut");
    assert!(!first.contains("\"etag\""), "the remote one must come again as a whole");
    let copy = import(&home.path().join("second"), &first).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(export(&copy), first);
    let lists = copy.lists().expect("it reads");
    let expected = b"<opml><outline xmlUrl=\"https://example.org/a\"/>\xE9</opml>".to_vec();
    assert_eq!(
        lists,
        [("latin".to_owned(), expected.clone()), ("utf8".to_owned(), expected[..expected.len() - 8].to_vec())]
    );

    // The outline says the whole address again, as edited: what came before goes on there when it is fetched.
    let edits = vec![(url("a"), secret("a"))];
    let taken = copy.take_over(&TakeOver { urls: vec![secret("a")], edits, ..TakeOver::default() }, at(9));
    let taken = taken.expect("it takes over").remove(0);
    assert_eq!((taken.url.as_str(), taken.predecessor), (secret("a").as_str(), Some(feeds[0].id)));
    let join = Join { winner: feeds[0].id, loser: taken.id, kinship: Kinship::Edited, is_vouched: true };
    let joined = copy.join(&join, at(10)).expect("it joins").expect("both are there");
    assert_eq!((joined.id, joined.entries, joined.url), (feeds[0].id, 1, secret("a")));
}

#[test]
fn a_line_that_is_wrong_is_named_and_nothing_is_imported() {
    let home = tempfile::tempdir().expect("there is room");
    let store = Store::open(&home.path().join("first"), 1 << 20).expect("it opens");
    faults::live_a_day(&store);
    enrich(&store, 700);
    let whole = export(&store);
    let lines: Vec<&str> = whole.lines().collect();
    let find = |kind: &str| {
        let start = format!("{{\"kind\":\"{kind}\"");
        lines.iter().position(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("there is a {kind}"))
    };
    let with = |n: usize, line: &str| {
        let mut changed = lines.clone();
        changed[n] = line;
        changed.join("\n") + "\n"
    };
    let twice = |n: usize| {
        let mut changed = lines.clone();
        changed.insert(n, lines[n]);
        changed.join("\n") + "\n"
    };
    let (feed, identity, entry) = (find("feed"), find("identity"), find("entry"));
    let version =
        |version: u32| with(0, &format!("{{\"kind\":\"head\",\"listend_export\":{version},\"next_feed\":9}}"));
    let mut cases = vec![
        (String::new(), 1, "cut off"),
        (whole[..whole.len() - 1].to_owned(), lines.len(), "cut off"),
        (lines[..lines.len() - 1].join("\n") + "\n", lines.len(), "cut off"),
        (whole.clone() + "{}\n", lines.len() + 1, "missing field `kind`"),
        (whole.clone() + lines[0] + "\n", lines.len() + 1, "follows the end"),
        (lines[1..].join("\n") + "\n", 1, "begins otherwise"),
        (version(2), 1, "has version 2"),
        (version(0), 1, "no version 0"),
        (with(feed, "{not json"), feed + 1, "no JSON"),
        (with(feed, "\u{FFFD}"), feed + 1, "no JSON"),
        (with(feed, "{\"kind\":\"surprise\"}"), feed + 1, "unknown variant `surprise`"),
        (with(entry, &lines[entry].replace("\"title\"", "\"tilte\"")), entry + 1, "unknown field `tilte`"),
        (with(entry, &lines[entry].replace("\"listed_at\":\"20", "\"listed_at\":\"late 20")), entry + 1, "RFC 3339"),
        (with(entry, &lines[entry].replace("\"number\":", "\"number\":9000")), entry + 1, "no identity of number"),
        (with(entry, &lines[entry].replace("\"feed\":0", "\"feed\":1")), entry + 1, "not the one above"),
        (with(identity, &lines[identity].replace("\"number\":", "\"number\":900000")), identity + 1, "next_number"),
        (with(identity, &lines[identity].replace("\"guid\":\"0", "\"guid\":\"x")), identity + 1, "16 hex digits"),
        (with(feed, &lines[feed].replace("https://example.org/e\"", "nowhere\"")), feed + 1, "no address of a feed"),
        (twice(0), 2, "in the middle of another"),
        (lines[..1].iter().chain(&lines[2..]).copied().collect::<Vec<_>>().join("\n") + "\n", 2, "not the one above"),
    ];
    for kind in [
        "feed",
        "identity",
        "entry",
        "list",
        "remote_list",
        "list_event",
        "path",
        "feed_event",
        "contact",
        "notice",
        "told",
        "webmention",
    ] {
        cases.push((twice(find(kind)), find(kind) + 2, "came before"));
    }
    for (text, number, reason) in cases {
        let target = home.path().join("second");
        let error = import(&target, &text).expect_err(reason).to_string();
        assert!(error.starts_with(&format!("line {number}: ")) && error.contains(reason), "{error}: {reason}");
        assert!(error.ends_with("nothing was imported"), "{error}");
        assert_eq!(std::fs::read_dir(&target).expect("it is there").count(), 0, "{error}");
    }
    // Any line left out is missed at the end, at the latest.
    for left_out in (1..lines.len() - 1).step_by(97) {
        let rest: Vec<&str> = lines[..left_out].iter().chain(&lines[left_out + 1..]).copied().collect();
        assert!(import(&home.path().join("second"), &(rest.join("\n") + "\n")).is_err(), "line {left_out}");
    }
    import(&home.path().join("second"), &whole).expect("the whole is imported after all that");
}

/// What this program's first version exported, with every kind of line and field in it.
const FIRST: &str = include_str!("export-1.ndjson");

#[test]
fn an_export_of_the_first_version_is_read_for_ever() {
    let home = tempfile::tempdir().expect("there is room");
    let copy = import(&home.path().join("second"), FIRST).unwrap_or_else(|error| panic!("{error}"));
    // For as long as it is the newest version, too, it is also what is written.
    assert_eq!(export(&copy), FIRST);
    let store = Store::open(&home.path().join("first"), 1 << 20).expect("it opens");
    faults::live_a_day(&store);
    enrich(&store, 9);
    assert_eq!(export(&store), FIRST, "the same things have the same names");
}

/// Whoever adds a table says here whether it is exported.
#[test]
fn every_table_is_exported_or_left_out_on_purpose() {
    let exported = [
        "meta",
        "feeds",
        "states",
        "urls",
        "entries",
        "known",
        "identities",
        "texts",
        "lists",
        "events",
        "health",
        "paths",
        "copies",
        "contacts",
        "notices",
        "told",
        "webmentions",
    ];
    // Counted or heard anew, agreed anew with hubs, found again by what is exported.
    let left_out = ["counts", "links", "said", "mentions", "heard", "hubs", "sources"];
    let home = tempfile::tempdir().expect("there is room");
    let store = Store::open(home.path(), 1 << 20).expect("it opens");
    faults::live_a_day(&store);
    enrich(&store, 9);
    let tables = store.engine.read(|transaction| {
        let tables = transaction.list_tables()?;
        Ok(tables.map(|table| redb::TableHandle::name(&table).to_owned()).collect::<std::collections::BTreeSet<_>>())
    });
    let known: std::collections::BTreeSet<String> =
        exported.iter().chain(&left_out).map(|name| (*name).to_owned()).collect();
    for table in tables.expect("it reads") {
        assert!(known.contains(&table), "{table}: exported or not?");
    }
}
