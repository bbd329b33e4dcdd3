//! Cursors (DECLARE, FETCH, MOVE, CLOSE) and EXECUTE of a prepared statement.

use super::connection::{Connection, Cursor, PORTALS_MAX};
use super::decode::{decode_as_text, scalar_as_text};
use super::encode::Style;
use super::error::coded;
use super::prepared::sql_of;
use super::run::{Limits, Rows, Step};
use super::simple::Answer;
use crate::pg_types::{oid, type_name};
use crate::query::PlannedQuery;
use crate::session::TransactionStatus;
use bytes::Bytes;
use catalog::{Error, ErrorKind, Result};
use datafusion::common::ScalarValue;
use futures::{FutureExt, TryStreamExt};
use planner::{FetchCount, SessionStatement, Statement};
use std::sync::Arc;

impl Connection {
    pub(super) fn cursor(&self, name: &str) -> Result<&Cursor> {
        self.cursors.get(name).ok_or_else(|| no_cursor(name))
    }

    /// 25P01 for a cursor that would end with its own statement.
    pub(super) fn check_declare(&self, statement: &Statement) -> Result<()> {
        match statement {
            Statement::Session(SessionStatement::DeclareCursor { hold: false, .. })
                if self.session.status() == TransactionStatus::Idle =>
            {
                Err(coded("25P01", "DECLARE CURSOR can only be used in transaction blocks")
                    .with_hint("BEGIN; or DECLARE .. CURSOR WITH HOLD FOR .."))
            }
            _ => Ok(()),
        }
    }

    /// DECLARE: its query begins, its rows wait.
    pub(super) async fn declare(
        &mut self,
        limits: &mut Limits,
        statement: SessionStatement,
        query: &Arc<PlannedQuery>,
        values: Vec<ScalarValue>,
    ) -> Step<Answer> {
        let SessionStatement::DeclareCursor { name, hold, .. } = statement else {
            return Err(Error::internal("a statement without a cursor was to declare one").into());
        };
        if self.cursors.contains_key(&name) || self.portals.contains_key(&name) {
            return Err(coded("42P03", format!("cursor \"{name}\" already exists")).into());
        }
        if self.portals.len() + self.cursors.len() >= PORTALS_MAX {
            return Err(coded("53400", format!("a session may not have more than {PORTALS_MAX} portals and cursors"))
                .with_hint("CLOSE ALL;")
                .into());
        }
        let source = self.open_query(limits, query, values).await?;
        let is_new = self.session.status() != TransactionStatus::Idle;
        self.cursors.insert(name, Cursor { source, hold, is_new });
        Ok(Answer::Done("DECLARE CURSOR".to_owned()))
    }

    /// FETCH and MOVE.
    pub(super) fn movement(&self, name: String, count: FetchCount, is_move: bool) -> Result<Answer> {
        self.cursor(&name)?;
        let count = match count {
            FetchCount::Forward(count) => count,
            FetchCount::All => u64::MAX,
        };
        Ok(Answer::Cursor { name, count, is_move })
    }

    /// Takes rows of a cursor: they are sent, or counted when there are no formats.
    pub(super) async fn take_from_cursor(
        &mut self,
        limits: &mut Limits,
        name: &str,
        formats: Option<&[bool]>,
        count: u64,
    ) -> Step<u64> {
        let mut cursor = self.cursors.remove(name).ok_or_else(|| no_cursor(name))?;
        let rows = formats.map_or(Rows::Count, Rows::Send);
        let taken = self.take_rows(limits, &mut cursor.source, rows, count).await;
        self.cursors.insert(name.to_owned(), cursor);
        taken
    }

    pub(super) fn close_cursor(&mut self, name: Option<&str>) -> Result<()> {
        match name {
            Some(name) => self.cursors.remove(name).map(|_| ()).ok_or_else(|| no_cursor(name)),
            None => {
                self.cursors.clear();
                Ok(())
            }
        }
    }

    /// The end of a transaction ends its portals and cursors; those WITH HOLD outlive a COMMIT.
    pub(super) fn end_cursors(&mut self, is_commit: bool) {
        self.cursors.retain(|_, cursor| cursor.hold && (is_commit || !cursor.is_new));
        self.cursors.values_mut().for_each(|cursor| cursor.is_new = false);
        self.portals.clear();
    }

    /// EXECUTE name (arguments)
    pub(super) async fn execute_sql(&mut self, limits: &mut Limits, name: &str, arguments: &[String]) -> Step<Answer> {
        let prepared = self.statement(name)?;
        let wanted = prepared.parameter_types.len();
        if arguments.len() != wanted {
            return Err(Error::new(
                ErrorKind::Syntax,
                format!("wrong number of parameters for prepared statement \"{name}\""),
            )
            .with_detail(format!("Expected {wanted} parameters but got {}.", arguments.len()))
            .into());
        }
        let Some(parsed) = prepared.parsed.clone() else { return Ok(Answer::Done(String::new())) };
        self.check_block(Some(&parsed.statement))?;
        let values = self.arguments(limits, arguments, &prepared.parameter_types).await?;
        if sql_of(&parsed.statement).is_some() {
            let query = self.planned(limits, &prepared).await?;
            return self.run_query(limits, &query, values).await;
        }
        let style = Style::of(&self.session.settings.lock());
        let texts = values.iter().zip(&prepared.parameter_types).map(|(value, type_oid)| {
            let text = scalar_as_text(value, *type_oid, &style)?;
            // As if the client had bound it, so that both ways check alike.
            decode_as_text(text.map(Bytes::from).as_ref(), false, *type_oid, &style)
        });
        let texts = texts.collect::<Result<Vec<_>>>()?;
        let bound = planner::bind(parsed.statement, &texts)?;
        self.run_other(limits, bound).await
    }

    /// The values of expressions, by a query that selects them in the types that are wanted.
    async fn arguments(&mut self, limits: &mut Limits, arguments: &[String], types: &[u32]) -> Step<Vec<ScalarValue>> {
        if arguments.is_empty() {
            return Ok(vec![]);
        }
        let items = arguments.iter().zip(types).map(|(argument, type_oid)| match type_name(*type_oid) {
            Some(name) if *type_oid != oid::UNKNOWN => format!("CAST(({argument}) AS {name})"),
            _ => format!("({argument})"),
        });
        let text = format!("SELECT {}", items.collect::<Vec<_>>().join(", "));
        let statement = self.parse(limits, &text).await?.pop().and_then(|parsed| sql_of(&parsed.statement));
        let Some(statement) = statement else {
            return Err(Error::internal("the arguments of EXECUTE are no query").into());
        };
        let query = self.plan(limits, statement, text, vec![]).await.map_err(without_position)?;
        let (gateway, session) = (self.gateway.clone(), self.session.clone());
        let mut rows = self.drive_apart(limits, async move { query.execute(&gateway, &session, vec![]).await }).await?;
        while let Some(batch) = self.drive(limits, rows.try_next().boxed()).await? {
            if batch.num_rows() > 0 {
                let values = batch.columns().iter().map(|column| ScalarValue::try_from_array(column, 0));
                return values
                    .collect::<std::result::Result<_, _>>()
                    .map_err(|e| Error::internal("the arguments of EXECUTE could not be read").with_source(e).into());
            }
        }
        Err(Error::internal("the arguments of EXECUTE gave no row").into())
    }
}

/// Positions in a text that the client has not written would point anywhere.
fn without_position(stop: super::run::Stop) -> super::run::Stop {
    match stop {
        super::run::Stop::Statement(error) if error.position().is_some() => {
            let mut plain = Error::new(error.kind().clone(), error.message());
            if let Some(detail) = error.detail() {
                plain = plain.with_detail(detail);
            }
            if let Some(hint) = error.hint() {
                plain = plain.with_hint(hint);
            }
            super::run::Stop::Statement(plain)
        }
        other => other,
    }
}

fn no_cursor(name: &str) -> Error {
    Error::new(ErrorKind::UndefinedCursor, format!("cursor \"{name}\" does not exist"))
}
