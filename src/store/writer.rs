//! The writer: one connection, on which writes that come at the same time share a commit.
//!
//! Whoever has something to write and finds the connection free commits it on the spot, for waking
//! another thread takes as long as writing. What comes meanwhile is left to a thread of the writer.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::{
    checkpoint::Checkpoints,
    db::{BUSY_TIMEOUT, Outcome, Tx, Work, connect, db_error},
};
use api::{Error, Result};

/// Writes joined into one commit at most.
const GROUP: usize = 512;

/// Dropped, its thread ends.
pub struct Writer(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// Rung when there may be something for the thread to do.
    bell: Condvar,
    connection: Mutex<Connection>,
    checkpoints: Checkpoints,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

struct Job {
    work: Work,
    answer: oneshot::Sender<Result<Outcome>>,
}

/// What a thread does when another process is writing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    Wait,
    /// Leaves it to the writer's own thread.
    Leave,
    /// Leaves all writing to the writer's own thread.
    LeaveAll,
}

impl Writer {
    pub fn start(path: &Path) -> Result<Self> {
        let mut connection = connect(path)?;
        let checkpoints = Checkpoints::of(&mut connection, path.to_owned())?;
        // It has most pages in its cache; a map would be made anew whenever the file grows.
        connection
            .execute_batch("PRAGMA mmap_size=0")
            .map_err(db_error)?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            bell: Condvar::new(),
            connection: Mutex::new(connection),
            checkpoints,
        });
        let thread = shared.clone();
        std::thread::Builder::new()
            .name("db-writer".into())
            .spawn(move || thread.serve())
            .map_err(|e| Error::unavailable(format!("Cannot start the database writer: {e}")))?;
        Ok(Self(shared))
    }

    /// Runs `work` in a transaction and answers when it is on disk.
    pub async fn write(&self, work: Work, patience: Patience) -> Result<Outcome> {
        let (answer, answered) = oneshot::channel();
        self.0.queue().jobs.push_back(Job { work, answer });
        match patience {
            Patience::LeaveAll => self.0.bell.notify_one(),
            patience => self.0.commit_if_free(patience),
        }
        answered
            .await
            .map_err(|_| Error::internal("The database writer dropped a request"))?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.queue().closed = true;
        self.0.bell.notify_all();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits one group, unless somebody else is at it; the rest is the thread's.
    fn commit_if_free(&self, patience: Patience) {
        match self.connection.try_lock() {
            Ok(connection) => self.commit(&connection, patience),
            Err(TryLockError::Poisoned(broken)) => self.commit(&broken.into_inner(), patience),
            Err(TryLockError::WouldBlock) => {}
        }
        if !self.queue().jobs.is_empty() || self.checkpoints.are_due() {
            self.bell.notify_one();
        }
    }

    fn serve(&self) {
        while self.wait() {
            let connection = self.connection.lock();
            let connection = connection.unwrap_or_else(PoisonError::into_inner);
            while !self.queue().jobs.is_empty() {
                self.commit(&connection, Patience::Wait);
            }
            self.checkpoints.finish(&connection);
        }
    }

    /// Answers no when nothing more will come.
    fn wait(&self) -> bool {
        let mut queue = self.queue();
        loop {
            if !queue.jobs.is_empty() || self.checkpoints.are_due() {
                return true;
            }
            if queue.closed {
                return false;
            }
            queue = self
                .bell
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Commits what has come so far and answers it.
    fn commit(&self, connection: &Connection, patience: Patience) {
        let group: Vec<Job> = {
            let mut queue = self.queue();
            let size = queue.jobs.len().min(GROUP);
            queue.jobs.drain(..size).collect()
        };
        if group.is_empty() {
            return;
        }
        let begun = begin(connection, patience);
        if let Err(error) = &begun
            && error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
            && patience != Patience::Wait
        {
            let mut queue = self.queue();
            group
                .into_iter()
                .rev()
                .for_each(|job| queue.jobs.push_front(job));
            return;
        }
        let begun = begun.map_err(db_error);
        let tx = Tx { connection };
        let is_open = || match &begun {
            Ok(()) if connection.is_autocommit() => Err(undone()),
            begun => begun.clone(),
        };
        let run = |job: Job| {
            let result = is_open().and_then(|()| part(&tx, job.work));
            (job.answer, result)
        };
        let answers: Vec<_> = group.into_iter().map(run).collect();
        let ended = is_open().and_then(|()| tx.control("COMMIT"));
        if ended.is_err() && !connection.is_autocommit() {
            let _ = tx.control("ROLLBACK");
        }
        for (answer, result) in answers {
            let result = match &ended {
                Ok(()) => result,
                Err(error) => result.and(Err(error.clone())),
            };
            let _ = answer.send(result);
        }
    }
}

fn begin(connection: &Connection, patience: Patience) -> rusqlite::Result<()> {
    connection.busy_timeout(match patience {
        Patience::Wait => BUSY_TIMEOUT,
        Patience::Leave | Patience::LeaveAll => Duration::ZERO,
    })?;
    connection
        .prepare_cached("BEGIN IMMEDIATE")?
        .execute([])
        .map(drop)
}

/// Runs one write of a group; on an error nothing of it is kept.
fn part(tx: &Tx<'_>, work: Work) -> Result<Outcome> {
    tx.control("SAVEPOINT request")?;
    // A defect of one request is not the end of the writer.
    let result = catch_unwind(AssertUnwindSafe(|| work(tx)))
        .unwrap_or_else(|_| Err(Error::internal("A write came down")));
    // A full disk, for one, makes SQLite undo the whole transaction.
    if result.is_err() && tx.connection.is_autocommit() {
        return result;
    }
    if result.is_err() {
        tx.control("ROLLBACK TO request")?;
    }
    tx.control("RELEASE request")?;
    result
}

/// What the others of a group hear when one made SQLite undo all of it.
fn undone() -> Error {
    Error::unavailable("A write was undone together with another one that failed")
        .hint("Try again; if it fails again, check the disk's free space: aml doctor")
}

#[cfg(test)]
mod tests {
    use crate::db::{Db, count, params};
    use api::{Error, Result};

    #[tokio::test]
    async fn a_write_that_panics_fails_alone() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("aml.db")).unwrap();
        let sql = "INSERT INTO workers(name, seen_at) VALUES ('w', 0)";
        let bad = db.write(move |tx| -> Result<()> {
            tx.execute(sql, &[])?;
            panic!("a defect")
        });
        assert_eq!(bad.await.unwrap_err().message, "A write came down");
        db.write(move |tx| tx.execute(sql, &[])).await.unwrap();
    }

    /// What a full disk does to a group of writes.
    #[tokio::test(flavor = "multi_thread")]
    async fn all_writes_of_a_transaction_that_is_undone_hear_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let db = std::sync::Arc::new(Db::open(&folder.path().join("aml.db")).unwrap());
        let insert = |name: &'static str| {
            let sql = "INSERT INTO workers(name, seen_at) VALUES (?1, 0)";
            db.write(move |tx| tx.execute(sql, params![name]))
        };
        // While the first one waits, the others become one group.
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (begun, is_begun) = tokio::sync::oneshot::channel();
        let shared = db.clone();
        let first = tokio::spawn(async move {
            let waits = shared.write(move |_| {
                let _ = begun.send(());
                wait.recv().map_err(|e| Error::internal(e.to_string()))
            });
            waits.await
        });
        is_begun.await.unwrap();
        let full = db.write(|tx| -> Result<()> {
            tx.execute("ROLLBACK", &[])?;
            Err(Error::unavailable("The disk is full"))
        });
        let (before, after) = (insert("before"), insert("after"));
        let go = async { go.send(()).unwrap() };
        let (first, before, full, after, ()) = tokio::join!(first, before, full, after, go);
        first.unwrap().unwrap();
        assert_eq!(full.unwrap_err().message, "The disk is full");
        let undone = super::undone();
        assert_eq!(before.unwrap_err().message, undone.message);
        assert_eq!(after.unwrap_err().message, undone.message);
        insert("later").await.unwrap();
        let sql = "SELECT COUNT(*) FROM workers";
        let rows = db.read(|tx| tx.one(sql, &[], |row| count(row, 0))).await;
        assert_eq!(rows.unwrap(), Some(1));
    }

    /// A server's threads do not wait for other processes; the writer's own does.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_write_waits_for_another_process_on_the_writers_thread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aml.db");
        let db = Db::open(&path).unwrap();
        let insert = |name: &'static str| {
            let sql = "INSERT INTO workers(name, seen_at) VALUES (?1, 0)";
            db.write(move |tx| tx.execute(sql, params![name]))
        };
        insert("before").await.unwrap();
        let other = super::connect(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut write = std::pin::pin!(insert("after"));
        // Comes back without an answer instead of blocking here.
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(write.as_mut().poll(context).is_pending())
        });
        assert!(polled.await);
        other.execute_batch("COMMIT").unwrap();
        write.await.unwrap();
    }

    /// Nor does the one thread of a process that answers requests.
    #[tokio::test]
    async fn where_requests_are_answered_one_thread_goes_on_while_another_process_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aml.db");
        let mut db = Db::open(&path).unwrap();
        db.answer_requests();
        let other = super::connect(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let write = db.write(|tx| {
            let sql = "INSERT INTO workers(name, seen_at) VALUES ('w', 0)";
            tx.execute(sql, &[])
        });
        // Joined on one thread: the second part runs only if the first one lets go of it.
        let release = async { other.execute_batch("COMMIT").unwrap() };
        let (written, ()) = tokio::join!(write, release);
        assert_eq!(written.unwrap(), 1);
    }
}
