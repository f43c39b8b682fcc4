//! One visit to a feed: from the request to the commit of everything that came of it.

mod applied;
mod claims;
mod heard;
mod pushed;
#[cfg(test)]
mod year;

use std::collections::HashMap;
use std::future::ready;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub(super) use pushed::{Note, TakenIn};

use super::moves::Moves;
use super::seek::{self, Found, NoTurn, Page, seek_in_turn};
use super::writer::Commits;
use super::{Gate, blocking, chance, moment, now};
use crate::config::Config;
use crate::feeds::address::Guard;
use crate::feeds::fetch::{self, ACCEPT_FEED, Answer, Client, Failure, Pass, Turns};
use crate::feeds::host::outage::Fault;
use crate::feeds::parse::{self, NotAFeed};
use crate::feeds::schedule::{self, Answered, Limits, Outcome};
use crate::http::App;
use crate::model::{Document, Feed, FeedId, Timestamp, Validators};
use crate::store::FeedUpdate;
use applied::{Applied, Circumstances, Read, Taken, apply, fresh, report};
use claims::Claims;

/// The usual places are looked at in one of so many polls that meet a page without a feed, the first one included.
const POLLS_PER_GUESS: u32 = 8;
/// Up to here a document is read where it was received: it takes a millisecond or two, and some tens at worst, while
/// another thread costs two wake-ups and memory of its own.
const SMALL_DOCUMENT_BYTES: usize = 64 << 10;
/// So long after the daemon was asked to stop, answers that are on their way are still waited for.
const ENDING_GRACE: Duration = Duration::from_secs(1);

/// What visits share.
pub(super) struct Visitor {
    app: Arc<App>,
    moves: Arc<Moves>,
    turns: Arc<Turns>,
    manner: RwLock<Arc<Manner>>,
    commits: Commits,
    gate: Gate,
    processors: Semaphore,
    claims: Claims,
    /// Until when a hub pushes a feed.
    leases: RwLock<HashMap<FeedId, Timestamp>>,
    /// Where successful visits are told of.
    notes: mpsc::Sender<Note>,
    stop: CancellationToken,
}

/// What the configuration says about visits.
#[derive(Debug)]
struct Manner {
    client: Client,
    limits: Limits,
    gap: Duration,
}

/// What a visit leaves for the queue.
#[derive(Debug, Default)]
pub(super) struct Visit {
    /// Whether the due time that the feed has now holds: what came of the visit is stored, a new due time with it, or the
    /// feed became another one meanwhile.
    pub(super) is_kept: bool,
    /// Whether the host asked to be spared.
    pub(super) pause: Option<Pause>,
    /// How long the request took.
    pub(super) took: Option<Duration>,
    /// Feeds that others were joined to.
    pub(super) joined: Vec<FeedId>,
    /// What it says about our own network.
    pub(super) reach: Reach,
    /// Whether it was sent on to a host that may not be asked now, by a redirect or by a page: the feed has its turn later.
    pub(super) had_no_turn: bool,
}

/// What a visit says about our own network.
#[derive(Debug, Default)]
pub(super) enum Reach {
    /// Nothing.
    #[default]
    Unknown,
    /// Somebody was reached.
    Reached,
    /// Nobody was, and whose fault that is remains to be seen: nothing is stored before.
    Unreached(Unreached),
}

/// A visit that reached nobody.
#[derive(Clone, Debug)]
pub(super) struct Unreached {
    failure: Failure,
    took: Duration,
}

/// A host asked to be spared.
#[derive(Debug)]
pub(super) struct Pause {
    pub(super) host: String,
    pub(super) length: Duration,
}

impl Visitor {
    pub(super) fn new(
        config: &Config,
        moves: Arc<Moves>,
        commits: Commits,
        gate: Gate,
        notes: mpsc::Sender<Note>,
        turns: Box<Turns>,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let manner = RwLock::new(Arc::new(Manner::of(config)?));
        let processors = Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from));
        Ok(Self {
            app: Arc::clone(moves.app()),
            moves,
            turns: turns.into(),
            manner,
            commits,
            gate,
            processors,
            claims: Claims::default(),
            leases: RwLock::default(),
            notes,
            stop,
        })
    }

    pub(super) fn configure(&self, config: &Config) -> anyhow::Result<()> {
        let manner = Arc::new(Manner::of(config)?);
        *self.manner.write().unwrap_or_else(PoisonError::into_inner) = manner;
        Ok(())
    }

    /// Whom to ask before a host is asked for anything that its queue does not know of.
    pub(super) fn turns(&self) -> Arc<Turns> {
        Arc::clone(&self.turns)
    }

    pub(super) fn limits(&self) -> Limits {
        self.manner().limits
    }

    fn manner(&self) -> Arc<Manner> {
        Arc::clone(&self.manner.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks a feed, and returns when what came of it is durable.
    pub(super) async fn visit(&self, id: FeedId) -> Visit {
        let Some(feed) = self.app.live.feed(id) else { return Visit::default() };
        let manner = self.manner();
        let started = moment();
        let asking =
            manner.client.get_in_turn(feed.address(), &feed.validators, ACCEPT_FEED, now(), self.turns.as_ref());
        let asked = tokio::select! {
            // What is on its way need not be asked for again after a restart.
            () = async { self.stop.cancelled().await; tokio::time::sleep(ENDING_GRACE).await } => return Visit::default(),
            asked = asking => asked,
        };
        let took = started.elapsed();
        let reach = match reach_of(&asked, took) {
            reach @ Reach::Unreached(_) => return Visit { reach, ..Visit::default() },
            reach => reach,
        };
        if let Err(Failure::NoTurn(host)) = &asked {
            debug!(feed.url = %feed.url, host, "redirected to a host that may not be asked now; next try later");
            return Visit { reach, had_no_turn: true, ..Visit::default() };
        }
        let pause = asked.as_ref().ok().and_then(|answer| pause_for(&feed, answer));
        let kind = asked.as_ref().err().map(Failure::kind);
        let address = asked.as_ref().ok().map(|answer| answer.url.clone());
        let _claim = self.claims.claim(id).await;
        // A push may have come while the feed was asked.
        let feed = self.app.live.feed(id).unwrap_or(feed);
        let Ok(taken) = self.take(&feed, asked, &manner).await else {
            debug!(feed.url = %feed.url, "its page leads to a host that may not be asked now; next try later");
            return Visit { pause, reach, had_no_turn: true, ..Visit::default() };
        };
        self.app.metrics.fetched(kind.unwrap_or_else(|| word_for(&taken.outcome)), took);
        let is_good = matches!(taken.outcome, Outcome::Fetched { .. } | Outcome::Unchanged { .. });
        let is_kept = self.keep(&feed, taken, &manner.limits).await;
        if let Some(address) = address.filter(|_| is_good && is_kept && self.concerns_hubs(&feed)) {
            // Told again at the next visit where nobody can listen now.
            let _ = self.notes.try_send(Note { feed: id, address });
        }
        let joined = if is_kept { self.moves.look_after(&feed).await } else { Vec::new() };
        Visit { is_kept, pause, took: Some(took), joined, reach, had_no_turn: false }
    }

    /// Stores what came of a visit that reached nobody, now that it is known whose fault that was.
    pub(super) async fn conclude(&self, id: FeedId, unreached: Unreached, fault: Fault) -> Visit {
        let Unreached { failure, took } = unreached;
        let (word, outcome) = match fault {
            Fault::Theirs => (failure.kind(), Outcome::Failed { why: failure.to_string() }),
            Fault::Ours => (word_for(&Outcome::Offline), Outcome::Offline),
        };
        self.app.metrics.fetched(word, took);
        let _claim = self.claims.claim(id).await;
        let Some(feed) = self.app.live.feed(id) else { return Visit::default() };
        let is_kept = self.keep(&feed, Taken::only(outcome), &self.limits()).await;
        Visit { is_kept, took: Some(took), ..Visit::default() }
    }

    /// What an answer means.
    async fn take(&self, feed: &Feed, asked: Result<Answer, Failure>, manner: &Manner) -> Result<Taken, NoTurn> {
        let answer = match asked {
            Ok(answer) => answer,
            Err(failure) => return Ok(Taken::only(Outcome::Failed { why: failure.to_string() })),
        };
        let answered = answer.answered();
        Ok(match answer.status {
            304 => Taken::unchanged(answered, feed.newest, answer.validators),
            200 | 203 => self.read(feed, answer, answered, manner).await?,
            _ => Taken::only(Outcome::Refused { answer: answered }),
        })
    }

    async fn read(&self, feed: &Feed, answer: Answer, answered: Answered, manner: &Manner) -> Result<Taken, NoTurn> {
        let old_hash = feed.body_hash;
        let newest = feed.newest;
        let base = answer.base();
        let content_type = answer.content_type.clone();
        let body: Bytes = answer.body.clone();
        let read = self.work(body.len(), move || {
            let body_hash = hash(&body);
            if old_hash == Some(body_hash) {
                return None;
            }
            Some(parse::parse(&body, content_type.as_deref(), &base).map(|document| (document, body_hash)))
        });
        Ok(match read.await {
            None => Taken::unchanged(answered, newest, answer.validators),
            Some(Ok((document, body_hash))) => took(feed, answer, document, body_hash),
            Some(Err(NotAFeed::Html)) => self.look_at_page(feed, answer, answered, manner).await?,
            Some(Err(fault)) => {
                let parser_fault = matches!(fault, NotAFeed::ParserFault(_));
                Taken::only(Outcome::Unusable { answer: answered, why: fault.to_string(), parser_fault })
            }
        })
    }

    /// A page was answered instead of a feed: the feed that belongs to it is taken instead.
    async fn look_at_page(
        &self,
        feed: &Feed,
        page: Answer,
        answered: Answered,
        manner: &Manner,
    ) -> Result<Taken, NoTurn> {
        let body = page.body.to_vec();
        let page = Page { body, content_type: page.content_type.clone(), url: page.base() };
        // What a page names may change any day; what stands at usual places seldom does.
        let may_guess = feed.schedule.failures.is_multiple_of(POLLS_PER_GUESS);
        // The visit has its place on this host; on every other one it is a guest like those that a redirect sends.
        let (home, turns) = (feed.address().host_and_port(), self.turns());
        let turns = move |host: String| -> Pin<Box<dyn Future<Output = Option<Pass>> + Send>> {
            if host == home { Box::pin(ready(Some(seek::free()))) } else { turns(host) }
        };
        let looking = seek_in_turn(&manner.client, page, may_guess, manner.gap, &turns);
        let found = tokio::select! {
            () = self.stop.cancelled() => None,
            found = looking => found?,
        };
        let Some(Found { url, is_named, answer, document }) = found else {
            let why = "it is an HTML page, and no feed of it was found".to_owned();
            return Ok(Taken::only(Outcome::Unusable { answer: answered, why, parser_fault: false }));
        };
        let how = if is_named { "the page names its feed" } else { "the page's feed is at a usual place" };
        info!(feed.url = %feed.url, found = %url, "{how}; it is asked there from now on, and the list is left alone");
        let body_hash = hash(&answer.body);
        Ok(Taken { found: Some(url), ..took(feed, answer, document, body_hash) })
    }

    /// Commits what came of a visit, and puts it before the readers. Returns whether that was possible.
    async fn keep(&self, old: &Arc<Feed>, taken: Taken, limits: &Limits) -> bool {
        let (app, before) = (Arc::clone(&self.app), Arc::clone(old));
        let (bound, is_pushed) = (self.app.live.bound(), self.is_pushed(old.id));
        let under = Circumstances { bound, limits: *limits, is_pushed, jitter: chance(), now: now() };
        let is_found = taken.found.is_some();
        let bytes = taken.document.as_ref().map_or(0, |read| read.bytes);
        match self.work(bytes, move || apply(&app, &before, taken, &under)).await {
            Ok(applied) => {
                report(old, &applied.feed, applied.added, is_found);
                self.put(old, applied).await
            }
            Err(fault) => {
                warn!(feed.url = %old.url, %fault, "what is stored of a feed cannot be read; its answer is dropped");
                false
            }
        }
    }

    /// Commits a feed's next state, and puts it before the readers. Returns whether that was possible.
    async fn put(&self, old: &Arc<Feed>, applied: Applied) -> bool {
        let is_quiet = applied.is_quiet(old);
        let Applied { mut feed, changes, heard, events, added, shows } = applied;
        // Only now, after all that takes long: whoever marks feeds waits for this, and everybody behind him.
        let _visiting = self.gate.visiting().await;
        // It may have been marked, or have gone or been joined with another, since it was asked.
        let Some(current) = self.app.live.feed(old.id) else { return false };
        (feed.left_at, feed.predecessor) = (current.left_at, current.predecessor);
        feed.aliases.clone_from(&current.aliases);
        if !is_as_asked(old, &current) {
            debug!(feed.url = %old.url, "the feed was joined with another while it was asked; it is asked again");
            return true;
        }
        let freshness: Vec<Duration> = fresh(old, &changes);
        if is_quiet {
            let is_kept = self.commits.write_soon(&feed).await.is_ok();
            if is_kept {
                self.app.live.update([(feed, false)]);
            }
            return is_kept;
        }
        let Ok(written) = self.commits.write(vec![FeedUpdate { feed, changes, said: heard.said, events }]).await else {
            self.recall(old.id).await;
            return false;
        };
        self.app.metrics.entries.inc_by(u64::from(added));
        for age in freshness {
            self.app.metrics.freshness_seconds.observe(age.as_secs_f64());
        }
        self.app.live.update(written.into_iter().map(|feed| (feed, shows)));
        if heard.concerns_you {
            self.app.live.facts_changed();
        }
        true
    }

    /// Reads or cleans a document of so many bytes. A large one away from the tasks that wait for sockets, and no more at
    /// once than there are processors: what strangers make long must not take every thread.
    async fn work<T: Send + 'static>(&self, bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
        if bytes <= SMALL_DOCUMENT_BYTES {
            return work();
        }
        let _place = self.processors.acquire().await;
        blocking(work).await
    }

    /// Takes a feed as it is stored for the present, after a change that was made from another state was refused.
    async fn recall(&self, id: FeedId) {
        let store = Arc::clone(&self.app.store);
        if let Ok(Some(feed)) = blocking(move || store.feed(id)).await {
            self.app.live.update([(feed, true)]);
        }
    }
}

/// A document that was answered.
fn took(feed: &Feed, answer: Answer, mut document: Document, body_hash: [u8; 32]) -> Taken {
    let answered = answer.answered();
    // Links in headers are the server's word, and come before the document's own (WebSub, section 4).
    if !answer.hubs.is_empty() {
        document.about.hubs = answer.hubs;
        document.about.self_link = answer.self_link.or(document.about.self_link);
    }
    let whole = !answer.cut_off;
    if !whole {
        let entries = document.items.len();
        warn!(feed.url = %feed.url, entries, "the answer broke off; what was complete is kept, and it is asked for again soon");
    }
    Taken {
        outcome: Outcome::Fetched { answer: answered, pace: document.pace.clone(), dates: Vec::new() },
        // A body that broke off must come again in full.
        validators: Some(if whole { answer.validators } else { Validators::default() }),
        document: Some(Read { document, bytes: answer.body.len(), body_hash: whole.then_some(body_hash) }),
        found: None,
        is_cut: !whole,
    }
}

impl Manner {
    fn of(config: &Config) -> anyhow::Result<Self> {
        let client = Client::new(fetch_settings(config))?;
        Ok(Self { client, limits: limits(config), gap: config.fetch.per_host_gap })
    }
}

/// How often what is well, and what is not, is asked under a configuration.
pub(super) fn limits(config: &Config) -> Limits {
    let fetch = &config.fetch;
    Limits { min_interval: fetch.min_interval, max_interval: fetch.max_interval, max_backoff: fetch.max_backoff }
}

/// How the one HTTP client behaves under a configuration.
pub fn fetch_settings(config: &Config) -> fetch::Settings {
    let fetch = &config.fetch;
    fetch::Settings {
        timeout: fetch.timeout,
        max_body_bytes: fetch.max_body_bytes,
        contact: fetch.contact.as_ref().map(ToString::to_string),
        guard: Guard::new(fetch.allow_addresses.iter().copied()),
        ..fetch::Settings::default()
    }
}

/// What came of a request, as a witness about our own network.
fn reach_of(asked: &Result<Answer, Failure>, took: Duration) -> Reach {
    match asked {
        Err(failure) if failure.may_be_our_network() => Reach::Unreached(Unreached { failure: failure.clone(), took }),
        Err(failure) if !failure.was_somebody_reached() => Reach::Unknown,
        Ok(_) | Err(_) => Reach::Reached,
    }
}

/// BLAKE3 of a body and of the parser's version: what a better parser reads otherwise is no longer the same.
fn hash(body: &[u8]) -> [u8; 32] {
    let mut hash = blake3::Hasher::new();
    hash.update(&parse::VERSION.to_be_bytes());
    hash.update(body);
    hash.finalize().into()
}

fn pause_for(feed: &Feed, answer: &Answer) -> Option<Pause> {
    let length = schedule::host_pause(&answer.answered())?;
    let host = feed.address().host_and_port();
    // Where a redirect led to another host, the one that was asked has done nothing, and nobody may silence the other
    // one by leading us there. The feed itself waits all the same.
    if answer.url.host_and_port() != host {
        return None;
    }
    info!(feed.url = %feed.url, host, status = answer.status, "a host asked to be spared for {length:?}");
    Some(Pause { host, length })
}

/// The outcome's word in the metrics.
fn word_for(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Fetched { .. } => "ok",
        Outcome::Unchanged { answer, .. } if answer.status == 304 => "not_modified",
        Outcome::Unchanged { .. } => "unchanged",
        Outcome::Unusable { .. } => "unusable",
        Outcome::Refused { answer } => match answer.status {
            400..=499 => "client_error",
            500..=599 => "server_error",
            _ => "other_status",
        },
        Outcome::Failed { .. } => "failed",
        Outcome::Offline => "offline",
    }
}

/// Whether what an answer was compared with holds still: no entries came otherwise, and it is to be asked as it was.
fn is_as_asked(old: &Feed, current: &Feed) -> bool {
    old.next_seq == current.next_seq
        && old.url == current.url
        && old.moved_to == current.moved_to
        && old.validators == current.validators
        && old.body_hash == current.body_hash
}
