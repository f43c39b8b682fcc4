//! Lists: from files in a directory to the roster, and the watcher that says when to read them again.

mod corpus;
mod directory;
mod properties;
mod roster;
mod size;
mod spellings;
mod watch;
