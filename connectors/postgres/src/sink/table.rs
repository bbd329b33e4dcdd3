//! The sink's side as it is: whether the table exists, its columns with their types resolved, its
//! keys, and what our user may do. Reads the catalogs and changes nothing.

use crate::client::Client;
use crate::encode::ColumnType;
use crate::types::oid_of_type_text;
use catalog::{Result, TableName};
use std::collections::{BTreeMap, HashMap};
use tokio_postgres::types::Oid;

/// A type with its domains unwrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResolvedType {
    /// As `format_type` prints it, with modifiers.
    pub text: String,
    /// The same without modifiers.
    pub bare: String,
    /// The type's own oid (a domain's).
    pub oid: Oid,
    /// The oid below all domains.
    pub base_oid: Oid,
    /// How values look.
    pub column_type: ColumnType,
}

/// One column of an existing table.
#[derive(Debug, Clone)]
pub(crate) struct ExistingColumn {
    /// Name.
    pub name: String,
    /// Type.
    pub resolved: ResolvedType,
    /// NOT NULL, by itself or by its domain.
    pub is_not_null: bool,
    /// Whether the server fills it when it is not given: a default or an identity.
    pub has_default: bool,
    /// GENERATED ALWAYS AS (expression).
    pub is_generated: bool,
    /// GENERATED ALWAYS AS IDENTITY.
    pub is_identity_always: bool,
}

/// A table that is there.
#[derive(Debug, Clone)]
pub(crate) struct ExistingTable {
    /// `pg_class.relkind`.
    pub kind: char,
    /// Columns in order.
    pub columns: Vec<ExistingColumn>,
    /// The columns of every unique index that ON CONFLICT can use, in index order.
    pub unique_keys: Vec<Vec<String>>,
    /// Whether row-level security applies to us.
    pub has_row_security: bool,
    /// Whether user triggers or rules fire on rows that are written.
    pub has_triggers: bool,
    /// INSERT.
    pub can_insert: bool,
    /// SELECT and UPDATE.
    pub can_upsert: bool,
    /// SELECT and DELETE.
    pub can_delete: bool,
}

/// What was found for one target.
#[derive(Debug, Clone)]
pub(crate) struct Inspection {
    /// Our user there.
    pub user: String,
    /// Whether the schema exists.
    pub has_schema: bool,
    /// Whether we may create tables in it (or the schema itself, when it is absent).
    pub can_create: bool,
    /// Whether the schema `tidegate` exists.
    pub has_memory: bool,
    /// Whether we may write the table of positions, or make it.
    pub can_remember: bool,
    /// The table; None when there is none.
    pub table: Option<ExistingTable>,
}

/// Looks at one table.
pub(crate) async fn inspect(client: &Client, name: &TableName) -> Result<Inspection> {
    let doing = format!("look at table {name}");
    let row = client.run(&doing, client.query_one(INSPECT, &[&name.schema, &name.table])).await?;
    let oid: Option<Oid> = row.get("oid");
    let table = match oid {
        None => None,
        Some(oid) => {
            let columns = client.run(&doing, client.query(COLUMNS, &[&oid])).await?;
            let keys = client.run(&doing, client.query(UNIQUE_KEYS, &[&oid])).await?;
            Some(ExistingTable {
                kind: char_of(row.get("kind")),
                columns: columns.iter().map(existing_column).collect(),
                unique_keys: keys.iter().map(|row| row.get("columns")).collect(),
                has_row_security: row.get("has_row_security"),
                has_triggers: row.get("has_triggers"),
                can_insert: row.get("can_insert"),
                can_upsert: row.get("can_upsert"),
                can_delete: row.get("can_delete"),
            })
        }
    };
    Ok(Inspection {
        user: row.get("user"),
        has_schema: row.get("has_schema"),
        can_create: row.get("can_create"),
        has_memory: row.get("has_memory"),
        can_remember: row.get("can_remember"),
        table,
    })
}

/// Resolves types by their text, as the server reads it with `schema` and `public` on the path. A
/// type that does not exist is left out of the answer.
pub(crate) async fn resolve_types(
    client: &Client,
    schema: &str,
    texts: impl IntoIterator<Item = String>,
) -> Result<HashMap<String, ResolvedType>> {
    let mut resolved = HashMap::new();
    // Names are looked up once, and built-in ones not at all.
    let mut asked: BTreeMap<String, String> = BTreeMap::new();
    for text in texts {
        let (bare, modifier) = split_modifier(&text);
        match oid_of_type_text(&text).filter(|_| !text.ends_with("[]")) {
            Some(oid) => {
                let column_type = ColumnType::from_base(oid, numeric_modifier_of(modifier), 'b', None);
                let found = ResolvedType { bare, oid, base_oid: oid, column_type, text: text.clone() };
                resolved.insert(text, found);
            }
            None => {
                let looked_up = match bare.to_ascii_lowercase().as_str() {
                    "smallserial" | "serial2" => "smallint".to_owned(),
                    "serial" | "serial4" => "integer".to_owned(),
                    "bigserial" | "serial8" => "bigint".to_owned(),
                    _ => bare,
                };
                asked.insert(text, looked_up);
            }
        }
    }
    if asked.is_empty() {
        return Ok(resolved);
    }
    let bare: Vec<&str> = asked.values().map(String::as_str).collect();
    let path = format!("{}, public, pg_temp", catalog::name::force_quote_ident(schema));
    let doing = "look up the types of its columns";
    let oids: Vec<Option<Oid>> = client.run(doing, client.query_one(TYPE_OIDS, &[&bare, &path])).await?.get("oids");
    // Names are printed with their schema, as the source prints them.
    client.run(doing, client.query_one(PRINTING_PATH, &[])).await?;
    let rows = client.run(doing, client.query(TYPES, &[&oids])).await?;
    for (row, text) in rows.iter().zip(asked.keys()) {
        let Some(oid) = row.get::<_, Option<Oid>>("oid") else { continue };
        let (_, modifier) = split_modifier(text);
        let printed: String = row.get("type");
        let mut found = resolved_type(row);
        if let ColumnType::Numeric(None) = found.column_type {
            found.column_type = ColumnType::from_base(found.base_oid, numeric_modifier_of(modifier), 'b', None);
        }
        found.oid = oid;
        found.text = with_modifier(&printed, modifier);
        found.bare = printed;
        resolved.insert(text.clone(), found);
    }
    Ok(resolved)
}

fn existing_column(row: &tokio_postgres::Row) -> ExistingColumn {
    ExistingColumn {
        name: row.get("name"),
        resolved: resolved_type(row),
        is_not_null: row.get("is_not_null"),
        has_default: row.get("has_default"),
        is_generated: row.get("is_generated"),
        is_identity_always: row.get("is_identity_always"),
    }
}

fn resolved_type(row: &tokio_postgres::Row) -> ResolvedType {
    let base_oid: Oid = row.get("base_oid");
    let kind = char_of(row.get("base_kind"));
    let element: Option<Oid> = row.get("element_oid");
    ResolvedType {
        text: row.get("type"),
        bare: row.get("bare"),
        oid: row.get::<_, Option<Oid>>("oid").unwrap_or(base_oid),
        base_oid,
        column_type: ColumnType::from_base(base_oid, row.get("base_modifier"), kind, element),
    }
}

fn char_of(text: String) -> char {
    text.chars().next().unwrap_or(' ')
}

/// `timestamp(3) with time zone` as `timestamp with time zone` and `(3)`. Parentheses inside quotes
/// are part of a name.
pub(crate) fn split_modifier(text: &str) -> (String, &str) {
    let mut is_quoted = false;
    let mut open = None;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'(' if !is_quoted && open.is_none() => open = Some(at),
            b')' if !is_quoted => {
                if let Some(open) = open {
                    let before = text[..open].trim_end();
                    return (format!("{before}{}", &text[at + 1..]), &text[open..=at]);
                }
            }
            _ => {}
        }
    }
    (text.to_owned(), "")
}

/// Puts a modifier where `format_type` prints it.
fn with_modifier(bare: &str, modifier: &str) -> String {
    if modifier.is_empty() {
        return bare.to_owned();
    }
    let mut modifier: String = modifier.chars().filter(|c| !c.is_whitespace()).collect();
    if bare.starts_with("numeric") && !modifier.contains(',') {
        modifier.insert_str(modifier.len() - 1, ",0");
    }
    let (element, array) = match bare.strip_suffix("[]") {
        Some(element) => (element, "[]"),
        None => (bare, ""),
    };
    match element.find(" with") {
        Some(at) if element.starts_with("time") => format!("{}{modifier}{}{array}", &element[..at], &element[at..]),
        _ => format!("{element}{modifier}{array}"),
    }
}

/// The numbers in `(10,2)`.
pub(crate) fn modifier_numbers(modifier: &str) -> Vec<i32> {
    modifier.trim_matches(['(', ')']).split(',').filter_map(|number| number.trim().parse().ok()).collect()
}

fn numeric_modifier_of(modifier: &str) -> i32 {
    match modifier_numbers(modifier).as_slice() {
        [precision] => crate::types::numeric_typmod(*precision, 0),
        [precision, scale] => crate::types::numeric_typmod(*precision, *scale),
        _ => -1,
    }
}

const INSPECT: &str = "
select current_user::text as \"user\", n.oid is not null as has_schema,
  case when n.oid is null then has_database_privilege(current_database(), 'CREATE')
       else has_schema_privilege(n.oid, 'CREATE') end as can_create,
  m.oid is not null as has_memory,
  case when m.oid is null then has_database_privilege(current_database(), 'CREATE')
       when p.oid is null then has_schema_privilege(m.oid, 'USAGE') and has_schema_privilege(m.oid, 'CREATE')
       else has_schema_privilege(m.oid, 'USAGE') and has_table_privilege(p.oid, 'SELECT')
         and has_table_privilege(p.oid, 'INSERT') and has_table_privilege(p.oid, 'UPDATE') end as can_remember,
  c.oid, c.relkind::text as kind,
  coalesce(row_security_active(c.oid), false) as has_row_security,
  coalesce(c.relhasrules or exists (select from pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal
    and t.tgenabled <> 'D'), false) as has_triggers,
  coalesce(has_table_privilege(c.oid, 'INSERT') and has_schema_privilege(n.oid, 'USAGE'), false) as can_insert,
  coalesce(has_table_privilege(c.oid, 'SELECT') and has_table_privilege(c.oid, 'UPDATE'), false) as can_upsert,
  coalesce(has_table_privilege(c.oid, 'SELECT') and has_table_privilege(c.oid, 'DELETE'), false) as can_delete
from (values ($1::text, $2::text)) as wanted(schema_name, table_name)
left join pg_namespace n on n.nspname = wanted.schema_name
left join pg_class c on c.relnamespace = n.oid and c.relname = wanted.table_name
  and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c')
left join pg_namespace m on m.nspname = 'tidegate'
left join pg_class p on p.relnamespace = m.oid and p.relname = 'sink_positions'";

/// Unwraps the domains of `t.oid` with the modifier `t.modifier`.
macro_rules! base_type {
    () => {
        "cross join lateral (
  with recursive step as (
    select y.oid, y.typtype, y.typbasetype, y.typelem, y.typcategory, t.modifier, y.typtypmod, y.typnotnull as is_not_null
    from pg_type y where y.oid = t.oid
    union all
    select y.oid, y.typtype, y.typbasetype, y.typelem, y.typcategory,
      case when step.typtypmod >= 0 then step.typtypmod else step.modifier end, y.typtypmod,
      step.is_not_null or y.typnotnull
    from step join pg_type y on y.oid = step.typbasetype where step.typtype = 'd')
  select step.oid as base_oid, step.typtype::text as base_kind, step.modifier as base_modifier, step.is_not_null,
    case when step.typcategory = 'A' and step.typelem <> 0 then step.typelem end as element_oid
  from step where step.typtype <> 'd') as base"
    };
}

const COLUMNS: &str = concat!(
    "
select a.attname::text as name, t.oid, format_type(t.oid, t.modifier) as type, format_type(t.oid, null) as bare,
  base.base_oid, base.base_kind, base.base_modifier, base.element_oid,
  a.attnotnull or base.is_not_null as is_not_null,
  (a.atthasdef and a.attgenerated = '') or a.attidentity <> '' or y.typdefault is not null as has_default,
  a.attgenerated <> '' as is_generated, a.attidentity = 'a' as is_identity_always
from pg_attribute a
cross join lateral (select a.atttypid as oid, a.atttypmod as modifier) as t
join pg_type y on y.oid = a.atttypid
",
    base_type!(),
    "
where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
order by a.attnum"
);

/// The path is set for this statement alone (for the rest of the transaction, inside one).
const TYPE_OIDS: &str = "
select array_agg(to_regtype(wanted.type_name || left(path.set_config, 0))::oid order by wanted.place) as oids
from (select set_config('search_path', $2, true)) as path
cross join lateral unnest($1::text[]) with ordinality as wanted(type_name, place)";

const PRINTING_PATH: &str = "select set_config('search_path', 'pg_catalog, pg_temp', true)";

const TYPES: &str = concat!(
    "
select t.oid, format_type(t.oid, null) as type, format_type(t.oid, null) as bare,
  coalesce(base.base_oid, 0::oid) as base_oid, coalesce(base.base_kind, '') as base_kind,
  coalesce(base.base_modifier, -1) as base_modifier, base.element_oid
from unnest($1::oid[]) with ordinality as wanted(oid, place)
left join lateral (select base.*
  from (select wanted.oid, -1 as modifier) as t ",
    base_type!(),
    ") as base on true
cross join lateral (select wanted.oid) as t
order by wanted.place"
);

const UNIQUE_KEYS: &str = "
select array_agg(a.attname::text order by k.place) as columns
from pg_index i
cross join lateral unnest(i.indkey::int2[]) with ordinality as k(attnum, place)
join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
where i.indrelid = $1 and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null
  and i.indexprs is null and k.place <= i.indnkeyatts
group by i.indexrelid, i.indisprimary
order by i.indisprimary desc, i.indexrelid";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_are_taken_out_and_put_back() {
        for (text, bare, modifier) in [
            ("numeric(10,2)", "numeric", "(10,2)"),
            ("timestamp(3) with time zone", "timestamp with time zone", "(3)"),
            ("character varying(5)[]", "character varying[]", "(5)"),
            ("public.\"a(b)\"", "public.\"a(b)\"", ""),
            ("integer", "integer", ""),
        ] {
            assert_eq!(split_modifier(text), (bare.to_owned(), modifier), "{text}");
            assert_eq!(with_modifier(bare, modifier), text);
        }
        assert_eq!(with_modifier("numeric", "(10)"), "numeric(10,0)");
    }
}
