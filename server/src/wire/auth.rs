//! Who may log in: anybody on loopback, or roles with SCRAM-SHA-256 verifiers.
//!
//! The gateway never stores a password. A verifier proves one and does not reveal it.

use super::cancel::random;
use super::error::{coded, protocol_violation};
use super::message::Reader;
use super::socket::Socket;
use super::tls::Tls;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use catalog::{Error, ErrorKind, Result};
use hmac::{Hmac, KeyInit, Mac};
use pgwire::api::auth::sasl::scram::{ScramSecret, ScramServerAuth, gen_salted_password};
use pgwire::messages::startup::Authentication;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// Rounds of hashing in verifiers that we make, as in PostgreSQL.
const ITERATIONS: usize = 4096;
const SALT_BYTES: usize = 16;
/// How long a failed login waits for its answer.
const FAILURE_DELAY: Duration = Duration::from_millis(500);
const SCRAM: &str = "SCRAM-SHA-256";
const SCRAM_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// How clients prove who they are.
#[derive(Clone, Default)]
pub enum Auth {
    /// Nobody is asked: any role name is taken. For loopback only.
    #[default]
    Trust,
    /// SCRAM-SHA-256: verifier by role, `SCRAM-SHA-256$iterations:salt$stored:server`.
    Scram {
        /// Verifiers by role.
        verifiers: BTreeMap<String, String>,
    },
}

impl std::fmt::Debug for Auth {
    /// Verifiers are secrets: whoever has one can try passwords against it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Trust => f.write_str("Trust"),
            Self::Scram { verifiers } => write!(f, "Scram({} roles)", verifiers.len()),
        }
    }
}

/// Makes the verifier of a password, with a new salt.
pub fn scram_verifier(password: &str) -> Result<String> {
    let mut salt = [0u8; SALT_BYTES];
    random(&mut salt)?;
    let salted = gen_salted_password(password, &salt, ITERATIONS);
    let stored_key = Sha256::digest(hmac(&salted, b"Client Key"));
    let server_key = hmac(&salted, b"Server Key");
    Ok(format!(
        "{SCRAM}${ITERATIONS}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored_key),
        STANDARD.encode(server_key)
    ))
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// A verifier's parts.
fn parse_verifier(verifier: &str) -> Option<ScramSecret> {
    let mut parts = verifier.split('$');
    let (name, rounds, keys) = (parts.next()?, parts.next()?, parts.next()?);
    let (iterations, salt) = rounds.split_once(':')?;
    let (stored, server) = keys.split_once(':')?;
    let iterations: usize = iterations.parse().ok().filter(|n| (ITERATIONS..=10_000_000).contains(n))?;
    let decode = |text: &str| STANDARD.decode(text).ok();
    let (salt, stored_key, server_key) = (decode(salt)?, decode(stored)?, decode(server)?);
    (name == SCRAM && parts.next().is_none() && !salt.is_empty() && stored_key.len() == 32 && server_key.len() == 32)
        .then_some(ScramSecret::Verifier { salt, iterations, stored_key, server_key })
}

/// The verifiers of a listener, and a secret from which roles that do not exist get a salt of
/// their own, always the same one, so that a login does not show which roles exist.
pub(super) struct Verifiers {
    verifiers: BTreeMap<String, String>,
    mock_key: [u8; 32],
}

impl Verifiers {
    /// Checks every verifier.
    pub(super) fn new(verifiers: &BTreeMap<String, String>) -> Result<Self> {
        if let Some((role, _)) = verifiers.iter().find(|(_, verifier)| parse_verifier(verifier).is_none()) {
            return Err(Error::new(
                ErrorKind::InvalidValue,
                format!("the verifier of the role \"{role}\" is not valid"),
            )
            .with_detail(
                "A verifier reads SCRAM-SHA-256$iterations:salt$stored key:server key, with at least 4096 iterations.",
            ));
        }
        if verifiers.is_empty() {
            return Err(Error::new(
                ErrorKind::Prerequisite,
                "authentication by SCRAM needs at least one role with a verifier",
            ));
        }
        let mut mock_key = [0u8; 32];
        random(&mut mock_key)?;
        Ok(Self { verifiers: verifiers.clone(), mock_key })
    }

    /// The role's secret; None stands beside one that no password fits.
    fn secret(&self, role: &str) -> (ScramSecret, bool) {
        match self.verifiers.get(role).and_then(|v| parse_verifier(v)) {
            Some(secret) => (secret, true),
            None => {
                let salt = hmac(&self.mock_key, role.as_bytes())[..SALT_BYTES].to_vec();
                let key = hmac(&self.mock_key, &salt);
                let secret =
                    ScramSecret::Verifier { salt, iterations: ITERATIONS, stored_key: key.clone(), server_key: key };
                (secret, false)
            }
        }
    }

    /// The whole conversation up to AuthenticationOk, which the caller sends.
    pub(super) async fn authenticate(&self, socket: &mut Socket, role: &str, tls: Option<&Tls>) -> Result<()> {
        let result = self.converse(socket, role, tls).await;
        if result.is_err() {
            tokio::time::sleep(FAILURE_DELAY).await;
        }
        result
    }

    async fn converse(&self, socket: &mut Socket, role: &str, tls: Option<&Tls>) -> Result<()> {
        let failed =
            || Error::new(ErrorKind::LoginRejected, format!("password authentication failed for user \"{role}\""));
        // Binding to the channel is offered where there is one to bind to.
        let mut server = ScramServerAuth::new();
        let mut mechanisms = vec![];
        if let Some(tls) = tls.filter(|_| socket.is_tls()) {
            match server.configure_certificate(&tls.certificate_pem) {
                Ok(()) => mechanisms.push(SCRAM_PLUS.to_owned()),
                // Certificates signed in a way that has no binding (Ed25519): the plain form remains.
                Err(error) => tracing::debug!(error = %error, "no channel binding with this certificate"),
            }
        }
        let has_binding = !mechanisms.is_empty();
        mechanisms.push(SCRAM.to_owned());
        socket.put(&Authentication::SASL(mechanisms))?;
        socket.flush().await?;

        let mut first = Reader(password_message(socket).await?);
        let mechanism = first.text()?;
        let data = first.value()?.ok_or_else(|| protocol_violation("malformed SCRAM message"))?;
        let binds = data.starts_with(b"p=");
        let is_right = match mechanism.as_str() {
            SCRAM => !binds,
            SCRAM_PLUS => has_binding && binds,
            _ => return Err(protocol_violation("client selected an invalid SASL authentication mechanism")),
        };
        if !is_right {
            return Err(protocol_violation("malformed SCRAM message")
                .with_detail("The mechanism and the channel binding flag contradict each other."));
        }
        let (secret, exists) = self.secret(role);
        let (answer, waiting) =
            server.on_client_first_message_with_secret(&data, secret).map_err(|e| scram_error(&e.to_string()))?;
        socket.put(&Authentication::SASLContinue(answer.into()))?;
        socket.flush().await?;

        let last = password_message(socket).await?;
        let verified = waiting.on_client_final_message(&last).map_err(|_| failed())?;
        if !exists {
            return Err(failed());
        }
        socket.put(&Authentication::SASLFinal(verified.into()))
    }
}

fn scram_error(text: &str) -> Error {
    coded("08P01", "malformed SCRAM message").with_source(text.to_owned())
}

async fn password_message(socket: &mut Socket) -> Result<Bytes> {
    match socket.read_frame(|kind| (kind == b'p').then_some(super::message::STARTUP_BYTES_MAX)).await? {
        Some(frame) => frame.body.ok_or_else(|| protocol_violation("a message of the login is too long")),
        None => Err(Error::new(ErrorKind::ConnectionLost, "the client went away during the login")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verifiers_are_made_and_checked() {
        let verifier = scram_verifier("pa$$ :wörd").unwrap();
        assert!(parse_verifier(&verifier).is_some());
        assert_ne!(verifier, scram_verifier("pa$$ :wörd").unwrap());
        for wrong in ["", "md5abc", "SCRAM-SHA-256$1:a$b:c", "SCRAM-SHA-256$4096:$:", &format!("{verifier}$x")] {
            assert!(parse_verifier(wrong).is_none(), "{wrong}");
        }
        assert!(Verifiers::new(&BTreeMap::from([("a".into(), "nonsense".into())])).is_err());
        assert!(Verifiers::new(&BTreeMap::new()).is_err());
        let auth = Auth::Scram { verifiers: BTreeMap::from([("a".into(), verifier.clone())]) };
        assert!(!format!("{auth:?}").contains(&verifier));
    }

    #[test]
    fn a_role_that_does_not_exist_has_a_salt_that_stays() {
        let verifiers = Verifiers::new(&BTreeMap::from([("a".into(), scram_verifier("x").unwrap())])).unwrap();
        let salt = |role| match verifiers.secret(role) {
            (ScramSecret::Verifier { salt, .. }, exists) => (salt, exists),
            _ => panic!(),
        };
        assert_eq!(salt("ghost"), salt("ghost"));
        assert_ne!(salt("ghost").0, salt("spirit").0);
        assert!(!salt("ghost").1);
        assert!(salt("a").1);
    }
}
