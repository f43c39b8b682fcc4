//! What a page's microformats say (microformats2, <https://microformats.org/wiki/microformats2-parsing>): entries with
//! their authors and texts.
//!
//! Reads what a Webmention needs and nothing else. Knows which classes mean what and which attribute holds a value, and
//! not how elements nest: that is the page's business.

use url::Url;

use super::excerpt::{MAX_NAME_CHARS, line, plain_line};
use super::{MAX_ADDRESS_BYTES, Reading};
use crate::feeds::parse::attributes::Attributes;
use crate::feeds::parse::date;
use crate::model::{Markup, Person, WebmentionKind};
use crate::references::{OwnEntities, decode};

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ItemKind {
    /// `h-entry`
    Entry,
    /// `h-card`
    Card,
    /// Any other: what stands in it is not its parent's.
    Other,
}

/// The item that an element with these classes is.
pub(super) fn item_kind(classes: &str) -> Option<ItemKind> {
    // Others that begin so belong to style sheets: `h-100`, `h-full`.
    classes.split_ascii_whitespace().find_map(|class| match class {
        "h-entry" => Some(ItemKind::Entry),
        "h-card" => Some(ItemKind::Card),
        "h-adr" | "h-app" | "h-cite" | "h-event" | "h-feed" | "h-geo" | "h-item" | "h-listing" | "h-product"
        | "h-recipe" | "h-resume" | "h-review" => Some(ItemKind::Other),
        _ => None,
    })
}

/// A property that an element gives to the item around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Property {
    Name,
    Summary,
    Content,
    Published,
    Author,
    Url,
    /// That its link is more than a link.
    Linked(WebmentionKind),
}

/// The properties that these classes name.
pub(super) fn properties(classes: &str) -> Vec<Property> {
    let property = |class: &str| {
        Some(match class {
            "p-name" => Property::Name,
            "p-summary" | "e-summary" => Property::Summary,
            "e-content" | "p-content" => Property::Content,
            "dt-published" => Property::Published,
            "p-author" | "u-author" => Property::Author,
            "u-url" => Property::Url,
            "u-in-reply-to" | "p-in-reply-to" => Property::Linked(WebmentionKind::Reply),
            "u-like-of" | "p-like-of" => Property::Linked(WebmentionKind::Like),
            "u-repost-of" | "p-repost-of" => Property::Linked(WebmentionKind::Repost),
            _ => return None,
        })
    };
    let mut found: Vec<Property> = Vec::new();
    for property in classes.split_ascii_whitespace().filter_map(property) {
        if !found.contains(&property) {
            found.push(property);
        }
    }
    found
}

/// A value: in an attribute of its element, or all that stands in it.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    /// Plain text.
    Text(String),
    /// HTML, as it stands there.
    Html(&'a str),
}

impl Value<'_> {
    /// On one line.
    pub(super) fn line(&self, max_chars: usize) -> String {
        match self {
            Self::Text(text) => plain_line(text, max_chars),
            Self::Html(html) => line(html, max_chars),
        }
    }

    fn markup(&self) -> Markup {
        match self {
            Self::Text(text) => Markup::Text(text.clone()),
            Self::Html(html) => Markup::Html((*html).to_owned()),
        }
    }
}

/// Who wrote something.
#[derive(Clone, Debug)]
pub(super) enum Author<'a> {
    /// The item of this number.
    Card(usize),
    /// A name, perhaps with a page.
    Plain(Value<'a>, Option<String>),
}

/// An item of the page.
#[derive(Debug)]
pub(super) struct Item<'a> {
    pub(super) kind: ItemKind,
    /// The item that it stands in.
    pub(super) parent: Option<usize>,
    /// What speaks for it where it has no name of its own: the description of an image.
    pub(super) implied_name: Option<Value<'a>>,
    /// The first link that is or stands in it.
    pub(super) first_link: Option<String>,
    pub(super) name: Option<Value<'a>>,
    pub(super) summary: Option<Value<'a>>,
    pub(super) content: Option<Value<'a>>,
    pub(super) published: Option<Value<'a>>,
    pub(super) url: Option<String>,
    pub(super) author: Option<Author<'a>>,
}

impl<'a> Item<'a> {
    pub(super) fn new(kind: ItemKind, parent: Option<usize>) -> Self {
        Self {
            kind,
            parent,
            implied_name: None,
            first_link: None,
            name: None,
            summary: None,
            content: None,
            published: None,
            url: None,
            author: None,
        }
    }

    /// Takes a property's value, unless there was one before; `link` is where its element leads.
    pub(super) fn take(&mut self, property: Property, value: Value<'a>, link: Option<&Url>) {
        let place = match property {
            Property::Name => &mut self.name,
            Property::Summary => &mut self.summary,
            Property::Content => &mut self.content,
            Property::Published => &mut self.published,
            Property::Author => {
                self.author.get_or_insert_with(|| Author::Plain(value, link.map(|link| link.as_str().to_owned())));
                return;
            }
            Property::Url => {
                if let Some(link) = link {
                    self.url.get_or_insert_with(|| link.as_str().to_owned());
                }
                return;
            }
            Property::Linked(_) => return,
        };
        place.get_or_insert(value);
    }
}

/// The value that an element has in its attributes, where it is of a kind that has it there.
pub(super) fn value_in_attributes(
    property: Property,
    element: &str,
    attributes: &Attributes<'_>,
) -> Option<Value<'static>> {
    let is = |names: &[&str]| names.iter().any(|name| element.eq_ignore_ascii_case(name));
    let name = match property {
        Property::Published if is(&["time", "ins", "del"]) => "datetime",
        Property::Name | Property::Summary | Property::Author if is(&["img", "area"]) => "alt",
        Property::Content => return None,
        _ if is(&["abbr"]) => "title",
        _ if is(&["data", "input"]) => "value",
        _ => return None,
    };
    attributes.value(name).map(|raw| Value::Text(decode(raw, &OwnEntities::default()).into_owned()))
}

/// What an entry says; `page` has what the page says of itself.
pub(super) fn reading(items: &[Item<'_>], entry: &Item<'_>, base: &Url) -> Reading {
    let title = entry.name.as_ref().map(|name| name.line(super::excerpt::MAX_TITLE_CHARS)).unwrap_or_default();
    let words = entry.summary.as_ref().or(entry.content.as_ref()).map(Value::markup);
    let published = entry.published.as_ref().and_then(|value| date::read(&value.line(MAX_NAME_CHARS)));
    Reading {
        kind: None,
        author: author_of(items, entry).unwrap_or_default(),
        title,
        excerpt: words.map(|words| super::excerpt::excerpt(&words, base)).unwrap_or_default(),
        published,
    }
}

/// Who wrote an entry: its own author, or else that of the feed that it stands in.
fn author_of(items: &[Item<'_>], entry: &Item<'_>) -> Option<Person> {
    let mut item = Some(entry);
    while let Some(at) = item {
        if let Some(author) = &at.author {
            return Some(match author {
                Author::Card(number) => items.get(*number).map(person).unwrap_or_default(),
                Author::Plain(name, page) => Person { name: name.line(MAX_NAME_CHARS), uri: page.clone(), email: None },
            });
        }
        // A parent has a lower number than what stands in it, so this ends.
        item = at.parent.and_then(|parent| items.get(parent));
    }
    None
}

/// The person that a card is of.
fn person(card: &Item<'_>) -> Person {
    let name = card.name.as_ref().or(card.implied_name.as_ref());
    let uri = card.url.clone().or_else(|| card.first_link.clone());
    Person { name: name.map(|name| name.line(MAX_NAME_CHARS)).unwrap_or_default(), uri, email: None }
}

/// A link that may be shown as somebody's page.
pub(super) fn is_page(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.as_str().len() <= MAX_ADDRESS_BYTES
}
