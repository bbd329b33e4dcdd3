//! One value as COPY wants it: the length and the bytes of a binary cell, or text. Which value a cell
//! of a column is, [`super::value`] knows.

use super::calendar;
use super::numeric::{self, NumericFault, NumericLimit};
use super::value::{IntegerTo, Unit};
use bytes::{BufMut, BytesMut};
use catalog::ErrorKind;
use std::io::Write;

/// Why one cell cannot be written; the encoder adds column and row.
#[derive(Debug)]
pub(crate) struct CellError {
    /// The kind of the error to be.
    pub kind: ErrorKind,
    /// A fragment that goes before `in column ..`.
    pub text: String,
}

pub(super) type CellResult = Result<(), Box<CellError>>;

pub(super) fn fail<T>(kind: ErrorKind, text: impl Into<String>) -> Result<T, Box<CellError>> {
    Err(Box::new(CellError { kind, text: text.into() }))
}

/// Whether every value of a decimal type fits `numeric(precision,scale)` without a look at it.
pub(crate) fn decimal_fits(precision: u8, scale: i8, limit: NumericLimit) -> bool {
    let (precision, scale) = (i32::from(precision), i32::from(scale));
    scale <= i32::from(limit.scale) && precision - scale <= i32::from(limit.precision) - i32::from(limit.scale)
}

#[inline]
pub(super) fn put_fixed<const N: usize>(buffer: &mut BytesMut, value: [u8; N]) -> CellResult {
    // Length and value in one piece, so that the buffer is checked once.
    let mut cell = [0u8; 20];
    cell[..4].copy_from_slice(&(N as i32).to_be_bytes());
    cell[4..4 + N].copy_from_slice(&value);
    buffer.put_slice(&cell[..4 + N]);
    Ok(())
}

pub(super) fn length(length: usize) -> Result<i32, Box<CellError>> {
    match i32::try_from(length) {
        Ok(length) => Ok(length),
        Err(_) => fail(ErrorKind::Remote("54000".to_owned()), format!("a value of {length} bytes is too long")),
    }
}

#[inline]
pub(super) fn put_octets(value: &[u8], buffer: &mut BytesMut) -> CellResult {
    buffer.reserve(4 + value.len());
    buffer.put_i32(length(value.len())?);
    buffer.put_slice(value);
    Ok(())
}

#[inline]
pub(super) fn check_text(value: &[u8], is_clean: bool) -> CellResult {
    if !is_clean && value.contains(&0) {
        return fail(ErrorKind::InvalidText, "the character U+0000 cannot be stored");
    }
    Ok(())
}

#[inline]
pub(super) fn put_text(value: &[u8], is_clean: bool, buffer: &mut BytesMut) -> CellResult {
    check_text(value, is_clean)?;
    put_octets(value, buffer)
}

pub(super) fn put_integer(value: i128, to: IntegerTo, buffer: &mut BytesMut) -> CellResult {
    let out_of_range =
        |name: &str| fail(ErrorKind::NumericRange, format!("value {value} is out of range for type {name}"));
    match to {
        IntegerTo::Int2 => match i16::try_from(value) {
            Ok(value) => put_fixed(buffer, value.to_be_bytes()),
            Err(_) => out_of_range("smallint"),
        },
        IntegerTo::Int4 => match i32::try_from(value) {
            Ok(value) => put_fixed(buffer, value.to_be_bytes()),
            Err(_) => out_of_range("integer"),
        },
        IntegerTo::Int8 => match i64::try_from(value) {
            Ok(value) => put_fixed(buffer, value.to_be_bytes()),
            Err(_) => out_of_range("bigint"),
        },
        IntegerTo::Oid => match u32::try_from(value) {
            Ok(value) => put_fixed(buffer, value.to_be_bytes()),
            Err(_) => out_of_range("oid"),
        },
        IntegerTo::Numeric(None) if numeric::put_integer(value, 0, buffer) => Ok(()),
        IntegerTo::Numeric(limit) => put_numeric_text(&value.to_string(), limit, buffer),
        IntegerTo::Float4 => {
            let float = value as f32;
            if float as i128 == value { put_fixed(buffer, float.to_be_bytes()) } else { inexact(value, "real") }
        }
        IntegerTo::Float8 => {
            let float = value as f64;
            if float as i128 == value {
                put_fixed(buffer, float.to_be_bytes())
            } else {
                inexact(value, "double precision")
            }
        }
    }
}

pub(super) fn inexact(value: impl std::fmt::Display, type_name: &str) -> CellResult {
    fail(ErrorKind::NumericRange, format!("value {value} cannot be held exactly by type {type_name}"))
}

pub(super) fn put_numeric_text(text: &str, limit: Option<NumericLimit>, buffer: &mut BytesMut) -> CellResult {
    match numeric::put_text(text, limit, buffer) {
        Ok(()) => Ok(()),
        Err(fault) => {
            let shown: String = text.chars().take(60).collect();
            let type_name =
                limit.map_or("numeric".to_owned(), |limit| format!("numeric({},{})", limit.precision, limit.scale));
            match fault {
                NumericFault::NotANumber => {
                    fail(ErrorKind::InvalidText, format!("invalid input for type {type_name}: \"{shown}\""))
                }
                NumericFault::TooLarge => {
                    fail(ErrorKind::NumericRange, format!("value {shown} is out of range for type {type_name}"))
                }
                NumericFault::TooFine => fail(
                    ErrorKind::NumericRange,
                    format!("value {shown} has more decimal places than type {type_name}"),
                ),
            }
        }
    }
}

pub(super) fn decimal_as_float(text: &str) -> Result<f64, Box<CellError>> {
    match text.parse() {
        Ok(value) => Ok(value),
        Err(_) => fail(ErrorKind::NumericRange, format!("value {text} is out of range for type double precision")),
    }
}

pub(super) fn narrow(value: f64) -> Result<f32, Box<CellError>> {
    let narrowed = value as f32;
    if narrowed.is_infinite() && value.is_finite() {
        return fail(ErrorKind::NumericRange, format!("value {value:e} is out of range for type real"));
    }
    Ok(narrowed)
}

pub(super) fn whole_day(millis: i64) -> Result<i32, Box<CellError>> {
    const DAY_MILLIS: i64 = 86_400_000;
    match i32::try_from(millis.div_euclid(DAY_MILLIS)) {
        Ok(days) if millis.rem_euclid(DAY_MILLIS) == 0 => Ok(days),
        Ok(_) => fail(ErrorKind::NumericRange, "a time of day cannot be held by type date"),
        Err(_) => fail(ErrorKind::NumericRange, "a date is out of range for type date"),
    }
}

pub(super) fn time_of_day(unit: Unit, value: i64) -> Result<i64, Box<CellError>> {
    match unit.micros(value) {
        Some(micros) if (0..=calendar::DAY_MICROS).contains(&micros) => Ok(micros),
        _ => fail(ErrorKind::NumericRange, "a time is out of range for type time"),
    }
}

pub(super) fn put_timestamp(micros: Option<i64>, buffer: &mut BytesMut) -> CellResult {
    match micros.and_then(calendar::timestamp_to_postgres) {
        Some(micros) => put_fixed(buffer, micros.to_be_bytes()),
        None => fail(ErrorKind::NumericRange, "a time is out of range for type timestamp"),
    }
}

/// The forms that PostgreSQL's uuid takes, less its rare hyphenations.
pub(super) fn parse_uuid(text: &str) -> Result<[u8; 16], Box<CellError>> {
    let bare = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
    let mut digits = bare.bytes().filter(|byte| *byte != b'-').map(|byte| (byte as char).to_digit(16));
    let mut uuid = [0u8; 16];
    for byte in &mut uuid {
        match (digits.next().flatten(), digits.next().flatten()) {
            (Some(high), Some(low)) => *byte = (high * 16 + low) as u8,
            _ => return fail(ErrorKind::InvalidText, format!("invalid input for type uuid: \"{text}\"")),
        }
    }
    if digits.next().is_some() {
        return fail(ErrorKind::InvalidText, format!("invalid input for type uuid: \"{text}\""));
    }
    Ok(uuid)
}

pub(super) fn write_hex(value: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(value.len() * 2);
    for byte in value {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

pub(super) fn write_uuid(value: &[u8], out: &mut Vec<u8>) {
    let mut digits = vec![];
    write_hex(value, &mut digits);
    for (index, digit) in digits.iter().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            out.push(b'-');
        }
        out.push(*digit);
    }
}

/// Shortest digits that read back as the same number.
pub(super) fn write_float8(value: f64, out: &mut Vec<u8>) {
    match value {
        _ if value.is_nan() => out.extend_from_slice(b"NaN"),
        _ if value.is_infinite() => out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" }),
        _ if value == 0.0 || (1e-5..1e16).contains(&value.abs()) => drop(write!(out, "{value}")),
        _ => drop(write!(out, "{value:e}")),
    }
}

pub(super) fn write_float4(value: f32, out: &mut Vec<u8>) {
    match value {
        _ if value.is_nan() => out.extend_from_slice(b"NaN"),
        _ if value.is_infinite() => out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" }),
        _ if value == 0.0 || (1e-5..1e7).contains(&value.abs()) => drop(write!(out, "{value}")),
        _ => drop(write!(out, "{value:e}")),
    }
}
