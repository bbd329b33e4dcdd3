//! Arrow types: how they are stored in files, what they are called, and which fit into which.

use arrow::array::{Array, ArrayRef};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use arrow::error::ArrowError;
use connector_api::TYPE_KEY;
use std::collections::HashMap;
use std::sync::Arc;

/// Arrow field metadata of our files: the column holds intervals as text, because Parquet has no
/// interval that keeps microseconds. The value is the unit, `month_day_nano` for example.
pub const INTERVAL_KEY: &str = "tidegate.interval";

/// The type in which values of a type are stored: without views, dictionaries and large offsets,
/// which say how memory is laid out and not what is stored. None: it cannot be stored.
pub fn stored_type(data_type: &DataType) -> Option<DataType> {
    use DataType::*;
    Some(match data_type {
        Null | Boolean | Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 | Float16 | Float32
        | Float64 | Date32 | Date64 | Time64(_) | Duration(_) | FixedSizeBinary(_) => data_type.clone(),
        Time32(TimeUnit::Second) => Time32(TimeUnit::Millisecond),
        Time32(unit) => Time32(*unit),
        Timestamp(TimeUnit::Second, zone) => Timestamp(TimeUnit::Millisecond, zone.clone()),
        Timestamp(unit, zone) => Timestamp(*unit, zone.clone()),
        Decimal32(precision, scale)
        | Decimal64(precision, scale)
        | Decimal128(precision, scale)
        | Decimal256(precision, scale) => {
            // Parquet has no negative scale; the same values fit with more digits.
            let digits = i16::from(*precision) - i16::from((*scale).min(0));
            let scale = (*scale).max(0);
            match u8::try_from(digits).ok()? {
                digits if digits <= 38 && !matches!(data_type, Decimal256(..)) => Decimal128(digits, scale),
                digits if digits <= 76 => Decimal256(digits, scale),
                _ => return None,
            }
        }
        Utf8 | LargeUtf8 | Utf8View | Interval(_) => Utf8,
        Binary | LargeBinary | BinaryView => Binary,
        List(item) | LargeList(item) | ListView(item) | LargeListView(item) => List(stored_child(item)?),
        FixedSizeList(item, length) => FixedSizeList(stored_child(item)?, *length),
        Struct(fields) if fields.is_empty() => return None,
        Struct(fields) => Struct(fields.iter().map(stored_child).collect::<Option<Vec<_>>>()?.into()),
        Map(entries, is_sorted) => Map(stored_child(entries)?, *is_sorted),
        Dictionary(_, values) => stored_type(values)?,
        RunEndEncoded(_, values) => stored_type(values.data_type())?,
        Union(..) => return None,
    })
}

fn stored_child(field: &FieldRef) -> Option<FieldRef> {
    let data_type = stored_type(field.data_type())?;
    if &data_type == field.data_type() {
        return Some(field.clone());
    }
    Some(Arc::new(field.as_ref().clone().with_data_type(data_type)))
}

/// The field under which a column is stored; None when its type cannot be.
pub fn stored_field(name: &str, field: &Field, is_nullable: bool) -> Option<Field> {
    let mut metadata = HashMap::from([(TYPE_KEY.to_owned(), type_word(field))]);
    if let DataType::Interval(unit) = field.data_type() {
        metadata.insert(INTERVAL_KEY.to_owned(), interval_word(*unit).to_owned());
    }
    // A Null column has nothing but NULLs whatever was promised.
    let is_nullable = is_nullable || field.data_type() == &DataType::Null;
    Some(Field::new(name, stored_type(field.data_type())?, is_nullable).with_metadata(metadata))
}

fn interval_word(unit: IntervalUnit) -> &'static str {
    match unit {
        IntervalUnit::YearMonth => "year_month",
        IntervalUnit::DayTime => "day_time",
        IntervalUnit::MonthDayNano => "month_day_nano",
    }
}

/// The field that reading a stored column gives: plain types, intervals again where they were, and
/// [`TYPE_KEY`] as its only metadata. None: the type cannot be read.
pub fn read_field(field: &Field) -> Option<Field> {
    let interval = match field.metadata().get(INTERVAL_KEY).map(String::as_str) {
        Some("year_month") => Some(IntervalUnit::YearMonth),
        Some("day_time") => Some(IntervalUnit::DayTime),
        Some("month_day_nano") => Some(IntervalUnit::MonthDayNano),
        _ => None,
    };
    let data_type = match interval {
        Some(unit) => DataType::Interval(unit),
        None => stored_type(field.data_type())?,
    };
    let word = match field.metadata().get(TYPE_KEY) {
        Some(word) => word.clone(),
        None => type_word(&Field::new(field.name(), data_type.clone(), true)),
    };
    let metadata = HashMap::from([(TYPE_KEY.to_owned(), word)]);
    Some(Field::new(field.name(), data_type, field.is_nullable()).with_metadata(metadata))
}

/// The type in words: those of its source when they are known, else PostgreSQL's.
pub fn type_word(field: &Field) -> String {
    match field.metadata().get(TYPE_KEY) {
        Some(word) if !word.is_empty() => word.clone(),
        _ => arrow_word(field.data_type()),
    }
}

fn arrow_word(data_type: &DataType) -> String {
    use DataType::*;
    let stamp = |unit: &TimeUnit| match unit {
        TimeUnit::Second => "(0)",
        TimeUnit::Millisecond => "(3)",
        TimeUnit::Microsecond => "",
        TimeUnit::Nanosecond => "(9)",
    };
    match data_type {
        Boolean => "boolean".to_owned(),
        Int8 | Int16 | UInt8 => "smallint".to_owned(),
        Int32 | UInt16 => "integer".to_owned(),
        Int64 | UInt32 => "bigint".to_owned(),
        UInt64 => "numeric(20,0)".to_owned(),
        Float16 | Float32 => "real".to_owned(),
        Float64 => "double precision".to_owned(),
        Decimal32(precision, scale)
        | Decimal64(precision, scale)
        | Decimal128(precision, scale)
        | Decimal256(precision, scale) => format!("numeric({precision},{scale})"),
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => "bytea".to_owned(),
        Date32 => "date".to_owned(),
        Date64 => "timestamp(3)".to_owned(),
        Time32(unit) | Time64(unit) => format!("time{}", stamp(unit)),
        Timestamp(unit, None) => format!("timestamp{}", stamp(unit)),
        Timestamp(unit, Some(_)) => format!("timestamptz{}", stamp(unit)),
        Interval(_) | Duration(_) => "interval".to_owned(),
        List(item) | LargeList(item) | ListView(item) | LargeListView(item) | FixedSizeList(item, _) => {
            format!("{}[]", type_word(item))
        }
        Struct(_) | Map(..) => "json".to_owned(),
        Dictionary(_, values) => arrow_word(values),
        RunEndEncoded(_, values) => arrow_word(values.data_type()),
        Null | Utf8 | LargeUtf8 | Utf8View | Union(..) => "text".to_owned(),
    }
}

/// The Arrow type of a column that CREATE SINK TABLE declares; None for a type that files do not
/// have.
pub fn declared_type(word: &str) -> Option<DataType> {
    let word = word.trim().to_ascii_lowercase();
    if let Some(item) = word.strip_suffix("[]") {
        let item = item.trim();
        let metadata = HashMap::from([(TYPE_KEY.to_owned(), item.to_owned())]);
        return Some(DataType::List(Arc::new(Field::new("item", declared_type(item)?, true).with_metadata(metadata))));
    }
    let (name, arguments, rest) = match word.split_once('(') {
        Some((name, rest)) => {
            let (arguments, rest) = rest.split_once(')')?;
            let arguments: Option<Vec<i64>> = arguments.split(',').map(|a| a.trim().parse().ok()).collect();
            (name.trim().to_owned(), arguments?, rest.trim().to_owned())
        }
        None => (word.clone(), vec![], String::new()),
    };
    let name = if rest.is_empty() { name } else { format!("{name} {rest}") };
    let utc: Option<Arc<str>> = Some(Arc::from("UTC"));
    // Six digits when nothing is said, as in PostgreSQL.
    let unit = match arguments.first() {
        Some(7..=9) => TimeUnit::Nanosecond,
        _ => TimeUnit::Microsecond,
    };
    Some(match name.as_str() {
        "boolean" | "bool" => DataType::Boolean,
        "smallint" | "int2" => DataType::Int16,
        "integer" | "int" | "int4" => DataType::Int32,
        "bigint" | "int8" => DataType::Int64,
        "real" | "float4" => DataType::Float32,
        "double precision" | "float8" | "float" | "double" => DataType::Float64,
        "numeric" | "decimal" => match arguments.as_slice() {
            // Any number of digits: text is the one form that keeps them all.
            [] => DataType::Utf8,
            [precision, rest @ ..] => {
                let precision = u8::try_from(*precision).ok().filter(|p| (1..=76).contains(p))?;
                let scale = i8::try_from(rest.first().copied().unwrap_or(0)).ok()?;
                if scale < 0 || scale as u8 > precision {
                    return None;
                }
                if precision <= 38 {
                    DataType::Decimal128(precision, scale)
                } else {
                    DataType::Decimal256(precision, scale)
                }
            }
        },
        "text" | "varchar" | "character varying" | "char" | "character" | "bpchar" | "json" | "jsonb" | "xml"
        | "string" => DataType::Utf8,
        "uuid" => DataType::FixedSizeBinary(16),
        "bytea" | "blob" | "binary" => DataType::Binary,
        "date" => DataType::Date32,
        "time" | "time without time zone" => DataType::Time64(unit),
        "timestamp" | "timestamp without time zone" => DataType::Timestamp(unit, None),
        "timestamptz" | "timestamp with time zone" => DataType::Timestamp(unit, utc),
        "interval" => DataType::Interval(IntervalUnit::MonthDayNano),
        _ => return None,
    })
}

/// Whether every value of `from` is a value of `to`.
pub fn fits(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    // Intervals are stored as text, and yet no other text is one.
    if from != to && (matches!(from, Interval(_)) || matches!(to, Interval(_))) {
        return from == &Null;
    }
    let (Some(from), Some(to)) = (stored_type(from), stored_type(to)) else {
        return false;
    };
    // (digits before the point, digits after it) that an integer type may need.
    let digits = |data_type: &DataType| match data_type {
        Int8 | UInt8 => Some(3),
        Int16 | UInt16 => Some(5),
        Int32 | UInt32 => Some(10),
        Int64 => Some(19),
        UInt64 => Some(20),
        _ => None,
    };
    // (is signed, bits)
    let bits = |data_type: &DataType| match data_type {
        Int8 => Some((true, 8)),
        Int16 => Some((true, 16)),
        Int32 => Some((true, 32)),
        Int64 => Some((true, 64)),
        UInt8 => Some((false, 8)),
        UInt16 => Some((false, 16)),
        UInt32 => Some((false, 32)),
        UInt64 => Some((false, 64)),
        _ => None,
    };
    if let (Some((from_signed, from_bits)), Some((to_signed, to_bits))) = (bits(&from), bits(&to)) {
        return match (from_signed, to_signed) {
            (true, false) => false,
            (false, true) => from_bits < to_bits,
            _ => from_bits <= to_bits,
        };
    }
    match (&from, &to) {
        (Null, _) => true,
        (from, to) if from == to => true,
        (
            Decimal128(precision, scale) | Decimal256(precision, scale),
            Decimal128(to_precision, to_scale) | Decimal256(to_precision, to_scale),
        ) => {
            to_scale >= scale
                && i16::from(*to_precision) - i16::from(*to_scale) >= i16::from(*precision) - i16::from(*scale)
        }
        (from, Decimal128(precision, scale) | Decimal256(precision, scale)) => {
            digits(from).is_some_and(|digits| i16::from(*precision) - i16::from(*scale) >= digits)
        }
        (Float16 | Int8 | UInt8 | Int16 | UInt16, Float32 | Float64) => true,
        (Float32 | Int32 | UInt32, Float64) => true,
        // A zone's name does not change the instant; only the unit matters.
        (Timestamp(from_unit, from_zone), Timestamp(to_unit, to_zone)) => {
            let is_finer = matches!(
                (from_unit, to_unit),
                (TimeUnit::Second | TimeUnit::Millisecond, TimeUnit::Millisecond | TimeUnit::Microsecond)
            );
            from_zone.is_some() == to_zone.is_some() && (from_unit == to_unit || is_finer)
        }
        (Time32(_), Time32(_) | Time64(_)) => true,
        (Time64(TimeUnit::Microsecond), Time64(_)) => true,
        (List(from), List(to)) => fits(from.data_type(), to.data_type()),
        (Struct(from), Struct(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|(from, to)| {
                    from.name() == to.name()
                        && (to.is_nullable() || !from.is_nullable())
                        && fits(from.data_type(), to.data_type())
                })
        }
        (Map(from, _), Map(to, _)) => fits(from.data_type(), to.data_type()),
        _ => false,
    }
}

/// Converts without losing anything, or fails.
pub fn convert(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    match (array.data_type(), to) {
        // Arrow's own text of an interval would lose nothing either, but rounds trips through
        // words; ours is what every format of this connector stores.
        (DataType::Interval(_), DataType::Utf8) | (DataType::Utf8, DataType::Interval(_)) => {
            crate::codec::text::convert_interval(array, to)
        }
        _ => cast_with_options(array, to, &options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widening_is_allowed_and_narrowing_is_not() {
        use DataType::*;
        for (from, to, expected) in [
            (Int32, Int64, true),
            (Int64, Int32, false),
            (UInt32, Int64, true),
            (UInt64, Int64, false),
            (Int64, Decimal128(19, 0), true),
            (Int64, Decimal128(20, 2), false),
            (Decimal128(10, 2), Decimal128(12, 2), true),
            (Decimal128(10, 2), Decimal128(10, 3), false),
            (Decimal128(38, 2), Decimal256(40, 3), true),
            (Utf8View, Utf8, true),
            (Utf8, Int32, false),
            (Int32, Utf8, false),
            (Timestamp(TimeUnit::Millisecond, None), Timestamp(TimeUnit::Microsecond, None), true),
            (Timestamp(TimeUnit::Microsecond, None), Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
            (Null, Utf8, true),
            (Utf8, Interval(IntervalUnit::MonthDayNano), false),
            (Interval(IntervalUnit::MonthDayNano), Utf8, false),
            (Interval(IntervalUnit::MonthDayNano), Interval(IntervalUnit::MonthDayNano), true),
            (Float64, Float32, false),
        ] {
            assert_eq!(fits(&from, &to), expected, "{from} into {to}");
        }
    }

    #[test]
    fn declared_words_become_types() {
        use DataType::*;
        assert_eq!(declared_type("numeric(18, 2)"), Some(Decimal128(18, 2)));
        assert_eq!(declared_type("NUMERIC"), Some(Utf8));
        assert_eq!(declared_type("varchar(20)"), Some(Utf8));
        assert_eq!(declared_type("timestamp(3) with time zone"), declared_type("timestamptz"));
        assert!(matches!(declared_type("integer[]"), Some(List(_))));
        assert_eq!(declared_type("geometry"), None);
        assert_eq!(declared_type("numeric(2,5)"), None);
    }
}
