//! Hubs: asks them for pushes, answers what they ask, takes in what they push, and lets feeds be polled again where
//! they fall silent.
//!
//! Owns every agreement with a hub and when which request is sent; what follows from what is decided in
//! `feeds::websub`. One request at a time goes to each hub, with the pause that every host gets, and a hub that fails is
//! left alone ever longer by all its feeds together.

mod hosts;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use url::Url;

use super::poll::Order;
use super::visit::{Note, TakenIn, Visitor};
use super::{blocking, chance, now};
use crate::config::Config;
use crate::feeds::address::Guard;
use crate::feeds::fetch::{Failure, Posted};
use crate::feeds::host::CLOCK_TOLERANCE;
use crate::feeds::websub::{self, CALLBACKS, Mode, Offer, Signature, Step};
use crate::http::App;
use crate::http::websub::{Call, Intent, Push};
use crate::model::{FeedId, HubStage, HubSubscription, Timestamp};
use crate::store::StoreError;
use hosts::Hosts;

/// Requests to hubs under way at once.
const MAX_REQUESTS: usize = 8;
/// How often a hint leads to a poll of one feed, at most.
const HINT_PAUSE: Duration = Duration::from_mins(1);
/// How long what was due and could not be done waits.
const TICK: Duration = Duration::from_secs(1);
/// A feed that names other hubs or addresses all the time is believed again after so many of its shortest intervals.
const CHANGE_INTERVALS: u32 = 4;
/// Bytes of chance in a token and in a secret: twice what is asked for at least.
const SECRET_BYTES: usize = 32;
/// How long tasks may take to end after the daemon was asked to stop.
const ENDING_TIMEOUT: Duration = Duration::from_secs(5);

/// The task that deals with hubs.
pub(super) struct Hubs {
    app: Arc<App>,
    visitor: Arc<Visitor>,
    orders: mpsc::Sender<Order>,
    calls: mpsc::Receiver<Call>,
    notes: mpsc::Receiver<Note>,
    /// Every agreement, by its token.
    agreed: HashMap<String, HubSubscription>,
    /// The agreement that stands for a feed; those that are being ended are not here.
    current: HashMap<FeedId, Current>,
    hosts: Hosts,
    hints: HashMap<FeedId, Hint>,
    /// Tokens of agreements whose forged pushes were reported.
    reported: HashSet<String>,
    running: JoinSet<Finished>,
    /// Nothing is due before this.
    due: Timestamp,
    /// The latest time that the clock has shown.
    latest: Timestamp,
    /// The configuration and the roster that agreements were last compared with.
    compared: Option<(Arc<Config>, u64)>,
    stop: CancellationToken,
}

/// A feed's agreement.
struct Current {
    token: String,
    since: Timestamp,
}

/// When a feed was last polled on a hint, and whether another came since.
struct Hint {
    polled: Timestamp,
    again: bool,
}

/// What a task of this task's has finished.
enum Finished {
    Asked { token: String, host: String, mode: Mode, answer: Result<Posted, Failure> },
    Pushed { token: String, feed: FeedId, became: Became },
    Quickened { feed: FeedId, is_sooner: bool },
}

/// What became of a push.
enum Became {
    Taken(TakenIn),
    Hint,
    Forged(&'static str),
}

impl Hubs {
    /// Takes up what was agreed before. Fails where that cannot be read.
    pub(super) async fn open(
        app: Arc<App>,
        visitor: Arc<Visitor>,
        orders: mpsc::Sender<Order>,
        calls: mpsc::Receiver<Call>,
        notes: mpsc::Receiver<Note>,
        stop: CancellationToken,
    ) -> Result<Self, StoreError> {
        let store = Arc::clone(&app.store);
        let stored = blocking(move || store.hub_subscriptions()).await?;
        let now = now();
        let mut hubs = Self {
            app,
            visitor,
            orders,
            calls,
            notes,
            agreed: HashMap::new(),
            current: HashMap::new(),
            hosts: Hosts::default(),
            hints: HashMap::new(),
            reported: HashSet::new(),
            running: JoinSet::new(),
            due: Timestamp::MIN,
            latest: Timestamp::MIN,
            compared: None,
            stop,
        };
        for subscription in stored {
            hubs.remember(websub::restored(subscription, now), now);
        }
        Ok(hubs)
    }

    /// Deals with hubs until told to stop. Nobody is asked to end anything then: leases outlast a restart.
    pub(super) async fn run(mut self) {
        loop {
            self.look_at_clock();
            self.compare().await;
            if now() >= self.due {
                self.take_steps().await;
            }
            let idle = self.due.since(now()).clamp(Duration::from_millis(10), TICK);
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(call) = self.calls.recv() => self.heard(call).await,
                Some(note) = self.notes.recv() => self.noted(note).await,
                Some(finished) = self.running.join_next() => self.finished(finished).await,
                () = tokio::time::sleep(idle) => {}
            }
        }
        let ending = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(ENDING_TIMEOUT, ending).await.is_err() {
            debug!("some requests to hubs did not end in time");
        }
    }

    /// After the clock was set back, steps that were fixed under the wrong one lie too far ahead.
    fn look_at_clock(&mut self) {
        let now = now();
        if self.latest.since(now) > CLOCK_TOLERANCE {
            for agreed in self.agreed.values_mut() {
                *agreed = websub::restored(agreed.clone(), now);
            }
            self.hints.values_mut().for_each(|hint| hint.polled = hint.polled.min(now));
            self.hosts.clock_was_set_back(now);
            (self.due, self.latest) = (now, now);
        }
        self.latest = self.latest.max(now);
    }

    /// Brings the agreements in line with lists and configuration, where those have changed.
    async fn compare(&mut self) {
        let (config, bound) = (self.app.config.load_full(), self.app.live.bound());
        let is_same = |(old, revision): &(Arc<Config>, u64)| Arc::ptr_eq(old, &config) && *revision == bound.revision;
        if self.compared.as_ref().is_some_and(is_same) {
            return;
        }
        let is_possible = is_possible(&config);
        if config.websub && !is_possible && self.compared.is_none() {
            info!(url = %config.server.base_url, "hubs cannot reach server.base_url; feeds are polled and not pushed");
        }
        let listed: HashSet<FeedId> = bound.ids.values().copied().collect();
        let base = config.server.base_url.clone();
        self.compared = Some((config, bound.revision));
        let stays = |feed: &FeedId, subscription: &HubSubscription| {
            is_possible && listed.contains(feed) && is_below(&subscription.callback, &base)
        };
        let lost = self.current.iter().filter(|(feed, current)| {
            !self.agreed.get(&current.token).is_some_and(|subscription| stays(feed, subscription))
        });
        let lost: Vec<FeedId> = lost.map(|(feed, _)| *feed).collect();
        for feed in lost {
            self.leave(feed).await;
        }
        if !is_possible {
            return;
        }
        let live = Arc::clone(&self.app.live);
        let offers = blocking(move || {
            let mut offers = Vec::new();
            live.for_each_listed(|feed| {
                let address = feed.validators.from.as_ref().unwrap_or(feed.address());
                let about = &feed.about;
                let offer = websub::offer(&about.hubs, about.self_link.as_deref(), address);
                offers.extend(offer.map(|offer| (feed.id, offer)));
            });
            offers
        });
        for (feed, offer) in offers.await {
            if !self.current.contains_key(&feed) {
                self.agree(feed, offer).await;
            }
        }
    }

    /// A feed was visited: it may name a hub now, or another, or none.
    async fn noted(&mut self, note: Note) {
        let bound = self.app.live.bound();
        let Some(feed) = self.app.live.feed(note.feed).filter(|feed| bound.ids.get(&feed.url) == Some(&feed.id)) else {
            return;
        };
        let about = &feed.about;
        let offer = websub::offer(&about.hubs, about.self_link.as_deref(), &note.address);
        if let Some(current) = self.current.get(&note.feed) {
            let agreed = self.agreed.get(&current.token).map(|agreed| (&agreed.hub, &agreed.topic));
            if agreed == offer.as_ref().map(|offer| (&offer.hub, &offer.topic)) {
                return;
            }
            let pause = self.visitor.limits().min_interval * CHANGE_INTERVALS;
            if now() < current.since.plus(pause) {
                return;
            }
            self.leave(note.feed).await;
        }
        if let Some(offer) = offer.filter(|_| is_possible(&self.app.config.load())) {
            self.agree(note.feed, offer).await;
        }
    }

    /// Wishes for an agreement; the hub is asked in its turn.
    async fn agree(&mut self, feed: FeedId, offer: Offer) {
        let (Some(token), Some(secret)) = (unguessable(), unguessable()) else {
            error!("the system gives no random numbers; no hub is asked");
            return;
        };
        let base = self.app.config.load().server.base_url.clone();
        self.keep(websub::wanted(feed, offer, &base, &token, secret, now())).await;
    }

    /// Ends a feed's agreement.
    async fn leave(&mut self, feed: FeedId) {
        let Some(current) = self.current.remove(&feed) else { return };
        self.visitor.set_lease(feed, None);
        let Some(old) = self.agreed.get(&current.token) else { return };
        match websub::unwanted(old, now()) {
            Some(leaving) => {
                if !self.keep(leaving).await {
                    // Then it stands as it did, until lists, configuration or the feed are looked at again.
                    self.current.insert(feed, current);
                    return;
                }
            }
            None => self.forget(&current.token).await,
        }
        self.quicken(feed);
    }

    /// Stores an agreement and works with it from then on; where it cannot be stored, it stays as it was.
    async fn keep(&mut self, subscription: HubSubscription) -> bool {
        let store = Arc::clone(&self.app.store);
        let row = [(subscription.token().to_owned(), Some(subscription.clone()))];
        if let Err(fault) = blocking(move || store.keep_hub_subscriptions(&row)).await {
            warn!(%fault, "what was agreed with a hub cannot be stored; trying again");
            self.due = self.due.min(now().plus(TICK));
            return false;
        }
        self.remember(subscription, now());
        true
    }

    fn remember(&mut self, subscription: HubSubscription, now: Timestamp) {
        let token = subscription.token().to_owned();
        if !matches!(subscription.stage, HubStage::Leaving | HubStage::Left) {
            self.visitor.set_lease(subscription.feed, subscription.lease_ends);
            let current = self.current.entry(subscription.feed);
            current.or_insert_with(|| Current { token: token.clone(), since: now });
        }
        self.due = self.due.min(subscription.next_step);
        self.app.doors.open(&token);
        self.agreed.insert(token, subscription);
    }

    async fn forget(&mut self, token: &str) {
        self.app.doors.close(token);
        self.reported.remove(token);
        self.agreed.remove(token);
        let (store, row) = (Arc::clone(&self.app.store), [(token.to_owned(), None)]);
        if let Err(fault) = blocking(move || store.keep_hub_subscriptions(&row)).await {
            // It is looked at again at the next start, and forgotten then.
            warn!(%fault, "an agreement with a hub that is over cannot be removed");
        }
    }

    /// Does what is due, as far as the hubs may be asked, and finds out when something is due again.
    async fn take_steps(&mut self) {
        let now = now();
        self.repeat_hints(now).await;
        self.hosts.forget_old(now);
        let mut due: Vec<(Timestamp, String)> = Vec::new();
        let mut ended = Vec::new();
        for (token, subscription) in &self.agreed {
            if subscription.next_step <= now {
                due.push((subscription.next_step, token.clone()));
            }
            if subscription.lease_ends.is_some_and(|ends| ends <= now) {
                ended.push(token.clone());
            }
        }
        for token in ended {
            let Some(old) = self.agreed.get(&token) else { continue };
            let over = HubSubscription { lease_ends: None, ..old.clone() };
            let (feed, hub) = (over.feed, over.hub.clone());
            if self.keep(over).await {
                info!(%hub, feed = feed.0, "a lease has ended; the feed is polled as usual until the hub renews it");
                self.quicken(feed);
            }
        }
        due.sort_unstable();
        let mut is_waiting = false;
        for (_, token) in due {
            let Some(old) = self.agreed.get(&token).cloned() else { continue };
            match websub::step(&old, now) {
                None => {}
                Some(Step::Forget) => self.forget(&token).await,
                Some(Step::Silence) => {
                    let failed = websub::failed(&old, None, &self.visitor.limits(), now, chance());
                    self.report_failure(&failed, "it never verified what it was asked for");
                    self.keep(failed).await;
                }
                Some(Step::Ask(mode)) => is_waiting |= !self.ask(&old, mode, now).await,
            }
        }
        let steps = self.agreed.values().flat_map(|agreed| [Some(agreed.next_step), agreed.lease_ends]);
        let hints = self.hints.values().map(|hint| Some(hint.polled.plus(HINT_PAUSE)));
        let next = steps.chain(hints).flatten().filter(|at| *at > now).min().unwrap_or(Timestamp::MAX);
        self.due = if is_waiting { next.min(now.plus(TICK)) } else { next };
    }

    /// Asks a hub, unless it or we are busy; whether that was possible.
    async fn ask(&mut self, old: &HubSubscription, mode: Mode, now: Timestamp) -> bool {
        let gap = self.app.config.load().fetch.per_host_gap;
        let name = old.hub.host_and_port();
        if !self.hosts.is_free(&name, gap, now) || self.running.len() >= MAX_REQUESTS {
            return false;
        }
        // Stored first: a restart must not ask a second time, and some hubs verify before they answer.
        let asked = websub::asked(old, mode, now);
        if !self.keep(asked.clone()).await {
            return false;
        }
        self.hosts.started(&name, now);
        let (client, form) = (self.visitor.client(), websub::request(&asked, mode));
        self.running.spawn(async move {
            let answer = client.post(&asked.hub, &form, now).await;
            Finished::Asked { token: asked.token().to_owned(), host: name, mode, answer }
        });
        true
    }

    async fn finished(&mut self, finished: Result<Finished, JoinError>) {
        match finished {
            Ok(Finished::Asked { token, host, mode, answer }) => self.answered(&token, &host, mode, answer).await,
            Ok(Finished::Pushed { token, feed, became }) => self.pushed(token, feed, became).await,
            Ok(Finished::Quickened { feed, is_sooner }) => {
                if is_sooner {
                    self.orders.send(Order::Due(feed)).await.ok();
                }
            }
            Err(fault) => error!(%fault, "a task for a hub broke off"),
        }
    }

    /// What a hub said to a request. A yes means only that it will verify (section 5.1.2).
    async fn answered(&mut self, token: &str, host: &str, mode: Mode, answer: Result<Posted, Failure>) {
        let (now, limits) = (now(), self.visitor.limits());
        self.hosts.answered(host);
        let (why, retry_after, is_hubs_fault) = match answer {
            Ok(Posted { status: 200..=299, .. }) => {
                self.hosts.succeeded(host);
                let feed = self.agreed.get(token).map(|agreed| agreed.feed.0);
                debug!(feed, ?mode, "a hub was asked, and will verify that it was meant");
                return;
            }
            Ok(Posted { status, retry_after }) => {
                (format!("it answers HTTP {status}"), retry_after, status == 429 || status >= 500)
            }
            Err(failure) => (failure.to_string(), None, true),
        };
        if is_hubs_fault {
            self.hosts.failed(host, retry_after, &limits, now, chance());
        }
        let Some(old) = self.agreed.get(token) else { return };
        let failed = websub::failed(old, retry_after, &limits, now, chance());
        if failed != *old {
            self.report_failure(&failed, &why);
            self.keep(failed).await;
        }
    }

    fn report_failure(&self, failed: &HubSubscription, why: &str) {
        let url = self.app.live.feed(failed.feed).map(|feed| feed.url.to_string());
        let (hub, url, next) = (&failed.hub, url.as_deref().unwrap_or_default(), failed.next_step);
        if failed.failures == 1 {
            warn!(feed.url = url, %hub, why, "a hub cannot be had; the feed is polled, next request at {next}");
        } else {
            debug!(feed.url = url, %hub, why, failures = failed.failures, "a hub cannot be had; next request at {next}");
        }
    }

    async fn heard(&mut self, call: Call) {
        match call {
            Call::Intent(intent) => {
                let is_meant = self.confirm(&intent).await;
                // Nobody waits any more where the hub has hung up.
                let _ = intent.answer.send(is_meant);
            }
            Call::Denied { token, topic, reason } => self.denied(&token, &topic, &reason).await,
            Call::Push(push) => self.take(push),
        }
    }

    /// Whether what a hub asks about is meant; if so, the agreement stands from now on (section 5.3).
    async fn confirm(&mut self, intent: &Intent) -> bool {
        let now = now();
        let Some(mode) = Mode::of(&intent.mode) else { return false };
        let Some(old) = self.agreed.get(&intent.token) else { return false };
        if !websub::is_meant(old, mode, &intent.topic, now) || !websub::is_harmless(&intent.challenge) {
            return false;
        }
        let was_pushed = old.lease_ends.is_some();
        let new = websub::verified(old, mode, intent.lease_seconds, &self.visitor.limits(), now, chance());
        let (hub, feed, lease_ends) = (new.hub.clone(), new.feed, new.lease_ends);
        if !self.keep(new).await {
            return false;
        }
        let url = self.app.live.feed(feed).map(|feed| feed.url.to_string()).unwrap_or_default();
        match lease_ends {
            Some(_) if !was_pushed => {
                info!(feed.url = url, %hub, "a hub pushes this feed; it is polled more seldom");
            }
            Some(ends) => debug!(feed.url = url, %hub, "a hub goes on pushing this feed until {ends}"),
            None => info!(feed.url = url, %hub, "a hub pushes this feed no more, as it was asked to"),
        }
        true
    }

    async fn denied(&mut self, token: &str, topic: &str, reason: &str) {
        let Some(old) = self.agreed.get(token) else { return };
        let Some(new) = websub::denied(old, topic, now(), chance()) else { return };
        let reason: String = reason.chars().filter(|c| !c.is_control()).take(200).collect();
        if old.stage != HubStage::Denied {
            let next = new.next_step;
            warn!(topic, hub = %new.hub, reason, "a hub denies a subscription; the feed is polled, next request at {next}");
        }
        let feed = new.feed;
        if self.keep(new).await {
            self.quicken(feed);
        }
    }

    /// Judges a push, and takes in what it brings, away from here.
    fn take(&mut self, push: Push) {
        let Some(agreed) = self.agreed.get(&push.token) else { return };
        if matches!(agreed.stage, HubStage::Leaving | HubStage::Left) {
            self.app.metrics.pushed("unwanted");
            return;
        }
        let (feed, secret) = (agreed.feed, agreed.secret.clone());
        let visitor = Arc::clone(&self.visitor);
        self.running.spawn(async move {
            let Push { token, signature, content_type, body, place } = push;
            let signed = body.clone();
            let signature = blocking(move || websub::signature(&secret, signature.as_deref(), &signed)).await;
            let became = match signature {
                Signature::Strong => Became::Taken(visitor.take_in(feed, body, content_type).await),
                Signature::Weak => Became::Hint,
                Signature::Bad(why) => Became::Forged(why),
            };
            drop(place);
            Finished::Pushed { token, feed, became }
        });
    }

    async fn pushed(&mut self, token: String, feed: FeedId, became: Became) {
        let url = self.app.live.feed(feed).map(|feed| feed.url.to_string()).unwrap_or_default();
        let outcome = match became {
            Became::Taken(TakenIn::Kept(added)) => {
                debug!(feed.url = url, added, "a push was taken in");
                "taken"
            }
            Became::Taken(TakenIn::NotKept) => "unwanted",
            // Something has changed, and it was the hub that said so.
            Became::Taken(TakenIn::Unreadable(why)) => {
                debug!(feed.url = url, why, "a push cannot be read; the feed is asked instead");
                self.hint(feed).await;
                "unreadable"
            }
            Became::Hint => {
                debug!(feed.url = url, "a push was signed with SHA-1; the feed is asked instead");
                self.hint(feed).await;
                "hint"
            }
            Became::Forged(why) => {
                // Once for each agreement: whoever sends one may send a thousand.
                if self.reported.insert(token) {
                    warn!(feed.url = url, why, "a push was refused, and further ones like it will be in silence");
                }
                "forged"
            }
        };
        self.app.metrics.pushed(outcome);
    }

    /// Has a feed polled, at most once a minute; what comes sooner is made up for then.
    async fn hint(&mut self, feed: FeedId) {
        let now = now();
        if let Some(hint) = self.hints.get_mut(&feed).filter(|hint| now.since(hint.polled) < HINT_PAUSE) {
            hint.again = true;
            return;
        }
        self.hints.insert(feed, Hint { polled: now, again: false });
        self.due = self.due.min(now.plus(HINT_PAUSE));
        self.orders.send(Order::Hint(feed)).await.ok();
    }

    async fn repeat_hints(&mut self, now: Timestamp) {
        let over = self.hints.iter().filter(|(_, hint)| now.since(hint.polled) >= HINT_PAUSE);
        let over: Vec<(FeedId, bool)> = over.map(|(feed, hint)| (*feed, hint.again)).collect();
        for (feed, again) in over {
            self.hints.remove(&feed);
            if again {
                self.hint(feed).await;
            }
        }
    }

    /// Lets a feed be polled at its usual pace again.
    fn quicken(&mut self, feed: FeedId) {
        let visitor = Arc::clone(&self.visitor);
        self.running.spawn(async move { Finished::Quickened { feed, is_sooner: visitor.quicken(feed).await } });
    }
}

/// Whether hubs may be asked for anything under this configuration: they must be able to reach us.
fn is_possible(config: &Config) -> bool {
    let guard = Guard::new(config.fetch.allow_addresses.iter().copied());
    config.websub && websub::is_reachable(&config.server.base_url, &guard)
}

/// Whether a callback stands below this base address.
fn is_below(callback: &str, base: &Url) -> bool {
    let callbacks = format!("{}{CALLBACKS}", base.as_str().trim_end_matches('/'));
    callback.strip_prefix(&callbacks).is_some_and(|token| !token.contains('/'))
}

/// A text that nobody can guess, of hexadecimal digits; `None` where the system has no randomness.
fn unguessable() -> Option<String> {
    let mut bytes = [0; SECRET_BYTES];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes.iter().fold(String::with_capacity(2 * SECRET_BYTES), |text, byte| text + &format!("{byte:02x}")))
}
