//! What all pages share: head, the way around, foot.

use std::borrow::Cow;

use maud::{DOCTYPE, Markup, html};

use crate::listen::page::Query;
use crate::listen::relations::Relation;
use crate::listen::view::LISTEN;
use crate::model::EntryKey;
use crate::publish::xml::sayable;
use crate::publish::{Site, place_into};

use super::style_path;

/// Lists named in the way around; the front page has all.
const LISTS_IN_NAV: usize = 8;
/// What is between the keeper and the voices, beside what stands in the head itself.
const BETWEEN: [Relation; 7] = [
    Relation::Mentions,
    Relation::Conversations,
    Relation::Neglected,
    Relation::Quiet,
    Relation::Newcomers,
    Relation::Bridges,
    Relation::Mutual,
];
/// The rolodex.
pub(super) const VOICES: &str = "/voices";

/// A page around its main part.
pub(super) struct Layout<'a> {
    pub(super) site: &'a Site,
    /// The title in the tab and the history.
    pub(super) title: &'a str,
    /// The path of this page, to be marked in the way around.
    pub(super) here: &'a str,
    /// The view that the page shows, whose formats its head names.
    pub(super) view: Option<View<'a>>,
}

/// A view that can be subscribed to.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) title: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a Query,
}

/// The formats as ending, media type, and what to call them.
pub(super) const FORMATS: [(&str, &str, &str); 4] = [
    ("atom", "application/atom+xml", "Atom"),
    ("rss", "application/rss+xml", "RSS"),
    ("json", "application/feed+json", "JSON"),
    ("opml", "text/x-opml", "OPML"),
];

impl Layout<'_> {
    /// The whole document.
    pub(super) fn document(&self, main: &Markup) -> String {
        let site = self.site;
        let name = if self.title == "listend" { "listend".to_owned() } else { format!("{} · listend", self.title) };
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    // Nothing to others; without it to ourselves, a browser would not say whose form it sends.
                    meta name="referrer" content="same-origin";
                    title { (name) }
                    link rel="stylesheet" href=(local(site, style_path()));
                    @if let Some(view) = self.view {
                        @for (ending, kind, word) in FORMATS {
                            link rel=(if ending == "opml" { "outline" } else { "alternate" }) type=(kind)
                                title={ (view.title) " (" (word) ")" } href=(feed(site, view, ending));
                        }
                    }
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    header.top {
                        div.inner {
                            a.brand href=(local(site, "/")) aria-current=[current(self.here, "/")] { "listend" }
                            @if site.is_keeper { (self.keepers_ways()) } @else { (self.readers_ways()) }
                        }
                    }
                    main #main tabindex="-1" { (main) }
                    footer.foot {
                        div.inner {
                            p { "Times are UTC." }
                            p {
                                a href=(local(site, "/status")) aria-current=[current(self.here, "/status")] { "Status of the feeds" }
                                " · "
                                a href=(local(site, "/listen.opml")) { "Everyone as OPML" }
                            }
                        }
                    }
                }
            }
        };
        // Characters that no format carries are no better on a page.
        let page = page.into_string();
        match sayable(&page) {
            Cow::Owned(without) => without,
            Cow::Borrowed(_) => page,
        }
    }

    /// The ways around for whoever may only read.
    fn readers_ways(&self) -> Markup {
        html! { nav aria-label="Main" { ul { (self.way("Everyone", LISTEN)) (self.lists()) } } }
    }

    /// The ways around for the keeper: what each day needs, and the rest folded away.
    fn keepers_ways(&self) -> Markup {
        let is_further = BETWEEN.iter().any(|relation| relation.path() == self.here)
            || self.site.lists.iter().any(|(_, path)| self.is_at(path));
        html! {
            nav aria-label="Main" {
                ul {
                    (self.way("Today", "/"))
                    (self.way("Everyone", LISTEN))
                    (self.way("Voices", VOICES))
                    (self.way(Relation::Thanks.title(), Relation::Thanks.path()))
                }
                details.further {
                    summary class=[is_further.then_some("here")] { "More" }
                    div {
                        ul aria-label="Between you and them" {
                            @for relation in BETWEEN { (self.way(relation.title(), relation.path())) }
                        }
                        @if !self.site.lists.is_empty() { ul aria-label="Lists" { (self.lists()) } }
                    }
                }
            }
        }
    }

    fn lists(&self) -> Markup {
        let lists = &self.site.lists;
        html! {
            @for (title, path) in lists.iter().take(LISTS_IN_NAV) { (self.way(title, path)) }
            @if lists.len() > LISTS_IN_NAV { li { a href=(local(self.site, "/")) { "All lists" } } }
        }
    }

    /// Whether the page is that of a path, or stands below it.
    fn is_at(&self, path: &str) -> bool {
        let is_below = path != "/" && self.here.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        self.here == path || is_below
    }

    fn way(&self, title: &str, path: &str) -> Markup {
        let current = self.is_at(path).then_some(if self.here == path { "page" } else { "true" });
        html! { li { a href=(local(self.site, path)) aria-current=[current] dir="auto" { (title) } } }
    }
}

fn current(here: &str, path: &str) -> Option<&'static str> {
    (here == path).then_some("page")
}

/// The path of a page of ours, as seen from outside.
pub(super) fn local(site: &Site, path: &str) -> String {
    local_with(site, path, "", &Query::default())
}

/// The path of a view in a format with its parameters, as seen from outside.
pub(super) fn local_with(site: &Site, path: &str, ending: &str, query: &Query) -> String {
    let mut out = String::new();
    place_into(&mut out, site, path, ending, query);
    out
}

/// The path of one page, from 1 on, of what has several and is no stream.
pub(super) fn local_page(site: &Site, path: &str, page: usize) -> String {
    let path = local(site, path);
    if page > 1 { format!("{path}?page={page}") } else { path }
}

/// Where contact with the voice of an entry is recorded.
pub(super) fn answering(site: &Site, key: EntryKey) -> String {
    local(site, &format!("/answered/{key}"))
}

/// The ways to the pages before and after this one; `to` makes the path of a page.
pub(super) fn pages((page, pages): (usize, usize), to: impl Fn(usize) -> String) -> Markup {
    html! {
        @if pages > 1 {
            nav.pages aria-label="Pages" {
                @if page > 1 { a rel="prev" href=(to(page - 1)) { "Previous" } }
                span.where-in { "Page " (page) " of " (pages) }
                @if page < pages { a.older rel="next" href=(to(page + 1)) { "Next" } }
            }
        }
    }
}

/// Where a view can be subscribed to: its first page, whatever page is shown.
pub(super) fn feed(site: &Site, view: View<'_>, ending: &str) -> String {
    // The subscriptions behind a view don't depend on what is asked of its entries.
    let query = match ending {
        "opml" => Query::default(),
        _ => Query { before: None, ..view.query.clone() },
    };
    local_with(site, view.path, ending, &query)
}

/// The links to subscribe to a view, in all formats.
pub(super) fn subscribe(site: &Site, view: View<'_>) -> Markup {
    html! {
        ul.feeds {
            @for (ending, kind, word) in FORMATS {
                li { a href=(feed(site, view, ending)) type=(kind) aria-label={ (view.title) " as " (word) } { (word) } }
            }
        }
    }
}

/// The way to what is wrong with feeds, where something is; it stands back behind what people say.
pub(super) fn look(site: &Site, troubled: usize) -> Markup {
    html! {
        @if troubled > 0 {
            p.look { a href=(local(site, "/health.html")) { (count(troubled, "feed needs", "feeds need")) " a look" } }
        }
    }
}

/// `1 voice`, `2 voices`.
pub(super) fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}
