//! The data directory, and what a gateway is started with besides its address.

use super::args::{SECRET_KEY_VARIABLE, StorageArgs};
use crate::host::HostOptions;
use crate::wire::ListenOptions;
use catalog::store::{KeySource, SecretText};
use catalog::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// The options of a gateway.
pub(super) fn host_options(storage: &StorageArgs, listen: ListenOptions) -> Result<HostOptions> {
    Ok(HostOptions {
        data_dir: data_directory(storage.data_dir.as_deref())?,
        key: key_source()?,
        listen,
        query_memory_bytes: storage.query_memory,
    })
}

/// The directory that was asked for, or the user's own.
fn data_directory(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        return absolute(given);
    }
    default_directory(std::env::var_os("XDG_DATA_HOME").map(PathBuf::from), std::env::var_os("HOME").map(PathBuf::from))
        .ok_or_else(|| {
            Error::new(ErrorKind::Prerequisite, "there is no default data directory")
                .with_detail("Neither XDG_DATA_HOME nor HOME names an absolute path.")
                .with_hint("Give one with --data-dir or TIDEGATE_DATA_DIR.")
        })
}

/// A relative XDG_DATA_HOME is to be ignored, as its specification says.
fn default_directory(xdg: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let base =
        xdg.filter(|p| p.is_absolute()).or_else(|| home.filter(|p| p.is_absolute()).map(|p| p.join(".local/share")))?;
    Some(base.join("tidegate"))
}

/// The path from the root on, so that messages and definitions hold wherever they are read.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| {
        Error::new(ErrorKind::InvalidValue, format!("\"{}\" is not a path", path.display()))
            .with_detail(format!("The operating system said: {error}."))
    })
}

fn key_source() -> Result<KeySource> {
    match std::env::var(SECRET_KEY_VARIABLE) {
        Ok(key) if !key.trim().is_empty() => Ok(KeySource::Text(SecretText::new(key))),
        Ok(_) | Err(std::env::VarError::NotPresent) => Ok(KeySource::File),
        // Quoting it would show it.
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Error::new(ErrorKind::InvalidValue, format!("environment variable {SECRET_KEY_VARIABLE} is not text")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_directory_is_the_users_own() {
        let find = |xdg: Option<&str>, home: Option<&str>| default_directory(xdg.map(Into::into), home.map(Into::into));
        assert_eq!(find(Some("/x"), Some("/h")), Some("/x/tidegate".into()));
        assert_eq!(find(Some("relative"), Some("/h")), Some("/h/.local/share/tidegate".into()));
        assert_eq!(find(None, Some("/h")), Some("/h/.local/share/tidegate".into()));
        assert_eq!(find(None, None), None);
    }
}
