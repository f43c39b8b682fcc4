//! How long does a page take that is kept: whole, compressed, and as 304 to a reader that has it?
//!
//! Asked over one loopback connection that stays open, so the times have two crossings of the kernel in them; the example
//! `bench --serve` tells what many readers at once get.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "criterion's macros make an undocumented main; a bench may fail loudly"
)]

#[allow(dead_code, reason = "other benches use the rest")]
mod filled;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use filled::{FEEDS_A_FOLDER, Filled};
use listend::config::Config;
use listend::daemon::now;
use listend::http::metrics::Metrics;
use listend::http::webmention::Letterbox;
use listend::http::websub::Doors;
use listend::http::{self, App, Listener};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const FEEDS: u32 = 2 * FEEDS_A_FOLDER;
const ENTRIES: u32 = 4;

/// A connection that is kept.
struct Reader {
    server: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Reader {
    fn new(server: SocketAddr) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a reader asks the daemon")]
        let stream = TcpStream::connect(server).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { server, stream: BufReader::new(stream) }
    }

    /// Asks for the merged feed; returns the status, the `ETag` and the length of the body.
    fn ask(&mut self, fields: &str) -> (u16, String, usize) {
        let request = format!("GET /listen.atom HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", self.server);
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut status, mut etag, mut length) = (0, String::new(), 0);
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            match line.split_once(": ") {
                Some(("etag", value)) => value.clone_into(&mut etag),
                // A 304 may tell how long the page is that it does not send (RFC 9110, section 8.6).
                Some(("content-length", value)) if status == 200 => length = value.parse().unwrap(),
                Some(_) => {}
                None => status = line.split(' ').nth(1).unwrap().parse().unwrap(),
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        (status, etag, length)
    }
}

fn serving(criterion: &mut Criterion) {
    let filled = Filled::new(FEEDS, ENTRIES);
    let config = Config::parse("", None, Path::new(".")).unwrap();
    let (doors, _calls) = Doors::new();
    let (letterbox, _claims) = Letterbox::new();
    let app = App::new(
        filled.live.clone(),
        filled.store.clone(),
        config,
        Arc::new(Metrics::default()),
        doors,
        letterbox,
        now,
    );
    let app = Arc::new(app);
    app.set_ready();
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let server = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = runtime.spawn(http::serve(Listener::Tcp(listener), app, stop.clone(), || {}));

    let mut reader = Reader::new(server);
    let mut group = criterion.benchmark_group("a kept page");
    for (what, fields) in [("whole", ""), ("gzip", "Accept-Encoding: gzip\r\n")] {
        let (status, etag, length) = reader.ask(fields);
        assert!(status == 200 && length > 0, "{status} with {length} bytes");
        group.bench_function(format!("200 {what}"), |bencher| bencher.iter(|| reader.ask(fields)));
        let fields = format!("{fields}If-None-Match: {etag}\r\n");
        assert_eq!(reader.ask(&fields).0, 304);
        group.bench_function(format!("304 {what}"), |bencher| bencher.iter(|| reader.ask(&fields)));
    }
    group.finish();
    drop(reader);
    stop.cancel();
    runtime.block_on(serving).unwrap();
}

criterion_group!(benches, serving);
criterion_main!(benches);
