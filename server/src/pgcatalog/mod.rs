//! The client catalog: `pg_catalog` and `information_schema`, as psql and drivers read them.
//!
//! A query over these alone is answered here: it is bound (`bind`) and run (`run`) over rows
//! that are made from one `snapshot` of definitions and known remote structure. The queries of
//! clients are full of what an analytical engine does not plan (correlated subqueries, arrays of
//! queries, names for numbers, conditions on both sides of a subquery) over few rows, so a small
//! evaluator of exactly that language serves them whole, without a list of known queries.
//! A query that also reads other tables goes to DataFusion, with the same relations and functions.
//!
//! This module knows no wire, opens no connection itself and asks remote sources only through
//! `query::DiscoveryCache`.

pub(crate) mod arrow;
mod bind;
mod bind_expr;
mod bind_from;
mod bind_function;
mod evaluate;
pub(crate) mod function;
mod information;
mod join_order;
pub(crate) mod layout;
pub(crate) mod object;
mod plan;
mod rows;
mod run;
mod server_rows;
pub(crate) mod set_function;
pub(crate) mod snapshot;
#[cfg(test)]
mod tests;
mod text_function;
pub(crate) mod value;

use crate::outcome::OutputColumn;
use crate::pg_types::{oid, pg_type_of};
use crate::query::names::{folded, last_part};
use crate::query::resolve::Scope;
use ::arrow::array::RecordBatch;
use bind::Binder;
use catalog::{Error, Result};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;
use plan::Plan;
use run::Runner;
pub(crate) use snapshot::visible_schemas;
use snapshot::{Catalog, Needs};
use std::ops::ControlFlow;
use std::sync::Arc;
use value::{Row, Value, is_reg, written_type};

/// Whether the client catalog has this relation.
pub(crate) fn has_relation(schema: &str, name: &str) -> bool {
    layout::layout(schema, name).is_some()
}

/// The names of a schema's relations.
pub(crate) fn relation_names(schema: &str) -> impl Iterator<Item = &'static str> {
    layout::layouts().iter().filter(move |l| l.schema == schema).map(|l| l.name)
}

/// A bound query over the client catalog.
pub(crate) struct CatalogQuery {
    plan: Arc<Plan>,
    needs: Needs,
    columns: Vec<OutputColumn>,
    parameter_types: Vec<u32>,
}

impl CatalogQuery {
    /// Binds a query whose relations all are of the client catalog.
    ///
    /// Errors: 0A000 for what this evaluator does not know (the caller then asks DataFusion), and
    /// those of a wrong query.
    pub(crate) fn bind(scope: &Scope, query: &ast::Query, text: &str, types: &[Option<u32>]) -> Result<Self> {
        let sees_information_schema = scope.search_path().iter().any(|s| s == "information_schema");
        let (plan, parameters) = Binder::new(text, sees_information_schema, types).bind(query)?;
        let columns = plan
            .columns
            .iter()
            .map(|column| {
                let field = arrow::field(&column.name, shown_type(column.type_oid));
                let (type_oid, type_modifier) = pg_type_of(&field);
                OutputColumn { name: column.name.clone(), field, type_oid, type_modifier }
            })
            .collect();
        let parameter_types = parameters.into_iter().map(|t| t.unwrap_or(oid::TEXT)).collect();
        Ok(Self { plan: Arc::new(plan), needs: needs(query), columns, parameter_types })
    }

    /// The columns of the result.
    pub(crate) fn columns(&self) -> &[OutputColumn] {
        &self.columns
    }

    /// The types of `$1`, `$2`, ..
    pub(crate) fn parameter_types(&self) -> &[u32] {
        &self.parameter_types
    }

    /// Runs it: loads what it needs, which may ask the client's own source, and answers all rows.
    pub(crate) async fn run(&self, scope: &Scope, parameters: &[ScalarValue]) -> Result<RecordBatch> {
        let parameters: Vec<Value> = parameters.iter().map(arrow::from_scalar).collect();
        let mut needs = self.needs.clone();
        for value in &parameters {
            needs.literals.extend(value::to_text(value, oid::TEXT));
            needs.literals.extend(value.as_list().into_iter().flatten().filter_map(|v| value::to_text(v, oid::TEXT)));
        }
        let catalog = Catalog::load(scope, &needs).await?;
        let plan = self.plan.clone();
        // The evaluator does not pause: it gets a thread that may be kept busy.
        let evaluation = tokio::task::spawn_blocking(move || {
            let rows: Vec<Row> = Runner::new(&catalog, &parameters).run(&plan)?;
            let columns: Vec<(String, u32)> =
                plan.columns.iter().map(|c| (c.name.clone(), shown_type(c.type_oid))).collect();
            arrow::batch(&columns, &rows, &catalog)
        });
        evaluation
            .await
            .map_err(|e| Error::internal("a catalog query failed, which is a bug of the gateway").with_source(e))?
    }
}

fn shown_type(type_oid: u32) -> u32 {
    if type_oid == oid::UNKNOWN { oid::TEXT } else { type_oid }
}

/// Whether a query means the client catalog: it reads it, or it reads nothing and asks for what
/// only the catalog knows.
pub(crate) fn asks_for_catalog(query: &ast::Query) -> bool {
    let mut visitor = Asks::default();
    let _ = ast::Visit::visit(query, &mut visitor);
    visitor.catalog
}

#[derive(Default)]
struct Asks {
    catalog: bool,
}

impl ast::Visitor for Asks {
    type Break = ();
    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        match expr {
            ast::Expr::Function(call) => {
                let name = last_part(&call.name);
                self.catalog |= function::is_of_catalog(&name) || set_function::is_of_catalog(&name);
            }
            ast::Expr::Cast { data_type, .. } => {
                self.catalog |= written_type(&data_type.to_string()).is_some_and(|(t, _)| is_reg(t));
            }
            // The keyword that the parser takes for a column.
            ast::Expr::Identifier(ident) if ident.quote_style.is_none() => {
                self.catalog |= matches!(folded(ident).as_str(), "current_catalog");
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
    fn pre_visit_table_factor(&mut self, factor: &ast::TableFactor) -> ControlFlow<()> {
        let name = match factor {
            // The engine does not number the rows of a function.
            ast::TableFactor::UNNEST { with_ordinality: true, .. }
            | ast::TableFactor::Table { with_ordinality: true, .. }
            | ast::TableFactor::Function { with_ordinality: true, .. } => {
                self.catalog = true;
                return ControlFlow::Continue(());
            }
            ast::TableFactor::Table { name, args: Some(_), .. } | ast::TableFactor::Function { name, .. } => name,
            _ => return ControlFlow::Continue(()),
        };
        let name = last_part(name);
        self.catalog |= set_function::is_of_catalog(&name) || function::is_of_catalog(&name);
        ControlFlow::Continue(())
    }
}

/// Relations of the catalog that say nothing about tables, so that no source must be asked.
const WITHOUT_TABLES: &[&str] = &[
    "pg_type",
    "pg_database",
    "pg_roles",
    "pg_user",
    "pg_authid",
    "pg_auth_members",
    "pg_settings",
    "pg_range",
    "pg_enum",
    "pg_am",
    "pg_proc",
    "pg_language",
    "pg_collation",
    "pg_timezone_names",
    "pg_extension",
    "pg_tablespace",
    "pg_stat_activity",
    "pg_locks",
    "pg_cast",
    "pg_operator",
    "pg_opclass",
    "pg_conversion",
    "pg_shdescription",
    "pg_db_role_setting",
    "pg_available_extensions",
    "pg_ts_config",
    "character_sets",
    "pg_stat_database",
    "information_schema_catalog_name",
    "pg_stat_ssl",
    "pg_replication_slots",
    "pg_event_trigger",
    "pg_shadow",
];

/// Relations that say something about columns, keys or comments.
const WITH_COLUMNS: &[&str] = &[
    "pg_attribute",
    "pg_attrdef",
    "pg_index",
    "pg_indexes",
    "pg_constraint",
    "pg_description",
    "columns",
    "table_constraints",
    "key_column_usage",
    "constraint_column_usage",
    "constraint_table_usage",
];

/// What a query needs to know.
pub(crate) fn needs(query: &ast::Query) -> Needs {
    let mut visitor = NeedsOf::default();
    for name in crate::query::resolve::relations(query) {
        let name = last_part(&name);
        visitor.needs.rows |= !WITHOUT_TABLES.contains(&name.as_str());
        visitor.needs.columns |= WITH_COLUMNS.contains(&name.as_str());
    }
    visitor.needs.relations = visitor.needs.rows;
    let _ = ast::Visit::visit(query, &mut visitor);
    visitor.needs
}

#[derive(Default)]
struct NeedsOf {
    needs: Needs,
}

impl ast::Visitor for NeedsOf {
    type Break = ();
    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        match expr {
            ast::Expr::Function(call) => {
                let name = last_part(&call.name);
                let is_about_tables = matches!(
                    name.as_str(),
                    "to_regclass"
                        | "pg_relation_size"
                        | "pg_table_size"
                        | "pg_total_relation_size"
                        | "pg_table_is_visible"
                        | "obj_description"
                        | "col_description"
                        | "pg_get_indexdef"
                        | "pg_get_constraintdef"
                        | "current_schema"
                        | "current_schemas"
                        | "pg_stat_get_live_tuples"
                );
                self.needs.relations |= is_about_tables;
                self.needs.columns |=
                    matches!(name.as_str(), "col_description" | "pg_get_indexdef" | "pg_get_constraintdef");
            }
            ast::Expr::Cast { data_type, .. } => {
                let to = written_type(&data_type.to_string()).map(|(t, _)| t);
                self.needs.relations |= matches!(to, Some(oid::REGCLASS | oid::REGNAMESPACE));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
    fn pre_visit_value(&mut self, value: &ast::ValueWithSpan) -> ControlFlow<()> {
        match &value.value {
            ast::Value::SingleQuotedString(text)
            | ast::Value::EscapedStringLiteral(text)
            | ast::Value::Number(text, _) => self.needs.literals.push(text.clone()),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
