//! A system in memory with both sides of a connector and a log of changes. It passes the suite, so
//! that the suite is tested without servers, and stands in for a system in tests of the runtime.
//!
//! It is for tests: rows are kept as text (see [`Row`]) beside a batch each, and nothing is fast.

use super::Row;
use super::rows_of;
use crate::changes::{ChangeBatch, ChangeEvent, ChangeOp, ChangeStream};
use crate::connector::{Capabilities, Check, CheckRequest, Connector, ConnectorInfo, DiscoverRequest, SourceConfig};
use crate::schema::{ColumnSchema, TYPE_KEY, TableKind, TableSchema, WIRE_KEY};
use crate::sink::{
    Accepted, CommitKey, CommitSummary, DeliveryGuarantee, Misfit, Sink, SinkColumn, TableCreation, TablePlan,
    TableTarget, TableWrite, TableWriter, WriteInput,
};
use crate::source::{
    BatchStream, ColumnFormat, FilterPushdown, RawChunk, RawFormat, RawStream, Snapshot, SnapshotRequest, Source,
    Split, SplitGoal, TableRead,
};
use arrow::array::{ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use async_trait::async_trait;
use catalog::definition::SinkShape;
use catalog::option::OptionSpec;
use catalog::{CheckStatus, CreationMethod, Error, ErrorKind, Lineage, Position, Result, TableName, WriteMode};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use futures::StreamExt;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Rows of one batch that is read.
const BATCH_ROWS: usize = 256;
/// The one raw format: an Arrow stream per chunk.
const RAW_FORMAT: &str = "memory.arrow_stream";
/// The wire encoding of whole numbers: eight bytes, the highest first.
const WIRE_INT64: &str = "memory.int64";

/// One change of [`MemorySystem::apply`].
#[derive(Debug, Clone)]
pub enum RowChange {
    /// A new row; its columns in order.
    Insert(Row),
    /// New values for the row of this key.
    Update { key: Row, row: Row },
    /// The row of this key goes.
    Delete { key: Row },
}

#[derive(Debug, Clone)]
struct MemoryTable {
    schema: Arc<TableSchema>,
    rows: Arc<Vec<Row>>,
}

#[derive(Debug, Default)]
struct Inner {
    tables: BTreeMap<TableName, MemoryTable>,
    positions: HashMap<CommitKey, (TableName, String)>,
    /// Transactions with their sequence numbers, which are positions.
    log: Vec<(u64, TableName, Vec<RowChange>)>,
    sequence: u64,
    acknowledged: u64,
    writers: HashSet<CommitKey>,
}

/// The system. Clones are the same one.
#[derive(Debug, Clone)]
pub struct MemorySystem {
    inner: Arc<Mutex<Inner>>,
    /// The last sequence number, for those who wait for changes.
    moved: watch::Sender<u64>,
}

impl Default for MemorySystem {
    fn default() -> Self {
        Self::new()
    }
}

fn arrow_error(error: ArrowError) -> Error {
    Error::internal("arrow refuses what the system in memory made").with_source(error)
}

fn undefined(name: &TableName) -> Error {
    Error::new(ErrorKind::UndefinedTable, format!("table {name} does not exist in memory"))
        .with_table(&name.schema, &name.table)
}

fn lsn(sequence: u64) -> Position {
    let lineage = Lineage { system_identifier: "memory".to_owned(), ..Lineage::default() };
    Position::Lsn { lsn: sequence, lineage }
}

fn key_of(schema: &TableSchema, row: &Row) -> Row {
    let place = |name: &String| schema.column_index(name).and_then(|at| row[at].clone());
    schema.row_key().iter().map(place).collect()
}

fn column(name: &str, data_type: DataType, is_nullable: bool) -> Result<ColumnSchema> {
    let word = match data_type {
        DataType::Int64 => "bigint",
        DataType::Utf8 => "text",
        other => return Err(Error::unsupported(format!("column \"{name}\" of type {other} in memory"))),
    };
    let metadata = HashMap::from([(TYPE_KEY.to_owned(), word.to_owned())]);
    Ok(ColumnSchema {
        name: name.to_owned(),
        data_type: word.to_owned(),
        field: Field::new(name, data_type, is_nullable).with_metadata(metadata),
        is_nullable,
        is_generated: false,
        default_expr: None,
        comment: None,
    })
}

/// Makes an array of a column's values.
fn array(rows: &[Row], at: usize, format: ColumnFormat, data_type: &DataType) -> Result<ArrayRef> {
    let texts = rows.iter().map(|row| row[at].as_deref());
    let numbers = || texts.clone().map(|text| text.map(str::parse::<i64>).transpose());
    let failed = |error| Error::internal("a number in memory is none").with_source(error);
    Ok(match (format, data_type) {
        (ColumnFormat::Arrow, DataType::Int64) => {
            Arc::new(Int64Array::from(numbers().collect::<std::result::Result<Vec<_>, _>>().map_err(failed)?))
        }
        (ColumnFormat::Arrow | ColumnFormat::Text, _) => Arc::new(StringArray::from_iter(texts.clone())),
        (ColumnFormat::Wire, _) => {
            let numbers = numbers().collect::<std::result::Result<Vec<_>, _>>().map_err(failed)?;
            Arc::new(BinaryArray::from_iter(numbers.into_iter().map(|number| number.map(i64::to_be_bytes))))
        }
    })
}

fn batch_of(
    schema: &SchemaRef,
    rows: &[Row],
    columns: &[usize],
    formats: &[ColumnFormat],
    table: &TableSchema,
) -> Result<RecordBatch> {
    let arrays = columns
        .iter()
        .zip(formats)
        .map(|(&at, format)| array(rows, at, *format, table.columns[at].field.data_type()))
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema.clone(), arrays, &options).map_err(arrow_error)
}

impl MemorySystem {
    /// An empty system.
    pub fn new() -> Self {
        Self { inner: Arc::default(), moved: watch::Sender::new(0) }
    }
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Makes a table, or replaces it, with these rows; columns are whole numbers (Int64) or text (Utf8),
    /// all of them nullable but those of the key.
    pub fn create(&self, name: &TableName, columns: &[(&str, DataType)], key: &[&str], rows: Vec<Row>) -> Result<()> {
        let columns = columns
            .iter()
            .map(|(name, data_type)| column(name, data_type.clone(), !key.contains(name)))
            .collect::<Result<Vec<_>>>()?;
        if let Some(row) = rows.iter().find(|row| row.len() != columns.len()) {
            return Err(Error::internal(format!("a row of {} values for {} columns", row.len(), columns.len())));
        }
        let schema = table_schema(name, columns, key.iter().map(|name| (*name).to_owned()).collect(), rows.len());
        self.inner().tables.insert(name.clone(), MemoryTable { schema: Arc::new(schema), rows: Arc::new(rows) });
        Ok(())
    }
    /// Changes rows of a table that has a key, in one transaction of the log.
    pub fn apply(&self, name: &TableName, changes: Vec<RowChange>) -> Result<()> {
        let sequence = {
            let mut inner = self.inner();
            let table = inner.tables.get_mut(name).ok_or_else(|| undefined(name))?;
            let schema = table.schema.clone();
            let mut rows = table.rows.as_ref().clone();
            for change in &changes {
                let place = |rows: &[Row], key: &Row| rows.iter().position(|row| key_of(&schema, row) == *key);
                match change {
                    RowChange::Insert(row) => {
                        if place(&rows, &key_of(&schema, row)).is_some() {
                            return Err(Error::new(
                                ErrorKind::UniqueViolation,
                                format!("row {row:?} is there already"),
                            ));
                        }
                        rows.push(row.clone());
                    }
                    RowChange::Update { key, row } => match place(&rows, key) {
                        Some(at) => rows[at] = row.clone(),
                        None => return Err(Error::internal(format!("no row has key {key:?}"))),
                    },
                    RowChange::Delete { key } => match place(&rows, key) {
                        Some(at) => drop(rows.remove(at)),
                        None => return Err(Error::internal(format!("no row has key {key:?}"))),
                    },
                }
            }
            table.rows = Arc::new(rows);
            inner.sequence += 1;
            let sequence = inner.sequence;
            inner.log.push((sequence, name.clone(), changes));
            sequence
        };
        self.moved.send_replace(sequence);
        Ok(())
    }
    /// A table's structure; None when there is none.
    pub fn schema(&self, name: &TableName) -> Option<Arc<TableSchema>> {
        self.inner().tables.get(name).map(|table| table.schema.clone())
    }
    /// A table's rows as somebody else sees them; None when there is no table.
    pub fn rows(&self, name: &TableName) -> Option<Vec<Row>> {
        self.inner().tables.get(name).map(|table| table.rows.as_ref().clone())
    }
    /// Writes that are open, in words.
    pub fn open_writes(&self) -> Vec<String> {
        self.inner().writers.iter().map(|key| format!("{key:?}")).collect()
    }
    /// Up to where changes were acknowledged; 0 at the beginning.
    pub fn acknowledged(&self) -> u64 {
        self.inner().acknowledged
    }
    /// The reading side.
    pub fn source(&self) -> Arc<dyn Source> {
        Arc::new(MemorySource { system: self.clone() })
    }
    /// The writing side.
    pub fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(MemorySink { system: self.clone() })
    }
}

fn table_schema(name: &TableName, columns: Vec<ColumnSchema>, primary_key: Vec<String>, rows: usize) -> TableSchema {
    TableSchema {
        name: name.clone(),
        kind: TableKind::Table,
        columns,
        primary_key,
        unique_keys: vec![],
        rows_estimate: Some(rows as u64),
        bytes_estimate: None,
        comment: None,
    }
}

struct MemorySource {
    system: MemorySystem,
}

/// `column = number` and `column is null`, as `3 = 17` and `3 null`.
fn push(table: &TableSchema, filter: &Expr) -> Option<String> {
    match filter {
        Expr::IsNull(inner) => match inner.as_ref() {
            Expr::Column(column) => Some(format!("{} null", table.column_index(&column.name)?)),
            _ => None,
        },
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (left.as_ref(), right.as_ref()) {
            (Expr::Column(column), Expr::Literal(ScalarValue::Int64(Some(number)), _)) => {
                let at = table.column_index(&column.name)?;
                (table.columns[at].field.data_type() == &DataType::Int64).then(|| format!("{at} = {number}"))
            }
            _ => None,
        },
        _ => None,
    }
}

fn keeps(filter: &str, row: &Row) -> Result<bool> {
    let words: Vec<&str> = filter.split(' ').collect();
    let value = words.first().and_then(|at| row.get(at.parse::<usize>().ok()?));
    match (value, words.as_slice()) {
        (Some(value), [_, "null"]) => Ok(value.is_none()),
        (Some(value), [_, "=", number]) => Ok(value.as_deref() == Some(*number)),
        _ => Err(Error::internal(format!("\"{filter}\" is no filter of the system in memory"))),
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn open_snapshot(&self, request: SnapshotRequest) -> Result<Arc<dyn Snapshot>> {
        let inner = self.system.inner();
        let mut tables = HashMap::new();
        for table in &request.tables {
            let found = inner.tables.get(&table.name).ok_or_else(|| undefined(&table.name))?;
            tables.insert(table.name.clone(), found.rows.clone());
        }
        let source = MemorySource { system: self.system.clone() };
        Ok(Arc::new(MemorySnapshot { source, tables, position: lsn(inner.sequence) }))
    }
    async fn changes(&self, tables: &[Arc<TableSchema>], from: &Position) -> Result<ChangeStream> {
        let Position::Lsn { lsn: after, lineage } = from else {
            return Err(Error::new(ErrorKind::PositionLost, format!("position \"{from}\" is not of this system")));
        };
        if lineage.system_identifier != "memory" {
            return Err(Error::new(ErrorKind::PositionLost, format!("position \"{from}\" is of another system")));
        }
        let system = self.system.clone();
        let tables: HashMap<TableName, Arc<TableSchema>> =
            tables.iter().map(|table| (table.name.clone(), table.clone())).collect();
        let state = (system.moved.subscribe(), *after, system, tables);
        let stream = futures::stream::unfold(state, |(mut moved, after, system, tables)| async move {
            loop {
                // Seen before the log is looked at, so that no transaction falls between.
                moved.borrow_and_update();
                let next = {
                    let inner = system.inner();
                    inner.log.iter().find(|(at, name, _)| *at > after && tables.contains_key(name)).cloned()
                };
                if let Some((at, name, changes)) = next {
                    let events = transaction(&tables[&name], at, &changes);
                    return Some((futures::stream::iter(events), (moved, at, system, tables)));
                }
                // The system lives as long as the stream does, so this waits for the next transaction.
                moved.changed().await.ok()?;
            }
        });
        Ok(stream.flatten().boxed())
    }
    async fn acknowledge(&self, upto: &Position) -> Result<()> {
        if let Position::Lsn { lsn, .. } = upto {
            let mut inner = self.system.inner();
            inner.acknowledged = inner.acknowledged.max(*lsn);
        }
        Ok(())
    }
    async fn release(&self) -> Result<()> {
        Ok(())
    }
    fn push_filter(&self, table: &TableSchema, filter: &Expr) -> FilterPushdown {
        match push(table, filter) {
            Some(text) => FilterPushdown::Exact(text),
            None => FilterPushdown::Unsupported,
        }
    }
    fn wire_encoding(&self, table: &TableSchema, column: usize) -> Option<String> {
        (table.columns.get(column)?.field.data_type() == &DataType::Int64).then(|| WIRE_INT64.to_owned())
    }
    fn raw_formats(&self, read: &TableRead) -> Vec<RawFormat> {
        let column_types = read.columns.iter().map(|&at| read.table.columns[at].data_type.clone()).collect();
        vec![RawFormat { name: RAW_FORMAT.to_owned(), column_types }]
    }
}

/// One transaction of the log as events.
fn transaction(table: &TableSchema, sequence: u64, changes: &[RowChange]) -> Vec<Result<ChangeEvent>> {
    let columns: Vec<usize> = (0..table.columns.len()).collect();
    let keys: Vec<usize> = table.row_key().iter().filter_map(|name| table.column_index(name)).collect();
    let mut ops = vec![];
    let mut rows: Vec<Row> = vec![];
    let mut old_keys: Vec<Row> = vec![];
    for change in changes {
        let widen = |key: &Row| {
            let mut row: Row = vec![None; columns.len()];
            for (&at, value) in keys.iter().zip(key) {
                row[at] = value.clone();
            }
            row
        };
        let (op, row, old_key) = match change {
            RowChange::Insert(row) => (ChangeOp::Insert, row.clone(), vec![None; columns.len()]),
            RowChange::Update { key, row } if key_of(table, row) != *key => (ChangeOp::Update, row.clone(), widen(key)),
            RowChange::Update { row, .. } => (ChangeOp::Update, row.clone(), vec![None; columns.len()]),
            RowChange::Delete { key } => (ChangeOp::Delete, widen(key), vec![None; columns.len()]),
        };
        ops.push(op);
        rows.push(row);
        old_keys.push(old_key);
    }
    // A delete has no values but its key, so every column may be NULL.
    let nullable = |at: &usize| table.columns[*at].field.clone().with_nullable(true);
    let build = |rows: &[Row], columns: &[usize]| {
        let schema = Arc::new(Schema::new(columns.iter().map(nullable).collect::<Vec<_>>()));
        batch_of(&schema, rows, columns, &vec![ColumnFormat::Arrow; columns.len()], table)
    };
    let has_old_keys = old_keys.iter().flatten().any(Option::is_some);
    let batch = build(&rows, &columns).and_then(|rows| {
        let old_keys = if has_old_keys { Some(build(&old_keys, &keys)?) } else { None };
        let table = table.name.clone();
        Ok(ChangeEvent::Rows(ChangeBatch { table, schema_version: 1, ops, rows, old_keys, unchanged: None }))
    });
    vec![
        Ok(ChangeEvent::Begin { transaction_id: Some(sequence), commit_at: None }),
        batch,
        Ok(ChangeEvent::Commit { position: lsn(sequence) }),
    ]
}

struct MemorySnapshot {
    source: MemorySource,
    tables: HashMap<TableName, Arc<Vec<Row>>>,
    position: Position,
}

impl MemorySnapshot {
    fn rows(&self, name: &TableName) -> Result<Arc<Vec<Row>>> {
        self.tables.get(name).cloned().ok_or_else(|| undefined(name))
    }
    /// The rows of a split that the read's filters and limit keep, in batches.
    fn batches(&self, read: &TableRead, split: &Split) -> Result<Vec<RecordBatch>> {
        let rows = self.rows(&read.table.name)?;
        let (from, upto) = std::str::from_utf8(&split.payload)
            .ok()
            .and_then(|text| text.split_once(' '))
            .and_then(|(from, upto)| Some((from.parse::<usize>().ok()?, upto.parse::<usize>().ok()?)))
            .filter(|(from, upto)| from <= upto && *upto <= rows.len())
            .ok_or_else(|| Error::internal("a split of the system in memory is damaged"))?;
        let mut kept = vec![];
        for row in &rows[from..upto] {
            let mut is_kept = true;
            for filter in &read.filters {
                is_kept &= keeps(filter, row)?;
            }
            if is_kept {
                kept.push(row.clone());
            }
        }
        kept.truncate(usize::try_from(read.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX));
        let schema = read.schema(&self.source);
        kept.chunks(BATCH_ROWS).map(|rows| batch_of(&schema, rows, &read.columns, &read.formats, &read.table)).collect()
    }
}

#[async_trait]
impl Snapshot for MemorySnapshot {
    fn position(&self) -> &Position {
        &self.position
    }
    async fn splits(&self, read: &TableRead, goal: SplitGoal) -> Result<Vec<Split>> {
        let rows = self.rows(&read.table.name)?.len();
        let wanted = rows as u64 / goal.rows_min.max(1);
        let count = usize::try_from(wanted).unwrap_or(usize::MAX).min(goal.splits_max).max(1);
        let bound = |index: usize| rows * index / count;
        Ok((0..count)
            .map(|index| Split {
                index,
                description: format!("rows {} to {}", bound(index), bound(index + 1)),
                payload: format!("{} {}", bound(index), bound(index + 1)).into_bytes(),
            })
            .collect())
    }
    async fn read(&self, read: &TableRead, split: &Split) -> Result<BatchStream> {
        let batches = self.batches(read, split)?;
        let progress = read.progress.clone();
        let count = move |batch: RecordBatch| {
            progress.add(batch.num_rows() as u64, batch.get_array_memory_size() as u64);
            Ok(batch)
        };
        Ok(futures::stream::iter(batches).map(count).boxed())
    }
    async fn read_raw(&self, read: &TableRead, split: &Split, format: &RawFormat) -> Result<RawStream> {
        if format.name != RAW_FORMAT {
            return Err(Error::internal(format!("raw format \"{}\" was not offered", format.name)));
        }
        let batches = self.batches(read, split)?;
        let progress = read.progress.clone();
        let encode = move |batch: RecordBatch| {
            let encode = || {
                let mut writer = StreamWriter::try_new(vec![], &batch.schema())?;
                writer.write(&batch)?;
                writer.into_inner()
            };
            let bytes = encode().map_err(arrow_error)?;
            progress.add(batch.num_rows() as u64, bytes.len() as u64);
            Ok(RawChunk { rows: batch.num_rows() as u64, bytes: bytes.into() })
        };
        Ok(futures::stream::iter(batches).map(encode).boxed())
    }
}

struct MemorySink {
    system: MemorySystem,
}

impl MemorySink {
    fn plan(&self, target: &TableTarget) -> Result<TablePlan> {
        if target.mode == WriteMode::OverwritePartitions {
            return Err(Error::unsupported("WRITE OVERWRITE PARTITIONS into memory"));
        }
        let existing = self.system.schema(&target.name);
        let mut misfits = vec![];
        let mut refuse = |column: Option<&str>, message: String| {
            misfits.push(Misfit { kind: ErrorKind::TypeMismatch, column: column.map(str::to_owned), message });
        };
        let may_create = !matches!(
            target.creation,
            TableCreation::MustExist | TableCreation::Shape { shape: SinkShape::Existing, .. }
        );
        let is_recreated = target.options.get("on_exists").is_some_and(|word| word == "recreate");
        let existing = existing.filter(|_| !is_recreated);
        if existing.is_none() && !may_create {
            refuse(None, format!("Table {} does not exist, and it is not to be made.", target.name));
        }
        if target.mode == WriteMode::Upsert && target.key.is_empty() {
            return Err(Error::new(ErrorKind::NoKey, format!("WRITE UPSERT into {} needs a key", target.name)));
        }
        let mut columns = vec![];
        let mut definitions = vec![];
        for arriving in &target.columns {
            let name = &arriving.name;
            let made = column(name, arriving.field.data_type().clone(), arriving.is_nullable)?;
            if let Some(schema) = &existing {
                match schema.column_index(name) {
                    Some(at) if schema.columns[at].data_type == made.data_type => {}
                    Some(at) => {
                        let there = &schema.columns[at].data_type;
                        refuse(Some(name), format!("Column \"{name}\" is {there} and {} arrives.", made.data_type));
                    }
                    None => refuse(Some(name), format!("Column \"{name}\" arrives and is not there.")),
                }
            }
            definitions.push(format!("{} {}", catalog::quote_ident(name), made.data_type));
            columns.push(SinkColumn {
                name: name.clone(),
                data_type: made.data_type,
                is_key: target.key.contains(name),
                is_lossy: false,
            });
        }
        if let Some(schema) = &existing
            && schema.columns.len() != target.columns.len()
        {
            refuse(
                None,
                format!("The table has {} columns and {} arrive.", schema.columns.len(), target.columns.len()),
            );
        }
        let ddl = match &existing {
            Some(_) => vec![],
            None => vec![format!("CREATE TABLE {} ({})", target.name, definitions.join(", "))],
        };
        let wire = |column: &SinkColumn| (column.data_type == "bigint").then(|| WIRE_INT64.to_owned());
        Ok(TablePlan {
            creation_method: if existing.is_some() { CreationMethod::Existing } else { CreationMethod::Auto },
            ddl,
            ddl_after: vec![],
            raw_formats: vec![RawFormat {
                name: RAW_FORMAT.to_owned(),
                column_types: columns.iter().map(|column| column.data_type.clone()).collect(),
            }],
            wire_encodings: columns.iter().map(wire).collect(),
            needs_text: vec![false; columns.len()],
            columns,
            key: target.key.clone(),
            misfits,
        })
    }
}

#[async_trait]
impl Sink for MemorySink {
    fn guarantee(&self) -> DeliveryGuarantee {
        DeliveryGuarantee::ExactlyOnce
    }
    async fn plan_table(&self, target: &TableTarget) -> Result<TablePlan> {
        self.plan(target)
    }
    async fn open(&self, write: TableWrite) -> Result<Box<dyn TableWriter>> {
        let plan = self.plan(&write.target)?;
        if let Some(misfit) = plan.misfits.first() {
            let message = format!("table {} does not fit what arrives", write.target.name);
            return Err(Error::new(ErrorKind::TypeMismatch, message).with_detail(misfit.message.clone()));
        }
        if !self.system.inner().writers.insert(write.commit_key.clone()) {
            return Err(Error::new(ErrorKind::InUse, format!("run {} still writes", write.commit_key.run_id)));
        }
        Ok(Box::new(MemoryWriter { system: self.system.clone(), write, rows: vec![], bytes: 0 }))
    }
    async fn recovered_position(&self, key: &CommitKey, table: &TableName) -> Result<Option<String>> {
        let inner = self.system.inner();
        Ok(inner.positions.get(key).filter(|(name, _)| name == table).map(|(_, position)| position.clone()))
    }
    async fn clean_up(&self, _key: &CommitKey, _table: &TableName) -> Result<Vec<String>> {
        // A write holds nothing outside its writer.
        Ok(vec![])
    }
    async fn forget(&self, gateway_id: &str, job_id: Option<i64>, drop_tables: &[TableName]) -> Result<()> {
        let mut inner = self.system.inner();
        inner
            .positions
            .retain(|key, _| key.gateway_id != gateway_id || job_id.is_some_and(|job_id| job_id != key.job_id));
        for table in drop_tables {
            inner.tables.remove(table);
        }
        Ok(())
    }
}

struct MemoryWriter {
    system: MemorySystem,
    write: TableWrite,
    rows: Vec<Row>,
    bytes: u64,
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        self.system.inner().writers.remove(&self.write.commit_key);
    }
}

/// Wire bytes as the numbers that they are.
fn decode_wire(batch: &RecordBatch) -> Result<RecordBatch> {
    let mut fields = vec![];
    let mut columns: Vec<ArrayRef> = vec![];
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        match field.metadata().get(WIRE_KEY).map(String::as_str) {
            None => {
                fields.push(field.as_ref().clone());
                columns.push(column.clone());
            }
            Some(WIRE_INT64) => {
                let values =
                    column.as_binary_opt::<i32>().ok_or_else(|| Error::internal("wire bytes are not binary"))?;
                let number = |bytes: Option<&[u8]>| match bytes {
                    None => Ok(None),
                    Some(bytes) => bytes
                        .try_into()
                        .map(|bytes| Some(i64::from_be_bytes(bytes)))
                        .map_err(|error| Error::internal("wire bytes of another length than 8").with_source(error)),
                };
                let numbers = values.iter().map(number).collect::<Result<Vec<_>>>()?;
                fields.push(Field::new(field.name(), DataType::Int64, field.is_nullable()));
                columns.push(Arc::new(arrow::array::PrimitiveArray::<Int64Type>::from(numbers)));
            }
            Some(other) => return Err(Error::internal(format!("wire bytes of {other} arrive in memory"))),
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map_err(arrow_error)
}

impl MemoryWriter {
    /// Takes rows, or none of them: text with U+0000 is bad, as in many systems.
    fn take(&mut self, batch: &RecordBatch) -> Result<Accepted> {
        let rows = rows_of(&decode_wire(batch)?);
        for row in &rows {
            for (value, column) in row.iter().zip(&self.write.target.columns) {
                if value.as_deref().is_some_and(|text| text.contains('\0')) {
                    let message = format!("text of column \"{}\" contains the character U+0000", column.name);
                    return Err(Error::new(ErrorKind::InvalidText, message)
                        .with_column(&column.name)
                        .with_row_key(row.first().cloned().flatten().unwrap_or_default()));
                }
            }
        }
        let bytes = batch.get_array_memory_size() as u64;
        let count = rows.len() as u64;
        self.rows.extend(rows);
        self.bytes += bytes;
        Ok(Accepted::Accepted { rows: count, bytes })
    }
}

#[async_trait]
impl TableWriter for MemoryWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<Accepted> {
        match &self.write.input {
            WriteInput::Arrow(_) => self.take(&batch),
            WriteInput::Raw(_) => Err(Error::internal("a batch arrives for a raw write")),
        }
    }
    async fn write_raw(&mut self, chunk: RawChunk) -> Result<Accepted> {
        let WriteInput::Raw(_) = &self.write.input else {
            return Err(Error::internal("raw rows arrive for a write of batches"));
        };
        let decode = || {
            let reader = StreamReader::try_new(chunk.bytes.as_ref(), None)?;
            let schema = reader.schema();
            let batches = reader.collect::<std::result::Result<Vec<_>, ArrowError>>()?;
            arrow::compute::concat_batches(&schema, &batches)
        };
        let batch = decode().map_err(arrow_error)?;
        self.take(&batch)
    }
    async fn commit(mut self: Box<Self>, position: &Position) -> Result<CommitSummary> {
        let target = self.write.target.clone();
        let arrived = std::mem::take(&mut self.rows);
        let count = arrived.len() as u64;
        let mut inner = self.system.inner();
        let is_recreated = target.options.get("on_exists").is_some_and(|word| word == "recreate");
        let existing = inner.tables.get(&target.name).filter(|_| !is_recreated).cloned();
        let schema = match &existing {
            Some(table) => table.schema.clone(),
            None => {
                let columns = target
                    .columns
                    .iter()
                    .map(|c| column(&c.name, c.field.data_type().clone(), c.is_nullable))
                    .collect::<Result<Vec<_>>>()?;
                Arc::new(table_schema(&target.name, columns, target.key.clone(), arrived.len()))
            }
        };
        // Values arrive by name, in another order perhaps.
        let order: Vec<Option<usize>> =
            schema.columns.iter().map(|c| target.columns.iter().position(|arriving| arriving.name == c.name)).collect();
        let arrived =
            arrived.into_iter().map(|row| order.iter().map(|at| at.and_then(|at| row[at].clone())).collect::<Row>());
        let mut rows = match (&existing, target.mode) {
            (Some(table), WriteMode::Append | WriteMode::Upsert) => table.rows.as_ref().clone(),
            _ => vec![],
        };
        if target.mode == WriteMode::Upsert {
            let keys: Vec<usize> = target.key.iter().filter_map(|name| schema.column_index(name)).collect();
            let key_of = |row: &Row| keys.iter().map(|&at| row[at].clone()).collect::<Row>();
            let mut places: HashMap<Row, usize> = rows.iter().enumerate().map(|(at, row)| (key_of(row), at)).collect();
            for row in arrived {
                match places.entry(key_of(&row)) {
                    std::collections::hash_map::Entry::Occupied(place) => rows[*place.get()] = row,
                    std::collections::hash_map::Entry::Vacant(place) => {
                        place.insert(rows.len());
                        rows.push(row);
                    }
                }
            }
        } else {
            rows.extend(arrived);
        }
        inner.tables.insert(target.name.clone(), MemoryTable { schema, rows: Arc::new(rows) });
        inner.positions.insert(self.write.commit_key.clone(), (target.name.clone(), position.to_string()));
        drop(inner);
        Ok(CommitSummary { rows_written: count, bytes_written: self.bytes, detail: None })
    }
    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// A connector on one system, whatever the configuration; the sides may be doubles.
pub struct MemoryConnector {
    system: MemorySystem,
    source: Arc<dyn Source>,
    sink: Arc<dyn Sink>,
}

impl MemoryConnector {
    /// The system's own two sides.
    pub fn new(system: MemorySystem) -> Self {
        let (source, sink) = (system.source(), system.sink());
        Self { system, source, sink }
    }
    /// Puts another source in its place, as a [`super::doubles::FaultySource`].
    pub fn with_source(self, source: Arc<dyn Source>) -> Self {
        Self { source, ..self }
    }
    /// Puts another sink in its place, as a [`super::doubles::FaultySink`].
    pub fn with_sink(self, sink: Arc<dyn Sink>) -> Self {
        Self { sink, ..self }
    }
}

#[async_trait]
impl Connector for MemoryConnector {
    fn name(&self) -> &'static str {
        "memory"
    }
    fn info(&self) -> ConnectorInfo {
        ConnectorInfo {
            version: env!("CARGO_PKG_VERSION"),
            capabilities: Capabilities { read: true, capture: true, write: true, ddl: true },
            positions: &["lsn"],
            fixed_schemas: &[],
            description: "Tables in memory, for tests.",
        }
    }
    fn options(&self) -> &'static [OptionSpec] {
        &[]
    }
    fn check_options(&self, _config: &SourceConfig) -> Result<()> {
        Ok(())
    }
    async fn check(&self, _config: &SourceConfig, request: &CheckRequest) -> Vec<Check> {
        let row = |name: &str, is_there: bool, message: String| Check {
            name: name.to_owned(),
            status: if is_there { CheckStatus::Pass } else { CheckStatus::Fail },
            message,
            hint: None,
            elapsed: Duration::ZERO,
        };
        let mut checks = vec![row("connect", true, "the system is in memory".to_owned())];
        for table in &request.tables {
            checks.push(row("table", self.system.schema(table).is_some(), table.to_string()));
        }
        checks
    }
    async fn discover(&self, _config: &SourceConfig, request: &DiscoverRequest) -> Result<Vec<TableSchema>> {
        let inner = self.system.inner();
        let schema = |table: &MemoryTable| TableSchema {
            rows_estimate: Some(table.rows.len() as u64),
            ..table.schema.as_ref().clone()
        };
        Ok(match request {
            DiscoverRequest::List { schemas } => inner
                .tables
                .iter()
                .filter(|(name, _)| schemas.is_empty() || schemas.contains(&name.schema))
                .map(|(_, table)| TableSchema { columns: vec![], primary_key: vec![], ..schema(table) })
                .collect(),
            DiscoverRequest::Describe { tables } => {
                tables.iter().filter_map(|name| inner.tables.get(name)).map(schema).collect()
            }
        })
    }
    fn source(&self, _config: &SourceConfig) -> Result<Arc<dyn Source>> {
        Ok(self.source.clone())
    }
    fn sink(&self, _config: &SourceConfig) -> Result<Arc<dyn Sink>> {
        Ok(self.sink.clone())
    }
}
