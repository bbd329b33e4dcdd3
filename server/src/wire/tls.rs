//! TLS of the listener: certificate and key from PEM files. Whatever is wrong with them keeps the
//! gateway from listening.

use catalog::{Error, ErrorKind, Result};
use pgwire::tokio::TlsAcceptor;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the certificate and its key are.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// PEM: the server's certificate first, then the ones between it and the root.
    pub cert_file: PathBuf,
    /// PEM: PKCS#8, PKCS#1 or SEC1 key without a password.
    pub key_file: PathBuf,
}

/// TLS that is set up.
pub(super) struct Tls {
    pub acceptor: TlsAcceptor,
    /// The certificate file's text, which SCRAM binds a login to.
    pub certificate_pem: Vec<u8>,
}

pub(super) fn load(files: &TlsFiles) -> Result<Tls> {
    let wrong = |path: &Path, what: &str| {
        Error::new(ErrorKind::Prerequisite, format!("TLS cannot be set up from \"{}\"", path.display()))
            .with_detail(format!("{what}."))
    };
    let certificate_pem = std::fs::read(&files.cert_file)
        .map_err(|e| wrong(&files.cert_file, &format!("The file cannot be read: {e}")))?;
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&certificate_pem)
        .collect::<Result<_, _>>()
        .map_err(|e| wrong(&files.cert_file, &format!("The file is not valid PEM: {e}")))?;
    if certificates.is_empty() {
        return Err(wrong(&files.cert_file, "The file has no certificate"));
    }
    let key_pem =
        std::fs::read(&files.key_file).map_err(|e| wrong(&files.key_file, &format!("The file cannot be read: {e}")))?;
    // The parser's error may quote the file, which is a secret.
    let key = PrivateKeyDer::from_pem_slice(&key_pem)
        .map_err(|_| wrong(&files.key_file, "The file has no PEM private key without a password"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::internal("TLS has no protocol version").with_source(e))?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|e| wrong(&files.key_file, &format!("The certificate and the key cannot be used together: {e}")))?;
    // Clients that begin with TLS at once say by this name that they mean it.
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), certificate_pem })
}

/// The protocol's name in TLS.
pub(super) const ALPN: &[u8] = b"postgresql";
