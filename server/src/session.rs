//! One client's session: who it is, its settings, its transaction, and what it is doing.
//!
//! A session knows nothing of the wire. It is shared by the connection that owns it, the registry
//! that `stat_activity` reads, and the statements that run in it.

use crate::outcome::Notice;
use crate::settings::Settings;
use catalog::definition::Timestamp;
use catalog::now;
use catalog::store::{Change, Snapshot, Store};
use catalog::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use tokio::sync::{mpsc, watch};

/// The transaction status that ReadyForQuery shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// Outside of a block.
    Idle,
    /// Inside of a block.
    InBlock,
    /// Inside of a block that has failed.
    Failed,
}

/// What the current transaction block has gathered. Definitions change in the store only at
/// COMMIT, all of them or none; remote effects (a job that starts) begin after it.
pub struct Transaction {
    /// Where it stands.
    pub status: TransactionStatus,
    /// Whether statements that change definitions are refused.
    pub is_read_only: bool,
    /// The store's version when the block first changed something, and its view since.
    overlay: Option<Overlay>,
    /// Savepoints: name and how much had been gathered.
    savepoints: Vec<(String, Option<Overlay>)>,
}

#[derive(Clone)]
struct Overlay {
    base: Arc<Snapshot>,
    view: Snapshot,
    changes: Vec<Change>,
    effects: Vec<Effect>,
}

/// What happens after definitions are durable. A statement has one or two of them, so that a variant
/// that is larger than the others costs nothing.
#[derive(Clone)]
#[allow(clippy::large_enum_variant)]
pub enum Effect {
    /// Start a run of this job.
    StartJob {
        /// The job.
        job_id: i64,
        /// How.
        start: crate::runtime::Start,
    },
    /// Stop this job.
    StopJob(i64),
    /// A source changed: forget what is cached of it.
    SourceChanged(i64),
    /// A job or a sink table was dropped: the sink forgets it too.
    Forget {
        /// What was dropped, for the warning when the sink cannot be reached: `job "x"`.
        what: String,
        /// The sink.
        sink: Arc<dyn connector_api::Sink>,
        /// The job, whose positions are forgotten.
        job_id: Option<i64>,
        /// Remote tables to drop.
        drop_tables: Vec<catalog::TableName>,
    },
}

/// What a session is doing, for `stat_activity`.
#[derive(Debug, Clone)]
pub struct Activity {
    /// active, idle, idle in transaction, idle in transaction (aborted).
    pub state: &'static str,
    /// When the current or last statement began.
    pub query_start: Option<Timestamp>,
    /// Its redacted text.
    pub query: String,
}

/// One client's session.
pub struct Session {
    /// The number that clients see as the backend's pid.
    pub pid: i32,
    /// Role.
    pub role: String,
    /// Database name that the client asked for.
    pub database: String,
    /// Client address, `host:port`; empty for an embedded session.
    pub client_addr: String,
    /// When it began.
    pub started_at: Timestamp,
    /// Settings (SET, SHOW).
    pub settings: Mutex<Settings>,
    /// The transaction.
    pub transaction: Mutex<Transaction>,
    /// What it is doing.
    pub activity: Mutex<Activity>,
    notices: mpsc::UnboundedSender<Notice>,
    /// Grows with every cancel request; a statement ends when it sees it grow.
    cancel: watch::Sender<u64>,
}

impl Session {
    /// A session and the receiver of its notices.
    pub fn new(
        pid: i32,
        role: String,
        database: String,
        client_addr: String,
        settings: Settings,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Notice>) {
        let (notices, receiver) = mpsc::unbounded_channel();
        let session = Self {
            pid,
            role,
            database,
            client_addr,
            started_at: now(),
            settings: Mutex::new(settings),
            transaction: Mutex::new(Transaction {
                status: TransactionStatus::Idle,
                is_read_only: false,
                overlay: None,
                savepoints: vec![],
            }),
            activity: Mutex::new(Activity { state: "idle", query_start: None, query: String::new() }),
            notices,
            cancel: watch::channel(0).0,
        };
        (Arc::new(session), receiver)
    }

    /// Sends a message to the client; dropped silently when the client is gone.
    pub fn notice(&self, notice: Notice) {
        let _ = self.notices.send(notice);
    }

    /// Asks the running statement to end (57014). Does nothing when none runs.
    pub fn cancel(&self) {
        self.cancel.send_modify(|n| *n += 1);
    }

    /// A receiver that changes when somebody cancels from now on.
    pub fn canceled(&self) -> watch::Receiver<u64> {
        let mut receiver = self.cancel.subscribe();
        receiver.mark_unchanged();
        receiver
    }

    /// Definitions as this session sees them: the store's, with the block's own changes.
    pub fn snapshot(&self, store: &Store) -> Arc<Snapshot> {
        match &self.transaction.lock().overlay {
            Some(overlay) => Arc::new(overlay.view.clone()),
            None => store.snapshot(),
        }
    }

    /// The clear text of a secret that the current block has made and not committed yet.
    pub fn pending_secret(&self, id: i64) -> Option<catalog::store::SecretText> {
        let transaction = self.transaction.lock();
        transaction.overlay.as_ref()?.changes.iter().rev().find_map(|change| match change {
            Change::PutSecret { secret, value: Some(value) } if secret.id == id => Some(value.clone()),
            _ => None,
        })
    }

    /// Makes changes against the definitions that the statement saw: at once and durable outside of
    /// a block, gathered inside. The effects that are returned may begin now; inside of a block they
    /// come back from [`Session::commit`].
    pub fn apply(
        &self,
        store: &Store,
        base: &Arc<Snapshot>,
        changes: Vec<Change>,
        effects: Vec<Effect>,
    ) -> Result<Vec<Effect>> {
        let is_read_only = self.is_read_only();
        let mut transaction = self.transaction.lock();
        if is_read_only && !changes.is_empty() {
            return Err(Error::new(ErrorKind::ReadOnly, "cannot change definitions in a read-only transaction")
                .with_hint("SET default_transaction_read_only = off; or BEGIN READ WRITE;"));
        }
        if transaction.status == TransactionStatus::Idle {
            if !changes.is_empty() {
                store.commit_any(|current| rebase(current, base, changes))?;
            }
            return Ok(effects);
        }
        let overlay = transaction.overlay.get_or_insert_with(|| {
            let base = store.snapshot();
            Overlay { view: Snapshot::clone(&base), base, changes: vec![], effects: vec![] }
        });
        for change in &changes {
            overlay.view.apply(change);
        }
        overlay.changes.extend(changes);
        overlay.effects.extend(effects);
        Ok(vec![])
    }

    /// BEGIN. A second BEGIN is a WARNING, as in PostgreSQL.
    pub fn begin(&self, read_only: Option<bool>) {
        let default = self.settings.lock().bool("default_transaction_read_only");
        let mut transaction = self.transaction.lock();
        if transaction.status != TransactionStatus::Idle {
            drop(transaction);
            self.notice(Notice::warning("there is already a transaction in progress").with_code("25001"));
            return;
        }
        transaction.status = TransactionStatus::InBlock;
        transaction.is_read_only = read_only.unwrap_or(default);
        transaction.overlay = None;
        transaction.savepoints.clear();
        drop(transaction);
        self.settings.lock().begin();
    }

    /// SET TRANSACTION. Outside of a block it has no effect, which a WARNING says.
    pub fn set_transaction(&self, read_only: Option<bool>) {
        let mut transaction = self.transaction.lock();
        if transaction.status == TransactionStatus::Idle {
            drop(transaction);
            self.notice(Notice::warning("SET TRANSACTION can only be used in transaction blocks").with_code("25P01"));
            return;
        }
        if let Some(read_only) = read_only {
            transaction.is_read_only = read_only;
        }
    }

    /// Whether statements that change definitions are refused now.
    pub fn is_read_only(&self) -> bool {
        let transaction = self.transaction.lock();
        match transaction.status {
            TransactionStatus::Idle => {
                drop(transaction);
                self.settings.lock().bool("default_transaction_read_only")
            }
            TransactionStatus::InBlock | TransactionStatus::Failed => transaction.is_read_only,
        }
    }

    /// COMMIT: all gathered changes become durable, or none and the error says why. In a failed
    /// block it is a rollback; `false` says so (the tag is then ROLLBACK).
    pub fn commit(&self, store: &Store) -> Result<(bool, Vec<Effect>)> {
        let ended = self.commit_definitions(store);
        match &ended {
            Ok((true, _)) => self.settings.lock().commit(),
            Ok((false, _)) | Err(_) => self.settings.lock().rollback(),
        }
        ended
    }

    fn commit_definitions(&self, store: &Store) -> Result<(bool, Vec<Effect>)> {
        let mut transaction = self.transaction.lock();
        let status = transaction.status;
        let overlay = transaction.overlay.take();
        transaction.status = TransactionStatus::Idle;
        transaction.is_read_only = false;
        transaction.savepoints.clear();
        match status {
            TransactionStatus::Idle => {
                drop(transaction);
                self.notice(Notice::warning("there is no transaction in progress").with_code("25P01"));
                Ok((true, vec![]))
            }
            TransactionStatus::Failed => Ok((false, vec![])),
            TransactionStatus::InBlock => match overlay {
                None => Ok((true, vec![])),
                Some(overlay) => {
                    if !overlay.changes.is_empty() {
                        store.commit_any(|current| rebase(current, &overlay.base, overlay.changes))?;
                    }
                    Ok((true, overlay.effects))
                }
            },
        }
    }

    /// ROLLBACK: forgets everything gathered.
    pub fn rollback(&self) {
        let mut transaction = self.transaction.lock();
        let was = transaction.status;
        transaction.status = TransactionStatus::Idle;
        transaction.is_read_only = false;
        transaction.overlay = None;
        transaction.savepoints.clear();
        drop(transaction);
        self.settings.lock().rollback();
        if was == TransactionStatus::Idle {
            self.notice(Notice::warning("there is no transaction in progress").with_code("25P01"));
        }
    }

    /// SAVEPOINT.
    pub fn savepoint(&self, name: &str) -> Result<()> {
        let mut transaction = self.transaction.lock();
        if transaction.status == TransactionStatus::Idle {
            return Err(Error::new(
                ErrorKind::Remote("25P01".into()),
                "SAVEPOINT can only be used in transaction blocks",
            ));
        }
        let overlay = transaction.overlay.clone();
        transaction.savepoints.push((name.to_owned(), overlay));
        drop(transaction);
        self.settings.lock().savepoint(name);
        Ok(())
    }

    /// RELEASE SAVEPOINT.
    pub fn release(&self, name: &str) -> Result<()> {
        let mut transaction = self.transaction.lock();
        let Some(at) = transaction.savepoints.iter().rposition(|(n, _)| n == name) else {
            return Err(no_savepoint(name));
        };
        transaction.savepoints.truncate(at);
        drop(transaction);
        self.settings.lock().release(name);
        Ok(())
    }

    /// ROLLBACK TO SAVEPOINT: a failed block goes on.
    pub fn rollback_to(&self, name: &str) -> Result<()> {
        let mut transaction = self.transaction.lock();
        let Some(at) = transaction.savepoints.iter().rposition(|(n, _)| n == name) else {
            return Err(no_savepoint(name));
        };
        transaction.savepoints.truncate(at + 1);
        transaction.overlay = transaction.savepoints[at].1.clone();
        transaction.status = TransactionStatus::InBlock;
        drop(transaction);
        self.settings.lock().rollback_to(name);
        Ok(())
    }

    /// Marks the block as failed after an error; does nothing outside of one.
    pub fn fail(&self) {
        let mut transaction = self.transaction.lock();
        if transaction.status == TransactionStatus::InBlock {
            transaction.status = TransactionStatus::Failed;
        }
    }

    /// The status for ReadyForQuery.
    pub fn status(&self) -> TransactionStatus {
        self.transaction.lock().status
    }
}

/// Fits changes that were made against `base` to what is there now: the runtime's own fields of a
/// job are kept as they are now, and a definition that somebody else changed meanwhile is 40001.
fn rebase(current: &Snapshot, base: &Snapshot, changes: Vec<Change>) -> Result<Vec<Change>> {
    let conflict = |kind: &str, name: &str| {
        Error::new(
            ErrorKind::Remote("40001".into()),
            format!("could not serialize access: {kind} \"{name}\" was changed by another session"),
        )
        .with_hint("Run the transaction again.")
    };
    let mut out = Vec::with_capacity(changes.len());
    for change in changes {
        out.push(match change {
            Change::PutJob(mut job) => {
                match (base.jobs.get(&job.id), current.jobs.get(&job.id)) {
                    (Some(before), Some(now)) => {
                        if before.altered_at != now.altered_at {
                            return Err(conflict("job", &job.name));
                        }
                        job.state = now.state;
                        job.phase = now.phase;
                        job.desired_state = now.desired_state;
                        job.state_changed_at = now.state_changed_at;
                        job.restart_count = now.restart_count;
                        job.current_run_id = now.current_run_id;
                        job.last_error_id = now.last_error_id;
                    }
                    (Some(_), None) => return Err(conflict("job", &job.name)),
                    (None, _) => {}
                }
                Change::PutJob(job)
            }
            Change::PutSource(source) => {
                if let Some(before) = base.sources.get(&source.id)
                    && current.sources.get(&source.id).is_none_or(|now| now.altered_at != before.altered_at)
                {
                    return Err(conflict("source", &source.name));
                }
                Change::PutSource(source)
            }
            Change::PutSecret { secret, value } => {
                if let Some(before) = base.secrets.get(&secret.id)
                    && current.secrets.get(&secret.id).is_none_or(|now| now.version != before.version)
                {
                    return Err(conflict("secret", &secret.name));
                }
                Change::PutSecret { secret, value }
            }
            other @ (Change::DeleteSecret(_)
            | Change::DeleteSource(_)
            | Change::PutSinkTable(_)
            | Change::DeleteSinkTable(_)
            | Change::DeleteJob(_)
            | Change::PutMapping(_)
            | Change::DeleteMapping(_)) => other,
        });
    }
    Ok(out)
}

fn no_savepoint(name: &str) -> Error {
    Error::new(ErrorKind::Remote("3B001".into()), format!("savepoint \"{name}\" does not exist"))
}

/// Every live session, for `stat_activity` and cancel requests.
#[derive(Default)]
pub struct SessionRegistry {
    next_pid: AtomicI32,
    sessions: Mutex<BTreeMap<i32, Arc<Session>>>,
}

impl SessionRegistry {
    /// A pid that no live session has.
    pub fn next_pid(&self) -> i32 {
        self.next_pid.fetch_add(1, Ordering::Relaxed).rem_euclid(i32::MAX - 1) + 1
    }
    /// Adds a session.
    pub fn add(&self, session: Arc<Session>) {
        self.sessions.lock().insert(session.pid, session);
    }
    /// Removes a session.
    pub fn remove(&self, pid: i32) {
        self.sessions.lock().remove(&pid);
    }
    /// All live sessions by pid.
    pub fn list(&self) -> Vec<Arc<Session>> {
        self.sessions.lock().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::definition::{Secret, SecretBackend, Source};
    use catalog::store::{KeySource, SecretText};

    fn secret(store: &Store, name: &str) -> Change {
        let secret = Secret {
            id: store.next_id().unwrap(),
            name: name.to_owned(),
            backend: SecretBackend::Store,
            version: 1,
            owned_by_source: None,
            owner: "me".into(),
            comment: None,
            created_at: now(),
            altered_at: now(),
        };
        Change::PutSecret { secret, value: Some(SecretText::new("x".into())) }
    }

    fn source(id: i64, altered_at: i64) -> Source {
        Source {
            id,
            name: "s".into(),
            source_type: "sample".into(),
            options: Default::default(),
            owner: "me".into(),
            comment: None,
            created_at: 1,
            altered_at,
        }
    }

    fn session() -> (Arc<Session>, mpsc::UnboundedReceiver<Notice>) {
        Session::new(1, "me".into(), "tidegate".into(), String::new(), Settings::new())
    }

    #[test]
    fn a_block_shows_its_changes_to_itself_and_to_others_only_after_commit() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), KeySource::File).unwrap();
        let (writer, _n1) = session();
        let (reader, _n2) = session();
        writer.begin(None);
        let base = writer.snapshot(&store);
        writer.apply(&store, &base, vec![secret(&store, "one")], vec![]).unwrap();
        assert!(writer.snapshot(&store).secret("one").is_some());
        assert!(reader.snapshot(&store).secret("one").is_none());
        writer.commit(&store).unwrap();
        assert!(reader.snapshot(&store).secret("one").is_some());
    }

    #[test]
    fn rollback_to_a_savepoint_forgets_what_came_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), KeySource::File).unwrap();
        let (session, _notices) = session();
        session.begin(None);
        let base = session.snapshot(&store);
        session.apply(&store, &base, vec![secret(&store, "one")], vec![]).unwrap();
        session.savepoint("p").unwrap();
        session.apply(&store, &base, vec![secret(&store, "two")], vec![]).unwrap();
        session.fail();
        session.rollback_to("p").unwrap();
        assert_eq!(session.status(), TransactionStatus::InBlock);
        session.commit(&store).unwrap();
        let after = store.snapshot();
        assert!(after.secret("one").is_some() && after.secret("two").is_none());
    }

    #[test]
    fn a_definition_that_somebody_else_changed_meanwhile_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), KeySource::File).unwrap();
        let id = store.next_id().unwrap();
        store.commit_any(|_| Ok(vec![Change::PutSource(source(id, 1))])).unwrap();
        let (session, _notices) = session();
        session.begin(None);
        let base = session.snapshot(&store);
        session.apply(&store, &base, vec![Change::PutSource(source(id, 2))], vec![]).unwrap();
        store.commit_any(|_| Ok(vec![Change::PutSource(source(id, 3))])).unwrap();
        let error = session.commit(&store).map(|_| ()).unwrap_err();
        assert_eq!(error.sqlstate(), "40001");
        assert_eq!(store.snapshot().source("s").unwrap().altered_at, 3);
    }
}
