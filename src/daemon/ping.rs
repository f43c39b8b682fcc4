//! Tells our own hub which of our feeds have changed (WebSub, section 6), where one is configured.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::visit::Visitor;
use super::{blocking, chance, now};
use crate::feeds::schedule::Limits;
use crate::feeds::websub;
use crate::http::App;
use crate::model::{FeedUrl, Timestamp};

/// How often changes are looked for: what changes in between goes into one ping.
const GATHERING: Duration = Duration::from_secs(1);
/// The least time between two pings for one feed.
const PING_PAUSE: Duration = Duration::from_secs(30);
/// How long a hub that fails is left alone: from one minute on, doubling up to an hour.
const PATIENCE: Limits = Limits {
    min_interval: Duration::from_mins(1),
    max_interval: Duration::from_hours(1),
    max_backoff: Duration::from_hours(1),
};

/// What the hub was last told of a feed.
struct Told {
    changed: u64,
    at: Timestamp,
}

/// The hub as it has behaved.
#[derive(Default)]
struct Hub {
    failures: u32,
    spared_until: Option<Timestamp>,
}

impl Hub {
    /// Whether it is left alone; an end that lies beyond all patience comes from a clock that went wrong.
    fn is_spared(&self, now: Timestamp) -> bool {
        self.spared_until.is_some_and(|until| now < until && until <= now.plus(PATIENCE.max_backoff))
    }
}

/// Pings until told to stop. What has changed before is known to whoever asks.
pub(super) async fn run(app: Arc<App>, visitor: Arc<Visitor>, stop: CancellationToken) {
    let mut told: HashMap<String, Told> = HashMap::new();
    let mut seen = app.live.revision();
    let mut hub = Hub::default();
    let mut is_behind = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(GATHERING) => {}
        }
        let revision = app.live.revision();
        let config = app.config.load_full();
        let address = config.server.hub.as_ref().and_then(|hub| FeedUrl::try_from(hub.clone()).ok());
        let Some(address) = address.filter(|_| is_behind || revision != seen) else {
            seen = revision;
            continue;
        };
        let topics = {
            let app = Arc::clone(&app);
            blocking(move || app.topics(now())).await
        };
        told.retain(|url, _| topics.iter().any(|topic| topic.url == *url));
        is_behind = false;
        for topic in topics {
            // Who asks for a feed for the first time gets it as it is; only what comes after that is news.
            let last = told.entry(topic.url.clone()).or_insert(Told { changed: seen, at: Timestamp::MIN });
            if topic.changed <= last.changed {
                continue;
            }
            let is_too_soon = now() < last.at.plus(PING_PAUSE) && last.at <= now();
            if is_too_soon || hub.is_spared(now()) {
                is_behind = true;
                continue;
            }
            let form = websub::ping(&topic.url);
            let client = visitor.client();
            let pinged = tokio::select! {
                () = stop.cancelled() => return,
                pinged = client.post(&address, &form, now()) => pinged,
            };
            let asked_pause = pinged.as_ref().ok().and_then(|answer| answer.retry_after).unwrap_or_default();
            let why = match pinged {
                Ok(answer) if (200..300).contains(&answer.status) => {
                    if hub.failures > 0 {
                        info!(hub = %address, "the hub can be told of changes again");
                    }
                    debug!(hub = %address, topic = topic.url, "the hub was told of a change");
                    hub = Hub::default();
                    *last = Told { changed: topic.changed, at: now() };
                    tokio::time::sleep(config.fetch.per_host_gap).await;
                    continue;
                }
                Ok(answer) => format!("it answers HTTP {}", answer.status),
                Err(failure) => failure.to_string(),
            };
            hub.failures = hub.failures.saturating_add(1);
            let pause = websub::backoff(hub.failures, &PATIENCE, chance()).max(asked_pause.min(PATIENCE.max_backoff));
            hub.spared_until = Some(now().plus(pause));
            is_behind = true;
            if hub.failures == 1 {
                warn!(hub = %address, why, "the hub cannot be told of changes; next try in {pause:?}");
            } else {
                debug!(hub = %address, why, "the hub cannot be told of changes; next try in {pause:?}");
            }
        }
        seen = revision;
    }
}
