//! The merged feeds in front of readers and validators that others wrote. Each skips, and says so, where it is absent.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use listend::model::Timestamp;

use crate::harness::{Daemon, Home, python, until};
use crate::village::Village;
use crate::village::origin::now;

/// An entry as a reader shows it: seconds since the epoch, title, link.
type Line = (i64, String, String);

struct Scene {
    village: Village,
    home: Home,
    daemon: Daemon,
}

impl Scene {
    /// The village, read.
    fn new() -> Self {
        let village = Village::settle(11, now()).unwrap();
        let home = Home::new().allowing(&village.addresses());
        village.write_lists(&home.path("lists")).unwrap();
        let daemon = home.start();
        let scene = Self { village, home, daemon };
        let expected = scene.expected().len();
        until("the village was read", || {
            (scene.daemon.items("/listen.json?limit=500").len() == expected).then_some(())
        });
        scene
    }

    /// What everybody but the keeper has said.
    fn expected(&self) -> BTreeSet<Line> {
        let own = self.village.site("porch").home();
        let others = self.village.sites().filter(|site| site.home() != own);
        let lines = others.flat_map(|site| {
            let line = move |post: &crate::village::site::Post| {
                (post.published.seconds(), post.title.clone(), site.page(&post.id))
            };
            site.posts().iter().map(line).collect::<Vec<_>>()
        });
        lines.collect()
    }

    /// `/listen` in a format, as a file.
    fn file(&self, ending: &str) -> PathBuf {
        let file = self.home.path(&format!("listen.{ending}"));
        fs::write(&file, self.daemon.get(&format!("/listen.{ending}?limit=500")).body).unwrap();
        file
    }

    fn compare(&self, reader: &str, read: &str) {
        let lines: Vec<Line> = read
            .lines()
            .map(|line| {
                let mut fields = line.split('\t');
                let mut field = || fields.next().unwrap_or_else(|| panic!("{reader}: {line:?}")).to_owned();
                (field().parse().unwrap_or(-1), field(), field())
            })
            .collect();
        assert_eq!(lines.len(), self.expected().len(), "{reader}: entries");
        assert_eq!(lines.into_iter().collect::<BTreeSet<_>>(), self.expected(), "{reader}");
    }
}

fn text(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn is_installed(program: &str) -> bool {
    let found =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|path| path.join(program).is_file());
    if !found {
        eprintln!("SKIPPED: {program} is not installed; tests/run installs it");
    }
    found
}

/// A schema from the corpus of documents by others, which is not part of the project.
fn schema(name: &str) -> Option<PathBuf> {
    let corpus = std::env::var_os("LISTEND_CORPUS").map(PathBuf::from);
    let corpus = corpus.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"));
    let file = corpus.join("schemas").join(name);
    if !file.is_file() {
        eprintln!("SKIPPED: there is no {}", file.display());
        return None;
    }
    Some(file)
}

#[test]
fn feedparser_reads_atom_and_rss() {
    let Some(mut python) = python() else { return };
    let scene = Scene::new();
    let script = "
import calendar, feedparser, sys
for name in sys.argv[1:]:
    feed = feedparser.parse(name)
    assert not feed.bozo, feed.bozo_exception
    assert feed.feed.title
    for entry in feed.entries:
        assert entry.id and entry.source.title, entry
        print(calendar.timegm(entry.published_parsed), entry.title, entry.link, sep='\\t')
    print('end')
";
    let output = text(&python.args(["-c", script]).arg(scene.file("atom")).arg(scene.file("rss")).output().unwrap());
    let (atom, rss) = output.trim_end().trim_end_matches("end").split_once("end\n").unwrap();
    scene.compare("feedparser, Atom", atom);
    scene.compare("feedparser, RSS", rss);
}

#[test]
fn sfeed_reads_atom_and_rss() {
    if !is_installed("sfeed") {
        return;
    }
    let scene = Scene::new();
    for ending in ["atom", "rss"] {
        let input = fs::File::open(scene.file(ending)).unwrap();
        scene.compare(&format!("sfeed, {ending}"), &text(&Command::new("sfeed").stdin(input).output().unwrap()));
    }
}

#[test]
fn newsboat_subscribes_to_atom_and_rss() {
    if !is_installed("newsboat") {
        return;
    }
    let Some(python) = python() else { return };
    let scene = Scene::new();
    for ending in ["atom", "rss"] {
        let [urls, cache, config] =
            ["urls", "cache.db", "config"].map(|name| scene.home.path(&format!("{ending}-{name}")));
        fs::write(&urls, scene.daemon.url(&format!("/listen.{ending}?limit=500")) + "\n").unwrap();
        fs::write(&config, "").unwrap();
        let mut newsboat = Command::new("newsboat");
        newsboat.arg("-u").arg(&urls).arg("-c").arg(&cache).arg("-C").arg(&config).args(["-x", "reload"]);
        text(&newsboat.env("HOME", scene.home.path("")).output().unwrap());
        let script = "
import sqlite3, sys
for row in sqlite3.connect(sys.argv[1]).execute('select pubDate, title, url from rss_item'):
    print(*row, sep='\\t')
";
        let rows = text(&Command::new(python.get_program()).args(["-c", script]).arg(&cache).output().unwrap());
        scene.compare(&format!("newsboat, {ending}"), &rows);
    }
}

#[test]
fn json_feed_is_read_as_it_is_written() {
    let scene = Scene::new();
    let line = |item: &serde_json::Value| {
        let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        let published = Timestamp::parse_rfc3339(&text("date_published")).unwrap();
        format!("{}\t{}\t{}\n", published.seconds(), text("title"), text("url"))
    };
    let lines: String = scene.daemon.items("/listen.json?limit=500").iter().map(line).collect();
    scene.compare("JSON Feed", &lines);
}

#[test]
fn atom_passes_the_schema_of_rfc_4287() {
    let (Some(mut python), Some(schema)) = (python(), schema("atom.rng")) else { return };
    let scene = Scene::new();
    let script = "
import sys
from lxml import etree
schema = etree.RelaxNG(etree.parse(sys.argv[1]))
schema.assertValid(etree.parse(sys.argv[2]))
";
    text(&python.args(["-c", script]).arg(schema).arg(scene.file("atom")).output().unwrap());
}

#[test]
fn json_passes_the_schema_of_json_feed() {
    let (Some(mut python), Some(schema)) = (python(), schema("schema-v1.1.json")) else { return };
    let scene = Scene::new();
    let script = "
import json, sys
import jsonschema
jsonschema.validate(json.load(open(sys.argv[2])), json.load(open(sys.argv[1])))
";
    text(&python.args(["-c", script]).arg(schema).arg(scene.file("json")).output().unwrap());
}

#[test]
fn opml_is_well_formed_and_complete() {
    let Some(mut python) = python() else { return };
    let scene = Scene::new();
    let script = "
import sys
from lxml import etree
root = etree.parse(sys.argv[1]).getroot()
assert root.tag == 'opml' and root.find('head/title') is not None
for outline in root.iter('outline'):
    if outline.get('xmlUrl'): print(outline.get('xmlUrl'))
";
    let printed = text(&python.args(["-c", script]).arg(scene.file("opml")).output().unwrap());
    let own = scene.village.site("porch").feed();
    let feeds: BTreeSet<String> =
        scene.village.sites().map(crate::village::site::Site::feed).filter(|feed| *feed != own).collect();
    assert_eq!(printed.lines().map(str::to_owned).collect::<BTreeSet<_>>(), feeds);
}
