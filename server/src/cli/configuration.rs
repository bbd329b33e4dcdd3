//! The configuration file: TOML with the options' names as keys, all at the top level.
//!
//! A file may hold options of several commands; each command takes its own. Relative paths in it
//! are relative to the file. Errors name the file, the line and the key, and never quote a line:
//! the URL of a gateway may hold a password.

use super::args::SECRET_KEY_VARIABLE;
use catalog::error::nearest;
use catalog::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

/// Options whose value is a path.
const PATHS: &[&str] = &["data_dir", "tls_cert", "tls_key", "users_file", "out"];

/// Reads the file. The answer has the values as they would stand on a command line.
pub(super) fn load(path: &Path, known: &[String]) -> Result<BTreeMap<String, OsString>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::new(ErrorKind::Io, format!("could not read configuration file \"{shown}\""))
            .with_detail(format!("The operating system said: {error}."))
            .with_hint("Give the path of a TOML file with --config or TIDEGATE_CONFIG.")
    })?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| {
        let line = error
            .span()
            .map(|span| text.as_bytes()[..span.start.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1);
        let place = line.map(|n| format!(" at line {n}")).unwrap_or_default();
        Error::new(ErrorKind::Syntax, format!("configuration file \"{shown}\" is not TOML{place}"))
            .with_detail(super::args::sentence(error.message().lines().next().unwrap_or_default()))
    })?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut values = BTreeMap::new();
    for (key, value) in table {
        if !known.contains(&key) || key == "config" {
            return Err(unknown_key(&key, &shown.to_string(), known));
        }
        let text = match value {
            toml::Value::String(text) if PATHS.contains(&key.as_str()) => directory.join(text).into_os_string(),
            toml::Value::String(text) => text.into(),
            toml::Value::Integer(number) => number.to_string().into(),
            toml::Value::Float(number) => number.to_string().into(),
            toml::Value::Boolean(truth) => truth.to_string().into(),
            toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
                return Err(Error::new(
                    ErrorKind::InvalidValue,
                    format!("\"{key}\" in configuration file \"{shown}\" is not a string, number or boolean"),
                ));
            }
        };
        values.insert(key, text);
    }
    Ok(values)
}

fn unknown_key(key: &str, shown: &str, known: &[String]) -> Error {
    let error =
        Error::new(ErrorKind::UnknownOption, format!("unrecognized key \"{key}\" in configuration file \"{shown}\""));
    let names = known.iter().map(String::as_str).filter(|name| *name != "config");
    let all = names.clone().collect::<Vec<_>>().join(", ");
    match (key, nearest(key, names)) {
        ("secret_key", _) => {
            error.with_hint(format!("Give the key in the environment variable {SECRET_KEY_VARIABLE}."))
        }
        (_, Some(near)) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
        (_, None) => error.with_hint(format!("Keys are: {all}.")),
    }
}
