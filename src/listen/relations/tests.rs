//! One village, and what each relation makes of it.

use std::fmt::Write as _;

use super::*;
use crate::listen::page::Listed;
use crate::listen::people::Debt;
use crate::model::Person as Author;
use crate::model::{ContactKind, FeedId, ListEventKind, Webmention, WebmentionKind};

use village::{Village, author, day, event, rhythm, silent};

mod gathering;
mod village;

const LISTS: [(&str, &str); 5] = [
    (
        "followers",
        r#"<outline text="Ann" type="rss" xmlUrl="http://ann.example/feed" htmlUrl="http://ann.example/"/>
           <outline text="Ben" type="rss" xmlUrl="http://ben.example/feed" htmlUrl="http://ben.example/"/>"#,
    ),
    (
        "desired",
        r#"<outline text="Ann" type="rss" xmlUrl="http://ann.example/feed"/>
           <outline text="Cat" type="rss" xmlUrl="http://cat.example/feed" htmlUrl="http://cat.example/"/>"#,
    ),
    (
        "street",
        r#"<outline text="Makers">
             <outline text="Dan" type="rss" xmlUrl="http://dan.example/feed" htmlUrl="http://dan.example/"/>
             <outline text="Eve" type="rss" xmlUrl="http://eve.example/feed" htmlUrl="http://eve.example/"/>
           </outline>
           <outline text="Fay" type="rss" xmlUrl="http://fay.example/feed" htmlUrl="http://fay.example/"/>
           <outline text="Gus" type="rss" xmlUrl="http://gus.example/feed" htmlUrl="http://gus.example/"/>
           <outline text="Hal" type="person" htmlUrl="http://hal.example/">
             <outline text="Hal's blog" type="rss" xmlUrl="http://hal.example/feed"/>
             <outline text="Hal's planet" type="rss" xmlUrl="http://planet.example/feed"/>
           </outline>"#,
    ),
    ("mine", r#"<outline text="Mira" type="rss" xmlUrl="http://me.example/feed" htmlUrl="http://me.example/"/>"#),
    ("inbox", r#"<outline text="Comments" type="rss" xmlUrl="http://comments.example/feed"/>"#),
];

fn village() -> Village {
    let village = Village::with(&LISTS);
    // What was there before anybody listened.
    for name in ["ann", "ben", "cat", "dan", "fay", "gus", "hal"] {
        village.says(name, "2026-07-10", "An old post", "<p>Long ago.</p>");
        village.says(name, "2026-08-01", "Another old post", "<p>Long ago, too.</p>");
        village.says(name, "2026-08-10", "A third old post", "<p>Less long ago.</p>");
        village.change(name, rhythm(7));
    }
    village.says("eve", "2026-04-01", "Spring", "<p>Seeds.</p>");
    village.says("eve", "2026-05-02", "More of spring", "<p>Seedlings.</p>");
    village.says("eve", "2026-06-01", "Nearly summer", "<p>Beans.</p>");
    village.change("eve", rhythm(40));
    village.change("fay", silent);

    // Your own words.
    village.says(
        "me",
        "2026-09-05",
        "A bench for the square",
        "<p>As <a href=\"http://ann.example/oak\">Ann</a> says.</p>",
    );
    village.says("me", "2026-09-20", "Nails", "<p>Thanks, <a href=\"http://dan.example/nails\">Dan</a>.</p>");
    village.says("me", "2026-10-01", "Only of myself", "<p>See <a href=\"http://me.example/nails\">nails</a>.</p>");
    village.says("me", "2026-11-10", "Oak again", "<p><a href=\"http://ann.example/oil\">Oil it</a>.</p>");

    // What was said since.
    let bench = "<p>A <a href=\"http://me.example/a-bench-for-the-square#seat\">bench</a>!</p>";
    village.says("ann", "2026-09-07", "On benches", bench);
    village.says("cat", "2026-10-03", "People I met", "<p>I met Mira at the fair.</p>");
    village.says("dan", "2026-09-25", "Better nails", "<p>Made of wood.</p>");
    village.says("dan", "2026-09-28", "Worse nails", "<p>Made of sand.</p>");
    village.says("eve", "2026-09-03", "Harvest", "<p>Pumpkins.</p>");
    village.says("gus", "2026-09-02", "Daily bread", "<p>Rye.</p>");
    let both = "<p>Mira's <a href=\"http://me.example/elsewhere\">place</a></p>";
    let hal = "http://hal.example/places";
    village.carries("planet", "2026-10-05", "Places", hal, both, Author::default());
    village.carries("hal", "2026-10-06", "Places", hal, both, Author::default());
    village.carries(
        "comments",
        "2026-10-10",
        "Re: Nails",
        "http://me.example/nails#1",
        "<p>Which length?</p>",
        author("Zoe", "http://zoe.example/about"),
    );
    village.carries(
        "comments",
        "2026-10-11",
        "Re: Nails",
        "http://me.example/nails#2",
        "<p>I like them.</p>",
        author("Ben", "http://ben.example/"),
    );
    village.carries("comments", "2026-10-12", "Re: Nails", "http://me.example/nails#3", "<p>Mine.</p>", {
        author("Mira", "http://me.example/")
    });
    let (reply, like) = (WebmentionKind::Reply, WebmentionKind::Like);
    village.webmention("2026-10-13", reply, "http://yan.example/re", "http://me.example/nails", author("Yan", ""));
    let cat = author("Cat", "http://cat.example/");
    village.webmention("2026-10-14", like, "http://cat.example/likes/1", "http://me.example/other", cat);

    // What was told.
    let became = event("2026-10-20", ListEventKind::BecameFollower, "followers", "ben");
    village.list(&LISTS, vec![became, event("2026-10-21", ListEventKind::Joined, "street", "gus")]);
    village.tell("2026-10-20", NoticeKind::Follower, "ben", "Ben became a follower");
    village.tell("2026-10-21", NoticeKind::Newcomer, "gus", "Gus joined street");
    village.tell("2026-10-25", NoticeKind::Neglected, "dan", "Dan waits for an answer");
    village.tell("2026-11-01", NoticeKind::FellSilent, "fay", "Fay has fallen silent");
    village
}

fn date(at: Timestamp) -> String {
    at.utc().format("%m-%d").to_string()
}

fn river(village: &Village, relation: Relation, query: &Query) -> String {
    let address = |path: &str| format!("http://listen.example{path}");
    let page = village.ask(|relations, scene| relations.page(scene, relation, query, &address)).expect("it answers");
    let mut text = String::new();
    for Listed { entry, source, reason } in &page.entries {
        let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let circles: Vec<&str> = source.circles.iter().map(|(title, _)| title.as_str()).collect();
        let title = if entry.title.is_empty() { entry.link.as_deref().unwrap_or_default() } else { &entry.title };
        let from = format!("{} [{}] in {}", source.voice, source.title, circles.join(", "));
        writeln!(text, "{} {from}: {title}{reason}", date(entry.key.listed_at)).expect("a string takes all");
    }
    if page.next.is_some() {
        text.push_str("and more\n");
    }
    text
}

fn debts(debts: &[Debt]) -> String {
    let mut text = String::new();
    for debt in debts {
        let contact = debt.last_contact.map(date);
        let (since, count) = (date(debt.since), debt.count);
        writeln!(text, "{}: {:?}, {}", debt.person.name, debt.cause, debt.reason).expect("a string takes all");
        writeln!(text, "  since {since}, {count} in all, last contact {contact:?}").expect("a string takes all");
        for saying in &debt.sayings {
            let (at, title, excerpt) = (date(saying.at), &saying.title, &saying.excerpt);
            writeln!(text, "  {at} {title} – {excerpt} ({})", saying.reason).expect("a string takes all");
        }
    }
    text
}

fn state(village: &Village, relation: Relation) -> String {
    let present = village.ask(|relations, scene| relations.present(scene, relation, 1)).expect("it answers");
    match present.state {
        State::Thanks(owed) | State::Neglected(owed) => debts(&owed),
        State::Quiet(quiet) => quiet.iter().fold(String::new(), |text, quiet| {
            let (name, mark, newest) = (&quiet.person.name, &quiet.mark, &quiet.newest);
            format!("{text}{name}: {mark}, {} {}\n", date(newest.at), newest.title)
        }),
        other => format!("{other:?}\n"),
    }
}

fn outlines(village: &Village, relation: Relation) -> String {
    let outlines = village.ask(|relations, scene| relations.outlines(scene, relation)).expect("it answers");
    let names: Vec<&str> = outlines.iter().filter_map(|outline| outline.attribute("text")).collect();
    names.join(", ")
}

#[test]
fn a_village_and_its_relations() {
    let village = village();
    let mut text = String::new();
    let mut section = |title: &str, content: &str| {
        writeln!(text, "## {title}\n{content}").expect("a string takes all");
    };
    for relation in Relation::ALL {
        section(relation.path(), &river(&village, relation, &Query::default()));
        if matches!(relation, Relation::Thanks | Relation::Neglected | Relation::Quiet) {
            section(&format!("{}, the page", relation.path()), &state(&village, relation));
        }
        section(&format!("{}.opml", relation.path()), &outlines(&village, relation));
    }
    let today = village.ask(Relations::today).expect("it answers");
    section("today", &debts(&today.answer));
    section("today, more", &format!("{:?}", today.more));
    let love = today.love.expect("there is a list of yours");
    let months: Vec<(String, usize, usize)> =
        love.months.iter().map(|(at, all, out)| (date(*at), *all, *out)).collect();
    section("link love", &format!("{} of {}\n{months:?}", love.pointing, love.posts));
    for order in Order::ALL {
        let rolodex = village.ask(|relations, scene| relations.rolodex(scene, order, 1)).expect("it answers");
        let cards: Vec<String> = rolodex.rows.iter().map(|card| {
            let (heard, waiting) = (card.heard.map(date), card.waiting.map(date));
            let (name, weeks) = (&card.person.name, card.weeks.iter().map(u32::to_string).collect::<String>());
            let (from, to, owed, trouble) = (card.from_them, card.to_them, card.owed, card.trouble);
            format!("{name}: heard {heard:?}, {weeks}, from {from}, to {to}, owed {owed}, waiting {waiting:?}, {trouble:?}\n")
        }).collect();
        section(&format!("rolodex by {}", order.as_str()), &cards.concat());
    }
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("village", text);
    });
}

fn owed(village: &Village) -> Vec<(String, usize)> {
    let present = village.ask(|relations, scene| relations.present(scene, Relation::Thanks, 1)).expect("it answers");
    let State::Thanks(owed) = present.state else { panic!("it is another state") };
    owed.into_iter().map(|debt| (debt.person.name, debt.count)).collect()
}

fn waiting(village: &Village) -> Vec<(String, String)> {
    let present = village.ask(|relations, scene| relations.present(scene, Relation::Neglected, 1)).expect("it answers");
    let State::Neglected(owed) = present.state else { panic!("it is another state") };
    owed.into_iter().map(|debt| (debt.person.name, date(debt.since))).collect()
}

fn since(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, date)| own_pair(name, date)).collect()
}

fn counts(expected: &[(&str, usize)]) -> Vec<(String, usize)> {
    expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn key_of(village: &Village, relation: Relation, name: &str, title: &str) -> EntryKey {
    let address = |path: &str| path.to_owned();
    let page = village.ask(|relations, scene| relations.page(scene, relation, &Query::default(), &address));
    let listed = page.expect("it answers").entries.into_iter();
    let mut found = listed.filter(|listed| listed.entry.title == title);
    found.find(|listed| listed.source.voice == name).expect("it is there").entry.key
}

#[test]
fn contact_settles_what_was_before_it() {
    let village = village();
    assert_eq!(owed(&village), counts(&[("Ben", 2), ("Cat", 2), ("Yan", 1), ("Zoe", 1), ("Hal", 1)]));
    assert_eq!(
        waiting(&village),
        since(&[("Gus", "09-02"), ("Eve", "09-03"), ("Dan", "09-25"), ("Cat", "10-03"), ("Hal", "10-06")])
    );
    // By what Hal said; by a greeting of Ben, on any key of his feed; Zoe by her page; Yan by that very answer.
    let places = key_of(&village, Relation::Mentions, "Hal", "Places");
    village.contact("2026-10-07", ContactKind::Thanked, places, None, "");
    let greeted = key_of(&village, Relation::Thanks, "Ben", "Ben became a follower");
    village.contact("2026-10-20", ContactKind::Commented, greeted, None, "welcome");
    let comment = key_of(&village, Relation::Mentions, "Comments", "Re: Nails");
    village.contact("2026-10-22", ContactKind::Commented, comment, Some("http://zoe.example/about"), "");
    let of_yan =
        EntryKey { listed_at: day("2026-10-13"), feed: Webmention::FEED, seq: day("2026-10-13").days() as u32 };
    village.contact("2026-10-22", ContactKind::Shared, of_yan, None, "");
    assert_eq!(owed(&village), counts(&[("Cat", 2)]));
    assert_eq!(waiting(&village), since(&[("Gus", "09-02"), ("Eve", "09-03"), ("Dan", "09-25"), ("Cat", "10-03")]));
    // Whatever comes later is owed anew.
    let me = "<p><a href=\"http://me.example/nails\">Nails</a></p>";
    village.says("hal", "2026-11-01", "More places", me);
    let zoe = || author("Zoe", "http://zoe.example/about");
    village.carries("comments", "2026-11-02", "Re: Nails", "http://me.example/nails#9", "<p>And?</p>", zoe());
    assert_eq!(owed(&village), counts(&[("Zoe", 1), ("Hal", 1), ("Cat", 2)]));
    village.says("me", "2026-11-12", "Fairs", "<p>With <a href=\"http://cat.example/\">Cat</a>.</p>");
    assert_eq!(owed(&village), counts(&[("Zoe", 1), ("Hal", 1)]));
    let answer = village.ask(Relations::today).expect("it answers").answer;
    let names: Vec<&str> = answer.iter().map(|debt| debt.person.name.as_str()).collect();
    assert_eq!(names, ["Zoe", "Hal", "Gus", "Eve", "Dan"]);
}

fn own_pair(name: &str, date: &str) -> (String, String) {
    (name.to_owned(), date.to_owned())
}

#[test]
fn furniture_is_no_contact_and_no_link_love() {
    let village = village();
    let love = || village.ask(Relations::today).expect("it answers").love.expect("yours");
    assert_eq!((love().pointing, love().posts), (3, 4));
    for n in 1..=3 {
        village.says("me", &format!("2026-11-1{n}"), &format!("Note {n}"), BLOGROLL);
    }
    assert_eq!((love().pointing, love().posts), (6, 7));
    assert!(!waiting(&village).contains(&own_pair("Gus", "09-02")));
    village.says("me", "2026-11-14", "Note 4", BLOGROLL);
    assert_eq!((love().pointing, love().posts), (3, 8));
    assert!(waiting(&village).contains(&own_pair("Gus", "09-02")));
}

const BLOGROLL: &str = "<p>…</p><p><a href=\"http://gus.example/\">Gus</a></p>";

#[test]
fn moving_between_lists_of_followers_is_no_news() {
    let village = Village::with(&LISTS);
    let event = |date, kind| village::event(date, kind, "followers", "ben");
    village.list(&LISTS, vec![event("2026-10-20", ListEventKind::Left), event("2026-10-20", ListEventKind::Joined)]);
    assert_eq!(owed(&village), counts(&[]));
    village.list(&LISTS, vec![event("2026-10-22", ListEventKind::Left), event("2026-10-25", ListEventKind::Joined)]);
    assert_eq!(owed(&village), counts(&[("Ben", 1)]));
    village.list(&LISTS[1..], vec![event("2026-10-26", ListEventKind::Left)]);
    assert_eq!(owed(&village), counts(&[]), "who follows you no more is not thanked for it");
}

#[test]
fn late_entries_count_though_they_stand_at_the_instant_of_the_first_fetch() {
    let village = Village::with(&LISTS);
    village.says("gus", village::FIRST_FETCH, "From the future", "<p>Then.</p>");
    assert_eq!(waiting(&village), since(&[]));
    village.seen_later("gus", village::FIRST_FETCH, "2026-09-02", "Late");
    assert_eq!(waiting(&village), since(&[("Gus", "09-01")]));
}

#[test]
fn rivers_flow_on_over_pages() {
    let village = village();
    for relation in [Relation::Mentions, Relation::Thanks, Relation::Quiet] {
        let whole = river(&village, relation, &Query::default());
        let address = |path: &str| path.to_owned();
        for limit in 1..4 {
            let (mut keys, mut before) = (Vec::new(), None);
            loop {
                let query = Query { limit, before, ..Query::default() };
                let page = village.ask(|relations, scene| relations.page(scene, relation, &query, &address));
                let page = page.expect("it answers");
                assert!(page.entries.len() <= limit);
                keys.extend(page.entries.iter().map(|listed| listed.entry.key));
                before = page.next;
                if before.is_none() {
                    break;
                }
            }
            assert_eq!(keys.len(), whole.lines().count(), "{relation:?} by {limit}");
            assert!(keys.is_sorted_by(|newer, older| newer > older), "{relation:?} by {limit}");
        }
    }
    let once = Query { per_voice: Some(1), since: Some(day("2026-10-06")), ..Query::default() };
    assert_eq!(river(&village, Relation::Thanks, &once).lines().count(), 5);
    let nails = Query { words: vec!["nails".to_owned(), "length".to_owned()], ..Query::default() };
    assert_eq!(river(&village, Relation::Mentions, &nails).lines().count(), 1);
}

#[test]
fn whoever_is_named_can_be_answered() {
    let village = village();
    let places = key_of(&village, Relation::Mentions, "Hal", "Places");
    village.contact("2026-10-07", ContactKind::Thanked, places, None, "by letter");
    let greeting = key_of(&village, Relation::Thanks, "Ben", "Ben became a follower");
    let comment = key_of(&village, Relation::Mentions, "Comments", "Re: Nails");
    let of_yan =
        EntryKey { listed_at: day("2026-10-13"), feed: Webmention::FEED, seq: day("2026-10-13").days() as u32 };
    let mut text = String::new();
    for key in [places, greeting, comment, of_yan] {
        let found = village.ask(|relations, scene| relations.answerable(scene, key)).expect("it answers");
        let Answerable { person, saying, by, history } = found.expect("there is somebody");
        let said = saying.map(|saying| format!("{} ({})", saying.title, saying.reason));
        writeln!(text, "{} at {:?} said {said:?}, by another: {}", person.name, person.path, by.is_some())
            .expect("a string takes all");
        text.push_str(&pasts(&history));
    }
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("answerable", text);
    });
    let nobody = EntryKey { feed: FeedId(4000), ..places };
    assert_eq!(village.ask(|relations, scene| relations.answerable(scene, nobody)).expect("it answers"), None);
}

#[test]
fn a_dossier_holds_what_is_between_you() {
    let village = village();
    village.contact(
        "2026-11-20",
        ContactKind::Shared,
        key_of(&village, Relation::Mentions, "Ann", "On benches"),
        None,
        "",
    );
    village.tell("2026-11-01", NoticeKind::CameBack, "ann", "Ann speaks again");
    let mut text = String::new();
    for slug in ["ann", "hal"] {
        let voice = village.bound().roster.voice(slug).expect("there is one");
        let dossier = village.ask(|relations, scene| relations.dossier(scene, voice)).expect("it answers");
        let dossier = dossier.expect("there is one");
        let titles = |sayings: &[Saying]| sayings.iter().map(|said| said.title.clone()).collect::<Vec<_>>().join(", ");
        let card = &dossier.card;
        writeln!(text, "{:?}\nweeks: {}", card.person, card.weeks.len()).expect("a string takes all");
        writeln!(text, "owed: {}\nfrom them: {}", titles(&dossier.owed), titles(&dossier.from_them))
            .expect("a string takes all");
        writeln!(text, "to them: {}\n{}", titles(&dossier.to_them), pasts(&dossier.history))
            .expect("a string takes all");
        for feed in &dossier.feeds {
            writeln!(text, "{}: {} entries, {:?}", feed.title, feed.entries, feed.state).expect("a string takes all");
        }
    }
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("dossier", text);
    });
    let none = village.bound().roster.voices.len();
    assert_eq!(village.ask(|relations, scene| relations.dossier(scene, none)).expect("it answers"), None);
}

fn pasts(history: &[Past]) -> String {
    history
        .iter()
        .fold(String::new(), |text, past| format!("{text}  {} {:?}: {}\n", date(past.at), past.kind, past.text))
}
