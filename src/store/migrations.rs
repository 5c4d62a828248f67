//! The database's formats, in order. A migration is never edited after a release that has it.

use std::path::Path;

use rusqlite::Connection;

use super::db::db_error;
use crate::api::{Error, Result};

/// The n-th turns format n into n+1.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_spine.sql")];

/// Brings the database to the newest format, after taking a copy of an older one. A newer format
/// than this binary knows is refused and left as it is.
pub fn run(connection: &Connection, path: &Path) -> Result<()> {
    let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let found = format(connection)?;
    if found == newest {
        return Ok(());
    }
    if found > newest {
        return Err(newer(found, newest));
    }
    if found == 0 {
        connection
            .pragma_update(None, "journal_mode", "WAL")
            .map_err(db_error)?;
    } else {
        let copy = path.with_extension(format!("format-{found}.backup"));
        if !copy.exists() {
            connection
                .execute("VACUUM INTO ?1", [copy.to_string_lossy()])
                .map_err(db_error)?;
        }
    }
    connection
        .execute_batch("BEGIN EXCLUSIVE")
        .map_err(db_error)?;
    let result = migrate(connection, newest);
    let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
    connection.execute_batch(end).map_err(db_error)?;
    result
}

/// Another process may have migrated while this one waited for the lock.
fn migrate(connection: &Connection, newest: i64) -> Result<()> {
    let found = format(connection)?;
    if found > newest {
        return Err(newer(found, newest));
    }
    for sql in &MIGRATIONS[usize::try_from(found).unwrap_or(0)..] {
        connection.execute_batch(sql).map_err(db_error)?;
    }
    connection
        .pragma_update(None, "user_version", newest)
        .map_err(db_error)
}

/// The format of the database at `path`, which is not changed; none when there is no database.
/// A newer format than this binary knows is an error.
pub fn format_of(path: &Path) -> Result<Option<i64>> {
    if !path.exists() {
        return Ok(None);
    }
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = Connection::open_with_flags(path, flags).map_err(db_error)?;
    let found = format(&connection)?;
    let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > newest {
        return Err(newer(found, newest));
    }
    Ok(Some(found))
}

fn format(connection: &Connection) -> Result<i64> {
    connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(db_error)
}

fn newer(found: i64, newest: i64) -> Error {
    Error::unsupported(format!(
        "The state directory has format {found}; this version of aml knows formats up to {newest}"
    ))
    .hint("Install the newer aml that wrote it, or use another directory: set AML_HOME")
}
