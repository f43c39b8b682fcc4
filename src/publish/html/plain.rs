//! The relationship pages in words alone, for as long as they have no page of their own.

use crate::listen::page::Page;
use crate::listen::people::{Dossier, Present, Rolodex};
use crate::listen::relations::Answerable;
use crate::model::{ContactKind, EntryKey};
use crate::publish::Site;

use super::message::message;
use super::river::river;

/// The present state of a relation.
pub fn present(present: &Present, site: &Site) -> String {
    let (page, pages) = present.page;
    let count = format!("{} in all; page {page} of {pages}.", present.count);
    message(site, &present.head.title, &[&present.head.about, &count], &[])
}

/// The rolodex.
pub fn rolodex(rolodex: &Rolodex, site: &Site) -> String {
    let count = format!("{} in all, by {}.", rolodex.voices, rolodex.order.as_str());
    message(site, "Voices", &[&count], &[])
}

/// A voice's own page.
pub fn voice(_dossier: &Dossier, page: &Page, site: &Site) -> String {
    river(page, site)
}

/// What can be answered.
pub fn answered(answerable: &Answerable, key: EntryKey, recorded: Option<ContactKind>, site: &Site) -> String {
    let recorded = recorded.map_or("nothing yet", ContactKind::as_str);
    message(site, &answerable.person.name, &[&key.to_string(), recorded], &[])
}
