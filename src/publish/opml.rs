//! Outlines as OPML 2.0: the subscriptions behind a view, to be taken elsewhere.
//!
//! Keeps every attribute that the lists have, cuts credentials, and knows nothing of what the attributes mean.

use std::borrow::Cow;
use std::collections::BTreeMap;

use url::Url;

use crate::lists::opml::Outline;
use crate::model::{FeedUrl, redact_text};

use super::xml::{Xml, is_qualified_name, sayable};

/// The media type of what [`render`] makes.
pub const MEDIA_TYPE: &str = "text/x-opml; charset=utf-8";

/// The attributes that hold addresses.
const ADDRESSES: [&str; 3] = ["xmlUrl", "htmlUrl", "url"];

/// Those of them that readers open in a browser.
const LINKS: [&str; 2] = ["htmlUrl", "url"];

/// How the namespaces begin that are given to prefixes whose own nobody says.
const OWN_NAMESPACE: &str = "urn:x-listend:prefix:";

/// The outlines as an OPML document, in their order. Walks the tree without recursion, however deep it is.
pub fn render(title: &str, outlines: &[Outline]) -> String {
    let prefixes = prefixes(outlines);
    let declarations = prefixes.iter().map(|(prefix, name)| (format!("xmlns:{prefix}"), name));
    let declarations: Vec<(String, &String)> = declarations.collect();
    let mut xml = Xml::new();
    let version = std::iter::once(("version", "2.0"));
    xml.open_from("opml", version.chain(declarations.iter().map(|(key, name)| (key.as_str(), name.as_str()))));
    xml.open("head", &[]);
    xml.text("title", &[], &redacted(title));
    xml.close();
    xml.open("body", &[]);
    let mut levels = vec![outlines.iter()];
    while let Some(level) = levels.last_mut() {
        let Some(outline) = level.next() else {
            levels.pop();
            xml.close();
            continue;
        };
        let attributes = attributes(outline);
        let attributes = attributes.iter().map(|(name, value)| (*name, value.as_ref()));
        if outline.children.is_empty() {
            xml.empty_from("outline", attributes);
        } else {
            xml.open_from("outline", attributes);
            levels.push(outline.children.iter());
        }
    }
    xml.finish()
}

/// The attributes of an outline that can be written: well-named, each once, credentials cut, links only to the web,
/// `text` first added where it is missing (OPML 2.0 requires it).
fn attributes(outline: &Outline) -> Vec<(&str, Cow<'_, str>)> {
    let mut out: Vec<(&str, Cow<'_, str>)> = Vec::with_capacity(8);
    if outline.attributes.iter().all(|(name, _)| name != "text") {
        let instead =
            ["text", "title", "xmlUrl", "url", "htmlUrl"].into_iter().find_map(|name| outline.attribute(name));
        out.push(("text", public(instead.unwrap_or_default(), true)));
    }
    for (name, value) in outline.attributes.iter() {
        // Namespaces are declared once, on the root; of the names that XML keeps for itself two are harmless anywhere.
        let is_reserved = name == "xmlns"
            || name.split_once(':').is_some_and(|(prefix, local)| match prefix {
                "xmlns" => true,
                "xml" => !matches!(local, "lang" | "base"),
                _ => false,
            });
        if is_reserved || !is_qualified_name(name) || out.iter().any(|(other, _)| *other == name) {
            continue;
        }
        let is_one_of = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        let value = public(value, is_one_of(&ADDRESSES));
        if !is_one_of(&LINKS) || may_be_opened(&value) {
            out.push((name, value));
        }
    }
    out
}

/// A value without credentials. Where it should be an address, whatever stands before an `@` in its host goes, even
/// without a scheme in front.
fn public(value: &str, is_address: bool) -> Cow<'_, str> {
    let value = redacted(value);
    if !is_address || !value.contains('@') {
        return value;
    }
    let text = value.trim();
    if text.contains("//") {
        return value;
    }
    match FeedUrl::parse(text) {
        Ok(url) if !url.url().username().is_empty() || url.url().password().is_some() => Cow::Owned(url.to_string()),
        Ok(_) => value,
        Err(_) => {
            let host_end = text.find(['/', '?', '#', '\\']).unwrap_or(text.len());
            match text[..host_end].rfind('@') {
                Some(at) => Cow::Owned(text[at + 1..].to_owned()),
                None => value,
            }
        }
    }
}

/// A text without credentials, as it will be written: leaving characters out may make an address.
fn redacted(text: &str) -> Cow<'_, str> {
    match sayable(text) {
        Cow::Borrowed(text) => redact_text(text),
        Cow::Owned(text) => Cow::Owned(redact_text(&text).into_owned()),
    }
}

/// Whether a link leads to the web, or says no scheme. Takes what [`public`] made.
fn may_be_opened(link: &str) -> bool {
    Url::parse(link.trim()).map_or(true, |url| matches!(url.scheme(), "http" | "https"))
}

/// The namespaces of the prefixes that attributes use, to be declared once. A list that declares them on its outlines is
/// believed; a prefix that nobody declares, or two that share a name, get one of their own, so that the document stays
/// well-formed and no two attributes of an outline fall into one (Namespaces in XML 1.0, section 6.3).
fn prefixes(outlines: &[Outline]) -> BTreeMap<&str, String> {
    let mut used: BTreeMap<&str, String> = BTreeMap::new();
    let mut declared: BTreeMap<&str, &str> = BTreeMap::new();
    let mut waiting: Vec<&Outline> = outlines.iter().rev().collect();
    while let Some(outline) = waiting.pop() {
        for (name, value) in outline.attributes.iter() {
            match name.split_once(':') {
                Some(("xmlns", prefix)) => {
                    declared.entry(prefix).or_insert(value);
                }
                Some((prefix, _)) if prefix != "xml" && is_qualified_name(name) => {
                    used.entry(prefix).or_default();
                }
                _ => {}
            }
        }
        waiting.extend(outline.children.iter().rev());
    }
    let mut taken: Vec<String> = Vec::new();
    for (prefix, namespace) in &mut used {
        let believed = declared.get(prefix).map(|name| redacted(name.trim())).filter(|name| {
            let is_reserved = ["http://www.w3.org/", OWN_NAMESPACE].iter().any(|start| name.starts_with(start));
            !name.is_empty() && !is_reserved && !taken.iter().any(|other| other == name)
        });
        *namespace = believed.map_or_else(|| format!("{OWN_NAMESPACE}{prefix}"), Cow::into_owned);
        taken.push(namespace.clone());
    }
    used
}
