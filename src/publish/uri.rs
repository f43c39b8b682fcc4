//! Which addresses and names may be republished: valid, absolute, without credentials.
//!
//! Knows no format. An address that cannot be said correctly is left out rather than said wrongly.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use url::Url;

use crate::model::redact;

/// What may follow a link in a reader. Everything else (`javascript:`, `data:`, `file:`) is dropped.
const LINK_SCHEMES: [&str; 9] = ["http", "https", "mailto", "ftp", "magnet", "gemini", "gopher", "xmpp", "tel"];

/// An address as a URI (RFC 3986) without credentials: byte for byte where it is one already, else spelled the way a
/// browser would send it; `None` where it is relative, of a scheme that is no link, or nothing of the kind.
pub(super) fn link(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    if plain_host(text).is_some() && is_uri(text) {
        return Some(Cow::Borrowed(text));
    }
    let url = Url::parse(text).ok()?;
    if !LINK_SCHEMES.contains(&url.scheme()) {
        return None;
    }
    let has_credentials = !url.username().is_empty() || url.password().is_some();
    if !has_credentials && is_uri(text) && (!url.has_host() || has_slashes(text)) {
        return Some(Cow::Borrowed(text));
    }
    let spelled = redact(&url);
    if is_uri(&spelled) {
        return Some(Cow::Owned(spelled));
    }
    // What the URL standard lets stand and RFC 3986 does not.
    let mut out = String::with_capacity(spelled.len() + 8);
    for (at, byte) in spelled.bytes().enumerate() {
        if byte == b'%' && is_escape(&spelled.as_bytes()[at..]) {
            out.push('%');
        } else if is_uri_byte(byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string never fails.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    Some(Cow::Owned(out))
}

/// The host of a web address that is written as nearly all are: scheme and host in small letters, a name or an IPv4
/// address, perhaps a port, nothing before it, and then the end or a path. The URL parser takes any such address, and says
/// the same host. A page has a thousand addresses, and parsing one costs half a microsecond.
pub(super) fn plain_host(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let place = rest.split('/').next().unwrap_or_default();
    let (host, port) = place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port)));
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with("xn--")
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    // A name that ends in a number would be read as an address.
    let is_name = || {
        let last = host.rsplit('.').next().unwrap_or_default();
        last.starts_with(|c: char| c.is_ascii_lowercase()) && host.len() <= 253 && host.split('.').all(is_label)
    };
    let is_port = port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok());
    (is_port && (is_name() || host.parse::<Ipv4Addr>().is_ok())).then_some(host)
}

/// Like [`link`], but only what a page for people may point at.
pub(super) fn web_link(text: &str) -> Option<Cow<'_, str>> {
    link(text).filter(|uri| {
        let scheme = uri.split(':').next().unwrap_or_default();
        ["http", "https", "mailto"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
    })
}

/// Like [`link`], but only an address that a browser opens.
pub(super) fn page_link(text: &str) -> Option<Cow<'_, str>> {
    web_link(text).filter(|uri| !uri.starts_with(['m', 'M']))
}

/// A guid that may serve as an id in any format: an absolute IRI (RFC 3987) of a scheme whose names are unique in the
/// world, without credentials. `post:12` is an IRI too, but the next blog has the same.
pub(super) fn is_worldwide_id(guid: &str) -> bool {
    let Some((scheme, rest)) = guid.split_once(':') else { return false };
    if !is_iri(guid) {
        return false;
    }
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => {
            let has_no_user = |url: Url| url.username().is_empty() && url.password().is_none();
            has_slashes(guid) && (plain_host(guid).is_some() || Url::parse(guid).is_ok_and(has_no_user))
        }
        // tag:authority,date:specific (RFC 4151).
        "tag" => rest
            .split_once(',')
            .and_then(|(authority, rest)| Some((authority, rest.split_once(':')?)))
            .is_some_and(|(authority, (date, specific))| {
                !authority.is_empty()
                    && authority.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._@".contains(&b))
                    && matches!(date.len(), 4 | 7 | 10)
                    && date.bytes().all(|b| b.is_ascii_digit() || b == b'-')
                    && !specific.is_empty()
            }),
        // urn:nid:nss (RFC 8141).
        "urn" => rest.split_once(':').is_some_and(|(nid, nss)| {
            (2..=32).contains(&nid.len())
                && nid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !nid.starts_with('-')
                && !nss.is_empty()
        }),
        "at" | "did" => !rest.trim_start_matches('/').is_empty(),
        _ => false,
    }
}

/// A language tag that Atom's schema and HTML take (RFC 3066's form, which BCP 47 keeps to).
pub(super) fn language(tag: &str) -> Option<&str> {
    let tag = tag.trim();
    let well_formed = tag.split('-').enumerate().all(|(at, part)| {
        (1..=8).contains(&part.len())
            && part.bytes().all(|b| if at == 0 { b.is_ascii_alphabetic() } else { b.is_ascii_alphanumeric() })
    });
    well_formed.then_some(tag)
}

/// A media type that Atom's schema takes: `type/subtype`, parameters cut.
pub(super) fn media_type(text: &str) -> Option<&str> {
    let essence = text.split(';').next().unwrap_or_default().trim();
    let (kind, subtype) = essence.split_once('/')?;
    let token =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b));
    (token(kind) && token(subtype)).then_some(essence)
}

/// An e-mail address as far as Atom's schema cares, and no URL with credentials that stands in its place.
pub(super) fn email(text: &str) -> Option<&str> {
    let text = text.trim();
    let (name, host) = text.split_once('@')?;
    let plain = |part: &str| {
        !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control() || ":/@<>".contains(c))
    };
    (plain(name) && plain(host)).then_some(text)
}

fn has_slashes(text: &str) -> bool {
    text.split_once(':').is_some_and(|(_, rest)| rest.starts_with("//") && !rest.starts_with("///"))
}

fn is_uri(text: &str) -> bool {
    text.bytes().enumerate().all(
        |(at, byte)| {
            if byte == b'%' { is_escape(&text.as_bytes()[at..]) } else { is_uri_byte(byte) }
        },
    ) && text.matches('#').count() <= 1
}

fn is_iri(text: &str) -> bool {
    text.char_indices().all(|(at, c)| match c {
        '%' => is_escape(&text.as_bytes()[at..]),
        '\0'..='\u{7f}' => is_uri_byte(c as u8),
        // RFC 3987, section 2.2, `ucschar`: no controls, private use, noncharacters or formatting that nobody sees.
        _ => {
            matches!(c, '\u{a0}'..='\u{200d}' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{d7ff}'
            | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{ffef}' | '\u{10000}'..='\u{dffff}')
                && (c as u32) & 0xfffe != 0xfffe
                && !c.is_whitespace()
        }
    }) && text.matches('#').count() <= 1
}

fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(&byte)
}

fn is_escape(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_kept_spelled_or_dropped() {
        for (written, said) in [
            ("https://example.org/a?b=c#d", Some("https://example.org/a?b=c#d")),
            ("https://Example.org", Some("https://Example.org")),
            (" http://example.org/ä b ", Some("http://example.org/%C3%A4%20b")),
            ("https://münchen.example/", Some("https://xn--mnchen-3ya.example/")),
            ("https://example.org/a|b^c?x={y}", Some("https://example.org/a%7Cb%5Ec?x=%7By%7D")),
            ("https://example.org/100%", Some("https://example.org/100%25")),
            ("https://ann:secret@example.org/x", Some("https://example.org/x")),
            ("https:example.org/x", Some("https://example.org/x")),
            ("mailto:ann@example.org", Some("mailto:ann@example.org")),
            ("javascript:alert(1)", None),
            ("data:text/html,x", None),
            ("/relative", None),
            ("", None),
        ] {
            assert_eq!(link(written).as_deref(), said, "{written}");
        }
        assert_eq!(web_link("ftp://example.org/x"), None);
        assert_eq!(page_link("MailTo:ann@example.org"), None);
        assert_eq!(page_link("HTTP://example.org/").as_deref(), Some("HTTP://example.org/"));
    }

    #[test]
    fn only_names_unique_in_the_world_are_ids() {
        for guid in [
            "https://example.org/?p=1",
            "http://example.org/ä",
            "tag:blogger.com,1999:blog-1.post-2",
            "tag:ann@example.org,2020-01-02:x",
            "urn:uuid:1225c695-cfb8-4ebb-aaaa-80da344efa6a",
            "at://did:plc:abc/app.bsky.feed.post/1",
        ] {
            assert!(is_worldwide_id(guid), "{guid}");
        }
        for guid in [
            "1",
            "post:12",
            "/relative",
            "https://ann:secret@example.org/x",
            "https://exa mple.org/",
            "http:x",
            "urn:x",
            "tag:x",
            "javascript:alert(1)",
            "",
        ] {
            assert!(!is_worldwide_id(guid), "{guid}");
        }
    }

    #[test]
    fn tags_types_and_addresses_are_checked() {
        assert_eq!(language("de-AT"), Some("de-AT"));
        assert_eq!(language("en_US"), None);
        assert_eq!(language(""), None);
        assert_eq!(media_type("audio/mpeg; x=y"), Some("audio/mpeg"));
        assert_eq!(media_type("audio"), None);
        assert_eq!(email(" ann@example.org "), Some("ann@example.org"));
        assert_eq!(email("ann at example"), None);
        assert_eq!(email("https://ann:secret@example.org/"), None);
    }

    #[test]
    fn plain_addresses_are_what_the_parser_takes_them_for() {
        for (text, host) in [
            ("https://ann.example/feed", Some("ann.example")),
            ("http://127.0.0.1:8470/x?y#z", Some("127.0.0.1")),
            ("http://a-b.c0:1/@ann", Some("a-b.c0")),
            ("https://localhost", Some("localhost")),
            ("https://ann@host/", None),
            ("https://Ann.example/", None),
            ("https://xn--a.example/", None),
            ("https://1.2.3.400/", None),
            ("https://a.1/", None),
            ("https://a..b/", None),
            ("https://a.b./", None),
            ("https://a.b:99999/", None),
            ("https://a.b:/", None),
            ("https://a b/", None),
            ("https://a.b?x", None),
            ("https:///x", None),
            ("ftp://a.b/", None),
        ] {
            assert_eq!(plain_host(text), host, "{text}");
            if host.is_some() {
                let url = Url::parse(text).expect("the parser takes it");
                assert_eq!(url.host_str(), host, "{text}");
                assert!(url.username().is_empty() && url.password().is_none(), "{text}");
            }
        }
    }
}
