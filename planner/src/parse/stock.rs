//! Stock SQL: sqlparser reads it as it is. Only what PostgreSQL calls by two names is made one here.

use super::cursor::Cursor;
use super::not_built;
use crate::statement::Statement;
use catalog::Result;
use datafusion_sql::sqlparser::ast;
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// First words of statements that sqlparser reads.
const READ: &[&str] = &[
    "SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "MERGE", "ANALYZE", "TRUNCATE", "COPY", "CALL",
    "VACUUM", "CREATE", "ALTER", "DROP", "EXPLAIN", "DESCRIBE", "DESC", "COMMENT", "GRANT", "REVOKE",
];

/// First words of PostgreSQL's statements that nothing here reads.
const UNREAD: &[&str] =
    &["CHECKPOINT", "CLUSTER", "DO", "IMPORT", "LOAD", "LOCK", "REASSIGN", "REINDEX", "REPACK", "SECURITY"];

/// What may follow CREATE, ALTER and DROP, with the words that may stand before it.
pub(super) const NOUNS: &[&str] = &[
    "TABLE",
    "VIEW",
    "INDEX",
    "ROLE",
    "USER",
    "GROUP",
    "SCHEMA",
    "DATABASE",
    "FUNCTION",
    "PROCEDURE",
    "TYPE",
    "DOMAIN",
    "SEQUENCE",
    "EXTENSION",
    "TRIGGER",
    "POLICY",
    "OPERATOR",
    "COLLATION",
    "SERVER",
    "MATERIALIZED",
    "TEMP",
    "TEMPORARY",
    "UNLOGGED",
    "UNIQUE",
    "EXTERNAL",
    "LOCAL",
    "GLOBAL",
    "RECURSIVE",
    "CONSTRAINT",
    "AGGREGATE",
];

/// Nouns of PostgreSQL whose statements nothing here reads.
const UNREAD_NOUNS: &[&str] = &[
    "ACCESS",
    "CAST",
    "CONVERSION",
    "DEFAULT",
    "EVENT",
    "FOREIGN",
    "GROUP",
    "LANGUAGE",
    "LARGE",
    "OWNED",
    "PUBLICATION",
    "ROUTINE",
    "RULE",
    "STATISTICS",
    "SUBSCRIPTION",
    "SYSTEM",
    "TABLESPACE",
    "TEXT",
    "TRANSFORM",
    "TRUSTED",
    "UNLOGGED",
];

pub(super) fn is_head(word: &str) -> bool {
    READ.contains(&word) || UNREAD.contains(&word)
}

pub(super) fn is_noun(word: &str) -> bool {
    NOUNS.contains(&word) || UNREAD_NOUNS.contains(&word)
}

/// Reads the rest of the statement with sqlparser.
pub(super) fn statement(c: &mut Cursor<'_>) -> Result<Statement> {
    let (start, head) = (c.at, c.word(0));
    if UNREAD.contains(&head.as_str()) {
        c.at = c.end;
        return Ok(not_built(head, c.position(start)));
    }
    if matches!(head.as_str(), "" | "SELECT" | "WITH" | "VALUES" | "TABLE") {
        let (query, left) = c.sqlparser(start..c.end, |parser| parser.parse_query())?;
        c.at = left;
        return Ok(Statement::Sql(Box::new(ast::Statement::Query(query))));
    }
    let is_ddl = matches!(head.as_str(), "CREATE" | "ALTER" | "DROP");
    let noun = start + 1 + if is_ddl && c.sees_from(1, &["OR", "REPLACE"]) { 2 } else { 0 };
    let noun_word = c.word(noun - start);
    if is_ddl && UNREAD_NOUNS.contains(&noun_word.as_str()) {
        c.at = c.end;
        return Ok(not_built(format!("{head} {noun_word}"), c.position(start)));
    }
    let user = is_ddl && noun_word == "USER" && c.word(noun + 1 - start) != "MAPPING";
    if is_ddl && noun_word == "USER" && !user {
        c.at = c.end;
        return Ok(not_built(format!("{head} USER MAPPING"), c.position(start)));
    }
    let mut tokens: Vec<TokenWithSpan> = c.lexed.tokens[start..c.end].to_vec();
    if user {
        // PostgreSQL's USER is a ROLE that may log in; sqlparser's CREATE USER is another database's.
        tokens[noun - start].token = Token::make_keyword("ROLE");
    }
    let (mut statement, left) = c.sqlparser_tokens(tokens, start..c.end, |parser| parser.parse_statement())?;
    c.at = left;
    if let ast::Statement::CreateRole(role) = &mut statement
        && user
        && role.login.is_none()
    {
        role.login = Some(true);
    }
    Ok(Statement::Sql(Box::new(statement)))
}
