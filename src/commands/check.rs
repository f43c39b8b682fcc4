//! `listend check`: every fault of configuration and lists, with file and line.

use std::io::{self, Write};

use listend::config::Config;
use listend::feeds::address::Guard;
use listend::lists::include::{Including, Remotes};
use listend::lists::opml;
use listend::lists::roster::{ListInput, Roster};
use listend::lists::{self, ListFile};
use listend::model::Role;

use super::terminal::Shown;
use crate::{Fault, exit};

/// Prints a line for each fault, and a last one that counts what is fine.
pub(crate) fn check(config: &Config) -> Result<(), Fault> {
    let mut faults = Vec::new();
    let files = lists::read(&config.lists).map_err(|fault| Fault::new(exit::FAILURE, fault))?;
    let mut inputs = Vec::new();
    let no_copies = Remotes::new();
    let mut including = Including::new(&no_copies);
    let mut paths = std::collections::BTreeMap::new();
    for ListFile { name, path, content } in files {
        let parsed = content
            .map_err(|fault| format!("{}: {fault}", path.display()))
            .and_then(|bytes| opml::parse(&bytes).map_err(|f| format!("{}:{}: {}", path.display(), f.line, f.reason)));
        match parsed {
            Ok(mut opml) => {
                // Nothing is fetched here, so this finds what is wrong with the addresses alone.
                including.include(&mut opml, None);
                let role = config.roles.get(&name).copied().unwrap_or_else(|| Role::of_name(&name));
                inputs.push(ListInput { name: name.clone(), role, opml, fault: None });
            }
            Err(fault) => faults.push(fault),
        }
        paths.insert(name, path);
    }
    let unknown = config.roles.keys().filter(|name| !paths.contains_key(*name));
    faults.extend(
        unknown.map(|name| format!("roles.{name}: there is no list {name}.opml in {}", config.lists.display())),
    );
    let roster = Roster::build(inputs);
    let guard = Guard::new(config.fetch.allow_addresses.iter().copied());
    for list in &roster.lists {
        let path = &paths[&list.name];
        let mut of_list: Vec<(usize, String)> = list.warnings.iter().map(|w| (w.line, w.reason.clone())).collect();
        // Only what the address itself says: no name is looked up here.
        let blocked = list.subscriptions.iter().filter_map(|subscription| {
            let fault = guard.permits_literal(subscription.feed.url()).err()?;
            Some((subscription.line, format!("{fault}; fetch.allow_addresses makes exceptions")))
        });
        of_list.extend(blocked);
        of_list.sort();
        faults.extend(of_list.into_iter().map(|(line, why)| format!("{}:{line}: {why}", path.display())));
    }
    let mut out = io::stdout().lock();
    for warning in &config.warnings {
        print(&mut out, &format!("warning: {warning}"))?;
    }
    for fault in &faults {
        print(&mut out, fault)?;
    }
    if faults.is_empty() {
        let feeds = roster.feeds().count();
        print(
            &mut out,
            &format!("{} lists, {} voices, {feeds} feeds: all is well", roster.lists.len(), roster.voices.len()),
        )
    } else {
        Err(Fault::new(exit::FAILURE, String::new()))
    }
}

fn print(out: &mut impl Write, line: &str) -> Result<(), Fault> {
    writeln!(out, "{}", Shown(line))
        .map_err(|error| Fault::new(exit::FAILURE, format!("standard output cannot be written: {error}")))
}
