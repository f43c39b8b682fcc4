//! When an address is the target's.

use url::Url;

/// Longest address that may be the target's, in bytes: the target itself has at most 2,048, and a spelling of it that
/// stands for the same page is not much longer.
const MAX_SPELLING_BYTES: usize = 8192;

/// The page that a source is said to link to.
#[derive(Debug)]
pub(super) struct Target {
    sent: String,
    url: Url,
}

impl Target {
    /// The target of an absolute address; `None` where it is none.
    pub(super) fn of(sent: &str) -> Option<Self> {
        let mut url = Url::parse(sent.trim()).ok()?;
        url.set_fragment(None);
        Some(Self { sent: sent.trim().to_owned(), url })
    }

    /// How long it is, in bytes.
    pub(super) fn len(&self) -> usize {
        self.sent.len().max(self.url.as_str().len())
    }

    /// Whether an address, absolute or relative to `base`, is that of the target.
    pub(super) fn is_at(&self, address: &str, base: Option<&Url>) -> bool {
        // What browsers cut off an address (URL, section 4.4).
        let address = address.trim_matches(|c: char| c <= ' ');
        if address == self.sent {
            return true;
        }
        if address.is_empty() || address.len() > MAX_SPELLING_BYTES {
            return false;
        }
        let Ok(mut url) = Url::options().base_url(base).parse(address) else { return false };
        url.set_fragment(None);
        url == self.url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_targets_in_any_spelling_of_it() {
        let base = Url::parse("https://me.example/blog/").expect("an address");
        let check = |sent: &str, address: &str, is_it: bool| {
            let target = Target::of(sent).expect("an address");
            assert_eq!(target.is_at(address, Some(&base)), is_it, "{address} for {sent}");
        };
        let post = "https://me.example/blog/post?a=1";
        for address in [
            post,
            " https://ME.example:443/blog/post?a=1#top\n",
            "https://me.example/blog/./x/../post?a=1",
            "post?a=1",
            "//me.example/blog/post?a=1",
            "/blog/post?a=1",
        ] {
            check(post, address, true);
        }
        for address in
            ["http://me.example/blog/post?a=1", "/blog/post", "/blog/post/?a=1", "", "post?a=1&b", "mailto:me"]
        {
            check(post, address, false);
        }
        check("https://me.example/blog/#about", "https://me.example/blog/", true);
        check("https://me.example/blog/#about", "#elsewhere", true);
        check("https://me.example", "https://me.example/", true);
        check("https://me.example/ü", "https://me.example/%C3%BC", true);
        assert!(!Target::of(post).expect("an address").is_at("/blog/post?a=1", None));
    }
}
