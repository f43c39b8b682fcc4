//! The rules of WebSub, row by row.

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_795_379_832);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const TOPIC: &str = "https://mina.example/feed";

fn base() -> Url {
    Url::parse("https://listen.example/ears/").expect("a URL")
}

fn fresh() -> HubSubscription {
    let offer = Offer { hub: FeedUrl::parse("https://hub.example/").expect("an address"), topic: TOPIC.to_owned() };
    wanted(FeedId(7), offer, &base(), "token", "secret".to_owned(), NOW)
}

#[test]
fn one_hub_is_chosen_and_the_topic_is_the_feeds_own() {
    let check = |hubs: &[&str], self_link: Option<&str>, address: &str, expected: Option<(&str, &str)>| {
        let hubs: Vec<String> = hubs.iter().map(|hub| (*hub).to_owned()).collect();
        let offer = offer(&hubs, self_link, &FeedUrl::parse(address).expect("an address"));
        let offer = offer.as_ref().map(|offer| (offer.hub.as_str(), offer.topic.as_str()));
        assert_eq!(offer, expected, "{hubs:?} {self_link:?} {address}");
    };
    let hub = "https://hub.example/";
    check(&[], Some(TOPIC), TOPIC, None);
    check(&[hub], Some(TOPIC), TOPIC, Some((hub, TOPIC)));
    check(&[hub], None, TOPIC, Some((hub, TOPIC)));
    check(&["http://a.example/", hub], None, TOPIC, Some((hub, TOPIC)));
    check(&["javascript:x", "http://a.example/"], None, TOPIC, Some(("http://a.example/", TOPIC)));
    check(&[hub], Some("http://mina.example/other"), TOPIC, Some((hub, "http://mina.example/other")));
    check(&[hub], Some("https://mina.example/%7Eann"), TOPIC, Some((hub, "https://mina.example/%7Eann")));
    check(&[hub], Some("https://bank.example/feed"), TOPIC, None);
    check(&[hub], Some(TOPIC), "https://ann:secret@mina.example/feed", None);
    check(&[hub], Some("https://ann:secret@mina.example/feed"), TOPIC, None);
}

#[test]
fn only_public_addresses_are_reachable() {
    let exceptions = Guard::new(["127.0.0.1:9000".parse().expect("an address")]);
    for (base, reachable) in [
        ("https://listen.example/", true),
        ("https://listen.example:8443/ears/", true),
        ("http://93.184.215.14/", true),
        ("http://127.0.0.1:8470/", false),
        ("http://127.0.0.1:9000/", true),
        ("http://[::1]:9000/", false),
        ("http://192.168.1.4/", false),
        ("http://localhost/", false),
        ("http://a.localhost/", false),
        ("http://nas/", false),
        ("http://nas.local/", false),
        ("http://nas.internal./", false),
    ] {
        assert_eq!(is_reachable(&Url::parse(base).expect("a URL"), &exceptions), reachable, "{base}");
    }
}

#[test]
fn requests_are_forms() {
    let subscription = fresh();
    let pairs = |body: &str| form_urlencoded::parse(body.as_bytes()).into_owned().collect::<Vec<_>>();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let callback = pair("hub.callback", "https://listen.example/ears/websub/token");
    assert_eq!(
        pairs(&request(&subscription, Mode::Subscribe)),
        [
            callback.clone(),
            pair("hub.mode", "subscribe"),
            pair("hub.topic", TOPIC),
            pair("hub.lease_seconds", "864000"),
            pair("hub.secret", "secret")
        ]
    );
    assert_eq!(
        pairs(&request(&subscription, Mode::Unsubscribe)),
        [callback, pair("hub.mode", "unsubscribe"), pair("hub.topic", TOPIC)]
    );
    assert_eq!(
        pairs(&ping("https://a.example/listen.atom?q=ä")),
        [
            pair("hub.mode", "publish"),
            pair("hub.url", "https://a.example/listen.atom?q=ä"),
            pair("hub.topic", "https://a.example/listen.atom?q=ä")
        ]
    );
    assert_eq!(subscription.token(), "token");
}

#[test]
fn an_agreement_goes_from_wish_to_renewal() {
    let limits = Limits::default();
    let wish = fresh();
    assert_eq!(step(&wish, NOW), Some(Step::Ask(Mode::Subscribe)));
    assert!(!is_meant(&wish, Mode::Subscribe, TOPIC, NOW), "nothing was asked yet");

    let pending = asked(&wish, Mode::Subscribe, NOW);
    assert_eq!(step(&pending, NOW), None);
    assert!(is_meant(&pending, Mode::Subscribe, TOPIC, NOW.plus(MINUTE)));
    assert!(!is_meant(&pending, Mode::Unsubscribe, TOPIC, NOW.plus(MINUTE)));
    assert!(!is_meant(&pending, Mode::Subscribe, "https://bank.example/", NOW.plus(MINUTE)));
    assert!(!is_meant(&pending, Mode::Subscribe, TOPIC, NOW.plus(HOUR)), "that is too late");
    assert_eq!(step(&pending, NOW.plus(HOUR)), Some(Step::Silence));

    let then = NOW.plus(MINUTE);
    let good = verified(&pending, Mode::Subscribe, Some(864_000), &limits, then, 0.5);
    assert_eq!(good.lease_ends, Some(then.plus(10 * 24 * HOUR)));
    assert_eq!(good.next_step, then.plus(8 * 24 * HOUR), "at 80 % of the lease");
    assert!(is_meant(&good, Mode::Subscribe, TOPIC, then), "the hub may not have heard us");
    assert_eq!(failed(&good, None, &limits, then, 0.5), good, "a fault of the answer after the verification");

    let renewal = asked(&good, Mode::Subscribe, good.next_step);
    assert_eq!(renewal.lease_ends, good.lease_ends);
    let silent = failed(&renewal, None, &limits, good.next_step.plus(MINUTE), 1.0);
    assert_eq!((silent.stage, silent.lease_ends, silent.failures), (HubStage::Wanted, good.lease_ends, 1));
    assert_eq!(silent.next_step, good.next_step.plus(MINUTE + HOUR / 2));
}

#[test]
fn no_hub_makes_us_ask_often() {
    let limits = Limits::default();
    let pending = asked(&fresh(), Mode::Subscribe, NOW);
    for (lease, ends, renewed) in [
        (Some(0), Duration::ZERO, limits.min_interval),
        (Some(1), Duration::from_secs(1), limits.min_interval),
        (Some(u64::MAX), 30 * 24 * HOUR, 24 * 24 * HOUR),
        (None, 24 * HOUR, 24 * HOUR * 4 / 5),
    ] {
        let good = verified(&pending, Mode::Subscribe, lease, &limits, NOW, 0.5);
        assert_eq!((good.lease_ends, good.next_step), (Some(NOW.plus(ends)), NOW.plus(renewed)), "{lease:?}");
    }
    let mut failing = pending;
    for n in 1..200 {
        let next = failed(&failing, None, &limits, failing.next_step, 0.0);
        let wait = next.next_step.since(failing.next_step);
        assert!((limits.min_interval..=limits.max_backoff).contains(&wait), "{n}: {wait:?}");
        failing = asked(&next, Mode::Subscribe, next.next_step);
    }
    let told = failed(&failing, Some(Duration::from_hours(1000)), &limits, NOW, 0.0);
    assert_eq!(told.next_step, NOW.plus(7 * 24 * HOUR));
}

#[test]
fn a_denial_ends_the_lease_and_is_respected_for_a_week() {
    let good = verified(&asked(&fresh(), Mode::Subscribe, NOW), Mode::Subscribe, Some(9), &Limits::default(), NOW, 0.0);
    assert_eq!(denied(&good, "https://bank.example/", NOW, 0.0), None);
    let no = denied(&good, TOPIC, NOW, 0.0).expect("it is about this topic");
    assert_eq!((no.stage, no.lease_ends, no.next_step), (HubStage::Denied, None, NOW.plus(7 * 24 * HOUR)));
    assert!(!is_meant(&no, Mode::Subscribe, TOPIC, NOW));
}

#[test]
fn what_is_no_longer_wanted_is_ended_with_three_tries() {
    assert_eq!(unwanted(&fresh(), NOW), None, "the hub knows nothing of it");
    let limits = Limits::default();
    let good = verified(&asked(&fresh(), Mode::Subscribe, NOW), Mode::Subscribe, Some(9), &limits, NOW, 0.0);
    let leaving = unwanted(&good, NOW).expect("the hub must be told");
    assert_eq!((step(&leaving, NOW), leaving.lease_ends), (Some(Step::Ask(Mode::Unsubscribe)), None));
    let mut goodbye = asked(&leaving, Mode::Unsubscribe, NOW);
    assert!(is_meant(&goodbye, Mode::Unsubscribe, TOPIC, NOW));
    assert!(!is_meant(&goodbye, Mode::Subscribe, TOPIC, NOW));
    let ended = verified(&goodbye, Mode::Unsubscribe, None, &limits, NOW, 0.0);
    assert_eq!(step(&ended, NOW), Some(Step::Forget));
    for _ in 0..2 {
        let again = failed(&goodbye, None, &limits, NOW, 0.0);
        assert_eq!(again.stage, HubStage::Leaving);
        goodbye = asked(&again, Mode::Unsubscribe, again.next_step);
    }
    assert_eq!(step(&failed(&goodbye, None, &limits, NOW, 0.0), NOW), Some(Step::Forget));
}

#[test]
fn signatures_are_worth_what_their_method_is() {
    // RFC 4231, test case 2; for SHA-1 RFC 2202, test case 2.
    let (secret, body) = ("Jefe", b"what do ya want for nothing?");
    let sha256 = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let sha512 = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737";
    let sha384 = "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649";
    let sha1 = "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79";
    for (method, tag, worth) in [
        ("sha256", sha256, Signature::Strong),
        ("SHA256", sha256, Signature::Strong),
        ("sha384", sha384, Signature::Strong),
        ("sha512", sha512, Signature::Strong),
        ("sha1", sha1, Signature::Weak),
    ] {
        let header = format!("{method}={tag}");
        assert_eq!(signature(secret, Some(&header), body), worth, "{header}");
        assert_eq!(signature(secret, Some(&header.to_uppercase()), body), worth, "digits in capitals");
        for (secret, body) in [("Jefa", &body[..]), (secret, b"forged"), (secret, b"")] {
            assert!(matches!(signature(secret, Some(&header), body), Signature::Bad(_)), "{header}");
        }
    }
    let cut = format!("sha256={}", &sha256[..32]);
    let swapped = format!("sha256={sha1}");
    for bad in
        ["", "sha256", "sha256=", "sha256=zz", "sha256=ä", &cut, &swapped, "md5=750c783e6ab0b503eaa86e310a5db738"]
    {
        assert!(matches!(signature(secret, Some(bad), body), Signature::Bad(_)), "{bad}");
    }
    assert!(matches!(signature(secret, None, body), Signature::Bad(_)));
}

#[test]
fn challenges_that_could_do_harm_are_not_repeated() {
    for (challenge, harmless) in
        [("abc-123_=", true), ("", false), ("a b", false), ("a\0", false), ("ä", false), (&"x".repeat(2000), false)]
    {
        assert_eq!(is_harmless(challenge), harmless, "{challenge:?}");
    }
}

/// What may happen to an agreement.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Verified(Option<u64>),
    Refused(Option<u64>),
    Denied,
    Nothing,
}

fn happenings() -> impl Strategy<Value = Vec<(Happens, u64, f64)>> {
    let happens = prop_oneof![
        proptest::option::of(0..=u64::MAX).prop_map(Happens::Verified),
        proptest::option::of(0..100_000u64).prop_map(Happens::Refused),
        Just(Happens::Denied),
        Just(Happens::Nothing),
    ];
    proptest::collection::vec((happens, 0..2_000_000u64, 0.0..1.0), 1..60)
}

proptest! {
    #[test]
    fn whatever_hubs_do_requests_keep_their_distance(happenings in happenings()) {
        let limits = Limits::default();
        let mut agreed = fresh();
        let mut now = NOW;
        let mut last: Option<Timestamp> = None;
        for (happens, seconds, jitter) in happenings {
            match step(&agreed, now) {
                Some(Step::Ask(mode)) => {
                    prop_assert_eq!(mode, Mode::Subscribe);
                    prop_assert!(last.is_none_or(|last| now.since(last) >= limits.min_interval));
                    last = Some(now);
                    agreed = asked(&agreed, mode, now);
                }
                Some(Step::Silence) => agreed = failed(&agreed, None, &limits, now, jitter),
                Some(Step::Forget) => prop_assert!(false, "it was never given up"),
                None => {}
            }
            match happens {
                Happens::Verified(lease) if is_meant(&agreed, Mode::Subscribe, TOPIC, now) => {
                    agreed = verified(&agreed, Mode::Subscribe, lease, &limits, now, jitter);
                }
                Happens::Refused(after) if agreed.stage == HubStage::Asked => {
                    agreed = failed(&agreed, after.map(Duration::from_secs), &limits, now, jitter);
                }
                Happens::Denied => agreed = denied(&agreed, TOPIC, now, jitter).expect("it is about this topic"),
                _ => {}
            }
            // Nor is anything put off for good.
            prop_assert!(agreed.next_step.since(now) <= MAX_LEASE);
            prop_assert_eq!(restored(agreed.clone(), now), agreed.clone());
            now = now.plus(Duration::from_secs(if seconds % 3 == 0 { seconds } else { seconds % 1000 }));
        }
    }
}
