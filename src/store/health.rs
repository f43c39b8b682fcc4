//! What happened to feeds and lists themselves: one table, bounded by age and number as it grows.

use std::ops::Bound;
use std::time::Duration;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::error::Fault;
use super::records::{decode, encode};
use super::tables::{HEALTH, HealthBytes, health_bytes, health_key, if_made};
use crate::model::{CleanHtml, EntryKey, HealthEvent, HealthKind};

/// How long events are kept.
const EVENTS_KEPT: Duration = Duration::from_hours(400 * 24);
/// At most so many events are kept.
const MAX_EVENTS: u64 = 5_000;
/// At most so many old events go with each new one: a commit stays short.
const MAX_DROPPED_AT_ONCE: usize = 8;

/// A value of `health`.
#[derive(Serialize, Deserialize)]
struct HealthRecord<'a> {
    /// In the order of `HealthKind::ALL`.
    kind: u8,
    list: Option<&'a str>,
    title: &'a str,
    /// Cleaned HTML.
    text: &'a str,
}

/// Adds events. Adding one a second time changes nothing.
pub(super) fn add(transaction: &WriteTransaction, events: &[HealthEvent]) -> Result<(), Fault> {
    if events.is_empty() {
        return Ok(());
    }
    let mut table = transaction.open_table(HEALTH)?;
    for event in events {
        let kind = HealthKind::ALL.iter().position(|kind| *kind == event.kind).unwrap_or_default();
        let record = HealthRecord {
            kind: kind as u8,
            list: event.list.as_deref(),
            title: &event.title,
            text: event.text.as_str(),
        };
        table.insert(&health_bytes(event.key), encode(&record).as_slice())?;
        let too_old = event.key.listed_at.minus(EVENTS_KEPT);
        for _ in 0..MAX_DROPPED_AT_ONCE {
            let oldest = table.first()?.map(|(key, _)| *key.value());
            let Some(oldest) = oldest else { break };
            if table.len()? <= MAX_EVENTS && health_key(&oldest).listed_at >= too_old {
                break;
            }
            table.remove(&oldest)?;
        }
    }
    Ok(())
}

/// At most `max` events behind `before`, newest first.
pub(super) fn latest(
    transaction: &ReadTransaction,
    before: Option<EntryKey>,
    max: usize,
) -> Result<Vec<HealthEvent>, Fault> {
    let Some(table) = if_made(transaction, HEALTH)? else { return Ok(Vec::new()) };
    let end = before.map(health_bytes);
    let end = end.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut events = Vec::with_capacity(max.min(512));
    for row in table.range::<&HealthBytes>((Bound::Unbounded, end))?.rev().take(max) {
        let (key, value) = row?;
        let record: HealthRecord<'_> = decode(value.value(), "event of a feed")?;
        let kind = HealthKind::ALL.get(usize::from(record.kind)).copied();
        events.push(HealthEvent {
            key: health_key(key.value()),
            kind: kind.ok_or_else(|| Fault::Unreadable(format!("an event has the unknown kind {}", record.kind)))?,
            list: record.list.map(str::to_owned),
            title: record.title.to_owned(),
            text: CleanHtml::from_cleaner(record.text.to_owned()),
        });
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Feed, FeedId, FeedUrl, Timestamp, Trouble};
    use crate::store::{FeedUpdate, Store, TakeOver};

    fn event(days: u64, feed: u32, list: Option<&str>) -> HealthEvent {
        let listed_at = Timestamp::from_seconds(1_795_379_832).plus(Duration::from_hours(24 * days));
        HealthEvent {
            key: EntryKey { listed_at, feed: FeedId(feed), seq: HealthEvent::FIRST_SEQ },
            kind: HealthKind::ALL[feed as usize % HealthKind::ALL.len()],
            list: list.map(str::to_owned),
            title: format!("Kiln & co, day {days}"),
            text: CleanHtml::from_cleaner("<p>It <b>moved</b>.</p>".to_owned()),
        }
    }

    #[test]
    fn an_event_is_committed_with_the_fetch_that_brought_it() {
        let home = tempfile::tempdir().expect("there is room");
        let store = Store::open(home.path(), 1 << 20).expect("it opens");
        let now = Timestamp::from_seconds(1_795_379_832);
        let urls = vec![FeedUrl::parse("https://example.org/feed").expect("an address")];
        let known = store.take_over(&TakeOver { urls, ..TakeOver::default() }, now).expect("it takes over").remove(0);
        let trouble = Some(Trouble::BrokenForADay);
        let broken = Feed { trouble, ..known.clone() };
        let unknown = Feed { id: FeedId(77), ..known.clone() };
        let mut updates = [broken, unknown].map(|feed| {
            let events = vec![event(1, feed.id.0, None)];
            FeedUpdate { feed, changes: vec![], said: vec![], events }
        });
        for _ in 0..2 {
            store.commit(&mut updates).expect("it commits");
            assert_eq!(store.feed(known.id).expect("it reads").and_then(|feed| feed.trouble), trouble);
            let told = store.health(None, 10).expect("it reads");
            assert_eq!(told, updates[0].events, "once, and nothing of a feed that is not stored");
        }
    }

    #[test]
    fn events_come_newest_first_are_kept_once_and_go_when_they_are_old() {
        let home = tempfile::tempdir().expect("there is room");
        let store = Store::open(home.path(), 1 << 20).expect("it opens");
        assert_eq!(store.health(None, 10).expect("it reads"), [], "before the first event");
        let events: Vec<HealthEvent> = (0..30).map(|n| event(u64::from(n) / 3, n, None)).collect();
        store.note(&events).expect("it notes");
        store.note(&events[5..20]).expect("it notes");
        let newest_first: Vec<HealthEvent> = events.iter().rev().cloned().collect();
        assert_eq!(store.health(None, 100).expect("it reads"), newest_first);
        let next = store.health(Some(newest_first[9].key), 5).expect("it reads");
        assert_eq!(next, newest_first[10..15]);

        store.note(&[event(405, 1, Some("desired"))]).expect("it notes");
        let kept = store.health(None, 100).expect("it reads");
        assert_eq!((kept.len(), kept[0].list.as_deref()), (23, Some("desired")), "eight old ones go at a time");
        store.note(&[event(405, 2, None), event(405, 3, None)]).expect("it notes");
        let oldest = store.health(None, 100).expect("it reads").pop().expect("there are some");
        assert_eq!(oldest, events[15], "400 days are kept");

        let many: Vec<HealthEvent> = (0..6000).map(|n| event(406, n, None)).collect();
        store.note(&many).expect("it notes");
        assert_eq!(store.health(None, 10_000).expect("it reads").len() as u64, MAX_EVENTS);
    }
}
