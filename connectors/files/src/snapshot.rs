//! The reading side. A snapshot fixes the files of its tables when it is opened and holds them open,
//! so that a table which is replaced meanwhile is read as it was.

use crate::client::{blocking, io_error};
use crate::codec::csv::CsvReader;
use crate::codec::json::{self, JsonReader};
use crate::codec::{BATCH_BYTES_MAX, BATCH_ROWS_MAX, Cursor, parquet, text};
use crate::filter::{self, Condition};
use crate::settings::{Format, Settings};
use crate::table::{self, DataFile};
use crate::types;
use ::parquet::arrow::arrow_reader::ArrowReaderMetadata;
use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use async_trait::async_trait;
use catalog::{Error, ErrorKind, Lineage, Position, Result, TableName};
use connector_api::{
    BatchStream, ChangeStream, ColumnFormat, FilterPushdown, RawFormat, RawStream, Snapshot, SnapshotRequest, Source,
    Split, SplitGoal, TableRead, TableSchema,
};
use datafusion::logical_expr::Expr;
use futures::StreamExt;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc;

/// Batches that a reading thread may be ahead.
const BATCHES_AHEAD_MAX: usize = 2;

/// Files that one snapshot holds open; the others are opened when they are read, and an error is
/// given if they are not the same by then.
const OPEN_FILES_MAX: usize = 256;

/// Times that a listing is tried again because a table was replaced meanwhile.
const LISTINGS_MAX: usize = 10;

/// The reading side of a files source.
#[derive(Debug, Clone)]
pub struct FilesSource {
    settings: Arc<Settings>,
}

impl FilesSource {
    /// Touches no file yet.
    pub fn new(settings: Arc<Settings>) -> Self {
        Self { settings }
    }
}

#[async_trait]
impl Source for FilesSource {
    async fn open_snapshot(&self, request: SnapshotRequest) -> Result<Arc<dyn Snapshot>> {
        let source = self.clone();
        blocking(move || {
            let mut tables = HashMap::new();
            let mut files_left = OPEN_FILES_MAX;
            for table in &request.tables {
                let files = fix(&source.settings, &table.name, &mut files_left)?;
                tables.insert(table.name.clone(), Arc::new(files));
            }
            let id = snapshot_id(&tables);
            let position = Position::Snapshot { id, lineage: Lineage::default() };
            Ok(Arc::new(FilesSnapshot { source, tables, position }) as Arc<dyn Snapshot>)
        })
        .await
    }
    async fn changes(&self, _tables: &[Arc<TableSchema>], _from: &Position) -> Result<ChangeStream> {
        Err(Error::unsupported("capturing changes from source type \"files\""))
    }
    async fn acknowledge(&self, _upto: &Position) -> Result<()> {
        // Nothing is kept for a reader.
        Ok(())
    }
    async fn release(&self) -> Result<()> {
        Ok(())
    }
    fn push_filter(&self, table: &TableSchema, filter: &Expr) -> FilterPushdown {
        match filter::push(table, filter) {
            Some(text) => FilterPushdown::Inexact(text),
            None => FilterPushdown::Unsupported,
        }
    }
    fn wire_encoding(&self, _table: &TableSchema, _column: usize) -> Option<String> {
        None
    }
    fn raw_formats(&self, _read: &TableRead) -> Vec<RawFormat> {
        vec![]
    }
}

/// A file of a snapshot.
struct FixedFile {
    file: DataFile,
    /// Open since the snapshot began, unless there were too many.
    handle: Option<Arc<File>>,
    /// The footer of a Parquet file, read once.
    metadata: OnceLock<ArrowReaderMetadata>,
}

impl FixedFile {
    fn handle(&self, name: &TableName) -> Result<Arc<File>> {
        match &self.handle {
            Some(handle) => Ok(handle.clone()),
            None => table::open(&self.file)?.ok_or_else(|| table::changed(name)),
        }
    }
    fn metadata(&self, name: &TableName) -> Result<&ArrowReaderMetadata> {
        if let Some(metadata) = self.metadata.get() {
            return Ok(metadata);
        }
        let input = parquet::Input::new(self.handle(name)?, self.file.bytes);
        let metadata = parquet::metadata(&input, &self.file.path)?;
        Ok(self.metadata.get_or_init(|| metadata))
    }
}

/// Lists and opens the files of a table; again when it is replaced just then.
fn fix(settings: &Settings, name: &TableName, files_left: &mut usize) -> Result<Vec<FixedFile>> {
    for _ in 0..LISTINGS_MAX {
        let place = table::locate(&settings.root, name)?;
        if place.files.is_empty() {
            return Err(Error::new(
                ErrorKind::UndefinedTable,
                format!("table {name} does not exist in {}", settings.label),
            )
            .with_detail(format!("No data file is in {}.", place.folder.display()))
            .with_table(&name.schema, &name.table));
        }
        place.format(name)?;
        let mut files = Vec::with_capacity(place.files.len());
        for file in place.files {
            let handle = if *files_left > 0 {
                let Some(handle) = table::open(&file)? else { break };
                Some(handle)
            } else {
                None
            };
            files.push((file, handle));
        }
        // A listing is of one moment when the next one is the same.
        let again = table::locate(&settings.root, name)?;
        let is_same = again.files.len() == files.len()
            && again.files.iter().zip(&files).all(|(a, (b, _))| a.name == b.name && a.identity == b.identity);
        if is_same {
            *files_left = files_left.saturating_sub(files.len());
            let fixed = files.into_iter().map(|(file, handle)| FixedFile { file, handle, metadata: OnceLock::new() });
            return Ok(fixed.collect());
        }
    }
    Err(table::changed(name))
}

/// Equal ids mean the same files.
fn snapshot_id(tables: &HashMap<TableName, Arc<Vec<FixedFile>>>) -> String {
    let mut names: Vec<_> = tables.keys().collect();
    names.sort();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |text: &str| {
        for byte in text.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for name in names {
        add(&name.to_string());
        for fixed in tables[name].iter() {
            add(&format!("|{}|{}|{:?}", fixed.file.name, fixed.file.bytes, fixed.file.identity));
        }
    }
    format!("files-{hash:016x}")
}

/// An open snapshot.
pub struct FilesSnapshot {
    source: FilesSource,
    tables: HashMap<TableName, Arc<Vec<FixedFile>>>,
    position: Position,
}

impl FilesSnapshot {
    fn files(&self, name: &TableName) -> Result<Arc<Vec<FixedFile>>> {
        self.tables
            .get(name)
            .cloned()
            .ok_or_else(|| Error::internal(format!("table {name} is not part of this snapshot")))
    }
}

/// What a split reads: (file, row groups). Text files are read whole and have no row groups.
type Parts = Vec<(usize, Vec<usize>)>;

fn conditions(read: &TableRead) -> Result<Vec<Condition>> {
    let mut conditions = vec![];
    for filter in &read.filters {
        conditions.extend(filter::parse(filter)?);
    }
    Ok(conditions)
}

#[async_trait]
impl Snapshot for FilesSnapshot {
    fn position(&self) -> &Position {
        &self.position
    }
    async fn splits(&self, read: &TableRead, goal: SplitGoal) -> Result<Vec<Split>> {
        let files = self.files(&read.table.name)?;
        let read = read.clone();
        blocking(move || {
            // One unit is what cannot be split further: (file, row group, rows).
            let mut units: Vec<(usize, Option<usize>, u64)> = vec![];
            let mut row_group_count = 0;
            let conditions = conditions(&read)?;
            let rows_total = read.table.rows_estimate.unwrap_or(u64::MAX);
            let bytes_total: u64 = files.iter().map(|fixed| fixed.file.bytes).sum::<u64>().max(1);
            for (index, fixed) in files.iter().enumerate() {
                if fixed.file.format != Format::Parquet {
                    let share = fixed.file.bytes as f64 / bytes_total as f64;
                    units.push((index, None, (rows_total as f64 * share) as u64));
                    continue;
                }
                let metadata = fixed.metadata(&read.table.name)?;
                row_group_count += metadata.metadata().num_row_groups();
                for row_group in filter::row_groups(&read.table, metadata, &conditions) {
                    let rows = metadata.metadata().row_group(row_group).num_rows();
                    units.push((index, Some(row_group), u64::try_from(rows).unwrap_or(0)));
                }
            }
            Ok(group(&units, goal, row_group_count))
        })
        .await
    }
    async fn read(&self, read: &TableRead, split: &Split) -> Result<BatchStream> {
        let files = self.files(&read.table.name)?;
        let parts: Parts = serde_json::from_slice(&split.payload)
            .ok()
            .filter(|parts: &Parts| parts.iter().all(|(file, _)| *file < files.len()))
            .ok_or_else(|| Error::internal("a split of the files source is damaged"))?;
        if read.formats.contains(&ColumnFormat::Wire) {
            return Err(Error::internal("the files source has no wire encoding to read columns in"));
        }
        let schema = read.schema(&self.source);
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD_MAX);
        let job = ReadJob {
            settings: self.source.settings.clone(),
            files,
            conditions: conditions(read)?,
            rows_left: read.limit.unwrap_or(u64::MAX),
            read: read.clone(),
            schema,
            sender,
        };
        let reader = tokio::task::spawn_blocking(move || job.run(parts));
        let stream = futures::stream::unfold((receiver, Some(reader)), |(mut receiver, reader)| async move {
            if let Some(batch) = receiver.recv().await {
                return Some((Ok(batch), (receiver, reader)));
            }
            // The channel is closed: the thread has ended, and how tells whether the rows were all.
            match reader?.await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some((Err(error), (receiver, None))),
                Err(error) => {
                    let error = Error::internal("a reading thread ended early").with_source(error);
                    Some((Err(error), (receiver, None)))
                }
            }
        });
        Ok(stream.boxed())
    }
    async fn read_raw(&self, _read: &TableRead, _split: &Split, format: &RawFormat) -> Result<RawStream> {
        Err(Error::unsupported(format!("reading source type \"files\" in raw format \"{}\"", format.name)))
    }
}

/// Groups neighbouring units into splits of about equal rows.
fn group(units: &[(usize, Option<usize>, u64)], goal: SplitGoal, row_group_count: usize) -> Vec<Split> {
    let rows: u64 = units.iter().fold(0, |sum: u64, unit| sum.saturating_add(unit.2));
    let by_rows = (rows / goal.rows_min.max(1)).max(1);
    let count = by_rows.min(goal.splits_max.max(1) as u64).min(units.len().max(1) as u64);
    let target = (rows / count).max(1);
    let mut groups: Vec<Parts> = vec![vec![]];
    let mut rows_in_group = 0_u64;
    for &(file, row_group, rows) in units {
        if rows_in_group >= target && (groups.len() as u64) < count {
            groups.push(vec![]);
            rows_in_group = 0;
        }
        rows_in_group = rows_in_group.saturating_add(rows);
        let Some(parts) = groups.last_mut() else { break };
        match parts.last_mut() {
            Some((last, row_groups)) if *last == file => row_groups.extend(row_group),
            _ => parts.push((file, row_group.into_iter().collect())),
        }
    }
    groups
        .into_iter()
        .enumerate()
        .map(|(index, parts)| {
            let row_groups: usize = parts.iter().map(|(_, row_groups)| row_groups.len()).sum();
            let files = parts.len();
            let description = match row_group_count {
                0 => format!("{files} files"),
                all => format!("{row_groups} of {all} row groups in {files} files"),
            };
            // Numbers in a list cannot fail to be written.
            let payload = serde_json::to_vec(&parts).unwrap_or_default();
            Split { index, description, payload }
        })
        .collect()
}

/// One split being read on a thread of its own.
struct ReadJob {
    settings: Arc<Settings>,
    files: Arc<Vec<FixedFile>>,
    conditions: Vec<Condition>,
    rows_left: u64,
    read: TableRead,
    schema: SchemaRef,
    sender: mpsc::Sender<RecordBatch>,
}

/// Whether the reader goes on.
#[derive(PartialEq)]
enum Flow {
    More,
    Enough,
}

impl ReadJob {
    fn run(mut self, parts: Parts) -> Result<()> {
        let files = self.files.clone();
        for (index, row_groups) in parts {
            let fixed = &files[index];
            if self.rows_left == 0 {
                break;
            }
            let flow = match fixed.file.format {
                Format::Parquet => self.read_parquet(fixed, row_groups)?,
                Format::Csv => self.read_csv(fixed)?,
                Format::Json => self.read_json(fixed)?,
            };
            if flow == Flow::Enough {
                break;
            }
        }
        Ok(())
    }

    /// Gives a batch of the table's own types on, in the form that was asked for.
    fn send(&mut self, columns: Vec<ArrayRef>, rows: usize) -> Result<Flow> {
        let rows_given = rows.min(usize::try_from(self.rows_left).unwrap_or(usize::MAX));
        let columns = columns
            .into_iter()
            .zip(&self.read.formats)
            .map(|(column, format)| match format {
                ColumnFormat::Text => Arc::new(text::to_strings(&column)),
                ColumnFormat::Arrow | ColumnFormat::Wire => column,
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(|error| {
            Error::new(
                ErrorKind::TypeMismatch,
                format!("the files of table {} do not fit its columns", self.read.table.name),
            )
            .with_detail(format!("The reader said: {error}."))
            .with_hint("Somebody may have changed the files since the table was looked at; look again.")
            .with_source(error)
        })?;
        let batch = batch.slice(0, rows_given);
        self.rows_left -= rows_given as u64;
        self.read.progress.add(rows_given as u64, batch.get_array_memory_size() as u64);
        let is_read_on = self.sender.blocking_send(batch).is_ok();
        Ok(if is_read_on && self.rows_left > 0 { Flow::More } else { Flow::Enough })
    }

    fn read_parquet(&mut self, fixed: &FixedFile, row_groups: Vec<usize>) -> Result<Flow> {
        let name = self.read.table.name.clone();
        let path = &fixed.file.path;
        let metadata = fixed.metadata(&name)?.clone();
        let kept = filter::row_groups(&self.read.table, &metadata, &self.conditions);
        let row_groups: Vec<usize> = row_groups.into_iter().filter(|index| kept.contains(index)).collect();
        if row_groups.is_empty() {
            return Ok(Flow::More);
        }
        // For each column of the read, the file's column.
        let in_file: Vec<Option<usize>> = self
            .read
            .columns
            .iter()
            .map(|&index| metadata.schema().index_of(&self.read.table.columns[index].name).ok())
            .collect();
        let mut wanted: Vec<usize> = in_file.iter().flatten().copied().collect();
        wanted.sort_unstable();
        wanted.dedup();
        let input = parquet::Input::new(fixed.handle(&name)?, fixed.file.bytes);
        let limit = usize::try_from(self.rows_left).ok();
        let batches = parquet::read(input, metadata, row_groups, &wanted, limit)
            .map_err(|error| parquet::damaged(path, error))?;
        for batch in batches {
            let batch = batch.map_err(|error| parquet::damaged(path, error.into()))?;
            let mut columns = Vec::with_capacity(in_file.len());
            for (&index, in_file) in self.read.columns.iter().zip(&in_file) {
                let column = &self.read.table.columns[index];
                columns.push(match in_file.and_then(|field| wanted.binary_search(&field).ok()) {
                    None => new_null_array(column.field.data_type(), batch.num_rows()),
                    Some(at) => convert(batch.column(at), column.field.data_type())
                        .map_err(|message| self.misfit(&fixed.file, &column.name, &message))?,
                });
            }
            if self.send(columns, batch.num_rows())? == Flow::Enough {
                return Ok(Flow::Enough);
            }
        }
        Ok(Flow::More)
    }

    fn misfit(&self, file: &DataFile, column: &str, message: &str) -> Error {
        let name = &self.read.table.name;
        Error::new(
            ErrorKind::InvalidText,
            format!("column \"{column}\" of file \"{}\" does not fit its table", file.path.display()),
        )
        .with_detail(message)
        .with_table(&name.schema, &name.table)
        .with_column(column)
    }

    fn read_csv(&mut self, fixed: &FixedFile) -> Result<Flow> {
        let file = &fixed.file;
        let style = CsvStyle::of(&self.settings, file);
        let input = BufReader::with_capacity(1 << 18, Cursor::new(fixed.handle(&self.read.table.name)?, 0));
        let mut reader = CsvReader::new(input, style.delimiter).map_err(|e| io_error(e, "read", &file.path))?;
        let mut names = style.names;
        if style.has_header {
            match reader.next_record().map_err(|error| table::csv_error(file, error))? {
                Some(header) => names = Some(table::csv_header(header)),
                None => return Ok(Flow::More),
            }
        }
        let position = |name: &str| match &names {
            Some(names) => names.iter().position(|in_file| in_file == name),
            None => name.strip_prefix("column")?.parse::<usize>().ok()?.checked_sub(1),
        };
        let positions: Vec<Option<usize>> =
            self.read.columns.iter().map(|&index| position(&self.read.table.columns[index].name)).collect();
        let mut rows = TextRows::new(positions.len());
        loop {
            let line = reader.line();
            let Some(mut record) = reader.next_record().map_err(|error| table::csv_error(file, error))? else {
                break;
            };
            if let Some(names) = &names
                && record.len() != names.len()
            {
                let message = format!("It has {} fields, and the file has {} columns.", record.len(), names.len());
                return Err(table::csv_error(file, crate::codec::csv::CsvError { line, message, io: None }));
            }
            rows.begin(line);
            for (column, position) in positions.iter().enumerate() {
                let field = position.and_then(|position| record.get_mut(position)).and_then(Option::take);
                rows.push(column, field);
            }
            if self.is_due(&rows) && self.send_texts(file, &mut rows)? == Flow::Enough {
                return Ok(Flow::Enough);
            }
        }
        self.send_texts(file, &mut rows)
    }

    fn read_json(&mut self, fixed: &FixedFile) -> Result<Flow> {
        let file = &fixed.file;
        let input = BufReader::with_capacity(1 << 18, Cursor::new(fixed.handle(&self.read.table.name)?, 0));
        let mut reader = JsonReader::new(input);
        let wanted: HashMap<String, usize> = (self.read.columns.iter().enumerate())
            .map(|(at, &index)| (self.read.table.columns[index].name.clone(), at))
            .collect();
        let mut rows = TextRows::new(self.read.columns.len());
        while let Some(object) = reader.next_object().map_err(|error| table::json_error(file, error))? {
            rows.begin(reader.line());
            let mut record: Vec<Option<String>> = vec![None; self.read.columns.len()];
            for (name, raw) in json::members(&object) {
                if let Some(&at) = wanted.get(name.as_ref()) {
                    let data_type = self.read.table.columns[self.read.columns[at]].field.data_type();
                    record[at] = text::leaf(raw, data_type).map(Cow::into_owned);
                }
            }
            for (at, value) in record.into_iter().enumerate() {
                rows.push(at, value);
            }
            if self.is_due(&rows) && self.send_texts(file, &mut rows)? == Flow::Enough {
                return Ok(Flow::Enough);
            }
        }
        self.send_texts(file, &mut rows)
    }

    fn is_due(&self, rows: &TextRows) -> bool {
        rows.lines.len() >= BATCH_ROWS_MAX || rows.bytes >= BATCH_BYTES_MAX || rows.lines.len() as u64 >= self.rows_left
    }

    /// Gives the collected texts their types and sends them.
    fn send_texts(&mut self, file: &DataFile, rows: &mut TextRows) -> Result<Flow> {
        let count = rows.lines.len();
        if count == 0 {
            return Ok(Flow::More);
        }
        let mut columns = Vec::with_capacity(rows.columns.len());
        for (&index, texts) in self.read.columns.iter().zip(&rows.columns) {
            let column = &self.read.table.columns[index];
            let texts: Vec<Option<Cow<'_, str>>> = texts.iter().map(|t| t.as_deref().map(Cow::Borrowed)).collect();
            let array = text::decode(&texts, column.field.data_type()).map_err(|error| {
                let line = rows.lines.get(error.row).copied().unwrap_or(0);
                let is_inferred = table::recorded_schema(&self.settings, file).is_none();
                let misfit = self.misfit(file, &column.name, &format!("{} It is at line {line}.", error.message));
                match is_inferred {
                    true => misfit.with_hint(
                        "The type was inferred from the first rows. Raise infer_rows, or read every column as text \
                         with infer_types = 'false'.",
                    ),
                    false => misfit,
                }
            })?;
            columns.push(array);
        }
        rows.clear();
        self.send(columns, count)
    }
}

/// Converts a file's column to the table's type, exactly.
fn convert(column: &ArrayRef, to: &arrow::datatypes::DataType) -> Result<ArrayRef, String> {
    let plain =
        types::stored_type(column.data_type()).ok_or_else(|| format!("Type {} cannot be read.", column.data_type()))?;
    let column = types::convert(column, &plain).map_err(|error| format!("The reader said: {error}."))?;
    types::convert(&column, to).map_err(|error| format!("The reader said: {error}."))
}

/// How a CSV file is to be read: ours as it was written, others as the options say.
struct CsvStyle {
    has_header: bool,
    delimiter: u8,
    /// Column names of a file of ours without a header.
    names: Option<Vec<String>>,
}

impl CsvStyle {
    fn of(settings: &Settings, file: &DataFile) -> Self {
        let mut style = Self { has_header: settings.csv_header, delimiter: settings.csv_delimiter, names: None };
        if let Some(schema) = table::recorded_schema(settings, file) {
            if let Some(word) = schema.metadata().get(crate::write::CSV_HEADER_KEY) {
                style.has_header = word == "true";
            }
            if let Some(&byte) =
                schema.metadata().get(crate::write::CSV_DELIMITER_KEY).and_then(|d| d.as_bytes().first())
            {
                style.delimiter = byte;
            }
            style.names = Some(schema.fields().iter().map(|field| field.name().clone()).collect());
        }
        style
    }
}

/// Rows of texts, column by column.
struct TextRows {
    columns: Vec<Vec<Option<String>>>,
    /// The line of each row.
    lines: Vec<u64>,
    bytes: usize,
}

impl TextRows {
    fn new(columns: usize) -> Self {
        Self { columns: vec![vec![]; columns], lines: vec![], bytes: 0 }
    }
    fn begin(&mut self, line: u64) {
        self.lines.push(line);
    }
    fn push(&mut self, column: usize, value: Option<String>) {
        self.bytes += value.as_ref().map_or(1, |value| value.len() + 24);
        self.columns[column].push(value);
    }
    fn clear(&mut self) {
        self.columns.iter_mut().for_each(Vec::clear);
        self.lines.clear();
        self.bytes = 0;
    }
}
