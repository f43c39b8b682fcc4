//! What is agreed with hubs, one row for each callback.

use redb::{ReadTransaction, ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::error::Fault;
use super::records::{decode, encode, stored_url};
use super::tables::{HUBS, if_made};
use crate::model::{FeedId, HubStage, HubSubscription, Timestamp};

/// A value of `hubs`. Instants are milliseconds since the Unix epoch.
#[derive(Serialize, Deserialize)]
struct HubRecord<'a> {
    feed: u32,
    hub: &'a str,
    topic: &'a str,
    callback: &'a str,
    secret: &'a str,
    stage: u8,
    asked_at: Option<i64>,
    lease_ends: Option<i64>,
    next_step: i64,
    failures: u32,
}

/// The number of each stage in the file.
const STAGES: [HubStage; 6] =
    [HubStage::Wanted, HubStage::Asked, HubStage::Verified, HubStage::Denied, HubStage::Leaving, HubStage::Left];

/// All that is agreed.
pub(super) fn all(transaction: &ReadTransaction) -> Result<Vec<HubSubscription>, Fault> {
    let Some(table) = if_made(transaction, HUBS)? else { return Ok(Vec::new()) };
    let mut subscriptions = Vec::new();
    for row in table.iter()? {
        subscriptions.push(subscription(row?.1.value())?);
    }
    Ok(subscriptions)
}

/// Keeps what changed, by token; `None` forgets one.
pub(super) fn keep(transaction: &WriteTransaction, changed: &[(String, Option<HubSubscription>)]) -> Result<(), Fault> {
    let mut table = transaction.open_table(HUBS)?;
    for (token, subscription) in changed {
        match subscription {
            Some(subscription) => {
                table.insert(token.as_str(), encode(&record(subscription)).as_slice())?;
            }
            None => {
                table.remove(token.as_str())?;
            }
        }
    }
    Ok(())
}

fn record(subscription: &HubSubscription) -> HubRecord<'_> {
    let stage = STAGES.iter().position(|stage| *stage == subscription.stage).unwrap_or_default();
    HubRecord {
        feed: subscription.feed.0,
        hub: subscription.hub.as_str(),
        topic: &subscription.topic,
        callback: &subscription.callback,
        secret: &subscription.secret,
        stage: stage as u8,
        asked_at: subscription.asked_at.map(Timestamp::millis),
        lease_ends: subscription.lease_ends.map(Timestamp::millis),
        next_step: subscription.next_step.millis(),
        failures: subscription.failures,
    }
}

fn subscription(value: &[u8]) -> Result<HubSubscription, Fault> {
    let record: HubRecord<'_> = decode(value, "record of a hub")?;
    let stage = STAGES.get(usize::from(record.stage)).copied();
    Ok(HubSubscription {
        feed: FeedId(record.feed),
        hub: stored_url(record.hub)?,
        topic: record.topic.to_owned(),
        callback: record.callback.to_owned(),
        secret: record.secret.to_owned(),
        stage: stage.ok_or_else(|| Fault::Unreadable("the record of a hub has an unknown stage".to_owned()))?,
        asked_at: record.asked_at.map(Timestamp::from_millis),
        lease_ends: record.lease_ends.map(Timestamp::from_millis),
        next_step: Timestamp::from_millis(record.next_step),
        failures: record.failures,
    })
}
