//! What jobs did: runs, steps, errors and events.

use super::failure::Failure;
use super::history::{ErrorRecord, Event, Run, Step};
use super::sqlite::{Durability, Store};
use super::stored::{from_json, to_json};
use crate::definition::Timestamp;
use crate::error::Result;
use rusqlite::{Connection, OptionalExtension, Params, params};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

impl Store {
    /// Inserts a run or replaces the one of the same id. Durable on return.
    pub fn put_run(&self, run: &Run) -> Result<()> {
        self.write(Durability::Synced, |transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO runs (id, job_id, finished_at, body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO UPDATE
                     SET job_id = excluded.job_id, finished_at = excluded.finished_at, body = excluded.body",
                )?
                .execute(params![run.id, run.job_id, ended_at(run), to_json(run)?])?;
            Ok(())
        })
    }

    /// The newest runs, of one job or of all, newest first.
    pub fn runs(&self, job_id: Option<i64>, limit: usize) -> Result<Vec<Run>> {
        let limit = row_limit(limit);
        self.read(|connection| match job_id {
            Some(job_id) => bodies(
                connection,
                "runs",
                "SELECT id, body FROM runs WHERE job_id = ?1 ORDER BY id DESC LIMIT ?2",
                [job_id, limit],
            ),
            None => bodies(connection, "runs", "SELECT id, body FROM runs ORDER BY id DESC LIMIT ?1", [limit]),
        })
    }

    /// One run; None when there is none, or none any more.
    pub fn run(&self, id: i64) -> Result<Option<Run>> {
        self.read(|connection| Ok(bodies(connection, "runs", "SELECT id, body FROM runs WHERE id = ?1", [id])?.pop()))
    }

    /// The runs that are in no final state, oldest first: what a killed gateway left going.
    pub fn unfinished_runs(&self) -> Result<Vec<Run>> {
        self.read(|connection| {
            bodies(connection, "runs", "SELECT id, body FROM runs WHERE finished_at IS NULL ORDER BY id", [])
        })
    }

    /// Inserts a step or replaces the one of the same run and number. Ordered.
    pub fn put_step(&self, step: &Step) -> Result<()> {
        self.write(Durability::Ordered, |transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO steps (run_id, step_no, body) VALUES (?1, ?2, ?3)
                     ON CONFLICT (run_id, step_no) DO UPDATE SET body = excluded.body",
                )?
                .execute(params![step.run_id, step.step_no, to_json(step)?])?;
            Ok(())
        })
    }

    /// The steps of one run, or of the newest runs: newest run first, steps of a run in order.
    pub fn steps(&self, run_id: Option<i64>, limit: usize) -> Result<Vec<Step>> {
        let limit = row_limit(limit);
        self.read(|connection| match run_id {
            Some(run_id) => bodies(
                connection,
                "steps",
                "SELECT run_id, body FROM steps WHERE run_id = ?1 ORDER BY step_no LIMIT ?2",
                [run_id, limit],
            ),
            None => bodies(
                connection,
                "steps",
                "SELECT run_id, body FROM steps ORDER BY run_id DESC, step_no LIMIT ?1",
                [limit],
            ),
        })
    }

    /// Records an error and answers its id. When the same error (job, run, source table, SQLSTATE
    /// and message) is there already, that one counts it and keeps its id and its details.
    /// `repeat_count` is how often it was seen since it was last recorded, at least 1. Durable on
    /// return.
    pub fn record_error(&self, mut record: ErrorRecord) -> Result<i64> {
        let fingerprint = fingerprint(&record);
        record.repeat_count = record.repeat_count.max(1);
        record.last_seen_at = record.last_seen_at.max(record.occurred_at);
        let count_up = |connection: &Connection| -> Result<Option<i64>, Failure> {
            Ok(connection
                .prepare_cached(
                    "UPDATE errors SET repeat_count = repeat_count + ?2, last_seen_at = max(last_seen_at, ?3)
                     WHERE fingerprint = ?1 RETURNING id",
                )?
                .query_row(params![fingerprint, record.repeat_count, record.last_seen_at], |row| row.get(0))
                .optional()?)
        };
        if let Some(id) = self.write(Durability::Synced, |transaction| count_up(transaction))? {
            return Ok(id);
        }
        let mut record = record.clone();
        record.id = self.id_or_next(record.id)?;
        self.write(Durability::Synced, |transaction| {
            // Another thread may have recorded it since.
            if let Some(id) = count_up(transaction)? {
                return Ok(id);
            }
            transaction
                .prepare_cached(
                    "INSERT INTO errors (id, fingerprint, last_seen_at, repeat_count, body) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (id) DO UPDATE
                     SET fingerprint = excluded.fingerprint, last_seen_at = excluded.last_seen_at,
                         repeat_count = excluded.repeat_count, body = excluded.body",
                )?
                .execute(params![
                    record.id,
                    fingerprint,
                    record.last_seen_at,
                    record.repeat_count,
                    to_json(&record)?
                ])?;
            Ok(record.id)
        })
    }

    /// The errors that were seen last, the last one first.
    pub fn errors(&self, limit: usize) -> Result<Vec<ErrorRecord>> {
        self.read(|connection| {
            error_records(
                connection,
                "SELECT id, body, last_seen_at, repeat_count FROM errors ORDER BY last_seen_at DESC, id DESC LIMIT ?1",
                row_limit(limit),
            )
        })
    }

    /// One error; None when there is none, or none any more.
    pub fn error(&self, id: i64) -> Result<Option<ErrorRecord>> {
        self.read(|connection| {
            let query = "SELECT id, body, last_seen_at, repeat_count FROM errors WHERE id = ?1";
            Ok(error_records(connection, query, id)?.pop())
        })
    }

    /// Records an event and answers its id. Ordered.
    pub fn record_event(&self, mut event: Event) -> Result<i64> {
        event.id = self.id_or_next(event.id)?;
        self.write(Durability::Ordered, |transaction| {
            transaction
                .prepare_cached("INSERT INTO events (id, occurred_at, body) VALUES (?1, ?2, ?3)")?
                .execute(params![event.id, event.occurred_at, to_json(&event)?])?;
            Ok(event.id)
        })
    }

    /// The newest events, newest first.
    pub fn events(&self, limit: usize) -> Result<Vec<Event>> {
        self.read(|connection| {
            bodies(connection, "events", "SELECT id, body FROM events ORDER BY id DESC LIMIT ?1", [row_limit(limit)])
        })
    }
}

/// When a run ended; None as long as it is in no final state, whatever else it says.
fn ended_at(run: &Run) -> Option<Timestamp> {
    run.state.is_final().then(|| run.finished_at.unwrap_or(run.started_at))
}

/// What makes two errors the same error, hashed, because messages are long.
fn fingerprint(record: &ErrorRecord) -> Vec<u8> {
    let mut hash = Sha256::new();
    for number in [record.job_id, record.run_id] {
        hash.update([u8::from(number.is_some())]);
        hash.update(number.unwrap_or(0).to_be_bytes());
    }
    for text in [record.source_table.as_deref(), Some(&*record.sqlstate), Some(&*record.message)] {
        hash.update([u8::from(text.is_some())]);
        let text = text.unwrap_or("");
        // The length keeps two neighbours from running into each other.
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.finalize().to_vec()
}

fn error_records(connection: &Connection, query: &str, parameter: i64) -> Result<Vec<ErrorRecord>, Failure> {
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query([parameter])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, body): (i64, String) = (row.get(0)?, row.get(1)?);
        let mut record: ErrorRecord = from_json("errors", id, &body)?;
        record.last_seen_at = row.get(2)?;
        record.repeat_count = row.get(3)?;
        records.push(record);
    }
    Ok(records)
}

/// The bodies that a query of (id, body) finds, in its order.
pub(super) fn bodies<T: DeserializeOwned>(
    connection: &Connection,
    table: &str,
    query: &str,
    parameters: impl Params,
) -> Result<Vec<T>, Failure> {
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query(parameters)?;
    let mut objects = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, body): (i64, String) = (row.get(0)?, row.get(1)?);
        objects.push(from_json(table, id, &body)?);
    }
    Ok(objects)
}

/// A limit as SQLite takes it.
fn row_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
