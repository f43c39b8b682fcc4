//! Exports, backups and what comes back of them; and a database that is damaged somewhere.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;

use flate2::read::GzDecoder;

use crate::harness::{Home, opml, outline, until};
use crate::two_hundred::all_items;
use crate::village::origin::{Origin, now};
use crate::village::site::{Format, Post, Site};

const POSTS: usize = 30;

/// A site with some posts.
fn settle(origin: &Arc<Origin>, index: usize) -> Arc<Site> {
    let site = Site::open(origin, &format!("/b{index}"), &format!("Ann {index}"), "Notes", Format::Atom);
    let site = Arc::new(site);
    let posts: Vec<Post> = (0..POSTS)
        .map(|n| Post::new(&format!("p{n}"), &format!("Word {n}"), &"<p>And on.</p>".repeat(40), now()))
        .collect();
    let speaking = site.clone();
    origin.serve_with(&site.feed_path(), move |_| speaking.reply(posts.clone()));
    site
}

/// A home that has heard some sites, and what it shows of them.
fn heard(origin: &Arc<Origin>, home: &Home) -> Vec<String> {
    let sites: Vec<Arc<Site>> = (0..3).map(|index| settle(origin, index)).collect();
    home.write_list(
        "followers",
        &opml(&sites.iter().map(|site| outline(site.name(), &site.feed())).collect::<String>()),
    );
    let daemon = home.start();
    let links = until("everything is heard", || Some(links(&daemon)).filter(|links| links.len() == 3 * POSTS));
    daemon.stop();
    links
}

/// Identities and addresses of everything that a daemon shows.
fn links(daemon: &crate::harness::Daemon) -> Vec<String> {
    let items = all_items(daemon, "/listen");
    items.iter().map(|item| format!("{} {}", item["id"], item["url"])).collect()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn database(home: &Home) -> PathBuf {
    home.path("state/listend.redb")
}

#[test]
fn what_was_exported_is_there_again_after_an_import() {
    let origin = Arc::new(Origin::start().unwrap());
    let home = Home::new().allowing(&[origin.address()]);
    assert!(said(&home.run(&["export"])).contains("there is no database to export"));
    assert!(!home.path("state").exists(), "nothing was made");
    let before = heard(&origin, &home);

    let plain = home.run(&["export"]);
    assert_eq!((code(&plain), said(&plain).as_str()), (Some(0), "exported 3 feeds and 90 entries\n"));
    let packed = home.run(&["export", "--output", "all.ndjson.gz"]);
    assert_eq!(code(&packed), Some(0), "{packed:?}");
    let mut unpacked = Vec::new();
    GzDecoder::new(fs::File::open(home.path("all.ndjson.gz")).unwrap()).read_to_end(&mut unpacked).unwrap();
    assert!(unpacked == plain.stdout, "packed or not, it is the same");

    let refused = home.run(&["import", "all.ndjson.gz"]);
    assert_eq!(code(&refused), Some(1));
    assert!(said(&refused).contains("listend.redb: the database is not empty"), "{refused:?}");
    fs::remove_dir_all(home.path("state")).unwrap();
    let cut = plain.stdout[..plain.stdout.len() / 2].to_vec();
    fs::write(home.path("cut.ndjson"), cut).unwrap();
    let refused = home.run(&["import", "cut.ndjson"]);
    assert_eq!(code(&refused), Some(1));
    assert!(said(&refused).contains("line ") && said(&refused).contains("cut off"), "{refused:?}");
    assert!(!database(&home).exists());

    let imported = home.run(&["import", "all.ndjson.gz"]);
    assert_eq!((code(&imported), said(&imported).as_str()), (Some(0), "imported 3 feeds and 90 entries\n"));
    assert!(home.run(&["export"]).stdout == plain.stdout);
    let daemon = home.start();
    assert_eq!(links(&daemon), before, "shown at once, each under the name that it had");
    let running = home.run(&["export"]);
    assert_eq!(code(&running), Some(1));
    assert!(said(&running).contains("stop it first, or set [backup] directory"), "{running:?}");
    daemon.stop();
}

#[test]
fn the_daemon_backs_up_while_it_runs_and_the_backup_restores() {
    let origin = Arc::new(Origin::start().unwrap());
    let home = Home::new().allowing(&[origin.address()]).with("[backup]\ndirectory = \"backups\"");
    let before = heard(&origin, &home);
    for made in fs::read_dir(home.path("backups")).into_iter().flatten() {
        fs::remove_file(made.unwrap().path()).unwrap();
    }
    let daemon = home.start();
    let backup = until("there is a backup", || {
        let found = fs::read_dir(home.path("backups")).ok()?.map(|entry| entry.unwrap().path());
        found.into_iter().find(|path| path.extension().is_some_and(|end| end == "gz"))
    });
    daemon.stop();

    // The database is lost: what to do is said, and doing it helps.
    fs::write(database(&home), "no database at all").unwrap();
    let output = home.run(&["run"]);
    assert_eq!(code(&output), Some(65), "{output:?}");
    let line = said(&output);
    for part in [&*database(&home).to_string_lossy(), "listend import", &*backup.to_string_lossy()] {
        assert!(line.contains(part), "{line} without {part}");
    }
    let output = home.run(&["import", backup.to_str().unwrap()]);
    assert_eq!(code(&output), Some(65), "a damaged database is not replaced: {output:?}");
    fs::rename(database(&home), home.path("aside")).unwrap();
    let output = home.run(&["import", backup.to_str().unwrap()]);
    assert_eq!(code(&output), Some(0), "{output:?}");
    let daemon = home.start();
    assert_eq!(links(&daemon), before);
    daemon.stop();
}

#[test]
fn a_feed_with_credentials_gets_its_history_back_under_its_outline() {
    let origin = Arc::new(Origin::start().unwrap());
    let home = Home::new().allowing(&[origin.address()]);
    let site = settle(&origin, 0);
    let secret = site.feed().replace("http://", "http://ann:hunter2@");
    home.write_list("followers", &opml(&outline(site.name(), &secret)));
    let daemon = home.start();
    let before = until("everything is heard", || Some(links(&daemon)).filter(|links| links.len() == POSTS));
    daemon.stop();
    let exported = home.run(&["export"]).stdout;
    assert!(!String::from_utf8_lossy(&exported).contains("hunter2"));
    fs::remove_dir_all(home.path("state")).unwrap();
    fs::write(home.path("all.ndjson"), &exported).unwrap();
    assert_eq!(code(&home.run(&["import", "all.ndjson"])), Some(0));
    let daemon = home.start();
    until("the same entries are shown under the same names", || (links(&daemon) == before).then_some(()));
    daemon.stop();
}

/// Opens and reads a damaged copy: either it reads or it ends with 65, and the file stays.
fn look_at(home: &Home, at: usize) -> bool {
    let output = home.run(&["export"]);
    let said = said(&output);
    assert!(database(home).exists(), "byte {at}: {said}");
    assert!(!said.contains("panicked"), "byte {at}: {said}");
    match code(&output) {
        Some(0) => true,
        Some(65) => {
            assert!(said.contains("listend.redb") && said.contains("listend import"), "byte {at}: {said}");
            false
        }
        other => panic!("byte {at}: {other:?}, {said}"),
    }
}

/// The daemon starts or ends with 65.
fn start(home: &Home, at: usize) {
    let mut child =
        home.command().arg("run").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    // Whatever comes of it, nobody is left running.
    let read = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line);
    let is_up = !line.is_empty();
    if is_up || read.is_err() {
        child.kill().unwrap();
    }
    let mut said = String::new();
    let heard = child.stderr.take().unwrap().read_to_string(&mut said);
    let ended = child.wait().unwrap();
    read.and(heard).unwrap();
    assert!(is_up || ended.code() == Some(65), "byte {at}: {ended}: {said}");
    assert!(database(home).exists(), "byte {at}");
}

#[test]
fn wherever_a_database_is_damaged_it_reads_or_is_reported() {
    let origin = Arc::new(Origin::start().unwrap());
    let home = Home::new().allowing(&[origin.address()]);
    heard(&origin, &home);
    let whole = fs::read(database(&home)).unwrap();
    let mut chance = fastrand::Rng::with_seed(5);
    let anywhere: Vec<usize> = std::iter::repeat_with(|| chance.usize(0..whole.len())).take(40).collect();
    let head = [0, 9, 12, 64, 70, 100, 128, 192, 200, 320];
    let (mut read, mut reported) = (0, 0);
    for (n, at) in head.into_iter().chain(anywhere).enumerate() {
        let mut damaged = whole.clone();
        // A bit, a byte, a sector.
        let length = [1, 1, 512][n % 3].min(whole.len() - at);
        damaged[at..at + length].iter_mut().for_each(|byte| *byte ^= [0x01, 0xFF, 0xA5][n % 3]);
        write(&home, &damaged);
        if look_at(&home, at) {
            read += 1;
        } else {
            reported += 1;
        }
        if n % 5 == 0 {
            write(&home, &damaged);
            start(&home, at);
        }
    }
    for kept in [0, 1, 512, 4096, whole.len() / 2, whole.len() - 1] {
        write(&home, &whole[..kept]);
        look_at(&home, kept);
    }
    println!("{read} read on, {reported} were reported");
    assert!(read > 0 && reported > 0);
}

fn write(home: &Home, bytes: &[u8]) {
    for name in ["listend.states.0", "listend.states.1"] {
        let _ = fs::remove_file(Path::new(&home.path("state")).join(name));
    }
    fs::write(database(home), bytes).unwrap();
}
