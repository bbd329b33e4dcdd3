//! EXPLAIN of a query, as rows of text.

use super::context::state;
use super::error::map_error;
use super::plan::{Planned, Statement};
use super::resolve::Scope;
use catalog::{Error, Result};
use datafusion::arrow::array::{RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use std::sync::Arc;
use std::time::Instant;

/// The column that PostgreSQL calls so.
pub(super) const COLUMN: &str = "QUERY PLAN";

/// Plans the query, runs it when asked to, and answers its plan, one row per line.
pub(super) async fn explain(
    scope: &Scope,
    statement: &Statement,
    parameters: Vec<ScalarValue>,
    analyze: bool,
    verbose: bool,
) -> Result<RecordBatch> {
    let began = Instant::now();
    let mut lines = vec![];
    match statement.plan(scope, false).await? {
        Planned::Catalog(query) => {
            lines.push("Client catalog (rows are made and joined in memory)".to_owned());
            let planned = began.elapsed();
            if analyze {
                let running = Instant::now();
                let batch = query.run(scope, &parameters).await?;
                lines.push(format!("  output_rows={}", batch.num_rows()));
                times(&mut lines, planned, Some(running.elapsed()));
            }
        }
        Planned::Engine(engine) => {
            let state = state(&scope.gateway, &scope.session)?;
            let logical = engine.with_parameters(&parameters)?;
            let logical = state.optimize(&logical).map_err(map_error)?;
            if verbose {
                lines.push("Logical plan".to_owned());
                lines.extend(logical.display_indent().to_string().lines().map(|l| format!("  {l}")));
                lines.push("Physical plan".to_owned());
            }
            let physical = state.query_planner().create_physical_plan(&logical, &state).await.map_err(map_error)?;
            let planned = began.elapsed();
            let running = Instant::now();
            if analyze {
                let mut rows = execute_stream(physical.clone(), state.task_ctx()).map_err(map_error)?;
                while let Some(batch) = rows.next().await {
                    batch.map_err(map_error)?;
                }
            }
            let ran = running.elapsed();
            let shown = match analyze {
                true => DisplayableExecutionPlan::with_metrics(physical.as_ref()),
                false => DisplayableExecutionPlan::new(physical.as_ref()),
            };
            let indent = if verbose { "  " } else { "" };
            lines.extend(shown.indent(verbose).to_string().lines().map(|l| format!("{indent}{l}")));
            if analyze {
                times(&mut lines, planned, Some(ran));
            }
        }
    }
    let schema = Arc::new(Schema::new(vec![Field::new(COLUMN, DataType::Utf8, true)]));
    RecordBatch::try_new(schema, vec![Arc::new(StringArray::from(lines))])
        .map_err(|e| Error::internal("a plan could not be shown").with_source(e))
}

fn times(lines: &mut Vec<String>, planning: std::time::Duration, execution: Option<std::time::Duration>) {
    lines.push(format!("Planning Time: {:.3} ms", planning.as_secs_f64() * 1000.0));
    if let Some(execution) = execution {
        lines.push(format!("Execution Time: {:.3} ms", execution.as_secs_f64() * 1000.0));
    }
}
