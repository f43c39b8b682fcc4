//! What every format says of an entry and of the page around it: ids, authors, dates, body, further pages.
//!
//! Knows no format, so that all of them say the same.

use std::borrow::Cow;
use std::collections::HashMap;

use url::Url;

use crate::listen::page::{Listed, Page, Query};
use crate::model::{Category, CleanHtml, Entry, EntryKey, Timestamp, redact};

use super::{Site, address, fragment, uri, xml};

/// What feeds name as their maker.
pub(super) const GENERATOR: &str = "listend";
/// Its version.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The addresses that a page in one format names.
pub(super) struct Places {
    /// The page itself.
    pub(super) this: String,
    /// The same view for people.
    pub(super) page: String,
    /// The first page, where this one has neighbours (RFC 5005, section 3).
    pub(super) first: Option<String>,
    /// The page of older entries.
    pub(super) next: Option<String>,
    /// The hub that tells of changes (WebSub); of the first page only, since older ones hardly change.
    pub(super) hub: Option<String>,
}

/// The addresses that a page in the format of `ending` names.
pub(super) fn places(page: &Page, site: &Site, ending: &str) -> Places {
    let query = &page.query;
    let first = Query { before: None, ..query.clone() };
    let has_neighbours = page.next.is_some() || query.before.is_some();
    let next = page.next.map(|before| Query { before: Some(before), ..query.clone() });
    Places {
        this: address(site, &page.head.path, ending, query),
        page: address(site, &page.head.path, "html", &first),
        first: has_neighbours.then(|| address(site, &page.head.path, ending, &first)),
        next: next.map(|query| address(site, &page.head.path, ending, &query)),
        hub: site.hub.as_deref().filter(|_| query.before.is_none()).and_then(uri::link).map(Cow::into_owned),
    }
}

/// The id of the view as a feed. All pages of it share one (RFC 5005, section 3), and so do all formats; a standing
/// search is a feed of its own.
pub(super) fn feed_id(page: &Page, site: &Site) -> String {
    let query = Query { limit: Query::DEFAULT_LIMIT, before: None, ..page.query.clone() };
    address(site, &page.head.path, "", &query)
}

/// The ids of the entries of a page, in its order.
///
/// An entry keeps the id that its feed gave it where that is a name unique in the world (see
/// [`uri::is_worldwide_id`]) that the feed may give: so a reader that knew the entry from elsewhere knows it again.
/// `17` or `post:17` is unique in its feed at best, and gets a `tag:` URI (RFC 4151) made of this daemon's host and the
/// entry's key, which never changes.
///
/// Readers take two entries of one id for one, so no feed may take an id from another by saying it too:
///
/// - An `http` or `https` id is kept only in a feed that is, or was, fetched from its host, whatever else is on the page. Where
///   a feed says that it has its home is no proof, since it may say anything.
/// - The other schemes show no owner that could be checked. Where entries on one page claim one such id (or an address
///   on a host that they share), the one that this daemon saw first keeps it. The dates that feeds say play no part:
///   they can be set back at will. Two entries of one document must not share an id (RFC 4287, section 4.2.6), so the
///   others get one of their own.
pub(super) fn ids(page: &Page, site: &Site) -> Vec<String> {
    let age = |entry: &Entry| (entry.first_seen, entry.key);
    let mut keepers: HashMap<&str, &Entry> = HashMap::new();
    let may_claim: Vec<bool> = page.entries.iter().map(may_claim).collect();
    for (Listed { entry, .. }, _) in page.entries.iter().zip(&may_claim).filter(|(_, may_claim)| **may_claim) {
        let keeper = keepers.entry(&entry.guid).or_insert(entry);
        if age(entry) < age(keeper) {
            *keeper = entry;
        }
    }
    let ids = page.entries.iter().zip(&may_claim).map(|(Listed { entry, .. }, may_claim)| {
        let keeps = *may_claim && keepers.get(entry.guid.as_str()).is_some_and(|keeper| keeper.key == entry.key);
        if keeps { entry.guid.clone() } else { own_id(site, entry.key) }
    });
    ids.collect()
}

/// Whether the id that a feed gives an entry is one that this feed may give.
fn may_claim(Listed { entry, source, .. }: &Listed) -> bool {
    if !uri::is_worldwide_id(&entry.guid) {
        return false;
    }
    let scheme = entry.guid.split(':').next().unwrap_or_default();
    if !["http", "https"].iter().any(|web| web.eq_ignore_ascii_case(scheme)) {
        return true;
    }
    let id = comparable_host(&entry.guid);
    id.is_some() && std::iter::once(&source.url).chain(&source.former_urls).any(|url| comparable_host(url) == id)
}

/// The host of an address in lower case and without `www.`.
fn comparable_host(url: &str) -> Option<Cow<'_, str>> {
    if let Some(host) = uri::plain_host(url) {
        return Some(Cow::Borrowed(host.strip_prefix("www.").unwrap_or(host)));
    }
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?.trim_end_matches('.');
    Some(Cow::Owned(host.strip_prefix("www.").unwrap_or(host).to_owned()))
}

/// An id made from the entry's key. The date in it is that of the scheme, not of the entry (RFC 4151, section 2.1).
fn own_id(site: &Site, key: EntryKey) -> String {
    // An IPv6 address can't stand in a tag.
    let host = site.base_url.host_str().filter(|host| !host.contains(':')).unwrap_or("localhost");
    format!("tag:{host},2026:listend/{key}")
}

/// The id as the feed gave it, where the entry goes by another one.
pub(super) fn original_id<'a>(listed: &'a Listed, id: &str) -> Option<Cow<'a, str>> {
    let guid = &listed.entry.guid;
    (guid != id && !guid.trim().is_empty()).then(|| without_credentials(guid))
}

/// A text that may be an address, without credentials.
pub(super) fn without_credentials(text: &str) -> Cow<'_, str> {
    match Url::parse(text) {
        Ok(url) if !url.username().is_empty() || url.password().is_some() => Cow::Owned(redact(&url)),
        _ => Cow::Borrowed(text),
    }
}

/// The title of an entry, where it has one that can be seen.
pub(super) fn title(entry: &Entry) -> Option<Cow<'_, str>> {
    let title = xml::sayable(entry.title.trim());
    (!title.trim().is_empty()).then_some(title)
}

/// The tags of an entry that can be seen.
pub(super) fn categories(entry: &Entry) -> impl Iterator<Item = (&Category, Cow<'_, str>)> {
    let terms = entry.categories.iter().map(|category| (category, xml::sayable(category.term.trim())));
    terms.filter(|(_, term)| !term.trim().is_empty())
}

/// Somebody who wrote an entry; the name is never blank.
pub(super) struct Author<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) uri: Option<Cow<'a, str>>,
    pub(super) email: Option<&'a str>,
}

/// Who wrote an entry: at least one, as RFC 4287 (section 4.2.1) asks; where the feed names nobody, the voice.
pub(super) fn authors(listed: &Listed) -> Vec<Author<'_>> {
    let named = listed.entry.authors.iter().filter_map(|person| {
        let email = person.email.as_deref().and_then(uri::email);
        let uri = person.uri.as_deref().and_then(uri::link);
        let name = xml::sayable(person.name.trim());
        let names = [Some(name), email.map(xml::sayable), uri.clone()];
        let name = names.into_iter().flatten().find(|name| !name.trim().is_empty())?;
        Some(Author { name, uri, email })
    });
    let named: Vec<_> = named.collect();
    if named.is_empty() {
        let home = listed.source.home.as_deref().and_then(uri::link);
        return vec![Author { name: voice(listed), uri: home, email: None }];
    }
    named
}

/// The name of the voice; where it has none, its feed's title or host.
pub(super) fn voice(listed: &Listed) -> Cow<'_, str> {
    let source = &listed.source;
    let names = [&source.voice, &source.title];
    let name = names.into_iter().map(|name| xml::sayable(name)).find(|name| !name.trim().is_empty());
    let host = || Url::parse(&source.url).ok().and_then(|url| url.host_str().map(|host| Cow::Owned(host.to_owned())));
    name.or_else(host).unwrap_or(Cow::Borrowed("Somebody"))
}

/// The title of the feed; where it has none, the voice's name.
pub(super) fn source_title(listed: &Listed) -> Cow<'_, str> {
    Some(xml::sayable(&listed.source.title)).filter(|title| !title.trim().is_empty()).unwrap_or_else(|| voice(listed))
}

/// The beginning of what the entry itself says, as plain text: its summary, or its content, or nothing.
pub(super) fn words(html: Option<&CleanHtml>, max_chars: usize) -> Option<String> {
    let text = fragment::text(html?.as_str(), max_chars + 1);
    Some(fragment::shortened(&text, max_chars)).filter(|text| !text.is_empty())
}

/// When an entry was published, for formats and readers that need to be told: as the feed says, else its last change.
pub(super) fn published(listed: &Listed) -> Timestamp {
    printable(listed.entry.published.unwrap_or_else(|| listed.entry.last_change()))
}

/// A time that XML Schema and calendars have: they know no year 0.
pub(super) fn printable(time: Timestamp) -> Timestamp {
    const YEAR_ONE: Timestamp = Timestamp::from_seconds(-62_135_596_800);
    time.max(YEAR_ONE)
}

/// What an entry says, in its short and its long form.
pub(super) struct Body<'a> {
    pub(super) summary: Option<Cow<'a, str>>,
    pub(super) content: Option<Cow<'a, str>>,
}

/// What an entry says. The longest form begins with the reason why it is here and ends with the way to record that it
/// was answered, where there are such.
pub(super) fn body<'a>(listed: &'a Listed, site: &Site) -> Body<'a> {
    let html = |html: &'a Option<CleanHtml>| {
        html.as_ref().map(CleanHtml::as_str).filter(|html| !html.trim().is_empty()).map(Cow::Borrowed)
    };
    let mut body = Body { summary: html(&listed.entry.summary), content: html(&listed.entry.content) };
    if listed.reason.is_some() || site.contact_links {
        let longest =
            if body.content.is_none() && body.summary.is_some() { &mut body.summary } else { &mut body.content };
        *longest = Some(Cow::Owned(framed(longest.as_deref().unwrap_or_default(), listed, site)));
    }
    body
}

fn framed(html: &str, listed: &Listed, site: &Site) -> String {
    let mut out = String::with_capacity(html.len() + 256);
    if let Some(reason) = &listed.reason {
        out.push_str("<p><em>");
        xml::escape_into(&mut out, reason, false);
        out.push_str("</em></p>\n");
    }
    out.push_str(html);
    if site.contact_links {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str("<p><small>Answered ");
        xml::escape_into(&mut out, &voice(listed), false);
        out.push_str("? <a href=\"");
        xml::escape_into(&mut out, &answered(site, listed.entry.key), true);
        out.push_str("\">Note it down</a>.</small></p>");
    }
    out
}

/// Where contact with the voice of an entry is recorded.
pub(super) fn answered(site: &Site, key: EntryKey) -> String {
    address(site, &format!("/answered/{key}"), "", &Query::default())
}
