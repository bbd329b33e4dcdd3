//! Arrow values as PostgreSQL sends them, in text and in binary.
//!
//! What type a column has is decided before ([`crate::pg_types`]); here a value of that Arrow type
//! is written as that PostgreSQL type. Values that the PostgreSQL type cannot hold are errors,
//! never other values; the one exception is time below a microsecond, which PostgreSQL does not
//! have: it is cut off.

mod float;
mod json;
mod numeric;
mod time;

pub(super) use numeric::{DecimalText, parse_numeric_binary};
pub(super) use time::{EPOCH_DAYS, EPOCH_MICROSECONDS};

use super::error::coded;
use crate::outcome::OutputColumn;
use crate::pg_types::{self, oid};
use crate::settings::Settings;
use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::*;
use bytes::{BufMut, BytesMut};
use catalog::{Error, ErrorKind, Result};
use std::fmt::Write;

/// How values look as text: what the session's settings say.
#[derive(Clone)]
pub(super) struct Style {
    /// Zone in which `timestamptz` is shown.
    pub zone: Tz,
    /// `bytea_output`
    pub is_bytea_escaped: bool,
    /// `extra_float_digits`
    pub extra_float_digits: i32,
    /// `IntervalStyle`
    pub is_interval_iso: bool,
}

impl Style {
    pub(super) fn of(settings: &Settings) -> Self {
        let is = |name, value| settings.get(name).as_deref() == Some(value);
        Self {
            zone: settings.time_zone(),
            is_bytea_escaped: is("bytea_output", "escape"),
            extra_float_digits: settings.get("extra_float_digits").and_then(|n| n.parse().ok()).unwrap_or(1),
            is_interval_iso: is("IntervalStyle", "iso_8601"),
        }
    }
}

/// Writes the rows of one batch.
pub(super) struct RowEncoder<'a> {
    cells: Vec<Cells>,
    style: &'a Style,
}

impl<'a> RowEncoder<'a> {
    /// `formats[i]`: whether column i is binary.
    pub(super) fn new(
        batch: &RecordBatch,
        columns: &[OutputColumn],
        formats: &[bool],
        style: &'a Style,
    ) -> Result<Self> {
        if batch.num_columns() != columns.len() {
            return Err(Error::internal(format!(
                "a result has {} columns where {} were described",
                batch.num_columns(),
                columns.len()
            )));
        }
        let cells = columns.iter().zip(batch.columns()).zip(formats);
        let cells = cells.map(|((column, array), binary)| Cells::new(array, column.type_oid, *binary));
        Ok(Self { cells: cells.collect::<Result<_>>()?, style })
    }

    /// Writes one row as a DataRow message.
    pub(super) fn row(&self, row: usize, out: &mut BytesMut) -> Result<()> {
        let start = out.len();
        out.put_u8(b'D');
        out.put_i32(0);
        out.put_u16(self.cells.len() as u16);
        for cells in &self.cells {
            if let Err(error) = cells.write(row, self.style, out) {
                // Half a row would break the protocol.
                out.truncate(start);
                return Err(error);
            }
        }
        let length = out.len() - start - 1;
        if length >= 1 << 30 {
            out.truncate(start);
            return Err(coded("54000", format!("a row of {length} bytes is longer than the protocol allows")));
        }
        out[start + 1..start + 5].copy_from_slice(&(length as u32).to_be_bytes());
        Ok(())
    }
}

/// One value as text, None for NULL.
pub(super) fn value_as_text(array: &ArrayRef, row: usize, type_oid: u32, style: &Style) -> Result<Option<String>> {
    let cells = Cells::new(array, type_oid, false)?;
    if cells.is_null(row) {
        return Ok(None);
    }
    let mut out = BytesMut::new();
    cells.value(row, style, &mut out)?;
    String::from_utf8(out.to_vec()).map(Some).map_err(|e| Error::internal("a value's text is not UTF-8").with_source(e))
}

/// The values of one column of one batch, and how they are written.
pub(super) struct Cells {
    array: ArrayRef,
    kind: Kind,
    type_oid: u32,
    is_binary: bool,
}

/// What stands in the array: one variant per way of reading it.
enum Kind {
    Null,
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float32,
    Float64,
    Decimal128(i8),
    Decimal256(i8),
    Utf8,
    LargeUtf8,
    Utf8View,
    Binary,
    LargeBinary,
    BinaryView,
    FixedBinary,
    Date32,
    Date64,
    Time32(TimeUnit),
    Time64(TimeUnit),
    Timestamp(TimeUnit),
    Interval(IntervalUnit),
    Duration(TimeUnit),
    /// An array of PostgreSQL, its elements written by a [`Cells`] of their own.
    List,
    /// int2vector and oidvector: an array with blanks in text and counted from 0.
    Vector,
    Json,
}

impl Cells {
    pub(super) fn new(array: &ArrayRef, type_oid: u32, is_binary: bool) -> Result<Self> {
        let array = plain(array)?;
        let kind = match array.data_type() {
            _ if matches!(type_oid, oid::JSON | oid::JSONB) && pg_types::is_nested(array.data_type()) => Kind::Json,
            DataType::Null => Kind::Null,
            DataType::Boolean => Kind::Bool,
            DataType::Int8 => Kind::Int8,
            DataType::Int16 => Kind::Int16,
            DataType::Int32 => Kind::Int32,
            DataType::Int64 => Kind::Int64,
            DataType::UInt8 => Kind::UInt8,
            DataType::UInt16 => Kind::UInt16,
            DataType::UInt32 => Kind::UInt32,
            DataType::UInt64 => Kind::UInt64,
            DataType::Float32 => Kind::Float32,
            DataType::Float64 => Kind::Float64,
            DataType::Decimal128(_, scale) => Kind::Decimal128(*scale),
            DataType::Decimal256(_, scale) => Kind::Decimal256(*scale),
            DataType::Utf8 => Kind::Utf8,
            DataType::LargeUtf8 => Kind::LargeUtf8,
            DataType::Utf8View => Kind::Utf8View,
            DataType::Binary => Kind::Binary,
            DataType::LargeBinary => Kind::LargeBinary,
            DataType::BinaryView => Kind::BinaryView,
            DataType::FixedSizeBinary(_) => Kind::FixedBinary,
            DataType::Date32 => Kind::Date32,
            DataType::Date64 => Kind::Date64,
            DataType::Time32(unit) => Kind::Time32(*unit),
            DataType::Time64(unit) => Kind::Time64(*unit),
            DataType::Timestamp(unit, _) => Kind::Timestamp(*unit),
            DataType::Interval(unit) => Kind::Interval(*unit),
            DataType::Duration(unit) => Kind::Duration(*unit),
            DataType::List(_) if matches!(type_oid, oid::INT2VECTOR | oid::OIDVECTOR) => Kind::Vector,
            DataType::List(_) => Kind::List,
            DataType::Struct(_) | DataType::Map(_, _) => Kind::Json,
            other => return Err(Error::unsupported(format!("sending values of the Arrow type {other}"))),
        };
        Ok(Self { array, kind, type_oid, is_binary })
    }

    fn is_null(&self, row: usize) -> bool {
        matches!(self.kind, Kind::Null) || self.array.is_null(row)
    }

    /// Writes the length and the value.
    fn write(&self, row: usize, style: &Style, out: &mut BytesMut) -> Result<()> {
        if self.is_null(row) {
            out.put_i32(-1);
            return Ok(());
        }
        let start = out.len();
        out.put_i32(0);
        self.value(row, style, out)?;
        let length = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// Writes the value without its length.
    pub(super) fn value(&self, row: usize, style: &Style, out: &mut BytesMut) -> Result<()> {
        let array = &self.array;
        match &self.kind {
            Kind::Null => {}
            Kind::Bool => {
                let value = array.as_boolean().value(row);
                out.put_u8(match (self.is_binary, value) {
                    (true, value) => u8::from(value),
                    (false, true) => b't',
                    (false, false) => b'f',
                });
            }
            Kind::Int8 => self.integer(array.as_primitive::<Int8Type>().value(row).into(), out)?,
            Kind::Int16 => self.integer(array.as_primitive::<Int16Type>().value(row).into(), out)?,
            Kind::Int32 => self.integer(array.as_primitive::<Int32Type>().value(row).into(), out)?,
            Kind::Int64 => self.integer(array.as_primitive::<Int64Type>().value(row).into(), out)?,
            Kind::UInt8 => self.integer(array.as_primitive::<UInt8Type>().value(row).into(), out)?,
            Kind::UInt16 => self.integer(array.as_primitive::<UInt16Type>().value(row).into(), out)?,
            Kind::UInt32 => self.integer(array.as_primitive::<UInt32Type>().value(row).into(), out)?,
            Kind::UInt64 => self.integer(array.as_primitive::<UInt64Type>().value(row).into(), out)?,
            Kind::Float32 => {
                let value = array.as_primitive::<Float32Type>().value(row);
                if self.is_binary { out.put_f32(value) } else { float::write_f32(value, style.extra_float_digits, out) }
            }
            Kind::Float64 => {
                let value = array.as_primitive::<Float64Type>().value(row);
                if self.is_binary { out.put_f64(value) } else { float::write_f64(value, style.extra_float_digits, out) }
            }
            Kind::Decimal128(scale) => {
                self.decimal(&array.as_primitive::<Decimal128Type>().value(row).to_string(), *scale, out)?;
            }
            Kind::Decimal256(scale) => {
                self.decimal(&array.as_primitive::<Decimal256Type>().value(row).to_string(), *scale, out)?;
            }
            Kind::Utf8 => self.text(array.as_string::<i32>().value(row), out),
            Kind::LargeUtf8 => self.text(array.as_string::<i64>().value(row), out),
            Kind::Utf8View => self.text(array.as_string_view().value(row), out),
            Kind::Binary => self.bytes(array.as_binary::<i32>().value(row), style, out),
            Kind::LargeBinary => self.bytes(array.as_binary::<i64>().value(row), style, out),
            Kind::BinaryView => self.bytes(array.as_binary_view().value(row), style, out),
            Kind::FixedBinary => self.bytes(array.as_fixed_size_binary().value(row), style, out),
            Kind::Date32 => {
                let days = array.as_primitive::<Date32Type>().value(row);
                time::write_date(days.into(), true, self.is_binary, out)?;
            }
            Kind::Date64 => {
                let days = array.as_primitive::<Date64Type>().value(row).div_euclid(86_400_000);
                time::write_date(days, false, self.is_binary, out)?;
            }
            Kind::Time32(unit) => {
                let value = match unit {
                    TimeUnit::Second => array.as_primitive::<Time32SecondType>().value(row),
                    _ => array.as_primitive::<Time32MillisecondType>().value(row),
                };
                time::write_time(time::microseconds(value.into(), *unit)?, self.is_binary, out);
            }
            Kind::Time64(unit) => {
                let value = match unit {
                    TimeUnit::Nanosecond => array.as_primitive::<Time64NanosecondType>().value(row),
                    _ => array.as_primitive::<Time64MicrosecondType>().value(row),
                };
                time::write_time(time::microseconds(value, *unit)?, self.is_binary, out);
            }
            Kind::Timestamp(unit) => {
                let value = match unit {
                    TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(row),
                    TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(row),
                    TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
                    TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value(row),
                };
                let zone = (self.type_oid == oid::TIMESTAMPTZ).then_some(&style.zone);
                time::write_timestamp(value, *unit, zone, self.is_binary, out)?;
            }
            Kind::Interval(unit) => {
                let (months, days, nanoseconds) = match unit {
                    IntervalUnit::YearMonth => (array.as_primitive::<IntervalYearMonthType>().value(row), 0, 0),
                    IntervalUnit::DayTime => {
                        let value = array.as_primitive::<IntervalDayTimeType>().value(row);
                        (0, value.days, i64::from(value.milliseconds) * 1_000_000)
                    }
                    IntervalUnit::MonthDayNano => {
                        let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
                        (value.months, value.days, value.nanoseconds)
                    }
                };
                // Toward zero, as -1 ns is nearer to nothing than to -1 us.
                time::write_interval(months, days, nanoseconds / 1_000, style.is_interval_iso, self.is_binary, out);
            }
            Kind::Duration(unit) => {
                let value = match unit {
                    TimeUnit::Second => array.as_primitive::<DurationSecondType>().value(row),
                    TimeUnit::Millisecond => array.as_primitive::<DurationMillisecondType>().value(row),
                    TimeUnit::Microsecond => array.as_primitive::<DurationMicrosecondType>().value(row),
                    TimeUnit::Nanosecond => array.as_primitive::<DurationNanosecondType>().value(row) / 1_000,
                };
                let unit = if *unit == TimeUnit::Nanosecond { TimeUnit::Microsecond } else { *unit };
                time::write_interval(
                    0,
                    0,
                    time::microseconds(value, unit)?,
                    style.is_interval_iso,
                    self.is_binary,
                    out,
                );
            }
            Kind::List | Kind::Vector => self.list(&array.as_list::<i32>().value(row), style, out)?,
            Kind::Json => {
                if self.is_binary && self.type_oid == oid::JSONB {
                    out.put_u8(1);
                }
                json::write(array, row, style, out)?;
            }
        }
        Ok(())
    }

    fn integer(&self, value: i128, out: &mut BytesMut) -> Result<()> {
        if !self.is_binary {
            return write(out, format_args!("{value}"));
        }
        let range = || {
            let name = pg_types::type_name(self.type_oid).unwrap_or_default();
            Error::new(ErrorKind::NumericRange, format!("value \"{value}\" is out of range for type {name}"))
        };
        match self.type_oid {
            oid::INT2 => out.put_i16(value.try_into().map_err(|_| range())?),
            oid::INT4 => out.put_i32(value.try_into().map_err(|_| range())?),
            oid::NUMERIC => numeric::write_binary(&value.to_string(), out)?,
            oid::INT8 => out.put_i64(value.try_into().map_err(|_| range())?),
            // oid and everything that is one.
            _ => out.put_u32(value.try_into().map_err(|_| range())?),
        }
        Ok(())
    }

    /// `digits` without a point, `scale` digits of them behind it.
    fn decimal(&self, digits: &str, scale: i8, out: &mut BytesMut) -> Result<()> {
        let text = numeric::place_point(digits, scale);
        if self.is_binary {
            numeric::write_binary(&text, out)
        } else {
            out.put_slice(text.as_bytes());
            Ok(())
        }
    }

    fn text(&self, value: &str, out: &mut BytesMut) {
        if self.is_binary && self.type_oid == oid::JSONB {
            out.put_u8(1);
        }
        out.put_slice(value.as_bytes());
    }

    fn bytes(&self, value: &[u8], style: &Style, out: &mut BytesMut) {
        if self.is_binary {
            out.put_slice(value);
        } else if self.type_oid == oid::UUID {
            for (i, byte) in value.iter().enumerate() {
                if matches!(i, 4 | 6 | 8 | 10) {
                    out.put_u8(b'-');
                }
                put_hex(*byte, out);
            }
        } else {
            write_bytea(value, style.is_bytea_escaped, out);
        }
    }

    fn list(&self, items: &ArrayRef, style: &Style, out: &mut BytesMut) -> Result<()> {
        let element_oid = match self.type_oid {
            oid::INT2VECTOR => oid::INT2,
            oid::OIDVECTOR => oid::OID,
            array => pg_types::element_oid(array).unwrap_or(oid::TEXT),
        };
        let cells = Cells::new(items, element_oid, self.is_binary)?;
        let is_vector = matches!(self.kind, Kind::Vector);
        let count = items.len();
        if self.is_binary {
            // Dimensions, whether NULLs occur, element type; then length and lower bound.
            out.put_i32(i32::from(count > 0 || is_vector));
            out.put_i32(i32::from((0..count).any(|i| cells.is_null(i))));
            out.put_u32(element_oid);
            if count > 0 || is_vector {
                out.put_i32(count as i32);
                out.put_i32(i32::from(!is_vector));
            }
            return (0..count).try_for_each(|i| cells.write(i, style, out));
        }
        if is_vector {
            for i in 0..count {
                if i > 0 {
                    out.put_u8(b' ');
                }
                cells.value(i, style, out)?;
            }
            return Ok(());
        }
        out.put_u8(b'{');
        let mut item = BytesMut::new();
        for i in 0..count {
            if i > 0 {
                out.put_u8(b',');
            }
            if cells.is_null(i) {
                out.put_slice(b"NULL");
                continue;
            }
            item.clear();
            cells.value(i, style, &mut item)?;
            put_element(&item, out);
        }
        out.put_u8(b'}');
        Ok(())
    }
}

/// The array without dictionaries, runs, views of lists and the widths that PostgreSQL lacks.
fn plain(array: &ArrayRef) -> Result<ArrayRef> {
    let to = match array.data_type() {
        DataType::Dictionary(_, value) => (**value).clone(),
        DataType::RunEndEncoded(_, values) => values.data_type().clone(),
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => DataType::List(item.clone()),
        _ => return Ok(array.clone()),
    };
    let options = arrow::compute::CastOptions { safe: false, ..Default::default() };
    let converted = arrow::compute::cast_with_options(array, &to, &options).map_err(|e| {
        Error::internal(format!("values of the Arrow type {} could not be sent", array.data_type())).with_source(e)
    })?;
    plain(&converted)
}

/// Writing to memory does not fail.
pub(super) fn write(out: &mut BytesMut, text: std::fmt::Arguments<'_>) -> Result<()> {
    // BytesMut refuses only what exceeds the address space, but its trait has an error.
    out.reserve(32);
    out.write_fmt(text).map_err(|e| Error::internal("a value could not be written").with_source(e))
}

fn put_hex(byte: u8, out: &mut BytesMut) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.put_u8(DIGITS[usize::from(byte >> 4)]);
    out.put_u8(DIGITS[usize::from(byte & 15)]);
}

fn write_bytea(value: &[u8], is_escaped: bool, out: &mut BytesMut) {
    if !is_escaped {
        out.reserve(2 + 2 * value.len());
        out.put_slice(b"\\x");
        value.iter().for_each(|byte| put_hex(*byte, out));
        return;
    }
    for byte in value {
        match byte {
            b'\\' => out.put_slice(b"\\\\"),
            0x20..=0x7e => out.put_u8(*byte),
            _ => {
                out.put_u8(b'\\');
                for shift in [6, 3, 0] {
                    out.put_u8(b'0' + ((byte >> shift) & 7));
                }
            }
        }
    }
}

/// An element of an array's text, quoted where it must be.
fn put_element(item: &[u8], out: &mut BytesMut) {
    let needs_quotes = item.is_empty()
        || item.eq_ignore_ascii_case(b"null")
        || item
            .iter()
            .any(|b| matches!(b, b'{' | b'}' | b',' | b'"' | b'\\' | b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c));
    if !needs_quotes {
        out.put_slice(item);
        return;
    }
    out.put_u8(b'"');
    for byte in item {
        if matches!(byte, b'"' | b'\\') {
            out.put_u8(b'\\');
        }
        out.put_u8(*byte);
    }
    out.put_u8(b'"');
}

#[cfg(test)]
#[path = "encode/tests.rs"]
mod tests;
