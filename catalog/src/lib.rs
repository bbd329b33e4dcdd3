//! What tidegate remembers: definitions, states, positions, options, errors, and the durable store.
//!
//! Floor 0 of the house. This crate knows nothing of connectors, SQL text, DataFusion or the wire.
//! Every other crate speaks with its words. One noun, one meaning:
//!
//! | noun | meaning |
//! |---|---|
//! | secret | a named value that can be used and never read back |
//! | source | a data source, in both directions (it may be read and written) |
//! | sink table | what a job writes into: `source.schema.table` with a shape |
//! | job | a definition that moves data; kinds sync, verify, cleanup, ddl |
//! | mapping | one source table (or query) of a job and the sink table that it fills |
//! | run | one execution of a job, from start to a final state |
//! | step | one named stage of a run |
//! | split | one part of a table that one reader reads |
//! | position | a point in a source's own log or snapshot notation |

pub mod definition;
pub mod error;
pub mod name;
pub mod option;
pub mod position;
pub mod state;
pub mod store;

pub use definition::*;
pub use error::{Error, ErrorKind, Result};
pub use name::{Path3, TableName, force_quote_ident, quote_ident, quote_literal};
pub use option::{OptionMap, OptionSpec, OptionValue, ValueType};
pub use position::{Lineage, Position};
pub use state::*;
