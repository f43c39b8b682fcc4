//! What holds for every list, whatever stands in it.

use listend::lists::opml::{self, MAX_DEPTH, Outline};
use listend::lists::roster::{ListInput, Roster};
use listend::model::Role;
use proptest::prelude::*;

/// Writes outlines as a simple exporter would.
fn render(outlines: &[Outline]) -> String {
    let mut text = String::from("<opml version=\"2.0\"><body>");
    let mut waiting: Vec<Option<&Outline>> = outlines.iter().rev().map(Some).collect();
    while let Some(next) = waiting.pop() {
        let Some(outline) = next else {
            text.push_str("</outline>");
            continue;
        };
        text.push_str("<outline");
        for (name, value) in outline.attributes.iter() {
            let value =
                quick_xml::escape::escape(value).replace('\n', "&#10;").replace('\r', "&#13;").replace('\t', "&#9;");
            text.push_str(&[" ", name, "=\"", &value, "\""].concat());
        }
        text.push('>');
        waiting.push(None);
        waiting.extend(outline.children.iter().rev().map(Some));
    }
    text + "</body></opml>"
}

fn without_lines(mut outlines: Vec<Outline>) -> Vec<Outline> {
    for outline in &mut outlines {
        outline.line = 0;
        outline.children = without_lines(std::mem::take(&mut outline.children));
    }
    outlines
}

/// Text that looks enough like OPML to get far into the reader.
fn nearly_opml() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => Just("<outline text='".to_owned()), 3 => Just("' xmlUrl=\"https://a.example/".to_owned()),
        3 => Just("\"/>\n".to_owned()), 2 => Just("'>".to_owned()), 3 => Just("</outline>".to_owned()),
        1 => Just("type='person' ".to_owned()), 1 => Just("</body>".to_owned()), 1 => Just("<!--".to_owned()),
        1 => Just("-->".to_owned()), 1 => Just("&amp;&nbsp;&#1;& ".to_owned()), 1 => Just("<![CDATA[]]>".to_owned()),
        1 => Just("</opml>".to_owned()), 1 => Just("<?x".to_owned()), 1 => Just("<!DOCTYPE [".to_owned()),
        2 => "[ -~é\u{0}=<>'\"/:]{0,8}", 1 => any::<String>(),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| format!("<opml>{}</opml>", pieces.concat()))
}

/// A list with most things in it that lists have.
const WHOLE: &str = "<?xml version='1.0' encoding='utf-8'?><!DOCTYPE opml [<!ENTITY a 'http://a.example'>]><opml \
    version='2.0' xmlns:x='urn:x'><head><title>T &amp; <![CDATA[U]]></title></head><body><!-- no --><outline \
    text='F' x:y='1'>\n<outline type=\"rss\" text='é' xmlUrl='&a;/1' htmlUrl=\"&a;/\"/><outline type='person' \
    text='P'><outline xmlUrl=http://a.example/2 /></outline></outline></body></opml>";

/// That list with pieces of it cut, doubled or replaced.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (0..4u8, any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<[u8; 3]>());
    prop::collection::vec(edit, 1..10).prop_map(|edits| {
        let mut bytes = WHOLE.as_bytes().to_vec();
        for (kind, at, length, noise) in edits {
            let from = at.index(bytes.len().max(1)).min(bytes.len());
            let to = (from + length.index(40)).min(bytes.len());
            match kind {
                0 => drop(bytes.drain(from..to)),
                1 => bytes = [&bytes[..to], &bytes[from..]].concat(),
                2 => bytes[from..to].fill(noise[0]),
                _ => bytes = [&bytes[..from], &noise, &bytes[from..]].concat(),
            }
        }
        bytes
    })
}

fn check(bytes: &[u8]) {
    let Ok(first) = opml::parse(bytes) else { return };
    let written = render(&first.outlines);
    let again = opml::parse(written.as_bytes()).expect("what was read can be written and read again");
    assert_eq!(again.warnings, [], "{written}");
    assert_eq!(without_lines(again.outlines), without_lines(first.outlines.clone()), "{written}");
    let mut reader = quick_xml::Reader::from_str(&written);
    while !matches!(reader.read_event().expect("it is well-formed"), quick_xml::events::Event::Eof) {}

    let input = |name: &str| ListInput { name: name.to_owned(), role: Role::Circle, opml: first.clone(), fault: None };
    let roster = Roster::build(vec![input("b"), input("a")]);
    let same = Roster::build(vec![input("a"), input("b")]);
    assert_eq!(roster, same);
    for place in &roster.places {
        assert_eq!(roster.place(&place.path), Some(place));
        assert!(
            place.path.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"/-".contains(&byte))
        );
        assert!(place.outline.len() <= MAX_DEPTH);
        assert!(!roster.outlines_of(place).is_empty() || place.outline.is_empty());
    }
    for (index, voice) in roster.voices.iter().enumerate() {
        assert_eq!(roster.voice(&voice.slug), Some(index));
        assert!(!voice.feeds.is_empty() && !voice.places.is_empty() && !voice.lists.is_empty());
        assert!(voice.feeds.iter().all(|feed| roster.voices_of(feed).contains(&index)));
    }
    for list in &roster.lists {
        assert!(list.subscriptions.iter().all(|found| !found.voices.is_empty()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_end_in_a_list_or_a_reason(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        check(&bytes);
        check(&[b"<opml>", &bytes[..], b"</opml>"].concat());
    }

    #[test]
    fn mutated_lists_end_in_a_list_or_a_reason(bytes in mutated()) {
        check(&bytes);
    }

    #[test]
    fn a_list_cut_anywhere_is_refused(at in any::<prop::sample::Index>()) {
        let end = at.index(WHOLE.len());
        prop_assert!(opml::parse(&WHOLE.as_bytes()[..end]).is_err(), "{end}");
    }

    #[test]
    fn nearly_opml_is_read_the_same_when_written_again(text in nearly_opml()) {
        check(text.as_bytes());
    }
}
