//! From text to statements. This file cuts a batch into statements and finds whose each one is:
//! ours (one file per noun), the session's, or stock SQL, which sqlparser reads.

mod cursor;
mod dialect;
mod guard;
#[cfg(test)]
mod hardening_tests;
mod job;
mod job_clause;
mod lifecycle;
mod object;
mod other_job;
mod secret;
mod session;
mod show;
mod sink_table;
mod source;
mod stock;
#[cfg(test)]
mod tests;
mod token;

use crate::redact::redact_tokens;
use crate::statement::{Parsed, Statement};
use catalog::{Error, ErrorKind, Result};
use cursor::Cursor;
use datafusion_sql::sqlparser::tokenizer::Token;
use std::ops::Range;

pub(crate) use guard::is_literal;
pub(crate) use token::{Lexed, is_word, word_of};

/// Parses a whole batch; nothing of it runs when any statement is wrong.
///
/// Statements come in the order of the text; empty ones are left out. Errors are 42601 with the
/// 1-based character offset in the whole text, 54001 for a statement that is nested too deeply or
/// too long, and 22023 for a name that is too long. A statement or clause that is specified and
/// not built parses to [`Statement::NotBuilt`].
pub fn parse(sql: &str) -> Result<Vec<Parsed>> {
    let lexed = Lexed::new(sql)?;
    let ranges = lexed.statements();
    let mut parsed = Vec::with_capacity(ranges.len());
    for range in ranges {
        let nesting = guard::check(&lexed, range.clone())?;
        let mut cursor = Cursor::new(&lexed, range.clone(), nesting);
        let mut statement = statement(&mut cursor)?;
        cursor.expect_end()?;
        if let Some((what, position)) = cursor.not_built.take() {
            statement = Statement::NotBuilt { what, position };
        }
        let parameter_count = match statement {
            Statement::Sql(_) | Statement::Session(_) => 0,
            _ => highest_parameter(&lexed, range.clone()),
        };
        parsed.push(Parsed {
            statement,
            start: lexed.places[range.start].start,
            end: lexed.places[range.end - 1].end,
            redacted: redact_tokens(&lexed, range),
            parameter_count,
        });
    }
    Ok(parsed)
}

fn highest_parameter(lexed: &Lexed<'_>, range: Range<usize>) -> usize {
    let numbers = lexed.tokens[range].iter().filter_map(|t| match &t.token {
        Token::Placeholder(name) => name.strip_prefix('$')?.parse().ok(),
        _ => None,
    });
    numbers.max().unwrap_or(0)
}

/// The first words of statements, for the hint about a mistyped one.
const HEADS: &[&str] = &[
    "ABORT",
    "ALTER",
    "ANALYZE",
    "BEGIN",
    "CANCEL",
    "CLOSE",
    "COMMENT",
    "COMMIT",
    "COPY",
    "CREATE",
    "DEALLOCATE",
    "DECLARE",
    "DELETE",
    "DESCRIBE",
    "DISCARD",
    "DROP",
    "END",
    "EXECUTE",
    "EXPLAIN",
    "FETCH",
    "GRANT",
    "INSERT",
    "LISTEN",
    "LOCK",
    "MERGE",
    "MOVE",
    "NOTIFY",
    "PAUSE",
    "PREPARE",
    "PURGE",
    "REFRESH",
    "RELEASE",
    "RESET",
    "RESTART",
    "RESUME",
    "RESYNC",
    "RETRY",
    "REVOKE",
    "ROLLBACK",
    "RUN",
    "SAVEPOINT",
    "SELECT",
    "SET",
    "SHOW",
    "START",
    "STOP",
    "TABLE",
    "TRUNCATE",
    "UNDROP",
    "UNLISTEN",
    "UPDATE",
    "VACUUM",
    "VALIDATE",
    "VALUES",
    "WAIT",
    "WITH",
];

/// Reads one statement from its first token.
fn statement(c: &mut Cursor<'_>) -> Result<Statement> {
    if c.sees_token(&Token::LParen) {
        return stock::statement(c);
    }
    match c.word(0).as_str() {
        "CREATE" => create(c),
        "ALTER" => alter(c),
        "DROP" => object::drop(c),
        "VALIDATE" => source::validate(c),
        "REFRESH" => lifecycle::refresh(c),
        "START" if c.word(1) != "TRANSACTION" => lifecycle::start(c),
        "STOP" => lifecycle::stop(c),
        "PAUSE" | "RESUME" => lifecycle::pause_or_resume(c),
        "RESTART" => lifecycle::restart(c),
        "RUN" => lifecycle::run(c),
        "CANCEL" => lifecycle::cancel(c),
        "RETRY" => lifecycle::retry(c),
        "RESYNC" => lifecycle::resync(c),
        "WAIT" => lifecycle::wait(c),
        "UNDROP" => object::undrop(c),
        "PURGE" => object::purge(c),
        "SHOW" => show::show(c),
        "DESCRIBE" | "DESC" => show::describe(c),
        "COMMENT" => show::comment(c),
        "EXPLAIN" => show::explain(c),
        "GRANT" | "REVOKE" => object::grant(c),
        "PREPARE" if !c.sees(&["PREPARE", "TRANSACTION"]) => prepare(c),
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE" | "SET" | "RESET"
        | "DISCARD" | "DEALLOCATE" | "EXECUTE" | "DECLARE" | "FETCH" | "MOVE" | "CLOSE" | "LISTEN" | "UNLISTEN"
        | "NOTIFY" | "PREPARE" => session::statement(c),
        head if stock::is_head(head) => stock::statement(c),
        head => {
            let error = c.error();
            Err(match catalog::error::nearest(head, HEADS.iter().copied()) {
                Some(near) if !head.is_empty() => error.with_hint(format!("Perhaps you meant \"{near}\".")),
                _ => error,
            })
        }
    }
}

/// Whether a word is the kind of a job.
fn is_job_kind(word: &str) -> bool {
    matches!(word, "SYNC" | "VERIFY" | "CLEANUP" | "DDL")
}

/// What follows CREATE in our own statements, after OR REPLACE.
fn create(c: &mut Cursor<'_>) -> Result<Statement> {
    let replace = if c.sees_from(1, &["OR", "REPLACE"]) { 2 } else { 0 };
    let noun = c.word(1 + replace);
    let next = c.word(2 + replace);
    match (noun.as_str(), next.as_str()) {
        ("SECRET", _) => secret::create(c),
        ("SOURCE", "TABLE") => sink_table::create_source_table(c),
        ("SOURCE", _) => source::create(c),
        ("SINK", _) => sink_table::create(c),
        ("SYNC", "JOB") => job::create(c),
        ("VERIFY", "JOB") => other_job::create_verify(c),
        ("CLEANUP", "JOB") => other_job::create_cleanup(c),
        ("DDL", "JOB") => other_job::create_ddl(c),
        ("SAVEPOINT", _) => lifecycle::savepoint(c),
        _ if stock::is_noun(&noun) => stock::statement(c),
        _ => {
            c.at += 1 + replace;
            Err(unknown_noun(c, "CREATE"))
        }
    }
}

/// ALTER of our own objects.
fn alter(c: &mut Cursor<'_>) -> Result<Statement> {
    match (c.word(1).as_str(), c.word(2).as_str()) {
        ("SECRET", _) => secret::alter(c),
        ("SOURCE", "TABLE") | ("SINK", _) => sink_table::alter(c),
        ("SOURCE", _) => source::alter(c),
        ("JOB", _) => job::alter(c),
        (kind, "JOB") if is_job_kind(kind) => job::alter(c),
        (noun, _) if stock::is_noun(noun) => stock::statement(c),
        _ => {
            c.at += 1;
            Err(unknown_noun(c, "ALTER"))
        }
    }
}

/// PREPARE name [(type, ...)] AS statement. The statement is parsed, so that its errors come now.
fn prepare(c: &mut Cursor<'_>) -> Result<Statement> {
    let (name, types) = session::prepare_head(c)?;
    let start = c.at;
    // PostgreSQL prepares no session statements; refusing them here keeps this from calling itself again.
    if matches!(c.word(0).as_str(), "PREPARE" | "EXECUTE" | "DEALLOCATE" | "DECLARE" | "FETCH" | "MOVE" | "CLOSE")
        || c.at_end()
    {
        return Err(c.expected("a statement that can be prepared"));
    }
    if let Statement::Session(_) = statement(c)? {
        return Err(c.error_at(start).with_detail("Expected a statement that can be prepared."));
    }
    c.expect_end()?;
    // What is not built says so when it is executed.
    c.not_built = None;
    let text = c.lexed.text(start..c.end).to_owned();
    Ok(Statement::Session(crate::statement::SessionStatement::Prepare { name, types, text }))
}

/// The error for a word that no statement has after its verb, with what was probably meant.
fn unknown_noun(c: &Cursor<'_>, verb: &str) -> Error {
    const OURS: &[&str] = &["SECRET", "SOURCE", "SINK", "SYNC"];
    let error = c.error();
    let word = c.word(0);
    let hint = match (verb, word.as_str()) {
        (_, "") => return error,
        ("CREATE", "CONNECTION" | "CONNECTOR" | "PEER" | "DATASOURCE" | "ENDPOINT") => {
            "Use CREATE SOURCE name TYPE type WITH (..) for what is read or written.".to_owned()
        }
        ("CREATE", "MIRROR" | "PIPELINE" | "JOB" | "TASK" | "FLOW" | "SYNC" | "REPLICATION" | "STREAM") => {
            "Use CREATE SYNC JOB name .. for what moves data.".to_owned()
        }
        ("CREATE", "VERIFY" | "CLEANUP" | "DDL") => format!("Perhaps you meant \"{word} JOB\"."),
        (_, "SINK") => "Perhaps you meant \"SINK TABLE\".".to_owned(),
        (_, "CONNECTION" | "CONNECTOR" | "PEER" | "DATASOURCE") => format!("Use {verb} SOURCE."),
        (_, "MIRROR" | "PIPELINE" | "TASK" | "FLOW" | "SYNC") => format!("Use {verb} JOB."),
        _ => {
            let ours = OURS.iter().copied().chain(["JOB"].into_iter().filter(|_| verb != "CREATE"));
            match catalog::error::nearest(&word, ours.chain(stock::NOUNS.iter().copied())) {
                Some(near) => format!("Perhaps you meant \"{near}\"."),
                None => return error,
            }
        }
    };
    error.with_hint(hint)
}

/// The answer for a whole statement that is specified and not built.
fn not_built(what: impl Into<String>, position: usize) -> Statement {
    Statement::NotBuilt { what: what.into(), position }
}

/// CREATE OR REPLACE, as far as it is known: answers whether it was written.
fn create_or_replace(c: &mut Cursor<'_>) -> Result<bool> {
    c.expect(&["CREATE"])?;
    Ok(c.eat(&["OR", "REPLACE"]))
}

/// OR REPLACE and IF NOT EXISTS exclude each other.
fn if_not_exists(c: &mut Cursor<'_>, or_replace: bool) -> Result<bool> {
    let start = c.at;
    let if_not_exists = c.if_not_exists()?;
    if or_replace && if_not_exists {
        return Err(Error::new(ErrorKind::Syntax, "OR REPLACE and IF NOT EXISTS cannot be used together")
            .with_position(c.position(start)));
    }
    Ok(if_not_exists)
}
