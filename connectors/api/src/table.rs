//! The one DataFusion table over any [`Source`], and its scan: one split per partition.
//!
//! A statement or a run has one [`SnapshotSlot`] per source, so that all of its tables are read at
//! one consistent point. The slot of a job is filled before planning; that of a SELECT is filled by
//! the first scan that is planned.

use crate::schema::TableSchema;
use crate::source::{
    ColumnFormat, FilterPushdown, ReadProgress, Snapshot, SnapshotRequest, Source, Split, SplitGoal, TableRead,
};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use catalog::{Error, Result};
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Statistics};
use datafusion::datasource::{TableProvider, TableType};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::OnceCell;

type DfResult<T> = std::result::Result<T, DataFusionError>;

/// Wraps one of our errors so that it survives DataFusion; the server unwraps it by downcast.
pub fn to_datafusion(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// One source's snapshot within one statement or run.
pub struct SnapshotSlot {
    source: Arc<dyn Source>,
    request: SnapshotRequest,
    snapshot: OnceCell<Arc<dyn Snapshot>>,
}

impl SnapshotSlot {
    /// A slot that opens the snapshot when it is first needed.
    pub fn lazy(source: Arc<dyn Source>, request: SnapshotRequest) -> Arc<Self> {
        Arc::new(Self { source, request, snapshot: OnceCell::new() })
    }
    /// A slot with an open snapshot.
    pub fn open(source: Arc<dyn Source>, request: SnapshotRequest, snapshot: Arc<dyn Snapshot>) -> Arc<Self> {
        Arc::new(Self { source, request, snapshot: OnceCell::new_with(Some(snapshot)) })
    }
    /// The source.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }
    /// The snapshot, opened now if it was not.
    pub async fn get(&self) -> Result<&Arc<dyn Snapshot>> {
        self.snapshot.get_or_try_init(|| self.source.open_snapshot(self.request.clone())).await
    }
}

impl fmt::Debug for SnapshotSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotSlot").field("is_open", &self.snapshot.initialized()).finish()
    }
}

/// A remote table as DataFusion sees it. Filters, projection and limit go to the source.
#[derive(Debug)]
pub struct RemoteTable {
    slot: Arc<SnapshotSlot>,
    table: Arc<TableSchema>,
    formats: Vec<ColumnFormat>,
    schema: SchemaRef,
    goal: SplitGoal,
    progress: Arc<ReadProgress>,
}

impl RemoteTable {
    /// A table that is read through `slot`; `formats` has one entry per column of the table.
    pub fn new(
        slot: Arc<SnapshotSlot>,
        table: Arc<TableSchema>,
        formats: Vec<ColumnFormat>,
        goal: SplitGoal,
        progress: Arc<ReadProgress>,
    ) -> Self {
        let read = TableRead { formats: formats.clone(), ..TableRead::all(table.clone()) };
        let schema = read.schema(slot.source().as_ref());
        Self { slot, table, formats, schema, goal, progress }
    }
    /// The structure.
    pub fn table(&self) -> &Arc<TableSchema> {
        &self.table
    }
    /// The source.
    pub fn source(&self) -> &Arc<dyn Source> {
        self.slot.source()
    }
    /// The read that a scan with these arguments makes; filters that the source cannot take are
    /// left out.
    pub fn read(&self, projection: Option<&[usize]>, filters: &[Expr], limit: Option<usize>) -> TableRead {
        let columns: Vec<usize> = match projection {
            Some(projection) => projection.to_vec(),
            None => (0..self.table.columns.len()).collect(),
        };
        let formats = columns.iter().map(|&c| self.formats[c]).collect();
        let mut is_exact = true;
        let mut texts = vec![];
        for filter in filters {
            match self.source().push_filter(&self.table, filter) {
                FilterPushdown::Exact(text) => texts.push(text),
                FilterPushdown::Inexact(text) => {
                    texts.push(text);
                    is_exact = false;
                }
                FilterPushdown::Unsupported => is_exact = false,
            }
        }
        TableRead {
            table: self.table.clone(),
            columns,
            formats,
            filters: texts,
            limit: limit.filter(|_| is_exact).map(|n| n as u64),
            progress: self.progress.clone(),
        }
    }
}

#[async_trait]
impl TableProvider for RemoteTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
    fn table_type(&self) -> TableType {
        TableType::Base
    }
    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let read = self.read(projection.map(Vec::as_slice), filters, limit);
        let snapshot = self.slot.get().await.map_err(to_datafusion)?.clone();
        // A small limit is served best by one reader that stops early.
        let goal = match read.limit {
            Some(limit) if limit <= self.goal.rows_min => SplitGoal { splits_max: 1, ..self.goal },
            _ => self.goal,
        };
        let splits = snapshot.splits(&read, goal).await.map_err(to_datafusion)?;
        Ok(Arc::new(SnapshotScanExec::new(self.slot.source().clone(), snapshot, read, splits)))
    }
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match self.source().push_filter(&self.table, filter) {
                FilterPushdown::Exact(_) => TableProviderFilterPushDown::Exact,
                FilterPushdown::Inexact(_) => TableProviderFilterPushDown::Inexact,
                FilterPushdown::Unsupported => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }
    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = match self.table.rows_estimate {
            Some(rows) => Precision::Inexact(rows as usize),
            None => Precision::Absent,
        };
        Some(statistics)
    }
}

/// Reads one table of an open snapshot; partition i is split i.
pub struct SnapshotScanExec {
    snapshot: Arc<dyn Snapshot>,
    read: TableRead,
    splits: Vec<Split>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl SnapshotScanExec {
    /// A scan of these splits.
    pub fn new(source: Arc<dyn Source>, snapshot: Arc<dyn Snapshot>, read: TableRead, splits: Vec<Split>) -> Self {
        let schema = read.schema(source.as_ref());
        let properties = Arc::new(
            PlanProperties::new(
                EquivalenceProperties::new(schema.clone()),
                Partitioning::UnknownPartitioning(splits.len().max(1)),
                EmissionType::Incremental,
                Boundedness::Bounded,
            )
            .with_scheduling_type(SchedulingType::Cooperative),
        );
        read.progress.splits_total.fetch_add(splits.len() as u64, Ordering::Relaxed);
        Self { snapshot, read, splits, schema, properties }
    }
    /// What is read.
    pub fn read(&self) -> &TableRead {
        &self.read
    }
    /// The splits, one per partition.
    pub fn splits(&self) -> &[Split] {
        &self.splits
    }
    /// The snapshot.
    pub fn snapshot(&self) -> &Arc<dyn Snapshot> {
        &self.snapshot
    }
}

impl fmt::Debug for SnapshotScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotScanExec").field("table", &self.read.table.name).field("splits", &self.splits).finish()
    }
}

impl DisplayAs for SnapshotScanExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let columns: Vec<&str> = self.read.columns.iter().map(|&c| self.read.table.columns[c].name.as_str()).collect();
        write!(f, "SnapshotScanExec: table={}, columns=[{}]", self.read.table.name, columns.join(", "))?;
        if !self.read.filters.is_empty() {
            write!(f, ", pushed filter={}", self.read.filters.join(" AND "))?;
        }
        if let Some(limit) = self.read.limit {
            write!(f, ", pushed limit={limit}")?;
        }
        write!(f, ", splits={}", self.splits.len())?;
        if matches!(format, DisplayFormatType::Verbose) {
            for split in &self.splits {
                write!(f, " [{}]", split.description)?;
            }
        }
        Ok(())
    }
}

impl ExecutionPlan for SnapshotScanExec {
    fn name(&self) -> &'static str {
        "SnapshotScanExec"
    }
    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }
    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }
    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }
    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> DfResult<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }
    fn execute(&self, partition: usize, _context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let Some(split) = self.splits.get(partition).cloned() else {
            return Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), futures::stream::empty())));
        };
        let snapshot = self.snapshot.clone();
        let read = self.read.clone();
        let progress = read.progress.clone();
        let done = futures::stream::once(async move {
            progress.splits_done.fetch_add(1, Ordering::Relaxed);
        })
        .filter_map(|()| async { None });
        let stream = futures::stream::once(async move { snapshot.read(&read, &split).await })
            .try_flatten()
            .map_err(to_datafusion)
            .chain(done);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), stream)))
    }
    fn statistics_from_inputs(
        &self,
        _input_statistics: &[Arc<Statistics>],
        _arguments: &StatisticsArgs,
    ) -> DfResult<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        if let Some(rows) = self.read.table.rows_estimate {
            statistics.num_rows = Precision::Inexact(rows as usize);
        }
        Ok(Arc::new(statistics))
    }
}
