//! Parameters from clients, in text and in binary, as values of the query engine.

use super::encode::{self, DecimalText, EPOCH_DAYS, EPOCH_MICROSECONDS, Style, parse_numeric_binary};
use super::error::coded;
use super::message::{Reader, utf8};
use crate::pg_types::{self, oid};
use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::{
    Parser, parse_interval_month_day_nano, string_to_datetime, string_to_time_nanoseconds,
};
use arrow::datatypes::{DataType, Date32Type, IntervalMonthDayNano, IntervalUnit, TimeUnit, i256};
use bytes::Bytes;
use catalog::{Error, ErrorKind, Result};
use chrono::Utc;
use datafusion::common::ScalarValue;
use datafusion::common::utils::SingleRowListArrayBuilder;
use std::sync::Arc;

/// Elements of one array parameter.
const ELEMENTS_MAX: usize = 1 << 20;

/// The value of a parameter of this type; `bytes` None is NULL.
pub(super) fn decode(bytes: Option<&Bytes>, is_binary: bool, type_oid: u32, zone: &Tz) -> Result<ScalarValue> {
    let Some(bytes) = bytes else { return null(type_oid) };
    if is_binary { from_binary(bytes, type_oid) } else { from_text(utf8(bytes)?, type_oid, zone) }
}

/// The value of a parameter of one of our own statements, as text.
pub(super) fn decode_as_text(
    bytes: Option<&Bytes>,
    is_binary: bool,
    type_oid: u32,
    style: &Style,
) -> Result<Option<String>> {
    match bytes {
        Some(bytes) if is_binary => scalar_as_text(&from_binary(bytes, type_oid)?, type_oid, style),
        Some(bytes) => utf8(bytes).map(|text| Some(text.to_owned())),
        None => Ok(None),
    }
}

/// A value as text; None for NULL.
pub(super) fn scalar_as_text(value: &ScalarValue, type_oid: u32, style: &Style) -> Result<Option<String>> {
    let array = value.to_array().map_err(|e| Error::internal("a value could not be read").with_source(e))?;
    encode::value_as_text(&array, 0, type_oid, style)
}

fn null(type_oid: u32) -> Result<ScalarValue> {
    let data_type = match arrow_type(type_oid) {
        Some(data_type) => data_type,
        None => match pg_types::element_oid(type_oid).and_then(arrow_type) {
            Some(element) => DataType::new_list(element, true),
            None => DataType::Utf8,
        },
    };
    ScalarValue::try_from(&data_type).map_err(|e| Error::internal("NULL has no value").with_source(e))
}

/// The Arrow type of the values that parameters of this type become; None when the value decides
/// (numeric) or the type is unknown.
fn arrow_type(type_oid: u32) -> Option<DataType> {
    Some(match type_oid {
        oid::BOOL => DataType::Boolean,
        oid::INT2 => DataType::Int16,
        oid::INT4 => DataType::Int32,
        oid::INT8
        | oid::OID
        | oid::REGCLASS
        | oid::REGPROC
        | oid::REGTYPE
        | oid::REGNAMESPACE
        | oid::REGROLE
        | oid::XID => DataType::Int64,
        oid::FLOAT4 => DataType::Float32,
        oid::FLOAT8 => DataType::Float64,
        oid::NUMERIC => DataType::Decimal128(38, 10),
        oid::TEXT
        | oid::VARCHAR
        | oid::BPCHAR
        | oid::NAME
        | oid::CHAR
        | oid::JSON
        | oid::JSONB
        | oid::XML
        | oid::UNKNOWN
        | 0 => DataType::Utf8,
        oid::BYTEA => DataType::Binary,
        oid::DATE => DataType::Date32,
        oid::TIME => DataType::Time64(TimeUnit::Microsecond),
        oid::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        oid::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))),
        oid::INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        oid::UUID => DataType::FixedSizeBinary(16),
        _ => return None,
    })
}

fn type_name(type_oid: u32) -> String {
    pg_types::type_name(type_oid).unwrap_or_else(|| format!("with oid {type_oid}"))
}

fn invalid_text(text: &str, type_oid: u32) -> Error {
    // A value is the client's own and short enough to be shown to it; the log never has it.
    let shown: String = text.chars().take(64).collect();
    let message = format!("invalid input syntax for type {}: \"{shown}\"", type_name(type_oid));
    match type_oid {
        oid::DATE | oid::TIME | oid::TIMESTAMP | oid::TIMESTAMPTZ | oid::INTERVAL => coded("22007", message),
        _ => Error::new(ErrorKind::InvalidText, message),
    }
}

fn from_text(text: &str, type_oid: u32, zone: &Tz) -> Result<ScalarValue> {
    let wrong = || invalid_text(text, type_oid);
    let trimmed = text.trim();
    Ok(match type_oid {
        oid::BOOL => ScalarValue::Boolean(Some(crate::settings::parse_bool(trimmed).ok_or_else(wrong)?)),
        oid::INT2 => ScalarValue::Int16(Some(integer(text, type_oid)?)),
        oid::INT4 => ScalarValue::Int32(Some(integer(text, type_oid)?)),
        oid::INT8 => ScalarValue::Int64(Some(integer(text, type_oid)?)),
        oid::OID | oid::REGCLASS | oid::REGPROC | oid::REGTYPE | oid::REGNAMESPACE | oid::REGROLE | oid::XID => {
            ScalarValue::Int64(Some(integer::<u32>(text, type_oid)?.into()))
        }
        oid::FLOAT4 => ScalarValue::Float32(Some(float(trimmed).ok_or_else(wrong)? as f32)),
        oid::FLOAT8 => ScalarValue::Float64(Some(float(trimmed).ok_or_else(wrong)?)),
        oid::NUMERIC => decimal(DecimalText::parse(text).ok_or_else(wrong)?)?,
        oid::BYTEA => ScalarValue::Binary(Some(bytea(text).ok_or_else(wrong)?)),
        oid::DATE => ScalarValue::Date32(Some(match trimmed.to_ascii_lowercase().as_str() {
            "infinity" => i32::MAX,
            "-infinity" => i32::MIN,
            "epoch" => 0,
            _ => Date32Type::parse(trimmed).or_else(|| day_of(trimmed)).ok_or_else(wrong)?,
        })),
        oid::TIME => {
            // 24:00:00 is the end of a day.
            let nanoseconds = match trimmed {
                "24:00" | "24:00:00" => 86_400_000_000_000,
                _ => string_to_time_nanoseconds(trimmed).map_err(|_| wrong())?,
            };
            ScalarValue::Time64Microsecond(Some(nanoseconds / 1_000))
        }
        oid::TIMESTAMP => {
            // A zone that is written is ignored, as in PostgreSQL: the local time counts.
            let value = match infinity(trimmed) {
                Some(value) => value,
                None => string_to_datetime(&Utc, without_zone(trimmed)).map_err(|_| wrong())?.timestamp_micros(),
            };
            ScalarValue::TimestampMicrosecond(Some(value), None)
        }
        oid::TIMESTAMPTZ => {
            let value = match infinity(trimmed) {
                Some(value) => value,
                None => string_to_datetime(zone, trimmed).map_err(|_| wrong())?.timestamp_micros(),
            };
            ScalarValue::TimestampMicrosecond(Some(value), Some(Arc::from("UTC")))
        }
        oid::INTERVAL => {
            ScalarValue::IntervalMonthDayNano(Some(parse_interval_month_day_nano(trimmed).map_err(|_| wrong())?))
        }
        oid::UUID => ScalarValue::FixedSizeBinary(16, Some(uuid(trimmed).ok_or_else(wrong)?)),
        other => match pg_types::element_oid(other) {
            Some(element) => {
                let items = array_items(text).ok_or_else(wrong)?;
                let items = items.into_iter().map(|item| match item {
                    Some(item) => from_text(&item, element, zone),
                    None => null(element),
                });
                list(items.collect::<Result<_>>()?, element)?
            }
            None => ScalarValue::Utf8(Some(text.to_owned())),
        },
    })
}

fn integer<T: std::str::FromStr<Err = std::num::ParseIntError>>(text: &str, type_oid: u32) -> Result<T> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.trim().parse().map_err(|error: std::num::ParseIntError| match error.kind() {
        PosOverflow | NegOverflow => Error::new(
            ErrorKind::NumericRange,
            format!("value \"{}\" is out of range for type {}", text.trim(), type_name(type_oid)),
        ),
        _ => invalid_text(text, type_oid),
    })
}

fn float(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "infinity" | "inf" | "+infinity" => Some(f64::INFINITY),
        "-infinity" | "-inf" => Some(f64::NEG_INFINITY),
        // Rust reads more words than PostgreSQL does.
        other if other.bytes().any(|b| b.is_ascii_alphabetic() && b != b'e') => None,
        other => other.parse().ok(),
    }
}

fn decimal(number: DecimalText) -> Result<ScalarValue> {
    let too_wide = || coded("22003", "a numeric parameter has more than 76 digits");
    let count = number.digits.trim_start_matches('-').len().max(number.scale).max(1);
    let scale = i8::try_from(number.scale).map_err(|_| too_wide())?;
    match count {
        0..=38 => {
            let value = number.digits.parse().map_err(|_| too_wide())?;
            Ok(ScalarValue::Decimal128(Some(value), 38, scale))
        }
        39..=76 => {
            let value = i256::from_string(&number.digits).ok_or_else(too_wide)?;
            Ok(ScalarValue::Decimal256(Some(value), 76, scale))
        }
        _ => Err(too_wide()),
    }
}

fn infinity(text: &str) -> Option<i64> {
    match text.to_ascii_lowercase().as_str() {
        "infinity" => Some(i64::MAX),
        "-infinity" => Some(i64::MIN),
        "epoch" => Some(0),
        _ => None,
    }
}

/// The date part of a timestamp that stands where a date is wanted.
fn day_of(text: &str) -> Option<i32> {
    let time = string_to_datetime(&Utc, without_zone(text)).ok()?;
    i32::try_from(time.timestamp().div_euclid(86_400)).ok()
}

/// The text without `Z`, `+02` or `-05:30` behind a time.
fn without_zone(text: &str) -> &str {
    let Some(colon) = text.find(':') else { return text };
    match text[colon..].find(['+', '-', 'Z', 'z']) {
        Some(at) => text[..colon + at].trim_end(),
        None => text,
    }
}

fn uuid(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
    (digits.len() == 32).then(|| hex(&digits)).flatten()
}

fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

fn bytea(text: &str) -> Option<Vec<u8>> {
    if let Some(digits) = text.strip_prefix("\\x") {
        let digits: Vec<u8> = digits.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        return hex(&digits);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = match (first, behind) {
            (b'\\', [b'\\', behind @ ..]) => {
                out.push(b'\\');
                behind
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', behind @ ..]) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                behind
            }
            (b'\\', _) => return None,
            (byte, behind) => {
                out.push(*byte);
                behind
            }
        };
    }
    Some(out)
}

/// The elements of `{a,"b c",NULL}`; None for anything else, arrays of arrays included.
fn array_items(text: &str) -> Option<Vec<Option<String>>> {
    let inside = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    if inside.trim().is_empty() {
        return Some(items);
    }
    let mut characters = inside.chars().peekable();
    loop {
        while characters.next_if(|c| c.is_whitespace()).is_some() {}
        let mut item = String::new();
        if characters.next_if_eq(&'"').is_some() {
            loop {
                match characters.next()? {
                    '"' => break,
                    '\\' => item.push(characters.next()?),
                    other => item.push(other),
                }
            }
            while characters.next_if(|c| c.is_whitespace()).is_some() {}
            items.push(Some(item));
        } else {
            while let Some(character) = characters.next_if(|c| *c != ',') {
                match character {
                    '{' | '}' | '"' => return None,
                    '\\' => item.push(characters.next()?),
                    other => item.push(other),
                }
            }
            let item = item.trim_end();
            if item.is_empty() {
                return None;
            }
            items.push((!item.eq_ignore_ascii_case("null")).then(|| item.to_owned()));
        }
        if items.len() > ELEMENTS_MAX {
            return None;
        }
        match characters.next() {
            Some(',') => {}
            None => return Some(items),
            Some(_) => return None,
        }
    }
}

fn list(items: Vec<ScalarValue>, element: u32) -> Result<ScalarValue> {
    // Numbers of different scales make no array.
    let data_type = match element {
        oid::NUMERIC => return Err(Error::unsupported("a parameter of type numeric[]")),
        other => arrow_type(other).unwrap_or(DataType::Utf8),
    };
    if items.is_empty() {
        return Ok(ScalarValue::List(ScalarValue::new_list_nullable(&[], &data_type)));
    }
    let values = ScalarValue::iter_to_array(items)
        .map_err(|e| Error::internal("the elements of an array have different types").with_source(e))?;
    Ok(ScalarValue::List(Arc::new(SingleRowListArrayBuilder::new(values).build_list_array())))
}

fn from_binary(bytes: &Bytes, type_oid: u32) -> Result<ScalarValue> {
    let wrong = || coded("22P03", format!("incorrect binary data format for type {}", type_name(type_oid)));
    let four = || <[u8; 4]>::try_from(&bytes[..]).map_err(|_| wrong());
    let eight = || <[u8; 8]>::try_from(&bytes[..]).map_err(|_| wrong());
    let range = || coded("22008", format!("{} out of range", type_name(type_oid)));
    let microseconds = |value: i64| match value {
        i64::MAX | i64::MIN => Ok(value),
        _ => value.checked_add(EPOCH_MICROSECONDS).ok_or_else(range),
    };
    Ok(match type_oid {
        oid::BOOL => match &bytes[..] {
            [byte] => ScalarValue::Boolean(Some(*byte != 0)),
            _ => return Err(wrong()),
        },
        oid::INT2 => {
            ScalarValue::Int16(Some(i16::from_be_bytes(<[u8; 2]>::try_from(&bytes[..]).map_err(|_| wrong())?)))
        }
        oid::INT4 => ScalarValue::Int32(Some(i32::from_be_bytes(four()?))),
        oid::INT8 => ScalarValue::Int64(Some(i64::from_be_bytes(eight()?))),
        oid::OID | oid::REGCLASS | oid::REGPROC | oid::REGTYPE | oid::REGNAMESPACE | oid::REGROLE | oid::XID => {
            ScalarValue::Int64(Some(u32::from_be_bytes(four()?).into()))
        }
        oid::FLOAT4 => ScalarValue::Float32(Some(f32::from_be_bytes(four()?))),
        oid::FLOAT8 => ScalarValue::Float64(Some(f64::from_be_bytes(eight()?))),
        oid::NUMERIC => decimal(parse_numeric_binary(bytes.clone())?)?,
        oid::BYTEA => ScalarValue::Binary(Some(bytes.to_vec())),
        oid::DATE => {
            let days = i32::from_be_bytes(four()?);
            ScalarValue::Date32(Some(match days {
                i32::MAX | i32::MIN => days,
                _ => days.checked_add(EPOCH_DAYS as i32).ok_or_else(range)?,
            }))
        }
        oid::TIME => match i64::from_be_bytes(eight()?) {
            value @ 0..=86_400_000_000 => ScalarValue::Time64Microsecond(Some(value)),
            _ => return Err(range()),
        },
        oid::TIMESTAMP => ScalarValue::TimestampMicrosecond(Some(microseconds(i64::from_be_bytes(eight()?))?), None),
        oid::TIMESTAMPTZ => {
            let value = microseconds(i64::from_be_bytes(eight()?))?;
            ScalarValue::TimestampMicrosecond(Some(value), Some(Arc::from("UTC")))
        }
        oid::INTERVAL => {
            let bytes = <[u8; 16]>::try_from(&bytes[..]).map_err(|_| wrong())?;
            let [time, days_months] =
                [&bytes[..8], &bytes[8..]].map(|half| i64::from_be_bytes(half.try_into().unwrap_or_default()));
            let nanoseconds = time.checked_mul(1_000).ok_or_else(range)?;
            let (days, months) = ((days_months >> 32) as i32, days_months as i32);
            ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, nanoseconds)))
        }
        oid::UUID if bytes.len() == 16 => ScalarValue::FixedSizeBinary(16, Some(bytes.to_vec())),
        oid::UUID => return Err(wrong()),
        oid::JSONB => match bytes.split_first() {
            Some((1, text)) => ScalarValue::Utf8(Some(utf8(text)?.to_owned())),
            _ => return Err(wrong()),
        },
        other => match pg_types::element_oid(other) {
            Some(element) => {
                array_from_binary(bytes, element).map_err(|e| if e.sqlstate() == "08P01" { wrong() } else { e })?
            }
            None if arrow_type(other) == Some(DataType::Utf8) => ScalarValue::Utf8(Some(utf8(bytes)?.to_owned())),
            None => return Err(Error::unsupported(format!("a binary parameter of the type {}", type_name(other)))),
        },
    })
}

fn array_from_binary(bytes: &Bytes, element: u32) -> Result<ScalarValue> {
    let mut reader = Reader(bytes.clone());
    let (dimensions, _has_null, stated) = (reader.i32()?, reader.i32()?, reader.u32()?);
    if stated != element {
        return Err(Error::new(
            ErrorKind::TypeMismatch,
            format!("the elements of an array are of type {}", type_name(stated)),
        )
        .with_detail(format!("Elements of type {} are expected.", type_name(element))));
    }
    let count = match dimensions {
        0 => 0,
        1 => {
            let (count, _lower_bound) = (reader.i32()?, reader.i32()?);
            usize::try_from(count)
                .ok()
                .filter(|n| *n <= ELEMENTS_MAX)
                .ok_or_else(|| coded("54000", "an array parameter has too many elements"))?
        }
        _ => return Err(Error::unsupported("an array parameter of more than one dimension")),
    };
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(match reader.value()? {
            Some(item) => from_binary(&item, element)?,
            None => null(element)?,
        });
    }
    list(items, element)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{BufMut, BytesMut};

    fn utc() -> Tz {
        "UTC".parse().unwrap()
    }

    fn text(value: &str, type_oid: u32) -> Result<ScalarValue> {
        decode(Some(&Bytes::copy_from_slice(value.as_bytes())), false, type_oid, &utc())
    }

    #[test]
    fn text_and_back() {
        let style = Style::of(&crate::settings::Settings::new());
        for (type_oid, given, shown) in [
            (oid::BOOL, "true", "t"),
            (oid::INT2, " -7 ", "-7"),
            (oid::INT8, "9223372036854775807", "9223372036854775807"),
            (oid::FLOAT8, "1e20", "1e+20"),
            (oid::FLOAT4, "-Infinity", "-Infinity"),
            (oid::NUMERIC, "-12.50", "-12.50"),
            (
                oid::NUMERIC,
                "12345678901234567890123456789012345678901.5",
                "12345678901234567890123456789012345678901.5",
            ),
            (oid::TEXT, " x ", " x "),
            (oid::BYTEA, "\\x00fF", "\\x00ff"),
            (oid::BYTEA, "a\\\\b\\001", "\\x615c6201"),
            (oid::DATE, "2024-02-29", "2024-02-29"),
            (oid::DATE, "infinity", "infinity"),
            (oid::TIME, "23:59:59.5", "23:59:59.5"),
            (oid::TIMESTAMP, "2024-01-01 10:00:00+02", "2024-01-01 10:00:00"),
            (oid::TIMESTAMP, "2024-01-01T10:00:00.25", "2024-01-01 10:00:00.25"),
            (oid::TIMESTAMPTZ, "2024-01-01 10:00:00+02", "2024-01-01 08:00:00+00"),
            (oid::TIMESTAMPTZ, "-infinity", "-infinity"),
            (oid::UUID, "{00010203-0405-0607-0809-0A0B0C0D0E0F}", "00010203-0405-0607-0809-0a0b0c0d0e0f"),
            (1007, "{1, NULL,3}", "{1,NULL,3}"),
            (1009, "{\"a b\",c,\"N\\\"\"}", "{\"a b\",c,\"N\\\"\"}"),
            (1009, "{}", "{}"),
        ] {
            let value = text(given, type_oid).unwrap_or_else(|e| panic!("{given}: {e}"));
            assert_eq!(scalar_as_text(&value, type_oid, &style).unwrap().as_deref(), Some(shown), "{given}");
        }
    }

    #[test]
    fn text_that_is_no_value_is_an_error() {
        for (type_oid, given, sqlstate) in [
            (oid::INT4, "x", "22P02"),
            (oid::INT4, "3000000000", "22003"),
            (oid::BOOL, "maybe", "22P02"),
            (oid::FLOAT8, "nano", "22P02"),
            (oid::NUMERIC, "1..2", "22P02"),
            (oid::DATE, "tomorrow?", "22007"),
            (oid::UUID, "123", "22P02"),
            (oid::BYTEA, "\\xabc", "22P02"),
            (1007, "{1,{2}}", "22P02"),
            (1007, "{1,}", "22P02"),
            (1007, "1,2", "22P02"),
        ] {
            assert_eq!(text(given, type_oid).unwrap_err().sqlstate(), sqlstate, "{given}");
        }
        let error = decode(Some(&Bytes::from_static(b"\xff")), false, oid::TEXT, &utc()).unwrap_err();
        assert_eq!(error.sqlstate(), "22021");
    }

    #[test]
    fn binary_values_and_wrong_lengths() {
        let binary = |bytes: &[u8], type_oid| decode(Some(&Bytes::copy_from_slice(bytes)), true, type_oid, &utc());
        assert_eq!(binary(&[0, 0, 0, 7], oid::INT4).unwrap(), ScalarValue::Int32(Some(7)));
        assert_eq!(binary(&[0, 0, 0, 0], oid::DATE).unwrap(), ScalarValue::Date32(Some(10_957)));
        assert_eq!(binary(b"\x01{}", oid::JSONB).unwrap(), ScalarValue::Utf8(Some("{}".into())));
        for type_oid in [16, 21, 23, 20, 26, 700, 701, 1700, 1082, 1083, 1114, 1184, 1186, 2950, 3802, 1007, 1009] {
            for bytes in [
                &b""[..],
                b"\x07\x02\x03",
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            ] {
                let code = binary(bytes, type_oid).unwrap_err().sqlstate().to_owned();
                assert!(["22P03", "42804", "22008"].contains(&code.as_str()), "{type_oid}: {code}");
            }
        }
    }

    #[test]
    fn binary_arrays() {
        let mut out = BytesMut::new();
        for number in [1i32, 1, 23, 2, 1, 4, 9, -1] {
            out.put_i32(number);
        }
        let value = decode(Some(&out.freeze()), true, 1007, &utc()).unwrap();
        let style = Style::of(&crate::settings::Settings::new());
        assert_eq!(scalar_as_text(&value, 1007, &style).unwrap().as_deref(), Some("{9,NULL}"));
    }

    #[test]
    fn nulls_have_the_type_of_their_parameter() {
        assert_eq!(decode(None, true, oid::INT8, &utc()).unwrap(), ScalarValue::Int64(None));
        assert!(decode(None, false, 1009, &utc()).unwrap().is_null());
    }
}
