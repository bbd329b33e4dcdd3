//! System tables of numbers: cumulative per job and table, live progress, and per day.
//!
//! Stored counters are those of finished work; what a running job has done so far is added from
//! its live counters, so that the numbers are true while it runs and after it failed.

use super::ColumnType::*;
use super::rows::{Row, Value, time};
use super::{RowContext, TableSpec, column};
use catalog::definition::Timestamp;
use catalog::now;
use catalog::store::MappingStatistics;
use catalog::{JobState, Result};
use std::collections::BTreeMap;

pub(super) const TABLES: &[TableSpec] = &[
    TableSpec {
        name: "stat_jobs",
        comment: "Cumulative and live numbers of each job.",
        is_view: false,
        columns: &[
            column("job_id", Int8, "The job."),
            column("job_name", Text, "Its name."),
            column("state", Text, "What it is: tidegate.jobs.state."),
            column("health", Text, "Measured: ok, degraded, stalled or failing."),
            column("received_position", Text, "Last position received from the source."),
            column("committed_position", Text, "Last position durable in the sink."),
            column("source_end_position", Text, "End of the source's log."),
            column("last_msg_sent_at", TimestampTz, "When the source last sent something."),
            column("last_msg_received_at", TimestampTz, "When something was last received."),
            column("last_commit_at", TimestampTz, "When the sink last committed."),
            column("lag_ms", Int8, "Lag of a real-time job in milliseconds; NULL for other jobs."),
            column("lag_bytes", Int8, "Lag of a real-time job in bytes of log; NULL for other jobs."),
            column("lag_events", Int8, "Lag of a real-time job in events; NULL for other jobs."),
            column("is_caught_up", Bool, "Whether a real-time job has caught up; NULL for other jobs."),
            column("rows_read", Int8, "Rows read."),
            column("rows_written", Int8, "Rows durable in the sink."),
            column("inserts", Int8, "Inserts applied by a real-time job."),
            column("updates", Int8, "Updates applied by a real-time job."),
            column("deletes", Int8, "Deletes applied by a real-time job."),
            column("rows_skipped", Int8, "Rows left out by ON ERROR SKIP."),
            column("rows_dead_lettered", Int8, "Rows sent to the dead letter table."),
            column("bytes_read", Int8, "Bytes read."),
            column("bytes_written", Int8, "Bytes written."),
            column("transactions", Int8, "Source transactions applied by a real-time job."),
            column("apply_error_count", Int8, "Errors while applying changes."),
            column("snapshot_error_count", Int8, "Errors while loading tables."),
            column("restart_count", Int8, "How often the gateway started it again by itself."),
            column("rows_per_second", Float8, "Rows read per second in the run that is going on; NULL when none is."),
            column("backpressure_ratio", Float8, "Share of time that the reader waited for the sink."),
            column("checkpoint_duration_ms", Int8, "How long the last checkpoint took."),
            column("stats_reset_at", TimestampTz, "Since when the counters count."),
        ],
        rows: stat_jobs,
    },
    TableSpec {
        name: "stat_job_tables",
        comment: "Cumulative and live numbers of each table of each job.",
        is_view: false,
        columns: &[
            column("job_id", Int8, "The job."),
            column("mapping_id", Int8, "The mapping: tidegate.job_tables.mapping_id."),
            column("job_name", Text, "Name of the job."),
            column("source_table", Text, "What is read."),
            column("sink_table", Text, "What is written."),
            column("state", Text, "tidegate.job_tables.state."),
            column("rows_read", Int8, "Rows read."),
            column("rows_written", Int8, "Rows durable in the sink."),
            column("inserts", Int8, "Inserts applied by a real-time job."),
            column("updates", Int8, "Updates applied by a real-time job."),
            column("deletes", Int8, "Deletes applied by a real-time job."),
            column("rows_skipped", Int8, "Rows left out by ON ERROR SKIP."),
            column("rows_dead_lettered", Int8, "Rows sent to the dead letter table."),
            column("bytes_read", Int8, "Bytes read."),
            column("bytes_written", Int8, "Bytes written."),
            column("error_count", Int8, "Errors."),
            column("lag_ms", Int8, "Lag of a real-time job in milliseconds; NULL for other jobs."),
            column("last_row_at", TimestampTz, "When a row last arrived."),
            column("last_commit_at", TimestampTz, "When the sink last committed."),
            column("last_ddl_at", TimestampTz, "When the structure last changed."),
            column("last_verified_at", TimestampTz, "When it was last verified."),
            column("last_verify_result", Text, "What verification found."),
            column("stats_reset_at", TimestampTz, "Since when the counters count."),
        ],
        rows: stat_job_tables,
    },
    TableSpec {
        name: "stat_sources",
        comment: "Live numbers of each source.",
        is_view: false,
        columns: &[
            column("source_id", Int8, "The source."),
            column("source_name", Text, "Its name."),
            column("connections_open", Int4, "Connections that the gateway holds to it; NULL when not known."),
            column("connections_max", Int4, "Most connections that a run may hold."),
            column("active_jobs", Int4, "Jobs that are running on it."),
            column("queries", Int8, "Statements sent to it; NULL when not known."),
            column("bytes_read", Int8, "Bytes read from it by jobs."),
            column("bytes_written", Int8, "Bytes written to it by jobs."),
            column("connect_error_count", Int8, "Failed connections; NULL when not known."),
            column("bytes_log_retained", Int8, "Bytes of log that it keeps for us."),
            column("oldest_needed_position", Text, "Oldest position that a job needs."),
            column("newest_position", Text, "End of its log."),
            column("last_contact_at", TimestampTz, "When it last answered."),
            column("stats_reset_at", TimestampTz, "Since when the counters count."),
        ],
        rows: stat_sources,
    },
    TableSpec {
        name: "stat_progress_snapshot",
        comment: "Progress of each table that is being loaded or waits for it.",
        is_view: false,
        columns: &[
            column("job_id", Int8, "The job."),
            column("run_id", Int8, "The run."),
            column("job_name", Text, "Name of the job."),
            column("source_table", Text, "What is read."),
            column("phase", Text, "waiting, planning, loading, committing, done or failed."),
            column("rows_total_estimate", Int8, "Rows expected; NULL when the source does not know."),
            column("rows_done", Int8, "Rows read so far."),
            column("bytes_total_estimate", Int8, "Bytes on the source's disk; NULL when it does not know."),
            column("bytes_done", Int8, "Bytes read so far."),
            column("splits_total", Int8, "Splits of the table; NULL until planned."),
            column("splits_done", Int8, "Splits finished."),
            column("started_at", TimestampTz, "When loading began."),
            column("estimated_finish_at", TimestampTz, "When it will end at the speed so far; NULL when not known."),
        ],
        rows: stat_progress_snapshot,
    },
    TableSpec {
        name: "run_statistics",
        comment: "Rows, bytes and time per day, source, table and direction.",
        is_view: false,
        columns: &[
            column("day", Date, "Day, UTC."),
            column("source_name", Text, "The source."),
            column("schema_name", Text, "Schema in it."),
            column("table_name", Text, "Table in it."),
            column("operation", Text, "export: read from the source; import: written into it."),
            column("runs", Int8, "Runs."),
            column("rows", Int8, "Rows."),
            column("bytes", Int8, "Bytes."),
            column("seconds_total", Float8, "Seconds, summed."),
            column("seconds_avg", Float8, "Seconds per run."),
        ],
        rows: run_statistics,
    },
    TableSpec {
        name: "source_statistics",
        comment: "tidegate.run_statistics summed per source and direction.",
        is_view: true,
        columns: &[
            column("source_name", Text, "The source."),
            column("operation", Text, "export: read from the source; import: written into it."),
            column("tables", Int8, "Tables."),
            column("runs", Int8, "Runs."),
            column("rows", Int8, "Rows."),
            column("bytes", Int8, "Bytes."),
            column("seconds_total", Float8, "Seconds, summed."),
            column("seconds_avg", Float8, "Seconds per run."),
        ],
        rows: source_statistics,
    },
];

/// Stored counters per mapping with those of the work that is going on added.
fn counters(c: &RowContext<'_>) -> Result<BTreeMap<i64, MappingStatistics>> {
    let stored = c.gateway.store.mapping_statistics()?;
    let mut by_mapping: BTreeMap<i64, MappingStatistics> = stored.into_iter().map(|s| (s.mapping_id, s)).collect();
    for table in c.gateway.jobs.live_tables() {
        if let Some((rows_read, bytes_read)) = table.uncounted() {
            let s = by_mapping.entry(table.mapping_id).or_insert_with(|| MappingStatistics {
                mapping_id: table.mapping_id,
                job_id: table.job_id,
                stats_reset_at: table.created_at,
                ..Default::default()
            });
            s.rows_read += rows_read as i64;
            s.bytes_read += bytes_read as i64;
            if rows_read > 0 {
                s.last_row_at = Some(now());
            }
        }
    }
    Ok(by_mapping)
}

fn stat_jobs(c: &RowContext<'_>) -> Result<Vec<Row>> {
    let counters = counters(c)?;
    let live = c.gateway.jobs.live_tables();
    Ok(c.snapshot
        .jobs
        .values()
        .map(|j| {
            let mine: Vec<&MappingStatistics> = counters.values().filter(|s| s.job_id == j.id).collect();
            // Nothing is known of a job that has never run.
            let sum = |f: fn(&MappingStatistics) -> i64| -> Value {
                if mine.is_empty() { Value::Null } else { Value::Int(mine.iter().map(|s| f(s)).sum()) }
            };
            let latest = mine.iter().filter_map(|s| s.last_commit_at).max();
            let last_row = mine.iter().filter_map(|s| s.last_row_at).max();
            let reset = mine.iter().map(|s| s.stats_reset_at).max();
            let failing = j.state == JobState::Failed;
            let tables: Vec<_> = live.iter().filter(|t| t.job_id == j.id).collect();
            let rate = tables.iter().map(|t| t.created_at).min().map(|since| {
                let rows: u64 = tables.iter().map(|t| t.rows_read()).sum();
                rows as f64 / ((now() - since).max(1000) as f64 / 1e6)
            });
            vec![
                j.id.into(),
                j.name.clone().into(),
                j.state.as_str().into(),
                if failing { "failing" } else { "ok" }.into(),
                Value::Null,
                c.snapshot.mappings_of(j.id).filter_map(|m| m.snapshot_position.clone()).next().into(),
                Value::Null,
                Value::Null,
                time(last_row),
                time(latest),
                Value::Null,
                Value::Null,
                Value::Null,
                Value::Null,
                sum(|s| s.rows_read),
                sum(|s| s.rows_written),
                Value::Null,
                Value::Null,
                Value::Null,
                sum(|s| s.rows_skipped),
                Value::Null,
                sum(|s| s.bytes_read),
                sum(|s| s.bytes_written),
                Value::Null,
                Value::Null,
                sum(|s| s.error_count),
                j.restart_count.into(),
                rate.into(),
                Value::Null,
                Value::Null,
                time(reset),
            ]
        })
        .collect())
}

fn stat_job_tables(c: &RowContext<'_>) -> Result<Vec<Row>> {
    let counters = counters(c)?;
    Ok(c.snapshot
        .mappings
        .values()
        .map(|m| {
            let s = counters.get(&m.id);
            let n = |f: fn(&MappingStatistics) -> i64| -> Value { s.map(f).into() };
            let t = |f: fn(&MappingStatistics) -> Option<Timestamp>| -> Value { time(s.and_then(f)) };
            vec![
                m.job_id.into(),
                m.id.into(),
                c.snapshot.jobs.get(&m.job_id).map(|j| j.name.clone()).into(),
                m.source.as_ref().map(|p| p.to_string()).into(),
                m.sink.to_string().into(),
                m.state.as_str().into(),
                n(|s| s.rows_read),
                n(|s| s.rows_written),
                Value::Null,
                Value::Null,
                Value::Null,
                n(|s| s.rows_skipped),
                Value::Null,
                n(|s| s.bytes_read),
                n(|s| s.bytes_written),
                n(|s| s.error_count),
                Value::Null,
                t(|s| s.last_row_at),
                t(|s| s.last_commit_at),
                Value::Null,
                Value::Null,
                Value::Null,
                t(|s| Some(s.stats_reset_at)),
            ]
        })
        .collect())
}

fn stat_sources(c: &RowContext<'_>) -> Result<Vec<Row>> {
    let counters = counters(c)?;
    let health = c.gateway.store.source_health()?;
    c.snapshot
        .sources
        .values()
        .map(|s| {
            let mut read = None;
            let mut written = None;
            for m in c.snapshot.mappings.values() {
                let Some(counter) = counters.get(&m.id) else { continue };
                if m.source.as_ref().is_some_and(|p| p.source == s.name) {
                    *read.get_or_insert(0) += counter.bytes_read;
                }
                if m.sink.source == s.name {
                    *written.get_or_insert(0) += counter.bytes_written;
                }
            }
            let active = c.snapshot.users_of_source(&s.name).filter(|j| j.state == JobState::Running).count();
            let connections_max = match s.options.get("max_connections") {
                Some(catalog::OptionValue::Text(text)) => text.parse::<i64>().ok(),
                _ => None,
            };
            let contact =
                health.iter().find(|h| h.source_id == s.id && h.health == "ok").and_then(|h| h.last_checked_at);
            Ok(vec![
                s.id.into(),
                s.name.clone().into(),
                Value::Null,
                connections_max.into(),
                active.into(),
                Value::Null,
                read.into(),
                written.into(),
                Value::Null,
                Value::Null,
                Value::Null,
                Value::Null,
                time(contact),
                time(s.created_at),
            ])
        })
        .collect()
}

fn stat_progress_snapshot(c: &RowContext<'_>) -> Result<Vec<Row>> {
    Ok(c.gateway
        .jobs
        .live_tables()
        .into_iter()
        .map(|t| {
            let rows = t.rows_read();
            let (total, bytes_total) = t.estimates();
            let started = t.started_at();
            let finish = match (started, total) {
                (Some(started), Some(total)) if rows > 0 && t.is_loading() => {
                    let elapsed = (now() - started) as f64;
                    let share = (rows as f64 / (total as f64).max(rows as f64)).min(1.0);
                    Some(started + (elapsed / share) as i64)
                }
                _ => None,
            };
            let (splits_total, splits_done) = t.splits();
            vec![
                t.job_id.into(),
                t.run_id.into(),
                t.job_name.clone().into(),
                t.source_table.clone().into(),
                t.phase().into(),
                total.into(),
                rows.into(),
                bytes_total.into(),
                t.bytes_read().into(),
                if splits_total == 0 { Value::Null } else { splits_total.into() },
                splits_done.into(),
                time(started),
                time(finish),
            ]
        })
        .collect())
}

fn run_statistics(c: &RowContext<'_>) -> Result<Vec<Row>> {
    Ok(c.gateway
        .store
        .day_statistics()?
        .into_iter()
        .map(|d| {
            vec![
                Value::Date(d.day),
                d.source_name.into(),
                d.schema_name.into(),
                d.table_name.into(),
                if d.is_import { "import" } else { "export" }.into(),
                d.runs.into(),
                d.rows.into(),
                d.bytes.into(),
                d.seconds_total.into(),
                if d.runs > 0 { Value::Float(d.seconds_total / d.runs as f64) } else { Value::Null },
            ]
        })
        .collect())
}

fn source_statistics(c: &RowContext<'_>) -> Result<Vec<Row>> {
    #[derive(Default)]
    struct Sum {
        tables: std::collections::BTreeSet<(String, String)>,
        runs: i64,
        rows: i64,
        bytes: i64,
        seconds: f64,
    }
    let mut sums: BTreeMap<(String, bool), Sum> = BTreeMap::new();
    for d in c.gateway.store.day_statistics()? {
        let sum = sums.entry((d.source_name, d.is_import)).or_default();
        sum.tables.insert((d.schema_name, d.table_name));
        sum.runs += d.runs;
        sum.rows += d.rows;
        sum.bytes += d.bytes;
        sum.seconds += d.seconds_total;
    }
    Ok(sums
        .into_iter()
        .map(|((source, is_import), s)| {
            vec![
                source.into(),
                if is_import { "import" } else { "export" }.into(),
                s.tables.len().into(),
                s.runs.into(),
                s.rows.into(),
                s.bytes.into(),
                s.seconds.into(),
                if s.runs > 0 { Value::Float(s.seconds / s.runs as f64) } else { Value::Null },
            ]
        })
        .collect())
}
