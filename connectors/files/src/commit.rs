//! The memory of commits, and the scheme that keeps it right whatever is killed when.
//!
//! Everything that is not a table lies in `<path>/.tidegate/`:
//!
//! | place | what | until |
//! |---|---|---|
//! | `staging/<token>/` | files of a write that goes on, each named `*.tmp` | the write ends |
//! | `commits/<token>.commit` | who writes, position and rows | the job is forgotten |
//! | `schemas/<token>.schema` | the Arrow schema of a CSV or JSON write, exact | its files are replaced |
//!
//! A token is `<gateway>-<job>-<mapping>-<run>`, and the files of a write are named
//! `part-<token>.parquet` and, when there are more, `part-<token>-1.parquet`, and so on.
//!
//! **A write is committed when its first file has its final name in its table's folder.** That is
//! the outcome of one rename. The position is written before, durably, to `commits/`, and counts
//! only if that file is there; so data and position commit together:
//!
//! 1. Files are written as `*.tmp` into staging and synchronized. Killed here: staging is left, and
//!    [`connector_api::Sink::clean_up`] removes it.
//! 2. The commit record is written. Killed here: a record without its file, which says "not
//!    committed" and is removed by clean-up.
//! 3. a. One file for a table that has none, or APPEND: the file is renamed into the folder.
//!    b. Otherwise: the staged files get their final names in staging, then the staged folder and
//!    the table's folder are exchanged by one `renameat2(RENAME_EXCHANGE)`, or the staged folder
//!    is renamed to a name that is free.
//! 4. The folders are synchronized. A kill does not undo a rename; a power loss may, and then the
//!    file is not there after it. Recovery synchronizes again before it says "committed".
//! 5. What was replaced lies in staging now, loses its file names' extensions and is removed.
//!    Killed here: clean-up removes it.
//!
//! Readers of a table's folder therefore see all of a write or nothing. Someone who globs `**` from
//! the source's folder down also walks through `.tidegate`; he meets `*.tmp` there, except between
//! the renames of step 3b and in 5, where complete files are seen at two places for an instant (or,
//! after a kill just there, until the next clean-up).

use crate::client::{self, HIDDEN};
use crate::settings::Format;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use catalog::{Error, ErrorKind, Position, Result, TableName};
use connector_api::CommitKey;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The name of a write in file names: short, unique among gateways, and the same for the same key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Token(String);

impl Token {
    /// Of a commit key.
    pub fn of(key: &CommitKey) -> Self {
        Self(format!("{:08x}-{}-{}-{}", short_hash(&key.gateway_id), key.job_id, key.mapping_id, key.run_id))
    }
    /// Of a data file that tidegate wrote.
    pub fn of_file(name: &str) -> Option<Self> {
        let (stem, _) = name.strip_prefix("part-")?.rsplit_once('.')?;
        let parts: Vec<&str> = stem.split('-').collect();
        let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let is_ours = (4..=5).contains(&parts.len())
            && parts[0].len() == 8
            && parts[0].bytes().all(|b| b.is_ascii_hexdigit())
            && parts[1..].iter().all(is_number);
        is_ours.then(|| Self(parts[..4].join("-")))
    }
    /// The name of the write's file of that index.
    pub fn file_name(&self, index: usize, format: Format) -> String {
        match index {
            0 => format!("part-{}.{}", self.0, format.extension()),
            _ => format!("part-{}-{index}.{}", self.0, format.extension()),
        }
    }
    /// The staging folder.
    pub fn staging(&self, root: &Path) -> PathBuf {
        root.join(HIDDEN).join("staging").join(&self.0)
    }
    /// The commit record.
    pub fn record(&self, root: &Path) -> PathBuf {
        commits_folder(root).join(format!("{}.commit", self.0))
    }
    /// The exact schema of the write's files, for formats that do not hold it.
    pub fn schema(&self, root: &Path) -> PathBuf {
        root.join(HIDDEN).join("schemas").join(format!("{}.schema", self.0))
    }
}

/// FNV-1a folded to 32 bits: stable over versions and platforms, which file names need.
fn short_hash(text: &str) -> u32 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 32)) as u32
}

fn commits_folder(root: &Path) -> PathBuf {
    root.join(HIDDEN).join("commits")
}

/// What is remembered of a commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommitRecord {
    /// The gateway that wrote.
    pub gateway_id: String,
    /// The job.
    pub job_id: i64,
    /// The mapping.
    pub mapping_id: i64,
    /// The run.
    pub run_id: i64,
    /// The table.
    pub table: TableName,
    /// The first file's name; the write is committed when it is in the table's folder.
    pub file: String,
    /// Where the rows come from.
    pub position: Position,
    /// Rows written.
    pub rows: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

impl CommitRecord {
    fn is_of(&self, key: &CommitKey) -> bool {
        self.gateway_id == key.gateway_id
            && self.job_id == key.job_id
            && self.mapping_id == key.mapping_id
            && self.run_id == key.run_id
    }
    /// Writes it durably; it counts once its file is in place.
    pub fn store(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::internal("a commit record cannot be written as json").with_source(error))?;
        client::write_durably(path, &text)
    }
    /// Reads one; None when there is none.
    pub fn load(path: &Path) -> Result<Option<Self>> {
        let content = match fs::read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(client::io_error(error, "read", path)),
        };
        serde_json::from_slice(&content).map(Some).map_err(|error| {
            Error::new(ErrorKind::Io, format!("commit record \"{}\" is damaged", path.display()))
                .with_detail(format!("The reader said: {error}."))
                .with_hint("Restore it from a backup; without it the outcome of its run is unknown.")
                .with_source(error)
        })
    }
    /// Whether the write is committed: its file is in place.
    pub fn is_committed(&self, root: &Path) -> Result<bool> {
        let path = client::table_folder(root, &self.table)?.join(&self.file);
        match fs::symlink_metadata(&path) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
            Err(error) => Err(client::io_error(error, "look at", &path)),
        }
    }
}

/// The position committed under a key, made durable before it is told; None: not committed.
pub fn recovered(root: &Path, key: &CommitKey, table: &TableName) -> Result<Option<String>> {
    let Some(record) = CommitRecord::load(&Token::of(key).record(root))? else {
        return Ok(None);
    };
    if !record.is_of(key) || &record.table != table || !record.is_committed(root)? {
        return Ok(None);
    }
    let folder = client::table_folder(root, table)?;
    client::sync_folder(&folder)?;
    if let Some(parent) = folder.parent() {
        client::sync_folder(parent)?;
    }
    Ok(Some(record.position.to_string()))
}

/// Removes what a write that did not commit left behind, and what a commit had no time to tidy up.
/// Answers what was removed, in words.
pub fn clean_up(root: &Path, key: &CommitKey, table: &TableName) -> Result<Vec<String>> {
    if client::table_folder(root, table).is_err() {
        // A name that cannot be a folder was never written to.
        return Ok(vec![]);
    }
    let token = Token::of(key);
    let mut removed = vec![];
    let staging = token.staging(root);
    if client::remove_folder(&staging)? {
        removed.push(format!("staging folder {}", staging.display()));
    }
    let (path, schema) = (token.record(root), token.schema(root));
    for half in [client::temporary_of(&path), client::temporary_of(&schema)] {
        if client::remove_file(&half)? {
            removed.push(format!("half-written {}", half.display()));
        }
    }
    if let Some(record) = CommitRecord::load(&path)?
        && record.is_of(key)
        && !record.is_committed(root)?
    {
        if client::remove_file(&path)? {
            removed.push(format!("commit record {}", path.display()));
        }
        // The folder may have been made for the file that did not come. Only an empty one goes.
        let folder = client::table_folder(root, table)?;
        if fs::remove_dir(&folder).is_ok() {
            removed.push(format!("empty folder {}", folder.display()));
        }
    }
    // A schema is written before its record and stays when the record is forgotten: its files
    // decide.
    let place = crate::table::locate(root, table)?;
    let has_files = place.files.iter().any(|file| Token::of_file(&file.name).as_ref() == Some(&token));
    if !has_files && client::remove_file(&schema)? {
        removed.push(format!("schema {}", schema.display()));
    }
    tidy(root);
    Ok(removed)
}

/// Removes the records of a gateway's job, or of all its jobs.
pub fn forget(root: &Path, gateway_id: &str, job_id: Option<i64>) -> Result<()> {
    let folder = commits_folder(root);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(client::io_error(error, "read folder", &folder)),
    };
    for entry in entries {
        let path = entry.map_err(|error| client::io_error(error, "read folder", &folder))?.path();
        if path.extension().is_none_or(|extension| extension != "commit") {
            continue;
        }
        let Some(record) = CommitRecord::load(&path)? else { continue };
        if record.gateway_id == gateway_id && job_id.is_none_or(|job_id| job_id == record.job_id) {
            client::remove_file(&path)?;
        }
    }
    tidy(root);
    Ok(())
}

/// Removes the hidden folders that are empty. Failing to is no harm: the next one tries again.
pub fn tidy(root: &Path) {
    let hidden = root.join(HIDDEN);
    for name in ["staging", "commits", "schemas"] {
        let _ = fs::remove_dir(hidden.join(name));
    }
    let _ = fs::remove_dir(hidden);
}

/// Writes the exact schema of a write's files.
pub fn store_schema(path: &Path, schema: &Schema) -> Result<()> {
    let content = StreamWriter::try_new(vec![], schema)
        .and_then(|mut writer| writer.finish().map(|()| writer))
        .and_then(StreamWriter::into_inner)
        .map_err(|error| Error::internal("a schema cannot be written as Arrow IPC").with_source(error))?;
    client::write_durably(path, &content)
}

/// Reads the exact schema of a write's files; None when there is none or it cannot be read (then the
/// files speak for themselves).
pub fn load_schema(path: &Path) -> Option<SchemaRef> {
    let content = fs::read(path).ok()?;
    Some(StreamReader::try_new(content.as_slice(), None).ok()?.schema())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field};
    use catalog::Lineage;
    use std::collections::HashMap;

    fn key(run_id: i64) -> CommitKey {
        CommitKey { gateway_id: "gate/../way".to_owned(), job_id: 3, mapping_id: 7, run_id }
    }

    #[test]
    fn a_token_is_found_in_the_names_of_its_files_only() {
        let token = Token::of(&key(12));
        for (index, format) in [(0, Format::Parquet), (1, Format::Csv), (17, Format::Json)] {
            assert_eq!(Token::of_file(&token.file_name(index, format)).as_ref(), Some(&token));
        }
        for name in ["part-0.parquet", "part-00000-1-2-3.parquet", "part-zzzzzzzz-1-2-3.csv", "x.csv", "part-"] {
            assert_eq!(Token::of_file(name), None, "{name}");
        }
        let other = CommitKey { gateway_id: "another".to_owned(), ..key(12) };
        assert_ne!(Token::of(&other), token);
    }

    #[test]
    fn a_record_counts_only_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let (key, table) = (key(1), TableName::new("s", "t"));
        let token = Token::of(&key);
        assert_eq!(recovered(root, &key, &table).unwrap(), None);
        let record = CommitRecord {
            gateway_id: key.gateway_id.clone(),
            job_id: 3,
            mapping_id: 7,
            run_id: 1,
            table: table.clone(),
            file: token.file_name(0, Format::Csv),
            position: Position::Lsn { lsn: 0x016B_3748, lineage: Lineage::default() },
            rows: 5,
            bytes: 50,
        };
        record.store(&token.record(root)).unwrap();
        assert_eq!(recovered(root, &key, &table).unwrap(), None);
        client::create_folder(&root.join("s/t")).unwrap();
        fs::write(root.join("s/t").join(&record.file), "x").unwrap();
        assert_eq!(recovered(root, &key, &table).unwrap().as_deref(), Some("0/16B3748"));
        // Clean-up leaves what is committed.
        assert!(clean_up(root, &key, &table).unwrap().is_empty());
        assert!(recovered(root, &key, &table).unwrap().is_some());
        forget(root, "somebody else", None).unwrap();
        assert!(recovered(root, &key, &table).unwrap().is_some());
        forget(root, &key.gateway_id, Some(3)).unwrap();
        assert_eq!(recovered(root, &key, &table).unwrap(), None);
        assert!(!root.join(HIDDEN).exists());
    }

    #[test]
    fn a_schema_comes_back_with_its_metadata() {
        let folder = tempfile::tempdir().unwrap();
        let metadata = HashMap::from([("tidegate.type".to_owned(), "hstore".to_owned())]);
        let schema = Schema::new(vec![Field::new("a", DataType::Utf8, true).with_metadata(metadata)]);
        let path = folder.path().join("x/y.schema");
        store_schema(&path, &schema).unwrap();
        assert_eq!(load_schema(&path).unwrap().as_ref(), &schema);
        assert!(load_schema(&folder.path().join("none")).is_none());
    }
}
