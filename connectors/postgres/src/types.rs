//! The types of PostgreSQL: which Arrow type each one is read as, how its binary form is decoded,
//! and which of them mean the same bytes on every server.
//!
//! The rule of the house: a type without an exact Arrow twin travels as its text (Utf8), never
//! lossy. Arrays, composites, ranges, intervals, `numeric` without precision, network and geometric
//! types and everything that an extension brought are read that way. Infinite dates and timestamps
//! are the ends of Arrow's range ([`DATE_INFINITY`], [`TIMESTAMP_INFINITY`] and their negatives),
//! in both directions.

use arrow::datatypes::{DataType, Field, TimeUnit};
use connector_api::TYPE_KEY;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use tokio_postgres::types::{Kind, Type};

/// `date 'infinity'` in a Date32 column; `-infinity` is `i32::MIN`.
pub(crate) const DATE_INFINITY: i32 = i32::MAX;
/// `date '-infinity'` in a Date32 column.
pub(crate) const DATE_NEGATIVE_INFINITY: i32 = i32::MIN;
/// `timestamp 'infinity'` in a microsecond column.
pub(crate) const TIMESTAMP_INFINITY: i64 = i64::MAX;
/// `timestamp '-infinity'` in a microsecond column.
pub(crate) const TIMESTAMP_NEGATIVE_INFINITY: i64 = i64::MIN;
/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL counts from.
pub(crate) const EPOCH_DAYS: i32 = 10_957;
/// Microseconds from 1970-01-01 to 2000-01-01.
pub(crate) const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;

/// Every form of value that we decode from and encode to the server's binary format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum PgType {
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `oid`: four bytes without sign, an Int64 in Arrow
    Oid,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `numeric(p,s)` with `0 <= s <= p <= 38`
    Decimal128 { precision: u8, scale: u8 },
    /// `numeric(p,s)` with `39 <= p <= 76` and `0 <= s <= p`
    Decimal256 { precision: u8, scale: u8 },
    /// `text`, `varchar`, `char(n)`, `name`, `json`, enums: the binary form is the text itself
    Text,
    /// `jsonb`: a version byte, then the text
    Jsonb,
    /// `bytea`
    Bytea,
    /// `uuid`
    Uuid,
    /// `date`
    Date,
    /// `time without time zone`; `24:00:00` is 86400000000
    Time,
    /// `timestamp without time zone`
    Timestamp,
    /// `timestamp with time zone`
    Timestamptz,
    /// Everything else: selected as the text that its output function gives
    Cast,
}

impl PgType {
    /// From a type whose domains are already unwrapped: its oid, the modifier in force (-1: none)
    /// and `pg_type.typtype`.
    pub(crate) fn from_base(oid: u32, typmod: i32, typtype: char) -> Self {
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
            1700 => match numeric_modifier(typmod) {
                Some((p, s)) if (0..=p as i32).contains(&(s as i32)) && p <= 38 => {
                    Self::Decimal128 { precision: p as u8, scale: s as u8 }
                }
                Some((p, s)) if (0..=p as i32).contains(&(s as i32)) && p <= 76 => {
                    Self::Decimal256 { precision: p as u8, scale: s as u8 }
                }
                _ => Self::Cast,
            },
            25 | 1043 | 1042 | 19 | 114 => Self::Text,
            3802 => Self::Jsonb,
            17 => Self::Bytea,
            2950 => Self::Uuid,
            1082 => Self::Date,
            1083 => Self::Time,
            1114 => Self::Timestamp,
            1184 => Self::Timestamptz,
            _ => Self::Cast,
        }
    }

    /// The Arrow type that reading gives.
    pub(crate) fn arrow_type(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int2 => DataType::Int16,
            Self::Int4 => DataType::Int32,
            Self::Int8 | Self::Oid => DataType::Int64,
            Self::Float4 => DataType::Float32,
            Self::Float8 => DataType::Float64,
            Self::Decimal128 { precision, scale } => DataType::Decimal128(*precision, *scale as i8),
            Self::Decimal256 { precision, scale } => DataType::Decimal256(*precision, *scale as i8),
            Self::Text | Self::Jsonb | Self::Cast => DataType::Utf8,
            Self::Bytea => DataType::Binary,
            Self::Uuid => DataType::FixedSizeBinary(16),
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))),
        }
    }

    /// The Arrow field of a column: its type, and the source's own words in [`TYPE_KEY`].
    pub(crate) fn field(&self, name: &str, type_text: &str, is_nullable: bool) -> Field {
        Field::new(name, self.arrow_type(), is_nullable)
            .with_metadata(HashMap::from([(TYPE_KEY.to_owned(), type_text.to_owned())]))
    }
}

/// Precision and scale in a `numeric` modifier; the scale may be negative or above the precision.
pub(crate) fn numeric_modifier(typmod: i32) -> Option<(u16, i16)> {
    let packed = typmod.checked_sub(4).filter(|packed| *packed >= 0)?;
    let scale = ((packed & 0x7ff) ^ 1024) - 1024;
    Some((((packed >> 16) & 0xffff) as u16, scale as i16))
}

/// The modifier of `numeric(precision, scale)`.
pub(crate) fn numeric_typmod(precision: i32, scale: i32) -> i32 {
    ((precision << 16) | (scale & 0x7ff)) + 4
}

/// The names of built-in types as `format_type` prints them, and of their arrays' elements.
static OIDS: LazyLock<HashMap<&'static str, u32>> = LazyLock::new(|| {
    let mut oids = HashMap::new();
    // The driver knows every built-in type by oid; names of rows and pseudo-types do no harm.
    for oid in 16..16_384u32 {
        if let Some(kind) = Type::from_oid(oid) {
            let name: &'static str = match kind.name() {
                "bool" => "boolean",
                "int2" => "smallint",
                "int4" => "integer",
                "int8" => "bigint",
                "float4" => "real",
                "float8" => "double precision",
                "varchar" => "character varying",
                "bpchar" => "character",
                "varbit" => "bit varying",
                "time" => "time without time zone",
                "timetz" => "time with time zone",
                "timestamp" => "timestamp without time zone",
                "timestamptz" => "timestamp with time zone",
                // `Type` hands out a name as long as itself; leaking 200 short names once is cheaper
                // than a map of owned ones that every lookup must hash with its length.
                other => Box::leak(other.to_owned().into_boxed_str()),
            };
            oids.insert(name, oid);
        }
    }
    oids.insert("bpchar", 1042);
    oids.insert("\"bit\"", 1560);
    oids.insert("\"char\"", 18);
    oids.remove("char");
    oids
});

/// The oid of a built-in type from its printed form, modifiers allowed: `numeric(10,2)`,
/// `timestamp(3) without time zone`, `integer[]`, `interval day to second(3)`. None for a type that
/// is not built in.
pub(crate) fn oid_of_type_text(text: &str) -> Option<u32> {
    let (element, is_array) = match text.strip_suffix("[]") {
        Some(element) => (element, true),
        None => (text, false),
    };
    let bare = match (element.find('('), element.find(')')) {
        (Some(open), Some(close)) if open < close => {
            format!("{}{}", element.get(..open)?, element.get(close + 1..)?)
        }
        _ => element.to_owned(),
    };
    let bare = if bare.starts_with("interval ") { "interval" } else { bare.as_str() };
    let oid = *OIDS.get(bare)?;
    if !is_array {
        return Some(oid);
    }
    ARRAYS.get(&oid).copied()
}

static ARRAYS: LazyLock<HashMap<u32, u32>> = LazyLock::new(|| {
    (16..16_384u32)
        .filter_map(Type::from_oid)
        .filter_map(|array| match array.kind() {
            Kind::Array(element) => Some((element.oid(), array.oid())),
            _ => None,
        })
        .collect()
});

/// Whether values of a built-in type have binary bytes that mean the same on every server: base
/// types that refer to no catalog object and to no locale, and arrays, ranges and multiranges of
/// them. Enums, composites, domains and extensions' types are never among them.
pub(crate) fn is_binary_stable(oid: u32) -> bool {
    let Some(kind) = Type::from_oid(oid).filter(|_| oid < 16_384) else { return false };
    match kind.kind() {
        Kind::Simple => match kind.name() {
            // Oids of objects: another server has other objects under them. `oid` itself is a number.
            name if name.starts_with("reg") => false,
            // money counts the smallest units of lc_monetary, which may differ.
            "money" => false,
            // No binary input, or bytes that belong to one cluster.
            "aclitem"
            | "gtsvector"
            | "pg_node_tree"
            | "pg_ndistinct"
            | "pg_dependencies"
            | "pg_mcv_list"
            | "pg_ddl_command"
            | "pg_brin_bloom_summary"
            | "pg_brin_minmax_multi_summary"
            | "unknown"
            | "refcursor"
            | "xid"
            | "cid"
            | "tid"
            | "xid8"
            | "pg_lsn"
            | "txid_snapshot"
            | "pg_snapshot" => false,
            _ => true,
        },
        Kind::Array(element) => is_binary_stable(element.oid()),
        Kind::Range(element) => is_binary_stable(element.oid()),
        Kind::Multirange(element) => is_binary_stable(element.oid()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_types_are_recognized_with_their_modifiers() {
        for (text, oid) in [
            ("numeric(10,2)", 1700),
            ("numeric", 1700),
            ("character varying(20)", 1043),
            ("character(3)", 1042),
            ("bpchar", 1042),
            ("\"char\"", 18),
            ("bit(3)", 1560),
            ("timestamp(3) without time zone", 1114),
            ("timestamp with time zone", 1184),
            ("interval day to second(3)", 1186),
            ("integer[]", 1007),
            ("numeric(10,2)[]", 1231),
            ("int4range", 3904),
            ("uuid", 2950),
        ] {
            assert_eq!(oid_of_type_text(text), Some(oid), "{text}");
        }
        for text in ["public.mood", "char", "public.\"a(b\"", "nonsense", "public.numeric(3)"] {
            assert_eq!(oid_of_type_text(text), None, "{text}");
        }
    }

    #[test]
    fn numeric_modifiers_keep_negative_scales() {
        assert_eq!(numeric_modifier(numeric_typmod(10, 2)), Some((10, 2)));
        assert_eq!(numeric_modifier(numeric_typmod(5, -3)), Some((5, -3)));
        assert_eq!(numeric_modifier(-1), None);
        let decimal = |p, s| PgType::from_base(1700, numeric_typmod(p, s), 'b');
        assert_eq!(decimal(38, 38), PgType::Decimal128 { precision: 38, scale: 38 });
        assert_eq!(decimal(39, 0), PgType::Decimal256 { precision: 39, scale: 0 });
        for (precision, scale) in [(5, -3), (3, 5), (77, 2)] {
            assert_eq!(decimal(precision, scale), PgType::Cast, "numeric({precision},{scale})");
        }
        assert_eq!(PgType::from_base(1700, -1, 'b'), PgType::Cast);
    }

    #[test]
    fn only_bytes_that_mean_the_same_everywhere_are_stable() {
        for text in
            ["integer", "numeric", "text", "jsonb", "integer[]", "int4range", "tstzmultirange", "inet", "bit(3)"]
        {
            assert!(is_binary_stable(oid_of_type_text(text).unwrap()), "{text}");
        }
        for text in ["regclass", "money", "regclass[]", "aclitem", "record"] {
            assert!(!oid_of_type_text(text).is_some_and(is_binary_stable), "{text}");
        }
        assert!(!is_binary_stable(20_000));
    }
}
