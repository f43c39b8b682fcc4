//! The example `month`: thirty days of polling and storing a thousand feeds of mixed temper on a clock of its own, in minutes.
//!
//! `cargo run --release --example month [SEED [FEEDS]]` prints what publishers and readers would have seen and what grew
//! from day to day, and ends with 1 where a request was sent that a rule forbids or something grew that may not.

#[path = "../soak/growth.rs"]
mod growth;
#[path = "mod.rs"]
mod month;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use growth::growth;
use listend::model::Timestamp;
use month::keeping::{Day, RETENTION};
use month::sites::{DAY, HOUR, MINUTE, Temper};
use month::{OUTAGE, Plan, Report, SLEEP, START, live};

#[expect(clippy::print_stdout, reason = "the example is for its table")]
fn main() -> ExitCode {
    let argument = |place| std::env::args().nth(place)?.parse::<u64>().ok();
    let seed = argument(1).unwrap_or(7);
    let plan = Plan {
        feeds: argument(2).unwrap_or(1000) as usize,
        days: 30,
        seed,
        outage: DAY * 12 + HOUR * 10,
        sleep: DAY * 20 + HOUR * 14,
        restarts: DAY * 25 + HOUR * 9,
        keeps: true,
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
    let is_bounded = print_days(&report, plan.feeds);
    let forbidden: usize = report.broken.values().sum();
    if forbidden == 0 && report.blamed == 0 && is_bounded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Memory may grow by so much a day, in MiB, as far as can be told from noise: 1 MiB an hour would be 24.
const MAX_MIB_A_DAY: f64 = 1.0;
/// Bytes that an entry takes, as the operator's page has it.
const ENTRY_BYTES: f64 = 1536.0;
/// Bytes that is remembered of an entry that retention took, for 90 days, so that it does not come twice.
const IDENTITY_BYTES: f64 = 128.0;

/// Prints what there was at the end of each fifth day; whether it stayed within its bounds.
#[expect(clippy::print_stdout, reason = "the example is for its table")]
fn print_days(report: &Report, feeds: usize) -> bool {
    println!(
        "\n{:>5} {:>10} {:>10} {:>10} {:>12} {:>12} {:>10} {:>6}",
        "day", "stored", "taken", "kept", "database MiB", "of at most", "memory MiB", "files"
    );
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    // Retention leaves each feed so many at most.
    let kept_at_most = feeds as f64 * f64::from(RETENTION.entries_per_feed);
    let bound = |day: &Day| kept_at_most.mul_add(ENTRY_BYTES, day.remembered as f64 * IDENTITY_BYTES);
    for (number, day) in report.days.iter().enumerate().filter(|(number, _)| (number + 1) % 5 == 0) {
        println!(
            "{:>5} {:>10} {:>10} {:>10} {:>12.1} {:>12.1} {:>10.1} {:>6}",
            number + 1,
            day.stored,
            day.taken,
            day.stored - day.taken,
            mib(day.database_bytes as f64),
            mib(bound(day)),
            day.memory_mib,
            day.descriptors
        );
    }
    let half = &report.days[report.days.len() / 2..];
    let daily = |figure: fn(&Day) -> f64| growth(half.iter().map(figure).enumerate().map(|(day, y)| (day as f64, y)));
    let memory = daily(|day| day.memory_mib);
    println!(
        "in the second half, a day: memory {memory} MiB, database {} MiB, entries kept {}, open files {}",
        daily(|day| day.database_bytes as f64 / f64::from(1 << 20)),
        daily(|day| (day.stored - day.taken) as f64),
        daily(|day| day.descriptors as f64),
    );
    let is_within = |day: &Day| day.beyond == 0 && day.database_bytes as f64 <= bound(day);
    memory.slope - 2.0 * memory.error < MAX_MIB_A_DAY && report.days.iter().all(is_within)
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
