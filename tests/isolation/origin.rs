//! The origin of the example: healthy feeds that post now and then, and every kind of fault, each at an address of its
//! own. Sockets are driven directly: it has to misbehave in ways that no server library allows.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::{Compress, Compression, FlushCompress};
use listend::model::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Pause between two posts of a healthy feed.
const POST_EVERY_MILLIS: i64 = 17_000;
/// Posts in a document.
const POSTS: i64 = 10;
/// What the bomb unpacks to.
const BOMB_BYTES: u64 = 10 << 30;
/// What one of its blocks unpacks to.
const BLOCK_BYTES: usize = 1 << 20;

/// How a broken feed is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nobody listens.
    Refused,
    /// The connection is reset in the middle of the headers.
    Reset,
    /// The connection is accepted and nothing is said.
    Tarpit,
    /// The body never ends.
    Endless,
    /// Ten gigabytes in gzip.
    Bomb,
    /// A redirect to itself by way of another path.
    Loop,
    /// HTTP 500.
    Error,
    /// No feed, but nearly.
    Malformed,
}

impl Fault {
    pub(crate) const ALL: [Self; 8] =
        [Self::Refused, Self::Reset, Self::Tarpit, Self::Endless, Self::Bomb, Self::Loop, Self::Error, Self::Malformed];
}

/// The time by the machine's clock.
#[expect(clippy::disallowed_methods, reason = "the outside world goes by the machine's clock")]
pub(crate) fn now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

/// What is counted of each healthy feed.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) requests: AtomicU64,
    last_millis: AtomicI64,
    /// The longest pause between two requests since it was last taken.
    pub(crate) longest_pause_millis: AtomicI64,
}

/// The origin.
pub(crate) struct Origin {
    port: u16,
    pub(crate) healthy: Vec<Seen>,
    bomb: Vec<u8>,
    block: Vec<u8>,
    tasks: RwLock<JoinSet<()>>,
}

/// The address of the n-th feed.
fn host(number: usize) -> Ipv4Addr {
    let bytes = u32::try_from(number).unwrap_or_default() + u32::from(Ipv4Addr::new(127, 1, 0, 1));
    Ipv4Addr::from(bytes)
}

impl Origin {
    /// Serves on every loopback address, at a free port.
    pub(crate) async fn start(healthy: usize) -> io::Result<Arc<Self>> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        let (bomb, block) = bomb();
        let origin = Arc::new(Self {
            port: listener.local_addr()?.port(),
            healthy: (0..healthy).map(|_| Seen::default()).collect(),
            bomb,
            block,
            tasks: RwLock::default(),
        });
        let serving = Arc::clone(&origin);
        origin.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let origin = Arc::clone(&serving);
                // The client goes away when it has had enough: that is no fault.
                serving.spawn(async move { drop(origin.converse(&stream).await) });
            }
        });
        Ok(origin)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.write().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Where the n-th healthy feed is.
    pub(crate) fn healthy_url(&self, number: usize) -> (SocketAddr, String) {
        let address = SocketAddr::from((host(number), self.port));
        (address, format!("http://{address}/healthy/{number}"))
    }

    /// Where the n-th broken feed is, behind all healthy ones.
    pub(crate) fn broken_url(&self, number: usize) -> (SocketAddr, String) {
        let fault = Fault::ALL[number % Fault::ALL.len()];
        let port = if fault == Fault::Refused { self.port.wrapping_add(1) } else { self.port };
        let address = SocketAddr::from((host(self.healthy.len() + number), port));
        (address, format!("http://{address}/broken/{number}"))
    }

    async fn converse(&self, stream: &TcpStream) -> io::Result<()> {
        while let Some(path) = read_path(stream).await? {
            let mut parts = path.trim_start_matches('/').split('/');
            let (kind, number) = (parts.next(), parts.next().and_then(|number| number.parse::<usize>().ok()));
            match (kind, number) {
                (Some("healthy"), Some(number)) => {
                    self.note(number);
                    answer(stream, "200 OK", "", document(number, now()).as_bytes()).await?;
                }
                (Some("broken"), Some(number)) => {
                    self.fail(stream, Fault::ALL[number % Fault::ALL.len()], number, &path).await?;
                }
                _ => answer(stream, "404 Not Found", "", b"").await?,
            }
        }
        Ok(())
    }

    fn note(&self, number: usize) {
        let Some(seen) = self.healthy.get(number) else { return };
        let now = now().millis();
        let last = seen.last_millis.swap(now, Ordering::Relaxed);
        if last > 0 {
            seen.longest_pause_millis.fetch_max(now - last, Ordering::Relaxed);
        }
        seen.requests.fetch_add(1, Ordering::Relaxed);
    }

    async fn fail(&self, stream: &TcpStream, fault: Fault, number: usize, path: &str) -> io::Result<()> {
        match fault {
            Fault::Refused | Fault::Tarpit => wait_for_end(stream).await,
            Fault::Reset => {
                send(stream, b"HTTP/1.1 200 OK\r\nContent-").await?;
                stream.set_zero_linger()?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Fault::Endless => {
                send(stream, b"HTTP/1.1 200 OK\r\nContent-Type: application/rss+xml\r\n\r\n<rss><channel>").await?;
                loop {
                    send(stream, &b"<item><title>again</title></item>".repeat(1000)).await?;
                }
            }
            Fault::Bomb => {
                send(stream, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n").await?;
                send(stream, &self.bomb).await?;
                for _ in 0..BOMB_BYTES / BLOCK_BYTES as u64 {
                    send(stream, &self.block).await?;
                }
                Ok(())
            }
            Fault::Loop => {
                let other = if path.ends_with("/b") { "" } else { "/b" };
                let location = format!("Location: /broken/{number}{other}\r\n");
                answer(stream, "302 Found", &location, b"").await
            }
            Fault::Error => answer(stream, "500 Internal Server Error", "", b"it is broken").await,
            Fault::Malformed => {
                answer(stream, "200 OK", "", &b"<rss><channel><item><title>&&&<![CDATA[".repeat(2000)).await
            }
        }
    }
}

/// A feed as it stands at `now`. Each post's guid says when it was published, to the millisecond.
fn document(number: usize, now: Timestamp) -> String {
    // Each at moments of its own.
    let offset = (number as i64).wrapping_mul(7919) % POST_EVERY_MILLIS;
    let last = (now.millis() - offset) / POST_EVERY_MILLIS;
    let mut xml =
        format!("<rss version=\"2.0\"><channel><title>Feed {number}</title><link>http://feed{number}.example/</link>");
    for post in (last - POSTS + 1..=last).rev() {
        let at = post * POST_EVERY_MILLIS + offset;
        let date = Timestamp::from_millis(at).to_rfc822();
        let _ = write!(
            xml,
            "<item><guid isPermaLink=\"false\">{at}</guid><title>Post {post}</title><pubDate>{date}</pubDate>\
             <description>&lt;p&gt;Words, and more words, as people write them.&lt;/p&gt;</description></item>"
        );
    }
    xml.push_str("</channel></rss>");
    xml
}

/// The beginning of a gzip file, and a piece of it that can be repeated: zeros, up to a byte's boundary, that refer to
/// nothing before them.
fn bomb() -> (Vec<u8>, Vec<u8>) {
    let mut compress = Compress::new(Compression::best(), false);
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    compress
        .compress_vec(&vec![0; BLOCK_BYTES], &mut block, FlushCompress::Full)
        .expect("zeros can be compressed into as much room as they take");
    (vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], block)
}

async fn answer(stream: &TcpStream, status: &str, headers: &str, body: &[u8]) -> io::Result<()> {
    let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    send(stream, &bytes).await
}

async fn send(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The path of the next request; `None` where the client has gone.
async fn read_path(stream: &TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if !read(stream, &mut head).await? {
            return Ok(None);
        }
    }
    let text = String::from_utf8_lossy(&head);
    Ok(text.split(' ').nth(1).map(str::to_owned))
}

async fn wait_for_end(stream: &TcpStream) -> io::Result<()> {
    while read(stream, &mut Vec::new()).await? {}
    Err(io::ErrorKind::ConnectionAborted.into())
}

/// Takes what has come; false at the end.
async fn read(stream: &TcpStream, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut piece = [0; 4096];
    loop {
        tokio::time::timeout(Duration::from_mins(2), stream.readable()).await.map_err(io::Error::other)??;
        match stream.try_read(&mut piece) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                into.extend_from_slice(&piece[..count]);
                return Ok(true);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
