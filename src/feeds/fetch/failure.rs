//! Why there is no answer: the kinds of failure, and which of them a fault of the client's parts is.

use std::error::Error;
use std::time::Duration;

use hyper_util::client::legacy;

use super::MAX_HEADER_BYTES;
use super::connect::TooSlow;
use crate::feeds::address::{Blocked, Unresolved};

/// Why there is no answer. Each prints in plain words and without credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The guard refused an address, at whatever hop; nothing was sent there.
    #[error("{0}")]
    Blocked(#[from] Blocked),
    /// The name could not be resolved.
    #[error("the name cannot be resolved: {0}")]
    Dns(String),
    /// No connection: refused, unreachable, or not within the connect timeout.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// No secure connection.
    #[error("no secure connection: {0}")]
    Tls(String),
    /// The answer, or its beginning, took too long.
    #[error("no {part} within {limit:?}")]
    Timeout {
        /// What was waited for.
        part: &'static str,
        /// For how long.
        limit: Duration,
    },
    /// More came than is taken.
    #[error("the {part} is larger than {max_bytes} bytes")]
    TooLarge {
        /// What was too large.
        part: &'static str,
        /// What is taken.
        max_bytes: usize,
    },
    /// More redirects than are followed, or one back to an address of the same chain.
    #[error("redirects lead nowhere: {0}")]
    RedirectLoop(String),
    /// A redirect without a usable target.
    #[error("a redirect cannot be followed: {0}")]
    BadRedirect(String),
    /// A redirect led to where nobody could be reached; whoever redirected was.
    #[error("redirected to {host}: {failure}")]
    Astray {
        /// The host that the redirect named.
        host: String,
        /// What happened there.
        failure: Box<Failure>,
    },
    /// A redirect led to a host that may not be asked now; nothing was sent there.
    #[error("redirected to {0}, which has too many requests waiting or asked to be spared")]
    NoTurn(String),
    /// The connection broke, or what came over it was no HTTP.
    #[error("the answer cannot be read: {0}")]
    Transport(String),
}

impl Failure {
    /// A fixed word for each kind, for metrics and tables.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Blocked(_) => "blocked_address",
            Self::Dns(_) => "dns",
            Self::Unreachable(_) => "unreachable",
            Self::Tls(_) => "tls",
            Self::Timeout { .. } => "timeout",
            Self::TooLarge { .. } => "too_large",
            Self::RedirectLoop(_) | Self::BadRedirect(_) => "redirect",
            Self::Astray { failure, .. } => failure.kind(),
            Self::NoTurn(_) => "no_turn",
            Self::Transport(_) => "transport",
        }
    }

    /// Whether the fault may be our own network's: no name, no route, no connection.
    pub const fn may_be_our_network(&self) -> bool {
        matches!(self, Self::Dns(_) | Self::Unreachable(_))
    }

    /// Whether somebody was reached: there was a connection. What the guard refused says nothing, nor does silence.
    pub const fn was_somebody_reached(&self) -> bool {
        !matches!(self, Self::Dns(_) | Self::Unreachable(_) | Self::Blocked(_) | Self::Timeout { .. })
    }
}

impl Failure {
    /// What a fault on the way to the answer's headers means.
    pub(super) fn of_request(error: &legacy::Error) -> Self {
        Self::of(error, error.is_connect())
    }

    /// What a fault within the answer's body means.
    pub(super) fn of_body(error: &hyper::Error) -> Self {
        Self::of(error, false)
    }

    fn of(error: &(dyn Error + 'static), is_connect: bool) -> Self {
        let mut cause = error;
        let mut is_dns = false;
        loop {
            if let Some(blocked) = cause.downcast_ref::<Blocked>() {
                return Self::Blocked(blocked.clone());
            }
            if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
                return Self::Tls(tls.to_string());
            }
            if let Some(slow) = cause.downcast_ref::<TooSlow>() {
                return Self::Unreachable(slow.to_string());
            }
            if cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse_too_large) {
                return Self::TooLarge { part: "header", max_bytes: MAX_HEADER_BYTES };
            }
            is_dns |= cause.is::<Unresolved>();
            match beneath(cause) {
                Some(deeper) => cause = deeper,
                None => break,
            }
        }
        // The innermost cause alone: those around it may repeat the URL, and with it credentials.
        let why: String = cause.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
        if is_dns {
            Self::Dns(why)
        } else if is_connect {
            Self::Unreachable(why)
        } else {
            Self::Transport(why)
        }
    }
}

/// Whether the server said that it has not looked at the request, so that it may be sent again (RFC 9113, section 8.7):
/// it refused the stream, or was closing the connection in good order.
pub(super) fn is_unprocessed(error: &legacy::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(h2) = error.downcast_ref::<h2::Error>() {
            let reason = h2.reason();
            return h2.is_remote()
                && (h2.is_go_away() && reason == Some(h2::Reason::NO_ERROR)
                    || h2.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM));
        }
        cause = beneath(error);
    }
    false
}

/// What an error was caused by. An I/O error names as its source the source of what it wraps, and so leaves out the
/// wrapped one itself.
fn beneath<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source())
}
