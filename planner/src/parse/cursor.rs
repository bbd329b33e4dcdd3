//! The cursor that our own statements are read with: words, names, literals, lists, and the
//! parts that sqlparser reads. It knows no statement.

use super::dialect::TidegateDialect;
use super::token::{Lexed, is_word, word_of};
use crate::redact::is_secret_key;
use crate::statement::{Literal, OptionEntry, OptionInput};
use catalog::error::nearest;
use catalog::name::IDENT_BYTES_MAX;
use catalog::{Error, ErrorKind, Path3, Result, TableName, quote_ident};
use datafusion_sql::sqlparser::ast;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use std::ops::Range;

/// Nesting above which sqlparser gets a stack of its own: below it, two megabytes are enough.
const NESTING_ON_THIS_STACK: usize = 12;
/// The stack for deeper statements. Only what is used of it is ever backed by memory.
const DEEP_STACK_BYTES: usize = 256 << 20;
/// sqlparser's own limit: the guard has refused everything that could come near it.
const RECURSION_LIMIT: usize = 10_000;
/// The highest `$n`, as in PostgreSQL's protocol.
const PARAMETER_MAX: usize = 65_535;

/// Reads the tokens of one statement.
pub(super) struct Cursor<'a> {
    /// The whole batch.
    pub lexed: &'a Lexed<'a>,
    /// The next token.
    pub at: usize,
    /// After the last token of the statement.
    pub end: usize,
    /// The deepest nesting of the statement.
    pub nesting: usize,
    /// The first clause that is specified and not built: its name and its position.
    pub not_built: Option<(String, usize)>,
}

impl<'a> Cursor<'a> {
    pub fn new(lexed: &'a Lexed<'a>, range: Range<usize>, nesting: usize) -> Self {
        Self { lexed, at: range.start, end: range.end, nesting, not_built: None }
    }

    // Looking.

    /// The token `n` after the next one.
    pub fn peek(&self, n: usize) -> Option<&'a Token> {
        let i = self.at + n;
        if i < self.end { self.lexed.tokens.get(i).map(|t| &t.token) } else { None }
    }
    pub fn at_end(&self) -> bool {
        self.at >= self.end
    }
    /// Whether the words follow, the first one at `n`.
    pub fn sees_from(&self, n: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(i, word)| self.peek(n + i).is_some_and(|token| is_word(token, word)))
    }
    pub fn sees(&self, words: &[&str]) -> bool {
        self.sees_from(0, words)
    }
    pub fn sees_token(&self, token: &Token) -> bool {
        self.peek(0) == Some(token)
    }
    /// The upper-case unquoted word at `n`; empty when there is none.
    pub fn word(&self, n: usize) -> String {
        self.peek(n).and_then(word_of).unwrap_or_default()
    }
    /// 1-based character offset of a token, or of the end.
    pub fn position(&self, token: usize) -> usize {
        self.lexed.places.get(token).map_or(self.lexed.end_position, |place| place.position)
    }
    pub fn here(&self) -> usize {
        self.position(self.at)
    }

    // Errors.

    /// `syntax error at or near` a token; at the end of the statement it is the semicolon or the end of input.
    pub fn error_at(&self, token: usize) -> Error {
        match self.lexed.places.get(token) {
            Some(place) => {
                let text = &self.lexed.sql[place.start..place.end];
                Error::new(ErrorKind::Syntax, format!("syntax error at or near \"{}\"", shown(text)))
            }
            None => Error::new(ErrorKind::Syntax, "syntax error at end of input"),
        }
        .with_position(self.position(token))
    }
    pub fn error(&self) -> Error {
        self.error_at(self.at)
    }
    pub fn expected(&self, what: &str) -> Error {
        self.error().with_detail(format!("Expected {what}."))
    }
    /// A syntax error here with the nearest of the words that may stand here.
    pub fn expected_one_of(&self, words: &[&str]) -> Error {
        let error = self.expected(&format!("one of: {}", words.join(", ")));
        let given = self.word(0);
        match nearest(&given, words.iter().flat_map(|w| w.split(' ').take(1))) {
            Some(near) if !given.is_empty() && near != given => {
                error.with_hint(format!("Perhaps you meant \"{near}\"."))
            }
            _ => error,
        }
    }
    /// Another error of form 42601, at a token.
    pub fn refuse(&self, token: usize, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Syntax, message).with_position(self.position(token))
    }
    /// 42701: a column that a list names for the second time.
    pub fn given_twice(&self, token: usize, column: &str) -> Error {
        Error::new(ErrorKind::DuplicateColumn, format!("column \"{column}\" is given twice"))
            .with_column(column)
            .with_position(self.position(token))
    }
    /// Notes a clause that is specified and not built; the first one names the error.
    pub fn mark_not_built(&mut self, what: impl Into<String>, token: usize) {
        if self.not_built.is_none() {
            self.not_built = Some((what.into(), self.position(token)));
        }
    }

    // Words and signs.

    pub fn eat(&mut self, words: &[&str]) -> bool {
        let found = self.sees(words);
        if found {
            self.at += words.len();
        }
        found
    }
    pub fn eat_token(&mut self, token: &Token) -> bool {
        let found = self.sees_token(token);
        self.at += usize::from(found);
        found
    }
    pub fn expect(&mut self, words: &[&str]) -> Result<()> {
        for word in words {
            if !self.eat(&[word]) {
                return Err(self.expected(word));
            }
        }
        Ok(())
    }
    pub fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.eat_token(token) { Ok(()) } else { Err(self.expected(&format!("\"{token}\""))) }
    }
    /// One of several words, which may be pairs (`HASH DIFF`); longer ones must come first.
    pub fn one_of<'w>(&mut self, words: &[&'w str]) -> Result<&'w str> {
        for word in words {
            let parts: Vec<&str> = word.split(' ').collect();
            if self.eat(&parts) {
                return Ok(word);
            }
        }
        Err(self.expected_one_of(words))
    }
    pub fn if_not_exists(&mut self) -> Result<bool> {
        if !self.eat(&["IF"]) {
            return Ok(false);
        }
        self.expect(&["NOT", "EXISTS"]).map(|()| true)
    }
    pub fn if_exists(&mut self) -> Result<bool> {
        if !self.eat(&["IF"]) {
            return Ok(false);
        }
        self.expect(&["EXISTS"]).map(|()| true)
    }
    pub fn expect_end(&self) -> Result<()> {
        if self.at_end() { Ok(()) } else { Err(self.error()) }
    }

    // Lists.

    /// `( item, ... )`
    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.expect_token(&Token::LParen)?;
        let mut items = vec![item(self)?];
        while self.eat_token(&Token::Comma) {
            items.push(item(self)?);
        }
        if !self.eat_token(&Token::RParen) {
            return Err(self.expected("\",\" or \")\""));
        }
        Ok(items)
    }
    /// `item, ...`
    pub fn commas<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.eat_token(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }
    /// The tokens from here to the comma or closing parenthesis that ends a list item.
    pub fn item_range(&self) -> Range<usize> {
        let mut depth = 0usize;
        for i in self.at..self.end {
            match self.lexed.tokens[i].token {
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace if depth == 0 => return self.at..i,
                Token::RParen | Token::RBracket | Token::RBrace => depth -= 1,
                Token::Comma if depth == 0 => return self.at..i,
                _ => {}
            }
        }
        self.at..self.end
    }
    /// `( .. )`: passes over it and answers the tokens inside.
    pub fn group(&mut self) -> Result<Range<usize>> {
        self.expect_token(&Token::LParen)?;
        let mut depth = 0usize;
        for i in self.at..self.end {
            match self.lexed.tokens[i].token {
                Token::LParen => depth += 1,
                Token::RParen if depth == 0 => {
                    let inside = self.at..i;
                    self.at = i + 1;
                    return Ok(inside);
                }
                Token::RParen => depth -= 1,
                _ => {}
            }
        }
        self.at = self.end;
        Err(self.expected("\")\""))
    }

    // Names.

    fn folded(&self, token: usize) -> Option<Result<String>> {
        let Token::Word(word) = &self.lexed.tokens.get(token)?.token else { return None };
        let name = if word.quote_style.is_some() { word.value.clone() } else { word.value.to_ascii_lowercase() };
        if word.quote_style.is_some() && name.is_empty() {
            return Some(Err(self.refuse(token, "zero-length delimited identifier")));
        }
        if name.len() > IDENT_BYTES_MAX {
            return Some(Err(Error::new(
                ErrorKind::InvalidValue,
                format!("identifier \"{}\" is longer than {IDENT_BYTES_MAX} bytes", shown(&name)),
            )
            .with_position(self.position(token))));
        }
        Some(Ok(name))
    }
    /// A name that may be any word: what follows a dot, and keys.
    pub fn label(&mut self, what: &str) -> Result<String> {
        if self.at_end() {
            return Err(self.expected(what));
        }
        match self.folded(self.at) {
            Some(name) => {
                let name = name?;
                self.at += 1;
                Ok(name)
            }
            None => Err(self.expected(what)),
        }
    }
    /// A name: reserved words need quotes.
    pub fn ident(&mut self, what: &str) -> Result<String> {
        if let Some(Token::Word(word)) = self.peek(0)
            && word.quote_style.is_none()
            && is_reserved(&word.value.to_ascii_lowercase())
        {
            return Err(self.expected(what).with_hint(format!(
                "\"{}\" is a reserved word: as a name it needs double quotes.",
                word.value.to_ascii_lowercase()
            )));
        }
        self.label(what)
    }
    /// The parts of a dotted name.
    pub fn parts(&mut self, what: &str) -> Result<Vec<String>> {
        let mut parts = vec![self.ident(what)?];
        while self.eat_token(&Token::Period) {
            parts.push(self.label("a name after the dot")?);
        }
        Ok(parts)
    }
    /// `source.schema.table`
    pub fn path3(&mut self) -> Result<Path3> {
        let start = self.at;
        match <[String; 3]>::try_from(self.parts("a table name: source.schema.table")?) {
            Ok([source, schema, table]) => Ok(Path3::new(source, schema, table)),
            Err(parts) => Err(self.wrong_parts(start, &parts, "a three-part name: source.schema.table")),
        }
    }
    /// `schema.table`
    pub fn table_name(&mut self) -> Result<TableName> {
        let start = self.at;
        match <[String; 2]>::try_from(self.parts("a table name: schema.table")?) {
            Ok([schema, table]) => Ok(TableName::new(schema, table)),
            Err(parts) => Err(self.wrong_parts(start, &parts, "a two-part name: schema.table")),
        }
    }
    /// A name of one part, such as that of a source or a job.
    pub fn simple_name(&mut self, what: &str) -> Result<String> {
        let start = self.at;
        let mut parts = self.parts(what)?;
        match (parts.pop(), parts.is_empty()) {
            (Some(name), true) => Ok(name),
            (last, _) => {
                parts.extend(last);
                Err(self.wrong_parts(start, &parts, &format!("{what}, which has one part")))
            }
        }
    }
    pub fn wrong_parts(&self, token: usize, parts: &[String], what: &str) -> Error {
        let text = parts.iter().map(|part| quote_ident(part)).collect::<Vec<_>>().join(".");
        self.refuse(token, format!("\"{}\" is not {what}", shown(&text)))
    }
    /// `( c, ... )`, each name once.
    pub fn columns(&mut self) -> Result<Vec<String>> {
        let mut seen = std::collections::HashSet::new();
        self.list(|c| {
            let start = c.at;
            let name = c.ident("a column name")?;
            if seen.insert(name.clone()) { Ok(name) } else { Err(c.given_twice(start, &name)) }
        })
    }

    // Literals.

    /// A literal, when one follows.
    pub fn literal_if_any(&mut self) -> Result<Option<Literal>> {
        let sign = match self.peek(0) {
            Some(Token::Minus) => "-",
            Some(Token::Plus) => "+",
            _ => "",
        };
        if !sign.is_empty() {
            let Some(Token::Number(number, _)) = self.peek(1) else { return Ok(None) };
            self.at += 2;
            let sign = sign.trim_start_matches('+');
            return Ok(Some(Literal::Text(format!("{sign}{number}"))));
        }
        let literal = match self.peek(0) {
            Some(
                Token::SingleQuotedString(text)
                | Token::EscapedStringLiteral(text)
                | Token::UnicodeStringLiteral(text)
                | Token::Number(text, _),
            ) => Literal::Text(text.clone()),
            Some(Token::DollarQuotedString(dollar)) => Literal::Text(dollar.value.clone()),
            Some(Token::Placeholder(name)) => Literal::Parameter(self.parameter(name)?),
            Some(token) if is_word(token, "TRUE") => Literal::Text("true".into()),
            Some(token) if is_word(token, "FALSE") => Literal::Text("false".into()),
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(literal))
    }
    fn parameter(&self, name: &str) -> Result<usize> {
        match name.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok()) {
            Some(n) if (1..=PARAMETER_MAX).contains(&n) => Ok(n),
            _ => Err(self.refuse(self.at, format!("there is no parameter {name}"))),
        }
    }
    pub fn literal(&mut self) -> Result<Literal> {
        match self.literal_if_any()? {
            Some(literal) => Ok(literal),
            None => {
                let error = self.expected("a literal");
                Err(match self.peek(0) {
                    Some(Token::Word(_)) => error.with_hint("Write a value as a string literal, in single quotes."),
                    _ => error,
                })
            }
        }
    }
    /// The error for a secret's value that is no literal: it points before the value and does not repeat it.
    pub fn secret_literal_missing(&self, before: usize, error: Error) -> Error {
        if *error.kind() != ErrorKind::Syntax {
            return error;
        }
        self.error_at(before)
            .with_detail("Expected a literal after it.")
            .with_hint("Write a value as a string literal, in single quotes.")
    }
    /// A literal where the statement has no room for a parameter.
    pub fn text(&mut self, clause: &str) -> Result<String> {
        let start = self.at;
        match self.literal()? {
            Literal::Text(text) => Ok(text),
            Literal::Parameter(n) => {
                self.mark_not_built(format!("the parameter ${n} in {clause}"), start);
                Ok(String::new())
            }
        }
    }
    /// A whole number without a sign.
    pub fn number<N: std::str::FromStr>(&mut self, what: &str) -> Result<N> {
        let Some(Token::Number(text, _)) = self.peek(0) else { return Err(self.expected(what)) };
        let number = text.parse().map_err(|_| {
            Error::new(ErrorKind::InvalidValue, format!("\"{}\" is not {what}", shown(text))).with_position(self.here())
        })?;
        self.at += 1;
        Ok(number)
    }

    // Options.

    /// `( key = optval, ... )`, each key once.
    pub fn options(&mut self) -> Result<Vec<OptionEntry>> {
        let mut seen = std::collections::HashSet::new();
        self.list(|c| {
            let start = c.at;
            let key = c.option_key(&mut seen)?;
            if !c.eat_token(&Token::Eq) {
                return Err(c.expected("\"=\" after the option's name"));
            }
            let equals = c.at - 1;
            let value = c.option_value().map_err(|error| {
                // What stands there may be the secret itself, without its quotes.
                if is_secret_key(&key) { c.secret_literal_missing(equals, error) } else { error }
            })?;
            Ok(OptionEntry { key, value, position: c.position(start) })
        })
    }
    /// A key that has not been given before.
    pub fn option_key(&mut self, seen: &mut std::collections::HashSet<String>) -> Result<String> {
        let start = self.at;
        let key = self.label("an option name")?;
        if self.sees_token(&Token::Period) {
            return Err(self.error().with_hint("An option name with dots needs double quotes."));
        }
        if seen.insert(key.clone()) {
            Ok(key)
        } else {
            Err(self.refuse(start, format!("option \"{}\" is given twice", shown(&key))))
        }
    }
    fn option_value(&mut self) -> Result<OptionInput> {
        if self.eat(&["SECRET"]) {
            return self.simple_name("a secret name").map(OptionInput::Secret);
        }
        if self.eat(&["DEFAULT"]) {
            return Ok(OptionInput::Default);
        }
        if self.sees_token(&Token::LParen) {
            if self.peek(1) == Some(&Token::RParen) {
                self.at += 2;
                return Ok(OptionInput::List(Vec::new()));
            }
            return self.list(Self::literal).map(OptionInput::List);
        }
        self.literal().map(OptionInput::Literal)
    }
    /// `(key, ...)`
    pub fn option_keys(&mut self) -> Result<Vec<String>> {
        let mut seen = std::collections::HashSet::new();
        self.list(|c| c.option_key(&mut seen))
    }

    // What sqlparser reads.

    /// Runs sqlparser over some tokens; answers the result and the first token that it left.
    pub fn sqlparser<T: Send>(
        &self,
        range: Range<usize>,
        read: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError> + Send,
    ) -> Result<(T, usize)> {
        self.sqlparser_tokens(self.lexed.tokens[range.clone()].to_vec(), range, read)
    }
    /// The same over changed tokens; `range` is where they came from.
    pub fn sqlparser_tokens<T: Send>(
        &self,
        tokens: Vec<TokenWithSpan>,
        range: Range<usize>,
        read: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError> + Send,
    ) -> Result<(T, usize)> {
        let count = tokens.len();
        let run = move || {
            let dialect = TidegateDialect::for_tokens(count);
            let mut parser =
                Parser::new(&dialect).with_recursion_limit(RECURSION_LIMIT).with_tokens_with_locations(tokens);
            read(&mut parser).map(|read| (read, parser.index().min(count)))
        };
        let outcome = if self.nesting <= NESTING_ON_THIS_STACK {
            run()
        } else {
            std::thread::scope(|scope| {
                let thread = std::thread::Builder::new()
                    .name("deep-parse".into())
                    .stack_size(DEEP_STACK_BYTES)
                    .spawn_scoped(scope, run)
                    .map_err(|error| {
                        Error::new(ErrorKind::TooComplex, "statement is too complex")
                            .with_detail("No stack could be had for a statement that is nested so deeply.")
                            .with_source(error)
                    })?;
                thread.join().map_err(|_| Error::internal("the SQL parser panicked"))
            })?
        };
        match outcome {
            Ok((read, used)) => Ok((read, range.start + used)),
            Err(error) => Err(self.converted(error, range)),
        }
    }
    /// One expression that fills the range; answers its text.
    pub fn expression(&self, range: Range<usize>) -> Result<String> {
        let (_, left) = self.sqlparser(range.clone(), |parser| parser.parse_expr())?;
        if left < range.end {
            return Err(self.error_at(left));
        }
        Ok(self.lexed.text(range).to_owned())
    }
    /// `( expr )`: answers the expression's text.
    pub fn expression_in_parentheses(&mut self) -> Result<String> {
        let inside = self.group()?;
        self.expression(inside)
    }
    /// One query that fills the range.
    pub fn query(&self, range: Range<usize>) -> Result<Box<ast::Query>> {
        let (query, left) = self.sqlparser(range.clone(), |parser| parser.parse_query())?;
        if left < range.end {
            return Err(self.error_at(left));
        }
        if matches!(
            *query.body,
            ast::SetExpr::Insert(_) | ast::SetExpr::Update(_) | ast::SetExpr::Delete(_) | ast::SetExpr::Merge(_)
        ) {
            return Err(self.error_at(range.start).with_detail("Expected a query that only reads."));
        }
        Ok(query)
    }
    /// A type; answers its text as written.
    pub fn data_type(&mut self) -> Result<String> {
        let range = self.item_range();
        let (_, left) = self.sqlparser(range.clone(), |parser| parser.parse_data_type())?;
        self.at = left;
        Ok(self.lexed.text(range.start..left).to_owned())
    }

    /// sqlparser's errors are text that ends with the place; ours name the token there.
    fn converted(&self, error: ParserError, range: Range<usize>) -> Error {
        let message = match error {
            ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
            ParserError::RecursionLimitExceeded => {
                return Error::new(ErrorKind::TooComplex, "statement is too complex")
                    .with_detail("It is nested in a way that takes too long to read.")
                    .with_position(self.position(range.start));
            }
        };
        let (text, place) = match message.rsplit_once(" at Line: ") {
            Some((text, place)) => {
                (text, place.split_once(", Column: ").and_then(|(l, c)| Some((l.parse().ok()?, c.parse().ok()?))))
            }
            None => (message.as_str(), None),
        };
        let place: Option<(u64, u64)> = place;
        let token = match place {
            Some(place) => {
                let tokens = &self.lexed.tokens[range.clone()];
                let found = tokens.partition_point(|t| (t.span.start.line, t.span.start.column) < place);
                range.start + found
            }
            None if text.ends_with("found: EOF") => range.end,
            None => {
                return self.error_at(range.start).with_detail(sentence(text));
            }
        };
        let error = self.error_at(token);
        match text.strip_prefix("Expected: ") {
            Some(rest) => match rest.split_once(", found: ") {
                Some(("end of statement", _)) | None => error,
                Some((expected, _)) if expected.len() <= 120 => error.with_detail(format!("Expected {expected}.")),
                Some(_) => error,
            },
            None => error.with_detail(sentence(text)),
        }
    }
}

/// A text as a sentence.
fn sentence(text: &str) -> String {
    let mut chars = text.trim_end_matches('.').chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).chain(['.']).collect()).unwrap_or_default()
}

/// A token's text as an error shows it: not longer than a name. A literal may be a secret and is masked.
fn shown(text: &str) -> String {
    let quoted = text.contains('\'') || text.starts_with('$') && text.ends_with('$') && text.len() > 1;
    if quoted {
        return "'***'".into();
    }
    if text.chars().count() > IDENT_BYTES_MAX {
        return text.chars().take(IDENT_BYTES_MAX - 3).chain("...".chars()).collect();
    }
    text.to_owned()
}

/// Whether a folded word may not be a name without quotes.
pub(super) fn is_reserved(word: &str) -> bool {
    word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && quote_ident(word) != word
}
