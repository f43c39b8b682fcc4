//! Three days of the example `month`: no request that a rule forbids, whatever the sites do.

use std::time::Duration;

use crate::month::{Plan, SLEEP, START, live};

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn no_request_is_sent_that_a_rule_forbids() {
    for seed in 0..4 {
        let plan = Plan { feeds: 60, days: 3, seed, outage: HOUR * 20, sleep: HOUR * 40, restarts: HOUR * 60 };
        let report = live(plan);
        assert!(report.broken.values().all(|count| *count == 0), "seed {seed}: {:?}", report.broken);
        assert_eq!(report.blamed, 0, "seed {seed}: failures counted while our own network was down");
        assert!(report.probes > 60, "seed {seed}: {} probes in two hours", report.probes);
        let resumed = START.plus(plan.sleep).plus(SLEEP);
        let (before, after) =
            (report.sent(START.plus(plan.sleep).minus(HOUR * 4), HOUR * 4), report.sent(resumed, HOUR * 4));
        assert!(after * 4 <= before * 5, "seed {seed}: {after} requests in four hours after sleeping, {before} before");
    }
}
