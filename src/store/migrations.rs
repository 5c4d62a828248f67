//! The database's formats, in order. A migration is never edited after a release that has it.

use std::{
    fs::{self, File},
    path::Path,
};

use rusqlite::{Connection, OptionalExtension};

use super::{
    db::db_error,
    home::{io_error, private_file},
};
use api::{Error, Result};

/// The n-th turns format n into n+1.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_spine.sql"),
    include_str!("migrations/0002_registry.sql"),
    include_str!("migrations/0003_assets.sql"),
    include_str!("migrations/0004_fallback.sql"),
    include_str!("migrations/0005_history_and_search.sql"),
    include_str!("migrations/0006_datastores.sql"),
    include_str!("migrations/0007_imports.sql"),
    include_str!("migrations/0008_traces.sql"),
    include_str!("migrations/0009_webhooks.sql"),
    include_str!("migrations/0010_azure.sql"),
    include_str!("migrations/0011_own_environment.sql"),
    include_str!("migrations/0012_lineage.sql"),
    include_str!("migrations/0013_uploads.sql"),
    include_str!("migrations/0014_counts_and_senders.sql"),
    include_str!("migrations/0015_identities.sql"),
    include_str!("migrations/0016_computes_of_runs.sql"),
    include_str!("migrations/0017_schedules.sql"),
    include_str!("migrations/0018_driven.sql"),
    include_str!("migrations/0019_imported_traces.sql"),
    include_str!("migrations/0020_deployments.sql"),
    include_str!("migrations/0021_batch.sql"),
    include_str!("migrations/0022_watched_metrics.sql"),
    include_str!("migrations/0024_triggered_by_hand.sql"),
    include_str!("migrations/0025_model_versions_named.sql"),
    include_str!("migrations/0026_monitors.sql"),
    include_str!("migrations/0027_autoscale.sql"),
    include_str!("migrations/0028_plans.sql"),
    include_str!("migrations/0029_compute_kept.sql"),
    include_str!("migrations/0030_ports_kept_once.sql"),
];

/// The newest format in one go, for a new database: what the migrations amount to, a fifth of the work.
const NEWEST: &str = include_str!("migrations/newest.sql");

/// Brings the database to the newest format, after taking a copy of an older one. A newer format
/// than this binary knows is refused and left as it is.
pub fn run(connection: &Connection, path: &Path) -> Result<()> {
    if known(connection)? == newest() {
        return Ok(());
    }
    // SQLite refuses the second of two that turn on the WAL at once instead of letting it wait.
    let _turn = turn(path)?;
    let found = known(connection)?;
    if found == newest() {
        return Ok(());
    }
    if found == 0 {
        // Nothing is in it that a journal of the change to the WAL could bring back.
        let journal = |mode: &str| -> Result<String> {
            connection
                .pragma_update_and_check(None, "journal_mode", mode, |row| row.get(0))
                .map_err(db_error)
        };
        journal("OFF")?;
        // Where a WAL cannot be had, such as in memory that is not shared, SQLite says which mode it kept.
        if journal("WAL")? != "wal" {
            journal("DELETE")?;
        }
    } else {
        let copy = path.with_extension(format!("format-{found}.backup"));
        if !copy.exists() {
            // Under its name only when it is whole: what a killed process has left is none.
            let half = copy.with_extension("tmp");
            let _ = fs::remove_file(&half);
            private_file(&half)?;
            connection
                .execute("VACUUM INTO ?1", [half.to_string_lossy()])
                .map_err(db_error)?;
            fs::rename(&half, &copy).map_err(|e| io_error("write", &copy, &e))?;
        }
    }
    // A table that others refer to can only be made anew while references are not looked at.
    connection
        .execute_batch("PRAGMA foreign_keys=OFF; BEGIN EXCLUSIVE")
        .map_err(db_error)?;
    let result = if found == 0 {
        create(connection)
    } else {
        migrate(connection, found).and_then(|()| check_references(connection))
    };
    let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
    connection
        .execute_batch(&format!("{end}; PRAGMA foreign_keys=ON"))
        .map_err(db_error)?;
    result
}

/// Refuses a database in which something refers to what is not there.
fn check_references(connection: &Connection) -> Result<()> {
    let broken = connection
        .query_row("PRAGMA foreign_key_check", [], |row| {
            row.get::<_, String>(0)
        })
        .optional()
        .map_err(db_error)?;
    match broken {
        None => Ok(()),
        Some(table) => Err(Error::unavailable(format!(
            "The state directory's database is damaged: rows of `{table}` refer to what is not there"
        ))
        .hint("Restore the state directory from a copy")),
    }
}

/// Waits until no other process changes the format; the lock is free again when it is dropped.
fn turn(database: &Path) -> Result<File> {
    let path = database.with_extension("lock");
    let lock = File::create(&path).and_then(|file| file.lock().map(|()| file));
    lock.map_err(|e| io_error("lock", &path, &e))
}

fn create(connection: &Connection) -> Result<()> {
    connection.execute_batch(NEWEST).map_err(db_error)?;
    set_format(connection)
}

fn migrate(connection: &Connection, found: i64) -> Result<()> {
    for sql in &MIGRATIONS[usize::try_from(found).unwrap_or(0)..] {
        connection.execute_batch(sql).map_err(db_error)?;
    }
    set_format(connection)
}

fn set_format(connection: &Connection) -> Result<()> {
    connection
        .pragma_update(None, "user_version", newest())
        .map_err(db_error)
}

fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// The format of the database at `path`, which is not changed; none when there is no database.
/// A newer format than this binary knows is an error.
pub fn format_of(path: &Path) -> Result<Option<i64>> {
    if !path.exists() {
        return Ok(None);
    }
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = Connection::open_with_flags(path, flags).map_err(db_error)?;
    known(&connection).map(Some)
}

/// The database's format; a newer one than this binary knows is an error.
pub(super) fn known(connection: &Connection) -> Result<i64> {
    let found = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(db_error)?;
    if found > newest() {
        return Err(newer(found, newest()));
    }
    Ok(found)
}

fn newer(found: i64, newest: i64) -> Error {
    Error::unsupported(format!(
        "The state directory has format {found}; this version of aml knows formats up to {newest}"
    ))
    .hint("Install the newer aml that wrote it, or use another directory: set AML_HOME")
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::{MIGRATIONS, create, migrate, run};

    /// A database that is made at once is the one that all migrations make. After a migration has come:
    /// `UPDATE_EXPECT=1 cargo test -p amlite-store newest`.
    #[test]
    fn the_newest_format_is_what_the_migrations_make() {
        let sql_of = |make: &dyn Fn(&Connection)| -> String {
            let connection = Connection::open_in_memory().unwrap();
            make(&connection);
            let mut statement = connection
                .prepare(
                    "SELECT sql FROM sqlite_schema
                     WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid",
                )
                .unwrap();
            let rows = statement.query_map([], |row| row.get::<_, String>(0));
            rows.unwrap().map(|sql| sql.unwrap() + ";\n").collect()
        };
        let migrated = sql_of(&|connection| migrate(connection, 0).unwrap());
        expect_test::expect_file!["migrations/newest.sql"].assert_eq(&migrated);
        assert_eq!(sql_of(&|connection| create(connection).unwrap()), migrated);
    }

    /// It was worked out from the job before.
    #[test]
    fn runs_keep_their_compute() {
        let connection = Connection::open_in_memory().unwrap();
        for sql in &MIGRATIONS[..27] {
            connection.execute_batch(sql).unwrap();
        }
        connection
            .execute_batch(
                r#"PRAGMA foreign_keys = OFF;
                 INSERT INTO runs(workspace_id, experiment_id, name, display_name, status, user, created_at, job) VALUES
                   (1, 1, 'a', 'a', 'Queued', 'ann', 5, '{"described": {"definition": {"compute": "azureml:big"}}}'),
                   (1, 1, 'b', 'b', 'Queued', 'ann', 5, '{"command": ["true"]}'),
                   (1, 1, 'c', 'c', 'Running', 'ann', 5, NULL)"#,
            )
            .unwrap();
        migrate(&connection, 27).unwrap();
        let mut statement = connection
            .prepare("SELECT name || coalesce(compute, ' none') FROM runs ORDER BY name")
            .unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        let rows: Vec<String> = rows.collect::<Result<_, _>>().unwrap();
        assert_eq!(rows, ["abig", "b none", "c none"]);
    }

    /// The table of versions is made anew, while endpoints refer to it.
    #[test]
    fn versions_keep_their_endpoints_and_archived_ones_their_stage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aml.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(MIGRATIONS[0]).unwrap();
        connection
            .execute_batch(
                "INSERT INTO workspaces VALUES (1, 'u', 'ws', 'basic', '', '', '', '', '', '{}', '{}', x'', 0, 0);
                 INSERT INTO models VALUES (7, 1, 'iris', 2, 5), (8, 1, 'gone', 4, 5);
                 INSERT INTO model_versions VALUES
                   (70, 7, 1, 'custom', '', '{}', x'00', '{}', 1, 'ann', 5, 6),
                   (71, 7, 2, 'custom', '', '{}', x'00', '{}', 0, 'ann', 5, 9);
                 INSERT INTO endpoints VALUES
                   (1, 1, 'ep', '{}', 71, 1, 'running', 'running', 1, NULL, NULL, x'', 0, 0);
                 PRAGMA user_version = 1; PRAGMA foreign_keys = ON;",
            )
            .unwrap();
        run(&connection, &path).unwrap();
        let texts = |sql: &str| -> Vec<String> {
            let mut statement = connection.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| row.get(0)).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        };
        assert_eq!(
            texts("SELECT version || ' ' || stage FROM model_versions ORDER BY id"),
            ["1 Archived", "2 None"]
        );
        assert_eq!(
            texts("SELECT name || ' ' || deleted || ' ' || updated_at FROM models ORDER BY id"),
            ["iris 0 9", "gone 1 5"]
        );
        assert_eq!(
            texts(
                "SELECT e.name || d.name || v.version FROM endpoints e
                 JOIN deployments d ON d.endpoint_id = e.id
                 JOIN model_versions v ON v.id = d.model_version_id"
            ),
            ["epdefault2"]
        );
        // References are looked at again.
        let deletion = connection.execute("DELETE FROM model_versions", []);
        assert!(deletion.unwrap_err().to_string().contains("FOREIGN KEY"));
        assert!(path.with_extension("format-1.backup").exists());
    }
}
