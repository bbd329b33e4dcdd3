//! The simple protocol: a text of any number of statements, all results as text.
//!
//! Also what both protocols share: running a statement and sending what it answers.

use super::connection::Connection;
use super::prepared::{has_rows, sql_of};
use super::run::{Limits, RowSource, Rows, Step};
use crate::execute;
use crate::outcome::Outcome;
use crate::query::PlannedQuery;
use catalog::{Error, ErrorKind};
use datafusion::common::ScalarValue;
use pgwire::messages::response::EmptyQueryResponse;
use planner::{SessionStatement, Statement};
use std::sync::Arc;

/// What a statement answers with.
pub(super) enum Answer {
    /// Rows of its own, and the first word of the tag.
    Rows(Box<RowSource>, &'static str),
    /// The next rows of a cursor: FETCH, or MOVE when they are only counted.
    Cursor { name: String, count: u64, is_move: bool },
    /// No rows; the whole tag.
    Done(String),
}

impl Connection {
    /// Runs every statement of a text, up to the first that fails. Nothing runs when the text as a
    /// whole cannot be parsed.
    pub(super) async fn simple_query(&mut self, text: &str) -> Step<()> {
        let mut limits = self.limits();
        let statements = self.parse(&mut limits, text).await?;
        if statements.is_empty() {
            self.set_active("");
            return Ok(self.socket.put(&EmptyQueryResponse::new())?);
        }
        for parsed in statements {
            self.set_active(&parsed.redacted);
            let mut limits = self.limits();
            self.check_block(Some(&parsed.statement))?;
            let limits = &mut limits;
            let answer = match sql_of(&parsed.statement) {
                Some(sql) => {
                    self.check_declare(&parsed.statement)?;
                    let query = self.plan(limits, sql, text.to_owned(), vec![]).await?;
                    if !query.parameter_types.is_empty() {
                        return Err(no_parameter().into());
                    }
                    match parsed.statement {
                        Statement::Session(statement) => self.declare(limits, statement, &query, vec![]).await?,
                        _ => self.run_query(limits, &query, vec![]).await?,
                    }
                }
                None if parsed.parameter_count > 0 => return Err(no_parameter().into()),
                None => self.run_other(limits, parsed.statement).await?,
            };
            self.send_answer(limits, answer).await?;
        }
        Ok(())
    }

    /// Begins a planned query.
    pub(super) async fn run_query(
        &mut self,
        limits: &mut Limits,
        query: &Arc<PlannedQuery>,
        values: Vec<ScalarValue>,
    ) -> Step<Answer> {
        let mut source = self.open_query(limits, query, values).await?;
        if has_rows(query) {
            return Ok(Answer::Rows(Box::new(source), query.tag));
        }
        // Statements without rows have done their work when their stream has ended.
        self.take_rows(limits, &mut source, Rows::Count, u64::MAX).await?;
        Ok(Answer::Done(query.tag.to_owned()))
    }

    /// The rows of a planned query.
    pub(super) async fn open_query(
        &mut self,
        limits: &mut Limits,
        query: &Arc<PlannedQuery>,
        values: Vec<ScalarValue>,
    ) -> Step<RowSource> {
        let (gateway, session, planned) = (self.gateway.clone(), self.session.clone(), query.clone());
        let stream = self.drive_apart(limits, async move { planned.execute(&gateway, &session, values).await }).await?;
        Ok(RowSource::new(query.columns.clone(), stream))
    }

    /// Runs one of our own statements, or one of the session; their values are in place.
    pub(super) async fn run_other(&mut self, limits: &mut Limits, statement: Statement) -> Step<Answer> {
        let outcome = match statement {
            Statement::Session(SessionStatement::Execute { name, arguments }) => {
                return Box::pin(self.execute_sql(limits, &name, &arguments)).await;
            }
            Statement::Session(statement) => return Box::pin(self.session_statement(limits, statement)).await,
            own => {
                let (gateway, session) = (self.gateway.clone(), self.session.clone());
                let plans_query = plans_query(&own);
                let work = async move { execute::execute(&gateway, &session, own).await };
                if plans_query { self.drive_apart(limits, work).await? } else { self.drive_near(limits, work).await? }
            }
        };
        Ok(answer_of(outcome))
    }

    /// Sends a whole answer in the simple protocol: description, rows as text, tag.
    async fn send_answer(&mut self, limits: &mut Limits, answer: Answer) -> Step<()> {
        let tag = match answer {
            Answer::Done(tag) => tag,
            Answer::Rows(mut source, tag) => {
                let formats = vec![false; source.columns.len()];
                self.put_notices()?;
                self.put_row_description(&source.columns, &formats)?;
                let count = self.take_rows(limits, &mut source, Rows::Send(&formats), u64::MAX).await?;
                counted(tag, count)
            }
            Answer::Cursor { name, count, is_move } => {
                if !is_move {
                    let columns = self.cursor(&name)?.source.columns.clone();
                    self.put_row_description(&columns, &vec![false; columns.len()])?;
                }
                let formats = (!is_move).then(|| vec![false; self.cursor(&name).map_or(0, |c| c.source.columns.len())]);
                let taken = self.take_from_cursor(limits, &name, formats.as_deref(), count).await?;
                format!("{} {taken}", if is_move { "MOVE" } else { "FETCH" })
            }
        };
        self.put_complete(tag)
    }
}

/// Whether one of our own statements plans a query, which may keep a thread busy.
pub(super) fn plans_query(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::CreateSyncJob(_)
            | Statement::AlterJob { .. }
            | Statement::ExplainJob { .. }
            | Statement::ExplainCreateJob { .. }
    )
}

/// What an outcome means for the front.
fn answer_of(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Rows { columns, rows, tag } => Answer::Rows(Box::new(RowSource::new(columns, rows)), tag),
        Outcome::Done { tag } => Answer::Done(tag),
        Outcome::Empty => Answer::Done(String::new()),
    }
}

/// The command tag of rows: PostgreSQL counts for some.
pub(super) fn counted(tag: &str, count: u64) -> String {
    match tag {
        "SELECT" | "FETCH" | "MOVE" | "UPDATE" | "DELETE" | "MERGE" => format!("{tag} {count}"),
        "INSERT" => format!("{tag} 0 {count}"),
        _ => tag.to_owned(),
    }
}

fn no_parameter() -> Error {
    Error::new(ErrorKind::Remote("42P02".into()), "there is no parameter $1")
        .with_hint("Parameters need the extended protocol, or PREPARE and EXECUTE.")
}
