//! CREATE SOURCE, ALTER SOURCE, VALIDATE SOURCE.

use super::cursor::Cursor;
use super::{create_or_replace, if_not_exists};
use crate::statement::{AlterSource, Purpose, Statement, ValidateTarget};
use catalog::Result;
use datafusion_sql::sqlparser::tokenizer::Token;

/// CREATE [OR REPLACE] SOURCE [IF NOT EXISTS] name TYPE type WITH (..)
pub(super) fn create(c: &mut Cursor<'_>) -> Result<Statement> {
    let or_replace = create_or_replace(c)?;
    c.expect(&["SOURCE"])?;
    let if_not_exists = if_not_exists(c, or_replace)?;
    let name = c.simple_name("a source name")?;
    c.expect(&["TYPE"])?;
    let type_position = c.here();
    let source_type = c.simple_name("a source type")?;
    // A source type without required options, such as `sample`, needs no WITH.
    let options = if c.eat(&["WITH"]) { c.options()? } else { Vec::new() };
    Ok(Statement::CreateSource { or_replace, if_not_exists, name, source_type, type_position, options })
}

/// ALTER SOURCE name { SET (..) | RESET (..) | RENAME TO name | OWNER TO role | REFRESH [SCHEMA s, ...] }
pub(super) fn alter(c: &mut Cursor<'_>) -> Result<Statement> {
    c.expect(&["ALTER", "SOURCE"])?;
    let name = c.simple_name("a source name")?;
    let action = match c.one_of(&["SET", "RESET", "RENAME TO", "OWNER TO", "REFRESH"])? {
        "SET" => AlterSource::Set(c.options()?),
        "RESET" => AlterSource::Reset(c.option_keys()?),
        "RENAME TO" => AlterSource::Rename(c.simple_name("a source name")?),
        "OWNER TO" => AlterSource::Owner(c.simple_name("a role name")?),
        _ if c.eat(&["SCHEMA"]) => AlterSource::Refresh(c.commas(|c| c.simple_name("a schema name"))?),
        _ => AlterSource::Refresh(Vec::new()),
    };
    Ok(Statement::AlterSource { name, action })
}

/// VALIDATE SOURCE { name | TYPE type WITH (..) } [FOR purpose, ...] [TABLES (schema.table, ...)] [TIMEOUT lit]
pub(super) fn validate(c: &mut Cursor<'_>) -> Result<Statement> {
    c.expect(&["VALIDATE", "SOURCE"])?;
    // A source may be named "type": then no name follows the word.
    let inline = c.sees(&["TYPE"])
        && matches!(c.peek(1), Some(Token::Word(_)))
        && !matches!(c.word(1).as_str(), "FOR" | "TABLES" | "TIMEOUT");
    let target = if inline {
        c.expect(&["TYPE"])?;
        let source_type = c.simple_name("a source type")?;
        let options = if c.eat(&["WITH"]) { c.options()? } else { Vec::new() };
        ValidateTarget::Inline { source_type, options }
    } else {
        ValidateTarget::Source(c.simple_name("a source name")?)
    };
    let purposes = if c.eat(&["FOR"]) { c.commas(purpose)? } else { Vec::new() };
    let tables = if c.eat(&["TABLES"]) { c.list(Cursor::table_name)? } else { Vec::new() };
    let timeout = if c.eat(&["TIMEOUT"]) { Some(c.literal()?) } else { None };
    Ok(Statement::ValidateSource { target, purposes, tables, timeout })
}

fn purpose(c: &mut Cursor<'_>) -> Result<Purpose> {
    Ok(match c.one_of(&["READ", "CAPTURE", "WRITE", "DDL"])? {
        "READ" => Purpose::Read,
        "CAPTURE" => Purpose::Capture,
        "WRITE" => Purpose::Write,
        _ => Purpose::Ddl,
    })
}
