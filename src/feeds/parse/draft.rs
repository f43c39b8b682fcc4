//! An item while it is being read: where a document says one thing in several ways, the best of them wins.
//!
//! Knows what the elements of an item are worth, not how a document is taken apart.

use url::Url;

use super::text::{self, Construct};
use crate::model::{Category, Enclosure, Item, Markup, Origin, Person, Timestamp};

/// Most tags, authors and files of one item.
const MAX_PER_ITEM: usize = 64;
/// Most authors of the feed that an item without any of its own is given: each costs every such item.
const MAX_INHERITED_AUTHORS: usize = 4;
/// Longest title, tag and guid kept, in bytes; the rest is cut off.
const MAX_FIELD_BYTES: usize = 4096;
/// Longest name and address of a person kept, in bytes.
const MAX_PERSON_BYTES: usize = 256;
/// Longest language tag kept, in bytes; BCP 47 asks for room for 35.
pub(super) const MAX_LANGUAGE_BYTES: usize = 35;

/// The rank of a summary that stands directly in an item.
pub(super) const SUMMARY_RANK: u8 = 1;
/// The rank of a title's language, behind those of all texts.
const TITLE_LANGUAGE_RANK: u8 = 200;

/// How long a text of an item is meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// The whole.
    Long,
    /// RSS's description, which may be either.
    Any,
    /// A summary.
    Short,
}

/// The best value so far; the lower the rank the better, the first of equals stays.
#[derive(Clone, Debug)]
pub(super) struct Best<T>(Option<(u8, T)>);

impl<T> Default for Best<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Best<T> {
    pub(super) fn offer(&mut self, rank: u8, value: T) {
        if self.takes(rank) {
            self.0 = Some((rank, value));
        }
    }

    /// As [`Best::offer`], but of equals the last one stays: dates are written again when they change.
    pub(super) fn offer_last(&mut self, rank: u8, value: T) {
        if self.0.as_ref().is_none_or(|(own, _)| rank <= *own) {
            self.0 = Some((rank, value));
        }
    }

    /// Whether a value of that rank would be taken.
    fn takes(&self, rank: u8) -> bool {
        self.0.as_ref().is_none_or(|(own, _)| rank < *own)
    }

    pub(super) fn into_value(self) -> Option<T> {
        self.0.map(|(_, value)| value)
    }
}

/// An item so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    pub(super) guid: Best<String>,
    pub(super) link: Best<String>,
    pub(super) title: Best<String>,
    pub(super) published: Best<Timestamp>,
    pub(super) updated: Best<Timestamp>,
    pub(super) description: Best<Markup>,
    pub(super) summary: Best<Markup>,
    pub(super) content: Best<Markup>,
    /// Against which address the texts' own are resolved; that of the content counts before that of the summary.
    pub(super) base: Best<Url>,
    pub(super) authors: Vec<Person>,
    /// What `itunes:author` says: often the show, so it only counts where nobody else is named.
    pub(super) show: Option<Person>,
    pub(super) categories: Vec<Category>,
    pub(super) enclosures: Vec<Enclosure>,
    pub(super) comments: Option<String>,
    pub(super) language: Option<String>,
    /// What the texts' own elements say: that of the content counts before those of the summary and the title.
    pub(super) text_language: Best<Option<String>>,
    pub(super) origin: Origin,
    /// Who wrote the feed that the item was taken from.
    pub(super) origin_authors: Vec<Person>,
}

impl Draft {
    pub(super) fn add_author(&mut self, person: Person) {
        push_once(&mut self.authors, person);
    }

    pub(super) fn add_category(&mut self, category: Category) {
        if !category.term.is_empty() {
            push_once(&mut self.categories, category);
        }
    }

    pub(super) fn add_enclosure(&mut self, enclosure: Enclosure) {
        if self.enclosures.iter().all(|own| own.url != enclosure.url) {
            push_once(&mut self.enclosures, enclosure);
        }
    }

    pub(super) fn add_text(&mut self, length: Length, rank: u8, text: Markup, base: &Url, language: Option<String>) {
        if text.as_str().trim_start().is_empty() {
            return;
        }
        let both = if length == Length::Long { rank } else { rank.saturating_add(100) };
        if self.base.takes(both) {
            self.base.offer(both, base.clone());
        }
        self.text_language.offer(both, language);
        match length {
            Length::Long => self.content.offer(rank, text),
            Length::Any => self.description.offer(rank, text),
            Length::Short => self.summary.offer(rank, text),
        }
    }

    /// Takes in the language that a title's own element names: where no text names another, it is the item's.
    pub(super) fn add_title_language(&mut self, language: Option<String>) {
        if language.is_some() {
            self.text_language.offer(TITLE_LANGUAGE_RANK, language);
        }
    }

    /// The item, in a document with that language and those authors for items that name none.
    pub(super) fn finish(mut self, language: Option<&str>, authors: &[Person]) -> Item {
        if self.authors.is_empty() {
            if let Some(show) = self.show {
                self.authors.push(show);
            } else if !self.origin_authors.is_empty() {
                self.authors = self.origin_authors;
            } else {
                self.authors.extend(authors.iter().take(MAX_INHERITED_AUTHORS).cloned());
            }
        }
        let (summary, content) = match (self.description.0, self.summary.0, self.content.into_value()) {
            // A description beside a summary is the text that the summary is of.
            (Some((0, whole)), Some((SUMMARY_RANK, short)), None) => (Some(short), Some(whole)),
            (Some((own, text)), Some((other, _)), content) if own <= other => (Some(text), content),
            (description, summary, content) => (summary.or(description).map(|(_, text)| text), content),
        };
        // The same text twice is one text.
        let summary = summary.filter(|summary| content.as_ref().map(Markup::as_str) != Some(summary.as_str()));
        let own_language = self.text_language.into_value().flatten().or(self.language);
        Item {
            guid: self.guid.into_value().map(|guid| cut(guid, MAX_FIELD_BYTES)),
            link: self.link.into_value().filter(|link| link.len() <= super::MAX_ADDRESS_BYTES),
            title: self.title.into_value().map(|title| cut(title, MAX_FIELD_BYTES)),
            authors: self.authors,
            published: self.published.into_value(),
            updated: self.updated.into_value(),
            summary,
            content,
            base: self.base.into_value(),
            categories: self.categories,
            enclosures: self.enclosures,
            comments: self.comments,
            language: own_language.filter(|own| language != Some(own)).map(|own| cut(own, MAX_LANGUAGE_BYTES)),
            origin: (self.origin != Origin::default()).then(|| Origin {
                id: self.origin.id.map(|id| cut(id, MAX_FIELD_BYTES)),
                title: self.origin.title.map(|title| cut(title, MAX_FIELD_BYTES)),
                link: self.origin.link,
            }),
        }
    }
}

/// About how much memory an item takes, in bytes.
pub(super) fn kept_bytes(item: &Item) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::capacity);
    let markup = |markup: &Option<Markup>| markup.as_ref().map_or(0, |markup| markup.as_str().len());
    let people =
        item.authors.iter().map(|own| size_of::<Person>() + own.name.len() + text(&own.uri) + text(&own.email));
    let tags = item.categories.iter();
    let tags = tags.map(|own| size_of::<Category>() + own.term.len() + text(&own.scheme) + text(&own.label));
    let files = item.enclosures.iter().map(|own| size_of::<Enclosure>() + own.url.len() + text(&own.mime));
    let origin = item.origin.as_ref().map_or(0, |own| text(&own.id) + text(&own.title) + text(&own.link));
    let fields = [&item.guid, &item.link, &item.title, &item.comments, &item.language].into_iter().map(text);
    let base = item.base.as_ref().map_or(0, |base| base.as_str().len());
    let texts = markup(&item.summary) + markup(&item.content);
    // The allocator rounds each of the small ones up.
    let pieces = 3 * item.categories.len() + 2 * item.enclosures.len() + 3 * item.authors.len();
    let lists: usize = people.chain(tags).chain(files).sum();
    size_of::<Item>() + lists + 16 * pieces + origin + fields.sum::<usize>() + base + texts
}

/// A language tag, cut to about what is kept; underscores stand where BCP 47 has hyphens.
pub(super) fn language_tag(written: &str) -> String {
    let tag = written.trim();
    // Longer than any tag is, and short enough to stand in every item.
    tag[..tag.floor_char_boundary(2 * MAX_LANGUAGE_BYTES)].replace('_', "-")
}

/// A text, cut to so many bytes at the end of a character.
pub(super) fn cut(mut text: String, max_bytes: usize) -> String {
    if text.len() > max_bytes {
        text.truncate(text.floor_char_boundary(max_bytes));
        text.shrink_to_fit();
    }
    text
}

/// What stands in short lists, and is itself kept short: an item may inherit it, ten thousand times.
pub(super) trait Short: PartialEq {
    /// The value, cut to what is kept.
    fn short(self) -> Self;
}

impl Short for Person {
    fn short(self) -> Self {
        Self {
            name: cut(self.name, MAX_PERSON_BYTES),
            uri: self.uri.filter(|uri| uri.len() <= 2 * MAX_PERSON_BYTES),
            email: self.email.filter(|email| email.len() <= MAX_PERSON_BYTES),
        }
    }
}

impl Short for Category {
    fn short(self) -> Self {
        let field = |text| cut(text, MAX_FIELD_BYTES);
        Self { term: field(self.term), scheme: self.scheme.map(field), label: self.label.map(field) }
    }
}

impl Short for Enclosure {
    fn short(self) -> Self {
        Self { mime: self.mime.map(|mime| cut(mime, MAX_PERSON_BYTES)), ..self }
    }
}

impl Short for String {
    fn short(self) -> Self {
        cut(self, MAX_FIELD_BYTES)
    }
}

/// Adds a value to a short list unless it is there.
pub(super) fn push_once<T: Short>(list: &mut Vec<T>, value: T) {
    let value = value.short();
    if list.len() < MAX_PER_ITEM && !list.contains(&value) {
        list.push(value);
    }
}

/// A person as RSS writes one: `ann@example.org (Ann)`, `Ann <ann@example.org>`, or a name or an address alone.
pub(super) fn person(written: &str) -> Option<Person> {
    let written = text::plain_title(written, Construct::Guess);
    if written.is_empty() {
        return None;
    }
    let parts = [("(", ")"), ("<", ">")].into_iter().find_map(|(open, close)| {
        let (before, rest) = written.split_once(open)?;
        let (inside, after) = rest.split_once(close)?;
        Some((before.trim(), inside.trim(), after.trim()))
    });
    let (name, email) = match parts {
        Some((address, name, "")) if is_email(address) => (name, Some(address)),
        Some((name, address, "")) if is_email(address) => (name, Some(address)),
        _ if is_email(&written) => ("", Some(written.as_str())),
        _ => (written.as_str(), None),
    };
    let email = email.map(|email| email.strip_prefix("mailto:").unwrap_or(email).to_owned());
    Some(Person { name: name.to_owned(), uri: None, email })
}

fn is_email(text: &str) -> bool {
    let domain = text.split_once('@').map(|(_, domain)| domain);
    domain.is_some_and(|domain| domain.contains('.')) && !text.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_as_rss_writes_them() {
        for (written, name, email) in [
            ("Ann", "Ann", None),
            ("ann@example.org (Ann Other)", "Ann Other", Some("ann@example.org")),
            ("Ann Other <ann@example.org>", "Ann Other", Some("ann@example.org")),
            ("ann@example.org", "", Some("ann@example.org")),
            ("mailto:ann@example.org", "", Some("ann@example.org")),
            ("Ann (she)", "Ann (she)", None),
            ("（ann@example.org）", "", Some("（ann@example.org）")),
        ] {
            let expected = Person { name: name.into(), uri: None, email: email.map(Into::into) };
            assert_eq!(person(written), Some(expected), "{written}");
        }
        assert_eq!(person("  "), None);
    }

    #[test]
    fn the_best_wins_and_the_first_of_equals() {
        let mut best = Best::default();
        for (rank, value) in [(3, "c"), (1, "a"), (2, "b"), (1, "late")] {
            best.offer(rank, value);
        }
        assert_eq!(best.into_value(), Some("a"));
    }
}
