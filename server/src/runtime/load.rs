//! Moves the rows of one compiled mapping from its readers into one writer.
//!
//! Readers run side by side, one per split, each a task of its own; a bounded channel carries
//! batches or chunks to the writer, so that a slow sink slows the source and memory stays flat.

use super::compile::{Compiled, Work};
use super::live::LiveTable;
use super::skip::{Chain, SkipPolicy};
use crate::query::map_error;
use catalog::definition::OnError;
use catalog::{Error, ErrorKind, ErrorSide, Position, Result};
use connector_api::{RawChunk, SnapshotScanExec, TableWriter};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::StreamExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Batches or chunks that may wait for the writer.
const QUEUE_LENGTH: usize = 4;

/// An error and the side that it happened on.
pub struct SidedError {
    /// Which side.
    pub side: ErrorSide,
    /// What happened.
    pub error: Error,
}

/// Marks errors with a side.
pub trait OnSide<T> {
    /// Marks an error.
    fn on(self, side: ErrorSide) -> Result<T, SidedError>;
}

impl<T> OnSide<T> for Result<T> {
    fn on(self, side: ErrorSide) -> Result<T, SidedError> {
        self.map_err(|error| SidedError { side, error })
    }
}

fn canceled() -> SidedError {
    SidedError { side: ErrorSide::Engine, error: Error::new(ErrorKind::Canceled, "the run was told to end") }
}

/// Reads everything and gives it to the writer. Nothing is committed yet on return. The answer is
/// the position at which what was read is consistent; None when the query read no source.
pub async fn load(
    compiled: &Compiled,
    writer: &mut dyn TableWriter,
    live: &Arc<LiveTable>,
    on_error: &OnError,
    skip: &mut SkipPolicy,
    token: &CancellationToken,
) -> Result<Option<Position>, SidedError> {
    match &compiled.work {
        Work::Raw { read, format, slot, goal } => {
            let snapshot = slot.get().await.on(ErrorSide::Source)?.clone();
            let splits = snapshot.splits(read, *goal).await.on(ErrorSide::Source)?;
            read.progress.splits_total.fetch_add(splits.len() as u64, Ordering::Relaxed);
            let (sender, receiver) = mpsc::channel::<Result<RawChunk>>(QUEUE_LENGTH);
            let mut readers = JoinSet::new();
            for split in splits {
                let (snapshot, read, format, sender) = (snapshot.clone(), read.clone(), format.clone(), sender.clone());
                readers.spawn(async move {
                    let stream = match snapshot.read_raw(&read, &split, &format).await {
                        Ok(stream) => stream,
                        Err(error) => {
                            let _ = sender.send(Err(error)).await;
                            return;
                        }
                    };
                    if forward(stream, sender).await {
                        read.progress.splits_done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            drop(sender);
            let mut queue = Queue { receiver, token };
            while let Some(chunk) = queue.next().await? {
                queue.unless_canceled(writer.write_raw(chunk)).await?.on(ErrorSide::Sink)?;
            }
            join(readers).await?;
            Ok(Some(snapshot.position().clone()))
        }
        Work::Query { logical, context, schema } => {
            let plan = Work::physical(logical, context).await.on(ErrorSide::Source)?;
            let position = position_of(&plan);
            match on_error {
                OnError::Stop => {
                    // Filters and expressions over one scan are evaluated in its readers by us, so that
                    // a bad value can be traced to its row; any other plan is DataFusion's.
                    let (plan, chain) = match Chain::of(&plan) {
                        Ok(chain) => (chain.input.clone(), Some(Arc::new(chain))),
                        Err(_) => (plan, None),
                    };
                    let (mut queue, readers) = start_plan(plan, chain, context, token)?;
                    while let Some(batch) = queue.next().await? {
                        if batch.num_rows() == 0 {
                            continue;
                        }
                        let batch = with_schema(batch, schema).on(ErrorSide::Engine)?;
                        queue.unless_canceled(writer.write(batch)).await?.on(ErrorSide::Sink)?;
                    }
                    join(readers).await?;
                }
                OnError::Skip { .. } => {
                    // Rows are transformed here, batch by batch, so that a bad one can be found.
                    let chain = Chain::of(&plan).on(ErrorSide::Transform)?;
                    let (mut queue, readers) = start_plan(chain.input.clone(), None, context, token)?;
                    while let Some(batch) = queue.next().await? {
                        queue.unless_canceled(chain.write(batch, writer, skip, schema)).await??;
                        live.rows_skipped.store(skip.skipped(), Ordering::Relaxed);
                    }
                    join(readers).await?;
                }
            }
            Ok(position)
        }
    }
}

/// The position of the snapshots that a plan reads; the first one, when it reads several sources.
fn position_of(plan: &Arc<dyn ExecutionPlan>) -> Option<Position> {
    let mut found = None;
    let _ = plan.apply(|node| {
        if let Some(scan) = node.downcast_ref::<SnapshotScanExec>() {
            found = Some(scan.snapshot().position().clone());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// Starts one reader per partition; each transforms its batches by the chain, if there is one.
fn start_plan<'a>(
    plan: Arc<dyn ExecutionPlan>,
    chain: Option<Arc<Chain>>,
    context: &datafusion::prelude::SessionContext,
    token: &'a CancellationToken,
) -> Result<(Queue<'a, RecordBatch>, JoinSet<()>), SidedError> {
    let (sender, receiver) = mpsc::channel::<Result<RecordBatch>>(QUEUE_LENGTH);
    let mut readers = JoinSet::new();
    for partition in 0..plan.output_partitioning().partition_count() {
        let stream = plan.execute(partition, context.task_ctx()).map_err(map_error).on(ErrorSide::Source)?;
        let (sender, chain) = (sender.clone(), chain.clone());
        readers.spawn(async move {
            let batches = stream.map(|batch| {
                let batch = batch.map_err(map_error)?;
                chain.as_ref().map_or(Ok(batch.clone()), |chain| chain.transform(&batch))
            });
            forward(batches, sender).await;
        });
    }
    Ok((Queue { receiver, token }, readers))
}

/// Sends everything of a stream; true when it came to its end.
async fn forward<T>(
    mut stream: impl futures::Stream<Item = Result<T>> + Unpin,
    sender: mpsc::Sender<Result<T>>,
) -> bool {
    while let Some(item) = stream.next().await {
        let is_error = item.is_err();
        if sender.send(item).await.is_err() || is_error {
            return false;
        }
    }
    true
}

/// What waits for the writer. An interrupt of the run ends every wait.
struct Queue<'a, T> {
    receiver: mpsc::Receiver<Result<T>>,
    token: &'a CancellationToken,
}

impl<T> Queue<'_, T> {
    async fn next(&mut self) -> Result<Option<T>, SidedError> {
        let item = tokio::select! {
            biased;
            () = self.token.cancelled() => return Err(canceled()),
            item = self.receiver.recv() => item,
        };
        item.transpose().map_err(|error| SidedError { side: side_of_read(&error), error })
    }

    async fn unless_canceled<R>(&self, work: impl Future<Output = R>) -> Result<R, SidedError> {
        tokio::select! {
            biased;
            () = self.token.cancelled() => Err(canceled()),
            done = work => Ok(done),
        }
    }
}

/// An error out of a read plan is the source's unless its kind says that a value did not convert.
fn side_of_read(error: &Error) -> ErrorSide {
    match error.kind() {
        ErrorKind::InvalidText | ErrorKind::NumericRange | ErrorKind::DivisionByZero | ErrorKind::TypeMismatch => {
            ErrorSide::Transform
        }
        ErrorKind::Internal | ErrorKind::OutOfMemory => ErrorSide::Engine,
        _ => ErrorSide::Source,
    }
}

async fn join(mut readers: JoinSet<()>) -> Result<(), SidedError> {
    while let Some(end) = readers.join_next().await {
        if let Err(error) = end
            && error.is_panic()
        {
            return Err(SidedError {
                side: ErrorSide::Engine,
                error: Error::internal("a reader ended by a panic").with_source(error),
            });
        }
    }
    Ok(())
}

/// The batch under the schema that the writer was told.
pub fn with_schema(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = datafusion::arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &options)
        .map_err(|e| Error::internal("a batch does not have the planned schema").with_source(e))
}
