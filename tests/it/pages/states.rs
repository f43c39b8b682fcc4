//! Each page in each of its states.

use listend::listen::page::{Page, Query, ViewHead};
use listend::listen::people::{Card, Dossier, FeedOf, LinkLove, Order, Person, Present, Rolodex, State, Today};
use listend::listen::relations::{Answerable, Relation};
use listend::model::{ContactKind, FeedState, Role, Trouble};
use listend::publish::Site;
use listend::publish::html::{self, Circle, Folder, Front, Hearing, Status};
use url::Url;

use super::Pages;
use super::crowd::{
    HOSTILE, ago, bridges, card, conversations, debts, history, hostile_debts, hostile_saying, key, love, mallory,
    newcomers, nobody, person, quiet, river, saying, today,
};

/// All of them, by the path at which they are served.
pub(super) fn all() -> Pages {
    let mut pages = Pages::new();
    let mut add = |name: &str, page: String| assert!(pages.insert(format!("/{name}"), page).is_none(), "{name} twice");
    fronts(&mut add);
    presents(&mut add);
    voices(&mut add);
    answers(&mut add);
    let keeper = keeper();
    add("river", html::river(&river("/listen", "Everyone", 14), &keeper));
    add("river-empty", html::river(&river("/mentions", "Mentions", 0), &keeper));
    add("status-empty", html::status(&Status::default(), &keeper));
    add("message", html::message(&keeper, "Not found", &["There is nothing here."], &keeper.lists));
    add("public-river", html::river(&river("/listen", "Everyone", 3), &public()));
    pages
}

fn keeper() -> Site {
    let lists =
        [("Followers", "/followers"), ("Desired", "/desired"), ("Old friends", "/old-friends"), ("Mine", "/mine")];
    Site {
        base_url: Url::parse("http://127.0.0.1:8470/").unwrap(),
        hub: None,
        contact_links: true,
        is_keeper: true,
        lists: lists.map(|(title, path)| (title.to_owned(), path.to_owned())).to_vec(),
    }
}

fn public() -> Site {
    Site { contact_links: false, is_keeper: false, ..keeper() }
}

fn circles() -> Vec<Circle> {
    let circle = |title: &str, path: &str, role, folders: usize| Circle {
        title: title.into(),
        path: path.into(),
        role,
        voices: 31,
        feeds: 38,
        folders: (0..folders)
            .map(|n| Folder { title: format!("Folder {n}"), path: format!("{path}/{n}"), voices: n })
            .collect(),
    };
    vec![
        circle("Followers", "/followers", Role::Followers, 3),
        circle("Desired", "/desired", Role::Desired, 14),
        circle(HOSTILE, "/old-friends", Role::Circle, 0),
        circle("Mine", "/mine", Role::Mine, 0),
        circle("Inbox", "/inbox", Role::Inbox, 0),
    ]
}

fn fronts(add: &mut impl FnMut(&str, String)) {
    let full = Today {
        answer: debts(),
        more: (2, 12),
        has_heard: true,
        newcomers: newcomers(),
        conversations: conversations(),
        love: Some(love()),
        today: today(),
    };
    let nothing = Today {
        answer: Vec::new(),
        more: (0, 0),
        has_heard: false,
        newcomers: Vec::new(),
        conversations: Vec::new(),
        love: None,
        today: today(),
    };
    let circles = circles();
    let (full_river, empty) = (river("/listen", "Everyone", 14), river("/listen", "Everyone", 0));
    let first_round = Hearing::FirstRound { asked: 12, feeds: 69 };
    let mut show = |name: &str, today: Option<&Today>, hearing, river: &Page, circles: &[Circle]| {
        let site = if today.is_some() { keeper() } else { public() };
        add(name, html::front(&Front { river, circles, hearing, today }, &site));
    };
    show("today", Some(&full), Hearing::Everybody, &full_river, &circles);
    for n in 1..5 {
        let few =
            Today { answer: debts()[..n].to_vec(), more: (0, n % 2), love: Some(LinkLove::default()), ..full.clone() };
        show(&format!("today-{n}"), Some(&few), Hearing::Everybody, &full_river, &circles);
    }
    let hostile = Today { answer: hostile_debts(), ..full.clone() };
    show("today-hostile", Some(&hostile), Hearing::Everybody, &full_river, &circles);
    let answered = Today { answer: Vec::new(), more: (0, 0), ..full.clone() };
    show("today-all-answered", Some(&answered), Hearing::Everybody, &full_river, &circles);
    show("today-nobody-listed", Some(&nothing), Hearing::Nobody, &empty, &[]);
    show("today-no-feed", Some(&nothing), Hearing::Nobody, &empty, &circles);
    show("today-first-round", Some(&nothing), first_round, &empty, &circles);
    show("today-first-round-heard", Some(&full), first_round, &full_river, &circles);
    show("today-nothing-said", Some(&nothing), Hearing::Everybody, &empty, &circles);
    let broken = Page { troubled: 500, ..empty.clone() };
    show("today-broken", Some(&nothing), Hearing::Everybody, &broken, &circles);
    let some = Page { troubled: 3, ..full_river.clone() };
    show("today-some-broken", Some(&full), Hearing::Everybody, &some, &circles);
    show("public", None, Hearing::Everybody, &full_river, &circles);
    show("public-first-round", None, first_round, &empty, &circles);
    show("public-nobody", None, Hearing::Nobody, &empty, &[]);
}

fn presents(add: &mut impl FnMut(&str, String)) {
    let mut show = |name: &str, relation: Relation, state, page, count| {
        let head = ViewHead {
            path: relation.path().into(),
            title: relation.title().into(),
            about: relation.about().into(),
            above: Vec::new(),
        };
        add(name, html::present(&Present { head, state, page, count, today: today() }, &keeper()));
    };
    let mut thanks = debts();
    thanks.extend(hostile_debts());
    show("thanks", Relation::Thanks, State::Thanks(thanks), (1, 3), 103);
    show("neglected", Relation::Neglected, State::Neglected(vec![debts().remove(3); 3]), (2, 2), 53);
    show("quiet", Relation::Quiet, State::Quiet(quiet()), (1, 1), 3);
    show("conversations", Relation::Conversations, State::Conversations(conversations()), (1, 1), 2);
    show("newcomers", Relation::Newcomers, State::Newcomers(newcomers()), (1, 1), 4);
    show("bridges", Relation::Bridges, State::Bridges(bridges()), (1, 1), 3);
    show("thanks-empty", Relation::Thanks, State::Thanks(Vec::new()), (1, 1), 0);
    show("neglected-empty", Relation::Neglected, State::Neglected(Vec::new()), (1, 1), 0);
    show("quiet-empty", Relation::Quiet, State::Quiet(Vec::new()), (1, 1), 0);
    show("conversations-empty", Relation::Conversations, State::Conversations(Vec::new()), (1, 1), 0);
    show("newcomers-empty", Relation::Newcomers, State::Newcomers(Vec::new()), (1, 1), 0);
    show("bridges-empty", Relation::Bridges, State::Bridges(Vec::new()), (1, 1), 0);
}

fn voices(add: &mut impl FnMut(&str, String)) {
    let bare = |who: Person| Card { person: who, heard: None, weeks: vec![0; 26], ..card(0, 26) };
    let mut rows: Vec<Card> = (0..8).map(|n| card(n, 26)).collect();
    rows.extend([bare(mallory()), bare(nobody())]);
    let full = Rolodex { rows, order: Order::Waiting, page: 1, pages: 3, voices: 210, love: love(), today: today() };
    add("rolodex", html::rolodex(&full, &keeper()));
    for order in [Order::Heard, Order::Links, Order::Name] {
        let love = LinkLove { posts: 0, pointing: 0, ..love() };
        let sorted = Rolodex { order, page: 3, love, ..full.clone() };
        add(&format!("rolodex-{}", order.as_str()), html::rolodex(&sorted, &keeper()));
    }
    let empty = Rolodex { rows: Vec::new(), pages: 1, voices: 0, love: LinkLove::default(), ..full };
    add("rolodex-empty", html::rolodex(&empty, &keeper()));

    let feed = |title: &str, state, trouble| FeedOf {
        title: title.into(),
        url: "https://kiln-lane.example/feed".into(),
        state,
        trouble,
        entries: 214,
        newest: Some(ago(2)),
    };
    let kiln = Dossier {
        card: card(3, 53),
        owed: vec![saying(3, ago(0), "Links to your “A bench for the square”"), saying(7, ago(30), "Says your name")],
        from_them: (0..7).map(|n| saying(n, ago(n as u64 * 9), "")).collect(),
        to_them: (2..4).map(|n| saying(n, ago(n as u64 * 20), "")).collect(),
        history: history(),
        feeds: vec![feed("Kiln Lane", FeedState::Ok, None), feed("Glazes", FeedState::Gone, Some(Trouble::Gone))],
        today: today(),
    };
    let mut said = river("/voices/kiln-lane", "Kiln Lane", 6);
    said.head.above =
        vec![("Desired".into(), "/desired".into()), ("Oakland makers".into(), "/desired/oakland-makers".into())];
    add("voice", html::voice(&kiln, &said, &keeper()));
    let further = Page { query: Query { before: said.next, ..Query::default() }, ..said.clone() };
    add("voice-further", html::voice(&kiln, &further, &keeper()));
    let hostile = Dossier {
        card: Card { person: mallory(), trouble: Some(Trouble::BrokenForAWeek), ..card(3, 53) },
        owed: vec![hostile_saying(); 2],
        from_them: vec![hostile_saying()],
        to_them: Vec::new(),
        history: history(),
        feeds: vec![FeedOf { url: "javascript:x".into(), ..feed(HOSTILE, FeedState::Backoff, None) }],
        today: today(),
    };
    add("voice-hostile", html::voice(&hostile, &said, &keeper()));
    let unheard = Dossier {
        card: Card { weeks: vec![0; 53], from_them: 0, to_them: 0, ..bare(person(5)) },
        owed: Vec::new(),
        from_them: Vec::new(),
        to_them: Vec::new(),
        history: Vec::new(),
        feeds: vec![feed("قهوة الصباح", FeedState::New, None)],
        today: today(),
    };
    add("voice-unheard", html::voice(&unheard, &river("/voices/qahwat-alsabah", "قهوة الصباح", 0), &keeper()));
}

fn answers(add: &mut impl FnMut(&str, String)) {
    let kiln = Answerable { person: person(3), saying: Some(saying(3, ago(2), "")), by: None, history: history() };
    let entry = key(3, ago(2));
    add("answer", html::answered(&kiln, entry, None, &keeper()));
    for kind in ContactKind::ALL {
        add(&format!("answer-{}", kind.as_str()), html::answered(&kiln, entry, Some(kind), &keeper()));
    }
    let notice = Answerable { person: person(1), saying: None, by: None, history: Vec::new() };
    add("answer-notice", html::answered(&notice, entry, None, &keeper()));
    let hostile = Answerable { person: mallory(), saying: Some(hostile_saying()), by: None, history: history() };
    add("answer-hostile", html::answered(&hostile, entry, None, &keeper()));
    let nobody = Answerable { person: nobody(), ..notice };
    add("answer-nobody", html::answered(&nobody, entry, Some(ContactKind::Shared), &keeper()));
}
