//! DROP: dependents first, definitions in one transaction, the remote told after it.

use super::Context;
use super::comment::{path, simple};
use super::effect::capitalized;
use super::lifecycle::find_job;
use crate::outcome::Notice;
use crate::runtime::{Interrupt, blocking};
use crate::session::{Effect, TransactionStatus};
use crate::system::ends_of;
use catalog::definition::*;
use catalog::store::{Change, Snapshot};
use catalog::{Error, ErrorKind, JobState, OptionValue, Result, TableName, quote_ident};
use connector_api::Sink;
use planner::{ObjectKind, ObjectName};
use std::sync::Arc;

struct Dropping {
    changes: Vec<Change>,
    effects: Vec<Effect>,
    jobs: Vec<i64>,
    /// What goes because something that was named goes.
    dependents: Vec<String>,
}

pub(super) async fn drop_objects(
    c: &Context<'_>,
    kind: ObjectKind,
    if_exists: bool,
    names: Vec<ObjectName>,
    cascade: bool,
    including_remote_table: bool,
) -> Result<()> {
    let base = c.snapshot();
    let mut d = Dropping { changes: vec![], effects: vec![], jobs: vec![], dependents: vec![] };
    for name in &names {
        let dropped = match kind {
            ObjectKind::Secret => drop_secret(c, &base, simple(name)?, cascade, &mut d).await,
            ObjectKind::Source => drop_source(c, &base, simple(name)?, cascade, &mut d).await,
            ObjectKind::SinkTable => drop_sink_table(c, &base, name, including_remote_table, cascade, &mut d).await,
            ObjectKind::Job => match find_job(&base, simple(name)?) {
                Ok(job) => drop_job(c, &base, &job, cascade, &mut d).await,
                Err(e) => Err(e),
            },
            ObjectKind::SourceTable => Err(Error::unsupported("DROP SOURCE TABLE")),
        };
        match dropped {
            Err(e) if if_exists && *e.kind() == ErrorKind::UndefinedObject => {
                c.session.notice(Notice::new(format!("{} \"{name}\" does not exist, skipping", kind.word())));
            }
            other => other?,
        }
    }
    c.apply(&base, d.changes, d.effects).await?;
    match d.dependents.as_slice() {
        [] => {}
        [one] => c.session.notice(Notice::new(format!("drop cascades to {one}"))),
        many => c.session.notice(
            Notice::new(format!("drop cascades to {} other objects", many.len()))
                .with_detail(format!("{}.", capitalized(&many.join(", ")))),
        ),
    }
    Ok(())
}

fn dependents(what: &str, detail: String, hint: String) -> Error {
    Error::new(ErrorKind::Dependents, format!("cannot drop {what} because other objects depend on it"))
        .with_detail(detail)
        .with_hint(hint)
}

async fn drop_secret(c: &Context<'_>, base: &Arc<Snapshot>, name: &str, cascade: bool, d: &mut Dropping) -> Result<()> {
    let secret = super::option::find_secret(base, name)?;
    let users: Vec<Arc<Source>> = base.users_of_secret(secret.id).cloned().collect();
    if !users.is_empty() && !cascade {
        let list: Vec<String> = users.iter().map(|s| format!("source \"{}\"", s.name)).collect();
        return Err(dependents(
            &format!("secret \"{name}\""),
            format!("{}.", capitalized(&list.join(", "))),
            format!("Give those sources another secret, or DROP SECRET {} CASCADE;", quote_ident(name)),
        ));
    }
    for source in users {
        d.dependents.push(format!("source \"{}\"", source.name));
        drop_source(c, base, &source.name, true, d).await?;
    }
    d.changes.push(Change::DeleteSecret(secret.id));
    Ok(())
}

async fn drop_source(c: &Context<'_>, base: &Arc<Snapshot>, name: &str, cascade: bool, d: &mut Dropping) -> Result<()> {
    let source = crate::gateway::find_source(base, name)?;
    let jobs: Vec<Arc<Job>> = base.users_of_source(name).cloned().collect();
    let tables: Vec<Arc<SinkTable>> = base.sink_tables.values().filter(|t| t.path.source == name).cloned().collect();
    if !(cascade || jobs.is_empty() && tables.is_empty()) {
        let list: Vec<String> = jobs
            .iter()
            .map(|j| format!("sync job \"{}\" ({})", j.name, j.state))
            .chain(tables.iter().map(|t| format!("sink table {}", t.path)))
            .collect();
        return Err(dependents(
            &format!("source \"{name}\""),
            format!("{}.", capitalized(&list.join(", "))),
            format!("STOP and DROP those first, or DROP SOURCE {} CASCADE;", quote_ident(name)),
        ));
    }
    for job in jobs {
        if !d.jobs.contains(&job.id) {
            d.dependents.push(format!("sync job \"{}\"", job.name));
            drop_job(c, base, &job, true, d).await?;
        }
    }
    d.dependents.extend(tables.iter().map(|t| format!("sink table {}", t.path)));
    d.changes.extend(tables.iter().map(|t| Change::DeleteSinkTable(t.id)));
    d.changes.push(Change::DeleteSource(source.id));
    for value in source.options.values() {
        if let OptionValue::Secret(id) = value
            && base.secrets.get(id).is_some_and(|s| s.owned_by_source == Some(source.id))
        {
            d.changes.push(Change::DeleteSecret(*id));
        }
    }
    d.effects.push(Effect::SourceChanged(source.id));
    Ok(())
}

/// The sink of a source, when its configuration can be resolved; a DROP does not fail for it.
async fn sink_of(c: &Context<'_>, base: &Arc<Snapshot>, name: &str) -> Option<Arc<dyn Sink>> {
    let source = base.source(name)?.clone();
    let (gateway, session, snapshot) = (c.gateway.clone(), c.session.clone(), base.clone());
    let resolved = blocking(move || gateway.resolve_in(Some(&session), &snapshot, &source)).await;
    let (connector, config) = resolved.ok()?;
    connector.sink(&config).ok()
}

async fn drop_job(
    c: &Context<'_>,
    base: &Arc<Snapshot>,
    job: &Arc<Job>,
    cascade: bool,
    d: &mut Dropping,
) -> Result<()> {
    if c.gateway.jobs.is_active(job.id) {
        if !cascade {
            return Err(Error::new(ErrorKind::InUse, format!("job \"{}\" is running", job.name))
                .with_hint(format!("STOP JOB {0}; first, or DROP JOB {0} CASCADE;", quote_ident(&job.name))));
        }
        if c.session.status() == TransactionStatus::InBlock {
            // A ROLLBACK must find it running.
            d.effects.push(Effect::StopJob(job.id));
        } else if !c.gateway.jobs.interrupt(c.gateway, job.id, Interrupt::Stop).await? {
            return Err(Error::new(ErrorKind::InUse, format!("job \"{}\" is still stopping", job.name))
                .with_hint("Try again when tidegate.jobs.state is stopped."));
        }
    }
    let (_, sink_name) = ends_of(job, base);
    // A job that never ran has left nothing at its sink.
    if job.state != JobState::Created
        && let Some(sink) = sink_of(c, base, &sink_name).await
    {
        let what = format!("job \"{}\"", job.name);
        d.effects.push(Effect::Forget { what, sink, job_id: Some(job.id), drop_tables: vec![] });
    }
    d.jobs.push(job.id);
    d.changes.push(Change::DeleteJob(job.id));
    Ok(())
}

async fn drop_sink_table(
    c: &Context<'_>,
    base: &Arc<Snapshot>,
    name: &ObjectName,
    including_remote_table: bool,
    cascade: bool,
    d: &mut Dropping,
) -> Result<()> {
    let table = super::comment::find_sink_table(base, path(name)?)?;
    let writers: Vec<Arc<Job>> = base
        .jobs
        .values()
        .filter(|j| base.mappings_of(j.id).any(|m| m.sink == table.path && m.state != catalog::MappingState::Removed))
        .cloned()
        .collect();
    if !writers.is_empty() && !cascade {
        let list: Vec<String> = writers.iter().map(|j| format!("sync job \"{}\" ({})", j.name, j.state)).collect();
        return Err(dependents(
            &format!("sink table {}", table.path),
            format!("{}.", capitalized(&list.join(", "))),
            format!("STOP and DROP those first, or DROP SINK TABLE {} CASCADE;", table.path),
        ));
    }
    for job in writers {
        if !d.jobs.contains(&job.id) {
            d.dependents.push(format!("sync job \"{}\"", job.name));
            drop_job(c, base, &job, true, d).await?;
        }
    }
    d.changes.push(Change::DeleteSinkTable(table.id));
    if including_remote_table {
        let Some(sink) = sink_of(c, base, &table.path.source).await else {
            return Err(Error::new(ErrorKind::Prerequisite, format!("the sink of {} cannot be used", table.path))
                .with_hint("DROP SINK TABLE without INCLUDING REMOTE TABLE leaves the remote table alone."));
        };
        let drop_tables: Vec<TableName> = vec![table.path.name.clone()];
        d.effects.push(Effect::Forget { what: format!("sink table {}", table.path), sink, job_id: None, drop_tables });
    }
    Ok(())
}
