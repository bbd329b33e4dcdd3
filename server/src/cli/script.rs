//! Scripts: reading one, cutting it into statements, and saying where in it an error is.
//!
//! A report never shows more of a statement than its redacted text: a script holds passwords, and
//! what a script prints ends up in logs.

use super::table::{display_width, visible};
use catalog::{Error, ErrorKind, Result};
use planner::Parsed;
use std::io::Read;
use std::path::Path;

/// Longest script, in bytes.
const SCRIPT_BYTES_MAX: u64 = 64 << 20;
/// Most of a statement that a report shows, in characters.
const STATEMENT_SHOWN_MAX: usize = 1000;
/// Most of a line that a report shows, in characters.
const LINE_SHOWN_MAX: usize = 100;
/// How many ends of statements are tried to find the one before a syntax error.
const BOUNDARIES_TRIED_MAX: usize = 32;

/// A script, cut into statements.
pub(super) struct Script {
    /// How reports name it.
    name: String,
    text: String,
    statements: Vec<Parsed>,
}

/// An error of a statement, whoever found it. `position` is a 1-based character offset.
#[derive(Debug, Clone)]
pub(super) struct StatementError {
    pub(super) severity: String,
    pub(super) sqlstate: String,
    pub(super) message: String,
    pub(super) detail: Option<String>,
    pub(super) hint: Option<String>,
    pub(super) position: Option<usize>,
}

impl From<&Error> for StatementError {
    fn from(error: &Error) -> Self {
        Self {
            severity: "ERROR".into(),
            sqlstate: error.sqlstate().to_owned(),
            message: error.message().into(),
            detail: error.detail().map(Into::into),
            hint: error.hint().map(Into::into),
            position: error.position(),
        }
    }
}

impl Script {
    /// Reads a script's text; `-` is standard input. Gives the name for reports and the text.
    pub(super) fn read(path: &Path) -> Result<(String, String)> {
        let is_stdin = path == Path::new("-");
        let name = if is_stdin { "<stdin>".to_owned() } else { path.display().to_string() };
        let refused = |error: std::io::Error| {
            Error::new(ErrorKind::Io, format!("could not read script \"{name}\""))
                .with_detail(format!("The operating system said: {error}."))
        };
        let input: Box<dyn Read> =
            if is_stdin { Box::new(std::io::stdin()) } else { Box::new(std::fs::File::open(path).map_err(refused)?) };
        let mut bytes = vec![];
        input.take(SCRIPT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(refused)?;
        if bytes.len() as u64 > SCRIPT_BYTES_MAX {
            return Err(Error::new(ErrorKind::TooComplex, format!("script \"{name}\" is longer than 64 MiB"))
                .with_hint("Cut it into several scripts."));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = line_at(error.as_bytes(), error.utf8_error().valid_up_to());
            Error::new(ErrorKind::InvalidText, format!("script \"{name}\" is not UTF-8 at line {line}"))
        })?;
        // Editors on Windows begin a file with a mark.
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        Ok((name, text))
    }

    /// Cuts a text into statements. The error is the report to print: nothing of the script runs.
    pub(super) fn parse(name: String, text: String) -> Result<Self, String> {
        match planner::parse(&text) {
            Ok(statements) => Ok(Self { name, text, statements }),
            Err(error) => Err(syntax_report(&name, &text, &error)),
        }
    }

    /// Its statements, in order.
    pub(super) fn statements(&self) -> &[Parsed] {
        &self.statements
    }

    /// A statement's text as written, without the semicolon.
    pub(super) fn statement_text(&self, statement: &Parsed) -> &str {
        &self.text[statement.start..statement.end]
    }

    /// `file:line` of a statement.
    pub(super) fn place(&self, statement: &Parsed) -> String {
        format!("{}:{}", self.name, line_at(self.text.as_bytes(), statement.start))
    }

    /// What to print about an error of one of its statements. The error's position counts from the
    /// statement's first character.
    pub(super) fn report(&self, statement: &Parsed, error: &StatementError) -> String {
        let text = self.statement_text(statement);
        let at = error.position.map(|p| statement.start + byte_offset(text, p));
        let excerpt = at.filter(|_| shows_all(text, &statement.redacted)).map(|at| excerpt(&self.text, at));
        let line = line_at(self.text.as_bytes(), at.unwrap_or(statement.start));
        report(&self.name, line, error, excerpt, Some(&statement.redacted))
    }
}

/// The report of an error that kept the script from being cut into statements.
fn syntax_report(name: &str, text: &str, error: &Error) -> String {
    let mut shown = StatementError::from(error);
    let at = error.position().map_or(0, |p| byte_offset(text, p));
    let line_start = text[..at].rfind('\n').map_or(0, |i| i + 1);
    let line = line_at(text.as_bytes(), at);
    if text[line_start..].trim_start().starts_with('\\') {
        shown.message = "backslash commands are not supported in scripts".into();
        shown.detail = Some("A script holds SQL statements; backslash commands are psql's own.".into());
        shown.hint = Some("Remove the line, or execute the script with psql: psql -h HOST -p PORT -f FILE".into());
        return report(name, line, &shown, None, None);
    }
    let start = statement_start(text, at);
    let end = text[at..].find(';').map_or(text.len(), |i| at + i);
    let redacted = planner::redact(&text[start..end]);
    // What cannot be cut into tokens is cut down to its first words, and its line is not shown.
    let is_whole = shows_all(&text[start..end], &redacted) && !redacted.ends_with("...");
    let excerpt = (error.position().is_some() && is_whole).then(|| excerpt(text, at));
    report(name, line, &shown, excerpt, Some(redacted.as_str()).filter(|text| !text.trim().is_empty()))
}

/// Where the statement around `at` begins: after the nearest semicolon that ends a statement.
fn statement_start(text: &str, at: usize) -> usize {
    text[..at]
        .rmatch_indices(';')
        .take(BOUNDARIES_TRIED_MAX)
        .map(|(i, _)| i + 1)
        .find(|end| planner::parse(&text[..*end]).is_ok())
        .unwrap_or(0)
}

/// Whether nothing was masked in the redacted text.
fn shows_all(text: &str, redacted: &str) -> bool {
    redacted.matches("***").count() <= text.matches("***").count()
}

fn report(
    name: &str,
    line: usize,
    error: &StatementError,
    excerpt: Option<(String, usize)>,
    statement: Option<&str>,
) -> String {
    let mut out = format!("{name}:{line}: {}:  {}: {}\n", error.severity, error.sqlstate, error.message);
    if let Some((text, column)) = excerpt {
        let head = format!("LINE {line}: ");
        out.push_str(&format!("{head}{text}\n{}^\n", " ".repeat(head.len() + column)));
    }
    if let Some(detail) = &error.detail {
        out.push_str(&format!("DETAIL:  {detail}\n"));
    }
    if let Some(hint) = &error.hint {
        out.push_str(&format!("HINT:  {hint}\n"));
    }
    if let Some(statement) = statement {
        let mut shown: String = statement.trim().chars().take(STATEMENT_SHOWN_MAX).collect();
        if shown.len() < statement.trim().len() {
            shown.push_str(" ...");
        }
        out.push_str(&format!("STATEMENT:  {shown}\n"));
    }
    out
}

/// The line of a text around a byte offset, cut to what fits, and the column of the offset in it.
fn excerpt(text: &str, at: usize) -> (String, usize) {
    let start = text[..at].rfind('\n').map_or(0, |i| i + 1);
    let end = text[at..].find('\n').map_or(text.len(), |i| at + i);
    let before: Vec<char> = text[start..at].chars().collect();
    let after: Vec<char> = text[at..end].trim_end_matches('\r').chars().collect();
    let cut_before = before.len().saturating_sub(LINE_SHOWN_MAX * 2 / 3);
    let kept_after = after.len().min(LINE_SHOWN_MAX - (before.len() - cut_before));
    let mut head = visible(&before[cut_before..].iter().collect::<String>());
    if cut_before > 0 {
        head.insert_str(0, "...");
    }
    let column = display_width(&head);
    let tail = visible(&after[..kept_after].iter().collect::<String>());
    let dots = if kept_after < after.len() { "..." } else { "" };
    (format!("{head}{tail}{dots}"), column)
}

/// The byte offset of a 1-based character offset; the end when the text is shorter.
fn byte_offset(text: &str, position: usize) -> usize {
    text.char_indices().nth(position.saturating_sub(1)).map_or(text.len(), |(i, _)| i)
}

/// The 1-based line of a byte offset.
fn line_at(text: &[u8], at: usize) -> usize {
    text[..at.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Script {
        Script::parse("a.sql".into(), text.into()).unwrap()
    }

    fn error(position: Option<usize>) -> StatementError {
        StatementError {
            severity: "ERROR".into(),
            sqlstate: "42704".into(),
            message: "source \"shpo\" does not exist".into(),
            detail: None,
            hint: Some("Perhaps you meant \"shop\".".into()),
            position,
        }
    }

    #[test]
    fn an_error_has_its_line_in_the_file_and_a_caret_under_its_word() {
        let script = script("-- höhö\nSELECT 1;\n\nSELECT 'ä',\n  x FROM shpo.a.b;\n");
        let statement = &script.statements()[1];
        assert_eq!(script.place(statement), "a.sql:4");
        // `shpo` is the 22nd character of the statement, two lines of the file below its first.
        let position = script.statement_text(statement).chars().position(|c| c == 'F').unwrap() + 6;
        let report = script.report(statement, &error(Some(position)));
        assert_eq!(
            report,
            "a.sql:5: ERROR:  42704: source \"shpo\" does not exist\n\
             LINE 5:   x FROM shpo.a.b;\n                 ^\n\
             HINT:  Perhaps you meant \"shop\".\n\
             STATEMENT:  SELECT 'ä',\n  x FROM shpo.a.b\n"
        );
        let report = script.report(statement, &error(None));
        assert!(report.starts_with("a.sql:4: ERROR:") && !report.contains("LINE"), "{report}");
    }

    #[test]
    fn a_position_beyond_the_text_points_behind_it() {
        let script = script("SELECT 1");
        let report = script.report(&script.statements()[0], &error(Some(99)));
        assert!(report.contains("LINE 1: SELECT 1\n                ^\n"), "{report}");
    }

    #[test]
    fn a_statement_with_a_secret_shows_neither_the_secret_nor_its_line() {
        let script = script("CREATE SOURCE a TYPE postgres WITH (password = 'hunter2', hsot = 'h');");
        let report = script.report(&script.statements()[0], &error(Some(59)));
        assert!(!report.contains("hunter2") && !report.contains("LINE"), "{report}");
        assert!(report.contains("password = '***'"), "{report}");
    }

    #[test]
    fn a_syntax_error_is_reported_where_it_is_and_hides_only_its_own_statement() {
        let text = "CREATE SECRET a AS 'hunter2';\nSELECT 1;\nSELEC 2;\n";
        let report = Script::parse("a.sql".into(), text.into()).err().unwrap();
        assert!(report.starts_with("a.sql:3: ERROR:  42601: syntax error"), "{report}");
        assert!(report.contains("LINE 3: SELEC 2;\n        ^\n"), "{report}");
        assert!(report.contains("STATEMENT:  SELEC 2\n") && !report.contains("hunter2"), "{report}");
        let text = "SELECT 1;\nCREATE SECRT a AS 'hunter2';\n";
        let report = Script::parse("a.sql".into(), text.into()).err().unwrap();
        assert!(report.starts_with("a.sql:2:"), "{report}");
    }

    #[test]
    fn text_that_is_no_sql_never_shows_what_it_holds() {
        let text = "SELECT 1;\nCREATE SECRET a AS 'hunter2\n";
        let report = Script::parse("a.sql".into(), text.into()).err().unwrap();
        assert!(!report.contains("hunter2"), "{report}");
        assert!(report.starts_with("a.sql:2: ERROR:"), "{report}");
    }

    #[test]
    fn a_backslash_command_is_named_as_such() {
        for text in ["SELECT 1;\n\\echo don't\nSELECT 2;", "SELECT 1;\n  \\set x 1\n"] {
            let report = Script::parse("a.sql".into(), text.into()).err().unwrap();
            assert!(report.starts_with("a.sql:2: ERROR:  42601: backslash commands are not supported"), "{report}");
            assert!(report.contains("HINT:  "), "{report}");
        }
        // Inside of a literal a backslash is a character.
        assert_eq!(script("SELECT '\n\\x'").statements().len(), 1);
    }

    #[test]
    fn a_long_line_is_cut_around_the_error() {
        let text = format!("SELECT {} oops {}", "a, ".repeat(100), "b, ".repeat(100));
        let at = text.find("oops").unwrap();
        let (line, column) = excerpt(&text, at);
        assert!(line.starts_with("...") && line.ends_with("...") && line.chars().count() < 120);
        assert_eq!(&line[column..column + 4], "oops");
    }
}
