//! Counters: cumulative ones per mapping, and each day's traffic per table.

use super::history::{DayStatistics, MappingStatistics};
use super::sqlite::{Durability, Store};
use crate::definition::Timestamp;
use crate::error::Result;
use rusqlite::params;

impl Store {
    /// Puts the counters of mappings as they are now, all in one transaction. Those of mappings
    /// that were deleted are left out. Ordered.
    pub fn put_mapping_statistics(&self, statistics: &[MappingStatistics]) -> Result<()> {
        if statistics.is_empty() {
            return Ok(());
        }
        self.write(Durability::Ordered, |transaction| {
            let mut put = transaction.prepare_cached(
                "INSERT INTO mapping_statistics (mapping_id, job_id, rows_read, rows_written, rows_skipped, bytes_read,
                     bytes_written, error_count, last_row_at, last_commit_at, stats_reset_at)
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11
                 WHERE EXISTS (SELECT 1 FROM mappings WHERE id = ?1)
                 ON CONFLICT (mapping_id) DO UPDATE
                 SET job_id = excluded.job_id, rows_read = excluded.rows_read, rows_written = excluded.rows_written,
                     rows_skipped = excluded.rows_skipped, bytes_read = excluded.bytes_read,
                     bytes_written = excluded.bytes_written, error_count = excluded.error_count,
                     last_row_at = excluded.last_row_at, last_commit_at = excluded.last_commit_at,
                     stats_reset_at = excluded.stats_reset_at",
            )?;
            for one in statistics {
                put.execute(params![
                    one.mapping_id,
                    one.job_id,
                    one.rows_read,
                    one.rows_written,
                    one.rows_skipped,
                    one.bytes_read,
                    one.bytes_written,
                    one.error_count,
                    one.last_row_at,
                    one.last_commit_at,
                    one.stats_reset_at
                ])?;
            }
            Ok(())
        })
    }

    /// The counters of every mapping that was ever counted, by mapping id.
    pub fn mapping_statistics(&self) -> Result<Vec<MappingStatistics>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT mapping_id, job_id, rows_read, rows_written, rows_skipped, bytes_read, bytes_written,
                     error_count, last_row_at, last_commit_at, stats_reset_at
                 FROM mapping_statistics ORDER BY mapping_id",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(MappingStatistics {
                    mapping_id: row.get(0)?,
                    job_id: row.get(1)?,
                    rows_read: row.get(2)?,
                    rows_written: row.get(3)?,
                    rows_skipped: row.get(4)?,
                    bytes_read: row.get(5)?,
                    bytes_written: row.get(6)?,
                    error_count: row.get(7)?,
                    last_row_at: row.get(8)?,
                    last_commit_at: row.get(9)?,
                    stats_reset_at: row.get(10)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Sets the stored counters of a job's mappings to zero, counting from `at`. A runtime that
    /// counts in memory must begin anew too, or its next put brings the old counters back.
    /// Durable on return.
    pub fn reset_statistics(&self, job_id: i64, at: Timestamp) -> Result<()> {
        self.write(Durability::Synced, |transaction| {
            transaction.execute(
                "UPDATE mapping_statistics
                 SET rows_read = 0, rows_written = 0, rows_skipped = 0, bytes_read = 0, bytes_written = 0,
                     error_count = 0, last_row_at = NULL, last_commit_at = NULL, stats_reset_at = ?2
                 WHERE job_id = ?1",
                [job_id, at],
            )?;
            Ok(())
        })
    }

    /// Adds to each day's traffic, all in one transaction: the counters given are what came on
    /// top, so a call must not be repeated after it succeeded. Ordered.
    pub fn add_day_statistics(&self, statistics: &[DayStatistics]) -> Result<()> {
        if statistics.is_empty() {
            return Ok(());
        }
        self.write(Durability::Ordered, |transaction| {
            let mut add = transaction.prepare_cached(
                "INSERT INTO day_statistics
                     (day, source_name, schema_name, table_name, is_import, runs, rows, bytes, seconds_total)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT (day, source_name, schema_name, table_name, is_import) DO UPDATE
                 SET runs = runs + excluded.runs, rows = rows + excluded.rows, bytes = bytes + excluded.bytes,
                     seconds_total = seconds_total + excluded.seconds_total",
            )?;
            for one in statistics {
                add.execute(params![
                    one.day,
                    one.source_name,
                    one.schema_name,
                    one.table_name,
                    one.is_import,
                    one.runs,
                    one.rows,
                    one.bytes,
                    one.seconds_total
                ])?;
            }
            Ok(())
        })
    }

    /// Every day's traffic, oldest day first. Names are those of the day.
    pub fn day_statistics(&self) -> Result<Vec<DayStatistics>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT day, source_name, schema_name, table_name, is_import, runs, rows, bytes, seconds_total
                 FROM day_statistics ORDER BY day, source_name, schema_name, table_name, is_import",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(DayStatistics {
                    day: row.get(0)?,
                    source_name: row.get(1)?,
                    schema_name: row.get(2)?,
                    table_name: row.get(3)?,
                    is_import: row.get(4)?,
                    runs: row.get(5)?,
                    rows: row.get(6)?,
                    bytes: row.get(7)?,
                    seconds_total: row.get(8)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}
