//! An origin on loopback that does what a test says, down to the byte and the broken connection.
//!
//! Plain threads and blocking sockets: it must be able to misbehave in ways that no server library allows.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use listend::feeds::address::Guard;
use listend::feeds::fetch::{ACCEPT_FEED, Answer, Client, Failure, Settings};
use listend::model::{FeedUrl, Timestamp, Validators};
use rustls::pki_types::PrivateKeyDer;
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

/// A server on a loopback port. Stops when dropped.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    requests: Arc<Log>,
    connections: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

type Log = Mutex<Vec<Request>>;

/// The certificate (DER) of the origins that serve over TLS.
pub(crate) const TLS_ROOT: &[u8] = include_bytes!("tls/certificate.der");

/// How each TLS connection that has ended was begun: in full, or resumed.
#[derive(Clone, Default)]
pub(crate) struct TlsSessions(pub(crate) Arc<Mutex<Vec<HandshakeKind>>>);

/// A request's head, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    head: Vec<u8>,
}

impl Request {
    /// The value of a header, byte for byte.
    pub(crate) fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.head.split(|&b| b == b'\n').skip(1).find_map(|line| {
            let colon = line.iter().position(|&b| b == b':')?;
            let (key, value) = (std::str::from_utf8(&line[..colon]).ok()?, &line[colon + 1..]);
            key.eq_ignore_ascii_case(name).then(|| value.trim_ascii().to_vec())
        })
    }
}

/// What is sent, and what happens then.
pub(crate) enum Reply {
    /// Bytes, then the next request on the same connection.
    Send(Vec<u8>),
    /// Bytes, then the connection is closed.
    Close(Vec<u8>),
    /// Bytes, then nothing, until the client has had enough.
    Hang(Vec<u8>),
    /// Bytes, then others again and again, as fast as the client takes them.
    Repeat(Vec<u8>, Vec<u8>),
    /// Bytes, then one more every few milliseconds.
    Drip(Vec<u8>),
}

/// A complete answer with a length.
pub(crate) fn answer(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Reply {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{headers}\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    Reply::Send(bytes)
}

/// A redirect.
pub(crate) fn redirect(status: u16, to: &str) -> Reply {
    answer(status, &format!("Location: {to}\r\n"), "")
}

impl Origin {
    /// Serves on a free port of 127.0.0.1.
    pub(crate) fn serve(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve_on(TcpListener::bind("127.0.0.1:0").expect("a free port"), handler)
    }

    /// Serves on this listener.
    pub(crate) fn serve_on(listener: TcpListener, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::accept(listener, move |mut stream, log| {
            converse(&mut stream, log, &handler);
            let _ = stream.shutdown(Shutdown::Both);
        })
    }

    fn accept(listener: TcpListener, serve: impl Fn(TcpStream, &Log) + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().expect("a bound listener");
        let requests: Arc<Log> = Arc::default();
        let connections: Arc<AtomicUsize> = Arc::default();
        let stopping: Arc<AtomicBool> = Arc::default();
        let (log, count, stop, serve) = (requests.clone(), connections.clone(), stopping.clone(), Arc::new(serve));
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let (log, serve) = (log.clone(), serve.clone());
                std::thread::spawn(move || serve(stream, &log));
            }
        });
        Self { address, requests, connections, stopping, accepting: Some(accepting) }
    }

    /// Serves over TLS, with a certificate for 127.0.0.1 and `tls.test` that only [`TLS_ROOT`] vouches for.
    pub(crate) fn serve_tls(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (Self, TlsSessions) {
        Self::serve_tls_in(rustls::DEFAULT_VERSIONS, handler)
    }

    /// Like [`Origin::serve_tls`], in these versions of TLS.
    pub(crate) fn serve_tls_in(
        versions: &[&'static SupportedProtocolVersion],
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> (Self, TlsSessions) {
        let key = PrivateKeyDer::Pkcs8(include_bytes!("tls/key.der").to_vec().into());
        let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("the provider knows them")
            .with_no_client_auth()
            .with_single_cert(vec![TLS_ROOT.to_vec().into()], key)
            .expect("the key fits the certificate");
        let sessions = TlsSessions::default();
        let (tls, kinds) = (Arc::new(tls), sessions.clone());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let origin = Self::accept(listener, move |stream, log| {
            let Ok(connection) = ServerConnection::new(tls.clone()) else { return };
            let mut stream = StreamOwned::new(connection, stream);
            if stream.flush().is_err() {
                return;
            }
            converse(&mut stream, log, &handler);
            kinds.0.lock().expect("no handler panicked").extend(stream.conn.handshake_kind());
            stream.conn.send_close_notify();
            let _ = stream.flush();
            let _ = stream.sock.shutdown(Shutdown::Both);
        });
        (origin, sessions)
    }

    /// Says these bytes to everyone who connects, asked or not.
    pub(crate) fn blurt(bytes: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self::accept(listener, |mut stream, _| {
            // Read to the end: closing with unread bytes would reset the connection before ours are read.
            let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        })
    }

    /// A listener that nobody may ever reach.
    pub(crate) fn canary() -> Self {
        Self::serve(|_| answer(200, "", "reached"))
    }

    /// The URL of a path here.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no handler panicked").clone()
    }

    /// How many connections were accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// A client that may ask this origin and nobody else on loopback, with short waiting times.
    pub(crate) fn client(&self) -> Client {
        client(settings([self.address]))
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn converse(stream: &mut impl Conversation, log: &Log, handler: &dyn Fn(&Request) -> Reply) {
    while let Some(request) = read_request(stream) {
        log.lock().expect("no handler panicked").push(request.clone());
        let done = match handler(&request) {
            Reply::Send(bytes) => {
                if stream.write_all(&bytes).is_ok() {
                    continue;
                }
                break;
            }
            Reply::Close(bytes) => stream.write_all(&bytes),
            Reply::Hang(bytes) => {
                stream.write_all(&bytes).and_then(|()| std::io::copy(stream, &mut std::io::sink()).map(drop))
            }
            Reply::Repeat(bytes, again) => {
                let first = stream.write_all(&bytes);
                first.and_then(|()| {
                    loop {
                        stream.write_all(&again)?;
                    }
                })
            }
            Reply::Drip(bytes) => stream.write_all(&bytes).and_then(|()| drip(stream)),
        };
        // The client went away: that is what most of these are for.
        drop(done);
        break;
    }
}

/// What a conversation runs over.
trait Conversation: Read + Write {
    fn socket(&self) -> &TcpStream;
}

impl Conversation for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Conversation for StreamOwned<ServerConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

/// A byte whenever the client has said nothing for five milliseconds.
fn drip(stream: &mut impl Conversation) -> std::io::Result<()> {
    stream.socket().set_read_timeout(Some(Duration::from_millis(5)))?;
    loop {
        if stream.read(&mut [0; 1]).map(drop).is_ok() {
            return Ok(());
        }
        stream.write_all(b" ")?;
    }
}

fn read_request(stream: &mut impl Read) -> Option<Request> {
    let (mut head, mut byte) = (Vec::new(), [0; 1]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let line = String::from_utf8_lossy(head.split(|&b| b == b'\r').next()?).into_owned();
    Some(Request { path: line.split(' ').nth(1)?.to_owned(), head })
}

/// Settings with these exceptions to the guard and with waiting times that suit a test.
pub(crate) fn settings(allow: impl IntoIterator<Item = SocketAddr>) -> Settings {
    Settings {
        timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(2),
        first_byte_timeout: Duration::from_secs(2),
        guard: Guard::new(allow),
        ..Settings::default()
    }
}

pub(crate) fn client(settings: Settings) -> Client {
    Client::new(settings).expect("the settings are good")
}

pub(crate) fn feed_url(text: &str) -> FeedUrl {
    FeedUrl::parse(text).expect("an address")
}

/// Sun, 22 Nov 2026 20:37:12 GMT.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_795_379_832);

/// Asks without conditions.
pub(crate) async fn get(client: &Client, url: &str) -> Result<Answer, Failure> {
    client.get(&feed_url(url), &Validators::default(), ACCEPT_FEED, NOW).await
}
