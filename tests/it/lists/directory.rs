//! Reading the lists directory.

use std::fs;
use std::path::Path;

use listend::lists;

fn names(dir: &Path) -> Vec<(String, bool)> {
    let files = lists::read(dir).expect("the directory is there");
    files.into_iter().map(|file| (file.name, file.content.is_ok())).collect()
}

#[test]
#[cfg(unix)]
fn every_list_is_read_and_nothing_else() {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    fs::write(at("b.opml"), "b").expect("a file");
    fs::write(at("A list.opml"), "a").expect("a file");
    for other in [".hidden.opml", "b.opml~", "b.opml.tmp", "notes.txt", ".opml"] {
        fs::write(at(other), "x").expect("a file");
    }
    fs::create_dir(at("folder.opml")).expect("a directory");
    let _socket = UnixListener::bind(at("socket.opml")).expect("a socket");
    let elsewhere = tempfile::tempdir().expect("a directory");
    fs::write(elsewhere.path().join("real"), "c").expect("a file");
    symlink(elsewhere.path().join("real"), at("linked.opml")).expect("a link");
    symlink("nowhere", at("dangling.opml")).expect("a link");
    let expected = [("A list", true), ("b", true), ("dangling", false), ("linked", true)];
    assert_eq!(names(dir.path()), expected.map(|(name, good)| (name.to_owned(), good)));
    symlink(dir.path(), elsewhere.path().join("lists")).expect("a link");
    assert_eq!(names(&elsewhere.path().join("lists")).len(), 4);
}

#[test]
fn a_missing_directory_is_a_fault() {
    let dir = tempfile::tempdir().expect("a directory");
    let fault = lists::read(&dir.path().join("gone")).expect_err("it is not there");
    assert!(fault.to_string().contains("gone"), "{fault}");
}

#[test]
fn a_list_beyond_all_measure_is_a_fault_of_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = fs::File::create(dir.path().join("big.opml")).expect("a file");
    file.set_len(lists::MAX_LIST_BYTES + 1).expect("a sparse file");
    assert_eq!(names(dir.path()), [("big".to_owned(), false)]);
}

#[test]
fn the_starter_lists_are_in_good_order() {
    use listend::lists::opml;
    use listend::lists::roster::{ListInput, Roster};
    use listend::model::Role;
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/lists");
    let files = lists::read(&dir).expect("the directory is there");
    assert_eq!(files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["desired", "followers", "mine"]);
    let inputs = files.into_iter().map(|file| {
        let opml = opml::parse(&file.content.expect("it can be read")).expect("it is OPML");
        ListInput { role: Role::of_name(&file.name), name: file.name, opml, fault: None }
    });
    let roster = Roster::build(inputs.collect());
    for list in &roster.lists {
        assert_eq!((list.fault.as_deref(), list.warnings.as_slice()), (None, &[][..]), "{}", list.name);
    }
    let is_mutual = |voice| roster.has_role(voice, Role::Followers) && roster.has_role(voice, Role::Desired);
    assert!(roster.voices.iter().any(is_mutual), "someone is in both circles, so that /mutual has something to show");
    assert!(roster.voices.iter().any(|voice| voice.feeds.len() > 1), "there is a person with several feeds");
}
