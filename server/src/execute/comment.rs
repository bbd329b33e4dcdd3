//! COMMENT ON.

use super::Context;
use super::lifecycle::find_job;
use super::option::find_secret;
use crate::gateway::find_source;
use catalog::definition::*;
use catalog::store::{Change, Snapshot};
use catalog::{Error, ErrorKind, Path3, Result};
use planner::{ObjectKind, ObjectName};
use std::sync::Arc;

/// The path of a table's name; the parser gives tables three parts.
pub(super) fn path(name: &ObjectName) -> Result<&Path3> {
    match name {
        ObjectName::Path(path) => Ok(path),
        ObjectName::Simple(name) => {
            Err(Error::new(ErrorKind::Syntax, format!("\"{name}\" is not a three-part name: source.schema.table")))
        }
    }
}

/// The simple name of an object that is not a table.
pub(super) fn simple(name: &ObjectName) -> Result<&str> {
    match name {
        ObjectName::Simple(name) => Ok(name),
        ObjectName::Path(path) => Err(Error::new(ErrorKind::Syntax, format!("\"{path}\" is not a simple name"))),
    }
}

/// The sink table of this path, or 42704.
pub(super) fn find_sink_table(snapshot: &Snapshot, path: &Path3) -> Result<Arc<SinkTable>> {
    snapshot.sink_table(path).cloned().ok_or_else(|| {
        Error::new(ErrorKind::UndefinedObject, format!("sink table {path} does not exist"))
            .with_hint("See: SHOW SINK TABLES;")
    })
}

pub(super) async fn comment(c: &Context<'_>, kind: ObjectKind, name: ObjectName, text: Option<String>) -> Result<()> {
    let base = c.snapshot();
    let change = match kind {
        ObjectKind::Secret => {
            let secret = Secret::clone(find_secret(&base, simple(&name)?)?);
            Change::PutSecret { secret: Secret { comment: text, ..secret }, value: None }
        }
        ObjectKind::Source => {
            let source = Source::clone(&*find_source(&base, simple(&name)?)?);
            Change::PutSource(Source { comment: text, ..source })
        }
        ObjectKind::SinkTable => {
            let table = SinkTable::clone(&*find_sink_table(&base, path(&name)?)?);
            Change::PutSinkTable(SinkTable { comment: text, ..table })
        }
        ObjectKind::Job => {
            let job = Job::clone(&*find_job(&base, simple(&name)?)?);
            Change::PutJob(Job { comment: text, ..job })
        }
        ObjectKind::SourceTable => return Err(Error::unsupported("COMMENT ON SOURCE TABLE")),
    };
    c.apply(&base, vec![change], vec![]).await
}
