//! SHOW and DESCRIBE as SELECTs over the system tables.

use super::Context;
use crate::outcome::{Outcome, OutputColumn};
use crate::query;
use catalog::{Error, ErrorKind, Result};
use planner::Statement;

async fn planned(c: &Context<'_>, sql: &str) -> Result<query::PlannedQuery> {
    let statement = planner::parse(sql)?.pop().map(|p| p.statement);
    let Some(Statement::Sql(statement)) = statement else {
        return Err(Error::new(ErrorKind::Internal, "a system query did not parse"));
    };
    query::plan(c.gateway, c.session, &statement, sql, &[]).await
}

/// The columns of a system query.
pub(super) async fn columns(c: &Context<'_>, sql: &str) -> Result<Vec<OutputColumn>> {
    Ok(planned(c, sql).await?.columns)
}

/// Runs a system query.
pub(super) async fn rows(c: &Context<'_>, sql: &str, tag: &'static str) -> Result<Outcome> {
    let planned = planned(c, sql).await?;
    let rows = planned.execute(c.gateway, c.session, vec![]).await?;
    Ok(Outcome::Rows { columns: planned.columns, rows, tag })
}
