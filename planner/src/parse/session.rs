//! Transactions, settings, prepared statements, cursors and notifications, by their PostgreSQL meaning.

use super::cursor::Cursor;
use crate::statement::{FetchCount, SessionStatement as S, Statement};
use catalog::{Error, ErrorKind, Result};
use datafusion_sql::sqlparser::tokenizer::Token;

pub(super) fn statement(c: &mut Cursor<'_>) -> Result<Statement> {
    let statement = match c.word(0).as_str() {
        "BEGIN" | "START" => begin(c)?,
        "COMMIT" | "END" => commit(c)?,
        "ROLLBACK" | "ABORT" => rollback(c)?,
        "SAVEPOINT" => {
            c.at += 1;
            S::Savepoint(c.simple_name("a savepoint name")?)
        }
        "RELEASE" => {
            c.at += 1;
            c.eat(&["SAVEPOINT"]);
            S::Release(c.simple_name("a savepoint name")?)
        }
        "SET" => set(c)?,
        "RESET" => {
            c.at += 1;
            S::Reset(setting_name(c)?)
        }
        "DISCARD" => {
            c.at += 1;
            let what = c.one_of(&["ALL", "PLANS", "SEQUENCES", "TEMPORARY", "TEMP"])?;
            S::Discard(if what == "TEMPORARY" { "TEMP".into() } else { what.into() })
        }
        "DEALLOCATE" => {
            c.at += 1;
            c.eat(&["PREPARE"]);
            S::Deallocate(name_or_all(c, "a prepared statement's name")?)
        }
        "PREPARE" => {
            let start = c.at;
            c.expect(&["PREPARE", "TRANSACTION"])?;
            c.literal()?;
            c.mark_not_built("PREPARE TRANSACTION", start);
            S::Commit
        }
        "EXECUTE" => execute(c)?,
        "DECLARE" => declare(c)?,
        "FETCH" => {
            c.at += 1;
            let (name, count) = movement(c, "FETCH")?;
            S::Fetch { name, count }
        }
        "MOVE" => {
            c.at += 1;
            let (name, count) = movement(c, "MOVE")?;
            S::Move { name, count }
        }
        "CLOSE" => {
            c.at += 1;
            S::Close(name_or_all(c, "a cursor name")?)
        }
        "LISTEN" => {
            c.at += 1;
            S::Listen(c.simple_name("a channel name")?)
        }
        "UNLISTEN" => {
            c.at += 1;
            if c.eat_token(&Token::Mul) {
                S::Unlisten(None)
            } else {
                S::Unlisten(Some(c.simple_name("a channel name")?))
            }
        }
        "NOTIFY" => {
            c.at += 1;
            let channel = c.simple_name("a channel name")?;
            if c.eat_token(&Token::Comma) {
                c.literal()?;
            }
            S::Notify(channel)
        }
        _ => return Err(c.error()),
    };
    Ok(Statement::Session(statement))
}

fn name_or_all(c: &mut Cursor<'_>, what: &str) -> Result<Option<String>> {
    if c.eat(&["ALL"]) { Ok(None) } else { c.simple_name(what).map(Some) }
}

// Transactions.

/// BEGIN [WORK|TRANSACTION] [mode, ...] and START TRANSACTION [mode, ...]
fn begin(c: &mut Cursor<'_>) -> Result<S> {
    if c.eat(&["START"]) {
        c.expect(&["TRANSACTION"])?;
    } else {
        c.expect(&["BEGIN"])?;
        work(c);
    }
    Ok(S::Begin { read_only: modes(c, true)?.read_only })
}

fn work(c: &mut Cursor<'_>) {
    if !c.eat(&["WORK"]) {
        c.eat(&["TRANSACTION"]);
    }
}

/// What transaction modes say.
#[derive(Default)]
struct Modes {
    read_only: Option<bool>,
    isolation: Option<String>,
    deferrable: Option<bool>,
}

/// `ISOLATION LEVEL l | READ WRITE | READ ONLY | [NOT] DEFERRABLE`, with commas between them or none.
fn modes(c: &mut Cursor<'_>, may_be_empty: bool) -> Result<Modes> {
    let mut modes = Modes::default();
    let mut first = true;
    while !c.at_end() {
        if !first {
            c.eat_token(&Token::Comma);
        }
        first = false;
        match c.one_of(&["ISOLATION LEVEL", "READ WRITE", "READ ONLY", "NOT DEFERRABLE", "DEFERRABLE"])? {
            "ISOLATION LEVEL" => {
                let levels = ["SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED", "READ UNCOMMITTED"];
                modes.isolation = Some(c.one_of(&levels)?.to_lowercase());
            }
            "READ WRITE" => modes.read_only = Some(false),
            "READ ONLY" => modes.read_only = Some(true),
            word => modes.deferrable = Some(word == "DEFERRABLE"),
        }
    }
    if first && !may_be_empty {
        return Err(c.expected("a transaction mode"));
    }
    Ok(modes)
}

/// COMMIT|END [WORK|TRANSACTION] [AND [NO] CHAIN]
fn commit(c: &mut Cursor<'_>) -> Result<S> {
    let start = c.at;
    c.at += 1;
    if c.eat(&["PREPARED"]) {
        c.literal()?;
        c.mark_not_built("COMMIT PREPARED", start);
        return Ok(S::Commit);
    }
    work(c);
    chain(c)?;
    Ok(S::Commit)
}

fn chain(c: &mut Cursor<'_>) -> Result<()> {
    let start = c.at;
    if c.eat(&["AND"]) {
        let no = c.eat(&["NO"]);
        c.expect(&["CHAIN"])?;
        if !no {
            c.mark_not_built("AND CHAIN", start);
        }
    }
    Ok(())
}

/// ROLLBACK|ABORT [WORK|TRANSACTION] [AND [NO] CHAIN], and ROLLBACK [WORK|TRANSACTION] TO [SAVEPOINT] name
fn rollback(c: &mut Cursor<'_>) -> Result<S> {
    let (start, may_go_to) = (c.at, c.sees(&["ROLLBACK"]));
    c.at += 1;
    if may_go_to && c.eat(&["PREPARED"]) {
        c.literal()?;
        c.mark_not_built("ROLLBACK PREPARED", start);
        return Ok(S::Rollback);
    }
    work(c);
    if may_go_to && c.eat(&["TO"]) {
        c.eat(&["SAVEPOINT"]);
        return Ok(S::RollbackTo(c.simple_name("a savepoint name")?));
    }
    chain(c)?;
    Ok(S::Rollback)
}

// Settings.

/// SET in all its forms.
fn set(c: &mut Cursor<'_>) -> Result<S> {
    let start = c.at;
    c.expect(&["SET"])?;
    if c.eat(&["SESSION", "CHARACTERISTICS"]) {
        c.expect(&["AS", "TRANSACTION"])?;
        return session_characteristics(modes(c, false)?);
    }
    if c.eat(&["CONSTRAINTS"]) {
        if !c.eat(&["ALL"]) {
            c.commas(|c| c.parts("a constraint name"))?;
        }
        c.one_of(&["DEFERRED", "IMMEDIATE"])?;
        c.mark_not_built("SET CONSTRAINTS", start);
        return Ok(S::SetTransaction { read_only: None });
    }
    // A setting may be named "local" or "session": then its sign follows.
    let assigned = |c: &Cursor<'_>| c.peek(1) == Some(&Token::Eq) || c.word(1) == "TO";
    let local = !assigned(c) && c.eat(&["LOCAL"]);
    if !local && !assigned(c) && !c.sees(&["SESSION", "AUTHORIZATION"]) {
        c.eat(&["SESSION"]);
    }
    if c.sees(&["TRANSACTION"]) && !assigned(c) {
        c.expect(&["TRANSACTION"])?;
        if c.eat(&["SNAPSHOT"]) {
            c.literal()?;
            c.mark_not_built("SET TRANSACTION SNAPSHOT", start);
            return Ok(S::SetTransaction { read_only: None });
        }
        return Ok(S::SetTransaction { read_only: modes(c, false)?.read_only });
    }
    let (name, value) = if c.eat(&["TIME", "ZONE"]) {
        ("timezone".to_owned(), time_zone(c)?)
    } else if c.sees(&["NAMES"]) && !assigned(c) {
        c.expect(&["NAMES"])?;
        let default = c.at_end() || c.eat(&["DEFAULT"]);
        ("client_encoding".to_owned(), if default { None } else { Some(vec![value(c)?]) })
    } else if c.sees(&["ROLE"]) && !assigned(c) {
        c.expect(&["ROLE"])?;
        ("role".to_owned(), Some(vec![value(c)?]))
    } else if c.sees(&["SCHEMA"]) && !assigned(c) {
        c.expect(&["SCHEMA"])?;
        ("search_path".to_owned(), Some(vec![value(c)?]))
    } else if c.eat(&["SESSION", "AUTHORIZATION"]) {
        let default = c.eat(&["DEFAULT"]);
        ("session_authorization".to_owned(), if default { None } else { Some(vec![value(c)?]) })
    } else {
        let name = c.parts("a setting")?.join(".");
        if !c.eat_token(&Token::Eq) && !c.eat(&["TO"]) {
            return Err(c.expected("\"=\" or TO"));
        }
        let value = if c.eat(&["DEFAULT"]) { None } else { Some(c.commas(value)?) };
        (name, value)
    };
    Ok(S::Set { local, name, value })
}

/// What new transactions of the session are like. One setting at a time can be said; the access mode
/// is the one that has an effect here.
fn session_characteristics(modes: Modes) -> Result<S> {
    let on = |on| Some(vec![if on { "on".to_owned() } else { "off".to_owned() }]);
    let (name, value) = match (modes.read_only, modes.isolation, modes.deferrable) {
        (Some(read_only), _, _) => ("default_transaction_read_only", on(read_only)),
        (None, Some(level), _) => ("default_transaction_isolation", Some(vec![level])),
        (None, None, deferrable) => ("default_transaction_deferrable", on(deferrable == Some(true))),
    };
    Ok(S::Set { local: false, name: name.to_owned(), value })
}

/// The value of SET TIME ZONE.
fn time_zone(c: &mut Cursor<'_>) -> Result<Option<Vec<String>>> {
    if c.eat(&["LOCAL"]) || c.eat(&["DEFAULT"]) {
        return Ok(None);
    }
    if c.eat(&["INTERVAL"]) {
        let text = c.text("SET TIME ZONE")?;
        if c.eat(&["HOUR"]) && c.eat(&["TO"]) {
            c.expect(&["MINUTE"])?;
        }
        return Ok(Some(vec![text]));
    }
    Ok(Some(vec![value(c)?]))
}

/// One value of a setting: a word, a string or a number. Words fold as names do.
fn value(c: &mut Cursor<'_>) -> Result<String> {
    match c.peek(0) {
        Some(Token::Placeholder(_)) => Err(c.error()),
        Some(Token::Word(_)) => c.label("a value"),
        _ => c.text("SET"),
    }
}

/// The name of a setting after SHOW and RESET, which may have a name of several words.
fn setting_name(c: &mut Cursor<'_>) -> Result<String> {
    const NAMES: &[(&[&str], &str)] = &[
        (&["ALL"], "all"),
        (&["TIME", "ZONE"], "timezone"),
        (&["TRANSACTION", "ISOLATION", "LEVEL"], "transaction_isolation"),
        (&["SESSION", "AUTHORIZATION"], "session_authorization"),
    ];
    for (words, name) in NAMES {
        if c.eat(words) {
            return Ok((*name).to_owned());
        }
    }
    Ok(c.parts("a setting")?.join("."))
}

/// SHOW name
pub(super) fn show_setting(c: &mut Cursor<'_>) -> Result<Statement> {
    c.expect(&["SHOW"])?;
    Ok(Statement::Session(S::ShowSetting(setting_name(c)?)))
}

// Prepared statements.

/// PREPARE name [(type, ...)] AS
pub(super) fn prepare_head(c: &mut Cursor<'_>) -> Result<(String, Vec<String>)> {
    c.expect(&["PREPARE"])?;
    let name = c.simple_name("a prepared statement's name")?;
    let types = if c.sees_token(&Token::LParen) { c.list(Cursor::data_type)? } else { Vec::new() };
    c.expect(&["AS"])?;
    Ok((name, types))
}

/// EXECUTE name [(expr, ...)]
fn execute(c: &mut Cursor<'_>) -> Result<S> {
    c.expect(&["EXECUTE"])?;
    let name = c.simple_name("a prepared statement's name")?;
    let arguments = if c.sees_token(&Token::LParen) {
        c.list(|c| {
            let range = c.item_range();
            let text = c.expression(range.clone())?;
            c.at = range.end;
            Ok(text)
        })?
    } else {
        Vec::new()
    };
    Ok(S::Execute { name, arguments })
}

// Cursors.

/// DECLARE name [BINARY] [ASENSITIVE|INSENSITIVE] [[NO] SCROLL] CURSOR [{WITH|WITHOUT} HOLD] FOR query
fn declare(c: &mut Cursor<'_>) -> Result<S> {
    c.expect(&["DECLARE"])?;
    let name = c.simple_name("a cursor name")?;
    while !c.sees(&["CURSOR"]) {
        let at = c.at;
        let word = c.one_of(&["BINARY", "ASENSITIVE", "INSENSITIVE", "NO SCROLL", "SCROLL", "CURSOR"])?;
        if matches!(word, "BINARY" | "SCROLL") {
            c.mark_not_built(format!("{word} in DECLARE"), at);
        }
    }
    c.expect(&["CURSOR"])?;
    let hold = c.eat(&["WITH", "HOLD"]);
    if !hold {
        c.eat(&["WITHOUT", "HOLD"]);
    }
    c.expect(&["FOR"])?;
    let range = c.at..c.end;
    let query = c.query(range.clone())?;
    c.at = c.end;
    Ok(S::DeclareCursor { name, hold, query, query_text: c.lexed.text(range).to_owned() })
}

/// `[NEXT | FORWARD [n|ALL] | n | ALL] [FROM|IN] name`; the other directions are not built.
fn movement(c: &mut Cursor<'_>, verb: &str) -> Result<(String, FetchCount)> {
    let start = c.at;
    // A cursor may have the name of a direction when nothing follows it.
    let last = c.peek(1).is_none();
    let mut count = FetchCount::Forward(1);
    if last {
        // The name alone.
    } else if c.eat(&["NEXT"]) {
        // The next row.
    } else if c.eat(&["FORWARD"]) {
        if let Some(given) = rows(c, verb)? {
            count = given;
        }
    } else if matches!(c.word(0).as_str(), "PRIOR" | "FIRST" | "LAST") {
        let word = c.word(0);
        c.at += 1;
        c.mark_not_built(format!("{verb} {word}"), start);
    } else if matches!(c.word(0).as_str(), "BACKWARD" | "ABSOLUTE" | "RELATIVE") {
        let word = c.word(0);
        c.at += 1;
        rows(c, verb)?;
        c.mark_not_built(format!("{verb} {word}"), start);
    } else if let Some(given) = rows(c, verb)? {
        count = given;
    }
    if !c.eat(&["FROM"]) {
        c.eat(&["IN"]);
    }
    Ok((c.simple_name("a cursor name")?, count))
}

/// A number of rows or ALL, when one follows.
fn rows(c: &mut Cursor<'_>, verb: &str) -> Result<Option<FetchCount>> {
    let start = c.at;
    if c.eat(&["ALL"]) {
        return Ok(Some(FetchCount::All));
    }
    if c.eat_token(&Token::Minus) {
        c.number::<u64>("a number of rows")?;
        c.mark_not_built(format!("{verb} backward"), start);
        return Ok(Some(FetchCount::Forward(0)));
    }
    match c.peek(0) {
        Some(Token::Number(text, _)) => {
            let count = text.parse().map_err(|_| {
                Error::new(ErrorKind::InvalidValue, format!("\"{text}\" is not a number of rows"))
                    .with_position(c.here())
            })?;
            c.at += 1;
            Ok(Some(FetchCount::Forward(count)))
        }
        _ => Ok(None),
    }
}
