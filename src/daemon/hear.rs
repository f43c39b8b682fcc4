//! Hears the stored entries anew when who you are has changed: your sites, your names, your own feeds and inboxes. So a
//! site that is added today is heard in what was said last year, and entries that an older version stored are heard, too.
//!
//! Goes over everything in small steps with long pauses, from where it stopped, and takes no more than a quarter of one
//! core and the memory of one step.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Gate, blocking, moment};
use crate::config::Config;
use crate::http::App;
use crate::listen::live::Bound;
use crate::listen::said::{Channel, Hearing, Names, heard_as, said_by_feed};
use crate::listen::sites::Sites;
use crate::model::{Entry, EntryKey, Hash64};
use crate::store::StoreError;

/// How often it is looked for changes of who you are; what is on its way to the store then has arrived at the next look.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Pause after the store could not be read or written.
const RETRY_PAUSE: Duration = Duration::from_mins(1);
/// Entries of a step, at first and at most.
const FIRST_STEP: usize = 25;
const MAX_STEP: usize = 200;
/// How much text a step should have, in bytes: where entries are long, it takes fewer.
const STEP_BYTES: usize = 1 << 20;
/// A step is followed by a pause of so many times its length.
const REST: u32 = 3;
/// How often pages are told of what was found so far.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// Who you are, and who the voices are to you.
struct Ears {
    bound: Arc<Bound>,
    config: Arc<Config>,
    sites: Arc<Sites>,
    names: Names,
    heard_as: Hash64,
}

impl Ears {
    fn of(app: &App) -> Self {
        let (bound, config) = (app.live.bound(), app.config.load_full());
        let sites = app.relations.keeper_sites(&app.live, &bound, &config.mine);
        let names = Names::of(&config.mine);
        let heard_as = heard_as(&app.live, &bound, &sites, &names);
        Self { bound, config, sites, names, heard_as }
    }

    /// Whether everything is as it was, as far as can be seen without effort.
    fn are_as_now(&self, app: &App) -> bool {
        let (bound, config) = (app.live.bound(), app.config.load_full());
        Arc::ptr_eq(&bound, &self.bound)
            && Arc::ptr_eq(&config, &self.config)
            && Arc::ptr_eq(&app.relations.keeper_sites(&app.live, &bound, &config.mine), &self.sites)
    }
}

/// Where nothing is stored yet, everything stored is heard: what comes from now on is heard as it comes. To be called
/// before anything can come.
pub(super) async fn begin(app: &Arc<App>) -> Result<(), StoreError> {
    let app = Arc::clone(app);
    blocking(move || {
        let mut is_empty = true;
        app.live.for_each(|feed| is_empty &= feed.entries == 0);
        if is_empty && app.store.heard()?.is_none() {
            app.store.hear(&[], Ears::of(&app).heard_as, None)?;
        }
        Ok(())
    })
    .await
}

/// Hears until told to stop.
pub(super) async fn run(app: Arc<App>, visits: Gate, stop: CancellationToken) {
    // By what everything stored has been heard.
    let mut heard: Option<Arc<Ears>> = None;
    let mut pause = LOOK_INTERVAL;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = LOOK_INTERVAL;
        let ears = current(&app, heard.as_ref()).await;
        if heard.as_ref().is_some_and(|heard| Arc::ptr_eq(heard, &ears)) {
            continue;
        }
        let walk = Walk { app: &app, visits: &visits, stop: &stop };
        match walk.run(ears).await {
            Ok(ears) => heard = ears.or(heard),
            Err(error) => {
                warn!(%error, "stored entries could not be heard; next try in {RETRY_PAUSE:?}");
                pause = RETRY_PAUSE;
            }
        }
    }
}

/// Who you are now; the same where nothing has changed.
async fn current(app: &Arc<App>, known: Option<&Arc<Ears>>) -> Arc<Ears> {
    let (app, known) = (Arc::clone(app), known.cloned());
    blocking(move || known.filter(|ears| ears.are_as_now(&app)).unwrap_or_else(|| Arc::new(Ears::of(&app)))).await
}

/// One way over everything stored.
struct Walk<'a> {
    app: &'a Arc<App>,
    visits: &'a Gate,
    stop: &'a CancellationToken,
}

/// What came of a step.
struct Step {
    /// The last entry; `None` where there was none any more.
    last: Option<EntryKey>,
    entries: usize,
    bytes: usize,
    mentions: usize,
    /// Whether it bears on what is between you and the voices.
    concerns_you: bool,
    took: Duration,
}

impl Walk<'_> {
    /// Hears what was not heard so; by what everything is heard then, or `None` where that has changed on the way, or it is
    /// time to stop.
    async fn run(&self, mut ears: Arc<Ears>) -> Result<Option<Arc<Ears>>, StoreError> {
        let store = Arc::clone(&self.app.store);
        let mut from = match blocking(move || store.heard()).await? {
            Some((heard_as, place)) if heard_as == ears.heard_as => match place {
                None => return Ok(Some(ears)),
                place => place,
            },
            _ => None,
        };
        let goes_on = from.is_some();
        let (mut entries, mut mentions, mut is_told, mut told_at) = (0, 0, true, moment());
        let mut most = FIRST_STEP;
        loop {
            let step = {
                // A fetch that is committed in between would be heard by its old text.
                let no_visits = tokio::select! {
                    biased; // Asked to stop, no further step is begun.
                    () = self.stop.cancelled() => return Ok(None),
                    guard = self.visits.alone() => guard,
                };
                let (app, by) = (Arc::clone(self.app), Arc::clone(&ears));
                let step = blocking(move || hear(&app, &by, from, most)).await?;
                drop(no_visits);
                step
            };
            if entries == 0 && step.entries > 0 {
                info!(goes_on, "your sites, names or feeds are others than before: stored entries are heard anew");
            }
            (entries, mentions) = (entries + step.entries, mentions + step.mentions);
            is_told &= !step.concerns_you;
            let is_over = step.last.is_none();
            if !is_told && (is_over || told_at.elapsed() >= TELL_INTERVAL) || is_over && entries > 0 {
                self.app.live.facts_changed();
                (is_told, told_at) = (true, moment());
            }
            if is_over {
                if entries > 0 {
                    info!(entries, mentions, "all stored entries are heard");
                }
                return Ok(Some(ears));
            }
            from = step.last;
            most = next_step(&step);
            tokio::select! {
                () = self.stop.cancelled() => return Ok(None),
                () = tokio::time::sleep(step.took * REST) => {}
            }
            let now = current(self.app, Some(&ears)).await;
            if now.heard_as != ears.heard_as {
                return Ok(None);
            }
            ears = now;
        }
    }
}

/// Hears at most so many entries behind `from`, and keeps what they say.
fn hear(app: &App, ears: &Ears, from: Option<EntryKey>, most: usize) -> Result<Step, StoreError> {
    let started = moment();
    let snapshot = app.store.snapshot()?;
    let entries = snapshot.all_entries(from, most)?;
    let mut said = Vec::with_capacity(entries.len());
    let mut concerns_you = false;
    for entries in entries.chunk_by(|a, b| a.key.feed == b.key.feed) {
        let feed = entries[0].key.feed;
        let channel = app.live.feed(feed).map_or(Channel::Voice, |feed| Channel::of(&ears.bound, &feed));
        let hearing = Hearing { sites: &ears.sites, names: &ears.names, channel };
        said.extend(said_by_feed(&snapshot, feed, &entries.iter().collect::<Vec<_>>(), &hearing)?);
        concerns_you |= channel == Channel::Mine;
    }
    for said in &said {
        concerns_you = concerns_you || said.mention.is_some() || snapshot.mention(said.key)?.is_some();
    }
    drop(snapshot);
    let last = entries.last().map(|entry| entry.key);
    app.store.hear(&said, ears.heard_as, last)?;
    Ok(Step {
        last,
        entries: entries.len(),
        bytes: entries.iter().map(text_bytes).sum(),
        mentions: said.iter().filter(|said| said.mention.is_some()).count(),
        concerns_you,
        took: started.elapsed(),
    })
}

fn text_bytes(entry: &Entry) -> usize {
    entry.content.iter().chain(&entry.summary).map(|html| html.as_str().len()).sum()
}

/// How many entries the next step takes: as many as have about [`STEP_BYTES`] of text, if they are like those of the last
/// one, and never many more than that at once.
fn next_step(last: &Step) -> usize {
    let fitting = last.entries.saturating_mul(STEP_BYTES) / last.bytes.max(1);
    fitting.min(last.entries.saturating_mul(2)).clamp(1, MAX_STEP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::now;
    use crate::http::metrics::Metrics;
    use crate::http::webmention::Letterbox;
    use crate::http::websub::Doors;
    use crate::listen::live::Live;
    use crate::model::{Change, CleanHtml, Feed, FeedUrl, Known, Link, Said, Timestamp};
    use crate::store::{FeedUpdate, Store, TakeOver};

    const ENTRIES: u32 = 300;

    fn entry(feed: &Feed, seq: u32) -> Entry {
        let at = Timestamp::from_millis(i64::from(seq) * 1000);
        let page = if seq.is_multiple_of(10) { "https://me.example/post" } else { "https://other.example/" };
        Entry {
            key: EntryKey { listed_at: at, feed: feed.id, seq },
            first_seen: at,
            guid: seq.to_string(),
            link: None,
            title: String::new(),
            authors: Vec::new(),
            published: None,
            updated: None,
            summary: None,
            content: Some(CleanHtml::from_cleaner(format!("<a href=\"{page}\">x</a>"))),
            categories: Vec::new(),
            enclosures: Vec::new(),
            comments: None,
            language: None,
            origin: None,
        }
    }

    /// A store whose entries nobody has heard.
    fn unheard(directory: &std::path::Path) -> Arc<App> {
        let store = Store::open(directory, 1 << 20).expect("it opens");
        let urls = vec![FeedUrl::parse("http://ann.example/feed").expect("it is an address")];
        let taken = store.take_over(&TakeOver { urls, ..TakeOver::default() }, Timestamp::default());
        let feed = taken.expect("it is stored").remove(0);
        let changes = (0..ENTRIES).map(|seq| {
            let (entry, hash) = (entry(&feed, seq), Hash64(u64::from(seq)));
            let at = entry.key.listed_at;
            let now = Known {
                seq,
                listed_at: at,
                first_seen: at,
                guid: hash,
                link: None,
                fingerprint: hash,
                carried_on: 0,
                purged: false,
            };
            Change { was: None, now, entry: Some(entry) }
        });
        let changes = changes.collect();
        let mut update = [FeedUpdate { feed, changes, said: Vec::new(), events: Vec::new() }];
        store.commit(&mut update).expect("it is stored");
        let live = Arc::new(Live::default());
        live.update(update.map(|update| (update.feed, true)));
        let config = Config::parse("[mine]\nsites = [\"https://me.example/\"]", None, directory).expect("it is good");
        let (doors, letterbox) = (Doors::new().0, Letterbox::new().0);
        Arc::new(App::new(live, Arc::new(store), config, Arc::new(Metrics::default()), doors, letterbox, now))
    }

    async fn walk(app: &Arc<App>, ears: Arc<Ears>) {
        let (visits, stop) = (Gate::of_nobody(Arc::clone(&app.store)), CancellationToken::new());
        let walk = Walk { app, visits: &visits, stop: &stop };
        assert!(walk.run(ears).await.expect("it can be read").is_some());
    }

    fn mentions(app: &App) -> usize {
        app.store.snapshot().and_then(|snapshot| snapshot.mentions(None, 1000)).expect("it can be read").len()
    }

    #[tokio::test]
    async fn a_walk_goes_on_where_it_stopped_and_begins_anew_when_you_are_another() {
        let directory = tempfile::tempdir().expect("there is room");
        let app = unheard(directory.path());
        let ears = Arc::new(Ears::of(&app));
        let step = hear(&app, &ears, None, 100).expect("it can be read");
        assert_eq!((step.entries, step.mentions, mentions(&app)), (100, 10, 10));
        assert_eq!(app.store.heard().expect("it can be read"), Some((ears.heard_as, step.last)));

        // What was heard already is left as it is.
        let first = entry(&app.live.feeds_after(None, 1)[0], 0).key;
        let marked = Said { key: first, links: vec![Link::of("mark.example")], mention: None };
        app.store.hear(&[marked], ears.heard_as, step.last).expect("it is stored");
        let facts = app.live.facts();
        walk(&app, Arc::clone(&ears)).await;
        assert_eq!(mentions(&app), 29);
        assert_eq!(app.store.heard().expect("it can be read"), Some((ears.heard_as, None)));
        assert!(app.live.facts() > facts, "the pages are told");
        let facts = app.live.facts();
        walk(&app, Arc::clone(&ears)).await;
        assert_eq!((mentions(&app), app.live.facts()), (29, facts), "once heard, they are not heard again");

        let mut config = Config::clone(&app.config.load());
        config.mine.sites = vec!["https://other.example/".parse().expect("it is an address")];
        app.set_config(config);
        assert!(!ears.are_as_now(&app));
        let ears = Arc::new(Ears::of(&app));
        walk(&app, Arc::clone(&ears)).await;
        // It stands in nine of ten entries.
        assert_eq!(mentions(&app), 0);
        assert_eq!(app.store.heard().expect("it can be read"), Some((ears.heard_as, None)));
    }

    #[test]
    fn steps_are_as_large_as_their_texts_allow() {
        let step = |entries, bytes| Step {
            last: None,
            entries,
            bytes,
            mentions: 0,
            concerns_you: false,
            took: Duration::ZERO,
        };
        assert_eq!(next_step(&step(25, 25 * 2500)), 50);
        assert_eq!(next_step(&step(200, 200 * 2500)), MAX_STEP);
        assert_eq!(next_step(&step(100, 100 << 20)), 1);
        assert_eq!(next_step(&step(1, 0)), 2);
    }
}
