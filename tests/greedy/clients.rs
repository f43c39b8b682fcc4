//! Those who ask: ordinary clients, whose waiting is measured, and greedy ones, who hold on to what they have.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::process::moment;

/// The largest page there is.
pub(crate) const LARGE_PAGE: &str = "/listen.html?limit=500";
/// What ordinary clients ask for, one after the other.
const PAGES: [&str; 6] = ["/listen.atom", "/", "/listen.html", "/followers.json", "/status", "/voices"];
/// How often one of them asks.
const PACE: Duration = Duration::from_millis(500);
/// An answer that takes longer counts as none.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Greedy clients come back so long after they were let go.
const RETURN: Duration = Duration::from_secs(1);
/// All greedy clients have come for the first time after this.
const ARRIVAL: Duration = Duration::from_secs(2);
/// A receive buffer as small as the system allows, so that what is not read stays with the daemon.
const SMALL_BUFFER_BYTES: u32 = 2048;

/// How long ordinary clients waited for whole answers, in order, and how often there was none.
#[derive(Default)]
pub(crate) struct Waited {
    times: Vec<Duration>,
    pub(crate) failed: usize,
}

impl Waited {
    pub(crate) fn answers(&self) -> usize {
        self.times.len()
    }

    /// The time that this share of answers stayed below.
    pub(crate) fn at(&self, share: f64) -> Duration {
        let place = ((self.times.len() as f64 * share) as usize).min(self.times.len().saturating_sub(1));
        self.times.get(place).copied().unwrap_or(Duration::MAX)
    }
}

/// Asks for pages with so many clients. Half of them take a connection for each request, half keep theirs for as long as
/// the daemon does.
pub(crate) async fn ordinary(daemon: SocketAddr, clients: usize, during: Duration) -> Waited {
    let mut asking = JoinSet::new();
    let until = moment() + during;
    for client in 0..clients {
        asking.spawn(async move {
            let mut waited = Waited::default();
            sleep(PACE.mul_f64(client as f64 / clients as f64)).await;
            let (mut kept, mut turn) = (None, client);
            while moment() < until {
                let asked = moment();
                let page = PAGES[turn % PAGES.len()];
                turn += 1;
                let answered = timeout(ANSWER_TIMEOUT, ask(daemon, page, kept.take(), client % 2 == 0)).await;
                match answered {
                    Ok(Ok(stream)) => {
                        waited.times.push(asked.elapsed());
                        kept = stream;
                    }
                    _ => waited.failed += 1,
                }
                sleep(PACE.saturating_sub(asked.elapsed())).await;
            }
            waited
        });
    }
    let mut all = Waited::default();
    while let Some(Ok(waited)) = asking.join_next().await {
        all.times.extend(waited.times);
        all.failed += waited.failed;
    }
    all.times.sort_unstable();
    all
}

/// One whole answer of status 200; the connection where it is kept.
async fn ask(
    daemon: SocketAddr,
    page: &str,
    kept: Option<TcpStream>,
    keeps: bool,
) -> std::io::Result<Option<TcpStream>> {
    if let Some(mut stream) = kept
        && let Ok(()) = converse(&mut stream, page, keeps).await
    {
        return Ok(Some(stream));
    }
    // The daemon may close what is idle at any time; every client then tries again.
    #[expect(clippy::disallowed_methods, reason = "whoever measures asks, too")]
    let mut stream = TcpStream::connect(daemon).await?;
    converse(&mut stream, page, keeps).await?;
    Ok(keeps.then_some(stream))
}

async fn converse(stream: &mut TcpStream, page: &str, keeps: bool) -> std::io::Result<()> {
    let connection = if keeps { "keep-alive" } else { "close" };
    let request = format!("GET {page} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let broken = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let mut bytes = Vec::with_capacity(64 << 10);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(broken());
        }
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        if !head.starts_with("http/1.1 200") {
            return Err(broken());
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let whole = end + 4 + length.ok_or_else(broken)?;
        while bytes.len() < whole {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(broken());
            }
        }
        return Ok(());
    }
}

/// How a connection is held on to.
#[derive(Clone, Copy)]
enum Greed {
    /// Connects and says nothing.
    Silent,
    /// Sends a head, a byte every few seconds.
    Dripping,
    /// Asks for the large page again and again, and reads a byte a second.
    Sipping,
    /// The same, and reads nothing.
    Deaf,
    /// Asks once, and stays.
    Lingering,
    /// Sends half of a form.
    HalfSaid,
}

const GREEDS: [Greed; 6] =
    [Greed::Silent, Greed::Dripping, Greed::Sipping, Greed::Deaf, Greed::Lingering, Greed::HalfSaid];

/// Greedy clients, a sixth of each kind.
pub(crate) struct Greedy {
    clients: JoinSet<()>,
    counted: Arc<Counted>,
}

#[derive(Default)]
struct Counted {
    came: AtomicUsize,
    let_go: AtomicUsize,
}

/// How often they connected, and how often the daemon had enough of them.
pub(crate) struct Counts {
    pub(crate) came: usize,
    pub(crate) let_go: usize,
}

impl Greedy {
    /// Has so many of them come, and come back.
    pub(crate) fn start(daemon: SocketAddr, number: usize) -> Self {
        let (mut clients, counted) = (JoinSet::new(), Arc::<Counted>::default());
        for client in 0..number {
            let (counted, greed) = (Arc::clone(&counted), GREEDS[client % GREEDS.len()]);
            clients.spawn(async move {
                sleep(ARRIVAL.mul_f64(client as f64 / number as f64)).await;
                loop {
                    counted.came.fetch_add(1, Relaxed);
                    // However it ends, it was the daemon who ended it.
                    let _ = hold(daemon, greed).await;
                    counted.let_go.fetch_add(1, Relaxed);
                    sleep(RETURN).await;
                }
            });
        }
        Self { clients, counted }
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts { came: self.counted.came.load(Relaxed), let_go: self.counted.let_go.load(Relaxed) }
    }

    /// All of them leave at once.
    pub(crate) async fn leave(mut self) {
        self.clients.shutdown().await;
    }
}

/// Holds on to one connection until the daemon ends it.
async fn hold(daemon: SocketAddr, greed: Greed) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(SMALL_BUFFER_BYTES)?;
    let mut stream = socket.connect(daemon).await?;
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    match greed {
        Greed::Silent => {}
        Greed::Dripping => {
            for byte in request("/listen.atom").bytes() {
                stream.write_all(&[byte]).await?;
                // Notices when it is let go, as there is nothing else to read.
                if timeout(Duration::from_secs(3), stream.read_u8()).await.is_ok() {
                    return Ok(());
                }
            }
        }
        Greed::Sipping | Greed::Deaf => {
            stream.write_all(request(LARGE_PAGE).repeat(10).as_bytes()).await?;
            while let Greed::Sipping = greed {
                stream.read_u8().await?;
                sleep(Duration::from_secs(1)).await;
            }
            // What is not read hides whether the other end has gone; a byte more tells.
            loop {
                sleep(Duration::from_secs(1)).await;
                stream.write_all(b"G").await?;
            }
        }
        Greed::Lingering => stream.write_all(request("/livez").as_bytes()).await?,
        Greed::HalfSaid => {
            let head = "POST /answered/00000000000000000000000000000000 HTTP/1.1\r\nHost: localhost\r\n\
                        Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 20000\r\n\r\nkind=";
            stream.write_all(head.as_bytes()).await?;
        }
    }
    while stream.read_u8().await.is_ok() {}
    Ok(())
}
