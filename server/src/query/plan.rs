//! From a query's AST to something that runs: the client catalog answers what is its own, DataFusion
//! plans the rest.

use super::context::{Context, has_function, is_only_window, parser_options, state, time_zone};
use super::error::{map_error, map_error_in, position};
use super::names::{OutputNames, last_part, name_outputs};
use super::resolve::{Scope, Target, relations};
use super::rewrite::{rewrite, spell_columns};
use super::source_tables::tables;
use super::written_type::parameter_field;
use crate::outcome::OutputColumn;
use crate::pg_types::{oid, pg_type_of};
use crate::pgcatalog::value::{is_reg, written_type};
use crate::pgcatalog::{CatalogQuery, asks_for_catalog, function, needs, snapshot::Catalog};
use catalog::{Error, ErrorKind, Result};
use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::{DataFusionError, ScalarValue, SchemaError, TableReference};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, TableSource};
use datafusion::sql::planner::{PlannerContext, SqlToRel, object_name_to_table_reference};
use datafusion::sql::sqlparser::ast;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Column names whose case is put right in one statement at most.
const SPELLINGS_MAX: usize = 100;

/// A query with what its spans and parameters refer to.
pub(super) struct Statement {
    pub query: ast::Query,
    pub text: String,
    /// The types of `$1`, .. as far as they are known.
    pub types: Vec<Option<u32>>,
}

/// A query that is ready to run once.
pub(super) enum Planned {
    Catalog(Box<CatalogQuery>),
    Engine(Box<Engine>),
}

/// A query that DataFusion runs.
pub(super) struct Engine {
    pub plan: LogicalPlan,
    pub state: SessionState,
    pub columns: Vec<OutputColumn>,
    pub parameter_types: Vec<u32>,
    pub fields: Vec<Option<FieldRef>>,
    /// Whether rows or functions of the client catalog are in the plan.
    pub uses_catalog: bool,
    text: String,
}

impl Engine {
    /// The plan with values for its parameters, which get the types that the client was told.
    pub(super) fn with_parameters(&self, parameters: &[ScalarValue]) -> Result<LogicalPlan> {
        if self.parameter_types.is_empty() {
            return Ok(self.plan.clone());
        }
        if parameters.len() != self.parameter_types.len() {
            return Err(Error::new(
                ErrorKind::ProtocolViolation,
                format!("{} parameters were given, the statement has {}", parameters.len(), self.parameter_types.len()),
            ));
        }
        let mut values = vec![];
        for (value, field) in parameters.iter().zip(&self.fields) {
            values.push(match field {
                Some(field) if value.data_type() != *field.data_type() => {
                    value.cast_to(field.data_type()).map_err(map_error)?
                }
                _ => value.clone(),
            });
        }
        self.plan.clone().with_param_values(values).map_err(|e| map_error_in(e, &self.text))
    }
}

impl Planned {
    pub(super) fn columns(&self) -> &[OutputColumn] {
        match self {
            Self::Catalog(query) => query.columns(),
            Self::Engine(engine) => &engine.columns,
        }
    }
    pub(super) fn parameter_types(&self) -> &[u32] {
        match self {
            Self::Catalog(query) => query.parameter_types(),
            Self::Engine(engine) => &engine.parameter_types,
        }
    }
}

impl Statement {
    /// Plans the query. With `describes` it is only looked at: no more is loaded than its columns
    /// and parameters need.
    pub(super) async fn plan(&self, scope: &Scope, describes: bool) -> Result<Planned> {
        let mut targets = vec![];
        for name in relations(&self.query) {
            let target = scope.resolve(&name, &self.text).await?;
            let reference = object_name_to_table_reference(name, true).map_err(map_error)?;
            targets.push((reference, target));
        }
        let reads_catalog = targets.iter().any(|(_, t)| matches!(t, Target::Catalog { .. }));
        let reads_others = targets.iter().any(|(_, t)| !matches!(t, Target::Catalog { .. }));
        if !reads_others && (reads_catalog || asks_for_catalog(&self.query)) {
            match CatalogQuery::bind(scope, &self.query, &self.text, &self.types) {
                Ok(query) => return Ok(Planned::Catalog(Box::new(query))),
                Err(error) if *error.kind() == ErrorKind::Unsupported => {
                    tracing::debug!(%error, "a query over the client catalog goes to the engine");
                }
                Err(error) => return Err(error),
            }
        }
        let state = state(&scope.gateway, &scope.session)?;
        let mut query = self.query.clone();
        let names = name_outputs(&mut query);
        rewrite(&mut query);
        let calls = calls(&query);
        let calls_catalog = calls.iter().any(|c| !has_function(&state, &c.name) && function::find(&c.name).is_some());
        let catalog = if reads_catalog || calls_catalog {
            let mut needs = needs(&self.query);
            if describes {
                // The columns of catalog relations are always the same.
                (needs.relations, needs.columns) = (false, false);
            }
            Some(Catalog::load(scope, &needs).await?)
        } else {
            None
        };
        check_functions(&state, &calls, &self.text)?;
        let tables = tables(scope, targets, catalog.as_ref()).await?;
        self.engine(scope, query, &names, state, tables, catalog).map(|engine| Planned::Engine(Box::new(engine)))
    }

    fn engine(
        &self,
        scope: &Scope,
        mut query: ast::Query,
        names: &OutputNames,
        state: SessionState,
        tables: HashMap<TableReference, Arc<dyn TableSource>>,
        catalog: Option<Arc<Catalog>>,
    ) -> Result<Engine> {
        let zone = time_zone(&scope.session);
        let uses_catalog = catalog.is_some();
        let context = Context::new(&state, tables, catalog, zone.clone());
        let planner = SqlToRel::new_with_options(&context, parser_options());
        let count = highest_parameter(&self.query).max(self.types.len());
        let mut types: Vec<Option<u32>> = self.types.clone();
        types.resize(count, None);
        for (index, cast_to) in cast_parameters(&self.query) {
            if let Some(place) = types.get_mut(index)
                && place.is_none_or(|t| t == 0 || t == oid::UNKNOWN)
            {
                *place = Some(cast_to);
            }
        }
        let mut fields: Vec<Option<FieldRef>> =
            types.iter().map(|t| t.and_then(|t| parameter_field(t, &zone))).collect();
        let mut spelling: HashMap<String, String> = HashMap::new();
        let mut guesses = true;
        let plan = loop {
            let mut planner_context = PlannerContext::new().with_prepare_param_data_types(fields.clone());
            let statement = ast::Statement::Query(Box::new(query.clone()));
            match planner.sql_statement_to_plan_with_context(statement, &mut planner_context) {
                Ok(plan) => {
                    if guesses && fields.iter().any(Option::is_none) {
                        // Parameters get the types that the query gives them, and text otherwise.
                        guesses = false;
                        let inferred = plan.get_parameter_fields().map_err(map_error)?;
                        for (index, field) in fields.iter_mut().enumerate() {
                            if field.is_none() {
                                *field = inferred
                                    .get(&format!("${}", index + 1))
                                    .cloned()
                                    .flatten()
                                    .or_else(|| parameter_field(oid::TEXT, &zone));
                            }
                        }
                        continue;
                    }
                    break plan;
                }
                Err(error) => match other_spelling(&error) {
                    Some((written, exact)) if spelling.len() < SPELLINGS_MAX && !spelling.contains_key(&written) => {
                        spelling.insert(written, exact);
                        spell_columns(&mut query, &spelling);
                    }
                    _ => return Err(map_error_in(error, &self.text)),
                },
            }
        };
        let analyzed = state.analyzer().execute_and_check(plan.clone(), state.config_options(), |_, _| {});
        let analyzed = analyzed.map_err(|e| map_error_in(e, &self.text))?;
        let columns = columns(&analyzed, names);
        let parameter_types = fields
            .iter()
            .zip(&types)
            .map(|(field, declared)| match (declared, field) {
                (Some(declared), _) if *declared != 0 && *declared != oid::UNKNOWN => *declared,
                (_, Some(field)) => pg_type_of(field).0,
                _ => oid::TEXT,
            })
            .collect();
        drop(context);
        Ok(Engine { plan, state, columns, parameter_types, fields, uses_catalog, text: self.text.clone() })
    }
}

fn columns(plan: &LogicalPlan, names: &OutputNames) -> Vec<OutputColumn> {
    plan.schema()
        .fields()
        .iter()
        .map(|field| {
            let name = names.public(field.name()).to_owned();
            let (type_oid, type_modifier) = pg_type_of(field);
            OutputColumn { field: field.as_ref().clone().with_name(&name), name, type_oid, type_modifier }
        })
        .collect()
}

/// A column that is not there as written (and so folded) but under one name in another case.
fn other_spelling(error: &DataFusionError) -> Option<(String, String)> {
    let root = match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => return other_spelling(inner),
        DataFusionError::Collection(all) => return all.first().and_then(other_spelling),
        DataFusionError::SchemaError(inner, _) => inner,
        _ => return None,
    };
    let SchemaError::FieldNotFound { field, valid_fields } = root.as_ref() else { return None };
    if field.name.chars().any(char::is_uppercase) {
        return None;
    }
    let alike: HashSet<&str> =
        valid_fields.iter().map(|c| c.name.as_str()).filter(|name| name.to_lowercase() == field.name).collect();
    let mut alike = alike.into_iter();
    match (alike.next(), alike.next()) {
        (Some(exact), None) if exact != field.name => Some((field.name.clone(), exact.to_owned())),
        _ => None,
    }
}

/// Parameters (from 0) that are cast, and to what: that is their type, as in PostgreSQL.
fn cast_parameters(query: &ast::Query) -> Vec<(usize, u32)> {
    struct Casts(Vec<(usize, u32)>);
    impl ast::Visitor for Casts {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
            if let ast::Expr::Cast { expr, data_type, .. } = expr
                && let ast::Expr::Value(value) = expr.as_ref()
                && let ast::Value::Placeholder(name) = &value.value
                && let Some(number) = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok())
                && let Some((type_oid, _)) = written_type(&data_type.to_string())
                && !is_reg(type_oid)
                && number > 0
            {
                self.0.push((number - 1, type_oid));
            }
            ControlFlow::Continue(())
        }
    }
    let mut visitor = Casts(vec![]);
    let _ = ast::Visit::visit(query, &mut visitor);
    visitor.0
}

/// One call in a query.
struct Call {
    name: String,
    is_window: bool,
    line: u64,
    column: u64,
}

fn calls(query: &ast::Query) -> Vec<Call> {
    struct Calls(Vec<Call>);
    impl ast::Visitor for Calls {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
            if let ast::Expr::Function(call) = expr
                && !matches!(call.args, ast::FunctionArguments::Subquery(_))
            {
                let start = match call.name.0.first() {
                    Some(ast::ObjectNamePart::Identifier(ident)) => ident.span.start,
                    _ => return ControlFlow::Continue(()),
                };
                self.0.push(Call {
                    name: last_part(&call.name),
                    is_window: call.over.is_some(),
                    line: start.line,
                    column: start.column,
                });
            }
            ControlFlow::Continue(())
        }
    }
    let mut visitor = Calls(vec![]);
    let _ = ast::Visit::visit(query, &mut visitor);
    visitor.0
}

/// 42883 with its place for a function that nobody has.
fn check_functions(state: &SessionState, calls: &[Call], text: &str) -> Result<()> {
    // What the planner itself knows without a function of that name.
    const SPECIAL: &[&str] = &["map", "make_map", "unnest", "unnest_outer", "array", "grouping", "struct", "row"];
    for call in calls {
        let at = |error: Error| match position(text, call.line, call.column) {
            Some(at) => error.with_position(at),
            None => error,
        };
        if !call.is_window && is_only_window(state, &call.name) {
            let message = format!("window function {} requires an OVER clause", call.name);
            return Err(at(Error::new(ErrorKind::Remote("42809".into()), message)));
        }
        if has_function(state, &call.name)
            || function::find(&call.name).is_some()
            || SPECIAL.contains(&call.name.as_str())
        {
            continue;
        }
        let error = Error::new(ErrorKind::UndefinedFunction, format!("function {} does not exist", call.name));
        let known = state.scalar_functions().keys().chain(state.aggregate_functions().keys()).map(String::as_str);
        let error = match catalog::error::nearest(&call.name, known) {
            Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
            None => error.with_hint("No function of that name is known here."),
        };
        return Err(at(error));
    }
    Ok(())
}

/// The highest `$n`.
fn highest_parameter(query: &ast::Query) -> usize {
    struct Highest(usize);
    impl ast::Visitor for Highest {
        type Break = ();
        fn pre_visit_value(&mut self, value: &ast::ValueWithSpan) -> ControlFlow<()> {
            if let ast::Value::Placeholder(name) = &value.value
                && let Some(number) = name.strip_prefix('$').and_then(|n| n.parse().ok())
            {
                self.0 = self.0.max(number);
            }
            ControlFlow::Continue(())
        }
    }
    let mut visitor = Highest(0);
    let _ = ast::Visit::visit(query, &mut visitor);
    visitor.0
}
