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
use listend::feeds::clean;
use listend::feeds::parse::parse;
use listend::model::{Markup, Timestamp};
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

criterion_group!(benches, reading, cleaning);
criterion_main!(benches);
