//! The harness of the black-box tests: it knows the program `tidegate` and the wire, and nothing inside.
//!
//! A test starts a [`gateway::Gateway`] of its own, speaks to it through [`client::Client`], psql or
//! a driver, and prepares and reads real PostgreSQL servers through [`server::Server`]. What is
//! promised to users in SQL is written as `.slt` files, which [`slt`] runs over both protocols.

pub mod client;
pub mod gateway;
pub mod page;
pub mod psql;
pub mod random;
pub mod server;
pub mod skip;
pub mod slt;
pub mod text;

use std::path::{Path, PathBuf};

/// The checkout.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("sql-tests lies in the checkout")
}

/// A file of this crate.
pub fn own_file(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}
