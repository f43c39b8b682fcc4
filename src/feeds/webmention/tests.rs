//! Claims, sources and verdicts, as tables.

use proptest::prelude::*;

use super::*;
use crate::feeds::address::Guard;
use crate::feeds::fetch::Hop;
use crate::model::Validators;

const TARGET: &str = "https://me.example/post";
const SOURCE: &str = "https://ann.example/notes/1";

fn source() -> Url {
    Url::parse(SOURCE).expect("an address")
}

fn page(html: &str) -> Option<Reading> {
    read(html.as_bytes(), Some("text/html"), &source(), TARGET).expect("it is HTML")
}

#[test]
fn claims_are_two_addresses_of_two_pages() {
    let long = format!("https://ann.example/{}", "x".repeat(MAX_ADDRESS_BYTES));
    for (source, target, fault) in [
        (SOURCE, TARGET, ""),
        (" http://ann.example:8080/ü?a=1#b ", "HTTPS://me.example", ""),
        ("", TARGET, "source is missing"),
        (SOURCE, "  ", "target is missing"),
        (&long, TARGET, "source is longer than 2048 bytes"),
        (SOURCE, "/post", "target is not an absolute http or https URL"),
        ("ann.example", TARGET, "source is not an absolute http or https URL"),
        ("ftp://ann.example/", TARGET, "source is not an absolute http or https URL"),
        ("javascript:alert(1)", TARGET, "source is not an absolute http or https URL"),
        ("https://ann.example/\na", TARGET, "source is not an absolute http or https URL"),
        ("https://ann:secret@ann.example/", TARGET, "source has a user name or a password in it"),
        (TARGET, TARGET, "source and target are the same page"),
        ("http://www.ME.example/post/?utm_source=x#top", TARGET, "source and target are the same page"),
    ] {
        let said = Claim::parse(source, target).map_or_else(|fault| fault.to_string(), |_| String::new());
        assert_eq!(said, fault, "{source} {target}");
    }
    let claim = Claim::parse(" http://ann.example/#b", "https://me.example#c").expect("a claim");
    let sent = (claim.source(), claim.target(), claim.url().as_str());
    assert_eq!(sent, ("http://ann.example/#b", "https://me.example#c", "http://ann.example/"));
}

#[test]
fn html_links_where_a_reader_can_follow_or_see() {
    for (html, is_linked) in [
        ("<a href=https://me.example/post>x</a>", true),
        ("<p>See <A CLASS=x HREF = ' https://me.example/post#there\n'>", true),
        ("<a href='https://me.example:443/&#112;ost'>x", true),
        ("<base href=https://me.example/><a href=post>x</a>", true),
        ("<base href=https://me.example/><base href=/x/><a href=post>x</a>", true),
        ("<base href=//me.example/a/><a href=../post>x</a>", true),
        ("<img src=//me.example/post>", true),
        ("<video><source src=https://me.example/post></video>", true),
        ("<audio src=https://me.example/post>", true),
        ("<iframe src=https://me.example/post></iframe>", true),
        ("<map><area href=https://me.example/post></map>", true),
        ("<link class=u-in-reply-to href=https://me.example/post>", true),
        ("<textarea></textarea><a href=https://me.example/post>x</a>", true),
        ("<title><b</title><a href=https://me.example/post>x</a>", true),
        (&format!("{}<a href=https://me.example/post>x", "<div>".repeat(5000)), true),
        ("https://me.example/post", false),
        ("<!-- <a href=https://me.example/post> -->", false),
        ("<script>'<a href=https://me.example/post>'</script>", false),
        ("<style>a { b: url(https://me.example/post) } <a href=https://me.example/post></style>", false),
        ("<title><a href=https://me.example/post></title>", false),
        ("<textarea><a href=https://me.example/post></a></TEXTAREA>", false),
        ("<template><a href=https://me.example/post></a></template>", false),
        ("<p title='<a href=https://me.example/post>'>", false),
        ("<a href=https://me.example/post2>x</a>", false),
        ("<a href=http://me.example/post>x</a>", false),
        ("<a href=https://me.example/post/>x</a>", false),
        ("<a href=post>x</a>", false),
        ("<a data-href=https://me.example/post>x</a>", false),
        ("<link rel=canonical href=https://me.example/post>", false),
        ("<a src=https://me.example/post><img href=https://me.example/post>", false),
        ("&lt;a href=https://me.example/post&gt;", false),
        ("", false),
    ] {
        assert_eq!(page(html).is_some(), is_linked, "{html}");
    }
}

/// What a page says, in one line: kind, author, page of the author, title, excerpt, year of publication.
fn said(html: &str) -> String {
    let Some(reading) = page(html) else { return "nothing".to_owned() };
    let year = reading.published.map_or(0, |at| chrono::Datelike::year(&at.utc()));
    format!(
        "{:?} | {} | {} | {} | {} | {year}",
        reading.kind.map_or("link".to_owned(), |kind| format!("{kind:?}")).to_lowercase(),
        reading.author.name,
        reading.author.uri.unwrap_or_default(),
        reading.title,
        clean_text(&reading.excerpt)
    )
    .replace('"', "")
}

fn clean_text(html: &CleanHtml) -> String {
    super::super::clean::text(html.as_str(), usize::MAX)
}

#[test]
fn microformats_say_who_wrote_what() {
    let check = |html: &str, expected: &str| assert_eq!(said(html), expected, "{html}");
    check(
        "<title>Ann's notes</title><nav><a href=/>Home</a></nav><article class='h-entry'>
         <a class='p-author h-card' href='/ann'>Ann &amp; <b>Bo</b></a>
         <h1 class=p-name>A reply</h1> In reply to <a class=u-in-reply-to href=https://me.example/post>this</a>
         <time class=dt-published datetime='2026-11-20T10:00:00+01:00'>yesterday</time>
         <div class=e-content><p>Well said.</div></article>",
        "reply | Ann & Bo | https://ann.example/ann | A reply | Well said. | 2026",
    );
    // A card with parts, a cited page, a note without a title.
    check(
        "<title>Note</title><div class='h-entry'><div class='u-like-of h-cite'>Liked <a class=u-url href=https://me.example/post>a
         post</a> by <span class='p-author h-card'>Me</span></div>
         <div class='p-author h-card'><img class=u-photo src=a.png alt=''><span class=p-name>Ann</span>
         <a class=u-url href=https://ann.example/>x</a></div>
         <p class='p-name e-content'>A fine post</p><span class=dt-published>2025-01-02</span></div>",
        "like | Ann | https://ann.example/ |  | A fine post | 2025",
    );
    // The entry that holds the link, of several; the author is the feed's.
    check(
        "<div class=h-feed><a class='u-author h-card' href=/><img alt=Ann src=a.png></a>
         <div class=h-entry><b class=p-name>One</b><p class=e-content>first</p></div>
         <div class=h-entry><b class=p-name>Two</b><p class=e-content>second <a href=https://me.example/post>it</a></p></div></div>",
        "link | Ann | https://ann.example/ | Two | second it | 0",
    );
    // A link beside the entry: what the page is about is the first one.
    check(
        "<div class=h-entry><b class=p-name>One</b><p class=p-summary>sum</p><p class=e-content>all</p></div>
         <a href=https://me.example/post>friends</a>",
        "link |  |  | One | sum | 0",
    );
    // A plain link, and then one that says what it is.
    check(
        "<div class=h-entry><a href=https://me.example/post>x</a><a class=u-repost-of href=https://me.example/post>y</a>
         <data class=p-name value='Shared'></data><p class='p-author'>Ann</p></div>",
        "repost | Ann |  | Shared | xy | 0",
    );
    // An entry that another one answers.
    check(
        "<div class=h-entry><div class='u-in-reply-to h-entry'><a class='u-url p-name' href=https://me.example/post>Mine</a></div>
         <p class=p-name>Yours</p><p class=e-content>words</p></div>",
        "reply |  |  | Yours | words | 0",
    );
    // Classes of style sheets are no items.
    check(
        "<div class=h-entry><div class='h-100 h-full'><p class=p-name>Title</p><p class=e-content><a href=https://me.example/post>x</a>",
        "link |  |  | Title | x | 0",
    );
}

#[test]
fn pages_without_microformats_say_what_stands_around_the_link() {
    let check = |html: &str, expected: &str| assert_eq!(said(html), expected, "{html}");
    check(
        "<html><head><title>Ann &amp; friends</title><meta name=Author content='Ann B'></head><body>
         <p>Before</p><p>I liked <b>what <a href=https://me.example/post>they</a></b> wrote.<p>After</p>",
        "link | Ann B |  | Ann & friends | I liked what they wrote. | 0",
    );
    check(
        "<a rel='me author' href=/about>Ann</a><ul><li>One<li>Two: <a href=https://me.example/post>it</a><li>Three</ul>",
        "link | Ann | https://ann.example/about |  | Two: it | 0",
    );
    check(
        "<link rel=author href=mailto:ann@ann.example>x <a href=https://me.example/post>y</a>",
        "link |  |  |  | x y | 0",
    );
    check("<a href=https://me.example/post><img src=a.png alt=Picture></a>", "link |  |  |  |  | 0");
}

#[test]
fn what_is_kept_is_short_and_safe() {
    let long = "word ".repeat(10_000);
    let html = format!(
        "<title>{long}</title><div class=h-entry><a class='p-author h-card' href='javascript:x()'>{long}</a>
         <div class=e-content><script>no()</script><a href=https://me.example/post onclick=x()>x</a> {long}</div></div>"
    );
    let reading = page(&html).expect("it links");
    assert!(reading.title.chars().count() <= 200 && reading.author.name.chars().count() <= 100);
    assert_eq!(reading.author.uri, None);
    let text = clean_text(&reading.excerpt);
    assert!(text.starts_with("x word word") && text.chars().count() <= 500, "{text}");
    let short = page("<p>See <a href=https://me.example/post onclick=x()>it</a><script>no()</script> <a href=/b>b</a>");
    assert_eq!(
        short.expect("it links").excerpt.as_str(),
        "See <a href=\"https://me.example/post\" rel=\"noopener noreferrer\">it</a> \
         <a href=\"https://ann.example/b\" rel=\"noopener noreferrer\">b</a>"
    );
}

#[test]
fn json_names_the_target_in_a_whole_string() {
    let json = |text: &str| read(text.as_bytes(), Some("application/json; charset=utf-8"), &source(), TARGET);
    for (text, is_named) in [
        ("\"https://me.example/post\"", true),
        ("{\"a\":[1,null,{\"b\":\"https:\\/\\/me.example\\/post#x\"}]}", true),
        ("[\"see https://me.example/post\"]", false),
        ("{\"https://me.example/post\":1}", false),
        ("[\"/post\"]", false),
        ("[\"https://me.example/post\"", false),
        ("", false),
        (&"[".repeat(100_000), false),
    ] {
        assert_eq!(json(text).expect("it is JSON").is_some(), is_named, "{text:.60}");
    }
    let item = "{\"title\":\"A\\nreply\",\"url\":\"https://me.example/post\",\"content_text\":\"1 < 2\",
        \"authors\":[{\"url\":\"/ann\",\"name\":\"Ann\"},{\"name\":\"Bo\"}],\"date_published\":\"2026-11-20T10:00:00Z\"}";
    let reading = json(item).expect("it is JSON").expect("it names it");
    assert_eq!((reading.title.as_str(), reading.excerpt.as_str(), reading.kind), ("A reply", "1 &lt; 2", None));
    assert_eq!((reading.author.name.as_str(), reading.author.uri.as_deref()), ("Ann", Some("https://ann.example/ann")));
    assert_eq!(reading.published, Timestamp::parse_rfc3339("2026-11-20T10:00:00Z"));
    let microformats =
        "{\"type\":[\"h-entry\"],\"properties\":{\"name\":[\"Title\"],\"in-reply-to\":[\"https://me.example/post\"],
        \"author\":[{\"type\":[\"h-card\"],\"properties\":{\"name\":[\"Ann\"],\"url\":[\"https://ann.example/\"]}}],
        \"content\":[{\"html\":\"<p>Well <script>x</script>said</p>\",\"value\":\"Well said\"}]}}";
    let reading = json(microformats).expect("it is JSON").expect("it names it");
    assert_eq!((reading.kind, reading.author.name.as_str()), (Some(WebmentionKind::Reply), "Ann"));
    assert_eq!((reading.title.as_str(), reading.excerpt.as_str()), ("Title", "Well said"));
}

#[test]
fn text_names_the_target_as_an_address() {
    let text = |kind: Option<&str>, text: &str| read(text.as_bytes(), kind, &source(), TARGET);
    let reading =
        text(Some("text/plain"), "\n A title \nSee https://me.example/post.\n").expect("text").expect("named");
    assert_eq!((reading.title.as_str(), reading.kind), ("A title", None));
    assert_eq!(reading.excerpt.as_str(), "A title<br>See https://me.example/post.");
    assert_eq!(text(Some("text/plain"), "<a href='https://me.example/posts'>"), Ok(None));
    // Nobody said what it is.
    for (body, title) in [
        ("<title>T</title><a href=https://me.example/post>x</a>", "T"),
        (" {\"title\":\"T\",\"a\":\"https://me.example/post\"}", "T"),
        ("T\nhttps://me.example/post", "T"),
    ] {
        assert_eq!(text(None, body).expect("it is read").expect("it links").title, title);
    }
    for kind in ["image/png", "application/pdf", "text/html2", "application/atom+xml"] {
        assert_eq!(text(Some(kind), "https://me.example/post"), Err(Unreadable(kind.to_owned())));
    }
}

fn answered(status: u16, body: &str) -> Answer {
    let url = FeedUrl::parse(SOURCE).expect("an address");
    Answer {
        asked: url.clone(),
        url,
        hops: Vec::new(),
        status,
        validators: Validators::default(),
        freshness: None,
        retry_after: None,
        content_type: Some("text/html".to_owned()),
        hubs: Vec::new(),
        self_link: None,
        body: body.to_owned().into(),
        cut_off: false,
    }
}

#[test]
fn verdicts() {
    let claim = Claim::parse(SOURCE, TARGET).expect("a claim");
    let link = "<a href=https://me.example/post>x</a>";
    let word = |asked: Result<Answer, Failure>| match judge(&claim, &asked) {
        Verdict::Verified(_) => "verified",
        Verdict::Gone(_) => "gone",
        Verdict::Refused(_) => "refused",
        Verdict::Later { .. } => "later",
    };
    for (status, body, expected) in [
        (200, link, "verified"),
        (203, link, "verified"),
        (200, "", "gone"),
        (410, "", "gone"),
        (404, "", "refused"),
        (401, "", "refused"),
        (204, "", "refused"),
        (304, "", "refused"),
        (429, "", "later"),
        (503, "", "later"),
    ] {
        assert_eq!(word(Ok(answered(status, body))), expected, "{status}");
    }
    assert_eq!(word(Ok(Answer { cut_off: true, ..answered(200, link) })), "verified");
    assert_eq!(word(Ok(Answer { cut_off: true, ..answered(200, "<p>") })), "later");
    assert_eq!(word(Ok(Answer { content_type: Some("image/gif".to_owned()), ..answered(200, link) })), "refused");
    let to = FeedUrl::parse("http://www.me.example/post/").expect("an address");
    let hops = vec![Hop { status: 302, to: to.clone() }];
    assert_eq!(word(Ok(Answer { url: to, hops, ..answered(200, link) })), "refused");

    let private = Url::parse("http://10.0.0.1/").expect("an address");
    let blocked = Guard::default().permits_literal(&private).expect_err("it is private");
    assert_eq!(word(Err(Failure::Blocked(blocked))), "refused");
    assert_eq!(word(Err(Failure::TooLarge { part: "body", max_bytes: 1 })), "refused");
    assert_eq!(word(Err(Failure::Dns("no such name".to_owned()))), "later");
    assert_eq!(word(Err(Failure::Timeout { part: "answer", limit: Duration::from_secs(1) })), "later");

    let spared = Answer { retry_after: Some(Duration::from_secs(9)), ..answered(503, "") };
    let Verdict::Later { why, retry_after } = judge(&claim, &Ok(spared)) else { panic!("it is not verified") };
    assert_eq!((why.as_str(), retry_after), ("it answers HTTP 503", Some(Duration::from_secs(9))));
}

#[test]
fn a_source_is_asked_three_times_within_an_hour() {
    let minutes = Duration::from_mins;
    for (tries, waited, retry_after, expected) in [
        (1, 0, None, Some(15)),
        (2, 16, None, Some(30)),
        (3, 47, None, None),
        (2, 31, None, None),
        (1, 0, Some(40), Some(40)),
        (1, 0, Some(5), Some(15)),
        (1, 0, Some(61), None),
    ] {
        let next = next_try(tries, minutes(waited), retry_after.map(minutes), minutes(60), 0.0);
        assert_eq!(next, expected.map(minutes), "{tries} {waited} {retry_after:?}");
    }
    assert_eq!(next_try(1, Duration::ZERO, None, minutes(10), 0.5), Some(Duration::from_secs(630)));
}

#[test]
fn what_is_kept_was_not_published_after_it_came() {
    let claim = Claim::parse(SOURCE, TARGET).expect("a claim");
    let at = Timestamp::from_seconds(1_795_379_832);
    let key = EntryKey { listed_at: at, feed: Webmention::FEED, seq: 7 };
    let later = Timestamp::from_seconds(1_795_379_900);
    let reading = Reading { published: Some(later), ..Reading::default() };
    let kept = reading.into_webmention(&claim, key, later);
    assert_eq!((kept.published, kept.verified, kept.kind), (Some(at), later, WebmentionKind::Mention));
    assert_eq!((kept.source.as_str(), kept.target.as_str()), (SOURCE, TARGET));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_bounds_hold(
        parts in proptest::collection::vec(prop_oneof![
            Just("<a href=https://me.example/post>".to_owned()),
            Just("<div class='h-entry'>".to_owned()),
            Just("<p class='p-author h-card u-url'>".to_owned()),
            Just("<b class='p-name e-content u-in-reply-to'>".to_owned()),
            Just("</b></a></p>".to_owned()),
            Just("</div>".to_owned()),
            Just("<title>ü</title>".to_owned()),
            Just("<base href=//ü.example>".to_owned()),
            Just("{\"a\":\"".to_owned()),
            Just("https://me.example/post".to_owned()),
            ".{0,12}",
            "[<>/a-c='\"& ]{0,12}",
        ], 0..24),
        kind in prop_oneof![Just(None), Just(Some("text/html")), Just(Some("application/json")), Just(Some("text/plain"))],
    ) {
        let text = parts.concat();
        if let Ok(Some(reading)) = read(text.as_bytes(), kind, &source(), TARGET) {
            prop_assert!(text.contains("me.example"));
            prop_assert!(reading.title.chars().count() <= 200);
            prop_assert!(reading.author.name.chars().count() <= 100);
            prop_assert!(clean_text(&reading.excerpt).chars().count() <= 500);
        }
    }

    #[test]
    fn a_link_is_found_wherever_it_stands(before in "([a-z ]|</?(p|div|b|ul|li|td|table|span)>){0,40}", after in ".{0,40}") {
        let html = format!("{before}<a href=\"{TARGET}\">x</a>{after}");
        prop_assert!(page(&html).is_some(), "{html}");
    }
}
