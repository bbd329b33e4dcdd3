//! The gateway: wire protocol, sessions, statements, system tables and the runtime of jobs.
//!
//! Floor 3. Only `wire` names the pgwire crate; only `cli` reads arguments and environment. The
//! other modules are listed in the order in which a statement passes through them.

pub mod cli;
pub mod wire;

pub mod pg_types;
pub mod session;
pub mod settings;

pub mod execute;
pub mod query;

pub mod pgcatalog;
pub mod system;

pub mod gateway;
pub mod host;
pub mod outcome;
pub mod runtime;
