//! Secrets: their values at rest, and the one call that resolves a value for use.
//!
//! A value is authenticated together with its secret's id and version, so that a ciphertext that
//! somebody moved to another row does not decrypt there.

use super::failure::{Failure, io_error};
use super::key::{Cipher, Sealed};
use super::snapshot::SecretText;
use super::sqlite::Store;
use crate::definition::{Secret, SecretBackend};
use crate::error::{Error, ErrorKind, Result};
use rusqlite::{Connection, OptionalExtension, params};
use std::fs::File;
use std::io::Read;
use zeroize::Zeroizing;

/// The longest value that a file of a secret may hold, in bytes.
pub const SECRET_BYTES_MAX: u64 = 1 << 20;

impl Store {
    /// The value of a secret, resolved now: decrypted, read from the environment or read from its
    /// file. Errors name the secret and the variable or path, never what they hold: 42704 for an
    /// unknown id, 22023 for a variable that is not set or a value that is no text, 58030 for a
    /// file that cannot be read.
    pub fn secret_value(&self, secret_id: i64) -> Result<SecretText> {
        let snapshot = self.snapshot();
        let Some(secret) = snapshot.secrets.get(&secret_id) else {
            return Err(Error::new(ErrorKind::UndefinedObject, format!("secret with id {secret_id} does not exist")));
        };
        match &secret.backend {
            SecretBackend::Store => self.read(|connection| read_value(connection, self.cipher(), secret)),
            SecretBackend::Env { variable } => read_variable(secret, variable),
            SecretBackend::File { path } => read_file(secret, path),
        }
    }
}

/// Stores a new value of a secret, or forgets the old one when the value lives elsewhere. With the
/// store as backend and no new value, there must be an old one.
pub(super) fn put_value(
    connection: &Connection,
    cipher: &Cipher,
    secret: &Secret,
    value: Option<&SecretText>,
) -> Result<(), Failure> {
    match (&secret.backend, value) {
        (SecretBackend::Store, Some(value)) => {
            let sealed = cipher.seal(value.expose(), &context(secret.id, i64::from(secret.version)))?;
            connection
                .prepare_cached(
                    "INSERT INTO secret_values (secret_id, version, nonce, ciphertext) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (secret_id) DO UPDATE
                 SET version = excluded.version, nonce = excluded.nonce, ciphertext = excluded.ciphertext",
                )?
                .execute(params![secret.id, secret.version, sealed.nonce, sealed.ciphertext])?;
            Ok(())
        }
        (SecretBackend::Store, None) => {
            let has_value: bool = connection
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM secret_values WHERE secret_id = ?1)")?
                .query_row([secret.id], |row| row.get(0))?;
            if has_value {
                Ok(())
            } else {
                Err(Error::internal(format!("secret \"{}\" was put without a value", secret.name)).into())
            }
        }
        (SecretBackend::Env { .. } | SecretBackend::File { .. }, None) => delete_value(connection, secret.id),
        (SecretBackend::Env { .. } | SecretBackend::File { .. }, Some(_)) => {
            Err(Error::internal(format!("secret \"{}\" was put with a value although it lives elsewhere", secret.name))
                .into())
        }
    }
}

/// Forgets a stored value; nothing happens when there is none.
pub(super) fn delete_value(connection: &Connection, secret_id: i64) -> Result<(), Failure> {
    connection.prepare_cached("DELETE FROM secret_values WHERE secret_id = ?1")?.execute([secret_id])?;
    Ok(())
}

fn read_value(connection: &Connection, cipher: &Cipher, secret: &Secret) -> Result<SecretText, Failure> {
    let row = connection
        .prepare_cached("SELECT version, nonce, ciphertext FROM secret_values WHERE secret_id = ?1")?
        .query_row([secret.id], |row| {
            Ok((row.get::<_, i64>(0)?, Sealed { nonce: row.get(1)?, ciphertext: row.get(2)? }))
        })
        .optional()?;
    let Some((version, sealed)) = row else {
        // Another session deleted the secret after the snapshot was taken.
        return Err(Error::new(ErrorKind::UndefinedObject, format!("secret \"{}\" does not exist", secret.name)).into());
    };
    cipher
        .open(&sealed, &context(secret.id, version))
        .ok_or_else(|| Failure::Damaged(format!("The stored value of secret \"{}\" does not decrypt.", secret.name)))
}

/// What is authenticated with a value.
fn context(secret_id: i64, version: i64) -> Vec<u8> {
    let mut context = b"secret".to_vec();
    context.extend(secret_id.to_be_bytes());
    context.extend(version.to_be_bytes());
    context
}

fn read_variable(secret: &Secret, variable: &str) -> Result<SecretText> {
    let name = &secret.name;
    match std::env::var(variable) {
        Ok(value) => Ok(SecretText::new(value)),
        Err(std::env::VarError::NotPresent) => Err(Error::new(
            ErrorKind::InvalidValue,
            format!("environment variable \"{variable}\" of secret \"{name}\" is not set"),
        )
        .with_hint(format!("Start the gateway with {variable} in its environment."))),
        Err(std::env::VarError::NotUnicode(value)) => {
            drop(Zeroizing::new(value.into_encoded_bytes()));
            Err(Error::new(
                ErrorKind::InvalidValue,
                format!("environment variable \"{variable}\" of secret \"{name}\" is not UTF-8 text"),
            ))
        }
    }
}

fn read_file(secret: &Secret, path: &str) -> Result<SecretText> {
    let name = &secret.name;
    let failed = |error| io_error(format_args!("read file \"{path}\" of secret \"{name}\""), error);
    // A pipe or a device could block the caller for ever, so it is not even opened.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(Error::new(ErrorKind::Io, format!("\"{path}\" of secret \"{name}\" is not a regular file")));
    }
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len().min(SECRET_BYTES_MAX);
    // The buffer has room for all of it at once: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length as usize + 1));
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(Error::new(
            ErrorKind::InvalidValue,
            format!("file \"{path}\" of secret \"{name}\" is larger than {SECRET_BYTES_MAX} bytes"),
        ));
    }
    let kept = bytes.strip_suffix(b"\r\n").or_else(|| bytes.strip_suffix(b"\n")).unwrap_or(&bytes).len();
    bytes.truncate(kept);
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(SecretText::new(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(Error::new(ErrorKind::InvalidValue, format!("file \"{path}\" of secret \"{name}\" is not UTF-8 text")))
        }
    }
}
