//! The durable store: immutable snapshots of definitions, all-or-nothing changes, the history of
//! runs, and secrets encrypted at rest.
//!
//! [`Store`] is one SQLite file in a data directory that one gateway holds by a lock. Readers take
//! [`Snapshot`]s, which never change; a writer commits a list of [`Change`]s against the version it
//! read, and all of them become durable (fsync) before the call returns, or none. History (runs,
//! steps, errors, events, statistics) is written by single calls, each durable on return unless it
//! says otherwise.
//!
//! *Ordered* calls say otherwise: what they write survives a killed process at once, and a power
//! failure from the next durable call on. Nothing is ever kept without what was written before it.
//!
//! All calls are synchronous and short; asynchronous callers use a blocking thread.

mod activity;
mod commit;
mod failure;
mod history;
mod key;
mod lock;
mod migrate;
mod prune;
mod secret;
mod sink_trace;
mod snapshot;
mod source_check;
mod sqlite;
mod statistics;
mod stored;

#[cfg(test)]
mod tests;

pub use history::*;
pub use key::KeySource;
pub use secret::SECRET_BYTES_MAX;
pub use snapshot::{Change, SecretText, Snapshot};
pub use sqlite::Store;
