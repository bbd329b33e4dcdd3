//! CREATE and ALTER SOURCE.

use super::Context;
use super::option::{Owner, Resolved, resolve};
use crate::gateway::find_source;
use crate::outcome::Notice;
use crate::runtime::blocking;
use crate::session::Effect;
use crate::system::source_definition;
use catalog::definition::*;
use catalog::error::nearest;
use catalog::option::check_options;
use catalog::store::{Change, Snapshot};
use catalog::{Error, ErrorKind, OptionMap, OptionValue, Result, now, quote_ident};
use connector_api::{ConfigValue, DiscoverRequest};
use planner::{AlterSource, OptionEntry};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names that `name.schema.table` and the client catalog need for themselves.
const RESERVED_NAMES: &[&str] = &["tidegate", "pg_catalog", "information_schema", "postgres"];

pub(super) struct NewSource {
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub name: String,
    pub source_type: String,
    pub type_position: usize,
    pub options: Vec<OptionEntry>,
}

/// `NOTICE 42710` of IF NOT EXISTS.
pub(super) fn exists_notice(kind: &str, name: &str) -> Notice {
    exists_notice_of(&format!("{kind} \"{name}\""))
}

/// The same for what is not named by one quoted word.
pub(super) fn exists_notice_of(what: &str) -> Notice {
    Notice::new(format!("{what} already exists, skipping")).with_code("42710")
}

/// The words for messages about a source type's options.
pub(super) fn option_words(source_type: &str) -> (String, String) {
    (format!("source type \"{source_type}\""), format!("SHOW OPTIONS FOR SOURCE TYPE {};", quote_ident(source_type)))
}

pub(super) async fn create(c: &Context<'_>, new: NewSource) -> Result<()> {
    let base = c.snapshot();
    if RESERVED_NAMES.contains(&new.name.as_str()) {
        return Err(Error::new(ErrorKind::InvalidValue, format!("\"{}\" cannot be the name of a source", new.name))
            .with_detail("The gateway uses this name itself."));
    }
    let specs = c.gateway.connectors.options(&new.source_type).map_err(|e| e.with_position(new.type_position))?;
    let existing = base.source(&new.name).cloned();
    let id = match &existing {
        Some(source) if new.or_replace || new.if_not_exists => source.id,
        Some(_) => {
            return Err(Error::new(ErrorKind::DuplicateObject, format!("source \"{}\" already exists", new.name))
                .with_hint(format!("ALTER SOURCE {} SET (..);", quote_ident(&new.name))));
        }
        None => c.next_id()?,
    };
    let empty = OptionMap::new();
    let current = existing.as_ref().map_or(&empty, |s| &s.options);
    let owner = Owner { source_id: id, name: &new.name, role: &c.session.role, current };
    let (of_what, see) = option_words(&new.source_type);
    let resolved = resolve(&new.options, &specs, &base, &owner, || c.next_id(), (&of_what, &see))?;
    check_options(&resolved.options, &specs, true, &of_what, &see)?;

    if let (Some(existing), true) = (&existing, new.if_not_exists && !new.or_replace) {
        c.session.notice(exists_notice("source", &new.name));
        let differing = differing_options(existing, &new.source_type, &resolved, &base);
        if !differing.is_empty() {
            c.session.notice(Notice::warning(format!(
                "existing definition of source \"{}\" differs ({})",
                new.name,
                differing.join(", ")
            )));
        }
        return Ok(());
    }
    let source = Source {
        id,
        name: new.name.clone(),
        source_type: new.source_type,
        options: resolved.options.clone(),
        owner: c.session.role.clone(),
        comment: existing.as_ref().and_then(|s| s.comment.clone()),
        created_at: existing.as_ref().map_or_else(now, |s| s.created_at),
        altered_at: now(),
    };
    try_connect(c, &base, &source, &resolved).await?;
    let mut changes = resolved.changes;
    changes.extend(abandoned_secrets(existing.as_deref(), &source, &base));
    changes.push(Change::PutSource(source));
    c.apply(&base, changes, vec![Effect::SourceChanged(id)]).await?;
    for notice in resolved.notices {
        c.session.notice(notice);
    }
    Ok(())
}

/// Options whose value is another one in an existing source; a literal secret is not compared,
/// because it cannot be read back.
fn differing_options(existing: &Source, source_type: &str, resolved: &Resolved, snapshot: &Snapshot) -> Vec<String> {
    let mut names = vec![];
    if existing.source_type != source_type {
        names.push("type".to_owned());
    }
    let is_own = |v: &OptionValue| matches!(v, OptionValue::Secret(id) if snapshot.secrets.get(id).is_none_or(|s| s.owned_by_source.is_some()));
    let keys: std::collections::BTreeSet<&String> = existing.options.keys().chain(resolved.options.keys()).collect();
    for key in keys {
        let (before, after) = (existing.options.get(key), resolved.options.get(key));
        let both_own = before.is_some_and(is_own) && after.is_some_and(is_own);
        if before != after && !both_own {
            names.push(key.clone());
        }
    }
    names
}

/// Secrets that a source made for itself and uses no more.
fn abandoned_secrets(before: Option<&Source>, after: &Source, snapshot: &Snapshot) -> Vec<Change> {
    let kept = |id: &i64| after.options.values().any(|v| *v == OptionValue::Secret(*id));
    before
        .iter()
        .flat_map(|s| s.options.values())
        .filter_map(|v| if let OptionValue::Secret(id) = v { Some(*id) } else { None })
        .filter(|id| !kept(id) && snapshot.secrets.get(id).is_some_and(|s| s.owned_by_source.is_some()))
        .map(Change::DeleteSecret)
        .collect()
}

/// Reads nothing but proves that the source answers; CREATE and ALTER fail when it does not.
async fn try_connect(c: &Context<'_>, base: &Arc<Snapshot>, source: &Source, resolved: &Resolved) -> Result<()> {
    let connector = c.gateway.connectors.get(&source.source_type)?.clone();
    let mut options = BTreeMap::new();
    for (name, value) in &source.options {
        let value = match value {
            OptionValue::Text(text) => ConfigValue::Text(text.clone()),
            OptionValue::List(list) => ConfigValue::List(list.clone()),
            OptionValue::Secret(id) => ConfigValue::Secret(secret_value(c, resolved, base, *id).await?),
        };
        options.insert(name.clone(), value);
    }
    let labels = labels(source, base);
    let config = c.gateway.configure(&connector, &source.name, source.id, options, labels)?;
    let probe = DiscoverRequest::List { schemas: vec!["tidegate".to_owned()] };
    connector.discover(&config, &probe).await.map(|_| ())
}

fn labels(source: &Source, snapshot: &Snapshot) -> BTreeMap<String, String> {
    source
        .options
        .iter()
        .filter_map(|(name, value)| {
            let OptionValue::Secret(id) = value else { return None };
            let secret = snapshot.secrets.get(id).filter(|s| s.owned_by_source.is_none())?;
            Some((name.clone(), format!("Secret \"{}\" version {}", secret.name, secret.version)))
        })
        .collect()
}

/// A secret's value as this session sees it: also one that the statement or the block makes.
pub(super) async fn secret_value(
    c: &Context<'_>,
    resolved: &Resolved,
    base: &Arc<Snapshot>,
    id: i64,
) -> Result<catalog::store::SecretText> {
    let pending = resolved.changes.iter().find_map(|change| match change {
        Change::PutSecret { secret, value: Some(value) } if secret.id == id => Some(value.clone()),
        _ => None,
    });
    if let Some(value) = pending.or_else(|| c.session.pending_secret(id)) {
        return Ok(value);
    }
    let stored_version = c.gateway.store.snapshot().secrets.get(&id).map(|s| s.version);
    if stored_version.is_none()
        && let Some(secret) = base.secrets.get(&id)
    {
        return match &secret.backend {
            SecretBackend::Env { variable } => {
                std::env::var(variable).map(catalog::store::SecretText::new).map_err(|_| {
                    Error::new(ErrorKind::InvalidValue, format!("environment variable \"{variable}\" is not set"))
                })
            }
            SecretBackend::File { path } => std::fs::read_to_string(path)
                .map(|t| catalog::store::SecretText::new(t.strip_suffix('\n').unwrap_or(&t).to_owned()))
                .map_err(|e| {
                    Error::new(ErrorKind::Io, format!("could not read secret file \"{path}\"")).with_source(e)
                }),
            SecretBackend::Store => Err(Error::internal("a secret of this transaction has no value")),
        };
    }
    let gateway = c.gateway.clone();
    blocking(move || gateway.store.secret_value(id)).await
}

pub(super) async fn alter(c: &Context<'_>, name: &str, action: AlterSource) -> Result<()> {
    let base = c.snapshot();
    let before = find_source(&base, name)?;
    let mut source = Source::clone(&before);
    source.altered_at = now();
    let specs = c.gateway.connectors.options(&source.source_type)?;
    let (of_what, see) = option_words(&source.source_type);
    let mut changes = vec![];
    let mut notices = vec![];
    match action {
        AlterSource::Set(entries) => {
            let owner = Owner { source_id: source.id, name, role: &c.session.role, current: &before.options };
            let resolved = resolve(&entries, &specs, &base, &owner, || c.next_id(), (&of_what, &see))?;
            for default in &resolved.defaults {
                source.options.remove(default);
            }
            source.options.extend(resolved.options.clone());
            check_options(&source.options, &specs, true, &of_what, &see)?;
            try_connect(c, &base, &source, &resolved).await?;
            changes.extend(resolved.changes);
            notices = resolved.notices;
        }
        AlterSource::Reset(names) => {
            for option in names {
                if source.options.remove(&option).is_none() && !specs.iter().any(|s| s.name == option) {
                    let near = nearest(&option, specs.iter().map(|s| s.name));
                    let hint = near.map(|n| format!("Perhaps you meant \"{n}\". ")).unwrap_or_default();
                    return Err(Error::new(
                        ErrorKind::UnknownOption,
                        format!("unrecognized option \"{option}\" for {of_what}"),
                    )
                    .with_hint(format!("{hint}See: {see}")));
                }
            }
            check_options(&source.options, &specs, true, &of_what, &see)?;
            try_connect(c, &base, &source, &Resolved::default()).await?;
        }
        AlterSource::Rename(new) => {
            changes.extend(rename(c, &base, name, &new)?);
            source.name = new;
        }
        AlterSource::Owner(role) => source.owner = role,
        AlterSource::Refresh(_) => {
            c.gateway.discovery.invalidate(source.id);
            return Ok(());
        }
    }
    let running: Vec<String> = base
        .users_of_source(name)
        .filter(|j| c.gateway.jobs.is_active(j.id))
        .map(|j| format!("\"{}\"", j.name))
        .collect();
    if !running.is_empty() {
        c.session
            .notice(Notice::new(format!("running jobs use the change when they next start: {}", running.join(", "))));
    }
    changes.extend(abandoned_secrets(Some(&before), &source, &base));
    let id = source.id;
    changes.push(Change::PutSource(source));
    c.apply(&base, changes, vec![Effect::SourceChanged(id)]).await?;
    for notice in notices {
        c.session.notice(notice);
    }
    Ok(())
}

/// Everything that names the source by its old name.
fn rename(c: &Context<'_>, base: &Arc<Snapshot>, old: &str, new: &str) -> Result<Vec<Change>> {
    if RESERVED_NAMES.contains(&new) {
        return Err(Error::new(ErrorKind::InvalidValue, format!("\"{new}\" cannot be the name of a source")));
    }
    if base.source(new).is_some() {
        return Err(Error::new(ErrorKind::DuplicateObject, format!("source \"{new}\" already exists")));
    }
    let mut changes = vec![];
    for job in base.users_of_source(old) {
        let JobSpec::Sync(spec) = &job.spec;
        if c.gateway.jobs.is_active(job.id) {
            return Err(Error::new(
                ErrorKind::InUse,
                format!("source \"{old}\" is used by running job \"{}\"", job.name),
            )
            .with_hint(format!("STOP JOB {};", quote_ident(&job.name))));
        }
        let mut spec = spec.clone();
        match &mut spec.target {
            SyncTarget::Query { .. } => {
                return Err(Error::new(
                    ErrorKind::Dependents,
                    format!("cannot rename source \"{old}\": a query names it"),
                )
                .with_detail(format!("Job \"{}\" is defined by AS SELECT.", job.name))
                .with_hint(format!(
                    "DROP JOB {}; rename the source, then create the job again.",
                    quote_ident(&job.name)
                )));
            }
            SyncTarget::Tables { source, dest, .. } => {
                for name in [source, &mut dest.source] {
                    if name == old {
                        *name = new.to_owned();
                    }
                }
            }
        }
        for mapping in base.mappings_of(job.id) {
            let mut mapping = Mapping::clone(mapping);
            for path in [Some(&mut mapping.sink), mapping.source.as_mut()].into_iter().flatten() {
                if path.source == old {
                    path.source = new.to_owned();
                }
            }
            changes.push(Change::PutMapping(mapping));
        }
        changes.push(Change::PutJob(Job { spec: JobSpec::Sync(spec), altered_at: now(), ..Job::clone(job) }));
    }
    for table in base.sink_tables.values().filter(|t| t.path.source == old) {
        let mut table = SinkTable::clone(table);
        table.path.source = new.to_owned();
        table.altered_at = now();
        changes.push(Change::PutSinkTable(table));
    }
    Ok(changes)
}

/// The statement that makes the source again.
pub(super) fn definition(snapshot: &Snapshot, source: &Source) -> String {
    source_definition(snapshot, source)
}
