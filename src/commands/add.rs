//! `listend add`: one feed more in a list, with the rest of its file kept byte for byte.

use std::io::{self, Write};

use listend::config::Config;
use listend::daemon;
use listend::feeds::fetch::Client;
use listend::lists::edit::{self, NewFeed, NotAdded};
use listend::lists::{self, ListFile};
use listend::model::FeedUrl;

use super::preview::{self, Source};
use super::runtime;
use super::terminal::Shown;
use crate::{Fault, exit};

/// Looks at the address, finds the feed, and adds its outline to the list, at the end or in a folder.
pub(crate) fn add(config: &Config, url: &str, list: &str, folder: Option<&str>) -> Result<(), Fault> {
    let fault = |message: String| Fault::new(exit::FAILURE, message);
    if list.is_empty() || list.starts_with('.') || list.contains(['/', '\0']) {
        return Err(Fault::new(exit::USAGE, format!("--list: `{list}` can be no list's name")));
    }
    if folder.is_some_and(|folder| folder.trim().is_empty()) {
        return Err(Fault::new(exit::USAGE, "--folder: a folder needs a name"));
    }
    let path = config.lists.join(format!("{list}.opml"));
    let files = lists::read(&config.lists).map_err(|error| fault(error.to_string()))?;
    let old = match files.into_iter().find(|file| file.path == path) {
        Some(ListFile { content, .. }) => Some(content.map_err(|why| fault(format!("{}: {why}", path.display())))?),
        None => None,
    };

    let client = Client::new(daemon::fetch_settings(config))?;
    let read = runtime()?.block_on(preview::from_address(&client, url, config.fetch.per_host_gap));
    let Source { document, url: feed } = read.map_err(|why| fault(format!("{url}: {why}; nothing was added")))?;
    let home = document.about.home.as_deref().and_then(|home| FeedUrl::parse(home).ok()).map(|home| home.to_string());
    let title = document.about.title.filter(|title| !title.trim().is_empty());
    let title = title.unwrap_or_else(|| feed.host().to_owned());
    let new = NewFeed { title, feed, home };

    let base = old.clone().unwrap_or_else(|| edit::empty_list(list).into_bytes());
    let made = edit::insertion(&base, &new, folder).map_err(|why| match why {
        NotAdded::Known { line } => fault(format!("{}:{line}: {} is in the list already", path.display(), new.feed)),
        why => fault(format!("{}: {why}", path.display())),
    })?;
    edit::save(&path, old.as_deref(), &made.apply(&base))
        .map_err(|error| fault(format!("{} cannot be written: {error}", path.display())))?;
    let place = folder.map(|folder| format!(", folder {folder}")).unwrap_or_default();
    writeln!(io::stdout(), "added {} ({}) to {}{place}", Shown(&new.title), new.feed, path.display())
        .map_err(|error| fault(format!("standard output cannot be written: {error}")))
}
