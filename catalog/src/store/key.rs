//! The key that encrypts secrets at rest: where it comes from, and the cipher that it makes.

use super::failure::io_error;
use super::snapshot::SecretText;
use crate::error::{Error, ErrorKind, Result};
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use zeroize::Zeroizing;

const KEY_FILE: &str = "secret.key";

const KEY_BYTES: usize = 32;

/// Base64 of 32 bytes is 44 characters; what is longer than this is some other file.
const KEY_FILE_BYTES_MAX: u64 = 1024;

/// AES-GCM's nonce: 96 random bits for every encryption.
pub(super) const NONCE_BYTES: usize = 12;

/// What is encrypted to find out later whether a key is the catalog's.
const KEY_CHECK: &str = "tidegate secret key check";

/// Where the key comes from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// `secret.key` in the data directory, made with mode 0600 when absent.
    File,
    /// The base64 text of 32 bytes, from the environment.
    Text(SecretText),
}

/// A ciphertext (with its tag) and the nonce that it was made with.
pub(super) struct Sealed {
    pub(super) nonce: Vec<u8>,
    pub(super) ciphertext: Vec<u8>,
}

/// Encrypts and decrypts under the gateway's key, which it wipes when dropped.
pub(super) struct Cipher(Aes256Gcm);

impl Cipher {
    /// From the key's bytes.
    fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(Aes256Gcm::new(key.into()))
    }

    /// Encrypts `clear` under a new random nonce; `context` must be the same to decrypt.
    pub(super) fn seal(&self, clear: &str, context: &[u8]) -> Result<Sealed> {
        let mut nonce = [0u8; NONCE_BYTES];
        random(&mut nonce)?;
        let ciphertext = self
            .0
            .encrypt(&Nonce::from(nonce), Payload { msg: clear.as_bytes(), aad: context })
            .map_err(|_| Error::internal("a secret is too long to be encrypted"))?;
        Ok(Sealed { nonce: nonce.to_vec(), ciphertext })
    }

    /// The clear text, or None when the key, the nonce, the context or the ciphertext is another.
    pub(super) fn open(&self, sealed: &Sealed, context: &[u8]) -> Option<SecretText> {
        let nonce: [u8; NONCE_BYTES] = sealed.nonce.as_slice().try_into().ok()?;
        let payload = Payload { msg: &sealed.ciphertext, aad: context };
        let mut clear = Zeroizing::new(self.0.decrypt(&Nonce::from(nonce), payload).ok()?);
        String::from_utf8(std::mem::take(&mut *clear)).ok().map(SecretText::new)
    }

    /// What [`Cipher::matches`] later recognises the key by.
    pub(super) fn key_check(&self) -> Result<Sealed> {
        self.seal(KEY_CHECK, KEY_CHECK.as_bytes())
    }

    /// Whether `check` was made under this key.
    pub(super) fn matches(&self, check: &Sealed) -> bool {
        self.open(check, KEY_CHECK.as_bytes()).is_some_and(|text| text.expose() == KEY_CHECK)
    }
}

/// Decodes a key given as text, so that a bad one is refused before anything is touched. A key
/// file is read later by [`load_cipher`].
pub(super) fn check_key_source(source: &KeySource) -> Result<()> {
    match source {
        KeySource::File => Ok(()),
        KeySource::Text(text) => decode(text.expose()).map(|_| ()).ok_or_else(|| {
            Error::new(ErrorKind::InvalidValue, "the given secret key is not the base64 text of 32 bytes")
                .with_hint("Make one with: openssl rand -base64 32")
        }),
    }
}

/// The cipher for the data directory. A key file is made only for a new catalog: an old one whose
/// key file is gone must not get another key, which could read none of its secrets.
pub(super) fn load_cipher(source: &KeySource, directory: &Path, is_new_catalog: bool) -> Result<Cipher> {
    match source {
        KeySource::Text(text) => match decode(text.expose()) {
            Some(key) => Ok(Cipher::new(&key)),
            None => Err(Error::internal("the secret key was not checked before its use")),
        },
        KeySource::File => {
            let path = directory.join(KEY_FILE);
            match File::open(&path) {
                Ok(file) => read_key(&path, file),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && is_new_catalog => {
                    make_key(directory, &path)
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::new(
                    ErrorKind::Prerequisite,
                    format!("secret key file \"{}\" is missing", path.display()),
                )
                .with_detail("The catalog was made with a key, and a new key could not read its secrets.")
                .with_hint("Put the key file back from a backup, or give the key that the catalog was made with.")),
                Err(error) => Err(io_error(format_args!("open secret key file \"{}\"", path.display()), error)),
            }
        }
    }
}

/// The error for a key that is well formed and not the catalog's.
pub(super) fn wrong_key(source: &KeySource, directory: &Path) -> Error {
    Error::new(
        ErrorKind::Prerequisite,
        format!("the secret key does not match the catalog in \"{}\"", directory.display()),
    )
    .with_detail(match source {
        KeySource::File => format!("The key was read from \"{}\".", directory.join(KEY_FILE).display()),
        KeySource::Text(_) => "The key was given to the program as text.".to_owned(),
    })
    .with_hint("Start the gateway with the key that the catalog was made with.")
}

/// Fills `bytes` from the operating system.
pub(super) fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| {
        Error::new(ErrorKind::Io, "could not get random bytes from the operating system")
            .with_detail(format!("The operating system said: {error}."))
    })
}

fn decode(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let bytes = Zeroizing::new(STANDARD.decode(text.trim()).ok()?);
    let mut key = Zeroizing::new([0u8; KEY_BYTES]);
    if bytes.len() != KEY_BYTES {
        return None;
    }
    key.copy_from_slice(&bytes);
    Some(key)
}

fn read_key(path: &Path, file: File) -> Result<Cipher> {
    let shown = path.display();
    let failed = |error| io_error(format_args!("read secret key file \"{shown}\""), error);
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::new(
            ErrorKind::Prerequisite,
            format!("secret key file \"{shown}\" may be used by other users of the machine"),
        )
        .with_detail(format!("Its mode is {mode:04o}; it must give nothing to group and others."))
        .with_hint(format!("chmod 600 '{shown}'")));
    }
    let mut text = Zeroizing::new(String::with_capacity(KEY_FILE_BYTES_MAX as usize));
    let is_read = file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text);
    // Bytes that are no text are no key either; only a failing disk is another error.
    if let Err(error) = is_read
        && error.kind() != std::io::ErrorKind::InvalidData
    {
        return Err(failed(error));
    }
    decode(&text).map(|key| Cipher::new(&key)).ok_or_else(|| {
        Error::new(
            ErrorKind::Prerequisite,
            format!("secret key file \"{shown}\" does not hold the base64 text of 32 bytes"),
        )
        .with_hint("Put the key file back from a backup.")
    })
}

/// Makes the key file: whole under its name, or not there. The caller holds the directory's lock.
fn make_key(directory: &Path, path: &Path) -> Result<Cipher> {
    let failed = |error| io_error(format_args!("create secret key file \"{}\"", path.display()), error);
    let mut key = Zeroizing::new([0u8; KEY_BYTES]);
    random(key.as_mut())?;
    let mut text = Zeroizing::new(STANDARD.encode(key.as_ref()));
    text.push('\n');
    let unfinished = directory.join(format!("{KEY_FILE}.new"));
    match std::fs::remove_file(&unfinished) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&unfinished, path).map_err(failed)?;
    // The name is durable when the directory is.
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
    Ok(Cipher::new(&key))
}
