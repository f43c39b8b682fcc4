//! `listend status`, asked of a daemon that runs and of one that does not.

use std::fs;
use std::process::Output;

use crate::harness::{Home, opml, outline, until};
use crate::origin::{Origin, answer};

const FEED: &str = "<rss version='2.0'><channel><title>Kiln Lane</title><item><guid>1</guid><title>One</title></item>\
                    </channel></rss>";

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// Replaces something in the configuration file.
fn reconfigure(home: &Home, from: &str, to: &str) {
    let written = fs::read_to_string(home.configuration()).unwrap();
    assert!(written.contains(from), "{from} is not in {written}");
    fs::write(home.configuration(), written.replace(from, to)).unwrap();
}

#[test]
fn a_running_daemon_says_how_it_is_to_people_and_programs() {
    let origin = Origin::serve(|request| match request.path.as_str() {
        "/good" => answer(200, "Content-Type: application/rss+xml\r\n", FEED.as_bytes()),
        _ => answer(404, "", "nothing"),
    });
    let home = Home::new().allowing(&[origin.address]).serving("tokens = [\"a secret\"]");
    home.write_list(
        "followers",
        &opml(&(outline("Good", &origin.url("/good")) + &outline("Gone", &origin.url("/gone")))),
    );
    let daemon = home.start();
    let port = daemon.url("").trim_end_matches('/').rsplit(':').next().unwrap().to_owned();
    reconfigure(&home, "127.0.0.1:0", &format!("127.0.0.1:{port}"));
    let said = until("both feeds were asked", || {
        let output = home.run(&["status"]);
        let said = text(&output.stdout);
        (code(&output) == 0 && said.contains("2 feeds: 1 ok, 1 backoff")).then_some(said)
    });
    assert!(said.contains("followers") && said.contains("ready, running since"), "{said}");
    assert!(said.contains(&format!("backoff  {}: ", origin.url("/gone"))), "{said}");
    assert!(!said.contains('\x1b'), "no colours where nobody looks at a terminal: {said}");
    let json: serde_json::Value = serde_json::from_slice(&home.run(&["status", "--json"]).stdout).unwrap();
    assert_eq!(json["lists"][0]["feeds"], 2);
    reconfigure(&home, "a secret", "another");
    let refused = home.run(&["status"]);
    assert_eq!(code(&refused), 1);
    assert!(text(&refused.stderr).contains("server.tokens"), "{}", text(&refused.stderr));
}

#[test]
fn it_is_asked_over_a_unix_socket_and_missed_when_it_is_not_there() {
    let home = Home::new();
    let socket = home.path("http.sock");
    reconfigure(&home, "127.0.0.1:0", &format!("unix:{}", socket.display()));
    let missed = home.run(&["status"]);
    let said = text(&missed.stderr);
    assert_eq!(code(&missed), 1);
    assert!(said.starts_with("listend: no status from the daemon at unix:") && said.lines().count() == 1, "{said}");
    let daemon = home.launch();
    let said = until("the daemon answers", || {
        let output = home.run(&["status"]);
        (code(&output) == 0).then(|| text(&output.stdout))
    });
    assert!(said.contains("0 feeds: none"), "{said}");
    daemon.kill();
}
