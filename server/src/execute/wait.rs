//! WAIT FOR JOB: returns when it is so, fails as soon as it cannot become so any more.

use super::Context;
use super::effect::capitalized;
use super::lifecycle::find_job;
use super::option::duration;
use crate::outcome::Notice;
use crate::runtime::blocking;
use crate::session::TransactionStatus;
use catalog::definition::Job;
use catalog::store::Snapshot;
use catalog::{Error, ErrorKind, JobPhase, JobState, MappingState, Result, RunState, quote_ident};
use planner::{Literal, WaitFor};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Every this long the client is told how far the job is.
const TELL_EVERY: Duration = Duration::from_secs(10);

pub(super) async fn wait(c: &Context<'_>, name: &str, what: WaitFor, timeout: Option<Literal>) -> Result<()> {
    if c.session.status() != TransactionStatus::Idle {
        return Err(Error::new(ErrorKind::InTransaction, "WAIT FOR JOB cannot run inside a transaction block")
            .with_hint("COMMIT; first: the job's effects begin then."));
    }
    let wanted = Wanted::new(&what)?;
    let limit = timeout.as_ref().map(|t| duration("TIMEOUT", t)).transpose()?;
    let deadline = limit.map(|limit| Instant::now() + limit);
    let mut changes = c.gateway.jobs.changes();
    let mut tell_at = Instant::now() + TELL_EVERY;
    loop {
        changes.borrow_and_update();
        let snapshot = c.gateway.store.snapshot();
        let job = find_job(&snapshot, name)?;
        if wanted.holds(c, &job).await? {
            return Ok(());
        }
        if wanted.is_out_of_reach(c, &job).await? {
            return Err(missed(&snapshot, &job, &format!("did not reach {wanted}")));
        }
        let wake = deadline.map_or(tell_at, |d| d.min(tell_at));
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    return Err(Error::new(ErrorKind::Shutdown, "the gateway is shutting down"));
                }
            }
            () = tokio::time::sleep_until(wake) => {
                if deadline.is_some_and(|d| Instant::now() >= d) {
                    let text = limit.map(|l| catalog::option::format_duration(l.as_millis() as u64)).unwrap_or_default();
                    return Err(missed(&snapshot, &job, &format!("did not reach {wanted} within {text}")));
                }
                tell_at = Instant::now() + TELL_EVERY;
                tell(c, &snapshot, &job);
            }
        }
    }
}

enum Wanted {
    State(JobState),
    Phase(JobPhase),
    Run(i64),
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::State(state) => write!(f, "state \"{state}\""),
            Self::Phase(phase) => write!(f, "phase \"{phase}\""),
            Self::Run(run) => write!(f, "the end of run {run}"),
        }
    }
}

impl Wanted {
    fn new(what: &WaitFor) -> Result<Self> {
        let unknown = |kind: &str, word: &str, all: Vec<&str>| {
            let near = catalog::error::nearest(word, all.iter().copied());
            let near = near.map(|n| format!("Perhaps you meant {n}. ")).unwrap_or_default();
            Error::new(ErrorKind::InvalidValue, format!("\"{word}\" is not a {kind} of a job"))
                .with_hint(format!("{near}Use one of: {}.", all.join(", ")))
        };
        Ok(match what {
            WaitFor::State(word) => Self::State(
                word.parse()
                    .map_err(|_| unknown("state", word, JobState::ALL.iter().map(JobState::as_str).collect()))?,
            ),
            WaitFor::Phase(word) => Self::Phase(
                word.parse()
                    .map_err(|_| unknown("phase", word, JobPhase::ALL.iter().map(JobPhase::as_str).collect()))?,
            ),
            WaitFor::Run(run) => Self::Run(*run),
            WaitFor::LagUnder(_) => return Err(Error::unsupported("WAIT FOR JOB .. LAG UNDER")),
        })
    }

    async fn run_state(&self, c: &Context<'_>, job: &Job, run: i64) -> Result<RunState> {
        let gateway = c.gateway.clone();
        match blocking(move || gateway.store.run(run)).await? {
            Some(found) if found.job_id == job.id => Ok(found.state),
            _ => {
                Err(Error::new(ErrorKind::UndefinedObject, format!("run {run} of job \"{}\" does not exist", job.name))
                    .with_hint(format!("SHOW RUNS FOR JOB {};", quote_ident(&job.name))))
            }
        }
    }

    async fn holds(&self, c: &Context<'_>, job: &Job) -> Result<bool> {
        // A final state counts when the run behind it has let go of the job, so that the next
        // statement may start it again.
        let is_settled = !c.gateway.jobs.is_active(job.id);
        Ok(match self {
            Self::State(state @ (JobState::Finished | JobState::Failed | JobState::Stopped)) => {
                job.state == *state && is_settled
            }
            Self::State(state) => job.state == *state,
            Self::Phase(phase) => job.phase == *phase,
            Self::Run(run) => self.run_state(c, job, *run).await? == RunState::Succeeded && is_settled,
        })
    }

    async fn is_out_of_reach(&self, c: &Context<'_>, job: &Job) -> Result<bool> {
        if c.gateway.jobs.is_active(job.id) {
            return Ok(false);
        }
        Ok(match self {
            Self::Run(run) => self.run_state(c, job, *run).await?.is_final(),
            // Nothing moves in a job that is not started, so nothing will come about by waiting.
            Self::State(_) | Self::Phase(_) => {
                matches!(job.state, JobState::Finished | JobState::Failed | JobState::Stopped | JobState::Created)
            }
        })
    }
}

fn missed(snapshot: &Snapshot, job: &Job, what: &str) -> Error {
    let mappings: Vec<_> = snapshot.mappings_of(job.id).filter(|m| m.state != MappingState::Removed).collect();
    let done = mappings.iter().filter(|m| m.state == MappingState::SnapshotDone).count();
    let failed: Vec<_> = mappings.iter().filter(|m| m.state == MappingState::Failed).collect();
    let mut detail = format!("It is in state {}, {done} of {} tables done", job.state, mappings.len());
    if !failed.is_empty() {
        let shown: Vec<String> = failed
            .iter()
            .take(10)
            .map(|m| format!("{}: {}", m.sink.name, m.last_error.as_deref().unwrap_or("unknown")))
            .collect();
        detail += &format!(", {} failed ({})", failed.len(), shown.join("; "));
    }
    detail.push('.');
    let hint = match (job.state, failed.is_empty()) {
        (JobState::Created | JobState::Stopped, _) => format!("START JOB {};", quote_ident(&job.name)),
        (_, false) => format!(
            "SELECT * FROM tidegate.errors WHERE job_name = {}; then RETRY JOB {};",
            catalog::quote_literal(&job.name),
            quote_ident(&job.name)
        ),
        _ => format!("SELECT * FROM tidegate.job_tables WHERE job_name = {};", catalog::quote_literal(&job.name)),
    };
    Error::new(ErrorKind::WaitTimeout, format!("job \"{}\" {what}", job.name)).with_detail(detail).with_hint(hint)
}

fn tell(c: &Context<'_>, snapshot: &Arc<Snapshot>, job: &Job) {
    let tables = c.gateway.jobs.live_tables();
    let rows: u64 = tables.iter().filter(|t| t.job_id == job.id).map(|t| t.rows_read()).sum();
    let total = snapshot.mappings_of(job.id).filter(|m| m.state != MappingState::Removed).count();
    let done = snapshot.mappings_of(job.id).filter(|m| m.state == MappingState::SnapshotDone).count();
    c.session.notice(
        Notice::new(format!("job \"{}\": {done} of {total} tables done, {rows} rows read", job.name))
            .with_detail(capitalized(&format!("phase {}.", job.phase))),
    );
}
