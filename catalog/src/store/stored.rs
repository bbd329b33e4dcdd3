//! How definitions lie in the file: one row per object, the whole of it as JSON beside its id and
//! what must be unique of it.

use super::failure::Failure;
use super::snapshot::Snapshot;
use crate::definition::{Job, Mapping, Secret, SinkTable, Source};
use crate::error::{Error, ErrorKind};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A kind of definition that the store keeps.
pub(super) trait Stored: Serialize + DeserializeOwned {
    /// The word for one of them in messages.
    const NOUN: &'static str;
    /// Its table, with the columns id, body and [`Stored::KEY`].
    const TABLE: &'static str;
    /// The columns beside id and body.
    const KEY: &'static [&'static str];
    /// The object's id.
    fn id(&self) -> i64;
    /// The values of [`Stored::KEY`].
    fn key(&self) -> Vec<Value>;
    /// Its name in messages.
    fn name(&self) -> String;
}

impl Stored for Secret {
    const NOUN: &'static str = "secret";
    const TABLE: &'static str = "secrets";
    const KEY: &'static [&'static str] = &["name", "owned_by_source"];
    fn id(&self) -> i64 {
        self.id
    }
    fn key(&self) -> Vec<Value> {
        vec![self.name.clone().into(), self.owned_by_source.into()]
    }
    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Stored for Source {
    const NOUN: &'static str = "source";
    const TABLE: &'static str = "sources";
    const KEY: &'static [&'static str] = &["name"];
    fn id(&self) -> i64 {
        self.id
    }
    fn key(&self) -> Vec<Value> {
        vec![self.name.clone().into()]
    }
    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Stored for SinkTable {
    const NOUN: &'static str = "sink table";
    const TABLE: &'static str = "sink_tables";
    const KEY: &'static [&'static str] = &["source_name", "schema_name", "table_name"];
    fn id(&self) -> i64 {
        self.id
    }
    fn key(&self) -> Vec<Value> {
        vec![self.path.source.clone().into(), self.path.name.schema.clone().into(), self.path.name.table.clone().into()]
    }
    fn name(&self) -> String {
        format!("{}.{}.{}", self.path.source, self.path.name.schema, self.path.name.table)
    }
}

impl Stored for Job {
    const NOUN: &'static str = "job";
    const TABLE: &'static str = "jobs";
    const KEY: &'static [&'static str] = &["name"];
    fn id(&self) -> i64 {
        self.id
    }
    fn key(&self) -> Vec<Value> {
        vec![self.name.clone().into()]
    }
    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Stored for Mapping {
    const NOUN: &'static str = "mapping";
    const TABLE: &'static str = "mappings";
    const KEY: &'static [&'static str] = &["job_id"];
    fn id(&self) -> i64 {
        self.id
    }
    fn key(&self) -> Vec<Value> {
        vec![self.job_id.into()]
    }
    fn name(&self) -> String {
        self.sink.to_string()
    }
}

/// Every definition in the file.
pub(super) fn load_snapshot(connection: &Connection) -> Result<Snapshot, Failure> {
    let version: i64 = connection.query_row("SELECT version FROM catalog_state", [], |row| row.get(0))?;
    Ok(Snapshot {
        version: u64::try_from(version).map_err(|_| Failure::Damaged("The catalog's version is negative.".into()))?,
        secrets: load(connection)?,
        sources: load(connection)?,
        sink_tables: load(connection)?,
        jobs: load(connection)?,
        mappings: load(connection)?,
    })
}

/// Brings the rows of these ids from how the objects were to how they are. What is gone or has
/// another key is deleted first, so that objects may take over each other's names in one commit.
/// A name that is taken is 42710.
pub(super) fn save<T: Stored>(
    connection: &Connection,
    before: &BTreeMap<i64, Arc<T>>,
    after: &BTreeMap<i64, Arc<T>>,
    ids: &BTreeSet<i64>,
) -> Result<(), Failure> {
    let delete = format!("DELETE FROM {} WHERE id = ?1", T::TABLE);
    for id in ids {
        let is_same_key = match (before.get(id), after.get(id)) {
            (Some(old), Some(new)) => old.key() == new.key(),
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if !is_same_key {
            connection.prepare_cached(&delete)?.execute([id])?;
        }
    }
    let columns = T::KEY.join(", ");
    let values: String = (3..3 + T::KEY.len()).map(|i| format!(", ?{i}")).collect();
    let put = format!(
        "INSERT INTO {} (id, body, {columns}) VALUES (?1, ?2{values}) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
        T::TABLE
    );
    for object in ids.iter().filter_map(|id| after.get(id)) {
        let body = to_json(object.as_ref())?;
        let row = [Value::from(object.id()), Value::from(body)].into_iter().chain(object.key());
        let put = connection.prepare_cached(&put)?.execute(params_from_iter(row)).map_err(Failure::from);
        match put {
            Ok(_) => {}
            Err(failure) if failure.is_unique_violation() => {
                let message = format!("{} \"{}\" already exists", T::NOUN, object.name());
                return Err(Error::new(ErrorKind::DuplicateObject, message).into());
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// The JSON of a body. The types that are stored have nothing that JSON cannot hold.
pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value)
        .map_err(|error| Error::internal("a definition has no JSON form").with_source(error).into())
}

/// Reads a body that [`to_json`] wrote.
pub(super) fn from_json<T: DeserializeOwned>(table: &str, id: i64, body: &str) -> Result<T, Failure> {
    serde_json::from_str(body).map_err(|error| Failure::unreadable(table, id, &error))
}

fn load<T: Stored>(connection: &Connection) -> Result<BTreeMap<i64, Arc<T>>, Failure> {
    let mut statement = connection.prepare(&format!("SELECT id, body FROM {}", T::TABLE))?;
    let mut rows = statement.query([])?;
    let mut objects = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (id, body): (i64, String) = (row.get(0)?, row.get(1)?);
        objects.insert(id, Arc::new(from_json(T::TABLE, id, &body)?));
    }
    Ok(objects)
}
