//! WebSub, both ends of it, as far as it can be decided without sending anything (W3C Recommendation of 23 January
//! 2018, <https://www.w3.org/TR/websub/>; the sections named here are its own).
//!
//! Owns which hub is asked for which topic, what is said to it, when it is asked again, which of its questions are
//! answered, and which pushes are believed. Time and chance are arguments. Knows nothing of connections or the store.
//!
//! Where the specification leaves a choice:
//!
//! - The secret also goes to hubs without TLS, although section 5.1 would have it kept back there: unsigned pushes are
//!   never believed, and whoever listens on that wire can change the feed itself as well.
//! - A renewal keeps callback and secret. Under a new callback the hub would hold two subscriptions, and push
//!   everything twice until the older lease ends.
//! - A push may hold new entries alone (section 7), so what is missing from it says nothing.

use std::time::Duration;

use ring::hmac;
use url::{Host, Url, form_urlencoded};

use super::address::Guard;
use super::schedule::Limits;
use crate::model::{FeedId, FeedUrl, HubStage, HubSubscription, Timestamp};

/// How long a subscription is asked for; the hub decides (section 5.1). Ten days is what section 8 recommends.
const WISHED_LEASE: Duration = Duration::from_hours(10 * 24);
/// What a hub counts as having granted that does not say (section 5.3 obliges it to).
const UNSAID_LEASE: Duration = Duration::from_hours(24);
/// No lease counts for longer, so that a hub that has forgotten us is asked again some day.
const MAX_LEASE: Duration = Duration::from_hours(30 * 24);
/// A renewal is sent when so much of the lease has passed, and up to so much more as chance has it.
const RENEWAL_SHARE: (f64, f64) = (0.75, 0.1);
/// How long a hub may take to verify a request.
const VERIFIED_WITHIN: Duration = Duration::from_mins(10);
/// How long a hub that has denied a subscription is left alone.
const DENIED_PAUSE: Duration = Duration::from_hours(7 * 24);
/// Bounds of what a hub's `Retry-After` may ask for.
const RETRY_AFTER_BOUNDS: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(7 * 24));
/// How often a hub is asked to end a subscription before it is left to run out.
const MAX_GOODBYES: u32 = 3;
/// The longest `hub.challenge` that is repeated, in bytes (section 8).
const MAX_CHALLENGE_BYTES: usize = 1024;

/// What a hub is asked for (`hub.mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To push, or to go on pushing.
    Subscribe,
    /// To stop pushing.
    Unsubscribe,
}

impl Mode {
    /// The mode of this word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Subscribe, Self::Unsubscribe].into_iter().find(|mode| mode.as_str() == word)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
        }
    }
}

/// Which hub a feed wants to be subscribed at, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The hub.
    pub hub: FeedUrl,
    /// The topic.
    pub topic: String,
}

/// The hub and the topic of a feed that names `hubs` (section 4); `address` is the one that answered, after all
/// redirects.
///
/// Of several hubs one with https is taken (section 8). The topic is what the feed says its own address is, but only on
/// the host that it really came from: nobody may subscribe us to somebody else's topic. A feed that needs credentials
/// is nothing for a hub.
pub fn offer(hubs: &[String], self_link: Option<&str>, address: &FeedUrl) -> Option<Offer> {
    let hubs: Vec<FeedUrl> = hubs.iter().filter_map(|hub| FeedUrl::parse(hub).ok()).collect();
    let hub = hubs.iter().find(|hub| hub.url().scheme() == "https").or(hubs.first())?.clone();
    if address.as_str() != address.to_string() {
        return None;
    }
    let Some(self_link) = self_link else { return Some(Offer { hub, topic: address.as_str().to_owned() }) };
    let topic = FeedUrl::parse(self_link).ok()?;
    let is_own = topic.host() == address.host() && topic.as_str() == topic.to_string();
    // Byte for byte as it is written: that is the name under which the hub knows it.
    is_own.then(|| Offer { hub, topic: self_link.trim().to_owned() })
}

/// Whether hubs can reach what stands below this address: a public name, a globally routable address, or one of the
/// guard's exceptions.
pub fn is_reachable(base: &Url, guard: &Guard) -> bool {
    match base.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            let is_private = |top: &str| top == "localhost" || top == "local" || top == "internal" || top == "home";
            name.rsplit_once('.').is_some_and(|(_, top)| !is_private(top))
        }
        Some(_) => guard.permits_literal(base).is_ok(),
        None => false,
    }
}

/// The agreement to be made on an offer. `token` and `secret` must be such that nobody can guess them.
pub fn wanted(
    feed: FeedId,
    offer: Offer,
    callbacks: &Url,
    token: &str,
    secret: String,
    now: Timestamp,
) -> HubSubscription {
    HubSubscription {
        feed,
        hub: offer.hub,
        topic: offer.topic,
        callback: callback(callbacks, token),
        secret,
        stage: HubStage::Wanted,
        asked_at: None,
        lease_ends: None,
        next_step: now,
        failures: 0,
    }
}

/// The path below the base address at which callbacks stand.
pub const CALLBACKS: &str = "/websub/";

/// The callback with this token; `base` is the daemon's own address.
pub fn callback(base: &Url, token: &str) -> String {
    format!("{}{CALLBACKS}{token}", base.as_str().trim_end_matches('/'))
}

/// What is to be done about an agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The hub is to be asked.
    Ask(Mode),
    /// The hub has not verified what it was asked for.
    Silence,
    /// It is over.
    Forget,
}

/// What is due, if anything is.
pub fn step(subscription: &HubSubscription, now: Timestamp) -> Option<Step> {
    if now < subscription.next_step {
        return None;
    }
    Some(match subscription.stage {
        HubStage::Wanted | HubStage::Verified | HubStage::Denied => Step::Ask(Mode::Subscribe),
        HubStage::Asked => Step::Silence,
        HubStage::Leaving => Step::Ask(Mode::Unsubscribe),
        HubStage::Left => Step::Forget,
    })
}

/// The body of a request to the hub (section 5.1): a form.
pub fn request(subscription: &HubSubscription, mode: Mode) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("hub.callback", &subscription.callback)
        .append_pair("hub.mode", mode.as_str())
        .append_pair("hub.topic", &subscription.topic);
    if mode == Mode::Subscribe {
        form.append_pair("hub.lease_seconds", &WISHED_LEASE.as_secs().to_string())
            .append_pair("hub.secret", &subscription.secret);
    }
    form.finish()
}

/// The body of a ping: what a publisher tells its hub (section 6, which leaves it open; this is what hubs have always
/// understood, with both names of the address).
pub fn ping(topic: &str) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("hub.mode", "publish").append_pair("hub.url", topic).append_pair("hub.topic", topic).finish()
}

/// The agreement while the hub is being asked. It has to be stored before the request is sent: some hubs verify first
/// and answer then.
#[must_use]
pub fn asked(old: &HubSubscription, mode: Mode, now: Timestamp) -> HubSubscription {
    let stage = if mode == Mode::Subscribe { HubStage::Asked } else { HubStage::Left };
    HubSubscription { stage, asked_at: Some(now), next_step: now.plus(VERIFIED_WITHIN), ..old.clone() }
}

/// The agreement after a request that came to nothing: refused, not answered, or never verified. What the hub has
/// granted before stays granted.
#[must_use]
pub fn failed(
    old: &HubSubscription,
    retry_after: Option<Duration>,
    limits: &Limits,
    now: Timestamp,
    jitter: f64,
) -> HubSubscription {
    let failures = old.failures.saturating_add(1);
    let stage = match old.stage {
        HubStage::Asked | HubStage::Wanted => HubStage::Wanted,
        HubStage::Leaving | HubStage::Left if failures < MAX_GOODBYES => HubStage::Leaving,
        HubStage::Leaving | HubStage::Left => return HubSubscription { failures, next_step: now, ..left(old) },
        // Verified or denied before the answer came: that is the answer.
        HubStage::Verified | HubStage::Denied => return old.clone(),
    };
    let asked_for = retry_after.map(|wait| wait.clamp(RETRY_AFTER_BOUNDS.0, RETRY_AFTER_BOUNDS.1));
    let wait = backoff(failures, limits, jitter).max(asked_for.unwrap_or_default());
    HubSubscription { stage, failures, next_step: now.plus(wait), ..old.clone() }
}

fn left(old: &HubSubscription) -> HubSubscription {
    HubSubscription { stage: HubStage::Left, lease_ends: None, ..old.clone() }
}

/// random(b/2 … b) with b = `min_interval` · 2ⁿ, at most `max_backoff` and at least `min_interval`.
pub fn backoff(failures: u32, limits: &Limits, jitter: f64) -> Duration {
    let b = limits.min_interval.saturating_mul(1u32.checked_shl(failures).unwrap_or(u32::MAX)).min(limits.max_backoff);
    b.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0)).max(limits.min_interval)
}

/// Whether the hub may be told that this is meant (section 5.3): it was asked for not long ago, and for this topic.
pub fn is_meant(subscription: &HubSubscription, mode: Mode, topic: &str, now: Timestamp) -> bool {
    let is_wished = match mode {
        Mode::Subscribe => matches!(subscription.stage, HubStage::Asked | HubStage::Verified),
        Mode::Unsubscribe => subscription.stage == HubStage::Left,
    };
    // A hub whose verification we answered may not have heard us, and asks again.
    let is_recent = subscription.asked_at.is_some_and(|at| at <= now && now.since(at) < VERIFIED_WITHIN);
    is_wished && is_recent && topic == subscription.topic
}

/// The agreement after the hub has verified it, for so many seconds.
///
/// A renewal never follows sooner than a feed would be polled: where a hub grants less, its lease runs out in between.
#[must_use]
pub fn verified(
    old: &HubSubscription,
    mode: Mode,
    lease_seconds: Option<u64>,
    limits: &Limits,
    now: Timestamp,
    jitter: f64,
) -> HubSubscription {
    if mode == Mode::Unsubscribe {
        return HubSubscription { next_step: now, ..left(old) };
    }
    let lease = lease_seconds.map_or(UNSAID_LEASE, Duration::from_secs).min(MAX_LEASE);
    let share = RENEWAL_SHARE.0 + RENEWAL_SHARE.1 * jitter.clamp(0.0, 1.0);
    HubSubscription {
        stage: HubStage::Verified,
        lease_ends: Some(now.plus(lease)),
        next_step: now.plus(lease.mul_f64(share).max(limits.min_interval)),
        failures: 0,
        ..old.clone()
    }
}

/// The agreement after the hub has denied it (section 5.2), which it may do at any time; `None` where the hub speaks of
/// something else.
pub fn denied(old: &HubSubscription, topic: &str, now: Timestamp, jitter: f64) -> Option<HubSubscription> {
    if topic != old.topic {
        return None;
    }
    if matches!(old.stage, HubStage::Leaving | HubStage::Left) {
        return Some(HubSubscription { next_step: now, ..left(old) });
    }
    let next_step = now.plus(DENIED_PAUSE.mul_f64(1.0 + 0.1 * jitter.clamp(0.0, 1.0)));
    Some(HubSubscription { stage: HubStage::Denied, lease_ends: None, next_step, ..old.clone() })
}

/// The agreement once it is no longer wanted; `None` where the hub never agreed to anything.
pub fn unwanted(old: &HubSubscription, now: Timestamp) -> Option<HubSubscription> {
    match old.stage {
        HubStage::Leaving | HubStage::Left => Some(old.clone()),
        HubStage::Wanted | HubStage::Denied if old.lease_ends.is_none() => None,
        _ => Some(HubSubscription {
            stage: HubStage::Leaving,
            lease_ends: None,
            next_step: now,
            failures: 0,
            ..old.clone()
        }),
    }
}

/// An agreement out of the store: steps that lie further ahead than any rule puts them come from a clock that went
/// wrong.
#[must_use]
pub fn restored(stored: HubSubscription, now: Timestamp) -> HubSubscription {
    let latest = now.plus(MAX_LEASE);
    HubSubscription {
        next_step: stored.next_step.min(latest),
        lease_ends: stored.lease_ends.map(|ends| ends.min(latest)),
        ..stored
    }
}

/// Whether a challenge is one that can be repeated without harm: not long, and no binary data (section 8).
pub fn is_harmless(challenge: &str) -> bool {
    (1..=MAX_CHALLENGE_BYTES).contains(&challenge.len()) && challenge.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What a push's signature is worth (section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// SHA-256 or better, and right: what was pushed can be believed.
    Strong,
    /// SHA-1, and right: that something has changed can be believed.
    Weak,
    /// None, an unknown one, or a wrong one.
    Bad(&'static str),
}

/// Checks the value of `X-Hub-Signature` against a body, in a time that tells nothing about the right one.
pub fn signature(secret: &str, header: Option<&str>, body: &[u8]) -> Signature {
    let Some(header) = header else { return Signature::Bad("it is not signed") };
    let Some((method, hex)) = header.trim().split_once('=') else { return Signature::Bad("its signature is none") };
    let (algorithm, worth) = match method.trim().to_ascii_lowercase().as_str() {
        "sha256" => (hmac::HMAC_SHA256, Signature::Strong),
        "sha384" => (hmac::HMAC_SHA384, Signature::Strong),
        "sha512" => (hmac::HMAC_SHA512, Signature::Strong),
        "sha1" => (hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, Signature::Weak),
        _ => return Signature::Bad("it is signed by an unknown method"),
    };
    let Some(tag) = bytes_of(hex.trim()) else { return Signature::Bad("its signature is none") };
    let key = hmac::Key::new(algorithm, secret.as_bytes());
    match hmac::verify(&key, body, &tag) {
        Ok(()) => worth,
        Err(_) => Signature::Bad("its signature is wrong"),
    }
}

/// The bytes of hexadecimal digits, at most as many as SHA-512 has.
fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    if hex.len() > 128 || !hex.len().is_multiple_of(2) || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests;
