//! The configuration file that everybody starts from.

use std::path::Path;

use listend::config::Config;

const EXAMPLE: &str = include_str!("../../config/listend.toml");

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
    // To say a default aloud is fine, but where it has no effect yet, whoever says it is told so.
    config.warnings.retain(|warning| !warning.ends_with("has no effect in this version"));
    assert_eq!(config.state, Path::new("/etc/listend/state"));
    config.state = parsed("").state;
    assert_eq!(config.server.base_url, parsed("").server.base_url);
    config.server.is_base_url_set = false;
    assert_eq!(format!("{config:#?}"), format!("{:#?}", parsed("")));
}
