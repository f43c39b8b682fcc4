//! The usual figures of the process, read from `/proc` where there is one.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Ticks of the clock in which Linux tells programs their times: 100 a second on every machine that we run on (`USER_HZ`,
/// time(7)).
const TICKS_A_SECOND: f64 = 100.0;

/// Reads the figures whenever they are asked for. What cannot be read is left out.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        for (name, help, value) in gauges() {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        if let Some(Times { cpu_seconds, .. }) = times() {
            let counter = ConstCounter::new(cpu_seconds);
            let help = "Processor time, of all processors together";
            counter.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}

type Figure = (&'static str, &'static str, f64);

fn gauges() -> Vec<Figure> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let number_of = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    let resident = number_of("VmRSS:").map(|kib| kib * 1024.0);
    let files = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
    let figures = [
        ("process_resident_memory_bytes", "Resident memory", resident),
        ("process_threads", "Threads", number_of("Threads:")),
        ("process_open_fds", "Open files and sockets", files),
        ("process_start_time_seconds", "When it was started, since the Unix epoch", times().map(|times| times.started)),
    ];
    figures.into_iter().filter_map(|(name, help, value)| Some((name, help, value?))).collect()
}

/// What `/proc` tells of the process's time.
struct Times {
    cpu_seconds: f64,
    /// Seconds since the Unix epoch.
    started: f64,
}

fn times() -> Option<Times> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let system = fs::read_to_string("/proc/stat").ok()?;
    let booted: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    times_of(&stat, booted)
}

/// Reads a line of `/proc/PID/stat` (proc(5)); `booted` is when the machine was.
fn times_of(stat: &str, booted: f64) -> Option<Times> {
    // The name, in parentheses, may hold anything; the third field stands behind the last of them.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = |field: usize| fields.split_whitespace().nth(field - 3)?.parse::<f64>().ok();
    let (user, system, since_boot) = (ticks(14)?, ticks(15)?, ticks(22)?);
    Some(Times { cpu_seconds: (user + system) / TICKS_A_SECOND, started: booted + since_boot / TICKS_A_SECOND })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 9 9 20 0 3 0 12345 1000 200 18446744073709551615";
        let times = times_of(stat, 1000.0).expect("it is complete");
        assert!((times.cpu_seconds - 3.0).abs() < 1e-9 && (times.started - 1123.45).abs() < 1e-9);
        assert!(times_of("7 (a) S 1 7", 0.0).is_none());
    }
}
