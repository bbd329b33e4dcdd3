//! The store in one SQLite file.

/// The durable store. See the module above for its contract.
pub struct Store {}
