//! Moves what the write-ahead log has into the database, beside the writer.
//!
//! A checkpoint waits for the disk several times. The writer would make everybody wait for that, so
//! another thread does it; what was written meanwhile is little, and the writer moves that itself, so
//! that the log is whole in the database at some moment and begins anew.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use rusqlite::{Connection, hooks::Wal};

use super::db::{connect, db_error};
use api::Result;

/// Pages that are written between two checkpoints: 8 MB.
const STEP: i32 = 2000;

const IDLE: u8 = 0;
const UNDER_WAY: u8 = 1;
/// The other thread is done, the writer's part is not.
const NEARLY: u8 = 2;

/// A log that is so long has not begun anew because somebody was always reading; then the writer waits
/// for those who are, so that the next ones read in the database.
const TOO_LONG: i32 = 8 * STEP;
/// How long it waits. Who reads for longer keeps the log as it is.
const READERS_END: Duration = Duration::from_millis(250);

/// The checkpoints of a writer's connection.
pub struct Checkpoints {
    state: Arc<AtomicU8>,
    /// Pages in the log after the last commit.
    pages: Arc<AtomicI32>,
    /// Commits that wrote something.
    commits: Arc<AtomicU64>,
}

impl Checkpoints {
    /// Takes the place of SQLite's own checkpoints on this connection.
    pub fn of(writer: &mut Connection, path: PathBuf) -> Result<Self> {
        let state = Arc::new(AtomicU8::new(IDLE));
        let shared = state.clone();
        let length = Arc::new(AtomicI32::new(0));
        let counted = length.clone();
        let commits = Arc::new(AtomicU64::new(0));
        let another = commits.clone();
        let (mut last, mut due) = (0, STEP);
        let committed = move |_: &mut Wal, pages: i32| {
            another.fetch_add(1, Ordering::Relaxed);
            if pages < last {
                due = STEP;
            }
            last = pages;
            counted.store(pages, Ordering::Relaxed);
            if pages >= due && shared.load(Ordering::Acquire) == IDLE {
                due = pages + STEP;
                begin(path.clone(), &shared);
            }
            Ok(())
        };
        writer.wal_hook(Some(committed)).map_err(db_error)?;
        Ok(Self {
            state,
            pages: length,
            commits,
        })
    }

    /// How many commits have written something.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Whether the writer has its part to do.
    pub fn are_due(&self) -> bool {
        self.state.load(Ordering::Acquire) == NEARLY
    }

    /// Does the writer's part, if there is one to do. Call it outside a transaction.
    pub fn finish(&self, writer: &Connection) {
        if self.are_due() {
            if self.pages.load(Ordering::Relaxed) > TOO_LONG {
                let _ = writer.busy_timeout(READERS_END);
                checkpoint(writer, "RESTART");
            } else {
                checkpoint(writer, "PASSIVE");
            }
            self.state.store(IDLE, Ordering::Release);
        }
    }
}

fn begin(path: PathBuf, state: &Arc<AtomicU8>) {
    state.store(UNDER_WAY, Ordering::Release);
    let shared = state.clone();
    let work = move || {
        if let Ok(connection) = connect(&path) {
            checkpoint(&connection, "PASSIVE");
        }
        shared.store(NEARLY, Ordering::Release);
    };
    let thread = std::thread::Builder::new().name("db-checkpoint".into());
    if thread.spawn(work).is_err() {
        state.store(NEARLY, Ordering::Release);
    }
}

/// Moves what no reader needs in the log. When it fails, the log keeps all and the next one tries again.
fn checkpoint(connection: &Connection, how: &str) {
    let sql = format!("PRAGMA wal_checkpoint({how})");
    let _ = connection.query_row(&sql, [], |_| Ok(()));
}

#[cfg(test)]
mod tests {
    use crate::db::{Db, params};

    /// Readers follow each other without a gap, each on what was written before the last one ended.
    #[test]
    fn the_log_does_not_grow_for_ever_under_constant_reading() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aml.db");
        let db = Db::open(&path).unwrap();
        let create = "CREATE TABLE filler(content)";
        let made = db.write(|tx| tx.execute(create, &[]));
        runtime.block_on(made).unwrap();
        let reader = || {
            let reader = crate::db::connect(&path).unwrap();
            reader.busy_timeout(std::time::Duration::ZERO).unwrap();
            reader
        };
        let (mut one, mut other) = (reader(), reader());
        let ended = std::sync::atomic::AtomicBool::new(false);
        let ended = &ended;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                    let begin = "BEGIN; SELECT count(*) FROM filler";
                    one.execute_batch(begin).unwrap();
                    // Nothing was begun the first time.
                    let _ = other.execute_batch("COMMIT");
                    std::mem::swap(&mut one, &mut other);
                }
            });
            for _ in 0..600 {
                let write = db.write(|tx| {
                    tx.execute("DELETE FROM filler", &[])?;
                    let content = vec![7_u8; 400 << 10];
                    tx.execute("INSERT INTO filler VALUES (?1)", params![content])
                });
                runtime.block_on(write).unwrap();
            }
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let wal = path.with_extension("db-wal");
        let length = std::fs::metadata(&wal).unwrap().len();
        assert!(length < 120 << 20, "{length}");
    }

    /// The log's header changes when it begins anew.
    #[tokio::test]
    async fn the_log_begins_anew_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aml.db");
        let db = Db::open(&path).unwrap();
        db.write(|tx| tx.execute("CREATE TABLE filler(content)", &[]))
            .await
            .unwrap();
        let header = || std::fs::read(path.with_extension("db-wal")).unwrap()[..32].to_vec();
        let begun = header();
        let mut rounds = 0;
        while header() == begun {
            rounds += 1;
            assert!(rounds < 10_000, "the log goes on and on");
            let insert = "INSERT INTO filler VALUES (?1)";
            db.write(move |tx| {
                tx.execute("DELETE FROM filler", &[])?;
                tx.execute(insert, params![vec![7_u8; 40 << 10]])
            })
            .await
            .unwrap();
        }
        assert!(rounds > 100, "after {rounds}");
        let content = "SELECT length(content) FROM filler";
        let length = db.read(|tx| tx.one(content, &[], |row| row.get::<i64>(0)));
        assert_eq!(length.await.unwrap(), Some(40 << 10));
    }
}
