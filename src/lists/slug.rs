//! Addresses made of names: what a title becomes in a path, and how siblings of one name are told apart.
//!
//! Pure functions of the names; the order of siblings never matters. Knows nothing of outlines.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

/// The longest slug made of a name, in bytes, before siblings are told apart.
pub const MAX_SLUG_BYTES: usize = 64;

/// A name in `[a-z0-9-]`, transliterated; empty where nothing of it can be.
pub fn slug(name: &str) -> String {
    let mut slug = String::with_capacity(name.len().min(MAX_SLUG_BYTES));
    // Of a very long name the rest cannot matter.
    let start = name.char_indices().nth(4 * MAX_SLUG_BYTES).map_or(name, |(end, _)| &name[..end]);
    for c in deunicode::deunicode_with_tofu_cow(start, " ").chars() {
        if slug.len() == MAX_SLUG_BYTES {
            break;
        }
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

/// The first `digits` hexadecimal digits of the SHA-256 of a text; at most 64.
pub fn hash_digits(text: &str, digits: usize) -> String {
    use std::fmt::Write as _;
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        let _ = write!(hex, "{byte:02x}"); // writing to a String cannot fail
    }
    hex.truncate(digits);
    hex
}

/// Gives each of some siblings a segment that no other has.
///
/// `slugs` are their slugs. Where two are equal, or one is empty, they get `-` and six digits of the hash of what
/// `key(sibling, 0)` says; those that are still equal get more digits, of `key(sibling, 1)`; what is equal in everything
/// is counted through.
pub(super) fn tell_apart(slugs: &[String], key: impl Fn(usize, u8) -> String) -> Vec<Cow<'_, str>> {
    let clashes = |names: &[Cow<'_, str>]| -> Vec<usize> {
        let mut count: HashMap<&str, usize> = HashMap::with_capacity(names.len());
        for name in names {
            *count.entry(name.as_ref()).or_default() += 1;
        }
        (0..names.len()).filter(|&index| names[index].is_empty() || count[names[index].as_ref()] > 1).collect()
    };
    let mut names: Vec<Cow<'_, str>> = slugs.iter().map(|slug| Cow::Borrowed(slug.as_str())).collect();
    let clashing = clashes(&names);
    if clashing.is_empty() {
        return names;
    }
    let mut hashed = vec![false; names.len()];
    for index in clashing {
        names[index] = Cow::Owned(format!("{}-{}", slugs[index], hash_digits(&key(index, 0), 6)));
        hashed[index] = true;
    }
    // A plain slug that happens to look like a hashed one keeps its name: the hashed one yields.
    for index in clashes(&names) {
        if hashed[index] {
            names[index] = Cow::Owned(format!("{}-{}", slugs[index], hash_digits(&key(index, 1), 12)));
        }
    }
    let twins = clashes(&names);
    let mut taken: HashSet<Cow<'_, str>> = names.iter().cloned().collect();
    let mut seen: HashMap<Cow<'_, str>, usize> = HashMap::new();
    for index in twins {
        let nth = seen.entry(names[index].clone()).or_default();
        *nth += 1;
        while *nth > 1 {
            let name = Cow::Owned(format!("{}-{nth}", names[index]));
            if taken.insert(Cow::clone(&name)) {
                names[index] = name;
                break;
            }
            *nth += 1;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_transliterated() {
        for (name, expected) in [
            ("Oakland Makers", "oakland-makers"),
            ("  Zoë & Öl — Ærø! ", "zoe-ol-aero"),
            ("Привет", "privet"),
            ("東京", "dong-jing"),
            ("C++ / Rust", "c-rust"),
            ("100% ünïque", "100-unique"),
            ("\u{E000}\u{10FFFF}", ""),
            ("---", ""),
            ("", ""),
        ] {
            assert_eq!(slug(name), expected, "{name}");
        }
        assert_eq!(slug(&"ab ".repeat(1000)).len(), MAX_SLUG_BYTES);
        assert_eq!(slug(&"東".repeat(1000)).len(), MAX_SLUG_BYTES);
    }

    #[test]
    fn siblings_are_told_apart_whatever_their_order() {
        let siblings =
            [("ann", "u1"), ("bob", "u2"), ("ann", "u3"), ("", "u4"), ("cleo", "u5"), ("ann", "u6"), ("", "u7")];
        let in_order = |order: &[usize]| -> Vec<(String, String)> {
            let slugs: Vec<String> = order.iter().map(|&index| siblings[index].0.to_owned()).collect();
            let names = tell_apart(&slugs, |at, _| siblings[order[at]].1.to_owned());
            let mut told: Vec<_> = names
                .into_iter()
                .zip(order)
                .map(|(name, &index)| (siblings[index].1.to_owned(), name.into_owned()))
                .collect();
            told.sort();
            told
        };
        let named = in_order(&[0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(named, in_order(&[6, 2, 4, 0, 5, 3, 1]));
        assert_eq!(named[1].1, "bob");
        assert_eq!(named[0].1, format!("ann-{}", hash_digits("u1", 6)));
        assert_eq!(named[3].1, format!("-{}", hash_digits("u4", 6)));
        let distinct: std::collections::HashSet<_> = named.iter().map(|(_, name)| name).collect();
        assert_eq!(distinct.len(), siblings.len());
    }

    #[test]
    fn even_twins_and_impostors_are_told_apart() {
        let impostor = format!("ann-{}", hash_digits("u", 6));
        let slugs = vec!["ann".to_owned(), "ann".to_owned(), "ann".to_owned(), impostor.clone()];
        let names = tell_apart(&slugs, |_, _| "u".to_owned());
        assert_eq!(names[3], impostor);
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), 4, "{names:?}");
    }
}
