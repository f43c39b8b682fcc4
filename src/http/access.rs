//! Who may read what, and from where something may be changed: tokens, what stands open where the daemon is public, and
//! forms that only our own pages send.

use std::net::{Ipv4Addr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap};
use url::{Host, Url};

use super::query::pairs;
use crate::config::Server;

/// What may be read without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Openness {
    /// By everybody, always: whether the daemon lives.
    Always,
    /// By everybody where the daemon is public: `/listen`, lists, folders, voices.
    WhenPublic,
    /// Only by its keeper.
    Never,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reader {
    /// The keeper: shows a token, or needs none because nobody else reaches the address.
    Keeper,
    /// Anybody else.
    Guest,
}

impl Reader {
    /// Who sends a request with these headers and this query string.
    ///
    /// Without tokens everybody who reaches the address is the keeper, unless the daemon is public: then nobody is.
    pub fn of(server: &Server, headers: &HeaderMap, query: &str) -> Self {
        let is_keeper = if server.tokens.is_empty() {
            !server.public
        } else {
            presented(headers, query).any(|token| holds(&server.tokens, token.as_bytes()))
        };
        if is_keeper { Self::Keeper } else { Self::Guest }
    }

    /// Whether this reader gets an answer.
    pub fn may_read(self, server: &Server, openness: Openness) -> bool {
        match openness {
            Openness::Always => true,
            Openness::WhenPublic => server.public || self == Self::Keeper,
            Openness::Never => self == Self::Keeper,
        }
    }
}

/// Whether a request may come from a page that had its own name lead to this machine (DNS rebinding): the keeper's browser
/// takes it for that page's own server, and lets it read everything. Where whoever reaches the address is the keeper, the
/// host must therefore be that of `base_url`, an address, or a name that nobody on the open internet can have: one without a
/// dot, or below `localhost`, `internal` or `home.arpa` (RFC 6761, section 6.3; RFC 8375), as proxies use them.
pub fn is_misdirected(server: &Server, headers: &HeaderMap) -> bool {
    if !server.tokens.is_empty() || server.public {
        return false;
    }
    // What sends no host is no browser.
    let Some(host) = headers.get(HOST) else { return false };
    let Ok(host) = host.to_str() else { return true };
    // An address as it is written everywhere: the common case, and to read it as a URL costs a tenth of an answer.
    if host.parse::<SocketAddr>().is_ok() || host.parse::<Ipv4Addr>().is_ok() {
        return false;
    }
    let Ok(reached) = Url::parse(&format!("http://{host}/")) else { return true };
    !match reached.host() {
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            let is_private = [".localhost", ".internal", ".home.arpa"].iter().any(|end| name.ends_with(end));
            is_private || !name.contains('.') || server.base_url.host_str() == Some(name)
        }
        None => false,
    }
}

/// Whether what a request wants to change is wanted by a page of ours, or by no browser at all.
///
/// Browsers send along who the keeper is whatever page a form stands on. They also say where it stands: in
/// `Sec-Fetch-Site` (Fetch Metadata, section 2.4), or, older ones and on addresses without TLS, in `Origin` (RFC 6454,
/// section 7), whose host and port must then be those by which the daemon was reached or is known. What sends neither
/// is no browser.
pub fn is_from_here(base_url: &Url, headers: &HeaderMap) -> bool {
    let values = |name: &str| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    let mut sites = values("sec-fetch-site").peekable();
    if sites.peek().is_some() {
        return sites.all(|site| matches!(site, "same-origin" | "none"));
    }
    let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    values("origin").all(|origin| {
        let Some(origin) = Url::parse(origin).ok().filter(|origin| matches!(origin.scheme(), "http" | "https")) else {
            return false;
        };
        let place = |url: &Url| (url.host_str().map(str::to_owned), url.port_or_known_default());
        // A host is named without the usual port of the scheme, and which scheme that is a proxy may have changed.
        let reached = Url::parse(&format!("{}://{host}/", origin.scheme())).ok();
        place(&origin) == place(base_url) || reached.is_some_and(|reached| place(&origin) == place(&reached))
    })
}

/// The tokens that a request shows: as Basic password, as Bearer, as `?token=`.
fn presented(headers: &HeaderMap, query: &str) -> impl Iterator<Item = String> {
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (scheme, credentials) = authorization.split_once(' ').unwrap_or_default();
    let header = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(credentials.trim().to_owned()),
        "basic" => STANDARD
            .decode(credentials.trim())
            .ok()
            .and_then(|decoded| String::from_utf8(decoded).ok())
            .and_then(|pair| pair.split_once(':').map(|(_, password)| password.to_owned())),
        _ => None,
    };
    let parameter = pairs(query).find(|(name, _)| name == "token").map(|(_, value)| value);
    header.into_iter().chain(parameter)
}

/// Compares with every token in a time that tells neither where they differ nor how long a token is: hashes are compared,
/// and `blake3` compares its own in constant time.
fn holds(tokens: &[String], shown: &[u8]) -> bool {
    let shown = blake3::hash(shown);
    // Every token is compared, also after one has matched.
    tokens.iter().fold(false, |found, token| found | (blake3::hash(token.as_bytes()) == shown))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use hyper::header::HeaderValue;

    use super::*;
    use crate::config::Config;

    fn server(text: &str) -> Server {
        Config::parse(&format!("[server]\n{text}"), None, Path::new("/")).expect("a configuration").server
    }

    #[test]
    fn names_that_strangers_lead_here_are_misdirected() {
        for (config, host, misdirected) in [
            ("", "127.0.0.1:8470", false),
            ("", "[::1]:8470", false),
            ("", "localhost", false),
            ("", "listend.internal:80", false),
            ("", "upstream", false),
            ("", "evil.example:8470", true),
            ("", "localhost.evil.example", true),
            ("", "no host", true),
            ("base_url = \"https://listen.example/x/\"", "listen.example", false),
            ("base_url = \"https://listen.example/x/\"", "LISTEN.example:80", false),
            ("base_url = \"https://listen.example/x/\"", "evil.example", true),
            // A stranger's page has no token, and what is public is for everybody.
            ("tokens = [\"t\"]", "evil.example", false),
            ("public = true", "evil.example", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(host).expect("a header value"));
            assert_eq!(is_misdirected(&server(config), &headers), misdirected, "{config} {host}");
        }
        assert!(!is_misdirected(&server(""), &HeaderMap::new()));
    }

    #[test]
    fn rules_of_access() {
        use Openness::{Always, Never, WhenPublic};
        let tokens = "tokens = [\"first\", \"second\"]";
        for (config, openness, authorization, query, allowed) in [
            ("", Never, "", "", true),
            (tokens, Always, "", "", true),
            (tokens, WhenPublic, "", "", false),
            (tokens, WhenPublic, "Bearer second", "", true),
            (tokens, WhenPublic, "Bearer secon", "", false),
            (tokens, WhenPublic, "Basic YW5uOmZpcnN0", "", true),
            (tokens, WhenPublic, "Basic !!!", "", false),
            (tokens, Never, "", "token=first", true),
            (tokens, Never, "", "token=", false),
            ("public = true", WhenPublic, "", "", true),
            ("public = true", Never, "", "", false),
            ("public = true\ntokens = [\"t\"]", WhenPublic, "", "", true),
            ("public = true\ntokens = [\"t\"]", Never, "", "", false),
            ("public = true\ntokens = [\"t\"]", Never, "bearer t", "", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization).expect("a header value"));
            let server = server(config);
            let reader = Reader::of(&server, &headers, query);
            assert_eq!(reader.may_read(&server, openness), allowed, "{config} {openness:?} {authorization} {query}");
        }
    }

    #[test]
    fn only_our_own_pages_and_programs_may_change_something() {
        let base_url = Url::parse("https://listen.example/base/").expect("an address");
        for (fetch_site, origin, host, allowed) in [
            ("", "", "listen.example", true),
            ("same-origin", "", "listen.example", true),
            ("same-origin", "null", "listen.example", true),
            ("none", "", "listen.example", true),
            ("same-site", "https://listen.example", "listen.example", false),
            ("cross-site", "", "listen.example", false),
            ("Same-Origin", "", "listen.example", false),
            ("", "null", "listen.example", false),
            ("", "https://listen.example", "127.0.0.1:8470", true),
            ("", "https://listen.example:443", "127.0.0.1:8470", true),
            ("", "https://listen.example:8443", "127.0.0.1:8470", false),
            ("", "http://listen.example", "127.0.0.1:8470", false),
            ("", "http://127.0.0.1:8470", "127.0.0.1:8470", true),
            ("", "http://LAPTOP:8470", "laptop:8470", true),
            ("", "http://laptop", "laptop:80", true),
            ("", "http://laptop:8471", "laptop:8470", false),
            ("", "http://evil.example", "127.0.0.1:8470", false),
            ("", "http://127.0.0.1:8470.evil.example", "127.0.0.1:8470", false),
            ("", "http://evil.example@127.0.0.1:8470", "laptop:8470", false),
            ("", "file://", "", false),
            ("", "chrome-extension://laptop", "laptop", false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [("sec-fetch-site", fetch_site), ("origin", origin), ("host", host)] {
                if !value.is_empty() {
                    headers.insert(name, HeaderValue::from_str(value).expect("a header value"));
                }
            }
            assert_eq!(is_from_here(&base_url, &headers), allowed, "{fetch_site} {origin} {host}");
        }
        let mut two = HeaderMap::new();
        two.append("origin", HeaderValue::from_static("https://listen.example"));
        two.append("origin", HeaderValue::from_static("https://evil.example"));
        assert!(!is_from_here(&base_url, &two));
    }
}
