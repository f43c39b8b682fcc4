//! What became of the people: the old roster against the new one.
//!
//! A pure function. Knows neither the files nor where events are kept.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::model::{FeedUrl, ListEvent, ListEventKind, Role, Timestamp};

use super::roster::{List, ListIndex, Roster, Subscription, Voice, VoiceIndex};

/// How long ago somebody may have left the desired to count as a new follower from among them.
pub const DESIRED_LATELY: Duration = Duration::from_hours(30 * 24);
/// How long somebody may be away from a list for the departure to be taken back.
pub const AWAY_BRIEFLY: Duration = Duration::from_hours(24);

/// What to remember, and what to forget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// New events, list by list in the order of names.
    pub add: Vec<ListEvent>,
    /// Events among the recent ones that are taken back: departures of those who came back within [`AWAY_BRIEFLY`].
    pub cancel: Vec<ListEvent>,
}

/// Compares two rosters.
///
/// `recent` holds the remembered events of the last 30 days (older ones do no harm). Each change is one event: someone
/// new in a list has joined it, or, coming from among the desired, has become a follower. A list that `old` does not
/// hold, or could not read, is at its baseline: nobody joins it. Moves within a list are no events, and neither is an
/// outline whose address was edited while its name and its folder stayed.
pub fn events(old: &Roster, new: &Roster, recent: &[ListEvent], now: Timestamp) -> Diff {
    let mut diff = Diff::default();
    let (before, after) = (Standing::of(old), Standing::of(new));
    let recent_departures: Vec<Departure<'_>> = recent
        .iter()
        .filter(|event| event.kind == ListEventKind::Left && now.since(event.at) <= DESIRED_LATELY)
        .map(|event| Departure { event, feeds: event.feeds.iter().collect() })
        .collect();
    let mut names: Vec<&str> = before.lists.keys().chain(after.lists.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let (was, is) = (before.lists.get(name).copied(), after.lists.get(name).copied());
        if is.is_none() && new.lists.iter().any(|list| list.name == name) {
            continue; // it is there, and nothing of it can be read: no departure of everyone
        }
        let (mut left, mut joined) = match (was, is) {
            (Some(was), Some(is)) => (before.missing_in(was, &after, is), after.missing_in(is, &before, was)),
            (Some(was), None) => (before.voices_in(was).to_vec(), Vec::new()),
            _ => (Vec::new(), Vec::new()),
        };
        if let (Some(was), Some(is)) = (was, is) {
            drop_edited(&before, was, &mut left, &after, is, &mut joined);
        }
        diff.add.extend(left.iter().map(|&voice| event(&old.voices[voice], name, ListEventKind::Left, now)));
        let Some(is) = is else { continue };
        // Also those of a list that was away as a whole and is now at a new baseline.
        let present = if was.is_some() { joined.as_slice() } else { after.voices_in(is) };
        let mut came_back = HashSet::new();
        for &voice in present {
            let departures = recent_departures.iter().filter(|departure| {
                departure.event.list == name
                    && now.since(departure.event.at) < AWAY_BRIEFLY
                    && departure.is_of(&new.voices[voice])
            });
            for departure in departures {
                came_back.insert(voice);
                if !diff.cancel.contains(departure.event) {
                    diff.cancel.push(departure.event.clone());
                }
            }
        }
        for voice in joined.into_iter().filter(|voice| !came_back.contains(voice)) {
            let found = &new.voices[voice];
            let is_follower = new.lists[is].role == Role::Followers
                && !before.stands_among(Role::Followers, found)
                && (new.has_role(found, Role::Desired)
                    || before.stands_among(Role::Desired, found)
                    || recent_departures.iter().any(|departure| {
                        role_of(&departure.event.list, old, new) == Role::Desired && departure.is_of(found)
                    }));
            let kind = if is_follower { ListEventKind::BecameFollower } else { ListEventKind::Joined };
            diff.add.push(event(found, name, kind, now));
        }
    }
    diff
}

/// Outlines whose address was edited: the address before and after. The outline stands in the same list and folders under
/// the same text, and neither address stands there in the other roster. Each address is at most once on either side.
pub fn edited_addresses(old: &Roster, new: &Roster) -> Vec<(FeedUrl, FeedUrl)> {
    let mut edits: Vec<(FeedUrl, FeedUrl)> = Vec::new();
    let (mut left, mut came) = (HashSet::new(), HashSet::new());
    for list in &new.lists {
        let Some(before) = old.lists.iter().find(|before| before.name == list.name) else { continue };
        let is_new = missing(list, old);
        let is_gone = if is_new.is_empty() { HashSet::new() } else { missing(before, new) };
        if is_gone.is_empty() {
            continue;
        }
        let mut gone: HashMap<Vec<&str>, Vec<&FeedUrl>> = HashMap::new();
        for subscription in before.subscriptions.iter().filter(|known| is_gone.contains(&known.feed)) {
            gone.entry(way_to(old, subscription).collect()).or_default().push(&subscription.feed);
        }
        for subscription in list.subscriptions.iter().filter(|known| is_new.contains(&known.feed)) {
            let Some(candidates) = gone.get(&way_to(new, subscription).collect::<Vec<_>>()) else { continue };
            let from = candidates.iter().find(|from| !left.contains(**from));
            if let Some(from) = from.filter(|_| came.insert(&subscription.feed)) {
                left.insert(*from);
                edits.push((FeedUrl::clone(from), subscription.feed.clone()));
            }
        }
    }
    edits
}

/// Feeds of both rosters whose outlines say something else now: another text, another home, another place.
pub fn edited_outlines<'a>(old: &'a Roster, new: &'a Roster) -> impl Iterator<Item = &'a FeedUrl> {
    let says_same = |(before, was): (&List, &Subscription), (after, is): (&List, &Subscription)| {
        before.name == after.name && was.home == is.home && way_to(old, was).eq(way_to(new, is))
    };
    new.feeds().filter(move |feed| {
        let (mut before, mut after) = (old.subscriptions_of(feed).peekable(), new.subscriptions_of(feed));
        before.peek().is_some()
            && !(before.by_ref().all(|was| after.next().is_some_and(|is| says_same(was, is))) && after.next().is_none())
    })
}

/// The feeds of a list that do not stand in the list of its name in another roster.
fn missing<'a>(list: &'a List, other: &Roster) -> HashSet<&'a FeedUrl> {
    let feeds = list.subscriptions.iter().map(|known| &known.feed);
    feeds.filter(|feed| other.subscriptions_of(feed).all(|(other, _)| other.name != list.name)).collect()
}

/// The texts of the outlines from below the list down to a subscription.
fn way_to<'a>(roster: &'a Roster, subscription: &'a Subscription) -> impl Iterator<Item = &'a str> {
    let place = roster.places.get(subscription.place);
    let above = std::iter::successors(place, |place| roster.places.get(place.parent?));
    let titles = above.take_while(|place| place.parent.is_some()).map(|place| place.title.as_str());
    std::iter::once(subscription.title.as_str()).chain(titles)
}

/// A remembered departure, ready to be compared with many voices.
struct Departure<'a> {
    event: &'a ListEvent,
    feeds: HashSet<&'a FeedUrl>,
}

impl Departure<'_> {
    fn is_of(&self, voice: &Voice) -> bool {
        voice.feeds.iter().any(|feed| self.feeds.contains(feed))
    }
}

/// Who stands where in a roster, arranged for comparing.
struct Standing<'a> {
    roster: &'a Roster,
    /// The lists that were read, by name.
    lists: HashMap<&'a str, ListIndex>,
    /// The voices of each list, ascending.
    voices: Vec<Vec<VoiceIndex>>,
}

impl<'a> Standing<'a> {
    fn of(roster: &'a Roster) -> Self {
        let mut voices = vec![Vec::new(); roster.lists.len()];
        for (index, voice) in roster.voices.iter().enumerate() {
            for &list in &voice.lists {
                voices[list].push(index);
            }
        }
        // A list that never had any content to show says nothing about who is in it.
        let was_read = |list: &List| list.fault.is_none() || !list.outlines.is_empty();
        let lists = roster.lists.iter().enumerate().filter(|(_, list)| was_read(list));
        Self { roster, lists: lists.map(|(index, list)| (list.name.as_str(), index)).collect(), voices }
    }

    fn voices_in(&self, list: ListIndex) -> &[VoiceIndex] {
        &self.voices[list]
    }

    /// The voices in `list` that do not stand in `other_list` of `other`.
    fn missing_in(&self, list: ListIndex, other: &Self, other_list: ListIndex) -> Vec<VoiceIndex> {
        // Two rosters hold mostly the same voices in the same order: the one behind the last that was found is looked at
        // first, which spares a search by address.
        let mut next = 0;
        let is_missing = |voice: &VoiceIndex| {
            let ours = &self.roster.voices[*voice];
            let is_next = other.roster.voices.get(next).is_some_and(|theirs| {
                theirs.lists.contains(&other_list) && theirs.title == ours.title && theirs.feeds == ours.feeds
            });
            let found = if is_next { Some(next) } else { self.find_in(*voice, other, other_list) };
            next = found.map_or(next, |found| found + 1);
            found.is_none()
        };
        self.voices[list].iter().copied().filter(is_missing).collect()
    }

    /// One of our voices, found by its feeds in `other_list` of `other`.
    fn find_in(&self, voice: VoiceIndex, other: &Self, other_list: ListIndex) -> Option<VoiceIndex> {
        self.roster.voices[voice].feeds.iter().find_map(|feed| {
            other.roster.voices_of(feed).iter().copied().find(|&found| {
                let found = &other.roster.voices[found];
                found.lists.contains(&other_list) && self.is_same(voice, feed, found)
            })
        })
    }

    /// Whether one of our voices is the one that the other roster knows by the same feed. A feed that several people
    /// share tells nothing about who somebody is, so their names must agree too.
    fn is_same(&self, voice: VoiceIndex, feed: &FeedUrl, other: &Voice) -> bool {
        self.roster.voices_of(feed).len() < 2 || self.roster.voices[voice].title == other.title
    }

    /// Whether a voice of another roster stands in a list of a role here.
    fn stands_among(&self, role: Role, voice: &Voice) -> bool {
        voice
            .feeds
            .iter()
            .flat_map(|feed| self.roster.voices_of(feed))
            .any(|&known| self.roster.has_role(&self.roster.voices[known], role))
    }
}

/// Takes out those who are gone from one address and new at another, under one name in one folder: an edited outline.
fn drop_edited(
    before: &Standing<'_>,
    was: ListIndex,
    left: &mut Vec<VoiceIndex>,
    after: &Standing<'_>,
    is: ListIndex,
    joined: &mut Vec<VoiceIndex>,
) {
    if left.is_empty() || joined.is_empty() {
        return;
    }
    let mut gone: HashMap<Vec<String>, Vec<VoiceIndex>> = HashMap::new();
    for &voice in left.iter() {
        for name in names_in(before.roster, voice, was) {
            gone.entry(name).or_default().push(voice);
        }
    }
    let mut edited = HashSet::new();
    joined.retain(|&voice| {
        let twin = names_in(after.roster, voice, is).into_iter().find_map(|name| {
            gone.get(&name)?.iter().copied().find(|twin| !edited.contains(twin)) // each only once
        });
        twin.is_none_or(|twin| !edited.insert(twin))
    });
    left.retain(|voice| !edited.contains(voice));
}

/// The names under which a voice stands in a list, each with the folders around it.
fn names_in(roster: &Roster, voice: VoiceIndex, list: ListIndex) -> Vec<Vec<String>> {
    let places = roster.voices[voice].places.iter().map(|&place| &roster.places[place]);
    let here = places.filter(|place| place.list == list);
    let name = |place| {
        let above = roster.above(place).into_iter().skip(1).map(|(title, _)| title); // the list's own title may change
        above.chain([String::clone(&roster.voices[voice].title)]).collect()
    };
    here.map(name).collect()
}

/// The role of a list by name, also where it is gone.
fn role_of(list: &str, old: &Roster, new: &Roster) -> Role {
    let known = new.lists.iter().chain(&old.lists).find(|known| known.name == list);
    known.map_or_else(|| Role::of_name(list), |known| known.role)
}

fn event(voice: &Voice, list: &str, kind: ListEventKind, now: Timestamp) -> ListEvent {
    ListEvent { at: now, kind, list: list.to_owned(), voice: voice.title.clone(), feeds: voice.feeds.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::opml;
    use super::super::roster::ListInput;
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    /// A roster of lists given as name and body, where `ann` stands for a feed outline and `F(…)`, `*P(…)` for folders.
    fn roster(lists: &[(&str, &str)]) -> Roster {
        let input = |(name, sketch): &(&str, &str)| {
            let mut body = String::new();
            for word in sketch.replace('(', " ( ").replace(')', " ) ").split_whitespace().collect::<Vec<_>>() {
                match word {
                    "(" => {}
                    ")" => body.push_str("</outline>"),
                    _ if word.ends_with(':') => {
                        body.push_str(&["<outline text='", &word[..word.len() - 1], "'>"].concat());
                    }
                    _ if word.starts_with('*') => {
                        body.push_str(&["<outline type='person' text='", &word[1..], "'>"].concat());
                    }
                    _ => {
                        let (name, host) = word.split_once('=').unwrap_or((word, word));
                        let pieces = ["<outline text='", name, "' xmlUrl='https://", host, ".example/feed'/>"];
                        body.push_str(&pieces.concat());
                    }
                }
            }
            let opml = opml::parse(format!("<opml>{body}</opml>").as_bytes()).expect("it is OPML");
            ListInput { name: (*name).to_owned(), role: Role::of_name(name), opml, fault: None }
        };
        Roster::build(lists.iter().map(input).collect())
    }

    fn lay_out(events: &[ListEvent]) -> Vec<String> {
        let kind = |kind| match kind {
            ListEventKind::Joined => '+',
            ListEventKind::Left => '-',
            ListEventKind::BecameFollower => '!',
        };
        events.iter().map(|event| format!("{}{} {}", kind(event.kind), event.voice, event.list)).collect()
    }

    fn check(old: &[(&str, &str)], new: &[(&str, &str)], expected: &[&str]) {
        let diff = events(&roster(old), &roster(new), &[], Timestamp::from_seconds(1_000_000_000));
        assert_eq!(lay_out(&diff.add), expected, "{old:?} → {new:?}");
        assert_eq!(diff.cancel, [], "{old:?} → {new:?}");
    }

    #[test]
    fn comings_and_goings_are_told() {
        check(&[("a", "ann bob")], &[("a", "bob ann")], &[]);
        check(&[("a", "ann")], &[("a", "ann bob")], &["+bob a"]);
        check(&[("a", "ann bob")], &[("a", "bob")], &["-ann a"]);
        check(&[("a", "ann bob")], &[("a", "F: (ann G: (bob))")], &[]);
        check(&[("a", "ann"), ("b", "bob")], &[("a", ""), ("b", "ann bob")], &["-ann a", "+ann b"]);
        check(&[], &[("a", "ann bob")], &[]);
        check(&[("b", "bob")], &[("a", "ann"), ("b", "bob")], &[]);
        check(&[("a", "ann bob")], &[], &["-ann a", "-bob a"]);
        check(&[("a", "ann")], &[("a", "*Ann (ann annphotos)")], &[]);
        check(&[("a", "*Ann (ann annphotos)")], &[("a", "*Ann (annphotos)")], &[]);
    }

    #[test]
    fn those_from_among_the_desired_become_followers() {
        check(
            &[("desired", "ann"), ("followers", "")],
            &[("desired", "ann"), ("followers", "ann")],
            &["!ann followers"],
        );
        check(
            &[("desired", "ann"), ("followers", "")],
            &[("desired", ""), ("followers", "ann")],
            &["-ann desired", "!ann followers"],
        );
        check(
            &[("desired", "bob"), ("followers", "")],
            &[("desired", "bob"), ("followers", "ann")],
            &["+ann followers"],
        );
        check(&[("desired", "ann")], &[("desired", "ann"), ("followers", "ann")], &[]);
    }

    #[test]
    fn an_edited_address_is_the_same_person() {
        check(&[("a", "F: (Ann=old)")], &[("a", "F: (Ann=new)")], &[]);
        check(&[("a", "F: (Ann=old)")], &[("a", "G: (Ann=new)")], &["-Ann a", "+Ann a"]);
        check(&[("a", "Ann=old")], &[("a", "Bob=new")], &["-Ann a", "+Bob a"]);
        check(&[("a", "Ann=old Bob=x")], &[("a", "Ann=new Bob=x Ann=third")], &["+Ann a"]);
    }

    #[test]
    fn edited_addresses_are_told() {
        let edits = |old: &[(&str, &str)], new: &[(&str, &str)]| -> String {
            let edits = edited_addresses(&roster(old), &roster(new));
            let words: Vec<String> = edits.iter().map(|(from, to)| format!("{}>{}", from.host(), to.host())).collect();
            words.join(" ").replace(".example", "")
        };
        for (old, new, expected) in [
            ("Ann=a Bob=b", "Ann=c Bob=b", "a>c"),
            ("F: (Ann=a)", "F: (Ann=c)", "a>c"),
            ("F: (Ann=a)", "G: (Ann=c)", ""),
            ("Ann=a", "Bob=c", ""),
            ("Ann=a", "Ann=a Ann=c", ""),
            ("Ann=a Ann=b", "Ann=c", "a>c"),
            ("Ann=a", "Ann=b Ann=c", "a>b"),
            ("*P (Blog=a Photos=b)", "*P (Blog=a Photos=c)", "b>c"),
            ("*P (Blog=a Photos=b)", "*P (Blog=c Photos=d)", "a>c b>d"),
            ("Ann=a Bob=b", "Ann=b Bob=a", ""),
        ] {
            assert_eq!(edits(&[("x", old)], &[("x", new)]), expected, "{old} → {new}");
        }
        let both = [("x", "Ann=a"), ("y", "Ann=a")];
        assert_eq!(edits(&both, &[("x", "Ann=b"), ("y", "Ann=b")]), "a>b", "told once");
        assert_eq!(edits(&[("x", "Ann=a")], &[("y", "Ann=b")]), "");
    }

    #[test]
    fn edited_outlines_are_told() {
        let edited = |old: &str, new: &str| {
            let (old, new) = (roster(&[("x", old)]), roster(&[("x", new)]));
            edited_outlines(&old, &new).map(|feed| feed.host().replace(".example", "")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(edited("Ann=a Bob=b", "Ann=a Bob=b Cy=c"), "");
        assert_eq!(edited("Ann=a Bob=b", "Anne=a Bob=b"), "a");
        assert_eq!(edited("Ann=a Bob=b", "F: (Ann=a) Bob=b"), "a");
        assert_eq!(edited("Ann=a", "Ann=c"), "");
    }

    #[test]
    fn people_who_share_a_feed_come_and_go_by_themselves() {
        let both = [("a", "*Ann (pod ann) *Bob (pod bob)")];
        check(&both, &[("a", "*Ann (pod ann)")], &["-Bob a"]);
        check(&[("a", "*Ann (pod ann)")], &both, &["+Bob a"]);
        check(&[("a", "*Ann (pod) *Bob (pod)")], &[("a", "*Bob (pod)")], &["-Ann a"]);
        check(&both, &both, &[]);
    }

    #[test]
    fn a_brief_absence_is_taken_back() {
        let left_at = Timestamp::from_seconds(1_000_000_000);
        let (with, without) = (roster(&[("a", "ann bob")]), roster(&[("a", "bob")]));
        let departed = events(&with, &without, &[], left_at).add;
        assert_eq!(lay_out(&departed), ["-ann a"]);
        let soon = events(&without, &with, &departed, left_at.plus(23 * HOUR));
        assert_eq!((soon.add, soon.cancel), (vec![], departed.clone()));
        let late = events(&without, &with, &departed, left_at.plus(24 * HOUR));
        assert_eq!((lay_out(&late.add), late.cancel), (vec!["+ann a".to_owned()], vec![]));
        // A whole file that was away, as while a branch was checked out.
        let gone = roster(&[]);
        let departed = events(&with, &gone, &[], left_at).add;
        let back = events(&gone, &with, &departed, left_at.plus(HOUR));
        assert_eq!((back.add, back.cancel), (vec![], departed));
    }

    #[test]
    fn the_desired_are_remembered_for_thirty_days() {
        let left_at = Timestamp::from_seconds(1_000_000_000);
        let then = roster(&[("desired", "ann"), ("followers", "")]);
        let between = roster(&[("desired", ""), ("followers", "")]);
        let now = roster(&[("desired", ""), ("followers", "ann")]);
        let departed = events(&then, &between, &[], left_at).add;
        let kind = |after: Duration| events(&between, &now, &departed, left_at.plus(after)).add[0].kind;
        assert_eq!(kind(30 * 24 * HOUR), ListEventKind::BecameFollower);
        assert_eq!(kind(30 * 24 * HOUR + HOUR), ListEventKind::Joined);
    }

    #[test]
    fn a_list_that_could_never_be_read_has_no_departures() {
        let mut broken = ListInput {
            name: "a".to_owned(),
            role: Role::Circle,
            opml: opml::Opml::default(),
            fault: Some("the file is empty".to_owned()),
        };
        let good = roster(&[("a", "ann")]);
        let faulty = Roster::build(vec![broken.clone()]);
        let now = Timestamp::from_seconds(0);
        assert_eq!(events(&faulty, &good, &[], now), Diff::default());
        assert_eq!(events(&good, &faulty, &[], now), Diff::default());
        broken.fault = None;
        assert_eq!(events(&good, &Roster::build(vec![broken]), &[], now).add.len(), 1);
    }
}
