//! The users file: one `name:verifier` per line, as `tidegate hash-password` prints them.
//!
//! Empty lines and lines that begin with `#` are passed over. A verifier proves a password and does
//! not reveal it, but whoever has one can try passwords against it: errors never quote a line.

use catalog::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What every verifier begins with, after the colon that ends the name.
const VERIFIER_HEAD: &str = ":SCRAM-SHA-256$";

/// The verifiers by user.
pub(super) fn load(path: &Path) -> Result<BTreeMap<String, String>> {
    let shown = path.display();
    let refused = |error: std::io::Error| {
        Error::new(ErrorKind::Io, format!("could not read users file \"{shown}\""))
            .with_detail(format!("The operating system said: {error}."))
            .with_hint("Make its lines with: tidegate hash-password USER")
    };
    let mode = std::fs::metadata(path).map_err(refused)?.permissions().mode();
    if mode & 0o007 != 0 {
        tracing::warn!(file = %shown, "every user of this machine may open the users file; chmod 600 keeps it private");
    }
    parse(&std::fs::read_to_string(path).map_err(refused)?, &shown.to_string())
}

fn parse(text: &str, shown: &str) -> Result<BTreeMap<String, String>> {
    let mut users = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("line {} of users file \"{shown}\"", number + 1);
        // A name may hold colons; a verifier's head occurs once.
        let Some((name, verifier)) =
            line.rfind(VERIFIER_HEAD).map(|i| (&line[..i], &line[i + 1..])).filter(|(n, _)| !n.is_empty())
        else {
            return Err(Error::new(ErrorKind::InvalidValue, format!("{place} is not name:verifier"))
                .with_hint("Make it with: tidegate hash-password USER"));
        };
        if users.insert(name.to_owned(), verifier.to_owned()).is_some() {
            return Err(Error::new(ErrorKind::DuplicateObject, format!("{place} names user \"{name}\" again")));
        }
    }
    if users.is_empty() {
        return Err(Error::new(ErrorKind::InvalidValue, format!("users file \"{shown}\" has no users"))
            .with_hint(format!("tidegate hash-password USER >> {shown}")));
    }
    Ok(users)
}

/// Checks that a name can stand in a users file and in a startup message.
pub(super) fn check_name(name: &str) -> Result<()> {
    const NAME_BYTES_MAX: usize = 63;
    let is_good = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.trim() == name
        && !name.starts_with('#')
        && !name.contains(VERIFIER_HEAD)
        && !name.chars().any(char::is_control);
    if is_good {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidValue, format!("\"{}\" cannot be the name of a user", name.escape_debug()))
        .with_hint("Use 1 to 63 bytes without control characters, not beginning with #, a space or ending with one."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_names_and_verifiers() {
        let users =
            parse("# comment\n\nbi:SCRAM-SHA-256$4096:c2FsdA==$a:b\na:b:SCRAM-SHA-256$4096:x$y:z\r\n", "u").unwrap();
        assert_eq!(users["bi"], "SCRAM-SHA-256$4096:c2FsdA==$a:b");
        assert_eq!(users["a:b"], "SCRAM-SHA-256$4096:x$y:z");
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_and_not_quoted() {
        for text in ["bi:hunter2", "\n\n:SCRAM-SHA-256$hunter2", "a:SCRAM-SHA-256$1\na:SCRAM-SHA-256$hunter2"] {
            let error = parse(text, "u").unwrap_err();
            assert!(!error.message().contains("hunter2") && error.message().contains("line "), "{error}");
        }
        assert!(parse("# nobody\n", "u").is_err());
    }

    #[test]
    fn names_that_a_file_cannot_hold_are_refused() {
        for good in ["bi", "Ann B", "a:b", "é"] {
            check_name(good).unwrap();
        }
        for bad in ["", " a", "#a", "a\nb", "a:SCRAM-SHA-256$", &"x".repeat(64)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
