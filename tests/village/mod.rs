//! A village on loopback: small made-up sites with feeds, each on an address of its own, whose people post now and
//! then and link to one another. The integration tests fetch from it, and the example `village` shows it to newcomers.
//!
//! Knows nothing of the daemon: it is the outside world. Its posts follow from a seed and from the times it is given.

pub(crate) mod origin;
mod people;
pub(crate) mod site;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use listend::model::Timestamp;

use origin::Origin;
use people::{Circle, PEOPLE, Person};
use site::{Post, Site};

/// The village: its people, their sites, and what they are going to say next.
pub(crate) struct Village {
    houses: Vec<House>,
    chance: Rng,
}

struct House {
    person: &'static Person,
    site: Site,
    said: usize,
}

impl Village {
    /// Everybody moves in, each site on a port of its own, with a past that ends shortly before `now`.
    pub(crate) fn settle(seed: u64, now: Timestamp) -> io::Result<Self> {
        let mut village = Self { houses: Vec::new(), chance: Rng::with_seed(seed) };
        for person in PEOPLE {
            let origin = Arc::new(Origin::start()?);
            let site = Site::open(&origin, "", person.name, person.about, person.format);
            village.houses.push(House { person, site, said: 0 });
        }
        // The past comes in order of time, so that people can link to what was already there.
        let mut past: Vec<(Timestamp, usize)> = Vec::new();
        for (index, house) in village.houses.iter().enumerate() {
            let mut at = now;
            for _ in 0..house.person.past {
                let jitter = Duration::from_secs(village.chance.u64(600..7200));
                at = at.minus(house.person.rhythm + jitter);
                past.push((at, index));
            }
        }
        past.sort_unstable();
        for (at, index) in past {
            village.say(index, at);
        }
        Ok(village)
    }

    /// Somebody posts: more often those who talk more. Returns who, and what they said.
    pub(crate) fn step(&mut self, now: Timestamp) -> (&'static str, Post) {
        let weights: Vec<u64> = self.houses.iter().map(|house| 1 + 2_592_000 / house.person.rhythm.as_secs()).collect();
        let mut draw = self.chance.u64(0..weights.iter().sum());
        let index = weights.iter().position(|weight| match draw.checked_sub(*weight) {
            Some(rest) => {
                draw = rest;
                false
            }
            None => true,
        });
        let index = index.expect("the draw is below the sum of all weights");
        (self.houses[index].person.name, self.say(index, now))
    }

    /// The site of one of [`PEOPLE`], by its short name.
    pub(crate) fn site(&self, slug: &str) -> &Site {
        let house = self.houses.iter().find(|house| house.person.slug == slug);
        &house.unwrap_or_else(|| panic!("nobody called {slug} lives here")).site
    }

    /// All sites.
    pub(crate) fn sites(&self) -> impl Iterator<Item = &Site> {
        self.houses.iter().map(|house| &house.site)
    }

    /// The addresses of all sites: what `fetch.allow_addresses` has to name.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.sites().map(|site| site.origin().address()).collect()
    }

    /// Writes the village's lists (`followers.opml`, `desired.opml`, `mine.opml`) into a directory.
    pub(crate) fn write_lists(&self, directory: &Path) -> io::Result<()> {
        for (name, title) in [("followers", "Followers"), ("desired", "Desired"), ("mine", "Mine")] {
            std::fs::write(directory.join(format!("{name}.opml")), self.list(name, title))?;
        }
        Ok(())
    }

    fn list(&self, list: &str, title: &str) -> String {
        let mut folders: BTreeMap<Circle, Vec<&House>> = BTreeMap::new();
        for house in &self.houses {
            for circle in house.person.circles.iter().filter(|circle| circle.list == list) {
                folders.entry(*circle).or_default().push(house);
            }
        }
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<opml version=\"2.0\">\n  \
             <head><title>{title}</title></head>\n  <body>\n"
        );
        for (circle, houses) in folders {
            if let Some(folder) = circle.folder {
                let kind = if circle.person { " type=\"person\"" } else { "" };
                let _ = writeln!(text, "    <outline text=\"{}\"{kind}>", site::escape(folder));
            }
            for house in houses {
                let (name, home, feed) = (site::escape(house.site.name()), house.site.home(), house.site.feed());
                let indent = if circle.folder.is_some() { "      " } else { "    " };
                let _ = writeln!(
                    text,
                    "{indent}<outline type=\"rss\" text=\"{name}\" htmlUrl=\"{home}\" xmlUrl=\"{feed}\"/>"
                );
            }
            if circle.folder.is_some() {
                text.push_str("    </outline>\n");
            }
        }
        text.push_str("  </body>\n</opml>\n");
        text
    }

    /// One person's next words. After the last one the person begins anew, with a number behind the title.
    fn say(&mut self, index: usize, at: Timestamp) -> Post {
        let house = &self.houses[index];
        let round = house.said / house.person.posts.len() + 1;
        let (title, text) = house.person.posts[house.said % house.person.posts.len()];
        let title = if round == 1 { title.to_owned() } else { format!("{title} ({round})") };
        let post = Post::new(&format!("{:04}", house.said + 1), &title, &self.linked(text), at);
        self.houses[index].said += 1;
        self.houses[index].site.publish(post.clone());
        post
    }

    /// Puts links where the text names a neighbour as `{slug}`: to the latest post where there is one, else to the site.
    fn linked(&self, text: &str) -> String {
        let mut html = String::from("<p>");
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (slug, after) = after.split_once('}').expect("the people's texts close their braces");
            let neighbour = self.site(slug);
            let latest = neighbour.posts().into_iter().max_by_key(|post| post.published);
            let target = latest.map_or_else(|| neighbour.home(), |post| neighbour.page(&post.id));
            let _ = write!(html, "{before}<a href=\"{target}\">{}</a>", site::escape(neighbour.name()));
            rest = after;
        }
        html.push_str(rest);
        html.push_str("</p>");
        html
    }
}
