//! Prepared statements: of the protocol and of PREPARE, which share their names.

use super::connection::{Connection, STATEMENTS_MAX, block_failed};
use super::error::coded;
use super::run::{Limits, Step};
use super::simple::plans_query;
use crate::execute;
use crate::outcome::OutputColumn;
use crate::pg_types::{oid, parse_type};
use crate::query::{self, PlannedQuery};
use crate::session::TransactionStatus;
use catalog::store::Snapshot;
use catalog::{Error, ErrorKind, Result};
use datafusion::sql::sqlparser::ast;
use futures::FutureExt;
use parking_lot::Mutex;
use planner::{Parsed, SessionStatement, Statement};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A plan is made anew after this time: tables at the sources change without telling us.
const PLAN_AGE_MAX: Duration = Duration::from_secs(60);
/// Texts that are parsed without a change of threads.
const PARSED_HERE_BYTES_MAX: usize = 16 << 10;

/// A statement that was parsed, and planned as far as it needs to be.
pub(super) struct Prepared {
    /// The whole text that positions refer to.
    pub text: String,
    /// None: empty.
    pub parsed: Option<Parsed>,
    /// What the client said of its parameters.
    declared: Vec<Option<u32>>,
    /// Type oids of `$1`, `$2`, ..
    pub parameter_types: Vec<u32>,
    /// Columns of one of our own statements.
    own_columns: Option<Vec<OutputColumn>>,
    /// The plan of stock SQL and of a cursor's query, with what it was made under.
    plan: Mutex<Option<Plan>>,
}

#[derive(Clone)]
struct Plan {
    query: Arc<PlannedQuery>,
    snapshot: Arc<Snapshot>,
    settings_generation: u64,
    made_at: Instant,
}

/// The stock SQL in a statement: itself, or the query of a cursor.
pub(super) fn sql_of(statement: &Statement) -> Option<ast::Statement> {
    match statement {
        Statement::Sql(statement) => Some((**statement).clone()),
        Statement::Session(SessionStatement::DeclareCursor { query, .. }) => Some(ast::Statement::Query(query.clone())),
        _ => None,
    }
}

/// Whether a failed block lets the statement through: only its end does.
pub(super) fn ends_block(statement: &Statement) -> bool {
    use SessionStatement::{Commit, Rollback, RollbackTo};
    matches!(statement, Statement::Session(Commit | Rollback | RollbackTo(_)))
}

impl Connection {
    /// 25P02 for everything but the end of a failed block.
    pub(super) fn check_block(&self, statement: Option<&Statement>) -> Result<()> {
        let failed = self.session.status() == TransactionStatus::Failed;
        if failed && !statement.is_some_and(ends_block) { Err(block_failed()) } else { Ok(()) }
    }

    /// Plans stock SQL on the runtime of queries.
    pub(super) async fn plan(
        &mut self,
        limits: &mut Limits,
        statement: ast::Statement,
        text: String,
        declared: Vec<Option<u32>>,
    ) -> Step<Arc<PlannedQuery>> {
        if let ast::Statement::Copy { .. } = statement {
            return Err(Error::unsupported("COPY").into());
        }
        let (gateway, session) = (self.gateway.clone(), self.session.clone());
        let planned = self
            .drive_apart(limits, async move { query::plan(&gateway, &session, &statement, &text, &declared).await })
            .await?;
        Ok(Arc::new(planned))
    }

    /// Parses and plans a text with at most one statement.
    pub(super) async fn prepare(
        &mut self,
        limits: &mut Limits,
        text: String,
        declared: Vec<Option<u32>>,
    ) -> Step<Prepared> {
        let mut statements = self.parse(limits, &text).await?;
        if statements.len() > 1 {
            return Err(
                Error::new(ErrorKind::Syntax, "cannot insert multiple commands into a prepared statement").into()
            );
        }
        let parsed = statements.pop();
        if let Some(parsed) = &parsed {
            self.set_active(&parsed.redacted);
        }
        self.check_block(parsed.as_ref().map(|p| &p.statement))
            .or_else(|e| if parsed.is_none() { Ok(()) } else { Err(e) })?;
        let mut prepared =
            Prepared { text, parsed, declared, parameter_types: vec![], own_columns: None, plan: Mutex::new(None) };
        let Some(parsed) = &prepared.parsed else { return Ok(prepared) };
        if sql_of(&parsed.statement).is_some() {
            let query = self.planned(limits, &prepared).await?;
            prepared.parameter_types = query.parameter_types.clone();
        } else if let Statement::Session(_) = parsed.statement {
            // They have no parameters.
        } else {
            // Values stand where literals stand: text, whatever the client calls it.
            let declared = |i: usize| prepared.declared.get(i).copied().flatten().unwrap_or(oid::TEXT);
            prepared.parameter_types = (0..parsed.parameter_count).map(declared).collect();
            let (gateway, session, statement) = (self.gateway.clone(), self.session.clone(), parsed.statement.clone());
            let plans_query = plans_query(&statement);
            let work = async move { execute::describe(&gateway, &session, &statement).await };
            prepared.own_columns =
                if plans_query { self.drive_apart(limits, work).await? } else { self.drive_near(limits, work).await? };
        }
        Ok(prepared)
    }

    /// Parses a text: a short one here, so that COMMIT and SHOW need no runtime of queries, a long
    /// one there, where it delays no other connection.
    pub(super) async fn parse(&mut self, limits: &mut Limits, text: &str) -> Step<Vec<Parsed>> {
        let owned = text.to_owned();
        let parsed = if text.len() < PARSED_HERE_BYTES_MAX {
            self.drive(limits, async move { planner::parse(&owned) }.boxed()).await
        } else {
            self.drive_apart(limits, async move { planner::parse(&owned) }).await
        };
        if parsed.is_err() {
            // What cannot be parsed is shown by its first words at most.
            let shown = if text.len() < PARSED_HERE_BYTES_MAX { planner::redact(text) } else { String::new() };
            self.set_active(&shown);
        }
        parsed
    }

    /// The plan of a prepared statement, made anew when definitions or settings have changed since.
    pub(super) async fn planned(&mut self, limits: &mut Limits, prepared: &Prepared) -> Step<Arc<PlannedQuery>> {
        let statement = prepared.parsed.as_ref().and_then(|p| sql_of(&p.statement));
        let Some(statement) = statement else {
            return Err(Error::internal("a statement without a query was to be planned").into());
        };
        let snapshot = self.session.snapshot(&self.gateway.store);
        let settings_generation = self.session.settings.lock().generation();
        let known = prepared.plan.lock().clone();
        if let Some(plan) = &known
            && Arc::ptr_eq(&plan.snapshot, &snapshot)
            && plan.settings_generation == settings_generation
            && plan.made_at.elapsed() < PLAN_AGE_MAX
        {
            return Ok(plan.query.clone());
        }
        let made_at = Instant::now();
        let query = self.plan(limits, statement, prepared.text.clone(), prepared.declared.clone()).await?;
        if let Some(before) = known
            && !same_shape(&before.query, &query)
        {
            return Err(Error::new(ErrorKind::Unsupported, "cached plan must not change result type").into());
        }
        *prepared.plan.lock() = Some(Plan { query: query.clone(), snapshot, settings_generation, made_at });
        Ok(query)
    }

    /// The columns that a statement will answer with; None when it has no rows.
    pub(super) async fn columns_of(
        &mut self,
        limits: &mut Limits,
        prepared: &Prepared,
    ) -> Step<Option<Vec<OutputColumn>>> {
        let Some(parsed) = &prepared.parsed else { return Ok(None) };
        match &parsed.statement {
            Statement::Sql(_) => {
                let query = self.planned(limits, prepared).await?;
                Ok(has_rows(&query).then(|| query.columns.clone()))
            }
            Statement::Session(SessionStatement::Execute { name, .. }) => match self.statements.get(name).cloned() {
                // PREPARE of EXECUTE is refused, so this goes one step down and no further.
                Some(inner) => Box::pin(self.columns_of(limits, &inner)).await,
                None => Ok(None),
            },
            Statement::Session(statement) => Ok(self.session_columns(statement)),
            _ => Ok(prepared.own_columns.clone()),
        }
    }

    /// Remembers a prepared statement. The unnamed one is replaced, others must be new.
    pub(super) fn store_statement(&mut self, name: String, prepared: Prepared) -> Result<()> {
        if !name.is_empty() {
            if self.statements.contains_key(&name) {
                return Err(coded("42P05", format!("prepared statement \"{name}\" already exists")));
            }
            if self.statements.len() >= STATEMENTS_MAX {
                return Err(coded(
                    "53400",
                    format!("a session may not have more than {STATEMENTS_MAX} prepared statements"),
                )
                .with_hint("DEALLOCATE ALL;"));
            }
        }
        self.statements.insert(name, Arc::new(prepared));
        Ok(())
    }

    pub(super) fn statement(&self, name: &str) -> Result<Arc<Prepared>> {
        self.statements.get(name).cloned().ok_or_else(|| match name {
            "" => Error::new(ErrorKind::UndefinedStatement, "unnamed prepared statement does not exist"),
            _ => Error::new(ErrorKind::UndefinedStatement, format!("prepared statement \"{name}\" does not exist")),
        })
    }

    /// PREPARE name (types) AS text
    pub(super) async fn prepare_sql(
        &mut self,
        limits: &mut Limits,
        name: String,
        types: &[String],
        text: String,
    ) -> Step<()> {
        if self.statements.contains_key(&name) {
            return Err(coded("42P05", format!("prepared statement \"{name}\" already exists")).into());
        }
        let declared = types.iter().map(|written| match parse_type(written) {
            Some((type_oid, _)) => Ok((type_oid != oid::UNKNOWN).then_some(type_oid)),
            None => Err(Error::new(ErrorKind::UndefinedObject, format!("type \"{written}\" does not exist"))),
        });
        let declared = declared.collect::<Result<Vec<_>>>()?;
        let redacted = self.redacted.clone();
        let prepared = self.prepare(limits, text, declared).await?;
        self.set_active(&redacted);
        if matches!(&prepared.parsed, Some(Parsed { statement: Statement::Session(_), .. }) | None) {
            return Err(Error::unsupported("PREPARE of a statement of the session").into());
        }
        Ok(self.store_statement(name, prepared)?)
    }
}

/// Whether a planned query answers with rows; `SELECT` without columns does, with empty ones.
pub(super) fn has_rows(query: &PlannedQuery) -> bool {
    !query.columns.is_empty() || query.tag == "SELECT"
}

fn same_shape(a: &PlannedQuery, b: &PlannedQuery) -> bool {
    a.parameter_types == b.parameter_types
        && a.columns.len() == b.columns.len()
        && a.columns.iter().zip(&b.columns).all(|(a, b)| a.name == b.name && a.type_oid == b.type_oid)
}
