//! The tests, by room. Everything goes through the front door unless a rule says otherwise.
#![allow(clippy::disallowed_methods, reason = "tests are the outside world: they have clocks, clients and processes")]
#![allow(clippy::print_stdout, reason = "some tests print the table that they check")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod harness;
#[path = "../month/mod.rs"]
mod month;
#[path = "../village/mod.rs"]
#[allow(dead_code, reason = "the example uses the rest")]
mod village;

mod answered;
mod answers;
mod backup;
mod cleaning;
mod command_line;
mod config;
mod connections;
mod crash;
mod discovery;
mod effort;
mod faults;
mod fetching;
mod guard;
mod health;
mod heard;
mod house;
mod includes;
mod list_edits;
mod lists;
mod moves;
mod namespace;
mod network;
mod origin;
mod pages;
mod proxies;
mod readers;
mod reading;
mod regressions;
mod relations;
mod restart;
mod serving;
mod short_month;
mod status_command;
mod store;
mod systemd;
mod two_hundred;
mod views;
mod watching;
mod webmention;
mod websub;
