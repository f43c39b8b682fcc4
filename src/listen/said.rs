//! What an entry says of others: where it links to, and whether it speaks of you.
//!
//! All links are kept, also those of a voice to its own site, since whose site a page is changes with the lists; whoever
//! counts link love leaves those out. Whether an entry speaks of you is decided here: by who you are now, so when that
//! changes, the stored entries are heard anew. Knows neither clock nor lists' files.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use sha2::{Digest, Sha256};

use crate::config::Mine;
use crate::feeds::clean;
use crate::feeds::links::{Linked, links};
use crate::model::{CleanHtml, Entry, EntryKey, Feed, FeedId, Hash64, Link, Mention, Role, Said, Way};
use crate::store::{Snapshot, StoreError};

use super::live::{Bound, Live};
use super::sites::{Owner, Sites};

/// Counts what would make the same entries say something else: how links are found, what counts as a mention.
pub const VERSION: u32 = 1;
/// Whether a link is furniture is told by so many entries of a feed, the newest.
pub const RECENT: usize = 30;
/// A page that stands in fewer of them is no furniture.
const MIN_FURNITURE: usize = 4;

/// What a feed is to you.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Somebody's words.
    Voice,
    /// Your own.
    Mine,
    /// What reaches you elsewhere.
    Inbox,
}

impl Channel {
    /// What a feed is to you by the lists that it is in. A list of role `inbox` says so of the feed itself, one of role
    /// `mine` of all feeds of the voice.
    pub fn of(bound: &Bound, feed: &Feed) -> Self {
        let mut channel = Self::Voice;
        for (list, subscription) in bound.subscriptions_of(feed) {
            let voices = subscription.voices.iter().filter_map(|voice| bound.roster.voices.get(*voice));
            match list.role {
                Role::Inbox => return Self::Inbox,
                Role::Mine => channel = Self::Mine,
                _ if voices.into_iter().any(|voice| bound.roster.has_role(voice, Role::Mine)) => channel = Self::Mine,
                _ => {}
            }
        }
        channel
    }
}

/// How people call you.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// With a capital letter in them: said as they are written.
    as_written: Vec<Name>,
    /// Without: said in any case.
    in_any_case: Vec<Name>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    text: String,
    /// The longest piece of it that HTML never spells otherwise, so that texts without it need not be read.
    core: String,
}

impl Names {
    /// Those of the configuration, with white space folded.
    pub fn of(mine: &Mine) -> Self {
        let folded = mine.names.iter().map(|name| name.split_whitespace().collect::<Vec<_>>().join(" "));
        let names = folded.filter(|name| !name.is_empty()).map(|text| {
            let pieces = text.split(|c: char| !c.is_alphanumeric());
            let core = pieces.max_by_key(|piece| piece.len()).unwrap_or_default().to_owned();
            Name { text, core }
        });
        let (as_written, in_any_case) = names.partition(|name| name.text.contains(char::is_uppercase));
        Self { as_written, in_any_case }
    }

    /// Whether one of them stands in a text as a whole word: with no letter or digit before or behind it. Scripts that put
    /// no spaces between words have none there either, so in them any place will do.
    pub fn are_in(&self, text: &str) -> bool {
        self.any(text, |text, name| stands_in(text, &name.text))
    }

    fn any(&self, text: &str, is_there: impl Fn(&str, &Name) -> bool) -> bool {
        if self.as_written.iter().any(|name| is_there(text, name)) {
            return true;
        }
        if self.in_any_case.is_empty() {
            return false;
        }
        let lower = text.to_lowercase();
        self.in_any_case.iter().any(|name| is_there(&lower, name))
    }

    fn are_said_by(&self, entry: &Entry) -> bool {
        if self.as_written.is_empty() && self.in_any_case.is_empty() {
            return false;
        }
        let may_be_in = |html: &str| self.any(&without_tags(html), |text, name| text.contains(&name.core));
        let mut texts = entry.content.iter().chain(&entry.summary).map(CleanHtml::as_str);
        self.are_in(&entry.title) || texts.any(|html| may_be_in(html) && self.are_in(&clean::text(html, usize::MAX)))
    }
}

/// Clean HTML without its tags: cheaper than its text, and all words of that are in it, though perhaps joined to others.
fn without_tags(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    for piece in html.split('<') {
        text.push_str(piece.split_once('>').map_or(piece, |(_, behind)| behind));
    }
    text
}

fn stands_in(text: &str, name: &str) -> bool {
    let Some(first) = name.chars().next() else { return false };
    let mut from = 0;
    while let Some(found) = text[from..].find(name) {
        let (before, behind) = (&text[..from + found], &text[from + found + name.len()..]);
        if !joins(before.chars().next_back(), Some(first)) && !joins(name.chars().next_back(), behind.chars().next()) {
            return true;
        }
        from += found + first.len_utf8();
    }
    false
}

/// Whether two neighbours belong to one word.
fn joins(left: Option<char>, right: Option<char>) -> bool {
    let is_in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() && !is_unspaced(c));
    is_in_word(left) && is_in_word(right)
}

/// Whether a letter is of a script that puts no spaces between words, or joins particles to them.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// By what the entries of one feed are heard.
#[derive(Clone, Copy, Debug)]
pub struct Hearing<'a> {
    /// Whose pages links lead to.
    pub sites: &'a Sites,
    /// How people call you.
    pub names: &'a Names,
    /// What the feed is to you.
    pub channel: Channel,
}

/// What an entry says, where these pages are furniture in its feed.
pub fn said(entry: &Entry, hearing: &Hearing<'_>, furniture: &Furniture) -> Said {
    said_with(entry, &links(entry), hearing, &[furniture])
}

fn said_with(entry: &Entry, linked: &[Linked<'_>], hearing: &Hearing<'_>, furniture: &[&Furniture]) -> Said {
    let is_furniture = |page| furniture.iter().any(|pages| pages.holds(page));
    let mention = match hearing.channel {
        Channel::Mine => None,
        Channel::Inbox => {
            let by = entry.authors.iter().filter_map(|author| author.uri.as_deref()).find_map(Link::to);
            Some(Mention { way: Way::Inbox, by })
        }
        Channel::Voice if yours(linked, hearing.sites).any(|linked| !is_furniture(linked.link.page)) => {
            Some(Mention { way: Way::Link, by: None })
        }
        Channel::Voice => hearing.names.are_said_by(entry).then_some(Mention { way: Way::Name, by: None }),
    };
    Said { key: entry.key, links: linked.iter().map(|linked| linked.link).collect(), mention }
}

/// Those of the links that lead to you.
fn yours<'a>(linked: &'a [Linked<'a>], sites: &Sites) -> impl Iterator<Item = &'a Linked<'a>> {
    let may_be = linked.iter().filter(|linked| sites.owner_of(&linked.link).is_some());
    may_be.filter(|linked| sites.owner(&linked.comparable) == Some(Owner::Mine))
}

/// Pages that stand in so many entries of a feed that they say nothing, by their hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Furniture(HashSet<u64>);

impl Furniture {
    /// Whether the page of this hash is among them.
    pub fn holds(&self, page: u64) -> bool {
        self.0.contains(&page)
    }
}

/// The pages that are furniture: those that stand in over a third of a feed's newest entries, and in four at least. One
/// row for each entry, those without links included, each page once in it; to be given the newest [`RECENT`].
pub fn furniture<'a>(rows: impl IntoIterator<Item = &'a [Link]>) -> Furniture {
    let mut standing: HashMap<u64, usize> = HashMap::new();
    let mut entries = 0;
    for row in rows {
        entries += 1;
        for link in row {
            *standing.entry(link.page).or_default() += 1;
        }
    }
    let common = standing.into_iter().filter(|(_, count)| *count >= MIN_FURNITURE && 3 * count > entries);
    Furniture(common.map(|(page, _)| page).collect())
}

/// What some entries of one feed say, and what others of its newest no longer do since a page turned out to be furniture.
///
/// The entries may be stored already or not; in the order of their keys. Archives come by hundreds, and what was furniture
/// once need not be among the newest: so a page is furniture, too, to the entries among which it stands. Of the store
/// nothing is read unless one of the entries links to you.
pub fn said_by_feed(
    snapshot: &Snapshot,
    feed: FeedId,
    entries: &[&Entry],
    hearing: &Hearing<'_>,
) -> Result<Vec<Said>, StoreError> {
    let linked: Vec<Vec<Linked<'_>>> = entries.iter().map(|entry| links(entry)).collect();
    let none = Furniture::default();
    let links_to_you = |linked: &Vec<Linked<'_>>| yours(linked, hearing.sites).next().is_some();
    if hearing.channel != Channel::Voice || !linked.iter().any(links_to_you) {
        let all = entries.iter().zip(&linked);
        return Ok(all.map(|(entry, linked)| said_with(entry, linked, hearing, &[&none])).collect());
    }

    let stored = snapshot.entries(feed, None, RECENT)?;
    let mut newest: BTreeMap<EntryKey, (&Entry, Cow<'_, [Linked<'_>]>)> =
        stored.iter().map(|entry| (entry.key, (entry, Cow::Owned(links(entry))))).collect();
    newest.extend(entries.iter().zip(&linked).map(|(entry, linked)| (entry.key, (*entry, Cow::Borrowed(&**linked)))));
    while newest.len() > RECENT {
        newest.pop_first();
    }
    let standing = furniture_of(newest.values().map(|(_, linked)| linked.as_ref()));

    let mut said = Vec::with_capacity(entries.len());
    for range in runs(entries.len()) {
        let around = match range.len() {
            ..RECENT => Furniture::default(),
            _ => furniture_of(linked[range.clone()].iter().map(Vec::as_slice)),
        };
        let run = entries[range.clone()].iter().zip(&linked[range]);
        said.extend(run.map(|(entry, linked)| said_with(entry, linked, hearing, &[&standing, &around])));
    }
    for (entry, linked) in newest.values().filter(|(entry, _)| !entries.iter().any(|new| new.key == entry.key)) {
        let linked_by_furniture = yours(linked, hearing.sites).any(|linked| standing.holds(linked.link.page));
        if linked_by_furniture && snapshot.mention(entry.key)?.is_some_and(|mention| mention.way == Way::Link) {
            let now = said_with(entry, linked, hearing, &[&standing]);
            if now.mention.is_none_or(|mention| mention.way != Way::Link) {
                said.push(now);
            }
        }
    }
    Ok(said)
}

/// By what all stored entries are heard, as a number: your sites, your names, which feeds are yours and which are inboxes.
/// Where it is another than before, they have to be heard anew.
pub fn heard_as(live: &Live, bound: &Bound, sites: &Sites, names: &Names) -> Hash64 {
    let mut digest = Sha256::new();
    let mut add = |tag: u8, bytes: &[u8]| {
        digest.update([tag]);
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    add(0, &VERSION.to_be_bytes());
    for (site, is_yours) in sites.territory() {
        add(1 + u8::from(is_yours), site.as_bytes());
    }
    for name in names.as_written.iter().chain(&names.in_any_case) {
        add(3, name.text.as_bytes());
    }
    live.for_each_listed(|feed| match Channel::of(bound, feed) {
        Channel::Voice => {}
        Channel::Mine => add(4, &feed.id.0.to_be_bytes()),
        Channel::Inbox => add(5, &feed.id.0.to_be_bytes()),
    });
    let digest = digest.finalize();
    Hash64(digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first)))
}

fn furniture_of<'a>(rows: impl Iterator<Item = &'a [Linked<'a>]>) -> Furniture {
    let rows: Vec<Vec<Link>> = rows.map(|row| row.iter().map(|linked| linked.link).collect()).collect();
    furniture(rows.iter().map(Vec::as_slice))
}

/// Parts of so many entries: of [`RECENT`] each, the last one of up to twice that; one that is smaller where there are
/// fewer.
fn runs(entries: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let count = (entries / RECENT).max(1);
    (0..count).map(move |run| run * RECENT..if run + 1 == count { entries } else { (run + 1) * RECENT })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Change, Known};
    use crate::model::{FeedUrl, Person, Timestamp};
    use crate::store::{FeedUpdate, Store, TakeOver};

    fn entry(seq: u32, title: &str, html: &str) -> Entry {
        let at = Timestamp::from_millis(i64::from(seq) * 1000);
        Entry {
            key: EntryKey { listed_at: at, feed: FeedId(1), seq },
            first_seen: at,
            guid: seq.to_string(),
            link: Some(format!("http://ann.example/{seq}")),
            title: title.to_owned(),
            authors: Vec::new(),
            published: None,
            updated: None,
            summary: None,
            content: Some(CleanHtml::from_cleaner(html.to_owned())),
            categories: Vec::new(),
            enclosures: Vec::new(),
            comments: None,
            language: None,
            origin: None,
        }
    }

    fn sites() -> Sites {
        let mine = Mine { sites: vec!["https://me.example/".parse().expect("it is an address")], names: Vec::new() };
        Sites::of(&Live::default(), &Bound::default(), &mine)
    }

    fn names(names: &[&str]) -> Names {
        Names::of(&Mine { sites: Vec::new(), names: names.iter().map(|name| (*name).to_owned()).collect() })
    }

    #[test]
    fn names_are_whole_words() {
        for (name, text, expected) in [
            ("Ann", "Thank you, Ann!", true),
            ("Ann", "Ann", true),
            ("Ann", "Ann's bench", true),
            ("Ann", "(Ann-Marie)", true),
            ("Ann", "Annual ANN Joann ann", false),
            ("Ann", "Annual Ann", true),
            ("ann b", "ANN B was here", true),
            ("  Ann \n Example ", "Ann Example", true),
            ("Ann Example", "Ann  Example", false),
            ("listend", "Listend 1.0", true),
            ("listend", "listends", false),
            ("@ann", "cc @ann.", true),
            ("@ann", "bob@ann", true),
            ("Änne", "Änne", true),
            ("Änne", "Jänne Änneli", false),
            ("äNNE", "die änne", false),
            ("Ann", "Ann2 2Ann", false),
            ("a a", "ba a a", true),
            ("田中", "これは田中さんの話", true),
            ("Ann", "これはAnnさん", true),
            ("", "anything", false),
            (" ", "any thing", false),
        ] {
            assert_eq!(names(&[name]).are_in(text), expected, "{name} in {text}");
        }
    }

    #[test]
    fn an_entry_speaks_of_you_by_link_then_name_and_by_what_its_feed_is() {
        let (sites, names) = (sites(), names(&["Ann Example"]));
        let me = "<p>See <a href=\"https://www.me.example/post/\">this</a>.</p>";
        let furniture = Furniture(Link::to("https://me.example/post").map(|link| link.page).into_iter().collect());
        for (channel, title, html, is_furniture, way) in [
            (Channel::Voice, "", me, false, Some(Way::Link)),
            (Channel::Voice, "Ann Example", me, false, Some(Way::Link)),
            (Channel::Voice, "", me, true, None),
            (Channel::Voice, "Ann Example", me, true, Some(Way::Name)),
            (Channel::Voice, "", "<p>as <b>Ann</b>\nExample says</p>", false, Some(Way::Name)),
            (Channel::Voice, "", "<p>as</p><p>Ann Ex<b>ample</b></p><p>says</p>", false, Some(Way::Name)),
            (Channel::Voice, "", "<p>as</p><p>Ann Examples</p><p>say</p>", false, None),
            (Channel::Voice, "", "<a href=\"http://other.example/\" title=\"Ann Example\">x</a>", false, None),
            (Channel::Mine, "Ann Example", me, false, None),
            (Channel::Inbox, "", "", false, Some(Way::Inbox)),
            (Channel::Inbox, "", me, true, Some(Way::Inbox)),
        ] {
            let hearing = Hearing { sites: &sites, names: &names, channel };
            let none = Furniture::default();
            let said = said(&entry(1, title, html), &hearing, if is_furniture { &furniture } else { &none });
            assert_eq!(said.mention.map(|mention| mention.way), way, "{channel:?} {title} {html}");
            assert_eq!(said.links[0], Link::to("http://ann.example/1").expect("it is an address"));
        }
    }

    #[test]
    fn the_page_of_an_author_is_told_of_inboxes_alone() {
        let (sites, names) = (sites(), names(&[]));
        let mut entry = entry(1, "", "");
        let person = |uri: &str| Person { uri: Some(uri.to_owned()), ..Person::default() };
        entry.authors = vec![Person::default(), person("acct:bo@example.org"), person("https://bo.example/")];
        for (channel, by) in [(Channel::Inbox, Link::to("http://bo.example")), (Channel::Voice, None)] {
            let said = said(&entry, &Hearing { sites: &sites, names: &names, channel }, &Furniture::default());
            assert_eq!(said.mention.and_then(|mention| mention.by), by);
        }
    }

    #[test]
    fn furniture_stands_in_over_a_third_and_in_four_at_least() {
        let (page, other) = (Link::of("me.example"), Link::of("other.example"));
        for (with, without, expected) in
            [(3, 0, false), (4, 0, true), (4, 7, true), (4, 8, false), (10, 20, false), (11, 19, true)]
        {
            let row = [other, page];
            let rows = std::iter::repeat_n(&row[..], with).chain(std::iter::repeat_n(&[][..], without));
            let standing = furniture(rows);
            assert_eq!(standing.holds(page.page), expected, "{with} of {}", with + without);
        }
    }

    /// A store with one feed, and what is said in it so far.
    struct Heard {
        store: Store,
        _directory: tempfile::TempDir,
        update: FeedUpdate,
    }

    impl Heard {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("there is room");
            let store = Store::open(directory.path(), 1 << 20).expect("it opens");
            let url = FeedUrl::parse("http://ann.example/feed").expect("it is an address");
            let urls = vec![url.clone()];
            let feeds = store.take_over(&TakeOver { urls, ..TakeOver::default() }, Timestamp::default());
            let feed = feeds.expect("it is stored").remove(0);
            let update = FeedUpdate { feed, changes: Vec::new(), said: Vec::new(), events: Vec::new() };
            Self { store, _directory: directory, update }
        }

        /// Hears entries of these numbers and texts, and stores them; which ones were said to speak of you, and not to.
        fn hear(&mut self, entries: &[(u32, &str)]) -> Vec<(u32, bool)> {
            let (sites, names) = (sites(), names(&["Ann"]));
            let feed = self.update.feed.id;
            let entries: Vec<Entry> = entries
                .iter()
                .map(|(seq, html)| {
                    let mut entry = entry(*seq, "", html);
                    entry.key.feed = feed;
                    entry
                })
                .collect();
            let snapshot = self.store.snapshot().expect("it is open");
            let hearing = Hearing { sites: &sites, names: &names, channel: Channel::Voice };
            let all: Vec<&Entry> = entries.iter().collect();
            let said = said_by_feed(&snapshot, feed, &all, &hearing).expect("it can be read");
            let told = said.iter().map(|said| (said.key.seq, said.mention.is_some())).collect();
            self.update.changes = entries
                .into_iter()
                .map(|entry| {
                    let EntryKey { listed_at, seq, .. } = entry.key;
                    let hash = Hash64(u64::from(seq));
                    let now = Known {
                        seq,
                        listed_at,
                        first_seen: listed_at,
                        guid: hash,
                        link: None,
                        fingerprint: hash,
                        carried_on: 0,
                        purged: false,
                    };
                    Change { was: None, now, entry: Some(entry) }
                })
                .collect();
            self.update.said = said;
            self.store.commit(std::slice::from_mut(&mut self.update)).expect("it is stored");
            told
        }
    }

    const ME: &str = "<a href=\"https://me.example/post\">x</a>";

    #[test]
    fn mentions_of_what_becomes_furniture_are_taken_back() {
        let mut heard = Heard::new();
        assert_eq!(heard.hear(&[(1, ME), (2, "")]), [(1, true), (2, false)]);
        assert_eq!(
            heard.hear(&[(3, ME), (4, "by Ann <a href=\"https://me.example/post\">x</a>")]),
            [(3, true), (4, true)]
        );
        let twice = format!("{ME} <a href=\"https://me.example/other\">y</a>");
        assert_eq!(heard.hear(&[(5, &twice)]), [(5, true), (1, false), (3, false), (4, true)]);
        // What has become a mention by name stays one, and what was taken back is not taken back again.
        assert_eq!(heard.hear(&[(6, ME)]), [(6, false)]);
    }

    #[test]
    fn a_link_in_few_of_many_entries_is_no_furniture() {
        let mut heard = Heard::new();
        let plain: Vec<(u32, &str)> = (1..=26).map(|seq| (seq, "")).collect();
        heard.hear(&plain);
        assert_eq!(
            heard.hear(&[(27, ME), (28, ME), (29, ME), (30, ME)]),
            [(27, true), (28, true), (29, true), (30, true)]
        );
    }

    #[test]
    fn what_was_furniture_in_an_archive_is_found_among_its_neighbours() {
        let mut heard = Heard::new();
        let archive: Vec<(u32, &str)> =
            (0..100).map(|seq| (seq, if seq < 60 || seq == 80 { ME } else { "" })).collect();
        let said: Vec<u32> =
            heard.hear(&archive).into_iter().filter(|(_, of_you)| *of_you).map(|(seq, _)| seq).collect();
        assert_eq!(said, [80]);
    }
}
