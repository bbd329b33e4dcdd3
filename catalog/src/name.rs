//! Names of things, and the only place that quotes identifiers and literals.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest identifier, in bytes (PostgreSQL's NAMEDATALEN - 1).
pub const IDENT_BYTES_MAX: usize = 63;

/// A table inside one source: schema and table, both exact (already folded or quoted).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableName {
    /// Schema (a database in MySQL, `files` in a folder).
    pub schema: String,
    /// Table.
    pub table: String,
}

impl TableName {
    /// From its two parts.
    pub fn new(schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self { schema: schema.into(), table: table.into() }
    }
    /// `schema.table` with each part quoted where PostgreSQL needs it.
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote_ident(&self.schema), quote_ident(&self.table))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.quoted())
    }
}

/// A table of a source: `source.schema.table`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Path3 {
    /// Source name.
    pub source: String,
    /// Schema and table in that source.
    pub name: TableName,
}

impl Path3 {
    /// From its three parts.
    pub fn new(source: impl Into<String>, schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self { source: source.into(), name: TableName::new(schema, table) }
    }
}

impl fmt::Display for Path3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", quote_ident(&self.source), self.name)
    }
}

/// Quotes an identifier where PostgreSQL would have to (`quote_ident`).
pub fn quote_ident(ident: &str) -> String {
    let plain = !ident.is_empty()
        && ident
            .bytes()
            .enumerate()
            .all(|(i, b)| b.is_ascii_lowercase() || b == b'_' || (i > 0 && (b.is_ascii_digit() || b == b'$')))
        && !is_reserved(ident);
    if plain { ident.to_owned() } else { force_quote_ident(ident) }
}

/// Quotes an identifier always; for SQL that is sent to a server.
pub fn force_quote_ident(ident: &str) -> String {
    format!("\"{}\"", ident.replace('"', "\"\""))
}

/// A standard string literal; a backslash makes it an `E''` literal so that the text means the
/// same under either setting of standard_conforming_strings.
pub fn quote_literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') { format!("E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}

/// PostgreSQL's reserved words (categories R and T of its keyword list), which need quotes as a name.
fn is_reserved(word: &str) -> bool {
    const RESERVED: &[&str] = &[
        "all",
        "analyse",
        "analyze",
        "and",
        "any",
        "array",
        "as",
        "asc",
        "asymmetric",
        "authorization",
        "between",
        "binary",
        "both",
        "case",
        "cast",
        "check",
        "collate",
        "collation",
        "column",
        "concurrently",
        "constraint",
        "create",
        "cross",
        "current_catalog",
        "current_date",
        "current_role",
        "current_schema",
        "current_time",
        "current_timestamp",
        "current_user",
        "default",
        "deferrable",
        "desc",
        "distinct",
        "do",
        "else",
        "end",
        "except",
        "false",
        "fetch",
        "for",
        "foreign",
        "freeze",
        "from",
        "full",
        "grant",
        "group",
        "having",
        "ilike",
        "in",
        "initially",
        "inner",
        "intersect",
        "into",
        "is",
        "isnull",
        "join",
        "lateral",
        "leading",
        "left",
        "like",
        "limit",
        "localtime",
        "localtimestamp",
        "natural",
        "not",
        "notnull",
        "null",
        "offset",
        "on",
        "only",
        "or",
        "order",
        "outer",
        "overlaps",
        "placing",
        "primary",
        "references",
        "returning",
        "right",
        "select",
        "session_user",
        "similar",
        "some",
        "symmetric",
        "system_user",
        "table",
        "tablesample",
        "then",
        "to",
        "trailing",
        "true",
        "union",
        "unique",
        "user",
        "using",
        "variadic",
        "verbose",
        "when",
        "where",
        "window",
        "with",
    ];
    RESERVED.binary_search(&word).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_only_where_they_must_be() {
        assert_eq!(quote_ident("orders"), "orders");
        assert_eq!(quote_ident("Orders"), "\"Orders\"");
        assert_eq!(quote_ident("select"), "\"select\"");
        assert_eq!(quote_ident("a.b\"c"), "\"a.b\"\"c\"");
        assert_eq!(quote_ident(""), "\"\"");
        assert_eq!(quote_literal("it's \\ here"), "E'it''s \\\\ here'");
    }
}
