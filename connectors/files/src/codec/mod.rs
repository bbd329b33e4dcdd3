//! The three file formats. Each writes and reads exactly; none knows of tables or folders.

pub mod csv;
pub mod json;
pub mod parquet;
pub mod text;

use crate::client::io_error;
use arrow::record_batch::RecordBatch;
use catalog::{Error, Result};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Most rows of a batch that a reader gives.
pub const BATCH_ROWS_MAX: usize = 8192;

/// Bytes at which a reader closes a batch; one row may be larger.
pub const BATCH_BYTES_MAX: usize = 8 << 20;

/// What is handed from the task that prepares rows to the thread that writes files.
pub enum Prepared {
    /// Rows for an encoder.
    Batch(RecordBatch),
    /// Rows that are encoded already.
    Bytes { bytes: Vec<u8>, rows: u64 },
}

impl Prepared {
    /// How many rows.
    pub fn rows(&self) -> u64 {
        match self {
            Self::Batch(batch) => batch.num_rows() as u64,
            Self::Bytes { rows, .. } => *rows,
        }
    }
}

/// A file that is being written. It remembers what the file system refused, because encoders wrap
/// that error until it can no longer be told from a bug.
pub struct Output {
    file: io::BufWriter<Tracked>,
    refused: Arc<Mutex<Option<io::Error>>>,
    path: PathBuf,
}

struct Tracked {
    file: File,
    bytes: u64,
    refused: Arc<Mutex<Option<io::Error>>>,
}

impl Write for Tracked {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self.file.write(buffer) {
            Ok(count) => {
                self.bytes += count as u64;
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let copy = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
                if let Ok(mut refused) = self.refused.lock() {
                    refused.get_or_insert(copy);
                }
                Err(error)
            }
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Tells what the file system refused, after an encoder has failed.
#[derive(Clone)]
pub struct Refusal {
    refused: Arc<Mutex<Option<io::Error>>>,
    path: PathBuf,
}

impl Refusal {
    /// The error to report for an encoder's error.
    pub fn explain(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        let refused = self.refused.lock().ok().and_then(|mut refused| refused.take());
        match refused {
            Some(refused) => io_error(refused, "write", &self.path),
            None => Error::internal(format!("encoding \"{}\" failed", self.path.display())).with_source(error),
        }
    }
}

impl Output {
    /// Makes a new file.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(|error| io_error(error, "create", path))?;
        let refused = Arc::new(Mutex::new(None));
        let tracked = Tracked { file, bytes: 0, refused: refused.clone() };
        Ok(Self { file: io::BufWriter::with_capacity(1 << 18, tracked), refused, path: path.to_owned() })
    }
    /// What to ask after an encoder has failed.
    pub fn refusal(&self) -> Refusal {
        Refusal { refused: self.refused.clone(), path: self.path.clone() }
    }
    /// Bytes handed to the system so far.
    pub fn bytes(&self) -> u64 {
        self.file.get_ref().bytes
    }
    /// Makes the content durable; answers its size in bytes.
    pub fn finish(mut self) -> Result<u64> {
        let path = self.path.clone();
        self.file.flush().map_err(|error| io_error(error, "write", &path))?;
        let tracked = self.file.get_ref();
        tracked.file.sync_all().map_err(|error| io_error(error, "synchronize", &path))?;
        Ok(tracked.bytes)
    }
}

impl Write for Output {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.file.write(buffer)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Reads one open file from an offset of its own, so that many readers share one handle and a file
/// that has been replaced meanwhile is read to its end.
#[derive(Clone)]
pub struct Cursor {
    file: Arc<File>,
    offset: u64,
}

impl Cursor {
    /// From `offset`.
    pub fn new(file: Arc<File>, offset: u64) -> Self {
        Self { file, offset }
    }
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}
