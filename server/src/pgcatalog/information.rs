//! The rows of `information_schema`. A view that is not listed here is empty, with all its columns.

use super::layout::{Layout, type_of};
use super::rows::Rows;
use super::snapshot::{Catalog, Columns, Relation};
use super::value::{Row, Value, element_of};
use crate::pg_types::{oid, type_name};

pub(super) fn rows(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    match layout.name {
        "information_schema_catalog_name" => {
            let mut rows = Rows::new(layout, &["catalog_name"]);
            rows.push([database(catalog)]);
            rows.finish()
        }
        "schemata" => schemata(catalog, layout),
        "tables" => tables(catalog, layout),
        "columns" => columns(catalog, layout),
        "views" => views(catalog, layout),
        "table_constraints" => table_constraints(catalog, layout),
        "key_column_usage" | "constraint_column_usage" => key_columns(catalog, layout),
        "constraint_table_usage" => constrained_tables(catalog, layout),
        "table_privileges" | "role_table_grants" => table_privileges(catalog, layout),
        "enabled_roles" => {
            let mut rows = Rows::new(layout, &["role_name"]);
            for role in &catalog.roles {
                rows.push([role.name.as_str().into()]);
            }
            rows.finish()
        }
        "character_sets" => {
            let mut rows = Rows::new(
                layout,
                &["character_set_name", "character_repertoire", "form_of_use", "default_collate_catalog"],
            );
            rows.push(["UTF8".into(), "UCS".into(), "UTF8".into(), database(catalog)]);
            rows.finish()
        }
        "collations" => {
            let mut rows =
                Rows::new(layout, &["collation_catalog", "collation_schema", "collation_name", "pad_attribute"]);
            for name in ["C", "POSIX"] {
                rows.push([database(catalog), "pg_catalog".into(), name.into(), "NO PAD".into()]);
            }
            rows.finish()
        }
        _ => vec![],
    }
}

fn database(catalog: &Catalog) -> Value {
    catalog.scope.database().into()
}

fn yes(value: bool) -> Value {
    if value { "YES".into() } else { "NO".into() }
}

fn schema(catalog: &Catalog, relation: &Relation) -> Value {
    catalog.namespace(relation.namespace).map(|n| n.name.as_str()).into()
}

fn schemata(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(layout, &["catalog_name", "schema_name", "schema_owner"]);
    for namespace in &catalog.namespaces {
        let owner = catalog.role(namespace.owner).map(|r| r.name.as_str());
        rows.push([database(catalog), namespace.name.as_str().into(), owner.into()]);
    }
    rows.finish()
}

fn tables(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(
        layout,
        &["table_catalog", "table_schema", "table_name", "table_type", "is_insertable_into", "is_typed"],
    );
    for relation in &catalog.relations {
        let kind = match relation.kind {
            'r' | 'p' => "BASE TABLE",
            'v' => "VIEW",
            'f' => "FOREIGN",
            // Materialized views are not in the standard, and PostgreSQL leaves them out.
            _ => continue,
        };
        rows.push([
            database(catalog),
            schema(catalog, relation),
            relation.name.as_str().into(),
            kind.into(),
            yes(false),
            yes(false),
        ]);
    }
    rows.finish()
}

fn columns(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(
        layout,
        &[
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "ordinal_position",
            "column_default",
            "is_nullable",
            "data_type",
            "character_maximum_length",
            "character_octet_length",
            "numeric_precision",
            "numeric_precision_radix",
            "numeric_scale",
            "datetime_precision",
            "udt_catalog",
            "udt_schema",
            "udt_name",
            "dtd_identifier",
            "is_self_referencing",
            "is_identity",
            "is_generated",
            "is_updatable",
        ],
    );
    for relation in catalog.relations.iter().filter(|r| matches!(r.kind, 'r' | 'p' | 'v' | 'f')) {
        let (schema, name) = (schema(catalog, relation), Value::from(relation.name.as_str()));
        for (index, column) in relation.columns(catalog).iter().enumerate() {
            let modifier = column.type_modifier;
            let internal = type_of(column.type_oid).map(|t| t.name);
            let foreign =
                catalog.foreign_types.iter().find(|(oid, _)| *oid == column.type_oid).map(|(_, name)| name.as_str());
            let data_type = match (element_of(column.type_oid), foreign) {
                (Some(_), _) => "ARRAY".to_owned(),
                (None, Some(_)) => "USER-DEFINED".to_owned(),
                (None, None) => {
                    type_name(column.type_oid).or(internal.map(str::to_owned)).unwrap_or_else(|| "text".to_owned())
                }
            };
            let length: Option<i64> = match column.type_oid {
                oid::VARCHAR | oid::BPCHAR if modifier > 4 => Some(i64::from(modifier) - 4),
                _ => None,
            };
            let (precision, radix, scale): (Option<i64>, Option<i64>, Option<i64>) = match column.type_oid {
                oid::INT2 => (Some(16), Some(2), Some(0)),
                oid::INT4 => (Some(32), Some(2), Some(0)),
                oid::INT8 => (Some(64), Some(2), Some(0)),
                oid::FLOAT4 => (Some(24), Some(2), None),
                oid::FLOAT8 => (Some(53), Some(2), None),
                oid::NUMERIC if modifier >= 4 => {
                    let packed = i64::from(modifier) - 4;
                    (Some(packed >> 16 & 0xffff), Some(10), Some(packed & 0x7ff))
                }
                oid::NUMERIC => (None, Some(10), None),
                _ => (None, None, None),
            };
            let time_precision: Option<i64> = match column.type_oid {
                oid::DATE => Some(0),
                oid::TIME | oid::TIMETZ | oid::TIMESTAMP | oid::TIMESTAMPTZ | oid::INTERVAL => {
                    Some(if modifier >= 0 { modifier.into() } else { 6 })
                }
                _ => None,
            };
            rows.push([
                database(catalog),
                schema.clone(),
                name.clone(),
                column.name.into(),
                Value::Int(index as i64 + 1),
                column.default.filter(|_| !column.is_generated).into(),
                yes(!column.is_not_null),
                data_type.into(),
                length.into(),
                match column.type_oid {
                    oid::VARCHAR | oid::BPCHAR | oid::TEXT => Value::Int(length.map_or(1_073_741_824, |n| n * 4)),
                    _ => Value::Null,
                },
                precision.into(),
                radix.into(),
                scale.into(),
                time_precision.into(),
                database(catalog),
                "pg_catalog".into(),
                internal.or(foreign).into(),
                (index + 1).to_string().into(),
                yes(false),
                yes(false),
                if column.is_generated { "ALWAYS".into() } else { "NEVER".into() },
                yes(false),
            ]);
        }
    }
    rows.finish()
}

fn views(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(
        layout,
        &[
            "table_catalog",
            "table_schema",
            "table_name",
            "check_option",
            "is_updatable",
            "is_insertable_into",
            "is_trigger_updatable",
            "is_trigger_deletable",
            "is_trigger_insertable_into",
        ],
    );
    for relation in catalog.relations.iter().filter(|r| r.kind == 'v') {
        rows.push([
            database(catalog),
            schema(catalog, relation),
            relation.name.as_str().into(),
            "NONE".into(),
            yes(false),
            yes(false),
            yes(false),
            yes(false),
            yes(false),
        ]);
    }
    rows.finish()
}

fn table_constraints(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(
        layout,
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "constraint_type",
            "is_deferrable",
            "initially_deferred",
            "enforced",
            "nulls_distinct",
        ],
    );
    for relation in &catalog.relations {
        for key in &relation.keys {
            rows.push([
                database(catalog),
                schema(catalog, relation),
                key.name.as_str().into(),
                database(catalog),
                schema(catalog, relation),
                relation.name.as_str().into(),
                if key.is_primary { "PRIMARY KEY".into() } else { "UNIQUE".into() },
                yes(false),
                yes(false),
                yes(true),
                if key.is_primary { Value::Null } else { yes(true) },
            ]);
        }
    }
    rows.finish()
}

fn key_columns(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    let with_position = layout.name == "key_column_usage";
    let common = [
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
        "table_catalog",
        "table_schema",
        "table_name",
        "column_name",
    ];
    let mut rows = Rows::new(layout, &common);
    let position = layout.columns.iter().position(|c| c.name == "ordinal_position");
    let mut positions = vec![];
    for relation in &catalog.relations {
        let columns = relation.columns(catalog);
        for key in &relation.keys {
            for (index, number) in key.columns.iter().enumerate() {
                let column = usize::try_from(number - 1).ok().and_then(|i| columns.get(i));
                rows.push([
                    database(catalog),
                    schema(catalog, relation),
                    key.name.as_str().into(),
                    database(catalog),
                    schema(catalog, relation),
                    relation.name.as_str().into(),
                    column.map(|c| c.name).into(),
                ]);
                positions.push(index as i64 + 1);
            }
        }
    }
    let mut rows = rows.finish();
    if let (true, Some(place)) = (with_position, position) {
        for (row, position) in rows.iter_mut().zip(positions) {
            row[place] = Value::Int(position);
        }
    }
    rows
}

fn constrained_tables(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(
        layout,
        &["table_catalog", "table_schema", "table_name", "constraint_catalog", "constraint_schema", "constraint_name"],
    );
    for relation in &catalog.relations {
        for key in &relation.keys {
            rows.push([
                database(catalog),
                schema(catalog, relation),
                relation.name.as_str().into(),
                database(catalog),
                schema(catalog, relation),
                key.name.as_str().into(),
            ]);
        }
    }
    rows.finish()
}

fn table_privileges(catalog: &Catalog, layout: &Layout) -> Vec<Row> {
    let mut rows = Rows::new(
        layout,
        &[
            "grantor",
            "grantee",
            "table_catalog",
            "table_schema",
            "table_name",
            "privilege_type",
            "is_grantable",
            "with_hierarchy",
        ],
    );
    let role = Value::from(catalog.scope.session.role.as_str());
    for relation in catalog.relations.iter().filter(|r| !matches!(r.columns, Columns::Layout(_))) {
        rows.push([
            role.clone(),
            role.clone(),
            database(catalog),
            schema(catalog, relation),
            relation.name.as_str().into(),
            "SELECT".into(),
            yes(false),
            yes(true),
        ]);
    }
    rows.finish()
}
