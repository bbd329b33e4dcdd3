//! The runtime of jobs: starts, stops and resumes runs, and knows what they are doing.
//!
//! A run's durable traces are its row, the states of its mappings and, at the sink, the position
//! that committed with the data. Whatever instruction the process dies at, [`JobManager::resume`]
//! goes on from those: what the sink committed is done, everything else is loaded again.

mod compile;
mod facts;
mod live;
mod load;
pub mod options;
mod query_shape;
mod record;
mod run;
mod skip;

pub use compile::{Compiled, Compiler, Work, misfit_error, parse_query, tables_of};
pub use facts::{Facts, SourceFacts, missing_table};
pub use live::{Interrupt, LiveRun, LiveTable};

use crate::gateway::Gateway;
use catalog::definition::*;
use catalog::store::{Change, Run};
use catalog::{
    DesiredState, Error, ErrorKind, JobPhase, JobState, MappingState, Path3, Result, RunState, RunTrigger, TableName,
    now,
};
use connector_api::CommitKey;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Memory that the queries of all jobs may use together; what sorts and joins need beyond it spills.
const JOB_MEMORY_BYTES: usize = 128 << 20;
/// How long STOP waits for a run to end before it says that it is still stopping.
const STOP_WAIT: Duration = Duration::from_secs(30);

/// Runs synchronous work (the store, the file system) on a blocking thread.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::internal("a blocking task ended by a panic").with_source(e))?
}

/// What a run may leave at a sink, as the store remembers it until the run's table is settled.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Trace {
    pub gateway_id: String,
    pub job_id: i64,
    pub mapping_id: i64,
    pub run_id: i64,
    pub sink: Path3,
}

impl Trace {
    pub(crate) fn key(&self) -> CommitKey {
        CommitKey {
            gateway_id: self.gateway_id.clone(),
            job_id: self.job_id,
            mapping_id: self.mapping_id,
            run_id: self.run_id,
        }
    }
}

/// How a run begins.
#[derive(Debug, Clone)]
pub struct Start {
    /// What starts it.
    pub trigger: RunTrigger,
    /// The mappings that it covers; empty: all of the job.
    pub mapping_ids: Vec<i64>,
    /// The unfinished run that it goes on with, after the gateway was gone.
    pub resume: Option<Run>,
}

impl Start {
    /// A run of the whole job.
    pub fn new(trigger: RunTrigger) -> Self {
        Self { trigger, mapping_ids: vec![], resume: None }
    }
}

/// What runs.
pub struct JobManager {
    handle: Handle,
    runtime_env: Arc<RuntimeEnv>,
    active: Mutex<BTreeMap<i64, Arc<LiveRun>>>,
    changed: watch::Sender<u64>,
    is_closing: AtomicBool,
}

impl JobManager {
    /// Nothing runs yet. Runs are tasks on `handle`, apart from the wire and from queries.
    pub fn new(handle: Handle) -> Self {
        let runtime_env = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(JOB_MEMORY_BYTES)))
            .build()
            .map(Arc::new)
            .unwrap_or_default();
        Self {
            handle,
            runtime_env,
            active: Mutex::new(BTreeMap::new()),
            changed: watch::channel(0).0,
            is_closing: AtomicBool::new(false),
        }
    }

    pub(crate) fn runtime_env(&self) -> Arc<RuntimeEnv> {
        self.runtime_env.clone()
    }

    /// Changes whenever a job, a run or a mapping changes its state.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn notify(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    /// The run that is going on, with the counters so far.
    pub fn live_run(&self, run_id: i64) -> Option<Run> {
        self.active.lock().values().find(|live| live.run.lock().id == run_id).map(|live| live.current())
    }

    /// The tables of all runs that are going on.
    pub fn live_tables(&self) -> Vec<Arc<LiveTable>> {
        self.active.lock().values().flat_map(|live| live.tables.iter().cloned()).collect()
    }

    /// Whether a run of the job is going on.
    pub fn is_active(&self, job_id: i64) -> bool {
        self.active.lock().contains_key(&job_id)
    }

    /// Starts a run and returns its id once the start is durable. 55006 when one is going on.
    pub async fn start(&self, gateway: &Arc<Gateway>, job_id: i64, start: Start) -> Result<i64> {
        if self.is_closing.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Shutdown, "the gateway is shutting down"));
        }
        let g = gateway.clone();
        let (live, job, is_resumed) = blocking(move || prepare_run(&g, job_id, start)).await?;
        let run_id = live.run.lock().id;
        {
            let mut active = self.active.lock();
            if active.contains_key(&job_id) {
                return Err(already_running(&job.name));
            }
            active.insert(job_id, live.clone());
        }
        if let Err(error) = self.record_start(gateway, &job, &live, is_resumed).await {
            self.active.lock().remove(&job_id);
            return Err(error);
        }
        self.notify();
        let gateway = gateway.clone();
        self.handle.spawn(async move {
            // The run is a task of its own, so that a panic in it is an error of the run.
            let inner = tokio::spawn(run::execute(gateway.clone(), live.clone(), job, is_resumed));
            if let Err(panic) = inner.await {
                run::finish_panicked(&gateway, &live, panic).await;
            }
            gateway.jobs.active.lock().remove(&job_id);
            gateway.jobs.notify();
        });
        Ok(run_id)
    }

    async fn record_start(
        &self,
        gateway: &Arc<Gateway>,
        job: &Arc<Job>,
        live: &Arc<LiveRun>,
        is_resumed: bool,
    ) -> Result<()> {
        let run = live.run.lock().clone();
        let (gateway, job_id) = (gateway.clone(), job.id);
        blocking(move || {
            gateway.store.put_run(&run)?;
            gateway.store.commit_any(|snapshot| {
                let Some(job) = snapshot.jobs.get(&job_id) else {
                    return Err(Error::new(ErrorKind::UndefinedObject, "the job was dropped"));
                };
                let mut job = Job::clone(job);
                job.desired_state = DesiredState::Running;
                job.state = JobState::Starting;
                job.phase = JobPhase::Validate;
                job.state_changed_at = now();
                job.current_run_id = Some(run.id);
                if is_resumed {
                    job.restart_count += 1;
                }
                let mut changes = vec![Change::PutJob(job)];
                if !is_resumed {
                    for mapping in snapshot.mappings_of(job_id) {
                        let is_covered = run.mapping_ids.is_empty() || run.mapping_ids.contains(&mapping.id);
                        if is_covered && mapping.state != MappingState::Removed {
                            let mut mapping = Mapping::clone(mapping);
                            mapping.state = MappingState::Pending;
                            mapping.state_changed_at = now();
                            mapping.last_error = None;
                            mapping.last_error_id = None;
                            changes.push(Change::PutMapping(mapping));
                        }
                    }
                }
                Ok(changes)
            })?;
            Ok(())
        })
        .await
    }

    /// Ends the run that is going on. For [`Interrupt::Stop`] the job is stopped whether a run was
    /// going on or not. Waits until the run has ended, at most 30 s; `false` says that it has not.
    pub async fn interrupt(&self, gateway: &Arc<Gateway>, job_id: i64, why: Interrupt) -> Result<bool> {
        let live = self.active.lock().get(&job_id).cloned();
        if let Some(live) = &live {
            if why == Interrupt::Stop {
                record::update_job(gateway, job_id, |job| {
                    job.desired_state = DesiredState::Stopped;
                    job.state = JobState::Stopping;
                })
                .await?;
            }
            live.interrupt(why);
            return Ok(self.wait_ended(job_id, STOP_WAIT).await);
        }
        if why == Interrupt::Stop {
            record::update_job(gateway, job_id, |job| {
                job.desired_state = DesiredState::Stopped;
                job.state = JobState::Stopped;
                job.phase = JobPhase::Idle;
            })
            .await?;
        }
        Ok(true)
    }

    async fn wait_ended(&self, job_id: i64, limit: Duration) -> bool {
        let mut changes = self.changes();
        let ended = async {
            while self.is_active(job_id) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(limit, ended).await.is_ok()
    }

    /// Goes on with what was running when the gateway was last gone, and clears what dead runs left
    /// at sinks. A sink that cannot be reached keeps its traces for the next start.
    pub async fn resume(&self, gateway: &Arc<Gateway>) -> Result<()> {
        let g = gateway.clone();
        let (unfinished, traces, snapshot) =
            blocking(move || Ok((g.store.unfinished_runs()?, g.store.sink_traces()?, g.store.snapshot()))).await?;
        let mut resumed = vec![];
        for run in unfinished {
            let goes_on = snapshot
                .jobs
                .get(&run.job_id)
                .is_some_and(|job| job.current_run_id == Some(run.id) && job.desired_state == DesiredState::Running);
            if goes_on {
                resumed.push(run.id);
                let start = Start {
                    trigger: RunTrigger::Recovery,
                    mapping_ids: run.mapping_ids.clone(),
                    resume: Some(run.clone()),
                };
                self.start(gateway, run.job_id, start).await?;
                continue;
            }
            record::end_orphan(gateway, run).await?;
        }
        // A job without a run that says it is busy was between two of its records.
        for job in snapshot.jobs.values() {
            let is_busy = matches!(job.state, JobState::Starting | JobState::Running | JobState::Stopping);
            if is_busy && !self.is_active(job.id) {
                if job.desired_state == DesiredState::Running {
                    self.start(gateway, job.id, Start::new(RunTrigger::Recovery)).await?;
                } else {
                    record::update_job(gateway, job.id, |job| {
                        job.state = JobState::Stopped;
                        job.phase = JobPhase::Idle;
                    })
                    .await?;
                }
            }
        }
        let orphans: Vec<Trace> = traces
            .iter()
            .filter(|t| !resumed.contains(&t.run_id))
            .filter_map(|t| serde_json::from_str(&t.json).ok())
            .collect();
        if !orphans.is_empty() {
            let gateway = gateway.clone();
            self.handle.spawn(async move {
                for trace in orphans {
                    clear_trace(&gateway, &trace).await;
                }
            });
        }
        Ok(())
    }

    /// Interrupts all runs so that they go on after the next start, and waits for them, at most 10 s.
    pub async fn shutdown(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
        let ids: Vec<i64> = {
            let active = self.active.lock();
            for live in active.values() {
                live.interrupt(Interrupt::Shutdown);
            }
            active.keys().copied().collect()
        };
        for id in ids {
            self.wait_ended(id, Duration::from_secs(10)).await;
        }
    }
}

/// Removes what a dead run left at its sink, then forgets the trace.
async fn clear_trace(gateway: &Arc<Gateway>, trace: &Trace) {
    let cleared = async {
        let snapshot = gateway.store.snapshot();
        if let Some(source) = snapshot.source(&trace.sink.source).cloned() {
            let (g, s) = (gateway.clone(), snapshot.clone());
            let (connector, config) = blocking(move || g.resolve(&s, &source)).await?;
            connector.sink(&config)?.clean_up(&trace.key(), &trace.sink.name).await?;
        }
        let (g, run_id, mapping_id) = (gateway.clone(), trace.run_id, trace.mapping_id);
        blocking(move || g.store.delete_sink_trace(run_id, mapping_id)).await
    };
    if let Err(error) = cleared.await {
        tracing::info!(sink = %trace.sink, run_id = trace.run_id, %error, "what a dead run left could not be cleared yet");
    }
}

/// Forgets a dropped job at its sinks; what cannot be reached is said in the answer.
pub async fn forget(
    gateway: &Arc<Gateway>,
    source: &str,
    job_id: Option<i64>,
    drop_tables: &[TableName],
) -> Result<()> {
    let snapshot = gateway.store.snapshot();
    let definition = crate::gateway::find_source(&snapshot, source)?;
    let (g, s) = (gateway.clone(), snapshot.clone());
    let (connector, config) = blocking(move || g.resolve(&s, &definition)).await?;
    connector.sink(&config)?.forget(gateway.store.gateway_id(), job_id, drop_tables).await
}

fn already_running(name: &str) -> Error {
    Error::new(ErrorKind::InUse, format!("job \"{name}\" is already running"))
        .with_hint(format!("WAIT FOR JOB {0} STATE finished; or STOP JOB {0};", catalog::quote_ident(name)))
}

fn prepare_run(gateway: &Arc<Gateway>, job_id: i64, start: Start) -> Result<(Arc<LiveRun>, Arc<Job>, bool)> {
    let snapshot = gateway.store.snapshot();
    let job = snapshot
        .jobs
        .get(&job_id)
        .cloned()
        .ok_or_else(|| Error::new(ErrorKind::UndefinedObject, "the job was dropped"))?;
    if gateway.jobs.is_active(job_id) {
        return Err(already_running(&job.name));
    }
    let is_resumed = start.resume.is_some();
    let run = match start.resume {
        Some(mut run) => {
            run.attempt += 1;
            run.state = RunState::Running;
            run
        }
        None => {
            let attempt = match start.trigger {
                RunTrigger::Retry => gateway.store.runs(Some(job_id), 1)?.first().map_or(1, |last| last.attempt + 1),
                RunTrigger::Manual | RunTrigger::Schedule | RunTrigger::Restart | RunTrigger::Recovery => 1,
            };
            Run {
                id: gateway.store.next_id()?,
                job_id,
                job_name: job.name.clone(),
                trigger: start.trigger,
                state: RunState::Running,
                started_at: now(),
                finished_at: None,
                rows_read: None,
                rows_written: None,
                rows_skipped: None,
                rows_error: None,
                bytes_read: None,
                start_position: None,
                end_position: None,
                attempt,
                error_id: None,
                definition_version: job.definition_version,
                mapping_ids: start.mapping_ids,
            }
        }
    };
    let tables = snapshot
        .mappings_of(job_id)
        .filter(|m| m.state != MappingState::Removed)
        .filter(|m| run.mapping_ids.is_empty() || run.mapping_ids.contains(&m.id))
        .map(|m| LiveTable::new(&job.name, run.id, m))
        .collect();
    Ok((LiveRun::new(run, tables), job, is_resumed))
}
