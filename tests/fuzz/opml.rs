//! Lists: any bytes end in a list or a reason, and a list that is given back reads as the same subscriptions.

#![no_main]

use libfuzzer_sys::fuzz_target;
use listend::lists::opml::{self, MAX_DEPTH, MAX_OUTLINES, MAX_WARNINGS, Outline};
use listend::lists::roster::{ListInput, Roster};
use listend::model::Role;
use listend::publish;

fuzz_target!(|bytes: &[u8]| {
    let Ok(list) = opml::parse(bytes) else { return };
    assert_eq!(Ok(&list), opml::parse(bytes).as_ref(), "the same bytes give the same list");
    assert!(list.warnings.len() <= MAX_WARNINGS);
    let lines = bytes.len() + 1;
    assert!(list.warnings.is_sorted_by_key(|warning| warning.line));
    assert!(list.warnings.iter().all(|warning| (1..=lines).contains(&warning.line)));
    assert!(count(&list.outlines) <= MAX_OUTLINES);

    let written = publish::opml::render("again", &list.outlines);
    let again = opml::parse(written.as_bytes()).expect("what we write is OPML");
    assert_eq!(again.warnings, [], "what we write has no faults: {written}");

    let roster = roster(list);
    for voice in &roster.voices {
        assert!(voice.feeds.iter().all(|feed| matches!(feed.url().scheme(), "http" | "https")));
        assert!(voice.homes.iter().all(|home| home.starts_with("http://") || home.starts_with("https://")));
    }
    // What may hold a password is cut from what we write.
    if !bytes.contains(&b'@') && !written.contains('@') {
        assert_eq!(feeds(&roster), feeds(&self::roster(again)), "{written}");
    }
});

fn roster(opml: opml::Opml) -> Roster {
    Roster::build(vec![ListInput { name: "list".to_owned(), role: Role::Circle, opml, fault: None }])
}

fn feeds(roster: &Roster) -> Vec<&str> {
    roster.lists.iter().flat_map(|list| &list.subscriptions).map(|found| found.feed.as_str()).collect()
}

/// How many outlines there are, none too deep.
fn count(outlines: &[Outline]) -> usize {
    let mut waiting: Vec<(&Outline, usize)> = outlines.iter().map(|outline| (outline, 1)).collect();
    let mut count = 0;
    while let Some((outline, depth)) = waiting.pop() {
        assert!(depth <= MAX_DEPTH);
        count += 1;
        waiting.extend(outline.children.iter().map(|child| (child, depth + 1)));
    }
    count
}
