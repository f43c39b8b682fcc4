//! What is between you and the voices: who spoke of you, whom you owe, who is quiet, whom you neglect.
//!
//! Made from what the store keeps of what entries say of others ([`Said`](crate::model::Said)), from contacts,
//! Webmentions and list events, and from the roster as it is now. Nothing here is stored but notices, so that whatever
//! becomes of lists, sites and names shows at once. Knows neither clock nor formats.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Mine;
use crate::lists::opml::Outline;
use crate::lists::roster::VoiceIndex;
use crate::model::{EntryKey, Link, Notice, Timestamp};
use crate::store::{Snapshot, Store, StoreError};

use super::live::{Bound, Live};
use super::page::{Page, Query};
use super::people::{Dossier, LinkLove, Order, Past, Person, Present, Rolodex, Saying, State, Today};
use super::sites::Sites;
use super::view::View;

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

/// What is worked out about the voices, kept until something that it rests on changes.
#[derive(Debug, Default)]
pub struct Relations {
    sites: Mutex<Option<KeptSites>>,
}

/// Sites, and what they were made from: the roster, the count of homes, the configuration.
#[derive(Debug)]
struct KeptSites {
    of: (u64, u64, Mine),
    sites: Arc<Sites>,
}

impl Relations {
    /// The sites as they are now; worked out anew only where roster, homes or configuration have changed.
    pub fn sites(&self, live: &Live, bound: &Bound, mine: &Mine) -> Arc<Sites> {
        // Whoever comes meanwhile waits, instead of making the same.
        let mut kept = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        // Counted before it is read: what changes while sites are made has them made again.
        let (revision, homes) = (bound.revision, live.homes());
        if let Some(kept) = kept.as_ref()
            && kept.of.0 == revision
            && kept.of.1 == homes
            && kept.of.2 == *mine
        {
            return Arc::clone(&kept.sites);
        }
        let sites = Arc::new(Sites::of(live, bound, mine));
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
        let _ = (scene, relation, address);
        Ok(Page {
            head: self.head(relation),
            query: query.clone(),
            entries: Vec::new(),
            next: None,
            updated: Timestamp::default(),
            troubled: 0,
        })
    }

    /// The present state of a relation: page `page`, from 1 on. Only where [`Relation::has_state`].
    pub fn present(&self, scene: &Scene<'_>, relation: Relation, page: usize) -> Result<Present, StoreError> {
        Ok(Present {
            head: self.head(relation),
            state: State::Thanks(Vec::new()),
            page: (page, 1),
            count: 0,
            today: scene.now,
        })
    }

    /// The outlines behind a relation: the subscriptions of the voices that it now holds; of bridges, the sites as
    /// candidates for a list.
    pub fn outlines(&self, scene: &Scene<'_>, relation: Relation) -> Result<Vec<Outline>, StoreError> {
        let _ = (scene, relation);
        Ok(Vec::new())
    }

    /// What stands on the front page.
    pub fn today(&self, scene: &Scene<'_>) -> Result<Today, StoreError> {
        Ok(Today {
            answer: Vec::new(),
            more: (0, 0),
            has_heard: false,
            newcomers: Vec::new(),
            conversations: Vec::new(),
            love: None,
            today: scene.now,
        })
    }

    /// One page of the rolodex, from 1 on; a page beyond the last is the last.
    pub fn rolodex(&self, scene: &Scene<'_>, order: Order, page: usize) -> Result<Rolodex, StoreError> {
        Ok(Rolodex { rows: Vec::new(), order, page, pages: 1, voices: 0, love: LinkLove::default(), today: scene.now })
    }

    /// What is known of one voice; `None` where there is none at this index.
    pub fn dossier(&self, scene: &Scene<'_>, voice: VoiceIndex) -> Result<Option<Dossier>, StoreError> {
        let _ = (scene, voice);
        Ok(None)
    }

    /// What a name in `/answered` stands for; `None` where that is nobody's.
    pub fn answerable(&self, scene: &Scene<'_>, key: EntryKey) -> Result<Option<Answerable>, StoreError> {
        let _ = (scene, key);
        Ok(None)
    }

    /// What has come true and was not told yet.
    pub fn notices(&self, scene: &Scene<'_>) -> Result<Vec<Notice>, StoreError> {
        let _ = scene;
        Ok(Vec::new())
    }

    /// The view of a relation, without feeds where it is no merge of some.
    pub fn view(&self, scene: &Scene<'_>, relation: Relation) -> View {
        let _ = scene;
        View { head: self.head(relation), feeds: Vec::new() }
    }

    fn head(&self, relation: Relation) -> super::page::ViewHead {
        super::page::ViewHead {
            path: relation.path().to_owned(),
            title: relation.title().to_owned(),
            about: relation.about().to_owned(),
            above: Vec::new(),
        }
    }
}
