//! Our own statements: one closed match over [`planner::Statement`], catalog transaction first,
//! side effects after.

mod comment;
mod drop;
mod effect;
mod explain;
mod job;
mod lifecycle;
mod option;
mod secret;
mod select;
mod selection;
mod show;
mod sink_table;
mod source;
mod validate;
mod wait;

use crate::gateway::Gateway;
use crate::outcome::{Outcome, OutputColumn};
use crate::session::Session;
use catalog::{Error, Result};
use planner::Statement;
use std::sync::Arc;

pub use effect::commit;

/// What a statement needs at hand.
pub(crate) struct Context<'a> {
    pub gateway: &'a Arc<Gateway>,
    pub session: &'a Arc<Session>,
}

/// Runs one of our statements (anything but `Sql` and `Session`, which the front handles).
pub async fn execute(gateway: &Arc<Gateway>, session: &Arc<Session>, statement: Statement) -> Result<Outcome> {
    let tag = planner::command_tag(&statement);
    let c = Context { gateway, session };
    match statement {
        Statement::Sql(_) | Statement::Session(_) => {
            Err(Error::internal("a statement of stock SQL came to the wrong place"))
        }
        Statement::NotBuilt { what, position } => Err(Error::unsupported(what).with_position(position)),
        Statement::CreateSecret { or_replace, if_not_exists, name, value } => {
            secret::create(&c, or_replace, if_not_exists, name, value).await?;
            Ok(Outcome::done(tag))
        }
        Statement::AlterSecret { name, action } => {
            secret::alter(&c, &name, action).await?;
            Ok(Outcome::done(tag))
        }
        Statement::CreateSource { or_replace, if_not_exists, name, source_type, type_position, options } => {
            let new = source::NewSource { or_replace, if_not_exists, name, source_type, type_position, options };
            source::create(&c, new).await?;
            Ok(Outcome::done(tag))
        }
        Statement::AlterSource { name, action } => {
            source::alter(&c, &name, action).await?;
            Ok(Outcome::done(tag))
        }
        Statement::ValidateSource { target, purposes, tables, timeout } => {
            validate::validate(&c, target, purposes, tables, timeout).await
        }
        Statement::CreateSinkTable { if_not_exists, path, shape, added_columns, partition_by, properties, options } => {
            let new = sink_table::NewSinkTable {
                if_not_exists,
                path,
                shape,
                added_columns,
                partition_by,
                properties,
                options,
            };
            sink_table::create(&c, new).await?;
            Ok(Outcome::done(tag))
        }
        Statement::CreateSyncJob(new) => {
            job::create(&c, *new).await?;
            Ok(Outcome::done(tag))
        }
        Statement::AlterJob { name, action } => {
            job::alter(&c, &name, action).await?;
            Ok(Outcome::done(tag))
        }
        Statement::StartJob { name, from } => {
            lifecycle::start(&c, &name, from).await?;
            Ok(Outcome::done(tag))
        }
        Statement::StopJob { name, savepoint, force } => {
            lifecycle::stop(&c, &name, savepoint, force).await?;
            Ok(Outcome::done(tag))
        }
        Statement::RunJob { name, for_time } => {
            lifecycle::run(&c, &name, for_time).await?;
            Ok(Outcome::done(tag))
        }
        Statement::CancelRun { name, run } => {
            lifecycle::cancel(&c, &name, run).await?;
            Ok(Outcome::done(tag))
        }
        Statement::RetryJob { name, what } => {
            lifecycle::retry(&c, &name, what).await?;
            Ok(Outcome::done(tag))
        }
        Statement::WaitForJob { name, what, timeout } => {
            wait::wait(&c, &name, what, timeout).await?;
            Ok(Outcome::done(tag))
        }
        Statement::RefreshMapping { name, tables } => {
            job::refresh_mapping(&c, &name, tables).await?;
            Ok(Outcome::done(tag))
        }
        Statement::Drop { kind, if_exists, names, cascade, including_remote_table, purge: _, keep_slot } => {
            // Objects are dropped for good: there is no recycle bin yet, so PURGE is what happens.
            if keep_slot {
                return Err(Error::unsupported("KEEP SLOT"));
            }
            drop::drop_objects(&c, kind, if_exists, names, cascade, including_remote_table).await?;
            Ok(Outcome::done(tag))
        }
        Statement::Show(show) => show::show(&c, show).await,
        Statement::Describe { kind, name } => show::describe_object(&c, kind, name).await,
        Statement::Comment { kind, name, text } => {
            comment::comment(&c, kind, name, text).await?;
            Ok(Outcome::done(tag))
        }
        Statement::ExplainJob { options, name } => explain::job(&c, options, &name).await,
        Statement::ExplainCreateJob { options, job } => explain::create(&c, options, *job).await,
    }
}

/// The columns that [`execute`] will give; None for a statement without rows.
pub async fn describe(
    gateway: &Arc<Gateway>,
    session: &Arc<Session>,
    statement: &Statement,
) -> Result<Option<Vec<OutputColumn>>> {
    if !planner::returns_rows(statement) {
        return Ok(None);
    }
    let c = Context { gateway, session };
    match statement {
        Statement::Show(shown) => show::columns(&c, shown).await.map(Some),
        Statement::ValidateSource { .. } => Ok(Some(validate::columns())),
        Statement::Describe { .. } => Ok(Some(show::DESCRIBE_COLUMNS.iter().map(|n| OutputColumn::text(n)).collect())),
        _ => Ok(Some(vec![OutputColumn::text(explain::COLUMN)])),
    }
}
