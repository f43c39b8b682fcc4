//! Small documents, each with one thing that real ones do, and what should be read of them.

use listend::feeds::clean;
use listend::feeds::parse::{NotAFeed, parse};
use listend::model::{Document, Format, Item, Markup, Timestamp};
use url::Url;

fn read(document: &str) -> Result<Document, NotAFeed> {
    let url = Url::parse("https://example.org/blog/feed").unwrap();
    parse(document.as_bytes(), Some("application/xml"), &url)
}

/// What an item says, in a line: only what it does say, each after a letter.
fn line(item: &Item) -> String {
    let mut parts = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            parts.push(format!("{name}={value}"));
        }
    };
    let text =
        |markup: &Option<Markup>| markup.as_ref().map(|text| clean::html(text, item.base.as_ref()).as_str().to_owned());
    add("t", item.title.clone());
    add("l", item.link.clone());
    add("g", item.guid.clone());
    add("p", item.published.map(Timestamp::to_rfc3339));
    add("u", item.updated.map(Timestamp::to_rfc3339));
    add("s", text(&item.summary));
    add("c", text(&item.content));
    for author in &item.authors {
        let rest = author.email.clone().or_else(|| author.uri.clone());
        add("a", Some(rest.map_or_else(|| author.name.clone(), |rest| format!("{} <{rest}>", author.name))));
    }
    for category in &item.categories {
        add("k", Some(category.term.clone()));
    }
    for enclosure in &item.enclosures {
        add("e", Some(format!("{} {:?}", enclosure.url, enclosure.bytes)));
    }
    add("o", item.comments.clone());
    add("y", item.language.clone());
    add("f", item.origin.as_ref().map(|origin| format!("{:?} {:?}", origin.title, origin.id)));
    parts.join(" | ")
}

#[track_caller]
fn check(document: &str, expected: &[&str]) {
    match read(document) {
        Ok(read) => assert_eq!(read.items.iter().map(line).collect::<Vec<_>>(), expected, "{document}"),
        Err(fault) => panic!("{fault}: {document}"),
    }
}

/// One item of RSS 2.0.
#[track_caller]
fn rss(item: &str, expected: &str) {
    check(&format!("<rss version='2.0'><channel><title>t</title><item>{item}</item></channel></rss>"), &[expected]);
}

/// One entry of Atom 1.0.
#[track_caller]
fn atom(entry: &str, expected: &str) {
    check(
        &format!("<feed xmlns='http://www.w3.org/2005/Atom'><title>t</title><entry>{entry}</entry></feed>"),
        &[expected],
    );
}

#[test]
fn rss_items() {
    rss("<title>A</title><link>http://a.example/1</link>", "t=A | l=http://a.example/1");
    rss("<link>\n  ../1 \n</link>", "l=https://example.org/1");
    rss("<guid>http://a.example/1</guid>", "l=http://a.example/1 | g=http://a.example/1");
    rss("<guid isPermaLink='false'>http://a.example/1</guid>", "g=http://a.example/1");
    rss("<guid> 17 </guid><link>http://a.example/</link>", "l=http://a.example/ | g=17");
    rss("<atom:link href='http://a.example/1'/><atom:link rel='self' href='x'/>", "l=http://a.example/1");
    rss("<link>javascript:alert(1)</link><title>x</title>", "t=x");
    rss("<pubDate>Thu, 01 Jan 2004 19:48:21 GMT</pubDate>", "p=2004-01-01T19:48:21Z");
    rss(
        "<dc:date>2004-01-01</dc:date><dcterms:modified>2005</dcterms:modified>",
        "p=2004-01-01T00:00:00Z | u=2005-01-01T00:00:00Z",
    );
    rss("<author>ann@example.org (Ann)</author><dc:creator>Bob</dc:creator>", "a=Ann <ann@example.org> | a=Bob");
    rss("<author><name>Ann</name><uri>/ann</uri></author>", "a=Ann <https://example.org/ann>");
    rss("<itunes:author>Show</itunes:author>", "a=Show");
    rss("<category domain='x'>A</category><category>B</category><dc:subject>A</dc:subject>", "k=A | k=B | k=A");
    rss(
        "<enclosure url='/a.mp3' length='12' type='audio/mpeg'/><media:group><media:content url='/a.mp3'/><media:content url='/b'/></media:group>",
        "e=https://example.org/a.mp3 Some(12) | e=https://example.org/b None",
    );
    rss(
        "<comments>/c</comments><source url='http://o.example/feed'>Other</source>",
        "o=https://example.org/c | f=Some(\"Other\") Some(\"http://o.example/feed\")",
    );
    rss("<description>one\n\ntwo</description>", "s=<p>one</p><p>two</p>");
    rss("<description>&lt;p&gt;a &amp;amp; b&lt;/p&gt;</description>", "s=<p>a &amp; b</p>");
    rss("<description>x</description><content:encoded><![CDATA[<b>y</b>]]></content:encoded>", "s=x | c=<b>y</b>");
    rss("<description>same</description><content:encoded>same</content:encoded>", "c=same");
    rss("<body xmlns='http://www.w3.org/1999/xhtml'><p>x</p></body>", "c=<p>x</p>");
    rss("<description>long</description><summary>short</summary>", "s=short | c=long");
    rss("<summary>short</summary><description>d</description><content:encoded>c</content:encoded>", "s=d | c=c");
    rss("<description>&lt;!DOCTYPE</description>", "s=&lt;!DOCTYPE");
    rss("<title>&alpha;-&Omega; &fnof;</title>", "t=α-Ω ƒ");
    rss("<tags>a, b</tags><itunes:keywords>c,,d</itunes:keywords>", "k=a | k=b | k=c | k=d");
    rss(
        "<itunes:category text='A'><itunes:category text='B'/></itunes:category><media:category label='x'>m</media:category>",
        "k=A | k=B | k=m",
    );
    rss("<title xml:lang='fr_CA'>A</title>", "t=A | y=fr-CA");
    rss("<description xml:lang='fr'>s</description><content:encoded>c</content:encoded>", "s=s | c=c");
    rss("<media:description>m</media:description><itunes:summary>i</itunes:summary>", "s=m");
    rss("<x:title xmlns:x='http://x.example/'>no</x:title><media:title>m</media:title>", "t=m");
    rss("<image><title>no</title><link>http://no.example/</link></image><title>yes</title>", "t=yes");
}

#[test]
fn rss_in_all_its_forms() {
    let item = "<item><title>A</title><link>http://a.example/1</link></item>";
    let expected: &[&str] = &["t=A | l=http://a.example/1"];
    for document in [
        format!("<rss><channel>{item}</channel></rss>"),
        format!("<rss version='0.91'><channel></channel>{item}</rss>"),
        format!("<rss version='9' xmlns='http://backend.userland.com/rss2'><channel>{item}</channel></rss>"),
        format!("<RSS><CHANNEL>{item}</CHANNEL></RSS>"),
        format!("<channel>{item}</channel>"),
        format!("\n junk <?xml version='1.0'?><?xml version='1.0'?><rss><channel>{item}</channel></rss> trailing"),
        format!("<!DOCTYPE rss PUBLIC 'x' 'http://x.example/'><rss><channel>{item}</channel></rss>"),
        format!("<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns='http://my.netscape.com/rdf/simple/0.9/'><channel/>{item}</rdf:RDF>"),
        "<r:rss xmlns:r='http://purl.org/rss/1.0/'><r:channel><r:item><r:title>A</r:title><r:link>http://a.example/1</r:link></r:item></r:channel></r:rss>".into(),
        "<CHANNEL><ITEM HREF='http://a.example/1'><TITLE>A</TITLE></ITEM></CHANNEL>".into(),
    ] {
        check(&document, expected);
    }
    check("<CHANNEL><ITEM LASTMOD='2004-04-06T23:05:43-05:00'/></CHANNEL>", &["u=2004-04-07T04:05:43Z"]);
    check(
        "<rdf:RDF xmlns='http://purl.org/rss/1.0/'><channel rdf:about='x'><title>c</title></channel><item rdf:about='http://a.example/1'><title>A</title></item></rdf:RDF>",
        &["t=A | l=http://a.example/1 | g=http://a.example/1"],
    );
}

#[test]
fn atom_entries() {
    atom("<id>tag:1</id><title>A</title><link href='1'/>", "t=A | l=https://example.org/blog/1 | g=tag:1");
    atom(
        "<link rel='enclosure' href='/e' length='3'/><link rel='related' href='/r'/><link rel='alternate' href='/a'/>",
        "l=https://example.org/a | e=https://example.org/e Some(3)",
    );
    atom("<link type='application/pdf' href='/a.pdf'/><link type='text/html' href='/a'/>", "l=https://example.org/a");
    atom("<id>http://a.example/1</id>", "l=http://a.example/1 | g=http://a.example/1");
    atom("<title type='html'>&lt;b>A&lt;/b> &amp;amp; B</title>", "t=A & B");
    atom("<title>&lt;b>A&lt;/b></title>", "t=<b>A</b>");
    atom("<title type='xhtml'><div xmlns='http://www.w3.org/1999/xhtml'>A <b>B</b></div></title>", "t=A B");
    atom(
        "<content type='xhtml'><x:div xmlns:x='http://www.w3.org/1999/xhtml'>1 &lt; 2<x:br/><x:a/><x:i>z</x:i></x:div></content>",
        "c=1 &lt; 2<br><a rel=\"noopener noreferrer\"></a><i>z</i>",
    );
    atom(
        "<content type='application/xhtml+xml' xml:lang='fr'><div xmlns='http://www.w3.org/1999/xhtml'>x</div></content>",
        "c=<div>x</div> | y=fr",
    );
    atom("<content type='text'>a &lt;b&gt;</content>", "c=a &lt;b&gt;");
    atom(
        "<content type='html' xml:base='http://b.example/x/'>&lt;a href='y'>z&lt;/a></content>",
        "c=<a href=\"http://b.example/x/y\" rel=\"noopener noreferrer\">z</a>",
    );
    atom(
        "<content type='html'><div xmlns='http://www.w3.org/1999/xhtml'>a &lt;b>c&lt;/b></div></content>",
        "c=a <b>c</b>",
    );
    atom("<updated>2004</updated><updated>2005</updated>", "u=2005-01-01T00:00:00Z");
    atom("<content type='application/octet-stream'>PGI+eDwvYj4=</content>", "c=<b>x</b>");
    atom("<content src='http://a.example/1'/>", "l=http://a.example/1");
    atom(
        "<published>2004-01-01T00:00:00Z</published><updated>2005-01-01T00:00:00Z</updated>",
        "p=2004-01-01T00:00:00Z | u=2005-01-01T00:00:00Z",
    );
    atom(
        "<author><name>Ann</name><email>ann@example.org</email></author><contributor><name>No</name></contributor>",
        "a=Ann <ann@example.org>",
    );
    atom(
        "<source><id>tag:s</id><title>S</title><author><name>Ann</name></author></source>",
        "a=Ann | f=Some(\"S\") Some(\"tag:s\")",
    );
    atom("<category term='x' label='X'/><link rel='replies' href='/r'/>", "k=x | o=https://example.org/r");
    check(
        "<feed xmlns='http://www.w3.org/2005/Atom' xml:lang='en'><author><name>Ann</name></author><entry xml:lang='de'/></feed>",
        &["a=Ann | y=de"],
    );
    check(
        "<feed version='0.3' xmlns='http://purl.org/atom/ns#'><entry><issued>2004</issued><modified>2005</modified><content mode='escaped' type='text/html'>&lt;b>x&lt;/b></content></entry></feed>",
        &["p=2004-01-01T00:00:00Z | u=2005-01-01T00:00:00Z | c=<b>x</b>"],
    );
}

#[test]
fn faults_cost_no_item() {
    let good = "<item><title>B</title></item>";
    for fault in [
        "<item><title>A",
        "<item><title>A</item>",
        "<item><title>A</title></title></foo></item>",
        "<item><title>A</title><link>x <b></item>",
        "<item><title>A</title><description>1 < 2 & 3 &bogus; <p>open</item>",
        "<item><title>A</title><enclosure url=\"never closed></item>",
        "<item><title>A</title><enclosure url=bare></item>",
        "<item><title>A</title><x </item>",
        "<item><title>A</title>\u{0}\u{1}<![CDATA[x]]]]></item>",
        "<item><title>A</title><description><div><div></description></item>",
    ] {
        let document = format!("<rss><channel>{good}{fault}{good}</channel></rss>");
        let titles: Vec<_> = read(&document).unwrap().items.into_iter().filter_map(|item| item.title).collect();
        assert_eq!(titles.first().map(String::as_str), Some("B"), "{fault}");
        assert_eq!(titles.last().map(String::as_str), Some("B"), "{fault}");
        assert_eq!(titles.len(), 3, "{fault}");
    }
}

#[test]
fn a_cut_document_keeps_what_was_complete() {
    let whole = "<rss><channel><title>t</title><item><title>A</title><guid>1</guid></item><item><title>B</title><guid>2</guid><description>torn";
    let document = read(whole).unwrap();
    assert!(!document.complete);
    assert_eq!(document.items.iter().map(line).collect::<Vec<_>>(), ["t=A | g=1"]);
    let document = read(&whole.replace("<guid>2", "<pubDate>2004-01-01</pubDate><guid>2")).unwrap();
    assert_eq!(
        document.items.iter().map(line).collect::<Vec<_>>(),
        ["t=A | g=1", "t=B | g=2 | p=2004-01-01T00:00:00Z"]
    );
    assert_eq!(
        read("<rss><channel><item><title>A</title><guid>1</guid><pubDate>2004</pubDate>"),
        Err(NotAFeed::NoEntries)
    );
    assert!(read("<rss><channel><title>t</title></channel></rss>").unwrap().complete);
}

#[test]
fn what_is_no_feed_says_what_it_is() {
    assert_eq!(read(" \n"), Err(NotAFeed::Empty));
    assert_eq!(read("<!DOCTYPE html><html><head><title>x</title></head><body><p>y</html>"), Err(NotAFeed::Html));
    assert!(matches!(read("<note><to>x</to></note>"), Err(NotAFeed::Unreadable(_))));
    assert!(matches!(read("just text"), Err(NotAFeed::Unreadable(_))));
    assert!(matches!(read("{\"a\": 1}"), Err(NotAFeed::Unreadable(_))));
    assert_eq!(read("<rss/>"), Err(NotAFeed::NoEntries));
    assert_eq!(read("<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'/>"), Err(NotAFeed::NoEntries));
}

#[test]
fn json_feeds() {
    check(
        r#"{"version": "https://jsonfeed.org/version/1", "title": "t", "items": [
            {"id": 1, "url": "/1", "title": "A", "content_html": "<p>x</p>", "summary": "s", "date_published": "2004-01-01 10:00:00",
             "author": {"name": "Ann"}, "tags": "a, b", "attachments": [{"url": "/a.mp3", "size_in_bytes": 3}]},
            {"id": "http://a.example/2", "content_text": "1 < 2", "authors": ["Bob"], "image": "/i.png"}, 7]}"#,
        &[
            "t=A | l=https://example.org/1 | g=1 | p=2004-01-01T10:00:00Z | s=s | c=<p>x</p> | a=Ann | k=a | k=b | e=https://example.org/a.mp3 Some(3)",
            "l=http://a.example/2 | g=http://a.example/2 | c=1 &lt; 2 | a=Bob | e=https://example.org/i.png None",
        ],
    );
    let cut = read("\u{feff}{\"version\": \"http://jsonfeed.org/version/1\", \"items\": [{\"id\": \"1\"}, {\"id\": \"2\"}, {\"id\": \"to").unwrap();
    assert_eq!((cut.items.len(), cut.complete, cut.format), (2, false, Format::Json));
    assert!(matches!(read(&format!("{{\"items\": {}}}", "[".repeat(100_000))), Err(NotAFeed::Unreadable(_))));
    assert!(matches!(read(&format!("{{\"items\": [{}0]}}", "{},".repeat(100_000))), Err(NotAFeed::Unreadable(_))));
}

#[test]
fn a_document_says_things_of_itself() {
    let document = read(
        "<rss xmlns:atom='http://www.w3.org/2005/Atom' xmlns:sy='http://purl.org/rss/1.0/modules/syndication/'><channel>
         <title>A &amp;amp; B</title><link>http://a.example/</link><atom:link rel='self' href='/feed'/><atom:link rel='hub' href='http://hub.example/'/>
         <image><title>no</title><link>http://no.example/</link></image><language>de</language><lastBuildDate>2004-01-01</lastBuildDate>
         <ttl>60</ttl><sy:updatePeriod>daily</sy:updatePeriod><sy:updateFrequency>4</sy:updateFrequency>
         <skipHours><hour>0</hour><hour>24</hour><hour>3</hour></skipHours><skipDays><day>Monday</day><day>Sunday</day></skipDays></channel></rss>",
    )
    .unwrap();
    let about = &document.about;
    assert_eq!(about.title.as_deref(), Some("A & B"));
    assert_eq!(about.home.as_deref(), Some("http://a.example/"));
    assert_eq!(about.self_link.as_deref(), Some("https://example.org/feed"));
    assert_eq!(about.hubs, ["http://hub.example/"]);
    assert_eq!(about.language.as_deref(), Some("de"));
    assert_eq!(document.updated.map(Timestamp::to_rfc3339).as_deref(), Some("2004-01-01T00:00:00Z"));
    assert_eq!(document.pace.ttl_minutes, Some(60));
    assert_eq!(document.pace.update_period.unwrap().seconds, 21_600);
    assert_eq!((document.pace.skip_hours, document.pace.skip_days), (0b1001, 0b100_0001));
}

#[test]
fn html_from_strangers_is_safe_and_keeps_its_meaning() {
    let base = Url::parse("https://example.org/a/b").unwrap();
    for (html, expected) in [
        ("<p onclick=x()>a<script>b</script><style>c</style></p>", "<p>a</p>"),
        ("<a href='javascript:x()'>a</a>", "<a rel=\"noopener noreferrer\">a</a>"),
        ("<a href='c?d'>a</a>", "<a href=\"https://example.org/a/c?d\" rel=\"noopener noreferrer\">a</a>"),
        ("<img src='/i.png' alt=x onerror=y style=z>", "<img src=\"https://example.org/i.png\" alt=\"x\">"),
        ("<img src='data:image/png;base64,AAAA'>", ""),
        ("x<img src=//t.example/p.gif width=1 height=1>y", "xy"),
        ("x<img src=//t.example/p.gif style='display: none'>y", "xy"),
        (
            "<iframe src='//video.example/embed/1?x'></iframe>",
            "<a href=\"https://video.example/embed/1?x\" rel=\"noopener noreferrer\">video.example/embed/1</a>",
        ),
        (
            "<noscript><img src=i></noscript><embed src=x><object data=y>z</object>",
            "<img src=\"https://example.org/a/i\"><a href=\"https://example.org/a/x\" rel=\"noopener noreferrer\">x</a>\
             <a href=\"https://example.org/a/y\" rel=\"noopener noreferrer\">y</a>z",
        ),
        ("a<br></br>b<br />c", "a<br>b<br>c"),
        ("<a name='x'/>after", "<a rel=\"noopener noreferrer\"></a>after"),
        ("<form><input><button>x</button></form>", "x"),
        ("<svg><script>x</script></svg><math><mtext>y</mtext></math>z", "z"),
        ("<image>x</image><image src='b.png'>", "x<img src=\"https://example.org/a/b.png\">"),
        ("a\u{92}<b>b\u{7}</b>\u{92}", "a<b>b</b>"),
        ("<!-- c --><o:p>x</o:p>", "x"),
        ("1 < 2 & 3", "1 &lt; 2 &amp; 3"),
        ("<b>unclosed <i>x", "<b>unclosed <i>x</i></b>"),
        ("plain", "plain"),
    ] {
        assert_eq!(clean::html(&Markup::Html(html.into()), Some(&base)).as_str(), expected, "{html}");
    }
    assert_eq!(
        clean::html(&Markup::Html("<a href=x>y</a>".into()), None).as_str(),
        "<a rel=\"noopener noreferrer\">y</a>"
    );
    assert_eq!(
        clean::html(&Markup::Text("a <b>\nc\r\n\r\nd".into()), None).as_str(),
        "<p>a &lt;b&gt;<br>c</p><p>d</p>"
    );
    for bomb in [
        "<div>".repeat(100_000),
        (0..6000).flat_map(|n| [format!("<i title={n}><p>")]).collect(),
        format!("<b {}>x</b>", (0..40_000).flat_map(|n| [format!("a{n} ")]).collect::<String>()),
    ] {
        let clean = clean::html(&Markup::Html(format!("kept {bomb}")), None);
        assert!(clean.as_str().starts_with("kept") && clean.as_str().len() < 100, "{}", clean.as_str().len());
    }
}

#[test]
fn summaries_end_behind_a_word() {
    let clean = clean::html(&Markup::Html("<p>One two,</p><p>three four</p>".into()), None);
    assert_eq!(clean::summary(&clean, 100), "One two, three four");
    assert_eq!(clean::summary(&clean, 12), "One two…");
    assert_eq!(clean::text("<h1>a</h1>b &amp; c", 3), "a b");
}

/// Ten thousand items that each inherit a name of megabytes would be tens of gigabytes.
#[test]
fn what_many_items_share_is_short() {
    let huge = "n".repeat(1 << 20);
    let entries = "<entry><id>tag:e.example,2026:1</id><title>t</title></entry>".repeat(3);
    let document = read(&format!(
        "<feed xmlns=\"http://www.w3.org/2005/Atom\" xml:lang=\"{huge}\" xml:base=\"https://e.example/{huge}\">\
         <title>{huge}</title><author><name>{huge}</name></author>{entries}</feed>"
    ))
    .unwrap();
    assert!(document.about.title.is_some_and(|title| title.len() == 1024));
    for item in &document.items {
        let bytes: usize = item.authors.iter().map(|author| author.name.len()).sum();
        assert!(bytes <= 1024 && item.language.as_deref().unwrap_or_default().len() <= 35);
        assert!(item.base.as_ref().is_none_or(|base| base.as_str().len() <= 2048));
    }
}

/// What is short in a document and long when it is read: addresses on a long base, authors that all inherit, small tags.
#[test]
fn little_does_not_become_much() {
    let base = format!("https://e.example/{}/", "b".repeat(2000));
    let person = format!("<author><name>{0}</name><uri>http://{0}</uri></author>", "n".repeat(250));
    for unit in [
        format!("<item>{}</item>", "<enclosure url='a'/>".repeat(60)).replace("'a'", "'&amp;a'"),
        "<item><link>a</link><comments>b</comments></item>".to_owned(),
        format!("<item><tags>{}</tags></item>", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,".repeat(2)),
        "<item/>".to_owned(),
    ] {
        let unit = unit.repeat((1 << 20) / unit.len());
        let document = format!("<feed xml:base='{base}'>{}{unit}</feed>", person.repeat(4));
        let items = read(&document).unwrap().items;
        let kept = items.iter().map(|item| {
            let files: usize = item.enclosures.iter().map(|file| file.url.len()).sum();
            let base = item.base.as_ref().map_or(0, |base| base.as_str().len());
            let addresses = item.link.as_ref().map_or(0, String::len) + item.comments.as_ref().map_or(0, String::len);
            size_of_val(item) + files + base + addresses + 88 * item.categories.len() + 500 * item.authors.len()
        });
        let kept: usize = kept.sum();
        assert!(kept < 40 << 20, "{kept} bytes of {}", &unit[..unit.len().min(40)]);
    }
}

/// An end tag that closes nothing is once looked for among all open elements, however long their names are.
#[test]
fn long_names_are_not_seen() {
    let name = "n".repeat(20_000);
    let document = format!(
        "<rss><channel>{}{}<item><title>t</title></item>",
        format!("<{name}>").repeat(50),
        "</x>".repeat(20_000)
    );
    assert_eq!(read(&document).unwrap().items.iter().map(line).collect::<Vec<_>>(), ["t=t"]);
}

/// Declarations that never end were once searched to the end of the document, each of them.
#[test]
fn unended_declarations_cost_one_look_each() {
    let feed = "<rss version=\"2.0\"><channel><title>F</title><item><title>still read</title></item></channel></rss>";
    let declarations = format!("<!DOCTYPE rss [{} x{}]>", "<!ENTITY".repeat(20_000), ">".repeat(20_000));
    let read = read(&format!("{declarations}{feed}"));
    assert!(read.is_err() || read.is_ok_and(|document| document.items.len() == 1));
}
