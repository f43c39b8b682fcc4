//! From files to a roster in force: reads the lists, keeps what cannot be read as it last was, and notes what changed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};

use super::includes::Handle;
use super::{Gate, blocking};
use crate::config::Config;
use crate::listen::health;
use crate::listen::live::Live;
use crate::lists::include::{Included, Including, Remotes};
use crate::lists::opml::{self, Opml, Outline};
use crate::lists::roster::{ListInput, Roster};
use crate::lists::{self, ListFile, diff};
use crate::model::{Feed, FeedId, FeedUrl, Role, Timestamp};
use crate::store::{ListNews, Store, StoreError, TakeOver};

/// The contents of lists, by name. Copies share the bytes.
type Contents = BTreeMap<String, Arc<[u8]>>;

/// The lists as they were last read.
#[derive(Debug)]
pub(super) struct Lists {
    directory: PathBuf,
    roles: BTreeMap<String, Role>,
    live: Arc<Live>,
    store: Arc<Store>,
    gate: Gate,
    found: Found,
    /// The lists that were last told to be unreadable.
    told: BTreeSet<String>,
    built: Arc<Built>,
    remote: Handle,
    was_read: bool,
}

/// What reading the directory found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    /// The last good content of each list.
    good: Contents,
    /// The lists that cannot be read now, and why.
    faults: BTreeMap<String, String>,
    /// Why the directory itself cannot be read; each list that is known has this fault then.
    directory_fault: Option<String>,
    /// What is known of remote lists.
    remotes: Arc<Remotes>,
}

/// A roster, and what it took from remote lists.
#[derive(Debug, Default)]
struct Built {
    roster: Arc<Roster>,
    /// For each list the remote ones whose copies stand in it.
    present: BTreeMap<String, BTreeSet<FeedUrl>>,
    /// Every remote list that is named.
    wanted: BTreeSet<FeedUrl>,
}

impl Lists {
    /// Takes over the last good content of each list from the database, so that what changed while the daemon was not
    /// running is noticed.
    pub(super) async fn open(
        config: &Config,
        live: Arc<Live>,
        store: Arc<Store>,
        gate: Gate,
        remote: Handle,
    ) -> Result<Self, StoreError> {
        let (stored, told) = {
            let store = Arc::clone(&store);
            blocking(move || Ok::<_, StoreError>((store.lists()?, health::unreadable_lists(&store)?))).await?
        };
        let good: Contents = stored.into_iter().map(|(name, bytes)| (name, bytes.into())).collect();
        let found = Found { good, remotes: Arc::clone(&remote.remotes.borrow()), ..Found::default() };
        let built = Arc::new(build(&found, &config.roles, None, BTreeMap::new()));
        Ok(Self {
            directory: config.lists.clone(),
            roles: config.roles.clone(),
            live,
            store,
            gate,
            found,
            told,
            built,
            remote,
            was_read: false,
        })
    }

    /// Puts another directory and other roles in force, from the next [`Lists::reload`] on.
    pub(super) fn configure(&mut self, config: &Config) {
        self.directory.clone_from(&config.lists);
        self.roles.clone_from(&config.roles);
        self.was_read = false;
    }

    /// Reads the directory. Where anything changed, puts the new roster in force and returns the feeds
    /// whose outlines were edited.
    pub(super) async fn reload(&mut self, now: Timestamp) -> Result<Option<Vec<FeedId>>, StoreError> {
        let (directory, roles) = (self.directory.clone(), self.roles.clone());
        let (old, was_read) = (self.found.clone(), self.was_read);
        let remotes = Arc::clone(&self.remote.remotes.borrow());
        let Some((found, built)) = blocking(move || read(&directory, &roles, &old, was_read, remotes)).await else {
            return Ok(None);
        };
        if let Some(fault) = &found.directory_fault
            && found.directory_fault != self.found.directory_fault
        {
            if found.good.is_empty() {
                warn!("{fault}; nobody is listened to until it exists");
            } else {
                warn!("{fault}; the last good content of its lists stays in force");
            }
        }
        for (name, fault) in &found.faults {
            if found.directory_fault.is_none() && self.found.faults.get(name) != Some(fault) {
                warn!(list = %name, %fault, "a list cannot be read; its last good content stays in force");
            }
        }
        for list in &built.roster.lists {
            let old = self.built.roster.lists.iter().find(|old| old.name == list.name);
            if old.is_none_or(|old| old.warnings != list.warnings) {
                for warning in &list.warnings {
                    warn!(list = %list.name, line = warning.line, "{}", warning.reason);
                }
            }
        }
        self.tell(&found, &built.roster, now).await?;
        let built = Arc::new(built);
        // Until the new numbers are in force: feeds may be joined otherwise.
        let _no_visits = self.gate.alone().await;
        let edited = {
            let (store, live) = (Arc::clone(&self.store), Arc::clone(&self.live));
            let old = (self.found.clone(), Arc::clone(&self.built));
            let new = (found.clone(), Arc::clone(&built));
            let roles = self.roles.clone();
            let saved = changed_contents(&self.found.good, &found.good);
            blocking(move || {
                let Committed { ids, feeds, edited, old_paths } =
                    commit(&store, &live, &old, &new, &roles, saved, now)?;
                let roster = &new.1.roster;
                info!(lists = roster.lists.len(), voices = roster.voices.len(), feeds = ids.len(), "lists read");
                live.update(feeds.into_iter().map(|feed| (feed, true)));
                live.set_roster(Arc::clone(roster), ids, old_paths);
                Ok::<_, StoreError>(edited)
            })
            .await?
        };
        self.remote.wanted.send_if_modified(|wanted| {
            let is_new = *wanted != built.wanted;
            wanted.clone_from(&built.wanted);
            is_new
        });
        self.was_read = true;
        let old = (std::mem::replace(&mut self.found, found), std::mem::replace(&mut self.built, built));
        // Taking a large list apart takes milliseconds.
        blocking(move || drop(old)).await;
        Ok(Some(edited))
    }

    /// Remembers as events which lists can no longer be read, and which can again: each once, also over restarts.
    async fn tell(&mut self, found: &Found, roster: &Roster, now: Timestamp) -> Result<(), StoreError> {
        let mut events = Vec::new();
        for (list, seq) in roster.lists.iter().zip(0..) {
            let fault = found.faults.get(&list.name);
            if fault.is_some() != self.told.contains(&list.name) {
                events.push(health::news::list_event(&list.name, &list.title, fault.map(String::as_str), now, seq));
            }
        }
        if !events.is_empty() {
            let store = Arc::clone(&self.store);
            blocking(move || store.note(&events)).await?;
        }
        self.told = found.faults.keys().cloned().collect();
        Ok(())
    }
}

/// Reads every list; `None` where nothing differs from what is in force.
fn read(
    directory: &Path,
    roles: &BTreeMap<String, Role>,
    old: &Found,
    was_read: bool,
    remotes: Arc<Remotes>,
) -> Option<(Found, Built)> {
    let mut found = Found { remotes, ..Found::default() };
    let mut parsed = BTreeMap::new();
    match lists::read(directory) {
        Ok(files) => {
            for ListFile { name, content, .. } in files {
                let last = old.good.get(&name);
                let same = last.filter(|last| content.as_ref().is_ok_and(|bytes| **bytes == ***last));
                let content = match same {
                    Some(last) => Ok(Arc::clone(last)),
                    None => content.and_then(|bytes| {
                        let opml = opml::parse(&bytes).map_err(|fault| fault.to_string())?;
                        parsed.insert(name.clone(), opml);
                        Ok(bytes.into())
                    }),
                };
                match content {
                    Ok(bytes) => {
                        found.good.insert(name, bytes);
                    }
                    Err(fault) => {
                        found.good.extend(last.map(|last| (name.clone(), Arc::clone(last))));
                        found.faults.insert(name, fault);
                    }
                }
            }
        }
        Err(fault) => {
            // Nobody has left because a directory is missing.
            found.good.clone_from(&old.good);
            found.faults = old.good.keys().map(|name| (name.clone(), fault.to_string())).collect();
            found.directory_fault = Some(fault.to_string());
        }
    }
    if was_read && found == *old {
        return None;
    }
    let built = build(&found, roles, None, parsed);
    Some((found, built))
}

/// The roster of what was found; with `only` for each list the remote lists that may stand in it. `parsed` has what was
/// parsed already.
fn build(
    found: &Found,
    roles: &BTreeMap<String, Role>,
    only: Option<&BTreeMap<String, BTreeSet<FeedUrl>>>,
    mut parsed: BTreeMap<String, Opml>,
) -> Built {
    let names: BTreeSet<&String> = found.good.keys().chain(found.faults.keys()).collect();
    let nothing = BTreeSet::new();
    let mut including = Including::new(&found.remotes);
    let mut present = BTreeMap::new();
    let inputs = names.into_iter().map(|name| {
        let read = || found.good.get(name).and_then(|bytes| opml::parse(bytes).ok());
        let mut opml = parsed.remove(name).or_else(read).unwrap_or_default();
        let only = only.map(|only| only.get(name).unwrap_or(&nothing));
        let Included { present: here, fault } = including.include(&mut opml, only);
        present.insert(name.clone(), here);
        ListInput {
            name: name.clone(),
            role: roles.get(name).copied().unwrap_or_else(|| Role::of_name(name)),
            opml,
            fault: found.faults.get(name).cloned().or(fault),
        }
    });
    let roster = Roster::build(inputs.collect());
    Built { roster: Arc::new(roster), present, wanted: including.wanted() }
}

/// Both rosters without remote lists that stand in only one of them: the first reading of a remote list is a baseline,
/// and who comes or goes with the whole of it has neither joined nor left. `None` where they may be compared as they are.
fn comparable(
    (old_found, old): &(Found, Arc<Built>),
    (new_found, new): &(Found, Arc<Built>),
    roles: &BTreeMap<String, Role>,
) -> Option<(Arc<Roster>, Arc<Roster>)> {
    let both = |name: &String, here: &BTreeSet<FeedUrl>| {
        let there = new.present.get(name)?;
        Some((name.clone(), here.intersection(there).cloned().collect::<BTreeSet<_>>()))
    };
    let shared: BTreeMap<_, _> = old.present.iter().filter_map(|(name, here)| both(name, here)).collect();
    let is_same = shared
        .iter()
        .all(|(name, shared)| old.present.get(name) == Some(shared) && new.present.get(name) == Some(shared));
    if is_same {
        return None;
    }
    let build = |found| build(found, roles, Some(&shared), BTreeMap::new()).roster;
    Some((build(old_found), build(new_found)))
}

/// The lists whose last good content is another now: new bytes, or none where the file is gone.
fn changed_contents(old: &Contents, new: &Contents) -> Vec<(String, Option<Vec<u8>>)> {
    let changed = new.iter().filter(|(name, bytes)| old.get(*name) != Some(bytes));
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    changed
        .map(|(name, bytes)| (name.clone(), Some(bytes.to_vec())))
        .chain(gone.map(|name| (name.clone(), None)))
        .collect()
}

/// What a new roster led to.
struct Committed {
    ids: HashMap<FeedUrl, FeedId>,
    /// Feeds that were never seen before, that came back or go by another address, as they are now.
    feeds: Vec<Feed>,
    /// Feeds whose outlines say something else.
    edited: Vec<FeedId>,
    old_paths: HashMap<String, FeedUrl>,
}

/// Stores what changed: contents, events, new feeds, who left and who came back, and paths that voices no longer have.
fn commit(
    store: &Store,
    live: &Live,
    old: &(Found, Arc<Built>),
    new: &(Found, Arc<Built>),
    roles: &BTreeMap<String, Role>,
    contents: Vec<(String, Option<Vec<u8>>)>,
    now: Timestamp,
) -> Result<Committed, StoreError> {
    let recent = store.events(now.minus(diff::DESIRED_LATELY))?;
    let comparable = comparable(old, new, roles);
    let (old, new) = (&*old.1.roster, &*new.1.roster);
    let (before, after) = comparable.as_ref().map_or((old, new), |(before, after)| (&**before, &**after));
    let diff::Diff { add: mut happened, cancel: mut cancelled } = diff::events(before, after, &recent, now);
    // What happens in a list happens with what it says: a change of roles alone is none.
    let is_changed = |name: &str| outlines_of(before, name) != outlines_of(after, name);
    let told: HashSet<&str> = happened.iter().chain(&cancelled).map(|event| event.list.as_str()).collect();
    let changed: HashSet<String> = told.into_iter().filter(|name| is_changed(name)).map(str::to_owned).collect();
    happened.retain(|event| changed.contains(event.list.as_str()));
    cancelled.retain(|event| changed.contains(event.list.as_str()));
    let news = ListNews { happened, cancelled };
    let edits = diff::edited_addresses(old, new);
    let urls = to_bind(live, new, !edits.is_empty());
    let new_urls = urls.clone();
    let bound = store.take_over(&TakeOver { contents, news, paths: lost_paths(old, new), urls, edits }, now)?;
    let mut ids: HashMap<FeedUrl, FeedId> = HashMap::with_capacity(new.feeds().len());
    let known = live.bound();
    ids.extend(new.feeds().filter_map(|url| Some((url.clone(), *known.ids.get(url)?))));
    ids.extend(new_urls.into_iter().zip(bound.iter().map(|feed| feed.id)));
    let edited = diff::edited_outlines(old, new).filter_map(|url| ids.get(url).copied()).collect();
    // Nobody visits meanwhile, so what was live is what was stored.
    let feeds = bound.into_iter().filter(|feed| live.feed(feed.id).is_none_or(|known| *known != *feed)).collect();
    let old_paths = store.paths()?.into_iter().collect();
    Ok(Committed { ids, feeds, edited, old_paths })
}

/// The addresses that have to be bound to feeds, of those in a roster. While the daemon runs it knows which feeds stand in
/// lists: besides what is new, only those count that have several addresses, since they go by one that stands. Of edited
/// addresses nothing can be said without all of them.
fn to_bind(live: &Live, new: &Roster, are_some_edited: bool) -> Vec<FeedUrl> {
    let bound = live.bound();
    let has_one_address = |id: &FeedId| live.feed(*id).is_some_and(|feed| feed.aliases.is_empty());
    let is_bound = |url: &FeedUrl| !are_some_edited && bound.ids.get(url).is_some_and(has_one_address);
    new.feeds().filter(|url| !is_bound(url)).cloned().collect()
}

/// What a list says; `None` where there is none of this name.
fn outlines_of<'a>(roster: &'a Roster, name: &str) -> Option<&'a [Outline]> {
    roster.lists.iter().find(|list| list.name == name).map(|list| list.outlines.as_slice())
}

/// Paths at which a voice stood in the old roster and nothing stands in the new one, with a feed of that voice.
fn lost_paths(old: &Roster, new: &Roster) -> Vec<(String, FeedUrl)> {
    let mut lost = Vec::new();
    for voice in &old.voices {
        let Some(feed) = voice.feeds.first() else { continue };
        let places = voice.places.iter().filter_map(|place| old.places.get(*place)).map(|place| &place.path);
        let is_lost = |path: &&String| match path.strip_prefix("/voices/") {
            Some(slug) => new.voice(slug).is_none(),
            None => new.place(path).is_none(),
        };
        lost.extend(places.chain([&voice.path]).filter(is_lost).map(|path| (path.clone(), feed.clone())));
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::include::Remote;

    #[test]
    fn what_cannot_be_read_keeps_its_last_good_content() {
        let home = tempfile::tempdir().expect("there is room");
        let write = |name: &str, bytes: &[u8]| std::fs::write(home.path().join(name), bytes).expect("there is room");
        let good = b"<opml><body><outline text='a'/></body></opml>";
        let roles = BTreeMap::new();
        write("x.opml", good);
        let (first, _) = read(home.path(), &roles, &Found::default(), false, Arc::default()).expect("it is new");
        assert_eq!((&first.good["x"][..], first.faults.len()), (&good[..], 0));
        assert!(read(home.path(), &roles, &first, true, Arc::default()).is_none(), "nothing changed");
        for bad in [&b""[..], &good[..20]] {
            write("x.opml", bad);
            let (second, Built { roster, .. }) =
                read(home.path(), &roles, &first, true, Arc::default()).expect("it changed");
            assert_eq!((&second.good, second.faults.len()), (&first.good, 1));
            assert_eq!((roster.lists.len(), roster.lists[0].fault.is_some()), (1, true));
        }
    }

    #[test]
    fn a_missing_directory_is_no_list() {
        let home = tempfile::tempdir().expect("there is room");
        let gone = home.path().join("gone");
        let roles = BTreeMap::new();
        let (found, Built { roster, .. }) =
            read(&gone, &roles, &Found::default(), false, Arc::default()).expect("it is new");
        assert!(found.directory_fault.is_some() && found.faults.is_empty() && roster.lists.is_empty());
        assert!(read(&gone, &roles, &found, true, Arc::default()).is_none(), "it is said once");
        // The lists that are known stand, each with the fault.
        let known =
            Found { good: BTreeMap::from([("x".to_owned(), b"<opml/>".as_slice().into())]), ..Found::default() };
        let (found, Built { roster, .. }) = read(&gone, &roles, &known, true, Arc::default()).expect("it changed");
        assert_eq!(found.good, known.good);
        assert_eq!((roster.lists.len(), roster.lists[0].fault.clone()), (1, found.directory_fault));
    }

    #[test]
    fn the_first_copy_of_a_remote_list_is_a_baseline_and_its_edits_are_events() {
        let home = tempfile::tempdir().expect("there is room");
        let store = Store::open(home.path(), 1 << 20).expect("it is new");
        let live = Live::default();
        let now = Timestamp::from_seconds(1_795_379_832);
        let roles = BTreeMap::new();
        let url = FeedUrl::parse("http://far.example/roll.opml").expect("it is one");
        let local = b"<opml><outline type='include' text='R' url='http://far.example/roll.opml'/></opml>".to_vec();
        let with = |copy: Option<&str>| {
            let copy = copy.map(|names| {
                let one = |name: &str| format!("<outline text='{name}' xmlUrl='http://{name}.example/'/>");
                let outlines: Vec<String> = names.split(' ').map(one).collect();
                format!("<opml>{}</opml>", outlines.concat()).into_bytes().into()
            });
            let remotes = Arc::new(Remotes::from([(url.clone(), Remote { copy, fault: None })]));
            let good = BTreeMap::from([("followers".to_owned(), local.clone().into())]);
            let found = Found { good, remotes, ..Found::default() };
            let built = Arc::new(build(&found, &roles, None, BTreeMap::new()));
            (found, built)
        };
        let happened = |old: Option<&str>, new: Option<&str>, at: Timestamp| {
            commit(&store, &live, &with(old), &with(new), &roles, Vec::new(), at).expect("the disk is there");
            let events = store.events(at).expect("they can be read");
            events.into_iter().map(|event| format!("{:?} {}", event.kind, event.voice)).collect::<Vec<_>>()
        };
        let day = |n: u64| now.plus(std::time::Duration::from_hours(48 * n));
        assert_eq!(happened(None, Some("a b"), day(0)), [""; 0], "the first copy");
        assert_eq!(happened(Some("a b"), Some("b c"), day(1)), ["Left a", "Joined c"]);
        assert_eq!(happened(Some("b c"), None, day(2)), [""; 0], "all of it went");
    }
}
