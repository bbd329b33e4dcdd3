//! One statement's view of DataFusion: tables and functions that it may use, and the state that
//! plans and runs it.
//!
//! Nothing is registered anywhere: a statement's tables are looked up before it is planned, and
//! its functions when the planner asks. What all sessions share is the memory pool, the place for
//! spilled data and DataFusion's own functions.

use super::checked::CheckedArithmetic;
use super::cooperation::CooperativeJoins;
use super::error::map_error;
use super::function::{Input, is_override, of_catalog};
use super::time::with_seconds;
use super::written_type::Types;
use crate::gateway::Gateway;
use crate::pgcatalog::{function, snapshot::Catalog};
use crate::session::Session;
use catalog::Result;
use connector_api::TYPE_KEY;
use datafusion::arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::catalog::TableFunctionArgs;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, DataFusionError, ScalarValue, TableReference, plan_datafusion_err};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::execution::disk_manager::DiskManagerBuilder;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, PlannerResult, RawBinaryExpr, TypePlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    AggregateUDF, Cast, Expr, ExprSchemable, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::prelude::SessionConfig;
use datafusion::sql::planner::ParserOptions;
use std::collections::HashMap;
use std::sync::Arc;

type DfResult<T> = std::result::Result<T, DataFusionError>;

/// Partitions that one query runs in: half of what a small machine has stays for the others.
const TARGET_PARTITIONS: usize = 2;
/// Rows per batch.
const BATCH_ROWS: usize = 8192;
/// Table functions that read nothing from outside.
const TABLE_FUNCTIONS: &[&str] = &["generate_series", "range"];

/// How statements are read: PostgreSQL's names, decimal literals, places in errors.
pub(crate) fn parser_options() -> ParserOptions {
    ParserOptions::new()
        .with_parse_float_as_decimal(true)
        .with_collect_spans(true)
        .with_map_string_types_to_utf8view(false)
}

/// The state for one statement of a session.
pub(crate) fn state(gateway: &Gateway, session: &Session) -> Result<SessionState> {
    let engine = match gateway.discovery.engine.get() {
        Some(engine) => engine,
        None => {
            let made = engine(gateway.query_memory_bytes)?;
            gateway.discovery.engine.get_or_init(|| made)
        }
    };
    let time_zone = time_zone(session);
    let mut state = engine.clone();
    if state.config_options().execution.time_zone.as_deref() != Some(&*time_zone) {
        let config = state.config().clone().set_str("datafusion.execution.time_zone", &time_zone);
        state = SessionStateBuilder::new_from_existing(state).with_config(config).build();
    }
    state.mark_start_execution();
    Ok(state)
}

/// The session's time zone as Arrow knows it.
pub(crate) fn time_zone(session: &Session) -> Arc<str> {
    session.settings.lock().get("TimeZone").unwrap_or_else(|| "UTC".to_owned()).into()
}

/// What all statements share.
fn engine(memory_bytes: usize) -> Result<SessionState> {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(memory_bytes)))
        .with_disk_manager_builder(DiskManagerBuilder::default())
        .build_arc()
        .map_err(map_error)?;
    let config = SessionConfig::new()
        .with_target_partitions(TARGET_PARTITIONS)
        .with_batch_size(BATCH_ROWS)
        .with_information_schema(false)
        .with_create_default_catalog_and_schema(false)
        .set_str("datafusion.sql_parser.dialect", "PostgreSQL")
        .set_bool("datafusion.sql_parser.collect_spans", true)
        .set_bool("datafusion.sql_parser.parse_float_as_decimal", true)
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false)
        .set_str("datafusion.execution.time_zone", "UTC");
    Ok(postgres_features(SessionStateBuilder::new(), "UTC").with_config(config).with_runtime_env(runtime).build())
}

/// What makes DataFusion's answers PostgreSQL's: written types, literals beside values of types that
/// Arrow has no text form for, integers that do not wrap around, and a few functions. DataFusion's
/// own features are added too. Queries must have passed `query::rewrite`.
pub fn postgres_features(builder: SessionStateBuilder, time_zone: &str) -> SessionStateBuilder {
    let builder = builder
        .with_expr_planners(vec![Arc::new(Literals)])
        .with_type_planner(Arc::new(Types { time_zone: time_zone.into() }))
        .with_default_features()
        .with_analyzer_rule(Arc::new(CheckedArithmetic))
        .with_physical_optimizer_rule(Arc::new(CooperativeJoins));
    let mut builder = builder;
    let own = [Input::Uuid.function(), Input::Bytea.function()].into_iter().chain(super::time::functions());
    builder.scalar_functions().get_or_insert_default().extend(own);
    builder
}

/// The tables and functions of one statement.
pub(crate) struct Context<'a> {
    state: &'a SessionState,
    tables: HashMap<TableReference, Arc<dyn TableSource>>,
    types: Arc<dyn TypePlanner>,
    /// There when the statement calls a function of the client catalog.
    catalog: Option<Arc<Catalog>>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        state: &'a SessionState,
        tables: HashMap<TableReference, Arc<dyn TableSource>>,
        catalog: Option<Arc<Catalog>>,
        time_zone: Arc<str>,
    ) -> Self {
        Self { state, tables, types: Arc::new(Types { time_zone }), catalog }
    }
}

/// A function's name without `pg_catalog`, which is where all of them are.
fn bare(name: &str) -> &str {
    name.strip_prefix("pg_catalog.").or_else(|| name.strip_prefix("PG_CATALOG.")).unwrap_or(name)
}

impl ContextProvider for Context<'_> {
    fn get_table_source(&self, name: TableReference) -> DfResult<Arc<dyn TableSource>> {
        self.tables.get(&name).cloned().ok_or_else(|| plan_datafusion_err!("table '{name}' not found"))
    }
    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> DfResult<Arc<dyn TableSource>> {
        let name = bare(name);
        let function = TABLE_FUNCTIONS.contains(&name).then(|| self.state.table_functions().get(name)).flatten();
        let function = function.ok_or_else(|| plan_datafusion_err!("table function '{name}' not found"))?;
        let context = SimplifyContext::builder()
            .with_config_options(self.state.config_options().clone())
            .with_query_execution_start_time(self.state.execution_props().query_execution_start_time)
            .build();
        let simplifier = ExprSimplifier::new(context);
        let schema = DFSchema::empty();
        let args: Vec<Expr> = args
            .into_iter()
            .map(|arg| simplifier.coerce(arg, &schema).and_then(|e| simplifier.simplify(e)))
            .collect::<DfResult<_>>()?;
        Ok(provider_as_source(function.create_table_provider_with_args(TableFunctionArgs::new(&args, self.state))?))
    }
    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> DfResult<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }
    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }
    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(self.types.clone())
    }
    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let name = bare(name);
        if !is_override(name)
            && let Some(found) = self.state.scalar_functions().get(name)
        {
            return Some(found.clone());
        }
        Some(of_catalog(function::find(name)?, self.catalog.clone()?))
    }
    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(bare(name)).cloned()
    }
    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(bare(name)).cloned()
    }
    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(bare(name)).cloned()
    }
    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }
    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }
    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }
    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }
    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }
    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}

/// Whether DataFusion has a function of this name, of any kind.
pub(crate) fn has_function(state: &SessionState, name: &str) -> bool {
    let name = bare(name);
    !is_override(name)
        && (state.scalar_functions().contains_key(name)
            || state.aggregate_functions().contains_key(name)
            || state.window_functions().contains_key(name)
            || state.higher_order_functions().contains_key(name)
            || name == "unnest")
}

/// Whether a name is that of a window function and of nothing else.
pub(crate) fn is_only_window(state: &SessionState, name: &str) -> bool {
    state.window_functions().contains_key(name)
        && !state.aggregate_functions().contains_key(name)
        && !state.scalar_functions().contains_key(name)
}

/// Reads literals beside values of types whose text form Arrow does not know.
#[derive(Debug)]
struct Literals;

impl ExprPlanner for Literals {
    fn plan_binary_op(&self, raw: RawBinaryExpr, schema: &DFSchema) -> DfResult<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = raw;
        let (left_type, right_type) = (Side::of(&left, schema), Side::of(&right, schema));
        let (left, right) = match (left_type, right_type) {
            (Side::Date, Side::Interval) => (to_timestamp(left), right),
            (Side::Interval, Side::Date) => (left, to_timestamp(right)),
            (side, Side::Literal) => (left, side.read(right)?),
            (Side::Literal, side) => (side.read(left)?, right),
            _ => (left, right),
        };
        Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
    }
}

/// One side of an operator, as far as it decides how the other is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Literal,
    Uuid,
    Bytea,
    Date,
    Timestamp,
    Interval,
    Other,
}

impl Side {
    fn of(expr: &Expr, schema: &DFSchema) -> Self {
        if let Expr::Literal(ScalarValue::Utf8(Some(_)), _) = expr {
            return Self::Literal;
        }
        let Ok((_, field)) = expr.to_field(schema) else { return Self::Other };
        match field.data_type() {
            DataType::FixedSizeBinary(16) if field.metadata().get(TYPE_KEY).is_some_and(|t| t == "uuid") => Self::Uuid,
            DataType::Binary => Self::Bytea,
            DataType::Date32 => Self::Date,
            DataType::Timestamp(..) => Self::Timestamp,
            DataType::Interval(_) => Self::Interval,
            _ => Self::Other,
        }
    }

    /// A literal beside a value of this kind.
    fn read(self, literal: Expr) -> DfResult<Expr> {
        let Expr::Literal(ScalarValue::Utf8(Some(text)), metadata) = literal else { return Ok(literal) };
        let value = match self {
            Self::Uuid => Input::Uuid.read(&text)?,
            Self::Bytea => Input::Bytea.read(&text)?,
            Self::Timestamp => ScalarValue::Utf8(Some(with_seconds(&text).unwrap_or(text))),
            _ => ScalarValue::Utf8(Some(text)),
        };
        Ok(Expr::Literal(value, metadata))
    }
}

/// A date and an interval make a timestamp: the interval may have hours.
fn to_timestamp(date: Expr) -> Expr {
    Expr::Cast(Cast::new(Box::new(date), DataType::Timestamp(TimeUnit::Microsecond, None)))
}
