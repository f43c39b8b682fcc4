//! Answers that cost little: content codings, entity tags and "not modified" (RFC 9110, sections 8.8, 12.5.3 and 13).

use std::io::Write;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH};

use super::query::thousandths;
use crate::model::Timestamp;

/// A rendered page, ready to be sent any number of times: its bytes, also in gzip once somebody takes that, and what makes
/// requests for it conditional. Bytes are shared, never copied.
#[derive(Clone, Debug)]
pub struct Representation {
    /// The media type.
    pub media_type: &'static str,
    /// The bytes as rendered.
    pub plain: Bytes,
    /// The same in gzip (RFC 1952), made when it is first asked for; `None` where that would not be smaller.
    gzip: OnceLock<Option<Bytes>>,
    /// The strong entity tag of the plain bytes, in quotes.
    pub etag: HeaderValue,
    /// The strong entity tag of the gzip bytes, in quotes.
    pub etag_gzip: HeaderValue,
    /// When the bytes last changed, as far as this process knows.
    pub last_modified: Timestamp,
    /// The same as an HTTP date.
    pub last_modified_text: HeaderValue,
}

/// Good compression for the milliseconds that it takes once per change of a view.
const GZIP_LEVEL: u32 = 4;
/// Below this, headers weigh more than what compression saves.
const MIN_GZIP_BYTES: usize = 512;

impl Representation {
    /// Makes a representation of rendered bytes. `previous` is what was served before under the same address: where the
    /// bytes are the same, its date is kept.
    pub fn new(media_type: &'static str, body: String, now: Timestamp, previous: Option<&Self>) -> Self {
        // A strong tag is one that no other bytes have: 96 bits of a cryptographic hash. This one takes a fifth of the time
        // of SHA-256, where a processor has no instructions for that.
        let digest = blake3::hash(body.as_bytes()).to_hex();
        let tag = &digest[..24];
        let etag = header_value(&format!("\"{tag}\""));
        if let Some(same) = previous.filter(|previous| previous.etag == etag) {
            return same.clone();
        }
        let plain = Bytes::from(body);
        let last_modified = later_than(now, previous);
        Self {
            media_type,
            gzip: OnceLock::new(),
            plain,
            etag_gzip: header_value(&format!("\"{tag}-gzip\"")),
            etag,
            last_modified,
            last_modified_text: header_value(&last_modified.to_http_date()),
        }
    }

    /// The bytes that a request gets, and their coding. Takes milliseconds where [`is_ready_for`](Self::is_ready_for) says
    /// so.
    pub fn coded(&self, headers: &HeaderMap) -> (&Bytes, Option<&'static str>) {
        if accepts_gzip(headers)
            && let Some(gzip) = self.gzip.get_or_init(|| gzip(&self.plain))
        {
            return (gzip, Some("gzip"));
        }
        (&self.plain, None)
    }

    /// The entity tag of the bytes that a request gets, whether or not they are made.
    pub fn tag(&self, headers: &HeaderMap) -> &HeaderValue {
        let is_packed = match self.gzip.get() {
            Some(gzip) => gzip.is_some(),
            // Markup of that length always becomes smaller.
            None => self.plain.len() >= MIN_GZIP_BYTES,
        };
        if is_packed && accepts_gzip(headers) { &self.etag_gzip } else { &self.etag }
    }

    /// Whether what a request gets is made already, so that answering it takes no time.
    pub fn is_ready_for(&self, headers: &HeaderMap) -> bool {
        self.gzip.get().is_some() || !accepts_gzip(headers) || self.is_known_to(headers)
    }

    /// Whether the client has these bytes already: any of its tags is one of ours, whatever the coding; a date counts
    /// only where it sent no tags (RFC 9110, section 13.2.2).
    pub fn is_known_to(&self, headers: &HeaderMap) -> bool {
        let mut tags = headers.get_all(IF_NONE_MATCH).iter().peekable();
        if tags.peek().is_some() {
            return tags.flat_map(|value| value.as_bytes().split(|&byte| byte == b',')).any(|tag| {
                let tag = tag.trim_ascii();
                // The comparison is weak (section 13.1.2): proxies that recompress turn strong tags into weak ones.
                let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
                tag == b"*" || self.etag == tag || self.etag_gzip == tag
            });
        }
        let since = headers.get(IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
        since
            .and_then(|text| httpdate::parse_http_date(text).ok())
            .and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok())
            .is_some_and(|since| {
                i64::try_from(since.as_secs()).is_ok_and(|since| self.last_modified.seconds() <= since)
            })
    }

    /// Bytes held in memory, about: in gzip, pages are a seventh to a quarter of what they are. Always the same, whether or
    /// not they were packed.
    pub fn weight(&self) -> usize {
        self.plain.len() + self.plain.len() / 4
    }
}

fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("tags and dates are plain ASCII")
}

/// Never back, whatever the clock says: a client may know no more of us than this date.
fn later_than(now: Timestamp, previous: Option<&Representation>) -> Timestamp {
    previous.map_or(now, |previous| now.max(previous.last_modified.plus(Duration::from_secs(1))))
}

fn gzip(plain: &Bytes) -> Option<Bytes> {
    if plain.len() < MIN_GZIP_BYTES {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::new(GZIP_LEVEL));
    encoder.write_all(plain).ok()?;
    let coded = encoder.finish().ok()?;
    (coded.len() < plain.len()).then(|| coded.into())
}

/// Whether `Accept-Encoding` allows gzip: named (or `*`) with a weight above zero.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = false;
    for value in headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()) {
        for coding in value.split(',') {
            let mut parts = coding.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1000, thousandths);
            if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
                return weight > 0;
            }
            any |= name == "*" && weight > 0;
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).expect("a header value")))
            .collect()
    }

    fn text(value: &HeaderValue) -> &str {
        value.to_str().expect("it is ASCII")
    }

    fn representation(now: Timestamp) -> Representation {
        Representation::new("text/plain", "feeds ".repeat(200), now, None)
    }

    #[test]
    fn each_coding_has_its_own_strong_tag_and_any_of_them_matches() {
        let page = representation(Timestamp::from_seconds(1000));
        assert_ne!(page.etag, page.etag_gzip);
        let (plain, packed) = (headers(&[]), headers(&[(ACCEPT_ENCODING, "br, gzip")]));
        assert!(page.is_ready_for(&plain) && !page.is_ready_for(&packed));
        assert_eq!((page.coded(&plain).1, page.tag(&plain)), (None, &page.etag));
        for is_made in [false, true] {
            assert_eq!((page.gzip.get().is_some(), page.tag(&packed)), (is_made, &page.etag_gzip));
            let (bytes, coding) = page.coded(&packed);
            assert!(bytes.len() < page.plain.len() && coding == Some("gzip"));
        }
        assert!(page.is_ready_for(&packed));
        let short = Representation::new("text/plain", "feeds".to_owned(), page.last_modified, None);
        assert_eq!((short.coded(&packed).1, short.tag(&packed)), (None, &short.etag));
        for (sent, known) in [
            (text(&page.etag), true),
            (text(&page.etag_gzip), true),
            (&format!("\"x\", W/{}", text(&page.etag)), true),
            ("*", true),
            ("\"x\"", false),
        ] {
            assert_eq!(page.is_known_to(&headers(&[(IF_NONE_MATCH, sent)])), known, "{sent}");
        }
    }

    #[test]
    fn dates_count_only_without_tags() {
        let page = representation(Timestamp::from_millis(1_795_379_832_500));
        let same = Timestamp::from_seconds(1_795_379_832).to_http_date();
        let earlier = Timestamp::from_seconds(1_795_379_831).to_http_date();
        assert!(page.is_known_to(&headers(&[(IF_MODIFIED_SINCE, &same)])));
        assert!(!page.is_known_to(&headers(&[(IF_MODIFIED_SINCE, &earlier)])));
        assert!(!page.is_known_to(&headers(&[(IF_MODIFIED_SINCE, &same), (IF_NONE_MATCH, "\"x\"")])));
        assert!(!page.is_known_to(&headers(&[(IF_MODIFIED_SINCE, "lately")])));
    }

    #[test]
    fn refused_codings_are_not_used() {
        for (accept, gzip) in
            [("gzip", true), ("gzip;q=0", false), ("*", true), ("br", false), ("*;q=0", false), ("gzip;q=0, *", false)]
        {
            assert_eq!(accepts_gzip(&headers(&[(ACCEPT_ENCODING, accept)])), gzip, "{accept}");
        }
    }

    #[test]
    fn the_same_bytes_keep_their_date() {
        let first = representation(Timestamp::from_seconds(1));
        let second = Representation::new("text/plain", "feeds ".repeat(200), Timestamp::from_seconds(2), Some(&first));
        assert_eq!(second.last_modified, first.last_modified);
    }
}
