//! RSS, RDF and Atom: a state machine over the pieces of a document, which keeps every item whose end was seen, and of a
//! document's torn last item what was complete.
//!
//! Lenient about everything that does not change the meaning: namespaces, letter case, order, nesting, missing and
//! stray end tags. Nothing here recurses, and the stack of open elements is bounded. Does not know encodings, and judges
//! no HTML.

use std::cell::Cell;

use url::Url;

mod fields;

use super::attributes::{Attributes, split_name};
use super::draft::{Best, Draft, kept_bytes, language_tag};
use super::names::{Element, Namespaces, element, is_html_too, split_prefix};
use super::text::{Construct, drop_controls, escape};
use super::tokens::{Token, Tokens};
use super::{MAX_BASE_BYTES, MAX_DEPTH, MAX_ITEMS, MAX_JOINED_BYTES, MAX_KEPT_BYTES, MAX_NAME_BYTES, NotAFeed};
use crate::model::{About, Category, Document, Format, Item, Pace, Person, Timestamp, UpdatePeriod};
use crate::references::{self, OwnEntities};

/// End tags that may close nothing before nobody looks closely any more.
const MAX_STRAY_ENDS: usize = 10_000;

/// Whose properties the elements at a place are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing known was opened yet.
    Outside,
    /// The document's, or its channel's.
    Feed,
    /// An item's.
    Item,
    /// A person's.
    Person,
    /// The feed's that an item was taken from.
    Source,
    /// Somebody else's: an image, a text input, a contributor.
    Elsewhere,
}

/// What ends with an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Nothing.
    Plain,
    /// The document.
    Root,
    /// An item.
    Item,
    /// A person.
    Person,
    /// The feed that an item was taken from.
    Source,
    /// The text that is being gathered.
    Gathered,
    /// An element inside of gathered text, which is written out with it.
    Inline,
    /// The `div` around XHTML, which is not (RFC 4287, section 3.1.1.3).
    Wrapper,
}

/// An open element.
#[derive(Clone, Copy, Debug)]
struct Frame<'a> {
    name: &'a str,
    role: Role,
    place: Place,
    /// Whether it changed namespaces, base or language.
    scoped: bool,
}

/// What a gathered text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Title(u8),
    Link,
    Guid { permalink: bool },
    Id,
    Identifier,
    Published(u8),
    Updated(u8),
    Description(u8),
    Summary(u8),
    Content(u8),
    Category,
    Keywords,
    Comments,
    Author,
    Creator,
    Show,
    PersonName,
    PersonUri,
    PersonEmail,
    Source,
    Language,
    Enclosure,
    Ttl,
    UpdatePeriod,
    UpdateFrequency,
    Hour,
    Day,
}

/// The text that is being gathered.
#[derive(Debug)]
struct Gathered {
    field: Field,
    construct: Construct,
    text: String,
    /// Whether what is gathered is HTML, so that text has to be escaped.
    inline: bool,
}

impl Gathered {
    fn push(&mut self, text: &str) {
        if self.inline { references::push_escaped(text, &mut self.text) } else { self.text.push_str(text) }
    }
}

/// Reads a document whose text is known to be XML of some sort.
pub(super) fn read(text: &str, url: &Url) -> Result<Document, NotAFeed> {
    let mut machine = Machine::new(text, url);
    machine.run();
    machine.finish()
}

struct Machine<'a> {
    tokens: Tokens<'a>,
    own: OwnEntities,
    url: &'a Url,
    stack: Vec<Frame<'a>>,
    /// Which of them hold the document together.
    structure: Vec<usize>,
    /// Elements open beyond [`MAX_DEPTH`].
    too_deep: usize,
    /// End tags so far that closed nothing.
    stray_ends: usize,
    namespaces: Namespaces<'a>,
    bases: Vec<(usize, Url)>,
    languages: Vec<(usize, String)>,
    gathered: Option<Gathered>,
    /// The category that is being gathered, with its attributes.
    category: Category,
    person: Person,
    format: Option<Format>,
    first_root: Option<&'a str>,
    has_channel: bool,
    complete: bool,
    item: Draft,
    about: About,
    home: Best<String>,
    language: Best<String>,
    title: Best<String>,
    updated: Best<Timestamp>,
    pace: Pace,
    period_seconds: Option<u32>,
    frequency: Option<u32>,
    authors: Vec<Person>,
    items: Vec<Item>,
    /// What the items take, in bytes.
    kept_bytes: usize,
    /// What was joined with a base so far, in bytes.
    joined_bytes: Cell<usize>,
}

impl<'a> Machine<'a> {
    fn new(text: &'a str, url: &'a Url) -> Self {
        Self {
            tokens: Tokens::new(text),
            own: OwnEntities::default(),
            url,
            stack: Vec::with_capacity(16),
            structure: Vec::new(),
            too_deep: 0,
            stray_ends: 0,
            namespaces: Namespaces::default(),
            bases: Vec::new(),
            languages: Vec::new(),
            gathered: None,
            category: Category::default(),
            person: Person::default(),
            format: None,
            first_root: None,
            has_channel: false,
            complete: false,
            item: Draft::default(),
            about: About::default(),
            home: Best::default(),
            language: Best::default(),
            title: Best::default(),
            updated: Best::default(),
            pace: Pace::default(),
            period_seconds: None,
            frequency: None,
            authors: Vec::new(),
            items: Vec::new(),
            kept_bytes: 0,
            joined_bytes: Cell::new(0),
        }
    }

    fn run(&mut self) {
        loop {
            match self.tokens.next() {
                Token::Start { tag, empty } => self.open(tag, empty),
                Token::End(name) => self.close(name),
                Token::Text(text) | Token::Cdata(text) => {
                    if let Some(gathered) = &mut self.gathered {
                        gathered.push(text);
                    }
                }
                Token::Reference(name) => {
                    if let Some(gathered) = &mut self.gathered {
                        if gathered.inline {
                            let mut meant = String::new();
                            references::push_reference(name, &self.own, &mut meant);
                            gathered.push(&meant);
                        } else {
                            references::push_reference(name, &self.own, &mut gathered.text);
                        }
                    }
                }
                Token::Doctype(declaration) => {
                    if self.format.is_none() {
                        self.own.declare(declaration);
                    }
                }
                Token::Done => break,
            }
        }
    }

    /// The document ends within an item: what the item had said completely by then is kept, if that is enough to know it
    /// by and other items came before it. The text that was cut is not.
    fn keep_torn_item(&mut self) {
        let in_item = self.stack.iter().any(|frame| frame.role == Role::Item);
        if !in_item || self.items.is_empty() || self.items.len() >= MAX_ITEMS {
            return;
        }
        let item = std::mem::take(&mut self.item).finish(self.language_so_far().as_deref(), &self.authors);
        if item.title.is_some()
            && item.published.or(item.updated).is_some()
            && (item.guid.is_some() || item.link.is_some())
        {
            self.items.push(item);
        }
    }

    fn finish(mut self) -> Result<Document, NotAFeed> {
        self.keep_torn_item();
        let Some(format) = self.format else {
            return Err(match self.first_root {
                Some(root) if split_prefix(root).1.eq_ignore_ascii_case("html") => NotAFeed::Html,
                Some(root) => {
                    let root: String = root.chars().take(40).collect();
                    NotAFeed::Unreadable(format!("its root element `{root}` belongs to no feed format"))
                }
                None => NotAFeed::Unreadable("it has no element at all".into()),
            });
        };
        let complete = self.complete && !self.tokens.was_cut();
        if self.items.is_empty() && !(self.complete && (self.has_channel || format == Format::Atom)) {
            return Err(NotAFeed::NoEntries);
        }
        let mut about = self.about;
        about.title = self.title.into_value();
        about.home = self.home.into_value();
        about.language = self.language.into_value();
        let update_period = self
            .period_seconds
            .map(|seconds| UpdatePeriod { seconds: (seconds / self.frequency.unwrap_or(1).max(1)).max(1) });
        let pace = Pace { update_period, ..self.pace };
        Ok(Document { format, about, updated: self.updated.into_value(), pace, items: self.items, complete })
    }

    fn place(&self) -> Place {
        self.stack.last().map_or(Place::Outside, |frame| frame.place)
    }

    fn base(&self) -> &Url {
        self.bases.last().map_or(self.url, |(_, base)| base)
    }

    /// Whether an address of that length may still be joined with the base.
    fn may_join(&self, bytes: usize) -> bool {
        let joined = self.joined_bytes.get() + self.base().as_str().len() + bytes;
        self.joined_bytes.set(joined);
        joined <= MAX_JOINED_BYTES
    }

    fn resolve(&self, address: &str) -> Option<String> {
        super::absolute_if(address, self.base(), || self.may_join(address.len()))
    }

    /// Attribute values with their references resolved.
    fn attribute(&self, attributes: &Attributes<'a>, name: &str) -> Option<String> {
        let raw = attributes.value(name)?;
        let mut value = references::decode(raw, &self.own).trim().to_owned();
        drop_controls(&mut value);
        (!value.is_empty()).then_some(value)
    }

    fn open(&mut self, tag: &'a str, empty: bool) {
        let (name, rest) = split_name(tag);
        if name.len() > MAX_NAME_BYTES {
            return;
        }
        self.first_root.get_or_insert(name);
        let attributes = Attributes::new(rest);
        let depth = self.stack.len();
        let scoped = memchr::memmem::find(rest.as_bytes(), b"xml").is_some();
        if scoped && depth < MAX_DEPTH {
            self.namespaces.declare(depth, attributes.clone());
        }
        let (prefix, local) = split_prefix(name);
        let ns = self.namespaces.of(prefix);
        let element = element(ns, local);
        if self.gathered.is_some() && !self.interrupts(element) {
            self.open_inline(name, local, rest, empty, scoped);
            return;
        }
        if element == Some(Element::Item) && self.may_hold_items() {
            self.end_item();
        }
        let depth = self.stack.len();
        if depth >= MAX_DEPTH {
            self.too_deep += usize::from(!empty);
            return;
        }
        if scoped {
            self.enter_scope(depth, &attributes);
        }
        self.stack.push(Frame { name, role: Role::Plain, place: self.place(), scoped });
        if let Some(element) = element {
            self.begin(element, ns, &attributes);
        }
        if empty {
            self.pop();
        }
    }

    /// Takes in `xml:base` and `xml:lang`.
    fn enter_scope(&mut self, depth: usize, attributes: &Attributes<'a>) {
        if let Some(base) = self.attribute(attributes, "xml:base")
            && self.may_join(base.len())
            && let Ok(base) = self.base().join(&base)
            && !base.cannot_be_a_base()
            && base.as_str().len() <= MAX_BASE_BYTES
        {
            self.bases.push((depth, base));
        }
        if let Some(raw) = attributes.value("xml:lang") {
            self.languages.push((depth, language_tag(raw)));
        }
    }

    /// Whether an element inside of gathered text shows that the text's own end tag is missing.
    fn interrupts(&mut self, element: Option<Element>) -> bool {
        let (Some(element), Some(gathered)) = (element, &self.gathered) else { return false };
        let is_text =
            matches!(gathered.field, Field::Title(_) | Field::Description(_) | Field::Summary(_) | Field::Content(_));
        let opened_inside = self.stack.last().is_some_and(|frame| matches!(frame.role, Role::Inline | Role::Wrapper));
        let known = if is_text {
            let html_too = is_html_too(element) && !matches!(gathered.field, Field::Title(_));
            !gathered.construct.is_inline() && !html_too && !opened_inside
                || element == Element::Item && self.format != Some(Format::Atom)
        } else {
            // Parts of a person or a source end the text that stood for the whole.
            true
        };
        if !known {
            return false;
        }
        let parts = match gathered.field {
            Field::Author => matches!(element, Element::PersonName | Element::PersonUri | Element::PersonEmail),
            Field::Source => true,
            _ => false,
        };
        if parts {
            self.gathered = None;
            if let Some(frame) = self.stack.last_mut() {
                frame.role = if frame.place == Place::Source { Role::Source } else { Role::Person };
            }
        } else {
            self.end_gathered();
        }
        true
    }

    /// Writes a start tag into the gathered text.
    fn open_inline(&mut self, name: &'a str, local: &'a str, rest: &'a str, empty: bool, scoped: bool) {
        let depth = self.stack.len();
        let Some(gathered) = &mut self.gathered else { return };
        // Some put a `div` around what Atom's `html` says to be escaped, and is.
        let escaped = gathered.construct == Construct::Html && self.format == Some(Format::Atom);
        if !gathered.inline && !escaped {
            gathered.inline = true;
            if gathered.construct == Construct::Plain {
                gathered.text = escape(&gathered.text);
            }
            gathered.construct = Construct::Inline;
        }
        let wraps = (gathered.construct == Construct::Xhtml || escaped)
            && gathered.text.trim().is_empty()
            && local.eq_ignore_ascii_case("div")
            && self.stack.last().is_some_and(|frame| frame.role == Role::Gathered);
        let void = is_void(local);
        let role = if wraps { Role::Wrapper } else { Role::Inline };
        if depth >= MAX_DEPTH {
            self.too_deep += usize::from(!empty && !void);
            return;
        }
        if role == Role::Inline {
            gathered.text.push('<');
            gathered.text.push_str(local);
            gathered.text.push_str(rest.trim_end_matches('/'));
            gathered.text.push('>');
            if empty && !void {
                gathered.text.push_str("</");
                gathered.text.push_str(local);
                gathered.text.push('>');
            }
        }
        if empty || void {
            if scoped {
                self.namespaces.leave(depth);
            }
            return;
        }
        if scoped && wraps {
            self.enter_scope(depth, &Attributes::new(rest));
        }
        self.stack.push(Frame { name, role, place: self.place(), scoped });
    }

    /// Whether `item` means an item here.
    fn may_hold_items(&self) -> bool {
        self.format.is_some() || self.stack.is_empty()
    }

    fn close(&mut self, name: &str) {
        if name.len() > MAX_NAME_BYTES {
            return;
        }
        if self.stack.last().is_some_and(|top| top.name == name) && self.too_deep == 0 {
            self.pop();
            return;
        }
        let Some(found) = self.opened(name) else {
            self.too_deep = self.too_deep.saturating_sub(1);
            return;
        };
        self.too_deep = 0;
        while self.stack.len() > found {
            self.pop();
        }
    }

    /// Which open element an end tag closes, if any. Inside of what is too deep only those count that hold the document
    /// together, and so they do once too many end tags have closed nothing: looking for an element takes time.
    fn opened(&mut self, name: &str) -> Option<usize> {
        if self.too_deep > 0 || self.stray_ends > MAX_STRAY_ENDS {
            let is_it = |at: &&usize| self.stack.get(**at).is_some_and(|frame| frame.name == name);
            return self.structure.iter().rev().find(is_it).copied();
        }
        let found = self.stack.iter().rposition(|frame| frame.name == name).or_else(|| {
            let local = split_prefix(name).1;
            self.stack.iter().rposition(|frame| split_prefix(frame.name).1.eq_ignore_ascii_case(local))
        });
        self.stray_ends += usize::from(found.is_none());
        found
    }

    /// Ends the open item and what is open in it, if there is one.
    fn end_item(&mut self) {
        if let Some(item) = self.stack.iter().rposition(|frame| frame.role == Role::Item) {
            while self.stack.len() > item {
                self.pop();
            }
            self.too_deep = 0;
        }
    }

    /// Ends the gathered text and what is open in it.
    fn end_gathered(&mut self) {
        while self.gathered.is_some() && !self.stack.is_empty() {
            self.pop();
        }
    }

    /// Ends the innermost open element.
    fn pop(&mut self) {
        let Some(frame) = self.stack.pop() else { return };
        if self.structure.last() == Some(&self.stack.len()) {
            self.structure.pop();
        }
        match frame.role {
            Role::Plain | Role::Wrapper | Role::Source => {}
            Role::Inline => {
                if let Some(gathered) = &mut self.gathered {
                    gathered.text.push_str("</");
                    gathered.text.push_str(split_prefix(frame.name).1);
                    gathered.text.push('>');
                }
            }
            Role::Gathered => {
                if let Some(gathered) = self.gathered.take() {
                    self.take(gathered, frame.place);
                }
            }
            Role::Person => {
                let person = std::mem::take(&mut self.person);
                if person != Person::default() {
                    self.take_person(person);
                }
            }
            Role::Item => {
                let draft = std::mem::take(&mut self.item);
                if self.items.len() < MAX_ITEMS && self.kept_bytes < MAX_KEPT_BYTES {
                    let language = self.language_so_far();
                    let item = draft.finish(language.as_deref(), &self.authors);
                    self.kept_bytes += kept_bytes(&item);
                    self.items.push(item);
                }
            }
            Role::Root => self.complete = true,
        }
        if frame.scoped {
            let depth = self.stack.len();
            self.namespaces.leave(depth);
            self.bases.truncate(self.bases.partition_point(|(own, _)| *own < depth));
            self.languages.truncate(self.languages.partition_point(|(own, _)| *own < depth));
        }
    }

    fn language_so_far(&self) -> Option<String> {
        self.language.clone().into_value()
    }
}

/// Whether an element of HTML never has an end tag.
fn is_void(name: &str) -> bool {
    const VOID: [&str; 14] =
        ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"];
    name.len() <= 6 && VOID.iter().any(|void| name.eq_ignore_ascii_case(void))
}
