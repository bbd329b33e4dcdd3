//! The change model: what a source's log becomes on the way to a sink.

use arrow::record_batch::RecordBatch;
use catalog::{Position, Result, TableName};
use futures::stream::BoxStream;

/// One event of a source's log, in commit order. A closed set: match it without a wildcard.
#[derive(Debug, Clone)]
pub enum ChangeEvent {
    /// A source transaction begins; its rows follow until `Commit`.
    Begin {
        /// The source's transaction id, when it has one.
        transaction_id: Option<u64>,
        /// Commit time, microseconds since 1970-01-01 UTC.
        commit_at: Option<i64>,
    },
    /// Changed rows of one table.
    Rows(ChangeBatch),
    /// The structure of a table is another one from here on. A barrier for that table.
    SchemaChange {
        /// The table.
        table: TableName,
        /// The new version; batches refer to it.
        schema_version: u64,
        /// The statement, where the source's log has it.
        ddl: Option<String>,
    },
    /// All rows of these tables are gone. A barrier for those tables.
    Truncate {
        /// The tables, emptied together.
        tables: Vec<TableName>,
    },
    /// The transaction is complete. `position` resumes after it.
    Commit {
        /// Where to resume.
        position: Position,
    },
    /// Nothing happened up to here: proof of being caught up.
    Heartbeat {
        /// Everything before it has been delivered.
        position: Position,
        /// The source's clock, microseconds since 1970-01-01 UTC.
        at: i64,
    },
}

/// What happened to one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ChangeOp {
    /// A new row.
    Insert = b'I',
    /// New values for a row.
    Update = b'U',
    /// The row is gone.
    Delete = b'D',
}

/// Changed rows of one table in log order, as Arrow.
#[derive(Debug, Clone)]
pub struct ChangeBatch {
    /// The table.
    pub table: TableName,
    /// The structure that the rows have.
    pub schema_version: u64,
    /// One operation per row.
    pub ops: Vec<ChangeOp>,
    /// After image of inserts and updates; for a delete, the identity columns and NULL elsewhere.
    pub rows: RecordBatch,
    /// Identity before the change, one row per row of `rows`, where any update changed it; rows
    /// whose identity did not change are NULL throughout.
    pub old_keys: Option<RecordBatch>,
    /// For each row, which columns were left unchanged and not sent (bit i of row r at
    /// `r * columns + i`); None when every value is there. An unchanged value is not NULL.
    pub unchanged: Option<Vec<bool>>,
}

/// The stream of [`crate::Source::changes`].
pub type ChangeStream = BoxStream<'static, Result<ChangeEvent>>;
