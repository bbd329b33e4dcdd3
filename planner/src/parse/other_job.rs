//! CREATE VERIFY JOB, CREATE CLEANUP JOB, CREATE DDL JOB: read whole, and not built.

use super::cursor::Cursor;
use super::job::{job_word, tables_parts};
use super::job_clause as clause;
use super::sink_table::once;
use super::{create_or_replace, if_not_exists, not_built};
use crate::statement::Statement;
use catalog::Result;

fn head(c: &mut Cursor<'_>, kind: &str) -> Result<()> {
    let or_replace = create_or_replace(c)?;
    c.expect(&[kind, "JOB"])?;
    if_not_exists(c, or_replace)?;
    c.simple_name("a job name").map(drop)
}

/// CREATE [OR REPLACE] VERIFY JOB [IF NOT EXISTS] name { FOR SYNC JOB j [TABLES (..)] | COMPARE path WITH path }
/// METHOD .. [KEY (..)] [COLUMNS (..) | EXCEPT (..)] [WHERE (..)] [SCHEDULE ..] [WITH (..)]
pub(super) fn create_verify(c: &mut Cursor<'_>) -> Result<Statement> {
    let start = c.here();
    head(c, "VERIFY")?;
    match c.one_of(&["FOR", "COMPARE"])? {
        "FOR" => {
            job_word(c, "CREATE VERIFY JOB FOR")?;
            c.simple_name("a job name")?;
            if c.eat(&["TABLES"]) {
                c.list(clause::item)?;
            }
        }
        _ => {
            c.path3()?;
            c.expect(&["WITH"])?;
            c.path3()?;
        }
    }
    let mut given: [Option<()>; 6] = [None; 6];
    while !c.at_end() {
        let at = c.at;
        let word = c.one_of(&["METHOD", "KEY", "COLUMNS", "EXCEPT", "WHERE", "SCHEDULE", "WITH"])?;
        match word {
            "METHOD" => once(c, at, word, &mut given[0], |c| c.one_of(&["COUNT", "CHECKSUM", "HASH DIFF"]).map(drop))?,
            "KEY" => once(c, at, word, &mut given[1], |c| c.columns().map(drop))?,
            "COLUMNS" | "EXCEPT" => once(c, at, word, &mut given[2], |c| c.columns().map(drop))?,
            "WHERE" => once(c, at, word, &mut given[3], |c| c.expression_in_parentheses().map(drop))?,
            "SCHEDULE" => once(c, at, word, &mut given[4], clause::schedule)?,
            _ => once(c, at, word, &mut given[5], |c| c.options().map(drop))?,
        }
    }
    if given[0].is_none() {
        return Err(c.expected("METHOD"));
    }
    c.not_built = None;
    Ok(not_built("CREATE VERIFY JOB", start))
}

/// CREATE [OR REPLACE] CLEANUP JOB [IF NOT EXISTS] name DELETE FROM path WHERE (expr) KEY (..) [AFTER JOB j [VERIFIED]]
/// [SCHEDULE ..] [WITH (..)]
pub(super) fn create_cleanup(c: &mut Cursor<'_>) -> Result<Statement> {
    let start = c.here();
    head(c, "CLEANUP")?;
    c.expect(&["DELETE", "FROM"])?;
    c.path3()?;
    c.expect(&["WHERE"])?;
    c.expression_in_parentheses()?;
    c.expect(&["KEY"])?;
    c.columns()?;
    let mut given: [Option<()>; 3] = [None; 3];
    while !c.at_end() {
        let at = c.at;
        let word = c.one_of(&["AFTER", "SCHEDULE", "WITH"])?;
        match word {
            "AFTER" => once(c, at, word, &mut given[0], |c| {
                job_word(c, "AFTER")?;
                c.simple_name("a job name")?;
                c.eat(&["VERIFIED"]);
                Ok(())
            })?,
            "SCHEDULE" => once(c, at, word, &mut given[1], clause::schedule)?,
            _ => once(c, at, word, &mut given[2], |c| c.options().map(drop))?,
        }
    }
    c.not_built = None;
    Ok(not_built("CREATE CLEANUP JOB", start))
}

/// CREATE [OR REPLACE] DDL JOB [IF NOT EXISTS] name FROM [SOURCE] s FOR selection [EXCEPT (..)] INTO dest
/// [NAME RULES (..)] [INCLUDE (..)] [TYPE RULES (..)] [ON EXISTS ..] [WITH (..)]
pub(super) fn create_ddl(c: &mut Cursor<'_>) -> Result<Statement> {
    let start = c.here();
    head(c, "DDL")?;
    c.expect(&["FROM"])?;
    tables_parts(c)?;
    let mut given: [Option<()>; 5] = [None; 5];
    while !c.at_end() {
        let at = c.at;
        let word = c.one_of(&["NAME RULES", "INCLUDE", "TYPE RULES", "ON EXISTS", "WITH"])?;
        match word {
            "NAME RULES" => once(c, at, word, &mut given[0], clause::name_rules)?,
            "INCLUDE" => once(c, at, word, &mut given[1], |c| {
                c.list(|c| {
                    c.one_of(&[
                        "TABLES",
                        "PRIMARY KEYS",
                        "UNIQUE",
                        "INDEXES",
                        "FOREIGN KEYS",
                        "DEFAULTS",
                        "COMMENTS",
                        "VIEWS",
                        "SEQUENCES",
                    ])
                    .map(drop)
                })
                .map(drop)
            })?,
            "TYPE RULES" => once(c, at, word, &mut given[2], |c| {
                c.list(|c| {
                    c.literal()?;
                    c.expect(&["AS"])?;
                    c.data_type().map(drop)
                })
                .map(drop)
            })?,
            "ON EXISTS" => {
                once(c, at, word, &mut given[3], |c| c.one_of(&["SKIP", "ERROR", "ALTER", "RECREATE"]).map(drop))?;
            }
            _ => once(c, at, word, &mut given[4], |c| c.options().map(drop))?,
        }
    }
    c.not_built = None;
    Ok(not_built("CREATE DDL JOB", start))
}
