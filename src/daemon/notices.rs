//! Tells what has come true between the keeper and the voices, and keeps fresh what costs requests most.
//!
//! Owns when that is looked for. What has come true is the business of [`crate::listen::relations`].

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{blocking, moment, now};
use crate::http::App;
use crate::listen::relations::Scene;
use crate::model::Timestamp;
use crate::store::StoreError;

/// How often it is looked for even if nothing has changed: words wait longer, and absences last.
const IDLE_PAUSE: Duration = Duration::from_mins(30);
/// And if nothing has changed but that somebody has said something: it makes waits of days begin or end, and at thousands
/// of feeds somebody always has.
const PAUSE_AMONG_ENTRIES: Duration = Duration::from_mins(10);

/// When it is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pauses {
    /// Before the first time.
    pub(super) first: Duration,
    /// Between two times, at least.
    pub(super) least: Duration,
    /// So many times as long as the last time took, at least.
    pub(super) work_share: u32,
}

/// Tells until told to stop.
pub(super) async fn run(app: Arc<App>, pauses: Pauses, stop: CancellationToken) {
    // Whoever turns to the pages after a start should not wait for what can be worked out until then.
    {
        let app = Arc::clone(&app);
        if let Err(error) = blocking(move || on_scene(&app, now(), |app, scene| app.relations.prepare(scene))).await {
            warn!(%error, "what is between you and your voices could not be worked out yet");
        }
    }
    let mut pause = pauses.first;
    let mut seen = None;
    let mut is_failing = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = pauses.least;
        let stand = Stand::of(&app);
        if seen.is_some_and(|(known, at): (Stand, Timestamp)| stand.can_wait(known, at, now())) {
            continue;
        }
        let began = moment();
        let told = {
            let app = Arc::clone(&app);
            blocking(move || tell(&app, now())).await
        };
        pause = pauses.least.max(began.elapsed().saturating_mul(pauses.work_share));
        match told {
            Ok(told) => {
                if told > 0 {
                    info!(told, "something has come true between you and your voices");
                }
                // There may be more than is told at once.
                seen = (told == 0).then(|| (stand, now()));
                is_failing = false;
            }
            // The store says when the disk is full, and asks for nothing but patience.
            Err(error) if !is_failing => {
                warn!(%error, "what has come true between you and your voices could not be told; trying again");
                is_failing = true;
            }
            Err(_) => {}
        }
    }
}

/// What there was to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stand {
    /// Everything that views show.
    revision: u64,
    /// What is between the keeper and the voices, and who they are.
    relations: (u64, u64),
}

impl Stand {
    fn of(app: &App) -> Self {
        Self { revision: app.live.revision(), relations: (app.live.facts(), app.live.bound().revision) }
    }

    /// Whether what was looked at as it was known at `at` needs no other look yet.
    fn can_wait(self, known: Self, at: Timestamp, now: Timestamp) -> bool {
        let pause = if self.relations != known.relations {
            return false;
        } else if self.revision != known.revision {
            PAUSE_AMONG_ENTRIES
        } else {
            IDLE_PAUSE
        };
        at <= now && now.since(at) < pause
    }
}

/// Tells what has come true; how much that is.
fn tell(app: &App, now: Timestamp) -> Result<usize, StoreError> {
    let base_url = app.config.load().server.base_url.clone();
    let base_url = base_url.as_str().trim_end_matches('/');
    on_scene(app, now, |app, scene| {
        let has_changed = app.relations.freshen(scene)?;
        let notices = app.relations.notices(scene, &|path| format!("{base_url}{path}"))?;
        if !notices.is_empty() {
            app.store.tell(&notices)?;
        }
        if has_changed || !notices.is_empty() {
            app.live.facts_changed();
        }
        Ok(notices.len())
    })
}

/// Looks at everything as it is.
fn on_scene<T>(
    app: &App,
    now: Timestamp,
    look: impl FnOnce(&App, &Scene<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let (config, bound) = (app.config.load_full(), app.live.bound());
    // Taken behind the roster, so that it knows the feeds of it.
    let snapshot = app.store.snapshot()?;
    let scene =
        Scene { store: &app.store, snapshot: &snapshot, live: &app.live, bound: &bound, mine: &config.mine, now };
    look(app, &scene)
}
