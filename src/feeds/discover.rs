//! Finding the feed of a home page: what the page names itself, then what its links look like, then usual places.
//!
//! Pure: a page's text in, addresses out. Fetches nothing and promises nothing; only parsing shows what is a feed.

use url::Url;

use super::clean::pieces::{Piece, Pieces};
use super::parse::attributes::Attributes;
use crate::references::{OwnEntities, decode};

/// Most candidates of one page.
const MAX_CANDIDATES: usize = 32;

/// How much speaks for a candidate, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// The page names it as its feed.
    Named,
    /// The page names it as a feed of something less: of comments, of one tag or category.
    NamedAside,
    /// The page links to it, and its address looks like a feed's.
    Linked,
}

/// An address that may be the feed of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its absolute address.
    pub url: Url,
    /// What the page calls it.
    pub title: Option<String>,
    /// Its media type, where the page says one.
    pub mime: Option<String>,
    /// What speaks for it.
    pub evidence: Evidence,
}

/// The feeds that a page names or links to, the most likely first, each address once.
///
/// `base` is the page's own address; a `base` element of the page overrides it. Only `http` and `https` addresses.
pub fn feeds_in(html: &str, base: &Url) -> Vec<Candidate> {
    let own = OwnEntities::default();
    let mut base = base.clone();
    let mut based = false;
    let mut found: Vec<Candidate> = Vec::new();
    for piece in Pieces::new(html) {
        let Piece::Open { name, rest, .. } = piece else { continue };
        let attributes = Attributes::new(rest);
        let value = |name: &str| {
            attributes.value(name).map(|raw| decode(raw, &own).trim().to_owned()).filter(|value| !value.is_empty())
        };
        if name.eq_ignore_ascii_case("base") && !based {
            if let Some(href) = value("href").and_then(|href| base.join(&href).ok()) {
                base = href;
                based = true;
            }
            continue;
        }
        let link = name.eq_ignore_ascii_case("link");
        if !link && !name.eq_ignore_ascii_case("a") {
            continue;
        }
        let Some(href) = value("href") else { continue };
        let Ok(mut url) = base.join(href.strip_prefix("feed:").unwrap_or(&href)) else { continue };
        url.set_fragment(None);
        if !matches!(url.scheme(), "http" | "https") {
            continue;
        }
        let mime = value("type").map(|mime| mime.to_ascii_lowercase());
        let rel = value("rel").unwrap_or_default().to_ascii_lowercase();
        let rel = |known: &str| rel.split_ascii_whitespace().any(|one| one == known);
        let typed = mime.as_deref().is_some_and(|mime| is_feed_type(mime, &url));
        let title = value("title");
        let evidence = if link && (rel("alternate") && typed || rel("feed")) {
            if is_aside(title.as_deref().unwrap_or_default(), &url) { Evidence::NamedAside } else { Evidence::Named }
        } else if !link && (typed || looks_like_feed(&url)) {
            Evidence::Linked
        } else {
            continue;
        };
        if found.len() < MAX_CANDIDATES && found.iter().all(|other| other.url != url) {
            found.push(Candidate { url, title, mime, evidence });
        }
    }
    // Stable: among equals the page's own order.
    found.sort_by_key(|candidate| candidate.evidence);
    found
}

/// Where feeds usually are, the most usual first: to be tried when a page names none, one by one, until one is a feed.
pub fn well_known(base: &Url) -> Vec<Url> {
    let below = ["feed", "rss.xml", "atom.xml", "index.xml", "feed.xml", "feed.json", "rss"];
    let mut found = Vec::new();
    let mut folder = base.clone();
    folder.set_query(None);
    folder.set_fragment(None);
    let root = folder.join("/").ok();
    if !folder.path().ends_with('/')
        && let Ok(mut segments) = folder.path_segments_mut()
    {
        segments.push("");
    }
    for path in below {
        for folder in std::iter::once(&folder).chain(&root) {
            if let Ok(url) = folder.join(path)
                && !found.contains(&url)
            {
                found.push(url);
            }
        }
    }
    found
}

fn is_feed_type(mime: &str, url: &Url) -> bool {
    let mime = mime.split(';').next().unwrap_or_default().trim();
    let feed =
        ["application/rss+xml", "application/atom+xml", "application/rdf+xml", "application/feed+json", "text/rss"];
    let generic = ["application/xml", "text/xml", "application/json"];
    feed.contains(&mime) || generic.contains(&mime) && !url.path().contains("wp-json") && looks_like_feed(url)
}

fn looks_like_feed(url: &Url) -> bool {
    let path = url.path().to_ascii_lowercase();
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let ends = [".rss", ".rdf", ".atom"].iter().any(|ending| last.ends_with(ending));
    let stem = last.trim_end_matches(".xml").trim_end_matches(".json").trim_end_matches(".php");
    let named = ["rss", "rss2", "atom", "feed", "feeds"].contains(&stem) || last == "index.xml" || last == "index.rdf";
    let asked = url.query().is_some_and(|query| query.contains("feed=") || query.contains("format=rss"));
    ends || named || asked
}

/// Whether a feed is one of comments or of a part, so that the page's main feed is another.
fn is_aside(title: &str, url: &Url) -> bool {
    let title = title.to_lowercase();
    let path = url.path().to_ascii_lowercase();
    ["comment", "kommentar", "commentaire", "comentario"].iter().any(|word| title.contains(word))
        || path.contains("/comments/")
        || path.contains("/oembed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(html: &str, expected: &[(&str, Evidence)]) {
        let base = Url::parse("https://example.org/blog/").expect("it is an address");
        let found = feeds_in(html, &base);
        let found: Vec<_> = found.iter().map(|one| (one.url.as_str(), one.evidence)).collect();
        assert_eq!(found, expected, "{html}");
    }

    #[test]
    fn pages_name_their_feeds() {
        use Evidence::{Linked, Named, NamedAside};
        check("<p>no feed", &[]);
        check(
            "<LINK REL='Alternate' TYPE='application/rss+xml' HREF='/feed?a=1&amp;b=2'>",
            &[("https://example.org/feed?a=1&b=2", Named)],
        );
        check(
            "<base href='//cdn.example/x/'><link rel=alternate type=application/atom+xml href=atom.xml>",
            &[("https://cdn.example/x/atom.xml", Named)],
        );
        check(
            "<a href=/rss>RSS</a><link rel='alternate' title='Comments' type='application/rss+xml' href='c'>\
             <link rel='alternate' type='application/feed+json' href='feed.json'><a href='/feed.json'>again</a>\
             <link rel='alternate' type='application/feed+json' href='feed.json'>",
            &[
                ("https://example.org/blog/feed.json", Named),
                ("https://example.org/blog/c", NamedAside),
                ("https://example.org/rss", Linked),
                ("https://example.org/feed.json", Linked),
            ],
        );
        check(
            "<!-- <link rel=alternate type=application/rss+xml href=old> --><script>'<a href=/rss>'</script>\
             <link rel=alternate hreflang=de href=/de/><link rel=alternate type=application/json href=/wp-json/x>\
             <a href='javascript:feed()'>x</a>",
            &[],
        );
    }

    #[test]
    fn usual_places() {
        let places = well_known(&Url::parse("https://example.org/blog?x#y").expect("it is an address"));
        assert_eq!(places[0].as_str(), "https://example.org/blog/feed");
        assert!(places.iter().any(|url| url.as_str() == "https://example.org/atom.xml"));
    }
}
