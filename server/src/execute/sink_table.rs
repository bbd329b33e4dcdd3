//! CREATE SINK TABLE.

use super::Context;
use super::option::{Owner, resolve};
use super::source::exists_notice_of;
use crate::outcome::Notice;
use crate::runtime::options::{self, SINK_TABLE_OPTIONS};
use crate::runtime::{Facts, SourceFacts, missing_table};
use catalog::definition::*;
use catalog::store::Change;
use catalog::{CreationMethod, Error, ErrorKind, OptionMap, Path3, Result, WriteMode, now};
use connector_api::{DiscoverRequest, TableCreation, TableTarget};
use planner::OptionEntry;
use std::collections::BTreeMap;

pub(super) struct NewSinkTable {
    pub if_not_exists: bool,
    pub path: Path3,
    pub shape: SinkShape,
    pub added_columns: Vec<AddedColumn>,
    pub partition_by: Vec<String>,
    pub properties: Vec<(String, String)>,
    pub options: Vec<OptionEntry>,
}

pub(super) async fn create(c: &Context<'_>, new: NewSinkTable) -> Result<()> {
    let base = c.snapshot();
    if !new.partition_by.is_empty() {
        return Err(Error::unsupported("PARTITION BY in CREATE SINK TABLE"));
    }
    if !new.properties.is_empty() {
        return Err(Error::unsupported("PROPERTIES in CREATE SINK TABLE"));
    }
    check_columns(&new)?;
    let specs: Vec<_> = SINK_TABLE_OPTIONS.to_vec();
    let empty = OptionMap::new();
    let owner = Owner { source_id: 0, name: "", role: &c.session.role, current: &empty };
    let words = ("a sink table", "SHOW OPTIONS FOR SINK TABLE;");
    check_built(&new.options, words.0)?;
    let resolved = resolve(&new.options, &specs, &base, &owner, || c.next_id(), words)?;
    options::check(&resolved.options, &[SINK_TABLE_OPTIONS], words.0, words.1)?;

    let mut facts = Facts { session: Some(c.session.clone()), ..Facts::default() };
    let connector = facts.source(c.gateway, &base, &new.path.source, true).await?.connector.clone();
    if !connector.info().capabilities.write {
        return Err(Error::unsupported(format!("writing into source type \"{}\"", connector.name())));
    }
    let table = SinkTable {
        id: c.next_id()?,
        path: new.path.clone(),
        shape: new.shape,
        added_columns: new.added_columns,
        partition_by: vec![],
        properties: Default::default(),
        options: resolved.options,
        owner: c.session.role.clone(),
        comment: None,
        created_at: now(),
        altered_at: now(),
    };
    if let Some(existing) = base.sink_table(&new.path) {
        if !new.if_not_exists {
            return Err(Error::new(ErrorKind::DuplicateTable, format!("sink table {} already exists", new.path))
                .with_table(&new.path.name.schema, &new.path.name.table));
        }
        c.session.notice(exists_notice_of(&format!("sink table {}", new.path)));
        if planner::sink_table_definition(existing) != planner::sink_table_definition(&table) {
            c.session.notice(Notice::warning(format!("existing definition of sink table {} differs", new.path)));
        }
        return Ok(());
    }
    match &table.shape {
        SinkShape::Like { path, exclude } => {
            facts.describe(c.gateway, &base, std::slice::from_ref(path), false).await?;
            if let Some(found) = facts.tables.get(path)
                && let Some(unknown) = exclude.iter().find(|e| found.column_index(e).is_none())
            {
                return Err(Error::new(
                    ErrorKind::UndefinedColumn,
                    format!("column \"{unknown}\" of table {path} does not exist"),
                )
                .with_table(&path.name.schema, &path.name.table)
                .with_column(unknown));
            }
        }
        SinkShape::Existing => {
            let source = facts.source(c.gateway, &base, &new.path.source, true).await?.clone();
            let request = DiscoverRequest::Describe { tables: vec![new.path.name.clone()] };
            if source.connector.discover(&source.config, &request).await?.is_empty() {
                let listed =
                    source.connector.discover(&source.config, &DiscoverRequest::List { schemas: vec![] }).await?;
                return Err(missing_table(&new.path.source, &new.path.name, &listed));
            }
        }
        SinkShape::Explicit { .. } => {
            let source = facts.source(c.gateway, &base, &new.path.source, true).await?.clone();
            check_types(&source, &table).await?;
        }
        SinkShape::Ddl { .. } | SinkShape::Inferred => {}
    }
    c.apply(&base, vec![Change::PutSinkTable(table)], vec![]).await
}

/// 42704 for types that the sink does not know, found without making the table. The sink is asked to
/// plan the columns alone: what arrives, and whether it fits, is known when a job writes the table.
async fn check_types(source: &SourceFacts, table: &SinkTable) -> Result<()> {
    let SinkShape::Explicit { columns, .. } = &table.shape else { return Ok(()) };
    let columns = columns.iter().map(|c| ColumnDef { is_nullable: true, ..c.clone() }).collect();
    let target = TableTarget {
        name: table.path.name.clone(),
        columns: vec![],
        key: vec![],
        key_is_primary: false,
        mode: WriteMode::Append,
        creation: TableCreation::Shape {
            shape: SinkShape::Explicit { columns, primary_key: vec![], indexes: vec![] },
            added_columns: vec![],
        },
        options: BTreeMap::new(),
        comment: None,
    };
    let plan = source.connector.sink(&source.config)?.plan_table(&target).await?;
    // A table that is there already is used as it is, unless the job's options say otherwise.
    let unknown: Vec<_> = plan.misfits.iter().filter(|m| m.column.is_some()).collect();
    match unknown.first() {
        Some(first) if plan.creation_method == CreationMethod::Auto => {
            let all: Vec<&str> = unknown.iter().map(|m| m.message.as_str()).collect();
            let error = Error::new(
                ErrorKind::UndefinedObject,
                format!("sink table {} cannot be made as it is written", table.path),
            )
            .with_table(&table.path.name.schema, &table.path.name.table)
            .with_detail(all.join(" "));
            Err(match &first.column {
                Some(column) => error.with_column(column),
                None => error,
            })
        }
        _ => Ok(()),
    }
}

/// Options that are specified and not built answer 0A000 before anything else is said of them.
pub(super) fn check_built(entries: &[OptionEntry], of_what: &str) -> Result<()> {
    for entry in entries {
        let one = OptionMap::from([(entry.key.clone(), catalog::OptionValue::Text(String::new()))]);
        match options::check(&one, &[], of_what, "") {
            Err(e) if *e.kind() == ErrorKind::Unsupported => return Err(e.with_position(entry.position)),
            _ => {}
        }
    }
    Ok(())
}

fn check_columns(new: &NewSinkTable) -> Result<()> {
    let mut names: Vec<&str> = vec![];
    let explicit: &[ColumnDef] = if let SinkShape::Explicit { columns, .. } = &new.shape { columns } else { &[] };
    for name in explicit.iter().map(|c| c.name.as_str()).chain(new.added_columns.iter().map(|a| a.name.as_str())) {
        if names.contains(&name) {
            return Err(
                Error::new(ErrorKind::DuplicateColumn, format!("column \"{name}\" is given twice")).with_column(name)
            );
        }
        names.push(name);
    }
    if let SinkShape::Explicit { primary_key, indexes, .. } = &new.shape {
        for column in primary_key.iter().chain(indexes.iter().flat_map(|(_, columns)| columns)) {
            if !names.contains(&column.as_str()) {
                return Err(Error::new(
                    ErrorKind::UndefinedColumn,
                    format!("column \"{column}\" named in a key or index does not exist"),
                )
                .with_column(column));
            }
        }
    }
    Ok(())
}
