//! Numbered migrations: how an older catalog becomes one of today.
//!
//! A migration that was ever released is never edited; a change is a new file and a new line below.

use super::failure::Failure;
use crate::definition::now;
use crate::error::{Error, ErrorKind};
use rusqlite::{Connection, TransactionBehavior, params};
use std::path::Path;

/// (number, name, script), numbered from 1 without gaps.
const MIGRATIONS: &[(i64, &str, &str)] = &[(1, "catalog", include_str!("../../migrations/0001_catalog.sql"))];

/// Applies what is missing, each migration whole or not at all, after [`applied_version`].
pub(super) fn migrate(connection: &mut Connection, applied: i64) -> Result<(), Failure> {
    for (number, name, script) in MIGRATIONS.iter().filter(|(number, _, _)| *number > applied) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        transaction.execute_batch(
            "CREATE TABLE IF NOT EXISTS schema_migrations (
                 version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL
             ) STRICT",
        )?;
        transaction.execute_batch(script)?;
        transaction.execute(
            "INSERT INTO schema_migrations (version, name, applied_at) VALUES (?1, ?2, ?3)",
            params![number, name, now()],
        )?;
        transaction.commit()?;
        tracing::info!(migration = number, name, "catalog migrated");
    }
    Ok(())
}

/// The newest migration that the file has; 0 for an empty file. Refuses a catalog that a newer
/// program made and a database that is no catalog. Only reads.
pub(super) fn applied_version(connection: &Connection, path: &Path) -> Result<i64, Failure> {
    let (table_count, is_catalog): (i64, bool) = connection.query_row(
        "SELECT count(*), coalesce(max(name = 'schema_migrations'), 0) FROM sqlite_schema WHERE type = 'table'",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if !is_catalog {
        return if table_count == 0 { Ok(0) } else { Err(not_a_catalog(path).into()) };
    }
    let applied = connection
        .query_row("SELECT coalesce(max(version), 0) FROM schema_migrations", [], |row| row.get::<_, i64>(0))?;
    let newest = MIGRATIONS.last().map_or(0, |(number, _, _)| *number);
    if applied <= newest {
        return Ok(applied);
    }
    let message = format!("catalog \"{}\" was made by a newer version of tidegate", path.display());
    Err(Error::new(ErrorKind::Prerequisite, message)
        .with_detail(format!("The catalog is at migration {applied}; this program knows migrations up to {newest}."))
        .with_hint("Start the newer program, or give this one another directory with --data-dir.")
        .into())
}

fn not_a_catalog(path: &Path) -> Error {
    Error::new(ErrorKind::Prerequisite, format!("database \"{}\" is not a tidegate catalog", path.display()))
        .with_detail("The file holds tables that tidegate did not make.")
        .with_hint("Give the gateway another directory with --data-dir.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_gaps() {
        for (expected, (number, _, _)) in (1..).zip(MIGRATIONS) {
            assert_eq!(expected, *number);
        }
    }

    #[test]
    fn a_migrated_catalog_is_not_migrated_again() {
        let mut connection = Connection::open_in_memory().unwrap();
        assert_eq!(applied_version(&connection, Path::new("c")).unwrap(), 0);
        migrate(&mut connection, 0).unwrap();
        let applied = applied_version(&connection, Path::new("c")).unwrap();
        assert_eq!(applied, MIGRATIONS.len() as i64);
        migrate(&mut connection, applied).unwrap();
    }
}
