//! The writing side: tables are planned without touching anything, and each is written by one
//! transaction on one connection (`crate::load`) that also writes the position.
//!
//! `plan` compares (with `table` and `fit`), `position` is the sink's memory, `value`, `numeric` and
//! `calendar` write cells, `copy_error` names rows.

pub(crate) mod calendar;
pub(crate) mod cell;
pub(crate) mod copy_error;
pub(crate) mod fit;
pub(crate) mod numeric;
pub(crate) mod plan;
pub(crate) mod position;
pub(crate) mod table;
pub(crate) mod value;

use crate::client::connect;
use crate::load;
use async_trait::async_trait;
use catalog::{Result, TableName};
use connector_api::{
    CommitKey, DeliveryGuarantee, Sink, SourceConfig, TablePlan, TableTarget, TableWrite, TableWriter,
};
use std::sync::Arc;

/// The sink of one source. It holds no connection: every method makes its own.
#[derive(Debug)]
pub(crate) struct PostgresSink {
    config: SourceConfig,
}

/// Makes the sink; nothing is connected yet.
pub(crate) fn open_sink(config: &SourceConfig) -> Result<Arc<dyn Sink>> {
    Ok(Arc::new(PostgresSink { config: config.clone() }))
}

#[async_trait]
impl Sink for PostgresSink {
    fn guarantee(&self) -> DeliveryGuarantee {
        DeliveryGuarantee::ExactlyOnce
    }

    async fn plan_table(&self, target: &TableTarget) -> Result<TablePlan> {
        let client = connect(&self.config, "plan").await?;
        Ok(plan::plan(&client, target).await?.plan)
    }

    async fn open(&self, write: TableWrite) -> Result<Box<dyn TableWriter>> {
        Ok(Box::new(load::open(&self.config, write).await?))
    }

    async fn recovered_position(&self, key: &CommitKey, _table: &TableName) -> Result<Option<String>> {
        Ok(position::recall(&self.config, key).await?.map(|(position, _)| position))
    }

    /// A dead write leaves nothing but, for a while, its server session; that is ended.
    async fn clean_up(&self, key: &CommitKey, _table: &TableName) -> Result<Vec<String>> {
        position::end_dead_writers(&self.config, key).await
    }

    async fn forget(&self, gateway_id: &str, job_id: Option<i64>, drop_tables: &[TableName]) -> Result<()> {
        position::forget(&self.config, gateway_id, job_id, drop_tables).await
    }
}
