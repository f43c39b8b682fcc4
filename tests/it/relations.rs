//! The relationship views and the keeper's pages at the front door: which addresses there are, in which formats, for whom,
//! and for how long an answer holds.

use listend::listen::relations::Relation;

use crate::harness::{Daemon, Home, opml, until};
use crate::origin::{Origin, answer};
use crate::village::origin::now;

const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");

/// Your own site, and somebody who links to it, by a feed whose address has a password.
struct Scene {
    _origin: Origin,
    daemon: Daemon,
}

impl Scene {
    fn new(server: &str) -> Self {
        let date = now().to_rfc822();
        let origin = Origin::serve(move |request| {
            let about = |title: &str, items: &str| {
                let xml = format!("<rss version=\"2.0\"><channel><title>{title}</title>{items}</channel></rss>");
                answer(200, "Content-Type: application/rss+xml\r\n", xml)
            };
            match request.path.as_str() {
                "/kiln/rss" => about(
                    "Kiln Lane",
                    &format!(
                        "<item><guid>http://kiln.example/1</guid><link>http://kiln.example/1</link><title>A cracked bowl</title>\
                         <pubDate>{date}</pubDate><description>As &lt;a href=\"http://porch.example/light\"&gt;the porch\
                         &lt;/a&gt; says.</description></item>"
                    ),
                ),
                "/porch/rss" => about(
                    "The Porch",
                    &format!(
                        "<item><guid>http://porch.example/light</guid><link>http://porch.example/light</link>\
                         <title>A light</title><pubDate>{date}</pubDate></item>"
                    ),
                ),
                _ => answer(404, "", ""),
            }
        });
        let home = Home::new().allowing(&[origin.address]).serving(server);
        let feed = |name: &str| origin.url(&format!("/{name}/rss"));
        let secret = feed("kiln").replace("http://", "http://ann:s3cret@");
        let kiln =
            format!("<outline type=\"rss\" text=\"Kiln Lane\" htmlUrl=\"http://kiln.example/\" xmlUrl=\"{secret}\"/>");
        home.write_list("followers", &opml(&kiln));
        home.write_list("desired", &opml(&kiln));
        let porch = format!(
            "<outline type=\"rss\" text=\"The Porch\" htmlUrl=\"http://porch.example/\" xmlUrl=\"{}\"/>",
            feed("porch")
        );
        home.write_list("mine", &opml(&porch));
        let daemon = home.start();
        until("both were read", || {
            let read = |path: &str| daemon.get(path).status == 200 && daemon.items(path).len() == 1;
            (read("/followers.json?token=t") && read("/mine.json?token=t")).then_some(())
        });
        Self { _origin: origin, daemon }
    }
}

fn everywhere() -> Vec<String> {
    let relations = Relation::ALL.into_iter().flat_map(|relation| {
        ["atom", "rss", "json", "html", "opml"].map(|ending| format!("{}.{ending}", relation.path()))
    });
    relations.chain(["/", "/voices", "/voices?sort=name", "/voices/kiln-lane.html"].map(str::to_owned)).collect()
}

/// Those that are nobody's but the keeper's.
fn keepers() -> Vec<String> {
    let shared = ["/", "/voices/kiln-lane.html"];
    everywhere().into_iter().filter(|path| !shared.contains(&path.as_str())).collect()
}

#[test]
fn each_relation_is_a_view_in_every_format() {
    let scene = Scene::new("");
    let daemon = &scene.daemon;
    for path in everywhere() {
        let first = daemon.get(&path);
        let kind = match path.rsplit_once('.').map(|(_, ending)| ending) {
            Some("atom") => "application/atom+xml",
            Some("rss") => "application/rss+xml",
            Some("json") => "application/feed+json",
            Some("opml") => "text/x-opml",
            _ => "text/html",
        };
        assert_eq!(first.status, 200, "{path}");
        assert!(first.header("content-type").starts_with(kind), "{path}: {}", first.header("content-type"));
        assert!(!first.text().contains("s3cret"), "{path}: a password");
        let referrer = if kind == "text/html" { "same-origin" } else { "no-referrer" };
        assert_eq!(first.header("referrer-policy"), referrer, "{path}");

        let again = daemon.get_with(&path, &[("if-none-match", first.header("etag"))]);
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        let head = daemon.send("HEAD", &path, &[], "");
        assert_eq!((head.status, head.header("etag")), (200, first.header("etag")), "{path}");
        assert_eq!(head.header("content-length"), first.body.len().to_string(), "{path}");
        let posted = daemon.send("POST", &path, &[], "kind=thanked");
        assert_eq!((posted.status, posted.header("allow")), (405, "GET, HEAD"), "{path}");
    }
    for path in keepers() {
        assert_eq!(daemon.get(&path).header("cache-control"), "private, no-cache", "{path}");
    }
    for relation in Relation::ALL {
        let path = relation.path();
        let by_header = |accept: &str| daemon.get_with(path, &[("accept", accept)]).header("content-type").to_owned();
        assert!(by_header(BROWSER.1).starts_with("text/html"));
        assert!(by_header("application/feed+json").starts_with("application/feed+json"));
        assert!(daemon.get(path).header("content-type").starts_with("application/atom+xml"));
    }
    let metrics = daemon.get("/metrics").text();
    for label in ["view=\"thanks\",format=\"html\",status=\"200\"", "view=\"voices\",format=\"html\",status=\"200\""] {
        assert!(metrics.contains(label), "{label}");
    }
}

#[test]
fn bad_questions_are_answered_with_what_is_possible() {
    let scene = Scene::new("");
    for (path, words) in [
        ("/thanks.atom?page=1", "page: no such parameter"),
        ("/thanks.atom?limit=0", "limit=0"),
        ("/mutual.html?page=1", "page: no such parameter"),
        ("/mentions.html?colour=red", "colour: no such parameter"),
        ("/thanks.html?page=0", "page is a number from 1 on"),
        ("/quiet.html?page=1&amp;q=x", "amp;q: no such parameter"),
        ("/neglected.html?page=2&q=soup", "page=2"),
        ("/bridges.opml?since=lately", "since=lately"),
        ("/voices?sort=loudest", "sort is one of waiting, heard, links, name"),
        ("/voices?page=x", "page is a number from 1 on"),
        ("/voices?limit=3", "limit: no such parameter; there are sort and page"),
    ] {
        let refused = scene.daemon.get(path);
        assert_eq!(refused.status, 400, "{path}");
        assert!(refused.text().contains(words), "{path}: {}", refused.text());
    }
    for path in ["/thanks.html?page=99", "/voices?page=99&sort=links", "/quiet.html?limit=3&per_voice=2"] {
        assert_eq!(scene.daemon.get(path).status, 200, "{path}");
    }
    for path in ["/thank.atom", "/voices.atom", "/answered", "/mutual/kiln-lane"] {
        let nothing = scene.daemon.get(path);
        assert_eq!(nothing.status, 404, "{path}");
        for known in ["/listen", "/neglected", "/bridges", "/voices", "/health"] {
            assert!(nothing.text().contains(known), "{path}: {}", nothing.text());
        }
    }
}

#[test]
fn a_search_in_a_state_shows_the_stream() {
    let scene = Scene::new("");
    let page = |path: &str| scene.daemon.get(path).text();
    for relation in Relation::ALL.into_iter().filter(|relation| relation.has_state()) {
        let path = relation.path();
        let state = page(&format!("{path}.html"));
        for asked in ["q=soup", "since=2026-01-01T00:00:00Z", "before=00000000000000000000000000000000"] {
            let stream = page(&format!("{path}.html?{asked}"));
            assert_ne!(stream, state, "{path}?{asked}");
            assert!(stream.contains("class=\"stream\""), "{path}?{asked}");
        }
        assert_eq!(page(&format!("{path}.html?page=1&limit=7")), state, "{path}");
    }
}

#[test]
fn with_tokens_everything_needs_one() {
    let scene = Scene::new("tokens = [\"other\", \"t\"]");
    for path in everywhere() {
        let mark = if path.contains('?') { '&' } else { '?' };
        for (query, headers, status) in [
            ("", &[][..], 401),
            ("", &[("authorization", "Bearer wrong")][..], 401),
            ("token=wrong", &[][..], 401),
            ("token=t", &[][..], 200),
            ("", &[("authorization", "Bearer t")][..], 200),
            ("", &[("authorization", "Basic YW5uOnQ=")][..], 200),
        ] {
            let asked = if query.is_empty() { path.clone() } else { format!("{path}{mark}{query}") };
            let answer = scene.daemon.get_with(&asked, headers);
            assert_eq!(answer.status, status, "{asked} {headers:?}");
            if status == 401 {
                assert_eq!(answer.header("www-authenticate"), "Basic realm=\"listend\"");
            } else {
                assert!(!answer.text().contains("token=t"), "{asked}: the token is nobody's business");
                assert_eq!(answer.header("cache-control"), "private, no-cache", "{asked}");
                assert_eq!(answer.header("vary"), "Accept, Accept-Encoding", "{asked}");
            }
        }
    }
}

#[test]
fn in_public_the_keeper_sees_more() {
    let scene = Scene::new("tokens = [\"t\"]\npublic = true");
    let daemon = &scene.daemon;
    let keeper = [("authorization", "Bearer t")];
    for path in keepers() {
        assert_eq!(daemon.get(&path).status, 401, "{path}");
        let full = daemon.get_with(&path, &keeper);
        assert_eq!((full.status, full.header("cache-control")), (200, "private, no-cache"), "{path}");
    }
    for path in ["/", "/voices/kiln-lane.html", "/followers.atom", "/listen.json", "/listen.rss"] {
        // Each again: what is kept for the one must not reach the other. What is fetched in between may change the page.
        let same_again = |_| {
            let asked = |headers: &[(&str, &str)]| daemon.get_with(path, headers);
            let [plain, full, plain_again, full_again] = [&[][..], &keeper, &[], &keeper].map(asked);
            assert_ne!(plain_again.body, full.body, "{path}");
            assert_ne!(full_again.body, plain.body, "{path}");
            (plain.body == plain_again.body && full.body == full_again.body).then_some((plain, full))
        };
        let (plain, full) = (0..10).find_map(same_again).unwrap_or_else(|| panic!("{path}: never twice the same"));
        assert_ne!(plain.body, full.body, "{path}");
        assert_ne!(plain.header("etag"), full.header("etag"), "{path}");
        for (answer, caching) in [(&plain, "public, no-cache"), (&full, "private, no-cache")] {
            assert_eq!(answer.header("cache-control"), caching, "{path}");
            assert_eq!(answer.header("vary"), "Accept, Accept-Encoding, Authorization", "{path}");
        }
        let wrong = daemon.get_with(path, &[("authorization", "Bearer wrong")]);
        assert_eq!(wrong.body, plain.body, "{path}");
        assert!(!plain.text().contains("/answered/"), "{path}: a link that only the keeper can follow");
        let stale = daemon.get_with(path, &[("if-none-match", plain.header("etag")), keeper[0]]);
        assert_eq!(stale.status, 200, "{path}: the keeper's page is another one");
    }
    assert!(!daemon.get("/nothing.atom").text().contains("/thanks"));

    let scene = Scene::new("public = true");
    assert_eq!(scene.daemon.get("/").status, 200);
    for path in keepers() {
        assert_eq!(scene.daemon.get(&path).status, 401, "{path}: without tokens nobody is the keeper");
    }
    assert!(!scene.daemon.get("/listen.atom").text().contains("/answered/"));
}

#[test]
fn entries_end_with_the_way_to_note_an_answer() {
    let scene = Scene::new("tokens = [\"t\"]\npublic = true");
    let (daemon, keeper) = (&scene.daemon, [("authorization", "Bearer t")]);
    for ending in ["atom", "rss", "json", "html"] {
        let path = format!("/followers.{ending}");
        let full = daemon.get_with(&path, &keeper).text();
        assert!(full.contains("/answered/"), "{path}: {full}");
        assert!(!daemon.get(&path).text().contains("/answered/"), "{path}");
    }
    for path in ["/mine.atom", "/voices/the-porch.atom", "/mine/the-porch.atom", "/health.atom"] {
        let page = daemon.get_with(path, &keeper);
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.text().contains("/answered/"), "{path}: nobody answers themselves");
    }
    // The link is no change of the entry: it has the same name and the same dates.
    let entry = |headers: &[(&str, &str)]| {
        let mut item = daemon.get_with("/followers.json", headers).json()["items"][0].clone();
        item.as_object_mut().unwrap().remove("content_html");
        item["_listend"].as_object_mut().unwrap().remove("answered_url");
        item
    };
    assert_eq!(entry(&[]), entry(&keeper));
    let updated = |headers: &[(&str, &str)]| {
        let text = daemon.get_with("/followers.atom", headers).text();
        text.split("<updated>").skip(1).map(|rest| rest[..20].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(updated(&[]), updated(&keeper));
}

#[test]
fn nobody_passes_on_what_is_between_you_and_the_voices() {
    let scene = Scene::new("hub = \"https://hub.example/\"");
    assert!(scene.daemon.get("/followers.atom").header("link").contains("rel=\"hub\""));
    for relation in Relation::ALL {
        let feed = scene.daemon.get(&format!("{}.atom", relation.path()));
        assert_eq!((feed.status, feed.header("link")), (200, ""), "{}", relation.path());
        assert!(!feed.text().contains("hub.example"), "{}", relation.path());
    }
}
