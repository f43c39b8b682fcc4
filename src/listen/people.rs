//! What pages for people show of the people: complete, with nothing left to look up. `publish` makes pages of it.
//!
//! Sentences here are plain text without relative times; what waits says since when.

use crate::model::{ContactKind, EntryKey, FeedState, NoticeKind, Role, Timestamp, Trouble};

use super::page::ViewHead;

/// A voice, as pages name it; or somebody from outside, who has no path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// The name.
    pub name: String,
    /// The path of the voice's own page; `None` for somebody who stands in no list.
    pub path: Option<String>,
    /// The lists and folders that it stands in, as title and path.
    pub circles: Vec<(String, String)>,
    /// What its lists are to you, each once.
    pub roles: Vec<Role>,
    /// Its home page.
    pub home: Option<String>,
}

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saying {
    /// Its name, by which `/answered` knows it.
    pub key: EntryKey,
    /// Its title, or the beginning of its text; never empty.
    pub title: String,
    /// Its page.
    pub link: Option<String>,
    /// Its place in the stream.
    pub at: Timestamp,
    /// The beginning of its text, at most some 200 characters; may be empty.
    pub excerpt: String,
    /// Why it stands here, as `Links to your “A bench for the square”`; may be empty.
    pub reason: String,
}

/// Why somebody is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// It spoke of you: by a link, a name, a Webmention.
    Mention,
    /// It answered you: by an inbox feed, or a Webmention that is a reply.
    Reply,
    /// It became a follower, or joined the followers.
    Follower,
    /// It has spoken since your last contact with it.
    Neglected,
    /// It spoke again after a long time.
    Returned,
}

/// Somebody to answer, and why. Each voice once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debt {
    /// Who.
    pub person: Person,
    /// Why, by the weightiest cause.
    pub cause: Cause,
    /// The reason in a sentence.
    pub reason: String,
    /// Since when it waits.
    pub since: Timestamp,
    /// What it said that is to be answered, newest first, at most five.
    pub sayings: Vec<Saying>,
    /// How many things are to be answered, those not shown included; counted up to 100.
    pub count: usize,
    /// The last contact.
    pub last_contact: Option<Timestamp>,
    /// What to name in `/answered` when it is done: the newest saying, or the notice of a new follower.
    pub done: Option<EntryKey>,
}

/// A voice that posts seldom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuietVoice {
    /// Who.
    pub person: Person,
    /// Its newest entry.
    pub newest: Saying,
    /// The mark: `First post in 94 days`, or that it fell silent; else how often it posts.
    pub mark: String,
    /// Whether it has fallen silent.
    pub is_silent: bool,
}

/// Several voices that talk about one page, or with each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// What it is about: the page's title where it is an entry's, else its address without scheme.
    pub title: String,
    /// The page.
    pub link: String,
    /// Whose page it is, where it is a voice's.
    pub host: Option<Person>,
    /// Who takes part, each voice once, in the order of their first words, with what they said.
    pub turns: Vec<(Person, Saying)>,
    /// When the last words were said.
    pub last: Timestamp,
}

/// Somebody who came, became a follower, or left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newcomer {
    /// Who; has no path after it has left everything.
    pub person: Person,
    /// What happened, as `became a follower` or `joined Desired`.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// What to name in `/answered` to say that it was greeted, while it stands in a list.
    pub done: Option<EntryKey>,
}

/// A site that several voices link to, and that stands in no list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// The site without scheme, as `example.org` or `example.org/~ann`.
    pub site: String,
    /// Its address.
    pub link: String,
    /// Who links to it, each voice once, the last to do so first, with the entry that does.
    pub by: Vec<(Person, Saying)>,
    /// How many voices do.
    pub voices: usize,
    /// When the last of them did.
    pub last: Timestamp,
}

/// How many of your own posts point at others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkLove {
    /// Your posts of the last 90 days.
    pub posts: usize,
    /// How many of them link to a site that is not yours.
    pub pointing: usize,
    /// The same for each of the last twelve months, oldest first: the month's first instant, posts, pointing.
    pub months: Vec<(Timestamp, usize, usize)>,
}

/// How the rolodex is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// Who has waited longest first.
    #[default]
    Waiting,
    /// Who spoke last first.
    Heard,
    /// Whom links bind to you most first, those from them and those to them together.
    Links,
    /// By name.
    Name,
}

impl Order {
    /// All of them, as the page offers them.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Heard, Self::Links, Self::Name];

    /// The word in addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Heard => "heard",
            Self::Links => "links",
            Self::Name => "name",
        }
    }
}

/// One page of the rolodex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rolodex {
    /// The rows of this page.
    pub rows: Vec<Card>,
    /// How it is sorted.
    pub order: Order,
    /// This page, from 1 on.
    pub page: usize,
    /// How many pages there are, at least 1.
    pub pages: usize,
    /// How many voices there are.
    pub voices: usize,
    /// Your link love.
    pub love: LinkLove,
    /// Today, for what is counted back from it.
    pub today: Timestamp,
}

impl Rolodex {
    /// Voices on a page.
    pub const ROWS: usize = 100;
}

/// A voice in the rolodex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Who.
    pub person: Person,
    /// The place of its newest entry.
    pub heard: Option<Timestamp>,
    /// Entries a week, the last 26 weeks, oldest first; the last one is this week's.
    pub weeks: Vec<u32>,
    /// Links from its entries to your sites.
    pub from_them: usize,
    /// Links from your posts to its sites.
    pub to_them: usize,
    /// Things you owe it thanks for.
    pub owed: usize,
    /// Since when its words wait for an answer.
    pub waiting: Option<Timestamp>,
    /// The worst trouble of its feeds.
    pub trouble: Option<Trouble>,
}

/// A voice's own page, above what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dossier {
    /// Its card; `weeks` are 53, the last year.
    pub card: Card,
    /// What you owe it, newest first.
    pub owed: Vec<Saying>,
    /// What of its entries links to you, newest first, at most 20.
    pub from_them: Vec<Saying>,
    /// Your posts that link to it, newest first, at most 20.
    pub to_them: Vec<Saying>,
    /// Contact and what was told, newest first, at most 50.
    pub history: Vec<Past>,
    /// Its feeds.
    pub feeds: Vec<FeedOf>,
    /// Today, for what is counted back from it.
    pub today: Timestamp,
}

/// Something in the history of a voice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: PastKind,
    /// In words: the note of a contact, the title of a post of yours, of a notice.
    pub text: String,
    /// Where it leads.
    pub link: Option<String>,
}

/// What kind of thing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastKind {
    /// You recorded contact.
    Contact(ContactKind),
    /// A post of yours linked to it.
    Post,
    /// Something was told.
    Notice(NoticeKind),
}

/// A feed of a voice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedOf {
    /// Its title.
    pub title: String,
    /// Its address, without credentials.
    pub url: String,
    /// How it fares.
    pub state: FeedState,
    /// Its trouble.
    pub trouble: Option<Trouble>,
    /// How many entries of it are kept.
    pub entries: u32,
    /// The place of its newest entry.
    pub newest: Option<Timestamp>,
}

/// What a person opens in the morning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Today {
    /// At most five people to answer: thanks owed first, then the neglected, then who came back in the last seven days;
    /// never by volume.
    pub answer: Vec<Debt>,
    /// How many more are owed thanks, and how many more are neglected.
    pub more: (usize, usize),
    /// Whether anybody's words could ever have been answered: somebody is listed and was heard.
    pub has_heard: bool,
    /// The newest newcomers, at most eight.
    pub newcomers: Vec<Newcomer>,
    /// The latest conversations, at most five.
    pub conversations: Vec<Conversation>,
    /// Your link love; `None` where no list is yours.
    pub love: Option<LinkLove>,
    /// Today.
    pub today: Timestamp,
}

/// The present state of a relationship view, as its page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// What the view is called.
    pub head: ViewHead,
    /// What it holds.
    pub state: State,
    /// This page, from 1 on, and how many there are.
    pub page: (usize, usize),
    /// How many there are in all.
    pub count: usize,
    /// Today.
    pub today: Timestamp,
}

impl Present {
    /// What stands on one page at most.
    pub const ITEMS: usize = 50;
}

/// What a relationship view holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Who is owed thanks, the newest debt first.
    Thanks(Vec<Debt>),
    /// Whose words wait, the longest first.
    Neglected(Vec<Debt>),
    /// Who posts seldom: those who came back, those who fell silent, then the others, the last to speak first.
    Quiet(Vec<QuietVoice>),
    /// The latest first.
    Conversations(Vec<Conversation>),
    /// The latest first.
    Newcomers(Vec<Newcomer>),
    /// Those whom most voices link to first.
    Bridges(Vec<Bridge>),
}
