//! The file system as the connector uses it: paths of tables, durable renames, and its errors.
//!
//! Everything here blocks; async callers go through [`blocking`].

use catalog::{Error, ErrorKind, Result, TableName};
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The schema whose tables lie in the source's folder itself.
pub const ROOT_SCHEMA: &str = "files";

/// The folder in the source's folder that holds staging and the memory of commits.
pub const HIDDEN: &str = ".tidegate";

/// The longest name of a schema or table, in bytes: file systems allow 255, and file names add an
/// extension.
const NAME_BYTES_MAX: usize = 240;

/// Runs blocking work off the async threads.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::internal("a file task ended early").with_source(error)),
    }
}

/// The error for something that the file system refused. `doing` completes "could not ..".
pub fn io_error(error: io::Error, doing: &str, path: &Path) -> Error {
    let shown = path.display();
    let detail = format!("The system said: {error}.");
    let error_kind = error.kind();
    let base = match error_kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Error::new(ErrorKind::DiskFull, format!("no space is left to {doing} \"{shown}\""))
                .with_hint("Free space on that file system, then retry the job.")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Error::new(ErrorKind::Privilege, format!("not allowed to {doing} \"{shown}\""))
                .with_hint("Give the user that the gateway runs as the right to do so.")
        }
        _ => Error::new(ErrorKind::Io, format!("could not {doing} \"{shown}\"")),
    };
    base.with_detail(detail).with_source(error)
}

/// Checks that a name can be a folder's name and nothing else.
pub fn check_name(kind: &str, name: &str) -> Result<()> {
    let reason = if name.is_empty() {
        "It is empty."
    } else if name.len() > NAME_BYTES_MAX {
        "It is longer than 240 bytes."
    } else if name.contains(['/', '\\', '\0']) || name.chars().any(char::is_control) {
        "It holds a slash, a backslash or a control character."
    } else if name.contains("..") {
        "It holds \"..\"."
    } else if name.starts_with('.') {
        "It begins with a dot, and such folders are hidden."
    } else {
        return Ok(());
    };
    let shown: String = name.chars().take(80).flat_map(char::escape_debug).collect();
    Err(Error::new(ErrorKind::InvalidValue, format!("{kind} name \"{shown}\" cannot be a folder"))
        .with_detail(reason)
        .with_hint("Choose another name, for example with AS schema.table in the job."))
}

/// Where the tables of a schema lie.
pub fn schema_folder(root: &Path, schema: &str) -> PathBuf {
    if schema == ROOT_SCHEMA { root.to_owned() } else { root.join(schema) }
}

/// The folder of a table, after checking both names.
pub fn table_folder(root: &Path, name: &TableName) -> Result<PathBuf> {
    check_name("schema", &name.schema)?;
    check_name("table", &name.table)?;
    Ok(schema_folder(root, &name.schema).join(&name.table))
}

/// Makes a folder's entries durable.
pub fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|error| io_error(error, "synchronize folder", path))
}

/// Makes a folder and its missing parents, each durable in its own parent.
pub fn create_folder(path: &Path) -> Result<()> {
    // Somebody who tidies up may remove an empty parent between two steps: then once more.
    for attempt in 0.. {
        let mut missing = vec![];
        let mut next = Some(path);
        while let Some(folder) = next {
            if folder.as_os_str().is_empty() || folder.is_dir() {
                break;
            }
            missing.push(folder);
            next = folder.parent();
        }
        let mut result = Ok(());
        for folder in missing.iter().rev() {
            result = match fs::create_dir(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                _ => Ok(()),
            };
            if result.is_err() {
                break;
            }
            if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                result = File::open(parent).and_then(|parent| parent.sync_all());
            }
        }
        match result {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < 3 => {}
            Err(error) => return Err(io_error(error, "create folder", path)),
        }
    }
    Ok(())
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

#[cfg(target_os = "linux")]
fn rename_with(from: &Path, to: &Path, flags: libc::c_uint) -> io::Result<()> {
    let (from, to) = (c_path(from)?, c_path(to)?);
    // SAFETY: both are NUL-terminated and live across the call. The system call is used by number
    // because older C libraries have no wrapper for it.
    let answer = unsafe {
        libc::syscall(libc::SYS_renameat2, libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags)
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(target_os = "linux")]
const EXCHANGE: libc::c_uint = libc::RENAME_EXCHANGE;
#[cfg(target_os = "linux")]
const NO_REPLACE: libc::c_uint = libc::RENAME_NOREPLACE;

#[cfg(target_os = "macos")]
fn rename_with(from: &Path, to: &Path, flags: libc::c_uint) -> io::Result<()> {
    let (from, to) = (c_path(from)?, c_path(to)?);
    // SAFETY: both are NUL-terminated and live across the call.
    let answer = unsafe { libc::renamex_np(from.as_ptr(), to.as_ptr(), flags) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(target_os = "macos")]
const EXCHANGE: libc::c_uint = libc::RENAME_SWAP;
#[cfg(target_os = "macos")]
const NO_REPLACE: libc::c_uint = libc::RENAME_EXCL;

fn is_no_such_flag(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::ENOTSUP))
}

/// Exchanges two folders: at every instant both names lead to one of the two.
pub fn exchange(staged: &Path, target: &Path) -> Result<()> {
    rename_with(staged, target, EXCHANGE).map_err(|error| {
        if is_no_such_flag(&error) {
            Error::new(
                ErrorKind::Prerequisite,
                format!("the file system of \"{}\" cannot exchange two folders at once", target.display()),
            )
            .with_detail(
                "WRITE OVERWRITE of a table that has files replaces its folder in one step, so that no reader sees \
                 half of it.",
            )
            .with_hint("Put the folder on ext4, xfs, btrfs or tmpfs, or write into a table that is not there yet.")
            .with_source(error)
        } else {
            cross_device(error, "put in place", target)
        }
    })
}

/// Renames to a name that must be free. Ok(false): it is not.
pub fn rename_to_free(from: &Path, to: &Path) -> Result<bool> {
    let result = match rename_with(from, to, NO_REPLACE) {
        // Names carry the identity of a write and the table is locked, so that looking first is
        // good enough where the file system has no such rename.
        Err(error) if is_no_such_flag(&error) => match fs::symlink_metadata(to) {
            Ok(_) => return Ok(false),
            Err(_) => fs::rename(from, to),
        },
        other => other,
    };
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(cross_device(error, "put in place", to)),
    }
}

fn cross_device(error: io::Error, doing: &str, path: &Path) -> Error {
    if error.kind() == io::ErrorKind::CrossesDevices {
        return Error::new(
            ErrorKind::Prerequisite,
            format!("\"{}\" lies on another file system than the source's folder", path.display()),
        )
        .with_detail("Tables are staged in the source's folder and renamed, which works within one file system only.")
        .with_hint("Make a source whose path is on that file system.")
        .with_source(error);
    }
    io_error(error, doing, path)
}

/// Removes a folder and all in it. Ok(false): there was none. A symbolic link is not followed.
pub fn remove_folder(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io_error(error, "look at", path)),
        Ok(_) => {}
    }
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(io_error(error, "remove", path)),
    }
}

/// Removes a file. Ok(false): there was none.
pub fn remove_file(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error(error, "remove", path)),
    }
}

/// The name under which [`write_durably`] writes; a kill may leave it.
pub fn temporary_of(path: &Path) -> PathBuf {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    PathBuf::from(temporary)
}

/// Writes a small file so that it is there whole and durable, or not at all.
pub fn write_durably(path: &Path, content: &[u8]) -> Result<()> {
    let failed = |error| io_error(error, "write", path);
    let folder = path.parent().ok_or_else(|| Error::internal("a file without a folder"))?;
    create_folder(folder)?;
    let temporary = temporary_of(path);
    let written = (|| {
        let mut file = File::create(&temporary)?;
        io::Write::write_all(&mut file, content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if let Err(error) = written {
        // The half-written file is of no use to anybody; the first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        return Err(failed(error));
    }
    sync_folder(folder)
}

/// What the file system says about free space, for checks.
pub struct Space {
    /// Bytes that an ordinary user may still write.
    pub bytes_free: u64,
    /// Whether it is mounted read-only.
    pub is_read_only: bool,
}

/// Free space of the file system that holds `path`.
pub fn space(path: &Path) -> io::Result<Space> {
    let path = c_path(path)?;
    // SAFETY: an all-zero statvfs is valid, and both pointers live across the call.
    let stat = unsafe {
        let mut stat: libc::statvfs = std::mem::zeroed();
        if libc::statvfs(path.as_ptr(), &mut stat) != 0 {
            return Err(io::Error::last_os_error());
        }
        stat
    };
    Ok(Space {
        bytes_free: stat.f_bavail.saturating_mul(stat.f_frsize),
        is_read_only: stat.f_flag & libc::ST_RDONLY != 0,
    })
}

/// Whether the process may do `mode` (`libc::R_OK | libc::W_OK | libc::X_OK`) there.
pub fn may(path: &Path, mode: libc::c_int) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: the path is NUL-terminated and lives across the call.
    let answer = unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), mode, libc::AT_EACCESS) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The file system's name when it is known to exchange folders at once; None when nothing is known.
#[cfg(target_os = "linux")]
pub fn exchanging_file_system(path: &Path) -> io::Result<Option<&'static str>> {
    let path = c_path(path)?;
    // SAFETY: an all-zero statfs is valid, and both pointers live across the call.
    let kind = unsafe {
        let mut stat: libc::statfs = std::mem::zeroed();
        if libc::statfs(path.as_ptr(), &mut stat) != 0 {
            return Err(io::Error::last_os_error());
        }
        stat.f_type as i64
    };
    Ok(match kind & 0xFFFF_FFFF {
        0xEF53 => Some("ext4"),
        0x5846_5342 => Some("xfs"),
        0x9123_683E => Some("btrfs"),
        0x0102_1994 => Some("tmpfs"),
        0x794C_7630 => Some("overlayfs"),
        0xF2F5_2010 => Some("f2fs"),
        _ => None,
    })
}

/// The file system's name when it is known to exchange folders at once; None when nothing is known.
#[cfg(not(target_os = "linux"))]
pub fn exchanging_file_system(_path: &Path) -> io::Result<Option<&'static str>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let long = "x".repeat(241);
        for name in ["", "..", "a/b", "../x", "a..b", ".tidegate", "a\0b", "a\nb", "a\\b", long.as_str()] {
            let error = check_name("table", name).unwrap_err();
            assert_eq!(error.sqlstate(), "22023", "{name:?}");
        }
        for name in ["orders", "Ordres été", "a.b", "a \"quoted\" one", "x;y"] {
            check_name("table", name).unwrap();
        }
    }

    #[test]
    fn folders_are_exchanged_and_free_names_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        create_folder(&a.join("one")).unwrap();
        create_folder(&b.join("two")).unwrap();
        exchange(&a, &b).unwrap();
        assert!(a.join("two").is_dir() && b.join("one").is_dir());
        assert!(!rename_to_free(&a, &b).unwrap());
        assert!(rename_to_free(&a, &folder.path().join("c")).unwrap());
        assert!(remove_folder(&folder.path().join("c")).unwrap());
        assert!(!remove_folder(&folder.path().join("c")).unwrap());
    }
}
