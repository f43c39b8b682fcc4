//! What is between you and the voices: who spoke of you, whom you owe, who is quiet, whom you neglect.
//!
//! Made from what the store keeps of what entries say of others ([`Said`](crate::model::Said)), from contacts,
//! Webmentions and list events, and from the roster as it is now. Nothing here is stored but notices, so that whatever
//! becomes of lists, sites and names shows at once. Knows neither clock nor formats.

mod answerable;
mod bridges;
mod conversations;
mod gathered;
mod history;
mod ledger;
mod love;
mod mentions;
mod neglected;
mod newcomers;
mod notices;
mod quiet;
mod river;
mod rolodex;
#[cfg(test)]
mod tests;
mod thanks;
mod today;
mod who;
mod window;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Mine;
use crate::lists::opml::Outline;
use crate::lists::roster::VoiceIndex;
use crate::model::{EntryKey, Hash64, Link, Notice, NoticeKind, Role, Timestamp};
use crate::store::{Snapshot, Store, StoreError};

use super::live::{Bound, FeedSet, Live};
use super::merge;
use super::page::{Page, Query, ViewHead};
use super::people::{Dossier, Order, Past, Person, Present, Rolodex, Saying, State, Today};
use super::sites::{KeeperSites, Sites};
use super::view::View;

use ledger::Ledger;
use neglected::{Waiting, Waits};
use quiet::{Pauses, Quiet};
use river::Springs;
use who::{Desk, Voices};

/// A relationship view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// Voices that follow you and that you desired.
    Mutual,
    /// Who speaks of you.
    Mentions,
    /// What is owed.
    Thanks,
    /// Whose words wait.
    Neglected,
    /// Who posts seldom.
    Quiet,
    /// Who talks with whom.
    Conversations,
    /// Who came and left.
    Newcomers,
    /// Whom several voices link to.
    Bridges,
}

impl Relation {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Mutual,
        Self::Mentions,
        Self::Thanks,
        Self::Neglected,
        Self::Quiet,
        Self::Conversations,
        Self::Newcomers,
        Self::Bridges,
    ];

    /// The path of its view.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Mutual => "/mutual",
            Self::Mentions => "/mentions",
            Self::Thanks => "/thanks",
            Self::Neglected => "/neglected",
            Self::Quiet => "/quiet",
            Self::Conversations => "/conversations",
            Self::Newcomers => "/newcomers",
            Self::Bridges => "/bridges",
        }
    }

    /// The relation whose view stands at a path.
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|relation| relation.path() == path)
    }

    /// Its title for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Mutual => "Mutual",
            Self::Mentions => "Mentions",
            Self::Thanks => "Thanks",
            Self::Neglected => "Neglected",
            Self::Quiet => "Quiet voices",
            Self::Conversations => "Conversations",
            Self::Newcomers => "Newcomers",
            Self::Bridges => "Bridges",
        }
    }

    /// One sentence about what it holds.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Mutual => "Those who follow you and whom you wished for, too.",
            Self::Mentions => "Whoever links to you, says your name or writes to you.",
            Self::Thanks => "Whom you owe thanks: for a mention, an answer, for following you.",
            Self::Neglected => "Those who have spoken since you last answered them.",
            Self::Quiet => "Those who post seldom, so that nobody drowns them out.",
            Self::Conversations => "What several of your voices talk about.",
            Self::Newcomers => "Who joined, who became a follower, who left.",
            Self::Bridges => "Sites that several of your voices link to and that stand in no list yet.",
        }
    }

    /// Whether its page for people shows a state ([`Relations::present`]) instead of a river.
    pub const fn has_state(self) -> bool {
        !matches!(self, Self::Mutual | Self::Mentions)
    }
}

/// What answers are made from.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// What is stored.
    pub store: &'a Store,
    /// The entries, as they are at one instant.
    pub snapshot: &'a Snapshot,
    /// The present of the feeds.
    pub live: &'a Live,
    /// The roster.
    pub bound: &'a Bound,
    /// Who you are, beside the lists of role `mine`.
    pub mine: &'a Mine,
    /// Now.
    pub now: Timestamp,
}

/// What can be answered, as its page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answerable {
    /// Whose it is.
    pub person: Person,
    /// What it says; `None` where it is a notice, or no longer kept.
    pub saying: Option<Saying>,
    /// Who wrote it, where that is not whose feed it came by.
    pub by: Option<Link>,
    /// What has happened between you and that voice, newest first, at most 20.
    pub history: Vec<Past>,
}

/// What is worked out about the voices, kept until something that it rests on changes. Whoever finds nothing kept makes
/// it, while others who need the same wait for it.
#[derive(Debug, Default)]
pub struct Relations {
    sites: Mutex<Option<KeptSites>>,
    keeper_sites: KeeperSites,
    voices: Mutex<Arc<Voices>>,
    ledger: Mutex<Option<KeptLedger>>,
    waits: Mutex<Waits>,
    pauses: Mutex<Pauses>,
    gathered: gathered::Kept,
}

/// Sites, and what they were made from: the roster, the count of homes, the configuration.
#[derive(Debug)]
struct KeptSites {
    of: (u64, u64, Mine),
    sites: Arc<Sites>,
}

/// A ledger, and what it is of.
#[derive(Debug)]
struct KeptLedger {
    revision: u64,
    facts: u64,
    sites: Arc<Sites>,
    ledger: Arc<Ledger>,
}

impl Relations {
    /// The sites without what the voices' feeds say of themselves: enough to tell what is yours.
    pub fn keeper_sites(&self, live: &Live, bound: &Bound, mine: &Mine) -> Arc<Sites> {
        self.keeper_sites.now(live, bound, mine)
    }

    /// The sites as they are now; worked out anew only where roster, homes or configuration have changed.
    pub fn sites(&self, live: &Live, bound: &Bound, mine: &Mine) -> Arc<Sites> {
        // Whoever comes meanwhile waits, instead of making the same.
        let mut kept = lock(&self.sites);
        // Counted before it is read: what changes while sites are made has them made again.
        let (revision, homes) = (bound.revision, live.homes());
        if let Some(kept) = kept.as_ref()
            && kept.of.0 == revision
            && kept.of.1 == homes
            && kept.of.2 == *mine
        {
            return Arc::clone(&kept.sites);
        }
        let made = Sites::of(live, bound, mine);
        // What rests on them rests on the same.
        let before = kept.as_ref().map(|kept| &kept.sites).filter(|before| ***before == made).map(Arc::clone);
        let sites = before.unwrap_or_else(|| Arc::new(made));
        *kept = Some(KeptSites { of: (revision, homes, mine.clone()), sites: Arc::clone(&sites) });
        sites
    }

    /// One page of a relation as a stream: what came true, newest first, each with its reason. `address` makes the
    /// absolute address of a path here.
    pub fn page(
        &self,
        scene: &Scene<'_>,
        relation: Relation,
        query: &Query,
        address: &dyn Fn(&str) -> String,
    ) -> Result<Page, StoreError> {
        let desk = self.desk(scene);
        let river = |mentions, notices: &[NoticeKind], followers_only| {
            let springs = Springs { mentions, notices, followers_only };
            river::page(&desk, head(relation), &springs, query, address)
        };
        match relation {
            Relation::Mutual => {
                merge::page(scene.snapshot, scene.live, scene.bound, &self.view(scene, relation), query)
            }
            Relation::Mentions => river(true, &[], false),
            Relation::Thanks => river(true, &[NoticeKind::Follower], true),
            Relation::Neglected => river(false, &[NoticeKind::Neglected], false),
            Relation::Quiet => {
                let view = quiet::view(&desk, head(relation));
                let mut entries = merge::page(scene.snapshot, scene.live, scene.bound, &view, query)?;
                quiet::explain(&desk, &mut entries)?;
                let notices = river(false, &[NoticeKind::FellSilent, NoticeKind::CameBack], false)?;
                Ok(river::pour(entries, notices))
            }
            Relation::Conversations => river(false, &[NoticeKind::Conversation], false),
            Relation::Newcomers => {
                river(false, &[NoticeKind::Newcomer, NoticeKind::Follower, NoticeKind::FirstHeard], false)
            }
            Relation::Bridges => river(false, &[NoticeKind::Bridge], false),
        }
    }

    /// The present state of a relation: page `page`, from 1 on; a page beyond the last is the last. Only where
    /// [`Relation::has_state`].
    pub fn present(&self, scene: &Scene<'_>, relation: Relation, page: usize) -> Result<Present, StoreError> {
        let desk = self.desk(scene);
        let (page, count, state) = match relation {
            Relation::Mutual | Relation::Mentions | Relation::Thanks => {
                let ledger = self.ledger(&desk)?;
                let owed = thanks::creditors(&desk, &ledger);
                let (page, debts) = some(&owed, page, |creditor| thanks::debt(&desk, *creditor))?;
                (page, owed.len(), State::Thanks(debts))
            }
            Relation::Neglected => {
                let (ledger, waiting) = self.waiting(&desk)?;
                let (page, debts) = some(&waiting, page, |waiting| neglected::debt(&desk, &ledger, waiting))?;
                (page, waiting.len(), State::Neglected(debts))
            }
            Relation::Quiet => {
                let quiet = self.quiet(&desk)?;
                let (page, voices) = some(&quiet, page, |quiet| quiet::shown_as(&desk, quiet))?;
                (page, quiet.len(), State::Quiet(voices))
            }
            Relation::Conversations => {
                let gathered = self.gathered.get(&desk)?;
                let (page, talks) = some(&gathered.talks, page, |talk| conversations::read(&desk, talk))?;
                (page, gathered.talks.len(), State::Conversations(talks))
            }
            Relation::Newcomers => {
                let (changes, told) = newcomers_of(&desk)?;
                let (page, newcomers) = some(&changes, page, |change| Ok(Some(newcomers::read(&desk, change, &told))))?;
                (page, changes.len(), State::Newcomers(newcomers))
            }
            Relation::Bridges => {
                let gathered = self.gathered.get(&desk)?;
                let bridges = gathered.bridges();
                let (page, shown) = some(bridges, page, |site| bridges::read(&desk, site))?;
                (page, bridges.len(), State::Bridges(shown))
            }
        };
        Ok(Present { head: head(relation), state, page, count, today: scene.now })
    }

    /// The outlines behind a relation: the subscriptions of the voices that it now holds; of bridges, the sites as
    /// candidates for a list.
    pub fn outlines(&self, scene: &Scene<'_>, relation: Relation) -> Result<Vec<Outline>, StoreError> {
        let desk = self.desk(scene);
        let voices: Vec<VoiceIndex> = match relation {
            Relation::Mutual => mutual(&desk),
            Relation::Mentions => {
                let ledger = self.ledger(&desk)?;
                let mut voices: Vec<_> =
                    ledger.accounts().filter_map(|(voice, account)| Some((account.spoke?, voice))).collect();
                voices.sort_unstable_by_key(|spoke| std::cmp::Reverse(*spoke));
                voices.into_iter().map(|(_, voice)| voice).collect()
            }
            Relation::Thanks => {
                let ledger = self.ledger(&desk)?;
                thanks::creditors(&desk, &ledger).into_iter().filter_map(|creditor| creditor.voice()).collect()
            }
            Relation::Neglected => self.waiting(&desk)?.1.into_iter().map(|waiting| waiting.voice).collect(),
            Relation::Quiet => self.quiet(&desk)?.into_iter().map(|quiet| quiet.voice).collect(),
            Relation::Conversations => {
                let gathered = self.gathered.get(&desk)?;
                let turns = gathered.talks.iter().flat_map(|talk| &talk.turns);
                turns.map(|turn| turn.voice).filter(|voice| desk.voices.is_heard(*voice)).collect()
            }
            Relation::Newcomers => newcomers_of(&desk)?.0.iter().filter_map(|change| change.voice).collect(),
            Relation::Bridges => {
                let gathered = self.gathered.get(&desk)?;
                let mut bridges = Vec::new();
                for site in gathered.bridges() {
                    bridges.extend(bridges::read(&desk, site)?);
                }
                return Ok(bridges::outlines(&bridges));
            }
        };
        let mut seen = HashSet::new();
        Ok(desk.outlines(voices.into_iter().filter(|voice| seen.insert(*voice))))
    }

    /// What stands on the front page.
    pub fn today(&self, scene: &Scene<'_>) -> Result<Today, StoreError> {
        let desk = self.desk(scene);
        let (ledger, waiting) = self.waiting(&desk)?;
        let (answer, more) = today::answer(&desk, &ledger, &waiting, &self.quiet(&desk)?)?;
        let has_mine = scene.bound.roster.lists.iter().any(|list| list.role == Role::Mine);
        Ok(Today {
            answer,
            more,
            has_heard: desk.voices.heard().any(|voice| desk.newest(voice).is_some()),
            newcomers: today::newcomers(&desk)?,
            conversations: today::conversations(&desk, &*self.gathered.get(&desk)?)?,
            love: has_mine.then(|| love::link_love(&ledger.posts, scene.now)),
            today: scene.now,
        })
    }

    /// One page of the rolodex, from 1 on; a page beyond the last is the last.
    pub fn rolodex(&self, scene: &Scene<'_>, order: Order, page: usize) -> Result<Rolodex, StoreError> {
        let desk = self.desk(scene);
        let (ledger, waiting) = self.waiting(&desk)?;
        rolodex::page(&desk, &ledger, &waiting, order, page)
    }

    /// What is known of one voice; `None` where there is none at this index.
    pub fn dossier(&self, scene: &Scene<'_>, voice: VoiceIndex) -> Result<Option<Dossier>, StoreError> {
        let desk = self.desk(scene);
        let (ledger, waiting) = self.waiting(&desk)?;
        let since = waiting.iter().find(|waiting| waiting.voice == voice).map(|waiting| waiting.first.listed_at);
        rolodex::dossier(&desk, &ledger, since, voice)
    }

    /// What a name in `/answered` stands for; `None` where that is nobody's.
    pub fn answerable(&self, scene: &Scene<'_>, key: EntryKey) -> Result<Option<Answerable>, StoreError> {
        let desk = self.desk(scene);
        answerable::find(&desk, &*self.ledger(&desk)?, key)
    }

    /// What has come true and was not told yet, what did so first first. `address` makes the absolute address of a path
    /// here.
    pub fn notices(&self, scene: &Scene<'_>, address: &dyn Fn(&str) -> String) -> Result<Vec<Notice>, StoreError> {
        let desk = self.desk(scene);
        let (ledger, waiting) = self.waiting(&desk)?;
        let contact = |waiting: &Waiting| ledger.contact(waiting.voice);
        let waiting = waiting.into_iter().map(|waiting| (waiting.voice, waiting.first, contact(&waiting)));
        notices::notices(&desk, &*self.gathered.get(&desk)?, waiting, address)
    }

    /// Works everything out that requests would have to wait for.
    pub fn prepare(&self, scene: &Scene<'_>) -> Result<(), StoreError> {
        let desk = self.desk(scene);
        self.waiting(&desk)?;
        self.quiet(&desk)?;
        self.gathered.get(&desk)?;
        Ok(())
    }

    /// Works out anew what costs requests most, where that is due; whether it is otherwise than before.
    pub fn freshen(&self, scene: &Scene<'_>) -> Result<bool, StoreError> {
        self.gathered.freshen(&self.desk(scene))
    }

    /// The view of a relation, without feeds where it is no merge of some.
    pub fn view(&self, scene: &Scene<'_>, relation: Relation) -> View {
        let mut feeds = FeedSet::default();
        if relation == Relation::Mutual {
            let desk = self.desk(scene);
            feeds = mutual(&desk).into_iter().flat_map(|voice| desk.voices.feeds(voice)).copied().collect();
        }
        View { head: head(relation), feeds }
    }

    /// What every answer needs at hand.
    fn desk<'a>(&self, scene: &'a Scene<'a>) -> Desk<'a> {
        let sites = self.sites(scene.live, scene.bound, scene.mine);
        let mut voices = lock(&self.voices);
        // The first roster has the number 1.
        if voices.revision != scene.bound.revision {
            *voices = Arc::new(Voices::of(scene.bound));
        }
        Desk { scene, sites, voices: Arc::clone(&voices) }
    }

    /// The ledger as it is now.
    fn ledger(&self, desk: &Desk<'_>) -> Result<Arc<Ledger>, StoreError> {
        let mut kept = lock(&self.ledger);
        let (revision, facts) = (desk.bound().revision, desk.live().facts());
        let is_same = |kept: &&KeptLedger| {
            kept.revision == revision && kept.facts == facts && Arc::ptr_eq(&kept.sites, &desk.sites)
        };
        if let Some(kept) = kept.as_ref().filter(is_same) {
            return Ok(Arc::clone(&kept.ledger));
        }
        let ledger = Arc::new(with_fresh_snapshot(desk, Ledger::of)?);
        let sites = Arc::clone(&desk.sites);
        *kept = Some(KeptLedger { revision, facts, sites, ledger: Arc::clone(&ledger) });
        Ok(ledger)
    }

    /// Everybody whose words wait, the longest wait first.
    fn waiting(&self, desk: &Desk<'_>) -> Result<(Arc<Ledger>, Vec<Waiting>), StoreError> {
        let ledger = self.ledger(desk)?;
        let waiting = lock(&self.waits).all(desk, &ledger)?;
        Ok((ledger, waiting))
    }

    /// Everybody who posts seldom.
    fn quiet(&self, desk: &Desk<'_>) -> Result<Vec<Quiet>, StoreError> {
        lock(&self.pauses).all(desk)
    }
}

/// What a relation's view is called.
fn head(relation: Relation) -> ViewHead {
    ViewHead {
        path: relation.path().to_owned(),
        title: relation.title().to_owned(),
        about: relation.about().to_owned(),
        above: Vec::new(),
    }
}

/// Makes what is kept under the numbers of now: the snapshot of a request may be older than these.
fn with_fresh_snapshot<T>(
    desk: &Desk<'_>,
    make: impl FnOnce(&Desk<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let snapshot = desk.scene.store.snapshot()?;
    let scene = Scene { snapshot: &snapshot, ..*desk.scene };
    make(&Desk { scene: &scene, sites: Arc::clone(&desk.sites), voices: Arc::clone(&desk.voices) })
}

/// Who came and left lately, the latest first; and under which names they can be greeted.
fn newcomers_of(desk: &Desk<'_>) -> Result<(Vec<newcomers::Change>, HashMap<Hash64, EntryKey>), StoreError> {
    Ok((newcomers::gather(desk, desk.scene.now.minus(newcomers::SPAN))?, newcomers::told(desk)?))
}

/// The voices that follow you, and that you wished for.
fn mutual(desk: &Desk<'_>) -> Vec<VoiceIndex> {
    let roster = &desk.bound().roster;
    let voices = roster.voices.iter().enumerate();
    let both =
        voices.filter(|(_, voice)| roster.has_role(voice, Role::Followers) && roster.has_role(voice, Role::Desired));
    both.map(|(voice, _)| voice).filter(|voice| desk.voices.is_heard(*voice)).collect()
}

/// One page of a state: which one, of how many, and what stands on it.
fn some<T, U>(
    all: &[T],
    page: usize,
    make: impl Fn(&T) -> Result<Option<U>, StoreError>,
) -> Result<((usize, usize), Vec<U>), StoreError> {
    let (page, pages, shown) = rolodex::cut(all, page, Present::ITEMS);
    let mut made = Vec::with_capacity(shown.len());
    for one in shown {
        made.extend(make(one)?);
    }
    Ok(((page, pages), made))
}

/// What is kept is whole at any time, also where whoever made it has panicked.
fn lock<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
