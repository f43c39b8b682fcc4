//! What all pages share: head, the way around, foot.

use std::borrow::Cow;

use maud::{DOCTYPE, Markup, html};

use crate::listen::page::Query;
use crate::publish::xml::sayable;
use crate::publish::{Site, place_into};

use super::style_path;

/// Lists named in the way around; the front page has all.
const LISTS_IN_NAV: usize = 8;

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
                    meta name="referrer" content="no-referrer";
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
                            nav aria-label="Main" {
                                ul {
                                    (self.way("Everyone", "/listen"))
                                    @for (title, path) in site.lists.iter().take(LISTS_IN_NAV) { (self.way(title, path)) }
                                    @if site.lists.len() > LISTS_IN_NAV { li { a href=(local(site, "/")) { "All lists" } } }
                                }
                            }
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

    fn way(&self, title: &str, path: &str) -> Markup {
        let here = self.here == path || self.here.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        let current = here.then_some(if self.here == path { "page" } else { "true" });
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
