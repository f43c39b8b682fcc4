//! How long does it take to merge the newest 100 entries of a view, and does that depend on how many feeds it has?
//!
//! Merging opens only feeds whose newest entry can still make the page, so everybody should cost little more than a
//! folder. Finding the view is part of it, as in every request for a page that is not kept.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "criterion's macros make an undocumented main; a bench may fail loudly"
)]

mod filled;

use criterion::{Criterion, criterion_group, criterion_main};
use filled::{FEEDS_A_FOLDER, Filled};
use listend::listen::merge;
use listend::listen::page::Query;

const FEEDS: u32 = 5000;
const ENTRIES: u32 = 4;

fn merging(criterion: &mut Criterion) {
    let filled = Filled::new(FEEDS, ENTRIES);
    let bound = filled.live.bound();
    let mut group = criterion.benchmark_group("newest 100");
    for (path, feeds) in [("/desired/street-0", FEEDS_A_FOLDER), ("/listen", FEEDS)] {
        group.bench_function(format!("of {feeds} feeds"), |bencher| {
            bencher.iter(|| {
                let snapshot = filled.store.snapshot().unwrap();
                let page = merge::page(&snapshot, &filled.live, &bound, &filled.view(path), &Query::default()).unwrap();
                assert_eq!(page.entries.len(), Query::DEFAULT_LIMIT);
                page
            });
        });
    }
    let query = Query { per_voice: Some(1), ..Query::default() };
    group.bench_function(format!("of {FEEDS} feeds, one of each voice"), |bencher| {
        bencher.iter(|| {
            let snapshot = filled.store.snapshot().unwrap();
            merge::page(&snapshot, &filled.live, &bound, &filled.view("/listen"), &query).unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, merging);
criterion_main!(benches);
