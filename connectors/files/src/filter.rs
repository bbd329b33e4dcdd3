//! Conditions that the reading side uses to leave out row groups, as text that EXPLAIN shows:
//! `o_orderkey >= '100' AND o_comment IS NOT NULL`.
//!
//! They leave out only what cannot match, so that a pushed filter is always evaluated again.
//! Floats are not used: a row group's bounds say nothing of NaN.

use crate::types;
use ::parquet::arrow::arrow_reader::ArrowReaderMetadata;
use ::parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use arrow::array::{Array, ArrayRef, BooleanArray, Datum, Scalar};
use arrow::compute::kernels::cmp;
use arrow::datatypes::{DataType, Field};
use catalog::{Error, Result, quote_ident};
use connector_api::TableSchema;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use std::borrow::Cow;

/// Values of one IN list that are pushed.
const LIST_MAX: usize = 64;

/// How a column is compared.
#[derive(Debug, Clone, PartialEq)]
pub enum Comparison {
    /// `=` with any of these values' texts.
    In(Vec<String>),
    /// `<`
    Less(String),
    /// `<=`
    LessOrEqual(String),
    /// `>`
    Greater(String),
    /// `>=`
    GreaterOrEqual(String),
    /// `IS NULL`
    IsNull,
    /// `IS NOT NULL`
    IsNotNull,
}

/// One condition on one column.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The column.
    pub column: String,
    /// What must hold.
    pub comparison: Comparison,
}

/// The text of a filter's conditions; None when no part of it can be used.
pub fn push(table: &TableSchema, filter: &Expr) -> Option<String> {
    let mut conditions = vec![];
    collect(table, filter, &mut conditions);
    if conditions.is_empty() {
        return None;
    }
    Some(conditions.iter().map(write).collect::<Vec<_>>().join(" AND "))
}

/// Adds those conditions that follow from the filter. Leaving one out of a conjunction is right.
fn collect(table: &TableSchema, filter: &Expr, conditions: &mut Vec<Condition>) {
    let column = |expr: &Expr| match expr {
        Expr::Column(column) => Some(table.columns.get(table.column_index(&column.name)?)?.field.clone()),
        _ => None,
    };
    let mut add = |field: Field, comparison| conditions.push(Condition { column: field.name().clone(), comparison });
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            collect(table, left, conditions);
            collect(table, right, conditions);
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (field, literal, op) = match (column(left), column(right)) {
                (Some(field), None) => (field, right, Some(*op)),
                (None, Some(field)) => (field, left, op.swap()),
                _ => return,
            };
            let (Some(text), Some(op)) = (literal_text(&field, literal), op) else { return };
            match op {
                Operator::Eq => add(field, Comparison::In(vec![text])),
                Operator::Lt => add(field, Comparison::Less(text)),
                Operator::LtEq => add(field, Comparison::LessOrEqual(text)),
                Operator::Gt => add(field, Comparison::Greater(text)),
                Operator::GtEq => add(field, Comparison::GreaterOrEqual(text)),
                _ => {}
            }
        }
        Expr::Between(between) if !between.negated => {
            if let Some(field) = column(&between.expr)
                && let Some(low) = literal_text(&field, &between.low)
                && let Some(high) = literal_text(&field, &between.high)
            {
                add(field.clone(), Comparison::GreaterOrEqual(low));
                add(field, Comparison::LessOrEqual(high));
            }
        }
        Expr::InList(list) if !list.negated && list.list.len() <= LIST_MAX => {
            if let Some(field) = column(&list.expr)
                && let Some(texts) = list.list.iter().map(|item| literal_text(&field, item)).collect()
            {
                add(field, Comparison::In(texts));
            }
        }
        Expr::IsNull(expr) => {
            if let Some(field) = column(expr) {
                add(field, Comparison::IsNull);
            }
        }
        Expr::IsNotNull(expr) => {
            if let Some(field) = column(expr) {
                add(field, Comparison::IsNotNull);
            }
        }
        _ => {}
    }
}

/// Whether bounds of this type are ordered as the comparison orders values.
fn is_ordered(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Boolean
            | DataType::Utf8
            | DataType::Date32
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Timestamp(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..)
    ) || data_type.is_integer()
}

/// The text of a literal of the column's own type.
fn literal_text(field: &Field, expr: &Expr) -> Option<String> {
    let Expr::Literal(value, _) = expr else { return None };
    if value.is_null() || !is_ordered(field.data_type()) {
        return None;
    }
    let value = match (value, field.data_type()) {
        (ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text), DataType::Utf8) => ScalarValue::Utf8(text.clone()),
        (value, data_type) if &value.data_type() == data_type => value.clone(),
        _ => return None,
    };
    let array = value.to_array().ok()?;
    let mut text = String::new();
    crate::codec::text::push_text(array.as_ref(), 0, &mut text);
    Some(text)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn write(condition: &Condition) -> String {
    let column = quote_ident(&condition.column);
    match &condition.comparison {
        Comparison::In(texts) if texts.len() == 1 => format!("{column} = {}", quoted(&texts[0])),
        Comparison::In(texts) => {
            format!("{column} IN ({})", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
        }
        Comparison::Less(text) => format!("{column} < {}", quoted(text)),
        Comparison::LessOrEqual(text) => format!("{column} <= {}", quoted(text)),
        Comparison::Greater(text) => format!("{column} > {}", quoted(text)),
        Comparison::GreaterOrEqual(text) => format!("{column} >= {}", quoted(text)),
        Comparison::IsNull => format!("{column} IS NULL"),
        Comparison::IsNotNull => format!("{column} IS NOT NULL"),
    }
}

/// Reads what [`push`] wrote.
pub fn parse(text: &str) -> Result<Vec<Condition>> {
    parse_all(text).ok_or_else(|| Error::internal(format!("\"{text}\" is no filter of source type \"files\"")))
}

fn parse_all(text: &str) -> Option<Vec<Condition>> {
    let mut conditions = vec![];
    let mut rest = text;
    loop {
        let (column, after) = take_ident(rest)?;
        let after = after.strip_prefix(' ')?;
        let comparison;
        if let Some(after) = after.strip_prefix("IS NULL") {
            comparison = Comparison::IsNull;
            rest = after;
        } else if let Some(after) = after.strip_prefix("IS NOT NULL") {
            comparison = Comparison::IsNotNull;
            rest = after;
        } else if let Some(mut after) = after.strip_prefix("IN (") {
            let mut texts = vec![];
            while !after.starts_with(')') {
                let (text, next) = take_quoted(after, '\'')?;
                texts.push(text);
                after = next.strip_prefix(", ").unwrap_or(next);
            }
            comparison = Comparison::In(texts);
            rest = &after[1..];
        } else {
            let (op, after) = after.split_once(' ')?;
            let (text, after) = take_quoted(after, '\'')?;
            comparison = match op {
                "=" => Comparison::In(vec![text]),
                "<" => Comparison::Less(text),
                "<=" => Comparison::LessOrEqual(text),
                ">" => Comparison::Greater(text),
                ">=" => Comparison::GreaterOrEqual(text),
                _ => return None,
            };
            rest = after;
        }
        conditions.push(Condition { column, comparison });
        if rest.is_empty() {
            return Some(conditions);
        }
        rest = rest.strip_prefix(" AND ")?;
    }
}

fn take_ident(text: &str) -> Option<(String, &str)> {
    if text.starts_with('"') {
        return take_quoted(text, '"');
    }
    let end = text.find(' ')?;
    Some((text[..end].to_owned(), &text[end..]))
}

fn take_quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix(quote)?;
    let mut value = String::new();
    loop {
        let end = rest.find(quote)?;
        value.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix(quote) {
            Some(after) => {
                value.push(quote);
                rest = after;
            }
            None => return Some((value, rest)),
        }
    }
}

/// The row groups of a file that may hold rows for which all conditions hold.
pub fn row_groups(table: &TableSchema, metadata: &ArrowReaderMetadata, conditions: &[Condition]) -> Vec<usize> {
    let count = metadata.metadata().num_row_groups();
    let mut keep = vec![true; count];
    for condition in conditions {
        let Some(column) = table.column_index(&condition.column).map(|index| &table.columns[index]) else { continue };
        if let Some(may_match) = evaluate(&column.field, metadata, condition) {
            for (keep, may_match) in keep.iter_mut().zip(may_match) {
                *keep &= may_match;
            }
        }
    }
    (0..count).filter(|&index| keep[index]).collect()
}

/// For each row group, whether the condition may hold in it; None when the statistics do not say.
fn evaluate(field: &Field, metadata: &ArrowReaderMetadata, condition: &Condition) -> Option<Vec<bool>> {
    let groups = metadata.metadata().row_groups();
    let Ok(stored) = metadata.schema().field_with_name(&condition.column) else {
        // The file lacks the column: all its values are NULL.
        return Some(vec![condition.comparison == Comparison::IsNull; groups.len()]);
    };
    // Where reading converts, the file's bounds are in other units.
    let stored_type = types::stored_type(stored.data_type())?;
    if &stored_type != field.data_type() || stored.data_type().is_nested() {
        return None;
    }
    let converter =
        StatisticsConverter::try_new(&condition.column, metadata.schema(), metadata.parquet_schema()).ok()?;
    let converter = converter.with_missing_null_counts_as_zero(false);
    if matches!(condition.comparison, Comparison::IsNull | Comparison::IsNotNull) {
        let nulls = converter.row_group_null_counts(groups).ok()?;
        return Some(
            (0..groups.len())
                .map(|index| match &condition.comparison {
                    _ if nulls.is_null(index) => true,
                    Comparison::IsNull => nulls.value(index) > 0,
                    _ => i64::try_from(nulls.value(index)).is_ok_and(|nulls| nulls < groups[index].num_rows()),
                })
                .collect(),
        );
    }
    // Old writers ordered bytes as signed numbers; their bounds mislead.
    let leaf = converter.parquet_column_index()?;
    if groups.iter().any(|group| group.column(leaf).statistics().is_some_and(|s| s.is_min_max_deprecated())) {
        return None;
    }
    let minima = types::convert(&converter.row_group_mins(groups).ok()?, &stored_type).ok()?;
    let maxima = types::convert(&converter.row_group_maxes(groups).ok()?, &stored_type).ok()?;
    let literal = |text: &String| -> Option<Scalar<ArrayRef>> {
        let texts = [Some(Cow::Borrowed(text.as_str()))];
        Some(Scalar::new(crate::codec::text::decode(&texts, &stored_type).ok()?))
    };
    let may = |result: BooleanArray| -> Vec<bool> {
        // A missing bound compares to NULL: it may match.
        result.iter().map(|value| value.unwrap_or(true)).collect()
    };
    let at_most = |a: &dyn Datum, b: &dyn Datum| cmp::lt_eq(a, b).ok();
    Some(match &condition.comparison {
        Comparison::In(texts) => {
            let mut any = vec![false; groups.len()];
            for text in texts {
                let literal = literal(text)?;
                let above = may(at_most(&minima, &literal)?);
                let below = may(at_most(&literal, &maxima)?);
                for (any, (above, below)) in any.iter_mut().zip(above.into_iter().zip(below)) {
                    *any |= above && below;
                }
            }
            any
        }
        Comparison::Less(text) => may(cmp::lt(&minima, &literal(text)?).ok()?),
        Comparison::LessOrEqual(text) => may(at_most(&minima, &literal(text)?)?),
        Comparison::Greater(text) => may(cmp::gt(&maxima, &literal(text)?).ok()?),
        Comparison::GreaterOrEqual(text) => may(cmp::gt_eq(&maxima, &literal(text)?).ok()?),
        Comparison::IsNull | Comparison::IsNotNull => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::TimeUnit;
    use catalog::TableName;
    use connector_api::{ColumnSchema, TableKind};
    use datafusion::logical_expr::{col, lit};

    fn table() -> TableSchema {
        let column = |name: &str, data_type: DataType| ColumnSchema {
            name: name.to_owned(),
            data_type: String::new(),
            field: Field::new(name, data_type, true),
            is_nullable: true,
            is_generated: false,
            default_expr: None,
            comment: None,
        };
        TableSchema {
            name: TableName::new("files", "t"),
            kind: TableKind::Files,
            columns: vec![
                column("id", DataType::Int64),
                column("The \"name\"", DataType::Utf8),
                column("price", DataType::Float64),
                column("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            ],
            primary_key: vec![],
            unique_keys: vec![],
            rows_estimate: None,
            bytes_estimate: None,
            comment: None,
        }
    }

    fn ident(name: &str) -> Expr {
        Expr::Column(datafusion::common::Column::new_unqualified(name))
    }

    #[test]
    fn filters_are_readable_and_can_be_read_back() {
        let cases = [
            (col("id").gt_eq(lit(100_i64)), Some("id >= '100'")),
            (lit(100_i64).gt(col("id")), Some("id < '100'")),
            (ident("The \"name\"").eq(lit("it's")), Some("\"The \"\"name\"\"\" = 'it''s'")),
            (col("id").in_list(vec![lit(1_i64), lit(2_i64)], false), Some("id IN ('1', '2')")),
            (col("id").between(lit(1_i64), lit(2_i64)), Some("id >= '1' AND id <= '2'")),
            (col("id").is_null().and(col("price").gt(lit(1.0))), Some("id IS NULL")),
            (col("price").is_not_null(), Some("price IS NOT NULL")),
            (col("price").gt(lit(1.0)), None),
            (col("id").gt(lit(1_i64)).or(col("id").lt(lit(0_i64))), None),
            (col("id").gt(lit(1_i32)), None),
            (col("id").not_eq(lit(1_i64)), None),
            (col("id").eq(lit(ScalarValue::Int64(None))), None),
            (
                col("at").gt(lit(ScalarValue::TimestampMicrosecond(Some(1_500_000), Some("UTC".into())))),
                Some("at > '1970-01-01T00:00:01.5Z'"),
            ),
        ];
        for (filter, expected) in cases {
            let text = push(&table(), &filter);
            assert_eq!(text.as_deref(), expected, "{filter}");
            if let Some(text) = text {
                let conditions = parse(&text).unwrap();
                assert_eq!(conditions.iter().map(write).collect::<Vec<_>>().join(" AND "), text);
            }
        }
        for text in ["", "id", "id = 5", "id ~ '5'", "id = '5' AND ", "id = '5", "id IN ('1'", "\"id = '1'"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
