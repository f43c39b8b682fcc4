//! Every page for people in each of its states, as a browser shows it: on a phone and at a desk, light and dark.
//!
//! Chromium opens them and axe-core judges them (`tests/axe/open.mjs`). Skips, and says so, where one of them is absent;
//! `tests/run` installs them. With `LISTEND_PICTURES=DIR` it leaves each page there, and
//! a picture of each view of it.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use listend::publish::html;

mod crowd;
mod states;

/// What the daemon tells a browser of its pages; what breaks it shows in the console.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// The views of one page: two sizes, light and dark.
const VIEWS: usize = 4;

/// Page by path.
type Pages = BTreeMap<String, String>;

#[test]
fn every_page_in_every_state_is_for_everybody() {
    let pages = states::all();
    let Some(mut browser) = browser() else { return };
    let origin = serve(pages.clone());
    browser.arg(&origin);
    if let Some(directory) = env::var_os("LISTEND_PICTURES") {
        fs::create_dir_all(&directory).unwrap();
        for (path, page) in &pages {
            fs::write(Path::new(&directory).join(format!("{}.html", &path[1..])), page).unwrap();
        }
        browser.arg(directory);
    }
    let mut browser = browser.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut paths = browser.stdin.take().unwrap();
    for path in pages.keys() {
        writeln!(paths, "{path}").unwrap();
    }
    drop(paths);
    let output = browser.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let looked = format!("{} views\n", pages.len() * VIEWS);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said, looked, "faults of pages");
}

#[test]
fn no_page_lets_a_text_become_markup() {
    for (path, page) in states::all() {
        assert!(!page.contains("<script"), "{path} has a script");
        assert!(!page.contains("<img") && !page.contains("style=\""), "{path} loads or dresses by itself");
        for href in page.split(" href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let is_known = ["/", "#", "http://", "https://", "mailto:"].iter().any(|start| href.starts_with(start));
            assert!(is_known && !href.starts_with("//"), "{path} leads to {href}");
        }
        let ids: Vec<_> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let mut once = ids.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), ids.len(), "{path} has an id twice: {ids:?}");
    }
}

#[test]
fn a_public_reader_is_shown_no_way_to_what_is_private() {
    let private = ["/voices\"", "/thanks", "/neglected", "/quiet", "/bridges", "/mentions", "/answered/", "/newcomers"];
    for (path, page) in states::all().into_iter().filter(|(path, _)| path.starts_with("/public")) {
        for way in private {
            assert!(!page.contains(&format!("href=\"{way}")), "{path} leads to {way}");
        }
    }
}

#[test]
fn pages_say_what_is_to_be_done() {
    let pages = states::all();
    for (path, wanted) in [
        ("/today", "Five people to answer today"),
        ("/today", "<p class=\"cause\">Spoke of you</p>"),
        ("/today", "<a class=\"button\" href=\"https://bench-weekly.example/0\" rel=\"noreferrer\">Say thanks<"),
        ("/today", "href=\"https://quay-street.example/\" rel=\"noreferrer\">Say hello<"),
        ("/today", "href=\"https://outreach-cafe.example/2\" rel=\"noreferrer\">Answer<"),
        ("/today", ">Read and comment<"),
        ("/today", ">Welcome back<"),
        ("/today", "Waiting since <time datetime=\"2026-04-03T01:30:00Z\">3 April 2026</time>, 234 days"),
        ("/today", ">2 more are owed thanks<"),
        ("/today", "11 of your 26 posts of the last 90 days point at others."),
        ("/today-1", "One person to answer today"),
        ("/today-hostile", "&lt;script&gt;"),
        ("/today-all-answered", "All answered"),
        ("/today-all-answered", "href=\"/neglected\""),
        ("/today-nobody-listed", "followers.opml"),
        ("/today-first-round", "12 of 69 feeds have answered"),
        ("/today-first-round", "mine.opml"),
        ("/today-broken", "None of the feeds answers."),
        ("/today-some-broken", "3 feeds need a look"),
        ("/thanks", "href=\"/thanks?page=2\""),
        ("/neglected", "href=\"/neglected\">Previous<"),
        ("/thanks-empty", "Nobody is owed thanks."),
        ("/bridges", "<code>listend add https://lathe.example/ --list desired</code>"),
        ("/quiet", "First post in 94 days"),
        ("/rolodex", "aria-sort=\"ascending\"><a href=\"/voices\">"),
        ("/rolodex-heard", "aria-sort=\"descending\"><a href=\"/voices?sort=heard\">"),
        ("/rolodex-heard", "href=\"/voices?sort=heard&amp;page=2\">Previous<"),
        ("/rolodex", "December 2025: 1 of 4; January 2026: 1 of 6; February 2026: no post"),
        ("/voice", "<button type=\"submit\" name=\"kind\" value=\"shared\">Shared</button>"),
        ("/answer", "<h1>Answered <bdi>Kiln Lane</bdi>?</h1>"),
        ("/answer-thanked", "<h1>You thanked <bdi>Kiln Lane</bdi></h1>"),
        ("/answer-nobody", "Somebody"),
    ] {
        assert!(pages[path].contains(wanted), "{path} lacks {wanted}");
    }
    let done = format!("href=\"/answered/{}\">Done already<", crowd::key(3, crowd::ago(234)));
    assert!(pages["/today"].contains(&done), "{done}");
    let form = format!("<form class=\"record\" method=\"post\" action=\"/answered/{}\">", crowd::key(3, crowd::ago(0)));
    assert!(pages["/voice"].contains(&form), "{form}");
    assert!(!pages["/today-hostile"].contains("href=\"javascript"), "an address that runs");
}

/// Node with the script and the browser as its first argument; `None` where something is absent.
fn browser() -> Option<Command> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/axe");
    let runs =
        |program: &str| Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    let Some(chromium) = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| runs(name)) else {
        eprintln!("SKIPPED: no Chromium");
        return None;
    };
    if !runs("node") {
        eprintln!("SKIPPED: no node");
        return None;
    }
    if !directory.join("node_modules/axe-core/axe.min.js").is_file() {
        eprintln!("SKIPPED: no axe-core in tests/axe; tests/run installs it");
        return None;
    }
    let mut command = Command::new("node");
    command.arg(directory.join("open.mjs")).arg(chromium);
    Some(command)
}

/// Serves the pages and their style sheet on a loopback port, whose origin it gives.
fn serve(pages: Pages) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let pages = Arc::new(pages);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let pages = Arc::clone(&pages);
            // A browser opens connections ahead, which say nothing for a while.
            thread::spawn(move || answer(stream, &pages));
        }
    });
    origin
}

fn answer(mut stream: TcpStream, pages: &Pages) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    lines.find(String::is_empty)?;
    let (status, kind, body) = match pages.get(&path) {
        Some(page) => ("200 OK", html::MEDIA_TYPE, page.as_str()),
        None if path == html::style_path() => ("200 OK", "text/css; charset=utf-8", html::STYLE),
        // What a browser asks for by itself.
        None if path == "/favicon.ico" => ("204 No Content", "image/png", ""),
        None => ("404 Not Found", "text/plain", "nothing here"),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nContent-Security-Policy: {POLICY}\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).ok()
}
