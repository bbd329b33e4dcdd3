//! What must be known of sources before a job can be compiled: connectors, structures, readers.

use crate::gateway::{Gateway, check_usage, find_source};
use crate::session::Session;
use catalog::definition::Source;
use catalog::error::nearest;
use catalog::store::Snapshot;
use catalog::{Error, ErrorKind, Path3, Result, TableName};
use connector_api::{Connector, DiscoverRequest, SourceConfig, TableSchema};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One source, resolved.
#[derive(Clone)]
pub struct SourceFacts {
    /// Its definition.
    pub source: Arc<Source>,
    /// Its connector.
    pub connector: Arc<dyn Connector>,
    /// Its configuration, secrets clear.
    pub config: SourceConfig,
}

/// Sources and tables by name.
#[derive(Default, Clone)]
pub struct Facts {
    /// The session that asks; None for a run.
    pub session: Option<Arc<Session>>,
    /// Sources by name.
    pub sources: BTreeMap<String, SourceFacts>,
    /// The source that was last asked for its structure.
    pub last_asked: Option<String>,
    /// Structures by the path that was asked for.
    pub tables: BTreeMap<Path3, Arc<TableSchema>>,
}

impl Facts {
    /// Resolves a source (with its secrets) once.
    pub async fn source(
        &mut self,
        gateway: &Arc<Gateway>,
        snapshot: &Arc<Snapshot>,
        name: &str,
        is_write: bool,
    ) -> Result<&SourceFacts> {
        if !self.sources.contains_key(name) {
            let source = find_source(snapshot, name)?;
            let (gateway, snapshot, definition) = (gateway.clone(), snapshot.clone(), source.clone());
            let session = self.session.clone();
            let (connector, config) =
                super::blocking(move || gateway.resolve_in(session.as_deref(), &snapshot, &definition)).await?;
            self.sources.insert(name.to_owned(), SourceFacts { source, connector, config });
        }
        let facts = self.sources.get(name).ok_or_else(|| Error::internal("a source was not resolved"))?;
        check_usage(&facts.source, is_write)?;
        Ok(facts)
    }

    /// Describes tables, all of one source at once. A name that is not there exactly is looked for
    /// without regard to case; then it is an error with the nearest name, unless `skip_missing`.
    pub async fn describe(
        &mut self,
        gateway: &Arc<Gateway>,
        snapshot: &Arc<Snapshot>,
        paths: &[Path3],
        skip_missing: bool,
    ) -> Result<()> {
        let mut wanted: BTreeMap<&str, Vec<TableName>> = BTreeMap::new();
        for path in paths.iter().filter(|p| !self.tables.contains_key(p)) {
            wanted.entry(&path.source).or_default().push(path.name.clone());
        }
        for (source, names) in wanted {
            let facts = self.source(gateway, snapshot, source, false).await?.clone();
            self.last_asked = Some(source.to_owned());
            let request = DiscoverRequest::Describe { tables: names.clone() };
            let mut found = facts.connector.discover(&facts.config, &request).await?;
            let missing: Vec<&TableName> = names.iter().filter(|n| !found.iter().any(|t| &t.name == *n)).collect();
            let mut renamed: BTreeMap<TableName, TableName> = BTreeMap::new();
            if !missing.is_empty() {
                let listed =
                    facts.connector.discover(&facts.config, &DiscoverRequest::List { schemas: vec![] }).await?;
                for name in missing {
                    let alike: Vec<&TableSchema> = listed
                        .iter()
                        .filter(|t| {
                            t.name.schema.eq_ignore_ascii_case(&name.schema)
                                && t.name.table.eq_ignore_ascii_case(&name.table)
                        })
                        .collect();
                    match alike.as_slice() {
                        [one] => {
                            renamed.insert(one.name.clone(), name.clone());
                        }
                        _ if skip_missing => {}
                        _ => return Err(missing_table(source, name, &listed)),
                    }
                }
                if !renamed.is_empty() {
                    let request = DiscoverRequest::Describe { tables: renamed.keys().cloned().collect() };
                    found.extend(facts.connector.discover(&facts.config, &request).await?);
                }
            }
            for table in found {
                let asked = renamed.get(&table.name).cloned().unwrap_or_else(|| table.name.clone());
                self.tables.insert(Path3 { source: source.to_owned(), name: asked }, Arc::new(table));
            }
        }
        Ok(())
    }
}

/// 42P01 with the nearest name.
pub fn missing_table(source: &str, name: &TableName, listed: &[TableSchema]) -> Error {
    let path = Path3 { source: source.to_owned(), name: name.clone() };
    let error = Error::new(ErrorKind::UndefinedTable, format!("table {path} does not exist"))
        .with_table(&name.schema, &name.table);
    let same_schema: Vec<&TableName> = listed.iter().map(|t| &t.name).filter(|n| n.schema == name.schema).collect();
    if same_schema.is_empty() {
        let mut schemas: Vec<&str> = listed.iter().map(|t| t.name.schema.as_str()).collect();
        schemas.dedup();
        let near =
            nearest(&name.schema, schemas.iter().copied()).map(|n| format!("Perhaps you meant schema \"{n}\". "));
        return error.with_hint(format!(
            "{}See: SHOW SCHEMAS FROM SOURCE {};",
            near.unwrap_or_default(),
            catalog::quote_ident(source)
        ));
    }
    match nearest(&name.table, same_schema.iter().map(|n| n.table.as_str())) {
        Some(near) => error.with_hint(format!("Perhaps you meant {}.", Path3::new(source, &name.schema, near))),
        None => error.with_hint(format!(
            "See: SHOW TABLES FROM SOURCE {} SCHEMA {};",
            catalog::quote_ident(source),
            catalog::quote_ident(&name.schema)
        )),
    }
}
