//! Who may read what: tokens, and what stands open where the daemon is public.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap};

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

/// Whether a request may be answered.
///
/// Without tokens, everything is open to whoever reaches the address, unless others can and the daemon is public: then
/// what is [`Openness::Never`] stays closed.
pub fn is_allowed(server: &Server, openness: Openness, headers: &HeaderMap, query: &str) -> bool {
    match openness {
        Openness::Always => true,
        Openness::WhenPublic if server.public || server.tokens.is_empty() => true,
        _ if server.tokens.is_empty() => !server.public,
        _ => presented(headers, query).any(|token| holds(&server.tokens, token.as_bytes())),
    }
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

/// Compares with every token in a time that does not depend on where they differ.
fn holds(tokens: &[String], shown: &[u8]) -> bool {
    let mut found = false;
    for token in tokens {
        let token = token.as_bytes();
        let mut difference = token.len() ^ shown.len();
        for (index, byte) in shown.iter().enumerate() {
            difference |= usize::from(byte ^ token[index % token.len()]);
        }
        // Every token is compared, also after one has matched.
        found |= difference == 0;
    }
    found
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
            assert_eq!(
                is_allowed(&server(config), openness, &headers, query),
                allowed,
                "{config} {openness:?} {authorization} {query}"
            );
        }
    }
}
