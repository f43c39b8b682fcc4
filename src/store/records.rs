//! The values of all tables but `entries`: what stands in the file for feeds, identities, events and lists.
//!
//! These types are the file's, not the program's: the words of `model` may change without the format. A record is a
//! version byte and then postcard (<https://postcard.jamesmunns.com/wire-format>): fields in order, whole numbers as
//! varints, text and bytes with their length in front, a byte before what may be missing. Instants are milliseconds
//! since the Unix epoch. A record of a version that is not known cannot be read; a field is added by a new version,
//! behind the fields of the one before, and older records are read as having none.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::error::Fault;
use crate::model::{
    About, Came, Feed, FeedId, FeedState, FeedUrl, Fetch, Hash64, IdentityRule, Known, ListEvent, ListEventKind, Pace,
    PendingMove, Recent, Schedule, Timestamp, Trouble, UpdatePeriod, UrlFault, Validators,
};

/// The version of all records of this file but those of feeds and their states.
const VERSION: u8 = 1;
/// The version of the records of feeds; 2 brought aliases and predecessors.
const FEED_VERSION: u8 = 2;
/// The version of states: one of version 1 with a [`WellbeingRecord`] behind it.
const STATE_VERSION: u8 = 2;

/// Version byte and postcard.
pub(super) fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    encode_as(VERSION, record)
}

fn encode_as<T: Serialize>(version: u8, record: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(192);
    bytes.push(version);
    postcard::to_extend(record, bytes).expect("a record holds only lengths that are known, and memory grows")
}

/// Reads what [`encode`] made; `what` names the record in the error.
pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &str) -> Result<T, Fault> {
    match split_version(bytes, what)? {
        (VERSION, body) => from_body(body, what),
        (version, _) => Err(unknown_version(version, what)),
    }
}

fn split_version<'a>(bytes: &'a [u8], what: &str) -> Result<(u8, &'a [u8]), Fault> {
    let split = bytes.split_first().map(|(&version, body)| (version, body));
    split.ok_or_else(|| Fault::Unreadable(format!("the {what} is empty")))
}

fn from_body<'a, T: Deserialize<'a>>(body: &'a [u8], what: &str) -> Result<T, Fault> {
    postcard::from_bytes(body).map_err(|error| Fault::Unreadable(format!("the {what} cannot be read: {error}")))
}

fn unknown_version(version: u8, what: &str) -> Fault {
    Fault::Unreadable(format!("the {what} has the unknown version {version}"))
}

/// A value of `feeds`: what seldom changes.
#[derive(Serialize, Deserialize)]
pub(super) struct FeedRecord<'a> {
    #[serde(borrow)]
    first: FeedRecord1<'a>,
    #[serde(borrow)]
    aliases: Vec<&'a str>,
    predecessor: Option<u32>,
}

/// What version 1 of a feed's record holds.
#[derive(Serialize, Deserialize)]
struct FeedRecord1<'a> {
    url: &'a str,
    moved_to: Option<&'a str>,
    id: Option<&'a str>,
    title: Option<&'a str>,
    home: Option<&'a str>,
    language: Option<&'a str>,
    self_link: Option<&'a str>,
    #[serde(borrow)]
    hubs: Vec<&'a str>,
    /// 0: by guid; 1: by link.
    identity: u8,
    left_at: Option<i64>,
}

impl<'a> FeedRecord<'a> {
    pub(super) fn of(feed: &'a Feed) -> Self {
        let About { id, title, home, language, self_link, hubs } = &feed.about;
        let first = FeedRecord1 {
            url: feed.url.as_str(),
            moved_to: feed.moved_to.as_ref().map(FeedUrl::as_str),
            id: id.as_deref(),
            title: title.as_deref(),
            home: home.as_deref(),
            language: language.as_deref(),
            self_link: self_link.as_deref(),
            hubs: hubs.iter().map(String::as_str).collect(),
            identity: match feed.identity {
                IdentityRule::Guid => 0,
                IdentityRule::Link => 1,
            },
            left_at: feed.left_at.map(Timestamp::millis),
        };
        Self {
            first,
            aliases: feed.aliases.iter().map(FeedUrl::as_str).collect(),
            predecessor: feed.predecessor.map(|feed| feed.0),
        }
    }

    /// Reads a record of any version.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        const WHAT: &str = "record of a feed";
        match split_version(bytes, WHAT)? {
            (1, body) => Ok(Self { first: from_body(body, WHAT)?, aliases: Vec::new(), predecessor: None }),
            (FEED_VERSION, body) => from_body(body, WHAT),
            (version, _) => Err(unknown_version(version, WHAT)),
        }
    }

    /// The bytes to store, in the newest version.
    pub(super) fn bytes(&self) -> Vec<u8> {
        encode_as(FEED_VERSION, self)
    }

    /// Since when the feed stands in no list.
    pub(super) fn left_at(&self) -> Option<Timestamp> {
        self.first.left_at.map(Timestamp::from_millis)
    }

    /// Its address as the outline has it.
    pub(super) fn url(&self) -> &'a str {
        self.first.url
    }

    /// The adopted address.
    pub(super) fn moved_to(&self) -> Option<&'a str> {
        self.first.moved_to
    }

    /// Further addresses of outlines.
    pub(super) fn aliases(&self) -> &[&'a str] {
        &self.aliases
    }

    /// All addresses under which `urls` may find it, its own first.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &'a str> {
        std::iter::once(self.first.url).chain(self.aliases.iter().copied())
    }

    /// See [`Feed::predecessor`].
    pub(super) fn predecessor(&self) -> Option<u32> {
        self.predecessor
    }

    /// The same feed standing in a list (again), and found in the place of `predecessor` where there is one; `None`
    /// where nothing of that is new.
    pub(super) fn standing(self, predecessor: Option<u32>) -> Option<Vec<u8>> {
        let predecessor = predecessor.or(self.predecessor);
        if self.first.left_at.is_none() && predecessor == self.predecessor {
            return None;
        }
        Some(Self { first: FeedRecord1 { left_at: None, ..self.first }, predecessor, ..self }.bytes())
    }

    /// The same feed standing in a list under another address, fetched from where it was.
    pub(super) fn named(self, url: &'a str, aliases: Vec<&'a str>) -> Vec<u8> {
        let address = self.first.moved_to.unwrap_or(self.first.url);
        let moved_to = (address != url).then_some(address);
        Self { first: FeedRecord1 { url, moved_to, left_at: None, ..self.first }, aliases, ..self }.bytes()
    }
}

/// The first part of a value of `states`: what changes with each poll.
#[derive(Serialize, Deserialize)]
pub(super) struct StateRecord<'a> {
    etag: Option<&'a [u8]>,
    last_modified: Option<&'a [u8]>,
    validators_from: Option<&'a str>,
    body_hash: Option<[u8; 32]>,
    /// In the order of `FeedState`: new, ok, backoff, held, gone, quarantined.
    state: u8,
    next_poll: i64,
    interval: Duration,
    last_attempt: Option<i64>,
    last_success: Option<i64>,
    last_status: Option<u16>,
    last_error: Option<&'a str>,
    failures: u32,
    failing_since: Option<i64>,
    parser_faults: u32,
    pending_move: Option<(&'a str, u8)>,
    rhythm: Option<Duration>,
    ttl_minutes: Option<u32>,
    update_period_seconds: Option<u32>,
    skip_hours: u32,
    skip_days: u8,
}

/// How a feed has fared lately: behind a [`StateRecord`] since version 2.
#[derive(Default, Serialize, Deserialize)]
struct WellbeingRecord {
    /// In the order of `Trouble::ALL`.
    trouble: Option<u8>,
    /// Oldest first: seconds since the fetch before (the first: since the Unix epoch), status (0: none), what came in the
    /// order of `Came::ALL`, new entries.
    recent: Vec<(u32, u16, u8, u16)>,
}

impl WellbeingRecord {
    fn of(feed: &Feed) -> Self {
        let place_of = |came| Came::ALL.iter().position(|other| *other == came).unwrap_or_default() as u8;
        let mut before = 0;
        let recent = feed.recent.iter().map(|fetch| {
            let at = fetch.at.seconds();
            // A clock that was set back costs the distance, nothing else.
            let since = u32::try_from(at.saturating_sub(before).max(0)).unwrap_or(u32::MAX);
            before = before.saturating_add(i64::from(since));
            (since, fetch.status.unwrap_or(0), place_of(fetch.came), fetch.new)
        });
        let trouble = feed.trouble.and_then(|trouble| Trouble::ALL.iter().position(|other| *other == trouble));
        Self { trouble: trouble.map(|place| place as u8), recent: recent.collect() }
    }

    fn trouble(&self) -> Option<Trouble> {
        Trouble::ALL.get(usize::from(self.trouble?)).copied()
    }

    fn recent(&self) -> Recent {
        let mut at = 0_i64;
        Recent::of(self.recent.iter().map(|&(since, status, came, new)| {
            at = at.saturating_add(i64::from(since));
            Fetch {
                at: Timestamp::from_seconds(at),
                status: (status != 0).then_some(status),
                came: Came::ALL.get(usize::from(came)).copied().unwrap_or(Came::Failed),
                new,
            }
        }))
    }
}

/// A value of `states`: version, state, wellbeing.
pub(super) fn encode_state(feed: &Feed) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(384);
    bytes.push(STATE_VERSION);
    postcard::to_extend(&(StateRecord::of(feed), WellbeingRecord::of(feed)), bytes)
        .expect("a record holds only lengths that are known, and memory grows")
}

fn decode_state(bytes: &[u8]) -> Result<(StateRecord<'_>, WellbeingRecord), Fault> {
    let Some((&STATE_VERSION, body)) = bytes.split_first() else {
        return Ok((decode(bytes, "state of a feed")?, WellbeingRecord::default()));
    };
    postcard::from_bytes(body)
        .map_err(|error| Fault::Unreadable(format!("the state of a feed cannot be read: {error}")))
}

/// When a feed was last asked, by a value of `states`.
pub(super) fn asked_at(state: &[u8]) -> Result<Option<i64>, Fault> {
    decode_state(state).map(|(state, _)| state.last_attempt)
}

/// The number of a state in the file.
pub(super) const fn number_of(state: FeedState) -> u8 {
    match state {
        FeedState::New => 0,
        FeedState::Ok => 1,
        FeedState::Backoff => 2,
        FeedState::Held => 3,
        FeedState::Gone => 4,
        FeedState::Quarantined => 5,
    }
}

/// The state that has this number.
pub(super) fn state_of(number: u8) -> Result<FeedState, Fault> {
    const STATES: [FeedState; 6] =
        [FeedState::New, FeedState::Ok, FeedState::Backoff, FeedState::Held, FeedState::Gone, FeedState::Quarantined];
    let state = STATES.get(usize::from(number)).copied();
    state.ok_or_else(|| Fault::Unreadable(format!("the state {number} is unknown")))
}

impl<'a> StateRecord<'a> {
    pub(super) fn of(feed: &'a Feed) -> Self {
        let schedule = &feed.schedule;
        let pace = &schedule.pace;
        Self {
            etag: feed.validators.etag.as_deref(),
            last_modified: feed.validators.last_modified.as_deref(),
            validators_from: feed.validators.from.as_ref().map(FeedUrl::as_str),
            body_hash: feed.body_hash,
            state: number_of(schedule.state),
            next_poll: schedule.next_poll.millis(),
            interval: schedule.interval,
            last_attempt: schedule.last_attempt.map(Timestamp::millis),
            last_success: schedule.last_success.map(Timestamp::millis),
            last_status: schedule.last_status,
            last_error: schedule.last_error.as_deref(),
            failures: schedule.failures,
            failing_since: schedule.failing_since.map(Timestamp::millis),
            parser_faults: schedule.parser_faults,
            pending_move: schedule.pending_move.as_ref().map(|moving| (moving.target.as_str(), moving.successes)),
            rhythm: schedule.rhythm,
            ttl_minutes: pace.ttl_minutes,
            update_period_seconds: pace.update_period.map(|period| period.seconds),
            skip_hours: pace.skip_hours,
            skip_days: pace.skip_days,
        }
    }
}

/// A value of `counts`: what the store counts by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CountRecord {
    /// Entries with their text.
    pub(super) entries: u32,
    /// Identities whose text was purged.
    pub(super) purged: u32,
    /// The place of the newest entry, in milliseconds.
    pub(super) newest: Option<i64>,
    /// The number of the next new entry.
    pub(super) next_seq: u32,
}

impl CountRecord {
    pub(super) fn newest(&self) -> Option<Timestamp> {
        self.newest.map(Timestamp::from_millis)
    }
}

/// A feed from its three records.
pub(super) fn feed(id: FeedId, feed: &[u8], state: &[u8], counts: &[u8]) -> Result<Feed, Fault> {
    let cold = FeedRecord::read(feed)?;
    let (hot, wellbeing) = decode_state(state)?;
    let counts: CountRecord = decode(counts, "count of a feed")?;
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let left_at = cold.left_at();
    let aliases = cold.aliases.iter().map(|url| stored_url(url)).collect::<Result<_, _>>()?;
    let predecessor = cold.predecessor.map(FeedId);
    let cold = cold.first;
    Ok(Feed {
        id,
        url: stored_url(cold.url)?,
        moved_to: cold.moved_to.and_then(|url| stored_url(url).ok()),
        aliases,
        predecessor,
        about: About {
            id: owned(cold.id),
            title: owned(cold.title),
            home: owned(cold.home),
            language: owned(cold.language),
            self_link: owned(cold.self_link),
            hubs: cold.hubs.into_iter().map(str::to_owned).collect(),
        },
        validators: Validators {
            etag: hot.etag.map(<[u8]>::to_vec),
            last_modified: hot.last_modified.map(<[u8]>::to_vec),
            from: hot.validators_from.and_then(|url| stored_url(url).ok()),
        },
        body_hash: hot.body_hash,
        identity: match cold.identity {
            0 => IdentityRule::Guid,
            1 => IdentityRule::Link,
            other => return Err(Fault::Unreadable(format!("a feed has the unknown identity rule {other}"))),
        },
        schedule: Schedule {
            state: state_of(hot.state)?,
            next_poll: Timestamp::from_millis(hot.next_poll),
            interval: hot.interval,
            last_attempt: hot.last_attempt.map(Timestamp::from_millis),
            last_success: hot.last_success.map(Timestamp::from_millis),
            last_status: hot.last_status,
            last_error: owned(hot.last_error),
            failures: hot.failures,
            failing_since: hot.failing_since.map(Timestamp::from_millis),
            parser_faults: hot.parser_faults,
            pending_move: hot
                .pending_move
                .and_then(|(target, successes)| Some(PendingMove { target: stored_url(target).ok()?, successes })),
            rhythm: hot.rhythm,
            pace: Pace {
                ttl_minutes: hot.ttl_minutes,
                update_period: hot.update_period_seconds.map(|seconds| UpdatePeriod { seconds }),
                skip_hours: hot.skip_hours,
                skip_days: hot.skip_days,
            },
        },
        recent: wellbeing.recent(),
        trouble: wellbeing.trouble(),
        entries: counts.entries,
        newest: counts.newest(),
        next_seq: counts.next_seq,
        left_at,
    })
}

/// An address out of the file: spelled by a parsed one, of whatever length.
pub(super) fn stored_url(text: &str) -> Result<FeedUrl, Fault> {
    Url::parse(text)
        .map_err(UrlFault::Malformed)
        .and_then(FeedUrl::try_from)
        .map_err(|fault| Fault::Unreadable(format!("a stored address cannot be read: {fault}")))
}

/// Reads a value of `known`, 46 bytes, big-endian: version (1), flags (1: bit 0 purged, bit 1 has a link), listed at i64,
/// first seen i64, guid u64, link u64, fingerprint u64, carried on i32 (day).
pub(super) fn known_of(seq: u32, bytes: &[u8; 46]) -> Result<Known, Fault> {
    if bytes[0] != VERSION {
        return Err(Fault::Unreadable(format!("an identity has the unknown version {}", bytes[0])));
    }
    let number = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    Ok(Known {
        seq,
        listed_at: Timestamp::from_millis(number(2).cast_signed()),
        first_seen: Timestamp::from_millis(number(10).cast_signed()),
        guid: Hash64(number(18)),
        link: (bytes[1] & 2 != 0).then(|| Hash64(number(26))),
        fingerprint: Hash64(number(34)),
        carried_on: bytes[42..].first_chunk().map_or(0, |bytes| i32::from_be_bytes(*bytes)),
        purged: bytes[1] & 1 != 0,
    })
}

/// A value of `events`.
#[derive(Serialize, Deserialize)]
pub(super) struct EventRecord<'a> {
    /// 0: joined; 1: left; 2: became a follower.
    kind: u8,
    list: &'a str,
    voice: &'a str,
    #[serde(borrow)]
    feeds: Vec<&'a str>,
}

impl<'a> EventRecord<'a> {
    pub(super) fn of(event: &'a ListEvent) -> Self {
        Self {
            kind: match event.kind {
                ListEventKind::Joined => 0,
                ListEventKind::Left => 1,
                ListEventKind::BecameFollower => 2,
            },
            list: &event.list,
            voice: &event.voice,
            feeds: event.feeds.iter().map(FeedUrl::as_str).collect(),
        }
    }

    /// The event that happened at this instant.
    pub(super) fn event(&self, at: Timestamp) -> Result<ListEvent, Fault> {
        Ok(ListEvent {
            at,
            kind: match self.kind {
                0 => ListEventKind::Joined,
                1 => ListEventKind::Left,
                2 => ListEventKind::BecameFollower,
                other => return Err(Fault::Unreadable(format!("an event has the unknown kind {other}"))),
            },
            list: self.list.to_owned(),
            voice: self.voice.to_owned(),
            feeds: self.feeds.iter().filter_map(|url| stored_url(url).ok()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state as version 1 of the record has it: etag `"x"`, two failures, a rhythm of a day.
    const STATE_OF_VERSION_1: &[u8] =
        b"\x01\x01\x03\"x\"\0\0\0\x02\xC0\x81\xBF\xD0\xC0h\x84\x07\0\x01\x80\x93\xD1\xCF\xC0h\x01\x80\xB6\
        \xF5\xCD\xC0h\0\x01\x0Enobody answers\x02\x01\xC0\xA4\xE3\xCE\xC0h\0\0\x01\x80\xA3\x05\0\0\0\0\0";

    fn failing() -> Feed {
        let at = |seconds: i64| Timestamp::from_seconds(1_795_379_832 + seconds);
        let mut feed = Feed::new(FeedId(1), FeedUrl::parse("https://example.org/feed").expect("an address"), at(0));
        feed.validators.etag = Some(b"\"x\"".to_vec());
        feed.schedule = Schedule {
            state: FeedState::Backoff,
            next_poll: at(900),
            interval: Duration::from_mins(15),
            last_attempt: Some(at(0)),
            last_success: Some(at(-1800)),
            last_error: Some("nobody answers".to_owned()),
            failures: 2,
            failing_since: Some(at(-900)),
            rhythm: Some(Duration::from_hours(24)),
            ..feed.schedule
        };
        feed
    }

    fn read(feed: &Feed, state: &[u8]) -> Result<Feed, Fault> {
        super::feed(feed.id, &FeedRecord::of(feed).bytes(), state, &encode(&CountRecord::default()))
    }

    #[test]
    fn states_of_both_versions_are_read() {
        let mut feed = failing();
        assert_eq!(encode(&StateRecord::of(&feed)), STATE_OF_VERSION_1);
        assert_eq!(read(&feed, STATE_OF_VERSION_1).expect("it reads"), feed);

        feed.trouble = Some(Trouble::BrokenForAWeek);
        let fetches = (0..Recent::MAX as i64).map(|n| Fetch {
            at: Timestamp::from_seconds(1_795_379_832 + n * 3600),
            status: (n % 5 != 4).then_some(304),
            came: Came::ALL[n as usize % 5],
            new: n as u16 * 7,
        });
        feed.recent = Recent::of(fetches);
        let state = encode_state(&feed);
        assert!(state.len() <= STATE_OF_VERSION_1.len() + 24 * 8 + 8, "{} bytes", state.len());
        assert_eq!(read(&feed, &state).expect("it reads"), feed);

        let unknown = [&[STATE_VERSION + 1][..], &state[1..]].concat();
        assert!(read(&feed, &unknown).is_err() && read(&feed, &state[..state.len() - 1]).is_err());
    }

    /// The record of the first version, byte by byte.
    #[test]
    fn a_record_of_the_first_version_is_read() {
        let mut bytes = vec![1, 15];
        bytes.extend(b"https://x.org/f");
        bytes.push(1);
        bytes.push(15);
        bytes.extend(b"https://x.org/g");
        // No id; the title; no home, language, self link; one hub; by link; left at 5 ms.
        bytes.extend([0, 1, 1, b'T', 0, 0, 0, 1, 14]);
        bytes.extend(b"https://hub.x/");
        bytes.extend([1, 1, 10]);
        let record = FeedRecord::read(&bytes).expect("it reads");
        assert_eq!((record.url(), record.moved_to()), ("https://x.org/f", Some("https://x.org/g")));
        assert_eq!((record.first.title, record.first.hubs.as_slice()), (Some("T"), &["https://hub.x/"][..]));
        assert_eq!((record.first.identity, record.left_at()), (1, Some(Timestamp::from_millis(5))));
        assert_eq!((record.aliases(), record.predecessor()), (&[][..], None));
        // Written again it is of the newest, and says what it said, and what is new.
        let newer = record.standing(Some(9)).expect("it stands again");
        assert_eq!(newer[0], FEED_VERSION);
        let newer = FeedRecord::read(&newer).expect("it reads");
        assert_eq!((newer.url(), newer.left_at(), newer.predecessor()), ("https://x.org/f", None, Some(9)));
        bytes[0] = FEED_VERSION + 1;
        assert!(FeedRecord::read(&bytes).is_err());
    }
}
