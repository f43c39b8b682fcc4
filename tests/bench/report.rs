//! What was measured, as a table for people and as JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::client::Passes;
use super::farm::Farm;
use super::listening::{Listened, median};
use super::plot::Measured;
use super::serving::Served;

/// One time round: the bare client twice, then listend, so that all of them meet the same weather.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Round {
    /// The client that reads nothing.
    pub(crate) client: Passes,
    /// The client that reads with feed-rs.
    pub(crate) parser: Passes,
    /// listend.
    pub(crate) listend: Listened,
}

/// All that was measured, and on what.
#[derive(Serialize)]
pub(crate) struct Report {
    /// The processor and the number of its cores.
    pub(crate) machine: String,
    /// The day.
    pub(crate) date: String,
    pub(crate) feeds: u32,
    pub(crate) hosts: u32,
    pub(crate) tls: bool,
    pub(crate) close: bool,
    pub(crate) interval_seconds: u64,
    pub(crate) rounds: Vec<Round>,
    /// Pages served, where that was asked for and could be done.
    pub(crate) served: Option<Served>,
}

impl Report {
    /// A report of nothing yet.
    pub(crate) fn new(farm: &Farm, interval_seconds: u64) -> Self {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let model = model.map_or("unknown processor", |(_, model)| model.trim());
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            machine: format!("{cores} cores of {model}"),
            date: super::process::now().utc().format("%Y-%m-%d").to_string(),
            feeds: farm.feeds,
            hosts: farm.hosts,
            tls: farm.tls,
            close: farm.close,
            interval_seconds,
            rounds: Vec::new(),
            served: None,
        }
    }

    /// The median of a figure over all rounds.
    fn of(&self, figure: fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(figure).collect())
    }

    fn machine(&self) -> String {
        format!("{}, {}", self.date, self.machine)
    }

    fn farm(&self) -> String {
        let scheme = if self.tls { "HTTPS" } else { "HTTP" };
        let close = if self.close { ", a connection for each poll" } else { "" };
        let rounds = match self.rounds.len() {
            1 => "one round".to_owned(),
            more => format!("medians of {more} rounds"),
        };
        let (feeds, hosts, interval) = (grouped(f64::from(self.feeds)), self.hosts, self.interval_seconds);
        format!("{feeds} feeds on {hosts} hosts over {scheme}{close}, polled every {interval} s; {rounds}")
    }

    /// What goes into the plot.
    pub(crate) fn measured(&self) -> Measured {
        Measured {
            listend_cold: self.of(|round| round.listend.cold_us) / 1000.0,
            listend_unchanged: self.of(|round| round.listend.unchanged_us) / 1000.0,
            client_unchanged: self.of(|round| round.client.unchanged_us) / 1000.0,
            client_cold: self.of(|round| round.client.cold_us) / 1000.0,
            parser_cold: self.of(|round| round.parser.cold_us) / 1000.0,
            machine: self.machine(),
            farm: self.farm(),
        }
    }

    /// Markdown: a table with ratios, and what one core can do.
    pub(crate) fn markdown(&self) -> String {
        let mut out = format!(
            "{}; {}.\n\n| | listend | bare client | ratio |\n| --- | ---: | ---: | ---: |\n",
            self.machine(),
            self.farm()
        );
        let mut row = |what: &str, ours: String, theirs: String, ratio: String| {
            // Writing into a String never fails.
            let _ = writeln!(out, "| {what} | {ours} | {theirs} | {ratio} |");
        };
        let us = |value: f64| format!("{} µs", grouped(value));
        let none = String::new;
        let (cold, fetched, parsed) = (
            self.of(|round| round.listend.cold_us),
            self.of(|round| round.client.cold_us),
            self.of(|round| round.parser.cold_us),
        );
        let (unchanged, bare) =
            (self.of(|round| round.listend.unchanged_us), self.of(|round| round.client.unchanged_us));
        // Ratios are made within each round, where both met the same weather, and then their median is taken.
        let cold_ratio = self.of(|round| round.listend.cold_us / round.parser.cold_us);
        let unchanged_ratio = self.of(|round| round.listend.unchanged_us / round.client.unchanged_us);
        row(
            "first poll, CPU a feed: read, cleaned, compared, stored; the client reads with feed-rs and stores nothing",
            us(cold),
            us(parsed),
            format!("{cold_ratio:.2}"),
        );
        row("the same where the client reads nothing", us(cold), us(fetched), format!("{:.1}", cold / fetched));
        row("poll of an unchanged feed (304), CPU a feed", us(unchanged), us(bare), format!("{unchanged_ratio:.2}"));
        row(
            "poll where 5 % have a new entry, CPU a feed",
            us(self.of(|round| round.listend.changed_us)),
            none(),
            none(),
        );
        let mib = |value: f64| format!("{value:.0} MiB");
        row(
            "memory at most, all entries being new",
            mib(self.of(|round| round.listend.peak_mib)),
            mib(self.of(|round| round.parser.peak_mib)),
            none(),
        );
        row("memory in the end", mib(self.of(|round| round.listend.resident_mib)), none(), none());
        let (store, entries) = (self.of(|round| round.listend.store_bytes), self.of(|round| round.listend.entries));
        let documents = self.of(|round| round.listend.document_bytes);
        row(
            "database, bytes an entry; beside it what the documents have",
            grouped(store / entries),
            grouped(documents / entries),
            format!("{:.2}", store / documents),
        );
        let ms = |value: f64| if value < 10.0 { format!("{value:.1} ms") } else { format!("{} ms", grouped(value)) };
        for (what, figure) in [
            ("merged feed of the newest 100, rendered", (|round| round.listend.rendered_ms) as fn(&Round) -> f64),
            ("the same, kept", |round| round.listend.kept_ms),
            ("list saved, until its view is there", |round| round.listend.list_ms),
            ("list saved, until its new feed is fetched and merged", |round| round.listend.new_feed_ms),
            ("publisher's answer, until its entry is in the merged feed", |round| round.listend.merged_ms),
            ("start over the full database, until ready", |round| round.listend.ready_ms),
        ] {
            row(what, ms(self.of(figure)), none(), none());
        }
        if let Some(served) = &self.served {
            for (what, ours, theirs) in [
                (
                    "kept page (gzip), requests a second of one worker; beside it nginx",
                    served.listend.whole,
                    served.nginx.whole,
                ),
                ("the same, 304", served.listend.unchanged, served.nginx.unchanged),
            ] {
                row(what, grouped(ours), grouped(theirs), format!("{:.2}", ours / theirs));
            }
            for (what, ours, theirs) in [
                ("kept page (gzip), CPU a request; beside it nginx", served.listend.whole_us, served.nginx.whole_us),
                ("the same, 304", served.listend.unchanged_us, served.nginx.unchanged_us),
            ] {
                row(what, format!("{ours:.1} µs"), format!("{theirs:.1} µs"), format!("{:.2}", ours / theirs));
            }
        }
        let kind = match (self.tls, self.close) {
            (true, true) => "over HTTPS, each on a connection of its own",
            (true, false) => "over HTTPS, on connections that are kept",
            (false, true) => "over HTTP, each on a connection of its own",
            (false, false) => "over HTTP, on connections that are kept",
        };
        let resumed = self.of(|round| round.listend.resumed) * 100.0;
        let resumed = if self.tls { format!(", {resumed:.0} % of them TLS sessions resumed") } else { String::new() };
        let _ = write!(
            out,
            "\nOne core polls {} unchanged feeds an hour {kind} ({:.2} new connections a poll{resumed}): 3,600 s a core ÷ {unchanged:.1} µs.\n\
             First poll: {:.1} s until all {} entries were stored.\n",
            grouped(3.6e9 / unchanged),
            self.of(|round| round.listend.connections),
            self.of(|round| round.listend.cold_seconds),
            grouped(entries)
        );
        out
    }
}

/// A whole number with commas between thousands.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
