//! The gateway as one value: the store, the connectors, the sessions and the jobs.

use crate::runtime::JobManager;
use crate::session::{Session, SessionRegistry};
use catalog::definition::Source;
use catalog::error::nearest;
use catalog::option::{OptionSpec, OptionValue, ValueType};
use catalog::store::{Snapshot, Store};
use catalog::{Error, ErrorKind, OptionMap, Result};
use connector_api::{ConfigValue, Connector, SourceConfig};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Options that every source type takes.
pub const COMMON_SOURCE_OPTIONS: &[OptionSpec] = &[OptionSpec::new(
    "usage",
    ValueType::Enum(&["both", "source", "destination"]),
    "What the source may be used for.",
)
.default("both")];

/// The connectors of this build, by name.
pub struct Connectors(BTreeMap<&'static str, Arc<dyn Connector>>);

impl Connectors {
    /// Every connector that this build has.
    pub fn built_in() -> Self {
        let all: Vec<Arc<dyn Connector>> = vec![
            #[cfg(feature = "postgres")]
            Arc::new(connector_postgres::PostgresConnector),
            #[cfg(feature = "files")]
            Arc::new(connector_files::FilesConnector),
            #[cfg(feature = "sample")]
            Arc::new(connector_sample::SampleConnector),
        ];
        Self(all.into_iter().map(|c| (c.name(), c)).collect())
    }
    /// By name, or 42704 with the nearest name.
    pub fn get(&self, name: &str) -> Result<&Arc<dyn Connector>> {
        self.0.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.0.keys().copied().collect();
            let near = nearest(name, names.iter().copied())
                .map(|n| format!("Perhaps you meant \"{n}\". "))
                .unwrap_or_default();
            Error::new(ErrorKind::UndefinedObject, format!("source type \"{name}\" does not exist"))
                .with_hint(format!("{near}Source types: {}. See: SHOW SOURCE TYPES;", names.join(", ")))
        })
    }
    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Connector>> {
        self.0.values()
    }
    /// All options of a source type, the common ones included.
    pub fn options(&self, name: &str) -> Result<Vec<OptionSpec>> {
        Ok(self.get(name)?.options().iter().chain(COMMON_SOURCE_OPTIONS).copied().collect())
    }
}

/// The gateway. One per process and data directory.
pub struct Gateway {
    /// What is remembered.
    pub store: Arc<Store>,
    /// What moves.
    pub connectors: Connectors,
    /// Who is connected.
    pub sessions: SessionRegistry,
    /// What runs.
    pub jobs: JobManager,
    /// Where planning and DataFusion run: apart from the wire, so that a busy query never delays
    /// a keepalive, a login or a cancel.
    pub query_runtime: Handle,
    /// Facts about sources, cached between statements.
    pub discovery: crate::query::DiscoveryCache,
    /// Memory that queries of all sessions may use together, in bytes.
    pub query_memory_bytes: usize,
}

impl Gateway {
    /// The connector and the resolved configuration of a stored source.
    pub fn resolve(&self, snapshot: &Snapshot, source: &Source) -> Result<(Arc<dyn Connector>, SourceConfig)> {
        self.resolve_in(None, snapshot, source)
    }

    /// The same for a session, which also knows the secrets of its own open transaction.
    pub fn resolve_in(
        &self,
        session: Option<&Session>,
        snapshot: &Snapshot,
        source: &Source,
    ) -> Result<(Arc<dyn Connector>, SourceConfig)> {
        let connector = self.connectors.get(&source.source_type)?.clone();
        let mut secret_labels = BTreeMap::new();
        let mut options = BTreeMap::new();
        for (name, value) in &source.options {
            let value = match value {
                OptionValue::Text(text) => ConfigValue::Text(text.clone()),
                OptionValue::List(list) => ConfigValue::List(list.clone()),
                OptionValue::Secret(id) => {
                    if let Some(secret) = snapshot.secrets.get(id) {
                        let label = match secret.owned_by_source {
                            Some(_) => format!("The secret option \"{name}\", version {},", secret.version),
                            None => format!("Secret \"{}\" version {}", secret.name, secret.version),
                        };
                        secret_labels.insert(name.clone(), label);
                    }
                    ConfigValue::Secret(match session.and_then(|s| s.pending_secret(*id)) {
                        Some(pending) => pending,
                        None => self.store.secret_value(*id)?,
                    })
                }
            };
            options.insert(name.clone(), value);
        }
        let config = self.configure(&connector, &source.name, source.id, options, secret_labels)?;
        Ok((connector, config))
    }

    /// Fills in defaults and lets the connector check what the options cannot show alone.
    pub fn configure(
        &self,
        connector: &Arc<dyn Connector>,
        name: &str,
        source_id: i64,
        mut options: BTreeMap<String, ConfigValue>,
        secret_labels: BTreeMap<String, String>,
    ) -> Result<SourceConfig> {
        for spec in connector.options().iter().chain(COMMON_SOURCE_OPTIONS) {
            if let Some(default) = spec.default_value {
                options.entry(spec.name.to_owned()).or_insert_with(|| ConfigValue::Text(default.to_owned()));
            }
        }
        let config = SourceConfig {
            name: name.to_owned(),
            source_id,
            source_type: connector.name().to_owned(),
            options: Arc::new(options),
            secret_labels: Arc::new(secret_labels),
        };
        connector.check_options(&config)?;
        Ok(config)
    }

    /// The source of this name with its connector, or 42704 with the nearest name.
    pub fn source(&self, snapshot: &Snapshot, name: &str) -> Result<(Arc<Source>, Arc<dyn Connector>, SourceConfig)> {
        let source = find_source(snapshot, name)?;
        let (connector, config) = self.resolve(snapshot, &source)?;
        Ok((source, connector, config))
    }
}

/// The source of this name, or 42704 with the nearest name.
pub fn find_source(snapshot: &Snapshot, name: &str) -> Result<Arc<Source>> {
    snapshot.source(name).cloned().ok_or_else(|| {
        let hint = match nearest(name, snapshot.sources.values().map(|s| s.name.as_str())) {
            Some(near) => format!("Perhaps you meant \"{near}\"."),
            None if snapshot.sources.is_empty() => "There is no source yet: CREATE SOURCE .. TYPE .. WITH (..);".into(),
            None => "See: SHOW SOURCES;".into(),
        };
        Error::new(ErrorKind::UndefinedObject, format!("source \"{name}\" does not exist")).with_hint(hint)
    })
}

/// Whether options make the source usable in this direction.
pub fn check_usage(source: &Source, is_write: bool) -> Result<()> {
    let usage = usage_of(&source.options);
    let refused = if is_write { usage == "source" } else { usage == "destination" };
    if !refused {
        return Ok(());
    }
    let verb = if is_write { "written" } else { "read" };
    Err(Error::new(
        ErrorKind::Prerequisite,
        format!("source \"{}\" may not be {verb}: its usage is \"{usage}\"", source.name),
    )
    .with_hint(format!("ALTER SOURCE {} SET (usage = 'both');", catalog::quote_ident(&source.name))))
}

/// The value of the option `usage`.
pub fn usage_of(options: &OptionMap) -> &str {
    match options.get("usage") {
        Some(OptionValue::Text(text)) => text,
        _ => "both",
    }
}
