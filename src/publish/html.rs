//! The pages for people: quiet, legible, complete without scripts, and loading nothing from anywhere else.
//!
//! Each page is made of one `layout` and what stands in it. All links inside the daemon are paths, so that a page works
//! under whatever name it was reached. Knows neither HTTP nor where entries come from.

mod answered;
mod charts;
mod entries;
mod front;
mod layout;
mod love;
mod message;
mod people;
mod plot;
mod present;
mod river;
mod rolodex;
mod status;
mod today;
mod voice;

use std::fmt::Write as _;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

pub use answered::answered;
pub use front::{Circle, Folder, Front, Hearing, front};
pub use message::message;
pub use present::present;
pub use river::river;
pub use rolodex::rolodex;
pub use status::{Asked, FeedRow, ListRow, Status, status};
pub use voice::voice;

/// The media type of all pages here.
pub const MEDIA_TYPE: &str = "text/html; charset=utf-8";

/// The style sheet of all pages: one for light and dark, for a phone and a wide screen. It loads nothing.
pub const STYLE: &str = include_str!("html/style.css");

static STYLE_PATH: LazyLock<String> = LazyLock::new(|| {
    let digest = Sha256::digest(STYLE.as_bytes());
    let mut path = String::from("/style-");
    for byte in &digest[..6] {
        // Writing to a string never fails.
        let _ = write!(path, "{byte:02x}");
    }
    path + ".css"
});

/// The path at which [`STYLE`] is to be served, as `/style-0123456789ab.css`: it changes with the content, so what is
/// found there may be kept for ever.
pub fn style_path() -> &'static str {
    &STYLE_PATH
}
