//! Lines of feeds, of their identities, and of remote lists: what is asked for, when, and what came of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Address, Bytes, Hex, Length, Time, time_of, times, words};
use crate::model::{
    About, Came, Feed, FeedId, FeedState, FeedUrl, Fetch, Hash64, IdentityRule, Known, Pace, PendingMove, Recent,
    Schedule, Trouble, UpdatePeriod, Validators,
};
use crate::store::copies::RemoteCopy;

words!(StateWord = FeedState { New, Ok, Backoff, Held, Gone, Quarantined });
words!(RuleWord = IdentityRule { Guid, Link });
words!(CameWord = Came { Read, Unchanged, Refused, Unreadable, Failed });
words!(TroubleWord = Trouble { Silent, BrokenForADay, Quarantined, BrokenForAWeek, BrokenForAMonth, Gone });

/// When a document was asked for, and what came of it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::store) struct ScheduleLine {
    state: StateWord,
    next_poll: Time,
    interval: Length,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_attempt: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    failures: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<Time>,
    parser_faults: u32,
    /// A permanent redirect that is not yet believed, and how often it has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    moving_to: Option<(Address, u8)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rhythm: Option<Length>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_minutes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_period_s: Option<u32>,
    skip_hours: u32,
    skip_days: u8,
}

impl ScheduleLine {
    fn of(schedule: Schedule) -> Self {
        let moving_to = schedule.pending_move.map(|moving| (Address(moving.target), moving.successes));
        Self {
            state: schedule.state.into(),
            next_poll: Time(schedule.next_poll),
            interval: Length(schedule.interval),
            last_attempt: times(schedule.last_attempt),
            last_success: times(schedule.last_success),
            last_status: schedule.last_status,
            last_error: schedule.last_error,
            failures: schedule.failures,
            failing_since: times(schedule.failing_since),
            parser_faults: schedule.parser_faults,
            moving_to,
            rhythm: schedule.rhythm.map(Length),
            ttl_minutes: schedule.pace.ttl_minutes,
            update_period_s: schedule.pace.update_period.map(|period| period.seconds),
            skip_hours: schedule.pace.skip_hours,
            skip_days: schedule.pace.skip_days,
        }
    }

    fn schedule(self) -> Schedule {
        Schedule {
            state: self.state.into(),
            next_poll: self.next_poll.0,
            interval: self.interval.0,
            last_attempt: time_of(self.last_attempt),
            last_success: time_of(self.last_success),
            last_status: self.last_status,
            last_error: self.last_error,
            failures: self.failures,
            failing_since: time_of(self.failing_since),
            parser_faults: self.parser_faults,
            pending_move: self.moving_to.map(|(target, successes)| PendingMove { target: target.0, successes }),
            rhythm: self.rhythm.map(|rhythm| rhythm.0),
            pace: Pace {
                ttl_minutes: self.ttl_minutes,
                update_period: self.update_period_s.map(|seconds| UpdatePeriod { seconds }),
                skip_hours: self.skip_hours,
                skip_days: self.skip_days,
            },
        }
    }
}

/// What makes a request conditional.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::store) struct ValidatorsLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Address>,
}

impl ValidatorsLine {
    fn of(validators: Validators) -> Self {
        Self {
            etag: validators.etag.map(Bytes::of),
            last_modified: validators.last_modified.map(Bytes::of),
            from: validators.from.map(Address),
        }
    }

    fn validators(self) -> Result<Validators, String> {
        Ok(Validators {
            etag: self.etag.map(Bytes::bytes).transpose()?,
            last_modified: self.last_modified.map(Bytes::bytes).transpose()?,
            from: self.from.map(|from| from.0),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FetchLine {
    at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    came: CameWord,
    new: u16,
}

/// A feed; its identities and entries follow.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::store) struct FeedLine {
    pub(in crate::store) feed: u32,
    url: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    moved_to: Option<Address>,
    aliases: Vec<Address>,
    /// Those of its addresses that belong to another feed by now, or to none.
    pub(in crate::store) not_by: Vec<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    predecessor: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    home: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    self_link: Option<String>,
    hubs: Vec<String>,
    validators: ValidatorsLine,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_hash: Option<String>,
    identity: RuleWord,
    schedule: ScheduleLine,
    recent: Vec<FetchLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<TroubleWord>,
    /// The number of its next new entry.
    next_number: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_at: Option<Time>,
}

impl FeedLine {
    /// `not_by`: those of its addresses by which it is not found.
    pub(in crate::store) fn of(feed: Feed, not_by: &[&FeedUrl]) -> Self {
        let fetches = feed.recent.iter().map(|fetch| FetchLine {
            at: Time(fetch.at),
            status: fetch.status,
            came: fetch.came.into(),
            new: fetch.new,
        });
        Self {
            feed: feed.id.0,
            not_by: not_by.iter().map(|url| Address::of(url)).collect(),
            recent: fetches.collect(),
            url: Address(feed.url),
            moved_to: feed.moved_to.map(Address),
            aliases: feed.aliases.into_iter().map(Address).collect(),
            predecessor: feed.predecessor.map(|feed| feed.0),
            id: feed.about.id,
            title: feed.about.title,
            home: feed.about.home,
            language: feed.about.language,
            self_link: feed.about.self_link,
            hubs: feed.about.hubs,
            validators: ValidatorsLine::of(feed.validators),
            body_hash: feed.body_hash.map(|hash| STANDARD.encode(hash)),
            identity: feed.identity.into(),
            schedule: ScheduleLine::of(feed.schedule),
            trouble: feed.trouble.map(Into::into),
            next_number: feed.next_seq,
            left_at: times(feed.left_at),
        }
    }

    /// The feed, as yet without entries.
    pub(in crate::store) fn feed(self) -> Result<Feed, String> {
        let hash = |text: String| {
            let bytes = STANDARD.decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            bytes.ok_or_else(|| "body_hash are no 32 bytes in base64".to_owned())
        };
        let recent = self.recent.into_iter().map(|fetch| Fetch {
            at: fetch.at.0,
            status: fetch.status,
            came: fetch.came.into(),
            new: fetch.new,
        });
        Ok(Feed {
            id: FeedId(self.feed),
            url: self.url.0,
            moved_to: self.moved_to.map(|url| url.0),
            aliases: self.aliases.into_iter().map(|url| url.0).collect(),
            predecessor: self.predecessor.map(FeedId),
            about: About {
                id: self.id,
                title: self.title,
                home: self.home,
                language: self.language,
                self_link: self.self_link,
                hubs: self.hubs,
            },
            validators: self.validators.validators()?,
            body_hash: self.body_hash.map(hash).transpose()?,
            identity: self.identity.into(),
            schedule: self.schedule.schedule(),
            recent: Recent::of(recent),
            trouble: self.trouble.map(Into::into),
            entries: 0,
            newest: None,
            next_seq: self.next_number,
            left_at: time_of(self.left_at),
        })
    }
}

/// What an entry is recognised by, also after its text is gone.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::store) struct IdentityLine {
    pub(in crate::store) feed: u32,
    number: u32,
    listed_at: Time,
    first_seen: Time,
    guid: Hex,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<Hex>,
    fingerprint: Hex,
    /// The day on which the feed last carried it, since 1970.
    carried_on: i32,
    purged: bool,
}

impl IdentityLine {
    pub(in crate::store) fn of(feed: FeedId, known: &Known) -> Self {
        Self {
            feed: feed.0,
            number: known.seq,
            listed_at: Time(known.listed_at),
            first_seen: Time(known.first_seen),
            guid: Hex(known.guid.0),
            link: known.link.map(|link| Hex(link.0)),
            fingerprint: Hex(known.fingerprint.0),
            carried_on: known.carried_on,
            purged: known.purged,
        }
    }

    pub(in crate::store) fn known(&self) -> Known {
        Known {
            seq: self.number,
            listed_at: self.listed_at.0,
            first_seen: self.first_seen.0,
            guid: Hash64(self.guid.0),
            link: self.link.map(|link| Hash64(link.0)),
            fingerprint: Hash64(self.fingerprint.0),
            carried_on: self.carried_on,
            purged: self.purged,
        }
    }
}

/// The last good copy of a remote list.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::store) struct RemoteListLine {
    url: Address,
    schedule: ScheduleLine,
    validators: ValidatorsLine,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Bytes>,
}

impl RemoteListLine {
    /// And whether its content was left out, because credentials cannot be cut out of it.
    pub(in crate::store) fn of(copy: RemoteCopy) -> (Self, bool) {
        let had_content = copy.content.is_some();
        let content = copy.content.and_then(Bytes::without_credentials);
        let is_left_out = had_content && content.is_none();
        // Asked with these, its server would say that nothing has changed, and it would never come again.
        let validators = if is_left_out { Validators::default() } else { copy.validators };
        let line = Self {
            url: Address(copy.url),
            schedule: ScheduleLine::of(copy.schedule),
            validators: ValidatorsLine::of(validators),
            content,
        };
        (line, is_left_out)
    }

    pub(in crate::store) fn url(&self) -> &FeedUrl {
        &self.url.0
    }

    pub(in crate::store) fn copy(self) -> Result<RemoteCopy, String> {
        Ok(RemoteCopy {
            url: self.url.0,
            schedule: self.schedule.schedule(),
            validators: self.validators.validators()?,
            content: self.content.map(Bytes::bytes).transpose()?,
        })
    }
}
