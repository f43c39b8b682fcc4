//! Which stored entry an item of a document is, which items are new, and where they stand in the stream.
//!
//! Owns the rules of identity and of time. Pure: compares what is remembered of a feed with a document, and says what is
//! to be remembered from then on. Cleans nothing itself and reads no stored text: only what is new or changed is handed
//! to a cleaner that the caller brings.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sha2::{Digest, Sha256};
use url::Url;

use crate::model::{
    Change, CleanHtml, Document, Entry, EntryKey, Feed, FeedId, FeedUrl, Hash64, IdentityRule, Item, Known, Markup,
    Timestamp, comparable_link,
};

/// When more new entries than this predate the last success, the document is an archive issued anew.
const ARCHIVE_ENTRIES: usize = 10;
/// How far apart undated entries of a feed's first document are placed.
const UNDATED_STEP: Duration = Duration::from_hours(24);

/// What a document means for what is remembered of its feed.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconciled {
    /// What changes: first what only goes on being carried, then new and changed entries in the document's order.
    pub planned: Vec<Planned>,
    /// How the feed's entries are told apart from now on.
    pub identity: IdentityRule,
    /// The number that the feed's next new entry gets.
    pub next_seq: u32,
    /// How many entries of the document were not known before.
    pub added: u32,
    /// The place of the newest entry, of those stored before and those new.
    pub newest: Option<Timestamp>,
    /// When the document's entries were published, as far as it says, for the feed's rhythm. None lies in the future.
    pub dates: Vec<Timestamp>,
}

/// One change, before the text is cleaned.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// What was remembered before; `None` for a new entry.
    pub was: Option<Known>,
    /// What is remembered from now on.
    pub now: Known,
    /// Which item of the document brings the text, where that is new or has changed.
    pub item: Option<usize>,
}

/// Compares a document with everything that is remembered of its feed, purged entries included. The feed's
/// [`moved_to`](Feed::moved_to) is to be where the document was found for good, adopted or not: links to the host there
/// are compared as if they led to the host of the feed's own address, too.
pub fn reconcile(feed: &Feed, known: &[Known], document: &Document, now: Timestamp) -> Reconciled {
    let links: Vec<Option<String>> = document.items.iter().map(own_link).collect();
    let identity = rule(feed.identity, &document.items, &links);
    let today = now.days() as i32;
    let items = distinct(&document.items, &links, identity);
    // What a cut-off document lacks may stand in its lost part; but when the rule has just changed, no guid matches.
    let by_link_too = document.complete || identity != feed.identity;
    let matched = match_items(&items, known, by_link_too, Relocation::of(feed).as_ref());
    let places = Places::new(feed, document, now);

    let mut planned = Vec::new();
    let mut fresh: Vec<&Identified> = Vec::new();
    for (item, found) in items.iter().zip(&matched) {
        match found {
            Some(was) => planned.extend(known_item(item, was, today)),
            None => fresh.push(item),
        }
    }
    let (added, next_seq) = number(&mut planned, fresh, &places, feed.next_seq, today);
    if document.complete {
        planned.extend(dropped_out(known, &matched, feed.schedule.last_success));
    }
    planned.sort_by_key(|plan| plan.item);
    let newest = planned.iter().filter(|plan| plan.was.is_none()).map(|plan| plan.now.listed_at).max().max(feed.newest);
    let dates = document.items.iter().filter_map(date).filter(|&date| date <= now).collect();
    Reconciled { planned, identity, next_seq, added, newest, dates }
}

impl Reconciled {
    /// The changes with their texts, cleaned by `clean`, which gets each text with the address that relative ones in it
    /// are resolved against. `document` and `now` must be those that were reconciled.
    pub fn changes(
        &self,
        feed: FeedId,
        document: &Document,
        now: Timestamp,
        clean: impl Fn(&Markup, Option<&Url>) -> CleanHtml,
    ) -> Vec<Change> {
        let change = |plan: &Planned| {
            let item = plan.item.and_then(|index| document.items.get(index));
            let entry = item.map(|item| entry(feed, item, &plan.now, self.identity, now, &clean));
            Change { was: plan.was, now: plan.now, entry }
        };
        self.planned.iter().map(change).collect()
    }
}

/// An item with what tells it apart.
struct Identified<'a> {
    index: usize,
    item: &'a Item,
    guid: Hash64,
    link: Option<Hash64>,
    fingerprint: Hash64,
}

/// The link of an item as far as it tells items of one feed apart.
fn own_link(item: &Item) -> Option<String> {
    item.link.as_deref().map(link_identity)
}

/// Identity by link from the moment on when one guid stands for several links. `links` are the items' own.
fn rule(before: IdentityRule, items: &[Item], links: &[Option<String>]) -> IdentityRule {
    let mut known: HashMap<&str, &str> = HashMap::new();
    for (item, link) in items.iter().zip(links) {
        let (Some(guid), Some(link)) = (item.guid.as_deref(), link.as_deref()) else { continue };
        if known.insert(guid, link).is_some_and(|before| before != link) {
            return IdentityRule::Link;
        }
    }
    before
}

/// The items in the document's order, of those that are one the first. `links` are the items' own.
fn distinct<'a>(items: &'a [Item], links: &[Option<String>], rule: IdentityRule) -> Vec<Identified<'a>> {
    let mut seen = HashSet::new();
    let mut words = Vec::new();
    let identified = items.iter().zip(links).enumerate().map(|(index, (item, link))| Identified {
        index,
        item,
        guid: hash64(&identity_text(item, link.as_deref(), rule)),
        // With its fragment: the comments on one post are as many entries.
        link: link.as_deref().map(hash64),
        fingerprint: fingerprint(item, &mut words),
    });
    identified.filter(|item| seen.insert(item.guid)).collect()
}

/// For each item what is remembered of it, by guid first. An unknown guid whose link one remembered entry alone has,
/// which the document does not carry otherwise, is that entry under a new guid.
fn match_items(
    items: &[Identified<'_>],
    known: &[Known],
    by_link_too: bool,
    relocation: Option<&Relocation>,
) -> Vec<Option<Known>> {
    let by_guid: HashMap<Hash64, Known> = known.iter().map(|known| (known.guid, *known)).collect();
    let mut found: Vec<Option<Known>> = items.iter().map(|item| by_guid.get(&item.guid).copied()).collect();
    if !by_link_too {
        return found;
    }
    let mut by_link: HashMap<Hash64, Vec<Known>> = HashMap::new();
    for known in known {
        if let Some(link) = known.link {
            by_link.entry(link).or_default().push(*known);
        }
    }
    let mut carried: HashSet<u32> = found.iter().flatten().map(|known| known.seq).collect();
    for (item, found) in items.iter().zip(&mut found) {
        if found.is_some() {
            continue;
        }
        let former = || by_link.get(&relocation?.former(item.item.link.as_deref()?)?);
        let candidates = item.link.and_then(|link| by_link.get(&link)).or_else(former);
        if let Some([only]) = candidates.map(Vec::as_slice)
            && carried.insert(only.seq)
        {
            *found = Some(*only);
        }
    }
    found
}

/// A feed that has moved to another host: its site has most often moved along, and all links in it.
struct Relocation {
    from: String,
    to: String,
}

impl Relocation {
    fn of(feed: &Feed) -> Option<Self> {
        feed.moved_to.as_ref()?;
        let site = |url: &FeedUrl| {
            let comparable = comparable_link(url.as_str())?;
            comparable.split(['/', '?']).next().map(str::to_owned)
        };
        let (from, to) = (site(&feed.url)?, site(feed.address())?);
        (from != to).then_some(Self { from, to })
    }

    /// What a link to the new site was when it led to the old one.
    fn former(&self, link: &str) -> Option<Hash64> {
        let text = link_identity(link);
        let rest = text.strip_prefix(&self.to).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))?;
        Some(hash64(&format!("{}{rest}", self.from)))
    }
}

/// What changes for an item that is remembered; `None` where nothing does.
fn known_item(item: &Identified<'_>, was: &Known, today: i32) -> Option<Planned> {
    let edited = was.fingerprint != item.fingerprint && !was.purged;
    let now = Known {
        guid: item.guid,
        link: item.link,
        fingerprint: if was.purged { was.fingerprint } else { item.fingerprint },
        carried_on: was.carried_on.max(today),
        ..*was
    };
    (now != *was).then_some(Planned { was: Some(*was), now, item: edited.then_some(item.index) })
}

/// Gives new items their places and numbers: the later in the stream, the higher, so that items placed at one instant
/// keep the document's order. Returns how many there are and the next free number.
fn number(
    planned: &mut Vec<Planned>,
    fresh: Vec<&Identified<'_>>,
    places: &Places<'_>,
    mut next_seq: u32,
    today: i32,
) -> (u32, u32) {
    let listed = places.place(&fresh);
    let mut in_stream: Vec<_> = fresh.into_iter().zip(listed).collect();
    in_stream.sort_by(|(a, a_at), (b, b_at)| a_at.cmp(b_at).then(b.index.cmp(&a.index)));
    let mut added = 0;
    for (item, listed_at) in in_stream {
        // Four thousand million entries: what comes after that is not taken.
        let Some(following) = next_seq.checked_add(1) else { break };
        let now = Known {
            seq: next_seq,
            listed_at,
            first_seen: places.now,
            guid: item.guid,
            link: item.link,
            fingerprint: item.fingerprint,
            carried_on: today,
            purged: false,
        };
        planned.push(Planned { was: None, now, item: Some(item.index) });
        (next_seq, added) = (following, added + 1);
    }
    (added, next_seq)
}

/// Entries that the last parsed document carried and this one does not. Until the last success the document was the
/// same, if unparsed: that is when they were last carried.
fn dropped_out<'a>(
    known: &'a [Known],
    matched: &'a [Option<Known>],
    last_success: Option<Timestamp>,
) -> impl Iterator<Item = Planned> + 'a {
    let carried: HashSet<u32> = matched.iter().flatten().map(|known| known.seq).collect();
    let latest = known.iter().map(|known| known.carried_on).max();
    let until = last_success.map_or(i32::MIN, |at| at.days() as i32);
    known
        .iter()
        .filter(move |known| {
            Some(known.carried_on) == latest && known.carried_on < until && !carried.contains(&known.seq)
        })
        .map(move |was| Planned { was: Some(*was), now: Known { carried_on: until, ..*was }, item: None })
}

/// Where new entries stand in the stream.
struct Places<'a> {
    document: &'a Document,
    last_success: Option<Timestamp>,
    now: Timestamp,
}

impl<'a> Places<'a> {
    fn new(feed: &Feed, document: &'a Document, now: Timestamp) -> Self {
        // After a clock that was set back the last success may lie ahead.
        Self { document, last_success: feed.schedule.last_success.map(|at| at.min(now)), now }
    }

    fn place(&self, fresh: &[&Identified<'_>]) -> Vec<Timestamp> {
        let places: Vec<Timestamp> = match self.last_success {
            None => self.first_fetch(fresh),
            Some(last_success) => {
                let predates = |item: &&&Identified<'_>| date(item.item).is_some_and(|date| date < last_success);
                let archive = fresh.iter().filter(predates).count() > ARCHIVE_ENTRIES;
                let earliest = if archive { Timestamp::MIN } else { last_success };
                let place = |item: &&Identified<'_>| date(item.item).unwrap_or(self.now).clamp(earliest, self.now);
                fresh.iter().map(place).collect()
            }
        };
        // Nobody published a feed before 1970, and keys sort by their digits only from there on.
        places.into_iter().map(|at| at.max(Timestamp::from_millis(0))).collect()
    }

    /// By their own dates; undated ones backwards from the feed's own date, so that none comes out on top.
    fn first_fetch(&self, fresh: &[&Identified<'_>]) -> Vec<Timestamp> {
        let mut undated = self.document.updated.unwrap_or(self.now).min(self.now);
        let place = |item: &&Identified<'_>| {
            date(item.item).map_or_else(
                || {
                    undated = undated.minus(UNDATED_STEP);
                    undated
                },
                |date| date.min(self.now),
            )
        };
        fresh.iter().map(place).collect()
    }
}

/// When the item says that it was published, else last changed.
fn date(item: &Item) -> Option<Timestamp> {
    item.published.or(item.updated)
}

fn entry(
    feed: FeedId,
    item: &Item,
    known: &Known,
    rule: IdentityRule,
    now: Timestamp,
    clean: impl Fn(&Markup, Option<&Url>) -> CleanHtml,
) -> Entry {
    let first_seen = known.first_seen;
    let cleaned = |text: &Option<Markup>| {
        text.as_ref().map(|text| clean(text, item.base.as_ref())).filter(|html| !html.is_empty())
    };
    Entry {
        key: EntryKey { listed_at: known.listed_at, feed, seq: known.seq },
        first_seen,
        guid: published_guid(item, rule),
        link: item.link.clone(),
        title: item.title.clone().unwrap_or_default(),
        authors: item.authors.clone(),
        published: item.published.map(|at| if at > now { first_seen } else { at }),
        updated: item.updated.map(|at| at.min(now)),
        summary: cleaned(&item.summary),
        content: cleaned(&item.content),
        categories: item.categories.clone(),
        enclosures: item.enclosures.clone(),
        comments: item.comments.clone(),
        language: item.language.clone(),
        origin: item.origin.clone(),
    }
}

/// The id under which an entry is republished: the feed's own where that tells its entries apart, else a UUID of
/// version 8 (RFC 9562, section 5.8) made from what does.
fn published_guid(item: &Item, rule: IdentityRule) -> String {
    if let (IdentityRule::Guid, Some(guid)) = (rule, &item.guid) {
        return guid.clone();
    }
    let hash = Sha256::digest(identity_text(item, own_link(item).as_deref(), rule));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = format!("{:032x}", u128::from_be_bytes(bytes));
    let part = |range| &digits[range];
    format!("urn:uuid:{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}

/// What tells an item apart from the feed's others; `link` is its own.
fn identity_text(item: &Item, link: Option<&str>, rule: IdentityRule) -> String {
    let guid = || item.guid.as_ref().map(|guid| ["guid ", guid].concat());
    let link = || link.map(|link| ["link ", link].concat());
    let named = match rule {
        IdentityRule::Guid => guid().or_else(link),
        IdentityRule::Link => link().or_else(guid),
    };
    named.unwrap_or_else(|| {
        if let Some(title) = &item.title {
            return format!("title {:?} {title}", date(item).map(Timestamp::millis));
        }
        // Many who write without titles write more than once a day: only the text itself tells these apart. What is stored
        // of them goes by SHA-256, as all identities do.
        let mut words = Vec::new();
        says(item, &mut words);
        format!("text {:016x}", first_bits(&Sha256::digest(words)).0)
    })
}

/// A link as far as it tells items of one feed apart: spellings of one page are equal, places on one page are not.
fn link_identity(link: &str) -> String {
    let Some(mut text) = comparable_link(link) else { return link.to_owned() };
    if let Some((_, fragment)) = link.trim().split_once('#') {
        text.push('#');
        text.push_str(fragment);
    }
    text
}

/// What a link is kept by in [`Known::link`]: equal for all spellings of one place on one page.
pub fn link_hash(link: &str) -> Hash64 {
    hash64(&link_identity(link))
}

fn hash64(text: &str) -> Hash64 {
    first_bits(&Sha256::digest(text))
}

fn first_bits(hash: &[u8]) -> Hash64 {
    Hash64(hash.iter().take(8).fold(0, |bits, &byte| bits << 8 | u64::from(byte)))
}

/// Of everything that the item says, by BLAKE3: where the processor has no instructions for SHA-256, that took as long as
/// reading the document. A fingerprint that was made in another way is that of an edit: the text of the entry is written
/// anew in its place, and nothing else happens. `words` is room to work in.
fn fingerprint(item: &Item, words: &mut Vec<u8>) -> Hash64 {
    words.clear();
    says(item, words);
    first_bits(blake3::hash(words).as_bytes())
}

/// Everything that the item says, as values that cannot run into each other. Only `base` is left out: it is where the item
/// was found, and a feed that moves would change all its entries with it.
fn says(item: &Item, words: &mut Vec<u8>) {
    // Taken apart field by field, so that a field added to `Item` cannot be forgotten here.
    let Item {
        guid,
        link,
        title,
        authors,
        published,
        updated,
        summary,
        content,
        base: _,
        categories,
        enclosures,
        comments,
        language,
        origin,
    } = item;
    let mut says = Says(words);
    for text in [guid, link, title, comments, language] {
        says.text(text.as_deref());
    }
    for at in [published, updated] {
        says.number(at.map(Timestamp::millis));
    }
    for markup in [summary, content] {
        says.number(markup.as_ref().map(|markup| i64::from(matches!(markup, Markup::Html(_)))));
        says.text(markup.as_ref().map(Markup::as_str));
    }
    says.count(authors.len());
    for person in authors {
        says.text(Some(&person.name));
        says.text(person.uri.as_deref());
        says.text(person.email.as_deref());
    }
    says.count(categories.len());
    for category in categories {
        says.text(Some(&category.term));
        says.text(category.scheme.as_deref());
        says.text(category.label.as_deref());
    }
    says.count(enclosures.len());
    for enclosure in enclosures {
        says.text(Some(&enclosure.url));
        says.text(enclosure.mime.as_deref());
        says.number(enclosure.bytes.map(u64::cast_signed));
    }
    says.count(usize::from(origin.is_some()));
    if let Some(origin) = origin {
        for text in [&origin.id, &origin.title, &origin.link] {
            says.text(text.as_deref());
        }
    }
}

/// Writes values so that they cannot run into each other.
struct Says<'a>(&'a mut Vec<u8>);

impl Says<'_> {
    fn text(&mut self, text: Option<&str>) {
        self.number(text.map(|text| text.len() as i64));
        self.0.extend_from_slice(text.unwrap_or_default().as_bytes());
    }

    fn number(&mut self, number: Option<i64>) {
        self.0.push(u8::from(number.is_some()));
        self.0.extend_from_slice(&number.unwrap_or_default().to_be_bytes());
    }

    fn count(&mut self, count: usize) {
        self.number(Some(count as i64));
    }
}

#[cfg(test)]
mod tests;
