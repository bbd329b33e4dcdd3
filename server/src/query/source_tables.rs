//! A statement's tables for DataFusion: system tables, catalog relations, and tables of sources
//! that are read through one snapshot per source.

use super::discovery::resolve;
use super::resolve::{Scope, Target};
use crate::pgcatalog::arrow::batch;
use crate::pgcatalog::layout::layout;
use crate::pgcatalog::snapshot::Catalog;
use crate::query::map_error;
use crate::system;
use catalog::definition::Source;
use catalog::{Error, Result};
use connector_api::{ColumnFormat, ReadProgress, RemoteTable, SnapshotRequest, SnapshotSlot, SplitGoal, TableSchema};
use datafusion::catalog::MemTable;
use datafusion::common::TableReference;
use datafusion::datasource::{TableProvider, provider_as_source};
use datafusion::logical_expr::TableSource;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Connections to one source that a statement opens at most.
const CONNECTIONS_MAX: usize = 2;
/// How finely a preview splits a table: few connections, and one for small tables.
const GOAL: SplitGoal = SplitGoal { splits_max: CONNECTIONS_MAX, rows_min: 50_000 };

/// The tables that names mean. Opens nothing: snapshots are opened when a scan is planned.
pub(super) async fn tables(
    scope: &Scope,
    targets: Vec<(TableReference, Target)>,
    catalog: Option<&Arc<Catalog>>,
) -> Result<HashMap<TableReference, Arc<dyn TableSource>>> {
    let mut remote: BTreeMap<i64, (Arc<Source>, Vec<Arc<TableSchema>>)> = BTreeMap::new();
    for (_, target) in &targets {
        if let Target::Remote { source, table } = target {
            let (_, tables) = remote.entry(source.id).or_insert_with(|| (source.clone(), vec![]));
            if tables.iter().all(|t| t.name != table.name) {
                tables.push(table.clone());
            }
        }
    }
    let mut slots: HashMap<i64, Arc<SnapshotSlot>> = HashMap::new();
    for (id, (source, tables)) in remote {
        let (connector, config) = resolve(&scope.gateway, Some(&scope.session), &scope.snapshot, &source).await?;
        let limit = config.int("max_connections").and_then(|n| usize::try_from(n).ok()).unwrap_or(CONNECTIONS_MAX);
        let request = SnapshotRequest { tables, connections_max: limit.clamp(1, CONNECTIONS_MAX) };
        slots.insert(id, SnapshotSlot::lazy(connector.source(&config)?, request));
    }
    let mut system_tables: Option<Vec<system::SystemTable>> = None;
    let mut found: HashMap<TableReference, Arc<dyn TableSource>> = HashMap::new();
    for (name, target) in targets {
        let provider: Arc<dyn TableProvider> = match target {
            Target::System(table) => {
                let all = system_tables.get_or_insert_with(|| system::tables(&scope.gateway, &scope.session));
                let table = all.iter().find(|t| t.name == table);
                table.map(|t| t.provider.clone()).ok_or_else(|| Error::internal("a system table is missing"))?
            }
            Target::Catalog { schema, name } => {
                let catalog = catalog.ok_or_else(|| Error::internal("the client catalog was not loaded"))?;
                let layout = layout(schema, &name).ok_or_else(|| Error::internal("a catalog relation is missing"))?;
                let columns: Vec<(String, u32)> =
                    layout.columns.iter().map(|c| (c.name.to_owned(), c.type_oid)).collect();
                let rows: Vec<_> = catalog.table(layout).rows.iter().map(|row| row.as_ref().clone()).collect();
                let batch = batch(&columns, &rows, catalog)?;
                Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).map_err(map_error)?)
            }
            Target::Remote { source, table } => {
                let slot = slots.get(&source.id).ok_or_else(|| Error::internal("a source has no snapshot"))?;
                let formats = vec![ColumnFormat::Arrow; table.columns.len()];
                Arc::new(RemoteTable::new(slot.clone(), table, formats, GOAL, Arc::new(ReadProgress::default())))
            }
        };
        found.insert(name, provider_as_source(provider));
    }
    Ok(found)
}
