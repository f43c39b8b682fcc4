//! A connection whose other end takes nothing for too long is given up, so that it cannot hold its place for ever; and
//! its seat hears of every stall, because a place is wanted sooner from those who take nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::places::Seat;

/// A stream whose writes end in [`io::ErrorKind::TimedOut`] when nothing could be written for too long.
pub(super) struct Stalling<S> {
    stream: S,
    seat: Arc<Seat>,
    patience: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Stalling<S> {
    /// Watches a stream whose other end may take none of the bytes that wait for it for as long as `patience`. `seat` is
    /// the connection's.
    pub(super) fn new(stream: S, seat: Arc<Seat>, patience: Duration) -> Self {
        Self { stream, seat, patience, waiting: None }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if self.waiting.take().is_some() {
                self.seat.moves_on();
            }
            return written;
        }
        if self.waiting.is_none() {
            self.seat.stalls();
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(patience)));
        waiting.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::http::places::Places;

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let places = Arc::new(Places::new(1, 1));
        let place = places.place().await.expect("a free place");
        let seat = Arc::new(places.seat(None, place).expect("a seat"));
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut stream = Stalling::new(ours, Arc::clone(&seat), Duration::from_millis(20));
        assert!(stream.write_all(&[0; 16]).await.is_ok() && !seat.is_stalled());
        let fault = stream.write_all(&[0; 16]).await.expect_err("nobody reads");
        assert_eq!(fault.kind(), io::ErrorKind::TimedOut);
        assert!(seat.is_stalled());
        theirs.read_exact(&mut [0; 16]).await.expect("what was written");
        assert!(stream.write_all(&[0; 16]).await.is_ok() && !seat.is_stalled(), "somebody reads again");
    }
}
