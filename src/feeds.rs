//! Fetching and reading feeds: from an address to the entries of a document.
//!
//! Everything here but [`fetch`] is a pure function: time, chance and bytes are arguments. Knows neither lists nor the
//! database.

pub mod address;
pub mod clean;
pub mod decode;
pub mod discover;
pub mod fetch;
pub mod host;
pub mod identity;
pub mod links;
pub mod parse;
pub mod schedule;
pub mod webmention;
pub mod websub;
