//! SHOW, DESCRIBE, COMMENT ON and EXPLAIN. Those of tables and queries are stock SQL, and SHOW of
//! a setting is the session's.

use super::cursor::Cursor;
use super::job::{job_name, sync_job};
use super::{is_job_kind, not_built, object, other_job, session, stock};
use crate::statement::{ExplainOptions, Show, Statement};
use catalog::Result;
use datafusion_sql::sqlparser::tokenizer::Token;

/// SHOW of objects; anything else is a setting.
pub(super) fn show(c: &mut Cursor<'_>) -> Result<Statement> {
    let (start, second, third) = (c.here(), c.word(1), c.word(2));
    let ours: &[&str] = match (second.as_str(), third.as_str()) {
        ("SECRETS" | "SOURCES" | "JOBS", _) => &["SHOW"],
        ("SOURCE", "TYPES") | ("SINK", "TABLES") | ("RUNS", "FOR") | ("OPTIONS", "FOR") => &["SHOW"],
        ("SCHEMAS" | "TABLES" | "COLUMNS", _) => &["SHOW"],
        ("SAVEPOINTS", "FOR") | ("RECYCLE", "BIN") => &["SHOW"],
        ("CREATE", _) => &["SHOW", "CREATE"],
        _ => return session::show_setting(c),
    };
    c.expect(ours)?;
    let show = match second.as_str() {
        "SECRETS" => {
            c.at += 1;
            Show::Secrets { like: like(c)? }
        }
        "SOURCES" => {
            c.at += 1;
            Show::Sources { like: like(c)? }
        }
        "JOBS" => {
            c.at += 1;
            Show::Jobs { like: like(c)? }
        }
        "SOURCE" => {
            c.at += 2;
            Show::SourceTypes { like: like(c)? }
        }
        "SINK" => {
            c.at += 2;
            Show::SinkTables { like: like(c)? }
        }
        "RUNS" => {
            c.expect(&["RUNS", "FOR"])?;
            let job = job_name(c, "SHOW RUNS FOR")?;
            not_built_like(c, "SHOW RUNS")?;
            Show::Runs { job }
        }
        "SAVEPOINTS" => {
            c.expect(&["SAVEPOINTS", "FOR"])?;
            job_name(c, "SHOW SAVEPOINTS FOR")?;
            like(c)?;
            c.expect_end()?;
            return Ok(not_built("SHOW SAVEPOINTS", start));
        }
        "RECYCLE" => {
            c.at += 2;
            like(c)?;
            c.expect_end()?;
            return Ok(not_built("SHOW RECYCLE BIN", start));
        }
        "SCHEMAS" => {
            c.expect(&["SCHEMAS"])?;
            Show::Schemas { source: from_source(c, "SHOW SCHEMAS FROM SOURCE name;")? }
        }
        "TABLES" => {
            c.expect(&["TABLES"])?;
            let source = from_source(c, "SHOW TABLES FROM SOURCE name;")?;
            let schema = if c.eat(&["SCHEMA"]) { Some(c.simple_name("a schema name")?) } else { None };
            Show::Tables { source, schema, like: like(c)? }
        }
        "COLUMNS" => {
            c.expect(&["COLUMNS", "FROM"])?;
            Show::Columns { path: c.path3()? }
        }
        "OPTIONS" => {
            c.expect(&["OPTIONS", "FOR"])?;
            options_scope(c)?
        }
        _ => {
            let Some(kind) = object::kind(c, "SHOW CREATE")? else {
                return Err(c.expected_one_of(&["SECRET", "SOURCE", "SINK TABLE", "SOURCE TABLE", "JOB"]));
            };
            Show::Create { kind, name: object::name(c, kind)? }
        }
    };
    Ok(Statement::Show(show))
}

/// `[LIKE lit]`
fn like(c: &mut Cursor<'_>) -> Result<Option<String>> {
    if c.eat(&["LIKE"]) { c.text("SHOW .. LIKE").map(Some) } else { Ok(None) }
}

fn not_built_like(c: &mut Cursor<'_>, statement: &str) -> Result<()> {
    let at = c.at;
    if like(c)?.is_some() {
        c.mark_not_built(format!("LIKE in {statement}"), at);
    }
    Ok(())
}

/// FROM SOURCE name
fn from_source(c: &mut Cursor<'_>, hint: &str) -> Result<String> {
    if !c.sees(&["FROM", "SOURCE"]) {
        return Err(c.expected("FROM SOURCE").with_hint(format!("Write: {hint}")));
    }
    c.expect(&["FROM", "SOURCE"])?;
    c.simple_name("a source name")
}

/// `SOURCE TYPE t | SOURCE TABLE | SINK TABLE | kind JOB`: the words of `tidegate.options.scope`.
fn options_scope(c: &mut Cursor<'_>) -> Result<Show> {
    let scopes =
        ["SOURCE TYPE", "SOURCE TABLE", "SINK TABLE", "SYNC JOB", "VERIFY JOB", "CLEANUP JOB", "DDL JOB", "JOB"];
    let (scope, source_type) = match c.one_of(&scopes)? {
        "SOURCE TYPE" => ("source".to_owned(), Some(c.simple_name("a source type")?)),
        "JOB" => ("sync_job".to_owned(), None),
        other => (other.to_lowercase().replace(' ', "_"), None),
    };
    Ok(Show::Options { scope, source_type })
}

/// DESCRIBE {SOURCE | SINK TABLE | JOB} name; of a table it is stock SQL.
pub(super) fn describe(c: &mut Cursor<'_>) -> Result<Statement> {
    let start = c.at;
    c.at += 1;
    // A table may be named "job" or "source".
    if c.peek(1).is_none() || c.peek(1) == Some(&Token::Period) {
        c.at = start;
        return stock::statement(c);
    }
    match object::kind(c, "DESCRIBE")? {
        Some(kind) => Ok(Statement::Describe { kind, name: object::name(c, kind)? }),
        None => {
            c.at = start;
            stock::statement(c)
        }
    }
}

/// COMMENT ON {SECRET | SOURCE | SINK TABLE | JOB} name IS {lit | NULL}
pub(super) fn comment(c: &mut Cursor<'_>) -> Result<Statement> {
    let start = c.at;
    c.expect(&["COMMENT", "ON"])?;
    let Some(kind) = object::kind(c, "COMMENT ON")? else {
        c.at = start;
        return stock::statement(c);
    };
    let name = object::name(c, kind)?;
    c.expect(&["IS"])?;
    let text = if c.eat(&["NULL"]) { None } else { Some(c.text("COMMENT")?) };
    Ok(Statement::Comment { kind, name, text })
}

/// EXPLAIN [(VERBOSE, TABLES, DDL, FORMAT JSON)] { JOB name | CREATE .. JOB .. }; of a query it is stock SQL.
pub(super) fn explain(c: &mut Cursor<'_>) -> Result<Statement> {
    let start = c.at;
    c.expect(&["EXPLAIN"])?;
    let has_list = c.sees_token(&Token::LParen);
    let list_start = c.at;
    if has_list {
        c.group()?;
    } else {
        c.eat(&["ANALYZE"]);
        c.eat(&["VERBOSE"]);
    }
    let of_job = c.sees(&["JOB"]) || is_job_kind(&c.word(0)) && c.word(1) == "JOB";
    let replace = if c.sees_from(1, &["OR", "REPLACE"]) { 2 } else { 0 };
    let of_create = c.sees(&["CREATE"]) && is_job_kind(&c.word(1 + replace)) && c.word(2 + replace) == "JOB";
    if !of_job && !of_create {
        c.at = start;
        return stock::statement(c);
    }
    let target = c.at;
    c.at = list_start;
    let mut options = ExplainOptions::default();
    if has_list {
        c.list(|c| explain_option(c, &mut options))?;
    } else {
        if c.eat(&["ANALYZE"]) {
            c.mark_not_built("EXPLAIN ANALYZE of a job", c.at - 1);
        }
        options.verbose = c.eat(&["VERBOSE"]);
    }
    c.at = target;
    if of_job {
        return Ok(Statement::ExplainJob { options, name: job_name(c, "EXPLAIN")? });
    }
    match c.word(1 + replace).as_str() {
        "VERIFY" => other_job::create_verify(c),
        "CLEANUP" => other_job::create_cleanup(c),
        "DDL" => other_job::create_ddl(c),
        _ => {
            let (or_replace, job) = sync_job(c)?;
            if or_replace {
                c.mark_not_built("CREATE OR REPLACE SYNC JOB", target);
            }
            Ok(Statement::ExplainCreateJob { options, job: Box::new(job) })
        }
    }
}

/// One option of the list, with PostgreSQL's optional ON or OFF.
fn explain_option(c: &mut Cursor<'_>, options: &mut ExplainOptions) -> Result<()> {
    let at = c.at;
    let word = c.one_of(&["VERBOSE", "TABLES", "DDL", "FORMAT", "ANALYZE"])?;
    if word == "FORMAT" {
        options.json = c.one_of(&["JSON", "TEXT"])? == "JSON";
        return Ok(());
    }
    let on = if matches!(c.word(0).as_str(), "ON" | "OFF" | "TRUE" | "FALSE") {
        matches!(c.one_of(&["ON", "OFF", "TRUE", "FALSE"])?, "ON" | "TRUE")
    } else {
        true
    };
    match word {
        "VERBOSE" => options.verbose = on,
        "TABLES" => options.tables = on,
        "DDL" => options.ddl = on,
        _ if on => c.mark_not_built("EXPLAIN ANALYZE of a job", at),
        _ => {}
    }
    Ok(())
}
