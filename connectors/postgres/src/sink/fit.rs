//! Whether what arrives fits a column of the sink, and how: the one table of assignments.
//!
//! Widening fits. What may not fit value by value (a narrower integer, a shorter varchar) fits and is
//! marked lossy: a value that does not fit is an error of its row, it is never cut silently, with the
//! one exception of times finer than a microsecond. What cannot fit is a misfit.

use super::numeric::NumericLimit;
use super::table::{ResolvedType, modifier_numbers, split_modifier};
use crate::ddl::plain_type;
use crate::encode::{ColumnType, encodes};
use crate::sink::cell::decimal_fits;
use crate::types::{is_binary_stable, numeric_modifier, numeric_typmod, oid_of_type_text};
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use connector_api::{TYPE_KEY, TargetColumn};

/// How well what arrives fits a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// Every value fits.
    Whole,
    /// Some values may not.
    Lossy,
    /// It does not.
    Misfit,
}

/// The type of what arrives, as messages show it.
pub(crate) fn arriving_type(column: &TargetColumn) -> String {
    column.source_type.clone().unwrap_or_else(|| {
        column
            .field
            .metadata()
            .get(TYPE_KEY)
            .cloned()
            .unwrap_or_else(|| crate::ddl::arrow_type(column.field.data_type()))
    })
}

/// Compares one arriving column with one type of the sink.
pub(crate) fn fit(column: &TargetColumn, sink: &ResolvedType) -> Fit {
    if let Some(plain) = plain_type(column) {
        if plain == sink.text {
            return Fit::Whole;
        }
        if let Some(fit) = fit_modifiers(plain, sink) {
            return fit;
        }
    }
    let tag = column.field.metadata().get(TYPE_KEY).map(String::as_str);
    fit_arrow(column.field.data_type(), tag, sink)
}

/// The wire encoding that the column can take as bytes.
pub(crate) fn wire_encoding(column: &TargetColumn, sink: &ResolvedType, fit: Fit) -> Option<String> {
    let same = plain_type(column).and_then(oid_of_type_text) == Some(sink.base_oid);
    (fit == Fit::Whole && same && is_binary_stable(sink.base_oid)).then(|| format!("postgres.binary:{}", sink.base_oid))
}

/// Whether the column can be written in binary from its Arrow form.
pub(crate) fn is_encodable(column: &TargetColumn, sink: &ResolvedType) -> bool {
    encodes(column.field.data_type(), &sink.column_type)
}

/// Two types that differ in their modifiers at most; None when they differ in more.
fn fit_modifiers(arrives: &str, sink: &ResolvedType) -> Option<Fit> {
    let (bare, from) = split_modifier(arrives);
    if bare != sink.bare {
        return None;
    }
    let (_, to) = split_modifier(&sink.text);
    let (from, to) = (modifier_numbers(from), modifier_numbers(to));
    if to.is_empty() {
        // char without a length is char(1), printed with it; bpchar and the others take any length.
        return Some(Fit::Whole);
    }
    if bare.starts_with("numeric") {
        return Some(match (from.as_slice(), to.as_slice()) {
            ([p, s], [to_p, to_s]) if s <= to_s && p - s <= to_p - to_s => Fit::Whole,
            _ => Fit::Lossy,
        });
    }
    Some(match (from.first(), to.first()) {
        // Fixed lengths of bits must be equal; characters and fractions of seconds may grow.
        (Some(from), Some(to)) if bare.starts_with("bit") && !bare.starts_with("bit varying") => {
            if from == to {
                Fit::Whole
            } else {
                Fit::Lossy
            }
        }
        (Some(from), Some(to)) if from <= to => Fit::Whole,
        _ => Fit::Lossy,
    })
}

fn fit_arrow(data_type: &DataType, tag: Option<&str>, sink: &ResolvedType) -> Fit {
    use ColumnType as To;
    let whole_if = |is_whole: bool| if is_whole { Fit::Whole } else { Fit::Lossy };
    let (_, modifier) = split_modifier(&sink.text);
    let is_limited = !modifier.is_empty();
    let is_json = sink.base_oid == 114;
    let is_plain_text = matches!(sink.base_oid, 25 | 1043 | 1042 | 19);
    let tag_is = |words: &[&str]| tag.is_some_and(|tag| words.contains(&tag.to_ascii_lowercase().as_str()));
    match data_type {
        DataType::Null => return Fit::Whole,
        DataType::Dictionary(_, value) => return fit_arrow(value, tag, sink),
        DataType::RunEndEncoded(_, value) => return fit_arrow(value.data_type(), tag, sink),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            return match &sink.column_type {
                // A name is cut at 63 bytes by the server.
                To::Text if is_plain_text => whole_if(!is_limited && sink.base_oid != 19),
                To::Text if is_json => whole_if(tag_is(&["json", "jsonb"])),
                To::Text => Fit::Lossy,
                To::Jsonb => whole_if(tag_is(&["json", "jsonb"])),
                To::Uuid => whole_if(tag_is(&["uuid"])),
                To::Numeric(limit) => match tag.and_then(numeric_tag) {
                    Some(tagged) => {
                        whole_if(limit.is_none_or(|limit| tagged.is_some_and(|tagged| covers(limit, tagged))))
                    }
                    None => Fit::Misfit,
                },
                To::Bool | To::Int2 | To::Int4 | To::Int8 | To::Oid | To::Float4 | To::Float8 | To::Bytea => {
                    Fit::Misfit
                }
                To::Date | To::Time | To::Timestamp | To::Timestamptz => Fit::Misfit,
                // No Arrow type carries these: text is the only way to fill them.
                To::Interval | To::Array { .. } | To::Other => {
                    whole_if(tag.is_some_and(|tag| split_modifier(tag).0 == sink.bare && !is_limited))
                }
            };
        }
        _ => {}
    }
    // Everything has an exact text, bytes excepted.
    if is_plain_text
        && !matches!(
            data_type,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_)
        )
    {
        return whole_if(!is_limited && sink.base_oid != 19);
    }
    match (data_type, &sink.column_type) {
        (DataType::Boolean, To::Bool) => Fit::Whole,
        (from, to @ (To::Int2 | To::Int4 | To::Int8 | To::Oid)) => match (integer_range(from), to) {
            (None, _) => Fit::Misfit,
            (Some((low, high)), To::Int2) => whole_if(low >= i16::MIN.into() && high <= i16::MAX.into()),
            (Some((low, high)), To::Int4) => whole_if(low >= i32::MIN.into() && high <= i32::MAX.into()),
            (Some((low, high)), To::Int8) => whole_if(low >= i64::MIN.into() && high <= i64::MAX.into()),
            (Some((low, high)), _) => whole_if(tag_is(&["oid"]) || low >= 0 && high <= u32::MAX.into()),
        },
        (DataType::Float32, To::Float4 | To::Float8) | (DataType::Float16, To::Float4 | To::Float8) => Fit::Whole,
        (DataType::Float64, To::Float8) => Fit::Whole,
        (DataType::Float64, To::Float4) => Fit::Lossy,
        (DataType::Float32 | DataType::Float64, To::Numeric(_)) => Fit::Lossy,
        (from, To::Float4 | To::Float8) => match integer_range(from) {
            Some((_, high)) => {
                let exact = if sink.column_type == To::Float4 { 1i128 << 24 } else { 1i128 << 53 };
                whole_if(high <= exact)
            }
            None if is_decimal(from) => Fit::Lossy,
            None => Fit::Misfit,
        },
        (from, To::Numeric(limit)) => match (decimal_of(from), integer_range(from), limit) {
            (Some(_), _, None) | (_, Some(_), None) => Fit::Whole,
            (Some((precision, scale)), _, Some(limit)) => whole_if(decimal_fits(precision, scale, *limit)),
            (None, Some((_, high)), Some(limit)) => whole_if(
                limit.scale >= 0
                    && high.to_string().len() as i32 <= i32::from(limit.precision) - i32::from(limit.scale),
            ),
            (None, None, _) => Fit::Misfit,
        },
        (DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_), To::Bytea) => {
            Fit::Whole
        }
        (DataType::FixedSizeBinary(16), To::Uuid) => Fit::Whole,
        (DataType::Date32, To::Date) => Fit::Whole,
        (DataType::Date64, To::Date) => Fit::Lossy,
        (DataType::Date32 | DataType::Date64, To::Timestamp) => Fit::Whole,
        (DataType::Time32(unit) | DataType::Time64(unit), To::Time) => {
            whole_if(!is_limited && *unit != TimeUnit::Nanosecond)
        }
        (DataType::Timestamp(unit, None), To::Timestamp) => whole_if(!is_limited && *unit != TimeUnit::Nanosecond),
        (DataType::Timestamp(unit, Some(_)), To::Timestamptz) => whole_if(!is_limited && *unit != TimeUnit::Nanosecond),
        (DataType::Interval(unit), To::Interval) => whole_if(!is_limited && *unit != IntervalUnit::MonthDayNano),
        (DataType::Duration(unit), To::Interval) => whole_if(!is_limited && *unit != TimeUnit::Nanosecond),
        (
            DataType::List(_)
            | DataType::LargeList(_)
            | DataType::FixedSizeList(..)
            | DataType::Struct(_)
            | DataType::Map(..),
            To::Jsonb,
        ) => Fit::Whole,
        (
            DataType::List(_)
            | DataType::LargeList(_)
            | DataType::FixedSizeList(..)
            | DataType::Struct(_)
            | DataType::Map(..),
            To::Text,
        ) if is_json => Fit::Whole,
        (
            DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _),
            To::Array { element_oid, element },
        ) => {
            let bare = sink.bare.strip_suffix("[]").unwrap_or(&sink.bare).to_owned();
            let text = sink.text.strip_suffix("[]").unwrap_or(&sink.text).to_owned();
            let inner = ResolvedType {
                text,
                bare,
                oid: *element_oid,
                base_oid: *element_oid,
                column_type: element.as_ref().clone(),
            };
            fit_arrow(field.data_type(), None, &inner)
        }
        _ => Fit::Misfit,
    }
}

/// `numeric` (Some(None)) or `numeric(p,s)` (Some(Some)); None for another type.
fn numeric_tag(tag: &str) -> Option<Option<NumericLimit>> {
    let (bare, modifier) = split_modifier(tag);
    (bare == "numeric").then(|| match modifier_numbers(modifier).as_slice() {
        [precision, scale] => numeric_modifier(numeric_typmod(*precision, *scale))
            .map(|(precision, scale)| NumericLimit { precision, scale }),
        _ => None,
    })
}

fn covers(limit: NumericLimit, arrives: NumericLimit) -> bool {
    let whole = |limit: NumericLimit| i32::from(limit.precision) - i32::from(limit.scale);
    arrives.scale <= limit.scale && whole(arrives) <= whole(limit)
}

fn is_decimal(data_type: &DataType) -> bool {
    decimal_of(data_type).is_some()
}

fn decimal_of(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

/// The smallest and largest value of an integer type.
fn integer_range(data_type: &DataType) -> Option<(i128, i128)> {
    Some(match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, u64::MAX.into()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Field;
    use std::collections::HashMap;

    fn sink(text: &str) -> ResolvedType {
        let (bare, modifier) = split_modifier(text);
        let oid = oid_of_type_text(text).unwrap();
        let modifier = match modifier_numbers(modifier).as_slice() {
            [p, s] => numeric_typmod(*p, *s),
            _ => -1,
        };
        let element = bare.strip_suffix("[]").and_then(oid_of_type_text);
        let column_type = ColumnType::from_base(oid, modifier, 'b', element);
        ResolvedType { text: text.to_owned(), bare, oid, base_oid: oid, column_type }
    }

    fn expression(data_type: DataType, tag: Option<&str>) -> TargetColumn {
        let metadata: HashMap<_, _> = tag.map(|tag| (TYPE_KEY.to_owned(), tag.to_owned())).into_iter().collect();
        TargetColumn {
            name: "c".into(),
            field: Field::new("c", data_type, true).with_metadata(metadata),
            source_type: None,
            source_family: None,
            is_nullable: true,
            comment: None,
        }
    }

    fn plain(text: &str, data_type: DataType) -> TargetColumn {
        TargetColumn {
            source_type: Some(text.to_owned()),
            source_family: Some("postgres".into()),
            ..expression(data_type, Some(text))
        }
    }

    #[test]
    fn the_assignment_table() {
        use Fit::*;
        let list = |inner| DataType::List(Field::new("item", inner, true).into());
        for (column, to, expected) in [
            (plain("integer", DataType::Int32), "integer", Whole),
            (plain("integer", DataType::Int32), "bigint", Whole),
            (plain("bigint", DataType::Int64), "integer", Lossy),
            (plain("numeric(10,2)", DataType::Decimal128(10, 2)), "integer", Misfit),
            (plain("numeric(10,2)", DataType::Decimal128(10, 2)), "numeric(12,4)", Whole),
            (plain("numeric(10,2)", DataType::Decimal128(10, 2)), "numeric(10,4)", Lossy),
            (plain("numeric", DataType::Utf8), "numeric(10,4)", Lossy),
            (plain("numeric", DataType::Utf8), "text", Whole),
            (plain("character varying(10)", DataType::Utf8), "character varying(20)", Whole),
            (plain("character varying(10)", DataType::Utf8), "character varying(5)", Lossy),
            (plain("character varying(10)", DataType::Utf8), "character varying", Whole),
            (plain("character varying(10)", DataType::Utf8), "text", Whole),
            (plain("text", DataType::Utf8), "character varying(5)", Lossy),
            (plain("text", DataType::Utf8), "integer", Misfit),
            (plain("integer[]", DataType::Utf8), "integer[]", Whole),
            (plain("integer[]", DataType::Utf8), "text", Whole),
            (plain("jsonb", DataType::Utf8), "json", Whole),
            (plain("uuid", DataType::FixedSizeBinary(16)), "uuid", Whole),
            (plain("uuid", DataType::FixedSizeBinary(16)), "integer", Misfit),
            (
                plain("timestamp(3) without time zone", DataType::Timestamp(TimeUnit::Microsecond, None)),
                "timestamp without time zone",
                Whole,
            ),
            (plain("bit(3)", DataType::Utf8), "bit(4)", Lossy),
            (expression(DataType::Timestamp(TimeUnit::Microsecond, None), None), "timestamp with time zone", Misfit),
            (expression(DataType::Timestamp(TimeUnit::Nanosecond, None), None), "timestamp without time zone", Lossy),
            (expression(DataType::Int64, None), "integer", Lossy),
            (expression(DataType::Int64, None), "numeric(19,0)", Whole),
            (expression(DataType::Int64, None), "numeric(18,0)", Lossy),
            (expression(DataType::UInt64, None), "bigint", Lossy),
            (expression(DataType::Utf8, None), "inet", Lossy),
            (expression(DataType::Utf8, None), "jsonb", Lossy),
            (expression(DataType::Utf8View, None), "text", Whole),
            (expression(DataType::Boolean, None), "integer", Misfit),
            (expression(DataType::Boolean, None), "text", Whole),
            (expression(DataType::Binary, None), "text", Misfit),
            (expression(list(DataType::Int32), None), "bigint[]", Whole),
            (expression(list(DataType::Utf8), None), "integer[]", Misfit),
            (expression(list(DataType::Utf8), None), "jsonb", Whole),
            (expression(DataType::Null, None), "date", Whole),
        ] {
            assert_eq!(fit(&column, &sink(to)), expected, "{} into {to}", arriving_type(&column));
        }
    }

    #[test]
    fn wire_bytes_go_only_where_they_mean_the_same() {
        let wire = |column: &TargetColumn, to: &str| {
            let sink = sink(to);
            wire_encoding(column, &sink, fit(column, &sink))
        };
        assert_eq!(wire(&plain("integer[]", DataType::Utf8), "integer[]").as_deref(), Some("postgres.binary:1007"));
        assert_eq!(
            wire(&plain("numeric(10,2)", DataType::Decimal128(10, 2)), "numeric").as_deref(),
            Some("postgres.binary:1700")
        );
        assert_eq!(wire(&plain("numeric(10,2)", DataType::Decimal128(10, 2)), "numeric(5,1)"), None);
        assert_eq!(wire(&plain("integer", DataType::Int32), "bigint"), None);
        assert_eq!(wire(&plain("money", DataType::Utf8), "money"), None);
        assert_eq!(wire(&expression(DataType::Int32, None), "integer"), None);
    }
}
