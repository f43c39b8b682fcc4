//! Lists are edited with all kinds of editors, and the views follow within two seconds.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::harness::{Daemon, Home, opml, outline, until, until_within};
use crate::village::origin::{Origin, now};
use crate::village::site::{Format, Post, Site};

/// What DESIGN promises to whoever saves a list.
const PROMISE: Duration = Duration::from_secs(2);

struct Scene {
    home: Home,
    stays: Site,
    comes: Site,
}

impl Scene {
    fn new() -> Self {
        let origin = Arc::new(Origin::start().unwrap());
        let [stays, comes] = [("/a", "Stays"), ("/b", "Comes and goes")].map(|(prefix, name)| {
            let site = Site::open(&origin, prefix, name, "A site", Format::Atom);
            site.publish(Post::new(
                "1",
                &format!("{name} says hello"),
                "<p>Hello.</p>",
                now().minus(Duration::from_mins(5)),
            ));
            site
        });
        let home = Home::new().allowing(&[origin.address()]);
        home.write_list("followers", &opml(&outline("Stays", &stays.feed())));
        Self { home, stays, comes }
    }

    fn alone(&self) -> String {
        opml(&outline("Stays", &self.stays.feed()))
    }

    fn added(&self) -> String {
        opml(&(outline("Stays", &self.stays.feed()) + &outline("Comes", &self.comes.feed())))
    }

    fn moved(&self) -> String {
        let folder = format!("<outline text=\"A folder\">{}</outline>\n", outline("Comes", &self.comes.feed()));
        opml(&(outline("Stays", &self.stays.feed()) + &folder))
    }

    /// Adds, moves and deletes an outline, saving by `save`; says how long each took to be seen.
    fn walk(&self, daemon: &Daemon, save: impl Fn(&Path, &str)) {
        let list = self.home.list("followers");
        let feed = self.comes.feed();
        let holds = |path: &str| {
            let answer = daemon.get(path);
            answer.status == 200 && answer.text().contains(&feed)
        };

        save(&list, &self.added());
        let ((), added) =
            until_within(PROMISE, "the outline was added", || holds("/followers/comes.opml").then_some(()));
        until("its entry was fetched", || (daemon.items("/followers.json").len() == 2).then_some(()));

        save(&list, &self.moved());
        let ((), moved) =
            until_within(PROMISE, "the outline was moved", || holds("/followers/a-folder/comes.opml").then_some(()));
        assert_eq!(daemon.items("/followers/a-folder.json").len(), 1, "history moves along");

        save(&list, &self.alone());
        let ((), deleted) =
            until_within(PROMISE, "the outline was deleted", || (!holds("/followers.opml")).then_some(()));
        assert_eq!(daemon.get("/followers/a-folder.opml").status, 404);
        assert_eq!(daemon.items("/followers.json").len(), 1);
        eprintln!("seen after: added {added:?}, moved {moved:?}, deleted {deleted:?}");
    }
}

fn in_place(list: &Path, text: &str) {
    fs::write(list, text).unwrap();
}

fn write_and_rename(list: &Path, text: &str) {
    let new = list.with_extension("opml.new");
    fs::write(&new, text).unwrap();
    fs::rename(new, list).unwrap();
}

fn sed_i(list: &Path, text: &str) {
    let new = list.parent().unwrap().with_file_name("new-text");
    fs::write(&new, text).unwrap();
    // Reads the new text behind the first line, and deletes all lines.
    let script = format!("1r {}\n1,$d", new.display());
    assert!(Command::new("sed").arg("-i").args(["-e", &script]).arg(list).status().unwrap().success());
}

/// As mounted configuration maps do it: the list is a link through `..data`, which is swapped for another directory.
fn symlink_swap(list: &Path, text: &str) {
    let directory = list.parent().unwrap();
    let version = (0..100).map(|n| format!("..version-{n}")).find(|name| !directory.join(name).exists()).unwrap();
    fs::create_dir(directory.join(&version)).unwrap();
    fs::write(directory.join(&version).join("followers.opml"), text).unwrap();
    symlink(&version, directory.join("..data-new")).unwrap();
    fs::rename(directory.join("..data-new"), directory.join("..data")).unwrap();
    if !list.is_symlink() {
        symlink("..data/followers.opml", directory.join("..link")).unwrap();
        fs::rename(directory.join("..link"), list).unwrap();
    }
}

fn truncate_then_write(list: &Path, text: &str) {
    let mut file = File::create(list).unwrap();
    let (first, second) = text.split_at(text.len() / 2);
    for part in [first, second] {
        file.write_all(part.as_bytes()).unwrap();
        file.sync_all().unwrap();
    }
}

fn every_edit_is_seen_in_time(save: impl Fn(&Path, &str)) {
    let scene = Scene::new();
    let daemon = scene.home.start();
    until("the first entry was fetched", || (daemon.items("/followers.json").len() == 1).then_some(()));
    for _ in 0..2 {
        scene.walk(&daemon, &save);
    }
}

#[test]
fn rewriting_in_place() {
    every_edit_is_seen_in_time(in_place);
}

#[test]
fn writing_and_renaming() {
    every_edit_is_seen_in_time(write_and_rename);
}

#[test]
fn sed_in_place() {
    every_edit_is_seen_in_time(sed_i);
}

#[test]
fn swapping_a_symlink() {
    every_edit_is_seen_in_time(symlink_swap);
}

#[test]
fn truncating_then_writing() {
    every_edit_is_seen_in_time(truncate_then_write);
}

#[test]
fn lists_come_and_go() {
    let scene = Scene::new();
    let daemon = scene.home.start();
    scene.home.write_list("desired", &opml(&outline("Comes", &scene.comes.feed())));
    until_within(PROMISE, "the new list is there", || (daemon.get("/desired.opml").status == 200).then_some(()));
    until("its entry was fetched", || (daemon.items("/listen.json").len() == 2).then_some(()));
    fs::rename(scene.home.list("desired"), scene.home.list("friends")).unwrap();
    until_within(PROMISE, "the list was renamed", || {
        (daemon.get("/friends.opml").status == 200 && daemon.get("/desired.opml").status == 404).then_some(())
    });
    assert_eq!(daemon.items("/friends.json").len(), 1, "a renamed list keeps its history");
    fs::remove_file(scene.home.list("friends")).unwrap();
    until_within(PROMISE, "the list is gone", || (daemon.get("/friends.opml").status == 404).then_some(()));
    assert_eq!(daemon.items("/listen.json").len(), 1);
}

#[test]
fn a_half_written_list_makes_nobody_vanish() {
    let scene = Scene::new();
    scene.home.write_list("followers", &scene.added());
    let daemon = scene.home.start();
    until("both entries were fetched", || (daemon.items("/followers.json").len() == 2).then_some(()));
    let fault_of = |daemon: &Daemon| daemon.status()["lists"][0]["fault"].as_str().map(str::to_owned);
    let everybody_is_there = |daemon: &Daemon| {
        assert_eq!(daemon.items("/followers.json").len(), 2);
        assert_eq!(daemon.status()["feeds"].as_array().unwrap().len(), 2);
    };

    let text = scene.added();
    let cuts = ["", &text[..text.len() / 2], &text[..text.find("<outline").unwrap()]];
    for cut in cuts {
        fs::write(scene.home.list("followers"), cut).unwrap();
        let fault = until("the fault is reported", || {
            everybody_is_there(&daemon);
            fault_of(&daemon)
        });
        eprintln!("{} bytes of {}: {fault}", cut.len(), text.len());
        fs::write(scene.home.list("followers"), &text).unwrap();
        until("the fault is gone", || {
            everybody_is_there(&daemon);
            fault_of(&daemon).is_none().then_some(())
        });
    }

    // The last good content outlives a restart.
    fs::write(scene.home.list("followers"), cuts[1]).unwrap();
    daemon.stop();
    let daemon = scene.home.start();
    everybody_is_there(&daemon);
    assert!(fault_of(&daemon).is_some());
}

#[test]
fn a_missing_directory_is_no_farewell() {
    let scene = Scene::new();
    let daemon = scene.home.start();
    until("the first entry was fetched", || (daemon.items("/followers.json").len() == 1).then_some(()));
    let (lists, elsewhere) = (scene.home.path("lists"), scene.home.path("elsewhere"));
    fs::rename(&lists, &elsewhere).unwrap();
    daemon.stop();
    let daemon = scene.home.start();
    assert_eq!(daemon.items("/followers.json").len(), 1, "everybody is still there");
    fs::rename(&elsewhere, &lists).unwrap();
    fs::write(scene.home.list("followers"), scene.added()).unwrap();
    until("edits are seen again", || (daemon.items("/followers.json").len() == 2).then_some(()));
}
