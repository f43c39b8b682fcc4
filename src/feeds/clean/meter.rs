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
const FREE_BYTES: usize = 2 << 10;
/// Most elements; in the cleaner's tree each takes some 300 bytes.
const MAX_ELEMENTS: usize = 60_000;
/// Below so much work in the worst possible case nobody needs to look.
const HARMLESS_WORK: usize = 1 << 20;
/// Longest text that may be harmless: the cleaner remembers each fault of a longer one.
const HARMLESS_BYTES: usize = 256 << 10;
/// Tags that cannot nest deeper than allowed, whatever they are.
const HARMLESS_TAGS: usize = 200;
/// How much is parsed between two looks at the meter, in bytes.
const STEP_BYTES: usize = 256;

/// Work that an element makes beside its bytes. All work is counted in the bytes of text that would make as much.
const ELEMENT_WORK: usize = 64;
/// How many siblings are looked at for the work of a byte.
const SIBLINGS_OF_A_BYTE: usize = 8;
/// Work that a formatting element makes with each that is open: parsers compare them, attribute by attribute.
const COMPARING_WORK: usize = 6;
/// What a fault takes in the cleaner's list of them, in bytes, less what is forgiven to people.
const FAULT_BYTES: usize = 8;

/// What all texts of one document may still cost together, in bytes of text that would make as much work.
#[derive(Debug)]
pub(super) struct Budget {
    /// For texts that were measured or cleaned.
    work: Cell<usize>,
    /// For the worst possible cases of texts that nobody looked at.
    unseen: Cell<usize>,
}

impl Budget {
    pub(super) fn new(work: usize, unseen: usize) -> Self {
        Self { work: Cell::new(work), unseen: Cell::new(unseen) }
    }

    /// Whether nothing is left.
    pub(super) fn is_spent(&self) -> bool {
        self.work.get() == 0
    }

    /// Takes work off; whether there was enough.
    pub(super) fn spend(&self, work: usize) -> bool {
        take(&self.work, work)
    }
}

fn take(left: &Cell<usize>, wanted: usize) -> bool {
    let rest = left.get().checked_sub(wanted);
    left.set(rest.unwrap_or(0));
    rest.is_some()
}

/// How large HTML of so many bytes may become.
pub(super) fn most_bytes(html_bytes: usize) -> usize {
    html_bytes.saturating_mul(MAX_GROWTH).saturating_add(FREE_BYTES)
}

/// The work of HTML of so many bytes and tags that repeats nothing.
pub(super) fn work(html_bytes: usize, tags: usize) -> usize {
    html_bytes + ELEMENT_WORK * tags
}

/// Whether HTML with so many tags that may open an element can be made into a tree within the limits and the budget.
pub(super) fn is_tame(html: &str, tags: usize, budget: &Budget) -> bool {
    // At worst half of the tags are formatting that is repeated in the other half.
    let worst = html.len().saturating_add(ELEMENT_WORK.saturating_mul(tags)).saturating_mul(tags) / 4;
    let harmless = tags <= HARMLESS_TAGS && worst <= HARMLESS_WORK && html.len() <= HARMLESS_BYTES;
    if harmless && budget.unseen.get() >= worst {
        take(&budget.unseen, worst);
        return budget.spend(work(html.len(), tags));
    }
    let name = QualName::new(None, ns!(html), local_name!("div"));
    let meter = Meter::new(most_bytes(html.len()), budget);
    let mut parser = parse_fragment(meter, ParseOpts::default(), name, Vec::new(), false);
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
struct Meter<'a> {
    nodes: RefCell<Vec<Node>>,
    bytes: Cell<usize>,
    /// Formatting elements that are open.
    formatting: Cell<usize>,
    limit: usize,
    budget: &'a Budget,
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

/// Whether an element is one that parsers open again in each new block (HTML, section 13.2.4.2).
fn is_formatting(name: &QualName) -> bool {
    matches!(
        &*name.local,
        "a" | "b" | "big" | "code" | "em" | "font" | "i" | "nobr" | "s" | "small" | "strike" | "strong" | "tt" | "u"
    )
}

impl<'a> Meter<'a> {
    fn new(limit: usize, budget: &'a Budget) -> Self {
        let document = Node { name: None, parent: None, children: Vec::new(), bytes: 0 };
        Self {
            nodes: RefCell::new(vec![document]),
            bytes: Cell::new(0),
            formatting: Cell::new(0),
            limit,
            budget,
            exceeded: Cell::new(false),
        }
    }

    /// Counts what costs time and no memory.
    fn work(&self, work: usize) {
        if !self.budget.spend(work) {
            self.exceeded.set(true);
        }
    }

    fn count(&self, bytes: usize) {
        self.work(bytes);
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        if self.bytes.get() > self.limit {
            self.exceeded.set(true);
        }
    }

    fn add(&self, name: Option<QualName>, bytes: usize) -> usize {
        self.count(bytes);
        self.work(ELEMENT_WORK);
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(Node { name, parent: None, children: Vec::new(), bytes });
        if nodes.len() > MAX_ELEMENTS {
            self.exceeded.set(true);
        }
        nodes.len() - 1
    }

    /// Looks for a node among its siblings, as the cleaner's tree does: from the first on. Returns the parent.
    fn find_among_siblings(&self, node: usize) -> Option<usize> {
        let nodes = self.nodes.borrow();
        let parent = nodes.get(node)?.parent?;
        let siblings = nodes.get(parent)?.children.len();
        drop(nodes);
        self.work(siblings / SIBLINGS_OF_A_BYTE);
        Some(parent)
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

impl TreeSink for Meter<'_> {
    type Handle = usize;
    type Output = bool;
    type ElemName<'n>
        = Name
    where
        Self: 'n;

    /// Whether the tree stayed within the limits.
    fn finish(self) -> bool {
        !self.exceeded.get()
    }

    fn parse_error(&self, _: Cow<'static, str>) {
        self.count(FAULT_BYTES);
    }

    fn get_document(&self) -> usize {
        0
    }

    fn elem_name<'n>(&'n self, target: &'n usize) -> Name {
        // Each tag may ask for the names of all open elements.
        self.work(1);
        let nodes = self.nodes.borrow();
        let name = nodes.get(*target).and_then(|node| node.name.clone());
        Name(name.unwrap_or_else(|| QualName::new(None, ns!(html), local_name!(""))))
    }

    fn create_element(&self, name: QualName, attributes: Vec<Attribute>, _: ElementFlags) -> usize {
        let attributes: usize = attributes.iter().map(|one| one.name.local.len() + one.value.len() + 4).sum();
        let bytes = 2 * name.local.len() + 5 + attributes;
        if is_formatting(&name) {
            self.work(COMPARING_WORK * self.formatting.get());
            self.formatting.set(self.formatting.get() + 1);
        }
        self.add(Some(name), bytes)
    }

    fn pop(&self, node: &usize) {
        if self.nodes.borrow().get(*node).and_then(|node| node.name.as_ref()).is_some_and(is_formatting) {
            self.formatting.set(self.formatting.get().saturating_sub(1));
        }
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
        let parent = self.find_among_siblings(*element);
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
        let parent = self.find_among_siblings(*sibling);
        self.attach(parent.unwrap_or(0), child);
    }

    fn add_attrs_if_missing(&self, _: &usize, _: Vec<Attribute>) {}

    fn remove_from_parent(&self, target: &usize) {
        self.find_among_siblings(*target);
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
        let budget = Budget::new(usize::MAX, usize::MAX);
        assert_eq!(is_tame(html, html.matches('<').count(), &budget), tame, "{shown}");
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

    #[test]
    fn what_the_budget_does_not_hold_is_looked_at_or_refused() {
        let small: String = numbered(60, "<i title=#><p>x");
        let none_unseen = Budget::new(1 << 20, 0);
        assert!(is_tame(&small, 120, &Budget::new(1 << 20, 1 << 20)));
        assert!(!is_tame(&small, 120, &none_unseen), "growth beyond the limit shows once somebody looks");
        // What a table cannot hold is put before it, and its place is looked for anew each time.
        // Each formatting element is compared with all that are open.
        let open = numbered(140, "<b #>");
        assert!(is_tame(&open, 140, &Budget::new(96 << 10, 0)));
        assert!(!is_tame(&open, 140, &Budget::new(48 << 10, 0)));
        let pushed_out = format!("<table>{}", "<br>".repeat(20_000));
        assert!(!is_tame(&pushed_out, 20_001, &Budget::new(8 << 20, 0)));
        assert!(is_tame(&"<br>".repeat(20_000), 20_000, &Budget::new(8 << 20, 0)));
    }
}
