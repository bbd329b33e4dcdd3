//! The rows of `pg_catalog`. A relation that is not listed here is empty, with all its columns.

use super::function;
use super::information;
use super::layout::{Layout, type_of};
use super::server_rows;
use super::snapshot::{Catalog, Columns, Relation, hashed_oid};
use super::value::{Row, Value};
use crate::pg_types::oid;
use catalog::quote_ident;

/// The access method of tables, and that of indexes.
pub(super) const HEAP: u32 = 2;
pub(super) const BTREE: u32 = 403;
pub(super) const DEFAULT_COLLATION: u32 = 100;
pub(super) const C_COLLATION: u32 = 950;

/// Rows whose columns are given by name; the others are empty.
pub(super) struct Rows {
    template: Row,
    places: Vec<usize>,
    pub(super) rows: Vec<Row>,
}

impl Rows {
    pub(super) fn new(layout: &Layout, names: &[&str]) -> Self {
        let template = layout
            .columns
            .iter()
            .map(|c| match (c.is_not_null, c.type_oid) {
                (false, _) => Value::Null,
                (_, oid::BOOL) => Value::Bool(false),
                (_, t) if super::value::element_of(t).is_some() => Value::list(vec![]),
                (_, t) if super::value::is_textual(t) => Value::text(""),
                (_, oid::FLOAT4 | oid::FLOAT8) => Value::Float(0.0),
                _ => Value::Int(0),
            })
            .collect();
        let places = names
            .iter()
            .map(|name| {
                let place = layout.columns.iter().position(|c| c.name == *name);
                place.unwrap_or_else(|| panic!("{}.{} has no column {name}", layout.schema, layout.name))
            })
            .collect();
        Self { template, places, rows: vec![] }
    }
    pub(super) fn push<const N: usize>(&mut self, values: [Value; N]) {
        debug_assert_eq!(N, self.places.len());
        let mut row = self.template.clone();
        for (place, value) in self.places.iter().zip(values) {
            row[*place] = value;
        }
        self.rows.push(row);
    }
    pub(super) fn finish(self) -> Vec<Row> {
        self.rows
    }
}

/// The rows of a relation.
pub(super) fn rows(catalog: &Catalog, layout: &'static Layout) -> Vec<Row> {
    if layout.schema == "information_schema" {
        return information::rows(catalog, layout);
    }
    if of_relations(layout.name).is_some() {
        let mut rows = rows_of(catalog, layout, &catalog.relations.iter().collect::<Vec<_>>());
        if layout.name == "pg_description" {
            rows.extend(schema_descriptions(catalog, layout));
        }
        return rows;
    }
    match layout.name {
        "pg_am" => server_rows::access_methods(layout),
        "pg_collation" => server_rows::collations(layout),
        "pg_database" => server_rows::databases(catalog, layout),
        "pg_indexes" => index_names(catalog, layout),
        "pg_language" => server_rows::languages(layout),
        "pg_matviews" => names(catalog, layout, "schemaname", "matviewname", "matviewowner", "m"),
        "pg_namespace" => namespaces(catalog, layout),
        "pg_proc" => server_rows::procedures(layout),
        "pg_range" => server_rows::ranges(layout),
        "pg_authid" | "pg_roles" | "pg_shadow" | "pg_user" => server_rows::roles(catalog, layout),
        "pg_settings" => server_rows::settings(catalog, layout),
        "pg_shdescription" => server_rows::shared_descriptions(catalog, layout),
        "pg_stat_activity" => server_rows::activity(catalog, layout),
        "pg_stat_user_tables" | "pg_stat_all_tables" => table_statistics(catalog, layout),
        "pg_tables" => names(catalog, layout, "schemaname", "tablename", "tableowner", "rp"),
        "pg_tablespace" => server_rows::tablespaces(layout),
        "pg_timezone_names" => server_rows::time_zones(layout),
        "pg_type" => server_rows::type_rows(catalog, layout),
        "pg_views" => names(catalog, layout, "schemaname", "viewname", "viewowner", "v"),
        _ => vec![],
    }
}

/// The columns of a catalog relation that hold the oid of the relation that a row belongs to, for
/// those whose rows can be made for one relation alone.
pub(super) fn of_relations(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "pg_attrdef" => &["adrelid"],
        "pg_attribute" => &["attrelid"],
        "pg_class" => &["oid"],
        "pg_constraint" => &["conrelid", "oid", "conindid"],
        "pg_description" => &["objoid"],
        "pg_index" => &["indrelid", "indexrelid"],
        _ => return None,
    })
}

/// The rows of such a catalog relation that belong to these relations.
pub(super) fn rows_of(catalog: &Catalog, layout: &Layout, relations: &[&Relation]) -> Vec<Row> {
    match layout.name {
        "pg_attrdef" => defaults(catalog, layout, relations),
        "pg_attribute" => attributes(catalog, layout, relations),
        "pg_class" => classes(layout, relations),
        "pg_constraint" => constraints(layout, relations),
        "pg_description" => descriptions(catalog, layout, relations),
        "pg_index" => indexes(layout, relations),
        _ => vec![],
    }
}

fn attributes(catalog: &Catalog, layout: &Layout, relations: &[&Relation]) -> Vec<Row> {
    let mut rows = Rows::new(
        layout,
        &[
            "attrelid",
            "attname",
            "atttypid",
            "attlen",
            "attnum",
            "attcacheoff",
            "atttypmod",
            "attndims",
            "attbyval",
            "attalign",
            "attstorage",
            "attnotnull",
            "atthasdef",
            "attgenerated",
            "attislocal",
            "attstattarget",
            "attcollation",
        ],
    );
    let mut push = |relation: u32, number: usize, column: &super::snapshot::Column<'_>| {
        let row = type_of(column.type_oid);
        rows.push([
            relation.into(),
            column.name.into(),
            column.type_oid.into(),
            row.map_or(-1, |t| t.length).into_value(),
            Value::Int(number as i64),
            (-1).into(),
            column.type_modifier.into(),
            Value::Int(row.is_some_and(|t| t.category == "A").into()),
            row.is_some_and(|t| t.by_value).into(),
            row.map_or("i", |t| t.align).into(),
            row.map_or("x", |t| t.storage).into(),
            column.is_not_null.into(),
            (column.default.is_some() || column.is_generated).into(),
            if column.is_generated { "s".into() } else { "".into() },
            true.into(),
            (-1).into(),
            row.map_or(DEFAULT_COLLATION, |t| t.collation).into(),
        ]);
    };
    for relation in relations {
        let columns = relation.columns(catalog);
        for (index, column) in columns.iter().enumerate() {
            push(relation.oid, index + 1, column);
        }
        for key in &relation.keys {
            let of_key = key.columns.iter().filter_map(|&n| columns.get(usize::try_from(n - 1).ok()?));
            for (index, column) in of_key.enumerate() {
                push(key.oid, index + 1, column);
            }
        }
    }
    rows.finish()
}

pub(super) trait IntoValue {
    fn into_value(self) -> Value;
}
impl IntoValue for i16 {
    fn into_value(self) -> Value {
        Value::Int(self.into())
    }
}

fn defaults(catalog: &Catalog, layout: &Layout, relations: &[&Relation]) -> Vec<Row> {
    let mut rows = Rows::new(layout, &["oid", "adrelid", "adnum", "adbin"]);
    for relation in relations {
        for (index, column) in relation.columns(catalog).iter().enumerate() {
            if let Some(default) = column.default {
                let number = (index + 1).to_string();
                let oid = hashed_oid(&["default", &relation.oid.to_string(), &number]);
                rows.push([oid.into(), relation.oid.into(), Value::Int(index as i64 + 1), default.into()]);
            }
        }
    }
    rows.finish()
}

fn classes(layout: &Layout, relations: &[&Relation]) -> Vec<Row> {
    let mut rows = Rows::new(
        layout,
        &[
            "oid",
            "relname",
            "relnamespace",
            "reltype",
            "relowner",
            "relam",
            "relfilenode",
            "relpages",
            "reltuples",
            "relhasindex",
            "relpersistence",
            "relkind",
            "relnatts",
            "relispopulated",
            "relreplident",
            "relfrozenxid",
        ],
    );
    for relation in relations {
        let remote = relation.remote();
        let is_table = matches!(relation.kind, 'r' | 'p' | 'm');
        rows.push([
            relation.oid.into(),
            relation.name.as_str().into(),
            relation.namespace.into(),
            0.into(),
            relation.owner.into(),
            if is_table { HEAP.into() } else { 0.into() },
            if is_table { relation.oid.into() } else { 0.into() },
            Value::Int(
                remote
                    .and_then(|t| t.bytes_estimate)
                    .map_or(0, |b| i64::try_from(b / 8192).unwrap_or(i64::MAX).min(i32::MAX.into())),
            ),
            Value::Float(remote.and_then(|t| t.rows_estimate).map_or(-1.0, |n| n as f64)),
            (!relation.keys.is_empty()).into(),
            "p".into(),
            relation.kind.to_string().into(),
            Value::Int(i64::try_from(relation.column_count()).unwrap_or(0)),
            true.into(),
            if is_table { "d".into() } else { "n".into() },
            0.into(),
        ]);
        for key in &relation.keys {
            rows.push([
                key.oid.into(),
                key.name.as_str().into(),
                relation.namespace.into(),
                0.into(),
                relation.owner.into(),
                BTREE.into(),
                key.oid.into(),
                0.into(),
                Value::Float(-1.0),
                false.into(),
                "p".into(),
                "i".into(),
                Value::Int(key.columns.len() as i64),
                true.into(),
                "n".into(),
                0.into(),
            ]);
        }
    }
    rows.finish()
}

fn numbers(values: &[i64]) -> Value {
    Value::list(values.iter().copied().map(Value::Int).collect())
}

fn constraints(layout: &Layout, relations: &[&Relation]) -> Vec<Row> {
    let mut rows = Rows::new(
        layout,
        &[
            "oid",
            "conname",
            "connamespace",
            "contype",
            "convalidated",
            "conrelid",
            "conindid",
            "confupdtype",
            "confdeltype",
            "confmatchtype",
            "conislocal",
            "connoinherit",
            "conkey",
        ],
    );
    for relation in relations {
        for key in &relation.keys {
            rows.push([
                key.constraint_oid.into(),
                key.name.as_str().into(),
                relation.namespace.into(),
                if key.is_primary { "p".into() } else { "u".into() },
                true.into(),
                relation.oid.into(),
                key.oid.into(),
                " ".into(),
                " ".into(),
                " ".into(),
                true.into(),
                true.into(),
                numbers(&key.columns),
            ]);
        }
    }
    rows.finish()
}

fn descriptions(catalog: &Catalog, layout: &Layout, relations: &[&Relation]) -> Vec<Row> {
    let mut rows = Rows::new(layout, &["objoid", "classoid", "objsubid", "description"]);
    let class = 1259;
    for relation in relations {
        if let Some(comment) = relation.comment() {
            rows.push([relation.oid.into(), class.into(), 0.into(), comment.into()]);
        }
        for (index, column) in relation.columns(catalog).iter().enumerate() {
            if let Some(comment) = column.comment {
                rows.push([relation.oid.into(), class.into(), Value::Int(index as i64 + 1), comment.into()]);
            }
        }
    }
    rows.finish()
}

fn schema_descriptions(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(layout, &["objoid", "classoid", "objsubid", "description"]);
    for schema in &catalog.namespaces {
        if let Some(comment) = &schema.comment {
            rows.push([schema.oid.into(), 2615.into(), 0.into(), comment.as_str().into()]);
        }
    }
    rows.finish()
}

fn indexes(layout: &Layout, relations: &[&Relation]) -> Vec<Row> {
    let mut rows = Rows::new(
        layout,
        &[
            "indexrelid",
            "indrelid",
            "indnatts",
            "indnkeyatts",
            "indisunique",
            "indisprimary",
            "indimmediate",
            "indisvalid",
            "indisready",
            "indislive",
            "indkey",
            "indcollation",
            "indclass",
            "indoption",
        ],
    );
    for relation in relations {
        for key in &relation.keys {
            let zeros = vec![0; key.columns.len()];
            rows.push([
                key.oid.into(),
                relation.oid.into(),
                Value::Int(key.columns.len() as i64),
                Value::Int(key.columns.len() as i64),
                true.into(),
                key.is_primary.into(),
                true.into(),
                true.into(),
                true.into(),
                true.into(),
                numbers(&key.columns),
                numbers(&zeros),
                numbers(&zeros),
                numbers(&zeros),
            ]);
        }
    }
    rows.finish()
}

fn schema_name(catalog: &Catalog, relation: &Relation) -> Value {
    catalog.namespace(relation.namespace).map(|n| n.name.as_str()).into()
}

fn owner_name(catalog: &Catalog, owner: u32) -> Value {
    catalog.role(owner).map(|r| r.name.as_str()).into()
}

fn index_names(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(layout, &["schemaname", "tablename", "indexname", "indexdef"]);
    for relation in &catalog.relations {
        for key in &relation.keys {
            rows.push([
                schema_name(catalog, relation),
                relation.name.as_str().into(),
                key.name.as_str().into(),
                function::index_definition(catalog, key.oid).into(),
            ]);
        }
    }
    rows.finish()
}

/// `pg_tables`, `pg_views` and `pg_matviews`.
fn names(catalog: &Catalog, layout: &Layout, schema: &str, name: &str, owner: &str, kinds: &str) -> Vec<Row> {
    let mut rows = Rows::new(layout, &[schema, name, owner]);
    for relation in catalog.relations.iter().filter(|r| kinds.contains(r.kind)) {
        rows.push([schema_name(catalog, relation), relation.name.as_str().into(), owner_name(catalog, relation.owner)]);
    }
    rows.finish()
}

fn namespaces(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(layout, &["oid", "nspname", "nspowner"]);
    for schema in &catalog.namespaces {
        rows.push([schema.oid.into(), schema.name.as_str().into(), schema.owner.into()]);
    }
    rows.finish()
}

fn table_statistics(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(layout, &["relid", "schemaname", "relname", "n_live_tup"]);
    for relation in catalog.relations.iter().filter(|r| matches!(r.kind, 'r' | 'p' | 'm')) {
        if layout.name == "pg_stat_user_tables" && matches!(relation.columns, Columns::Layout(_)) {
            continue;
        }
        let estimate = relation.remote().and_then(|t| t.rows_estimate).and_then(|n| i64::try_from(n).ok());
        rows.push([
            relation.oid.into(),
            schema_name(catalog, relation),
            relation.name.as_str().into(),
            estimate.into(),
        ]);
    }
    rows.finish()
}

/// `schema.name` of a relation, each part quoted where it must be; the schema only where the bare
/// name would mean something else.
pub(super) fn relation_text(catalog: &Catalog, relation_oid: u32) -> Option<String> {
    let (schema, name) = match catalog.key(relation_oid) {
        Some((table, key)) => (table.namespace, key.name.as_str()),
        None => {
            let relation = catalog.relation(relation_oid)?;
            (relation.namespace, relation.name.as_str())
        }
    };
    if catalog.is_visible(relation_oid) == Some(true) {
        return Some(quote_ident(name));
    }
    Some(format!("{}.{}", quote_ident(&catalog.namespace(schema)?.name), quote_ident(name)))
}
