//! What is known of the structure of sources, kept between statements for a short time.
//!
//! A list of a source's tables and the description of each table live as long as their times below
//! say. Statements that need the same facts at once ask the source once. Definitions of sources are
//! part of the key, so that an altered source is asked again.

use crate::gateway::{Gateway, find_source};
use crate::session::Session;
use catalog::definition::{Source, Timestamp};
use catalog::store::Snapshot;
use catalog::{Error, Result, TableName};
use connector_api::{Connector, DiscoverRequest, SourceConfig, TableSchema};
use datafusion::execution::SessionState;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long a list of tables is believed.
const LIST_LIFETIME: Duration = Duration::from_secs(30);
/// How long the description of a table is believed. Short: a column that was altered a moment ago
/// would be read with its old type.
const DESCRIPTION_LIFETIME: Duration = Duration::from_secs(10);
/// Descriptions kept per source; beyond that, all are forgotten.
const DESCRIPTIONS_MAX: usize = 20_000;
/// How long facts that are too old to be believed are still shown by the client catalog.
const SHOWN_LIFETIME: Duration = Duration::from_secs(600);

/// The tables of a source without their columns, by schema and name.
pub type TableList = Arc<Vec<Arc<TableSchema>>>;

/// What queries keep between statements: facts about sources, and the engine's shared state.
#[derive(Default)]
pub struct DiscoveryCache {
    sources: Mutex<HashMap<i64, Arc<Entry>>>,
    /// Made when the first query runs; see `query::context`.
    pub(super) engine: OnceLock<SessionState>,
}

/// What is known of one source.
#[derive(Default)]
struct Entry {
    /// The definition that the facts belong to.
    altered_at: Timestamp,
    /// Held while the source is asked, so that it is asked once.
    gate: tokio::sync::Mutex<()>,
    list: Mutex<Option<(Instant, TableList)>>,
    described: Mutex<HashMap<TableName, (Instant, Arc<TableSchema>)>>,
}

impl Entry {
    fn fresh_list(&self) -> Option<TableList> {
        let list = self.list.lock();
        list.as_ref().filter(|(at, _)| at.elapsed() < LIST_LIFETIME).map(|(_, list)| list.clone())
    }
    fn fresh(&self, name: &TableName) -> Option<Arc<TableSchema>> {
        let described = self.described.lock();
        described.get(name).filter(|(at, _)| at.elapsed() < DESCRIPTION_LIFETIME).map(|(_, table)| table.clone())
    }
}

/// Facts that are there without asking anybody, however old.
#[derive(Debug, Default, Clone)]
pub struct KnownFacts {
    /// The tables, when they were ever listed.
    pub tables: Option<TableList>,
    /// Complete descriptions.
    pub described: HashMap<TableName, Arc<TableSchema>>,
}

impl DiscoveryCache {
    /// The tables of a source with kind and estimates, without columns; ordered by schema and name.
    pub async fn tables(
        &self,
        gateway: &Arc<Gateway>,
        session: Option<&Arc<Session>>,
        snapshot: &Arc<Snapshot>,
        source: &str,
    ) -> Result<TableList> {
        let source = find_source(snapshot, source)?;
        let entry = self.entry(&source);
        if let Some(list) = entry.fresh_list() {
            return Ok(list);
        }
        let _gate = entry.gate.lock().await;
        if let Some(list) = entry.fresh_list() {
            return Ok(list);
        }
        let (connector, config) = resolve(gateway, session, snapshot, &source).await?;
        let mut tables = connector.discover(&config, &DiscoverRequest::List { schemas: vec![] }).await?;
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        let list: TableList = Arc::new(tables.into_iter().map(Arc::new).collect());
        *entry.list.lock() = Some((Instant::now(), list.clone()));
        Ok(list)
    }

    /// The schemas of a source that have tables, and those that it always has; ordered by name.
    pub async fn schemas(
        &self,
        gateway: &Arc<Gateway>,
        session: Option<&Arc<Session>>,
        snapshot: &Arc<Snapshot>,
        source: &str,
    ) -> Result<Vec<String>> {
        let definition = find_source(snapshot, source)?;
        let fixed = gateway.connectors.get(&definition.source_type)?.info().fixed_schemas;
        let list = self.tables(gateway, session, snapshot, source).await?;
        let mut schemas: Vec<String> =
            fixed.iter().map(|s| (*s).to_owned()).chain(list.iter().map(|t| t.name.schema.clone())).collect();
        schemas.sort();
        schemas.dedup();
        Ok(schemas)
    }

    /// These tables, complete, in the order of `names`. One that is not there is left out.
    pub async fn describe(
        &self,
        gateway: &Arc<Gateway>,
        session: Option<&Arc<Session>>,
        snapshot: &Arc<Snapshot>,
        source: &str,
        names: &[TableName],
    ) -> Result<Vec<Arc<TableSchema>>> {
        let source = find_source(snapshot, source)?;
        let entry = self.entry(&source);
        let missing = |entry: &Entry| -> Vec<TableName> {
            let mut seen = HashSet::new();
            names.iter().filter(|n| entry.fresh(n).is_none() && seen.insert(*n)).cloned().collect()
        };
        let mut found: HashMap<TableName, Arc<TableSchema>> = HashMap::new();
        if !missing(&entry).is_empty() {
            let _gate = entry.gate.lock().await;
            let wanted = missing(&entry);
            if !wanted.is_empty() {
                let (connector, config) = resolve(gateway, session, snapshot, &source).await?;
                let tables = connector.discover(&config, &DiscoverRequest::Describe { tables: wanted.clone() }).await?;
                let now = Instant::now();
                let mut described = entry.described.lock();
                if described.len() > DESCRIPTIONS_MAX {
                    described.clear();
                }
                for name in &wanted {
                    described.remove(name);
                }
                for table in tables {
                    let table = Arc::new(table);
                    found.insert(table.name.clone(), table.clone());
                    described.insert(table.name.clone(), (now, table));
                }
            }
        }
        Ok(names.iter().filter_map(|name| found.get(name).cloned().or_else(|| entry.fresh(name))).collect())
    }

    /// What is known without asking.
    pub fn known(&self, source: &Source) -> KnownFacts {
        let Some(entry) = self.sources.lock().get(&source.id).filter(|e| e.altered_at == source.altered_at).cloned()
        else {
            return KnownFacts::default();
        };
        let tables = entry.list.lock().as_ref().map(|(_, list)| list.clone());
        entry.described.lock().retain(|_, (at, _)| at.elapsed() < SHOWN_LIFETIME);
        let described = entry.described.lock().iter().map(|(name, (_, table))| (name.clone(), table.clone())).collect();
        KnownFacts { tables, described }
    }

    /// Forgets everything about a source.
    pub fn invalidate(&self, source_id: i64) {
        self.sources.lock().remove(&source_id);
    }

    fn entry(&self, source: &Source) -> Arc<Entry> {
        let mut sources = self.sources.lock();
        match sources.get(&source.id) {
            Some(entry) if entry.altered_at == source.altered_at => entry.clone(),
            _ => {
                let entry = Arc::new(Entry { altered_at: source.altered_at, ..Entry::default() });
                sources.insert(source.id, entry.clone());
                entry
            }
        }
    }
}

/// The connector and the configuration of a source. Reading secrets is file and cipher work, so it
/// is done on a thread that may block.
pub(super) async fn resolve(
    gateway: &Arc<Gateway>,
    session: Option<&Arc<Session>>,
    snapshot: &Arc<Snapshot>,
    source: &Arc<Source>,
) -> Result<(Arc<dyn Connector>, SourceConfig)> {
    let (gateway, session) = (gateway.clone(), session.cloned());
    let (snapshot, source) = (snapshot.clone(), source.clone());
    tokio::task::spawn_blocking(move || gateway.resolve_in(session.as_deref(), &snapshot, &source))
        .await
        .map_err(|e| Error::internal("a source could not be resolved").with_source(e))?
}
