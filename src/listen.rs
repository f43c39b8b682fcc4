//! What the views say: merging the streams of feeds into pages, and what is between you and the voices. Knows nothing of
//! formats or HTTP.

pub mod health;
pub mod live;
pub mod merge;
pub mod page;
pub mod people;
pub mod relations;
pub mod said;
pub mod sites;
pub mod view;
