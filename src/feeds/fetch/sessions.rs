//! TLS sessions of hosts that were asked before, so that the next handshake with them is the short one.
//!
//! The TLS library's own store keeps up to eight tickets for each host, and with each of them the host's certificates:
//! about 4 KB a ticket. A host that is asked every half hour needs one.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// Hosts whose sessions are kept: 4 KB each, so 16 MB where there are so many.
const MAX_SESSIONS: usize = 4096;

/// The sessions, one for each host.
#[derive(Default)]
pub(super) struct Sessions {
    by_host: Mutex<HashMap<ServerName<'static>, Session>>,
}

#[derive(Default)]
struct Session {
    /// The key exchange that the host chose, offered first the next time.
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    /// The newest ticket, for one use (RFC 8446, appendix C.4).
    tls13: Option<Tls13ClientSessionValue>,
}

impl Sessions {
    fn by_host(&self) -> MutexGuard<'_, HashMap<ServerName<'static>, Session>> {
        self.by_host.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn edit(&self, host: ServerName<'static>, edit: impl FnOnce(&mut Session)) {
        let mut by_host = self.by_host();
        if by_host.len() >= MAX_SESSIONS && !by_host.contains_key(&host) {
            // Whichever comes first in the map's own order. Polls go round in circles: the oldest host would be the
            // next one wanted, and of more hosts than fit none would ever be found.
            if let Some(any) = by_host.keys().next().cloned() {
                by_host.remove(&any);
            }
        }
        edit(by_host.entry(host).or_default());
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, host: ServerName<'static>, group: NamedGroup) {
        self.edit(host, |session| session.group = Some(group));
    }

    fn kx_hint(&self, host: &ServerName<'_>) -> Option<NamedGroup> {
        self.by_host().get(&host.to_owned())?.group
    }

    fn set_tls12_session(&self, host: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.edit(host, |session| session.tls12 = Some(value));
    }

    fn tls12_session(&self, host: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.by_host().get(&host.to_owned())?.tls12.clone()
    }

    fn remove_tls12_session(&self, host: &ServerName<'static>) {
        if let Some(session) = self.by_host().get_mut(host) {
            session.tls12 = None;
        }
    }

    fn insert_tls13_ticket(&self, host: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.edit(host, |session| session.tls13 = Some(value));
    }

    fn take_tls13_ticket(&self, host: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.by_host().get_mut(host)?.tls13.take()
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("hosts", &self.by_host().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(index: usize) -> ServerName<'static> {
        format!("host{index}.example").try_into().expect("a name")
    }

    #[test]
    fn more_hosts_than_fit_go_round_in_circles_and_most_are_found() {
        let sessions = Sessions::default();
        let hosts = MAX_SESSIONS * 5 / 4;
        let mut found = 0;
        for index in (0..2 * hosts).map(|index| index % hosts) {
            found += usize::from(sessions.kx_hint(&host(index)).is_some());
            sessions.set_kx_hint(host(index), NamedGroup::X25519);
        }
        assert_eq!(sessions.by_host().len(), MAX_SESSIONS);
        // The oldest first would find none.
        assert!(found > MAX_SESSIONS / 2, "{found} of {hosts}");
    }
}
