//! The extended protocol: Parse, Bind, Describe, Execute, Close.

use super::connection::{Connection, PORTALS_MAX};
use super::decode::{decode, decode_as_text};
use super::encode::Style;
use super::error::{coded, protocol_violation};
use super::message::{Bind, Message};
use super::prepared::{Prepared, ends_block, sql_of};
use super::run::{Limits, RowSource, Rows, Step};
use super::simple::{Answer, counted};
use catalog::{Error, ErrorKind, Result};
use datafusion::common::ScalarValue;
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended};
use pgwire::messages::response::EmptyQueryResponse;
use planner::Statement;
use std::sync::Arc;

/// A statement with its values, ready to run or running.
pub(super) struct Portal {
    prepared: Arc<Prepared>,
    values: Values,
    /// As the client asked: none is all text, one is for all columns.
    formats: Vec<i16>,
    state: State,
}

/// Values of parameters.
#[derive(Clone)]
enum Values {
    /// For a plan.
    Scalars(Vec<ScalarValue>),
    /// For one of our own statements.
    Texts(Vec<Option<String>>),
}

enum State {
    New,
    /// Suspended in the middle of its rows.
    Rows(Box<RowSource>, &'static str),
    /// Suspended in the middle of a FETCH.
    Cursor {
        name: String,
        left: u64,
        is_move: bool,
    },
    /// It has answered with everything; the word of its tag when that was rows.
    Done(Option<&'static str>),
}

impl Connection {
    pub(super) async fn extended(&mut self, message: Message) -> Step<()> {
        match message {
            Message::Parse { name, text, types } => {
                let mut limits = self.limits();
                if name.is_empty() {
                    self.statements.remove("");
                }
                let declared =
                    types.into_iter().map(|t| (t != 0 && t != crate::pg_types::oid::UNKNOWN).then_some(t)).collect();
                let prepared = self.prepare(&mut limits, text, declared).await?;
                self.store_statement(name, prepared)?;
                Ok(self.socket.put(&ParseComplete::new())?)
            }
            Message::Bind(bind) => {
                self.bind(bind)?;
                Ok(self.socket.put(&BindComplete::new())?)
            }
            Message::DescribeStatement(name) => {
                let mut limits = self.limits();
                let prepared = self.statement(&name)?;
                self.check_block(prepared.parsed.as_ref().map(|p| &p.statement))?;
                let columns = self.columns_of(&mut limits, &prepared).await?;
                self.socket.put(&ParameterDescription::new(prepared.parameter_types.clone()))?;
                match columns {
                    // Formats are not known before Bind: all are text.
                    Some(columns) => self.put_row_description(&columns, &vec![false; columns.len()]),
                    None => Ok(self.socket.put(&NoData::new())?),
                }
            }
            // A cursor is a portal that DECLARE made; drivers with named cursors describe it so.
            Message::DescribePortal(name) if self.cursors.contains_key(&name) => {
                let columns = self.cursor(&name)?.source.columns.clone();
                self.put_row_description(&columns, &vec![false; columns.len()])
            }
            Message::DescribePortal(name) => {
                let mut limits = self.limits();
                let portal = self.portal(&name)?;
                let (prepared, formats) = (portal.prepared.clone(), portal.formats.clone());
                self.check_block(prepared.parsed.as_ref().map(|p| &p.statement))?;
                match self.columns_of(&mut limits, &prepared).await? {
                    Some(columns) => {
                        let formats = formats_for(&formats, columns.len())?;
                        self.put_row_description(&columns, &formats)
                    }
                    None => Ok(self.socket.put(&NoData::new())?),
                }
            }
            Message::Execute { portal, max_rows } => self.execute_portal(portal, max_rows as u64).await,
            Message::CloseStatement(name) => {
                // Portals keep what they need of their statement.
                self.statements.remove(&name);
                Ok(self.socket.put(&CloseComplete::new())?)
            }
            Message::ClosePortal(name) => {
                self.portals.remove(&name);
                Ok(self.socket.put(&CloseComplete::new())?)
            }
            Message::Query(_) | Message::Flush | Message::Sync | Message::Terminate | Message::Copy => {
                Err(Error::internal("a message came to the wrong place").into())
            }
        }
    }

    fn portal(&self, name: &str) -> Result<&Portal> {
        self.portals.get(name).ok_or_else(|| no_portal(name))
    }

    fn bind(&mut self, bind: Bind) -> Result<()> {
        let prepared = self.statement(&bind.statement)?;
        let statement = prepared.parsed.as_ref().map(|p| &p.statement);
        self.check_block(statement).or_else(|e| if statement.is_none() { Ok(()) } else { Err(e) })?;
        let (given, wanted) = (bind.parameters.len(), prepared.parameter_types.len());
        if given != wanted {
            return Err(protocol_violation(format!(
                "bind message supplies {given} parameters, but prepared statement \"{}\" requires {wanted}",
                bind.statement
            )));
        }
        let format_count = bind.parameter_formats.len();
        if format_count > 1 && format_count != given {
            return Err(protocol_violation(format!(
                "bind message has {format_count} parameter formats but {given} parameters"
            )));
        }
        let style = Style::of(&self.session.settings.lock());
        let is_binary = |i: usize| {
            let format = if format_count == 1 { bind.parameter_formats.first() } else { bind.parameter_formats.get(i) };
            format == Some(&1)
        };
        let parameters = bind.parameters.iter().zip(&prepared.parameter_types).enumerate();
        let values = if statement.is_some_and(|s| sql_of(s).is_some()) {
            let values =
                parameters.map(|(i, (bytes, type_oid))| decode(bytes.as_ref(), is_binary(i), *type_oid, &style.zone));
            Values::Scalars(values.collect::<Result<_>>()?)
        } else {
            let texts = parameters
                .map(|(i, (bytes, type_oid))| decode_as_text(bytes.as_ref(), is_binary(i), *type_oid, &style));
            Values::Texts(texts.collect::<Result<_>>()?)
        };
        if !bind.portal.is_empty() {
            if self.portals.contains_key(&bind.portal) || self.cursors.contains_key(&bind.portal) {
                return Err(coded("42P03", format!("cursor \"{}\" already exists", bind.portal)));
            }
            if self.portals.len() + self.cursors.len() >= PORTALS_MAX {
                return Err(coded(
                    "53400",
                    format!("a session may not have more than {PORTALS_MAX} portals and cursors"),
                ));
            }
        }
        let portal = Portal { prepared, values, formats: bind.result_formats, state: State::New };
        self.portals.insert(bind.portal, portal);
        Ok(())
    }

    async fn execute_portal(&mut self, name: String, max_rows: u64) -> Step<()> {
        let mut limits = self.limits();
        // While it runs it is here; an error leaves it out, as in PostgreSQL it cannot go on.
        let mut portal = self.portals.remove(&name).ok_or_else(|| no_portal(&name))?;
        let Some(parsed) = portal.prepared.parsed.clone() else {
            self.portals.insert(name, portal);
            return Ok(self.socket.put(&EmptyQueryResponse::new())?);
        };
        self.set_active(&parsed.redacted);
        self.check_block(Some(&parsed.statement))?;
        let ends_portals = ends_block(&parsed.statement);
        let state = match std::mem::replace(&mut portal.state, State::Done(None)) {
            State::New => {
                match self.start_portal(&mut limits, &portal.prepared, portal.values.clone(), parsed.statement).await? {
                    Answer::Rows(source, tag) => State::Rows(source, tag),
                    Answer::Cursor { name, count, is_move } => State::Cursor { name, left: count, is_move },
                    Answer::Done(tag) => {
                        self.put_complete(tag)?;
                        // The end of a block has ended its portals, this one included.
                        if !ends_portals {
                            self.portals.insert(name, portal);
                        }
                        return Ok(());
                    }
                }
            }
            State::Done(None) => {
                return Err(Error::new(ErrorKind::Prerequisite, format!("portal \"{name}\" cannot be run")).into());
            }
            running => running,
        };
        portal.state = self.continue_portal(&mut limits, state, &portal.formats, max_rows).await?;
        self.portals.insert(name, portal);
        Ok(())
    }

    async fn start_portal(
        &mut self,
        limits: &mut Limits,
        prepared: &Prepared,
        values: Values,
        statement: Statement,
    ) -> Step<Answer> {
        self.check_declare(&statement)?;
        match values {
            Values::Scalars(values) => {
                let query = self.planned(limits, prepared).await?;
                match statement {
                    Statement::Session(statement) => self.declare(limits, statement, &query, values).await,
                    _ => self.run_query(limits, &query, values).await,
                }
            }
            Values::Texts(texts) => {
                let bound = planner::bind(statement, &texts)?;
                self.run_other(limits, bound).await
            }
        }
    }

    /// Sends up to `max_rows` rows and what follows them; answers how the portal is left.
    async fn continue_portal(
        &mut self,
        limits: &mut Limits,
        state: State,
        formats: &[i16],
        max_rows: u64,
    ) -> Step<State> {
        match state {
            State::Rows(mut source, tag) => {
                let formats = formats_for(formats, source.columns.len())?;
                let count = self.take_rows(limits, &mut source, Rows::Send(&formats), max_rows).await?;
                if count == max_rows {
                    self.socket.put(&PortalSuspended::new())?;
                    return Ok(State::Rows(source, tag));
                }
                self.put_complete(counted(tag, count))?;
                Ok(State::Done(Some(tag)))
            }
            State::Cursor { name, left, is_move } => {
                let columns = self.cursor(&name)?.source.columns.len();
                let formats = if is_move { None } else { Some(formats_for(formats, columns)?) };
                // MOVE has no rows to be limited.
                let limit = if is_move { left } else { left.min(max_rows) };
                let count = self.take_from_cursor(limits, &name, formats.as_deref(), limit).await?;
                if count == max_rows && count < left && !is_move {
                    self.socket.put(&PortalSuspended::new())?;
                    return Ok(State::Cursor { name, left: left - count, is_move });
                }
                let tag = if is_move { "MOVE" } else { "FETCH" };
                self.put_complete(counted(tag, count))?;
                Ok(State::Done((!is_move).then_some(tag)))
            }
            State::Done(tag) => {
                self.put_complete(counted(tag.unwrap_or_default(), 0))?;
                Ok(State::Done(tag))
            }
            State::New => Err(Error::internal("a portal was continued before it began").into()),
        }
    }
}

fn no_portal(name: &str) -> Error {
    Error::new(ErrorKind::UndefinedCursor, format!("portal \"{name}\" does not exist"))
}

/// Whether each column is binary.
fn formats_for(formats: &[i16], columns: usize) -> Result<Vec<bool>> {
    match formats {
        [] => Ok(vec![false; columns]),
        [one] => Ok(vec![*one == 1; columns]),
        many if many.len() == columns => Ok(many.iter().map(|f| *f == 1).collect()),
        many => Err(protocol_violation(format!(
            "bind message has {} result formats but query has {columns} columns",
            many.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_format_is_for_all_columns() {
        assert_eq!(formats_for(&[], 2).unwrap(), [false, false]);
        assert_eq!(formats_for(&[1], 2).unwrap(), [true, true]);
        assert_eq!(formats_for(&[0, 1], 2).unwrap(), [false, true]);
        assert_eq!(formats_for(&[0, 1], 3).unwrap_err().sqlstate(), "08P01");
    }
}
