//! Parquet: a writer that encodes columns in parallel and bounds row groups in rows and bytes, and
//! a reader over shared file handles.

use super::{BATCH_BYTES_MAX, BATCH_ROWS_MAX, Cursor, Output, Refusal};
use crate::settings::{Compression, Settings};
use crate::types::type_word;
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use catalog::{Error, ErrorKind, Result};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves,
};
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter, ProjectionMask};
use parquet::basic::{Compression as PageCompression, LogicalType, Type as PhysicalType, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{SchemaDescriptor, Type};
use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Encoded bytes at which a row group is closed whatever its rows.
const ROW_GROUP_BYTES_MAX: usize = 24 << 20;

/// Rows that are collected before the columns are encoded, so that starting threads does not show.
const PENDING_ROWS_MAX: usize = 32 * 1024;

/// Bytes that are collected at most.
const PENDING_BYTES_MAX: usize = 8 << 20;

/// Threads that encode one file.
const ENCODE_THREADS_MAX: usize = 2;

/// Writes one Parquet file. Not more than about 24 MiB of encoded and 8 MiB of arriving data are
/// held at a time (one batch may be larger).
pub struct ParquetEncoder {
    writer: SerializedFileWriter<Output>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    /// For each field, how many leaf columns it has.
    leaf_counts: Vec<usize>,
    columns: Option<Vec<ArrowColumnWriter>>,
    row_group_rows: usize,
    row_group_rows_max: usize,
    row_group_index: usize,
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    pending_bytes: usize,
    threads: usize,
    refusal: Refusal,
}

impl ParquetEncoder {
    /// Begins a file of this schema.
    pub fn new(output: Output, schema: SchemaRef, settings: &Settings) -> Result<Self> {
        let refusal = output.refusal();
        let compression = match settings.compression {
            Compression::Zstd => PageCompression::ZSTD(
                ZstdLevel::try_new(1).map_err(|error| Error::internal("zstd has no level 1").with_source(error))?,
            ),
            Compression::Snappy => PageCompression::SNAPPY,
            Compression::None => PageCompression::UNCOMPRESSED,
        };
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_dictionary_enabled(true)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_created_by(format!("tidegate {}", env!("CARGO_PKG_VERSION")))
            .build();
        let parquet_schema = parquet_schema(&schema).map_err(|error| refusal.explain(error))?;
        let leaf_counts = (0..schema.fields().len())
            .map(|field| {
                (0..parquet_schema.num_columns())
                    .filter(|&leaf| parquet_schema.get_column_root_idx(leaf) == field)
                    .count()
            })
            .collect();
        let options = ArrowWriterOptions::new().with_properties(properties).with_parquet_schema(parquet_schema);
        let (writer, factory) = ArrowWriter::try_new_with_options(output, schema.clone(), options)
            .and_then(ArrowWriter::into_serialized_writer)
            .map_err(|error| refusal.explain(error))?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(ENCODE_THREADS_MAX);
        Ok(Self {
            writer,
            factory,
            schema,
            leaf_counts,
            columns: None,
            row_group_rows: 0,
            row_group_rows_max: settings.row_group_rows.max(1),
            row_group_index: 0,
            pending: vec![],
            pending_rows: 0,
            pending_bytes: 0,
            threads,
            refusal,
        })
    }

    /// Takes rows of the schema.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut start = 0;
        while start < batch.num_rows() {
            let room = self.row_group_rows_max - self.row_group_rows - self.pending_rows;
            let count = room.min(batch.num_rows() - start);
            let part = batch.slice(start, count);
            start += count;
            self.pending_rows += count;
            // A slice claims the memory of its whole batch, which is held by it indeed.
            self.pending_bytes += part.get_array_memory_size();
            self.pending.push(part);
            let is_full = self.row_group_rows + self.pending_rows >= self.row_group_rows_max;
            if is_full || self.pending_rows >= PENDING_ROWS_MAX || self.pending_bytes >= PENDING_BYTES_MAX {
                self.encode_pending()?;
            }
            if is_full {
                self.close_row_group()?;
            }
        }
        Ok(())
    }

    /// Encodes what is pending, columns in parallel.
    fn encode_pending(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        self.row_group_rows += std::mem::take(&mut self.pending_rows);
        self.pending_bytes = 0;
        if pending.is_empty() {
            return Ok(());
        }
        let columns = match &mut self.columns {
            Some(columns) => columns,
            none => none.insert(
                self.factory
                    .create_column_writers(self.row_group_index)
                    .map_err(|error| self.refusal.explain(error))?,
            ),
        };
        let mut rest = columns.as_mut_slice();
        let mut tasks = Vec::with_capacity(self.leaf_counts.len());
        for (field, &count) in self.leaf_counts.iter().enumerate() {
            let (leaves, others) = rest.split_at_mut(count);
            rest = others;
            tasks.push((field, leaves));
        }
        let queue = Mutex::new(tasks.into_iter());
        let failure = Mutex::new(None);
        let schema = &self.schema;
        let work = || {
            loop {
                let Some((field, leaves)) = queue.lock().ok().and_then(|mut queue| queue.next()) else {
                    return;
                };
                for batch in &pending {
                    if let Err(error) = encode(schema, field, batch.column(field), leaves) {
                        if let Ok(mut failure) = failure.lock() {
                            *failure = Some(error);
                        }
                        return;
                    }
                }
            }
        };
        if self.threads > 1 && self.leaf_counts.len() > 1 {
            std::thread::scope(|scope| {
                for _ in 1..self.threads {
                    scope.spawn(work);
                }
                work();
            });
        } else {
            work();
        }
        if let Some(error) = failure.into_inner().unwrap_or(None) {
            return Err(self.refusal.explain(error));
        }
        let bytes: usize = self.columns.iter().flatten().map(ArrowColumnWriter::memory_size).sum();
        if bytes >= ROW_GROUP_BYTES_MAX {
            self.close_row_group()?;
        }
        Ok(())
    }

    fn close_row_group(&mut self) -> Result<()> {
        self.row_group_rows = 0;
        let Some(columns) = self.columns.take() else {
            return Ok(());
        };
        self.row_group_index += 1;
        let append = || -> Result<(), ParquetError> {
            let mut row_group = self.writer.next_row_group()?;
            for column in columns {
                let chunk: ArrowColumnChunk = column.close()?;
                chunk.append_to_row_group(&mut row_group)?;
            }
            row_group.close().map(|_| ())
        };
        append().map_err(|error| self.refusal.explain(error))
    }

    /// Writes the footer; the output is complete and not yet durable.
    pub fn finish(mut self) -> Result<Output> {
        self.encode_pending()?;
        self.close_row_group()?;
        let refusal = self.refusal;
        self.writer.into_inner().map_err(|error| refusal.explain(error))
    }
}

fn encode(
    schema: &SchemaRef,
    field: usize,
    array: &ArrayRef,
    writers: &mut [ArrowColumnWriter],
) -> Result<(), ParquetError> {
    let leaves = compute_leaves(schema.field(field), array)?;
    for (leaf, writer) in leaves.iter().zip(writers) {
        writer.write(leaf)?;
    }
    Ok(())
}

/// The Parquet schema, with the logical types that Arrow has no word for: other readers then see
/// uuid and json columns as such.
fn parquet_schema(schema: &SchemaRef) -> Result<SchemaDescriptor, ParquetError> {
    let plain = ArrowSchemaConverter::new().convert(schema)?;
    let fields = plain.root_schema().get_fields().iter().zip(schema.fields()).map(|(parquet, field)| {
        let logical = match (field.data_type(), type_word(field).as_str()) {
            (DataType::FixedSizeBinary(16), "uuid") => LogicalType::Uuid,
            (DataType::Utf8, "json" | "jsonb") => LogicalType::Json,
            _ => return Ok(parquet.clone()),
        };
        let (physical, length) = match logical {
            LogicalType::Uuid => (PhysicalType::FIXED_LEN_BYTE_ARRAY, 16),
            _ => (PhysicalType::BYTE_ARRAY, -1),
        };
        let built = Type::primitive_type_builder(parquet.name(), physical)
            .with_repetition(parquet.get_basic_info().repetition())
            .with_length(length)
            .with_logical_type(Some(logical))
            .build()?;
        Ok(Arc::new(built))
    });
    let fields = fields.collect::<Result<Vec<_>, ParquetError>>()?;
    let root = Type::group_type_builder("arrow_schema").with_fields(fields).build()?;
    Ok(SchemaDescriptor::new(Arc::new(root)))
}

/// A Parquet file as its reader wants it: one shared handle, many offsets.
#[derive(Clone)]
pub struct Input {
    file: Arc<File>,
    bytes: u64,
}

impl Input {
    /// Over an open file of this size.
    pub fn new(file: Arc<File>, bytes: u64) -> Self {
        Self { file, bytes }
    }
}

impl Length for Input {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Input {
    type T = BufReader<Cursor>;
    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(BufReader::with_capacity(1 << 16, Cursor::new(self.file.clone(), start)))
    }
    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        if start.saturating_add(length as u64) > self.bytes {
            return Err(ParquetError::EOF(format!("bytes {start} to {} are beyond the end", start + length as u64)));
        }
        let mut buffer = vec![0; length];
        self.file.read_exact_at(&mut buffer, start)?;
        Ok(buffer.into())
    }
}

/// The error for a file that is no good Parquet.
pub fn damaged(path: &Path, error: ParquetError) -> Error {
    Error::new(ErrorKind::Io, format!("file \"{}\" cannot be read as parquet", path.display()))
        .with_detail(format!("The reader said: {error}."))
        .with_source(error)
}

/// Reads a file's footer.
pub fn metadata(input: &Input, path: &Path) -> Result<ArrowReaderMetadata> {
    ArrowReaderMetadata::load(input, ArrowReaderOptions::new()).map_err(|error| damaged(path, error))
}

/// The word of a top-level column's logical type that Arrow does not have, for files of other
/// programs.
pub fn logical_word(metadata: &ArrowReaderMetadata, field: usize) -> Option<&'static str> {
    let root = metadata.parquet_schema().root_schema();
    match root.get_fields().get(field)?.get_basic_info().logical_type_ref() {
        Some(LogicalType::Uuid) => Some("uuid"),
        Some(LogicalType::Json) => Some("json"),
        _ => None,
    }
}

/// Batches of some row groups and columns (top-level indexes, ascending). Batches are bounded in
/// rows, and in bytes by the row groups' own sizes.
pub fn read(
    input: Input,
    metadata: ArrowReaderMetadata,
    row_groups: Vec<usize>,
    columns: &[usize],
    limit: Option<usize>,
) -> Result<impl Iterator<Item = Result<RecordBatch, arrow::error::ArrowError>>, ParquetError> {
    let mut rows_max = BATCH_ROWS_MAX;
    for &index in &row_groups {
        let row_group = metadata.metadata().row_group(index);
        let bytes = row_group.total_byte_size().max(1) as usize;
        let rows = row_group.num_rows().max(1) as usize;
        rows_max = rows_max.min((BATCH_BYTES_MAX.saturating_mul(rows) / bytes).max(1));
    }
    let mask = ProjectionMask::roots(metadata.parquet_schema(), columns.iter().copied());
    let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(input, metadata)
        .with_row_groups(row_groups)
        .with_projection(mask)
        .with_batch_size(rows_max);
    if let Some(limit) = limit {
        builder = builder.with_limit(limit);
    }
    builder.build()
}
