//! TLS of a client towards a remote gateway, with the words of libpq: `disable`, `allow`, `prefer`
//! and `require` look at no certificate, `verify-ca` checks the chain and `verify-full` the name
//! too. A root certificate given with `require` checks the chain, again as libpq does.

use catalog::{Error, ErrorKind, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// How the certificate checker names the certificate of an authority that stands for a server.
const AUTHORITY_AS_SERVER: &str = "CaUsedAsEndEntity";

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
        let (store, roots) = roots(root)?;
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
            .build()
            .map_err(|error| refused("there is no usable root certificate").with_source(error))?;
        Arc::new(Checked { inner, roots, checks_name: check == Check::ChainAndName })
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
    Error::new(ErrorKind::InvalidValue, format!("TLS cannot be set up: {what}")).with_hint(
        "Give the certificate authority of the gateway as a PEM file: sslrootcert=/path/ca.pem, or sslrootcert=system.",
    )
}

/// The certificates of `sslrootcert`, `system`, or libpq's default file; those of a file also as
/// they are.
fn roots(root: Option<&str>) -> Result<(RootCertStore, Vec<CertificateDer<'static>>)> {
    let mut store = RootCertStore::empty();
    let mut named = vec![];
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
            let unusable =
                || refused(&format!("root certificate file \"{}\" holds what is no certificate", path.display()));
            let certificate = certificate.map_err(|error| unusable().with_source(error))?;
            store.add(certificate.clone()).map_err(|error| unusable().with_source(error))?;
            named.push(certificate);
        }
    }
    if store.is_empty() {
        return Err(refused("there is no root certificate to check the gateway against"));
    }
    Ok((store, named))
}

/// Checks the chain, and the name where that is asked for. A certificate that signed itself counts
/// as its own chain when it is among the roots, as it does for libpq; rustls takes no certificate
/// of an authority for that of a server.
#[derive(Debug)]
struct Checked {
    inner: Arc<WebPkiServerVerifier>,
    roots: Vec<CertificateDer<'static>>,
    checks_name: bool,
}

impl ServerCertVerifier for Checked {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let error = match self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Ok(verified) => return Ok(verified),
            Err(error) => error,
        };
        match &error {
            // The name is checked last, so everything else has passed here.
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) if !self.checks_name => Ok(ServerCertVerified::assertion()),
            // Its dates are checked before what it may be used for, so they have passed here.
            rustls::Error::InvalidCertificate(CertificateError::Other(cause))
                if cause.to_string() == AUTHORITY_AS_SERVER && self.roots.contains(end_entity) =>
            {
                if self.checks_name {
                    verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            _ => Err(error),
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
