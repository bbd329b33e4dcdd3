//! The key that encrypts secrets at rest.

/// Where the key comes from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// `secret.key` in the data directory, made with mode 0600 when absent.
    File,
    /// The base64 text of 32 bytes, from the environment.
    Text(super::SecretText),
}
