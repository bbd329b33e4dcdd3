//! One split's read: the statement, and the streams of batches and of raw chunks that it becomes.

use crate::decode::{BatchDecoder, BinaryRows, Decode};
use crate::discover::{BaseType, TypeCatalog};
use crate::pool::{Lease, Pool};
use crate::split::Part;
use crate::types::PgType;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use bytes::{Bytes, BytesMut};
use catalog::name::force_quote_ident;
use catalog::{Error, ErrorKind, Result, TableName};
use connector_api::{BatchStream, ColumnFormat, RawChunk, RawStream, ReadProgress, TableRead};
use futures::StreamExt;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use tokio_postgres::CopyOutStream;

/// A raw chunk that has reached this many bytes goes.
const CHUNK_BYTES: usize = 256 << 10;

/// A table as it is in the snapshot.
#[derive(Debug)]
pub(crate) struct TableFacts {
    /// Its columns by name: the printed type, and what is behind it.
    pub(crate) columns: HashMap<String, (String, BaseType)>,
    /// `pg_class.oid`.
    pub(crate) oid: u32,
    /// `pg_class.relkind`.
    pub(crate) kind: char,
    /// Whether SELECT is granted on the whole table, system columns included.
    pub(crate) is_granted: bool,
    /// Whether anything of it may be read.
    pub(crate) is_readable: bool,
    /// Whether row-level security would hide rows from us.
    pub(crate) hides_rows: bool,
}

/// The expressions that are selected, and what becomes of their values.
#[derive(Debug)]
pub(crate) struct Selection {
    expressions: Vec<String>,
    decodes: Vec<Decode>,
}

impl Selection {
    /// For a read as batches. Fails when the table has changed since it was discovered.
    pub(crate) fn batches(pool: &Pool, types: &TypeCatalog, facts: &TableFacts, read: &TableRead) -> Result<Self> {
        let mut selection = Self { expressions: vec![], decodes: vec![] };
        for (place, &index) in read.columns.iter().enumerate() {
            let column = &read.table.columns[index];
            let base = column_facts(pool, facts, read, index)?;
            let quoted = force_quote_ident(&column.name);
            let pg_type = base.pg_type();
            let format = read.formats.get(place).copied().unwrap_or(ColumnFormat::Arrow);
            let (expression, decode) = match format {
                ColumnFormat::Wire => (quoted, Decode::Wire),
                // The binary form of these is their text.
                ColumnFormat::Text if pg_type == PgType::Text => (quoted, Decode::Value(PgType::Text)),
                ColumnFormat::Text => (types.text_expression(base, &quoted), Decode::Value(PgType::Text)),
                ColumnFormat::Arrow if pg_type != PgType::Cast && pg_type.arrow_type() == *column.field.data_type() => {
                    (quoted, Decode::Value(pg_type))
                }
                ColumnFormat::Arrow if *column.field.data_type() == DataType::Utf8 => {
                    (types.text_expression(base, &quoted), Decode::Value(PgType::Text))
                }
                ColumnFormat::Arrow => return Err(changed(pool, read, &column.name, &column.data_type, None)),
            };
            selection.expressions.push(expression);
            selection.decodes.push(decode);
        }
        Ok(selection)
    }

    /// For a raw read: the columns as they are.
    pub(crate) fn raw(pool: &Pool, facts: &TableFacts, read: &TableRead) -> Result<Self> {
        let mut selection = Self { expressions: vec![], decodes: vec![] };
        for &index in &read.columns {
            column_facts(pool, facts, read, index)?;
            selection.expressions.push(force_quote_ident(&read.table.columns[index].name));
        }
        Ok(selection)
    }

    /// `copy (select ..) to stdout`; columns are found by name, as partitions may order them otherwise.
    pub(crate) fn statement(&self, parts: &[Part], read: &TableRead, format: &str) -> String {
        let columns = self.expressions.join(", ");
        let selects: Vec<String> = parts
            .iter()
            .map(|part| {
                let only = if part.is_only { "ONLY " } else { "" };
                let conditions: Vec<String> =
                    read.filters.iter().map(|filter| format!("({filter})")).chain(part.condition()).collect();
                let filter =
                    if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
                format!(
                    "SELECT {columns} FROM {only}{}.{}{filter}",
                    force_quote_ident(&part.name.schema),
                    force_quote_ident(&part.name.table)
                )
            })
            .collect();
        let mut query = selects.join(" UNION ALL ");
        if let Some(limit) = read.limit {
            // A limit after UNION ALL counts over all of it.
            query.push_str(&format!(" LIMIT {limit}"));
        }
        format!("COPY ({query}) TO STDOUT (FORMAT {format})")
    }
}

fn column_facts<'a>(pool: &Pool, facts: &'a TableFacts, read: &TableRead, index: usize) -> Result<&'a BaseType> {
    let column = read
        .table
        .columns
        .get(index)
        .ok_or_else(|| Error::internal(format!("table {} has no column at place {index}", read.table.name)))?;
    match facts.columns.get(&column.name) {
        Some((data_type, base)) if *data_type == column.data_type => Ok(base),
        Some((data_type, _)) => Err(changed(pool, read, &column.name, &column.data_type, Some(data_type))),
        None => Err(Error::new(
            ErrorKind::UndefinedColumn,
            format!(
                "column \"{}\" of table {} is no longer there on {}",
                column.name,
                read.table.name,
                pool.config().label()
            ),
        )
        .with_hint(refresh(pool))
        .with_table(&read.table.name.schema, &read.table.name.table)
        .with_column(&column.name)),
    }
}

fn changed(pool: &Pool, read: &TableRead, column: &str, was: &str, is: Option<&str>) -> Error {
    let is = is.map(|is| format!(" and is {is} now")).unwrap_or_default();
    Error::new(
        ErrorKind::TypeMismatch,
        format!("column \"{column}\" of table {} has changed on {}", read.table.name, pool.config().label()),
    )
    .with_detail(format!("It was {was} when the source was last looked at{is}."))
    .with_hint(refresh(pool))
    .with_table(&read.table.name.schema, &read.table.name.table)
    .with_column(column)
}

fn refresh(pool: &Pool) -> String {
    format!("ALTER SOURCE {} REFRESH;", catalog::quote_ident(&pool.config().name))
}

/// A copy under way.
struct Copy {
    // None after its end; dropped first, so that nothing is left to be read when the lease cancels.
    stream: Option<Pin<Box<CopyOutStream>>>,
    lease: Option<Lease>,
    doing: String,
    bytes: u64,
}

impl Copy {
    async fn start(pool: &Arc<Pool>, table: &TableName, statement: &str) -> Result<Self> {
        let mut lease = pool.acquire().await?;
        let doing = format!("read table {table}");
        lease.begin()?;
        let started = lease.client()?.copy_out(statement).await;
        match started {
            Ok(stream) => Ok(Self { stream: Some(Box::pin(stream)), lease: Some(lease), doing, bytes: 0 }),
            Err(error) => {
                let error = lease.client()?.error(&doing, error);
                lease.fail();
                Err(error)
            }
        }
    }

    /// The next frame; None at the end, when the connection has gone back to the pool.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        match stream.next().await {
            Some(Ok(frame)) => {
                self.bytes += frame.len() as u64;
                Ok(Some(frame))
            }
            Some(Err(error)) => {
                self.stream = None;
                let lease = self.lease.take().ok_or_else(|| Error::internal("a copy has no connection"))?;
                let error = lease.client()?.error(&self.doing, error);
                lease.fail();
                Err(error)
            }
            None => {
                self.stream = None;
                if let Some(lease) = self.lease.take() {
                    lease.finish();
                }
                Ok(None)
            }
        }
    }

    fn take_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }
}

fn cut_off(table: &TableName) -> Error {
    Error::new(ErrorKind::ProtocolViolation, format!("the copy of table {table} ended without its trailer"))
}

/// Reads parts as batches of `schema`.
pub(crate) async fn batches(
    pool: &Arc<Pool>,
    selection: &Selection,
    parts: &[Part],
    read: &TableRead,
    schema: SchemaRef,
) -> Result<BatchStream> {
    if parts.is_empty() {
        return Ok(futures::stream::empty().boxed());
    }
    struct State {
        copy: Copy,
        rows: BinaryRows,
        decoder: BatchDecoder,
        table: TableName,
        progress: Arc<ReadProgress>,
    }
    let statement = selection.statement(parts, read, "binary");
    let state = State {
        copy: Copy::start(pool, &read.table.name, &statement).await?,
        rows: BinaryRows::new(selection.decodes.len()),
        decoder: BatchDecoder::new(&read.table.name, schema, &selection.decodes),
        table: read.table.name.clone(),
        progress: read.progress.clone(),
    };
    let stream = futures::stream::try_unfold(state, |mut state| async move {
        let batch: Option<RecordBatch> = loop {
            let Some(frame) = state.copy.next().await? else {
                if !state.rows.has_ended() {
                    return Err(cut_off(&state.table));
                }
                break state.decoder.finish()?;
            };
            let State { rows, decoder, .. } = &mut state;
            rows.feed(&frame, |row, spans| decoder.push(row, spans))?;
            if state.decoder.is_full() {
                break state.decoder.finish()?;
            }
        };
        let Some(batch) = batch else { return Ok(None) };
        let bytes = state.copy.take_bytes();
        state.progress.add(batch.num_rows() as u64, bytes);
        Ok(Some((batch, state)))
    });
    Ok(stream.boxed())
}

/// The two raw formats.
pub(crate) enum Raw {
    /// `postgres.copy_binary`
    Binary(BinaryRows),
    /// `postgres.copy_text`
    Text,
}

/// Reads parts as raw chunks of whole rows, without header and trailer.
pub(crate) async fn chunks(
    pool: &Arc<Pool>,
    selection: &Selection,
    parts: &[Part],
    read: &TableRead,
    raw: Raw,
) -> Result<RawStream> {
    if parts.is_empty() {
        return Ok(futures::stream::empty().boxed());
    }
    struct State {
        copy: Copy,
        raw: Raw,
        buffer: BytesMut,
        rows: u64,
        table: TableName,
        progress: Arc<ReadProgress>,
    }
    let format = match raw {
        Raw::Binary(_) => "binary",
        Raw::Text => "text",
    };
    let statement = selection.statement(parts, read, format);
    let state = State {
        copy: Copy::start(pool, &read.table.name, &statement).await?,
        raw,
        buffer: BytesMut::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4),
        rows: 0,
        table: read.table.name.clone(),
        progress: read.progress.clone(),
    };
    let stream = futures::stream::try_unfold(state, |mut state| async move {
        let bytes = loop {
            let Some(frame) = state.copy.next().await? else {
                let is_whole = match &state.raw {
                    Raw::Binary(rows) => rows.has_ended(),
                    Raw::Text => state.buffer.last().is_none_or(|byte| *byte == b'\n'),
                };
                if !is_whole {
                    return Err(cut_off(&state.table));
                }
                break state.buffer.split().freeze();
            };
            let State { raw, buffer, rows: count, .. } = &mut state;
            match raw {
                Raw::Binary(rows) => rows.feed(&frame, |row, _| {
                    buffer.extend_from_slice(row);
                    *count += 1;
                    Ok(())
                })?,
                Raw::Text => {
                    // A line break inside a value is written as \n, so each one here ends a row.
                    *count += frame.iter().filter(|byte| **byte == b'\n').count() as u64;
                    buffer.extend_from_slice(&frame);
                }
            }
            if buffer.len() >= CHUNK_BYTES {
                // Whole rows only, whatever the frames' bounds are.
                let end = match raw {
                    Raw::Binary(_) => buffer.len(),
                    Raw::Text => buffer.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1),
                };
                if end > 0 {
                    let chunk = buffer.split_to(end).freeze();
                    buffer.reserve(CHUNK_BYTES + CHUNK_BYTES / 4);
                    break chunk;
                }
            }
        };
        let rows = std::mem::take(&mut state.rows);
        let read = state.copy.take_bytes();
        state.progress.add(rows, read);
        if bytes.is_empty() && rows == 0 {
            return Ok(None);
        }
        Ok(Some((RawChunk { bytes, rows }, state)))
    });
    Ok(stream.boxed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use connector_api::{TableKind, TableSchema};

    fn read(filters: &[&str], limit: Option<u64>) -> TableRead {
        let table = TableSchema {
            name: TableName::new("s", "t"),
            kind: TableKind::Table,
            columns: vec![],
            primary_key: vec![],
            unique_keys: vec![],
            rows_estimate: None,
            bytes_estimate: None,
            comment: None,
        };
        let mut read = TableRead::all(Arc::new(table));
        read.filters = filters.iter().map(|f| (*f).to_owned()).collect();
        read.limit = limit;
        read
    }

    #[test]
    fn statements_quote_every_name_and_keep_every_condition() {
        let selection =
            Selection { expressions: vec!["\"a\"".into(), "\"b\"::pg_catalog.text".into()], decodes: vec![] };
        let part = Part { name: TableName::new("S", "we\"ird.t"), is_only: true, from: Some(1), to: Some(5) };
        assert_eq!(
            selection.statement(&[part], &read(&["a > 1 or b is null"], Some(10)), "binary"),
            "COPY (SELECT \"a\", \"b\"::pg_catalog.text FROM ONLY \"S\".\"we\"\"ird.t\" \
             WHERE (a > 1 or b is null) AND ctid >= '(1,0)'::tid and ctid < '(5,0)'::tid LIMIT 10) TO STDOUT (FORMAT binary)"
        );
        let whole = |name| Part { name: TableName::new("s", name), is_only: false, from: None, to: None };
        let none = Selection { expressions: vec![], decodes: vec![] };
        assert_eq!(
            none.statement(&[whole("p1"), whole("p2")], &read(&[], None), "text"),
            "COPY (SELECT  FROM \"s\".\"p1\" UNION ALL SELECT  FROM \"s\".\"p2\") TO STDOUT (FORMAT text)"
        );
    }
}
