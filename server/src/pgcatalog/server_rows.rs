//! The rows of `pg_catalog` that are about the server and its types, roles and sessions.

use super::function;
use super::layout::{Layout, types};
use super::rows::{BTREE, C_COLLATION, DEFAULT_COLLATION, HEAP, IntoValue, Rows};
use super::snapshot::{Catalog, PG_CATALOG, SYSTEM_ROLE, hashed_oid};
use super::value::{Row, Value};
use crate::pg_types::oid;
use std::collections::BTreeSet;

pub(super) fn access_methods(layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(layout, &["oid", "amname", "amtype"]);
    rows.push([HEAP.into(), "heap".into(), "t".into()]);
    rows.push([BTREE.into(), "btree".into(), "i".into()]);
    rows.finish()
}

pub(super) fn collations(layout: &Layout) -> Vec<Row> {
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

pub(super) fn databases(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
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

pub(super) fn shared_descriptions(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(layout, &["objoid", "classoid", "description"]);
    for database in &catalog.databases {
        if let Some(comment) = &database.comment {
            rows.push([database.oid.into(), 1262.into(), comment.as_str().into()]);
        }
    }
    rows.finish()
}

pub(super) fn languages(layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(layout, &["oid", "lanname", "lanowner", "lanispl", "lanpltrusted"]);
    rows.push([12.into(), "internal".into(), SYSTEM_ROLE.into(), false.into(), false.into()]);
    rows.push([14.into(), "sql".into(), SYSTEM_ROLE.into(), false.into(), true.into()]);
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

pub(super) fn procedures(layout: &Layout) -> Vec<Row> {
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

pub(super) fn ranges(layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(layout, &["rngtypid", "rngsubtype", "rngmultitypid"]);
    for range in types().iter().filter(|t| t.range_of != 0) {
        // int4range has int4multirange, numrange has nummultirange.
        let multi = format!("{}multirange", range.name.trim_end_matches("range"));
        let multi = super::layout::type_named(&multi).map_or(0, |t| t.oid);
        rows.push([range.oid.into(), range.range_of.into(), multi.into()]);
    }
    rows.finish()
}

pub(super) fn roles(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
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

pub(super) fn settings(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
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

pub(super) fn activity(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
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

pub(super) fn tablespaces(layout: &Layout) -> Vec<Row> {
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

pub(super) fn time_zones(layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(layout, &["name", "abbrev"]);
    for name in TIME_ZONES {
        let short = name.rsplit('/').next().unwrap_or(name);
        rows.push([(*name).into(), short.into()]);
    }
    rows.finish()
}

pub(super) fn type_rows(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
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
