//! Reading: a split is one part of a table, generated on a blocking thread while it is read.

use crate::table::{Batches, Scale, Table};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use async_trait::async_trait;
use catalog::{Error, ErrorKind, Lineage, Position, Result, TableName};
use connector_api::{
    BatchStream, ChangeStream, ColumnFormat, FilterPushdown, RawFormat, RawStream, Snapshot, SnapshotRequest, Source,
    Split, SplitGoal, TableRead, TableSchema,
};
use datafusion::logical_expr::Expr;
use futures::StreamExt;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Batches that a generator may be ahead of its reader.
const BATCHES_AHEAD_MAX: usize = 2;

/// The reading side.
#[derive(Debug, Clone)]
pub struct SampleSource {
    scale: Scale,
}

impl SampleSource {
    /// A source of this scale; generates nothing yet.
    pub fn new(scale: Scale) -> Self {
        Self { scale }
    }
}

fn find(name: &TableName) -> Result<Table> {
    Table::find(name).ok_or_else(|| {
        Error::new(ErrorKind::UndefinedTable, format!("table {name} does not exist in source type \"sample\""))
            .with_table(&name.schema, &name.table)
    })
}

#[async_trait]
impl Source for SampleSource {
    async fn open_snapshot(&self, request: SnapshotRequest) -> Result<Arc<dyn Snapshot>> {
        for table in &request.tables {
            find(&table.name)?;
        }
        let position = Position::Snapshot { id: self.scale.snapshot_id(), lineage: Lineage::default() };
        Ok(Arc::new(SampleSnapshot { source: self.clone(), position }))
    }
    async fn changes(&self, _tables: &[Arc<TableSchema>], _from: &Position) -> Result<ChangeStream> {
        Err(Error::unsupported("capturing changes from source type \"sample\""))
    }
    async fn acknowledge(&self, _upto: &Position) -> Result<()> {
        // Generated data keeps nothing that could be forgotten.
        Ok(())
    }
    async fn release(&self) -> Result<()> {
        Ok(())
    }
    fn push_filter(&self, _table: &TableSchema, _filter: &Expr) -> FilterPushdown {
        FilterPushdown::Unsupported
    }
    fn wire_encoding(&self, _table: &TableSchema, _column: usize) -> Option<String> {
        None
    }
    fn raw_formats(&self, _read: &TableRead) -> Vec<RawFormat> {
        vec![]
    }
}

/// A snapshot: the data of a scale never changes, so it holds nothing.
pub struct SampleSnapshot {
    source: SampleSource,
    position: Position,
}

#[async_trait]
impl Snapshot for SampleSnapshot {
    fn position(&self) -> &Position {
        &self.position
    }
    async fn splits(&self, read: &TableRead, goal: SplitGoal) -> Result<Vec<Split>> {
        let table = find(&read.table.name)?;
        let scale = self.source.scale;
        let by_rows = table.rows(scale).0 / goal.rows_min.max(1);
        let count = by_rows.min(table.parts_max(scale)).min(goal.splits_max as u64).max(1);
        Ok((0..count as usize)
            .map(|index| Split {
                index,
                description: format!("part {} of {count}", index + 1),
                payload: format!("{} {count}", index + 1).into_bytes(),
            })
            .collect())
    }
    async fn read(&self, read: &TableRead, split: &Split) -> Result<BatchStream> {
        let table = find(&read.table.name)?;
        let (part, part_count) = part_of(split)?;
        if read.formats.contains(&ColumnFormat::Wire) {
            return Err(Error::internal("the sample source has no wire encoding to read columns in"));
        }
        let scale = self.source.scale;
        let schema = read.schema(&self.source);
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD_MAX);
        let read = read.clone();
        let generator = tokio::task::spawn_blocking(move || {
            generate(&read, &schema, || table.batches(scale, part, part_count), &sender);
        });
        let stream = futures::stream::unfold((receiver, Some(generator)), |(mut receiver, generator)| async move {
            if let Some(item) = receiver.recv().await {
                return Some((item, (receiver, generator)));
            }
            // The channel is closed: the generator has ended, and how it ended tells whether the
            // rows were all.
            match generator?.await {
                Ok(()) => None,
                Err(error) => {
                    let error = Error::internal("the generator of the sample source ended early").with_source(error);
                    Some((Err(error), (receiver, None)))
                }
            }
        });
        Ok(stream.boxed())
    }
    async fn read_raw(&self, _read: &TableRead, _split: &Split, format: &RawFormat) -> Result<RawStream> {
        Err(Error::unsupported(format!("reading source type \"sample\" in raw format \"{}\"", format.name)))
    }
}

fn part_of(split: &Split) -> Result<(i32, i32)> {
    let text = std::str::from_utf8(&split.payload).unwrap_or_default();
    text.split_once(' ')
        .and_then(|(part, count)| Some((part.parse().ok()?, count.parse().ok()?)))
        .filter(|(part, count)| *part >= 1 && part <= count)
        .ok_or_else(|| Error::internal(format!("\"{text}\" is no split of the sample source")))
}

/// Generates until the limit, the end, or until nobody reads any more.
fn generate(
    read: &TableRead,
    schema: &SchemaRef,
    batches: impl FnOnce() -> Batches,
    sender: &mpsc::Sender<Result<RecordBatch>>,
) {
    let mut rows_left = read.limit.unwrap_or(u64::MAX);
    if rows_left == 0 {
        return;
    }
    for batch in batches() {
        let batch = batch.map_err(|error| Error::internal("generating rows failed").with_source(error));
        let batch = batch.and_then(|batch| shape(batch, read, schema, rows_left));
        if let Ok(batch) = &batch {
            rows_left -= batch.num_rows() as u64;
            read.progress.add(batch.num_rows() as u64, batch.get_array_memory_size() as u64);
        }
        let is_last = batch.is_err() || rows_left == 0;
        if sender.blocking_send(batch).is_err() || is_last {
            return;
        }
    }
}

/// Cuts, projects and converts what the generator made to the schema of the read.
fn shape(batch: RecordBatch, read: &TableRead, schema: &SchemaRef, rows_max: u64) -> Result<RecordBatch> {
    let rows = batch.num_rows().min(usize::try_from(rows_max).unwrap_or(usize::MAX));
    let batch = batch.slice(0, rows);
    let failed = |error: arrow::error::ArrowError| Error::internal("shaping generated rows failed").with_source(error);
    let mut columns = Vec::with_capacity(read.columns.len());
    for (&index, field) in read.columns.iter().zip(schema.fields()) {
        let column = batch.column(index);
        columns.push(match (column.data_type(), field.data_type()) {
            (from, to) if from == to => column.clone(),
            (_, to @ DataType::Utf8) => cast(column, to).map_err(failed)?,
            (from, to) => {
                return Err(Error::internal(format!("the sample source generated {from} where {to} was due")));
            }
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::TextPoolSize;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Int64Type;
    use std::collections::HashSet;
    use std::sync::atomic::Ordering;

    fn source() -> SampleSource {
        SampleSource::new(Scale { factor: 0.01, pool: TextPoolSize::Small })
    }

    async fn snapshot(table: Table) -> (Arc<dyn Snapshot>, TableRead) {
        let source = source();
        let schema = Arc::new(table.schema(source.scale));
        let request = SnapshotRequest { tables: vec![schema.clone()], connections_max: 1 };
        (source.open_snapshot(request).await.unwrap(), TableRead::all(schema))
    }

    async fn collect(snapshot: &dyn Snapshot, read: &TableRead, split: &Split) -> Vec<RecordBatch> {
        snapshot.read(read, split).await.unwrap().map(|batch| batch.unwrap()).collect().await
    }

    #[tokio::test]
    async fn splits_neither_overlap_nor_leave_gaps() {
        for table in [Table::Orders, Table::Nation] {
            let (snapshot, read) = snapshot(table).await;
            assert_eq!(snapshot.position().to_string(), "tpch-sf0.01");
            let splits = snapshot.splits(&read, SplitGoal { splits_max: 7, rows_min: 1000 }).await.unwrap();
            assert_eq!(splits.len(), if table == Table::Orders { 7 } else { 1 });
            let mut keys = HashSet::new();
            for split in &splits {
                for batch in collect(snapshot.as_ref(), &read, split).await {
                    assert_eq!(batch.schema(), read.table.arrow_schema());
                    for key in batch.column(0).as_primitive::<Int64Type>().values() {
                        assert!(keys.insert(*key));
                    }
                }
            }
            assert_eq!(keys.len() as u64, read.table.rows_estimate.unwrap());
            assert_eq!(read.progress.rows.load(Ordering::Relaxed), keys.len() as u64);
        }
    }

    #[tokio::test]
    async fn projection_text_form_and_limit_are_honoured() {
        let (snapshot, read) = snapshot(Table::LineItem).await;
        let read = TableRead {
            columns: vec![5, 10, 0],
            formats: vec![ColumnFormat::Text, ColumnFormat::Text, ColumnFormat::Arrow],
            limit: Some(10_000),
            ..read
        };
        let splits = snapshot.splits(&read, SplitGoal { splits_max: 1, rows_min: 1 }).await.unwrap();
        let batches = collect(snapshot.as_ref(), &read, &splits[0]).await;
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 10_000);
        assert_eq!(batches[0].column(1).as_string::<i32>().value(0), "1996-03-13");
        let price = batches[0].column(0).as_string::<i32>().value(0);
        assert_eq!(price.split_once('.').unwrap().1.len(), 2, "{price}");
    }

    #[tokio::test]
    async fn no_column_still_counts_rows() {
        let (snapshot, read) = snapshot(Table::Region).await;
        let read = TableRead { columns: vec![], formats: vec![], ..read };
        let splits = snapshot.splits(&read, SplitGoal { splits_max: 4, rows_min: 1 }).await.unwrap();
        let batches = collect(snapshot.as_ref(), &read, &splits[0]).await;
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 5);
    }

    #[tokio::test]
    async fn a_dropped_stream_stops_the_generator() {
        let source = SampleSource::new(Scale { factor: 100.0, pool: TextPoolSize::Small });
        let schema = Arc::new(Table::LineItem.schema(source.scale));
        let read = TableRead::all(schema.clone());
        let snapshot =
            source.open_snapshot(SnapshotRequest { tables: vec![schema], connections_max: 1 }).await.unwrap();
        let splits = snapshot.splits(&read, SplitGoal { splits_max: 8, rows_min: 1 }).await.unwrap();
        let mut stream = snapshot.read(&read, &splits[0]).await.unwrap();
        assert!(stream.next().await.unwrap().unwrap().num_rows() > 0);
        drop(stream);
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let rows = read.progress.rows.load(Ordering::Relaxed);
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        assert_eq!(read.progress.rows.load(Ordering::Relaxed), rows);
    }

    #[tokio::test]
    async fn a_forged_split_is_an_error_and_capture_is_unsupported() {
        let (snapshot, read) = snapshot(Table::Region).await;
        let split = Split { index: 0, description: String::new(), payload: b"9 2".to_vec() };
        assert_eq!(snapshot.read(&read, &split).await.err().unwrap().sqlstate(), "XX000");
        let error = source().changes(&[], snapshot.position()).await.err().unwrap();
        assert_eq!(error.sqlstate(), "0A000");
        assert!(!read.schema(&source()).field(0).is_nullable());
        let batch = RecordBatch::new_empty(read.schema(&source()));
        assert!(batch.column(1).is_empty());
    }
}
