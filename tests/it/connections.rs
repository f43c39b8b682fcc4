//! Connections of the client: sessions that are resumed, HTTP/2 where it is offered, and bodies that share one budget.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use listend::feeds::fetch::{Failure, Settings};
use rustls::HandshakeKind;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::origin::{Origin, Reply, TLS_ROOT, answer, client, get, settings};

#[tokio::test]
async fn a_second_visit_resumes_the_session_of_the_first_in_both_versions_of_tls() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (origin, sessions) = Origin::serve_tls_in(&[version], |_| {
            Reply::Close(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi".to_vec())
        });
        let roots = Some(vec![TLS_ROOT.to_vec()]);
        let client = client(Settings { roots, ..settings([origin.address]) });
        for _ in 0..3 {
            let url = origin.url("/feed").replace("http://", "https://");
            assert_eq!(get(&client, &url).await.expect("an answer").body, "hi");
        }
        let ended = || sessions.0.lock().expect("no handler panicked").clone();
        let deadline = Instant::now() + Duration::from_secs(10);
        while ended().len() < 3 && Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
        let expected = [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed];
        assert_eq!((ended().as_slice(), origin.connections()), (&expected[..], 3), "{version:?}");
    }
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_offered() {
    let key = PrivateKeyDer::Pkcs8(include_bytes!("tls/key.der").to_vec().into());
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows them")
        .with_no_client_auth()
        .with_single_cert(vec![TLS_ROOT.to_vec().into()], key)
        .expect("the key fits the certificate");
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener");
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        // One connection is enough for all requests.
        let (stream, _) = listener.accept().await.expect("a connection");
        let stream = acceptor.accept(stream).await.expect("a handshake");
        let service = service_fn(|request: hyper::Request<Incoming>| async move {
            let said = format!("{:?} {}", request.version(), request.uri());
            let large = Bytes::from(vec![b'x'; 1_000_000]);
            let body = if request.uri().path() == "/large" { large } else { said.into() };
            Ok::<_, std::convert::Infallible>(hyper::Response::new(Full::new(body)))
        });
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
    });
    let client = client(Settings { roots: Some(vec![TLS_ROOT.to_vec()]), ..settings([address]) });
    for path in ["/one", "/two"] {
        let url = format!("https://{address}{path}");
        assert_eq!(get(&client, &url).await.expect("an answer").body, format!("HTTP/2.0 {url}"));
    }
    let large = get(&client, &format!("https://{address}/large")).await.expect("an answer");
    assert_eq!((large.body.len(), large.cut_off), (1_000_000, false));
}

#[tokio::test]
async fn bodies_in_flight_share_one_budget() {
    let large = vec![b'x'; 4 * 1024 * 1024];
    let origin = Origin::serve(move |request| match request.path.as_str() {
        "/large" => answer(200, "", &large),
        _ => answer(200, "", "small"),
    });
    let client = client(Settings { timeout: Duration::from_secs(2), ..settings([origin.address]) });
    let large = async || get(&client, &origin.url("/large")).await;
    // Eight of them are 32 MiB; the ninth lives on the reserve.
    let mut held = Vec::new();
    for _ in 0..9 {
        held.push(large().await.expect("there is room"));
    }
    let waited = large().await.expect_err("there is none");
    assert!(matches!(waited, Failure::Timeout { .. }), "{waited}");
    assert_eq!(get(&client, &origin.url("/small")).await.expect("small ones need none").body, "small");
    // Copies of a body count for as long as any of them is there.
    let copy = held.pop().map(|answer| answer.body);
    large().await.expect_err("there is still none");
    drop(copy);
    assert_eq!(large().await.expect("there is room again").body.len(), 4 * 1024 * 1024);
}

#[tokio::test]
async fn many_large_bodies_at_once_all_come_through() {
    let large = vec![b'x'; 4 * 1024 * 1024];
    let origin = Origin::serve(move |_| answer(200, "", &large));
    let client = client(Settings { timeout: Duration::from_secs(30), ..settings([origin.address]) });
    let mut asking = JoinSet::new();
    for _ in 0..24 {
        let (client, url) = (client.clone(), origin.url("/large"));
        asking.spawn(async move { get(&client, &url).await.map(|answer| answer.body.len()) });
    }
    for length in asking.join_all().await {
        assert_eq!(length, Ok(4 * 1024 * 1024));
    }
}
