//! What has happened between you and somebody, newest first.

use crate::listen::people::{Past, PastKind};
use crate::lists::roster::VoiceIndex;
use crate::model::{Contact, EntryKey, Link, NoticeKind};
use crate::store::StoreError;

use super::ledger::{self, Account};
use super::who::{Desk, Who};

/// Of each kind, so many notices are looked through.
const NOTICES_LOOKED_AT: usize = 500;

/// The history of a voice: contacts, your posts that link to it, and what was told of it alone; at most `most`.
pub(super) fn of_voice(
    desk: &Desk<'_>,
    account: Option<&Account>,
    voice: VoiceIndex,
    most: usize,
) -> Result<Vec<Past>, StoreError> {
    let contacts = desk.scene.store.contacts()?;
    let mut pasts: Vec<Past> = contacts
        .into_iter()
        .filter(|contact| ledger::with(desk, contact) == Some(Who::Voice(voice)))
        .map(past)
        .collect();
    let posts = account.map_or(&[][..], |account| &account.posts);
    for post in desk.snapshot().entries_of(posts)? {
        let said = super::who::saying(&post, String::new());
        pasts.push(Past { at: said.at, kind: PastKind::Post, text: said.title, link: said.link });
    }
    let feeds = desk.voices.feeds(voice);
    for notice in desk.scene.store.notices(&NoticeKind::ALL, None, NOTICES_LOOKED_AT)? {
        if notice.about.iter().chain([&notice.key.feed]).any(|feed| feeds.contains(feed)) {
            let kind = PastKind::Notice(notice.kind);
            pasts.push(Past { at: notice.key.listed_at, kind, text: notice.title, link: notice.link });
        }
    }
    Ok(newest(pasts, most))
}

/// The history of somebody from outside: contacts that answered them.
pub(super) fn of_outsider(
    desk: &Desk<'_>,
    about: EntryKey,
    by: Option<&Link>,
    most: usize,
) -> Result<Vec<Past>, StoreError> {
    let is_theirs = |contact: &Contact| {
        contact.about == about || by.is_some_and(|by| contact.by.is_some_and(|other| other.page == by.page))
    };
    let contacts = desk.scene.store.contacts()?;
    Ok(newest(contacts.into_iter().filter(is_theirs).map(past).collect(), most))
}

fn past(contact: Contact) -> Past {
    let text = match (contact.note.is_empty(), contact.title.is_empty()) {
        (false, false) => format!("{}: {}", contact.title, contact.note),
        (false, true) => contact.note,
        (true, _) => contact.title,
    };
    Past { at: contact.at, kind: PastKind::Contact(contact.kind), text, link: None }
}

fn newest(mut pasts: Vec<Past>, most: usize) -> Vec<Past> {
    // Of one instant, the last to be recorded stands first.
    pasts.reverse();
    pasts.sort_by_key(|past| std::cmp::Reverse(past.at));
    pasts.truncate(most);
    pasts
}
