//! CREATE SECRET and ALTER SECRET.

use super::cursor::Cursor;
use super::{create_or_replace, if_not_exists};
use crate::statement::{AlterSecret, SecretInput, Statement};
use catalog::Result;

/// CREATE [OR REPLACE] SECRET [IF NOT EXISTS] name { AS lit | FROM ENV lit | FROM FILE lit }
pub(super) fn create(c: &mut Cursor<'_>) -> Result<Statement> {
    let or_replace = create_or_replace(c)?;
    c.expect(&["SECRET"])?;
    let if_not_exists = if_not_exists(c, or_replace)?;
    let name = c.simple_name("a secret name")?;
    match value(c)? {
        Some(value) => Ok(Statement::CreateSecret { or_replace, if_not_exists, name, value }),
        None => Err(c.expected_one_of(&["AS", "FROM ENV", "FROM FILE"])),
    }
}

/// ALTER SECRET name { AS lit | FROM ENV lit | FROM FILE lit | RENAME TO name | OWNER TO role }
pub(super) fn alter(c: &mut Cursor<'_>) -> Result<Statement> {
    c.expect(&["ALTER", "SECRET"])?;
    let name = c.simple_name("a secret name")?;
    let action = if let Some(value) = value(c)? {
        AlterSecret::Value(value)
    } else if c.eat(&["RENAME"]) {
        c.expect(&["TO"])?;
        AlterSecret::Rename(c.simple_name("a secret name")?)
    } else if c.eat(&["OWNER"]) {
        c.expect(&["TO"])?;
        AlterSecret::Owner(c.simple_name("a role name")?)
    } else {
        return Err(c.expected_one_of(&["AS", "FROM ENV", "FROM FILE", "RENAME TO", "OWNER TO"]));
    };
    Ok(Statement::AlterSecret { name, action })
}

fn value(c: &mut Cursor<'_>) -> Result<Option<SecretInput>> {
    let kind: fn(crate::statement::Literal) -> SecretInput = if c.eat(&["AS"]) {
        SecretInput::Literal
    } else if c.eat(&["FROM"]) {
        match c.one_of(&["ENV", "FILE"])? {
            "ENV" => SecretInput::Env,
            _ => SecretInput::File,
        }
    } else {
        return Ok(None);
    };
    let before = c.at - 1;
    let literal = c.literal().map_err(|error| c.secret_literal_missing(before, error))?;
    if !c.at_end() {
        // More text after the value is likely a part of it, so the error does not repeat it.
        return Err(c
            .error_at(before)
            .with_detail("The statement goes on after the value.")
            .with_hint("Double a quote that stands inside the value, or write the value as $$..$$."));
    }
    Ok(Some(kind(literal)))
}
