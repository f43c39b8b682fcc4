//! Remote reading lists within local ones: which outlines pull one in, and what the list says with all of them in place.
//!
//! Pure: the last good copies of remote lists are an argument, and what else is wanted a result. Fetches nothing. A
//! remote list can name addresses on the web only, whatever it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use url::Url;

use super::opml::{self, MAX_WARNINGS, Opml, Outline, Warning};
use crate::model::FeedUrl;

/// The most remote lists within each other, from a local one downward.
pub const MAX_NESTED: usize = 5;
/// The most different remote lists that all local ones together pull in.
pub const MAX_INCLUDES: usize = 100;
/// The most outlines of remote lists in all.
pub const MAX_REMOTE_OUTLINES: usize = 20_000;

/// What is known of a remote list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remote {
    /// Its last good copy; `None` before the first one.
    pub copy: Option<Arc<[u8]>>,
    /// Why it cannot be read at present, in plain words.
    pub fault: Option<String>,
}

/// Remote lists by address.
pub type Remotes = BTreeMap<FeedUrl, Remote>;

/// Puts remote lists in their places, list by list; the bounds hold for all of them together.
#[derive(Debug)]
pub struct Including<'a> {
    remotes: &'a Remotes,
    wanted: BTreeSet<FeedUrl>,
    /// How many outlines have pulled one in.
    pulled: usize,
    outlines: usize,
}

/// What became of the includes of one list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Included {
    /// The remote lists whose copies stand in it now.
    pub present: BTreeSet<FeedUrl>,
    /// Why one of them cannot be read at present.
    pub fault: Option<String>,
}

/// Where in remote lists we are.
struct Spot<'a> {
    /// Against what addresses are resolved; a local list has no base.
    base: Option<&'a Url>,
    /// The remote lists that we are in, outermost first.
    within: Vec<FeedUrl>,
    /// The line of the local list.
    line: Option<usize>,
    only: Option<&'a BTreeSet<FeedUrl>>,
}

impl<'a> Including<'a> {
    /// With these copies, and nothing pulled in so far.
    pub fn new(remotes: &'a Remotes) -> Self {
        Self { remotes, wanted: BTreeSet::new(), pulled: 0, outlines: 0 }
    }

    /// Every remote list that was named so far, whether there is a copy of it or not.
    pub fn wanted(self) -> BTreeSet<FeedUrl> {
        self.wanted
    }

    /// Makes each include outline of a list a folder with what the remote list says; `only` those in this set, where
    /// one is given. What cannot be pulled in is a warning with the line of the outline in the local file.
    pub fn include(&mut self, opml: &mut Opml, only: Option<&BTreeSet<FeedUrl>>) -> Included {
        let mut included = Included::default();
        let mut warnings = Vec::new();
        let spot = Spot { base: None, within: Vec::new(), line: None, only };
        self.level(&mut opml.outlines, &spot, 0, &mut included, &mut warnings);
        opml.warnings.extend(warnings);
        opml.warnings.sort_by_key(|warning| warning.line);
        opml.warnings.truncate(MAX_WARNINGS);
        included
    }

    /// Takes the outlines on one level. Recursion is bounded by [`opml::MAX_DEPTH`], which holds for the whole.
    fn level(
        &mut self,
        outlines: &mut Vec<Outline>,
        spot: &Spot<'_>,
        depth: usize,
        included: &mut Included,
        warnings: &mut Vec<Warning>,
    ) {
        if depth >= opml::MAX_DEPTH {
            outlines.clear();
            return;
        }
        for index in 0..outlines.len() {
            if spot.line.is_some() {
                if self.outlines == MAX_REMOTE_OUTLINES {
                    outlines.truncate(index);
                    let reason =
                        format!("remote lists have more than {MAX_REMOTE_OUTLINES} outlines; the rest is not read");
                    let line = spot.line.unwrap_or(1);
                    if warnings.iter().all(|warning| warning.reason != reason) {
                        warnings.push(Warning { line, reason });
                    }
                    return;
                }
                self.outlines += 1;
            }
            let outline = &mut outlines[index];
            outline.line = spot.line.unwrap_or(outline.line);
            self.level(&mut outline.children, spot, depth + 1, included, warnings);
            if let Some(address) = address(outline) {
                let line = outline.line;
                if let Err(reason) = self.pull_in(outline, &address, spot, depth, included, warnings) {
                    warnings.push(Warning { line, reason });
                }
            }
        }
    }

    fn pull_in(
        &mut self,
        outline: &mut Outline,
        address: &str,
        spot: &Spot<'_>,
        depth: usize,
        included: &mut Included,
        warnings: &mut Vec<Warning>,
    ) -> Result<(), String> {
        let resolved = match spot.base {
            Some(base) => base.join(address),
            None => Url::parse(address),
        };
        let url = resolved.ok().and_then(|url| FeedUrl::try_from(url).ok());
        let url = url.ok_or("a remote list needs an http or https address")?;
        if spot.within.contains(&url) {
            return Err(format!("the remote list {url} includes itself; it is left out here"));
        }
        if spot.within.len() == MAX_NESTED {
            return Err(format!("remote lists are nested more than {MAX_NESTED} deep; {url} is left out"));
        }
        // Each time counts: a list that is named a thousand times would be read a thousand times.
        if self.pulled == MAX_INCLUDES {
            return Err(format!("more than {MAX_INCLUDES} remote lists; {url} is left out"));
        }
        self.pulled += 1;
        self.wanted.insert(url.clone());
        let Some(remote) = self.remotes.get(&url) else { return Ok(()) };
        let mut fault = None;
        if let Some(why) = &remote.fault {
            let stands = if remote.copy.is_some() { "; its last good copy stands" } else { "" };
            fault = Some(format!("the remote list {url} cannot be read: {why}{stands}"));
            included.fault = included.fault.take().or_else(|| fault.clone());
        }
        let copy = remote.copy.as_deref().filter(|_| spot.only.is_none_or(|only| only.contains(&url)));
        if let Some(Ok(mut remote)) = copy.map(opml::parse) {
            let mut within = spot.within.clone();
            within.push(url.clone());
            let below = Spot { base: Some(url.url()), within, line: Some(outline.line), only: spot.only };
            self.level(&mut remote.outlines, &below, depth + 1, included, warnings);
            become_folder(outline, &remote.title.unwrap_or_else(|| url.to_string()));
            outline.children.append(&mut remote.outlines);
            included.present.insert(url);
        }
        fault.map_or(Ok(()), Err)
    }
}

/// The address of the remote list that an outline pulls in: `type="include"`, or `type="link"` to an OPML file.
fn address(outline: &Outline) -> Option<String> {
    let kind = outline.attribute("type")?;
    let url = outline.attribute("url")?;
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let is_list = path.len() > 5 && path.get(path.len() - 5..).is_some_and(|end| end.eq_ignore_ascii_case(".opml"));
    let is_include = kind.eq_ignore_ascii_case("include") || kind.eq_ignore_ascii_case("link") && is_list;
    is_include.then(|| url.to_owned())
}

/// In exports an include is the folder that it has become: with its address it would be pulled in a second time.
fn become_folder(outline: &mut Outline, title: &str) {
    let is_named = outline.attribute("text").or_else(|| outline.attribute("title")).is_some();
    let gone: &[&str] = if is_named { &["type", "url"] } else { &["type", "url", "text"] };
    let kept = outline.attributes.iter().filter(|(name, _)| !gone.iter().any(|gone| name.eq_ignore_ascii_case(gone)));
    let own = (!is_named).then_some(("text", title));
    outline.attributes = own.into_iter().chain(kept).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remotes(lists: &[(&str, String)]) -> Remotes {
        let remote =
            |text: &str| Remote { copy: Some(format!("<opml>{text}</opml>").into_bytes().into()), fault: None };
        lists.iter().map(|(url, text)| (FeedUrl::parse(url).expect("it is one"), remote(text))).collect()
    }

    fn include(local: &str, remotes: &Remotes) -> (Opml, BTreeSet<FeedUrl>) {
        let mut opml = opml::parse(format!("<opml>{local}</opml>").as_bytes()).expect("it is OPML");
        let mut including = Including::new(remotes);
        including.include(&mut opml, None);
        (opml, including.wanted())
    }

    #[test]
    fn addresses_are_web_addresses() {
        for (address, is_wanted) in [
            ("http://a.example/l.opml", true),
            ("file:///etc/passwd", false),
            ("/etc/passwd", false),
            ("other.opml", false),
            ("ftp://a.example/l.opml", false),
        ] {
            let (opml, wanted) = include(&format!("<outline type='include' url='{address}'/>"), &Remotes::new());
            assert_eq!((wanted.len() == 1, opml.warnings.is_empty()), (is_wanted, is_wanted), "{address}");
        }
        let (_, wanted) = include(
            "<outline type='link' url='http://a.example/page'/><outline type='LINK' url='http://a.example/L.OPML?x'/>",
            &Remotes::new(),
        );
        assert_eq!(wanted.len(), 1);
    }

    #[test]
    fn what_is_remote_stays_remote_and_cycles_end() {
        let known = remotes(&[
            ("http://a.example/x/a.opml", "<outline type='include' url='b.opml'/><outline type='include' url='file:///x'/>".into()),
            ("http://a.example/x/b.opml", "<head><title>B</title></head><outline text='f' xmlUrl='http://f.example/'/><outline type='include' url='/x/a.opml'/>".into()),
        ]);
        let (opml, wanted) = include("\n\n<outline type='include' text='A' url='http://a.example/x/a.opml'/>", &known);
        assert_eq!(wanted.len(), 2);
        let b = &opml.outlines[0].children[0];
        assert_eq!((b.attribute("text"), b.attribute("url"), b.line), (Some("B"), None, 3));
        assert_eq!(b.children[0].attribute("xmlUrl"), Some("http://f.example/"));
        let reasons: Vec<_> = opml.warnings.iter().map(|warning| (warning.line, warning.reason.as_str())).collect();
        assert_eq!(reasons.len(), 2, "{reasons:?}");
        assert!(reasons.iter().all(|(line, _)| *line == 3) && reasons[0].1.contains("includes itself"), "{reasons:?}");
    }

    #[test]
    fn number_depth_and_size_are_bounded() {
        let many: Vec<String> =
            (0..=MAX_INCLUDES).map(|n| format!("<outline type='include' url='http://a.example/{n}'/>")).collect();
        let (opml, wanted) = include(&many.concat(), &Remotes::new());
        assert_eq!((wanted.len(), opml.warnings.len()), (MAX_INCLUDES, 1));

        let same = "<outline type='include' url='http://a.example/'/>".repeat(MAX_INCLUDES + 1);
        let (opml, wanted) = include(&same, &remotes(&[("http://a.example/", "<outline text='x'/>".into())]));
        assert_eq!((wanted.len(), opml.warnings.len()), (1, 1), "each time counts");
        let read = opml.outlines.iter().filter(|outline| !outline.children.is_empty()).count();
        assert_eq!(read, MAX_INCLUDES);

        let chain: Vec<_> = ["0", "1", "2", "3", "4", "5", "6"]
            .iter()
            .enumerate()
            .map(|(n, _)| (format!("http://a.example/{n}"), format!("<outline type='include' url='/{}'/>", n + 1)))
            .collect();
        let chain: Vec<_> = chain.iter().map(|(url, text)| (url.as_str(), text.clone())).collect();
        let (opml, wanted) = include("<outline type='include' url='http://a.example/0'/>", &remotes(&chain));
        assert_eq!((wanted.len(), opml.warnings.len()), (MAX_NESTED, 1));

        let large = "<outline text='x'/>".repeat(MAX_REMOTE_OUTLINES / 2 + 1);
        let (opml, _) = include(
            "<outline type='include' url='http://a.example/0'/><outline type='include' url='http://a.example/0'/>",
            &remotes(&[("http://a.example/0", large)]),
        );
        let read: usize = opml.outlines.iter().map(|outline| outline.children.len()).sum();
        assert_eq!((read, opml.warnings.len()), (MAX_REMOTE_OUTLINES, 1));

        let deep = format!("{}{}", "<outline text='d'>".repeat(250), "</outline>".repeat(250));
        let inner = format!(
            "{}<outline type='include' url='http://a.example/0'/>{}",
            "<outline text='d'>".repeat(200),
            "</outline>".repeat(200)
        );
        let (opml, _) = include(&inner, &remotes(&[("http://a.example/0", deep)]));
        let (mut depth, mut level) = (0, &opml.outlines);
        while let Some(first) = level.first() {
            (depth, level) = (depth + 1, &first.children);
        }
        assert_eq!(depth, opml::MAX_DEPTH);
    }
}
