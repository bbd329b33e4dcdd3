//! Commits: how one snapshot becomes the next, in the file and in memory.

use super::failure::Failure;
use super::secret::{delete_value, put_value};
use super::snapshot::{Change, SecretText, Snapshot};
use super::sqlite::{Durability, Store};
use super::stored::save;
use crate::error::{Error, ErrorKind, Result};
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Store {
    /// Applies the changes, in order, to the snapshot of `base_version`: all of them are durable
    /// when the call returns, or none is made. Names are checked against the outcome, so objects
    /// may swap names. No changes make no new version.
    ///
    /// Errors: 40001 when another commit came in between (read the snapshot and plan again), 42710
    /// for a name that is taken, 42704 for a mapping whose job is gone.
    pub fn commit(&self, base_version: u64, changes: Vec<Change>) -> Result<Arc<Snapshot>> {
        self.commit_with(|current| {
            if current.version == base_version { Ok(changes) } else { Err(conflict(base_version, current.version)) }
        })
    }

    /// As [`Store::commit`], for changes that are made against whatever is current: no other
    /// commit comes in between. `make` may read the store, record history and ask for ids, but
    /// must not commit; it should be short, because other commits wait for it. An error of `make`
    /// is returned as it is.
    pub fn commit_any(&self, make: impl FnOnce(&Snapshot) -> Result<Vec<Change>>) -> Result<Arc<Snapshot>> {
        self.commit_with(make)
    }

    fn commit_with(&self, make: impl FnOnce(&Snapshot) -> Result<Vec<Change>>) -> Result<Arc<Snapshot>> {
        let _only_one = self.committing.lock();
        let before = self.snapshot();
        let changes = make(&before)?;
        if changes.is_empty() {
            return Ok(before);
        }
        let mut after = Snapshot::clone(&before);
        after.version += 1;
        let mut touched = Touched::default();
        for change in &changes {
            touched.note(change, &after);
            after.apply(change);
        }
        for mapping in touched.mappings.iter().filter_map(|id| after.mappings.get(id)) {
            if !after.jobs.contains_key(&mapping.job_id) {
                let message = format!("job with id {} does not exist", mapping.job_id);
                return Err(Error::new(ErrorKind::UndefinedObject, message));
            }
        }
        self.write(Durability::Synced, |transaction| self.save_all(transaction, &before, &after, &touched))?;
        let after = Arc::new(after);
        self.publish(after.clone());
        Ok(after)
    }

    fn save_all(
        &self,
        connection: &Connection,
        before: &Snapshot,
        after: &Snapshot,
        touched: &Touched<'_>,
    ) -> Result<(), Failure> {
        let row_count = connection
            .prepare_cached("UPDATE catalog_state SET version = ?1 WHERE version = ?2")?
            .execute(params![stored_version(after)?, stored_version(before)?])?;
        if row_count != 1 {
            return Err(Failure::Damaged("Another program changed the catalog's version.".to_owned()));
        }
        save(connection, &before.secrets, &after.secrets, &touched.secrets)?;
        save(connection, &before.sources, &after.sources, &touched.sources)?;
        save(connection, &before.sink_tables, &after.sink_tables, &touched.sink_tables)?;
        save(connection, &before.jobs, &after.jobs, &touched.jobs)?;
        save(connection, &before.mappings, &after.mappings, &touched.mappings)?;
        for id in &touched.secrets {
            match after.secrets.get(id) {
                Some(secret) => put_value(connection, self.cipher(), secret, touched.values.get(id).copied())?,
                None => delete_value(connection, *id)?,
            }
        }
        follow_sources(connection, before, after, &touched.sources)?;
        for id in touched.mappings.iter().filter(|id| !after.mappings.contains_key(id)) {
            connection.prepare_cached("DELETE FROM mapping_statistics WHERE mapping_id = ?1")?.execute([id])?;
        }
        Ok(())
    }
}

/// The ids that the changes are about, and the new values of secrets.
#[derive(Default)]
struct Touched<'a> {
    secrets: BTreeSet<i64>,
    sources: BTreeSet<i64>,
    sink_tables: BTreeSet<i64>,
    jobs: BTreeSet<i64>,
    mappings: BTreeSet<i64>,
    values: BTreeMap<i64, &'a SecretText>,
}

impl<'a> Touched<'a> {
    /// Notes one change that is about to be applied to `current`.
    fn note(&mut self, change: &'a Change, current: &Snapshot) {
        match change {
            Change::PutSecret { secret, value } => {
                self.secrets.insert(secret.id);
                if let Some(value) = value {
                    self.values.insert(secret.id, value);
                }
            }
            Change::DeleteSecret(id) => {
                self.secrets.insert(*id);
                self.values.remove(id);
            }
            Change::PutSource(source) => {
                self.sources.insert(source.id);
            }
            Change::DeleteSource(id) => {
                self.sources.insert(*id);
            }
            Change::PutSinkTable(table) => {
                self.sink_tables.insert(table.id);
            }
            Change::DeleteSinkTable(id) => {
                self.sink_tables.insert(*id);
            }
            Change::PutJob(job) => {
                self.jobs.insert(job.id);
            }
            Change::DeleteJob(id) => {
                self.jobs.insert(*id);
                self.mappings.extend(current.mappings_of(*id).map(|mapping| mapping.id));
            }
            Change::PutMapping(mapping) => {
                self.mappings.insert(mapping.id);
            }
            Change::DeleteMapping(id) => {
                self.mappings.insert(*id);
            }
        }
    }
}

/// What is remembered of a source by its name follows a rename, and what was measured goes with a
/// dropped source. Sink traces stay then: they tell what may be left behind there.
fn follow_sources(
    connection: &Connection,
    before: &Snapshot,
    after: &Snapshot,
    ids: &BTreeSet<i64>,
) -> Result<(), Failure> {
    for old in ids.iter().filter(|id| !after.sources.contains_key(id)).filter_map(|id| before.sources.get(id)) {
        connection.execute("DELETE FROM source_checks WHERE source_name = ?1", [&old.name])?;
        connection.execute("DELETE FROM source_health WHERE source_id = ?1", [old.id])?;
    }
    let renamed: Vec<(&str, &str, String)> = ids
        .iter()
        .filter_map(|id| Some((before.sources.get(id)?, after.sources.get(id)?)))
        .filter(|(old, new)| old.name != new.name)
        // A name in between that no statement can give: it begins with a NUL character.
        .map(|(old, new)| (old.name.as_str(), new.name.as_str(), format!("\0{}", old.id)))
        .collect();
    // Two rounds, because sources may swap names.
    let away = renamed.iter().map(|(old, _, between)| (*old, between.as_str()));
    let home = renamed.iter().map(|(_, new, between)| (between.as_str(), *new));
    for (from, to) in away.chain(home) {
        for table in ["source_checks", "sink_traces"] {
            connection.execute(&format!("UPDATE {table} SET source_name = ?2 WHERE source_name = ?1"), [from, to])?;
        }
    }
    Ok(())
}

fn stored_version(snapshot: &Snapshot) -> Result<i64> {
    i64::try_from(snapshot.version).map_err(|_| Error::internal("the catalog's version is out of range"))
}

fn conflict(base_version: u64, current_version: u64) -> Error {
    Error::new(
        ErrorKind::Remote("40001".to_owned()),
        "could not serialize access due to concurrent catalog changes",
    )
    .with_detail(format!(
        "The statement was planned against version {base_version} of the catalog, which is now at version {current_version}."
    ))
    .with_hint("Run the statement again.")
}
