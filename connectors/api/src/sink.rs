//! The writing side: a table is planned without touching anything, written, and committed with its
//! position in one go.

use crate::source::{RawChunk, RawFormat};
use arrow::datatypes::{Field, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use catalog::definition::{AddedColumn, SinkShape};
use catalog::{CreationMethod, ErrorKind, Position, Result, TableName, WriteMode};
use std::collections::BTreeMap;

/// What a sink promises when something dies between write and acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryGuarantee {
    /// Data and position commit together: nothing is lost and nothing is applied twice.
    ExactlyOnce,
    /// Nothing is lost; something may be applied twice.
    AtLeastOnce,
}

/// One column that will arrive.
#[derive(Debug, Clone)]
pub struct TargetColumn {
    /// Name in the sink.
    pub name: String,
    /// What arrives: the Arrow field with its metadata ([`crate::TYPE_KEY`], [`crate::WIRE_KEY`]).
    pub field: Field,
    /// The type in the source's own words, when it is a plain column.
    pub source_type: Option<String>,
    /// The source's connector name, when it is a plain column: a sink of the same family creates
    /// the same type.
    pub source_family: Option<String>,
    /// Whether NULL may arrive.
    pub is_nullable: bool,
    /// The source's comment.
    pub comment: Option<String>,
}

/// How the table comes to be when it is absent.
#[derive(Debug, Clone)]
pub enum TableCreation {
    /// Made from what arrives.
    Auto,
    /// As CREATE SINK TABLE said, with its ADD COLUMNS.
    Shape { shape: SinkShape, added_columns: Vec<AddedColumn> },
    /// It must be there.
    MustExist,
}

/// What is to be written, as far as the structure goes.
#[derive(Debug, Clone)]
pub struct TableTarget {
    /// Schema and table in the sink.
    pub name: TableName,
    /// What will arrive, in order.
    pub columns: Vec<TargetColumn>,
    /// The key asked for (KEY or the source's key, in sink names); empty when there is none.
    pub key: Vec<String>,
    /// Whether `key` is the source's primary key (else it was written in KEY or is a unique key).
    pub key_is_primary: bool,
    /// Write mode.
    pub mode: WriteMode,
    /// How it comes to be.
    pub creation: TableCreation,
    /// The job's and the sink table's options, merged (on_exists, auto_create, case, ...), as text.
    pub options: BTreeMap<String, String>,
    /// The source's comment on the table.
    pub comment: Option<String>,
}

/// A column of the sink table and what arrives for it.
#[derive(Debug, Clone)]
pub struct SinkColumn {
    /// Name in the sink.
    pub name: String,
    /// Type in the sink's own words.
    pub data_type: String,
    /// Whether it is part of the key in use.
    pub is_key: bool,
    /// Whether values may lose something in it.
    pub is_lossy: bool,
}

/// One reason why an existing table does not fit.
#[derive(Debug, Clone)]
pub struct Misfit {
    /// What kind of reason it is: `TypeMismatch` for the structure, `Privilege` for a missing right.
    pub kind: ErrorKind,
    /// The column, when it is about one.
    pub column: Option<String>,
    /// A full sentence: `Column "amount" is integer in the sink and numeric(10,2) arrives.`
    pub message: String,
}

/// What writing would do, found without touching anything.
#[derive(Debug, Clone)]
pub struct TablePlan {
    /// Existing or auto.
    pub creation_method: CreationMethod,
    /// Statements that will run first, in the sink's own words; shown by EXPLAIN (DDL).
    pub ddl: Vec<String>,
    /// Statements that will run after the load (keys, indexes), before the commit.
    pub ddl_after: Vec<String>,
    /// The sink's columns for what arrives, in arrival order.
    pub columns: Vec<SinkColumn>,
    /// The key in use; empty when there is none.
    pub key: Vec<String>,
    /// Every reason why it cannot be written; empty when it can.
    pub misfits: Vec<Misfit>,
    /// Raw formats that can be loaded unchanged; [`RawFormat::column_types`] are the sink's types.
    pub raw_formats: Vec<RawFormat>,
    /// Wire encodings (values of [`crate::WIRE_KEY`]) that each column can take as bytes; empty
    /// for a column that takes none.
    pub wire_encodings: Vec<Option<String>>,
    /// For each column, whether it must arrive as the source's text ([`crate::ColumnFormat::Text`]).
    pub needs_text: Vec<bool>,
}

/// What identifies one table's share of one run, on the sink's side. Stored with the data.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommitKey {
    /// The gateway (its store's id), so that two gateways never mix.
    pub gateway_id: String,
    /// The job.
    pub job_id: i64,
    /// The mapping.
    pub mapping_id: i64,
    /// The run.
    pub run_id: i64,
}

/// In what form rows are given to a writer.
#[derive(Debug, Clone)]
pub enum WriteInput {
    /// Batches of this schema; fields carry [`crate::WIRE_KEY`] where wire bytes are passed on.
    Arrow(SchemaRef),
    /// Raw rows.
    Raw(RawFormat),
}

/// One table's write in one run.
#[derive(Debug, Clone)]
pub struct TableWrite {
    /// Structure.
    pub target: TableTarget,
    /// As planned.
    pub plan: TablePlan,
    /// What rows come as.
    pub input: WriteInput,
    /// Identity of the write.
    pub commit_key: CommitKey,
    /// Rows expected; None when unknown.
    pub rows_estimate: Option<u64>,
    /// Whether the caller may go on after an error about a row (ON ERROR SKIP). Then a failed
    /// `write` must leave nothing of its batch and the write open, so that the caller can halve the
    /// batch until it has found the bad rows. False allows the fastest path.
    pub tolerates_bad_rows: bool,
}

/// What happened to a write call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// The sink has it; it is not durable yet and nobody else sees it.
    Accepted { rows: u64, bytes: u64 },
    /// It is durable and visible already (sinks without transactions).
    Durable { rows: u64, bytes: u64 },
}

/// What a commit made durable.
#[derive(Debug, Clone, Default)]
pub struct CommitSummary {
    /// Rows now durable.
    pub rows_written: u64,
    /// Bytes sent to the sink or stored in it.
    pub bytes_written: u64,
    /// What was done, in words, for the step's detail.
    pub detail: Option<String>,
}

/// The writing side of a source. Made without a connection.
///
/// All methods may be called concurrently for different tables.
#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// What it promises.
    fn guarantee(&self) -> DeliveryGuarantee;

    /// Compares what will arrive with what is there. Read only; may be called again.
    async fn plan_table(&self, target: &TableTarget) -> Result<TablePlan>;

    /// Starts one table's write. Readers of the table see nothing of it until
    /// [`TableWriter::commit`] returns, and then all of it.
    ///
    /// If the sink has to leave something outside a transaction meanwhile (a staging folder), it is
    /// named after the commit key, so that [`Sink::clean_up`] finds it.
    async fn open(&self, write: TableWrite) -> Result<Box<dyn TableWriter>>;

    /// The sink's own memory: the position committed under this key, when that commit happened.
    /// It wins over the catalog's memory. None: the write did not commit.
    async fn recovered_position(&self, key: &CommitKey, table: &TableName) -> Result<Option<String>>;

    /// Removes what a dead write of this key left behind. Idempotent; answers what was removed.
    async fn clean_up(&self, key: &CommitKey, table: &TableName) -> Result<Vec<String>>;

    /// Forgets the positions of a job that is dropped, and with `tables` drops those tables
    /// (DROP .. INCLUDING REMOTE TABLE). Idempotent.
    async fn forget(&self, gateway_id: &str, job_id: Option<i64>, drop_tables: &[TableName]) -> Result<()>;
}

/// One table's open write. Used by one task at a time. Dropping it without commit is an abort.
#[async_trait]
pub trait TableWriter: Send {
    /// Takes a batch of the agreed schema. On an error nothing of the batch is kept for a caller
    /// that goes on (a bad row is named by the error's column and row key), unless the error is
    /// not about a row: then only `abort` may follow.
    async fn write(&mut self, batch: RecordBatch) -> Result<Accepted>;
    /// Takes raw rows of the agreed format.
    async fn write_raw(&mut self, chunk: RawChunk) -> Result<Accepted>;
    /// Builds keys and indexes, then makes rows and position durable and visible together.
    async fn commit(self: Box<Self>, position: &Position) -> Result<CommitSummary>;
    /// Gives everything up; nothing stays behind.
    async fn abort(self: Box<Self>) -> Result<()>;
}
