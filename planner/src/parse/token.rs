//! The tokens of a batch with their places in the text. Comments and white space are left out.

use super::dialect::TidegateDialect;
use catalog::{Error, ErrorKind, Result};
use datafusion_sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use std::ops::Range;

/// Where a token stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Byte offset of its first byte.
    pub start: usize,
    /// Byte offset after its last byte.
    pub end: usize,
    /// 1-based character offset, as clients count.
    pub position: usize,
}

/// A text and its tokens, in order.
pub(crate) struct Lexed<'a> {
    /// The whole text.
    pub sql: &'a str,
    /// Tokens without comments and white space.
    pub tokens: Vec<TokenWithSpan>,
    /// The place of each token.
    pub places: Vec<Place>,
    /// The position after the last character.
    pub end_position: usize,
}

/// Walks over the text once, from line and column to offsets.
struct Walk<'a> {
    chars: std::str::Chars<'a>,
    length: usize,
    line: u64,
    column: u64,
    position: usize,
}

impl<'a> Walk<'a> {
    fn new(sql: &'a str) -> Self {
        Self { chars: sql.chars(), length: sql.len(), line: 1, column: 1, position: 1 }
    }

    /// Goes on to a place and answers (byte offset, 1-based character offset).
    fn advance(&mut self, to: Location) -> (usize, usize) {
        while (self.line, self.column) != (to.line, to.column) {
            match self.chars.next() {
                Some('\n') => {
                    self.line += 1;
                    self.column = 1;
                }
                Some(_) => self.column += 1,
                None => break,
            }
            self.position += 1;
        }
        (self.length - self.chars.as_str().len(), self.position)
    }
}

impl<'a> Lexed<'a> {
    /// Cuts a text into tokens. The error has the place of the first character that fits none.
    pub fn new(sql: &'a str) -> Result<Self> {
        let all = Tokenizer::new(&TidegateDialect::new(), sql).tokenize_with_location().map_err(|error| {
            let (_, position) = Walk::new(sql).advance(error.location);
            let message = message_of(&error.message);
            Error::new(ErrorKind::Syntax, message).with_position(position)
        })?;
        let mut walk = Walk::new(sql);
        let (mut tokens, mut places) = (Vec::with_capacity(all.len() / 2 + 1), Vec::with_capacity(all.len() / 2 + 1));
        for token in all {
            if matches!(token.token, Token::Whitespace(_)) {
                continue;
            }
            let (start, position) = walk.advance(token.span.start);
            let (end, _) = walk.advance(token.span.end);
            places.push(Place { start, end, position });
            tokens.push(token);
        }
        let end_position = sql.chars().count() + 1;
        Ok(Self { sql, tokens, places, end_position })
    }

    /// The text of some tokens, as written.
    pub fn text(&self, range: Range<usize>) -> &'a str {
        match (self.places.get(range.start), range.end.checked_sub(1).and_then(|last| self.places.get(last))) {
            (Some(first), Some(last)) if first.start <= last.end => &self.sql[first.start..last.end],
            _ => "",
        }
    }

    /// The statements: ranges of tokens between semicolons, empty ones left out.
    pub fn statements(&self) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        let mut start = 0;
        for (i, token) in self.tokens.iter().enumerate() {
            if token.token == Token::SemiColon {
                if start < i {
                    ranges.push(start..i);
                }
                start = i + 1;
            }
        }
        if start < self.tokens.len() {
            ranges.push(start..self.tokens.len());
        }
        ranges
    }
}

/// The tokenizer's messages in PostgreSQL's words; none of them holds text of the statement.
fn message_of(message: &str) -> String {
    const MESSAGES: &[(&str, &str)] = &[
        ("dollar-quoted", "unterminated dollar-quoted string"),
        ("multi-line comment", "unterminated /* comment"),
        ("close delimiter", "unterminated quoted identifier"),
        ("Unterminated", "unterminated quoted string"),
        ("nicode", "invalid Unicode escape"),
    ];
    let known = MESSAGES.iter().find(|(part, _)| message.contains(part));
    known.map_or("this text cannot be read as SQL", |(_, known)| known).to_owned()
}

/// The upper-case word of an unquoted word token.
pub(crate) fn word_of(token: &Token) -> Option<String> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_ascii_uppercase()),
        _ => None,
    }
}

/// Whether a token is this word, unquoted, in any case.
pub(crate) fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}
