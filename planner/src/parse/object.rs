//! Statements that take several kinds of objects: DROP, UNDROP, PURGE, GRANT and REVOKE.

use super::cursor::Cursor;
use super::job::job_word;
use super::{is_job_kind, lifecycle, not_built, stock, unknown_noun};
use crate::statement::{ObjectKind, ObjectName, Statement};
use catalog::Result;
use datafusion_sql::sqlparser::tokenizer::Token;

/// The kind of object that follows, when it is one of ours; its words are passed over.
pub(super) fn kind(c: &mut Cursor<'_>, verb: &str) -> Result<Option<ObjectKind>> {
    let kind = match (c.word(0).as_str(), c.word(1).as_str()) {
        ("SECRET", _) => ObjectKind::Secret,
        ("SOURCE", "TABLE") => ObjectKind::SourceTable,
        ("SOURCE", _) => ObjectKind::Source,
        ("SINK", "TABLE") => ObjectKind::SinkTable,
        ("JOB", _) => ObjectKind::Job,
        (kind, "JOB") if is_job_kind(kind) => ObjectKind::Job,
        _ => return Ok(None),
    };
    match kind {
        ObjectKind::Job => job_word(c, verb)?,
        ObjectKind::SinkTable | ObjectKind::SourceTable => c.at += 2,
        ObjectKind::Secret | ObjectKind::Source => c.at += 1,
    }
    Ok(Some(kind))
}

/// A name of that kind.
pub(super) fn name(c: &mut Cursor<'_>, kind: ObjectKind) -> Result<ObjectName> {
    match kind {
        ObjectKind::SinkTable | ObjectKind::SourceTable => c.path3().map(ObjectName::Path),
        ObjectKind::Secret | ObjectKind::Source | ObjectKind::Job => {
            c.simple_name(&format!("a {} name", kind.word())).map(ObjectName::Simple)
        }
    }
}

/// DROP kind [IF EXISTS] name, ... [CASCADE|RESTRICT] [PURGE] [KEEP SLOT] [INCLUDING REMOTE TABLE]
pub(super) fn drop(c: &mut Cursor<'_>) -> Result<Statement> {
    if c.sees(&["DROP", "SAVEPOINT"]) {
        return lifecycle::savepoint(c);
    }
    if stock::is_noun(&c.word(1)) {
        return stock::statement(c);
    }
    c.expect(&["DROP"])?;
    let Some(kind) = kind(c, "DROP")? else { return Err(unknown_noun(c, "DROP")) };
    let if_exists = c.if_exists()?;
    let names = c.commas(|c| name(c, kind))?;
    let (mut cascade, mut restrict) = (false, false);
    let (mut including_remote_table, mut purge, mut keep_slot) = (false, false, false);
    while !c.at_end() {
        let at = c.at;
        let flag = match c.one_of(&["CASCADE", "RESTRICT", "PURGE", "KEEP SLOT", "INCLUDING REMOTE TABLE"])? {
            "CASCADE" => &mut cascade,
            "RESTRICT" => &mut restrict,
            "PURGE" => &mut purge,
            "KEEP SLOT" => &mut keep_slot,
            _ => &mut including_remote_table,
        };
        if std::mem::replace(flag, true) || (cascade && restrict) {
            return Err(c.error_at(at));
        }
    }
    Ok(Statement::Drop { kind, if_exists, names, cascade, including_remote_table, purge, keep_slot })
}

/// UNDROP { SOURCE | SINK TABLE | JOB } { name | ID n } [RENAME TO name] [CASCADE]
pub(super) fn undrop(c: &mut Cursor<'_>) -> Result<Statement> {
    let start = c.here();
    c.expect(&["UNDROP"])?;
    let kind = binned(c, "UNDROP")?;
    if c.eat(&["RENAME"]) {
        c.expect(&["TO"])?;
        c.simple_name("a name")?;
    }
    c.eat(&["CASCADE"]);
    c.expect_end()?;
    Ok(not_built(format!("UNDROP {}", kind.word().to_uppercase()), start))
}

/// PURGE { SOURCE | SINK TABLE | JOB } { name | ID n } | PURGE RECYCLE BIN [OLDER THAN lit]
pub(super) fn purge(c: &mut Cursor<'_>) -> Result<Statement> {
    let start = c.here();
    c.expect(&["PURGE"])?;
    if c.eat(&["RECYCLE"]) {
        c.expect(&["BIN"])?;
        if c.eat(&["OLDER"]) {
            c.expect(&["THAN"])?;
            c.literal()?;
        }
        c.expect_end()?;
        return Ok(not_built("PURGE RECYCLE BIN", start));
    }
    let kind = binned(c, "PURGE")?;
    c.expect_end()?;
    Ok(not_built(format!("PURGE {}", kind.word().to_uppercase()), start))
}

/// `{ SOURCE | SINK TABLE | JOB } { name | ID n }`
fn binned(c: &mut Cursor<'_>, verb: &str) -> Result<ObjectKind> {
    let at = c.at;
    let kind = match kind(c, verb)? {
        Some(kind @ (ObjectKind::Source | ObjectKind::SinkTable | ObjectKind::Job)) => kind,
        Some(ObjectKind::Secret | ObjectKind::SourceTable) | None => {
            c.at = at;
            return Err(c.expected_one_of(&["SOURCE", "SINK TABLE", "JOB"]));
        }
    };
    if c.sees(&["ID"]) && matches!(c.peek(1), Some(Token::Number(..))) {
        c.expect(&["ID"])?;
        c.number::<i64>("a number")?;
    } else {
        name(c, kind)?;
    }
    Ok(kind)
}

/// GRANT | REVOKE privilege, ... ON kind name, ... TO | FROM role, ... Rights on anything else are stock SQL.
pub(super) fn grant(c: &mut Cursor<'_>) -> Result<Statement> {
    let (start, verb) = (c.at, c.word(0));
    let direction = if verb == "GRANT" { "TO" } else { "FROM" };
    let on = (start..c.end).find(|i| c.word(i - start) == "ON");
    let Some(on) = on else {
        // Without ON it is the membership in a role.
        c.at += 1;
        if verb == "REVOKE" && c.eat(&["ADMIN"]) {
            c.expect(&["OPTION", "FOR"])?;
        }
        c.commas(|c| c.simple_name("a role name"))?;
        c.expect(&[direction])?;
        c.commas(|c| c.simple_name("a role name"))?;
        if c.eat(&["WITH"]) {
            c.one_of(&["ADMIN", "INHERIT", "SET"])?;
            c.one_of(&["OPTION", "TRUE", "FALSE"])?;
        }
        if c.eat(&["GRANTED", "BY"]) {
            c.simple_name("a role name")?;
        }
        if verb == "REVOKE" && !c.eat(&["CASCADE"]) {
            c.eat(&["RESTRICT"]);
        }
        c.expect_end()?;
        return Ok(not_built(format!("{verb} of a role"), c.position(start)));
    };
    c.at = on + 1;
    let Some(kind) = kind(c, &format!("{verb} ON"))? else {
        c.at = start;
        return stock::statement(c);
    };
    let after_kind = c.at;
    c.at = start + 1;
    if verb == "REVOKE" && c.eat(&["GRANT"]) {
        c.expect(&["OPTION", "FOR"])?;
    }
    c.commas(|c| {
        if c.one_of(&["USAGE", "SELECT", "OPERATE", "ALTER", "ALL"])? == "ALL" {
            c.eat(&["PRIVILEGES"]);
        }
        Ok(())
    })?;
    if c.at != on {
        return Err(c.expected("ON"));
    }
    c.at = after_kind;
    c.commas(|c| name(c, kind))?;
    c.expect(&[direction])?;
    c.commas(|c| c.simple_name("a role name"))?;
    if verb == "GRANT" && c.eat(&["WITH"]) {
        c.expect(&["GRANT", "OPTION"])?;
    } else if !c.eat(&["CASCADE"]) {
        c.eat(&["RESTRICT"]);
    }
    c.expect_end()?;
    Ok(not_built(format!("{verb} ON {}", kind.word().to_uppercase()), c.position(start)))
}
