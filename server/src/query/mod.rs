//! SELECT: planning through DataFusion over system tables, the client catalog and sources.

use crate::gateway::Gateway;
use crate::outcome::{OutputColumn, RowStream};
use crate::session::Session;
use catalog::{Error, Result};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::sql::sqlparser::ast;
use std::sync::Arc;

/// Facts about sources, cached between statements.
#[derive(Default)]
pub struct DiscoveryCache {}

/// A planned query, ready to run any number of times.
pub struct PlannedQuery {
    /// Columns of the result; empty for a statement without rows.
    pub columns: Vec<OutputColumn>,
    /// PostgreSQL type oids of `$1`, `$2`, ..
    pub parameter_types: Vec<u32>,
    /// First word of the command tag.
    pub tag: &'static str,
}

impl PlannedQuery {
    /// Runs it on the query runtime; rows come as the client takes them. Dropping the stream ends it.
    pub async fn execute(
        &self,
        _gateway: &Arc<Gateway>,
        _session: &Arc<Session>,
        _parameters: Vec<ScalarValue>,
    ) -> Result<RowStream> {
        Err(Error::unsupported("this"))
    }
}

/// Plans one statement of stock SQL. `text` is the whole text that the statement's spans refer to.
/// `parameter_types` are the types that the client has declared.
pub async fn plan(
    _gateway: &Arc<Gateway>,
    _session: &Arc<Session>,
    _statement: &ast::Statement,
    _text: &str,
    _parameter_types: &[Option<u32>],
) -> Result<PlannedQuery> {
    Err(Error::unsupported("this"))
}

/// DataFusion's errors in PostgreSQL's words; our own errors pass unchanged.
pub fn map_error(error: DataFusionError) -> Error {
    Error::internal(error.to_string())
}
