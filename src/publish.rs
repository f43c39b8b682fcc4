//! The bytes of a page in each format. Deterministic: the same page makes the same bytes.
//!
//! Knows neither where entries come from nor HTTP, and never what time it is.
//!
//! What the formats share, so that a reader finds the same entries whichever it asks for: ids, authors, dates, links and
//! bodies are decided once, in `said`. Characters that XML forbids are left out everywhere.

use std::fmt::Write as _;

use url::{Position, Url, form_urlencoded};

use crate::listen::page::Query;

pub mod atom;
mod fragment;
pub mod html;
pub mod json;
pub mod opml;
pub mod rss;
mod said;
#[cfg(test)]
mod tests;
mod uri;
mod xml;

/// What all pages of one daemon share.
#[derive(Clone, Debug)]
pub struct Site {
    /// Where the daemon is reached from outside, ending in a slash; all links start with it.
    pub base_url: Url,
    /// The WebSub hub that merged feeds name, if any.
    pub hub: Option<String>,
    /// Whether each entry ends with a link to record contact with its voice.
    pub contact_links: bool,
    /// Whether pages are made for the keeper of the lists, who may see and record what is between them and the voices;
    /// a public reader is not shown the way there.
    pub is_keeper: bool,
    /// The lists as title and path, for the way around on pages for people.
    pub lists: Vec<(String, String)>,
}

/// The address of a view: absolute, with the parameters of `query` that differ from the defaults, always in the same
/// order (`limit`, `since`, `q`, `per_voice`, `before`).
///
/// `path` is the view's (`/followers/oakland-makers`), `ending` the format's (`atom`) or empty for the one address that
/// stands for all formats.
pub fn address(site: &Site, path: &str, ending: &str, query: &Query) -> String {
    let mut out = site.base_url[..Position::BeforePath].to_owned();
    place_into(&mut out, site, path, ending, query);
    out
}

/// The same address as a path from the root of its host. Written by hand because a page has hundreds of them.
fn place_into(out: &mut String, site: &Site, path: &str, ending: &str, query: &Query) {
    out.push_str(site.base_url.path().trim_end_matches('/'));
    out.push('/');
    for byte in path.trim_start_matches('/').bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Paths are made of slugs; whatever else comes here must not end the address. Writing never fails.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    if !ending.is_empty() {
        out.push('.');
        out.push_str(ending);
    }
    let parameters = parameters(query);
    if !parameters.is_empty() {
        out.push('?');
        let start = out.len();
        form_urlencoded::Serializer::for_suffix(out, start).extend_pairs(parameters);
    }
}

/// The parameters that differ from the defaults, as name and value.
fn parameters(query: &Query) -> Vec<(&'static str, String)> {
    let mut parameters = Vec::new();
    if query.limit != Query::DEFAULT_LIMIT {
        parameters.push(("limit", query.limit.to_string()));
    }
    if let Some(since) = query.since {
        parameters.push(("since", since.to_rfc3339()));
    }
    if !query.words.is_empty() {
        parameters.push(("q", query.words.join(" ")));
    }
    if let Some(per_voice) = query.per_voice {
        parameters.push(("per_voice", per_voice.to_string()));
    }
    if let Some(before) = query.before {
        parameters.push(("before", before.to_string()));
    }
    parameters
}
