//! System tables of what happened and what is going on: runs, steps, errors, events, checks, sessions.

use super::ColumnType::*;
use super::rows::{Row, Value, time};
use super::{RowContext, TableSpec, column};
use catalog::Result;

/// At most this many rows of history are shown, the newest ones.
const HISTORY_ROWS_MAX: usize = 100_000;

pub(super) const TABLES: &[TableSpec] = &[
    TableSpec {
        name: "job_runs",
        comment: "Runs of jobs, the newest first.",
        is_view: false,
        columns: &[
            column("run_id", Int8, "Identifies the run; never reused."),
            column("job_id", Int8, "The job."),
            column("job_name", Text, "Its name when the run started."),
            column("trigger", Text, "What started it: manual, schedule, retry, restart or recovery."),
            column("logical_time", TimestampTz, "The time that run_time() gives."),
            column("state", Text, "queued, running, succeeded, failed, canceled or skipped."),
            column("started_at", TimestampTz, "When it started."),
            column("finished_at", TimestampTz, "When it ended."),
            column("duration_ms", Int8, "How long it took, in milliseconds; so far, while it runs."),
            column("rows_read", Int8, "Rows read from the source."),
            column("rows_written", Int8, "Rows durable in the sink."),
            column("rows_skipped", Int8, "Rows left out by ON ERROR SKIP."),
            column("rows_error", Int8, "Rows that failed."),
            column("bytes_read", Int8, "Bytes read from the source."),
            column("watermark_from", Text, "Lower bound of an incremental run."),
            column("watermark_to", Text, "Upper bound of an incremental run."),
            column("start_position", Text, "Position of the snapshot, in the source's notation."),
            column("end_position", Text, "Position at the end."),
            column("attempt", Int4, "1, and one more for every retry of the same work."),
            column("error_id", Int8, "Why it failed: tidegate.errors.error_id."),
            column("definition_version", Int4, "Definition that it ran."),
        ],
        rows: job_runs,
    },
    TableSpec {
        name: "job_steps",
        comment: "Steps of runs, the newest run first.",
        is_view: false,
        columns: &[
            column("run_id", Int8, "The run."),
            column("step_no", Int4, "Place of the step, from 1."),
            column("step", Text, "validate, remote_setup, load or commit."),
            column("table_name", Text, "Sink table, for a step of one table."),
            column("state", Text, "queued, running, succeeded, failed, canceled or skipped."),
            column("started_at", TimestampTz, "When it began."),
            column("finished_at", TimestampTz, "When it ended."),
            column("rows_done", Int8, "Rows done."),
            column("detail", Text, "What was done."),
            column("error_id", Int8, "Why it failed: tidegate.errors.error_id."),
            column("is_retryable", Bool, "Whether RETRY may help without any change."),
        ],
        rows: job_steps,
    },
    TableSpec {
        name: "errors",
        comment: "Errors, the newest first. The same error seen again counts up.",
        is_view: false,
        columns: &[
            column("error_id", Int8, "Identifies the error; never reused."),
            column("occurred_at", TimestampTz, "When it was first seen."),
            column("last_seen_at", TimestampTz, "When it was last seen."),
            column("repeat_count", Int8, "How often it was seen."),
            column("job_id", Int8, "The job."),
            column("job_name", Text, "Its name."),
            column("run_id", Int8, "The run."),
            column("source_table", Text, "Table at the source."),
            column("step", Text, "Step of the run."),
            column("side", Text, "source, transform, sink or engine."),
            column("sqlstate", Text, "SQLSTATE."),
            column("symbol", Text, "Name of the SQLSTATE, for the class TG."),
            column("severity", Text, "ERROR."),
            column("message", Text, "What happened."),
            column("detail", Text, "More about it."),
            column("hint", Text, "What can be done."),
            column("position", Text, "Position in the source's log."),
            column("is_retryable", Bool, "Whether it may go away by itself."),
            column("row_key", Text, "Key of the row, for an error of one row."),
            column("acknowledged_by", Text, "Role that acknowledged it."),
        ],
        rows: errors,
    },
    TableSpec {
        name: "events",
        comment: "Changes of state, the newest first.",
        is_view: false,
        columns: &[
            column("event_id", Int8, "Identifies the event; never reused."),
            column("occurred_at", TimestampTz, "When."),
            column("object_kind", Text, "secret, source, sink table, job or run."),
            column("object_id", Int8, "The object."),
            column("object_name", Text, "Its name then."),
            column("table_name", Text, "Table, for an event of one table."),
            column("old_state", Text, "State before."),
            column("new_state", Text, "State after."),
            column("reason", Text, "Why."),
            column("actor", Text, "Role, or gateway."),
        ],
        rows: events,
    },
    TableSpec {
        name: "source_checks",
        comment: "Results of the last VALIDATE SOURCE of each source.",
        is_view: false,
        columns: &[
            column("check_id", Int8, "Identifies the check; never reused."),
            column("source_name", Text, "The source."),
            column("checked_at", TimestampTz, "When."),
            column("check_name", Text, "What was checked."),
            column("status", Text, "pass, warn, fail or skip."),
            column("message", Text, "What was found."),
            column("hint", Text, "The statement that mends it."),
            column("elapsed_ms", Int8, "How long it took, in milliseconds."),
        ],
        rows: source_checks,
    },
    TableSpec {
        name: "stat_activity",
        comment: "Sessions that are connected now.",
        is_view: false,
        columns: &[
            column("pid", Int4, "Number of the session; pg_backend_pid() of that session."),
            column("role_name", Text, "Role."),
            column("client_addr", Text, "Address of the client."),
            column("application_name", Text, "What the client calls itself."),
            column("state", Text, "active, idle, idle in transaction or idle in transaction (aborted)."),
            column("query_start", TimestampTz, "When the current or last statement began."),
            column("query", Text, "That statement, with secrets masked."),
        ],
        rows: stat_activity,
    },
];

fn job_runs(c: &RowContext<'_>) -> Result<Vec<Row>> {
    let runs = c.gateway.store.runs(None, HISTORY_ROWS_MAX)?;
    Ok(runs
        .into_iter()
        .map(|stored| {
            // A run that is going on is known better by the runtime than by the store.
            let r = c.gateway.jobs.live_run(stored.id).unwrap_or(stored);
            let end = r.finished_at.unwrap_or_else(catalog::now);
            vec![
                r.id.into(),
                r.job_id.into(),
                r.job_name.into(),
                r.trigger.as_str().into(),
                time(r.started_at),
                r.state.as_str().into(),
                time(r.started_at),
                time(r.finished_at),
                Value::Int((end - r.started_at) / 1000),
                r.rows_read.into(),
                r.rows_written.into(),
                r.rows_skipped.into(),
                r.rows_error.into(),
                r.bytes_read.into(),
                Value::Null,
                Value::Null,
                r.start_position.into(),
                r.end_position.into(),
                r.attempt.into(),
                r.error_id.into(),
                r.definition_version.into(),
            ]
        })
        .collect())
}

fn job_steps(c: &RowContext<'_>) -> Result<Vec<Row>> {
    let steps = c.gateway.store.steps(None, HISTORY_ROWS_MAX)?;
    Ok(steps
        .into_iter()
        .map(|s| {
            vec![
                s.run_id.into(),
                s.step_no.into(),
                s.step.into(),
                s.table_name.into(),
                s.state.as_str().into(),
                time(s.started_at),
                time(s.finished_at),
                s.rows_done.into(),
                s.detail.into(),
                s.error_id.into(),
                s.is_retryable.into(),
            ]
        })
        .collect())
}

/// The names of our own class of SQLSTATEs.
fn symbol(sqlstate: &str) -> Option<&'static str> {
    Some(match sqlstate {
        "TG001" => "position_lost",
        "TG002" => "schema_change_rejected",
        "TG003" => "verification_mismatch",
        "TG004" => "stalled",
        "TG005" => "wait_timeout",
        "TG006" => "state_incompatible",
        "TG007" => "name_collision",
        "TG008" => "error_limit_reached",
        _ => return None,
    })
}

fn errors(c: &RowContext<'_>) -> Result<Vec<Row>> {
    let errors = c.gateway.store.errors(HISTORY_ROWS_MAX)?;
    Ok(errors
        .into_iter()
        .map(|e| {
            vec![
                e.id.into(),
                time(e.occurred_at),
                time(e.last_seen_at),
                e.repeat_count.into(),
                e.job_id.into(),
                e.job_name.into(),
                e.run_id.into(),
                e.source_table.into(),
                e.step.into(),
                e.side.as_str().into(),
                e.sqlstate.clone().into(),
                symbol(&e.sqlstate).into(),
                "ERROR".into(),
                e.message.into(),
                e.detail.into(),
                e.hint.into(),
                Value::Null,
                e.is_retryable.into(),
                e.row_key.into(),
                Value::Null,
            ]
        })
        .collect())
}

fn events(c: &RowContext<'_>) -> Result<Vec<Row>> {
    let events = c.gateway.store.events(HISTORY_ROWS_MAX)?;
    Ok(events
        .into_iter()
        .map(|e| {
            vec![
                e.id.into(),
                time(e.occurred_at),
                e.object_kind.into(),
                e.object_id.into(),
                e.object_name.into(),
                e.table_name.into(),
                e.old_state.into(),
                e.new_state.into(),
                e.reason.into(),
                e.actor.into(),
            ]
        })
        .collect())
}

fn source_checks(c: &RowContext<'_>) -> Result<Vec<Row>> {
    let checks = c.gateway.store.source_checks()?;
    Ok(checks
        .into_iter()
        .map(|x| {
            vec![
                x.id.into(),
                x.source_name.into(),
                time(x.checked_at),
                x.check_name.into(),
                x.status.as_str().into(),
                x.message.into(),
                x.hint.into(),
                x.elapsed_ms.into(),
            ]
        })
        .collect())
}

fn stat_activity(c: &RowContext<'_>) -> Result<Vec<Row>> {
    Ok(c.gateway
        .sessions
        .list()
        .into_iter()
        .map(|s| {
            let activity = s.activity.lock().clone();
            let application_name = s.settings.lock().get("application_name");
            vec![
                s.pid.into(),
                s.role.clone().into(),
                s.client_addr.clone().into(),
                application_name.into(),
                activity.state.into(),
                time(activity.query_start),
                activity.query.into(),
            ]
        })
        .collect())
}
