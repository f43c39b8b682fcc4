//! `listend run`: the daemon in the foreground, from sockets and signals to the last commit.

use std::io::{self, IsTerminal, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use listend::config::{Config, ListenAddress};
use listend::daemon::{self, Signals};
use listend::http::Listener;
use listend::store::{OpenError, StoreError};
use listenfd::ListenFd;
use socket2::SockRef;
use tokio::net::TcpSocket;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use tracing_subscriber::EnvFilter;

use super::{damaged, open_fault, runtime};
use crate::{Fault, exit};

/// Connections that wait to be accepted, as systemd has it for its sockets too; the kernel may allow fewer.
const BACKLOG: u32 = 4096;
/// What the kernel takes of an answer before the client has: it takes twice that, and by itself megabytes, which a thousand
/// clients who read nothing would make gigabytes. Most pages are smaller.
const SEND_BUFFER_BYTES: usize = 128 << 10;
/// How long threads that read documents may take to end.
const ENDING_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs the daemon until SIGTERM or SIGINT.
pub(crate) fn run(config: Config) -> Result<(), Fault> {
    start_log();
    let runtime = runtime()?;
    let ended = runtime.block_on(serve(config));
    // A document that takes long to read is no reason to stay.
    runtime.shutdown_timeout(ENDING_TIMEOUT);
    ended
}

/// One line an event on standard error; without timestamps under systemd, whose journal has its own.
fn start_log() {
    let filter = EnvFilter::try_from_env("LISTEND_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal());
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.without_time().init();
    } else {
        log.init();
    }
    // Parsers and the database contain the panics of what they call; those are lines of the log like any other fault.
    std::panic::set_hook(Box::new(|panic| {
        // One line an event.
        let panic = panic.to_string().replace('\n', " ");
        tracing::error!("{panic}");
    }));
}

async fn serve(mut config: Config) -> Result<(), Fault> {
    let listener = listen(&config)?;
    let store = daemon::open_store(&config).await.map_err(|error| open_fault(&config, error))?;
    let signals = Signals::default();
    if let Some(address) = listener.listener.local_addr() {
        config.server.set_bound(address);
    }
    let url = config.server.base_url.clone();
    let socket = match (&config.server.listen, listener.is_inherited) {
        (ListenAddress::Unix(path), false) => Some(path.clone()),
        _ => None,
    };
    let listener = listener.listener;
    let on_ready = move || {
        let mut out = io::stdout().lock();
        // Nobody may be reading standard output any more; the daemon runs all the same.
        let _ = writeln!(out, "listend is ready: {url}").and_then(|()| out.flush());
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    };
    let mut terminate = on(SignalKind::terminate())?;
    let mut interrupt = on(SignalKind::interrupt())?;
    let mut hangup = on(SignalKind::hangup())?;
    let on_alive = || {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
    };
    let running = daemon::run(config.clone(), store, listener, signals.clone(), on_ready, on_alive);
    tokio::pin!(running);
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {
                signals.reload.notify_one();
                continue;
            }
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        signals.shutdown.cancel();
    };
    if let Some(path) = socket {
        // It leads nowhere now; a start would remove it as well.
        let _ = std::fs::remove_file(path);
    }
    ended.map_err(|error| {
        let is_damaged = match error.downcast_ref::<StoreError>() {
            Some(StoreError::Damaged { .. } | StoreError::Reopen(OpenError::Damaged { .. })) => true,
            _ => matches!(error.downcast_ref::<OpenError>(), Some(OpenError::Damaged { .. })),
        };
        if is_damaged { damaged(&config, &format_args!("{error:#}")) } else { error.into() }
    })
}

fn on(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Fault> {
    signal(kind).map_err(|error| Fault::new(exit::FAILURE, format!("signals cannot be received: {error}")))
}

/// A socket, and whether systemd handed it over.
struct Bound {
    listener: Listener,
    is_inherited: bool,
}

/// The socket that systemd handed over, else one bound to the configured address.
fn listen(config: &Config) -> Result<Bound, Fault> {
    let mut inherited = ListenFd::from_env();
    let is_inherited = inherited.len() > 0;
    let listener = if let Ok(Some(socket)) = inherited.take_tcp_listener(0) {
        let reachable = !socket.local_addr().is_ok_and(|address| address.ip().is_loopback());
        if reachable && config.server.tokens.is_empty() && !config.server.public {
            let problem = "the inherited socket can be reached by others; set server.tokens, or server.public = true";
            return Err(Fault::new(exit::CONFIGURATION, problem));
        }
        tcp(socket)
    } else if let Ok(Some(socket)) = inherited.take_unix_listener(0) {
        unix(socket)
    } else {
        match &config.server.listen {
            ListenAddress::Tcp(address) => bind_tcp(*address),
            ListenAddress::Unix(path) => bind_unix(path).and_then(unix),
        }
    };
    if is_inherited {
        info!("systemd has handed over a socket; server.listen is not used");
    }
    listener.map(|listener| Bound { listener, is_inherited }).map_err(|error| {
        let advice = if error.kind() == io::ErrorKind::AddrInUse {
            "something listens there already; stop it, or set server.listen to another address"
        } else if matches!(config.server.listen, ListenAddress::Unix(_)) {
            "its directory must exist and be writable"
        } else {
            "set server.listen to an address of this machine"
        };
        Fault::new(
            exit::FAILURE,
            format!("server.listen: `{}` cannot be used ({error}): {advice}", config.server.listen),
        )
    })
}

/// Binds a TCP socket, with room for a crowd: who finds none tries again a second later.
fn bind_tcp(address: SocketAddr) -> io::Result<Listener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A daemon that was just stopped is no reason to wait.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    frugal(socket.listen(BACKLOG)?)
}

fn tcp(socket: TcpListener) -> io::Result<Listener> {
    socket.set_nonblocking(true)?;
    frugal(tokio::net::TcpListener::from_std(socket)?)
}

/// Bounds what the kernel holds for each connection that will be accepted.
fn frugal(socket: tokio::net::TcpListener) -> io::Result<Listener> {
    SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER_BYTES)?;
    Ok(Listener::Tcp(socket))
}

fn unix(socket: UnixListener) -> io::Result<Listener> {
    socket.set_nonblocking(true)?;
    tokio::net::UnixListener::from_std(socket).map(Listener::Unix)
}

/// Binds a Unix socket; one that a killed daemon left behind is replaced, one that answers is not.
fn bind_unix(path: &std::path::Path) -> io::Result<UnixListener> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket {
        match UnixStream::connect(path) {
            // Nobody listens any more.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
            // Another user's may live as well.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => return Err(io::ErrorKind::AddrInUse.into()),
        }
    }
    let socket = UnixListener::bind(path)?;
    // Whoever reaches it may be the keeper: the daemon's own user and group, which a proxy's user is added to.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(socket)
}
