//! Lists as others really write them: every outline with an address that any reader could see is seen.

use std::fs;
use std::path::{Path, PathBuf};

use listend::lists::opml::{self, Outline};
use serde_json::Value;

fn count(outlines: &[Outline]) -> usize {
    outlines.iter().map(|found| usize::from(found.attribute("xmlUrl").is_some()) + count(&found.children)).sum()
}

/// Addresses in a file by the crudest of readers: the name of the attribute, in any letter case, before `=`, outside of
/// comments, with something in the quotes.
fn crude_count(bytes: &[u8]) -> usize {
    let mut text = String::from_utf8_lossy(bytes).to_lowercase();
    while let (Some(start), Some(end)) = (text.find("<!--"), text.find("-->")) {
        text.replace_range(start..end + 3, "");
    }
    text.match_indices("xmlurl")
        .filter(|(at, _)| {
            let value = text[at + 6..].trim_start().strip_prefix('=').map(str::trim_start);
            value.is_some_and(|value| value.get(1..).is_some_and(|value| !value.trim_start().starts_with(['"', '\''])))
        })
        .count()
}

#[test]
fn the_corpus_of_lists_is_read_in_full() {
    let corpus = std::env::var_os("LISTEND_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"), PathBuf::from);
    let Ok(expectations) = fs::read_to_string(corpus.join("EXPECT.jsonl")) else {
        eprintln!("skipped: no corpus at {}", corpus.display());
        return;
    };
    let mut total = (0, 0, 0);
    for line in expectations.lines() {
        let expectation: Value = serde_json::from_str(line).expect("a line of JSON");
        let file = expectation["file"].as_str().expect("a file name");
        let bytes = fs::read(corpus.join(file)).expect("the file is there");
        if expectation["kind"] != "opml" {
            if !file.starts_with("adversarial/json") {
                assert!(opml::parse(&bytes).is_err(), "{file} is no OPML");
            }
            continue;
        }
        let opml = opml::parse(&bytes).unwrap_or_else(|fault| panic!("{file}: {fault}"));
        let (seen, there) = (count(&opml.outlines), crude_count(&bytes));
        eprintln!("{seen:>5} of {there:<5} {:>2} warnings  {file}", opml.warnings.len());
        assert_eq!(seen, there, "{file}");
        total = (total.0 + 1, total.1 + seen, total.2 + opml.warnings.len());
    }
    eprintln!("{} lists, {} addresses, {} warnings", total.0, total.1, total.2);
}
