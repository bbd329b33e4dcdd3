//! CREATE SINK TABLE, CREATE SOURCE TABLE, and ALTER of both.

use super::cursor::Cursor;
use super::not_built;
use super::token::is_word;
use crate::statement::Statement;
use catalog::definition::{AddedColumn, ColumnDef, SinkShape};
use catalog::{Result, quote_ident, quote_literal};
use datafusion_sql::sqlparser::tokenizer::Token;

/// CREATE SINK TABLE [IF NOT EXISTS] path [shape] [ADD COLUMNS (..)] [PARTITION BY (..)] [PROPERTIES (..)] [WITH (..)]
pub(super) fn create(c: &mut Cursor<'_>) -> Result<Statement> {
    let start = c.here();
    c.expect(&["CREATE"])?;
    let or_replace = c.eat(&["OR", "REPLACE"]);
    c.expect(&["SINK", "TABLE"])?;
    let if_not_exists = c.if_not_exists()?;
    let path = c.path3()?;
    let shape = shape(c)?;
    let (mut added_columns, mut partition_by) = (None, None);
    let (mut properties, mut options) = (None, None);
    while !c.at_end() {
        let clause = c.at;
        match c.one_of(&["ADD COLUMNS", "PARTITION BY", "PROPERTIES", "WITH"])? {
            "ADD COLUMNS" => once(c, clause, "ADD COLUMNS", &mut added_columns, |c| c.list(added_column))?,
            "PARTITION BY" => once(c, clause, "PARTITION BY", &mut partition_by, partitions)?,
            "PROPERTIES" => once(c, clause, "PROPERTIES", &mut properties, property_list)?,
            _ => once(c, clause, "WITH", &mut options, Cursor::options)?,
        }
    }
    if or_replace {
        return Ok(not_built("CREATE OR REPLACE SINK TABLE", start));
    }
    Ok(Statement::CreateSinkTable {
        if_not_exists,
        path,
        shape,
        added_columns: added_columns.unwrap_or_default(),
        partition_by: partition_by.unwrap_or_default(),
        properties: properties.unwrap_or_default(),
        options: options.unwrap_or_default(),
    })
}

/// Reads a clause into its place, which must be empty.
pub(super) fn once<'a, T>(
    c: &mut Cursor<'a>,
    clause: usize,
    name: &str,
    place: &mut Option<T>,
    read: impl FnOnce(&mut Cursor<'a>) -> Result<T>,
) -> Result<()> {
    if place.is_some() {
        return Err(c.refuse(clause, format!("clause {name} is given twice")));
    }
    *place = Some(read(c)?);
    Ok(())
}

fn shape(c: &mut Cursor<'_>) -> Result<SinkShape> {
    if c.sees_token(&Token::LParen) {
        return explicit(c);
    }
    if c.eat(&["LIKE"]) {
        let path = c.path3()?;
        let exclude = if c.eat(&["EXCLUDE"]) { c.columns()? } else { Vec::new() };
        return Ok(SinkShape::Like { path, exclude });
    }
    if c.eat(&["USING"]) {
        c.expect(&["DDL"])?;
        return Ok(SinkShape::Ddl { text: c.text("USING DDL")? });
    }
    if c.eat(&["EXISTING"]) {
        return Ok(SinkShape::Existing);
    }
    Ok(SinkShape::Inferred)
}

fn explicit(c: &mut Cursor<'_>) -> Result<SinkShape> {
    let (mut columns, mut indexes) = (Vec::<ColumnDef>::new(), Vec::new());
    let mut primary_key: Option<Vec<String>> = None;
    c.list(|c| {
        let start = c.at;
        let mut key = None;
        if c.sees(&["PRIMARY", "KEY"]) || c.sees(&["CONSTRAINT"]) {
            if c.eat(&["CONSTRAINT"]) {
                // The sink names its constraints itself.
                c.ident("a constraint name")?;
            }
            c.expect(&["PRIMARY", "KEY"])?;
            key = Some(c.columns()?);
        } else if sees_index(c) {
            c.expect(&["INDEX"])?;
            let name = c.ident("an index name")?;
            indexes.push((name, c.columns()?));
        } else {
            let (column, is_key) = column(c)?;
            if columns.iter().any(|other| other.name == column.name) {
                return Err(c.given_twice(start, &column.name));
            }
            if is_key {
                key = Some(vec![column.name.clone()]);
            }
            columns.push(column);
        }
        match (key, &primary_key) {
            (Some(_), Some(_)) => return Err(c.refuse(start, "more than one primary key is given")),
            (Some(key), None) => primary_key = Some(key),
            (None, _) => {}
        }
        Ok(())
    })?;
    Ok(SinkShape::Explicit { columns, primary_key: primary_key.unwrap_or_default(), indexes })
}

/// `INDEX name (c, ...)`; but `index numeric(10,2)` is a column.
fn sees_index(c: &Cursor<'_>) -> bool {
    c.sees(&["INDEX"])
        && matches!(c.peek(1), Some(Token::Word(_)))
        && c.peek(2) == Some(&Token::LParen)
        && !matches!(c.peek(3), Some(Token::Number(..)))
}

/// `name type [NOT NULL | NULL] [DEFAULT expr] [PRIMARY KEY]`; answers whether it is the primary key.
fn column(c: &mut Cursor<'_>) -> Result<(ColumnDef, bool)> {
    let name = c.ident("a column name")?;
    let data_type = c.data_type()?;
    let mut column = ColumnDef { name, data_type, is_nullable: true, default_expr: None };
    let (mut null_given, mut is_key) = (false, false);
    loop {
        let start = c.at;
        if c.eat(&["NOT", "NULL"]) {
            if std::mem::replace(&mut null_given, true) {
                return Err(c.error_at(start));
            }
            column.is_nullable = false;
        } else if c.eat(&["NULL"]) {
            if std::mem::replace(&mut null_given, true) {
                return Err(c.error_at(start));
            }
        } else if c.eat(&["DEFAULT"]) {
            if column.default_expr.is_some() {
                return Err(c.error_at(start));
            }
            let range = c.at..default_end(c);
            column.default_expr = Some(c.expression(range.clone())?);
            c.at = range.end;
        } else if c.eat(&["PRIMARY", "KEY"]) {
            if std::mem::replace(&mut is_key, true) {
                return Err(c.error_at(start));
            }
        } else if matches!(
            c.word(0).as_str(),
            "UNIQUE" | "CHECK" | "REFERENCES" | "GENERATED" | "COLLATE" | "CONSTRAINT"
        ) {
            let word = c.word(0);
            c.mark_not_built(format!("{word} in a column definition"), start);
            c.at = c.item_range().end;
        } else {
            break;
        }
    }
    if is_key {
        column.is_nullable = false;
    }
    Ok((column, is_key))
}

/// Where a DEFAULT's expression ends: at the next constraint of the column, or with the column.
fn default_end(c: &Cursor<'_>) -> usize {
    let range = c.item_range();
    let token = |i: usize| &c.lexed.tokens[i].token;
    let mut depth = 0usize;
    for i in range.clone() {
        match token(i) {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > 0 || i == range.start {
            continue;
        }
        let after_is = is_word(token(i - 1), "IS");
        let after_not = is_word(token(i - 1), "NOT");
        let not_null = is_word(token(i), "NOT") && i + 1 < range.end && is_word(token(i + 1), "NULL") && !after_is;
        let null = is_word(token(i), "NULL") && !after_is && !after_not && i > range.start;
        let other = ["PRIMARY", "UNIQUE", "CHECK", "REFERENCES", "GENERATED", "CONSTRAINT"]
            .iter()
            .any(|word| is_word(token(i), word));
        if not_null || null || other {
            return i;
        }
    }
    range.end
}

/// `name type = expr`
pub(super) fn added_column(c: &mut Cursor<'_>) -> Result<AddedColumn> {
    let name = c.ident("a column name")?;
    let data_type = c.data_type()?;
    c.expect_token(&Token::Eq)?;
    let range = c.item_range();
    let expr = c.expression(range.clone())?;
    c.at = range.end;
    Ok(AddedColumn { name, data_type, expr })
}

/// The items of PARTITION BY, in one canonical form. A fixed partition is the last one.
fn partitions(c: &mut Cursor<'_>) -> Result<Vec<String>> {
    let mut fixed = false;
    c.list(|c| {
        let start = c.at;
        if fixed {
            return Err(c.refuse(start, "the fixed partition is not the last one"));
        }
        if c.peek(1) == Some(&Token::LParen) && !matches!(c.peek(0), Some(Token::Word(w)) if w.quote_style.is_some()) {
            return match c.one_of(&["YEAR", "MONTH", "DAY", "HOUR", "BUCKET", "TRUNCATE"])? {
                function @ ("BUCKET" | "TRUNCATE") => {
                    c.expect_token(&Token::LParen)?;
                    let number: u32 = c.number("a whole number")?;
                    c.expect_token(&Token::Comma)?;
                    let column = c.ident("a column name")?;
                    c.expect_token(&Token::RParen)?;
                    Ok(format!("{function}({number}, {})", quote_ident(&column)))
                }
                function => {
                    c.expect_token(&Token::LParen)?;
                    let column = c.ident("a column name")?;
                    c.expect_token(&Token::RParen)?;
                    let mut text = format!("{function}({})", quote_ident(&column));
                    if c.eat(&["AS"]) {
                        text = format!("{text} AS {}", quote_ident(&c.ident("a partition name")?));
                    }
                    if c.eat(&["FORMAT"]) {
                        text = format!("{text} FORMAT {}", quote_literal(&c.text("PARTITION BY")?));
                    }
                    Ok(text)
                }
            };
        }
        let name = quote_ident(&c.ident("a column name")?);
        if c.eat_token(&Token::Eq) {
            fixed = true;
            return Ok(format!("{name} = {}", quote_literal(&c.text("PARTITION BY")?)));
        }
        Ok(name)
    })
}

/// `( key = lit, ... )`, each key once.
fn property_list(c: &mut Cursor<'_>) -> Result<Vec<(String, String)>> {
    let mut seen = std::collections::HashSet::new();
    c.list(|c| {
        let key = c.option_key(&mut seen)?;
        c.expect_token(&Token::Eq)?;
        Ok((key, c.text("PROPERTIES")?))
    })
}

/// CREATE SOURCE TABLE [IF NOT EXISTS] path { ( coldef | c type METADATA lit, ... ) | INFER } FORMAT name [WITH (..)]
pub(super) fn create_source_table(c: &mut Cursor<'_>) -> Result<Statement> {
    let start = c.here();
    c.expect(&["CREATE"])?;
    c.eat(&["OR", "REPLACE"]);
    c.expect(&["SOURCE", "TABLE"])?;
    c.if_not_exists()?;
    c.path3()?;
    if !c.eat(&["INFER"]) {
        c.list(|c| {
            column(c)?;
            if c.eat(&["METADATA"]) {
                c.literal()?;
            }
            Ok(())
        })?;
    }
    c.expect(&["FORMAT"])?;
    c.ident("a format")?;
    if c.eat(&["WITH"]) {
        c.options()?;
    }
    c.expect_end()?;
    Ok(not_built("CREATE SOURCE TABLE", start))
}

/// ALTER {SINK|SOURCE} TABLE path { ADD COLUMN coldef | DROP COLUMN c | SET PROPERTIES (..) | SET (..) | OWNER TO role }
pub(super) fn alter(c: &mut Cursor<'_>) -> Result<Statement> {
    let start = c.here();
    c.expect(&["ALTER"])?;
    let noun = c.one_of(&["SINK", "SOURCE"])?;
    c.expect(&["TABLE"])?;
    c.path3()?;
    match c.one_of(&["ADD COLUMN", "DROP COLUMN", "SET PROPERTIES", "SET", "OWNER TO"])? {
        "ADD COLUMN" => {
            column(c)?;
        }
        "DROP COLUMN" => {
            c.ident("a column name")?;
        }
        "SET PROPERTIES" => {
            property_list(c)?;
        }
        "SET" => {
            c.options()?;
        }
        _ => {
            c.simple_name("a role name")?;
        }
    }
    c.expect_end()?;
    Ok(not_built(format!("ALTER {noun} TABLE"), start))
}
