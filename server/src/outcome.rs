//! What a statement gives back, independent of the wire.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field};
use catalog::{Error, Result};
use futures::stream::BoxStream;

/// A message to the client while or after a statement runs; never an error.
#[derive(Debug, Clone)]
pub struct Notice {
    /// `NOTICE`, `WARNING` or `INFO`.
    pub severity: &'static str,
    /// SQLSTATE, `00000` for plain notices.
    pub code: String,
    /// Message, in the style of errors.
    pub message: String,
    /// Full sentences.
    pub detail: Option<String>,
    /// One action.
    pub hint: Option<String>,
}

impl Notice {
    /// A plain NOTICE.
    pub fn new(message: impl Into<String>) -> Self {
        Self { severity: "NOTICE", code: "00000".into(), message: message.into(), detail: None, hint: None }
    }
    /// A WARNING (01000).
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: "WARNING", code: "01000".into(), ..Self::new(message) }
    }
    /// With another SQLSTATE.
    pub fn with_code(mut self, code: &str) -> Self {
        self.code = code.into();
        self
    }
    /// With a DETAIL.
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
    /// With a HINT.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// One column of a result as the client is told of it.
#[derive(Debug, Clone)]
pub struct OutputColumn {
    /// The name that PostgreSQL would give (`?column?`, `count`).
    pub name: String,
    /// The Arrow type of the values; metadata of [`OutputColumn::field`] may say more (uuid, json).
    pub field: Field,
    /// PostgreSQL type oid.
    pub type_oid: u32,
    /// PostgreSQL type modifier; -1 when there is none.
    pub type_modifier: i32,
}

impl OutputColumn {
    /// A text column, for results that are made in place.
    pub fn text(name: &str) -> Self {
        Self { name: name.into(), field: Field::new(name, DataType::Utf8, true), type_oid: 25, type_modifier: -1 }
    }
}

/// Batches of a result. Pulled by the connection, so that a slow client slows the query.
pub type RowStream = BoxStream<'static, Result<RecordBatch>>;

/// What a statement gives back.
pub enum Outcome {
    /// Rows; `tag` is the first word of the command tag (`SELECT`, `SHOW`, `EXPLAIN`). The count is
    /// added for SELECT, FETCH and MOVE.
    Rows {
        /// Columns, as described before.
        columns: Vec<OutputColumn>,
        /// Rows.
        rows: RowStream,
        /// Command tag without the count.
        tag: &'static str,
    },
    /// No rows; the whole command tag.
    Done {
        /// For example `CREATE SOURCE`.
        tag: String,
    },
    /// An empty statement.
    Empty,
}

impl Outcome {
    /// Done with this tag.
    pub fn done(tag: impl Into<String>) -> Self {
        Self::Done { tag: tag.into() }
    }
    /// Rows of text that are already there.
    pub fn text_rows(names: &[&str], rows: Vec<Vec<Option<String>>>, tag: &'static str) -> Result<Self> {
        use arrow::array::{ArrayRef, StringArray};
        use std::sync::Arc;
        let columns: Vec<OutputColumn> = names.iter().map(|n| OutputColumn::text(n)).collect();
        let schema =
            Arc::new(arrow::datatypes::Schema::new(columns.iter().map(|c| c.field.clone()).collect::<Vec<_>>()));
        let arrays: Vec<ArrayRef> = (0..names.len())
            .map(|i| Arc::new(rows.iter().map(|r| r[i].as_deref()).collect::<StringArray>()) as ArrayRef)
            .collect();
        let batch = RecordBatch::try_new(schema, arrays)
            .map_err(|e| Error::internal("a result could not be built").with_source(e))?;
        Ok(Self::Rows { columns, rows: Box::pin(futures::stream::iter([Ok(batch)])), tag })
    }
}
