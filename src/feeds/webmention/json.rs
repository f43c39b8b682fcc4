//! A source in JSON: whether a string of it is the target, and what stands at its top.
//!
//! Read in one pass that builds no tree: a megabyte of JSON may be a hundred as a tree. Reads the fields of JSON Feed
//! items, of microformats written as JSON, and the like.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use url::Url;

use super::Reading;
use super::excerpt::{MAX_NAME_CHARS, MAX_TITLE_CHARS, excerpt, plain_line};
use super::target::Target;
use crate::feeds::parse::date;
use crate::model::{Markup, Person, WebmentionKind};

/// What a JSON document says where it names the target; `None` where it does not, or is no JSON. What follows the fault
/// of a broken one is not looked at.
pub(super) fn read(text: &str, base: &Url, target: &Target) -> Option<Reading> {
    let mut found = Found::default();
    let mut json = serde_json::Deserializer::from_str(text);
    // `serde_json` goes 128 levels deep and not further.
    Value { field: Field::Top, target, found: &mut found }.deserialize(&mut json).ok()?;
    if !found.has_target {
        return None;
    }
    let short = |text: Option<String>, most| text.map(|text| plain_line(&text, most)).unwrap_or_default();
    let words = found.summary.or(found.text).map(Markup::Text).or(found.html.map(Markup::Html));
    let page = found.author_url.and_then(|url| base.join(&url).ok());
    let page =
        page.filter(|url| matches!(url.scheme(), "http" | "https") && url.as_str().len() <= super::MAX_ADDRESS_BYTES);
    Some(Reading {
        kind: found.kind,
        author: Person { name: short(found.author, MAX_NAME_CHARS), uri: page.map(String::from), email: None },
        title: short(found.title, MAX_TITLE_CHARS),
        excerpt: words.map(|words| excerpt(&words, base)).unwrap_or_default(),
        published: found.published.and_then(|published| date::read(&published)),
    })
}

/// What was met so far; of each the first.
#[derive(Default)]
struct Found {
    has_target: bool,
    /// What the target stands under, where that says more than that it is a link.
    kind: Option<WebmentionKind>,
    title: Option<String>,
    summary: Option<String>,
    text: Option<String>,
    html: Option<String>,
    author: Option<String>,
    author_url: Option<String>,
    published: Option<String>,
}

/// What a value is.
#[derive(Clone, Copy, PartialEq)]
enum Field {
    Top,
    Title,
    Summary,
    Text,
    Html,
    Author,
    AuthorUrl,
    Published,
    Linked(WebmentionKind),
    Other,
}

impl Field {
    /// What stands under a name in this.
    fn named(self, name: &str) -> Self {
        match (self, name) {
            (Self::Top | Self::Author | Self::Linked(_), "properties") | (Self::Linked(_), "url" | "id") => self,
            (Self::Top, "title" | "name" | "headline") => Self::Title,
            (Self::Top, "summary" | "description") => Self::Summary,
            (Self::Top, "content_text" | "content") | (Self::Text, "value" | "text") => Self::Text,
            (Self::Top, "content_html") | (Self::Text, "html") => Self::Html,
            (Self::Top, "author" | "authors" | "attributedTo") | (Self::Author, "name") => Self::Author,
            (Self::Top, "published" | "date_published" | "datePublished") => Self::Published,
            (Self::Top, "in-reply-to" | "inReplyTo") => Self::Linked(WebmentionKind::Reply),
            (Self::Top, "like-of") => Self::Linked(WebmentionKind::Like),
            (Self::Top, "repost-of") => Self::Linked(WebmentionKind::Repost),
            (Self::Author, "url") => Self::AuthorUrl,
            _ => Self::Other,
        }
    }
}

/// A value that is looked at and not kept.
struct Value<'a> {
    field: Field,
    target: &'a Target,
    found: &'a mut Found,
}

impl Value<'_> {
    fn inner(&mut self, field: Field) -> Value<'_> {
        Value { field, target: self.target, found: self.found }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let found = self.found;
        if self.target.is_at(text, None) {
            found.has_target = true;
            if let Field::Linked(kind) = self.field {
                found.kind.get_or_insert(kind);
            }
        }
        let place = match self.field {
            Field::Title => &mut found.title,
            Field::Summary => &mut found.summary,
            Field::Text => &mut found.text,
            Field::Html => &mut found.html,
            Field::AuthorUrl => &mut found.author_url,
            Field::Published => &mut found.published,
            // An author may be a name alone, or an address.
            Field::Author if text.starts_with("https://") || text.starts_with("http://") => &mut found.author_url,
            Field::Author => &mut found.author,
            Field::Top | Field::Linked(_) | Field::Other => return Ok(()),
        };
        if place.is_none() && !text.trim().is_empty() {
            *place = Some(text.to_owned());
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut values: A) -> Result<(), A::Error> {
        let field = self.field;
        while values.next_element_seed(self.inner(field))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut values: A) -> Result<(), A::Error> {
        while let Some(name) = values.next_key::<Cow<'de, str>>()? {
            let field = self.field.named(&name);
            values.next_value_seed(self.inner(field))?;
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}
