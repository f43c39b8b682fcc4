//! listend hears the people around you: it watches OPML lists, fetches the feeds in them politely, keeps every entry
//! once, and republishes what everybody says as merged feeds.
//!
//! # The flow
//!
//! outline → subscription → due → fetched → entries → one commit → page → bytes → response
//!
//! [`lists::watch`] says that a list was saved, `daemon::includes` that a remote one has changed, and
//! [`lists::include`] puts remote ones in their place; `daemon::reload` makes a new [`lists::roster`] of all lists and
//! binds it to feed numbers in [`listen::live`]. `daemon::poll` takes what is due out of [`feeds::host`]'s queue and
//! sends `daemon::visit` to each feed: [`feeds::fetch`] asks, [`feeds::parse`] reads, [`feeds::identity`] compares with
//! what the [`store`] knows, [`feeds::clean`] makes new text safe, [`listen::said`] hears what it says of others,
//! [`feeds::schedule`] says when to come again, and `daemon::writer` commits all of it at once, many feeds together. An
//! answer without news ends after the schedule: the feed's state is noted in the [`store`]'s journal and goes with the next
//! commit. A request finds its view in [`listen::view`], [`listen::merge`] makes the page, [`publish`] its bytes, and
//! [`http`] keeps them until something in the view changes.
//!
//! Where an answer is not that simple:
//!
//! - It is a page. `daemon::seek` looks for the feed that [`feeds::discover`] says it names, and the feed is asked there
//!   from then on.
//! - It redirects to another host. `daemon::poll` gives it a turn on that host first (its `detours`).
//! - Nobody answers. [`feeds::host::outage`] waits with the verdict until it is clear whether our own network is down;
//!   then no feed is blamed.
//! - It moved, or its outline was edited. `daemon::moves` notices feeds that turn out to be one, and the [`store`] joins
//!   them.
//! - It changes how the feed fares. [`listen::health::news`] words that as an event, which is committed with the entries;
//!   [`listen::health`] makes the pages of `/health`.
//!
//! # What is between you and the voices
//!
//! Every entry is kept with what it links to ([`model::Said`]), and with the mark that it speaks of you: by a link to a
//! site of yours ([`listen::sites`]), by a name, or because it came by an inbox feed. When your sites, names or inboxes
//! change, `daemon::hear` hears the stored entries anew, in the background. [`listen::relations`] makes of it whatever is
//! asked for: a ledger of who spoke of you, whom you answered and whose words wait, worked out in one pass over your
//! posts, contacts, list events and mentions and kept until one of them changes (`Live::facts` counts); and, from the links
//! of the last 90 days, who talks with whom and whom many link to. Links are kept as hashes: what is shown is looked up in
//! its text before. Only what came true is stored as a [`model::Notice`], once and for good: `daemon::notices` looks for it
//! now and then. Pages for people show the present state ([`listen::people`]).
//!
//! Contact is recorded at `/answered` (`http`); a form changes something only where it comes from our own page or from no
//! browser, and looking never does. A site that is in no list may tell of a link to us: the claim comes to
//! [`http::webmention`], `daemon::webmention` asks its source, and [`feeds::webmention`] says whether it is true.
//!
//! # Hubs
//!
//! Where a feed names a hub, `daemon::websub` has it push: the hub comes to [`http::websub`], [`feeds::websub`] says what
//! is to be believed, and `daemon::visit` takes in the entries as if they had been fetched. `daemon::ping` tells our own
//! hub.
//!
//! # What outlives the database
//!
//! `daemon::backup` writes what cannot be fetched again to a file each night, as `listend export` does. The [`store`]'s
//! `lines` say how an export looks, its `export` writes it, and its `import` makes a database of it. What retention says is
//! over, `daemon::sweep` takes, by a time that does not leap.
//!
//! # The rooms
//!
//! | room | what it owns | what it does not know |
//! | --- | --- | --- |
//! | [`model`] | the words: times, addresses, entries, feeds, events | files, sockets, the database, the clock |
//! | [`config`] | the configuration: read once, checked once | what the values are used for |
//! | [`lists`] | OPML files, the roster made of them, its changes | the network, the database |
//! | [`feeds`] | fetching and reading: address guard, client, decoding, parsing, cleaning, identity, schedule | lists, the database |
//! | [`store`] | the database: the only room that knows redb | lists, the network |
//! | [`listen`] | what the views say: the present, streams merged into pages, what happens to the feeds themselves, what is between you and the voices | formats (but the texts of notices are worded here), HTTP |
//! | [`publish`] | the bytes of a page: Atom, RSS, JSON Feed, OPML, HTML | where entries come from, HTTP |
//! | [`http`] | requests and answers: routes, access, conditional requests, kept pages | fetching, the schedule |
//! | [`daemon`] | the clock, the due queue and every task | formats |
//!
//! Beside them stands `references`, what `&…;` means in feeds, lists and HTML alike. The binary adds the command line
//! (`src/main.rs`, and a file for each command in `src/commands/`).
//!
//! # What must never be
//!
//! - Imports go one way only: model ← config, lists, feeds, store (which don't know each other) ← listen ← publish ←
//!   http ← daemon ← main. `tests/it/house.rs` holds this, and which crates stay in which room.
//! - Nothing but [`feeds::fetch`] dials out, and it dials no address that [`feeds::address`] has not permitted. (`listend
//!   status` dials its own daemon, where the configuration puts it, and nobody else.)
//! - Nothing from outside can panic, abort or exhaust the process: no recursion on outside data, every size bounded by
//!   a configuration key or a named constant. A fault stays with its feed, its outline or its request.
//! - Nothing that was pushed is believed but for a signature of SHA-256 or better, made with a secret that only its hub
//!   has; and a push changes entries only, never where a feed is fetched. One that is signed weakly or cannot be read has
//!   the feed asked sooner, once a minute at most, and does nothing else.
//! - The clock and chance are asked in `daemon` alone (and by the watcher, the server and the store for their own pauses).
//! - The daemon never writes to a list; only the command `listend add` does ([`lists::edit`]).
//! - A feed's next state is made by one at a time (`daemon::visit`'s claims) and only from the state that it has; nobody
//!   joins, marks or sweeps feeds while one is committed (`daemon`'s gate).
//! - Nothing that a Webmention claims is shown before its source, asked under the guard, was seen to link to the target.
//! - No feed's own word makes a page yours, or takes one of yours away, but that of your own feeds.
//! - What is between you and the voices is the keeper's alone: no reader without a token sees it where others read along.
//! - HTML reaches a page only as [`model::CleanHtml`], which only the cleaner and the store make.
//! - Credentials in addresses are never shown: [`model::FeedUrl`] prints without them. No export has them either.
//!
//! # Where the house differs from its first sketch, and why
//!
//! - XML documents are mapped to our own model in the same pass that repairs them, instead of being written out again
//!   for `feed-rs`, which reads JSON Feed here; [`feeds::parse`] gives the figures.
//! - The server is hyper without a framework: views are paths that the lists make up, so there is nothing for a router
//!   to know, and hyper's builder closes silent connections, which a framework's server does not.
//! - An article that several feeds carry is found by an index over links in the store, so that it is shown once over
//!   all pages of a view and not only within one ([`listen::merge`]).
//! - The finished fetches of about 15 ms share a commit, of 200 ms where they are few, and a commit that fails is held and
//!   repeated: a full disk thereby stops fetching by itself, and while the daemon runs nothing fetched is lost and nobody
//!   asked twice for it (`daemon::writer`).
//! - Most answers bring nothing, and nothing may cost less than those: their states are appended to a small file beside the
//!   database (`store::journal`), which a kill does not undo, and stored many at a time; feeds that become due together are
//!   asked together (`daemon::poll`).
//! - Requests go through hyper's own pool, without a client library around it: the guard sits in the connector, bodies are
//!   decoded whole, and all of them together are bounded ([`feeds::fetch`]).
//! - HTML is cleaned by `ammonia` where its structure is in doubt. Plain, well-nested HTML, as most entries are, is read in
//!   one pass that writes the same bytes (`feeds::clean::plain`); a property over broken HTML holds that.
//! - [`listen::live`] keeps all feeds in the order of their newest entries and in that of their last changes, so that a page,
//!   and whether a kept one is still good, cost the same at a hundred feeds and at a hundred thousand.
//! - Pages that many ask for are sent by the kernel from memory files, under hyper: copying them into sockets was more than
//!   half of what an answer took (`http::filed`).
//! - Memory is jemalloc's, in the binary only: glibc's grew for as long as feeds were polled (`src/main.rs`).
//! - The identities of a feed lie under consecutive numbers with their hashes as values, 32 to a row, and are read whole when
//!   a document has changed: appends in key order instead of random inserts ([`store`]).
//! - Texts are not values of their entries but lie side by side in packed blocks that fill pages of the file
//!   (`store::blocks`): rows of a B-tree that come in the order of polls leave a third or half of its pages empty.

pub mod config;
pub mod daemon;
pub mod feeds;
pub mod http;
pub mod listen;
pub mod lists;
pub mod model;
pub mod publish;
mod references;
pub mod store;
