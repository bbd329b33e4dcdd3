//! The reading side: one consistent snapshot of several tables, and the stream of changes after it.

use crate::changes::ChangeStream;
use crate::schema::{TableSchema, WIRE_KEY};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use catalog::{Position, Result};
use datafusion::logical_expr::Expr;
use futures::stream::BoxStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How one column is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnFormat {
    /// Decoded into the column's Arrow type.
    Arrow,
    /// Kept as the source's wire bytes: a Binary column with [`WIRE_KEY`]. For columns that are
    /// only passed on to a sink of the same family.
    Wire,
    /// The source's own text form: a Utf8 column with the type's name in its metadata. Exact for
    /// every type; for sinks of the same family that load text.
    Text,
}

/// The byte format of a pass-through: what one side sends, the other must take unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RawFormat {
    /// Names family and encoding: `postgres.copy_binary`, `postgres.copy_text`.
    pub name: String,
    /// The sink's columns must have exactly these types, in this order, for the bytes to mean the
    /// same there.
    pub column_types: Vec<String>,
}

/// What is read of one table.
#[derive(Debug, Clone)]
pub struct TableRead {
    /// The table.
    pub table: Arc<TableSchema>,
    /// Indexes of the columns, in output order.
    pub columns: Vec<usize>,
    /// A format for each of `columns`.
    pub formats: Vec<ColumnFormat>,
    /// Conditions in the source's own language, as [`Source::push_filter`] made them; all must hold.
    pub filters: Vec<String>,
    /// At most this many rows (over all splits each split may give that many).
    pub limit: Option<u64>,
    /// Counts what is read, for progress.
    pub progress: Arc<ReadProgress>,
}

impl TableRead {
    /// All columns as Arrow, no filter.
    pub fn all(table: Arc<TableSchema>) -> Self {
        let columns: Vec<usize> = (0..table.columns.len()).collect();
        let formats = vec![ColumnFormat::Arrow; columns.len()];
        Self { table, columns, formats, filters: vec![], limit: None, progress: Arc::default() }
    }
    /// The Arrow schema of the batches that this read gives. The wire encoding's name is filled in
    /// by the connector's own [`Source::wire_encoding`].
    pub fn schema(&self, source: &dyn Source) -> SchemaRef {
        let fields = self.columns.iter().zip(&self.formats).map(|(&index, format)| {
            let column = &self.table.columns[index];
            match format {
                ColumnFormat::Arrow => column.field.clone(),
                ColumnFormat::Text => Field::new(&column.name, DataType::Utf8, column.is_nullable)
                    .with_metadata(column.field.metadata().clone()),
                ColumnFormat::Wire => {
                    let mut metadata = column.field.metadata().clone();
                    metadata.insert(WIRE_KEY.to_owned(), source.wire_encoding(&self.table, index).unwrap_or_default());
                    Field::new(&column.name, DataType::Binary, column.is_nullable).with_metadata(metadata)
                }
            }
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

/// Live counters of one read; all relaxed, for display.
#[derive(Debug, Default)]
pub struct ReadProgress {
    /// Rows that have left the source.
    pub rows: AtomicU64,
    /// Bytes that have left the source, as sent by it.
    pub bytes: AtomicU64,
    /// Splits in all; 0 until known.
    pub splits_total: AtomicU64,
    /// Splits finished.
    pub splits_done: AtomicU64,
}

impl ReadProgress {
    /// Counts rows and bytes.
    pub fn add(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// One part of a table. Splits of one table neither overlap nor leave gaps.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Split {
    /// From 0.
    pub index: usize,
    /// The part in the source's own words (`ctid >= '(0,0)' and ctid < '(8192,0)'`); shown by EXPLAIN.
    pub description: String,
    /// What the connector needs to read it; opaque to everybody else.
    pub payload: Vec<u8>,
}

/// How finely to split.
#[derive(Debug, Clone, Copy)]
pub struct SplitGoal {
    /// At most this many splits.
    pub splits_max: usize,
    /// A split should not be smaller than this many rows.
    pub rows_min: u64,
}

/// The tables of a snapshot and how it is to be taken.
#[derive(Debug, Clone)]
pub struct SnapshotRequest {
    /// The tables that will be read; the connector may refuse those that it cannot read whole
    /// (row-level security) here, before any row is read.
    pub tables: Vec<Arc<TableSchema>>,
    /// Most connections that the snapshot may hold at once.
    pub connections_max: usize,
}

/// Whether the source evaluates a filter, and its text there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterPushdown {
    /// The source drops exactly the rows that the expression drops.
    Exact(String),
    /// The source drops some of them; the expression is evaluated again.
    Inexact(String),
    /// Not evaluated by the source.
    Unsupported,
}

/// A batch stream of one split.
pub type BatchStream = BoxStream<'static, Result<RecordBatch>>;

/// One piece of raw rows: whole rows only.
#[derive(Debug, Clone)]
pub struct RawChunk {
    /// Rows in the raw format, without header or trailer.
    pub bytes: Bytes,
    /// How many rows.
    pub rows: u64,
}

/// A raw stream of one split.
pub type RawStream = BoxStream<'static, Result<RawChunk>>;

/// The reading side of a source. Made without a connection; every method connects as it needs.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Opens one snapshot at which all requested tables are consistent with each other, where the
    /// system can do that; [`Snapshot::position`] says at which position.
    ///
    /// May be called again: every call is a new snapshot. Nothing durable is made on the source.
    async fn open_snapshot(&self, request: SnapshotRequest) -> Result<Arc<dyn Snapshot>>;

    /// The changes of these tables after `from`, in the source's commit order.
    ///
    /// Every committed change after `from` arrives at least once, none before it; `Commit` events
    /// carry the position to resume from. The stream answers keepalives by itself and never waits
    /// for a sink to do so. A connector without capture answers 0A000.
    async fn changes(&self, tables: &[Arc<TableSchema>], from: &Position) -> Result<ChangeStream>;

    /// Tells the source that everything up to and including `upto` is durable in the sink, so that
    /// it may forget it. Monotonic; called after durability only.
    async fn acknowledge(&self, upto: &Position) -> Result<()>;

    /// Removes everything that this source made on the remote system for the job. Idempotent.
    async fn release(&self) -> Result<()>;

    /// How much of a filter the source evaluates by itself. Pure. A filter is `Exact` only where
    /// the source's semantics are ours to the last value (collation, time zone, float and numeric
    /// rules included).
    fn push_filter(&self, table: &TableSchema, filter: &Expr) -> FilterPushdown;

    /// The name of a column's wire encoding, when [`ColumnFormat::Wire`] is possible for it and
    /// means the same on any server of the family.
    fn wire_encoding(&self, table: &TableSchema, column: usize) -> Option<String>;

    /// The raw formats in which these columns can leave unparsed, best first; empty when none.
    fn raw_formats(&self, read: &TableRead) -> Vec<RawFormat>;
}

/// An open snapshot. Dropping it ends its connections.
///
/// `splits`, `read` and `read_raw` may be called concurrently for any tables of the request. If the
/// snapshot is lost (its connection died), every later call fails with a retryable error; nothing
/// that was read before becomes wrong.
#[async_trait]
pub trait Snapshot: Send + Sync + 'static {
    /// Where in the source's log it stands; the changes to continue with start after it.
    fn position(&self) -> &Position;
    /// Cuts a table for parallel reading; at least one split, also for an empty table.
    async fn splits(&self, read: &TableRead, goal: SplitGoal) -> Result<Vec<Split>>;
    /// Reads one split as batches whose schema is `read.schema(source)`. Batches are bounded in
    /// rows and bytes. Rows come in any order. Dropping the stream stops the read at the source.
    async fn read(&self, read: &TableRead, split: &Split) -> Result<BatchStream>;
    /// Reads one split as raw bytes in a format that [`Source::raw_formats`] offered.
    async fn read_raw(&self, read: &TableRead, split: &Split, format: &RawFormat) -> Result<RawStream>;
}
