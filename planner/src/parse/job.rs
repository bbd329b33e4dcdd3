//! CREATE SYNC JOB and ALTER JOB.

use super::cursor::Cursor;
use super::job_clause as clause;
use super::sink_table::{added_column, once};
use super::{is_job_kind, not_built};
use crate::statement::{AlterJob, CreateSyncJob, Statement, SyncTargetInput};
use catalog::{Error, Result};
use datafusion_sql::sqlparser::ast;
use datafusion_sql::sqlparser::tokenizer::Token;
use std::ops::Range;

const CLAUSES_BEFORE_AS: &str =
    "In CREATE SYNC JOB the clauses come before AS; the query is the last part of the statement.";

/// CREATE SYNC JOB [IF NOT EXISTS] name target {clause} [WITH (..)] [AS query]
pub(super) fn create(c: &mut Cursor<'_>) -> Result<Statement> {
    let start = c.here();
    let (or_replace, job) = sync_job(c)?;
    if or_replace {
        return Ok(not_built("CREATE OR REPLACE SYNC JOB", start));
    }
    Ok(Statement::CreateSyncJob(Box::new(job)))
}

/// The target as far as it is known before AS.
enum Target {
    Query { sink: catalog::Path3, columns: Vec<String> },
    Tables(SyncTargetInput),
}

/// Reads the statement to its end; answers whether OR REPLACE was written.
pub(super) fn sync_job(c: &mut Cursor<'_>) -> Result<(bool, CreateSyncJob)> {
    c.expect(&["CREATE"])?;
    let or_replace = c.eat(&["OR", "REPLACE"]);
    c.expect(&["SYNC", "JOB"])?;
    let if_not_exists = c.if_not_exists()?;
    let name = c.simple_name("a job name")?;
    let target = match c.one_of(&["INTO", "FROM"])? {
        "INTO" => {
            let sink = c.path3()?;
            let columns = if c.sees_token(&Token::LParen) { c.columns()? } else { Vec::new() };
            Target::Query { sink, columns }
        }
        _ => Target::Tables(tables(c)?),
    };

    let (mut mode, mut write, mut on_error, mut options) = (None, None, None, None);
    // The clauses that are not built, by whether they were given.
    let mut given: [Option<()>; 7] = [None; 7];
    const IN: &str = "CREATE SYNC JOB";
    let mut query = None;
    while !c.at_end() {
        let at = c.at;
        let word = c.one_of(clause::CLAUSES)?;
        match word {
            "MODE" => once(c, at, word, &mut mode, |c| clause::mode(c, at))?,
            "WRITE" => once(c, at, word, &mut write, clause::write)?,
            "ON ERROR" => once(c, at, word, &mut on_error, |c| clause::on_error(c, at, IN))?,
            "WITH" => once(c, at, word, &mut options, Cursor::options)?,
            "AS" => {
                if let Target::Tables(_) = target {
                    return Err(c.error_at(at).with_hint(
                        "A job FROM a source has no query of its own. Write CREATE SYNC JOB name INTO table .. AS query, \
                         or choose columns and rows in FOR TABLES (schema.table (c, ..) WHERE (..)).",
                    ));
                }
                query = Some(job_query(c)?);
            }
            _ => {
                let read: (usize, fn(&mut Cursor<'_>) -> Result<()>) = match word {
                    "SCHEDULE" => (0, clause::schedule),
                    "START AT" => (1, |c| clause::start_position(c).map(drop)),
                    "ON DELETE" => (2, clause::on_delete),
                    "ON DDL" => (3, clause::on_ddl),
                    "NAME RULES" => (4, clause::name_rules),
                    "ADD COLUMNS" => (5, |c| c.list(added_column).map(drop)),
                    "VERIFY" => (6, clause::verify),
                    "TABLE" => (7, clause::table),
                    _ => (7, clause::merge_tables),
                };
                c.mark_not_built(format!("{word} in {IN}"), at);
                match given.get_mut(read.0) {
                    Some(given) => once(c, at, word, given, read.1)?,
                    // TABLE and MERGE TABLES may be repeated.
                    None => (read.1)(c)?,
                }
            }
        }
    }
    let target = match (target, query) {
        (Target::Tables(target), _) => target,
        (Target::Query { sink, columns }, Some((range, ast))) => SyncTargetInput::Query {
            sink,
            columns,
            query: c.lexed.text(range.clone()).to_owned(),
            query_start: c.lexed.places[range.start].start,
            ast,
        },
        (Target::Query { sink, .. }, None) if mode == Some(catalog::Mode::Merge) => {
            // MERGE names what it reads; it is not built and only its syntax matters here.
            SyncTargetInput::Tables {
                source: sink.source.clone(),
                selection: catalog::definition::Selection::AllTables,
                except: Vec::new(),
                dest: catalog::definition::SinkDest { source: sink.source, schema: None },
            }
        }
        (Target::Query { .. }, None) => {
            return Err(c.expected("AS and a query").with_hint(
                "A job INTO one table ends with AS query: CREATE SYNC JOB name INTO source.schema.table .. AS SELECT ..",
            ));
        }
    };
    let (write, key) = write.map_or((None, Vec::new()), |(write, key)| (Some(write), key));
    Ok((
        or_replace,
        CreateSyncJob { if_not_exists, name, target, mode, write, key, on_error, options: options.unwrap_or_default() },
    ))
}

/// `[SOURCE] s FOR selection [EXCEPT (item, ...)] INTO dest`
fn tables(c: &mut Cursor<'_>) -> Result<SyncTargetInput> {
    let (source, selection, except, dest) = tables_parts(c)?;
    Ok(SyncTargetInput::Tables { source, selection, except, dest })
}

/// The parts that CREATE SYNC JOB and CREATE DDL JOB share.
pub(super) fn tables_parts(
    c: &mut Cursor<'_>,
) -> Result<(String, catalog::definition::Selection, Vec<catalog::definition::TableItem>, catalog::definition::SinkDest)>
{
    // A source may be named "source".
    if c.sees(&["SOURCE"]) && c.word(1) != "FOR" {
        c.expect(&["SOURCE"])?;
    }
    let source = c.simple_name("a source name")?;
    c.expect(&["FOR"])?;
    let selection = clause::selection(c)?;
    let except = if c.eat(&["EXCEPT"]) { c.list(clause::item)? } else { Vec::new() };
    if !c.eat(&["INTO"]) {
        return Err(c.expected("INTO"));
    }
    let dest = clause::destination(c)?;
    Ok((source, selection, except, dest))
}

/// The query after AS: everything to the end of the statement.
fn job_query(c: &mut Cursor<'_>) -> Result<(Range<usize>, Box<ast::Query>)> {
    let range = c.at..c.end;
    if range.is_empty() {
        return Err(c.expected("a query"));
    }
    let query = c.query(range.clone()).map_err(|error| clause_after_query(c, range.clone(), false).unwrap_or(error))?;
    // sqlparser takes `FROM t WITH (..)` for another database's hints.
    if let Some(error) = clause_after_query(c, range.clone(), true) {
        return Err(error);
    }
    if let Some(token) = range.clone().find(|i| matches!(c.lexed.tokens[*i].token, Token::Placeholder(_))) {
        let text = c.lexed.text(token..token + 1);
        return Err(c
            .refuse(token, format!("there is no parameter {text}"))
            .with_detail("A job's query is stored and runs later, so it takes no parameters."));
    }
    c.at = c.end;
    Ok((range, query))
}

/// When a clause stands after the query: sqlparser would take its first word for a table alias and
/// report the word after it. With `only_with`, only WITH is looked for.
fn clause_after_query(c: &Cursor<'_>, range: Range<usize>, only_with: bool) -> Option<Error> {
    const SECOND: &[(&str, &[&str])] = &[
        ("MODE", &["FULL", "REALTIME", "INCREMENTAL", "MERGE"]),
        ("SCHEDULE", &["CRON", "EVERY"]),
        ("START", &["AT"]),
        ("WRITE", &["APPEND", "UPSERT", "OVERWRITE"]),
        ("ON", &["DELETE", "DDL", "ERROR"]),
        ("NAME", &["RULES"]),
        ("ADD", &["COLUMNS"]),
        ("MERGE", &["TABLES"]),
        ("VERIFY", &["COUNT", "CHECKSUM", "HASH"]),
    ];
    let mut depth = 0usize;
    for i in range.clone() {
        match c.lexed.tokens[i].token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > 0 || i == range.start {
            continue;
        }
        let n = i - c.at;
        let (word, next) = (c.word(n), c.word(n + 1));
        let pair =
            !only_with && SECOND.iter().any(|(first, seconds)| word == *first && seconds.contains(&next.as_str()));
        let with = word == "WITH" && c.peek(n + 1) == Some(&Token::LParen);
        if (pair || with) && c.query(range.start..i).is_ok() {
            return Some(c.error_at(i).with_hint(CLAUSES_BEFORE_AS));
        }
    }
    None
}

/// `[kind] JOB name`. Only sync jobs are built: the statement is noted as not built for another kind.
pub(super) fn job_name(c: &mut Cursor<'_>, verb: &str) -> Result<String> {
    job_word(c, verb)?;
    c.simple_name("a job name")
}

/// `[kind] JOB`
pub(super) fn job_word(c: &mut Cursor<'_>, verb: &str) -> Result<()> {
    let (start, kind) = (c.at, c.word(0));
    if is_job_kind(&kind) && c.word(1) == "JOB" {
        c.at += 1;
        if kind != "SYNC" {
            c.mark_not_built(format!("{verb} {kind} JOB"), start);
        }
    }
    if c.eat(&["JOB"]) { Ok(()) } else { Err(c.expected_one_of(&["JOB"])) }
}

/// ALTER [kind] JOB name { SET (..) | RESET (..) | SET clause | DROP clause | ADD TABLES (..) | DROP TABLES (..)
/// | AS query | RENAME TO name | OWNER TO role }
pub(super) fn alter(c: &mut Cursor<'_>) -> Result<Statement> {
    c.expect(&["ALTER"])?;
    let name = job_name(c, "ALTER")?;
    let at = c.at;
    let action =
        match c.one_of(&["SET", "RESET", "ADD TABLES", "DROP TABLES", "DROP", "AS", "RENAME TO", "OWNER TO"])? {
            "SET" if c.sees_token(&Token::LParen) => AlterJob::Set(c.options()?),
            "SET" => return set_clause(c, name),
            "RESET" => AlterJob::Reset(c.option_keys()?),
            "ADD TABLES" => AlterJob::AddTables(c.list(clause::item)?),
            "DROP TABLES" => AlterJob::DropTables(c.list(clause::item)?),
            "DROP" => {
                let word = c.one_of(&[
                    "MODE",
                    "SCHEDULE",
                    "START AT",
                    "WRITE",
                    "ON DELETE",
                    "ON DDL",
                    "ON ERROR",
                    "NAME RULES",
                    "ADD COLUMNS",
                    "TABLE",
                    "MERGE TABLES",
                    "VERIFY",
                ])?;
                match word {
                    "TABLE" => drop(c.table_name()?),
                    "MERGE TABLES" if c.eat(&["INTO"]) => drop(c.table_name()?),
                    _ => {}
                }
                c.mark_not_built(format!("DROP {word} in ALTER JOB"), at);
                AlterJob::Reset(Vec::new())
            }
            "AS" => {
                let (range, _) = job_query(c)?;
                AlterJob::Query(c.lexed.text(range).to_owned())
            }
            "RENAME TO" => AlterJob::Rename(c.simple_name("a job name")?),
            _ => AlterJob::Owner(c.simple_name("a role name")?),
        };
    Ok(Statement::AlterJob { name, action })
}

/// SET clause: the clause replaces what the job has.
fn set_clause(c: &mut Cursor<'_>, name: String) -> Result<Statement> {
    let at = c.at;
    let word = c.one_of(&[
        "MODE",
        "WRITE",
        "ON ERROR",
        "SCHEDULE",
        "START AT",
        "ON DELETE",
        "ON DDL",
        "NAME RULES",
        "ADD COLUMNS",
        "TABLE",
        "MERGE TABLES",
        "VERIFY",
    ])?;
    let action = match word {
        "MODE" => AlterJob::SetMode(clause::mode(c, at)?),
        "WRITE" => {
            let (write, key) = clause::write(c)?;
            AlterJob::SetWrite { write, key }
        }
        "ON ERROR" => AlterJob::SetOnError(clause::on_error(c, at, "ALTER JOB")?),
        _ => {
            match word {
                "SCHEDULE" => clause::schedule(c)?,
                "START AT" => drop(clause::start_position(c)?),
                "ON DELETE" => clause::on_delete(c)?,
                "ON DDL" => clause::on_ddl(c)?,
                "NAME RULES" => clause::name_rules(c)?,
                "ADD COLUMNS" => drop(c.list(added_column)?),
                "TABLE" => clause::table(c)?,
                "MERGE TABLES" => clause::merge_tables(c)?,
                _ => clause::verify(c)?,
            }
            c.mark_not_built(format!("SET {word} in ALTER JOB"), at);
            AlterJob::Set(Vec::new())
        }
    };
    Ok(Statement::AlterJob { name, action })
}
