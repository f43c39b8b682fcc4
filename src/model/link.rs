//! Where a link leads, in few bytes: five million of them are kept.

use super::comparable_link;

/// Where a link leads: its page, and the prefixes of the page's address that may be somebody's site.
///
/// Made of hashes of the address in comparable form ([`comparable_link`]). They are not made to withstand an attack:
/// whoever shows a link as somebody's looks it up in the entry's text before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link {
    /// The hash of the whole address.
    pub page: u64,
    prefixes: [u32; Link::MAX_PREFIXES],
    depth: u8,
}

impl Link {
    /// A site's prefix is its host and up to three segments of its path; further ones are not told apart.
    pub const MAX_PREFIXES: usize = 4;

    /// Of an address in comparable form, as [`comparable_link`] makes it.
    pub fn of(comparable: &str) -> Self {
        let mut prefixes = [0; Self::MAX_PREFIXES];
        let mut depth = 0;
        let mut hash = Fnv::new();
        let mut in_path = true;
        for byte in comparable.bytes() {
            if in_path && matches!(byte, b'/' | b'?') {
                if depth < Self::MAX_PREFIXES {
                    prefixes[depth] = hash.folded();
                    depth += 1;
                }
                in_path = byte == b'/';
            }
            hash.add(byte);
        }
        if in_path && depth < Self::MAX_PREFIXES {
            prefixes[depth] = hash.folded();
            depth += 1;
        }
        Self { page: hash.0, prefixes, depth: depth as u8 }
    }

    /// The same, of an address as people write it; `None` for what is no http(s) URL.
    pub fn to(address: &str) -> Option<Self> {
        comparable_link(address).map(|comparable| Self::of(&comparable))
    }

    /// Puts together what [`Link::page`] and [`Link::prefixes`] gave; prefixes beyond the most are left out.
    pub fn from_parts(page: u64, prefixes: &[u32]) -> Self {
        let depth = prefixes.len().min(Self::MAX_PREFIXES);
        let mut own = [0; Self::MAX_PREFIXES];
        own[..depth].copy_from_slice(&prefixes[..depth]);
        Self { page, prefixes: own, depth: depth as u8 }
    }

    /// The hashes of the address's prefixes, the host first; the last one is that of the whole path, where it is no
    /// deeper than [`Link::MAX_PREFIXES`].
    pub fn prefixes(&self) -> &[u32] {
        &self.prefixes[..usize::from(self.depth)]
    }

    /// Whether the page is the last of its own prefixes: it has no query, and lies no deeper than they go.
    pub fn is_prefix(&self) -> bool {
        self.prefixes().last() == Some(&Fnv(self.page).folded())
    }
}

/// The hash of a site's prefix in comparable form (`example.org/~ann`), to be found among [`Link::prefixes`]; `None`
/// where it is deeper than those, or has a query.
pub fn prefix_hash(comparable: &str) -> Option<u32> {
    let is_deep = comparable.bytes().filter(|byte| *byte == b'/').count() >= Link::MAX_PREFIXES;
    (!is_deep && !comparable.contains('?')).then(|| Fnv::of(comparable).folded())
}

/// FNV-1a with 64 bits: made byte by byte, so that one pass over an address gives the hashes of all of its prefixes.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }

    fn of(text: &str) -> Self {
        let mut hash = Self::new();
        text.bytes().for_each(|byte| hash.add(byte));
        hash
    }

    fn add(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    }

    fn folded(&self) -> u32 {
        (self.0 ^ (self.0 >> 32)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_lies_under_the_prefixes_of_its_address() {
        for (address, sites) in [
            ("https://www.example.org/", &["example.org"][..]),
            (
                "http://example.org/~ann/a/b?x=/1",
                &["example.org", "example.org/~ann", "example.org/~ann/a", "example.org/~ann/a/b"],
            ),
            ("http://example.org/a/b/c/d/e", &["example.org", "example.org/a", "example.org/a/b", "example.org/a/b/c"]),
            ("http://example.org:81?q=1", &["example.org:81"]),
        ] {
            let link = Link::to(address).expect("it is an address");
            let expected: Vec<u32> = sites.iter().filter_map(|site| prefix_hash(site)).collect();
            assert_eq!(link.prefixes(), expected, "{address}");
            assert_eq!(Link::from_parts(link.page, link.prefixes()), link);
            assert_eq!(link.is_prefix(), address.ends_with('/'), "{address}");
        }
        assert_eq!(Link::to("https://example.org/a/#top"), Link::to("http://www.example.org/a?utm_source=x"));
        assert_ne!(Link::to("https://example.org/a"), Link::to("https://example.org/a?b"));
        assert_eq!(Link::to("mailto:ann@example.org"), None);
        assert_eq!(prefix_hash("example.org/a/b/c/d"), None);
    }
}
