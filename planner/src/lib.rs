//! From SQL text to statements, and from statements to what they require of the outside.
//!
//! The planner does no IO, reads no clock and is not asynchronous. It knows the catalog's words
//! and sqlparser's AST; it knows no connector and no wire.

mod bind;
mod definition;
mod parse;
mod redact;
pub mod statement;
mod tag;

pub use bind::bind;
pub use definition::{definition_hash, job_definition, secret_definition, sink_table_definition, source_definition};
pub use parse::parse;
pub use redact::redact;
pub use statement::*;
pub use tag::{command_tag, returns_rows};
