//! FOR ALL TABLES | TABLES IN SCHEMA | TABLES (..) EXCEPT (..): which tables a job takes.

use super::Context;
use crate::runtime::{Facts, missing_table};
use catalog::definition::{Selection, TableItem};
use catalog::store::Snapshot;
use catalog::{Error, ErrorKind, Path3, Result, TableName};
use connector_api::{DiscoverRequest, TableKind, TableSchema};
use regex::Regex;
use std::sync::Arc;

/// One table of a job.
pub(super) struct Chosen {
    pub name: TableName,
    pub columns: Vec<String>,
    pub filter: Option<String>,
    pub rename: Option<TableName>,
}

impl Chosen {
    fn whole(name: TableName) -> Self {
        Self { name, columns: vec![], filter: None, rename: None }
    }
}

/// An anchored regular expression, or 2201B naming the pattern.
fn pattern(text: &str) -> Result<Regex> {
    Regex::new(&format!("^(?:{text})$")).map_err(|e| {
        Error::new(ErrorKind::Remote("2201B".into()), format!("invalid regular expression: {text}"))
            .with_detail(format!("{}.", e.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ")))
            .with_hint(
                "Patterns are Rust regular expressions, matched against the whole name; look-around is not possible.",
            )
    })
}

/// Whether an item names this table.
pub(super) fn matches(item: &TableItem, name: &TableName) -> Result<bool> {
    Ok(match item {
        TableItem::Table { name: given, .. } => given == name,
        TableItem::Matching { schema, table } => {
            pattern(schema)?.is_match(&name.schema) && pattern(table)?.is_match(&name.table)
        }
    })
}

/// Kinds that ALL TABLES and patterns take; the others must be named.
fn is_ordinary(kind: TableKind) -> bool {
    match kind {
        TableKind::Table | TableKind::Partitioned | TableKind::Files | TableKind::Generated => true,
        TableKind::View | TableKind::MaterializedView | TableKind::Foreign => false,
    }
}

/// The tables of a source that a selection takes, in name order.
pub(super) async fn select_tables(
    c: &Context<'_>,
    base: &Arc<Snapshot>,
    source: &str,
    selection: &Selection,
    except: &[TableItem],
) -> Result<Vec<Chosen>> {
    let mut facts = Facts { session: Some(c.session.clone()), ..Facts::default() };
    let found = facts.source(c.gateway, base, source, false).await?.clone();
    let schemas = match selection {
        Selection::Schemas { schemas } => schemas.clone(),
        Selection::AllTables | Selection::Tables { .. } => vec![],
    };
    let mut listed = found.connector.discover(&found.config, &DiscoverRequest::List { schemas }).await?;
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    let mut chosen: Vec<Chosen> = vec![];
    match selection {
        Selection::AllTables => {
            chosen.extend(listed.iter().filter(|t| is_ordinary(t.kind)).map(|t| Chosen::whole(t.name.clone())));
        }
        Selection::Schemas { schemas } => {
            for schema in schemas {
                if !listed.iter().any(|t| &t.name.schema == schema) {
                    return Err(Error::new(
                        ErrorKind::UndefinedSchema,
                        format!("schema \"{schema}\" of source \"{source}\" does not exist or has no table"),
                    )
                    .with_hint(format!("SHOW SCHEMAS FROM SOURCE {};", catalog::quote_ident(source))));
                }
            }
            chosen.extend(listed.iter().filter(|t| is_ordinary(t.kind)).map(|t| Chosen::whole(t.name.clone())));
        }
        Selection::Tables { items } => {
            for item in items {
                match item {
                    TableItem::Table { name, columns, filter, rename } => {
                        let name = resolve(source, name, &listed)?;
                        if chosen.iter().any(|x| x.name == name) {
                            return Err(Error::new(ErrorKind::DuplicateTable, format!("table {name} is given twice"))
                                .with_table(&name.schema, &name.table));
                        }
                        check_columns(c, base, &mut facts, source, &name, columns).await?;
                        chosen.push(Chosen {
                            name,
                            columns: columns.clone(),
                            filter: filter.clone(),
                            rename: rename.clone(),
                        });
                    }
                    TableItem::Matching { .. } => {
                        for table in listed.iter().filter(|t| is_ordinary(t.kind)) {
                            if matches(item, &table.name)? && !chosen.iter().any(|x| x.name == table.name) {
                                chosen.push(Chosen::whole(table.name.clone()));
                            }
                        }
                    }
                }
            }
        }
    }
    for item in except {
        if let TableItem::Table { name, .. } = item {
            resolve(source, name, &listed)?;
        }
        let mut kept = vec![];
        for table in chosen {
            if !matches(item, &table.name)? {
                kept.push(table);
            }
        }
        chosen = kept;
    }
    if chosen.is_empty() {
        return Err(Error::new(ErrorKind::UndefinedTable, format!("no table of source \"{source}\" is selected"))
            .with_hint(format!("SHOW TABLES FROM SOURCE {};", catalog::quote_ident(source))));
    }
    Ok(chosen)
}

/// Exact first; then without regard to case, when that is unique.
fn resolve(source: &str, name: &TableName, listed: &[TableSchema]) -> Result<TableName> {
    if listed.iter().any(|t| &t.name == name) {
        return Ok(name.clone());
    }
    let alike: Vec<&TableName> = listed
        .iter()
        .map(|t| &t.name)
        .filter(|n| n.schema.eq_ignore_ascii_case(&name.schema) && n.table.eq_ignore_ascii_case(&name.table))
        .collect();
    match alike.as_slice() {
        [one] => Ok((*one).clone()),
        _ => Err(missing_table(source, name, listed)),
    }
}

async fn check_columns(
    c: &Context<'_>,
    base: &Arc<Snapshot>,
    facts: &mut Facts,
    source: &str,
    name: &TableName,
    columns: &[String],
) -> Result<()> {
    if columns.is_empty() {
        return Ok(());
    }
    let path = Path3 { source: source.to_owned(), name: name.clone() };
    facts.describe(c.gateway, base, std::slice::from_ref(&path), false).await?;
    let Some(table) = facts.tables.get(&path) else { return Ok(()) };
    for column in columns {
        if table.column_index(column).is_none() {
            let near = catalog::error::nearest(column, table.columns.iter().map(|c| c.name.as_str()));
            let error =
                Error::new(ErrorKind::UndefinedColumn, format!("column \"{column}\" of table {path} does not exist"))
                    .with_table(&name.schema, &name.table)
                    .with_column(column);
            return Err(match near {
                Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
                None => error,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(schema: &str, table: &str) -> TableItem {
        TableItem::Matching { schema: schema.into(), table: table.into() }
    }

    #[test]
    fn a_pattern_matches_the_whole_name_and_no_part_of_it() {
        let name = TableName::new("shop_1", "orders");
        assert!(matches(&item(r"shop_\d+", "orders"), &name).unwrap());
        assert!(matches(&item(".*", "a|orders"), &name).unwrap());
        assert!(!matches(&item("shop", ".*"), &name).unwrap());
        assert!(!matches(&item(".*", "order"), &name).unwrap());
    }

    #[test]
    fn a_pattern_that_cannot_be_is_named() {
        let error = matches(&item("(", ".*"), &TableName::new("a", "b")).unwrap_err();
        assert_eq!(error.sqlstate(), "2201B");
        assert_eq!(error.message(), "invalid regular expression: (");
    }

    #[test]
    fn a_listed_name_is_exact_and_a_lone_other_case_is_found() {
        let table = |name: &str| TableSchema {
            name: TableName::new("public", name),
            kind: TableKind::Table,
            columns: vec![],
            primary_key: vec![],
            unique_keys: vec![],
            rows_estimate: None,
            bytes_estimate: None,
            comment: None,
        };
        let listed = [table("Orders"), table("MIXED"), table("mixed")];
        assert_eq!(resolve("s", &TableName::new("public", "orders"), &listed).unwrap().table, "Orders");
        assert_eq!(resolve("s", &TableName::new("public", "mixed"), &listed).unwrap().table, "mixed");
        let error = resolve("s", &TableName::new("public", "Mixed"), &listed).unwrap_err();
        assert_eq!(error.sqlstate(), "42P01");
    }
}
