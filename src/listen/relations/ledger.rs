//! The ledger: for every voice, when you last had contact, what it said of you, and what you owe it.
//!
//! Worked out in one pass over your own posts, contacts, list events and everything that speaks of you. It rests on the
//! links' hashes alone, so that 50,000 mentions take a tenth of a second; what is shown of it is read and looked at then
//! ([`super::mentions`]), so a count may be one too high where a hash errs.
//!
//! Contact is a post of yours that links to a site of the voice, at its place in the stream, or one recorded by hand.
//! It settles what the voice did before: an account that is settled owes nothing. Somebody from outside is known by the
//! page about them; where there is none, only an answer to that very mention settles it.

use std::collections::{HashMap, HashSet};

use crate::listen::live::Bound;
use crate::lists::roster::VoiceIndex;
use crate::model::{Contact, EntryKey, Hash64, ListEvent, ListEventKind, Mention, Notice, Role, Timestamp, Way};
use crate::store::StoreError;

use super::love::{self, OwnPost, Post};
use super::mentions;
use super::newcomers;
use super::who::{Desk, Who};

/// What is owed is counted up to this, of each.
pub(super) const MAX_OWED: usize = 100;
/// What is kept of an account's mentions and posts, the newest ones.
const MAX_SHOWN: usize = 20;
/// Of so many people from outside mentions are kept that were not answered, those of the newest.
const MAX_OUTSIDE: usize = 1000;
/// Mentions read at once.
const MENTIONS_AT_ONCE: usize = 4096;

/// Everything that was worked out.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: HashMap<VoiceIndex, Account>,
    /// Whom you owe among those from outside, the newest mention first.
    pub(super) outside: Vec<Outsider>,
    /// Your own posts, each article once, newest first.
    pub(super) posts: Vec<Post>,
}

/// What is between you and a voice.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// The last contact.
    pub(super) contact: Option<Timestamp>,
    /// The newest thing that speaks of you.
    pub(super) spoke: Option<EntryKey>,
    /// How many of its entries link to you.
    pub(super) from_them: usize,
    /// The newest of them.
    pub(super) links: Vec<(EntryKey, Mention)>,
    /// Links from your posts to its sites.
    pub(super) to_them: usize,
    /// The newest of your posts that have such links, newest first.
    pub(super) posts: Vec<EntryKey>,
    /// What speaks of you after the last contact, newest first, at most [`MAX_OWED`].
    pub(super) owed: Vec<(EntryKey, Mention)>,
    /// That it became a follower after the last contact.
    pub(super) follower: Option<Following>,
}

/// That somebody became a follower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Following {
    pub(super) at: Timestamp,
    /// As a sentence: `Became a follower`, or `Joined Friends`.
    pub(super) reason: String,
}

/// Somebody from outside.
#[derive(Debug)]
pub(super) struct Outsider {
    /// What speaks of you and was not answered, newest first, at most [`MAX_OWED`].
    pub(super) owed: Vec<(EntryKey, Mention)>,
}

impl Account {
    /// How many things are owed, counted up to [`MAX_OWED`].
    pub(super) fn count(&self) -> usize {
        (self.owed.len() + usize::from(self.follower.is_some())).min(MAX_OWED)
    }

    /// When the newest of them came.
    pub(super) fn newest_owed(&self) -> Option<Timestamp> {
        let said = self.owed.first().map(|(key, _)| key.listed_at);
        said.max(self.follower.as_ref().map(|following| following.at))
    }

    fn settles(&self, at: Timestamp) -> bool {
        self.contact.is_some_and(|contact| contact >= at)
    }
}

impl Ledger {
    /// Works everything out; `desk` has a snapshot that is no older than what this is kept under.
    pub(super) fn of(desk: &Desk<'_>) -> Result<Self, StoreError> {
        let mut ledger = Self::default();
        ledger.own_posts(love::own_posts(desk)?);
        let contacts = desk.scene.store.contacts()?;
        let answered = ledger.contacts(desk, &contacts);
        ledger.followers(desk.bound(), &desk.scene.store.events(Timestamp::MIN)?);
        ledger.mentions(desk, &answered)?;
        ledger.drop_copies(desk)?;
        Ok(ledger)
    }

    /// What is between you and a voice, where there is anything.
    pub(super) fn account(&self, voice: VoiceIndex) -> Option<&Account> {
        self.accounts.get(&voice)
    }

    /// The last contact with a voice.
    pub(super) fn contact(&self, voice: VoiceIndex) -> Option<Timestamp> {
        self.account(voice)?.contact
    }

    /// All voices that there is anything with, in no order that means anything.
    pub(super) fn accounts(&self) -> impl Iterator<Item = (VoiceIndex, &Account)> {
        self.accounts.iter().map(|(voice, account)| (*voice, account))
    }

    /// Takes in your own posts: whom they are contact with, and whether they point at anybody.
    fn own_posts(&mut self, own: Vec<OwnPost>) {
        for post in own {
            self.posts.push(Post { at: post.key.listed_at, points: post.points });
            for (voice, links) in post.links {
                let account = self.accounts.entry(voice).or_default();
                account.contact = account.contact.max(Some(post.key.listed_at));
                account.to_them += links;
                if account.posts.len() < MAX_SHOWN {
                    account.posts.push(post.key);
                }
            }
        }
    }

    /// Takes in recorded contacts; what of those from outside they answer.
    fn contacts(&mut self, desk: &Desk<'_>, contacts: &[Contact]) -> Answered {
        let mut answered = Answered::default();
        for contact in contacts {
            match with(desk, contact) {
                Some(Who::Voice(voice)) => {
                    let account = self.accounts.entry(voice).or_default();
                    account.contact = account.contact.max(Some(contact.at));
                }
                Some(Who::Outside(by)) => {
                    answered.keys.insert(contact.about);
                    if let Some(by) = by {
                        let last = answered.people.entry(by).or_insert(contact.at);
                        *last = contact.at.max(*last);
                    }
                }
                None => {}
            }
        }
        answered
    }

    /// Takes in who became a follower, and is one still: the first time since the last contact.
    fn followers(&mut self, bound: &Bound, events: &[ListEvent]) {
        let roster = &bound.roster;
        for (voice, event) in newcomers::new_followers(bound, events) {
            if !roster.voices.get(voice).is_some_and(|known| roster.has_role(known, Role::Followers)) {
                continue;
            }
            let title = roster.lists.iter().find(|list| list.name == event.list).map(|list| list.title.as_str());
            let reason = match (event.kind, title) {
                (ListEventKind::Joined, Some(title)) => format!("Joined {title}"),
                _ => "Became a follower".to_owned(),
            };
            let account = self.accounts.entry(voice).or_default();
            if !account.settles(event.at) {
                account.follower.get_or_insert(Following { at: event.at, reason });
            }
        }
    }

    /// Takes in everything that speaks of you, newest first.
    fn mentions(&mut self, desk: &Desk<'_>, answered: &Answered) -> Result<(), StoreError> {
        let mut people: HashMap<u64, usize> = HashMap::new();
        let mut before = None;
        loop {
            let rows = desk.snapshot().mentions(before, MENTIONS_AT_ONCE)?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            before = Some(*last);
            for (key, mention) in rows {
                match desk.who(key, &mention) {
                    Some(Who::Voice(voice)) => self.mention(voice, key, mention),
                    Some(Who::Outside(by)) if !answered.is_answered(by, key) => {
                        let known = by.and_then(|by| people.get(&by).copied());
                        if let Some(outsider) = known.and_then(|known| self.outside.get_mut(known)) {
                            push(&mut outsider.owed, (key, mention), MAX_OWED);
                        } else if self.outside.len() < MAX_OUTSIDE {
                            people.extend(by.map(|by| (by, self.outside.len())));
                            self.outside.push(Outsider { owed: vec![(key, mention)] });
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn mention(&mut self, voice: VoiceIndex, key: EntryKey, mention: Mention) {
        let account = self.accounts.entry(voice).or_default();
        account.spoke.get_or_insert(key);
        if mention.way == Way::Link {
            account.from_them += 1;
            push(&mut account.links, (key, mention), MAX_SHOWN);
        }
        if !account.settles(key.listed_at) {
            push(&mut account.owed, (key, mention), MAX_OWED);
        }
    }

    /// What comes to us by several feeds of a voice, or as a Webmention too, is owed once and shown once.
    fn drop_copies(&mut self, desk: &Desk<'_>) -> Result<(), StoreError> {
        for account in self.accounts.values_mut() {
            distinct(desk, &mut account.owed)?;
            // Of those that are not kept nothing is known but that they were.
            account.from_them -= distinct(desk, &mut account.links)?;
        }
        Ok(())
    }
}

/// Drops mentions of a voice that are copies of others; how many.
fn distinct(desk: &Desk<'_>, rows: &mut Vec<(EntryKey, Mention)>) -> Result<usize, StoreError> {
    let Some((first, _)) = rows.first() else { return Ok(0) };
    if rows.iter().all(|(key, _)| key.feed == first.feed) {
        return Ok(0);
    }
    let all = rows.len();
    let mut seen: HashSet<Hash64> = HashSet::new();
    let mut distinct = Vec::with_capacity(all);
    // A Webmention says less than the entry that it is of.
    rows.sort_by_key(|(key, mention)| (mention.way == Way::Web, std::cmp::Reverse(*key)));
    for (key, mention) in rows.drain(..) {
        if mentions::article(desk, key)?.is_none_or(|article| seen.insert(article)) {
            distinct.push((key, mention));
        }
    }
    distinct.sort_by_key(|(key, _)| std::cmp::Reverse(*key));
    *rows = distinct;
    Ok(all - rows.len())
}

fn push<T>(kept: &mut Vec<T>, one: T, most: usize) {
    if kept.len() < most {
        kept.push(one);
    }
}

/// With whom a contact was; `None` where that is nobody who stands in a list, and cannot be answered again.
pub(super) fn with(desk: &Desk<'_>, contact: &Contact) -> Option<Who> {
    if contact.by.is_some() {
        return desk.author(contact.by.as_ref());
    }
    match desk.bound().voices.get(&contact.about.feed).copied() {
        Some(voice) if desk.voices.is_heard(voice) => Some(Who::Voice(voice)),
        _ => (contact.about.seq < Notice::FIRST_SEQ).then_some(Who::Outside(None)),
    }
}

/// What of those from outside was answered.
#[derive(Default)]
struct Answered {
    keys: HashSet<EntryKey>,
    people: HashMap<u64, Timestamp>,
}

impl Answered {
    fn is_answered(&self, by: Option<u64>, key: EntryKey) -> bool {
        let last = by.and_then(|by| self.people.get(&by));
        self.keys.contains(&key) || last.is_some_and(|last| *last >= key.listed_at)
    }
}
