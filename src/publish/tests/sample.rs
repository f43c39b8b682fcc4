//! Pages for the tests: one with every trap that feeds set, one as a village of people would fill it.

use std::sync::Arc;

use url::Url;

use crate::listen::page::{Listed, Page, Query, Source, ViewHead};
use crate::lists::opml::Outline;
use crate::model::{Category, CleanHtml, Enclosure, Entry, EntryKey, FeedId, Origin, Person, Timestamp};
use crate::publish::Site;

pub(super) fn site() -> Site {
    Site {
        base_url: Url::parse("https://listen.example/").expect("it is an address"),
        hub: Some("https://hub.example/".into()),
        contact_links: true,
        is_keeper: true,
        lists: [("Followers", "/followers"), ("Desired", "/desired"), ("Mine", "/mine")]
            .map(|(title, path)| (title.to_owned(), path.to_owned()))
            .to_vec(),
    }
}

pub(super) fn time(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).expect("it is a time")
}

pub(super) fn html(text: &str) -> CleanHtml {
    CleanHtml::from_cleaner(text.to_owned())
}

pub(super) fn source(voice: &str, slug: &str, circles: &[(&str, &str)]) -> Arc<Source> {
    Arc::new(Source {
        id: format!("https://{slug}.example/feed"),
        title: voice.to_owned(),
        url: format!("https://{slug}.example/feed"),
        former_urls: Vec::new(),
        home: Some(format!("https://{slug}.example/")),
        voice: voice.to_owned(),
        voice_path: format!("/voices/{slug}"),
        circles: circles.iter().map(|(title, path)| ((*title).to_owned(), (*path).to_owned())).collect(),
    })
}

pub(super) fn entry(feed: u32, seq: u32, at: &str, title: &str) -> Entry {
    let at = time(at);
    Entry {
        key: EntryKey { listed_at: at, feed: FeedId(feed), seq },
        first_seen: at,
        guid: format!("https://feed{feed}.example/{seq}"),
        link: Some(format!("https://feed{feed}.example/{seq}")),
        title: title.to_owned(),
        authors: Vec::new(),
        published: Some(at),
        updated: None,
        summary: None,
        content: None,
        categories: Vec::new(),
        enclosures: Vec::new(),
        comments: None,
        language: None,
        origin: None,
    }
}

pub(super) fn page(path: &str, title: &str, entries: Vec<Listed>) -> Page {
    let updated = entries.iter().map(|listed| listed.entry.last_change()).max();
    Page {
        head: ViewHead {
            path: path.to_owned(),
            title: title.to_owned(),
            about: "Everyone you listen to, newest first.".to_owned(),
            above: Vec::new(),
        },
        query: Query::default(),
        next: None,
        updated: updated.unwrap_or_default(),
        troubled: 0,
        entries,
    }
}

/// One page with what goes wrong elsewhere.
pub(super) fn rich() -> Page {
    let kiln = source("Kiln Lane", "kiln", &[("Desired", "/desired"), ("Oakland makers", "/desired/oakland-makers")]);
    let nameless = Arc::new(Source {
        id: "not an address".into(),
        url: "https://nameless.example/rss?a=1&b=2".into(),
        ..Source::default()
    });
    let listed = |entry, source: &Arc<Source>| Listed { entry, source: Arc::clone(source), reason: None };
    let everything = Entry {
        guid: "tag:kiln.example,2026:warm".into(),
        authors: vec![
            Person {
                name: "Ann Kiln".into(),
                uri: Some("https://kiln.example/ann".into()),
                email: Some("ann@kiln.example".into()),
            },
            Person { name: " ".into(), uri: None, email: None },
            Person { name: "Bo".into(), uri: Some("javascript:x".into()), email: Some("no address".into()) },
        ],
        updated: Some(time("2026-11-22T12:00:00.250Z")),
        summary: Some(html("<p>Twelve bowls, <b>one</b> crack &amp; a photograph.</p>")),
        content: Some(html(
            "<p>Twelve bowls, <a href=\"https://kiln.example/crack\">one crack</a>.</p>\n<p><img src=\"https://kiln.example/crack.jpg\" alt=\"The crack\"></p>",
        )),
        categories: vec![
            Category {
                term: "ceramics".into(),
                scheme: Some("https://kiln.example/tags".into()),
                label: Some("Ceramics".into()),
            },
            Category { term: "R&D <\"x\">".into(), scheme: Some("no address".into()), label: None },
            Category::default(),
        ],
        enclosures: vec![
            Enclosure {
                url: "https://kiln.example/a.mp3".into(),
                mime: Some("audio/mpeg".into()),
                bytes: Some(12_345_678),
            },
            Enclosure { url: "https://kiln.example/b ä.ogg".into(), mime: None, bytes: None },
            Enclosure { url: "javascript:x".into(), mime: None, bytes: None },
        ],
        comments: Some("https://kiln.example/warm#comments".into()),
        language: Some("en-GB".into()),
        origin: Some(Origin {
            id: Some("urn:uuid:1225c695-cfb8-4ebb-aaaa-80da344efa6a".into()),
            title: Some("Planet Clay".into()),
            link: Some("https://clay.example/".into()),
        }),
        ..entry(1, 7, "2026-11-22T09:10:00Z", "The kiln is warm again")
    };
    let traps = Entry {
        guid: "17".into(),
        link: Some("https://nameless.example/ä|b".into()),
        summary: Some(html("a ]]&gt; b ]]> c")),
        language: Some("en_US".into()),
        ..entry(2, 1, "2026-11-22T08:00:00Z", "Controls \0\u{1}\u{b}\u{1f}\u{fffe}, ]]>, <b>tags</b> & 𝄞 astral")
    };
    let untitled = Entry {
        guid: "/relative".into(),
        link: None,
        published: None,
        content: Some(html("<p>Only a thought, with no title.</p>")),
        ..entry(2, 2, "2026-11-21T23:59:59Z", " \u{7f}")
    };
    let right_to_left = Entry {
        guid: "https://qahwa.example/morning".into(),
        language: Some("ar".into()),
        content: Some(html("<p dir=\"rtl\">الخزف دافئ مرة أخرى.</p>")),
        ..entry(3, 1, "2026-11-21T20:00:00Z", "الفرن دافئ مرة أخرى")
    };
    let same_guid = Entry {
        guid: "https://qahwa.example/morning".into(),
        published: Some(time("2020-02-29T00:00:00Z")),
        link: Some("https://ann:secret@feed4.example/1".into()),
        ..entry(4, 1, "2026-11-21T19:00:00Z", "Another feed says the same id")
    };
    let nothing = Entry { guid: String::new(), link: None, published: None, ..entry(4, 0, "2026-11-20T00:00:00Z", "") };
    let mut reasoned = listed(everything, &kiln);
    reasoned.reason = Some("Links to your “Bowls & <plates>”".to_owned());
    let mut page = page(
        "/listen",
        "Everyone & all",
        vec![
            reasoned,
            listed(traps, &nameless),
            listed(untitled, &nameless),
            listed(right_to_left, &source("قهوة الصباح", "qahwa", &[("Followers", "/followers")])),
            listed(same_guid, &kiln),
            listed(nothing, &nameless),
        ],
    );
    page.query = Query { limit: 6, words: vec!["kiln".into(), "w&rm".into()], per_voice: Some(3), ..Query::default() };
    page.next = Some(EntryKey { listed_at: time("2026-11-20T00:00:00Z"), feed: FeedId(4), seq: 0 });
    page
}

/// Thirty entries as twelve people might write them in a week.
pub(super) fn village() -> Page {
    type Voice = (&'static str, &'static str, &'static [(&'static str, &'static str)]);
    const VOICES: [Voice; 12] = [
        ("Kiln Lane", "kiln-lane", &[("Desired", "/desired"), ("Oakland makers", "/desired/oakland-makers")]),
        (
            "Bench Weekly",
            "bench-weekly",
            &[("Followers", "/followers"), ("Oakland makers", "/followers/oakland-makers")],
        ),
        ("Small Stage", "small-stage", &[("Followers", "/followers")]),
        ("Old Harbour Radio", "old-harbour-radio", &[("Followers", "/followers"), ("Radio", "/followers/radio")]),
        ("Beginner’s Notebook", "beginners-notebook", &[("Followers", "/followers")]),
        ("Outreach Café", "outreach-cafe", &[("Desired", "/desired"), ("Outreach", "/desired/outreach")]),
        ("Quay Street", "quay-street", &[("Followers", "/followers")]),
        ("Tidewater Notes", "tidewater-notes", &[("Desired", "/desired")]),
        ("Ljubica’s Orchard", "orchard", &[("Followers", "/followers"), ("Gardens", "/followers/gardens")]),
        ("قهوة الصباح", "qahwat-alsabah", &[("Desired", "/desired")]),
        ("Night Shift", "night-shift", &[("Followers", "/followers")]),
        (
            "Letterpress Society",
            "letterpress-society",
            &[("Desired", "/desired"), ("Oakland makers", "/desired/oakland-makers")],
        ),
    ];
    const SAID: [(&str, &str); 15] = [
        (
            "The kiln is warm again",
            "<p>Twelve bowls, one crack. <a href=\"https://kiln-lane.example/crack.jpg\">Photographs of the crack</a>.</p>",
        ),
        (
            "Three places I sat this week",
            "<p>A bench by the locks, a step in the market, and the last seat of the 14 bus. What makes a place to sit is rarely the seat: it is whether you are expected to leave.</p><p>The locks first. Somebody has turned the bench to face the water, and since then nobody sits at its ends. I asked the lock keeper, who said it had always been like that, and then, after a while, that it had been him.</p><h2>The step</h2><p>It is not a bench and nobody would call it one, and at noon it seats eleven.</p><figure><img src=\"https://bench-weekly.example/step.jpg\" alt=\"Eleven people on a step\"><figcaption>Noon on Tuesday</figcaption></figure><blockquote><p>You can tell a town by where it lets you wait.</p></blockquote><p>More of this in <a href=\"https://bench-weekly.example/waiting\">the long piece on waiting</a>.</p>",
        ),
        (
            "Two chairs, one table",
            "<p>A small stage in a small town: what forty people in a room can do that four thousand followers can’t.</p>",
        ),
        ("", "<p>Fog until eleven. Then, all at once, every gull in the county.</p>"),
        (
            "It’s okay to be a beginner",
            "<p>On starting the fourth notebook of the year, and why the first page is always the hardest. With a song.</p>",
        ),
        (
            "How we answer every letter, and what it costs",
            "<p>We had 214 letters in October and answered 214. People ask how. The answer is dull: on Thursdays, with tea, by hand, and never more than four lines.</p><p>The table below has the hours. It took longer than we thought in the first month and less each month since; the letters got better as the answers got shorter.</p><table><thead><tr><th>Month</th><th>Letters</th><th>Answered</th><th>Hours</th></tr></thead><tbody><tr><td>August</td><td>131</td><td>118</td><td>31</td></tr><tr><td>September</td><td>166</td><td>166</td><td>27</td></tr><tr><td>October</td><td>214</td><td>214</td><td>25</td></tr></tbody></table><p>If you do outreach for a living: stop counting what you send.</p>",
        ),
        ("Quay Street is back", "<p>After a summer of scaffolding. The door sticks; push.</p>"),
        (
            "A word for water that has stopped pretending",
            "<p><em>Slack</em>: the hour between tides. I have been collecting words like it since March and have nineteen. Send me yours, from any coast and in any language, and I will print them all with your name beside them, unless you would rather not be named.</p><ul><li>slack</li><li>stand</li><li>dead water</li></ul><p>I’ll start. My grandmother said <q>the sea is thinking</q>, which is two words too many for a dictionary and exactly right.</p><p>The list so far is on the wall of the boathouse and nowhere else. That will change on Sunday, when the school has promised to copy it, in pencil, in the good hand.</p>",
        ),
        ("Grafting day", "<p>Bring a knife, bring a twig. We have forty rootstocks and more opinions than that.</p>"),
        (
            "الفرن دافئ مرة أخرى",
            "<p dir=\"rtl\">صباح الخير من الميناء. القهوة جاهزة، والباب مفتوح لمن يريد أن يجلس قليلاً ويحكي لنا عن أسبوعه.</p>",
        ),
        (
            "",
            "<p>Question for the night people: what do you listen to at four? Not music. Answers to <a href=\"https://night-shift.example/four\">this page</a>, I’ll read them out.</p>",
        ),
        ("Open evening on Thursday", "<p>Lathe, letterpress and soup. Bring a project or somebody who has one.</p>"),
        (
            "Notes on setting 6-point type with cold hands, for those who keep asking, and for those who should have asked before they started",
            "<p>Warm the stick, not the hands. <code>6pt</code> forgives nothing.</p>",
        ),
        (
            "Episode 41: The ferry that went nowhere",
            "<p>For eleven years a ferry crossed the harbour empty, twice a day. We found the man who kept the timetable.</p>",
        ),
        (
            "What forty people said",
            "<p>We asked at the door. <a href=\"https://small-stage.example/said\"><img src=\"https://small-stage.example/said.png\" alt=\"Forty answers on cards\"></a></p><p>Most said: because somebody asked me.</p>",
        ),
    ];
    let mut entries = Vec::new();
    for n in 0..30_u32 {
        let (title, text) = SAID[n as usize % SAID.len()];
        let (voice, slug, circles) = VOICES[n as usize % SAID.len() % VOICES.len()];
        let at = Timestamp::from_millis(
            time("2026-11-22T18:05:00Z").millis() - i64::from(n) * 13_000_000 - i64::from(n % 7) * 660_000,
        );
        let mut entry = entry(n % 12, n, "2026-11-22T18:05:00Z", title);
        entry.key.listed_at = at;
        entry.guid = format!("https://{slug}.example/{n}");
        entry.published = Some(if n == 8 { time("2026-09-30T10:00:00Z") } else { at });
        entry.content = Some(html(text));
        match n % 15 {
            1 => entry.authors = vec![Person { name: "Mara Linden".into(), ..Person::default() }],
            9 => entry.language = Some("ar".into()),
            13 => {
                entry.enclosures = vec![Enclosure {
                    url: "https://old-harbour-radio.example/41.mp3".into(),
                    mime: Some("audio/mpeg".into()),
                    bytes: Some(34_512_345),
                }];
            }
            5 => entry.comments = Some("https://outreach-cafe.example/letters#comments".into()),
            _ => {}
        }
        let reason = (n == 1).then(|| "Links to your “A bench for the square”".to_owned());
        entries.push(Listed { entry, source: source(voice, slug, circles), reason });
    }
    let mut page = page("/listen", "Everyone", entries);
    page.next = page.entries.last().map(|listed| listed.entry.key);
    page
}

pub(super) fn outline(attributes: &[(&str, &str)], children: Vec<Outline>) -> Outline {
    Outline { attributes: attributes.iter().copied().collect(), children, line: 1 }
}
