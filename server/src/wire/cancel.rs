//! Cancel requests: a second connection names a session by its number and proves with a key that
//! it belongs to the same client.

use crate::session::Session;
use bytes::Bytes;
use catalog::{Error, Result};
use parking_lot::Mutex;
use pgwire::messages::startup::SecretKey;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// Length of a key under protocol 3.2; before it was always four.
const KEY_BYTES: usize = 32;

/// The keys of all sessions.
#[derive(Default)]
pub(super) struct CancelKeys(Mutex<HashMap<i32, (Bytes, Weak<Session>)>>);

impl CancelKeys {
    /// Makes a key for a session.
    pub(super) fn add(&self, session: &Arc<Session>, is_long: bool) -> Result<SecretKey> {
        let mut key = [0u8; KEY_BYTES];
        random(&mut key)?;
        let bytes = Bytes::copy_from_slice(if is_long { &key[..] } else { &key[..4] });
        self.0.lock().insert(session.pid, (bytes.clone(), Arc::downgrade(session)));
        Ok(if is_long {
            SecretKey::Bytes(bytes)
        } else {
            SecretKey::I32(i32::from_be_bytes([key[0], key[1], key[2], key[3]]))
        })
    }

    /// Forgets a session.
    pub(super) fn remove(&self, pid: i32) {
        self.0.lock().remove(&pid);
    }

    /// Cancels what a session runs, when the key is its own. Never says whether it was.
    pub(super) fn cancel(&self, pid: i32, key: &[u8]) {
        let session = match self.0.lock().get(&pid) {
            Some((expected, session)) if is_equal(expected, key) => session.upgrade(),
            _ => None,
        };
        match session {
            Some(session) => session.cancel(),
            None => tracing::debug!(pid, "cancel request with a wrong pid or key"),
        }
    }
}

/// Compares in a time that does not depend on where two keys differ.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// Fills with random bytes of the operating system.
pub(super) fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes)
        .map_err(|e| Error::internal("the operating system gave no random bytes").with_source(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn only_the_right_key_cancels() {
        let keys = CancelKeys::default();
        let (session, _notices) = Session::new(7, "r".into(), "d".into(), String::new(), Settings::new());
        let receiver = session.canceled();
        let key = keys.add(&session, true).unwrap().to_bytes();
        keys.cancel(7, b"wrong");
        keys.cancel(8, &key);
        assert!(!receiver.has_changed().unwrap());
        keys.cancel(7, &key);
        assert!(receiver.has_changed().unwrap());
        keys.remove(7);
        let receiver = session.canceled();
        keys.cancel(7, &key);
        assert!(!receiver.has_changed().unwrap());
    }
}
