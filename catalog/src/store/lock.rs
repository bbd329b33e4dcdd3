//! One gateway per data directory: the directory itself, and the lock on it.
//!
//! The lock is the kernel's, on an open file, so it ends with the process however that dies. The
//! file stays behind on purpose: deleting it would let two gateways lock two files of one name.

use super::failure::io_error;
use crate::error::{Error, ErrorKind, Result};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

const LOCK_FILE: &str = "tidegate.lock";

/// The longest process id that is read back, in bytes.
const PID_BYTES_MAX: u64 = 20;

/// A data directory held by this process until the value is dropped.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    /// Closing it releases the lock.
    _file: File,
}

impl DirectoryLock {
    /// Makes the directory (mode 0700) when it is absent and takes the lock, or answers 55006.
    pub(super) fn take(directory: &Path) -> Result<Self> {
        let shown = directory.display();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| io_error(format_args!("create data directory \"{shown}\""), error))?;
        let path = directory.join(LOCK_FILE);
        let failed = |error| io_error(format_args!("lock data directory \"{shown}\""), error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(directory, &mut file)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // The process id is for people only, and for the message of the gateway that comes second.
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(file, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn in_use(directory: &Path, file: &mut File) -> Error {
    let mut text = String::new();
    let pid = match file.take(PID_BYTES_MAX).read_to_string(&mut text) {
        Ok(_) => text.trim().parse::<u32>().ok(),
        Err(_) => None,
    };
    Error::new(ErrorKind::InUse, format!("data directory \"{}\" is in use by another gateway", directory.display()))
        .with_detail(match pid {
            Some(pid) => format!("The process id of the other gateway is {pid}."),
            // The other one holds the lock and has not written its id yet.
            None => "The other gateway is just starting.".to_owned(),
        })
        .with_hint("Stop the other gateway, or give this one a directory of its own with --data-dir.")
}
