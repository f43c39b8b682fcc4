//! Link love: how many of your own posts point at others.

use maud::{Markup, html};

use crate::listen::people::LinkLove;

use super::charts::{months, share};

/// The share of the last 90 days, in a sentence and as a bar.
pub(super) fn brief(love: Option<&LinkLove>) -> Markup {
    html! {
        @match love {
            Some(love) if love.posts > 0 => {
                (share(love))
                p { (sentence(love)) }
                p.about { (goal(love)) }
            }
            Some(_) => p.about { "You have posted nothing in the last 90 days. Of each ten posts, let five point at others." },
            None => (how_to_begin()),
        }
    }
}

/// The same with its history.
pub(super) fn whole(love: &LinkLove) -> Markup {
    let has_history = love.months.iter().any(|(_, posts, _)| *posts > 0);
    html! {
        @if love.posts == 0 && !has_history { (how_to_begin()) } @else {
            p { @if love.posts > 0 { (sentence(love)) " " (goal(love)) } @else { "You have posted nothing in the last 90 days." } }
            @if has_history {
                figure {
                    (months(love))
                    figcaption { "Each bar is a month: the share of your posts that point at others. The line marks one half." }
                }
            }
        }
    }
}

fn sentence(love: &LinkLove) -> String {
    if love.posts == 1 {
        let points = if love.pointing == 1 { "points" } else { "does not point" };
        return format!("Your one post of the last 90 days {points} at others.");
    }
    let points = if love.pointing == 1 { "points" } else { "point" };
    format!("{} of your {} posts of the last 90 days {points} at others.", love.pointing, love.posts)
}

/// How far it is to one half: each further post that points counts among the posts, too.
fn goal(love: &LinkLove) -> String {
    match love.posts.saturating_sub(love.pointing * 2) {
        0 => "That is one half or more: well loved.".to_owned(),
        missing => format!("The goal is one half; {missing} more would reach it."),
    }
}

fn how_to_begin() -> Markup {
    html! {
        p.about {
            "listend does not know yet which posts are yours. Put your own feeds into " code { "mine.opml" }
            " in the lists directory, and it sees who links to you, and whom you link to."
        }
    }
}
