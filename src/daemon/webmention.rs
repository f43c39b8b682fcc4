//! Webmentions: asks the sources of what was claimed, and keeps what turns out to be true.
//!
//! Owns which source is asked when, and that it is asked as politely as feeds are: the same client, a turn in the queue of
//! its host, one source of a host at a time. What an answer means is decided in `feeds::webmention`. Claims that wait
//! are not stored: after a restart, whoever is never answered sends again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::poll::Order;
use super::visit::{Pause, fetch_settings};
use super::{blocking, chance, now, pulse};
use crate::config::Config;
use crate::feeds::fetch::{self, Answer, Client, Failure, Turns};
use crate::feeds::schedule;
use crate::feeds::webmention::{self, ACCEPT_SOURCE, Claim, MAX_SOURCE_BYTES, PATIENCE, Reading, Verdict};
use crate::http::App;
use crate::http::webmention::Call;
use crate::model::{EntryKey, Timestamp, Validators, Webmention};

/// Sources asked at once.
const MAX_ASKED: usize = 4;
/// Claims that are remembered; more wait in the letterbox, and then outside.
const MAX_CLAIMS: usize = 1000;

/// The task that looks at claims.
pub(super) struct Reception {
    app: Arc<App>,
    turns: Arc<Turns>,
    /// Who keeps the hosts is told of those that ask to be spared.
    orders: mpsc::Sender<Order>,
    calls: mpsc::Receiver<Call>,
    config: Arc<Config>,
    /// Made when the first claim comes: most daemons receive none.
    client: Option<Client>,
    waiting: Vec<Waiting>,
    running: JoinSet<Asked>,
    /// Hosts that are asked now.
    hosts: HashSet<String>,
    /// What the next Webmention gets as its number.
    number: u32,
    stop: CancellationToken,
}

/// A claim, and how it has fared.
struct Waiting {
    claim: Claim,
    received: Timestamp,
    due: Timestamp,
    tries: u32,
}

/// What came of asking a source.
struct Asked {
    waiting: Waiting,
    verdict: Verdict,
    /// Whether its host asked to be spared.
    pause: Option<Pause>,
}

impl Reception {
    pub(super) fn new(
        app: Arc<App>,
        turns: Arc<Turns>,
        orders: mpsc::Sender<Order>,
        calls: mpsc::Receiver<Call>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            config: app.config.load_full(),
            client: None,
            app,
            turns,
            orders,
            calls,
            waiting: Vec::new(),
            running: JoinSet::new(),
            hosts: HashSet::new(),
            number: 0,
            stop,
        }
    }

    /// Looks at claims until told to stop. Those that wait then are dropped.
    pub(super) async fn run(mut self) {
        loop {
            self.configure();
            self.start_due();
            let (idle, has_room) = (self.idle(), self.waiting.len() < MAX_CLAIMS);
            tokio::select! {
                () = self.stop.cancelled() => return,
                Some(call) = self.calls.recv(), if has_room => self.take(call),
                Some(asked) = self.running.join_next() => self.asked(asked).await,
                () = tokio::time::sleep(idle) => {}
            }
        }
    }

    /// A claim came. Who repeats one that waits for its next try knows of something newer, so that is begun anew.
    fn take(&mut self, Call { claim, received }: Call) {
        self.waiting.retain(|waiting| waiting.claim != claim);
        self.waiting.push(Waiting { claim, received, due: received, tries: 0 });
    }

    /// Puts another configuration in force, where there is one.
    fn configure(&mut self) {
        let config = self.app.config.load_full();
        if !Arc::ptr_eq(&config, &self.config) {
            (self.config, self.client) = (config, None);
        }
    }

    /// The client for sources: that of feeds, with less of a body.
    fn client(&mut self) -> anyhow::Result<Client> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let settings = fetch_settings(&self.config);
        let max_body_bytes = settings.max_body_bytes.min(MAX_SOURCE_BYTES);
        let client = Client::new(fetch::Settings { max_body_bytes, ..settings })?;
        Ok(self.client.insert(client).clone())
    }

    /// How long nothing is due, unless something comes before.
    fn idle(&self) -> Duration {
        let now = now();
        let free = self.waiting.iter().filter(|waiting| !self.hosts.contains(&waiting.claim.url().host_and_port()));
        let next = free.map(|waiting| waiting.due.since(now)).min().filter(|_| self.running.len() < MAX_ASKED);
        next.unwrap_or(pulse::BEAT).clamp(Duration::from_millis(10), pulse::BEAT)
    }

    /// Asks the sources whose time has come, the longest waiting first.
    fn start_due(&mut self) {
        let now = now();
        while self.running.len() < MAX_ASKED {
            let is_next = |waiting: &Waiting| {
                // What is due beyond all patience was put there before the clock was set back.
                let is_due = waiting.due <= now || waiting.due > now.plus(PATIENCE);
                is_due && !self.hosts.contains(&waiting.claim.url().host_and_port())
            };
            let Some(at) = self.waiting.iter().position(is_next) else { return };
            let waiting = self.waiting.remove(at);
            self.app.letterbox.taken(&waiting.claim);
            let client = match self.client() {
                Ok(client) => client,
                Err(fault) => {
                    let (source, target) = (waiting.claim.source(), waiting.claim.target());
                    error!(source, target, %fault, "nobody can be asked under these settings; a Webmention is dropped");
                    continue;
                }
            };
            self.hosts.insert(waiting.claim.url().host_and_port());
            let turns = Arc::clone(&self.turns);
            self.running.spawn(async move {
                let asked = ask(&client, &waiting.claim, turns.as_ref()).await;
                let pause = asked.as_ref().ok().and_then(|answer| pause_for(&waiting.claim, answer));
                let (verdict, waiting) = blocking(move || (webmention::judge(&waiting.claim, &asked), waiting)).await;
                Asked { waiting, verdict, pause }
            });
        }
    }

    async fn asked(&mut self, asked: Result<Asked, JoinError>) {
        let Asked { mut waiting, verdict, pause } = match asked {
            Ok(asked) => asked,
            Err(fault) => {
                error!(%fault, "looking at a Webmention broke off");
                // Whose it was is not known, so all hosts count as free; each is still asked in its turn.
                self.hosts.clear();
                return;
            }
        };
        self.hosts.remove(&waiting.claim.url().host_and_port());
        if let Some(pause) = pause {
            // Nobody listens any more when the daemon ends.
            self.orders.send(Order::Spare(pause)).await.ok();
        }
        waiting.tries += 1;
        let (source, target) = (waiting.claim.source().to_owned(), waiting.claim.target().to_owned());
        let outcome = match verdict {
            Verdict::Verified(reading) => match self.keep(&waiting, *reading).await {
                Ok(true) => "verified",
                Ok(false) => "updated",
                Err(why) => self.later(waiting, &why, None),
            },
            Verdict::Gone(why) => match self.forget(&waiting.claim).await {
                Ok(true) => {
                    info!(source, target, why, "a Webmention is forgotten");
                    "forgotten"
                }
                Ok(false) => {
                    info!(source, target, why, "a Webmention is not true; it is dropped");
                    "refused"
                }
                Err(why) => self.later(waiting, &why, None),
            },
            Verdict::Refused(why) => {
                info!(
                    source,
                    target, why, "a Webmention cannot be verified; it is dropped, and what was verified before stays"
                );
                "refused"
            }
            Verdict::Later { why, retry_after } => self.later(waiting, &why, retry_after),
        };
        self.app.metrics.mentioned(outcome);
    }

    /// Keeps what was verified; whether it is new.
    async fn keep(&mut self, waiting: &Waiting, reading: Reading) -> Result<bool, String> {
        let key = EntryKey { listed_at: waiting.received, feed: Webmention::FEED, seq: self.number };
        // Never the same for two within a millisecond.
        self.number = self.number.wrapping_add(1);
        let new = reading.into_webmention(&waiting.claim, key, now());
        let (kind, source, target) = (new.kind, new.source.clone(), new.target.clone());
        let store = Arc::clone(&self.app.store);
        let kept = blocking(move || {
            let old = store.webmention(&new.source, &new.target)?;
            store.keep_webmention(&new).map(|()| old)
        });
        let old = kept.await.map_err(|fault| format!("it could not be stored: {fault}"))?;
        self.app.live.facts_changed();
        let next = if old.is_none() { "it is kept" } else { "it is kept in place of what it said before" };
        info!(source, target, ?kind, "a Webmention was verified; {next}");
        Ok(old.is_none())
    }

    /// Forgets what was kept of a claim; whether there was anything.
    async fn forget(&self, claim: &Claim) -> Result<bool, String> {
        let (store, claim) = (Arc::clone(&self.app.store), claim.clone());
        let forgotten = blocking(move || {
            // Nothing is written for whoever claims what never was.
            let is_known = store.webmention(claim.source(), claim.target())?.is_some();
            if is_known { store.forget_webmention(claim.source(), claim.target()) } else { Ok(false) }
        });
        let was_known = forgotten.await.map_err(|fault| format!("it could not be forgotten: {fault}"))?;
        if was_known {
            self.app.live.facts_changed();
        }
        Ok(was_known)
    }

    /// Has the source of a claim asked again, if that may still help.
    fn later(&mut self, mut waiting: Waiting, why: &str, retry_after: Option<Duration>) -> &'static str {
        let now = now();
        let (source, target) = (waiting.claim.source(), waiting.claim.target());
        let waited = now.since(waiting.received);
        let shortest = self.config.fetch.min_interval;
        let Some(pause) = webmention::next_try(waiting.tries, waited, retry_after, shortest, chance()) else {
            warn!(source, target, why, tries = waiting.tries, "a Webmention could not be verified; it is dropped");
            return "failed";
        };
        waiting.due = now.plus(pause);
        debug!(source, target, why, "a Webmention could not be verified yet; next try at {}", waiting.due);
        self.waiting.push(waiting);
        "put_off"
    }
}

/// Asks for a source, when its host may be asked.
async fn ask(client: &Client, claim: &Claim, turns: &Turns) -> Result<Answer, Failure> {
    let host = claim.url().host_and_port();
    // Held until the answer is here.
    let Some(_pass) = turns(host.clone()).await else { return Err(Failure::NoTurn(host)) };
    client.get_in_turn(claim.url(), &Validators::default(), ACCEPT_SOURCE, now(), turns).await
}

/// Whether a source's host asked to be spared. Nobody may silence another host by leading us there.
fn pause_for(claim: &Claim, answer: &Answer) -> Option<Pause> {
    let host = claim.url().host_and_port();
    let length = schedule::host_pause(&answer.answered())?;
    (answer.url.host_and_port() == host).then_some(Pause { host, length })
}
