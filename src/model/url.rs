//! Addresses of feeds: parsed once, compared in one spelling, shown without credentials.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use url::Url;

/// The address of a feed: an absolute `http` or `https` URL without a fragment.
///
/// Two spellings of one address are equal after parsing (host in lower case, default port dropped, dots resolved).
/// Copies share one text: an address stands in lists, rosters and feeds many times over.
/// [`fmt::Display`] and [`fmt::Debug`] leave credentials out; [`FeedUrl::as_str`] has them, for dialling and storing only.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeedUrl(Arc<Url>);

/// Why a text is no address of a feed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// Nothing but white space.
    #[error("the address is empty")]
    Empty,
    /// Another scheme than `http` and `https`.
    #[error("the scheme `{0}` is not http or https")]
    Scheme(String),
    /// Not a URL at all.
    #[error("not a URL: {0}")]
    Malformed(url::ParseError),
}

/// Longest address kept, in bytes; longer ones are no addresses that anybody typed.
const MAX_URL_BYTES: usize = 8192;

impl FeedUrl {
    /// Reads an address as people write it: surrounding space is dropped, a missing scheme becomes `http`, and the
    /// `feed:` scheme of old browsers is folded (`feed://host/` and `feed:https://host/`).
    pub fn parse(text: &str) -> Result<Self, UrlFault> {
        let text = text.trim();
        if text.is_empty() {
            return Err(UrlFault::Empty);
        }
        let unwrapped = match text.get(..5) {
            Some(scheme) if scheme.eq_ignore_ascii_case("feed:") => text[5..].trim_start_matches('/'),
            _ => text,
        };
        let has_scheme = unwrapped.split_once(':').is_some_and(|(scheme, rest)| {
            // `example.org:8080/feed` is a host and a port, not a scheme.
            scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
                && !rest.starts_with(|c: char| c.is_ascii_digit())
        });
        let absolute =
            if has_scheme { unwrapped.to_owned() } else { format!("http://{}", unwrapped.trim_start_matches('/')) };
        if absolute.len() > MAX_URL_BYTES {
            return Err(UrlFault::Malformed(url::ParseError::Overflow));
        }
        Url::parse(&absolute).map_err(UrlFault::Malformed).and_then(Self::try_from)
    }

    /// The address with its credentials, for dialling and storing. Never for showing.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The address as a URL, with its credentials.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Shares the text of another one that is equal.
    pub fn share(&mut self, other: &Self) {
        if self == other {
            self.0 = Arc::clone(&other.0);
        }
    }

    /// The host in lower case, an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// `host:port`, the unit of politeness: everything fetched from there shares one queue.
    pub fn host_and_port(&self) -> String {
        format!("{}:{}", self.host(), self.0.port_or_known_default().unwrap_or(80))
    }
}

impl TryFrom<Url> for FeedUrl {
    type Error = UrlFault;

    fn try_from(mut url: Url) -> Result<Self, UrlFault> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlFault::Scheme(url.scheme().to_owned()));
        }
        url.set_fragment(None);
        Ok(Self(Arc::new(url)))
    }
}

impl fmt::Display for FeedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.0))
    }
}

impl fmt::Debug for FeedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A URL as text without user name and password.
pub fn redact(url: &Url) -> String {
    if url.username().is_empty() && url.password().is_none() {
        return url.as_str().to_owned();
    }
    let mut shown = url.clone();
    // Both fail only for URLs that cannot carry credentials, and then there are none to cut.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.into()
}

/// A text of any kind without the user names and passwords of the addresses in it, for whatever people write into names
/// and descriptions: `My feed http://ann:secret@host/` becomes `My feed http://host/`.
///
/// Addresses need not be well-formed, since a mistyped one has the same secret in it: a user name is what stands before
/// an `@` in the place of a host, after `//`, `:/` or `http:`. E-mail addresses and `https://host/@ann` stay as they are.
/// In doubt more is cut rather than less.
pub fn redact_text(text: &str) -> Cow<'_, str> {
    if !text.contains('@') {
        return Cow::Borrowed(text);
    }
    let scanned = cut_user_names(text);
    // What only the parser sees, as a password with a space or a line end in it.
    match Url::parse(scanned.trim()) {
        Ok(url) if url.has_host() && (!url.username().is_empty() || url.password().is_some()) => {
            Cow::Owned(redact(&url))
        }
        _ => scanned,
    }
}

/// The text without what stands in the place of user names. Takes time in proportion to its length, whatever it says.
fn cut_user_names(text: &str) -> Cow<'_, str> {
    // Controls are left out where texts are shown.
    let is_slash = |c: char| matches!(c, '/' | '\\') || c.is_control() && !c.is_whitespace();
    let mut out = String::new();
    let mut written = 0;
    let mut at = 0;
    // The next of each from `at` on; looked for again only when passed, so that nothing is read twice.
    let (mut sign, mut gap, mut host_end) = (0, 0, 0);
    let next = |known: &mut usize, at: usize, is_it: &dyn Fn(char) -> bool| {
        if *known <= at {
            *known = text[at..].find(is_it).map_or(text.len(), |found| at + found);
        }
    };
    while let Some(found) = text[at..].find(|c: char| c == ':' || is_slash(c)) {
        let start = at + found;
        let before = &text[..start];
        let has_colon = text[start..].starts_with(':');
        let slashes_start = start + usize::from(has_colon);
        let after = text[slashes_start..].trim_start_matches(is_slash);
        at = text.len() - after.len();
        let is_address = match at - slashes_start {
            0 => has_colon && ends_with_web_scheme(before),
            1 => has_colon,
            _ => true,
        };
        if !is_address {
            continue;
        }
        next(&mut sign, at, &|c| c == '@');
        next(&mut gap, at, &char::is_whitespace);
        if sign > gap || sign == text.len() {
            continue;
        }
        next(&mut host_end, at, &|c| c.is_whitespace() || is_slash(c) || matches!(c, '?' | '#'));
        let host = &text[at..host_end];
        let user_name = match (sign < host_end).then(|| host.rfind('@')).flatten() {
            Some(end) => {
                // `https://host//ann@b/` has a path and no user name.
                let is_in_path = !has_colon && before.ends_with(|c: char| c.is_alphanumeric());
                (!is_in_path || host[..end].contains(':')).then_some(end)
            }
            // What follows the colon is no port: a password with a slash in it.
            None => host
                .rsplit_once(':')
                .filter(|(_, port)| port.len() > 5 || !port.bytes().all(|b| b.is_ascii_digit()))
                .filter(|_| !host.starts_with('['))
                .and_then(|_| text[at..gap].rfind('@')),
        };
        // `//@ann` names nobody.
        if let Some(end) = user_name.filter(|end| *end > 0) {
            out.push_str(&text[written..at]);
            at += end + 1;
            written = at;
        }
    }
    if written == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[written..]);
    Cow::Owned(out)
}

/// Whether a text ends with `http` or `https` as a word; a browser takes them for schemes without slashes, too.
fn ends_with_web_scheme(text: &str) -> bool {
    let bytes = text.as_bytes();
    ["http", "https"].iter().any(|scheme| {
        bytes.len().checked_sub(scheme.len()).is_some_and(|from| {
            bytes[from..].eq_ignore_ascii_case(scheme.as_bytes())
                && !bytes[..from].last().is_some_and(u8::is_ascii_alphanumeric)
        })
    })
}

/// Parameters that say where a click came from and nothing about what is shown.
const TRACKING_PARAMETERS: [&str; 12] = [
    "fbclid", "gclid", "dclid", "msclkid", "mc_cid", "mc_eid", "igshid", "yclid", "_hsenc", "_hsmi", "wt_mc", "ref_src",
];

/// A link in the spelling in which two links to one page are equal: no scheme, no `www.`, no fragment, no tracking
/// parameters, no trailing slash. `None` for what is no http(s) URL. For comparing only, never for dialling or showing.
pub fn comparable_link(link: &str) -> Option<String> {
    let link = link.trim();
    let plain = PlainUrl::split(link).filter(PlainUrl::is_as_parsed);
    plain.map_or_else(|| comparable_by_parser(link), |url| Some(comparable(url.host, url.port, url.path, url.query)))
}

fn comparable_by_parser(link: &str) -> Option<String> {
    let url = Url::parse(link).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let host = url.host_str()?.trim_end_matches('.');
    let port = url.port().map(|port| port.to_string());
    Some(comparable(host, port.as_deref(), url.path(), url.query().unwrap_or_default()))
}

fn comparable(host: &str, port: Option<&str>, path: &str, query: &str) -> String {
    let mut text = String::with_capacity(host.len() + path.len() + query.len() + 8);
    text.push_str(host.strip_prefix("www.").unwrap_or(host));
    if let Some(port) = port {
        text.push(':');
        text.push_str(port);
    }
    text.push_str(path.trim_end_matches('/'));
    let mut separator = '?';
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split('=').next().unwrap_or_default();
        let tracks = name.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("utm_"))
            || TRACKING_PARAMETERS.iter().any(|known| known.eq_ignore_ascii_case(name));
        if !tracks {
            text.push(separator);
            text.push_str(pair);
            separator = '&';
        }
    }
    text
}

/// The parts of an http(s) address whose host and port stand there as a parser would write them, as nearly all do: taking
/// it apart takes a tenth of parsing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlainUrl<'a> {
    host: &'a str,
    port: Option<&'a str>,
    path: &'a str,
    query: &'a str,
}

impl<'a> PlainUrl<'a> {
    /// The parts of an address that a parser surely can read; `None` where only the parser knows.
    pub(crate) fn split(address: &'a str) -> Option<Self> {
        let (rest, own_port) = match address.strip_prefix("https://") {
            Some(rest) => (rest, "443"),
            None => (address.strip_prefix("http://")?, "80"),
        };
        let (authority, rest) =
            rest.split_at(rest.bytes().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len()));
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let is_plain_port =
            port.is_none_or(|port| port != own_port && !port.starts_with('0') && is_number_up_to(port, u16::MAX));
        if !is_plain_port || !is_plain_host(host) {
            return None;
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Some(Self { host, port, path, query })
    }

    /// Whether a parser would write its path and its query as they stand there, too.
    fn is_as_parsed(&self) -> bool {
        let is_kept = |b: u8| {
            b.is_ascii_alphanumeric()
                || matches!(b, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'(' | b')' | b'*' | b'+')
                || matches!(b, b',' | b';' | b'=' | b':' | b'@' | b'/' | b'%')
        };
        // Segments of dots, some of which may be written as `%2e`, lead elsewhere.
        let is_straight =
            |path: &str| path.split('/').all(|segment| !segment.starts_with('.') && !segment.starts_with("%2"));
        self.path.bytes().chain(self.query.bytes()).all(is_kept) && is_straight(self.path)
    }
}

/// Whether a host is a name in small letters that cannot be a number or punycode, or an IPv4 address as it is usually
/// written.
fn is_plain_host(host: &str) -> bool {
    let is_label = |label: &str| {
        label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && label.starts_with(|c: char| c.is_ascii_alphanumeric())
            && label.get(2..4) != Some("--")
    };
    let is_octet = |label: &str| is_number_up_to(label, 255) && (label == "0" || !label.starts_with('0'));
    let last = host.rsplit('.').next().unwrap_or_default();
    if last.starts_with(|c: char| c.is_ascii_lowercase()) {
        host.split('.').all(is_label)
    } else {
        host.split('.').count() == 4 && host.split('.').all(is_octet)
    }
}

/// Whether a text is a decimal number without a sign, up to that one.
fn is_number_up_to(text: &str, most: u16) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|number| number <= most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn feed_urls_are_read_as_people_write_them() {
        for (written, read) in [
            ("https://Example.org/feed", "https://example.org/feed"),
            (" http://example.org:80/a/../b#top\n", "http://example.org/b"),
            ("feed://example.org/rss", "http://example.org/rss"),
            ("feed:https://example.org/rss", "https://example.org/rss"),
            ("example.org/feed.xml", "http://example.org/feed.xml"),
            ("example.org:8080/feed.xml", "http://example.org:8080/feed.xml"),
            ("//example.org/x", "http://example.org/x"),
            ("https://münchen.example/ä", "https://xn--mnchen-3ya.example/%C3%A4"),
        ] {
            assert_eq!(FeedUrl::parse(written).map(|url| url.as_str().to_owned()).as_deref(), Ok(read), "{written}");
        }
        assert_eq!(FeedUrl::parse("  "), Err(UrlFault::Empty));
        assert_eq!(FeedUrl::parse("ftp://example.org/"), Err(UrlFault::Scheme("ftp".into())));
        assert_eq!(FeedUrl::parse("javascript:alert(1)"), Err(UrlFault::Scheme("javascript".into())));
        assert_eq!(FeedUrl::parse("file:///etc/passwd"), Err(UrlFault::Scheme("file".into())));
        assert!(matches!(FeedUrl::parse("http://"), Err(UrlFault::Malformed(_))));
    }

    #[test]
    fn credentials_are_never_shown() {
        let url = FeedUrl::parse("https://ann:secret@example.org/feed").expect("it is an address");
        assert_eq!(url.to_string(), "https://example.org/feed");
        assert_eq!(format!("{url:?}"), "https://example.org/feed");
        assert!(url.as_str().contains("secret"));
        assert_eq!(url.host_and_port(), "example.org:443");
    }

    #[test]
    fn texts_lose_the_credentials_of_their_addresses_and_nothing_else() {
        for (written, shown) in [
            ("My feed http://ann:s3cret@host/feed3", "My feed http://host/feed3"),
            ("see http://ann:s3@cret@host, and //bo:s3cret@b/x", "see http://host, and //b/x"),
            ("htp:/ann:s3cret@x y/", "htp:/x y/"),
            ("http:ann:s3cret@host/", "http:host/"),
            ("http:\\\\ann:s3cret@host/", "http:\\\\host/"),
            ("HTTP:/s3cret@host/", "HTTP:/host/"),
            ("http:////s3cret@host/", "http:////host/"),
            ("http://ann:s3/cret@host/", "http://host/"),
            ("http://ann:s3 cret@host/", "http://host/"),
            ("http://ann:s3\ncret@host/", "http://host/"),
            ("https://archive.example/https://ann:s3cret@host/", "https://archive.example/https://host/"),
            ("https://archive.example/?u=//s3cret@host", "https://archive.example/?u=//host"),
            ("feed:https://ann:s3cret@höst/ä", "feed:https://höst/ä"),
        ] {
            assert_eq!(redact_text(written), shown, "{written}");
            assert_eq!(redact_text(shown), shown, "a second time changes nothing");
        }
        for same in [
            "write to ann@host",
            "mailto:ann@host",
            "Ann: ann@host / bo@host",
            "https://host/@ann",
            "https://host:8080/x@y",
            "https://[::1]/x@y",
            "https://host//@ann",
            "https://host//ann@b/feed",
            "@",
            "//@",
            "://",
            "",
        ] {
            assert_eq!(redact_text(same), same);
        }
    }

    #[test]
    fn texts_are_redacted_in_one_pass() {
        for (part, last) in
            [("http:", "/@"), ("//a:b", " @"), ("//a:b", "@"), ("//@", ""), ("http:", " @"), ("x//a", "@")]
        {
            let long = format!("{}{last}", part.repeat(1 << 17));
            // In more than one pass this would take minutes.
            assert!(redact_text(&long).len() <= long.len(), "{part}{last}");
        }
    }

    #[test]
    fn links_to_one_page_compare_equal() {
        for link in [
            "https://www.example.org/post/",
            "http://example.org/post",
            "https://example.org/post?utm_source=rss&utm_medium=feed",
            "https://example.org/post#comments",
            "https://EXAMPLE.org/post?fbclid=1",
        ] {
            assert_eq!(comparable_link(link).as_deref(), Some("example.org/post"), "{link}");
        }
        assert_eq!(comparable_link("http://example.org/?p=1&utm_x=2").as_deref(), Some("example.org?p=1"));
        assert_eq!(comparable_link("mailto:ann@example.org"), None);
    }

    #[test]
    fn usual_addresses_need_no_parser() {
        for plain in [
            "https://www.example.org/2026/11/a-post/?utm_source=feed&a=1#top",
            "http://127.0.0.1:18931/post/0/14?ref=1",
            "https://example.org",
            "http://a.b-c.example:8080?x",
        ] {
            assert!(PlainUrl::split(plain).is_some_and(|url| url.is_as_parsed()), "{plain}");
        }
        for odd in
            ["http://example.org/a/../b", "http://example.org/ä", "http://EXAMPLE.org/", "http://1.2.3/", "mailto:a@b"]
        {
            assert!(PlainUrl::split(odd).is_none_or(|url| !url.is_as_parsed()), "{odd}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn addresses_are_compared_as_the_parser_reads_them(
            scheme in prop::sample::select(vec!["http://", "https://", "https://", "HTTP://", "http:/", "ftp://", ""]),
            host in prop::collection::vec(prop::sample::select(vec![
                "www.", "a", "example", ".org", ".", "-", "--", "xn--", "1", "255", "256", "0", "0x1", "127.0.0.1", "ä", "A", "@",
            ]), 0..4),
            port in prop::sample::select(vec!["", "", "", ":80", ":443", ":8080", ":080", ":99999", ":", ":a"]),
            rest in prop::collection::vec(prop::sample::select(vec![
                "/", "/", "?", "#", "a", "b=1", "&", "utm_x=1", "fbclid", ".", "..", "%2e", "%2E", "%41", "%", "'", "\"", "ä", " ",
                "\t", "\\", "|", "^", "[", "{", "`", ":", "@", ";", "~", "*", "<",
            ]), 0..8),
        ) {
            let address = format!("{scheme}{}{port}{}", host.concat(), rest.concat());
            let parsed = Url::parse(&address);
            prop_assert!(PlainUrl::split(&address).is_none() || parsed.is_ok());
            prop_assert_eq!(comparable_link(&address), comparable_by_parser(address.trim()));
        }
    }
}
