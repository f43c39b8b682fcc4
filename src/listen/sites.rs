//! Whose page a link leads to.
//!
//! A site is a prefix of addresses in comparable form, up to a slash; the longest that a link lies under decides. Whose
//! it is says, in this order:
//!
//! 1. what is yours: `[mine] sites`, the home pages of outlines in lists of role `mine`, and the home links of the feeds
//!    in them;
//! 2. what the keeper wrote of the voices: the home pages of their outlines;
//! 3. what feeds say of their own homes. A page below a site of yours is never theirs; below one that the keeper names as
//!    another voice's it is only where the feed comes from the same host, as those of neighbours do. So nobody's feed
//!    cuts pieces out of a site.
//!
//! A prefix that two voices claim with the same right counts for neither, and what is shorter decides. Lists of role
//! `inbox` bring what others said elsewhere; their homes are nobody's sites.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Mine;
use crate::lists::roster::{Voice, VoiceIndex};
use crate::model::{FeedId, FeedUrl, Link, Role, comparable_link, prefix_hash};

use super::live::{Bound, Live};

/// Whose a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// Yours.
    Mine,
    /// A voice's.
    Voice(VoiceIndex),
}

/// All sites of yours and of the voices.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sites {
    owners: HashMap<String, Owner>,
    prefixes: HashMap<u32, Owner, BuildHasherDefault<Spread>>,
    /// Homes with a query, or deeper than the prefixes of a [`Link`]: each is a site of one page.
    pages: HashMap<u64, Owner, BuildHasherDefault<Spread>>,
}

impl Sites {
    /// The sites as roster, feeds and configuration have them now.
    pub fn of(live: &Live, bound: &Bound, mine: &Mine) -> Self {
        let named = Claims::of_keeper(live, bound, mine);
        let mut sites = Self::default();
        sites.add(&named);
        let claims = feeds_claims(live, bound, &named);
        let neighbours = Neighbours::of(bound);
        let (mut at_home, mut elsewhere) = (Claims::default(), Claims::default());
        for Claim { owner, feed, site } in &claims {
            let is_host = !site.contains(['/', '?']);
            if is_host && neighbours.are_many(site) {
                continue;
            }
            let keeper = sites.owner(site);
            if host(feed) != host(site) {
                if keeper.is_none() {
                    elsewhere.claim(site.clone(), *owner);
                }
            } else if keeper.is_none()
                || keeper == Some(*owner)
                || keeper != Some(Owner::Mine) && lies_below(feed, site)
            {
                at_home.claim(site.clone(), *owner);
            }
        }
        let taken: HashSet<&str> = named.0.keys().chain(at_home.0.keys()).map(|site| host(site)).collect();
        elsewhere.0.retain(|site, _| !taken.contains(host(site)));
        sites.add(&at_home);
        sites.add(&elsewhere);
        sites
    }

    /// The sites without what the voices' feeds say of themselves: enough to tell what is yours, since no feed's word
    /// changes that but those of your own, and so made anew much less often.
    pub fn of_keeper(live: &Live, bound: &Bound, mine: &Mine) -> Self {
        let mut sites = Self::default();
        sites.add(&Claims::of_keeper(live, bound, mine));
        sites
    }

    /// Whose the page at an address in comparable form is.
    pub fn owner(&self, comparable: &str) -> Option<Owner> {
        if !self.pages.is_empty()
            && let Some(owner) = self.owners.get(comparable)
        {
            return Some(*owner);
        }
        let path = comparable.split('?').next().unwrap_or_default();
        let slashes = path.match_indices('/').map(|(at, _)| at);
        let ends = slashes.chain([path.len()]).take(Link::MAX_PREFIXES);
        ends.filter_map(|end| self.owners.get(&path[..end])).last().copied()
    }

    /// The same by a link's hashes: never wrong where it answers `None`; somebody else's page is taken for a site once in
    /// millions of links, so whoever shows it looks into the text before.
    pub fn owner_of(&self, link: &Link) -> Option<Owner> {
        if !self.pages.is_empty()
            && let Some(owner) = self.pages.get(&link.page)
        {
            return Some(*owner);
        }
        link.prefixes().iter().rev().find_map(|prefix| self.prefixes.get(prefix)).copied()
    }

    /// What decides which pages are yours: your sites, and those of others below them, each with whether it is yours, in
    /// the order of their bytes.
    pub fn territory(&self) -> Vec<(&str, bool)> {
        let is_below_yours = |site: &str| {
            let mut ends = site.match_indices(['/', '?']).map(|(at, _)| at);
            ends.any(|at| self.owners.get(&site[..at]) == Some(&Owner::Mine))
        };
        let all = self.owners.iter().map(|(site, owner)| (site.as_str(), *owner == Owner::Mine));
        let mut territory: Vec<(&str, bool)> = all.filter(|(site, mine)| *mine || is_below_yours(site)).collect();
        territory.sort_unstable();
        territory
    }

    fn add(&mut self, claims: &Claims) {
        for (site, owner) in claims.0.iter().filter_map(|(site, owner)| Some((site, (*owner)?))) {
            match prefix_hash(site) {
                Some(prefix) => self.prefixes.insert(prefix, owner),
                None => self.pages.insert(Link::of(site).page, owner),
            };
            self.owners.insert(site.clone(), owner);
        }
    }
}

/// What a voice's feed says of its home.
struct Claim {
    owner: Owner,
    /// The feed's address, in comparable form.
    feed: String,
    site: String,
}

/// What the feeds of voices say of their homes, beyond what is named already.
fn feeds_claims(live: &Live, bound: &Bound, named: &Claims) -> Vec<Claim> {
    let voices = bound.roster.voices.iter().enumerate();
    let heard = voices.filter(|(_, voice)| !is_mine(bound, voice) && is_heard(bound, voice));
    let claims = heard.flat_map(|(index, voice)| {
        own_homes(live, bound, voice).filter_map(move |(url, home)| {
            let site = site_of(&home).filter(|site| !named.0.contains_key(site))?;
            Some(Claim { owner: Owner::Voice(index), feed: comparable_link(url.as_str())?, site })
        })
    });
    claims.collect()
}

/// How many voices have a feed on a host, or a home that the keeper wrote.
struct Neighbours(HashMap<String, Option<VoiceIndex>>);

impl Neighbours {
    fn of(bound: &Bound) -> Self {
        let mut hosts = Self(HashMap::new());
        for (index, voice) in bound.roster.voices.iter().enumerate() {
            let addresses = voice.feeds.iter().map(FeedUrl::as_str).chain(voice.homes.iter().map(String::as_str));
            for address in addresses.filter_map(comparable_link) {
                hosts.note(host(&address), index);
            }
        }
        hosts
    }

    fn note(&mut self, host: &str, voice: VoiceIndex) {
        match self.0.get_mut(host) {
            None => drop(self.0.insert(host.to_owned(), Some(voice))),
            Some(known) if *known != Some(voice) => *known = None,
            Some(_) => {}
        }
    }

    /// Whether more than one voice is at home on a host.
    fn are_many(&self, host: &str) -> bool {
        self.0.get(host) == Some(&None)
    }
}

/// Whether an address lies below a site, or is it; both in comparable form.
fn lies_below(address: &str, site: &str) -> bool {
    address.strip_prefix(site).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}

/// Who claims which site with one right; `None` where several voices do.
#[derive(Default)]
struct Claims(HashMap<String, Option<Owner>>);

impl Claims {
    /// What is yours, and what the keeper wrote of the voices.
    fn of_keeper(live: &Live, bound: &Bound, mine: &Mine) -> Self {
        let mut kept = Self::default();
        for site in mine.sites.iter().filter_map(|site| site_of(site.as_str())) {
            kept.claim(site, Owner::Mine);
        }
        for (index, voice) in bound.roster.voices.iter().enumerate() {
            let owner = match (is_mine(bound, voice), is_heard(bound, voice)) {
                (true, _) => Owner::Mine,
                (false, true) => Owner::Voice(index),
                (false, false) => continue,
            };
            voice.homes.iter().filter_map(|home| site_of(home)).for_each(|site| kept.claim(site, owner));
            if owner == Owner::Mine {
                let own = own_homes(live, bound, voice).filter_map(|(_, home)| site_of(&home));
                own.for_each(|site| kept.claim(site, owner));
            }
        }
        kept
    }

    fn claim(&mut self, site: String, owner: Owner) {
        let claimed = self.0.entry(site).or_insert(Some(owner));
        if owner == Owner::Mine {
            *claimed = Some(owner);
        } else if *claimed != Some(Owner::Mine) && *claimed != Some(owner) {
            *claimed = None;
        }
    }
}

/// What servers show where an address ends in a slash: a home that names it means all that lies beside it.
const INDEX_PAGES: [&str; 4] = ["/index.html", "/index.htm", "/index.php", "/index.xhtml"];

/// The site of a home page.
fn site_of(home: &str) -> Option<String> {
    let mut site = comparable_link(home)?;
    if let Some(index) = INDEX_PAGES.iter().find(|index| site.ends_with(*index)) {
        site.truncate(site.len() - index.len());
    }
    Some(site)
}

fn is_mine(bound: &Bound, voice: &Voice) -> bool {
    bound.roster.has_role(voice, Role::Mine)
}

fn is_heard(bound: &Bound, voice: &Voice) -> bool {
    voice.lists.iter().filter_map(|list| bound.roster.lists.get(*list)).any(|list| list.role.is_listened_to())
}

/// What the feeds of a voice say of their homes.
fn own_homes<'a>(live: &'a Live, bound: &'a Bound, voice: &'a Voice) -> impl Iterator<Item = (&'a FeedUrl, String)> {
    voice.feeds.iter().filter_map(|url| Some((url, home_of(live, *bound.ids.get(url)?)?)))
}

/// What a feed says of its home; as long as nobody knows whether it is the one that its outline named before, what that
/// one said stands in for it.
fn home_of(live: &Live, feed: FeedId) -> Option<String> {
    let feed = live.feed(feed)?;
    let before = || live.feed(feed.predecessor?).and_then(|before| before.about.home.clone());
    feed.about.home.clone().or_else(before)
}

fn host(comparable: &str) -> &str {
    comparable.split(['/', '?']).next().unwrap_or_default()
}

/// The sites of [`Sites::of_keeper`], kept until something that they rest on changes.
#[derive(Debug, Default)]
pub struct KeeperSites(Mutex<Option<Kept>>);

#[derive(Debug)]
struct Kept {
    revision: u64,
    mine: Mine,
    /// The feeds of yours, with what they say of their homes; and when that was looked at last.
    own: Vec<(FeedId, Option<String>)>,
    homes: u64,
    sites: Arc<Sites>,
}

impl KeeperSites {
    /// The sites as they are now.
    pub fn now(&self, live: &Live, bound: &Bound, mine: &Mine) -> Arc<Sites> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Counted before it is read: what changes meanwhile is looked at again.
        let homes = live.homes();
        if let Some(kept) = kept.as_mut()
            && kept.revision == bound.revision
            && kept.mine == *mine
            && (kept.homes == homes || kept.own.iter().all(|(feed, home)| home_of(live, *feed) == *home))
        {
            kept.homes = homes;
            return Arc::clone(&kept.sites);
        }
        let own = bound.roster.voices.iter().filter(|voice| is_mine(bound, voice)).flat_map(|voice| &voice.feeds);
        let own = own.filter_map(|url| bound.ids.get(url)).map(|feed| (*feed, home_of(live, *feed))).collect();
        let sites = Arc::new(Sites::of_keeper(live, bound, mine));
        *kept = Some(Kept { revision: bound.revision, mine: mine.clone(), own, homes, sites: Arc::clone(&sites) });
        sites
    }
}

/// Spreads numbers that are hashes already over the bits that a map looks at.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::opml;
    use crate::lists::roster::{ListInput, Roster};
    use crate::model::{Feed, Timestamp};

    /// Lists by name, each with lines as `Ann|feed address|home page`; what feeds say of their homes; `[mine] sites`.
    struct Scene {
        live: Live,
        mine: Mine,
    }

    impl Scene {
        fn new(lists: &[(&str, &[&str])], homes: &[(&str, &str)], sites: &[&str]) -> Self {
            let inputs = lists.iter().map(|(name, lines)| {
                let outlines: Vec<String> = lines.iter().map(|line| {
                    let mut parts = line.split('|');
                    let mut next = || parts.next().unwrap_or_default();
                    let (title, feed, home) = (next(), next(), next());
                    format!("<outline text=\"{title}\" type=\"person\"><outline xmlUrl=\"{feed}\" htmlUrl=\"{home}\"/></outline>")
                }).collect();
                let outlines = outlines.concat();
                let text = format!("<opml version=\"2.0\"><body>{outlines}</body></opml>");
                let opml = opml::parse(text.as_bytes()).expect("it is a list");
                ListInput { name: (*name).to_owned(), role: Role::of_name(name), opml, fault: None }
            });
            let roster = Roster::build(inputs.collect());
            let ids: HashMap<FeedUrl, FeedId> =
                roster.feeds().enumerate().map(|(number, url)| (url.clone(), FeedId(number as u32))).collect();
            let live = Live::default();
            live.update(ids.iter().map(|(url, id)| {
                let mut feed = Feed::new(*id, url.clone(), Timestamp::default());
                let home = homes.iter().find(|(of, _)| *of == url.as_str());
                feed.about.home = home.map(|(_, home)| (*home).to_owned());
                (feed, true)
            }));
            live.set_roster(Arc::new(roster), ids, HashMap::new());
            let sites = sites.iter().map(|site| site.parse().expect("it is an address")).collect();
            Self { live, mine: Mine { sites, names: Vec::new() } }
        }

        /// Whose each page is, by both ways of asking.
        fn check(&self, expected: &[(&str, &str)]) {
            let bound = self.live.bound();
            let sites = Sites::of(&self.live, &bound, &self.mine);
            for (page, owner) in expected {
                let comparable = comparable_link(page).expect("it is an address");
                let found = sites.owner(&comparable);
                assert_eq!(found, sites.owner_of(&Link::of(&comparable)), "{page}");
                let name = match found {
                    None => "nobody",
                    Some(Owner::Mine) => "me",
                    Some(Owner::Voice(voice)) => &bound.roster.voices[voice].title,
                };
                assert_eq!(name, *owner, "{page}");
            }
        }
    }

    #[test]
    fn the_longest_site_of_whole_segments_decides() {
        let lists: &[(&str, &[&str])] = &[(
            "desired",
            &[
                "Ann|http://a.example/f|https://www.example.org/ann/",
                "Hal|http://h.example/f|http://example.org/index.html",
                "Deb|http://d.example/f|http://example.org/a/b/c/d/e",
                "Kim|http://k.example/f|http://example.net/?user=kim",
            ],
        )];
        Scene::new(lists, &[], &[]).check(&[
            ("http://example.org/ann", "Ann"),
            ("https://example.org/ann/2026/post?x=/1", "Ann"),
            ("https://example.org/ann?page=2", "Ann"),
            ("https://example.org/anna/x", "Hal"),
            ("https://www.example.org", "Hal"),
            ("https://blog.example.org/", "nobody"),
            ("https://example.org.example/", "nobody"),
            ("https://example.org/a/b/c/d/e", "Deb"),
            ("https://example.org/a/b/c/d/e/f", "Hal"),
            ("https://example.net/?user=kim", "Kim"),
            ("https://example.net/?user=kim2", "nobody"),
            ("https://example.net/", "nobody"),
        ]);
    }

    #[test]
    fn what_is_yours_comes_first_and_the_keeper_before_the_feeds() {
        let lists: &[(&str, &[&str])] = &[
            ("mine", &["Me|http://me.example/f|http://me.example", "Me too|http://host.example/me/f|"]),
            (
                "desired",
                &[
                    "Ann|http://a.example/f|http://a.example/",
                    "Bo|http://b.example/f|http://me.example/",
                    "Cy|http://c.example/f|",
                    "Me|http://me.example/f|http://other.example/",
                    "Eve|http://e.example/f|",
                    "Di|http://host.example/di/f|",
                    "Hal|http://h.example/f|http://host.example/hal",
                    "Gil|http://host.example/hal/gil/f|",
                    "Ivo|http://host.example/ivo/f|",
                    "Zoe|http://z.example/f|",
                    "Fay|http://f.example/f|",
                ],
            ),
            ("inbox", &["Comments|http://x.example/comments|http://x.example/"]),
        ];
        let homes = [
            ("http://host.example/me/f", "http://host.example/me"),
            ("http://c.example/f", "http://a.example/"),
            ("http://e.example/f", "http://a.example/posts"),
            ("http://host.example/di/f", "http://host.example/me/di"),
            ("http://host.example/hal/gil/f", "http://host.example/hal/gil"),
            ("http://host.example/ivo/f", "http://host.example/hal/series"),
            ("http://z.example/f", "http://zoe.example/"),
            ("http://f.example/f", "http://fay.example/blog"),
            ("http://x.example/comments", "http://y.example/"),
        ];
        Scene::new(lists, &homes, &["https://mine.example/~me/", "http://fay.example/blog/me"]).check(&[
            ("http://mine.example/~me/x", "me"),
            ("http://mine.example/", "nobody"),
            ("http://me.example/x", "me"),
            ("http://other.example/x", "me"),
            ("http://host.example/me/x", "me"),
            ("http://host.example/me/di/x", "me"),
            ("http://host.example/hal/x", "Hal"),
            // It lives there; a neighbour that says so does not.
            ("http://host.example/hal/gil/x", "Gil"),
            ("http://host.example/hal/series/x", "Hal"),
            ("http://zoe.example/x", "Zoe"),
            ("http://a.example/x", "Ann"),
            ("http://a.example/posts/x", "Ann"),
            ("http://fay.example/blog/x", "nobody"),
            ("http://fay.example/blog/me/x", "me"),
            ("http://x.example/", "nobody"),
            ("http://y.example/", "nobody"),
        ]);
    }

    #[test]
    fn nobody_takes_a_home_that_another_feed_lives_at() {
        let lists: &[(&str, &[&str])] = &[(
            "desired",
            &[
                "Ann|http://ann.example/f|",
                "Eve|http://e.example/f|",
                "Bo|http://forge.example/bo/f|",
                "Mal|http://forge.example/mal/f|",
            ],
        )];
        for claimed in
            ["http://ann.example/", "http://ann.example/blog", "http://forge.example/", "http://forge.example/bo"]
        {
            let homes = [
                ("http://ann.example/f", "http://ann.example/"),
                ("http://forge.example/bo/f", "http://forge.example/bo"),
                ("http://forge.example/mal/f", "http://forge.example/"),
                ("http://e.example/f", claimed),
            ];
            Scene::new(lists, &homes, &[]).check(&[
                ("http://ann.example/x", "Ann"),
                ("http://ann.example/blog/x", "Ann"),
                ("http://forge.example/bo/x", "Bo"),
                ("http://forge.example/zed/x", "nobody"),
            ]);
        }
    }

    #[test]
    fn what_two_claim_with_the_same_right_is_neithers() {
        let lists: &[(&str, &[&str])] = &[
            (
                "desired",
                &[
                    "Ann|http://a.example/f|http://group.example/blog",
                    "Bo|http://b.example/f|http://group.example/blog/",
                    "Cy|http://c.example/f|http://group.example/blog/cy",
                    "Di|http://d.example/f|",
                    "Eve|http://e.example/f|",
                ],
            ),
            ("followers", &["Bo|http://b.example/f|http://group.example/"]),
        ];
        let homes = [
            ("http://d.example/f", "http://shared.example/"),
            ("http://e.example/f", "http://shared.example"),
            ("http://a.example/f", "http://group.example/blog/"),
        ];
        Scene::new(lists, &homes, &[]).check(&[
            ("http://group.example/blog/cy/1", "Cy"),
            ("http://group.example/blog/1", "Bo"),
            ("http://group.example/1", "Bo"),
            ("http://shared.example/1", "nobody"),
        ]);
    }

    #[test]
    fn the_keepers_sites_are_made_anew_only_for_what_is_yours() {
        let lists: &[(&str, &[&str])] = &[
            ("mine", &["Me|http://me.example/f|"]),
            (
                "desired",
                &[
                    "Ann|http://a.example/f|",
                    "Bo|http://b.example/f|http://here.example/me/bo",
                    "Cy|http://c.example/f|http://c.example",
                ],
            ),
        ];
        let scene = Scene::new(lists, &[], &["http://here.example/me"]);
        let (kept, bound) = (KeeperSites::default(), scene.live.bound());
        let now = || kept.now(&scene.live, &bound, &scene.mine);
        let says = |feed: &str, home: &str| {
            let id = bound.ids[&FeedUrl::parse(feed).expect("it is an address")];
            let mut feed = Feed::clone(&scene.live.feed(id).expect("it is there"));
            feed.about.home = Some(home.to_owned());
            scene.live.update([(feed, true)]);
        };
        let first = now();
        assert_eq!(first.territory(), [("here.example/me", true), ("here.example/me/bo", false)]);
        says("http://a.example/f", "http://here.example/me/ann");
        assert!(Arc::ptr_eq(&first, &now()));
        says("http://me.example/f", "http://me.example/");
        let second = now();
        assert!(!Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&second, &now()));
        assert_eq!(
            second.territory(),
            [("here.example/me", true), ("here.example/me/bo", false), ("me.example", true)]
        );
    }
}
