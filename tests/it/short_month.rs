//! Three days of the example `month`: no request that a rule forbids, whatever the sites do, and retention keeps what is
//! stored within its bound.

use std::time::Duration;

use crate::month::{Plan, SLEEP, START, live};

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn no_request_is_sent_that_a_rule_forbids() {
    for seed in 0..4 {
        let plan = Plan {
            feeds: 60,
            days: 3,
            seed,
            outage: HOUR * 20,
            sleep: HOUR * 40,
            restarts: HOUR * 60,
            keeps: seed == 0,
        };
        let report = live(plan);
        assert!(report.broken.values().all(|count| *count == 0), "seed {seed}: {:?}", report.broken);
        assert_eq!(report.blamed, 0, "seed {seed}: failures counted while our own network was down");
        assert!(report.probes > 60, "seed {seed}: {} probes in two hours", report.probes);
        if let Some(last) = report.days.last() {
            assert!(report.days.len() == 3 && report.days.iter().all(|day| day.beyond == 0), "seed {seed}: {last:?}");
            assert!(last.stored > 1000 && last.taken > 100 && last.remembered <= last.taken, "seed {seed}: {last:?}");
            eprintln!(
                "seed {seed}: {} of {} entries kept in {} KiB; {:.0} MiB of memory, {} files open",
                last.stored - last.taken,
                last.stored,
                last.database_bytes >> 10,
                last.memory_mib,
                last.descriptors
            );
        }
        assert_eq!(report.days.is_empty(), seed > 0);
        let resumed = START.plus(plan.sleep).plus(SLEEP);
        let (before, after) =
            (report.sent(START.plus(plan.sleep).minus(HOUR * 4), HOUR * 4), report.sent(resumed, HOUR * 4));
        assert!(after * 4 <= before * 5, "seed {seed}: {after} requests in four hours after sleeping, {before} before");
    }
}
