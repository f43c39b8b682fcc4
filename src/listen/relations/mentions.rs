//! What speaks of you, each with its reason.
//!
//! What the store says of an entry rests on hashes, and on sites and names as they were when it was heard. So before
//! anything is shown, the text itself is looked at, and what it does not say is left out.

use crate::config::Mine;
use crate::feeds::links::links;
use crate::feeds::{clean, identity};
use crate::listen::merge;
use crate::listen::page::Listed;
use crate::listen::people::Saying;
use crate::listen::said::Names;
use crate::listen::sites::Owner;
use crate::listen::view;
use crate::model::{Entry, EntryKey, Hash64, Mention, Way, Webmention, WebmentionKind, comparable_link};
use crate::store::StoreError;

use super::who::{Desk, Who, saying};

/// Something that speaks of you, with its text.
pub(super) struct Spoken {
    pub(super) who: Who,
    pub(super) entry: Entry,
    pub(super) reason: String,
    /// Whether it answers you.
    pub(super) is_reply: bool,
}

impl Spoken {
    pub(super) fn saying(&self) -> Saying {
        saying(&self.entry, self.reason.clone())
    }
}

/// Reads what speaks of you; `None` where it is yours, is not stored any more, came by a feed of no list, or does not
/// say it after all.
pub(super) fn read(desk: &Desk<'_>, key: EntryKey, mention: &Mention) -> Result<Option<Spoken>, StoreError> {
    let Some(who) = desk.who(key, mention) else { return Ok(None) };
    let Some(entry) = desk.entry(key)? else { return Ok(None) };
    Ok(reason(desk, &entry, mention)?.map(|(reason, is_reply)| Spoken { who, entry, reason, is_reply }))
}

/// The same, as it stands on a page: `None` also where it does not stand there, or where another feed carries the same
/// article and speaks for it.
pub(super) fn listed(
    desk: &Desk<'_>,
    key: EntryKey,
    mention: &Mention,
    mut stands: impl FnMut(&Entry) -> bool,
) -> Result<Option<(Listed, Who)>, StoreError> {
    let Some(Spoken { who, entry, reason, .. }) = read(desk, key, mention)? else { return Ok(None) };
    // A search passes over most of them; what is cheaper is asked first.
    if !stands(&entry) || is_said_elsewhere(desk, &entry, stands)? {
        return Ok(None);
    }
    let Some(source) = desk.source(who, &entry) else { return Ok(None) };
    Ok(Some((Listed { entry, source: source.into(), reason: Some(reason) }, who)))
}

/// Whether the same article speaks of you through another feed that has the better right to it (see
/// [`merge::is_best_of_its_article`]). A Webmention stands back behind any entry of its page.
fn is_said_elsewhere(
    desk: &Desk<'_>,
    entry: &Entry,
    mut stands: impl FnMut(&Entry) -> bool,
) -> Result<bool, StoreError> {
    let mut is_rival = |rival: EntryKey| {
        let Some(mention) = desk.snapshot().mention(rival)? else { return Ok(false) };
        Ok(read(desk, rival, &mention)?.is_some_and(|spoken| stands(&spoken.entry)))
    };
    if entry.key.feed == Webmention::FEED {
        let Some(page) = article(desk, entry.key)? else { return Ok(false) };
        for (copy, _) in desk.snapshot().same_link(page)? {
            if is_rival(copy)? {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    let Some(head) = desk.head(entry.key)? else { return Ok(false) };
    Ok(!merge::is_best_of_its_article(desk.snapshot(), desk.live(), desk.bound(), &head, is_rival)?)
}

/// The page that something is, by the hash of its link.
pub(super) fn article(desk: &Desk<'_>, key: EntryKey) -> Result<Option<Hash64>, StoreError> {
    if key.feed == Webmention::FEED {
        return Ok(desk.snapshot().webmention(key)?.map(|webmention| identity::link_hash(&webmention.source)));
    }
    Ok(desk.head(key)?.and_then(|head| head.link))
}

/// Why something speaks of you, in a sentence, and whether it is an answer.
fn reason(desk: &Desk<'_>, entry: &Entry, mention: &Mention) -> Result<Option<(String, bool)>, StoreError> {
    let reason = match mention.way {
        Way::Link => match own_link(desk, entry)? {
            Some(page) => (format!("Links to your {page}"), false),
            None => return Ok(None),
        },
        Way::Name => match said_name(desk, entry) {
            Some(name) => (format!("Says “{name}”"), false),
            None => return Ok(None),
        },
        Way::Inbox => {
            let feed = desk.live().feed(entry.key.feed);
            let title = feed.map(|feed| view::title(desk.bound(), &feed).to_owned()).unwrap_or_default();
            (format!("In your inbox: from {title}"), true)
        }
        Way::Web => {
            let Some(webmention) = desk.snapshot().webmention(entry.key)? else { return Ok(None) };
            if !is_own(desk, &webmention.target) {
                return Ok(None);
            }
            let page = match own_title(desk, &webmention.target)? {
                Some(title) => title,
                None => format!("page {}", comparable_link(&webmention.target).unwrap_or_default()),
            };
            match webmention.kind {
                WebmentionKind::Reply => (format!("Answers your {page}"), true),
                WebmentionKind::Like => (format!("Likes your {page}"), false),
                WebmentionKind::Repost => (format!("Shares your {page}"), false),
                WebmentionKind::Mention => (format!("Mentions your {page}"), false),
            }
        }
    };
    Ok(Some(reason))
}

/// What an entry links to of yours: a post where there is one among it, else the first page; `None` where it does not.
fn own_link(desk: &Desk<'_>, entry: &Entry) -> Result<Option<String>, StoreError> {
    let mut first = None;
    for linked in links(entry) {
        if desk.sites.owner(&linked.comparable) != Some(Owner::Mine) {
            continue;
        }
        if let Some(title) = own_title(desk, &linked.address)? {
            return Ok(Some(title));
        }
        first = first.or_else(|| Some(format!("site {}", linked.comparable)));
    }
    Ok(first)
}

fn is_own(desk: &Desk<'_>, address: &str) -> bool {
    comparable_link(address).and_then(|link| desk.sites.owner(&link)) == Some(Owner::Mine)
}

/// The title of a post of yours, in quotes; `None` where the page is none that is kept.
fn own_title(desk: &Desk<'_>, address: &str) -> Result<Option<String>, StoreError> {
    let page = address.split('#').next().unwrap_or_default();
    for (key, _) in desk.snapshot().same_link(identity::link_hash(page))? {
        if desk.voices.mine.contains(&key.feed)
            && let Some(post) = desk.snapshot().entry(key)?.filter(|post| !post.title.is_empty())
        {
            return Ok(Some(format!("“{}”", post.title)));
        }
    }
    Ok(None)
}

/// The first of your names that an entry says.
fn said_name<'a>(desk: &Desk<'a>, entry: &Entry) -> Option<&'a str> {
    let mut said = entry.title.clone();
    for html in [&entry.summary, &entry.content].into_iter().flatten() {
        said.push('\n');
        said.push_str(&clean::text(html.as_str(), usize::MAX));
    }
    let says = |name: &&str| {
        let only = Mine { names: vec![(*name).to_owned()], ..Mine::default() };
        Names::of(&only).are_in(&said)
    };
    desk.scene.mine.names.iter().map(String::as_str).find(says)
}
