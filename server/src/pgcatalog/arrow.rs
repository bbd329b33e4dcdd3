//! Catalog values as Arrow, and Arrow's as catalog values.

use super::object::text;
use super::snapshot::Catalog;
use super::value::{Row, Value, element_of, is_numbered, is_reg};
use crate::pg_types::{oid, type_name};
use arrow::array::*;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use catalog::{Error, Result};
use connector_api::TYPE_KEY;
use datafusion::common::ScalarValue;
use std::collections::HashMap;
use std::sync::Arc;

/// The Arrow field of a column; its metadata says which PostgreSQL type it is of.
pub(crate) fn field(name: &str, type_oid: u32) -> Field {
    let field = Field::new(name, data_type(type_oid), true);
    let declared = match type_oid {
        // Objects are shown by name.
        t if is_reg(t) || element_of(t).is_some_and(is_reg) => None,
        t if is_numbered(t) => type_name(t),
        oid::NAME
        | oid::CHAR
        | oid::VARCHAR
        | oid::BPCHAR
        | oid::JSON
        | oid::JSONB
        | oid::XML
        | oid::INT2VECTOR
        | oid::OIDVECTOR => type_name(type_oid),
        t if element_of(t).is_some() => type_name(t),
        _ => None,
    };
    match declared {
        Some(declared) => field.with_metadata(HashMap::from([(TYPE_KEY.to_owned(), declared)])),
        None => field,
    }
}

fn data_type(type_oid: u32) -> DataType {
    if let Some(element) = element_of(type_oid) {
        return DataType::List(Arc::new(Field::new("item", data_type(element), true)));
    }
    match type_oid {
        oid::BOOL => DataType::Boolean,
        oid::INT2 => DataType::Int16,
        oid::INT4 => DataType::Int32,
        t if is_reg(t) => DataType::Utf8,
        oid::INT8 => DataType::Int64,
        t if is_numbered(t) => DataType::Int64,
        oid::FLOAT4 => DataType::Float32,
        oid::FLOAT8 | oid::NUMERIC => DataType::Float64,
        oid::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        oid::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        _ => DataType::Utf8,
    }
}

/// Rows as one batch. `columns` are names and types.
pub(crate) fn batch(columns: &[(String, u32)], rows: &[Row], catalog: &Catalog) -> Result<RecordBatch> {
    let fields: Vec<Field> = columns.iter().map(|(name, type_oid)| field(name, *type_oid)).collect();
    let arrays: Vec<ArrayRef> = columns
        .iter()
        .enumerate()
        .map(|(i, (_, type_oid))| array(*type_oid, &rows.iter().map(|row| &row[i]).collect::<Vec<_>>(), catalog))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
        .map_err(|e| Error::internal("rows of the client catalog could not be built").with_source(e))
}

/// Values of one type as an array.
pub(crate) fn array(type_oid: u32, values: &[&Value], catalog: &Catalog) -> ArrayRef {
    if let Some(element) = element_of(type_oid) {
        let mut items: Vec<&Value> = vec![];
        let mut offsets = vec![0i32];
        let mut valid = vec![];
        for value in values {
            if let Value::List(list) = value {
                items.extend(list.iter());
            }
            valid.push(matches!(value, Value::List(_)));
            offsets.push(i32::try_from(items.len()).unwrap_or(i32::MAX));
        }
        let inner = array(element, &items, catalog);
        return Arc::new(ListArray::new(
            Arc::new(Field::new("item", inner.data_type().clone(), true)),
            arrow::buffer::OffsetBuffer::new(offsets.into()),
            inner,
            Some(valid.into()),
        ));
    }
    let integer = |v: &Value| v.as_int();
    let float = |v: &Value| match v {
        Value::Float(f) => Some(*f),
        other => other.as_int().map(|n| n as f64),
    };
    let time = |v: &Value| if let Value::Time(t) = v { Some(*t) } else { None };
    match data_type(type_oid) {
        DataType::Boolean => Arc::new(
            values.iter().map(|v| if let Value::Bool(b) = v { Some(*b) } else { None }).collect::<BooleanArray>(),
        ),
        DataType::Int16 => {
            Arc::new(values.iter().map(|v| integer(v).and_then(|n| i16::try_from(n).ok())).collect::<Int16Array>())
        }
        DataType::Int32 => {
            Arc::new(values.iter().map(|v| integer(v).and_then(|n| i32::try_from(n).ok())).collect::<Int32Array>())
        }
        DataType::Int64 => Arc::new(values.iter().map(|v| integer(v)).collect::<Int64Array>()),
        DataType::Float32 => Arc::new(values.iter().map(|v| float(v).map(|f| f as f32)).collect::<Float32Array>()),
        DataType::Float64 => Arc::new(values.iter().map(|v| float(v)).collect::<Float64Array>()),
        DataType::Timestamp(_, zone) => {
            Arc::new(values.iter().map(|v| time(v)).collect::<TimestampMicrosecondArray>().with_timezone_opt(zone))
        }
        _ => Arc::new(values.iter().map(|v| text(v, type_oid, catalog)).collect::<StringArray>()),
    }
}

/// A value of Arrow; one of a form that the catalog does not know is NULL.
pub(crate) fn from_scalar(scalar: &ScalarValue) -> Value {
    use ScalarValue as S;
    let list = |array: &dyn Array| -> Value {
        let items =
            (0..array.len()).map(|i| ScalarValue::try_from_array(array, i).map_or(Value::Null, |s| from_scalar(&s)));
        Value::list(items.collect())
    };
    match scalar {
        S::Boolean(Some(v)) => Value::Bool(*v),
        S::Int8(Some(v)) => Value::Int((*v).into()),
        S::Int16(Some(v)) => Value::Int((*v).into()),
        S::Int32(Some(v)) => Value::Int((*v).into()),
        S::Int64(Some(v)) => Value::Int(*v),
        S::UInt8(Some(v)) => Value::Int((*v).into()),
        S::UInt16(Some(v)) => Value::Int((*v).into()),
        S::UInt32(Some(v)) => Value::Int((*v).into()),
        S::UInt64(Some(v)) => i64::try_from(*v).map_or(Value::Null, Value::Int),
        S::Float32(Some(v)) => Value::Float((*v).into()),
        S::Float64(Some(v)) => Value::Float(*v),
        S::Utf8(Some(v)) | S::LargeUtf8(Some(v)) | S::Utf8View(Some(v)) => Value::text(v),
        S::TimestampMicrosecond(Some(v), _) => Value::Time(*v),
        S::TimestampNanosecond(Some(v), _) => Value::Time(v.div_euclid(1000)),
        S::TimestampMillisecond(Some(v), _) => Value::Time(v.saturating_mul(1000)),
        S::TimestampSecond(Some(v), _) => Value::Time(v.saturating_mul(1_000_000)),
        S::Decimal128(Some(v), _, scale) => Value::Float(*v as f64 / 10f64.powi((*scale).into())),
        S::List(array) if array.is_valid(0) => list(array.value(0).as_ref()),
        S::LargeList(array) if array.is_valid(0) => list(array.value(0).as_ref()),
        S::FixedSizeList(array) if array.is_valid(0) => list(array.value(0).as_ref()),
        _ => Value::Null,
    }
}

/// The PostgreSQL type that stands for values of an Arrow type in a call.
pub(crate) fn type_of_field(field: &Field) -> u32 {
    crate::pg_types::pg_type_of(field).0
}
