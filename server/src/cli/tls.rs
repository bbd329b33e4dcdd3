//! TLS of a client towards a remote gateway, with the words of libpq: `disable`, `allow`, `prefer`
//! and `require` look at no certificate, `verify-ca` checks the chain and `verify-full` the name
//! too. A root certificate given with `require` checks the chain, again as libpq does.

use catalog::{Error, ErrorKind, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

const MODES: &[&str] = &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// How much of a certificate is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    Nothing,
    Chain,
    ChainAndName,
}

/// Makes handshakes for a `sslmode` and a `sslrootcert`. Fails when the certificates cannot be
/// read: a protection that cannot be set up never becomes a weaker one.
pub(super) fn connector(mode: &str, root: Option<&str>) -> Result<MakeRustlsConnect> {
    let check = match mode {
        "disable" | "allow" | "prefer" => Check::Nothing,
        "require" if root.is_none() => Check::Nothing,
        "require" | "verify-ca" => Check::Chain,
        "verify-full" => Check::ChainAndName,
        _ => {
            let near = catalog::error::nearest(mode, MODES.iter().copied());
            let hint = near.map(|n| format!("Perhaps you meant {n}. ")).unwrap_or_default();
            return Err(Error::new(ErrorKind::InvalidValue, "invalid sslmode in the URL of the gateway")
                .with_hint(format!("{hint}Use one of: {}.", MODES.join(", "))));
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = if check == Check::Nothing {
        Arc::new(Unchecked { provider: provider.clone() })
    } else {
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(root)?), provider.clone())
            .build()
            .map_err(|error| refused("there is no usable root certificate").with_source(error))?;
        if check == Check::Chain { Arc::new(ChainOnly { inner }) } else { inner }
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused("there is no usable protocol version").with_source(error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn refused(what: &str) -> Error {
    Error::new(ErrorKind::InvalidValue, format!("TLS cannot be set up: {what}"))
        .with_hint("Give the certificate authority of the gateway as a PEM file: sslrootcert=/path/ca.pem, or sslrootcert=system.")
}

/// The certificates of `sslrootcert`, `system`, or libpq's default file.
fn roots(root: Option<&str>) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    if root == Some("system") {
        // One damaged certificate of the system must not hide the others.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    } else {
        let path = match root {
            Some(path) => PathBuf::from(path),
            None => Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".postgresql/root.crt"),
        };
        let pem = std::fs::read(&path).map_err(|error| {
            refused(&format!("root certificate file \"{}\" cannot be read", path.display()))
                .with_detail(format!("The operating system said: {error}."))
        })?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let unusable = || refused(&format!("root certificate file \"{}\" holds what is no certificate", path.display()));
            let certificate = certificate.map_err(|error| unusable().with_source(error))?;
            store.add(certificate).map_err(|error| unusable().with_source(error))?;
        }
    }
    if store.is_empty() {
        return Err(refused("there is no root certificate to check the gateway against"));
    }
    Ok(store)
}

/// Checks the chain and not the name.
#[derive(Debug)]
struct ChainOnly {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for ChainOnly {
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
struct Unchecked {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Unchecked {
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
