//! Values as text, and back without a loss. CSV and JSON lines share it.
//!
//! | type | text |
//! |---|---|
//! | integers, decimals | all digits, `17.00` |
//! | floats | the shortest digits that give the same float; `NaN`, `Infinity`, `-Infinity` (quoted in JSON) |
//! | boolean | `true`, `false` |
//! | date, time, timestamp | ISO 8601: `2024-01-31`, `23:59:59.25`, `2024-01-31T23:59:59.25`, with `Z` for an instant; years beyond four digits have a sign |
//! | interval | ISO 8601: `P1M2DT-3.5S` |
//! | duration | the number of its units |
//! | binary | `\x` and hexadecimal digits; a uuid as uuid |
//! | lists, structs, maps | JSON; a map is a list of `{"key":..,"value":..}` |

use crate::codec::json;
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::*;
use arrow::error::ArrowError;
use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

/// Whether the value is NULL; a Null column has no validity to ask.
pub fn is_null(array: &dyn Array, row: usize) -> bool {
    array.data_type() == &DataType::Null || array.is_null(row)
}

/// Whether a type's text in JSON is the value itself and not a string.
fn is_bare(array: &dyn Array, row: usize) -> bool {
    match array.data_type() {
        DataType::Float16 => array.as_primitive::<Float16Type>().value(row).is_finite(),
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).is_finite(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).is_finite(),
        DataType::Duration(_) | DataType::Boolean => true,
        data_type => data_type.is_numeric(),
    }
}

fn is_nested(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(_) | DataType::FixedSizeList(..) | DataType::Struct(_) | DataType::Map(..))
}

/// Appends a JSON string.
pub fn push_json_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => put(out, format_args!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn put(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = out.write_fmt(arguments);
}

/// Appends a value as JSON.
pub fn push_json(array: &dyn Array, row: usize, out: &mut String) {
    if is_null(array, row) {
        out.push_str("null");
        return;
    }
    let push_list = |items: &dyn Array, out: &mut String| {
        out.push('[');
        for item in 0..items.len() {
            if item > 0 {
                out.push(',');
            }
            push_json(items, item, out);
        }
        out.push(']');
    };
    match array.data_type() {
        DataType::List(_) => push_list(array.as_list::<i32>().value(row).as_ref(), out),
        DataType::FixedSizeList(..) => push_list(array.as_fixed_size_list().value(row).as_ref(), out),
        DataType::Map(..) => push_list(&array.as_map().value(row), out),
        DataType::Struct(fields) => {
            let columns = array.as_struct();
            for (index, field) in fields.iter().enumerate() {
                out.push(if index == 0 { '{' } else { ',' });
                push_json_string(field.name(), out);
                out.push(':');
                push_json(columns.column(index).as_ref(), row, out);
            }
            out.push('}');
        }
        _ if is_bare(array, row) => push_text(array, row, out),
        DataType::Utf8 => push_json_string(array.as_string::<i32>().value(row), out),
        _ => {
            let mut text = String::new();
            push_text(array, row, &mut text);
            push_json_string(&text, out);
        }
    }
}

/// Appends a value that is not NULL as text. The array is of a stored type
/// ([`crate::types::stored_type`]) or an interval.
pub fn push_text(array: &dyn Array, row: usize, out: &mut String) {
    macro_rules! number {
        ($kind:ty) => {
            put(out, format_args!("{}", array.as_primitive::<$kind>().value(row)))
        };
    }
    macro_rules! float {
        ($value:expr) => {{
            let value = $value;
            if value.is_nan() {
                out.push_str("NaN");
            } else if value.is_infinite() {
                out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
            } else {
                put(out, format_args!("{value:?}"));
            }
        }};
    }
    match array.data_type() {
        DataType::Boolean => out.push_str(if array.as_boolean().value(row) { "true" } else { "false" }),
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        DataType::Float16 => float!(array.as_primitive::<Float16Type>().value(row).to_f32()),
        DataType::Float32 => float!(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => float!(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, _) => out.push_str(&array.as_primitive::<Decimal128Type>().value_as_string(row)),
        DataType::Decimal256(_, _) => out.push_str(&array.as_primitive::<Decimal256Type>().value_as_string(row)),
        DataType::Utf8 => out.push_str(array.as_string::<i32>().value(row)),
        DataType::Binary => push_hex(array.as_binary::<i32>().value(row), out),
        DataType::FixedSizeBinary(16) => push_uuid(array.as_fixed_size_binary().value(row), out),
        DataType::FixedSizeBinary(_) => push_hex(array.as_fixed_size_binary().value(row), out),
        DataType::Date32 => push_date(i64::from(array.as_primitive::<Date32Type>().value(row)), out),
        DataType::Date64 => push_timestamp(array.as_primitive::<Date64Type>().value(row), 1000, false, out),
        DataType::Time32(TimeUnit::Second) => {
            push_time(i64::from(array.as_primitive::<Time32SecondType>().value(row)), 1, out);
        }
        DataType::Time32(_) => {
            push_time(i64::from(array.as_primitive::<Time32MillisecondType>().value(row)), 1000, out);
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            push_time(array.as_primitive::<Time64NanosecondType>().value(row), 1_000_000_000, out);
        }
        DataType::Time64(_) => push_time(array.as_primitive::<Time64MicrosecondType>().value(row), 1_000_000, out),
        DataType::Timestamp(unit, zone) => {
            let value = match unit {
                TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(row),
                TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(row),
                TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
                TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value(row),
            };
            push_timestamp(value, per_second(*unit), zone.is_some(), out);
        }
        DataType::Duration(TimeUnit::Second) => number_of(array.as_primitive::<DurationSecondType>().value(row), out),
        DataType::Duration(TimeUnit::Millisecond) => {
            number_of(array.as_primitive::<DurationMillisecondType>().value(row), out);
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            number_of(array.as_primitive::<DurationMicrosecondType>().value(row), out);
        }
        DataType::Duration(TimeUnit::Nanosecond) => {
            number_of(array.as_primitive::<DurationNanosecondType>().value(row), out);
        }
        DataType::Interval(unit) => {
            let (months, days, nanos) = match unit {
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
            push_interval(months, days, nanos, out);
        }
        data_type if is_nested(data_type) => push_json(array, row, out),
        // Types that are not stored never come here: what is written has been converted before.
        data_type => put(out, format_args!("<{data_type}>")),
    }
}

fn number_of(value: i64, out: &mut String) {
    put(out, format_args!("{value}"));
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

fn push_hex(bytes: &[u8], out: &mut String) {
    out.push_str("\\x");
    for byte in bytes {
        put(out, format_args!("{byte:02x}"));
    }
}

fn push_uuid(bytes: &[u8], out: &mut String) {
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        put(out, format_args!("{byte:02x}"));
    }
}

/// Days of the 400 years after which the calendar repeats.
const CYCLE_DAYS: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

/// Year, month and day of a day number, in the proleptic Gregorian calendar, for any day. Years are
/// counted from March, so that the leap day is the last of its year.
fn date_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + EPOCH_DAYS;
    let cycle = shifted.div_euclid(CYCLE_DAYS);
    let day_of_cycle = shifted.rem_euclid(CYCLE_DAYS);
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / (CYCLE_DAYS - 1)) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (cycle * 400 + year_of_cycle + i64::from(month <= 2), month, day)
}

/// The day number of a date; None when there is no such date.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(is_leap),
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days_in_month).contains(&day) {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let month_from_march = (month + 9) % 12;
    let year_of_cycle = year.rem_euclid(400);
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_cycle = year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year;
    Some(year.div_euclid(400) * CYCLE_DAYS + day_of_cycle - EPOCH_DAYS)
}

fn push_date(days: i64, out: &mut String) {
    let (year, month, day) = date_of(days);
    match year {
        0..=9999 => put(out, format_args!("{year:04}")),
        10_000.. => put(out, format_args!("+{year}")),
        _ => put(out, format_args!("-{:04}", -year)),
    }
    put(out, format_args!("-{month:02}-{day:02}"));
}

fn push_fraction(fraction: i64, per_second: i64, out: &mut String) {
    if fraction == 0 {
        return;
    }
    let width = per_second.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    out.push('.');
    out.push_str(digits.trim_end_matches('0'));
}

fn push_time(value: i64, per_second: i64, out: &mut String) {
    let seconds = value.div_euclid(per_second);
    put(out, format_args!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
    push_fraction(value.rem_euclid(per_second), per_second, out);
}

fn push_timestamp(value: i64, per_second: i64, is_instant: bool, out: &mut String) {
    let per_day = 86_400 * per_second;
    push_date(value.div_euclid(per_day), out);
    out.push('T');
    push_time(value.rem_euclid(per_day), per_second, out);
    if is_instant {
        out.push('Z');
    }
}

fn push_interval(months: i32, days: i32, nanos: i64, out: &mut String) {
    out.push('P');
    if months != 0 {
        put(out, format_args!("{months}M"));
    }
    if days != 0 {
        put(out, format_args!("{days}D"));
    }
    if nanos != 0 || (months == 0 && days == 0) {
        out.push('T');
        if nanos < 0 {
            out.push('-');
        }
        let nanos = i128::from(nanos).unsigned_abs();
        put(out, format_args!("{}", nanos / 1_000_000_000));
        push_fraction((nanos % 1_000_000_000) as i64, 1_000_000_000, out);
        out.push('S');
    }
}

/// Reads `P1M2DT-3.5S`; the parts may be missing, in this order.
fn parse_interval(text: &str) -> Option<(i32, i32, i64)> {
    let text = text.strip_prefix('P')?;
    let (date, time) = text.split_once('T').unwrap_or((text, ""));
    let (months, date) = match date.split_once('M') {
        Some((months, rest)) => (months.parse().ok()?, rest),
        None => (0, date),
    };
    let days = match date.strip_suffix('D') {
        Some(days) => days.parse().ok()?,
        None if date.is_empty() => 0,
        None => return None,
    };
    if time.is_empty() {
        return Some((months, days, 0));
    }
    let seconds = time.strip_suffix('S')?;
    let (is_negative, seconds) = match seconds.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, seconds),
    };
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let whole: i128 = whole.parse().ok()?;
    let nanos = whole.checked_mul(1_000_000_000)? + i128::from(parse_fraction(fraction, 1_000_000_000)?);
    Some((months, days, i64::try_from(if is_negative { -nanos } else { nanos }).ok()?))
}

/// Converts between intervals and their text.
pub fn convert_interval(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if to == &DataType::Utf8 {
        return Ok(Arc::new(to_strings(array)));
    }
    let texts: Vec<Option<Cow<'_, str>>> = array.as_string::<i32>().iter().map(|t| t.map(Cow::Borrowed)).collect();
    decode(&texts, to).map_err(|error| ArrowError::ParseError(error.message))
}

/// The text form of every value.
pub fn to_strings(array: &dyn Array) -> StringArray {
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 8);
    let mut scratch = String::new();
    for row in 0..array.len() {
        if is_null(array, row) {
            builder.append_null();
        } else {
            scratch.clear();
            push_text(array, row, &mut scratch);
            builder.append_value(&scratch);
        }
    }
    builder.finish()
}

/// The digits after the point as units; None when there are digits that the unit cannot hold.
fn parse_fraction(digits: &str, per_second: i64) -> Option<i64> {
    let width = per_second.ilog10() as usize;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_end_matches('0');
    if significant.len() > width {
        return None;
    }
    if significant.is_empty() {
        return Some(0);
    }
    let value: i64 = significant.parse().ok()?;
    Some(value * 10_i64.pow((width - significant.len()) as u32))
}

fn parse_digits(text: &str) -> Option<i64> {
    if text.is_empty() || text.len() > 12 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn parse_date(text: &str) -> Option<i64> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let mut parts = rest.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() < 4 || month.len() != 2 || day.len() != 2 {
        return None;
    }
    days_of(sign * parse_digits(year)?, parse_digits(month)?, parse_digits(day)?)
}

/// A time of day in units; 24:00:00 is the end of the day.
fn parse_time(text: &str, per_second: i64) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':');
    let (hour, minute) = (parse_digits(parts.next()?)?, parse_digits(parts.next()?)?);
    let second = parts.next().map_or(Some(0), parse_digits)?;
    if parts.next().is_some() || hour > 24 || minute > 59 || second > 59 {
        return None;
    }
    let value = (hour * 3600 + minute * 60 + second) * per_second + parse_fraction(fraction, per_second)?;
    (value <= 86_400 * per_second).then_some(value)
}

/// A timestamp in units since 1970. A local one must not have a zone: shifting it would change it.
fn parse_timestamp(text: &str, per_second: i64, is_instant: bool) -> Option<i64> {
    // A date never has these after its first character, so that the first one ends it.
    let Some(split) = text.find(['T', ' ', 't']) else {
        return parse_date(text)?.checked_mul(86_400 * per_second);
    };
    let days = parse_date(&text[..split])?;
    let rest = &text[split + 1..];
    let zone = rest.find(['Z', 'z', '+', '-']);
    if zone.is_some() && !is_instant {
        return None;
    }
    let (clock, offset) = match zone {
        None => (rest, 0),
        Some(at) => {
            let zone = &rest[at..];
            let offset = match zone.as_bytes()[0] {
                b'Z' | b'z' if zone.len() == 1 => 0,
                sign @ (b'+' | b'-') => {
                    let mut parts = zone[1..].split(':');
                    let hours = parse_digits(parts.next()?)?;
                    let (hours, minutes) = if hours > 99 { (hours / 100, hours % 100) } else { (hours, 0) };
                    let minutes = parts.next().map_or(Some(minutes), parse_digits)?;
                    let seconds = parts.next().map_or(Some(0), parse_digits)?;
                    if parts.next().is_some() || hours > 18 || minutes > 59 || seconds > 59 {
                        return None;
                    }
                    let offset = hours * 3600 + minutes * 60 + seconds;
                    if sign == b'-' { -offset } else { offset }
                }
                _ => return None,
            };
            (rest[..at].trim_end(), offset)
        }
    };
    let time = i128::from(parse_time(clock, per_second)?);
    let per_second = i128::from(per_second);
    let value = i128::from(days) * 86_400 * per_second + time - i128::from(offset) * per_second;
    i64::try_from(value).ok()
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x")?;
    if digits.len() % 2 != 0 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    digits.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

fn parse_fixed(text: &str, length: i32) -> Option<Vec<u8>> {
    let bytes = match text.strip_prefix("\\x") {
        Some(_) => parse_hex(text)?,
        None => {
            let mut hex = String::from("\\x");
            hex.extend(text.chars().filter(|&c| c != '-'));
            parse_hex(&hex)?
        }
    };
    (bytes.len() == usize::try_from(length).ok()?).then_some(bytes)
}

/// The digits of a decimal number at a scale, as a whole number's text; None when it is no number
/// or has digits beyond the scale.
fn scaled_digits(text: &str, scale: i8) -> Option<String> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, mantissa) = match mantissa.as_bytes().first()? {
        b'-' => ("-", &mantissa[1..]),
        b'+' => ("", &mantissa[1..]),
        _ => ("", mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut digits = format!("{whole}{fraction}");
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let shift = i64::from(exponent) + i64::from(scale) - fraction.len() as i64;
    if shift > 100 {
        return digits.bytes().all(|b| b == b'0').then(|| "0".to_owned());
    }
    for _ in 0..shift {
        digits.push('0');
    }
    for _ in shift..0 {
        match digits.pop() {
            Some('0') => {}
            None => break,
            Some(_) => return None,
        }
    }
    let digits = digits.trim_start_matches('0');
    Some(if digits.is_empty() { "0".to_owned() } else { format!("{sign}{digits}") })
}

fn parse_float<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.trim().parse().ok()
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "true" | "t" | "TRUE" | "True" => Some(true),
        "false" | "f" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A value that is not of its column's type.
#[derive(Debug)]
pub struct DecodeError {
    /// Index of the value.
    pub row: usize,
    /// A full sentence.
    pub message: String,
}

fn wrong(row: usize, text: &str, data_type: &DataType) -> DecodeError {
    let shown: String = text.chars().take(60).collect();
    let word = crate::types::type_word(&Field::new("", data_type.clone(), true));
    DecodeError { row, message: format!("The value \"{shown}\" is not of type {word}.") }
}

/// Gives texts their type. The type is one that is stored, or an interval; nested values are JSON.
pub fn decode(texts: &[Option<Cow<'_, str>>], data_type: &DataType) -> Result<ArrayRef, DecodeError> {
    fn collect<T>(
        texts: &[Option<Cow<'_, str>>],
        data_type: &DataType,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<Option<T>>, DecodeError> {
        texts
            .iter()
            .enumerate()
            .map(|(row, text)| match text {
                None => Ok(None),
                Some(text) => parse(text).map(Some).ok_or_else(|| wrong(row, text, data_type)),
            })
            .collect()
    }
    macro_rules! primitive {
        ($kind:ty, $parse:expr) => {{
            let values = collect(texts, data_type, $parse)?;
            let array: PrimitiveArray<$kind> = values.into_iter().collect();
            Arc::new(array.with_data_type(data_type.clone())) as ArrayRef
        }};
    }
    macro_rules! number {
        ($kind:ty) => {
            primitive!($kind, |text: &str| text.trim().parse().ok())
        };
    }
    Ok(match data_type {
        DataType::Null => {
            if let Some((row, text)) = texts.iter().enumerate().find_map(|(row, text)| Some((row, text.as_ref()?))) {
                return Err(wrong(row, text, data_type));
            }
            Arc::new(NullArray::new(texts.len()))
        }
        DataType::Boolean => Arc::new(BooleanArray::from(collect(texts, data_type, parse_bool)?)),
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        DataType::Float16 => primitive!(Float16Type, |text: &str| {
            parse_float::<f32>(text).map(<Float16Type as ArrowPrimitiveType>::Native::from_f32)
        }),
        DataType::Float32 => primitive!(Float32Type, parse_float),
        DataType::Float64 => primitive!(Float64Type, parse_float),
        DataType::Decimal128(precision, scale) => primitive!(Decimal128Type, |text: &str| {
            let digits = scaled_digits(text.trim(), *scale)?;
            (digits.trim_start_matches('-').len() <= usize::from(*precision)).then(|| digits.parse().ok())?
        }),
        DataType::Decimal256(precision, scale) => primitive!(Decimal256Type, |text: &str| {
            let digits = scaled_digits(text.trim(), *scale)?;
            (digits.trim_start_matches('-').len() <= usize::from(*precision)).then(|| i256::from_string(&digits))?
        }),
        DataType::Utf8 => Arc::new(texts.iter().map(Option::as_deref).collect::<StringArray>()),
        DataType::Binary => {
            let values = collect(texts, data_type, parse_hex)?;
            Arc::new(BinaryArray::from_iter(values))
        }
        DataType::FixedSizeBinary(length) => {
            let values = collect(texts, data_type, |text| parse_fixed(text, *length))?;
            let array = FixedSizeBinaryArray::try_from_sparse_iter_with_size(values.into_iter(), *length);
            Arc::new(array.map_err(|error| DecodeError { row: 0, message: error.to_string() })?)
        }
        DataType::Date32 => {
            primitive!(Date32Type, |text: &str| i32::try_from(parse_date(text.trim())?).ok())
        }
        DataType::Date64 => primitive!(Date64Type, |text: &str| parse_timestamp(text.trim(), 1000, false)),
        DataType::Time32(TimeUnit::Second) => {
            primitive!(Time32SecondType, |text: &str| i32::try_from(parse_time(text.trim(), 1)?).ok())
        }
        DataType::Time32(_) => {
            primitive!(Time32MillisecondType, |text: &str| i32::try_from(parse_time(text.trim(), 1000)?).ok())
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            primitive!(Time64NanosecondType, |text: &str| parse_time(text.trim(), 1_000_000_000))
        }
        DataType::Time64(_) => primitive!(Time64MicrosecondType, |text: &str| parse_time(text.trim(), 1_000_000)),
        DataType::Timestamp(unit, zone) => {
            let parse = |text: &str| parse_timestamp(text.trim(), per_second(*unit), zone.is_some());
            match unit {
                TimeUnit::Second => primitive!(TimestampSecondType, parse),
                TimeUnit::Millisecond => primitive!(TimestampMillisecondType, parse),
                TimeUnit::Microsecond => primitive!(TimestampMicrosecondType, parse),
                TimeUnit::Nanosecond => primitive!(TimestampNanosecondType, parse),
            }
        }
        DataType::Duration(TimeUnit::Second) => number!(DurationSecondType),
        DataType::Duration(TimeUnit::Millisecond) => number!(DurationMillisecondType),
        DataType::Duration(TimeUnit::Microsecond) => number!(DurationMicrosecondType),
        DataType::Duration(TimeUnit::Nanosecond) => number!(DurationNanosecondType),
        DataType::Interval(IntervalUnit::YearMonth) => primitive!(IntervalYearMonthType, |text: &str| {
            parse_interval(text).filter(|(_, days, nanos)| *days == 0 && *nanos == 0).map(|(months, ..)| months)
        }),
        DataType::Interval(IntervalUnit::DayTime) => primitive!(IntervalDayTimeType, |text: &str| {
            let (months, days, nanos) = parse_interval(text)?;
            let milliseconds = i32::try_from(nanos / 1_000_000).ok()?;
            (months == 0 && nanos % 1_000_000 == 0).then(|| IntervalDayTimeType::make_value(days, milliseconds))
        }),
        DataType::Interval(IntervalUnit::MonthDayNano) => primitive!(IntervalMonthDayNanoType, |text: &str| {
            parse_interval(text).map(|(months, days, nanos)| IntervalMonthDayNanoType::make_value(months, days, nanos))
        }),
        DataType::List(_) | DataType::FixedSizeList(..) | DataType::Map(..) | DataType::Struct(_) => {
            decode_nested(texts, data_type)?
        }
        other => return Err(DecodeError { row: 0, message: format!("Type {other} is not stored as text.") }),
    })
}

/// A raw JSON value as [`decode`] takes it: nested ones and whole documents stay JSON, a string
/// loses its quotes, null is NULL.
pub fn leaf<'a>(raw: &'a str, data_type: &DataType) -> Option<Cow<'a, str>> {
    if raw == "null" {
        return None;
    }
    Some(if is_nested(data_type) { Cow::Borrowed(raw) } else { json::unquote(raw) })
}

fn decode_nested(texts: &[Option<Cow<'_, str>>], data_type: &DataType) -> Result<ArrayRef, DecodeError> {
    let nulls: NullBuffer = texts.iter().map(Option::is_some).collect();
    let nulls = Some(nulls).filter(|nulls| nulls.null_count() > 0);
    let arrow_failed = |error: ArrowError| DecodeError { row: 0, message: format!("{error}.") };
    // The row of the outermost value is the one to name.
    let check = |row: usize, text: &str, open: char| {
        let is_json =
            text.trim_start().starts_with(open) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        if is_json { Ok(()) } else { Err(wrong(row, text, data_type)) }
    };
    match data_type {
        DataType::List(field) | DataType::FixedSizeList(field, _) | DataType::Map(field, _) => {
            let fixed = match data_type {
                DataType::FixedSizeList(_, length) => Some(usize::try_from(*length).unwrap_or(0)),
                _ => None,
            };
            let mut children = vec![];
            let mut rows = vec![];
            let mut lengths = Vec::with_capacity(texts.len());
            for (row, text) in texts.iter().enumerate() {
                let before = children.len();
                match text {
                    Some(text) => {
                        check(row, text, '[')?;
                        children
                            .extend(json::elements(text.trim()).into_iter().map(|raw| leaf(raw, field.data_type())));
                        if fixed.is_some_and(|length| children.len() - before != length) {
                            return Err(wrong(row, text, data_type));
                        }
                    }
                    // A fixed list takes its room even where it is NULL.
                    None => children.extend(std::iter::repeat_n(None, fixed.unwrap_or(0))),
                }
                rows.extend(std::iter::repeat_n(row, children.len() - before));
                lengths.push(children.len() - before);
            }
            let values = decode(&children, field.data_type())
                .map_err(|error| DecodeError { row: rows.get(error.row).copied().unwrap_or(0), ..error })?;
            let offsets = OffsetBuffer::from_lengths(lengths);
            Ok(match data_type {
                DataType::FixedSizeList(_, length) => {
                    Arc::new(FixedSizeListArray::try_new(field.clone(), *length, values, nulls).map_err(arrow_failed)?)
                }
                DataType::Map(_, is_sorted) => {
                    let entries = values.as_struct().clone();
                    Arc::new(
                        MapArray::try_new(field.clone(), offsets, entries, nulls, *is_sorted).map_err(arrow_failed)?,
                    )
                }
                _ => Arc::new(ListArray::try_new(field.clone(), offsets, values, nulls).map_err(arrow_failed)?),
            })
        }
        DataType::Struct(fields) => {
            let mut columns: Vec<Vec<Option<Cow<'_, str>>>> = vec![vec![None; texts.len()]; fields.len()];
            for (row, text) in texts.iter().enumerate() {
                let Some(text) = text else { continue };
                check(row, text, '{')?;
                for (name, raw) in json::members(text.trim()) {
                    if let Some((index, field)) = fields.find(&name) {
                        columns[index][row] = leaf(raw, field.data_type());
                    }
                }
            }
            let columns = columns
                .iter()
                .zip(fields)
                .map(|(texts, field)| decode(texts, field.data_type()))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(Arc::new(
                StructArray::try_new_with_length(fields.clone(), columns, nulls, texts.len()).map_err(arrow_failed)?,
            ))
        }
        other => Err(DecodeError { row: 0, message: format!("Type {other} is not nested.") }),
    }
}

/// The narrowest type that all of these texts have; text when unsure. Used for files of other
/// programs.
pub fn infer<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> DataType {
    // A number with leading zeros is a code, and one with more digits than a float keeps is not one.
    let is_integer = |text: &str| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        text.parse::<i64>().is_ok() && !digits.starts_with('+') && (digits == "0" || !digits.starts_with('0'))
    };
    let is_float = |text: &str| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let significant = digits.bytes().take_while(|b| !matches!(b, b'e' | b'E')).filter(u8::is_ascii_digit).count();
        digits.starts_with(|c: char| c.is_ascii_digit())
            && (!digits.starts_with('0') || digits == "0" || digits.starts_with("0."))
            && significant <= 15
            && text.parse::<f64>().is_ok_and(f64::is_finite)
    };
    if texts.clone().next().is_none() {
        return DataType::Utf8;
    }
    let all = |test: &dyn Fn(&str) -> bool| texts.clone().all(test);
    if all(&|text| matches!(text, "true" | "false")) {
        DataType::Boolean
    } else if all(&is_integer) {
        DataType::Int64
    } else if all(&is_float) {
        DataType::Float64
    } else if all(&|text| parse_date(text).is_some_and(|days| i32::try_from(days).is_ok())) {
        DataType::Date32
    } else if all(&|text| text.len() > 10 && parse_timestamp(text, 1_000_000, false).is_some()) {
        DataType::Timestamp(TimeUnit::Microsecond, None)
    } else if all(&|text| {
        text.len() > 10
            && text.trim_end_matches(|c: char| c.is_ascii_digit() || c == ':').ends_with(['+', '-', 'Z'])
            && parse_timestamp(text, 1_000_000, true).is_some()
    }) {
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
    } else {
        DataType::Utf8
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
