//! Queries: stock SQL over sources, system tables and the client catalog, through DataFusion.
//!
//! A statement passes `guard` (what may run), `resolve` (which table a name means), and then
//! either the client catalog's own evaluator or DataFusion: `names` and `rewrite` make the AST
//! what DataFusion reads, `context` gives it tables and functions, `error` turns its errors into
//! PostgreSQL's. Planning and running happen on the gateway's query runtime, never on the wire's.

mod checked;
mod context;
mod cooperation;
mod discovery;
pub(crate) mod error;
mod explain;
mod function;
mod guard;
pub(crate) mod names;
mod plan;
pub(crate) mod resolve;
mod rewrite;
mod source_tables;
#[cfg(test)]
pub(crate) mod tests;
mod time;
mod written_type;

pub use checked::CheckedArithmetic;
pub use context::postgres_features;
pub use cooperation::CooperativeJoins;
pub use discovery::{DiscoveryCache, KnownFacts, TableList};
pub use error::map_error;
pub use resolve::missing_table;
pub use rewrite::rewrite;

use crate::gateway::Gateway;
use crate::outcome::{OutputColumn, RowStream};
use crate::session::Session;
use catalog::{Error, ErrorKind, Result};
use datafusion::arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::physical_plan::execute_stream;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use guard::Runnable;
use parking_lot::Mutex;
use plan::{Planned, Statement};
use resolve::Scope;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Batches between the query and the connection: the query waits when the client does.
const BATCHES_AHEAD: usize = 2;

/// A planned query, ready to run any number of times.
pub struct PlannedQuery {
    /// Columns of the result.
    pub columns: Vec<OutputColumn>,
    /// PostgreSQL type oids of `$1`, `$2`, ..
    pub parameter_types: Vec<u32>,
    /// First word of the command tag.
    pub tag: &'static str,
    kind: Kind,
    statement: Arc<Statement>,
    /// The plan of a query that has not been run yet; a later run plans again, so that it sees the
    /// sources as they are then and all of its tables at one moment.
    ready: Mutex<Option<Planned>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Query,
    Explain { analyze: bool, verbose: bool },
}

impl std::fmt::Debug for PlannedQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlannedQuery").field("kind", &self.kind).field("columns", &self.columns.len()).finish()
    }
}

impl PlannedQuery {
    /// Runs it on the query runtime; rows come as the client takes them. Dropping the stream, or
    /// this future, ends it.
    ///
    /// Errors: those of planning; 0A000 when a source's table has another structure by now than
    /// when the query was described. Errors of running come from the stream.
    pub async fn execute(
        &self,
        gateway: &Arc<Gateway>,
        session: &Arc<Session>,
        parameters: Vec<ScalarValue>,
    ) -> Result<RowStream> {
        if parameters.len() != self.parameter_types.len() {
            return Err(Error::new(
                ErrorKind::ProtocolViolation,
                format!("{} parameters were given, the statement has {}", parameters.len(), self.parameter_types.len()),
            ));
        }
        let scope = Scope::new(gateway, session);
        let statement = self.statement.clone();
        let stop = scope.stop.clone();
        if let Kind::Explain { analyze, verbose } = self.kind {
            let batch = on_runtime(gateway, stop, async move {
                explain::explain(&scope, &statement, parameters, analyze, verbose).await
            });
            return Ok(one_batch(batch.await?));
        }
        let ready = self.ready.lock().take();
        let columns = self.columns.clone();
        let (sender, receiver) = mpsc::channel::<Result<RecordBatch>>(BATCHES_AHEAD);
        let (began, begins) = tokio::sync::oneshot::channel::<Result<()>>();
        let task = gateway.query_runtime.spawn(async move {
            let planned = match ready {
                Some(planned) => Ok(planned),
                None => replan(&scope, &statement, &columns).await,
            };
            let result = match planned {
                Ok(Planned::Catalog(query)) => match query.run(&scope, &parameters).await {
                    Ok(batch) => {
                        let _ = began.send(Ok(()));
                        let _ = sender.send(Ok(batch)).await;
                        return;
                    }
                    Err(error) => Err(error),
                },
                Ok(Planned::Engine(engine)) => start(&engine, &parameters).await,
                Err(error) => Err(error),
            };
            match result {
                Ok(mut rows) => {
                    let _ = began.send(Ok(()));
                    while let Some(batch) = rows.next().await {
                        let failed = batch.is_err();
                        if sender.send(batch.map_err(map_error)).await.is_err() || failed {
                            break;
                        }
                    }
                }
                Err(error) => {
                    let _ = began.send(Err(error));
                }
            }
        });
        let task = Task { handle: task, stop };
        match begins.await {
            Ok(Ok(())) => Ok(stream(receiver, task)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(task.failure().await),
        }
    }
}

async fn replan(scope: &Scope, statement: &Statement, columns: &[OutputColumn]) -> Result<Planned> {
    let planned = statement.plan(scope, false).await?;
    let same = planned.columns().len() == columns.len()
        && planned.columns().iter().zip(columns).all(|(a, b)| a.field.data_type() == b.field.data_type());
    if same {
        return Ok(planned);
    }
    Err(Error::new(ErrorKind::Unsupported, "cached plan must not change result type")
        .with_detail("A table of the query has another structure than when the query was prepared.")
        .with_hint("Prepare the statement again."))
}

async fn start(
    engine: &plan::Engine,
    parameters: &[ScalarValue],
) -> Result<datafusion::execution::SendableRecordBatchStream> {
    let logical = engine.with_parameters(parameters)?;
    let physical = engine.state.create_physical_plan(&logical).await.map_err(map_error)?;
    execute_stream(physical, engine.state.task_ctx()).map_err(map_error)
}

/// Plans one statement of stock SQL. `text` is the whole text that the statement's spans refer to.
/// `parameter_types` are the types that the client has declared.
///
/// Errors: 0A000 for anything but queries and EXPLAIN of queries, by name; 42P01, 3F000, 42704,
/// 42703, 42883 with their place; those of a source that must be asked and cannot be.
pub async fn plan(
    gateway: &Arc<Gateway>,
    session: &Arc<Session>,
    statement: &ast::Statement,
    text: &str,
    parameter_types: &[Option<u32>],
) -> Result<PlannedQuery> {
    let (query, kind, tag) = match guard::classify(statement)? {
        Runnable::Query(query) => (query, Kind::Query, "SELECT"),
        Runnable::Explain { analyze, verbose, query } => (query, Kind::Explain { analyze, verbose }, "EXPLAIN"),
    };
    let scope = Scope::new(gateway, session);
    let mut query = query.clone();
    rewrite::expand_tables(&mut query);
    let mut planning = Statement { query, text: text.to_owned(), types: parameter_types.to_vec() };
    let stop = scope.stop.clone();
    let (planning, planned) = on_runtime(gateway, stop, async move {
        let planned = planning.plan(&scope, true).await?;
        planning.types = planned.parameter_types().iter().copied().map(Some).collect();
        Ok((planning, planned))
    })
    .await?;
    let columns = match kind {
        Kind::Query => planned.columns().to_vec(),
        Kind::Explain { .. } => vec![OutputColumn::text(explain::COLUMN)],
    };
    // What was only looked at lacks the rows of catalog relations.
    let runs_as_planned = match &planned {
        Planned::Catalog(_) => true,
        Planned::Engine(engine) => !engine.uses_catalog,
    };
    Ok(PlannedQuery {
        columns,
        parameter_types: planned.parameter_types().to_vec(),
        tag,
        kind,
        statement: Arc::new(planning),
        ready: Mutex::new(Some(planned).filter(|_| runs_as_planned && kind == Kind::Query)),
    })
}

/// Runs a future on the query runtime; it ends when the caller stops waiting.
async fn on_runtime<T: Send + 'static>(
    gateway: &Gateway,
    stop: Arc<AtomicBool>,
    future: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let handle = gateway.query_runtime.spawn(async move {
        let _ = sender.send(future.await);
    });
    let task = Task { handle, stop };
    match receiver.await {
        Ok(result) => result,
        Err(_) => Err(task.failure().await),
    }
}

/// A task that ends with its owner.
struct Task {
    handle: JoinHandle<()>,
    /// See [`Scope::stop`].
    stop: Arc<AtomicBool>,
}

impl Task {
    /// Why it ended without an answer: it panicked, or the runtime is going down.
    async fn failure(mut self) -> Error {
        match (&mut self.handle).await {
            Err(error) if error.is_panic() => {
                Error::internal("the query failed, which is a bug of the gateway").with_source(error)
            }
            _ => Error::new(ErrorKind::Shutdown, "the gateway is shutting down"),
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.handle.abort();
    }
}

fn one_batch(batch: RecordBatch) -> RowStream {
    Box::pin(futures::stream::iter([Ok(batch)]))
}

fn stream(receiver: mpsc::Receiver<Result<RecordBatch>>, task: Task) -> RowStream {
    let state = (receiver, Some(task));
    Box::pin(futures::stream::unfold(state, |(mut receiver, task)| async move {
        match receiver.recv().await {
            Some(item) => Some((item, (receiver, task))),
            // The channel closes at the end, and when the task panics.
            None => {
                let mut task = task?;
                match (&mut task.handle).await {
                    Err(error) if error.is_panic() => {
                        let error =
                            Error::internal("the query failed, which is a bug of the gateway").with_source(error);
                        Some((Err(error), (receiver, None)))
                    }
                    _ => None,
                }
            }
        }
    }))
}
