//! Connectors that are broken on purpose, each in one way: the suite must say which promise it breaks.

use crate::harness::{MemoryHarness, filled};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use catalog::{Position, Result, TableName};
use connector_api::conformance::memory::MemorySystem;
use connector_api::conformance::{sink, source};
use connector_api::{
    Accepted, BatchStream, ChangeEvent, ChangeStream, CommitKey, CommitSummary, DeliveryGuarantee, FilterPushdown,
    RawChunk, RawFormat, RawStream, Sink, Snapshot, SnapshotRequest, Source, Split, SplitGoal, TablePlan, TableRead,
    TableSchema, TableTarget, TableWrite, TableWriter,
};
use datafusion::logical_expr::Expr;
use futures::StreamExt;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SourceBreak {
    LosesTheLastSplit,
    ReadsTheFirstSplitTwice,
    IgnoresLimit,
    IgnoresFilters,
    ReadsAsOfNow,
    LosesCommits,
    ResumesFromTheBeginning,
}

#[derive(Clone)]
struct BrokenSource {
    inner: Arc<dyn Source>,
    how: SourceBreak,
    beginning: Position,
}

#[async_trait]
impl Source for BrokenSource {
    async fn open_snapshot(&self, request: SnapshotRequest) -> Result<Arc<dyn Snapshot>> {
        let inner = self.inner.open_snapshot(request.clone()).await?;
        Ok(Arc::new(BrokenSnapshot { inner, source: self.clone(), request }))
    }
    async fn changes(&self, tables: &[Arc<TableSchema>], from: &Position) -> Result<ChangeStream> {
        let from = if self.how == SourceBreak::ResumesFromTheBeginning { &self.beginning } else { from };
        let stream = self.inner.changes(tables, from).await?;
        if self.how != SourceBreak::LosesCommits {
            return Ok(stream);
        }
        Ok(stream.filter(|event| futures::future::ready(!matches!(event, Ok(ChangeEvent::Commit { .. })))).boxed())
    }
    async fn acknowledge(&self, upto: &Position) -> Result<()> {
        self.inner.acknowledge(upto).await
    }
    async fn release(&self) -> Result<()> {
        self.inner.release().await
    }
    fn push_filter(&self, table: &TableSchema, filter: &Expr) -> FilterPushdown {
        self.inner.push_filter(table, filter)
    }
    fn wire_encoding(&self, table: &TableSchema, column: usize) -> Option<String> {
        self.inner.wire_encoding(table, column)
    }
    fn raw_formats(&self, read: &TableRead) -> Vec<RawFormat> {
        self.inner.raw_formats(read)
    }
}

struct BrokenSnapshot {
    inner: Arc<dyn Snapshot>,
    source: BrokenSource,
    request: SnapshotRequest,
}

#[async_trait]
impl Snapshot for BrokenSnapshot {
    fn position(&self) -> &Position {
        self.inner.position()
    }
    async fn splits(&self, read: &TableRead, goal: SplitGoal) -> Result<Vec<Split>> {
        let mut splits = self.inner.splits(read, goal).await?;
        match self.source.how {
            SourceBreak::LosesTheLastSplit if splits.len() > 1 => drop(splits.pop()),
            SourceBreak::ReadsTheFirstSplitTwice if splits.len() > 1 => splits[1].payload = splits[0].payload.clone(),
            _ => {}
        }
        Ok(splits)
    }
    async fn read(&self, read: &TableRead, split: &Split) -> Result<BatchStream> {
        let mut read = read.clone();
        match self.source.how {
            SourceBreak::IgnoresLimit => read.limit = None,
            SourceBreak::IgnoresFilters => read.filters.clear(),
            SourceBreak::ReadsAsOfNow => {
                let now = self.source.inner.open_snapshot(self.request.clone()).await?;
                let splits = now.splits(&read, SplitGoal { splits_max: 1, rows_min: 1 }).await?;
                if split.index == 0 {
                    return now.read(&read, &splits[0]).await;
                }
                return Ok(futures::stream::empty().boxed());
            }
            _ => {}
        }
        self.inner.read(&read, split).await
    }
    async fn read_raw(&self, read: &TableRead, split: &Split, format: &RawFormat) -> Result<RawStream> {
        self.inner.read_raw(read, split, format).await
    }
}

#[tokio::test]
async fn the_suite_finds_what_a_source_breaks() {
    for (how, check) in [
        (SourceBreak::LosesTheLastSplit, "splits neither overlap nor leave gaps"),
        (SourceBreak::ReadsTheFirstSplitTwice, "splits neither overlap nor leave gaps"),
        (SourceBreak::IgnoresLimit, "limit is honoured"),
        (SourceBreak::IgnoresFilters, "pushed filters are right and unknown ones unsupported"),
        (SourceBreak::ReadsAsOfNow, "a snapshot does not see concurrent writes"),
        (SourceBreak::ResumesFromTheBeginning, "changes continue the snapshot"),
    ] {
        let system = filled();
        let request = SnapshotRequest { tables: vec![], connections_max: 1 };
        let beginning = system.source().open_snapshot(request).await.unwrap().position().clone();
        let source = BrokenSource { inner: system.source(), how, beginning };
        let failures = source::failures(&MemoryHarness::of_source(&system, Arc::new(source))).await;
        assert!(failures.iter().any(|failure| failure.check == check), "{how:?}: {failures:?}");
    }
}

#[tokio::test]
async fn the_suite_finds_commits_that_do_not_come() {
    let system = filled();
    let request = SnapshotRequest { tables: vec![], connections_max: 1 };
    let beginning = system.source().open_snapshot(request).await.unwrap().position().clone();
    let source = BrokenSource { inner: system.source(), how: SourceBreak::LosesCommits, beginning };
    let failures = source::failures(&MemoryHarness::of_source(&system, Arc::new(source))).await;
    let checks: Vec<&str> = failures.iter().map(|failure| failure.check).collect();
    assert_eq!(checks, ["changes continue the snapshot"]);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SinkBreak {
    CommitsEveryBatch,
    ForgetsThePosition,
    AnswersForEveryRun,
    AppendsAlways,
    KeepsAborted,
    RefusesAfterABadRow,
    PlansByMaking,
}

#[derive(Clone)]
struct BrokenSink {
    inner: Arc<dyn Sink>,
    how: SinkBreak,
}

#[async_trait]
impl Sink for BrokenSink {
    fn guarantee(&self) -> DeliveryGuarantee {
        self.inner.guarantee()
    }
    async fn plan_table(&self, target: &TableTarget) -> Result<TablePlan> {
        let plan = self.inner.plan_table(target).await?;
        if self.how == SinkBreak::PlansByMaking && plan.misfits.is_empty() {
            let commit_key = CommitKey { gateway_id: "plan".to_owned(), job_id: 0, mapping_id: 0, run_id: 0 };
            let schema = arrow::datatypes::Schema::empty();
            let input = connector_api::WriteInput::Arrow(Arc::new(schema));
            let (target, plan) = (target.clone(), plan.clone());
            let write = TableWrite { target, plan, input, commit_key, rows_estimate: None, tolerates_bad_rows: false };
            let position = Position::Snapshot { id: String::new(), lineage: catalog::Lineage::default() };
            self.inner.open(write).await?.commit(&position).await?;
        }
        Ok(plan)
    }
    async fn open(&self, mut write: TableWrite) -> Result<Box<dyn TableWriter>> {
        if self.how == SinkBreak::AppendsAlways {
            write.target.mode = catalog::WriteMode::Append;
        }
        let inner = self.inner.open(write.clone()).await?;
        Ok(Box::new(BrokenWriter { inner, sink: self.clone(), write, is_refused: false }))
    }
    async fn recovered_position(&self, key: &CommitKey, table: &TableName) -> Result<Option<String>> {
        match self.how {
            SinkBreak::ForgetsThePosition => Ok(None),
            SinkBreak::AnswersForEveryRun => Ok(Some("suite-1".to_owned())),
            _ => self.inner.recovered_position(key, table).await,
        }
    }
    async fn clean_up(&self, key: &CommitKey, table: &TableName) -> Result<Vec<String>> {
        self.inner.clean_up(key, table).await
    }
    async fn forget(&self, gateway_id: &str, job_id: Option<i64>, drop_tables: &[TableName]) -> Result<()> {
        self.inner.forget(gateway_id, job_id, drop_tables).await
    }
}

struct BrokenWriter {
    inner: Box<dyn TableWriter>,
    sink: BrokenSink,
    write: TableWrite,
    is_refused: bool,
}

impl BrokenWriter {
    async fn commit_here(&mut self) -> Result<()> {
        let mut other = self.write.clone();
        other.commit_key.run_id += 1_000_000_000;
        other.target.mode = catalog::WriteMode::Append;
        let fresh = self.sink.inner.open(other).await?;
        let position = Position::Snapshot { id: String::new(), lineage: catalog::Lineage::default() };
        std::mem::replace(&mut self.inner, fresh).commit(&position).await?;
        Ok(())
    }
}

#[async_trait]
impl TableWriter for BrokenWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<Accepted> {
        if self.is_refused {
            return Err(catalog::Error::internal("the write is broken"));
        }
        let outcome = self.inner.write(batch).await;
        self.is_refused = outcome.is_err() && self.sink.how == SinkBreak::RefusesAfterABadRow;
        if self.sink.how == SinkBreak::CommitsEveryBatch {
            self.commit_here().await?;
        }
        outcome
    }
    async fn write_raw(&mut self, chunk: RawChunk) -> Result<Accepted> {
        self.inner.write_raw(chunk).await
    }
    async fn commit(self: Box<Self>, position: &Position) -> Result<CommitSummary> {
        self.inner.commit(position).await
    }
    async fn abort(self: Box<Self>) -> Result<()> {
        if self.sink.how == SinkBreak::KeepsAborted {
            let position = Position::Snapshot { id: String::new(), lineage: catalog::Lineage::default() };
            self.inner.commit(&position).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn the_suite_finds_what_a_sink_breaks() {
    for (how, check) in [
        (SinkBreak::CommitsEveryBatch, "nothing is visible before commit and all is after"),
        (SinkBreak::ForgetsThePosition, "position is remembered with the commit"),
        (SinkBreak::AnswersForEveryRun, "position is remembered with the commit"),
        (SinkBreak::AppendsAlways, "overwrite replaces atomically"),
        (SinkBreak::KeepsAborted, "abort leaves nothing"),
        (SinkBreak::RefusesAfterABadRow, "a bad row leaves nothing of its batch"),
        (SinkBreak::PlansByMaking, "planning is read only and repeatable"),
    ] {
        let system = MemorySystem::new();
        let sink = BrokenSink { inner: system.sink(), how };
        let failures = sink::failures(&MemoryHarness::of_sink(&system, Arc::new(sink))).await;
        assert!(failures.iter().any(|failure| failure.check == check), "{how:?}: {failures:?}");
    }
}
