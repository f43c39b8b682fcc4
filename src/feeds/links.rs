//! Where entries link to.
//!
//! Reads what the cleaner made: there, tags and quotes stand nowhere but where they mean something, so that one scan finds
//! every link without a tree. Frames have become links by then. Judges nothing: whose pages these are is not known here.

use std::borrow::Cow;

use memchr::memchr2;
use memchr::memmem::Finder;

use crate::model::{Entry, Link, Said, comparable_link};
use crate::references::{OwnEntities, decode};

/// A page that an entry links to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked<'a> {
    /// Its hashes.
    pub link: Link,
    /// Its address in comparable form.
    pub comparable: String,
    /// Its address as it stands there: absolute, http or https.
    pub address: Cow<'a, str>,
}

/// Every page that an entry links to, each once: first the one that the entry itself stands for and where it was taken
/// from (in link blogs that is what the entry is about), then those in its summary and content, in their order. Only
/// http(s) addresses, at most [`Said::MAX_LINKS`]. Takes time in proportion to the entry's length.
pub fn links(entry: &Entry) -> Vec<Linked<'_>> {
    let origin = entry.origin.as_ref().and_then(|origin| origin.link.as_ref());
    let own = entry.link.iter().chain(origin).map(|address| Cow::Borrowed(address.as_str()));
    let texts = entry.summary.iter().chain(&entry.content);
    let mut links: Vec<Linked<'_>> = Vec::new();
    for address in own.chain(texts.flat_map(|html| addresses(html.as_str()))) {
        let Some(comparable) = comparable_link(&address) else { continue };
        let link = Link::of(&comparable);
        if links.iter().all(|known| known.link.page != link.page) {
            links.push(Linked { link, comparable, address });
            if links.len() == Said::MAX_LINKS {
                break;
            }
        }
    }
    links
}

/// The addresses of the links in clean HTML, in their order.
fn addresses(html: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let finder = Finder::new(b"<a ");
    let own = OwnEntities::default();
    let mut rest = html;
    std::iter::from_fn(move || {
        loop {
            let start = finder.find(rest.as_bytes())?;
            let (address, after) = split_address(&rest[start + 3..]);
            rest = after;
            if let Some(address) = address {
                return Some(decode(address, &own));
            }
        }
    })
}

/// The address among the attributes that a link begins with, and what follows it.
fn split_address(link: &str) -> (Option<&str>, &str) {
    let mut rest = link;
    while let Some(at) = memchr2(b'"', b'>', rest.as_bytes()) {
        let name = rest[..at].trim_ascii_start();
        let is_value = rest.as_bytes()[at] == b'"';
        rest = &rest[at + 1..];
        if !is_value {
            return (None, rest);
        }
        let Some((value, after)) = rest.split_once('"') else { break };
        rest = after;
        if name == "href=" {
            return (Some(value), rest);
        }
    }
    (None, "")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use html5ever::tendril::StrTendril;
    use html5ever::tokenizer::{BufferQueue, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};
    use proptest::prelude::*;
    use url::Url;

    use super::*;
    use crate::feeds::clean;
    use crate::model::{CleanHtml, EntryKey, FeedId, Markup, Origin, Timestamp};

    fn cleaned(html: &str) -> CleanHtml {
        let base = Url::parse("https://example.org/blog/").expect("it is an address");
        clean::html(&Markup::Html(html.to_owned()), Some(&base))
    }

    fn entry(link: &str, origin: &str, summary: &str, content: &str) -> Entry {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Entry {
            key: EntryKey { listed_at: Timestamp::default(), feed: FeedId(1), seq: 1 },
            first_seen: Timestamp::default(),
            guid: "1".to_owned(),
            link: given(link),
            title: String::new(),
            authors: Vec::new(),
            published: None,
            updated: None,
            summary: given(summary).map(|html| cleaned(&html)),
            content: given(content).map(|html| cleaned(&html)),
            categories: Vec::new(),
            enclosures: Vec::new(),
            comments: None,
            language: None,
            origin: given(origin).map(|link| Origin { link: Some(link), ..Origin::default() }),
        }
    }

    #[test]
    fn every_page_is_found_once() {
        for (html, pages) in [
            (r#"<p>see <a href="http://a.example/x">A</a></p>"#, &["a.example/x"][..]),
            ("<A HREF=http://a.example/x title='a > b'>A</A>", &["a.example/x"]),
            (
                "<a title='<a href=\"http://no.example/\">' name=n href='http://a.example/?a=1&amp;b=&quot;2'>A</a>",
                &["a.example?a=1&b=%222"],
            ),
            ("<a href='../x'>x</a> <a href=y>y</a> <a href='#top'>z</a>", &["example.org/x", "example.org/blog/y"]),
            ("<a href='http://a.example/'>1</a><a href='https://www.a.example/?utm_source=x#y'>2</a>", &["a.example"]),
            ("<a href='mailto:a@a.example'>1</a><a href='javascript:x'>2</a><a>3</a><a id=x>4</a>", &[]),
            ("<iframe src='https://v.example/embed/1'></iframe>", &["v.example/embed/1"]),
            ("&lt;a href=\"http://no.example/\"&gt; <abbr title='<a href='>x</abbr>", &[]),
            ("<img src='http://a.example/x.png'><a href='http://a.example/y'><img src=z></a>", &["a.example/y"]),
        ] {
            let entry = entry("", "", "", html);
            let found: Vec<String> = links(&entry).into_iter().map(|linked| linked.comparable).collect();
            let found: Vec<&str> =
                found.iter().map(String::as_str).filter(|page| *page != "example.org/blog").collect();
            assert_eq!(found, pages, "{html} → {:?}", entry.content);
        }
    }

    #[test]
    fn what_an_entry_stands_for_comes_first() {
        let entry = entry(
            "http://a.example/story",
            "http://b.example/",
            "<a href='http://c.example/?x&amp;y'>c</a>",
            "<a href='http://a.example/story#part'>a</a> <a href='http://d.example/'>d</a>",
        );
        let links = links(&entry);
        let addresses: Vec<&str> = links.iter().map(|linked| linked.address.as_ref()).collect();
        let expected = ["http://a.example/story", "http://b.example/", "http://c.example/?x&y", "http://d.example/"];
        assert_eq!(addresses, expected);
        for linked in &links {
            assert_eq!(Some(linked.link), Link::to(&linked.address));
        }
    }

    #[test]
    fn links_are_bounded_and_read_in_one_pass() {
        let many: Vec<String> = (0..1000).map(|n| format!("<a href=\"http://a.example/{n}\">x</a>")).collect();
        let mut long = entry("", "", "", "");
        long.content = Some(CleanHtml::from_cleaner(many.concat()));
        assert_eq!(links(&long).len(), Said::MAX_LINKS);
        for part in ["<a ", "<a href=\"", "<a \"\" ", "<a href=\"http://a.example/\">"] {
            let mut entry = entry("", "", "", "");
            entry.content = Some(CleanHtml::from_cleaner(part.repeat(1 << 17)));
            // In more than one pass this would take minutes.
            assert!(links(&entry).len() <= 1, "{part}");
        }
    }

    /// The links of HTML as a parser of HTML reads them.
    fn parsed(html: &str) -> Vec<String> {
        struct Sink(RefCell<Vec<String>>);
        impl TokenSink for Sink {
            type Handle = ();
            fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
                if let Token::TagToken(tag) = token
                    && tag.kind == TagKind::StartTag
                    && &*tag.name == "a"
                    && let Some(href) = tag.attrs.iter().find(|attribute| &*attribute.name.local == "href")
                {
                    self.0.borrow_mut().push(href.value.to_string());
                }
                TokenSinkResult::Continue
            }
        }
        let tokenizer = Tokenizer::new(Sink(RefCell::default()), TokenizerOpts::default());
        let queue = BufferQueue::default();
        queue.push_back(StrTendril::from(html));
        let _ = tokenizer.feed(&queue);
        tokenizer.end();
        tokenizer.sink.0.into_inner()
    }

    /// Pieces that HTML with links is made of, in any order.
    fn soup() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "<a ",
            "<a",
            "href=",
            "HREF = ",
            "\"",
            "'",
            ">",
            "<",
            "</a>",
            "http://a.example/",
            "https://b.example/?x=1",
            "&amp;",
            "&",
            "&quot;",
            "&lt;",
            ";y=2",
            "title=",
            "rel=x ",
            " ",
            "\n",
            "<p>",
            "<b>",
            "/x",
            "ü",
            "text",
            "<iframe src=http://f.example/>",
            "<!--",
            "-->",
            "mailto:a@b",
            "\u{a0}",
            "=",
            "`",
        ]);
        let pieces = prop_oneof![4 => pieces.prop_map(str::to_owned), 1 => "\\PC{0,3}"];
        prop::collection::vec(pieces, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn clean_html_is_read_as_a_parser_reads_it(html in soup()) {
            let clean = cleaned(&html);
            let found: Vec<String> = addresses(clean.as_str()).map(Cow::into_owned).collect();
            prop_assert_eq!(found, parsed(clean.as_str()), "{}", clean.as_str());
        }

        #[test]
        fn anything_at_all_is_read(html in soup()) {
            let mut entry = entry(&html, &html, "", "");
            entry.content = Some(CleanHtml::from_cleaner(html));
            prop_assert!(links(&entry).len() <= Said::MAX_LINKS);
        }
    }
}
