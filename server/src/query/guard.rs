//! Which stock statements run: queries and EXPLAIN of queries. Everything else is refused by name.

use catalog::{Error, ErrorKind};
use datafusion::sql::sqlparser::ast::{Query, SetExpr, Statement};

/// A stock statement that runs.
pub(crate) enum Runnable<'a> {
    /// SELECT, VALUES, WITH, TABLE.
    Query(&'a Query),
    /// EXPLAIN of one.
    Explain {
        /// Run it and show what every step did.
        analyze: bool,
        /// Show more.
        verbose: bool,
        /// What is explained.
        query: &'a Query,
    },
}

/// What a statement is, or why it does not run.
pub(crate) fn classify(statement: &Statement) -> Result<Runnable<'_>, Error> {
    match statement {
        Statement::Query(query) => {
            check_query(query)?;
            Ok(Runnable::Query(query))
        }
        Statement::Explain { analyze, verbose, statement, format, options, .. } => {
            let (mut analyze, mut verbose) = (*analyze, *verbose);
            if format.is_some() {
                return Err(Error::unsupported("EXPLAIN with a FORMAT other than TEXT"));
            }
            for option in options.iter().flatten() {
                let value = option.arg.as_ref().map(|v| v.to_string().trim_matches('\'').to_lowercase());
                let is_on = !matches!(value.as_deref(), Some("false" | "off" | "0"));
                match option.name.value.to_lowercase().as_str() {
                    "analyze" => analyze = is_on,
                    "verbose" => verbose = is_on,
                    "format" if value.as_deref() == Some("text") => {}
                    "format" => return Err(Error::unsupported("EXPLAIN with a FORMAT other than TEXT")),
                    // They change what PostgreSQL prints and mean nothing here.
                    "costs" | "buffers" | "timing" | "summary" | "settings" | "wal" => {}
                    other => {
                        return Err(Error::new(ErrorKind::Syntax, format!("unrecognized EXPLAIN option \"{other}\"")));
                    }
                }
            }
            match statement.as_ref() {
                Statement::Query(query) => {
                    check_query(query)?;
                    Ok(Runnable::Explain { analyze, verbose, query })
                }
                other => Err(Error::new(ErrorKind::Unsupported, format!("EXPLAIN {} is not supported", head(other)))),
            }
        }
        other => Err(refused(other)),
    }
}

/// Data-modifying parts of a query, and forms that are other databases'.
fn check_query(query: &Query) -> Result<(), Error> {
    if !query.locks.is_empty() {
        return Err(Error::new(ErrorKind::Unsupported, "SELECT .. FOR UPDATE and FOR SHARE are not supported")
            .with_detail("Nothing here takes row locks."));
    }
    check_body(&query.body)?;
    for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
        check_query(&cte.query)?;
    }
    Ok(())
}

fn check_body(body: &SetExpr) -> Result<(), Error> {
    match body {
        SetExpr::Select(select) if select.into.is_some() => Err(refusal("SELECT INTO")),
        SetExpr::Query(query) => check_query(query),
        SetExpr::SetOperation { left, right, .. } => {
            check_body(left)?;
            check_body(right)
        }
        SetExpr::Insert(statement)
        | SetExpr::Update(statement)
        | SetExpr::Delete(statement)
        | SetExpr::Merge(statement) => Err(refused(statement)),
        SetExpr::Select(_) | SetExpr::Values(_) | SetExpr::Table(_) => Ok(()),
    }
}

fn refused(statement: &Statement) -> Error {
    refusal(&head(statement))
}

fn refusal(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{what} is not supported"))
        .with_hint("The gateway moves data with CREATE SYNC JOB .. INTO source.schema.table AS SELECT ..;")
}

/// The statement's first words, in capitals: `CREATE TABLE`, `INSERT`.
fn head(statement: &Statement) -> String {
    const FILLERS: &[&str] =
        &["OR", "REPLACE", "TEMP", "TEMPORARY", "UNLOGGED", "LOCAL", "GLOBAL", "UNIQUE", "RECURSIVE", "EXTERNAL"];
    let text = statement.to_string();
    let mut words = text.split_whitespace().map(str::to_uppercase).filter(|w| !FILLERS.contains(&w.as_str()));
    let first = words.next().unwrap_or_default();
    match first.as_str() {
        "CREATE" | "ALTER" | "DROP" => match words.next() {
            Some(noun) if noun == "MATERIALIZED" => format!("{first} MATERIALIZED VIEW"),
            Some(noun) => format!("{first} {noun}"),
            None => first,
        },
        _ => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str) -> Result<(), Error> {
        let parsed = planner::parse(sql)?.remove(0);
        let planner::Statement::Sql(statement) = parsed.statement else { panic!("{sql}") };
        classify(&statement).map(|_| ())
    }

    #[test]
    fn only_queries_run_and_everything_else_is_refused_by_name() {
        for sql in
            ["select 1", "values (1)", "with a as (select 1) select * from a", "explain (analyze, verbose) select 1"]
        {
            check(sql).unwrap();
        }
        for (sql, message) in [
            ("insert into t values (1)", "INSERT is not supported"),
            ("create table t (a int)", "CREATE TABLE is not supported"),
            ("create temp table t (a int)", "CREATE TABLE is not supported"),
            ("drop table t", "DROP TABLE is not supported"),
            ("delete from t", "DELETE is not supported"),
            ("update t set a = 1", "UPDATE is not supported"),
            ("select 1 into t", "SELECT INTO is not supported"),
            ("create view v as select 1", "CREATE VIEW is not supported"),
            ("explain insert into t values (1)", "EXPLAIN INSERT is not supported"),
        ] {
            let error = check(sql).unwrap_err();
            assert_eq!((error.sqlstate(), error.message()), ("0A000", message), "{sql}");
        }
    }
}
