//! Traces at sinks: what a run may leave behind when it is killed, so that the next start cleans up.

use super::history::SinkTrace;
use super::sqlite::{Durability, Store};
use crate::definition::now;
use crate::error::Result;
use rusqlite::params;

impl Store {
    /// Records what a run is about to make at a sink for a mapping. To be called before the sink is
    /// touched: durable on return. The same run and mapping may be put again; the new `json` takes
    /// the place of the old one, so it must name everything.
    pub fn put_sink_trace(
        &self,
        job_id: i64,
        mapping_id: i64,
        run_id: i64,
        source_name: &str,
        json: &str,
    ) -> Result<()> {
        self.write(Durability::Synced, |transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO sink_traces (run_id, mapping_id, job_id, source_name, body, recorded_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (run_id, mapping_id) DO UPDATE
                     SET job_id = excluded.job_id, source_name = excluded.source_name, body = excluded.body,
                         recorded_at = excluded.recorded_at",
                )?
                .execute(params![run_id, mapping_id, job_id, source_name, json, now()])?;
            Ok(())
        })
    }

    /// Every trace that was not deleted, of the oldest run first. They outlive their job and their
    /// source.
    pub fn sink_traces(&self) -> Result<Vec<SinkTrace>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT job_id, mapping_id, run_id, source_name, body, recorded_at
                 FROM sink_traces ORDER BY run_id, mapping_id",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(SinkTrace {
                    job_id: row.get(0)?,
                    mapping_id: row.get(1)?,
                    run_id: row.get(2)?,
                    source_name: row.get(3)?,
                    json: row.get(4)?,
                    recorded_at: row.get(5)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Forgets a trace once nothing of it is left at the sink; nothing happens when there is none.
    /// Ordered: after a power failure it may be there again, and cleaning up finds nothing.
    pub fn delete_sink_trace(&self, run_id: i64, mapping_id: i64) -> Result<()> {
        self.write(Durability::Ordered, |transaction| {
            transaction
                .prepare_cached("DELETE FROM sink_traces WHERE run_id = ?1 AND mapping_id = ?2")?
                .execute([run_id, mapping_id])?;
            Ok(())
        })
    }
}
