//! What response headers say: freshness, waiting times, validators, links. Pure; knows nothing of connections.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use hyper::header::{AGE, CACHE_CONTROL, DATE, ETAG, EXPIRES, HeaderMap, HeaderName, LAST_MODIFIED, LINK, RETRY_AFTER};
use url::Url;

use crate::model::{FeedUrl, Timestamp, Validators, redact};

/// Most hubs taken from one answer.
const MAX_HUBS: usize = 8;

/// `Link` headers, as far as WebSub needs them (WebSub, section 4).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Links {
    pub(super) hubs: Vec<String>,
    pub(super) self_link: Option<String>,
}

/// A header as text; bytes that are no UTF-8 are replaced.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes().trim_ascii()))
}

/// For how long the answer is fresh; `None` where it does not say. Never negative.
pub(super) fn freshness(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let mut max_age = None;
    for value in headers.get_all(CACHE_CONTROL) {
        let Ok(value) = value.to_str() else { continue };
        for directive in value.split(',') {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            let is = |directive: &str| name.trim().eq_ignore_ascii_case(directive);
            if is("no-cache") || is("no-store") {
                return Some(Duration::ZERO);
            }
            if is("max-age") && max_age.is_none() {
                max_age = seconds(argument.trim().trim_matches('"'));
            }
        }
    }
    if let Some(max_age) = max_age {
        let age = text(headers, &AGE).and_then(|age| seconds(&age)).unwrap_or_default();
        return Some(max_age.saturating_sub(age));
    }
    let expires = text(headers, &EXPIRES)?;
    // An `Expires` that is no date, as `0`, means expired already (RFC 9111, section 5.3).
    Some(http_date(&expires).map_or(Duration::ZERO, |expires| expires.since(date(headers, now))))
}

/// How long to wait before asking again; `None` where the answer does not say or says nonsense.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = text(headers, &RETRY_AFTER)?;
    seconds(&value).or_else(|| http_date(&value).map(|until| until.since(date(headers, now))))
}

/// The validators that this answer carries, and whose they are.
pub(super) fn validators(headers: &HeaderMap, from: &FeedUrl) -> Validators {
    let bytes = |name| headers.get(name).map(|value| value.as_bytes().to_vec()).filter(|value| !value.is_empty());
    let (etag, last_modified) = (bytes(ETAG), bytes(LAST_MODIFIED));
    let from = (etag.is_some() || last_modified.is_some()).then(|| from.clone());
    Validators { etag, last_modified, from }
}

/// The hubs and the own address in `Link` headers (RFC 8288), relative ones resolved against `base`.
pub(super) fn links(headers: &HeaderMap, base: &Url) -> Links {
    let mut links = Links::default();
    if !headers.contains_key(LINK) {
        return links;
    }
    // What is resolved against an address with credentials carries them on.
    let base = Url::parse(&redact(base)).ok();
    let Some(base) = base else { return links };
    for value in headers.get_all(LINK) {
        let value = String::from_utf8_lossy(value.as_bytes());
        for (target, relations) in link_values(&value) {
            let Ok(target) = base.join(target) else { continue };
            if !matches!(target.scheme(), "http" | "https") {
                continue;
            }
            for relation in relations.split_ascii_whitespace() {
                if relation.eq_ignore_ascii_case("self") && links.self_link.is_none() {
                    links.self_link = Some(target.to_string());
                }
                let hub = target.as_str();
                if relation.eq_ignore_ascii_case("hub")
                    && links.hubs.len() < MAX_HUBS
                    && !links.hubs.iter().any(|h| h == hub)
                {
                    links.hubs.push(hub.to_owned());
                }
            }
        }
    }
    links
}

/// Each target of a `Link` header with its relations.
fn link_values(value: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('<') {
        let Some((target, after)) = after.split_once('>') else { break };
        let end = end_of_link(after);
        let (parameters, following) = after.split_at(end);
        rest = following;
        let relations = parameters.split(';').find_map(|parameter| {
            let (name, relations) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("rel").then(|| relations.trim().trim_matches('"'))
        });
        found.push((target.trim(), relations.unwrap_or_default()));
    }
    found
}

/// Where one link's parameters end: at the first comma outside quotes.
fn end_of_link(parameters: &str) -> usize {
    let mut quoted = false;
    for (at, byte) in parameters.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => return at,
            _ => {}
        }
    }
    parameters.len()
}

/// When the answer was made, by its own account; else `now`.
fn date(headers: &HeaderMap, now: Timestamp) -> Timestamp {
    text(headers, &DATE).and_then(|date| http_date(&date)).unwrap_or(now)
}

/// A number of seconds; huge ones are as good as the largest.
fn seconds(text: &str) -> Option<Duration> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX)).min(u64::from(u32::MAX))))
}

fn http_date(text: &str) -> Option<Timestamp> {
    let time = httpdate::parse_http_date(text.trim()).ok()?;
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(0).plus(since_epoch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a header"))).collect()
    }

    const NOW: Timestamp = Timestamp::from_seconds(1_795_379_832); // Sun, 22 Nov 2026 20:37:12 GMT

    #[test]
    fn freshness_is_read_as_rfc_9111_says() {
        for (lines, expected) in [
            (&[][..], None),
            (&[("cache-control", "max-age=600")][..], Some(600)),
            (&[("cache-control", "public, Max-Age=\"600\"")][..], Some(600)),
            (&[("cache-control", "max-age=600"), ("age", "100")][..], Some(500)),
            (&[("cache-control", "max-age=600"), ("age", "1000")][..], Some(0)),
            (&[("cache-control", "max-age=600"), ("expires", "0")][..], Some(600)),
            (&[("cache-control", "no-cache, max-age=600")][..], Some(0)),
            (&[("cache-control", "public"), ("cache-control", "max-age=60")][..], Some(60)),
            (&[("cache-control", "max-age=-5")][..], None),
            (&[("cache-control", "max-age=99999999999999999999999")][..], Some(4_294_967_295)),
            (&[("expires", "0")][..], Some(0)),
            (&[("expires", "Sun, 22 Nov 2026 21:37:12 GMT")][..], Some(3600)),
            (&[("expires", "Sunday, 22-Nov-26 21:37:12 GMT")][..], Some(3600)),
            (&[("expires", "Sun Nov 22 21:37:12 2026")][..], Some(3600)),
            (&[("expires", "Sun, 22 Nov 2026 19:37:12 GMT")][..], Some(0)),
            // The server's clock is an hour behind; its own Date says how long it means.
            (&[("expires", "Sun, 22 Nov 2026 19:47:12 GMT"), ("date", "Sun, 22 Nov 2026 19:37:12 GMT")][..], Some(600)),
        ] {
            assert_eq!(freshness(&headers(lines), NOW), expected.map(Duration::from_secs), "{lines:?}");
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        for (lines, expected) in [
            (&[][..], None),
            (&[("retry-after", "120")][..], Some(120)),
            (&[("retry-after", " 0 ")][..], Some(0)),
            (&[("retry-after", "soon")][..], None),
            (&[("retry-after", "-1")][..], None),
            (&[("retry-after", "Sun, 22 Nov 2026 20:47:12 GMT")][..], Some(600)),
            (&[("retry-after", "Sun, 22 Nov 2020 20:47:12 GMT")][..], Some(0)),
            (
                &[("retry-after", "Sun, 22 Nov 2026 19:47:12 GMT"), ("date", "Sun, 22 Nov 2026 19:37:12 GMT")][..],
                Some(600),
            ),
        ] {
            assert_eq!(retry_after(&headers(lines), NOW), expected.map(Duration::from_secs), "{lines:?}");
        }
    }

    #[test]
    fn hubs_are_found_in_link_headers() {
        let base = Url::parse("https://ann:secret@example.org/blog/feed").expect("a URL");
        let check = |lines: &[(&'static str, &str)], hubs: &[&str], self_link: Option<&str>| {
            let links = links(&headers(lines), &base);
            assert_eq!(
                (links.hubs.iter().map(String::as_str).collect::<Vec<_>>(), links.self_link.as_deref()),
                (hubs.to_vec(), self_link),
                "{lines:?}"
            );
        };
        check(&[], &[], None);
        check(
            &[("link", r#"<https://hub.example/>; rel="hub", </feed>; rel=self"#)],
            &["https://hub.example/"],
            Some("https://example.org/feed"),
        );
        check(
            &[
                ("link", r#"<https://a.example/?x=1,2>; title="a, b"; rel="preload hub""#),
                ("link", "<//b.example/>;rel=HUB"),
            ],
            &["https://a.example/?x=1,2", "https://b.example/"],
            None,
        );
        check(&[("link", "<javascript:alert(1)>; rel=hub, <unclosed; rel=hub")], &[], None);
        check(&[("link", "<<<>>>,,,;;;rel=\"hub")], &[], None);
    }
}
