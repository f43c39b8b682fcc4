//! The address guard of the running daemon, in a network namespace of its own where every address answers.
//!
//! The namespace has only loopback, which owns every IPv4 address and the forbidden IPv6 ones, so nothing can leave it. The
//! kernel's own count of connections begun is held against what the one permitted origin has accepted.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

use crate::guard::FORBIDDEN_HOSTS;
use crate::harness::{Daemon, Home, opml, outline, until_within};
use crate::origin::{Origin, Reply, answer, feed_url};

/// Set for the test that runs inside; names the file that stands for the system's table of names there.
const INSIDE: &str = "LISTEND_TEST_NAMES";
const TEST: &str = "namespace::no_connection_is_begun_to_a_forbidden_address";
/// Makes the namespace: `$1` the table of names, `$2` the IPv6 addresses, then the command to run inside.
const SETUP: &str = "set -e; mount --bind \"$1\" /etc/hosts; ip link set lo up; ip route add local default dev lo; \
                     for a in $2; do ip -6 addr add $a/128 dev lo nodad; done; shift 2; exec \"$@\"";
/// Several hundred feeds and lists have their turns meanwhile.
const PATIENCE: Duration = Duration::from_secs(90);

/// The address that each spelling means.
fn addresses() -> Vec<IpAddr> {
    let url = |host: &&str| feed_url(&format!("http://{host}/"));
    let urls = FORBIDDEN_HOSTS.iter().map(url);
    urls.map(|url| url.host().trim_matches(['[', ']']).parse::<IpAddr>().unwrap().to_canonical()).collect()
}

#[test]
fn no_connection_is_begun_to_a_forbidden_address() {
    if let Some(names) = std::env::var_os(INSIDE) {
        return inside(std::path::Path::new(&names));
    }
    let names = tempfile::NamedTempFile::new().unwrap();
    // What cannot be a host's own address is left out: `::`, the local link without an interface, groups.
    let own = |ip: &IpAddr| ip.is_ipv6() && !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast());
    let ipv6: BTreeSet<IpAddr> = addresses().into_iter().filter(own).collect();
    let ipv6: Vec<String> = ipv6.iter().map(ToString::to_string).collect();
    let unshare = |inside: &[&std::ffi::OsStr]| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "--mount", "sh", "-c", SETUP, "sh"]).arg(names.path());
        command.arg(ipv6.join(" ")).args(inside).env(INSIDE, names.path());
        command.output()
    };
    match unshare(&["true".as_ref()]) {
        Ok(made) if made.status.success() => {}
        Ok(made) => {
            return eprintln!("SKIPPED: no network namespace: {}", String::from_utf8_lossy(&made.stderr).trim());
        }
        Err(error) => return eprintln!("SKIPPED: no network namespace: unshare: {error}"),
    }
    let this = std::env::current_exe().unwrap();
    let ran = unshare(&[this.as_os_str(), "--exact".as_ref(), TEST.as_ref(), "--nocapture".as_ref()]).unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    println!("{said}");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains("1 passed"));
}

/// How a forbidden address is come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Literal,
    Name,
    Rebinding,
    Redirect,
}

/// Connections that this namespace has begun, answered or not.
fn begun() -> usize {
    let counters = fs::read_to_string("/proc/self/net/snmp").unwrap();
    let mut tcp = counters.lines().filter(|line| line.starts_with("Tcp:")).map(str::split_whitespace);
    let (names, values) = (tcp.next().unwrap(), tcp.next().unwrap());
    let (_, value) = names.zip(values).find(|(name, _)| *name == "ActiveOpens").unwrap();
    value.parse().unwrap()
}

fn count(daemon: &Daemon, line: &str, part: &str) -> usize {
    daemon.log().lines().filter(|said| said.contains(line) && said.contains(part)).count()
}

fn inside(names: &std::path::Path) {
    let addresses = addresses();
    // The permitted origin has the canaries' port: a name that changes its mind keeps its port.
    let good = TcpListener::bind("127.9.9.9:0").unwrap();
    let port = good.local_addr().unwrap().port();
    let distinct: BTreeSet<IpAddr> = addresses.iter().copied().collect();
    let canaries: Vec<Origin> = distinct
        .iter()
        // Groups can be listened to, and are nobody to connect to.
        .filter(|ip| !ip.is_multicast() && **ip != IpAddr::V4(Ipv4Addr::BROADCAST))
        .filter_map(|ip| TcpListener::bind((*ip, port)).ok())
        .map(|listener| Origin::serve_on(listener, |_| answer(200, "Connection: close\r\n", "")))
        .collect();
    let reached = || canaries.iter().map(Origin::connections).sum::<usize>();
    let origin = Origin::serve_on(good, move |request| {
        let path = &request.path;
        let (head, body) = if let Some((_, named)) = path.split_once("page=") {
            let link = format!("<link rel=alternate type=application/rss+xml href='{named}'>");
            ("200 X\r\nContent-Type: text/html".to_owned(), format!("<!doctype html><html><head>{link}</head></html>"))
        } else if let Some((_, to)) = path.split_once("to=") {
            (format!("302 X\r\nLocation: {to}"), String::new())
        } else if path.contains(".opml") {
            ("200 X".to_owned(), opml(""))
        } else if !path.ends_with(['f', 'h', 'p']) {
            // No usual place of a feed has one.
            ("404 X".to_owned(), String::new())
        } else {
            ("200 X".to_owned(), "<rss version='2.0'><channel><title>A</title></channel></rss>".to_owned())
        };
        let length = body.len();
        Reply::Close(
            format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes(),
        )
    });
    for way in [Way::Literal, Way::Name, Way::Rebinding, Way::Redirect] {
        let table = |is_good: bool| {
            let mut table = String::new();
            for (index, ip) in addresses.iter().enumerate() {
                let ip = if is_good { origin.address.ip() } else { *ip };
                writeln!(table, "{ip} n{index}.test").unwrap();
            }
            fs::write(names, table).unwrap();
        };
        table(way == Way::Rebinding);
        let target = |index: usize, file: &str| match way {
            Way::Literal => format!("http://{}:{port}/{index}{file}", FORBIDDEN_HOSTS[index]),
            Way::Name | Way::Rebinding => format!("http://n{index}.test:{port}/{index}{file}"),
            Way::Redirect => {
                let to = feed_url(&format!("http://{}:{port}/{index}{file}", FORBIDDEN_HOSTS[index]));
                origin.url(&format!("/?to={to}"))
            }
        };
        let mut outlines = String::new();
        for index in 0..addresses.len() {
            outlines += &outline("Feed", &target(index, "f"));
            writeln!(outlines, "<outline text='Home' htmlUrl='{}'/>", target(index, "h")).unwrap();
            outlines += &outline("Page", &origin.url(&format!("/{index}?page={}", target(index, "p"))));
            writeln!(outlines, "<outline type='include' text='List' url='{}'/>", target(index, "i.opml")).unwrap();
        }
        let home = Home::new().allowing(&[origin.address]);
        home.write_list("desired", &opml(&outlines));
        let (begun_before, accepted_before) = (begun(), origin.connections());
        // Nobody asks the daemon anything meanwhile: every connection begun is its own.
        let daemon = home.start();
        let all = addresses.len();
        if way == Way::Rebinding {
            until_within(PATIENCE, "all were good once", || {
                let paths: BTreeSet<String> = origin.requests().into_iter().map(|request| request.path).collect();
                let is_asked = |index, kind: &str| paths.contains(&format!("/{index}{kind}"));
                let kinds = ["f", "h", "p", "i.opml"];
                (0..all).all(|index| kinds.iter().all(|kind| is_asked(index, kind))).then_some(())
            });
            table(false);
        }
        // Of a page that names a forbidden address no more is said than that it names no feed.
        let (pages, feeds) = if way == Way::Rebinding { (0, 3 * all) } else { (all, 2 * all) };
        until_within(PATIENCE, "all are refused", || {
            let lists = count(&daemon, "a remote list cannot be read", "blocked_address");
            let refused = count(&daemon, "feed failed", "blocked_address");
            let without = count(&daemon, "feed failed", "no feed of it was found");
            (lists >= all && refused >= feeds && without >= pages).then_some(())
        });
        daemon.stop();
        let (begun, accepted) = (begun() - begun_before, origin.connections() - accepted_before);
        println!(
            "{way:?}: {all} spellings as feed, home page, named feed and list; {} canaries reached {} times; {begun} connections begun, {accepted} at the permitted origin",
            canaries.len(),
            reached()
        );
        assert_eq!((reached(), begun), (0, accepted), "{way:?}");
    }

    // With exact exceptions the canaries are reached, so they would have seen it.
    let allowed: Vec<SocketAddr> = canaries.iter().map(|canary| canary.address).collect();
    let home = Home::new().allowing(&allowed);
    home.write_list(
        "desired",
        &opml(&allowed.iter().map(|pair| outline("Canary", &format!("http://{pair}/"))).collect::<String>()),
    );
    let daemon = home.start();
    until_within(PATIENCE, "each canary is reached", || {
        canaries.iter().all(|canary| canary.connections() > 0).then_some(())
    });
    daemon.stop();
    println!("with exact exceptions all {} canaries are reached", canaries.len());
    for seen in ["10.0.0.1", "169.254.169.254", "192.168.0.1", "fc00::1"] {
        assert!(allowed.iter().any(|pair| pair.ip().to_string() == seen), "{seen} has a canary");
    }
}
