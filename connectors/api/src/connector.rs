//! The face of a connector, and the configuration that it is given.

use crate::schema::TableSchema;
use crate::sink::Sink;
use crate::source::Source;
use async_trait::async_trait;
use catalog::option::{OptionSpec, parse_bool, parse_duration, parse_size};
use catalog::store::SecretText;
use catalog::{CheckStatus, Error, ErrorKind, Result, TableName};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What a connector can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Full and incremental reads.
    pub read: bool,
    /// Change capture.
    pub capture: bool,
    /// Writes.
    pub write: bool,
    /// Creating tables.
    pub ddl: bool,
}

/// Facts that `tidegate.source_types` shows.
#[derive(Debug, Clone, Copy)]
pub struct ConnectorInfo {
    /// Version of the connector.
    pub version: &'static str,
    /// Capabilities.
    pub capabilities: Capabilities,
    /// Kinds of positions: `lsn`, `gtid`, `offsets`, `snapshot`.
    pub positions: &'static [&'static str],
    /// Schemas that exist without being discovered (`files` for a folder); empty when discovered.
    pub fixed_schemas: &'static [&'static str],
    /// One sentence.
    pub description: &'static str,
}

/// A resolved option: secrets are clear here, and only here.
#[derive(Debug, Clone)]
pub enum ConfigValue {
    /// Text.
    Text(String),
    /// A list.
    List(Vec<String>),
    /// A secret's clear text; it never shows in debug output.
    Secret(SecretText),
}

/// A source's definition with every option resolved and every default filled in.
///
/// Cheap to clone. Built by the server from a [`catalog::Source`], the connector's specs and the
/// store; also from an inline `TYPE t WITH (..)`, with an empty name.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Name of the source, for messages; empty for an inline definition.
    pub name: String,
    /// Id of the source; 0 for an inline definition.
    pub source_id: i64,
    /// Connector name.
    pub source_type: String,
    /// Options with defaults.
    pub options: Arc<BTreeMap<String, ConfigValue>>,
    /// For a secret option, `secret "name" version n`, to name in errors.
    pub secret_labels: Arc<BTreeMap<String, String>>,
}

impl SourceConfig {
    /// The name as messages show it: `source "shop"`.
    pub fn label(&self) -> String {
        if self.name.is_empty() {
            format!("source type \"{}\"", self.source_type)
        } else {
            format!("source \"{}\"", self.name)
        }
    }
    /// Text, or the first of a list; secrets included.
    pub fn text(&self, option: &str) -> Option<&str> {
        match self.options.get(option)? {
            ConfigValue::Text(text) => Some(text),
            ConfigValue::List(list) => list.first().map(String::as_str),
            ConfigValue::Secret(secret) => Some(secret.expose()),
        }
    }
    /// Text that must be there.
    pub fn required(&self, option: &str) -> Result<&str> {
        self.text(option).ok_or_else(|| {
            Error::new(ErrorKind::InvalidValue, format!("option \"{option}\" is required for {}", self.label()))
        })
    }
    /// A list; one text is a list of one.
    pub fn list(&self, option: &str) -> Vec<String> {
        match self.options.get(option) {
            Some(ConfigValue::List(list)) => list.clone(),
            Some(ConfigValue::Text(text)) => vec![text.clone()],
            _ => vec![],
        }
    }
    /// A whole number.
    pub fn int(&self, option: &str) -> Option<i64> {
        self.text(option)?.trim().parse().ok()
    }
    /// A boolean.
    pub fn bool(&self, option: &str) -> Option<bool> {
        parse_bool(self.text(option)?)
    }
    /// A duration.
    pub fn duration(&self, option: &str) -> Option<Duration> {
        parse_duration(self.text(option)?)
    }
    /// A size in bytes.
    pub fn size(&self, option: &str) -> Option<u64> {
        parse_size(self.text(option)?)
    }
}

/// What a check is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Full and incremental reads.
    Read,
    /// Change capture.
    Capture,
    /// Writes into existing tables.
    Write,
    /// Creating tables.
    Ddl,
}

/// What [`Connector::check`] looks at.
#[derive(Debug, Clone)]
pub struct CheckRequest {
    /// Empty: what the connector is capable of.
    pub purposes: Vec<Purpose>,
    /// Tables to check too; empty: none in particular.
    pub tables: Vec<TableName>,
    /// Longest time for all checks together.
    pub timeout: Duration,
}

/// One check's outcome.
#[derive(Debug, Clone)]
pub struct Check {
    /// What was checked: `resolve`, `connect`, `login`, `wal_level`.
    pub name: String,
    /// Outcome.
    pub status: CheckStatus,
    /// What was found.
    pub message: String,
    /// The statement that mends it.
    pub hint: Option<String>,
    /// How long it took.
    pub elapsed: Duration,
}

/// What [`Connector::discover`] looks for.
#[derive(Debug, Clone)]
pub enum DiscoverRequest {
    /// The tables of these schemas (empty: all but the system's own), with kind and estimates but
    /// without columns and keys.
    List { schemas: Vec<String> },
    /// These tables, complete. One that is not there is left out of the answer.
    Describe { tables: Vec<TableName> },
}

/// A system that tidegate connects to. One instance lives as long as the process.
///
/// All methods may be called concurrently and again with the same arguments. None of them changes
/// anything on the remote system.
#[async_trait]
pub trait Connector: Send + Sync + 'static {
    /// The word of `CREATE SOURCE .. TYPE word`.
    fn name(&self) -> &'static str;
    /// Facts for `tidegate.source_types`.
    fn info(&self) -> ConnectorInfo;
    /// The options of `CREATE SOURCE .. WITH`, those common to all sources excepted.
    fn options(&self) -> &'static [OptionSpec];
    /// Checks what the options cannot show alone (two that exclude each other). Pure.
    fn check_options(&self, config: &SourceConfig) -> Result<()>;
    /// Runs every check and never fails: what could not be checked is a row too. Ends within the
    /// request's timeout.
    async fn check(&self, config: &SourceConfig, request: &CheckRequest) -> Vec<Check>;
    /// Reads structure. Fails when the source cannot be reached.
    async fn discover(&self, config: &SourceConfig, request: &DiscoverRequest) -> Result<Vec<TableSchema>>;
    /// The reading side, or 0A000. Makes no connection yet.
    fn source(&self, config: &SourceConfig) -> Result<Arc<dyn Source>>;
    /// The writing side, or 0A000. Makes no connection yet.
    fn sink(&self, config: &SourceConfig) -> Result<Arc<dyn Sink>>;
}
