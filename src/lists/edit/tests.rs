//! What is added to lists of all shapes, byte by byte.

use proptest::prelude::*;

use super::*;

fn new() -> NewFeed {
    NewFeed {
        title: "A & \"B\"".into(),
        feed: FeedUrl::parse("http://b.example/f?x=1&y").expect("it is one"),
        home: None,
    }
}

const ADDED: &str = "<outline type=\"rss\" text=\"A &amp; &quot;B&quot;\" title=\"A &amp; &quot;B&quot;\" xmlUrl=\"http://b.example/f?x=1&amp;y\"/>";

/// `expected` has `@` where the outline is.
fn check(file: &str, folder: Option<&str>, expected: &str) {
    let made = insertion(file.as_bytes(), &new(), folder).unwrap_or_else(|fault| panic!("{file}: {fault}"));
    let edited = String::from_utf8(made.apply(file.as_bytes())).expect("it is text");
    assert_eq!(edited, expected.replace('@', ADDED), "{file}");
}

#[test]
fn lists_of_all_shapes_get_one_more_line() {
    check("<opml><body></body></opml>", None, "<opml><body>\n  @</body></opml>");
    check("<opml>\n<body>\n</body>\n</opml>", None, "<opml>\n<body>\n  @\n</body>\n</opml>");
    check("<opml>\n <body/>\n</opml>", None, "<opml>\n <body>\n   @\n </body>\n</opml>");
    check(
        "<opml>\r\n\t<body>\r\n\t\t<outline text='a'/>\r\n\r\n\t</body>\r\n</opml>\r\n",
        None,
        "<opml>\r\n\t<body>\r\n\t\t<outline text='a'/>\r\n\t\t@\r\n\r\n\t</body>\r\n</opml>\r\n",
    );
    check(
        "<opml><body><outline text='a'/><!-- <outline> --></body></opml>",
        None,
        "<opml><body><outline text='a'/>@<!-- <outline> --></body></opml>",
    );
    check("<opml>\n<outline text='a'/>\n</opml>", None, "<opml>\n<outline text='a'/>\n@\n</opml>");
    let folders = "<opml>\n<body>\n    <outline text='F'>\n        <outline text='a' xmlUrl='http://a.example/'/>\n    </outline>\n    <outline text='E'/>\n</body>\n</opml>";
    check(folders, Some("F"), &folders.replace("example/'/>", "example/'/>\n        @"));
    check(folders, Some("E"), &folders.replace("<outline text='E'/>", "<outline text='E'>\n      @\n    </outline>"));
    check(
        folders,
        Some("N & M"),
        &folders.replace(
            "<outline text='E'/>",
            "<outline text='E'/>\n    <outline text=\"N &amp; M\">\n        @\n    </outline>",
        ),
    );
    check(folders, None, &folders.replace("<outline text='E'/>", "<outline text='E'/>\n    @"));
}

#[test]
fn what_is_there_already_or_unclear_is_refused() {
    let known = "<opml><body>\n<outline xmlUrl='HTTP://B.example:80/f?x=1&amp;y'/></body></opml>";
    assert_eq!(insertion(known.as_bytes(), &new(), None), Err(NotAdded::Known { line: 2 }));
    assert_eq!(insertion(b"<opml><body><outline text='a'></body></opml>", &new(), None), Err(NotAdded::Unclear));
    assert!(matches!(insertion(b"", &new(), None), Err(NotAdded::NotOpml(_))));
}

#[test]
fn the_encoding_of_the_file_is_kept() {
    let snowman = NewFeed { title: "é☃".into(), ..new() };
    let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><opml><body><outline text='\xe9\xe9'/></body></opml>";
    let made = insertion(latin, &snowman, None).expect("it can be added");
    assert!(made.bytes.windows(8).any(|bytes| bytes == b"\xe9&#9731;"), "{:?}", String::from_utf8_lossy(&made.bytes));
    let read = |bytes: &[u8]| opml::parse(bytes).expect("it is OPML").outlines[1].attribute("text").map(str::to_owned);
    assert_eq!(read(&made.apply(latin)).as_deref(), Some("é☃"));
    let text = "\u{feff}<opml><body><outline text='é𝄞'/></body></opml>";
    for file in [
        text.as_bytes().to_vec(),
        text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        "<?xml version='1.0' encoding='Shift_JIS'?><opml><body><outline text='a'/></body></opml>".into(),
        b"<opml><body><outline text='\xe9 \xc3\xa9'/></body></opml>".to_vec(),
    ] {
        let made = insertion(&file, &snowman, None).expect("it can be added");
        let shown = read(&made.apply(&file));
        assert!(shown.as_deref() == Some("é☃"), "{shown:?}");
    }
}

fn markup() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "<outline text='[a-zé ]{0,5}' xmlUrl='http://[a-z]{1,5}\\.example/'/>",
        "<outline text=\"F\"/>",
        "<!-- [a-z<]{0,5} -->",
        "(\r\n|\n)[ \t]{0,4}",
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        proptest::collection::vec(inner, 0..6)
            .prop_map(|below| format!("<outline text='F'>{}</outline>", below.concat()))
    })
}

proptest! {
    #[test]
    fn without_the_insertion_the_file_is_the_old_one(body in proptest::collection::vec(markup(), 0..8), folder in proptest::option::of("[FG]")) {
        let file = format!("<?xml version='1.0'?>\n<opml version='2.0'>\n<body>{}</body>\n</opml>\n", body.concat()).into_bytes();
        let made = insertion(&file, &new(), folder.as_deref()).expect("the file is well-formed");
        let edited = made.apply(&file);
        let mut back = edited.clone();
        back.splice(made.replaced.start..made.replaced.start + made.bytes.len(), file[made.replaced.clone()].iter().copied());
        prop_assert!(back == file);
        let feeds = |bytes: &[u8]| all(&opml::parse(bytes).expect("it is OPML").outlines).filter(|one| one.attribute("xmlUrl").is_some()).count();
        prop_assert_eq!(feeds(&edited), feeds(&file) + 1);
        let is_known = matches!(insertion(&edited, &new(), None), Err(NotAdded::Known { .. }));
        prop_assert!(is_known);
    }
}
