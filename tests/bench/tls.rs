//! Certificates of the hosts: an authority made at the start, and one certificate for each, as each site has its own.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use super::farm::Farm;

/// Writes the authority's certificate (PEM) into `root`, and makes what each host accepts connections with, in the order
/// of the hosts.
pub(crate) fn acceptors(farm: &Farm, root: &Path) -> anyhow::Result<Vec<TlsAcceptor>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    std::fs::write(root, authority.pem()).context("the authority's certificate cannot be written")?;
    let hosts = (0..farm.hosts).map(|host| {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([farm.host(host).ip().to_string()])?.signed_by(&key, &authority)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        // As most servers have it: whoever comes again shows a ticket and is spared the full handshake.
        config.ticketer = ring::Ticketer::new()?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    });
    hosts.collect()
}
