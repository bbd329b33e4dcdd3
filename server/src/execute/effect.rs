//! What begins once definitions are durable.

use super::Context;
use crate::gateway::Gateway;
use crate::outcome::Notice;
use crate::runtime::Interrupt;
use crate::session::{Effect, Session};
use catalog::Result;
use catalog::store::{Change, Snapshot};
use std::sync::Arc;

impl Context<'_> {
    /// Definitions as the session sees them.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.session.snapshot(&self.gateway.store)
    }

    /// Makes changes (durable on return outside of a block) and begins their effects.
    pub async fn apply(&self, base: &Arc<Snapshot>, changes: Vec<Change>, effects: Vec<Effect>) -> Result<()> {
        let (gateway, session, base) = (self.gateway.clone(), self.session.clone(), base.clone());
        let effects = crate::runtime::blocking(move || session.apply(&gateway.store, &base, changes, effects)).await?;
        begin(self.gateway, self.session, effects, false).await
    }

    /// A new id.
    pub fn next_id(&self) -> Result<i64> {
        self.gateway.store.next_id()
    }
}

/// COMMIT: makes the block's definitions durable, then begins their effects. The answer is the tag.
pub async fn commit(gateway: &Arc<Gateway>, session: &Arc<Session>) -> Result<&'static str> {
    let (g, s) = (gateway.clone(), session.clone());
    let (is_committed, effects) = crate::runtime::blocking(move || s.commit(&g.store)).await?;
    begin(gateway, session, effects, true).await?;
    Ok(if is_committed { "COMMIT" } else { "ROLLBACK" })
}

/// Begins effects in order. After COMMIT (`is_block`) one that cannot begin is a warning: what was
/// defined is durable by then, so an error would say the opposite of the truth and keep the effects
/// behind it from beginning.
async fn begin(gateway: &Arc<Gateway>, session: &Arc<Session>, effects: Vec<Effect>, is_block: bool) -> Result<()> {
    for effect in effects {
        match effect {
            Effect::StartJob { job_id, start } => {
                let job = gateway.store.snapshot().jobs.get(&job_id).cloned();
                match job {
                    // Created and dropped in the same block.
                    None if is_block => {}
                    Some(job) if is_block => {
                        if let Err(error) = gateway.jobs.start(gateway, job_id, start).await {
                            session.notice(
                                Notice::warning(format!("job \"{}\" was not started", job.name))
                                    .with_detail(format!("{}.", capitalized(error.message())))
                                    .with_hint(format!("START JOB {};", catalog::quote_ident(&job.name))),
                            );
                        }
                    }
                    _ => {
                        gateway.jobs.start(gateway, job_id, start).await?;
                    }
                }
            }
            Effect::StopJob(job_id) => {
                if !gateway.jobs.interrupt(gateway, job_id, Interrupt::Stop).await? {
                    session.notice(Notice::warning("the job is still stopping").with_hint("See tidegate.jobs.state."));
                }
            }
            Effect::SourceChanged(id) => gateway.discovery.invalidate(id),
            Effect::Forget { what, sink, job_id, drop_tables } => {
                let gateway_id = gateway.store.gateway_id();
                if let Err(error) = sink.forget(gateway_id, job_id, &drop_tables).await {
                    // DROP succeeds when the remote is down; what stays there is said.
                    session.notice(
                        Notice::warning(format!("{what} was dropped, but its sink could not be told"))
                            .with_detail(format!("{}.", capitalized(error.message()))),
                    );
                }
            }
        }
    }
    Ok(())
}

/// A message as the beginning of a sentence.
pub fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}
