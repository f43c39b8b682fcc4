//! Small tables of a roster: texts found by their hash, and lists of lists in two pieces of memory.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Where texts stand, by their hashes: numbers are sorted many times faster than the texts themselves, and take less room
/// than a second copy of those.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index(Vec<(u64, u32)>);

impl Index {
    /// Of texts, each with its number: its place among them.
    pub(super) fn of<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut hashes: Vec<(u64, u32)> = texts.zip(0..).map(|(text, number)| (hash(text), number)).collect();
        hashes.sort_unstable();
        Self(hashes)
    }

    /// The smallest number of a text; `text_of` says which text has a number.
    pub(super) fn find<'a>(&self, text: &str, text_of: impl Fn(usize) -> &'a str) -> Option<usize> {
        let wanted = hash(text);
        let start = self.0.partition_point(|(hash, _)| *hash < wanted);
        let same = self.0[start..].iter().take_while(|(hash, _)| *hash == wanted);
        same.map(|(_, number)| *number as usize).find(|number| text_of(*number) == text)
    }
}

/// The same for the same text in every roster.
fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Lists that were made one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grouped<T> {
    items: Vec<T>,
    /// Where each list ends.
    ends: Vec<u32>,
}

impl<T> Default for Grouped<T> {
    fn default() -> Self {
        Self { items: Vec::new(), ends: Vec::new() }
    }
}

impl<T> Grouped<T> {
    /// Without lists, with room for so many.
    pub(super) fn with_capacity(lists: usize, items: usize) -> Self {
        Self { items: Vec::with_capacity(items), ends: Vec::with_capacity(lists) }
    }

    /// Adds a list; to the last one more can be added with [`Grouped::push`].
    pub(super) fn begin(&mut self) {
        self.ends.push(self.items.len() as u32);
    }

    /// Adds an item to the last list.
    pub(super) fn push(&mut self, item: T) {
        self.items.push(item);
        if let Some(end) = self.ends.last_mut() {
            *end = self.items.len() as u32;
        }
    }

    /// Adds a list, each of its items once, where equal ones follow each other.
    pub(super) fn add(&mut self, items: impl IntoIterator<Item = T>)
    where
        T: PartialEq,
    {
        self.begin();
        let start = self.items.len();
        for item in items {
            if self.items[start..].last() != Some(&item) {
                self.push(item);
            }
        }
    }

    /// How many lists there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The list of a number; an empty one where there is none.
    pub(super) fn get(&self, list: usize) -> &[T] {
        let start = list.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        let end = self.ends.get(list).map_or(start, |end| *end as usize);
        self.items.get(start..end).unwrap_or_default()
    }

    /// All lists.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &[T]> {
        (0..self.len()).map(|list| self.get(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_by_their_smallest_number() {
        let texts = ["b", "a", "c", "a"];
        let index = Index::of(texts.into_iter());
        for (text, number) in [("a", Some(1)), ("b", Some(0)), ("c", Some(2)), ("d", None)] {
            assert_eq!(index.find(text, |number| texts[number]), number, "{text}");
        }
    }

    #[test]
    fn lists_come_out_as_they_went_in() {
        let mut lists = Grouped::default();
        lists.add([1, 1, 2]);
        lists.add([]);
        lists.begin();
        lists.push(2);
        lists.push(2);
        assert_eq!(lists.iter().collect::<Vec<_>>(), [&[1, 2][..], &[], &[2, 2]]);
        assert!(lists.get(3).is_empty());
    }
}
