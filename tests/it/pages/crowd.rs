//! People for the pages: a handful as they might be, and one who brings every trap at once.

use std::sync::Arc;
use std::time::Duration;

use listend::feeds::clean;
use listend::listen::page::{Listed, Page, Query, Source, ViewHead};
use listend::listen::people::{
    Bridge, Card, Cause, Conversation, Debt, LinkLove, Newcomer, Past, PastKind, Person, QuietVoice, Saying,
};
use listend::model::{ContactKind, Entry, EntryKey, FeedId, Markup, NoticeKind, Role, Timestamp, Trouble};

pub(super) const HOSTILE: &str = "<script>alert(\"1\")</script> & \u{202e}'turned' \u{1}Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft";

/// What somebody is called, the slug of it, and the circles it stands in as title and path.
type Named = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const PEOPLE: [Named; 8] = [
    ("Bench Weekly", "bench-weekly", &[("Followers", "/followers"), ("Oakland makers", "/followers/oakland-makers")]),
    ("Quay Street", "quay-street", &[("Followers", "/followers")]),
    ("Outreach Café", "outreach-cafe", &[("Desired", "/desired"), ("Outreach", "/desired/outreach")]),
    ("Kiln Lane", "kiln-lane", &[("Desired", "/desired"), ("Oakland makers", "/desired/oakland-makers")]),
    ("Old Harbour Radio", "old-harbour-radio", &[("Followers", "/followers")]),
    ("قهوة الصباح", "qahwat-alsabah", &[("Desired", "/desired")]),
    ("Beginner’s Notebook", "beginners-notebook", &[("Followers", "/followers")]),
    ("Small Stage", "small-stage", &[("Followers", "/followers"), ("Stages", "/followers/stages")]),
];

const SAID: [(&str, &str); 8] = [
    (
        "Three places I sat this week",
        "A bench by the locks, a step in the market, and the last seat of the 14 bus. What makes a place to sit is rarely \
         the seat: it is whether you are expected to leave.",
    ),
    ("Quay Street is back", "After a summer of scaffolding. The door sticks; push."),
    ("Re: Net-net", "I read this twice on the train and then missed my stop. One question: who are the four?"),
    ("The kiln is warm again", "Twelve bowls, one crack. Photographs of the crack."),
    ("Back on air", "For eleven years a ferry crossed the harbour empty, twice a day."),
    ("الفرن دافئ مرة أخرى", "صباح الخير من الميناء. القهوة جاهزة، والباب مفتوح."),
    ("It’s okay to be a beginner", "On starting the fourth notebook of the year."),
    ("Two chairs, one table", "What forty people in a room can do that four thousand followers can’t."),
];

pub(super) fn time(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

pub(super) fn today() -> Timestamp {
    time("2026-11-23T06:30:00Z")
}

/// So many days before today.
pub(super) fn ago(days: u64) -> Timestamp {
    today().minus(Duration::from_hours(days * 24 + 5))
}

pub(super) fn key(n: u32, at: Timestamp) -> EntryKey {
    EntryKey { listed_at: at, feed: FeedId(n), seq: n }
}

pub(super) fn person(n: usize) -> Person {
    let (name, slug, circles) = PEOPLE[n % PEOPLE.len()];
    Person {
        name: name.into(),
        path: Some(format!("/voices/{slug}")),
        circles: circles.iter().map(|(title, path)| ((*title).into(), (*path).into())).collect(),
        roles: vec![Role::Followers],
        home: Some(format!("https://{slug}.example/")),
    }
}

/// Somebody whose every word is meant to break the page.
pub(super) fn mallory() -> Person {
    Person {
        name: HOSTILE.into(),
        path: Some("/voices/<\"mallory\">".into()),
        circles: vec![(HOSTILE.into(), "/followers/\"x".into()); 9],
        roles: Vec::new(),
        home: Some("javascript:alert(1)".into()),
    }
}

/// Somebody from outside without a name.
pub(super) fn nobody() -> Person {
    Person { name: " \u{7f}".into(), ..Person::default() }
}

pub(super) fn saying(n: usize, at: Timestamp, reason: &str) -> Saying {
    let (title, excerpt) = SAID[n % SAID.len()];
    let slug = PEOPLE[n % PEOPLE.len()].1;
    Saying {
        key: key(n as u32, at),
        title: title.into(),
        link: Some(format!("https://{slug}.example/{n}")),
        at,
        excerpt: excerpt.into(),
        reason: reason.into(),
    }
}

pub(super) fn hostile_saying() -> Saying {
    Saying {
        title: HOSTILE.into(),
        link: Some("javascript:alert(1)".into()),
        excerpt: HOSTILE.repeat(3),
        reason: HOSTILE.into(),
        ..saying(0, ago(1), "")
    }
}

/// The five that a morning may bring.
pub(super) fn debts() -> Vec<Debt> {
    let debt = |n: usize, cause, days, reason: &str, sayings: Vec<Saying>, count, last_contact: Option<u64>| Debt {
        person: person(n),
        cause,
        reason: reason.into(),
        since: ago(days),
        done: Some(key(n as u32, ago(days))),
        sayings,
        count,
        last_contact: last_contact.map(ago),
    };
    vec![
        debt(
            0,
            Cause::Mention,
            1,
            "Links to your “A bench for the square”",
            vec![saying(0, ago(1), ""), saying(6, ago(3), "Links to your “Net-net”")],
            2,
            Some(40),
        ),
        debt(1, Cause::Follower, 3, "Became a follower; you had wanted that since March", vec![], 0, None),
        debt(2, Cause::Reply, 2, "Answered your “Net-net”", vec![saying(2, ago(2), "")], 1, Some(61)),
        debt(
            3,
            Cause::Neglected,
            234,
            "9 entries since your last word",
            vec![saying(3, ago(0), ""), saying(7, ago(30), "")],
            9,
            Some(240),
        ),
        debt(4, Cause::Returned, 0, "First entry in 94 days", vec![saying(4, ago(0), "")], 1, None),
    ]
}

pub(super) fn hostile_debts() -> Vec<Debt> {
    let hostile = Debt {
        person: mallory(),
        reason: HOSTILE.into(),
        sayings: vec![hostile_saying(); 5],
        count: 100,
        ..debts().remove(0)
    };
    let empty = Debt { person: nobody(), reason: String::new(), sayings: Vec::new(), done: None, ..debts().remove(3) };
    vec![hostile, empty]
}

pub(super) fn newcomers() -> Vec<Newcomer> {
    let newcomer = |n: usize, days, reason: &str| Newcomer {
        person: person(n),
        reason: reason.into(),
        at: ago(days),
        done: Some(key(n as u32, ago(days))),
    };
    let mut left = newcomer(6, 9, "left Followers");
    (left.person.path, left.done) = (None, None);
    left.person.circles.clear();
    vec![
        newcomer(1, 3, "became a follower"),
        newcomer(5, 4, "joined Desired"),
        newcomer(7, 6, "joined Followers"),
        left,
    ]
}

pub(super) fn conversations() -> Vec<Conversation> {
    vec![
        Conversation {
            title: "The case for benches".into(),
            link: "https://bench-weekly.example/case".into(),
            host: Some(person(0)),
            turns: vec![
                (person(0), saying(0, ago(4), "")),
                (person(7), saying(7, ago(2), "")),
                (person(4), saying(4, ago(1), "")),
            ],
            last: ago(1),
        },
        Conversation {
            title: "lathe.example/how-the-shed-got-its-lathe".into(),
            link: "https://lathe.example/how-the-shed-got-its-lathe".into(),
            host: None,
            turns: vec![(person(3), saying(3, ago(6), "")), (person(5), saying(5, ago(5), ""))],
            last: ago(5),
        },
    ]
}

pub(super) fn quiet() -> Vec<QuietVoice> {
    let quiet = |n: usize, days, mark: &str, is_silent| QuietVoice {
        person: person(n),
        newest: saying(n, ago(days), ""),
        mark: mark.into(),
        is_silent,
    };
    vec![
        quiet(4, 0, "First post in 94 days", false),
        quiet(5, 210, "Fell silent", true),
        quiet(7, 20, "Posts about once a month", false),
    ]
}

pub(super) fn bridges() -> Vec<Bridge> {
    let bridge = |site: &str, by: Vec<usize>, voices| Bridge {
        site: site.into(),
        link: format!("https://{site}/"),
        by: by.into_iter().map(|n| (person(n), saying(n, ago(n as u64 + 1), ""))).collect(),
        voices,
        last: ago(1),
    };
    vec![
        bridge("lathe.example", (0..8).collect(), 12),
        bridge("tidewater.example/~notes", vec![3, 0], 2),
        Bridge { link: "https://a.example/$(reboot)".into(), ..bridge(&HOSTILE.repeat(2), vec![1, 2], 2) },
    ]
}

/// A year of posts, of which more and more point at others.
pub(super) fn love() -> LinkLove {
    let months = (0..12_i64).map(|n| {
        let (year, month) = if n == 0 { (2025, 12) } else { (2026, n) };
        let posts = [4, 6, 0, 5, 9, 3, 8, 7, 0, 10, 9, 7][n as usize];
        (time(&format!("{year}-{month:02}-01T00:00:00Z")), posts, (posts * (n as usize + 1)).div_ceil(16))
    });
    LinkLove { posts: 26, pointing: 11, months: months.collect() }
}

pub(super) fn card(n: usize, weeks: usize) -> Card {
    const RHYTHM: [u32; 13] = [0, 2, 1, 0, 3, 5, 1, 0, 0, 8, 2, 1, 4];
    Card {
        person: person(n),
        heard: Some(ago(n as u64 * 3)),
        weeks: (0..weeks).map(|week| RHYTHM[(week * (n + 1) + n) % RHYTHM.len()] / (n as u32 % 3 + 1)).collect(),
        from_them: n * 5 % 14,
        to_them: n * 3 % 7,
        owed: n % 3,
        waiting: (n % 2 == 1).then(|| ago(n as u64 * 40)),
        trouble: (n > 5).then(|| Trouble::ALL[n % Trouble::ALL.len()]),
    }
}

pub(super) fn history() -> Vec<Past> {
    let past = |days, kind, text: &str, link: Option<&str>| Past {
        at: ago(days),
        kind,
        text: text.into(),
        link: link.map(str::to_owned),
    };
    let mut all = vec![
        past(12, PastKind::Contact(ContactKind::Thanked), "by mail, for the lathe", None),
        past(40, PastKind::Post, "Net-net", Some("https://porch.example/net-net")),
        past(80, PastKind::Contact(ContactKind::Shared), "", None),
        past(81, PastKind::Contact(ContactKind::Commented), HOSTILE, Some("javascript:x")),
    ];
    let told = NoticeKind::ALL.into_iter().zip(100..);
    all.extend(
        told.map(|(kind, days)| past(days, PastKind::Notice(kind), "Kiln Lane and what came true", Some("/thanks"))),
    );
    all
}

/// A river of what they say.
pub(super) fn river(path: &str, title: &str, entries: usize) -> Page {
    let listed = (0..entries).map(|n| {
        let (voice, slug, circles) = PEOPLE[n % PEOPLE.len()];
        let (said, words) = SAID[n % SAID.len()];
        let at = today().minus(Duration::from_hours(n as u64 * 7 + 1));
        let text =
            if n % 5 == 4 { format!("<p>{}</p><p>{words}</p>", words.repeat(9)) } else { format!("<p>{words}</p>") };
        Listed {
            entry: Entry {
                key: key(n as u32, at),
                first_seen: at,
                guid: n.to_string(),
                link: Some(format!("https://{slug}.example/{n}")),
                title: said.into(),
                authors: Vec::new(),
                published: Some(at),
                updated: None,
                summary: None,
                content: Some(clean::html(&Markup::Html(text), None)),
                categories: Vec::new(),
                enclosures: Vec::new(),
                comments: None,
                language: None,
                origin: None,
            },
            source: Arc::new(Source {
                title: voice.into(),
                voice: voice.into(),
                voice_path: format!("/voices/{slug}"),
                circles: circles.iter().map(|(title, path)| ((*title).into(), (*path).into())).collect(),
                ..Source::default()
            }),
            reason: (n % 4 == 1).then(|| "Links to your “A bench for the square”".to_owned()),
        }
    });
    let entries: Vec<Listed> = listed.collect();
    Page {
        head: ViewHead {
            path: path.into(),
            title: title.into(),
            about: format!("{title}: what they say."),
            above: Vec::new(),
        },
        query: Query::default(),
        next: entries.last().map(|listed| listed.entry.key),
        entries,
        updated: today(),
        troubled: 0,
    }
}
