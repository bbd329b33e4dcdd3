//! One column of one batch, resolved to typed slices, and its cells as COPY wants them: binary
//! (length and value) or text. Which Arrow type fits which column is decided in [`Column::new`] and
//! nowhere else.

use super::calendar;
use super::cell::{
    CellError, CellResult, check_text, decimal_as_float, decimal_fits, fail, length, narrow, parse_uuid, put_fixed,
    put_integer, put_numeric_text, put_octets, put_text, put_timestamp, time_of_day, whole_day, write_float4,
    write_float8, write_hex, write_uuid,
};
use super::numeric::{self, NumericLimit};
use crate::encode::ColumnType;
use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;
use bytes::{BufMut, BytesMut};
use catalog::ErrorKind;
use std::io::Write;

/// One column of one batch.
#[derive(Debug)]
pub(crate) struct Column<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

/// Bytes of variable or fixed length.
#[derive(Debug, Clone, Copy)]
enum Octets<'a> {
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    Utf8View(&'a StringViewArray),
    Binary(&'a BinaryArray),
    LargeBinary(&'a LargeBinaryArray),
    BinaryView(&'a BinaryViewArray),
    Fixed(&'a FixedSizeBinaryArray),
}

impl<'a> Octets<'a> {
    fn text(array: &'a dyn Array) -> Option<Self> {
        match array.data_type() {
            DataType::Utf8 => Some(Self::Utf8(array.as_string())),
            DataType::LargeUtf8 => Some(Self::LargeUtf8(array.as_string())),
            DataType::Utf8View => Some(Self::Utf8View(array.as_string_view())),
            _ => None,
        }
    }
    fn binary(array: &'a dyn Array) -> Option<Self> {
        match array.data_type() {
            DataType::Binary => Some(Self::Binary(array.as_binary())),
            DataType::LargeBinary => Some(Self::LargeBinary(array.as_binary())),
            DataType::BinaryView => Some(Self::BinaryView(array.as_binary_view())),
            DataType::FixedSizeBinary(_) => Some(Self::Fixed(array.as_fixed_size_binary())),
            _ => None,
        }
    }
    #[inline]
    fn get(&self, row: usize) -> &'a [u8] {
        match self {
            Self::Utf8(array) => array.value(row).as_bytes(),
            Self::LargeUtf8(array) => array.value(row).as_bytes(),
            Self::Utf8View(array) => array.value(row).as_bytes(),
            Self::Binary(array) => array.value(row),
            Self::LargeBinary(array) => array.value(row),
            Self::BinaryView(array) => array.value(row),
            Self::Fixed(array) => array.value(row),
        }
    }
    /// Whether no value of the batch holds a zero byte, as far as one look can tell.
    fn has_no_zero(&self) -> bool {
        fn span<T: OffsetSizeTrait>(array: &GenericStringArray<T>) -> &[u8] {
            let offsets = array.value_offsets();
            let (first, last) = (offsets[0].as_usize(), offsets[offsets.len() - 1].as_usize());
            &array.value_data()[first..last]
        }
        match self {
            Self::Utf8(array) => !span(array).contains(&0),
            Self::LargeUtf8(array) => !span(array).contains(&0),
            _ => false,
        }
    }
    /// The value as text; the caller resolved a text array.
    fn get_text(&self, row: usize) -> &'a str {
        match self {
            Self::Utf8(array) => array.value(row),
            Self::LargeUtf8(array) => array.value(row),
            Self::Utf8View(array) => array.value(row),
            _ => "",
        }
    }
}

/// Integers of any width.
#[derive(Debug, Clone, Copy)]
enum Integers<'a> {
    I8(&'a [i8]),
    I16(&'a [i16]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    U8(&'a [u8]),
    U16(&'a [u16]),
    U32(&'a [u32]),
    U64(&'a [u64]),
}

impl<'a> Integers<'a> {
    fn new(array: &'a dyn Array) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Int8 => Self::I8(array.as_primitive::<Int8Type>().values()),
            DataType::Int16 => Self::I16(array.as_primitive::<Int16Type>().values()),
            DataType::Int32 => Self::I32(array.as_primitive::<Int32Type>().values()),
            DataType::Int64 => Self::I64(array.as_primitive::<Int64Type>().values()),
            DataType::UInt8 => Self::U8(array.as_primitive::<UInt8Type>().values()),
            DataType::UInt16 => Self::U16(array.as_primitive::<UInt16Type>().values()),
            DataType::UInt32 => Self::U32(array.as_primitive::<UInt32Type>().values()),
            DataType::UInt64 => Self::U64(array.as_primitive::<UInt64Type>().values()),
            _ => return None,
        })
    }
    #[inline]
    fn get(&self, row: usize) -> i128 {
        match self {
            Self::I8(values) => values[row].into(),
            Self::I16(values) => values[row].into(),
            Self::I32(values) => values[row].into(),
            Self::I64(values) => values[row].into(),
            Self::U8(values) => values[row].into(),
            Self::U16(values) => values[row].into(),
            Self::U32(values) => values[row].into(),
            Self::U64(values) => values[row].into(),
        }
    }
}

/// Unscaled decimals.
#[derive(Debug, Clone, Copy)]
enum Decimals<'a> {
    D32(&'a Decimal32Array),
    D64(&'a Decimal64Array),
    D128(&'a Decimal128Array),
    D256(&'a Decimal256Array),
}

impl<'a> Decimals<'a> {
    fn new(array: &'a dyn Array) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Decimal32(..) => Self::D32(array.as_primitive()),
            DataType::Decimal64(..) => Self::D64(array.as_primitive()),
            DataType::Decimal128(..) => Self::D128(array.as_primitive()),
            DataType::Decimal256(..) => Self::D256(array.as_primitive()),
            _ => return None,
        })
    }
    fn precision_and_scale(&self) -> (u8, i8) {
        match self {
            Self::D32(array) => (array.precision(), array.scale()),
            Self::D64(array) => (array.precision(), array.scale()),
            Self::D128(array) => (array.precision(), array.scale()),
            Self::D256(array) => (array.precision(), array.scale()),
        }
    }
    #[inline]
    fn unscaled(&self, row: usize) -> Option<i128> {
        match self {
            Self::D32(array) => Some(array.value(row).into()),
            Self::D64(array) => Some(array.value(row).into()),
            Self::D128(array) => Some(array.value(row)),
            Self::D256(array) => array.value(row).to_i128(),
        }
    }
    fn text(&self, row: usize) -> String {
        match self {
            Self::D32(array) => array.value_as_string(row),
            Self::D64(array) => array.value_as_string(row),
            Self::D128(array) => array.value_as_string(row),
            Self::D256(array) => array.value_as_string(row),
        }
    }
}

/// A unit of time as a ratio to microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    Multiply(i64),
    Divide(i64),
}

impl Unit {
    fn new(unit: TimeUnit) -> Self {
        match unit {
            TimeUnit::Second => Self::Multiply(1_000_000),
            TimeUnit::Millisecond => Self::Multiply(1_000),
            TimeUnit::Microsecond => Self::Multiply(1),
            TimeUnit::Nanosecond => Self::Divide(1_000),
        }
    }
    #[inline]
    pub(super) fn micros(self, value: i64) -> Option<i64> {
        match self {
            Self::Multiply(1) => Some(value),
            // The ends of the range mean infinity in microseconds only.
            Self::Multiply(factor) => value.checked_mul(factor),
            Self::Divide(divisor) => Some(value.div_euclid(divisor)),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Intervals<'a> {
    YearMonth(&'a [i32]),
    DayTime(&'a [IntervalDayTime]),
    MonthDayNano(&'a [IntervalMonthDayNano]),
    Duration(&'a [i64], Unit),
}

impl Intervals<'_> {
    fn get(&self, row: usize) -> Result<(i32, i32, i64), Box<CellError>> {
        Ok(match self {
            Self::YearMonth(values) => (values[row], 0, 0),
            Self::DayTime(values) => (0, values[row].days, i64::from(values[row].milliseconds) * 1_000),
            Self::MonthDayNano(values) => {
                let value = values[row];
                (value.months, value.days, value.nanoseconds.div_euclid(1_000))
            }
            Self::Duration(values, unit) => match unit.micros(values[row]) {
                Some(micros) => (0, 0, micros),
                None => return fail(ErrorKind::NumericRange, "a duration is out of range for type interval"),
            },
        })
    }
}

#[derive(Debug, Clone, Copy)]
enum Offsets<'a> {
    Small(&'a [i32]),
    Large(&'a [i64]),
    Fixed(usize),
}

impl Offsets<'_> {
    fn span(&self, row: usize) -> (usize, usize) {
        match self {
            Self::Small(offsets) => (offsets[row] as usize, offsets[row + 1] as usize),
            Self::Large(offsets) => (offsets[row] as usize, offsets[row + 1] as usize),
            Self::Fixed(size) => (row * size, (row + 1) * size),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IntegerTo {
    Int2,
    Int4,
    Int8,
    Oid,
    Numeric(Option<NumericLimit>),
    Float4,
    Float8,
}

#[derive(Debug)]
enum Values<'a> {
    Null,
    Bool(&'a BooleanArray),
    Int2(&'a [i16]),
    Int4(&'a [i32]),
    Int8(&'a [i64]),
    Integer(Integers<'a>, IntegerTo),
    Float4(&'a [f32]),
    Float8(&'a [f64]),
    Float4AsFloat8(&'a [f32]),
    Float8AsFloat4(&'a [f64]),
    FloatAsNumeric(&'a dyn Array, Option<NumericLimit>),
    Decimal(Decimals<'a>, u8),
    DecimalChecked(Decimals<'a>, Option<NumericLimit>),
    DecimalAsFloat(Decimals<'a>, bool),
    Text(Octets<'a>, bool),
    NumericText(Octets<'a>, Option<NumericLimit>),
    Jsonb(Octets<'a>, bool),
    UuidText(Octets<'a>),
    Octets(Octets<'a>),
    Uuid(Octets<'a>),
    Wire(Octets<'a>),
    Date(&'a [i32]),
    DateOfMillis(&'a [i64]),
    Time32(&'a [i32], Unit),
    Time64(&'a [i64], Unit),
    Timestamp(&'a [i64], Unit, bool),
    DateAsTimestamp(&'a [i32]),
    Interval(Intervals<'a>),
    List {
        offsets: Offsets<'a>,
        child: Box<Column<'a>>,
        element_oid: u32,
    },
    /// The text of another form.
    AsText(Box<Values<'a>>),
}

impl<'a> Column<'a> {
    /// A column whose cells are wire bytes already.
    pub(crate) fn wire(array: &'a dyn Array) -> Option<Self> {
        Some(Self { nulls: array.nulls(), values: Values::Wire(Octets::binary(array)?) })
    }

    /// Resolves an array for a column type; None when there is no direct way from one to the other.
    /// The array must have been prepared (no dictionaries, no structs).
    pub(crate) fn new(array: &'a dyn Array, to: &ColumnType) -> Option<Self> {
        Some(Self { nulls: array.nulls(), values: Values::new(array, to)? })
    }

    /// The column in the form that is natural to its Arrow type; for text.
    pub(crate) fn natural(array: &'a dyn Array) -> Option<Self> {
        Self::new(array, &ColumnType::natural(array.data_type())?)
    }

    #[inline]
    pub(crate) fn is_null(&self, row: usize) -> bool {
        match self.nulls {
            Some(nulls) => nulls.is_null(row),
            None => matches!(self.values, Values::Null),
        }
    }

    /// Writes the cell in COPY's binary form: length and value, -1 for NULL.
    #[inline]
    pub(crate) fn put_binary(&self, row: usize, buffer: &mut BytesMut) -> CellResult {
        if self.is_null(row) {
            buffer.put_i32(-1);
            return Ok(());
        }
        self.values.put_binary(row, buffer)
    }

    /// Writes the value as PostgreSQL's text input takes it, unescaped. The cell is not NULL.
    pub(crate) fn write_text(&self, row: usize, out: &mut Vec<u8>) -> CellResult {
        self.values.write_text(row, out)
    }
}

impl<'a> Values<'a> {
    fn new(array: &'a dyn Array, to: &ColumnType) -> Option<Self> {
        use ColumnType as To;
        if array.data_type() == &DataType::Null {
            return Some(Self::Null);
        }
        Some(match to {
            To::Bool => match array.data_type() {
                DataType::Boolean => Self::Bool(array.as_boolean()),
                _ => return None,
            },
            To::Int2 | To::Int4 | To::Int8 | To::Oid => match (Integers::new(array)?, to) {
                (Integers::I16(values), To::Int2) => Self::Int2(values),
                (Integers::I32(values), To::Int4) => Self::Int4(values),
                (Integers::I64(values), To::Int8) => Self::Int8(values),
                (values, To::Int2) => Self::Integer(values, IntegerTo::Int2),
                (values, To::Int4) => Self::Integer(values, IntegerTo::Int4),
                (values, To::Int8) => Self::Integer(values, IntegerTo::Int8),
                (values, _) => Self::Integer(values, IntegerTo::Oid),
            },
            To::Float4 | To::Float8 => {
                let is_four = *to == To::Float4;
                match array.data_type() {
                    DataType::Float32 if is_four => Self::Float4(array.as_primitive::<Float32Type>().values()),
                    DataType::Float32 => Self::Float4AsFloat8(array.as_primitive::<Float32Type>().values()),
                    DataType::Float64 if is_four => Self::Float8AsFloat4(array.as_primitive::<Float64Type>().values()),
                    DataType::Float64 => Self::Float8(array.as_primitive::<Float64Type>().values()),
                    _ => match (Integers::new(array), is_four) {
                        (Some(values), true) => Self::Integer(values, IntegerTo::Float4),
                        (Some(values), false) => Self::Integer(values, IntegerTo::Float8),
                        (None, _) => Self::DecimalAsFloat(Decimals::new(array)?, is_four),
                    },
                }
            }
            To::Numeric(limit) => {
                if let Some(decimals) = Decimals::new(array) {
                    let (precision, scale) = decimals.precision_and_scale();
                    let fits = limit.is_none_or(|limit| decimal_fits(precision, scale, limit));
                    match (fits, u8::try_from(scale)) {
                        (true, Ok(scale)) => Self::Decimal(decimals, scale),
                        _ => Self::DecimalChecked(decimals, *limit),
                    }
                } else if let Some(values) = Integers::new(array) {
                    Self::Integer(values, IntegerTo::Numeric(*limit))
                } else if let Some(values) = Octets::text(array) {
                    Self::NumericText(values, *limit)
                } else if matches!(array.data_type(), DataType::Float32 | DataType::Float64) {
                    Self::FloatAsNumeric(array, *limit)
                } else {
                    return None;
                }
            }
            To::Text | To::Other => match Octets::text(array) {
                Some(values) => Self::Text(values, values.has_no_zero()),
                None => Self::AsText(Box::new(Self::new(array, &ColumnType::natural(array.data_type())?)?)),
            },
            To::Jsonb => {
                let values = Octets::text(array)?;
                Self::Jsonb(values, values.has_no_zero())
            }
            To::Bytea => Self::Octets(Octets::binary(array)?),
            To::Uuid => match array.data_type() {
                DataType::FixedSizeBinary(16) => Self::Uuid(Octets::binary(array)?),
                _ => Self::UuidText(Octets::text(array)?),
            },
            To::Date => match array.data_type() {
                DataType::Date32 => Self::Date(array.as_primitive::<Date32Type>().values()),
                DataType::Date64 => Self::DateOfMillis(array.as_primitive::<Date64Type>().values()),
                _ => return None,
            },
            To::Time => match array.data_type() {
                DataType::Time32(TimeUnit::Second) => {
                    Self::Time32(array.as_primitive::<Time32SecondType>().values(), Unit::new(TimeUnit::Second))
                }
                DataType::Time32(_) => Self::Time32(
                    array.as_primitive::<Time32MillisecondType>().values(),
                    Unit::new(TimeUnit::Millisecond),
                ),
                DataType::Time64(TimeUnit::Microsecond) => Self::Time64(
                    array.as_primitive::<Time64MicrosecondType>().values(),
                    Unit::new(TimeUnit::Microsecond),
                ),
                DataType::Time64(_) => {
                    Self::Time64(array.as_primitive::<Time64NanosecondType>().values(), Unit::new(TimeUnit::Nanosecond))
                }
                _ => return None,
            },
            To::Timestamp | To::Timestamptz => match array.data_type() {
                DataType::Timestamp(unit, zone) if zone.is_some() == (*to == To::Timestamptz) => {
                    let values = match unit {
                        TimeUnit::Second => array.as_primitive::<TimestampSecondType>().values(),
                        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().values(),
                        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().values(),
                        TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().values(),
                    };
                    Self::Timestamp(values, Unit::new(*unit), zone.is_some())
                }
                DataType::Date32 if *to == To::Timestamp => {
                    Self::DateAsTimestamp(array.as_primitive::<Date32Type>().values())
                }
                DataType::Date64 if *to == To::Timestamp => Self::Timestamp(
                    array.as_primitive::<Date64Type>().values(),
                    Unit::new(TimeUnit::Millisecond),
                    false,
                ),
                _ => return None,
            },
            To::Interval => Self::Interval(match array.data_type() {
                DataType::Interval(IntervalUnit::YearMonth) => {
                    Intervals::YearMonth(array.as_primitive::<IntervalYearMonthType>().values())
                }
                DataType::Interval(IntervalUnit::DayTime) => {
                    Intervals::DayTime(array.as_primitive::<IntervalDayTimeType>().values())
                }
                DataType::Interval(IntervalUnit::MonthDayNano) => {
                    Intervals::MonthDayNano(array.as_primitive::<IntervalMonthDayNanoType>().values())
                }
                DataType::Duration(unit) => {
                    let values = match unit {
                        TimeUnit::Second => array.as_primitive::<DurationSecondType>().values(),
                        TimeUnit::Millisecond => array.as_primitive::<DurationMillisecondType>().values(),
                        TimeUnit::Microsecond => array.as_primitive::<DurationMicrosecondType>().values(),
                        TimeUnit::Nanosecond => array.as_primitive::<DurationNanosecondType>().values(),
                    };
                    Intervals::Duration(values, Unit::new(*unit))
                }
                _ => return None,
            }),
            To::Array { element_oid, element } => {
                let (offsets, child): (Offsets<'a>, &'a dyn Array) = match array.data_type() {
                    DataType::List(_) => {
                        let list = array.as_list::<i32>();
                        (Offsets::Small(list.value_offsets()), list.values())
                    }
                    DataType::LargeList(_) => {
                        let list = array.as_list::<i64>();
                        (Offsets::Large(list.value_offsets()), list.values())
                    }
                    DataType::FixedSizeList(_, size) => {
                        (Offsets::Fixed(usize::try_from(*size).ok()?), array.as_fixed_size_list().values())
                    }
                    _ => return None,
                };
                Self::List { offsets, child: Box::new(Column::new(child, element)?), element_oid: *element_oid }
            }
        })
    }

    #[inline]
    fn put_binary(&self, row: usize, buffer: &mut BytesMut) -> CellResult {
        match self {
            Self::Null => {
                buffer.put_i32(-1);
                Ok(())
            }
            Self::Bool(array) => put_fixed(buffer, [u8::from(array.value(row))]),
            Self::Int2(values) => put_fixed(buffer, values[row].to_be_bytes()),
            Self::Int4(values) => put_fixed(buffer, values[row].to_be_bytes()),
            Self::Int8(values) => put_fixed(buffer, values[row].to_be_bytes()),
            Self::Integer(values, to) => put_integer(values.get(row), *to, buffer),
            Self::Float4(values) => put_fixed(buffer, values[row].to_be_bytes()),
            Self::Float8(values) => put_fixed(buffer, values[row].to_be_bytes()),
            Self::Float4AsFloat8(values) => put_fixed(buffer, f64::from(values[row]).to_be_bytes()),
            Self::Float8AsFloat4(values) => put_fixed(buffer, narrow(values[row])?.to_be_bytes()),
            Self::Decimal(values, scale) => match values.unscaled(row) {
                Some(unscaled) if numeric::put_integer(unscaled, *scale, buffer) => Ok(()),
                _ => put_numeric_text(&values.text(row), None, buffer),
            },
            Self::DecimalChecked(values, limit) => put_numeric_text(&values.text(row), *limit, buffer),
            Self::FloatAsNumeric(..) | Self::NumericText(..) => {
                let mut text = vec![];
                self.write_text(row, &mut text)?;
                let limit = match self {
                    Self::FloatAsNumeric(_, limit) | Self::NumericText(_, limit) => *limit,
                    _ => None,
                };
                put_numeric_text(&String::from_utf8_lossy(&text), limit, buffer)
            }
            Self::DecimalAsFloat(values, is_four) => {
                let value = decimal_as_float(&values.text(row))?;
                if *is_four {
                    put_fixed(buffer, narrow(value)?.to_be_bytes())
                } else {
                    put_fixed(buffer, value.to_be_bytes())
                }
            }
            Self::Text(values, is_clean) => put_text(values.get(row), *is_clean, buffer),
            Self::Octets(values) | Self::Wire(values) => put_octets(values.get(row), buffer),
            Self::Jsonb(values, is_clean) => {
                let value = values.get(row);
                check_text(value, *is_clean)?;
                buffer.put_i32(length(value.len() + 1)?);
                // The version of jsonb's wire form.
                buffer.put_u8(1);
                buffer.put_slice(value);
                Ok(())
            }
            Self::UuidText(values) => put_fixed(buffer, parse_uuid(values.get_text(row))?),
            Self::Uuid(values) => put_octets(values.get(row), buffer),
            Self::Date(values) => match calendar::date_to_postgres(values[row]) {
                Some(days) => put_fixed(buffer, days.to_be_bytes()),
                None => fail(ErrorKind::NumericRange, "a date is out of range for type date"),
            },
            Self::DateOfMillis(values) => {
                let days = whole_day(values[row])?;
                match calendar::date_to_postgres(days) {
                    Some(days) => put_fixed(buffer, days.to_be_bytes()),
                    None => fail(ErrorKind::NumericRange, "a date is out of range for type date"),
                }
            }
            Self::Time32(values, unit) => put_fixed(buffer, time_of_day(*unit, values[row].into())?.to_be_bytes()),
            Self::Time64(values, unit) => put_fixed(buffer, time_of_day(*unit, values[row])?.to_be_bytes()),
            Self::Timestamp(values, unit, _) => put_timestamp(unit.micros(values[row]), buffer),
            Self::DateAsTimestamp(values) => put_timestamp(calendar::date_to_micros(values[row]), buffer),
            Self::Interval(values) => {
                let (months, days, micros) = values.get(row)?;
                let mut cell = [0u8; 16];
                cell[..8].copy_from_slice(&micros.to_be_bytes());
                cell[8..12].copy_from_slice(&days.to_be_bytes());
                cell[12..].copy_from_slice(&months.to_be_bytes());
                put_fixed(buffer, cell)
            }
            Self::AsText(values) => {
                let mut text = vec![];
                values.write_text(row, &mut text)?;
                put_text(&text, false, buffer)
            }
            Self::List { offsets, child, element_oid } => {
                let (first, last) = offsets.span(row);
                let start = buffer.len();
                buffer.put_i32(0);
                buffer.put_i32(i32::from(first < last));
                buffer.put_i32(i32::from((first..last).any(|index| child.is_null(index))));
                buffer.put_u32(*element_oid);
                if first < last {
                    buffer.put_i32(length(last - first)?);
                    buffer.put_i32(1);
                    for index in first..last {
                        child.put_binary(index, buffer)?;
                    }
                }
                let cell = length(buffer.len() - start - 4)?;
                buffer[start..start + 4].copy_from_slice(&cell.to_be_bytes());
                Ok(())
            }
        }
    }

    fn write_text(&self, row: usize, out: &mut Vec<u8>) -> CellResult {
        // Writing into a Vec does not fail, so its results carry nothing.
        match self {
            Self::Null => {}
            Self::Bool(array) => out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }),
            Self::Int2(values) => drop(write!(out, "{}", values[row])),
            Self::Int4(values) => drop(write!(out, "{}", values[row])),
            Self::Int8(values) => drop(write!(out, "{}", values[row])),
            Self::Integer(values, to) => {
                let value = values.get(row);
                // The binary form has all the range checks.
                put_integer(value, *to, &mut BytesMut::new())?;
                let _ = write!(out, "{value}");
            }
            Self::Float4(values) | Self::Float4AsFloat8(values) => match self {
                Self::Float4(_) => write_float4(values[row], out),
                _ => write_float8(values[row].into(), out),
            },
            Self::Float8(values) => write_float8(values[row], out),
            Self::Float8AsFloat4(values) => write_float4(narrow(values[row])?, out),
            Self::FloatAsNumeric(array, _) => match array.data_type() {
                DataType::Float32 => write_float4(array.as_primitive::<Float32Type>().value(row), out),
                _ => write_float8(array.as_primitive::<Float64Type>().value(row), out),
            },
            Self::Decimal(values, _) => out.extend_from_slice(values.text(row).as_bytes()),
            Self::DecimalChecked(values, limit) => {
                let text = values.text(row);
                put_numeric_text(&text, *limit, &mut BytesMut::new())?;
                out.extend_from_slice(text.as_bytes());
            }
            Self::DecimalAsFloat(values, is_four) => {
                let value = decimal_as_float(&values.text(row))?;
                if *is_four { write_float4(narrow(value)?, out) } else { write_float8(value, out) }
            }
            Self::Text(values, is_clean) | Self::Jsonb(values, is_clean) => {
                let value = values.get(row);
                check_text(value, *is_clean)?;
                out.extend_from_slice(value);
            }
            Self::NumericText(values, limit) => {
                let text = values.get_text(row);
                if limit.is_some() {
                    put_numeric_text(text, *limit, &mut BytesMut::new())?;
                }
                check_text(text.as_bytes(), false)?;
                out.extend_from_slice(text.as_bytes());
            }
            Self::UuidText(values) => write_uuid(&parse_uuid(values.get_text(row))?, out),
            Self::Uuid(values) => write_uuid(values.get(row), out),
            Self::Octets(values) | Self::Wire(values) => {
                out.extend_from_slice(b"\\x");
                write_hex(values.get(row), out);
            }
            Self::Date(values) => match calendar::date_to_postgres(values[row]) {
                Some(_) => calendar::write_date(values[row], out),
                None => return fail(ErrorKind::NumericRange, "a date is out of range for type date"),
            },
            Self::DateOfMillis(values) => calendar::write_date(whole_day(values[row])?, out),
            Self::Time32(values, unit) => calendar::write_time(time_of_day(*unit, values[row].into())?, out),
            Self::Time64(values, unit) => calendar::write_time(time_of_day(*unit, values[row])?, out),
            Self::Timestamp(values, unit, is_utc) => match unit.micros(values[row]) {
                Some(micros) => calendar::write_timestamp(micros, *is_utc, out),
                None => return fail(ErrorKind::NumericRange, "a time is out of range for type timestamp"),
            },
            Self::DateAsTimestamp(values) => match calendar::date_to_micros(values[row]) {
                Some(micros) => calendar::write_timestamp(micros, false, out),
                None => return fail(ErrorKind::NumericRange, "a date is out of range for type timestamp"),
            },
            Self::Interval(values) => {
                let (months, days, micros) = values.get(row)?;
                calendar::write_interval(months, days, micros, out);
            }
            Self::AsText(values) => values.write_text(row, out)?,
            Self::List { offsets, child, .. } => {
                let (first, last) = offsets.span(row);
                out.push(b'{');
                let mut element = vec![];
                for index in first..last {
                    if index > first {
                        out.push(b',');
                    }
                    if child.is_null(index) {
                        out.extend_from_slice(b"NULL");
                        continue;
                    }
                    element.clear();
                    child.write_text(index, &mut element)?;
                    out.push(b'"');
                    for byte in &element {
                        if matches!(byte, b'"' | b'\\') {
                            out.push(b'\\');
                        }
                        out.push(*byte);
                    }
                    out.push(b'"');
                }
                out.push(b'}');
            }
        }
        Ok(())
    }
}
