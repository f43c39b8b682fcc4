//! Whom several voices link to, and nobody listens to yet: sites that stand in no list.
//!
//! A site is a host; on a host that many people share it is a person's part of it. Shared is a host that is known to be
//! ([`NAMED`]), one where the sites of two or more voices lie side by side, and one where most links lead to `/~name` or
//! `/@name`. Left out are hosts that are nobody's to listen to ([`NOBODYS`]), and hosts from which a feed in your lists
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
    outward.sort_unstable_by_key(|link| u64::from(link.host) << 32 | u64::from(link.entry));
    let mut crowds: Vec<(Crowd<'_>, Option<Names>)> = Vec::new();
    let mut parts: Vec<(Vec<Outward>, Names)> = Vec::new();
    for links in outward.chunk_by(|a, b| a.host == b.host) {
        let host = links[0].host;
        if voices(heard, links) < LEAST_VOICES {
            continue;
        }
        let names = NAMED_HOSTS.get(&host).copied();
        let names = names.or_else(|| ground.neighbours.contains(&host).then_some(Names::First));
        match (names, ground.told.get(&host)) {
            (Some(names), _) | (None, Some(&Told::Shared(names))) => parts.push((sorted(links, names), names)),
            _ if ground.listed.contains(&host) => {}
            _ => crowds.push((Crowd::of(heard, host, links), None)),
        }
    }
    for (links, names) in &parts {
        let found = parts_of(heard, links, *names);
        crowds.extend(found.into_iter().map(|crowd| (crowd, Some(*names))));
    }
    crowds.sort_unstable_by_key(|(crowd, _)| (Reverse(crowd.voices), Reverse(crowd.last), crowd.hash));
    let is_late = desk.scene.now.minus(LATELY);
    let (mut sites, mut read) = (Vec::new(), 0);
    let mut known = HashSet::new();
    for (crowd, names) in crowds {
        known.insert(crowd.hash);
        if sites.len() >= MAX_BRIDGES && crowd.third < is_late {
            continue;
        }
        if !ground.told.contains_key(&crowd.hash) {
            if read >= texts {
                continue;
            }
            read += TEXTS_OF_A_SITE;
            let told = tell(desk, heard, &crowd, names)?;
            ground.told.insert(crowd.hash, told);
        }
        if let Some(Told::Site(name)) = ground.told.get(&crowd.hash) {
            sites.push(crowd.site(heard, name.clone()));
        }
    }
    let hosts: HashSet<u32> = outward.iter().map(|link| link.host).collect();
    ground.told.retain(|hash, told| known.contains(hash) || matches!(told, Told::Shared(_)) && hosts.contains(hash));
    Ok(sites)
}

/// Links to one site: entries ascend, so that those of a voice stand together.
struct Crowd<'a> {
    hash: u32,
    links: &'a [Outward],
    voices: usize,
    third: Timestamp,
    last: Timestamp,
}

impl<'a> Crowd<'a> {
    fn of(heard: &[Heard], hash: u32, links: &'a [Outward]) -> Self {
        let mut firsts = Vec::new();
        let mut last = Timestamp::MIN;
        for of_voice in by_voice(heard, links) {
            let times = of_voice.iter().map(|link| heard[link.entry as usize].key.listed_at);
            let (first, newest) = times.fold((Timestamp::MAX, Timestamp::MIN), |(a, b), at| (a.min(at), b.max(at)));
            firsts.push(first);
            last = last.max(newest);
        }
        firsts.sort_unstable();
        let third = firsts.get(LEAST_VOICES - 1).copied().unwrap_or(Timestamp::MAX);
        Self { hash, links, voices: firsts.len(), third, last }
    }

    /// Each voice with the last entry that links here, the newest first.
    fn by(&self, heard: &[Heard]) -> Vec<(VoiceIndex, EntryKey)> {
        let newest = by_voice(heard, self.links).filter_map(|links| {
            let newest = links.iter().map(|link| heard[link.entry as usize]).max_by_key(|heard| heard.key)?;
            Some((newest.voice as usize, newest.key))
        });
        let mut newest: Vec<(VoiceIndex, EntryKey)> = newest.collect();
        newest.sort_unstable_by_key(|(_, key)| Reverse(*key));
        newest
    }

    fn site(&self, heard: &[Heard], name: String) -> Site {
        let mut by = self.by(heard);
        by.truncate(MAX_NAMED);
        Site { hash: self.hash, name, by, voices: self.voices, third: self.third, last: self.last }
    }
}

fn by_voice<'a>(heard: &'a [Heard], links: &'a [Outward]) -> impl Iterator<Item = &'a [Outward]> {
    links.chunk_by(|a, b| heard[a.entry as usize].voice == heard[b.entry as usize].voice)
}

fn voices(heard: &[Heard], links: &[Outward]) -> usize {
    by_voice(heard, links).count()
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

fn parts_of<'a>(heard: &[Heard], links: &'a [Outward], names: Names) -> Vec<Crowd<'a>> {
    let crowds = links.chunk_by(move |a, b| part(a, names) == part(b, names)).filter_map(|links| {
        let hash = part(links.first()?, names);
        (hash != links[0].host && voices(heard, links) >= LEAST_VOICES).then(|| Crowd::of(heard, hash, links))
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
        None if marked > plain => Told::Shared(Names::Marked),
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
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Outline { attributes, children: Vec::new(), line: 1 }
    };
    bridges.iter().map(outline).collect()
}

/// What tells sites apart once they were told.
pub(super) fn mark(site: &Site) -> Hash64 {
    Hash64(Link::of(&site.name).page)
}
