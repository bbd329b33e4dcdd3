//! What a running job has done so far: counters that the run writes and system tables read.

use catalog::definition::{Mapping, Timestamp};
use catalog::now;
use catalog::store::Run;
use connector_api::ReadProgress;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use tokio_util::sync::CancellationToken;

/// Why a run was told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// STOP or DROP: the job is stopped.
    Stop,
    /// CANCEL JOB .. RUN: the run is canceled, the job stays.
    Cancel,
    /// The gateway ends: the run goes on after the next start.
    Shutdown,
}

/// One run that is going on.
pub struct LiveRun {
    /// What the store will know at the end.
    pub run: Mutex<Run>,
    /// One per mapping of the run.
    pub tables: Vec<Arc<LiveTable>>,
    /// Ends the run's work.
    pub token: CancellationToken,
    interrupt: Mutex<Option<Interrupt>>,
}

impl LiveRun {
    /// A run over these mappings.
    pub fn new(run: Run, tables: Vec<Arc<LiveTable>>) -> Arc<Self> {
        Arc::new(Self { run: Mutex::new(run), tables, token: CancellationToken::new(), interrupt: Mutex::new(None) })
    }
    /// Tells the run to end; the first reason wins.
    pub fn interrupt(&self, why: Interrupt) {
        self.interrupt.lock().get_or_insert(why);
        self.token.cancel();
    }
    /// Why it was told to end.
    pub fn interrupted(&self) -> Option<Interrupt> {
        *self.interrupt.lock()
    }
    /// The run with the counters so far.
    pub fn current(&self) -> Run {
        let mut run = self.run.lock().clone();
        run.rows_read = Some(self.tables.iter().map(|t| t.rows_read() as i64).sum());
        run.bytes_read = Some(self.tables.iter().map(|t| t.bytes_read() as i64).sum());
        run.rows_written = Some(self.tables.iter().map(|t| t.rows_written.load(Ordering::Relaxed) as i64).sum());
        run.rows_skipped = Some(self.tables.iter().map(|t| t.rows_skipped.load(Ordering::Relaxed) as i64).sum());
        run
    }
}

const UNKNOWN: i64 = -1;

/// One table of a run.
pub struct LiveTable {
    /// The job.
    pub job_id: i64,
    /// Its name.
    pub job_name: String,
    /// The run.
    pub run_id: i64,
    /// The mapping.
    pub mapping_id: i64,
    /// `source.schema.table`, or `query`.
    pub source_table: String,
    /// `source.schema.table`
    pub sink_table: String,
    /// When the run began.
    pub created_at: Timestamp,
    /// What was read.
    pub progress: Arc<ReadProgress>,
    /// Rows that are durable in the sink.
    pub rows_written: AtomicU64,
    /// Rows left out.
    pub rows_skipped: AtomicU64,
    rows_estimate: AtomicI64,
    bytes_estimate: AtomicI64,
    state: Mutex<(&'static str, Option<Timestamp>, bool)>,
}

impl LiveTable {
    /// A table that waits.
    pub fn new(job_name: &str, run_id: i64, mapping: &Mapping) -> Arc<Self> {
        Arc::new(Self {
            job_id: mapping.job_id,
            job_name: job_name.to_owned(),
            run_id,
            mapping_id: mapping.id,
            source_table: mapping.source.as_ref().map_or_else(|| "query".to_owned(), |s| s.to_string()),
            sink_table: mapping.sink.to_string(),
            created_at: now(),
            progress: Arc::default(),
            rows_written: AtomicU64::new(0),
            rows_skipped: AtomicU64::new(0),
            rows_estimate: AtomicI64::new(UNKNOWN),
            bytes_estimate: AtomicI64::new(UNKNOWN),
            state: Mutex::new(("waiting", None, false)),
        })
    }
    /// waiting, planning, loading, committing, done, failed.
    pub fn phase(&self) -> &'static str {
        self.state.lock().0
    }
    /// Enters a phase; `loading` notes the time.
    pub fn enter(&self, phase: &'static str) {
        let mut state = self.state.lock();
        state.0 = phase;
        if phase == "loading" {
            state.1 = Some(now());
        }
    }
    /// Whether it is loading now.
    pub fn is_loading(&self) -> bool {
        self.phase() == "loading"
    }
    /// When loading began.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.state.lock().1
    }
    /// The stored statistics now contain this table's work.
    pub fn set_counted(&self) {
        self.state.lock().2 = true;
    }
    /// (rows, bytes) read that the stored statistics do not contain yet.
    pub fn uncounted(&self) -> Option<(u64, u64)> {
        let counted = self.state.lock().2;
        (!counted && self.started_at().is_some()).then(|| (self.rows_read(), self.bytes_read()))
    }
    /// Sets what is expected.
    pub fn set_estimates(&self, rows: Option<u64>, bytes: Option<u64>) {
        let stored = |n: Option<u64>| n.and_then(|n| i64::try_from(n).ok()).unwrap_or(UNKNOWN);
        self.rows_estimate.store(stored(rows), Ordering::Relaxed);
        self.bytes_estimate.store(stored(bytes), Ordering::Relaxed);
    }
    /// (rows, bytes) expected.
    pub fn estimates(&self) -> (Option<i64>, Option<i64>) {
        let known = |n: i64| (n != UNKNOWN).then_some(n);
        (known(self.rows_estimate.load(Ordering::Relaxed)), known(self.bytes_estimate.load(Ordering::Relaxed)))
    }
    /// Rows read.
    pub fn rows_read(&self) -> u64 {
        self.progress.rows.load(Ordering::Relaxed)
    }
    /// Bytes read.
    pub fn bytes_read(&self) -> u64 {
        self.progress.bytes.load(Ordering::Relaxed)
    }
    /// (total, done)
    pub fn splits(&self) -> (u64, u64) {
        (self.progress.splits_total.load(Ordering::Relaxed), self.progress.splits_done.load(Ordering::Relaxed))
    }
}
