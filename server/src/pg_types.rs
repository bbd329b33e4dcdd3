//! Which PostgreSQL type a result column has: from its Arrow type, which decides, and the source's
//! own words in its metadata, which refine.
//!
//! The Arrow type decides because a cast keeps a column's metadata: `id::text` is still marked
//! `integer`. A text column of a type that has no Arrow twin (`inet`, `numeric` without precision)
//! is text to us, sorts as text, and is described as text. This file knows no wire.

use arrow::datatypes::{DataType, Field};
use connector_api::TYPE_KEY;

/// Oids of the types that we describe columns and parameters with.
pub mod oid {
    pub const BOOL: u32 = 16;
    pub const BYTEA: u32 = 17;
    pub const CHAR: u32 = 18;
    pub const NAME: u32 = 19;
    pub const INT8: u32 = 20;
    pub const INT2: u32 = 21;
    pub const INT2VECTOR: u32 = 22;
    pub const INT4: u32 = 23;
    pub const REGPROC: u32 = 24;
    pub const TEXT: u32 = 25;
    pub const OID: u32 = 26;
    pub const XID: u32 = 28;
    pub const OIDVECTOR: u32 = 30;
    pub const JSON: u32 = 114;
    pub const XML: u32 = 142;
    pub const FLOAT4: u32 = 700;
    pub const FLOAT8: u32 = 701;
    pub const UNKNOWN: u32 = 705;
    pub const BPCHAR: u32 = 1042;
    pub const VARCHAR: u32 = 1043;
    pub const DATE: u32 = 1082;
    pub const TIME: u32 = 1083;
    pub const TIMESTAMP: u32 = 1114;
    pub const TIMESTAMPTZ: u32 = 1184;
    pub const INTERVAL: u32 = 1186;
    pub const TIMETZ: u32 = 1266;
    pub const NUMERIC: u32 = 1700;
    pub const REGCLASS: u32 = 2205;
    pub const REGTYPE: u32 = 2206;
    pub const UUID: u32 = 2950;
    pub const JSONB: u32 = 3802;
    pub const REGNAMESPACE: u32 = 4089;
    pub const REGROLE: u32 = 4096;
}

/// One type: its oid, the oid of its array (0: none), its length on the server (-1: variable), and
/// the names under which it is known, the one of `format_type` first.
struct TypeRow(u32, u32, i16, &'static [&'static str]);

const TYPES: &[TypeRow] = &[
    TypeRow(oid::BOOL, 1000, 1, &["boolean", "bool"]),
    TypeRow(oid::BYTEA, 1001, -1, &["bytea"]),
    TypeRow(oid::CHAR, 1002, 1, &["\"char\""]),
    TypeRow(oid::NAME, 1003, 64, &["name"]),
    TypeRow(oid::INT8, 1016, 8, &["bigint", "int8"]),
    TypeRow(oid::INT2, 1005, 2, &["smallint", "int2"]),
    TypeRow(oid::INT2VECTOR, 1006, -1, &["int2vector"]),
    TypeRow(oid::INT4, 1007, 4, &["integer", "int", "int4"]),
    TypeRow(oid::REGPROC, 1008, 4, &["regproc"]),
    TypeRow(oid::TEXT, 1009, -1, &["text"]),
    TypeRow(oid::OID, 1028, 4, &["oid"]),
    TypeRow(oid::XID, 1011, 4, &["xid"]),
    TypeRow(oid::OIDVECTOR, 1013, -1, &["oidvector"]),
    TypeRow(oid::JSON, 199, -1, &["json"]),
    TypeRow(oid::XML, 143, -1, &["xml"]),
    TypeRow(oid::FLOAT4, 1021, 4, &["real", "float4"]),
    TypeRow(oid::FLOAT8, 1022, 8, &["double precision", "float8", "float", "double"]),
    TypeRow(oid::UNKNOWN, 0, -2, &["unknown"]),
    TypeRow(oid::BPCHAR, 1014, -1, &["character", "bpchar", "char"]),
    TypeRow(oid::VARCHAR, 1015, -1, &["character varying", "varchar"]),
    TypeRow(oid::DATE, 1182, 4, &["date"]),
    TypeRow(oid::TIME, 1183, 8, &["time without time zone", "time"]),
    TypeRow(oid::TIMESTAMP, 1115, 8, &["timestamp without time zone", "timestamp"]),
    TypeRow(oid::TIMESTAMPTZ, 1185, 8, &["timestamp with time zone", "timestamptz"]),
    TypeRow(oid::INTERVAL, 1187, 16, &["interval"]),
    TypeRow(oid::TIMETZ, 1270, 12, &["time with time zone", "timetz"]),
    TypeRow(oid::NUMERIC, 1231, -1, &["numeric", "decimal", "dec"]),
    TypeRow(oid::REGCLASS, 2210, 4, &["regclass"]),
    TypeRow(oid::REGTYPE, 2211, 4, &["regtype"]),
    TypeRow(oid::UUID, 2951, 16, &["uuid"]),
    TypeRow(oid::JSONB, 3807, -1, &["jsonb"]),
    TypeRow(oid::REGNAMESPACE, 4090, 4, &["regnamespace"]),
    TypeRow(oid::REGROLE, 4097, 4, &["regrole"]),
];

/// The oid of the array of a type; None for a type that we do not know or that has no array.
pub fn array_oid(element: u32) -> Option<u32> {
    TYPES.iter().find(|t| t.0 == element).map(|t| t.1).filter(|oid| *oid != 0)
}

/// The element's oid of an array type.
pub fn element_oid(array: u32) -> Option<u32> {
    TYPES.iter().find(|t| t.1 == array && array != 0).map(|t| t.0)
}

/// The length of a type's values on the server, as RowDescription says it; -1 when it varies.
pub fn type_size(type_oid: u32) -> i16 {
    TYPES.iter().find(|t| t.0 == type_oid).map_or(-1, |t| t.2)
}

/// The name of a type as `format_type` prints it; None for a type that we do not know.
pub fn type_name(type_oid: u32) -> Option<String> {
    if let Some(row) = TYPES.iter().find(|t| t.0 == type_oid) {
        return Some(row.3[0].to_owned());
    }
    element_oid(type_oid).and_then(type_name).map(|name| format!("{name}[]"))
}

/// The oid and the modifier of a type as it is written or printed: `numeric(10,2)`, `int[]`,
/// `timestamp(3) with time zone`, `pg_catalog.int4`. None for a type that we do not know.
pub fn parse_type(text: &str) -> Option<(u32, i32)> {
    let text = text.trim();
    let text = text.strip_prefix("pg_catalog.").unwrap_or(text);
    if let Some(element) = text.strip_suffix("[]") {
        let (element, type_modifier) = parse_type(element)?;
        return Some((array_oid(element)?, type_modifier));
    }
    if let Some(element) = text.strip_prefix('_') {
        let (element, _) = parse_type(element)?;
        return Some((array_oid(element)?, -1));
    }
    let (name, modifier) = match (text.find('('), text.find(')')) {
        (Some(open), Some(close)) if open < close => {
            let rest = text.get(close + 1..)?.trim();
            let head = text.get(..open)?.trim();
            let name = if rest.is_empty() { head.to_owned() } else { format!("{head} {rest}") };
            (name, text.get(open + 1..close))
        }
        _ => (text.to_owned(), None),
    };
    let name = name.to_ascii_lowercase();
    let name = if name.starts_with("interval ") { "interval" } else { name.as_str() };
    let type_oid = TYPES.iter().find(|t| t.3.contains(&name)).map(|t| t.0)?;
    let numbers: Vec<i32> = modifier.map_or(vec![], |m| m.split(',').filter_map(|n| n.trim().parse().ok()).collect());
    let type_modifier = match (type_oid, numbers.as_slice()) {
        (oid::NUMERIC, [precision]) => numeric_modifier(*precision, 0),
        (oid::NUMERIC, [precision, scale]) => numeric_modifier(*precision, *scale),
        (oid::VARCHAR | oid::BPCHAR, [length]) => length.saturating_add(4),
        (oid::TIME | oid::TIMETZ | oid::TIMESTAMP | oid::TIMESTAMPTZ, [precision]) => *precision,
        _ => -1,
    };
    Some((type_oid, type_modifier))
}

/// The type modifier of `numeric(precision, scale)`.
pub fn numeric_modifier(precision: i32, scale: i32) -> i32 {
    ((precision & 0xffff) << 16 | (scale & 0x7ff)) + 4
}

/// The PostgreSQL type of a column: its oid and its type modifier (-1: none).
pub fn pg_type_of(field: &Field) -> (u32, i32) {
    let declared = field.metadata().get(TYPE_KEY).and_then(|text| parse_type(text));
    refine(field.data_type(), declared)
}

/// The type of values of this Arrow type without more knowledge.
fn refine(data_type: &DataType, declared: Option<(u32, i32)>) -> (u32, i32) {
    let plain = |type_oid| (type_oid, -1);
    // What the source says counts when values of this Arrow type can be that type.
    let one_of = |allowed: &[u32], default: u32| match declared {
        Some((type_oid, modifier)) if allowed.contains(&type_oid) => (type_oid, modifier),
        _ => (default, -1),
    };
    match data_type {
        DataType::Null => plain(oid::TEXT),
        DataType::Boolean => plain(oid::BOOL),
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => plain(oid::INT2),
        DataType::UInt16 => plain(oid::INT4),
        DataType::Int32 => one_of(NUMBERED, oid::INT4),
        DataType::UInt32 | DataType::Int64 => one_of(NUMBERED, oid::INT8),
        DataType::UInt64 => plain(oid::NUMERIC),
        DataType::Float16 | DataType::Float32 => plain(oid::FLOAT4),
        DataType::Float64 => plain(oid::FLOAT8),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => (oid::NUMERIC, numeric_modifier((*p).into(), (*s).into())),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            one_of(&[oid::JSON, oid::JSONB, oid::VARCHAR, oid::BPCHAR, oid::NAME, oid::CHAR, oid::XML], oid::TEXT)
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => plain(oid::BYTEA),
        DataType::FixedSizeBinary(16) => one_of(&[oid::UUID], oid::BYTEA),
        DataType::FixedSizeBinary(_) => plain(oid::BYTEA),
        DataType::Date32 | DataType::Date64 => plain(oid::DATE),
        DataType::Time32(_) | DataType::Time64(_) => one_of(&[oid::TIME], oid::TIME),
        DataType::Timestamp(_, None) => one_of(&[oid::TIMESTAMP], oid::TIMESTAMP),
        DataType::Timestamp(_, Some(_)) => one_of(&[oid::TIMESTAMPTZ], oid::TIMESTAMPTZ),
        DataType::Interval(_) | DataType::Duration(_) => plain(oid::INTERVAL),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => {
            // The vectors of the system catalogs are arrays with a text form of their own.
            match (declared, item.data_type()) {
                (Some((oid::INT2VECTOR, _)), DataType::Int16) => return plain(oid::INT2VECTOR),
                (Some((oid::OIDVECTOR, _)), DataType::Int32 | DataType::UInt32 | DataType::Int64) => {
                    return plain(oid::OIDVECTOR);
                }
                _ => {}
            }
            // PostgreSQL's arrays are rectangular, lists of lists are not: those are shown as JSON.
            if is_nested(item.data_type()) {
                return plain(oid::JSON);
            }
            let element = match declared.and_then(|(array, modifier)| Some((element_oid(array)?, modifier))) {
                Some(element) => refine(item.data_type(), Some(element)),
                None => pg_type_of(item),
            };
            (array_oid(element.0).unwrap_or(1009), element.1)
        }
        DataType::Struct(_) | DataType::Map(_, _) | DataType::Union(_, _) => plain(oid::JSON),
        DataType::Dictionary(_, value) => refine(value, declared),
        DataType::RunEndEncoded(_, values) => refine(values.data_type(), declared),
    }
}

/// Types whose values are numbers of system objects.
const NUMBERED: &[u32] =
    &[oid::OID, oid::REGPROC, oid::REGCLASS, oid::REGTYPE, oid::REGNAMESPACE, oid::REGROLE, oid::XID];

/// Whether values have parts, so that a list of them is no array of PostgreSQL.
pub(crate) fn is_nested(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_nested(value),
        DataType::RunEndEncoded(_, values) => is_nested(values.data_type()),
        other => other.is_nested(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::sync::Arc;

    fn field(data_type: DataType, declared: &str) -> Field {
        Field::new("c", data_type, true).with_metadata(HashMap::from([(TYPE_KEY.to_owned(), declared.to_owned())]))
    }

    #[test]
    fn the_source_refines_and_never_contradicts_the_arrow_type() {
        for (data_type, declared, expected) in [
            (DataType::Utf8, "jsonb", (3802, -1)),
            (DataType::Utf8View, "character varying(20)", (1043, 24)),
            (DataType::Utf8, "integer", (25, -1)),
            (DataType::Utf8, "numeric", (25, -1)),
            (DataType::Int32, "jsonb", (23, -1)),
            (DataType::Int64, "oid", (26, -1)),
            (DataType::FixedSizeBinary(16), "uuid", (2950, -1)),
            (DataType::FixedSizeBinary(16), "bytea", (17, -1)),
            (DataType::Decimal128(12, 2), "numeric(12,2)", (1700, (12 << 16 | 2) + 4)),
            (
                DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None),
                "timestamp(3) without time zone",
                (1114, 3),
            ),
        ] {
            assert_eq!(pg_type_of(&field(data_type.clone(), declared)), expected, "{data_type} {declared}");
        }
    }

    #[test]
    fn lists_are_arrays_and_lists_of_lists_are_json() {
        let item = Arc::new(Field::new("item", DataType::Int16, true));
        let list = DataType::List(item);
        assert_eq!(pg_type_of(&Field::new("c", list.clone(), true)), (1005, -1));
        assert_eq!(pg_type_of(&field(list.clone(), "int2vector")), (22, -1));
        let nested = DataType::List(Arc::new(Field::new("item", list, true)));
        assert_eq!(pg_type_of(&Field::new("c", nested, true)), (114, -1));
    }

    #[test]
    fn written_types_are_understood() {
        assert_eq!(parse_type("int"), Some((23, -1)));
        assert_eq!(parse_type("VARCHAR(3)"), Some((1043, 7)));
        assert_eq!(parse_type("text[]"), Some((1009, -1)));
        assert_eq!(parse_type("timestamp(3) with time zone"), Some((1184, 3)));
        assert_eq!(parse_type("public.mood"), None);
        assert_eq!(type_name(1007).as_deref(), Some("integer[]"));
    }
}
