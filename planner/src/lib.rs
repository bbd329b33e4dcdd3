//! From SQL text to statements, and from statements to what they require of the outside.
//!
//! The planner does no IO, reads no clock and is not asynchronous. It knows the catalog's words
//! and sqlparser's AST; it knows no connector and no wire.

mod parse;
mod redact;
pub mod statement;

pub use parse::parse;
pub use redact::redact;
pub use statement::*;
