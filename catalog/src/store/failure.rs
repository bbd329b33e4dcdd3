//! What goes wrong underneath the store, and the one place that turns it into errors for users.
//!
//! Neither SQLite's messages nor the operating system's quote the data, so both may be shown.

use crate::error::{Error, ErrorKind};
use rusqlite::ErrorCode;
use std::path::Path;

/// SQLSTATE data_corrupted, which has no kind of its own: only damaged files give it.
const DATA_CORRUPTED: &str = "XX001";

/// Why a piece of work on the store's connection ended early.
#[derive(Debug)]
pub(super) enum Failure {
    /// SQLite refused.
    Sqlite(rusqlite::Error),
    /// A row is not what this program writes.
    Damaged(String),
    /// Already an error for users.
    Error(Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Failure {
    /// A body that does not parse. serde's message may quote the body, so only its place is kept.
    pub(super) fn unreadable(table: &str, id: i64, error: &serde_json::Error) -> Self {
        Self::Damaged(format!("Row {id} of table {table} is unreadable at column {}.", error.column()))
    }

    /// Whether a unique index refused.
    pub(super) fn is_unique_violation(&self) -> bool {
        matches!(
            self,
            Self::Sqlite(rusqlite::Error::SqliteFailure(error, _))
                if error.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
        )
    }

    /// The error that users see, about the catalog file at `path`.
    pub(super) fn into_error(self, path: &Path) -> Error {
        match self {
            Self::Error(error) => error,
            Self::Damaged(detail) => damaged(path, detail),
            Self::Sqlite(error) => sqlite_error(path, error),
        }
    }
}

/// The error of a file operation; `action` reads like `create directory "x"`.
pub(super) fn io_error(action: impl std::fmt::Display, error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::DiskFull,
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("could not {action}"))
        .with_detail(format!("The operating system said: {error}."))
        .with_source(error)
}

fn sqlite_error(path: &Path, error: rusqlite::Error) -> Error {
    let shown = path.display();
    let said = match &error {
        rusqlite::Error::SqliteFailure(code, Some(message)) => {
            format!("SQLite said: {message} (code {}).", code.extended_code)
        }
        other => format!("SQLite said: {other}."),
    };
    let (kind, message, hint) = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (
            ErrorKind::DiskFull,
            format!("no space left to write catalog \"{shown}\""),
            Some("Free space on the disk that holds the data directory, then run the statement again."),
        ),
        Some(
            ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied,
        ) => (
            ErrorKind::Io,
            format!("could not read or write catalog \"{shown}\""),
            Some("Check that the disk works and that the gateway's user may write the data directory."),
        ),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => return damaged(path, said).with_source(error),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            ErrorKind::InUse,
            format!("catalog \"{shown}\" is locked by another program"),
            Some("Close the program that has the catalog file open, then run the statement again."),
        ),
        Some(ErrorCode::OutOfMemory) => (ErrorKind::OutOfMemory, format!("out of memory in catalog \"{shown}\""), None),
        Some(ErrorCode::TooBig) => {
            (ErrorKind::TooComplex, format!("a definition is too large for catalog \"{shown}\""), None)
        }
        _ => (ErrorKind::Internal, format!("catalog \"{shown}\" refused a read or write"), None),
    };
    let user_error = Error::new(kind, message).with_detail(said).with_source(error);
    match hint {
        Some(hint) => user_error.with_hint(hint),
        None => user_error,
    }
}

fn damaged(path: &Path, detail: String) -> Error {
    let kind = ErrorKind::Remote(DATA_CORRUPTED.to_owned());
    Error::new(kind, format!("catalog \"{}\" is damaged", path.display()))
        .with_detail(detail)
        .with_hint("Stop the gateway, put a backup of the data directory in its place, and start it again.")
}
