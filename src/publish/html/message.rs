//! A page that says one thing, mostly that something is not there, and what there is instead.

use maud::html;

use crate::publish::Site;

use super::layout::{Layout, local};

/// A page with a title, a text of plain paragraphs, and the ways on as title and path.
pub fn message(site: &Site, title: &str, text: &[&str], ways: &[(String, String)]) -> String {
    let main = html! {
        div.message {
            h1 dir="auto" { (title) }
            @for paragraph in text { p dir="auto" { (paragraph) } }
            @if !ways.is_empty() {
                h2 { "From here" }
                ul.plain { @for (title, path) in ways { li { a href=(local(site, path)) dir="auto" { (title) } } } }
            }
        }
    };
    Layout { site, title, here: "", view: None }.document(&main)
}
