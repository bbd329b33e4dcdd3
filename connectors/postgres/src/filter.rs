//! Filters that the server evaluates: which DataFusion expressions can be said in its SQL with the
//! same outcome to the last value, and how.
//!
//! The rules behind it: text is compared by bytes here and by collation there, so that every text
//! comparison carries `COLLATE "C"`; `char(n)` ignores blanks at the end and is left out; a float
//! zero has one sign too many here, so a comparison with zero is left out; types that travel as text
//! are left out except for `IS NULL`. What is not understood is [`FilterPushdown::Unsupported`].

use crate::types::oid_of_type_text;
use arrow::datatypes::{DataType, TimeUnit, i256};
use catalog::name::force_quote_ident;
use catalog::quote_literal;
use connector_api::{FilterPushdown, TableSchema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Cast, InList, TryCast};
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Like, Operator};

/// Deeper expressions are evaluated by us.
const DEPTH_MAX: usize = 100;
/// Longer lists are evaluated by us: the statement would be larger than what it saves.
const LIST_MAX: usize = 10_000;

/// Answers [`connector_api::Source::push_filter`].
pub(crate) fn push(table: &TableSchema, filter: &Expr) -> FilterPushdown {
    match condition(table, filter, 0) {
        Some(text) => FilterPushdown::Exact(text),
        None => FilterPushdown::Unsupported,
    }
}

/// A boolean expression in the server's SQL.
fn condition(table: &TableSchema, expression: &Expr, depth: usize) -> Option<String> {
    if depth > DEPTH_MAX {
        return None;
    }
    let inner = |expression: &Expr| condition(table, expression, depth + 1);
    match expression {
        Expr::Alias(alias) => inner(&alias.expr),
        Expr::Column(_) => {
            let column = column(table, expression)?;
            (column.class == Class::Bool).then_some(column.sql)
        }
        Expr::Literal(ScalarValue::Boolean(Some(value)), _) => Some(value.to_string()),
        Expr::Not(inside) => Some(format!("NOT ({})", inner(inside)?)),
        Expr::IsTrue(inside) => Some(format!("({}) IS TRUE", inner(inside)?)),
        Expr::IsFalse(inside) => Some(format!("({}) IS FALSE", inner(inside)?)),
        Expr::IsNotTrue(inside) => Some(format!("({}) IS NOT TRUE", inner(inside)?)),
        Expr::IsNotFalse(inside) => Some(format!("({}) IS NOT FALSE", inner(inside)?)),
        Expr::IsNull(inside) | Expr::IsUnknown(inside) => is_null(table, inside, false),
        Expr::IsNotNull(inside) | Expr::IsNotUnknown(inside) => is_null(table, inside, true),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            Some(format!("({} AND {})", inner(left)?, inner(right)?))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some(format!("({} OR {})", inner(left)?, inner(right)?))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let comparison = Comparison::new(*op)?;
            match (operand(table, left)?, operand(table, right)?) {
                (Operand::Column(column), Operand::Literal(literal)) => compare(&column, comparison, literal),
                (Operand::Literal(literal), Operand::Column(column)) => compare(&column, comparison.swapped(), literal),
                (Operand::Column(left), Operand::Column(right)) => compare_columns(&left, comparison, &right),
                (Operand::Literal(_), Operand::Literal(_)) => None,
            }
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let Operand::Column(column) = operand(table, expr)? else { return None };
            let (Expr::Literal(low, _), Expr::Literal(high, _)) = (low.as_ref(), high.as_ref()) else { return None };
            let low = compare(&column, Comparison::GreaterOrEqual, low)?;
            let high = compare(&column, Comparison::LessOrEqual, high)?;
            Some(if *negated { format!("NOT ({low} AND {high})") } else { format!("({low} AND {high})") })
        }
        Expr::InList(InList { expr, list, negated }) => {
            let Operand::Column(column) = operand(table, expr)? else { return None };
            in_list(&column, list, *negated)
        }
        Expr::Like(like) => self::like(table, like),
        _ => None,
    }
}

/// A row of a composite type counts as NULL in `IS NULL` when all of its fields do; the other form
/// looks at the value alone, as we do.
fn is_null(table: &TableSchema, inside: &Expr, is_negated: bool) -> Option<String> {
    let Expr::Column(name) = inside else { return None };
    let column = &table.columns[table.column_index(&name.name)?];
    let sql = force_quote_ident(&column.name);
    let is_plain = oid_of_type_text(&column.data_type).is_some() || *column.field.data_type() != DataType::Utf8;
    Some(match (is_plain, is_negated) {
        (true, false) => format!("{sql} IS NULL"),
        (true, true) => format!("{sql} IS NOT NULL"),
        (false, false) => format!("{sql} IS NOT DISTINCT FROM NULL"),
        (false, true) => format!("{sql} IS DISTINCT FROM NULL"),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    fn new(operator: Operator) -> Option<Self> {
        Some(match operator {
            Operator::Eq => Self::Equal,
            Operator::NotEq => Self::NotEqual,
            Operator::Lt => Self::Less,
            Operator::LtEq => Self::LessOrEqual,
            Operator::Gt => Self::Greater,
            Operator::GtEq => Self::GreaterOrEqual,
            _ => return None,
        })
    }
    fn swapped(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::NotEqual => Self::NotEqual,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
    fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// What kind of comparison a column takes part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Bool,
    /// Whole numbers; `is_narrow`: a double holds every one of them.
    Int {
        is_narrow: bool,
    },
    Float4,
    Float8,
    Decimal,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Uuid,
    Bytea,
    /// `text` and `varchar`
    Text,
}

struct ColumnOperand {
    sql: String,
    class: Class,
}

enum Operand<'a> {
    Column(ColumnOperand),
    Literal(&'a ScalarValue),
}

fn operand<'a>(table: &TableSchema, expression: &'a Expr) -> Option<Operand<'a>> {
    match expression {
        Expr::Literal(literal, _) => Some(Operand::Literal(literal)),
        expression => column(table, expression).map(Operand::Column),
    }
}

/// A column, or a cast around one that loses nothing.
fn column(table: &TableSchema, expression: &Expr) -> Option<ColumnOperand> {
    match expression {
        Expr::Alias(alias) => column(table, &alias.expr),
        Expr::Column(name) => {
            let column = &table.columns[table.column_index(&name.name)?];
            let class = class(&column.data_type, column.field.data_type())?;
            let quoted = force_quote_ident(&column.name);
            // An oid, or a domain that may be over one: it has no comparison with a bigint.
            let is_oid = *column.field.data_type() == DataType::Int64 && column.data_type != "bigint";
            Some(ColumnOperand { sql: if is_oid { format!("{quoted}::int8") } else { quoted }, class })
        }
        Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
            let Expr::Column(name) = expr.as_ref() else { return None };
            let from = table.columns[table.column_index(&name.name)?].field.data_type();
            is_lossless(from, field.data_type()).then(|| column(table, expr))?
        }
        _ => None,
    }
}

fn class(data_type: &str, arrow: &DataType) -> Option<Class> {
    Some(match arrow {
        DataType::Boolean => Class::Bool,
        DataType::Int16 | DataType::Int32 => Class::Int { is_narrow: true },
        DataType::Int64 => Class::Int { is_narrow: false },
        DataType::Float32 => Class::Float4,
        DataType::Float64 => Class::Float8,
        DataType::Decimal128(..) | DataType::Decimal256(..) => Class::Decimal,
        DataType::Date32 => Class::Date,
        DataType::Time64(TimeUnit::Microsecond) => Class::Time,
        DataType::Timestamp(TimeUnit::Microsecond, None) => Class::Timestamp,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Class::Timestamptz,
        DataType::FixedSizeBinary(16) => Class::Uuid,
        DataType::Binary => Class::Bytea,
        // Of the types that are text here, only these two compare as text there.
        DataType::Utf8 if matches!(oid_of_type_text(data_type), Some(25 | 1043)) => Class::Text,
        _ => return None,
    })
}

/// Whether every value of `from` has its own equal in `to`, in the same order.
fn is_lossless(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    let digits = |integer: &DataType| match integer {
        Int16 => Some(5),
        Int32 => Some(10),
        Int64 => Some(19),
        _ => None,
    };
    match (from, to) {
        (from, to) if from == to => true,
        (Int16, Int32 | Int64 | Float32 | Float64) | (Int32, Int64 | Float64) | (Float32, Float64) => true,
        (Utf8, LargeUtf8 | Utf8View) | (Binary, LargeBinary | BinaryView) => true,
        (Timestamp(TimeUnit::Microsecond, Some(_)), Timestamp(TimeUnit::Microsecond, Some(_))) => true,
        (integer, Decimal128(p, s) | Decimal256(p, s)) if digits(integer).is_some() => {
            digits(integer).is_some_and(|digits| i16::from(*p) - i16::from(*s) >= digits)
        }
        (Decimal128(p, s) | Decimal256(p, s), Decimal128(wider_p, wider_s) | Decimal256(wider_p, wider_s)) => {
            wider_s >= s && i16::from(*wider_p) - i16::from(*wider_s) >= i16::from(*p) - i16::from(*s)
        }
        _ => false,
    }
}

fn compare(column: &ColumnOperand, comparison: Comparison, literal: &ScalarValue) -> Option<String> {
    let value = self::literal(column.class, literal)?;
    let (sql, operator) = (&column.sql, comparison.sql());
    if column.class == Class::Text {
        let exact = format!("{sql} COLLATE \"C\" {operator} {value}");
        // The plain comparison lets the server use its index. Equal bytes are equal under every
        // collation, so the pair means what the second of them means.
        return Some(match comparison {
            Comparison::Equal => format!("({sql} = {value} AND {exact})"),
            _ => exact,
        });
    }
    Some(format!("{sql} {operator} {value}"))
}

fn compare_columns(left: &ColumnOperand, comparison: Comparison, right: &ColumnOperand) -> Option<String> {
    let operator = comparison.sql();
    let is_number = |class| matches!(class, Class::Int { .. } | Class::Decimal);
    match (left.class, right.class) {
        // Minus zero is less than zero here and equal to it there.
        (Class::Float4 | Class::Float8, _) | (_, Class::Float4 | Class::Float8) => None,
        (Class::Text, Class::Text) => {
            Some(format!("{} COLLATE \"C\" {operator} {} COLLATE \"C\"", left.sql, right.sql))
        }
        (a, b) if a == b || (is_number(a) && is_number(b)) => Some(format!("{} {operator} {}", left.sql, right.sql)),
        _ => None,
    }
}

fn in_list(column: &ColumnOperand, list: &[Expr], is_negated: bool) -> Option<String> {
    if list.is_empty() || list.len() > LIST_MAX {
        return None;
    }
    let mut values = Vec::with_capacity(list.len());
    for item in list {
        let Expr::Literal(value, _) = item else { return None };
        values.push(literal(column.class, value)?);
    }
    let (sql, values) = (&column.sql, values.join(", "));
    Some(match (column.class, is_negated) {
        (Class::Text, false) => format!("({sql} IN ({values}) AND {sql} COLLATE \"C\" IN ({values}))"),
        (Class::Text, true) => format!("{sql} COLLATE \"C\" NOT IN ({values})"),
        (_, false) => format!("{sql} IN ({values})"),
        (_, true) => format!("{sql} NOT IN ({values})"),
    })
}

fn like(table: &TableSchema, like: &Like) -> Option<String> {
    let column = column(table, &like.expr)?;
    // Case folding is the locale's there and Unicode's here.
    if like.case_insensitive || column.class != Class::Text || like.escape_char.is_some_and(|escape| escape != '\\') {
        return None;
    }
    let Expr::Literal(pattern, _) = like.pattern.as_ref() else { return None };
    let pattern = text_of(pattern)?;
    // A backslash before anything but a wildcard means itself here and is dropped there.
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character == '\\' && !matches!(characters.next(), Some('%' | '_')) {
            return None;
        }
    }
    let not = if like.negated { "NOT " } else { "" };
    Some(format!("{} COLLATE \"C\" {not}LIKE {}", column.sql, text_literal(pattern)?))
}

fn text_of(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            Some(text)
        }
        _ => None,
    }
}

fn text_literal(text: &str) -> Option<String> {
    // No text of the server holds a zero byte, and none can be sent to it.
    (!text.contains('\0')).then(|| format!("{}::text", quote_literal(text)))
}

/// A literal as the server reads it, for a column of this class; None where the comparison would
/// mean something else there.
fn literal(class: Class, value: &ScalarValue) -> Option<String> {
    match class {
        Class::Bool => match value {
            ScalarValue::Boolean(Some(value)) => Some(value.to_string()),
            _ => None,
        },
        Class::Int { is_narrow } => integer(value)
            .map(integer_literal)
            .or_else(|| decimal(value))
            .or_else(|| is_narrow.then(|| float(value)).flatten()),
        Class::Decimal => decimal(value).or_else(|| integer(value).map(integer_literal)),
        Class::Float4 | Class::Float8 => float(value),
        Class::Date => match value {
            ScalarValue::Date32(Some(i32::MAX)) => Some("'infinity'::date".to_owned()),
            ScalarValue::Date32(Some(i32::MIN)) => Some("'-infinity'::date".to_owned()),
            ScalarValue::Date32(Some(days)) => Some(format!("'{}'::date", day(i64::from(*days))?)),
            _ => None,
        },
        Class::Time => match value {
            ScalarValue::Time64Microsecond(Some(us)) if (0..86_400_000_000).contains(us) => {
                Some(format!("'{}'::time", time_of_day(*us)))
            }
            _ => None,
        },
        Class::Timestamp => match value {
            ScalarValue::TimestampMicrosecond(Some(us), None) => Some(format!("'{}'::timestamp", moment(*us)?)),
            _ => None,
        },
        Class::Timestamptz => match value {
            ScalarValue::TimestampMicrosecond(Some(us), Some(_)) => {
                let moment = moment(*us)?;
                let zone = if moment.ends_with("infinity") { "" } else { "+00" };
                Some(format!("'{moment}{zone}'::timestamptz"))
            }
            _ => None,
        },
        Class::Uuid => match value {
            ScalarValue::FixedSizeBinary(16, Some(bytes)) => Some(format!("'{}'::uuid", hex(bytes))),
            _ => None,
        },
        Class::Bytea => match value {
            ScalarValue::Binary(Some(bytes))
            | ScalarValue::LargeBinary(Some(bytes))
            | ScalarValue::BinaryView(Some(bytes)) => Some(format!("decode('{}', 'hex')", hex(bytes))),
            _ => None,
        },
        Class::Text => text_literal(text_of(value)?),
    }
}

fn integer(value: &ScalarValue) -> Option<i128> {
    Some(match value {
        ScalarValue::Int8(Some(n)) => i128::from(*n),
        ScalarValue::Int16(Some(n)) => i128::from(*n),
        ScalarValue::Int32(Some(n)) => i128::from(*n),
        ScalarValue::Int64(Some(n)) => i128::from(*n),
        ScalarValue::UInt8(Some(n)) => i128::from(*n),
        ScalarValue::UInt16(Some(n)) => i128::from(*n),
        ScalarValue::UInt32(Some(n)) => i128::from(*n),
        ScalarValue::UInt64(Some(n)) => i128::from(*n),
        _ => return None,
    })
}

fn integer_literal(value: i128) -> String {
    let kind = if i64::try_from(value).is_ok() { "int8" } else { "numeric" };
    // Quoted when negative: a cast binds tighter than a sign.
    if value < 0 { format!("'{value}'::{kind}") } else { format!("{value}::{kind}") }
}

fn decimal(value: &ScalarValue) -> Option<String> {
    let (digits, scale) = match value {
        ScalarValue::Decimal128(Some(value), _, scale) => (value.to_string(), *scale),
        ScalarValue::Decimal256(Some(value), _, scale) => (i256::to_string(value), *scale),
        _ => return None,
    };
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits.as_str()),
    };
    let text = match usize::try_from(scale).ok()? {
        0 => digits.to_owned(),
        scale => {
            let padded = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = padded.split_at_checked(padded.len() - scale)?;
            format!("{whole}.{fraction}")
        }
    };
    Some(format!("'{sign}{text}'::numeric"))
}

fn float(value: &ScalarValue) -> Option<String> {
    let (text, is_special, kind) = match value {
        ScalarValue::Float32(Some(value)) => (format!("{value:?}"), value.is_nan() || *value == 0.0, "float4"),
        ScalarValue::Float64(Some(value)) => (format!("{value:?}"), value.is_nan() || *value == 0.0, "float8"),
        _ => return None,
    };
    // Zero has two signs here that differ, and NaN several patterns.
    if is_special {
        return None;
    }
    let text = text.replace("inf", "Infinity");
    Some(format!("'{text}'::{kind}"))
}

fn moment(microseconds: i64) -> Option<String> {
    match microseconds {
        i64::MAX => Some("infinity".to_owned()),
        i64::MIN => Some("-infinity".to_owned()),
        us => Some(format!("{} {}", day(us.div_euclid(86_400_000_000))?, time_of_day(us.rem_euclid(86_400_000_000)))),
    }
}

fn time_of_day(microseconds: i64) -> String {
    let seconds = microseconds / 1_000_000;
    let fraction = microseconds % 1_000_000;
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if fraction == 0 { clock } else { format!("{clock}.{fraction:06}") }
}

/// A day counted from 1970-01-01 as `YYYY-MM-DD`, in the years 1 to 9999.
fn day(days: i64) -> Option<String> {
    // Counted from 0000-03-01 in eras of 400 years, so that the leap day is a year's last.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (1..=9_999).contains(&year).then(|| format!("{year:04}-{month:02}-{day:02}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PgType;
    use catalog::TableName;
    use connector_api::{ColumnSchema, TableKind};
    use datafusion::logical_expr::{cast, col, lit};

    fn table() -> TableSchema {
        let columns = [
            ("i2", "smallint", PgType::Int2),
            ("i", "integer", PgType::Int4),
            ("i8", "bigint", PgType::Int8),
            ("o", "oid", PgType::Oid),
            ("b", "boolean", PgType::Bool),
            ("f", "double precision", PgType::Float8),
            ("n", "numeric(10,2)", PgType::Decimal128 { precision: 10, scale: 2 }),
            ("bare", "numeric", PgType::Cast),
            ("d", "date", PgType::Date),
            ("ts", "timestamp without time zone", PgType::Timestamp),
            ("tz", "timestamp with time zone", PgType::Timestamptz),
            ("t", "text", PgType::Text),
            ("v", "character varying(20)", PgType::Text),
            ("c", "character(3)", PgType::Text),
            ("u", "uuid", PgType::Uuid),
            ("e", "public.mood", PgType::Text),
            ("Od\"d", "integer", PgType::Int4),
        ];
        TableSchema {
            name: TableName::new("s", "t"),
            kind: TableKind::Table,
            columns: columns
                .into_iter()
                .map(|(name, data_type, pg)| ColumnSchema {
                    name: name.to_owned(),
                    data_type: data_type.to_owned(),
                    field: pg.field(name, data_type, true),
                    is_nullable: true,
                    is_generated: false,
                    default_expr: None,
                    comment: None,
                })
                .collect(),
            primary_key: vec![],
            unique_keys: vec![],
            rows_estimate: None,
            bytes_estimate: None,
            comment: None,
        }
    }

    fn pushed(filter: Expr) -> Option<String> {
        match push(&table(), &filter) {
            FilterPushdown::Exact(text) => Some(text),
            FilterPushdown::Inexact(_) => panic!("a filter is exact or not pushed"),
            FilterPushdown::Unsupported => None,
        }
    }

    fn exact(filter: Expr, text: &str) {
        assert_eq!(pushed(filter).as_deref(), Some(text));
    }

    fn name(name: &str) -> Expr {
        Expr::Column(datafusion::common::Column::from_name(name))
    }

    #[test]
    fn comparisons_become_sql_with_typed_literals() {
        exact(col("i").gt(lit(5)), "\"i\" > 5::int8");
        exact(lit(-5).lt_eq(col("i")), "\"i\" >= '-5'::int8");
        exact(col("i8").eq(lit(u64::MAX)), "\"i8\" = 18446744073709551615::numeric");
        exact(col("o").eq(lit(5i64)), "\"o\"::int8 = 5::int8");
        exact(name("Od\"d").eq(lit(5)), "\"Od\"\"d\" = 5::int8");
        exact(cast(col("i"), DataType::Int64).not_eq(lit(5_000_000_000i64)), "\"i\" <> 5000000000::int8");
        exact(cast(col("i2"), DataType::Float64).lt(lit(1.5)), "\"i2\" < '1.5'::float8");
        exact(col("f").lt(lit(f64::INFINITY)), "\"f\" < 'Infinity'::float8");
        exact(col("n").gt_eq(lit(ScalarValue::Decimal128(Some(-5), 10, 2))), "\"n\" >= '-0.05'::numeric");
        exact(col("d").eq(lit(ScalarValue::Date32(Some(0)))), "\"d\" = '1970-01-01'::date");
        exact(col("d").lt(lit(ScalarValue::Date32(Some(i32::MAX)))), "\"d\" < 'infinity'::date");
        exact(
            col("ts").gt(lit(ScalarValue::TimestampMicrosecond(Some(-1), None))),
            "\"ts\" > '1969-12-31 23:59:59.999999'::timestamp",
        );
        exact(
            col("tz").gt(lit(ScalarValue::TimestampMicrosecond(Some(951_782_400_000_000), Some("UTC".into())))),
            "\"tz\" > '2000-02-29 00:00:00+00'::timestamptz",
        );
        exact(
            col("u").eq(lit(ScalarValue::FixedSizeBinary(16, Some(vec![0xab; 16])))),
            "\"u\" = 'abababababababababababababababab'::uuid",
        );
        exact(col("i").eq(col("i8")), "\"i\" = \"i8\"");
    }

    #[test]
    fn text_is_compared_by_bytes() {
        exact(col("t").eq(lit("it's")), "(\"t\" = 'it''s'::text AND \"t\" COLLATE \"C\" = 'it''s'::text)");
        exact(col("v").lt(lit("a\\b")), "\"v\" COLLATE \"C\" < E'a\\\\b'::text");
        exact(col("t").like(lit("50\\%_x%")), "\"t\" COLLATE \"C\" LIKE E'50\\\\%_x%'::text");
        exact(col("t").not_like(lit("a%")), "\"t\" COLLATE \"C\" NOT LIKE 'a%'::text");
        exact(col("t").in_list(vec![lit("a"), lit("b")], true), "\"t\" COLLATE \"C\" NOT IN ('a'::text, 'b'::text)");
    }

    #[test]
    fn conditions_are_composed() {
        exact(col("b"), "\"b\"");
        exact(!col("b"), "NOT (\"b\")");
        exact(col("b").is_not_true(), "(\"b\") IS NOT TRUE");
        exact(
            col("i").eq(lit(1)).and(col("i8").is_null().or(col("i").in_list(vec![lit(2), lit(3)], false))),
            "(\"i\" = 1::int8 AND (\"i8\" IS NULL OR \"i\" IN (2::int8, 3::int8)))",
        );
        exact(col("i").not_between(lit(1), lit(2)), "NOT (\"i\" >= 1::int8 AND \"i\" <= 2::int8)");
        exact(col("bare").is_not_null(), "\"bare\" IS NOT NULL");
        exact(col("e").is_null(), "\"e\" IS NOT DISTINCT FROM NULL");
    }

    #[test]
    fn what_would_mean_something_else_there_stays_here() {
        let null = lit(ScalarValue::Int32(None));
        for filter in [
            col("bare").eq(lit("5")),
            col("c").eq(lit("a")),
            col("e").eq(lit("happy")),
            col("f").eq(lit(0.0)),
            col("f").lt(lit(f64::NAN)),
            col("f").eq(cast(col("i"), DataType::Float64)),
            col("t").eq(lit("a\0b")),
            col("t").ilike(lit("a%")),
            col("t").like(lit("a\\b")),
            col("t").like(lit("a\\")),
            col("i").eq(null.clone()),
            col("i").in_list(vec![lit(1), null], false),
            col("i").in_list(vec![], false),
            cast(col("i8"), DataType::Float64).gt(lit(1.5)),
            cast(col("i8"), DataType::Int32).gt(lit(1)),
            cast(col("d"), DataType::Timestamp(TimeUnit::Microsecond, None))
                .gt(lit(ScalarValue::TimestampMicrosecond(Some(0), None))),
            col("nope").eq(lit(1)),
            (col("i") + lit(1)).eq(lit(2)),
            col("i").eq(lit(1)).and(col("c").eq(lit("a"))),
        ] {
            assert_eq!(pushed(filter.clone()), None, "{filter}");
        }
        let deep = (0..500).fold(col("b"), |inner, _| !inner);
        assert_eq!(pushed(deep), None);
    }

    #[test]
    fn days_follow_the_calendar() {
        for (days, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (-25_509, "1900-02-28"),
            (-25_508, "1900-03-01"),
            (-719_162, "0001-01-01"),
            (2_932_896, "9999-12-31"),
        ] {
            assert_eq!(day(days).as_deref(), Some(text));
        }
        assert_eq!((day(-719_163), day(2_932_897)), (None, None));
    }
}
