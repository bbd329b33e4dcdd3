//! Functions that give rows.

use super::function::Call;
use super::text_function::regex;
use super::value::{Row, Value, element_of};
use crate::pg_types::oid;
use catalog::{Error, ErrorKind, Result};

/// Rows that one call gives at most.
const ROWS_MAX: i64 = 1_000_000;

/// The names and types of a function's columns, from the types of its arguments.
type Columns = fn(&[u32]) -> Vec<(&'static str, u32)>;

/// One function. With one column it gives values, with several it gives records.
pub(crate) struct SetFunction {
    pub name: &'static str,
    pub arguments: (usize, usize),
    pub columns: Columns,
    pub call: fn(&Call<'_>) -> Result<Vec<Row>>,
}

const FUNCTIONS: &[SetFunction] = &[
    SetFunction {
        name: "generate_series",
        arguments: (2, 3),
        columns: |types| {
            let wide = types.contains(&oid::INT8);
            vec![("generate_series", if wide { oid::INT8 } else { oid::INT4 })]
        },
        call: generate_series,
    },
    SetFunction {
        name: "generate_subscripts",
        arguments: (2, 3),
        columns: |_| vec![("generate_subscripts", oid::INT4)],
        call: |c| {
            let count = c.list(0).map_or(0, <[Value]>::len) as i64;
            let first = i64::from(!is_vector(c.type_of(0)));
            let numbers = (0..count).map(|i| vec![Value::Int(i + first)]);
            Ok(if c.int(1) == Some(1) { numbers.collect() } else { vec![] })
        },
    },
    SetFunction {
        name: "unnest",
        arguments: (1, 1),
        columns: |types| vec![("unnest", types.first().and_then(|t| element_of(*t)).unwrap_or(oid::TEXT))],
        call: |c| Ok(c.list(0).unwrap_or(&[]).iter().map(|v| vec![v.clone()]).collect()),
    },
    SetFunction {
        name: "_pg_expandarray",
        arguments: (1, 1),
        columns: |types| vec![("x", types.first().and_then(|t| element_of(*t)).unwrap_or(oid::INT2)), ("n", oid::INT4)],
        call: |c| {
            let list = c.list(0).unwrap_or(&[]);
            Ok(list.iter().enumerate().map(|(i, v)| vec![v.clone(), Value::Int(i as i64 + 1)]).collect())
        },
    },
    SetFunction {
        name: "regexp_split_to_table",
        arguments: (2, 3),
        columns: |_| vec![("regexp_split_to_table", oid::TEXT)],
        call: |c| {
            let (Some(text), Some(pattern)) = (c.text(0), c.text(1)) else { return Ok(vec![]) };
            let pattern = regex(&pattern, c.text(2).is_some_and(|f| f.contains('i')))?;
            Ok(pattern.split(&text).map(|part| vec![part.into()]).collect())
        },
    },
    SetFunction {
        name: "string_to_table",
        arguments: (2, 3),
        columns: |_| vec![("string_to_table", oid::TEXT)],
        call: |c| {
            let (Some(text), Some(separator)) = (c.text(0), c.text(1)) else { return Ok(vec![]) };
            Ok(text.split(separator.as_str()).map(|part| vec![part.into()]).collect())
        },
    },
    SetFunction {
        name: "pg_get_keywords",
        arguments: (0, 0),
        columns: |_| {
            vec![
                ("word", oid::TEXT),
                ("catcode", oid::CHAR),
                ("barelabel", oid::BOOL),
                ("catdesc", oid::TEXT),
                ("baredesc", oid::TEXT),
            ]
        },
        call: |_| Ok(keywords()),
    },
    SetFunction {
        name: "pg_timezone_names",
        arguments: (0, 0),
        columns: |_| {
            vec![("name", oid::TEXT), ("abbrev", oid::TEXT), ("utc_offset", oid::INTERVAL), ("is_dst", oid::BOOL)]
        },
        call: |c| {
            let Some(layout) = super::layout::layout("pg_catalog", "pg_timezone_names") else { return Ok(vec![]) };
            Ok(c.catalog.table(layout).rows.iter().map(|row| row.iter().take(4).cloned().collect()).collect())
        },
    },
    SetFunction {
        name: "pg_options_to_table",
        arguments: (1, 1),
        columns: |_| vec![("option_name", oid::TEXT), ("option_value", oid::TEXT)],
        call: |c| {
            let options = c.list(0).unwrap_or(&[]).iter().filter_map(Value::as_str);
            Ok(options
                .map(|option| match option.split_once('=') {
                    Some((name, value)) => vec![name.into(), value.into()],
                    None => vec![option.into(), Value::Null],
                })
                .collect())
        },
    },
    SetFunction {
        name: "aclexplode",
        arguments: (1, 1),
        columns: |_| {
            vec![
                ("grantor", oid::OID),
                ("grantee", oid::OID),
                ("privilege_type", oid::TEXT),
                ("is_grantable", oid::BOOL),
            ]
        },
        call: |_| Ok(vec![]),
    },
    SetFunction {
        name: "pg_lock_status",
        arguments: (0, 0),
        columns: |_| vec![("locktype", oid::TEXT), ("pid", oid::INT4)],
        call: |_| Ok(vec![]),
    },
    SetFunction {
        name: "pg_partition_ancestors",
        arguments: (1, 1),
        columns: |_| vec![("relid", oid::REGCLASS)],
        call: |c| Ok(if c.arguments[0].is_null() { vec![] } else { vec![vec![c.arguments[0].clone()]] }),
    },
    SetFunction {
        name: "pg_partition_tree",
        arguments: (1, 1),
        columns: |_| {
            vec![("relid", oid::REGCLASS), ("parentrelid", oid::REGCLASS), ("isleaf", oid::BOOL), ("level", oid::INT4)]
        },
        call: |_| Ok(vec![]),
    },
    SetFunction {
        name: "pg_identify_object",
        arguments: (3, 3),
        columns: |_| vec![("type", oid::TEXT), ("schema", oid::TEXT), ("name", oid::TEXT), ("identity", oid::TEXT)],
        call: |c| {
            let relation = c.oid(1).and_then(|o| c.catalog.relation(o));
            let schema = relation.and_then(|r| c.catalog.namespace(r.namespace)).map(|n| n.name.as_str());
            let name = relation.map(|r| r.name.as_str());
            Ok(vec![vec!["table".into(), schema.into(), name.into(), name.into()]])
        },
    },
];

/// A set-returning function by its name without schema.
pub(crate) fn find(name: &str) -> Option<&'static SetFunction> {
    FUNCTIONS.iter().find(|f| f.name == name)
}

/// Whether only the client catalog has this function.
pub(crate) fn is_of_catalog(name: &str) -> bool {
    find(name).is_some() && !matches!(name, "generate_series" | "unnest")
}

fn is_vector(type_oid: u32) -> bool {
    matches!(type_oid, oid::INT2VECTOR | oid::OIDVECTOR)
}

fn generate_series(call: &Call<'_>) -> Result<Vec<Row>> {
    let (Some(from), Some(to)) = (call.int(0), call.int(1)) else { return Ok(vec![]) };
    let step = match call.arguments.get(2) {
        Some(step) => match step.as_int() {
            Some(0) => return Err(Error::new(ErrorKind::InvalidValue, "step size cannot equal zero")),
            Some(step) => step,
            None => return Ok(vec![]),
        },
        None => 1,
    };
    let mut rows = vec![];
    let mut at = from;
    while if step > 0 { at <= to } else { at >= to } {
        if rows.len() as i64 >= ROWS_MAX {
            return Err(Error::new(ErrorKind::TooComplex, "generate_series gives too many rows for a catalog query"));
        }
        rows.push(vec![Value::Int(at)]);
        at = match at.checked_add(step) {
            Some(next) => next,
            None => break,
        };
    }
    Ok(rows)
}

/// Words that clients must quote: PostgreSQL's reserved ones.
fn keywords() -> Vec<Row> {
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
        "both",
        "case",
        "cast",
        "check",
        "collate",
        "column",
        "constraint",
        "create",
        "current_catalog",
        "current_date",
        "current_role",
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
        "from",
        "grant",
        "group",
        "having",
        "in",
        "initially",
        "intersect",
        "into",
        "lateral",
        "leading",
        "limit",
        "localtime",
        "localtimestamp",
        "not",
        "null",
        "offset",
        "on",
        "only",
        "or",
        "order",
        "placing",
        "primary",
        "references",
        "returning",
        "select",
        "session_user",
        "some",
        "symmetric",
        "system_user",
        "table",
        "then",
        "to",
        "trailing",
        "true",
        "union",
        "unique",
        "user",
        "using",
        "variadic",
        "when",
        "where",
        "window",
        "with",
    ];
    RESERVED
        .iter()
        .map(|w| vec![(*w).into(), "R".into(), true.into(), "reserved".into(), "can be bare label".into()])
        .collect()
}
