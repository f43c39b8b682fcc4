//! What the elements of a feed mean, each at its place: which text is gathered, and where a gathered text goes.
//!
//! Knows nothing of tags and nesting; that is the machine's.

use super::{Field, Gathered, Machine, Place, Role};
use crate::feeds::parse::attributes::Attributes;
use crate::feeds::parse::date;
use crate::feeds::parse::draft::{Draft, Length, SUMMARY_RANK, language_tag, person, push_once};
use crate::feeds::parse::names::{Element, Ns};
use crate::feeds::parse::text::{Construct, drop_controls, markup, plain_title};
use crate::model::{Category, Enclosure, Format, Person, Timestamp};

/// The scheme of a `media:category` that names none (Media RSS 1.5.1, `media:category`).
const MEDIA_SCHEME: &str = "http://search.yahoo.com/mrss/category_schema";
/// The scheme of `itunes:category`.
const ITUNES_SCHEME: &str = "http://www.itunes.com/";

impl<'a> Machine<'a> {
    /// A known element starts; its frame is on the stack.
    pub(super) fn begin(&mut self, element: Element, ns: Ns, attributes: &Attributes<'a>) {
        let depth = self.stack.len();
        match element {
            Element::Rss => self.root(Format::Rss),
            Element::RdfRoot if depth == 1 => self.root(Format::Rdf),
            Element::AtomFeed if self.format.is_none() => {
                self.root(Format::Atom);
                self.note_language(2);
            }
            Element::Channel if self.place() != Place::Item => {
                if self.format.is_none() {
                    self.root(Format::Rss);
                }
                self.has_channel = true;
                self.set_place(Place::Feed);
                self.note_language(2);
                if let Some(home) = self.attribute(attributes, "href").and_then(|href| self.resolve(&href)) {
                    self.home.offer(9, home);
                }
                if let Some(time) = self.last_modified(attributes) {
                    self.updated.offer(9, time);
                }
            }
            Element::Item if self.format.is_some() || depth == 1 => {
                if self.format.is_none() {
                    self.root(Format::Atom);
                }
                self.set_place(Place::Item);
                self.set_role(Role::Item);
                self.item = Draft::default();
                if let Some(about) = self.attribute(attributes, "rdf:about") {
                    if let Some(link) = web_address(&about) {
                        self.item.link.offer(6, link);
                    }
                    self.item.guid.offer(2, about);
                }
                if let Some(link) = self.attribute(attributes, "href").and_then(|href| self.resolve(&href)) {
                    self.item.link.offer(3, link);
                }
                if let Some(time) = self.last_modified(attributes) {
                    self.item.updated.offer(9, time);
                }
                self.item.language = self.language_here();
            }
            _ => match self.place() {
                Place::Feed => self.begin_in_feed(element, ns, attributes),
                Place::Item => self.begin_in_item(element, ns, attributes),
                Place::Person => self.begin_in_person(element),
                Place::Source => self.begin_in_source(element, attributes),
                Place::Outside | Place::Elsewhere => {}
            },
        }
    }

    /// When something changed by its own tag, as CDF says it.
    fn last_modified(&self, attributes: &Attributes<'a>) -> Option<Timestamp> {
        self.attribute(attributes, "lastmod").and_then(|date| date::read(&date))
    }

    fn root(&mut self, format: Format) {
        if self.format.is_none() {
            self.format = Some(format);
            self.set_role(Role::Root);
        }
        self.set_place(Place::Feed);
        self.note_language(3);
    }

    fn set_place(&mut self, place: Place) {
        if let Some(frame) = self.stack.last_mut() {
            frame.place = place;
        }
    }

    fn set_role(&mut self, role: Role) {
        let at = self.stack.len().saturating_sub(1);
        if matches!(role, Role::Root | Role::Item | Role::Gathered) && self.structure.last() != Some(&at) {
            self.structure.push(at);
        }
        if let Some(frame) = self.stack.last_mut() {
            frame.role = role;
        }
    }

    fn language_here(&self) -> Option<String> {
        self.languages.last().map(|(_, language)| language.clone()).filter(|language| !language.is_empty())
    }

    fn note_language(&mut self, rank: u8) {
        if let Some(language) = self.language_here() {
            self.language.offer(rank, language);
        }
    }

    fn gather(&mut self, field: Field, construct: Construct) {
        self.set_role(Role::Gathered);
        let inline = construct.is_inline();
        self.gathered = Some(Gathered { field, construct, text: String::new(), inline });
    }

    /// How the text of an element is to be understood: Atom says it, RSS does not.
    fn construct(&self, attributes: &Attributes<'a>) -> Construct {
        let kind = self.attribute(attributes, "type");
        let mode = self.attribute(attributes, "mode");
        if kind.is_none() && mode.is_none() && self.format != Some(Format::Atom) {
            return Construct::Guess;
        }
        Construct::of_atom(kind.as_deref(), mode.as_deref())
    }

    fn begin_in_feed(&mut self, element: Element, ns: Ns, attributes: &Attributes<'a>) {
        let plain = Construct::Plain;
        match element {
            Element::Title => self.gather(Field::Title(0), self.construct(attributes)),
            Element::DcTitle => self.gather(Field::Title(1), Construct::Guess),
            Element::Link => self.link(attributes),
            Element::Id => self.gather(Field::Id, plain),
            Element::Author if self.format == Some(Format::Atom) => self.author(),
            Element::LastBuildDate => self.gather(Field::Updated(0), plain),
            Element::Updated => self.gather(Field::Updated(1), plain),
            Element::PubDate | Element::Published => self.gather(Field::Updated(3), plain),
            Element::DcModified => self.gather(Field::Updated(2), plain),
            Element::DcDate | Element::DcIssued | Element::Created => self.gather(Field::Updated(4), plain),
            Element::Language => self.gather(Field::Language, plain),
            Element::Ttl => self.gather(Field::Ttl, plain),
            Element::UpdatePeriod => self.gather(Field::UpdatePeriod, plain),
            Element::UpdateFrequency => self.gather(Field::UpdateFrequency, plain),
            Element::Hour => self.gather(Field::Hour, plain),
            Element::Day => self.gather(Field::Day, plain),
            Element::Image | Element::Contributor | Element::Source => self.set_place(Place::Elsewhere),
            _ => {
                let _ = ns;
            }
        }
    }

    fn begin_in_item(&mut self, element: Element, ns: Ns, attributes: &Attributes<'a>) {
        let plain = Construct::Plain;
        // What stands directly in the item counts before what is wrapped in something unknown.
        let wrapped = self.stack.iter().rev().nth(1).is_none_or(|parent| parent.role != Role::Item);
        let rank = |rank: u8| rank + if wrapped { 20 } else { 0 };
        match element {
            Element::Title => self.gather(Field::Title(rank(0)), self.construct(attributes)),
            Element::DcTitle => self.gather(Field::Title(rank(1)), Construct::Guess),
            Element::MediaTitle => self.gather(Field::Title(rank(2)), Construct::Guess),
            Element::ItunesTitle => self.gather(Field::Title(rank(3)), Construct::Guess),
            Element::Link => self.link(attributes),
            Element::Guid => {
                let permalink = self.attribute(attributes, "ispermalink");
                let permalink = permalink.is_none_or(|value| !value.eq_ignore_ascii_case("false"));
                self.gather(Field::Guid { permalink }, plain);
            }
            Element::Id => self.gather(Field::Id, plain),
            Element::DcIdentifier => self.gather(Field::Identifier, plain),
            Element::Author => self.author(),
            Element::Creator => self.gather(Field::Creator, plain),
            Element::ItunesAuthor => self.gather(Field::Show, plain),
            Element::PubDate | Element::Published => self.gather(Field::Published(rank(0)), plain),
            Element::DcIssued => self.gather(Field::Published(rank(1)), plain),
            Element::DcDate => self.gather(Field::Published(rank(2)), plain),
            Element::Created => self.gather(Field::Published(rank(3)), plain),
            Element::Updated => self.gather(Field::Updated(rank(0)), plain),
            Element::DcModified => self.gather(Field::Updated(rank(1)), plain),
            Element::LastBuildDate => self.gather(Field::Updated(rank(2)), plain),
            Element::Description => self.gather(Field::Description(rank(0)), self.construct(attributes)),
            Element::Summary => self.gather(Field::Summary(rank(SUMMARY_RANK)), self.construct(attributes)),
            Element::DcDescription => self.gather(Field::Summary(rank(2)), Construct::Guess),
            Element::MediaDescription => self.gather(Field::Summary(rank(3)), Construct::Guess),
            Element::ItunesSummary => self.gather(Field::Summary(rank(4)), Construct::Guess),
            Element::ItunesSubtitle => self.gather(Field::Summary(rank(5)), Construct::Guess),
            Element::ContentEncoded => self.gather(Field::Content(rank(0)), Construct::Html),
            Element::Body => {
                let construct = if ns == Ns::Xhtml { Construct::Inline } else { Construct::Guess };
                self.gather(Field::Content(rank(1)), construct);
            }
            Element::Content => self.content(attributes, rank(2)),
            Element::Category => self.category(attributes),
            Element::Subject => {
                self.category = Category::default();
                self.gather(Field::Category, plain);
            }
            Element::MediaCategory => {
                self.category(attributes);
                self.category.scheme.get_or_insert_with(|| MEDIA_SCHEME.to_owned());
            }
            // It may hold others, so that nothing is gathered.
            Element::ItunesCategory => {
                if let Some(term) = self.attribute(attributes, "text") {
                    let scheme = Some(ITUNES_SCHEME.to_owned());
                    self.item.add_category(Category { term, scheme, label: None });
                }
            }
            Element::Keywords => self.gather(Field::Keywords, plain),
            Element::Enclosure | Element::MediaContent => self.enclosure(element, attributes),
            Element::Comments => self.gather(Field::Comments, plain),
            Element::Language => self.gather(Field::Language, plain),
            Element::Source => {
                self.set_place(Place::Source);
                if let Some(url) = self.attribute(attributes, "url").and_then(|url| self.resolve(&url)) {
                    self.item.origin.id = Some(url);
                }
                self.gather(Field::Source, plain);
            }
            Element::Image | Element::Contributor => self.set_place(Place::Elsewhere),
            _ => {}
        }
    }

    fn content(&mut self, attributes: &Attributes<'a>, rank: u8) {
        if let Some(link) = self.attribute(attributes, "src").and_then(|src| self.resolve(&src)) {
            self.item.link.offer(7, link);
        }
        let construct = self.construct(attributes);
        // Of several contents, HTML says most.
        let rank = rank + u8::from(construct == Construct::Plain);
        self.gather(Field::Content(rank), construct);
    }

    fn author(&mut self) {
        self.set_place(Place::Person);
        self.person = Person::default();
        self.gather(Field::Author, Construct::Plain);
    }

    fn begin_in_person(&mut self, element: Element) {
        match element {
            Element::PersonName => self.gather(Field::PersonName, Construct::Plain),
            Element::PersonUri => self.gather(Field::PersonUri, Construct::Plain),
            Element::PersonEmail => self.gather(Field::PersonEmail, Construct::Plain),
            _ => {}
        }
    }

    fn begin_in_source(&mut self, element: Element, attributes: &Attributes<'a>) {
        match element {
            Element::Title => self.gather(Field::Title(0), self.construct(attributes)),
            Element::Id => self.gather(Field::Id, Construct::Plain),
            Element::Link => self.link(attributes),
            Element::Author => self.author(),
            _ => {}
        }
    }

    fn category(&mut self, attributes: &Attributes<'a>) {
        let term = self.attribute(attributes, "term");
        self.category = Category {
            term: term.unwrap_or_default(),
            scheme: self.attribute(attributes, "scheme").or_else(|| self.attribute(attributes, "domain")),
            label: self.attribute(attributes, "label"),
        };
        self.gather(Field::Category, Construct::Plain);
    }

    fn enclosure(&mut self, element: Element, attributes: &Attributes<'a>) {
        let mime = self.attribute(attributes, "type");
        let address = self.attribute(attributes, "url").or_else(|| self.attribute(attributes, "href"));
        let bytes = self.attribute(attributes, "length").or_else(|| self.attribute(attributes, "fileSize"));
        if let Some(url) = address.and_then(|url| self.resolve(&url)) {
            let bytes = bytes.and_then(|bytes| bytes.parse().ok()).filter(|bytes| *bytes > 0);
            self.item.add_enclosure(Enclosure { url, mime, bytes });
        } else if element == Element::Enclosure {
            self.gather(Field::Enclosure, Construct::Plain);
        }
    }

    /// `link` with attributes is Atom's, with text RSS's, whatever the document is.
    fn link(&mut self, attributes: &Attributes<'a>) {
        let Some(href) = self.attribute(attributes, "href") else {
            self.gather(Field::Link, Construct::Plain);
            return;
        };
        let Some(address) = self.resolve(&href) else { return };
        let relation = self.attribute(attributes, "rel").unwrap_or_else(|| "alternate".to_owned());
        let relation = relation.to_ascii_lowercase();
        let mime = self.attribute(attributes, "type");
        let html = mime.as_deref().is_none_or(|mime| mime.contains("html"));
        let relations = relation.split_ascii_whitespace().map(|one| one.rsplit('/').next().unwrap_or(one));
        for relation in relations {
            match (relation, self.place()) {
                ("alternate", Place::Item) => self.item.link.offer(if html { 1 } else { 2 }, address.clone()),
                ("enclosure", Place::Item) => {
                    let bytes = self.attribute(attributes, "length").and_then(|bytes| bytes.parse().ok());
                    self.item.add_enclosure(Enclosure { url: address.clone(), mime: mime.clone(), bytes });
                }
                ("replies", Place::Item) if html => {
                    self.item.comments.get_or_insert_with(|| address.clone());
                }
                ("alternate", Place::Source) => {
                    self.item.origin.link.get_or_insert_with(|| address.clone());
                }
                ("self", Place::Source) => {
                    self.item.origin.id.get_or_insert_with(|| address.clone());
                }
                ("alternate", Place::Feed) => self.home.offer(if html { 1 } else { 2 }, address.clone()),
                ("self", Place::Feed) => {
                    self.about.self_link.get_or_insert_with(|| address.clone());
                }
                ("hub", Place::Feed) => push_once(&mut self.about.hubs, address.clone()),
                _ => {}
            }
        }
    }

    /// A person belongs to whatever surrounds the `author` element.
    pub(super) fn take_person(&mut self, person: Person) {
        match self.place() {
            Place::Item => self.item.add_author(person),
            Place::Source => push_once(&mut self.item.origin_authors, person),
            Place::Feed => push_once(&mut self.authors, person),
            _ => {}
        }
    }

    /// A text was gathered; `place` is where its element stood (for those that are places themselves, that).
    pub(super) fn take(&mut self, gathered: Gathered, place: Place) {
        let Gathered { field, construct, mut text, .. } = gathered;
        drop_controls(&mut text);
        let trimmed = text.trim();
        match (field, place) {
            (Field::Title(rank), _) => {
                let decoded;
                let raw = if construct == Construct::Base64 {
                    decoded = markup(trimmed.to_owned(), construct);
                    decoded.as_str()
                } else {
                    trimmed
                };
                let title = plain_title(raw, construct);
                if title.is_empty() {
                    return;
                }
                match place {
                    Place::Feed => self.title.offer(rank, title),
                    Place::Item => {
                        self.item.add_title_language(self.own_language());
                        self.item.title.offer(rank, title);
                    }
                    Place::Source => self.item.origin.title = Some(title),
                    _ => {}
                }
            }
            (Field::Description(rank), _) => self.take_text(Length::Any, rank, text, construct),
            (Field::Summary(rank), _) => self.take_text(Length::Short, rank, text, construct),
            (Field::Content(rank), _) => self.take_text(Length::Long, rank, text, construct),
            (Field::Published(rank), _) => {
                if let Some(time) = date::read(trimmed) {
                    self.item.published.offer_last(rank, time);
                }
            }
            (Field::Updated(rank), Place::Item) => {
                if let Some(time) = date::read(trimmed) {
                    self.item.updated.offer_last(rank, time);
                }
            }
            (Field::Updated(rank), _) => {
                if let Some(time) = date::read(trimmed) {
                    self.updated.offer_last(rank, time);
                }
            }
            (Field::Category, _) => {
                let mut category = std::mem::take(&mut self.category);
                if category.term.is_empty() {
                    category.term = plain_title(trimmed, Construct::Guess);
                }
                self.item.add_category(category);
            }
            (Field::Keywords, _) => {
                for word in trimmed.split(',') {
                    let term = plain_title(word, Construct::Guess);
                    self.item.add_category(Category { term, ..Category::default() });
                }
            }
            (Field::Author, _) => {
                if let Some(person) = person(trimmed) {
                    self.take_person(person);
                }
            }
            (Field::PersonName, _) => self.person.name = plain_title(trimmed, Construct::Guess),
            (Field::Hour, _) => {
                if let Ok(hour @ 0..=24) = trimmed.parse::<u32>() {
                    self.pace.skip_hours |= 1 << (hour % 24);
                }
            }
            (Field::Day, _) => {
                let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
                let day = trimmed.get(..3).map(str::to_ascii_lowercase);
                if let Some(day) = days.iter().position(|known| day.as_deref() == Some(known)) {
                    self.pace.skip_days |= 1 << day;
                }
            }
            _ if trimmed.is_empty() => {}
            (Field::Link, Place::Feed) => {
                if let Some(link) = self.resolve(trimmed) {
                    self.home.offer(0, link);
                }
            }
            (Field::Link, Place::Item) => {
                if let Some(link) = self.resolve(trimmed) {
                    self.item.link.offer(0, link);
                }
            }
            (Field::Link, _) => self.item.origin.link = self.resolve(trimmed),
            (Field::Guid { permalink }, _) => {
                if let Some(link) = web_address(trimmed).filter(|_| permalink) {
                    self.item.link.offer(4, link);
                }
                self.item.guid.offer(0, trimmed.to_owned());
            }
            (Field::Id, Place::Item) => {
                if let Some(link) = web_address(trimmed) {
                    self.item.link.offer(5, link);
                }
                self.item.guid.offer(1, trimmed.to_owned());
            }
            (Field::Id, Place::Feed) => {
                self.about.id.get_or_insert_with(|| trimmed.to_owned());
            }
            (Field::Id, _) => self.item.origin.id = Some(trimmed.to_owned()),
            (Field::Identifier, _) => self.item.guid.offer(3, trimmed.to_owned()),
            (Field::Comments, _) => {
                if let Some(comments) = self.resolve(trimmed) {
                    self.item.comments = Some(comments);
                }
            }
            (Field::Creator, _) => {
                if let Some(person) = person(trimmed) {
                    self.item.add_author(person);
                }
            }
            (Field::Show, _) => {
                if self.item.show.is_none() {
                    self.item.show = person(trimmed);
                }
            }
            (Field::PersonUri, _) => self.person.uri = self.resolve(trimmed),
            (Field::PersonEmail, _) => {
                self.person.email = Some(trimmed.strip_prefix("mailto:").unwrap_or(trimmed).to_owned());
            }
            (Field::Source, _) => {
                self.item.origin.title = Some(plain_title(trimmed, Construct::Guess));
            }
            (Field::Language, Place::Item) => self.item.language = Some(language_tag(trimmed)),
            (Field::Language, _) => self.language.offer(0, language_tag(trimmed)),
            (Field::Enclosure, _) => {
                if let Some(url) = self.resolve(trimmed) {
                    self.item.add_enclosure(Enclosure { url, ..Enclosure::default() });
                }
            }
            (Field::Ttl, _) => self.pace.ttl_minutes = trimmed.parse().ok(),
            (Field::UpdateFrequency, _) => self.frequency = trimmed.parse().ok(),
            (Field::UpdatePeriod, _) => {
                self.period_seconds = match trimmed.to_ascii_lowercase().as_str() {
                    "hourly" => Some(3600),
                    "daily" => Some(86_400),
                    "weekly" => Some(7 * 86_400),
                    "monthly" => Some(30 * 86_400),
                    "yearly" => Some(365 * 86_400),
                    _ => None,
                };
            }
        }
    }

    /// The language that the element just ended names for itself.
    fn own_language(&self) -> Option<String> {
        let own = self.languages.last().filter(|(depth, language)| *depth == self.stack.len() && !language.is_empty());
        own.map(|(_, language)| language.clone())
    }

    fn take_text(&mut self, length: Length, rank: u8, text: String, construct: Construct) {
        let text = markup(text, construct);
        let language = self.own_language();
        let base = self.bases.last().map_or(self.url, |(_, base)| base);
        self.item.add_text(length, rank, text, base, language);
    }
}

/// An `http` or `https` address, as written.
fn web_address(text: &str) -> Option<String> {
    let scheme = text.split_once("://")?.0;
    let known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    (known && !text.contains(char::is_whitespace)).then(|| text.to_owned())
}
