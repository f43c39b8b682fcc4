//! The configuration file that everybody starts from, and the page about its keys, held against the program.

use std::fmt::Write as _;
use std::path::Path;

use listend::config::Config;

const EXAMPLE: &str = include_str!("../../config/listend.toml");
const REFERENCE: &str = include_str!("../../docs/configuration.md");

fn parsed(text: &str) -> Config {
    Config::parse(text, None, Path::new("/etc/listend")).expect("the configuration is good")
}

#[test]
fn the_example_says_the_defaults() {
    assert_eq!(format!("{:#?}", parsed(EXAMPLE)), format!("{:#?}", parsed("")));
}

/// What the example comments out must be the default too, where it doesn't depend on the machine.
#[test]
fn commented_keys_are_real_and_default() {
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| if line.contains(" = ") { line.trim_start_matches("# ") } else { line }.to_owned() + "\n")
        .collect();
    let mut config = parsed(&uncommented);
    assert_eq!(config.roles.len(), 1, "the example shows one role");
    config.roles.clear();
    assert_eq!(config.state, Path::new("/etc/listend/state"));
    config.state = parsed("").state;
    assert_eq!(config.server.base_url, parsed("").server.base_url);
    config.server.is_base_url_set = false;
    assert_eq!(format!("{config:#?}"), format!("{:#?}", parsed("")));
}

/// The keys of a table, by what the program answers to one that it does not know; none for a table of free names.
fn keys(table: &str) -> Vec<String> {
    let text = if table.is_empty() { "zzz = 1".to_owned() } else { format!("[{table}]\nzzz = 1") };
    let Err(error) = Config::parse(&text, None, Path::new("/etc/listend")) else { return Vec::new() };
    let error = error.to_string();
    let Some((_, expected)) = error.split_once(", expected ") else { return Vec::new() };
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What the reference says of a table: each key and its default, as TOML; `None` where it says that it is unset.
fn reference(table: &str) -> Vec<(String, Option<String>)> {
    let heading = if table.is_empty() { "\n## Top level\n".to_owned() } else { format!("\n## `[{table}]`\n") };
    let section = REFERENCE.split_once(&heading).unwrap_or_else(|| panic!("no section of [{table}]")).1;
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        let default = cells[2].strip_prefix('`').and_then(|cell| cell.strip_suffix('`'));
        assert!(default.is_some() || cells[2] == "unset", "{row}");
        assert!(!cells[1].is_empty() && cells[3].len() > 10, "{row}");
        (cells[0].trim_end_matches('`').to_owned(), default.map(str::to_owned))
    })
    .collect()
}

#[test]
fn the_reference_has_every_key_with_its_default() {
    let top = keys("");
    assert!(top.len() > 10, "the program names its keys: {top:?}");
    let tables: Vec<&str> = top.iter().map(String::as_str).filter(|key| !["lists", "state"].contains(key)).collect();
    let mut defaults = String::new();
    for table in std::iter::once("").chain(tables) {
        let real: Vec<String> =
            if table.is_empty() { vec!["lists".to_owned(), "state".to_owned()] } else { keys(table) };
        assert!(table == "roles" || !real.is_empty(), "[{table}]");
        let told = reference(table);
        assert_eq!(told.iter().map(|(key, _)| key).collect::<Vec<_>>(), real.iter().collect::<Vec<_>>(), "[{table}]");
        if !table.is_empty() {
            let _ = writeln!(defaults, "[{table}]");
        }
        let example = if table.is_empty() {
            EXAMPLE.split("\n[").next().unwrap()
        } else {
            let after = EXAMPLE.split_once(&format!("\n[{table}]\n")).unwrap_or_else(|| panic!("[{table}]")).1;
            after.split("\n[").next().unwrap()
        };
        for (key, default) in told {
            let line = default.as_ref().map_or(format!("\n# {key} = "), |default| format!("\n{key} = {default}\n"));
            assert!(format!("\n{example}\n").contains(&line), "config/listend.toml, [{table}]: no line {line:?}");
            if let Some(default) = default {
                let _ = writeln!(defaults, "{key} = {default}");
            }
        }
    }
    assert_eq!(format!("{:#?}", parsed(&defaults)), format!("{:#?}", parsed("")), "{defaults}");
}
