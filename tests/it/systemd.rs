//! The units, as systemd's own tools see them (skipped with a word where systemd is not installed), and what it hands over:
//! credentials.

use std::fs;
use std::process::{Command, Output};

use crate::harness::Home;

const UNIT: &str = include_str!("../../systemd/listend.service");
const SOCKET: &str = include_str!("../../systemd/listend.socket");
/// Above this `systemd-analyze security` finds the service too open.
const MAX_EXPOSURE: f64 = 1.5;

/// Runs `systemd-analyze` with both units, the service's program replaced by the one that was just built.
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
    let socket = directory.path().join("listend.socket");
    fs::write(&socket, SOCKET).unwrap();
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).arg(&unit);
    if arguments.contains(&"verify") {
        // A socket runs nothing, so only its service has an exposure.
        command.arg(&socket);
    }
    Some(command.output().unwrap())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_units_are_understood() {
    let Some(output) = analyze(&["verify", "--man=no"]) else { return };
    let said = text(&output.stderr);
    assert!(output.status.success() && !said.contains("listend."), "{said}");
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

#[test]
fn the_socket_stands_where_the_configuration_says_by_default() {
    let config = listend::config::Config::parse("", None, std::path::Path::new("/etc/listend")).unwrap();
    assert!(SOCKET.contains(&format!("\nListenStream={}\n", config.server.listen)), "{SOCKET}");
}

#[test]
fn tokens_come_as_a_credential() {
    let home = Home::new();
    fs::create_dir(home.path("credentials")).unwrap();
    fs::write(home.path("credentials/tokens"), "first-secret\n\n  second-secret  \n").unwrap();
    let daemon = home.start_with(&[("CREDENTIALS_DIRECTORY", home.path("credentials").as_os_str())]);
    assert_eq!(daemon.get("/listen.atom").status, 401);
    for token in ["first-secret", "second-secret"] {
        assert_eq!(daemon.get_with("/listen.atom", &[("authorization", &format!("Bearer {token}"))]).status, 200);
    }
    daemon.stop();
    fs::remove_file(home.path("credentials/tokens")).unwrap();
    let daemon = home.start_with(&[("CREDENTIALS_DIRECTORY", home.path("credentials").as_os_str())]);
    assert_eq!(daemon.get("/listen.atom").status, 200, "a credential of another name is none of ours");
    daemon.stop();
}
