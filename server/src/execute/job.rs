//! CREATE and ALTER SYNC JOB: selection, mappings and what can be checked before anything runs.

use super::Context;
use super::lifecycle::find_job;
use super::option::{Owner, resolve};
use super::selection::select_tables;
use super::sink_table::check_built;
use super::source::exists_notice;
use crate::outcome::Notice;
use crate::runtime::options::{self, SINK_TABLE_OPTIONS, SYNC_JOB_OPTIONS};
use crate::runtime::{Compiler, Start, misfit_error, parse_query, tables_of};
use crate::session::Effect;
use catalog::definition::*;
use catalog::store::{Change, Snapshot};
use catalog::{
    DesiredState, Error, ErrorKind, JobPhase, JobState, MappingState, MappingStatus, Mode, OptionMap, OptionValue,
    Path3, Result, RunTrigger, WriteMode, now, quote_ident, quote_literal,
};
use planner::{AlterJob, CreateSyncJob, SyncTargetInput};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Mappings that CREATE compiles, to find mistakes early; the others are compiled by the run.
const COMPILED_AT_CREATE_MAX: usize = 32;

const OPTION_WORDS: (&str, &str) = ("a sync job", "SHOW OPTIONS FOR SYNC JOB;");

/// A job as CREATE would store it, with its mappings.
pub(super) struct Draft {
    pub job: Arc<Job>,
    pub mappings: Vec<Arc<Mapping>>,
    /// The definitions with the draft in them.
    pub view: Arc<Snapshot>,
}

/// Works out what CREATE SYNC JOB would store. Reads the sources' structures, changes nothing.
pub(super) async fn draft(c: &Context<'_>, base: &Arc<Snapshot>, new: &CreateSyncJob, id: i64) -> Result<Draft> {
    let mode = new.mode.unwrap_or(Mode::Full);
    if mode != Mode::Full {
        return Err(Error::unsupported(format!("MODE {}", mode.as_str().to_uppercase())));
    }
    check_write_built(new.write)?;
    check_built(&new.options, OPTION_WORDS.0)?;
    let specs: Vec<_> = SYNC_JOB_OPTIONS.iter().chain(SINK_TABLE_OPTIONS).copied().collect();
    let empty = OptionMap::new();
    let owner = Owner { source_id: 0, name: "", role: &c.session.role, current: &empty };
    let resolved = resolve(&new.options, &specs, base, &owner, || c.next_id(), OPTION_WORDS)?;
    options::check(&resolved.options, &[SYNC_JOB_OPTIONS, SINK_TABLE_OPTIONS], OPTION_WORDS.0, OPTION_WORDS.1)?;
    let target = match &new.target {
        SyncTargetInput::Query { sink, columns, query, .. } => {
            SyncTarget::Query { sink: sink.clone(), columns: columns.clone(), query: query.clone() }
        }
        SyncTargetInput::Tables { source, selection, except, dest } => SyncTarget::Tables {
            source: source.clone(),
            selection: selection.clone(),
            except: except.clone(),
            dest: dest.clone(),
        },
    };
    let spec = SyncSpec {
        target,
        mode,
        write: new.write,
        key: new.key.clone(),
        on_error: new.on_error.clone().unwrap_or(OnError::Stop),
    };
    let job = Job {
        id,
        name: new.name.clone(),
        spec: JobSpec::Sync(spec),
        options: resolved.options,
        desired_state: DesiredState::Created,
        state: JobState::Created,
        phase: JobPhase::Idle,
        state_changed_at: now(),
        definition_version: 1,
        restart_count: 0,
        current_run_id: None,
        last_error_id: None,
        owner: c.session.role.clone(),
        comment: None,
        created_at: now(),
        altered_at: now(),
    };
    let mappings = mappings_of(c, base, &job).await?;
    let mut view = Snapshot::clone(base);
    view.apply(&Change::PutJob(job.clone()));
    for mapping in &mappings {
        view.apply(&Change::PutMapping(Mapping::clone(mapping)));
    }
    Ok(Draft { job: Arc::new(job), mappings, view: Arc::new(view) })
}

/// What is specified and not built is said before anything else is said of the statement.
fn check_write_built(write: Option<WriteMode>) -> Result<()> {
    match write {
        Some(WriteMode::OverwritePartitions) => Err(Error::unsupported("WRITE OVERWRITE PARTITIONS")),
        Some(WriteMode::Append | WriteMode::Upsert | WriteMode::Overwrite) | None => Ok(()),
    }
}

/// The mappings that a job's definition comes to now.
async fn mappings_of(c: &Context<'_>, base: &Arc<Snapshot>, job: &Job) -> Result<Vec<Arc<Mapping>>> {
    let JobSpec::Sync(spec) = &job.spec;
    let mut mappings = vec![];
    match &spec.target {
        SyncTarget::Query { sink, query, .. } => {
            crate::gateway::find_source(base, &sink.source)?;
            let tables = tables_of(&parse_query(query)?)?;
            for table in &tables {
                crate::gateway::find_source(base, &table.source)?;
            }
            let source = if let [one] = tables.as_slice() { Some(one.clone()) } else { None };
            mappings.push(new_mapping(c, job.id, source, sink.clone(), vec![], None)?);
        }
        SyncTarget::Tables { source, selection, except, dest } => {
            crate::gateway::find_source(base, &dest.source)?;
            for chosen in select_tables(c, base, source, selection, except).await? {
                let mut sink = chosen.rename.unwrap_or_else(|| chosen.name.clone());
                if let Some(schema) = &dest.schema {
                    sink.schema = schema.clone();
                }
                let from = Path3 { source: source.clone(), name: chosen.name };
                let to = Path3 { source: dest.source.clone(), name: sink };
                mappings.push(new_mapping(c, job.id, Some(from), to, chosen.columns, chosen.filter)?);
            }
            check_collisions(&mappings)?;
        }
    }
    check_written_elsewhere(base, job, &mappings)?;
    Ok(mappings.into_iter().map(Arc::new).collect())
}

fn new_mapping(
    c: &Context<'_>,
    job_id: i64,
    source: Option<Path3>,
    sink: Path3,
    columns: Vec<String>,
    filter: Option<String>,
) -> Result<Mapping> {
    if source.as_ref() == Some(&sink) {
        return Err(Error::new(ErrorKind::InvalidValue, format!("table {sink} would be written into itself"))
            .with_hint("Give the sink another schema with INTO source.schema, or another name with AS."));
    }
    Ok(Mapping {
        id: c.next_id()?,
        job_id,
        source,
        sink,
        columns,
        filter,
        status: MappingStatus::Mapping,
        detail: None,
        creation_method: None,
        state: MappingState::Pending,
        state_changed_at: now(),
        key_columns: vec![],
        write_mode: None,
        snapshot_position: None,
        column_map: vec![],
        last_error_id: None,
        last_error: None,
        added_by: "create".to_owned(),
        created_at: now(),
    })
}

/// TG007: several source tables that would share one sink table.
fn check_collisions(mappings: &[Mapping]) -> Result<()> {
    let mut by_sink: BTreeMap<&Path3, Vec<String>> = BTreeMap::new();
    for mapping in mappings {
        let name = mapping.source.as_ref().map_or_else(|| "query".to_owned(), |s| s.name.to_string());
        by_sink.entry(&mapping.sink).or_default().push(name);
    }
    let Some((sink, sources)) = by_sink.into_iter().find(|(_, sources)| sources.len() > 1) else { return Ok(()) };
    Err(Error::new(
        ErrorKind::NameCollision,
        format!("{} source tables map to the same sink table {sink}", sources.len()),
    )
    .with_detail(format!("{}.", sources.join(", ")))
    .with_hint("Leave INTO .. without a schema to keep each table's schema, or rename tables with AS schema.table."))
}

/// One sink table is filled by one job: two would undo each other's rows.
fn check_written_elsewhere(base: &Snapshot, job: &Job, mappings: &[Mapping]) -> Result<()> {
    let JobSpec::Sync(spec) = &job.spec;
    if spec.write != Some(WriteMode::Overwrite) {
        return Ok(());
    }
    for mapping in mappings {
        let other = base
            .mappings
            .values()
            .find(|m| m.sink == mapping.sink && m.job_id != job.id && m.state != MappingState::Removed);
        if let Some(other) = other.and_then(|m| base.jobs.get(&m.job_id)) {
            return Err(Error::new(
                ErrorKind::NameCollision,
                format!("sink table {} is already written by job \"{}\"", mapping.sink, other.name),
            )
            .with_hint(format!(
                "Write WRITE APPEND or WRITE UPSERT to let both write it, or DROP JOB {};",
                quote_ident(&other.name)
            )));
        }
    }
    Ok(())
}

pub(super) async fn create(c: &Context<'_>, new: CreateSyncJob) -> Result<()> {
    let base = c.snapshot();
    if let Some(existing) = base.job(&new.name) {
        if !new.if_not_exists {
            return Err(Error::new(ErrorKind::DuplicateObject, format!("job \"{}\" already exists", new.name))
                .with_hint(format!("ALTER JOB {0} ..; or DROP JOB {0};", quote_ident(&new.name))));
        }
        c.session.notice(exists_notice("job", &new.name));
        if !is_same(existing, &new) {
            c.session.notice(Notice::warning(format!("existing definition of job \"{}\" differs", new.name)));
        }
        return Ok(());
    }
    let id = c.next_id()?;
    let Draft { job, mappings, view } = draft(c, &base, &new, id).await?;
    early_check(c, &view, &job, &mappings).await.map_err(|e| shift_position(e, &new))?;
    let autostart = options::boolean(&job.options, "autostart");
    let count = mappings.len();
    let mut changes = vec![Change::PutJob(Job::clone(&job))];
    changes.extend(mappings.iter().map(|m| Change::PutMapping(Mapping::clone(m))));
    let effects =
        if autostart { vec![Effect::StartJob { job_id: id, start: Start::new(RunTrigger::Manual) }] } else { vec![] };
    let in_block = c.session.status() != crate::session::TransactionStatus::Idle;
    c.apply(&base, changes, effects).await?;
    let tables = if count == 1 { "1 table".to_owned() } else { format!("{count} tables") };
    let notice = match (autostart, in_block) {
        (true, false) => Notice::new(format!("job \"{}\" created with {tables} and started", new.name))
            .with_hint(format!("SELECT * FROM tidegate.job_tables WHERE job_name = {};", quote_literal(&new.name))),
        (true, true) => Notice::new(format!("job \"{}\" created with {tables}; it starts at COMMIT", new.name)),
        (false, _) => Notice::new(format!("job \"{}\" created with {tables}", new.name))
            .with_hint(format!("START JOB {};", quote_ident(&new.name))),
    };
    c.session.notice(notice);
    Ok(())
}

/// Whether an existing job has the definition that a statement gives.
fn is_same(existing: &Job, new: &CreateSyncJob) -> bool {
    let JobSpec::Sync(spec) = &existing.spec;
    let same_target = match (&spec.target, &new.target) {
        (
            SyncTarget::Query { sink, columns, query },
            SyncTargetInput::Query { sink: new_sink, columns: new_columns, query: new_query, .. },
        ) => sink == new_sink && columns == new_columns && query == new_query,
        (
            SyncTarget::Tables { source, selection, except, dest },
            SyncTargetInput::Tables { source: s, selection: sel, except: ex, dest: d },
        ) => source == s && selection == sel && except == ex && dest == d,
        _ => false,
    };
    let given: OptionMap = new
        .options
        .iter()
        .filter_map(|o| match &o.value {
            planner::OptionInput::Literal(planner::Literal::Text(text)) => {
                Some((o.key.clone(), OptionValue::Text(text.clone())))
            }
            _ => None,
        })
        .collect();
    same_target
        && spec.mode == new.mode.unwrap_or(Mode::Full)
        && spec.write == new.write
        && spec.key == new.key
        && Some(&spec.on_error) == Some(new.on_error.as_ref().unwrap_or(&OnError::Stop))
        && existing.options == given
}

/// An error's position in the query becomes one in the whole statement.
fn shift_position(error: Error, new: &CreateSyncJob) -> Error {
    match (&new.target, error.position()) {
        (SyncTargetInput::Query { query_start, .. }, Some(position)) => {
            // The parser gives the query's place in bytes; both are the same for ASCII text before it.
            let shifted = position + query_start;
            error.with_position(shifted)
        }
        _ => error,
    }
}

/// Compiles what is to run, so that a wrong column, an unfit sink table or a missing right is found
/// now. In a job of many tables one that cannot run is a WARNING: it would stop only itself.
async fn early_check(c: &Context<'_>, view: &Arc<Snapshot>, job: &Arc<Job>, mappings: &[Arc<Mapping>]) -> Result<()> {
    let JobSpec::Sync(spec) = &job.spec;
    let mut compiler = Compiler::new(c.gateway.clone(), view.clone(), job.clone());
    compiler.facts.session = Some(c.session.clone());
    let is_query = matches!(spec.target, SyncTarget::Query { .. });
    if mappings.len() > COMPILED_AT_CREATE_MAX {
        // The sink must be usable at all.
        compiler.prepare(&mappings[..1]).await?;
        return Ok(());
    }
    compiler.prepare(mappings).await?;
    if is_query {
        // What cannot be found is said with the nearest name.
        let paths: Vec<Path3> = match &spec.target {
            SyncTarget::Query { query, .. } => tables_of(&parse_query(query)?)?,
            SyncTarget::Tables { .. } => vec![],
        };
        let mut facts = compiler.facts.clone();
        facts.describe(c.gateway, view, &paths, false).await?;
    }
    for mapping in mappings {
        let result = match compiler.compile(mapping, &Arc::default()).await {
            Ok(compiled) => match misfit_error(&compiled) {
                None => compiler.check_readable(mapping).await,
                Some(misfit) => Err(misfit),
            },
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => {}
            Err(e)
                if mappings.len() > 1
                    && matches!(e.kind(), ErrorKind::TypeMismatch | ErrorKind::NoKey | ErrorKind::Privilege) =>
            {
                let mut warning = Notice::warning(format!("{} will fail: {}", mapping.sink, e.message()));
                warning.detail = e.detail().map(str::to_owned);
                warning.hint = e.hint().map(str::to_owned);
                c.session.notice(warning);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The mappings of a job that are named on the source's side.
pub(super) fn mappings_named(base: &Snapshot, job: &Job, items: &[TableItem]) -> Result<Vec<Arc<Mapping>>> {
    let mut found: Vec<Arc<Mapping>> = vec![];
    for item in items {
        let before = found.len();
        for mapping in base.mappings_of(job.id).filter(|m| m.state != MappingState::Removed) {
            let Some(source) = &mapping.source else { continue };
            if super::selection::matches(item, &source.name)? && !found.iter().any(|f| f.id == mapping.id) {
                found.push(mapping.clone());
            }
        }
        if found.len() == before
            && let TableItem::Table { name, .. } = item
        {
            return Err(Error::new(ErrorKind::UndefinedTable, format!("job \"{}\" has no table {name}", job.name))
                .with_table(&name.schema, &name.table)
                .with_hint(format!(
                    "SELECT source_schema, source_table FROM tidegate.job_tables WHERE job_name = {};",
                    quote_literal(&job.name)
                )));
        }
    }
    Ok(found)
}

pub(super) async fn alter(c: &Context<'_>, name: &str, action: AlterJob) -> Result<()> {
    let base = c.snapshot();
    let before = find_job(&base, name)?;
    let mut job = Job::clone(&before);
    job.altered_at = now();
    let JobSpec::Sync(mut spec) = job.spec.clone();
    let mut changes = vec![];
    let mut is_definition = true;
    match action {
        AlterJob::Set(entries) => {
            check_built(&entries, OPTION_WORDS.0)?;
            let specs: Vec<_> = SYNC_JOB_OPTIONS.iter().chain(SINK_TABLE_OPTIONS).copied().collect();
            let owner = Owner { source_id: 0, name: "", role: &c.session.role, current: &before.options };
            let resolved = resolve(&entries, &specs, &base, &owner, || c.next_id(), OPTION_WORDS)?;
            if resolved.options.contains_key("autostart") {
                return Err(Error::new(ErrorKind::InvalidValue, "option \"autostart\" cannot be altered")
                    .with_hint(format!("START JOB {}; starts it.", quote_ident(name))));
            }
            for default in &resolved.defaults {
                job.options.remove(default);
            }
            job.options.extend(resolved.options);
        }
        AlterJob::Reset(names) => {
            for option in names {
                if job.options.remove(&option).is_none() {
                    options::check(
                        &OptionMap::from([(option, OptionValue::Text("true".into()))]),
                        &[SYNC_JOB_OPTIONS, SINK_TABLE_OPTIONS],
                        OPTION_WORDS.0,
                        OPTION_WORDS.1,
                    )
                    .or_else(|e| if *e.kind() == ErrorKind::UnknownOption { Err(e) } else { Ok(()) })?;
                }
            }
        }
        AlterJob::SetMode(mode) => {
            if mode != Mode::Full {
                return Err(Error::unsupported(format!("MODE {}", mode.as_str().to_uppercase())));
            }
            spec.mode = mode;
        }
        AlterJob::SetWrite { write, key } => {
            check_write_built(Some(write))?;
            spec.write = Some(write);
            spec.key = key;
        }
        AlterJob::SetOnError(on_error) => spec.on_error = on_error,
        AlterJob::AddTables(items) => {
            check_stopped(c, &before)?;
            let SyncTarget::Tables { source, selection, except, dest } = &mut spec.target else {
                return Err(Error::new(ErrorKind::Prerequisite, format!("job \"{name}\" is defined by a query"))
                    .with_hint(format!("ALTER JOB {} AS SELECT ..;", quote_ident(name))));
            };
            let added = Selection::Tables { items: items.clone() };
            let known: Vec<Path3> = base
                .mappings_of(job.id)
                .filter(|m| m.state != MappingState::Removed)
                .filter_map(|m| m.source.clone())
                .collect();
            let mut new = vec![];
            for chosen in select_tables(c, &base, source, &added, &[]).await? {
                let from = Path3 { source: source.clone(), name: chosen.name.clone() };
                if known.contains(&from) {
                    return Err(Error::new(
                        ErrorKind::DuplicateTable,
                        format!("job \"{name}\" has table {} already", chosen.name),
                    )
                    .with_table(&chosen.name.schema, &chosen.name.table));
                }
                let mut sink = chosen.rename.unwrap_or_else(|| chosen.name.clone());
                if let Some(schema) = &dest.schema {
                    sink.schema = schema.clone();
                }
                let to = Path3 { source: dest.source.clone(), name: sink };
                let mut mapping = new_mapping(c, job.id, Some(from), to, chosen.columns, chosen.filter)?;
                mapping.added_by = "alter".to_owned();
                new.push(mapping);
            }
            let mut all: Vec<Mapping> = base
                .mappings_of(job.id)
                .filter(|m| m.state != MappingState::Removed)
                .map(|m| Mapping::clone(m))
                .collect();
            all.extend(new.iter().cloned());
            check_collisions(&all)?;
            changes.extend(new.into_iter().map(Change::PutMapping));
            match selection {
                Selection::Tables { items: present } => present.extend(items),
                // The set is a rule already; a table that it leaves out is no longer left out.
                Selection::AllTables | Selection::Schemas { .. } => except.retain(|e| !items.contains(e)),
            }
        }
        AlterJob::DropTables(items) => {
            check_stopped(c, &before)?;
            let dropped = mappings_named(&base, &before, &items)?;
            if dropped.len() == base.mappings_of(job.id).filter(|m| m.state != MappingState::Removed).count() {
                return Err(Error::new(ErrorKind::Prerequisite, format!("job \"{name}\" would have no table left"))
                    .with_hint(format!("DROP JOB {};", quote_ident(name))));
            }
            changes.extend(dropped.iter().map(|m| Change::DeleteMapping(m.id)));
            if let SyncTarget::Tables { selection, except, .. } = &mut spec.target {
                match selection {
                    Selection::Tables { items: present } => {
                        let gone: Vec<_> =
                            dropped.iter().filter_map(|m| m.source.as_ref().map(|s| s.name.clone())).collect();
                        present.retain(|p| !matches!(p, TableItem::Table { name, .. } if gone.contains(name)));
                        if present.iter().any(|p| matches!(p, TableItem::Matching { .. })) {
                            except.extend(items);
                        }
                    }
                    Selection::AllTables | Selection::Schemas { .. } => except.extend(items),
                }
            }
        }
        AlterJob::Query(text) => {
            check_stopped(c, &before)?;
            let SyncTarget::Query { query, .. } = &mut spec.target else {
                return Err(Error::new(ErrorKind::Prerequisite, format!("job \"{name}\" is not defined by a query"))
                    .with_hint(format!("ALTER JOB {} ADD TABLES (..);", quote_ident(name))));
            };
            *query = text;
            let tables = tables_of(&parse_query(query)?)?;
            for table in &tables {
                crate::gateway::find_source(&base, &table.source)?;
            }
            for mapping in base.mappings_of(job.id) {
                let source = if let [one] = tables.as_slice() { Some(one.clone()) } else { None };
                changes.push(Change::PutMapping(Mapping {
                    source,
                    status: MappingStatus::Incomplete,
                    state: MappingState::Pending,
                    column_map: vec![],
                    ..Mapping::clone(mapping)
                }));
            }
        }
        AlterJob::Rename(new) => {
            if base.job(&new).is_some() {
                return Err(Error::new(ErrorKind::DuplicateObject, format!("job \"{new}\" already exists")));
            }
            job.name = new;
            is_definition = false;
        }
        AlterJob::Owner(role) => {
            job.owner = role;
            is_definition = false;
        }
    }
    job.spec = JobSpec::Sync(spec);
    if is_definition {
        job.definition_version += 1;
        if c.gateway.jobs.is_active(job.id) {
            c.session.notice(Notice::new(format!("job \"{name}\" uses the change when it next starts")));
        }
    }
    changes.push(Change::PutJob(job));
    c.apply(&base, changes, vec![]).await
}

fn check_stopped(c: &Context<'_>, job: &Job) -> Result<()> {
    if c.gateway.jobs.is_active(job.id) {
        return Err(Error::new(ErrorKind::InUse, format!("job \"{}\" is running", job.name))
            .with_hint(format!("STOP JOB {}; first.", quote_ident(&job.name))));
    }
    Ok(())
}

/// REFRESH MAPPING: asks both ends again and stores what mappings come to now.
pub(super) async fn refresh_mapping(c: &Context<'_>, name: &str, items: Vec<TableItem>) -> Result<()> {
    let base = c.snapshot();
    let job = find_job(&base, name)?;
    check_stopped(c, &job)?;
    let mappings: Vec<Arc<Mapping>> = if items.is_empty() {
        base.mappings_of(job.id).filter(|m| m.state != MappingState::Removed).cloned().collect()
    } else {
        mappings_named(&base, &job, &items)?
    };
    let mut compiler = Compiler::new(c.gateway.clone(), base.clone(), job);
    compiler.facts.session = Some(c.session.clone());
    compiler.prepare(&mappings).await?;
    let mut changes = vec![];
    for mapping in mappings {
        let mapping = match compiler.compile(&mapping, &Arc::default()).await {
            Ok(compiled) => compiled.mapping,
            Err(error) => Mapping {
                status: match error.kind() {
                    ErrorKind::TypeMismatch | ErrorKind::NoKey => MappingStatus::Failed,
                    _ => MappingStatus::Abnormal,
                },
                detail: Some(error.message().to_owned()),
                ..Mapping::clone(&mapping)
            },
        };
        changes.push(Change::PutMapping(mapping));
    }
    c.apply(&base, changes, vec![]).await
}
