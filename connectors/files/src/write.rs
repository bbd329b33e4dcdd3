//! One table's write: rows go to a thread that encodes them into staged files, and a commit puts
//! those in place at once. The order of steps and why it is right is told in [`crate::commit`].

use crate::client::{self, blocking, io_error};
use crate::codec::parquet::ParquetEncoder;
use crate::codec::{Output, Prepared, csv, json};
use crate::commit::{self, CommitRecord, Token};
use crate::settings::{Compression, Format, Settings};
use crate::sink::{Resolved, resolve};
use crate::table;
use crate::types;
use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use async_trait::async_trait;
use catalog::{Error, ErrorKind, Position, Result, TableName};
use connector_api::{Accepted, CommitKey, CommitSummary, RawChunk, TableTarget, TableWrite, TableWriter, WIRE_KEY};
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Batches that may wait for the encoder.
const BATCHES_WAITING_MAX: usize = 2;

/// Metadata of a recorded schema: whether the CSV files have a header.
pub const CSV_HEADER_KEY: &str = "tidegate.csv_header";
/// Metadata of a recorded schema: the byte between CSV fields.
pub const CSV_DELIMITER_KEY: &str = "tidegate.csv_delimiter";

/// How long a write that was dropped may take to end: until its thread has encoded the batch that it
/// is at, or its publication has been made durable.
const ENDING_TIME_MAX: Duration = Duration::from_secs(60);

/// A key that is being written by this process. Two writes of one key, and a clean-up of a write
/// that lives, are kept apart by it.
pub(crate) struct Live {
    staging: PathBuf,
    number: u64,
}

/// The writes of this process.
#[derive(Default)]
struct Registry {
    writes: Mutex<HashMap<PathBuf, LiveWrite>>,
    ended: Condvar,
}

struct LiveWrite {
    /// Tells the writes of one key apart.
    number: u64,
    /// Whether a caller has its writer. Without one it is being opened, cleaned up, or a thread of it
    /// still ends: that is waited for.
    is_held: bool,
}

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::default)
}

impl Registry {
    fn writes(&self) -> MutexGuard<'_, HashMap<PathBuf, LiveWrite>> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Waits while there is a write of that staging folder that nobody holds.
    fn settled(&self, staging: &Path) -> MutexGuard<'_, HashMap<PathBuf, LiveWrite>> {
        let is_ending = |writes: &mut HashMap<PathBuf, LiveWrite>| writes.get(staging).is_some_and(|w| !w.is_held);
        let waited = self.ended.wait_timeout_while(self.writes(), ENDING_TIME_MAX, is_ending);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Live {
    /// Claims the key; an error when somebody has it. Waits for a write that was dropped to end. Blocks.
    pub(crate) fn claim(root: &Path, key: &CommitKey) -> Result<Self> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let staging = Token::of(key).staging(root);
        let mut writes = registry().settled(&staging);
        if writes.contains_key(&staging) {
            return Err(still_writes(&staging, key));
        }
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        writes.insert(staging.clone(), LiveWrite { number, is_held: false });
        Ok(Self { staging, number })
    }
    /// Waits until a write of this key that nobody holds any more has ended, and thereby committed or
    /// not; an error when it does not end. Blocks.
    pub(crate) fn settle(root: &Path, key: &CommitKey) -> Result<()> {
        let staging = Token::of(key).staging(root);
        match registry().settled(&staging).get(&staging) {
            Some(write) if !write.is_held => Err(still_writes(&staging, key)),
            _ => Ok(()),
        }
    }
}

fn still_writes(staging: &Path, key: &CommitKey) -> Error {
    Error::new(
        ErrorKind::InUse,
        format!("run {} of job {} still writes mapping {}", key.run_id, key.job_id, key.mapping_id),
    )
    .with_detail(format!("It stages files in {}.", staging.display()))
}

impl Drop for Live {
    fn drop(&mut self) {
        registry().writes().remove(&self.staging);
        registry().ended.notify_all();
    }
}

/// Says that a caller has the writer, from [`Holder::hold`] until it is dropped.
struct Holder {
    staging: PathBuf,
    number: u64,
}

impl Holder {
    fn hold(&self) {
        self.set(true);
    }
    fn set(&self, is_held: bool) {
        if let Some(write) = registry().writes().get_mut(&self.staging)
            && write.number == self.number
        {
            write.is_held = is_held;
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// The lock of a table's folder: publications do not interleave within the process.
fn table_lock(folder: &Path) -> Arc<Mutex<()>> {
    static LOCKS: OnceLock<Mutex<HashMap<PathBuf, Arc<Mutex<()>>>>> = OnceLock::new();
    let mut locks = LOCKS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    locks.retain(|_, lock| Arc::strong_count(lock) > 1);
    locks.entry(folder.to_owned()).or_default().clone()
}

/// The staging folder of a write. Dropping it removes the folder, however the write ended.
struct Staging {
    folder: PathBuf,
    root: PathBuf,
    _live: Live,
}

impl Staging {
    /// Where files are written.
    fn files(&self) -> PathBuf {
        self.folder.join("table")
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = client::remove_folder(&self.folder) {
            // The next clean-up of this key removes it.
            tracing::warn!(folder = %self.folder.display(), detail = error.detail(), "staging folder is left behind");
        }
        commit::tidy(&self.root);
    }
}

/// A finished file in staging.
#[derive(Debug)]
struct StagedFile {
    path: PathBuf,
    name: String,
    bytes: u64,
}

/// What the encoding thread hands over when all rows are in files.
struct Staged {
    staging: Staging,
    files: Vec<StagedFile>,
    rows: u64,
}

enum Message {
    Rows(Prepared),
    Finish,
}

/// An encoder of one file.
enum Encoder {
    Parquet(Box<ParquetEncoder>),
    Text(Output),
}

/// Everything that the encoding thread needs.
struct FileWriter {
    settings: Arc<Settings>,
    schema: SchemaRef,
    token: Token,
    /// Rows at which a file is closed.
    rows_max: u64,
    staging: Staging,
    files: Vec<StagedFile>,
    current: Option<(Encoder, PathBuf)>,
    rows_in_file: u64,
    rows: u64,
}

impl FileWriter {
    /// Runs until told to finish. When the channel closes without that, the write was given up:
    /// then the staging folder goes with this value.
    fn run(mut self, mut receiver: mpsc::Receiver<Message>) -> Result<Staged> {
        while let Some(message) = receiver.blocking_recv() {
            match message {
                Message::Rows(rows) => self.write(rows)?,
                Message::Finish => return self.finish(),
            }
        }
        Err(Error::new(ErrorKind::Canceled, "the write was given up"))
    }

    fn encoder(&mut self) -> Result<&mut Encoder> {
        if self.current.is_none() {
            let name = format!("{}.tmp", self.token.file_name(self.files.len(), self.settings.format));
            let path = self.staging.files().join(name);
            let output = Output::create(&path)?;
            let encoder = match self.settings.format {
                Format::Parquet => {
                    Encoder::Parquet(Box::new(ParquetEncoder::new(output, self.schema.clone(), &self.settings)?))
                }
                Format::Csv => {
                    let mut output = output;
                    if self.settings.csv_header {
                        let names = self.schema.fields().iter().map(|field| field.name());
                        let header = csv::header(names, self.settings.csv_delimiter);
                        output.write_all(&header).map_err(|error| io_error(error, "write", &path))?;
                    }
                    Encoder::Text(output)
                }
                Format::Json => Encoder::Text(output),
            };
            self.current = Some((encoder, path));
        }
        match &mut self.current {
            Some((encoder, _)) => Ok(encoder),
            None => Err(Error::internal("an encoder is gone")),
        }
    }

    fn write(&mut self, prepared: Prepared) -> Result<()> {
        let rows = prepared.rows();
        match prepared {
            Prepared::Bytes { bytes, .. } => {
                self.append(&bytes)?;
                self.count(rows)?;
            }
            Prepared::Batch(batch) => {
                let mut start = 0;
                while start < batch.num_rows() {
                    let room = usize::try_from(self.rows_max - self.rows_in_file).unwrap_or(usize::MAX);
                    let part = batch.slice(start, room.min(batch.num_rows() - start));
                    start += part.num_rows();
                    if let Encoder::Parquet(encoder) = self.encoder()? {
                        encoder.write(&part)?;
                    }
                    self.count(part.num_rows() as u64)?;
                }
            }
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.encoder()?;
        match &mut self.current {
            Some((Encoder::Text(output), path)) => {
                output.write_all(bytes).map_err(|error| io_error(error, "write", path))
            }
            _ => Err(Error::internal("text rows came for a parquet file")),
        }
    }

    fn count(&mut self, rows: u64) -> Result<()> {
        self.rows += rows;
        self.rows_in_file += rows;
        if self.rows_in_file >= self.rows_max { self.close_file() } else { Ok(()) }
    }

    fn close_file(&mut self) -> Result<()> {
        let Some((encoder, path)) = self.current.take() else {
            return Ok(());
        };
        let output = match encoder {
            Encoder::Parquet(encoder) => encoder.finish()?,
            Encoder::Text(output) => output,
        };
        let bytes = output.finish()?;
        let name = self.token.file_name(self.files.len(), self.settings.format);
        self.files.push(StagedFile { path, name, bytes });
        self.rows_in_file = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<Staged> {
        // A table without rows is a file too: it tells the columns.
        if self.files.is_empty() {
            self.encoder()?;
        }
        self.close_file()?;
        client::sync_folder(&self.staging.files())?;
        Ok(Staged { staging: self.staging, files: self.files, rows: self.rows })
    }
}

/// Brings arriving batches into the columns of the files.
struct Conform {
    schema: SchemaRef,
    arrival: Vec<Option<usize>>,
}

impl Conform {
    fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.arrival.len());
        for (field, arrival) in self.schema.fields().iter().zip(&self.arrival) {
            columns.push(match arrival {
                None => new_null_array(field.data_type(), batch.num_rows()),
                Some(at) if *at >= batch.num_columns() => {
                    return Err(Error::internal(format!("column \"{}\" did not arrive", field.name())));
                }
                Some(at) => types::convert(batch.column(*at), field.data_type()).map_err(|error| {
                    Error::new(
                        ErrorKind::NumericRange,
                        format!("a value of column \"{}\" does not fit its type", field.name()),
                    )
                    .with_detail(format!("The conversion said: {error}."))
                    .with_column(field.name())
                    .with_source(error)
                })?,
            });
        }
        for (field, column) in self.schema.fields().iter().zip(&columns) {
            if !field.is_nullable() && column.null_count() > 0 {
                return Err(Error::new(
                    ErrorKind::NotNullViolation,
                    format!("column \"{}\" is not null in the files and a NULL arrived", field.name()),
                )
                .with_column(field.name()));
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| Error::internal("arriving rows have another structure than was agreed").with_source(error))
    }
}

/// One table's open write.
pub struct FilesWriter {
    settings: Arc<Settings>,
    target: TableTarget,
    key: CommitKey,
    schema: SchemaRef,
    conform: Arc<Conform>,
    sender: Option<mpsc::Sender<Message>>,
    thread: Option<JoinHandle<Result<Staged>>>,
    /// Dropped with the writer, however it ends.
    holder: Holder,
}

impl FilesWriter {
    /// Makes the staging folder and starts the encoding thread. Blocks; needs a tokio runtime.
    pub(crate) fn open(settings: Arc<Settings>, write: TableWrite, arriving: SchemaRef) -> Result<Self> {
        let resolved = resolve(&settings, &write.target)?;
        refuse_misfits(&resolved, &write.target.name)?;
        if let Some(field) = arriving.fields().iter().find(|field| field.metadata().contains_key(WIRE_KEY)) {
            return Err(Error::internal(format!("column \"{}\" arrives as wire bytes", field.name())));
        }
        let token = Token::of(&write.commit_key);
        let folder = token.staging(&settings.root);
        let live = Live::claim(&settings.root, &write.commit_key)?;
        let holder = Holder { staging: live.staging.clone(), number: live.number };
        // What a dead write of the same key left.
        client::remove_folder(&folder)?;
        let staging = Staging { folder, root: settings.root.clone(), _live: live };
        client::create_folder(&staging.files())?;
        let (sender, receiver) = mpsc::channel(BATCHES_WAITING_MAX);
        let writer = FileWriter {
            settings: settings.clone(),
            schema: resolved.schema.clone(),
            token,
            // Adding to a table is one rename, so it is one file.
            rows_max: settings.file_rows_max.filter(|_| !resolved.is_append).unwrap_or(u64::MAX),
            staging,
            files: vec![],
            current: None,
            rows_in_file: 0,
            rows: 0,
        };
        let thread = tokio::task::spawn_blocking(move || writer.run(receiver));
        Ok(Self {
            settings,
            target: write.target,
            key: write.commit_key,
            schema: resolved.schema.clone(),
            conform: Arc::new(Conform { schema: resolved.schema, arrival: resolved.arrival }),
            sender: Some(sender),
            thread: Some(thread),
            holder,
        })
    }

    /// The caller of `open` has it now. Before, opening may have been cancelled.
    pub(crate) fn hold(&self) {
        self.holder.hold();
    }

    /// Hands a message over; if the thread has ended, tells why.
    async fn send(&mut self, message: Message) -> Result<()> {
        if let Some(sender) = &self.sender
            && sender.send(message).await.is_ok()
        {
            return Ok(());
        }
        self.sender = None;
        match self.thread.take() {
            None => Err(Error::internal("the write has failed before")),
            Some(thread) => match thread.await {
                Ok(Err(error)) => Err(error),
                Ok(Ok(_)) => Err(Error::internal("the write was finished before")),
                Err(error) => Err(Error::internal("the encoding thread ended early").with_source(error)),
            },
        }
    }

    async fn staged(&mut self) -> Result<Staged> {
        self.send(Message::Finish).await?;
        self.sender = None;
        match self.thread.take() {
            None => Err(Error::internal("the write has failed before")),
            Some(thread) => {
                thread.await.map_err(|error| Error::internal("the encoding thread ended early").with_source(error))?
            }
        }
    }
}

fn refuse_misfits(resolved: &Resolved, name: &TableName) -> Result<()> {
    if resolved.misfits.is_empty() {
        return Ok(());
    }
    let reasons: Vec<&str> = resolved.misfits.iter().map(|misfit| misfit.message.as_str()).collect();
    Err(Error::new(ErrorKind::TypeMismatch, format!("table {name} does not fit what arrives"))
        .with_detail(reasons.join(" "))
        .with_table(&name.schema, &name.table))
}

#[async_trait]
impl TableWriter for FilesWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<Accepted> {
        let rows = batch.num_rows() as u64;
        let bytes = arriving_bytes(&batch);
        let batch = self.conform.apply(&batch)?;
        let prepared = match self.settings.format {
            Format::Parquet => Prepared::Batch(batch),
            format => {
                let delimiter = self.settings.csv_delimiter;
                blocking(move || {
                    let bytes = match format {
                        Format::Csv => csv::encode(&batch, delimiter),
                        _ => json::encode(&batch),
                    };
                    Ok(Prepared::Bytes { bytes, rows })
                })
                .await?
            }
        };
        self.send(Message::Rows(prepared)).await?;
        Ok(Accepted::Accepted { rows, bytes })
    }

    async fn write_raw(&mut self, _chunk: RawChunk) -> Result<Accepted> {
        Err(Error::unsupported("writing raw rows into files"))
    }

    async fn commit(mut self: Box<Self>, position: &Position) -> Result<CommitSummary> {
        let staged = self.staged().await?;
        let publication = Publication {
            settings: self.settings.clone(),
            target: self.target.clone(),
            key: self.key.clone(),
            schema: self.schema.clone(),
            position: position.clone(),
        };
        blocking(move || publication.run(staged)).await
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // The thread removes the staging folder as it ends; that it did not finish is no news.
            let _ = thread.await;
        }
        let folder = Token::of(&self.key).staging(&self.settings.root);
        blocking(move || client::remove_folder(&folder).map(|_| ())).await
    }
}

fn arriving_bytes(batch: &RecordBatch) -> u64 {
    let bytes = |column: &ArrayRef| {
        let data = column.to_data();
        data.get_slice_memory_size().unwrap_or_else(|_| data.get_array_memory_size()) as u64
    };
    batch.columns().iter().map(bytes).sum()
}

/// Puts finished files in place.
struct Publication {
    settings: Arc<Settings>,
    target: TableTarget,
    key: CommitKey,
    schema: SchemaRef,
    position: Position,
}

impl Publication {
    fn run(self, staged: Staged) -> Result<CommitSummary> {
        let root = &self.settings.root;
        let token = Token::of(&self.key);
        let folder = client::table_folder(root, &self.target.name)?;
        let lock = table_lock(&folder);
        let guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have come in between: the files must still be what they were planned for.
        let resolved = resolve(&self.settings, &self.target)?;
        refuse_misfits(&resolved, &self.target.name)?;
        if resolved.schema != self.schema || (resolved.is_append && staged.files.len() > 1) {
            return Err(Error::new(
                ErrorKind::InUse,
                format!("table {} was changed by somebody else while it was written", self.target.name),
            )
            .with_hint("Run the job again.")
            .with_table(&self.target.name.schema, &self.target.name.table));
        }
        let bytes: u64 = staged.files.iter().map(|file| file.bytes).sum();
        let record = CommitRecord {
            gateway_id: self.key.gateway_id.clone(),
            job_id: self.key.job_id,
            mapping_id: self.key.mapping_id,
            run_id: self.key.run_id,
            table: self.target.name.clone(),
            file: staged.files.first().map(|file| file.name.clone()).unwrap_or_default(),
            position: self.position.clone(),
            rows: staged.rows,
            bytes,
        };
        let was_there = folder.exists();
        let placed = self.remember(&record, &token).and_then(|()| match staged.files.as_slice() {
            [file] if resolved.is_append || resolved.place.files.is_empty() => place_file(file, &folder),
            files => place_folder(&staged.staging, files, &folder),
        });
        if let Err(error) = placed {
            // Not in place: then nothing says that it was. What cannot be removed is removed by
            // clean-up; the first error is the one to tell.
            if !record.is_committed(root).unwrap_or(true) {
                let _ = client::remove_file(&token.record(root));
                let _ = client::remove_file(&token.schema(root));
                if !was_there {
                    let _ = fs::remove_dir(&folder);
                }
            }
            return Err(error);
        }
        drop(guard);
        let replaced = if resolved.is_append { 0 } else { resolved.place.files.len() };
        for old in resolved.place.files.iter().filter(|_| !resolved.is_append) {
            if let Some(old) = Token::of_file(&old.name)
                && old != token
            {
                // Its files are gone; an old schema left behind is of no harm.
                let _ = client::remove_file(&old.schema(root));
            }
        }
        let files = staged.files.len();
        drop(staged.staging);
        let detail = match (resolved.is_append, replaced) {
            (true, _) => format!("{files} file added to {}", folder.display()),
            (false, 0) => format!("{files} files in {}", folder.display()),
            (false, replaced) => format!("{files} files replaced {replaced} in {}", folder.display()),
        };
        Ok(CommitSummary { rows_written: staged.rows, bytes_written: bytes, detail: Some(detail) })
    }

    /// Writes what must be known before the files are in place.
    fn remember(&self, record: &CommitRecord, token: &Token) -> Result<()> {
        let root = &self.settings.root;
        if self.settings.format != Format::Parquet {
            debug_assert_eq!(self.settings.compression, Compression::None);
            let metadata = HashMap::from([
                (CSV_HEADER_KEY.to_owned(), self.settings.csv_header.to_string()),
                (CSV_DELIMITER_KEY.to_owned(), char::from(self.settings.csv_delimiter).to_string()),
            ]);
            let schema = self.schema.as_ref().clone().with_metadata(metadata);
            commit::store_schema(&token.schema(root), &schema)?;
        }
        record.store(&token.record(root))
    }
}

/// The commit by one file's rename.
fn place_file(file: &StagedFile, folder: &Path) -> Result<()> {
    client::create_folder(folder)?;
    let to = folder.join(&file.name);
    if !client::rename_to_free(&file.path, &to)? {
        return Err(Error::new(ErrorKind::InUse, format!("file \"{}\" is there already", to.display()))
            .with_detail("The same run has written it before."));
    }
    client::sync_folder(folder)
}

/// The commit by one folder's rename, or by an exchange with what is there.
fn place_folder(staging: &Staging, files: &[StagedFile], folder: &Path) -> Result<()> {
    let staged = staging.files();
    for file in files {
        let to = staged.join(&file.name);
        fs::rename(&file.path, &to).map_err(|error| io_error(error, "rename", &file.path))?;
    }
    let parent = folder.parent().ok_or_else(|| Error::internal("a table folder without a parent"))?;
    client::create_folder(parent)?;
    let is_new = fs::symlink_metadata(folder).is_err() && client::rename_to_free(&staged, folder)?;
    if !is_new {
        client::exchange(&staged, folder)?;
    }
    client::sync_folder(folder)?;
    client::sync_folder(parent)?;
    client::sync_folder(&staging.folder)?;
    if !is_new {
        hide_files(&staged);
    }
    Ok(())
}

/// Takes the extensions from the files of a folder that is about to be removed, so that a glob does
/// not meet them while large ones are removed. A file that cannot be renamed is removed as it is.
fn hide_files(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let mut hidden = entry.path().into_os_string();
        hidden.push(".old");
        let _ = fs::rename(entry.path(), hidden);
    }
}

/// Removes a table's files (DROP .. INCLUDING REMOTE TABLE). What is not data stays.
pub(crate) fn drop_table(settings: &Settings, name: &TableName) -> Result<()> {
    let folder = client::table_folder(&settings.root, name)?;
    let lock = table_lock(&folder);
    let _guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
    let place = table::locate(&settings.root, name)?;
    for file in &place.files {
        client::remove_file(&file.path)?;
        if let Some(token) = Token::of_file(&file.name) {
            client::remove_file(&token.schema(&settings.root))?;
        }
    }
    if place.exists && place.strangers.is_empty() && !place.is_link && !place.is_single_file {
        match fs::remove_dir(&folder) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error(error, "remove", &folder)),
        }
    }
    Ok(())
}
