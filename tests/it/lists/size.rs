//! Lists of every size and malice are read in time linear in their bytes.

use std::time::Duration;

use listend::lists::opml::{self, MAX_OUTLINES};
use listend::lists::roster::{ListInput, Roster};
use listend::model::Role;

/// What an unoptimised build on a busy machine may take; anything quadratic takes minutes.
const LIMIT: Duration = Duration::from_secs(10);

/// The processor time that this thread has used; zero where the system does not tell.
fn processor_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = told.split(' ').next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

fn check(what: &str, text: &str) {
    let started = processor_time();
    let opml = opml::parse(text.as_bytes());
    let read = processor_time().saturating_sub(started);
    let fault = opml.as_ref().err().map(ToString::to_string).unwrap_or_default();
    let list = opml.unwrap_or_default();
    let roster = Roster::build(vec![ListInput { name: "l".into(), role: Role::Circle, opml: list, fault: None }]);
    let built = processor_time().saturating_sub(started + read);
    eprintln!(
        "{what:<28} {:>6} KiB  read {:>5} ms  built {:>5} ms  {:>6} feeds {:>6} voices {fault}",
        text.len() / 1024,
        read.as_millis(),
        built.as_millis(),
        roster.feeds().len(),
        roster.voices.len(),
    );
    assert!(read + built < LIMIT, "{what}");
}

/// A number of outlines, one after the other.
fn many(numbers: std::ops::Range<usize>, outline: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for number in numbers {
        text.push_str(&outline(number));
    }
    text
}

fn feeds(numbers: std::ops::Range<usize>) -> String {
    many(numbers, |n| {
        format!(
            "<outline type=\"rss\" text=\"Site {n} &amp; co\" title=\"Site\" \
             xmlUrl=\"https://site{n}.example/feed.xml\" htmlUrl=\"https://site{n}.example/\"/>\n"
        )
    })
}

fn whole(body: &str) -> String {
    format!("<opml version=\"2.0\"><body>{body}</body></opml>")
}

#[test]
fn large_lists_take_a_moment() {
    check("100,000 feeds", &whole(&feeds(0..MAX_OUTLINES)));
}

#[test]
fn hostile_lists_take_linear_time() {
    const MANY: usize = 5000;
    let same = "<outline text='x' xmlUrl='https://a.example/'/>";
    let person = "<outline type='person' text='p'><outline xmlUrl='https://a.example/'/></outline>";
    let bodies = [
        ("all of one name", many(0..MANY, |n| format!("<outline text='x' xmlUrl='https://a.example/{n}'/>"))),
        ("all the same feed", same.repeat(MANY)),
        ("no names", many(0..MANY, |n| format!("<outline xmlUrl='https://a.example/{n}'/>"))),
        ("one person of many", format!("<outline type='person' text='p'>{}</outline>", feeds(0..MANY))),
        (
            "many persons of one feed",
            many(0..MANY, |n| {
                format!("<outline type='person' text='p{n}'><outline xmlUrl='https://a.example/'/></outline>")
            }),
        ),
        ("many twins of one feed", person.repeat(MANY)),
        (
            "deep folders, many feeds",
            "<outline text='folder'>".repeat(250) + &feeds(0..MANY) + &"</outline>".repeat(250),
        ),
        ("deep persons", "<outline type='person' text='p'>".repeat(MANY) + &"</outline>".repeat(MANY)),
        ("deep feeds, unclosed", "<outline xmlUrl='https://a.example/'>".repeat(MANY)),
        ("open tags", "<outline ".repeat(20_000)),
        ("open quotes", "<outline text=\"".repeat(20_000)),
        ("open quotes of two kinds", "<outline a=\"<outline b='".repeat(10_000)),
        ("many attributes", format!("<outline {}/>", many(0..20_000, |n| format!("a{n}='' ")))),
        ("many equal signs", format!("<outline {}/>", "a=\"b=\"c=\"".repeat(20_000))),
        ("ampersands", format!("<outline text='{}'/>", "&".repeat(200_000))),
        ("comments never closed", "<!--".repeat(50_000)),
        ("less-than signs", "<".repeat(200_000)),
        ("declarations", "<!".repeat(50_000)),
        ("brackets and quotes", "<!a['>".repeat(30_000)),
        ("brackets", "<!a[>".repeat(30_000)),
        ("instructions", "<?".repeat(50_000)),
    ];
    for (what, body) in bodies {
        check(what, &whole(&body));
    }
}
