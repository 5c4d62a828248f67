//! Moves what the write-ahead log has into the database, beside the writer.
//!
//! A checkpoint waits for the disk several times. The writer would make everybody wait for that, so
//! another thread does it; what was written meanwhile is little, and the writer moves that itself, so
//! that the log is whole in the database at some moment and begins anew.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
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

/// The checkpoints of a writer's connection.
pub struct Checkpoints(Arc<AtomicU8>);

impl Checkpoints {
    /// Takes the place of SQLite's own checkpoints on this connection.
    pub fn of(writer: &mut Connection, path: PathBuf) -> Result<Self> {
        let state = Arc::new(AtomicU8::new(IDLE));
        let shared = state.clone();
        let (mut last, mut due) = (0, STEP);
        let committed = move |_: &mut Wal, pages: i32| {
            if pages < last {
                due = STEP;
            }
            last = pages;
            if pages >= due && shared.load(Ordering::Acquire) == IDLE {
                due = pages + STEP;
                begin(path.clone(), &shared);
            }
            Ok(())
        };
        writer.wal_hook(Some(committed)).map_err(db_error)?;
        Ok(Self(state))
    }

    /// Whether the writer has its part to do.
    pub fn are_due(&self) -> bool {
        self.0.load(Ordering::Acquire) == NEARLY
    }

    /// Does the writer's part, if there is one to do. Call it outside a transaction.
    pub fn finish(&self, writer: &Connection) {
        if self.are_due() {
            checkpoint(writer);
            self.0.store(IDLE, Ordering::Release);
        }
    }
}

fn begin(path: PathBuf, state: &Arc<AtomicU8>) {
    state.store(UNDER_WAY, Ordering::Release);
    let shared = state.clone();
    let work = move || {
        if let Ok(connection) = connect(&path) {
            checkpoint(&connection);
        }
        shared.store(NEARLY, Ordering::Release);
    };
    let thread = std::thread::Builder::new().name("db-checkpoint".into());
    if thread.spawn(work).is_err() {
        state.store(NEARLY, Ordering::Release);
    }
}

/// Moves what no reader needs in the log. When it fails, the log keeps all and the next one tries again.
fn checkpoint(connection: &Connection) {
    let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
}

#[cfg(test)]
mod tests {
    use crate::db::{Db, params};

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
