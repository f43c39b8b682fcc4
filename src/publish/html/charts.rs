//! Small drawings of numbers over time, with words that say the same. Colours are the style sheet's.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

use crate::listen::people::LinkLove;

use super::layout::count;
use super::plot::bar;

/// Height of a plot of weeks, in pixels before scaling.
const HEIGHT: usize = 22;
/// Pixels from one week to the next, of which the last parts them.
const STEP: usize = 6;
/// The same for months.
const MONTH_STEP: usize = 26;
const MONTH_GAP: usize = 6;
const MONTH_HEIGHT: usize = 84;

/// Entries a week, oldest first: a bar each, the higher the more; a dot on the floor for a silent one. `scale` is how
/// many times as high as in a table.
pub(super) fn weeks(weeks: &[u32], scale: usize) -> Markup {
    let (width, height) = (weeks.len() * STEP, HEIGHT * scale);
    let mut bars = String::new();
    let mut floor = String::new();
    for (at, entries) in weeks.iter().enumerate() {
        let x = at * STEP;
        // Writing to a string never fails.
        let _ = if *entries == 0 {
            write!(floor, "M{x} {}h{}v1h-{}z", height - 1, STEP - 1, STEP - 1)
        } else {
            let high = bar(u16::try_from(*entries).unwrap_or(u16::MAX)) * scale;
            write!(bars, "M{x} {}h{}v{high}h-{}z", height - high, STEP - 1, STEP - 1)
        };
    }
    html! {
        svg.plot.weeks role="img" width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) } {
            title { (summary(weeks)) }
            path.same d=(PreEscaped(floor)) {}
            path.new d=(PreEscaped(bars)) {}
        }
    }
}

/// `41 entries in 19 of the last 26 weeks, at most 5 in one`.
fn summary(weeks: &[u32]) -> String {
    let all: u64 = weeks.iter().copied().map(u64::from).sum();
    let spoken = weeks.iter().filter(|entries| **entries > 0).count();
    let most = weeks.iter().max().copied().unwrap_or_default();
    match all {
        0 => format!("No entry in the last {} weeks", weeks.len()),
        1 => format!("1 entry in the last {} weeks", weeks.len()),
        _ => format!("{all} entries in {spoken} of the last {} weeks, at most {most} in one", weeks.len()),
    }
}

/// The share of your posts that point at others, month by month, with the goal of one half marked.
pub(super) fn months(love: &LinkLove) -> Markup {
    let (width, height) = (love.months.len() * MONTH_STEP, MONTH_HEIGHT);
    let mut bars = String::new();
    let mut floor = String::new();
    for (at, (_, posts, pointing)) in love.months.iter().enumerate() {
        let (x, wide) = (at * MONTH_STEP + MONTH_GAP / 2, MONTH_STEP - MONTH_GAP);
        let high = (height * pointing).checked_div(*posts).unwrap_or_default().min(height);
        // Writing to a string never fails.
        let _ = if high > 0 {
            write!(bars, "M{x} {}h{wide}v{high}h-{wide}z", height - high)
        } else {
            write!(floor, "M{x} {}h{wide}v2h-{wide}z", height - 2)
        };
    }
    html! {
        svg.plot.months role="img" width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) } {
            title { "The share of your posts that point at others, month by month" }
            desc { (figures(love)) }
            path.same d=(PreEscaped(floor)) {}
            path.new d=(PreEscaped(bars)) {}
            path.goal d={ "M0 " (height / 2) "h" (width) } {}
        }
        p.axis aria-hidden="true" {
            @if let (Some(first), Some(last)) = (love.months.first(), love.months.last()) {
                span { (first.0.utc().format("%B %Y")) } " " span { (last.0.utc().format("%B %Y")) }
            }
        }
    }
}

/// `December 2025: 3 of 5; January 2026: none`.
fn figures(love: &LinkLove) -> String {
    let months = love.months.iter().map(|(month, posts, pointing)| {
        let month = month.utc().format("%B %Y");
        if *posts == 0 { format!("{month}: no post") } else { format!("{month}: {pointing} of {posts}") }
    });
    months.collect::<Vec<_>>().join("; ")
}

/// The share of the last 90 days as a bar, with the goal of one half marked.
pub(super) fn share(love: &LinkLove) -> Markup {
    const WIDTH: usize = 240;
    const HIGH: usize = 14;
    let pointing = (WIDTH * love.pointing).checked_div(love.posts).unwrap_or_default().min(WIDTH);
    let words =
        format!("{} of {} point at others; the goal is one half", love.pointing, count(love.posts, "post", "posts"));
    html! {
        svg.plot.share role="img" width=(WIDTH) height=(HIGH) viewBox={ "0 0 " (WIDTH) " " (HIGH) } {
            title { (words) }
            rect.ground y="3" width=(WIDTH) height=(HIGH - 6) rx="4" {}
            rect.new y="3" width=(pointing) height=(HIGH - 6) rx="4" {}
            path.goal d={ "M" (WIDTH / 2) " 0v" (HIGH) } {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn weeks_are_drawn_and_said() {
        let drawn = weeks(&[0, 1, 4, u32::MAX], 1).into_string();
        assert!(drawn.contains("<path class=\"same\" d=\"M0 21h5v1h-5z\">"), "{drawn}");
        assert!(drawn.contains("d=\"M6 17h5v5h-5zM12 11h5v11h-5zM18 0h5v22h-5z\""), "{drawn}");
        assert!(drawn.contains("4294967300 entries in 3 of the last 4 weeks, at most 4294967295 in one"));
        assert!(weeks(&[0, 0], 2).into_string().contains("No entry in the last 2 weeks"));
        assert!(weeks(&[], 1).into_string().contains("width=\"0\""));
    }

    #[test]
    fn months_are_shares_with_the_goal_marked() {
        let month = |text: &str, posts, pointing| (Timestamp::parse_rfc3339(text).unwrap_or_default(), posts, pointing);
        let love = LinkLove {
            posts: 4,
            pointing: 1,
            months: vec![month("2026-10-01T00:00:00Z", 0, 0), month("2026-11-01T00:00:00Z", 4, 2)],
        };
        let drawn = months(&love).into_string();
        assert!(drawn.contains("October 2026: no post; November 2026: 2 of 4"), "{drawn}");
        assert!(drawn.contains("d=\"M29 42h20v42h-20z\"") && drawn.contains("d=\"M0 42h52\""), "{drawn}");
        let drawn = share(&love).into_string();
        assert!(drawn.contains("1 of 4 posts point at others") && drawn.contains("width=\"60\""), "{drawn}");
        assert!(share(&LinkLove::default()).into_string().contains("width=\"0\""));
    }
}
