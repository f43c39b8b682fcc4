//! `listend status`: asks the running daemon how it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use listend::config::{Config, ListenAddress, Server};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use crate::commands::runtime;
use crate::commands::terminal::Shown;
use crate::{Fault, exit};

/// A daemon that is well answers long before.
const TIMEOUT: Duration = Duration::from_secs(30);
/// So many feeds in trouble are named; `/status` has all.
const MOST_NAMED: usize = 10;

/// What is read of `/status.json`.
#[derive(Deserialize)]
struct Status {
    version: String,
    started_at: String,
    ready: bool,
    lists: Vec<List>,
    feeds: Vec<Feed>,
}

#[derive(Deserialize)]
struct List {
    name: String,
    role: String,
    voices: usize,
    feeds: usize,
    entries: u64,
    fault: Option<String>,
}

#[derive(Deserialize)]
struct Feed {
    url: String,
    state: String,
    last_error: Option<String>,
    failures: u32,
    next_poll: Option<String>,
}

/// Prints what the daemon of this configuration says of itself; `as_json` as it says it. Fails where none answers.
pub(crate) fn status(config: &Config, as_json: bool) -> Result<(), Fault> {
    let answer = runtime()?.block_on(async { tokio::time::timeout(TIMEOUT, ask(&config.server)).await });
    let bytes = answer.unwrap_or_else(|_| Err(format!("it does not answer within {} s", TIMEOUT.as_secs())));
    let bytes =
        bytes.map_err(|why| failed(&format!("no status from the daemon at {}: {why}", config.server.listen)))?;
    let mut out = io::stdout().lock();
    let written = if as_json {
        out.write_all(&bytes).and_then(|()| writeln!(out))
    } else {
        let status: Status = serde_json::from_slice(&bytes)
            .map_err(|error| failed(&format!("the daemon's answer cannot be read: {error}")))?;
        let has_colours = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
        out.write_all(summary(&status, if has_colours { Paint::COLOURS } else { Paint::NONE }).as_bytes())
    };
    written.map_err(|error| failed(&format!("standard output cannot be written: {error}")))
}

fn failed(why: &str) -> Fault {
    Fault::new(exit::FAILURE, why)
}

/// The body of `/status.json`.
#[expect(clippy::disallowed_methods, reason = "this dials nobody but our own daemon, where the configuration puts it")]
async fn ask(server: &Server) -> Result<Bytes, String> {
    match &server.listen {
        ListenAddress::Tcp(address) => match TcpStream::connect(reached_at(*address)).await {
            Ok(stream) => ask_over(stream, server).await,
            Err(error) => Err(error.to_string()),
        },
        ListenAddress::Unix(path) => match UnixStream::connect(path).await {
            Ok(stream) => ask_over(stream, server).await,
            Err(error) => Err(error.to_string()),
        },
    }
}

/// Where a program on this machine reaches what listens here: at every address is also at the loopback one.
fn reached_at(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn ask_over(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    server: &Server,
) -> Result<Bytes, String> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Moves the bytes for as long as this asks.
    let mut moving = JoinSet::new();
    moving.spawn(connection);
    let mut request = Request::get("/status.json").header(HOST, server.base_url.authority());
    if let Some(token) = server.tokens.first() {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Err("it wants a token: one of server.tokens in its configuration, or of the file `tokens` in the \
                        directory that $CREDENTIALS_DIRECTORY names"
                .to_owned());
        }
        other => return Err(format!("it answers {other}")),
    }
    let body = answer.into_body().collect().await.map_err(|error| error.to_string())?;
    Ok(body.to_bytes())
}

/// How to emphasise, on a terminal.
#[derive(Clone, Copy)]
struct Paint {
    good: &'static str,
    bad: &'static str,
    plain: &'static str,
}

impl Paint {
    const NONE: Self = Self { good: "", bad: "", plain: "" };
    const COLOURS: Self = Self { good: "\x1b[32m", bad: "\x1b[33m", plain: "\x1b[0m" };
}

/// The status in some lines for a person.
fn summary(status: &Status, Paint { good, bad, plain }: Paint) -> String {
    let Status { version, started_at, ready, lists, feeds } = status;
    let mut text = String::new();
    let stand = if *ready { format!("{good}ready{plain}") } else { format!("{bad}starting{plain}") };
    let _ = writeln!(text, "listend {version}, {stand}, running since {started_at}");
    let width = lists.iter().map(|list| list.name.len()).max().unwrap_or_default();
    for List { name, role, voices, feeds, entries, fault } in lists {
        let [voices, feeds, entries] = [
            counted(*voices as u64, "voice", "voices", 6),
            counted(*feeds as u64, "feed", "feeds", 6),
            counted(*entries, "entry", "entries", 8),
        ];
        let line = format!("  {name:width$}  {role:9}  {voices} {feeds} {entries}");
        let _ = writeln!(text, "{}", line.trim_end());
        if let Some(fault) = fault {
            let _ = writeln!(
                text,
                "  {:width$}  {bad}cannot be read: {}; what it said last stays in force{plain}",
                "",
                Shown(fault)
            );
        }
    }
    let count = |state: &str| feeds.iter().filter(|feed| feed.state == state).count();
    let _ = writeln!(text, "{}: {}", counted(feeds.len() as u64, "feed", "feeds", 0), states(feeds));
    let waiting = count("new");
    if waiting > 0 {
        let asked = feeds.len() - waiting;
        let _ = writeln!(text, "{asked} of {} were asked; {waiting} wait for their first answer", feeds.len());
    }
    let mut troubled: Vec<_> = feeds.iter().filter(|feed| !matches!(feed.state.as_str(), "ok" | "new")).collect();
    troubled.sort_by(|a, b| b.failures.cmp(&a.failures).then_with(|| a.url.cmp(&b.url)));
    for Feed { url, state, last_error, next_poll, .. } in troubled.iter().take(MOST_NAMED) {
        let why = last_error.as_deref().unwrap_or("no reason is known");
        let next = next_poll.as_deref().map_or_else(String::new, |next| format!("; next poll {next}"));
        let _ = writeln!(text, "  {bad}{state}{plain}  {url}: {}{next}", Shown(why));
    }
    if troubled.len() > MOST_NAMED {
        let _ = writeln!(text, "  and {} more; the page /status has all", troubled.len() - MOST_NAMED);
    }
    text
}

/// A number and what it counts, in a column.
fn counted(number: u64, one: &str, many: &str, width: usize) -> String {
    let (word, column) = (if number == 1 { one } else { many }, many.len());
    if width == 0 { format!("{number} {word}") } else { format!("{number:>width$} {word:column$}") }
}

/// How many feeds are in each state that any is in; those that are well first.
fn states(feeds: &[Feed]) -> String {
    let mut states: BTreeMap<(usize, &str), usize> = BTreeMap::new();
    for feed in feeds {
        let place = ["ok", "new"].iter().position(|well| *well == feed.state).unwrap_or(2);
        *states.entry((place, &feed.state)).or_default() += 1;
    }
    let some: Vec<String> = states.iter().map(|((_, state), number)| format!("{number} {state}")).collect();
    if some.is_empty() { "none".to_owned() } else { some.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_the_worst_first_and_says_what_waits() {
        let json = r#"{"version":"1.0","started_at":"2026-11-23T08:00:00Z","ready":true,
            "lists":[{"name":"followers","role":"followers","voices":2,"feeds":3,"entries":40,"fault":null},
                     {"name":"odd","role":"circle","voices":0,"feeds":0,"entries":0,"fault":"line 3: cut off"}],
            "feeds":[{"url":"https://a.example/","state":"ok","last_error":null,"failures":0,"next_poll":null},
                     {"url":"https://b.example/","state":"new","last_error":null,"failures":0,"next_poll":null},
                     {"url":"https://c.example/","state":"held","last_error":"403 Forbidden","failures":1,
                      "next_poll":"2026-11-23T12:00:00Z"},
                     {"url":"https://d.example/","state":"backoff","last_error":null,"failures":7,"next_poll":null}]}"#;
        let status: Status = serde_json::from_str(json).expect("it is a status");
        let expected = "\
listend 1.0, ready, running since 2026-11-23T08:00:00Z
  followers  followers       2 voices      3 feeds       40 entries
  odd        circle          0 voices      0 feeds        0 entries
             cannot be read: line 3: cut off; what it said last stays in force
4 feeds: 1 ok, 1 new, 1 backoff, 1 held
3 of 4 were asked; 1 wait for their first answer
  backoff  https://d.example/: no reason is known
  held  https://c.example/: 403 Forbidden; next poll 2026-11-23T12:00:00Z
";
        assert_eq!(summary(&status, Paint::NONE), expected);
        assert!(summary(&status, Paint::COLOURS).contains("\x1b[33mheld\x1b[0m"));
    }

    #[test]
    fn what_listens_everywhere_is_reached_on_this_machine() {
        for (listens, reached) in
            [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("192.0.2.1:80", "192.0.2.1:80")]
        {
            let parse = |text: &str| text.parse::<SocketAddr>().expect("an address");
            assert_eq!(reached_at(parse(listens)), parse(reached));
        }
    }
}
