//! The clauses that jobs share: what is selected, where it goes, when it runs, how it is written.
//!
//! A clause that is not built is read whole, so that an error in it is still a syntax error, and
//! then noted by [`Cursor::mark_not_built`].

use super::cursor::Cursor;
use super::sink_table::{added_column, once};
use catalog::definition::{OnError, Selection, SinkDest, TableItem};
use catalog::{Mode, Result, WriteMode};
use datafusion_sql::sqlparser::tokenizer::Token;

/// The words that begin a clause, for hints and for finding one after AS.
pub(super) const CLAUSES: &[&str] = &[
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
    "WITH",
    "AS",
];

/// ALL TABLES | TABLES IN SCHEMA s, ... | TABLES (item, ...)
pub(super) fn selection(c: &mut Cursor<'_>) -> Result<Selection> {
    match c.one_of(&["ALL TABLES", "TABLES IN SCHEMA", "TABLES"])? {
        "ALL TABLES" => Ok(Selection::AllTables),
        "TABLES IN SCHEMA" => Ok(Selection::Schemas { schemas: c.commas(|c| c.simple_name("a schema name"))? }),
        _ => Ok(Selection::Tables { items: c.list(item)? }),
    }
}

/// `schema.table [(c, ...)] [WHERE (expr)] [AS schema.table] | MATCHING ('schema_re', 'table_re')`
pub(super) fn item(c: &mut Cursor<'_>) -> Result<TableItem> {
    if c.sees(&["MATCHING"]) && c.peek(1) == Some(&Token::LParen) {
        c.expect(&["MATCHING"])?;
        let (schema, table) = matching(c)?;
        return Ok(TableItem::Matching { schema, table });
    }
    let name = c.table_name()?;
    let columns = if c.sees_token(&Token::LParen) { c.columns()? } else { Vec::new() };
    let filter = if c.eat(&["WHERE"]) { Some(c.expression_in_parentheses()?) } else { None };
    let rename = if c.eat(&["AS"]) { Some(c.table_name()?) } else { None };
    Ok(TableItem::Table { name, columns, filter, rename })
}

/// `('schema_re', 'table_re')`: both must be regular expressions.
fn matching(c: &mut Cursor<'_>) -> Result<(String, String)> {
    let pattern = |c: &mut Cursor<'_>| -> Result<String> {
        let start = c.at;
        let text = c.text("MATCHING")?;
        regex::Regex::new(&text).map_err(|error| {
            // The library draws the pattern with a mark below it, and says why in its last line.
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            catalog::Error::new(catalog::ErrorKind::Remote("2201B".into()), "invalid regular expression in MATCHING")
                .with_detail(format!("In {}: {reason}.", catalog::quote_literal(&text)))
                .with_hint("Patterns are Rust regular expressions, matched against the whole name; look-around is not possible.")
                .with_position(c.position(start))
        })?;
        Ok(text)
    };
    c.expect_token(&Token::LParen)?;
    let schema = pattern(c)?;
    c.expect_token(&Token::Comma)?;
    let table = pattern(c)?;
    c.expect_token(&Token::RParen)?;
    Ok((schema, table))
}

/// `source [. schema]`; a whole table path is for single Kafka topics.
pub(super) fn destination(c: &mut Cursor<'_>) -> Result<SinkDest> {
    let start = c.at;
    let mut parts = c.parts("a source name")?.into_iter();
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(source), schema, None, None) => Ok(SinkDest { source, schema }),
        (Some(source), schema, Some(_), None) => {
            c.mark_not_built("INTO one table in a job FROM a source", start);
            Ok(SinkDest { source, schema })
        }
        _ => Err(c.refuse(start, "a destination has one to three parts: source, source.schema or source.schema.table")),
    }
}

/// What follows MODE. Only FULL is built.
pub(super) fn mode(c: &mut Cursor<'_>, clause: usize) -> Result<Mode> {
    let mode = match c.one_of(&["FULL THEN REALTIME", "FULL", "REALTIME", "INCREMENTAL BY", "MERGE"])? {
        "FULL" => return Ok(Mode::Full),
        "FULL THEN REALTIME" => Mode::FullThenRealtime,
        "REALTIME" => Mode::Realtime,
        "INCREMENTAL BY" => {
            c.expect_token(&Token::LParen)?;
            c.ident("a column name")?;
            c.expect_token(&Token::RParen)?;
            if c.eat(&["FROM"]) {
                c.literal()?;
            }
            Mode::Incremental
        }
        _ => {
            c.expect_token(&Token::LParen)?;
            c.expect(&["BASE"])?;
            c.path3()?;
            c.expect_token(&Token::Comma)?;
            c.expect(&["LOG"])?;
            c.path3()?;
            c.expect_token(&Token::RParen)?;
            Mode::Merge
        }
    };
    c.mark_not_built(format!("MODE {}", mode.as_str().to_uppercase()), clause);
    Ok(mode)
}

/// What follows WRITE.
pub(super) fn write(c: &mut Cursor<'_>) -> Result<(WriteMode, Vec<String>)> {
    let write = match c.one_of(&["APPEND", "UPSERT", "OVERWRITE PARTITIONS", "OVERWRITE"])? {
        "APPEND" => WriteMode::Append,
        "UPSERT" => WriteMode::Upsert,
        "OVERWRITE" => WriteMode::Overwrite,
        _ => WriteMode::OverwritePartitions,
    };
    let key = key(c)?;
    Ok((write, key))
}

/// `[KEY (c, ...)]`
pub(super) fn key(c: &mut Cursor<'_>) -> Result<Vec<String>> {
    if c.eat(&["KEY"]) { c.columns() } else { Ok(Vec::new()) }
}

/// What follows ON ERROR. DEAD LETTER is not built.
pub(super) fn on_error(c: &mut Cursor<'_>, clause: usize, statement: &str) -> Result<OnError> {
    let on_error = match c.one_of(&["STOP", "SKIP", "DEAD LETTER"])? {
        "STOP" => return Ok(OnError::Stop),
        "SKIP" => OnError::Skip { limit: None },
        _ => {
            c.path3()?;
            c.mark_not_built(format!("ON ERROR DEAD LETTER in {statement}"), clause);
            OnError::Stop
        }
    };
    let limit = if c.eat(&["LIMIT"]) { Some(c.number("a whole number")?) } else { None };
    Ok(match on_error {
        OnError::Stop => OnError::Stop,
        OnError::Skip { .. } => OnError::Skip { limit },
    })
}

/// What follows SCHEDULE: `{ CRON lit | EVERY lit } [TIME ZONE lit] [ON OVERLAP ..] [ON MISSED ..]`
pub(super) fn schedule(c: &mut Cursor<'_>) -> Result<()> {
    c.one_of(&["CRON", "EVERY"])?;
    c.literal()?;
    let (mut zone, mut overlap, mut missed) = (None, None, None);
    loop {
        let start = c.at;
        if c.eat(&["TIME", "ZONE"]) {
            once(c, start, "TIME ZONE", &mut zone, |c| c.literal().map(drop))?;
        } else if c.eat(&["ON", "OVERLAP"]) {
            once(c, start, "ON OVERLAP", &mut overlap, |c| c.one_of(&["SKIP", "QUEUE", "CANCEL"]).map(drop))?;
        } else if c.eat(&["ON", "MISSED"]) {
            once(c, start, "ON MISSED", &mut missed, |c| c.one_of(&["SKIP", "RUN"]).map(drop))?;
        } else {
            return Ok(());
        }
    }
}

/// EARLIEST | LATEST | TIMESTAMP lit | LSN lit | GTID lit | BINLOG lit | OFFSETS lit; answers its text.
pub(super) fn start_position(c: &mut Cursor<'_>) -> Result<String> {
    let start = c.at;
    let word = c.one_of(&["EARLIEST", "LATEST", "TIMESTAMP", "LSN", "GTID", "BINLOG", "OFFSETS"])?;
    if !matches!(word, "EARLIEST" | "LATEST") {
        c.literal()?;
    }
    Ok(c.lexed.text(start..c.at).to_owned())
}

/// What follows ON DDL: `(kind {NORMAL|IGNORE|ERROR}, ...)`
pub(super) fn on_ddl(c: &mut Cursor<'_>) -> Result<()> {
    let mut seen = Vec::new();
    c.list(|c| {
        let start = c.at;
        let kind = c.one_of(&[
            "CREATE TABLE",
            "DROP TABLE",
            "TRUNCATE TABLE",
            "RENAME TABLE",
            "ADD COLUMN",
            "DROP COLUMN",
            "RENAME COLUMN",
            "MODIFY TYPE",
            "OTHERS",
        ])?;
        if seen.contains(&kind) {
            return Err(c.refuse(start, format!("{kind} is given twice in ON DDL")));
        }
        seen.push(kind);
        c.one_of(&["NORMAL", "IGNORE", "ERROR"]).map(drop)
    })
    .map(drop)
}

/// What follows ON DELETE: APPLY | IGNORE | SOFT (c)
pub(super) fn on_delete(c: &mut Cursor<'_>) -> Result<()> {
    if c.one_of(&["APPLY", "IGNORE", "SOFT"])? == "SOFT" {
        c.expect_token(&Token::LParen)?;
        c.ident("a column name")?;
        c.expect_token(&Token::RParen)?;
    }
    Ok(())
}

/// What follows NAME RULES: `(rule, ...)`
pub(super) fn name_rules(c: &mut Cursor<'_>) -> Result<()> {
    c.list(|c| {
        c.one_of(&["SCHEMA", "TABLE", "COLUMN"])?;
        match c.one_of(&["REPLACE", "REGEX", "PREFIX", "SUFFIX", "SET", "LOWER", "UPPER"])? {
            "REPLACE" | "REGEX" => {
                c.literal()?;
                c.expect(&["BY"])?;
                c.literal().map(drop)
            }
            "LOWER" | "UPPER" => Ok(()),
            _ => c.literal().map(drop),
        }
    })
    .map(drop)
}

/// What follows TABLE: `schema.table [INTO schema.table] [KEY (c, ...)] [AS ( query )]`
pub(super) fn table(c: &mut Cursor<'_>) -> Result<()> {
    c.table_name()?;
    if c.eat(&["INTO"]) {
        c.table_name()?;
    }
    key(c)?;
    // AS without a parenthesis is the job's own AS.
    if c.sees(&["AS"]) && c.peek(1) == Some(&Token::LParen) {
        c.expect(&["AS"])?;
        let inside = c.group()?;
        c.query(inside)?;
    }
    Ok(())
}

/// What follows MERGE TABLES: `MATCHING (re, re) INTO schema.table [KEY (c, ...)] [ADD COLUMNS (..)]`
pub(super) fn merge_tables(c: &mut Cursor<'_>) -> Result<()> {
    c.expect(&["MATCHING"])?;
    matching(c)?;
    c.expect(&["INTO"])?;
    c.table_name()?;
    key(c)?;
    if c.eat(&["ADD", "COLUMNS"]) {
        c.list(added_column)?;
    }
    Ok(())
}

/// What follows VERIFY: `{ COUNT | CHECKSUM | HASH DIFF } [AFTER SNAPSHOT | EVERY lit]`
pub(super) fn verify(c: &mut Cursor<'_>) -> Result<()> {
    c.one_of(&["COUNT", "CHECKSUM", "HASH DIFF"])?;
    if c.eat(&["AFTER"]) {
        c.expect(&["SNAPSHOT"])?;
    } else if c.eat(&["EVERY"]) {
        c.literal()?;
    }
    Ok(())
}
