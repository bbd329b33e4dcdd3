//! Each of the four faults, on both sides.

use crate::harness::{filled, name, row};
use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Schema;
use catalog::{ErrorKind, Lineage, Position, WriteMode};
use connector_api::conformance::doubles::{Fault, FaultySink, FaultySource, SinkOperation, SourceOperation};
use connector_api::conformance::memory::{MemorySystem, RowChange};
use connector_api::conformance::sink::target;
use connector_api::{
    ChangeEvent, CommitKey, Sink, SnapshotRequest, Source, SplitGoal, TableRead, TableWrite, TableWriter, WriteInput,
};
use futures::{StreamExt, TryStreamExt};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ONE: SplitGoal = SplitGoal { splits_max: 1, rows_min: 1 };

fn key() -> CommitKey {
    CommitKey { gateway_id: "faults".to_owned(), job_id: 1, mapping_id: 1, run_id: 1 }
}

fn position() -> Position {
    Position::Snapshot { id: "here".to_owned(), lineage: Lineage::default() }
}

fn batch() -> RecordBatch {
    let fields: Vec<_> = target(&name("t"), WriteMode::Append).columns.into_iter().map(|column| column.field).collect();
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![1, 2])), Arc::new(StringArray::from(vec![Some("a"), None]))];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

async fn open(sink: &dyn Sink) -> catalog::Result<Box<dyn TableWriter>> {
    let target = target(&name("t"), WriteMode::Append);
    let plan = sink.plan_table(&target).await?;
    let input = WriteInput::Arrow(batch().schema());
    let write = TableWrite { target, plan, input, commit_key: key(), rows_estimate: None, tolerates_bad_rows: false };
    sink.open(write).await
}

async fn load(sink: &dyn Sink) -> catalog::Result<u64> {
    let mut writer = open(sink).await?;
    writer.write(batch()).await?;
    Ok(writer.commit(&position()).await?.rows_written)
}

#[tokio::test]
async fn a_refused_commit_did_not_happen() {
    let system = MemorySystem::new();
    let sink = FaultySink::new(system.sink());
    sink.faults().queue(SinkOperation::Commit, Fault::refused());
    let error = load(&sink).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Unreachable);
    assert!(error.is_retryable());
    assert_eq!(system.rows(&name("t")), None);
    assert_eq!(system.open_writes(), Vec::<String>::new());
    assert_eq!(sink.recovered_position(&key(), &name("t")).await.unwrap(), None);
    assert_eq!(load(&sink).await.unwrap(), 2);
    assert_eq!(sink.faults().calls(SinkOperation::Commit), 2);
    assert_eq!(sink.faults().pending(), 0);
}

#[tokio::test]
async fn a_commit_whose_reply_is_lost_did_happen() {
    let system = MemorySystem::new();
    let sink = FaultySink::new(system.sink());
    sink.faults().queue(SinkOperation::Commit, Fault::ReplyLost);
    let error = load(&sink).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::ConnectionLost);
    assert_eq!(system.rows(&name("t")).unwrap(), [row(1, Some("a")), row(2, None)]);
    assert_eq!(sink.recovered_position(&key(), &name("t")).await.unwrap().as_deref(), Some("here"));
}

#[tokio::test]
async fn a_held_commit_waits_for_its_gate() {
    let system = MemorySystem::new();
    let sink = FaultySink::new(system.sink());
    let gate = sink.faults().hold(SinkOperation::Commit);
    let task = tokio::spawn({
        let sink = sink.clone();
        async move { load(&sink).await }
    });
    gate.reached().await;
    assert_eq!(system.rows(&name("t")), None);
    gate.release();
    assert_eq!(task.await.unwrap().unwrap(), 2);
    assert_eq!(system.rows(&name("t")).unwrap().len(), 2);
}

#[tokio::test]
async fn a_held_write_that_is_cancelled_leaves_nothing() {
    let system = MemorySystem::new();
    let sink = FaultySink::new(system.sink());
    let gate = sink.faults().hold(SinkOperation::Write);
    let task = tokio::spawn({
        let sink = sink.clone();
        async move { load(&sink).await }
    });
    gate.reached().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(system.open_writes(), Vec::<String>::new());
    assert_eq!(system.rows(&name("t")), None);
}

#[tokio::test]
async fn a_slow_open_opens_later() {
    let sink = FaultySink::new(MemorySystem::new().sink());
    sink.faults().queue(SinkOperation::Open, Fault::Slow(Duration::from_millis(50)));
    let started = Instant::now();
    open(&sink).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn faults_wait_for_their_turn() {
    let sink = FaultySink::new(MemorySystem::new().sink());
    sink.faults().queue_after(SinkOperation::Write, 1, Fault::Refused(ErrorKind::DiskFull));
    let mut writer = open(&sink).await.unwrap();
    writer.write(batch()).await.unwrap();
    assert_eq!(sink.faults().pending(), 1);
    assert_eq!(writer.write(batch()).await.unwrap_err().sqlstate(), "53100");
    writer.write(batch()).await.unwrap();
    assert_eq!(writer.commit(&position()).await.unwrap().rows_written, 4);
}

#[tokio::test]
async fn a_read_breaks_in_the_middle_and_ends() {
    let system = filled();
    let source = FaultySource::new(system.source());
    let schema = system.schema(&name("many")).unwrap();
    let read = TableRead::all(schema.clone());
    let snapshot = source.open_snapshot(SnapshotRequest { tables: vec![schema], connections_max: 1 }).await.unwrap();
    let splits = snapshot.splits(&read, ONE).await.unwrap();
    source.faults().queue_after(SourceOperation::NextBatch, 2, Fault::Refused(ErrorKind::ConnectionLost));
    let items: Vec<_> = snapshot.read(&read, &splits[0]).await.unwrap().collect().await;
    assert_eq!(items.len(), 3);
    assert_eq!(items[2].as_ref().unwrap_err().sqlstate(), "08006");
    // The next read is whole.
    let batches: Vec<_> = snapshot.read(&read, &splits[0]).await.unwrap().try_collect().await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 3_000);
}

#[tokio::test]
async fn an_event_that_is_lost_comes_again_after_resuming() {
    let system = filled();
    let source = FaultySource::new(system.source());
    let tables = [system.schema(&name("many")).unwrap()];
    let from = source
        .open_snapshot(SnapshotRequest { tables: tables.to_vec(), connections_max: 1 })
        .await
        .unwrap()
        .position()
        .clone();
    system.apply(&name("many"), vec![RowChange::Insert(row(9_000, None))]).unwrap();
    source.faults().queue_after(SourceOperation::NextChange, 1, Fault::ReplyLost);
    let mut stream = source.changes(&tables, &from).await.unwrap();
    assert!(matches!(stream.next().await, Some(Ok(ChangeEvent::Begin { .. }))));
    assert_eq!(stream.next().await.unwrap().unwrap_err().sqlstate(), "08006");
    assert!(stream.next().await.is_none());
    let mut stream = source.changes(&tables, &from).await.unwrap();
    assert!(matches!(stream.next().await, Some(Ok(ChangeEvent::Begin { .. }))));
    assert!(matches!(stream.next().await, Some(Ok(ChangeEvent::Rows(batch))) if batch.rows.num_rows() == 1));
    assert!(matches!(stream.next().await, Some(Ok(ChangeEvent::Commit { .. }))));
}
