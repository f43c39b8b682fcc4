//! What was answered, noted down: one page with a button for each kind of contact, and the form that it sends.
//!
//! Looking changes nothing, so that whatever follows links ahead of people (readers, mail scanners) may do so.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use hyper::header;
use hyper::{Method, Request, Response, StatusCode};
use tracing::{error, warn};

use super::App;
use super::access::{Reader, is_from_here};
use super::answer::{Answer, page, refusal, set, text};
use super::arriving::Arriving;
use super::form;
use super::pages::{on_scene, site};
use super::query::{Format, no_such, pairs};
use crate::model::{Contact, ContactKind, EntryKey};
use crate::publish::html;
use crate::store::StoreError;

/// The path below which everything that can be answered stands by its name.
pub(super) const ANSWERED: &str = "/answered/";

/// The largest form, in bytes: room for a note whose every character takes twelve, as those of some scripts do when
/// they are sent.
const MAX_FORM_BYTES: usize = 24 << 10;
/// The longest note, in characters.
const MAX_NOTE_CHARS: usize = 2000;
/// Whoever notes the same again within this has clicked twice.
const REPEATED_WITHIN: Duration = Duration::from_mins(1);

const NOBODYS: &str = "There is nothing of this name to be answered, or it is gone.";

/// Answers whoever looks at what can be answered, or says that it was.
pub(super) async fn answer(app: &Arc<App>, name: &str, request: &mut Request<Arriving>) -> Response<Answer> {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::accepted(accept);
    let query = request.uri().query().unwrap_or_default().to_owned();
    let Ok(key) = name.parse::<EntryKey>() else {
        let message = "What can be answered has a name of 32 hex digits; the links below entries have it.";
        return refusal(app, Reader::Keeper, StatusCode::BAD_REQUEST, format, message);
    };
    if let Some((name, _)) = pairs(&query).find(|(name, _)| name != "token") {
        return refusal(app, Reader::Keeper, StatusCode::BAD_REQUEST, format, &no_such(&name, "none here").to_string());
    }
    if request.method() != Method::POST {
        return show(app, key, format).await;
    }
    if !is_from_here(&app.config.load().server.base_url, request.headers()) {
        let message = "This form came from another site's page, and nothing was noted down.";
        return refusal(app, Reader::Keeper, StatusCode::FORBIDDEN, format, message);
    }
    let fields = match form::read(request, MAX_FORM_BYTES).await {
        Ok(fields) => fields,
        Err((status, message)) => return refusal(app, Reader::Keeper, status, format, &message),
    };
    match done(&fields) {
        Ok((kind, note)) => record(app, key, kind, note, format, &query).await,
        Err(fault) => refusal(app, Reader::Keeper, StatusCode::BAD_REQUEST, format, &fault),
    }
}

/// What the form says was done, and the note.
fn done(fields: &[(String, String)]) -> Result<(ContactKind, String), String> {
    let kinds = ContactKind::ALL.map(ContactKind::as_str).join(", ");
    let (mut done, mut note) = (None, String::new());
    for (name, value) in fields {
        match name.as_str() {
            "kind" => {
                let kind = ContactKind::ALL.into_iter().find(|kind| kind.as_str() == value);
                done = Some(kind.ok_or_else(|| format!("kind={value}: kind is one of {kinds}"))?);
            }
            "note" => note = cleaned(value),
            _ => return Err(format!("{name}: no such field; there are kind and note")),
        }
    }
    if note.chars().count() > MAX_NOTE_CHARS {
        return Err(format!("note: a note has at most {MAX_NOTE_CHARS} characters"));
    }
    Ok((done.ok_or_else(|| format!("kind: it has to be one of {kinds}"))?, note))
}

/// A note with plain line ends and without what nobody sees.
fn cleaned(note: &str) -> String {
    let lines = note.replace("\r\n", "\n").replace('\r', "\n");
    let seen: String = lines.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
    seen.trim().to_owned()
}

/// The page with the form, and what was noted down last.
async fn show(app: &Arc<App>, key: EntryKey, format: Format) -> Response<Answer> {
    let looking = {
        let app = Arc::clone(app);
        tokio::task::spawn_blocking(move || {
            on_scene(&app, |scene| {
                let Some(answerable) = app.relations.answerable(scene, key)? else { return Ok(None) };
                let contacts = app.store.contacts()?;
                // What was noted down earlier stands in the history.
                let lately = contacts.iter().rev().take_while(|contact| scene.now.since(contact.at) < REPEATED_WITHIN);
                let recorded = lately.into_iter().find(|contact| contact.about == key).map(|contact| contact.kind);
                Ok(Some(html::answered(&answerable, key, recorded, &site(&app, scene.bound, Reader::Keeper))))
            })
        })
    };
    match looking.await {
        Ok(Ok(Some(body))) => page(StatusCode::OK, body),
        Ok(Ok(None)) => refusal(app, Reader::Keeper, StatusCode::NOT_FOUND, format, NOBODYS),
        Ok(Err(fault)) => {
            warn!(error = %fault, "what can be answered could not be read from the store");
            let message = "The database cannot be read just now; try again.";
            refusal(app, Reader::Keeper, StatusCode::SERVICE_UNAVAILABLE, format, message)
        }
        Err(fault) => {
            error!(error = %fault, entry = %key, "the page of what can be answered could not be made");
            let message = "This page could not be made; the log says why.";
            refusal(app, Reader::Keeper, StatusCode::INTERNAL_SERVER_ERROR, format, message)
        }
    }
}

/// Notes down what was done, and leads back to the page.
async fn record(
    app: &Arc<App>,
    key: EntryKey,
    kind: ContactKind,
    note: String,
    format: Format,
    query: &str,
) -> Response<Answer> {
    let recording = {
        let app = Arc::clone(app);
        tokio::task::spawn_blocking(move || note_down(&app, key, kind, note))
    };
    match recording.await {
        Ok(Ok(true)) => see(app, key, query),
        Ok(Ok(false)) => refusal(app, Reader::Keeper, StatusCode::NOT_FOUND, format, NOBODYS),
        Ok(Err(fault)) => {
            warn!(error = %fault, "contact could not be noted down");
            let message = "The database takes nothing just now, so nothing was noted down; try again later.";
            refusal(app, Reader::Keeper, StatusCode::SERVICE_UNAVAILABLE, format, message)
        }
        Err(fault) => {
            error!(error = %fault, entry = %key, "noting down contact failed");
            let message = "This could not be noted down; the log says why.";
            refusal(app, Reader::Keeper, StatusCode::INTERNAL_SERVER_ERROR, format, message)
        }
    }
}

/// Stores the contact; false where there is nobody it could be with. Blocks on the disk.
fn note_down(app: &App, key: EntryKey, kind: ContactKind, note: String) -> Result<bool, StoreError> {
    // One after the other, so that the second of two clicks finds what the first has noted down.
    let _turn = app.noting.lock().unwrap_or_else(PoisonError::into_inner);
    let (answerable, now) = on_scene(app, |scene| Ok((app.relations.answerable(scene, key)?, scene.now)))?;
    let Some(answerable) = answerable else { return Ok(false) };
    let is_same = |contact: &Contact| contact.about == key && contact.kind == kind && contact.note == note;
    let contacts = app.store.contacts()?;
    let mut lately = contacts.iter().rev().take_while(|contact| now.since(contact.at) < REPEATED_WITHIN);
    if lately.any(is_same) {
        return Ok(true);
    }
    let title = answerable.saying.map(|saying| saying.title).unwrap_or_default();
    app.store.keep_contact(&Contact { at: now, kind, note, about: key, by: answerable.by, title })?;
    app.live.facts_changed();
    Ok(true)
}

/// Leads to the page by a path, which holds under whatever name the daemon was reached; what the address said beside it
/// (a token) is said again.
fn see(app: &App, key: EntryKey, query: &str) -> Response<Answer> {
    let config = app.config.load();
    let prefix = config.server.base_url.path().trim_end_matches('/');
    let question = if query.is_empty() { "" } else { "?" };
    let target = format!("{prefix}{ANSWERED}{key}{question}{query}");
    let mut response = text(StatusCode::SEE_OTHER, "Noted down.\n".to_owned());
    set(response.headers_mut(), header::LOCATION, &target);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_or_refused_with_what_is_possible() {
        let long = "ä".repeat(2000);
        for (fields, read) in [
            (&[("kind", "thanked")][..], Ok((ContactKind::Thanked, ""))),
            (
                &[("note", "  By mail.\r\nTwo\u{0}\u{7}\u{9b} pages.\t\n"), ("kind", "shared")],
                Ok((ContactKind::Shared, "By mail.\nTwo pages.")),
            ),
            (&[("kind", "commented"), ("note", &long)], Ok((ContactKind::Commented, &long))),
            (&[("note", "x")], Err("kind: it has to be one of thanked, commented, shared")),
            (&[("kind", "hugged")], Err("kind=hugged: kind is one of thanked, commented, shared")),
            (&[("kind", "shared"), ("colour", "red")], Err("colour: no such field; there are kind and note")),
            (&[("kind", "shared"), ("note", &format!("{long}!"))], Err("note: a note has at most 2000 characters")),
        ] {
            let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let read = read.map(|(kind, note)| (kind, note.to_owned())).map_err(str::to_owned);
            assert_eq!(done(&fields), read, "{fields:?}");
        }
    }
}
