//! The face of the connector: options, checks and discovery.

use crate::client::{self, blocking};
use crate::settings::{OPTIONS, Settings};
use crate::sink::FilesSink;
use crate::snapshot::FilesSource;
use crate::table;
use async_trait::async_trait;
use catalog::option::{OptionSpec, format_size};
use catalog::{CheckStatus, Error, Result, TableName};
use connector_api::{
    Capabilities, Check, CheckRequest, Connector, ConnectorInfo, DiscoverRequest, Purpose, Sink, Source, SourceConfig,
    TableSchema,
};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Free space below which a check warns.
const BYTES_FREE_MIN: u64 = 1 << 30;

/// Times that a table is described again because it was replaced meanwhile.
const DESCRIPTIONS_MAX: usize = 10;

/// The source type `files`.
#[derive(Debug, Default, Clone, Copy)]
pub struct FilesConnector;

#[async_trait]
impl Connector for FilesConnector {
    fn name(&self) -> &'static str {
        "files"
    }
    fn info(&self) -> ConnectorInfo {
        ConnectorInfo {
            version: env!("CARGO_PKG_VERSION"),
            capabilities: Capabilities { read: true, capture: false, write: true, ddl: true },
            positions: &["snapshot"],
            fixed_schemas: &[client::ROOT_SCHEMA],
            description: "Parquet, CSV and JSON lines in a local folder.",
        }
    }
    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }
    fn check_options(&self, config: &SourceConfig) -> Result<()> {
        Settings::new(config).map(|_| ())
    }
    async fn check(&self, config: &SourceConfig, request: &CheckRequest) -> Vec<Check> {
        let started = Instant::now();
        let settings = match Settings::new(config) {
            Ok(settings) => settings,
            Err(error) => return vec![of_error("options", &error, started.elapsed())],
        };
        let request_owned = request.clone();
        let checks = blocking(move || Ok(checks(&settings, &request_owned)));
        match tokio::time::timeout(request.timeout, checks).await {
            Ok(Ok(checks)) => checks,
            Ok(Err(error)) => vec![of_error("path", &error, started.elapsed())],
            Err(_) => vec![Check {
                name: "path".to_owned(),
                status: CheckStatus::Fail,
                message: format!("the file system did not answer within {} ms", request.timeout.as_millis()),
                hint: Some("Check that the file system is mounted and its server answers.".to_owned()),
                elapsed: started.elapsed(),
            }],
        }
    }
    async fn discover(&self, config: &SourceConfig, request: &DiscoverRequest) -> Result<Vec<TableSchema>> {
        let settings = Settings::new(config)?;
        let request = request.clone();
        blocking(move || match &request {
            DiscoverRequest::List { schemas } => table::list(&settings, schemas),
            DiscoverRequest::Describe { tables } => describe(&settings, tables),
        })
        .await
    }
    fn source(&self, config: &SourceConfig) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(FilesSource::new(Arc::new(Settings::new(config)?))))
    }
    fn sink(&self, config: &SourceConfig) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(FilesSink::new(Arc::new(Settings::new(config)?))))
    }
}

fn describe(settings: &Settings, tables: &[TableName]) -> Result<Vec<TableSchema>> {
    let mut described = vec![];
    for name in tables {
        let mut result = table::describe(settings, name);
        // A table that is replaced just now is described one of the next times.
        for _ in 1..DESCRIPTIONS_MAX {
            if !result.as_ref().is_err_and(Error::is_retryable) {
                break;
            }
            result = table::describe(settings, name);
        }
        described.extend(result?);
    }
    Ok(described)
}

fn of_error(name: &str, error: &Error, elapsed: Duration) -> Check {
    let message = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.message()),
        None => error.message().to_owned(),
    };
    Check { name: name.to_owned(), status: CheckStatus::Fail, message, hint: error.hint().map(str::to_owned), elapsed }
}

/// Looks without changing anything: rights are asked for, not tried.
fn checks(settings: &Settings, request: &CheckRequest) -> Vec<Check> {
    let mut checks = vec![];
    let mut add = |name: &str, started: Instant, outcome: (CheckStatus, String, Option<String>)| {
        let (status, message, hint) = outcome;
        checks.push(Check { name: name.to_owned(), status, message, hint, elapsed: started.elapsed() });
    };
    let wants = |purpose: Purpose| request.purposes.is_empty() || request.purposes.contains(&purpose);
    let root = settings.root.as_path();
    let shown = root.display();
    let writes = wants(Purpose::Write) || wants(Purpose::Ddl);
    let started = Instant::now();
    // What is asked for the folder is asked for the nearest parent that exists when it does not.
    let nearest = root.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    if root.is_dir() {
        add("path", started, (CheckStatus::Pass, format!("{shown}"), None));
    } else if root.exists() {
        let hint = Some("Give the path of a folder.".to_owned());
        add("path", started, (CheckStatus::Fail, format!("{shown} is not a folder"), hint));
        return checks;
    } else if writes {
        let message = format!("{shown} does not exist; the first job makes it in {}", nearest.display());
        add("path", started, (CheckStatus::Warn, message, None));
    } else {
        let hint = Some(format!("mkdir -p {shown}"));
        add("path", started, (CheckStatus::Fail, format!("{shown} does not exist"), hint));
    }
    if wants(Purpose::Read) && root.is_dir() {
        let started = Instant::now();
        add(
            "readable",
            started,
            match client::may(root, libc::R_OK | libc::X_OK) {
                Ok(()) => (CheckStatus::Pass, format!("{shown} can be read"), None),
                Err(error) => {
                    let hint = Some(format!("chmod u+rx {shown}"));
                    (CheckStatus::Fail, format!("{shown} cannot be read: {error}"), hint)
                }
            },
        );
    }
    if request.purposes.contains(&Purpose::Capture) {
        let hint = Some("Use MODE FULL.".to_owned());
        add("capture", Instant::now(), (CheckStatus::Fail, "files have no log of changes".to_owned(), hint));
    }
    if writes {
        write_checks(nearest, &mut add);
    }
    for name in &request.tables {
        let started = Instant::now();
        match table::describe(settings, name) {
            Ok(Some(table)) => {
                let message = format!("{name}: {} columns", table.columns.len());
                add("table", started, (CheckStatus::Pass, message, None));
            }
            Ok(None) if writes && !wants(Purpose::Read) => {
                add("table", started, (CheckStatus::Pass, format!("{name} will be made"), None));
            }
            Ok(None) => {
                let hint = Some("SHOW TABLES FROM SOURCE lists the tables that are there.".to_owned());
                add("table", started, (CheckStatus::Fail, format!("table {name} does not exist"), hint));
            }
            Err(error) => {
                let check = of_error("table", &error, started.elapsed());
                add("table", started, (check.status, check.message, check.hint));
            }
        }
    }
    checks
}

fn write_checks(nearest: &Path, add: &mut impl FnMut(&str, Instant, (CheckStatus, String, Option<String>))) {
    let shown = nearest.display();
    let started = Instant::now();
    add(
        "writable",
        started,
        match client::may(nearest, libc::W_OK | libc::X_OK) {
            Ok(()) => (CheckStatus::Pass, format!("{shown} can be written"), None),
            Err(error) => {
                let hint = Some(format!("chmod u+wx {shown}"));
                (CheckStatus::Fail, format!("{shown} cannot be written: {error}"), hint)
            }
        },
    );
    let started = Instant::now();
    add(
        "space",
        started,
        match client::space(nearest) {
            Ok(space) if space.is_read_only => {
                let hint = Some(format!("mount -o remount,rw {shown}"));
                (CheckStatus::Fail, "the file system is read-only".to_owned(), hint)
            }
            Ok(space) => {
                let mebibytes = space.bytes_free >> 20 << 20;
                let message = format!("{} free", format_size(mebibytes));
                let is_little = space.bytes_free < BYTES_FREE_MIN;
                let status = if is_little { CheckStatus::Warn } else { CheckStatus::Pass };
                (status, message, is_little.then(|| "A full disk stops the job; nothing of it stays.".to_owned()))
            }
            Err(error) => (CheckStatus::Warn, format!("free space is unknown: {error}"), None),
        },
    );
    let started = Instant::now();
    add(
        "exchange",
        started,
        match client::exchanging_file_system(nearest) {
            Ok(Some(name)) => (CheckStatus::Pass, format!("{name} replaces a folder at once"), None),
            Ok(None) => {
                let message = "it is not known whether the file system can exchange two folders at once".to_owned();
                let hint = "WRITE OVERWRITE of a table that exists fails where it cannot; ext4, xfs and btrfs can.";
                (CheckStatus::Warn, message, Some(hint.to_owned()))
            }
            Err(error) => (CheckStatus::Warn, format!("the file system is unknown: {error}"), None),
        },
    );
}
