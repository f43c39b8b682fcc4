//! How fast documents are read and entries cleaned, beside `feed-rs`, a bare `quick-xml` scan and `ammonia` alone, in one
//! run: only what was measured together compares.
//!
//! Reads the feeds over 10 KB of the corpus (`LISTEND_CORPUS`, by default `../shared/corpus`); without it, those that the
//! example `bench` makes.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros make an undocumented main; a bench may fail loudly"
)]

#[path = "../tests/bench/document.rs"]
#[allow(dead_code, reason = "the example uses the rest")]
mod document;
#[path = "../tests/bench/farm.rs"]
#[allow(dead_code, reason = "the example uses the rest")]
mod farm;

use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use farm::Farm;
use listend::feeds::clean::{self, Cleaner};
use listend::feeds::identity::reconcile;
use listend::feeds::parse::parse;
use listend::listen::said::{Channel, Furniture, Hearing, Names, said};
use listend::listen::sites::Sites;
use listend::model::{Change, Document, Feed, FeedId, FeedUrl, Markup, Said, Timestamp};
use url::Url;

/// Made feeds that are read where there are no others.
const MADE: u32 = 60;

/// The well-formed XML feeds over 10 KB that all contestants can read.
fn documents() -> Vec<Vec<u8>> {
    let given = std::env::var_os("LISTEND_CORPUS").map(PathBuf::from);
    let corpus = given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"));
    let expected = std::fs::read_to_string(corpus.join("EXPECT.jsonl")).unwrap_or_default();
    let lines = expected.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let feeds = lines.filter(|line| line["size"].as_u64() > Some(10_000) && line["consensus"].is_object());
    let mut documents: Vec<Vec<u8>> =
        feeds.filter_map(|line| std::fs::read(corpus.join(line["file"].as_str()?)).ok()).collect();
    documents.retain(|body| std::str::from_utf8(body).is_ok() && feed_rs::parser::parse(body.as_slice()).is_ok());
    if documents.is_empty() {
        let farm = Farm { feeds: MADE, hosts: MADE, tls: false, close: false, port: 80 };
        let made = (0..MADE)
            .map(|feed| document::document(&farm, feed, Timestamp::from_seconds(1_795_377_600), &[]).into_bytes());
        // A scan of XML makes nothing of JSON.
        documents.extend(made.filter(|body| body.starts_with(b"<")));
    }
    documents
}

fn scan(body: &[u8]) -> usize {
    let mut reader = quick_xml::Reader::from_str(std::str::from_utf8(body).unwrap());
    reader.config_mut().check_end_names = false;
    reader.config_mut().allow_unmatched_ends = true;
    reader.config_mut().allow_dangling_amp = true;
    let mut events = 0;
    while let Ok(event) = reader.read_event() {
        if event == quick_xml::events::Event::Eof {
            break;
        }
        events += 1;
    }
    events
}

fn reading(criterion: &mut Criterion) {
    let documents = documents();
    let url = Url::parse("https://example.org/feed").unwrap();
    let mut group = criterion.benchmark_group(format!("reading {} feeds", documents.len()));
    group.throughput(Throughput::Bytes(documents.iter().map(|body| body.len() as u64).sum()));
    group.bench_function("listend", |bencher| {
        bencher.iter(|| {
            for body in &documents {
                black_box(parse(body, None, &url).unwrap());
            }
        });
    });
    group.bench_function("feed-rs", |bencher| {
        bencher.iter(|| {
            for body in &documents {
                black_box(feed_rs::parser::parse(body.as_slice()).unwrap());
            }
        });
    });
    group.bench_function("quick-xml scan", |bencher| {
        bencher.iter(|| documents.iter().map(|body| scan(body)).sum::<usize>());
    });
    group.finish();
}

fn cleaning(criterion: &mut Criterion) {
    let url = Url::parse("https://example.org/feed").unwrap();
    let items = documents().into_iter().flat_map(|body| parse(&body, None, &url).unwrap().items);
    let texts = items.filter_map(|item| item.content.or(item.summary));
    let texts: Vec<String> =
        texts.filter_map(|text| if let Markup::Html(html) = text { Some(html) } else { None }).collect();
    for (size, bytes) in [("1 KB", 800..1200), ("5 KB", 4000..6000), ("50 KB", 40_000..60_000)] {
        let texts: Vec<&String> = texts.iter().filter(|html| bytes.contains(&html.len())).collect();
        if texts.is_empty() {
            continue;
        }
        let mut group = criterion.benchmark_group(format!("cleaning {} entries of {size}", texts.len()));
        group.throughput(Throughput::Elements(texts.len() as u64));
        let marked: Vec<Markup> = texts.iter().map(|html| Markup::Html((*html).clone())).collect();
        group.bench_function("listend", |bencher| {
            bencher.iter(|| marked.iter().map(|text| clean::html(text, Some(&url)).as_str().len()).sum::<usize>());
        });
        group.bench_function("ammonia", |bencher| {
            let mut builder = ammonia::Builder::default();
            builder.url_relative(ammonia::UrlRelative::RewriteWithBase(url.clone()));
            bencher.iter(|| texts.iter().map(|html| builder.clean(html).to_string().len()).sum::<usize>());
        });
        group.finish();
    }
}

/// A feed of 20 entries of about 1.5 KB, as a blog has them: 34 KB in all.
fn blog() -> Vec<u8> {
    const WORDS: &str =
        "before with or said is most of its her naïve is me one no many for must bicycle protocol café ";
    let words = |from: usize, count: usize| -> String {
        let words: Vec<&str> = WORDS.split(' ').cycle().skip(from % 17).take(count).collect();
        words.join(" ")
    };
    let items: Vec<String> = (0..20)
        .map(|n| {
            let link = |to: usize| format!("https://blog.example/post/{n}/{to}?utm_source=feed&amp;ref=3835147e{to}");
            let first = format!(
                "<p>{}. See <a href=\"{}\">not</a> &mdash; it&rsquo;s <em>at</em>.</p>",
                words(n, 22), link(n + 1)
            );
            let more: Vec<String> = (0..3)
                .map(|to| format!("<p>{}. See <a href=\"{}\">where</a> &mdash; it&rsquo;s <em>so</em>.</p>\n", words(n + to, 40), link(to)))
                .collect();
            format!(
                "<item>\n<title>Throughput, at years do [0/{n}]</title>\n<link>https://blog.example/post/0/{n}</link>\n\
                 <guid isPermaLink=\"false\">tag:blog.example,2026:0:{n}</guid>\n\
                 <pubDate>Sat, 21 Nov 2026 07:08:{:02} GMT</pubDate>\n<dc:creator><![CDATA[Author 0]]></dc:creator>\n\
                 <category><![CDATA[by]]></category>\n<category><![CDATA[at]]></category>\n\
                 <description><![CDATA[{first}]]></description>\n<content:encoded><![CDATA[{first}\n\
                 <blockquote><p>{}</p></blockquote>\n{}<p><img src=\"https://blog.example/media/{n}.jpg\" width=\"640\" \
                 height=\"322\" alt=\"but\" loading=\"lazy\"></p>\n<ul>\n<li>{}</li>\n<li>{}</li>\n</ul>\n]]></content:encoded>\n</item>\n",
                59 - n, words(n, 10), more.concat(), words(n, 8), words(n, 4)
            )
        })
        .collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<rss version=\"2.0\" \
         xmlns:content=\"http://purl.org/rss/1.0/modules/content/\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\">\n\
         <channel>\n<title>A blog</title>\n<link>https://blog.example/</link>\n<language>en-US</language>\n{}</channel>\n</rss>\n",
        items.concat()
    )
    .into_bytes()
}

/// What becomes of a body of 20 new entries before it is stored, step by step and at once.
fn taking_in(criterion: &mut Criterion) {
    let body = blog();
    let url = Url::parse("https://blog.example/feed").unwrap();
    let now = Timestamp::from_seconds(1_795_379_832);
    let feed = Feed::new(FeedId(1), FeedUrl::parse("https://blog.example/feed").unwrap(), now);
    let (sites, names) = (Sites::default(), Names::default());
    let hearing = Hearing { sites: &sites, names: &names, channel: Channel::Voice };
    let parsed = || parse(black_box(&body), None, &url).unwrap();
    let changes = |document: &Document| {
        let cleaner = Cleaner::new(body.len());
        reconcile(&feed, &[], document, now).changes(feed.id, document, now, |text, base| cleaner.html(text, base))
    };
    let heard = |changes: &[Change]| -> Vec<Said> {
        let entries = changes.iter().filter_map(|change| change.entry.as_ref());
        entries.map(|entry| said(entry, &hearing, &Furniture::default())).collect()
    };

    let document = parsed();
    let texts: Vec<&Markup> = document.items.iter().flat_map(|item| item.summary.iter().chain(&item.content)).collect();
    let changed = changes(&document);
    assert_eq!(changed.len(), 20);
    let mut group = criterion.benchmark_group(format!("taking in 20 entries of {} bytes", body.len()));
    group.bench_function("hash", |bencher| bencher.iter(|| blake3::hash(black_box(&body))));
    group.bench_function("parse", |bencher| bencher.iter(parsed));
    group.bench_function("clean", |bencher| {
        bencher.iter(|| {
            let cleaner = Cleaner::new(body.len());
            texts.iter().map(|text| cleaner.html(text, Some(&url)).as_str().len()).sum::<usize>()
        });
    });
    group.bench_function("compare", |bencher| bencher.iter(|| reconcile(&feed, &[], black_box(&document), now)));
    group.bench_function("compare and clean", |bencher| bencher.iter(|| changes(black_box(&document))));
    group.bench_function("hear", |bencher| bencher.iter(|| heard(black_box(&changed))));
    group.bench_function("all", |bencher| {
        bencher.iter(|| {
            black_box(blake3::hash(black_box(&body)));
            let changes = changes(&parsed());
            let said = heard(&changes);
            (changes, said)
        });
    });
    group.finish();
}

criterion_group!(benches, reading, cleaning, taking_in);
criterion_main!(benches);
