//! Discovery: the tables of a database, and the structure of those that are asked for.
//!
//! Everything is a fixed number of set-based queries, whether one table is described or ten
//! thousand. Partitions are not listed beside their root, so that "all tables" reads no row twice;
//! asked for by name they are described like any other table.

use crate::client::{Client, connect};
use crate::types::PgType;
use catalog::{Result, TableName};
use connector_api::{ColumnSchema, DiscoverRequest, SourceConfig, TableKind, TableSchema};
use std::collections::HashMap;
use tokio_postgres::Row;

/// Schemas of the server itself. Temporary schemas belong to other sessions.
const SYSTEM_SCHEMAS: &str =
    "n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_(toast_)?temp_'";

/// Answers [`connector_api::Connector::discover`].
pub(crate) async fn discover(config: &SourceConfig, request: &DiscoverRequest) -> Result<Vec<TableSchema>> {
    let client = connect(config, "discover").await?;
    match request {
        DiscoverRequest::List { schemas } => list(&client, schemas).await,
        DiscoverRequest::Describe { tables } => describe(&client, tables).await,
    }
}

/// What [`relation`] reads; `t` is the TOAST table and `s` the sums of [`TREES`].
const RELATION: &str = "n.nspname::text, c.relname::text, c.oid, c.relkind::text, \
     CASE WHEN c.relkind = 'p' THEN s.tuples ELSE c.reltuples::float8 END, \
     CASE WHEN c.relkind = 'p' THEN s.bytes \
          ELSE (c.relpages::int8 + coalesce(t.relpages, 0)) * current_setting('block_size')::int8 END, \
     obj_description(c.oid, 'pg_class')";

/// Sums over the leaves of every partition tree; NULL where one of them has never been analyzed.
const TREES: &str = "WITH RECURSIVE tree(root, oid) AS ( \
        SELECT c.oid, c.oid FROM pg_class c WHERE c.relkind = 'p' \
        UNION SELECT t.root, i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid), \
     sums AS ( \
        SELECT tree.root, \
               CASE WHEN bool_and(c.reltuples >= 0) THEN sum(c.reltuples::float8) END AS tuples, \
               (sum(c.relpages::int8 + coalesce(t.relpages, 0)) * current_setting('block_size')::int8)::int8 AS bytes \
        FROM tree JOIN pg_class c ON c.oid = tree.oid LEFT JOIN pg_class t ON t.oid = c.reltoastrelid \
        WHERE c.relkind IN ('r', 'f') GROUP BY tree.root) ";

/// The tables of a database but for our own memory in it, which is no data of the user's.
async fn list(client: &Client, schemas: &[String]) -> Result<Vec<TableSchema>> {
    let query = format!(
        "{TREES} SELECT {RELATION} FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_class t ON t.oid = c.reltoastrelid LEFT JOIN sums s ON s.root = c.oid \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't' \
           AND {SYSTEM_SCHEMAS} AND (n.nspname, c.relname) <> ('tidegate', 'sink_positions') \
           AND (cardinality($1::text[]) = 0 OR n.nspname = ANY($1::text[])) \
         ORDER BY n.nspname, c.relname"
    );
    let rows = client.run("list tables", client.query(&query, &[&schemas])).await?;
    rows.iter().map(|row| relation(client, row).map(|(_, table)| table)).collect()
}

async fn describe(client: &Client, tables: &[TableName]) -> Result<Vec<TableSchema>> {
    if tables.is_empty() {
        return Ok(vec![]);
    }
    let schemas: Vec<&str> = tables.iter().map(|t| t.schema.as_str()).collect();
    let names: Vec<&str> = tables.iter().map(|t| t.table.as_str()).collect();
    let query = format!(
        "{TREES} SELECT {RELATION} \
         FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS r(nspname, relname, place) \
         JOIN pg_namespace n ON n.nspname = r.nspname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = r.relname \
         LEFT JOIN pg_class t ON t.oid = c.reltoastrelid LEFT JOIN sums s ON s.root = c.oid \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY r.place"
    );
    let rows = client.run("describe tables", client.query(&query, &[&schemas, &names])).await?;
    let mut found: Vec<(u32, TableSchema)> = rows.iter().map(|row| relation(client, row)).collect::<Result<_>>()?;
    let oids: Vec<u32> = found.iter().map(|(oid, _)| *oid).collect();
    let types = TypeCatalog::load(client).await?;
    let columns = columns(client, &types, &oids).await?;
    let keys = keys(client, &oids).await?;
    // Looked up and not taken out: a table may be asked for twice.
    for (oid, table) in &mut found {
        table.columns = columns.get(oid).cloned().unwrap_or_default();
        for (is_primary, key) in keys.get(oid).cloned().unwrap_or_default() {
            if is_primary {
                table.primary_key = key;
            } else if !table.unique_keys.contains(&key) {
                table.unique_keys.push(key);
            }
        }
        let primary_key = &table.primary_key;
        table.unique_keys.retain(|key| key != primary_key);
    }
    Ok(found.into_iter().map(|(_, table)| table).collect())
}

fn relation(client: &Client, row: &Row) -> Result<(u32, TableSchema)> {
    let kind: String = get(client, row, 3)?;
    let tuples: Option<f64> = get(client, row, 4)?;
    let bytes: Option<i64> = get(client, row, 5)?;
    // Views have no statistics at all; a table that was never analyzed says -1.
    let has_storage = matches!(kind.as_str(), "r" | "p" | "m" | "f");
    let rows_estimate = tuples.filter(|n| has_storage && *n >= 0.0).map(|n| n as u64);
    let table = TableSchema {
        name: TableName::new(get::<String>(client, row, 0)?, get::<String>(client, row, 1)?),
        kind: match kind.as_str() {
            "p" => TableKind::Partitioned,
            "v" => TableKind::View,
            "m" => TableKind::MaterializedView,
            "f" => TableKind::Foreign,
            _ => TableKind::Table,
        },
        columns: vec![],
        primary_key: vec![],
        unique_keys: vec![],
        rows_estimate,
        bytes_estimate: bytes.filter(|n| rows_estimate.is_some() && kind != "f" && *n >= 0).map(|n| n as u64),
        comment: get(client, row, 6)?,
    };
    Ok((get(client, row, 2)?, table))
}

/// A column by relation, as the server has it; the snapshot asks again to see that nothing changed.
async fn columns(client: &Client, types: &TypeCatalog, oids: &[u32]) -> Result<HashMap<u32, Vec<ColumnSchema>>> {
    // NOT NULL means nothing for us while it is not validated, nor where children need not keep it
    // (both since 18, whose constraints of kind n tell).
    let rows = client
        .run(
            "read the columns of tables",
            client.query(
                "SELECT a.attrelid, a.attname::text, format_type(a.atttypid, a.atttypmod), a.atttypid, a.atttypmod, \
                        ty.typtype::text, \
                        a.attnotnull AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = a.attrelid \
                            AND k.contype = 'n' AND a.attnum = ANY(k.conkey) AND (NOT k.convalidated OR k.connoinherit)), \
                        a.attgenerated <> '', \
                        CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END, \
                        col_description(a.attrelid, a.attnum) \
                 FROM pg_attribute a JOIN pg_type ty ON ty.oid = a.atttypid \
                 LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
                 WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped \
                 ORDER BY a.attrelid, a.attnum",
                &[&oids],
            ),
        )
        .await?;
    let mut columns: HashMap<u32, Vec<ColumnSchema>> = HashMap::new();
    for row in &rows {
        let name: String = get(client, row, 1)?;
        let data_type: String = get(client, row, 2)?;
        let typtype: String = get(client, row, 5)?;
        let base = types.base(get(client, row, 3)?, get(client, row, 4)?, first(&typtype));
        let is_nullable = !get::<bool>(client, row, 6)?;
        columns.entry(get(client, row, 0)?).or_default().push(ColumnSchema {
            field: base.pg_type().field(&name, &data_type, is_nullable),
            name,
            data_type,
            is_nullable,
            is_generated: get(client, row, 7)?,
            default_expr: get(client, row, 8)?,
            comment: get(client, row, 9)?,
        });
    }
    Ok(columns)
}

/// Keys by relation, the primary one first and marked: unique, valid, not-null, of plain columns,
/// without a condition. Temporal keys are no keys of single rows.
async fn keys(client: &Client, oids: &[u32]) -> Result<HashMap<u32, Vec<(bool, Vec<String>)>>> {
    let rows = client
        .run(
            "read the keys of tables",
            client.query(
                "SELECT i.indrelid, i.indisprimary, array_agg(a.attname::text ORDER BY k.place) \
                 FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place) \
                 LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND a.attnum > 0 \
                 WHERE i.indrelid = ANY($1::oid[]) AND i.indisunique AND i.indisvalid AND NOT i.indisexclusion \
                   AND i.indpred IS NULL AND i.indexprs IS NULL AND k.place <= i.indnkeyatts \
                 GROUP BY i.indrelid, i.indexrelid, i.indisprimary \
                 HAVING bool_and(coalesce(a.attnotnull, false)) \
                 ORDER BY i.indrelid, i.indisprimary DESC, count(*), i.indexrelid",
                &[&oids],
            ),
        )
        .await?;
    let mut keys: HashMap<u32, Vec<(bool, Vec<String>)>> = HashMap::new();
    for row in &rows {
        keys.entry(get(client, row, 0)?).or_default().push((get(client, row, 1)?, get(client, row, 2)?));
    }
    Ok(keys)
}

/// A type with its domains unwrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseType {
    /// Oid of the type behind the domains.
    pub(crate) oid: u32,
    /// Modifier in force, -1 for none.
    pub(crate) typmod: i32,
    /// `pg_type.typtype`.
    pub(crate) typtype: char,
}

impl BaseType {
    /// How we read it.
    pub(crate) fn pg_type(&self) -> PgType {
        PgType::from_base(self.oid, self.typmod, self.typtype)
    }
}

/// What discovery and snapshot must know of a database's types: its domains, and those types whose
/// cast to text is something else than their output.
#[derive(Debug, Clone, Default)]
pub(crate) struct TypeCatalog {
    domains: HashMap<u32, BaseType>,
    outputs: HashMap<u32, String>,
}

impl TypeCatalog {
    /// Reads it; two queries.
    pub(crate) async fn load(client: &Client) -> Result<Self> {
        let domains = client
            .run(
                "read the domains",
                client.query(
                    "SELECT d.oid, d.typbasetype, d.typtypmod, b.typtype::text \
                     FROM pg_type d JOIN pg_type b ON b.oid = d.typbasetype WHERE d.typtype = 'd'",
                    &[],
                ),
            )
            .await?;
        let mut catalog = Self::default();
        for row in &domains {
            let typtype: String = get(client, row, 3)?;
            let base = BaseType { oid: get(client, row, 1)?, typmod: get(client, row, 2)?, typtype: first(&typtype) };
            catalog.domains.insert(get(client, row, 0)?, base);
        }
        // 25 is text; 142 is xml, whose binary-coercible cast keeps an encoding declaration that
        // its output function leaves out.
        let outputs = client
            .run(
                "read the casts to text",
                client.query(
                    "SELECT t.oid, quote_ident(n.nspname) || '.' || quote_ident(p.proname) \
                     FROM pg_cast c JOIN pg_type t ON t.oid = c.castsource JOIN pg_proc p ON p.oid = t.typoutput \
                     JOIN pg_namespace n ON n.oid = p.pronamespace \
                     WHERE c.casttarget = 25 AND (c.castmethod = 'f' OR c.castsource = 142)",
                    &[],
                ),
            )
            .await?;
        for row in &outputs {
            catalog.outputs.insert(get(client, row, 0)?, get(client, row, 1)?);
        }
        Ok(catalog)
    }

    /// What is behind a type.
    pub(crate) fn base(&self, oid: u32, typmod: i32, typtype: char) -> BaseType {
        let mut base = BaseType { oid, typmod, typtype };
        // A domain over a domain has the modifier of the innermost that has one. The bound ends a
        // circle, which only a damaged catalog could hold.
        for _ in 0..64 {
            let Some(next) = self.domains.get(&base.oid).filter(|_| base.typtype == 'd') else { break };
            let typmod = if base.typmod >= 0 { base.typmod } else { next.typmod };
            base = BaseType { oid: next.oid, typmod, typtype: next.typtype };
        }
        base
    }

    /// The expression that gives a value's text exactly as the type's output function does.
    pub(crate) fn text_expression(&self, base: &BaseType, column: &str) -> String {
        match self.outputs.get(&base.oid) {
            Some(output) => format!("pg_catalog.textin({output}({column}))"),
            None => format!("{column}::pg_catalog.text"),
        }
    }
}

fn first(text: &str) -> char {
    text.chars().next().unwrap_or('b')
}

/// A value of a catalog row; a server whose catalogs look otherwise is an error and no panic.
pub(crate) fn get<'a, T: tokio_postgres::types::FromSql<'a>>(client: &Client, row: &'a Row, index: usize) -> Result<T> {
    row.try_get(index).map_err(|error| client.error("read the system catalogs", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_over_a_domain_keeps_the_modifier() {
        let mut types = TypeCatalog::default();
        let numeric = crate::types::numeric_typmod(12, 2);
        types.domains.insert(20_001, BaseType { oid: 1700, typmod: numeric, typtype: 'b' });
        types.domains.insert(20_002, BaseType { oid: 20_001, typmod: -1, typtype: 'd' });
        let base = types.base(20_002, -1, 'd');
        assert_eq!(base.pg_type(), PgType::Decimal128 { precision: 12, scale: 2 });
        types.domains.insert(20_003, BaseType { oid: 20_003, typmod: -1, typtype: 'd' });
        assert_eq!(types.base(20_003, -1, 'd').oid, 20_003);
    }

    #[test]
    fn text_is_what_the_output_function_gives() {
        let mut types = TypeCatalog::default();
        types.outputs.insert(869, "pg_catalog.inet_out".to_owned());
        let base = |oid| BaseType { oid, typmod: -1, typtype: 'b' };
        assert_eq!(types.text_expression(&base(869), "\"a\""), "pg_catalog.textin(pg_catalog.inet_out(\"a\"))");
        assert_eq!(types.text_expression(&base(1186), "\"a\""), "\"a\"::pg_catalog.text");
    }
}
