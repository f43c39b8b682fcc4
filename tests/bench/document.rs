//! What the feeds say: documents of the formats and sizes that are met outside, 34 KB each on average. Every word
//! follows from the number of the feed and that of the entry, so none has to be kept.

use std::fmt::Write as _;
use std::time::Duration;

use fastrand::Rng;
use listend::model::Timestamp;

use super::farm::Farm;

/// A format.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Rss,
    Atom,
    Json,
}

/// 70 % RSS 2.0, 25 % Atom, 5 % JSON Feed.
fn format(feed: u32) -> Format {
    match feed % 20 {
        0..=13 => Format::Rss,
        14..=18 => Format::Atom,
        _ => Format::Json,
    }
}

/// The media type of a feed.
pub(crate) fn media_type(feed: u32) -> &'static str {
    match format(feed) {
        Format::Rss => "application/rss+xml; charset=utf-8",
        Format::Atom => "application/atom+xml; charset=utf-8",
        Format::Json => "application/feed+json",
    }
}

/// Entries in a feed's document at any time: 15 to 25.
pub(crate) fn entries_in(feed: u32) -> u32 {
    15 + feed.wrapping_mul(7) % 11
}

/// The page of an entry, as a path: what tells it from all others.
pub(crate) fn page(feed: u32, entry: u32) -> String {
    format!("/{feed}/posts/{entry}/")
}

/// When an entry was published: before `epoch`, some hours apart, those that were `posted` since when they were.
pub(crate) fn published(feed: u32, entry: u32, epoch: Timestamp, posted: &[Timestamp]) -> Timestamp {
    let first = entries_in(feed);
    if let Some(at) = entry.checked_sub(first).and_then(|later| posted.get(later as usize)) {
        return *at;
    }
    let pause = Duration::from_secs(6 * 3600 + u64::from(feed.wrapping_mul(7919) % (48 * 3600)));
    let jitter = Duration::from_secs(u64::from(feed.wrapping_mul(31).wrapping_add(entry.wrapping_mul(997)) % 3000));
    epoch.minus(pause * first.saturating_sub(entry)).plus(jitter)
}

/// The document of a feed, newest entry first.
pub(crate) fn document(farm: &Farm, feed: u32, epoch: Timestamp, posted: &[Timestamp]) -> String {
    let count = entries_in(feed) + posted.len() as u32;
    let newest = (count - entries_in(feed)..count).rev();
    let entries = newest.map(|entry| Said::of(farm, feed, entry, published(feed, entry, epoch, posted)));
    let entries: Vec<Said> = entries.collect();
    let home = format!("{}/{feed}/", farm.site(feed));
    match format(feed) {
        Format::Rss => rss(farm, feed, &home, &entries),
        Format::Atom => atom(farm, feed, &home, &entries),
        Format::Json => json(farm, feed, &home, &entries),
    }
}

/// An entry before it is written down in a format.
struct Said {
    title: String,
    link: String,
    at: Timestamp,
    category: &'static str,
    html: String,
}

impl Said {
    fn of(farm: &Farm, feed: u32, entry: u32, at: Timestamp) -> Self {
        let mut chance = Rng::with_seed((u64::from(feed) << 32 | u64::from(entry)).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut title = String::new();
        let words = chance.usize(3..9);
        sentence(&mut chance, &mut title, words);
        let html = html(farm, feed, entry, &mut chance);
        let link = format!("{}{}", farm.site(feed), page(feed, entry));
        Self { title, link, at, category: word(&mut chance), html }
    }
}

fn rss(farm: &Farm, feed: u32, home: &str, entries: &[Said]) -> String {
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><rss version=\"2.0\"\n\
         \txmlns:content=\"http://purl.org/rss/1.0/modules/content/\"\n\
         \txmlns:dc=\"http://purl.org/dc/elements/1.1/\"\n\
         \txmlns:atom=\"http://www.w3.org/2005/Atom\">\n<channel>\n\t<title>Voice {feed}</title>\n\
         \t<atom:link href=\"{}\" rel=\"self\" type=\"application/rss+xml\" />\n\t<link>{home}</link>\n\
         \t<description>Notes from street {}</description>\n\t<language>en-US</language>\n",
        farm.url(feed),
        feed / 50 + 1
    );
    for said in entries {
        let Said { title, link, category, .. } = said;
        let _ = write!(
            out,
            "\t<item>\n\t\t<title>{}</title>\n\t\t<link>{link}</link>\n\t\t<dc:creator><![CDATA[Voice {feed}]]>\
             </dc:creator>\n\t\t<pubDate>{}</pubDate>\n\t\t<category><![CDATA[{category}]]></category>\n\
             \t\t<guid isPermaLink=\"{}\">{link}</guid>\n",
            escaped(title),
            said.at.to_rfc822(),
            feed.is_multiple_of(3)
        );
        // One half as blogs do it: the first paragraph, then all of it. The other half has one escaped description.
        if feed.is_multiple_of(2) {
            let first = said.html.find("</p>").map_or("", |end| &said.html[..end + 4]);
            let _ = writeln!(
                out,
                "\t\t<description><![CDATA[{first}]]></description>\n\t\t<content:encoded><![CDATA[{}]]></content:encoded>",
                said.html
            );
        } else {
            let _ = writeln!(out, "\t\t<description>{}</description>", escaped(&said.html));
        }
        out.push_str("\t</item>\n");
    }
    out.push_str("</channel>\n</rss>\n");
    out
}

fn atom(farm: &Farm, feed: u32, home: &str, entries: &[Said]) -> String {
    let updated = entries.first().map_or_else(Timestamp::default, |said| said.at).to_rfc3339();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\" xml:lang=\"en\">\n\
         <title>Voice {feed}</title>\n<link href=\"{}\" rel=\"self\"/>\n<link href=\"{home}\"/>\n<id>{home}</id>\n\
         <updated>{updated}</updated>\n<author><name>Voice {feed}</name></author>\n",
        farm.url(feed)
    );
    for said in entries {
        let Said { title, link, category, .. } = said;
        let at = said.at.to_rfc3339();
        let _ = write!(
            out,
            "<entry>\n<title type=\"html\">{}</title>\n<link href=\"{link}\"/>\n<id>{link}</id>\n\
             <published>{at}</published>\n<updated>{at}</updated>\n<category term=\"{category}\"/>\n\
             <content type=\"html\">{}</content>\n</entry>\n",
            escaped(title),
            escaped(&said.html)
        );
    }
    out.push_str("</feed>\n");
    out
}

fn json(farm: &Farm, feed: u32, home: &str, entries: &[Said]) -> String {
    let items = entries.iter().map(|said| {
        serde_json::json!({
            "id": said.link,
            "url": said.link,
            "title": said.title,
            "date_published": said.at.to_rfc3339(),
            "authors": [{ "name": format!("Voice {feed}") }],
            "tags": [said.category],
            "content_html": said.html,
        })
    });
    let document = serde_json::json!({
        "version": "https://jsonfeed.org/version/1.1",
        "title": format!("Voice {feed}"),
        "home_page_url": home,
        "feed_url": farm.url(feed),
        "items": items.collect::<Vec<_>>(),
    });
    document.to_string()
}

/// The text of an entry: most are short, some are long, 1.4 KB on average.
fn html(farm: &Farm, feed: u32, entry: u32, chance: &mut Rng) -> String {
    // A feed's own size, so that documents differ as much as outside: from 10 to 60 KB.
    let size = 350.0 * 6f64.powf(f64::from(feed.wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 24));
    let size = (size * (0.5 + chance.f64())) as usize;
    let site = farm.site(feed);
    let mut out = String::with_capacity(size + 1024);
    while out.len() < size {
        match chance.u8(0..14) {
            0 => {
                let (name, height) = (chance.u32(..), chance.u32(300..900));
                let _ = writeln!(
                    out,
                    "<figure class=\"wp-block-image size-large\"><img src=\"{site}/{feed}/media/{name:x}.jpg\" \
                     width=\"1024\" height=\"{height}\" alt=\"{}\" loading=\"lazy\"></figure>",
                    word(chance)
                );
            }
            1 => {
                out.push_str("<ul class=\"wp-block-list\">\n");
                for _ in 0..chance.u8(2..5) {
                    out.push_str("<li>");
                    let words = chance.usize(3..9);
                    sentence(chance, &mut out, words);
                    out.push_str("</li>\n");
                }
                out.push_str("</ul>\n");
            }
            2 => {
                out.push_str("<blockquote><p>");
                let words = chance.usize(8..20);
                sentence(chance, &mut out, words);
                out.push_str("</p></blockquote>\n");
            }
            3 => {
                let _ = writeln!(
                    out,
                    "<pre><code>if {} &lt; {} &amp;&amp; {} {{ }}</code></pre>",
                    word(chance),
                    chance.u16(..),
                    word(chance)
                );
            }
            _ => paragraph(farm, feed, entry, chance, &mut out),
        }
    }
    out
}

/// A paragraph of one to four sentences; every second one has a link, to the world, to a neighbour or to an older post.
fn paragraph(farm: &Farm, feed: u32, entry: u32, chance: &mut Rng, out: &mut String) {
    out.push_str("<p>");
    for _ in 0..chance.u8(1..5) {
        let words = chance.usize(6..22);
        sentence(chance, out, words);
        out.push(' ');
    }
    let seen_at = match chance.u8(0..8) {
        0 => page(feed, entry.saturating_sub(chance.u32(1..9))),
        1 => {
            let neighbour = chance.u32(0..farm.feeds.max(1));
            format!("{}{}", farm.site(neighbour), page(neighbour, chance.u32(0..15)))
        }
        2 | 3 => format!(
            "https://site{}.example/{}/?utm_source=feed&amp;utm_medium=rss&amp;id={:x}",
            chance.u32(0..5000),
            word(chance),
            chance.u32(..)
        ),
        _ => String::new(),
    };
    if !seen_at.is_empty() {
        let (what, how) = (word(chance), word(chance));
        let _ =
            write!(out, "See <a href=\"{seen_at}\" target=\"_blank\">{what}</a> &mdash; it&rsquo;s <em>{how}</em>.");
    }
    out.push_str("</p>\n");
}

fn sentence(chance: &mut Rng, out: &mut String, words: usize) {
    let first = word(chance);
    let mut letters = first.chars();
    out.extend(letters.next().into_iter().flat_map(char::to_uppercase));
    out.push_str(letters.as_str());
    for _ in 1..words {
        out.push_str(if chance.u8(0..12) == 0 { ", " } else { " " });
        out.push_str(word(chance));
    }
    out.push('.');
}

/// A word; those at the beginning of the list come more often, as in prose.
fn word(chance: &mut Rng) -> &'static str {
    let place = chance.usize(0..WORDS.len()).min(chance.usize(0..WORDS.len()));
    WORDS[place]
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

#[rustfmt::skip]
const WORDS: [&str; 160] = [
    "the", "a", "and", "of", "to", "in", "it", "was", "that", "is", "for", "on", "with", "as", "we", "at", "by", "from",
    "this", "but", "they", "had", "not", "you", "her", "his", "their", "one", "all", "there", "been", "what", "so", "up",
    "out", "who", "when", "more", "if", "no", "into", "then", "its", "about", "some", "time", "only", "new", "could",
    "made", "now", "over", "after", "before", "again", "still", "because", "while", "where", "should", "through", "many",
    "people", "letter", "garden", "bench", "square", "river", "bridge", "bicycle", "radio", "workshop", "kitchen",
    "neighbour", "library", "archive", "window", "evening", "morning", "winter", "summer", "market", "station", "street",
    "printer", "press", "paper", "ink", "kiln", "clay", "loom", "thread", "wood", "chair", "lamp", "clock", "engine",
    "battery", "cable", "server", "protocol", "reader", "feed", "outline", "version", "release", "measure", "parser",
    "database", "latency", "network", "compiler", "history", "museum", "theatre", "rehearsal", "orchestra", "village",
    "harbour", "island", "mountain", "valley", "forest", "bread", "soup", "coffee", "tea", "apple", "recipe", "ferment",
    "wrote", "found", "mended", "painted", "planted", "baked", "repaired", "noticed", "measured", "carried", "invited",
    "listened", "answered", "thanked", "borrowed", "returned", "quiet", "patient", "curious", "generous", "ordinary",
    "turbulent", "remarkable", "café", "naïve", "Zürich", "Kraków", "señor", "smörgåsbord", "übrigens",
];
