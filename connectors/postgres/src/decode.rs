//! From the bytes of `COPY .. TO STDOUT (FORMAT binary)` to Arrow, and to raw chunks.
//!
//! [`BinaryRows`] finds whole rows in the frames of a copy, whatever a proxy did to the frames' bounds.
//! [`BatchDecoder`] decodes each value in place into one column buffer. Nothing here trusts the bytes:
//! every access is checked, and what does not fit is an error that names table and column.

use crate::numeric::{decimal128, decimal256};
use crate::types::{
    DATE_INFINITY, DATE_NEGATIVE_INFINITY, EPOCH_DAYS, EPOCH_MICROSECONDS, PgType, TIMESTAMP_INFINITY,
    TIMESTAMP_NEGATIVE_INFINITY,
};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Decimal128Array, Decimal256Array, FixedSizeBinaryArray,
    NullBufferBuilder, PrimitiveArray, StringArray,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    SchemaRef, Time64MicrosecondType, TimestampMicrosecondType, i256,
};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use catalog::{Error, ErrorKind, Result, TableName};
use std::sync::Arc;

/// Most rows of one batch.
pub(crate) const BATCH_ROWS_MAX: usize = 8_192;
/// A batch that has reached this many bytes takes no further row.
pub(crate) const BATCH_BYTES_MAX: usize = 4 << 20;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, and the length of the header's extension.
const HEADER_BYTES: usize = SIGNATURE.len() + 8;
/// The flag that says that rows begin with oids, which no supported server sends.
const FLAG_OIDS: u32 = 1 << 16;

/// Where a value lies in its row; a length of -1 is NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    start: usize,
    length: i32,
}

/// Cuts the frames of a binary copy into rows.
#[derive(Debug)]
pub(crate) struct BinaryRows {
    columns: usize,
    has_header: bool,
    has_ended: bool,
    carry: Vec<u8>,
    spans: Vec<Span>,
}

enum Step {
    Row(usize),
    Trailer,
    Incomplete,
}

impl BinaryRows {
    /// Rows of this many columns.
    pub(crate) fn new(columns: usize) -> Self {
        Self { columns, has_header: false, has_ended: false, carry: vec![], spans: Vec::with_capacity(columns) }
    }

    /// Whether the trailer was seen; a copy that ends without it was cut off.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Gives every whole row of what has arrived to `take`: its bytes (the field count included)
    /// and its values' places in them.
    pub(crate) fn feed(&mut self, frame: &[u8], mut take: impl FnMut(&[u8], &[Span]) -> Result<()>) -> Result<()> {
        if self.carry.is_empty() {
            let used = self.rows(frame, &mut take)?;
            self.carry.extend_from_slice(frame.get(used..).unwrap_or_default());
        } else {
            let mut carry = std::mem::take(&mut self.carry);
            carry.extend_from_slice(frame);
            let used = self.rows(&carry, &mut take)?;
            carry.drain(..used);
            self.carry = carry;
        }
        Ok(())
    }

    /// Handles what is whole in `bytes`; answers how many bytes that was.
    fn rows(&mut self, bytes: &[u8], take: &mut impl FnMut(&[u8], &[Span]) -> Result<()>) -> Result<usize> {
        let mut used = 0;
        if !self.has_header {
            match header_length(bytes)? {
                Some(length) => used = length,
                None => return Ok(0),
            }
            self.has_header = true;
        }
        while used < bytes.len() {
            if self.has_ended {
                return Err(malformed("there is more after the end of the copy"));
            }
            let rest = &bytes[used..];
            match self.step(rest)? {
                Step::Row(length) => {
                    take(&rest[..length], &self.spans)?;
                    used += length;
                }
                Step::Trailer => {
                    self.has_ended = true;
                    used += 2;
                }
                Step::Incomplete => break,
            }
        }
        Ok(used)
    }

    fn step(&mut self, bytes: &[u8]) -> Result<Step> {
        let Some(count) = read_i16(bytes, 0) else { return Ok(Step::Incomplete) };
        if count == -1 {
            return Ok(Step::Trailer);
        }
        if count as i64 != self.columns as i64 {
            return Err(malformed(format!("a row has {count} values where {} were asked for", self.columns)));
        }
        self.spans.clear();
        let mut at = 2usize;
        for _ in 0..self.columns {
            let Some(length) = read_i32(bytes, at) else { return Ok(Step::Incomplete) };
            at += 4;
            match length {
                -1 => self.spans.push(Span { start: at, length }),
                0.. => {
                    let end = at + length as usize;
                    if end > bytes.len() {
                        return Ok(Step::Incomplete);
                    }
                    self.spans.push(Span { start: at, length });
                    at = end;
                }
                _ => return Err(malformed(format!("a value has the length {length}"))),
            }
        }
        Ok(Step::Row(at))
    }
}

fn header_length(bytes: &[u8]) -> Result<Option<usize>> {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes[..known] != SIGNATURE[..known] {
        return Err(malformed("it does not begin with the signature of a binary copy"));
    }
    let (Some(flags), Some(extension)) = (read_i32(bytes, SIGNATURE.len()), read_i32(bytes, SIGNATURE.len() + 4))
    else {
        return Ok(None);
    };
    if flags as u32 & FLAG_OIDS != 0 || extension < 0 {
        return Err(malformed("its header has flags that are not known"));
    }
    let length = HEADER_BYTES + extension as usize;
    Ok((bytes.len() >= length).then_some(length))
}

pub(crate) fn read_i16(bytes: &[u8], at: usize) -> Option<i16> {
    Some(i16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn read_i32(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn malformed(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::ProtocolViolation, "the server sent a copy that cannot be read").with_detail(format!(
        "{}.",
        {
            let what = what.to_string();
            let mut characters = what.chars();
            characters.next().map(|c| c.to_uppercase().chain(characters).collect::<String>()).unwrap_or_default()
        }
    ))
}

/// What becomes of one column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decode {
    /// Decoded into the Arrow type of this type.
    Value(PgType),
    /// Kept as bytes in a Binary column.
    Wire,
}

/// Why one value cannot be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reject {
    /// It has another length than its type has.
    Length { expected: &'static str },
    /// Its bytes make no sense.
    Malformed(&'static str),
    /// NaN or an infinity in a column that Arrow knows as decimal.
    NotANumber(&'static str),
    /// Outside what the Arrow type can hold.
    Range,
}

/// Collects rows into batches of one schema.
pub(crate) struct BatchDecoder {
    table: TableName,
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
}

impl BatchDecoder {
    /// A decoder with one entry of `decodes` per field.
    pub(crate) fn new(table: &TableName, schema: SchemaRef, decodes: &[Decode]) -> Self {
        let columns = decodes.iter().map(Column::new).collect();
        Self { table: table.clone(), schema, columns, rows: 0, bytes: 0 }
    }

    /// Takes one row. After an error the batch under way is of no use.
    pub(crate) fn push(&mut self, row: &[u8], spans: &[Span]) -> Result<()> {
        for (index, (column, span)) in self.columns.iter_mut().zip(spans).enumerate() {
            if span.length < 0 {
                column.push_null();
                continue;
            }
            let value = row.get(span.start..span.start + span.length as usize);
            let outcome = match value {
                Some(value) => column.push(value),
                None => Err(Reject::Malformed("it lies outside its row")),
            };
            if let Err(reject) = outcome {
                return Err(reject_error(&self.table, self.schema.field(index), reject));
            }
        }
        self.rows += 1;
        self.bytes += row.len();
        Ok(())
    }

    /// Whether the batch under way should go.
    pub(crate) fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// The rows so far as a batch; None when there are none.
    pub(crate) fn finish(&mut self) -> Result<Option<RecordBatch>> {
        if self.rows == 0 {
            return Ok(None);
        }
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (index, column) in self.columns.iter_mut().enumerate() {
            let field = self.schema.field(index);
            arrays.push(column.finish(field, rows).map_err(|error| {
                match error {
                    Finish::NotText => not_text_error(&self.table, field),
                    Finish::Arrow(error) => Error::internal(format!(
                        "column \"{}\" of table {} could not be built",
                        field.name(),
                        self.table
                    ))
                    .with_source(error),
                }
            })?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        match RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options) {
            Ok(batch) => Ok(Some(batch)),
            // The only thing that a row can do wrong here is NULL in a column that promised none.
            Err(error) => Err(Error::new(
                ErrorKind::NotNullViolation,
                format!("table {} does not have the structure that was found by discovery", self.table),
            )
            .with_table(&self.table.schema, &self.table.table)
            .with_detail(format!("{error}."))
            .with_source(error)),
        }
    }
}

/// What mends a value that Arrow cannot hold. A cast in the query is evaluated after the value was
/// read, so it is too late there; a copy without a transform passes the bytes on and needs nothing.
fn view_hint(table: &TableName, column: &str) -> String {
    let (column, view) = (catalog::quote_ident(column), TableName::new(&table.schema, format!("{}_text", table.table)));
    format!(
        "Read a view that casts it, on that server: CREATE VIEW {} AS SELECT .., {column}::text AS {column} FROM {};",
        view.quoted(),
        table.quoted()
    )
}

/// The range that an Arrow type has, in the words of SQL.
fn type_words(data_type: &DataType) -> String {
    match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("numeric({precision},{scale})")
        }
        DataType::Timestamp(..) => "timestamps (the years -290307 to 294246)".to_owned(),
        DataType::Date32 => "dates".to_owned(),
        DataType::Interval(_) => "intervals".to_owned(),
        other => other.to_string(),
    }
}

fn reject_error(table: &TableName, field: &Field, reject: Reject) -> Error {
    let name = field.name();
    let error = match reject {
        Reject::Length { expected } => Error::new(
            ErrorKind::ProtocolViolation,
            format!("column \"{name}\" of table {table} has a value that is not {expected} long"),
        ),
        Reject::Malformed(why) => Error::new(
            ErrorKind::ProtocolViolation,
            format!("column \"{name}\" of table {table} has a value that cannot be read: {why}"),
        ),
        Reject::NotANumber(value) => Error::new(
            ErrorKind::NumericRange,
            format!(
                "column \"{name}\" of table {table} has the value {value}, which has no place in {} here",
                type_words(field.data_type())
            ),
        )
        .with_hint(view_hint(table, name)),
        Reject::Range => Error::new(
            ErrorKind::NumericRange,
            format!(
                "column \"{name}\" of table {table} has a value outside the range of {}",
                type_words(field.data_type())
            ),
        )
        .with_hint(view_hint(table, name)),
    };
    error.with_table(&table.schema, &table.table).with_column(name)
}

fn not_text_error(table: &TableName, field: &Field) -> Error {
    Error::new(
        ErrorKind::InvalidText,
        format!("column \"{}\" of table {table} has a value that is not UTF-8", field.name()),
    )
    .with_detail("A database with the encoding SQL_ASCII hands out bytes as they are, without a conversion.")
    .with_table(&table.schema, &table.table)
    .with_column(field.name())
}

enum Finish {
    NotText,
    Arrow(arrow::error::ArrowError),
}

impl From<arrow::error::ArrowError> for Finish {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Arrow(error)
    }
}

/// Fixed-width values and their NULLs.
struct Values<T> {
    values: Vec<T>,
    nulls: NullBufferBuilder,
}

impl<T: Copy + Default> Values<T> {
    fn new() -> Self {
        Self { values: Vec::with_capacity(1024), nulls: NullBufferBuilder::new(BATCH_ROWS_MAX) }
    }
    fn push(&mut self, value: T) {
        self.values.push(value);
        self.nulls.append_non_null();
    }
    fn push_null(&mut self) {
        self.values.push(T::default());
        self.nulls.append_null();
    }
    fn finish<A: ArrowPrimitiveType<Native = T>>(&mut self) -> PrimitiveArray<A>
    where
        T: arrow::datatypes::ArrowNativeType,
    {
        let next = Vec::with_capacity(self.values.len());
        let values = std::mem::replace(&mut self.values, next);
        PrimitiveArray::new(ScalarBuffer::from(values), self.nulls.finish())
    }
}

/// Values of any length and their NULLs.
struct Bytes {
    bytes: Vec<u8>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Bytes {
    fn new() -> Self {
        Self { bytes: vec![], offsets: vec![0], nulls: NullBufferBuilder::new(BATCH_ROWS_MAX) }
    }
    fn push(&mut self, value: &[u8]) -> Result<(), Reject> {
        // A row is below 1 GiB and a batch takes no row after BATCH_BYTES_MAX, so this does not
        // happen with a real server.
        let end = i32::try_from(self.bytes.len() + value.len()).map_err(|_| Reject::Range)?;
        self.bytes.extend_from_slice(value);
        self.offsets.push(end);
        self.nulls.append_non_null();
        Ok(())
    }
    fn push_null(&mut self) {
        self.offsets.push(self.bytes.len() as i32);
        self.nulls.append_null();
    }
    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer, Option<arrow::buffer::NullBuffer>) {
        // The next batch is likely to need about as much as this one.
        let next_bytes = Vec::with_capacity(self.bytes.len());
        let mut next_offsets = Vec::with_capacity(self.offsets.len());
        next_offsets.push(0);
        let bytes = std::mem::replace(&mut self.bytes, next_bytes);
        let offsets = std::mem::replace(&mut self.offsets, next_offsets);
        // Offsets begin at zero and only grow: `push` and `push_null` see to it.
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(bytes), self.nulls.finish())
    }
}

struct Bits {
    values: BooleanBufferBuilder,
    nulls: NullBufferBuilder,
}

/// One column under way.
enum Column {
    Bool(Bits),
    Int2(Values<i16>),
    Int4(Values<i32>),
    Int8(Values<i64>),
    Oid(Values<i64>),
    Float4(Values<f32>),
    Float8(Values<f64>),
    Decimal128(Values<i128>, u8, u8),
    Decimal256(Values<i256>, u8, u8),
    Text(Bytes),
    Jsonb(Bytes),
    Binary(Bytes),
    Uuid(Vec<u8>, NullBufferBuilder),
    Date(Values<i32>),
    Time(Values<i64>),
    Timestamp(Values<i64>),
}

impl Column {
    fn new(decode: &Decode) -> Self {
        match decode {
            Decode::Wire => Self::Binary(Bytes::new()),
            Decode::Value(pg) => match *pg {
                PgType::Bool => Self::Bool(Bits {
                    values: BooleanBufferBuilder::new(1024),
                    nulls: NullBufferBuilder::new(BATCH_ROWS_MAX),
                }),
                PgType::Int2 => Self::Int2(Values::new()),
                PgType::Int4 => Self::Int4(Values::new()),
                PgType::Int8 => Self::Int8(Values::new()),
                PgType::Oid => Self::Oid(Values::new()),
                PgType::Float4 => Self::Float4(Values::new()),
                PgType::Float8 => Self::Float8(Values::new()),
                PgType::Decimal128 { precision, scale } => Self::Decimal128(Values::new(), precision, scale),
                PgType::Decimal256 { precision, scale } => Self::Decimal256(Values::new(), precision, scale),
                PgType::Text | PgType::Cast => Self::Text(Bytes::new()),
                PgType::Jsonb => Self::Jsonb(Bytes::new()),
                PgType::Bytea => Self::Binary(Bytes::new()),
                PgType::Uuid => Self::Uuid(vec![], NullBufferBuilder::new(BATCH_ROWS_MAX)),
                PgType::Date => Self::Date(Values::new()),
                PgType::Time => Self::Time(Values::new()),
                PgType::Timestamp | PgType::Timestamptz => Self::Timestamp(Values::new()),
            },
        }
    }

    fn push_null(&mut self) {
        match self {
            Self::Bool(bits) => {
                bits.values.append(false);
                bits.nulls.append_null();
            }
            Self::Int2(values) => values.push_null(),
            Self::Int4(values) | Self::Date(values) => values.push_null(),
            Self::Int8(values) | Self::Oid(values) | Self::Time(values) | Self::Timestamp(values) => values.push_null(),
            Self::Float4(values) => values.push_null(),
            Self::Float8(values) => values.push_null(),
            Self::Decimal128(values, ..) => values.push_null(),
            Self::Decimal256(values, ..) => values.push_null(),
            Self::Text(bytes) | Self::Jsonb(bytes) | Self::Binary(bytes) => bytes.push_null(),
            Self::Uuid(bytes, nulls) => {
                bytes.extend_from_slice(&[0; 16]);
                nulls.append_null();
            }
        }
    }

    #[inline]
    fn push(&mut self, value: &[u8]) -> Result<(), Reject> {
        match self {
            Self::Bool(bits) => {
                let [byte] = fixed(value, "1 byte")?;
                bits.values.append(byte != 0);
                bits.nulls.append_non_null();
            }
            Self::Int2(values) => values.push(i16::from_be_bytes(fixed(value, "2 bytes")?)),
            Self::Int4(values) => values.push(i32::from_be_bytes(fixed(value, "4 bytes")?)),
            Self::Int8(values) => values.push(i64::from_be_bytes(fixed(value, "8 bytes")?)),
            Self::Oid(values) => values.push(u32::from_be_bytes(fixed(value, "4 bytes")?).into()),
            // The server knows one NaN, above all numbers; Arrow orders NaNs by their bits, so they
            // get the bits that sort there too.
            Self::Float4(values) => {
                let number = f32::from_be_bytes(fixed(value, "4 bytes")?);
                values.push(if number.is_nan() { f32::NAN } else { number });
            }
            Self::Float8(values) => {
                let number = f64::from_be_bytes(fixed(value, "8 bytes")?);
                values.push(if number.is_nan() { f64::NAN } else { number });
            }
            Self::Decimal128(values, precision, scale) => values.push(decimal128(value, *precision, *scale)?),
            Self::Decimal256(values, precision, scale) => values.push(decimal256(value, *precision, *scale)?),
            Self::Text(bytes) | Self::Binary(bytes) => bytes.push(value)?,
            Self::Jsonb(bytes) => match value.split_first() {
                Some((1, text)) => bytes.push(text)?,
                _ => return Err(Reject::Malformed("its jsonb version is not known")),
            },
            Self::Uuid(bytes, nulls) => {
                bytes.extend_from_slice(&fixed::<16>(value, "16 bytes")?);
                nulls.append_non_null();
            }
            Self::Date(values) => values.push(date(i32::from_be_bytes(fixed(value, "4 bytes")?))?),
            Self::Time(values) => {
                let time = i64::from_be_bytes(fixed(value, "8 bytes")?);
                if !(0..=86_400_000_000).contains(&time) {
                    return Err(Reject::Malformed("it is no time of day"));
                }
                values.push(time);
            }
            Self::Timestamp(values) => values.push(timestamp(i64::from_be_bytes(fixed(value, "8 bytes")?))?),
        }
        Ok(())
    }

    fn finish(&mut self, field: &Field, rows: usize) -> Result<ArrayRef, Finish> {
        Ok(match self {
            Self::Bool(bits) => Arc::new(BooleanArray::new(bits.values.finish(), bits.nulls.finish())),
            Self::Int2(values) => Arc::new(values.finish::<Int16Type>()),
            Self::Int4(values) => Arc::new(values.finish::<Int32Type>()),
            Self::Int8(values) | Self::Oid(values) => Arc::new(values.finish::<Int64Type>()),
            Self::Float4(values) => Arc::new(values.finish::<Float32Type>()),
            Self::Float8(values) => Arc::new(values.finish::<Float64Type>()),
            Self::Decimal128(values, precision, scale) => {
                let array: Decimal128Array = values.finish();
                Arc::new(array.with_precision_and_scale(*precision, *scale as i8)?)
            }
            Self::Decimal256(values, precision, scale) => {
                let array: Decimal256Array = values.finish();
                Arc::new(array.with_precision_and_scale(*precision, *scale as i8)?)
            }
            Self::Text(bytes) | Self::Jsonb(bytes) => {
                let (offsets, values, nulls) = bytes.take();
                // Checks UTF-8 of the whole column at once, and that no value begins inside a character.
                Arc::new(StringArray::try_new(offsets, values, nulls).map_err(|_| Finish::NotText)?)
            }
            Self::Binary(bytes) => {
                let (offsets, values, nulls) = bytes.take();
                Arc::new(BinaryArray::try_new(offsets, values, nulls)?)
            }
            Self::Uuid(bytes, nulls) => {
                let next = Vec::with_capacity(rows * 16);
                let bytes = std::mem::replace(bytes, next);
                Arc::new(FixedSizeBinaryArray::try_new(16, Buffer::from_vec(bytes), nulls.finish())?)
            }
            Self::Date(values) => Arc::new(values.finish::<Date32Type>()),
            Self::Time(values) => Arc::new(values.finish::<Time64MicrosecondType>()),
            Self::Timestamp(values) => {
                let array = values.finish::<TimestampMicrosecondType>();
                match field.data_type() {
                    DataType::Timestamp(_, zone) => Arc::new(array.with_timezone_opt(zone.clone())),
                    _ => Arc::new(array),
                }
            }
        })
    }
}

#[inline]
fn fixed<const N: usize>(value: &[u8], expected: &'static str) -> Result<[u8; N], Reject> {
    value.try_into().map_err(|_| Reject::Length { expected })
}

fn date(days: i32) -> Result<i32, Reject> {
    match days {
        i32::MAX => Ok(DATE_INFINITY),
        i32::MIN => Ok(DATE_NEGATIVE_INFINITY),
        days => days.checked_add(EPOCH_DAYS).filter(|d| *d != DATE_INFINITY).ok_or(Reject::Range),
    }
}

fn timestamp(microseconds: i64) -> Result<i64, Reject> {
    match microseconds {
        i64::MAX => Ok(TIMESTAMP_INFINITY),
        i64::MIN => Ok(TIMESTAMP_NEGATIVE_INFINITY),
        us => us.checked_add(EPOCH_MICROSECONDS).filter(|us| *us != TIMESTAMP_INFINITY).ok_or(Reject::Range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;
    use arrow::datatypes::Schema;

    fn numeric(weight: i16, sign: u16, digits: &[u16]) -> Vec<u8> {
        let mut bytes = vec![];
        bytes.extend((digits.len() as i16).to_be_bytes());
        bytes.extend(weight.to_be_bytes());
        bytes.extend(sign.to_be_bytes());
        bytes.extend(0u16.to_be_bytes());
        digits.iter().for_each(|d| bytes.extend(d.to_be_bytes()));
        bytes
    }

    #[test]
    fn infinite_dates_and_timestamps_are_the_ends_of_the_range() {
        assert_eq!(date(0), Ok(EPOCH_DAYS));
        assert_eq!(date(i32::MAX), Ok(i32::MAX));
        assert_eq!(date(i32::MIN), Ok(i32::MIN));
        assert_eq!(date(i32::MAX - 1), Err(Reject::Range));
        assert_eq!(timestamp(0), Ok(EPOCH_MICROSECONDS));
        assert_eq!(timestamp(i64::MIN), Ok(i64::MIN));
        assert_eq!(timestamp(i64::MAX - 1), Err(Reject::Range));
    }

    fn copy(rows: &[&[Option<&[u8]>]]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0; 8]);
        for row in rows {
            bytes.extend((row.len() as i16).to_be_bytes());
            for value in *row {
                match value {
                    Some(value) => {
                        bytes.extend((value.len() as i32).to_be_bytes());
                        bytes.extend(*value);
                    }
                    None => bytes.extend((-1i32).to_be_bytes()),
                }
            }
        }
        bytes.extend((-1i16).to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8], chunk: usize, types: &[PgType]) -> Result<Option<RecordBatch>> {
        let fields: Vec<Field> = types.iter().enumerate().map(|(i, t)| t.field(&format!("c{i}"), "t", true)).collect();
        let decodes: Vec<Decode> = types.iter().map(|t| Decode::Value(*t)).collect();
        let mut decoder = BatchDecoder::new(&TableName::new("s", "t"), Arc::new(Schema::new(fields)), &decodes);
        let mut rows = BinaryRows::new(types.len());
        for frame in bytes.chunks(chunk) {
            rows.feed(frame, |row, spans| decoder.push(row, spans))?;
        }
        assert!(rows.has_ended());
        decoder.finish()
    }

    #[test]
    fn rows_are_found_whatever_the_frames_are() {
        let types = [PgType::Int4, PgType::Text, PgType::Bool, PgType::Uuid, PgType::Jsonb];
        let uuid = [7u8; 16];
        let bytes = copy(&[
            &[Some(&1i32.to_be_bytes()), Some("é".as_bytes()), Some(&[1]), Some(&uuid), Some(b"\x01{}")],
            &[None, None, None, None, None],
            &[Some(&3i32.to_be_bytes()), Some(b""), Some(&[0]), Some(&uuid), None],
        ]);
        let whole = decode(&bytes, bytes.len(), &types).unwrap().unwrap();
        assert_eq!(whole.num_rows(), 3);
        assert_eq!(whole.column(0).null_count(), 1);
        for chunk in 1..bytes.len() {
            assert_eq!(decode(&bytes, chunk, &types).unwrap().unwrap(), whole, "frames of {chunk} bytes");
        }
    }

    #[test]
    fn rows_without_columns_are_counted() {
        let batch = decode(&copy(&[&[], &[], &[]]), 5, &[]).unwrap().unwrap();
        assert_eq!((batch.num_rows(), batch.num_columns()), (3, 0));
    }

    #[test]
    fn malformed_bytes_are_errors_and_never_panics() {
        let types = [PgType::Int4, PgType::Decimal128 { precision: 5, scale: 2 }, PgType::Text];
        let good = copy(&[&[Some(&1i32.to_be_bytes()), Some(&numeric(0, 0, &[1])), Some(b"x")]]);
        let fields: Vec<Field> = types.iter().map(|t| t.field("c", "t", true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let decodes: Vec<Decode> = types.iter().map(|t| Decode::Value(*t)).collect();
        // Every byte of a good copy, changed to several values, and every length of it.
        for at in 0..good.len() {
            for with in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] = with;
                let mut decoder = BatchDecoder::new(&TableName::new("s", "t"), schema.clone(), &decodes);
                let mut rows = BinaryRows::new(3);
                let outcome = rows.feed(&bad, |row, spans| decoder.push(row, spans)).and_then(|()| decoder.finish());
                if let Err(error) = outcome {
                    assert!(matches!(error.sqlstate(), "08P01" | "22003" | "22P02"), "{error} {}", error.sqlstate());
                }
            }
            let mut rows = BinaryRows::new(3);
            let _ = rows.feed(&good[..at], |_, _| Ok(()));
            assert!(!rows.has_ended());
        }
        let text = decode(&copy(&[&[Some(b"\xff")]]), 64, &[PgType::Text]).unwrap_err();
        assert_eq!(text.sqlstate(), "22P02");
        let length = decode(&copy(&[&[Some(b"\xff")]]), 64, &[PgType::Int8]).unwrap_err();
        assert_eq!(length.message(), "column \"c0\" of table s.t has a value that is not 8 bytes long");
    }
}
