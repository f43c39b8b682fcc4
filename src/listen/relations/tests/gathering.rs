//! Conversations, bridges and newcomers of a village, and what is told of them.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::village::{NOW, Village, event, rhythm, silent};
use crate::listen::page::Query;
use crate::listen::people::State;
use crate::listen::relations::{Relation, Relations};
use crate::model::{ListEventKind, Notice, Timestamp};
use crate::store::StoreError;

const LISTS: [(&str, &str); 4] = [
    (
        "followers",
        r#"<outline text="Ann" type="rss" xmlUrl="http://ann.example/feed" htmlUrl="http://ann.example/"/>
           <outline text="Ben" type="rss" xmlUrl="http://ben.example/feed" htmlUrl="http://ben.example/"/>"#,
    ),
    (
        "desired",
        r#"<outline text="Cat" type="rss" xmlUrl="http://cat.example/feed" htmlUrl="http://cat.example/"/>
           <outline text="Dan" type="rss" xmlUrl="http://dan.example/feed" htmlUrl="http://dan.example/"/>"#,
    ),
    (
        "street",
        r#"<outline text="Eve" type="rss" xmlUrl="http://eve.example/feed" htmlUrl="http://eve.example/"/>
           <outline text="Fay" type="rss" xmlUrl="http://fay.example/feed" htmlUrl="http://fay.example/"/>"#,
    ),
    ("mine", r#"<outline text="Mira" type="rss" xmlUrl="http://me.example/feed" htmlUrl="http://me.example/"/>"#),
];

/// Says something that links to these pages.
fn links(village: &Village, name: &str, date: &str, title: &str, pages: &[&str]) {
    let links = pages.iter().map(|page| format!("<p>See <a href=\"{page}\">this</a>.</p>"));
    village.says(name, date, title, &links.collect::<String>());
}

fn present(village: &Village, relation: Relation, date: &str) -> State {
    village.ask_at(date, |relations, scene| relations.present(scene, relation, 1)).expect("it answers").state
}

fn shown(at: Timestamp) -> String {
    at.utc().format("%m-%d").to_string()
}

fn conversations(village: &Village, date: &str) -> String {
    let State::Conversations(found) = present(village, Relation::Conversations, date) else { panic!("another state") };
    let mut text = String::new();
    for talk in found {
        let host = talk.host.map(|host| format!(" of {}", host.name)).unwrap_or_default();
        let turns = talk.turns.iter().map(|(who, said)| format!("{} {} {}", shown(said.at), who.name, said.title));
        let turns = turns.collect::<Vec<_>>().join(", ");
        writeln!(text, "{}{host} ({}) until {}: {turns}", talk.title, talk.link, shown(talk.last)).expect("room");
    }
    text
}

fn bridges(village: &Village, date: &str) -> Vec<String> {
    let State::Bridges(found) = present(village, Relation::Bridges, date) else { panic!("another state") };
    let line = |bridge: &crate::listen::people::Bridge| {
        let by = bridge.by.iter().map(|(who, said)| format!("{} {}", who.name, shown(said.at)));
        let by = by.collect::<Vec<_>>().join(", ");
        format!("{} ({}): {} voices, {by}", bridge.site, bridge.link, bridge.voices)
    };
    found.iter().map(line).collect()
}

fn newcomers(village: &Village, date: &str) -> String {
    let State::Newcomers(found) = present(village, Relation::Newcomers, date) else { panic!("another state") };
    let mut text = String::new();
    for one in found {
        let done = if one.done.is_some() { ", to be greeted" } else { "" };
        let path = one.person.path.unwrap_or_else(|| "nowhere".to_owned());
        writeln!(text, "{} {} {} ({path}){done}", shown(one.at), one.person.name, one.reason).expect("room");
    }
    text
}

fn notices(village: &Village, date: &str) -> Vec<Notice> {
    let notices = village.ask_at(date, |relations, scene| {
        relations.freshen(scene)?;
        let notices = relations.notices(scene, &|path| format!("http://listen.example{path}"))?;
        assert_eq!(notices, relations.notices(scene, &|path| format!("http://listen.example{path}"))?);
        Ok::<_, StoreError>(notices)
    });
    notices.expect("it answers")
}

/// Tells what has come true by some day; the headlines.
fn told(village: &Village, date: &str) -> Vec<String> {
    let notices = notices(village, date);
    village.store.tell(&notices).expect("it is stored");
    village.live.facts_changed();
    notices.into_iter().map(|notice| notice.title).collect()
}

#[test]
fn those_who_link_to_one_page_or_to_each_other_talk() {
    let village = Village::with(&LISTS);
    // A page of the world outside.
    links(&village, "ann", "2026-11-01", "Trains", &["https://news.example/trains?utm_source=x"]);
    links(&village, "ben", "2026-11-03", "Late trains", &["http://www.news.example/trains/#top"]);
    links(&village, "me", "2026-11-04", "Trains and me", &["https://news.example/trains"]);
    // Too late to belong to it, and alone.
    links(&village, "cat", "2026-11-20", "Old trains", &["https://news.example/trains"]);
    // An answer, and an answer to that; the voice's own words later on are the same voice's.
    links(&village, "dan", "2026-11-05", "Oak", &[]);
    links(&village, "eve", "2026-11-06", "Re: Oak", &["http://dan.example/oak"]);
    links(&village, "fay", "2026-11-10", "Re: Re: Oak", &["http://eve.example/re--oak"]);
    links(&village, "dan", "2026-11-12", "Thanks, Fay", &["http://fay.example/re--re--oak", "http://dan.example/oak"]);
    // One voice and you; one voice alone; two voices that link to a home page.
    links(&village, "me", "2026-11-07", "Re: Birch", &["http://ann.example/birch"]);
    links(&village, "ann", "2026-11-06", "Birch", &["http://ann.example/trains"]);
    for name in ["ann", "ben"] {
        links(&village, name, "2026-11-08", "A friend", &["https://friend.example/", "https://github.com/friend"]);
    }
    assert_eq!(
        conversations(&village, NOW),
        "Oak of Dan (http://dan.example/oak) until 11-12: 11-05 Dan Oak, 11-06 Eve Re: Oak, 11-10 Fay Re: Re: Oak\n\
         news.example/trains?utm_source=x (https://news.example/trains?utm_source=x) until 11-04: \
         11-01 Ann Trains, 11-03 Ben Late trains, 11-04 Mira Trains and me\n"
    );
    // What two voices say of a page of yours is a conversation; what one says is a mention.
    links(&village, "me", "2026-11-14", "A bench", &[]);
    links(&village, "ann", "2026-11-15", "The bench", &["http://me.example/a-bench", "http://me.example/other"]);
    links(&village, "ben", "2026-11-16", "That bench", &["http://me.example/a-bench"]);
    let all = conversations(&village, "2026-11-23");
    assert_eq!(
        all.lines().next(),
        Some("A bench (http://me.example/a-bench) until 11-16: 11-15 Ann The bench, 11-16 Ben That bench")
    );
    // Thirty days after its last words, it is over.
    assert!(!conversations(&village, "2026-12-05").contains("trains"));
    let voices = village.ask(|relations, scene| relations.outlines(scene, Relation::Conversations));
    assert_eq!(voices.expect("it answers").len(), 5);
}

#[test]
fn collections_and_furniture_join_nothing() {
    let village = Village::with(&LISTS);
    let pages: Vec<String> = (0..20).map(|n| format!("https://many.example/{n}")).collect();
    let all: Vec<&str> = pages.iter().map(String::as_str).collect();
    links(&village, "ann", "2026-11-10", "Links of the week", &all);
    links(&village, "ben", "2026-11-11", "Three", &all[3..4]);
    links(&village, "cat", "2026-11-11", "Five", &all[5..6]);
    links(&village, "dan", "2026-11-12", "Re: Links", &["http://ann.example/links-of-the-week"]);
    // What stands below everything that two people say is no talk.
    for n in 1..7 {
        for name in ["eve", "fay"] {
            links(&village, name, &format!("2026-11-0{n}"), &format!("Day {n}"), &["https://ring.example/join"]);
        }
    }
    let found = conversations(&village, NOW);
    let titles: Vec<&str> = found.lines().map(|line| line.split(' ').next().unwrap_or_default()).collect();
    let titles: HashSet<&str> = titles.into_iter().collect();
    assert_eq!(titles, ["Links", "many.example/5", "many.example/3"].into(), "{found}");
}

#[test]
fn bridges_are_sites_that_three_voices_link_to_and_nobody_lists() {
    let village = Village::with(&LISTS);
    for (n, name) in ["ann", "ben", "cat", "dan"].into_iter().enumerate() {
        let pages: &[&str] = &[
            &format!("https://www.quay.example/{name}"),
            "https://fedi.example/@gus/1",
            "https://fedi.example/about",
            "https://en.wikipedia.org/wiki/Quay",
            "http://eve.example/about",
        ];
        links(&village, name, &format!("2026-11-0{}", n + 1), "Quays", pages);
    }
    for name in ["ann", "ben", "cat"] {
        let code = [&format!("https://github.com/hal/{name}"), "https://github.com/login"];
        links(&village, name, "2026-10-20", "Code", &code);
        links(&village, name, "2026-10-20", "Toots", &["https://fedi.example/@ida/7", "https://fedi.example/@gus/8"]);
    }
    // One loud voice is one; two are no crowd; you yourself do not count; what was long ago is over.
    for n in 0..9 {
        links(&village, "fay", &format!("2026-11-1{n}"), &format!("Loud {n}"), &[&format!("https://loud.example/{n}")]);
    }
    for name in ["eve", "fay", "me"] {
        links(&village, name, "2026-11-20", "Pair", &["https://pair.example/"]);
    }
    for name in ["ann", "ben", "cat"] {
        links(&village, name, "2026-08-01", "Old", &["https://old.example/"]);
    }
    let mut found = bridges(&village, NOW);
    let counts: Vec<char> = found.iter().filter_map(|line| line.split(": ").nth(1)?.chars().next()).collect();
    assert_eq!(counts, ['4', '4', '3', '3'], "{found:?}");
    found.sort();
    assert_eq!(
        found,
        [
            "fedi.example/@gus (https://fedi.example/@gus): 4 voices, Dan 11-04, Cat 11-03, Ben 11-02, Ann 11-01",
            "fedi.example/@ida (https://fedi.example/@ida): 3 voices, Cat 10-20, Ben 10-20, Ann 10-20",
            "github.com/hal (https://github.com/hal): 3 voices, Cat 10-20, Ben 10-20, Ann 10-20",
            "quay.example (https://www.quay.example/): 4 voices, Dan 11-04, Cat 11-03, Ben 11-02, Ann 11-01",
        ]
    );
    let outlines = village.ask(|relations, scene| relations.outlines(scene, Relation::Bridges)).expect("it answers");
    let quay = outlines.iter().find(|outline| outline.attribute("text") == Some("quay.example")).expect("it is there");
    assert_eq!(quay.attribute("xmlUrl"), Some("https://www.quay.example/"));

    // Whoever is put into a list is a bridge no more.
    let quay = r#"<outline text="Quay" type="rss" xmlUrl="https://www.quay.example/feed"/>"#;
    village.list(&[&LISTS[..], &[("new", quay)]].concat(), Vec::new());
    assert!(!bridges(&village, NOW).iter().any(|line| line.contains("quay")));
}

#[test]
fn who_came_and_who_left_is_told_once() {
    let village = Village::with(&LISTS);
    village.list(
        &LISTS,
        vec![
            event("2026-11-18", ListEventKind::Joined, "desired", "cat"),
            event("2026-11-19", ListEventKind::Left, "street", "gus"),
            event("2026-11-20", ListEventKind::BecameFollower, "followers", "ann"),
            event("2026-11-21", ListEventKind::Joined, "mine", "me"),
            event("2026-11-22", ListEventKind::Left, "street", "hal"),
        ],
    );
    links(&village, "cat", "2026-11-18", "Hello", &[]);
    assert_eq!(
        told(&village, NOW),
        ["Cat joined desired", "Cat is heard for the first time", "gus left street", "Ann became a follower"]
    );
    assert!(told(&village, NOW).is_empty());
    assert_eq!(told(&village, "2026-11-23"), ["hal left street"]);
    assert_eq!(
        newcomers(&village, "2026-11-23"),
        "11-22 hal left street (nowhere)\n\
         11-20 Ann became a follower (/voices/ann), to be greeted\n\
         11-19 gus left street (nowhere)\n\
         11-18 Cat joined desired (/voices/cat), to be greeted\n"
    );
    // The front page tells of those who came.
    let today = village.ask(Relations::today).expect("it answers");
    assert_eq!(today.newcomers.len(), 2);
    let query = Query::default();
    let page = village.ask(|relations, scene| {
        relations.page(scene, Relation::Newcomers, &query, &|path| format!("http://listen.example{path}"))
    });
    let titles: Vec<String> = page.expect("it answers").entries.into_iter().map(|listed| listed.entry.title).collect();
    assert_eq!(titles.len(), 5, "{titles:?}");
    assert_eq!(titles[0], "hal left street");
}

#[test]
fn a_conversation_that_grows_is_told_once() {
    let village = Village::with(&LISTS);
    links(&village, "dan", "2026-11-05", "Oak", &[]);
    assert!(told(&village, "2026-11-05").is_empty());
    links(&village, "eve", "2026-11-06", "Re: Oak", &["http://dan.example/oak"]);
    assert_eq!(told(&village, "2026-11-06"), ["Dan and Eve talk about Oak"]);
    // Others come; another conversation begins and turns out to be the same.
    links(&village, "ann", "2026-11-07", "Also", &["http://dan.example/oak"]);
    links(&village, "fay", "2026-11-08", "Re: Re: Oak", &["http://eve.example/re--oak"]);
    assert!(told(&village, "2026-11-08").is_empty());
    links(&village, "ben", "2026-11-09", "Birch", &["https://wood.example/birch"]);
    links(&village, "cat", "2026-11-09", "More birch", &["https://wood.example/birch"]);
    assert_eq!(told(&village, "2026-11-09"), ["Ben and Cat talk about wood.example/birch"]);
    links(&village, "ben", "2026-11-10", "Both", &["https://wood.example/birch", "http://fay.example/re--re--oak"]);
    assert!(told(&village, "2026-11-10").is_empty());
    // What nobody told while it was new is told no more.
    links(&village, "ann", "2026-11-10", "Elm", &["https://wood.example/elm"]);
    links(&village, "ben", "2026-11-10", "Elms", &["https://wood.example/elm"]);
    assert!(told(&village, "2026-11-19").is_empty());
}

#[test]
fn a_bridge_is_told_when_the_third_voice_links_to_it() {
    let village = Village::with(&LISTS);
    links(&village, "ann", "2026-11-01", "One", &["https://quay.example/1"]);
    links(&village, "ben", "2026-11-02", "Two", &["https://quay.example/2"]);
    assert!(told(&village, "2026-11-03").is_empty());
    links(&village, "cat", "2026-11-04", "Three", &["https://quay.example/3"]);
    assert_eq!(told(&village, "2026-11-04"), ["3 of your voices link to quay.example"]);
    links(&village, "dan", "2026-11-05", "Four", &["https://quay.example/4"]);
    assert!(told(&village, "2026-11-05").is_empty());
}

#[test]
fn silence_return_and_neglect_are_told_once() {
    let village = Village::with(&LISTS);
    for n in 1..9 {
        links(&village, "ann", &format!("2026-09-0{n}"), &format!("Day {n}"), &[]);
    }
    village.change("ann", rhythm(1));
    links(&village, "ben", "2026-02-01", "Winter", &[]);
    village.change("ben", |feed| {
        rhythm(1)(feed);
        silent(feed);
    });
    links(&village, "dan", "2026-06-14", "Spring", &[]);
    links(&village, "dan", "2026-07-24", "Summer", &[]);
    for name in ["cat", "dan"] {
        links(&village, name, "2026-09-02", "Autumn", &[]);
        links(&village, name, "2026-11-21", "Nearly winter", &[]);
    }
    assert!(told(&village, "2026-09-20").is_empty());
    village.change("ann", silent);
    // Ben was silent before anybody listened; Dan never posted more often.
    let all = told(&village, "2026-10-10");
    assert!(all.contains(&"Ann fell silent".to_owned()), "{all:?}");
    assert!(!all.iter().any(|title| title.starts_with("Ben")), "{all:?}");
    assert!(all.iter().any(|title| title.contains("for an answer")), "{all:?}");
    let all = told(&village, NOW);
    assert!(all.contains(&"Cat spoke again after 80 days".to_owned()), "{all:?}");
    assert!(!all.iter().any(|title| title.starts_with("Dan spoke")), "{all:?}");
    assert!(told(&village, NOW).is_empty());
}

#[test]
fn it_does_not_matter_who_is_heard_first() {
    let said: [(&str, &str, &str, &[&str]); 7] = [
        ("ann", "2026-11-01", "Trains", &["https://news.example/trains", "https://quay.example/1"]),
        ("ben", "2026-11-02", "Re: Trains", &["http://ann.example/trains", "https://quay.example/2"]),
        ("cat", "2026-11-03", "Late", &["https://news.example/trains", "https://quay.example/3"]),
        ("dan", "2026-11-04", "Re: Re", &["http://ben.example/re--trains"]),
        ("eve", "2026-11-05", "Else", &["https://news.example/else", "http://me.example/x"]),
        ("fay", "2026-11-05", "Else, too", &["https://news.example/else", "http://me.example/x"]),
        ("me", "2026-11-06", "Hm", &["http://dan.example/re--re"]),
    ];
    let mut answers = HashSet::new();
    for turn in 0..said.len() {
        let village = Village::with(&LISTS);
        let mut order: Vec<_> = said.iter().cycle().skip(turn).take(said.len()).collect();
        if turn % 2 == 1 {
            order.reverse();
        }
        for (name, date, title, pages) in order {
            links(&village, name, date, title, pages);
        }
        let notices = told(&village, "2026-11-06");
        answers.insert((conversations(&village, NOW), bridges(&village, NOW), notices));
    }
    assert_eq!(answers.len(), 1, "{answers:#?}");
}

#[test]
fn notices_say_who_and_what_with_links_and_no_secret() {
    let village = Village::with(&LISTS);
    links(&village, "ann", "2026-11-20", "A <b> & c", &["https://bob:secret@news.example/trains"]);
    links(&village, "ben", "2026-11-21", "Re", &["https://news.example/trains"]);
    let notices = notices(&village, NOW);
    let [notice] = &notices[..] else { panic!("{notices:?}") };
    assert_eq!(notice.title, "Ann and Ben talk about news.example/trains");
    assert_eq!(notice.link.as_deref(), Some("https://news.example/trains"));
    assert_eq!(notice.about.len(), 2);
    assert_eq!((notice.key.feed, notice.key.seq), (Notice::NOBODY, Notice::FIRST_SEQ));
    let text = notice.text.as_str();
    assert!(text.contains("href=\"http://listen.example/voices/ann\""), "{text}");
    assert!(text.contains("href=\"http://ann.example/a--b----c\""), "{text}");
    assert!(text.contains("A &lt;b&gt; &amp; c") && !text.contains("secret"), "{text}");
}
