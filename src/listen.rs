//! What the views say: merging the streams of feeds into pages. Knows nothing of formats or HTTP.

pub mod health;
pub mod live;
pub mod merge;
pub mod page;
pub mod view;
