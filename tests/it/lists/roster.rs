//! The roster as a table: lists in, the views, voices and warnings that they make out.

use listend::lists::opml;
use listend::lists::roster::{ListInput, PlaceKind, Roster};
use listend::model::{FeedUrl, Role};

/// A roster of lists, each as its name and what stands in its body.
pub(super) fn roster(lists: &[(&str, &str)]) -> Roster {
    let input = |(name, body): &(&str, &str)| ListInput {
        name: (*name).to_owned(),
        role: Role::of_name(name),
        opml: opml::parse(format!("<opml version='2.0'><body>\n{body}\n</body></opml>").as_bytes())
            .expect("it is OPML"),
        fault: None,
    };
    Roster::build(lists.iter().map(input).collect())
}

fn feed(name: &str) -> String {
    format!("<outline text='{name}' xmlUrl='https://{}.example/feed'/>", name.to_lowercase())
}

fn folder(name: &str, inside: &[String]) -> String {
    format!("<outline text='{name}'>{}</outline>", inside.concat())
}

fn person(name: &str, inside: &[String]) -> String {
    format!("<outline type='Person' text='{name}'>{}</outline>", inside.concat())
}

fn url(name: &str) -> FeedUrl {
    FeedUrl::parse(&format!("https://{name}.example/feed")).expect("it is an address")
}

/// Every place as `path kind subscriptions [voice]`.
fn places(roster: &Roster) -> Vec<String> {
    let one = |place: &listend::lists::roster::Place| {
        let kind = match place.kind {
            PlaceKind::List => "list",
            PlaceKind::Folder => "folder",
            PlaceKind::Voice => "voice",
        };
        let titles: Vec<&str> = roster.subscriptions(place).iter().map(|found| found.title.as_str()).collect();
        let voice = place.voice.map(|voice| format!(" → {}", roster.voices[voice].path)).unwrap_or_default();
        format!("{} {kind} [{}]{voice}", place.path, titles.join(" "))
    };
    roster.places.iter().map(one).collect()
}

/// Every voice as `slug: feeds @ lists`.
fn voices(roster: &Roster) -> Vec<String> {
    let one = |voice: &listend::lists::roster::Voice| {
        let feeds: Vec<&str> = voice.feeds.iter().map(|feed| feed.host().trim_end_matches(".example")).collect();
        let lists: Vec<&str> = voice.lists.iter().map(|&list| roster.lists[list].name.as_str()).collect();
        format!("{}: {} @ {}", voice.slug, feeds.join(" "), lists.join(" "))
    };
    roster.voices.iter().map(one).collect()
}

#[test]
fn outlines_become_places() {
    let body = [
        folder("Oakland Makers", &[feed("Ann"), folder("Wood & Öl".replace('&', "&amp;").as_str(), &[feed("Bob")])]),
        person("Cleo", &[feed("Cleo"), folder("Photos", &[feed("CleoPix")])]),
        "<outline text='Dan' xmlUrl='dan.example/feed' htmlUrl='https://u:p@dan.example'><outline xmlUrl='https://dan.example/links'/></outline>".to_owned(),
        "<outline text='A remark'/><outline text='More' type='include' url='https://x.example/more.opml'/>".to_owned(),
        folder("Thoughts", &["<outline text='no feed'/>".to_owned()]),
        person("Nobody yet", &["<outline text='no feed'/>".to_owned()]),
    ];
    let roster = roster(&[("followers", &body.concat())]);
    assert_eq!(
        places(&roster),
        [
            "/followers list [Ann Bob Cleo CleoPix Dan dan.example/links]",
            "/followers/oakland-makers folder [Ann Bob]",
            "/followers/oakland-makers/ann voice [Ann] → /voices/ann",
            "/followers/oakland-makers/wood-ol folder [Bob]",
            "/followers/oakland-makers/wood-ol/bob voice [Bob] → /voices/bob",
            "/followers/cleo voice [Cleo CleoPix] → /voices/cleo",
            "/followers/dan voice [Dan dan.example/links] → /voices/dan",
            "/followers/thoughts folder []",
            "/followers/nobody-yet folder []",
        ]
    );
    let place = roster.place("/followers/oakland-makers/wood-ol").expect("it is there");
    assert_eq!(
        roster.above(place),
        [("followers".into(), "/followers".into()), ("Oakland Makers".into(), "/followers/oakland-makers".into())]
    );
    assert_eq!(roster.outlines_of(place)[0].attribute("text"), Some("Wood & Öl"));
    let list = roster.place("/followers").expect("it is there");
    assert_eq!(roster.outlines_of(list).len(), 7);
    assert!(roster.place("/followers/").is_none() && roster.place("").is_none() && roster.place("/nobody").is_none());
    let dan = &roster.voices[roster.voice("dan").expect("it is there")];
    assert_eq!(dan.homes, ["https://dan.example/"]);
    assert_eq!(roster.circles(dan), [("followers".into(), "/followers".into())]);
    assert_eq!(roster.voice("nobody"), None);
}

#[test]
fn lists_named_like_other_paths_step_aside() {
    let roster =
        roster(&[("listen", ""), ("voices", ""), ("Old Friends", ""), ("old-friends", ""), ("友", ""), ("!", "")]);
    let paths: Vec<&str> = roster.lists.iter().map(|list| list.path.as_str()).collect();
    for path in ["/list-listen", "/list-voices"] {
        assert!(paths.contains(&path), "{paths:?}");
    }
    assert_eq!(paths.iter().filter(|path| path.starts_with("/old-friends-")).count(), 2, "{paths:?}");
    assert!(paths.iter().any(|path| path.starts_with("/-")), "{paths:?}");
}

#[test]
fn siblings_of_one_name_are_told_apart_whatever_their_order() {
    let ann = |host: &str| format!("<outline text='Ann' xmlUrl='https://{host}.example/feed'/>");
    let unnamed = "<outline xmlUrl='https://unnamed.example/feed'/>".to_owned();
    let body = [ann("a"), ann("b"), unnamed, folder("X", &[feed("Eve")]), folder("x!", &[feed("Fay")]), feed("Gus")];
    let paths = |order: &[usize]| {
        let body: String = order.iter().map(|&index| body[index].clone()).collect();
        let roster = roster(&[("l", &body)]);
        let mut paths: Vec<String> = roster
            .feeds()
            .flat_map(|feed| roster.voices_of(feed))
            .map(|&voice| roster.voices[voice].path.clone())
            .collect();
        paths.extend(roster.places.iter().map(|place| place.path.clone()));
        paths.sort();
        paths
    };
    let named = paths(&[0, 1, 2, 3, 4, 5]);
    assert_eq!(named, paths(&[5, 4, 3, 2, 1, 0]));
    assert_eq!(named, paths(&[2, 0, 4, 1, 5, 3]));
    assert!(named.contains(&"/l/gus".to_owned()) && named.contains(&"/voices/eve".to_owned()), "{named:?}");
    let mut distinct = named.clone();
    distinct.dedup();
    assert_eq!(distinct, named);
}

#[test]
fn outlines_that_share_a_feed_are_one_voice_across_lists() {
    let check = |lists: &[(&str, String)], expected: &[&str]| {
        let lists: Vec<(&str, &str)> = lists.iter().map(|(name, body)| (*name, body.as_str())).collect();
        assert_eq!(voices(&roster(&lists)), expected, "{lists:?}");
    };
    let named = |name: &str, inside: &[&str]| person(name, &inside.iter().map(|name| feed(name)).collect::<Vec<_>>());
    // In two lists, in two folders of one, and joined by a person's folder elsewhere.
    check(&[("a", feed("x")), ("b", feed("x"))], &["x: x @ a b"]);
    check(&[("a", folder("F", &[feed("x")]) + &folder("G", &[feed("x")]))], &["x: x @ a"]);
    check(&[("a", feed("x") + &feed("y")), ("b", named("Ann", &["y", "x"]))], &["ann: y x @ a b"]);
    check(&[("a", feed("x") + &named("Ann", &["x", "y"]))], &["ann: x y @ a"]);
    // A feed that two people of one list share counts to both and joins neither…
    let pair = named("Ann", &["pod", "x"]) + &named("Bob", &["pod", "y"]);
    check(&[("a", pair.clone())], &["ann: pod x @ a", "bob: pod y @ a"]);
    // … also where it stands alone, in the same list or in another,
    check(&[("a", pair.clone() + &feed("pod"))], &["ann: pod x @ a", "bob: pod y @ a"]);
    check(&[("a", pair.clone()), ("b", feed("pod"))], &["ann: pod x @ a b", "bob: pod y @ a b"]);
    // … and does not keep their other feeds from joining.
    check(&[("a", pair.clone()), ("b", feed("y"))], &["ann: pod x @ a", "bob: pod y @ a b"]);
    check(&[("a", pair), ("b", named("Bob", &["pod"]))], &["ann: pod x @ a", "bob: pod y @ a b"]);
    // One person in two communities of a list is still one person.
    let twice = folder("F", &[named("Ann", &["x", "y"])]) + &folder("G", &[named("ann", &["x"])]);
    check(&[("a", twice)], &["ann: x y @ a"]);
}

#[test]
fn shared_feeds_count_to_everyone_and_stand_for_nobody() {
    let pair = person("Ann", &[feed("pod"), feed("x")]) + &person("Bob", &[feed("pod"), feed("y")]);
    let roster = roster(&[("desired", &pair), ("followers", &feed("pod"))]);
    assert_eq!(roster.voices_of(&url("pod")), [0, 1]);
    assert_eq!(roster.voices_of(&url("x")), [0]);
    assert!(roster.voices_of(&url("none")).is_empty());
    assert_eq!(roster.place("/followers/pod").expect("it is there").voice, None);
    assert!(roster.voices.iter().all(|voice| roster.has_role(voice, Role::Followers)));
    let told: Vec<(&str, &[usize])> = roster
        .subscriptions_of(&url("pod"))
        .map(|(list, found)| (list.name.as_str(), found.voices.as_slice()))
        .collect();
    assert_eq!(told, [("desired", &[0][..]), ("desired", &[1]), ("followers", &[0, 1])]);
    assert_eq!(
        roster.feeds().map(FeedUrl::as_str).collect::<Vec<_>>(),
        ["https://pod.example/feed", "https://x.example/feed", "https://y.example/feed"]
    );
}

#[test]
fn a_voices_address_survives_moves() {
    let ann = person("Ann", &[feed("x"), feed("y")]);
    let other = "<outline text='Ann' xmlUrl='https://other.example/feed'/>";
    let slug = |lists: &[(&str, &str)]| {
        let roster = roster(lists);
        roster.voices[roster.voices_of(&url("y"))[0]].slug.clone()
    };
    assert_eq!(slug(&[("desired", &ann)]), "ann");
    assert_eq!(slug(&[("followers", &folder("Deep", std::slice::from_ref(&ann))), ("desired", &feed("x"))]), "ann");
    let told_apart = slug(&[("desired", &ann), ("followers", other)]);
    assert!(told_apart.starts_with("ann-"), "{told_apart}");
    assert_eq!(slug(&[("desired", other), ("followers", &ann)]), told_apart);
    assert_eq!(slug(&[("zzz", &(other.to_owned() + &ann)), ("followers", &feed("x"))]), told_apart);
}

#[test]
fn addresses_that_are_none_are_warnings_with_their_line() {
    let body = "<outline text='a' xmlUrl='ftp://u:secret@a.example/'/>\n<outline text='b' xmlUrl='https://b.example/'/>\n\
                <outline type='person' text='c'>\n<outline xmlUrl='http://'/><outline xmlUrl='https://c.example/'/></outline>";
    let roster = roster(&[("l", body)]);
    let warnings: Vec<(usize, &str)> =
        roster.lists[0].warnings.iter().map(|warning| (warning.line, warning.reason.as_str())).collect();
    assert_eq!(warnings.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 5]);
    assert!(warnings[0].1.contains("`ftp`") && !warnings[0].1.contains("secret"), "{warnings:?}");
    assert_eq!(voices(&roster), ["b: b @ l", "c: c @ l"]);
    assert_eq!(roster.lists[0].outlines.len(), 3, "what is no feed is still exported");
}

#[test]
fn very_deep_trees_have_short_paths() {
    let name = "n".repeat(60);
    let deep = format!("<outline text='{name}'>").repeat(300) + &feed("x") + &"</outline>".repeat(300);
    let roster = roster(&[("l", &deep)]);
    assert!(roster.places.iter().all(|place| place.path.len() < 1200));
    for place in &roster.places {
        assert_eq!(roster.place(&place.path), Some(place));
    }
    assert_eq!(roster.places.last().and_then(|place| place.voice), Some(0));
}
