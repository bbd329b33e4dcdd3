//! What every [`Source`] promises, as checks. The harness knows the tables' rows by another way than
//! the source, and can change them where the system can be written.
//!
//! A check that does not apply (no raw format, no change capture, no empty table) says so on standard
//! error and passes.

use super::following::changes;
use super::{Failure, Outcome, Row, check, ensure, report, rows_of_all, said, same_rows, within_rows};
use crate::schema::{TableSchema, WIRE_KEY};
use crate::source::{
    ColumnFormat, FilterPushdown, RawFormat, Snapshot, SnapshotRequest, Source, Split, SplitGoal, TableRead,
};
use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use async_trait::async_trait;
use catalog::TableName;
use datafusion::logical_expr::{ColumnarValue, Expr, Volatility, create_udf, lit};
use datafusion::prelude::Column;
use futures::{StreamExt, TryStreamExt};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Rows of one batch that still count as bounded.
const BATCH_ROWS_MAX: usize = 1 << 17;
/// How finely tables are cut.
const GOALS: [usize; 3] = [1, 2, 7];
/// Connections that a snapshot of the suite may hold.
const CONNECTIONS_MAX: usize = 3;
/// Streams that are given up half way; more than a snapshot has connections.
const DROPPED_STREAMS: usize = 8;
/// Filters of one column that are tried on values of this many rows.
const FILTER_ROWS: usize = 2;

/// What is known of a table's rows.
#[derive(Debug, Clone)]
pub enum KnownRows {
    /// The rows, in any order; values in the order of the table's columns, as Arrow displays them.
    Values(Vec<Row>),
    /// How many there are.
    Count(usize),
}

/// A table that the source has.
#[derive(Debug, Clone)]
pub struct KnownTable {
    /// Its structure, as discovery describes it.
    pub schema: Arc<TableSchema>,
    /// Its rows now.
    pub rows: KnownRows,
}

/// What a connector's test knows of the system.
#[async_trait]
pub trait SourceHarness: Send + Sync {
    /// A source on the system; every call may give a new one.
    fn source(&self) -> Arc<dyn Source>;

    /// The tables as they are now. Good ones are: one with a few thousand rows and a key, one of
    /// values that are hard to carry, and an empty one.
    async fn tables(&self) -> Vec<KnownTable>;

    /// Changes rows of a table and commits, by another way than the source: rows come, change and
    /// go. Answers all rows afterwards; None when the system, or this table, is only read.
    async fn change(&self, table: &KnownTable) -> Option<Vec<Row>>;
}

/// Runs every check.
///
/// # Panics
/// When any of them fails, with the messages of all that failed.
pub async fn run(harness: &dyn SourceHarness) {
    report("source", &failures(harness).await);
}

/// Runs every check and answers what failed.
pub async fn failures(harness: &dyn SourceHarness) -> Vec<Failure> {
    let mut failures = vec![];
    let failed = &mut failures;
    check(failed, "one read gives the rows that are there", one_read(harness)).await;
    check(failed, "splits neither overlap nor leave gaps", splits(harness)).await;
    check(failed, "projection is honoured", projection(harness)).await;
    check(failed, "every format gives every row", formats(harness)).await;
    check(failed, "limit is honoured", limit(harness)).await;
    check(failed, "pushed filters are right and unknown ones unsupported", filters(harness)).await;
    check(failed, "an empty table has a split and no rows", empty_table(harness)).await;
    check(failed, "dropped streams leave the source usable", dropped_streams(harness)).await;
    check(failed, "reads may be concurrent", concurrent_reads(harness)).await;
    check(failed, "raw rows are as many as rows", raw_rows(harness)).await;
    check(failed, "what cannot be read is an error", unreadable(harness)).await;
    check(failed, "a snapshot does not see concurrent writes", isolation(harness)).await;
    check(failed, "changes continue the snapshot", changes(harness)).await;
    check(failed, "release is idempotent", release(harness)).await;
    failures
}

pub(super) fn not_checked(what: &str) {
    eprintln!("not checked: {what}");
}

pub(super) async fn open(source: &Arc<dyn Source>, tables: &[KnownTable]) -> Outcome<Arc<dyn Snapshot>> {
    let request = SnapshotRequest {
        tables: tables.iter().map(|table| table.schema.clone()).collect(),
        connections_max: CONNECTIONS_MAX,
    };
    source.open_snapshot(request).await.map_err(said("opening a snapshot"))
}

pub(super) fn goal(splits_max: usize) -> SplitGoal {
    SplitGoal { splits_max, rows_min: 1 }
}

/// Cuts a table and checks what every cut must be.
async fn cut(snapshot: &dyn Snapshot, read: &TableRead, goal: SplitGoal) -> Outcome<Vec<Split>> {
    let name = &read.table.name;
    let splits = snapshot.splits(read, goal).await.map_err(said(format!("splitting {name}")))?;
    ensure!(!splits.is_empty(), "{name} has no split");
    ensure!(
        splits.len() <= goal.splits_max,
        "{name} has {} splits and at most {} were asked for",
        splits.len(),
        goal.splits_max
    );
    for (index, split) in splits.iter().enumerate() {
        ensure!(split.index == index, "split {index} of {name} says that its index is {}", split.index);
    }
    Ok(splits)
}

async fn read_split(
    source: &dyn Source,
    snapshot: &dyn Snapshot,
    read: &TableRead,
    split: &Split,
) -> Outcome<Vec<RecordBatch>> {
    let doing = format!("reading split {} of {}", split.index, read.table.name);
    let schema = read.schema(source);
    let stream = snapshot.read(read, split).await.map_err(said(doing.clone()))?;
    let batches: Vec<RecordBatch> = stream.try_collect().await.map_err(said(doing.clone()))?;
    for batch in &batches {
        ensure!(
            batch.schema() == schema,
            "{doing}: the batch has schema {:?} and the read says {schema:?}",
            batch.schema()
        );
        ensure!(batch.num_rows() <= BATCH_ROWS_MAX, "{doing}: one batch has {} rows", batch.num_rows());
    }
    Ok(batches)
}

/// Reads all splits, one after the other.
pub(super) async fn read_all(
    source: &dyn Source,
    snapshot: &dyn Snapshot,
    read: &TableRead,
    goal: SplitGoal,
) -> Outcome<Vec<RecordBatch>> {
    let mut batches = vec![];
    for split in cut(snapshot, read, goal).await? {
        batches.extend(read_split(source, snapshot, read, &split).await?);
    }
    Ok(batches)
}

/// All rows through a snapshot of their own.
async fn read_fresh(source: &Arc<dyn Source>, table: &KnownTable, splits_max: usize) -> Outcome<Vec<Row>> {
    let snapshot = open(source, std::slice::from_ref(table)).await?;
    let read = TableRead::all(table.schema.clone());
    Ok(rows_of_all(&read_all(source.as_ref(), snapshot.as_ref(), &read, goal(splits_max)).await?))
}

fn compare(table: &KnownTable, what: &str, found: &[Row]) -> Outcome {
    let what = format!("{} {what}", table.schema.name);
    match &table.rows {
        KnownRows::Values(rows) => same_rows(&what, rows, found),
        KnownRows::Count(count) => {
            ensure!(found.len() == *count, "{what}: {} rows instead of {count}", found.len());
            Ok(())
        }
    }
}

pub(super) fn count(table: &KnownTable) -> usize {
    match &table.rows {
        KnownRows::Values(rows) => rows.len(),
        KnownRows::Count(count) => *count,
    }
}

async fn one_read(harness: &dyn SourceHarness) -> Outcome {
    let source = harness.source();
    let tables = harness.tables().await;
    ensure!(!tables.is_empty(), "the harness has no table");
    let snapshot = open(&source, &tables).await?;
    let position = snapshot.position().clone();
    for table in &tables {
        let read = TableRead::all(table.schema.clone());
        let rows = rows_of_all(&read_all(source.as_ref(), snapshot.as_ref(), &read, goal(1)).await?);
        compare(table, "read whole", &rows)?;
        let counted = read.progress.rows.load(Ordering::Relaxed);
        ensure!(counted == rows.len() as u64, "progress counts {counted} of {} rows", rows.len());
    }
    ensure!(*snapshot.position() == position, "the position of an open snapshot moved");
    Ok(())
}

async fn splits(harness: &dyn SourceHarness) -> Outcome {
    let source = harness.source();
    let tables = harness.tables().await;
    let snapshot = open(&source, &tables).await?;
    for table in &tables {
        let read = TableRead::all(table.schema.clone());
        let whole = rows_of_all(&read_all(source.as_ref(), snapshot.as_ref(), &read, goal(1)).await?);
        let goals = GOALS.map(goal).into_iter().chain([SplitGoal { splits_max: 7, rows_min: u64::MAX }]);
        for goal in goals {
            let rows = rows_of_all(&read_all(source.as_ref(), snapshot.as_ref(), &read, goal).await?);
            same_rows(&format!("{} in at most {} splits", table.schema.name, goal.splits_max), &whole, &rows)?;
        }
    }
    Ok(())
}

pub(super) fn project(rows: &[Row], columns: &[usize]) -> Vec<Row> {
    rows.iter().map(|row| columns.iter().map(|&column| row[column].clone()).collect()).collect()
}

async fn projection(harness: &dyn SourceHarness) -> Outcome {
    let source = harness.source();
    let tables = harness.tables().await;
    let snapshot = open(&source, &tables).await?;
    for table in &tables {
        let all = TableRead::all(table.schema.clone());
        let whole = rows_of_all(&read_all(source.as_ref(), snapshot.as_ref(), &all, goal(1)).await?);
        let last = table.schema.columns.len() - 1;
        for columns in [(0..=last).rev().collect::<Vec<_>>(), vec![last], vec![0], vec![]] {
            let formats = vec![ColumnFormat::Arrow; columns.len()];
            let read = TableRead { columns: columns.clone(), formats, ..TableRead::all(table.schema.clone()) };
            let rows = rows_of_all(&read_all(source.as_ref(), snapshot.as_ref(), &read, goal(2)).await?);
            same_rows(&format!("columns {columns:?} of {}", table.schema.name), &project(&whole, &columns), &rows)?;
        }
    }
    Ok(())
}

/// NULLs per column.
fn nulls(batches: &[RecordBatch], column: usize) -> usize {
    batches.iter().map(|batch| batch.column(column).null_count()).sum()
}

async fn formats(harness: &dyn SourceHarness) -> Outcome {
    let source = harness.source();
    let tables = harness.tables().await;
    let snapshot = open(&source, &tables).await?;
    for table in &tables {
        let schema = &table.schema;
        let name = &schema.name;
        let columns = schema.columns.len();
        let all = TableRead::all(schema.clone());
        let arrow = read_all(source.as_ref(), snapshot.as_ref(), &all, goal(1)).await?;
        let rows: usize = arrow.iter().map(RecordBatch::num_rows).sum();
        let wires: Vec<Option<String>> = (0..columns).map(|index| source.wire_encoding(schema, index)).collect();
        let is_wire: Vec<bool> = wires.iter().map(Option::is_some).collect();
        if !is_wire.contains(&true) {
            not_checked(&format!("wire bytes of {name}: no column has an encoding"));
        }
        let mixed = |index: usize| match (index % 3, is_wire[index]) {
            (0, true) => ColumnFormat::Wire,
            (1, _) => ColumnFormat::Text,
            _ => ColumnFormat::Arrow,
        };
        let wire = |index: usize| if is_wire[index] { ColumnFormat::Wire } else { ColumnFormat::Arrow };
        for formats in [
            vec![ColumnFormat::Text; columns],
            (0..columns).map(wire).collect::<Vec<_>>(),
            (0..columns).map(mixed).collect(),
        ] {
            let read = TableRead { formats: formats.clone(), ..TableRead::all(schema.clone()) };
            let batches = read_all(source.as_ref(), snapshot.as_ref(), &read, goal(2)).await?;
            let found: usize = batches.iter().map(RecordBatch::num_rows).sum();
            ensure!(found == rows, "{name} has {found} rows as {formats:?} and {rows} as Arrow");
            for (index, format) in formats.iter().enumerate() {
                let column = &schema.columns[index];
                ensure!(
                    nulls(&batches, index) == nulls(&arrow, index),
                    "column {} of {name} has {} NULLs as {format:?} and {} as Arrow",
                    column.name,
                    nulls(&batches, index),
                    nulls(&arrow, index)
                );
                match format {
                    ColumnFormat::Wire => {
                        let field = read.schema(source.as_ref()).field(index).clone();
                        let encoding = field.metadata().get(WIRE_KEY).cloned();
                        ensure!(encoding == wires[index], "column {} is not marked as wire bytes", column.name);
                    }
                    // What is text, or a whole number, has one text form only.
                    ColumnFormat::Text
                        if column.field.data_type().is_integer() || is_text(column.field.data_type()) =>
                    {
                        let text = |batches: &[RecordBatch]| project(&rows_of_all(batches), &[index]);
                        same_rows(&format!("text form of {name}.{}", column.name), &text(&arrow), &text(&batches))?;
                    }
                    ColumnFormat::Text | ColumnFormat::Arrow => {}
                }
            }
        }
    }
    Ok(())
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

async fn limit(harness: &dyn SourceHarness) -> Outcome {
    let source = harness.source();
    let tables = harness.tables().await;
    let snapshot = open(&source, &tables).await?;
    for table in &tables {
        let name = &table.schema.name;
        let all = TableRead::all(table.schema.clone());
        let whole = rows_of_all(&read_all(source.as_ref(), snapshot.as_ref(), &all, goal(1)).await?);
        let half = whole.len() / 2;
        for limit in [0, 1, half, whole.len(), whole.len() + 1] {
            let read = TableRead { limit: Some(limit as u64), ..TableRead::all(table.schema.clone()) };
            let what = format!("{name} with limit {limit}");
            let rows = rows_of_all(&read_all(source.as_ref(), snapshot.as_ref(), &read, goal(1)).await?);
            let due = limit.min(whole.len());
            ensure!(rows.len() == due, "{what}: {} rows instead of {due}", rows.len());
            within_rows(&what, &rows, &whole)?;
            let mut total = vec![];
            for split in cut(snapshot.as_ref(), &read, goal(7)).await? {
                let rows = rows_of_all(&read_split(source.as_ref(), snapshot.as_ref(), &read, &split).await?);
                ensure!(rows.len() <= limit, "{what}: split {} gives {} rows", split.index, rows.len());
                total.extend(rows);
            }
            ensure!(total.len() >= due, "{what}: all splits give {} rows together", total.len());
            within_rows(&what, &total, &whole)?;
        }
    }
    Ok(())
}

/// A filter and what it keeps, by the value of one column as text.
type Filter = (Expr, Keeps);
/// Whether a value, as text, is kept.
type Keeps = Box<dyn Fn(Option<&str>) -> bool + Send + Sync>;

/// Filters on a column whose meaning needs no knowledge of the type: whole numbers and text.
fn filters_of(table: &TableSchema, column: usize, values: &[Option<String>]) -> Vec<Filter> {
    let name = &table.columns[column].name;
    let this = || Expr::Column(Column::new_unqualified(name));
    let mut filters: Vec<Filter> = vec![
        (this().is_null(), Box::new(|value| value.is_none())),
        (this().is_not_null(), Box::new(|value| value.is_some())),
    ];
    let data_type = table.columns[column].field.data_type();
    for value in values.iter().flatten().take(FILTER_ROWS) {
        if let (true, Ok(number)) = (data_type.is_signed_integer(), value.parse::<i64>()) {
            let literal = || match data_type {
                DataType::Int8 => lit(number as i8),
                DataType::Int16 => lit(number as i16),
                DataType::Int32 => lit(number as i32),
                _ => lit(number),
            };
            let keeps = move |test: fn(i64, i64) -> bool| -> Keeps {
                Box::new(move |value| value.and_then(|v| v.parse().ok()).is_some_and(|v| test(v, number)))
            };
            filters.push((this().eq(literal()), keeps(|a, b| a == b)));
            filters.push((this().not_eq(literal()), keeps(|a, b| a != b)));
            filters.push((this().lt(literal()), keeps(|a, b| a < b)));
            filters.push((this().gt_eq(literal()), keeps(|a, b| a >= b)));
            filters.push((
                this().gt(literal()).or(this().is_null()),
                Box::new(move |value| value.is_none_or(|v| v.parse::<i64>().is_ok_and(|v| v > number))),
            ));
            filters.push((this().in_list(vec![literal()], true), keeps(|a, b| a != b)));
        }
        if is_text(data_type) {
            let text = value.clone();
            filters.push((this().eq(lit(text.as_str())), Box::new(move |value| value == Some(text.as_str()))));
            let text = value.clone();
            filters.push((
                this().not_eq(lit(text.as_str())),
                Box::new(move |value| value.is_some_and(|value| value != text)),
            ));
        }
    }
    filters
}

async fn filters(harness: &dyn SourceHarness) -> Outcome {
    let source = harness.source();
    let tables = harness.tables().await;
    let snapshot = open(&source, &tables).await?;
    for table in &tables {
        let schema = &table.schema;
        let first = Expr::Column(Column::new_unqualified(&schema.columns[0].name));
        let first_type = schema.columns[0].field.data_type().clone();
        let function = create_udf(
            "a_function_that_no_source_knows",
            vec![first_type],
            DataType::Boolean,
            Volatility::Volatile,
            Arc::new(|_: &[ColumnarValue]| Ok(ColumnarValue::from(datafusion::common::ScalarValue::from(true)))),
        );
        let stranger = Expr::Column(Column::new_unqualified("a column that is not there"));
        for filter in [
            function.call(vec![first.clone()]),
            stranger.clone().is_null(),
            stranger.eq(lit(1_i64)).or(first.is_not_null()),
        ] {
            let pushed = source.push_filter(schema, &filter);
            ensure!(pushed == FilterPushdown::Unsupported, "filter {filter} is pushed as {pushed:?}");
        }
        let all = TableRead::all(schema.clone());
        let whole = rows_of_all(&read_all(source.as_ref(), snapshot.as_ref(), &all, goal(1)).await?);
        for column in 0..schema.columns.len() {
            let mut values: Vec<Option<String>> = whole.iter().map(|row| row[column].clone()).collect();
            values.sort_unstable();
            values.dedup();
            // From the middle, so that NULL and the smallest value are not all that is tried.
            let middle = values.len() / 2;
            values.rotate_left(middle);
            for (filter, keeps) in filters_of(schema, column, &values) {
                let pushed = source.push_filter(schema, &filter);
                let (text, is_exact) = match &pushed {
                    FilterPushdown::Exact(text) => (text.clone(), true),
                    FilterPushdown::Inexact(text) => (text.clone(), false),
                    FilterPushdown::Unsupported => continue,
                };
                let what = format!("{} where {filter} (pushed as {text})", schema.name);
                let read = TableRead { filters: vec![text], ..TableRead::all(schema.clone()) };
                let rows = rows_of_all(&read_all(source.as_ref(), snapshot.as_ref(), &read, goal(2)).await?);
                let due: Vec<Row> = whole.iter().filter(|row| keeps(row[column].as_deref())).cloned().collect();
                if is_exact {
                    same_rows(&what, &due, &rows)?;
                } else {
                    within_rows(&format!("{what}: what must not be dropped"), &due, &rows)?;
                    within_rows(&what, &rows, &whole)?;
                }
            }
        }
    }
    Ok(())
}

async fn empty_table(harness: &dyn SourceHarness) -> Outcome {
    let source = harness.source();
    let tables: Vec<KnownTable> = harness.tables().await.into_iter().filter(|table| count(table) == 0).collect();
    if tables.is_empty() {
        not_checked("an empty table: the harness has none");
        return Ok(());
    }
    let snapshot = open(&source, &tables).await?;
    for table in &tables {
        for splits_max in GOALS {
            let read = TableRead::all(table.schema.clone());
            let batches = read_all(source.as_ref(), snapshot.as_ref(), &read, goal(splits_max)).await?;
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            ensure!(rows == 0, "{} is empty and gives {rows} rows", table.schema.name);
        }
    }
    Ok(())
}

pub(super) fn largest(tables: &[KnownTable]) -> Outcome<&KnownTable> {
    tables.iter().max_by_key(|table| count(table)).ok_or_else(|| "the harness has no table".to_owned())
}

async fn dropped_streams(harness: &dyn SourceHarness) -> Outcome {
    let source = harness.source();
    let tables = harness.tables().await;
    let table = largest(&tables)?;
    let snapshot = open(&source, &tables).await?;
    let read = TableRead::all(table.schema.clone());
    let splits = cut(snapshot.as_ref(), &read, goal(2)).await?;
    for turn in 0..DROPPED_STREAMS {
        let split = &splits[turn % splits.len()];
        let mut stream = snapshot.read(&read, split).await.map_err(said("reading"))?;
        // Every other one is dropped before anything was taken from it.
        if turn % 2 == 0
            && let Some(batch) = stream.next().await
        {
            batch.map_err(said("reading"))?;
        }
    }
    let rows = rows_of_all(&read_all(source.as_ref(), snapshot.as_ref(), &read, goal(2)).await?);
    compare(table, "after dropped streams", &rows)?;
    // A snapshot that is dropped with its streams leaves the source usable too.
    let mut stream = snapshot.read(&read, &splits[0]).await.map_err(said("reading"))?;
    if let Some(batch) = stream.next().await {
        batch.map_err(said("reading"))?;
    }
    drop(snapshot);
    drop(stream);
    compare(table, "after a dropped snapshot", &read_fresh(&source, table, 2).await?)
}

async fn concurrent_reads(harness: &dyn SourceHarness) -> Outcome {
    let source = harness.source();
    let tables = harness.tables().await;
    let (first, second) = futures::try_join!(open(&source, &tables), open(&source, &tables))?;
    // More reads at once than the snapshots have connections; every one of them ends.
    let read_table = |snapshot: Arc<dyn Snapshot>, table: KnownTable| {
        let source = source.clone();
        async move {
            let read = TableRead::all(table.schema.clone());
            let splits = cut(snapshot.as_ref(), &read, goal(7)).await?;
            let reads = splits.iter().map(|split| read_split(source.as_ref(), snapshot.as_ref(), &read, split));
            let batches: Vec<RecordBatch> = futures::future::try_join_all(reads).await?.into_iter().flatten().collect();
            compare(&table, "read concurrently", &rows_of_all(&batches))
        }
    };
    let reads = [&first, &second]
        .into_iter()
        .flat_map(|snapshot| tables.iter().map(|table| read_table(snapshot.clone(), table.clone())));
    futures::future::try_join_all(reads).await?;
    Ok(())
}

async fn raw_rows(harness: &dyn SourceHarness) -> Outcome {
    let source = harness.source();
    let tables = harness.tables().await;
    let snapshot = open(&source, &tables).await?;
    for table in &tables {
        let name = &table.schema.name;
        let read = TableRead::all(table.schema.clone());
        let formats = source.raw_formats(&read);
        if formats.is_empty() {
            not_checked(&format!("raw rows of {name}: the source has no raw format for it"));
        }
        for format in &formats {
            ensure!(
                format.column_types.len() == read.columns.len(),
                "raw format {} of {name} has {} column types",
                format.name,
                format.column_types.len()
            );
            for splits_max in GOALS {
                let mut rows = 0;
                let read = TableRead::all(table.schema.clone());
                for split in cut(snapshot.as_ref(), &read, goal(splits_max)).await? {
                    let doing = format!("reading {name} as {}", format.name);
                    let stream = snapshot.read_raw(&read, &split, format).await.map_err(said(doing.clone()))?;
                    let chunks: Vec<_> = stream.try_collect().await.map_err(said(doing.clone()))?;
                    for chunk in chunks {
                        ensure!(
                            (chunk.rows == 0) == chunk.bytes.is_empty(),
                            "{doing}: a chunk of {} rows has {} bytes",
                            chunk.rows,
                            chunk.bytes.len()
                        );
                        rows += usize::try_from(chunk.rows).unwrap_or(usize::MAX);
                    }
                }
                ensure!(rows == count(table), "{name} as {}: {rows} rows instead of {}", format.name, count(table));
                let counted = read.progress.rows.load(Ordering::Relaxed);
                ensure!(counted == rows as u64, "{name} as {}: progress counts {counted} of {rows} rows", format.name);
            }
        }
    }
    Ok(())
}

async fn unreadable(harness: &dyn SourceHarness) -> Outcome {
    let source = harness.source();
    let tables = harness.tables().await;
    let table = largest(&tables)?;
    let absent = Arc::new(TableSchema {
        name: TableName::new(&table.schema.name.schema, "a_table_that_is_not_there"),
        ..table.schema.as_ref().clone()
    });
    let read = TableRead::all(absent.clone());
    let request = SnapshotRequest { tables: vec![absent], connections_max: 1 };
    // It may be found when the snapshot is opened or when the table is split.
    let outcome = match source.open_snapshot(request).await {
        Ok(snapshot) => snapshot.splits(&read, goal(2)).await.map(|_| ()),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => return Err("a table that is not there can be split".to_owned()),
        Err(error) => {
            ensure!(error.sqlstate() == "42P01", "a table that is not there: {} {error}", error.sqlstate());
        }
    }
    let snapshot = open(&source, std::slice::from_ref(table)).await?;
    let read = TableRead::all(table.schema.clone());
    let splits = cut(snapshot.as_ref(), &read, goal(1)).await?;
    let forged = Split { payload: b"\xff no split of anybody".to_vec(), ..splits[0].clone() };
    let outcome = match snapshot.read(&read, &forged).await {
        Ok(stream) => stream.try_collect::<Vec<_>>().await.map(|_| ()),
        Err(error) => Err(error),
    };
    ensure!(outcome.is_err(), "a forged split is read");
    let format = RawFormat { name: "no.such_format".to_owned(), column_types: vec![String::new(); read.columns.len()] };
    let outcome = match snapshot.read_raw(&read, &splits[0], &format).await {
        Ok(stream) => stream.try_collect::<Vec<_>>().await.map(|_| ()),
        Err(error) => Err(error),
    };
    ensure!(outcome.is_err(), "a raw format that was not offered is read");
    compare(table, "after errors", &read_fresh(&source, table, 1).await?)
}

async fn isolation(harness: &dyn SourceHarness) -> Outcome {
    let source = harness.source();
    let mut is_changed = false;
    for place in 0..harness.tables().await.len() {
        let tables = harness.tables().await;
        let table = &tables[place];
        let read = TableRead::all(table.schema.clone());
        let snapshot = open(&source, &tables).await?;
        let splits = cut(snapshot.as_ref(), &read, goal(2)).await?;
        let mut stream = snapshot.read(&read, &splits[0]).await.map_err(said("reading"))?.fuse();
        let mut batches: Vec<RecordBatch> = vec![];
        if let Some(batch) = stream.next().await {
            batches.push(batch.map_err(said("reading"))?);
        }
        let Some(after) = harness.change(table).await else { continue };
        is_changed = true;
        batches.extend(stream.try_collect::<Vec<_>>().await.map_err(said("reading on after a change"))?);
        for split in &splits[1..] {
            batches.extend(read_split(source.as_ref(), snapshot.as_ref(), &read, split).await?);
        }
        compare(table, "read while it was changed", &rows_of_all(&batches))?;
        let again = rows_of_all(&read_all(source.as_ref(), snapshot.as_ref(), &read, goal(7)).await?);
        compare(table, "read again in the old snapshot", &again)?;
        let changed = KnownTable { schema: table.schema.clone(), rows: KnownRows::Values(after) };
        compare(&changed, "read in a new snapshot", &read_fresh(&source, &changed, 2).await?)?;
    }
    if !is_changed {
        not_checked("concurrent writes: no table can be changed");
    }
    Ok(())
}

async fn release(harness: &dyn SourceHarness) -> Outcome {
    let source = harness.source();
    source.release().await.map_err(said("releasing"))?;
    source.release().await.map_err(said("releasing again"))?;
    let tables = harness.tables().await;
    let table = largest(&tables)?;
    compare(table, "after a release", &read_fresh(&source, table, 1).await?)
}
