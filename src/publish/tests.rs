//! What a page becomes in each format. These tests live in the crate because only the crate can make clean HTML.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use proptest::prelude::*;
use quick_xml::events::Event;

use crate::listen::page::{Listed, Page, Query};
use crate::model::{
    Came, Category, CleanHtml, Enclosure, EntryKey, FeedId, FeedState, Fetch, Person, Recent, Role, Timestamp,
    redact_text,
};

use super::html::{Asked, Circle, FeedRow, Folder, Front, Hearing, ListRow, Status};
use super::{Site, address, atom, fragment, html, json, opml, rss, said, xml};

use sample::{outline, rich, site, source, time, village};

mod sample;

/// Gives the files to validators that we did not write. Without the virtual environment that `tests/run` makes, says so
/// and checks nothing.
fn validate(kind: &str, documents: &[(&str, &str)]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".venv/bin/python");
    if !python.exists() {
        eprintln!("no {}: {kind} is not validated; tests/run makes it", python.display());
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(python);
    command.arg(root.join("tests/validate.py")).arg(kind);
    for (name, document) in documents {
        let path = directory.path().join(name);
        std::fs::write(&path, document).unwrap();
        command.arg(path);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// Snapshots without the version, so that a release changes none.
fn snapshot(name: &str, document: &str) {
    let document =
        document.replace(env!("CARGO_PKG_VERSION"), "VERSION").replace(html::style_path(), "/style-HASH.css");
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, document);
    });
}

#[test]
fn atom_of_a_rich_page() {
    let document = atom::render(&rich(), &site());
    validate("atom", &[("rich.atom", &document), ("village.atom", &atom::render(&village(), &site()))]);
    snapshot("atom", &document);
}

#[test]
fn rss_of_a_rich_page() {
    let document = rss::render(&rich(), &site());
    validate("rss", &[("rich.rss", &document), ("village.rss", &rss::render(&village(), &site()))]);
    snapshot("rss", &document);
}

#[test]
fn json_of_a_rich_page() {
    let document = json::render(&rich(), &site());
    validate("json", &[("rich.json", &document), ("village.json", &json::render(&village(), &site()))]);
    snapshot("json", &document);
}

#[test]
fn no_feed_takes_the_id_of_another_feeds_entry() {
    let seen = |slug: &str, feed, first_seen: &str, guid: &str| {
        // Whoever wants to be first says an early date.
        let mut entry = sample::entry(feed, 1, if slug == "mallory" { "2001-01-01T00:00:00Z" } else { first_seen }, "");
        entry.first_seen = time(first_seen);
        entry.guid = guid.to_owned();
        let mut source = (*source(slug, slug, &[])).clone();
        source.home = Some("https://ann.example/".into());
        Listed { entry, source: source.into(), reason: None }
    };
    let (early, late) = ("2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z");
    let kept = |entries: &[Listed]| {
        let page = sample::page("/listen", "Everyone", entries.to_vec());
        let ids = said::ids(&page, &site());
        let unique: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len());
        ids.iter().zip(entries).map(|(id, listed)| *id == listed.entry.guid).collect::<Vec<_>>()
    };
    for guid in ["https://ann.example/1", "http://WWW.Ann.example/?p=1"] {
        let (ann, mallory) = (seen("ann", 2, late, guid), seen("mallory", 1, early, guid));
        assert_eq!(kept(&[ann.clone(), mallory.clone()]), [true, false], "{guid}");
        assert_eq!(kept(std::slice::from_ref(&mallory)), [false], "{guid}: alone on a page, too");
        assert_eq!(kept(std::slice::from_ref(&ann)), [true], "{guid}");
    }
    for guid in ["tag:ann.example,2026:1", "urn:uuid:1225c695-cfb8-4ebb-aaaa-80da344efa6a", "at://did:plc:abc/x/1"] {
        let (ann, mallory) = (seen("ann", 2, early, guid), seen("mallory", 1, late, guid));
        assert_eq!(kept(&[mallory.clone(), ann.clone()]), [false, true], "{guid}");
        assert_eq!(kept(&[ann, mallory]), [true, false], "{guid}");
    }
    let (first, second) =
        (seen("ann", 3, early, "https://ann.example/1"), seen("ann", 2, early, "https://ann.example/1"));
    assert_eq!(kept(&[first, second]), [false, true]);
}

#[test]
fn an_empty_page_and_one_without_extras_are_valid() {
    let plain = Site { hub: None, contact_links: false, ..site() };
    let mut empty = sample::page("/desired", "Desired", Vec::new());
    empty.head.about = String::new();
    for page in [&empty, &rich()] {
        validate("atom", &[("plain.atom", &atom::render(page, &plain))]);
        validate("rss", &[("plain.rss", &rss::render(page, &plain))]);
        validate("json", &[("plain.json", &json::render(page, &plain))]);
        validate("page", &[("plain.html", &html::river(page, &plain))]);
    }
    assert!(!atom::render(&rich(), &plain).contains("answered/"));
    assert!(!atom::render(&rich(), &plain).contains("rel=\"hub\""));
}

#[test]
fn all_formats_say_the_same_entries() {
    for page in [rich(), village()] {
        let (atom, rss, json) =
            (atom::render(&page, &site()), rss::render(&page, &site()), json::render(&page, &site()));
        validate("same", &[("a.atom", &atom), ("a.rss", &rss), ("a.json", &json)]);
    }
}

#[test]
fn pages_for_people_are_whole_and_load_nothing() {
    let documents = [
        ("rich.html", html::river(&rich(), &site())),
        ("village.html", html::river(&village(), &site())),
        (
            "front.html",
            html::front(
                &Front { river: &village(), circles: &circles(), hearing: Hearing::Everybody, today: None },
                &site(),
            ),
        ),
        ("message.html", html::message(&site(), "Nothing <here>", &["There is no view at /x."], &site().lists)),
        ("status.html", html::status(&feeds(), &site())),
    ];
    let documents: Vec<(&str, &str)> = documents.iter().map(|(name, document)| (*name, document.as_str())).collect();
    validate("page", &documents);
    snapshot("river", documents[0].1);
    snapshot(
        "front",
        &html::front(&Front { river: &rich(), circles: &circles(), hearing: Hearing::Everybody, today: None }, &site()),
    );
    snapshot("message", documents[3].1);
    snapshot("status", documents[4].1);
    for loading in ["url(", "@import", "@font-face", "http"] {
        assert!(!html::STYLE.contains(loading), "the style sheet has {loading}");
    }
}

#[test]
fn the_front_page_says_how_far_listening_has_come() {
    let empty = sample::page("/listen", "Everyone", Vec::new());
    let at =
        |circles: &[Circle], hearing| html::front(&Front { river: &empty, circles, hearing, today: None }, &site());
    let nobody = at(&[], Hearing::Nobody);
    assert!(nobody.contains("Nobody is listed yet") && nobody.contains("followers.opml"));
    let first = at(&circles(), Hearing::FirstRound { asked: 12, feeds: 54 });
    assert!(first.contains("12 of 54 feeds have answered") && first.contains("/followers.atom"));
    let silent = at(&circles(), Hearing::Everybody);
    assert!(silent.contains("Nobody has said anything yet"));
    validate("page", &[("nobody.html", &nobody), ("first.html", &first), ("silent.html", &silent)]);
}

#[test]
fn pages_say_quietly_that_feeds_need_a_look() {
    let mut page = village();
    let pages = |page: &Page| {
        let front = Front { river: page, circles: &circles(), hearing: Hearing::Everybody, today: None };
        [html::front(&front, &site()), html::river(page, &site())]
    };
    assert!(pages(&page).iter().all(|page| !page.contains("/health.html")));
    page.troubled = 3;
    for page in pages(&page) {
        assert!(page.contains("<a href=\"/health.html\">3 feeds need a look</a>"));
    }
}

#[test]
fn the_river_says_why_it_is_empty() {
    let mut page = sample::page("/listen", "Everyone", Vec::new());
    assert!(html::river(&page, &site()).contains("Nothing has been said here yet"));
    page.query.words = vec!["kiln".into()];
    assert!(html::river(&page, &site()).contains("Nobody said that"));
    page.next = Some(EntryKey { listed_at: time("2026-11-20T00:00:00Z"), feed: FeedId(4), seq: 0 });
    let looked = html::river(&page, &site());
    assert!(looked.contains("Nothing among the entries looked at so far") && looked.contains("rel=\"next\""));
}

#[test]
fn a_page_for_people_keeps_to_its_budget_however_long_the_entries_are() {
    let long = format!("<p>{}</p>", "word ".repeat(8_000));
    let entries = (0..500).map(|seq| {
        let mut entry = sample::entry(1, seq, "2026-11-22T09:10:00Z", "Long");
        entry.content = Some(sample::html(&long));
        Listed { entry, source: source("Kiln Lane", "kiln", &[]), reason: None }
    });
    let page = sample::page("/listen", "Everyone", entries.collect());
    let bytes = html::river(&page, &site()).len();
    assert!(bytes < 1_500_000, "{bytes} bytes");
}

#[test]
fn the_same_page_makes_the_same_bytes() {
    let renders: [fn(&Page, &Site) -> String; 4] = [atom::render, rss::render, json::render, html::river];
    for render in renders {
        assert_eq!(render(&rich(), &site()), render(&rich(), &site()));
    }
}

#[test]
fn opml_keeps_what_lists_say_and_cuts_credentials() {
    let mut deep = outline(&[("text", "bottom"), ("xmlUrl", "https://deep.example/")], Vec::new());
    for _ in 0..240 {
        deep = outline(&[("text", "level")], vec![deep]);
    }
    let outlines = [
        outline(
            &[("text", "People & <friends>\n"), ("isOpen", "true"), ("isOpen", "false"), ("bad name", "x"), ("", "x")],
            vec![
                outline(
                    &[
                        ("type", "rss"),
                        ("title", "Kiln\0 Lane"),
                        ("xmlurl", "https://ann:secret@kiln.example/feed?a=1&b=\"2\""),
                        ("htmlUrl", "https://secret@kiln.example/"),
                        ("note", "write to ann@kiln.example"),
                        ("other", " http://ann:secret@kiln.example/x "),
                    ],
                    Vec::new(),
                ),
                outline(&[("xmlUrl", "ann:1secret@kiln.example/feed")], Vec::new()),
                outline(&[("xmlUrl", "http://ann:secret@kiln.example:99999/feed")], Vec::new()),
                outline(&[("url", "http://ann:secret@/feed")], Vec::new()),
                outline(
                    &[
                        ("text", "prefixes"),
                        ("xmlns:a", "https://a.example/ns"),
                        ("xmlns:b", "https://a.example/ns"),
                        ("a:x", "1"),
                        ("b:x", "2"),
                        ("c:x", "3"),
                        ("xml:lang", "de"),
                        ("xml:id", "1 2"),
                        ("xmlns", "https://else.example/"),
                    ],
                    Vec::new(),
                ),
            ],
        ),
        deep,
    ];
    let document = opml::render("Everyone & all", &outlines);
    validate("opml", &[("deep.opml", &document), ("none.opml", &opml::render("", &[]))]);
    assert!(!document.contains("secret"), "{document}");
    snapshot("opml", &opml::render("Everyone & all", &outlines[..1]));
}

#[test]
fn opml_says_no_secret_in_texts_and_leads_only_to_the_web() {
    let texts = outline(
        &[
            ("text", "My feed http://ann:s3cret@host/feed3"),
            ("description", "see http://ann:s3cret@host/x and //bo:s3cret@b"),
            ("xmlUrl", "htp:/ann:s3cret@x y/"),
            ("xmlns:a", "http://ann:s3cret@host/ns"),
            ("a:x", "http:ann:s3cret@host"),
            ("b", "http:/\u{1}/ann:s3cret@host"),
        ],
        Vec::new(),
    );
    let document = opml::render("Lists of http://ann:s3cret@host/", std::slice::from_ref(&texts));
    validate("opml", &[("texts.opml", &document)]);
    assert!(!document.contains("s3cret") && document.contains("My feed http://host/feed3"), "{document}");

    let exported = |name, value| opml::render("", &[outline(&[("text", "x"), (name, value)], Vec::new())]);
    for name in ["htmlUrl", "url", "HTMLURL"] {
        for link in [
            "javascript:alert(1)",
            " java\tscript:alert(1)",
            "java\u{1}script:alert(1)",
            "\u{1}javascript:1/x",
            "JavaScript://ann@x/%0aalert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
        ] {
            assert!(!exported(name, link).contains(name), "{link:?}");
        }
        for link in ["https://kiln.example/", " HTTP://kiln.example ", "kiln.example/", "/about"] {
            assert!(exported(name, link).contains(name), "{link:?}");
        }
    }
}

#[test]
fn addresses_say_only_what_differs_from_the_defaults() {
    let site = site();
    assert_eq!(address(&site, "/listen", "atom", &Query::default()), "https://listen.example/listen.atom");
    let query = Query {
        limit: 20,
        since: Some(time("2026-11-22T09:10:00Z")),
        words: vec!["kiln".into(), "w&rm=ü".into()],
        per_voice: Some(2),
        before: Some(EntryKey { listed_at: Timestamp::from_millis(16), feed: FeedId(1), seq: 2 }),
    };
    assert_eq!(
        address(&site, "/desired/oakland-makers", "", &query),
        "https://listen.example/desired/oakland-makers?limit=20&since=2026-11-22T09%3A10%3A00Z&q=kiln+w%26rm%3D%C3%BC\
         &per_voice=2&before=00000000000000100000000100000002"
    );
    let below = Site { base_url: "https://example.org/feeds/".parse().unwrap(), ..site };
    assert_eq!(address(&below, "/listen", "rss", &Query::default()), "https://example.org/feeds/listen.rss");
    assert!(html::river(&village(), &below).contains("href=\"/feeds/voices/kiln-lane\""));
}

fn circles() -> Vec<Circle> {
    let folder = |title: &str, path: &str| Folder { title: title.into(), path: path.into(), voices: 9 };
    let circle = |title: &str, path: &str, role| Circle {
        title: title.into(),
        path: path.into(),
        role,
        voices: 31,
        feeds: 38,
        folders: vec![folder("Oakland makers", &format!("{path}/oakland-makers"))],
    };
    vec![
        circle("Followers", "/followers", Role::Followers),
        circle("Desired", "/desired", Role::Desired),
        circle("Old <friends>", "/old-friends", Role::Circle),
    ]
}

/// A feed in this state, which came to it in the last day.
fn feed_row(title: &str, state: FeedState, last_answer: &str) -> FeedRow {
    let came = match state {
        FeedState::New => None,
        FeedState::Ok => Some((Came::Unchanged, Some(304))),
        FeedState::Quarantined => Some((Came::Unreadable, Some(200))),
        FeedState::Backoff => Some((Came::Failed, None)),
        FeedState::Held | FeedState::Gone => {
            Some((Came::Refused, Some(if state == FeedState::Gone { 410 } else { 429 })))
        }
    };
    let fetches = (0..Recent::MAX).filter_map(|n| {
        let at = time("2026-11-21T10:10:00Z").plus(Duration::from_mins(n as u64 * 60));
        let (came, status) = if n < 16 { (Came::Unchanged, Some(304)) } else { came? };
        let (came, new) = if n % 7 == 3 && came.is_good() { (Came::Read, n as u16) } else { (came, 0) };
        Some(Fetch { at, status, came, new })
    });
    let is_failing = matches!(state, FeedState::Backoff | FeedState::Gone | FeedState::Quarantined);
    FeedRow {
        title: title.into(),
        url: format!("https://{}.example/feed", title.to_lowercase().replace(' ', "-")),
        moved_to: None,
        voice_path: Some("/voices/x".into()),
        lists: vec![("Followers".into(), "/followers".into())],
        state,
        is_silent: false,
        failing_since: is_failing.then(|| time("2026-11-22T02:10:00Z")),
        last_attempt: (state != FeedState::New).then(|| time("2026-11-22T09:10:00Z")),
        last_answer: last_answer.into(),
        last_success: (state == FeedState::Ok).then(|| time("2026-11-22T09:10:00Z")),
        next_poll: (state != FeedState::Gone).then(|| time("2026-11-22T10:10:00Z")),
        newest: Some(time("2026-05-01T10:10:00Z")),
        entries: 42,
        recent: if state == FeedState::New { Recent::default() } else { Recent::of(fetches) },
    }
}

fn list_row(name: &str, fault: Option<&str>, warnings: &[(usize, &str)]) -> ListRow {
    ListRow {
        name: name.into(),
        title: name.into(),
        path: format!("/{name}"),
        fault: fault.map(str::to_owned),
        warnings: warnings.iter().map(|(line, reason)| (*line, (*reason).to_owned())).collect(),
    }
}

fn fares(lists: Vec<ListRow>, feeds: Vec<FeedRow>) -> Status {
    let mut states = BTreeMap::new();
    for feed in &feeds {
        *states.entry(feed.state).or_default() += 1;
    }
    Status { lists, states, asked: Asked::default(), matching: feeds.len(), feeds }
}

fn feeds() -> Status {
    let mut moved = feed_row("Quay <Street>", FeedState::Ok, "nothing new (304)");
    moved.moved_to = Some("https://quay.example/new".into());
    moved.is_silent = true;
    fares(
        vec![
            list_row("followers", Some("line 12: cut short"), &[]),
            list_row("desired", None, &[(3, "the address is no http(s) URL"), (9, "an outline without a feed")]),
            list_row("mine", None, &[]),
        ],
        vec![
            feed_row("Bench", FeedState::Quarantined, "the parser broke on it"),
            feed_row("Night", FeedState::Gone, "the server says that the feed is gone for good (HTTP 410)"),
            feed_row("Café", FeedState::Backoff, "nobody answers at that address"),
            feed_row("Harbour", FeedState::Held, "the server says that we ask too often (HTTP 429)"),
            feed_row("Stage", FeedState::New, "not asked yet"),
            moved,
            feed_row("Kiln", FeedState::Ok, "the feed (200)"),
        ],
    )
}

#[test]
fn the_status_page_has_a_word_for_each_state_of_the_whole() {
    let list = || vec![list_row("followers", None, &[])];
    let all = |state, n: usize| (0..n).map(|n| feed_row(&format!("Feed {n}"), state, "it says")).collect::<Vec<_>>();
    let mut first = all(FeedState::New, 5);
    first.extend(all(FeedState::Ok, 3));
    let mut none = fares(list(), Vec::new());
    none.asked.state = Some(FeedState::Gone);
    let mut many = fares(list(), all(FeedState::Ok, Status::ROWS));
    many.matching = 450;
    many.asked = Asked { state: Some(FeedState::Ok), list: Some("followers".into()), page: 2 };
    let cases = [
        ("nobody.html", Status::default(), "There is no list yet"),
        ("empty.html", fares(list(), Vec::new()), "No list names a feed yet."),
        ("begins.html", fares(list(), all(FeedState::New, 4)), "No feed was asked yet: the first round begins."),
        ("first.html", fares(list(), first), "The first round is under way: 3 of 8 feeds were asked."),
        ("fine.html", fares(list(), all(FeedState::Ok, 4)), "All 4 feeds answer."),
        ("broken.html", fares(list(), all(FeedState::Backoff, 4)), "None of 4 feeds can be heard."),
        ("some.html", feeds(), "2 of 7 feeds answer, and 1 was not asked yet"),
        ("none.html", none, "No feed is in that state."),
        ("many.html", many, "href=\"/status?state=ok&amp;list=followers&amp;page=3\""),
    ];
    let pages: Vec<_> = cases.map(|(name, fares, words)| (name, html::status(&fares, &site()), words)).into();
    for (name, page, words) in &pages {
        assert!(page.contains(words), "{name}: {words}");
    }
    let pages: Vec<(&str, &str)> = pages.iter().map(|(name, page, _)| (*name, page.as_str())).collect();
    validate("page", &pages);
}

/// Text as feeds send it at their worst.
fn worst() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[<>&\"'\\]\\[!\\-a \u{0}-\u{20}\u{7f}-\u{9f}\u{fffe}\u{202e}𝄞]{0,24}",
        "(https?|javascript|tag|urn|mailto):(//)?[a-z@:%/?#\u{e4}|^ ]{0,20}",
        Just("]]>".to_owned()),
        Just("https://ann:secret@example.org/".to_owned()),
    ]
}

prop_compose! {
    fn any_listed()(
        texts in prop::collection::vec(worst(), 22),
        times in prop::array::uniform4(any::<i64>()),
        numbers in any::<(u32, u32, Option<u64>, u8)>(),
    ) -> Listed {
        let text = |n: usize| texts[n].clone();
        let some = |n: usize| (numbers.3 & (1 << (n % 8)) != 0).then(|| texts[n].clone());
        let mut entry = sample::entry(numbers.0, numbers.1, "2026-11-22T09:10:00Z", &texts[0]);
        entry.key.listed_at = Timestamp::from_millis(times[0]);
        entry.guid = text(1);
        entry.link = some(2);
        entry.authors = vec![Person { name: text(3), uri: some(4), email: some(5) }];
        entry.published = some(6).map(|_| Timestamp::from_millis(times[1]));
        entry.updated = some(7).map(|_| Timestamp::from_millis(times[2]));
        // Not clean at all: the formats must stay whole even so.
        entry.summary = some(8).map(CleanHtml::from_cleaner);
        entry.content = some(9).map(CleanHtml::from_cleaner);
        entry.categories = vec![Category { term: text(10), scheme: some(11), label: some(12) }];
        entry.enclosures = vec![Enclosure { url: text(13), mime: some(14), bytes: numbers.2 }];
        entry.comments = some(15);
        entry.language = some(16);
        let mut source = (*source("Kiln Lane", "kiln", &[])).clone();
        (source.id, source.title, source.voice) = (text(17), text(18), text(19));
        (source.url, source.home) = (text(20), some(21));
        source.circles = vec![(text(18), "/desired".to_owned())];
        Listed { entry, source: source.into(), reason: some(19) }
    }
}

/// The texts of all elements of that name directly inside the others, in their order.
fn texts_in_xml(document: &str, parent: &str, name: &str) -> Vec<String> {
    let mut reader = quick_xml::Reader::from_str(document);
    let mut open: Vec<String> = Vec::new();
    let mut found = Vec::new();
    loop {
        let event = reader.read_event().expect("it is well-formed");
        if let Event::Start(start) = &event {
            assert!(start.attributes().all(|attribute| attribute.is_ok()));
            open.push(start.name().as_ref().to_owned());
        }
        let is_inside = matches!(open.as_slice(), [.., above, this] if above == parent && this == name);
        match event {
            Event::Start(_) if is_inside => found.push(String::new()),
            Event::Text(text) if is_inside => found.last_mut().expect("one was begun").push_str(&text),
            Event::GeneralRef(reference) if is_inside => {
                let text = quick_xml::escape::unescape(&format!("&{};", &*reference)).unwrap().into_owned();
                found.last_mut().expect("one was begun").push_str(&text);
            }
            Event::End(_) => drop(open.pop()),
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(open.is_empty());
    found
}

proptest! {
    #[test]
    fn whatever_feeds_say_stays_well_formed(entries in prop::collection::vec(any_listed(), 0..4), title in worst()) {
        let titles: Vec<String> = entries.iter().map(|listed| xml::sayable(listed.entry.title.trim()).into_owned())
            .map(|title| if title.trim().is_empty() { String::new() } else { title }).collect();
        let page = sample::page("/listen", &title, entries);
        let document = atom::render(&page, &site());
        prop_assert_eq!(&texts_in_xml(&document, "entry", "title"), &titles);
        prop_assert!(!document.contains("ann:secret@") || page_has_it_in_text(&page));

        let shown: Vec<String> = titles.iter().filter(|title| !title.is_empty()).cloned().collect();
        prop_assert_eq!(texts_in_xml(&rss::render(&page, &site()), "item", "title"), shown);

        let feed: serde_json::Value = serde_json::from_str(&json::render(&page, &site())).unwrap();
        let items = feed["items"].as_array().unwrap();
        let in_json: Vec<&str> = items.iter().map(|item| item["title"].as_str().unwrap_or_default()).collect();
        prop_assert_eq!(in_json, titles);

        html::river(&page, &site());
    }

    #[test]
    fn fragments_stay_whole(html in "(<[a-z]{1,3}( [a-z]{1,4}=\"[^\"<]{0,5}\"| src=\"https://x.example/\")?>|</[a-z]{1,3}>|<img src='https://x.example/'>|[a-z<>&;\"= ]{0,6}|.){0,40}") {
        let page = fragment::for_page(&html);
        let mut open = Vec::new();
        for tag in page.split('<').skip(1).map(|tag| tag.split('>').next().unwrap()) {
            prop_assert!(!tag.contains(" src=") && !tag.contains(" on"), "{page}");
            let name = tag.trim_start_matches('/').split(' ').next().unwrap();
            match tag.starts_with('/') {
                true => prop_assert_eq!(open.pop(), Some(name), "{}", page),
                false if matches!(name, "br" | "hr" | "wbr") => {}
                false => open.push(name),
            }
        }
        prop_assert!(open.is_empty(), "{page}");
        fragment::text(&html, 1000);
    }

    #[test]
    fn outlines_stay_well_formed(
        names in prop::collection::vec(prop_oneof![worst(), "[a-c]{1,2}(:[a-c])?", "xmlns:[a-c]"], 6),
        values in prop::collection::vec(worst(), 6),
    ) {
        let attributes: Vec<(&str, &str)> =
            names.iter().zip(&values).map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let document = opml::render(&values[0], &[outline(&attributes, vec![outline(&attributes, Vec::new())])]);
        prop_assert_eq!(texts_in_xml(&document, "head", "title"), vec![redact_text(&xml::sayable(&values[0])).into_owned()]);
    }
}

/// Credentials are cut from addresses, not from what people write.
fn page_has_it_in_text(page: &Page) -> bool {
    page.head.title.contains("ann:secret@")
        || page.entries.iter().any(|Listed { entry, source, reason }| {
            let html = [&entry.summary, &entry.content].into_iter().flatten().map(CleanHtml::as_str);
            let texts = [entry.title.as_str(), &source.title, &source.voice, reason.as_deref().unwrap_or_default()];
            let names = entry.authors.iter().map(|person| person.name.as_str());
            let tags =
                entry.categories.iter().flat_map(|tag| [Some(tag.term.as_str()), tag.label.as_deref()]).flatten();
            html.chain(texts).chain(names).chain(tags).any(|text| text.contains("ann:secret@"))
        })
}
