//! The DDL of a sink table: which type a column gets, and the statements that make the table before
//! the load and its keys and indexes after it. Text only: nothing here talks to a server.

use arrow::datatypes::{DataType, IntervalUnit};
use catalog::definition::{AddedColumn, ColumnDef};
use catalog::{TableName, quote_ident, quote_literal};
use connector_api::{TYPE_KEY, TargetColumn};

/// This connector's name, as `source_family` has it.
pub(crate) const FAMILY: &str = "postgres";

/// Types of any source whose values arrive as their text and whose names mean the same here.
const TEXT_TYPES: &[&str] = &["json", "jsonb", "uuid", "xml", "inet", "cidr", "macaddr", "numeric", "interval"];

/// One column of a table to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewColumn {
    /// Name.
    pub name: String,
    /// Type in PostgreSQL's words.
    pub data_type: String,
    /// NOT NULL.
    pub is_not_null: bool,
    /// DEFAULT expression.
    pub default_expr: Option<String>,
    /// Comment.
    pub comment: Option<String>,
}

/// A table to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewTable {
    /// Schema and table.
    pub name: TableName,
    /// Columns in order.
    pub columns: Vec<NewColumn>,
    /// Primary key; empty for none.
    pub primary_key: Vec<String>,
    /// (name, columns) of further indexes.
    pub indexes: Vec<(String, Vec<String>)>,
    /// Comment.
    pub comment: Option<String>,
}

impl NewTable {
    /// The statements that make the table, empty and without keys.
    pub(crate) fn statements(&self, has_schema: bool) -> Vec<String> {
        let mut statements = vec![];
        if !has_schema {
            statements.push(create_schema(&self.name.schema));
        }
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|column| {
                let is_key = self.primary_key.contains(&column.name);
                let not_null = if column.is_not_null || is_key { " NOT NULL" } else { "" };
                let default = column.default_expr.as_ref().map(|expr| format!(" DEFAULT {expr}")).unwrap_or_default();
                format!("{} {}{default}{not_null}", quote_ident(&column.name), column.data_type)
            })
            .collect();
        statements.push(format!("CREATE TABLE {} ({})", self.name.quoted(), columns.join(", ")));
        if let Some(comment) = &self.comment {
            statements.push(format!("COMMENT ON TABLE {} IS {}", self.name.quoted(), quote_literal(comment)));
        }
        for column in &self.columns {
            if let Some(comment) = &column.comment {
                statements.push(format!(
                    "COMMENT ON COLUMN {}.{} IS {}",
                    self.name.quoted(),
                    quote_ident(&column.name),
                    quote_literal(comment)
                ));
            }
        }
        statements
    }

    /// The statements that build its keys and indexes.
    pub(crate) fn statements_after(&self) -> Vec<String> {
        let mut statements = vec![];
        if !self.primary_key.is_empty() {
            statements.push(format!(
                "ALTER TABLE {} ADD PRIMARY KEY ({})",
                self.name.quoted(),
                identifiers(&self.primary_key)
            ));
        }
        for (name, columns) in &self.indexes {
            statements.push(format!(
                "CREATE INDEX {} ON {} ({})",
                quote_ident(name),
                self.name.quoted(),
                identifiers(columns)
            ));
        }
        statements
    }
}

/// `CREATE SCHEMA IF NOT EXISTS s`.
pub(crate) fn create_schema(schema: &str) -> String {
    format!("CREATE SCHEMA IF NOT EXISTS {}", quote_ident(schema))
}

/// `a, "B", c`
pub(crate) fn identifiers<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|name| quote_ident(name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// `COPY t (a, b) FROM STDIN WITH (FORMAT binary, FREEZE)`; `table` is quoted already.
pub(crate) fn copy(table: &str, columns: &[String], format: &str, is_frozen: bool) -> String {
    let freeze = if is_frozen { ", FREEZE" } else { "" };
    // A table may have no column; `()` is not a list to PostgreSQL, and without one it means all of them.
    let list = if columns.is_empty() { String::new() } else { format!(" ({})", identifiers(columns)) };
    format!("COPY {table}{list} FROM STDIN WITH (FORMAT {format}{freeze})")
}

/// The columns of a table that is made from what arrives. `has_type` says whether a type of the same
/// family exists on this server; one that does not becomes text.
pub(crate) fn new_columns(columns: &[TargetColumn], has_type: impl Fn(&str) -> bool) -> Vec<NewColumn> {
    columns
        .iter()
        .map(|column| NewColumn {
            name: column.name.clone(),
            data_type: match plain_type(column) {
                Some(same) if has_type(same) => same.to_owned(),
                Some(_) if column.field.data_type() == &DataType::Utf8 => "text".to_owned(),
                _ => type_of(column),
            },
            is_not_null: !column.is_nullable,
            default_expr: None,
            comment: column.comment.clone(),
        })
        .collect()
}

/// The source's own type, when it is a plain column of this family.
pub(crate) fn plain_type(column: &TargetColumn) -> Option<&str> {
    match column.source_family.as_deref() {
        Some(FAMILY) => column.source_type.as_deref(),
        _ => None,
    }
}

/// Columns as CREATE SINK TABLE wrote them.
pub(crate) fn written_columns(columns: &[ColumnDef]) -> Vec<NewColumn> {
    columns
        .iter()
        .map(|column| NewColumn {
            name: column.name.clone(),
            data_type: column.data_type.clone(),
            is_not_null: !column.is_nullable,
            default_expr: column.default_expr.clone(),
            comment: None,
        })
        .collect()
}

/// ADD COLUMNS: those that arrive are plain columns, the others get their expression as DEFAULT.
pub(crate) fn added_columns<'a>(
    added: &'a [AddedColumn],
    arriving: &'a [TargetColumn],
) -> impl Iterator<Item = NewColumn> + 'a {
    added.iter().map(move |column| NewColumn {
        name: column.name.clone(),
        data_type: column.data_type.clone(),
        is_not_null: false,
        default_expr: (!arriving.iter().any(|arrives| arrives.name == column.name)).then(|| column.expr.clone()),
        comment: None,
    })
}

/// The type for a column of another family or of an expression.
fn type_of(column: &TargetColumn) -> String {
    let tag = column.field.metadata().get(TYPE_KEY).map(String::as_str);
    let words = [tag, column.source_type.as_deref()];
    let named = words.into_iter().flatten().find_map(|word| {
        let word = word.to_ascii_lowercase();
        TEXT_TYPES.iter().copied().find(|name| *name == word)
    });
    match (column.field.data_type(), named) {
        (DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View, Some(name)) => name.to_owned(),
        (DataType::FixedSizeBinary(16), Some("uuid")) => "uuid".to_owned(),
        (data_type, _) => arrow_type(data_type),
    }
}

/// The type for an Arrow type.
pub(crate) fn arrow_type(data_type: &DataType) -> String {
    let element = |field: &arrow::datatypes::Field| match field.data_type() {
        // PostgreSQL's arrays are not arrays of arrays; nested values are kept as JSON.
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::Struct(_)
        | DataType::Map(..)
        | DataType::Union(..) => "jsonb".to_owned(),
        plain => format!("{}[]", arrow_type(plain)),
    };
    match data_type {
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint".to_owned(),
        DataType::Int32 | DataType::UInt16 => "integer".to_owned(),
        DataType::Int64 | DataType::UInt32 => "bigint".to_owned(),
        DataType::UInt64 => "numeric(20,0)".to_owned(),
        DataType::Float16 | DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double precision".to_owned(),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => decimal_type(*precision, *scale),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "bytea".to_owned()
        }
        DataType::Date32 => "date".to_owned(),
        DataType::Date64 | DataType::Timestamp(_, None) => "timestamp without time zone".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time without time zone".to_owned(),
        DataType::Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime | IntervalUnit::MonthDayNano)
        | DataType::Duration(_) => "interval".to_owned(),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::ListView(field)
        | DataType::LargeListView(field) => element(field),
        DataType::Dictionary(_, value) => arrow_type(value),
        DataType::RunEndEncoded(_, value) => arrow_type(value.data_type()),
        DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => "jsonb".to_owned(),
    }
}

fn decimal_type(precision: u8, scale: i8) -> String {
    // A scale below zero is whole numbers; PostgreSQL 14 knows no negative scale.
    match u8::try_from(scale) {
        Ok(scale) => format!("numeric({precision},{scale})"),
        Err(_) => format!("numeric({},0)", i32::from(precision) - i32::from(scale)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{Field, Fields, TimeUnit};
    use std::sync::Arc;

    fn arrives(name: &str, data_type: DataType, source_type: Option<&str>, family: Option<&str>) -> TargetColumn {
        TargetColumn {
            name: name.to_owned(),
            field: Field::new(name, data_type, true),
            source_type: source_type.map(str::to_owned),
            source_family: family.map(str::to_owned),
            is_nullable: true,
            comment: None,
        }
    }

    #[test]
    fn a_table_is_made_first_and_its_keys_after() {
        let table = NewTable {
            name: TableName::new("Odd.Schema", "or\"der"),
            columns: vec![
                NewColumn {
                    name: "Id".into(),
                    data_type: "bigint".into(),
                    is_not_null: false,
                    default_expr: None,
                    comment: None,
                },
                NewColumn {
                    name: "note".into(),
                    data_type: "text".into(),
                    is_not_null: true,
                    default_expr: Some("'x'".into()),
                    comment: Some("it's".into()),
                },
            ],
            primary_key: vec!["Id".into()],
            indexes: vec![("by_note".into(), vec!["note".into(), "Id".into()])],
            comment: Some("all \\ orders".into()),
        };
        assert_eq!(
            table.statements(false),
            [
                r#"CREATE SCHEMA IF NOT EXISTS "Odd.Schema""#,
                r#"CREATE TABLE "Odd.Schema"."or""der" ("Id" bigint NOT NULL, note text DEFAULT 'x' NOT NULL)"#,
                r#"COMMENT ON TABLE "Odd.Schema"."or""der" IS E'all \\ orders'"#,
                r#"COMMENT ON COLUMN "Odd.Schema"."or""der".note IS 'it''s'"#,
            ]
        );
        assert_eq!(
            table.statements_after(),
            [
                r#"ALTER TABLE "Odd.Schema"."or""der" ADD PRIMARY KEY ("Id")"#,
                r#"CREATE INDEX by_note ON "Odd.Schema"."or""der" (note, "Id")"#,
            ]
        );
        assert_eq!(
            copy("\"s\".t", &["Id".into(), "note".into()], "binary", true),
            r#"COPY "s".t ("Id", note) FROM STDIN WITH (FORMAT binary, FREEZE)"#
        );
    }

    #[test]
    fn the_same_family_keeps_its_types_and_unknown_ones_become_text() {
        let columns = [
            arrives("a", DataType::Utf8, Some("character varying(20)"), Some("postgres")),
            arrives("b", DataType::Utf8, Some("public.mood"), Some("postgres")),
            arrives("c", DataType::Int32, Some("int unsigned"), Some("mysql")),
            arrives("d", DataType::Utf8, Some("JSON"), Some("mysql")),
            arrives("e", DataType::Int64, Some("public.positive"), Some("postgres")),
        ];
        let types: Vec<String> =
            new_columns(&columns, |name| !name.starts_with("public.")).into_iter().map(|c| c.data_type).collect();
        assert_eq!(types, ["character varying(20)", "text", "integer", "json", "bigint"]);
    }

    #[test]
    fn every_arrow_type_has_a_type() {
        let list = |inner: DataType| DataType::List(Arc::new(Field::new("item", inner, true)));
        for (data_type, text) in [
            (DataType::Null, "text"),
            (DataType::UInt8, "smallint"),
            (DataType::UInt16, "integer"),
            (DataType::UInt32, "bigint"),
            (DataType::UInt64, "numeric(20,0)"),
            (DataType::Decimal128(12, 2), "numeric(12,2)"),
            (DataType::Decimal128(5, -3), "numeric(8,0)"),
            (DataType::Date64, "timestamp without time zone"),
            (DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), "timestamp with time zone"),
            (DataType::Duration(TimeUnit::Second), "interval"),
            (list(DataType::Int32), "integer[]"),
            (list(list(DataType::Int32)), "jsonb"),
            (DataType::Struct(Fields::empty()), "jsonb"),
            (DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)), "text"),
        ] {
            assert_eq!(arrow_type(&data_type), text, "{data_type}");
        }
    }
}
