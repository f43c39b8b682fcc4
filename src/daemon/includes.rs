//! Remote reading lists in motion: asks each when it is due, keeps its last good copy, and says when one has changed.
//!
//! As polite as with feeds: the same client, the same schedule, and a turn in the queue of the feeds, so that a host
//! with lists and feeds is asked no more often than one with feeds alone. What the copies mean is
//! [`include`](crate::lists::include)'s business.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::poll::Order;
use super::visit::{Pause, fetch_settings, limits};
use super::{blocking, chance, now, poll, pulse};
use crate::config::Config;
use crate::feeds::fetch::{Answer, Client, Failure, Turns};
use crate::feeds::host::{Politeness, Queue, Standing};
use crate::feeds::schedule::{self, Limits, Outcome};
use crate::http::App;
use crate::lists::include::{Remote, Remotes};
use crate::lists::opml;
use crate::model::{FeedId, FeedState, FeedUrl, Schedule, Validators};
use crate::store::{RemoteCopy, StoreError};

/// What a remote list may come as.
const ACCEPT_LIST: &str = "text/x-opml, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.1";

/// The most that all copies may take together, in bytes: their outlines are bounded, but not what stands between them.
const MAX_COPIES_BYTES: usize = 32 << 20;
/// A list that got no turn on its host tries again after this.
const TURN_PAUSE: Duration = Duration::from_mins(1);

/// What the lists have to do with remote ones.
#[derive(Debug)]
pub(super) struct Handle {
    /// What is known of them; changes when a copy or a fault does.
    pub(super) remotes: watch::Receiver<Arc<Remotes>>,
    /// Which are to be asked.
    pub(super) wanted: watch::Sender<BTreeSet<FeedUrl>>,
}

/// The task that asks for remote lists.
pub(super) struct Includes {
    app: Arc<App>,
    config: Arc<Config>,
    client: Client,
    /// Which list is next. Whether its host may be asked is for `turns` to say.
    queue: Queue,
    turns: Arc<Turns>,
    /// Who keeps the hosts is told of those that ask to be spared.
    orders: mpsc::Sender<Order>,
    /// The queue knows numbers; these are of this task alone.
    numbers: BTreeMap<FeedUrl, FeedId>,
    urls: HashMap<FeedId, FeedUrl>,
    /// The number that the next list gets.
    next: u32,
    copies: BTreeMap<FeedUrl, RemoteCopy>,
    wanted: watch::Receiver<BTreeSet<FeedUrl>>,
    remotes: watch::Sender<Arc<Remotes>>,
    running: JoinSet<(FeedId, Result<Answer, Failure>)>,
    stop: CancellationToken,
}

/// Takes over the stored copies.
pub(super) async fn open(
    app: Arc<App>,
    turns: Arc<Turns>,
    orders: mpsc::Sender<Order>,
    stop: CancellationToken,
) -> anyhow::Result<(Includes, Handle)> {
    let store = Arc::clone(&app.store);
    let stored: Vec<RemoteCopy> = blocking(move || store.copies()).await?;
    let copies: BTreeMap<FeedUrl, RemoteCopy> = stored.into_iter().map(|copy| (copy.url.clone(), copy)).collect();
    let (remotes, known) = watch::channel(Arc::new(known(&copies)));
    let (wanted, asked) = watch::channel(BTreeSet::new());
    let config = app.config.load_full();
    let includes = Includes {
        client: Client::new(fetch_settings(&config))?,
        queue: Queue::new(politeness(&config)),
        turns,
        orders,
        numbers: BTreeMap::new(),
        urls: HashMap::new(),
        next: 0,
        wanted: asked,
        running: JoinSet::new(),
        app,
        config,
        copies,
        remotes,
        stop,
    };
    Ok((includes, Handle { remotes: known, wanted }))
}

/// What the lists have to know of the copies.
fn known(copies: &BTreeMap<FeedUrl, RemoteCopy>) -> Remotes {
    let remote = |copy: &RemoteCopy| {
        let is_failing = copy.schedule.failures > 0 || copy.schedule.state == FeedState::Gone;
        Remote {
            copy: copy.content.as_deref().map(Arc::from),
            fault: copy.schedule.last_error.clone().filter(|_| is_failing),
        }
    };
    copies.iter().map(|(url, copy)| (url.clone(), remote(copy))).collect()
}

impl Includes {
    /// Asks until told to stop.
    pub(super) async fn run(mut self) {
        loop {
            self.configure();
            while let Some(id) = self.queue.next(now()) {
                let Some(copy) = self.urls.get(&id).and_then(|url| self.copies.get(url)) else {
                    self.queue.finished(id, now());
                    continue;
                };
                let (client, turns) = (self.client.clone(), Arc::clone(&self.turns));
                let (url, validators) = (copy.url.clone(), copy.validators.clone());
                self.running.spawn(async move { (id, ask(&client, &url, &validators, turns.as_ref()).await) });
            }
            let idle = self.queue.wake_at().map_or(pulse::BEAT, |at| at.since(now()).min(pulse::BEAT));
            tokio::select! {
                () = self.stop.cancelled() => break,
                changed = self.wanted.changed() => match changed {
                    Ok(()) => self.follow().await,
                    Err(_) => break,
                },
                Some(done) = self.running.join_next() => match done {
                    Ok((id, asked)) => self.take(id, asked).await,
                    Err(fault) => error!(%fault, "asking for a remote list broke off"),
                },
                () = tokio::time::sleep(idle.max(Duration::from_millis(1))) => {}
            }
        }
    }

    /// Puts another configuration in force, where there is one.
    fn configure(&mut self) {
        let config = self.app.config.load_full();
        if Arc::ptr_eq(&config, &self.config) {
            return;
        }
        match Client::new(fetch_settings(&config)) {
            Ok(client) => self.client = client,
            Err(fault) => error!(%fault, "the new fetch settings cannot be used for remote lists; the old ones stay"),
        }
        self.queue.set_politeness(politeness(&config));
        self.config = config;
    }

    /// Asks for those that are named now; what is no longer named is forgotten.
    async fn follow(&mut self) {
        let wanted = self.wanted.borrow_and_update().clone();
        let gone: Vec<FeedUrl> = self.copies.keys().filter(|url| !wanted.contains(*url)).cloned().collect();
        for url in &gone {
            self.copies.remove(url);
            if let Some(id) = self.numbers.remove(url) {
                self.queue.remove(id);
                self.urls.remove(&id);
            }
        }
        for url in wanted {
            if self.numbers.contains_key(&url) {
                continue;
            }
            // Never one that was in use: an answer that is still on its way belongs to nobody else.
            let id = FeedId(self.next);
            self.next = self.next.wrapping_add(1);
            self.numbers.insert(url.clone(), id);
            self.urls.insert(id, url.clone());
            self.copies.entry(url.clone()).or_insert_with(|| RemoteCopy {
                schedule: Schedule::new(now()),
                validators: Validators::default(),
                content: None,
                url,
            });
            self.enqueue(id);
        }
        self.keep(Vec::new(), gone).await;
    }

    fn limits(&self) -> Limits {
        limits(&self.config)
    }

    fn enqueue(&mut self, id: FeedId) {
        let Some(copy) = self.urls.get(&id).and_then(|url| self.copies.get(url)) else { return };
        if copy.schedule.state != FeedState::Gone {
            let due = schedule::due_at(&copy.schedule, &self.limits(), now());
            self.queue.insert(id, &copy.url.host_and_port(), due, Standing::of(copy.schedule.state, None));
        }
    }

    async fn take(&mut self, id: FeedId, asked: Result<Answer, Failure>) {
        let limits = self.limits();
        self.queue.finished(id, now());
        let own = self.urls.get(&id);
        let others = self.copies.values().filter(|copy| Some(&copy.url) != own);
        let taken: usize = others.filter_map(|copy| copy.content.as_ref()).map(Vec::len).sum();
        let room = MAX_COPIES_BYTES.saturating_sub(taken);
        let Some(copy) = self.urls.get(&id).and_then(|url| self.copies.get_mut(url)) else { return };
        if let Err(Failure::NoTurn(host)) = &asked {
            debug!(url = %copy.url, host, "a remote list's host may not be asked now; next try later");
            let standing = Standing::of(copy.schedule.state, None);
            self.queue.insert(id, &copy.url.host_and_port(), now().plus(TURN_PAUSE), standing);
            return;
        }
        let old = copy.clone();
        if let Ok(answer) = &asked
            && let Some(pause) = schedule::host_pause(&answer.answered())
            && answer.url.host_and_port() == copy.url.host_and_port()
        {
            let spared = Pause { host: copy.url.host_and_port(), length: pause };
            // Nobody listens any more when the daemon ends.
            self.orders.send(Order::Spare(spared)).await.ok();
        }
        let outcome = outcome(copy, asked, room).await;
        copy.schedule = schedule::next(&copy.schedule, &outcome, &limits, now(), chance()).schedule;
        let (url, next) = (&copy.url, copy.schedule.next_poll);
        if copy.content != old.content {
            info!(%url, "a remote list has changed");
        }
        if copy.schedule.last_error != old.schedule.last_error
            && let Some(reason) = &copy.schedule.last_error
        {
            warn!(%url, reason, "a remote list cannot be read; its last good copy stands, next try at {next}");
        }
        let copy = copy.clone();
        self.enqueue(id);
        self.keep(vec![copy], Vec::new()).await;
    }

    /// Stores what changed, then tells the lists.
    async fn keep(&self, copies: Vec<RemoteCopy>, gone: Vec<FeedUrl>) {
        if !copies.is_empty() || !gone.is_empty() {
            let store = Arc::clone(&self.app.store);
            let kept: Result<(), StoreError> = blocking(move || store.keep_copies(&copies, &gone)).await;
            if let Err(fault) = kept {
                warn!(%fault, "what came of asking for a remote list could not be stored; after a restart it is asked anew");
            }
        }
        let known = known(&self.copies);
        self.remotes.send_if_modified(|remotes| {
            let is_new = **remotes != known;
            if is_new {
                *remotes = Arc::new(known);
            }
            is_new
        });
    }
}

/// One list of a host at a time, so that lists never fill the places of those that wait for a turn.
fn politeness(config: &Config) -> Politeness {
    Politeness { per_host: 1, ..poll::politeness(config) }
}

/// Asks for a list, when its host may be asked.
async fn ask(client: &Client, url: &FeedUrl, validators: &Validators, turns: &Turns) -> Result<Answer, Failure> {
    let host = url.host_and_port();
    // Held until the answer is here.
    let Some(_pass) = turns(host.clone()).await else { return Err(Failure::NoTurn(host)) };
    client.get_in_turn(url, validators, ACCEPT_LIST, now(), turns).await
}

/// What an answer means; a good one of at most `room` bytes becomes the copy.
async fn outcome(copy: &mut RemoteCopy, asked: Result<Answer, Failure>, room: usize) -> Outcome {
    let answer = match asked {
        Ok(answer) => answer,
        Err(failure) => return Outcome::Failed { why: failure.to_string() },
    };
    // A list is asked where its outline says.
    let answered = schedule::Answered { moved: None, ..answer.answered() };
    match answer.status {
        304 => {
            copy.validators = answer.validators;
            Outcome::Unchanged { answer: answered, newest: None }
        }
        200 | 203 if answer.cut_off => {
            Outcome::Unusable { answer: answered, why: "the answer broke off".to_owned(), parser_fault: false }
        }
        200 | 203 if answer.body.len() > room => {
            let why = format!("remote lists hold more than {} MiB together", MAX_COPIES_BYTES >> 20);
            Outcome::Unusable { answer: answered, why, parser_fault: false }
        }
        200 | 203 => {
            let body = answer.body.clone();
            match blocking(move || opml::parse(&body).map(drop)).await {
                Ok(()) => {
                    copy.validators = answer.validators;
                    copy.content = Some(answer.body.to_vec());
                    Outcome::Fetched { answer: answered, pace: copy.schedule.pace.clone(), dates: Vec::new() }
                }
                Err(fault) => Outcome::Unusable { answer: answered, why: fault.to_string(), parser_fault: false },
            }
        }
        _ => Outcome::Refused { answer: answered },
    }
}
