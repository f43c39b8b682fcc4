//! The short way writes the bytes of the long way, whenever it answers.
#![expect(clippy::print_stdout, reason = "how many texts go the short way is worth knowing")]

use std::cell::Cell;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::feeds::clean::{Cleaner, ELEMENTS, meter, trimmed};
use crate::feeds::parse::parse;
use crate::model::Markup;

fn base() -> Url {
    Url::parse("https://example.org/blog/post?x#y").expect("it is an address")
}

/// What the short way makes of HTML, if anything.
fn short(html: &str, base: Option<&Url>) -> Option<String> {
    clean(html, base, meter::most_bytes(html.len())).map(|plain| trimmed(plain.html))
}

/// What the tree makes of HTML.
fn long(html: &str, base: Option<&Url>) -> Option<String> {
    Cleaner::new(html.len()).tree(html, base).map(trimmed)
}

/// Whether the short way answers; fails unless it answers as the tree does.
fn check(html: &str) -> bool {
    let base = base();
    let mut answers = false;
    for base in [Some(&base), None] {
        if let Some(short) = short(html, base) {
            assert_eq!(Some(short), long(html, base), "{html:?}");
            answers = true;
        }
    }
    answers
}

#[test]
fn plain_html_goes_the_short_way() {
    for html in [
        "<p>One <b>bold</b> <a class=x href='https://a.example/?a=1&amp;b=2' target=_blank>link</a>.</p>\n<hr />",
        "<p>One<p>two<br/>three<ul><li>a<li>b<ol start=\"3\"><li><p>c</ol></ul>",
        "<h2 id=\"a\">x &amp; y &#8217;&#x2019;&hellip;&nbsp;\u{a0}&notin;</h2><pre class=\"code\"><code>a &lt; b > c\n</code></pre>",
        "<figure><img src=\"/a.jpg\" srcset=\"/a.jpg 1x, /b.jpg 2x\" width='640' alt=\"&quot;x&quot;\"/><figcaption>f</figcaption></figure>",
        "<table border=1> <caption>c</caption><thead><tr>\n<th>x</th></tr></thead><tbody><tr><td><p>y</td></tr></tbody></table>",
        "<dl><dt>a<dd>b<dt>c</dl><blockquote cite=\"../x\"><div><span>q</span></div></blockquote>",
        "a<!-- more -->b<img src=\"https://pixel.wp.com/b.gif\" width=\"1\" height=\"1\">c",
        "<a href=\"https://a.example/?a=1&b=2\">x & y</a> <a href=\"javascript:x\">z</a> <a href=\"mailto:a@b\">m</a>",
        "<video controls poster='p.png'><source src=\"v.mp4\" type=\"video/mp4\"></video> \u{2003}",
        "<b><i>never closed",
        "<table><tr><td>x</td></tr><thead><tr><th>y</th></tr></table>\r\nx\ry",
    ] {
        assert!(check(html), "{html}");
    }
}

#[test]
fn what_is_not_plain_goes_the_long_way() {
    for html in [
        "<P>x</P>",
        "<p>x</b>",
        "<p>x</p></p>",
        "<b><p>x</b></p>",
        "<b>x<b>y</b></b>",
        "<a href=x><div><a href=y>z</a></div></a>",
        "<p><span><div>x</div></span>",
        "<li>x</li>",
        "<ul><div><li>x</li></div></ul>",
        "<table><tr><td>x</tr></table>",
        "<table><td>x</td></table>",
        "<table><tbody></table></tbody>",
        "<table>x</table>",
        "<table><tbody><b></b></tbody></table>",
        "<td>x</td>",
        "<p/>x",
        "<pre>\nx</pre>",
        "<pre><!-- -->\nx</pre>",
        "\u{feff}<p>x</p>",
        "<!-- --><!---->\u{feff}",
        "<script>x</script>",
        "<iframe src=x></iframe>",
        "<o:p>x</o:p>",
        "<p title=x title=y>x</p>",
        "<p onclick =x>x</p>",
        "<p title=\"x\"lang=y>x</p>",
        "<img data-src=/i src=blank.gif>",
        "x < y<br>",
        "x <",
        "<p",
        "<p title=\"x>y",
        "<!-- x",
        "<!doctype html>x",
        "&amp",
        "&copy;&copyx",
        "&am<!-- -->p;",
        "&#0;&#13;",
        "&#x80;",
        "x\r<!-- -->\ny<br>",
        "x\u{0}y<br>",
        "x\u{85}y<br>",
        "<img srcset=\"javascript:x\" src=y>",
    ] {
        assert!(!check(html), "{html}");
    }
    assert!(!check(&"<div>".repeat(MAX_OPEN + 1)));
    assert!(!check(&"<br>".repeat(MAX_TAGS + 1)));
    assert!(!check(&format!("<br>{}", "& ".repeat(MAX_BARE_AMPERSANDS + 1))));
    assert!(check(&format!("{}{}", "<div>".repeat(MAX_OPEN - 1), "<br>".repeat(MAX_TAGS - MAX_OPEN))));
}

#[test]
fn only_elements_that_may_stay_are_known() {
    for name in ELEMENTS {
        assert!(element(name.as_bytes()).is_none_or(|element| element.name == name));
    }
    for name in ["script", "style", "iframe", "object", "svg", "math", "template", "form", "select", "textarea"] {
        assert_eq!(element(name.as_bytes()), None);
    }
    assert!(ATTRIBUTES.is_sorted());
}

/// Where the corpus is, if it is anywhere.
fn corpus() -> Option<PathBuf> {
    let given = std::env::var_os("LISTEND_CORPUS").map(PathBuf::from);
    let path = given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"));
    if path.join("EXPECT.jsonl").is_file() {
        return Some(path);
    }
    eprintln!("skipped: no corpus at {} (LISTEND_CORPUS names another place)", path.display());
    None
}

#[test]
fn every_text_of_the_corpus_is_the_same_either_way() {
    let Some(corpus) = corpus() else { return };
    let expected = std::fs::read_to_string(corpus.join("EXPECT.jsonl")).expect("it can be read");
    let lines = expected.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let (mut plain, mut texts, mut plain_bytes, mut bytes) = (0, 0, 0, 0);
    for line in lines {
        let Some(Ok(body)) = line["file"].as_str().map(|file| std::fs::read(corpus.join(file))) else { continue };
        let Ok(document) = parse(&body, None, &base()) else { continue };
        for text in document.items.into_iter().flat_map(|item| [item.summary, item.content]).flatten() {
            let Markup::Html(html) = text else { continue };
            if html.contains(['<', '&']) && html.len() < MAX_BYTES {
                let is_plain = check(&html);
                (plain, texts) = (plain + usize::from(is_plain), texts + 1);
                (plain_bytes, bytes) = (plain_bytes + if is_plain { html.len() } else { 0 }, bytes + html.len());
            }
        }
    }
    println!("the short way takes {plain} of {texts} texts of the corpus, {plain_bytes} of {bytes} bytes");
    assert!(2 * plain > texts, "the short way is worth its lines");
}

/// Near-HTML: elements nested well, with a fault strewn in now and then.
fn near_html() -> impl Strategy<Value = String> {
    let text = prop::sample::select(vec![
        "text",
        " ",
        "\n",
        "a & b",
        "&amp;",
        "&lt;b&gt;",
        "&nbsp;",
        "\u{a0}",
        "&#8217;",
        "&#x41;",
        "&hellip;",
        "&notit;",
        "ü",
        "😀",
        "\u{c2}",
        "1 > 0",
        "\"quoted\"",
        "<br>",
        "<br/>",
        "<hr />",
        "<wbr>",
        "<!-- c -->",
        "<!---->",
        "\u{2003}",
        "<img src=\"https://a.example/i.png\" alt='x'>",
        "<img src=i width=1 height=1>",
        "<img src='/i' srcset='/j 2x'/>",
        "\u{feff}",
        "\t",
    ]);
    let fault = prop::sample::select(vec![
        "<",
        "&",
        "&amp",
        "&copy",
        "&#0;",
        "&#x80;",
        "&#xfdd0;",
        "&#1114112;",
        "\r\n",
        "\u{0}",
        "\u{85}",
        "</p>",
        "</br>",
        "<p>",
        "<P>",
        "<li>",
        "</ul>",
        "<b>",
        "</b>",
        "<a href=x>",
        "</a>",
        "<td>",
        "<tr>",
        "<table>",
        "</table>",
        "<script>",
        "<style>x",
        "<svg>",
        "<iframe src=x>",
        "<noscript>",
        "<!-- x",
        "<![CDATA[x]]>",
        "<?x?>",
        "<p/>",
        "<o:p>",
        "</ p>",
        "<select>",
        "<form>",
        "<p title='",
        "<p title=\"",
        "<img>",
        "<img data-src=x>",
        "-->",
        "<a",
        ">",
        "<h1>",
        "<dd>",
        "<pre>\n",
        "<source>",
        "<button>",
        "<nobr>",
        "<center>",
        "<font color=red>",
        "</h2>",
        "<image src=x>",
        "<x-y>",
    ]);
    let attributes = prop::sample::select(vec![
        "",
        "",
        "",
        "",
        " class=\"x\"",
        " id=a",
        " title=\"a &amp; b\"",
        " title='\"&lt;\u{a0}\"'",
        " lang=de",
        " dir=\"rtl\"",
        " href=\"https://a.example/?a=1&b=2&amp;c=3\"",
        " href='/x'",
        " href=\"#top\"",
        " href=\"\"",
        " href=\"mailto:a@b.c\"",
        " href=\"javascript:alert(1)\"",
        " href=\"https://1.2.3.400/\"",
        " href='https://xn--a/'",
        " href=\"//b.example/y\"",
        " href=\"http://a b/\"",
        " href=\"https://a.example:99999/\"",
        " href=\"https://ann@a.example/&quot;\"",
        " href=\" https://a.example/ \"",
        " href=\"https://a.example/&copy=1\"",
        " href=\"https://a.example/&copy\"",
        " style=\"color:red\"",
        " onclick=\"x > y\"",
        " cite=\"../q\"",
        " cite='javascript:x'",
        " title",
        " title=a title=b",
        " width=100%",
        " width=\"1\" height=\"1\"",
        " data-x='<p>'",
        " xml:lang=\"en\"",
        " xmlns=\"x\"",
        " rel=me",
        " TITLE=x",
        " title = x",
        "\n title=\"x\"\n",
        " /",
        " src=\"https://a.example/v\"",
        " href=https://a.example/x",
        " value=\"3\" start=2",
        " a=1/",
        " title=\"\n\"",
        " title=\"&#10;&\"",
        " open",
    ]);
    let names = prop::sample::select(vec![
        "p",
        "p",
        "p",
        "div",
        "span",
        "a",
        "a",
        "b",
        "i",
        "em",
        "strong",
        "code",
        "pre",
        "ul",
        "ol",
        "li",
        "li",
        "dl",
        "dt",
        "dd",
        "blockquote",
        "h1",
        "h2",
        "figure",
        "figcaption",
        "table",
        "thead",
        "tbody",
        "tr",
        "td",
        "th",
        "caption",
        "q",
        "details",
        "summary",
        "section",
        "font",
        "center",
        "u",
        "video",
        "picture",
        "address",
        "del",
        "mark",
        "s",
        "nav",
    ]);
    let leaf = prop_oneof![12 => text.prop_map(str::to_owned), 1 => fault.prop_map(str::to_owned)];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        let inside = prop::collection::vec(inner, 0..5).prop_map(|parts| parts.concat());
        let element = (names.clone(), attributes.clone(), inside.clone(), 0..24_u8).prop_map(
            |(name, attributes, inside, how)| match how {
                // One that has what belongs into it.
                0 => format!("<ul><li{attributes}>{inside}</li><li>{inside}</ul>"),
                1 => format!("<table><tbody{attributes}><tr> <td>{inside}</td></tr></tbody></table>"),
                2 => format!("<dl><dt>{inside}</dt><dd{attributes}>{inside}</dl>"),
                // One without its end.
                3 => format!("<{name}{attributes}>{inside}"),
                _ => format!("<{name}{attributes}>{inside}</{name}>"),
            },
        );
        prop_oneof![3 => element, 1 => inside]
    })
}

/// The pieces of HTML in any order.
fn soup() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "<",
        ">",
        "</",
        "/>",
        "<p",
        "<p>",
        "</p>",
        "<b>",
        "</b>",
        "<a ",
        "href=",
        "\"",
        "'",
        "=",
        " ",
        "\n",
        "https://",
        "a.example",
        "/x",
        "?y=1",
        "&",
        ";",
        "amp",
        "copy",
        "#",
        "x",
        "38",
        "<ul>",
        "<li>",
        "</li>",
        "</ul>",
        "<table>",
        "<tbody>",
        "<tr>",
        "<td>",
        "</td>",
        "</tr>",
        "</tbody>",
        "</table>",
        "<pre>",
        "<!--",
        "-->",
        "<img ",
        "src=",
        "alt=",
        "title=",
        "<br/>",
        "<h1>",
        "</h1>",
        "\u{a0}",
        "\u{c2}",
        "é",
        "<i>",
        "</i>",
        "<div>",
        "</div>",
        "text",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

#[test]
fn near_html_is_the_same_either_way() {
    let config = ProptestConfig { cases: 8192, failure_persistence: None, ..ProptestConfig::default() };
    let html = prop_oneof![6 => near_html(), 1 => soup(), 1 => "\\PC{0,40}"];
    let (all, answered) = (Cell::new(0), Cell::new(0));
    let same = TestRunner::new(config).run(&html, |html| {
        all.set(all.get() + 1);
        answered.set(answered.get() + u32::from(check(&html)));
        Ok(())
    });
    same.unwrap_or_else(|fault| panic!("{fault}"));
    println!("the short way takes {} of {} generated texts", answered.get(), all.get());
    assert!(4 * answered.get() > all.get(), "most of what is generated must not be too odd to show anything");
}
