//! What a run writes into the store: states, steps, errors, events and statistics.

use super::blocking;
use super::facts::Facts;
use super::load::SidedError;
use crate::gateway::Gateway;
use catalog::definition::*;
use catalog::store::{Change, ErrorRecord, Event, Run, SourceHealth, Step};
use catalog::{Error, ErrorKind, ErrorSide, Result, RunState, now};
use std::sync::Arc;

/// Changes a job's runtime fields; does nothing when the job is gone.
pub async fn update_job(
    gateway: &Arc<Gateway>,
    job_id: i64,
    change: impl FnOnce(&mut Job) + Send + 'static,
) -> Result<()> {
    let g = gateway.clone();
    blocking(move || {
        let mut event = None;
        g.store.commit_any(|snapshot| {
            let Some(job) = snapshot.jobs.get(&job_id) else { return Ok(vec![]) };
            let mut next = Job::clone(job);
            change(&mut next);
            if next.state != job.state {
                next.state_changed_at = now();
                event = Some(event_of("job", job_id, &job.name, None, job.state.as_str(), next.state.as_str()));
            }
            Ok(vec![Change::PutJob(next)])
        })?;
        if let Some(event) = event {
            g.store.record_event(event)?;
        }
        Ok(())
    })
    .await?;
    gateway.jobs.notify();
    Ok(())
}

/// Changes a mapping's runtime fields; does nothing when it is gone.
pub async fn update_mapping(
    gateway: &Arc<Gateway>,
    mapping_id: i64,
    change: impl FnOnce(&mut Mapping) + Send + 'static,
) -> Result<()> {
    let g = gateway.clone();
    blocking(move || {
        let mut event = None;
        g.store.commit_any(|snapshot| {
            let Some(mapping) = snapshot.mappings.get(&mapping_id) else { return Ok(vec![]) };
            let mut next = Mapping::clone(mapping);
            change(&mut next);
            if next.state != mapping.state {
                next.state_changed_at = now();
                if let Some(job) = snapshot.jobs.get(&mapping.job_id) {
                    let table = mapping.sink.name.to_string();
                    event = Some(event_of(
                        "job",
                        job.id,
                        &job.name,
                        Some(table),
                        mapping.state.as_str(),
                        next.state.as_str(),
                    ));
                }
            }
            Ok(vec![Change::PutMapping(next)])
        })?;
        if let Some(event) = event {
            g.store.record_event(event)?;
        }
        Ok(())
    })
    .await?;
    gateway.jobs.notify();
    Ok(())
}

fn event_of(kind: &str, id: i64, name: &str, table: Option<String>, old: &str, new: &str) -> Event {
    Event {
        id: 0,
        occurred_at: now(),
        object_kind: kind.to_owned(),
        object_id: id,
        object_name: name.to_owned(),
        table_name: table,
        old_state: Some(old.to_owned()),
        new_state: Some(new.to_owned()),
        reason: None,
        actor: "gateway".to_owned(),
    }
}

/// Writes a step.
pub async fn put_step(gateway: &Arc<Gateway>, step: Step) -> Result<()> {
    let gateway = gateway.clone();
    blocking(move || gateway.store.put_step(&step)).await
}

/// Where an error belongs.
pub struct ErrorPlace {
    /// The run.
    pub run: Run,
    /// `source.schema.table`
    pub source_table: Option<String>,
    /// Step name.
    pub step: &'static str,
}

/// Records an error and returns its id. An error of ours (XX000) also goes to the log with its cause.
pub async fn record_error(gateway: &Arc<Gateway>, place: ErrorPlace, sided: &SidedError) -> Result<i64> {
    let error = &sided.error;
    let record = ErrorRecord {
        id: 0,
        occurred_at: now(),
        last_seen_at: now(),
        repeat_count: 1,
        job_id: Some(place.run.job_id),
        job_name: Some(place.run.job_name.clone()),
        run_id: Some(place.run.id),
        source_table: place.source_table,
        step: Some(place.step.to_owned()),
        side: sided.side,
        sqlstate: error.sqlstate().to_owned(),
        message: error.message().to_owned(),
        detail: error.detail().map(str::to_owned),
        hint: error.hint().map(str::to_owned),
        is_retryable: error.is_retryable(),
        row_key: error.row_key().map(str::to_owned),
    };
    let is_ours = *error.kind() == ErrorKind::Internal;
    let g = gateway.clone();
    let id = blocking(move || g.store.record_error(record)).await?;
    if is_ours {
        let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        tracing::error!(
            error_id = id,
            job = place.run.job_name,
            run_id = place.run.id,
            message = error.message(),
            cause,
            "a run met an error of the gateway's own"
        );
    }
    Ok(id)
}

/// What the contact with the sources of a run said of their health. The last one that was resolved
/// is the one that failed.
pub async fn put_health(gateway: &Arc<Gateway>, facts: &Facts, error: Option<&Error>) -> Result<()> {
    let is_contact = error.is_none_or(|e| {
        matches!(e.kind(), ErrorKind::Unreachable | ErrorKind::ConnectionLost | ErrorKind::LoginRejected)
    });
    let failed = error.filter(|_| is_contact).and_then(|e| Some((facts.last_asked.clone()?, e.message().to_owned())));
    let all: Vec<SourceHealth> = facts
        .sources
        .values()
        .filter(|s| error.is_none() || failed.as_ref().is_some_and(|(name, _)| *name == s.source.name))
        .map(|s| SourceHealth {
            source_id: s.source.id,
            health: if failed.is_some() { "failing" } else { "ok" }.to_owned(),
            last_checked_at: Some(now()),
            last_error: failed.as_ref().map(|(_, message)| message.clone()),
        })
        .collect();
    let gateway = gateway.clone();
    blocking(move || all.iter().try_for_each(|health| gateway.store.put_source_health(health))).await
}

/// Ends a run that nobody goes on with: its job was stopped, changed or dropped meanwhile.
pub async fn end_orphan(gateway: &Arc<Gateway>, mut run: Run) -> Result<()> {
    run.state = RunState::Canceled;
    run.finished_at = Some(now());
    let g = gateway.clone();
    blocking(move || g.store.put_run(&run)).await
}

/// An engine error with this text, for a task that panicked.
pub fn panic_error() -> SidedError {
    SidedError { side: ErrorSide::Engine, error: Error::internal("the run ended by a panic") }
}
