//! From outline trees to places and subscriptions: what each outline is, and where it is found.
//!
//! Knows one list at a time; who is the same voice across outlines is [`super::voices`]'s question.

use std::borrow::Cow;

use crate::lists::opml::{MAX_DEPTH, Outline, Warning};
use crate::lists::slug::{hash_digits, slug, tell_apart};
use crate::model::{FeedUrl, UrlFault, redact, redact_text};

use super::{List, ListIndex, ListInput, Place, PlaceIndex, PlaceKind, RESERVED, Roster, Subscription, voices};

/// The longest path that is made of names, in bytes; below that, places go by a hash of their names.
const MAX_PATH_BYTES: usize = 1024;

impl Roster {
    /// Makes the roster. The order of `inputs` does not matter.
    pub fn build(mut inputs: Vec<ListInput>) -> Self {
        inputs.sort_by(|a, b| a.name.cmp(&b.name));
        let slugs: Vec<String> = inputs.iter().map(|input| list_slug(&input.name)).collect();
        let segments = tell_apart(&slugs, |index, _| inputs[index].name.clone());
        let mut building = Building::default();
        for (input, segment) in inputs.into_iter().zip(segments) {
            building.list(input, &segment);
        }
        voices::gather(building.roster, &building.units)
    }
}

fn list_slug(name: &str) -> String {
    let slug = slug(name);
    if RESERVED.contains(&slug.as_str()) { format!("list-{slug}") } else { slug }
}

/// What lists say of outlines that are feeds.
const FEED_TYPES: [&str; 3] = ["rss", "atom", "feed"];

/// What a folder without a name is called in front of people.
const UNNAMED: &str = "Unnamed";

/// What an outline is to the roster.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Folder,
    /// A person's folder, or a feed with feeds below it.
    Person,
    Feed,
    /// A remark, an include, an empty folder, a feed without a usable address.
    Nothing,
}

/// An outline that stands for a voice, before it is known which.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) place: PlaceIndex,
    pub(super) list: ListIndex,
    /// Whether it says of several feeds that they are one voice.
    pub(super) is_person: bool,
    /// The slug of its name; empty where it has none.
    pub(super) slug: String,
    /// The home page that its own outline names.
    pub(super) home: Option<String>,
}

#[derive(Default)]
struct Building {
    roster: Roster,
    units: Vec<Unit>,
}

/// Where in a list we are.
struct Spot<'a> {
    parent: PlaceIndex,
    /// The path of the list, and of the place that we are in.
    list_path: &'a str,
    path: &'a str,
    /// The names of the folders that we are in, each with a slash in front.
    names: &'a str,
}

impl Building {
    fn list(&mut self, input: ListInput, segment: &str) {
        let list = self.roster.lists.len();
        let path = format!("/{segment}");
        let title = input.opml.title.map(|title| redact_text(&title).into_owned());
        let title = title.unwrap_or_else(|| input.name.clone());
        let place = self.roster.places.len();
        self.roster.places.push(Place {
            path: path.clone(),
            title: title.clone(),
            kind: PlaceKind::List,
            list,
            parent: None,
            subscriptions: 0..0,
            voice: None,
            outline: Vec::new(),
        });
        self.roster.lists.push(List {
            name: input.name,
            path: path.clone(),
            title,
            role: input.role,
            fault: input.fault,
            warnings: input.opml.warnings,
            outlines: Vec::new(),
            subscriptions: Vec::new(),
        });
        let spot = Spot { parent: place, list_path: &path, path: &path, names: "" };
        self.level(list, &input.opml.outlines, &spot, &mut Vec::new());
        let list = &mut self.roster.lists[list];
        list.outlines = input.opml.outlines;
        list.warnings.sort_by_key(|warning| warning.line);
        self.roster.places[place].subscriptions = 0..list.subscriptions.len();
    }

    /// Takes the outlines on one level. Recursion is bounded by [`MAX_DEPTH`].
    fn level(&mut self, list: ListIndex, outlines: &[Outline], spot: &Spot<'_>, way: &mut Vec<u32>) {
        if way.len() > MAX_DEPTH {
            return; // the reader makes no such tree
        }
        let known: Vec<Known<'_>> = outlines.iter().map(Known::new).collect();
        self.roster.places.reserve(known.len());
        self.roster.lists[list].subscriptions.reserve(known.len());
        self.units.reserve(known.len());
        let siblings: Vec<&Known<'_>> = known.iter().filter(|known| known.shape != Shape::Nothing).collect();
        let slugs: Vec<String> = siblings.iter().map(|sibling| slug(&sibling.name)).collect();
        let segments = tell_apart(&slugs, |index, round| {
            let sibling = siblings[index];
            match (round, sibling.shape) {
                (0, Shape::Folder) => format!("{}/{}", spot.names, sibling.name),
                (0, _) => feeds_below(sibling.outline).next().map(|feed| feed.to_string()).unwrap_or_default(),
                _ => {
                    let feeds: Vec<String> = feeds_below(sibling.outline).map(|feed| feed.to_string()).collect();
                    format!("{}/{}\n{}", spot.names, sibling.name, feeds.join("\n"))
                }
            }
        });
        let mut segments = segments.into_iter().zip(&slugs);
        for (position, known) in known.into_iter().enumerate() {
            if known.shape == Shape::Nothing {
                for outline in below(known.outline) {
                    self.warn_of_address(list, outline, Says::of(outline).feed(outline));
                }
                continue;
            }
            let Some((segment, slug)) = segments.next() else { return };
            way.push(position as u32);
            self.place(list, known, &segment, slug, spot, way);
            way.pop();
        }
    }

    fn place(
        &mut self,
        list: ListIndex,
        known: Known<'_>,
        segment: &str,
        slug: &str,
        spot: &Spot<'_>,
        way: &mut Vec<u32>,
    ) {
        let Known { outline, says, shape, name, feed } = known;
        let mut path = format!("{}/{segment}", spot.path);
        if path.len() > MAX_PATH_BYTES {
            path = format!("{}/-{}", spot.list_path, hash_digits(&path, 12));
        }
        let start = self.roster.lists[list].subscriptions.len();
        let place = self.roster.places.len();
        self.roster.places.push(Place {
            path: path.clone(),
            title: if shape == Shape::Folder && name.is_empty() { UNNAMED.to_owned() } else { title(&name, outline) },
            kind: if shape == Shape::Folder { PlaceKind::Folder } else { PlaceKind::Voice },
            list,
            parent: Some(spot.parent),
            subscriptions: start..start,
            voice: None,
            outline: way.clone(),
        });
        if shape == Shape::Folder {
            let mut names = format!("{}/{name}", spot.names);
            if names.len() > MAX_PATH_BYTES {
                names = hash_digits(&names, 64);
            }
            let below = Spot { parent: place, path: &path, names: &names, ..*spot };
            self.level(list, &outline.children, &below, way);
        } else {
            self.subscribe(list, outline, &says, feed, place);
            for outline in below(outline).skip(1) {
                let says = Says::of(outline);
                self.subscribe(list, outline, &says, says.feed(outline), place);
            }
            let is_person = shape == Shape::Person;
            let home = if is_person { says.home() } else { None };
            self.units.push(Unit { place, list, is_person, slug: slug.to_owned(), home });
        }
        self.roster.places[place].subscriptions = start..self.roster.lists[list].subscriptions.len();
    }

    /// Subscribes to the feed of an outline, if it names one.
    fn subscribe(
        &mut self,
        list: ListIndex,
        outline: &Outline,
        says: &Says<'_>,
        feed: Option<Result<FeedUrl, UrlFault>>,
        place: PlaceIndex,
    ) {
        match feed {
            Some(Ok(feed)) => self.roster.lists[list].subscriptions.push(Subscription {
                title: title(&says.name(), outline),
                home: says.home(),
                voices: Vec::new(),
                place,
                line: outline.line,
                feed,
            }),
            fault => self.warn_of_address(list, outline, fault),
        }
    }

    fn warn_of_address(&mut self, list: ListIndex, outline: &Outline, feed: Option<Result<FeedUrl, UrlFault>>) {
        let is_meant_as_feed = outline
            .attribute("type")
            .is_some_and(|kind| FEED_TYPES.iter().any(|known| known.eq_ignore_ascii_case(kind)));
        if feed.is_none() && is_meant_as_feed && outline.children.is_empty() {
            let reason = "the outline says that it is a feed and has neither xmlUrl nor a usable htmlUrl".to_owned();
            self.roster.lists[list].warnings.push(Warning { line: outline.line, reason });
        }
        if let Some(Err(fault)) = feed {
            let shown: String = fault.to_string().chars().take(100).collect();
            let reason = format!("the feed's address is no http or https URL: {shown}");
            self.roster.lists[list].warnings.push(Warning { line: outline.line, reason });
        }
    }
}

/// The attributes of an outline that mean something here, each as [`Outline::attribute`] gives it, found in one pass.
#[derive(Default)]
struct Says<'a> {
    text: Option<&'a str>,
    title: Option<&'a str>,
    kind: Option<&'a str>,
    xml_url: Option<&'a str>,
    html_url: Option<&'a str>,
    url: Option<&'a str>,
}

impl<'a> Says<'a> {
    fn of(outline: &'a Outline) -> Self {
        let mut says = Self::default();
        for (name, value) in outline.attributes.iter() {
            let known = [
                ("text", &mut says.text),
                ("title", &mut says.title),
                ("type", &mut says.kind),
                ("xmlUrl", &mut says.xml_url),
                ("htmlUrl", &mut says.html_url),
                ("url", &mut says.url),
            ];
            let meant = known.into_iter().find(|(known, said)| said.is_none() && known.eq_ignore_ascii_case(name));
            if let Some((_, said)) = meant {
                *said = Some(value.trim()).filter(|value| !value.is_empty());
            }
        }
        says
    }

    /// The feed that the outline names, or why its address is none. An outline that names only its home page, and nothing
    /// below it, is a subscription to the feed of that page.
    fn feed(&self, outline: &Outline) -> Option<Result<FeedUrl, UrlFault>> {
        if let Some(address) = self.xml_url {
            return Some(FeedUrl::parse(address));
        }
        let is_feed = |kind: &str| FEED_TYPES.iter().any(|feed| feed.eq_ignore_ascii_case(kind));
        let is_other = self.url.is_some() || self.kind.is_some_and(|kind| !is_feed(kind));
        if is_other || !outline.children.is_empty() {
            return None;
        }
        FeedUrl::parse(self.html_url?).ok().map(Ok)
    }

    /// What the outline calls itself, without credentials: some exporters call a feed by its address. Paths are made of
    /// it, too. Empty where it says nothing.
    fn name(&self) -> Cow<'a, str> {
        redact_text(self.text.or(self.title).unwrap_or_default())
    }

    /// The home page that the outline names.
    fn home(&self) -> Option<String> {
        FeedUrl::parse(self.html_url?).ok().map(|home| redact(home.url()))
    }
}

/// An outline, and what is found out about it once.
struct Known<'a> {
    outline: &'a Outline,
    says: Says<'a>,
    shape: Shape,
    name: Cow<'a, str>,
    feed: Option<Result<FeedUrl, UrlFault>>,
}

impl<'a> Known<'a> {
    fn new(outline: &'a Outline) -> Self {
        let says = Says::of(outline);
        let feed = says.feed(outline);
        Self { outline, shape: shape(outline, &says, feed.as_ref()), name: says.name(), feed, says }
    }
}

/// What an outline is.
fn shape(outline: &Outline, says: &Says<'_>, feed: Option<&Result<FeedUrl, UrlFault>>) -> Shape {
    let usable = matches!(feed, Some(Ok(_)));
    if outline.children.is_empty() {
        return if usable { Shape::Feed } else { Shape::Nothing };
    }
    let is_person = says.kind.is_some_and(|kind| kind.eq_ignore_ascii_case("person"));
    let is_feed = feed.is_some();
    if !is_person && !is_feed {
        return Shape::Folder;
    }
    let mut feeds = feeds_below(outline);
    match (feeds.next(), feeds.next()) {
        (None, _) if is_feed => Shape::Nothing,
        (None, _) => Shape::Folder, // a person of whom no feed is known yet
        (Some(_), None) if !is_person && usable => Shape::Feed,
        _ => Shape::Person,
    }
}

/// An outline and all below it, in document order.
fn below(outline: &Outline) -> impl Iterator<Item = &Outline> {
    let mut waiting = vec![outline];
    std::iter::from_fn(move || {
        let next = waiting.pop()?;
        waiting.extend(next.children.iter().rev());
        Some(next)
    })
}

fn feeds_below(outline: &Outline) -> impl Iterator<Item = FeedUrl> {
    below(outline).filter_map(|outline| Says::of(outline).feed(outline)?.ok())
}

/// What an outline of a name is called in front of people.
fn title(name: &str, outline: &Outline) -> String {
    if !name.is_empty() {
        let mut title = String::with_capacity(name.len());
        for word in name.split_whitespace() {
            if !title.is_empty() {
                title.push(' ');
            }
            title.push_str(word);
        }
        return title;
    }
    match feeds_below(outline).next() {
        Some(feed) => {
            let address = feed.to_string();
            address.split_once("://").map_or(address.as_str(), |(_, rest)| rest).trim_end_matches('/').to_owned()
        }
        None => UNNAMED.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::opml::Opml;
    use crate::model::Role;

    #[test]
    fn titles_and_paths_say_no_secret() {
        let outline = |attributes: &[(&str, &str)], children| Outline {
            attributes: attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            children,
            line: 1,
        };
        let feed = outline(
            &[("text", "My feed http://ann:s3cret@host/feed3"), ("xmlUrl", "http://ann:s3cret@host/feed3")],
            Vec::new(),
        );
        let mistyped = outline(&[("type", "rss"), ("xmlUrl", "htp:/ann:s3cret@x y/")], Vec::new());
        let folder = outline(&[("title", "//ann:s3cret@host")], vec![feed, mistyped]);
        let opml =
            Opml { title: Some("Lists of http://ann:s3cret@host/".into()), outlines: vec![folder], ..Opml::default() };
        let roster = Roster::build(vec![ListInput { name: "mine".into(), role: Role::Mine, opml, fault: None }]);
        assert_eq!(roster.lists[0].title, "Lists of http://host/");
        assert_eq!(roster.lists[0].subscriptions[0].title, "My feed http://host/feed3");
        assert_eq!(roster.places[1].title, "//host");
        for place in &roster.places {
            assert!(!format!("{} {}", place.path, place.title).contains("s3cret"), "{place:?}");
        }
        for warning in &roster.lists[0].warnings {
            assert!(!warning.reason.contains("s3cret"), "{warning:?}");
        }
        assert!(roster.voices.iter().all(|voice| !format!("{} {}", voice.path, voice.title).contains("cret")));
    }
}
