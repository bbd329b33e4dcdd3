//! The verbs of jobs: START, STOP, PAUSE, RESUME, RESTART, RUN, CANCEL, RETRY, RESYNC, WAIT,
//! REFRESH MAPPING, and savepoints of jobs.

use super::cursor::Cursor;
use super::job::{job_name, job_word};
use super::job_clause::{item, start_position};
use super::not_built;
use crate::statement::{RetryWhat, Statement, WaitFor};
use catalog::Result;

/// REFRESH MAPPING FOR JOB name [TABLES (item, ...)]
pub(super) fn refresh(c: &mut Cursor<'_>) -> Result<Statement> {
    let start = c.here();
    if c.eat(&["REFRESH", "MATERIALIZED", "VIEW"]) {
        c.at = c.end;
        return Ok(not_built("REFRESH MATERIALIZED VIEW", start));
    }
    c.expect(&["REFRESH"])?;
    c.one_of(&["MAPPING"])?;
    c.expect(&["FOR"])?;
    let name = job_name(c, "REFRESH MAPPING FOR")?;
    let tables = if c.eat(&["TABLES"]) { c.list(item)? } else { Vec::new() };
    Ok(Statement::RefreshMapping { name, tables })
}

/// START JOB name [FROM {CHECKPOINT | SAVEPOINT s | BEGINNING | pos}]
pub(super) fn start(c: &mut Cursor<'_>) -> Result<Statement> {
    c.expect(&["START"])?;
    let name = job_name(c, "START")?;
    let from = if c.eat(&["FROM"]) { Some(start_from(c)?) } else { None };
    Ok(Statement::StartJob { name, from })
}

/// What follows FROM, as text.
fn start_from(c: &mut Cursor<'_>) -> Result<String> {
    let start = c.at;
    if c.eat(&["CHECKPOINT"]) || c.eat(&["BEGINNING"]) {
        // One word.
    } else if c.eat(&["SAVEPOINT"]) {
        c.simple_name("a savepoint name")?;
    } else if matches!(c.word(0).as_str(), "EARLIEST" | "LATEST" | "TIMESTAMP" | "LSN" | "GTID" | "BINLOG" | "OFFSETS")
    {
        start_position(c)?;
    } else {
        return Err(c.expected_one_of(&[
            "CHECKPOINT",
            "SAVEPOINT",
            "BEGINNING",
            "EARLIEST",
            "LATEST",
            "TIMESTAMP",
            "LSN",
            "GTID",
            "BINLOG",
            "OFFSETS",
        ]));
    }
    Ok(c.lexed.text(start..c.at).to_owned())
}

/// STOP JOB name [WITH SAVEPOINT s] [FORCE]
pub(super) fn stop(c: &mut Cursor<'_>) -> Result<Statement> {
    c.expect(&["STOP"])?;
    let name = job_name(c, "STOP")?;
    let savepoint = if c.eat(&["WITH"]) {
        c.expect(&["SAVEPOINT"])?;
        Some(c.simple_name("a savepoint name")?)
    } else {
        None
    };
    let force = c.eat(&["FORCE"]);
    Ok(Statement::StopJob { name, savepoint, force })
}

/// PAUSE | RESUME JOB name [TABLES (item, ...)], and PAUSE | RESUME ALL JOBS ON SOURCE s
pub(super) fn pause_or_resume(c: &mut Cursor<'_>) -> Result<Statement> {
    let start = c.here();
    let verb = c.one_of(&["PAUSE", "RESUME"])?;
    if c.eat(&["ALL"]) {
        c.expect(&["JOBS", "ON", "SOURCE"])?;
        c.simple_name("a source name")?;
        c.expect_end()?;
        return Ok(not_built(format!("{verb} ALL JOBS"), start));
    }
    job_name(c, verb)?;
    if c.eat(&["TABLES"]) {
        c.list(item)?;
    }
    c.expect_end()?;
    Ok(not_built(format!("{verb} JOB"), start))
}

/// RESTART JOB name [FROM ..]
pub(super) fn restart(c: &mut Cursor<'_>) -> Result<Statement> {
    let start = c.here();
    c.expect(&["RESTART"])?;
    job_name(c, "RESTART")?;
    if c.eat(&["FROM"]) {
        start_from(c)?;
    }
    c.expect_end()?;
    Ok(not_built("RESTART JOB", start))
}

/// RUN JOB name [FOR TIME lit]
pub(super) fn run(c: &mut Cursor<'_>) -> Result<Statement> {
    c.expect(&["RUN"])?;
    let name = job_name(c, "RUN")?;
    let for_time = if c.eat(&["FOR"]) {
        c.expect(&["TIME"])?;
        Some(c.literal()?)
    } else {
        None
    };
    Ok(Statement::RunJob { name, for_time })
}

/// CANCEL JOB name RUN n
pub(super) fn cancel(c: &mut Cursor<'_>) -> Result<Statement> {
    c.expect(&["CANCEL"])?;
    let name = job_name(c, "CANCEL")?;
    c.expect(&["RUN"])?;
    Ok(Statement::CancelRun { name, run: c.number("a run number")? })
}

/// RETRY JOB name [RUN n] [STEP n | TABLES (item, ...)]
pub(super) fn retry(c: &mut Cursor<'_>) -> Result<Statement> {
    c.expect(&["RETRY"])?;
    let name = job_name(c, "RETRY")?;
    let mut what = RetryWhat::default();
    if c.eat(&["RUN"]) {
        what.run = Some(c.number("a run number")?);
    }
    if c.eat(&["STEP"]) {
        what.step = Some(c.number("a step number")?);
    } else if c.eat(&["TABLES"]) {
        what.tables = c.list(item)?;
    }
    Ok(Statement::RetryJob { name, what })
}

/// RESYNC JOB name TABLES (item, ...) [TRUNCATE]
pub(super) fn resync(c: &mut Cursor<'_>) -> Result<Statement> {
    let start = c.here();
    c.expect(&["RESYNC"])?;
    job_name(c, "RESYNC")?;
    c.expect(&["TABLES"])?;
    c.list(item)?;
    c.eat(&["TRUNCATE"]);
    c.expect_end()?;
    Ok(not_built("RESYNC JOB", start))
}

/// WAIT FOR JOB name { STATE s | PHASE p | RUN n | LAG UNDER lit } [TIMEOUT lit]
pub(super) fn wait(c: &mut Cursor<'_>) -> Result<Statement> {
    c.expect(&["WAIT", "FOR"])?;
    let name = job_name(c, "WAIT FOR")?;
    let what = match c.one_of(&["STATE", "PHASE", "RUN", "LAG UNDER"])? {
        "STATE" => WaitFor::State(c.label("a state")?),
        "PHASE" => WaitFor::Phase(c.label("a phase")?),
        "RUN" => WaitFor::Run(c.number("a run number")?),
        _ => WaitFor::LagUnder(c.literal()?),
    };
    let timeout = if c.eat(&["TIMEOUT"]) { Some(c.literal()?) } else { None };
    Ok(Statement::WaitForJob { name, what, timeout })
}

/// CREATE | DROP SAVEPOINT name FOR JOB name
pub(super) fn savepoint(c: &mut Cursor<'_>) -> Result<Statement> {
    let start = c.here();
    let verb = c.one_of(&["CREATE", "DROP"])?;
    c.expect(&["SAVEPOINT"])?;
    c.simple_name("a savepoint name")?;
    c.expect(&["FOR"])?;
    job_word(c, "SAVEPOINT FOR")?;
    c.simple_name("a job name")?;
    c.expect_end()?;
    Ok(not_built(format!("{verb} SAVEPOINT"), start))
}
