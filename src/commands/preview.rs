//! `listend preview`: what would be read from a feed, a home page or a file.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use listend::config::Config;
use listend::daemon::{self, Page, seek};
use listend::feeds::clean::Cleaner;
use listend::feeds::fetch::{ACCEPT_FEED, Client, Failure};
use listend::feeds::parse::{self, NotAFeed};
use listend::model::{Document, FeedUrl, Item, Markup, Timestamp, Validators};
use serde::Serialize;
use url::Url;

use super::runtime;
use super::terminal::Shown;
use crate::{Fault, exit};

/// One line of `--json`.
#[derive(Debug, Default, Serialize)]
struct Preview {
    source: String,
    ok: bool,
    error: Option<String>,
    format: Option<String>,
    title: Option<String>,
    link: Option<String>,
    language: Option<String>,
    entries: Vec<PreviewEntry>,
}

#[derive(Debug, Serialize)]
struct PreviewEntry {
    id: Option<String>,
    title: Option<String>,
    link: Option<String>,
    summary: Option<String>,
    content: Option<String>,
    published: Option<String>,
    updated: Option<String>,
    authors: Vec<String>,
}

/// What came from a source, before it is read.
struct Fetched {
    body: Vec<u8>,
    content_type: Option<String>,
    url: Url,
}

/// Shows each source; fails where one of them cannot be read.
pub(crate) fn preview(config: &Config, sources: &[String], as_json: bool) -> Result<(), Fault> {
    let client = Client::new(daemon::fetch_settings(config))?;
    runtime()?.block_on(async {
        let mut failed = 0;
        for source in sources {
            let shown = match read(&client, source, config.fetch.per_host_gap).await {
                Ok(document) => show(source, &document),
                Err(error) => Preview { source: source.clone(), error: Some(error), ..Preview::default() },
            };
            failed += usize::from(!shown.ok);
            print(&shown, as_json)
                .map_err(|error| Fault::new(exit::FAILURE, format!("standard output cannot be written: {error}")))?;
        }
        match failed {
            0 => Ok(()),
            // In JSON each line has said it already.
            _ if as_json => Err(Fault::new(exit::FAILURE, "")),
            _ => Err(Fault::new(exit::FAILURE, format!("{failed} of {} sources cannot be read", sources.len()))),
        }
    })
}

async fn read(client: &Client, source: &str, gap: Duration) -> Result<Document, String> {
    if !Path::new(source).exists() {
        return from_address(client, source, gap).await.map(|found| found.document);
    }
    let fetched = from_file(source)?;
    match parsed(&fetched) {
        Err(NotAFeed::Html) => look_at_page(client, fetched, gap).await.map(|found| found.document),
        read => read.map_err(|fault| fault.to_string()),
    }
}

/// A feed that was found, and where.
pub(super) struct Source {
    pub(super) document: Document,
    pub(super) url: FeedUrl,
}

/// The feed at an address, or the feed of the page there; the error says in plain words why there is none.
pub(super) async fn from_address(client: &Client, source: &str, gap: Duration) -> Result<Source, String> {
    let (url, fetched) = from_web(client, source).await?;
    match parsed(&fetched) {
        Ok(document) => Ok(Source { document, url }),
        Err(NotAFeed::Html) => look_at_page(client, fetched, gap).await,
        Err(fault) => Err(fault.to_string()),
    }
}

async fn look_at_page(client: &Client, page: Fetched, gap: Duration) -> Result<Source, String> {
    let page = Page { body: page.body, content_type: page.content_type, url: page.url };
    match seek(client, page, true, gap).await {
        Some(found) => Ok(Source { document: found.document, url: found.url }),
        None => Err("a page without a feed: it names none, and there is none at the usual places".to_owned()),
    }
}

fn parsed(fetched: &Fetched) -> Result<Document, NotAFeed> {
    parse::parse(&fetched.body, fetched.content_type.as_deref(), &fetched.url)
}

fn from_file(path: &str) -> Result<Fetched, String> {
    let body = std::fs::read(path).map_err(|error| error.to_string())?;
    let absolute = std::path::absolute(path).map_err(|error| format!("cannot be named: {error}"))?;
    let url = Url::from_file_path(absolute).map_err(|()| "cannot be named by a URL".to_owned())?;
    Ok(Fetched { body, content_type: None, url })
}

async fn from_web(client: &Client, source: &str) -> Result<(FeedUrl, Fetched), String> {
    if !source.contains("://") && !source.contains('.') {
        return Err("there is no such file, and it is no address".to_owned());
    }
    let as_address = |fault: String| {
        if source.contains("://") { fault } else { format!("there is no such file; as an address: {fault}") }
    };
    let url = FeedUrl::parse(source).map_err(|fault| as_address(fault.to_string()))?;
    let answer = client
        .get(&url, &Validators::default(), ACCEPT_FEED, daemon::now())
        .await
        .map_err(|fault| as_address(explain(&fault)))?;
    if !matches!(answer.status, 200 | 203) {
        return Err(format!("answered {}", answer.status));
    }
    let base = answer.base();
    Ok((url, Fetched { body: answer.body.to_vec(), content_type: answer.content_type, url: base }))
}

/// The failure, and what can be done about one that is meant to protect.
fn explain(fault: &Failure) -> String {
    match fault {
        Failure::Blocked(_) => format!("{fault}; fetch.allow_addresses makes exceptions"),
        _ => fault.to_string(),
    }
}

fn show(source: &str, document: &Document) -> Preview {
    let texts = document.items.iter().flat_map(|item| [&item.summary, &item.content]).flatten();
    let cleaner = Cleaner::new(texts.map(|text| text.as_str().len()).sum());
    Preview {
        source: source.to_owned(),
        ok: true,
        error: None,
        format: Some(document.format.to_string()),
        title: document.about.title.clone(),
        link: document.about.home.clone(),
        language: document.about.language.clone(),
        entries: document.items.iter().map(|item| show_entry(item, &cleaner)).collect(),
    }
}

fn show_entry(item: &Item, cleaner: &Cleaner) -> PreviewEntry {
    let cleaned = |markup: &Markup| cleaner.html(markup, item.base.as_ref()).as_str().to_owned();
    PreviewEntry {
        id: item.guid.clone(),
        title: item.title.clone(),
        link: item.link.clone(),
        summary: item.summary.as_ref().map(cleaned),
        content: item.content.as_ref().map(cleaned),
        published: item.published.map(Timestamp::to_rfc3339),
        updated: item.updated.map(Timestamp::to_rfc3339),
        authors: item.authors.iter().map(|author| author.name.clone()).collect(),
    }
}

fn print(preview: &Preview, as_json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        serde_json::to_writer(&mut out, preview)?;
        return writeln!(out);
    }
    writeln!(out, "{}", preview.source)?;
    if let Some(error) = &preview.error {
        return writeln!(out, "  cannot be read: {}", Shown(error));
    }
    let words = |text: &Option<String>| Shown(text.as_deref().unwrap_or_default()).to_string();
    writeln!(out, "  {} ({}) {}", words(&preview.title), words(&preview.format), words(&preview.link))?;
    for entry in &preview.entries {
        let date = entry.published.as_ref().or(entry.updated.as_ref()).map_or("no date", String::as_str);
        writeln!(out, "  {date}  {}  {}", words(&entry.title), words(&entry.link))?;
    }
    Ok(())
}
