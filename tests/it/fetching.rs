//! One request at a time against origins on loopback: what is sent, what is followed, what is taken, what is refused.

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use listend::feeds::fetch::{ACCEPT_FEED, Answer, Client, Failure, Settings};
use listend::model::Validators;

use rustls::HandshakeKind;

use crate::origin::{NOW, Origin, Reply, TLS_ROOT, answer, client, feed_url, get, redirect, settings};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

async fn body(client: &Client, url: &str) -> (Vec<u8>, bool) {
    let answer = get(client, url).await.expect("an answer");
    (answer.body.to_vec(), answer.cut_off)
}

#[tokio::test]
async fn a_request_says_who_asks_and_nothing_else() {
    let origin = Origin::serve(|_| answer(200, "Set-Cookie: a=b\r\nContent-Type: text/xml; charset=x\r\n", "<rss/>"));
    let contact = Some("https://example.org/about".to_owned());
    let client = client(Settings { contact, ..settings([origin.address]) });
    let first = get(&client, &origin.url("/feed")).await.expect("an answer");
    assert_eq!((first.status, &first.body[..], first.cut_off), (200, &b"<rss/>"[..], false));
    assert_eq!(first.content_type.as_deref(), Some("text/xml; charset=x"));
    assert_eq!(first.validators, Validators::default());
    get(&client, &origin.url("/feed")).await.expect("an answer");
    for request in origin.requests() {
        let header = |name| request.header(name).map(|value| String::from_utf8_lossy(&value).into_owned());
        let agent = format!("listend/{} (+https://example.org/about)", env!("CARGO_PKG_VERSION"));
        assert_eq!(header("user-agent"), Some(agent));
        assert_eq!(header("accept").as_deref(), Some(ACCEPT_FEED));
        let encodings = header("accept-encoding").expect("compression is asked for");
        assert!(["gzip", "br", "deflate"].iter().all(|coding| encodings.contains(coding)), "{encodings}");
        for absent in ["cookie", "referer", "authorization", "if-none-match", "if-modified-since"] {
            assert_eq!(header(absent), None, "{absent}");
        }
    }
}

#[tokio::test]
async fn a_contact_that_is_no_header_is_refused() {
    let contact = Some("https://example.org/\n".to_owned());
    let refused = Client::new(Settings { contact, ..settings([]) }).expect_err("a line break is in it");
    assert!(refused.to_string().contains("fetch.contact"), "{refused}");
}

#[tokio::test]
async fn connections_are_reused() {
    let origin = Origin::serve(|_| answer(200, "", "x".repeat(100_000)));
    let client = origin.client();
    for _ in 0..20 {
        get(&client, &origin.url("/feed")).await.expect("an answer");
    }
    assert_eq!((origin.requests().len(), origin.connections()), (20, 1));
}

#[tokio::test]
async fn a_connection_closed_behind_a_redirect_is_replaced() {
    // It never says that it will close, and the next request may be under way already.
    let origin = Origin::serve(|request| match request.path.as_str() {
        "/feed" => answer(200, "", "hi"),
        _ => Reply::Close(b"HTTP/1.1 302 X\r\nLocation: /feed\r\nContent-Length: 0\r\n\r\n".to_vec()),
    });
    for _ in 0..20 {
        // A client of its own each time: none has a connection from before.
        assert_eq!(get(&origin.client(), &origin.url("/")).await.expect("an answer").body, "hi");
    }
    assert_eq!(origin.requests().len(), 40, "nothing is asked twice that was read");
}

#[tokio::test]
async fn validators_go_back_byte_for_byte_and_are_refreshed_by_a_304() {
    let origin = Origin::serve(|request| match request.header("if-none-match") {
        None => {
            let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: W/\"x\xe4 '\"\r\n".to_vec();
            bytes.extend_from_slice(b"Last-Modified: yesterday, or so\r\n\r\nhi");
            Reply::Send(bytes)
        }
        Some(_) => answer(304, "ETag: \"second\"\r\nCache-Control: max-age=60\r\n", ""),
    });
    let (client, url) = (origin.client(), feed_url(&origin.url("/feed")));
    let first = client.get(&url, &Validators::default(), ACCEPT_FEED, NOW).await.expect("an answer");
    let second = client.get(&url, &first.validators, ACCEPT_FEED, NOW).await.expect("an answer");
    assert_eq!((second.status, second.freshness), (304, Some(Duration::from_mins(1))));
    assert_eq!(second.validators.etag.as_deref(), Some(&b"\"second\""[..]));
    assert_eq!(second.validators.last_modified.as_deref(), Some(&b"yesterday, or so"[..]));
    let sent = &origin.requests()[1];
    assert_eq!(sent.header("if-none-match").as_deref(), Some(&b"W/\"x\xe4 '\""[..]));
    assert_eq!(sent.header("if-modified-since").as_deref(), Some(&b"yesterday, or so"[..]));
}

#[tokio::test]
async fn validators_go_only_where_they_came_from() {
    let origin = Origin::serve(|request| match (request.path.as_str(), request.header("if-none-match")) {
        ("/old", _) => redirect(302, "/new"),
        ("/new", None) => answer(200, "ETag: \"new\"\r\n", "x"),
        ("/new", Some(_)) => answer(304, "", ""),
        _ => answer(404, "", ""),
    });
    let (client, url) = (origin.client(), feed_url(&origin.url("/old")));
    let first = client.get(&url, &Validators::default(), ACCEPT_FEED, NOW).await.expect("an answer");
    assert_eq!(first.validators.from, Some(feed_url(&origin.url("/new"))));
    let second = client.get(&url, &first.validators, ACCEPT_FEED, NOW).await.expect("an answer");
    assert_eq!((second.status, second.validators), (304, first.validators));
    let sent: Vec<_> =
        origin.requests().iter().map(|r| (r.path.clone(), r.header("if-none-match").is_some())).collect();
    let sent: Vec<_> = sent.iter().map(|(path, conditional)| (path.as_str(), *conditional)).collect();
    assert_eq!(sent, [("/old", false), ("/new", false), ("/old", false), ("/new", true)]);
}

#[tokio::test]
async fn a_304_that_nobody_asked_for_is_no_success() {
    let origin = Origin::serve(|_| answer(304, "", ""));
    let failure = get(&origin.client(), &origin.url("/")).await.expect_err("there is no earlier answer");
    assert_eq!(failure.kind(), "transport");
}

#[tokio::test]
async fn redirects_are_followed_and_told_apart() {
    let origin = Origin::serve(|request| match request.path.as_str() {
        "/301" => redirect(301, "308"),
        "/308" => redirect(308, "/302"),
        "/302" => redirect(302, "?303"),
        "/302?303" => redirect(303, "/307#fragment"),
        "/307" => redirect(307, "/feed"),
        "/temporary-first" => redirect(307, "/permanent"),
        "/permanent" => redirect(301, "/feed"),
        "/feed" => answer(200, "", "here"),
        _ => answer(500, "", ""),
    });
    let client = origin.client();
    let follow = async |path: &str| get(&client, &origin.url(path)).await.expect("an answer");
    let moved = |answer: &Answer| answer.moved().map(|moved| moved.to.url().path().to_owned());

    let long = follow("/301").await;
    assert_eq!((long.status, &long.body[..], long.url.url().path()), (200, &b"here"[..], "/feed"));
    assert_eq!(long.hops.iter().map(|hop| hop.status).collect::<Vec<_>>(), [301, 308, 302, 303, 307]);
    assert_eq!(moved(&long).as_deref(), Some("/302"), "as far as it is permanent");
    assert_eq!(moved(&follow("/308").await).as_deref(), Some("/302"));
    assert_eq!(moved(&follow("/302").await), None);
    assert_eq!(moved(&follow("/temporary-first").await), None, "what is behind a temporary redirect is temporary");
    assert_eq!(moved(&follow("/permanent").await).as_deref(), Some("/feed"));
    assert!(!follow("/permanent").await.moved().expect("it moved").upgrade);
}

#[tokio::test]
async fn redirects_that_lead_nowhere_end() {
    let origin = Origin::serve(|request| match request.path.as_str() {
        "/self" => redirect(302, "/self"),
        "/ping" => redirect(301, "/pong"),
        "/pong" => redirect(301, "/ping"),
        "/nowhere" => answer(302, "", ""),
        "/nonsense" => redirect(302, "http://[::1"),
        "/long" => redirect(302, &format!("/{}", "x".repeat(9000))),
        "/file" => redirect(302, "file:///etc/passwd"),
        "/gopher" => redirect(302, "gopher://127.0.0.1/"),
        path => redirect(302, &format!("{path}x")),
    });
    let client = origin.client();
    for (path, kind, requests) in [
        ("/self", "redirect", 1),
        ("/ping", "redirect", 2),
        ("/nowhere", "redirect", 1),
        ("/nonsense", "redirect", 1),
        ("/long", "redirect", 1),
        ("/file", "blocked_address", 1),
        ("/gopher", "blocked_address", 1),
        ("/ever-longer", "redirect", 6),
    ] {
        let before = origin.requests().len();
        let failure = get(&client, &origin.url(path)).await.expect_err(path);
        assert_eq!((failure.kind(), origin.requests().len() - before), (kind, requests), "{path}: {failure}");
    }
}

#[tokio::test]
async fn credentials_stay_with_their_host() {
    let other = Origin::serve(|request| match request.path.as_str() {
        "/broken" => Reply::Close(b"nonsense".to_vec()),
        _ => answer(200, "", "other"),
    });
    let elsewhere = other.url("/feed");
    let broken = other.url("/broken").replace("http://", "http://eve:mine@");
    let origin = Origin::serve(move |request| match request.path.as_str() {
        "/away" => redirect(301, &elsewhere),
        "/relative" => redirect(301, "/feed"),
        "/planted" => redirect(301, &broken),
        "/broken" => Reply::Close(b"nonsense".to_vec()),
        _ => answer(200, "", "here"),
    });
    let client = client(settings([origin.address, other.address]));
    let with_password = |path: &str| origin.url(path).replace("http://", "http://ann:s%20cret@");

    let here = get(&client, &with_password("/relative")).await.expect("an answer");
    assert!(here.url.as_str().contains("ann:s%20cret@"), "the address that it moved to needs them too");
    assert!(!format!("{here:?}").contains("cret"), "{here:?}");
    assert_eq!(here.base().as_str(), origin.url("/feed"), "and nothing that is resolved against it does");
    let basic = Some(b"Basic YW5uOnMgY3JldA==".to_vec());
    assert!(origin.requests().iter().all(|request| request.header("authorization") == basic));

    let away = get(&client, &with_password("/away")).await.expect("an answer");
    assert!(!away.url.as_str().contains('@'));
    let planted = get(&client, &with_password("/planted")).await.expect_err("no HTTP");
    assert!(!planted.to_string().contains("mine"), "{planted}");
    assert!(other.requests().iter().all(|request| request.header("authorization").is_none()));

    let broken = get(&client, &with_password("/broken")).await.expect_err("no HTTP");
    assert!(!broken.to_string().contains("cret") && !format!("{broken:?}").contains("cret"), "{broken:?}");
}

#[tokio::test]
async fn bodies_are_decoded_however_they_were_packed() {
    let text = b"<rss>".repeat(10_000);
    let plain = text.clone();
    let origin = Origin::serve(move |request| {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(&plain).expect("memory");
        match request.path.as_str() {
            "/gzip" => answer(200, "Content-Encoding: gzip\r\n", gzip(&plain)),
            "/x-gzip" => answer(200, "Content-Encoding: x-gzip\r\n", gzip(&plain)),
            "/deflate" => answer(200, "Content-Encoding: deflate\r\n", zlib.finish().expect("memory")),
            "/raw-deflate" => {
                let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
                raw.write_all(&plain).expect("memory");
                answer(200, "Content-Encoding: deflate\r\n", raw.finish().expect("memory"))
            }
            "/twice" => answer(200, "Content-Encoding: gzip, gzip\r\n", gzip(&gzip(&plain))),
            "/feed.xml.gz" => answer(200, "Content-Type: application/gzip\r\n", gzip(&plain)),
            _ => answer(200, "", &plain),
        }
    });
    let client = origin.client();
    for path in ["/plain", "/gzip", "/x-gzip", "/deflate", "/raw-deflate", "/twice", "/feed.xml.gz"] {
        let (read, cut_off) = body(&client, &origin.url(path)).await;
        assert!(read == text && !cut_off, "{path}: {} bytes", read.len());
    }
}

#[tokio::test]
async fn brotli_is_decoded_and_what_is_no_encoding_is_refused() {
    // `hello` as one uncompressed block (RFC 7932, section 9.2), and its end.
    let hello = b"\x0b\x02\x80hello\x03";
    let origin = Origin::serve(move |request| match request.path.as_str() {
        "/br" => answer(200, "Content-Encoding: br\r\n", hello),
        "/half" => answer(200, "Content-Encoding: BR\r\n", &hello[..6]),
        "/empty" => answer(200, "Content-Encoding: gzip\r\n", ""),
        coding => answer(200, &format!("Content-Encoding: {}\r\n", &coding[1..]), "<rss>plain</rss>"),
    });
    let client = origin.client();
    assert_eq!(body(&client, &origin.url("/br")).await, (b"hello".to_vec(), false));
    assert_eq!(body(&client, &origin.url("/empty")).await, (Vec::new(), false));
    for path in ["/gzip", "/deflate", "/half"] {
        match get(&client, &origin.url(path)).await {
            Err(failure) => assert_eq!(failure.kind(), "transport", "{path}"),
            Ok(answer) => assert!(answer.cut_off && b"hello".starts_with(&answer.body), "{path}: {:?}", answer.body),
        }
    }
    assert_eq!(body(&client, &origin.url("/identity")).await, (b"<rss>plain</rss>".to_vec(), false));
}

#[tokio::test]
async fn too_much_is_refused_without_being_taken() {
    // 200 MB of zeros in 200 KB.
    let bomb = gzip(&vec![0; 200_000_000]);
    let nested = gzip(&bomb);
    let origin = Origin::serve(move |request| match request.path.as_str() {
        "/announced" => Reply::Hang(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec()),
        "/endless" => Reply::Repeat(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 65_536]),
        "/bomb" => answer(200, "Content-Encoding: gzip\r\n", &bomb),
        "/hidden-bomb" => answer(200, "", &bomb),
        "/nested-bomb" => answer(200, "Content-Encoding: gzip\r\n", &nested),
        "/headers" => Reply::Repeat(b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-Flood: yes\r\n".repeat(100)),
        "/header" => Reply::Repeat(b"HTTP/1.1 200 OK\r\nX-Flood: ".to_vec(), vec![b'x'; 65_536]),
        "/large-headers" => answer(200, &format!("X-Large: {}\r\n", "x".repeat(70_000)), ""),
        _ => answer(200, "", vec![b'x'; 100_000]),
    });
    let client = client(Settings { max_body_bytes: 100_000, ..settings([origin.address]) });
    assert_eq!(body(&client, &origin.url("/exactly")).await.0.len(), 100_000);
    for (path, kinds) in [
        ("/announced", &["too_large"][..]),
        ("/endless", &["too_large"]),
        ("/bomb", &["too_large"]),
        ("/hidden-bomb", &["too_large"]),
        ("/nested-bomb", &["too_large"]),
        // The client's own bounds may notice first.
        ("/headers", &["too_large", "transport"]),
        ("/header", &["too_large", "transport"]),
        ("/large-headers", &["too_large"]),
    ] {
        let failure = get(&client, &origin.url(path)).await.expect_err(path);
        assert!(kinds.contains(&failure.kind()), "{path}: {failure}");
    }
}

#[tokio::test]
async fn the_slow_are_left() {
    let origin = Origin::serve(|request| match request.path.as_str() {
        "/silent" => Reply::Hang(Vec::new()),
        "/half-a-header" => Reply::Drip(b"HTTP/1.1 200 OK\r\nX-Slow: ".to_vec()),
        "/stuck" => Reply::Hang(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".to_vec()),
        _ => Reply::Drip(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
    });
    let (headers, whole) = (Duration::from_millis(200), Duration::from_millis(400));
    let client = client(Settings { first_byte_timeout: headers, timeout: whole, ..settings([origin.address]) });
    for (path, limit) in [("/silent", headers), ("/half-a-header", headers), ("/stuck", whole), ("/drip", whole)] {
        match get(&client, &origin.url(path)).await {
            Err(Failure::Timeout { limit: waited, .. }) => assert_eq!(waited, limit, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_cut_off_body_is_kept_but_not_its_validators() {
    let packed = gzip(&(0..100_000u32).flat_map(u32::to_be_bytes).collect::<Vec<_>>());
    let half = packed[..packed.len() / 2].to_vec();
    let origin = Origin::serve(move |request| {
        let head = "HTTP/1.1 200 OK\r\nETag: \"x\"\r\n";
        let with = |more: &str, body: &[u8]| Reply::Close([format!("{head}{more}\r\n").as_bytes(), body].concat());
        match request.path.as_str() {
            "/length" => with("Content-Length: 1000\r\n", b"<rss><item/>"),
            "/chunked" => with("Transfer-Encoding: chunked\r\n", b"c\r\n<rss><item/>\r\n"),
            "/gzip" => with("Content-Encoding: gzip\r\n", &half),
            "/hidden-gzip" => with("", &half),
            "/nothing" => with("Content-Length: 1000\r\n", b""),
            _ => with("", b"<rss><item/>"),
        }
    });
    let client = origin.client();
    for path in ["/length", "/chunked"] {
        let answer = get(&client, &origin.url(path)).await.expect(path);
        assert_eq!((&answer.body[..], answer.cut_off), (&b"<rss><item/>"[..], true), "{path}");
        assert_eq!(answer.validators, Validators::default(), "{path}");
    }
    for path in ["/gzip", "/hidden-gzip"] {
        let answer = get(&client, &origin.url(path)).await.expect(path);
        assert!(answer.cut_off && answer.body.len() > 1000, "{path}: {} bytes", answer.body.len());
    }
    let whole = get(&client, &origin.url("/until-close")).await.expect("an answer");
    assert!(!whole.cut_off && whole.validators.etag.is_some());
    let nothing = get(&client, &origin.url("/nothing")).await.expect_err("not one byte came");
    assert_eq!(nothing.kind(), "transport");
}

#[tokio::test]
async fn only_a_200_has_a_body() {
    let origin = Origin::serve(|request| {
        let status = request.path[1..].parse().expect("a status");
        answer(status, "Retry-After: 120\r\nETag: \"x\"\r\n", if status == 204 { "" } else { "words for people" })
    });
    let client = origin.client();
    for status in [200, 203, 204, 300, 400, 401, 403, 404, 410, 429, 451, 500, 503] {
        let answer = get(&client, &origin.url(&format!("/{status}"))).await.expect("an answer");
        assert_eq!((answer.status, answer.retry_after), (status, Some(Duration::from_mins(2))));
        assert_eq!(
            (!answer.body.is_empty(), answer.validators.etag.is_some()),
            (status < 204, status < 204),
            "{status}"
        );
    }
}

#[tokio::test]
async fn both_forms_of_retry_after_and_hubs_come_with_the_answer() {
    let origin = Origin::serve(|_| {
        let date = "Date: Sun, 22 Nov 2026 20:00:00 GMT\r\nRetry-After: Sun, 22 Nov 2026 20:30:00 GMT\r\n";
        answer(503, &format!("{date}Link: <https://hub.example/>; rel=\"hub\", </me>; rel=self\r\n"), "")
    });
    let answer = get(&origin.client(), &origin.url("/a/b")).await.expect("an answer");
    assert_eq!(answer.retry_after, Some(Duration::from_mins(30)), "by the server's own clock");
    assert_eq!((answer.hubs, answer.self_link), (vec!["https://hub.example/".to_owned()], Some(origin.url("/me"))));
}

#[tokio::test]
async fn broken_connections_have_names() {
    let refused = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let dead = refused.local_addr().expect("a bound listener");
    drop(refused);
    let origin = Origin::serve(|request| match request.path.as_str() {
        "/close" => Reply::Close(Vec::new()),
        "/reset" => Reply::Close(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec()),
        _ => Reply::Close(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n".to_vec()),
    });
    let client = client(settings([origin.address, dead]));
    let kind = async |url: &str| get(&client, url).await.expect_err(url);
    let unreachable = kind(&format!("http://{dead}/")).await;
    assert!(unreachable.kind() == "unreachable" && unreachable.may_be_our_network(), "{unreachable}");
    for path in ["/close", "/reset", "/ssh"] {
        let transport = kind(&origin.url(path)).await;
        assert!(transport.kind() == "transport" && !transport.may_be_our_network(), "{transport}");
    }
}

#[tokio::test]
async fn tls_is_checked_and_resumed() {
    let (origin, sessions) = Origin::serve_tls(|request| match request.path.as_str() {
        // Closed each time, so that each request needs a new connection.
        "/feed" => {
            assert!(!request.header("host").expect("a host").is_empty());
            Reply::Close(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi".to_vec())
        }
        _ => answer(404, "", ""),
    });
    let ssh = Origin::blurt(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
    let url = origin.url("/feed").replace("http://", "https://");

    let strict = client(settings([origin.address, ssh.address]));
    let unknown = get(&strict, &url).await.expect_err("nobody vouches for it");
    assert_eq!(unknown.kind(), "tls", "{unknown}");
    assert!(!unknown.may_be_our_network());
    let no_tls = get(&strict, &ssh.url("/").replace("http://", "https://")).await.expect_err("it speaks no TLS");
    assert_eq!(no_tls.kind(), "tls", "{no_tls}");
    assert_eq!(origin.requests().len(), 0);

    let trusting = client(Settings { roots: Some(vec![TLS_ROOT.to_vec()]), ..settings([origin.address]) });
    for _ in 0..3 {
        assert_eq!(get(&trusting, &url).await.expect("an answer").body, "hi");
    }
    let ended = || sessions.0.lock().expect("no handler panicked").clone();
    let deadline = Instant::now() + Duration::from_secs(10);
    while ended().len() < 3 && Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    assert_eq!(ended(), [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed]);
}
