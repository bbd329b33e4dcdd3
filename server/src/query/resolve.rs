//! Which table a name in a query means.
//!
//! One part: `pg_catalog` first, then the schemas of `search_path`. Two parts: a schema of the
//! database that the client is connected to. Three parts: `source.schema.table`.
//! The client's database is `tidegate`, where the system tables need no schema, or a source when it
//! connected with the source's name.
//! Remote names match exactly first; an unquoted one then matches without regard to case, if only
//! one does.

use super::discovery::TableList;
use super::error::position;
use super::names::folded;
use crate::gateway::{Gateway, find_source};
use crate::pgcatalog;
use crate::session::Session;
use crate::system;
use catalog::definition::Source;
use catalog::error::nearest;
use catalog::store::Snapshot;
use catalog::{Error, ErrorKind, Path3, Result, TableName, quote_ident};
use connector_api::TableSchema;
use datafusion::sql::sqlparser::ast::*;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The database that a session sees when it did not ask for a source.
pub(crate) const DATABASE: &str = "tidegate";

/// What a name means.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// `tidegate.name`
    System(String),
    /// A relation of `pg_catalog` or `information_schema`.
    Catalog { schema: &'static str, name: String },
    /// A table of a source, complete.
    Remote { source: Arc<Source>, table: Arc<TableSchema> },
}

/// Everything that names are looked up in.
#[derive(Clone)]
pub(crate) struct Scope {
    pub gateway: Arc<Gateway>,
    pub session: Arc<Session>,
    pub snapshot: Arc<Snapshot>,
    /// The source that is the client's database.
    pub connected: Option<Arc<Source>>,
    /// Nobody waits for the statement any more: work that does not pause by itself looks here.
    pub stop: Arc<AtomicBool>,
}

impl Scope {
    /// The scope of one statement of this session.
    pub(crate) fn new(gateway: &Arc<Gateway>, session: &Arc<Session>) -> Self {
        let snapshot = session.snapshot(&gateway.store);
        let connected = match session.database.as_str() {
            DATABASE | "postgres" => None,
            name => snapshot.source(name).cloned(),
        };
        Self { gateway: gateway.clone(), session: session.clone(), snapshot, connected, stop: Arc::default() }
    }

    /// The name of the client's database.
    pub(crate) fn database(&self) -> &str {
        self.connected.as_ref().map_or(DATABASE, |source| source.name.as_str())
    }

    /// The schemas of `search_path` as written, `$user` resolved.
    pub(crate) fn search_path(&self) -> Vec<String> {
        let setting = self.session.settings.lock().get("search_path").unwrap_or_default();
        split_path(&setting).into_iter().map(|s| if s == "$user" { self.session.role.clone() } else { s }).collect()
    }

    /// The tables of a source.
    pub(crate) async fn list(&self, source: &str) -> Result<TableList> {
        self.gateway.discovery.tables(&self.gateway, Some(&self.session), &self.snapshot, source).await
    }

    async fn describe(&self, source: &str, name: TableName) -> Result<Option<Arc<TableSchema>>> {
        let cache = &self.gateway.discovery;
        let mut found = cache.describe(&self.gateway, Some(&self.session), &self.snapshot, source, &[name]).await?;
        Ok(found.pop())
    }

    /// What a relation's name means. `text` is what its spans refer to.
    pub(crate) async fn resolve(&self, name: &ObjectName, text: &str) -> Result<Target> {
        let idents = idents(name)?;
        let found = match idents.as_slice() {
            [table] => self.one_part(table).await,
            [schema, table] => self.two_parts(schema, table).await,
            [database, schema, table] => self.three_parts(database, schema, table).await,
            _ => Err(Error::new(ErrorKind::Syntax, format!("improper qualified name (too many dotted names): {name}"))
                .with_hint("Use three parts: source.schema.table.")),
        };
        found.map_err(|error| {
            let span = idents[0].span.start;
            match position(text, span.line, span.column) {
                Some(at) if error.position().is_none() => error.with_position(at),
                _ => error,
            }
        })
    }

    async fn one_part(&self, table: &Ident) -> Result<Target> {
        let name = folded(table);
        if pgcatalog::has_relation("pg_catalog", &name) {
            return Ok(Target::Catalog { schema: "pg_catalog", name });
        }
        let path = self.search_path();
        if let Some(source) = &self.connected {
            let list = self.list(&source.name).await?;
            for schema in pgcatalog::visible_schemas(&path, &list) {
                if let Some(known) = find(&list, &Ident::with_quote('"', schema), table) {
                    return self.remote(source, known.name.clone()).await;
                }
            }
        }
        if path.iter().any(|s| s == "information_schema") && pgcatalog::has_relation("information_schema", &name) {
            return Ok(Target::Catalog { schema: "information_schema", name });
        }
        let is_system = system::catalog().iter().any(|t| t.name == name);
        if is_system && (self.connected.is_none() || path.iter().any(|s| s == system::SCHEMA)) {
            return Ok(Target::System(name));
        }
        let error = Error::new(ErrorKind::UndefinedTable, format!("relation {} does not exist", quoted(&[table])));
        if is_system {
            return Err(error.with_hint(format!("Perhaps you meant \"tidegate.{name}\".")));
        }
        let list = match &self.connected {
            Some(source) => Some(self.list(&source.name).await?),
            None => None,
        };
        let remote = list.iter().flat_map(|list| list.iter()).map(|t| t.name.table.as_str());
        let own = system::catalog().iter().map(|t| t.name).filter(|_| self.connected.is_none());
        match nearest(&name, own.chain(remote)) {
            Some(near) => Err(error.with_hint(format!("Perhaps you meant \"{near}\"."))),
            None if self.connected.is_none() => {
                Err(error.with_hint("Tables of sources have three parts: source.schema.table."))
            }
            None => Err(error),
        }
    }

    async fn two_parts(&self, schema: &Ident, table: &Ident) -> Result<Target> {
        let (schema_name, name) = (folded(schema), folded(table));
        for catalog in ["pg_catalog", "information_schema"] {
            if schema_name == catalog {
                return match pgcatalog::has_relation(catalog, &name) {
                    true => Ok(Target::Catalog { schema: catalog, name }),
                    false => Err(self.missing_catalog_relation(catalog, &[schema, table])),
                };
            }
        }
        if schema_name == system::SCHEMA {
            return self.system_table(&[schema, table], name);
        }
        if let Some(source) = &self.connected {
            match self.remote_named(source, schema, table).await {
                Err(error) if *error.kind() == ErrorKind::UndefinedSchema => {}
                other => return other,
            }
        }
        // psql's names for the schemas of other sources: "shop.public".
        if let Some((source, inner)) = schema_name.split_once('.')
            && let Some(source) = self.snapshot.source(source).cloned()
        {
            return self.remote_named(&source, &Ident::with_quote('"', inner), table).await;
        }
        if self.snapshot.source(&schema_name).is_some() {
            return Err(Error::new(
                ErrorKind::UndefinedTable,
                format!("relation {} does not exist", quoted(&[schema, table])),
            )
            .with_detail(format!("\"{schema_name}\" is a source, and a source's tables have a schema."))
            .with_hint("Use three parts: source.schema.table."));
        }
        let error = Error::new(ErrorKind::UndefinedSchema, format!("schema \"{schema_name}\" does not exist"));
        match nearest(&schema_name, ["tidegate", "pg_catalog", "information_schema"]) {
            Some(near) => Err(error.with_hint(format!("Perhaps you meant \"{near}\"."))),
            None => Err(error.with_hint("Tables of sources have three parts: source.schema.table.")),
        }
    }

    async fn three_parts(&self, database: &Ident, schema: &Ident, table: &Ident) -> Result<Target> {
        let name = folded(database);
        if let Some(source) = self.snapshot.source(&name).cloned() {
            return self.remote_named(&source, schema, table).await;
        }
        if name == DATABASE {
            let (schema_name, table_name) = (folded(schema), folded(table));
            for catalog in ["pg_catalog", "information_schema"] {
                if schema_name == catalog && pgcatalog::has_relation(catalog, &table_name) {
                    return Ok(Target::Catalog { schema: catalog, name: table_name });
                }
            }
            if schema_name == system::SCHEMA {
                return self.system_table(&[database, schema, table], table_name);
            }
            return Err(Error::new(
                ErrorKind::UndefinedTable,
                format!("relation {} does not exist", quoted(&[database, schema, table])),
            ));
        }
        match find_source(&self.snapshot, &name) {
            Ok(source) => self.remote_named(&source, schema, table).await,
            Err(error) => Err(error),
        }
    }

    fn system_table(&self, written: &[&Ident], name: String) -> Result<Target> {
        if system::catalog().iter().any(|t| t.name == name) {
            return Ok(Target::System(name));
        }
        let error = Error::new(ErrorKind::UndefinedTable, format!("relation {} does not exist", quoted(written)));
        Err(match nearest(&name, system::catalog().iter().map(|t| t.name)) {
            Some(near) => error.with_hint(format!("Perhaps you meant \"tidegate.{near}\".")),
            None => error,
        })
    }

    fn missing_catalog_relation(&self, schema: &'static str, written: &[&Ident]) -> Error {
        let error = Error::new(ErrorKind::UndefinedTable, format!("relation {} does not exist", quoted(written)));
        let name = written.last().map(|ident| folded(ident)).unwrap_or_default();
        match nearest(&name, pgcatalog::relation_names(schema)) {
            Some(near) => error.with_hint(format!("Perhaps you meant \"{schema}.{near}\".")),
            None => error,
        }
    }

    async fn remote(&self, source: &Arc<Source>, name: TableName) -> Result<Target> {
        match self.describe(&source.name, name.clone()).await? {
            Some(table) => Ok(Target::Remote { source: source.clone(), table }),
            None => Err(missing_table(&source.name, &name, &self.list(&source.name).await?)),
        }
    }

    async fn remote_named(&self, source: &Arc<Source>, schema: &Ident, table: &Ident) -> Result<Target> {
        let name = TableName::new(folded(schema), folded(table));
        crate::gateway::check_usage(source, false)?;
        if let Some(table) = self.describe(&source.name, name.clone()).await? {
            return Ok(Target::Remote { source: source.clone(), table });
        }
        let list = self.list(&source.name).await?;
        match find(&list, schema, table) {
            Some(known) => self.remote(source, known.name.clone()).await,
            None => Err(missing_table(&source.name, &name, &list)),
        }
    }
}

/// The table of this name: exact, or the only one that is equal but for case if it was not quoted.
fn find<'a>(list: &'a TableList, schema: &Ident, table: &Ident) -> Option<&'a Arc<TableSchema>> {
    let (schema_name, table_name) = (folded(schema), folded(table));
    let exact = list.iter().find(|t| t.name.schema == schema_name && t.name.table == table_name);
    if exact.is_some() {
        return exact;
    }
    let same = |ident: &Ident, written: &str, name: &str| match ident.quote_style {
        Some(_) => written == name,
        None => written.eq_ignore_ascii_case(name),
    };
    let mut alike =
        list.iter().filter(|t| same(schema, &schema_name, &t.name.schema) && same(table, &table_name, &t.name.table));
    match (alike.next(), alike.next()) {
        (Some(one), None) => Some(one),
        _ => None,
    }
}

/// 42P01 with the nearest table, or 3F000 with the nearest schema.
pub fn missing_table(source: &str, name: &TableName, list: &TableList) -> Error {
    let mut schemas: Vec<&str> = list.iter().map(|t| t.name.schema.as_str()).collect();
    schemas.dedup();
    if !schemas.contains(&name.schema.as_str()) {
        let near = nearest(&name.schema, schemas.iter().copied());
        let near = near.map(|near| format!("Perhaps you meant \"{near}\". ")).unwrap_or_default();
        return Error::new(
            ErrorKind::UndefinedSchema,
            format!("schema \"{}\" does not exist in source \"{source}\"", name.schema),
        )
        .with_hint(format!("{near}See: SHOW SCHEMAS FROM SOURCE {};", quote_ident(source)));
    }
    let path = Path3 { source: source.to_owned(), name: name.clone() };
    let error = Error::new(ErrorKind::UndefinedTable, format!("table {path} does not exist"))
        .with_table(&name.schema, &name.table);
    let tables = list.iter().filter(|t| t.name.schema == name.schema).map(|t| t.name.table.as_str());
    match nearest(&name.table, tables) {
        Some(near) => error.with_hint(format!("Perhaps you meant {}.", Path3::new(source, &name.schema, near))),
        None => error.with_hint(format!(
            "See: SHOW TABLES FROM SOURCE {} SCHEMA {};",
            quote_ident(source),
            quote_ident(&name.schema)
        )),
    }
}

fn quoted(idents: &[&Ident]) -> String {
    format!("\"{}\"", idents.iter().map(|i| folded(i)).collect::<Vec<_>>().join("."))
}

fn idents(name: &ObjectName) -> Result<Vec<&Ident>> {
    let all: Option<Vec<&Ident>> = name.0.iter().map(ObjectNamePart::as_ident).collect();
    match all {
        Some(all) if !all.is_empty() => Ok(all),
        _ => Err(Error::new(ErrorKind::Syntax, format!("\"{name}\" is not the name of a table"))),
    }
}

/// Splits `"$user", public` into names.
pub(crate) fn split_path(path: &str) -> Vec<String> {
    let mut names = vec![];
    let mut name = String::new();
    let (mut in_quotes, mut was_quoted) = (false, false);
    let mut chars = path.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if in_quotes && chars.peek() == Some(&'"') => {
                chars.next();
                name.push('"');
            }
            '"' => {
                in_quotes = !in_quotes;
                was_quoted = true;
            }
            ',' if !in_quotes => {
                if !name.is_empty() || was_quoted {
                    names.push(std::mem::take(&mut name));
                }
                was_quoted = false;
            }
            c if c.is_whitespace() && !in_quotes => {}
            c if in_quotes => name.push(c),
            c => name.extend(c.to_lowercase()),
        }
    }
    if !name.is_empty() || was_quoted {
        names.push(name);
    }
    names
}

/// The relations that a query reads, with the names as written; CTEs are not among them.
pub(crate) fn relations(query: &Query) -> Vec<ObjectName> {
    let mut visitor = Relations::default();
    let _ = Visit::visit(query, &mut visitor);
    visitor.found
}

#[derive(Default)]
struct Relations {
    found: Vec<ObjectName>,
    seen: HashSet<ObjectName>,
    ctes: Vec<String>,
}

impl Relations {
    fn add(&mut self, name: &ObjectName) {
        let is_cte = match name.0.as_slice() {
            [ObjectNamePart::Identifier(ident)] => self.ctes.contains(&folded(ident)),
            _ => false,
        };
        if !is_cte && self.seen.insert(name.clone()) {
            self.found.push(name.clone());
        }
    }
}

impl Visitor for Relations {
    type Break = ();
    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: None, .. } = factor {
            self.add(name);
        }
        ControlFlow::Continue(())
    }
    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let recursive = query.with.as_ref().is_some_and(|with| with.recursive);
            if !recursive {
                // The name is not in scope inside of its own query.
                Visit::visit(cte, self)?;
            }
            self.ctes.push(folded(&cte.alias.name));
        }
        ControlFlow::Continue(())
    }
    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let count = query.with.as_ref().map_or(0, |with| with.cte_tables.len());
        self.ctes.truncate(self.ctes.len() - count);
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_path_is_a_list_of_names() {
        assert_eq!(split_path("\"$user\", public"), ["$user", "public"]);
        assert_eq!(split_path("A, \"B c\",\"d\"\"e\", \"\""), ["a", "B c", "d\"e", ""]);
        assert!(split_path("").is_empty());
    }

    #[test]
    fn ctes_and_functions_are_no_relations() {
        let parsed = planner::parse(
            "with a as (select * from a), b as (select 1) select * from a, b, s.t, generate_series(1,2), (select * from c) d",
        )
        .unwrap()
        .remove(0);
        let planner::Statement::Sql(statement) = parsed.statement else { panic!() };
        let Statement::Query(query) = *statement else { panic!() };
        let names: Vec<String> = relations(&query).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a", "s.t", "c"]);
    }
}
