//! Running one statement: its work, the client, a cancel request, its deadline and the end of the
//! gateway are waited for at the same time, so that none can delay the others.

use super::connection::Connection;
use super::encode::{RowEncoder, Style};
use super::error::{canceled, notice_response, panic_error};
use super::socket::{Progress, WRITE_BYTES};
use crate::outcome::{OutputColumn, RowStream};
use crate::session::Session;
use arrow::array::RecordBatch;
use catalog::{Error, ErrorKind, Result};
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;

/// Why work stopped.
pub(super) enum Stop {
    /// The statement ends; the session goes on.
    Statement(Error),
    /// The session ends and the client is told.
    Session(Error),
    /// The client is gone.
    Gone,
}

/// What work of a connection gives.
pub(super) type Step<T> = std::result::Result<T, Stop>;

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Statement(error)
    }
}

impl Stop {
    /// An error of the client's own socket.
    pub(super) fn of_socket(error: Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionLost => Self::Gone,
            _ => Self::Session(error),
        }
    }
}

/// What ends a statement from outside.
pub(super) struct Limits {
    canceled: Option<watch::Receiver<u64>>,
    deadline: Option<Instant>,
}

impl Limits {
    /// For a statement that begins now, canceled by what `canceled` sees.
    pub(super) fn new(session: &Session, canceled: watch::Receiver<u64>) -> Self {
        let timeout = session.settings.lock().duration("statement_timeout");
        // A deadline beyond the clock's range is none.
        let deadline = timeout.and_then(|timeout: Duration| Instant::now().checked_add(timeout));
        Self { canceled: Some(canceled), deadline }
    }

    /// For answers that must be sent whatever happens.
    pub(super) fn none() -> Self {
        Self { canceled: None, deadline: None }
    }

    /// Ready when the statement must end.
    async fn reached(&mut self) -> Error {
        let canceled_by_user = async {
            // The session outlives its statements, so that its channel does not close.
            if let Some(receiver) = &mut self.canceled
                && receiver.changed().await.is_ok()
            {
                return;
            }
            std::future::pending().await
        };
        let deadline = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = canceled_by_user => canceled("user request"),
            () = deadline => canceled("statement timeout"),
        }
    }
}

/// Rows that a portal or a cursor has left.
pub(super) struct RowSource {
    pub columns: Vec<OutputColumn>,
    stream: RowStream,
    /// A batch of which the first rows were sent.
    batch: Option<(RecordBatch, usize)>,
    is_done: bool,
}

impl RowSource {
    pub(super) fn new(columns: Vec<OutputColumn>, stream: RowStream) -> Self {
        Self { columns, stream, batch: None, is_done: false }
    }
}

/// What happens to rows.
pub(super) enum Rows<'a> {
    /// They are sent; whether each column is binary.
    Send(&'a [bool]),
    /// They are counted (MOVE).
    Count,
}

/// Ends a task when its result is not waited for any more.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    /// Waits for work and everything that may end it. Notices are delivered meanwhile.
    pub(super) async fn drive<T>(&mut self, limits: &mut Limits, work: BoxFuture<'_, Result<T>>) -> Step<T> {
        let mut work = AssertUnwindSafe(work).catch_unwind();
        loop {
            tokio::select! {
                biased;
                error = limits.reached() => return Err(Stop::Statement(error)),
                () = stopping(&mut self.shutdown) => return Err(Stop::Session(shutting_down())),
                Some(notice) = self.notices.recv() => self.put_notice(&notice)?,
                result = &mut work => match result {
                    Ok(result) => return Ok(result?),
                    Err(panic) => return Err(Stop::Statement(panic_error(panic))),
                },
                moved = self.socket.progress(self.is_urgent) => match moved.map_err(Stop::of_socket)? {
                    Progress::Moved => self.is_urgent &= !self.socket.output.is_empty(),
                    Progress::Ended => return Err(Stop::Gone),
                },
            }
        }
    }

    /// Runs work on the runtime of queries, where it can be as busy as it likes; it is aborted when
    /// the statement ends first.
    pub(super) async fn drive_apart<T: Send + 'static>(
        &mut self,
        limits: &mut Limits,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Step<T> {
        let task = self.gateway.query_runtime.spawn(work);
        let _abort = AbortOnDrop(task.abort_handle());
        self.drive(limits, joined(task).boxed()).await
    }

    /// The same on the runtime of the wire: for what plans no query, so that a job can be stopped
    /// and a setting shown while all threads of queries are busy.
    pub(super) async fn drive_near<T: Send + 'static>(
        &mut self,
        limits: &mut Limits,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Step<T> {
        let task = tokio::spawn(work);
        let _abort = AbortOnDrop(task.abort_handle());
        self.drive(limits, joined(task).boxed()).await
    }

    /// Waits for work that goes on to its end whatever happens to the client.
    pub(super) async fn drive_to_end<T: Send + 'static>(
        &mut self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Step<T> {
        self.drive(&mut Limits::none(), joined(tokio::spawn(work)).boxed()).await
    }

    /// Sends everything that is buffered.
    pub(super) async fn flush(&mut self, limits: &mut Limits) -> Step<()> {
        while !self.socket.output.is_empty() {
            tokio::select! {
                biased;
                error = limits.reached() => return Err(Stop::Statement(error)),
                () = stopping(&mut self.shutdown) => return Err(Stop::Session(shutting_down())),
                moved = self.socket.progress(true) => {
                    // A client that has closed its side takes nothing any more.
                    if let Progress::Ended = moved.map_err(Stop::of_socket)? {
                        return Err(Stop::Gone);
                    }
                }
            }
        }
        self.is_urgent = false;
        self.socket.flush().await.map_err(Stop::of_socket)
    }

    /// Takes up to `limit` rows and answers how many there were. Memory stays at one batch and one
    /// buffer, however many rows there are and however slowly the client reads.
    pub(super) async fn take_rows(
        &mut self,
        limits: &mut Limits,
        source: &mut RowSource,
        rows: Rows<'_>,
        limit: u64,
    ) -> Step<u64> {
        let result = self.take_rows_inner(limits, source, rows, limit).await;
        if result.is_err() {
            // After an error a stream has nothing more to say; dropping it ends its query.
            source.stream = Box::pin(futures::stream::empty());
            source.batch = None;
            source.is_done = true;
        }
        result
    }

    async fn take_rows_inner(
        &mut self,
        limits: &mut Limits,
        source: &mut RowSource,
        rows: Rows<'_>,
        limit: u64,
    ) -> Step<u64> {
        let style = Style::of(&self.session.settings.lock());
        let mut taken = 0;
        while taken < limit && !source.is_done {
            let (batch, from) = match source.batch.take() {
                Some(rest) => rest,
                None => match self.drive(limits, source.stream.try_next().boxed()).await? {
                    Some(batch) => (batch, 0),
                    None => {
                        source.is_done = true;
                        break;
                    }
                },
            };
            let count = (batch.num_rows() - from).min(usize::try_from(limit - taken).unwrap_or(usize::MAX));
            if let Rows::Send(formats) = rows {
                let encoder = RowEncoder::new(&batch, &source.columns, formats, &style)?;
                for row in from..from + count {
                    encoder.row(row, &mut self.socket.output)?;
                    if self.socket.output.len() >= WRITE_BYTES {
                        self.flush(limits).await?;
                    }
                }
                self.is_urgent = count > 0 || self.is_urgent;
            }
            taken += count as u64;
            if from + count < batch.num_rows() {
                source.batch = Some((batch, from + count));
            }
        }
        Ok(taken)
    }

    /// Puts the notices that wait into the output.
    pub(super) fn put_notices(&mut self) -> Step<()> {
        while let Ok(notice) = self.notices.try_recv() {
            self.put_notice(&notice)?;
        }
        Ok(())
    }

    pub(super) fn put_notice(&mut self, notice: &crate::outcome::Notice) -> Step<()> {
        let least = self.session.settings.lock().get("client_min_messages").unwrap_or_default();
        if super::error::is_wanted(notice.severity, &least) {
            self.socket.put(&notice_response(notice))?;
            self.is_urgent = true;
        }
        Ok(())
    }
}

/// The result of a task; a panic is an error of its statement.
async fn joined<T>(task: JoinHandle<Result<T>>) -> Result<T> {
    match task.await {
        Ok(result) => result,
        Err(error) if error.is_panic() => Err(panic_error(error.into_panic())),
        Err(_) => Err(shutting_down()),
    }
}

/// Ready when the gateway stops.
pub(super) async fn stopping(shutdown: &mut watch::Receiver<bool>) {
    // Without the listener there is nobody who serves: that is the end as well.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// 57P01, in PostgreSQL's words.
pub(super) fn shutting_down() -> Error {
    Error::new(ErrorKind::Shutdown, "terminating connection due to administrator command")
}

#[cfg(test)]
mod tests;
