//! EXPLAIN of a job: what it would read, create and write, without doing any of it.

use super::Context;
use super::job::draft;
use super::lifecycle::find_job;
use crate::outcome::Outcome;
use crate::runtime::{Compiled, Compiler, Facts, Work, misfit_error};
use catalog::definition::*;
use catalog::store::Snapshot;
use catalog::{Error, JobSpec, MappingState, Result};
use connector_api::SplitGoal;
use datafusion::physical_plan::displayable;
use planner::{CreateSyncJob, ExplainOptions};
use std::sync::Arc;

/// The one column.
pub(super) const COLUMN: &str = "QUERY PLAN";

pub(super) async fn job(c: &Context<'_>, options: ExplainOptions, name: &str) -> Result<Outcome> {
    let base = c.snapshot();
    let job = find_job(&base, name)?;
    let mappings = base.mappings_of(job.id).filter(|m| m.state != MappingState::Removed).cloned().collect();
    explain(c, options, base, job, mappings).await
}

pub(super) async fn create(c: &Context<'_>, options: ExplainOptions, new: CreateSyncJob) -> Result<Outcome> {
    let base = c.snapshot();
    let draft = draft(c, &base, &new, 0).await?;
    explain(c, options, draft.view, draft.job, draft.mappings).await
}

async fn explain(
    c: &Context<'_>,
    options: ExplainOptions,
    base: Arc<Snapshot>,
    job: Arc<Job>,
    mappings: Vec<Arc<Mapping>>,
) -> Result<Outcome> {
    if options.json {
        return Err(Error::unsupported("EXPLAIN (FORMAT JSON) of a job"));
    }
    let mut compiler = Compiler::new(c.gateway.clone(), base.clone(), job.clone());
    compiler.facts.session = Some(c.session.clone());
    compiler.prepare(&mappings).await?;
    let JobSpec::Sync(spec) = &job.spec;
    let mut lines = vec![format!(
        "Sync job {}  mode={}  write={}  state={}",
        job.name,
        spec.mode,
        spec.write.map_or("by key", |w| w.as_str()),
        job.state
    )];
    let mut compiled: Vec<(Arc<Mapping>, Result<Compiled>)> = vec![];
    for mapping in mappings {
        let result = compiler.compile(&mapping, &Arc::default()).await;
        compiled.push((mapping, result));
    }
    let read: std::collections::BTreeSet<&str> = compiler.facts.tables.keys().map(|p| p.source.as_str()).collect();
    for name in read {
        lines.push(format!("  {}   will create: nothing", end_line("Source", name, &compiler.facts)));
    }
    let created = compiled
        .iter()
        .filter(|(_, r)| r.as_ref().is_ok_and(|x| x.plan.creation_method == catalog::CreationMethod::Auto))
        .count();
    let mut sinks: Vec<&str> = compiled.iter().map(|(m, _)| m.sink.source.as_str()).collect();
    sinks.sort_unstable();
    sinks.dedup();
    for name in sinks {
        let what = if created == 0 { "nothing".to_owned() } else { format!("{created} tables") };
        lines.push(format!("  {}   will create: {what}", end_line("Sink", name, &compiler.facts)));
    }
    lines.push(format!("  Tables: {}", compiled.len()));
    let show_tables = options.tables || options.verbose || compiled.len() <= 20;
    for (mapping, result) in &compiled {
        if show_tables {
            lines.push(table_line(mapping, result));
        }
        match result {
            Ok(x) => {
                if let Some(error) = misfit_error(x) {
                    lines.push(format!("      ERROR {}: {}", error.sqlstate(), error.message()));
                    lines.extend(x.plan.misfits.iter().map(|m| format!("        {}", m.message)));
                }
                if options.ddl {
                    lines.extend(x.plan.ddl.iter().flat_map(|d| d.lines()).map(|l| format!("      {l}")));
                    lines.extend(
                        x.plan.ddl_after.iter().flat_map(|d| d.lines()).map(|l| format!("      after load: {l}")),
                    );
                }
                if options.verbose {
                    lines.extend(plan_lines(x).await?.into_iter().map(|l| format!("      {l}")));
                }
            }
            Err(error) => {
                lines.push(format!("      ERROR {}: {}", error.sqlstate(), error.message()));
                if let Some(hint) = error.hint() {
                    lines.push(format!("        HINT: {hint}"));
                }
            }
        }
    }
    Outcome::text_rows(&[COLUMN], lines.into_iter().map(|l| vec![Some(l)]).collect(), "EXPLAIN")
}

fn end_line(kind: &str, name: &str, facts: &Facts) -> String {
    let source_type = facts.sources.get(name).map_or("unknown", |s| s.source.source_type.as_str());
    format!("{kind} {name} ({source_type})")
}

fn table_line(mapping: &Mapping, result: &Result<Compiled>) -> String {
    let from = mapping.source.as_ref().map_or_else(|| "query".to_owned(), |s| s.name.to_string());
    let mut line = format!("    {from} -> {}", mapping.sink.name);
    if let Ok(x) = result {
        if !x.plan.key.is_empty() {
            line += &format!("   key ({})", x.plan.key.join(", "));
        }
        line += &format!("   {}", x.target.mode);
        if let Some(rows) = x.estimates.0 {
            line += &format!("   ~{rows} rows");
        }
        match &x.work {
            Work::Raw { format, .. } => line += &format!("   as bytes ({})", format.name),
            Work::Query { .. } => line += "   through SQL",
        }
    }
    line
}

/// The physical plan, with what is pushed down to the source. Opens the source's snapshot to cut
/// splits; reads no row.
async fn plan_lines(x: &Compiled) -> Result<Vec<String>> {
    let target =
        format!("SinkExec: table={}, write={}, key=[{}]", x.mapping.sink, x.target.mode, x.plan.key.join(", "));
    match &x.work {
        Work::Raw { read, format, slot, goal } => {
            let splits = slot.get().await?.splits(read, SplitGoal { ..*goal }).await?;
            let columns: Vec<&str> = read.columns.iter().map(|&c| read.table.columns[c].name.as_str()).collect();
            let mut line = format!(
                "  RawScanExec: table={}, columns=[{}], format={}",
                read.table.name,
                columns.join(", "),
                format.name
            );
            if !read.filters.is_empty() {
                line += &format!(", pushed filter={}", read.filters.join(" AND "));
            }
            line += &format!(", splits={}", splits.len());
            let mut lines = vec![target, line];
            lines.extend(splits.iter().map(|s| format!("    split {}: {}", s.index, s.description)));
            Ok(lines)
        }
        Work::Query { logical, context, .. } => {
            let plan = Work::physical(logical, context).await?;
            let text = displayable(plan.as_ref()).indent(true).to_string();
            let mut lines = vec![target];
            lines.extend(text.lines().map(|l| format!("  {l}")));
            Ok(lines)
        }
    }
}
