//! The body of a request, on its way to us.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use hyper::Request;
use hyper::body::Incoming;
use hyper::header;

use super::places::Seat;

/// How long what nobody reads may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A body that arrives. While nothing of it comes its connection is idle, and leaves at once when its place is wanted:
/// whoever announces a body and does not send it keeps nobody out.
pub(super) struct Arriving {
    body: Incoming,
    seat: Arc<Seat>,
}

impl Arriving {
    pub(super) fn new(body: Incoming, seat: Arc<Seat>) -> Self {
        Self { body, seat }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending() {
            self.seat.rest();
            self.seat.stalls();
        } else {
            self.seat.moves_on();
            self.seat.begin();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Reads what an answer left unread of a body of at most `max_bytes` bytes, and forgets it: a connection that is closed
/// under bytes that wait to be read is reset, and the answer may be lost with it. A proxy then says 502 where we said 403.
///
/// Larger bodies, and those that are sent only if we ask for them (`Expect`, RFC 9110 section 10.1.1), are left: their
/// connection ends with the answer.
pub(super) async fn throw_away(request: &mut Request<Arriving>, max_bytes: usize) {
    let body = request.body();
    if body.is_end_stream()
        || body.size_hint().lower() > max_bytes as u64
        || request.headers().contains_key(header::EXPECT)
    {
        return;
    }
    let mut rest = Limited::new(request.body_mut(), max_bytes);
    let reading = async { while let Some(Ok(_)) = rest.frame().await {} };
    // However much of it came, the answer is the same.
    let _ = tokio::time::timeout(TIMEOUT, reading).await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::Empty;
    use hyper::Response;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::http::places::Places;

    #[tokio::test]
    async fn who_announces_a_body_and_sends_none_makes_room() {
        let places = Arc::new(Places::new(1, 1));
        let place = places.place().await.expect("a free place");
        let seat = Arc::new(places.seat(None, place).expect("a seat"));
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let service = service_fn(|request: Request<Incoming>| {
            seat.begin();
            let mut request = request.map(|body| Arriving::new(body, Arc::clone(&seat)));
            async move {
                throw_away(&mut request, 100).await;
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        let serving = http1::Builder::new().serve_connection(TokioIo::new(ours), service);
        let client = async {
            theirs.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab").await.expect("it is taken");
            while seat.is_busy() {
                tokio::task::yield_now().await;
            }
            assert!(places.make_room() && seat.leave.is_cancelled(), "nothing comes: it is idle");
            theirs.write_all(b"cd").await.expect("it is taken");
            let mut answer = [0; 15];
            theirs.read_exact(&mut answer).await.expect("it is answered");
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
        };
        tokio::select! {
            ended = serving => panic!("{ended:?}"),
            () = client => {}
        }
    }
}
