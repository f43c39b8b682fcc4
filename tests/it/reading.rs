//! Reading: bytes of documents in, items out; measured against what other readers make of the same files.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests fail loudly and print their tables")]

mod fixtures;
mod properties;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use listend::feeds::parse::{NotAFeed, parse};
use listend::feeds::{clean, decode};
use listend::model::{Document, Markup, Timestamp};
use serde_json::Value;
use url::Url;

use crate::effort;

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

/// One line of the corpus's expectations.
struct Case {
    file: String,
    body: Vec<u8>,
    expected: Value,
}

impl Case {
    fn header(&self, name: &str) -> Option<&str> {
        let headers = self.expected["feedparser"]["headers"].as_object()?;
        headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name))?.1.as_str()
    }

    /// The address that the expectations take for granted: the server that feedparser's own tests run.
    fn url(&self) -> Url {
        let url = Url::parse("http://127.0.0.1:8097/").unwrap();
        self.header("content-location").and_then(|location| url.join(location).ok()).unwrap_or(url)
    }

    fn parse(&self) -> Result<Document, NotAFeed> {
        parse(&self.body, self.header("content-type"), &self.url())
    }
}

fn cases(corpus: &Path) -> Vec<Case> {
    let lines = std::fs::read_to_string(corpus.join("EXPECT.jsonl")).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let feeds = lines.filter(|line| line["kind"] != "opml");
    feeds
        .map(|expected| {
            let file = expected["file"].as_str().unwrap().to_owned();
            let body = std::fs::read(corpus.join(&file)).unwrap();
            Case { file, body, expected }
        })
        .collect()
}

/// Agreement on one property.
#[derive(Default)]
struct Tally {
    agreed: usize,
    asked: usize,
    differences: Vec<String>,
}

impl Tally {
    fn count(&mut self, agrees: bool, difference: impl FnOnce() -> String) {
        self.asked += 1;
        self.agreed += usize::from(agrees);
        if !agrees {
            self.differences.push(difference());
        }
    }

    fn percent(&self) -> f64 {
        if self.asked == 0 { 100.0 } else { self.agreed as f64 * 100.0 / self.asked as f64 }
    }

    fn print(&self, name: &str) {
        println!("{name:<22} {:>5} of {:>5}  {:>6.2} %", self.agreed, self.asked, self.percent());
        for difference in self.differences.iter().take(30) {
            println!("    {difference}");
        }
    }
}

/// Titles compare as text: readers differ in what markup they leave.
fn comparable_title(title: &str) -> String {
    clean::text(title, usize::MAX).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn comparable_address(address: &str) -> &str {
    address.trim().trim_end_matches('/')
}

#[test]
fn agrees_with_what_two_other_readers_agree_on() {
    let Some(corpus) = corpus() else { return };
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for case in cases(&corpus) {
        let consensus = &case.expected["consensus"];
        let Some(n) = consensus["n"].as_u64() else { continue };
        let document = case.parse();
        let items = document.as_ref().map(|document| document.items.as_slice()).unwrap_or_default();
        let file = &case.file;
        let outcome = || match &document {
            Ok(document) => format!("{} items", document.items.len()),
            Err(fault) => fault.to_string(),
        };
        let mut tally = |name, agrees, difference: &dyn Fn() -> String| {
            tallies.entry(name).or_default().count(agrees, || format!("{file}: {}", difference()));
        };
        tally("n", items.len() as u64 == n, &|| format!("{n} expected, {}", outcome()));
        if case.expected["wellformed"] == true {
            tally("n (well-formed)", items.len() as u64 == n, &|| format!("{n} expected, {}", outcome()));
        }
        if let (Some(title), Ok(document)) = (consensus["title"].as_str(), &document) {
            let own = document.about.title.as_deref().unwrap_or_default();
            let agrees = comparable_title(own) == comparable_title(title);
            tally("feed title", agrees, &|| format!("{title:?} expected, {own:?}"));
        }
        if items.len() as u64 != n {
            continue;
        }
        for (item, expected) in items.iter().zip(consensus["entries"].as_array().unwrap()) {
            if let Some(title) = expected["title"].as_str() {
                let own = item.title.as_deref().unwrap_or_default();
                let agrees = comparable_title(own) == comparable_title(title);
                tally("titles", agrees, &|| format!("{title:?} expected, {own:?}"));
            }
            if let Some(link) = expected["link"].as_str() {
                let own = item.link.as_deref().unwrap_or_default();
                let agrees = comparable_address(own) == comparable_address(link);
                tally("links", agrees, &|| format!("{link:?} expected, {own:?}"));
            }
            if let Some(id) = expected["id"].as_str() {
                let own = item.guid.as_deref().or(item.link.as_deref()).unwrap_or_default();
                let agrees = comparable_address(own) == comparable_address(id);
                tally("ids", agrees, &|| format!("{id:?} expected, {own:?}"));
            }
            if let Some(dates) = expected["dates"].as_array() {
                let dates: Vec<i64> = dates.iter().filter_map(Value::as_i64).collect();
                let own: Vec<i64> =
                    [item.published, item.updated].into_iter().flatten().map(Timestamp::seconds).collect();
                let agrees = dates.iter().all(|date| own.contains(date));
                tally("dates", agrees, &|| format!("{dates:?} expected, {own:?}"));
            }
        }
    }
    for (name, tally) in &tallies {
        tally.print(name);
    }
    for (name, least) in [
        ("n", 99.5),
        ("n (well-formed)", 99.5),
        ("feed title", 99.5),
        ("titles", 99.5),
        ("links", 99.5),
        ("dates", 99.5),
        ("ids", 99.0),
    ] {
        assert!(
            tallies[name].percent() >= least,
            "{name}: {:.2} %, at least {least} % expected",
            tallies[name].percent()
        );
    }
}

/// Whether our model has what an assertion of feedparser is about.
fn is_answerable(target: &[Value]) -> bool {
    let path: Vec<&str> = target.iter().map(|step| step.as_str().unwrap_or("#")).collect();
    let (place, rest) = match path.as_slice() {
        ["feed", rest @ ..] => ("feed", rest),
        ["entries", "#", rest @ ..] => ("entry", rest),
        _ => return false,
    };
    let known: &[&str] = match (place, rest) {
        ("feed", [_]) => &["title", "link", "language", "updated_parsed", "published_parsed"],
        ("entry", [_]) => &[
            "title",
            "link",
            "id",
            "guid",
            "summary",
            "description",
            "language",
            "updated",
            "updated_parsed",
            "published",
            "published_parsed",
            "author",
            "comments",
            "category",
        ],
        ("entry", ["content", "#", rest]) => return ["value", "language"].contains(rest),
        ("entry", ["author_detail", rest]) => return ["name", "email"].contains(rest),
        ("entry", ["source", rest]) => return ["title", "link", "id"].contains(rest),
        ("entry", ["tags", "#", "term"] | ["enclosures", "#", "href" | "url"]) => return true,
        _ => return false,
    };
    rest.iter().all(|step| known.contains(step))
}

/// What of a document an assertion of feedparser is about, as text; `None` where the document has no such thing.
fn answer(document: &Document, target: &[Value]) -> Option<Vec<String>> {
    let path: Vec<&str> = target.iter().map(|step| step.as_str().unwrap_or("0")).collect();
    let shown = |markup: &Option<Markup>, base: &Option<Url>| {
        vec![markup.as_ref().map(|text| clean::html(text, base.as_ref()).as_str().to_owned()).unwrap_or_default()]
    };
    let item = || document.items.get(target.get(1)?.as_u64()? as usize);
    let text = |value: &Option<String>| vec![value.clone().unwrap_or_default()];
    let time = |value: Option<Timestamp>| vec![value.map(|time| time.seconds().to_string()).unwrap_or_default()];
    Some(match path.as_slice() {
        ["feed", "title"] => text(&document.about.title),
        ["feed", "link"] => text(&document.about.home),
        ["feed", "language"] => text(&document.about.language),
        ["feed", "updated_parsed" | "published_parsed"] => time(document.updated),
        ["entries", _, "title"] => text(&item()?.title),
        ["entries", _, "link"] => text(&item()?.link),
        ["entries", _, "id" | "guid"] => text(&item()?.guid),
        ["entries", _, "summary" | "description"] => {
            let item = item()?;
            if item.summary.is_some() { shown(&item.summary, &item.base) } else { shown(&item.content, &item.base) }
        }
        ["entries", _, "content", "0", "value"] => {
            let item = item()?;
            if item.content.is_some() { shown(&item.content, &item.base) } else { shown(&item.summary, &item.base) }
        }
        ["entries", _, "content", "0", "language"] | ["entries", _, "language"] => {
            text(&item()?.language.clone().or_else(|| document.about.language.clone()))
        }
        ["entries", _, "updated_parsed" | "updated"] => time(item()?.updated.or(item()?.published)),
        ["entries", _, "published_parsed" | "published"] => time(item()?.published),
        ["entries", _, "author"] => {
            let person = item()?.authors.first()?;
            vec![person.name.clone(), person.email.clone().unwrap_or_default()]
        }
        ["entries", _, "author_detail", "email"] => text(&item()?.authors.first()?.email),
        ["entries", _, "author_detail", "name"] => vec![item()?.authors.first()?.name.clone()],
        ["entries", _, "comments"] => text(&item()?.comments),
        ["entries", _, "source", "title"] => text(&item()?.origin.as_ref()?.title),
        ["entries", _, "source", "link"] => text(&item()?.origin.as_ref()?.link),
        ["entries", _, "source", "id"] => text(&item()?.origin.as_ref()?.id),
        ["entries", _, "category"] | ["entries", _, "tags", "0", "term"] => {
            vec![item()?.categories.first().map(|category| category.term.clone()).unwrap_or_default()]
        }
        ["entries", _, "enclosures", "0", "href" | "url"] => {
            vec![item()?.enclosures.first().map(|enclosure| enclosure.url.clone()).unwrap_or_default()]
        }
        _ => return None,
    })
}

/// Assertions that we answer otherwise on purpose, by what they are about.
fn refused(file: &str, expected: &str) -> Option<&'static str> {
    if expected.contains("style=") {
        return Some("style sheets of strangers, however harmless, fight with the reader's own");
    }
    if expected.contains("<svg") {
        return Some("vector images can hold scripts");
    }
    if file.contains("acceptable_attribute") {
        return Some("attributes that show nothing, name something, load something, or set colours");
    }
    None
}

/// HTML with what serialisers spell differently folded.
fn comparable_html(html: &str) -> String {
    html.replace(" rel=\"noopener noreferrer\"", "").replace(" />", ">").replace("/>", ">").trim().to_owned()
}

#[test]
fn answers_what_feedparser_asserts() {
    let Some(corpus) = corpus() else { return };
    let mut tally = Tally::default();
    let mut encodings = Tally::default();
    let mut refusals: BTreeMap<&str, usize> = BTreeMap::new();
    let mut beyond_the_model = 0;
    for case in cases(&corpus) {
        let Some(asserts) = case.expected["feedparser"]["asserts"].as_array() else { continue };
        let document = case.parse();
        for assert in asserts {
            let target = assert["target"].as_array().unwrap();
            let file = &case.file;
            if target.len() == 1 && target[0] == "encoding" {
                let expected = assert["value"].as_str().unwrap_or_default();
                let label = |name: &str| encoding_label(name);
                let own = decode::encoding_name(&case.body, case.header("content-type"));
                let agrees = label(own) == label(expected) || case.body.is_ascii();
                encodings.count(agrees, || format!("{file}: {expected} expected, {own}"));
                continue;
            }
            let expected = match &assert["value"] {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                Value::Array(time) if time.len() == 9 => {
                    let part = |at: usize| time[at].as_u64().unwrap_or(0);
                    let time = format!(
                        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
                        part(0),
                        part(1),
                        part(2),
                        part(3),
                        part(4),
                        part(5)
                    );
                    Timestamp::parse_rfc3339(&time).unwrap().seconds().to_string()
                }
                _ => {
                    beyond_the_model += 1;
                    continue;
                }
            };
            if !is_answerable(target) {
                beyond_the_model += 1;
                continue;
            }
            let answers = document.as_ref().ok().and_then(|document| answer(document, target)).unwrap_or_default();
            let expected_time = httpdate_seconds(&expected);
            let agrees = answers.iter().any(|answer| {
                comparable_html(answer) == comparable_html(&expected)
                    || expected_time.as_ref() == Some(answer)
                    || clean::text(&expected, 99) == *answer
            });
            if !agrees && let Some(reason) = refused(file, &expected) {
                *refusals.entry(reason).or_default() += 1;
                continue;
            }
            tally.count(agrees, || format!("{file}: {expected:?} expected, {answers:?}"));
        }
    }
    tally.print("feedparser asserts");
    encodings.print("encodings");
    println!("beyond our model: {beyond_the_model}");
    for (reason, count) in refusals {
        println!("refused on purpose: {count} ({reason})");
    }
    assert!(tally.percent() >= 90.0, "{:.2} % of feedparser's assertions", tally.percent());
    assert!(encodings.percent() >= 90.0, "{:.2} % of feedparser's encodings", encodings.percent());
}

fn encoding_label(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "us-ascii" | "iso-8859-1" => "windows-1252".into(),
        _ => name,
    }
}

fn httpdate_seconds(text: &str) -> Option<String> {
    let time = httpdate::parse_http_date(text).ok()?;
    Some(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs().to_string())
}

#[test]
fn hostile_units_repeated_end_soon() {
    let url = Url::parse("https://example.org/feed").unwrap();
    let channel = "<rss version='2.0'><channel>";
    for (head, unit) in [
        (channel, "<item/>"),
        (channel, "<item><title>a</title>"),
        (channel, "<a b=\""),
        (channel, "<a xmlns:b='c'>"),
        (channel, "<a xml:base='/b' xml:lang='c'>"),
        ("<rss version='2.0'><channel><a><b><c><d>", "</x>"),
        ("<rss version='2.0'><channel><item><title>", "< "),
        ("<rss version='2.0'><channel><item><title>", "&"),
        ("<rss version='2.0'><channel><item>", "<category>a</category>"),
        ("<rss version='2.0'><channel><item>", "<pubDate>mmm mmm mmm mmm mmm mmm mmm mmm</pubDate>"),
        ("<rss version='2.0'><channel><item><description>", "<![CDATA["),
        ("<rss version='2.0'><channel><item><description>", "<div>"),
        ("<!DOCTYPE rss [<!ENTITY a 'aaaaaaaaaaaaaaaaaaaaaaaaa'>]><rss><channel><item><title>", "&a;"),
        ("<feed xmlns='http://www.w3.org/2005/Atom'><entry><content type='xhtml'>", "<b><p>"),
        ("{\"items\": [", "{\"a\": {}},"),
        ("{\"items\": ", "["),
    ] {
        let body = format!("{head}{}", unit.repeat((256 << 10) / unit.len()));
        effort::check(unit, body.len(), || {
            let read = parse(body.as_bytes(), None, &url);
            assert!(!matches!(read, Err(NotAFeed::ParserFault(_))), "{unit}");
        });
    }
}

#[test]
fn hostile_files_end_in_entries_or_in_a_clear_error() {
    let Some(corpus) = corpus() else { return };
    let mut files: Vec<_> =
        std::fs::read_dir(corpus.join("adversarial")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let url = Url::parse("https://example.org/feed").unwrap();
    for file in files {
        let body = std::fs::read(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let mut shown = String::new();
        effort::check(&name, body.len(), || {
            shown = match parse(&body, None, &url) {
                Ok(document) => {
                    for item in &document.items {
                        for text in [&item.summary, &item.content].into_iter().flatten() {
                            clean::html(text, item.base.as_ref());
                        }
                    }
                    let title = document.items.first().and_then(|item| item.title.clone());
                    format!("{} items, complete: {}, {title:?}", document.items.len(), document.complete)
                }
                Err(fault @ NotAFeed::ParserFault(_)) => panic!("{name}: {fault}"),
                Err(fault) => fault.to_string(),
            };
        });
        println!("{name}: {shown}");
    }
}
