//! One run of a job, from its start to a final state.
//!
//! Tables are independent: each is compiled, loaded and committed on its own, and one that fails
//! stops only itself. The run succeeds when all of its tables do.

use super::compile::{Compiled, Compiler, misfit_error};
use super::live::{Interrupt, LiveRun, LiveTable};
use super::load::{OnSide, SidedError, load};
use super::record::{self, ErrorPlace};
use super::skip::SkipPolicy;
use super::{Trace, blocking, options};
use crate::gateway::Gateway;
use catalog::definition::*;
use catalog::store::{DayStatistics, MappingStatistics, Snapshot, Step};
use catalog::{
    DesiredState, Error, ErrorKind, ErrorSide, JobPhase, JobState, Lineage, MappingState, MappingStatus, Position,
    Result, RunState, now,
};
use connector_api::{CommitSummary, TableWrite};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How long a run that goes on waits before it asks a system again that did not answer.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(500);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(30);

struct RunContext {
    gateway: Arc<Gateway>,
    live: Arc<LiveRun>,
    compiler: Compiler,
    step_no: AtomicI32,
    is_resumed: bool,
}

impl RunContext {
    fn next_step(&self) -> i32 {
        self.step_no.fetch_add(1, Ordering::Relaxed) + 1
    }
    fn place(&self, source_table: Option<String>, step: &'static str) -> ErrorPlace {
        ErrorPlace { run: self.live.run.lock().clone(), source_table, step }
    }
    fn step(&self, step_no: i32, step: &str, table: Option<String>) -> Step {
        Step {
            run_id: self.live.run.lock().id,
            step_no,
            step: step.to_owned(),
            table_name: table,
            state: RunState::Running,
            started_at: now(),
            finished_at: None,
            rows_done: None,
            detail: None,
            error_id: None,
            is_retryable: false,
        }
    }
}

/// Runs to the end. All outcomes are in the store on return.
pub async fn execute(gateway: Arc<Gateway>, live: Arc<LiveRun>, job: Arc<Job>, is_resumed: bool) {
    let job_id = job.id;
    let snapshot = gateway.store.snapshot();
    let result = drive(&gateway, &live, job, snapshot, is_resumed).await;
    let failed = match result {
        Ok(failed) => failed,
        Err(sided) => {
            let place = ErrorPlace { run: live.run.lock().clone(), source_table: None, step: "validate" };
            let id = record::record_error(&gateway, place, &sided).await.ok();
            let message = sided.error.message().to_owned();
            for table in &live.tables {
                table.enter("failed");
                let message = message.clone();
                let failed = record::update_mapping(&gateway, table.mapping_id, move |m| {
                    m.state = MappingState::Failed;
                    m.status = MappingStatus::Abnormal;
                    m.detail = Some(message.clone());
                    m.last_error = Some(message);
                    m.last_error_id = id;
                })
                .await;
                if let Err(error) = failed {
                    tracing::error!(job_id, %error, "the state of a table could not be stored");
                }
            }
            Failed { count: live.tables.len().max(1), error_id: id }
        }
    };
    finish(&gateway, &live, failed).await;
}

/// The tables that failed.
#[derive(Default)]
struct Failed {
    count: usize,
    error_id: Option<i64>,
}

async fn drive(
    gateway: &Arc<Gateway>,
    live: &Arc<LiveRun>,
    job: Arc<Job>,
    snapshot: Arc<Snapshot>,
    is_resumed: bool,
) -> Result<Failed, SidedError> {
    let mappings: Vec<Arc<Mapping>> =
        live.tables.iter().filter_map(|t| snapshot.mappings.get(&t.mapping_id).cloned()).collect();
    record::update_job(gateway, job.id, |job| job.state = JobState::Running).await.on(ErrorSide::Engine)?;
    let last_step = if is_resumed {
        let (g, run_id) = (gateway.clone(), live.run.lock().id);
        let steps = blocking(move || g.store.steps(Some(run_id), usize::MAX >> 1)).await.on(ErrorSide::Engine)?;
        steps.iter().map(|s| s.step_no).max().unwrap_or(0)
    } else {
        0
    };
    let mut context = RunContext {
        gateway: gateway.clone(),
        live: live.clone(),
        compiler: Compiler::new(gateway.clone(), snapshot, job.clone()),
        step_no: AtomicI32::new(last_step),
        is_resumed,
    };
    let mut validate = context.step(context.next_step(), "validate", None);
    let prepared = tokio::select! {
        prepared = prepare(&mut context, &mappings) => prepared.on(ErrorSide::Source),
        () = live.token.cancelled() => return Ok(Failed::default()),
    };
    validate.finished_at = Some(now());
    validate.state = if prepared.is_ok() { RunState::Succeeded } else { RunState::Failed };
    if let Err(error) = &prepared {
        validate.detail = Some(error.error.message().to_owned());
        validate.is_retryable = error.error.is_retryable();
    } else {
        validate.detail =
            Some(format!("{} tables of {} sources", mappings.len(), context.compiler.facts.sources.len()));
    }
    record::put_step(gateway, validate).await.on(ErrorSide::Engine)?;
    record::put_health(gateway, &context.compiler.facts, prepared.as_ref().err().map(|e| &e.error))
        .await
        .on(ErrorSide::Engine)?;
    prepared?;
    record::update_job(gateway, job.id, |job| job.phase = JobPhase::Snapshot).await.on(ErrorSide::Engine)?;

    let lanes = Arc::new(Semaphore::new(options::number(&job, "snapshot_tables_in_parallel")));
    let context = Arc::new(context);
    // The largest tables first, so that the last one to finish is a small one.
    let mut order: Vec<(Arc<Mapping>, Arc<LiveTable>)> = mappings
        .into_iter()
        .filter_map(|m| live.tables.iter().find(|t| t.mapping_id == m.id).map(|t| (m, t.clone())))
        .collect();
    order.sort_by_key(|(m, _)| {
        let size = m.source.as_ref().and_then(|s| context.compiler.facts.tables.get(s)).and_then(|t| t.bytes_estimate);
        std::cmp::Reverse(size.unwrap_or(0))
    });
    let mut tables = JoinSet::new();
    for (mapping, table) in order {
        let (context, lanes) = (context.clone(), lanes.clone());
        tables.spawn(async move {
            let Ok(_lane) = lanes.acquire_owned().await else { return None };
            if context.live.token.is_cancelled() {
                return None;
            }
            run_table(&context, &mapping, &table).await
        });
    }
    let mut failed = Failed::default();
    while let Some(end) = tables.join_next().await {
        match end {
            Ok(None) => {}
            Ok(Some(error_id)) => {
                failed.count += 1;
                failed.error_id = Some(error_id);
            }
            Err(_) => return Err(record::panic_error()),
        }
    }
    Ok(failed)
}

/// Asks both ends for what must be known. A run that goes on after the gateway was gone waits for a
/// system that does not answer yet (after a power failure they come back in any order); a run that
/// somebody has just started says at once that it cannot.
async fn prepare(context: &mut RunContext, mappings: &[Arc<Mapping>]) -> Result<()> {
    let mut delay = RETRY_DELAY_MIN;
    loop {
        match context.compiler.prepare(mappings).await {
            Err(error) if context.is_resumed && error.is_retryable() => {
                tracing::info!(%error, delay_ms = delay.as_millis() as u64, "a run that goes on waits for its source or sink");
                record::put_health(&context.gateway, &context.compiler.facts, Some(&error)).await?;
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(RETRY_DELAY_MAX);
            }
            other => return other,
        }
    }
}

/// Runs one table; Some(error id) when it failed. An interrupt is no failure.
async fn run_table(context: &Arc<RunContext>, mapping: &Arc<Mapping>, table: &Arc<LiveTable>) -> Option<i64> {
    let mut step = context.step(context.next_step(), "load", Some(mapping.sink.name.to_string()));
    let started_at = now();
    let result = table_steps(context, mapping, table, &mut step).await;
    step.finished_at = Some(now());
    let rows_read = table.rows_read() as i64;
    step.rows_done = Some(rows_read);
    let mut statistics = MappingStatistics {
        mapping_id: mapping.id,
        job_id: mapping.job_id,
        rows_read,
        bytes_read: table.bytes_read() as i64,
        rows_skipped: table.rows_skipped.load(Ordering::Relaxed) as i64,
        last_row_at: (rows_read > 0).then(now),
        stats_reset_at: started_at,
        ..Default::default()
    };
    let error_id = match result {
        Ok(Done::AlreadyCommitted) => {
            table.enter("done");
            step.state = RunState::Skipped;
            step.detail = Some("The sink had committed this run already.".to_owned());
            None
        }
        Ok(Done::Committed(summary)) => {
            table.enter("done");
            table.rows_written.store(summary.rows_written, Ordering::Relaxed);
            step.state = RunState::Succeeded;
            step.detail = summary.detail.clone();
            statistics.rows_written = summary.rows_written as i64;
            statistics.bytes_written = summary.bytes_written as i64;
            statistics.last_commit_at = Some(now());
            None
        }
        Err(sided) if context.live.token.is_cancelled() && *sided.error.kind() == ErrorKind::Canceled => {
            table.enter("waiting");
            step.state = RunState::Canceled;
            let ended = record::update_mapping(&context.gateway, mapping.id, |m| m.state = MappingState::Pending).await;
            log_failure("the state of a table", ended);
            None
        }
        Err(sided) => {
            table.enter("failed");
            step.state = RunState::Failed;
            step.is_retryable = sided.error.is_retryable();
            step.detail = Some(sided.error.message().to_owned());
            statistics.error_count = 1;
            Some(fail_table(context, mapping, &sided).await)
        }
    };
    step.error_id = error_id;
    log_failure("a step", record::put_step(&context.gateway, step).await);
    log_failure("statistics", count(context, mapping, statistics, started_at).await);
    table.set_counted();
    error_id
}

fn log_failure<T>(what: &str, result: Result<T>) {
    if let Err(error) = result {
        tracing::error!(%error, "{what} could not be stored");
    }
}

async fn fail_table(context: &Arc<RunContext>, mapping: &Arc<Mapping>, sided: &SidedError) -> i64 {
    let source_table = mapping.source.as_ref().map(|s| s.to_string());
    let id = match record::record_error(&context.gateway, context.place(source_table, "load"), sided).await {
        Ok(id) => id,
        Err(error) => {
            tracing::error!(%error, table_error = sided.error.message(), "an error could not be stored");
            0
        }
    };
    let message = sided.error.message().to_owned();
    let is_structure =
        matches!(sided.error.kind(), ErrorKind::TypeMismatch | ErrorKind::NoKey | ErrorKind::DuplicateTable);
    let detail = sided.error.detail().map_or_else(|| message.clone(), |d| format!("{message}: {d}"));
    let stored = record::update_mapping(&context.gateway, mapping.id, move |m| {
        m.state = MappingState::Failed;
        if is_structure {
            m.status = MappingStatus::Failed;
            m.detail = Some(detail);
        } else if m.status == MappingStatus::Mapping {
            m.status = MappingStatus::Abnormal;
            m.detail = Some(detail);
        }
        m.last_error = Some(message);
        m.last_error_id = (id != 0).then_some(id);
    })
    .await;
    log_failure("the state of a table", stored);
    id
}

enum Done {
    /// Data and position are durable in the sink.
    Committed(CommitSummary),
    /// They were before the gateway came back.
    AlreadyCommitted,
}

async fn table_steps(
    context: &Arc<RunContext>,
    mapping: &Arc<Mapping>,
    table: &Arc<LiveTable>,
    step: &mut Step,
) -> Result<Done, SidedError> {
    let gateway = &context.gateway;
    let token = context.live.token.clone();
    let run_id = context.live.run.lock().id;
    let trace = Trace {
        gateway_id: gateway.store.gateway_id().to_owned(),
        job_id: mapping.job_id,
        mapping_id: mapping.id,
        run_id,
        sink: mapping.sink.clone(),
    };
    if context.is_resumed {
        if mapping.state == MappingState::SnapshotDone {
            return Ok(Done::AlreadyCommitted);
        }
        let facts = context
            .compiler
            .facts
            .sources
            .get(&mapping.sink.source)
            .ok_or_else(|| Error::internal("a sink was not resolved"))
            .on(ErrorSide::Engine)?;
        let sink = facts.connector.sink(&facts.config).on(ErrorSide::Sink)?;
        let mut delay = RETRY_DELAY_MIN;
        let recovered = loop {
            match sink.recovered_position(&trace.key(), &mapping.sink.name).await {
                // The sink may come back later than the gateway; the answer decides what is done.
                Err(error) if error.is_retryable() && !token.is_cancelled() => {
                    tracing::info!(%error, sink = %mapping.sink, "a table that goes on waits for its sink");
                    tokio::select! {
                        () = tokio::time::sleep(delay) => {}
                        () = token.cancelled() => return Err(interrupted()),
                    }
                    delay = (delay * 2).min(RETRY_DELAY_MAX);
                }
                other => break other.on(ErrorSide::Sink)?,
            }
        };
        if let Some(position) = recovered {
            settle(context, mapping, &trace, position).await.on(ErrorSide::Engine)?;
            return Ok(Done::AlreadyCommitted);
        }
        sink.clean_up(&trace.key(), &mapping.sink.name).await.on(ErrorSide::Sink)?;
    }
    table.enter("planning");
    record::update_mapping(gateway, mapping.id, |m| {
        m.state = MappingState::Ddl;
        m.status = MappingStatus::Mapping;
    })
    .await
    .on(ErrorSide::Engine)?;
    let compiled = tokio::select! {
        compiled = context.compiler.compile(mapping, &table.progress) => compiled,
        () = token.cancelled() => return Err(interrupted()),
    };
    let compiled = compiled.map_err(|error| SidedError { side: side_of_compile(&error), error })?;
    table.set_estimates(compiled.estimates.0, compiled.estimates.1);
    let next = compiled.mapping.clone();
    record::update_mapping(gateway, mapping.id, move |m| {
        m.status = next.status;
        m.detail = next.detail;
        m.creation_method = next.creation_method;
        m.key_columns = next.key_columns;
        m.write_mode = next.write_mode;
        m.column_map = next.column_map;
        m.state = MappingState::Snapshot;
    })
    .await
    .on(ErrorSide::Engine)?;
    if let Some(error) = misfit_error(&compiled) {
        return Err(SidedError { side: ErrorSide::Sink, error });
    }
    let on_error = {
        let JobSpec::Sync(spec) = &context.compiler.job.spec;
        spec.on_error.clone()
    };
    let (g, json) = (gateway.clone(), trace.clone());
    blocking(move || {
        let text =
            serde_json::to_string(&json).map_err(|e| Error::internal("a trace could not be written").with_source(e))?;
        g.store.put_sink_trace(json.job_id, json.mapping_id, json.run_id, &json.sink.source, &text)
    })
    .await
    .on(ErrorSide::Engine)?;

    let outcome = write_table(context, table, &compiled, &trace, &on_error, step).await;
    match outcome {
        Ok((summary, position)) => {
            settle(context, mapping, &trace, position.to_string()).await.on(ErrorSide::Engine)?;
            Ok(Done::Committed(summary))
        }
        Err(error) => {
            // The writer has given up; the trace goes only when nothing can be left.
            let cleaned = compiled.sink.clean_up(&trace.key(), &mapping.sink.name).await;
            if cleaned.is_ok() {
                let (g, t) = (gateway.clone(), trace.clone());
                log_failure("a trace", blocking(move || g.store.delete_sink_trace(t.run_id, t.mapping_id)).await);
            }
            Err(error)
        }
    }
}

async fn write_table(
    context: &Arc<RunContext>,
    table: &Arc<LiveTable>,
    compiled: &Compiled,
    trace: &Trace,
    on_error: &OnError,
    step: &mut Step,
) -> Result<(CommitSummary, Position), SidedError> {
    let token = &context.live.token;
    let write = TableWrite {
        target: compiled.target.clone(),
        plan: compiled.plan.clone(),
        input: compiled.work.input(),
        commit_key: trace.key(),
        rows_estimate: compiled.estimates.0,
        tolerates_bad_rows: matches!(on_error, OnError::Skip { .. }),
    };
    let mut writer = tokio::select! {
        writer = compiled.sink.open(write) => writer.on(ErrorSide::Sink)?,
        () = token.cancelled() => return Err(interrupted()),
    };
    table.enter("loading");
    let mut skip = SkipPolicy::new(match on_error {
        OnError::Skip { limit } => *limit,
        OnError::Stop => Some(0),
    });
    let loaded = load(compiled, writer.as_mut(), table, on_error, &mut skip, token).await;
    record_skipped(context, compiled, &skip).await;
    let position = match loaded {
        Ok(position) => position,
        Err(error) => {
            // The reason of the failure is what users need; a failing abort leaves a trace that is cleared later.
            log_abort(writer.abort().await);
            return Err(error);
        }
    };
    if token.is_cancelled() {
        log_abort(writer.abort().await);
        return Err(interrupted());
    }
    table.enter("committing");
    // A query without a source (constants) is consistent at its own moment.
    let position = position
        .unwrap_or_else(|| Position::Snapshot { id: format!("run {}", trace.run_id), lineage: Lineage::default() });
    context.live.run.lock().start_position.get_or_insert_with(|| position.to_string());
    step.detail = None;
    let summary = writer.commit(&position).await.on(ErrorSide::Sink)?;
    Ok((summary, position))
}

fn log_abort(result: Result<()>) {
    if let Err(error) = result {
        tracing::info!(%error, "a write could not be given up cleanly");
    }
}

async fn record_skipped(context: &Arc<RunContext>, compiled: &Compiled, skip: &SkipPolicy) {
    for sided in &skip.errors {
        let source_table = compiled.mapping.source.as_ref().map(|s| s.to_string());
        log_failure(
            "a skipped row",
            record::record_error(&context.gateway, context.place(source_table, "load"), sided).await,
        );
    }
}

/// The table is done: the catalog learns what the sink knows already.
async fn settle(context: &Arc<RunContext>, mapping: &Arc<Mapping>, trace: &Trace, position: String) -> Result<()> {
    record::update_mapping(&context.gateway, mapping.id, move |m| {
        m.state = MappingState::SnapshotDone;
        m.snapshot_position = Some(position);
    })
    .await?;
    let (gateway, trace) = (context.gateway.clone(), trace.clone());
    blocking(move || gateway.store.delete_sink_trace(trace.run_id, trace.mapping_id)).await
}

fn interrupted() -> SidedError {
    SidedError { side: ErrorSide::Engine, error: Error::new(ErrorKind::Canceled, "the run was told to end") }
}

fn side_of_compile(error: &Error) -> ErrorSide {
    match error.kind() {
        ErrorKind::NoKey | ErrorKind::DuplicateTable => ErrorSide::Sink,
        ErrorKind::UndefinedColumn
        | ErrorKind::UndefinedFunction
        | ErrorKind::TypeMismatch
        | ErrorKind::AmbiguousColumn => ErrorSide::Transform,
        ErrorKind::Internal => ErrorSide::Engine,
        _ => ErrorSide::Source,
    }
}

async fn count(
    context: &Arc<RunContext>,
    mapping: &Arc<Mapping>,
    new: MappingStatistics,
    started_at: Timestamp,
) -> Result<()> {
    let seconds = (now() - started_at) as f64 / 1e6;
    let day = i32::try_from(started_at.div_euclid(86_400_000_000)).unwrap_or(i32::MAX);
    let mut days = vec![];
    if let Some(source) = &mapping.source {
        days.push((source.clone(), false, new.rows_read, new.bytes_read));
    }
    days.push((mapping.sink.clone(), true, new.rows_written, new.bytes_written));
    let days: Vec<DayStatistics> = days
        .into_iter()
        .map(|(path, is_import, rows, bytes)| DayStatistics {
            day,
            source_name: path.source,
            schema_name: path.name.schema,
            table_name: path.name.table,
            is_import,
            runs: 1,
            rows,
            bytes,
            seconds_total: seconds,
        })
        .collect();
    let gateway = context.gateway.clone();
    blocking(move || {
        let mut all = gateway.store.mapping_statistics()?;
        let mut sum = match all.iter().position(|s| s.mapping_id == new.mapping_id) {
            Some(at) => all.swap_remove(at),
            None => MappingStatistics {
                mapping_id: new.mapping_id,
                job_id: new.job_id,
                stats_reset_at: new.stats_reset_at,
                ..Default::default()
            },
        };
        sum.rows_read += new.rows_read;
        sum.rows_written += new.rows_written;
        sum.rows_skipped += new.rows_skipped;
        sum.bytes_read += new.bytes_read;
        sum.bytes_written += new.bytes_written;
        sum.error_count += new.error_count;
        sum.last_row_at = new.last_row_at.or(sum.last_row_at);
        sum.last_commit_at = new.last_commit_at.or(sum.last_commit_at);
        gateway.store.put_mapping_statistics(&[sum])?;
        gateway.store.add_day_statistics(&days)
    })
    .await
}

async fn finish(gateway: &Arc<Gateway>, live: &Arc<LiveRun>, failed: Failed) {
    let mut run = live.current();
    let job_id = run.job_id;
    if live.interrupted() == Some(Interrupt::Shutdown) {
        // The run stays unfinished in the store; the next start goes on with it.
        let g = gateway.clone();
        log_failure("a run", blocking(move || g.store.put_run(&run)).await);
        return;
    }
    run.finished_at = Some(now());
    run.end_position = run.start_position.clone();
    run.error_id = failed.error_id;
    run.state = match (live.interrupted(), failed.count) {
        (Some(_), _) => RunState::Canceled,
        (None, 0) => RunState::Succeeded,
        (None, _) => RunState::Failed,
    };
    if run.state == RunState::Succeeded {
        // A run that failed knows of the first row that ended a table, not of those behind it.
        run.rows_error = run.rows_skipped;
    }
    let (state, name, run_id, total) = (run.state, run.job_name.clone(), run.id, live.tables.len());
    let g = gateway.clone();
    log_failure("a run", blocking(move || g.store.put_run(&run)).await);
    let any_failed = {
        let snapshot = gateway.store.snapshot();
        snapshot.mappings_of(job_id).any(|m| m.state == MappingState::Failed)
    };
    let updated = record::update_job(gateway, job_id, move |job| {
        job.phase = JobPhase::Idle;
        job.current_run_id = None;
        if failed.error_id.is_some() {
            job.last_error_id = failed.error_id;
        }
        match state {
            RunState::Succeeded if !any_failed => {
                job.state = JobState::Finished;
                job.desired_state = DesiredState::Stopped;
            }
            RunState::Succeeded | RunState::Failed => job.state = JobState::Failed,
            RunState::Canceled => {
                job.state = JobState::Stopped;
                job.desired_state = DesiredState::Stopped;
            }
            RunState::Queued | RunState::Running | RunState::Skipped => {}
        }
    })
    .await;
    log_failure("the end of a run", updated);
    match state {
        RunState::Failed => {
            tracing::info!(job = name, run_id, failed_tables = failed.count, tables = total, "run failed");
        }
        _ => tracing::info!(job = name, run_id, tables = total, state = %state, "run ended"),
    }
}

/// Ends a run whose task panicked: an error of ours, with the panic in the log.
pub async fn finish_panicked(gateway: &Arc<Gateway>, live: &Arc<LiveRun>, panic: tokio::task::JoinError) {
    tracing::error!(%panic, "a run ended by a panic");
    let place = ErrorPlace { run: live.run.lock().clone(), source_table: None, step: "load" };
    let error_id = record::record_error(gateway, place, &record::panic_error()).await.ok();
    finish(gateway, live, Failed { count: 1, error_id }).await;
}
