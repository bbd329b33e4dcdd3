//! Masks secrets in statement text: the only form of a statement that may reach logs, the audit
//! log, system tables or another session.
//!
//! It works on tokens and needs no statement that parses. What it masks:
//! - every literal of CREATE or ALTER of a SECRET, ROLE, USER, GROUP, SERVER or SUBSCRIPTION;
//! - what follows a name that looks secret ([`is_secret_key`]) and a sign of equality, a comma's
//!   list included, wherever it stands; and a literal that follows such a name directly;
//! - inside every other literal, the password of a URL and the values of secret-looking keys.
//!
//! Comments are dropped. A text that cannot be cut into tokens keeps its first two words.

use crate::parse::{Lexed, is_literal, is_word, word_of};
use catalog::error::nearest;
use datafusion_sql::sqlparser::tokenizer::Token;
use regex::{Captures, Regex};
use std::ops::Range;
use std::sync::LazyLock;

/// What stands for a masked literal.
const MASK: &str = "'***'";
/// How deep literals that hold SQL themselves are followed.
const INNER_MAX: usize = 2;
/// Parts of names whose values are secret.
const SECRET_PARTS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "credential",
    "private_key",
    "access_key",
    "api_key",
    "apikey",
    "account_key",
    "sas_key",
    "jaas",
    "sslkey",
    "ssh_key",
    "encryption_key",
    "signing_key",
    "connection_string",
];

/// Whole words of names whose values are secret.
const SECRET_WORDS: &[&str] = &["pass", "pw"];
/// What a name may be a misspelling of, and from which length on it is looked for.
const TYPO_PARTS: &[&str] = &["password", "passphrase", "credential", "secret"];
const TYPO_BYTES_MIN: usize = 6;

/// The text with secret literals masked and comments dropped.
pub fn redact(sql: &str) -> String {
    redact_text(sql, 0)
}

/// Whether a name looks like that of a secret. Better a harmless value masked than a secret shown.
pub(crate) fn is_secret_key(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['.', '-'], "_");
    let is_spelt_so = SECRET_PARTS.iter().any(|part| name.contains(part));
    // `pasword = '..'` is refused as an unknown option, and its value is a password all the same.
    is_spelt_so
        || name.split('_').chain([name.as_str()]).any(|word| {
            SECRET_WORDS.contains(&word)
                || word.len() >= TYPO_BYTES_MIN && nearest(word, TYPO_PARTS.iter().copied()).is_some()
        })
}

/// One statement's tokens, redacted.
pub(crate) fn redact_tokens(lexed: &Lexed<'_>, range: Range<usize>) -> String {
    Redaction::new(lexed, 0).run(range)
}

fn redact_text(sql: &str, inner: usize) -> String {
    match Lexed::new(sql) {
        Ok(lexed) => Redaction::new(&lexed, inner).run(0..lexed.tokens.len()),
        Err(_) => first_words(sql),
    }
}

/// The first two words; anything that is more than letters may be or touch a secret.
fn first_words(sql: &str) -> String {
    let words = sql.split_whitespace().take(2);
    let plain = words.take_while(|word| word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_') && word.len() <= 30);
    plain.chain(["..."]).collect::<Vec<_>>().join(" ")
}

/// What the tokens that come are.
enum State {
    /// Nothing special.
    Open,
    /// In a statement whose literals are all secret, up to the semicolon.
    All,
}

struct Redaction<'a> {
    lexed: &'a Lexed<'a>,
    inner: usize,
    out: String,
    /// The end of the text that is written or dropped.
    done: usize,
}

impl<'a> Redaction<'a> {
    fn new(lexed: &'a Lexed<'a>, inner: usize) -> Self {
        Self { lexed, inner, out: String::new(), done: 0 }
    }

    fn run(mut self, range: Range<usize>) -> String {
        self.out.reserve(range.len() * 4);
        self.done = self.lexed.places.get(range.start).map_or(0, |place| place.start);
        let mut state = State::Open;
        let mut i = range.start;
        while i < range.end {
            let token = &self.lexed.tokens[i].token;
            if *token == Token::SemiColon {
                state = State::Open;
            }
            if self.begins_secret_statement(&range, i) {
                state = State::All;
            }
            match state {
                State::All if is_literal(token) || matches!(token, Token::Number(..)) => self.put(i, MASK),
                // The value of a secret without its quotes is no literal and still the secret.
                State::All if self.bare_value_follows(i, range.end) => {
                    self.copy(i);
                    i = self.mask_rest(i + 1, range.end);
                    continue;
                }
                _ if self.names_a_secret(i) => {
                    self.copy(i);
                    i = self.mask_value(i + 1, range.end);
                    continue;
                }
                State::Open if is_literal(token) => {
                    let text = self.literal(i);
                    self.put(i, &text);
                }
                _ => self.copy(i),
            }
            i += 1;
        }
        self.out
    }

    /// Writes white space between tokens as it is, and a comment as one space.
    fn gap(&mut self, i: usize) {
        let gap = &self.lexed.sql[self.done..self.lexed.places[i].start];
        if gap.chars().all(char::is_whitespace) {
            self.out.push_str(gap);
        } else if !self.out.is_empty() {
            self.out.push(' ');
        }
    }

    fn put(&mut self, i: usize, text: &str) {
        self.gap(i);
        self.out.push_str(text);
        self.done = self.lexed.places[i].end;
    }

    fn copy(&mut self, i: usize) {
        let place = self.lexed.places[i];
        self.put(i, &self.lexed.sql[place.start..place.end]);
    }

    fn token(&self, i: usize) -> Option<&'a Token> {
        self.lexed.tokens.get(i).map(|token| &token.token)
    }

    /// Whether the token is the noun of CREATE or ALTER of something whose literals are secret.
    fn begins_secret_statement(&self, range: &Range<usize>, i: usize) -> bool {
        let Some(noun) = self.token(i).and_then(word_of) else { return false };
        if !matches!(noun.as_str(), "SECRET" | "ROLE" | "USER" | "GROUP" | "SERVER" | "SUBSCRIPTION")
            || i == range.start
        {
            return false;
        }
        // PERSISTENT SECRET and the like: up to two words may stand between.
        (1..=3).take_while(|back| i >= range.start + back).any(|back| {
            self.token(i - back).is_some_and(|t| is_word(t, "CREATE") || is_word(t, "ALTER") || is_word(t, "REPLACE"))
        })
    }

    /// Whether the token is AS or PASSWORD and what follows is neither literal, parameter nor NULL.
    fn bare_value_follows(&self, i: usize, end: usize) -> bool {
        let Some(token) = self.token(i) else { return false };
        (is_word(token, "AS") || is_word(token, "PASSWORD"))
            && i + 1 < end
            && self.token(i + 1).is_some_and(|next| {
                !is_literal(next)
                    && !is_word(next, "NULL")
                    && !is_word(next, "FROM")
                    && !matches!(next, Token::Placeholder(_) | Token::SemiColon)
            })
    }

    /// One mask for everything up to the semicolon.
    fn mask_rest(&mut self, start: usize, end: usize) -> usize {
        let stop = (start..end).find(|i| self.token(*i) == Some(&Token::SemiColon)).unwrap_or(end);
        self.mask(start, stop);
        stop
    }

    fn mask(&mut self, start: usize, stop: usize) {
        if start < stop {
            self.put(start, MASK);
            self.done = self.lexed.places[stop - 1].end;
        }
    }

    /// Whether the token is a secret-looking name that a value follows.
    fn names_a_secret(&self, i: usize) -> bool {
        let Some(token) = self.token(i) else { return false };
        let name = match token {
            Token::Word(word) => &word.value,
            // 'password' := 'x' and set_config('x.password', 'y')
            Token::SingleQuotedString(text) if text.len() <= 64 => text,
            _ => return false,
        };
        if !is_secret_key(name) {
            return false;
        }
        match self.token(i + 1) {
            Some(Token::Eq | Token::Assignment | Token::RArrow | Token::Colon) => true,
            Some(Token::Comma) => !matches!(token, Token::Word(_)),
            // A list whose sign of equality is missing, or a call that takes a secret.
            Some(Token::LParen) => matches!(token, Token::Word(_)) && self.token(i + 2).is_some_and(is_literal),
            Some(next) if is_word(next, "TO") => {
                self.is_setting(i) && self.token(i + 2).is_some_and(|t| is_literal(t) || matches!(t, Token::Word(_)))
            }
            Some(next) => is_literal(next) || matches!(next, Token::Number(..)) && matches!(token, Token::Word(_)),
            None => false,
        }
    }

    /// `SET [SESSION|LOCAL] a.password TO ..`: TO is a sign of equality only there.
    fn is_setting(&self, i: usize) -> bool {
        (1..=6).take_while(|back| *back <= i).any(|back| self.token(i - back).is_some_and(|t| is_word(t, "SET")))
    }

    /// Masks the value after a secret's name: a literal, a list, or a word that should have been one.
    /// References (`SECRET name`, `$n`, `DEFAULT`, `NULL`) stay. Answers the token after it.
    fn mask_value(&mut self, mut i: usize, end: usize) -> usize {
        let is_sign = |token: Option<&Token>| {
            matches!(token, Some(Token::Eq | Token::Assignment | Token::RArrow | Token::Colon | Token::Comma))
                || token.is_some_and(|t| is_word(t, "TO"))
        };
        if i < end && is_sign(self.token(i)) {
            self.copy(i);
            i += 1;
        }
        let Some(token) = self.token(i).filter(|_| i < end) else { return i };
        if is_word(token, "SECRET") && matches!(self.token(i + 1), Some(Token::Word(_))) && i + 1 < end {
            self.copy(i);
            self.copy(i + 1);
            return i + 2;
        }
        if matches!(token, Token::Placeholder(_) | Token::SemiColon | Token::RParen | Token::Comma)
            || is_word(token, "DEFAULT")
            || is_word(token, "NULL")
        {
            return i;
        }
        if *token == Token::LParen {
            let mut depth = 0usize;
            for j in i..end {
                match self.token(j) {
                    Some(Token::LParen) => depth += 1,
                    Some(Token::RParen) => depth -= 1,
                    Some(Token::SemiColon) => return j,
                    _ => {}
                }
                match self.token(j) {
                    Some(Token::LParen | Token::RParen | Token::Comma | Token::Placeholder(_)) => self.copy(j),
                    _ => self.put(j, MASK),
                }
                if depth == 0 {
                    return j + 1;
                }
            }
            return end;
        }
        // Everything that touches the first token: `hun-ter2` is five characters of one secret.
        let mut stop = i + 1;
        while stop < end
            && self.lexed.places[stop].start == self.lexed.places[stop - 1].end
            && !matches!(self.token(stop), Some(Token::Comma | Token::RParen | Token::SemiColon))
        {
            stop += 1;
        }
        self.mask(i, stop);
        stop
    }

    /// A literal with what is secret inside it masked.
    fn literal(&self, i: usize) -> String {
        let place = self.lexed.places[i];
        let text = &self.lexed.sql[place.start..place.end];
        let lower = text.to_ascii_lowercase();
        let mentions = is_secret_key(&lower);
        if !mentions && !text.contains("://") {
            return text.to_owned();
        }
        // A dollar-quoted literal is likely a statement.
        if mentions && text.starts_with('$') {
            let Token::DollarQuotedString(dollar) = &self.lexed.tokens[i].token else { return MASK.into() };
            if self.inner >= INNER_MAX {
                return MASK.into();
            }
            let tag = dollar.tag.as_deref().unwrap_or_default();
            return format!("${tag}${}${tag}$", mask_inside(&redact_text(&dollar.value, self.inner + 1)));
        }
        mask_inside(text)
    }
}

/// Masks the passwords of URLs and `key = value` pairs in any text.
fn mask_inside(text: &str) -> String {
    // The user part of a URL has no slash, quote or white space; the password ends at the last @ before them.
    static URL: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"(?i)([a-z][a-z0-9+.-]*://[^\s/:@'"]*):([^\s/'"]*)@"#).ok());
    static PAIR: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let parts = SECRET_PARTS.join("|").replace('_', "[._-]?");
        Regex::new(&format!(
            r#"(?is)([a-z0-9._-]*(?:{parts})[a-z0-9._-]*["']{{0,2}})(\s*(?:=>|:=|=|:)\s*|\s+to\s+|\s+)('{{1,2}}[^']*'{{1,2}}|\\?"[^"]*"|[^\s,;&)'"]+)"#
        ))
        .ok()
    });
    let (Some(url), Some(pair)) = (URL.as_ref(), PAIR.as_ref()) else { return MASK.into() };
    let text = url.replace_all(text, "$1:***@");
    pair.replace_all(&text, |found: &Captures<'_>| {
        let (sign, value) = (&found[2], &found[3]);
        let quoted = value.starts_with(['\'', '"', '\\']);
        if sign.trim().is_empty() && !quoted {
            // Prose, such as "the token is", or a statement's own words.
            return found[0].to_owned();
        }
        format!("{}{sign}***", &found[1])
    })
    .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn masked(sql: &str, expected: &str) {
        assert_eq!(redact(sql), expected, "{sql}");
    }

    #[test]
    fn secrets_and_roles_lose_every_literal() {
        masked("CREATE SECRET a AS 'x y'", "CREATE SECRET a AS '***'");
        masked(
            "create or replace secret if not exists a as $q$x'y$q$;",
            "create or replace secret if not exists a as '***';",
        );
        masked("ALTER SECRET a AS E'x\\'y'", "ALTER SECRET a AS '***'");
        masked("CREATE SECRET a AS 4711", "CREATE SECRET a AS '***'");
        masked("CREATE SECRET a AS hunter2 x; SELECT 'b'", "CREATE SECRET a AS '***'; SELECT 'b'");
        masked("CREATE SECRET a AS $1", "CREATE SECRET a AS $1");
        masked("CREATE ROLE bi LOGIN PASSWORD 'x'", "CREATE ROLE bi LOGIN PASSWORD '***'");
        masked(
            "ALTER USER bi WITH PASSWORD 'x' VALID UNTIL 'y'",
            "ALTER USER bi WITH PASSWORD '***' VALID UNTIL '***'",
        );
        masked("ALTER USER bi PASSWORD hunter2", "ALTER USER bi PASSWORD '***'");
        masked("ALTER ROLE bi PASSWORD NULL", "ALTER ROLE bi PASSWORD NULL");
        masked("PREPARE p AS CREATE SECRET a AS 'x'", "PREPARE p AS CREATE SECRET a AS '***'");
    }

    #[test]
    fn secret_options_are_masked_and_references_stay() {
        masked(
            "CREATE SOURCE a TYPE postgres WITH (host='h', password='x', \"sasl.jaas.config\"='y', port=5)",
            "CREATE SOURCE a TYPE postgres WITH (host='h', password='***', \"sasl.jaas.config\"='***', port=5)",
        );
        masked("ALTER SOURCE a SET (s3_secret_key = SECRET b)", "ALTER SOURCE a SET (s3_secret_key = SECRET b)");
        masked("ALTER SOURCE a SET (PassWord = $1)", "ALTER SOURCE a SET (PassWord = $1)");
        masked(
            "ALTER SOURCE a SET (tokens = ('x', 5, y), host = 'h')",
            "ALTER SOURCE a SET (tokens = ('***', '***', '***'), host = 'h')",
        );
        masked(
            "ALTER SOURCE a SET (password = hun-ter2!, host = 'h')",
            "ALTER SOURCE a SET (password = '***', host = 'h')",
        );
        masked(
            "ALTER SOURCE a SET (pasword = 'x', pw = 'y', host = 'h')",
            "ALTER SOURCE a SET (pasword = '***', pw = '***', host = 'h')",
        );
        masked("ALTER SOURCE a SET (passowrd = 'x', path = 'p')", "ALTER SOURCE a SET (passowrd = '***', path = 'p')");
        masked("VALIDATE SOURCE TYPE pg WITH (password $$x$$)", "VALIDATE SOURCE TYPE pg WITH (password '***')");
        masked("SET my.password TO 'x'", "SET my.password TO '***'");
        masked("SELECT set_config('my.password', 'x', true)", "SELECT set_config('my.password', '***', true)");
        masked("SHOW SECRETS LIKE 'a%'", "SHOW SECRETS LIKE 'a%'");
        masked("COMMENT ON SECRET a IS 'mine'", "COMMENT ON SECRET a IS 'mine'");
    }

    #[test]
    fn literals_lose_what_is_secret_inside_them() {
        masked("SELECT 'postgres://u:p@ss@h/db?x=1'", "SELECT 'postgres://u:***@h/db?x=1'");
        masked("SELECT 'postgres://u@h/db'", "SELECT 'postgres://u@h/db'");
        masked("SELECT dblink('host=h password=x user=u')", "SELECT dblink('host=h password=*** user=u')");
        masked("SELECT 'password=''a b'' user=u'", "SELECT 'password=*** user=u'");
        masked("SELECT 'the token is lost'", "SELECT 'the token is lost'");
        masked(
            "CREATE SINK TABLE a.b.c USING DDL $$CREATE USER x PASSWORD 'y'$$",
            "CREATE SINK TABLE a.b.c USING DDL $$CREATE USER x PASSWORD ***$$",
        );
        masked("SELECT '{\"password\": \"x\"}'", "SELECT '{\"password\": ***}'");
    }

    #[test]
    fn comments_are_dropped_and_broken_text_keeps_two_words() {
        masked("SELECT 1 -- password = x\n, 2 /* y */", "SELECT 1 , 2");
        masked("/* x */ SELECT 1", "SELECT 1");
        masked("CREATE SECRET a AS 'x", "CREATE SECRET ...");
        masked("CREATE SECRET'x", "CREATE ...");
        masked("", "");
    }
}
