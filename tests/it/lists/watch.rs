//! The watcher, against every way of saving a file.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use listend::lists::watch::{PAUSE, Watcher};
use tokio::time::{Instant, timeout};

/// A change must show within two seconds; the rest is left for reading.
const DEADLINE: Duration = Duration::from_millis(1500);
/// How long to listen for a signal that must not come.
const SILENCE: Duration = Duration::from_millis(700);

/// What is done to the files below a directory, and what it is called.
type Step<'a> = (&'a str, &'a dyn Fn(&Path));

/// Lays out files, watches `lists` there, and then for each step does it and waits for its signal; between the steps the
/// lists are read, which must cause none.
fn check(prepare: impl Fn(&Path), steps: &[Step<'_>]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let temporary = tempfile::tempdir().expect("a directory");
        let root = fs::canonicalize(temporary.path()).expect("it exists");
        prepare(&root);
        let mut watcher = Watcher::start(&root.join("lists"));
        assert_eq!(watcher.fault(), None);
        for (name, step) in steps {
            let _ = listend::lists::read(&root.join("lists"));
            let started = Instant::now();
            step(&root);
            let heard = timeout(DEADLINE, watcher.changed()).await;
            assert!(heard.is_ok(), "{name}: not noticed");
            assert!(started.elapsed() >= PAUSE, "{name}: no pause");
            // What this step still causes must not pass for the next one's signal.
            let calm_by = Instant::now() + 3 * DEADLINE;
            while timeout(PAUSE + PAUSE / 3, watcher.changed()).await.is_ok() {
                assert!(Instant::now() < calm_by, "{name}: one change is noticed for ever");
            }
        }
        let _ = listend::lists::read(&root.join("lists"));
        assert!(timeout(SILENCE, watcher.changed()).await.is_err(), "reading is not a change");
    });
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file");
}

fn plain(root: &Path) {
    fs::create_dir(root.join("lists")).expect("a directory");
    write(&root.join("lists/a.opml"), "<opml></opml>");
}

fn shell(root: &Path, command: &str) {
    let status = Command::new("sh").args(["-ec", command]).current_dir(root).status().expect("a shell");
    assert!(status.success(), "{command}");
}

#[test]
fn every_way_of_saving_a_file_is_noticed() {
    check(
        plain,
        &[
            ("in place", &|root| write(&root.join("lists/a.opml"), "<opml>1</opml>")),
            ("write and rename", &|root| {
                write(&root.join("lists/a.opml.tmp"), "<opml>2</opml>");
                fs::rename(root.join("lists/a.opml.tmp"), root.join("lists/a.opml")).expect("a rename");
            }),
            ("rename from elsewhere", &|root| {
                write(&root.join("a.new"), "<opml>3</opml>");
                fs::rename(root.join("a.new"), root.join("lists/a.opml")).expect("a rename");
            }),
            ("backup and write", &|root| {
                fs::rename(root.join("lists/a.opml"), root.join("lists/a.opml~")).expect("a rename");
                write(&root.join("lists/a.opml"), "<opml>4</opml>");
            }),
            ("sed -i", &|root| shell(root, "sed -i s/4/5/ lists/a.opml")),
            ("truncate, then write", &|root| {
                let mut file = fs::File::create(root.join("lists/a.opml")).expect("a file");
                file.write_all(b"<opml>").expect("half of it");
                file.write_all(b"6</opml>").expect("the rest");
            }),
            ("append", &|root| shell(root, "echo >> lists/a.opml")),
            ("add", &|root| write(&root.join("lists/b.opml"), "<opml></opml>")),
            ("remove", &|root| fs::remove_file(root.join("lists/b.opml")).expect("it was there")),
            ("rename", &|root| fs::rename(root.join("lists/a.opml"), root.join("lists/c.opml")).expect("a rename")),
            ("rights", &|root| shell(root, "chmod 600 lists/c.opml")),
        ],
    );
}

#[test]
fn a_branch_checked_out_is_noticed() {
    if Command::new("git").arg("--version").output().is_err() {
        eprintln!("skipped: no git here");
        return;
    }
    let git = "git -c user.name=t -c user.email=t@example.org -c commit.gpgsign=false";
    check(
        |root| {
            plain(root);
            shell(
                root,
                &format!(
                    "cd lists; git init -q -b one; git add .; {git} commit -qm 1; git checkout -qb two; \
                 echo '<opml>2</opml>' > a.opml; echo '<opml/>' > b.opml; git add .; {git} commit -qm 2; git checkout -q one"
                ),
            );
        },
        &[
            ("git checkout", &|root| shell(root, "cd lists; git checkout -q two")),
            ("and back", &|root| shell(root, "cd lists; git checkout -q one")),
        ],
    );
}

#[test]
fn a_replaced_directory_is_noticed_and_watched_on() {
    check(
        plain,
        &[
            ("replaced", &|root| shell(root, "mv lists old; mkdir lists; echo '<opml/>' > lists/a.opml")),
            ("write in the new one", &|root| write(&root.join("lists/a.opml"), "<opml>1</opml>")),
            ("removed", &|root| shell(root, "rm -r lists")),
            ("made anew", &|root| shell(root, "mkdir lists")),
            ("write in it", &|root| write(&root.join("lists/z.opml"), "<opml></opml>")),
            ("moved away and back", &|root| shell(root, "mv lists away; mv away lists")),
            ("write after that", &|root| write(&root.join("lists/z.opml"), "<opml>1</opml>")),
        ],
    );
}

#[test]
fn a_directory_above_that_is_replaced_is_noticed() {
    check(
        |root| {
            shell(root, "mkdir -p v1/deep/lists v2/deep/lists; ln -s v1 current; ln -s current/deep/lists lists");
        },
        &[
            ("write behind links", &|root| write(&root.join("v1/deep/lists/a.opml"), "<opml/>")),
            ("swap far above", &|root| shell(root, "ln -s v2 next; mv -T next current")),
            ("write behind the new link", &|root| write(&root.join("v2/deep/lists/a.opml"), "<opml/>")),
            ("replace above", &|root| shell(root, "mv v2 v3; mkdir -p v2/deep/lists")),
            ("write there", &|root| write(&root.join("v2/deep/lists/a.opml"), "<opml/>")),
        ],
    );
}

#[test]
fn symbolic_links_are_followed_as_they_change() {
    check(
        |root| {
            shell(
                root,
                "mkdir lists elsewhere third; echo '<opml/>' > elsewhere/x; echo '<opml/>' > third/y; \
                         ln -s ../elsewhere/x lists/a.opml",
            );
        },
        &[
            ("write to the target", &|root| write(&root.join("elsewhere/x"), "<opml>1</opml>")),
            ("rename over the target", &|root| {
                shell(root, "echo '<opml>2</opml>' > elsewhere/t; mv elsewhere/t elsewhere/x");
            }),
            ("swap the link", &|root| shell(root, "ln -s ../third/y lists/t; mv lists/t lists/a.opml")),
            ("write to the new target", &|root| write(&root.join("third/y"), "<opml>3</opml>")),
            ("remove the target", &|root| shell(root, "rm third/y")),
            ("bring it back", &|root| write(&root.join("third/y"), "<opml>4</opml>")),
        ],
    );
}

#[test]
fn a_config_maps_swap_is_noticed() {
    check(
        |root| {
            shell(
                root,
                "mkdir -p lists/..v1; echo '<opml/>' > lists/..v1/a.opml; ln -s ..v1 lists/..data; \
                         ln -s ..data/a.opml lists/a.opml",
            );
        },
        &[
            ("first swap", &|root| {
                shell(
                    root,
                    "cd lists; mkdir ..v2; echo '<opml>2</opml>' > ..v2/a.opml; ln -s ..v2 ..tmp; \
                             mv -T ..tmp ..data; rm -r ..v1",
                );
            }),
            ("second swap", &|root| {
                shell(
                    root,
                    "cd lists; mkdir ..v3; echo '<opml>3</opml>' > ..v3/a.opml; ln -s ..v3 ..tmp; \
                             mv -T ..tmp ..data; rm -r ..v2",
                );
            }),
        ],
    );
}

#[test]
fn a_directory_that_is_not_there_yet_is_waited_for() {
    check(
        |_| {},
        &[
            ("made", &|root| fs::create_dir(root.join("lists")).expect("a directory")),
            ("first list", &|root| write(&root.join("lists/a.opml"), "<opml/>")),
        ],
    );
}

#[tokio::test]
async fn what_is_no_list_is_no_change() {
    let dir = tempfile::tempdir().expect("a directory");
    plain(dir.path());
    let mut watcher = Watcher::start(&dir.path().join("lists"));
    for other in ["lists/notes.txt", "lists/.a.opml.swp", "lists/4913", "beside.opml"] {
        write(&dir.path().join(other), "x");
    }
    fs::create_dir(dir.path().join("lists-old")).expect("a directory");
    assert!(timeout(SILENCE, watcher.changed()).await.is_err(), "nothing happened to a list");
}

#[tokio::test]
async fn waiting_can_be_given_up_and_taken_up_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut watcher = Watcher::start(dir.path());
    write(&dir.path().join("a.opml"), "<opml/>");
    // As a daemon does that waits for several things at once.
    let deadline = Instant::now() + 2 * DEADLINE;
    while timeout(Duration::from_millis(20), watcher.changed()).await.is_err() {
        assert!(Instant::now() < deadline, "the change was forgotten");
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn no_watch_is_left_behind() {
    let open = || fs::read_dir("/proc/self/fd").expect("it is Linux").count();
    let dir = tempfile::tempdir().expect("a directory");
    let mut watcher = Watcher::start(dir.path());
    let before = open();
    for round in 0..4 {
        write(&dir.path().join("a.opml"), &format!("<opml>{round}</opml>"));
        timeout(DEADLINE, watcher.changed()).await.expect("it is noticed");
    }
    // The thread of the last dropped watcher takes a moment to close what it had.
    let deadline = Instant::now() + DEADLINE;
    while open() > before {
        assert!(Instant::now() < deadline, "{} open files became {}", before, open());
        tokio::task::yield_now().await;
    }
}
