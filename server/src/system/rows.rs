//! Rows of system tables and their way into Arrow.

use super::{ColumnSpec, ColumnType};
use catalog::definition::Timestamp;
use catalog::{Error, Result};
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, ListBuilder, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::SchemaRef;
use std::sync::Arc;

/// One value. NULL means unknown, never zero.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Unknown.
    Null,
    /// integer and bigint
    Int(i64),
    /// double precision
    Float(f64),
    /// boolean
    Bool(bool),
    /// text
    Text(String),
    /// text[]
    List(Vec<String>),
    /// timestamptz, microseconds since 1970 UTC
    Time(Timestamp),
    /// date, days since 1970
    Date(i32),
}

/// One row, in column order.
pub type Row = Vec<Value>;

impl From<i64> for Value {
    fn from(v: i64) -> Self {
        Self::Int(v)
    }
}
impl From<i32> for Value {
    fn from(v: i32) -> Self {
        Self::Int(v.into())
    }
}
impl From<u64> for Value {
    fn from(v: u64) -> Self {
        Self::Int(i64::try_from(v).unwrap_or(i64::MAX))
    }
}
impl From<usize> for Value {
    fn from(v: usize) -> Self {
        Self::Int(i64::try_from(v).unwrap_or(i64::MAX))
    }
}
impl From<f64> for Value {
    fn from(v: f64) -> Self {
        Self::Float(v)
    }
}
impl From<bool> for Value {
    fn from(v: bool) -> Self {
        Self::Bool(v)
    }
}
impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Self::Text(v.to_owned())
    }
}
impl From<String> for Value {
    fn from(v: String) -> Self {
        Self::Text(v)
    }
}
impl From<Vec<String>> for Value {
    fn from(v: Vec<String>) -> Self {
        Self::List(v)
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(v: Option<T>) -> Self {
        v.map_or(Self::Null, Into::into)
    }
}

/// A list of words.
pub fn words<'a>(list: impl IntoIterator<Item = &'a str>) -> Value {
    Value::List(list.into_iter().map(str::to_owned).collect())
}

/// A moment, or NULL.
pub fn time(at: impl Into<Option<Timestamp>>) -> Value {
    at.into().map_or(Value::Null, Value::Time)
}

/// The batch of these rows.
pub fn batch(columns: &[ColumnSpec], schema: SchemaRef, rows: Vec<Row>) -> Result<RecordBatch> {
    if let Some(row) = rows.iter().find(|row| row.len() != columns.len()) {
        return Err(Error::internal(format!("a system table row has {} of {} columns", row.len(), columns.len())));
    }
    let arrays: Vec<ArrayRef> =
        columns.iter().enumerate().map(|(i, column)| array(column, rows.iter().map(|row| &row[i]))).collect();
    RecordBatch::try_new(schema, arrays)
        .map_err(|e| Error::internal("a system table could not be built").with_source(e))
}

fn array<'a>(column: &ColumnSpec, values: impl Iterator<Item = &'a Value>) -> ArrayRef {
    match column.column_type {
        ColumnType::Int4 => {
            Arc::new(values.map(|v| int(v).and_then(|n| i32::try_from(n).ok())).collect::<Int32Array>())
        }
        ColumnType::Int8 => Arc::new(values.map(int).collect::<Int64Array>()),
        ColumnType::Float8 => {
            Arc::new(values.map(|v| if let Value::Float(f) = v { Some(*f) } else { None }).collect::<Float64Array>())
        }
        ColumnType::Bool => {
            Arc::new(values.map(|v| if let Value::Bool(b) = v { Some(*b) } else { None }).collect::<BooleanArray>())
        }
        ColumnType::Text => Arc::new(
            values.map(|v| if let Value::Text(t) = v { Some(t.as_str()) } else { None }).collect::<StringArray>(),
        ),
        ColumnType::TextArray => {
            let mut builder = ListBuilder::new(StringBuilder::new());
            for value in values {
                match value {
                    Value::List(list) => {
                        for item in list {
                            builder.values().append_value(item);
                        }
                        builder.append(true);
                    }
                    _ => builder.append(false),
                }
            }
            Arc::new(builder.finish())
        }
        ColumnType::TimestampTz => Arc::new(
            values
                .map(|v| if let Value::Time(t) = v { Some(*t) } else { None })
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
        ColumnType::Date => {
            Arc::new(values.map(|v| if let Value::Date(d) = v { Some(*d) } else { None }).collect::<Date32Array>())
        }
    }
}

fn int(value: &Value) -> Option<i64> {
    if let Value::Int(n) = value { Some(*n) } else { None }
}
