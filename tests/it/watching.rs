//! What programs watch the daemon by: `/metrics`, the page about it, and the alert rules and the dashboard that rest on it.
//! What needs Prometheus' own tools is skipped with a word where they are not installed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::harness::{Daemon, Home, fetch, opml, outline, until, until_within};
use crate::origin::{Origin, answer};

const PAGE: &str = include_str!("../../docs/watching.md");
const RULES: &str = include_str!("../../config/prometheus/alerts.yml");
const DASHBOARD: &str = include_str!("../../config/grafana/listend.json");

/// A feed with so many entries.
fn document(entries: u32) -> String {
    let items = (1..=entries).map(|n| format!("<item><guid>{n}</guid><title>Entry {n}</title></item>"));
    format!("<rss version=\"2.0\"><channel><title>T</title>{}</channel></rss>", items.collect::<String>())
}

/// A metric's kind, and the labels of its samples.
type Metric = (String, BTreeSet<String>);

/// All metrics of a daemon, named as its samples are but for what histograms append.
fn metrics(text: &str) -> BTreeMap<String, Metric> {
    let mut metrics = BTreeMap::new();
    let mut family = String::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            family = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
            metrics.insert(family.clone(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((_, labels)) = line.split_once('{').filter(|_| !line.starts_with('#')) {
            let names = labels.split("=\"").map(|part| part.rsplit([',', '{', '"']).next().unwrap());
            let names: Vec<&str> = names.collect();
            let names = names[..names.len() - 1].iter().filter(|name| **name != "le");
            metrics.get_mut(&family).unwrap().1.extend(names.map(|name| (*name).to_owned()));
        }
    }
    metrics
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("listend_")).map(str::to_owned).collect()
}

/// The value of a metric without labels, or of one sample written with them.
fn value(daemon: &Daemon, sample: &str) -> f64 {
    let text = daemon.get("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')).map(str::to_owned);
    line.unwrap_or_else(|| panic!("no {sample} in: {text}")).parse().unwrap()
}

fn expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let written = targets.map(|target| target["expr"].as_str().unwrap());
    written.map(|expression| expression.replace("$__rate_interval", "5m").replace("$job", "listend")).collect()
}

#[test]
fn the_page_tells_of_every_metric() {
    let daemon = Home::new().start();
    daemon.get("/listen.atom");
    let real = metrics(&daemon.get("/metrics").text());
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `listend_"));
    let told: BTreeMap<String, Metric> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let labels = cells[2].split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
            assert!(cells[3].len() > 4, "{row}");
            (format!("listend_{}", cells[0].trim_end_matches('`')), (cells[1].to_owned(), labels))
        })
        .collect();
    assert_eq!(told, real);
}

#[test]
fn rules_and_dashboard_ask_for_metrics_that_there_are() {
    let daemon = Home::new().start();
    daemon.get("/listen.atom");
    let mut real = BTreeSet::new();
    for (name, (kind, _)) in metrics(&daemon.get("/metrics").text()) {
        match kind.as_str() {
            "histogram" => real.extend(["bucket", "count", "sum"].map(|end| format!("{name}_{end}"))),
            _ => _ = real.insert(name),
        }
    }
    let asked: BTreeSet<String> = expressions().iter().flat_map(|expression| named(expression)).collect();
    assert!(asked.len() > 15, "{asked:?}");
    for name in asked.union(&named(RULES)) {
        assert!(real.contains(name), "{name} is asked for, and nobody counts it");
    }
}

#[test]
fn what_is_looked_up_is_true() {
    let origin = Origin::serve(|_| answer(200, "", document(3)));
    let home = Home::new().allowing(&[origin.address]).with("[backup]\ndirectory = \"backup\"");
    home.write_list("followers", &opml(&outline("A feed", &origin.url("/feed"))));
    home.write_list("desired", "<opml");
    let daemon = home.start();
    until("the feed was read", || (value(&daemon, "listend_feeds{state=\"ok\"}") > 0.5).then_some(()));
    assert!((value(&daemon, "listend_entries_total") - 3.0).abs() < 0.1);
    assert!((value(&daemon, "listend_lists") - 2.0).abs() < 0.1);
    assert!((value(&daemon, "listend_lists_unreadable") - 1.0).abs() < 0.1);
    assert!(value(&daemon, "listend_http_connections") > 0.5, "the one that asks is open");
    assert!(value(&daemon, "listend_store_bytes") >= 4096.0);
    assert!(value(&daemon, "listend_process_resident_memory_bytes") > 1e6);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    let started = value(&daemon, "listend_process_start_time_seconds");
    assert!((now - started).abs() < 600.0, "started at {started}, and it is {now}");
    let spent = value(&daemon, "listend_process_cpu_seconds_total");
    assert!((0.0..600.0).contains(&spent), "{spent} s of processor time");
    until("a backup was made", || (value(&daemon, "listend_backup_timestamp_seconds") > now - 600.0).then_some(()));
}

#[test]
fn the_first_asking_of_many_feeds_is_told() {
    let origin = Origin::serve(|request| {
        if request.path.ends_with('7') { answer(404, "", String::new()) } else { answer(200, "", document(1)) }
    });
    let home = Home::new().allowing(&[origin.address]);
    let feeds: String = (0..120).map(|n| outline(&format!("Feed {n}"), &origin.url(&format!("/{n}")))).collect();
    home.write_list("followers", &opml(&feeds));
    let daemon = home.start();
    let told = |what: &str| daemon.log().contains(what).then_some(());
    until("it begins", || told("many new feeds: each host is asked for one after the other feeds=120"));
    until("it is over", || told("all new feeds were asked feeds=120 failing=12"));
}

/// A file of the project.
fn project(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

/// Runs `promtool` beside the rules; `None`, with a word, where it is not installed.
fn promtool(arguments: &[&str]) -> Option<Output> {
    let output = Command::new("promtool").args(arguments).current_dir(project("config/prometheus")).output();
    if output.is_err() {
        eprintln!("SKIPPED: promtool is not installed");
    }
    output.ok()
}

#[test]
fn promtool_finds_no_fault() {
    for arguments in [
        &["check", "config", "prometheus.yml"],
        &["check", "rules", "alerts.yml"],
        &["test", "rules", "alerts.test.yml"],
    ] {
        let Some(output) = promtool(arguments) else { return };
        let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("SUCCESS"), "{arguments:?}: {said}");
    }
    // Each rule has a case of its own.
    let cases = fs::read_to_string(project("config/prometheus/alerts.test.yml")).unwrap();
    let alerts: Vec<&str> = RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10);
    for alert in alerts {
        assert!(cases.contains(&format!("- name: {alert}\n")), "{alert} was never seen to fire");
    }
}

/// A Prometheus of our own; ended when it is dropped.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// With the shipped configuration but for the address and a file with a token, Prometheus reads the metrics, and finds an
/// answer to every question of the rules and the dashboard.
#[test]
fn prometheus_reads_it() {
    let origin = Origin::serve(|_| answer(200, "", document(3)));
    let home = Home::new().allowing(&[origin.address]).serving("tokens = [\"a secret\"]");
    home.write_list("followers", &opml(&outline("A feed", &origin.url("/feed"))));
    let daemon = home.start();
    let own = home.path("prometheus");
    fs::create_dir(&own).unwrap();
    fs::write(own.join("token"), "a secret\n").unwrap();
    fs::write(own.join("alerts.yml"), RULES).unwrap();
    let shipped = fs::read_to_string(project("config/prometheus/prometheus.yml")).unwrap();
    let address = daemon.url("").trim_start_matches("http://").to_owned();
    let config = [
        ("127.0.0.1:8470", address.as_str()),
        ("# authorization:", "authorization:"),
        ("#   credentials_file: /etc/prometheus/listend-token", "  credentials_file: token"),
        ("scrape_interval: 15s", "scrape_interval: 1s"),
    ]
    .iter()
    .fold(shipped, |config, (from, to)| {
        assert!(config.contains(from), "{from}");
        config.replace(from, to)
    });
    fs::write(own.join("prometheus.yml"), format!("global:\n  evaluation_interval: 1s\n{config}")).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let started = Command::new("prometheus")
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", &format!("--web.listen-address={free}")])
        .current_dir(&own)
        .stdout(Stdio::null())
        .stderr(fs::File::create(own.join("log")).unwrap())
        .spawn();
    let Ok(started) = started else {
        eprintln!("SKIPPED: prometheus is not installed");
        return;
    };
    let _prometheus = Prometheus(started);
    let ask = |path: &str| -> Option<Value> {
        let answer = fetch(&format!("http://{free}{path}"), &[]).ok()?;
        Some(serde_json::from_slice(&answer.body).unwrap_or_default())
    };
    let query = |expression: &str| {
        let encoded: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let said = ask(&format!("/api/v1/query?query={encoded}")).unwrap_or_default();
        assert!(said["status"] == "success" || said.is_null(), "{expression}: {said}");
        said["data"]["result"].as_array().cloned().unwrap_or_default()
    };
    let (_, took) = until_within(Duration::from_mins(1), "it was read", || {
        query("listend_entries_total{job=\"listend\"} == 3").pop()
    });
    eprintln!("Prometheus had read it after {took:?}");
    assert_eq!(query("up{job=\"listend\"}")[0]["value"][1], "1");
    for expression in expressions() {
        query(&expression);
    }
    let judged = until("the rules were judged", || {
        let rules = ask("/api/v1/rules")?["data"]["groups"][0]["rules"].as_array()?.clone();
        rules.iter().all(|rule| rule["health"] == "ok").then_some(rules.len())
    });
    assert_eq!(judged, RULES.matches("- alert: ").count());
}
