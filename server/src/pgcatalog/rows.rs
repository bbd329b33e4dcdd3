//! The rows of `pg_catalog`. A relation that is not listed here is empty, with all its columns.

use super::function;
use super::information;
use super::layout::{Layout, type_of, types};
use super::snapshot::{Catalog, Columns, PG_CATALOG, Relation, SYSTEM_ROLE, hashed_oid};
use super::value::{Row, Value};
use crate::pg_types::oid;
use catalog::quote_ident;
use std::collections::BTreeSet;

/// The access method of tables, and that of indexes.
const HEAP: u32 = 2;
const BTREE: u32 = 403;
const DEFAULT_COLLATION: u32 = 100;
const C_COLLATION: u32 = 950;

/// Rows whose columns are given by name; the others are empty.
pub(super) struct Rows {
    template: Row,
    places: Vec<usize>,
    rows: Vec<Row>,
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
        "pg_am" => access_methods(layout),
        "pg_collation" => collations(layout),
        "pg_database" => databases(catalog, layout),
        "pg_indexes" => index_names(catalog, layout),
        "pg_language" => languages(layout),
        "pg_matviews" => names(catalog, layout, "schemaname", "matviewname", "matviewowner", "m"),
        "pg_namespace" => namespaces(catalog, layout),
        "pg_proc" => procedures(layout),
        "pg_range" => ranges(layout),
        "pg_authid" | "pg_roles" | "pg_shadow" | "pg_user" => roles(catalog, layout),
        "pg_settings" => settings(catalog, layout),
        "pg_shdescription" => shared_descriptions(catalog, layout),
        "pg_stat_activity" => activity(catalog, layout),
        "pg_stat_user_tables" | "pg_stat_all_tables" => table_statistics(catalog, layout),
        "pg_tables" => names(catalog, layout, "schemaname", "tablename", "tableowner", "rp"),
        "pg_tablespace" => tablespaces(layout),
        "pg_timezone_names" => time_zones(layout),
        "pg_type" => type_rows(catalog, layout),
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

fn access_methods(layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(layout, &["oid", "amname", "amtype"]);
    rows.push([HEAP.into(), "heap".into(), "t".into()]);
    rows.push([BTREE.into(), "btree".into(), "i".into()]);
    rows.finish()
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

trait IntoValue {
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

fn collations(layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(
        layout,
        &[
            "oid",
            "collname",
            "collnamespace",
            "collowner",
            "collprovider",
            "collisdeterministic",
            "collencoding",
            "collcollate",
            "collctype",
        ],
    );
    for (oid, name, provider) in [(DEFAULT_COLLATION, "default", "d"), (C_COLLATION, "C", "c"), (951, "POSIX", "c")] {
        let locale = if provider == "d" { Value::Null } else { name.into() };
        rows.push([
            oid.into(),
            name.into(),
            PG_CATALOG.into(),
            SYSTEM_ROLE.into(),
            provider.into(),
            true.into(),
            (-1).into(),
            locale.clone(),
            locale,
        ]);
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

fn databases(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(
        layout,
        &[
            "oid",
            "datname",
            "datdba",
            "encoding",
            "datlocprovider",
            "datallowconn",
            "datconnlimit",
            "dattablespace",
            "datcollate",
            "datctype",
        ],
    );
    for database in &catalog.databases {
        rows.push([
            database.oid.into(),
            database.name.as_str().into(),
            database.owner.into(),
            6.into(),
            "c".into(),
            true.into(),
            (-1).into(),
            1663.into(),
            "C".into(),
            "C".into(),
        ]);
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

fn shared_descriptions(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(layout, &["objoid", "classoid", "description"]);
    for database in &catalog.databases {
        if let Some(comment) = &database.comment {
            rows.push([database.oid.into(), 1262.into(), comment.as_str().into()]);
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

fn languages(layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(layout, &["oid", "lanname", "lanowner", "lanispl", "lanpltrusted"]);
    rows.push([12.into(), "internal".into(), SYSTEM_ROLE.into(), false.into(), false.into()]);
    rows.push([14.into(), "sql".into(), SYSTEM_ROLE.into(), false.into(), true.into()]);
    rows.finish()
}

fn namespaces(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(layout, &["oid", "nspname", "nspowner"]);
    for schema in &catalog.namespaces {
        rows.push([schema.oid.into(), schema.name.as_str().into(), schema.owner.into()]);
    }
    rows.finish()
}

/// The functions that `pg_proc` shows: those of the client catalog and those that types name.
pub(super) fn procedure_names() -> BTreeSet<&'static str> {
    let of_types = types().iter().flat_map(|t| t.functions).filter(|name| *name != "-");
    of_types.chain(function::names()).collect()
}

/// The oid under which `pg_proc` shows a function.
pub(super) fn procedure_oid(name: &str) -> u32 {
    if name == "-" { 0 } else { hashed_oid(&["procedure", name]) }
}

fn procedures(layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(
        layout,
        &[
            "oid",
            "proname",
            "pronamespace",
            "proowner",
            "prolang",
            "procost",
            "prokind",
            "proisstrict",
            "provolatile",
            "proparallel",
            "pronargs",
            "prorettype",
            "prosrc",
        ],
    );
    for name in procedure_names() {
        let known = function::find(name);
        rows.push([
            procedure_oid(name).into(),
            name.into(),
            PG_CATALOG.into(),
            SYSTEM_ROLE.into(),
            12.into(),
            Value::Float(1.0),
            "f".into(),
            known.is_some_and(|f| f.is_strict).into(),
            "s".into(),
            "s".into(),
            Value::Int(known.map_or(1, |f| f.arguments.0 as i64)),
            known.and_then(|f| f.returns.fixed()).unwrap_or(oid::TEXT).into(),
            name.into(),
        ]);
    }
    rows.finish()
}

fn ranges(layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(layout, &["rngtypid", "rngsubtype", "rngmultitypid"]);
    for range in types().iter().filter(|t| t.range_of != 0) {
        // int4range has int4multirange, numrange has nummultirange.
        let multi = format!("{}multirange", range.name.trim_end_matches("range"));
        let multi = super::layout::type_named(&multi).map_or(0, |t| t.oid);
        rows.push([range.oid.into(), range.range_of.into(), multi.into()]);
    }
    rows.finish()
}

fn roles(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    let (prefix, id) = match layout.name {
        "pg_roles" | "pg_authid" => ("rol", "oid"),
        _ => ("use", "usesysid"),
    };
    let mut rows = if prefix == "rol" {
        let names = [
            id,
            "rolname",
            "rolsuper",
            "rolinherit",
            "rolcreaterole",
            "rolcreatedb",
            "rolcanlogin",
            "rolreplication",
            "rolconnlimit",
            "rolbypassrls",
        ];
        let mut rows = Rows::new(layout, &names);
        for role in &catalog.roles {
            let may_login = role.oid != SYSTEM_ROLE || role.name == catalog.scope.session.role;
            rows.push([
                role.oid.into(),
                role.name.as_str().into(),
                true.into(),
                true.into(),
                true.into(),
                true.into(),
                may_login.into(),
                false.into(),
                (-1).into(),
                true.into(),
            ]);
        }
        rows
    } else {
        let mut rows = Rows::new(layout, &["usename", id, "usecreatedb", "usesuper", "userepl", "usebypassrls"]);
        for role in &catalog.roles {
            rows.push([
                role.name.as_str().into(),
                role.oid.into(),
                true.into(),
                true.into(),
                false.into(),
                true.into(),
            ]);
        }
        rows
    };
    if layout.name == "pg_roles" || layout.name == "pg_user" {
        // Passwords are never shown, as in PostgreSQL.
        let place = layout.columns.iter().position(|c| c.name == "rolpassword" || c.name == "passwd");
        for row in &mut rows.rows {
            if let Some(place) = place {
                row[place] = "********".into();
            }
        }
    }
    rows.finish()
}

fn settings(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(
        layout,
        &[
            "name",
            "setting",
            "unit",
            "category",
            "short_desc",
            "context",
            "vartype",
            "source",
            "enumvals",
            "boot_val",
            "reset_val",
            "pending_restart",
        ],
    );
    let settings = catalog.scope.session.settings.lock().rows();
    for setting in settings {
        let plain = |value: &str| match setting.unit {
            // A time is shown as its number; the unit stands beside it.
            Some("ms") => milliseconds(value).map_or_else(|| value.to_owned(), |n| n.to_string()),
            _ => value.to_owned(),
        };
        let source = if setting.value == setting.default_value { "default" } else { "session" };
        rows.push([
            setting.name.as_str().into(),
            plain(&setting.value).into(),
            setting.unit.into(),
            "Gateway".into(),
            setting.description.into(),
            setting.context.into(),
            setting.value_type.into(),
            source.into(),
            setting.allowed.map_or(Value::Null, |words| Value::texts(words.iter())),
            plain(&setting.default_value).into(),
            plain(&setting.reset_value).into(),
            false.into(),
        ]);
    }
    rows.finish()
}

/// The number of milliseconds of `5s`, `1min`, `250ms`, `0`.
fn milliseconds(value: &str) -> Option<i64> {
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let number: i64 = value[..digits].parse().ok()?;
    let factor = match value[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn activity(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(
        layout,
        &[
            "datid",
            "datname",
            "pid",
            "usesysid",
            "usename",
            "application_name",
            "client_addr",
            "client_port",
            "backend_start",
            "query_start",
            "state_change",
            "state",
            "query",
            "backend_type",
        ],
    );
    for session in catalog.scope.gateway.sessions.list() {
        let (host, port) = match session.client_addr.rsplit_once(':') {
            Some((host, port)) => (Value::text(host), port.parse::<i64>().ok().into()),
            None => (Value::Null, Value::Null),
        };
        let application = session.settings.lock().get("application_name").unwrap_or_default();
        let activity = session.activity.lock().clone();
        let database = catalog.databases.iter().find(|d| d.name == session.database).or(catalog.databases.first());
        let role = catalog.roles.iter().find(|r| r.name == session.role);
        rows.push([
            database.map(|d| d.oid).into(),
            database.map(|d| d.name.as_str()).into(),
            session.pid.into(),
            role.map(|r| r.oid).into(),
            session.role.as_str().into(),
            application.into(),
            host,
            port,
            Value::Time(session.started_at),
            activity.query_start.map_or(Value::Null, Value::Time),
            activity.query_start.map_or(Value::Null, Value::Time),
            activity.state.into(),
            activity.query.into(),
            "client backend".into(),
        ]);
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

fn tablespaces(layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(layout, &["oid", "spcname", "spcowner"]);
    rows.push([1663.into(), "pg_default".into(), SYSTEM_ROLE.into()]);
    rows.push([1664.into(), "pg_global".into(), SYSTEM_ROLE.into()]);
    rows.finish()
}

/// Time zones that are offered for completion; every name of the IANA database is accepted.
const TIME_ZONES: &[&str] = &[
    "Africa/Cairo",
    "Africa/Johannesburg",
    "Africa/Lagos",
    "Africa/Nairobi",
    "America/Argentina/Buenos_Aires",
    "America/Bogota",
    "America/Chicago",
    "America/Denver",
    "America/Halifax",
    "America/Los_Angeles",
    "America/Mexico_City",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Toronto",
    "Asia/Bangkok",
    "Asia/Dubai",
    "Asia/Hong_Kong",
    "Asia/Jakarta",
    "Asia/Jerusalem",
    "Asia/Karachi",
    "Asia/Kolkata",
    "Asia/Manila",
    "Asia/Seoul",
    "Asia/Shanghai",
    "Asia/Singapore",
    "Asia/Taipei",
    "Asia/Tehran",
    "Asia/Tokyo",
    "Atlantic/Reykjavik",
    "Australia/Melbourne",
    "Australia/Perth",
    "Australia/Sydney",
    "Etc/UTC",
    "Europe/Amsterdam",
    "Europe/Athens",
    "Europe/Berlin",
    "Europe/Istanbul",
    "Europe/Kyiv",
    "Europe/Lisbon",
    "Europe/London",
    "Europe/Madrid",
    "Europe/Moscow",
    "Europe/Paris",
    "Europe/Rome",
    "Europe/Stockholm",
    "Europe/Vienna",
    "Europe/Warsaw",
    "Europe/Zurich",
    "Pacific/Auckland",
    "Pacific/Honolulu",
    "UTC",
];

fn time_zones(layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(layout, &["name", "abbrev"]);
    for name in TIME_ZONES {
        let short = name.rsplit('/').next().unwrap_or(name);
        rows.push([(*name).into(), short.into()]);
    }
    rows.finish()
}

fn type_rows(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(
        layout,
        &[
            "oid",
            "typname",
            "typnamespace",
            "typowner",
            "typlen",
            "typbyval",
            "typtype",
            "typcategory",
            "typispreferred",
            "typisdefined",
            "typdelim",
            "typelem",
            "typarray",
            "typinput",
            "typoutput",
            "typreceive",
            "typsend",
            "typmodin",
            "typmodout",
            "typalign",
            "typstorage",
            "typtypmod",
            "typcollation",
        ],
    );
    for t in types() {
        let [input, output, receive, send, modifier_in, modifier_out] =
            t.functions.map(|name| Value::from(procedure_oid(name)));
        rows.push([
            t.oid.into(),
            t.name.into(),
            PG_CATALOG.into(),
            SYSTEM_ROLE.into(),
            t.length.into_value(),
            t.by_value.into(),
            t.kind.into(),
            t.category.into(),
            t.is_preferred.into(),
            true.into(),
            t.delimiter.into(),
            t.element.into(),
            t.array.into(),
            input,
            output,
            receive,
            send,
            modifier_in,
            modifier_out,
            t.align.into(),
            t.storage.into(),
            (-1).into(),
            t.collation.into(),
        ]);
    }
    // A type that only a source knows is read as its text.
    let text = super::layout::type_named("text").map(|t| t.functions.map(procedure_oid)).unwrap_or_default();
    for (oid, name) in &catalog.foreign_types {
        rows.push([
            (*oid).into(),
            name.as_str().into(),
            PG_CATALOG.into(),
            SYSTEM_ROLE.into(),
            (-1).into(),
            false.into(),
            "b".into(),
            "U".into(),
            false.into(),
            true.into(),
            ",".into(),
            0.into(),
            0.into(),
            text[0].into(),
            text[1].into(),
            text[2].into(),
            text[3].into(),
            0.into(),
            0.into(),
            "i".into(),
            "x".into(),
            (-1).into(),
            0.into(),
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
