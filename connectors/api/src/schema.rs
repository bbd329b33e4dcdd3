//! The structure of a remote table as discovery finds it.

use arrow::datatypes::{Field, Schema, SchemaRef};
use catalog::TableName;
use std::sync::Arc;

/// Arrow field metadata: the column's type in its source's own words (`numeric(10,2)`, `hstore`).
/// Always present on the fields of [`TableSchema`].
pub const TYPE_KEY: &str = "tidegate.type";

/// Arrow field metadata: the column travels as the source's wire bytes in a Binary column. The
/// value names the encoding, for example `postgres.binary:1700` (type oid). Only a sink of the same
/// family can take it, and no expression may touch it.
pub const WIRE_KEY: &str = "tidegate.wire";

/// What kind of relation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// An ordinary table, also a partition.
    Table,
    /// The root of a partition tree.
    Partitioned,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A foreign table.
    Foreign,
    /// Files in a folder.
    Files,
    /// Generated rows.
    Generated,
}

impl TableKind {
    /// As users read it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Partitioned => "partitioned table",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
            Self::Foreign => "foreign table",
            Self::Files => "files",
            Self::Generated => "generated",
        }
    }
}

/// One column.
#[derive(Debug, Clone)]
pub struct ColumnSchema {
    /// Exact name.
    pub name: String,
    /// Type in the source's own words, with modifiers.
    pub data_type: String,
    /// The Arrow field that reading gives by default ([`crate::ColumnFormat::Arrow`]), with
    /// [`TYPE_KEY`] in its metadata. Exact: a type without an Arrow twin is Utf8 (its text form).
    pub field: Field,
    /// Whether NULL may occur.
    pub is_nullable: bool,
    /// Whether the source computes it (a sink of the same kind must not be given values for it
    /// when it computes it too).
    pub is_generated: bool,
    /// DEFAULT expression in the source's own words.
    pub default_expr: Option<String>,
    /// The source's comment.
    pub comment: Option<String>,
}

/// One table, complete.
#[derive(Debug, Clone)]
pub struct TableSchema {
    /// Exact name.
    pub name: TableName,
    /// Kind.
    pub kind: TableKind,
    /// Columns in order.
    pub columns: Vec<ColumnSchema>,
    /// Primary key columns in key order; empty when there is none.
    pub primary_key: Vec<String>,
    /// Not-null unique keys other than the primary key.
    pub unique_keys: Vec<Vec<String>>,
    /// Estimated rows; None when the source does not know.
    pub rows_estimate: Option<u64>,
    /// Estimated bytes on the source's disk; None when it does not know.
    pub bytes_estimate: Option<u64>,
    /// The source's comment.
    pub comment: Option<String>,
}

impl TableSchema {
    /// The index of a column by exact name.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }
    /// The Arrow schema that reading all columns gives by default.
    pub fn arrow_schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.iter().map(|c| c.field.clone()).collect::<Vec<_>>()))
    }
    /// The key that identifies a row: the primary key, else the first not-null unique key.
    pub fn row_key(&self) -> &[String] {
        if !self.primary_key.is_empty() {
            &self.primary_key
        } else {
            self.unique_keys.first().map(Vec::as_slice).unwrap_or(&[])
        }
    }
}
