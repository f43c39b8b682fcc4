//! Adding an outline to a list, keeping every other byte of its file.
//!
//! [`insertion`] is pure: what to put where. [`save`] replaces a file as a whole or not at all. Knows nothing of where
//! the outline comes from.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::Path;

use super::opml::spots::{self, Element, Spots};
use super::opml::{self, Outline};
use crate::model::FeedUrl;

/// A feed on its way into a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFeed {
    /// What it is called.
    pub title: String,
    /// Its address.
    pub feed: FeedUrl,
    /// Its home page.
    pub home: Option<String>,
}

/// What becomes of a file: these bytes are replaced, mostly none, and the rest stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insertion {
    /// What is replaced. Not empty only where an empty element's tag has to be opened: `<body/>`.
    pub replaced: Range<usize>,
    /// What is put there.
    pub bytes: Vec<u8>,
}

impl Insertion {
    /// The file with the insertion made.
    pub fn apply(&self, file: &[u8]) -> Vec<u8> {
        let before = file.get(..self.replaced.start).unwrap_or(file);
        let behind = file.get(self.replaced.end..).unwrap_or_default();
        [before, &self.bytes, behind].concat()
    }
}

/// Why nothing was added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdded {
    /// It stands there already.
    #[error("line {line}: the feed is in the list already")]
    Known {
        /// Its line.
        line: usize,
    },
    /// The file is no OPML.
    #[error("{0}")]
    NotOpml(#[from] opml::NotOpml),
    /// What is wrong in the file leaves no sure place for an outline.
    #[error("its outlines are not closed properly, so nothing can be added safely; `listend check` says where")]
    Unclear,
}

/// A list with nothing in it.
pub fn empty_list(name: &str) -> String {
    let title = escaped(name);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<opml version=\"2.0\">\n  <head>\n    <title>{title}</title>\n  </head>\n  <body>\n  </body>\n</opml>\n"
    )
}

/// What to put where in the bytes of a list so that it has one more feed, at the end of a folder or of the whole list.
/// A folder that is missing is made. Indentation, line ends and encoding are those of the file.
pub fn insertion(file: &[u8], new: &NewFeed, folder: Option<&str>) -> Result<Insertion, NotAdded> {
    let old = opml::parse(file)?;
    if let Some(known) = find(&old.outlines, &new.feed) {
        return Err(NotAdded::Known { line: known.line });
    }
    let made = place(file, new, folder).ok_or(NotAdded::Unclear)?;
    // The reader has the last word: one outline with this feed more, and nothing else changed.
    let edited = opml::parse(&made.apply(file))?;
    let folders = usize::from(count(&edited.outlines) == count(&old.outlines) + 2);
    let is_right = count(&edited.outlines) == count(&old.outlines) + 1 + folders
        && folders <= usize::from(folder.is_some())
        && edited.warnings.len() == old.warnings.len()
        && find(&edited.outlines, &new.feed).is_some();
    if is_right { Ok(made) } else { Err(NotAdded::Unclear) }
}

fn place(file: &[u8], new: &NewFeed, folder: Option<&str>) -> Option<Insertion> {
    let spots = spots::spots(file)?;
    let outline = outline_of(new);
    let body = spots.elements.iter().position(|element| element.is_body);
    let (within, text) = match folder {
        None => (body, Lines(vec![(0, outline)])),
        Some(name) => {
            if let Some(found) = folder_named(&spots, name) {
                (Some(found), Lines(vec![(0, outline)]))
            } else {
                let open = format!("<outline text=\"{}\">", escaped(name.trim()));
                (body, Lines(vec![(0, open), (1, outline), (0, "</outline>".to_owned())]))
            }
        }
    };
    let layout = Layout::of(&spots, within);
    let (replaced, text) = match within.map(|within| &spots.elements[within]) {
        // `<body/>` is opened, and closed behind what is in it.
        Some(Element { start, end: None, is_body, .. }) => {
            let tag = &spots.text[start.clone()];
            let slash = start.start + tag.rfind('/')?;
            let name = if *is_body { "body" } else { "outline" };
            let name = tag.get(1..)?.split(|c: char| c.is_whitespace() || c == '/').next().unwrap_or(name);
            let space = spots.text[..slash].len() - spots.text[..slash].trim_end().len();
            (slash - space..start.end, format!(">{}{}</{name}>", text.written(&layout), layout.outer))
        }
        around => {
            let at = if let Some(behind) = layout.behind {
                behind
            } else {
                // Nothing stands there yet: in front of the end tag, whose own line stays its own.
                let end = match around {
                    Some(element) => element.end.as_ref()?.start,
                    None => spots.root_end?,
                };
                end - line_space(&spots.text[..end]).len()
            };
            (at..at, text.written(&layout))
        }
    };
    let at = |place: usize| spots::place(file, &spots.text, place);
    Some(Insertion { replaced: at(replaced.start)?..at(replaced.end)?, bytes: spots::encoded(file, &text) })
}

/// How what is inserted is laid out.
struct Layout {
    /// Behind what to insert, where there is a sibling.
    behind: Option<usize>,
    /// What stands in front of each line: a line end and the indentation, or nothing.
    line: String,
    /// The same for what is around it.
    outer: String,
    /// One level of indentation.
    unit: String,
}

impl Layout {
    fn of(spots: &Spots, within: Option<usize>) -> Self {
        let text = spots.text.as_str();
        let sibling = spots.elements.iter().rfind(|element| !element.is_body && element.parent == within);
        let newline = match text {
            text if text.contains("\r\n") => "\r\n",
            text if !text.contains('\n') && text.contains('\r') => "\r",
            _ => "\n",
        };
        let outer = match within.map(|within| &spots.elements[within]) {
            Some(around) => line_space(&text[..around.start.start]).to_owned(),
            None => newline.to_owned(),
        };
        let before_sibling = sibling.map(|sibling| line_space(&text[..sibling.start.start]).to_owned());
        let unit = match &before_sibling {
            Some(before) if before.len() > outer.len() && before.starts_with(&outer) => {
                before[outer.len()..].to_owned()
            }
            Some(before) if before.ends_with('\t') => "\t".to_owned(),
            _ if outer.ends_with('\t') => "\t".to_owned(),
            _ => "  ".to_owned(),
        };
        let outer = if outer.is_empty() && before_sibling.as_ref().is_none_or(|before| !before.is_empty()) {
            newline.to_owned()
        } else {
            outer
        };
        let line = before_sibling.unwrap_or_else(|| format!("{outer}{unit}"));
        let behind = sibling.map(|sibling| sibling.end.as_ref().map_or(sibling.start.end, |end| end.end));
        Self { behind, line, outer, unit }
    }
}

/// Lines of markup, each with its depth.
struct Lines(Vec<(usize, String)>);

impl Lines {
    fn written(&self, layout: &Layout) -> String {
        let mut text = String::new();
        for (depth, line) in &self.0 {
            text.push_str(&layout.line);
            if !layout.line.is_empty() {
                text.push_str(&layout.unit.repeat(*depth));
            }
            text.push_str(line);
        }
        text
    }
}

/// The last line end of a text and the white space behind it, where nothing else follows; else nothing.
fn line_space(text: &str) -> &str {
    let end = text.trim_end_matches([' ', '\t']).len();
    let start = match &text.as_bytes()[..end] {
        [.., b'\r', b'\n'] => end - 2,
        [.., b'\n' | b'\r'] => end - 1,
        _ => return "",
    };
    &text[start..]
}

/// The folder with this name, the outermost one first.
fn folder_named(spots: &Spots, name: &str) -> Option<usize> {
    let is_folder = |element: &Element| {
        let called = element.attribute("text").or_else(|| element.attribute("title"));
        let is_other = ["xmlUrl", "url", "htmlUrl"].iter().any(|kind| element.attribute(kind).is_some());
        let has_children = element.end.is_some();
        called == Some(name.trim()) && element.attribute("xmlUrl").is_none() && (has_children || !is_other)
    };
    let depth = |element: &Element| {
        let above = |index: &usize| spots.elements.get(*index).and_then(|element| element.parent);
        std::iter::successors(element.parent, above).count()
    };
    let named = spots.elements.iter().enumerate().filter(|(_, element)| !element.is_body && is_folder(element));
    named.min_by_key(|(_, element)| depth(element)).map(|(index, _)| index)
}

fn outline_of(new: &NewFeed) -> String {
    let title = escaped(&new.title);
    let mut outline = format!("<outline type=\"rss\" text=\"{title}\" title=\"{title}\"");
    let _ = write!(outline, " xmlUrl=\"{}\"", escaped(new.feed.as_str()));
    if let Some(home) = &new.home {
        let _ = write!(outline, " htmlUrl=\"{}\"", escaped(home));
    }
    outline + "/>"
}

/// A text on one line, fit for an attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let clean = text.replace(|c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'), " ");
    for (index, word) in clean.split_whitespace().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        for c in word.chars() {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                c => out.push(c),
            }
        }
    }
    out
}

/// All outlines, in document order. Their depth is bounded by the reader.
fn all(outlines: &[Outline]) -> impl Iterator<Item = &Outline> {
    let mut waiting: Vec<&Outline> = outlines.iter().rev().collect();
    std::iter::from_fn(move || {
        let next = waiting.pop()?;
        waiting.extend(next.children.iter().rev());
        Some(next)
    })
}

fn count(outlines: &[Outline]) -> usize {
    all(outlines).count()
}

fn find<'a>(outlines: &'a [Outline], feed: &FeedUrl) -> Option<&'a Outline> {
    all(outlines)
        .find(|outline| outline.attribute("xmlUrl").and_then(|url| FeedUrl::parse(url).ok()).as_ref() == Some(feed))
}

/// Replaces a file as a whole: whoever reads it meets the old one or the new one. A symbolic link stays, and what it
/// leads to is replaced; the file's mode stays. Fails where the file is not (any more) what `old` says; `None` is a file
/// that is missing.
pub fn save(path: &Path, old: Option<&[u8]>, new: &[u8]) -> io::Result<()> {
    let target = if path.is_symlink() { fs::canonicalize(path)? } else { path.to_owned() };
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let temporary = directory.join(format!(".{name}.{}.new", std::process::id()));
    let write = || {
        let mut file = File::options().write(true).create_new(true).open(&temporary)?;
        file.write_all(new)?;
        if old.is_some() {
            file.set_permissions(fs::metadata(&target)?.permissions())?;
        }
        file.sync_all()?;
        let present = match fs::read(&target) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if present.as_deref() != old {
            return Err(io::Error::other("it was changed meanwhile; nothing was added"));
        }
        fs::rename(&temporary, &target)?;
        File::open(directory)?.sync_all()
    };
    write().inspect_err(|_| {
        // The rename may have been made already.
        let _ = fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests;
