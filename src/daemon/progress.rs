//! Says in the log how far the first asking of many new feeds has come. A list of thousands takes a while, since a host is
//! asked for one feed after the other.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::http::App;

/// How often it is looked, and the least time between two lines.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Fewer new feeds than this are asked before anybody wonders.
const MANY: usize = 100;

/// Tells of it until told to stop.
pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    let mut asking = FirstAsking::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = looks.tick() => {}
        }
        let bound = app.live.bound();
        let listed = bound.listed();
        match asking.look(app.live.unasked_among(listed)) {
            Some(Stand::Begun { of }) => {
                info!(feeds = of, "many new feeds: each host is asked for one after the other");
            }
            Some(Stand::UnderWay { asked, of }) => {
                info!("{asked} of {of} new feeds were asked; {} wait for their first answer", of - asked);
            }
            Some(Stand::Done { of }) => {
                let mut failing = 0;
                app.live.for_each_listed(|feed| failing += usize::from(feed.schedule.failures > 0));
                info!(feeds = of, failing, "all new feeds were asked");
            }
            None => {}
        }
    }
}

/// The first asking of many feeds, as it was last told.
#[derive(Debug, Default)]
struct FirstAsking {
    /// How many were new when there were most of them; 0 while there are not many.
    of: usize,
    /// Tenths of them that were asked.
    told: usize,
}

/// What there is to tell.
#[derive(Debug, PartialEq, Eq)]
enum Stand {
    Begun { of: usize },
    UnderWay { asked: usize, of: usize },
    Done { of: usize },
}

impl FirstAsking {
    /// Looks at how many feeds have never been asked; something to tell when it begins, ends, or another tenth is done.
    fn look(&mut self, unasked: usize) -> Option<Stand> {
        if self.of == 0 {
            if unasked < MANY {
                return None;
            }
            *self = Self { of: unasked, told: 0 };
            return Some(Stand::Begun { of: unasked });
        }
        if unasked == 0 {
            let of = std::mem::take(self).of;
            return Some(Stand::Done { of });
        }
        // More may have come meanwhile.
        self.of = self.of.max(unasked);
        let asked = self.of - unasked;
        let tenths = asked * 10 / self.of;
        let is_more = tenths > self.told;
        self.told = tenths;
        is_more.then_some(Stand::UnderWay { asked, of: self.of })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenth_is_told_once_and_a_handful_never() {
        let mut asking = FirstAsking::default();
        for (unasked, told) in [
            (MANY - 1, None),
            (0, None),
            (1000, Some(Stand::Begun { of: 1000 })),
            (950, None),
            (880, Some(Stand::UnderWay { asked: 120, of: 1000 })),
            (850, None),
            (500, Some(Stand::UnderWay { asked: 500, of: 1000 })),
            (2000, None),
            (1000, Some(Stand::UnderWay { asked: 1000, of: 2000 })),
            (1, Some(Stand::UnderWay { asked: 1999, of: 2000 })),
            (0, Some(Stand::Done { of: 2000 })),
            (0, None),
            (MANY, Some(Stand::Begun { of: MANY })),
        ] {
            assert_eq!(asking.look(unasked), told, "{unasked}");
        }
    }
}
