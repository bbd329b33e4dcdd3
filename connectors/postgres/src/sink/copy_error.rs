//! Errors of the server about a write, with the table, column and row that they are about.

use crate::client::Client;
use catalog::{Error, ErrorKind, TableName};

/// Adds the table to an error of a statement, and says what a lock timeout means.
pub(crate) fn statement_error(name: &TableName, error: Error) -> Error {
    let error = match error.sqlstate() {
        "55P03" => {
            let detail = error.detail().unwrap_or_default().to_owned();
            Error::new(
                ErrorKind::Remote("55P03".to_owned()),
                format!("{}: another session holds a lock", error.message()),
            )
            .with_detail(detail)
            .with_hint(format!(
                "On that server: SELECT pid, state, query FROM pg_stat_activity WHERE pid IN (SELECT pid FROM pg_locks \
                     WHERE relation = to_regclass({}));",
                catalog::quote_literal(&name.quoted())
            ))
        }
        _ => error,
    };
    let row_key = error.detail().and_then(key_of).filter(|_| error.sqlstate().starts_with("23"));
    let error = error.with_table(&name.schema, &name.table);
    match row_key {
        Some(row_key) => error.with_row_key(row_key),
        None => error,
    }
}

/// An error at the end of a COPY. Its context names the line, which is the row since the COPY began.
pub(crate) fn copy_error(
    client: &Client,
    name: &TableName,
    columns: &[String],
    rows_before: u64,
    error: tokio_postgres::Error,
) -> Error {
    let (mut row, mut column) = (None, None);
    let mut is_zero_byte = false;
    if let Some(remote) = error.as_db_error() {
        let code = remote.code().code();
        if code.starts_with("22") || code.starts_with("23") || code.starts_with("P0") {
            (row, column) = remote.where_().map(|context| place(context, columns)).unwrap_or_default();
            column = column.or_else(|| remote.column().map(str::to_owned));
        }
        is_zero_byte = code == "22021";
    }
    let doing = format!("copy into table {name}");
    let mut ours = statement_error(name, client.error(&doing, error));
    let known_key = ours.row_key().map(str::to_owned);
    if is_zero_byte {
        let detail = ours.detail().unwrap_or_default().to_owned();
        ours = Error::new(ErrorKind::InvalidText, format!("text that table {name} cannot hold arrived"))
            .with_detail(detail)
            .with_table(&name.schema, &name.table);
    }
    let number = row.map(|row| rows_before + row);
    let mut detail = ours.detail().unwrap_or_default().to_owned();
    match (&column, number) {
        (Some(column), Some(number)) => {
            detail.push_str(&format!(" It is about column \"{column}\" of row {number} of the load."));
        }
        (None, Some(number)) => detail.push_str(&format!(" It is about row {number} of the load.")),
        _ => {}
    }
    ours = ours.with_detail(detail);
    if let Some(column) = column {
        ours = ours.with_column(column);
    }
    match (known_key, number) {
        (_, Some(number)) => ours.with_row_key(format!("row {number}")),
        (Some(key), None) => ours.with_row_key(key),
        (None, None) => ours,
    }
}

/// Line and column of `COPY t, line 3, column c: "x"`. The table's name may hold anything, so the last
/// `, line ` before a known end counts.
fn place(context: &str, columns: &[String]) -> (Option<u64>, Option<String>) {
    let Some(copy) = context.lines().find(|line| line.starts_with("COPY ")) else { return (None, None) };
    let Some((at, number, rest)) = copy.match_indices(", line ").find_map(|(at, word)| {
        let rest = &copy[at + word.len()..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        Some((at, rest[..digits].parse::<u64>().ok()?, &rest[digits..]))
    }) else {
        return (None, None);
    };
    debug_assert!(at < copy.len());
    let column = rest.strip_prefix(", column ").and_then(|rest| {
        columns
            .iter()
            .filter(|name| rest.strip_prefix(name.as_str()).is_some_and(|end| end.is_empty() || end.starts_with(':')))
            .max_by_key(|name| name.len())
            .cloned()
    });
    (Some(number), column)
}

/// `id=5` of `Key (id)=(5) already exists.`
fn key_of(detail: &str) -> Option<String> {
    let rest = &detail[detail.find("Key (")? + 5..];
    let (columns, rest) = rest.split_once(")=(")?;
    let end = [") already exists", ") is duplicated", ") is not present", ") conflicts"]
        .iter()
        .filter_map(|end| rest.find(end))
        .min()?;
    let value = &rest[..end];
    match (columns.split(", ").collect::<Vec<_>>(), value.split(", ").collect::<Vec<_>>()) {
        (names, values) if names.len() == values.len() => {
            Some(names.iter().zip(values).map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", "))
        }
        _ => Some(format!("({columns})=({value})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_of_a_copy_names_line_and_column() {
        let columns = ["a".to_owned(), "a b".to_owned(), "a: b".to_owned()];
        assert_eq!(place("COPY t, line 12, column a b: \"x\"", &columns), (Some(12), Some("a b".into())));
        assert_eq!(place("COPY t, line 12, column a: b: \"x\"", &columns), (Some(12), Some("a: b".into())));
        assert_eq!(place("COPY odd, line x, line 3", &columns), (Some(3), None));
        assert_eq!(place("SQL function \"f\"\nCOPY t, line 1, column a", &columns), (Some(1), Some("a".into())));
        assert_eq!(place("nothing", &columns), (None, None));
    }

    #[test]
    fn keys_are_read_from_the_detail() {
        let said = "Remote said: duplicate key (23505). Key (id, day)=(5, 2026-01-01) already exists.";
        assert_eq!(key_of(said).as_deref(), Some("id=5, day=2026-01-01"));
        assert_eq!(key_of("Key (a)=(x, y) is duplicated.").as_deref(), Some("(a)=(x, y)"));
        assert_eq!(key_of("no key"), None);
    }
}
