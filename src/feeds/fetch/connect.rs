//! The one client under every request: how it dials, speaks TLS, and keeps connections.
//!
//! Each connection is dialled by a connector that knows the guard and the port: it refuses addresses that stand in the
//! URL itself, which no resolver is asked about, and gives the others a resolver that answers with permitted ones only.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::client::Resumption;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tower_service::Service;

use super::sessions::Sessions;
use super::{MAX_HEADER_BYTES, Settings};
use crate::feeds::address::{Guard, GuardedNames};

/// Idle connections kept for each host: as many as a host is asked at once.
const MAX_IDLE_PER_HOST: usize = 2;
/// How long an idle connection is kept: long enough for the host's next feed in the queue, shorter than the five
/// seconds after which many servers close it themselves, perhaps just when the next request is on its way.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// What a connection buffers at most: headers as long as they may be with the marks between them, and of a body as much
/// as one read is worth.
const MAX_BUFFER_BYTES: usize = 2 * MAX_HEADER_BYTES;
/// When the system asks whether the other side of a silent connection is still there, how often, and how many times.
const KEEPALIVE: (Duration, u32) = (Duration::from_secs(15), 3);
/// For how long what was sent may stay unacknowledged.
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(30);

/// What sends requests: connections, their pool, and the connector that makes them.
pub(super) type Http = legacy::Client<Dialler, Full<Bytes>>;

/// Makes the client. Fails where a root certificate cannot be read, or the system has none.
pub(super) fn http(settings: &Settings) -> anyhow::Result<Http> {
    let dialler = Dialler {
        guard: settings.guard.clone(),
        names: GuardedNames::new(settings.guard.clone(), settings.lookup.clone()),
        tls: Arc::new(tls(settings.roots.as_deref())?),
        timeout: settings.connect_timeout,
    };
    #[expect(clippy::disallowed_methods, reason = "this is the one HTTP client, behind the guard")]
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    Ok(builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .http1_max_buf_size(MAX_BUFFER_BYTES)
        .http1_ignore_invalid_headers_in_responses(true)
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http2_max_header_list_size(MAX_HEADER_BYTES as u32)
        .build(dialler))
}

fn tls(roots: Option<&[Vec<u8>]>) -> anyhow::Result<rustls::ClientConfig> {
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    let builder = match roots {
        Some(roots) => {
            let mut store = rustls::RootCertStore::empty();
            for der in roots {
                store.add(der.clone().into()).context("a root certificate cannot be read")?;
            }
            builder.with_root_certificates(store)
        }
        None => builder
            .with_platform_verifier()
            .context("no root certificates; are the system's (ca-certificates) installed?")?,
    };
    let mut tls = builder.with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    tls.resumption = Resumption::store(Arc::new(Sessions::default()));
    Ok(tls)
}

/// Not connected within the connect timeout, be it for the name, the address or TLS.
#[derive(Debug, thiserror::Error)]
#[error("none within {0:?}")]
pub(super) struct TooSlow(Duration);

/// Makes connections, to permitted addresses only.
#[derive(Clone)]
pub(super) struct Dialler {
    guard: Guard,
    names: GuardedNames,
    tls: Arc<rustls::ClientConfig>,
    timeout: Duration,
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Dialler {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Fault>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default_port);
        if let Err(blocked) = self.guard.permits_host(uri.host().unwrap_or_default(), port) {
            return Box::pin(std::future::ready(Err(blocked.into())));
        }
        let mut tcp = HttpConnector::new_with_resolver(self.names.at(port));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE.0));
        tcp.set_keepalive_interval(Some(KEEPALIVE.0));
        tcp.set_keepalive_retries(Some(KEEPALIVE.1));
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIMEOUT));
        let connecting = HttpsConnector::from((tcp, self.tls.clone())).call(uri);
        let limit = self.timeout;
        Box::pin(async move {
            let connected = tokio::time::timeout(limit, connecting).await;
            connected.unwrap_or_else(|_| Err(TooSlow(limit).into()))
        })
    }
}
