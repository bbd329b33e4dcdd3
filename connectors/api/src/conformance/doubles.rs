//! Doubles that stand before a real source or sink and go wrong on demand, in the four ways in which
//! remote systems do: the call is refused; it is done and its reply is lost; it is held; it is slow.
//!
//! Faults are queued per operation. Each call of an operation takes the next fault of its queue; with
//! an empty queue it passes through. So a test says exactly which call fails:
//!
//! ```
//! # use tidegate_connector_api::conformance::{doubles::{Fault, FaultySink, SinkOperation}, memory::MemorySystem};
//! let sink = FaultySink::new(MemorySystem::new().sink());
//! // The second batch is refused, and the reply to the first commit is lost.
//! sink.faults().queue_after(SinkOperation::Write, 1, Fault::refused());
//! sink.faults().queue(SinkOperation::Commit, Fault::ReplyLost);
//! ```

use crate::changes::ChangeStream;
use crate::schema::TableSchema;
use crate::sink::{
    Accepted, CommitKey, CommitSummary, DeliveryGuarantee, Sink, TablePlan, TableTarget, TableWrite, TableWriter,
};
use crate::source::{
    BatchStream, FilterPushdown, RawChunk, RawFormat, RawStream, Snapshot, SnapshotRequest, Source, Split, SplitGoal,
    TableRead,
};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use catalog::{Error, ErrorKind, Position, Result, TableName};
use datafusion::logical_expr::Expr;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// One way to go wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The operation is not done; the caller gets an error of this kind.
    Refused(ErrorKind),
    /// The operation is done, and the caller gets an error of a lost connection.
    ReplyLost,
    /// The operation is done when the gate opens.
    Held(Gate),
    /// The operation is done after this time.
    Slow(Duration),
}

impl Fault {
    /// Refused in a way that may pass by itself: nobody listens.
    pub fn refused() -> Self {
        Self::Refused(ErrorKind::Unreachable)
    }
}

/// What holds a call until a test lets it go. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    reached: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self { reached: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) }
    }
    /// Waits until a call stands at the gate; each call counts once.
    pub async fn reached(&self) {
        if let Ok(permit) = self.reached.acquire().await {
            permit.forget();
        }
    }
    /// Lets one call through, also one that comes later.
    pub fn release(&self) {
        self.open.add_permits(1);
    }
    async fn pass(&self) {
        self.reached.add_permits(1);
        if let Ok(permit) = self.open.acquire().await {
            permit.forget();
        }
    }
}

/// Queued faults and counted calls, per operation.
pub struct Faults<O> {
    state: Mutex<State<O>>,
}

struct State<O> {
    /// None lets a call pass.
    queues: HashMap<O, VecDeque<Option<Fault>>>,
    calls: HashMap<O, usize>,
}

impl<O> fmt::Debug for Faults<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faults")
    }
}

impl<O: Copy + Eq + Hash + fmt::Debug> Faults<O> {
    fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { queues: HashMap::new(), calls: HashMap::new() }) })
    }
    fn state(&self) -> MutexGuard<'_, State<O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// The next call of the operation that has no fault yet gets this one.
    pub fn queue(&self, operation: O, fault: Fault) {
        self.queue_after(operation, 0, fault);
    }
    /// Lets that many calls pass before the fault.
    pub fn queue_after(&self, operation: O, passing: usize, fault: Fault) {
        let mut state = self.state();
        let queue = state.queues.entry(operation).or_default();
        queue.extend(std::iter::repeat_n(None, passing));
        queue.push_back(Some(fault));
    }
    /// Holds the next call; the gate tells when it is there and lets it go.
    pub fn hold(&self, operation: O) -> Gate {
        let gate = Gate::new();
        self.queue(operation, Fault::Held(gate.clone()));
        gate
    }
    /// Calls of an operation so far, those that failed included.
    pub fn calls(&self, operation: O) -> usize {
        self.state().calls.get(&operation).copied().unwrap_or(0)
    }
    /// Faults that no call has taken yet: a test that queued one wants none to be left.
    pub fn pending(&self) -> usize {
        self.state().queues.values().flatten().filter(|fault| fault.is_some()).count()
    }
    /// Forgets all queued faults.
    pub fn clear(&self) {
        self.state().queues.clear();
    }
    fn take(&self, operation: O) -> Option<Fault> {
        let mut state = self.state();
        *state.calls.entry(operation).or_default() += 1;
        state.queues.get_mut(&operation)?.pop_front()?
    }
    /// Does an operation as its next fault has it. An operation that is refused is never polled.
    async fn run<T>(&self, operation: O, action: impl Future<Output = Result<T>>) -> Result<T> {
        match self.take(operation) {
            None => action.await,
            Some(Fault::Refused(kind)) => {
                Err(Error::new(kind, format!("the double refuses the operation {operation:?}")))
            }
            Some(Fault::ReplyLost) => {
                action.await?;
                Err(Error::new(
                    ErrorKind::ConnectionLost,
                    format!("the double lost the reply to the operation {operation:?}"),
                ))
            }
            Some(Fault::Held(gate)) => {
                gate.pass().await;
                action.await
            }
            Some(Fault::Slow(time)) => {
                tokio::time::sleep(time).await;
                action.await
            }
        }
    }
}

/// The operations of a sink and its writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SinkOperation {
    /// [`Sink::plan_table`].
    PlanTable,
    /// [`Sink::open`]. With [`Fault::ReplyLost`] the writer that was opened is dropped.
    Open,
    /// [`Sink::recovered_position`].
    RecoveredPosition,
    /// [`Sink::clean_up`].
    CleanUp,
    /// [`Sink::forget`].
    Forget,
    /// [`TableWriter::write`] and [`TableWriter::write_raw`], of all writers.
    Write,
    /// [`TableWriter::commit`]. Refused, the writer is dropped, which is an abort.
    Commit,
    /// [`TableWriter::abort`].
    Abort,
}

/// A sink before another one that goes wrong on demand.
#[derive(Clone)]
pub struct FaultySink {
    inner: Arc<dyn Sink>,
    faults: Arc<Faults<SinkOperation>>,
}

impl FaultySink {
    /// A double without faults.
    pub fn new(inner: Arc<dyn Sink>) -> Self {
        Self { inner, faults: Faults::new() }
    }
    /// The queues; those of clones are the same.
    pub fn faults(&self) -> &Arc<Faults<SinkOperation>> {
        &self.faults
    }
}

#[async_trait]
impl Sink for FaultySink {
    fn guarantee(&self) -> DeliveryGuarantee {
        self.inner.guarantee()
    }
    async fn plan_table(&self, target: &TableTarget) -> Result<TablePlan> {
        self.faults.run(SinkOperation::PlanTable, self.inner.plan_table(target)).await
    }
    async fn open(&self, write: TableWrite) -> Result<Box<dyn TableWriter>> {
        let inner = self.faults.run(SinkOperation::Open, self.inner.open(write)).await?;
        Ok(Box::new(FaultyWriter { inner, faults: self.faults.clone() }))
    }
    async fn recovered_position(&self, key: &CommitKey, table: &TableName) -> Result<Option<String>> {
        self.faults.run(SinkOperation::RecoveredPosition, self.inner.recovered_position(key, table)).await
    }
    async fn clean_up(&self, key: &CommitKey, table: &TableName) -> Result<Vec<String>> {
        self.faults.run(SinkOperation::CleanUp, self.inner.clean_up(key, table)).await
    }
    async fn forget(&self, gateway_id: &str, job_id: Option<i64>, drop_tables: &[TableName]) -> Result<()> {
        self.faults.run(SinkOperation::Forget, self.inner.forget(gateway_id, job_id, drop_tables)).await
    }
}

struct FaultyWriter {
    inner: Box<dyn TableWriter>,
    faults: Arc<Faults<SinkOperation>>,
}

#[async_trait]
impl TableWriter for FaultyWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<Accepted> {
        self.faults.run(SinkOperation::Write, self.inner.write(batch)).await
    }
    async fn write_raw(&mut self, chunk: RawChunk) -> Result<Accepted> {
        self.faults.run(SinkOperation::Write, self.inner.write_raw(chunk)).await
    }
    async fn commit(self: Box<Self>, position: &Position) -> Result<CommitSummary> {
        let Self { inner, faults } = *self;
        faults.run(SinkOperation::Commit, inner.commit(position)).await
    }
    async fn abort(self: Box<Self>) -> Result<()> {
        let Self { inner, faults } = *self;
        faults.run(SinkOperation::Abort, inner.abort()).await
    }
}

/// The operations of a source, its snapshots and its streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceOperation {
    /// [`Source::open_snapshot`].
    OpenSnapshot,
    /// [`Source::changes`].
    Changes,
    /// [`Source::acknowledge`].
    Acknowledge,
    /// [`Source::release`].
    Release,
    /// [`Snapshot::splits`].
    Splits,
    /// [`Snapshot::read`] and [`Snapshot::read_raw`].
    Read,
    /// Taking the next batch or chunk of any read. [`Fault::ReplyLost`] loses that batch.
    NextBatch,
    /// Taking the next event of any stream of changes. [`Fault::ReplyLost`] loses that event.
    NextChange,
}

/// A source before another one that goes wrong on demand.
#[derive(Clone)]
pub struct FaultySource {
    inner: Arc<dyn Source>,
    faults: Arc<Faults<SourceOperation>>,
}

impl FaultySource {
    /// A double without faults.
    pub fn new(inner: Arc<dyn Source>) -> Self {
        Self { inner, faults: Faults::new() }
    }
    /// The queues; those of clones are the same.
    pub fn faults(&self) -> &Arc<Faults<SourceOperation>> {
        &self.faults
    }
}

/// Puts the faults of an operation before every item. After an error the stream ends, as one of a
/// lost connection does.
fn faulty_stream<T: Send + 'static>(
    inner: BoxStream<'static, Result<T>>,
    faults: Arc<Faults<SourceOperation>>,
    operation: SourceOperation,
) -> BoxStream<'static, Result<T>> {
    futures::stream::unfold(Some(inner), move |inner| {
        let faults = faults.clone();
        async move {
            let mut inner = inner?;
            match faults.run(operation, async { inner.next().await.transpose() }).await {
                Ok(item) => Some((Ok(item?), Some(inner))),
                Err(error) => Some((Err(error), None)),
            }
        }
    })
    .boxed()
}

#[async_trait]
impl Source for FaultySource {
    async fn open_snapshot(&self, request: SnapshotRequest) -> Result<Arc<dyn Snapshot>> {
        let inner = self.faults.run(SourceOperation::OpenSnapshot, self.inner.open_snapshot(request)).await?;
        Ok(Arc::new(FaultySnapshot { inner, faults: self.faults.clone() }))
    }
    async fn changes(&self, tables: &[Arc<TableSchema>], from: &Position) -> Result<ChangeStream> {
        let inner = self.faults.run(SourceOperation::Changes, self.inner.changes(tables, from)).await?;
        Ok(faulty_stream(inner, self.faults.clone(), SourceOperation::NextChange))
    }
    async fn acknowledge(&self, upto: &Position) -> Result<()> {
        self.faults.run(SourceOperation::Acknowledge, self.inner.acknowledge(upto)).await
    }
    async fn release(&self) -> Result<()> {
        self.faults.run(SourceOperation::Release, self.inner.release()).await
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

struct FaultySnapshot {
    inner: Arc<dyn Snapshot>,
    faults: Arc<Faults<SourceOperation>>,
}

#[async_trait]
impl Snapshot for FaultySnapshot {
    fn position(&self) -> &Position {
        self.inner.position()
    }
    async fn splits(&self, read: &TableRead, goal: SplitGoal) -> Result<Vec<Split>> {
        self.faults.run(SourceOperation::Splits, self.inner.splits(read, goal)).await
    }
    async fn read(&self, read: &TableRead, split: &Split) -> Result<BatchStream> {
        let inner = self.faults.run(SourceOperation::Read, self.inner.read(read, split)).await?;
        Ok(faulty_stream(inner, self.faults.clone(), SourceOperation::NextBatch))
    }
    async fn read_raw(&self, read: &TableRead, split: &Split, format: &RawFormat) -> Result<RawStream> {
        let inner = self.faults.run(SourceOperation::Read, self.inner.read_raw(read, split, format)).await?;
        Ok(faulty_stream(inner, self.faults.clone(), SourceOperation::NextBatch))
    }
}
