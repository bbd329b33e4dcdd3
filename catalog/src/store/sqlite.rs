//! The store in one SQLite file: opening it, its two connections, ids, and the current snapshot.
//!
//! One connection writes and one reads, so that a query of a system table never waits for an fsync.
//! What a statement may do with them lives in the files beside this one, named after their noun.

use super::failure::{Failure, io_error};
use super::key::{Cipher, KeySource, Sealed, check_key_source, load_cipher, random, wrong_key};
use super::lock::DirectoryLock;
use super::migrate::{applied_version, migrate};
use super::snapshot::Snapshot;
use super::stored::load_snapshot;
use crate::error::{Error, ErrorKind, Result};
use parking_lot::{Mutex, RwLock};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const CATALOG_FILE: &str = "catalog.sqlite";

/// How many ids one write reserves. What is left of a block at exit is never given out.
const ID_BLOCK: i64 = 64;

/// Nobody else should hold the file; a person's `sqlite3` gets this long to finish.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Prepared statements kept per connection: more than the store has.
const STATEMENTS_MAX: usize = 96;

/// The write-ahead log is cut back to this after a checkpoint, in bytes.
const LOG_BYTES_KEPT: i64 = 16 << 20;

/// The durable store. See the module above for its contract.
///
/// It may be shared between threads. Dropping it closes the file and releases the directory.
pub struct Store {
    directory: PathBuf,
    path: PathBuf,
    gateway_id: String,
    cipher: Cipher,
    current: RwLock<Arc<Snapshot>>,
    /// Held by the one commit that goes on, while its changes are made and written. Taken before
    /// any other lock; the writer below is free while changes are made.
    pub(super) committing: Mutex<()>,
    ids: Mutex<IdBlock>,
    // The reader closes first, so that the writer is the last and empties the log.
    reader: Mutex<Connection>,
    writer: Mutex<Writer>,
    /// Released after the connections are closed.
    _lock: DirectoryLock,
}

/// When a write survives a power failure. A killed process loses neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// When the call returns.
    Synced,
    /// From the next synced write on; never before what was written earlier.
    Ordered,
}

struct Writer {
    connection: Connection,
    durability: Durability,
}

/// The ids that were reserved and not given out yet.
struct IdBlock {
    next: i64,
    end: i64,
}

impl Store {
    /// Opens the data directory, which is made when it is absent, and holds it until the store is
    /// dropped. May be called again after an open that failed.
    ///
    /// Errors: 55006 while another gateway holds the directory; 55000 for a key that is not the
    /// catalog's, a key file that others may read, and a catalog of a newer program; 22023 for a
    /// key text that is no key; 58030 and 53100 for the file system; XX001 for a damaged file.
    pub fn open(directory: &Path, key: KeySource) -> Result<Self> {
        check_key_source(&key)?;
        let lock = DirectoryLock::take(directory)?;
        let path = directory.join(CATALOG_FILE);
        let opened = open_catalog(&path, directory, &key).map_err(|failure| failure.into_error(&path))?;
        let Opened { writer, reader, cipher, gateway_id, snapshot } = opened;
        tracing::debug!(directory = %directory.display(), version = snapshot.version, "catalog opened");
        Ok(Self {
            directory: directory.to_owned(),
            path,
            gateway_id,
            cipher,
            current: RwLock::new(Arc::new(snapshot)),
            committing: Mutex::new(()),
            ids: Mutex::new(IdBlock { next: 0, end: 0 }),
            reader: Mutex::new(reader),
            writer: Mutex::new(Writer { connection: writer, durability: Durability::Synced }),
            _lock: lock,
        })
    }

    /// The data directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The gateway's own id, made once per data directory: the text of a random UUID.
    pub fn gateway_id(&self) -> &str {
        &self.gateway_id
    }

    /// The definitions as of the last commit. Never blocks on the disk.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.read().clone()
    }

    /// A new id, greater than every one before. One sequence serves all kinds of objects and
    /// runs; no id is given out twice, also not after a crash, but some may be left out.
    pub fn next_id(&self) -> Result<i64> {
        let mut ids = self.ids.lock();
        if ids.next == ids.end {
            let end = self.write(Durability::Synced, |transaction| {
                Ok(transaction.query_row(
                    "UPDATE catalog_state SET id_next = id_next + ?1 RETURNING id_next",
                    [ID_BLOCK],
                    |row| row.get::<_, i64>(0),
                )?)
            })?;
            *ids = IdBlock { next: end - ID_BLOCK, end };
        }
        let id = ids.next;
        ids.next += 1;
        Ok(id)
    }

    /// The id, or a new one for 0.
    pub(super) fn id_or_next(&self, id: i64) -> Result<i64> {
        if id == 0 { self.next_id() } else { Ok(id) }
    }

    pub(super) fn cipher(&self) -> &Cipher {
        &self.cipher
    }

    /// Makes a snapshot the current one; the caller holds `committing` and has written it.
    pub(super) fn publish(&self, snapshot: Arc<Snapshot>) {
        *self.current.write() = snapshot;
    }

    /// Reads what is committed. The work must not call the store again.
    pub(super) fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T> {
        work(&self.reader.lock()).map_err(|failure| failure.into_error(&self.path))
    }

    /// Runs the work in one transaction: all of it is kept, or nothing after an error. The work
    /// must not call the store again.
    pub(super) fn write<T>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>,
    ) -> Result<T> {
        let mut writer = self.writer.lock();
        writer.write(durability, work).map_err(|failure| failure.into_error(&self.path))
    }

    /// Sets the file's largest size, so that tests can fill the disk.
    #[cfg(test)]
    pub(super) fn set_page_count_max(&self, pages: i64) {
        let set = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        self.writer.lock().connection.pragma_update_and_check(None, "max_page_count", pages, set).unwrap();
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Writer {
    fn write<T>(
        &mut self,
        durability: Durability,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if self.durability != durability {
            self.connection.pragma_update(
                None,
                "synchronous",
                match durability {
                    Durability::Synced => "FULL",
                    Durability::Ordered => "NORMAL",
                },
            )?;
            self.durability = durability;
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }
}

struct Opened {
    writer: Connection,
    reader: Connection,
    cipher: Cipher,
    gateway_id: String,
    snapshot: Snapshot,
}

fn open_catalog(path: &Path, directory: &Path, key: &KeySource) -> Result<Opened, Failure> {
    // SQLite gives its log files the mode of the file itself, so it is made here, and narrow.
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| io_error(format_args!("open catalog \"{}\"", path.display()), error))?;
    let mut writer = connect(path)?;
    // What is refused is left as it is, its journal mode included.
    let applied = applied_version(&writer, path)?;
    configure(&writer, path)?;
    migrate(&mut writer, applied)?;
    let reader = connect(path)?;
    configure(&reader, path)?;
    reader.pragma_update(None, "query_only", true)?;

    let state = writer
        .query_row("SELECT gateway_id, key_check_nonce, key_check FROM catalog_state", [], |row| {
            Ok((row.get::<_, String>(0)?, Sealed { nonce: row.get(1)?, ciphertext: row.get(2)? }))
        })
        .optional()?;
    let cipher = load_cipher(key, directory, state.is_none())?;
    let gateway_id = match state {
        Some((gateway_id, key_check)) => {
            if !cipher.matches(&key_check) {
                return Err(wrong_key(key, directory).into());
            }
            gateway_id
        }
        None => first_open(&writer, &cipher)?,
    };
    let snapshot = load_snapshot(&writer)?;
    Ok(Opened { writer, reader, cipher, gateway_id, snapshot })
}

fn connect(path: &Path) -> Result<Connection, Failure> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

fn configure(connection: &Connection, path: &Path) -> Result<(), Failure> {
    // WAL answers with the mode that it got; a file system without shared memory refuses it.
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(Error::new(
            ErrorKind::Io,
            format!("the file system of catalog \"{}\" does not support a write-ahead log", path.display()),
        )
        .with_hint("Put the data directory on a local disk, with --data-dir.")
        .into());
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES_KEPT, |_| Ok(()))?;
    // Sorting must not leave rows in a temporary file elsewhere.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // Deleted values are overwritten where that costs no further write.
    connection.pragma_update_and_check(None, "secure_delete", "FAST", |_| Ok(()))?;
    Ok(())
}

/// Writes the row that makes the file a catalog, and answers the new gateway's id.
fn first_open(writer: &Connection, cipher: &Cipher) -> Result<String, Failure> {
    let gateway_id = random_uuid()?;
    let check = cipher.key_check()?;
    writer.execute(
        "INSERT INTO catalog_state (singleton, gateway_id, version, id_next, key_check_nonce, key_check)
         VALUES (1, ?1, 0, 1, ?2, ?3)",
        params![gateway_id, check.nonce, check.ciphertext],
    )?;
    Ok(gateway_id)
}

/// A version 4 UUID as text.
fn random_uuid() -> Result<String> {
    let mut bytes = [0u8; 16];
    random(&mut bytes)?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    Ok(text)
}
