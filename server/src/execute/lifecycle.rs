//! START, STOP, RUN, CANCEL and RETRY of jobs.

use super::Context;
use crate::outcome::Notice;
use crate::runtime::{Interrupt, Start};
use crate::session::{Effect, TransactionStatus};
use catalog::definition::Job;
use catalog::error::nearest;
use catalog::store::Snapshot;
use catalog::{Error, ErrorKind, MappingState, Result, RunTrigger, quote_ident};
use planner::{Literal, RetryWhat};
use std::sync::Arc;

/// The job of this name, or 42704 with the nearest name.
pub(super) fn find_job(snapshot: &Snapshot, name: &str) -> Result<Arc<Job>> {
    snapshot.job(name).cloned().ok_or_else(|| {
        let hint = match nearest(name, snapshot.jobs.values().map(|j| j.name.as_str())) {
            Some(near) => format!("Perhaps you meant \"{near}\"."),
            None => "See: SHOW JOBS;".to_owned(),
        };
        Error::new(ErrorKind::UndefinedObject, format!("job \"{name}\" does not exist")).with_hint(hint)
    })
}

fn check_idle(c: &Context<'_>, job: &Job) -> Result<()> {
    if c.gateway.jobs.is_active(job.id) {
        return Err(Error::new(ErrorKind::InUse, format!("job \"{}\" is already running", job.name))
            .with_hint(format!("WAIT FOR JOB {0} STATE finished; or STOP JOB {0};", quote_ident(&job.name))));
    }
    Ok(())
}

pub(super) async fn start(c: &Context<'_>, name: &str, from: Option<String>) -> Result<()> {
    if let Some(from) = from {
        return Err(Error::unsupported(format!("START JOB .. FROM {from}")));
    }
    let base = c.snapshot();
    let job = find_job(&base, name)?;
    check_idle(c, &job)?;
    let start = Effect::StartJob { job_id: job.id, start: Start::new(RunTrigger::Manual) };
    c.apply(&base, vec![], vec![start]).await
}

pub(super) async fn run(c: &Context<'_>, name: &str, for_time: Option<Literal>) -> Result<()> {
    if for_time.is_some() {
        return Err(Error::unsupported("RUN JOB .. FOR TIME"));
    }
    start(c, name, None).await
}

pub(super) async fn stop(c: &Context<'_>, name: &str, savepoint: Option<String>, _force: bool) -> Result<()> {
    if savepoint.is_some() {
        return Err(Error::unsupported("STOP JOB .. WITH SAVEPOINT"));
    }
    let base = c.snapshot();
    let job = find_job(&base, name)?;
    c.apply(&base, vec![], vec![Effect::StopJob(job.id)]).await
}

pub(super) async fn cancel(c: &Context<'_>, name: &str, run: i64) -> Result<()> {
    let base = c.snapshot();
    let job = find_job(&base, name)?;
    let current = c.gateway.jobs.live_run(run).filter(|live| live.job_id == job.id);
    if current.is_none() {
        check_run(c, &job, run).await?;
        return Err(Error::new(ErrorKind::Prerequisite, format!("run {run} of job \"{name}\" is not running"))
            .with_hint(format!("SHOW RUNS FOR JOB {};", quote_ident(name))));
    }
    if !c.gateway.jobs.interrupt(c.gateway, job.id, Interrupt::Cancel).await? {
        c.session.notice(Notice::warning(format!("run {run} is still ending")));
    }
    Ok(())
}

/// 42704 when the job never had a run of this number.
async fn check_run(c: &Context<'_>, job: &Job, run: i64) -> Result<()> {
    let gateway = c.gateway.clone();
    let found = crate::runtime::blocking(move || gateway.store.run(run)).await?;
    if found.is_none_or(|r| r.job_id != job.id) {
        return Err(Error::new(
            ErrorKind::UndefinedObject,
            format!("run {run} of job \"{}\" does not exist", job.name),
        )
        .with_hint(format!("SHOW RUNS FOR JOB {};", quote_ident(&job.name))));
    }
    Ok(())
}

pub(super) async fn retry(c: &Context<'_>, name: &str, what: RetryWhat) -> Result<()> {
    if what.step.is_some() {
        return Err(Error::unsupported("RETRY JOB .. STEP"));
    }
    let base = c.snapshot();
    let job = find_job(&base, name)?;
    check_idle(c, &job)?;
    if let Some(run) = what.run {
        check_run(c, &job, run).await?;
    }
    let mapping_ids: Vec<i64> = if what.tables.is_empty() {
        base.mappings_of(job.id).filter(|m| m.state == MappingState::Failed).map(|m| m.id).collect()
    } else {
        super::job::mappings_named(&base, &job, &what.tables)?.iter().map(|m| m.id).collect()
    };
    if mapping_ids.is_empty() {
        return Err(Error::new(ErrorKind::Prerequisite, format!("job \"{name}\" has no failed table"))
            .with_hint(format!("START JOB {}; runs all of it again.", quote_ident(name))));
    }
    if c.session.status() == TransactionStatus::Idle {
        let tables = match mapping_ids.len() {
            1 => "1 table of job".to_owned(),
            count => format!("{count} tables of job"),
        };
        c.session.notice(Notice::new(format!("trying {tables} \"{name}\" again")));
    }
    let start = Start { trigger: RunTrigger::Retry, mapping_ids, resume: None };
    c.apply(&base, vec![], vec![Effect::StartJob { job_id: job.id, start }]).await
}
