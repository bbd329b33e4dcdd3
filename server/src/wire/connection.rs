//! One connection after its login: the loop over the client's messages.

use super::Front;
use super::error::{coded, error_response, fatal_response, hide_internal};
use super::extended::Portal;
use super::message::{self, Message};
use super::prepared::Prepared;
use super::run::{Limits, RowSource, Step, Stop, shutting_down, stopping};
use super::socket::{Frame, Socket};
use crate::gateway::Gateway;
use crate::outcome::{Notice, OutputColumn};
use crate::pg_types::type_size;
use crate::session::{Session, TransactionStatus};
use catalog::{Error, ErrorKind};
use pgwire::messages::data::{FieldDescription, RowDescription};
use pgwire::messages::response::{self, CommandComplete, ReadyForQuery};
use pgwire::messages::startup::ParameterStatus;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

/// Prepared statements of one session.
pub(super) const STATEMENTS_MAX: usize = 10_000;
/// Portals and cursors of one session.
pub(super) const PORTALS_MAX: usize = 1_000;

/// One client, logged in.
pub(super) struct Connection {
    pub front: Arc<Front>,
    pub gateway: Arc<Gateway>,
    pub session: Arc<Session>,
    pub notices: mpsc::UnboundedReceiver<Notice>,
    pub socket: Socket,
    pub shutdown: watch::Receiver<bool>,
    pub statements: HashMap<String, Arc<Prepared>>,
    pub portals: HashMap<String, Portal>,
    pub cursors: HashMap<String, Cursor>,
    /// Whether what is buffered should reach the client while a statement runs.
    pub is_urgent: bool,
    /// After an error in an extended query: messages are skipped up to the next Sync.
    skips_to_sync: bool,
    /// Sees cancel requests since the first message after the last ReadyForQuery.
    canceled: Option<watch::Receiver<u64>>,
    /// Settings as the client was last told of them.
    told: BTreeMap<&'static str, String>,
    /// The running statement without its secrets, for the log.
    pub redacted: String,
    /// Given back when the connection ends.
    _permit: OwnedSemaphorePermit,
}

/// A cursor that DECLARE made.
pub(super) struct Cursor {
    pub source: RowSource,
    /// WITH HOLD: it outlives the transaction.
    pub hold: bool,
    /// Made in the transaction block that is open: its ROLLBACK ends it.
    pub is_new: bool,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.gateway.sessions.remove(self.session.pid);
        self.front.cancel_keys.remove(self.session.pid);
        tracing::debug!(peer = %self.socket.peer, pid = self.session.pid, "connection closed");
    }
}

impl Connection {
    pub(super) fn new(
        front: Arc<Front>,
        socket: Socket,
        session: Arc<Session>,
        notices: mpsc::UnboundedReceiver<Notice>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let gateway = front.gateway.clone();
        gateway.sessions.add(session.clone());
        Self {
            shutdown: front.shutdown.clone(),
            front,
            gateway,
            session,
            notices,
            socket,
            statements: HashMap::new(),
            portals: HashMap::new(),
            cursors: HashMap::new(),
            is_urgent: false,
            skips_to_sync: false,
            canceled: None,
            told: BTreeMap::new(),
            redacted: String::new(),
            _permit: permit,
        }
    }

    /// Serves the client until it leaves or must leave.
    pub(super) async fn run(mut self) {
        let stop = match self.serve().await {
            Ok(()) | Err(Stop::Gone) => None,
            Err(Stop::Session(error)) | Err(Stop::Statement(error)) => Some(error),
        };
        // Statements and cursors end before the client hears of it.
        self.portals.clear();
        self.cursors.clear();
        if let Some(error) = stop {
            let error = hide_internal(error, &self.redacted);
            if self.socket.put(&fatal_response(&error)).is_ok() {
                let wait = std::time::Duration::from_secs(2);
                // A client that does not take its last message misses it.
                let _ = tokio::time::timeout(wait, self.socket.flush()).await;
            }
        }
    }

    async fn serve(&mut self) -> Step<()> {
        self.ready().await?;
        loop {
            let Some(frame) = self.next_frame().await? else { return Ok(()) };
            let kind = frame.kind;
            let decoded = match frame.body {
                Some(body) => message::decode(kind, body),
                None => Err(message::too_long(kind)),
            };
            let message = match decoded {
                Ok(message) => message,
                // What cannot be read as a message is as wrong as a statement that cannot be run.
                Err(_) if self.skips_to_sync => continue,
                Err(error) => {
                    self.report(error).await?;
                    if kind == b'Q' {
                        self.ready().await?;
                    } else {
                        self.skips_to_sync = true;
                    }
                    continue;
                }
            };
            if self.skips_to_sync && message.is_extended() && !matches!(message, Message::Sync) {
                continue;
            }
            match message {
                Message::Terminate => return Ok(()),
                // The rest of a COPY that was refused.
                Message::Copy => {}
                Message::Flush => self.flush(&mut Limits::none()).await?,
                Message::Sync => {
                    self.skips_to_sync = false;
                    if self.session.status() == TransactionStatus::Idle {
                        self.portals.clear();
                    }
                    self.ready().await?;
                }
                Message::Query(text) => {
                    self.skips_to_sync = false;
                    self.portals.remove("");
                    self.statements.remove("");
                    match self.simple_query(&text).await {
                        Ok(()) => {}
                        Err(Stop::Statement(error)) => self.report(error).await?,
                        Err(other) => return Err(other),
                    }
                    self.end_of_query();
                    self.ready().await?;
                }
                extended => match self.extended(extended).await {
                    Ok(()) => {}
                    Err(Stop::Statement(error)) => {
                        self.report(error).await?;
                        self.skips_to_sync = true;
                    }
                    Err(other) => return Err(other),
                },
            }
        }
    }

    /// Portals end with the transaction that made them.
    fn end_of_query(&mut self) {
        if self.session.status() == TransactionStatus::Idle {
            self.portals.clear();
        }
    }

    /// Waits for the client's next message, within the limits of idling.
    async fn next_frame(&mut self) -> Step<Option<Frame>> {
        loop {
            let (setting, sqlstate, what) = match self.session.status() {
                TransactionStatus::Idle => ("idle_session_timeout", "57P05", "idle-session timeout"),
                TransactionStatus::InBlock | TransactionStatus::Failed => {
                    ("idle_in_transaction_session_timeout", "25P03", "idle-in-transaction timeout")
                }
            };
            // Inside of an exchange the client is not idle: its next message is on the way.
            let timeout = self.session.settings.lock().duration(setting).filter(|_| self.canceled.is_none());
            let idle = async {
                match timeout {
                    Some(timeout) => tokio::time::sleep(timeout).await,
                    None => std::future::pending().await,
                }
            };
            let notice = tokio::select! {
                biased;
                frame = self.socket.read_frame(message::bytes_max) => return frame.map_err(Stop::of_socket),
                () = stopping(&mut self.shutdown) => return Err(Stop::Session(shutting_down())),
                () = idle => return Err(Stop::Session(coded(sqlstate, format!("terminating connection due to {what}")))),
                Some(notice) = self.notices.recv() => notice,
            };
            self.put_notice(&notice)?;
            self.put_notices()?;
            self.flush(&mut Limits::none()).await?;
        }
    }

    /// What ends the statement that begins now.
    pub(super) fn limits(&mut self) -> Limits {
        let canceled = self.canceled.get_or_insert_with(|| self.session.canceled()).clone();
        Limits::new(&self.session, canceled)
    }

    /// Tells the client of an error; a transaction block has failed with it.
    async fn report(&mut self, error: Error) -> Step<()> {
        let error = hide_internal(error, &self.redacted);
        tracing::debug!(
            pid = self.session.pid,
            sqlstate = error.sqlstate(),
            statement = self.redacted,
            "statement failed"
        );
        self.session.fail();
        self.put_notices()?;
        self.socket.put(&error_response(&error))?;
        // A cancel request that has had its effect must not end what comes next.
        if let Some(canceled) = &mut self.canceled {
            canceled.mark_unchanged();
        }
        self.flush(&mut Limits::none()).await
    }

    /// The end of an exchange: settings that changed, the transaction's status, everything sent.
    async fn ready(&mut self) -> Step<()> {
        self.put_notices()?;
        let reported = self.session.settings.lock().reported();
        for (name, value) in reported {
            if self.told.get(name) != Some(&value) {
                self.socket.put(&ParameterStatus::new(name.to_owned(), value.clone()))?;
                self.told.insert(name, value);
            }
        }
        let status = self.session.status();
        {
            let mut activity = self.session.activity.lock();
            activity.state = match status {
                TransactionStatus::Idle => "idle",
                TransactionStatus::InBlock => "idle in transaction",
                TransactionStatus::Failed => "idle in transaction (aborted)",
            };
        }
        self.canceled = None;
        self.socket.put(&ReadyForQuery::new(match status {
            TransactionStatus::Idle => response::TransactionStatus::Idle,
            TransactionStatus::InBlock => response::TransactionStatus::Transaction,
            TransactionStatus::Failed => response::TransactionStatus::Error,
        }))?;
        self.flush(&mut Limits::none()).await
    }

    /// Shows the statement in `stat_activity`; its text has no secrets.
    pub(super) fn set_active(&mut self, redacted: &str) {
        redacted.clone_into(&mut self.redacted);
        let mut activity = self.session.activity.lock();
        activity.state = "active";
        activity.query_start = Some(catalog::now());
        redacted.clone_into(&mut activity.query);
    }

    pub(super) fn put_row_description(&mut self, columns: &[OutputColumn], formats: &[bool]) -> Step<()> {
        let fields = columns.iter().zip(formats).map(|(column, binary)| {
            let size = type_size(column.type_oid);
            // A zero byte would end the name.
            let name = column.name.replace('\0', "");
            FieldDescription::new(name, 0, 0, column.type_oid, size, column.type_modifier, i16::from(*binary))
        });
        Ok(self.socket.put(&RowDescription::new(fields.collect()))?)
    }

    /// CommandComplete, after the notices that belong to the command.
    pub(super) fn put_complete(&mut self, tag: String) -> Step<()> {
        self.put_notices()?;
        Ok(self.socket.put(&CommandComplete::new(tag))?)
    }
}

/// What everything in a failed block is answered with.
pub(super) fn block_failed() -> Error {
    Error::new(
        ErrorKind::TransactionAborted,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}
