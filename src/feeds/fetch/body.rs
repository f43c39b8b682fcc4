//! The answer's body: received, bounded, and decoded.
//!
//! It is received as it comes and decoded when it is there, in one go. Both stop at the same bound, so a bomb is left as
//! soon as more comes out of it than is taken.

use std::io::Read;

use brotli_decompressor::Decompressor;
use bytes::Bytes;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_ENCODING, HeaderMap};

use super::budget::Share;
use super::{Failure, Shared};

/// How often a body that is still gzip after decoding is unpacked again: sent twice packed, or as a file without any
/// `Content-Encoding`.
const MAX_LEFTOVER_ENCODINGS: usize = 2;
/// What a body's buffer is made for at once, whatever was announced.
const MAX_FIRST_BYTES: usize = 64 * 1024;
/// What the brotli decoder reads at a time.
const BROTLI_BUFFER_BYTES: usize = 4096;

impl Shared {
    /// The decoded body, and whether it was cut off.
    pub(super) async fn body(&self, response: Response<Incoming>) -> Result<(Bytes, bool), Failure> {
        let max_bytes = self.settings.max_body_bytes;
        let too_large = || Failure::TooLarge { part: "body", max_bytes };
        let coding = Coding::of(response.headers());
        let mut incoming = response.into_body();
        let announced = incoming.size_hint().exact().unwrap_or(0);
        if announced > max_bytes as u64 {
            return Err(too_large());
        }
        let mut share = self.bodies.share();
        let mut body = Vec::with_capacity(MAX_FIRST_BYTES.min(announced as usize));
        let mut cut_off = loop {
            match incoming.frame().await {
                None => break false,
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if body.len() + data.len() > max_bytes {
                        return Err(too_large());
                    }
                    share.grow_to(body.len() + data.len()).await;
                    body.extend_from_slice(&data);
                }
                Some(Err(error)) if body.is_empty() => return Err(Failure::of_body(&error)),
                Some(Err(_)) => break true,
            }
        };
        if let Some(coding) = coding.filter(|_| !body.is_empty()) {
            let unpacked = coding.unpack(&body, &mut share, max_bytes).await;
            let (decoded, is_cut) = unpacked.ok_or_else(too_large)?;
            if is_cut && decoded.is_empty() {
                return Err(Failure::Transport("the body is not encoded as its header says".into()));
            }
            (body, cut_off) = (decoded, cut_off || is_cut);
        }
        for _ in 0..MAX_LEFTOVER_ENCODINGS {
            if !is_gzip(&body) {
                break;
            }
            let (decoded, is_cut) = Coding::Gzip.unpack(&body, &mut share, max_bytes).await.ok_or_else(too_large)?;
            (body, cut_off) = (decoded, cut_off || is_cut);
        }
        share.shrink_to(body.len());
        Ok((share.holding(body), cut_off))
    }
}

/// A content coding that we ask for (RFC 9110, section 8.4.1).
#[derive(Clone, Copy)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
}

impl Coding {
    /// The coding that the headers name; `None` where that is none, an unknown one, or several.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let named = headers.get(CONTENT_ENCODING)?.as_bytes();
        let is = |name: &str| named.eq_ignore_ascii_case(name.as_bytes());
        if is("gzip") || is("x-gzip") {
            Some(Self::Gzip)
        } else if is("deflate") {
            Some(Self::Deflate)
        } else if is("br") {
            Some(Self::Brotli)
        } else {
            None
        }
    }

    fn reader(self, packed: &[u8]) -> Box<dyn Read + Send + '_> {
        match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(packed)),
            // Servers send it with zlib's header, as they should, or without.
            Self::Deflate if is_zlib(packed) => Box::new(ZlibDecoder::new(packed)),
            Self::Deflate => Box::new(DeflateDecoder::new(packed)),
            Self::Brotli => Box::new(Decompressor::new(packed, BROTLI_BUFFER_BYTES)),
        }
    }

    /// What was packed, and whether it ended too early: what came out before the fault is kept. `None` where it is
    /// larger than `max_bytes`.
    async fn unpack(self, packed: &[u8], share: &mut Share, max_bytes: usize) -> Option<(Vec<u8>, bool)> {
        let mut reader = self.reader(packed);
        let mut body = Vec::with_capacity(MAX_FIRST_BYTES.min(4 * packed.len()));
        loop {
            let taken = packed.len() + body.len();
            share.grow_to(taken + 1).await;
            let step = share.room(taken).min(max_bytes + 1 - body.len());
            let read = reader.by_ref().take(step as u64).read_to_end(&mut body);
            if body.len() > max_bytes {
                return None;
            }
            match read {
                Ok(read) if read == step => {}
                ended => return Some((body, ended.is_err())),
            }
        }
    }
}

fn is_gzip(body: &[u8]) -> bool {
    body.starts_with(&[0x1f, 0x8b, 0x08])
}

/// Whether these bytes begin with zlib's header (RFC 1950, section 2.2).
fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [method, flags, ..] if method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0)
}

/// A body that somebody sent us, unpacked where it is gzip; `None` where that is larger than `max_bytes`, or broken.
pub fn unpacked(mut body: Bytes, max_bytes: usize) -> Option<Bytes> {
    for _ in 0..MAX_LEFTOVER_ENCODINGS {
        if !is_gzip(&body) {
            break;
        }
        let mut plain = Vec::new();
        MultiGzDecoder::new(&body[..]).take(max_bytes as u64 + 1).read_to_end(&mut plain).ok()?;
        if plain.len() > max_bytes {
            return None;
        }
        body = plain.into();
    }
    Some(body)
}
