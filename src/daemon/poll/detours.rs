//! Requests that no feed's place in the queue stands for: a visit that a redirect or a page sends on to a host asks here
//! for its turn, and so does who asks for remote lists, so that no host is asked more often than by its feeds alone.
//!
//! Owns who waits for a turn. Whether there is one is the queue's business.

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::feeds::fetch::{Pass, Turns};
use crate::feeds::host::{Queue, Turn};
use crate::model::Timestamp;

/// So long a visit waits for its turn, well within the time for its whole answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many visits wait for a turn on one host. They hold slots that others could use; more of them come again later.
const MAX_WAITING_PER_HOST: usize = 2;

/// What a visit says on its way. There are never more of these than visits under way, twice over.
pub(super) enum Detour {
    /// It was sent on to this host.
    Asks { host: String, answer: oneshot::Sender<Option<Pass>> },
    /// It has left this host again.
    Left { host: String },
}

/// The visits that wait for their turn.
pub(super) struct Detours {
    heard: mpsc::UnboundedReceiver<Detour>,
    told: mpsc::UnboundedSender<Detour>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    host: String,
    /// When to look again, where that is known.
    until: Option<Timestamp>,
    gives_up: Timestamp,
    answer: oneshot::Sender<Option<Pass>>,
}

/// Says that the visit has left the host, however it ends.
struct Leaving {
    host: String,
    told: mpsc::UnboundedSender<Detour>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        // Nobody listens any more when the daemon ends.
        let _ = self.told.send(Detour::Left { host: std::mem::take(&mut self.host) });
    }
}

impl Detours {
    pub(super) fn new() -> Self {
        let (told, heard) = mpsc::unbounded_channel();
        Self { heard, told, waiting: Vec::new() }
    }

    /// What visits ask for their turns.
    pub(super) fn turns(&self) -> Box<Turns> {
        let told = self.told.clone();
        Box::new(move |host| -> Pin<Box<dyn Future<Output = Option<Pass>> + Send>> {
            let (answer, turn) = oneshot::channel();
            let is_told = told.send(Detour::Asks { host, answer });
            Box::pin(async move {
                is_told.ok()?;
                turn.await.ok().flatten()
            })
        })
    }

    /// The next thing that a visit says.
    pub(super) async fn hear(&mut self) -> Option<Detour> {
        self.heard.recv().await
    }

    /// Takes what a visit has said.
    pub(super) fn take(&mut self, detour: Detour, queue: &mut Queue, now: Timestamp) {
        match detour {
            Detour::Left { host } => queue.left(&host, now),
            Detour::Asks { host, answer } => {
                if self.waiting.iter().filter(|waiting| waiting.host == host).count() < MAX_WAITING_PER_HOST {
                    self.waiting.push(Waiting { host, until: None, gives_up: now.plus(PATIENCE), answer });
                }
            }
        }
    }

    /// Lets those go whose turn it is, and sends those away who would wait for too long.
    pub(super) fn settle(&mut self, queue: &mut Queue, now: Timestamp) {
        for mut waiting in std::mem::take(&mut self.waiting) {
            if waiting.answer.is_closed() {
                continue;
            }
            match queue.enter(&waiting.host, now) {
                Turn::Granted => {
                    // Where the visit has just ended, the pass comes back at once and says so.
                    let pass = Leaving { host: waiting.host, told: self.told.clone() };
                    let _ = waiting.answer.send(Some(Box::new(pass)));
                }
                Turn::Wait { until } if now < waiting.gives_up && until.is_none_or(|at| at <= waiting.gives_up) => {
                    waiting.until = until;
                    self.waiting.push(waiting);
                }
                // Nobody answers: that is the answer.
                Turn::Wait { .. } | Turn::Spared { .. } => {}
            }
        }
    }

    /// When to settle again, unless somebody says something before.
    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        self.waiting.iter().map(|waiting| waiting.until.unwrap_or(waiting.gives_up)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feeds::host::{Politeness, Standing};
    use crate::model::FeedId;

    const START: Timestamp = Timestamp::from_seconds(1_795_379_832);

    fn after(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    #[tokio::test]
    async fn a_host_is_asked_no_more_often_through_redirects() {
        let mut queue = Queue::new(Politeness { concurrency: 8, per_host: 2, gap: Duration::from_secs(1) });
        let mut detours = Detours::new();
        let turns = detours.turns();
        queue.insert(FeedId(1), "a:80", START, Standing::Proven);
        assert_eq!(queue.next(START), Some(FeedId(1)));
        let mut asked: Vec<_> = (0..4).map(|_| turns("a:80".to_owned())).collect();
        for _ in 0..4 {
            let detour = detours.hear().await.expect("it was told");
            detours.take(detour, &mut queue, START);
        }
        assert!(asked.pop().expect("four").await.is_none(), "two wait, the others come again later");
        assert!(asked.pop().expect("three").await.is_none());
        detours.settle(&mut queue, START);
        assert_eq!(detours.wake_at(), Some(after(1)));
        detours.settle(&mut queue, after(1));
        let pass = asked.remove(0).await.expect("its turn");
        detours.settle(&mut queue, after(3));
        assert_eq!(detours.wake_at(), Some(after(10)), "two are there: it waits for one of them");
        queue.insert(FeedId(2), "a:80", START, Standing::Proven);
        assert_eq!(queue.next(after(3)), None, "those who come directly wait as well");
        drop(pass);
        let left = detours.hear().await.expect("it was told");
        detours.take(left, &mut queue, after(4));
        detours.settle(&mut queue, after(4));
        let _pass = asked.remove(0).await.expect("its turn");

        queue.slow_down("b:80", Duration::from_mins(5), START);
        let spared = turns("b:80".to_owned());
        let detour = detours.hear().await.expect("it was told");
        detours.take(detour, &mut queue, after(5));
        detours.settle(&mut queue, after(5));
        assert!(spared.await.is_none() && detours.wake_at().is_none());
    }
}
