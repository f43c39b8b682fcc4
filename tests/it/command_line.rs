//! What the program says when it cannot do what it should: one line that helps, and an exit code.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use crate::harness::{Home, opml, outline, until};
use crate::origin::{Origin, answer};

/// One line on standard error; its text.
fn one_line(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.trim_end().lines().count(), 1, "more or less than one line: {text}");
    assert!(text.starts_with("listend: "), "{text}");
    text
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("it did not exit: {output:?}"))
}

#[test]
fn bad_configuration_ends_with_78() {
    let file = |home: &Home| home.configuration().display().to_string();
    for (toml, means) in [
        ("speed = 3\n", "unknown field `speed`"),
        ("timeout = \"soon\"\n", "fetch.timeout: `soon`"),
        ("concurrency = 0\n", "fetch.concurrency: `0`"),
        ("[server\n", ""),
    ] {
        let home = Home::new().with(toml);
        for command in [&["run"][..], &["check"], &[]] {
            let output = home.run(command);
            let line = one_line(&output);
            assert_eq!(code(&output), 78, "{line}");
            assert!(line.contains(means) && line.contains(&format!("({}:", file(&home))), "{line}");
        }
    }
    let home = Home::new();
    fs::remove_file(home.configuration()).unwrap();
    let output = home.run(&["run"]);
    assert_eq!(code(&output), 78);
    assert!(one_line(&output).contains(&file(&home)));
}

#[test]
fn wrong_usage_ends_with_2() {
    let home = Home::new();
    for arguments in [&["listen"][..], &["run", "--fast"], &["preview"]] {
        assert_eq!(code(&home.run(arguments)), 2, "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["run", "--help"]] {
        assert_eq!(code(&home.run(arguments)), 0, "{arguments:?}");
    }
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let home = Home::new();
    let toml = fs::read_to_string(home.configuration()).unwrap();
    fs::write(home.configuration(), toml.replace("127.0.0.1:0", &address)).unwrap();
    let output = home.run(&["run"]);
    assert_eq!(code(&output), 1);
    assert!(one_line(&output).contains(&address));
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused() {
    let home = Home::new();
    let first = home.start();
    let output = home.run(&["run"]);
    assert_eq!(code(&output), 1);
    let line = one_line(&output);
    assert!(line.contains(&home.path("state").display().to_string()), "{line}");
    assert_eq!(first.get("/readyz").status, 200, "the first goes on");
    first.stop();
}

#[test]
fn a_damaged_database_ends_with_65_and_stays() {
    let home = Home::new();
    home.start().stop();
    let files: Vec<_> = fs::read_dir(home.path("state")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let database = files.iter().max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap();
    let damage = vec![0x5a; fs::metadata(database).unwrap().len() as usize];
    fs::write(database, &damage).unwrap();
    let output = home.run(&["run"]);
    assert_eq!(code(&output), 65, "{output:?}");
    let line = one_line(&output);
    assert!(line.contains(&database.display().to_string()), "{line}");
    assert_eq!(fs::read(database).unwrap(), damage, "it is left as it was found");
}

#[test]
fn a_state_that_cannot_be_written_is_named() {
    let home = Home::new();
    fs::write(home.path("state"), "a file where a directory should be").unwrap();
    let output = home.run(&["run"]);
    assert_eq!(code(&output), 1);
    let line = one_line(&output);
    assert!(line.contains(&home.path("state").display().to_string()), "{line}");
}

#[test]
fn an_unreadable_list_is_a_fault_and_no_end() {
    let home = Home::new();
    home.write_list("desired", &opml(""));
    home.write_list("followers", "this is no OPML");
    let daemon = home.start();
    let fault = until("the fault is reported", || {
        let status = daemon.status();
        let lists = status["lists"].as_array().unwrap();
        let list = lists.iter().find(|list| list["name"] == "followers")?;
        list["fault"].as_str().map(str::to_owned)
    });
    assert!(!fault.is_empty() && !fault.contains('\n'), "{fault}");
    assert_eq!(daemon.get("/readyz").status, 200);
    assert_eq!(daemon.get("/desired.atom").status, 200);
    daemon.stop();
}

#[test]
fn check_names_every_fault_with_file_and_line() {
    let home = Home::new();
    home.write_list("followers", &opml(&outline("Good", "https://good.example/feed")));
    let output = home.run(&["check"]);
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    // Polling every second is accepted, and said to be unwise.
    assert!(said(&output).contains("fetch.min_interval"), "{}", said(&output));

    home.write_list(
        "desired",
        &opml(
            &(outline("Bad", "gopher://old.example/")
                + "<outline text=\"Fine\" xmlUrl=\"https://fine.example/\"/>\n"
                + &outline("Worse", "http://")
                + &outline("Here", "http://127.0.0.1:9/feed")),
        ),
    );
    let output = home.run(&["check"]);
    assert_eq!(code(&output), 1);
    for line in [5, 7, 8] {
        let place = format!("{}:{line}: ", home.list("desired").display());
        assert!(said(&output).contains(&place), "no {place} in: {}", said(&output));
    }
    assert!(!said(&output).contains("opml:6"), "{}", said(&output));
}

#[test]
fn sigterm_ends_it_and_sighup_reads_the_configuration_again() {
    let home = Home::new();
    home.write_list("friends", &opml(&outline("Good", "https://good.example/feed")));
    let daemon = home.start();
    let role = || daemon.status()["lists"][0]["role"].as_str().map(str::to_owned);
    assert_eq!(role().as_deref(), Some("circle"));
    let good = fs::read_to_string(home.configuration()).unwrap();

    fs::write(home.configuration(), format!("{good}\n[roles]\nfriends = \"followers\"\n")).unwrap();
    daemon.signal("HUP");
    until("the role has changed", || (role().as_deref() == Some("followers")).then_some(()));

    fs::write(home.configuration(), format!("{good}\n[roles]\nfriends = \"enemies\"\n")).unwrap();
    daemon.signal("HUP");
    until("the bad configuration was refused", || daemon.log().contains("roles.friends").then_some(()));
    assert_eq!(role().as_deref(), Some("followers"), "the one in force stays");
    assert_eq!(daemon.get("/livez").status, 200);
    daemon.stop();
}

#[test]
fn add_finds_the_feed_and_keeps_the_rest_of_the_list() {
    let origin = Origin::serve(|request| match request.path.as_str() {
        "/" => answer(
            200,
            "Content-Type: text/html\r\n",
            "<!doctype html><html><link rel=alternate type=application/rss+xml href=/feed></html>",
        ),
        "/feed" => answer(
            200,
            "",
            "<rss version='2.0'><channel><title>Ann &amp; Co</title><link>http://ann.example/</link>\
             <item><title>Hi</title></item></channel></rss>",
        ),
        _ => answer(404, "", ""),
    });
    let home = Home::new().allowing(&[origin.address]);
    let page = origin.url("/");
    let feed = origin.url("/feed");
    let daemon = home.start();

    // A list that is missing is made.
    let output = home.run(&["add", &page]);
    assert_eq!(code(&output), 0, "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.lines().count(), 1);
    assert!(said.contains("Ann & Co") && said.contains(&feed) && said.contains("desired.opml"), "{said}");
    let added = format!(
        "<outline type=\"rss\" text=\"Ann &amp; Co\" title=\"Ann &amp; Co\" xmlUrl=\"{feed}\" htmlUrl=\"http://ann.example/\"/>"
    );
    assert!(fs::read_to_string(home.list("desired")).unwrap().contains(&added));
    until("the daemon has noticed", || (daemon.items("/listen.json").len() == 1).then_some(()));

    // Known already; not to be had; no place for it: nothing is written.
    let before = fs::read(home.list("desired")).unwrap();
    for (arguments, exit, reason) in [
        (vec!["add", &page], 1, "already"),
        (vec!["add", &feed, "--folder", "F"], 1, "already"),
        (vec!["add", "http://127.0.0.1:1/"], 1, "allow_addresses"),
        (vec!["add", &page, "--list", "../x"], 2, "--list"),
        (vec!["add", &page, "--folder", " "], 2, "--folder"),
    ] {
        let output = home.run(&arguments);
        assert_eq!(code(&output), exit, "{arguments:?}");
        assert!(one_line(&output).contains(reason), "{output:?}");
        assert_eq!(fs::read(home.list("desired")).unwrap(), before);
    }

    // Through a link, whose target is replaced with its mode; into a folder.
    let real = home.path("real.txt");
    let old = opml("    <outline text=\"F\">\n      <outline text=\"x\"/>\n    </outline>\n");
    fs::write(&real, &old).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&real, home.list("followers")).unwrap();
    let output = home.run(&["add", &feed, "--list", "followers", "--folder", "F"]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(home.list("followers").is_symlink());
    let expected = old.replace("<outline text=\"x\"/>", &format!("<outline text=\"x\"/>\n      {added}"));
    assert_eq!(fs::read_to_string(&real).unwrap(), expected);
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    until("it stands in the folder", || (daemon.get("/followers/f/ann-co.json").status == 200).then_some(()));
    daemon.stop();
}

#[test]
fn the_manual_says_what_the_help_says() {
    let home = Home::new();
    let output = home.run(&["manual", "packaged"]);
    assert_eq!(code(&output), 0, "{output:?}");
    let help = String::from_utf8(home.run(&["--help"]).stdout).unwrap();
    let read =
        |file: &str| fs::read_to_string(home.path("packaged").join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    let page = read("man/listend.1");
    let completions = ["bash/listend.bash", "zsh/_listend", "fish/listend.fish"].map(read);
    let commands = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let commands: Vec<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"run") && !commands.contains(&"manual"), "{commands:?}");
    for command in commands.into_iter().filter(|command| *command != "help") {
        let own = read(&format!("man/listend-{command}.1"));
        let help = String::from_utf8(home.run(&[command, "--help"]).stdout).unwrap();
        for option in help.split_whitespace().filter_map(|word| word.trim_end_matches(',').strip_prefix("--")) {
            assert!(own.contains(&format!("\\-\\-{}", option.replace('-', "\\-"))), "listend-{command}.1: --{option}");
        }
        assert!(page.contains(command) && completions.iter().all(|text| text.contains(command)), "{command}");
    }
    for exit_code in ["0", "1", "2", "65", "78"] {
        assert!(page.contains(&format!("\n.B {exit_code}\n")), "{exit_code}");
    }
}

#[test]
fn a_hostile_title_tells_the_terminal_nothing() {
    let body = r#"{"version":"https://jsonfeed.org/version/1.1","title":"Ann\u001b]0;gone\u0007",
        "items":[{"id":"1","title":"one\u009b2Jtwo\u202e","content_text":"hello"}]}"#;
    let origin = Origin::serve(move |_| answer(200, "Content-Type: application/feed+json\r\n", body));
    let home = Home::new().allowing(&[origin.address]);
    let output = home.run(&["preview", &origin.url("/feed")]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("Ann") && said.contains("two"), "{said}");
    assert!(!said.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']), "{said:?}");
}
