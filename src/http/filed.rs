//! Pages that many ask for lie in memory files, out of which the kernel sends them by itself: the copying of a page into
//! the socket was what an answer with it cost most.
//!
//! hyper knows nothing of it. It hands its stream the bytes to write, and a [`Spout`] sees where in memory they lie: those
//! of a filed page are sent from its file, the same bytes, instead.

use std::io::{self, IoSlice, Write};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::fs::{MemfdFlags, memfd_create, sendfile};
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is worth a file: shorter pages are copied as quickly, and longer ones take too much memory once more.
const BYTES: RangeInclusive<usize> = 8 << 10..=512 << 10;
/// Files held at once; each takes a descriptor.
const MAX_FILES: usize = 16;

/// The files that may still be made.
#[derive(Debug)]
pub(super) struct Files(Arc<Semaphore>);

impl Default for Files {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_FILES)))
    }
}

impl Files {
    /// Puts these bytes into a file; `None` where that is not worth it, where files are many already, or where the kernel
    /// has no such files.
    pub(super) fn file(&self, bytes: &Bytes) -> Option<Filed> {
        if !BYTES.contains(&bytes.len()) {
            return None;
        }
        let permit = Arc::clone(&self.0).try_acquire_owned().ok()?;
        let file = memfd_create("listend-page", MemfdFlags::CLOEXEC).ok()?;
        let mut file = std::fs::File::from(file);
        file.write_all(bytes).ok()?;
        Some(Filed { bytes: bytes.clone(), file: file.into(), _permit: permit })
    }
}

/// Bytes in memory that are also in a file, until this goes.
#[derive(Debug)]
pub(super) struct Filed {
    bytes: Bytes,
    file: OwnedFd,
    _permit: OwnedSemaphorePermit,
}

impl Filed {
    /// Where in the file these bytes are: `None` unless they lie in the memory that the file is a copy of.
    fn offset(&self, bytes: &[u8]) -> Option<u64> {
        let offset = bytes.as_ptr().addr().checked_sub(self.bytes.as_ptr().addr())?;
        let is_within = offset.checked_add(bytes.len())? <= self.bytes.len();
        (is_within && !bytes.is_empty()).then_some(offset as u64)
    }
}

/// What a connection's answer is sent from, told by who answers to who writes.
#[derive(Debug, Default)]
pub(super) struct Source(Mutex<Option<Arc<Filed>>>);

impl Source {
    /// The next answer has the bytes of this file, or of none.
    pub(super) fn set(&self, filed: Option<&Arc<Filed>>) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if current.is_some() || filed.is_some() {
            *current = filed.cloned();
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection that sends filed bytes from their file.
pub(super) struct Spout {
    stream: Stream,
    source: Arc<Source>,
}

impl Spout {
    pub(super) fn new(stream: Stream, source: Arc<Source>) -> Self {
        Self { stream, source }
    }
}

/// Sends from the file what of these bytes is in it, or what stands before that; `None` where nothing is in it.
fn send(stream: &TcpStream, bufs: &[IoSlice<'_>], filed: &Filed) -> Option<io::Result<usize>> {
    let (first, mut offset) = bufs.iter().enumerate().find_map(|(at, buf)| Some((at, filed.offset(buf)?)))?;
    Some(stream.try_io(Interest::WRITABLE, || {
        Ok(if first == 0 {
            #[cfg(test)]
            tests::SENT_FROM_FILES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            sendfile(stream, &filed.file, Some(&mut offset), bufs[0].len())?
        } else {
            // The head waits for the body, which is sent next.
            sendmsg(stream, &bufs[..first], &mut SendAncillaryBuffer::default(), SendFlags::MORE | SendFlags::NOSIGNAL)?
        })
    }))
}

impl AsyncRead for Spout {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Spout {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, source } = &mut *self;
        match stream {
            Stream::Tcp(stream) => {
                let filed = source.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(filed) = filed {
                    loop {
                        ready!(stream.poll_write_ready(cx))?;
                        match send(stream, bufs, &filed) {
                            Some(Ok(sent)) => return Poll::Ready(Ok(sent)),
                            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                            // What cannot be sent from a file can be written, or that says what is wrong.
                            Some(Err(_)) | None => break,
                        }
                    }
                }
                Pin::new(stream).poll_write_vectored(cx, bufs)
            }
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Buf;
    use http_body_util::Full;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    pub(super) static SENT_FROM_FILES: AtomicUsize = AtomicUsize::new(0);

    /// Bytes that are nowhere the same for long.
    fn noise(length: usize, seed: u32) -> Bytes {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (ours, theirs) = tokio::join!(listener.accept(), async {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            socket.connect(address).await
        });
        (ours.expect("it came").0, theirs.expect("it is taken"))
    }

    #[test]
    fn only_memory_that_the_file_copies_is_sent_from_it() {
        let files = Files::default();
        let bytes = noise(*BYTES.start() + 10, 1);
        let filed = files.file(&bytes.slice(10..)).expect("a file");
        assert_eq!(filed.offset(&bytes[10..]), Some(0));
        assert_eq!(filed.offset(&bytes[15..20]), Some(5));
        assert_eq!(filed.offset(&bytes[bytes.len() - 1..]), Some(*BYTES.start() as u64 - 1));
        for elsewhere in [&bytes[..], &bytes[9..20], &bytes[20..20], &bytes.to_vec()[10..]] {
            assert_eq!(filed.offset(elsewhere), None);
        }
    }

    #[test]
    fn files_are_few_and_come_back() {
        let files = Files::default();
        let page = noise(*BYTES.start(), 1);
        assert!(files.file(&page.slice(1..)).is_none(), "too short");
        assert!(files.file(&noise(BYTES.end() + 1, 1)).is_none(), "too long");
        let mut held: Vec<_> = (0..MAX_FILES).map(|_| files.file(&page).expect("a file")).collect();
        assert!(files.file(&page).is_none());
        held.pop();
        assert!(files.file(&page).is_some());
    }

    #[tokio::test]
    async fn answers_arrive_whole_whatever_they_are_sent_from() {
        let files = Files::default();
        let pages: Vec<_> = [1, 2].map(|seed| noise(*BYTES.end(), seed)).into();
        let filed: Vec<_> = pages.iter().map(|page| Arc::new(files.file(page).expect("a file"))).collect();
        let (ours, mut theirs) = pair().await;
        // Less than a page: the file is sent in parts.
        rustix::net::sockopt::set_socket_send_buffer_size(&ours, 64 << 10).expect("a buffer");
        let source = Arc::<Source>::default();
        // /0 and /1 lie in files; /2 is announced as what it is not, and /3 lies in no file.
        let service = service_fn(|request: Request<hyper::body::Incoming>| {
            let number: usize = request.uri().path()[1..].parse().expect("a number");
            source.set(filed.get(number % 3));
            let body = Full::new(pages[number % 2].clone());
            async { Ok::<_, std::convert::Infallible>(Response::new(body)) }
        });
        let spout = Spout::new(Stream::Tcp(ours), Arc::clone(&source));
        let serving = http1::Builder::new().serve_connection(TokioIo::new(spout), service);
        let client = async {
            let order = [0, 0, 1, 2, 3, 1, 0, 3, 2, 1];
            // All at once: answers wait for those before them.
            let asked = order.map(|number| format!("GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n")).concat();
            theirs.write_all(asked.as_bytes()).await.expect("they are taken");
            let mut came = bytes::BytesMut::new();
            for number in order {
                let page = &pages[number % 2];
                let head = loop {
                    if let Some(end) = came.windows(4).position(|four| four == b"\r\n\r\n") {
                        break end + 4;
                    }
                    theirs.read_buf(&mut came).await.expect("the head");
                };
                assert!(came.starts_with(b"HTTP/1.1 200 OK\r\n"), "{:?}", &came[..head]);
                came.advance(head);
                while came.len() < page.len() {
                    tokio::task::yield_now().await;
                    theirs.read_buf(&mut came).await.expect("the body");
                }
                assert!(came[..page.len()] == page[..], "/{number} arrives as it is");
                came.advance(page.len());
            }
        };
        tokio::select! {
            ended = serving => panic!("{ended:?}"),
            () = client => {}
        }
        // Six of the ten answers have bytes that lie in the announced file.
        let sent = SENT_FROM_FILES.load(Ordering::Relaxed);
        assert!(sent > 6, "sent from files {sent} times");
    }
}
