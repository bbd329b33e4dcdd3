//! The connections of one snapshot: the coordinator, whose transaction the snapshot is, and the
//! workers that have imported it.

use crate::client::{Busy, Client, connect, lost_error};
use catalog::{Error, ErrorKind, Result};
use connector_api::SourceConfig;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Statements that a reading session needs beside those of every session: where row-level
/// security would hide rows, the server then answers with an error instead.
pub(crate) const READING_SESSION: &str = "SET row_security TO off";
/// A transaction that sees one snapshot and can write nothing.
pub(crate) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// Connections that all see the same snapshot.
///
/// With one connection allowed, the coordinator reads too, within a savepoint, so that a read that
/// is given up does not end the snapshot.
pub(crate) struct Pool {
    config: SourceConfig,
    snapshot_id: String,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Client>>,
    coordinator: Option<Client>,
    is_lost: AtomicBool,
}

impl Pool {
    /// A pool around the coordinator, which has exported `snapshot_id`.
    pub(crate) fn new(
        config: SourceConfig,
        coordinator: Client,
        snapshot_id: String,
        connections_max: usize,
    ) -> Arc<Self> {
        let is_alone = connections_max <= 1;
        let (coordinator, idle) = if is_alone { (None, vec![coordinator]) } else { (Some(coordinator), vec![]) };
        Arc::new(Self {
            config,
            snapshot_id,
            permits: Arc::new(Semaphore::new(connections_max.saturating_sub(1).max(1))),
            idle: Mutex::new(idle),
            coordinator,
            is_lost: AtomicBool::new(false),
        })
    }

    /// The source that it connects to.
    pub(crate) fn config(&self) -> &SourceConfig {
        &self.config
    }

    /// The coordinator, for looking at the catalogs without waiting for a worker; None when it is
    /// the only connection and reads too. An error of a statement on it ends the snapshot.
    pub(crate) fn coordinator(&self) -> Option<&Client> {
        self.coordinator.as_ref()
    }

    /// Fails when the snapshot is lost.
    pub(crate) fn check(&self) -> Result<()> {
        let is_closed = self.coordinator.as_ref().is_some_and(|client| client.is_closed());
        if is_closed || self.is_lost.load(Ordering::Acquire) {
            return Err(self.lost());
        }
        Ok(())
    }

    fn lost(&self) -> Error {
        lost_error(&self.config, "keep the snapshot open")
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Client>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that sees the snapshot; waits while all are in use.
    pub(crate) async fn acquire(self: &Arc<Self>) -> Result<Lease> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| self.lost())?;
        self.check()?;
        let idle = loop {
            // Its own statement, so that the lock is not held over the check.
            let client = self.idle().pop();
            match client {
                Some(client) if client.is_closed() => continue,
                other => break other,
            }
        };
        let is_coordinator = self.coordinator.is_none();
        let client = match idle {
            Some(client) => client,
            None if is_coordinator => {
                self.is_lost.store(true, Ordering::Release);
                return Err(self.lost());
            }
            None => self.import().await?,
        };
        let lease =
            Lease { client: Some(client), busy: None, permit: Some(permit), pool: self.clone(), is_coordinator };
        if is_coordinator {
            lease.client()?.run("set a savepoint", lease.client()?.batch_execute("SAVEPOINT tidegate_read")).await?;
        }
        Ok(lease)
    }

    async fn import(&self) -> Result<Client> {
        let client = connect(&self.config, "read").await?;
        let import = format!("{READING_SESSION}; {BEGIN}; SET TRANSACTION SNAPSHOT '{}'", self.snapshot_id);
        if let Err(error) = client.run("import the snapshot", client.batch_execute(&import)).await {
            // The server knows no such snapshot when the transaction that exported it has ended.
            return Err(match error.kind() {
                ErrorKind::Remote(code) if code == "22023" => self.lost().with_source(error),
                ErrorKind::UndefinedObject | ErrorKind::InvalidValue => self.lost().with_source(error),
                _ => error,
            });
        }
        Ok(client)
    }
}

/// A connection on loan. Dropped without [`Lease::finish`], what it was doing is canceled on the
/// server and the connection is not used again.
pub(crate) struct Lease {
    client: Option<Client>,
    busy: Option<Busy>,
    permit: Option<OwnedSemaphorePermit>,
    pool: Arc<Pool>,
    is_coordinator: bool,
}

impl Lease {
    /// The connection.
    pub(crate) fn client(&self) -> Result<&Client> {
        self.client.as_ref().ok_or_else(|| Error::internal("a connection was used after it was given back"))
    }
    /// Says that a statement is under way until `finish` or `fail`.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.busy = Some(self.client()?.busy());
        Ok(())
    }
    /// The statement has ended well: the connection may be used by others.
    pub(crate) fn finish(mut self) {
        self.busy = None;
        let (Some(client), Some(permit)) = (self.client.take(), self.permit.take()) else { return };
        if self.is_coordinator {
            recover(client, false, self.pool.clone(), permit);
        } else {
            self.pool.idle().push(client);
        }
    }
    /// The statement has failed on the server: there is nothing to cancel, and the transaction is
    /// of no more use.
    pub(crate) fn fail(mut self) {
        self.busy = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(client), Some(permit)) = (self.client.take(), self.permit.take()) else { return };
        if self.is_coordinator {
            recover(client, self.busy.take().is_some(), self.pool.clone(), permit);
        } else {
            // While it is marked busy, dropping it cancels its statement.
            drop(client);
            self.busy = None;
        }
    }
}

/// Takes the coordinator's transaction back to its savepoint and gives it back.
fn recover(client: Client, has_statement: bool, pool: Arc<Pool>, permit: OwnedSemaphorePermit) {
    let runtime = client.runtime().clone();
    runtime.spawn(async move {
        if has_statement {
            client.cancel().await;
        }
        // A cancel request that arrives late may hit this statement instead of the read.
        for _ in 0..3 {
            match client.batch_execute("ROLLBACK TO SAVEPOINT tidegate_read; RELEASE SAVEPOINT tidegate_read").await {
                Ok(()) => {
                    pool.idle().push(client);
                    drop(permit);
                    return;
                }
                Err(error) if error.as_db_error().is_some() => continue,
                Err(_) => break,
            }
        }
        pool.is_lost.store(true, Ordering::Release);
    });
}
