//! OPML: tolerant reading of an outline tree, keeping every attribute for re-export.
//!
//! Reads OPML 1.0, 1.1 and 2.0 as people and programs really write them. A broken outline is a warning and never takes
//! its siblings along; only a file that is empty, cut short, or something else altogether is refused. Knows nothing of
//! what the outlines mean: that is the roster's business.

mod attributes;
mod charset;
mod markup;
pub(super) mod spots;

use std::borrow::Cow;
use std::collections::HashSet;

pub use attributes::Attributes;
use markup::{Scanner, Tag, Token, shown};

/// The most outlines that are read from one file.
pub const MAX_OUTLINES: usize = 100_000;
/// The most levels of outlines; deeper ones are read as if they stood on the last level.
pub const MAX_DEPTH: usize = 256;
/// The most warnings that one file gives; the last of them says that there are more.
pub const MAX_WARNINGS: usize = 1000;

/// A list as read from a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opml {
    /// Its title, where its head has one.
    pub title: Option<String>,
    /// Its outlines, wherever in the document they stand, in document order. At most [`MAX_OUTLINES`] in all, at most
    /// [`MAX_DEPTH`] levels.
    pub outlines: Vec<Outline>,
    /// What is wrong with it, in the order of its lines. At most [`MAX_WARNINGS`].
    pub warnings: Vec<Warning>,
}

/// One outline, with everything that it says, in the order in which it says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// All attributes, names as written, values with entities resolved. Names are well-formed and differ from each
    /// other, prefixes are declared, values hold only what XML can say: written with escaping, they make valid XML.
    pub attributes: Attributes,
    /// The outlines below it.
    pub children: Vec<Outline>,
    /// The line of the file that it starts on, from 1.
    pub line: usize,
}

impl Outline {
    /// The value of an attribute without surrounding space, its name in any letter case; `None` where it is missing or
    /// blank.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let mut named = self.attributes.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.find_map(|(_, value)| Some(value.trim()).filter(|value| !value.is_empty()))
    }
}

/// Something in a list that could not be taken as it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// The line of the file, from 1.
    pub line: usize,
    /// What is wrong, for the person who keeps the list. Holds no address and so no credentials.
    pub reason: String,
}

/// A file that cannot be read as OPML at all, or only in part because it was cut short: it says nothing about who is in
/// the list, so the list's last good content stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct NotOpml {
    /// The line of the file, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

/// Reads a list. Takes time linear in the number of bytes.
pub fn parse(bytes: &[u8]) -> Result<Opml, NotOpml> {
    let (text, charset_fault) = charset::to_text(bytes);
    let mut reading = Reading { lines: Lines::new(&text), ..Reading::default() };
    if let Some(reason) = charset_fault {
        reading.warn(1, reason);
    }
    let mut scanner = Scanner::new(&text);
    loop {
        let at = scanner.position();
        match scanner.next() {
            Some(Token::Start(tag)) => reading.start(tag, at),
            Some(Token::End(name)) => reading.end(name, at),
            Some(Token::Text(text)) => reading.characters(|| scanner.resolve(text)),
            Some(Token::Verbatim(text)) => reading.characters(|| text.to_owned()),
            Some(Token::Cut(within)) => return reading.finish(at, Some(within)),
            None => return reading.finish(at, None),
        }
    }
}

/// What was read so far.
#[derive(Default)]
struct Reading<'a> {
    opml: Opml,
    lines: Lines<'a>,
    /// Whether the root was seen, and how many `opml` elements are open.
    seen_root: bool,
    open_roots: usize,
    /// The first element where it is not the root, with its line.
    stranger: Option<(String, usize)>,
    /// Prefixes declared on the root, with their namespaces.
    namespaces: Vec<(String, String)>,
    /// Outlines that are open, outermost first.
    open: Vec<Outline>,
    /// Open outlines that are not on that stack, being too deep or too many.
    open_elsewhere: usize,
    outlines: usize,
    flattened: bool,
    /// The characters of the title, while we are in it.
    title: Option<String>,
}

impl<'a> Reading<'a> {
    fn start(&mut self, tag: Tag<'a>, at: usize) {
        if tag.name.eq_ignore_ascii_case("opml") {
            if let (false, Some((name, line))) = (self.seen_root, self.stranger.take()) {
                self.warn(line, format!("`{}` stands in front of the OPML", shown(&name)));
            }
            self.seen_root = true;
            self.open_roots += usize::from(!tag.empty);
            if self.namespaces.is_empty() {
                let declared = |(name, value): (&str, Cow<'_, str>)| {
                    Some((name.strip_prefix("xmlns:")?.to_owned(), value.into_owned()))
                };
                self.namespaces = tag.attributes.into_iter().filter_map(declared).collect();
            }
        } else if !self.seen_root {
            let line = self.lines.at(at);
            self.stranger.get_or_insert_with(|| (tag.name.to_owned(), line));
        } else if tag.name.eq_ignore_ascii_case("outline") {
            self.outline(tag, at);
        } else if tag.name.eq_ignore_ascii_case("title")
            && self.opml.title.is_none()
            && self.outlines == 0
            && !tag.empty
        {
            self.title = Some(String::new());
        }
    }

    fn outline(&mut self, tag: Tag<'a>, at: usize) {
        let line = self.lines.at(at);
        if self.outlines == MAX_OUTLINES {
            self.outlines += 1;
            self.warn(line, format!("more than {MAX_OUTLINES} outlines; these and those below are not read"));
        }
        if self.outlines > MAX_OUTLINES {
            self.open_elsewhere += usize::from(!tag.empty);
            return;
        }
        self.outlines += 1;
        let Tag { attributes, empty, broken_off, fault, .. } = tag;
        if let Some(fault) = fault {
            self.warn(line, format!("broken outline: {fault}"));
        }
        let outline = Outline { attributes: self.attributes(attributes), children: Vec::new(), line };
        // A feed whose tag was broken off is one that lost its `/>`; anything else may well be a folder.
        let leaf = empty || (broken_off && outline.attribute("xmlUrl").is_some());
        if !leaf && self.open.len() + 1 < MAX_DEPTH && self.open_elsewhere == 0 {
            self.open.push(outline);
            return;
        }
        if self.open_elsewhere > 0 || !leaf {
            if !self.flattened {
                self.flattened = true;
                self.warn(line, format!("more than {MAX_DEPTH} levels of outlines; deeper ones are read as one level"));
            }
            self.open_elsewhere += usize::from(!leaf);
        }
        self.attach(outline);
    }

    fn attributes(&self, attributes: Vec<(&str, Cow<'_, str>)>) -> Attributes {
        if attributes.iter().all(|(name, _)| !name.contains(':')) {
            return attributes.into_iter().collect();
        }
        let mut attributes: Vec<_> =
            attributes.into_iter().map(|(name, value)| (name.to_owned(), value.into_owned())).collect();
        self.declare_prefixes(&mut attributes);
        attributes.into_iter().collect()
    }

    /// Makes prefixed attributes fit to be written outside of their document: the prefix's declaration is taken from
    /// the root; a prefix that nobody declared becomes part of the name.
    fn declare_prefixes(&self, attributes: &mut Vec<(String, String)>) {
        let mut missing: Vec<(String, String)> = Vec::new();
        for index in 0..attributes.len() {
            let Some((prefix, local)) = attributes[index].0.split_once(':') else { continue };
            let declaration = format!("xmlns:{prefix}");
            let known = matches!(prefix, "xml" | "xmlns")
                || attributes.iter().chain(&missing).any(|(name, _)| *name == declaration);
            if known {
                continue;
            }
            match self.namespaces.iter().find(|(name, _)| name == prefix) {
                Some((_, namespace)) => missing.push((declaration, namespace.clone())),
                None => attributes[index].0 = format!("{prefix}_{local}"),
            }
        }
        attributes.extend(missing);
        let mut seen = HashSet::new();
        attributes.retain(|(name, _)| seen.insert(name.clone()));
    }

    fn end(&mut self, name: &str, at: usize) {
        if name.eq_ignore_ascii_case("outline") && self.seen_root {
            if self.open_elsewhere > 0 {
                self.open_elsewhere -= 1;
            } else if let Some(outline) = self.open.pop() {
                self.attach(outline);
            } else {
                let line = self.lines.at(at);
                self.warn(line, "this `</outline>` closes nothing".to_owned());
            }
        } else if ["opml", "body", "head"].iter().any(|known| name.eq_ignore_ascii_case(known)) {
            self.close_forgotten();
            if name.eq_ignore_ascii_case("opml") {
                self.open_roots = self.open_roots.saturating_sub(1);
            }
        } else if name.eq_ignore_ascii_case("title") {
            let title = self.title.take().map(|title| title.split_whitespace().collect::<Vec<_>>().join(" "));
            self.opml.title = self.opml.title.take().or(title.filter(|title| !title.is_empty()));
        }
    }

    /// Closes outlines that nothing closed. Which of their end tags is missing cannot be told; mostly a feed lost the
    /// slash of its `/>` and swallowed what follows, so what stands below feeds there is moved beside them.
    fn close_forgotten(&mut self) {
        self.open_elsewhere = 0;
        let forgotten: Vec<usize> = self.open.iter().map(|outline| outline.line).collect();
        for line in forgotten {
            self.warn(line, "this outline, or one in it, is never closed".to_owned());
        }
        while let Some(outline) = self.open.pop() {
            if self.open.is_empty() {
                self.opml.outlines.extend(beside_feeds(vec![outline]));
            } else {
                self.attach(outline);
            }
        }
    }

    fn attach(&mut self, outline: Outline) {
        self.open.last_mut().map_or(&mut self.opml.outlines, |parent| &mut parent.children).push(outline);
    }

    fn characters(&mut self, characters: impl FnOnce() -> String) {
        if let Some(title) = &mut self.title {
            title.push_str(&characters());
        }
    }

    fn warn(&mut self, line: usize, reason: String) {
        let count = self.opml.warnings.len() + 1;
        if count < MAX_WARNINGS {
            self.opml.warnings.push(Warning { line, reason });
        } else if count == MAX_WARNINGS {
            self.opml.warnings.push(Warning { line, reason: "there is more wrong than is shown here".to_owned() });
        }
    }

    fn finish(mut self, at: usize, cut_within: Option<&str>) -> Result<Opml, NotOpml> {
        let line = self.lines.at(at);
        let refuse = |line, reason: String| Err(NotOpml { line, reason });
        if self.open_roots > 0 {
            return match cut_within {
                Some(within) => refuse(line, format!("the file is cut short: {within} that starts here never ends")),
                None => refuse(line, "the file is cut short: `</opml>` is missing".to_owned()),
            };
        }
        if !self.seen_root {
            return match self.stranger {
                Some((name, line)) => refuse(line, format!("this is no OPML: its root is `{}`", shown(&name))),
                None if self.lines.text.trim().is_empty() => refuse(1, "the file is empty".to_owned()),
                None => refuse(1, "this is no OPML: there is no element in it".to_owned()),
            };
        }
        self.close_forgotten();
        // Outlines that are never closed are only found out at the end.
        self.opml.warnings.sort_by_key(|warning| warning.line);
        Ok(self.opml)
    }
}

/// The same outlines with those below feeds moved up beside them. At most [`MAX_DEPTH`] deep, like its input.
fn beside_feeds(outlines: Vec<Outline>) -> Vec<Outline> {
    let mut flat = Vec::with_capacity(outlines.len());
    for mut outline in outlines {
        let below = beside_feeds(std::mem::take(&mut outline.children));
        if outline.attribute("xmlUrl").is_some() {
            flat.push(outline);
            flat.extend(below);
        } else {
            outline.children = below;
            flat.push(outline);
        }
    }
    flat
}

/// Tells lines from positions that only grow.
#[derive(Default)]
struct Lines<'a> {
    text: &'a str,
    ending: char,
    position: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        // Old Macs ended lines with a carriage return alone.
        let ending = if text.contains('\n') { '\n' } else { '\r' };
        Self { text, ending, position: 0, line: 1 }
    }

    fn at(&mut self, position: usize) -> usize {
        let passed = self.text.get(self.position..position).unwrap_or_default();
        self.line += passed.matches(self.ending).count();
        self.position = self.position.max(position);
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lays a tree out as `text(children)`, feeds as `text=address`.
    fn sketch(outlines: &[Outline]) -> String {
        let one = |outline: &Outline| {
            let mut sketch = outline.attribute("text").unwrap_or("?").to_owned();
            if let Some(url) = outline.attribute("xmlurl") {
                sketch.push_str(&["=", url].concat());
            }
            if !outline.children.is_empty() {
                sketch.push_str(&["(", &self::sketch(&outline.children), ")"].concat());
            }
            sketch
        };
        outlines.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// Reads a body and compares the tree and the lines that have warnings.
    fn check(body: &str, expected: &str, warned: &[usize]) {
        let opml = parse(format!("<opml version='2.0'><body>{body}</body></opml>").as_bytes()).expect(body);
        assert_eq!(sketch(&opml.outlines), expected, "{body}");
        let lines: Vec<usize> = opml.warnings.iter().map(|warning| warning.line).collect();
        assert_eq!(lines, warned, "{body}: {:?}", opml.warnings);
    }

    #[test]
    fn outlines_are_read_as_a_tree() {
        check("", "", &[]);
        check("<outline text='a'/><outline text='b'></outline>", "a b", &[]);
        check("<outline text='F'><outline text='a' xmlUrl='u'/></outline><outline text='b'/>", "F(a=u) b", &[]);
        check("<OUTLINE TEXT='a' XMLURL='u'/><o:outline Text='b' xmlurl=' v '/>", "a=u b=v", &[]);
        check("<outline text='a' xmlUrl='' xmlURL='u'/>", "a=u", &[]);
    }

    #[test]
    fn broken_outlines_leave_their_siblings_alone() {
        check("<outline text='a'/>\n<outline text='b\n<outline text='c' xmlUrl='u'/>", "a b(c=u)", &[2, 2]);
        check("<outline text='a' xmlUrl='u\n<outline text='b'/>", "a=u b", &[1]);
        check(
            "<outline text='F'>\n<outline text='a' xmlUrl='u'>\n<outline text='b' xmlUrl='v'/>\n</outline>",
            "F(a=u b=v)",
            &[1],
        );
        check("<outline text='a'/>\n</outline>\n<outline text='b'/>", "a b", &[2]);
        check("<outline text='a' xmlUrl=u>\n<outline text='b' xmlUrl='v'>\n", "a=u b=v", &[1, 1, 2]);
        check("text & more < text <outline text='a & b'/> <x><outline text='c'/></y>", "a & b c", &[]);
    }

    #[test]
    fn outlines_are_seen_wherever_they_stand() {
        let text = "<opml><head><title> A\n <![CDATA[<b>]]> &amp;\tC</title><outline text='a'/></head><outline text='b'/>\
                    <body><outline text='c'/></body><title>no</title><outline text='d'/></opml><outline text='e'/>";
        let opml = parse(text.as_bytes()).expect("it is OPML");
        assert_eq!(sketch(&opml.outlines), "a b c d e");
        assert_eq!(opml.title.as_deref(), Some("A <b> & C"));
        assert_eq!(opml.warnings, []);
    }

    #[test]
    fn unknown_attributes_are_kept_and_can_be_written_again() {
        let text =
            "<opml xmlns:a='urn:a'><outline a:x='1' b:y='2' xml:lang='en' z='3' xmlns:c='urn:c' c:c='4'/></opml>";
        let opml = parse(text.as_bytes()).expect("it is OPML");
        let attributes: Vec<String> =
            opml.outlines[0].attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(attributes, ["a:x=1", "b_y=2", "xml:lang=en", "z=3", "xmlns:c=urn:c", "c:c=4", "xmlns:a=urn:a"]);
    }

    #[test]
    fn files_that_say_nothing_are_refused_with_a_reason() {
        let check = |text: &str, line: usize, reason: &str| {
            let fault = parse(text.as_bytes()).expect_err(text);
            assert_eq!(fault.line, line, "{text}");
            assert!(fault.reason.contains(reason), "{text}: {}", fault.reason);
        };
        check("", 1, "empty");
        check(" \n\n", 1, "empty");
        check("\0\0\0\0", 1, "no element");
        check("just text\n", 1, "no element");
        check("<?xml version='1.0'?>\n<rss><channel/></rss>", 2, "`rss`");
        check("<!doctype html>\n<html><body><p>no</p></body></html>", 2, "`html`");
        check("<opml>", 1, "cut short");
        check("<opml>\n<body>\n<outline text='a'/>\n", 4, "cut short");
        check("<opml>\n<body>\n<outline text='a", 3, "a tag");
        check("<opml>\n<!-- </opml>", 2, "a comment");
        check("<opml><body></body></opml", 1, "cut short");
        let whole =
            "<opml version='2.0'><body><outline text='a'><outline text='b' xmlUrl='u'/></outline></body></opml>";
        for end in 0..whole.len() {
            assert!(parse(&whole.as_bytes()[..end]).is_err(), "{}", &whole[..end]);
        }
        assert!(parse(whole.as_bytes()).is_ok());
    }

    #[test]
    fn junk_in_front_is_passed_over() {
        let opml = parse(b"<b>Warning</b>: deprecated\n<?xml version='1.0'?><opml><outline text='a'/></opml>");
        let opml = opml.expect("it is OPML");
        assert_eq!((sketch(&opml.outlines).as_str(), opml.warnings.len()), ("a", 1));
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let deep = format!("<opml>{}{}</opml>", "<outline text='d'>\n".repeat(100_000), "</outline>".repeat(100_000));
        let opml = parse(deep.as_bytes()).expect("it is OPML");
        let (mut depth, mut level) = (0, &opml.outlines);
        while let Some(first) = level.first() {
            (depth, level) = (depth + 1, &first.children);
        }
        assert_eq!(depth, MAX_DEPTH);
        assert_eq!(opml.warnings.len(), 1);
        assert_eq!(opml.warnings[0].line, MAX_DEPTH);

        let many = format!("<opml>{}</opml>", "<outline text='m'></outline>\n".repeat(MAX_OUTLINES + 5));
        let opml = parse(many.as_bytes()).expect("it is OPML");
        assert_eq!(opml.outlines.len(), MAX_OUTLINES);
        assert_eq!(opml.warnings.iter().map(|warning| warning.line).collect::<Vec<_>>(), [MAX_OUTLINES + 1]);

        let wrong = format!("<opml>{}</opml>", "<outline text=m/>\n".repeat(5000));
        assert_eq!(parse(wrong.as_bytes()).expect("it is OPML").warnings.len(), MAX_WARNINGS);
    }

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        for ending in ["\n", "\r\n", "\r"] {
            let text = ["<opml>", "<outline text='a'/>", "<outline", "text='b'/></opml>"].join(ending);
            let opml = parse(text.as_bytes()).expect("it is OPML");
            assert_eq!(opml.outlines.iter().map(|outline| outline.line).collect::<Vec<_>>(), [2, 3], "{ending:?}");
        }
    }
}
