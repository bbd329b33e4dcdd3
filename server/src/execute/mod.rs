//! Our own statements: one closed match over [`planner::Statement`], catalog transaction first,
//! side effects after.

use crate::gateway::Gateway;
use crate::outcome::{Outcome, OutputColumn};
use crate::session::Session;
use catalog::{Error, Result};
use planner::Statement;
use std::sync::Arc;

/// Runs one of our statements (anything but `Sql` and `Session`, which the front handles).
pub async fn execute(_gateway: &Arc<Gateway>, _session: &Arc<Session>, _statement: Statement) -> Result<Outcome> {
    Err(Error::unsupported("this"))
}

/// The columns that [`execute`] will give; None for a statement without rows.
pub async fn describe(
    _gateway: &Arc<Gateway>,
    _session: &Arc<Session>,
    _statement: &Statement,
) -> Result<Option<Vec<OutputColumn>>> {
    Ok(None)
}

/// COMMIT: makes the block's definitions durable, then begins their effects. The answer is the tag.
pub async fn commit(_gateway: &Arc<Gateway>, _session: &Arc<Session>) -> Result<&'static str> {
    Ok("COMMIT")
}
