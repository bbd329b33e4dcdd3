//! Arrow batches as the body of COPY, binary or text, straight into a reused buffer.
//!
//! What one cell looks like is in `sink::value`; here are columns, rows, chunks and errors that name
//! column and row. Columns that carry the source's wire bytes are copied as they are.

use crate::sink::cell::CellError;
use crate::sink::numeric::NumericLimit;
use crate::sink::value::Column;
use crate::types::numeric_modifier;
use arrow::array::{Array, ArrayRef, RecordBatch, StringBuilder, new_empty_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, SchemaRef, TimeUnit};
use arrow::json::writer::{EncoderOptions, make_encoder};
use bytes::{BufMut, BytesMut};
use catalog::{Error, ErrorKind, Result, TableName};
use connector_api::WIRE_KEY;
use std::fmt::Write as _;
use std::sync::Arc;

/// The head of a binary COPY: signature, flags, length of the extension.
pub(crate) const BINARY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// The end of a binary COPY.
pub(crate) const BINARY_TRAILER: &[u8] = &[0xff, 0xff];

/// The format of one COPY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyFormat {
    /// `(FORMAT binary)`
    Binary,
    /// `(FORMAT text)`
    Text,
}

impl CopyFormat {
    /// The word in COPY's options.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Text => "text",
        }
    }
}

/// How a column's values look on the wire. Domains are seen through, enums are text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ColumnType {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    /// None: any digits.
    Numeric(Option<NumericLimit>),
    /// text, varchar, char(n), name, json, xml, enums: the wire form is the text.
    Text,
    Jsonb,
    Bytea,
    Uuid,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    /// One-dimensional array of a type that is not Other.
    Array {
        element_oid: u32,
        element: Box<ColumnType>,
    },
    /// Only the server reads its text.
    Other,
}

impl ColumnType {
    /// From a type whose domains are unwrapped: oid, modifier in force (-1: none), `typtype`, and the
    /// element's oid when it is an array.
    pub(crate) fn from_base(oid: u32, typmod: i32, typtype: char, element_oid: Option<u32>) -> Self {
        if typtype == 'e' {
            return Self::Text;
        }
        match oid {
            16 => Self::Bool,
            21 => Self::Int2,
            23 => Self::Int4,
            20 => Self::Int8,
            26 => Self::Oid,
            700 => Self::Float4,
            701 => Self::Float8,
            1700 => Self::Numeric(numeric_modifier(typmod).map(|(precision, scale)| NumericLimit { precision, scale })),
            25 | 1043 | 1042 | 19 | 114 | 142 => Self::Text,
            3802 => Self::Jsonb,
            17 => Self::Bytea,
            2950 => Self::Uuid,
            1082 => Self::Date,
            1083 => Self::Time,
            1114 => Self::Timestamp,
            1184 => Self::Timestamptz,
            1186 => Self::Interval,
            _ => match element_oid {
                Some(element_oid) if element_oid < 16_384 => match Self::from_base(element_oid, typmod, 'b', None) {
                    Self::Other => Self::Other,
                    element => Self::Array { element_oid, element: Box::new(element) },
                },
                _ => Self::Other,
            },
        }
    }

    /// What an Arrow type is by itself; None when it has no text of ours.
    pub(crate) fn natural(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Null => Self::Text,
            DataType::Boolean => Self::Bool,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => Self::Int2,
            DataType::Int32 | DataType::UInt16 => Self::Int4,
            DataType::Int64 | DataType::UInt32 => Self::Int8,
            DataType::UInt64
            | DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => Self::Numeric(None),
            DataType::Float16 | DataType::Float32 => Self::Float4,
            DataType::Float64 => Self::Float8,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                Self::Bytea
            }
            DataType::Date32 => Self::Date,
            DataType::Date64 | DataType::Timestamp(_, None) => Self::Timestamp,
            DataType::Timestamp(_, Some(_)) => Self::Timestamptz,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Interval(_) | DataType::Duration(_) => Self::Interval,
            DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
                Self::Array { element_oid: 0, element: Box::new(Self::natural(field.data_type())?) }
            }
            DataType::Dictionary(_, value) => Self::natural(value)?,
            DataType::RunEndEncoded(_, value) => Self::natural(value.data_type())?,
            DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => Self::Jsonb,
            DataType::ListView(_) | DataType::LargeListView(_) => Self::Jsonb,
        })
    }
}

/// Whether a column of this Arrow type can be written in binary for this column type.
pub(crate) fn encodes(data_type: &DataType, to: &ColumnType) -> bool {
    if *to == ColumnType::Other {
        return false;
    }
    let array = new_empty_array(data_type);
    let field = Field::new("c", data_type.clone(), true);
    prepare(&array, &field, to).is_ok_and(|prepared| Column::new(&prepared, to).is_some())
}

/// Whether a column of this Arrow type can be written as text for the server to read.
pub(crate) fn has_text(data_type: &DataType) -> bool {
    let array = new_empty_array(data_type);
    let field = Field::new("c", data_type.clone(), true);
    prepare(&array, &field, &ColumnType::Other).is_ok_and(|prepared| Column::natural(&prepared).is_some())
}

/// One column of the COPY.
#[derive(Debug, Clone)]
pub(crate) struct EncodeColumn {
    /// Name in the sink.
    pub name: String,
    /// How its values look.
    pub column_type: ColumnType,
    /// Whether the table refuses NULL.
    pub is_not_null: bool,
}

/// What turns batches of one schema into the rows of one COPY.
#[derive(Debug)]
pub(crate) struct RowEncoder {
    table: TableName,
    format: CopyFormat,
    fields: Fields,
    columns: Vec<EncodeColumn>,
    is_wire: Vec<bool>,
    key: Vec<usize>,
}

impl RowEncoder {
    /// `columns` are in the order of the schema; `key` are indexes of the columns that name a row in
    /// errors.
    pub(crate) fn new(
        table: TableName,
        format: CopyFormat,
        schema: &SchemaRef,
        columns: Vec<EncodeColumn>,
        key: Vec<usize>,
    ) -> Result<Self> {
        if schema.fields().len() != columns.len() {
            return Err(Error::internal(format!(
                "{} columns arrive for {} columns of table {table}",
                schema.fields().len(),
                columns.len()
            )));
        }
        let is_wire: Vec<bool> = schema.fields().iter().map(|field| field.metadata().contains_key(WIRE_KEY)).collect();
        for ((field, column), is_wire) in schema.fields().iter().zip(&columns).zip(&is_wire) {
            let is_possible = match (is_wire, format) {
                (true, CopyFormat::Binary) => true,
                (true, CopyFormat::Text) => false,
                (false, CopyFormat::Binary) if column.column_type != ColumnType::Other => {
                    encodes(field.data_type(), &column.column_type)
                }
                // A column of a staging table that takes the text.
                (false, CopyFormat::Binary) | (false, CopyFormat::Text) => has_text(field.data_type()),
            };
            if !is_possible {
                return Err(Error::new(
                    ErrorKind::TypeMismatch,
                    format!("{} cannot be written into column \"{}\" of table {table}", field.data_type(), column.name),
                )
                .with_table(&table.schema, &table.table)
                .with_column(&column.name));
            }
        }
        Ok(Self { table, format, fields: schema.fields().clone(), columns, is_wire, key })
    }

    /// Brings a batch into the form that a [`RowCursor`] reads: no dictionaries, no structs.
    pub(crate) fn prepare(&self, batch: &RecordBatch) -> Result<PreparedBatch> {
        if batch.num_columns() != self.columns.len() {
            return Err(Error::internal(format!(
                "a batch of {} columns arrives for {} columns of table {}",
                batch.num_columns(),
                self.columns.len(),
                self.table
            )));
        }
        let arrays = batch
            .columns()
            .iter()
            .zip(&self.fields)
            .zip(self.columns.iter().zip(&self.is_wire))
            .map(|((array, field), (column, is_wire))| match is_wire {
                true => Ok(array.clone()),
                false => prepare(array, field, &column.column_type),
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(PreparedBatch { arrays, rows: batch.num_rows() })
    }

    /// A cursor over a prepared batch that starts at `row`. `rows_before` is how many rows of the load
    /// came before the batch, for errors.
    pub(crate) fn cursor<'a>(
        &'a self,
        batch: &'a PreparedBatch,
        row: usize,
        rows_before: u64,
    ) -> Result<RowCursor<'a>> {
        let columns = batch
            .arrays
            .iter()
            .zip(self.columns.iter().zip(&self.is_wire))
            .map(|(array, (column, is_wire))| {
                let resolved = match (is_wire, self.format) {
                    (true, _) => Column::wire(array),
                    (false, CopyFormat::Binary) => Column::new(array, &column.column_type),
                    (false, CopyFormat::Text) => {
                        Column::new(array, &column.column_type).or_else(|| Column::natural(array))
                    }
                };
                resolved.ok_or_else(|| {
                    Error::internal(format!(
                        "a batch has {} for column \"{}\" of table {}",
                        array.data_type(),
                        column.name,
                        self.table
                    ))
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(RowCursor {
            encoder: self,
            arrays: &batch.arrays,
            columns,
            row,
            rows: batch.rows,
            rows_before,
            text: vec![],
        })
    }
}

/// A batch whose columns are all of types that cells are written from.
#[derive(Debug)]
pub(crate) struct PreparedBatch {
    arrays: Vec<ArrayRef>,
    rows: usize,
}

/// Where the encoding of one batch stands.
#[derive(Debug)]
pub(crate) struct RowCursor<'a> {
    encoder: &'a RowEncoder,
    arrays: &'a [ArrayRef],
    columns: Vec<Column<'a>>,
    row: usize,
    rows: usize,
    rows_before: u64,
    text: Vec<u8>,
}

impl RowCursor<'_> {
    /// Appends rows until the buffer has `bytes_max` bytes or the batch ends; says whether rows are
    /// left. On an error the buffer ends after the last whole row.
    pub(crate) fn fill(&mut self, buffer: &mut BytesMut, bytes_max: usize) -> Result<bool> {
        while self.row < self.rows && buffer.len() < bytes_max {
            let start = buffer.len();
            let written = match self.encoder.format {
                CopyFormat::Binary => self.put_binary_row(buffer),
                CopyFormat::Text => self.put_text_row(buffer),
            };
            if let Err((column, error)) = written {
                buffer.truncate(start);
                return Err(self.cell_error(column, *error));
            }
            self.row += 1;
        }
        Ok(self.row < self.rows)
    }

    fn put_binary_row(&self, buffer: &mut BytesMut) -> std::result::Result<(), (usize, Box<CellError>)> {
        let row = self.row;
        buffer.put_i16(self.columns.len() as i16);
        for (index, column) in self.columns.iter().enumerate() {
            if column.is_null(row) && self.encoder.columns[index].is_not_null {
                return Err((index, null_error()));
            }
            column.put_binary(row, buffer).map_err(|error| (index, error))?;
        }
        Ok(())
    }

    fn put_text_row(&mut self, buffer: &mut BytesMut) -> std::result::Result<(), (usize, Box<CellError>)> {
        let row = self.row;
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 {
                buffer.put_u8(b'\t');
            }
            if column.is_null(row) {
                if self.encoder.columns[index].is_not_null {
                    return Err((index, null_error()));
                }
                buffer.put_slice(b"\\N");
                continue;
            }
            self.text.clear();
            column.write_text(row, &mut self.text).map_err(|error| (index, error))?;
            put_escaped(&self.text, buffer);
        }
        buffer.put_u8(b'\n');
        Ok(())
    }

    fn cell_error(&self, column: usize, error: CellError) -> Error {
        let encoder = self.encoder;
        let name = &encoder.columns[column].name;
        let row_key = self.row_key();
        Error::new(error.kind, format!("{} in column \"{name}\" of table {}", error.text, encoder.table))
            .with_detail(format!(
                "The row is {row_key}; it is row {} of the load.",
                self.rows_before + self.row as u64 + 1
            ))
            .with_table(&encoder.table.schema, &encoder.table.table)
            .with_column(name)
            .with_row_key(row_key)
    }

    /// The next row of the batch.
    pub(crate) fn row(&self) -> usize {
        self.row
    }

    /// Names a row of the batch as errors do: `id=5, day=2026-03-01`.
    pub(crate) fn row_key_at(&mut self, row: usize) -> String {
        self.row = row.min(self.rows.saturating_sub(1));
        self.row_key()
    }

    /// `id=5, day=2026-03-01` of the current row; its number in the load when there is no key.
    fn row_key(&self) -> String {
        let encoder = self.encoder;
        let mut shown = String::new();
        for index in &encoder.key {
            let array = &self.arrays[*index];
            let value = match encoder.is_wire[*index] {
                // Wire bytes have no text here.
                true => None,
                false => Column::natural(array),
            };
            let mut text = vec![];
            let is_null = array.is_null(self.row);
            match value {
                _ if is_null => text.extend_from_slice(b"null"),
                Some(value) => {
                    if value.write_text(self.row, &mut text).is_err() {
                        text.push(b'?');
                    }
                }
                None => continue,
            }
            let separator = if shown.is_empty() { "" } else { ", " };
            let text: String = String::from_utf8_lossy(&text).chars().take(100).collect();
            // Writing into a String does not fail.
            let _ = write!(shown, "{separator}{}={text}", encoder.columns[*index].name);
        }
        if shown.is_empty() {
            shown = format!("row {}", self.rows_before + self.row as u64 + 1);
        }
        shown
    }
}

fn null_error() -> Box<CellError> {
    Box::new(CellError { kind: ErrorKind::NotNullViolation, text: "null value".to_owned() })
}

/// Escapes a value for COPY's text form.
fn put_escaped(text: &[u8], buffer: &mut BytesMut) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\\' | b'\n' | b'\r' | b'\t')) {
        buffer.put_slice(&rest[..at]);
        buffer.put_slice(match rest[at] {
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            _ => b"\\\\",
        });
        rest = &rest[at + 1..];
    }
    buffer.put_slice(rest);
}

/// Unpacks dictionaries, widens half floats and turns structs, maps and nested lists into JSON.
fn prepare(array: &ArrayRef, field: &Field, to: &ColumnType) -> Result<ArrayRef> {
    let data_type = array.data_type();
    if is_nested(data_type, to) {
        return to_json(array, field);
    }
    match unpacked(data_type) {
        None => Ok(array.clone()),
        Some(plain) => cast(array, &plain).map_err(|error| {
            Error::internal(format!("column \"{}\" of type {data_type} cannot be unpacked", field.name()))
                .with_source(error)
        }),
    }
}

/// Whether a value has to become JSON.
fn is_nested(data_type: &DataType, to: &ColumnType) -> bool {
    match data_type {
        DataType::Struct(_) | DataType::Map(..) => true,
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            matches!(to, ColumnType::Jsonb | ColumnType::Text)
                || matches!(
                    field.data_type(),
                    DataType::Struct(_)
                        | DataType::Map(..)
                        | DataType::List(_)
                        | DataType::LargeList(_)
                        | DataType::FixedSizeList(..)
                )
        }
        _ => false,
    }
}

/// The same type without dictionaries, runs and half floats; None when it has none.
fn unpacked(data_type: &DataType) -> Option<DataType> {
    let inner = |field: &FieldRef| {
        unpacked(field.data_type()).map(|plain| Arc::new(Field::new(field.name(), plain, field.is_nullable())))
    };
    match data_type {
        DataType::Dictionary(_, value) => Some(unpacked(value).unwrap_or_else(|| value.as_ref().clone())),
        DataType::RunEndEncoded(_, value) => {
            Some(unpacked(value.data_type()).unwrap_or_else(|| value.data_type().clone()))
        }
        DataType::Float16 => Some(DataType::Float32),
        DataType::List(field) => inner(field).map(DataType::List),
        DataType::LargeList(field) => inner(field).map(DataType::LargeList),
        DataType::FixedSizeList(field, size) => inner(field).map(|field| DataType::FixedSizeList(field, *size)),
        // A time of day in a unit that no time type has.
        DataType::Time32(TimeUnit::Microsecond | TimeUnit::Nanosecond) => None,
        _ => None,
    }
}

fn to_json(array: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let field: FieldRef = Arc::new(field.clone());
    let mut encoder = make_encoder(&field, array.as_ref(), &options).map_err(|error| {
        Error::new(
            ErrorKind::Unsupported,
            format!("column \"{}\" of type {} cannot be written as json", field.name(), array.data_type()),
        )
        .with_source(error)
    })?;
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 32);
    let mut text = vec![];
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_null();
            continue;
        }
        text.clear();
        encoder.encode(row, &mut text);
        builder.append_value(std::str::from_utf8(&text).map_err(|error| {
            Error::internal(format!("the json of column \"{}\" is not text", field.name())).with_source(error)
        })?);
    }
    Ok(Arc::new(builder.finish()))
}

#[cfg(test)]
#[path = "sink/encode_test.rs"]
mod tests;
