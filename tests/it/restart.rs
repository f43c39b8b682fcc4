//! A restart loses no connection where the socket is handed over, as systemd does it: whoever comes meanwhile waits, and
//! whoever is there is answered and told that the connection ends.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Home, PATIENCE, opml, until};

/// Restarts under load unless `LISTEND_RESTARTS` says otherwise.
const RESTARTS: usize = 5;
/// Clients that load page after page: one half on connections that they keep, one half on a new one each time.
const CLIENTS: usize = 6;
/// How long a stopping daemon waits for another request on a connection that is kept.
const LINGER: Duration = Duration::from_secs(1);
/// Pages loaded between two restarts, at least.
const PAGES_BETWEEN: usize = 60;

/// A connection that is used for as long as the server lets it, and never asked twice for the same: what is lost on it is
/// seen.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Asks for a path; whether the connection may be used again. An error for everything but a whole 200.
    fn get(&mut self, path: &str) -> io::Result<bool> {
        write!(self.0.get_mut(), "GET {path} HTTP/1.1\r\nHost: listend\r\n\r\n")?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        if !line.starts_with("HTTP/1.1 200 ") {
            return Err(io::Error::other(format!("it began with {line:?}")));
        }
        let (mut length, mut is_kept) = (None, true);
        loop {
            line.clear();
            self.0.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok(),
                "connection" => is_kept = value != "close",
                _ => {}
            }
        }
        let mut body = vec![0; length.ok_or_else(|| io::Error::other("an answer without a length"))?];
        self.0.read_exact(&mut body)?;
        Ok(is_kept)
    }
}

/// While it is there, pages are loaded; a test that fails takes it away, too.
struct Loading<'a>(&'a AtomicBool);

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn restarts() -> usize {
    std::env::var("LISTEND_RESTARTS").ok().and_then(|restarts| restarts.parse().ok()).unwrap_or(RESTARTS)
}

/// Loads pages until it is told to stop; every failure is noted, with what was asked and when.
fn load(address: SocketAddr, is_keeping: bool, stop: &AtomicBool, pages: &AtomicUsize) -> Vec<String> {
    let mut faults = Vec::new();
    let mut kept: Option<(Connection, Instant)> = None;
    while !stop.load(Ordering::Relaxed) {
        // On a busy machine a client may not come to its turn for as long as a stopping daemon waits for its next request.
        let reused = kept.take().filter(|(_, since)| since.elapsed() < LINGER / 2);
        let is_reused = reused.is_some();
        let loaded = reused.map_or_else(|| Connection::open(address), |(connection, _)| Ok(connection));
        let loaded = loaded.and_then(|mut connection| {
            let may_stay = connection.get("/listen.atom")?;
            Ok((may_stay && is_keeping).then(|| (connection, Instant::now())))
        });
        match loaded {
            Ok(connection) => {
                kept = connection;
                pages.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => faults.push(format!("reused connection: {is_reused}; {error}")),
        }
    }
    faults
}

#[test]
fn restarts_under_load_drop_no_connection() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let home = Home::new();
    home.write_list("followers", &opml(""));
    let mut daemon = home.start_on(&socket);
    assert_eq!(daemon.url(""), format!("http://{address}"), "it serves on what was handed over");
    let (stop, pages) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (daemon, faults) = thread::scope(|scope| {
        let (stop, pages) = (&stop, &pages);
        let loading = Loading(stop);
        let clients: Vec<_> =
            (0..CLIENTS).map(|index| scope.spawn(move || load(address, index % 2 == 0, stop, pages))).collect();
        for _ in 0..restarts() {
            let before = pages.load(Ordering::Relaxed);
            until("pages are loaded", || (pages.load(Ordering::Relaxed) >= before + PAGES_BETWEEN).then_some(()));
            daemon.stop();
            daemon = home.start_on(&socket);
        }
        let before = pages.load(Ordering::Relaxed);
        until("pages are loaded", || (pages.load(Ordering::Relaxed) >= before + PAGES_BETWEEN).then_some(()));
        drop(loading);
        (daemon, clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>())
    });
    daemon.stop();
    eprintln!("{} restarts, {} pages, {} lost", restarts(), pages.into_inner(), faults.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_kept_connection_is_answered_once_more_and_told_that_it_ends() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::new();
    home.write_list("followers", &opml(""));
    let daemon = home.start_on(&socket);
    let mut connection = Connection::open(socket.local_addr().unwrap()).unwrap();
    assert!(connection.get("/listen.atom").unwrap(), "it may be used again");
    daemon.signal("TERM");
    until("it is stopping", || daemon.log().contains("stopping").then_some(()));
    assert!(!connection.get("/listen.atom").unwrap(), "it may not be used again");
    daemon.stop();
}
