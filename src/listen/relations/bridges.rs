//! Whom several voices link to, and nobody listens to yet: sites that stand in no list.
//!
//! A site is a host; on a host that many people share it is a person's part of it. Shared is a host that is known to be
//! ([`NAMED`]), one where the sites of two or more voices lie side by side, and one where at least half of the links lead to `/~name`
//! or `/@name`. Left out are hosts that are nobody's to listen to ([`NOBODYS`]), and hosts from which a feed in your lists
//! comes. Counted are voices, so that one loud voice counts once.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use url::Url;

use crate::listen::people::Bridge;
use crate::listen::sites::Sites;
use crate::lists::opml::Outline;
use crate::lists::roster::VoiceIndex;
use crate::model::{EntryKey, Hash64, Link, Timestamp, comparable_link, prefix_hash};
use crate::store::StoreError;

use super::who::{Desk, saying};
use super::window::{Heard, Outward, Text, Window, prefix_of};

/// So many voices make a bridge.
const LEAST_VOICES: usize = 3;
/// Most bridges that are shown.
pub(super) const MAX_BRIDGES: usize = 100;
/// Most sites that are kept: beside those that are shown, those that are news.
const MAX_SITES: usize = 2000;
/// Most voices that are named at one bridge: the last to link there.
const MAX_NAMED: usize = 20;
/// So many texts tell what a site is.
const TEXTS_OF_A_SITE: usize = 3;
/// Since when the third voice must have linked to a site for that to be news.
pub(super) const LATELY: Duration = Duration::from_hours(7 * 24);

/// Where people stand on a shared host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// Below the host: `/name`, but for words that no person has as a name.
    First,
    /// Below the host: `/@name` or `/~name`.
    Marked,
    /// Below this segment: `/in/name`.
    Below(&'static str),
}

/// Hosts that many people share.
const NAMED: [(&str, Names); 24] = [
    ("bsky.app", Names::Below("profile")),
    ("codeberg.org", Names::First),
    ("dev.to", Names::First),
    ("facebook.com", Names::First),
    ("flickr.com", Names::Below("photos")),
    ("github.com", Names::First),
    ("gitlab.com", Names::First),
    ("instagram.com", Names::First),
    ("ko-fi.com", Names::First),
    ("linkedin.com", Names::Below("in")),
    ("mastodon.social", Names::Marked),
    ("medium.com", Names::Marked),
    ("patreon.com", Names::First),
    ("reddit.com", Names::Below("user")),
    ("sites.google.com", Names::Below("view")),
    ("soundcloud.com", Names::First),
    ("substack.com", Names::Marked),
    ("threads.net", Names::Marked),
    ("tiktok.com", Names::Marked),
    ("tumblr.com", Names::First),
    ("twitch.tv", Names::First),
    ("twitter.com", Names::First),
    ("vimeo.com", Names::First),
    ("x.com", Names::First),
];
/// What stands in the place of a name on such hosts, and is none.
const NO_NAMES: [&str; 24] = [
    "about", "c", "events", "explore", "features", "groups", "hashtag", "help", "home", "i", "intent", "login", "p",
    "photo", "pages", "reel", "search", "settings", "share", "sharer", "t", "tag", "tags", "topics",
];
/// Hosts, with all hosts below them, that are nobody's to listen to: works of reference, archives, shops, players, and
/// what stands for other addresses.
const NOBODYS: [&str; 24] = [
    "amazon.com",
    "amazon.co.uk",
    "amazon.de",
    "amzn.to",
    "apple.com",
    "archive.org",
    "archive.ph",
    "bit.ly",
    "doi.org",
    "example.com",
    "feedburner.com",
    "goo.gl",
    "google.com",
    "goodreads.com",
    "imdb.com",
    "localhost",
    "spotify.com",
    "t.co",
    "tinyurl.com",
    "wikimedia.org",
    "wikipedia.org",
    "wiktionary.org",
    "youtu.be",
    "youtube-nocookie.com",
];

static NAMED_HOSTS: LazyLock<HashMap<u32, Names>> = LazyLock::new(|| {
    let youtube = [("youtube.com", Names::Marked), ("m.youtube.com", Names::Marked)];
    NAMED.into_iter().chain(youtube).filter_map(|(host, names)| Some((prefix_hash(host)?, names))).collect()
});

/// Whether a link leads to the front page of what may be a site that stands in no list.
pub(super) fn is_home(link: &Link) -> bool {
    let prefixes = link.prefixes();
    let named = || prefixes.first().and_then(|host| NAMED_HOSTS.get(host));
    link.is_prefix()
        && match prefixes.len() {
            1 => true,
            2 => matches!(named(), Some(Names::First | Names::Marked)),
            3 => matches!(named(), Some(Names::Below(_))),
            _ => false,
        }
}

/// A site, in hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    hash: u32,
    /// In comparable form.
    name: String,
    /// Who links to it, with the last entry that does, the newest first; at most [`MAX_NAMED`].
    by: Vec<(VoiceIndex, EntryKey)>,
    voices: usize,
    /// When the third voice first linked to it, as far as the window goes back.
    pub(super) third: Timestamp,
    last: Timestamp,
}

/// What is known of hosts from one gathering to the next.
#[derive(Debug, Default)]
pub(super) struct Ground {
    /// The sites by which it is known.
    sites: Option<Arc<Sites>>,
    /// Hosts from which feeds in lists come.
    listed: HashSet<u32>,
    /// Hosts on which two or more voices have their sites.
    neighbours: HashSet<u32>,
    /// What texts say of hosts, and of parts of shared ones.
    told: HashMap<u32, Told>,
}

/// What a hash of a prefix turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    /// A site, in comparable form.
    Site(String),
    /// A host that people share.
    Shared(Names),
    /// Nobody's, or nothing.
    Nothing,
}

/// All sites that enough voices link to: the [`MAX_BRIDGES`] with most voices first, then those to which the third voice
/// has linked [`LATELY`]. Reads about `texts` texts at most to learn what is a site; what it does not come to is left
/// for the next time.
pub(super) fn gather(
    desk: &Desk<'_>,
    window: &mut Window,
    ground: &mut Ground,
    texts: usize,
) -> Result<Vec<Site>, StoreError> {
    ground.refresh(desk);
    let Window { heard, outward, .. } = window;
    sort_by_host(outward);
    let mut search = Search { desk, heard, ground, texts, known: HashSet::new() };
    let mut hosts: Vec<Crowd<'_>> = Vec::new();
    let lately = desk.scene.now.minus(LATELY);
    let mut shared: Vec<(Vec<Outward>, Names)> = Vec::new();
    for links in outward.chunk_by(|a, b| a.host == b.host) {
        let host = links[0].host;
        if by_voice(links).nth(LEAST_VOICES - 1).is_none() {
            continue;
        }
        match search.ground.names(host) {
            Some(names) => shared.push((sorted(links, names), names)),
            None if search.ground.listed.contains(&host) => {}
            None => hosts.push(Crowd::of(heard, host, links, lately)),
        }
    }
    let mut sites = search.sites(hosts, None, |crowd, names| shared.push((sorted(crowd.links, names), names)))?;
    for (links, names) in &shared {
        search.known.insert(links[0].host);
        sites.extend(search.sites(parts_of(heard, links, *names, lately), Some(*names), |_, _| {})?);
    }
    let known = search.known;
    ground.told.retain(|hash, _| known.contains(hash));
    sites.sort_unstable_by(|a, b| (b.voices, b.last, a.hash).cmp(&(a.voices, a.last, b.hash)));
    let mut place = 0;
    sites.retain(|site| {
        place += 1;
        place <= MAX_BRIDGES || site.third >= lately
    });
    Ok(sites)
}

/// The search for what is a site.
struct Search<'a> {
    desk: &'a Desk<'a>,
    heard: &'a [Heard],
    ground: &'a mut Ground,
    /// How many texts may still be read.
    texts: usize,
    /// All hashes of which anything must stay known.
    known: HashSet<u32>,
}

impl Search<'_> {
    /// The sites among some crowds: those with most voices, and those that are news. Calls `share` with what turns out to
    /// be a host that people share.
    fn sites<'c>(
        &mut self,
        mut crowds: Vec<Crowd<'c>>,
        names: Option<Names>,
        mut share: impl FnMut(&Crowd<'c>, Names),
    ) -> Result<Vec<Site>, StoreError> {
        crowds.sort_unstable_by_key(|crowd| (Reverse(crowd.voices), crowd.hash));
        let mut sites = Vec::new();
        for crowd in crowds {
            if sites.len() >= MAX_BRIDGES && !crowd.is_news || sites.len() >= MAX_SITES {
                continue;
            }
            self.known.insert(crowd.hash);
            if !self.ground.told.contains_key(&crowd.hash) {
                if self.texts < TEXTS_OF_A_SITE {
                    continue;
                }
                self.texts -= TEXTS_OF_A_SITE;
                let told = tell(self.desk, self.heard, &crowd, names)?;
                self.ground.told.insert(crowd.hash, told);
            }
            match self.ground.told.get(&crowd.hash) {
                Some(Told::Site(name)) => sites.push(crowd.site(self.heard, name.clone())),
                Some(Told::Shared(names)) => share(&crowd, *names),
                Some(Told::Nothing) | None => {}
            }
        }
        Ok(sites)
    }
}

/// Puts links in the order of hosts; those to one host stay as they are. Sorting bare numbers takes a third of the time.
fn sort_by_host(outward: &mut Vec<Outward>) {
    let places = outward.iter().zip(0u64..).map(|(link, place)| u64::from(link.host) << 32 | place);
    let mut places: Vec<u64> = places.collect();
    places.sort_unstable();
    *outward = places.into_iter().map(|place| outward[place as u32 as usize]).collect();
}

/// Links to one site: entries ascend, so that those of a voice stand together.
struct Crowd<'a> {
    hash: u32,
    links: &'a [Outward],
    voices: usize,
    /// Whether the third voice has come lately.
    is_news: bool,
}

impl<'a> Crowd<'a> {
    fn of(heard: &[Heard], hash: u32, links: &'a [Outward], lately: Timestamp) -> Self {
        let is_old = |links: &&[Outward]| links.iter().any(|link| listed_at(heard, link) < lately);
        let is_news = by_voice(links).filter(is_old).nth(LEAST_VOICES - 1).is_none();
        Self { hash, links, voices: by_voice(links).count(), is_news }
    }

    /// Each voice with the last entry that links here, the newest first.
    fn by(&self, heard: &[Heard]) -> Vec<(VoiceIndex, EntryKey)> {
        let newest = by_voice(self.links).filter_map(|links| {
            let newest = links.iter().map(|link| heard[link.entry as usize].key).max()?;
            Some((links[0].voice as usize, newest))
        });
        let mut newest: Vec<(VoiceIndex, EntryKey)> = newest.collect();
        newest.sort_unstable_by_key(|(_, key)| Reverse(*key));
        newest
    }

    fn site(&self, heard: &[Heard], name: String) -> Site {
        let firsts = by_voice(self.links).filter_map(|links| links.iter().map(|link| listed_at(heard, link)).min());
        let mut firsts: Vec<Timestamp> = firsts.collect();
        firsts.sort_unstable();
        let third = firsts.get(LEAST_VOICES - 1).copied().unwrap_or(Timestamp::MAX);
        let mut by = self.by(heard);
        let last = by.first().map(|(_, key)| key.listed_at).unwrap_or_default();
        by.truncate(MAX_NAMED);
        Site { hash: self.hash, name, by, voices: self.voices, third, last }
    }
}

fn listed_at(heard: &[Heard], link: &Outward) -> Timestamp {
    heard[link.entry as usize].key.listed_at
}

fn by_voice(links: &[Outward]) -> impl Iterator<Item = &[Outward]> {
    links.chunk_by(|a, b| a.voice == b.voice)
}

/// The hash of the part of a shared host that a link leads to.
fn part(link: &Outward, names: Names) -> u32 {
    match names {
        Names::First | Names::Marked => link.first,
        Names::Below(_) => link.second,
    }
}

/// The links to a shared host by the parts that they lead to.
fn sorted(links: &[Outward], names: Names) -> Vec<Outward> {
    let mut links: Vec<Outward> = links.to_vec();
    links.sort_unstable_by_key(|link| (part(link, names), link.entry));
    links
}

fn parts_of<'a>(heard: &[Heard], links: &'a [Outward], names: Names, lately: Timestamp) -> Vec<Crowd<'a>> {
    let crowds = links.chunk_by(move |a, b| part(a, names) == part(b, names)).filter_map(|links| {
        let hash = part(links.first()?, names);
        let is_part = hash != links[0].host && by_voice(links).nth(LEAST_VOICES - 1).is_some();
        is_part.then(|| Crowd::of(heard, hash, links, lately))
    });
    crowds.collect()
}

/// Asks the newest texts what a site is.
fn tell(desk: &Desk<'_>, heard: &[Heard], crowd: &Crowd<'_>, names: Option<Names>) -> Result<Told, StoreError> {
    let (mut name, mut marked, mut plain) = (None, 0, 0);
    for (_, key) in crowd.by(heard).into_iter().take(TEXTS_OF_A_SITE) {
        let Some(text) = Text::read(desk, key)? else { continue };
        for (site, address) in text.below(crowd.hash) {
            name.get_or_insert_with(|| site.to_owned());
            let mut segments = address.comparable.split('/').skip(1);
            match segments.next() {
                Some(first) if is_marked(first) => marked += 1,
                _ => plain += 1,
            }
        }
    }
    let Some(name) = name else { return Ok(Told::Nothing) };
    let host = prefix_of(&name, 0);
    let is_nobodys = NOBODYS
        .iter()
        .any(|known| host.strip_suffix(known).is_some_and(|below| below.is_empty() || below.ends_with('.')));
    let mut segments = name.split('/').skip(1);
    let first = segments.next().unwrap_or_default();
    Ok(match names {
        _ if is_nobodys && !NAMED_HOSTS.contains_key(&prefix_hash(host).unwrap_or_default()) => Told::Nothing,
        None if marked > 0 && marked >= plain => Told::Shared(Names::Marked),
        None => Told::Site(name),
        Some(Names::Marked) if is_marked(first) => Told::Site(name),
        Some(Names::First) if !first.is_empty() && !NO_NAMES.contains(&first) => Told::Site(name),
        Some(Names::Below(word)) if first == word && segments.next().is_some() => Told::Site(name),
        Some(_) => Told::Nothing,
    })
}

fn is_marked(segment: &str) -> bool {
    segment.strip_prefix(['@', '~']).is_some_and(|name| !name.is_empty())
}

impl Ground {
    /// Where people stand on a host that they are known to share.
    fn names(&self, host: u32) -> Option<Names> {
        let told = || match self.told.get(&host) {
            Some(Told::Shared(names)) => Some(*names),
            _ => None,
        };
        let neighbours = || self.neighbours.contains(&host).then_some(Names::First);
        NAMED_HOSTS.get(&host).copied().or_else(neighbours).or_else(told)
    }

    /// Begins anew where sites have changed.
    fn refresh(&mut self, desk: &Desk<'_>) {
        if self.sites.as_ref().is_some_and(|sites| Arc::ptr_eq(sites, &desk.sites)) {
            return;
        }
        let host_hash = |address: &str| prefix_hash(prefix_of(&comparable_link(address)?, 0));
        let feeds = desk.bound().roster.feeds();
        let listed = feeds.filter_map(|url| host_hash(url.as_str())).collect();
        let mut at_home: HashSet<(u32, VoiceIndex)> = HashSet::new();
        for voice in desk.voices.heard() {
            let Some(known) = desk.bound().roster.voices.get(voice) else { continue };
            let feeds = desk.voices.feeds(voice).iter().filter_map(|feed| desk.live().feed(*feed));
            let own: Vec<String> = feeds.filter_map(|feed| feed.about.home.clone()).collect();
            let homes = known.homes.iter().chain(&own).filter_map(|home| comparable_link(home));
            at_home.extend(
                homes
                    .filter(|home| home.contains('/'))
                    .filter_map(|home| Some((prefix_hash(prefix_of(&home, 0))?, voice))),
            );
        }
        let (mut once, mut neighbours) = (HashSet::new(), HashSet::new());
        for (host, _) in at_home {
            if !once.insert(host) {
                neighbours.insert(host);
            }
        }
        *self = Self { sites: Some(Arc::clone(&desk.sites)), listed, neighbours, told: HashMap::new() };
    }
}

/// A bridge as pages show it; `None` where its texts do not say what the hashes did.
pub(super) fn read(desk: &Desk<'_>, site: &Site) -> Result<Option<Bridge>, StoreError> {
    let (mut by, mut link) = (Vec::new(), None);
    for &(voice, key) in &site.by {
        let Some(text) = Text::read(desk, key)? else { continue };
        let address = text.below(site.hash).find(|(name, _)| *name == site.name).map(|(_, address)| address);
        let Some(address) = address else { continue };
        link.get_or_insert_with(|| front_page(&address.written, &site.name));
        by.push((desk.person(voice), saying(&text.entry, String::new())));
    }
    let voices = site.voices - (site.by.len() - by.len());
    let Some(link) = link.filter(|_| voices >= LEAST_VOICES && desk.sites.owner(&site.name).is_none()) else {
        return Ok(None);
    };
    Ok(Some(Bridge { site: site.name.clone(), link, by, voices, last: site.last }))
}

/// The address of a site, by the scheme and the host of an address below it.
fn front_page(written: &str, site: &str) -> String {
    let path = site.find('/').map_or("/", |slash| &site[slash..]);
    let address = Url::parse(written.trim()).ok().and_then(|url| {
        let mut front = url.join(path).ok()?;
        // Both fail only for addresses that have none.
        let _ = front.set_username("");
        let _ = front.set_password(None);
        Some(front.to_string())
    });
    address.unwrap_or_else(|| format!("https://{site}"))
}

/// Bridges as candidates for a list: each names its front page in place of a feed, which is found by itself.
pub(super) fn outlines(bridges: &[Bridge]) -> Vec<Outline> {
    let outline = |bridge: &Bridge| {
        let attributes = [("type", "rss"), ("text", &bridge.site), ("xmlUrl", &bridge.link), ("htmlUrl", &bridge.link)];
        Outline { attributes: attributes.into_iter().collect(), children: Vec::new(), line: 1 }
    };
    bridges.iter().map(outline).collect()
}

/// What tells sites apart once they were told.
pub(super) fn mark(site: &Site) -> Hash64 {
    Hash64(Link::of(&site.name).page)
}
