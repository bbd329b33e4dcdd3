//! Functions over catalog values: those that only the client catalog has, and those text and array
//! functions that clients use beside them.
//!
//! Each is written once. The evaluator of catalog queries calls it, and `query::function` hands it
//! to DataFusion for queries over other tables.

use super::object::{cast, class_oid, format_type, is_type, object_oid, text};
use super::snapshot::Catalog;
use super::text_function;
use super::value::{Value, array_of};
use crate::pg_types::oid;
use crate::settings::SERVER_VERSION;
use catalog::{Error, ErrorKind, Result, quote_ident};
use std::collections::HashMap;
use std::sync::OnceLock;

/// One call.
pub(crate) struct Call<'a> {
    pub arguments: &'a [Value],
    /// The types of the arguments.
    pub types: &'a [u32],
    pub catalog: &'a Catalog,
}

impl Call<'_> {
    pub(super) fn text(&self, index: usize) -> Option<String> {
        let value = self.arguments.get(index)?;
        text(value, self.types.get(index).copied().unwrap_or(oid::TEXT), self.catalog)
    }
    pub(super) fn int(&self, index: usize) -> Option<i64> {
        self.arguments.get(index)?.as_int()
    }
    pub(super) fn oid(&self, index: usize) -> Option<u32> {
        self.arguments.get(index)?.as_oid()
    }
    pub(super) fn list(&self, index: usize) -> Option<&[Value]> {
        self.arguments.get(index)?.as_list()
    }
    pub(super) fn type_of(&self, index: usize) -> u32 {
        self.types.get(index).copied().unwrap_or(oid::TEXT)
    }
}

/// The type of a function's value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Returns {
    Is(u32),
    /// That of an argument.
    Same(usize),
    /// An array of an argument's type.
    ArrayOf(usize),
}

impl Returns {
    pub(crate) fn fixed(self) -> Option<u32> {
        if let Self::Is(type_oid) = self { Some(type_oid) } else { None }
    }
    pub(crate) fn of(self, arguments: &[u32]) -> u32 {
        let at = |i: usize| arguments.get(i).copied().unwrap_or(oid::TEXT);
        match self {
            Self::Is(type_oid) => type_oid,
            Self::Same(i) => {
                if at(i) == oid::UNKNOWN {
                    oid::TEXT
                } else {
                    at(i)
                }
            }
            Self::ArrayOf(i) => array_of(at(i)),
        }
    }
}

/// One function.
pub(crate) struct Function {
    pub name: &'static str,
    /// Least and most arguments.
    pub arguments: (usize, usize),
    pub returns: Returns,
    /// NULL when an argument is.
    pub is_strict: bool,
    pub call: fn(&Call<'_>) -> Result<Value>,
}

pub(super) const MANY: usize = 100;

pub(super) const fn strict(
    name: &'static str,
    arguments: (usize, usize),
    returns: Returns,
    call: fn(&Call<'_>) -> Result<Value>,
) -> Function {
    Function { name, arguments, returns, is_strict: true, call }
}

const fn relaxed(
    name: &'static str,
    arguments: (usize, usize),
    returns: Returns,
    call: fn(&Call<'_>) -> Result<Value>,
) -> Function {
    Function { name, arguments, returns, is_strict: false, call }
}

use Returns::Is;
const TEXT: Returns = Is(oid::TEXT);
const NAME: Returns = Is(oid::NAME);
const BOOL: Returns = Is(oid::BOOL);
const INT4: Returns = Is(oid::INT4);
const INT8: Returns = Is(oid::INT8);
const TIME: Returns = Is(oid::TIMESTAMPTZ);

/// Functions that say something about the session, the server or an object.
const FUNCTIONS: &[Function] = &[
    relaxed("version", (0, 0), TEXT, |_| Ok(format!("PostgreSQL {SERVER_VERSION}").into())),
    relaxed("current_database", (0, 0), NAME, |c| Ok(c.catalog.scope.database().into())),
    relaxed("current_catalog", (0, 0), NAME, |c| Ok(c.catalog.scope.database().into())),
    relaxed("current_user", (0, 0), NAME, role),
    relaxed("session_user", (0, 0), NAME, role),
    relaxed("current_role", (0, 0), NAME, role),
    relaxed("user", (0, 0), NAME, role),
    relaxed("current_schema", (0, 0), NAME, |c| Ok(schemas(c, false).into_iter().next().map(Value::text).into())),
    strict("current_schemas", (1, 1), Is(1003), |c| Ok(Value::texts(schemas(c, c.arguments[0].is_true())))),
    strict("current_setting", (1, 2), TEXT, current_setting),
    strict("set_config", (3, 3), TEXT, set_config),
    relaxed("pg_backend_pid", (0, 0), INT4, |c| Ok(c.catalog.scope.session.pid.into())),
    relaxed("pg_is_in_recovery", (0, 0), BOOL, |_| Ok(false.into())),
    relaxed("pg_is_wal_replay_paused", (0, 0), BOOL, |_| Ok(false.into())),
    relaxed("pg_postmaster_start_time", (0, 0), TIME, |_| Ok(Value::Time(started_at()))),
    relaxed("pg_conf_load_time", (0, 0), TIME, |_| Ok(Value::Time(started_at()))),
    relaxed("txid_current", (0, 0), INT8, |_| Ok(1.into())),
    relaxed("txid_current_if_assigned", (0, 0), INT8, |_| Ok(Value::Null)),
    relaxed("pg_current_xact_id", (0, 0), INT8, |_| Ok(1.into())),
    relaxed("inet_server_addr", (0, 0), TEXT, |_| Ok(Value::Null)),
    relaxed("inet_server_port", (0, 0), INT4, |_| Ok(Value::Null)),
    relaxed("inet_client_addr", (0, 0), TEXT, |c| Ok(client(c).map(|(host, _)| host).into())),
    relaxed("inet_client_port", (0, 0), INT4, |c| Ok(client(c).and_then(|(_, port)| port).into())),
    relaxed("getdatabaseencoding", (0, 0), NAME, |_| Ok("UTF8".into())),
    relaxed("pg_client_encoding", (0, 0), NAME, |_| Ok("UTF8".into())),
    relaxed("pg_advisory_unlock_all", (0, 0), Is(2278), |_| Ok("".into())),
    strict("pg_advisory_lock", (1, 2), Is(2278), |_| Ok("".into())),
    strict("pg_try_advisory_lock", (1, 2), BOOL, |_| Ok(true.into())),
    strict("pg_advisory_unlock", (1, 2), BOOL, |_| Ok(true.into())),
    strict("pg_sleep", (1, 1), Is(2278), |_| Err(Error::unsupported("pg_sleep"))),
    strict("pg_cancel_backend", (1, 1), BOOL, cancel_backend),
    strict("pg_encoding_to_char", (1, 1), NAME, |c| Ok(if c.int(0) == Some(6) { "UTF8".into() } else { "".into() })),
    strict("pg_char_to_encoding", (1, 1), INT4, |c| {
        let is_utf8 = c.text(0).is_some_and(|n| matches!(n.to_lowercase().as_str(), "utf8" | "utf-8" | "unicode"));
        Ok(if is_utf8 { 6.into() } else { (-1).into() })
    }),
    // Types.
    relaxed("format_type", (2, 2), TEXT, |c| Ok(c.oid(0).map(|t| format_type(c.catalog, t, c.int(1))).into())),
    relaxed("pg_typeof", (1, 1), Is(oid::REGTYPE), |c| Ok(c.type_of(0).into())),
    strict("to_regclass", (1, 1), Is(oid::REGCLASS), |c| found(c, oid::REGCLASS)),
    strict("to_regtype", (1, 1), Is(oid::REGTYPE), |c| found(c, oid::REGTYPE)),
    strict("to_regproc", (1, 1), Is(oid::REGPROC), |c| found(c, oid::REGPROC)),
    strict("to_regnamespace", (1, 1), Is(oid::REGNAMESPACE), |c| found(c, oid::REGNAMESPACE)),
    strict("to_regrole", (1, 1), Is(oid::REGROLE), |c| found(c, oid::REGROLE)),
    // Visibility.
    strict("pg_table_is_visible", (1, 1), BOOL, |c| Ok(c.oid(0).and_then(|o| c.catalog.is_visible(o)).into())),
    strict("pg_type_is_visible", (1, 1), BOOL, |c| Ok(c.oid(0).map(|t| is_type(c.catalog, t)).into())),
    strict("pg_function_is_visible", (1, 1), BOOL, always),
    strict("pg_operator_is_visible", (1, 1), BOOL, always),
    strict("pg_opclass_is_visible", (1, 1), BOOL, always),
    strict("pg_opfamily_is_visible", (1, 1), BOOL, always),
    strict("pg_collation_is_visible", (1, 1), BOOL, always),
    strict("pg_conversion_is_visible", (1, 1), BOOL, always),
    strict("pg_statistics_obj_is_visible", (1, 1), BOOL, always),
    strict("pg_ts_config_is_visible", (1, 1), BOOL, always),
    strict("pg_ts_dict_is_visible", (1, 1), BOOL, always),
    strict("pg_ts_parser_is_visible", (1, 1), BOOL, always),
    strict("pg_ts_template_is_visible", (1, 1), BOOL, always),
    strict("pg_is_other_temp_schema", (1, 1), BOOL, |_| Ok(false.into())),
    relaxed("pg_my_temp_schema", (0, 0), Is(oid::OID), |_| Ok(0.into())),
    // Privileges: whoever is connected may look at everything that the catalog shows.
    strict("has_table_privilege", (2, 3), BOOL, always),
    strict("has_column_privilege", (3, 4), BOOL, always),
    strict("has_any_column_privilege", (2, 3), BOOL, always),
    strict("has_schema_privilege", (2, 3), BOOL, always),
    strict("has_database_privilege", (2, 3), BOOL, always),
    strict("has_function_privilege", (2, 3), BOOL, always),
    strict("has_sequence_privilege", (2, 3), BOOL, always),
    strict("has_type_privilege", (2, 3), BOOL, always),
    strict("has_language_privilege", (2, 3), BOOL, always),
    strict("has_tablespace_privilege", (2, 3), BOOL, always),
    strict("has_server_privilege", (2, 3), BOOL, always),
    strict("has_foreign_data_wrapper_privilege", (2, 3), BOOL, always),
    strict("has_parameter_privilege", (2, 3), BOOL, always),
    strict("pg_has_role", (2, 3), BOOL, always),
    strict("row_security_active", (1, 1), BOOL, |_| Ok(false.into())),
    strict("pg_relation_is_updatable", (2, 2), INT4, |_| Ok(0.into())),
    strict("pg_relation_is_publishable", (1, 1), BOOL, |_| Ok(false.into())),
    strict("pg_get_userbyid", (1, 1), NAME, |c| {
        let role = c.oid(0).and_then(|o| c.catalog.role(o));
        Ok(role.map_or_else(|| format!("unknown (OID={})", c.text(0).unwrap_or_default()), |r| r.name.clone()).into())
    }),
    // Definitions.
    strict("pg_get_expr", (2, 3), TEXT, |c| Ok(c.arguments[0].clone())),
    strict("pg_get_constraintdef", (1, 2), TEXT, |c| {
        Ok(c.oid(0).and_then(|o| constraint_definition(c.catalog, o)).into())
    }),
    strict("pg_get_indexdef", (1, 3), TEXT, |c| {
        let (Some(index), column) = (c.oid(0), c.int(1).unwrap_or(0)) else { return Ok(Value::Null) };
        if column <= 0 {
            return Ok(index_definition(c.catalog, index).into());
        }
        let Some((table, key)) = c.catalog.key(index) else { return Ok(Value::Null) };
        let number = usize::try_from(column - 1).ok().and_then(|i| key.columns.get(i));
        let columns = table.columns(c.catalog);
        let name = number.and_then(|n| columns.get(usize::try_from(n - 1).ok()?)).map(|c| quote_ident(c.name));
        Ok(name.into())
    }),
    strict("pg_get_viewdef", (1, 2), TEXT, |c| {
        let relation = c.oid(0).and_then(|o| c.catalog.relation(o));
        Ok(relation.filter(|r| r.kind == 'v').map(|_| "").into())
    }),
    strict("pg_get_ruledef", (1, 2), TEXT, nothing),
    strict("pg_get_triggerdef", (1, 2), TEXT, nothing),
    strict("pg_get_partkeydef", (1, 1), TEXT, nothing),
    strict("pg_get_partition_constraintdef", (1, 1), TEXT, nothing),
    strict("pg_get_statisticsobjdef", (1, 1), TEXT, nothing),
    strict("pg_get_statisticsobjdef_columns", (1, 1), TEXT, nothing),
    strict("pg_get_serial_sequence", (2, 2), TEXT, nothing),
    strict("pg_get_functiondef", (1, 1), TEXT, nothing),
    strict("pg_get_function_sqlbody", (1, 1), TEXT, nothing),
    strict("pg_get_function_arguments", (1, 1), TEXT, |_| Ok("".into())),
    strict("pg_get_function_identity_arguments", (1, 1), TEXT, |_| Ok("".into())),
    strict("pg_get_function_result", (1, 1), TEXT, |c| {
        let function = super::server_rows::procedure_names()
            .into_iter()
            .find(|n| Some(super::server_rows::procedure_oid(n)) == c.oid(0));
        let returns = function.and_then(find).and_then(|f| f.returns.fixed()).unwrap_or(oid::TEXT);
        Ok(format_type(c.catalog, returns, None).into())
    }),
    // Comments.
    strict("obj_description", (1, 2), TEXT, |c| {
        let class = c.text(1).and_then(|name| class_oid(&name));
        Ok(c.oid(0).and_then(|o| comment(c.catalog, o, class, 0)).into())
    }),
    strict("shobj_description", (2, 2), TEXT, |c| {
        let database = c.catalog.databases.iter().find(|d| Some(d.oid) == c.oid(0));
        let is_database = c.text(1).as_deref() == Some("pg_database");
        Ok(database.filter(|_| is_database).and_then(|d| d.comment.clone()).into())
    }),
    strict("col_description", (2, 2), TEXT, |c| {
        Ok(c.oid(0).and_then(|o| comment(c.catalog, o, Some(1259), c.int(1).unwrap_or(0))).into())
    }),
    // Sizes. A source tells what a table takes there; nothing here has a size of its own.
    strict("pg_relation_size", (1, 2), INT8, size),
    strict("pg_table_size", (1, 1), INT8, size),
    strict("pg_total_relation_size", (1, 1), INT8, size),
    strict("pg_indexes_size", (1, 1), INT8, |_| Ok(0.into())),
    strict("pg_database_size", (1, 1), INT8, |_| Ok(0.into())),
    strict("pg_tablespace_size", (1, 1), INT8, |_| Ok(0.into())),
    strict("pg_size_pretty", (1, 1), TEXT, |c| Ok(c.int(0).map(size_pretty).into())),
    strict("pg_tablespace_location", (1, 1), TEXT, |_| Ok("".into())),
    strict("pg_relation_filenode", (1, 1), Is(oid::OID), |c| Ok(c.arguments[0].clone())),
    strict("pg_filenode_relation", (2, 2), Is(oid::REGCLASS), nothing),
    strict("pg_stat_get_numscans", (1, 1), INT8, |_| Ok(0.into())),
    strict("pg_stat_get_tuples_inserted", (1, 1), INT8, |_| Ok(0.into())),
    strict("pg_stat_get_live_tuples", (1, 1), INT8, |c| {
        let table = c.oid(0).and_then(|o| c.catalog.relation(o)).and_then(|r| r.remote());
        Ok(table.and_then(|t| t.rows_estimate).and_then(|n| i64::try_from(n).ok()).into())
    }),
    strict("pg_stat_get_db_numbackends", (1, 1), INT4, |c| {
        Ok(i64::try_from(c.catalog.scope.gateway.sessions.list().len()).unwrap_or(0).into())
    }),
    strict("age", (1, 2), INT4, |c| match c.type_of(0) {
        oid::XID => Ok(0.into()),
        _ => Err(Error::unsupported("age of a time")),
    }),
    strict("mxid_age", (1, 1), INT4, |_| Ok(0.into())),
    strict("pg_column_is_updatable", (3, 3), BOOL, |_| Ok(false.into())),
    strict("pg_describe_object", (3, 3), TEXT, nothing),
    strict("pg_blocking_pids", (1, 1), Is(1007), |_| Ok(Value::list(vec![]))),
    strict("pg_index_has_property", (2, 2), BOOL, |_| Ok(false.into())),
    strict("pg_indexam_has_property", (2, 2), BOOL, |_| Ok(false.into())),
    strict("pg_index_column_has_property", (3, 3), BOOL, |c| {
        Ok((c.text(2).as_deref() == Some("asc") || c.text(2).as_deref() == Some("orderable")).into())
    }),
    relaxed("now", (0, 0), TIME, |c| Ok(Value::Time(c.catalog.now))),
    relaxed("current_timestamp", (0, 1), TIME, |c| Ok(Value::Time(c.catalog.now))),
    relaxed("transaction_timestamp", (0, 0), TIME, |c| Ok(Value::Time(c.catalog.now))),
    relaxed("statement_timestamp", (0, 0), TIME, |c| Ok(Value::Time(c.catalog.now))),
    relaxed("clock_timestamp", (0, 0), TIME, |_| Ok(Value::Time(catalog::definition::now()))),
];

fn index() -> &'static HashMap<&'static str, &'static Function> {
    static INDEX: OnceLock<HashMap<&'static str, &'static Function>> = OnceLock::new();
    INDEX.get_or_init(|| FUNCTIONS.iter().chain(text_function::FUNCTIONS).map(|f| (f.name, f)).collect())
}

/// A function by its name without schema.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    index().get(name).copied()
}

/// All names.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    index().keys().copied()
}

/// Whether a function says something that only the client catalog knows, so that a query which
/// calls it is meant for it.
pub(crate) fn is_of_catalog(name: &str) -> bool {
    FUNCTIONS.iter().any(|f| f.name == name) && !matches!(name, "now" | "current_timestamp" | "age")
}

fn role(call: &Call<'_>) -> Result<Value> {
    Ok(call.catalog.scope.session.role.as_str().into())
}

fn always(_: &Call<'_>) -> Result<Value> {
    Ok(true.into())
}

fn nothing(_: &Call<'_>) -> Result<Value> {
    Ok(Value::Null)
}

fn client(call: &Call<'_>) -> Option<(String, Option<i64>)> {
    let (host, port) = call.catalog.scope.session.client_addr.rsplit_once(':')?;
    Some((host.trim_matches(['[', ']']).to_owned(), port.parse().ok()))
}

/// The schemas of the search path that exist; with `implicit`, `pg_catalog` before them.
fn schemas(call: &Call<'_>, implicit: bool) -> Vec<String> {
    let skip = usize::from(!implicit);
    call.catalog.path.iter().skip(skip).filter_map(|&o| call.catalog.namespace(o)).map(|n| n.name.clone()).collect()
}

fn current_setting(call: &Call<'_>) -> Result<Value> {
    let name = call.text(0).unwrap_or_default();
    let settings = call.catalog.scope.session.settings.lock();
    match settings.show(&name) {
        Ok((_, value)) => Ok(value.into()),
        Err(_) if call.arguments.get(1).is_some_and(Value::is_true) => Ok(Value::Null),
        Err(error) => Err(error),
    }
}

fn set_config(call: &Call<'_>) -> Result<Value> {
    let (name, value) = (call.text(0).unwrap_or_default(), call.text(1).unwrap_or_default());
    let mut settings = call.catalog.scope.session.settings.lock();
    settings.set(&name, &value, call.arguments.get(2).is_some_and(Value::is_true))?;
    Ok(settings.show(&name)?.1.into())
}

fn cancel_backend(call: &Call<'_>) -> Result<Value> {
    let sessions = call.catalog.scope.gateway.sessions.list();
    let session = sessions.iter().find(|s| Some(i64::from(s.pid)) == call.int(0));
    if let Some(session) = session {
        session.cancel();
    }
    Ok(session.is_some().into())
}

/// When the process began to serve, in microseconds.
fn started_at() -> i64 {
    static AT: OnceLock<i64> = OnceLock::new();
    *AT.get_or_init(catalog::definition::now)
}

fn found(call: &Call<'_>, type_oid: u32) -> Result<Value> {
    let name = call.text(0).unwrap_or_default();
    match object_oid(&name, type_oid, call.catalog) {
        Ok(found) => Ok(found.into()),
        Err(error) if *error.kind() == ErrorKind::NumericRange => Ok(Value::Null),
        Err(error) => Err(error),
    }
}

fn size(call: &Call<'_>) -> Result<Value> {
    let relation = match (&call.arguments[0], call.type_of(0)) {
        (Value::Text(_), from) => cast(call.arguments[0].clone(), from, oid::REGCLASS, -1, call.catalog)?.as_oid(),
        (other, _) => other.as_oid(),
    };
    let Some(relation) = relation.and_then(|o| call.catalog.relation(o)) else { return Ok(Value::Int(0)) };
    let bytes = relation.remote().and_then(|t| t.bytes_estimate);
    Ok(Value::Int(bytes.and_then(|b| i64::try_from(b).ok()).unwrap_or(0)))
}

fn size_pretty(bytes: i64) -> String {
    let mut size = bytes;
    let mut unit = "bytes";
    for next in ["kB", "MB", "GB", "TB", "PB"] {
        if size.abs() < 10 * 1024 {
            break;
        }
        size = (size + 512 * size.signum()) / 1024;
        unit = next;
    }
    format!("{size} {unit}")
}

fn comment(catalog: &Catalog, object: u32, class: Option<u32>, column: i64) -> Option<String> {
    if column > 0 {
        let relation = catalog.relation(object)?;
        let columns = relation.columns(catalog);
        return columns.get(usize::try_from(column - 1).ok()?)?.comment.map(str::to_owned);
    }
    let of_relation = || catalog.relation(object).and_then(|r| r.comment()).map(str::to_owned);
    let of_schema = || catalog.namespace(object).and_then(|n| n.comment.clone());
    match class {
        Some(1259) => of_relation(),
        Some(2615) => of_schema(),
        Some(_) => None,
        None => of_relation().or_else(of_schema),
    }
}

fn key_columns(catalog: &Catalog, index: u32) -> Option<String> {
    let (table, key) = catalog.key(index)?;
    let columns = table.columns(catalog);
    let names =
        key.columns.iter().filter_map(|n| columns.get(usize::try_from(n - 1).ok()?)).map(|c| quote_ident(c.name));
    Some(names.collect::<Vec<_>>().join(", "))
}

fn constraint_definition(catalog: &Catalog, constraint: u32) -> Option<String> {
    let (_, key) = catalog.key(constraint)?;
    let word = if key.is_primary { "PRIMARY KEY" } else { "UNIQUE" };
    Some(format!("{word} ({})", key_columns(catalog, constraint)?))
}

/// The statement that would make an index.
pub(super) fn index_definition(catalog: &Catalog, index: u32) -> Option<String> {
    let (table, key) = catalog.key(index)?;
    let schema = &catalog.namespace(table.namespace)?.name;
    Some(format!(
        "CREATE UNIQUE INDEX {} ON {}.{} USING btree ({})",
        quote_ident(&key.name),
        quote_ident(schema),
        quote_ident(&table.name),
        key_columns(catalog, index)?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_as_postgresql_rounds_them() {
        for (bytes, text) in
            [(0, "0 bytes"), (10_239, "10239 bytes"), (10_240, "10 kB"), (16_384, "16 kB"), (1 << 30, "1024 MB")]
        {
            assert_eq!(size_pretty(bytes), text);
        }
    }

    #[test]
    fn no_function_is_listed_twice() {
        assert_eq!(index().len(), FUNCTIONS.len() + text_function::FUNCTIONS.len());
    }
}
