//! TLS for connections to PostgreSQL servers: what the options `tls` and `tls_ca` mean.
//!
//! `disable` and `prefer` and `require` encrypt (or not) without looking at the certificate, as
//! libpq's sslmode does; `verify_ca` checks the chain and `verify_full` the name too. A `tls_ca`
//! given with `require` checks the chain, again as libpq does.

use catalog::{Error, ErrorKind, Result};
use connector_api::SourceConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// The words of the option `tls`.
pub(crate) const TLS_WORDS: &[&str] = &["disable", "prefer", "require", "verify_ca", "verify_full"];

/// How a source wants its connections protected.
#[derive(Clone)]
pub(crate) struct Tls {
    /// Whether TLS is asked for, and insisted on.
    pub(crate) mode: SslMode,
    /// Makes the handshake.
    pub(crate) connect: MakeRustlsConnect,
}

impl Tls {
    /// Reads `tls` and `tls_ca`. Fails when the certificates cannot be read: a protection that
    /// cannot be set up never becomes a weaker one.
    pub(crate) fn new(config: &SourceConfig) -> Result<Self> {
        let word = config.text("tls").unwrap_or("prefer").to_ascii_lowercase();
        let is_socket = config.text("host").is_some_and(|host| host.starts_with('/'));
        let mode = match word.as_str() {
            // TLS never runs over a Unix socket.
            _ if is_socket => SslMode::Disable,
            "disable" => SslMode::Disable,
            "prefer" => SslMode::Prefer,
            _ => SslMode::Require,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let has_ca = config.text("tls_ca").is_some_and(|ca| !ca.trim().is_empty());
        let check = match word.as_str() {
            "verify_full" => Some(true),
            "verify_ca" => Some(false),
            "require" if has_ca => Some(false),
            _ => None,
        };
        let verifier: Arc<dyn ServerCertVerifier> = match check {
            Some(checks_name) if mode != SslMode::Disable => {
                let roots = Arc::new(roots(config)?);
                let inner = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
                    .build()
                    .map_err(|error| tls_error(config, "no usable root certificate").with_source(error))?;
                if checks_name { inner } else { Arc::new(ChainVerifier { inner }) }
            }
            _ => Arc::new(AnyVerifier { provider: provider.clone() }),
        };
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| tls_error(config, "no usable protocol version").with_source(error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Self { mode, connect: MakeRustlsConnect::new(client) })
    }
}

fn tls_error(config: &SourceConfig, what: &str) -> Error {
    Error::new(ErrorKind::InvalidValue, format!("TLS cannot be set up for {}: {what}", config.label()))
        .with_hint("Set tls_ca to a PEM file (or its text) that holds the certificate authority of the server.")
}

fn roots(config: &SourceConfig) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match config.text("tls_ca").map(str::trim).filter(|ca| !ca.is_empty()) {
        Some(ca) => {
            let pem = if ca.contains("-----BEGIN") {
                ca.as_bytes().to_vec()
            } else {
                std::fs::read(ca).map_err(|error| {
                    tls_error(config, &format!("file \"{ca}\" of option \"tls_ca\" cannot be read")).with_source(error)
                })?
            };
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|error| {
                    tls_error(config, "option \"tls_ca\" is not PEM text").with_detail(format!("{error}."))
                })?;
                store.add(certificate).map_err(|error| {
                    tls_error(config, "option \"tls_ca\" holds a certificate that cannot be used").with_source(error)
                })?;
            }
        }
        None => {
            // One damaged certificate of the system must not hide the others.
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if store.is_empty() {
        return Err(tls_error(config, "there is no root certificate to check the server against"));
    }
    Ok(store)
}

/// Checks the chain and not the name.
#[derive(Debug)]
struct ChainVerifier {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for ChainVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is checked last, so everything else has passed here.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Takes any certificate, for modes that promise encryption only. The handshake's signatures are
/// still checked.
#[derive(Debug)]
struct AnyVerifier {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyVerifier {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
