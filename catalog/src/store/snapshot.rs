//! Immutable snapshots of every definition, and the changes that lead from one to the next.

use crate::definition::*;
use crate::name::Path3;
use crate::option::OptionValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every definition at one version. Cheap to clone; never changes once published by the store.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Grows by one with every commit.
    pub version: u64,
    /// Secrets by id, those owned by sources included.
    pub secrets: BTreeMap<i64, Arc<Secret>>,
    /// Sources by id.
    pub sources: BTreeMap<i64, Arc<Source>>,
    /// Sink tables by id.
    pub sink_tables: BTreeMap<i64, Arc<SinkTable>>,
    /// Jobs by id.
    pub jobs: BTreeMap<i64, Arc<Job>>,
    /// Mappings by id.
    pub mappings: BTreeMap<i64, Arc<Mapping>>,
}

/// One change of the definitions. A put inserts or replaces by id.
#[derive(Debug, Clone)]
pub enum Change {
    /// Puts a secret. `value` is the clear text when it is new or changed and the backend is the
    /// store; None keeps the stored value.
    PutSecret { secret: Secret, value: Option<SecretText> },
    /// Deletes a secret and its value.
    DeleteSecret(i64),
    /// Puts a source.
    PutSource(Source),
    /// Deletes a source.
    DeleteSource(i64),
    /// Puts a sink table.
    PutSinkTable(SinkTable),
    /// Deletes a sink table.
    DeleteSinkTable(i64),
    /// Puts a job.
    PutJob(Job),
    /// Deletes a job and its mappings; its runs, errors and events stay until retention ends.
    DeleteJob(i64),
    /// Puts a mapping.
    PutMapping(Mapping),
    /// Deletes a mapping.
    DeleteMapping(i64),
}

/// A secret's clear text: wiped when dropped, never printed.
#[derive(Clone)]
pub struct SecretText(zeroize::Zeroizing<String>);

impl SecretText {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(zeroize::Zeroizing::new(text))
    }
    /// The clear text, for the one place that sends it to a remote.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Snapshot {
    /// The secret of this name that CREATE SECRET made.
    pub fn secret(&self, name: &str) -> Option<&Arc<Secret>> {
        self.secrets.values().find(|s| s.name == name && s.owned_by_source.is_none())
    }
    /// The source of this name.
    pub fn source(&self, name: &str) -> Option<&Arc<Source>> {
        self.sources.values().find(|s| s.name == name)
    }
    /// The sink table of this path.
    pub fn sink_table(&self, path: &Path3) -> Option<&Arc<SinkTable>> {
        self.sink_tables.values().find(|t| &t.path == path)
    }
    /// The job of this name.
    pub fn job(&self, name: &str) -> Option<&Arc<Job>> {
        self.jobs.values().find(|j| j.name == name)
    }
    /// The mappings of a job, by id.
    pub fn mappings_of(&self, job_id: i64) -> impl Iterator<Item = &Arc<Mapping>> {
        self.mappings.values().filter(move |m| m.job_id == job_id)
    }
    /// The sources that use a secret.
    pub fn users_of_secret(&self, secret_id: i64) -> impl Iterator<Item = &Arc<Source>> {
        self.sources
            .values()
            .filter(move |s| s.options.values().any(|v| matches!(v, OptionValue::Secret(id) if *id == secret_id)))
    }
    /// The jobs that read or write a source.
    pub fn users_of_source(&self, name: &str) -> impl Iterator<Item = &Arc<Job>> {
        self.jobs.values().filter(move |j| {
            self.mappings_of(j.id).any(|m| m.sink.source == name || m.source.as_ref().is_some_and(|s| s.source == name))
                || match &j.spec {
                    JobSpec::Sync(SyncSpec { target: SyncTarget::Tables { source, dest, .. }, .. }) => {
                        source == name || dest.source == name
                    }
                    JobSpec::Sync(SyncSpec { target: SyncTarget::Query { sink, .. }, .. }) => sink.source == name,
                }
        })
    }
    /// Applies one change in memory.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::PutSecret { secret, .. } => {
                self.secrets.insert(secret.id, Arc::new(secret.clone()));
            }
            Change::DeleteSecret(id) => {
                self.secrets.remove(id);
            }
            Change::PutSource(source) => {
                self.sources.insert(source.id, Arc::new(source.clone()));
            }
            Change::DeleteSource(id) => {
                self.sources.remove(id);
            }
            Change::PutSinkTable(table) => {
                self.sink_tables.insert(table.id, Arc::new(table.clone()));
            }
            Change::DeleteSinkTable(id) => {
                self.sink_tables.remove(id);
            }
            Change::PutJob(job) => {
                self.jobs.insert(job.id, Arc::new(job.clone()));
            }
            Change::DeleteJob(id) => {
                self.jobs.remove(id);
                self.mappings.retain(|_, m| m.job_id != *id);
            }
            Change::PutMapping(mapping) => {
                self.mappings.insert(mapping.id, Arc::new(mapping.clone()));
            }
            Change::DeleteMapping(id) => {
                self.mappings.remove(id);
            }
        }
    }
}
