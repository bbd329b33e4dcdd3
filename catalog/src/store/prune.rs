//! Retention: history is a ring that is bounded by age and by number of rows.
//!
//! What is going on, and what a definition points at, is never pruned.

use super::failure::Failure;
use super::snapshot::Snapshot;
use super::sqlite::{Durability, Store};
use crate::definition::Timestamp;
use crate::error::Result;
use rusqlite::{Transaction, params};
use std::collections::BTreeSet;

/// Rows deleted in one transaction, so that a commit never waits long for pruning.
const BATCH_ROWS: i64 = 2000;

impl Store {
    /// Deletes history: runs that ended before `before` (with their steps), errors last seen and
    /// events that occurred before it; and, of each, the oldest beyond the newest `rows_max` rows.
    /// Runs that have not ended, their steps, and the errors and runs that a job or mapping points
    /// at stay. Answers how many rows are gone. Ordered; may be called again after an error.
    pub fn prune(&self, before: Timestamp, rows_max: i64) -> Result<u64> {
        let rows_max = rows_max.max(0);
        let kept = Kept::of(&self.snapshot());
        let mut deleted = 0;
        for prune_batch in [prune_runs, prune_steps, prune_errors, prune_events] {
            loop {
                let count =
                    self.write(Durability::Ordered, |transaction| prune_batch(transaction, before, rows_max, &kept))?;
                deleted += count as u64;
                if count == 0 {
                    break;
                }
            }
        }
        Ok(deleted)
    }
}

/// What definitions point at: JSON arrays of ids.
struct Kept {
    run_ids: String,
    error_ids: String,
}

impl Kept {
    fn of(snapshot: &Snapshot) -> Self {
        let run_ids: BTreeSet<i64> = snapshot.jobs.values().filter_map(|job| job.current_run_id).collect();
        let error_ids: BTreeSet<i64> = (snapshot.jobs.values().filter_map(|job| job.last_error_id))
            .chain(snapshot.mappings.values().filter_map(|mapping| mapping.last_error_id))
            .collect();
        Self { run_ids: json_array(&run_ids), error_ids: json_array(&error_ids) }
    }
}

fn json_array(ids: &BTreeSet<i64>) -> String {
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    format!("[{}]", ids.join(","))
}

fn prune_runs(transaction: &Transaction<'_>, before: Timestamp, rows_max: i64, kept: &Kept) -> Result<usize, Failure> {
    let ids: Vec<i64> = transaction
        .prepare_cached(
            "SELECT id FROM runs
             WHERE finished_at IS NOT NULL
               AND (finished_at < ?1 OR id <= (SELECT id FROM runs ORDER BY id DESC LIMIT 1 OFFSET ?2))
               AND id NOT IN (SELECT value FROM json_each(?3))
             ORDER BY id LIMIT ?4",
        )?
        .query_map(params![before, rows_max, kept.run_ids, BATCH_ROWS], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut delete_steps = transaction.prepare_cached("DELETE FROM steps WHERE run_id = ?1")?;
    let mut delete_run = transaction.prepare_cached("DELETE FROM runs WHERE id = ?1")?;
    let mut deleted = 0;
    for id in ids {
        deleted += delete_steps.execute([id])? + delete_run.execute([id])?;
    }
    Ok(deleted)
}

fn prune_steps(transaction: &Transaction<'_>, _: Timestamp, rows_max: i64, _: &Kept) -> Result<usize, Failure> {
    Ok(transaction
        .prepare_cached(
            "DELETE FROM steps WHERE (run_id, step_no) IN (
                 SELECT run_id, step_no FROM steps
                 WHERE (run_id, step_no) <=
                       (SELECT run_id, step_no FROM steps ORDER BY run_id DESC, step_no DESC LIMIT 1 OFFSET ?1)
                   AND run_id NOT IN (SELECT id FROM runs WHERE finished_at IS NULL)
                 ORDER BY run_id, step_no LIMIT ?2)",
        )?
        .execute([rows_max, BATCH_ROWS])?)
}

fn prune_errors(
    transaction: &Transaction<'_>,
    before: Timestamp,
    rows_max: i64,
    kept: &Kept,
) -> Result<usize, Failure> {
    Ok(transaction
        .prepare_cached(
            "DELETE FROM errors WHERE id IN (
                 SELECT id FROM errors
                 WHERE (last_seen_at < ?1
                        OR (last_seen_at, id) <= (SELECT last_seen_at, id FROM errors
                                                  ORDER BY last_seen_at DESC, id DESC LIMIT 1 OFFSET ?2))
                   AND id NOT IN (SELECT value FROM json_each(?3))
                 ORDER BY last_seen_at, id LIMIT ?4)",
        )?
        .execute(params![before, rows_max, kept.error_ids, BATCH_ROWS])?)
}

fn prune_events(transaction: &Transaction<'_>, before: Timestamp, rows_max: i64, _: &Kept) -> Result<usize, Failure> {
    Ok(transaction
        .prepare_cached(
            "DELETE FROM events WHERE id IN (
                 SELECT id FROM events
                 WHERE occurred_at < ?1 OR id <= (SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?2)
                 ORDER BY id LIMIT ?3)",
        )?
        .execute([before, rows_max, BATCH_ROWS])?)
}
