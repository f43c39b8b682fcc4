//! The example `month`: thirty days of polling a thousand feeds of mixed temper on a clock of its own, in seconds.
//!
//! `cargo run --release --example month [SEED]` prints what publishers and readers would have seen, and ends with 1 where
//! a request was sent that a rule forbids.

#[path = "mod.rs"]
mod month;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use listend::model::Timestamp;
use month::sites::{DAY, HOUR, MINUTE, Temper};
use month::{OUTAGE, Plan, Report, SLEEP, START, live};

#[expect(clippy::print_stdout, reason = "the example is for its table")]
fn main() -> ExitCode {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let plan = Plan {
        feeds: 1000,
        days: 30,
        seed,
        outage: DAY * 12 + HOUR * 10,
        sleep: DAY * 20 + HOUR * 14,
        restarts: DAY * 25 + HOUR * 9,
    };
    let report = live(plan);
    println!(
        "{:<12} {:>6} {:>10} {:>12} {:>10} {:>10}",
        "temper", "feeds", "requests", "a feed, day", "median", "95 %"
    );
    for (temper, _) in Temper::SHARES {
        println!("{}", row(&report, temper, plan.days));
    }
    println!("\n{} requests in {} days", report.requests.len(), plan.days);

    let resumed = START.plus(plan.sleep).plus(SLEEP);
    let hours = |from: Timestamp| (0..6).map(|hour| report.sent(from.plus(HOUR * hour), HOUR)).collect::<Vec<_>>();
    println!("\nasleep for an hour; requests in each hour after resuming, and a day before:");
    println!("  {:?}\n  {:?}", hours(resumed), hours(resumed.minus(DAY)));
    let restarts = START.plus(plan.restarts);
    let early = report.broken["before due"];
    println!(
        "ten restarts in five minutes: {} requests in these, {} in the five minutes before, {early} before their time",
        report.sent(restarts, MINUTE * 5),
        report.sent(restarts.minus(MINUTE * 5), MINUTE * 5),
    );
    let outage = START.plus(plan.outage);
    println!(
        "our own network down for two hours: {} requests, {} feeds blamed; in the hour after it {}, a day before {}",
        report.sent(outage, OUTAGE),
        report.blamed,
        report.sent(outage.plus(OUTAGE), HOUR),
        report.sent(outage.plus(OUTAGE).minus(DAY), HOUR),
    );
    println!("\nrequests that a rule forbids:");
    for (rule, count) in &report.broken {
        println!("  {count:>5} {rule}");
    }
    let forbidden: usize = report.broken.values().sum();
    if forbidden == 0 && report.blamed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn row(report: &Report, temper: Temper, days: u32) -> String {
    let requests: Vec<_> = report.requests.iter().filter(|(_, _, other)| *other == temper).collect();
    let feeds = requests.iter().map(|(_, feed, _)| *feed).collect::<BTreeSet<_>>().len();
    let a_day = requests.len() as f64 / feeds.max(1) as f64 / f64::from(days);
    let mut delays = report.delays.get(&temper).cloned().unwrap_or_default();
    delays.sort_unstable();
    let at = |share: f64| {
        let delay = delays.get(((delays.len() as f64 * share) as usize).min(delays.len().saturating_sub(1)));
        delay.map_or("-".to_owned(), |delay| {
            let minutes = Duration::as_secs(delay) / 60;
            format!("{} h {:02}", minutes / 60, minutes % 60)
        })
    };
    format!(
        "{:<12} {feeds:>6} {:>10} {a_day:>12.1} {:>10} {:>10}",
        format!("{temper:?}"),
        requests.len(),
        at(0.5),
        at(0.95)
    )
}
