//! The address guard: which addresses may be dialled.
//!
//! Owns the table of addresses that are not globally routable, the list of exact exceptions, and the resolver that
//! hands the client nothing else: the client dials only what this resolver answers, so that the address checked is the
//! address dialled, and no second answer for the name can come between. Knows nothing of requests or redirects.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::Semaphore;
use tower_service::Service;
use url::{Host, Url};

/// Why an address may not be dialled. Every message starts with `blocked_address`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// Another scheme than `http` and `https`.
    #[error("blocked_address: the scheme `{0}` is not http or https")]
    Scheme(String),
    /// A URL without a host.
    #[error("blocked_address: the URL names no host")]
    NoHost,
    /// The URL's host is such an address, or the name's answers hold one.
    #[error("blocked_address: {address} is {reason}")]
    Address {
        /// The address, as it would be dialled.
        address: IpAddr,
        /// What it is instead of globally routable.
        reason: Reach,
    },
}

/// What an address is when it is not globally routable (the IANA special-purpose address registries, RFC 6890).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This computer: `127.0.0.0/8`, `::1`.
    Loopback,
    /// No address: `0.0.0.0/8`, `::`.
    Unspecified,
    /// A private network: RFC 1918, carrier-grade NAT (RFC 6598), unique and site local addresses.
    Private,
    /// This link only: `169.254.0.0/16` (where clouds keep their metadata), `fe80::/10`.
    LinkLocal,
    /// Many receivers: `224.0.0.0/4`, `ff00::/8`, broadcast.
    Multicast,
    /// Set aside: documentation, benchmarks, protocols, the future.
    Reserved,
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "this computer itself",
            Self::Unspecified => "no address of a host",
            Self::Private => "an address of a private network",
            Self::LinkLocal => "an address of the local link",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
        })
    }
}

/// Decides which addresses may be dialled. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    allow: Arc<BTreeSet<SocketAddr>>,
}

impl Guard {
    /// A guard that lets only globally routable addresses through, and the exact pairs of address and port in `allow`.
    pub fn new(allow: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self {
            allow: Arc::new(
                allow.into_iter().map(|pair| SocketAddr::new(pair.ip().to_canonical(), pair.port())).collect(),
            ),
        }
    }

    /// Checks what the URL itself says: its scheme, and its host where that is an address in whatever spelling. A name
    /// passes; its answers are checked when it is resolved.
    pub fn permits_literal(&self, url: &Url) -> Result<(), Blocked> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Blocked::Scheme(url.scheme().to_owned()));
        }
        let port = url.port_or_known_default().unwrap_or(0);
        match url.host().ok_or(Blocked::NoHost)? {
            Host::Ipv4(address) => self.permits(SocketAddr::new(address.into(), port)),
            Host::Ipv6(address) => self.permits(SocketAddr::new(address.into(), port)),
            Host::Domain("") => Err(Blocked::NoHost),
            Host::Domain(_) => Ok(()),
        }
    }

    /// Checks the host that is about to be dialled, where it is an address (an IPv6 one in brackets).
    pub fn permits_host(&self, host: &str, port: u16) -> Result<(), Blocked> {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        host.parse().map_or(Ok(()), |ip| self.permits(SocketAddr::new(ip, port)))
    }

    /// Checks the address and port that would be dialled.
    pub fn permits(&self, address: SocketAddr) -> Result<(), Blocked> {
        // A mapped address is dialled as the IPv4 address inside: it is that pair, in another spelling.
        let dialled = SocketAddr::new(address.ip().to_canonical(), address.port());
        match reach(dialled.ip()) {
            Some(reason) if !self.allow.contains(&dialled) => Err(Blocked::Address { address: address.ip(), reason }),
            _ => Ok(()),
        }
    }

    /// Checks all answers for a name: one forbidden address among them refuses the name.
    pub fn permits_all(&self, answers: &[IpAddr], port: u16) -> Result<(), Blocked> {
        answers.iter().try_for_each(|&ip| self.permits(SocketAddr::new(ip, port)))
    }
}

/// What the address is, if it is not globally routable; `None` if it is.
///
/// Addresses that carry an IPv4 address on their way (mapped, NAT64, 6to4, Teredo) are judged by what they carry.
pub fn reach(address: IpAddr) -> Option<Reach> {
    match address {
        IpAddr::V4(v4) => reach_v4(v4),
        IpAddr::V6(v6) => reach_v6(v6),
    }
}

fn reach_v4(address: Ipv4Addr) -> Option<Reach> {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (0, ..) => Some(Reach::Unspecified),
        (127, ..) => Some(Reach::Loopback),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Some(Reach::Private),
        (169, 254, _) => Some(Reach::LinkLocal),
        (224..=239, ..) => Some(Reach::Multicast),
        // 192.0.0/24 protocols, 192.0.2/24 documentation, 192.88.99/24 former 6to4 relays, 198.18/15 benchmarks,
        // 198.51.100/24 and 203.0.113/24 documentation, 240/4 the future with broadcast at its end.
        (192, 0, 0 | 2) | (192, 88, 99) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) | (240..=255, ..) => {
            Some(Reach::Reserved)
        }
        _ => None,
    }
}

fn reach_v6(address: Ipv6Addr) -> Option<Reach> {
    let words = address.segments();
    let carried = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        reach_v4(Ipv4Addr::new(a, b, c, d))
    };
    match words {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some(Reach::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(Reach::Loopback),
        // IPv4-mapped (RFC 4291, section 2.5.5.2), the well-known NAT64 prefix (RFC 6052), 6to4 (RFC 3056).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            carried(high, low)
        }
        // IPv4-compatible (deprecated) and IPv4-translated (RFC 2765): nobody routes them, whatever they carry.
        [0, 0, 0, 0, 0 | 0xffff, 0, high, low] => carried(high, low).or(Some(Reach::Reserved)),
        // Teredo (RFC 4380): the server in the clear, the client inverted.
        [0x2001, 0, high, low, _, _, client_high, client_low] => {
            carried(high, low).or_else(|| carried(!client_high, !client_low))
        }
        // The rest of 2001::/23 (benchmarks, ORCHID, drones, protocols), 2001:db8::/32 and 3fff::/20 documentation.
        [0x2001, 0..=0x01ff | 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Some(Reach::Reserved),
        // Global unicast so far is 2000::/3 and nothing else.
        [0x2000..=0x3fff, ..] => None,
        // With them NAT64 of one's own network (RFC 8215): where in it the IPv4 address stands is that network's secret.
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] | [0x64, 0xff9b, ..] => Some(Reach::Private),
        [0xfe80..=0xfebf, ..] => Some(Reach::LinkLocal),
        [0xff00..=0xffff, ..] => Some(Reach::Multicast),
        _ => Some(Reach::Reserved),
    }
}

/// Where names are looked up.
#[derive(Clone, Default)]
pub enum Lookup {
    /// As the system does it: hosts file, DNS.
    #[default]
    System,
    /// By this function instead: for villages on loopback, and for answers that no DNS would give twice.
    Answers(Answers),
}

/// What a name's addresses are.
pub type Answers = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Answers(_) => "Answers",
        })
    }
}

/// The client's look-ups of names: permitted addresses only, or the name is refused. Cheap to clone.
#[derive(Clone, Debug)]
pub struct GuardedNames {
    guard: Guard,
    lookup: Lookup,
    lookups: Arc<Semaphore>,
}

/// The resolver for one connection. It is asked for a name without the port that will be dialled, on which the guard's
/// exceptions depend: so it knows the port already.
#[derive(Clone, Debug)]
pub struct NamesAtPort {
    names: GuardedNames,
    port: u16,
}

/// A name that there is no address for, or none that may be dialled.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unresolved(#[source] Box<dyn Error + Send + Sync>);

/// Most look-ups that the system does for us at once. Each holds a thread for as long as a name server keeps silent.
const MAX_SYSTEM_LOOKUPS: usize = 256;
/// Most answers for one name that are looked at; the client would not try more anyway.
const MAX_ANSWERS: usize = 64;

impl GuardedNames {
    /// Look-ups under this guard.
    pub fn new(guard: Guard, lookup: Lookup) -> Self {
        Self { guard, lookup, lookups: Arc::new(Semaphore::new(MAX_SYSTEM_LOOKUPS)) }
    }

    /// The resolver for a connection to this port.
    #[must_use]
    pub fn at(&self, port: u16) -> NamesAtPort {
        NamesAtPort { names: self.clone(), port }
    }

    async fn answers(self, name: String, port: u16) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        let mut answers = match self.lookup {
            Lookup::Answers(answer) => answer(&name)?,
            Lookup::System => {
                let permit = self.lookups.acquire_owned().await?;
                // A look-up cannot be interrupted: its permit goes with its thread, not with the impatient request.
                let found = tokio::task::spawn_blocking(move || {
                    let found = (name.as_str(), 0).to_socket_addrs();
                    drop(permit);
                    found
                });
                found.await??.map(|address| address.ip()).collect()
            }
        };
        self.guard.permits_all(&answers, port)?;
        answers.truncate(MAX_ANSWERS);
        if answers.is_empty() {
            return Err("the name has no address".into());
        }
        Ok(answers.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
    }
}

impl Service<Name> for NamesAtPort {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unresolved>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let answers = self.names.clone().answers(name.as_str().to_owned(), self.port);
        Box::pin(async { answers.await.map(Vec::into_iter).map_err(Unresolved) })
    }
}
