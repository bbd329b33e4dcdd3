//! SHOW and DESCRIBE. What the catalog knows is a SELECT over `tidegate.*`; what a source knows is
//! asked of the source.

use super::Context;
use super::comment::{find_sink_table, path, simple};
use super::lifecycle::find_job;
use super::option::find_secret;
use super::select;
use crate::gateway::find_source;
use crate::outcome::{Outcome, OutputColumn};
use crate::runtime::{Facts, missing_table};
use crate::system::{self, RowContext, Value};
use catalog::{Error, ErrorKind, Path3, Result, TableName, quote_literal};
use connector_api::{DiscoverRequest, TableSchema};
use planner::{ObjectKind, ObjectName, Show};
use std::collections::BTreeSet;

/// The columns of DESCRIBE.
pub(super) const DESCRIBE_COLUMNS: &[&str] = &["property", "value"];
const SCHEMAS: &[&str] = &["schema_name"];
const TABLES: &[&str] = &["schema_name", "table_name", "kind", "rows_estimate", "bytes_estimate", "comment"];
const COLUMNS: &[&str] = &["ordinal", "name", "data_type", "is_nullable", "is_key", "default_expr", "comment"];
const CREATE: &[&str] = &["statement"];

/// The SELECT that a SHOW stands for; None when it asks a source.
fn query(show: &Show) -> Option<String> {
    let like = |pattern: &Option<String>| {
        pattern.as_ref().map(|p| format!(" WHERE name LIKE {}", quote_literal(p))).unwrap_or_default()
    };
    Some(match show {
        Show::Secrets { like: p } => format!(
            "SELECT name, backend, version, used_by_count, altered_at FROM tidegate.secrets{} ORDER BY name",
            like(p)
        ),
        Show::Sources { like: p } => format!(
            "SELECT name, source_type, usage, health, job_count, comment FROM tidegate.sources{} ORDER BY name",
            like(p)
        ),
        Show::SourceTypes { like: p } => {
            let filter =
                p.as_ref().map(|p| format!(" WHERE source_type LIKE {}", quote_literal(p))).unwrap_or_default();
            format!(
                "SELECT source_type, capabilities, description FROM tidegate.source_types{filter} ORDER BY source_type"
            )
        }
        Show::SinkTables { like: p } => {
            let filter = p.as_ref().map(|p| format!(" WHERE table_name LIKE {}", quote_literal(p))).unwrap_or_default();
            format!(
                "SELECT source_name, schema_name, table_name, shape, remote_exists FROM tidegate.sink_tables{filter} \
                 ORDER BY source_name, schema_name, table_name"
            )
        }
        Show::Jobs { like: p } => format!(
            "SELECT name, job_kind, mode, source_name, sink_name, state, phase, health, table_count, failed_table_count \
             FROM tidegate.jobs{} ORDER BY name",
            like(p)
        ),
        Show::Runs { job } => format!(
            "SELECT run_id, trigger, state, started_at, duration_ms, rows_read, rows_written, rows_skipped, error_id \
             FROM tidegate.job_runs WHERE job_name = {} ORDER BY run_id DESC",
            quote_literal(job)
        ),
        Show::Options { scope, source_type } => {
            let by_type =
                source_type.as_ref().map(|t| format!(" AND source_type = {}", quote_literal(t))).unwrap_or_default();
            format!(
                "SELECT name, value_type, default_value, is_required, is_secret, alterable, description \
                 FROM tidegate.options WHERE scope = {}{by_type} ORDER BY name",
                quote_literal(scope)
            )
        }
        Show::Schemas { .. } | Show::Tables { .. } | Show::Columns { .. } | Show::Create { .. } => return None,
    })
}

/// The columns that a SHOW will give.
pub(super) async fn columns(c: &Context<'_>, show: &Show) -> Result<Vec<OutputColumn>> {
    let fixed = match show {
        Show::Schemas { .. } => SCHEMAS,
        Show::Tables { .. } => TABLES,
        Show::Columns { .. } => COLUMNS,
        Show::Create { .. } => CREATE,
        Show::Secrets { .. }
        | Show::Sources { .. }
        | Show::SourceTypes { .. }
        | Show::SinkTables { .. }
        | Show::Jobs { .. }
        | Show::Runs { .. }
        | Show::Options { .. } => {
            let sql = query(show).ok_or_else(|| Error::internal("a SHOW has no query"))?;
            return select::columns(c, &sql).await;
        }
    };
    Ok(fixed.iter().map(|name| OutputColumn::text(name)).collect())
}

pub(super) async fn show(c: &Context<'_>, show: Show) -> Result<Outcome> {
    match &show {
        Show::Runs { job } => {
            find_job(&c.snapshot(), job)?;
        }
        Show::Options { scope, source_type: Some(source_type) } if scope == "source" => {
            c.gateway.connectors.get(source_type)?;
        }
        _ => {}
    }
    if let Some(sql) = query(&show) {
        return select::rows(c, &sql, "SHOW").await;
    }
    match show {
        Show::Create { kind, name } => {
            let text = definition(c, kind, &name)?;
            Outcome::text_rows(CREATE, vec![vec![Some(text)]], "SHOW")
        }
        Show::Schemas { source } => {
            let tables = list(c, &source, vec![]).await?;
            let schemas: BTreeSet<String> = tables.into_iter().map(|t| t.name.schema).collect();
            Outcome::text_rows(SCHEMAS, schemas.into_iter().map(|s| vec![Some(s)]).collect(), "SHOW")
        }
        Show::Tables { source, schema, like } => {
            let mut tables = list(c, &source, schema.iter().cloned().collect()).await?;
            if let (true, Some(schema)) = (tables.is_empty(), &schema) {
                return Err(Error::new(
                    ErrorKind::UndefinedSchema,
                    format!("schema \"{schema}\" of source \"{source}\" does not exist or has no table"),
                )
                .with_hint(format!("SHOW SCHEMAS FROM SOURCE {};", catalog::quote_ident(&source))));
            }
            tables.sort_by(|a, b| a.name.cmp(&b.name));
            let rows = tables
                .into_iter()
                .filter(|t| like.as_ref().is_none_or(|p| is_like(&t.name.table, p)))
                .map(|t| {
                    vec![
                        Some(t.name.schema),
                        Some(t.name.table),
                        Some(t.kind.word().to_owned()),
                        t.rows_estimate.map(|n| n.to_string()),
                        t.bytes_estimate.map(|n| n.to_string()),
                        t.comment,
                    ]
                })
                .collect();
            Outcome::text_rows(TABLES, rows, "SHOW")
        }
        Show::Columns { path } => {
            let table = describe_table(c, &path).await?;
            let rows = table
                .columns
                .iter()
                .enumerate()
                .map(|(i, column)| {
                    vec![
                        Some((i + 1).to_string()),
                        Some(column.name.clone()),
                        Some(column.data_type.clone()),
                        Some(if column.is_nullable { "t" } else { "f" }.to_owned()),
                        Some(if table.primary_key.contains(&column.name) { "t" } else { "f" }.to_owned()),
                        column.default_expr.clone(),
                        column.comment.clone(),
                    ]
                })
                .collect();
            Outcome::text_rows(COLUMNS, rows, "SHOW")
        }
        _ => Err(Error::internal("a SHOW has no answer")),
    }
}

async fn list(c: &Context<'_>, source: &str, schemas: Vec<String>) -> Result<Vec<TableSchema>> {
    let base = c.snapshot();
    let mut facts = Facts { session: Some(c.session.clone()), ..Facts::default() };
    // A destination may be looked at too, so the usage is not checked here.
    find_source(&base, source)?;
    let found = match facts.source(c.gateway, &base, source, false).await {
        Ok(found) => found.clone(),
        Err(e) if *e.kind() == ErrorKind::Prerequisite => facts.source(c.gateway, &base, source, true).await?.clone(),
        Err(e) => return Err(e),
    };
    found.connector.discover(&found.config, &DiscoverRequest::List { schemas }).await
}

async fn describe_table(c: &Context<'_>, path: &Path3) -> Result<TableSchema> {
    let listed = list(c, &path.source, vec![]).await?;
    let exact = listed.iter().any(|t| t.name == path.name);
    let name: TableName = if exact {
        path.name.clone()
    } else {
        let mut alike = listed.iter().filter(|t| {
            t.name.schema.eq_ignore_ascii_case(&path.name.schema) && t.name.table.eq_ignore_ascii_case(&path.name.table)
        });
        match (alike.next(), alike.next()) {
            (Some(one), None) => one.name.clone(),
            _ => return Err(missing_table(&path.source, &path.name, &listed)),
        }
    };
    let base = c.snapshot();
    let source = find_source(&base, &path.source)?;
    let (gateway, session) = (c.gateway.clone(), c.session.clone());
    let (connector, config) =
        crate::runtime::blocking(move || gateway.resolve_in(Some(&session), &base, &source)).await?;
    let found = connector.discover(&config, &DiscoverRequest::Describe { tables: vec![name] }).await?;
    found.into_iter().next().ok_or_else(|| missing_table(&path.source, &path.name, &listed))
}

/// SQL's LIKE with `%`, `_` and backslash escapes.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut regex = String::from("(?s)^");
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '\\' => regex.push_str(&regex::escape(&chars.next().unwrap_or('\\').to_string())),
            c => regex.push_str(&regex::escape(&c.to_string())),
        }
    }
    regex.push('$');
    regex::Regex::new(&regex).is_ok_and(|r| r.is_match(text))
}

/// The statement that makes an object again.
fn definition(c: &Context<'_>, kind: ObjectKind, name: &ObjectName) -> Result<String> {
    let base = c.snapshot();
    let text = match kind {
        ObjectKind::Secret => planner::secret_definition(find_secret(&base, simple(name)?)?),
        ObjectKind::Source => super::source::definition(&base, &*find_source(&base, simple(name)?)?),
        ObjectKind::SinkTable => planner::sink_table_definition(&*find_sink_table(&base, path(name)?)?),
        ObjectKind::Job => planner::job_definition(&*find_job(&base, simple(name)?)?),
        ObjectKind::SourceTable => return Err(Error::unsupported("SHOW CREATE SOURCE TABLE")),
    };
    Ok(if text.trim_end().ends_with(';') { text } else { format!("{text};") })
}

/// DESCRIBE: the object's row of its system table, one property a row.
pub(super) async fn describe_object(c: &Context<'_>, kind: ObjectKind, name: ObjectName) -> Result<Outcome> {
    let base = c.snapshot();
    let (table, id) = match kind {
        ObjectKind::Secret => ("secrets", find_secret(&base, simple(&name)?)?.id),
        ObjectKind::Source => ("sources", find_source(&base, simple(&name)?)?.id),
        ObjectKind::SinkTable => ("sink_tables", find_sink_table(&base, path(&name)?)?.id),
        ObjectKind::Job => ("jobs", find_job(&base, simple(&name)?)?.id),
        ObjectKind::SourceTable => return Err(Error::unsupported("DESCRIBE SOURCE TABLE")),
    };
    let spec = system::catalog()
        .iter()
        .find(|t| t.name == table)
        .ok_or_else(|| Error::internal("a system table is missing"))?;
    let gateway = c.gateway.clone();
    let rows =
        crate::runtime::blocking(move || (spec.rows)(&RowContext { gateway: &gateway, snapshot: &base })).await?;
    let row = rows
        .into_iter()
        .find(|row| row.first() == Some(&Value::Int(id)))
        .ok_or_else(|| Error::internal("an object has no row"))?;
    let rows =
        spec.columns.iter().zip(row).map(|(column, value)| vec![Some(column.name.to_owned()), text(value)]).collect();
    Outcome::text_rows(DESCRIBE_COLUMNS, rows, "DESCRIBE")
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Int(n) => Some(n.to_string()),
        Value::Float(f) => Some(f.to_string()),
        Value::Bool(b) => Some(if b { "t" } else { "f" }.to_owned()),
        Value::Text(text) => Some(text),
        Value::List(list) => Some(list.join(", ")),
        Value::Time(at) => {
            chrono::DateTime::from_timestamp_micros(at).map(|t| t.format("%Y-%m-%d %H:%M:%S%.6f+00").to_string())
        }
        Value::Date(day) => {
            chrono::DateTime::from_timestamp(i64::from(day) * 86_400, 0).map(|t| t.format("%Y-%m-%d").to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn like_knows_both_wildcards_and_the_escape() {
        assert!(is_like("orders", "ord%"));
        assert!(is_like("orders", "order_"));
        assert!(!is_like("orders", "order"));
        assert!(is_like("a_b", r"a\_b"));
        assert!(!is_like("axb", r"a\_b"));
        assert!(is_like("a.b", "a.b"));
        assert!(!is_like("axb", "a.b"));
    }
}
