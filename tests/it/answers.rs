//! What the daemon makes of answers that are neither new nor faulty: the same body again, and half a body.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::{Home, opml, outline, until};
use crate::origin::{Origin, Reply, answer};

fn document(items: u32) -> String {
    let mut xml = "<rss version=\"2.0\"><channel><title>A feed</title>".to_owned();
    for n in 0..items {
        let _ = write!(xml, "<item><guid>{n}</guid><title>Post {n}</title></item>");
    }
    xml + "</channel></rss>"
}

#[test]
fn the_same_body_again_is_a_success_and_not_read() {
    let origin = Origin::serve(|_| answer(200, "", document(3)));
    let home = Home::new().allowing(&[origin.address]);
    home.write_list("followers", &opml(&outline("A feed", &origin.url("/feed"))));
    let daemon = home.start();
    let counted = |outcome: &str| {
        let metrics = daemon.get("/metrics").text();
        let line = metrics.lines().find(|line| line.contains(&format!("outcome=\"{outcome}\"")));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or_default()
    };
    until("it came three times", || (counted("unchanged") >= 2.0).then_some(()));
    assert!((counted("ok") - 1.0).abs() < 0.1, "it was read once");
    let feed = &daemon.status()["feeds"][0];
    assert_eq!((&feed["state"], &feed["entries"], &feed["failures"]), (&"ok".into(), &3.into(), &0.into()));
    assert_eq!(daemon.items("/listen.json").len(), 3);
}

#[test]
fn half_a_body_is_kept_and_asked_for_again_in_full() {
    let was_asked = AtomicBool::new(false);
    let origin = Origin::serve(move |request| {
        let whole = document(3);
        if request.header("if-none-match").is_some() {
            return answer(304, "ETag: \"whole\"\r\n", "");
        }
        let is_first = !was_asked.swap(true, Ordering::SeqCst);
        let Reply::Send(mut bytes) = answer(200, "ETag: \"whole\"\r\n", &whole) else { unreachable!() };
        if is_first {
            // Up to the middle of the third item.
            bytes.truncate(bytes.len() - 60);
            return Reply::Close(bytes);
        }
        Reply::Send(bytes)
    });
    let home = Home::new().allowing(&[origin.address]);
    home.write_list("followers", &opml(&outline("A feed", &origin.url("/feed"))));
    let daemon = home.start();
    until("the rest has come", || (daemon.items("/listen.json").len() == 3).then_some(()));
    until("it was asked again", || (origin.requests().len() >= 3).then_some(()));
    let sent: Vec<bool> =
        origin.requests().iter().take(3).map(|request| request.header("if-none-match").is_some()).collect();
    assert_eq!(sent, [false, false, true], "the validators of half a body are worth nothing");
    assert!(daemon.log().contains("the answer broke off"));
}
