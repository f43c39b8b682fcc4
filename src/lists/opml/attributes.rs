//! The attributes of an outline, in one piece of memory: a list of 100,000 outlines has half a million of them, and kept
//! as two texts each they took most of what a list takes.

use std::fmt;

/// Names and values in their order.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Attributes(Box<str>);

/// Behind each name and each value. XML cannot say this character, so it is in neither.
const END: char = '\0';

impl Attributes {
    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut texts = self.0.split_terminator(END);
        std::iter::from_fn(move || Some((texts.next()?, texts.next()?)))
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(attributes: I) -> Self {
        let mut packed = String::new();
        for (name, value) in attributes {
            for text in [name.as_ref(), value.as_ref()] {
                if text.contains(END) {
                    packed.extend(text.chars().filter(|&c| c != END));
                } else {
                    packed.push_str(text);
                }
                packed.push(END);
            }
        }
        Self(packed.into())
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let given = [("text", "Ann"), ("x:empty", ""), ("xmlUrl", "https://ann.example/"), ("", "")];
        let attributes: Attributes = given.into_iter().collect();
        assert_eq!(attributes.iter().collect::<Vec<_>>(), given);
        let odd: Attributes = [("a\0b", "\0c\0")].into_iter().collect();
        assert_eq!(odd.iter().collect::<Vec<_>>(), [("ab", "c")]);
        assert_eq!(Attributes::default().iter().next(), None);
    }
}
