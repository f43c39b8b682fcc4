//! The last fetches of a feed as a small drawing: what came stands on the floor, what failed hangs from the ceiling.
//!
//! Colours are the style sheet's. They repeat what height, place and shape say already; words say it all once more.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

use crate::model::{Came, Fetch, Recent, Timestamp};

use super::layout::count;

/// Pixels from one fetch to the next, of which the last parts them.
const STEP: usize = 5;
const WIDTH: usize = STEP * Recent::MAX - 1;
const HEIGHT: usize = 22;
/// New entries of the mark that stands in the legend.
const LEGEND_NEW: u16 = 4;

/// How a fetch is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// New entries: a bar, the higher the more.
    New,
    /// Nothing new: a dash on the floor.
    Same,
    /// A status that refuses: a bar from the ceiling.
    Refused,
    /// A document that could not be read: a diamond below the ceiling.
    Unreadable,
    /// No answer: a cross below the ceiling.
    Failed,
}

impl Mark {
    const ALL: [Self; 5] = [Self::New, Self::Same, Self::Refused, Self::Unreadable, Self::Failed];

    fn of(fetch: Fetch) -> Self {
        match fetch.came {
            Came::Read if fetch.new > 0 => Self::New,
            Came::Read | Came::Unchanged => Self::Same,
            Came::Refused => Self::Refused,
            Came::Unreadable => Self::Unreadable,
            Came::Failed => Self::Failed,
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Same => "same",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
            Self::Failed => "failed",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::New => "new entries",
            Self::Same => "nothing new",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
            Self::Failed => "no answer",
        }
    }

    /// From where to where it reaches, from above, in the legend's drawing.
    fn extent(self) -> (usize, usize) {
        match self {
            Self::New => (HEIGHT - bar(LEGEND_NEW), HEIGHT),
            Self::Same => (HEIGHT - 2, HEIGHT),
            Self::Refused => (0, 9),
            Self::Unreadable => (0, 8),
            Self::Failed => (0, 7),
        }
    }

    /// Draws it with its left edge at `x`.
    fn draw(self, path: &mut String, x: usize, new: u16) {
        // Writing to a string never fails.
        let _ = match self {
            Self::New => {
                let height = bar(new);
                write!(path, "M{x} {}h4v{height}h-4z", HEIGHT - height)
            }
            Self::Same => write!(path, "M{x} {}h4v2h-4z", HEIGHT - 2),
            Self::Refused => write!(path, "M{x} 0h4v9h-4z"),
            Self::Unreadable => write!(path, "M{} 0l2 4l-2 4l-2-4z", x + 2),
            Self::Failed => write!(path, "M{x} 1l4 5m0-5l-4 5"),
        };
    }
}

/// Five pixels for one entry, three more each time that they double.
pub(super) fn bar(new: u16) -> usize {
    (5 + 3 * new.max(1).ilog2() as usize).min(HEIGHT)
}

/// The drawing, the newest fetch at its right end.
pub(super) fn plot(recent: &Recent) -> Markup {
    let fetches = recent.iter();
    let first = Recent::MAX - fetches.len();
    let mut paths = Mark::ALL.map(|mark| (mark, String::new()));
    for (at, fetch) in fetches.enumerate() {
        let mark = Mark::of(fetch);
        if let Some((_, path)) = paths.iter_mut().find(|(other, _)| *other == mark) {
            mark.draw(path, (first + at) * STEP, fetch.new);
        }
    }
    html! {
        svg.plot role="img" width=(WIDTH) height=(HEIGHT) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } {
            title { (summary(recent)) }
            desc { (times(recent)) }
            path.floor d={ "M0 " (HEIGHT) "h" (WIDTH) } {}
            @for (mark, path) in &paths {
                @if !path.is_empty() { path class=(mark.class()) d=(PreEscaped(path)) {} }
            }
        }
    }
}

/// What the marks mean.
pub(super) fn legend() -> Markup {
    html! {
        ul.legend aria-label="What the marks of the last fetches mean" {
            @for mark in Mark::ALL {
                @let path = { let mut path = String::new(); mark.draw(&mut path, 0, LEGEND_NEW); path };
                @let (top, end) = mark.extent();
                li {
                    svg.plot aria-hidden="true" width="6" viewBox={ "0 " (top) " 4 " (end - top) } {
                        path class=(mark.class()) d=(PreEscaped(path)) {}
                    }
                    (mark.words())
                }
            }
        }
    }
}

/// `24 fetches: 3 with new entries (12 in all), 19 with nothing new, 2 refused`.
fn summary(recent: &Recent) -> String {
    let counts = Mark::ALL.map(|mark| (mark, recent.iter().filter(|fetch| Mark::of(*fetch) == mark).count()));
    let parts = counts.into_iter().filter(|(_, n)| *n > 0).map(|(mark, n)| match mark {
        Mark::New => {
            let new: u32 = recent.iter().map(|fetch| u32::from(fetch.new)).sum();
            format!("{n} with new entries ({new} in all)")
        }
        Mark::Same => format!("{n} with nothing new"),
        Mark::Refused | Mark::Unreadable => format!("{n} {}", mark.words()),
        Mark::Failed => format!("{n} without an answer"),
    });
    let parts: Vec<String> = parts.collect();
    format!("{}: {}", count(recent.iter().len(), "fetch", "fetches"), parts.join(", "))
}

fn times(recent: &Recent) -> String {
    let time = |at: Timestamp| at.utc().format("%-d %B %Y, %H:%M").to_string();
    match (recent.iter().next(), recent.iter().next_back()) {
        (Some(first), Some(last)) => {
            format!("From {} to {}, the newest at the right end", time(first.at), time(last.at))
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_tell_apart_without_colours_and_words_say_the_same() {
        let fetch = |at, status, came, new| Fetch { at: Timestamp::from_seconds(at), status, came, new };
        let recent = Recent::of([
            fetch(0, Some(200), Came::Read, 500),
            fetch(3600, Some(200), Came::Read, 0),
            fetch(7200, Some(304), Came::Unchanged, 0),
            fetch(10800, Some(404), Came::Refused, 0),
            fetch(14400, Some(200), Came::Unreadable, 0),
            fetch(18000, None, Came::Failed, 0),
        ]);
        let drawn = plot(&recent).into_string();
        for (class, path) in [
            ("new", "M90 0h4v22h-4z"),
            ("same", "M95 20h4v2h-4zM100 20h4v2h-4z"),
            ("refused", "M105 0h4v9h-4z"),
            ("unreadable", "M112 0l2 4l-2 4l-2-4z"),
            ("failed", "M115 1l4 5m0-5l-4 5"),
        ] {
            assert!(drawn.contains(&format!("<path class=\"{class}\" d=\"{path}\"></path>")), "{class}: {drawn}");
        }
        assert!(drawn.contains(
            "<title>6 fetches: 1 with new entries (500 in all), 2 with nothing new, 1 refused, 1 unreadable, 1 without an answer</title>"
        ));
        assert!(
            drawn.contains(
                "<desc>From 1 January 1970, 00:00 to 1 January 1970, 05:00, the newest at the right end</desc>"
            )
        );
        assert!([1, 2, 4, 64].map(bar).is_sorted_by(|a, b| a < b), "more is higher");
        assert_eq!(bar(u16::MAX), HEIGHT);
    }
}
