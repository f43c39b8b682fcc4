//! What hubs have to do with visits: documents that come by themselves, and the slower pace that they make up for.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use tracing::warn;

use super::applied::{Applied, Merged, merge};
use super::heard::Heard;
use super::{Visitor, now};
use crate::feeds::fetch::{self, Client};
use crate::feeds::{parse, schedule};
use crate::model::{Feed, FeedId, FeedState, FeedUrl, Timestamp};

/// A feed was asked, and this is where it answered.
#[derive(Debug)]
pub(in crate::daemon) struct Note {
    pub(in crate::daemon) feed: FeedId,
    pub(in crate::daemon) address: FeedUrl,
}

/// What became of a pushed document.
#[derive(Debug)]
pub(in crate::daemon) enum TakenIn {
    /// It is stored; so many of its entries are new.
    Kept(u32),
    /// It is none that can be read.
    Unreadable(String),
    /// There is no such feed any more, or the store did not take it.
    NotKept,
}

impl Visitor {
    /// The client that asks.
    pub(in crate::daemon) fn client(&self) -> Client {
        self.manner().client.clone()
    }

    /// Notes until when a hub pushes a feed; `None` where it does not.
    pub(in crate::daemon) fn set_lease(&self, id: FeedId, ends: Option<Timestamp>) {
        let mut leases = self.leases.write().unwrap_or_else(PoisonError::into_inner);
        match ends {
            Some(ends) => leases.insert(id, ends),
            None => leases.remove(&id),
        };
    }

    /// Whether a visit has to do with hubs: the feed names one or did before it, or is pushed by one.
    pub(super) fn concerns_hubs(&self, before: &Feed) -> bool {
        !before.about.hubs.is_empty()
            || self.app.live.feed(before.id).is_some_and(|feed| !feed.about.hubs.is_empty())
            || self.leases.read().unwrap_or_else(PoisonError::into_inner).contains_key(&before.id)
    }

    pub(super) fn is_pushed(&self, id: FeedId) -> bool {
        let leases = self.leases.read().unwrap_or_else(PoisonError::into_inner);
        leases.get(&id).is_some_and(|ends| *ends > now())
    }

    /// Takes in a document that a hub has pushed and whose signature was right. Its entries become the feed's; the
    /// schedule, the validators and what the feed says of itself are for the feed's own answers to tell, so the next
    /// visit is as if nothing had been pushed. Returns when what came of it is durable.
    pub(in crate::daemon) async fn take_in(&self, id: FeedId, body: Bytes, content_type: Option<String>) -> TakenIn {
        let Some(feed) = self.app.live.feed(id) else { return TakenIn::NotKept };
        let max_bytes = self.app.config.load().fetch.max_body_bytes;
        // As a visit resolves addresses: against the address that answered.
        let base = feed.validators.from.as_ref().unwrap_or(feed.address()).to_string();
        let read = self.work(usize::MAX, move || {
            let base = base.parse().map_err(|_| "the feed's own address cannot be read".to_owned())?;
            let body = fetch::unpacked(body, max_bytes).ok_or("it is too large, or broken, when unpacked")?;
            let document = parse::parse(&body, content_type.as_deref(), &base).map_err(|fault| fault.to_string())?;
            Ok((document, body.len()))
        });
        let (mut document, bytes) = match read.await {
            Ok(read) => read,
            Err(why) => return TakenIn::Unreadable(why),
        };
        // Hubs may leave out what they have delivered before (WebSub, section 7): nothing has left the feed with that.
        document.complete = false;
        let _claim = self.claims.claim(id).await;
        let Some(feed) = self.app.live.feed(id) else { return TakenIn::NotKept };
        let (app, before) = (Arc::clone(&self.app), Arc::clone(&feed));
        let merged = self.work(bytes, move || merge(&app, &app.live.bound(), &before, &document, bytes, now())).await;
        match merged {
            Ok(Merged { changes, heard, added, identity, .. }) => {
                let shows = changes.iter().any(|change| change.entry.is_some());
                let next = Feed { identity, ..Feed::clone(&feed) };
                let applied = Applied { feed: next, changes, heard, events: Vec::new(), added, shows };
                if self.put(&feed, applied).await { TakenIn::Kept(added) } else { TakenIn::NotKept }
            }
            Err(fault) => {
                warn!(feed.url = %feed.url, %fault, "what is stored of a feed cannot be read; what was pushed is dropped");
                TakenIn::NotKept
            }
        }
    }

    /// Lets a feed that is no longer pushed be asked at its usual pace again. Returns whether that brings it forward.
    pub(in crate::daemon) async fn quicken(&self, id: FeedId) -> bool {
        let _claim = self.claims.claim(id).await;
        let Some(feed) = self.app.live.feed(id).filter(|feed| feed.schedule.state == FeedState::Ok) else {
            return false;
        };
        let mut next = Feed::clone(&feed);
        next.schedule.next_poll = schedule::due_without_push(&feed.schedule);
        if next.schedule.next_poll >= feed.schedule.next_poll {
            return false;
        }
        let unheard = Heard::default();
        let applied =
            Applied { feed: next, changes: Vec::new(), heard: unheard, events: Vec::new(), added: 0, shows: false };
        self.put(&feed, applied).await
    }
}
