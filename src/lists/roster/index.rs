//! Small tables of a roster: texts found by their hash, and lists of lists in two pieces of memory.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Where texts stand, by their hashes: a look at a bucket of one or two instead of a search, in less room than a second
/// copy of the texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    /// Where in `numbers` each bucket begins, and at last where the last one ends. The upper bits of a hash are its bucket.
    starts: Vec<u32>,
    /// The lower half of each text's hash, and its number; bucket by bucket, ascending in each.
    numbers: Vec<(u32, u32)>,
}

impl Index {
    /// Of texts, each with its number: its place among them.
    pub(super) fn of<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let hashes: Vec<u64> = texts.map(hash).collect();
        if hashes.is_empty() {
            return Self::default();
        }
        let buckets = hashes.len().next_power_of_two();
        let mut starts = vec![0_u32; buckets + 1];
        for &hash in &hashes {
            starts[bucket(hash, buckets) + 1] += 1;
        }
        for bucket in 0..buckets {
            starts[bucket + 1] += starts[bucket];
        }
        let mut next = starts.clone();
        let mut numbers = vec![(0, 0); hashes.len()];
        for (hash, number) in hashes.into_iter().zip(0..) {
            let place = &mut next[bucket(hash, buckets)];
            numbers[*place as usize] = (hash as u32, number);
            *place += 1;
        }
        Self { starts, numbers }
    }

    /// The smallest number of a text; `text_of` says which text has a number.
    pub(super) fn find<'a>(&self, text: &str, text_of: impl Fn(usize) -> &'a str) -> Option<usize> {
        let buckets = self.starts.len().checked_sub(1)?;
        let wanted = hash(text);
        let bucket = bucket(wanted, buckets);
        let same = &self.numbers[self.starts[bucket] as usize..self.starts[bucket + 1] as usize];
        let same = same.iter().filter(|(hash, _)| *hash == wanted as u32);
        same.map(|(_, number)| *number as usize).find(|number| text_of(*number) == text)
    }
}

/// Which of so many buckets a hash belongs to: they follow its upper bits.
fn bucket(hash: u64, buckets: usize) -> usize {
    ((u128::from(hash) * buckets as u128) >> 64) as usize
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
        assert_eq!(Index::of(std::iter::empty()).find("a", |_| "a"), None);
        let many: Vec<String> = (0..1000).map(|number| format!("https://{number}.example/")).collect();
        let index = Index::of(many.iter().map(String::as_str));
        for (number, text) in many.iter().enumerate() {
            assert_eq!(index.find(text, |number| &many[number]), Some(number));
            assert_eq!(index.find(&text[1..], |number| &many[number]), None);
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
