//! The names of feeds' elements: which namespace a prefix means, and which known element a name is.
//!
//! Lenient on purpose: namespaces are known by what is typical of their addresses, prefixes that nobody declared by
//! what everybody uses them for, and names in any letter case. Knows nothing of what the elements mean.

use super::attributes::Attributes;

/// A namespace, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ns {
    /// RSS in all its addresses, Atom, and no namespace at all.
    Feed,
    Rdf,
    Dc,
    DcTerms,
    Content,
    Itunes,
    Media,
    Syndication,
    Xhtml,
    /// Any other; its names mean nothing here.
    Other,
}

/// What an address of a namespace means. Compared by its typical part, since version, host, scheme and case vary.
fn of_address(address: &str) -> Ns {
    let address = address.trim().to_ascii_lowercase();
    let has = |part: &str| address.contains(part);
    if address.is_empty() || has("2005/atom") || has("purl.org/atom") || has("atom/ns") || has("atom10") || has("rss2")
    {
        Ns::Feed
    } else if has("dc/terms") {
        Ns::DcTerms
    } else if has("dc/elements") {
        Ns::Dc
    } else if has("modules/content") {
        Ns::Content
    } else if has("modules/syndication") {
        Ns::Syndication
    } else if has("purl.org/rss/1.0/modules") {
        Ns::Other
    } else if has("purl.org/rss")
        || has("purl.org/net/rss")
        || has("netscape.com/rdf")
        || has("netscape.com/publish")
        || has("backend.userland.com")
        || has("blogs.law.harvard.edu/tech/rss")
        || has("cyber.law.harvard.edu/rss")
    {
        Ns::Feed
    } else if has("rdf-syntax-ns") {
        Ns::Rdf
    } else if has("itunes") {
        Ns::Itunes
    } else if has("/mrss") || has("media-rss") {
        Ns::Media
    } else if has("1999/xhtml") {
        Ns::Xhtml
    } else {
        Ns::Other
    }
}

/// What a prefix means that nobody declared, or that was declared with an address that nobody knows.
fn of_prefix(prefix: &str) -> Ns {
    match prefix {
        "" | "rss" | "atom" | "atom10" | "atom03" | "a10" => Ns::Feed,
        "rdf" => Ns::Rdf,
        "dc" => Ns::Dc,
        "dcterms" | "dcterm" => Ns::DcTerms,
        "content" => Ns::Content,
        "itunes" => Ns::Itunes,
        "media" => Ns::Media,
        "sy" => Ns::Syndication,
        "xhtml" | "html" => Ns::Xhtml,
        _ => Ns::Other,
    }
}

/// Most namespace declarations in force at a time.
const MAX_DECLARATIONS: usize = 256;

/// The namespace declarations in force.
#[derive(Debug, Default)]
pub(super) struct Namespaces<'a> {
    declared: Vec<(usize, &'a str, Ns)>,
}

impl<'a> Namespaces<'a> {
    /// Takes in what a start tag at that depth declares.
    pub(super) fn declare(&mut self, depth: usize, attributes: Attributes<'a>) {
        for (name, value) in attributes {
            let prefix = match name.strip_prefix("xmlns") {
                Some("") => "",
                Some(rest) => match rest.strip_prefix(':') {
                    Some(prefix) => prefix,
                    None => continue,
                },
                None => continue,
            };
            if self.declared.len() < MAX_DECLARATIONS {
                let ns = match of_address(value) {
                    Ns::Other => of_prefix(prefix),
                    known => known,
                };
                self.declared.push((depth, prefix, ns));
            }
        }
    }

    /// Forgets what elements at that depth and below declared.
    pub(super) fn leave(&mut self, depth: usize) {
        while self.declared.last().is_some_and(|(own, ..)| *own >= depth) {
            self.declared.pop();
        }
    }

    /// The namespace of a prefix; the empty one is the default namespace.
    pub(super) fn of(&self, prefix: &str) -> Ns {
        let declared = self.declared.iter().rev().find(|(_, own, _)| *own == prefix);
        declared.map_or_else(|| of_prefix(prefix), |(.., ns)| *ns)
    }
}

/// Prefix and local name.
pub(super) fn split_prefix(name: &str) -> (&str, &str) {
    match name.bytes().position(|byte| byte == b':') {
        Some(colon) => (&name[..colon], &name[colon + 1..]),
        None => ("", name),
    }
}

macro_rules! elements {
    ($($element:ident: $($ns:ident $name:literal),+;)+) => {
        /// An element that means something in a feed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Element { $(#[doc = concat!($("`", $name, "` "),+)] $element,)+ }

        #[expect(clippy::unnested_or_patterns, reason = "the table below reads better than what it unfolds to")]
        fn exact(ns: Ns, name: &str) -> Option<Element> {
            match (ns, name) {
                $($((Ns::$ns, $name))|+ => Some(Element::$element),)+
                _ => None,
            }
        }
    };
}

elements! {
    Rss: Feed "rss";
    RdfRoot: Rdf "rdf", Feed "rdf";
    AtomFeed: Feed "feed";
    Channel: Feed "channel";
    Item: Feed "item", Feed "entry";
    Image: Feed "image", Feed "textinput", Feed "cloud";
    Html: Feed "html", Xhtml "html";
    Title: Feed "title";
    DcTitle: Dc "title", DcTerms "title";
    MediaTitle: Media "title";
    ItunesTitle: Itunes "title";
    Link: Feed "link";
    Guid: Feed "guid";
    Id: Feed "id";
    DcIdentifier: Dc "identifier", DcTerms "identifier";
    Author: Feed "author";
    Contributor: Feed "contributor";
    Creator: Dc "creator", DcTerms "creator", Dc "author";
    ItunesAuthor: Itunes "author";
    PersonName: Feed "name";
    PersonUri: Feed "uri", Feed "url", Feed "homepage";
    PersonEmail: Feed "email";
    PubDate: Feed "pubdate";
    Published: Feed "published", Feed "issued";
    DcIssued: DcTerms "issued";
    DcDate: Dc "date", DcTerms "date", Feed "date";
    Created: Feed "created", DcTerms "created", DcTerms "available";
    Updated: Feed "updated", Feed "modified";
    DcModified: DcTerms "modified";
    LastBuildDate: Feed "lastbuilddate";
    Description: Feed "description", Feed "abstract";
    Summary: Feed "summary";
    DcDescription: Dc "description", DcTerms "abstract", Dc "abstract", DcTerms "description";
    MediaDescription: Media "description";
    ItunesSummary: Itunes "summary";
    ItunesSubtitle: Itunes "subtitle";
    ContentEncoded: Content "encoded", Feed "encoded", Feed "fullitem";
    Content: Feed "content";
    Body: Xhtml "body", Xhtml "div", Feed "body";
    Category: Feed "category";
    ItunesCategory: Itunes "category";
    Keywords: Feed "keywords", Feed "tags", Itunes "keywords";
    Subject: Dc "subject", DcTerms "subject";
    MediaCategory: Media "category";
    Enclosure: Feed "enclosure";
    MediaContent: Media "content";
    Comments: Feed "comments";
    Source: Feed "source";
    Language: Feed "language", Dc "language", DcTerms "language";
    Ttl: Feed "ttl";
    UpdatePeriod: Syndication "updateperiod";
    UpdateFrequency: Syndication "updatefrequency";
    SkipHours: Feed "skiphours";
    SkipDays: Feed "skipdays";
    Hour: Feed "hour";
    Day: Feed "day";
}

/// Longest known name, in bytes.
const MAX_KNOWN_BYTES: usize = 16;

/// The known element of that name, in any letter case.
pub(super) fn element(ns: Ns, name: &str) -> Option<Element> {
    if ns == Ns::Other || name.len() > MAX_KNOWN_BYTES {
        return None;
    }
    let mut lower = [0; MAX_KNOWN_BYTES];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    exact(ns, std::str::from_utf8(lower).ok()?)
}

/// Whether an element belongs to HTML, so that it may stand in a text without being escaped.
pub(super) fn is_html_too(element: Element) -> bool {
    matches!(
        element,
        Element::Title
            | Element::Link
            | Element::Body
            | Element::Html
            | Element::Summary
            | Element::Image
            | Element::Source
            | Element::Content
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_known_in_many_spellings() {
        for (address, ns) in [
            ("http://www.w3.org/2005/Atom", Ns::Feed),
            ("https://www.w3.org/2005/atom", Ns::Feed),
            ("http://purl.org/atom/ns#", Ns::Feed),
            ("http://purl.org/rss/1.0/", Ns::Feed),
            ("http://my.netscape.com/rdf/simple/0.9/", Ns::Feed),
            ("http://backend.userland.com/rss2", Ns::Feed),
            ("HTTP://PURL.ORG/DC/ELEMENTS/1.0/", Ns::Dc),
            ("http://purl.org/rss/1.0/modules/link/", Ns::Other),
            ("http://www.itunes.com/DTDs/Podcast-1.0.dtd", Ns::Itunes),
            ("http://search.yahoo.com/mrss", Ns::Media),
            ("http://example.org/own", Ns::Other),
        ] {
            assert_eq!(of_address(address), ns, "{address}");
        }
    }

    #[test]
    fn prefixes_mean_what_they_are_declared_for_or_what_they_usually_do() {
        let mut namespaces = Namespaces::default();
        assert_eq!(namespaces.of("dc"), Ns::Dc);
        assert_eq!(namespaces.of("szf"), Ns::Other);
        namespaces.declare(
            1,
            Attributes::new(" xmlns:x='http://purl.org/dc/elements/1.1/' xmlns='http://www.w3.org/1999/xhtml'"),
        );
        assert_eq!((namespaces.of("x"), namespaces.of("")), (Ns::Dc, Ns::Xhtml));
        namespaces.leave(1);
        assert_eq!((namespaces.of("x"), namespaces.of("")), (Ns::Other, Ns::Feed));
        assert_eq!(element(Ns::Feed, "PubDate"), Some(Element::PubDate));
        assert_eq!(element(Ns::Other, "pubDate"), None);
    }
}
