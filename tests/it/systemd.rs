//! The unit file, as systemd's own tools see it. Skips, and says so, where systemd is not installed.

use std::fs;
use std::process::{Command, Output};

const UNIT: &str = include_str!("../../systemd/listend.service");
/// Above this `systemd-analyze security` finds the service too open.
const MAX_EXPOSURE: f64 = 1.5;

/// Runs `systemd-analyze` with the unit, its program replaced by the one that was just built.
fn analyze(arguments: &[&str]) -> Option<Output> {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("SKIPPED: systemd-analyze is not installed");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let unit = directory.path().join("listend.service");
    let started = format!("ExecStart={} run", env!("CARGO_BIN_EXE_listend"));
    assert!(UNIT.contains("\nExecStart=listend run\n"), "the unit starts the program by its bare name");
    fs::write(&unit, UNIT.replace("ExecStart=listend run", &started)).unwrap();
    Some(Command::new("systemd-analyze").args(arguments).arg(&unit).output().unwrap())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_unit_is_understood() {
    let Some(output) = analyze(&["verify", "--man=no"]) else { return };
    let said = text(&output.stderr);
    assert!(output.status.success() && !said.contains("listend.service"), "{said}");
}

#[test]
fn the_unit_exposes_little() {
    let Some(output) = analyze(&["security", "--offline=true", "--no-pager"]) else { return };
    let said = text(&output.stdout);
    let exposure = said.split("Overall exposure level for listend.service: ").nth(1);
    let exposure = exposure.and_then(|rest| rest.split_whitespace().next()).and_then(|level| level.parse::<f64>().ok());
    let exposure = exposure.unwrap_or_else(|| panic!("no level in: {said}{}", text(&output.stderr)));
    assert!(exposure <= MAX_EXPOSURE, "exposure {exposure}: {said}");
}
