//! Statements of the session: transactions, settings, prepared statements, cursors, LISTEN.

use super::connection::Connection;
use super::run::{Limits, RowSource, Step};
use super::simple::Answer;
use crate::execute;
use crate::outcome::{Notice, Outcome, OutputColumn};
use crate::session::TransactionStatus;
use crate::settings::Settings;
use catalog::{Error, ErrorKind, Result};
use planner::{SessionStatement, Statement};

impl Connection {
    /// Runs one. DECLARE and EXECUTE, which have a query, come to [`super::cursor`] instead.
    pub(super) async fn session_statement(&mut self, limits: &mut Limits, statement: SessionStatement) -> Step<Answer> {
        let tag = planner::command_tag(&Statement::Session(statement.clone()));
        let done = || Ok(Answer::Done(tag.to_owned()));
        match statement {
            SessionStatement::Begin { read_only } => {
                self.session.begin(read_only);
                done()
            }
            SessionStatement::Commit => {
                let was_failed = self.session.status() == TransactionStatus::Failed;
                let (gateway, session) = (self.gateway.clone(), self.session.clone());
                // What is durable is durable: a commit that has begun ends, with its effects.
                let result = self.drive_to_end(async move { execute::commit(&gateway, &session).await }).await;
                self.end_cursors(result.is_ok() && !was_failed);
                Ok(Answer::Done(result?.to_owned()))
            }
            SessionStatement::Rollback => {
                self.end_cursors(false);
                self.session.rollback();
                done()
            }
            SessionStatement::Savepoint(name) => {
                self.session.savepoint(&name)?;
                done()
            }
            SessionStatement::Release(name) => {
                self.check_in_block("RELEASE SAVEPOINT")?;
                self.session.release(&name)?;
                done()
            }
            SessionStatement::RollbackTo(name) => {
                self.check_in_block("ROLLBACK TO SAVEPOINT")?;
                self.session.rollback_to(&name)?;
                self.portals.clear();
                done()
            }
            SessionStatement::SetTransaction { read_only } => {
                self.session.set_transaction(read_only);
                done()
            }
            SessionStatement::Set { local, name, value } => {
                self.set(local, &name, value)?;
                done()
            }
            SessionStatement::ShowSetting(name) => Ok(self.show(&name)?),
            SessionStatement::Reset(name) => {
                if name == "all" {
                    self.session.settings.lock().reset_all();
                } else {
                    self.session.settings.lock().reset(&name, false)?;
                }
                done()
            }
            SessionStatement::Discard(what) => {
                if what.eq_ignore_ascii_case("all") {
                    self.discard_all()?;
                }
                done()
            }
            SessionStatement::Deallocate(name) => {
                match name {
                    Some(name) => {
                        self.statement(&name)?;
                        self.statements.remove(&name);
                    }
                    None => self.statements.clear(),
                }
                done()
            }
            SessionStatement::Prepare { name, types, text } => {
                self.prepare_sql(limits, name, &types, text).await?;
                done()
            }
            SessionStatement::Fetch { name, count } => Ok(self.movement(name, count, false)?),
            SessionStatement::Move { name, count } => Ok(self.movement(name, count, true)?),
            SessionStatement::Close(name) => {
                self.close_cursor(name.as_deref())?;
                done()
            }
            // Nobody can notify: to listen is to wait in vain, which pools and drivers may do.
            SessionStatement::Listen(_) | SessionStatement::Unlisten(_) => done(),
            SessionStatement::Notify(_) => Err(Error::unsupported("NOTIFY").into()),
            SessionStatement::Execute { .. } | SessionStatement::DeclareCursor { .. } => {
                Err(Error::internal("a statement with a query came to the wrong place").into())
            }
        }
    }

    /// The columns that a statement of the session answers with; None when it has no rows or
    /// names nothing that is there.
    pub(super) fn session_columns(&self, statement: &SessionStatement) -> Option<Vec<OutputColumn>> {
        match statement {
            SessionStatement::ShowSetting(name) if name == "all" => {
                Some(SHOW_ALL_COLUMNS.iter().map(|name| OutputColumn::text(name)).collect())
            }
            SessionStatement::ShowSetting(name) => {
                let (name, _) = self.session.settings.lock().show(name).ok()?;
                Some(vec![OutputColumn::text(&name)])
            }
            SessionStatement::Fetch { name, .. } => Some(self.cursors.get(name)?.source.columns.clone()),
            _ => None,
        }
    }

    fn check_in_block(&self, what: &str) -> Result<()> {
        if self.session.status() == TransactionStatus::Idle {
            return Err(Error::new(
                ErrorKind::Remote("25P01".into()),
                format!("{what} can only be used in transaction blocks"),
            ));
        }
        Ok(())
    }

    /// SET [LOCAL] name = value
    fn set(&mut self, local: bool, name: &str, value: Option<Vec<String>>) -> Result<()> {
        if local && self.session.status() == TransactionStatus::Idle {
            self.session.notice(Notice::warning("SET LOCAL can only be used in transaction blocks").with_code("25P01"));
        }
        let Some(values) = value else { return self.session.settings.lock().reset(name, local) };
        let value = joined(name, &values);
        // The access mode belongs to the transaction: one that runs changes at once.
        if name.eq_ignore_ascii_case("transaction_read_only") {
            let read_only = crate::settings::parse_bool(&value).ok_or_else(|| {
                Error::new(ErrorKind::InvalidValue, "parameter \"transaction_read_only\" requires a Boolean value")
            })?;
            self.session.set_transaction(Some(read_only));
            return Ok(());
        }
        self.session.settings.lock().set(name, &value, local)
    }

    /// SHOW name and SHOW ALL
    fn show(&self, name: &str) -> Result<Answer> {
        let settings: Settings = self.session.settings.lock().clone();
        let outcome = if name == "all" {
            let rows = settings.rows().into_iter().map(|row| {
                let value = self.shown_value(&row.name, row.value);
                vec![Some(row.name), Some(value), Some(row.description.to_owned())]
            });
            Outcome::text_rows(SHOW_ALL_COLUMNS, rows.collect(), "SHOW")?
        } else {
            let (name, value) = settings.show(name)?;
            let value = self.shown_value(&name, value);
            Outcome::text_rows(&[&name], vec![vec![Some(value)]], "SHOW")?
        };
        match outcome {
            Outcome::Rows { columns, rows, tag } => Ok(Answer::Rows(Box::new(RowSource::new(columns, rows)), tag)),
            Outcome::Done { .. } | Outcome::Empty => Err(Error::internal("SHOW gave no rows")),
        }
    }

    fn shown_value(&self, name: &str, value: String) -> String {
        match name {
            "transaction_read_only" => if self.session.is_read_only() { "on" } else { "off" }.to_owned(),
            _ => value,
        }
    }

    /// DISCARD ALL: as if the client had just connected.
    fn discard_all(&mut self) -> Result<()> {
        if self.session.status() != TransactionStatus::Idle {
            return Err(Error::new(ErrorKind::InTransaction, "DISCARD ALL cannot run inside a transaction block"));
        }
        self.cursors.clear();
        self.portals.clear();
        self.statements.clear();
        self.session.settings.lock().reset_all();
        Ok(())
    }
}

const SHOW_ALL_COLUMNS: &[&str] = &["name", "setting", "description"];

/// Several values of one setting as its text: names of schemas are quoted where they must be.
fn joined(name: &str, values: &[String]) -> String {
    let is_list_of_names = name.eq_ignore_ascii_case("search_path");
    let quoted = values.iter().map(|value| match value.as_str() {
        plain if !is_list_of_names || values.len() == 1 && plain.contains(',') => plain.to_owned(),
        name => catalog::quote_ident(name).to_string(),
    });
    quoted.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_values() {
        let strings = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
        assert_eq!(joined("datestyle", &strings(&["iso", "dmy"])), "iso, dmy");
        assert_eq!(joined("search_path", &strings(&["$user", "public"])), "\"$user\", public");
        assert_eq!(joined("search_path", &strings(&["a, b"])), "a, b");
    }
}
