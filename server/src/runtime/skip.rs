//! Bad rows: found by halving their batch and named by their key. ON ERROR STOP fails with the
//! first one; ON ERROR SKIP records, counts and leaves them out.

use super::load::{OnSide, SidedError, with_schema};
use crate::query::map_error;
use catalog::{Error, ErrorKind, ErrorSide, Result, TableName};
use connector_api::{ColumnFormat, SnapshotScanExec, TableWriter};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::cast::as_boolean_array;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use std::sync::Arc;

/// Bad rows kept for the error table; more are only counted.
const RECORDED_MAX: usize = 1000;

/// How many bad rows are left out, and what they were.
pub struct SkipPolicy {
    limit: Option<u64>,
    skipped: u64,
    /// The first bad rows' errors.
    pub errors: Vec<SidedError>,
}

impl SkipPolicy {
    /// At most `limit` rows.
    pub fn new(limit: Option<u64>) -> Self {
        Self { limit, skipped: 0, errors: vec![] }
    }
    /// Rows left out so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
    fn skip(&mut self, error: SidedError) -> Result<(), SidedError> {
        self.skipped += 1;
        if let Some(limit) = self.limit
            && self.skipped > limit
        {
            let last = error.error;
            let limit_error =
                Error::new(ErrorKind::ErrorLimitReached, format!("more than {limit} bad rows"))
                    .with_detail(format!("The last one: {}.", last.message()))
                    .with_hint("Raise the limit with ALTER JOB .. SET ON ERROR SKIP LIMIT n, or mend the rows; see tidegate.errors.");
            return Err(SidedError { side: error.side, error: limit_error });
        }
        if self.errors.len() < RECORDED_MAX {
            self.errors.push(error);
        }
        Ok(())
    }
}

/// Whether an error is about values of a row, so that leaving the row out helps.
fn is_about_a_row(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::InvalidText
        | ErrorKind::NumericRange
        | ErrorKind::DivisionByZero
        | ErrorKind::NotNullViolation
        | ErrorKind::UniqueViolation
        | ErrorKind::CheckViolation
        | ErrorKind::CannotCoerce => true,
        // Class 22 is data exceptions, class 23 integrity constraints.
        ErrorKind::Remote(code) => code.starts_with("22") || code.starts_with("23"),
        _ => false,
    }
}

enum Link {
    Filter(Arc<dyn PhysicalExpr>),
    Project(Vec<Arc<dyn PhysicalExpr>>, SchemaRef),
}

/// The filters and projections above one scan, evaluated by us, batch by batch.
pub struct Chain {
    /// What gives the rows: the scan.
    pub input: Arc<dyn ExecutionPlan>,
    links: Vec<Link>,
    table: TableName,
    /// (name, column of the scan) of the row's key, as far as the scan reads it as values.
    key: Vec<(String, usize)>,
}

impl Chain {
    /// The chain of a physical plan; a plan that is more than filters and projections over one scan
    /// cannot tell its bad rows apart.
    pub fn of(plan: &Arc<dyn ExecutionPlan>) -> Result<Self> {
        let mut links = vec![];
        let mut node = plan.clone();
        loop {
            node = if let Some(filter) = node.downcast_ref::<FilterExec>() {
                if let Some(kept) = filter.projection().as_ref() {
                    let schema = filter.schema();
                    let inner = filter.input().schema();
                    let columns = kept
                        .iter()
                        .map(|&i| {
                            Arc::new(datafusion::physical_expr::expressions::Column::new(inner.field(i).name(), i))
                                as Arc<dyn PhysicalExpr>
                        })
                        .collect();
                    links.push(Link::Project(columns, schema));
                }
                links.push(Link::Filter(filter.predicate().clone()));
                filter.input().clone()
            } else if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
                let exprs = projection.expr().iter().map(|e| e.expr.clone()).collect();
                links.push(Link::Project(exprs, projection.schema()));
                projection.input().clone()
            } else if let Some(scan) = node.downcast_ref::<SnapshotScanExec>() {
                links.reverse();
                let read = scan.read();
                let key = read
                    .table
                    .row_key()
                    .iter()
                    .filter_map(|name| {
                        let at = read.columns.iter().position(|&c| &read.table.columns[c].name == name)?;
                        (read.formats[at] != ColumnFormat::Wire).then(|| (name.clone(), at))
                    })
                    .collect();
                let table = read.table.name.clone();
                return Ok(Self { input: node, links, table, key });
            } else {
                return Err(Error::unsupported("ON ERROR SKIP for a query that joins, groups, sorts or limits")
                    .with_hint("Use ON ERROR STOP, or a query of one table with filters and expressions only."));
            };
        }
    }

    /// Transforms a batch. An error about a row names the first such row by its key.
    pub fn transform(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let error = match self.apply(batch.clone()) {
            Ok(ready) => return Ok(ready),
            Err(error) => error,
        };
        if !is_about_a_row(&error) {
            return Err(error);
        }
        let (mut bad, mut error) = (batch.clone(), error);
        while bad.num_rows() > 1 {
            let half = bad.num_rows() / 2;
            let first = bad.slice(0, half);
            (bad, error) = match self.apply(first.clone()) {
                Err(e) => (first, e),
                Ok(_) => {
                    let second = bad.slice(half, bad.num_rows() - half);
                    match self.apply(second.clone()) {
                        Err(e) => (second, e),
                        // Only the whole fails, so no row can be named.
                        Ok(_) => return Err(error),
                    }
                }
            };
        }
        Err(self.name_row(error, &bad))
    }

    /// Adds the key of a batch's one row to an error about it.
    fn name_row(&self, error: Error, row: &RecordBatch) -> Error {
        if error.row_key().is_some() {
            return error;
        }
        let options = FormatOptions::default().with_null("null");
        let parts: Vec<String> = self
            .key
            .iter()
            .filter_map(|(name, at)| {
                let shown = ArrayFormatter::try_new(row.column(*at).as_ref(), &options).ok()?.value(0).to_string();
                Some(format!("{name}={}", shown.chars().take(100).collect::<String>()))
            })
            .collect();
        let error = error.with_table(&self.table.schema, &self.table.table);
        if parts.is_empty() {
            return error;
        }
        let key = parts.join(", ");
        let error = match error.detail() {
            Some(_) => error,
            None => error.with_detail(format!("The row is the one with {key} of table {}.", self.table)),
        };
        error.with_row_key(key)
    }

    fn apply(&self, mut batch: RecordBatch) -> Result<RecordBatch> {
        for link in &self.links {
            batch = match link {
                Link::Filter(predicate) => {
                    let mask =
                        predicate.evaluate(&batch).and_then(|v| v.into_array(batch.num_rows())).map_err(map_error)?;
                    let mask = as_boolean_array(&mask).map_err(map_error)?;
                    filter_record_batch(&batch, mask).map_err(|e| map_error(e.into()))?
                }
                Link::Project(exprs, schema) => {
                    let columns = exprs
                        .iter()
                        .map(|e| e.evaluate(&batch).and_then(|v| v.into_array(batch.num_rows())))
                        .collect::<datafusion::common::Result<Vec<_>>>()
                        .map_err(map_error)?;
                    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
                        .map_err(|e| map_error(e.into()))?
                }
            };
        }
        Ok(batch)
    }

    /// Transforms and writes a batch; on an error about a row, halves it until the row is found.
    pub async fn write(
        &self,
        batch: RecordBatch,
        writer: &mut dyn TableWriter,
        skip: &mut SkipPolicy,
        schema: &SchemaRef,
    ) -> Result<(), SidedError> {
        let mut pending = vec![batch];
        while let Some(batch) = pending.pop() {
            if batch.num_rows() == 0 {
                continue;
            }
            let rows = batch.num_rows();
            let failed =
                match self.apply(batch.clone()).and_then(|ready| with_schema(ready, schema)).on(ErrorSide::Transform) {
                    Err(error) => error,
                    Ok(ready) if ready.num_rows() == 0 => continue,
                    Ok(ready) => match writer.write(ready).await.on(ErrorSide::Sink) {
                        Ok(_) => continue,
                        Err(error) => error,
                    },
                };
            if !is_about_a_row(&failed.error) {
                return Err(failed);
            }
            if rows == 1 {
                skip.skip(SidedError { error: self.name_row(failed.error, &batch), ..failed })?;
            } else {
                // The second half is pushed first, so that rows keep their order.
                pending.push(batch.slice(rows / 2, rows - rows / 2));
                pending.push(batch.slice(0, rows / 2));
            }
        }
        Ok(())
    }
}
