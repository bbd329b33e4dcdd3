//! Executes the statements of a script on a gateway, one after the other.

use super::connection::{Target, causes};
use super::console::Console;
use super::interrupt::Interrupts;
use super::progress::{ProgressView, waits_for};
use super::script::{Script, StatementError};
use super::table::Table;
use super::{EXIT_BROKEN_PIPE, EXIT_REFUSED, EXIT_STATEMENT};
use catalog::{Error, ErrorKind, Result};
use futures::StreamExt;
use planner::{Parsed, Statement, command_tag, returns_rows};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::error::ErrorPosition;
use tokio_postgres::{Client, SimpleQueryMessage};

/// How long a canceled statement gets to end.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);
/// How much of a result is gathered before it is written, in bytes.
const OUTPUT_BYTES: usize = 32 << 10;

/// A session on a gateway.
pub(super) struct Executor {
    target: Target,
    client: Client,
    console: Arc<Console>,
    progress: ProgressView,
    interrupts: Interrupts,
}

/// Why a statement did not succeed.
enum Failure {
    /// The gateway said so.
    Statement(Box<StatementError>),
    /// The connection is gone.
    Lost(String),
    /// Results cannot be written.
    Output(Error),
    /// A signal came; the exit code.
    Interrupted(u8),
}

impl Executor {
    /// Connects.
    pub(super) async fn connect(target: Target, console: Arc<Console>, interrupts: Interrupts) -> Result<Self> {
        let client = target.connect(Some(console.clone())).await?;
        let progress = ProgressView::new(target.clone(), console.clone());
        Ok(Self { target, client, console, progress, interrupts })
    }

    /// Executes a script up to its end or the first error, which it reports. Gives the exit code.
    /// With `echo` every statement is printed before it runs.
    pub(super) async fn run(&mut self, script: &Script, echo: bool) -> Result<u8> {
        let mut space = "";
        for statement in script.statements() {
            let text = script.statement_text(statement);
            if echo {
                self.console.print(&format!("{space}{text};\n"))?;
                // A table ends with an empty line of its own.
                space = if returns_rows(&statement.statement) { "" } else { "\n" };
            }
            let failure = match self.statement(text, statement).await {
                Ok(()) => continue,
                Err(failure) => failure,
            };
            return match failure {
                Failure::Statement(error) => {
                    self.console.note(&script.report(statement, &error));
                    // FATAL ends the session: not the statement failed but the gateway.
                    Ok(if error.severity == "FATAL" { EXIT_REFUSED } else { EXIT_STATEMENT })
                }
                Failure::Lost(detail) => Err(Error::new(
                    ErrorKind::ConnectionLost,
                    format!("the connection to the gateway was lost at {}", script.place(statement)),
                )
                .with_detail(detail)
                .with_hint("Whether the statement took effect is not known; look before you run it again.")),
                Failure::Output(error) if *error.kind() == ErrorKind::ConnectionLost => Ok(EXIT_BROKEN_PIPE),
                Failure::Output(error) => Err(error),
                Failure::Interrupted(code) => {
                    self.console.note(&format!("{}: canceled\n", script.place(statement)));
                    Ok(code)
                }
            };
        }
        Ok(0)
    }

    /// Waits for a signal; gives the exit code of a program that it ended.
    pub(super) async fn interrupted(&mut self) -> u8 {
        self.interrupts.next().await
    }

    async fn statement(&mut self, text: &str, statement: &Parsed) -> Result<(), Failure> {
        let Self { target, client, console, progress, interrupts } = self;
        let job = waits_for(&statement.statement).filter(|_| !console.is_quiet);
        let outcome = {
            let mut work = pin!(execute(client, console, text, &statement.statement));
            let mut view = pin!(async {
                match job {
                    Some(job) => progress.show(job).await,
                    None => std::future::pending().await,
                }
            });
            tokio::select! {
                outcome = &mut work => outcome,
                () = &mut view => unreachable_progress(),
                code = interrupts.next() => {
                    if let Err(error) = target.cancel(client).await {
                        tracing::debug!(%error, "the cancel request did not reach the gateway");
                    }
                    // A second signal does not wait for the statement to end.
                    tokio::select! {
                        _ = &mut work => {}
                        _ = interrupts.next() => {}
                        () = tokio::time::sleep(CANCEL_LIMIT) => {}
                    }
                    Err(Failure::Interrupted(code))
                }
            }
        };
        if outcome.is_ok()
            && let (Some(job), Statement::WaitForJob { .. }) = (job, &statement.statement)
            && let Some(summary) = progress.summary(job).await
        {
            console.note(&format!("{summary}\n"));
        }
        outcome
    }
}

/// Progress is shown until it is dropped, so it never comes first.
fn unreachable_progress() -> Result<(), Failure> {
    Err(Failure::Output(Error::internal("the display of progress ended by itself")))
}

async fn execute(client: &Client, console: &Console, text: &str, statement: &Statement) -> Result<(), Failure> {
    let mut messages = pin!(client.simple_query_raw(text).await.map_err(|error| failure(&error))?);
    let mut table: Option<Table> = None;
    let mut output = String::new();
    while let Some(message) = messages.next().await {
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                // The rows before the error are part of what happened.
                console.print(&output).map_err(Failure::Output)?;
                return Err(failure(&error));
            }
        };
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                table = Some(Table::new(columns.iter().map(|column| column.name().to_owned()).collect()));
            }
            SimpleQueryMessage::Row(row) => {
                let values = (0..row.len()).map(|i| row.try_get(i).ok().flatten().map(str::to_owned)).collect();
                if let Some(table) = &mut table {
                    output.push_str(&table.row(values));
                }
            }
            SimpleQueryMessage::CommandComplete(_) => match table.take() {
                Some(table) => output.push_str(&table.finish()),
                None if console.is_quiet => {}
                None => output.push_str(&format!("{}\n", command_tag(statement))),
            },
            // The driver may learn of more kinds of messages; none of them is a result.
            _ => {}
        }
        if output.len() >= OUTPUT_BYTES {
            console.print(&output).map_err(Failure::Output)?;
            output.clear();
        }
    }
    console.print(&output).map_err(Failure::Output)
}

fn failure(error: &tokio_postgres::Error) -> Failure {
    match error.as_db_error() {
        Some(said) => Failure::Statement(Box::new(StatementError {
            severity: said.severity().to_owned(),
            sqlstate: said.code().code().to_owned(),
            message: said.message().to_owned(),
            detail: said.detail().map(str::to_owned),
            hint: said.hint().map(str::to_owned),
            position: match said.position() {
                Some(ErrorPosition::Original(position)) => Some(*position as usize),
                Some(ErrorPosition::Internal { .. }) | None => None,
            },
        })),
        None => Failure::Lost(super::args::sentence(&causes(error))),
    }
}
