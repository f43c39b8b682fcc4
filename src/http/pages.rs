//! From what is asked of a path to its page: found kept, or rendered and kept.
//!
//! Owns for whom a page is made and what it rests on. What stands on it is `listen`'s business, and its bytes are
//! `publish`'s.

use std::sync::Arc;

use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use tracing::{error, warn};

use super::App;
use super::access::Reader;
use super::answer::{Answer, guard, guard_page, refusal, set, text};
use super::conditional::Representation;
use super::kept::{Ask, Feeds, Ground, Kept, Key, Manner, Stand};
use super::overview;
use super::query::{self, BadParameter, Format};
use super::topics;
use crate::listen::live::{Bound, FeedSet};
use crate::listen::page::{Page, Query};
use crate::listen::people::Dossier;
use crate::listen::relations::{Relation, Scene};
use crate::listen::view::{self, Found, View};
use crate::listen::{health, merge};
use crate::lists::roster::{ListIndex, VoiceIndex};
use crate::model::Role;
use crate::publish::html::{self, Front};
use crate::publish::{Site, address, atom, json, opml, rss};
use crate::store::StoreError;

/// The path of the front page.
pub(super) const FRONT: &str = "/";
/// The path of the rolodex; a voice's own page stands below it.
pub(super) const VOICES: &str = "/voices";

/// Header fields of an answer with a page, with those that hyper adds.
const MOST_FIELDS: usize = 12;

/// Whether what stands at a path is the keeper's business only.
pub(super) fn is_keepers(path: &str) -> bool {
    path == view::HEALTH || path == VOICES || Relation::at(path).is_some()
}

/// Answers with the page of a path.
pub(super) async fn answer(
    app: &Arc<App>,
    headers: &HeaderMap,
    path: &str,
    format: Format,
    query_text: &str,
    reader: Reader,
) -> Response<Answer> {
    let ask = match ask(path, format, query_text) {
        Ok(ask) => ask,
        Err(fault) => return refusal(app, reader, StatusCode::BAD_REQUEST, format, &fault.to_string()),
    };
    let key = Key { path: path.to_owned(), format, ask, reader };
    kept_or_new(app, headers, &key, query_text).await
}

/// The answer with the page of a path, and that page, where it is kept and nothing has changed since. Does nothing that
/// takes long.
pub(super) fn kept(
    app: &App,
    headers: &HeaderMap,
    path: &str,
    format: Format,
    query_text: &str,
    reader: Reader,
) -> Option<(Response<Answer>, Arc<Kept>)> {
    let key = Key { path: path.to_owned(), format, ask: ask(path, format, query_text).ok()?, reader };
    let kept = app.pages.current(&key, &app.live, (app.clock)())?;
    kept.representation.is_ready_for(headers).then(|| (serve(app, headers, &key, &kept), kept))
}

/// Reads what is asked of a path.
fn ask(path: &str, format: Format, query_text: &str) -> Result<Ask, BadParameter> {
    if path == VOICES && format == Format::Html {
        return query::parse_rolodex(query_text);
    }
    if let Some(relation) = Relation::at(path).filter(|relation| format == Format::Html && relation.has_state()) {
        return query::parse_state(relation, query_text);
    }
    let query = query::parse(query_text)?;
    // The subscriptions behind a view are the same whatever is asked of its entries.
    Ok(Ask::Stream(if format == Format::Opml { Query::default() } else { query }))
}

/// A kept page where nothing has changed since, else a new one.
async fn kept_or_new(app: &Arc<App>, headers: &HeaderMap, key: &Key, query_text: &str) -> Response<Answer> {
    let (path, format) = (key.path.as_str(), key.format);
    let current = || app.pages.current(key, &app.live, (app.clock)());
    let ready = || current().filter(|kept| kept.representation.is_ready_for(headers));
    if let Some(kept) = ready() {
        return serve(app, headers, key, &kept);
    }
    let Ok(_permit) = app.rendering.acquire().await else {
        return refusal(app, key.reader, StatusCode::SERVICE_UNAVAILABLE, format, "listend is stopping.");
    };
    // Somebody else may have rendered it while we waited.
    if let Some(kept) = ready() {
        return serve(app, headers, key, &kept);
    }
    let rendering = {
        let (app, key, kept, headers) = (Arc::clone(app), key.clone(), current(), headers.clone());
        tokio::task::spawn_blocking(move || {
            let rendered = kept.map_or_else(|| render(&app, &key), |kept| Ok(Rendered::Page(kept)));
            if let Ok(Rendered::Page(kept)) = &rendered {
                // Packed here, where it may take its time.
                kept.representation.coded(&headers);
            }
            rendered
        })
    };
    match rendering.await {
        Ok(Ok(Rendered::Page(kept))) => serve(app, headers, key, &kept),
        Ok(Ok(Rendered::Moved(path))) => moved(app, &path, format, query_text),
        Ok(Ok(Rendered::Nothing)) => {
            let there_is = overview::what_there_is(&app.live.bound(), path, key.reader);
            refusal(app, key.reader, StatusCode::NOT_FOUND, format, &there_is)
        }
        Ok(Err(fault)) => {
            warn!(error = %fault, path, "a page could not be read from the store");
            // What was said before is better than nothing.
            if let Some(kept) = app.pages.any(key) {
                return serve(app, headers, key, &kept);
            }
            refusal(
                app,
                key.reader,
                StatusCode::SERVICE_UNAVAILABLE,
                format,
                "The database cannot be read just now; try again.",
            )
        }
        Err(fault) => {
            error!(error = %fault, path, "rendering a page failed");
            refusal(
                app,
                key.reader,
                StatusCode::INTERNAL_SERVER_ERROR,
                format,
                "This page could not be made; the log says why.",
            )
        }
    }
}

enum Rendered {
    Page(Arc<Kept>),
    Moved(String),
    Nothing,
}

/// A page's bytes, and what they rest on.
struct Made {
    body: String,
    ground: Ground,
}

impl Made {
    /// A page that changes when something in these feeds does.
    fn of_feeds(body: String, feeds: FeedSet) -> Self {
        Self { body, ground: Ground { feeds: Feeds::These(feeds), day: None } }
    }

    /// A page of events, that changes when anything does.
    fn of_events(body: String) -> Self {
        Self { body, ground: Ground { feeds: Feeds::All, day: None } }
    }

    /// A page of how things are today, which changes when anything does and when the day is over.
    fn of_today(body: String, scene: &Scene<'_>) -> Self {
        Self { body, ground: Ground { feeds: Feeds::All, day: Some(scene.now.days()) } }
    }
}

/// Renders a page and keeps it.
fn render(app: &App, key: &Key) -> Result<Rendered, StoreError> {
    // Taken before anything is read: what changes meanwhile makes the page stale, never wrong for long.
    let (configuration, rendered) = (app.pages.configuration(), app.live.revision());
    on_scene(app, |scene| {
        let stand = Stand { roster: scene.bound.revision, configuration, rendered };
        let site = site(app, scene.bound, key.reader);
        let manner = manner(app, key, &site);
        let made = match &key.ask {
            Ask::Rolodex { order, page } => {
                let rolodex = app.relations.rolodex(scene, *order, *page)?;
                Made::of_today(html::rolodex(&rolodex, &site), scene)
            }
            Ask::State { relation, page } => {
                let present = app.relations.present(scene, *relation, *page)?;
                Made::of_today(html::present(&present, &site), scene)
            }
            Ask::Stream(query) => match Relation::at(&key.path) {
                Some(relation) => relation_page(app, scene, relation, key.format, query, site)?,
                None => match view::find(scene.bound, if key.path == FRONT { view::LISTEN } else { &key.path }) {
                    Some(Found::View(view)) => view_page(app, scene, view, key, query, site)?,
                    Some(Found::Moved(path)) => return Ok(Rendered::Moved(path)),
                    None => return Ok(Rendered::Nothing),
                },
            },
        };
        let previous = app.pages.any(key);
        let previous = previous.as_ref().map(|kept| &kept.representation);
        let representation = Representation::new(key.format.media_type(), made.body, (app.clock)(), previous);
        let kept = Arc::new(Kept::new(representation, manner, made.ground, stand));
        app.pages.keep(key.clone(), Arc::clone(&kept));
        Ok(Rendered::Page(kept))
    })
}

/// Lets `look` see everything as it is now; once more where another roster came into force meanwhile: of feeds that were
/// joined, the one roster names one and the states only the other, and whoever saw both would miss their entries. Blocks
/// on the disk.
pub(super) fn on_scene<T>(app: &App, look: impl Fn(&Scene<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
    let look_under = |bound: &Bound| {
        let (config, snapshot, now) = (app.config.load(), app.store.snapshot()?, (app.clock)());
        look(&Scene { store: &app.store, snapshot: &snapshot, live: &app.live, bound, mine: &config.mine, now })
    };
    let bound = app.live.bound();
    let seen = look_under(&bound)?;
    let bound_now = app.live.bound();
    if bound_now.revision == bound.revision { Ok(seen) } else { look_under(&bound_now) }
}

/// A page of a relation as a stream.
fn relation_page(
    app: &App,
    scene: &Scene<'_>,
    relation: Relation,
    format: Format,
    query: &Query,
    site: Site,
) -> Result<Made, StoreError> {
    if format == Format::Opml {
        let outlines = app.relations.outlines(scene, relation)?;
        // Some rest on what was said in the last days.
        return Ok(Made::of_today(opml::render(relation.title(), &outlines), scene));
    }
    // What is between you and the voices is passed on by nobody; and where several speak with each other, there is
    // nobody in particular to answer.
    let is_of_several = matches!(relation, Relation::Conversations | Relation::Bridges);
    let site = Site { hub: None, contact_links: site.contact_links && !is_of_several, ..site };
    let page = app.relations.page(scene, relation, query, &|path| address(&site, path, "", &Query::default()))?;
    Ok(Made::of_events(stream(&page, format, &site)))
}

/// A page of a view: the river, and for the keeper what there is to know beside it.
fn view_page(
    app: &App,
    scene: &Scene<'_>,
    view: View,
    key: &Key,
    query: &Query,
    mut site: Site,
) -> Result<Made, StoreError> {
    let bound = scene.bound;
    let is_health = view.head.path == view::HEALTH;
    // There is nobody to answer where a server speaks, or you do.
    site.contact_links &= !is_health && !is_own(bound, &view.head.path);
    if key.format == Format::Opml {
        let outlines = if is_health {
            health::outlines(&app.store, &app.live, bound)?
        } else {
            view::outlines(bound, &view.head.path)
        };
        return Ok(Made::of_feeds(opml::render(&view.head.title, &outlines), view.feeds));
    }
    let mut page = if is_health {
        health_page(app, bound, &view, key.format, query, &site)?
    } else {
        merge::page(scene.snapshot, &app.live, bound, &view, query)?
    };
    // What only the keeper may read in full is not hinted at to everybody.
    if key.reader == Reader::Keeper {
        page.troubled = app.live.broken_among(&view.feeds);
    }
    if key.path == FRONT {
        let (circles, hearing) = (overview::circles(bound), overview::hearing(&app.live, &view));
        if key.reader == Reader::Guest {
            let front = Front { river: &page, circles: &circles, hearing, today: None };
            return Ok(Made::of_feeds(html::front(&front, &site), view.feeds));
        }
        let today = app.relations.today(scene)?;
        let front = Front { river: &page, circles: &circles, hearing, today: Some(&today) };
        return Ok(Made::of_today(html::front(&front, &site), scene));
    }
    if let Some(dossier) = dossier(app, scene, key, query)? {
        return Ok(Made::of_today(html::voice(&dossier, &page, &site), scene));
    }
    Ok(Made::of_feeds(stream(&page, key.format, &site), view.feeds))
}

/// The bytes of a page of a stream.
fn stream(page: &Page, format: Format, site: &Site) -> String {
    match format {
        Format::Atom => atom::render(page, site),
        Format::Rss => rss::render(page, site),
        Format::Json => json::render(page, site),
        Format::Html | Format::Opml => html::river(page, site),
    }
}

/// What the keeper knows of the voice whose own page is asked for. Whoever searches it, or reads on, has seen that.
fn dossier(app: &App, scene: &Scene<'_>, key: &Key, query: &Query) -> Result<Option<Dossier>, StoreError> {
    let is_first = query.words.is_empty() && query.since.is_none() && query.before.is_none();
    if key.reader == Reader::Guest || key.format != Format::Html || !is_first {
        return Ok(None);
    }
    match voice_at(scene.bound, &key.path) {
        Some(voice) => app.relations.dossier(scene, voice),
        None => Ok(None),
    }
}

/// The voice whose own address a path is.
fn voice_at(bound: &Bound, path: &str) -> Option<VoiceIndex> {
    let slug = path.strip_prefix(VOICES)?.strip_prefix('/')?;
    bound.roster.voice(slug)
}

/// Whether a path shows nothing but what you say yourself.
fn is_own(bound: &Bound, path: &str) -> bool {
    let roster = &bound.roster;
    let is_mine = |list: &ListIndex| roster.lists.get(*list).is_some_and(|list| list.role == Role::Mine);
    match voice_at(bound, path) {
        Some(voice) => roster.voices[voice].lists.iter().all(is_mine),
        None => roster.place(path).is_some_and(|place| is_mine(&place.list)),
    }
}

/// A page of events; on a page for people the way to the voice is a path of ours, and not an address.
fn health_page(
    app: &App,
    bound: &Bound,
    view: &View,
    format: Format,
    query: &Query,
    site: &Site,
) -> Result<Page, StoreError> {
    let address = |path: &str| address(site, path, "", &Query::default());
    let mut page = health::page(&app.store, &app.live, bound, view, query, address)?;
    if format == Format::Html {
        page.entries.iter_mut().for_each(|listed| listed.entry.link = None);
    }
    Ok(page)
}

/// What all pages for a reader share, as the configuration and the roster have it now.
pub(super) fn site(app: &App, bound: &Bound, reader: Reader) -> Site {
    let config = app.config.load();
    Site {
        base_url: config.server.base_url.clone(),
        hub: config.server.hub.as_ref().map(ToString::to_string),
        // Only the keeper can follow them.
        contact_links: config.listen.contact_links && reader == Reader::Keeper,
        is_keeper: reader == Reader::Keeper,
        lists: bound.roster.lists.iter().map(|list| (list.title.clone(), list.path.clone())).collect(),
    }
}

/// How the page of a key is sent.
fn manner(app: &App, key: &Key, site: &Site) -> Manner {
    let config = app.config.load();
    let (has_tokens, is_public) = (!config.server.tokens.is_empty(), config.server.public);
    // Where both read, who asks decides what is answered.
    let varies =
        if has_tokens && is_public { "Accept, Accept-Encoding, Authorization" } else { "Accept, Accept-Encoding" };
    // Asked again each time: a 304 costs next to nothing, and an edited list shows at once.
    let tells_of_you = key.format == Format::Html && (key.path == FRONT || key.path.starts_with("/voices/"));
    let is_keepers = is_keepers(&key.path) || key.reader == Reader::Keeper && (has_tokens || tells_of_you);
    let link = topics::topic(key).zip(site.hub.as_deref()).and_then(|(query, hub)| {
        let own = address(site, &key.path, key.format.ending(), query);
        HeaderValue::from_str(&format!("<{hub}>; rel=\"hub\", <{own}>; rel=\"self\"")).ok()
    });
    Manner {
        vary: HeaderValue::from_static(varies),
        cache_control: HeaderValue::from_static(if is_keepers { "private, no-cache" } else { "public, no-cache" }),
        link,
    }
}

/// Answers with a page, or with word that the client has it. Every request for a kept page comes through here: its header
/// values were made when it was, and its bytes are shared.
fn serve(app: &App, headers: &HeaderMap, key: &Key, kept: &Kept) -> Response<Answer> {
    let (page, manner) = (&kept.representation, &kept.manner);
    let is_known = page.is_known_to(headers);
    let (body, coding) = if is_known {
        (Answer::Whole(Full::default()), None)
    } else {
        let (bytes, coding) = page.coded(headers);
        let body = Full::new(bytes.clone());
        let filed = coding.and_then(|_| kept.filed(bytes, &app.pages.files));
        let body = match filed {
            Some(file) => Answer::Filed(body, Arc::clone(file)),
            None => Answer::Whole(body),
        };
        (body, coding)
    };
    let mut response = Response::new(body);
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let fields = response.headers_mut();
    fields.reserve(MOST_FIELDS);
    fields.insert(header::ETAG, page.tag(headers).clone());
    fields.insert(header::LAST_MODIFIED, page.last_modified_text.clone());
    fields.insert(header::VARY, manner.vary.clone());
    fields.insert(header::CACHE_CONTROL, manner.cache_control.clone());
    if !is_known {
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(page.media_type));
        if let Some(coding) = coding {
            fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
    }
    if key.format == Format::Html {
        guard_page(fields);
    } else {
        guard(fields);
    }
    if let Some(link) = &manner.link {
        fields.insert(header::LINK, link.clone());
        app.asked.note(key, (app.clock)());
    }
    response
}

/// A voice that stood here before has an address of its own, which stays (RFC 9110, section 15.4.9).
fn moved(app: &App, path: &str, format: Format, query: &str) -> Response<Answer> {
    let base = app.config.load().server.base_url.clone();
    let target = format!("{}{}.{}", base.as_str().trim_end_matches('/'), path, format.ending());
    let target = if query.is_empty() { target } else { format!("{target}?{query}") };
    let mut response = text(StatusCode::PERMANENT_REDIRECT, format!("This voice is at {target}\n"));
    set(response.headers_mut(), header::LOCATION, &target);
    response
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::HashMap;

    use super::super::webmention::Letterbox;
    use super::super::websub::Doors;
    use super::*;
    use crate::config::Config;
    use crate::listen::live::Live;
    use crate::model::Timestamp;
    use crate::store::Store;

    #[test]
    fn who_looks_while_another_roster_comes_into_force_looks_again() {
        let directory = tempfile::tempdir().expect("there is room");
        let store = Store::open(directory.path(), 1 << 20).expect("it opens");
        let config = Config::parse("", None, directory.path()).expect("it is good");
        let (doors, letterbox) = (Doors::new().0, Letterbox::new().0);
        let live = Arc::new(Live::default());
        let app = App::new(live, Arc::new(store), config, Arc::default(), doors, letterbox, Timestamp::default);
        for (rosters, most) in [(0, 1), (1, 2)] {
            let looks = Cell::new(0);
            let seen = on_scene(&app, |scene| {
                if looks.replace(looks.get() + 1) < rosters {
                    app.live.set_roster(Arc::clone(&scene.bound.roster), HashMap::new(), HashMap::new());
                }
                Ok(scene.bound.revision)
            });
            assert_eq!(seen.expect("the disk is there"), app.live.bound().revision);
            assert_eq!(looks.get(), most);
        }
    }
}
