//! One table's write: one transaction on one connection does everything, from the DDL over COPY and
//! the building of keys to the row of `tidegate.sink_positions`. Whoever dies before COMMIT leaves
//! nothing, and readers see the old rows or all of the new ones. (A schema that is absent is made before,
//! by a transaction of its own: others that load into it would wait for all of this load. It may stay
//! behind, empty, and the next run uses it.)

use crate::client::{Client, connect};
use crate::ddl;
use crate::encode::{
    BINARY_HEADER, BINARY_TRAILER, ColumnType, CopyFormat, EncodeColumn, PreparedBatch, RowEncoder, encodes,
};
use crate::sink::copy_error::{copy_error, statement_error};
use crate::sink::plan::{COPY_BINARY, LayoutColumn, Origin, Planned, check, plan};
use crate::sink::position;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use catalog::definition::SinkShape;
use catalog::{Error, ErrorKind, Position, Result, TableName, WriteMode, quote_ident};
use connector_api::{
    Accepted, CommitKey, CommitSummary, RawChunk, SourceConfig, TableCreation, TableWrite, TableWriter, WIRE_KEY,
    WriteInput,
};
use futures::SinkExt;
use std::pin::Pin;
use std::time::Duration;
use tokio_postgres::CopyInSink;

/// How much is encoded before it is handed to the socket.
const CHUNK_BYTES: usize = 512 << 10;
/// How much one COPY statement takes before the next one begins. The driver tells of an error only
/// when a COPY ends, so this is the most that is sent in vain after a bad row.
const COPY_BYTES_MAX: u64 = 256 << 20;
/// Memory for building keys and indexes, in kB, unless the server's own setting is higher.
const MAINTENANCE_MEMORY_KB: u32 = 256 << 10;
/// Memory for the sort of a merge, in kB, unless the server's own setting is higher.
const SORT_MEMORY_KB: u32 = 64 << 10;
/// How often a lost connection is made again to learn whether COMMIT happened.
const RECALL_ATTEMPTS_MAX: u32 = 5;
/// How long a rollback may take before the connection is simply cut.
const ROLLBACK_TIME: Duration = Duration::from_secs(5);
/// The staging table of a merge; temporary, so the name is this session's alone.
const STAGING: &str = "pg_temp.tidegate_staging";

/// An open write.
pub(crate) struct Load {
    // Before the client, so that a COPY is broken off before its connection closes.
    copy: Option<OpenCopy>,
    client: Client,
    name: TableName,
    commit_key: CommitKey,
    input: Input,
    format: CopyFormat,
    copy_statement: String,
    columns: Vec<String>,
    merge: Option<String>,
    ddl_after: Vec<String>,
    tolerates_bad_rows: bool,
    is_broken: bool,
    buffer: BytesMut,
    /// Rows taken from the caller and not refused.
    rows: u64,
    /// Those of them whose COPY has ended.
    rows_ended: u64,
    /// Rows that the server says it has stored.
    rows_stored: u64,
    bytes: u64,
    detail: Vec<String>,
}

enum Input {
    Arrow(RowEncoder),
    Raw,
}

struct OpenCopy {
    sink: Pin<Box<CopyInSink<Bytes>>>,
    bytes: u64,
    rows_before: u64,
}

/// Opens a write: begins the transaction, makes the table or checks it again under a lock, and
/// prepares what rows are copied into.
pub(crate) async fn open(config: &SourceConfig, write: TableWrite) -> Result<Load> {
    let client = connect(config, "load").await?;
    position::ensure_table(&client).await?;
    let name = write.target.name.clone();
    if write.plan.ddl.contains(&ddl::create_schema(&name.schema)) {
        position::ensure_schema(&client, &name.schema).await?;
    }
    let begin = format!(
        "BEGIN; SET LOCAL lock_timeout = '{}ms'; \
         SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'",
        position::LOCK_TIMEOUT.as_millis()
    );
    client.run(&format!("begin to write table {name}"), client.batch_execute(&begin)).await?;
    position::lock(&client, &write.commit_key, &name).await?;
    let opened = prepare(&client, &write).await;
    match opened {
        Ok(prepared) => prepared.into_load(client, write),
        Err(error) => {
            // The error is what counts; the connection is closed either way.
            let _ = tokio::time::timeout(ROLLBACK_TIME, client.batch_execute("ROLLBACK")).await;
            Err(error)
        }
    }
}

/// What `prepare` settled.
struct Prepared {
    encoder: Option<RowEncoder>,
    format: CopyFormat,
    copy_statement: String,
    merge: Option<String>,
    ddl_after: Vec<String>,
    detail: Vec<String>,
}

impl Prepared {
    fn into_load(self, client: Client, write: TableWrite) -> Result<Load> {
        let input = match (self.encoder, write.input) {
            (Some(encoder), _) => Input::Arrow(encoder),
            (None, WriteInput::Raw(_)) => Input::Raw,
            (None, WriteInput::Arrow(_)) => return Err(Error::internal("a write of batches has no encoder")),
        };
        Ok(Load {
            copy: None,
            client,
            name: write.target.name,
            commit_key: write.commit_key,
            input,
            format: self.format,
            copy_statement: self.copy_statement,
            columns: write.target.columns.into_iter().map(|column| column.name).collect(),
            merge: self.merge,
            ddl_after: self.ddl_after,
            tolerates_bad_rows: write.tolerates_bad_rows,
            is_broken: false,
            buffer: BytesMut::new(),
            rows: 0,
            rows_ended: 0,
            rows_stored: 0,
            bytes: 0,
            detail: self.detail,
        })
    }
}

async fn prepare(client: &Client, write: &TableWrite) -> Result<Prepared> {
    let target = &write.target;
    let name = &target.name;
    let table = name.quoted();
    let mut detail = vec![];
    let mut planned = plan(client, target).await?;
    check(&planned, target)?;
    let is_new = planned.origin != Origin::Existing;
    let ddl_after = planned.plan.ddl_after.clone();
    if is_new {
        run_ddl(client, write, &planned).await?;
        detail.push("created the table".to_owned());
        if planned.origin == Origin::Ddl {
            planned = plan(client, target).await?;
            if planned.origin != Origin::Existing {
                return Err(Error::new(
                    ErrorKind::UndefinedTable,
                    format!("the DDL of sink table {name} ran and did not create it"),
                )
                .with_hint(format!("Name the table {table} in the text after USING DDL."))
                .with_table(&name.schema, &name.table));
            }
            check(&planned, target)?;
        }
    } else {
        // Others may read and write the table meanwhile; nobody may change its structure.
        let lock = format!("LOCK TABLE {table} IN ROW EXCLUSIVE MODE");
        run(client, name, &format!("lock table {name}"), &lock).await?;
        planned = plan(client, target).await?;
        check(&planned, target)?;
        if planned.origin != Origin::Existing {
            return Err(Error::new(
                ErrorKind::Remote("40001".to_owned()),
                format!("table {name} was dropped meanwhile"),
            ));
        }
    }
    if planned.has_triggers {
        detail.push("triggers or rules of the table fired".to_owned());
    }
    let mut is_merge = false;
    match target.mode {
        WriteMode::Append => {}
        _ if is_new => {}
        WriteMode::Overwrite if is_empty(client, name).await? => {}
        WriteMode::Overwrite => {
            // Not TRUNCATE: readers with an older snapshot would find the table empty, and new ones wait.
            let delete = format!("DELETE FROM {table}");
            run(client, name, &format!("delete the old rows of table {name}"), &delete).await?;
        }
        WriteMode::Upsert => is_merge = !is_empty(client, name).await?,
        WriteMode::OverwritePartitions => return Err(Error::unsupported("WRITE OVERWRITE PARTITIONS into postgres")),
    }
    let (format, casts) = choose_format(write, &planned)?;
    let is_staged = is_merge || casts.iter().any(|is_cast| *is_cast);
    let columns: Vec<String> = target.columns.iter().map(|column| column.name.clone()).collect();
    let (copy_table, merge) = if is_staged {
        let create = create_staging(&planned.layout, &casts);
        run(client, name, "create a temporary table", &create).await?;
        (STAGING.to_owned(), Some(merge_statement(write, &planned, &casts, is_merge)))
    } else {
        (table, None)
    };
    // Frozen rows need no second write by vacuum. They must not become visible with a savepoint's end
    // but with the table, so the table has to be of this transaction itself.
    let is_frozen =
        is_new && !is_staged && !write.tolerates_bad_rows && !planned.is_partitioned && !planned.has_triggers;
    let encoder = match &write.input {
        WriteInput::Arrow(schema) => Some(encoder(write, &planned, schema, format, &casts)?),
        WriteInput::Raw(_) => None,
    };
    Ok(Prepared {
        encoder,
        format,
        copy_statement: ddl::copy(&copy_table, &columns, format.word(), is_frozen),
        merge,
        ddl_after,
        detail,
    })
}

/// Runs the statements that make the table, with its schema and `public` on the path, so that types
/// of extensions are found as the user wrote them.
async fn run_ddl(client: &Client, write: &TableWrite, planned: &Planned) -> Result<()> {
    let name = &write.target.name;
    let path = format!("SET LOCAL search_path = {}, public, pg_temp", catalog::name::force_quote_ident(&name.schema));
    run(client, name, "set the search path", &path).await?;
    let doing = format!("create table {name}");
    let is_text = matches!(&write.target.creation, TableCreation::Shape { shape: SinkShape::Ddl { .. }, .. });
    let before = if is_text { Some(transaction(client).await?) } else { None };
    for statement in &planned.plan.ddl {
        run(client, name, &doing, statement).await?;
    }
    if let Some(before) = before
        && transaction(client).await? != before
    {
        return Err(Error::new(
            ErrorKind::Remote("2D000".to_owned()),
            format!("the DDL of sink table {name} ends the transaction that it runs in"),
        )
        .with_detail("What it did before that is committed on the server.")
        .with_hint("Leave COMMIT, ROLLBACK and BEGIN out of the text after USING DDL."));
    }
    run(client, name, "set the search path", "SET LOCAL search_path = pg_catalog, pg_temp").await
}

async fn transaction(client: &Client) -> Result<String> {
    let row = client.run("begin", client.query_one("select pg_current_xact_id()::text", &[])).await?;
    Ok(row.get(0))
}

async fn is_empty(client: &Client, name: &TableName) -> Result<bool> {
    let doing = format!("look whether table {name} is empty");
    let statement = format!("select not exists (select from {})", name.quoted());
    Ok(client.run(&doing, client.query_one(&statement, &[])).await?.get(0))
}

/// The format of the COPY, and for each column whether it has to be staged as text and cast.
fn choose_format(write: &TableWrite, planned: &Planned) -> Result<(CopyFormat, Vec<bool>)> {
    let name = &write.target.name;
    let changed = |what: String| {
        Error::new(ErrorKind::TypeMismatch, format!("table {name} changed after it was planned"))
            .with_detail(what)
            .with_table(&name.schema, &name.table)
    };
    let schema = match &write.input {
        WriteInput::Raw(format) => {
            if !planned.plan.raw_formats.contains(format) {
                return Err(changed(format!("It does not take the format {} any more.", format.name)));
            }
            let format = if format.name == COPY_BINARY { CopyFormat::Binary } else { CopyFormat::Text };
            return Ok((format, vec![false; planned.layout.len()]));
        }
        WriteInput::Arrow(schema) => schema,
    };
    if schema.fields().len() != planned.layout.len() {
        return Err(Error::internal(format!(
            "{} columns arrive for {} columns of table {name}",
            schema.fields().len(),
            planned.layout.len()
        )));
    }
    let mut any_wire = false;
    let mut needs_text = vec![];
    for (field, column) in schema.fields().iter().zip(&planned.layout) {
        match field.metadata().get(WIRE_KEY) {
            Some(encoding) => {
                if *encoding != format!("postgres.binary:{}", column.resolved.base_oid) {
                    return Err(changed(format!("Column \"{}\" does not take the bytes of {encoding}.", column.name)));
                }
                any_wire = true;
                needs_text.push(false);
            }
            None => needs_text.push(!encodes(field.data_type(), &column.resolved.column_type)),
        }
    }
    let any_text = needs_text.iter().any(|needs| *needs);
    Ok(match (any_wire, any_text) {
        (_, false) => (CopyFormat::Binary, needs_text),
        (false, true) => (CopyFormat::Text, vec![false; needs_text.len()]),
        (true, true) => (CopyFormat::Binary, needs_text),
    })
}

fn encoder(
    write: &TableWrite,
    planned: &Planned,
    schema: &SchemaRef,
    format: CopyFormat,
    casts: &[bool],
) -> Result<RowEncoder> {
    let columns = planned
        .layout
        .iter()
        .zip(casts)
        .map(|(column, is_cast)| EncodeColumn {
            name: column.name.clone(),
            column_type: if *is_cast { ColumnType::Other } else { column.resolved.column_type.clone() },
            is_not_null: column.is_not_null,
        })
        .collect();
    let key = write
        .target
        .key
        .iter()
        .filter_map(|key| planned.layout.iter().position(|column| column.name == *key))
        .collect();
    RowEncoder::new(write.target.name.clone(), format, schema, columns, key)
}

fn create_staging(layout: &[LayoutColumn], casts: &[bool]) -> String {
    let columns: Vec<String> = layout
        .iter()
        .zip(casts)
        .map(|(column, is_cast)| {
            let data_type = if *is_cast { "text" } else { column.resolved.text.as_str() };
            let not_null = if column.is_not_null { " NOT NULL" } else { "" };
            format!("{} {data_type}{not_null}", quote_ident(&column.name))
        })
        .collect();
    format!("CREATE TEMPORARY TABLE tidegate_staging ({}) ON COMMIT DROP", columns.join(", "))
}

/// Moves the staged rows into the table.
fn merge_statement(write: &TableWrite, planned: &Planned, casts: &[bool], is_merge: bool) -> String {
    let columns: Vec<&str> = planned.layout.iter().map(|column| column.name.as_str()).collect();
    let values: Vec<String> = planned
        .layout
        .iter()
        .zip(casts)
        .map(|(column, is_cast)| {
            let name = quote_ident(&column.name);
            // Without its modifier: an explicit cast would cut what is too long, the assignment refuses it.
            if *is_cast { format!("CAST({name} AS {})", column.resolved.bare) } else { name }
        })
        .collect();
    let overriding = if planned.overrides_identity { " OVERRIDING SYSTEM VALUE" } else { "" };
    let insert = format!("INSERT INTO {} ({}){overriding}", write.target.name.quoted(), ddl::identifiers(&columns));
    if !is_merge {
        return format!("{insert} SELECT {} FROM {STAGING}", values.join(", "));
    }
    let key = ddl::identifiers(&write.target.key);
    let updates: Vec<String> = columns
        .iter()
        .filter(|column| !write.target.key.iter().any(|key| key == *column))
        .map(|column| format!("{name} = EXCLUDED.{name}", name = quote_ident(column)))
        .collect();
    let action =
        if updates.is_empty() { "DO NOTHING".to_owned() } else { format!("DO UPDATE SET {}", updates.join(", ")) };
    // Of several rows with one key the one that arrived last wins: rows of a fresh temporary table
    // lie in the order of their arrival.
    format!(
        "{insert} SELECT DISTINCT ON ({key}) {} FROM {STAGING} ORDER BY {key}, ctid DESC ON CONFLICT ({key}) {action}",
        values.join(", ")
    )
}

/// Runs statements whose errors are about the table.
async fn run(client: &Client, name: &TableName, doing: &str, statement: &str) -> Result<()> {
    client.run(doing, client.batch_execute(statement)).await.map_err(|error| statement_error(name, error))
}

impl Load {
    fn check_open(&self) -> Result<()> {
        match self.is_broken {
            true => {
                Err(Error::internal(format!("the write of table {} failed before and can only be given up", self.name)))
            }
            false => Ok(()),
        }
    }

    /// The COPY to write into; opened when there is none.
    async fn open_copy(&mut self) -> Result<&mut OpenCopy> {
        if self.copy.is_none() {
            let doing = format!("copy into table {}", self.name);
            let sink = self
                .client
                .run(&doing, self.client.copy_in::<_, Bytes>(&self.copy_statement))
                .await
                .map_err(|error| statement_error(&self.name, error))?;
            let mut copy = OpenCopy { sink: Box::pin(sink), bytes: 0, rows_before: self.rows_ended };
            if self.format == CopyFormat::Binary {
                // Small pieces are gathered by the driver.
                let sent = copy.sink.feed(Bytes::from_static(BINARY_HEADER)).await;
                sent.map_err(|error| self.client.error(&doing, error))?;
            }
            self.copy = Some(copy);
        }
        self.copy.as_mut().ok_or_else(|| Error::internal("a COPY that was opened is not there"))
    }

    async fn send(&mut self, bytes: Bytes) -> Result<()> {
        let length = bytes.len() as u64;
        let copy = self.open_copy().await?;
        let sent = copy.sink.feed(bytes).await;
        copy.bytes += length;
        self.bytes += length;
        match sent {
            Ok(()) => Ok(()),
            // The server's reason comes with the end of the COPY, if it gave one.
            Err(closed) => match self.finish_copy(self.rows).await {
                Err(reason) => Err(reason),
                Ok(()) => Err(self.client.error(&format!("copy into table {}", self.name), closed)),
            },
        }
    }

    /// Ends the COPY, so that the server has taken or refused its rows; `rows` of the load have been
    /// sent by then.
    async fn finish_copy(&mut self, rows: u64) -> Result<()> {
        let Some(mut copy) = self.copy.take() else { return Ok(()) };
        if self.format == CopyFormat::Binary {
            // If the connection is gone, the end of the COPY says why.
            let _ = copy.sink.feed(Bytes::from_static(BINARY_TRAILER)).await;
        }
        let busy = self.client.busy();
        let finished = copy.sink.as_mut().finish().await;
        drop(busy);
        match finished {
            Ok(stored) => {
                self.rows_ended = rows;
                self.rows_stored += stored;
                Ok(())
            }
            Err(error) => Err(copy_error(&self.client, &self.name, &self.columns, copy.rows_before, error)),
        }
    }

    async fn send_batch(&mut self, prepared: &PreparedBatch, rows: u64) -> Result<()> {
        // Taken out, so that cells can be written while rows are sent.
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = self.encode_and_send(prepared, &mut buffer).await;
        self.buffer = buffer;
        outcome?;
        self.rows += rows;
        Ok(())
    }

    async fn encode_and_send(&mut self, prepared: &PreparedBatch, buffer: &mut BytesMut) -> Result<()> {
        let rows_before = self.rows;
        let mut next_row = 0;
        loop {
            // One allocation per chunk, or none when the last chunk has left the socket.
            buffer.reserve((CHUNK_BYTES + CHUNK_BYTES / 8).saturating_sub(buffer.len()));
            let has_more = {
                let Input::Arrow(encoder) = &self.input else {
                    return Err(Error::internal(format!("a batch arrives for a raw write of table {}", self.name)));
                };
                let mut cursor = encoder.cursor(prepared, next_row, rows_before)?;
                let has_more = cursor.fill(buffer, CHUNK_BYTES)?;
                next_row = cursor.row();
                has_more
            };
            if buffer.len() >= CHUNK_BYTES {
                let chunk = buffer.split().freeze();
                self.send(chunk).await?;
                if self.copy.as_ref().is_some_and(|copy| copy.bytes >= COPY_BYTES_MAX) && !self.tolerates_bad_rows {
                    // A chunk ends with a row, so a COPY may end here.
                    self.finish_copy(rows_before + next_row as u64).await?;
                }
            }
            if !has_more {
                return Ok(());
            }
        }
    }

    async fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let rest = self.buffer.split().freeze();
        self.send(rest).await
    }

    async fn savepoint(&mut self, statement: &str) -> Result<()> {
        run(&self.client, &self.name, &format!("write table {}", self.name), statement).await
    }

    /// Writes one batch or chunk so that an error leaves nothing of it.
    async fn write_in_savepoint(&mut self, input: Piece<'_>) -> Result<()> {
        let before = (self.rows, self.bytes, self.rows_stored);
        self.savepoint("SAVEPOINT tidegate_batch").await?;
        let outcome = self.write_piece(&input).await;
        let outcome = match outcome {
            Ok(()) => self.flush_and_finish().await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => self.savepoint("RELEASE SAVEPOINT tidegate_batch").await,
            Err(error) => {
                // Dropping an unfinished COPY fails it.
                self.copy = None;
                self.buffer.clear();
                (self.rows, self.bytes, self.rows_stored) = before;
                self.rows_ended = self.rows;
                self.savepoint("ROLLBACK TO SAVEPOINT tidegate_batch; RELEASE SAVEPOINT tidegate_batch").await?;
                Err(self.name_row(error, &input, before.0))
            }
        }
    }

    async fn flush_and_finish(&mut self) -> Result<()> {
        self.flush().await?;
        self.finish_copy(self.rows).await
    }

    async fn write_piece(&mut self, input: &Piece<'_>) -> Result<()> {
        match input {
            Piece::Batch(prepared, rows) => self.send_batch(prepared, *rows).await,
            Piece::Chunk(chunk) => {
                self.send(chunk.bytes.clone()).await?;
                self.rows += chunk.rows;
                Ok(())
            }
        }
    }

    /// Replaces `row 17`, all that the server can say, by the row's key.
    fn name_row(&self, error: Error, input: &Piece<'_>, rows_before: u64) -> Error {
        let (Piece::Batch(prepared, _), Input::Arrow(encoder)) = (input, &self.input) else { return error };
        let number =
            error.row_key().and_then(|key| key.strip_prefix("row ")).and_then(|number| number.parse::<u64>().ok());
        let row =
            number.and_then(|number| number.checked_sub(rows_before + 1)).and_then(|row| usize::try_from(row).ok());
        match (row, encoder.cursor(prepared, 0, rows_before)) {
            (Some(row), Ok(mut cursor)) => {
                let key = cursor.row_key_at(row);
                error.with_row_key(key)
            }
            _ => error,
        }
    }

    async fn accept(&mut self, input: Piece<'_>) -> Result<Accepted> {
        self.check_open()?;
        let before = (self.rows, self.bytes);
        let outcome = match self.tolerates_bad_rows {
            true => self.write_in_savepoint(input).await,
            false => self.write_piece(&input).await,
        };
        if let Err(error) = outcome {
            // A row's error leaves a tolerant write open; anything else ends it.
            self.is_broken = !self.tolerates_bad_rows || error.row_key().is_none();
            return Err(error);
        }
        Ok(Accepted::Accepted { rows: self.rows - before.0, bytes: self.bytes - before.1 })
    }

    async fn finish(&mut self, position: &Position) -> Result<()> {
        self.check_open()?;
        self.flush_and_finish().await?;
        let client = &self.client;
        let name = &self.name;
        if let Some(merge) = &self.merge {
            raise_memory(client, "work_mem", SORT_MEMORY_KB).await?;
            let doing = format!("merge the new rows into table {name}");
            let merged = client.run(&doing, client.execute(merge, &[])).await;
            self.rows_stored = merged.map_err(|error| statement_error(name, error))?;
        }
        if !self.ddl_after.is_empty() {
            raise_memory(client, "maintenance_work_mem", MAINTENANCE_MEMORY_KB).await?;
        }
        for statement in &self.ddl_after {
            run(client, name, &format!("build keys and indexes of table {name}"), statement).await?;
        }
        position::remember(client, &self.commit_key, &position.to_string(), self.rows_stored).await
    }

    /// Commits. When the answer is lost, the table of positions says what happened.
    async fn commit_transaction(&mut self, position: &Position) -> Result<()> {
        let doing = format!("commit the new rows of table {}", self.name);
        let Err(error) = self.client.run(&doing, self.client.batch_execute("COMMIT")).await else { return Ok(()) };
        if *error.kind() != ErrorKind::ConnectionLost {
            return Err(statement_error(&self.name, error));
        }
        let config = self.client.config().clone();
        let mut wait = Duration::from_millis(100);
        for _ in 0..RECALL_ATTEMPTS_MAX {
            match position::recall(&config, &self.commit_key).await {
                Ok(Some((known, _))) if known == position.to_string() => return Ok(()),
                Ok(_) => return Err(error),
                Err(reason) => {
                    tracing::warn!(table = %self.name, error = %reason, "whether a commit happened is not known yet");
                    tokio::time::sleep(wait).await;
                    wait *= 3;
                }
            }
        }
        Err(error.with_detail(
            "The connection broke while COMMIT was under way, and the server cannot be asked whether it happened. \
             The next run finds out before it writes.",
        ))
    }
}

/// What one call of the writer brings.
enum Piece<'a> {
    Batch(&'a PreparedBatch, u64),
    Chunk(&'a RawChunk),
}

/// Raises a memory setting for the rest of the transaction; never lowers it.
async fn raise_memory(client: &Client, setting: &str, kilobytes: u32) -> Result<()> {
    let kilobytes = i64::from(kilobytes);
    client
        .run(
            "raise a memory setting",
            client.query(
                "select set_config(name, $2::bigint || 'kB', true) from pg_settings where name = $1 and setting::bigint < $2",
                &[&setting, &kilobytes],
            ),
        )
        .await?;
    Ok(())
}

#[async_trait]
impl TableWriter for Load {
    async fn write(&mut self, batch: RecordBatch) -> Result<Accepted> {
        self.check_open()?;
        let rows = batch.num_rows() as u64;
        if rows == 0 {
            return Ok(Accepted::Accepted { rows: 0, bytes: 0 });
        }
        let Input::Arrow(encoder) = &self.input else {
            return Err(Error::internal(format!("a batch arrives for a raw write of table {}", self.name)));
        };
        let prepared = encoder.prepare(&batch)?;
        self.accept(Piece::Batch(&prepared, rows)).await
    }

    async fn write_raw(&mut self, chunk: RawChunk) -> Result<Accepted> {
        let Input::Raw = &self.input else {
            return Err(Error::internal(format!("raw rows arrive for a write of batches to table {}", self.name)));
        };
        let accepted = self.accept(Piece::Chunk(&chunk)).await?;
        if !self.tolerates_bad_rows
            && self.copy.as_ref().is_some_and(|copy| copy.bytes >= COPY_BYTES_MAX)
            && let Err(error) = self.finish_copy(self.rows).await
        {
            self.is_broken = true;
            return Err(error);
        }
        Ok(accepted)
    }

    async fn commit(mut self: Box<Self>, position: &Position) -> Result<CommitSummary> {
        match self.finish(position).await {
            Ok(()) => self.commit_transaction(position).await?,
            Err(error) => {
                self.give_up().await;
                return Err(error);
            }
        }
        let detail = if self.detail.is_empty() { None } else { Some(self.detail.join("; ")) };
        Ok(CommitSummary { rows_written: self.rows_stored, bytes_written: self.bytes, detail })
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.give_up().await;
        Ok(())
    }
}

impl Load {
    /// Rolls back. Even if the server does not answer, nothing of the transaction can be committed.
    async fn give_up(&mut self) {
        self.copy = None;
        self.is_broken = true;
        match tokio::time::timeout(ROLLBACK_TIME, self.client.batch_execute("ROLLBACK")).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(table = %self.name, error = %error, "the rollback found the connection gone")
            }
            Err(_) => tracing::debug!(table = %self.name, "the rollback took too long and the connection is cut"),
        }
    }
}
