//! Definitions: what statements create. Each is stored whole and shown by system tables.
//!
//! Ids are never reused. Names are unique per kind. `definition` is the statement that makes the
//! object again, with secrets masked; `definition_hash` is the hash of its structure.

use crate::name::{Path3, TableName};
use crate::option::OptionMap;
use crate::state::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Microseconds since 1970-01-01 UTC.
pub type Timestamp = i64;

/// The wall clock, in microseconds since 1970-01-01 UTC. It may step back when somebody sets it.
pub fn now() -> Timestamp {
    let micros = match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
        Ok(since) => i128::try_from(since.as_micros()).unwrap_or(i128::MAX),
        Err(before) => -i128::try_from(before.duration().as_micros()).unwrap_or(i128::MAX),
    };
    Timestamp::try_from(micros).unwrap_or(Timestamp::MAX)
}

/// Where a secret's value comes from. The value itself is only in the encrypted store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "backend", rename_all = "snake_case")]
pub enum SecretBackend {
    /// The value was given and is stored encrypted.
    Store,
    /// Read from this environment variable whenever it is used.
    Env { variable: String },
    /// Read from this file whenever it is used (one trailing line end is dropped).
    File { path: String },
}

/// A named value that can be used and never read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Never reused.
    pub id: i64,
    /// Unique among secrets. A secret made from a literal option is named `source.option`.
    pub name: String,
    /// Where the value comes from.
    pub backend: SecretBackend,
    /// Grows with every ALTER.
    pub version: i32,
    /// The source whose literal option made it; None for a secret made by CREATE SECRET.
    pub owned_by_source: Option<i64>,
    /// Owner role.
    pub owner: String,
    /// COMMENT.
    pub comment: Option<String>,
    /// When created.
    pub created_at: Timestamp,
    /// When last altered.
    pub altered_at: Timestamp,
}

/// A data source, in both directions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Never reused.
    pub id: i64,
    /// Unique among sources.
    pub name: String,
    /// Connector name: `postgres`, `files`, `sample`.
    pub source_type: String,
    /// Options as given (canonical text; secrets as references).
    pub options: OptionMap,
    /// Owner role.
    pub owner: String,
    /// COMMENT.
    pub comment: Option<String>,
    /// When created.
    pub created_at: Timestamp,
    /// When last altered.
    pub altered_at: Timestamp,
}

/// One column of a sink table, or one that is added to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDef {
    /// Name.
    pub name: String,
    /// Type in SQL, as written.
    pub data_type: String,
    /// Whether NULL is allowed.
    pub is_nullable: bool,
    /// DEFAULT expression as SQL text.
    pub default_expr: Option<String>,
}

/// A column whose value is an expression: ADD COLUMNS (name type = expr).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedColumn {
    /// Name.
    pub name: String,
    /// Type in SQL, as written.
    pub data_type: String,
    /// Expression as SQL text.
    pub expr: String,
}

/// How a sink table's shape is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SinkShape {
    /// Columns, key and indexes written out.
    Explicit {
        columns: Vec<ColumnDef>,
        primary_key: Vec<String>,
        /// (name, columns)
        indexes: Vec<(String, Vec<String>)>,
    },
    /// LIKE another table, less some columns.
    Like { path: Path3, exclude: Vec<String> },
    /// USING DDL: this text is run on the sink as it is.
    Ddl { text: String },
    /// EXISTING: the table must be there.
    Existing,
    /// No shape was written: as what arrives.
    Inferred,
}

impl SinkShape {
    /// The word of `tidegate.tables.shape`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Explicit { .. } => "explicit",
            Self::Like { .. } => "like",
            Self::Ddl { .. } => "ddl",
            Self::Existing => "existing",
            Self::Inferred => "inferred",
        }
    }
}

/// A table that jobs write into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkTable {
    /// Never reused.
    pub id: i64,
    /// `source.schema.table`; unique. The source part is kept by name and follows renames.
    pub path: Path3,
    /// Shape.
    pub shape: SinkShape,
    /// ADD COLUMNS.
    pub added_columns: Vec<AddedColumn>,
    /// PARTITION BY items as SQL text.
    pub partition_by: Vec<String>,
    /// PROPERTIES.
    pub properties: BTreeMap<String, String>,
    /// WITH options.
    pub options: OptionMap,
    /// Owner role.
    pub owner: String,
    /// COMMENT.
    pub comment: Option<String>,
    /// When created.
    pub created_at: Timestamp,
    /// When last altered.
    pub altered_at: Timestamp,
}

/// One item of TABLES (..) or EXCEPT (..).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TableItem {
    /// `schema.table [(c,...)] [WHERE (expr)] [AS schema.table]`
    Table {
        name: TableName,
        /// Empty: all columns.
        columns: Vec<String>,
        /// Filter as SQL text.
        filter: Option<String>,
        /// Sink name, when another.
        rename: Option<TableName>,
    },
    /// `MATCHING ('schema_re', 'table_re')`, both anchored.
    Matching { schema: String, table: String },
}

/// FOR ...
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Selection {
    /// ALL TABLES
    AllTables,
    /// TABLES IN SCHEMA a, b
    Schemas { schemas: Vec<String> },
    /// TABLES (..)
    Tables { items: Vec<TableItem> },
}

/// INTO d[.schema] of a many-table job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkDest {
    /// Sink source name.
    pub source: String,
    /// All tables into this schema; None keeps each table's schema name.
    pub schema: Option<String>,
}

/// The two forms of a sync job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SyncTarget {
    /// INTO path [(c,...)] .. AS query
    Query {
        sink: Path3,
        /// Empty: by name.
        columns: Vec<String>,
        /// The query as SQL text.
        query: String,
    },
    /// FROM source FOR selection EXCEPT (..) INTO dest
    Tables { source: String, selection: Selection, except: Vec<TableItem>, dest: SinkDest },
}

/// ON ERROR ...
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OnError {
    /// The table fails at the first bad row.
    Stop,
    /// Bad rows are counted, recorded and left out, at most `limit` per run and table.
    Skip { limit: Option<u64> },
}

/// The structure of a sync job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncSpec {
    /// What moves where.
    pub target: SyncTarget,
    /// MODE.
    pub mode: Mode,
    /// WRITE; None: upsert where a key is known, else it must be written.
    pub write: Option<WriteMode>,
    /// WRITE .. KEY (..)
    pub key: Vec<String>,
    /// ON ERROR.
    pub on_error: OnError,
}

/// What a job does, per kind. VERIFY, CLEANUP and DDL jobs are not built yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobSpec {
    /// CREATE SYNC JOB
    Sync(SyncSpec),
}

impl JobSpec {
    /// The kind.
    pub fn kind(&self) -> JobKind {
        match self {
            Self::Sync(_) => JobKind::Sync,
        }
    }
}

/// A job: its definition and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Never reused.
    pub id: i64,
    /// Unique among jobs of all kinds.
    pub name: String,
    /// What it does.
    pub spec: JobSpec,
    /// WITH options.
    pub options: OptionMap,
    /// What was asked for.
    pub desired_state: DesiredState,
    /// What it is; written by the runtime only.
    pub state: JobState,
    /// Which part of its work it is in; written by the runtime only.
    pub phase: JobPhase,
    /// When `state` last changed.
    pub state_changed_at: Timestamp,
    /// Grows with every ALTER of the definition.
    pub definition_version: i32,
    /// How often the runtime started it again by itself.
    pub restart_count: i64,
    /// The run that is going on.
    pub current_run_id: Option<i64>,
    /// The last error of the job.
    pub last_error_id: Option<i64>,
    /// Owner role.
    pub owner: String,
    /// COMMENT.
    pub comment: Option<String>,
    /// When created.
    pub created_at: Timestamp,
    /// When last altered.
    pub altered_at: Timestamp,
}

/// One column of a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingColumn {
    /// Source column; None for an expression.
    pub source_column: Option<String>,
    /// Its type in the source's words.
    pub source_type: Option<String>,
    /// The expression as SQL text, when it is one.
    pub expression: Option<String>,
    /// Sink column.
    pub sink_column: String,
    /// Its type in the sink's words.
    pub sink_type: Option<String>,
    /// Whether it is part of the key.
    pub is_key: bool,
    /// Whether values may lose something on the way.
    pub is_lossy: bool,
}

/// One source table (or query) of a job and the sink table that it fills (`tidegate.job_tables`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Never reused.
    pub id: i64,
    /// The job.
    pub job_id: i64,
    /// What is read; None when a query reads from no table or several.
    pub source: Option<Path3>,
    /// What is written.
    pub sink: Path3,
    /// Chosen source columns; empty: all.
    pub columns: Vec<String>,
    /// Filter as SQL text.
    pub filter: Option<String>,
    /// Structure status.
    pub status: MappingStatus,
    /// Why, for alerting, failed and abnormal.
    pub detail: Option<String>,
    /// How the sink table comes to be; None until known.
    pub creation_method: Option<CreationMethod>,
    /// Where it is in its life.
    pub state: MappingState,
    /// When `state` last changed.
    pub state_changed_at: Timestamp,
    /// The key in use; empty when there is none or it is not known yet.
    pub key_columns: Vec<String>,
    /// The write mode in use; None until known.
    pub write_mode: Option<WriteMode>,
    /// Position of the snapshot that filled it, in the source's notation.
    pub snapshot_position: Option<String>,
    /// Columns, when known (`tidegate.job_columns`).
    pub column_map: Vec<MappingColumn>,
    /// The last error.
    pub last_error_id: Option<i64>,
    /// Its message.
    pub last_error: Option<String>,
    /// `create`, `alter` or `ddl_event`.
    pub added_by: String,
    /// When created.
    pub created_at: Timestamp,
}
