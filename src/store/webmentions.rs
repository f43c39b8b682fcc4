//! Verified Webmentions: one for each source and target, the newest ten thousand.

use redb::{ReadOnlyTable, ReadableTable, ReadableTableMetadata, WriteTransaction};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::Fault;
use super::records::{decode, encode};
use super::said::mention_value;
use super::tables::{HealthBytes, MENTIONS, SOURCES, WEBMENTIONS, health_bytes, health_key};
use crate::model::{CleanHtml, EntryKey, Link, Mention, Person, Timestamp, Way, Webmention, WebmentionKind};

/// At most so many are kept; the oldest go first.
const MAX_WEBMENTIONS: u64 = 10_000;

/// A value of `webmentions`.
#[derive(Serialize, Deserialize)]
struct WebmentionRecord<'a> {
    source: &'a str,
    target: &'a str,
    /// In the order of `WebmentionKind::ALL`.
    kind: u8,
    name: &'a str,
    uri: Option<&'a str>,
    title: &'a str,
    /// Cleaned HTML.
    excerpt: &'a str,
    published: Option<i64>,
    verified: i64,
}

/// What finds a Webmention.
fn id(source: &str, target: &str) -> [u8; 16] {
    let digest = Sha256::new().chain_update(source).chain_update("\n").chain_update(target).finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    id
}

/// Keeps one in place of what its source said of its target before.
pub(super) fn keep(transaction: &WriteTransaction, webmention: &Webmention) -> Result<(), Fault> {
    let mut table = transaction.open_table(WEBMENTIONS)?;
    let mut sources = transaction.open_table(SOURCES)?;
    let mut mentions = transaction.open_table(MENTIONS)?;
    let id = id(&webmention.source, &webmention.target);
    let known = sources.get(&id)?.map(|key| *key.value());
    let key = known.unwrap_or_else(|| health_bytes(webmention.key));
    let kind = WebmentionKind::ALL.iter().position(|kind| *kind == webmention.kind).unwrap_or_default();
    let record = WebmentionRecord {
        source: &webmention.source,
        target: &webmention.target,
        kind: kind as u8,
        name: &webmention.author.name,
        uri: webmention.author.uri.as_deref(),
        title: &webmention.title,
        excerpt: webmention.excerpt.as_str(),
        published: webmention.published.map(Timestamp::millis),
        verified: webmention.verified.millis(),
    };
    table.insert(&key, encode(&record).as_slice())?;
    sources.insert(&id, &key)?;
    let by = author(webmention);
    mentions.insert(&key, mention_value(Mention { way: Way::Web, by }).as_slice())?;
    while table.len()? > MAX_WEBMENTIONS {
        let Some((oldest, source)) = first(&table)? else { break };
        table.remove(&oldest)?;
        sources.remove(&source)?;
        mentions.remove(&oldest)?;
    }
    Ok(())
}

/// The page about who wrote one: what the source names as the author's, where that lies on the source's own host; else the
/// source. Anybody may write another's name and address into a page.
fn author(webmention: &Webmention) -> Option<Link> {
    let source = Link::to(&webmention.source)?;
    let named = webmention.author.uri.as_deref().and_then(Link::to);
    let is_at_home = |named: &Link| named.prefixes().first() == source.prefixes().first();
    Some(named.filter(is_at_home).unwrap_or(source))
}

/// The key of the oldest one, and what finds it.
fn first(table: &redb::Table<'_, &HealthBytes, &[u8]>) -> Result<Option<(HealthBytes, [u8; 16])>, Fault> {
    let Some((key, value)) = table.first()? else { return Ok(None) };
    let record: WebmentionRecord<'_> = decode(value.value(), "Webmention")?;
    Ok(Some((*key.value(), id(record.source, record.target))))
}

/// Forgets what a source said of a target; whether there was anything.
pub(super) fn forget(transaction: &WriteTransaction, source: &str, target: &str) -> Result<bool, Fault> {
    let mut sources = transaction.open_table(SOURCES)?;
    let Some(key) = sources.remove(&id(source, target))?.map(|key| *key.value()) else { return Ok(false) };
    transaction.open_table(WEBMENTIONS)?.remove(&key)?;
    transaction.open_table(MENTIONS)?.remove(&key)?;
    Ok(true)
}

/// The key of what a source said of a target.
pub(super) fn key_of(
    sources: &ReadOnlyTable<&'static [u8; 16], &'static HealthBytes>,
    source: &str,
    target: &str,
) -> Result<Option<EntryKey>, Fault> {
    Ok(sources.get(&id(source, target))?.map(|key| health_key(key.value())))
}

/// The Webmention of a key.
pub(super) fn get(
    table: &ReadOnlyTable<&'static HealthBytes, &'static [u8]>,
    key: EntryKey,
) -> Result<Option<Webmention>, Fault> {
    let Some(value) = table.get(&health_bytes(key))? else { return Ok(None) };
    let record: WebmentionRecord<'_> = decode(value.value(), "Webmention")?;
    let kind = WebmentionKind::ALL.get(usize::from(record.kind)).copied();
    Ok(Some(Webmention {
        key,
        source: record.source.to_owned(),
        target: record.target.to_owned(),
        kind: kind.ok_or_else(|| Fault::Unreadable(format!("a Webmention has the unknown kind {}", record.kind)))?,
        author: Person { name: record.name.to_owned(), uri: record.uri.map(str::to_owned), email: None },
        title: record.title.to_owned(),
        excerpt: CleanHtml::from_cleaner(record.excerpt.to_owned()),
        published: record.published.map(Timestamp::from_millis),
        verified: Timestamp::from_millis(record.verified),
    }))
}
