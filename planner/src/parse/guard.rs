//! Refuses statements whose trees would be too deep or too large, before anything recursive sees them.
//!
//! The walk over the tokens is a loop. It knows no grammar: it bounds from above the depth of
//! any tree that a parser could build from the tokens. A group in parentheses, brackets or
//! CASE..END is one level, and every operator at one level may put one more node above its left side.
//! An operator that binds weaker begins new chains of those that bind stronger, so that
//! `a = 1 OR a = 2 OR ..` counts its ORs only.

use super::token::{Lexed, word_of};
use catalog::{Error, ErrorKind, Result};
use datafusion_sql::sqlparser::tokenizer::Token;
use std::ops::Range;

/// Levels of parentheses, brackets, CASE and prefix operators.
const NESTING_MAX: usize = 200;
/// Operators that may stand above one another in one tree, through all its levels.
const CHAIN_MAX: usize = 500;
/// Tokens of one statement outside the rows of VALUES.
const TOKENS_MAX: usize = 200_000;

/// How tightly operators bind: a weaker class ends the chains of the stronger ones.
const CLASSES: usize = 6;

/// One open level.
#[derive(Default)]
struct Level {
    /// Nesting of the level itself, with the prefix operators before it.
    nesting: usize,
    /// The length of the chain that is going on, per class.
    chain: [usize; CLASSES],
    /// The longest chain so far, per class.
    longest: [usize; CLASSES],
    /// The deepest tree of a closed level inside this one.
    inner: usize,
    /// Whether commas join relations (FROM a, b, c is a tree of joins; WITH is a chain of queries).
    joins: bool,
    /// Whether the level ends with END.
    case: bool,
    /// In the list of rows of VALUES.
    values: bool,
    /// Inside such a row.
    in_values: bool,
}

impl Level {
    fn operator(&mut self, class: usize) {
        self.chain[class] += 1;
        self.longest[class] = self.longest[class].max(self.chain[class]);
        self.chain[class + 1..].fill(0);
    }
    /// A comma or a clause ends every expression, but not the chain of joins and set operations.
    fn end_of_expression(&mut self) {
        self.chain[1..].fill(0);
    }
    fn depth(&self) -> usize {
        self.longest.iter().sum::<usize>() + self.inner
    }
}

fn too_complex(detail: String, position: usize) -> Error {
    Error::new(ErrorKind::TooComplex, "statement is too complex").with_detail(detail).with_position(position)
}

/// Checks one statement and answers the deepest nesting that it found.
pub(super) fn check(lexed: &Lexed<'_>, range: Range<usize>) -> Result<usize> {
    let mut levels = vec![Level::default()];
    let (mut counted, mut deepest) = (0usize, 0usize);
    // Prefix operators that wait for their operand, and whether the token before was an operand.
    let (mut prefix, mut operand) = (0usize, false);
    for i in range.clone() {
        let token = &lexed.tokens[i].token;
        let position = lexed.places[i].position;
        let last = levels.len() - 1;
        let level = &mut levels[last];

        let in_rows = level.values && matches!(token, Token::LParen | Token::Comma);
        if level.values && !in_rows && !matches!(token, Token::RParen) {
            level.values = false;
        }
        if !level.values && !level.in_values {
            counted += 1;
            if counted > TOKENS_MAX {
                return Err(too_complex(
                    format!("It has more than {TOKENS_MAX} words and signs outside VALUES."),
                    position,
                ));
            }
        }

        let word = word_of(token);
        let word = word.as_deref();
        // `case` is the name of an option, too.
        let case = word == Some("CASE") && lexed.tokens.get(i + 1).is_none_or(|next| next.token != Token::Eq);
        let opens = matches!(token, Token::LParen | Token::LBracket | Token::LBrace) || case;
        let closes_group = matches!(token, Token::RParen | Token::RBracket | Token::RBrace);
        if opens {
            if matches!(token, Token::LBracket) {
                level.operator(5);
            }
            let nesting = level.nesting + prefix + 1;
            deepest = deepest.max(nesting);
            if nesting > NESTING_MAX {
                return Err(too_complex(format!("It is nested more than {NESTING_MAX} levels deep."), position));
            }
            let in_values = level.values || level.in_values;
            (prefix, operand) = (0, false);
            levels.push(Level { nesting, case, in_values, ..Level::default() });
            continue;
        }
        if closes_group || (word == Some("END") && level.case) {
            (prefix, operand) = (0, true);
            // A parenthesis closes what is still open inside it.
            while levels.len() > 1 {
                let Some(closed) = levels.pop() else { break };
                let depth = closed.depth() + 1;
                let last = levels.len() - 1;
                levels[last].inner = levels[last].inner.max(depth);
                check_chain(&levels[last], position)?;
                if !(closes_group && closed.case) {
                    break;
                }
            }
            continue;
        }
        let class = match word {
            Some(word) => match word {
                "SELECT" | "WHERE" | "GROUP" | "ORDER" | "HAVING" | "LIMIT" | "OFFSET" | "WINDOW" | "RETURNING"
                | "QUALIFY" | "SET" | "FOR" => {
                    level.end_of_expression();
                    level.joins = false;
                    None
                }
                "FROM" => {
                    // IS DISTINCT FROM begins no list of relations.
                    let distinct =
                        i > range.start && word_of(&lexed.tokens[i - 1].token).as_deref() == Some("DISTINCT");
                    if !distinct {
                        level.end_of_expression();
                        level.joins = true;
                    }
                    None
                }
                "WITH" => {
                    level.joins = true;
                    None
                }
                "VALUES" => {
                    level.end_of_expression();
                    level.joins = false;
                    level.values = true;
                    None
                }
                "WHEN" | "THEN" | "ELSE" => {
                    level.end_of_expression();
                    None
                }
                "UNION" | "INTERSECT" | "EXCEPT" | "JOIN" | "EXPLAIN" => Some(0),
                "OR" | "XOR" => Some(1),
                "AND" => Some(2),
                "NOT" | "IS" | "ISNULL" | "NOTNULL" | "EXISTS" => Some(3),
                "LIKE" | "ILIKE" | "SIMILAR" | "IN" | "BETWEEN" | "OVERLAPS" | "REGEXP" | "RLIKE" => Some(4),
                "COLLATE" | "AT" | "INTERVAL" | "PRIOR" | "OPERATOR" | "DIV" => Some(5),
                _ => None,
            },
            None => match token {
                Token::Comma => {
                    if level.joins {
                        level.operator(0);
                        check_chain(level, position)?;
                    }
                    level.end_of_expression();
                    None
                }
                Token::Eq | Token::DoubleEq | Token::Neq | Token::Lt | Token::Gt | Token::LtEq | Token::GtEq => Some(4),
                Token::Word(_) | Token::Number(..) | Token::Placeholder(_) | Token::Period | Token::Colon => None,
                token if is_literal(token) => None,
                _ => Some(5),
            },
        };
        match class {
            Some(class) => {
                level.operator(class);
                check_chain(level, position)?;
                // An operator after another, or at the start, has no left side: it nests.
                if class >= 3 && !operand {
                    prefix += 1;
                    let nesting = level.nesting + prefix;
                    deepest = deepest.max(nesting);
                    if nesting > NESTING_MAX {
                        return Err(too_complex(
                            format!("It is nested more than {NESTING_MAX} levels deep."),
                            position,
                        ));
                    }
                }
                operand = false;
            }
            None => (prefix, operand) = (0, *token != Token::Comma),
        }
    }
    Ok(deepest)
}

fn check_chain(level: &Level, position: usize) -> Result<()> {
    if level.depth() > CHAIN_MAX {
        return Err(too_complex(format!("More than {CHAIN_MAX} operators or joins follow one another."), position)
            .with_hint("Use IN (..), = ANY (..) or VALUES for a long list, or several statements."));
    }
    Ok(())
}

/// Whether a token is a string of any form.
pub(crate) fn is_literal(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::TripleSingleQuotedString(_)
            | Token::TripleDoubleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::DoubleQuotedByteStringLiteral(_)
            | Token::TripleSingleQuotedByteStringLiteral(_)
            | Token::TripleDoubleQuotedByteStringLiteral(_)
            | Token::SingleQuotedRawStringLiteral(_)
            | Token::DoubleQuotedRawStringLiteral(_)
            | Token::TripleSingleQuotedRawStringLiteral(_)
            | Token::TripleDoubleQuotedRawStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::QuoteDelimitedStringLiteral(_)
            | Token::NationalQuoteDelimitedStringLiteral(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
    )
}
