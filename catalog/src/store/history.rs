//! What happened: runs, steps, errors, events, checks and statistics. Rows of system tables,
//! kept apart from definitions because they grow and are pruned.

use crate::definition::Timestamp;
use crate::state::*;
use serde::{Deserialize, Serialize};

/// One execution of a job (`tidegate.job_runs`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Never reused; unique over all jobs.
    pub id: i64,
    /// The job.
    pub job_id: i64,
    /// Its name when the run started.
    pub job_name: String,
    /// What started it.
    pub trigger: RunTrigger,
    /// What it is.
    pub state: RunState,
    /// When it started.
    pub started_at: Timestamp,
    /// When it reached a final state.
    pub finished_at: Option<Timestamp>,
    /// Rows read from the source; None until known.
    pub rows_read: Option<i64>,
    /// Rows that are durable in the sink; None until known.
    pub rows_written: Option<i64>,
    /// Rows left out by ON ERROR SKIP.
    pub rows_skipped: Option<i64>,
    /// Rows that failed.
    pub rows_error: Option<i64>,
    /// Bytes read from the source.
    pub bytes_read: Option<i64>,
    /// The snapshot's position in the source's notation.
    pub start_position: Option<String>,
    /// The position at the end.
    pub end_position: Option<String>,
    /// 1 for the first, one more for every retry of the same work.
    pub attempt: i32,
    /// Why it failed.
    pub error_id: Option<i64>,
    /// The definition that it ran.
    pub definition_version: i32,
    /// The mappings that it covers; empty: all of the job. (RETRY does just the failed ones.)
    pub mapping_ids: Vec<i64>,
}

/// One stage of a run (`tidegate.job_steps`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The run.
    pub run_id: i64,
    /// From 1, in order of beginning.
    pub step_no: i32,
    /// validate, ddl, extract, load, commit, verify.
    pub step: String,
    /// `schema.table` of the sink, for a step of one table.
    pub table_name: Option<String>,
    /// What it is.
    pub state: RunState,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Rows done.
    pub rows_done: Option<i64>,
    /// What was done, in words.
    pub detail: Option<String>,
    /// Why it failed.
    pub error_id: Option<i64>,
    /// Whether RETRY may help.
    pub is_retryable: bool,
}

/// One error as users read it (`tidegate.errors`). The same error of the same table in the same
/// run, seen again, counts up `repeat_count` instead of adding a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorRecord {
    /// Never reused. 0 asks the store for a new one.
    pub id: i64,
    /// When first seen.
    pub occurred_at: Timestamp,
    /// When last seen.
    pub last_seen_at: Timestamp,
    /// How often seen.
    pub repeat_count: i64,
    /// The job, if any.
    pub job_id: Option<i64>,
    /// Its name.
    pub job_name: Option<String>,
    /// The run, if any.
    pub run_id: Option<i64>,
    /// `schema.table` at the source.
    pub source_table: Option<String>,
    /// The step's name.
    pub step: Option<String>,
    /// Which side.
    pub side: ErrorSide,
    /// SQLSTATE.
    pub sqlstate: String,
    /// Message.
    pub message: String,
    /// Detail.
    pub detail: Option<String>,
    /// Hint.
    pub hint: Option<String>,
    /// Whether it may go away by itself.
    pub is_retryable: bool,
    /// The row's key as text.
    pub row_key: Option<String>,
}

/// One change of state (`tidegate.events`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Never reused. 0 asks the store for a new one.
    pub id: i64,
    /// When.
    pub occurred_at: Timestamp,
    /// secret, source, sink_table, job, run.
    pub object_kind: String,
    /// The object.
    pub object_id: i64,
    /// Its name then.
    pub object_name: String,
    /// `schema.table`, for an event of one table.
    pub table_name: Option<String>,
    /// State before.
    pub old_state: Option<String>,
    /// State after.
    pub new_state: Option<String>,
    /// Why, in words.
    pub reason: Option<String>,
    /// Role, or `gateway`.
    pub actor: String,
}

/// One check of a source (`tidegate.source_checks`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCheck {
    /// Never reused. 0 asks the store for a new one.
    pub id: i64,
    /// The source.
    pub source_name: String,
    /// When.
    pub checked_at: Timestamp,
    /// What was checked.
    pub check_name: String,
    /// The outcome.
    pub status: CheckStatus,
    /// What was found.
    pub message: String,
    /// The statement that mends it.
    pub hint: Option<String>,
    /// How long it took.
    pub elapsed_ms: i64,
}

/// Cumulative counters of one mapping (`tidegate.stat_job_tables`; summed in `stat_jobs`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MappingStatistics {
    /// The mapping.
    pub mapping_id: i64,
    /// The job.
    pub job_id: i64,
    /// Rows read.
    pub rows_read: i64,
    /// Rows durable in the sink.
    pub rows_written: i64,
    /// Rows left out by ON ERROR SKIP.
    pub rows_skipped: i64,
    /// Bytes read.
    pub bytes_read: i64,
    /// Bytes written.
    pub bytes_written: i64,
    /// Errors.
    pub error_count: i64,
    /// When a row last arrived.
    pub last_row_at: Option<Timestamp>,
    /// When the sink last committed.
    pub last_commit_at: Option<Timestamp>,
    /// Since when the counters count.
    pub stats_reset_at: Timestamp,
}

/// One day's traffic of one table in one direction (`tidegate.run_statistics`).
#[derive(Debug, Clone, PartialEq)]
pub struct DayStatistics {
    /// Days since 1970-01-01 UTC.
    pub day: i32,
    /// The source.
    pub source_name: String,
    /// Schema in it.
    pub schema_name: String,
    /// Table in it.
    pub table_name: String,
    /// true: written into the source (import); false: read from it (export).
    pub is_import: bool,
    /// Runs.
    pub runs: i64,
    /// Rows.
    pub rows: i64,
    /// Bytes.
    pub bytes: i64,
    /// Seconds, summed.
    pub seconds_total: f64,
}

/// What the last contact with a source showed (`tidegate.sources.health`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceHealth {
    /// The source.
    pub source_id: i64,
    /// unknown, ok, failing.
    pub health: String,
    /// When the source was last checked or used.
    pub last_checked_at: Option<Timestamp>,
    /// What went wrong then.
    pub last_error: Option<String>,
}

/// What a run may leave behind at a sink when it is killed, known before the sink is touched so
/// that the next start can clean it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkTrace {
    /// The job.
    pub job_id: i64,
    /// The mapping.
    pub mapping_id: i64,
    /// The run.
    pub run_id: i64,
    /// The sink's source; follows renames.
    pub source_name: String,
    /// What there may be, in the words of whoever cleans it up.
    pub json: String,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}
