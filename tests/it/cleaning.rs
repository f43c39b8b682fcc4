//! HTML from strangers goes in, HTML that is safe and means the same comes out; and cleaning costs what was agreed.

use listend::feeds::clean::{self, Cleaner};
use listend::model::Markup;
use proptest::prelude::*;
use url::Url;

fn cleaned(html: &str) -> String {
    let base = Url::parse("https://example.org/a/b").unwrap();
    clean::html(&Markup::Html(html.into()), Some(&base)).as_str().to_owned()
}

fn check(cases: &[(&str, &str)]) {
    for (html, expected) in cases {
        assert_eq!(cleaned(html), *expected, "{html}");
    }
}

/// Fails unless HTML is as the cleaner writes it, tag by tag: known elements, known attributes in quotes, known schemes.
fn assert_safe(html: &str) {
    const SCHEMES: [&str; 3] = ["http://", "https://", "mailto:"];
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = rest[at + 1..].trim_start_matches('/');
        let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        assert!(!name.is_empty() && !FORBIDDEN.contains(&name.as_str()), "<{name}> in {html:?}");
        rest = &rest[name.len()..];
        while let Some(attribute) = rest.strip_prefix(' ') {
            let (name, value) = attribute.split_once("=\"").unwrap_or_else(|| panic!("{attribute} in {html:?}"));
            let (value, after) = value.split_once('"').unwrap_or_else(|| panic!("{value} in {html:?}"));
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b':'), "{name} in {html:?}");
            let never =
                ["style", "id", "name", "class", "target", "srcdoc", "ping", "background", "longdesc", "action"];
            assert!(!name.starts_with("on") && !never.contains(&name), "{name} in {html:?}");
            if ["href", "src", "cite", "poster"].contains(&name) {
                assert!(SCHEMES.iter().any(|scheme| value.starts_with(scheme)), "{name}={value} in {html:?}");
            }
            if name == "srcset" {
                assert!(value.split(", ").all(|one| one.starts_with("http")), "{value} in {html:?}");
            }
            rest = after;
        }
        rest = rest.strip_prefix('>').unwrap_or_else(|| panic!("{rest} in {html:?}"));
    }
}

const FORBIDDEN: [&str; 30] = [
    "script",
    "style",
    "iframe",
    "object",
    "embed",
    "param",
    "form",
    "input",
    "button",
    "select",
    "option",
    "textarea",
    "svg",
    "math",
    "link",
    "meta",
    "base",
    "frame",
    "frameset",
    "applet",
    "template",
    "noscript",
    "title",
    "body",
    "html",
    "head",
    "xmp",
    "plaintext",
    "marquee",
    "dialog",
];

#[test]
fn what_says_something_stays() {
    for kept in [
        "<p>a <b>b</b> <i>i</i> <code>c</code> <kbd>k</kbd> <sub>1</sub><sup>2</sup> <ins>n</ins><del>o</del></p>",
        "<ul><li>x</li></ul><ol start=\"3\" reversed=\"\"><li value=\"7\">x</li></ol><dl><dt>t</dt><dd>d</dd></dl>",
        "<table><caption>c</caption><thead><tr><th scope=\"col\">h</th></tr></thead><tbody><tr><td colspan=\"2\">d</td></tr></tbody></table>",
        "<pre><code>a &lt; b\n  c</code></pre><blockquote cite=\"https://a.example/\"><q>q</q><cite>c</cite></blockquote>",
        "<figure><img src=\"https://a.example/i.png\" alt=\"x\"><figcaption>f</figcaption></figure>",
        "<video controls=\"\" poster=\"https://a.example/p\"><source src=\"https://a.example/v\" type=\"video/mp4\"></video>",
        "<audio src=\"https://a.example/s\" controls=\"\">no sound</audio><details open=\"\"><summary>s</summary>d</details>",
        "<abbr title=\"long\">l</abbr> <time datetime=\"2024-01-01\">then</time> <ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>",
        "<h1>a</h1><h2>b</h2><h3 lang=\"de\">c</h3><hr>e<br>f<bdo dir=\"rtl\">g</bdo><mark>h</mark>",
    ] {
        assert_eq!(cleaned(kept), kept);
    }
}

#[test]
fn a_byte_order_mark_is_none_of_the_text() {
    check(&[
        ("\u{feff}words", "words"),
        ("<!-- --> \u{feff} \u{feff}<p>words</p>", "<p>words</p>"),
        ("<script></script>\u{feff}a &lt; b", "a &lt; b"),
        ("<p>one\u{feff}word</p>", "<p>one\u{feff}word</p>"),
    ]);
}

#[test]
fn relative_addresses_become_absolute() {
    check(&[
        (
            "<img src=i srcset='j 1x,/k,l 2x, javascript:x 3x'>",
            "<img src=\"https://example.org/a/i\" srcset=\"https://example.org/a/j 1x, https://example.org/k%2Cl 2x\">",
        ),
        ("<q cite=x>y</q><q cite=javascript:x>z</q>", "<q cite=\"https://example.org/a/x\">y</q><q>z</q>"),
        (
            "<video poster=p src=//c.example/v></video>",
            "<video poster=\"https://example.org/a/p\" src=\"https://c.example/v\"></video>",
        ),
    ]);
}

#[test]
fn images_that_wait_for_scripts_show() {
    check(&[
        ("<img src='data:image/gif;base64,x' data-src=/i>", "<img src=\"https://example.org/i\">"),
        ("<img class=lazy data-original=/i alt=x />", "<img src=\"https://example.org/i\" alt=\"x\">"),
        (
            "<img src=blank.gif data-lazy-src=/i><noscript><img src=/i></noscript>",
            "<img src=\"https://example.org/i\">",
        ),
        ("<img data-srcset='/i 2x'>", "<img srcset=\"https://example.org/i 2x\">"),
        ("<img src=real.png data-src=/other>", "<img src=\"https://example.org/a/real.png\">"),
        ("a<img src='data:image/png;base64,x'>b<img src=data:x alt=said>", "ab<img alt=\"said\">"),
    ]);
}

#[test]
fn those_who_only_count_readers_go() {
    check(&[
        ("a<img src=//t.example/p width=1 height=1>b", "ab"),
        ("a<img src=//t.example/p style='width:1px; height: 0'>b", "ab"),
        ("a<img src=http://feeds.feedburner.com/~r/blog/~4/xyz>b", "ab"),
        (
            "a<img src=https://cdn.example/?u=doubleclick.net>b",
            "a<img src=\"https://cdn.example/?u=doubleclick.net\">b",
        ),
        ("<img src=/line height=1 width=400>", "<img src=\"https://example.org/line\" height=\"1\" width=\"400\">"),
    ]);
}

#[test]
fn frames_become_links() {
    let link = |href: &str, text: &str| format!("<a href=\"{href}\" rel=\"noopener noreferrer\">{text}</a>");
    for (html, expected) in [
        (
            "<iframe src=https://www.youtube.com/embed/abc_1?x=y></iframe>",
            link("https://www.youtube.com/watch?v=abc_1", "www.youtube.com/watch?v=abc_1"),
        ),
        (
            "<iframe src=//player.vimeo.com/video/7 title='A <b> film'></iframe>",
            link("https://vimeo.com/7", "A &lt;b&gt; film"),
        ),
        (
            "<object data=/f.swf><param name=movie value=/f.swf><embed src=/f.swf></object>",
            link("https://example.org/f.swf", "/f.swf"),
        ),
        ("<iframe src='javascript:alert(1)'></iframe>x", "x".to_owned()),
        ("<iframe srcdoc='<script>1</script>'></iframe>x", "x".to_owned()),
    ] {
        assert_eq!(cleaned(html), expected, "{html}");
    }
}

#[test]
fn attacks_fail() {
    for attack in [
        "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
        "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
        "<svg></p><style><a id=\"</style><img src=1 onerror=alert(1)>\">",
        "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
        "<annotation-xml encoding=text/html><img src=x onerror=alert(1)></annotation-xml>",
        "<math><annotation-xml encoding='text/html'><style><img src=x onerror=alert(1)></style></annotation-xml></math>",
        "<template><script>1</script></template><table><tr><script>1</script><a href='&#106;ava&Tab;script:1'>x",
        "<a href='java\tscript:1' id=x name=body target=_top ping=//t style='x'>y</a><base href=//evil/>",
        "<a href='\u{1}javascript:1'>x</a><a href=' data:text/html,x'>x</a><a href=vbscript:x>y</a>",
        "<meta http-equiv=refresh content='0;url=//evil'><body background=//t onload=x><table background=//t>",
        "<img src=x longdesc=javascript:1 srcset='data:x 1x' usemap=#x onerror\u{0}=1 on\u{0}error=1>",
        "<select><style></select><img src=x onerror=1></style>",
        "<plaintext><script>",
        "<xmp><p title='</xmp><script>1</script>'>",
        "<iframe title='</a><script>1</script>' src=//v.example/></iframe>",
        "<iframe src='//x\"><script>1</script>'>",
        "<img data-src='x\" onerror=1 y=\"' src=data:x>",
        "<img data-src=x onerror=1>",
        "<<!-- -->script>1</script>",
        "<scr<script></script>ipt>1</script>",
        "<style><!--</style><script>1</script>-->",
        "<a =\"><script>1</script>\">",
        "<input><button formaction=javascript:1>x</button><isindex action=javascript:1><marquee onstart=1>x",
        "<video><source onerror=1 src=x></video><audio src=data:x autoplay>",
        "<![CDATA[<script>1</script>]]>",
        "<?x <script>?>",
    ] {
        let once = cleaned(attack);
        assert_safe(&once);
        assert_safe(&cleaned(&once));
    }
}

/// Makes a text of about so many bytes.
type Make = Box<dyn Fn(usize) -> String>;

/// Documents made to explode, in texts of so many bytes.
fn hostile() -> Vec<(&'static str, usize, Make)> {
    fn repeated(unit: &'static str) -> Make {
        Box::new(move |bytes| unit.repeat(bytes / unit.len()))
    }
    fn numbered(unit: &'static str) -> Make {
        Box::new(move |bytes| {
            let mut out = String::new();
            for n in 0.. {
                if out.len() >= bytes {
                    break;
                }
                out.push_str(&unit.replace('#', &n.to_string()));
            }
            out
        })
    }
    fn after(start: &'static str, unit: &'static str) -> Make {
        Box::new(move |bytes| start.to_owned() + &unit.repeat(bytes / unit.len()))
    }
    vec![
        ("div", 500 << 10, repeated("<div>")),
        ("i title, p", 84 << 10, numbered("<i title=#><p>")),
        ("b #", 30 << 10, numbered("<b #>")),
        ("table i", 100 << 10, repeated("<table><i>")),
        ("table br", 100 << 10, after("<table>", "<br>")),
        ("table text", 100 << 10, after("<table>", "x<tr>")),
        ("a a", 100 << 10, repeated("<a>")),
        ("/p", 100 << 10, repeated("</p>")),
        ("p b p b", 100 << 10, repeated("<p><b>")),
        ("b p /b", 100 << 10, numbered("<b #><p>x</b>")),
        ("select", 100 << 10, repeated("<select><option>")),
        ("attributes", 400 << 10, Box::new(|_| format!("<b {}>x</b>", numbered("a# ")(400 << 10)))),
        ("256 attributes", 5 << 10, Box::new(|_| format!("<p{}>x", numbered(" a#")(1100)).repeat(4))),
        ("references", 2 << 20, repeated("&lt;")),
        ("bad references", 2 << 20, repeated("&#")),
        ("nul", 2 << 20, repeated("\0<br>")),
        ("blockquote", 100 << 10, repeated("<blockquote>x")),
        ("small i p", 1 << 10, numbered("<i title=#><p>x")),
        ("small nobr p", 1 << 10, numbered("<nobr a=#><p>x")),
        ("tiny i p", 100, numbered("<i a=#><p>")),
        ("comments", 100 << 10, repeated("<!---->")),
        ("cdata", 100 << 10, repeated("<![CDATA[]]>")),
        ("plaintext", 100 << 10, after("<plaintext>", "<b>")),
        ("p", 100 << 10, repeated("<p>")),
        ("deep p", 100 << 10, Box::new(|bytes| "<span>".repeat(240) + &"<p>x</p>".repeat(bytes / 8))),
        ("links", 100 << 10, repeated("<a href>")),
        ("srcset", 100 << 10, repeated("<img srcset='a, b, c, d, e, f, g, h'>")),
        ("br", 100 << 10, repeated("<br>")),
        ("dd", 100 << 10, repeated("<dd><b>")),
        ("form", 100 << 10, repeated("<form><input>")),
    ]
}

/// No document makes more of itself than its budget, whatever its texts are; and little in its texts costs little.
#[test]
fn no_document_explodes() {
    const DOCUMENT_BYTES: usize = 512 << 10;
    let base = Url::parse(&format!("https://example.org/{}", "b".repeat(100))).unwrap();
    for (name, text_bytes, make) in hostile() {
        let text = Markup::Html(make(text_bytes));
        let cleaner = Cleaner::new(DOCUMENT_BYTES);
        let (mut bytes, mut made, mut largest) = (0, 0, 0);
        let started = std::time::Instant::now();
        while bytes < DOCUMENT_BYTES {
            bytes += text.as_str().len();
            let clean = cleaner.html(&text, Some(&base));
            made += clean.as_str().len();
            largest = largest.max(clean.as_str().len());
        }
        let spent = started.elapsed();
        println!("{name:16} {text_bytes:8} {:6} ms {made:10} {largest:10}", spent.as_millis());
        assert!(made <= 12 * DOCUMENT_BYTES, "{name}: {made}");
    }
}

fn hostile_html() -> impl Strategy<Value = String> {
    let pieces = [
        "<p>",
        "</p>",
        "<b>",
        "</b>",
        "<i title=x>",
        "<a href=x>",
        "</a>",
        "<table>",
        "<tr>",
        "<td>",
        "</table>",
        "<svg>",
        "<math>",
        "<mtext>",
        "<style>",
        "</style>",
        "<script>",
        "</script>",
        "<noscript>",
        "</noscript>",
        "<template>",
        "</template>",
        "<!--",
        "-->",
        "<img src=x ",
        "srcset='x 1x'",
        "onerror=1",
        ">",
        "\"",
        "'",
        "<q cite=javascript:x>",
        "<title>",
        "</title>",
        "<select>",
        "<option>",
        "<iframe src=y>",
        "</iframe>",
        "<![CDATA[",
        "]]>",
        "&lt;",
        "&#x3c;",
        "<div ",
        "<h1>",
        "<li>",
        "<ul>",
        "</ul>",
        "text ",
        "\u{0}",
        "\u{feff}",
        "<desc>",
        "<foreignObject>",
        "<annotation-xml encoding=text/html>",
        "<object data=x>",
        "<ruby>",
        "<rt>",
        "<button>",
        "<form>",
        "<pre>\n",
        "<caption>",
        "<col>",
        "<details>",
        "<video poster=x>",
        "<source src=y>",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_clean_stays_so_and_says_the_same(html in hostile_html()) {
        let once = cleaned(&html);
        assert_safe(&once);
        let twice = cleaned(&once);
        assert_safe(&twice);
        prop_assert_eq!(clean::text(&once, 9999), clean::text(&twice, 9999), "{}", html);
    }
}
