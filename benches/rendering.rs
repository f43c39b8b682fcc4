//! How long does it take to write a page of 100 entries down, in each of the formats?

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "criterion's macros make an undocumented main; a bench may fail loudly"
)]

mod filled;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use filled::{FEEDS_A_FOLDER, Filled};
use listend::listen::merge;
use listend::listen::page::{Page, Query};
use listend::publish::{Site, atom, html, json, rss};

const FEEDS: u32 = 2 * FEEDS_A_FOLDER;
const ENTRIES: u32 = 4;

fn rendering(criterion: &mut Criterion) {
    let filled = Filled::new(FEEDS, ENTRIES);
    let (bound, snapshot) = (filled.live.bound(), filled.store.snapshot().unwrap());
    let page = merge::page(&snapshot, &filled.live, &bound, &filled.view("/listen"), &Query::default()).unwrap();
    let site = Site {
        base_url: "http://127.0.0.1:8470/".parse().unwrap(),
        hub: None,
        contact_links: true,
        is_keeper: true,
        lists: vec![("Desired".to_owned(), "/desired".to_owned())],
    };
    let mut group = criterion.benchmark_group("100 entries");
    for (format, render) in [
        ("atom", atom::render as fn(&Page, &Site) -> String),
        ("rss", rss::render),
        ("json", json::render),
        ("html", html::river),
    ] {
        group.throughput(Throughput::Bytes(render(&page, &site).len() as u64));
        group.bench_function(format, |bencher| bencher.iter(|| render(&page, &site)));
    }
    group.finish();
}

criterion_group!(benches, rendering);
criterion_main!(benches);
