//! SELECT: planning through DataFusion over system tables, the client catalog and sources.
//! (First slice: the whole of it is being put together beside this file.)

use crate::gateway::Gateway;
use crate::outcome::{OutputColumn, RowStream};
use crate::runtime::Facts;
use crate::session::Session;
use catalog::{Error, Path3, Result};
use connector_api::{ColumnFormat, RemoteTable, SnapshotRequest, SnapshotSlot, SplitGoal};
use datafusion::catalog::*;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Facts about sources, cached between statements.
#[derive(Default)]
pub struct DiscoveryCache {}

impl DiscoveryCache {
    /// Forgets what is known of a source.
    pub fn invalidate(&self, _source_id: i64) {}
}

/// A planned query, ready to run any number of times.
pub struct PlannedQuery {
    /// Columns of the result; empty for a statement without rows.
    pub columns: Vec<OutputColumn>,
    /// PostgreSQL type oids of `$1`, `$2`, ..
    pub parameter_types: Vec<u32>,
    /// First word of the command tag.
    pub tag: &'static str,
    context: SessionContext,
    logical: LogicalPlan,
}

impl PlannedQuery {
    /// Runs it on the query runtime; rows come as the client takes them. Dropping the stream ends it.
    pub async fn execute(
        &self,
        gateway: &Arc<Gateway>,
        _session: &Arc<Session>,
        _parameters: Vec<ScalarValue>,
    ) -> Result<RowStream> {
        let (context, logical) = (self.context.clone(), self.logical.clone());
        let (tx, rx) = tokio::sync::mpsc::channel(2);
        gateway.query_runtime.spawn(async move {
            let run = async {
                let plan = context.state().create_physical_plan(&logical).await.map_err(map_error)?;
                datafusion::physical_plan::execute_stream(plan, context.task_ctx()).map_err(map_error)
            };
            match run.await {
                Ok(mut s) => while let Some(b) = s.next().await {
                    if tx.send(b.map_err(map_error)).await.is_err() { return }
                },
                Err(e) => { let _ = tx.send(Err(e)).await; }
            }
        });
        Ok(Box::pin(futures::stream::unfold(rx, |mut rx| async move { rx.recv().await.map(|b| (b, rx)) })))
    }
}

/// Plans one statement of stock SQL.
pub async fn plan(
    gateway: &Arc<Gateway>,
    session: &Arc<Session>,
    statement: &ast::Statement,
    _text: &str,
    _parameter_types: &[Option<u32>],
) -> Result<PlannedQuery> {
    let st = DfStatement::Statement(Box::new(statement.clone()));
    let (tables, _) = resolve_table_references(&st, true).map_err(map_error)?;
    let config = SessionConfig::new().with_target_partitions(2).with_information_schema(false)
        .with_default_catalog_and_schema("tidegate", "tidegate")
        .set_str("datafusion.sql_parser.dialect", "PostgreSQL")
        .set_bool("datafusion.sql_parser.parse_float_as_decimal", true)
        .set_str("datafusion.execution.time_zone", "UTC");
    let context = SessionContext::new_with_config(config);
    let schema = Arc::new(MemorySchemaProvider::new());
    for t in crate::system::tables(gateway, session) {
        schema.register_table(t.name.to_owned(), t.provider).map_err(map_error)?;
    }
    let own = MemoryCatalogProvider::new();
    own.register_schema("tidegate", schema).map_err(map_error)?;
    context.register_catalog("tidegate", Arc::new(own));
    let snapshot = session.snapshot(&gateway.store);
    let paths: Vec<Path3> = tables.iter().filter_map(|t| match (t.catalog(), t.schema()) {
        (Some(c), Some(s)) if c != "tidegate" => Some(Path3::new(c, s, t.table())), _ => None }).collect();
    let mut facts = Facts { session: Some(session.clone()), ..Facts::default() };
    facts.describe(gateway, &snapshot, &paths, false).await?;
    let mut catalogs: BTreeMap<String, Arc<MemoryCatalogProvider>> = BTreeMap::new();
    for (name, source) in &facts.sources {
        let mine: Vec<_> = facts.tables.iter().filter(|(p, _)| p.source == *name).collect();
        let request = SnapshotRequest { tables: mine.iter().map(|(_, t)| (*t).clone()).collect(), connections_max: 4 };
        let slot = SnapshotSlot::lazy(source.connector.source(&source.config)?, request);
        for (path, table) in mine {
            let c = catalogs.entry(name.clone()).or_default();
            if c.schema(&path.name.schema).is_none() {
                c.register_schema(&path.name.schema, Arc::new(MemorySchemaProvider::new())).map_err(map_error)?;
            }
            let remote = RemoteTable::new(slot.clone(), table.clone(), vec![ColumnFormat::Arrow; table.columns.len()],
                SplitGoal { splits_max: 2, rows_min: 50_000 }, Arc::default());
            if let Some(s) = c.schema(&path.name.schema) { s.register_table(path.name.table.clone(), Arc::new(remote)).map_err(map_error)?; }
        }
    }
    for (name, c) in catalogs { context.register_catalog(name, c); }
    let logical = context.state().statement_to_plan(st).await.map_err(map_error)?;
    let logical = context.state().optimize(&logical).map_err(map_error)?;
    let columns = logical.schema().fields().iter().map(|f| {
        let (type_oid, type_modifier) = crate::pg_types::pg_type_of(f);
        OutputColumn { name: f.name().clone(), field: f.as_ref().clone(), type_oid, type_modifier }
    }).collect();
    Ok(PlannedQuery { columns, parameter_types: vec![], tag: "SELECT", context, logical })
}

/// DataFusion's errors in PostgreSQL's words; our own errors pass unchanged.
pub fn map_error(error: DataFusionError) -> Error {
    match error.find_root() {
        DataFusionError::External(_) => {}
        _ => return Error::internal(error.to_string()),
    }
    match error {
        DataFusionError::External(e) => match e.downcast::<Error>() {
            Ok(e) => *e,
            Err(e) => Error::internal(e.to_string()),
        },
        DataFusionError::Context(_, e) => map_error(*e),
        e => Error::internal(e.to_string()),
    }
}
