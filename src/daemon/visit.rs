//! One visit to a feed: from the request to the commit of everything that came of it.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::poll::Gate;
use super::writer::Commits;
use super::{blocking, chance, moment, now};
use crate::config::Config;
use crate::feeds::address::Guard;
use crate::feeds::clean::Cleaner;
use crate::feeds::fetch::{self, ACCEPT_FEED, Answer, Client, Failure, Turns};
use crate::feeds::host::outage::Fault;
use crate::feeds::identity::{Reconciled, reconcile};
use crate::feeds::parse::{self, NotAFeed};
use crate::feeds::schedule::{self, Answered, Limits, Outcome};
use crate::http::App;
use crate::model::{Change, Document, Feed, FeedId, FeedState, Timestamp, Validators};
use crate::store::{FeedUpdate, Store, StoreError};

/// So long after the daemon was asked to stop, answers that are on their way are still waited for.
const ENDING_GRACE: Duration = Duration::from_secs(1);

/// What visits share.
pub(super) struct Visitor {
    app: Arc<App>,
    turns: Box<Turns>,
    manner: RwLock<Arc<Manner>>,
    commits: Commits,
    gate: Gate,
    processors: Semaphore,
    stop: CancellationToken,
}

/// What the configuration says about visits.
#[derive(Debug)]
struct Manner {
    client: Client,
    limits: Limits,
}

/// What a visit leaves for the queue.
#[derive(Debug, Default)]
pub(super) struct Visit {
    /// Whether what came of it is stored, a new due time with it.
    pub(super) is_kept: bool,
    /// Whether the host asked to be spared.
    pub(super) pause: Option<Pause>,
    /// How long the request took.
    pub(super) took: Option<Duration>,
    /// What it says about our own network.
    pub(super) reach: Reach,
    /// Whether it was sent on to a host that may not be asked now: the feed has its turn later.
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

/// What an answer brought for the store, beside the schedule.
struct Taken {
    outcome: Outcome,
    validators: Option<Validators>,
    document: Option<Read>,
    /// Whether the transport ended before the body did.
    is_cut: bool,
}

/// A document that could be read.
struct Read {
    document: Document,
    /// How large it was.
    bytes: usize,
    body_hash: Option<[u8; 32]>,
}

impl Taken {
    fn only(outcome: Outcome) -> Self {
        Self { outcome, validators: None, document: None, is_cut: false }
    }
}

impl Visitor {
    pub(super) fn new(
        config: &Config,
        app: Arc<App>,
        commits: Commits,
        gate: Gate,
        turns: Box<Turns>,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let manner = RwLock::new(Arc::new(Manner::of(config)?));
        let processors = Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from));
        Ok(Self { app, turns, manner, commits, gate, processors, stop })
    }

    pub(super) fn configure(&self, config: &Config) -> anyhow::Result<()> {
        let manner = Arc::new(Manner::of(config)?);
        *self.manner.write().unwrap_or_else(PoisonError::into_inner) = manner;
        Ok(())
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
        let taken = self.take(&feed, asked).await;
        self.app.metrics.fetched(kind.unwrap_or_else(|| word_for(&taken.outcome)), took);
        let is_kept = self.keep(&feed, taken, &manner.limits).await;
        Visit { is_kept, pause, took: Some(took), reach, had_no_turn: false }
    }

    /// Stores what came of a visit that reached nobody, now that it is known whose fault that was.
    pub(super) async fn conclude(&self, id: FeedId, unreached: Unreached, fault: Fault) -> Visit {
        let Some(feed) = self.app.live.feed(id) else { return Visit::default() };
        let Unreached { failure, took } = unreached;
        let (word, outcome) = match fault {
            Fault::Theirs => (failure.kind(), Outcome::Failed { why: failure.to_string() }),
            Fault::Ours => (word_for(&Outcome::Offline), Outcome::Offline),
        };
        self.app.metrics.fetched(word, took);
        let is_kept = self.keep(&feed, Taken::only(outcome), &self.limits()).await;
        Visit { is_kept, took: Some(took), ..Visit::default() }
    }

    /// What an answer means.
    async fn take(&self, feed: &Feed, asked: Result<Answer, Failure>) -> Taken {
        let answer = match asked {
            Ok(answer) => answer,
            Err(failure) => return Taken::only(Outcome::Failed { why: failure.to_string() }),
        };
        let answered = answer.answered();
        match answer.status {
            304 => Taken {
                outcome: Outcome::Unchanged { answer: answered, newest: feed.newest },
                validators: Some(answer.validators),
                document: None,
                is_cut: false,
            },
            200 | 203 => self.read(feed, answer, answered).await,
            _ => Taken::only(Outcome::Refused { answer: answered }),
        }
    }

    async fn read(&self, feed: &Feed, answer: Answer, answered: Answered) -> Taken {
        let old_hash = feed.body_hash;
        let newest = feed.newest;
        let base = answer.base();
        let content_type = answer.content_type.clone();
        let body: Bytes = answer.body.clone();
        let read = self.work(move || {
            let body_hash = hash(&body);
            if old_hash == Some(body_hash) {
                return None;
            }
            Some(parse::parse(&body, content_type.as_deref(), &base).map(|document| (document, body_hash)))
        });
        match read.await {
            None => Taken {
                outcome: Outcome::Unchanged { answer: answered, newest },
                validators: Some(answer.validators),
                document: None,
                is_cut: false,
            },
            Some(Ok((mut document, body_hash))) => {
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
                    is_cut: !whole,
                }
            }
            Some(Err(fault)) => {
                let parser_fault = matches!(fault, NotAFeed::ParserFault(_));
                Taken::only(Outcome::Unusable { answer: answered, why: fault.to_string(), parser_fault })
            }
        }
    }

    /// Commits what came of a visit, and puts it before the readers. Returns whether that was possible.
    async fn keep(&self, old: &Arc<Feed>, taken: Taken, limits: &Limits) -> bool {
        let (store, before) = (Arc::clone(&self.app.store), Arc::clone(old));
        let limits = *limits;
        let jitter = chance();
        let applied = self.work(move || apply(&store, &before, taken, &limits, jitter, now())).await;
        let Applied { mut feed, changes, added, shows } = match applied {
            Ok(applied) => applied,
            Err(fault) => {
                warn!(feed.url = %old.url, %fault, "what is stored of a feed cannot be read; its answer is dropped");
                return false;
            }
        };
        // Only now, after all that takes long: whoever marks feeds waits for this, and everybody behind him.
        let _visiting = self.gate.read().await;
        // It may have been marked, or have gone, since it was asked.
        let Some(current) = self.app.live.feed(old.id) else { return false };
        feed.left_at = current.left_at;
        report(old, &feed, added);
        let freshness: Vec<Duration> = fresh(old, &changes);
        let Ok(written) = self.commits.write(vec![FeedUpdate { feed, changes }]).await else {
            self.recall(old.id).await;
            return false;
        };
        self.app.metrics.entries.inc_by(u64::from(added));
        for age in freshness {
            self.app.metrics.freshness_seconds.observe(age.as_secs_f64());
        }
        self.app.live.update(written.into_iter().map(|feed| (feed, shows)));
        true
    }

    /// Reads and cleans away from the tasks that wait for sockets, and no more at once than there are processors: what
    /// strangers make long must not take every thread.
    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
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

impl Manner {
    fn of(config: &Config) -> anyhow::Result<Self> {
        let fetch = &config.fetch;
        let client = Client::new(fetch_settings(config))?;
        let limits = Limits {
            min_interval: fetch.min_interval,
            max_interval: fetch.max_interval,
            max_backoff: fetch.max_backoff,
        };
        Ok(Self { client, limits })
    }
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

/// SHA-256 of a body and of the parser's version: what a better parser reads otherwise is no longer the same.
fn hash(body: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(parse::VERSION.to_be_bytes());
    digest.update(body);
    digest.finalize().into()
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

/// A feed after a visit, and what is to be stored of it.
struct Applied {
    feed: Feed,
    changes: Vec<Change>,
    added: u32,
    shows: bool,
}

/// The feed's next state. Only new and changed entries are cleaned.
fn apply(
    store: &Store,
    old: &Feed,
    taken: Taken,
    limits: &Limits,
    jitter: f64,
    now: Timestamp,
) -> Result<Applied, StoreError> {
    let Taken { mut outcome, validators, document, is_cut } = taken;
    let mut feed = old.clone();
    let mut changes = Vec::new();
    let mut added = 0;
    if let Some(Read { document, bytes, body_hash }) = document {
        let cleaner = Cleaner::new(bytes);
        let known = store.known(old.id)?;
        let mut reconciled: Reconciled = reconcile(old, &known, &document, now);
        changes = reconciled.changes(old.id, &document, now, |markup, base| cleaner.html(markup, base));
        if let Outcome::Fetched { dates, .. } = &mut outcome {
            *dates = std::mem::take(&mut reconciled.dates);
        }
        added = reconciled.added;
        feed.identity = reconciled.identity;
        feed.about = document.about;
        feed.body_hash = body_hash;
    }
    if let Some(validators) = validators {
        feed.validators = validators;
    }
    let next = schedule::next(&old.schedule, &outcome, limits, now, jitter);
    feed.schedule = next.schedule;
    if is_cut {
        // The rest of it is missing until the next answer.
        feed.schedule.next_poll = feed.schedule.next_poll.min(now.plus(limits.min_interval));
        feed.schedule.last_error = Some("the answer broke off; its complete entries are kept".to_owned());
    }
    if let Some(adopted) = next.adopted {
        feed.moved_to = (adopted != feed.url).then_some(adopted);
    }
    let is_first = old.schedule.state == FeedState::New;
    let shows = is_first
        || changes.iter().any(|change| change.entry.is_some())
        || feed.about != old.about
        || feed.moved_to != old.moved_to;
    Ok(Applied { feed, changes, added, shows })
}

/// One line for what changed in a feed's state, a quiet one for every other visit.
fn report(old: &Feed, new: &Feed, added: u32) {
    let schedule = &new.schedule;
    let next = schedule.next_poll;
    let status = schedule.last_status;
    let is_failing = matches!(schedule.state, FeedState::Backoff | FeedState::Held | FeedState::Quarantined);
    if new.moved_to != old.moved_to {
        info!(feed.url = %new.url, to = %new.address(), "feed moved; the list is left alone");
    }
    if schedule.state == FeedState::Gone {
        warn!(feed.url = %new.url, status, "feed is gone; it is asked no more until its outline is edited");
    } else if is_failing && (schedule.state != old.schedule.state || schedule.last_error != old.schedule.last_error) {
        let reason = schedule.last_error.as_deref().unwrap_or("no reason given");
        warn!(feed.url = %new.url, status, reason, "feed failed; next try at {next}");
    } else if schedule.state == FeedState::Ok && old.schedule.failures > 0 {
        info!(feed.url = %new.url, status, added, "feed is back; next poll at {next}");
    } else {
        debug!(feed.url = %new.url, status, added, "feed asked; next poll at {next}");
    }
}

/// How long new entries took from publication to here. A first document brings old ones and says nothing.
fn fresh(old: &Feed, changes: &[Change]) -> Vec<Duration> {
    if old.schedule.last_success.is_none() {
        return Vec::new();
    }
    let new = changes.iter().filter(|change| change.was.is_none()).filter_map(|change| change.entry.as_ref());
    new.filter_map(|entry| Some(entry.first_seen.since(entry.published?))).collect()
}
