//! Who is let in, over which socket, and that slow clients keep nobody else waiting.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use listend::model::Timestamp;

use crate::harness::{Answer, Daemon, Home, PATIENCE, opml, outline, until};
use crate::village::origin::{Origin, now};
use crate::village::site::{Format, Post, Site};

#[test]
fn what_is_open_and_what_needs_a_token() {
    let start = |server: &str| {
        let home = Home::new().serving(server);
        home.write_list("followers", &opml(&outline("Ann", "http://127.0.0.1:1/feed")));
        let daemon = home.start();
        (home, daemon)
    };
    let (_first, closed) = start("tokens = [\"first\", \"t\"]");
    let (_second, public) = start("tokens = [\"t\"]\npublic = true");
    let front = closed.get("/?token=t").text();
    let style = front.split('"').find(|part| part.contains(".css")).expect("a style sheet");
    let style = format!("/{}", style.rsplit('/').next().unwrap());

    // Without a token, with one, and without one where the daemon is public.
    let always = (200, 200, 200);
    let when_public = (401, 200, 200);
    let never = (401, 200, 401);
    let (nothing, secret_nonsense) = ((401, 404, 404), (401, 400, 401));
    let mut table = vec![
        ("/livez", always),
        ("/readyz", always),
        (style.as_str(), always),
        ("/", when_public),
        ("/listen", when_public),
        ("/listen.atom", when_public),
        ("/listen.rss", when_public),
        ("/listen.json", when_public),
        ("/listen.html", when_public),
        ("/listen.opml", when_public),
        ("/followers.atom", when_public),
        ("/followers/ann.atom", when_public),
        ("/nobody.atom", nothing),
        ("/status", never),
        ("/status.json", never),
        ("/metrics", never),
        ("/voices", never),
        ("/health.atom", never),
        ("/answered/nothing", secret_nonsense),
    ];
    let keepers = ["mutual", "mentions", "thanks", "neglected", "quiet", "conversations", "newcomers", "bridges"];
    let keepers: Vec<String> = keepers.map(|view| format!("/{view}.atom")).into();
    table.extend(keepers.iter().map(|path| (path.as_str(), never)));
    let bearer = [("authorization", "Bearer t")];
    for (path, expected) in table {
        let statuses = (closed.get(path).status, closed.get_with(path, &bearer).status, public.get(path).status);
        assert_eq!(statuses, expected, "{path}");
        for (daemon, headers) in [(&closed, &bearer[..]), (&public, &[])] {
            let answer = daemon.get_with(path, headers);
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
            if answer.header("content-type").starts_with("text/html") {
                assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
                assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
            }
        }
    }
    // Neither a beginning nor a longer text is the token.
    for wrong in ["", "f", "firs", "firstt", "tt", "T"] {
        assert_eq!(closed.get(&format!("/listen?token={wrong}")).status, 401, "{wrong}");
    }
    closed.stop();
    public.stop();
}

fn over(socket: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn on_socket(socket: &Path) -> Home {
    let home = Home::new();
    let toml = fs::read_to_string(home.configuration()).unwrap();
    let listen = format!("listen = \"unix:{}\"", socket.display());
    fs::write(home.configuration(), toml.replace("listen = \"127.0.0.1:0\"", &listen)).unwrap();
    home
}

#[test]
fn a_unix_socket_is_the_daemons_while_it_lives() {
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("http.sock");
    let home = on_socket(&socket);
    let daemon = home.start();
    let found = fs::symlink_metadata(&socket).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o660);
    assert!(over(&socket, "/status.json").starts_with("HTTP/1.1 200"), "who reaches it is the keeper");

    let refused = on_socket(&socket).run(&["run"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("something listens there already"), "{said}");
    assert!(over(&socket, "/livez").starts_with("HTTP/1.1 200"), "and the first still answers");

    daemon.kill();
    assert!(socket.exists(), "nobody could remove it");
    let daemon = home.start();
    assert!(over(&socket, "/livez").starts_with("HTTP/1.1 200"));
    daemon.stop();
    assert!(!socket.exists());
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("notes");
    fs::write(&file, "mine").unwrap();
    assert_eq!(on_socket(&file).run(&["run"]).status.code(), Some(1));
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn slow_clients_keep_nobody_else_waiting() {
    let home = Home::new();
    home.write_list("followers", &opml(&outline("Ann", "http://127.0.0.1:1/feed")));
    let daemon = home.start();
    let url = daemon.url("/");
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut slow: Vec<TcpStream> = (0..200)
        .map(|client| {
            let mut stream = TcpStream::connect(address).unwrap();
            match client % 4 {
                0 => {}
                1 => stream.write_all(b"GET /listen HTTP/1.1\r\nHost: loc").unwrap(),
                2 => stream.write_all(b"G").unwrap(),
                // Asks again and again, and reads nothing.
                _ => stream.write_all(&b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50)).unwrap(),
            }
            stream
        })
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                for _ in 0..5 {
                    // Within the client's patience, which is not endless.
                    assert_eq!(daemon.get("/listen.atom").status, 200);
                }
            });
        }
    });
    // Who never finished a head was let go.
    for (client, stream) in slow.iter_mut().enumerate().filter(|(client, _)| client % 4 < 3) {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "client {client}"),
        }
        assert!(!String::from_utf8_lossy(&rest).starts_with("HTTP/1.1 200"));
    }
    daemon.stop();
}

#[test]
fn a_body_that_nobody_wants_still_gets_its_answer() {
    let home = Home::new().with("[webmention]\nenabled = true");
    home.write_list("followers", &opml(&outline("Ann", "http://127.0.0.1:1/feed")));
    let daemon = home.start();
    let url = daemon.url("/");
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let name = "0".repeat(32);
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let piece = "x".repeat(40_000);
    for (method, path, headers, status) in [
        ("POST", format!("/answered/{name}"), format!("{form}Origin: https://evil.example\r\n"), 403),
        ("POST", format!("/answered/{name}"), "Content-Type: text/plain\r\n".to_owned(), 415),
        ("POST", format!("/answered/{name}"), form.to_owned(), 413),
        ("POST", "/webmention".to_owned(), form.to_owned(), 413),
        ("POST", "/websub/nobody".to_owned(), String::new(), 410),
        ("PUT", "/listen.atom".to_owned(), String::new(), 405),
        ("POST", "/".to_owned(), "Host: evil.example\r\n".to_owned(), 405),
    ] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = if headers.contains("Host:") { "" } else { "Host: localhost\r\n" };
        write!(stream, "{method} {path} HTTP/1.1\r\n{host}{headers}Content-Length: 400000\r\n\r\n").unwrap();
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(10));
            stream.write_all(piece.as_bytes()).unwrap_or_else(|error| panic!("{method} {path} {headers:?}: {error}"));
        }
        // The connection goes on, too.
        write!(stream, "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap_or_else(|error| panic!("{method} {path} {headers:?}: {error}"));
        assert!(answers.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path} {headers:?}: {answers}");
        assert!(answers.ends_with("alive\n"), "{method} {path} {headers:?}: {answers}");
    }
    // Who waits for a sign is told at once, and sends nothing.
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "PUT /listen.atom HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 400000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    daemon.stop();
}

/// A post whose words do not compress well.
fn long_post(number: u64, at: Timestamp) -> Post {
    let words: Vec<String> = (0..40_u64)
        .map(|word| (number * 40 + word + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
        .map(|word| format!("{word:x}"))
        .collect();
    Post::new(&format!("p{number}"), &format!("Post {number}"), &format!("<p>{}</p>", words.join(" ")), at)
}

/// How many pages the daemon has in files.
fn filed(daemon: &Daemon) -> usize {
    let files = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
    let targets = files.filter_map(|file| fs::read_link(file.unwrap().path()).ok());
    targets.filter(|target| target.to_string_lossy().contains("listend-page")).count()
}

#[test]
fn a_page_that_many_ask_for_is_the_same_each_time_until_it_changes() {
    let origin = Arc::new(Origin::start().unwrap());
    let site = Site::open(&origin, "/ann", "Ann", "She talks", Format::Atom);
    let start = now().minus(Duration::from_hours(24));
    for number in 0..60 {
        site.publish(long_post(number, start.plus(Duration::from_secs(number))));
    }
    let home = Home::new().allowing(&[origin.address()]);
    home.write_list("followers", &opml(&outline("Ann", &site.feed())));
    let daemon = home.start();
    let ask = || -> Answer { daemon.get_with("/listen.atom", &[("accept-encoding", "gzip")]) };
    for (round, newest) in ["Post 59", "Post 60", "Post 61"].into_iter().enumerate() {
        until("the newest entry is there", || daemon.get("/listen.atom").text().contains(newest).then_some(()));
        let first = ask();
        assert_eq!(first.header("content-encoding"), "gzip");
        for _ in 0..40 {
            let again = ask();
            assert_eq!((again.header("etag"), again.body == first.body), (first.header("etag"), true));
            assert_eq!(daemon.get_with("/listen.atom", &[("if-none-match", first.header("etag"))]).status, 304);
        }
        // It was asked for often. A connection that nothing more comes over may hold the one before for some seconds.
        until("it is in a file, and no other", || (filed(&daemon) == 1).then_some(()));
        let mut whole = String::new();
        flate2::read::GzDecoder::new(first.body.as_slice()).read_to_string(&mut whole).unwrap();
        assert_eq!(whole, daemon.get("/listen.atom").text());
        site.publish(long_post(60 + round as u64, start.plus(Duration::from_hours(1 + round as u64))));
    }
    daemon.stop();
}
