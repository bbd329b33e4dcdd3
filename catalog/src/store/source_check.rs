//! What was found out about sources: the last checks, and the health that they showed.

use super::history::{SourceCheck, SourceHealth};
use super::sqlite::{Durability, Store};
use super::stored::{from_json, to_json};
use crate::error::Result;
use rusqlite::params;
use std::collections::BTreeSet;

impl Store {
    /// Puts the outcome of checking sources in place of what earlier checks of the same sources
    /// found. Checks of id 0 get new ids. Durable on return.
    pub fn put_source_checks(&self, mut checks: Vec<SourceCheck>) -> Result<()> {
        for check in &mut checks {
            check.id = self.id_or_next(check.id)?;
        }
        let source_names: BTreeSet<&str> = checks.iter().map(|check| check.source_name.as_str()).collect();
        if source_names.is_empty() {
            return Ok(());
        }
        self.write(Durability::Synced, |transaction| {
            for source_name in &source_names {
                transaction
                    .prepare_cached("DELETE FROM source_checks WHERE source_name = ?1")?
                    .execute([source_name])?;
            }
            let mut insert =
                transaction.prepare_cached("INSERT INTO source_checks (id, source_name, body) VALUES (?1, ?2, ?3)")?;
            for check in &checks {
                insert.execute(params![check.id, check.source_name, to_json(check)?])?;
            }
            Ok(())
        })
    }

    /// The last checks of every source, by source and in the order in which they were made.
    pub fn source_checks(&self) -> Result<Vec<SourceCheck>> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT id, source_name, body FROM source_checks ORDER BY source_name, id")?;
            let mut rows = statement.query([])?;
            let mut checks = Vec::new();
            while let Some(row) = rows.next()? {
                let (id, body): (i64, String) = (row.get(0)?, row.get(2)?);
                let mut check: SourceCheck = from_json("source_checks", id, &body)?;
                // The column follows renames of the source, the body does not.
                check.source_name = row.get(1)?;
                checks.push(check);
            }
            Ok(checks)
        })
    }

    /// Puts the health of a source; nothing happens when the source was dropped. Ordered.
    pub fn put_source_health(&self, health: &SourceHealth) -> Result<()> {
        self.write(Durability::Ordered, |transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO source_health (source_id, health, last_checked_at, last_error)
                     SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM sources WHERE id = ?1)
                     ON CONFLICT (source_id) DO UPDATE
                     SET health = excluded.health, last_checked_at = excluded.last_checked_at,
                         last_error = excluded.last_error",
                )?
                .execute(params![health.source_id, health.health, health.last_checked_at, health.last_error])?;
            Ok(())
        })
    }

    /// The health of the sources that were ever contacted, by source id.
    pub fn source_health(&self) -> Result<Vec<SourceHealth>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT source_id, health, last_checked_at, last_error FROM source_health ORDER BY source_id",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(SourceHealth {
                    source_id: row.get(0)?,
                    health: row.get(1)?,
                    last_checked_at: row.get(2)?,
                    last_error: row.get(3)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}
