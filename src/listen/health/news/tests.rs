//! A feed's health over time, told as a table: what is so at each visit, and what is said about it.

use super::*;
use crate::lists::opml::{Opml, Outline};
use crate::lists::roster::{ListInput, Roster};
use crate::model::{FeedId, FeedUrl, Role};

/// Hours.
const DAY_HOURS: u64 = 24;

const START: Timestamp = Timestamp::from_seconds(1_780_000_000);

fn after(hours: u64) -> Timestamp {
    START.plus(Duration::from_hours(hours))
}

fn feed(address: &str) -> Feed {
    Feed::new(FeedId(7), FeedUrl::parse(address).expect("an address"), START)
}

/// What comes of a visit, in the words of the tables below.
#[derive(Clone, Copy)]
enum Visit {
    /// It answers and has nothing new.
    Same,
    /// It answers with an entry.
    New,
    /// It fails.
    Fails,
    /// It asks to be left alone.
    Held,
    /// A third parser fault.
    Breaks,
    /// A confirmed 410.
    Gone,
    /// Its third success at another address.
    Moves,
}

/// Visits after so many hours, and what each of them tells.
type Told = &'static [(u64, Visit, &'static [Happening])];

/// Makes the visits, each so many hours after the start; what each of them told.
fn tell(mut feed: Feed, visits: &[(u64, Visit)]) -> Vec<Vec<Happening>> {
    let mut told = Vec::new();
    for &(hours, visit) in visits {
        let (before, now) = (feed.clone(), after(hours));
        let mut address = Address::Kept;
        let schedule = &mut feed.schedule;
        schedule.last_attempt = Some(now);
        let state = match visit {
            Visit::Same | Visit::New | Visit::Moves => FeedState::Ok,
            Visit::Fails => FeedState::Backoff,
            Visit::Held => FeedState::Held,
            Visit::Breaks => FeedState::Quarantined,
            Visit::Gone => FeedState::Gone,
        };
        schedule.state = state;
        match visit {
            Visit::Same | Visit::New | Visit::Moves => {
                (schedule.failing_since, schedule.last_success) = (None, Some(now));
            }
            Visit::Held => {}
            _ => schedule.failing_since = schedule.failing_since.or(Some(now)),
        }
        if matches!(visit, Visit::New) {
            feed.newest = Some(now);
        }
        if matches!(visit, Visit::Moves) {
            feed.moved_to = Some(FeedUrl::parse("https://kiln.example/new").expect("an address"));
            address = Address::Moved;
        }
        let (trouble, happened) = after_visit(&before, &feed, address, now);
        feed.trouble = trouble;
        told.push(happened);
    }
    told
}

#[test]
fn troubles_are_told_when_they_begin_and_get_worse_and_when_they_are_over() {
    use Happening::{At, Got, OutOf};
    use Trouble::{BrokenForADay, BrokenForAMonth, BrokenForAWeek, Gone, Quarantined};
    let table: &[(&str, Told)] = &[
        ("a bad hour is no news", &[(0, Visit::New, &[]), (1, Visit::Fails, &[]), (2, Visit::Same, &[])]),
        (
            "a day, a week and a month, each once however often it is asked",
            &[
                (0, Visit::New, &[]),
                (1, Visit::Fails, &[]),
                (24, Visit::Fails, &[]),
                (25, Visit::Fails, &[Got(BrokenForADay)]),
                (26, Visit::Fails, &[]),
                (6 * DAY_HOURS, Visit::Fails, &[]),
                (8 * DAY_HOURS, Visit::Fails, &[Got(BrokenForAWeek)]),
                (9 * DAY_HOURS, Visit::Fails, &[]),
                (31 * DAY_HOURS, Visit::Fails, &[Got(BrokenForAMonth)]),
                (80 * DAY_HOURS, Visit::Fails, &[]),
                (81 * DAY_HOURS, Visit::Same, &[OutOf(BrokenForAMonth)]),
                (82 * DAY_HOURS, Visit::Same, &[]),
                (83 * DAY_HOURS, Visit::Fails, &[]),
                (85 * DAY_HOURS, Visit::Fails, &[Got(BrokenForADay)]),
            ],
        ),
        (
            "asked seldom, the worst is told alone",
            &[(0, Visit::Fails, &[]), (40 * DAY_HOURS, Visit::Fails, &[Got(BrokenForAMonth)])],
        ),
        (
            "being told to wait for a day is silence too",
            &[(0, Visit::New, &[]), (5, Visit::Held, &[]), (30, Visit::Held, &[Got(BrokenForADay)])],
        ),
        (
            "what breaks the parser is told at once, and again when that lasts a week",
            &[
                (0, Visit::New, &[]),
                (1, Visit::Fails, &[]),
                (2, Visit::Breaks, &[Got(Quarantined)]),
                (2 * DAY_HOURS, Visit::Breaks, &[]),
                (3 * DAY_HOURS, Visit::Fails, &[]),
                (9 * DAY_HOURS, Visit::Breaks, &[Got(BrokenForAWeek)]),
                (10 * DAY_HOURS, Visit::New, &[OutOf(BrokenForAWeek)]),
            ],
        ),
        (
            "gone is the last word until it is back",
            &[
                (0, Visit::New, &[]),
                (1, Visit::Fails, &[]),
                (25, Visit::Gone, &[Got(Gone)]),
                (50 * DAY_HOURS, Visit::Fails, &[]),
                (51 * DAY_HOURS, Visit::New, &[OutOf(Gone)]),
            ],
        ),
        ("a move", &[(0, Visit::New, &[]), (1, Visit::Moves, &[At(Address::Moved)]), (2, Visit::Same, &[])]),
        (
            "a move out of trouble",
            &[
                (0, Visit::Fails, &[]),
                (30, Visit::Fails, &[Got(BrokenForADay)]),
                (31, Visit::Moves, &[At(Address::Moved), OutOf(BrokenForADay)]),
            ],
        ),
    ];
    for (what, visits) in table {
        let asked: Vec<(u64, Visit)> = visits.iter().map(|(hours, visit, _)| (*hours, *visit)).collect();
        let expected: Vec<Vec<Happening>> = visits.iter().map(|(_, _, told)| told.to_vec()).collect();
        assert_eq!(tell(feed("https://kiln.example/feed"), &asked), expected, "{what}");
    }
}

#[test]
fn silence_is_measured_by_the_feeds_own_rhythm() {
    use Happening::{Got, OutOf};
    let with_rhythm = |days: u64| {
        let mut feed = feed("https://kiln.example/feed");
        feed.schedule.rhythm = Some(Duration::from_hours(24 * days));
        feed
    };
    let table: &[(&str, u64, Told)] = &[
        (
            "thirty days at least, told once, and over with a word",
            1,
            &[
                (0, Visit::New, &[]),
                (30 * DAY_HOURS, Visit::Same, &[]),
                (31 * DAY_HOURS, Visit::Same, &[Got(Trouble::Silent)]),
                (90 * DAY_HOURS, Visit::Same, &[]),
                (91 * DAY_HOURS, Visit::New, &[OutOf(Trouble::Silent)]),
                (92 * DAY_HOURS, Visit::Same, &[]),
            ],
        ),
        (
            "a monthly feed may take five months",
            30,
            &[
                (0, Visit::New, &[]),
                (150 * DAY_HOURS, Visit::Same, &[]),
                (151 * DAY_HOURS, Visit::Same, &[Got(Trouble::Silent)]),
            ],
        ),
        (
            "broken while silent: only what is worse",
            1,
            &[
                (0, Visit::New, &[]),
                (31 * DAY_HOURS, Visit::Same, &[Got(Trouble::Silent)]),
                (32 * DAY_HOURS, Visit::Fails, &[]),
                (34 * DAY_HOURS, Visit::Fails, &[Got(Trouble::BrokenForADay)]),
                (35 * DAY_HOURS, Visit::Same, &[OutOf(Trouble::BrokenForADay)]),
                (36 * DAY_HOURS, Visit::Same, &[]),
                (37 * DAY_HOURS, Visit::New, &[OutOf(Trouble::Silent)]),
            ],
        ),
    ];
    for (what, rhythm, visits) in table {
        let asked: Vec<(u64, Visit)> = visits.iter().map(|(hours, visit, _)| (*hours, *visit)).collect();
        let expected: Vec<Vec<Happening>> = visits.iter().map(|(_, _, told)| told.to_vec()).collect();
        assert_eq!(tell(with_rhythm(*rhythm), &asked), expected, "{what}");
    }
    // Silent for years before anybody listened: no news, until it speaks.
    let mut old = with_rhythm(1);
    old.newest = Some(START.minus(Duration::from_hours(24 * 1000)));
    let told = tell(old, &[(0, Visit::Same), (24, Visit::Same), (48, Visit::New)]);
    assert_eq!(told, [vec![], vec![], vec![OutOf(Trouble::Silent)]]);
    // Nothing is known of its rhythm: nothing can be said.
    let told = tell(feed("https://kiln.example/feed"), &[(0, Visit::New), (3000 * DAY_HOURS, Visit::Same)]);
    assert_eq!(told, [vec![], vec![]]);
}

/// A list with one feed that has a secret in its address.
fn bound(address: &str) -> Bound {
    let attributes =
        [("text", "Kiln <Lane> & sons"), ("xmlUrl", address), ("htmlUrl", "https://ann:secret@kiln.example/")];
    let attributes = attributes.into_iter().collect();
    let opml = Opml { outlines: vec![Outline { attributes, children: Vec::new(), line: 1 }], ..Opml::default() };
    let list = ListInput { name: "desired".to_owned(), role: Role::Desired, opml, fault: None };
    let roster = Roster::build(vec![list]);
    let url = FeedUrl::parse(address).expect("an address");
    let voices = roster.voices_of(&url).iter().map(|voice| (FeedId(7), *voice)).collect();
    Bound { ids: [(url, FeedId(7))].into(), voices, roster: roster.into(), ..Bound::default() }
}

#[test]
fn events_say_who_and_why_and_what_to_do_and_no_secret() {
    let address = "https://ann:secret@kiln.example/feed?a=1&b=2";
    let bound = bound(address);
    let mut before = feed(address);
    before.schedule.failing_since = Some(START);
    before.newest = Some(START.minus(Duration::from_hours(24 * 40)));
    let mut broken = before.clone();
    broken.about.home = Some("https://bob:secret@kiln.example/home".to_owned());
    broken.moved_to = Some(FeedUrl::parse("https://ann:secret@kiln.example/new").expect("an address"));
    broken.schedule.last_status = Some(404);
    broken.schedule.last_error =
        Some("the server has no such page (HTTP 404), said http://ann:secret@kiln.example/".to_owned());
    let all: Vec<Happening> = Trouble::ALL
        .into_iter()
        .flat_map(|trouble| [Happening::Got(trouble), Happening::OutOf(trouble)])
        .chain([Happening::At(Address::Moved), Happening::At(Address::Found)])
        .collect();
    let now = after(24 * 9);
    let told = events(&before, &broken, &all, &bound, now);
    assert_eq!(told.len(), all.len());
    for (event, seq) in told.iter().zip(HealthEvent::FIRST_SEQ..) {
        assert_eq!(event.key, EntryKey { listed_at: now, feed: FeedId(7), seq });
        let text = event.text.as_str();
        assert!(event.title.contains("Kiln <Lane> & sons"), "{}", event.title);
        assert!(!text.contains("secret") && !event.title.contains("secret"), "{text}");
        assert!(text.contains("href=\"https://kiln.example/feed?a=1&amp;b=2\""), "{text}");
        assert!(text.contains("href=\"https://kiln.example/home\"") && text.contains("In desired."), "{text}");
    }
    let broken = &told[6];
    assert_eq!(broken.title, "Kiln <Lane> & sons has not been heard for 9 days");
    assert!(broken.text.as_str().contains("has no such page (HTTP 404)"));
    assert!(broken.text.as_str().contains("look for its feed on its home page"));

    let http = Feed { moved_to: None, ..feed("http://kiln.example/feed") };
    let https =
        Feed { moved_to: Some(FeedUrl::parse("https://kiln.example/feed").expect("an address")), ..http.clone() };
    let told = events(&http, &https, &[Happening::At(Address::Moved)], &bound, now);
    assert_eq!(told[0].title, "Kiln <Lane> & sons has moved to https");

    let fault = list_event("desired", "My desired", Some("line 3: cut short"), now, 1);
    assert_eq!((fault.title.as_str(), fault.list.as_deref()), ("The list My desired cannot be read", Some("desired")));
    assert!(fault.text.as_str().contains("Line 3: cut short."), "{}", fault.text.as_str());
}
