//! System tables: everything that a user may want to know is a row of `tidegate.*`.
//!
//! One [`TableSpec`] per table says its columns, their types and their descriptions; `\d+`,
//! `information_schema`, the reference documentation and the rows themselves all come from it.
//! Rows are made when a query scans the table, from one catalog snapshot and the live counters.

mod activity;
mod definitions;
mod rows;
mod statistics;

use crate::gateway::Gateway;
use crate::query::map_error;
use crate::session::Session;
use async_trait::async_trait;
use catalog::Result;
use catalog::store::Snapshot;
use connector_api::to_datafusion;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{MemTable, Session as PlanSession};
use datafusion::common::DataFusionError;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
pub use definitions::{ends_of, source_definition};
use rows::batch;
pub use rows::{Row, Value};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// The schema of all system tables.
pub const SCHEMA: &str = "tidegate";
/// Field metadata: the column's description.
pub const COMMENT_KEY: &str = "comment";

/// The few types that system tables use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// integer
    Int4,
    /// bigint
    Int8,
    /// double precision
    Float8,
    /// boolean
    Bool,
    /// text
    Text,
    /// text[]
    TextArray,
    /// timestamp with time zone
    TimestampTz,
    /// date
    Date,
}

impl ColumnType {
    fn arrow(self) -> DataType {
        match self {
            Self::Int4 => DataType::Int32,
            Self::Int8 => DataType::Int64,
            Self::Float8 => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Text => DataType::Utf8,
            Self::TextArray => DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Date => DataType::Date32,
        }
    }
    /// PostgreSQL's name of the type.
    pub fn word(self) -> &'static str {
        match self {
            Self::Int4 => "integer",
            Self::Int8 => "bigint",
            Self::Float8 => "double precision",
            Self::Bool => "boolean",
            Self::Text => "text",
            Self::TextArray => "text[]",
            Self::TimestampTz => "timestamp with time zone",
            Self::Date => "date",
        }
    }
}

/// One column of a system table.
#[derive(Debug, Clone, Copy)]
pub struct ColumnSpec {
    /// Name.
    pub name: &'static str,
    /// Type.
    pub column_type: ColumnType,
    /// One sentence; `\d+` and the documentation show it.
    pub comment: &'static str,
}

/// A short form for tables of columns.
pub(crate) const fn column(name: &'static str, column_type: ColumnType, comment: &'static str) -> ColumnSpec {
    ColumnSpec { name, column_type, comment }
}

/// What the rows are made from.
pub struct RowContext<'a> {
    /// The gateway.
    pub gateway: &'a Gateway,
    /// Definitions as the session sees them.
    pub snapshot: &'a Snapshot,
}

/// One system table.
pub struct TableSpec {
    /// Name within schema `tidegate`.
    pub name: &'static str,
    /// One sentence.
    pub comment: &'static str,
    /// Whether it is shown as a view.
    pub is_view: bool,
    /// Columns in order; columns are only ever added, at the end.
    pub columns: &'static [ColumnSpec],
    /// Makes the rows.
    pub rows: fn(&RowContext<'_>) -> Result<Vec<Row>>,
}

impl TableSpec {
    fn schema(&self) -> SchemaRef {
        let fields = self.columns.iter().map(|c| {
            Field::new(c.name, c.column_type.arrow(), true)
                .with_metadata(HashMap::from([(COMMENT_KEY.to_owned(), c.comment.to_owned())]))
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

/// Every system table, by name.
pub fn catalog() -> &'static [&'static TableSpec] {
    static ALL: OnceLock<Vec<&'static TableSpec>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all: Vec<&TableSpec> =
            definitions::TABLES.iter().chain(activity::TABLES).chain(statistics::TABLES).collect();
        all.sort_by_key(|t| t.name);
        all
    })
}

/// A system table that can be queried.
pub struct SystemTable {
    /// Name within schema `tidegate`.
    pub name: &'static str,
    /// One sentence.
    pub comment: &'static str,
    /// Columns; each field's metadata has its description under [`COMMENT_KEY`].
    pub schema: SchemaRef,
    /// The table for DataFusion.
    pub provider: Arc<dyn TableProvider>,
}

/// The system tables as this session sees them.
pub fn tables(gateway: &Arc<Gateway>, session: &Arc<Session>) -> Vec<SystemTable> {
    catalog()
        .iter()
        .map(|spec| {
            let schema = spec.schema();
            let provider =
                Provider { spec, schema: schema.clone(), gateway: gateway.clone(), session: session.clone() };
            SystemTable { name: spec.name, comment: spec.comment, schema, provider: Arc::new(provider) }
        })
        .collect()
}

struct Provider {
    spec: &'static TableSpec,
    schema: SchemaRef,
    gateway: Arc<Gateway>,
    session: Arc<Session>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tidegate.{}", self.spec.name)
    }
}

#[async_trait]
impl TableProvider for Provider {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
    fn table_type(&self) -> TableType {
        if self.spec.is_view { TableType::View } else { TableType::Base }
    }
    async fn scan(
        &self,
        state: &dyn PlanSession,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let (spec, schema) = (self.spec, self.schema.clone());
        let (gateway, session) = (self.gateway.clone(), self.session.clone());
        let batch = tokio::task::spawn_blocking(move || {
            let snapshot = session.snapshot(&gateway.store);
            let rows = (spec.rows)(&RowContext { gateway: &gateway, snapshot: &snapshot })?;
            batch(spec.columns, schema, rows)
        })
        .await
        .map_err(|e| DataFusionError::External(Box::new(e)))?
        .map_err(to_datafusion)?;
        MemTable::try_new(self.schema.clone(), vec![vec![batch]])
            .map_err(|e| to_datafusion(map_error(e)))?
            .scan(state, projection, filters, limit)
            .await
    }
}
