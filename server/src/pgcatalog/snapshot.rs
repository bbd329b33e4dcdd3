//! What the client catalog shows at one moment: databases, schemas, relations and their columns.
//!
//! The client's database is `tidegate`, which has the system tables, and for every other source a
//! schema `source.schema` of the tables that are already known; or it is a source, whose schemas
//! have their own names then. Only the client's own source is asked for what is not known, and a
//! source that the query names.
//!
//! Numbers of objects are hashes of their names, so that they are the same after a restart.

use super::layout::{Layout, layouts};
use super::value::{Row, Value, written_type};
use crate::query::KnownFacts;
use crate::query::TableList;
use crate::query::resolve::{DATABASE, Scope};
use crate::system::{self, TableSpec};
use catalog::definition::{Source, now};
use catalog::{Result, TableName};
use connector_api::{TableKind, TableSchema};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use tracing::debug;

/// Oid of the role that owns what no user has made; its name is `tidegate`.
pub(crate) const SYSTEM_ROLE: u32 = 10;
pub(crate) const PG_CATALOG: u32 = 11;
pub(crate) const INFORMATION_SCHEMA: u32 = 13_127;
/// Tables of the client's own source that a query without a pattern describes at most.
const DESCRIBED_MAX: usize = 10_000;

/// What a query needs, so that no more than that is asked for.
#[derive(Debug, Default, Clone)]
pub(crate) struct Needs {
    /// It asks about relations, if only by a function.
    pub relations: bool,
    /// It reads relations that show tables, so that it cannot do without them.
    pub rows: bool,
    /// It looks at columns, keys or comments.
    pub columns: bool,
    /// Its literals and parameters: names, patterns and oids of what it is about.
    pub literals: Vec<String>,
}

/// A database or a role.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub oid: u32,
    pub name: String,
    pub owner: u32,
    pub comment: Option<String>,
}

/// Where a relation's columns come from.
#[derive(Clone)]
pub(crate) enum Columns {
    Layout(&'static Layout),
    System(&'static TableSpec),
    /// Known by name only.
    Listed(Arc<TableSchema>),
    Described(Arc<TableSchema>),
}

/// One column as `pg_attribute` shows it.
pub(crate) struct Column<'a> {
    pub name: &'a str,
    pub type_oid: u32,
    pub type_modifier: i32,
    pub is_not_null: bool,
    pub is_generated: bool,
    pub default: Option<&'a str>,
    pub comment: Option<&'a str>,
}

/// One relation.
pub(crate) struct Relation {
    pub oid: u32,
    pub namespace: u32,
    pub name: String,
    /// `pg_class.relkind`
    pub kind: char,
    pub owner: u32,
    pub columns: Columns,
    /// Primary and unique keys, which are shown as indexes.
    pub keys: Vec<TableKey>,
}

/// A key of a table.
pub(crate) struct TableKey {
    /// Of the index.
    pub oid: u32,
    /// Of the constraint.
    pub constraint_oid: u32,
    pub name: String,
    /// Column numbers from 1, in key order.
    pub columns: Vec<i64>,
    pub is_primary: bool,
}

impl Relation {
    pub(crate) fn comment(&self) -> Option<&str> {
        match &self.columns {
            Columns::System(spec) => Some(spec.comment),
            Columns::Listed(table) | Columns::Described(table) => table.comment.as_deref(),
            Columns::Layout(_) => None,
        }
    }
    pub(crate) fn remote(&self) -> Option<&Arc<TableSchema>> {
        match &self.columns {
            Columns::Listed(table) | Columns::Described(table) => Some(table),
            _ => None,
        }
    }
    /// The columns in order; none of a table that is only known by name.
    pub(crate) fn columns<'a>(&'a self, catalog: &'a Catalog) -> Vec<Column<'a>> {
        let plain = |name, type_oid, is_not_null| Column {
            name,
            type_oid,
            type_modifier: -1,
            is_not_null,
            is_generated: false,
            default: None,
            comment: None,
        };
        match &self.columns {
            Columns::Layout(layout) => {
                layout.columns.iter().map(|c| plain(c.name, c.type_oid, c.is_not_null)).collect()
            }
            Columns::System(spec) => spec
                .columns
                .iter()
                .map(|c| Column {
                    comment: Some(c.comment),
                    ..plain(c.name, written_type(c.column_type.word()).map_or(25, |t| t.0), false)
                })
                .collect(),
            Columns::Listed(_) => vec![],
            Columns::Described(table) => table
                .columns
                .iter()
                .map(|c| {
                    let (type_oid, type_modifier) = catalog.remote_type(&c.data_type);
                    Column {
                        type_modifier,
                        is_generated: c.is_generated,
                        default: c.default_expr.as_deref(),
                        comment: c.comment.as_deref(),
                        ..plain(&c.name, type_oid, !c.is_nullable)
                    }
                })
                .collect(),
        }
    }
    pub(crate) fn column_count(&self) -> usize {
        match &self.columns {
            Columns::Layout(layout) => layout.columns.len(),
            Columns::System(spec) => spec.columns.len(),
            Columns::Listed(table) | Columns::Described(table) => table.columns.len(),
        }
    }
}

/// The rows of one catalog relation, with indexes made when they are first used.
pub(crate) struct Table {
    pub rows: Vec<Arc<Row>>,
    indexes: Mutex<HashMap<Vec<usize>, Arc<Index>>>,
}

type Index = HashMap<Vec<super::value::Key>, Vec<usize>>;

impl Table {
    pub(crate) fn new(rows: Vec<Row>) -> Arc<Self> {
        Arc::new(Self { rows: rows.into_iter().map(Arc::new).collect(), indexes: Mutex::default() })
    }
    /// The rows whose `columns` have these values; `NULL` is equal to nothing.
    pub(crate) fn index(&self, columns: &[usize]) -> Arc<Index> {
        let mut indexes = self.indexes.lock();
        indexes
            .entry(columns.to_vec())
            .or_insert_with(|| {
                let mut index = Index::new();
                for (number, row) in self.rows.iter().enumerate() {
                    if columns.iter().all(|&c| !row[c].is_null()) {
                        let key = columns.iter().map(|&c| super::value::key(&row[c])).collect();
                        index.entry(key).or_default().push(number);
                    }
                }
                Arc::new(index)
            })
            .clone()
    }
}

/// Everything that the client catalog shows, at one moment.
pub(crate) struct Catalog {
    pub scope: Scope,
    pub databases: Vec<Named>,
    pub roles: Vec<Named>,
    pub namespaces: Vec<Named>,
    pub relations: Vec<Relation>,
    /// Types of sources that PostgreSQL does not have built in: oid and name.
    pub foreign_types: Vec<(u32, String)>,
    /// Oids of the schemas in which names without a schema are looked for, in order.
    pub path: Vec<u32>,
    /// Now, in microseconds.
    pub now: i64,
    foreign_type_oids: HashMap<String, u32>,
    by_oid: HashMap<u32, usize>,
    by_name: HashMap<(u32, String), usize>,
    by_key: HashMap<u32, (usize, usize)>,
    tables: Mutex<HashMap<&'static str, Arc<Table>>>,
    /// Rows that belong to one relation, by catalog relation and oid.
    parts: Mutex<HashMap<(&'static str, u32), Arc<Table>>>,
}

impl Catalog {
    /// What this session sees now.
    ///
    /// Errors: that of the client's own source, when it must be asked and cannot be.
    pub(crate) async fn load(scope: &Scope, needs: &Needs) -> Result<Arc<Self>> {
        let mut builder = Builder::new(scope);
        let sources: Vec<Arc<Source>> = scope.snapshot.sources.values().cloned().collect();
        for source in &sources {
            let is_connected = scope.connected.as_ref().is_some_and(|c| c.id == source.id);
            let mut known = scope.gateway.discovery.known(source);
            if needs.relations && is_connected {
                match scope.list(&source.name).await {
                    Ok(list) => known.tables = Some(list),
                    Err(error) if needs.rows => return Err(error),
                    // A driver that only asks where it is should still connect.
                    Err(error) => debug!(source = source.name, %error, "the client's own source could not be asked"),
                }
            } else if needs.relations && mentions(&needs.literals, &source.name) {
                match scope.list(&source.name).await {
                    Ok(list) => known.tables = Some(list),
                    // The client did not ask for this source alone: what is known is shown.
                    Err(error) => {
                        debug!(source = source.name, %error, "tables could not be listed for the client catalog")
                    }
                }
            }
            if needs.relations
                && let Some(list) = known.tables.clone()
            {
                let wanted = wanted(source, &list, needs, is_connected);
                let missing: Vec<TableName> = wanted.into_iter().filter(|n| !known.described.contains_key(n)).collect();
                if !missing.is_empty() {
                    let cache = &scope.gateway.discovery;
                    let found = cache
                        .describe(&scope.gateway, Some(&scope.session), &scope.snapshot, &source.name, &missing)
                        .await;
                    match found {
                        Ok(tables) => known.described.extend(tables.into_iter().map(|t| (t.name.clone(), t))),
                        Err(error) if is_connected => return Err(error),
                        Err(error) => {
                            debug!(source = source.name, %error, "tables could not be described for the client catalog");
                        }
                    }
                }
            }
            builder.source(source, &known, is_connected);
        }
        Ok(Arc::new(builder.finish()))
    }

    pub(crate) fn relation(&self, oid: u32) -> Option<&Relation> {
        self.by_oid.get(&oid).map(|&i| &self.relations[i])
    }

    /// A key by the oid of its index or its constraint, with its table.
    pub(crate) fn key(&self, oid: u32) -> Option<(&Relation, &TableKey)> {
        let &(relation, key) = self.by_key.get(&oid)?;
        let relation = &self.relations[relation];
        Some((relation, relation.keys.get(key)?))
    }

    /// A relation by name; without a schema, as the search path finds it.
    pub(crate) fn relation_named(&self, schema: Option<&str>, name: &str) -> Option<&Relation> {
        let find = |namespace: u32| self.by_name.get(&(namespace, name.to_owned())).map(|&i| &self.relations[i]);
        match schema {
            Some(schema) => find(self.namespace_named(schema)?.oid),
            None => self.path.iter().find_map(|&namespace| find(namespace)),
        }
    }

    pub(crate) fn namespace_named(&self, name: &str) -> Option<&Named> {
        self.namespaces.iter().find(|n| n.name == name)
    }

    pub(crate) fn namespace(&self, oid: u32) -> Option<&Named> {
        self.namespaces.iter().find(|n| n.oid == oid)
    }

    pub(crate) fn role(&self, oid: u32) -> Option<&Named> {
        self.roles.iter().find(|r| r.oid == oid)
    }

    /// Whether a relation is what its bare name means.
    pub(crate) fn is_visible(&self, oid: u32) -> Option<bool> {
        if let Some((table, _)) = self.key(oid) {
            return self.is_visible(table.oid);
        }
        let relation = self.relation(oid)?;
        Some(self.relation_named(None, &relation.name).is_some_and(|found| found.oid == oid))
    }

    /// The oid and the modifier of a remote column's type.
    pub(crate) fn remote_type(&self, data_type: &str) -> (u32, i32) {
        written_type(data_type)
            .or_else(|| self.foreign_type_oids.get(data_type).map(|&oid| (oid, -1)))
            .unwrap_or((25, -1))
    }

    /// The rows of a catalog relation, made when first asked for.
    pub(crate) fn table(&self, layout: &'static Layout) -> Arc<Table> {
        let key = layout.name;
        let is_catalog = layout.schema == "pg_catalog";
        if is_catalog && let Some(table) = self.tables.lock().get(key) {
            return table.clone();
        }
        let table = Table::new(with_system_columns(super::rows::rows(self, layout), layout));
        if is_catalog {
            self.tables.lock().insert(key, table.clone());
        }
        table
    }

    /// The rows of a catalog relation among which all are whose `column` has this value, when they
    /// can be had without making all rows: those that belong to one relation.
    pub(crate) fn part(&self, layout: &'static Layout, column: usize, value: &Value) -> Option<Arc<Table>> {
        let columns = super::rows::of_relations(layout.name)?;
        if layout.schema != "pg_catalog" || !columns.contains(&layout.columns.get(column)?.name) {
            return None;
        }
        if self.tables.lock().contains_key(layout.name) {
            return None;
        }
        let oid = value.as_oid()?;
        let relation = self.relation(oid).or_else(|| self.key(oid).map(|(relation, _)| relation));
        let relation = match relation {
            Some(relation) => relation,
            // Schemas have comments, too.
            None if layout.name == "pg_description" => return None,
            None => return Some(Table::new(vec![])),
        };
        let mut parts = self.parts.lock();
        let table = parts.entry((layout.name, relation.oid)).or_insert_with(|| {
            Table::new(with_system_columns(super::rows::rows_of(self, layout, &[relation]), layout))
        });
        Some(table.clone())
    }
}

/// Every row has a tableoid and an xmin beside its columns.
fn with_system_columns(mut rows: Vec<Row>, layout: &Layout) -> Vec<Row> {
    for row in &mut rows {
        row.push(Value::from(layout.oid));
        row.push(Value::Int(1));
    }
    rows
}

/// Whether the query's literals name a source: its name, and a dot as it is or as a regular
/// expression writes it.
fn mentions(literals: &[String], source: &str) -> bool {
    literals.iter().any(|text| {
        text.match_indices(source).any(|(at, _)| {
            let rest = &text[at + source.len()..];
            rest.starts_with('.') || rest.starts_with("\\.") || rest.is_empty() && at == 0
        })
    })
}

/// The tables that a query needs complete: those whose oid is among its literals and, when it looks
/// at columns, those whose name is; when it names none then, all of the client's own source.
fn wanted(source: &Source, list: &TableList, needs: &Needs, is_connected: bool) -> Vec<TableName> {
    let literals: HashSet<&str> = needs
        .literals
        .iter()
        .flat_map(|text| {
            let bare = text.trim_start_matches("^(").trim_end_matches(")$");
            [text.as_str(), bare]
        })
        .collect();
    let named: Vec<TableName> = list
        .iter()
        .filter(|table| {
            let name = &table.name;
            let is_named = || {
                literals.contains(name.table.as_str())
                    || literals.contains(name.quoted().as_str())
                    || literals.contains(format!("{}.{}", source.name, name).as_str())
            };
            literals.contains(table_oid(source.id, name).to_string().as_str()) || needs.columns && is_named()
        })
        .map(|table| table.name.clone())
        .collect();
    if !named.is_empty() || !is_connected || !needs.columns {
        return named;
    }
    list.iter().take(DESCRIBED_MAX).map(|table| table.name.clone()).collect()
}

/// A number of at least 16384 (those below are PostgreSQL's own) that only the parts decide.
pub(crate) fn hashed_oid(parts: &[&str]) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    16_384 + ((hash ^ (hash >> 32)) % (0x7fff_ffff - 16_384)) as u32
}

fn table_oid(source_id: i64, name: &TableName) -> u32 {
    hashed_oid(&["table", &source_id.to_string(), &name.schema, &name.table])
}

struct Builder<'a> {
    scope: &'a Scope,
    taken: HashSet<u32>,
    catalog: Catalog,
}

impl<'a> Builder<'a> {
    fn new(scope: &'a Scope) -> Self {
        let mut names: BTreeSet<&str> = BTreeSet::from([scope.session.role.as_str()]);
        names.extend(scope.snapshot.sources.values().map(|s| s.owner.as_str()));
        names.extend(scope.snapshot.jobs.values().map(|j| j.owner.as_str()));
        names.remove("tidegate");
        let role = |oid, name: &str| Named { oid, name: name.to_owned(), owner: oid, comment: None };
        let mut roles = vec![role(SYSTEM_ROLE, "tidegate")];
        roles.extend(names.into_iter().map(|name| role(hashed_oid(&["role", name]), name)));
        let mut builder = Self {
            scope,
            taken: HashSet::new(),
            catalog: Catalog {
                scope: scope.clone(),
                databases: vec![],
                roles,
                namespaces: vec![],
                relations: vec![],
                foreign_types: vec![],
                path: vec![],
                now: now(),
                foreign_type_oids: HashMap::new(),
                by_oid: HashMap::new(),
                by_name: HashMap::new(),
                by_key: HashMap::new(),
                tables: Mutex::default(),
                parts: Mutex::default(),
            },
        };
        builder.catalog.databases.push(Named {
            oid: hashed_oid(&["database", DATABASE]),
            name: DATABASE.to_owned(),
            owner: SYSTEM_ROLE,
            comment: Some("The gateway: its system tables and, as source.schema.table, every source.".to_owned()),
        });
        builder.own_relations();
        builder
    }

    /// A number that nothing else has.
    fn oid(&mut self, parts: &[&str]) -> u32 {
        let mut oid = hashed_oid(parts);
        while !self.taken.insert(oid) {
            oid += 1;
        }
        oid
    }

    fn own_relations(&mut self) {
        let mut namespace = |oid, name: &str, comment: Option<&str>| {
            let comment = comment.map(str::to_owned);
            self.catalog.namespaces.push(Named { oid, name: name.to_owned(), owner: SYSTEM_ROLE, comment });
        };
        namespace(PG_CATALOG, "pg_catalog", Some("system catalog schema"));
        namespace(INFORMATION_SCHEMA, "information_schema", None);
        let tidegate = hashed_oid(&["schema", system::SCHEMA]);
        namespace(tidegate, system::SCHEMA, Some("System tables of the gateway."));
        for layout in layouts() {
            let (namespace, oid) = match layout.schema {
                "pg_catalog" => (PG_CATALOG, layout.oid),
                _ => (INFORMATION_SCHEMA, layout.oid),
            };
            self.relation(Relation {
                oid,
                namespace,
                name: layout.name.to_owned(),
                kind: if layout.is_view { 'v' } else { 'r' },
                owner: SYSTEM_ROLE,
                columns: Columns::Layout(layout),
                keys: vec![],
            });
        }
        for spec in system::catalog() {
            let oid = self.oid(&["system", spec.name]);
            self.relation(Relation {
                oid,
                namespace: tidegate,
                name: spec.name.to_owned(),
                kind: if spec.is_view { 'v' } else { 'r' },
                owner: SYSTEM_ROLE,
                columns: Columns::System(spec),
                keys: vec![],
            });
        }
    }

    fn relation(&mut self, relation: Relation) {
        let index = self.catalog.relations.len();
        self.catalog.by_oid.insert(relation.oid, index);
        self.catalog.by_name.insert((relation.namespace, relation.name.clone()), index);
        self.catalog.relations.push(relation);
    }

    fn source(&mut self, source: &Arc<Source>, known: &KnownFacts, is_connected: bool) {
        let id = source.id.to_string();
        let owner = self.catalog.roles.iter().find(|r| r.name == source.owner).map_or(SYSTEM_ROLE, |r| r.oid);
        let database = self.oid(&["database", &id]);
        let comment = source.comment.clone().or_else(|| Some(format!("Source of type {}.", source.source_type)));
        self.catalog.databases.push(Named { oid: database, name: source.name.clone(), owner, comment });
        // A client that is connected to one source sees that one only, as in PostgreSQL.
        if self.scope.connected.is_some() && !is_connected {
            return;
        }
        let fixed = match self.scope.gateway.connectors.get(&source.source_type) {
            Ok(connector) => connector.info().fixed_schemas,
            Err(_) => &[],
        };
        let empty = TableList::default();
        let list = known.tables.as_ref().unwrap_or(&empty);
        let schemas: BTreeSet<&str> =
            fixed.iter().copied().chain(list.iter().map(|t| t.name.schema.as_str())).collect();
        let mut namespaces: HashMap<&str, u32> = HashMap::new();
        for schema in schemas {
            let name = if is_connected { schema.to_owned() } else { format!("{}.{schema}", source.name) };
            if self.catalog.namespace_named(&name).is_some() {
                // A remote schema of a name that is the gateway's own stays reachable by three parts.
                continue;
            }
            let oid = self.oid(&["schema", &id, schema]);
            self.catalog.namespaces.push(Named { oid, name, owner, comment: None });
            namespaces.insert(schema, oid);
        }
        for table in list.iter() {
            let Some(&namespace) = namespaces.get(table.name.schema.as_str()) else { continue };
            let (columns, keys) = match known.described.get(&table.name) {
                Some(described) => {
                    self.foreign_types(described);
                    let keys = self.keys(&id, described);
                    (Columns::Described(described.clone()), keys)
                }
                None => (Columns::Listed(table.clone()), vec![]),
            };
            let oid = self.oid(&["table", &id, &table.name.schema, &table.name.table]);
            let place = self.catalog.relations.len();
            for (number, key) in keys.iter().enumerate() {
                self.catalog.by_key.insert(key.oid, (place, number));
                self.catalog.by_key.insert(key.constraint_oid, (place, number));
            }
            self.relation(Relation {
                oid,
                namespace,
                name: table.name.table.clone(),
                kind: match table.kind {
                    TableKind::Table | TableKind::Files | TableKind::Generated => 'r',
                    TableKind::Partitioned => 'p',
                    TableKind::View => 'v',
                    TableKind::MaterializedView => 'm',
                    TableKind::Foreign => 'f',
                },
                owner,
                columns,
                keys,
            });
        }
        if is_connected {
            let path = visible_schemas(&self.scope.search_path(), list);
            self.catalog.path = path.iter().filter_map(|name| namespaces.get(name.as_str()).copied()).collect();
        }
    }

    fn keys(&mut self, source_id: &str, table: &TableSchema) -> Vec<TableKey> {
        let primary = (!table.primary_key.is_empty()).then_some((&table.primary_key, true));
        let all = primary.into_iter().chain(table.unique_keys.iter().map(|key| (key, false)));
        let mut keys = vec![];
        for (columns, is_primary) in all {
            let name = match is_primary {
                true => format!("{}_pkey", table.name.table),
                false => format!("{}_{}_key", table.name.table, columns.join("_")),
            };
            let numbers = columns
                .iter()
                .filter_map(|c| table.column_index(c))
                .filter_map(|i| i64::try_from(i + 1).ok())
                .collect();
            let parts = [source_id, table.name.schema.as_str(), table.name.table.as_str(), name.as_str()];
            let oid = self.oid(&[&["index"], &parts[..]].concat());
            let constraint_oid = self.oid(&[&["constraint"], &parts[..]].concat());
            keys.push(TableKey { oid, constraint_oid, name, columns: numbers, is_primary });
        }
        keys
    }

    fn foreign_types(&mut self, table: &TableSchema) {
        for column in &table.columns {
            let name = &column.data_type;
            if written_type(name).is_none() && !self.catalog.foreign_type_oids.contains_key(name) {
                let oid = self.oid(&["type", name]);
                self.catalog.foreign_type_oids.insert(name.clone(), oid);
                self.catalog.foreign_types.push((oid, name.clone()));
            }
        }
    }

    fn finish(mut self) -> Catalog {
        let written = self.scope.search_path();
        let catalog = &mut self.catalog;
        let mut path = vec![PG_CATALOG];
        let explicit =
            written.iter().filter_map(|name| catalog.namespaces.iter().find(|n| &n.name == name)).map(|n| n.oid);
        let mut rest: Vec<u32> = explicit.collect();
        rest.extend(std::mem::take(&mut catalog.path));
        if self.scope.connected.is_none() {
            // In the gateway's own database the system tables need no schema.
            rest.extend(catalog.namespaces.iter().find(|n| n.name == system::SCHEMA).map(|n| n.oid));
        }
        for oid in rest {
            if !path.contains(&oid) {
                path.push(oid);
            }
        }
        catalog.path = path;
        self.catalog
    }
}

/// The schemas of the client's own source in which bare names are looked for: those of the search
/// path that it has, or else its only one.
pub(crate) fn visible_schemas(path: &[String], list: &TableList) -> Vec<String> {
    let schemas: BTreeSet<&str> = list.iter().map(|t| t.name.schema.as_str()).collect();
    let visible: Vec<String> = path.iter().filter(|s| schemas.contains(s.as_str())).cloned().collect();
    if visible.is_empty() && schemas.len() == 1 {
        return schemas.into_iter().map(str::to_owned).collect();
    }
    visible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_meant_only_where_it_is_named() {
        let of = |text: &str| mentions(&[text.to_owned()], "shop");
        assert!(of("shop.public"));
        assert!(of("^(shop\\.public)$"));
        assert!(of("shop"));
        assert!(!of("shopping"));
        assert!(!of("public"));
    }

    #[test]
    fn numbers_come_from_names_alone() {
        assert_eq!(hashed_oid(&["a", "b"]), hashed_oid(&["a", "b"]));
        assert_ne!(hashed_oid(&["a", "b"]), hashed_oid(&["ab", ""]));
        assert!(hashed_oid(&["a"]) >= 16_384);
    }
}
