//! In work.
use connector_api::{FilterPushdown, TableSchema};
use datafusion::logical_expr::Expr;
pub(crate) fn push(_table: &TableSchema, _filter: &Expr) -> FilterPushdown { FilterPushdown::Unsupported }
