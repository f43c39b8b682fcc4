//! listend hears the people around you: it watches OPML lists, fetches the feeds in them politely, keeps every entry
//! once, and republishes what everybody says as merged feeds.

pub mod config;
pub mod feeds;
pub mod http;
pub mod listen;
pub mod lists;
pub mod model;
pub mod publish;
pub mod store;
