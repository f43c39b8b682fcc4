//! The walls of the house: who may import whom, which crates stay in which room, and how files look.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from the cellar to the roof. A room may import what stands on the lines above its own.
const FLOORS: [&[&str]; 8] = [
    &["model", "references"],
    &["config", "lists", "feeds", "store"],
    &["listen"],
    &["publish"],
    &["http"],
    &["daemon"],
    &["commands"],
    &["main"],
];

/// Crates that only some rooms know.
const KEPT_IN: [(&str, &[&str]); 8] = [
    ("redb", &["store"]),
    ("postcard", &["store"]),
    ("hyper_rustls", &["feeds"]),
    ("rustls", &["feeds"]),
    ("feed_rs", &["feeds"]),
    ("ammonia", &["feeds"]),
    ("notify", &["lists"]),
    ("clap", &["commands", "main"]),
];

const MAX_LINES: usize = 700;

#[test]
fn imports_go_one_way_only() {
    let mut faults = Vec::new();
    for file in sources("src") {
        let Some(room) = file.room() else { continue };
        let own = floor(room).unwrap_or_else(|| panic!("src/{room} stands on no floor: add it to FLOORS"));
        for (line, other) in file.rooms_named() {
            let below = floor(&other).is_some_and(|floor| floor < own);
            if other != room && !below {
                faults.push(format!("{}:{line}: {room} must not know {other}", file.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn crates_stay_in_their_room() {
    let mut faults = Vec::new();
    for file in sources("src") {
        for (name, rooms) in KEPT_IN {
            let path = format!("{name}::");
            let outside = file.room().is_some_and(|room| !rooms.contains(&room));
            for (line, text) in file.code().filter(|(_, text)| outside && names(text, &path)) {
                faults.push(format!("{}:{line}: {name} belongs to {rooms:?}: {}", file.path.display(), text.trim()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_are_tidy() {
    // Spelled apart, so that this file does not find itself.
    let banned = [
        (concat!("tokio::", "spawn("), "every task has an owner"),
        (concat!("TO", "DO"), "finish it, or file an issue"),
        (concat!("FIX", "ME"), "finish it, or file an issue"),
        (concat!("#[", "ignore"), "a test that does not run shows nothing"),
        (concat!("unimplemented", "!("), "no stubs"),
    ];
    let mut faults = Vec::new();
    for file in sources("src").into_iter().chain(sources("tests")) {
        let shown = file.path.display();
        if !file.text.starts_with("//! ") {
            faults.push(format!("{shown}:1: does not begin by saying what it owns (//!)"));
        }
        let lines = file.text.lines().count();
        if lines > MAX_LINES {
            faults.push(format!("{shown}: {lines} lines are two rooms (at most {MAX_LINES})"));
        }
        for (line, text) in file.text.lines().enumerate() {
            for (word, reason) in banned {
                if text.contains(word) {
                    faults.push(format!("{shown}:{}: {word}: {reason}", line + 1));
                }
            }
        }
        let code = file.text.split("#[cfg(test)]").next().unwrap_or_default();
        let is_test = !file.path.starts_with("src") || file.path.ends_with("tests.rs");
        if !is_test && code.contains(concat!(".unwrap", "()")) {
            faults.push(format!("{shown}: {} outside tests", concat!("unwrap", "()")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_walls_can_be_seen() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.to_owned() };
    let file = source(
        "src/lists/opml.rs",
        "use crate::{model::Role, store::{Store, feeds}};\n//! crate::http\nlet x = super::super::daemon::run();\n",
    );
    assert_eq!(file.room(), Some("lists"));
    let named: Vec<_> = file.rooms_named().into_iter().map(|(line, room)| format!("{line} {room}")).collect();
    assert_eq!(named, ["1 model", "1 store", "3 daemon"]);
    assert_eq!(source("src/main.rs", "").room(), Some("main"));
    assert_eq!(source("src/lib.rs", "").room(), None);
    assert!(names("use redb::Database;", "redb::") && !names("use xredb::Database;", "redb::"));
}

/// A source file: its path from the project's top, and its text.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// The room that the file belongs to; `None` for the map in `src/lib.rs`.
    fn room(&self) -> Option<&str> {
        let first = self.path.strip_prefix("src").ok()?.components().next()?.as_os_str().to_str()?;
        Some(first.trim_end_matches(".rs")).filter(|room| *room != "lib")
    }

    /// Its lines without comments, numbered from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// The rooms that the file names as `crate::room`, `listend::room` or `super::room`, each with its line.
    fn rooms_named(&self) -> Vec<(usize, String)> {
        let mut named = Vec::new();
        let mut pending = String::new();
        for (line, text) in self.code() {
            // An import in braces may go over several lines.
            pending.push_str(text);
            if opens_more_than_it_closes(&pending) && pending.trim_start().starts_with("use ") {
                continue;
            }
            for prefix in ["crate::", "listend::", "super::"] {
                for after in following(&pending, prefix) {
                    let rooms = top_names(after).into_iter().filter(|name| floor(name).is_some());
                    named.extend(rooms.map(|room| (line, room)));
                }
            }
            pending.clear();
        }
        named
    }
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn opens_more_than_it_closes(text: &str) -> bool {
    text.matches('{').count() > text.matches('}').count()
}

/// What follows each path that begins with `prefix`.
fn following<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
    let starts = text
        .match_indices(prefix)
        .filter(|(start, _)| !text[..*start].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
    starts.map(|(start, _)| &text[start + prefix.len()..]).collect()
}

/// Whether the line names the path, and no longer name that ends like it.
fn names(text: &str, path: &str) -> bool {
    !following(text, path).is_empty()
}

/// The first names of a path or of a group in braces: `{a::b, c::{d, e}}` gives a and c.
fn top_names(after: &str) -> Vec<String> {
    let name = |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = after.strip_prefix('{') else { return vec![name(after)] };
    let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

/// All Rust files below a directory of the project.
fn sources(directory: &str) -> Vec<Source> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut waiting = vec![top.join(directory)];
    let mut sources = Vec::new();
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
            let path = entry.expect("the project can be read").path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                sources.push(Source { path: path.strip_prefix(top).expect("it is below").to_owned(), text });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}
