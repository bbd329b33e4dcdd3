//! The shape of a query over one table: which of its columns are only passed on.

use connector_api::{
    ColumnFormat, FilterPushdown, ReadProgress, RemoteTable, Source, TablePlan, TableRead, TableSchema,
};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};
use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where an output column comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// This column of the table, unchanged.
    Column(usize),
    /// Something computed.
    Expression,
}

/// A query that is a chain of projections, filters and limits over one table.
pub struct QueryShape {
    table: Arc<TableSchema>,
    source: Arc<dyn Source>,
    /// One per output column.
    pub origins: Vec<Origin>,
    /// Table columns that some expression needs decoded.
    used: BTreeSet<usize>,
    /// Whether nothing is filtered or limited.
    pub filter_free: bool,
    is_plain: bool,
}

impl QueryShape {
    /// The shape of an optimised plan; None when it is not such a chain.
    pub fn of(plan: &LogicalPlan) -> Option<Self> {
        match plan {
            LogicalPlan::TableScan(scan) => Self::of_scan(scan),
            LogicalPlan::SubqueryAlias(alias) => Self::of(&alias.input),
            LogicalPlan::Limit(limit) => {
                let shape = Self::of(&limit.input)?;
                Some(Self { filter_free: false, is_plain: false, ..shape })
            }
            LogicalPlan::Filter(filter) => {
                let mut shape = Self::of(&filter.input)?;
                shape.use_columns(&filter.predicate, &filter.input)?;
                Some(Self { filter_free: false, is_plain: false, ..shape })
            }
            LogicalPlan::Projection(projection) => {
                let mut shape = Self::of(&projection.input)?;
                let inner = shape.origins.clone();
                let mut origins = vec![];
                for expr in &projection.expr {
                    origins.push(match bare(expr) {
                        Some(column) => {
                            let index = projection.input.schema().maybe_index_of_column(column)?;
                            inner[index].clone()
                        }
                        None => {
                            shape.use_columns(expr, &projection.input)?;
                            Origin::Expression
                        }
                    });
                }
                let is_plain = shape.is_plain && origins.iter().all(|o| *o != Origin::Expression);
                Some(Self { origins, is_plain, ..shape })
            }
            _ => None,
        }
    }

    fn of_scan(scan: &TableScan) -> Option<Self> {
        let provider = source_as_provider(&scan.source).ok()?;
        let provider: &dyn Any = provider.as_ref();
        let remote = provider.downcast_ref::<RemoteTable>()?;
        let table = remote.table().clone();
        let source = remote.source().clone();
        let columns: Vec<usize> = match &scan.projection {
            Some(projection) => projection.clone(),
            None => (0..table.columns.len()).collect(),
        };
        let mut used = BTreeSet::new();
        let mut is_plain = scan.fetch.is_none();
        for filter in &scan.filters {
            // A filter is planned over values even where the source evaluates it, so its columns
            // cannot be bytes; one that the source does not take exactly is evaluated again here.
            is_plain &= matches!(source.push_filter(&table, filter), FilterPushdown::Exact(_));
            for column in filter.column_refs() {
                used.insert(table.column_index(&column.name)?);
            }
        }
        Some(Self {
            filter_free: scan.filters.is_empty() && scan.fetch.is_none(),
            origins: columns.into_iter().map(Origin::Column).collect(),
            table,
            source,
            used,
            is_plain,
        })
    }

    fn use_columns(&mut self, expr: &Expr, input: &LogicalPlan) -> Option<()> {
        for column in expr.column_refs() {
            let index = input.schema().maybe_index_of_column(column)?;
            if let Origin::Column(column) = self.origins.get(index)? {
                self.used.insert(*column);
            }
        }
        Some(())
    }

    /// The one table.
    pub fn table(&self) -> &Arc<TableSchema> {
        &self.table
    }

    /// Its source.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// The read that is the whole query, when nothing but the source has anything to do: columns
    /// are only chosen and renamed, and the source evaluates every filter exactly.
    pub fn pass_through(&self, plan: &LogicalPlan, progress: &Arc<ReadProgress>) -> Option<TableRead> {
        if !self.is_plain {
            return None;
        }
        let columns: Vec<usize> = self
            .origins
            .iter()
            .map(|o| match o {
                Origin::Column(index) => Some(*index),
                Origin::Expression => None,
            })
            .collect::<Option<_>>()?;
        let mut filters = vec![];
        let mut scans = 0;
        plan.apply(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                scans += 1;
                for filter in &scan.filters {
                    if let FilterPushdown::Exact(text) = self.source.push_filter(&self.table, filter) {
                        filters.push(text);
                    }
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .ok()?;
        (scans == 1).then(|| TableRead {
            formats: vec![ColumnFormat::Arrow; columns.len()],
            columns,
            filters,
            progress: progress.clone(),
            ..TableRead::all(self.table.clone())
        })
    }

    /// A format for each column of the table: wire bytes or text where it is only passed on and
    /// the sink takes it so, Arrow otherwise.
    pub fn formats(&self, plan: &TablePlan) -> Vec<ColumnFormat> {
        let mut formats = vec![ColumnFormat::Arrow; self.table.columns.len()];
        // A sink that loads text loads all of the table as text.
        let is_text = plan.needs_text.iter().any(|needs| *needs);
        for (index, format) in formats.iter_mut().enumerate() {
            let places: Vec<usize> =
                (0..self.origins.len()).filter(|&i| self.origins[i] == Origin::Column(index)).collect();
            if places.is_empty() || self.used.contains(&index) {
                continue;
            }
            if is_text {
                if places.iter().all(|&i| plan.needs_text.get(i).copied().unwrap_or(false)) {
                    *format = ColumnFormat::Text;
                }
                continue;
            }
            // The key stays readable, so that an error can name its row.
            if self.table.row_key().contains(&self.table.columns[index].name) {
                continue;
            }
            let Some(encoding) = self.source.wire_encoding(&self.table, index) else { continue };
            if places.iter().all(|&i| plan.wire_encodings.get(i).and_then(Option::as_ref) == Some(&encoding)) {
                *format = ColumnFormat::Wire;
            }
        }
        formats
    }
}

/// The column of an expression that is only a column, renamed or not.
fn bare(expr: &Expr) -> Option<&datafusion::common::Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Alias(alias) => bare(&alias.expr),
        _ => None,
    }
}
