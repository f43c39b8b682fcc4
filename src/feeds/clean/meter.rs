//! The meter before the cleaner: whether HTML, made into a tree, stays in proportion to itself.
//!
//! The HTML standard makes parsers repeat open formatting elements in each new block, so that 84 KB can become a tree of
//! 245 MB, and lets elements nest without end. Where the worst possible case is small this is known by counting; else
//! `html5ever` builds the tree without its text, in a sink that only counts and gives up early.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};

use html5ever::interface::{ElemName, ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::tendril::{StrTendril, TendrilSink};
use html5ever::{Attribute, LocalName, Namespace, ParseOpts, QualName, local_name, ns, parse_fragment};

/// Deepest tree.
const MAX_DEPTH: usize = 256;
/// How much larger than the HTML its tree may be, both in bytes as they would be written out…
const MAX_GROWTH: usize = 4;
/// …beside what any text may have.
const FREE_BYTES: usize = 64 << 10;
/// Most elements; in the cleaner's tree each takes some 300 bytes.
const MAX_ELEMENTS: usize = 60_000;
/// Below so many bytes in the worst possible case nobody needs to look.
const HARMLESS_BYTES: usize = 512 << 10;
/// Start tags that cannot nest deeper than allowed, whatever they are.
const HARMLESS_TAGS: usize = 200;
/// How much is parsed between two looks at the meter, in bytes.
const STEP_BYTES: usize = 256;

/// Whether HTML with so many start tags can be made into a tree within the limits.
pub(super) fn is_tame(html: &str, start_tags: usize) -> bool {
    // At worst half of the tags are formatting that is repeated in the other half.
    let worst = html.len().saturating_mul(start_tags) / 4;
    if start_tags <= HARMLESS_TAGS && worst <= HARMLESS_BYTES {
        return true;
    }
    let limit = html.len().saturating_mul(MAX_GROWTH).saturating_add(FREE_BYTES);
    let name = QualName::new(None, ns!(html), local_name!("div"));
    let mut parser = parse_fragment(Meter::new(limit), ParseOpts::default(), name, Vec::new(), false);
    let mut rest = html;
    while !rest.is_empty() {
        let end = rest.floor_char_boundary(STEP_BYTES).max(rest.chars().next().map_or(1, char::len_utf8));
        let (step, after) = rest.split_at(end);
        parser.process(step.into());
        if parser.tokenizer.sink.sink.exceeded.get() {
            return false;
        }
        rest = after;
    }
    parser.finish()
}

/// A node of the tree: all that is known of it is its name and its parent.
struct Node {
    name: Option<QualName>,
    parent: Option<usize>,
    children: Vec<usize>,
    bytes: usize,
}

/// A tree that is only measured.
struct Meter {
    nodes: RefCell<Vec<Node>>,
    bytes: Cell<usize>,
    limit: usize,
    exceeded: Cell<bool>,
}

/// The name of a node, kept apart from the tree that is borrowed meanwhile.
#[derive(Debug)]
struct Name(QualName);

impl ElemName for Name {
    fn ns(&self) -> &Namespace {
        &self.0.ns
    }

    fn local_name(&self) -> &LocalName {
        &self.0.local
    }
}

impl Meter {
    fn new(limit: usize) -> Self {
        let document = Node { name: None, parent: None, children: Vec::new(), bytes: 0 };
        Self { nodes: RefCell::new(vec![document]), bytes: Cell::new(0), limit, exceeded: Cell::new(false) }
    }

    fn count(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        if self.bytes.get() > self.limit {
            self.exceeded.set(true);
        }
    }

    fn add(&self, name: Option<QualName>, bytes: usize) -> usize {
        self.count(bytes);
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(Node { name, parent: None, children: Vec::new(), bytes });
        if nodes.len() > MAX_ELEMENTS {
            self.exceeded.set(true);
        }
        nodes.len() - 1
    }

    fn detach(&self, node: usize) {
        let mut nodes = self.nodes.borrow_mut();
        let parent = nodes.get_mut(node).and_then(|node| node.parent.take());
        if let Some(parent) = parent.and_then(|parent| nodes.get_mut(parent)) {
            // What is moved was mostly added last.
            if let Some(at) = parent.children.iter().rposition(|child| *child == node) {
                parent.children.remove(at);
            }
        }
    }

    fn attach(&self, parent: usize, child: NodeOrText<usize>) {
        match child {
            NodeOrText::AppendText(text) => self.count(text.len()),
            NodeOrText::AppendNode(node) => {
                self.detach(node);
                let mut nodes = self.nodes.borrow_mut();
                if let Some(node) = nodes.get_mut(node) {
                    node.parent = Some(parent);
                }
                if let Some(parent) = nodes.get_mut(parent) {
                    parent.children.push(node);
                }
                let mut depth = 0;
                let mut above = Some(node);
                while let Some(node) = above {
                    depth += 1;
                    if depth > MAX_DEPTH {
                        self.exceeded.set(true);
                        break;
                    }
                    above = nodes.get(node).and_then(|node| node.parent);
                }
            }
        }
    }
}

impl Meter {
    /// The cleaner's tree looks for the place of what does not belong into a table among all children of its parent.
    fn count_search(&self, parent: usize) {
        let children = self.nodes.borrow().get(parent).map_or(0, |parent| parent.children.len());
        self.count(children / 64);
    }
}

impl TreeSink for Meter {
    type Handle = usize;
    type Output = bool;
    type ElemName<'a> = Name;

    /// Whether the tree stayed within the limits.
    fn finish(self) -> bool {
        !self.exceeded.get()
    }

    fn parse_error(&self, _: Cow<'static, str>) {}

    fn get_document(&self) -> usize {
        0
    }

    fn elem_name<'a>(&'a self, target: &'a usize) -> Name {
        let nodes = self.nodes.borrow();
        let name = nodes.get(*target).and_then(|node| node.name.clone());
        Name(name.unwrap_or_else(|| QualName::new(None, ns!(html), local_name!(""))))
    }

    fn create_element(&self, name: QualName, attributes: Vec<Attribute>, _: ElementFlags) -> usize {
        let attributes: usize = attributes.iter().map(|one| one.name.local.len() + one.value.len() + 4).sum();
        let bytes = 2 * name.local.len() + 5 + attributes;
        self.add(Some(name), bytes)
    }

    fn create_comment(&self, _: StrTendril) -> usize {
        self.add(None, 0)
    }

    fn create_pi(&self, _: StrTendril, _: StrTendril) -> usize {
        self.add(None, 0)
    }

    fn append(&self, parent: &usize, child: NodeOrText<usize>) {
        self.attach(*parent, child);
    }

    fn append_based_on_parent_node(&self, element: &usize, previous: &usize, child: NodeOrText<usize>) {
        let parent = self.nodes.borrow().get(*element).and_then(|node| node.parent);
        self.count_search(parent.unwrap_or(*previous));
        self.attach(parent.unwrap_or(*previous), child);
    }

    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {}

    fn get_template_contents(&self, target: &usize) -> usize {
        *target
    }

    fn same_node(&self, x: &usize, y: &usize) -> bool {
        x == y
    }

    fn set_quirks_mode(&self, _: QuirksMode) {}

    fn append_before_sibling(&self, sibling: &usize, child: NodeOrText<usize>) {
        let parent = self.nodes.borrow().get(*sibling).and_then(|node| node.parent);
        self.count_search(parent.unwrap_or(0));
        self.attach(parent.unwrap_or(0), child);
    }

    fn add_attrs_if_missing(&self, _: &usize, _: Vec<Attribute>) {}

    fn remove_from_parent(&self, target: &usize) {
        self.detach(*target);
    }

    fn reparent_children(&self, node: &usize, new_parent: &usize) {
        let mut nodes = self.nodes.borrow_mut();
        let children = nodes.get_mut(*node).map(|node| std::mem::take(&mut node.children)).unwrap_or_default();
        // Moving is work, too: what is moved again and again counts again and again.
        let moved: usize = children.iter().filter_map(|child| nodes.get(*child)).map(|child| 1 + child.bytes / 8).sum();
        for child in &children {
            if let Some(child) = nodes.get_mut(*child) {
                child.parent = Some(*new_parent);
            }
        }
        if let Some(parent) = nodes.get_mut(*new_parent) {
            parent.children.extend(children);
        }
        drop(nodes);
        self.count(moved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(html: &str, tame: bool) {
        let shown: String = html.chars().take(60).collect();
        assert_eq!(is_tame(html, html.matches('<').count()), tame, "{shown}");
    }

    fn numbered(times: usize, unit: &str) -> String {
        (0..times).flat_map(|n| [unit.replace('#', &n.to_string())]).collect()
    }

    #[test]
    fn articles_pass() {
        check("<p>One <b>bold</b> <a href='x'>link</a></p>", true);
        check(&"<p>One <b>bold</b> <i title=x>word</i> <a href='x'>link</a></p><ul><li>x<li>y</ul>".repeat(5000), true);
        check(&"<p><b>x</b></p>".repeat(40_000), false);
        check(&"<table><tr><td><p>cell</td></tr></table>".repeat(2000), true);
        check(&"text without tags ".repeat(50_000), true);
    }

    #[test]
    fn explosions_do_not() {
        check(&"<div>".repeat(100_000), false);
        check(&numbered(6000, "<i title=#><p>"), false);
        check(&numbered(6000, "<b #>"), false);
    }
}
